; The product of two matrices of 16 by 16 numbers of 32 bits in the packet, written behind them; gives its trace.
.license "GPL"
.program main, xdp
    r2 = *(u32 *)(r1 + 4)
    r1 = *(u32 *)(r1 + 0)
    r0 = 0
    r3 = r1
    r3 += 3072
    if r3 > r2 goto out
    r6 = 0                              ; row, in bytes
row:
    r7 = 0                              ; column, in bytes
column:
    r3 = r1
    r3 += r6                            ; along the row
    r4 = r1
    r4 += r7                            ; down the column
    r5 = 0
    r8 = 16
product:
    r9 = *(u32 *)(r3 + 0)
    w2 = *(u32 *)(r4 + 1024)
    w9 *= w2
    w5 += w9
    r3 += 4
    r4 += 64
    r8 -= 1
    if r8 != 0 goto product
    r3 = r1
    r3 += r6
    r3 += r7
    *(u32 *)(r3 + 2048) = r5
    r7 += 4
    if r7 < 64 goto column
    r6 += 64
    if r6 < 1024 goto row
    r4 = 16
trace:
    r5 = *(u32 *)(r1 + 2048)
    w0 += w5
    r1 += 68
    r4 -= 1
    if r4 != 0 goto trace
out:
    exit
