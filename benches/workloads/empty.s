; The cost of entering and leaving an engine.
.license "GPL"
.program main, xdp
    r0 = 0
    exit
