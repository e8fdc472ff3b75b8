; The internet checksum of 1,500 bytes of packet, 16 bits a time.
.license "GPL"
.program main, xdp
    r2 = *(u32 *)(r1 + 4)
    r1 = *(u32 *)(r1 + 0)
    r0 = 0
    r3 = r1
    r3 += 1500
    if r3 > r2 goto out
    r5 = 750
word:
    r4 = *(u16 *)(r1 + 0)
    r0 += r4
    r1 += 2
    r5 -= 1
    if r5 != 0 goto word
    r3 = r0
    r3 >>= 16
    r0 &= 0xffff
    r0 += r3
    r3 = r0
    r3 >>= 16
    r0 &= 0xffff
    r0 += r3
    r0 ^= 0xffff
out:
    exit
