// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which pages of the guest are given out: first fit over runs of free pages. After each run one page stays
//! free for good, so that running over the end of an allocation faults instead of reaching the next.

use std::collections::BTreeMap;

use super::PAGE;

/// Free runs of pages and the bytes that may still be given out.
#[derive(Debug)]
pub(super) struct Pages {
    /// Start and length of each free run; neighbours are always joined.
    free: BTreeMap<u32, u32>,
    /// Bytes left below the limit.
    left: u64,
}

impl Pages {
    /// Pages `start..end` are free; at most `limit` bytes of them may be in use.
    pub(super) fn new(start: u32, end: u32, limit: u64) -> Self {
        Pages { free: BTreeMap::from([(start, end - start)]), left: limit }
    }

    /// Takes bytes off the limit that lie elsewhere.
    pub(super) fn charge(&mut self, bytes: u64) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    /// Gives bytes back that [`Pages::charge`] took.
    pub(super) fn uncharge(&mut self, bytes: u64) {
        self.left += bytes;
    }

    /// Takes a run of pages, and the one after it as a gap.
    pub(super) fn alloc(&mut self, count: u32) -> Option<u32> {
        let bytes = u64::from(count) * u64::from(PAGE);
        let left = self.left.checked_sub(bytes)?;
        let with_gap = count.checked_add(1)?;
        let (&start, &len) = self.free.iter().find(|&(_, &len)| len >= with_gap)?;
        self.free.remove(&start);
        if len > with_gap {
            self.free.insert(start + with_gap, len - with_gap);
        }
        self.left = left;
        Some(start)
    }

    /// Gives a run back that [`Pages::alloc`] gave out.
    pub(super) fn free(&mut self, start: u32, count: u32) {
        self.left += u64::from(count) * u64::from(PAGE);
        let (mut start, mut len) = (start, count + 1);
        if let Some((&before, &before_len)) = self.free.range(..start).next_back()
            && before + before_len == start
        {
            self.free.remove(&before);
            (start, len) = (before, before_len + len);
        }
        if let Some(after_len) = self.free.remove(&(start + len)) {
            len += after_len;
        }
        self.free.insert(start, len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_never_touch_and_all_come_back(sizes in prop::collection::vec(1u32..20, 1..40), order: u64) {
            let mut pages = Pages::new(16, 500, u64::from(PAGE) * 400);
            let mut live = Vec::new();
            for (i, &size) in sizes.iter().enumerate() {
                if let Some(start) = pages.alloc(size) {
                    for &(other, len) in &live {
                        prop_assert!(start + size < other || other + len < start, "a gap lies between");
                    }
                    live.push((start, size));
                }
                if order >> (i % 64) & 1 == 1 && !live.is_empty() {
                    let (start, len) = live.swap_remove(order as usize % live.len());
                    pages.free(start, len);
                }
            }
            for (start, len) in live {
                pages.free(start, len);
            }
            prop_assert_eq!(pages.free, BTreeMap::from([(16, 484)]));
            prop_assert_eq!(pages.left, u64::from(PAGE) * 400);
        }

        #[test]
        fn limit_is_kept(limit in 0u64..20) {
            let mut pages = Pages::new(16, 500, u64::from(PAGE) * limit);
            let given = std::iter::from_fn(|| pages.alloc(1)).count() as u64;
            prop_assert_eq!(given, limit);
        }
    }
}
