	r11 = 5
	r1 = r2 +
	r1 = *(u31 *)(r2 + 0)
	r10 = 5
	r1 = 0x100000000
	r1 = *(u32 *)(r2 + 40000)
	call bpf_map_lookup_elm
	goto nowhere
	ldxww r1, [r2]
	callx r1
	r1 = -r2
	w1 = r2
	r1 += 1 r2
	r2 = atomic_fetch_add((u64 *)(r1 + 0), r3)
	.licence "GPL"
dup:
dup:
	r1 = dupp ll
	r1 = "text
	r1 = 1 / 0
	r1 = (((1)
	if r1 < goto dup
	r1 = @@@
	*(s32 *)(r1 + 0) = 5
	r1 = 0x1g
	.map m, hsh
	.map n, hash, kye=4
	r1 = map[id:5]
	call r1
	/* no end
