; Sums the bytes of flat memory: its address comes in r1, its length in r2.
    r0 = 0
    r2 += r1
next:
    if r1 >= r2 goto done
    r3 = *(u8 *)(r1 + 0)
    r0 += r3
    r1 += 1
    goto next
done:
    exit
