// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that read any address and survive it. Guest memory is all there is to read, for user space's addresses
//! as for the kernel's. Elsewhere is an error, by what an address of x86-64 would be, and zeros for the program.

use skep_uapi::Errno;

use super::arg::{Answer, Arg, copy_string};
use crate::interp::Exec;

/// `TASK_SIZE_MAX`, with a page behind it: up to here lies user space.
const USER_END: u64 = 0x8000_0000_0000;
/// The kernel's addresses start here; in between lies nothing that an address could be.
const KERNEL_START: u64 = 0xffff_8000_0000_0000;

/// How a helper takes addresses.
#[derive(Clone, Copy)]
enum Space {
    /// `bpf_probe_read_kernel`: refuses those of user space (`copy_from_kernel_nofault_allowed`).
    Kernel,
    /// `bpf_probe_read_user`.
    User,
    /// `bpf_probe_read`: what the address looks like.
    Either,
}

/// The error of an address outside of guest memory; `None` where not a single byte is asked for.
fn refusal(space: Space, addr: u64, size: u64) -> Option<Errno> {
    let user = match space {
        Space::Kernel => false,
        Space::User => true,
        Space::Either => addr < USER_END,
    };
    match (user, addr) {
        (false, ..KERNEL_START) => Some(Errno::ERANGE),
        (true, USER_END..) => Some(Errno::EFAULT),
        _ => (size > 0).then_some(Errno::EFAULT),
    }
}

fn read(exec: &Exec<'_>, space: Space, [dst, size, src, ..]: [Arg; 5]) -> Answer {
    let size = u64::from(size.low());
    dst.check_writable(exec, size)?;
    if exec.memory().check(src.value, size.max(1), false).is_err() {
        dst.zero(exec, size)?;
        return refusal(space, src.value, size).map_or(Ok(0), |errno| Err(errno.into()));
    }
    let bytes = src.to_vec(exec, size)?;
    dst.write(exec, &bytes)?;
    Ok(0)
}

/// As much as fits, always with an end; the result is its length with that end.
fn read_str(exec: &Exec<'_>, space: Space, [dst, size, src, ..]: [Arg; 5]) -> Answer {
    let size = u64::from(size.low());
    if size == 0 {
        return Ok(0);
    }
    dst.check_writable(exec, size)?;
    let mut bytes = Vec::new();
    if copy_string(exec, src.value, size, &mut bytes).is_err() {
        dst.zero(exec, size)?;
        return refusal(space, src.value, size).map_or(Ok(0), |errno| Err(errno.into()));
    }
    bytes.truncate(size as usize - 1);
    bytes.push(0);
    dst.write(exec, &bytes)?;
    Ok(bytes.len() as u64)
}

pub(super) fn probe_read(exec: &mut Exec<'_>, args: [Arg; 5]) -> Answer {
    read(exec, Space::Either, args)
}

pub(super) fn probe_read_str(exec: &mut Exec<'_>, args: [Arg; 5]) -> Answer {
    read_str(exec, Space::Either, args)
}

pub(super) fn probe_read_kernel(exec: &mut Exec<'_>, args: [Arg; 5]) -> Answer {
    read(exec, Space::Kernel, args)
}

pub(super) fn probe_read_kernel_str(exec: &mut Exec<'_>, args: [Arg; 5]) -> Answer {
    read_str(exec, Space::Kernel, args)
}

pub(super) fn probe_read_user(exec: &mut Exec<'_>, args: [Arg; 5]) -> Answer {
    read(exec, Space::User, args)
}

pub(super) fn probe_read_user_str(exec: &mut Exec<'_>, args: [Arg; 5]) -> Answer {
    read_str(exec, Space::User, args)
}
