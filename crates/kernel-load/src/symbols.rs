// SPDX-License-Identifier: MIT OR Apache-2.0
//! Symbols of the kernel by name: the ids that the running kernel's BTF gives the kernel functions and variables
//! that instructions refer to (libbpf's `bpf_object__resolve_ksyms_btf_id`).

use skep_program::btf::{Btf, Kind};
use skep_program::{BtfRef, BtfRefKind, Program};

use crate::attach::Vmlinux;
use crate::load::Unsupported;

/// `BPF_PSEUDO_KFUNC_CALL`.
const PSEUDO_KFUNC_CALL: u8 = 2;
/// `BPF_PSEUDO_BTF_ID`.
const PSEUDO_BTF_ID: u8 = 3;

fn find(btf: &Btf, reference: &BtfRef) -> Option<i32> {
    let kind = match reference.kind {
        BtfRefKind::Kfunc => Kind::Func,
        BtfRefKind::Ksym => Kind::Var,
    };
    i32::try_from(btf.find(kind, &reference.name)?.id).ok()
}

/// The program with this kernel's ids at the instructions that name its symbols.
///
/// # Errors
/// [`Unsupported::Symbol`] for the first symbol that the kernel's BTF does not have: one of a module, or none of
/// this release.
pub(crate) fn resolve(program: &Program, vmlinux: &Vmlinux) -> Result<Program, Unsupported> {
    let btf = vmlinux.get()?;
    let mut resolved = program.clone();
    for reference in &program.btf_refs {
        let unknown = || Unsupported::Symbol(reference.name.clone());
        let id = find(btf, reference).ok_or_else(unknown)?;
        let insn = resolved.insns.get_mut(reference.insn).ok_or_else(unknown)?;
        match reference.kind {
            BtfRefKind::Kfunc => (insn.src, insn.off, insn.imm) = (PSEUDO_KFUNC_CALL, 0, id),
            BtfRefKind::Ksym => {
                (insn.src, insn.imm) = (PSEUDO_BTF_ID, id);
                // The second half names the module's BTF: none.
                if let Some(high) = resolved.insns.get_mut(reference.insn + 1) {
                    high.imm = 0;
                }
            }
        }
    }
    Ok(resolved)
}
