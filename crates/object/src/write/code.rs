// SPDX-License-Identifier: MIT OR Apache-2.0
//! Code for an object: programs cut into functions, entries by section, subprograms once each in `.text`, and the
//! instructions that need a relocation.

use std::collections::{BTreeSet, HashMap};

use skep_isa::Insn;
use skep_program::{Function, Object, Program, Requirement};

use super::maps::is_data;
use crate::WriteError;

/// Section of subprograms.
pub(super) const TEXT: &str = ".text";

/// Sections that mean something else than programs.
const RESERVED: &[&str] =
    &[TEXT, "license", "version", "maps", ".maps", ".BTF", ".BTF.ext", ".symtab", ".strtab"];

/// What a relocated instruction refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// A map or a place in its value.
    Map(usize),
    /// Call of a function of `.text`, the immediate being its first instruction less one.
    Call,
    /// Address of a function of `.text`, the immediate being its offset in bytes.
    Address,
}

/// A relocated instruction of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub insn: usize,
    pub reference: Reference,
}

/// A function in its section.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub name: String,
    pub start: usize,
    pub len: usize,
    pub global: bool,
    /// Program that it was taken from, and where it starts there: for its source lines.
    pub program: usize,
    pub origin: usize,
}

/// A section of code.
#[derive(Clone, Debug, Default)]
pub(super) struct CodeSection {
    pub name: String,
    pub insns: Vec<Insn>,
    pub functions: Vec<Placed>,
    pub references: Vec<Place>,
}

/// All sections of code; `.text` first where there are subprograms, as compilers put it.
#[derive(Clone, Debug, Default)]
pub(super) struct Code {
    pub sections: Vec<CodeSection>,
}

/// A function cut out of a program: calls lead to names.
#[derive(Clone, Debug, PartialEq)]
struct Cut {
    /// Immediates of calls and addresses are zero, as they depend on the place.
    insns: Vec<Insn>,
    /// Instruction, name of the function that it refers to.
    calls: Vec<(usize, String)>,
    global: bool,
}

fn program_error(program: &Program, why: impl Into<String>) -> WriteError {
    WriteError::Program { program: program.name.clone(), why: why.into() }
}

/// Which instruction a call or an address of a function leads to; `None` for all others.
fn function_target(insns: &[Insn], at: usize) -> Option<usize> {
    let insn = insns[at];
    let refers = (insn.is_call() && insn.src == 1) || (insn.is_ld_imm64() && insn.src == 4);
    refers.then(|| (at as i64 + 1 + i64::from(insn.imm)) as usize)
}

/// First slots of all instructions.
fn starts(insns: &[Insn]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let now = at;
        let insn = insns.get(now)?;
        at += if insn.is_ld_imm64() { 2 } else { 1 };
        Some(now)
    })
}

/// The functions of a program: those that it names, and whatever else is called.
fn functions_of(program: &Program) -> Result<Vec<Function>, WriteError> {
    let mut begin: BTreeSet<usize> = program.functions.iter().map(|f| f.start).collect();
    begin.insert(0);
    for at in starts(&program.insns) {
        if let Some(target) = function_target(&program.insns, at) {
            begin.insert(target);
        }
    }
    if let Some(&last) = begin.last()
        && last >= program.insns.len()
    {
        return Err(program_error(
            program,
            format!("a function would start at {last}, past the last instruction"),
        ));
    }
    let named: HashMap<usize, &Function> = program.functions.iter().map(|f| (f.start, f)).collect();
    Ok(begin
        .into_iter()
        .map(|start| match named.get(&start) {
            _ if start == 0 => Function { name: program.name.clone(), start, global: true },
            Some(f) => (*f).clone(),
            None => Function { name: format!("{}_sub_{start}", program.name), start, global: false },
        })
        .collect())
}

fn cut(program: &Program, functions: &[Function], index: usize) -> Cut {
    let start = functions[index].start;
    let end = functions.get(index + 1).map_or(program.insns.len(), |f| f.start);
    let mut insns = program.insns[start..end].to_vec();
    let mut calls = Vec::new();
    for at in starts(&program.insns[start..end]) {
        if let Some(target) = function_target(&program.insns, start + at) {
            let callee = functions.partition_point(|f| f.start <= target) - 1;
            calls.push((at, functions[callee].name.clone()));
            insns[at].imm = 0;
        }
    }
    Cut { insns, calls, global: functions[index].global }
}

/// What only a compiler can put into an object.
fn check(program: &Program) -> Result<(), WriteError> {
    let open = program.requirements.iter().find(|r| {
        matches!(r, Requirement::CoreRelocations(_) | Requirement::KernelSymbol(_) | Requirement::Kconfig(_))
    });
    if let Some(requirement) = open {
        return Err(program_error(
            program,
            format!("needs {requirement}, which an object file written here cannot carry"),
        ));
    }
    if let Some(r) = program.btf_refs.first() {
        return Err(program_error(
            program,
            format!("refers to kernel symbol `{}`, which an object file written here cannot carry", r.name),
        ));
    }
    if program.insns.is_empty() {
        return Err(program_error(program, "has no instructions"));
    }
    Ok(())
}

/// What the kernel takes as the name of a function in BTF.
fn is_function_name(name: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '.';
    name.starts_with(start) && name.chars().all(|c| start(c) || c.is_ascii_digit())
}

fn section_name(program: &Program) -> Result<String, WriteError> {
    let by_type = || skep_uapi::section::name_for(program.prog_type, program.expected_attach_type);
    let name =
        if program.section.is_empty() { by_type().unwrap_or_default() } else { program.section.as_str() };
    let data = [".data", ".rodata", ".bss", ".rel", ".debug"].iter().any(|p| name.starts_with(p));
    if name.is_empty() {
        return Err(program_error(
            program,
            "has neither a section nor a type that a section name would give it",
        ));
    }
    if RESERVED.contains(&name) || data {
        return Err(program_error(program, format!("section `{name}` means something else than programs")));
    }
    Ok(name.to_owned())
}

impl Code {
    pub fn plan(object: &Object) -> Result<Code, WriteError> {
        let mut text = CodeSection { name: TEXT.to_owned(), ..CodeSection::default() };
        let mut known: HashMap<String, Cut> = HashMap::new();
        let mut pending: Vec<(usize, Placed, Cut)> = Vec::new();
        let mut sections: Vec<CodeSection> = Vec::new();
        for (number, program) in object.programs.iter().enumerate() {
            check(program)?;
            let name = section_name(program)?;
            let functions = functions_of(program)?;
            for (index, f) in functions.iter().enumerate() {
                if !is_function_name(&f.name) {
                    return Err(program_error(program, format!("`{}` is no name of a function", f.name)));
                }
                let piece = cut(program, &functions, index);
                let section = if index == 0 {
                    sections.iter().position(|s| s.name == name).unwrap_or_else(|| {
                        sections.push(CodeSection { name: name.clone(), ..CodeSection::default() });
                        sections.len() - 1
                    }) + 1
                } else {
                    match known.get(&f.name) {
                        Some(same) if *same == piece => continue,
                        Some(_) => {
                            return Err(program_error(
                                program,
                                format!(
                                    "function `{}` is another than that of the same name in an earlier program",
                                    f.name
                                ),
                            ));
                        }
                        None => known.insert(f.name.clone(), piece.clone()),
                    };
                    0
                };
                let home = if section == 0 { &mut text } else { &mut sections[section - 1] };
                let placed = Placed {
                    name: f.name.clone(),
                    start: home.insns.len(),
                    len: piece.insns.len(),
                    global: f.global || index == 0,
                    program: number,
                    origin: f.start,
                };
                home.insns.extend(&piece.insns);
                home.functions.push(placed.clone());
                pending.push((section, placed, piece));
            }
        }
        let at: HashMap<String, usize> = text.functions.iter().map(|f| (f.name.clone(), f.start)).collect();
        let mut all = vec![text];
        all.append(&mut sections);
        for (section, placed, piece) in pending {
            refer(&mut all[section], &placed, &piece, &at, object)?;
        }
        if all[0].insns.is_empty() {
            all.remove(0);
        }
        Ok(Code { sections: all })
    }
}

/// Turns the references of a function into relocations with the addends that go into its instructions.
fn refer(
    section: &mut CodeSection,
    placed: &Placed,
    piece: &Cut,
    at: &HashMap<String, usize>,
    object: &Object,
) -> Result<(), WriteError> {
    let program = &object.programs[placed.program];
    for (insn, name) in &piece.calls {
        let target = *at
            .get(name)
            .ok_or_else(|| program_error(program, format!("calls `{name}`, which is a program")))?;
        let insn = placed.start + insn;
        if section.insns[insn].is_call() {
            section.insns[insn].imm = target as i32 - 1;
            section.references.push(Place { insn, reference: Reference::Call });
        } else {
            section.insns[insn].imm = (target * Insn::SIZE) as i32;
            section.insns[insn].src = 0;
            section.references.push(Place { insn, reference: Reference::Address });
        }
    }
    for local in starts(&piece.insns) {
        let insn = piece.insns[local];
        if !insn.is_ld_imm64() || !matches!(insn.src, 5 | 6) {
            continue;
        }
        let map = insn.imm as usize;
        if map >= object.maps.len() {
            return Err(program_error(program, format!("refers to map {map} of {}", object.maps.len())));
        }
        // libbpf reads a reference to a data section as one into its value, and to any other map as the map.
        let spec = &object.maps[map];
        match (insn.src == 6, is_data(spec)) {
            (true, false) => {
                let why =
                    "takes the address of the value of map `NAME`, which ELF only has for data sections";
                return Err(program_error(program, why.replace("NAME", &spec.name)));
            }
            (false, true) => {
                let why = "refers to data section `NAME` as a map, which ELF cannot say";
                return Err(program_error(program, why.replace("NAME", &spec.name)));
            }
            _ => {}
        }
        let here = placed.start + local;
        // libbpf sums the addend of the first slot with the symbol and writes it into the second.
        let offset =
            if insn.src == 6 { section.insns.get(here + 1).map_or(0, |second| second.imm) } else { 0 };
        section.insns[here].src = 0;
        section.insns[here].imm = offset;
        if let Some(second) = section.insns.get_mut(here + 1) {
            second.imm = 0;
        }
        section.references.push(Place { insn: here, reference: Reference::Map(map) });
    }
    section.references.sort_by_key(|p| p.insn);
    Ok(())
}
