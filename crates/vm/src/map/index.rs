// SPDX-License-Identifier: MIT OR Apache-2.0
//! From hashes to slots: chains of slots that are read without a lock while one writer at a time changes them, as the
//! kernel's `hlist_nulls`.
//!
//! A reader can be on its way through a chain when the slot that it stands on is taken out and put into another one.
//! It must not go on there and miss what it looks for: a slot's hash is written before its successor, and read after
//! it, so whoever came into another chain sees that the hash does not belong, and starts again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::memory::zeroed;

/// Bytes of an element, beside its key and value.
pub(super) const ELEMENT_BYTES: u64 = (2 * size_of::<AtomicU32>() + size_of::<AtomicU64>()) as u64;

/// Chains of slots. A link is the number of a slot and one, or 0 at the end.
pub(super) struct Index {
    /// The first slot of each chain; a power of two of them.
    buckets: Box<[AtomicU32]>,
    /// The next slot in the chain of each.
    next: Box<[AtomicU32]>,
    /// The hash of what is in each slot.
    hashes: Box<[AtomicU64]>,
}

impl Index {
    /// Empty, for slots below a number.
    pub(super) fn new(slots: u32) -> Index {
        let slots = slots as usize;
        Index { buckets: zeroed(slots.next_power_of_two()), next: zeroed(slots), hashes: zeroed(slots) }
    }

    #[inline(always)]
    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    /// The first slot of a hash that is the right one.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let bucket = self.bucket(hash);
        'again: loop {
            let mut link = self.buckets[bucket].load(Ordering::Acquire);
            while link != 0 {
                let slot = link - 1;
                let found = self.hashes[slot as usize].load(Ordering::Acquire);
                if found == hash && is_it(slot) {
                    return Some(slot);
                }
                link = self.next[slot as usize].load(Ordering::Acquire);
                let now = self.hashes[slot as usize].load(Ordering::Relaxed);
                if self.bucket(now) != bucket {
                    continue 'again;
                }
            }
            return None;
        }
    }

    /// Puts a slot in that is in no chain. One writer at a time.
    pub(super) fn link(&self, hash: u64, slot: u32) {
        let first = &self.buckets[self.bucket(hash)];
        self.hashes[slot as usize].store(hash, Ordering::Release);
        self.next[slot as usize].store(first.load(Ordering::Relaxed), Ordering::Release);
        first.store(slot + 1, Ordering::Release);
    }

    /// Takes a slot out. Readers that stand on it still find the way on. One writer at a time.
    pub(super) fn unlink(&self, hash: u64, slot: u32) {
        let mut link = &self.buckets[self.bucket(hash)];
        loop {
            match link.load(Ordering::Relaxed) {
                0 => return,
                found if found == slot + 1 => {
                    let next = self.next[slot as usize].load(Ordering::Relaxed);
                    return link.store(next, Ordering::Release);
                }
                found => link = &self.next[found as usize - 1],
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_is_in(ops in prop::collection::vec((0u32..40, any::<bool>()), 0..300)) {
            let index = Index::new(40);
            // Few hashes, so that chains are long; what a slot holds is its number.
            let hash = |slot: u32| u64::from(slot % 7) << 32 | u64::from(slot % 3);
            let mut model = BTreeMap::new();
            for (slot, put) in ops {
                if put && !model.contains_key(&slot) {
                    index.link(hash(slot), slot);
                    model.insert(slot, ());
                } else if !put && model.remove(&slot).is_some() {
                    index.unlink(hash(slot), slot);
                }
                for slot in 0..40 {
                    let found = index.find(hash(slot), |other| other == slot);
                    prop_assert_eq!(found, model.get(&slot).map(|()| slot));
                }
            }
        }
    }

    #[test]
    fn readers_find_what_stays_while_all_else_moves() {
        // Slots of one chain that come and go, around one that stays.
        let index = Index::new(8);
        index.link(0, 0);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| (0..200_000).all(|_| index.find(0, |slot| slot == 0) == Some(0)));
            for round in 0..20_000_u64 {
                for slot in 1..8 {
                    index.link((round % 4) << 3, slot);
                }
                for slot in 1..8 {
                    index.unlink((round % 4) << 3, slot);
                }
            }
            assert!(reader.join().unwrap());
        });
    }
}
