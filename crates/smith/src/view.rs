// SPDX-License-Identifier: GPL-2.0-only
//! What the verifier knows in front of an instruction, joined over all visits of it: what holds on every path. A
//! statement that is put there may rely on it.

use std::ops::ControlFlow;

use skep_verifier::reg_type::{NOT_INIT, SCALAR_VALUE};
use skep_verifier::{Observer, Reg, Scalar, Slot, StackSlot, Visit};

/// Registers of a frame, the frame pointer included.
const REGS: usize = 11;

/// The current frame in front of an instruction.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The instruction.
    pub insn: usize,
    /// Registers; of type `NOT_INIT` where paths do not agree.
    pub regs: [Reg; REGS],
    /// Slots from the frame pointer down; bytes are `Invalid` where paths do not agree.
    pub stack: Vec<StackSlot>,
    /// Registers that are read here or later, a bit each.
    pub live: u16,
    /// A lock is held on some path.
    pub locked: bool,
    /// Something must be released on some path.
    pub holds: bool,
    /// Frames, most of all paths.
    pub depth: usize,
    /// By `MapRef::index`, which map of the program it is.
    pub maps: Vec<Option<usize>>,
}

impl View {
    fn new(visit: &Visit<'_>) -> Option<View> {
        let frame = visit.state.frames.last()?;
        Some(View {
            insn: visit.insn_idx as usize,
            regs: frame.regs,
            stack: frame.stack.clone(),
            live: visit.live_regs,
            locked: visit.state.active_locks > 0,
            holds: !visit.state.refs.is_empty(),
            depth: visit.state.frames.len(),
            maps: visit.maps(),
        })
    }

    fn join(&mut self, visit: &Visit<'_>) {
        let Some(frame) = visit.state.frames.last() else { return };
        for (known, other) in self.regs.iter_mut().zip(&frame.regs) {
            join_reg(known, other);
        }
        self.stack.truncate(frame.stack.len());
        for (known, other) in self.stack.iter_mut().zip(&frame.stack) {
            join_slot(known, other);
        }
        self.locked |= visit.state.active_locks > 0;
        self.holds |= !visit.state.refs.is_empty();
        self.depth = self.depth.max(visit.state.frames.len());
    }

    /// The map of the program that a register refers to.
    pub fn map(&self, reg: &Reg) -> Option<usize> {
        self.maps.get(reg.map()?.index()).copied().flatten()
    }
}

fn join_reg(known: &mut Reg, other: &Reg) {
    let alike = known.ty == other.ty
        && known.off == other.off
        && known.map() == other.map()
        && known.mem_size() == other.mem_size()
        && known.ref_obj_id == other.ref_obj_id
        && known.frameno == other.frameno;
    if alike {
        known.val = join(&known.val, &other.val);
    } else if known.ty == SCALAR_VALUE && other.ty == SCALAR_VALUE {
        known.val = join(&known.val, &other.val);
        known.id = 0;
        known.off = 0;
    } else {
        known.ty = NOT_INIT;
    }
    if known.id != other.id {
        known.id = 0;
    }
}

fn join_slot(known: &mut StackSlot, other: &StackSlot) {
    let both_spilled = known.is_spilled() && other.is_spilled();
    if both_spilled && known.spilled.ty == other.spilled.ty {
        join_reg(&mut known.spilled, &other.spilled);
    }
    if both_spilled && known.spilled.ty == NOT_INIT {
        known.bytes = [Slot::Invalid; 8];
    }
    for (byte, &theirs) in known.bytes.iter_mut().zip(&other.bytes) {
        let number = |slot: Slot| matches!(slot, Slot::Misc | Slot::Zero);
        if *byte != theirs {
            *byte = if number(*byte) && number(theirs) { Slot::Misc } else { Slot::Invalid };
        }
    }
}

fn join(a: &Scalar, b: &Scalar) -> Scalar {
    Scalar {
        var_off: a.var_off.union(b.var_off),
        smin: a.smin.min(b.smin),
        smax: a.smax.max(b.smax),
        umin: a.umin.min(b.umin),
        umax: a.umax.max(b.umax),
        s32_min: a.s32_min.min(b.s32_min),
        s32_max: a.s32_max.max(b.s32_max),
        u32_min: a.u32_min.min(b.u32_min),
        u32_max: a.u32_max.max(b.u32_max),
    }
}

/// Looks at some instructions while a program is verified.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    points: Vec<usize>,
    views: Vec<View>,
    limit: u32,
    too_long: bool,
}

impl Watch {
    /// Looks at these instructions, and leaves after so many visits of any.
    pub fn new(points: Vec<usize>, limit: u32) -> Watch {
        Watch { points, views: Vec::new(), limit, too_long: false }
    }

    /// There were too many visits.
    pub fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// What was seen, of the instructions that were reached.
    pub fn into_views(self) -> Vec<View> {
        self.views
    }
}

impl Observer for Watch {
    fn visit(&mut self, visit: &Visit<'_>) -> ControlFlow<()> {
        if visit.number > self.limit {
            self.too_long = true;
            return ControlFlow::Break(());
        }
        let at = visit.insn_idx as usize;
        if visit.state.speculative || !self.points.contains(&at) {
            return ControlFlow::Continue(());
        }
        match self.views.iter_mut().find(|view| view.insn == at) {
            Some(view) => view.join(visit),
            None => self.views.extend(View::new(visit)),
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use skep_verifier::Tnum;

    use super::*;

    #[test]
    fn a_join_holds_what_both_hold() {
        let (a, b) = (Scalar::constant(4), Scalar::constant(6));
        let both = join(&a, &b);
        assert_eq!((both.umin, both.umax, both.var_off.contains(Tnum::constant(5))), (4, 6, false));
    }
}
