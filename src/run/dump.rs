// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contents of maps after a run, as text and JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};
use skep_program::{MapSpec, Object};
use skep_uapi::{Errno, MapType};
use skep_vm::{Machine, Map};

/// Elements printed for one map; the rest is counted.
const MAX_SHOWN: usize = 64;

/// The contents of one map: keys with one value, or one for each CPU.
pub struct MapDump<'a> {
    spec: &'a MapSpec,
    /// Elements, in the order of the map.
    entries: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    /// Elements of arrays that are all zero and therefore left out.
    zero: usize,
    /// Records of a ring buffer or perf event array, oldest first, with the CPU of the latter.
    records: Vec<(Option<u32>, Vec<u8>)>,
    /// Records that found no room.
    lost: u64,
    /// Why the contents cannot be listed, if so.
    unlisted: Option<Errno>,
}

/// The contents of all maps of an object, in its order.
pub fn all<'a>(object: &'a Object, machine: &Machine) -> Vec<MapDump<'a>> {
    object.maps.iter().zip(machine.maps()).map(|(spec, map)| MapDump::new(spec, map)).collect()
}

impl<'a> MapDump<'a> {
    fn new(spec: &'a MapSpec, map: &Map) -> Self {
        let mut dump =
            MapDump { spec, entries: Vec::new(), zero: 0, records: Vec::new(), lost: 0, unlisted: None };
        match spec.map_type {
            MapType::RINGBUF => {
                dump.records = map.take_ring_records().into_iter().map(|data| (None, data)).collect();
                return dump;
            }
            MapType::PERF_EVENT_ARRAY => {
                let (records, lost) = map.take_perf_records();
                dump.records = records.into_iter().map(|r| (Some(r.cpu), r.data)).collect();
                dump.lost = lost;
                return dump;
            }
            _ => {}
        }
        let sparse = matches!(spec.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
        if let Err(errno) = map.next_key(None)
            && errno != Errno::ENOENT
        {
            dump.unlisted = Some(errno);
        }
        for (key, value) in map.entries() {
            if sparse && value.iter().all(|b| *b == 0) {
                dump.zero += 1;
                continue;
            }
            let values = if map.is_per_cpu() {
                let size = spec.value_size as usize;
                let each = value.chunks(size.next_multiple_of(8));
                each.map(|v| v[..size.min(v.len())].to_vec()).collect()
            } else {
                vec![value]
            };
            dump.entries.push((key, values));
        }
        dump
    }

    /// For a terminal: a heading, then a line an element.
    pub fn text(&self) -> String {
        let spec = self.spec;
        let stream = matches!(spec.map_type, MapType::RINGBUF | MapType::PERF_EVENT_ARRAY);
        let (count, what) =
            if stream { (self.records.len(), "record") } else { (self.entries.len(), "element") };
        let mut text = format!(
            "map {} ({}, key {} B, value {} B, max_entries {}): {count} {what}{}",
            spec.name,
            spec.map_type,
            spec.key_size,
            spec.value_size,
            spec.max_entries,
            if count == 1 { "" } else { "s" },
        );
        if self.lost > 0 {
            let _ = write!(text, ", {} more were lost", self.lost);
        }
        if self.zero > 0 {
            let _ = write!(text, ", {} more are zero", self.zero);
        }
        if let Some(errno) = self.unlisted {
            let _ = write!(text, ", not listed: {errno}");
        }
        text.push('\n');
        for (key, values) in self.entries.iter().take(MAX_SHOWN) {
            let _ = write!(text, "  [{}]", self.key(key));
            match values.as_slice() {
                [one] => {
                    let _ = writeln!(text, " = {}", number_or_bytes(one));
                }
                many => {
                    text.push('\n');
                    for (cpu, value) in many.iter().enumerate() {
                        let _ = writeln!(text, "    cpu {cpu} = {}", number_or_bytes(value));
                    }
                }
            }
        }
        for (cpu, data) in self.records.iter().take(MAX_SHOWN) {
            let cpu = cpu.map(|cpu| format!("cpu {cpu}: ")).unwrap_or_default();
            let _ = writeln!(text, "  {cpu}{}", bytes_of(data));
        }
        if count > MAX_SHOWN {
            let _ = writeln!(text, "  … {} more (all of them with -j)", count - MAX_SHOWN);
        }
        text
    }

    /// A key as an index where it is one, else as bytes, with the number that they are.
    fn key(&self, key: &[u8]) -> String {
        let indexed = matches!(
            self.spec.map_type,
            MapType::ARRAY | MapType::PERCPU_ARRAY | MapType::PROG_ARRAY | MapType::ARRAY_OF_MAPS
        );
        match (indexed, key.len()) {
            (true, _) => number_or_bytes(key),
            (false, 1 | 2 | 4 | 8) => format!("{} = {}", bytes_of(key), number(key)),
            (false, _) => bytes_of(key),
        }
    }

    /// For programs: hex, nothing left out but zero elements of arrays.
    pub fn json(&self) -> Value {
        let entries: Vec<Value> = self
            .entries
            .iter()
            .map(|(key, values)| match values.as_slice() {
                [one] => json!({ "key": hex::encode(key), "value": hex::encode(one) }),
                many => json!({
                    "key": hex::encode(key),
                    "values": many.iter().map(hex::encode).collect::<Vec<_>>(),
                }),
            })
            .collect();
        json!({
            "name": self.spec.name,
            "type": self.spec.map_type.to_string(),
            "entries": entries,
            "zero": self.zero,
            "records": self.records.iter().map(|(cpu, data)| json!({ "cpu": cpu, "data": hex::encode(data) })).collect::<Vec<_>>(),
            "lost": self.lost,
            "unlisted": self.unlisted.map(|e| e.to_string()),
        })
    }
}

/// Small values as the number that they are (little-endian, 64-bit words where there are several), the rest as
/// bytes.
fn number_or_bytes(bytes: &[u8]) -> String {
    match bytes.len() {
        1 | 2 | 4 | 8 => number(bytes).to_string(),
        16 | 24 | 32 => bytes.chunks(8).map(|c| number(c).to_string()).collect::<Vec<_>>().join(" "),
        _ => bytes_of(bytes),
    }
}

fn bytes_of(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b))
}
