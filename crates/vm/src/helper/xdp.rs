// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on `struct xdp_md`: moving the bounds of the packet, and copying from and to it. The bounds that the
//! program sees in its context follow; pointers that it got before stay as they were, as in the kernel.

use skep_uapi::Errno;
use skep_uapi::limits::ETH_HLEN;

use super::arg::{Answer, Arg, Stop};
use crate::context::{Context, Xdp};
use crate::interp::Exec;

/// Most bytes of metadata that a packet carries on into the stack.
const MAX_META: u32 = 255;
/// Largest offset and length of a copy.
const MAX_COPY: u32 = 0xffff;

/// The packet that the context argument stands for.
fn xdp<'a>(exec: &'a mut Exec<'_>, ctx: Arg) -> Result<&'a mut Xdp, Stop> {
    match &mut exec.context {
        Context::Xdp(xdp) if ctx.value == xdp.addr() => Ok(xdp),
        Context::Xdp(_) => Err(ctx.unexpected("the context")),
        _ => Err(Stop::Context("an XDP packet")),
    }
}

/// `bpf_xdp_adjust_head`: an Ethernet header has to be left.
pub(super) fn adjust_head(exec: &mut Exec<'_>, [ctx, delta, ..]: [Arg; 5]) -> Answer {
    let xdp = xdp(exec, ctx)?;
    let len = i64::from(xdp.packet.len()) - i64::from(delta.int());
    if len < ETH_HLEN as i64 {
        return Err(Errno::EINVAL.into());
    }
    xdp.packet.move_head(delta.int()).ok_or(Errno::EINVAL)?;
    xdp.sync();
    Ok(0)
}

/// `bpf_xdp_adjust_tail`: an Ethernet header has to be left; new bytes are 0.
pub(super) fn adjust_tail(exec: &mut Exec<'_>, [ctx, delta, ..]: [Arg; 5]) -> Answer {
    let xdp = xdp(exec, ctx)?;
    let len = i64::from(xdp.packet.len()) + i64::from(delta.int());
    if len < ETH_HLEN as i64 {
        return Err(Errno::EINVAL.into());
    }
    xdp.packet.move_tail(delta.int()).ok_or(Errno::EINVAL)?;
    xdp.sync();
    Ok(0)
}

/// `bpf_xdp_adjust_meta`.
pub(super) fn adjust_meta(exec: &mut Exec<'_>, [ctx, delta, ..]: [Arg; 5]) -> Answer {
    let xdp = xdp(exec, ctx)?;
    let delta = delta.int();
    let len = i64::from(xdp.packet.meta_len()) - i64::from(delta);
    if len < 0 || -i64::from(delta) > i64::from(xdp.packet.headroom()) {
        return Err(Errno::EINVAL.into());
    }
    if len % 4 != 0 || len > i64::from(MAX_META) {
        return Err(Errno::EACCES.into());
    }
    xdp.packet.move_meta(delta).ok_or(Errno::EINVAL)?;
    xdp.sync();
    Ok(0)
}

/// `bpf_xdp_get_buff_len`.
pub(super) fn get_buff_len(exec: &mut Exec<'_>, [ctx, ..]: [Arg; 5]) -> Answer {
    Ok(u64::from(xdp(exec, ctx)?.packet.len()))
}

/// What `bpf_xdp_pointer` says of a range of the packet.
fn check_copy(xdp: &Xdp, offset: u32, len: u32) -> Result<(), Errno> {
    if offset > MAX_COPY || len > MAX_COPY {
        Err(Errno::EFAULT)
    } else if offset + len > xdp.packet.len() {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

/// `bpf_xdp_load_bytes`.
pub(super) fn load_bytes(exec: &mut Exec<'_>, [ctx, offset, to, len, _]: [Arg; 5]) -> Answer {
    to.check_writable(exec, u64::from(len.low()))?;
    let xdp = xdp(exec, ctx)?;
    check_copy(xdp, offset.low(), len.low())?;
    let mut bytes = vec![0; len.low() as usize];
    xdp.packet.read(offset.low(), &mut bytes).ok_or(Errno::EINVAL)?;
    to.write(exec, &bytes)?;
    Ok(0)
}

/// `bpf_xdp_store_bytes`.
pub(super) fn store_bytes(exec: &mut Exec<'_>, [ctx, offset, from, len, _]: [Arg; 5]) -> Answer {
    let bytes = from.to_vec(exec, u64::from(len.low()))?;
    let xdp = xdp(exec, ctx)?;
    check_copy(xdp, offset.low(), len.low())?;
    xdp.packet.write(offset.low(), &bytes).ok_or(Errno::EINVAL)?;
    Ok(0)
}
