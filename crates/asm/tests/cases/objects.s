# Maps, data, functions and several programs.
.license "Dual BSD/GPL"
.set SIZE, 1 << 4
#define DROP 1

.map counts, hash, key=4, value=8, max_entries=SIZE, flags=no_prealloc|BPF_F_ZERO_SEED
.entry 1 = 5
.entry {u16 1, be16 2} = {u8 1, "ab", hex "0aff"}
.map jumps, prog_array, max_entries=2
.slot 0 = second
.inner_map shape, array, key=4, value=4, max_entries=1
.map outer, array_of_maps, max_entries=4, inner=shape
.map one, array, value=4, max_entries=1
.map wraps, hash_of_maps, key=8, max_entries=4, inner=one, pinning=name
.slot 3 = one
.map events, ringbuf, max_entries=4096

.rodata
limit:	.quad 10
text:	.asciz "hi\n"
	.align 8
mask:	.word 0xff, -1
.bss
total:	.zero 8
.data
seen:	.byte 'a', '\x7f'

.func shared, global
	r1 = total ll
	lock *(u64 *)(r1 + 0) += r2
	call helper_function
	exit

.program first, xdp
	r1 = counts ll
	r2 = limit + 4 ll
	r3 = map[counts][0]+8
	r3 = map[.bss]
	r3 = map[idx:1]
	r3 = map[fd:3][0]+4
	r4 = func callback
	r5 = ksym bpf_prog_active
	call shared
	r0 = DROP
	exit

.program second, socket_filter, flags=sleepable
	call helper_function
	call shared
	call kfunc bpf_rcu_read_lock
	.insn 0xff, 15, 15, -1, 0xffffffff
	exit

.func helper_function
	r0 = 0
	exit
.func callback
	r0 = 1
	exit
