// SPDX-License-Identifier: GPL-2.0-only
//! The tree that the verifier explored: its visits, which follows which, and where a kept state takes over.

use std::collections::HashMap;
use std::ops::ControlFlow;

use skep_program::Program;
use skep_uapi::Errno;
use skep_verifier::reg_type::{NOT_INIT, SCALAR_VALUE};
use skep_verifier::{Cover, FuncState, Observer, Options, Outcome, Reg, Slot, Verdict, Visit, verify_with};

/// Visits kept of one verification: programs that take more are left alone, since each is a copy of a state.
const MAX_VISITS: usize = 30_000;

/// Why there is nothing to follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExplored {
    /// The verifier rejects the program.
    #[error("rejected: {0}")]
    Rejected(Errno),
    /// The verifier does not do what the program needs.
    #[error("unsupported by the verifier: {0}")]
    Unsupported(String),
    /// The walk is too long to be kept.
    #[error("more than {MAX_VISITS} instructions walked")]
    TooLong,
}

/// A visit, by its number.
pub(crate) type VisitId = u32;

/// What may differ between a state and the kept state that covers it, and between the kept one and runs that
/// continue from there: one bit for each register and each slot of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tolerance {
    /// Never read again.
    pub dead_regs: u16,
    /// Numbers that nobody needs precise.
    pub imprecise_regs: u16,
    /// As `dead_regs`, of the 64 slots of stack.
    pub dead_slots: u64,
    /// As `imprecise_regs`, of spilled numbers.
    pub imprecise_slots: u64,
}

/// The kept state that a path ends at.
#[derive(Debug)]
pub(crate) struct Covering {
    /// The visit that it was kept at.
    pub kept: VisitId,
    /// Numbers that are not precise were compared too.
    pub exact: bool,
    /// By frame.
    pub tolerance: Vec<Tolerance>,
}

/// A path arrives at an instruction.
#[derive(Debug)]
pub(crate) struct Node {
    pub insn_idx: u32,
    pub frames: Vec<FuncState>,
    /// Visits that its instruction led to.
    pub next: Vec<VisitId>,
    /// Where the path ends.
    pub covered: Option<Covering>,
}

/// All visits of a verification that accepted the program; speculative ones left out.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    nodes: HashMap<VisitId, Node>,
    /// Starts by instruction: of the program, and of each global function that was verified on its own.
    roots: HashMap<u32, Vec<VisitId>>,
    /// By `MapRef::index`, which map of the program it is.
    maps: Vec<Option<usize>>,
    too_long: bool,
}

impl Explored {
    /// Verifies a program and keeps what was explored.
    ///
    /// # Errors
    /// [`NotExplored`].
    pub fn new(program: &Program, options: &Options) -> Result<Explored, NotExplored> {
        let mut explored = Explored::default();
        match verify_with(program, options, &mut explored) {
            _ if explored.too_long => return Err(NotExplored::TooLong),
            Outcome::Unsupported(what) => return Err(NotExplored::Unsupported(what)),
            Outcome::Answer { verdict: Verdict::Reject(errno), .. } => {
                return Err(NotExplored::Rejected(errno));
            }
            Outcome::Answer { verdict: Verdict::Accept, .. } => {}
        }
        Ok(explored)
    }

    /// A visit.
    pub fn node(&self, id: VisitId) -> &Node {
        &self.nodes[&id]
    }

    /// Visits that start at an instruction.
    pub fn roots(&self, insn_idx: u32) -> &[VisitId] {
        self.roots.get(&insn_idx).map_or(&[], Vec::as_slice)
    }

    /// Number of visits.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Which map of the program a register refers to; `None` where it is the inner map of another.
    pub fn map(&self, reg: &Reg) -> Option<usize> {
        self.maps.get(reg.map()?.index()).copied().flatten()
    }
}

impl Observer for Explored {
    fn visit(&mut self, visit: &Visit<'_>) -> ControlFlow<()> {
        if visit.number as usize > MAX_VISITS {
            self.too_long = true;
            return ControlFlow::Break(());
        }
        if visit.state.speculative {
            return ControlFlow::Continue(());
        }
        if self.maps.is_empty() {
            self.maps = visit.maps();
        }
        if visit.after != 0 {
            if let Some(before) = self.nodes.get_mut(&visit.after) {
                before.next.push(visit.number);
            }
        } else if !visit.state.frames[0].in_async_callback_fn {
            self.roots.entry(visit.insn_idx).or_default().push(visit.number);
        }
        let node = Node {
            insn_idx: visit.insn_idx,
            frames: visit.state.frames.clone(),
            next: Vec::new(),
            covered: visit.covered.as_ref().map(covering),
        };
        self.nodes.insert(visit.number, node);
        ControlFlow::Continue(())
    }
}

fn covering(cover: &Cover<'_>) -> Covering {
    let frames = cover.kept.frames.iter().zip(&cover.live_regs);
    let tolerance = frames.map(|(frame, &live)| tolerance(frame, live)).collect();
    Covering { kept: cover.number, exact: cover.exact, tolerance }
}

/// What a kept frame does not say anything about.
fn tolerance(frame: &FuncState, live: u16) -> Tolerance {
    let imprecise = |reg: &Reg| reg.ty == SCALAR_VALUE && !reg.precise;
    let mut tolerance = Tolerance::default();
    for (r, reg) in frame.regs.iter().enumerate().take(10) {
        if live & 1 << r == 0 || reg.ty == NOT_INIT {
            tolerance.dead_regs |= 1 << r;
        } else if imprecise(reg) {
            tolerance.imprecise_regs |= 1 << r;
        }
    }
    tolerance.dead_slots = u64::MAX;
    for (spi, slot) in frame.stack.iter().enumerate().take(64) {
        if slot.bytes != [Slot::Invalid; 8] {
            tolerance.dead_slots &= !(1 << spi);
        }
        if slot.is_spilled() && imprecise(&slot.spilled) {
            tolerance.imprecise_slots |= 1 << spi;
        }
    }
    tolerance
}
