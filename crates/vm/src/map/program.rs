// SPDX-License-Identifier: MIT OR Apache-2.0
//! What helpers do to maps on behalf of a program. Keys and values have the map's sizes.

use skep_uapi::flags::map_update::*;
use skep_uapi::{Errno, MapType};

use super::{Array, ArrayLayout, Hash, Map, PerfEvents, Queue, Ringbuf, Slots, Store, index};
use crate::machine::map_handle;
use crate::memory::GuestMemory;

/// Where the key of an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementKey {
    /// Nowhere in guest memory: the index in an array.
    Index(u32),
    /// At a guest address.
    Addr(u32),
}

/// One step of a walk over a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// The key.
    pub(crate) key: ElementKey,
    /// Guest address of the value.
    pub(crate) value: u32,
    /// Where the walk goes on.
    pub(crate) next: u32,
}

impl Map {
    /// What `bpf_map_lookup_elem` gives on a CPU: the guest address of the value, or the handle of an inner map.
    pub(crate) fn find(&self, key: &[u8], cpu: u32) -> Option<u32> {
        match &self.store {
            Store::Array(array) => array.slot(key).map(|slot| array.values.addr(slot, cpu)),
            Store::Hash(hash) => hash.slot(key).map(|slot| {
                hash.touch(slot);
                hash.values.addr(slot, cpu)
            }),
            Store::Trie(trie) => trie.slot(key).map(|slot| trie.values.addr(slot, cpu)),
            Store::Maps(slots) => slots.get(index(key)).map(|i| map_handle(i as u32)),
            Store::HashOfMaps(hash) => hash.slot(key).map(|slot| map_handle(hash.values.load(slot))),
            Store::Queue(_) | Store::Ringbuf(_) | Store::Perf(_) | Store::Programs(_) => None,
        }
    }

    /// [`Map::find`] of the key at a guest address, where it is in a table and its key has the size of a register; 0
    /// where there is none. `None` where it takes more.
    #[inline]
    pub(crate) fn find_at(&self, memory: &GuestMemory, key: u64, cpu: u32) -> Option<u32> {
        let Store::Hash(hash) = &self.store else { return None };
        let slot = match self.key_size {
            8 => hash.slot_of_u64(memory.load(key)?),
            4 => hash.slot_of_u32(memory.load(key)?),
            _ => return None,
        };
        Some(slot.map_or(0, |slot| {
            hash.touch(slot);
            hash.values.addr(slot, cpu)
        }))
    }

    /// [`Map::program_update`] with key and value at guest addresses, where the map is a table of plain values and its
    /// key has the size of a register. `None` where it takes more, or the program may not read what it points to.
    #[inline]
    pub(crate) fn update_at(
        &self,
        memory: &GuestMemory,
        key: u64,
        value: u64,
        flags: u64,
    ) -> Option<Result<(), Errno>> {
        let Store::Hash(hash) = &self.store else { return None };
        if !hash.values.is_plain() || flags & BPF_F_LOCK != 0 {
            return None;
        }
        memory.check(value, u64::from(self.value_size), false).ok()?;
        let write = |slot| hash.values.copy(slot, memory, value);
        match self.key_size {
            8 => Some(hash.update_u64(memory.load(key)?, flags, write)),
            4 => Some(hash.update_u32(memory.load(key)?, flags, write)),
            _ => None,
        }
    }

    /// How elements lie in memory, where the map is an array of values.
    pub(crate) fn array_layout(&self) -> Option<ArrayLayout> {
        match &self.store {
            Store::Array(array) => Some(array.layout()),
            _ => None,
        }
    }

    /// `bpf_map_update_elem` on a CPU.
    pub(crate) fn program_update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        match &self.store {
            Store::Array(array) => {
                let slot = array.update_slot(key, flags)?;
                if flags & BPF_F_LOCK != 0 {
                    return array.values.locked(slot, || array.values.write(slot, 0, value));
                }
                array.values.write(slot, cpu, value);
                Ok(())
            }
            // A new element of a per-cpu map is 0 on the other CPUs: slots are given out zeroed.
            Store::Hash(hash) => update_hash(hash, key, flags, |slot| hash.values.write(slot, cpu, value)),
            Store::Trie(trie) => trie.update(key, value, flags),
            Store::Queue(_)
            | Store::Ringbuf(_)
            | Store::Perf(_)
            | Store::Programs(_)
            | Store::Maps(_)
            | Store::HashOfMaps(_) => Err(Errno::EINVAL),
        }
    }

    /// `bpf_map_delete_elem`.
    pub(crate) fn program_delete(&self, key: &[u8]) -> Result<(), Errno> {
        match &self.store {
            Store::Hash(hash) => hash.delete(key, |_| ()),
            Store::Trie(trie) => trie.delete(key),
            Store::Array(_)
            | Store::Queue(_)
            | Store::Ringbuf(_)
            | Store::Perf(_)
            | Store::Programs(_)
            | Store::Maps(_)
            | Store::HashOfMaps(_) => Err(Errno::EINVAL),
        }
    }

    /// The element at or after a position of a walk (`bpf_for_each_map_elem`), which starts at 0.
    ///
    /// # Errors
    /// `EINVAL` for maps that cannot be walked.
    pub(crate) fn element(&self, position: u32, cpu: u32) -> Result<Option<Element>, Errno> {
        match &self.store {
            Store::Array(array) => Ok((position < array.entries()).then(|| Element {
                key: ElementKey::Index(position),
                value: array.values.addr(position, cpu),
                next: position + 1,
            })),
            Store::Hash(hash) => Ok(hash.element(position).map(|(slot, key)| Element {
                key: ElementKey::Addr(key),
                value: hash.values.addr(slot, cpu),
                next: slot + 1,
            })),
            _ => Err(Errno::EINVAL),
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

    /// Offset of the `bpf_spin_lock` in a value.
    pub(crate) fn spin_lock_offset(&self) -> Option<u32> {
        match &self.store {
            Store::Array(Array { values, .. }) | Store::Hash(Hash { values, .. }) => {
                values.fields().spin_lock()
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

    /// A queue or stack.
    pub(crate) fn as_queue(&self) -> Option<&Queue> {
        match &self.store {
            Store::Queue(queue) => Some(queue),
            _ => None,
        }
    }

    /// A ring buffer.
    pub(crate) fn as_ringbuf(&self) -> Option<&Ringbuf> {
        match &self.store {
            Store::Ringbuf(ringbuf) => Some(ringbuf),
            _ => None,
        }
    }

    /// A perf event array.
    pub(crate) fn as_perf(&self) -> Option<&PerfEvents> {
        match &self.store {
            Store::Perf(events) => Some(events),
            _ => None,
        }
    }
}

/// `htab_map_update_elem`: with `BPF_F_LOCK` an existing element is written in place, under its lock.
pub(super) fn update_hash(hash: &Hash, key: &[u8], flags: u64, write: impl Fn(u32)) -> Result<(), Errno> {
    if flags & !BPF_F_LOCK > BPF_EXIST {
        return Err(Errno::EINVAL);
    }
    if flags & BPF_F_LOCK != 0 {
        if hash.values.fields().spin_lock().is_none() {
            return Err(Errno::EINVAL);
        }
        if let Some(slot) = hash.slot(key) {
            if flags & BPF_NOEXIST != 0 {
                return Err(Errno::EEXIST);
            }
            return hash.values.locked(slot, || write(slot));
        }
    }
    hash.update(key, flags & !BPF_F_LOCK, write)
}
