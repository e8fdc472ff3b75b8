// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps: the kernel's semantics over values in guest memory. One file for each family.
//!
//! Each operation comes in two forms, as in the kernel: what user space asks by bpf(2) (per-cpu values of all
//! CPUs, frozen maps refused, slots take indices) and what a program asks by a helper (`program_*`, its own
//! CPU's value). Errors are the kernel's error numbers; a key or value of another length than the map's, which the
//! kernel cannot see, is `EINVAL`. All operations may run on several threads at once.

mod array;
mod check;
mod slots;
mod values;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skep_program::MapSpec;
use skep_uapi::flags::map_create::*;
use skep_uapi::flags::map_update::*;
use skep_uapi::{Errno, MapType};

use crate::machine::{Machine, MachineError, map_handle};
use crate::memory::{GuestMemory, Perm};
use array::Array;
use check::Refusal;
use slots::Slots;
pub(crate) use values::Values;

/// What making a map needs of the machine.
pub(crate) struct MapContext<'a> {
    pub(crate) memory: &'a Arc<GuestMemory>,
    pub(crate) cpus: u32,
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
}

/// The families.
enum Store {
    Array(Array),
    Programs(Slots),
    Maps(Slots),
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
        let perm = if spec.flags & BPF_F_RDONLY_PROG != 0 { Perm::Read } else { Perm::ReadWrite };
        let values = |slots, cpus| Values::new(context, &name, spec.value_size, slots, cpus, perm);
        let store = match spec.map_type {
            MapType::ARRAY => {
                values(spec.max_entries, 1).map(|v| Store::Array(Array::new(v, spec.max_entries)))
            }
            MapType::PERCPU_ARRAY => {
                values(spec.max_entries, context.cpus).map(|v| Store::Array(Array::new(v, spec.max_entries)))
            }
            MapType::PROG_ARRAY => Ok(Store::Programs(Slots::new(spec.max_entries))),
            MapType::ARRAY_OF_MAPS => Ok(Store::Maps(Slots::new(spec.max_entries))),
            _ => return Err(Refusal::Unsupported),
        };
        Ok(Map {
            store: store.map_err(Refusal::Errno)?,
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

    /// Name in the source.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

    /// `BPF_MAP_FREEZE`: user space may not write from now on.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// `BPF_MAP_LOOKUP_ELEM`: the value; that of each CPU, padded to 8 bytes, for a per-cpu map. For maps of
    /// programs or maps the index in the machine in 4 bytes.
    ///
    /// # Errors
    /// `ENOENT` where there is no such element, and what else the kernel says.
    pub fn lookup(&self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.check_key(key)?;
        if self.flags & BPF_F_WRONLY != 0 {
            return Err(Errno::EPERM);
        }
        match &self.store {
            Store::Array(array) => {
                let slot = array.slot(key).ok_or(Errno::ENOENT)?;
                Ok(array.values.to_vec(slot, self.is_per_cpu()))
            }
            Store::Programs(slots) | Store::Maps(slots) => {
                let index = slots.get(index(key)).ok_or(Errno::ENOENT)?;
                Ok((index as u32).to_ne_bytes().to_vec())
            }
        }
    }

    /// `BPF_MAP_UPDATE_ELEM`, see [`Machine::update`].
    pub(crate) fn user_update(
        &self,
        machine: &Machine,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        self.check_key(key)?;
        self.check_value(value)?;
        if self.frozen.load(Ordering::Relaxed) || self.flags & BPF_F_RDONLY != 0 {
            return Err(Errno::EPERM);
        }
        match &self.store {
            Store::Array(array) => {
                let slot = array.update_slot(key, flags)?;
                array.values.write_all(slot, self.is_per_cpu(), value);
                Ok(())
            }
            Store::Programs(slots) | Store::Maps(slots) => {
                if flags != BPF_ANY {
                    return Err(Errno::EINVAL);
                }
                if index(key) >= slots.len() {
                    return Err(Errno::E2BIG);
                }
                let target = index(value);
                match &self.store {
                    Store::Programs(_) => {
                        machine.find_program(target as usize).ok_or(Errno::EBADF)?;
                    }
                    _ => self.check_inner(machine.map(target as usize).ok_or(Errno::EBADF)?)?,
                }
                slots.set(index(key), Some(target));
                Ok(())
            }
        }
    }

    /// `bpf_map_meta_equal`: whether a map may be put into this map of maps.
    fn check_inner(&self, map: &Map) -> Result<(), Errno> {
        let Some(inner) = &self.inner else { return Err(Errno::EINVAL) };
        let same = inner.map_type == map.map_type
            && inner.key_size == map.key_size
            && inner.value_size == map.value_size
            && inner.flags == map.flags;
        // An array's size is compiled into the program, unless it was said not to be.
        let sized = map.map_type == MapType::ARRAY && map.flags & BPF_F_INNER_MAP == 0;
        if same && (!sized || inner.max_entries == map.max_entries) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// `BPF_MAP_DELETE_ELEM`.
    ///
    /// # Errors
    /// `ENOENT` where there is no such element, `EINVAL` for arrays.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.check_key(key)?;
        if self.frozen.load(Ordering::Relaxed) || self.flags & BPF_F_RDONLY != 0 {
            return Err(Errno::EPERM);
        }
        match &self.store {
            Store::Programs(slots) | Store::Maps(slots) => {
                if index(key) >= slots.len() {
                    return Err(Errno::E2BIG);
                }
                slots.set(index(key), None).map(|_| ()).ok_or(Errno::ENOENT)
            }
            Store::Array(_) => self.program_delete(key),
        }
    }

    /// `BPF_MAP_GET_NEXT_KEY`: the key after another, or the first one.
    ///
    /// # Errors
    /// `ENOENT` after the last key.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        if let Some(key) = key {
            self.check_key(key)?;
        }
        match &self.store {
            Store::Array(array) => next_index(key, array.entries()),
            Store::Maps(slots) => next_index(key, slots.len()),
            Store::Programs(_) => Err(Errno::ENOTSUPP),
        }
    }

    /// Writes an initial element, to each CPU's value of a per-cpu map.
    pub(crate) fn initialize(&self, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        self.check_key(key)?;
        if value.len() > self.value_size as usize {
            return Err(Errno::EINVAL);
        }
        let mut one = value.to_vec();
        one.resize(self.value_size as usize, 0);
        match &self.store {
            Store::Array(array) => {
                let slot = array.update_slot(key, BPF_ANY)?;
                for cpu in 0..array.values.cpus() {
                    array.values.write(slot, cpu, &one);
                }
                Ok(())
            }
            Store::Programs(_) | Store::Maps(_) => Err(Errno::EINVAL),
        }
    }

    /// What `bpf_map_lookup_elem` gives a program on a CPU: the guest address of the value, or of an inner map.
    pub(crate) fn find(&self, key: &[u8], cpu: u32) -> Option<u32> {
        match &self.store {
            Store::Array(array) => array.slot(key).map(|slot| array.values.addr(slot, cpu)),
            Store::Maps(slots) => slots.get(index(key)).map(|i| map_handle(i as u32)),
            Store::Programs(_) => None,
        }
    }

    /// `bpf_map_update_elem` of a program on a CPU.
    pub(crate) fn program_update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        match &self.store {
            Store::Array(array) => {
                let slot = array.update_slot(key, flags)?;
                array.values.write(slot, cpu, value);
                Ok(())
            }
            Store::Programs(_) | Store::Maps(_) => Err(Errno::EINVAL),
        }
    }

    /// `bpf_map_delete_elem` of a program.
    pub(crate) fn program_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        match &self.store {
            Store::Array(_) | Store::Programs(_) | Store::Maps(_) => Err(Errno::EINVAL),
        }
    }

    /// The address of a byte of the only value of an array, as `ld_imm64` may name it.
    pub(crate) fn direct_value(&self, offset: u32) -> Option<u32> {
        match &self.store {
            Store::Array(array) if self.map_type == MapType::ARRAY => {
                let whole = self.max_entries == 1 && offset < self.value_size;
                whole.then(|| array.values.addr(0, 0) + offset)
            }
            _ => None,
        }
    }

    /// The slots of a program array.
    pub(crate) fn as_programs(&self) -> Option<&Slots> {
        match &self.store {
            Store::Programs(slots) => Some(slots),
            _ => None,
        }
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn check_value(&self, value: &[u8]) -> Result<(), Errno> {
        let len = match &self.store {
            Store::Array(array) if self.is_per_cpu() => {
                values::stride(self.value_size) as usize * array.values.cpus() as usize
            }
            _ => self.value_size as usize,
        };
        if value.len() == len { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// The index that a key or value of 4 bytes holds.
fn index(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(u32::MAX, |b| u32::from_ne_bytes(*b))
}

/// `array_map_get_next_key`; a key that is none starts over.
fn next_index(key: Option<&[u8]>, entries: u32) -> Result<Vec<u8>, Errno> {
    let next = match key.map(index) {
        Some(index) if index < entries => index + 1,
        _ => 0,
    };
    if next < entries { Ok(next.to_ne_bytes().to_vec()) } else { Err(Errno::ENOENT) }
}
