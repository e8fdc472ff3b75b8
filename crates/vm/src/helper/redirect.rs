// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that send the packet elsewhere. They record where to, and return what the program is to return; as in
//! a test run of the kernel, nothing is sent. The loopback device is the only one there is.

use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop};
use crate::context::Context;
use crate::interp::Exec;

/// `XDP_ABORTED` and `XDP_REDIRECT`.
const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;
/// `TC_ACT_SHOT` and `TC_ACT_REDIRECT`.
const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;
/// `BPF_F_INGRESS`: into the receive path of the device.
const INGRESS: u64 = 1;
/// The loopback device.
pub(super) const LOOPBACK: u32 = 1;
/// Bytes of `struct bpf_redir_neigh`.
const REDIR_NEIGH: i32 = 20;

/// Where the last redirect helper of a run asked the packet to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// `bpf_redirect`: out of a device, or into its receive path.
    Device {
        /// Index of the device.
        ifindex: u32,
        /// Into the receive path (`BPF_F_INGRESS`).
        ingress: bool,
    },
    /// `bpf_redirect_peer`: to the other end of a device pair.
    Peer {
        /// Index of the device.
        ifindex: u32,
    },
    /// `bpf_redirect_neigh`: out of a device, with the link-layer address of the next hop.
    Neighbour {
        /// Index of the device.
        ifindex: u32,
    },
}

pub(super) fn redirect(exec: &mut Exec<'_>, [ifindex, flags, ..]: [Arg; 5]) -> Answer {
    let xdp = matches!(exec.context, Context::Xdp(_));
    let (known, refused, done) =
        if xdp { (0, XDP_ABORTED, XDP_REDIRECT) } else { (INGRESS, TC_ACT_SHOT, TC_ACT_REDIRECT) };
    if flags.value & !known != 0 {
        return Ok(refused);
    }
    exec.redirect = Some(Redirect::Device { ifindex: ifindex.low(), ingress: flags.value & INGRESS != 0 });
    Ok(done)
}

pub(super) fn redirect_peer(exec: &mut Exec<'_>, [ifindex, flags, ..]: [Arg; 5]) -> Answer {
    if flags.value != 0 {
        return Ok(TC_ACT_SHOT);
    }
    exec.redirect = Some(Redirect::Peer { ifindex: ifindex.low() });
    Ok(TC_ACT_REDIRECT)
}

pub(super) fn redirect_neigh(exec: &mut Exec<'_>, [ifindex, params, len, flags, _]: [Arg; 5]) -> Answer {
    let size = len.int();
    if (size != 0 && size < REDIR_NEIGH) || flags.value != 0 {
        return Ok(TC_ACT_SHOT);
    }
    if size != 0 {
        params.to_vec(exec, u64::from(size.unsigned_abs()))?;
    }
    exec.redirect = Some(Redirect::Neighbour { ifindex: ifindex.low() });
    Ok(TC_ACT_REDIRECT)
}

/// A copy of the packet leaves for the loopback device, which takes everything.
pub(super) fn clone_redirect(exec: &mut Exec<'_>, [_, ifindex, flags, ..]: [Arg; 5]) -> Answer {
    if !matches!(exec.context, Context::SkBuff(_)) {
        return Err(Stop::Context("a packet"));
    }
    if flags.value & !INGRESS != 0 || ifindex.low() != LOOPBACK {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}
