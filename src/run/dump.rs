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
    /// Why the contents cannot be listed, if so.
    unlisted: Option<Errno>,
}

/// The contents of all maps of an object, in its order.
pub fn all<'a>(object: &'a Object, machine: &Machine) -> Vec<MapDump<'a>> {
    object.maps.iter().zip(machine.maps()).map(|(spec, map)| MapDump::new(spec, map)).collect()
}

impl<'a> MapDump<'a> {
    fn new(spec: &'a MapSpec, map: &Map) -> Self {
        let mut dump = MapDump { spec, entries: Vec::new(), zero: 0, unlisted: None };
        let sparse = matches!(spec.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
        let mut next = map.next_key(None);
        loop {
            let key = match next {
                Ok(key) => key,
                Err(Errno::ENOENT) => break,
                Err(errno) => {
                    dump.unlisted = Some(errno);
                    break;
                }
            };
            if let Ok(value) = map.lookup(&key) {
                if sparse && value.iter().all(|b| *b == 0) {
                    dump.zero += 1;
                } else {
                    let values = if map.is_per_cpu() {
                        let size = spec.value_size as usize;
                        let each = value.chunks(size.next_multiple_of(8));
                        each.map(|v| v[..size.min(v.len())].to_vec()).collect()
                    } else {
                        vec![value]
                    };
                    dump.entries.push((key.clone(), values));
                }
            }
            next = map.next_key(Some(&key));
        }
        dump
    }
    /// For a terminal: a heading, then a line an element.
    pub fn text(&self) -> String {
        let spec = self.spec;
        let mut text = format!(
            "map {} ({}, key {} B, value {} B, max_entries {}): {} element{}",
            spec.name,
            spec.map_type,
            spec.key_size,
            spec.value_size,
            spec.max_entries,
            self.entries.len(),
            if self.entries.len() == 1 { "" } else { "s" },
        );
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
        if self.entries.len() > MAX_SHOWN {
            let _ = writeln!(text, "  … {} more (all of them with -j)", self.entries.len() - MAX_SHOWN);
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
