// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs from functions: a program is its own function followed by each subprogram that it reaches, in the
//! order in which calls and address loads first name them, depth first (libbpf's `bpf_object__reloc_code`).

use std::collections::HashMap;

use skep_isa::{Insn, opcode};
use skep_program::btf::{Btf, Kind, Linkage};
use skep_program::{BtfRef, BtfRefKind, Function, Program, Requirement, SourceLine};

use crate::elf::Elf;
use crate::ext_info::{ExtInfo, Table};
use crate::externs::{ExternKind, Externs};
use crate::functions::Functions;
use crate::maps::Maps;
use crate::relocate::{Target, Targets};
use crate::{ObjectError, Problem};

/// Most bytes of instructions and records in all programs of an object together: a small file can make each of
/// many programs reach each of many functions.
const MAX_TOTAL: usize = 256 << 20;

/// `BPF_PSEUDO_*` values of the source register.
mod pseudo {
    pub const CALL: u8 = 1;
    pub const KFUNC_CALL: u8 = 2;
    pub const BTF_ID: u8 = 3;
    pub const FUNC: u8 = 4;
    pub const MAP_IDX: u8 = 5;
    pub const MAP_IDX_VALUE: u8 = 6;
}

/// All that programs are stitched from.
pub(crate) struct Stitcher<'a> {
    pub elf: &'a Elf<'a>,
    pub functions: &'a Functions,
    pub targets: &'a [Targets],
    pub externs: &'a Externs,
    pub maps: &'a Maps,
    pub ext: &'a ExtInfo<'a>,
    /// Exception callbacks by the name of the program.
    pub callbacks: HashMap<String, String>,
    /// Bytes left of [`MAX_TOTAL`].
    pub budget: usize,
}

/// A function whose instructions are being gone through.
struct Frame {
    function: usize,
    /// Where it starts in the program.
    place: usize,
    /// Next of its instructions to look at.
    next: usize,
}

/// The tag that names the exception callback of a program.
const CALLBACK_TAG: &str = "exception_callback:";

/// Exception callbacks by program, from declaration tags (`bpf_prog_assign_exc_cb`). A program with two has none,
/// which is the verifier's to complain about.
pub(crate) fn exception_callbacks(btf: &Btf) -> HashMap<String, String> {
    let mut found: HashMap<String, Option<String>> = HashMap::new();
    for tag in btf.iter().filter(|t| t.kind() == Kind::DeclTag && t.component() == Some(-1)) {
        let Some(callback) = tag.name().strip_prefix(CALLBACK_TAG) else { continue };
        let program = btf.get(tag.size_or_type()).filter(|t| t.kind() == Kind::Func);
        if let Some(program) = program.filter(|t| t.linkage() == Some(Linkage::Global)) {
            found
                .entry(program.name().to_owned())
                .and_modify(|c| *c = None)
                .or_insert_with(|| Some(callback.to_owned()));
        }
    }
    found.into_iter().filter_map(|(program, callback)| Some((program, callback?))).collect()
}

impl<'a> Stitcher<'a> {
    /// Stitchers start with the whole budget.
    pub const BUDGET: usize = MAX_TOTAL;

    /// Stitches the program whose entry is a function. Type, license and so on are the caller's to fill in.
    pub fn program(&mut self, entry: usize) -> Result<Program, ObjectError> {
        let mut program = Program { name: self.functions.all[entry].name.clone(), ..Program::default() };
        let mut places: HashMap<usize, usize> = HashMap::new();
        self.walk(&mut program, &mut places, entry)?;
        if let Some(callback) = self.callbacks.get(&program.name).cloned() {
            let index = self.callback(&program.name, &callback)?;
            if !places.contains_key(&index) {
                self.walk(&mut program, &mut places, index)?;
            }
        }
        program.functions.sort_by_key(|f| f.start);
        self.apply(&mut program, &places);
        program.lines = source_lines(&program);
        let core = program.core_relos.records().count() as usize;
        if core != 0 {
            program.requirements.push(Requirement::CoreRelocations(core));
        }
        Ok(program)
    }

    fn callback(&self, program: &str, name: &str) -> Result<usize, ObjectError> {
        let found = (0..self.functions.all.len())
            .find(|&i| self.functions.is_subprog(i) && self.functions.all[i].name == name);
        match found.map(|i| (i, &self.functions.all[i])) {
            Some((i, f)) if f.global && !f.hidden => Ok(i),
            Some(_) => {
                Err(Problem::Relocation(format!("exception callback `{name}` must be global and visible")))
            }
            None => Err(Problem::Relocation(format!("exception callback `{name}` is not there"))),
        }
        .map_err(|problem| ObjectError::from(problem).symbol(program))
    }

    /// Appends a function and, depth first, whatever it reaches. A stack of our own: chains of calls in a hostile
    /// file are as long as the file.
    fn walk(
        &mut self,
        program: &mut Program,
        places: &mut HashMap<usize, usize>,
        first: usize,
    ) -> Result<(), ObjectError> {
        let place = self.append(program, places, first)?;
        let mut frames = vec![Frame { function: first, place, next: 0 }];
        while let Some(frame) = frames.last_mut() {
            let f = &self.functions.all[frame.function];
            let (at, place) = (frame.next, frame.place);
            let Some(&insn) = f.insns.get(at) else {
                frames.pop();
                continue;
            };
            frame.next += 1;
            let Some(callee) = self.callee(frame.function, at, insn)? else { continue };
            let (to, new) = match places.get(&callee) {
                Some(&to) => (to, false),
                None => (self.append(program, places, callee)?, true),
            };
            let slot = &mut program.insns[place + at];
            slot.imm = (to as i64 - (place + at) as i64 - 1) as i32;
            if insn.is_ld_imm64() {
                slot.src = pseudo::FUNC;
            }
            if new {
                frames.push(Frame { function: callee, place: to, next: 0 });
            }
        }
        Ok(())
    }

    /// The function that an instruction calls or takes the address of.
    fn callee(&self, function: usize, at: usize, insn: Insn) -> Result<Option<usize>, ObjectError> {
        let f = &self.functions.all[function];
        let target = self.targets[function].get(&at);
        if let Some(Target::Function(callee)) = target {
            return Ok(Some(*callee));
        }
        // A second slot of a 64-bit load has opcode 0, so no walk over slots takes it for a call.
        let address = insn.is_ld_imm64() && insn.src == pseudo::FUNC;
        let call = insn.is_call() && insn.src == pseudo::CALL;
        if (!call && !address) || target.is_some() {
            return Ok(None);
        }
        // Calls within .text need no relocation: they are relative to where the caller stands in its section.
        let slot = (f.start + at) as i64 + i64::from(insn.imm) + 1;
        let found = match (self.functions.text, usize::try_from(slot)) {
            (Some(text), Ok(slot)) if call => self.functions.holding(text, slot),
            _ => None,
        };
        found.map(Some).ok_or_else(|| {
            ObjectError::from(Problem::CallTarget)
                .in_section(f.section, self.elf.sections[f.section].name)
                .at(((f.start + at) * Insn::SIZE) as u64)
                .symbol(&f.name)
        })
    }

    /// Appends the instructions and records of a function; where it starts in the program.
    fn append(
        &mut self,
        program: &mut Program,
        places: &mut HashMap<usize, usize>,
        index: usize,
    ) -> Result<usize, ObjectError> {
        let f = &self.functions.all[index];
        let place = program.insns.len();
        let tables = [&self.ext.func_info, &self.ext.line_info, &self.ext.core_relos];
        let cost = f.insns.len() * size_of::<Insn>()
            + tables.iter().map(|t| t.bytes(index)).sum::<usize>()
            + self.ext.line_info.bytes(index) / 16 * size_of::<SourceLine>();
        self.budget = self.budget.checked_sub(cost).ok_or_else(|| {
            ObjectError::from(Problem::TooLarge {
                what: "the code of all programs with their subprograms, in bytes,",
                size: (MAX_TOTAL + cost - self.budget) as u64,
                limit: MAX_TOTAL as u64,
            })
            .symbol(&program.name)
        })?;
        places.insert(index, place);
        program.insns.extend(&f.insns);
        program.functions.push(Function {
            name: f.name.clone(),
            start: place,
            global: f.global && !f.hidden,
        });
        let main = place == 0;
        // Without records of the main function those of subprograms are left out; with them, all must have some.
        for (table, info) in
            [(&self.ext.func_info, &mut program.func_info), (&self.ext.line_info, &mut program.line_info)]
        {
            if main || !info.bytes.is_empty() {
                if !main && !table.has(index) {
                    return Err(missing_records(&program.name, &f.name));
                }
                Table::append(table, info, index, f.start, place, 1);
            }
        }
        self.ext.core_relos.append(&mut program.core_relos, index, f.start, place, Insn::SIZE as u32);
        Ok(place)
    }

    /// Applies references to maps, data and externs (`bpf_object__relocate_data`).
    fn apply(&self, program: &mut Program, places: &HashMap<usize, usize>) {
        let mut placed: Vec<(usize, usize)> = places.iter().map(|(&f, &place)| (place, f)).collect();
        placed.sort_unstable();
        for (place, function) in placed {
            let mut targets: Vec<_> = self.targets[function].iter().collect();
            targets.sort_unstable_by_key(|(at, _)| **at);
            for (&at, &target) in targets {
                self.apply_one(program, place + at, target);
            }
        }
    }

    fn apply_one(&self, program: &mut Program, at: usize, target: Target) {
        match target {
            Target::Function(_) => {}
            Target::Map(map) => {
                program.insns[at].src = pseudo::MAP_IDX;
                program.insns[at].imm = map as i32;
            }
            Target::MapValue { map, offset } => set_value(program, at, map, offset),
            Target::Extern(symbol) => self.apply_extern(program, at, symbol),
        }
    }

    fn apply_extern(&self, program: &mut Program, at: usize, symbol: usize) {
        let Some(e) = self.externs.get(symbol) else { return };
        let requirement = match e.kind {
            ExternKind::Kconfig { offset, .. } => {
                set_value(program, at, self.maps.kconfig.unwrap_or(0), offset as i32);
                Requirement::Kconfig(e.name.clone())
            }
            ExternKind::Ksym { typed, function } => {
                let call = program.insns[at].code == opcode::CALL;
                let insn = &mut program.insns[at];
                insn.imm = 0;
                if call {
                    insn.src = pseudo::KFUNC_CALL;
                } else if typed {
                    insn.src = pseudo::BTF_ID;
                }
                let kind = if call || function { BtfRefKind::Kfunc } else { BtfRefKind::Ksym };
                program.btf_refs.push(BtfRef { insn: at, kind, name: e.name.clone(), weak: e.weak });
                Requirement::KernelSymbol(e.name.clone())
            }
        };
        if !program.requirements.contains(&requirement) {
            program.requirements.push(requirement);
        }
    }
}

fn set_value(program: &mut Program, at: usize, map: usize, offset: i32) {
    program.insns[at].src = pseudo::MAP_IDX_VALUE;
    program.insns[at].imm = map as i32;
    program.insns[at + 1].imm = offset;
}

fn missing_records(program: &str, function: &str) -> ObjectError {
    ObjectError::from(Problem::ExtInfo(format!(
        "`{function}` has none, but `{program}` has; compile all of the object with `-g`"
    )))
    .symbol(program)
}

/// The source lines of a program by its `line_info`: line numbers are the upper 22 bits of the fourth word.
fn source_lines(program: &Program) -> Vec<SourceLine> {
    program
        .line_info
        .iter()
        .filter_map(|r| {
            let words = r.as_chunks::<4>().0;
            let insn = u32::from_le_bytes(*words.first()?) as usize;
            Some(SourceLine { insn, line: u32::from_le_bytes(*words.get(3)?) >> 10, span: None })
        })
        .collect()
}
