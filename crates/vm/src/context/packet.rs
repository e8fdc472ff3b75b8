// SPDX-License-Identifier: MIT OR Apache-2.0
//! A packet in guest memory: its bytes with room before and after, and metadata in front.
//!
//! The bounds are kept here, on the host. What a context shows of them is a copy that a wild program may
//! overwrite without harm.

use std::sync::Arc;

use skep_uapi::Errno;

use crate::memory::{Area, GuestMemory, Object, ObjectKind, Perm};

/// Bytes of a packet with all its room: offsets and their differences are an `int`, as in the kernel.
const MAX_ROOM: u32 = i32::MAX as u32;

/// A packet in guest memory. Offsets are from the start of its area.
pub(crate) struct Packet {
    area: Area,
    /// First byte that `adjust_head` and metadata may claim.
    limit: u32,
    meta: u32,
    data: u32,
    end: u32,
}

impl Packet {
    /// Puts `bytes` into guest memory, the first `meta` of them as metadata, with `headroom` bytes before the
    /// metadata and at least `tailroom` bytes after the packet. Takes over `area` where it is large enough.
    ///
    /// # Errors
    /// `ENOMEM` when guest memory is used up, `E2BIG` for a packet beyond 4 GiB.
    pub(crate) fn new(
        area: Option<Area>,
        memory: &Arc<GuestMemory>,
        bytes: &[u8],
        meta: u32,
        headroom: u32,
        tailroom: u32,
    ) -> Result<Packet, Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::E2BIG)?;
        let room = headroom.checked_add(len).and_then(|n| n.checked_add(tailroom));
        let room = room.filter(|&room| room <= MAX_ROOM).ok_or(Errno::E2BIG)?;
        let area = match area.filter(|a| a.len() >= room) {
            Some(area) => {
                area.zero(0, headroom);
                area.zero(headroom + len, area.len() - headroom - len);
                area
            }
            None => memory.alloc(room, Perm::ReadWrite, None)?,
        };
        area.write(headroom, bytes);
        let packet = Packet { area, limit: 0, meta: headroom, data: headroom + meta, end: headroom + len };
        packet.register();
        Ok(packet)
    }

    /// Gives the area back for the next packet.
    pub(crate) fn into_area(self) -> Area {
        self.area.memory().objects().remove(self.area.addr(), self.area.len());
        self.area
    }

    /// Keeps the first bytes of the area for the kernel's own structures: heads cannot move there.
    pub(crate) fn reserve(mut self, bytes: u32) -> Packet {
        self.limit = bytes;
        self
    }

    /// Tells `checked` mode what is where now.
    fn register(&self) {
        let objects = self.area.memory().objects();
        objects.remove(self.area.addr(), self.area.len());
        let insert = |from: u32, to: u32, kind| {
            if to > from {
                objects.insert(self.area.addr() + from, Object { len: to - from, writable: true, kind });
            }
        };
        insert(self.meta, self.data, ObjectKind::PacketMeta);
        insert(self.data, self.end, ObjectKind::Packet);
    }

    /// Guest address of the first byte of metadata.
    pub(crate) fn meta_addr(&self) -> u32 {
        self.area.addr() + self.meta
    }

    /// Guest address of the first byte.
    pub(crate) fn data_addr(&self) -> u32 {
        self.area.addr() + self.data
    }

    /// Guest address after the last byte.
    pub(crate) fn end_addr(&self) -> u32 {
        self.area.addr() + self.end
    }

    /// Bytes of the packet, metadata not counted.
    pub(crate) fn len(&self) -> u32 {
        self.end - self.data
    }

    /// Bytes of metadata.
    pub(crate) fn meta_len(&self) -> u32 {
        self.data - self.meta
    }

    /// Bytes that the head can move down, metadata moving with it.
    pub(crate) fn headroom(&self) -> u32 {
        self.meta - self.limit
    }

    /// Bytes that the tail can move up.
    pub(crate) fn tailroom(&self) -> u32 {
        self.area.len() - self.end
    }

    /// Moves the first byte by `delta` (negative: the packet grows), metadata moving along with it. `None`, and
    /// nothing changes, where there is no room or nothing would be left.
    pub(crate) fn move_head(&mut self, delta: i32) -> Option<()> {
        let meta = self.meta.checked_add_signed(delta).filter(|m| *m >= self.limit)?;
        let data = self.data.checked_add_signed(delta).filter(|d| *d <= self.end)?;
        let bytes = self.area.to_vec(self.meta, self.meta_len());
        self.area.write(meta, &bytes);
        (self.meta, self.data) = (meta, data);
        self.register();
        Some(())
    }

    /// Moves the end by `delta`; new bytes are 0. `None`, and nothing changes, where there is no room or less
    /// than nothing would be left.
    pub(crate) fn move_tail(&mut self, delta: i32) -> Option<()> {
        let end = self.end.checked_add_signed(delta).filter(|e| (self.data..=self.area.len()).contains(e))?;
        if end > self.end {
            self.area.zero(self.end, end - self.end);
        }
        self.end = end;
        self.register();
        Some(())
    }

    /// Moves the start of the metadata by `delta`. `None`, and nothing changes, where there is no room or it
    /// would pass the packet's first byte.
    pub(crate) fn move_meta(&mut self, delta: i32) -> Option<()> {
        let range = self.limit..=self.data;
        self.meta = self.meta.checked_add_signed(delta).filter(|m| range.contains(m))?;
        self.register();
        Some(())
    }

    /// Makes sure that head and tail can move that far, if need be by moving the packet to other memory.
    ///
    /// # Errors
    /// `ENOMEM` when guest memory is used up.
    pub(crate) fn make_room(&mut self, head: u32, tail: u32) -> Result<(), Errno> {
        if self.headroom() >= head && self.tailroom() >= tail {
            return Ok(());
        }
        let bytes = self.area.to_vec(self.meta, self.end - self.meta);
        let memory = Arc::clone(self.area.memory());
        let (head, tail) = (head.max(self.headroom()) + self.limit, tail.max(self.tailroom()));
        let moved =
            Packet::new(None, &memory, &bytes, self.meta_len(), head, tail).map_err(|_| Errno::ENOMEM)?;
        *self = moved.reserve(self.limit);
        Ok(())
    }

    /// Copies bytes out of the packet; `None` where it has fewer.
    pub(crate) fn read(&self, offset: u32, out: &mut [u8]) -> Option<()> {
        self.inside(offset, out.len())?;
        self.area.read(self.data + offset, out);
        Some(())
    }

    /// Copies bytes into the packet; `None`, and nothing is written, where it has fewer.
    pub(crate) fn write(&mut self, offset: u32, bytes: &[u8]) -> Option<()> {
        self.inside(offset, bytes.len())?;
        self.area.write(self.data + offset, bytes);
        Some(())
    }

    fn inside(&self, offset: u32, len: usize) -> Option<()> {
        let len = u32::try_from(len).ok()?;
        offset.checked_add(len).filter(|end| *end <= self.len()).map(|_| ())
    }

    /// A copy of the packet.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.area.to_vec(self.data, self.len())
    }

    /// A copy of metadata and packet.
    pub(crate) fn with_meta(&self) -> Vec<u8> {
        self.area.to_vec(self.meta, self.end - self.meta)
    }
}
