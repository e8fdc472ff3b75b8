// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program is, from the name of a section or of a program type.

use skep_uapi::ProgType;

use crate::file::ProgramSpec;

/// Finds by libbpf's section names first, then by the kernel's names of program types.
pub(crate) fn find(name: &str) -> Option<ProgramSpec> {
    let prog_type = ProgType::from_name(name)?;
    Some(ProgramSpec { section: name.to_owned(), prog_type, ..ProgramSpec::default() })
}
