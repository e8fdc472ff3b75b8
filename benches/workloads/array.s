; 1,000 lookups in an array, each counted in the value.
.license "GPL"
.map values, array, key=4, value=8, max_entries=64
.program main, xdp
    r6 = 1000
    r7 = 0
again:
    r1 = r6
    r1 &= 63
    *(u32 *)(r10 - 4) = r1
    r1 = map[values] ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
    r7 += 1
    r6 -= 1
    if r6 != 0 goto again
out:
    r0 = r7
    exit
