; Mistakes between statements: names, programs, maps, data.
.license "GPL"
.program first, xdpp
	call second
	call third
	call missing
	goto there
	goto other_label
	goto helped
	r1 = first_map + 8 ll
	r1 = map[shape]
	r1 = map[nothere]
	r1 = .bss ll
	r1 = helped + 4 ll
	r1 = SIZE
	r1 = SIZES
	exit
.program second, xdp, attach=xdq, flags=sleepy
	exit
.program second, xdp
	exit
.program empty, xdp
.func helped
other_label:
	r0 = 0
	exit
.func hollow
.set SIZE, 4
.map first_map, hash, key=4, value=4, max_entries=SIZE
.entry 1 = 0x1ffffffff
.entry {u32 1, u32 2} = 5
.entry "abcde" = 5
.slot 0 = helped
.map progs, prog_array, max_entries=1
.slot 0 = helped
.slot 1 = frist
.inner_map shape, array, value=4, max_entries=1
.map outer, array_of_maps, max_entries=1, inner=shapes
.slot 0 = shape
.map bad, array, value=4, max_entries=1, flags=no_prealoc
.word 1
.bss
	.byte 0, 1
	.quad first_map
.rodata
	.byte 256
	.align 3
	.ascii 5
	r0 = 1
.section .maps
.section other
.attach_type xdp
