// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which slots of a map are in use. Slots in use are walked in order, which makes iteration over a hash table
//! the same in every run.

/// Slots `0..capacity`.
#[derive(Debug)]
pub(super) struct Slab {
    capacity: u32,
    /// Slots from here on were never given out.
    fresh: u32,
    /// Slots that came back, last first.
    free: Vec<u32>,
    /// One bit for each slot below `fresh`: it is in use.
    used: Vec<u64>,
}

impl Slab {
    pub(super) fn new(capacity: u32) -> Self {
        Slab { capacity, fresh: 0, free: Vec::new(), used: Vec::new() }
    }

    /// Takes a free slot.
    pub(super) fn take(&mut self) -> Option<u32> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.fresh < self.capacity => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return None,
        };
        let word = slot as usize / 64;
        if word >= self.used.len() {
            self.used.resize(word + 1, 0);
        }
        self.used[word] |= 1 << (slot % 64);
        Some(slot)
    }

    /// Gives a slot back.
    pub(super) fn give(&mut self, slot: u32) {
        if let Some(word) = self.used.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
            self.free.push(slot);
        }
    }

    /// The first slot from `start` on that is in use.
    pub(super) fn next_used(&self, start: u32) -> Option<u32> {
        let first = start as usize / 64;
        self.used.iter().enumerate().skip(first).find_map(|(i, &word)| {
            let word = if i == first { word & (u64::MAX << (start % 64)) } else { word };
            (word != 0).then(|| i as u32 * 64 + word.trailing_zeros())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_are_given_once(ops in prop::collection::vec((any::<bool>(), 0u32..200), 0..400)) {
            let mut slab = Slab::new(150);
            let mut model = BTreeSet::new();
            for (take, slot) in ops {
                if take {
                    match slab.take() {
                        Some(slot) => prop_assert!(slot < 150 && model.insert(slot)),
                        None => prop_assert_eq!(model.len(), 150),
                    }
                } else if model.remove(&slot) {
                    slab.give(slot);
                }
                prop_assert_eq!(slab.next_used(slot), model.range(slot..).next().copied());
            }
        }
    }
}
