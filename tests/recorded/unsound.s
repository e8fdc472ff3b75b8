; Programs that show where a verifier is, or was, unsound (`docs/parity.md`). What kernels said of them is in the folders
; beside, by `skep record tests/recorded/unsound.s -k KERNEL -o tests/recorded/SERIES/unsound.jsonl`. None does harm
; where it is run.
.license "GPL"
.map values, array, key=4, value=48, max_entries=1

; A pointer that is known to be behind the packet does not stand for one that is not (fixed in all stable kernels).
.program behind_the_packet, xdp
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r5 = r2
    r5 += 64
    r0 = 0
    r6 = 0
    r7 = *(u32 *)(r1 + 16)
    if r7 > 5 goto compare
compare:
    if r5 <= r3 goto again
again:
    if r5 > r3 goto out
    r0 = *(u64 *)(r10 + 8)
out:
    exit

; The sign-extended half counts as equal to the whole, since the whole fits 16 bits (not fixed).
.program sign_extending_fill, xdp
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r9 = *(u16 *)(r2 + 0)
    *(u64 *)(r10 - 8) = r9
    r0 = *(s16 *)(r10 - 8)
    if r9 != 0x8000 goto out
    exit
out:
    r0 = 0
    exit

; The offset comes off the stack by an exchange, so that nobody asks for it to be precise there (fixed in 6.12.117).
.program fetched_offset, xdp
    r6 = r1
    *(u32 *)(r10 - 4) = 0
    r1 = map[values]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r7 = r0
    call bpf_get_prandom_u32
    r0 = *(u32 *)(r6 + 16)              ; the queue, which is 0 in test runs
    r8 = 8
    r1 = 0
    r2 = 0
    r3 = 0
    r4 = 0
    r5 = 0
    if r0 > 9 goto choose
choose:
    if r0 > 5 goto far
    *(u64 *)(r10 - 16) = r8
    goto fetch
far:
    r8 = 1000
    *(u64 *)(r10 - 16) = r8
fetch:
    r8 = 0
    r8 = xchg_64(r10 - 16, r8)
    r7 += r8
    r0 = *(u8 *)(r7 + 0)
out:
    r0 = 0
    exit

; Moved back, a pointer still counts as behind the packet, so that the second comparison is decided, and taken out of the
; program: kernels return 1 (not fixed).
.program moved_back, xdp
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r0 = 1
    r5 = r2
    r5 += 2000
    if r5 <= r3 goto out
    r5 += -2000
    if r5 > r3 goto out
    r0 = 2
out:
    exit
