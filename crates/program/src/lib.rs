// SPDX-License-Identifier: MIT OR Apache-2.0
//! [`Program`]: the one value that every engine of skep takes, and [`Object`], the programs and maps of one
//! source file. Front ends (assembler, ELF loader, case files, raw bytes) make them; nothing changes them after.
//!
//! Guarantees: maps are referred to by index into [`Object::maps`] (`BPF_PSEUDO_MAP_IDX` and
//! `BPF_PSEUDO_MAP_IDX_VALUE`), so the instruction bytes, and [`Program::hash`], are the same for every backend.

pub mod btf;
mod case;
mod kernel_text;
pub mod load;
mod map;
mod object;
mod raw;

pub use case::{Case, CaseError};
pub use kernel_text::{Spell, imm64, print_kernel_text};
pub use map::{MapSpec, Pinning, Slot};
pub use object::{BtfRef, BtfRefKind, Function, Info, Object, Program, Requirement, SourceLine};
pub use raw::{RawError, insns_from_bytes, insns_from_hex, insns_to_bytes};
