// SPDX-License-Identifier: GPL-2.0-only
//! Paths still to explore, and how many there are below each kept state
//! (`push_stack`, `pop_stack`, `update_branch_counts @ 6.18`).

use crate::env::{Env, StackElem};
use crate::scc::StRef;
use crate::state::{BPF_MAIN_FUNC, FuncState, StateId, VerifierState};
use crate::stop::{Res, verbose, verifier_bug};

/// `BPF_COMPLEXITY_LIMIT_JMP_SEQ`: most paths that may wait.
const BPF_COMPLEXITY_LIMIT_JMP_SEQ: usize = 8192;

impl Env<'_> {
    /// `push_stack`: a path from the current state to be explored later. `None` where too many wait.
    pub(crate) fn push_stack(
        &mut self,
        insn_idx: u32,
        prev_insn_idx: u32,
        speculative: bool,
    ) -> Option<&mut VerifierState> {
        let mut st = self.copy_cur();
        st.speculative |= speculative;
        let parent = st.parent;
        let log_pos = self.log.end_pos();
        self.stack.push(StackElem { st, insn_idx, prev_insn_idx, log_pos });
        if self.stack.len() > BPF_COMPLEXITY_LIMIT_JMP_SEQ {
            verbose!(self, "The sequence of {} jumps is too complex.\n", self.stack.len());
            return None;
        }
        if let Some(parent) = parent {
            self.state_mut(parent).state.branches += 1;
        }
        self.stack.last_mut().map(|elem| &mut elem.st)
    }

    /// A copy of the current state, in the memory of one out of use.
    pub(crate) fn copy_cur(&mut self) -> VerifierState {
        let mut copy = self.spare_states.pop().unwrap_or_default();
        copy.clone_from(&self.cur);
        copy
    }

    /// `push_async_cb`: a function that is called later, with a stack of its own.
    pub(crate) fn push_async_cb(
        &mut self,
        insn_idx: u32,
        prev_insn_idx: u32,
        subprog: u32,
        is_sleepable: bool,
    ) -> Option<&mut VerifierState> {
        let frame = FuncState::new(BPF_MAIN_FUNC, 0, subprog, !self.bpf_capable);
        let st = VerifierState {
            branches: 1,
            in_sleepable: is_sleepable,
            frames: vec![frame],
            ..VerifierState::default()
        };
        let log_pos = self.log.end_pos();
        self.stack.push(StackElem { st, insn_idx, prev_insn_idx, log_pos });
        if self.stack.len() > BPF_COMPLEXITY_LIMIT_JMP_SEQ {
            verbose!(self, "The sequence of {} jumps is too complex for async cb.\n", self.stack.len());
            return None;
        }
        self.mark_verifier_state_scratched();
        self.stack.last_mut().map(|elem| &mut elem.st)
    }

    /// `pop_stack`: makes the path pushed last the current one. Gives its instruction and the one before it.
    pub(crate) fn pop_stack(&mut self, pop_log: bool) -> Option<(u32, u32)> {
        let elem = self.stack.pop()?;
        if pop_log {
            self.log.reset(elem.log_pos);
        }
        let ended = std::mem::replace(&mut self.cur, elem.st);
        self.spare_states.push(ended);
        Some((elem.insn_idx, elem.prev_insn_idx))
    }

    /// `update_branch_counts`: the current path is at its end.
    pub(crate) fn update_branch_counts(&mut self) -> Res {
        self.cur.branches = self.cur.branches.wrapping_sub(1);
        let mut branches = self.cur.branches;
        let mut at: Option<StateId> = None;
        loop {
            if (branches as i32) < 0 {
                let _ = verifier_bug!(
                    self,
                    "update_branch_counts:branches_to_explore={} ((int)br < 0)",
                    branches as i32
                );
            }
            if branches != 0 {
                return Ok(());
            }
            self.maybe_exit_scc(at.map_or(StRef::Cur, StRef::Kept))?;
            let parent = match at {
                None => self.cur.parent,
                Some(id) => {
                    let parent = self.state(id).state.parent;
                    self.maybe_free_verifier_state(id);
                    parent
                }
            };
            let Some(parent) = parent else { return Ok(()) };
            let state = &mut self.state_mut(parent).state;
            state.branches = state.branches.wrapping_sub(1);
            branches = state.branches;
            at = Some(parent);
        }
    }

    /// `maybe_free_verifier_state`: forgets a state that was taken out of use once nothing descends from it.
    pub(crate) fn maybe_free_verifier_state(&mut self, id: StateId) {
        let kept = self.state(id);
        if !kept.in_free_list || kept.state.branches != 0 || self.incomplete_read_marks(id) {
            return;
        }
        if let Some(kept) = self.states[id.0 as usize].take() {
            self.spare_states.push(kept.state);
        }
        self.free_ids.push(id);
        self.free_list_size -= 1;
    }

    /// `update_peak_states`.
    pub(crate) fn update_peak_states(&mut self) {
        let now = self.explored_states_size + self.free_list_size + self.num_backedges;
        self.peak_states = self.peak_states.max(now);
    }

    /// `free_states`: forgets all states at the end of a function verified on its own.
    pub(crate) fn free_states(&mut self) {
        self.cur = VerifierState::default();
        self.stack.clear();
        self.states.clear();
        self.free_ids.clear();
        self.explored.iter_mut().for_each(Vec::clear);
        self.scc_info.iter_mut().for_each(|info| *info = crate::scc::SccInfo::default());
    }
}
