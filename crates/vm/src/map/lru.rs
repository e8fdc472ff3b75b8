// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which element of a full LRU map goes: the kernel's rule with one list. Lookups of programs set an element's
//! reference bit without a lock; the search for a victim starts at the oldest element, clears the bit of those
//! that were used since and gives them another round.
//!
//! The kernel keeps active and inactive lists, moves elements between CPUs in batches, and so may evict
//! before the map is full; here a map holds all of its `max_entries`.

use std::sync::atomic::{AtomicBool, Ordering};

/// End of the list.
const NONE: u32 = u32::MAX;

/// Reference bits of slots, set by lookups.
pub(super) struct References(Box<[AtomicBool]>);

impl References {
    pub(super) fn new(slots: u32) -> Self {
        References((0..slots).map(|_| AtomicBool::new(false)).collect())
    }

    /// Notes a use. (The test first spares other CPUs the write to a shared line.)
    pub(super) fn touch(&self, slot: u32) {
        if let Some(bit) = self.0.get(slot as usize)
            && !bit.load(Ordering::Relaxed)
        {
            bit.store(true, Ordering::Relaxed);
        }
    }

    fn clear(&self, slot: u32) -> bool {
        self.0.get(slot as usize).is_some_and(|bit| bit.swap(false, Ordering::Relaxed))
    }
}

/// Slots in use, newest first.
pub(super) struct List {
    /// Neighbours of each slot: newer and older.
    links: Vec<(u32, u32)>,
    newest: u32,
    oldest: u32,
}

impl List {
    pub(super) fn new() -> Self {
        List { links: Vec::new(), newest: NONE, oldest: NONE }
    }

    /// Adds a slot as the newest.
    pub(super) fn push(&mut self, slot: u32) {
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, (NONE, NONE));
        }
        self.links[slot as usize] = (NONE, self.newest);
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.links[newest as usize].0 = slot,
        }
        self.newest = slot;
    }

    /// Takes a slot out that is in the list.
    pub(super) fn remove(&mut self, slot: u32) {
        let (newer, older) = self.links[slot as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].1 = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].0 = newer,
        }
    }

    /// The slot to evict; it stays in the list.
    pub(super) fn victim(&mut self, references: &References) -> Option<u32> {
        // Each round clears one bit, and lookups on other threads may set them again: bounded all the same.
        for _ in 0..2 * self.links.len() {
            let slot = self.oldest;
            if slot == NONE {
                return None;
            }
            if !references.clear(slot) {
                return Some(slot);
            }
            self.remove(slot);
            self.push(slot);
        }
        (self.oldest != NONE).then_some(self.oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_unused_goes_first() {
        let (mut list, references) = (List::new(), References::new(4));
        (0..4).for_each(|slot| list.push(slot));
        references.touch(0);
        references.touch(2);
        let mut evict = || {
            let slot = list.victim(&references);
            slot.into_iter().for_each(|slot| list.remove(slot));
            slot
        };
        assert_eq!([evict(), evict(), evict(), evict(), evict()], [Some(1), Some(3), Some(0), Some(2), None]);
    }
}
