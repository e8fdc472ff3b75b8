// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host's operating system gives: address space, pages, and the same pages twice. Nothing here knows
//! of guest addresses. Under Miri, which has no `mmap`, a plain zeroed allocation stands in.

#[cfg(not(miri))]
pub(super) use os::{alias, commit, discard, mirror, release, reserve, unmap, zeroed};
#[cfg(miri)]
pub(super) use plain::{alias, commit, discard, mirror, release, reserve, unmap, zeroed};

#[cfg(not(miri))]
mod os {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::ptr::{NonNull, null_mut};

    use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED};
    use libc::{PROT_NONE, PROT_READ, PROT_WRITE};

    /// Reserves `span` bytes, aligned to `span`, with `guard` bytes on both ends. Nothing is accessible.
    pub(in super::super) fn reserve(span: usize, guard: usize) -> Option<NonNull<u8>> {
        let total = 2 * span + 2 * guard;
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let start = unsafe { libc::mmap(null_mut(), total, PROT_NONE, flags, -1, 0) };
        if start == MAP_FAILED {
            return None;
        }
        let start = start.cast::<u8>();
        let base = (start as usize + guard).next_multiple_of(span) - start as usize;
        let (head, tail) = (base - guard, base + span + guard);
        // SAFETY: both ranges are parts of the mapping made above, which nobody knows of yet.
        unsafe {
            if head > 0 {
                libc::munmap(start.cast(), head);
            }
            if tail < total {
                libc::munmap(start.add(tail).cast(), total - tail);
            }
            NonNull::new(start.add(base))
        }
    }

    /// Gives a reservation back.
    pub(in super::super) fn release(base: NonNull<u8>, span: usize, guard: usize) {
        // SAFETY: `reserve` mapped exactly this range, and its owner is being dropped.
        unsafe { libc::munmap(base.as_ptr().sub(guard).cast(), span + 2 * guard) };
    }

    /// Makes reserved pages readable and writable, all zero.
    pub(in super::super) fn commit(at: *mut u8, bytes: usize) -> bool {
        // SAFETY: the caller owns these pages of the reservation; `MADV_DONTNEED` of private anonymous pages
        // makes them read as zero, which drops what late accesses to a former owner's memory left.
        unsafe {
            libc::mprotect(at.cast(), bytes, PROT_READ | PROT_WRITE) == 0
                && libc::madvise(at.cast(), bytes, libc::MADV_DONTNEED) == 0
        }
    }

    /// New memory that can be mapped more than once.
    fn shared(bytes: usize) -> Option<OwnedFd> {
        // SAFETY: plain system calls; the name is a C string, and the descriptor is new.
        unsafe {
            let fd = libc::memfd_create(c"skep-guest".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return None;
            }
            let fd = OwnedFd::from_raw_fd(fd);
            (libc::ftruncate(fd.as_raw_fd(), bytes as libc::off_t) == 0).then_some(fd)
        }
    }

    /// Maps `bytes` of new shared memory read-only, and once more, elsewhere, so that it can be written.
    pub(in super::super) fn alias(at: *mut u8, bytes: usize) -> Option<NonNull<u8>> {
        let fd = shared(bytes)?;
        // SAFETY: the caller owns the pages of the reservation at `at`, which the first mapping replaces; the second
        // touches no other.
        unsafe {
            let fixed = MAP_SHARED | MAP_FIXED;
            if libc::mmap(at.cast(), bytes, PROT_READ, fixed, fd.as_raw_fd(), 0) == MAP_FAILED {
                return None;
            }
            let prot = PROT_READ | PROT_WRITE;
            let view = libc::mmap(null_mut(), bytes, prot, MAP_SHARED, fd.as_raw_fd(), 0);
            if view == MAP_FAILED { None } else { NonNull::new(view.cast()) }
        }
    }

    /// Zeros, given when they are first touched.
    pub(in super::super) fn zeroed(bytes: usize) -> Option<NonNull<u8>> {
        let (prot, flags) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let start = unsafe { libc::mmap(null_mut(), bytes, prot, flags, -1, 0) };
        if start == MAP_FAILED { None } else { NonNull::new(start.cast()) }
    }

    /// Unmaps what [`alias`] or [`zeroed`] gave.
    pub(in super::super) fn unmap(view: *mut u8, bytes: usize) {
        // SAFETY: the caller owns the mapping.
        unsafe { libc::munmap(view.cast(), bytes) };
    }

    /// Maps `bytes` of new shared memory twice in a row.
    pub(in super::super) fn mirror(at: *mut u8, bytes: usize) -> bool {
        let Some(fd) = shared(bytes) else { return false };
        let prot = PROT_READ | PROT_WRITE;
        // SAFETY: the caller owns `2 * bytes` of the reservation at `at`; both mappings replace parts of it.
        unsafe {
            [at, at.add(bytes)].into_iter().all(|at| {
                let to = libc::mmap(at.cast(), bytes, prot, MAP_SHARED | MAP_FIXED, fd.as_raw_fd(), 0);
                to != MAP_FAILED
            })
        }
    }

    /// Drops the contents of pages and leaves them accessible; shared ones become private again.
    pub(in super::super) fn discard(at: *mut u8, bytes: usize, shared: bool) -> bool {
        // SAFETY: the caller owns these pages; a fixed mapping replaces the shared one in one step.
        unsafe {
            if shared {
                let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
                libc::mmap(at.cast(), bytes, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED
            } else {
                libc::madvise(at.cast(), bytes, libc::MADV_DONTNEED) == 0
            }
        }
    }
}

#[cfg(miri)]
mod plain {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    fn layout(span: usize) -> Option<Layout> {
        Layout::from_size_align(span, 4096).ok()
    }

    pub(in super::super) fn reserve(span: usize, _guard: usize) -> Option<NonNull<u8>> {
        // SAFETY: the size is not zero.
        layout(span).and_then(|layout| NonNull::new(unsafe { alloc_zeroed(layout) }))
    }

    pub(in super::super) fn release(base: NonNull<u8>, span: usize, _guard: usize) {
        if let Some(layout) = layout(span) {
            // SAFETY: `reserve` allocated it with this layout.
            unsafe { dealloc(base.as_ptr(), layout) };
        }
    }

    pub(in super::super) fn commit(at: *mut u8, bytes: usize) -> bool {
        // SAFETY: the caller owns these bytes of the allocation.
        unsafe { at.write_bytes(0, bytes) };
        true
    }

    pub(in super::super) fn mirror(_at: *mut u8, _bytes: usize) -> bool {
        false
    }

    pub(in super::super) fn alias(_at: *mut u8, _bytes: usize) -> Option<NonNull<u8>> {
        None
    }

    pub(in super::super) fn zeroed(bytes: usize) -> Option<NonNull<u8>> {
        reserve(bytes, 0)
    }

    pub(in super::super) fn unmap(view: *mut u8, bytes: usize) {
        if let Some(view) = NonNull::new(view) {
            release(view, bytes, 0);
        }
    }

    pub(in super::super) fn discard(_at: *mut u8, _bytes: usize, _shared: bool) -> bool {
        true
    }
}
