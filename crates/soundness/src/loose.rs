// SPDX-License-Identifier: GPL-2.0-only
//! Places whose contents may lie outside of the state that a run is followed along, and how that spreads.
//!
//! A run comes loose where a path is covered by a kept state: numbers that are not precise there were not compared,
//! and what is not read again may be anything. From then on, what is computed of such a number may lie outside too.
//! It is not an excuse for all: a pointer made with a loose number is as wrong as any, and what counted as never
//! read again must not be read.

use std::collections::BTreeMap;

use skep_isa::{AluOp, CallKind, Decoded, Op, Source};

use crate::explored::Node;

/// A register or slot of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Location {
    /// Frame and register.
    Reg(usize, u8),
    /// Frame and slot, 0 for `fp-8`.
    Slot(usize, usize),
}

/// Why it may be outside, the weaker excuse first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// It is a number that nobody needs precise.
    Imprecise,
    /// It is not read again.
    Dead,
    /// The kernels that the verifier follows are wrong about it, and so is the verifier (`docs/parity.md`).
    KernelBug,
}

/// A bug of Linux 6.18.44 and 6.12.117: a load that sign-extends part of a spilled number keeps its id where the number
/// fits the part, so that the result counts as equal to what may differ by its sign.
fn keeps_id_wrongly(node: &Node, insn: &Decoded, access: Option<StackAccess>) -> bool {
    let slot = access.and_then(|access| node.frames[access.frame].stack.get(access.first));
    matches!(insn.op(), Op::Ldsx(_)) && slot.is_some_and(|slot| slot.spilled.link().is_some())
}

/// A bug of Linux 6.18.44, 6.12.117 and 6.1.176: a pointer that is known to be behind the packet still counts as such
/// after it was moved back.
fn moves_from_behind_packet(node: &Node, insn: &Decoded) -> bool {
    let pointer = node.frames.last().map(|frame| &frame.regs[usize::from(insn.insn.dst)]);
    matches!(insn.op(), Op::Alu(AluOp::Add | AluOp::Sub, ..))
        && pointer.is_some_and(|reg| reg.is_pkt_pointer() && reg.range() < 0)
}

/// Something was read that counted as never read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadsDead(pub Location);

/// What may lie outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loose(BTreeMap<Location, Why>);

/// An access to a frame: which, its slots, and whether it covers all bytes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackAccess {
    pub frame: usize,
    pub first: usize,
    pub last: usize,
    pub whole: bool,
}

impl StackAccess {
    fn slots(self) -> impl Iterator<Item = Location> {
        (self.first..=self.last).map(move |spi| Location::Slot(self.frame, spi))
    }
}

impl Loose {
    pub fn get(&self, at: Location) -> Option<Why> {
        self.0.get(&at).copied()
    }

    pub fn insert(&mut self, at: Location, why: Why) {
        self.0.insert(at, why);
    }

    /// Whether a bug of the kernel has made anything loose.
    pub fn has_kernel_bug(&self) -> bool {
        self.0.values().any(|&why| why == Why::KernelBug)
    }

    fn set(&mut self, at: Location, why: Option<Why>) {
        match why {
            Some(why) => self.0.insert(at, why),
            None => self.0.remove(&at),
        };
    }

    /// Whether what an instruction reads may be outside.
    ///
    /// # Errors
    /// [`ReadsDead`].
    fn read(&self, at: Location) -> Result<Option<Why>, ReadsDead> {
        match self.get(at) {
            Some(Why::Dead) => Err(ReadsDead(at)),
            why => Ok(why),
        }
    }

    fn read_slots(&self, access: Option<StackAccess>) -> Result<Option<Why>, ReadsDead> {
        let mut any = None;
        for at in access.into_iter().flat_map(StackAccess::slots) {
            any = any.max(self.read(at)?);
        }
        Ok(any)
    }

    fn write_slots(&mut self, access: Option<StackAccess>, why: Option<Why>) {
        let Some(access) = access else { return };
        for at in access.slots() {
            if access.whole || why.is_some() {
                self.set(at, why);
            }
        }
    }

    /// Lets `r0` to `r5` of a frame be anything.
    pub fn loosen_caller_saved(&mut self, frame: usize) {
        for r in 0..6 {
            self.0.entry(Location::Reg(frame, r)).or_insert(Why::Dead);
        }
    }

    /// Takes what `before` has of `r0` to `r5` of a frame.
    pub fn keep_caller_saved(&mut self, before: &Loose, frame: usize) {
        for r in 0..6 {
            let at = Location::Reg(frame, r);
            self.set(at, before.get(at));
        }
    }

    /// What may be outside after the instruction of a visit. `access` is the part of the stack that it loads from or
    /// stores to.
    ///
    /// # Errors
    /// [`ReadsDead`].
    pub fn after(
        &self,
        node: &Node,
        insn: &Decoded,
        access: Option<StackAccess>,
    ) -> Result<Loose, ReadsDead> {
        let mut next = self.clone();
        let frame = node.frames.len() - 1;
        if keeps_id_wrongly(node, insn, access) || moves_from_behind_packet(node, insn) {
            next.insert(Location::Reg(frame, insn.insn.dst), Why::KernelBug);
            return Ok(next);
        }
        if self.0.is_empty() {
            return Ok(next);
        }
        let reg = |r: u8| Location::Reg(frame, r);
        let (dst, src) = (reg(insn.insn.dst), reg(insn.insn.src));
        let operand = |source| if source == Source::Reg { self.read(src) } else { Ok(None) };
        match insn.op() {
            Op::Alu(AluOp::Mov, _, source) => next.set(dst, operand(source)?),
            Op::Alu(_, _, source) => next.set(dst, self.read(dst)?.max(operand(source)?)),
            Op::Neg(_) | Op::Endian(..) => next.set(dst, self.read(dst)?),
            Op::Movsx(..) | Op::AddrSpaceCast => next.set(dst, self.read(src)?),
            Op::LdImm64(_) => next.set(dst, None),
            Op::LdAbs(_) | Op::LdInd(_) | Op::Call(CallKind::Helper | CallKind::Kfunc) => {
                (0..6).for_each(|r| next.set(reg(r), None));
            }
            Op::Ldx(_) | Op::Ldsx(_) | Op::LoadAcquire(_) => {
                self.read(src)?;
                next.set(dst, self.read_slots(access)?);
            }
            Op::St(_) => {
                self.read(dst)?;
                next.write_slots(access, None);
            }
            Op::Stx(_) | Op::StoreRelease(_) => {
                self.read(dst)?;
                next.write_slots(access, self.read(src)?);
            }
            Op::Atomic(op, _) => {
                let old = self.read_slots(access)?;
                next.write_slots(access, old.max(self.read(src)?).max(self.get(reg(0))));
                // Linux 6.18.44 and 6.1.176 do not ask for the slot to be precise where they need the result to be
                // (`Profile::backtracks_fetches`).
                let fetched = old.map(|_| Why::KernelBug);
                if op == skep_isa::AtomicOp::Cmpxchg {
                    next.set(reg(0), fetched);
                } else if op.fetches_to_src() {
                    next.set(src, fetched);
                }
            }
            Op::Jmp(_, _, source) => {
                if let Some(why) = self.read(dst)?.max(operand(source)?) {
                    let compared = if source == Source::Reg { vec![dst, src] } else { vec![dst] };
                    next.loosen_linked(node, &compared, why);
                }
            }
            // The callee starts with the arguments.
            Op::Call(CallKind::Local) => {
                for r in 1..6 {
                    next.set(Location::Reg(frame + 1, r), self.get(reg(r)));
                    next.set(reg(r), None);
                }
                next.set(reg(0), None);
            }
            Op::Exit => {
                let result = self.read(reg(0))?;
                next.0.retain(|at, _| match *at {
                    Location::Reg(f, _) | Location::Slot(f, _) => f < frame,
                });
                if frame > 0 && !node.frames[frame].in_callback_fn {
                    next.set(Location::Reg(frame - 1, 0), result);
                }
            }
            Op::Ja | Op::Ja32 | Op::MayGoto => {}
        }
        Ok(next)
    }

    /// A comparison with a number that is outside teaches wrong things of what is compared, and of all that is linked
    /// to it.
    fn loosen_linked(&mut self, node: &Node, compared: &[Location], why: Why) {
        let ids: Vec<u32> = compared
            .iter()
            .filter_map(|&at| match at {
                Location::Reg(frame, r) => node.frames[frame].regs[usize::from(r)].link(),
                Location::Slot(..) => None,
            })
            .map(|link| link.id)
            .collect();
        for &at in compared {
            self.0.entry(at).or_insert(why);
        }
        for (f, frame) in node.frames.iter().enumerate() {
            let regs = frame.regs.iter().enumerate().map(|(r, reg)| (Location::Reg(f, r as u8), reg));
            let slots = frame.stack.iter().enumerate().filter(|(_, slot)| slot.is_spilled());
            let slots = slots.map(|(spi, slot)| (Location::Slot(f, spi), &slot.spilled));
            for (at, reg) in regs.chain(slots) {
                if reg.link().is_some_and(|link| ids.contains(&link.id)) {
                    self.0.entry(at).or_insert(why);
                }
            }
        }
    }
}
