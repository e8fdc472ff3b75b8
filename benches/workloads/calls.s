; 500 calls of a function that calls another.
.license "GPL"
.program main, xdp
    r6 = 500
    r7 = 0
again:
    r1 = r7
    r2 = r6
    call mix
    r7 = r0
    r6 -= 1
    if r6 != 0 goto again
    r0 = r7
    exit
mix:
    r1 ^= r2
    call rotate
    r0 += 1
    exit
rotate:
    r0 = r1
    r0 <<= 5
    r1 >>= 59
    r0 |= r1
    exit
