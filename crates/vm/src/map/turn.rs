// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns of those who change a hash table: one for each part of its chains. Whoever has the turn of a hash is alone with
//! all elements of the hash's chain, and with a slot that the turn keeps for the next update.
//!
//! A turn is short and takes one atomic operation; who waits spins, then yields.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Looks at a taken turn before the processor is given away.
const SPINS: u32 = 64;

/// A turn, on cache lines of its own.
#[repr(align(128))]
struct Part {
    taken: AtomicBool,
    /// The slot that is kept, and one, or 0.
    spare: AtomicU32,
}

/// The turns of a table: a power of two.
pub(super) struct Turns(Box<[Part]>);

/// A turn that is held until it is dropped.
pub(super) struct Turn<'a>(&'a Part);

impl Turns {
    pub(super) fn new(count: u32) -> Turns {
        Turns(
            (0..count.max(1))
                .map(|_| Part { taken: AtomicBool::new(false), spare: AtomicU32::new(0) })
                .collect(),
        )
    }

    /// Waits for the turn of a hash. All hashes of a chain share it, since there are as many chains or more.
    #[inline]
    pub(super) fn take(&self, hash: u64) -> Turn<'_> {
        let part = &self.0[hash as usize & (self.0.len() - 1)];
        while part.taken.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            part.wait();
        }
        Turn(part)
    }
}

impl Part {
    #[cold]
    fn wait(&self) {
        for _ in 0..SPINS {
            if !self.taken.load(Ordering::Relaxed) {
                return;
            }
            std::hint::spin_loop();
        }
        std::thread::yield_now();
    }
}

impl Turn<'_> {
    /// Takes the slot that is kept.
    pub(super) fn spare(&self) -> Option<u32> {
        let spare = self.0.spare.load(Ordering::Relaxed);
        self.0.spare.store(0, Ordering::Relaxed);
        spare.checked_sub(1)
    }

    /// Keeps a slot.
    pub(super) fn set_spare(&self, slot: u32) {
        self.0.spare.store(slot + 1, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
