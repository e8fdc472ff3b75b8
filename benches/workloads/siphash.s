; SipHash-2-4 of 1,024 bytes of packet.
.license "GPL"
.program main, xdp
    r2 = *(u32 *)(r1 + 4)
    r6 = *(u32 *)(r1 + 0)
    r0 = 0
    r3 = r6
    r3 += 1024
    if r3 > r2 goto out
    r1 = 0x7469686173686573 ll
    r2 = 0x6b617f6d656e665d ll
    r3 = 0x6b7a6c7a6d6f7a63 ll
    r4 = 0x7c6d6c6a6f6d6b73 ll
    r7 = 128
block:
    r8 = *(u64 *)(r6 + 0)
    r6 += 8
    r4 ^= r8
    r9 = 2
rounds:
    r1 += r2
    r5 = r2
    r2 <<= 13
    r5 >>= 51
    r2 |= r5
    r2 ^= r1
    r5 = r1
    r1 <<= 32
    r5 >>= 32
    r1 |= r5
    r3 += r4
    r5 = r4
    r4 <<= 16
    r5 >>= 48
    r4 |= r5
    r4 ^= r3
    r1 += r4
    r5 = r4
    r4 <<= 21
    r5 >>= 43
    r4 |= r5
    r4 ^= r1
    r3 += r2
    r5 = r2
    r2 <<= 17
    r5 >>= 47
    r2 |= r5
    r2 ^= r3
    r5 = r3
    r3 <<= 32
    r5 >>= 32
    r3 |= r5
    r9 -= 1
    if r9 != 0 goto rounds
    r1 ^= r8
    r7 -= 1
    if r7 != 0 goto block
    r0 = r1
    r0 ^= r2
    r0 ^= r3
    r0 ^= r4
out:
    exit
