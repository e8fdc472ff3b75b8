// SPDX-License-Identifier: GPL-2.0-only
//! The walk as data: each visit of an instruction with its state, which visit it follows, and which kept state covers
//! it where its path ends for that reason. So the explored tree can be followed, for instance by a concrete run.
//!
//! It costs a comparison an instruction when nobody looks.

use std::ops::ControlFlow;

use crate::env::Env;
use crate::map::Map;
use crate::state::{StateId, VerifierState};
use crate::stop::Res;

/// A path arrives at an instruction.
#[derive(Debug)]
pub struct Visit<'a> {
    /// Number of the visit, from 1, as the statistics count instructions (`insn_processed`).
    pub number: u32,
    /// The visit whose instruction led here; 0 at the start of the program, of a global function that is verified on
    /// its own, and of a callback that runs later.
    pub after: u32,
    /// The instruction.
    pub insn_idx: u32,
    /// The state before it.
    pub state: &'a VerifierState,
    /// Registers of the current frame that may be read here or later, a bit each.
    pub live_regs: u16,
    /// Why the path ends here; without it the instruction is checked.
    pub covered: Option<Cover<'a>>,
    maps: &'a [Map<'a>],
}

/// All paths from here were, or are being, explored from a kept state. Of a kept state that is not `exact`, only
/// registers that are live hold for the covered one, and numbers only where they are precise.
#[derive(Debug)]
pub struct Cover<'a> {
    /// The visit that it was kept at.
    pub number: u32,
    /// The kept state as it is now: what is not read any more may be gone, what must be precise is marked.
    pub kept: &'a VerifierState,
    /// Numbers that are not precise were compared too: the kept state is part of a loop that is being explored.
    pub exact: bool,
    /// By frame, which registers may still be read, a bit each.
    pub live_regs: Vec<u16>,
}

impl Visit<'_> {
    /// By [`MapRef::index`](crate::MapRef::index), which of the program's maps it is; `None` for the template of inner
    /// maps. The same at each visit.
    #[must_use]
    pub fn maps(&self) -> Vec<Option<usize>> {
        self.maps.iter().map(|map| (!map.is_inner).then_some(map.index)).collect()
    }
}

/// Sees each visit, in the order in which the verifier walks.
pub trait Observer {
    /// A path arrives at an instruction. `Break` leaves the verification, which is then without an answer
    /// ([`Outcome::Unsupported`](crate::Outcome::Unsupported)).
    fn visit(&mut self, visit: &Visit<'_>) -> ControlFlow<()>;
}

impl Env<'_> {
    /// Shows the current visit, with the kept state that covers it and whether that was compared exactly.
    pub(crate) fn observe(&mut self, covered: Option<(StateId, bool)>) -> Res {
        let after = std::mem::replace(&mut self.cur.visit, self.insn_processed);
        let Some(observer) = self.observer.as_deref_mut() else { return Ok(()) };
        let covered = covered.and_then(|(id, exact)| {
            let kept = &self.states[id.0 as usize].as_deref()?.state;
            let live = |frame| self.aux[kept.frame_insn_idx(frame) as usize].live_regs_before;
            let live_regs = (0..kept.frames.len() as u32).map(live).collect();
            Some(Cover { number: kept.visit, kept, exact, live_regs })
        });
        let goes_on = observer.visit(&Visit {
            number: self.insn_processed,
            after,
            insn_idx: self.insn_idx,
            state: &self.cur,
            live_regs: self.aux[self.insn_idx as usize].live_regs_before,
            covered,
            maps: &self.maps,
        });
        if goes_on.is_break() { self.unsupported("going on after the observer left") } else { Ok(()) }
    }
}
