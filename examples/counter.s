; Counts packets by length class: 0 for up to 127 bytes, 1 for up to 511, 2 above.
.license "GPL"
.map lengths, array, key=4, value=8, max_entries=3

.program counter, xdp
    r2 = *(u32 *)(r1 + 0)           ; data
    r3 = *(u32 *)(r1 + 4)           ; data_end
    r3 -= r2
    r1 = 0
    if r3 < 128 goto store
    r1 = 1
    if r3 < 512 goto store
    r1 = 2
store:
    *(u32 *)(r10 - 4) = r1
    r1 = map[lengths]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out             ; the verifier of the kernel asks for this
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 2                          ; XDP_PASS
    exit
