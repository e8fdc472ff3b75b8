// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a compiler leaves open in BTF and a loader fills in: sizes and offsets of data sections, linkage of
//! hidden variables and functions (libbpf's `bpf_object_fixup_btf` and `bpf_object__sanitize_and_load_btf`).

use std::collections::{HashMap, HashSet};

use goblin::elf::sym::STT_OBJECT;
use skep_program::btf::{Btf, Kind, Linkage, VarSecinfo};

use crate::elf::{Elf, Symbol};
use crate::externs::{KCONFIG, KSYMS};
use crate::functions::Functions;
use crate::{ObjectError, Problem};

/// Fills in data sections.
pub(crate) fn data_sections(elf: &Elf<'_>, btf: &mut Btf) -> Result<(), ObjectError> {
    let mut symbols: HashMap<&str, &Symbol<'_>> = HashMap::new();
    for s in elf.symbols.iter().filter(|s| s.kind == STT_OBJECT && s.is_global()) {
        symbols.entry(s.name).or_insert(s);
    }
    let ids: Vec<u32> = btf.iter().filter(|t| t.kind() == Kind::Datasec).map(|t| t.id).collect();
    for id in ids {
        data_section(elf, &symbols, btf, id)?;
    }
    Ok(())
}

fn data_section(
    elf: &Elf<'_>,
    symbols: &HashMap<&str, &Symbol<'_>>,
    btf: &mut Btf,
    id: u32,
) -> Result<(), ObjectError> {
    let Some(section) = btf.get(id) else { return Ok(()) };
    let name = section.name().to_owned();
    let mut variables: Vec<VarSecinfo> = section.variables().collect();
    // Those of externs were filled in when the externs were collected.
    if name != KCONFIG && name != KSYMS {
        // The static linker fills in sizes and offsets, clang leaves them zero.
        let open = section.size_or_type() == 0;
        if open {
            let size = elf.section(&name).map_or(0, |s| s.size);
            if size == 0 {
                return Err(ObjectError::from(Problem::MapDefinition(
                    "BTF describes a data section that the object does not have".to_owned(),
                ))
                .symbol(&name));
            }
            btf.set_size_or_type(id, size as u32);
        }
        for v in &mut variables {
            let Some(var) = btf.get(v.ty).filter(|t| t.kind() == Kind::Var) else {
                return Err(ObjectError::from(Problem::MapDefinition(
                    "BTF lists something in the data section that is no variable".to_owned(),
                ))
                .symbol(&name));
            };
            if var.linkage() != Some(Linkage::Global) {
                continue;
            }
            let Some(symbol) = symbols.get(var.name()) else {
                return Err(ObjectError::from(Problem::Extern(format!(
                    "BTF lists it in section `{name}`, but the symbol table has no such variable"
                )))
                .symbol(var.name()));
            };
            if open {
                v.offset = symbol.value as u32;
            }
            if symbol.is_hidden() {
                btf.set_linkage(v.ty, Linkage::Static);
            }
        }
    }
    variables.sort_by_key(|v| v.offset);
    btf.set_variables(id, &variables);
    Ok(())
}

/// Marks hidden global subprograms as static, so that they are verified in the context of their callers.
pub(crate) fn hidden_functions(functions: &Functions, btf: &mut Btf) {
    let mut hidden: HashSet<&str> = (0..functions.all.len())
        .filter(|&i| functions.is_subprog(i) && functions.all[i].hidden)
        .map(|i| functions.all[i].name.as_str())
        .collect();
    let ids: Vec<u32> = btf
        .iter()
        .filter(|t| t.kind() == Kind::Func && t.linkage() == Some(Linkage::Global))
        .filter(|t| hidden.remove(t.name()))
        .map(|t| t.id)
        .collect();
    for id in ids {
        btf.set_linkage(id, Linkage::Static);
    }
}
