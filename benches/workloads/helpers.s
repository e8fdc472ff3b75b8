; 1,000 calls of a helper that does nothing.
.license "GPL"
.program main, xdp
    r6 = 1000
    r7 = 0
again:
    call bpf_get_numa_node_id
    r7 += r0
    r6 -= 1
    if r6 != 0 goto again
    r0 = r7
    exit
