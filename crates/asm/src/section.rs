// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program is, from the name of its section or from a word for its type.

use skep_uapi::section;

use crate::file::ProgramSpec;

/// Finds by libbpf's section names first, then by the words of users and tools for program types, which get the
/// section that libbpf would find them by.
pub(crate) fn find(name: &str) -> Option<ProgramSpec> {
    if let Some(known) = section::find(name) {
        return Some(ProgramSpec {
            section: name.to_owned(),
            prog_type: known.prog_type,
            attach_type: known.attach_type,
            flags: known.prog_flags(),
            attach_name: known.target(name).map(str::to_owned),
            ..ProgramSpec::default()
        });
    }
    let (prog_type, attach_type) = section::parse_type(name)?;
    let section = section::name_for(prog_type, attach_type).unwrap_or(name).to_owned();
    Some(ProgramSpec { section, prog_type, attach_type, ..ProgramSpec::default() })
}

/// A known name near to one that is not known.
pub(crate) use section::suggest_type as suggest;
