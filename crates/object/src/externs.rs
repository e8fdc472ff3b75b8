// SPDX-License-Identifier: MIT OR Apache-2.0
//! Externs: values of the kernel's configuration (`.kconfig`) and symbols of the kernel (`.ksyms`), collected as
//! libbpf's `bpf_object__collect_externs` does it, with the BTF turned into what the kernel accepts.

use std::collections::HashMap;

use skep_program::btf::{Btf, Kind, Linkage, VarSecinfo};

use crate::elf::{Elf, Symbol};
use crate::{ObjectError, Problem};

/// ELF section and BTF data section of configuration values.
pub(crate) const KCONFIG: &str = ".kconfig";
/// BTF data section of kernel symbols.
pub(crate) const KSYMS: &str = ".ksyms";

/// What to do about an extern that is neither of these.
const UNLINKED: &str = "if another object defines it, link them with `bpftool gen object`; a symbol of the kernel is \
                        declared with `__ksym`, a configuration value with `__kconfig`";

/// What an extern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExternKind {
    /// A value in the `.kconfig` map.
    Kconfig {
        /// Offset in the map value, in bytes.
        offset: u32,
        align: u32,
        size: u32,
    },
    /// A kernel function or variable.
    Ksym {
        /// It has a type; without, it is just an address.
        typed: bool,
        function: bool,
    },
}

/// An extern symbol.
#[derive(Clone, Debug)]
pub(crate) struct Extern {
    pub name: String,
    pub kind: ExternKind,
    pub weak: bool,
}

/// All externs by the index of their symbol.
#[derive(Default)]
pub(crate) struct Externs {
    by_symbol: HashMap<usize, Extern>,
    /// Bytes of the `.kconfig` map, 0 where there is none.
    pub kconfig_size: u32,
}

/// What BTF says about the externs, looked up once.
struct Declarations<'a> {
    /// Variables and functions by name: the first of its name, as libbpf takes it.
    by_name: HashMap<&'a str, u32>,
    /// Data section of each variable or function.
    section_of: HashMap<u32, u32>,
}

impl<'a> Declarations<'a> {
    fn read(btf: &'a Btf) -> Self {
        let mut found = Declarations { by_name: HashMap::new(), section_of: HashMap::new() };
        for t in btf.iter() {
            match t.kind() {
                Kind::Var | Kind::Func => {
                    found.by_name.entry(t.name()).or_insert(t.id);
                }
                Kind::Datasec => {
                    for v in t.variables() {
                        found.section_of.entry(v.ty).or_insert(t.id);
                    }
                }
                _ => {}
            }
        }
        found
    }
}

impl Externs {
    /// Finds the externs among the symbols and fixes up the BTF for them.
    pub fn collect(elf: &Elf<'_>, btf: Option<&mut Btf>) -> Result<Self, ObjectError> {
        let wanted = || elf.symbols.iter().enumerate().filter(|(_, s)| s.is_extern() && !s.name.is_empty());
        let Some(btf) = btf else {
            return match wanted().next() {
                Some((_, s)) => Err(ObjectError::from(Problem::Extern(
                    "no BTF says what it is: compile with `-g`, or define it".to_owned(),
                ))
                .symbol(s.name)),
                None => Ok(Externs::default()),
            };
        };
        let dummy = add_dummy_ksym(btf);
        let declarations = Declarations::read(btf);
        let mut found: Vec<(usize, Extern)> = Vec::new();
        for (index, symbol) in wanted() {
            let kind = classify(btf, &declarations, symbol)
                .map_err(|why| ObjectError::from(Problem::Extern(why)).symbol(symbol.name))?;
            found.push((index, Extern { name: symbol.name.to_owned(), kind, weak: symbol.is_weak() }));
        }
        let kconfig_size = place_kconfig(&mut found)?;
        let externs = Externs { by_symbol: found.into_iter().collect(), kconfig_size };
        externs.fix_btf(btf, dummy)?;
        Ok(externs)
    }

    /// The extern behind a symbol.
    pub fn get(&self, symbol: usize) -> Option<&Extern> {
        self.by_symbol.get(&symbol)
    }

    /// Turns externs into variables that the kernel's BTF check accepts.
    fn fix_btf(&self, btf: &mut Btf, dummy: Option<u32>) -> Result<(), ObjectError> {
        let by_name: HashMap<&str, &Extern> = self.by_symbol.values().map(|e| (e.name.as_str(), e)).collect();
        let has = |name: &str| {
            self.by_symbol.values().any(|e| match e.kind {
                ExternKind::Kconfig { .. } => name == KCONFIG,
                ExternKind::Ksym { .. } => name == KSYMS,
            })
        };
        for section in [KSYMS, KCONFIG].into_iter().filter(|s| has(s)) {
            let Some(t) = btf.find(Kind::Datasec, section) else { continue };
            let id = t.id;
            let mut variables: Vec<VarSecinfo> = t.variables().collect();
            let mut size = 0;
            for v in &mut variables {
                let name = btf.get(v.ty).map_or("", |t| t.name()).to_owned();
                let Some(found) = by_name.get(name.as_str()) else {
                    return Err(ObjectError::from(Problem::Extern(format!(
                        "BTF lists it in `{section}`, but the symbol table has no such extern"
                    )))
                    .symbol(&name));
                };
                match found.kind {
                    ExternKind::Kconfig { offset, size: bytes, .. } => {
                        btf.set_linkage(v.ty, Linkage::Global);
                        v.offset = offset;
                        size = size.max(offset + bytes);
                    }
                    ExternKind::Ksym { .. } => {
                        fix_ksym(btf, v, dummy);
                        v.offset = size;
                        v.size = 4;
                        size += 4;
                    }
                }
            }
            btf.set_size_or_type(id, size);
            btf.set_variables(id, &variables);
        }
        Ok(())
    }
}

/// The first 32-bit integer type, 0 for none (`find_int_btf_id`).
fn int_id(btf: &Btf) -> u32 {
    btf.iter().find(|t| t.int_encoding().is_some_and(|(_, _, bits)| bits == 32)).map_or(0, |t| t.id)
}

/// Adds the variable that stands for functions in `.ksyms`, where there are any (`add_dummy_ksym_var`).
fn add_dummy_ksym(btf: &mut Btf) -> Option<u32> {
    let section = btf.find(Kind::Datasec, KSYMS)?;
    section.variables().find(|v| btf.get(v.ty).is_some_and(|t| t.kind() == Kind::Func))?;
    let int = int_id(btf);
    Some(btf.add_type(Kind::Var, "dummy_ksym", 0, int, &[Linkage::Global as u32]))
}

fn fix_ksym(btf: &mut Btf, v: &mut VarSecinfo, dummy: Option<u32>) {
    let Some(t) = btf.get(v.ty) else { return };
    let (id, behind) = (t.id, t.size_or_type());
    if t.kind() == Kind::Func {
        let name = dummy.and_then(|id| btf.get(id)).map_or(0, |t| t.name_off());
        btf.name_params(behind, name);
        btf.set_linkage(id, Linkage::Global);
        v.ty = dummy.unwrap_or(0);
    } else {
        btf.set_linkage(id, Linkage::Global);
        btf.set_size_or_type(id, int_id(btf));
    }
}

fn classify(btf: &Btf, declarations: &Declarations<'_>, symbol: &Symbol<'_>) -> Result<ExternKind, String> {
    let t = declarations.by_name.get(symbol.name).and_then(|&id| btf.get(id)).ok_or(UNLINKED)?;
    if t.linkage() != Some(Linkage::Extern) {
        return Err("its BTF says that it is defined here".to_owned());
    }
    let section = declarations.section_of.get(&t.id).and_then(|&id| btf.get(id)).ok_or(UNLINKED)?;
    match section.name() {
        KSYMS => Ok(ExternKind::Ksym {
            typed: btf.skip_modifiers(t.size_or_type()).is_some(),
            function: t.kind() == Kind::Func,
        }),
        KCONFIG if t.kind() == Kind::Func => Err("a function cannot be a configuration value".to_owned()),
        KCONFIG => {
            let ty = t.size_or_type();
            if !is_kconfig_type(btf, ty) {
                return Err(
                    "configuration values are integers, bool, char arrays or libbpf_tristate".to_owned()
                );
            }
            match (btf.size_of(ty), btf.align_of(ty)) {
                (Some(size), Some(align)) if size > 0 => Ok(ExternKind::Kconfig { offset: 0, align, size }),
                _ => Err("its type has no size".to_owned()),
            }
        }
        // `.maps` and sections of data: of another object, as is what stands in no section.
        _ => Err(UNLINKED.to_owned()),
    }
}

/// libbpf's `find_kcfg_type`, but for which of the types it is.
fn is_kconfig_type(btf: &Btf, id: u32) -> bool {
    let Some(t) = btf.skip_modifiers(id) else { return false };
    let is_char = |id| btf.skip_modifiers(id).is_some_and(|t| t.kind() == Kind::Int && t.size_or_type() == 1);
    match t.kind() {
        Kind::Int => t.size_or_type().is_power_of_two() && t.size_or_type() <= 8,
        Kind::Enum | Kind::Enum64 => t.name() == "libbpf_tristate",
        Kind::Array => t.array().is_some_and(|a| a.nelems != 0 && is_char(a.elem)),
        _ => false,
    }
}

/// Gives configuration values their places: largest alignment first, then smallest size, then by name.
fn place_kconfig(found: &mut [(usize, Extern)]) -> Result<u32, ObjectError> {
    found.sort_by(|(_, a), (_, b)| match (a.kind, b.kind) {
        (
            ExternKind::Kconfig { align: aa, size: sa, .. },
            ExternKind::Kconfig { align: ab, size: sb, .. },
        ) => ab.cmp(&aa).then(sa.cmp(&sb)).then_with(|| a.name.cmp(&b.name)),
        _ => std::cmp::Ordering::Equal,
    });
    let mut end = 0_u32;
    for (_, e) in found {
        if let ExternKind::Kconfig { offset, align, size } = &mut e.kind {
            let place = end.checked_next_multiple_of((*align).max(1));
            let Some((place, next)) = place.and_then(|p| Some((p, p.checked_add(*size)?))) else {
                return Err(ObjectError::from(Problem::TooLarge {
                    what: "the configuration value, in bytes,",
                    size: u64::from(*size),
                    limit: u64::from(u32::MAX),
                })
                .symbol(&e.name));
            };
            *offset = place;
            end = next;
        }
    }
    Ok(end)
}
