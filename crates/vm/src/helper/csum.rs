// SPDX-License-Identifier: MIT OR Apache-2.0
//! Internet checksums: the arithmetic of RFC 1071 and 1624, and the helpers that mend checksums in packets.

use skep_uapi::Errno;

use super::arg::{Answer, Arg};
use super::skb::{skb, writable};
use crate::interp::Exec;

/// `BPF_F_HDR_FIELD_MASK`: bytes of the field that changed, 0 where a difference is given.
const FIELD_SIZE: u64 = 0xf;
/// `BPF_F_PSEUDO_HDR`, which matters to checksums of hardware alone.
const PSEUDO_HEADER: u64 = 1 << 4;
/// `BPF_F_MARK_MANGLED_0`: a checksum of 0 means none, as in UDP.
const ZERO_IS_NONE: u64 = 1 << 5;
/// `BPF_F_MARK_ENFORCE`: compute it where there was none.
const ENFORCE: u64 = 1 << 6;
/// `BPF_F_IPV6`, which matters to checksums of hardware alone.
const IPV6: u64 = 1 << 7;
/// Largest offset of a checksum.
const MAX_OFFSET: u32 = 0xffff;

/// Adds the 16-bit words of `bytes` to a sum (`csum_partial`); words in the order of the machine's memory.
fn partial(bytes: &[u8], seed: u32) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let mut sum = u64::from(seed);
    for word in words {
        sum += u64::from(u16::from_le_bytes(*word));
    }
    sum += rest.first().map_or(0, |last| u64::from(*last));
    while sum >> 32 != 0 {
        sum = (sum & 0xffff_ffff) + (sum >> 32);
    }
    sum as u32
}

/// One's complement addition.
fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u32::from(carry)
}

/// Folds a sum into 16 bits.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// A checksum after the sum of what it covers changed by `diff` (`csum_replace_by_diff`).
fn replace_by_diff(checksum: u16, diff: u32) -> u16 {
    !fold(add(diff, !u32::from(checksum)))
}

/// A checksum after a word of what it covers changed (`csum_replace4`).
fn replace4(checksum: u16, from: u32, to: u32) -> u16 {
    !fold(add(add(!u32::from(checksum), !from), to))
}

/// A checksum after a half word of what it covers changed (`csum_replace2`).
pub(super) fn replace2(checksum: u16, from: u16, to: u16) -> u16 {
    !fold(add(add(u32::from(!checksum), u32::from(!from)), u32::from(to)))
}

/// The change that a helper is told of; `half` is how it takes one of a half word.
fn replace(
    checksum: u16,
    from: Arg,
    to: Arg,
    size: u64,
    half: fn(u16, u16, u16) -> u16,
) -> Result<u16, Errno> {
    match size {
        0 if from.value != 0 => Err(Errno::EINVAL),
        0 => Ok(replace_by_diff(checksum, to.low())),
        2 => Ok(half(checksum, from.low() as u16, to.low() as u16)),
        4 => Ok(replace4(checksum, from.low(), to.low())),
        _ => Err(Errno::EINVAL),
    }
}

/// Reads, changes and writes the checksum at an offset of the packet.
fn update(
    exec: &mut Exec<'_>,
    ctx: Arg,
    offset: Arg,
    change: impl FnOnce(u16) -> Result<u16, Errno>,
) -> Answer {
    let offset = offset.low();
    if offset > MAX_OFFSET || !offset.is_multiple_of(2) {
        return Err(Errno::EFAULT.into());
    }
    let skb = skb(exec, ctx)?;
    writable(skb, offset + 2).map_err(|_| Errno::EFAULT)?;
    let mut bytes = [0; 2];
    skb.packet.read(offset, &mut bytes).ok_or(Errno::EFAULT)?;
    let checksum = change(u16::from_le_bytes(bytes))?;
    skb.packet.write(offset, &checksum.to_le_bytes()).ok_or(Errno::EFAULT)?;
    Ok(0)
}

/// `bpf_l3_csum_replace`.
pub(super) fn l3_replace(exec: &mut Exec<'_>, [ctx, offset, from, to, flags]: [Arg; 5]) -> Answer {
    if flags.value & !FIELD_SIZE != 0 {
        return Err(Errno::EINVAL.into());
    }
    update(exec, ctx, offset, |checksum| replace(checksum, from, to, flags.value, replace2))
}

/// `bpf_l4_csum_replace`.
pub(super) fn l4_replace(exec: &mut Exec<'_>, [ctx, offset, from, to, flags]: [Arg; 5]) -> Answer {
    let flags = flags.value;
    if flags & !(FIELD_SIZE | PSEUDO_HEADER | ZERO_IS_NONE | ENFORCE | IPV6) != 0 {
        return Err(Errno::EINVAL.into());
    }
    update(exec, ctx, offset, |checksum| {
        let zero_is_none = flags & ZERO_IS_NONE != 0;
        if zero_is_none && flags & ENFORCE == 0 && checksum == 0 {
            return Ok(0);
        }
        // `inet_proto_csum_replace2` widens, which differs where sums are 0 and all ones.
        let half = |checksum, from, to| replace4(checksum, u32::from(from), u32::from(to));
        match replace(checksum, from, to, flags & FIELD_SIZE, half)? {
            0 if zero_is_none => Ok(0xffff),
            checksum => Ok(checksum),
        }
    })
}

/// `bpf_csum_diff`: by how much the sum of what a checksum covers changed. Lengths need not be multiples of 4, which
/// releases of old ask for.
pub(super) fn diff(exec: &mut Exec<'_>, [from, from_size, to, to_size, seed]: [Arg; 5]) -> Answer {
    let (from_size, to_size, seed) = (from_size.low(), to_size.low(), seed.low());
    let from = from.to_vec(exec, u64::from(from_size))?;
    let to = to.to_vec(exec, u64::from(to_size))?;
    let sum = match (from.is_empty(), to.is_empty()) {
        (false, false) => add(partial(&to, seed), !partial(&from, 0)),
        (true, false) => partial(&to, seed),
        (false, true) => !partial(&from, !seed),
        (true, true) => seed,
    };
    Ok(u64::from(fold(sum)))
}

/// `bpf_csum_update`: packets of a test run have no checksum by hardware to update.
pub(super) fn update_hardware(exec: &mut Exec<'_>, [ctx, ..]: [Arg; 5]) -> Answer {
    skb(exec, ctx)?;
    Err(Errno::ENOTSUPP.into())
}

/// `bpf_csum_level`: how many checksums of the packet were checked already.
pub(super) fn level(exec: &mut Exec<'_>, [ctx, op, ..]: [Arg; 5]) -> Answer {
    /// `SKB_MAX_CSUM_LEVEL`
    const MAX_LEVEL: u8 = 3;
    let level = &mut skb(exec, ctx)?.csum_level;
    match op.value {
        // BPF_CSUM_LEVEL_QUERY
        0 => return level.map(u64::from).ok_or(Errno::EACCES.into()),
        // BPF_CSUM_LEVEL_INC
        1 => *level = Some(level.map_or(0, |n| (n + 1).min(MAX_LEVEL))),
        // BPF_CSUM_LEVEL_DEC
        2 => *level = level.and_then(|n| n.checked_sub(1)),
        // BPF_CSUM_LEVEL_RESET
        3 => *level = None,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
