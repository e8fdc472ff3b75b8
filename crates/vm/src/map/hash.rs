// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hash`, `percpu_hash`, their LRU forms and `hash_of_maps`.
//!
//! Keys and values lie in slots of guest memory, so that callbacks can be given pointers to both; an index from
//! hash to slot lies on the host. Lookups take a read lock of the index; changes take turns.
//!
//! As in the kernel, an update of an existing element of a map that is not per-cpu writes a spare slot and
//! swaps it in: a pointer that a program got before sees the old value until the slot is used again.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::{DefaultHashBuilder, HashTable};
use skep_uapi::Errno;
use skep_uapi::flags::map_update::*;

use super::lru::{List, References};
use super::slab::Slab;
use super::{Keys, Values};

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    slot: u32,
}

/// What changes take turns at.
struct Writer {
    slab: Slab,
    count: u32,
    /// Slots in order of age, for LRU maps.
    ages: Option<List>,
}

/// A hash table.
pub(crate) struct Hash {
    keys: Keys,
    pub(super) values: Values,
    max_entries: u32,
    /// Existing elements are written in place.
    in_place: bool,
    references: Option<References>,
    hasher: DefaultHashBuilder,
    index: RwLock<HashTable<Entry>>,
    writer: Mutex<Writer>,
}

/// Slots that a table of these needs: one more than elements for updates by swapping.
pub(super) fn slots(max_entries: u32) -> u32 {
    max_entries.saturating_add(1)
}

impl Hash {
    pub(super) fn new(keys: Keys, values: Values, max_entries: u32, in_place: bool, lru: bool) -> Self {
        let slots = slots(max_entries);
        Hash {
            keys,
            values,
            max_entries,
            in_place,
            references: lru.then(|| References::new(slots)),
            hasher: DefaultHashBuilder::default(),
            index: RwLock::new(HashTable::new()),
            writer: Mutex::new(Writer { slab: Slab::new(slots), count: 0, ages: lru.then(List::new) }),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn search(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index
            .find(hash, |entry| entry.hash == hash && self.keys.equal(entry.slot, key))
            .map(|entry| entry.slot)
    }

    fn link(&self, hash: u64, slot: u32) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.insert_unique(hash, Entry { hash, slot }, |entry| entry.hash);
    }

    fn unlink(&self, hash: u64, slot: u32) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(entry) = index.find_entry(hash, |entry| entry.slot == slot) {
            entry.remove();
        }
    }

    /// The slot of a key.
    pub(super) fn slot(&self, key: &[u8]) -> Option<u32> {
        self.search(self.hash(key), key)
    }

    /// Notes that a program looked an element up.
    pub(super) fn touch(&self, slot: u32) {
        if let Some(references) = &self.references {
            references.touch(slot);
        }
    }

    /// Inserts or replaces an element. `write` fills the value of a slot, which is 0 where it is a new one.
    /// `BPF_F_LOCK` has been dealt with.
    pub(super) fn update(&self, key: &[u8], flags: u64, write: impl FnOnce(u32)) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let hash = self.hash(key);
        let mut writer = self.writer();
        let old = self.search(hash, key);
        match old {
            Some(_) if flags == BPF_NOEXIST => return Err(Errno::EEXIST),
            None if flags == BPF_EXIST => return Err(Errno::ENOENT),
            Some(slot) if self.in_place => {
                write(slot);
                self.touch(slot);
                return Ok(());
            }
            Some(old) => {
                let slot = writer.slab.take().ok_or(Errno::ENOMEM)?;
                self.fill(slot, key, write);
                {
                    let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                    if let Some(entry) = index.find_mut(hash, |entry| entry.slot == old) {
                        entry.slot = slot;
                    }
                }
                self.retire(&mut writer, old);
                if let Some(ages) = &mut writer.ages {
                    ages.push(slot);
                }
                self.touch(slot);
            }
            None => {
                if writer.count >= self.max_entries {
                    self.evict(&mut writer)?;
                }
                let slot = writer.slab.take().ok_or(Errno::E2BIG)?;
                self.fill(slot, key, write);
                self.link(hash, slot);
                writer.count += 1;
                if let Some(ages) = &mut writer.ages {
                    ages.push(slot);
                }
            }
        }
        Ok(())
    }

    fn fill(&self, slot: u32, key: &[u8], write: impl FnOnce(u32)) {
        self.keys.write(slot, key);
        self.values.reset(slot);
        write(slot);
    }

    /// Gives the slot of an element back that is in the index no more.
    fn retire(&self, writer: &mut Writer, slot: u32) {
        writer.slab.give(slot);
        if let Some(ages) = &mut writer.ages {
            ages.remove(slot);
        }
    }

    /// Makes room in a full map.
    fn evict(&self, writer: &mut Writer) -> Result<(), Errno> {
        let (Some(ages), Some(references)) = (&mut writer.ages, &self.references) else {
            return Err(Errno::E2BIG);
        };
        let victim = ages.victim(references).ok_or(Errno::ENOMEM)?;
        let key = self.keys.to_vec(victim);
        self.unlink(self.hash(&key), victim);
        self.retire(writer, victim);
        writer.count -= 1;
        Ok(())
    }

    /// Deletes an element; `read` sees its slot before it is gone.
    pub(super) fn delete<T>(&self, key: &[u8], read: impl FnOnce(u32) -> T) -> Result<T, Errno> {
        let hash = self.hash(key);
        let mut writer = self.writer();
        let slot = self.search(hash, key).ok_or(Errno::ENOENT)?;
        let out = read(slot);
        self.unlink(hash, slot);
        self.retire(&mut writer, slot);
        writer.count -= 1;
        Ok(out)
    }

    /// The key after another one, or the first where that one is not there.
    pub(super) fn next(&self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let writer = self.writer();
        let start = key.and_then(|key| self.slot(key)).map_or(0, |slot| slot + 1);
        writer.slab.next_used(start).map(|slot| self.keys.to_vec(slot))
    }

    /// The first element in a slot from `start` on: slot and guest address of the key.
    pub(super) fn element(&self, start: u32) -> Option<(u32, u32)> {
        let slot = self.writer().slab.next_used(start)?;
        Some((slot, self.keys.addr(slot)))
    }
}
