; The cost of entering and leaving an engine.
    r0 = 0
    exit
