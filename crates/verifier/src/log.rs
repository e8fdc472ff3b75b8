// SPDX-License-Identifier: GPL-2.0-only
//! The verifier's log (`struct bpf_verifier_log`, `kernel/bpf/log.c` @ 6.18), in a buffer of any length or of one
//! that user space gave: then the kernel keeps the end of a longer log, or with `BPF_LOG_FIXED` its start.

use std::fmt::{self, Write};

use skep_uapi::Errno;

/// `BPF_LOG_LEVEL1`: the path that failed, or of all paths nothing but their ends.
pub(crate) const LEVEL1: u32 = 1;
/// `BPF_LOG_LEVEL2`: every instruction of every path.
pub(crate) const LEVEL2: u32 = 2;
/// `BPF_LOG_STATS`.
pub(crate) const STATS: u32 = 4;
/// `BPF_LOG_FIXED`: the start of the log rather than its end.
const FIXED: u32 = 8;
/// `BPF_LOG_MASK`.
const MASK: u32 = LEVEL1 | LEVEL2 | STATS | FIXED;
/// `BPF_VERIFIER_TMP_LOG_SIZE`: one message has at most so many bytes, with the zero at its end.
const TMP_LOG_SIZE: usize = 1024;

/// Text written so far, as much of it as can still be seen.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// `BPF_LOG_*`; 0 for no log.
    pub level: u32,
    /// Bytes of the buffer; `None` for any number.
    size: Option<u64>,
    /// What is kept, from position `base` on.
    text: String,
    base: u64,
    start_pos: u64,
    end_pos: u64,
    len_max: u64,
}

impl Log {
    /// `bpf_vlog_init`: a log of a level, in a buffer of so many bytes.
    pub(crate) fn new(level: u32, size: Option<u32>) -> Result<Log, Errno> {
        let too_long = size.is_some_and(|size| size > u32::MAX >> 2);
        let without_level = level == 0 && size.is_some_and(|size| size > 0);
        if level & !MASK != 0 || too_long || without_level {
            return Err(Errno::EINVAL);
        }
        Ok(Log { level, size: size.map(u64::from), ..Log::default() })
    }

    /// `bpf_verifier_log_needed`.
    pub(crate) fn needed(&self) -> bool {
        self.level != 0
    }

    /// Position behind the last byte written (`end_pos`).
    pub(crate) fn end_pos(&self) -> u64 {
        self.end_pos
    }

    /// `bpf_verifier_vlog`.
    pub(crate) fn write(&mut self, args: fmt::Arguments<'_>) {
        let before = self.text.len();
        // A `String` takes anything.
        let _ = self.text.write_fmt(args);
        if self.text.len() - before >= TMP_LOG_SIZE {
            let mut end = before + TMP_LOG_SIZE - 1;
            while !self.text.is_char_boundary(end) {
                end -= 1;
            }
            self.text.truncate(end);
        }
        let written = (self.text.len() - before) as u64;
        self.end_pos += written;
        self.len_max = self.len_max.max(self.end_pos + 1).min(u32::MAX.into());
        if let Some(size) = self.size {
            self.fit(size, before);
        }
    }

    /// Forgets what the buffer does not hold.
    fn fit(&mut self, size: u64, before: usize) {
        if self.level & FIXED != 0 {
            let room = size.saturating_sub(1).saturating_sub(self.base) as usize;
            if self.text.len() > room {
                self.text.truncate(room.max(before.min(room)));
            }
            return;
        }
        let new_end = self.end_pos + 1;
        if new_end - self.start_pos >= size {
            self.start_pos = new_end - size;
        }
        // Cut in large pieces, since each moves the rest.
        let gone = self.start_pos.saturating_sub(self.base) as usize;
        if gone > TMP_LOG_SIZE && gone > size as usize {
            let mut at = gone.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            self.text.drain(..at);
            self.base += at as u64;
        }
    }

    /// `bpf_vlog_reset`: forgets what was written from a position on.
    pub(crate) fn reset(&mut self, pos: u64) {
        if !self.needed() || pos > self.end_pos {
            return;
        }
        self.end_pos = pos;
        self.start_pos = self.start_pos.min(pos);
        match pos.checked_sub(self.base) {
            Some(kept) => self.text.truncate(kept as usize),
            None => {
                self.text.clear();
                self.base = pos;
            }
        }
    }

    /// `bpf_vlog_finalize`: what user space finds in the buffer, the bytes that the whole log needs with the zero at
    /// its end, and the error where it did not fit.
    pub(crate) fn finalize(mut self) -> (String, u32, Option<Errno>) {
        if self.level == 0 {
            return (String::new(), 0, None);
        }
        let true_size = self.len_max as u32;
        let Some(size) = self.size else { return (self.text, true_size, None) };
        if size == 0 {
            return (String::new(), true_size, None);
        }
        let mut skipped = (self.start_pos.saturating_sub(self.base) as usize).min(self.text.len());
        while !self.text.is_char_boundary(skipped) {
            skipped += 1;
        }
        self.text.drain(..skipped);
        let errno = (self.len_max > size).then_some(Errno::ENOSPC);
        (self.text, true_size, errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(level: u32, size: u32) -> (String, u32, Option<Errno>) {
        let mut log = Log::new(level, Some(size)).expect("sane attributes");
        for word in ["first ", "second ", "third"] {
            log.write(format_args!("{word}"));
        }
        log.finalize()
    }

    #[test]
    fn a_short_buffer_holds_the_end_or_the_start() {
        assert_eq!(written(1, 19), ("first second third".into(), 19, None));
        assert_eq!(written(1, 8), ("d third".into(), 19, Some(Errno::ENOSPC)));
        assert_eq!(written(1 | FIXED, 8), ("first s".into(), 19, Some(Errno::ENOSPC)));
        assert_eq!(written(1, 0), (String::new(), 19, None));
    }

    #[test]
    fn what_is_reset_counts_for_the_size_only() {
        let mut log = Log::new(1, None).expect("sane attributes");
        log.write(format_args!("a long line"));
        log.reset(2);
        log.write(format_args!("b"));
        assert_eq!(log.finalize(), ("a b".into(), 12, None));
    }

    #[test]
    fn attributes_are_the_kernels() {
        assert!(Log::new(0, Some(8)).is_err());
        assert!(Log::new(16, None).is_err());
        assert!(Log::new(1, Some(u32::MAX)).is_err());
        assert!(Log::new(0, None).is_ok());
    }
}
