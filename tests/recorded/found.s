; Programs on which campaigns (`skep fuzz`) found skep's verifier to answer otherwise than a kernel, and which it answers as
; the kernel does since. None does harm where it is run. What kernels said of them is in the folders beside.
.license "GPL"
.map array, array, key=4, value=48, max_entries=4
.map one, array, key=4, value=48, max_entries=1

; The function at the address is gone once dead code is taken out, and what was in front of it went with it.
.program dead_function, cgroup_device, attach=cgroup_device
    r1 = 0
    r7 = r1
    r2 = dead ll
    call live
    if r7 == 0x9545 goto never
    r0 = 0
    exit
never:
    exit
.func dead
    exit
.func live
    exit

; A slot below `fp-256` that one path writes and another does not, at the same instruction.
.program deep_writes, xdp
    r7 = *(s16 *)(r10 - 52)
    r3 = r7
    if r3 <= 3 goto bounded
    r3 = 1
bounded:
    r3 <<= 3
    r2 = r10
    r2 += -352
    r2 += r3
    *(u64 *)(r2 + 0) = 7
    *(u64 *)(r10 - 8) = r7
    r0 = 0
    exit

; The same, as a hole: that the slot was written for sure is kept though a later path writes another one there, so it counts
; as not read behind the merge, and what is in it on one path counts for the other (not fixed in 6.18.44).
.program deep_slot, xdp
    call bpf_get_prandom_u32
    r6 = r0
    call bpf_get_prandom_u32
    r7 = r0
    r8 = 0
    if r6 == 7 goto same
    r8 = 0
    goto merge
same:
    r8 = 4096
merge:
    *(u64 *)(r10 - 344) = r8
    r8 = 0
    if r8 == 1 goto out
    r8 = 0
    if r8 == 2 goto out
    r8 = 0
    r8 = 0
    r8 = 0
    r8 = 0
    r0 = 0
    r2 = r10
    r3 = 0
    if r7 > 5 goto other
    r2 += -344
    goto write
other:
    r2 += -336
write:
    *(u64 *)(r2 + 0) = 0
    r3 = *(u64 *)(r10 - 344)
    r1 = map[one] + 0
    r1 += r3
    r0 = *(u8 *)(r1 + 0)
out:
    r0 = 0
    exit
