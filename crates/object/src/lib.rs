// SPDX-License-Identifier: MIT OR Apache-2.0
//! BPF ELF objects in and out.
//!
//! [`load`] reads what clang and gcc write, as libbpf of Linux 6.12 reads it, and [`write()`] writes objects that
//! libbpf loads.
//!
//! Guarantees:
//! * the instructions of a loaded program are those that libbpf would pass to `BPF_PROG_LOAD`, but for maps, which
//!   are referred to by index (`BPF_PSEUDO_MAP_IDX`, `BPF_PSEUDO_MAP_IDX_VALUE`) in the order of
//!   [`skep_program::Object::maps`], and for what depends on the running kernel: CO-RE relocations, kernel symbols
//!   and configuration values are left open and named in [`skep_program::Program::requirements`];
//! * a damaged or hostile file gets a located [`ObjectError`], never a panic, and time and memory stay in
//!   proportion to the file (code shared by many programs has a limit of its own).
//!
//! Beyond libbpf 1.0: legacy `maps` sections are read.

mod elf;
mod error;
mod ext_info;
mod externs;
mod fixup;
mod functions;
mod legacy_map;
mod load;
mod map_def;
mod maps;
mod relocate;
mod section_type;
mod stitch;
mod write;

pub use error::{ObjectError, Place, Problem, WriteError};
pub use load::load;
pub use write::write;

/// Whether the bytes start as an ELF file does.
#[must_use]
pub fn is_elf(bytes: &[u8]) -> bool {
    elf::is_elf(bytes)
}
