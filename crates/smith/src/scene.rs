// SPDX-License-Identifier: GPL-2.0-only
//! The place where a statement is written: what is known there, which registers are free, and the statement so far.

use skep_isa::Size;
use skep_program::Program;
use skep_uapi::context::{Request, Yields, access};
use skep_uapi::helper::{MEM_RDONLY, PTR_MAYBE_NULL, PTR_UNTRUSTED};
use skep_uapi::{HelperId, ProgType};
use skep_verifier::reg_type::{
    NOT_INIT, PTR_TO_CTX, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_TP_BUFFER,
    SCALAR_VALUE,
};
use skep_verifier::{Reg, Slot};

use crate::code::Code;
use crate::maps::PoolMap;
use crate::random::Random;
use crate::setting::{Setting, World};
use crate::view::View;

/// The frame pointer.
pub(crate) const FP: u8 = 10;
/// `r0` to `r5`, which a call overwrites.
const CALLER_SAVED: u16 = 0x3f;
/// Bytes of a stack that are used as a rule: the sum over all frames has a limit.
const USUAL_STACK: usize = 128;
/// Greatest bound of an offset that is followed (`BPF_MAX_VAR_OFF`).
const MAX_OFF: i64 = 1 << 29;
/// Bytes of a tracepoint's buffer that are used.
const TP_BUFFER: i64 = 64;
/// Statements within one another.
const MAX_DEPTH: u32 = 3;

/// Memory that a register points to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub base: u8,
    /// Offsets from the register that may be accessed: from the first, to the one before the second.
    pub lo: i64,
    pub hi: i64,
    pub writable: bool,
    /// How far the register is from the start of something aligned, where that is known and atomic operations may work
    /// on the memory.
    pub start: Option<i64>,
    /// A number that is not known may be added to the register.
    pub movable: bool,
}

impl Region {
    /// Memory behind an aligned pointer.
    pub fn new(base: u8, lo: i64, hi: i64, writable: bool) -> Region {
        Region { base, lo, hi, writable, start: Some(0), movable: true }
    }

    /// The value of a map's element.
    pub fn of_value(base: u8, map: &PoolMap) -> Region {
        Region::new(base, map.special.into(), map.spec.value_size.into(), map.is_writable())
    }

    pub fn len(&self) -> i64 {
        self.hi - self.lo
    }
}

/// See the module's text.
pub(crate) struct Scene<'s, 'b> {
    pub random: &'s mut Random<'b>,
    pub world: &'s World,
    pub setting: &'s Setting,
    pub program: &'s Program,
    pub view: &'s View,
    pub code: Code,
    /// Registers that statements around this one need.
    taken: u16,
    /// Registers of which the view does not hold any more.
    gone: u16,
    /// Slots of stack of which it does not, from the frame pointer down.
    gone_slots: u64,
    pub depth: u32,
    /// Loops of this statement around the next one.
    loops: u32,
    /// The statement has acquired what it must release.
    holding: u32,
}

impl<'s, 'b> Scene<'s, 'b> {
    pub fn new(
        random: &'s mut Random<'b>,
        world: &'s World,
        setting: &'s Setting,
        program: &'s Program,
        view: &'s View,
    ) -> Scene<'s, 'b> {
        Scene {
            random,
            world,
            setting,
            program,
            view,
            code: Code::default(),
            taken: 0,
            gone: 0,
            gone_slots: 0,
            depth: 0,
            loops: 0,
            holding: 0,
        }
    }

    /// Writes a part of the statement that is executed again and again: what is known at its start holds in the first
    /// round only, unless nothing that is known is overwritten.
    pub fn loops(&mut self, part: impl FnOnce(&mut Self)) {
        self.gone |= CALLER_SAVED;
        self.loops += 1;
        part(self);
        self.loops -= 1;
    }

    /// Whether the statement is in a loop of its own.
    pub fn is_in_loop(&self) -> bool {
        self.loops > 0
    }

    /// Writes a part of the statement in which something is held.
    pub fn holding(&mut self, part: impl FnOnce(&mut Self)) {
        self.holding += 1;
        part(self);
        self.holding -= 1;
    }

    /// Whether something must be released on some path.
    pub fn holds(&self) -> bool {
        self.view.holds || self.holding > 0
    }

    /// A register as the view has it; `None` where it has nothing to say any more.
    pub fn reg(&self, r: u8) -> Option<&Reg> {
        let reg = &self.view.regs[usize::from(r)];
        (reg.ty != NOT_INIT && self.gone & 1 << r == 0).then_some(reg)
    }

    fn pick_reg(&mut self, fits: impl Fn(&Scene<'_, '_>, u8) -> bool) -> Option<u8> {
        let mut found = [0; 11];
        let mut count = 0;
        for r in 0..=FP {
            if fits(self, r) {
                found[count] = r;
                count += 1;
            }
        }
        (count > 0).then(|| self.random.pick(&found[..count]))
    }

    /// A register with a number.
    pub fn scalar(&mut self) -> Option<u8> {
        self.pick_reg(|scene, r| scene.reg(r).is_some_and(|reg| reg.ty == SCALAR_VALUE))
    }

    /// A register with the context as it was given.
    pub fn ctx(&mut self) -> Option<u8> {
        self.pick_reg(|scene, r| {
            scene.reg(r).is_some_and(|reg| reg.ty == PTR_TO_CTX && reg.off == 0 && reg.is_const_offset())
        })
    }

    /// A register that fits.
    pub fn reg_with(&mut self, fits: impl Fn(&Reg) -> bool) -> Option<u8> {
        self.pick_reg(|scene, r| r != FP && scene.reg(r).is_some_and(&fits))
    }

    /// Whether nobody needs a register.
    pub fn is_free(&self, r: u8) -> bool {
        r != FP && (self.taken | self.view.live) & 1 << r == 0
    }

    /// The statement overwrites a register and needs what it puts there.
    pub fn take(&mut self, r: u8) {
        self.taken |= 1 << r;
        self.gone |= 1 << r;
    }

    /// What a register holds is not needed any more by the statement.
    pub fn release(&mut self, r: u8) {
        self.taken &= !(1 << r);
    }

    /// A register that nobody needs, for the statement to use. The context is given up seldom.
    pub fn free(&mut self) -> Option<u8> {
        // What is in a register that calls overwrite is in the way of all calls as long as it is needed.
        let kept = if self.random.one_in(4) { None } else { self.free_kept() };
        kept.or_else(|| self.free_in(u16::MAX))
    }

    /// One that calls leave alone.
    pub fn free_kept(&mut self) -> Option<u8> {
        self.free_in(!CALLER_SAVED)
    }

    fn free_in(&mut self, set: u16) -> Option<u8> {
        let keeps_ctx = !self.random.one_in(24);
        let found = self.pick_reg(|scene, r| {
            let is_ctx = scene.reg(r).is_some_and(|reg| reg.ty == PTR_TO_CTX);
            let known = scene.loops > 0 && scene.reg(r).is_some();
            set & 1 << r != 0 && scene.is_free(r) && !known && !(keeps_ctx && is_ctx)
        })?;
        self.take(found);
        Some(found)
    }

    /// Whether a call may overwrite `r0` to `r5`, and no lock forbids it.
    pub fn may_call(&self) -> bool {
        (self.taken | self.view.live) & CALLER_SAVED == 0 && !self.view.locked
    }

    /// Whether the statement holds a register.
    pub fn is_taken(&self, r: u8) -> bool {
        self.taken & 1 << r != 0
    }

    /// A call was written.
    pub fn called(&mut self) {
        self.gone |= CALLER_SAVED;
    }

    /// Whether programs of this type may call a helper.
    pub fn allows(&self, id: HelperId) -> bool {
        self.setting.helpers.iter().any(|(helper, _)| helper.id == id)
    }

    /// An access of a structure, as the tables are asked about it.
    pub fn request(&self, off: i32, size: Size, write: bool) -> Request {
        Request {
            attach: self.setting.attach_type,
            off,
            size: size.bytes() as u32,
            write,
            sign_extend: false,
            bpf_capable: true,
        }
    }

    /// A statement inside of this one.
    pub fn nested(&mut self) {
        if self.depth < MAX_DEPTH {
            self.depth += 1;
            let before = self.taken;
            crate::feature::statement(self);
            self.taken = before;
            self.depth -= 1;
        }
    }

    pub fn size(&mut self) -> Size {
        self.random.pick(&Size::ALL)
    }

    /// Memory behind a register, other than the stack and the context.
    pub fn region_of(&self, r: u8) -> Option<Region> {
        let reg = self.reg(r)?;
        if reg.ty.has(PTR_MAYBE_NULL | PTR_UNTRUSTED) {
            return None;
        }
        let off = i64::from(reg.off);
        let (smin, smax) = (reg.val.smin, reg.val.smax);
        let bounded = smin > -MAX_OFF && smax < MAX_OFF;
        let memory = |len: i64, from: i64, writable: bool| {
            let start = reg.val.const_value(false).map(|known| off + known as i64);
            let (lo, hi) = (from - off - smin, len - off - smax);
            let region = Region { base: r, lo, hi, writable, start, movable: true };
            (bounded && region.hi > region.lo).then_some(region)
        };
        match reg.ty.base() {
            PTR_TO_MAP_VALUE => {
                let map = &self.world.pool[self.view.map(reg)?];
                memory(map.spec.value_size.into(), map.special.into(), map.is_writable())
            }
            PTR_TO_MEM => memory(reg.mem_size().into(), 0, !reg.ty.has(MEM_RDONLY)),
            PTR_TO_PACKET | PTR_TO_PACKET_META if reg.range() > 0 && smin >= 0 => {
                let region = Region {
                    base: r,
                    lo: -off,
                    hi: i64::from(reg.range()) - off,
                    writable: writes_packet(self.setting.prog_type),
                    start: None,
                    movable: false,
                };
                (region.hi > region.lo).then_some(region)
            }
            PTR_TO_TP_BUFFER if reg.is_const_offset() => {
                Some(Region { start: None, movable: false, ..Region::new(r, -off, TP_BUFFER, true) })
            }
            _ => None,
        }
    }

    /// Some memory of at least so many bytes.
    pub fn region(&mut self, len: i64, writable: bool) -> Option<Region> {
        let r = self.pick_reg(|scene, r| {
            scene.region_of(r).is_some_and(|region| region.len() >= len && (region.writable || !writable))
        })?;
        self.region_of(r)
    }

    /// An offset at which so many bytes of a region may be accessed: often at its ends, mostly a multiple of the size.
    pub fn offset_in(&mut self, region: &Region, size: i64) -> Option<i16> {
        let last = region.hi - size;
        if last < region.lo {
            return None;
        }
        let off = match self.random.below(4) {
            0 => region.lo,
            1 => last,
            _ => region.lo + self.random.below((last - region.lo + 1) as u64) as i64,
        };
        let down = off.div_euclid(size) * size;
        let aligned = down >= region.lo && !self.random.one_in(3);
        i16::try_from(if aligned { down } else { off }).ok()
    }

    /// The same, aligned for sure.
    pub fn aligned_offset_in(&mut self, region: &Region, size: i64) -> Option<i16> {
        let start = region.start?;
        let first = (region.lo + start + size - 1).div_euclid(size);
        let last = (region.hi + start - size).div_euclid(size);
        if last < first {
            return None;
        }
        let at = first + self.random.below((last - first + 1) as u64) as i64;
        i16::try_from(at * size - start).ok()
    }

    /// Whether the bytes of a slot of the stack, by its number from the frame pointer down, are numbers.
    fn slot_has(&self, spi: usize, wanted: impl Fn(Slot) -> bool) -> bool {
        self.gone_slots & 1 << spi == 0
            && self.view.stack.get(spi).is_some_and(|slot| slot.bytes.iter().all(|&byte| wanted(byte)))
    }

    /// Whether the statement may write a slot without breaking what is there.
    fn slot_is_free(&self, spi: usize) -> bool {
        let Some(slot) = self.view.stack.get(spi) else { return true };
        let number = |&byte: &Slot| matches!(byte, Slot::Invalid | Slot::Misc | Slot::Zero);
        slot.bytes.iter().all(number)
    }

    /// Offset from the frame pointer of some slots in a row that may be written.
    pub fn free_slots(&mut self, count: usize) -> Option<i16> {
        let slots = if self.random.one_in(8) { 64 } else { USUAL_STACK / 8 };
        for _ in 0..4 {
            let first = self.random.below((slots - count.min(slots - 1)) as u64) as usize;
            if first + count <= 64 && (first..first + count).all(|spi| self.slot_is_free(spi)) {
                for spi in first..first + count {
                    self.gone_slots |= 1 << spi;
                }
                return Some(-8 * (first + count) as i16);
            }
        }
        None
    }

    /// Offset of a slot whose eight bytes can be read as a number or a spilled register.
    pub fn readable_slot(&mut self) -> Option<i16> {
        let count = self.view.stack.len().min(64);
        let start = self.random.below(count.max(1) as u64) as usize;
        (0..count)
            .map(|i| (start + i) % count)
            .find(|&spi| {
                self.slot_has(spi, |byte| matches!(byte, Slot::Misc | Slot::Zero))
                    || self.slot_has(spi, |byte| byte == Slot::Spill)
            })
            .map(|spi| -8 * (spi as i16 + 1))
    }

    /// The slot of a dynptr: offset from the frame pointer of its lower half.
    pub fn dynptr(&mut self) -> Option<i16> {
        let is_first = |spi: usize| {
            self.slot_has(spi, |byte| byte == Slot::Dynptr) && self.view.stack[spi].spilled.dynptr().1
        };
        (1..self.view.stack.len().min(64)).find(|&spi| is_first(spi)).map(|spi| -8 * (spi as i16 + 1))
    }

    /// Writes code that makes some bytes of stack hold numbers; gives their offset from the frame pointer.
    pub fn stack_buffer(&mut self, len: usize, initialized: bool) -> Option<i16> {
        let count = len.max(1).div_ceil(8);
        let off = self.free_slots(count)?;
        if initialized {
            for i in 0..count as i16 {
                let number = self.random.below(4) as i32;
                match self.scalar().filter(|_| self.random.one_in(3)) {
                    Some(r) => self.code.store(Size::Dw, FP, off + 8 * i, r),
                    None => self.code.store_imm(Size::Dw, FP, off + 8 * i, number),
                }
            }
        }
        Some(off)
    }

    /// The pointer types and offsets of the context that a load gives, for a program of this type.
    pub fn ctx_field(&mut self, fits: impl Fn(Yields) -> bool, write: bool) -> Option<(i16, Size)> {
        for _ in 0..24 {
            let size = self.size();
            let off = self.random.below(64) as i32 * 4
                + if self.random.one_in(8) { self.random.below(4) as i32 } else { 0 };
            let request = self.request(off, size, write);
            if access(self.setting.prog_type, &request).is_some_and(|access| fits(access.yields)) {
                return Some((off as i16, size));
            }
        }
        None
    }

    /// The offset of a field that gives this, if programs of this type have one.
    pub fn ctx_pointer(&self, wanted: Yields) -> Option<(i16, Size)> {
        let at = |off: i32, size: Size| {
            let request = self.request(off, size, false);
            access(self.setting.prog_type, &request).is_some_and(|access| access.yields == wanted)
        };
        [Size::W, Size::Dw]
            .into_iter()
            .flat_map(|size| (0..64).map(move |i| (i * 4, size)))
            .find(|&(off, size)| at(off, size))
            .map(|(off, size)| (off as i16, size))
    }
}

/// Whether a call overwrites a register.
pub(crate) const fn is_caller_saved(r: u8) -> bool {
    CALLER_SAVED & 1 << r != 0
}

/// Whether programs of a type may write the packet (`may_access_direct_pkt_data`).
fn writes_packet(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::XDP
            | ProgType::LWT_XMIT
            | ProgType::SK_SKB
            | ProgType::SK_MSG
            | ProgType::CGROUP_SOCKOPT
    )
}
