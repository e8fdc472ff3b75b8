// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hash`, `percpu_hash`, their LRU forms and `hash_of_maps`.
//!
//! Keys and values lie in slots of guest memory, so that callbacks can be given pointers to both; an index from
//! hash to slot lies on the host. Lookups take no lock; changes of elements whose hashes are alike take turns.
//!
//! As in the kernel, an update of an existing element of a map that is not per-cpu writes a spare slot and
//! swaps it in: a pointer that a program got before sees the old value until the slot is used again.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use skep_uapi::Errno;
use skep_uapi::flags::map_update::*;

use super::index::Index;
use super::lru::{List, References};
use super::slab::Slab;
use super::turn::{Turn, Turns};
use super::{Keys, Values};
use crate::memory::zeroed;

/// Which slots are given out, and how many elements there are.
struct Pool {
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
    /// The same in every run, so that slots are, too, and the order of iteration.
    hasher: FixedState,
    index: Index,
    /// Who changes elements of equal hashes, and the slot to swap in next.
    turns: Turns,
    /// 1 for each slot that holds an element.
    live: Box<[AtomicU8]>,
    pool: Mutex<Pool>,
}

/// How many can change a table at the same time. Elements of an LRU map make way for one another, one at a time.
fn turns(max_entries: u32, lru: bool) -> u32 {
    const MOST: u32 = 16;
    if lru { 1 } else { max_entries.next_power_of_two().min(MOST) }
}

/// Slots that a table of these needs: more than elements, for updates by swapping.
pub(super) fn slots(max_entries: u32, lru: bool) -> u32 {
    max_entries.saturating_add(turns(max_entries, lru))
}

impl Hash {
    pub(super) fn new(keys: Keys, values: Values, max_entries: u32, in_place: bool, lru: bool) -> Self {
        let slots = slots(max_entries, lru);
        Hash {
            keys,
            values,
            max_entries,
            in_place,
            references: lru.then(|| References::new(slots)),
            hasher: FixedState::with_seed(0),
            index: Index::new(slots),
            turns: Turns::new(turns(max_entries, lru)),
            live: zeroed(slots as usize),
            pool: Mutex::new(Pool { slab: Slab::new(slots), count: 0, ages: lru.then(List::new) }),
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
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
        let turn = self.turns.take(hash);
        let fill = |slot| {
            put_key(slot);
            self.values.make_ready(slot);
            write(slot);
        };
        match self.index.find(hash, is_it) {
            Some(_) if flags == BPF_NOEXIST => Err(Errno::EEXIST),
            None if flags == BPF_EXIST => Err(Errno::ENOENT),
            Some(slot) if self.in_place => {
                write(slot);
                self.touch(slot);
                Ok(())
            }
            Some(old) => {
                let slot = turn.spare().or_else(|| self.pool().slab.take()).ok_or(Errno::ENOMEM)?;
                fill(slot);
                // The new one is found first.
                self.link(hash, slot);
                self.unlink(hash, old);
                turn.set_spare(old);
                if self.references.is_some()
                    && let Some(ages) = &mut self.pool().ages
                {
                    ages.remove(old);
                    ages.push(slot);
                }
                self.touch(slot);
                Ok(())
            }
            None => {
                let slot = self.room(&turn)?;
                fill(slot);
                self.link(hash, slot);
                Ok(())
            }
        }
    }

    /// A slot for one more element.
    fn room(&self, turn: &Turn<'_>) -> Result<u32, Errno> {
        let mut pool = self.pool();
        if pool.count >= self.max_entries {
            self.evict(&mut pool, turn)?;
        }
        let slot = pool.slab.take().ok_or(Errno::E2BIG)?;
        pool.count += 1;
        if let Some(ages) = &mut pool.ages {
            ages.push(slot);
        }
        Ok(slot)
    }

    /// Makes room in a full map. The only turn of an LRU map is the caller's.
    fn evict(&self, pool: &mut Pool, _turn: &Turn<'_>) -> Result<(), Errno> {
        let (Some(ages), Some(references)) = (&mut pool.ages, &self.references) else {
            return Err(Errno::E2BIG);
        };
        let victim = ages.victim(references).ok_or(Errno::ENOMEM)?;
        self.unlink(self.hash(&self.keys.to_vec(victim)), victim);
        Self::retire(pool, victim);
        Ok(())
    }

    /// Gives the slot of an element back that is in the index no more.
    fn retire(pool: &mut Pool, slot: u32) {
        pool.slab.give(slot);
        if let Some(ages) = &mut pool.ages {
            ages.remove(slot);
        }
        pool.count -= 1;
    }

    /// The slot holds an element from now on, which is found.
    fn link(&self, hash: u64, slot: u32) {
        self.index.link(hash, slot);
        self.live[slot as usize].store(1, Ordering::Release);
    }

    fn unlink(&self, hash: u64, slot: u32) {
        self.index.unlink(hash, slot);
        self.live[slot as usize].store(0, Ordering::Release);
    }

    /// Deletes an element; `read` sees its slot before it is gone.
    pub(super) fn delete<T>(&self, key: &[u8], read: impl FnOnce(u32) -> T) -> Result<T, Errno> {
        let hash = self.hash(key);
        let _turn = self.turns.take(hash);
        let slot = self.search(hash, key).ok_or(Errno::ENOENT)?;
        let out = read(slot);
        self.unlink(hash, slot);
        Self::retire(&mut self.pool(), slot);
        Ok(out)
    }

    /// The first slot from `start` on that holds an element.
    fn next_live(&self, start: u32) -> Option<u32> {
        let mut slots = self.live.iter().skip(start as usize);
        slots.position(|live| live.load(Ordering::Acquire) != 0).map(|at| start + at as u32)
    }

    /// The key after another one, or the first where that one is not there.
    pub(super) fn next(&self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let start = key.and_then(|key| self.slot(key)).map_or(0, |slot| slot + 1);
        self.next_live(start).map(|slot| self.keys.to_vec(slot))
    }

    /// The first element in a slot from `start` on: slot and guest address of the key.
    pub(super) fn element(&self, start: u32) -> Option<(u32, u32)> {
        let slot = self.next_live(start)?;
        Some((slot, self.keys.addr(slot)))
    }
}
