; The internet checksum over the input memory after the 8 bytes of its length, 16 bits a time.
    r2 = *(u64 *)(r1 + 0)
    r1 += 8
    r0 = 0
    r2 += r1
word:
    r3 = r1
    r3 += 2
    if r3 > r2 goto fold
    r4 = *(u16 *)(r1 + 0)
    r0 += r4
    r1 = r3
    goto word
fold:
    r3 = r0
    r3 >>= 16
    r0 &= 0xffff
    r0 += r3
    r3 = r0
    r3 >>= 16
    r0 &= 0xffff
    r0 += r3
    r0 ^= 0xffff
    exit
