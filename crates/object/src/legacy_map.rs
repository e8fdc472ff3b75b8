// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps from before BTF: records of numbers in a section `maps` (`struct bpf_map_def`), each with its symbol. The
//! size of a record is the size of the section over the number of symbols, and tells the dialect.

use std::collections::HashMap;

use skep_program::btf::{Btf, Kind};
use skep_program::{MapSpec, Pinning, Slot};
use skep_uapi::MapType;

use crate::elf::{Elf, Section, Symbol};
use crate::{ObjectError, Problem};

/// Least record: type, key size, value size and capacity.
const LEAST: usize = 16;

/// What the words after the first five mean, by the size of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `struct bpf_map_def` of libbpf and others: further words must be zero.
    Plain,
    /// `struct bpf_map_def` of the kernel's old `samples/bpf`: inner map by position, NUMA node.
    Samples,
    /// `struct bpf_elf_map` of iproute2: id, pinning, id and slot of inner maps.
    Iproute2,
}

const DIALECTS: &[(usize, Dialect)] = &[(28, Dialect::Samples), (36, Dialect::Iproute2)];

/// A record as read.
struct Record<'a> {
    symbol: &'a Symbol<'a>,
    words: Vec<u32>,
}

impl Record<'_> {
    fn word(&self, index: usize) -> u32 {
        self.words.get(index).copied().unwrap_or(0)
    }
}

/// Whether a section holds legacy maps.
pub(crate) fn is_maps_section(name: &str) -> bool {
    name == "maps" || name.starts_with("maps/")
}

/// The maps of one section with their offsets in it. Indices of slots and inner maps are relative to `base`, the
/// index that the first of them will have.
pub(crate) fn collect(
    elf: &Elf<'_>,
    section: &Section<'_>,
    btf: Option<&Btf>,
    base: usize,
) -> Result<Vec<(u64, MapSpec)>, ObjectError> {
    let mut symbols: Vec<&Symbol<'_>> = elf
        .symbols
        .iter()
        .filter(|s| {
            s.section == section.index && s.kind <= goblin::elf::sym::STT_OBJECT && !s.name.is_empty()
        })
        .collect();
    symbols.sort_by_key(|s| s.value);
    symbols.dedup_by_key(|s| s.value);
    if symbols.is_empty() {
        return Ok(Vec::new());
    }
    let bad = |why: String| section.error(Problem::LegacyMap(why));
    let size = section.data.len() / symbols.len();
    if !section.data.len().is_multiple_of(symbols.len()) || size < LEAST || !size.is_multiple_of(4) {
        return Err(bad(format!(
            "{} bytes are no {} equal records of at least {LEAST} bytes",
            section.data.len(),
            symbols.len()
        )));
    }
    let records: Vec<Record<'_>> = symbols
        .iter()
        .map(|s| {
            let start = usize::try_from(s.value).unwrap_or(usize::MAX);
            let bytes = start.checked_add(size).and_then(|end| section.data.get(start..end));
            let bytes = bytes.ok_or_else(|| {
                bad("record lies outside of the section".to_owned()).symbol(s.name).at(s.value)
            })?;
            let words = bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
            Ok(Record { symbol: s, words })
        })
        .collect::<Result<_, ObjectError>>()?;
    let dialect = DIALECTS.iter().find(|d| d.0 == size).map_or(Dialect::Plain, |d| d.1);
    let mut maps: Vec<MapSpec> = records.iter().map(|r| spec_of(r, btf)).collect();
    match dialect {
        Dialect::Plain => {
            for r in &records {
                if let Some(at) = (5..r.words.len()).find(|&i| r.words[i] != 0) {
                    return Err(bad(format!(
                        "record of {size} bytes has {} at byte {}, whose meaning is unknown",
                        r.words[at],
                        at * 4
                    ))
                    .symbol(r.symbol.name));
                }
            }
        }
        Dialect::Samples => samples(&records, &mut maps),
        Dialect::Iproute2 => iproute2(&records, &mut maps, base),
    }
    Ok(records.iter().map(|r| r.symbol.value).zip(maps).collect())
}

fn spec_of(r: &Record<'_>, btf: Option<&Btf>) -> MapSpec {
    let mut spec = MapSpec {
        name: r.symbol.name.to_owned(),
        map_type: MapType(r.word(0)),
        key_size: r.word(1),
        value_size: r.word(2),
        max_entries: r.word(3),
        flags: r.word(4),
        ..MapSpec::default()
    };
    // BPF_ANNOTATE_KV_PAIR: a structure of this name has key and value as its members.
    let pair = btf.and_then(|b| b.find(Kind::Struct, &format!("____btf_map_{}", r.symbol.name)));
    if let Some((btf, pair)) = btf.zip(pair) {
        let ids: Vec<u32> = pair.members().map(|m| m.ty).collect();
        if let [key, value] = ids[..]
            && btf.size_of(key) == Some(spec.key_size)
            && btf.size_of(value) == Some(spec.value_size)
        {
            (spec.btf_key, spec.btf_value) = (key, value);
        }
    }
    spec
}

fn is_map_of_maps(spec: &MapSpec) -> bool {
    matches!(spec.map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS)
}

/// Words 5 and 6: position of the template of inner maps, NUMA node.
fn samples(records: &[Record<'_>], maps: &mut [MapSpec]) {
    for (i, r) in records.iter().enumerate() {
        maps[i].numa_node = r.word(6);
        if is_map_of_maps(&maps[i]) {
            maps[i].inner = maps.get(r.word(5) as usize).cloned().map(Box::new);
        }
    }
}

/// Words 5 to 8: id, pinning, id of inner maps, slot in the outer map.
fn iproute2(records: &[Record<'_>], maps: &mut [MapSpec], base: usize) {
    // The first map of an id that is not 0 is the template of the maps that ask for that id.
    let mut by_id: HashMap<u32, usize> = HashMap::new();
    for (i, r) in records.iter().enumerate().filter(|(_, r)| r.word(5) != 0) {
        by_id.entry(r.word(5)).or_insert(i);
    }
    for (i, r) in records.iter().enumerate() {
        if r.word(6) != 0 {
            maps[i].pinning = Pinning::ByName;
        }
        if !is_map_of_maps(&maps[i]) {
            continue;
        }
        let Some(&inner) = by_id.get(&r.word(7)) else { continue };
        maps[i].inner = Some(Box::new(maps[inner].clone()));
        let slot = records[inner].word(8);
        if slot < maps[i].max_entries {
            maps[i].slots.push((slot, Slot::Map(base + inner)));
        }
    }
}
