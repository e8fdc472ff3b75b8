// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that read any address and survive it. Guest memory is all there is: user space and kernel are the
//! same here, and what lies outside of it is `EFAULT`, with zeros for the program.

use skep_uapi::Errno;

use super::arg::{Answer, Arg, copy_string};
use crate::interp::Exec;

/// `bpf_probe_read`, `bpf_probe_read_kernel`, `bpf_probe_read_user` and `bpf_copy_from_user`.
pub(super) fn read(exec: &mut Exec<'_>, [dst, size, src, ..]: [Arg; 5]) -> Answer {
    let size = u64::from(size.low());
    dst.check_writable(exec, size)?;
    if exec.memory().check(src.value, size, false).is_err() {
        dst.zero(exec, size)?;
        return Err(Errno::EFAULT.into());
    }
    let bytes = src.to_vec(exec, size)?;
    dst.write(exec, &bytes)?;
    Ok(0)
}

/// The string forms: as much as fits, always with an end; the result is its length with that end.
pub(super) fn read_str(exec: &mut Exec<'_>, [dst, size, src, ..]: [Arg; 5]) -> Answer {
    let size = u64::from(size.low());
    if size == 0 {
        return Ok(0);
    }
    dst.check_writable(exec, size)?;
    let mut bytes = Vec::new();
    if copy_string(exec, src.value, size, &mut bytes).is_err() {
        dst.zero(exec, size)?;
        return Err(Errno::EFAULT.into());
    }
    bytes.truncate(size as usize - 1);
    bytes.push(0);
    dst.write(exec, &bytes)?;
    Ok(bytes.len() as u64)
}
