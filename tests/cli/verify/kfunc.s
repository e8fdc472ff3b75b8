; Calls functions of the kernel, beside a program that does not.
.program locked, tc
    call kfunc bpf_rcu_read_lock
    call kfunc bpf_rcu_read_unlock
    r0 = 0
    exit
.program plain, tc
    r0 = 0
    exit
