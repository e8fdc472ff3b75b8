// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf_spin_lock` and `bpf_spin_unlock`: a word of guest memory that is 0 or 1, as map updates with `BPF_F_LOCK`
//! take it, too.

use std::sync::atomic::Ordering;

use super::arg::{Answer, Arg};
use crate::interp::Exec;

/// Waits for the lock; the instruction budget pays for waiting, so that a program that locks twice ends in a trap.
pub(super) fn spin_lock(exec: &mut Exec<'_>, [lock, ..]: [Arg; 5]) -> Answer {
    let word = exec.memory().atomic_u32(lock.value, true).map_err(|fault| lock.atomic_fault(fault))?;
    while word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        exec.spend(1)?;
        std::thread::yield_now();
    }
    Ok(0)
}

pub(super) fn spin_unlock(exec: &mut Exec<'_>, [lock, ..]: [Arg; 5]) -> Answer {
    let word = exec.memory().atomic_u32(lock.value, true).map_err(|fault| lock.atomic_fault(fault))?;
    word.store(0, Ordering::Release);
    Ok(0)
}

/// `bpf_kptr_xchg`: swaps a pointer in a map value with another.
pub(super) fn kptr_xchg(exec: &mut Exec<'_>, [field, new, ..]: [Arg; 5]) -> Answer {
    let word = exec.memory().atomic_u64(field.value, true).map_err(|fault| field.atomic_fault(fault))?;
    Ok(word.swap(new.value, Ordering::SeqCst))
}
