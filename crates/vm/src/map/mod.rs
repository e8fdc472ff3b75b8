// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps: the kernel's semantics over values in guest memory. One file for each family; what bpf(2) does is in
//! `user`, what helpers do in `program`.
//!
//! Errors are the kernel's error numbers. All operations may run on several threads at once: what finds
//! elements is behind locks, values are raw shared memory, as in the kernel.

mod array;
mod check;
mod fields;
mod hash;
mod index;
mod lpm;
mod lru;
mod perf;
mod program;
mod queue;
mod ringbuf;
mod slab;
mod slots;
mod turn;
mod user;
mod values;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

use skep_program::MapSpec;
use skep_uapi::flags::map_create::BPF_F_RDONLY_PROG;
use skep_uapi::{Errno, MapType};

use crate::machine::MachineError;
use crate::memory::{Charge, GuestMemory, Perm};
use array::Array;
pub(crate) use array::ArrayLayout;
use check::Refusal;
use fields::Fields;
use hash::Hash;
use lpm::Trie;
pub(crate) use perf::PerfEvents;
pub use perf::PerfRecord;
pub(crate) use program::ElementKey;
use queue::Queue;
pub(crate) use ringbuf::Ringbuf;
pub(crate) use slots::Slots;
use values::{Keys, Values};

/// What making a map needs of the machine.
pub(crate) struct MapContext<'a> {
    pub(crate) memory: &'a Arc<GuestMemory>,
    pub(crate) cpus: u32,
    /// BTF that the map's types are in.
    pub(crate) btf: Option<&'a [u8]>,
}

/// A map of a machine.
pub struct Map {
    name: Arc<str>,
    map_type: MapType,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    /// What inner maps must look like.
    inner: Option<Box<MapSpec>>,
    frozen: AtomicBool,
    store: Store,
    /// Pays for what `store` keeps outside of guest memory.
    _charge: Charge,
}

/// The families.
enum Store {
    /// `array`, `percpu_array`.
    Array(Array),
    /// `hash`, `percpu_hash` and their LRU forms.
    Hash(Hash),
    /// `lpm_trie`.
    Trie(Trie),
    /// `queue`, `stack`.
    Queue(Queue),
    /// `ringbuf`.
    Ringbuf(Ringbuf),
    /// `perf_event_array`.
    Perf(PerfEvents),
    /// `prog_array`.
    Programs(Slots),
    /// `array_of_maps`.
    Maps(Slots),
    /// `hash_of_maps`: values are indices of maps.
    HashOfMaps(Hash),
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("name", &self.name)
            .field("type", &self.map_type)
            .field("key_size", &self.key_size)
            .field("value_size", &self.value_size)
            .field("max_entries", &self.max_entries)
            .finish_non_exhaustive()
    }
}

impl Map {
    /// Makes an empty map.
    ///
    /// # Errors
    /// [`MachineError::UnsupportedMap`] and [`MachineError::MapCreate`].
    pub(crate) fn new(spec: &MapSpec, context: &MapContext<'_>) -> Result<Map, MachineError> {
        check::check(spec).and_then(|()| Self::build(spec, context)).map_err(|refusal| match refusal {
            Refusal::Errno(errno) => MachineError::MapCreate { map: spec.name.clone(), errno },
            Refusal::Unsupported => {
                MachineError::UnsupportedMap { map: spec.name.clone(), map_type: spec.map_type }
            }
        })
    }

    fn build(spec: &MapSpec, context: &MapContext<'_>) -> Result<Map, Refusal> {
        let name: Arc<str> = Arc::from(spec.name.as_str());
        let charge = context.memory.charge(host_bytes(spec)).map_err(Refusal::Errno)?;
        let store = Self::store(spec, &name, context).map_err(Refusal::Errno)?;
        Ok(Map {
            _charge: charge,
            store: store.ok_or(Refusal::Unsupported)?,
            name,
            map_type: spec.map_type,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            inner: spec.inner.clone(),
            frozen: AtomicBool::new(false),
        })
    }

    fn store(spec: &MapSpec, name: &Arc<str>, context: &MapContext<'_>) -> Result<Option<Store>, Errno> {
        let max_entries = spec.max_entries;
        let per_cpu = skep_program::load::is_per_cpu(spec.map_type);
        let values = |slots| {
            // Which map an element is, no program may change.
            let read_only = spec.flags & BPF_F_RDONLY_PROG != 0 || spec.map_type == MapType::HASH_OF_MAPS;
            let perm = if read_only { Perm::Read } else { Perm::ReadWrite };
            let btf = context.btf.unwrap_or_default();
            let fields = Fields::find(btf, spec.btf_value, spec.value_size);
            Values::new(context, name, spec.value_size, slots, per_cpu, perm, fields)
        };
        let hash = |lru| {
            let slots = hash::slots(max_entries, lru);
            let keys = Keys::new(context, name, spec.key_size, slots)?;
            Ok::<_, Errno>(Hash::new(keys, values(slots)?, max_entries, per_cpu, lru))
        };
        Ok(Some(match spec.map_type {
            MapType::ARRAY | MapType::PERCPU_ARRAY => {
                Store::Array(Array::new(values(max_entries)?, max_entries))
            }
            MapType::HASH | MapType::PERCPU_HASH => Store::Hash(hash(false)?),
            MapType::LRU_HASH | MapType::LRU_PERCPU_HASH => Store::Hash(hash(true)?),
            MapType::HASH_OF_MAPS => Store::HashOfMaps(hash(false)?),
            MapType::LPM_TRIE => Store::Trie(Trie::new(values(lpm::slots(max_entries))?, max_entries)),
            MapType::QUEUE => Store::Queue(Queue::new(max_entries, false)),
            MapType::STACK => Store::Queue(Queue::new(max_entries, true)),
            MapType::RINGBUF => Store::Ringbuf(Ringbuf::new(context, name, max_entries)?),
            MapType::PERF_EVENT_ARRAY => Store::Perf(PerfEvents::new(max_entries, context.cpus)),
            MapType::PROG_ARRAY => Store::Programs(Slots::new(max_entries)),
            MapType::ARRAY_OF_MAPS => Store::Maps(Slots::new(max_entries)),
            _ => return Ok(None),
        }))
    }

    /// Name in the source.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the very name of this map, which its objects carry; another map may be called the same.
    pub(crate) fn has_name(&self, name: &Arc<str>) -> bool {
        Arc::ptr_eq(&self.name, name)
    }

    /// Type of the map.
    #[must_use]
    pub fn map_type(&self) -> MapType {
        self.map_type
    }

    /// Bytes of a key.
    #[must_use]
    pub fn key_size(&self) -> u32 {
        self.key_size
    }

    /// Bytes of a value, as programs see it.
    #[must_use]
    pub fn value_size(&self) -> u32 {
        self.value_size
    }

    /// Bytes of a value, as user space sees it: for per-cpu maps that of every CPU, each padded to 8 bytes.
    #[must_use]
    pub fn user_value_size(&self) -> u32 {
        match &self.store {
            Store::Array(Array { values, .. }) | Store::Hash(Hash { values, .. }) if self.is_per_cpu() => {
                values::stride(self.value_size) * values.cpus()
            }
            _ => self.value_size,
        }
    }

    /// Capacity.
    #[must_use]
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// `map_flags` that it was created with.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether the map has a value for each CPU.
    #[must_use]
    pub fn is_per_cpu(&self) -> bool {
        skep_program::load::is_per_cpu(self.map_type)
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// Bytes that a map of as many elements as it may have keeps outside of guest memory, where elements alone can
/// take much of it: the kernel, too, takes the memory of these types when it creates the map.
fn host_bytes(spec: &MapSpec) -> u64 {
    let element = match spec.map_type {
        MapType::QUEUE | MapType::STACK => u64::from(spec.value_size) + size_of::<Box<[u8]>>() as u64,
        MapType::PROG_ARRAY | MapType::ARRAY_OF_MAPS => size_of::<AtomicU32>() as u64,
        MapType::PERF_EVENT_ARRAY => size_of::<bool>() as u64,
        MapType::HASH
        | MapType::PERCPU_HASH
        | MapType::LRU_HASH
        | MapType::LRU_PERCPU_HASH
        | MapType::HASH_OF_MAPS => index::ELEMENT_BYTES,
        _ => 0,
    };
    element * u64::from(spec.max_entries)
}

/// The index that a key or value of 4 bytes holds.
fn index(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(u32::MAX, |b| u32::from_ne_bytes(*b))
}
