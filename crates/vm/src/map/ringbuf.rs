// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ringbuf`: records in one ring of guest memory, in the kernel's format. Each starts with
//! `struct bpf_ringbuf_hdr` (length with the busy and discard bits, page offset) and is padded to 8 bytes; the
//! data is mapped twice in a row, so that a record that wraps is contiguous.
//!
//! Programs may overwrite headers, which a verified one never does: whatever they hold, producer and consumer
//! stay inside of the ring.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use skep_uapi::Errno;

use super::MapContext;
use crate::memory::{Area, Object, ObjectKind, PAGE, Perm};

/// `BPF_RINGBUF_BUSY_BIT`: the record is being written.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: the consumer skips the record.
const DISCARD: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`: bytes of the header.
const HEADER: u32 = 8;
/// `RINGBUF_MAX_RECORD_SZ`.
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;
/// `RINGBUF_NR_META_PAGES` of the kernel on x86-64: what its page offsets count in front of the data.
const META_PAGES: u32 = 3;

/// A ring of records.
pub(crate) struct Ringbuf {
    name: Arc<str>,
    area: Area,
    size: u32,
    /// Records are objects of their own.
    checked: bool,
    /// Where the oldest record may be that is still being written. Whoever reserves holds the lock.
    pending: Mutex<u64>,
    producer: AtomicU64,
    consumer: AtomicU64,
}

impl Ringbuf {
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(context: &MapContext<'_>, name: &Arc<str>, size: u32) -> Result<Ringbuf, Errno> {
        Ok(Ringbuf {
            name: Arc::clone(name),
            area: context.memory.alloc_mirrored(size, Perm::ReadWrite)?,
            size,
            checked: context.memory.is_checked(),
            pending: Mutex::new(0),
            producer: AtomicU64::new(0),
            consumer: AtomicU64::new(0),
        })
    }

    fn mask(&self) -> u64 {
        u64::from(self.size) - 1
    }

    /// Offset in the area of a position.
    fn offset(&self, position: u64) -> u32 {
        (position & self.mask()) as u32
    }

    /// Bytes that a record takes whose header says `len`, never more than the ring.
    fn span(&self, len: u32) -> u64 {
        let len = len & !(BUSY | DISCARD);
        u64::from(len).saturating_add(u64::from(HEADER)).next_multiple_of(8).min(u64::from(self.size))
    }

    /// Whether a guest address lies in the ring.
    pub(crate) fn contains(&self, addr: u64) -> bool {
        addr.checked_sub(u64::from(self.area.addr()))
            .is_some_and(|offset| offset < u64::from(self.area.len()))
    }

    /// `bpf_ringbuf_reserve`: the guest address of `size` bytes; `None` where there is no room.
    pub(crate) fn reserve(&self, size: u64) -> Option<u32> {
        if size > MAX_RECORD {
            return None;
        }
        let len = (size + u64::from(HEADER)).next_multiple_of(8);
        if len > u64::from(self.size) {
            return None;
        }
        let consumer = self.consumer.load(Ordering::Acquire);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let producer = self.producer.load(Ordering::Relaxed);
        while *pending < producer {
            let header = self.area.atomic_u32(self.offset(*pending)).load(Ordering::Relaxed);
            if header & BUSY != 0 {
                break;
            }
            *pending += self.span(header);
        }
        *pending = (*pending).min(producer);
        let end = producer + len;
        if end - consumer > self.mask() || end - *pending > self.mask() {
            return None;
        }
        let at = self.offset(producer);
        self.area.atomic_u32(at + 4).store(META_PAGES + at / PAGE, Ordering::Relaxed);
        self.area.atomic_u32(at).store(size as u32 | BUSY, Ordering::Relaxed);
        self.producer.store(end, Ordering::Release);
        let record = self.area.addr() + at + HEADER;
        if self.checked && size > 0 {
            let kind = ObjectKind::Record { map: Arc::clone(&self.name) };
            let object = Object { len: size as u32, writable: true, kind };
            self.area.memory().objects().insert(record, object);
        }
        Some(record)
    }

    /// `bpf_ringbuf_submit` and `bpf_ringbuf_discard` of what [`Ringbuf::reserve`] gave.
    ///
    /// # Errors
    /// `EINVAL` where the address is no record that is being written.
    pub(crate) fn commit(&self, record: u64, discard: bool) -> Result<(), Errno> {
        let offset = record.wrapping_sub(u64::from(self.area.addr()));
        let inside = offset >= u64::from(HEADER) && offset <= u64::from(self.size) + u64::from(HEADER);
        if !inside || !offset.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let cell = self.area.atomic_u32(offset as u32 - HEADER);
        let header = cell.load(Ordering::Relaxed);
        if header & BUSY == 0 {
            return Err(Errno::EINVAL);
        }
        if self.checked {
            self.area.memory().objects().remove(record as u32, 1);
        }
        let header = header & !BUSY | if discard { DISCARD } else { 0 };
        cell.store(header, Ordering::Release);
        Ok(())
    }

    /// `bpf_ringbuf_output`.
    ///
    /// # Errors
    /// `EAGAIN` where there is no room.
    pub(crate) fn output(&self, data: &[u8]) -> Result<(), Errno> {
        let record = self.reserve(data.len() as u64).ok_or(Errno::EAGAIN)?;
        self.area.write(record - self.area.addr(), data);
        self.commit(u64::from(record), false)
    }

    /// `BPF_RB_AVAIL_DATA`, `_RING_SIZE`, `_CONS_POS` and `_PROD_POS` of `bpf_ringbuf_query`.
    pub(crate) fn query(&self, what: u64) -> u64 {
        let consumer = self.consumer.load(Ordering::Acquire);
        let producer = self.producer.load(Ordering::Acquire);
        match what {
            0 => producer.saturating_sub(consumer),
            1 => u64::from(self.size),
            2 => consumer,
            3 => producer,
            _ => 0,
        }
    }

    /// Reads all records up to the first that is being written, as user space's consumer does.
    pub(super) fn consume(&self) -> Vec<Vec<u8>> {
        let _one_at_a_time = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let producer = self.producer.load(Ordering::Acquire);
        let mut position = self.consumer.load(Ordering::Relaxed);
        let mut records = Vec::new();
        while position < producer {
            let at = self.offset(position);
            let header = self.area.atomic_u32(at).load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            if header & DISCARD == 0 {
                let room = self.size - HEADER;
                records.push(self.area.to_vec(at + HEADER, (header & !DISCARD).min(room)));
            }
            position = (position + self.span(header)).min(producer);
            self.consumer.store(position, Ordering::Release);
        }
        records
    }
}
