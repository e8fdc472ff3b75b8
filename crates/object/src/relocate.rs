// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each relocated instruction refers to (libbpf's `bpf_program__record_reloc`). Recorded once for each
//! function, applied in each program that the function becomes a part of.

use std::collections::HashMap;

use goblin::elf::sym::{STT_FUNC, STT_SECTION};
use skep_isa::Insn;

use crate::elf::{Elf, Relocation, Section, Symbol};
use crate::externs::Externs;
use crate::functions::Functions;
use crate::maps::{MapRef, Maps};
use crate::{ObjectError, Problem};

/// What an instruction refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `ld_imm64` of a map.
    Map(usize),
    /// `ld_imm64` of an address in the value of a map.
    MapValue { map: usize, offset: i32 },
    /// `call` of a function, or `ld_imm64` of its address (`BPF_PSEUDO_FUNC`).
    Function(usize),
    /// `call` or `ld_imm64` of an extern, by the index of its symbol.
    Extern(usize),
}

/// Relocations of the BPF psABI that clang and the static linker emit.
const R_BPF: &[(u32, &str)] = &[
    (1, "R_BPF_64_64"),
    (2, "R_BPF_64_ABS64"),
    (3, "R_BPF_64_ABS32"),
    (4, "R_BPF_64_NODYLD32"),
    (10, "R_BPF_64_32"),
];

/// The targets of one function, by instruction relative to its start.
pub(crate) type Targets = HashMap<usize, Target>;

/// Reads the relocations of all functions, in the order of the functions.
pub(crate) fn collect(
    elf: &Elf<'_>,
    functions: &Functions,
    maps: &Maps,
    externs: &Externs,
) -> Result<Vec<Targets>, ObjectError> {
    let mut all = vec![Targets::new(); functions.all.len()];
    let context = Context { elf, functions, maps, externs };
    for table in elf.sections.iter().filter(|s| s.kind == goblin::elf::section_header::SHT_REL) {
        let Some(section) = elf.sections.get(table.info).filter(|s| s.is_executable()) else { continue };
        for r in elf.relocations(table)? {
            let fail = |why| section.error(Problem::Relocation(why)).at(r.offset);
            if !R_BPF.iter().any(|known| known.0 == r.kind) {
                let known: Vec<_> = R_BPF.iter().map(|k| k.1).collect();
                return Err(fail(format!("type {} is unknown; known are {}", r.kind, known.join(", "))));
            }
            if r.offset % Insn::SIZE as u64 != 0 || r.offset >= section.data.len() as u64 {
                return Err(fail("is not at an instruction of its section".to_owned()));
            }
            let insn = r.offset as usize / Insn::SIZE;
            // Code of a weak function that the static linker dropped belongs to no function.
            let Some(index) = functions.holding(section.index, insn) else { continue };
            let at = insn - functions.all[index].start;
            let target = context
                .target(section, index, at, &r)
                .map_err(|(name, problem)| section.error(problem).at(r.offset).symbol(&name))?;
            all[index].insert(at, target);
        }
    }
    Ok(all)
}

struct Context<'a, 'e> {
    elf: &'a Elf<'e>,
    functions: &'a Functions,
    maps: &'a Maps,
    externs: &'a Externs,
}

impl Context<'_, '_> {
    fn target(
        &self,
        section: &Section<'_>,
        function: usize,
        at: usize,
        r: &Relocation,
    ) -> Result<Target, (String, Problem)> {
        let symbol = self.elf.symbols.get(r.symbol).ok_or_else(|| {
            (String::new(), Problem::Relocation(format!("symbol {} is not there", r.symbol)))
        })?;
        let name = self.elf.symbol_name(symbol).to_owned();
        self.classify(section, function, at, r, symbol).map_err(|problem| (name, problem))
    }

    fn classify(
        &self,
        section: &Section<'_>,
        function: usize,
        at: usize,
        r: &Relocation,
        symbol: &Symbol<'_>,
    ) -> Result<Target, Problem> {
        let why = |text: &str| Problem::Relocation(text.to_owned());
        let insns = &self.functions.all[function].insns;
        let insn = insns[at];
        if insn.is_ld_imm64() {
            if at + 1 >= insns.len() {
                return Err(why("is at a 64-bit load that the end of the function cuts"));
            }
        } else if !insn.is_call() {
            return Err(Problem::Relocation(format!(
                "is at an instruction of opcode {:#04x}, which is neither a 64-bit load nor a call",
                insn.code
            )));
        }
        if symbol.is_extern() {
            return match self.externs.get(r.symbol) {
                Some(_) => Ok(Target::Extern(r.symbol)),
                None => Err(why("is against an undefined symbol without a name")),
            };
        }
        if insn.is_call() {
            return self.call(insn, symbol);
        }
        if self.is_subprog(symbol) {
            let byte = symbol.value.wrapping_add_signed(i64::from(insn.imm));
            return self.function(symbol.section, byte, "address");
        }
        match self.maps.reference(self.elf, symbol.section, symbol.value, insn.imm) {
            Ok(MapRef::Map(map)) => Ok(Target::Map(map)),
            Ok(MapRef::Value(map)) => {
                Ok(Target::MapValue { map, offset: insn.imm.wrapping_add(symbol.value as i32) })
            }
            Err(text) if section.index == symbol.section => {
                Err(Problem::Relocation(format!("{text}; functions whose address is taken must be in .text")))
            }
            Err(text) => Err(Problem::Relocation(text)),
        }
    }

    /// A call by symbol (then the immediate is −1) or by section and addend.
    fn call(&self, insn: Insn, symbol: &Symbol<'_>) -> Result<Target, Problem> {
        if insn.src != 1 {
            return Err(Problem::Relocation(
                "is at a call that is not to a function of the object".to_owned(),
            ));
        }
        if self.functions.text != Some(symbol.section) {
            return Err(Problem::Relocation(
                "calls a function outside of .text; only functions without SEC() can be called".to_owned(),
            ));
        }
        let slots = i64::from(insn.imm) + 1;
        self.function(symbol.section, symbol.value.wrapping_add_signed(slots * 8), "call")
    }

    fn function(&self, section: usize, byte: u64, what: &str) -> Result<Target, Problem> {
        if !byte.is_multiple_of(Insn::SIZE as u64) {
            return Err(Problem::Relocation(format!("{what} of byte {byte:#x}, inside of an instruction")));
        }
        let insn = usize::try_from(byte / Insn::SIZE as u64).map_err(|_| Problem::CallTarget)?;
        self.functions.holding(section, insn).map(Target::Function).ok_or(Problem::CallTarget)
    }

    /// libbpf's `sym_is_subprog`.
    fn is_subprog(&self, symbol: &Symbol<'_>) -> bool {
        self.functions.text == Some(symbol.section)
            && if symbol.is_local() { symbol.kind == STT_SECTION } else { symbol.kind == STT_FUNC }
    }
}
