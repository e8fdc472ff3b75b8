// SPDX-License-Identifier: MIT OR Apache-2.0
//! Slots of values in guest memory: the storage under arrays and hash tables. Slots never move, so that a
//! lookup gives a program an address that stays good.

use std::sync::Arc;

use skep_uapi::Errno;

use super::MapContext;
use crate::memory::{Area, ObjectKind, Perm};

/// `slots` values of `size` bytes for each of `cpus` CPUs, all of CPU 0 first.
pub(crate) struct Values {
    area: Area,
    size: u32,
    stride: u32,
    slots: u32,
    cpus: u32,
}

/// Bytes that a value takes, and user space sees for each CPU.
pub(crate) fn stride(size: u32) -> u32 {
    size.next_multiple_of(8)
}

impl Values {
    /// Zeroed slots.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(
        context: &MapContext<'_>,
        name: &Arc<str>,
        size: u32,
        slots: u32,
        cpus: u32,
        perm: Perm,
    ) -> Result<Values, Errno> {
        let stride = stride(size);
        let bytes = u64::from(stride) * u64::from(slots) * u64::from(cpus);
        let kind = ObjectKind::MapValues { map: Arc::clone(name), stride, size, slots };
        let bytes = u32::try_from(bytes).map_err(|_| Errno::ENOMEM)?;
        let area = context.memory.alloc(bytes, perm, Some(kind))?;
        Ok(Values { area, size, stride, slots, cpus })
    }

    /// Values of each CPU.
    pub(crate) fn cpus(&self) -> u32 {
        self.cpus
    }

    fn offset(&self, slot: u32, cpu: u32) -> u32 {
        ((cpu % self.cpus) * self.slots + slot) * self.stride
    }

    /// Guest address of a value.
    #[inline]
    pub(crate) fn addr(&self, slot: u32, cpu: u32) -> u32 {
        self.area.addr() + self.offset(slot, cpu)
    }

    /// Copies a value out.
    pub(crate) fn read(&self, slot: u32, cpu: u32, out: &mut [u8]) {
        self.area.read(self.offset(slot, cpu), &mut out[..self.size as usize]);
    }

    /// Copies a value in.
    pub(crate) fn write(&self, slot: u32, cpu: u32, value: &[u8]) {
        self.area.write(self.offset(slot, cpu), &value[..self.size as usize]);
    }

    /// Sets a value to 0.
    pub(crate) fn zero(&self, slot: u32, cpu: u32) {
        self.area.zero(self.offset(slot, cpu), self.stride);
    }

    /// The value of every CPU, each padded to 8 bytes where there are several, as user space sees it.
    pub(crate) fn to_vec(&self, slot: u32, per_cpu: bool) -> Vec<u8> {
        if !per_cpu {
            return self.area.to_vec(self.offset(slot, 0), self.size);
        }
        (0..self.cpus).flat_map(|cpu| self.area.to_vec(self.offset(slot, cpu), self.stride)).collect()
    }

    /// Writes the value of every CPU from what user space gives.
    pub(crate) fn write_all(&self, slot: u32, per_cpu: bool, value: &[u8]) {
        if !per_cpu {
            return self.write(slot, 0, value);
        }
        for (cpu, one) in (0..self.cpus).zip(value.chunks_exact(self.stride as usize)) {
            self.area.write(self.offset(slot, cpu), one);
        }
    }
}
