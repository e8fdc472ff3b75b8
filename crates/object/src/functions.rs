// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions of an object: every `STT_FUNC` symbol of an executable section, in the order of section and
//! offset (libbpf's `bpf_object__add_programs`). Those of `.text` are subprograms, all others programs.
//!
//! Guarantee: functions do not overlap, so all of them together are no larger than the file.

use std::collections::HashMap;

use goblin::elf::section_header::SHT_PROGBITS;
use goblin::elf::sym::STT_FUNC;
use skep_isa::Insn;

use crate::elf::{Elf, Section};
use crate::{ObjectError, Problem};

/// A function as it stands in its section.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub name: String,
    /// Index of its section.
    pub section: usize,
    /// First instruction, counted from the start of the section.
    pub start: usize,
    pub insns: Vec<Insn>,
    pub global: bool,
    /// Global with restricted visibility: the verifier shall treat it as static.
    pub hidden: bool,
}

impl Function {
    fn end(&self) -> usize {
        self.start + self.insns.len()
    }
}

/// All functions, sorted.
pub(crate) struct Functions {
    pub all: Vec<Function>,
    /// Section index of `.text`, where there is one that is not empty.
    pub text: Option<usize>,
    /// Programs by name; the first of its name.
    programs: HashMap<String, usize>,
}

impl Functions {
    pub fn collect(elf: &Elf<'_>) -> Result<Self, ObjectError> {
        let is_code = |s: &&Section<'_>| s.kind == SHT_PROGBITS && s.is_executable() && !s.data.is_empty();
        let text = elf.sections.iter().filter(is_code).find(|s| s.name == ".text").map(|s| s.index);
        let mut all = Vec::new();
        for symbol in elf.symbols.iter().filter(|s| s.kind == STT_FUNC) {
            let Some(section) = elf.sections.get(symbol.section).filter(is_code) else { continue };
            let fail = |problem| Err(section.error(problem).symbol(symbol.name).at(symbol.value));
            if text != Some(section.index) && symbol.is_local() {
                return fail(Problem::StaticProgram);
            }
            let end = symbol.value.checked_add(symbol.size);
            let whole = symbol.size != 0 && symbol.size % 8 == 0 && symbol.value % 8 == 0;
            if !whole || end.is_none_or(|end| end > section.data.len() as u64) {
                return fail(Problem::FunctionBounds { start: symbol.value, size: symbol.size });
            }
            // An alias names instructions that a function has already: the first name stays.
            let code = &section.data[symbol.value as usize..(symbol.value + symbol.size) as usize];
            all.push((symbol, section, code));
        }
        all.sort_by_key(|(symbol, section, _)| (section.index, symbol.value));
        all.dedup_by_key(|(symbol, section, _)| (section.index, symbol.value, symbol.size));
        for pair in all.windows(2) {
            let ((a, sa, _), (b, sb, _)) = (&pair[0], &pair[1]);
            if sa.index == sb.index && a.value + a.size > b.value {
                return Err(sb.error(Problem::FunctionOverlap).symbol(b.name).at(b.value));
            }
        }
        let all: Vec<Function> = all
            .into_iter()
            .map(|(symbol, section, code)| Function {
                name: symbol.name.to_owned(),
                section: section.index,
                start: symbol.value as usize / Insn::SIZE,
                insns: code.as_chunks::<8>().0.iter().map(|b| Insn::from_bytes(*b)).collect(),
                global: !symbol.is_local(),
                hidden: symbol.is_global() && symbol.is_hidden(),
            })
            .collect();
        let mut programs = HashMap::new();
        for (i, f) in all.iter().enumerate().filter(|(_, f)| Some(f.section) != text) {
            programs.entry(f.name.clone()).or_insert(i);
        }
        Ok(Functions { all, text, programs })
    }

    /// Whether a function is only ever part of a program.
    pub fn is_subprog(&self, index: usize) -> bool {
        Some(self.all[index].section) == self.text
    }

    /// The function that holds an instruction of a section (`find_prog_by_sec_insn`).
    pub fn holding(&self, section: usize, insn: usize) -> Option<usize> {
        let after = self.all.partition_point(|f| (f.section, f.start) <= (section, insn));
        let index = after.checked_sub(1)?;
        let f = &self.all[index];
        (f.section == section && insn < f.end()).then_some(index)
    }

    /// The program of a name.
    pub fn program(&self, name: &str) -> Option<usize> {
        self.programs.get(name).copied()
    }
}
