func#0 @0
func#1 @5
0: R1=ctx() R10=fp0
; int f(struct ctx *c) { @ prog.c:12
0: (b7) r1 = 5                        ; R1_w=5
1: (7b) *(u64 *)(r10 -8) = r1         ; R1_w=5 R10=fp0 fp-8_w=5
2: (18) r2 = 0xffff8881234            ; R2_w=0xffff8881234
4: (15) if r1 == 0x5 goto pc+1        ; R1_w=5
from 4 to 6: R1=5 R10=fp0
4: (15) if r1 == 0x5 goto pc+1        ; R1_w=5
5: (db) r2 = atomic64_fetch_add((u64 *)(r10 -8), r2)
6: (c3) r1 = atomic_xchg((u32 *)(r10 -8), r1)
7: (db) r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r2)
8: (c3) lock *(u32 *)(r10 -8) += r1
9: (61) r1 = *(u32 *)(r10 -8)
10: (85) call bpf_ktime_get_ns#5      ; R0_w=scalar()
11: (85) call pc+2
12: (85) call bpf_task_acquire#71230
13: (85) call kernel-function#71231
14: (95) exit
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
