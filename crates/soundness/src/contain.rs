// SPDX-License-Identifier: GPL-2.0-only
//! Whether a concrete machine lies inside of an abstract state.
//!
//! Checked of every frame: numbers against known bits and all four ranges; numbers that share an id for being equal, or
//! so far apart; pointers for what they point into, at an offset that the state allows, with as many bytes behind them
//! as it claims; the same of what is spilled to the stack; bytes that count as zero. Not checked: references, locks,
//! dynptrs, iterators, what is behind pointers to kernel objects.

use skep_uapi::helper::PTR_UNTRUSTED;
use skep_verifier::reg_type::{
    CONST_PTR_TO_MAP, NOT_INIT, PTR_TO_CTX, PTR_TO_FLOW_KEYS, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM,
    PTR_TO_PACKET, PTR_TO_PACKET_END, PTR_TO_PACKET_META, PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_STACK,
    PTR_TO_TCP_SOCK, PTR_TO_XDP_SOCK, SCALAR_VALUE,
};
use skep_verifier::{FuncState, Reg, Scalar, Slot, StackSlot};
use skep_vm::{PlaceKind, Step};

use crate::explored::Explored;
use crate::loose::{Location, Loose, Why};

/// `reg->range` of a pointer that was found to be at the end of the packet or behind it (`AT_PKT_END`).
const AT_PKT_END: i32 = -1;
/// The same, and certainly behind (`BEYOND_PKT_END`).
const BEYOND_PKT_END: i32 = -2;
/// Registers that a call overwrites, `r0` to `r5`.
const CALLER_SAVED: usize = 6;
/// Elements that are looked at for one that a pointer with a variable offset may have come from.
const ELEMENTS: usize = 1024;

/// A machine in the middle of a run, seen from the function that is verified on its own.
pub(crate) struct Concrete<'a> {
    pub explored: &'a Explored,
    pub step: &'a Step<'a>,
    /// Call depth of that function.
    pub base: usize,
    /// Registers of all frames from depth 0, those of callers as they were at their call.
    pub frames: &'a [[u64; 11]],
    /// The last frame is in a helper, so that what the call overwrites and takes does not count.
    pub in_helper: bool,
}

/// Where and why a machine is outside of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    pub at: Location,
    pub value: u64,
    pub why: &'static str,
    pub reg: Reg,
}

type Check = Result<(), &'static str>;

fn require(holds: bool, why: &'static str) -> Check {
    if holds { Ok(()) } else { Err(why) }
}

/// One of several registers and slots with the same id.
struct Member {
    id: u32,
    /// What it says the value of the id is.
    value: u64,
    /// Only the low half says so.
    low_half: bool,
    at: Location,
    excuse: Option<Why>,
    reg: Reg,
}

impl Concrete<'_> {
    /// Looks at all of a state. What is outside and has an excuse is given back as loose.
    ///
    /// # Errors
    /// What has none.
    pub fn inside(
        &self,
        frames: &[FuncState],
        excuse: &dyn Fn(Location) -> Option<Why>,
    ) -> Result<Loose, Vec<Outside>> {
        let mut look = Look { loose: Loose::default(), outside: Vec::new(), members: Vec::new(), excuse };
        let mut bytes = [0; 512];
        for (f, frame) in frames.iter().enumerate() {
            let first = if self.in_helper && f + 1 == frames.len() { CALLER_SAVED } else { 0 };
            for (r, reg) in frame.regs.iter().enumerate().skip(first) {
                if reg.ty != NOT_INIT {
                    let value = self.frames[self.base + f][r];
                    look.at(Location::Reg(f, r as u8), reg, value, self.register(reg, value));
                }
            }
            let len = (frame.stack.len() * 8).min(bytes.len());
            if len > 0 {
                self.step.read_stack(self.base + f, &mut bytes[..len]);
            }
            for (spi, (slot, held)) in frame.stack.iter().zip(bytes[..len].rchunks_exact(8)).enumerate() {
                let at = Location::Slot(f, spi);
                for (kind, byte) in slot.bytes.iter().rev().zip(held) {
                    if *kind == Slot::Zero && *byte != 0 {
                        look.fails(at, &slot.spilled, u64::from(*byte), "a byte that counts as zero", false);
                    }
                }
                if slot.is_spilled() {
                    let (value, size) = spilled(slot, held);
                    look.at(at, &slot.spilled, value, self.spill(&slot.spilled, value, size));
                }
            }
        }
        look.groups();
        if look.outside.is_empty() { Ok(look.loose) } else { Err(look.outside) }
    }

    fn spill(&self, reg: &Reg, value: u64, size: u32) -> Check {
        if reg.ty == SCALAR_VALUE { low_bytes(&reg.val, value, size) } else { self.register(reg, value) }
    }

    fn register(&self, reg: &Reg, value: u64) -> Check {
        let step = self.step;
        if reg.ty.may_be_null() && value == 0 {
            return Ok(());
        }
        let start = less(value, reg.off);
        // The variable part of the offset, if the pointer is based on this address.
        let offset_from = |base: u64| number(&reg.val, start.wrapping_sub(base));
        let element = |kind: PlaceKind| {
            let based_on = |base: u64| {
                let place = step.place(base)?;
                (place.kind == kind && offset_from(place.start).is_ok()).then_some(place)
            };
            let mut at = start.wrapping_sub(reg.val.smin as u64);
            let found = based_on(value).is_some()
                || (0..ELEMENTS).any(|_| {
                    let found = based_on(at).is_some();
                    at = step.place(at).map_or(at, |place| place.start).wrapping_sub(1);
                    found
                });
            // It may have come from further away than was looked.
            let far = reg.val.umax.wrapping_sub(reg.val.umin) > ELEMENTS as u64;
            require(found || far, "no element that it may point into")
        };
        match reg.ty.base() {
            SCALAR_VALUE => number(&reg.val, value),
            PTR_TO_CTX => offset_from(step.context()),
            PTR_TO_STACK => offset_from(step.frame_pointer(self.base + reg.frameno as usize)),
            CONST_PTR_TO_MAP => {
                let map = step.map(value);
                let right = self.explored.map(reg).map_or(map.is_some(), |expected| map == Some(expected));
                require(right, "another map")
            }
            PTR_TO_MAP_VALUE => match self.explored.map(reg) {
                Some(map) => element(PlaceKind::MapValue(map)),
                None => require(value != 0, "null"),
            },
            PTR_TO_MAP_KEY => require(value != 0, "null"),
            PTR_TO_PACKET | PTR_TO_PACKET_META | PTR_TO_PACKET_END => self.packet(reg, start, value),
            PTR_TO_FLOW_KEYS => {
                let base = start.wrapping_sub(reg.val.umin);
                require(step.place(base).is_some_and(|place| place.start == base), "no flow keys")
            }
            PTR_TO_MEM if !reg.ty.has(PTR_UNTRUSTED) && reg.is_const_offset() && reg.mem_size() > 0 => {
                let base = start.wrapping_sub(reg.val.var_off.value);
                let holds =
                    |place: skep_vm::Place| base + u64::from(reg.mem_size()) <= place.start + place.len;
                require(step.place(base).is_some_and(holds), "less memory than it claims")
            }
            PTR_TO_MEM => require(value != 0 || reg.ty.has(PTR_UNTRUSTED), "null"),
            PTR_TO_SOCKET | PTR_TO_SOCK_COMMON | PTR_TO_TCP_SOCK | PTR_TO_XDP_SOCK => {
                require(value != 0, "null")
            }
            _ => Ok(()),
        }
    }

    fn packet(&self, reg: &Reg, start: u64, value: u64) -> Check {
        let Some(packet) = self.step.packet() else { return Err("there is no packet") };
        if reg.ty.base() == PTR_TO_PACKET_END {
            return require(value == packet.end, "not the end of the packet");
        }
        let (base, end) = if reg.ty.base() == PTR_TO_PACKET {
            (packet.data, packet.end)
        } else {
            (packet.meta, packet.data)
        };
        number(&reg.val, start.wrapping_sub(base))?;
        match reg.range() {
            AT_PKT_END => require(value >= end, "not at the end of the packet"),
            BEYOND_PKT_END => require(value > end, "not behind the end of the packet"),
            range => require(
                start.wrapping_sub(base).wrapping_add(range as u64) <= end - base || range == 0,
                "fewer bytes behind it than it claims",
            ),
        }
    }
}

/// What a look at a state gathers.
struct Look<'e> {
    loose: Loose,
    outside: Vec<Outside>,
    members: Vec<Member>,
    excuse: &'e dyn Fn(Location) -> Option<Why>,
}

impl Look<'_> {
    fn excuse(&self, at: Location, is_number: bool) -> Option<Why> {
        (self.excuse)(at).filter(|&why| why != Why::Imprecise || is_number)
    }

    fn fails(&mut self, at: Location, reg: &Reg, value: u64, why: &'static str, is_number: bool) {
        match self.excuse(at, is_number) {
            Some(excuse) => self.loose.insert(at, excuse),
            None => self.outside.push(Outside { at, value, why, reg: *reg }),
        }
    }

    fn at(&mut self, at: Location, reg: &Reg, value: u64, check: Check) {
        let is_number = reg.ty == SCALAR_VALUE;
        if let Err(why) = check {
            return self.fails(at, reg, value, why, is_number);
        }
        let said = if let Some(link) = reg.link() {
            Some((link.id, less(value, link.distance), link.is_32bit))
        } else if reg.id != 0 && reg.ty.is_pkt_pointer() {
            Some((reg.id, less(value, reg.off), false))
        } else if reg.id != 0 && reg.ty.may_be_null() {
            Some((reg.id, u64::from(value == 0), false))
        } else {
            None
        };
        if let Some((id, value, low_half)) = said {
            let excuse = self.excuse(at, is_number);
            self.members.push(Member { id, value, low_half, at, excuse, reg: *reg });
        }
    }

    /// Those that share an id must say the same of it. Where they do not, those with an excuse are loose.
    fn groups(&mut self) {
        let mut members = std::mem::take(&mut self.members);
        members.sort_by_key(|member| (member.id, member.excuse.is_some()));
        for group in members.chunk_by(|a, b| a.id == b.id) {
            let reference = &group[0];
            let agrees = |m: &Member| {
                let bits = if m.low_half || reference.low_half { u64::from(u32::MAX) } else { u64::MAX };
                (m.value ^ reference.value) & bits == 0
            };
            for member in group.iter().filter(|m| !agrees(m)) {
                self.fails(member.at, &member.reg, member.value, "differs from others of its id", true);
                if let Some(excuse) = reference.excuse {
                    self.loose.insert(reference.at, excuse);
                }
            }
        }
    }
}

/// A register's value without a fixed distance.
fn less(value: u64, distance: i32) -> u64 {
    value.wrapping_sub(i64::from(distance) as u64)
}

/// What is spilled in a slot, and its bytes.
fn spilled(slot: &StackSlot, held: &[u8]) -> (u64, u32) {
    let size = slot.bytes.iter().rev().take_while(|&&kind| kind == Slot::Spill).count();
    let value = held[..size].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    (value, size as u32)
}

/// A number of 64 bits.
fn number(known: &Scalar, value: u64) -> Check {
    require(known.var_off.contains(skep_verifier::Tnum::constant(value)), "other bits are known")?;
    require((known.umin..=known.umax).contains(&value), "outside of the unsigned range")?;
    require((known.smin..=known.smax).contains(&(value as i64)), "outside of the signed range")?;
    low_half(known, value as u32)
}

/// The low half of a number.
fn low_half(known: &Scalar, value: u32) -> Check {
    let bits = known.var_off.subreg();
    require((u64::from(value) ^ bits.value) & !bits.mask == 0, "other bits of the low half are known")?;
    require((known.u32_min..=known.u32_max).contains(&value), "outside of the unsigned 32-bit range")?;
    require((known.s32_min..=known.s32_max).contains(&(value as i32)), "outside of the signed 32-bit range")
}

/// The low bytes of a number, of which the rest is not there.
fn low_bytes(known: &Scalar, value: u64, size: u32) -> Check {
    match size {
        8 => number(known, value),
        4 => low_half(known, value as u32),
        _ => {
            let bits = (1 << (size * 8)) - 1;
            let same = (value ^ known.var_off.value) & !known.var_off.mask & bits == 0;
            require(same, "other bits of the low bytes are known")
        }
    }
}
