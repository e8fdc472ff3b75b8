; What errors look like.
    r1 = *(u32 *)(r11 + 4)
    call bpf_map_lokup_elem
    goto nowhere
    exit
