// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that change the shape of a packet: head, tail, room between headers, protocol, VLAN tags. They follow
//! `net/core/filter.c` and `skb_vlan_push`/`skb_vlan_pop` of Linux 6.18 for a linear packet that nobody shares.

use skep_uapi::Errno;

use super::arg::{Answer, Arg};
use super::skb::{skb, writable};
use crate::context::SkBuff;
use crate::interp::Exec;

/// `BPF_SKB_MAX_LEN`: four pages without what the kernel keeps at their end.
const MAX_LEN: u32 = 16064;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
/// Source and destination of an Ethernet header.
const ETH_ADDRESSES: u32 = 12;
const VLAN_HEADER: u32 = 4;
/// Largest change that `bpf_skb_adjust_room` makes.
const MAX_ADJUST: u32 = 0xfff;

/// `ETH_P_*`, as numbers.
mod ethertype {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const QINQ: u16 = 0x88a8;
}

/// `BPF_F_ADJ_ROOM_*`.
mod room {
    pub(super) const FIXED_GSO: u64 = 1 << 0;
    pub(super) const ENCAP_L3_IPV4: u64 = 1 << 1;
    pub(super) const ENCAP_L3_IPV6: u64 = 1 << 2;
    pub(super) const ENCAP_L3: u64 = ENCAP_L3_IPV4 | ENCAP_L3_IPV6;
    pub(super) const ENCAP_L4_GRE: u64 = 1 << 3;
    pub(super) const ENCAP_L4_UDP: u64 = 1 << 4;
    pub(super) const NO_CSUM_RESET: u64 = 1 << 5;
    pub(super) const ENCAP_L2_ETH: u64 = 1 << 6;
    pub(super) const DECAP_L3_IPV4: u64 = 1 << 7;
    pub(super) const DECAP_L3_IPV6: u64 = 1 << 8;
    pub(super) const DECAP_L3: u64 = DECAP_L3_IPV4 | DECAP_L3_IPV6;
    pub(super) const ENCAP_L2_SHIFT: u32 = 56;
    pub(super) const ALL: u64 = FIXED_GSO
        | ENCAP_L3
        | ENCAP_L4_GRE
        | ENCAP_L4_UDP
        | NO_CSUM_RESET
        | ENCAP_L2_ETH
        | DECAP_L3
        | 0xff << ENCAP_L2_SHIFT;
}

/// The protocol of the packet, as a number.
fn protocol(skb: &SkBuff) -> u16 {
    (skb.fields.get("protocol") as u16).swap_bytes()
}

fn set_protocol(skb: &SkBuff, protocol: u16) {
    skb.fields.set("protocol", u64::from(protocol.swap_bytes()));
}

/// Bytes of the least network header of a protocol.
fn network_header(protocol: u16) -> Option<u32> {
    match protocol {
        ethertype::IPV4 => Some(IPV4_HEADER),
        ethertype::IPV6 => Some(IPV6_HEADER),
        _ => None,
    }
}

/// Bytes from the link-layer to the network header (`skb_mac_header_len`).
fn link_len(skb: &SkBuff) -> u32 {
    skb.network.wrapping_sub(skb.link) as u32
}

fn is_gso(skb: &SkBuff) -> bool {
    skb.fields.get("gso_size") != 0
}

/// Puts `len` zero bytes after the first `off` bytes (`bpf_skb_generic_push`).
fn push(skb: &mut SkBuff, off: u32, len: u32) -> Result<(), Errno> {
    writable(skb, off)?;
    skb.packet.make_room(len, 0)?;
    let mut head = vec![0; off as usize];
    skb.packet.read(0, &mut head).ok_or(Errno::ENOMEM)?;
    skb.packet.move_head(-(len as i32)).ok_or(Errno::ENOMEM)?;
    head.resize((off + len) as usize, 0);
    skb.packet.write(0, &head).ok_or(Errno::ENOMEM)
}

/// Takes `len` bytes after the first `off` bytes out (`bpf_skb_generic_pop`).
fn pop(skb: &mut SkBuff, off: u32, len: u32) -> Result<(), Errno> {
    writable(skb, off + len)?;
    let mut head = vec![0; off as usize];
    skb.packet.read(0, &mut head).ok_or(Errno::ENOMEM)?;
    skb.packet.write(len, &head).ok_or(Errno::ENOMEM)?;
    skb.packet.move_head(len as i32).ok_or(Errno::ENOMEM)
}

/// Ends a helper: the program sees the new bounds, whatever happened.
fn finish(skb: &SkBuff, result: Result<(), Errno>) -> Answer {
    skb.sync();
    result?;
    Ok(0)
}

/// `bpf_skb_change_tail`.
pub(super) fn change_tail(exec: &mut Exec<'_>, [ctx, len, flags, ..]: [Arg; 5]) -> Answer {
    let skb = skb(exec, ctx)?;
    let len = len.low();
    let least = skb.network.max(0) as u32;
    if flags.value != 0 || len > MAX_LEN || len < least {
        return Err(Errno::EINVAL.into());
    }
    if skb.encapsulation {
        return Err(Errno::ENOTSUPP.into());
    }
    let delta = len as i32 - skb.packet.len() as i32;
    skb.packet.make_room(0, delta.max(0) as u32)?;
    let result = skb.packet.move_tail(delta).ok_or(Errno::ENOMEM);
    if is_gso(skb) {
        skb.fields.set("gso_size", 0);
        skb.fields.set("gso_segs", 0);
    }
    finish(skb, result)
}

/// `bpf_skb_change_head`: room for a link-layer header in front, which starts there from now on.
pub(super) fn change_head(exec: &mut Exec<'_>, [ctx, room, flags, ..]: [Arg; 5]) -> Answer {
    let skb = skb(exec, ctx)?;
    let room = room.low();
    let new_len = skb.packet.len().checked_add(room);
    if flags.value != 0 || new_len.is_none_or(|len| len > MAX_LEN && !is_gso(skb)) {
        return Err(Errno::EINVAL.into());
    }
    let result = push(skb, 0, room);
    if result.is_ok() {
        skb.network += room as i32;
        skb.link = 0;
    }
    finish(skb, result)
}

/// `bpf_skb_change_proto`: room for the other header, or less; the program writes it.
pub(super) fn change_proto(exec: &mut Exec<'_>, [ctx, proto, flags, ..]: [Arg; 5]) -> Answer {
    let skb = skb(exec, ctx)?;
    if flags.value != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (from, to) = (protocol(skb), (proto.low() as u16).swap_bytes());
    let (off, diff) = (link_len(skb), IPV6_HEADER - IPV4_HEADER);
    let result = match (from, to) {
        (ethertype::IPV4, ethertype::IPV6) => push(skb, off, diff),
        (ethertype::IPV6, ethertype::IPV4) => pop(skb, off, diff),
        _ => return Err(Errno::ENOTSUPP.into()),
    };
    if result.is_ok() {
        set_protocol(skb, to);
        skb.fields.set("hash", 0);
    }
    finish(skb, result)
}

/// `bpf_skb_adjust_room`.
pub(super) fn adjust_room(exec: &mut Exec<'_>, [ctx, diff, mode, flags, _]: [Arg; 5]) -> Answer {
    let skb = skb(exec, ctx)?;
    let (diff, flags) = (diff.int(), flags.value);
    if flags & !room::ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (shrink, len) = (diff < 0, diff.unsigned_abs());
    if len > MAX_ADJUST {
        return Err(Errno::EFAULT.into());
    }
    let base = network_header(protocol(skb)).ok_or(Errno::ENOTSUPP)?;
    let off = match mode.low() {
        // BPF_ADJ_ROOM_NET
        0 => link_len(skb) + base,
        // BPF_ADJ_ROOM_MAC
        1 => link_len(skb),
        _ => return Err(Errno::ENOTSUPP.into()),
    };
    let least = match flags & room::DECAP_L3 {
        0 => base,
        _ if !shrink => return Err(Errno::EINVAL.into()),
        room::DECAP_L3_IPV4 => IPV4_HEADER,
        room::DECAP_L3_IPV6 => IPV6_HEADER,
        _ => return Err(Errno::EINVAL.into()),
    };
    let current = skb.packet.len().wrapping_sub(skb.network as u32);
    let fits = if shrink {
        len < current && current - len >= least
    } else {
        skb.packet.len() + len <= MAX_LEN || is_gso(skb)
    };
    if !fits {
        return Err(Errno::ENOTSUPP.into());
    }
    let result = if shrink { shrink_room(skb, off, len, flags) } else { grow_room(skb, off, len, flags) };
    if result.is_ok() && flags & room::NO_CSUM_RESET == 0 {
        skb.csum_level = None;
    }
    finish(skb, result)
}

/// `bpf_skb_net_grow`. Segments of a packet that a test run makes have no type, so none can be adjusted.
fn grow_room(skb: &mut SkBuff, off: u32, len: u32, flags: u64) -> Result<(), Errno> {
    if is_gso(skb) {
        return Err(Errno::ENOTSUPP);
    }
    let encap = flags & room::ENCAP_L3;
    if encap != 0 {
        let inner_link = (flags >> room::ENCAP_L2_SHIFT) as u32;
        let both = |a, b| flags & a != 0 && flags & b != 0;
        if encap == room::ENCAP_L3
            || both(room::ENCAP_L4_GRE, room::ENCAP_L4_UDP)
            || flags & room::ENCAP_L2_ETH != 0 && inner_link < ETH_ADDRESSES + 2
        {
            return Err(Errno::EINVAL);
        }
        if skb.encapsulation {
            return Err(Errno::EALREADY);
        }
        if inner_link > len {
            return Err(Errno::EINVAL);
        }
    }
    push(skb, off, len)?;
    if encap != 0 {
        skb.encapsulation = true;
        let outer = if encap == room::ENCAP_L3_IPV6 { ethertype::IPV6 } else { ethertype::IPV4 };
        set_protocol(skb, outer);
    }
    Ok(())
}

/// `bpf_skb_net_shrink`.
fn shrink_room(skb: &mut SkBuff, off: u32, len: u32, flags: u64) -> Result<(), Errno> {
    if flags & !(room::FIXED_GSO | room::DECAP_L3 | room::NO_CSUM_RESET) != 0 {
        return Err(Errno::EINVAL);
    }
    if is_gso(skb) {
        return Err(Errno::ENOTSUPP);
    }
    pop(skb, off, len)?;
    match flags & room::DECAP_L3 {
        room::DECAP_L3_IPV4 => set_protocol(skb, ethertype::IPV4),
        room::DECAP_L3_IPV6 => set_protocol(skb, ethertype::IPV6),
        _ => {}
    }
    Ok(())
}

/// The tag that is not in the packet but beside it, as network cards take it: protocol and tag.
fn tag(skb: &SkBuff) -> Option<(u16, u16)> {
    let present = skb.fields.get("vlan_present") != 0;
    present.then(|| ((skb.fields.get("vlan_proto") as u16).swap_bytes(), skb.fields.get("vlan_tci") as u16))
}

fn set_tag(skb: &SkBuff, tag: Option<(u16, u16)>) {
    let (proto, tci) = tag.unwrap_or_default();
    skb.fields.set("vlan_present", u64::from(tag.is_some()));
    skb.fields.set("vlan_proto", u64::from(proto.swap_bytes()));
    skb.fields.set("vlan_tci", u64::from(tci));
}

const fn is_vlan(protocol: u16) -> bool {
    matches!(protocol, ethertype::VLAN | ethertype::QINQ)
}

/// `bpf_skb_vlan_push`: the tag goes beside the packet; one that was there goes into it.
pub(super) fn vlan_push(exec: &mut Exec<'_>, [ctx, proto, tci, ..]: [Arg; 5]) -> Answer {
    let skb = skb(exec, ctx)?;
    let proto = (proto.low() as u16).swap_bytes();
    let proto = if is_vlan(proto) { proto } else { ethertype::VLAN };
    if let Some((old_proto, old_tci)) = tag(skb) {
        push(skb, ETH_ADDRESSES, VLAN_HEADER)?;
        let [p, t] = [old_proto.to_be_bytes(), old_tci.to_be_bytes()];
        skb.packet.write(ETH_ADDRESSES, &[p[0], p[1], t[0], t[1]]).ok_or(Errno::ENOMEM)?;
        set_protocol(skb, old_proto);
    }
    set_tag(skb, Some((proto, tci.low() as u16)));
    finish(skb, Ok(()))
}

/// Takes a tag out of the packet (`__skb_vlan_pop`): its value.
fn take_tag(skb: &mut SkBuff) -> Result<u16, Errno> {
    writable(skb, ETH_ADDRESSES + 2 + VLAN_HEADER)?;
    let mut header = [0; 8];
    skb.packet.read(ETH_ADDRESSES, &mut header[..6]).ok_or(Errno::ENOMEM)?;
    // The two bytes after the header tell raw IEEE 802.3 from the rest.
    let _short = skb.packet.read(ETH_ADDRESSES + 6, &mut header[6..]);
    pop(skb, ETH_ADDRESSES, VLAN_HEADER)?;
    let inner = u16::from_be_bytes([header[4], header[5]]);
    set_protocol(
        skb,
        match inner {
            0x0600.. => inner,
            _ if header[6..] == [0xff, 0xff] => 0x0001,
            _ => 0x0004,
        },
    );
    Ok(u16::from_be_bytes([header[2], header[3]]))
}

/// `bpf_skb_vlan_pop`: the tag beside the packet goes; the next one of the packet takes its place.
pub(super) fn vlan_pop(exec: &mut Exec<'_>, [ctx, ..]: [Arg; 5]) -> Answer {
    let skb = skb(exec, ctx)?;
    let result = pop_tag(skb);
    finish(skb, result)
}

fn pop_tag(skb: &mut SkBuff) -> Result<(), Errno> {
    if tag(skb).is_some() {
        set_tag(skb, None);
    } else if is_vlan(protocol(skb)) {
        take_tag(skb)?;
    } else {
        return Ok(());
    }
    let proto = protocol(skb);
    if is_vlan(proto) {
        let tci = take_tag(skb)?;
        set_tag(skb, Some((proto, tci)));
    }
    Ok(())
}
