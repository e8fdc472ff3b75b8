; Writes one byte past the value of a map.
.map one, array, key=4, value=4, max_entries=1
.program wild, xdp
    r1 = map[one][0]+0
    *(u8 *)(r1 + 4) = 1
    r0 = 2
    exit
