// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers of `cgroup_sysctl` programs. The parameter that is read or written is [`crate::Sysctl`] of the
//! environment; a new value that the program sets is kept for the host.

use skep_uapi::Errno;

use super::arg::{Answer, Arg};
use crate::environment::Sysctl;
use crate::interp::Exec;

/// `BPF_F_SYSCTL_BASE_NAME`: only what comes after the last `/`.
const BASE_NAME: u64 = 1;
/// Longest new value (`PAGE_SIZE - 1`).
const MAX_VALUE: u64 = 4095;

fn sysctl<'m>(exec: &Exec<'m>) -> &'m Sysctl {
    &exec.machine.config().environment.sysctl
}

/// `strscpy`: the length, or `E2BIG` where the text was cut.
pub(super) fn get_name(exec: &mut Exec<'_>, [_, buf, len, flags, _]: [Arg; 5]) -> Answer {
    let path = sysctl(exec).name.as_str();
    let base = path.rsplit('/').next().unwrap_or(path);
    let name = if flags.value & BASE_NAME != 0 { base } else { path }.as_bytes();
    buf.check_writable(exec, len.value)?;
    let room = len.value.checked_sub(1).ok_or(Errno::E2BIG)?;
    let kept = name.len().min(usize::try_from(room).unwrap_or(usize::MAX));
    buf.write(exec, &[&name[..kept], b"\0"].concat())?;
    if kept == name.len() { Ok(kept as u64) } else { Err(Errno::E2BIG.into()) }
}

/// `copy_sysctl_value`: zeros fill the buffer up.
fn copy_value(exec: &Exec<'_>, value: &[u8], buf: Arg, len: Arg) -> Answer {
    buf.check_writable(exec, len.value)?;
    let room = len.value.checked_sub(1).ok_or(Errno::E2BIG)?;
    buf.zero(exec, len.value)?;
    if value.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let kept = value.len().min(usize::try_from(room).unwrap_or(usize::MAX));
    buf.write(exec, &value[..kept])?;
    if kept == value.len() { Ok(kept as u64) } else { Err(Errno::E2BIG.into()) }
}

pub(super) fn get_current_value(exec: &mut Exec<'_>, [_, buf, len, ..]: [Arg; 5]) -> Answer {
    copy_value(exec, sysctl(exec).current.as_bytes(), buf, len)
}

pub(super) fn get_new_value(exec: &mut Exec<'_>, [_, buf, len, ..]: [Arg; 5]) -> Answer {
    let given = sysctl(exec).new.as_ref();
    let Some(given) = given else {
        buf.zero(exec, len.value)?;
        return Err(Errno::EINVAL.into());
    };
    let set = exec.machine.helper_state().new_sysctl().clone();
    copy_value(exec, set.as_deref().unwrap_or(given.as_bytes()), buf, len)
}

pub(super) fn set_new_value(exec: &mut Exec<'_>, [_, buf, len, ..]: [Arg; 5]) -> Answer {
    if sysctl(exec).new.as_ref().is_none_or(String::is_empty) || len.value == 0 {
        return Err(Errno::EINVAL.into());
    }
    if len.value > MAX_VALUE {
        return Err(Errno::E2BIG.into());
    }
    let value = buf.to_vec(exec, len.value)?;
    *exec.machine.helper_state().new_sysctl() = Some(value);
    Ok(0)
}
