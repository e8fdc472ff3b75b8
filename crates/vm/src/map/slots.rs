// SPDX-License-Identifier: MIT OR Apache-2.0
//! `prog_array` and `array_of_maps`: slots that hold a program or a map, or nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use skep_uapi::ProgType;

/// Indices of programs or maps of the machine, by slot.
pub(crate) struct Slots {
    /// Index plus one; 0 is empty.
    slots: Box<[AtomicU32]>,
    /// Type of the first program that was put in; all others must have it too.
    owner: OnceLock<ProgType>,
}

impl Slots {
    pub(super) fn new(entries: u32) -> Self {
        Slots { slots: (0..entries).map(|_| AtomicU32::new(0)).collect(), owner: OnceLock::new() }
    }

    /// `bpf_prog_map_compatible`: whether a program of this type may be put in.
    pub(super) fn admits(&self, prog_type: ProgType) -> bool {
        *self.owner.get_or_init(|| prog_type) == prog_type
    }

    /// Where the slots are: a number of 4 bytes each, an index plus one, or 0.
    pub(crate) fn address(&self) -> *const AtomicU32 {
        self.slots.as_ptr()
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// What a slot holds; `None` also where there is no such slot.
    pub(crate) fn get(&self, slot: u32) -> Option<usize> {
        let value = self.slots.get(slot as usize)?.load(Ordering::Acquire);
        value.checked_sub(1).map(|index| index as usize)
    }

    /// Puts something into a slot, or empties it; gives what it held.
    pub(super) fn set(&self, slot: u32, index: Option<u32>) -> Option<usize> {
        let old = self.slots.get(slot as usize)?.swap(index.map_or(0, |i| i + 1), Ordering::AcqRel);
        old.checked_sub(1).map(|index| index as usize)
    }
}
