// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executable memory, and what is known of the code in it.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use skep_uapi::Errno;

use super::emit;
use super::fault::Registration;
use super::{Compiled, Target};
use crate::NativeCode;
use crate::interp::Program;

/// The machine code of a program. Unmapped when dropped.
pub(crate) struct Code {
    pages: Pages,
    start: usize,
    enter: usize,
    starts: Box<[u32]>,
    /// Slots of the instructions.
    slots: Box<[u32]>,
    end: usize,
    counts: bool,
    pending: Box<[u32]>,
    functions: Box<[(u32, u32)]>,
    /// Dropped first: no fault is looked up in memory that is gone.
    registration: Option<Registration>,
}

impl Code {
    /// Compiles a program.
    ///
    /// # Errors
    /// `E2BIG` where the code would be too long, `ENOMEM` where the host gives no executable memory.
    pub(super) fn new(program: &Program, target: &mut Target<'_>) -> Result<Code, Errno> {
        let compiled = emit::compile(program, target).ok_or(Errno::E2BIG)?;
        let pages = Pages::reserve(compiled.bytes.len()).ok_or(Errno::ENOMEM)?;
        match Code::link(program, target, compiled, pages)? {
            Some(code) => Ok(code),
            None => {
                // No room near the host's functions: another form of calls.
                target.near = false;
                let compiled = emit::compile(program, target).ok_or(Errno::E2BIG)?;
                let pages = Pages::reserve(compiled.bytes.len()).ok_or(Errno::ENOMEM)?;
                Code::link(program, target, compiled, pages)?.ok_or(Errno::ENOMEM)
            }
        }
    }

    /// Puts code where it belongs. `None` where a function of the host is too far from there.
    fn link(
        program: &Program,
        target: &Target<'_>,
        compiled: Compiled,
        pages: Pages,
    ) -> Result<Option<Code>, Errno> {
        let Compiled { mut bytes, start, enter, host_calls, body, starts, pending, functions } = compiled;
        let address = pages.start.as_ptr() as usize;
        for (patch, function) in host_calls {
            let at = patch.position();
            let distance = function as i64 - (address + at + 4) as i64;
            let Ok(distance) = i32::try_from(distance) else { return Ok(None) };
            bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        let pages = pages.fill(&bytes).ok_or(Errno::ENOMEM)?;
        let registration = Registration::new(super::fault::Place {
            code: address,
            body: address + body.start..address + body.end,
            base: target.base as usize,
            program: target.index,
        });
        let slots = (0..starts.len()).map(|at| program.slot(at) as u32).collect();
        let registration = Some(registration);
        Ok(Some(Code {
            pages,
            start,
            enter,
            starts,
            slots,
            end: body.end,
            counts: target.count,
            pending,
            functions,
            registration,
        }))
    }

    /// What there is to look at.
    pub(crate) fn view(&self) -> NativeCode<'_> {
        // SAFETY: the pages are readable, as many, never written again, and live as long as `self`.
        let bytes = unsafe { std::slice::from_raw_parts(self.pages.start.as_ptr(), self.pages.len) };
        let insns = self.starts.iter().zip(&self.slots);
        NativeCode {
            bytes,
            address: self.pages.start.as_ptr() as u64,
            insns: insns.map(|(&start, &slot)| (start as usize, slot as usize)).collect(),
            end: self.end,
        }
    }

    /// Where a tail call enters.
    pub(crate) fn entry(&self) -> u64 {
        self.function(0).map_or(0, |entry| entry as u64)
    }

    /// Where a run of the program starts.
    #[inline]
    pub(super) fn start(&self) -> *const u8 {
        self.at(self.start)
    }

    /// Where a run enters any function.
    pub(super) fn enter(&self) -> *const u8 {
        self.at(self.enter)
    }

    /// Where the function is called that starts at an instruction.
    pub(super) fn function(&self, index: usize) -> Option<*const u8> {
        let at = self.functions.binary_search_by_key(&index, |&(first, _)| first as usize).ok()?;
        Some(self.at(self.functions[at].1 as usize))
    }

    fn at(&self, offset: usize) -> *const u8 {
        self.pages.start.as_ptr().wrapping_add(offset)
    }

    /// The instruction whose code a position lies in.
    pub(super) fn insn_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start as usize <= offset).saturating_sub(1)
    }

    /// How many instructions ran uncharged before an instruction; `None` where nothing is counted.
    pub(super) fn pending(&self, insn: usize) -> Option<u32> {
        self.counts.then(|| self.pending[insn])
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.registration = None;
    }
}

/// A mapping that was written once and can be executed since.
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is never written again, and unmapped by its only owner.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Pages for so many bytes, writable, near the host's functions where there is room: a call over more than two
    /// gigabytes is longer, and processors are slower to predict it.
    fn reserve(len: usize) -> Option<Pages> {
        /// Where to look next, below the host's code.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        /// Below this distance all of the host's code can be called.
        const REACH: usize = 1 << 30;
        /// Farther away than the start of the host's own code and data.
        const GAP: usize = 1 << 28;
        let host = Code::link as *const () as usize & !0xfff;
        let size = len.next_multiple_of(4096);
        let lowest = host.saturating_sub(REACH);
        let place = |next: usize| {
            let top = if next > lowest && next < host { next } else { host.saturating_sub(GAP) };
            top.saturating_sub(size)
        };
        let hint = match NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| Some(place(next))) {
            Ok(next) | Err(next) => place(next),
        };
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping that replaces no other: the address is a wish.
        let start = unsafe { libc::mmap(hint as *mut libc::c_void, len, prot, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        Some(Pages { start: NonNull::new(start.cast())?, len })
    }

    /// Writes the code, and makes it executable instead of writable.
    fn fill(self, bytes: &[u8]) -> Option<Pages> {
        // SAFETY: the mapping is as long, writable, and nobody else knows of it. On x86-64 code that was written
        // through the same address space needs no flush.
        let executable = unsafe {
            self.start.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len().min(self.len));
            libc::mprotect(self.start.as_ptr().cast(), self.len, libc::PROT_READ | libc::PROT_EXEC) == 0
        };
        executable.then_some(self)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `reserve` mapped exactly this, and nothing of it runs: runs borrow the machine that owns it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
