; Crosses the multiples of all numbers up to 54 out of 3,000 bytes of packet, then counts what is left.
.license "GPL"
.program main, xdp
    r2 = *(u32 *)(r1 + 4)
    r1 = *(u32 *)(r1 + 0)
    r0 = 0
    r3 = r1
    r3 += 3000
    if r3 > r2 goto out
    r3 = r1
    r4 = 3000
clear:
    *(u8 *)(r3 + 0) = 1
    r3 += 1
    r4 -= 1
    if r4 != 0 goto clear
    r5 = 2
number:
    r4 = r5
    r4 *= r5
multiple:
    r3 = r1
    r3 += r4
    *(u8 *)(r3 + 0) = 0
    r4 += r5
    if r4 < 3000 goto multiple
    r5 += 1
    if r5 < 55 goto number
    r4 = 2
count:
    r3 = r1
    r3 += r4
    r5 = *(u8 *)(r3 + 0)
    r0 += r5
    r4 += 1
    if r4 < 3000 goto count
out:
    exit
