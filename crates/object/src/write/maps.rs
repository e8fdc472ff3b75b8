// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps for an object: definitions in BTF (`.maps`), and sections of data.

use skep_program::btf::{Btf, Kind, Linkage};
use skep_program::{MapSpec, Object, Pinning, Slot};
use skep_uapi::MapType;
use skep_uapi::flags::map_create::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG};

use crate::WriteError;
use crate::maps::MAPS;

/// Where a map goes.
#[derive(Clone, Debug)]
pub(super) enum MapHome {
    /// A variable of `.maps`; `values` is where its slots start in it.
    Defined { at: usize, size: usize, values: usize },
    /// A section of its own, with one variable that is all of it.
    Data { variable: String, visible: bool },
}

/// Places of all maps, and the BTF that defines them.
pub(super) struct MapLayout {
    pub homes: Vec<MapHome>,
    /// Bytes of `.maps`.
    pub size: usize,
    pub btf: Btf,
}

/// Types that all definitions share.
struct Types {
    btf: Btf,
    int: u32,
    byte: u32,
    prototype: u32,
}

fn map_error(spec: &MapSpec, why: impl Into<String>) -> WriteError {
    WriteError::Map { map: spec.name.clone(), why: why.into() }
}

fn is_identifier(name: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(start) && name.chars().all(|c| start(c) || c.is_ascii_digit())
}

/// Whether a map is what libbpf makes of a section of data.
pub(super) fn is_data(spec: &MapSpec) -> bool {
    let section = [".data", ".rodata", ".bss"].iter().any(|base| {
        spec.name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    section && spec.map_type == MapType::ARRAY && spec.key_size == 4 && spec.max_entries == 1
}

impl Types {
    fn new() -> Self {
        let mut btf = Btf::default();
        // int: signed, 32 bits. unsigned char: 8 bits.
        let int = btf.add_type(Kind::Int, "int", 0, 4, &[1 << 24 | 32]);
        let byte = btf.add_type(Kind::Int, "unsigned char", 0, 1, &[8]);
        let prototype = btf.add_type(Kind::FuncProto, "", 0, int, &[]);
        Types { btf, int, byte, prototype }
    }

    fn array(&mut self, element: u32, count: u32) -> u32 {
        self.btf.add_type(Kind::Array, "", 0, 0, &[element, self.int, count])
    }

    fn pointer(&mut self, to: u32) -> u32 {
        self.btf.add_type(Kind::Ptr, "", 0, to, &[])
    }

    /// A number as map definitions hold it: `int (*)[N]`.
    fn number(&mut self, n: u32) -> u32 {
        let array = self.array(self.int, n);
        self.pointer(array)
    }

    /// The structure of a definition, its size, and where `values` start.
    fn definition(&mut self, spec: &MapSpec) -> Result<(u32, u32, u32), WriteError> {
        let numbers = [
            ("type", spec.map_type.0),
            ("key_size", spec.key_size),
            // libbpf sets the size of values that are descriptors.
            ("value_size", spec.value_size),
            ("max_entries", spec.max_entries),
            ("map_flags", spec.flags),
            ("numa_node", spec.numa_node),
            ("pinning", u32::from(spec.pinning == Pinning::ByName)),
        ];
        let mut members: Vec<(&str, u32)> = Vec::new();
        for (name, n) in numbers.into_iter().filter(|(name, n)| *n != 0 || *name == "type") {
            members.push((name, self.number(n)));
        }
        if spec.map_extra != 0 {
            members.push(("map_extra", self.long(spec.map_extra)));
        }
        let values = members.len() as u32 * 8;
        match &spec.inner {
            Some(inner) => {
                let (inner, ..) = self.definition(inner)?;
                let pointer = self.pointer(inner);
                members.push(("values", self.array(pointer, 0)));
            }
            None if spec.map_type == MapType::PROG_ARRAY && !spec.slots.is_empty() => {
                let pointer = self.pointer(self.prototype);
                members.push(("values", self.array(pointer, 0)));
            }
            None if !spec.slots.is_empty() => {
                return Err(map_error(spec, "slots need a definition of inner maps"));
            }
            None => {}
        }
        let mut words = Vec::new();
        for (i, (name, ty)) in members.iter().enumerate() {
            words.extend([self.btf.add_string(name), *ty, i as u32 * 64]);
        }
        let id = self.btf.add_type(Kind::Struct, "", members.len() as u32, values, &words);
        Ok((id, values, values))
    }

    /// A number of 64 bits: an enumeration of one value.
    fn long(&mut self, n: u64) -> u32 {
        let name = self.btf.add_string("map_extra");
        self.btf.add_type(Kind::Enum64, "", 1, 8, &[name, n as u32, (n >> 32) as u32])
    }

    fn variable(&mut self, name: &str, ty: u32, visible: bool) -> u32 {
        let linkage = if visible { Linkage::Global } else { Linkage::Static };
        self.btf.add_type(Kind::Var, name, 0, ty, &[linkage as u32])
    }
}

/// What an object file can say about a map.
fn check(spec: &MapSpec, data: bool) -> Result<(), WriteError> {
    if data {
        let read_only = spec.name.starts_with(".rodata");
        let given = spec.flags & !BPF_F_MMAPABLE;
        if read_only != spec.frozen || given != if read_only { BPF_F_RDONLY_PROG } else { 0 } {
            return Err(map_error(spec, "flags are not those that libbpf gives a section of this name"));
        }
        if spec.name.starts_with(".bss") && spec.entries.iter().any(|(_, v)| v.iter().any(|&b| b != 0)) {
            return Err(map_error(spec, "a .bss section holds zeros only"));
        }
        return Ok(());
    }
    let why = match spec {
        s if !is_identifier(&s.name) => "the name is no C identifier",
        s if s.map_type == MapType::STRUCT_OPS => "struct_ops maps need the kernel's types",
        s if !s.entries.is_empty() => {
            "only data sections (.data, .rodata, .bss) have contents in an object file; fill it after loading"
        }
        s if s.frozen => "only .rodata sections are frozen by libbpf",
        s if s.inner.as_ref().is_some_and(|i| i.inner.is_some()) => "maps of maps of maps do not exist",
        _ => return Ok(()),
    };
    Err(map_error(spec, why))
}

impl MapLayout {
    pub fn plan(object: &Object) -> Result<MapLayout, WriteError> {
        let mut types = Types::new();
        let mut homes = Vec::new();
        let mut variables = Vec::new();
        let mut size = 0;
        let mut sections = Vec::new();
        for spec in object.maps.iter() {
            let data = is_data(spec);
            check(spec, data)?;
            if data {
                let variable: String =
                    spec.name[1..].chars().map(|c| if c == '.' { '_' } else { c }).collect();
                let variable = format!("skep_{variable}");
                let visible = spec.flags & BPF_F_MMAPABLE != 0;
                let array = types.array(types.byte, spec.value_size);
                let var = types.variable(&variable, array, visible);
                sections.push((spec.name.clone(), var, spec.value_size));
                homes.push(MapHome::Data { variable, visible });
                continue;
            }
            let (id, bytes, values) = types.definition(spec)?;
            let slots = spec.slots.iter().map(|(slot, _)| *slot as usize + 1).max().unwrap_or(0);
            let bytes = bytes as usize + slots * 8;
            let var = types.variable(&spec.name, id, true);
            variables.extend([var, size as u32, bytes as u32]);
            homes.push(MapHome::Defined { at: size, size: bytes, values: values as usize });
            size += bytes;
        }
        if size != 0 {
            let count = variables.len() as u32 / 3;
            types.btf.add_type(Kind::Datasec, MAPS, count, size as u32, &variables);
        }
        for (name, var, bytes) in sections {
            types.btf.add_type(Kind::Datasec, &name, 1, bytes, &[var, 0, bytes]);
        }
        Ok(MapLayout { homes, size, btf: types.btf })
    }

    /// Slots that hold something: offset in `.maps`, content, name of the map.
    pub fn slots<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = (usize, &'a Slot, &'a str)> {
        object.maps.iter().zip(&self.homes).flat_map(|(spec, home)| {
            let base = match home {
                MapHome::Defined { at, values, .. } => at + values,
                MapHome::Data { .. } => 0,
            };
            spec.slots
                .iter()
                .map(move |(slot, content)| (base + *slot as usize * 8, content, spec.name.as_str()))
        })
    }
}
