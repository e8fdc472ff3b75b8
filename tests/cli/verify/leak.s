; Returns an address.
.program leak, socket
    r0 = r10
    exit
