// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on `struct __sk_buff` that copy from and to the packet and set its properties. Those that change its
//! shape are in `skb_room`.

use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop};
use super::csum;
use crate::context::{Context, NetworkProtocol, SkBuff};
use crate::interp::Exec;

/// `BPF_F_RECOMPUTE_CSUM`, which matters to checksums of hardware alone.
const RECOMPUTE_CSUM: u64 = 1 << 0;
/// `BPF_F_INVALIDATE_HASH`.
const INVALIDATE_HASH: u64 = 1 << 1;
/// Largest offset of `bpf_skb_load_bytes_relative`.
const MAX_RELATIVE: u32 = 0xffff;
/// `PACKET_OTHERHOST`: the last packet type that programs may give.
const PACKET_OTHERHOST: u32 = 3;

/// The packet that the context argument stands for.
pub(super) fn skb<'a>(exec: &'a mut Exec<'_>, ctx: Arg) -> Result<&'a mut SkBuff, Stop> {
    match &mut exec.context {
        Context::SkBuff(skb) if ctx.value == skb.addr() => Ok(skb),
        Context::SkBuff(_) => Err(ctx.unexpected("the context")),
        _ => Err(Stop::Context("a socket buffer")),
    }
}

/// `skb_ensure_writable`: whether the packet has that many bytes. Here they are always linear and writable.
pub(super) fn writable(skb: &SkBuff, len: u32) -> Result<(), Errno> {
    if len > skb.packet.len() { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// `bpf_skb_store_bytes`.
pub(super) fn store_bytes(exec: &mut Exec<'_>, [ctx, offset, from, len, flags]: [Arg; 5]) -> Answer {
    let bytes = from.to_vec(exec, u64::from(len.low()))?;
    let skb = skb(exec, ctx)?;
    if flags.value & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    skb.packet.write(offset.low(), &bytes).ok_or(Errno::EFAULT)?;
    if flags.value & INVALIDATE_HASH != 0 {
        skb.fields.set("hash", 0);
    }
    Ok(0)
}

/// Copies into the program's memory what was found; where nothing was, zeros.
fn deliver(exec: &mut Exec<'_>, to: Arg, found: Option<()>, bytes: &mut [u8]) -> Answer {
    if found.is_none() {
        bytes.fill(0);
    }
    to.write(exec, bytes)?;
    found.map(|()| 0).ok_or(Errno::EFAULT.into())
}

/// `bpf_skb_load_bytes`, also of flow dissectors.
pub(super) fn load_bytes(exec: &mut Exec<'_>, [ctx, offset, to, len, _]: [Arg; 5]) -> Answer {
    to.check_writable(exec, u64::from(len.low()))?;
    let mut bytes = vec![0; len.low() as usize];
    let packet = match &exec.context {
        Context::Flow(flow) if ctx.value == flow.addr() => &flow.packet,
        _ => &skb(exec, ctx)?.packet,
    };
    let found = packet.read(offset.low(), &mut bytes);
    deliver(exec, to, found, &mut bytes)
}

/// `bpf_skb_load_bytes_relative`.
pub(super) fn load_bytes_relative(exec: &mut Exec<'_>, [ctx, offset, to, len, header]: [Arg; 5]) -> Answer {
    to.check_writable(exec, u64::from(len.low()))?;
    let skb = skb(exec, ctx)?;
    let base = match header.low() {
        // BPF_HDR_START_MAC
        0 => Some(skb.link),
        // BPF_HDR_START_NET
        1 => Some(skb.network),
        _ => None,
    };
    let mut bytes = vec![0; len.low() as usize];
    let found = base
        .filter(|_| offset.low() <= MAX_RELATIVE)
        .and_then(|base| skb.read_from(base, offset.low(), &mut bytes));
    deliver(exec, to, found, &mut bytes)
}

/// `bpf_skb_pull_data`.
pub(super) fn pull_data(exec: &mut Exec<'_>, [ctx, len, ..]: [Arg; 5]) -> Answer {
    writable(skb(exec, ctx)?, len.low())?;
    Ok(0)
}

/// `bpf_skb_change_type`.
pub(super) fn change_type(exec: &mut Exec<'_>, [ctx, pkt_type, ..]: [Arg; 5]) -> Answer {
    let skb = skb(exec, ctx)?;
    if pkt_type.low() > PACKET_OTHERHOST || skb.fields.get("pkt_type") > u64::from(PACKET_OTHERHOST) {
        return Err(Errno::EINVAL.into());
    }
    skb.fields.set("pkt_type", u64::from(pkt_type.low()));
    Ok(0)
}

/// `bpf_get_hash_recalc`: the hash that was set, else one of the packet's headers.
pub(super) fn get_hash_recalc(exec: &mut Exec<'_>, [ctx, ..]: [Arg; 5]) -> Answer {
    /// Offset basis and prime of 32-bit FNV-1a.
    const FNV: (u32, u32) = (0x811c_9dc5, 0x0100_0193);
    let skb = skb(exec, ctx)?;
    if skb.fields.get("hash") == 0 {
        let packet = skb.packet.to_vec();
        let headers = packet.get(skb.network.max(0) as usize..).unwrap_or_default();
        let hash = headers.iter().take(44).fold(FNV.0, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(FNV.1));
        skb.fields.set("hash", u64::from(hash.max(1)));
    }
    Ok(skb.fields.get("hash"))
}

/// `bpf_set_hash_invalid`.
pub(super) fn set_hash_invalid(exec: &mut Exec<'_>, [ctx, ..]: [Arg; 5]) -> Answer {
    skb(exec, ctx)?.fields.set("hash", 0);
    Ok(0)
}

/// `bpf_set_hash`.
pub(super) fn set_hash(exec: &mut Exec<'_>, [ctx, hash, ..]: [Arg; 5]) -> Answer {
    skb(exec, ctx)?.fields.set("hash", u64::from(hash.low()));
    Ok(0)
}

/// `bpf_skb_get_tunnel_key` and `bpf_skb_get_tunnel_opt`: the packet came through no tunnel, so the memory is
/// cleared.
pub(super) fn get_tunnel(exec: &mut Exec<'_>, [ctx, to, size, ..]: [Arg; 5]) -> Answer {
    skb(exec, ctx)?;
    to.zero(exec, u64::from(size.low()))?;
    Err(Errno::EINVAL.into())
}

/// `bpf_skb_set_tstamp`: a time, and the clock that it is of.
pub(super) fn set_tstamp(exec: &mut Exec<'_>, [ctx, time, clock, ..]: [Arg; 5]) -> Answer {
    /// `BPF_SKB_CLOCK_REALTIME`, `BPF_SKB_CLOCK_MONOTONIC` and `BPF_SKB_CLOCK_TAI`.
    const CLOCKS: std::ops::RangeInclusive<u32> = 0..=2;
    let skb = skb(exec, ctx)?;
    if skb.network_protocol().is_none() {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if !CLOCKS.contains(&clock.low()) || (clock.low() != 0 && time.value == 0) {
        return Err(Errno::EINVAL.into());
    }
    skb.fields.set("tstamp", time.value);
    skb.fields.set("tstamp_type", u64::from(clock.low()));
    Ok(0)
}

/// `bpf_skb_ecn_set_ce`: marks the packet as having met congestion, where its sender can be told (`INET_ECN_set_ce`).
/// The result is whether the mark is there.
pub(super) fn ecn_set_ce(exec: &mut Exec<'_>, [ctx, ..]: [Arg; 5]) -> Answer {
    const MARK: u8 = 3;
    let skb = skb(exec, ctx)?;
    // As in the kernel, the protocol is the one behind VLAN tags, and the header the one that the tags are in.
    let Some(protocol) = skb.protocol_behind_tags() else { return Ok(0) };
    let network = skb.network.max(0) as u32;
    let mut header = [0; 20];
    if skb.packet.read(network, &mut header).is_none() {
        return Ok(0);
    }
    match protocol {
        NetworkProtocol::Ipv4 => {
            let old = u16::from_le_bytes([header[0], header[1]]);
            match header[1] & MARK {
                0 => return Ok(0),
                MARK => return Ok(1),
                _ => header[1] |= MARK,
            }
            let new = u16::from_le_bytes([header[0], header[1]]);
            let checksum = csum::replace2(u16::from_le_bytes([header[10], header[11]]), old, new);
            header[10..12].copy_from_slice(&checksum.to_le_bytes());
        }
        // The mark is the low bits of the traffic class, which straddles two bytes.
        NetworkProtocol::Ipv6 if header[1] >> 4 & MARK == 0 => return Ok(0),
        NetworkProtocol::Ipv6 => header[1] |= MARK << 4,
    }
    skb.packet.write(network, &header).ok_or(Errno::EFAULT)?;
    Ok(1)
}
