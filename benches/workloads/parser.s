; A packet parser: Ethernet, up to two VLAN tags, IPv4 with options, TCP or UDP; gives the destination port.
.license "GPL"
.program main, xdp
    r2 = *(u32 *)(r1 + 4)
    r1 = *(u32 *)(r1 + 0)
    r0 = 0
    r3 = r1
    r3 += 14
    if r3 > r2 goto out
    r4 = *(u16 *)(r1 + 12)
    r4 = be16 r4
    r5 = 2
vlan:
    if r4 == 0x8100 goto tag
    if r4 != 0x88a8 goto network
tag:
    if r5 == 0 goto out
    r5 -= 1
    r6 = r3
    r6 += 4
    if r6 > r2 goto out
    r4 = *(u16 *)(r3 + 2)
    r4 = be16 r4
    r3 = r6
    goto vlan
network:
    if r4 != 0x0800 goto out
    r6 = r3
    r6 += 20
    if r6 > r2 goto out
    r5 = *(u8 *)(r3 + 0)
    r7 = r5
    r7 >>= 4
    if r7 != 4 goto out
    r5 &= 15
    r5 <<= 2
    if r5 < 20 goto out
    r8 = *(u8 *)(r3 + 9)
    r3 += r5
    if r8 == 6 goto transport
    if r8 != 17 goto out
transport:
    r6 = r3
    r6 += 4
    if r6 > r2 goto out
    r0 = *(u16 *)(r3 + 2)
    r0 = be16 r0
out:
    exit
