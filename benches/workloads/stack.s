; Bubble sort of 32 descending numbers on the stack; gives a digest of the order.
.license "GPL"
.program main, xdp
    r1 = 0
fill:
    r2 = r10
    r2 += -256
    r3 = r1
    r3 <<= 3
    r2 += r3
    r4 = 1000
    r4 -= r1
    *(u64 *)(r2 + 0) = r4
    r1 += 1
    if r1 < 32 goto fill
    r5 = 31
pass:
    r1 = 0
    r2 = r10
    r2 += -256
swap:
    r3 = *(u64 *)(r2 + 0)
    r4 = *(u64 *)(r2 + 8)
    if r3 <= r4 goto ordered
    *(u64 *)(r2 + 0) = r4
    *(u64 *)(r2 + 8) = r3
ordered:
    r2 += 8
    r1 += 1
    if r1 < r5 goto swap
    r5 -= 1
    if r5 != 0 goto pass
    r0 = 0
    r1 = 0
    r2 = r10
    r2 += -256
digest:
    r3 = *(u64 *)(r2 + 0)
    r0 *= 31
    r0 += r3
    r2 += 8
    r1 += 1
    if r1 < 32 goto digest
    exit
