// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on sockets, routes and devices: there are no sockets to be found and no routes, and the loopback
//! device is the only one.

use skep_isa::Size;
use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop};
use super::redirect::LOOPBACK;
use crate::context::Context;
use crate::interp::Exec;

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
/// Bytes of `struct bpf_fib_lookup`.
const FIB_LOOKUP: i32 = 64;
/// All flags of `bpf_fib_lookup` (`BPF_FIB_LOOKUP_MASK`).
const FIB_LOOKUP_FLAGS: u32 = 0x3f;
/// `BPF_FIB_LKUP_RET_NOT_FWDED`: the packet is not forwarded.
const NOT_FORWARDED: u64 = 4;
/// `mtu` and `hard_header_len` of the loopback device.
const LOOPBACK_MTU: i32 = 65536;
const LOOPBACK_HEADER: i32 = 14;
/// `BPF_MTU_CHK_SEGS`: check the segments of a packet that is to be segmented.
const CHECK_SEGMENTS: u64 = 1;
/// `BPF_MTU_CHK_RET_FRAG_NEEDED`: the packet is too long.
const FRAGMENT_NEEDED: u64 = 1;

/// `bpf_sk_lookup_tcp` and its kin find none.
pub(super) fn lookup(exec: &mut Exec<'_>, [_, tuple, size, ..]: [Arg; 5]) -> Answer {
    tuple.to_vec(exec, u64::from(size.low()))?;
    Ok(0)
}

/// No lookup gives a socket, so none can be given back.
pub(super) fn release(_: &mut Exec<'_>, [socket, ..]: [Arg; 5]) -> Answer {
    Err(socket.unexpected("a socket"))
}

/// The owner of a test run's socket is root.
pub(super) fn uid(_: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(0)
}

/// Class ids of cgroups and routes are 0 unless someone sets them.
pub(super) fn no_class(_: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(0)
}

/// Sockets have no options here: as for a socket that is not a full one, `EINVAL`.
pub(super) fn option(exec: &mut Exec<'_>, [_, _, _, value, len]: [Arg; 5]) -> Answer {
    value.to_vec(exec, u64::from(len.low()))?;
    Err(Errno::EINVAL.into())
}

pub(super) fn fib_lookup(exec: &mut Exec<'_>, [_, params, len, flags, _]: [Arg; 5]) -> Answer {
    if len.int() < FIB_LOOKUP || flags.low() & !FIB_LOOKUP_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    params.check_writable(exec, u64::from(len.low()))?;
    match params.load(exec, Size::B)? {
        AF_INET | AF_INET6 => Ok(NOT_FORWARDED),
        _ => Err(Errno::EAFNOSUPPORT.into()),
    }
}

/// The result is 0 or that the packet is too long; the MTU is written where the length of layer 3 was read.
pub(super) fn check_mtu(exec: &mut Exec<'_>, [_, ifindex, mtu, diff, flags]: [Arg; 5]) -> Answer {
    let (len, known) = match &exec.context {
        Context::Xdp(xdp) => (xdp.packet.len(), 0),
        Context::SkBuff(skb) => (skb.packet.len(), CHECK_SEGMENTS),
        Context::None | Context::Mem(_) | Context::Flow(_) | Context::Structure(_) => {
            return Err(Stop::Context("a packet"));
        }
    };
    let given = mtu.load(exec, Size::W)? as i32;
    mtu.check_writable(exec, 4)?;
    let segments = flags.value & CHECK_SEGMENTS != 0;
    if flags.value & !known != 0 || (segments && (diff.int() != 0 || given != 0)) {
        return Err(Errno::EINVAL.into());
    }
    if ifindex.low() != 0 && ifindex.low() != LOOPBACK {
        return Err(Errno::ENODEV.into());
    }
    let len = if given != 0 { given.wrapping_add(LOOPBACK_HEADER) } else { len as i32 };
    let fits = len.wrapping_add(diff.int()) <= LOOPBACK_MTU + LOOPBACK_HEADER;
    mtu.store(exec, Size::W, LOOPBACK_MTU as u64)?;
    Ok(if fits { 0 } else { FRAGMENT_NEEDED })
}
