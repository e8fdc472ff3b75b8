// SPDX-License-Identifier: MIT OR Apache-2.0
//! What helpers keep from call to call, for all threads of a machine: how often a fixed clock was read, where
//! the random numbers are, what was printed, which timers are set.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::time::{DynamicClockId, clock_gettime_dynamic};

use super::timer::Timers;
use crate::environment::{Clock, Environment};
use crate::machine::Machine;

/// Nanoseconds in a second.
pub(super) const NSEC_PER_SEC: u64 = 1_000_000_000;
/// Bytes of printed text that are kept.
const TRACE_LIMIT: usize = 1 << 20;

/// What programs printed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceOutput {
    /// One entry for each call of `bpf_trace_printk` or `bpf_trace_vprintk`, without the line's head (task, CPU
    /// and time) that the kernel puts before it. Bytes, since programs print any.
    pub entries: Vec<Vec<u8>>,
    /// Older entries that were dropped: about 1 MiB is kept.
    pub lost: u64,
}

#[derive(Default)]
struct Trace {
    entries: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
}

/// What helpers keep.
pub(crate) struct State {
    /// Readings of a fixed clock.
    readings: AtomicU64,
    /// State of the random numbers.
    random: AtomicU64,
    trace: Mutex<Trace>,
    timers: Mutex<Timers>,
    new_sysctl: Mutex<Option<Vec<u8>>>,
}

impl State {
    /// The state before the first run.
    pub(crate) fn new(environment: &Environment) -> State {
        let seed = environment.random_seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        State {
            readings: AtomicU64::new(0),
            random: AtomicU64::new(seed),
            trace: Mutex::default(),
            timers: Mutex::default(),
            new_sysctl: Mutex::default(),
        }
    }

    /// The time in nanoseconds.
    pub(super) fn time(&self, clock: Clock, id: DynamicClockId<'_>) -> u64 {
        match clock {
            Clock::Host => {
                // A clock that the host does not have stands still.
                let Ok(now) = clock_gettime_dynamic(id) else { return 0 };
                (now.tv_sec as u64).wrapping_mul(NSEC_PER_SEC).wrapping_add(now.tv_nsec as u64)
            }
            Clock::Fixed { start, step } => {
                let reading = self.readings.fetch_add(1, Ordering::Relaxed);
                start.wrapping_add(step.wrapping_mul(reading))
            }
        }
    }

    /// The next random number (splitmix64).
    pub(super) fn random(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Keeps what a program printed.
    pub(super) fn print(&self, text: Vec<u8>) {
        let mut trace = self.trace();
        trace.bytes += text.len().max(1);
        trace.entries.push_back(text);
        while trace.bytes > TRACE_LIMIT {
            let Some(oldest) = trace.entries.pop_front() else { break };
            trace.bytes -= oldest.len().max(1);
            trace.lost += 1;
        }
    }

    pub(super) fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn new_sysctl(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.new_sysctl.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    /// Takes what programs printed (`bpf_trace_printk` and `bpf_trace_vprintk`) since the last call.
    #[must_use]
    pub fn take_trace(&self) -> TraceOutput {
        let trace = std::mem::take(&mut *self.helper_state().trace());
        TraceOutput { entries: trace.entries.into(), lost: trace.lost }
    }

    /// Takes the value that a program set for the kernel parameter of [`Environment::sysctl`]
    /// (`bpf_sysctl_set_new_value`).
    #[must_use]
    pub fn take_new_sysctl(&self) -> Option<Vec<u8>> {
        self.helper_state().new_sysctl().take()
    }
}
