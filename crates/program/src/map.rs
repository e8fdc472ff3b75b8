// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a map is created with, and what it holds before the first run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skep_uapi::MapType;

/// `LIBBPF_PIN_*`: whether libbpf would pin the map under `/sys/fs/bpf`. skep records it and never pins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pinning {
    /// Not pinned.
    #[default]
    None,
    /// Pinned by its name.
    ByName,
}

/// Map types for which the kernel refuses key and value types.
const WITHOUT_TYPES: [MapType; 12] = [
    MapType::PERF_EVENT_ARRAY,
    MapType::CGROUP_ARRAY,
    MapType::STACK_TRACE,
    MapType::ARRAY_OF_MAPS,
    MapType::HASH_OF_MAPS,
    MapType::DEVMAP,
    MapType::DEVMAP_HASH,
    MapType::CPUMAP,
    MapType::XSKMAP,
    MapType::SOCKMAP,
    MapType::SOCKHASH,
    MapType::ARENA,
];

/// What a slot of a program array or map of maps holds from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// A program of the same object, by name.
    Program(String),
    /// A map of the same object, by index.
    Map(usize),
}

/// A map of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapSpec {
    /// Full name as in the source; the kernel keeps 15 bytes of it.
    pub name: String,
    /// Type of the map.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity; for ring buffers bytes; for arenas pages.
    pub max_entries: u32,
    /// `BPF_F_*` of [`skep_uapi::flags::map_create`].
    pub flags: u32,
    /// `map_extra`: hash functions of a bloom filter, address of an arena.
    pub map_extra: u64,
    /// NUMA node, with `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// Template of the inner maps of a map of maps.
    pub inner: Option<Box<MapSpec>>,
    /// Contents before the first run, in order: key, value. For `.data`-like maps one entry, key 0.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Programs or maps in slots before the first run: index, content.
    pub slots: Vec<(u32, Slot)>,
    /// Frozen after its contents are written, as libbpf does with `.rodata`.
    pub frozen: bool,
    /// Raw BTF of key and value where it is not the program's.
    pub btf: Option<Arc<[u8]>>,
    /// BTF type id of the key, 0 for none.
    pub btf_key: u32,
    /// BTF type id of the value, 0 for none.
    pub btf_value: u32,
    /// Pinning that the source asks for.
    pub pinning: Pinning,
}

impl MapSpec {
    /// The map as libbpf asks the kernel for it (`adjust_ringbuf_sz`, `map_set_def_max_entries`), on a machine of
    /// `cpus` possible CPUs and pages of `page` bytes: a perf event array without a size gets a slot for each
    /// CPU, a ring buffer a size that the kernel takes, and types without key and value types lose them.
    #[must_use]
    pub fn adjusted(&self, cpus: usize, page: u32) -> MapSpec {
        let mut spec = self.clone();
        match spec.map_type {
            MapType::PERF_EVENT_ARRAY if spec.max_entries == 0 => {
                spec.max_entries = u32::try_from(cpus).unwrap_or(u32::MAX);
            }
            MapType::RINGBUF | MapType::USER_RINGBUF => spec.max_entries = ring_size(spec.max_entries, page),
            _ => {}
        }
        if WITHOUT_TYPES.contains(&spec.map_type) {
            spec.remove_types();
        }
        if let Some(inner) = &mut spec.inner {
            **inner = inner.adjusted(cpus, page);
        }
        spec
    }

    /// Takes the types of key and value away.
    pub fn remove_types(&mut self) {
        self.btf = None;
        self.btf_key = 0;
        self.btf_value = 0;
    }
}

/// The next power of two that is also a multiple of the page size; 0 and what has no such size stay.
fn ring_size(size: u32, page: u32) -> u32 {
    if size == 0 { 0 } else { size.max(page).checked_next_power_of_two().unwrap_or(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_libbpf_makes_them() {
        assert_eq!(ring_size(1, 4096), 4096);
        assert_eq!(ring_size(4097, 4096), 8192);
        assert_eq!(ring_size(0, 4096), 0);
        assert_eq!(ring_size(u32::MAX, 4096), u32::MAX);
        let perf = MapSpec { map_type: MapType::PERF_EVENT_ARRAY, btf_key: 3, ..MapSpec::default() };
        let perf = perf.adjusted(4, 4096);
        assert_eq!((perf.max_entries, perf.btf_key), (4, 0));
    }
}
