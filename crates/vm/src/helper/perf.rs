// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf_perf_event_output`, in the form of each program type: programs that have a packet may put the start of
//! it behind their own data.

use skep_uapi::Errno;

use super::arg::{Answer, Arg};
use crate::context::Context;
use crate::interp::Exec;

/// `BPF_F_INDEX_MASK`: the slot of the array.
const INDEX_MASK: u64 = 0xffff_ffff;
/// `BPF_F_CTXLEN_MASK`: how much of the packet to append.
const CTXLEN_MASK: u64 = 0xf_ffff << 32;
/// `BPF_F_CURRENT_CPU`: the slot of the CPU that runs the program.
const CURRENT_CPU: u64 = INDEX_MASK;

pub(super) fn event_output(exec: &mut Exec<'_>, [_, arg, flags, data, size]: [Arg; 5]) -> Answer {
    let map = arg.map(exec)?;
    let events = map.as_perf().ok_or_else(|| arg.wrong_map(map))?;
    let mut record = data.to_vec(exec, size.value)?;
    let packet = match &exec.context {
        Context::Xdp(xdp) => Some(&xdp.packet),
        Context::SkBuff(skb) => Some(&skb.packet),
        Context::None | Context::Mem(_) | Context::Flow(_) | Context::Structure(_) => None,
    };
    let known = INDEX_MASK | if packet.is_some() { CTXLEN_MASK } else { 0 };
    if flags.value & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let appended = ((flags.value & CTXLEN_MASK) >> 32) as usize;
    if let Some(packet) = packet {
        let own = record.len();
        record.resize(own + appended, 0);
        packet.read(0, &mut record[own..]).ok_or(Errno::EFAULT)?;
    }
    let slot = match flags.value & INDEX_MASK {
        CURRENT_CPU => exec.cpu,
        index => index as u32,
    };
    if slot != exec.cpu {
        // The consumer of a slot is opened on the CPU of that number.
        events.check_open(slot)?;
        return Err(Errno::EOPNOTSUPP.into());
    }
    events.output(slot, &record)?;
    Ok(0)
}
