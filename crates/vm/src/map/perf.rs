// SPDX-License-Identifier: MIT OR Apache-2.0
//! `perf_event_array`: records that programs put out, kept until the host reads them. Each CPU's slot has a
//! consumer from the start, as with libbpf's `perf_buffer__new`.

use std::sync::{Mutex, PoisonError};

use skep_uapi::Errno;

/// Bytes of records that are kept; more are lost, as from a full buffer of the kernel.
const CAPACITY: usize = 64 << 20;

/// A record that `bpf_perf_event_output` wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfRecord {
    /// CPU, that is the slot of the array.
    pub cpu: u32,
    /// What the program gave.
    pub data: Vec<u8>,
}

#[derive(Default)]
struct State {
    records: Vec<PerfRecord>,
    bytes: usize,
    lost: u64,
}

/// Records by slot.
pub(crate) struct PerfEvents {
    /// Whether the slot of an index has a consumer.
    open: Mutex<Vec<bool>>,
    state: Mutex<State>,
}

impl PerfEvents {
    pub(super) fn new(max_entries: u32, cpus: u32) -> Self {
        let open = (0..max_entries).map(|slot| slot < cpus).collect();
        PerfEvents { open: Mutex::new(open), state: Mutex::default() }
    }

    /// Opens or closes a slot; whether it was open.
    pub(super) fn set_open(&self, slot: u32, open: bool) -> Result<bool, Errno> {
        let mut slots = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get_mut(slot as usize).ok_or(Errno::E2BIG)?;
        Ok(std::mem::replace(slot, open))
    }

    /// Whether a slot has a consumer.
    ///
    /// # Errors
    /// `E2BIG` where there is no such slot, `ENOENT` where it has no consumer.
    pub(crate) fn check_open(&self, slot: u32) -> Result<(), Errno> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(slot as usize).copied();
        if open.ok_or(Errno::E2BIG)? { Ok(()) } else { Err(Errno::ENOENT) }
    }

    /// Writes a record for a CPU's consumer.
    ///
    /// # Errors
    /// Those of [`PerfEvents::check_open`], and `ENOSPC` when the record is lost.
    pub(crate) fn output(&self, cpu: u32, data: &[u8]) -> Result<(), Errno> {
        self.check_open(cpu)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = size_of::<PerfRecord>() + data.len();
        if state.bytes + cost > CAPACITY {
            state.lost += 1;
            return Err(Errno::ENOSPC);
        }
        state.bytes += cost;
        state.records.push(PerfRecord { cpu, data: data.to_vec() });
        Ok(())
    }

    /// Takes all records out, and how many were lost.
    pub(super) fn take(&self) -> (Vec<PerfRecord>, u64) {
        let state = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        (state.records, state.lost)
    }
}
