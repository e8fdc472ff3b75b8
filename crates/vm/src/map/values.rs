// SPDX-License-Identifier: MIT OR Apache-2.0
//! Slots of keys and values in guest memory: the storage under arrays, hash tables and tries. Slots never
//! move, so that a lookup gives a program an address that stays good.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use skep_uapi::Errno;

use super::MapContext;
use super::fields::Fields;
use crate::memory::{Area, Charge, GuestMemory, ObjectKind, Perm, Scalar};

/// Tries for a lock, each after a yield: seconds.
const LOCK_TRIES: u32 = 1 << 22;

/// Bytes that a value takes, and that user space sees for each CPU.
pub(super) fn stride(size: u32) -> u32 {
    size.next_multiple_of(8)
}

fn total(stride: u32, slots: u32, cpus: u32) -> Result<u32, Errno> {
    u64::from(stride)
        .checked_mul(u64::from(slots))
        .and_then(|bytes| bytes.checked_mul(u64::from(cpus)))
        .and_then(|bytes| u32::try_from(bytes).ok())
        .ok_or(Errno::ENOMEM)
}

/// `slots` values of `size` bytes for each of `cpus` CPUs, all of CPU 0 first.
pub(crate) struct Values {
    area: Area,
    size: u32,
    stride: u32,
    slots: u32,
    cpus: u32,
    fields: Fields,
}

impl Values {
    /// Zeroed slots.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(
        context: &MapContext<'_>,
        name: &Arc<str>,
        size: u32,
        slots: u32,
        per_cpu: bool,
        perm: Perm,
        fields: Fields,
    ) -> Result<Values, Errno> {
        let cpus = if per_cpu { context.cpus } else { 1 };
        let stride = stride(size);
        let kind = ObjectKind::MapValues { map: Arc::clone(name), stride, size, slots };
        let area = context.memory.alloc(total(stride, slots, cpus)?, perm, Some(kind))?;
        Ok(Values { area, size, stride, slots, cpus, fields })
    }

    /// Counts bytes that an element takes outside of guest memory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn charge(&self, bytes: u64) -> Result<Charge, Errno> {
        self.area.memory().charge(bytes)
    }

    /// Values of each slot.
    pub(super) fn cpus(&self) -> u32 {
        self.cpus
    }

    /// Fields that copies leave alone.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    #[inline]
    fn offset(&self, slot: u32, cpu: u32) -> u32 {
        ((cpu % self.cpus) * self.slots + slot) * self.stride
    }

    /// Guest address of a value.
    #[inline]
    pub(super) fn addr(&self, slot: u32, cpu: u32) -> u32 {
        self.area.addr() + self.offset(slot, cpu)
    }

    /// Guest address of the first value, bytes from slot to slot, bytes from CPU to CPU.
    pub(super) fn layout(&self) -> (u32, u32, u32) {
        let cpu_bytes = if self.cpus > 1 { self.slots * self.stride } else { 0 };
        (self.area.addr(), self.stride, cpu_bytes)
    }

    /// A value of 4 bytes.
    pub(super) fn load(&self, slot: u32) -> u32 {
        self.area.load(self.offset(slot, 0))
    }

    /// Copies a plain value from guest memory, of which the caller has checked that it may be read.
    #[inline]
    pub(super) fn copy(&self, slot: u32, memory: &GuestMemory, from: u64) {
        self.area.copy(self.offset(slot, 0), memory, from as u32, self.size);
    }

    /// Copies a value in, but for its special fields (`copy_map_value`).
    pub(super) fn write(&self, slot: u32, cpu: u32, value: &[u8]) {
        let at = self.offset(slot, cpu);
        for (offset, len) in self.fields.plain(self.size) {
            self.area.write(at + offset, &value[offset as usize..(offset + len) as usize]);
        }
    }

    /// A value is one copy of what it is given.
    pub(super) fn is_plain(&self) -> bool {
        self.cpus == 1 && self.fields.is_empty()
    }

    /// Makes a slot ready for a new element, whatever was in it: what is not about to be written becomes 0.
    #[inline]
    pub(super) fn make_ready(&self, slot: u32) {
        if !self.is_plain() {
            self.reset(slot);
        }
    }

    /// Sets all of a slot to 0.
    pub(super) fn reset(&self, slot: u32) {
        for cpu in 0..self.cpus {
            self.area.zero(self.offset(slot, cpu), self.stride);
        }
    }

    /// The value of every CPU, each padded to 8 bytes where there are several, as user space sees it: special
    /// fields read as 0.
    pub(super) fn to_vec(&self, slot: u32, per_cpu: bool) -> Vec<u8> {
        let one = |cpu: u32, len: u32| {
            let mut value = vec![0; len as usize];
            for (offset, len) in self.fields.plain(self.size) {
                let part = &mut value[offset as usize..(offset + len) as usize];
                self.area.read(self.offset(slot, cpu) + offset, part);
            }
            value
        };
        if per_cpu {
            (0..self.cpus).flat_map(|cpu| one(cpu, self.stride)).collect()
        } else {
            one(0, self.size)
        }
    }

    /// Writes the value of every CPU from what user space gives.
    pub(super) fn write_all(&self, slot: u32, per_cpu: bool, value: &[u8]) {
        if per_cpu {
            for (cpu, one) in (0..self.cpus).zip(value.chunks_exact(self.stride as usize)) {
                self.write(slot, cpu, one);
            }
        } else {
            self.write(slot, 0, value);
        }
    }

    /// Runs `work` while it holds the spin lock of a value, as `BPF_F_LOCK` asks.
    ///
    /// # Errors
    /// `EINVAL` where the value has no lock; `EBUSY` where a program holds it for good (it trapped, which a
    /// verified one cannot while it holds a lock).
    pub(super) fn locked<T>(&self, slot: u32, work: impl FnOnce() -> T) -> Result<T, Errno> {
        let offset = self.fields.spin_lock().filter(|o| o.is_multiple_of(4)).ok_or(Errno::EINVAL)?;
        let lock = self.area.atomic_u32(self.offset(slot, 0) + offset);
        let taken = (0..LOCK_TRIES).any(|_| {
            let free = lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if !free {
                std::thread::yield_now();
            }
            free
        });
        if !taken {
            return Err(Errno::EBUSY);
        }
        let out = work();
        lock.store(0, Ordering::Release);
        Ok(out)
    }
}

/// Keys in slots, which programs may only read.
pub(super) struct Keys {
    area: Area,
    size: u32,
    stride: u32,
}

impl Keys {
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(
        context: &MapContext<'_>,
        name: &Arc<str>,
        size: u32,
        slots: u32,
    ) -> Result<Keys, Errno> {
        let stride = stride(size);
        let kind = ObjectKind::MapKeys { map: Arc::clone(name), stride, size };
        let area = context.memory.alloc(total(stride, slots, 1)?, Perm::Read, Some(kind))?;
        Ok(Keys { area, size, stride })
    }

    /// Guest address of a key.
    pub(super) fn addr(&self, slot: u32) -> u32 {
        self.area.addr() + slot * self.stride
    }

    /// The key of a slot, where keys have this size.
    #[inline(always)]
    pub(super) fn scalar<T: Scalar>(&self, slot: u32) -> T {
        self.area.load(slot * self.stride)
    }

    /// Puts a key of this size into a slot.
    #[inline(always)]
    pub(super) fn put_scalar<T: Scalar>(&self, slot: u32, key: T) {
        self.area.store(slot * self.stride, key);
    }

    /// Whether a slot holds this key.
    pub(super) fn equal(&self, slot: u32, key: &[u8]) -> bool {
        self.area.equal(slot * self.stride, key)
    }

    /// Puts a key into a slot.
    pub(super) fn write(&self, slot: u32, key: &[u8]) {
        self.area.write(slot * self.stride, key);
    }

    /// The key of a slot.
    pub(super) fn to_vec(&self, slot: u32) -> Vec<u8> {
        self.area.to_vec(slot * self.stride, self.size)
    }
}
