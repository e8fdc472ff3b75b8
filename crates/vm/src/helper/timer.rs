// SPDX-License-Identifier: MIT OR Apache-2.0
//! Timers in map values. `struct bpf_timer` in guest memory holds a number that says which of the machine's timers
//! it is; what the timer is to do is kept on the host. Nothing fires by itself: the host says when, with
//! [`crate::Thread::run_timer`].

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::time::{ClockId, DynamicClockId};
use skep_isa::Size;
use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop};
use crate::interp::Exec;
use crate::map::{ElementKey, Map};
use crate::memory::{Charge, ObjectKind, Perm};
use crate::trap::Trap;

/// `CLOCK_REALTIME`, `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`: what a timer may go by.
const CLOCKS: [u64; 3] = [0, 1, 7];
/// `BPF_F_TIMER_ABS`: the time is one of the clock, not one from now.
const ABSOLUTE: u64 = 1;
/// `BPF_F_TIMER_CPU_PIN`.
const CPU_PIN: u64 = 2;

/// What a timer counts as against the memory limit: itself, its place in the table, its charge.
const TIMER_BYTES: u64 = 2 * size_of::<Timer>() as u64;

/// A timer that was initialized.
#[derive(Clone)]
struct Timer {
    /// What its `struct bpf_timer` holds.
    number: u64,
    /// Handle of the map that it is in.
    map: u64,
    clock: u64,
    /// Function to call.
    callback: Option<u64>,
    /// When, in nanoseconds of the clock, while it is armed.
    expires: Option<u64>,
    /// Pays for the timer, which lies outside of guest memory.
    _charge: Arc<Charge>,
}

/// All timers of a machine.
#[derive(Default)]
pub(crate) struct Timers {
    /// By the guest address of their `struct bpf_timer`.
    by_addr: BTreeMap<u64, Timer>,
    /// The number given out last.
    last: u64,
    /// Number of the timer whose callback runs.
    running: Option<u64>,
}

impl Timers {
    /// The timer that a `struct bpf_timer` stands for.
    fn at(&mut self, exec: &Exec<'_>, arg: Arg) -> Result<Option<&mut Timer>, Stop> {
        let number = arg.load(exec, Size::Dw)?;
        Ok(self.by_addr.get_mut(&arg.value).filter(|timer| timer.number == number))
    }
}

pub(super) fn init(exec: &mut Exec<'_>, [timer, map, flags, ..]: [Arg; 5]) -> Answer {
    map.map(exec)?;
    if !CLOCKS.contains(&flags.value) {
        return Err(Errno::EINVAL.into());
    }
    let timers = &mut *exec.machine.helper_state().timers();
    if timers.at(exec, timer)?.is_some() {
        return Err(Errno::EBUSY.into());
    }
    let _charge = Arc::new(exec.machine.shared_memory().charge(TIMER_BYTES)?);
    let number = timers.last + 1;
    timer.store(exec, Size::Dw, number)?;
    timers.last = number;
    let new = Timer { number, map: map.value, clock: flags.value, callback: None, expires: None, _charge };
    timers.by_addr.insert(timer.value, new);
    Ok(0)
}

pub(super) fn set_callback(exec: &mut Exec<'_>, [timer, callback, ..]: [Arg; 5]) -> Answer {
    let callback = callback.function(exec)?;
    let timers = &mut *exec.machine.helper_state().timers();
    let timer = timers.at(exec, timer)?.ok_or(Errno::EINVAL)?;
    timer.callback = Some(callback);
    Ok(0)
}

pub(super) fn start(exec: &mut Exec<'_>, [timer, nanoseconds, flags, ..]: [Arg; 5]) -> Answer {
    if flags.value & !(ABSOLUTE | CPU_PIN) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let state = exec.machine.helper_state();
    let timers = &mut *state.timers();
    let found = timers.at(exec, timer)?.filter(|timer| timer.callback.is_some());
    let timer = found.ok_or(Errno::EINVAL)?;
    let now = if flags.value & ABSOLUTE != 0 {
        0
    } else {
        let id = match timer.clock {
            0 => DynamicClockId::Known(ClockId::Realtime),
            1 => DynamicClockId::Known(ClockId::Monotonic),
            _ => DynamicClockId::Boottime,
        };
        state.time(exec.machine.config().environment.clock, id)
    };
    timer.expires = Some(now.saturating_add(nanoseconds.value));
    Ok(0)
}

/// Whether the timer was armed; its callback is forgotten, too.
pub(super) fn cancel(exec: &mut Exec<'_>, [timer, ..]: [Arg; 5]) -> Answer {
    let timers = &mut *exec.machine.helper_state().timers();
    let running = timers.running;
    let timer = timers.at(exec, timer)?.ok_or(Errno::EINVAL)?;
    if running == Some(timer.number) {
        return Err(Errno::EDEADLK.into());
    }
    timer.callback = None;
    Ok(u64::from(timer.expires.take().is_some()))
}

/// Key and value of the element that a guest address lies in.
fn element(exec: &Exec<'_>, map: &Map, addr: u64) -> Option<(ElementKey, u32)> {
    let mut position = 0;
    while let Ok(Some(element)) = map.element(position, exec.cpu) {
        let value = u64::from(element.value);
        if (value..value + u64::from(map.value_size())).contains(&addr) {
            return Some((element.key, element.value));
        }
        position = element.next;
    }
    None
}

/// Disarms the timer that expires first and calls its function with map, key and value. `None` where none is armed.
/// Timers of elements that are no more are dropped.
pub(crate) fn fire(exec: &mut Exec<'_>) -> Option<Result<u64, Trap>> {
    let state = exec.machine.helper_state();
    loop {
        let (addr, timer) = {
            let timers = state.timers();
            let armed = timers.by_addr.iter().filter(|(_, timer)| timer.expires.is_some());
            armed
                .min_by_key(|(_, timer)| (timer.expires, timer.number))
                .map(|(&addr, timer)| (addr, timer.clone()))?
        };
        let map = exec.machine.map_by_handle(timer.map);
        let place = map.and_then(|map| element(exec, map, addr));
        let still_there = exec.memory().read(Size::Dw, addr).ok() == Some(timer.number);
        let (Some((key, value)), Some(callback), true) = (place, timer.callback, still_there) else {
            state.timers().by_addr.remove(&addr);
            continue;
        };
        let index = match key {
            ElementKey::Addr(_) => None,
            ElementKey::Index(index) => {
                let kind = ObjectKind::Named("key of the element");
                let area = exec.machine.shared_memory().alloc(4, Perm::ReadWrite, Some(kind)).ok()?;
                area.store(0, index);
                Some(area)
            }
        };
        let key = match (key, &index) {
            (ElementKey::Addr(addr), _) => addr,
            (ElementKey::Index(_), Some(area)) => area.addr(),
            (ElementKey::Index(_), None) => 0,
        };
        {
            let timers = &mut *state.timers();
            timers.running = Some(timer.number);
            if let Some(timer) = timers.by_addr.get_mut(&addr) {
                timer.expires = None;
            }
        }
        let result = exec.call(callback, [timer.map, u64::from(key), u64::from(value), 0, 0]);
        state.timers().running = None;
        return Some(result);
    }
}
