// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guest memory: one reserved region of 4 GiB that holds everything a program may touch.
//!
//! A guest address is an offset into the region, never an address of the host. Guarantees:
//! * an access by a guest address reaches nothing but pages that were given out by [`GuestMemory::alloc`] with
//!   the permission that it needs, or it is a [`BadAccess`];
//! * the first 64 KiB are never given out, so that null pointers fault; between any two allocations lies at
//!   least one page that no access reaches;
//! * host memory, once committed, stays committed until the region is dropped: a program on another thread that
//!   still holds the address of a freed area faults, or sees other guest memory, and never harms the host.
//!
//! Guest bytes are shared by threads, as in the kernel, so the host never forms a reference to them: it copies
//! with volatile accesses, which the compiler may neither repeat nor invent, and does atomic operations with
//! the host's own atomic instructions. This file and `memory/host.rs` are the only ones that may use `unsafe`.
#![allow(unsafe_code)]

mod host;
mod object;
mod pages;
mod perms;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_isa::{AtomicOp, Size, Width};
use skep_uapi::Errno;

pub(crate) use object::{Object, ObjectKind, Objects};
use pages::Pages;
use perms::Perms;

use crate::trap::BadAccess;

/// Bytes of a guest page, the unit of permissions.
pub const PAGE: u32 = 4096;
/// Bytes at the bottom that are never mapped.
const NULL_AREA: u64 = 0x1_0000;
/// Guest addresses from here up to [`HEAP`] stand for maps and functions; nothing is mapped there.
pub(crate) const HANDLES: u32 = NULL_AREA as u32;
/// Where allocations start.
pub(crate) const HEAP: u32 = 0x0100_0000;
/// Bytes of the region. (Miri runs on a plain allocation, which has to be smaller.)
pub(crate) const SPAN: u64 = if cfg!(miri) { HEAP as u64 + (4 << 20) } else { 1 << 32 };
/// Unmapped bytes on both ends: an `i16` displacement and the largest access stay inside of them.
pub(crate) const GUARD: usize = 0x1_0000 + PAGE as usize;
/// Pages of a 32-bit address space.
const PAGES: usize = 1 << 20;

/// What a program may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Perm {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
}

const READ: u8 = 1;
const WRITE: u8 = 2;

impl Perm {
    const fn bits(self) -> u8 {
        match self {
            Perm::Read => READ,
            Perm::ReadWrite => READ | WRITE,
        }
    }
}

/// The 4 GiB region of one machine.
pub(crate) struct GuestMemory {
    /// Guest address 0. `GUARD` bytes before it and after the end are reserved too.
    base: NonNull<u8>,
    /// Permissions by page.
    perms: Perms,
    pages: Mutex<Pages>,
    objects: Objects,
    /// Accesses must also stay inside of one object.
    checked: bool,
    /// The host's pages, too, have the permissions that programs have.
    protect: bool,
}

// SAFETY: `base` is the start of a mapping that this value owns until it is dropped; every access through it
// is volatile or atomic and forms no reference to guest bytes, and all other fields are `Send`.
unsafe impl Send for GuestMemory {}
// SAFETY: as above; the permissions are atomics, the allocator and the objects are behind locks.
unsafe impl Sync for GuestMemory {}

/// An integer that guest memory is read and written by.
pub(crate) trait Scalar: Copy {
    /// Bytes.
    const SIZE: u64;
    /// Zero extension.
    fn widen(self) -> u64;
    /// Truncation.
    fn narrow(value: u64) -> Self;
}

macro_rules! scalars {
    ($($t:ty)*) => {$(
        impl Scalar for $t {
            const SIZE: u64 = size_of::<$t>() as u64;
            #[inline(always)]
            fn widen(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn narrow(value: u64) -> Self {
                value as $t
            }
        }
    )*};
}
scalars!(u8 u16 u32 u64);

/// A scalar at any alignment: alignment 1 makes a volatile access of it legal anywhere.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Unaligned<T>(T);

/// Why an atomic operation was not done.
#[derive(Debug)]
pub(crate) enum AtomicFault {
    /// The access is not allowed.
    Access(BadAccess),
    /// The address is not a multiple of the size.
    Misaligned,
}

impl GuestMemory {
    /// Reserves a region of which at most `limit` bytes can be given out. `checked` confines each access by
    /// [`GuestMemory::check`] and each atomic one to one object; for plain loads and stores the caller asks
    /// [`Objects::allows`] before. `protect` gives the host's pages the permissions of programs, for machine code,
    /// which asks nobody.
    ///
    /// # Errors
    /// `ENOMEM` where the host has no address space left.
    pub(crate) fn new(limit: u64, checked: bool, protect: bool) -> Result<Arc<GuestMemory>, Errno> {
        let perms = Perms::new().ok_or(Errno::ENOMEM)?;
        let base = host::reserve(SPAN as usize, GUARD).ok_or(Errno::ENOMEM)?;
        Ok(Arc::new(GuestMemory {
            base,
            perms,
            pages: Mutex::new(Pages::new(HEAP / PAGE, (SPAN / u64::from(PAGE)) as u32, limit)),
            objects: Objects::default(),
            checked,
            protect,
        }))
    }

    /// Gives out `len` zeroed bytes, page-aligned. `object` describes them in `checked` mode and in traps;
    /// without one the owner registers objects itself ([`GuestMemory::objects`]).
    ///
    /// # Errors
    /// `ENOMEM` when the limit or the region is used up.
    pub(crate) fn alloc(
        self: &Arc<Self>,
        len: u32,
        perm: Perm,
        object: Option<ObjectKind>,
    ) -> Result<Area, Errno> {
        let mut area = self.take(len)?;
        if perm == Perm::Read && self.protect {
            let alias = host::alias(self.host(area.addr), area.bytes()).ok_or(Errno::ENOMEM)?;
            (area.kind, area.host) = (AreaKind::Aliased, alias);
        } else if !host::commit(self.host(area.addr), area.bytes()) {
            return Err(Errno::ENOMEM);
        }
        self.open(&area, perm, object);
        Ok(area)
    }

    /// Like [`GuestMemory::alloc`], with `len` (a multiple of the page) bytes that appear twice in a row, as
    /// the kernel maps the data of a ring buffer: a record that wraps is contiguous.
    ///
    /// # Errors
    /// `ENOMEM` when the limit, the region or the host's memory is used up.
    pub(crate) fn alloc_mirrored(self: &Arc<Self>, len: u32, perm: Perm) -> Result<Area, Errno> {
        let mut area = self.take(len.checked_mul(2).ok_or(Errno::ENOMEM)?)?;
        // Before the attempt, which may fail half way: shared pages must not be taken for private ones.
        area.kind = AreaKind::Mirrored;
        if !host::mirror(self.host(area.addr), len as usize) {
            return Err(Errno::ENOMEM);
        }
        self.open(&area, perm, None);
        Ok(area)
    }

    /// Counts `bytes` of the host's memory as given out, until the charge is dropped: what maps keep outside of
    /// the region.
    ///
    /// # Errors
    /// `ENOMEM` when the limit is used up.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, Errno> {
        self.pages().charge(bytes).ok_or(Errno::ENOMEM)?;
        Ok(Charge { memory: Arc::clone(self), bytes })
    }

    fn take(self: &Arc<Self>, len: u32) -> Result<Area, Errno> {
        let count = len.max(1).div_ceil(PAGE);
        let page = self.pages().alloc(count).ok_or(Errno::ENOMEM)?;
        let addr = page * PAGE;
        let host = NonNull::new(self.host(addr)).ok_or(Errno::ENOMEM)?;
        Ok(Area { memory: Arc::clone(self), addr, len, host, kind: AreaKind::Plain })
    }

    fn open(&self, area: &Area, perm: Perm, object: Option<ObjectKind>) {
        if let Some(kind) = object {
            let writable = perm == Perm::ReadWrite;
            self.objects.insert(area.addr, Object { len: area.len, writable, kind });
        }
        self.set_perms(area.addr, area.bytes(), perm.bits());
    }

    fn set_perms(&self, addr: u32, bytes: usize, bits: u8) {
        let first = (addr / PAGE) as usize;
        for page in &self.perms[first..first + bytes / PAGE as usize] {
            page.store(bits, Ordering::Release);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host's address of guest address 0.
    pub(crate) fn base(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Whether accesses are confined to objects.
    pub(crate) fn is_checked(&self) -> bool {
        self.checked
    }

    /// What lies where, for `checked` mode.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The host's address of a guest address of the region.
    #[inline(always)]
    fn host(&self, addr: u32) -> *mut u8 {
        // SAFETY: the region is `SPAN` bytes, and guest addresses beyond it (under Miri) are never given out
        // nor have a permission.
        unsafe { self.base.as_ptr().add(addr as usize) }
    }

    /// Whether every page of the access has all of the permission bits.
    #[inline(always)]
    fn allows(&self, addr: u64, size: u64, need: u8) -> bool {
        let page = ((addr >> 12) as usize).min(PAGES);
        let mut have = self.perms[page].load(Ordering::Relaxed);
        if (addr & u64::from(PAGE - 1)) + size > u64::from(PAGE) {
            have &= self.perms[page + 1].load(Ordering::Relaxed);
        }
        have & need == need
    }

    #[cold]
    fn fault(&self, addr: u64, size: u64, write: bool) -> BadAccess {
        self.objects.describe(addr, size, write)
    }

    /// Reads a scalar on behalf of a program.
    #[inline(always)]
    pub(crate) fn load<T: Scalar>(&self, addr: u64) -> Option<T> {
        if !self.allows(addr, T::SIZE, READ) {
            return None;
        }
        // SAFETY: the pages of the access are committed, since they have a permission, and stay so.
        Some(unsafe { self.host(addr as u32).cast::<Unaligned<T>>().read_volatile() }.0)
    }

    /// Writes a scalar on behalf of a program.
    #[inline(always)]
    pub(crate) fn store<T: Scalar>(&self, addr: u64, value: T) -> Option<()> {
        if !self.allows(addr, T::SIZE, READ | WRITE) {
            return None;
        }
        // SAFETY: as for `load`.
        unsafe { self.host(addr as u32).cast::<Unaligned<T>>().write_volatile(Unaligned(value)) };
        Some(())
    }

    /// Says what is wrong with an access that [`GuestMemory::load`] or [`GuestMemory::store`] refused.
    #[cold]
    pub(crate) fn explain(&self, addr: u64, size: Size, write: bool) -> BadAccess {
        self.fault(addr, size.bytes() as u64, write)
    }

    /// Reads a scalar of a size that is known at run time, zero-extended.
    ///
    /// # Errors
    /// [`BadAccess`] where a program may not read.
    pub(crate) fn read(&self, size: Size, addr: u64) -> Result<u64, BadAccess> {
        match size {
            Size::B => self.load::<u8>(addr).map(u64::from),
            Size::H => self.load::<u16>(addr).map(u64::from),
            Size::W => self.load::<u32>(addr).map(u64::from),
            Size::Dw => self.load::<u64>(addr),
        }
        .ok_or_else(|| self.explain(addr, size, false))
    }

    /// Writes the low bytes of `value`.
    ///
    /// # Errors
    /// [`BadAccess`] where a program may not write.
    pub(crate) fn write(&self, size: Size, addr: u64, value: u64) -> Result<(), BadAccess> {
        match size {
            Size::B => self.store(addr, value as u8),
            Size::H => self.store(addr, value as u16),
            Size::W => self.store(addr, value as u32),
            Size::Dw => self.store(addr, value),
        }
        .ok_or_else(|| self.explain(addr, size, true))
    }

    /// Whether a program may read (or write) all of a range.
    ///
    /// # Errors
    /// [`BadAccess`] of the whole range.
    pub(crate) fn check(&self, addr: u64, len: u64, write: bool) -> Result<(), BadAccess> {
        if len == 0 {
            return Ok(());
        }
        let need = if write { READ | WRITE } else { READ };
        let end = addr.checked_add(len).filter(|&end| end <= 1 << 32);
        let inside = end.is_some_and(|end| {
            let (first, last) = (addr / u64::from(PAGE), (end - 1) / u64::from(PAGE));
            self.perms[first as usize..=last as usize]
                .iter()
                .all(|p| p.load(Ordering::Relaxed) & need == need)
        });
        let inside = inside && (!self.checked || self.objects.allows(addr, len, write));
        if inside { Ok(()) } else { Err(self.fault(addr, len, write)) }
    }

    /// Copies guest bytes out on behalf of a program.
    ///
    /// # Errors
    /// [`BadAccess`] where a program may not read all of them; nothing is copied then.
    pub(crate) fn read_bytes(&self, addr: u64, out: &mut [u8]) -> Result<(), BadAccess> {
        self.check(addr, out.len() as u64, false)?;
        copy_out(self.host(addr as u32), out);
        Ok(())
    }

    /// Copies bytes into guest memory on behalf of a program.
    ///
    /// # Errors
    /// [`BadAccess`] where a program may not write all of them; nothing is copied then.
    pub(crate) fn write_bytes(&self, addr: u64, bytes: &[u8]) -> Result<(), BadAccess> {
        self.check(addr, bytes.len() as u64, true)?;
        copy_in(self.host(addr as u32), bytes);
        Ok(())
    }

    /// An atomic read-modify-write on behalf of a program: the old value. For `Cmpxchg`, `r0` is compared.
    ///
    /// # Errors
    /// [`AtomicFault`]; memory is unchanged then.
    pub(crate) fn atomic(
        &self,
        op: AtomicOp,
        width: Width,
        addr: u64,
        src: u64,
        r0: u64,
    ) -> Result<u64, AtomicFault> {
        match width {
            Width::W32 => {
                let cell = self.atomic_u32(addr, true)?;
                let (src, r0) = (src as u32, r0 as u32);
                Ok(u64::from(match op {
                    AtomicOp::Add | AtomicOp::FetchAdd => cell.fetch_add(src, Ordering::SeqCst),
                    AtomicOp::Or | AtomicOp::FetchOr => cell.fetch_or(src, Ordering::SeqCst),
                    AtomicOp::And | AtomicOp::FetchAnd => cell.fetch_and(src, Ordering::SeqCst),
                    AtomicOp::Xor | AtomicOp::FetchXor => cell.fetch_xor(src, Ordering::SeqCst),
                    AtomicOp::Xchg => cell.swap(src, Ordering::SeqCst),
                    AtomicOp::Cmpxchg => {
                        exchanged(cell.compare_exchange(r0, src, Ordering::SeqCst, Ordering::SeqCst))
                    }
                }))
            }
            Width::W64 => {
                let cell = self.atomic_u64(addr, true)?;
                Ok(match op {
                    AtomicOp::Add | AtomicOp::FetchAdd => cell.fetch_add(src, Ordering::SeqCst),
                    AtomicOp::Or | AtomicOp::FetchOr => cell.fetch_or(src, Ordering::SeqCst),
                    AtomicOp::And | AtomicOp::FetchAnd => cell.fetch_and(src, Ordering::SeqCst),
                    AtomicOp::Xor | AtomicOp::FetchXor => cell.fetch_xor(src, Ordering::SeqCst),
                    AtomicOp::Xchg => cell.swap(src, Ordering::SeqCst),
                    AtomicOp::Cmpxchg => {
                        exchanged(cell.compare_exchange(r0, src, Ordering::SeqCst, Ordering::SeqCst))
                    }
                })
            }
        }
    }

    /// A load with acquire ordering, zero-extended.
    ///
    /// # Errors
    /// [`AtomicFault`].
    pub(crate) fn load_acquire(&self, size: Size, addr: u64) -> Result<u64, AtomicFault> {
        self.aligned(addr, size, false)?;
        let host = self.host(addr as u32);
        // SAFETY: `aligned` found the pages readable, hence committed, and the address a multiple of the size;
        // the host's base is page-aligned. Other threads touch these bytes with atomic or volatile accesses.
        Ok(unsafe {
            match size {
                Size::B => u64::from(AtomicU8::from_ptr(host).load(Ordering::Acquire)),
                Size::H => u64::from(AtomicU16::from_ptr(host.cast()).load(Ordering::Acquire)),
                Size::W => u64::from(AtomicU32::from_ptr(host.cast()).load(Ordering::Acquire)),
                Size::Dw => AtomicU64::from_ptr(host.cast()).load(Ordering::Acquire),
            }
        })
    }

    /// A store with release ordering of the low bytes of `value`.
    ///
    /// # Errors
    /// [`AtomicFault`].
    pub(crate) fn store_release(&self, size: Size, addr: u64, value: u64) -> Result<(), AtomicFault> {
        self.aligned(addr, size, true)?;
        let host = self.host(addr as u32);
        // SAFETY: as for `load_acquire`, and the pages are writable.
        unsafe {
            match size {
                Size::B => AtomicU8::from_ptr(host).store(value as u8, Ordering::Release),
                Size::H => AtomicU16::from_ptr(host.cast()).store(value as u16, Ordering::Release),
                Size::W => AtomicU32::from_ptr(host.cast()).store(value as u32, Ordering::Release),
                Size::Dw => AtomicU64::from_ptr(host.cast()).store(value, Ordering::Release),
            }
        }
        Ok(())
    }

    fn aligned(&self, addr: u64, size: Size, write: bool) -> Result<(), AtomicFault> {
        let bytes = size.bytes() as u64;
        if !addr.is_multiple_of(bytes) {
            return Err(AtomicFault::Misaligned);
        }
        let need = if write { READ | WRITE } else { READ };
        let in_object = !self.checked || self.objects.allows(addr, bytes, write);
        if !in_object || !self.allows(addr, bytes, need) {
            return Err(AtomicFault::Access(self.fault(addr, bytes, write)));
        }
        Ok(())
    }

    /// A 32-bit cell that a program may write.
    ///
    /// # Errors
    /// [`AtomicFault`].
    pub(crate) fn atomic_u32(&self, addr: u64, write: bool) -> Result<&AtomicU32, AtomicFault> {
        self.aligned(addr, Size::W, write)?;
        // SAFETY: as for `load_acquire`; committed pages live as long as `self`.
        Ok(unsafe { AtomicU32::from_ptr(self.host(addr as u32).cast()) })
    }

    /// A 64-bit cell that a program may write.
    ///
    /// # Errors
    /// [`AtomicFault`].
    pub(crate) fn atomic_u64(&self, addr: u64, write: bool) -> Result<&AtomicU64, AtomicFault> {
        self.aligned(addr, Size::Dw, write)?;
        // SAFETY: as for `atomic_u32`.
        Ok(unsafe { AtomicU64::from_ptr(self.host(addr as u32).cast()) })
    }
}

/// Copies from committed guest memory; the caller has checked the range.
fn copy_out(host: *const u8, out: &mut [u8]) {
    let (words, rest) = out.as_chunks_mut::<8>();
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: the callers checked that the range is committed.
        let value = unsafe { host.add(i * 8).cast::<Unaligned<u64>>().read_volatile() }.0;
        *word = value.to_ne_bytes();
    }
    let done = words.len() * 8;
    for (i, byte) in rest.iter_mut().enumerate() {
        // SAFETY: as above.
        *byte = unsafe { host.add(done + i).read_volatile() };
    }
}

/// Copies into committed guest memory; the caller has checked the range.
fn copy_in(host: *mut u8, bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let value = Unaligned(u64::from_ne_bytes(*word));
        // SAFETY: the callers checked that the range is committed.
        unsafe { host.add(i * 8).cast::<Unaligned<u64>>().write_volatile(value) };
    }
    let done = words.len() * 8;
    for (i, byte) in rest.iter().enumerate() {
        // SAFETY: as above.
        unsafe { host.add(done + i).write_volatile(*byte) };
    }
}

/// Types of which zero bytes are a value.
pub(crate) trait Zero {}
impl Zero for AtomicU8 {}
impl Zero for AtomicU32 {}
impl Zero for AtomicU64 {}

/// So many zeros, of which the host gives memory when they are first used.
pub(crate) fn zeroed<T: Zero>(count: usize) -> Box<[T]> {
    // SAFETY: zero bytes are a value of the type.
    unsafe { Box::new_zeroed_slice(count).assume_init() }
}

fn exchanged<T>(result: Result<T, T>) -> T {
    match result {
        Ok(old) | Err(old) => old,
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        host::release(self.base, SPAN as usize, GUARD);
    }
}

/// Bytes of the host's memory that count as guest memory; given back when dropped.
pub(crate) struct Charge {
    memory: Arc<GuestMemory>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.pages().uncharge(self.bytes);
    }
}

/// Guest memory that one owner on the host was given: freed when dropped. The owner reads and writes all of it,
/// whatever programs may do. Offsets beyond its length are a mistake of the caller, and panic.
pub(crate) struct Area {
    memory: Arc<GuestMemory>,
    addr: u32,
    len: u32,
    /// Where the owner reads and writes it.
    host: NonNull<u8>,
    kind: AreaKind,
}

/// What the pages of an area are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AreaKind {
    /// Private pages of the region, which the owner, too, uses there.
    Plain,
    /// The same shared pages twice in a row.
    Mirrored,
    /// Shared pages that are read-only in the region; the owner writes them elsewhere.
    Aliased,
}

// SAFETY: `host` points to pages that the area owns until it is dropped; they are shared as those of
// [`GuestMemory`] are.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// Guest address of the first byte.
    pub(crate) fn addr(&self) -> u32 {
        self.addr
    }

    /// Bytes asked for; those of a mirrored area count twice.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whole pages, in bytes.
    fn bytes(&self) -> usize {
        self.len.max(1).next_multiple_of(PAGE) as usize
    }

    /// Where the host finds `len` bytes from an offset on.
    fn at(&self, offset: u32, len: usize) -> *mut u8 {
        assert!(offset as usize + len <= self.bytes(), "outside of the area");
        // SAFETY: the area has as many bytes there.
        unsafe { self.host.as_ptr().add(offset as usize) }
    }

    /// Copies bytes out.
    pub(crate) fn read(&self, offset: u32, out: &mut [u8]) {
        copy_out(self.at(offset, out.len()), out);
    }

    /// Copies bytes out, into a vector.
    pub(crate) fn to_vec(&self, offset: u32, len: u32) -> Vec<u8> {
        let mut out = vec![0; len as usize];
        self.read(offset, &mut out);
        out
    }

    /// Whether the bytes are these.
    pub(crate) fn equal(&self, offset: u32, bytes: &[u8]) -> bool {
        let host = self.at(offset, bytes.len());
        let (words, rest) = bytes.as_chunks::<8>();
        // SAFETY: `at` checked that the area, which is committed, has as many bytes; alignment is 1.
        let word = |i: usize| unsafe { host.add(i * 8).cast::<Unaligned<u64>>().read_volatile() }.0;
        // SAFETY: as above.
        let byte = |i: usize| unsafe { host.add(words.len() * 8 + i).read_volatile() };
        words.iter().enumerate().all(|(i, w)| word(i) == u64::from_ne_bytes(*w))
            && rest.iter().enumerate().all(|(i, b)| byte(i) == *b)
    }

    /// Copies bytes in.
    pub(crate) fn write(&self, offset: u32, bytes: &[u8]) {
        copy_in(self.at(offset, bytes.len()), bytes);
    }

    /// Copies from elsewhere in guest memory, which the caller has checked.
    #[inline]
    pub(crate) fn copy(&self, offset: u32, memory: &GuestMemory, from: u32, len: u32) {
        let (to, from) = (self.at(offset, len as usize), memory.host(from));
        let words = len as usize / 8;
        for i in 0..words {
            // SAFETY: the area has as many bytes, and the caller checked as many of the source; alignment is 1.
            unsafe {
                let word = from.add(8 * i).cast::<Unaligned<u64>>().read_volatile();
                to.add(8 * i).cast::<Unaligned<u64>>().write_volatile(word);
            }
        }
        for i in 8 * words..len as usize {
            // SAFETY: as above.
            unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
        }
    }

    /// Sets bytes to 0.
    pub(crate) fn zero(&self, offset: u32, len: u32) {
        let host = self.at(offset, len as usize);
        // SAFETY: the area is committed and writable for the host; zeroing races with guest accesses at worst
        // as two stores of the guest would.
        unsafe { host.write_bytes(0, len as usize) };
    }

    /// Reads a scalar.
    pub(crate) fn load<T: Scalar>(&self, offset: u32) -> T {
        let host = self.at(offset, size_of::<T>());
        // SAFETY: the area is committed; alignment is 1.
        unsafe { host.cast::<Unaligned<T>>().read_volatile() }.0
    }

    /// Writes a scalar.
    pub(crate) fn store<T: Scalar>(&self, offset: u32, value: T) {
        let host = self.at(offset, size_of::<T>());
        // SAFETY: the area is committed; alignment is 1.
        unsafe { host.cast::<Unaligned<T>>().write_volatile(Unaligned(value)) };
    }

    /// A 32-bit cell at an offset that is a multiple of 4.
    pub(crate) fn atomic_u32(&self, offset: u32) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "misaligned cell");
        // SAFETY: the area is committed and page-aligned; it lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    /// The memory that it is a part of.
    pub(crate) fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let (memory, bytes) = (&self.memory, self.bytes());
        memory.objects.remove(self.addr, bytes as u32);
        memory.set_perms(self.addr, bytes, 0);
        let host = memory.host(self.addr);
        // Accesses that began before the permissions went away must still find memory there. Where the host
        // cannot give that, the pages are never used again, and keep what they have.
        if self.kind == AreaKind::Aliased {
            host::unmap(self.host.as_ptr(), bytes);
        }
        if host::discard(host, bytes, self.kind != AreaKind::Plain) {
            memory.pages().free(self.addr / PAGE, bytes as u32 / PAGE);
        }
    }
}
