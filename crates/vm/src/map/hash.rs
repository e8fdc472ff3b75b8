// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hash`, `percpu_hash`, their LRU forms and `hash_of_maps`.
//!
//! Keys and values lie in slots of guest memory, so that callbacks can be given pointers to both; an index from
//! hash to slot lies on the host. Lookups take no lock; changes take turns.
//!
//! As in the kernel, an update of an existing element of a map that is not per-cpu writes a spare slot and
//! swaps it in: a pointer that a program got before sees the old value until the slot is used again.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::DefaultHashBuilder;
use skep_uapi::Errno;
use skep_uapi::flags::map_update::*;

use super::index::Index;
use super::lru::{List, References};
use super::slab::Slab;
use super::{Keys, Values};

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
    index: Index,
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
            index: Index::new(slots),
            writer: Mutex::new(Writer { slab: Slab::new(slots), count: 0, ages: lru.then(List::new) }),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of a key. Keys of a register's size, most of them, are hashed as numbers.
    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        if let Ok(key) = <[u8; 8]>::try_from(key) {
            self.hasher.hash_one(u64::from_ne_bytes(key))
        } else if let Ok(key) = <[u8; 4]>::try_from(key) {
            self.hasher.hash_one(u32::from_ne_bytes(key))
        } else {
            self.hasher.hash_one(key)
        }
    }

    /// [`Hash::slot`] of a key of 8 bytes.
    #[inline]
    pub(super) fn slot_of_u64(&self, key: u64) -> Option<u32> {
        self.index.find(self.hasher.hash_one(key), |slot| self.keys.scalar::<u64>(slot) == key)
    }

    /// [`Hash::slot`] of a key of 4 bytes.
    #[inline]
    pub(super) fn slot_of_u32(&self, key: u32) -> Option<u32> {
        self.index.find(self.hasher.hash_one(key), |slot| self.keys.scalar::<u32>(slot) == key)
    }

    #[inline]
    fn search(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| self.keys.equal(slot, key))
    }

    /// The slot of a key.
    #[inline]
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
    pub(super) fn update(&self, key: &[u8], flags: u64, write: impl Fn(u32)) -> Result<(), Errno> {
        let (is_it, put_key) = (|slot| self.keys.equal(slot, key), |slot| self.keys.write(slot, key));
        self.update_with(self.hash(key), flags, is_it, put_key, write)
    }

    /// [`Hash::update`] of a key of 8 bytes.
    pub(super) fn update_u64(&self, key: u64, flags: u64, write: impl Fn(u32)) -> Result<(), Errno> {
        let (is_it, put_key) =
            (|slot| self.keys.scalar::<u64>(slot) == key, |slot| self.keys.put_scalar(slot, key));
        self.update_with(self.hasher.hash_one(key), flags, is_it, put_key, write)
    }

    /// [`Hash::update`] of a key of 4 bytes.
    pub(super) fn update_u32(&self, key: u32, flags: u64, write: impl Fn(u32)) -> Result<(), Errno> {
        let (is_it, put_key) =
            (|slot| self.keys.scalar::<u32>(slot) == key, |slot| self.keys.put_scalar(slot, key));
        self.update_with(self.hasher.hash_one(key), flags, is_it, put_key, write)
    }

    /// [`Hash::update`] of a key of which `is_it` says whether a slot has it, and which `put_key` writes to a slot.
    #[inline(always)]
    fn update_with(
        &self,
        hash: u64,
        flags: u64,
        is_it: impl Fn(u32) -> bool,
        put_key: impl Fn(u32),
        write: impl Fn(u32),
    ) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let mut writer = self.writer();
        let old = self.index.find(hash, is_it);
        let fill = |slot| {
            put_key(slot);
            self.values.make_ready(slot);
            write(slot);
        };
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
                fill(slot);
                // The new one is found first.
                self.index.link(hash, slot);
                self.index.unlink(hash, old);
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
                fill(slot);
                self.index.link(hash, slot);
                writer.count += 1;
                if let Some(ages) = &mut writer.ages {
                    ages.push(slot);
                }
            }
        }
        Ok(())
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
        self.index.unlink(self.hash(&key), victim);
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
        self.index.unlink(hash, slot);
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
