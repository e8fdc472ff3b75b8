// SPDX-License-Identifier: MIT OR Apache-2.0
//! What bpf(2) does to maps on behalf of user space. A key or value of another length than the map's, which
//! the kernel cannot see, is `EINVAL`.

use std::sync::atomic::Ordering;

use skep_uapi::flags::map_create::*;
use skep_uapi::flags::map_update::*;
use skep_uapi::{Errno, MapType};

use super::program::update_hash;
use super::{Map, PerfRecord, Slots, Store, index};
use crate::Machine;

/// Flags of a lookup.
const LOOKUP_FLAGS: u64 = BPF_F_LOCK;

impl Map {
    fn may_read(&self) -> Result<(), Errno> {
        if self.flags & BPF_F_WRONLY != 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    fn may_write(&self) -> Result<(), Errno> {
        let frozen = self.frozen.load(Ordering::Relaxed);
        if frozen || self.flags & BPF_F_RDONLY != 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// `BPF_F_LOCK` needs a lock in the value.
    fn check_lock(&self, flags: u64) -> Result<(), Errno> {
        let fine = flags & BPF_F_LOCK == 0 || self.spin_lock_offset().is_some();
        if fine { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// `BPF_MAP_FREEZE`: user space may not write from now on.
    ///
    /// # Errors
    /// `EPERM` where it may not write before either.
    pub fn freeze(&self) -> Result<(), Errno> {
        self.may_write()?;
        self.frozen.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// `BPF_MAP_LOOKUP_ELEM` without flags, see [`Map::lookup_with`].
    ///
    /// # Errors
    /// `ENOENT` where there is no such element, and what else the kernel says.
    pub fn lookup(&self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.lookup_with(key, BPF_ANY)
    }

    /// `BPF_MAP_LOOKUP_ELEM`: the value; that of each CPU, padded to 8 bytes, for a per-cpu map; the next value
    /// of a queue or stack, which stays. For maps of programs or maps the index in the machine in 4 bytes.
    ///
    /// # Errors
    /// `ENOENT` where there is no such element, and what else the kernel says.
    pub fn lookup_with(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        if flags & !LOOKUP_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        self.may_read()?;
        self.check_lock(flags)?;
        self.check_key(key)?;
        let per_cpu = self.is_per_cpu();
        match &self.store {
            Store::Array(array) => {
                let slot = array.slot(key).ok_or(Errno::ENOENT)?;
                read(&array.values, slot, per_cpu, flags)
            }
            Store::Hash(hash) => {
                let slot = hash.slot(key).ok_or(Errno::ENOENT)?;
                read(&hash.values, slot, per_cpu, flags)
            }
            Store::HashOfMaps(hash) => {
                let slot = hash.slot(key).ok_or(Errno::ENOENT)?;
                read(&hash.values, slot, false, BPF_ANY)
            }
            Store::Trie(trie) => {
                let slot = trie.slot(key).ok_or(Errno::ENOENT)?;
                read(&trie.values, slot, false, BPF_ANY)
            }
            Store::Queue(queue) => queue.peek(),
            Store::Programs(slots) | Store::Maps(slots) => {
                let target = slots.get(index(key)).ok_or(Errno::ENOENT)?;
                Ok((target as u32).to_ne_bytes().to_vec())
            }
            Store::Ringbuf(_) | Store::Perf(_) => Err(Errno::ENOTSUPP),
        }
    }

    /// `BPF_MAP_UPDATE_ELEM` of a map whose values are bytes; for queues and stacks, which have no key, the
    /// value is pushed. [`Machine::update`] also takes maps of programs and of maps.
    ///
    /// # Errors
    /// What the kernel says; `ENOTSUPP` for maps of programs and of maps.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.user_update(None, key, value, flags)
    }

    /// `BPF_MAP_UPDATE_ELEM`; `machine` is what indices refer to.
    pub(crate) fn user_update(
        &self,
        machine: Option<&Machine>,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        self.may_write()?;
        self.check_lock(flags)?;
        self.check_key(key)?;
        if value.len() != self.user_value_size() as usize {
            return Err(Errno::EINVAL);
        }
        let per_cpu = self.is_per_cpu();
        match &self.store {
            Store::Array(array) => {
                let slot = array.update_slot(key, flags)?;
                let write = || array.values.write_all(slot, per_cpu, value);
                if flags & BPF_F_LOCK != 0 {
                    return array.values.locked(slot, write);
                }
                write();
                Ok(())
            }
            Store::Hash(hash) => {
                update_hash(hash, key, flags, |slot| hash.values.write_all(slot, per_cpu, value))
            }
            Store::HashOfMaps(hash) => {
                let machine = machine.ok_or(Errno::ENOTSUPP)?;
                self.check_inner(machine.map(index(value) as usize).ok_or(Errno::EBADF)?)?;
                hash.update(key, flags, |slot| hash.values.write(slot, 0, value))
            }
            Store::Trie(trie) => trie.update(key, value, flags),
            Store::Queue(queue) => queue.push(value, flags),
            Store::Programs(slots) => {
                let target = slot_target(slots, key, value, flags)?;
                let machine = machine.ok_or(Errno::ENOTSUPP)?;
                let program = machine.find_program(target as usize).ok_or(Errno::EBADF)?;
                if !slots.admits(program.prog_type) {
                    return Err(Errno::EINVAL);
                }
                slots.set(index(key), Some(target));
                Ok(())
            }
            Store::Maps(slots) => {
                let target = slot_target(slots, key, value, flags)?;
                let machine = machine.ok_or(Errno::ENOTSUPP)?;
                self.check_inner(machine.map(target as usize).ok_or(Errno::EBADF)?)?;
                slots.set(index(key), Some(target));
                Ok(())
            }
            Store::Perf(events) => {
                if flags != BPF_ANY {
                    return Err(Errno::EINVAL);
                }
                events.set_open(index(key), true).map(|_| ())
            }
            Store::Ringbuf(_) => Err(Errno::ENOTSUPP),
        }
    }

    /// `bpf_map_meta_equal` and `array_map_meta_equal`: whether a map may be put into this map of maps.
    fn check_inner(&self, map: &Map) -> Result<(), Errno> {
        let Some(inner) = &self.inner else { return Err(Errno::EINVAL) };
        let same = inner.map_type == map.map_type
            && inner.key_size == map.key_size
            && inner.value_size == map.value_size
            && inner.flags == map.flags;
        // An array's size is compiled into the program, unless it was said not to be; a ring's too.
        let sized = match map.map_type {
            MapType::ARRAY | MapType::PERCPU_ARRAY => map.flags & BPF_F_INNER_MAP == 0,
            _ => false,
        };
        if same && (!sized || inner.max_entries == map.max_entries) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// `BPF_MAP_DELETE_ELEM`.
    ///
    /// # Errors
    /// `ENOENT` where there is no such element, `EINVAL` for arrays and queues.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.may_write()?;
        self.check_key(key)?;
        match &self.store {
            Store::Hash(hash) | Store::HashOfMaps(hash) => hash.delete(key, |_| ()),
            Store::Trie(trie) => trie.delete(key),
            Store::Programs(slots) | Store::Maps(slots) => {
                if index(key) >= slots.len() {
                    return Err(Errno::E2BIG);
                }
                slots.set(index(key), None).map(|_| ()).ok_or(Errno::ENOENT)
            }
            Store::Perf(events) => {
                if events.set_open(index(key), false)? {
                    Ok(())
                } else {
                    Err(Errno::ENOENT)
                }
            }
            Store::Array(_) | Store::Queue(_) => Err(Errno::EINVAL),
            Store::Ringbuf(_) => Err(Errno::ENOTSUPP),
        }
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`; of queues and stacks the next value, which is taken out.
    ///
    /// # Errors
    /// `ENOENT` where there is no such element, `ENOTSUPP` for types that cannot.
    pub fn lookup_and_delete(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        if flags & !LOOKUP_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        self.may_read()?;
        self.may_write()?;
        if flags != 0 && matches!(self.store, Store::Queue(_)) {
            return Err(Errno::EINVAL);
        }
        self.check_lock(flags)?;
        self.check_key(key)?;
        match &self.store {
            Store::Queue(queue) => queue.pop(),
            Store::Hash(hash) => {
                let per_cpu = self.is_per_cpu();
                hash.delete(key, |slot| read(&hash.values, slot, per_cpu, flags))?
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// `BPF_MAP_GET_NEXT_KEY`: the key after another; the first one without a key, or after one that is not
    /// there. Hash tables have their own order, which is the same in every run.
    ///
    /// # Errors
    /// `ENOENT` after the last key, `EINVAL` and `ENOTSUPP` for types without keys.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.may_read()?;
        if let Some(key) = key {
            self.check_key(key)?;
        }
        match &self.store {
            Store::Array(_) | Store::Maps(_) | Store::Programs(_) | Store::Perf(_) => {
                // `array_map_get_next_key`
                let next = match key.map(index) {
                    Some(index) if index < self.max_entries => index + 1,
                    _ => 0,
                };
                if next < self.max_entries { Ok(next.to_ne_bytes().to_vec()) } else { Err(Errno::ENOENT) }
            }
            Store::Hash(hash) | Store::HashOfMaps(hash) => hash.next(key).ok_or(Errno::ENOENT),
            Store::Trie(trie) => trie.next(key).ok_or(Errno::ENOENT),
            Store::Queue(_) => Err(Errno::EINVAL),
            Store::Ringbuf(_) => Err(Errno::ENOTSUPP),
        }
    }

    /// All keys with their values, as user space reads them; empty for types without keys. Where programs add
    /// and delete elements meanwhile, some may be missing or there twice, as in the kernel.
    #[must_use]
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut key = self.next_key(None);
        // The walk starts over when its key is deleted: without a bound it might never end.
        for _ in 0..self.max_entries {
            let Ok(at) = key else { break };
            if let Ok(value) = self.lookup(&at) {
                entries.push((at.clone(), value));
            }
            key = self.next_key(Some(&at));
        }
        entries
    }

    /// Takes the records out of a ring buffer, as its consumer would; empty for other types.
    #[must_use]
    pub fn take_ring_records(&self) -> Vec<Vec<u8>> {
        self.as_ringbuf().map(|ringbuf| ringbuf.consume()).unwrap_or_default()
    }

    /// Takes the records out of a perf event array, and the number of those that were lost; empty for other
    /// types.
    #[must_use]
    pub fn take_perf_records(&self) -> (Vec<PerfRecord>, u64) {
        self.as_perf().map(|events| events.take()).unwrap_or_default()
    }

    /// Writes an initial element, to each CPU's value of a per-cpu map.
    pub(crate) fn initialize(&self, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        if value.len() > self.value_size as usize {
            return Err(Errno::EINVAL);
        }
        let mut one = value.to_vec();
        one.resize(self.value_size as usize, 0);
        if self.is_per_cpu() {
            one.resize(super::values::stride(self.value_size) as usize, 0);
            one = one.repeat(self.user_value_size() as usize / one.len().max(1));
        }
        self.update(key, &one, BPF_ANY)
    }
}

fn read(values: &super::Values, slot: u32, per_cpu: bool, flags: u64) -> Result<Vec<u8>, Errno> {
    if flags & BPF_F_LOCK != 0 {
        return values.locked(slot, || values.to_vec(slot, per_cpu));
    }
    Ok(values.to_vec(slot, per_cpu))
}

/// The checks of `bpf_fd_array_map_update_elem`, and what the value refers to.
fn slot_target(slots: &Slots, key: &[u8], value: &[u8], flags: u64) -> Result<u32, Errno> {
    if flags != BPF_ANY {
        return Err(Errno::EINVAL);
    }
    if index(key) >= slots.len() {
        return Err(Errno::E2BIG);
    }
    Ok(index(value))
}
