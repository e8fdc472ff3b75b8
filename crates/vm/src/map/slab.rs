// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which slots of a map are given out.

/// Slots `0..capacity`.
#[derive(Debug)]
pub(super) struct Slab {
    capacity: u32,
    /// Slots from here on were never given out.
    fresh: u32,
    /// Slots that came back, last first.
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn new(capacity: u32) -> Self {
        Slab { capacity, fresh: 0, free: Vec::new() }
    }

    /// Takes a free slot.
    pub(super) fn take(&mut self) -> Option<u32> {
        match self.free.pop() {
            Some(slot) => Some(slot),
            None if self.fresh < self.capacity => {
                self.fresh += 1;
                Some(self.fresh - 1)
            }
            None => None,
        }
    }

    /// Gives a slot back that was taken.
    pub(super) fn give(&mut self, slot: u32) {
        self.free.push(slot);
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
            }
        }
    }
}
