// SPDX-License-Identifier: GPL-2.0-only
//! Loops of the control flow while they are explored (`struct bpf_scc_visit @ 6.18`): which state entered a loop,
//! and the states that were found equal to one of it before all of it was explored. Once it is, what those needed
//! is carried back.

use skep_uapi::limits::MAX_CALL_FRAMES;

use crate::env::Env;
use crate::log;
use crate::state::{StateId, VerifierState};
use crate::stop::{EFAULT, Res, verbose, verifier_bug};

/// `MAX_BACKEDGE_ITERS`.
const MAX_BACKEDGE_ITERS: u32 = 64;

/// The call sites that lead to a strongly connected component, and its number (`struct bpf_scc_callchain`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Callchain {
    callsites: [u32; MAX_CALL_FRAMES - 1],
    scc: u32,
}

/// `format_callchain`.
impl std::fmt::Display for Callchain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(")?;
        for site in self.callsites.iter().take_while(|&&site| site != 0) {
            write!(f, "{site},")?;
        }
        write!(f, "{})", self.scc)
    }
}

/// `struct bpf_scc_visit`.
#[derive(Debug, Default)]
struct Visit {
    callchain: Callchain,
    entry_state: Option<StateId>,
    /// The kernel's list has the newest first; here it is last.
    backedges: Vec<VerifierState>,
}

/// The visits of a component (`struct bpf_scc_info`).
#[derive(Debug, Default)]
pub(crate) struct SccInfo {
    visits: Vec<Visit>,
}

/// The current state or a kept one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StRef {
    Cur,
    Kept(StateId),
}

impl Env<'_> {
    fn st(&self, st: StRef) -> &VerifierState {
        match st {
            StRef::Cur => &self.cur,
            StRef::Kept(id) => &self.state(id).state,
        }
    }

    /// `compute_scc_callchain`: the outermost component that a state is in.
    fn scc_callchain(&self, st: &VerifierState) -> Option<Callchain> {
        let mut callchain = Callchain::default();
        for i in 0..st.frames.len() {
            let insn_idx = st.frame_insn_idx(i as u32);
            let scc = self.aux.get(insn_idx as usize).map_or(0, |aux| aux.scc);
            if scc != 0 {
                callchain.scc = scc;
                return Some(callchain);
            }
            *callchain.callsites.get_mut(i)? = insn_idx;
        }
        None
    }

    /// `scc_visit_lookup`.
    fn scc_visit(&self, callchain: &Callchain) -> Option<usize> {
        self.scc_info.get(callchain.scc as usize)?.visits.iter().position(|v| v.callchain == *callchain)
    }

    /// `maybe_enter_scc`, for a state that is about to be kept.
    pub(crate) fn maybe_enter_scc(&mut self, st: &VerifierState, id: StateId) {
        let Some(callchain) = self.scc_callchain(st) else { return };
        let at = self.scc_visit(&callchain);
        let Some(info) = self.scc_info.get_mut(callchain.scc as usize) else { return };
        let at = at.unwrap_or_else(|| {
            info.visits.push(Visit { callchain, ..Visit::default() });
            info.visits.len() - 1
        });
        if info.visits[at].entry_state.is_none() {
            info.visits[at].entry_state = Some(id);
            if self.log.level & log::LEVEL2 != 0 {
                verbose!(self, "SCC enter {callchain}\n");
            }
        }
    }

    /// `maybe_exit_scc`: all of a component was explored from the state that entered it.
    pub(crate) fn maybe_exit_scc(&mut self, st: StRef) -> Res {
        let Some(callchain) = self.scc_callchain(self.st(st)) else { return Ok(()) };
        let Some(at) = self.scc_visit(&callchain) else {
            if !self.st(st).speculative {
                return Err(verifier_bug!(self, "scc exit: no visit info for call chain {}", callchain));
            }
            return Ok(());
        };
        let scc = callchain.scc as usize;
        let visit = &mut self.scc_info[scc].visits[at];
        let StRef::Kept(id) = st else { return Ok(()) };
        if visit.entry_state != Some(id) {
            return Ok(());
        }
        visit.entry_state = None;
        let count = visit.backedges.len() as u32;
        if self.log.level & log::LEVEL2 != 0 {
            verbose!(self, "SCC exit {callchain}\n");
        }
        self.num_backedges -= count;
        self.update_peak_states();
        self.propagate_backedges(scc, at)
    }

    /// `add_scc_backedge`: `backedge` was found equal to the kept state `to`, whose marks are not complete yet.
    pub(crate) fn add_scc_backedge(&mut self, to: StateId, backedge: VerifierState) -> Res {
        let Some(callchain) = self.scc_callchain(&self.state(to).state) else {
            let at = self.state(to).state.insn_idx;
            return Err(verifier_bug!(self, "add backedge: no SCC in verification path, insn_idx {}", at));
        };
        let Some(at) = self.scc_visit(&callchain) else {
            return Err(verifier_bug!(self, "add backedge: no visit info for call chain {}", callchain));
        };
        if self.log.level & log::LEVEL2 != 0 {
            verbose!(self, "SCC backedge {callchain}\n");
        }
        self.scc_info[callchain.scc as usize].visits[at].backedges.push(backedge);
        self.num_backedges += 1;
        self.update_peak_states();
        Ok(())
    }

    /// `incomplete_read_marks`: paths through the state's component are still to be explored.
    pub(crate) fn incomplete_read_marks(&self, id: StateId) -> bool {
        let Some(callchain) = self.scc_callchain(&self.state(id).state) else { return false };
        self.scc_visit(&callchain)
            .is_some_and(|at| !self.scc_info[callchain.scc as usize].visits[at].backedges.is_empty())
    }

    /// `propagate_backedges`: what the equal states need, their descendants' ancestors need, until nothing is new.
    fn propagate_backedges(&mut self, scc: usize, at: usize) -> Res {
        let mut backedges = std::mem::take(&mut self.scc_info[scc].visits[at].backedges);
        let mut round = 0;
        loop {
            if round > MAX_BACKEDGE_ITERS {
                if self.log.level & log::LEVEL2 != 0 {
                    verbose!(self, "propagate_backedges: too many iterations\n");
                }
                for st in backedges.iter().rev() {
                    self.mark_all_scalars_precise(st.curframe(), st.parent);
                }
                return Ok(());
            }
            round += 1;
            let mut changed = false;
            for st in backedges.iter_mut().rev() {
                let Some(old) = st.equal_state else { return Err(EFAULT) };
                self.propagate_precision(old, st, Some(&mut changed))?;
            }
            if !changed {
                return Ok(());
            }
        }
    }
}
