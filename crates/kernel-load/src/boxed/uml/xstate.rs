// SPDX-License-Identifier: MIT OR Apache-2.0
//! User-Mode Linux on processors with more registers than it knows of.
//!
//! Before 6.13 it keeps the floating point state of its processes in a buffer of fixed size
//! (`HOST_FP_SIZE`, `arch/x86/um/user-offsets.c @ 6.12`), and gives it back by `PTRACE_SETREGSET` of `NT_X86_XSTATE`. The host
//! takes nothing but its whole state there (`xstateregs_set`), which AMX makes larger, and the guest goes down with its
//! first process. A host that has no such register set makes it use `PTRACE_SETFPREGS` instead
//! (`arch_init_registers`), so that is what the guest is told, by a filter of its system calls.
//!
//! The halves of vector registers that only AVX knows are then lost where a page fault interrupts the guest's process,
//! so libc is told not to use them there. What the box's first process does has no other use for them.
//!
//! Unsafe code: what runs between fork and exec. It makes two system calls on data of its own, and allocates nothing.
#![allow(unsafe_code)]

use std::arch::x86_64::__cpuid_count;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::boxed::release::numbers;

/// Bytes of the buffer: the state of a processor with AVX-512 and protection keys.
const HOST_FP_SIZE: u32 = 2696;

/// `NT_X86_XSTATE`.
const NT_X86_XSTATE: u32 = 0x202;
/// The first release that asks the host for the size.
const ASKS: [u64; 2] = [6, 13];

/// Whether a kernel of this version goes down on this processor unless [`hide`] hides its state.
pub(super) fn is_too_large(version: &str) -> bool {
    numbers(version).as_slice() < ASKS.as_slice() && state_size() > HOST_FP_SIZE
}

/// Bytes of the state that the host has switched on: leaf 13 of `cpuid`.
fn state_size() -> u32 {
    __cpuid_count(0xd, 0).ebx
}

/// Environment of the first process: the instructions that its libc does without.
const WITHOUT_AVX: &str =
    "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load";

/// The host will have no `NT_X86_XSTATE` for the kernel that the command starts.
pub(super) fn hide(command: &mut Command) {
    // What the kernel does not know goes to the first process.
    command.arg(WITHOUT_AVX);
    // SAFETY: between fork and exec it calls prctl(2) only, with a filter that it owns.
    unsafe { command.pre_exec(filter) };
}

const fn op(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Low half of argument `n`: both that are looked at fit into it.
const fn argument(n: usize) -> u32 {
    (std::mem::offset_of!(libc::seccomp_data, args) + 8 * n) as u32
}

/// Installs the filter: `ptrace(PTRACE_GETREGSET, _, NT_X86_XSTATE, _)` answers ENODEV.
fn filter() -> io::Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
    const IS: u32 = BPF_JMP | BPF_JEQ | BPF_K;
    let mut ops = [
        op(LOAD, 0, 0, std::mem::offset_of!(libc::seccomp_data, nr) as u32),
        op(IS, 0, 5, libc::SYS_ptrace as u32),
        op(LOAD, 0, 0, argument(0)),
        op(IS, 0, 3, libc::PTRACE_GETREGSET),
        op(LOAD, 0, 0, argument(2)),
        op(IS, 0, 1, NT_X86_XSTATE),
        op(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENODEV as u32),
        op(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: ops.len() as u16, filter: ops.as_mut_ptr() };
    // SAFETY: `program` and `ops` live until the calls return; the kernel copies them.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_releases_ask_the_host() {
        assert!(!is_too_large("6.13.0"));
        assert!(!is_too_large("7.2.1"));
        assert_eq!(is_too_large("6.12.117"), state_size() > HOST_FP_SIZE);
    }

    /// The guest does not come up without it on such a processor; any other program runs as ever.
    #[test]
    fn a_filtered_process_runs() {
        let mut command = Command::new("true");
        hide(&mut command);
        // (`true` takes any arguments.)
        assert!(command.status().expect("starts").success());
    }
}
