// SPDX-License-Identifier: MIT OR Apache-2.0
//! All maps of an object in the order in which libbpf creates them: BTF-defined ones in the order of `.maps`,
//! legacy ones, data sections in the order of sections, `.kconfig`, `struct_ops`; and what relocations need to
//! find them.
//!
//! Names of data maps are those of their sections; libbpf puts the name of the file before them.

use std::collections::HashMap;

use goblin::elf::section_header::{SHT_NOBITS, SHT_PROGBITS};
use skep_program::btf::{Btf, Kind, Linkage, VarSecinfo};
use skep_program::{MapSpec, Slot};
use skep_uapi::MapType;
use skep_uapi::flags::map_create::{BPF_F_LINK, BPF_F_MMAPABLE, BPF_F_RDONLY_PROG};

use crate::elf::{Elf, Relocation, Section};
use crate::externs::KCONFIG;
use crate::functions::Functions;
use crate::{ObjectError, Problem, legacy_map, map_def};

/// Section of BTF-defined maps.
pub(crate) const MAPS: &str = ".maps";

/// Section of variables in an arena (`__arena`).
const ARENA: &str = ".addr_space.1";

/// Sections of `struct_ops` maps, and the flags of the maps.
const STRUCT_OPS: &[(&str, u32)] = &[
    (".struct_ops", 0),
    (".struct_ops.link", BPF_F_LINK),
    ("?.struct_ops", 0),
    ("?.struct_ops.link", BPF_F_LINK),
];

/// What a section of data is to the loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataKind {
    Data,
    Rodata,
    Bss,
}

/// A program that a `struct_ops` map refers to, and as what.
#[derive(Clone, Debug)]
pub(crate) struct StructOpsUse {
    pub program: usize,
    /// `type::member`
    pub target: String,
}

/// A BTF-defined map or `struct_ops` map in its section: for relocations inside of map definitions.
struct Defined {
    map: usize,
    start: u64,
    end: u64,
    /// Where `values` start in the section.
    values: Option<u64>,
}

/// The maps.
#[derive(Default)]
pub(crate) struct Maps {
    pub specs: Vec<MapSpec>,
    /// Maps whose address is taken whole, by section and offset.
    at: HashMap<(usize, u64), usize>,
    /// Maps that stand for a whole section of data.
    data: HashMap<usize, usize>,
    /// Sections of legacy maps: references may have an addend.
    legacy: Vec<usize>,
    defined: Vec<Defined>,
    pub kconfig: Option<usize>,
    /// `struct_ops` maps by the id of their variable.
    struct_ops_maps: HashMap<u32, usize>,
    pub struct_ops: Vec<StructOpsUse>,
}

/// What a reference to a symbol in a section means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapRef {
    /// The map itself.
    Map(usize),
    /// Its value, to which the addend of the instruction and the symbol's value are added.
    Value(usize),
}

fn data_kind(section: &Section<'_>) -> Option<DataKind> {
    let is = |base: &str| {
        section.name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match section.kind {
        SHT_PROGBITS if section.is_executable() => None,
        SHT_PROGBITS if is(".data") => Some(DataKind::Data),
        SHT_PROGBITS if is(".rodata") => Some(DataKind::Rodata),
        SHT_NOBITS if is(".bss") => Some(DataKind::Bss),
        _ => None,
    }
}

/// Whether user space may see variables of the section: then libbpf maps it (`map_is_mmapable`).
fn has_visible_variable(btf: &Btf, datasec: u32) -> bool {
    btf.get(datasec).is_some_and(|t| {
        t.variables().any(|v| {
            btf.get(v.ty).is_some_and(|var| var.kind() == Kind::Var && var.linkage() != Some(Linkage::Static))
        })
    })
}

/// The first type of each name, for all names that start with a dot, which are those of sections.
fn section_types(btf: &Btf) -> HashMap<&str, u32> {
    let mut types = HashMap::new();
    for t in btf.iter().filter(|t| t.name().starts_with('.')) {
        types.entry(t.name()).or_insert(t.id);
    }
    types
}

/// An array of one element that holds a section; `datasec` is the type of its value, 0 for none.
fn data_map(name: &str, size: u32, read_only: bool, btf: Option<&Btf>, datasec: u32) -> MapSpec {
    let mut flags = if read_only { BPF_F_RDONLY_PROG } else { 0 };
    if btf.is_some_and(|b| has_visible_variable(b, datasec)) {
        flags |= BPF_F_MMAPABLE;
    }
    MapSpec {
        name: name.to_owned(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        flags,
        frozen: read_only,
        btf_value: datasec,
        ..MapSpec::default()
    }
}

impl Maps {
    /// Finds all maps. `kconfig_size` is the size of the `.kconfig` map, 0 for none.
    pub fn collect(elf: &Elf<'_>, btf: Option<&Btf>, kconfig_size: u32) -> Result<Self, ObjectError> {
        let mut maps = Maps::default();
        if let Some(section) = elf.section(MAPS) {
            let btf = btf.ok_or_else(|| section.error(Problem::BtfMissing))?;
            maps.collect_defined(btf, section)?;
        }
        for section in elf.sections.iter().filter(|s| legacy_map::is_maps_section(s.name)) {
            maps.legacy.push(section.index);
            for (offset, spec) in legacy_map::collect(elf, section, btf, maps.specs.len())? {
                maps.at.insert((section.index, offset), maps.specs.len());
                maps.specs.push(spec);
            }
        }
        let types = btf.map(section_types).unwrap_or_default();
        let type_of = |name: &str| types.get(name).copied().unwrap_or(0);
        for section in elf.sections.iter().filter(|s| s.size != 0) {
            let Some(kind) = data_kind(section) else { continue };
            let read_only = kind == DataKind::Rodata;
            let mut spec = data_map(section.name, section.size as u32, read_only, btf, type_of(section.name));
            if kind != DataKind::Bss {
                spec.entries.push((vec![0; 4], section.data.to_vec()));
            }
            maps.data.insert(section.index, maps.specs.len());
            maps.specs.push(spec);
        }
        if kconfig_size != 0 {
            maps.kconfig = Some(maps.specs.len());
            maps.specs.push(data_map(KCONFIG, kconfig_size, true, btf, type_of(KCONFIG)));
        }
        if let Some(btf) = btf {
            for section in &elf.sections {
                if let Some((_, flags)) = STRUCT_OPS.iter().find(|(name, _)| *name == section.name) {
                    maps.collect_struct_ops(btf, section, *flags)?;
                }
            }
        }
        Ok(maps)
    }

    fn collect_defined(&mut self, btf: &Btf, section: &Section<'_>) -> Result<(), ObjectError> {
        let datasec = btf.find(Kind::Datasec, MAPS).ok_or_else(|| {
            section.error(Problem::MapDefinition("BTF does not describe the section".to_owned()))
        })?;
        for v in datasec.variables() {
            let fail = |why| {
                let name = btf.get(v.ty).map_or("", |t| t.name());
                section.error(Problem::MapDefinition(why)).at(u64::from(v.offset)).symbol(name)
            };
            let (spec, values) = map_def::parse(btf, &v, section.size).map_err(fail)?;
            let start = u64::from(v.offset);
            self.at.insert((section.index, start), self.specs.len());
            self.defined.push(Defined {
                map: self.specs.len(),
                start,
                end: start + u64::from(v.size),
                values: values.map(|o| start + u64::from(o)),
            });
            self.specs.push(spec);
        }
        Ok(())
    }

    /// `struct_ops` maps (`init_struct_ops_maps`): the value is the structure as the object knows it, which only
    /// the kernel's BTF can turn into the kernel's; engines refuse the map type by name.
    fn collect_struct_ops(
        &mut self,
        btf: &Btf,
        section: &Section<'_>,
        flags: u32,
    ) -> Result<(), ObjectError> {
        let Some(datasec) = btf.find(Kind::Datasec, section.name) else { return Ok(()) };
        for v in datasec.variables() {
            let name = btf.get(v.ty).map_or("", |t| t.name());
            let fail = |why: &str| {
                section.error(Problem::MapDefinition(why.to_owned())).at(u64::from(v.offset)).symbol(name)
            };
            let ops = btf
                .get(v.ty)
                .and_then(|var| btf.skip_modifiers(var.size_or_type()))
                .filter(|t| t.kind() == Kind::Struct)
                .ok_or_else(|| fail("struct_ops variable is no structure"))?;
            let start = v.offset as usize;
            let bytes = start
                .checked_add(ops.size_or_type() as usize)
                .and_then(|end| section.data.get(start..end))
                .ok_or_else(|| fail("struct_ops variable lies outside of the section"))?;
            self.struct_ops_maps.insert(v.ty, self.specs.len());
            self.specs.push(MapSpec {
                name: name.to_owned(),
                map_type: MapType::STRUCT_OPS,
                key_size: 4,
                value_size: ops.size_or_type(),
                max_entries: 1,
                flags,
                entries: vec![(vec![0; 4], bytes.to_vec())],
                btf_value: ops.id,
                ..MapSpec::default()
            });
        }
        Ok(())
    }

    /// What a reference of an instruction to a symbol means: `value` of the symbol, `addend` of the instruction.
    pub fn reference(
        &self,
        elf: &Elf<'_>,
        section: usize,
        value: u64,
        addend: i32,
    ) -> Result<MapRef, String> {
        if let Some(&map) = self.data.get(&section) {
            return Ok(MapRef::Value(map));
        }
        let name = elf.sections.get(section).map_or("?", |s| s.name);
        if name == ARENA {
            return self
                .specs
                .iter()
                .position(|s| s.map_type == MapType::ARENA)
                .map(MapRef::Value)
                .ok_or_else(|| {
                    "refers to a variable in an arena, but the object has no arena map".to_owned()
                });
        }
        let offset =
            if self.legacy.contains(&section) { value.wrapping_add_signed(i64::from(addend)) } else { value };
        if let Some(&map) = self.at.get(&(section, offset)) {
            return Ok(MapRef::Map(map));
        }
        Err(match name {
            MAPS => format!("no map starts at {offset:#x} of section `{MAPS}`"),
            "" => "refers to no section; was a global variable left without initializer by an old clang?"
                .to_owned(),
            _ => format!("refers to section `{name}`, which holds neither maps nor data of maps"),
        })
    }

    /// Reads what `values` of BTF-defined maps and members of `struct_ops` hold from the start: relocations in
    /// their sections.
    pub fn collect_slots(
        &mut self,
        elf: &Elf<'_>,
        btf: &Btf,
        functions: &Functions,
    ) -> Result<(), ObjectError> {
        for section in &elf.sections {
            let struct_ops = STRUCT_OPS.iter().any(|(name, _)| *name == section.name);
            if section.name != MAPS && !struct_ops {
                continue;
            }
            let variables: Vec<VarSecinfo> =
                btf.find(Kind::Datasec, section.name).map(|t| t.variables().collect()).unwrap_or_default();
            for table in elf.relocation_sections(section.index) {
                for r in elf.relocations(table)? {
                    let done = if struct_ops {
                        self.struct_ops_slot(elf, btf, functions, &variables, &r)
                    } else {
                        self.values_slot(elf, functions, &r)
                    };
                    done.map_err(|why| section.error(Problem::Relocation(why)).at(r.offset))?;
                }
            }
        }
        for spec in &mut self.specs {
            spec.slots.sort_by_key(|(slot, _)| *slot);
        }
        Ok(())
    }

    /// One slot of `values` (`bpf_object__collect_map_relos`).
    fn values_slot(&mut self, elf: &Elf<'_>, functions: &Functions, r: &Relocation) -> Result<(), String> {
        let after = self.defined.partition_point(|d| d.start <= r.offset);
        let found = after.checked_sub(1).map(|i| &self.defined[i]);
        let defined = found.filter(|d| r.offset + 8 <= d.end).ok_or("lies in no map definition")?;
        let start = defined.values.filter(|&v| v <= r.offset).ok_or("lies before the `values` of its map")?;
        let symbol = elf.symbols.get(r.symbol).ok_or_else(|| format!("symbol {} is not there", r.symbol))?;
        let name = elf.symbol_name(symbol);
        if !(r.offset - start).is_multiple_of(8) {
            return Err(format!("reference to `{name}` lies between two slots"));
        }
        let slot = ((r.offset - start) / 8) as u32;
        let content = if self.specs[defined.map].map_type == MapType::PROG_ARRAY {
            let program = functions.program(name).map(|i| &functions.all[i]);
            program
                .filter(|f| f.section == symbol.section && (f.start * 8) as u64 == symbol.value)
                .ok_or_else(|| format!("`{name}` is no program of this object"))?;
            Slot::Program(name.to_owned())
        } else {
            let target = self.at.get(&(symbol.section, symbol.value));
            Slot::Map(*target.ok_or_else(|| format!("`{name}` is no map of this object"))?)
        };
        let map = defined.map;
        self.specs[map].slots.push((slot, content));
        Ok(())
    }

    /// A function pointer of a `struct_ops` map (`bpf_object__collect_st_ops_relos`).
    fn struct_ops_slot(
        &mut self,
        elf: &Elf<'_>,
        btf: &Btf,
        functions: &Functions,
        variables: &[VarSecinfo],
        r: &Relocation,
    ) -> Result<(), String> {
        let symbol = elf.symbols.get(r.symbol).ok_or_else(|| format!("symbol {} is not there", r.symbol))?;
        // The fix-ups have put them into the order of their offsets.
        let after = variables.partition_point(|v| u64::from(v.offset) <= r.offset);
        let v = after
            .checked_sub(1)
            .map(|i| variables[i])
            .filter(|v| r.offset < u64::from(v.offset) + u64::from(v.size))
            .ok_or("lies in no struct_ops variable")?;
        let var = btf.get(v.ty).ok_or("its variable is not in BTF")?;
        let ops = btf.skip_modifiers(var.size_or_type()).ok_or("its variable has no type")?;
        let inside = r.offset - u64::from(v.offset);
        let member = ops
            .members()
            .find(|m| u64::from(m.bit_offset) == inside * 8)
            .ok_or_else(|| format!("no member of `{}` is at byte {inside}", ops.name()))?;
        let program = functions
            .holding(symbol.section, (symbol.value / 8) as usize)
            .filter(|&i| !functions.is_subprog(i))
            .ok_or_else(|| format!("`{}` is no program of this object", elf.symbol_name(symbol)))?;
        let name = functions.all[program].name.clone();
        if let Some(&map) = self.struct_ops_maps.get(&v.ty) {
            self.specs[map].slots.push(((inside / 8) as u32, Slot::Program(name)));
        }
        self.struct_ops.push(StructOpsUse { program, target: format!("{}::{}", ops.name(), member.name) });
        Ok(())
    }
}
