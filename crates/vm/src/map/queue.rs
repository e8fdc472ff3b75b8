// SPDX-License-Identifier: MIT OR Apache-2.0
//! `queue` and `stack`: values in order, which programs only ever get copies of.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_uapi::Errno;
use skep_uapi::flags::map_update::*;

/// A queue, or a stack.
pub(crate) struct Queue {
    values: Mutex<VecDeque<Box<[u8]>>>,
    max_entries: u32,
    /// The newest value comes out first.
    stack: bool,
}

impl Queue {
    pub(super) fn new(max_entries: u32, stack: bool) -> Self {
        Queue { values: Mutex::default(), max_entries, stack }
    }

    fn values(&self) -> MutexGuard<'_, VecDeque<Box<[u8]>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `queue_stack_map_push_elem`: with `BPF_EXIST` the oldest value of a full map makes room.
    pub(crate) fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & BPF_NOEXIST != 0 || flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let mut values = self.values();
        if values.len() >= self.max_entries as usize {
            if flags & BPF_EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            values.pop_front();
        }
        values.push_back(value.into());
        Ok(())
    }

    /// The next value, left in place.
    pub(crate) fn peek(&self) -> Result<Vec<u8>, Errno> {
        let values = self.values();
        let value = if self.stack { values.back() } else { values.front() };
        value.map(|v| v.to_vec()).ok_or(Errno::ENOENT)
    }

    /// The next value, taken out.
    pub(crate) fn pop(&self) -> Result<Vec<u8>, Errno> {
        let mut values = self.values();
        let value = if self.stack { values.pop_back() } else { values.pop_front() };
        value.map(Vec::from).ok_or(Errno::ENOENT)
    }
}
