// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the name of its section says about a program (libbpf's `bpf_object_init_progs` and
//! `libbpf_prepare_prog_load`).

use skep_program::{Program, Requirement};
use skep_uapi::section;

/// Sets section, type, attach type, flags and attach target by the name of the section: as libbpf 1.x reads it,
/// else as earlier releases did. A name that neither knows leaves the type unspecified.
pub(crate) fn assign(program: &mut Program, name: &str) {
    let name = name.strip_prefix('?').unwrap_or(name);
    name.clone_into(&mut program.section);
    let Some(row) = section::find(name).or_else(|| section::find_legacy(name)) else { return };
    program.prog_type = row.prog_type;
    program.expected_attach_type = row.attach_type;
    program.prog_flags = row.prog_flags();
    program.attach_name = row.target(name).map(str::to_owned);
    if row.needs_attach_btf()
        && let Some(target) = &program.attach_name
    {
        program.requirements.push(Requirement::AttachTarget(target.clone()));
    }
}
