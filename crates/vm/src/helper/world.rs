// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that look at the world: time, random numbers, CPU and current task, all of
//! [`crate::Environment`].

use rustix::time::{ClockId, DynamicClockId};
use skep_uapi::Errno;

use super::arg::{Answer, Arg};
use super::state::NSEC_PER_SEC;
use crate::Environment;
use crate::interp::Exec;

/// Bytes of a task's name with the final 0 (`TASK_COMM_LEN`).
const TASK_COMM_LEN: usize = 16;

fn environment<'m>(exec: &Exec<'m>) -> &'m Environment {
    &exec.machine.config().environment
}

fn time(exec: &Exec<'_>, id: DynamicClockId<'_>) -> u64 {
    exec.machine.helper_state().time(environment(exec).clock, id)
}

pub(super) fn ktime_get_ns(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(time(exec, DynamicClockId::Known(ClockId::Monotonic)))
}

pub(super) fn ktime_get_boot_ns(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(time(exec, DynamicClockId::Boottime))
}

pub(super) fn ktime_get_coarse_ns(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(time(exec, DynamicClockId::Known(ClockId::MonotonicCoarse)))
}

pub(super) fn ktime_get_tai_ns(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(time(exec, DynamicClockId::Tai))
}

/// The kernel's count begins five minutes before its 32-bit half wraps around (`INITIAL_JIFFIES`).
pub(super) fn jiffies64(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    let hz = environment(exec).hz.max(1);
    let since_boot = u128::from(time(exec, DynamicClockId::Known(ClockId::Monotonic))) * u128::from(hz)
        / u128::from(NSEC_PER_SEC);
    let initial = 0u32.wrapping_sub(300 * hz);
    Ok(u64::from(initial).wrapping_add(since_boot as u64))
}

pub(super) fn get_prandom_u32(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(exec.machine.helper_state().random() >> 32)
}

pub(super) fn get_smp_processor_id(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(u64::from(exec.cpu))
}

pub(super) fn get_numa_node_id(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(u64::from(environment(exec).numa_node))
}

pub(super) fn get_current_pid_tgid(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(environment(exec).pid_tgid)
}

pub(super) fn get_current_uid_gid(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(environment(exec).uid_gid)
}

/// There is no `struct task_struct` to look at: a null pointer.
pub(super) fn get_current_task(_: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(0)
}

/// The name and zeros up to the end of the buffer (`strscpy_pad`).
pub(super) fn get_current_comm(exec: &mut Exec<'_>, [buf, size, ..]: [Arg; 5]) -> Answer {
    if size.low() == 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut padded = [0; TASK_COMM_LEN];
    let name = environment(exec).comm.as_bytes();
    let len = name.len().min(TASK_COMM_LEN - 1).min(size.low() as usize - 1);
    padded[..len].copy_from_slice(&name[..len]);
    buf.zero(exec, u64::from(size.low()))?;
    buf.write(exec, &padded[..TASK_COMM_LEN.min(size.low() as usize)])?;
    Ok(0)
}

pub(super) fn cgroup_id(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(environment(exec).cgroups.last().copied().unwrap_or(0))
}

pub(super) fn get_current_ancestor_cgroup_id(exec: &mut Exec<'_>, [level, ..]: [Arg; 5]) -> Answer {
    ancestor(exec, level)
}

/// The packet's socket belongs to the cgroup of the current task.
pub(super) fn skb_ancestor_cgroup_id(exec: &mut Exec<'_>, [_, level, ..]: [Arg; 5]) -> Answer {
    ancestor(exec, level)
}

fn ancestor(exec: &Exec<'_>, level: Arg) -> Answer {
    let id = usize::try_from(level.int()).ok().and_then(|level| environment(exec).cgroups.get(level));
    Ok(id.copied().unwrap_or(0))
}

pub(super) fn get_socket_cookie(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(environment(exec).socket_cookie)
}

pub(super) fn get_netns_cookie(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(environment(exec).netns_cookie)
}

pub(super) fn get_attach_cookie(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(environment(exec).attach_cookie)
}

pub(super) fn get_func_ip(exec: &mut Exec<'_>, _: [Arg; 5]) -> Answer {
    Ok(environment(exec).func_ip)
}
