; The mnemonic dialect, as rbpf, ubpf and GNU as write it.
start:
	ldxw r1, [r2+4]
	ldxw %r1,[%r2+4]
	ldxb %w1, [%r2]
	ldxsh r1, [r2-2]
	stxdw [r10-8], r1
	stdw [r10-8], 5
	lddw r1, 0x1122334455667788
	mov32 r1, 2
	mov64 r1, r2
	add r1, r2
	add64 r1, -1
	add32 %w1, %w2
	arsh r1, 63
	sdiv32 r1, r2
	smod r1, 3
	neg r1
	neg32 %r1
	neg64 r1
	be16 r1
	endbe %r1, 32
	endle64 %r1
	bswap %r1, 16
	swap32 r1
	movs %r1, %r2, 8
	movs32 %r1, %r2, 16
	movsx832 r1, r2
	movsx3264 r1, r2
	movsx16_32 r1, r2
	jeq r1, 4, +2
	jeq r1, r2, start
	jslt32 r1, 7, 1f
	jset32 %w1, %w2, 1f
1:
	ja +1
	ja 1b
	jal start
	call 1
	call local start
	call local +1
	lock add [r1+0], r2
	lock fetch add32 [r1+4], r2
	lock cmpxchg [r1], r2
	aadd [%r1+0],%r2
	afadd32 [r1], r2
	axchg [r1-8], r3
	acmp32 [r1], r3
	xadddw [%r1+8], %r2
	ldacqw r1, [r2+4]
	streldw [r1+8], r2
	ldabsw 4
	ldindh r2, 4
	addr_space_cast r1, r2, 0x10000
	addr_space_cast r1, r2, 1, 0
	may_goto +1
1:	exit
