// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real kernel behind the typed bpf(2): [`Kernel`] is a [`skep_uapi::Bpf`] by system call, [`load_object`] asks
//! it for a [`Verdict`] on programs, and [`Unavailable`] says by name what keeps bpf(2) from this process.
//!
//! Guarantees: the kernel sees the identical instruction bytes that every other engine sees (maps by index);
//! nothing is pinned or attached; every descriptor closes when its owner is dropped.

mod attach;
mod kernel;
mod load;
mod maps;
mod probe;
mod sys;
mod verdict;

pub use attach::{AttachError, AttachTargets};
pub use kernel::{Kernel, KernelFd};
pub use load::{Answer, Loaded, LoadedProgram, Unsupported, load_case, load_object};
pub use probe::{Capability, Unavailable, has_vmlinux_btf, missing_capabilities, release};
pub use sys::CpuPin;
pub use verdict::{Stats, Verdict};
