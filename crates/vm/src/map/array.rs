// SPDX-License-Identifier: MIT OR Apache-2.0
//! `array` and `percpu_array`: every element exists from the start, zeroed, and none can be deleted.

use skep_uapi::Errno;
use skep_uapi::flags::map_update::*;

use super::Values;

/// The value of an element: `addr + index * stride + cpu * cpu_bytes`, a guest address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArrayLayout {
    pub(crate) addr: u32,
    pub(crate) stride: u32,
    pub(crate) entries: u32,
    /// 0 where all CPUs share the values.
    pub(crate) cpu_bytes: u32,
}

/// An array of values.
pub(crate) struct Array {
    pub(super) values: Values,
    entries: u32,
}

impl Array {
    pub(super) fn new(values: Values, entries: u32) -> Self {
        Array { values, entries }
    }

    /// The slot of a key.
    #[inline]
    pub(super) fn slot(&self, key: &[u8]) -> Option<u32> {
        let index = u32::from_ne_bytes(*key.first_chunk()?);
        (index < self.entries).then_some(index)
    }

    /// The slot that an update writes (`array_map_update_elem`).
    pub(super) fn update_slot(&self, key: &[u8], flags: u64) -> Result<u32, Errno> {
        if flags & !BPF_F_LOCK > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let slot = self.slot(key).ok_or(Errno::E2BIG)?;
        if flags & BPF_NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        Ok(slot)
    }

    /// How elements lie in memory.
    pub(super) fn layout(&self) -> ArrayLayout {
        let (addr, stride, cpu_bytes) = self.values.layout();
        ArrayLayout { addr, stride, entries: self.entries, cpu_bytes }
    }

    /// Number of elements.
    pub(super) fn entries(&self) -> u32 {
        self.entries
    }
}
