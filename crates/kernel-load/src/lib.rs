// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real kernel behind the typed bpf(2): [`Kernel`] is a [`skep_uapi::Bpf`] by system call, [`load_object`] asks
//! it for a [`Verdict`] on programs, and [`Unavailable`] says by name what keeps bpf(2) from this process.
//!
//! Guarantees: the kernel sees the identical instruction bytes that every other engine sees (maps by index);
//! nothing is pinned or attached; every descriptor closes when its owner is dropped.

mod attach;
mod backend;
mod boxed;
mod caps;
pub mod contents;
mod kernel;
mod load;
mod maps;
mod observe;
mod probe;
mod symbols;
mod sys;
mod verdict;

pub use attach::{AttachError, Vmlinux};
pub use backend::{Backend, BoxedBackend};
pub use boxed::*;
pub use caps::{Caps, CapsError, LoweredCaps};
pub use kernel::{Kernel, KernelFd};
pub use load::{Answer, LoadOptions, Loaded, LoadedProgram, Unsupported, load_object};
pub use observe::{Contents, EMPTY_PACKET, Ending, NoAnswer, Observation, Request, Run, RunInput, observe};
pub use probe::{Capability, Unavailable, has_vmlinux_btf, missing_capabilities, release};
pub use sys::CpuPin;
pub use verdict::{Stats, Verdict};
