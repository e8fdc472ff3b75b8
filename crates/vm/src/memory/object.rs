// SPDX-License-Identifier: MIT OR Apache-2.0
//! What lies where in guest memory: the exact bounds that `checked` mode enforces, and the names that a trap
//! uses in either mode.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::trap::BadAccess;

/// What a stretch of guest memory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    /// Stack of the function at a call depth; 0 is the program itself.
    Stack(usize),
    /// The context of the program type.
    Context,
    /// A packet, from `data` to `data_end`.
    Packet,
    /// The metadata in front of a packet.
    PacketMeta,
    /// Flat memory.
    Memory,
    /// Something else that a helper or context gives out, by name.
    Named(&'static str),
    /// The values of a map: equal slots of `stride` bytes, of which the first `size` are the value.
    MapValues {
        /// Name of the map.
        map: Arc<str>,
        /// Bytes from slot to slot.
        stride: u32,
        /// Bytes of a value.
        size: u32,
        /// Slots of one CPU; a per-cpu map has all slots of CPU 0, then those of CPU 1, and so on.
        slots: u32,
    },
    /// The keys of a map, of the same form.
    MapKeys {
        /// Name of the map.
        map: Arc<str>,
        /// Bytes from slot to slot.
        stride: u32,
        /// Bytes of a key.
        size: u32,
    },
    /// A record that was reserved in a ring buffer.
    Record {
        /// Name of the map.
        map: Arc<str>,
    },
}

/// One stretch of guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Bytes.
    pub(crate) len: u32,
    /// Whether a program may write it.
    pub(crate) writable: bool,
    /// What it is.
    pub(crate) kind: ObjectKind,
}

/// A part of an object that an access must stay inside of, relative to the object.
struct Part {
    start: u32,
    len: u32,
    name: String,
}

impl Object {
    /// The element that an offset lies in or in front of.
    fn part(&self, offset: u32) -> Part {
        let (start, len) = self.element(offset);
        Part { start, len, name: self.element_name(offset) }
    }

    /// Start and bytes of the element that an offset lies in or in front of, relative to the object.
    pub(crate) fn element(&self, offset: u32) -> (u32, u32) {
        match &self.kind {
            ObjectKind::MapValues { stride, size, .. } | ObjectKind::MapKeys { stride, size, .. } => {
                let stride = (*stride).max(1);
                (offset / stride * stride, *size)
            }
            _ => (0, self.len),
        }
    }

    fn element_name(&self, offset: u32) -> String {
        match &self.kind {
            ObjectKind::Stack(0) => "stack".to_owned(),
            ObjectKind::Stack(depth) => format!("stack of the function at call depth {depth}"),
            ObjectKind::Context => "context".to_owned(),
            ObjectKind::Packet => "packet".to_owned(),
            ObjectKind::PacketMeta => "packet metadata".to_owned(),
            ObjectKind::Memory => "memory".to_owned(),
            ObjectKind::Named(name) => (*name).to_owned(),
            ObjectKind::MapValues { map, stride, slots, .. } => {
                let slot = offset / (*stride).max(1);
                let slots = (*slots).max(1);
                if self.len / (*stride).max(1) > slots {
                    format!("map value of `{map}` element {} of cpu {}", slot % slots, slot / slots)
                } else {
                    format!("map value of `{map}` element {slot}")
                }
            }
            ObjectKind::MapKeys { map, stride, .. } => {
                format!("map key of `{map}` element {}", offset / (*stride).max(1))
            }
            ObjectKind::Record { map } => format!("record of ring buffer `{map}`"),
        }
    }

    /// Whether an access at an offset stays in one element and is allowed.
    fn allows(&self, offset: u32, size: u64, write: bool) -> bool {
        let (start, len) = self.element(offset);
        u64::from(offset - start) + size <= u64::from(len) && (self.writable || !write)
    }
}

/// All objects of a guest, by their first address. They never overlap.
#[derive(Default)]
pub(crate) struct Objects {
    by_start: RwLock<BTreeMap<u32, Object>>,
}

impl Objects {
    /// Adds an object, or replaces the one that starts at the same address.
    pub(crate) fn insert(&self, start: u32, object: Object) {
        self.by_start.write().unwrap_or_else(PoisonError::into_inner).insert(start, object);
    }

    /// Removes the objects that start in a range.
    pub(crate) fn remove(&self, start: u32, len: u32) {
        let mut objects = self.by_start.write().unwrap_or_else(PoisonError::into_inner);
        let starts: Vec<u32> = objects.range(start..start.saturating_add(len)).map(|(&s, _)| s).collect();
        for start in starts {
            objects.remove(&start);
        }
    }

    /// The object that an address lies in, and where it starts.
    pub(crate) fn find(&self, addr: u64) -> Option<(u32, Object)> {
        let addr = u32::try_from(addr).ok()?;
        let objects = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        let (&start, object) = objects.range(..=addr).next_back()?;
        (addr - start < object.len).then(|| (start, object.clone()))
    }

    /// Whether an access lies inside of one object (for maps: of one element) and is allowed.
    pub(crate) fn allows(&self, addr: u64, size: u64, write: bool) -> bool {
        let Ok(addr) = u32::try_from(addr) else { return false };
        let objects = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        match objects.range(..=addr).next_back() {
            Some((&start, object)) if addr - start < object.len => object.allows(addr - start, size, write),
            _ => false,
        }
    }

    /// Says what is wrong with an access, naming the object that it is in or that ends just before it.
    pub(crate) fn describe(&self, addr: u64, size: u64, write: bool) -> BadAccess {
        BadAccess { addr, size, write, object: self.place(addr, write) }
    }

    fn place(&self, addr: u64, write: bool) -> Option<String> {
        /// Farther than this from an object, an address is not taken for a slip off its end.
        const NEAR: u32 = 4096;
        let addr = u32::try_from(addr).ok()?;
        let objects = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        let before = objects
            .range(..=addr)
            .next_back()
            .filter(|&(&start, object)| addr - start < object.len.saturating_add(NEAR));
        if let Some((&start, object)) = before {
            let offset = addr - start;
            let part = object.part(offset.min(object.len.saturating_sub(1)));
            return Some(Place { offset: i64::from(offset - part.start), part, object, write }.to_string());
        }
        let (&start, object) = objects.range(addr..).next().filter(|&(&start, _)| start - addr <= NEAR)?;
        let offset = -i64::from(start - addr);
        Some(Place { offset, part: object.part(0), object, write }.to_string())
    }
}

struct Place<'a> {
    offset: i64,
    part: Part,
    object: &'a Object,
    write: bool,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { offset, part, object, write } = self;
        write!(f, "offset {offset} of {}, which has {} bytes", part.name, part.len)?;
        if *write && !object.writable {
            write!(f, " and is read only")?;
        }
        Ok(())
    }
}
