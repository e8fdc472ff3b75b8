// SPDX-License-Identifier: GPL-2.0-only
//! Precision of scalars, propagated back along the path (`mark_chain_precision`, `backtrack_insn @ 6.18`).
//!
//! A number that decided something, as the offset of an access does, must be the same in any state that a kept
//! one is to cover. Which earlier numbers it came from is found by going back instruction by instruction, over
//! the history of jumps, through the kept states that the path descends from.

use skep_isa::{class, opcode};
use skep_uapi::limits::MAX_CALL_FRAMES;
use skep_uapi::{Errno, HelperId};

use crate::alu::op;
use crate::env::Env;
use crate::linked_regs::LinkedRegs;
use crate::log;
use crate::planted::{self, Planted};
use crate::print::{fmt_reg_mask, fmt_stack_mask};
use crate::reg_type::SCALAR_VALUE;
use crate::state::{BPF_MAIN_FUNC, BPF_REG_FP, JmpHistoryEntry, StateId, VerifierState};
use crate::stop::{EFAULT, ENOTSUPP, Res, Stop, verbose, verifier_bug};
use crate::subprog::{is_kfunc_call, is_pseudo_call};

/// `INSN_F_STACK_ACCESS`: the instruction accesses a stack slot, whose frame and index are in the lower bits.
pub(crate) const INSN_F_STACK_ACCESS: u16 = 1 << 9;
/// `INSN_F_DST_REG_STACK`: the destination register points to the stack.
pub(crate) const INSN_F_DST_REG_STACK: u16 = 1 << 10;
/// `INSN_F_SRC_REG_STACK`: the source register points to the stack.
pub(crate) const INSN_F_SRC_REG_STACK: u16 = 1 << 11;

/// `BPF_REGMASK_ARGS`: `r1` to `r5`.
const ARGS: u32 = 0b11_1110;
/// `BPF_FETCH` in the immediate of an atomic.
const BPF_FETCH: i32 = 1;
/// `BPF_CMPXCHG` in the immediate of an atomic.
const BPF_CMPXCHG: i32 = 0xf1;
/// `BPF_LOAD_ACQ` in the immediate of an atomic.
const BPF_LOAD_ACQ: i32 = 0x100;

/// `insn_stack_access_flags`.
pub(crate) fn insn_stack_access_flags(frameno: u32, spi: u32) -> u16 {
    INSN_F_STACK_ACCESS | (spi as u16) << 3 | frameno as u16
}

/// The frame and slot that an instruction accessed.
fn stack_access(hist: Option<JmpHistoryEntry>) -> Option<(u32, u32)> {
    let flags = hist?.flags;
    (flags & INSN_F_STACK_ACCESS != 0).then_some((u32::from(flags & 7), u32::from(flags >> 3 & 0x3f)))
}

/// Registers and slots whose precision is wanted (`struct backtrack_state`).
#[derive(Debug, Default)]
pub(crate) struct BacktrackState {
    frame: u32,
    reg_masks: [u32; MAX_CALL_FRAMES],
    stack_masks: [u64; MAX_CALL_FRAMES],
}

impl BacktrackState {
    /// `bt_empty`.
    pub(crate) fn is_empty(&self) -> bool {
        (0..=self.frame as usize).all(|i| self.reg_masks[i] == 0 && self.stack_masks[i] == 0)
    }

    pub(crate) fn set_frame_reg(&mut self, frame: u32, reg: u32) {
        self.reg_masks[frame as usize] |= 1 << reg;
    }

    fn clear_frame_reg(&mut self, frame: u32, reg: u32) {
        self.reg_masks[frame as usize] &= !(1 << reg);
    }

    pub(crate) fn set_frame_slot(&mut self, frame: u32, slot: u32) {
        self.stack_masks[frame as usize] |= 1 << slot;
    }

    fn clear_frame_slot(&mut self, frame: u32, slot: u32) {
        self.stack_masks[frame as usize] &= !(1 << slot);
    }

    pub(crate) fn is_frame_reg_set(&self, frame: u32, reg: u32) -> bool {
        self.reg_masks[frame as usize] & 1 << reg != 0
    }

    pub(crate) fn is_frame_slot_set(&self, frame: u32, slot: u32) -> bool {
        self.stack_masks[frame as usize] & 1 << slot != 0
    }

    fn set_reg(&mut self, reg: u32) {
        self.set_frame_reg(self.frame, reg);
    }

    fn clear_reg(&mut self, reg: u32) {
        self.clear_frame_reg(self.frame, reg);
    }

    fn is_reg_set(&self, reg: u32) -> bool {
        self.is_frame_reg_set(self.frame, reg)
    }

    fn reg_mask(&self) -> u32 {
        self.reg_masks[self.frame as usize]
    }

    fn stack_mask(&self) -> u64 {
        self.stack_masks[self.frame as usize]
    }

    /// `bt_sync_linked_regs`: where one of the registers that shared an unknown here is wanted, all are.
    fn sync_linked_regs(&mut self, hist: Option<JmpHistoryEntry>) {
        let Some(packed) = hist.map(|h| h.linked_regs).filter(|&l| l != 0) else { return };
        let linked = LinkedRegs::unpack(packed);
        let wanted = linked.as_slice().iter().any(|r| {
            if r.is_reg {
                self.is_frame_reg_set(r.frameno, r.regno_or_spi)
            } else {
                self.is_frame_slot_set(r.frameno, r.regno_or_spi)
            }
        });
        if !wanted {
            return;
        }
        for r in linked.as_slice() {
            if r.is_reg {
                self.set_frame_reg(r.frameno, r.regno_or_spi);
            } else {
                self.set_frame_slot(r.frameno, r.regno_or_spi);
            }
        }
    }
}

/// `get_prev_insn_idx`: the instruction executed before the one at `at`, or `None` at the start of the state.
fn prev_insn_idx(st: &VerifierState, at: i32, history: &mut usize) -> Option<i32> {
    let cnt = *history;
    if at == st.first_insn_idx as i32 && (cnt == 0 || (cnt == 1 && st.jmp_history[0].idx as i32 == at)) {
        return None;
    }
    if cnt > 0 && st.jmp_history[cnt - 1].idx as i32 == at {
        *history -= 1;
        return Some(st.jmp_history[cnt - 1].prev_idx as i32);
    }
    Some(at - 1)
}

impl Env<'_> {
    /// `push_jmp_history`: remembers that the current instruction was reached from the previous one, and what it
    /// accessed.
    pub(crate) fn push_jmp_history(&mut self, insn_flags: u16, linked_regs: u64) -> Res {
        if let Some(at) = self.cur_hist_ent {
            let at_insn = self.insn_idx;
            let entry = self.cur.jmp_history[at];
            // An atomic reads and writes the same slot.
            if entry.flags & insn_flags != 0 && entry.flags & insn_flags != insn_flags {
                let _ = verifier_bug!(
                    self,
                    "insn history: insn_idx {} cur flags {:x} new flags {:x}",
                    at_insn,
                    entry.flags,
                    insn_flags
                );
            }
            if entry.linked_regs != 0 {
                let _ = verifier_bug!(
                    self,
                    "insn history: insn_idx {} linked_regs: {:#x}",
                    at_insn,
                    entry.linked_regs
                );
            }
            let entry = &mut self.cur.jmp_history[at];
            entry.flags |= insn_flags;
            entry.linked_regs = linked_regs;
            return Ok(());
        }
        self.cur_hist_ent = Some(self.cur.jmp_history.len());
        self.cur.jmp_history.push(JmpHistoryEntry {
            idx: self.insn_idx,
            prev_idx: self.prev_insn_idx,
            flags: insn_flags,
            linked_regs,
        });
        Ok(())
    }

    fn level2(&self) -> bool {
        self.log.level & log::LEVEL2 != 0
    }

    /// `backtrack_insn`: from what is wanted after an instruction to what is wanted before it.
    fn backtrack_insn(&mut self, idx: i32, subseq_idx: i32, hist: Option<JmpHistoryEntry>) -> Res {
        let insn = self.insns[idx as usize];
        if insn.code == 0 {
            // The second half of a 64-bit immediate.
            return Ok(());
        }
        if self.level2() {
            let (regs, slots) = (fmt_reg_mask(self.bt.reg_mask()), fmt_stack_mask(self.bt.stack_mask()));
            verbose!(self, "mark_precise: frame{}: regs={regs} ", self.bt.frame);
            verbose!(self, "stack={slots} before ");
            verbose!(self, "{idx}: ");
            self.verbose_insn(idx as u32);
        }
        self.bt.sync_linked_regs(hist);
        let (dreg, sreg) = (u32::from(insn.dst), u32::from(insn.src));
        let from_reg = insn.code & opcode::X != 0;
        let is_atomic = insn.class() == class::STX && insn.code & 0xe0 == opcode::ATOMIC;
        let is_atomic_load = is_atomic && insn.imm == BPF_LOAD_ACQ;
        let is_fetch = is_atomic && insn.imm < BPF_LOAD_ACQ && insn.imm & BPF_FETCH != 0;
        match insn.class() {
            class::ALU | class::ALU64 => {
                if !self.bt.is_reg_set(dreg) {
                    return Ok(());
                }
                match insn.code & op::MASK {
                    op::END | op::NEG => return Ok(()),
                    op::MOV => {
                        self.bt.clear_reg(dreg);
                        if from_reg && sreg != BPF_REG_FP {
                            self.bt.set_reg(sreg);
                        }
                    }
                    _ if from_reg && sreg != BPF_REG_FP => self.bt.set_reg(sreg),
                    _ => {}
                }
            }
            class::LDX | class::STX
                if insn.class() == class::LDX
                    || is_atomic_load
                    || is_fetch && self.profile().backtracks_fetches() =>
            {
                let loaded = match insn.imm {
                    BPF_CMPXCHG if is_fetch => 0,
                    _ if is_fetch => sreg,
                    _ => dreg,
                };
                if !self.bt.is_reg_set(loaded) {
                    return Ok(());
                }
                self.bt.clear_reg(loaded);
                // Only the stack keeps the precision of what is stored in it.
                let Some((frame, spi)) = stack_access(hist) else { return Ok(()) };
                self.bt.set_frame_slot(frame, spi);
            }
            class::STX | class::ST => {
                if self.bt.is_reg_set(dreg) {
                    // A number used as an address: the difference of pointers.
                    return Err(ENOTSUPP);
                }
                let Some((frame, spi)) = stack_access(hist) else { return Ok(()) };
                if !self.bt.is_frame_slot_set(frame, spi) {
                    return Ok(());
                }
                self.bt.clear_frame_slot(frame, spi);
                if insn.class() == class::STX {
                    self.bt.set_reg(sreg);
                }
            }
            class::JMP | class::JMP32 => {
                if !self.backtrack_jmp(idx, subseq_idx, hist)? {
                    return Ok(());
                }
            }
            _ => {
                if !self.bt.is_reg_set(dreg) {
                    return Ok(());
                }
                self.bt.clear_reg(dreg);
                if matches!(insn.code & 0xe0, opcode::IND | opcode::ABS) {
                    return Err(ENOTSUPP);
                }
            }
        }
        self.bt.sync_linked_regs(hist);
        Ok(())
    }

    /// Jumps, calls and exits of [`Env::backtrack_insn`]; `false` where nothing is left to do.
    fn backtrack_jmp(&mut self, idx: i32, subseq_idx: i32, hist: Option<JmpHistoryEntry>) -> Res<bool> {
        let insn = self.insns[idx as usize];
        let (dreg, sreg) = (u32::from(insn.dst), u32::from(insn.src));
        let opcode = insn.code & op::MASK;
        if is_pseudo_call(&insn) {
            return self.backtrack_call(idx, subseq_idx).map(|()| false);
        }
        if crate::callback::is_sync_callback_calling_insn(&insn) && idx != subseq_idx - 1 {
            // Out of the callback: its arguments are not those of the helper.
            let regs = self.bt.reg_mask();
            if regs & !ARGS != 0 {
                return Err(verifier_bug!(self, "callback unexpected regs {:x}", regs));
            }
            let slots = self.bt.stack_mask();
            if slots != 0 {
                return Err(verifier_bug!(self, "callback leftover stack slots {:x}", slots));
            }
            (1..=5).for_each(|reg| self.bt.clear_reg(reg));
            self.bt_subprog_exit()?;
            return Ok(false);
        }
        if opcode == opcode::CALL & op::MASK {
            if is_kfunc_call(&insn) && insn.imm == 0 {
                return Err(ENOTSUPP);
            }
            self.bt.clear_reg(0);
            let regs = self.bt.reg_mask();
            if regs & ARGS != 0 {
                return Err(verifier_bug!(self, "backtracking call unexpected regs {:x}", regs));
            }
            let is_tail_call = insn.src == 0 && insn.imm as u32 == HelperId::TAIL_CALL.0;
            if is_tail_call && subseq_idx - idx != 1 {
                self.bt_subprog_enter()?;
            }
            return Ok(true);
        }
        if opcode == opcode::EXIT & op::MASK {
            return self.backtrack_exit(subseq_idx).map(|()| false);
        }
        if insn.code & opcode::X != 0 && !planted::is(Planted::JumpPrecision) {
            if !self.bt.is_reg_set(dreg) && !self.bt.is_reg_set(sreg) {
                return Ok(false);
            }
            let flags = hist.map_or(0, |h| h.flags);
            if flags & INSN_F_SRC_REG_STACK == 0 {
                self.bt.set_reg(sreg);
            }
            if flags & INSN_F_DST_REG_STACK == 0 {
                self.bt.set_reg(dreg);
            }
        }
        Ok(true)
    }

    /// A call of a function: out of it backwards, or over it where it is verified on its own.
    fn backtrack_call(&mut self, idx: i32, subseq_idx: i32) -> Res {
        let insn = self.insns[idx as usize];
        let target = idx.wrapping_add(insn.imm).wrapping_add(1);
        let Some(subprog) = self.find_subprog(target as u32) else { return Err(EFAULT) };
        let regs = self.bt.reg_mask();
        if self.subprog_is_global(subprog) {
            if idx + 1 != subseq_idx {
                let _ = verifier_bug!(self, "extra insn from subprog (idx + 1 != subseq_idx)");
            }
            if regs & ARGS != 0 {
                return Err(verifier_bug!(self, "global subprog unexpected regs {:x}", regs));
            }
            self.bt.clear_reg(0);
            return Ok(());
        }
        if regs & !ARGS != 0 {
            return Err(verifier_bug!(self, "static subprog unexpected regs {:x}", regs));
        }
        let slots = self.bt.stack_mask();
        if slots != 0 {
            return Err(verifier_bug!(self, "static subprog leftover stack slots {:x}", slots));
        }
        let frame = self.bt.frame;
        for reg in 1..=5 {
            if self.bt.is_reg_set(reg) {
                self.bt.clear_reg(reg);
                if frame > 0 {
                    self.bt.set_frame_reg(frame - 1, reg);
                }
            }
        }
        self.bt_subprog_exit()
    }

    /// An exit: into the function backwards, with `r0` if its value is wanted and goes to a call.
    fn backtrack_exit(&mut self, subseq_idx: i32) -> Res {
        let calls_back =
            usize::try_from(subseq_idx).is_ok_and(|i| self.aux.get(i).is_some_and(|a| a.calls_callback));
        if calls_back {
            (1..=5).for_each(|reg| self.bt.clear_reg(reg));
        }
        let regs = self.bt.reg_mask();
        if regs & ARGS != 0 {
            return Err(verifier_bug!(self, "backtracking exit unexpected regs {:x}", regs));
        }
        let before = usize::try_from(subseq_idx - 1).ok().and_then(|i| self.insns.get(i));
        let r0_precise = before.is_some_and(is_pseudo_call) && self.bt.is_reg_set(0);
        self.bt.clear_reg(0);
        self.bt_subprog_enter()?;
        if r0_precise {
            self.bt.set_reg(0);
        }
        Ok(())
    }

    fn bt_subprog_enter(&mut self) -> Res {
        if self.bt.frame as usize == MAX_CALL_FRAMES - 1 {
            return Err(verifier_bug!(self, "subprog enter from frame {}", self.bt.frame));
        }
        self.bt.frame += 1;
        Ok(())
    }

    fn bt_subprog_exit(&mut self) -> Res {
        if self.bt.frame == 0 {
            return Err(verifier_bug!(self, "subprog exit from frame 0"));
        }
        self.bt.frame -= 1;
        Ok(())
    }

    /// `mark_all_scalars_precise`: all numbers of the states that a path descends from, where going back instruction
    /// by instruction is of no use.
    pub(crate) fn mark_all_scalars_precise(&mut self, curframe: u32, parent: Option<StateId>) {
        let level2 = self.level2();
        if level2 {
            verbose!(self, "mark_precise: frame{curframe}: falling back to forcing all scalars precise\n");
        }
        let mut next = parent;
        while let Some(id) = next {
            let Some(mut kept) = self.states[id.0 as usize].take() else { return };
            for (i, frame) in kept.state.frames.iter_mut().enumerate() {
                for (j, reg) in frame.regs[..BPF_REG_FP as usize].iter_mut().enumerate() {
                    if reg.ty == SCALAR_VALUE && !reg.precise {
                        reg.precise = true;
                        if level2 {
                            verbose!(self, "force_precise: frame{i}: forcing r{j} to be precise\n");
                        }
                    }
                }
                for (j, slot) in frame.stack.iter_mut().enumerate() {
                    if slot.is_spilled_scalar() && !slot.spilled.precise {
                        slot.spilled.precise = true;
                        if level2 {
                            let off = -(j as i32 + 1) * 8;
                            verbose!(self, "force_precise: frame{i}: forcing fp{off} to be precise\n");
                        }
                    }
                }
            }
            next = kept.state.parent;
            self.states[id.0 as usize] = Some(kept);
        }
    }

    /// `mark_chain_precision`: the number in a register of the current frame matters.
    pub(crate) fn mark_chain_precision(&mut self, regno: u32) -> Res {
        if !self.bpf_capable {
            return Ok(());
        }
        let mut cur = std::mem::take(&mut self.cur);
        let result = self.mark_chain_precision_from(&mut cur, Some(regno), None);
        self.cur = cur;
        result
    }

    /// `__mark_chain_precision`, from a state that is not among the kept ones. Without a register, what is set in
    /// [`Env::bt`] is wanted.
    pub(crate) fn mark_chain_precision_from(
        &mut self,
        start: &mut VerifierState,
        regno: Option<u32>,
        changed: Option<&mut bool>,
    ) -> Res {
        if !self.bpf_capable {
            return Ok(());
        }
        let mut ignored = false;
        let changed = changed.unwrap_or(&mut ignored);
        self.bt.frame = start.curframe();
        if let Some(regno) = regno {
            if start.cur().regs[regno as usize].ty != SCALAR_VALUE {
                return Err(verifier_bug!(self, "backtracking misuse"));
            }
            self.bt.set_reg(regno);
        }
        if self.bt.is_empty() {
            return Ok(());
        }
        let (mut first_idx, mut last_idx, mut subseq_idx) =
            (start.first_insn_idx as i32, start.insn_idx as i32, -1);
        let (curframe, parent) = (start.curframe(), start.parent);
        let mut skip_first = true;
        // The state looked at: the start, then kept ones, which are out of their place meanwhile.
        let mut at: Option<StateId> = None;
        loop {
            if self.level2() {
                verbose!(
                    self,
                    "mark_precise: frame{}: last_idx {last_idx} first_idx {first_idx} subseq_idx {subseq_idx} \n",
                    self.bt.frame
                );
            }
            let mut taken = at.and_then(|id| self.states[id.0 as usize].take());
            let st = taken.as_deref_mut().map_or(&mut *start, |kept| &mut kept.state);
            let went = self.backtrack_state(st, last_idx, &mut subseq_idx, &mut skip_first, changed);
            let next = st.parent;
            if let (Some(id), Some(kept)) = (at, taken) {
                self.states[id.0 as usize] = Some(kept);
            }
            match went {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Stop::Errno(Errno::ENOTSUPP)) => {
                    self.mark_all_scalars_precise(curframe, parent);
                    self.bt = BacktrackState::default();
                    return Ok(());
                }
                Err(stop) => return Err(stop),
            }
            let Some(id) = next else { break };
            let Some(mut kept) = self.states[id.0 as usize].take() else { break };
            let marked = self.mark_state_precise(&mut kept.state, changed);
            let range = (kept.state.last_insn_idx as i32, kept.state.first_insn_idx as i32);
            self.states[id.0 as usize] = Some(kept);
            marked?;
            if self.bt.is_empty() {
                return Ok(());
            }
            at = Some(id);
            subseq_idx = first_idx;
            (last_idx, first_idx) = range;
        }
        if !self.bt.is_empty() {
            self.mark_all_scalars_precise(curframe, parent);
            self.bt = BacktrackState::default();
        }
        Ok(())
    }

    /// Goes back over the instructions of one state. `false` where nothing is wanted any more.
    fn backtrack_state(
        &mut self,
        st: &mut VerifierState,
        last_idx: i32,
        subseq_idx: &mut i32,
        skip_first: &mut bool,
        changed: &mut bool,
    ) -> Res<bool> {
        if last_idx < 0 {
            return self.backtrack_entry(st, changed).map(|()| false);
        }
        let mut history = st.jmp_history.len();
        let mut i = last_idx;
        loop {
            if *skip_first {
                *skip_first = false;
            } else {
                let hist = history.checked_sub(1).map(|h| st.jmp_history[h]).filter(|h| h.idx as i32 == i);
                self.backtrack_insn(i, *subseq_idx, hist)?;
            }
            if self.bt.is_empty() {
                return Ok(false);
            }
            *subseq_idx = i;
            let Some(prev) = prev_insn_idx(st, i, &mut history) else { return Ok(true) };
            i = prev;
            if i < 0 || i as usize >= self.insns.len() {
                return Err(verifier_bug!(self, "backtracking idx {}", i));
            }
        }
    }

    /// The entry of a global function: its arguments may be wanted, and nothing else.
    fn backtrack_entry(&mut self, st: &mut VerifierState, changed: &mut bool) -> Res {
        let (regs, slots) = (self.bt.reg_mask(), self.bt.stack_mask());
        let frame = &mut st.frames[0];
        let subprogno = frame.subprogno;
        let is_entry = frame.callsite == BPF_MAIN_FUNC && subprogno > 0;
        if st.frames.len() == 1 && is_entry && slots == 0 && regs & !ARGS == 0 {
            for regno in (0..32).filter(|r| regs & 1 << r != 0) {
                self.bt.clear_reg(regno);
                let reg = &mut st.frames[0].regs[regno as usize];
                if reg.ty == SCALAR_VALUE {
                    reg.precise = true;
                    *changed = true;
                }
            }
            return Ok(());
        }
        Err(verifier_bug!(
            self,
            "backtracking func entry subprog {} reg_mask {:x} stack_mask {:x}",
            subprogno,
            regs,
            slots
        ))
    }

    /// Marks what is wanted in a kept state, and wants no more what was marked before.
    fn mark_state_precise(&mut self, st: &mut VerifierState, changed: &mut bool) -> Res {
        for fr in (0..=self.bt.frame).rev() {
            let Some(func) = st.frames.get_mut(fr as usize) else { continue };
            let mut regs = self.bt.reg_masks[fr as usize];
            while regs != 0 {
                let i = regs.trailing_zeros();
                regs &= regs - 1;
                let reg = &mut func.regs[i as usize];
                if reg.ty != SCALAR_VALUE || reg.precise {
                    self.bt.clear_frame_reg(fr, i);
                } else {
                    reg.precise = true;
                    *changed = true;
                }
            }
            let mut slots = self.bt.stack_masks[fr as usize];
            while slots != 0 {
                let i = slots.trailing_zeros();
                slots &= slots - 1;
                let total = func.stack.len();
                let Some(slot) = func.stack.get_mut(i as usize) else {
                    return Err(verifier_bug!(self, "stack slot {}, total slots {}", i, total));
                };
                if !slot.is_spilled_scalar() || slot.spilled.precise {
                    self.bt.clear_frame_slot(fr, i);
                } else {
                    slot.spilled.precise = true;
                    *changed = true;
                }
            }
            if self.level2() {
                let regs = fmt_reg_mask(self.bt.reg_masks[fr as usize]);
                let slots = fmt_stack_mask(self.bt.stack_masks[fr as usize]);
                verbose!(self, "mark_precise: frame{fr}: parent state regs={regs} ");
                verbose!(self, "stack={slots}: ");
                self.print_verifier_state(st, fr, true);
            }
        }
        Ok(())
    }

    /// `mark_all_scalars_imprecise`: a state that is to be kept wants no precision yet.
    pub(crate) fn mark_all_scalars_imprecise(st: &mut VerifierState) {
        for frame in &mut st.frames {
            for reg in &mut frame.regs[..BPF_REG_FP as usize] {
                if reg.ty == SCALAR_VALUE {
                    reg.precise = false;
                }
            }
            for slot in &mut frame.stack {
                if slot.is_spilled_scalar() {
                    slot.spilled.precise = false;
                }
            }
        }
    }
}
