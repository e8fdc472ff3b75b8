; An XDP firewall. Counts packets and bytes for each IP protocol and each IPv4 source, and hands TCP and UDP packets
; to blocked ports over to a second program by a tail call, so that what happens to them can be exchanged.
;
;   skep run examples/firewall.s -p firewall --pcap examples/capture.pcap --dump-maps

.license "GPL"

.map protocols, array, key=4, value=16, max_entries=256     ; by IP protocol: packets, bytes
.map sources, hash, key=4, value=16, max_entries=1024       ; by IPv4 source address: packets, bytes
.map blocked, hash, key=2, value=8, max_entries=64          ; by port in network order: packets
.entry {be16 23} = {u64 0}                                  ; telnet
.entry {be16 3389} = {u64 0}                                ; RDP
.entry {be16 5900} = {u64 0}                                ; VNC
.map verdicts, prog_array, max_entries=1                    ; 0: the program for blocked packets
.slot 0 = drop

.program firewall, xdp
    r6 = r1                             ; the context
    r7 = *(u32 *)(r6 + 0)               ; data
    r8 = *(u32 *)(r6 + 4)               ; data_end
    r2 = r7
    r2 += 14
    if r2 > r8 goto pass
    r3 = *(u16 *)(r7 + 12)              ; EtherType, as on the wire
    if r3 == 0x0008 goto ipv4
    if r3 != 0xdd86 goto pass

ipv6:
    r2 = r7
    r2 += 54
    if r2 > r8 goto pass
    r9 = *(u8 *)(r7 + 20)               ; next header
    *(u32 *)(r10 - 4) = r9
    r7 += 54
    goto protocol

ipv4:
    r2 = r7
    r2 += 34
    if r2 > r8 goto pass
    r1 = *(u32 *)(r7 + 26)              ; source address
    *(u32 *)(r10 - 4) = r1
    r1 = map[sources]
    r2 = r10
    r2 += -4
    r3 = r8
    r3 -= r7
    call count
    r9 = *(u8 *)(r7 + 23)               ; protocol
    *(u32 *)(r10 - 4) = r9
    r1 = *(u8 *)(r7 + 14)               ; header length, in words
    r1 &= 15
    r1 <<= 2
    r7 += 14
    r7 += r1

protocol:
    r1 = map[protocols]
    r2 = r10
    r2 += -4
    r3 = *(u32 *)(r6 + 4)
    r4 = *(u32 *)(r6 + 0)
    r3 -= r4
    call count
    if r9 == 6 goto ports
    if r9 != 17 goto pass

ports:
    r2 = r7
    r2 += 4
    if r2 > r8 goto pass
    r1 = *(u16 *)(r7 + 2)               ; destination port, as on the wire
    *(u16 *)(r10 - 4) = r1
    r1 = map[blocked]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto pass
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r1 = r6
    r2 = map[verdicts]
    r3 = 0
    call bpf_tail_call

pass:
    r0 = 2                              ; XDP_PASS
    exit

; Adds one packet of r3 bytes to the element of map r1 with the key at r2, which is made if it is not there.
.func count
    r6 = r1
    r7 = r2
    r8 = r3
    call bpf_map_lookup_elem
    if r0 != 0 goto found
    *(u64 *)(r10 - 16) = r0
    *(u64 *)(r10 - 8) = r0
    r1 = r6
    r2 = r7
    r3 = r10
    r3 += -16
    r4 = 1                              ; BPF_NOEXIST: another CPU may have been first
    call bpf_map_update_elem
    r1 = r6
    r2 = r7
    call bpf_map_lookup_elem
    if r0 == 0 goto full
found:
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    lock *(u64 *)(r0 + 8) += r8
full:
    r0 = 0
    exit

.program drop, xdp
    r0 = 1                              ; XDP_DROP
    exit
