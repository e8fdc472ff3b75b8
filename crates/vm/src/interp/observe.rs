// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking on while a program runs: the machine's state before each instruction, and what lies where.
//!
//! Runs that nobody observes do not pay for it: the dispatch loop has a copy of its own for this.

use std::fmt;
use std::sync::Arc;

use skep_uapi::limits::MAX_BPF_STACK;

use super::Exec;
use crate::memory::ObjectKind;

/// Sees each instruction before it runs ([`crate::Thread::run_observed`]). Runs of a thread share it, so that it
/// keeps what it learns in a cell.
pub trait Observer {
    /// An instruction is about to run.
    fn step(&self, step: &Step<'_>);
}

/// The machine before an instruction.
pub struct Step<'a> {
    exec: &'a Exec<'a>,
    pc: usize,
    regs: &'a [u64; 16],
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("slot", &self.slot())
            .field("depth", &self.depth())
            .field("registers", self.registers())
            .finish_non_exhaustive()
    }
}

/// Where the packet of a run lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketBounds {
    /// Start of its metadata; that of the packet where there is none.
    pub meta: u64,
    /// Its first byte.
    pub data: u64,
    /// Behind its last byte.
    pub end: u64,
}

/// What a guest address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// A frame; 0 is that of the program itself.
    Stack(usize),
    /// The context.
    Context,
    /// The packet.
    Packet,
    /// The metadata in front of the packet.
    PacketMeta,
    /// The value of an element of the map of this index.
    MapValue(usize),
    /// The key of an element of the map of this index.
    MapKey(usize),
    /// A record that is reserved in the ring buffer of this index.
    Record(usize),
    /// Something else that a program may access.
    Other,
}

/// The object, or element of a map, that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is.
    pub kind: PlaceKind,
    /// Its first address.
    pub start: u64,
    /// Its bytes.
    pub len: u64,
}

impl Exec<'_> {
    /// Shows the observer the instruction at `pc`.
    #[inline(never)]
    pub(super) fn observe(&self, pc: usize, regs: &[u64; 16]) {
        if let Some(observer) = self.observer {
            observer.step(&Step { exec: self, pc, regs });
        }
    }
}

impl Step<'_> {
    /// Index of the program in the object; a tail call changes it.
    #[must_use]
    pub fn program(&self) -> usize {
        let machine = self.exec.machine;
        (0..)
            .map_while(|i| machine.find_program(i))
            .take_while(|p| !std::ptr::eq(*p, self.exec.program))
            .count()
    }

    /// Slot of the instruction in its program.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.exec.program.slot(self.pc)
    }

    /// Call depth: 0 in the program itself, one more in each function called, by a helper too.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.exec.callers.len()
    }

    /// `r0` to `r10` of the current frame.
    #[must_use]
    pub fn registers(&self) -> &[u64; 11] {
        self.regs.first_chunk().expect("there are 16")
    }

    /// `r10` of the frame at a call depth.
    #[must_use]
    pub fn frame_pointer(&self, depth: usize) -> u64 {
        self.exec.frames.pointer(depth)
    }

    /// The last `out.len()` bytes, at most 512, below a frame's `r10`.
    pub fn read_stack(&self, depth: usize, out: &mut [u8]) {
        debug_assert!(out.len() <= MAX_BPF_STACK);
        let start = self.frame_pointer(depth) - out.len() as u64;
        let read = self.exec.memory().read_bytes(start, out);
        debug_assert!(read.is_ok(), "every frame is there");
    }

    /// Address of the context; 0 where there is none.
    #[must_use]
    pub fn context(&self) -> u64 {
        self.exec.context.addr()
    }

    /// Where the packet is now.
    #[must_use]
    pub fn packet(&self) -> Option<PacketBounds> {
        let packet = self.exec.context.packet()?;
        let [meta, data, end] = [packet.meta_addr(), packet.data_addr(), packet.end_addr()].map(u64::from);
        Some(PacketBounds { meta, data, end })
    }

    /// Index of the map that a register refers to, as `ld_imm64` or a lookup in a map of maps gave it.
    #[must_use]
    pub fn map(&self, value: u64) -> Option<usize> {
        let map = self.exec.machine.map_by_handle(value)?;
        self.exec.machine.maps().position(|m| std::ptr::eq(m, map))
    }

    /// What an address lies in.
    #[must_use]
    pub fn place(&self, addr: u64) -> Option<Place> {
        let (object_start, object) = self.exec.memory().objects().find(addr)?;
        let (start, len) = object.element(addr as u32 - object_start);
        let map = |name: &Arc<str>| self.exec.machine.maps().position(|m| m.has_name(name));
        let kind = match &object.kind {
            ObjectKind::Stack(depth) => PlaceKind::Stack(*depth),
            ObjectKind::Context => PlaceKind::Context,
            ObjectKind::Packet => PlaceKind::Packet,
            ObjectKind::PacketMeta => PlaceKind::PacketMeta,
            ObjectKind::MapValues { map: name, .. } => PlaceKind::MapValue(map(name)?),
            ObjectKind::MapKeys { map: name, .. } => PlaceKind::MapKey(map(name)?),
            ObjectKind::Record { map: name } => PlaceKind::Record(map(name)?),
            ObjectKind::Memory | ObjectKind::Named(_) => PlaceKind::Other,
        };
        Some(Place { kind, start: u64::from(object_start + start), len: len.into() })
    }
}
