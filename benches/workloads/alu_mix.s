; xorshift and arithmetic of every kind, 2,000 rounds; no memory.
.license "GPL"
.program main, xdp
    r0 = 0
    r1 = 0x9e3779b97f4a7c15 ll
    r2 = 2000
round:
    r3 = r1
    r3 <<= 13
    r1 ^= r3
    r3 = r1
    r3 >>= 7
    r1 ^= r3
    r3 = r1
    r3 <<= 17
    r1 ^= r3
    r4 = r1
    r4 *= 31
    r4 += r2
    w5 = w4
    w5 += 12345
    w5 &= 0xffff
    r4 |= r5
    r4 s>>= 3
    r0 += r4
    r5 = r2
    r5 += 3
    r4 /= r5
    r0 ^= r4
    r4 %= 1021
    r0 -= r4
    r2 -= 1
    if r2 != 0 goto round
    exit
