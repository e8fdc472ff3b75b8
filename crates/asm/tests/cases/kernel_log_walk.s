; A walk that jumps: the numbers tell the order. What is missing is told once.
.program walked, xdp
func#0 @0
Live regs before insn:
      0: .1........ (05) goto pc+1
  1   1: 0......... (95) exit
0: R1=ctx() R10=fp0
; unrelated text of the verifier, with "quotes' and (parentheses)
0: (05) goto pc+1
2: (b7) r0 = 0                        ; R0_w=0
3: (05) goto pc-3
4: (b7) r0 = 0
4: (b7) r0 = 1
R0 !read_ok

.program holed, xdp
0: (b7) r0 = 0
2: (95) exit
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
