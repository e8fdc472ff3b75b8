// SPDX-License-Identifier: MIT OR Apache-2.0
//! Permissions by page: a byte for each page of a 32-bit address space, a megabyte of which the host gives only what is
//! written.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;

use super::{PAGES, host};

/// Two more entries than pages, always 0, catch addresses of 33 bits and the page after the last.
type Table = [AtomicU8; PAGES + 2];

/// The table of one region.
pub(super) struct Perms(NonNull<Table>);

// SAFETY: the table is owned by this value until it is dropped, and made of atomics.
unsafe impl Send for Perms {}
// SAFETY: as above.
unsafe impl Sync for Perms {}

impl Perms {
    /// No permissions.
    pub(super) fn new() -> Option<Perms> {
        host::zeroed(size_of::<Table>()).map(|table| Perms(table.cast()))
    }
}

impl Deref for Perms {
    type Target = Table;

    #[inline(always)]
    fn deref(&self) -> &Table {
        // SAFETY: the memory has the size of a table, is owned, and zero bytes are atomics of 0.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Perms {
    fn drop(&mut self) {
        host::unmap(self.0.cast().as_ptr(), size_of::<Table>());
    }
}
