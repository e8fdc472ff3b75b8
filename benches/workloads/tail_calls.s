; A program that calls itself, as often as it may: 33 tail calls.
.license "GPL"
.map programs, prog_array, max_entries=1
.slot 0 = main
.program main, xdp
    r2 = map[programs] ll
    r3 = 0
    call bpf_tail_call
    r0 = 1
    exit
