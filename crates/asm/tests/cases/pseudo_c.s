# Every form of the pseudo-C dialect, as LLVM writes it.
start:
	r1 = *(u32 *)(r2 + 4)
	w1 = *(u32 *)(r2 + 0)
	r1 = *(s8 *)(r2 - 4)
	*(u8 *)(r1 + 0) = 5
	*(u8 *)(r1 + 0) = r2
	*(u32 *)(r1 + 0x10) = w2
	*(u64 *)(r10 - 8) = -1
	r1 += r2
	w1 = 5
	r1 = w2
	r1 = -r1
	w1 = -w1
	r1 = -1
	r1 = 0xffffffff
	r1 s/= r2
	w1 s%= 3
	r1 s>>= 4
	r1 %= 3
	r1 = (s8)r2
	w1 = (s16)w2
	r1 = (s32)r2
	r1 = be16 r1
	r1 = le32 r1
	r1 = bswap64 r1
	r1 = 0x1122334455667788 ll
	if r1 s< 5 goto out
	if w1 == w2 goto +3
	if r1 & 7 goto start
	if w3 != 0xffffffff goto -2
	goto +1
	gotol out
	may_goto out
	lock *(u64 *)(r1 + 0) += r2
	lock *(u32 *)(r1 + 0) |= w2
	r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)
	w2 = atomic_fetch_xor((u32 *)(r1 + 0), w2)
	r2 = xchg_64(r1 + 0, r2)
	w2 = xchg32_32(r1 - 4, w2)
	r0 = cmpxchg_64(r1 + 0, r0, r2)
	w0 = cmpxchg32_32(r1 + 0, w0, w2)
	r1 = load_acquire((u64 *)(r2 + 0))
	w1 = load_acquire((u8 *)(r2 + 0))
	store_release((u64 *)(r1 - 8), r2)
	store_release((u16 *)(r1 - 8), w2)
	r0 = *(u8 *)skb[4]
	r0 = *(u16 *)skb[r1]
	r0 = *(u32 *)skb[r1 + 4]
	r1 = addr_space_cast(r2, 0x0, 0x1)
	call bpf_map_lookup_elem
	call ktime_get_ns
	call bpf_map_lookup_elem#1
	call unknown#500
	call 7
	call pc+1
	call -2
out:
	exit
