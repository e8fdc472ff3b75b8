// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executable memory, and what is known of the code in it.
#![allow(unsafe_code)]

use std::ptr::NonNull;

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
    pub(super) fn new(program: &Program, target: &Target) -> Result<Code, Errno> {
        let Compiled { bytes, start: first, enter, body, starts, pending, functions } =
            emit::compile(program, target).ok_or(Errno::E2BIG)?;
        let slots = (0..starts.len()).map(|at| program.slot(at) as u32).collect();
        let pages = Pages::new(&bytes).ok_or(Errno::ENOMEM)?;
        let start = pages.start.as_ptr() as usize;
        let registration = Registration::new(super::fault::Place {
            code: start,
            body: start + body.start..start + body.end,
            base: target.base as usize,
            program: target.index,
        });
        Ok(Code {
            pages,
            start: first,
            enter,
            starts,
            slots,
            end: body.end,
            pending,
            functions,
            registration: Some(registration),
        })
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

    /// How many instructions ran uncharged before an instruction.
    pub(super) fn pending(&self, insn: usize) -> u32 {
        self.pending[insn]
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
    fn new(bytes: &[u8]) -> Option<Pages> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes.len(), prot, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let pages = Pages { start: NonNull::new(start.cast())?, len: bytes.len() };
        // SAFETY: the mapping is as long, writable, and nobody else knows of it. On x86-64 code that was written
        // through the same address space needs no flush.
        let executable = unsafe {
            pages.start.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            libc::mprotect(start, bytes.len(), libc::PROT_READ | libc::PROT_EXEC) == 0
        };
        executable.then_some(pages)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this, and nothing of it runs: runs borrow the machine that owns it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
