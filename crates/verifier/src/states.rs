// SPDX-License-Identifier: GPL-2.0-only
//! States kept for pruning, and when one covers the current one (`is_state_visited`, `states_equal @ 6.18`).
//!
//! A kept state from which all paths were found safe covers any state that is at most as permissive. What is
//! compared, in which order, and which states are kept at all follows the kernel's heuristics to the letter, since
//! the statistics show them.

use crate::env::{Env, StateList};
use crate::log;
use crate::planted::{self, Planted};
use crate::reg::{BPF_ADD_CONST, Reg};
use crate::reg_type::{
    NOT_INIT, PTR_TO_ARENA, PTR_TO_BUF, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET,
    PTR_TO_PACKET_META, PTR_TO_STACK, PTR_TO_TP_BUFFER, SCALAR_VALUE,
};
use crate::scalar::Scalar;
use crate::state::{BPF_REG_FP, FuncState, RefType, Slot, StackSlot, StateId, VerifierState};
use crate::stop::{EINVAL, Res, verbose, verifier_bug};
use crate::subprog::is_may_goto;

/// `BPF_COMPLEXITY_LIMIT_STATES`: states kept at an instruction for unprivileged programs.
const BPF_COMPLEXITY_LIMIT_STATES: u32 = 64;
/// `BPF_ID_MAP_SIZE`.
const ID_MAP_SIZE: usize = (11 + 64) * 8;

/// `enum exact_level`: how far a kept state may be more permissive than the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exact {
    /// Numbers that were not wanted precise may differ.
    Not,
    /// Nothing may differ.
    Yes,
    /// Numbers must lie in the kept range.
    RangeWithin,
}

/// Which id of a kept state stands for which of the current one (`struct bpf_idmap`).
#[derive(Debug, Default)]
pub(crate) struct IdMap {
    tmp_id_gen: u32,
    pairs: Vec<(u32, u32)>,
}

impl IdMap {
    /// `reset_idmap_scratch`.
    fn reset(&mut self, id_gen: u32) {
        self.tmp_id_gen = id_gen;
        self.pairs.clear();
    }

    /// `check_ids`: the ids correspond, and did not correspond to others before.
    fn check(&mut self, old: u32, cur: u32) -> bool {
        if old == 0 || cur == 0 {
            return old == cur;
        }
        for &(o, c) in &self.pairs {
            if o == old {
                return c == cur;
            }
            if c == cur {
                return false;
            }
        }
        if self.pairs.len() == ID_MAP_SIZE {
            return false;
        }
        self.pairs.push((old, cur));
        true
    }

    /// `check_scalar_ids`: a kept number without id may be linked to any now; a current one without is unlike any
    /// other.
    fn check_scalar(&mut self, old: u32, mut cur: u32) -> bool {
        if old == 0 || planted::is(Planted::IdsIgnored) {
            return true;
        }
        if cur == 0 {
            self.tmp_id_gen += 1;
            cur = self.tmp_id_gen;
        }
        self.check(old, cur)
            && (old & BPF_ADD_CONST == 0 || self.check(old & !BPF_ADD_CONST, cur & !BPF_ADD_CONST))
    }
}

/// `range_within`: the current range lies in the kept one.
fn range_within(old: &Scalar, cur: &Scalar) -> bool {
    if planted::is(Planted::RangeUmax) {
        return old.umin <= cur.umin && old.smin <= cur.smin;
    }
    old.umin <= cur.umin
        && old.umax >= cur.umax
        && old.smin <= cur.smin
        && old.smax >= cur.smax
        && old.u32_min <= cur.u32_min
        && old.u32_max >= cur.u32_max
        && old.s32_min <= cur.s32_min
        && old.s32_max >= cur.s32_max
}

/// `regs_exact`.
fn regs_exact(old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
    old.same_head(cur)
        && old.val == cur.val
        && ids.check(old.id, cur.id)
        && ids.check(old.ref_obj_id, cur.ref_obj_id)
}

/// What a comparison depends on besides the states.
struct Comparison<'a> {
    explore_alu_limits: bool,
    allow_uninit_stack: bool,
    exact: Exact,
    ids: &'a mut IdMap,
}

impl Comparison<'_> {
    /// `regsafe`: what is safe with the kept register is safe with the current one.
    fn regsafe(&mut self, old: &Reg, cur: &Reg) -> bool {
        if self.exact == Exact::Yes {
            return regs_exact(old, cur, self.ids);
        }
        if old.ty == NOT_INIT && (self.exact == Exact::Not || cur.ty == NOT_INIT) {
            return true;
        }
        if old.ty != cur.ty {
            return false;
        }
        let within = || {
            let bits = planted::is(Planted::RangeUmax) || old.val.var_off.contains(cur.val.var_off);
            range_within(&old.val, &cur.val) && bits
        };
        match old.ty.base() {
            SCALAR_VALUE => {
                if self.explore_alu_limits {
                    return old.same_head(cur) && old.val == cur.val && self.ids.check_scalar(old.id, cur.id);
                }
                if !old.precise && self.exact == Exact::Not {
                    return true;
                }
                if old.id != 0 && old.id & BPF_ADD_CONST != cur.id & BPF_ADD_CONST
                    || (old.id & BPF_ADD_CONST != 0 && old.off != cur.off)
                {
                    return false;
                }
                self.ids.check_scalar(old.id, cur.id) && within()
            }
            PTR_TO_MAP_KEY | PTR_TO_MAP_VALUE | PTR_TO_MEM | PTR_TO_BUF | PTR_TO_TP_BUFFER => {
                old.same_head(cur)
                    && within()
                    && self.ids.check(old.id, cur.id)
                    && self.ids.check(old.ref_obj_id, cur.ref_obj_id)
            }
            PTR_TO_PACKET_META | PTR_TO_PACKET => {
                // A range below 0 says that the pointer is behind the packet, and decides branches.
                let known_behind = old.range() < 0 || cur.range() < 0;
                let range_safe =
                    if known_behind { old.range() == cur.range() } else { old.range() <= cur.range() };
                range_safe && old.off == cur.off && self.ids.check(old.id, cur.id) && within()
            }
            PTR_TO_STACK => regs_exact(old, cur, self.ids) && old.frameno == cur.frameno,
            PTR_TO_ARENA => true,
            _ => regs_exact(old, cur, self.ids),
        }
    }

    /// `scalar_reg_for_stack`: the number that a load of all eight bytes gives.
    fn scalar_in<'s>(&self, slot: &'s StackSlot) -> Option<&'s Reg> {
        if slot.is_spilled_scalar64() {
            return Some(&slot.spilled);
        }
        let misc =
            slot.bytes.iter().all(|&b| b == Slot::Misc || (b == Slot::Invalid && self.allow_uninit_stack));
        misc.then_some(&Reg::UNKNOWN)
    }

    /// `stacksafe`.
    fn stacksafe(&mut self, old: &FuncState, cur: &FuncState) -> bool {
        'slots: for (spi, old_slot) in old.stack.iter().enumerate() {
            let cur_slot = cur.stack.get(spi);
            for i in 0..old_slot.bytes.len() {
                let was = old_slot.bytes[i];
                let is = cur_slot.map(|slot| slot.bytes[i]);
                if self.exact != Exact::Not && is != Some(was) {
                    return false;
                }
                if was == Slot::Invalid || (self.allow_uninit_stack && was == Slot::Misc) {
                    continue;
                }
                let Some((cur_slot, is)) = cur_slot.zip(is) else { return false };
                if let Some((a, b)) = self.scalar_in(old_slot).zip(self.scalar_in(cur_slot)) {
                    if !self.regsafe(a, b) {
                        return false;
                    }
                    continue 'slots;
                }
                if was == Slot::Misc && is == Slot::Zero {
                    continue;
                }
                if was != is {
                    return false;
                }
                if i == 7 && !self.slotsafe(was, &old_slot.spilled, &cur_slot.spilled) {
                    return false;
                }
            }
        }
        true
    }

    /// What two slots of the same kind hold.
    fn slotsafe(&mut self, kind: Slot, old: &Reg, cur: &Reg) -> bool {
        match kind {
            Slot::Spill => self.regsafe(old, cur),
            Slot::Dynptr => old.dynptr() == cur.dynptr() && self.ids.check(old.ref_obj_id, cur.ref_obj_id),
            Slot::Iter | Slot::IrqFlag => {
                old.extra == cur.extra && self.ids.check(old.ref_obj_id, cur.ref_obj_id)
            }
            Slot::Misc | Slot::Zero | Slot::Invalid => true,
        }
    }

    /// `refsafe`: the same is held.
    fn refsafe(&mut self, old: &VerifierState, cur: &VerifierState) -> bool {
        if old.refs.len() != cur.refs.len()
            || old.active_locks != cur.active_locks
            || old.active_preempt_locks != cur.active_preempt_locks
            || old.active_rcu_lock != cur.active_rcu_lock
            || !self.ids.check(old.active_irq_id, cur.active_irq_id)
            || !self.ids.check(old.active_lock_id, cur.active_lock_id)
            || old.active_lock_ptr != cur.active_lock_ptr
        {
            return false;
        }
        old.refs.iter().zip(&cur.refs).all(|(o, c)| {
            self.ids.check(o.id, c.id)
                && o.ty == c.ty
                && (matches!(o.ty, RefType::Ptr | RefType::Irq) || o.ptr == c.ptr)
        })
    }
}

/// `states_maybe_looping`: the current frames agree in all that a loop would have to change.
fn maybe_looping(old: &VerifierState, cur: &VerifierState) -> bool {
    old.frames.len() == cur.frames.len()
        && old
            .cur()
            .regs
            .iter()
            .zip(&cur.cur().regs)
            .all(|(o, c)| o.same_head(c) && o.val == c.val && o.id == c.id && o.ref_obj_id == c.ref_obj_id)
}

/// What is to be done with a kept state.
enum Found {
    /// It covers the current one.
    Hit,
    /// It does not.
    Miss,
    /// The two are the same, so that the program does not end.
    InfiniteLoop,
}

impl Env<'_> {
    /// `explored_state`: where states of the current function call at an instruction are kept.
    fn explored_key(&self, insn_idx: u32) -> usize {
        let callsite = self.cur_func().callsite as u32;
        (insn_idx ^ callsite) as usize % self.explored.len()
    }

    /// `states_equal`: all that is safe from the kept state is safe from the current one.
    fn states_equal(&mut self, old: &VerifierState, cur: &VerifierState, exact: Exact) -> bool {
        if old.frames.len() != cur.frames.len() {
            return false;
        }
        self.idmap.reset(self.id_gen);
        if (old.speculative && !cur.speculative) || old.in_sleepable != cur.in_sleepable {
            return false;
        }
        let mut cmp = Comparison {
            explore_alu_limits: self.explore_alu_limits,
            allow_uninit_stack: self.allow_uninit_stack,
            exact,
            ids: &mut self.idmap,
        };
        if !cmp.refsafe(old, cur) {
            return false;
        }
        for (i, (old_frame, cur_frame)) in old.frames.iter().zip(&cur.frames).enumerate() {
            if old_frame.callsite != cur_frame.callsite || old_frame.callback_depth > cur_frame.callback_depth
            {
                return false;
            }
            let live = self.aux[old.frame_insn_idx(i as u32) as usize].live_regs_before;
            let regs = old_frame.regs.iter().zip(&cur_frame.regs).enumerate();
            if !regs.filter(|(r, _)| live & 1 << r != 0).all(|(_, (o, c))| cmp.regsafe(o, c)) {
                return false;
            }
            if !cmp.stacksafe(old_frame, cur_frame) {
                return false;
            }
        }
        true
    }

    /// `clean_verifier_state`: forgets registers and slots that are not read any more.
    fn clean_verifier_state(&mut self, st: &mut VerifierState) {
        self.live_stack_query_init(st);
        st.cleaned = true;
        let forgotten = Reg { precise: !self.bpf_capable, ..Reg::NOT_INIT };
        for i in 0..st.frames.len() {
            let ip = st.frame_insn_idx(i as u32);
            let live = self.aux[ip as usize].live_regs_before;
            let frame = &mut st.frames[i];
            for (r, reg) in frame.regs[..BPF_REG_FP as usize].iter_mut().enumerate() {
                if live & 1 << r == 0 {
                    *reg = Reg { subreg_def: reg.subreg_def, ..forgotten };
                }
            }
            for (spi, slot) in frame.stack.iter_mut().enumerate() {
                if !self.stack_slot_alive(frame.frameno, spi as u32) {
                    slot.spilled = Reg { subreg_def: slot.spilled.subreg_def, ..forgotten };
                    slot.bytes = [Slot::Invalid; 8];
                }
            }
        }
    }

    /// `clean_live_states`: all kept states at an instruction that all paths were explored from.
    fn clean_live_states(&mut self, insn: u32, ids: &[StateId]) {
        for &id in ids.iter().rev() {
            let st = &self.state(id).state;
            if st.branches != 0
                || st.insn_idx != insn
                || st.cleaned
                || !st.same_callsites(&self.cur)
                || self.incomplete_read_marks(id)
            {
                continue;
            }
            if let Some(mut kept) = self.states[id.0 as usize].take() {
                self.clean_verifier_state(&mut kept.state);
                self.states[id.0 as usize] = Some(kept);
            }
        }
    }

    /// `propagate_precision`: what was wanted precise in a kept state is wanted in one that it covers.
    pub(crate) fn propagate_precision(
        &mut self,
        old: StateId,
        cur: &mut VerifierState,
        changed: Option<&mut bool>,
    ) -> Res {
        let Some(kept) = self.states[old.0 as usize].take() else { return Ok(()) };
        let level2 = self.log.level & log::LEVEL2 != 0;
        for (fr, frame) in kept.state.frames.iter().enumerate().rev() {
            let mut first = true;
            let wanted = |reg: &Reg| reg.ty == SCALAR_VALUE && reg.precise;
            for (i, _) in frame.regs[..BPF_REG_FP as usize].iter().enumerate().filter(|(_, r)| wanted(r)) {
                if level2 && first {
                    verbose!(self, "frame {fr}: propagating r{i}");
                } else if level2 {
                    verbose!(self, ",r{i}");
                }
                self.bt.set_frame_reg(fr as u32, i as u32);
                first = false;
            }
            for (i, slot) in frame.stack.iter().enumerate() {
                if !slot.is_spilled() || !wanted(&slot.spilled) {
                    continue;
                }
                let off = -(i as i32 + 1) * 8;
                if level2 && first {
                    verbose!(self, "frame {fr}: propagating fp{off}");
                } else if level2 {
                    verbose!(self, ",fp{off}");
                }
                self.bt.set_frame_slot(fr as u32, i as u32);
                first = false;
            }
            if !first {
                verbose!(self, "\n");
            }
        }
        self.states[old.0 as usize] = Some(kept);
        self.mark_chain_precision_from(cur, None, changed)
    }

    /// `find_prev_entry`: the state of the same calls that an earlier round of the loop kept at an instruction, seen
    /// from a kept state.
    pub(crate) fn find_prev_entry(&self, parent: StateId, insn_idx: u32) -> Option<StateId> {
        self.find_prev(&self.state(parent).state, insn_idx)
    }

    /// The same, seen from the current state.
    pub(crate) fn find_prev_entry_of_cur(&self, insn_idx: u32) -> Option<StateId> {
        self.find_prev(&self.cur, insn_idx)
    }

    fn find_prev(&self, cur: &VerifierState, insn_idx: u32) -> Option<StateId> {
        self.explored[self.explored_key(insn_idx)].iter().rev().copied().find(|&id| {
            let st = &self.state(id).state;
            st.insn_idx == insn_idx
                && st.branches != 0
                && st.same_callsites(cur)
                && st.dfs_depth < cur.dfs_depth
        })
    }

    /// `widen_imprecise_scalars`: numbers that differ between two rounds of a loop, and were not wanted precise, are
    /// anything, so that the loop is explored in few rounds.
    pub(crate) fn widen_imprecise_scalars(&mut self, old: StateId, cur: &mut VerifierState) {
        self.idmap.reset(self.id_gen);
        let precise = !self.bpf_capable;
        let Some(kept) = self.states[old.0 as usize].take() else { return };
        let ids = &mut self.idmap;
        let mut widen = |old: &Reg, cur: &mut Reg| {
            let differ = old.ty == SCALAR_VALUE && cur.ty == SCALAR_VALUE && !old.precise && !cur.precise;
            if differ && !regs_exact(old, cur, ids) {
                cur.mark_unknown_imprecise();
                cur.precise = precise;
            }
        };
        for (old_frame, cur_frame) in kept.state.frames.iter().zip(&mut cur.frames).rev() {
            for (o, c) in old_frame.regs.iter().zip(&mut cur_frame.regs) {
                widen(o, c);
            }
            for (o, c) in old_frame.stack.iter().zip(&mut cur_frame.stack) {
                if o.is_spilled() && c.is_spilled() {
                    widen(&o.spilled, &mut c.spilled);
                }
            }
        }
        self.states[old.0 as usize] = Some(kept);
    }

    /// Compares with a state that the current one descends from, or whose paths wait: the program is in a loop.
    fn compare_looping(
        &mut self,
        old: &VerifierState,
        insn_idx: u32,
        cur: &VerifierState,
        looping: &mut bool,
    ) -> Found {
        let frame = old.cur();
        if frame.in_async_callback_fn && frame.async_entry_cnt != cur.cur().async_entry_cnt {
            return Found::Miss;
        }
        if self.insns.get(insn_idx as usize).is_some_and(is_may_goto)
            && old.may_goto_depth != cur.may_goto_depth
            && self.states_equal(old, cur, Exact::RangeWithin)
        {
            *looping = true;
            return Found::Hit;
        }
        if self.aux[insn_idx as usize].calls_callback {
            let equal = self.states_equal(old, cur, Exact::RangeWithin);
            return if equal { Found::Hit } else { Found::Miss };
        }
        if maybe_looping(old, cur)
            && self.states_equal(old, cur, Exact::Yes)
            && old.may_goto_depth == cur.may_goto_depth
            && old.callback_unroll_depth == cur.callback_unroll_depth
        {
            return Found::InfiniteLoop;
        }
        Found::Miss
    }

    /// `is_state_visited`: whether a kept state covers the current one; if not, the current one may be kept.
    pub(crate) fn is_state_visited(&mut self, insn_idx: u32) -> Res<bool> {
        let force_checkpoint = self.aux[insn_idx as usize].force_checkpoint;
        let force_new_state = self.test_state_freq || force_checkpoint || self.cur.jmp_history.len() > 40;
        let jmps = self.jmps_processed.wrapping_sub(self.prev_jmps_processed);
        let insns = self.insn_processed.wrapping_sub(self.prev_insn_processed);
        let mut add_new_state = force_new_state || (jmps >= 2 && insns >= 8);
        let key = self.explored_key(insn_idx);
        let mut ids = std::mem::take(&mut self.explored[key]);
        self.clean_live_states(insn_idx, &ids);
        let mut cur = std::mem::take(&mut self.cur);
        let mut states_cnt = 0;
        // As the kernel's variable, it keeps what an earlier state set.
        let mut looping = false;
        let mut result = Ok(false);
        for i in (0..ids.len()).rev() {
            let id = ids[i];
            states_cnt += 1;
            let st = &self.state(id).state;
            if st.insn_idx != insn_idx {
                continue;
            }
            let in_progress = st.branches != 0;
            if !in_progress {
                looping = self.incomplete_read_marks(id);
            }
            let found = self.compare(id, insn_idx, &cur, in_progress, &mut looping);
            if in_progress && matches!(found, Found::Miss) && !force_new_state && jmps < 20 && insns < 100 {
                // The rounds of a loop have states of their own, of which few are of use.
                add_new_state = false;
            }
            match found {
                Found::Hit => {
                    self.cur = cur;
                    let shown = self.observe(Some((id, in_progress || looping)));
                    result = shown.and_then(|()| self.hit(id, insn_idx, looping)).map(|()| true);
                    cur = std::mem::take(&mut self.cur);
                    break;
                }
                Found::InfiniteLoop => {
                    self.cur = cur;
                    self.log_infinite_loop(id, insn_idx);
                    cur = std::mem::take(&mut self.cur);
                    result = Err(EINVAL);
                    break;
                }
                Found::Miss => self.miss(&mut ids, i, force_checkpoint, add_new_state),
            }
        }
        self.cur = cur;
        self.explored[key] = ids;
        if !matches!(result, Ok(false)) {
            return result;
        }
        self.max_states_per_insn = self.max_states_per_insn.max(states_cnt);
        if (!self.bpf_capable && states_cnt > BPF_COMPLEXITY_LIMIT_STATES) || !add_new_state {
            return Ok(false);
        }
        self.keep_state(insn_idx, key);
        Ok(false)
    }

    /// Compares a kept state at this instruction with the current one.
    fn compare(
        &mut self,
        id: StateId,
        insn_idx: u32,
        cur: &VerifierState,
        in_progress: bool,
        looping: &mut bool,
    ) -> Found {
        let Some(kept) = self.states[id.0 as usize].take() else { return Found::Miss };
        let found = if in_progress {
            self.compare_looping(&kept.state, insn_idx, cur, looping)
        } else {
            let exact = if *looping { Exact::RangeWithin } else { Exact::Not };
            if self.states_equal(&kept.state, cur, exact) { Found::Hit } else { Found::Miss }
        };
        self.states[id.0 as usize] = Some(kept);
        found
    }

    fn log_infinite_loop(&mut self, id: StateId, insn_idx: u32) {
        self.verbose_linfo(insn_idx, format_args!("; "));
        verbose!(self, "infinite loop detected at insn {insn_idx}\n");
        if !self.profile().prints_endless_loops() {
            return;
        }
        verbose!(self, "cur state:");
        let curframe = self.cur.curframe();
        self.print_cur_state(curframe, true);
        verbose!(self, "old state:");
        if let Some(kept) = self.states[id.0 as usize].take() {
            self.print_verifier_state(&kept.state, curframe, true);
            self.states[id.0 as usize] = Some(kept);
        }
    }

    /// The current state is covered: what the kept one needed precise, its ancestors need.
    fn hit(&mut self, id: StateId, insn_idx: u32, looping: bool) -> Res {
        self.state_mut(id).hit_cnt += 1;
        if self.aux[self.insn_idx as usize].jmp_point {
            self.push_jmp_history(0, 0)?;
        }
        let mut cur = std::mem::take(&mut self.cur);
        let result = self.propagate_precision(id, &mut cur, None);
        self.cur = cur;
        result?;
        if looping {
            let mut backedge = self.copy_cur();
            backedge.equal_state = Some(id);
            backedge.insn_idx = insn_idx;
            self.add_scc_backedge(id, backedge)?;
        }
        Ok(())
    }

    /// A kept state that misses too often is kept no longer.
    fn miss(&mut self, ids: &mut Vec<StateId>, i: usize, force_checkpoint: bool, add_new_state: bool) {
        let id = ids[i];
        let kept = self.state_mut(id);
        if add_new_state {
            kept.miss_cnt += 1;
        }
        let n = if force_checkpoint && kept.state.branches > 0 { 64 } else { 3 };
        if kept.miss_cnt > kept.hit_cnt * n + n {
            kept.in_free_list = true;
            ids.remove(i);
            self.free_list_size += 1;
            self.explored_states_size -= 1;
            self.maybe_free_verifier_state(id);
        }
    }

    /// Keeps a copy of the current state, which descends from it from now on.
    fn keep_state(&mut self, insn_idx: u32, key: usize) {
        self.total_states += 1;
        self.explored_states_size += 1;
        self.update_peak_states();
        self.prev_jmps_processed = self.jmps_processed;
        self.prev_insn_processed = self.insn_processed;
        if self.bpf_capable {
            Env::mark_all_scalars_imprecise(&mut self.cur);
        }
        let history = std::mem::take(&mut self.cur.jmp_history);
        let mut new = self.copy_cur();
        new.jmp_history = history;
        new.insn_idx = insn_idx;
        new.visit = self.insn_processed;
        if new.branches != 1 {
            let _ = verifier_bug!(
                self,
                "is_state_visited:branches_to_explore={} insn {} (new->branches != 1)",
                new.branches,
                insn_idx
            );
        }
        let id = self.free_ids.pop().unwrap_or_else(|| {
            self.states.push(None);
            StateId(self.states.len() as u32 - 1)
        });
        self.maybe_enter_scc(&new, id);
        self.cur.parent = Some(id);
        self.cur.first_insn_idx = insn_idx;
        self.cur.dfs_depth = new.dfs_depth + 1;
        self.states[id.0 as usize] = Some(Box::new(StateList { state: new, ..StateList::default() }));
        self.explored[key].push(id);
    }
}
