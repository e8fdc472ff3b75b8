// SPDX-License-Identifier: MIT OR Apache-2.0
//! ELF objects for libbpf: programs in their sections, subprograms in `.text`, BTF-defined maps, data sections,
//! license, BTF with functions and lines.
//!
//! What [`crate::load`] makes of the result has the same instructions, if subprograms stand in the order of their
//! first use and BTF-defined maps before data sections, which is the order that libbpf gives them anyway.
//! Types of keys, values and parameters are not kept: maps have sizes, functions no parameters.

mod code;
mod debug;
mod maps;

use std::collections::HashMap;

use object::write::{
    Object as ElfObject, Relocation, SectionId, StandardSection, Symbol, SymbolId, SymbolSection,
};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags,
    SymbolKind, SymbolScope, elf,
};
use skep_program::Object;

use crate::WriteError;
use code::{Code, Place, Reference};
use maps::{MapHome, MapLayout};

/// Writes an object.
///
/// # Errors
/// [`WriteError`] names what an object file cannot carry: contents of maps that are no data sections, symbols and
/// configuration values of the kernel, CO-RE relocations, names that are no identifiers.
pub fn write(object: &Object) -> Result<Vec<u8>, WriteError> {
    let code = Code::plan(object)?;
    let mut layout = MapLayout::plan(object)?;
    let (btf, ext) = debug::build(object, &code, &mut layout.btf);
    let mut elf = Writer::new();
    let programs = elf.code(&code);
    elf.maps(object, &layout, &programs)?;
    elf.relocations(&code)?;
    let license = object.programs.first().map_or("", |p| p.license.as_str());
    elf.plain("license", [license.as_bytes(), &[0]].concat(), SectionKind::Data);
    let version = object.programs.iter().map(|p| p.kern_version).find(|&v| v != 0);
    if let Some(version) = version {
        elf.plain("version", version.to_le_bytes().to_vec(), SectionKind::Data);
    }
    elf.plain(".BTF", btf, SectionKind::Other);
    elf.plain(".BTF.ext", ext, SectionKind::Other);
    elf.out.write().map_err(|e| WriteError::Elf(e.to_string()))
}

struct Writer {
    out: ElfObject<'static>,
    code: Vec<SectionId>,
    /// What a reference to a map is relocated against.
    maps: HashMap<usize, SymbolId>,
}

impl Writer {
    fn new() -> Self {
        let out = ElfObject::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        Writer { out, code: Vec::new(), maps: HashMap::new() }
    }

    fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        // The writer knows .text by itself; all others are made as they are named.
        if name == ".text" {
            return self.out.section_id(StandardSection::Text);
        }
        let id = self.out.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
        let alloc = elf::SHF_ALLOC;
        let (sh_type, sh_flags) = match kind {
            SectionKind::Text => (elf::SHT_PROGBITS, alloc | elf::SHF_EXECINSTR),
            SectionKind::ReadOnlyData => (elf::SHT_PROGBITS, alloc),
            SectionKind::UninitializedData => (elf::SHT_NOBITS, alloc | elf::SHF_WRITE),
            SectionKind::Data => (elf::SHT_PROGBITS, alloc | elf::SHF_WRITE),
            _ => (elf::SHT_PROGBITS, elf::SectionFlags(0)),
        };
        self.out.section_mut(id).flags = SectionFlags::Elf { sh_type, sh_flags };
        id
    }

    fn plain(&mut self, name: &str, data: Vec<u8>, kind: SectionKind) {
        let id = self.section(name, kind);
        self.out.set_section_data(id, data, 8);
    }

    fn symbol(
        &mut self,
        name: &str,
        section: SectionId,
        at: usize,
        size: usize,
        kind: SymbolKind,
        global: bool,
    ) -> SymbolId {
        self.out.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: at as u64,
            size: size as u64,
            kind,
            scope: if global { SymbolScope::Dynamic } else { SymbolScope::Compilation },
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    /// Sections of code and their functions; the symbols of programs by name.
    fn code(&mut self, code: &Code) -> HashMap<String, SymbolId> {
        let mut programs = HashMap::new();
        for section in &code.sections {
            let id = self.section(&section.name, SectionKind::Text);
            self.out.set_section_data(id, skep_program::insns_to_bytes(&section.insns), 8);
            self.code.push(id);
            for f in &section.functions {
                let symbol = self.symbol(&f.name, id, f.start * 8, f.len * 8, SymbolKind::Text, f.global);
                if section.name != code::TEXT {
                    programs.insert(f.name.clone(), symbol);
                }
            }
        }
        programs
    }

    fn maps(
        &mut self,
        object: &Object,
        layout: &MapLayout,
        programs: &HashMap<String, SymbolId>,
    ) -> Result<(), WriteError> {
        let mut defined = None;
        if layout.size != 0 {
            let id = self.section(crate::maps::MAPS, SectionKind::Data);
            self.out.set_section_data(id, vec![0; layout.size], 8);
            defined = Some(id);
        }
        for (index, spec) in object.maps.iter().enumerate() {
            let symbol = match (&layout.homes[index], defined) {
                (MapHome::Defined { at, size, .. }, Some(id)) => {
                    self.symbol(&spec.name, id, *at, *size, SymbolKind::Data, true)
                }
                (MapHome::Data { variable, visible }, _) => {
                    let size = spec.value_size as usize;
                    let bss = spec.name.starts_with(".bss");
                    let kind = match () {
                        () if bss => SectionKind::UninitializedData,
                        () if spec.frozen => SectionKind::ReadOnlyData,
                        () => SectionKind::Data,
                    };
                    let id = self.section(&spec.name, kind);
                    if bss {
                        self.out.append_section_bss(id, size as u64, 8);
                    } else {
                        let mut data = spec.entries.first().map(|e| e.1.clone()).unwrap_or_default();
                        data.resize(size, 0);
                        self.out.set_section_data(id, data, 8);
                    }
                    self.symbol(variable, id, 0, size, SymbolKind::Data, *visible);
                    self.out.section_symbol(id)
                }
                (MapHome::Defined { .. }, None) => continue,
            };
            self.maps.insert(index, symbol);
        }
        let Some(id) = defined else { return Ok(()) };
        for (at, content, map) in layout.slots(object) {
            let symbol = match content {
                skep_program::Slot::Map(target) => self.maps.get(target),
                skep_program::Slot::Program(name) => programs.get(name),
            };
            let symbol = *symbol.ok_or_else(|| WriteError::Map {
                map: map.to_owned(),
                why: format!("a slot refers to {content:?}, which is not there"),
            })?;
            self.relocation(id, at, symbol, elf::R_BPF_64_64)?;
        }
        Ok(())
    }

    fn relocation(
        &mut self,
        section: SectionId,
        at: usize,
        symbol: SymbolId,
        r_type: elf::RelocationType,
    ) -> Result<(), WriteError> {
        let flags = RelocationFlags::Elf { r_type };
        let relocation = Relocation { offset: at as u64, symbol, addend: 0, flags };
        self.out.add_relocation(section, relocation).map_err(|e| WriteError::Elf(e.to_string()))
    }

    fn relocations(&mut self, code: &Code) -> Result<(), WriteError> {
        let text = code.sections.iter().position(|s| s.name == code::TEXT).map(|i| self.code[i]);
        for (index, section) in code.sections.iter().enumerate() {
            for &Place { insn, reference } in &section.references {
                let (symbol, r_type) = match reference {
                    Reference::Map(map) => (self.maps.get(&map).copied(), elf::R_BPF_64_64),
                    Reference::Address => (text.map(|t| self.out.section_symbol(t)), elf::R_BPF_64_64),
                    Reference::Call => (text.map(|t| self.out.section_symbol(t)), elf::R_BPF_64_32),
                };
                if let Some(symbol) = symbol {
                    self.relocation(self.code[index], insn * 8, symbol, r_type)?;
                }
            }
        }
        Ok(())
    }
}
