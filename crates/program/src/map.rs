// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a map is created with, and what it holds before the first run.

use std::sync::Arc;

use skep_uapi::MapType;

/// `LIBBPF_PIN_*`: whether libbpf would pin the map under `/sys/fs/bpf`. skep records it and never pins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// Not pinned.
    #[default]
    None,
    /// Pinned by its name.
    ByName,
}

/// What a slot of a program array or map of maps holds from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A program of the same object, by name.
    Program(String),
    /// A map of the same object, by index.
    Map(usize),
}

/// A map of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
