; Small programs, each for one thing that a verifier says. What kernels said of them is in the folders beside, by
; `skep record tests/recorded/programs.s -k KERNEL -o tests/recorded/SERIES/programs.jsonl`.
.license "GPL"
.map counts, array, key=4, value=8, max_entries=4
.map sessions, hash, key=8, value=16, max_entries=64

.program pass, xdp
    r0 = 2
    exit

.program no_result, xdp
    exit

.program packet_checked, xdp
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 14
    r0 = 1
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 + 12)
    r0 &= 1
out:
    exit

.program packet_unchecked, xdp
    r2 = *(u32 *)(r1 + 0)
    r0 = *(u8 *)(r2 + 12)
    exit

.program lookup_checked, tc
    *(u32 *)(r10 - 4) = 1
    r1 = map[counts]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 0
    exit

.program lookup_unchecked, tc
    *(u32 *)(r10 - 4) = 1
    r1 = map[counts]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    r0 = *(u64 *)(r0 + 0)
    exit

.program beyond_value, tc
    *(u64 *)(r10 - 8) = 0
    r1 = map[sessions]
    r2 = r10
    r2 += -8
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r0 = *(u64 *)(r0 + 12)
out:
    exit

.program bounded_index, socket
    r6 = *(u32 *)(r1 + 0)
    r6 &= 15
    if r6 > 7 goto out
    r7 = r10
    r7 += -8
    r7 += r6
    *(u64 *)(r10 - 8) = 0
    r0 = *(u8 *)(r7 + 0)
    exit
out:
    r0 = 0
    exit

.program unbounded_index, socket
    r6 = *(u32 *)(r1 + 0)
    *(u64 *)(r10 - 8) = 0
    r7 = r10
    r7 += -8
    r7 += r6
    r0 = *(u8 *)(r7 + 0)
    exit

.program bounded_loop, socket
    r0 = 0
    r6 = 0
again:
    r0 += r6
    r6 += 1
    if r6 < 10 goto again
    exit

.program endless_loop, socket
    r0 = 0
again:
    goto again

.program unreachable, socket
    r0 = 0
    exit
    r0 = 1
    exit

.program subprogram, socket
    r1 = 5
    call twice
    exit
.func twice
    r0 = r1
    r0 += r1
    exit

.program wrong_argument, socket
    r1 = 7
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    r0 = 0
    exit

.program uninitialized_key, tc
    r1 = map[counts]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    r0 = 0
    exit

.program write_context, socket
    *(u32 *)(r1 + 0) = 1
    r0 = 0
    exit

.program forbidden_helper, socket
    r1 = r10
    r1 += -8
    r2 = 8
    r3 = 0
    call bpf_probe_read_kernel
    r0 = 0
    exit

.program division, socket
    r1 = *(u32 *)(r1 + 0)
    r0 = 100
    r0 /= r1
    exit

.program spilled, socket
    *(u64 *)(r10 - 8) = r1
    r2 = *(u64 *)(r10 - 8)
    r0 = *(u32 *)(r2 + 0)
    exit
