; Collatz: the steps of all numbers below 100. Short blocks, jumps that are hard to predict.
.license "GPL"
.program main, xdp
    r0 = 0
    r1 = 1
number:
    r2 = r1
step:
    if r2 == 1 goto next
    r0 += 1
    if r2 & 1 goto odd
    r2 >>= 1
    goto step
odd:
    r3 = r2
    r2 <<= 1
    r2 += r3
    r2 += 1
    goto step
next:
    r1 += 1
    if r1 < 100 goto number
    exit
