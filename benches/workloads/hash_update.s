; 1,000 updates of elements of a hash map, by keys of 8 bytes.
.license "GPL"
.map values, hash, key=8, value=8, max_entries=256
.program main, xdp
    r6 = 1000
    r7 = 0
again:
    r1 = r6
    r1 &= 63
    *(u64 *)(r10 - 8) = r1
    *(u64 *)(r10 - 16) = r6
    r1 = map[values] ll
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    r7 += r0
    r6 -= 1
    if r6 != 0 goto again
    r0 = r7
    exit
