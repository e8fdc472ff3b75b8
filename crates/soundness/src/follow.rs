// SPDX-License-Identifier: GPL-2.0-only
//! Follows a run along the explored tree, instruction by instruction.
//!
//! A position is a visit that contained the machine at the last step, with what was loose there. The next step must
//! be contained in a visit that its instruction led to. Where that is covered by a kept state, it must be contained in
//! both, and the run goes on from the kept one. Several positions are held where paths differ in their state only.

use std::cell::RefCell;
use std::fmt;

use skep_isa::{CallKind, Decoded, Op, Size, Width, decode};
use skep_program::Program;
use skep_uapi::limits::MAX_BPF_STACK;
use skep_vm::{Observer, Step};

use crate::contain::{Concrete, Outside};
use crate::explored::{Covering, Explored, Node, VisitId};
use crate::loose::{Location, Loose, ReadsDead, StackAccess, Why};

/// A run did what the verifier says no run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Slot of the instruction that the machine was in front of.
    pub insn: usize,
    /// Call depth.
    pub depth: usize,
    /// Steps before it.
    pub steps: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { insn, depth, steps, what } = self;
        write!(f, "in front of instruction {insn}, call depth {depth}, after {steps} steps: {what}")
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Steps that were checked.
    pub steps: u64,
    /// All of them were, and nothing is known to be wrong.
    pub to_the_end: bool,
    /// What was wrong.
    pub violation: Option<Violation>,
}

#[derive(Clone, Debug)]
struct Position {
    visit: VisitId,
    loose: Loose,
}

/// A function that is verified on its own: the program, or a global function.
#[derive(Debug)]
struct Level {
    /// Its call depth.
    base: usize,
    at: Vec<Position>,
}

/// Why a step is in none of the visits that the last one led to.
#[derive(Debug)]
enum Missed {
    /// There are none for this instruction.
    NoPath,
    Dead(ReadsDead),
    Outside(Vec<Outside>),
}

#[derive(Debug, Default)]
struct State {
    levels: Vec<Level>,
    /// Registers by call depth; of callers as they were at their call.
    frames: Vec<[u64; 11]>,
    steps: u64,
    /// The rest of the run is not looked at: another program runs now, which is not the one that was verified, or a
    /// known bug of the kernel shows.
    left: bool,
    violation: Option<Violation>,
}

/// Follows the runs of one program.
#[derive(Debug)]
pub(crate) struct Follower<'e> {
    explored: &'e Explored,
    insns: Vec<Option<Decoded>>,
    state: RefCell<State>,
}

impl<'e> Follower<'e> {
    pub fn new(program: &Program, explored: &'e Explored) -> Self {
        let insns = (0..program.insns.len()).map(|at| decode(&program.insns, at).ok()).collect();
        Follower { explored, insns, state: RefCell::default() }
    }

    /// Ends a run.
    pub fn finish(&self) -> Followed {
        let state = self.state.take();
        let to_the_end = !state.left
            && !state
                .levels
                .iter()
                .flat_map(|level| &level.at)
                .any(|position| position.loose.has_kernel_bug());
        Followed { steps: state.steps, to_the_end, violation: state.violation }
    }
}

impl Observer for Follower<'_> {
    fn step(&self, step: &Step<'_>) {
        let state = &mut *self.state.borrow_mut();
        state.left |= step.program() != 0;
        if state.left || state.violation.is_some() {
            return;
        }
        if let Err(what) = self.advance(state, step) {
            let (insn, depth, steps) = (step.slot(), step.depth(), state.steps);
            state.violation = Some(Violation { insn, depth, steps, what });
        }
        state.steps += 1;
    }
}

impl Follower<'_> {
    fn advance(&self, state: &mut State, step: &Step<'_>) -> Result<(), String> {
        let before = std::mem::take(&mut state.frames);
        let depth = step.depth();
        state.frames.extend_from_slice(&before[..depth.min(before.len())]);
        // A helper that calls back leaves no step between the frames.
        state.frames.resize(depth, [0; 11]);
        state.frames.push(*step.registers());

        while state.levels.last().is_some_and(|level| depth < level.base) {
            state.levels.pop();
        }
        if state.levels.is_empty() {
            state.levels.push(Level { base: 0, at: self.enter(step, &state.frames, 0)? });
            return Ok(());
        }
        let level = state.levels.last().expect("there is one");
        let here = Here { follower: self, step, frames: &state.frames, base: level.base, in_helper: false };
        let mut missed = Missed::NoPath;
        let mut next: Vec<Position> = Vec::new();
        for position in &level.at {
            match here.follow(position, &before) {
                Ok(found) => next.extend(found),
                Err(why) => missed.keep(why),
            }
        }
        next.sort_by_key(|position| position.visit);
        next.dedup_by(|a, b| a.visit == b.visit && a.loose == b.loose);
        if !next.is_empty() {
            state.levels.last_mut().expect("there is one").at = next;
            return Ok(());
        }
        if matches!(missed, Missed::NoPath) && self.enters_global(level, depth, step.slot()) {
            let at = self.enter(step, &state.frames, depth)?;
            state.levels.push(Level { base: depth, at });
            return Ok(());
        }
        // What comes of it is not the verifier's fault.
        state.left = level.at.iter().any(|position| position.loose.has_kernel_bug());
        if state.left { Ok(()) } else { Err(missed.to_string()) }
    }

    /// Whether the last instruction calls a function that is verified on its own.
    fn enters_global(&self, level: &Level, depth: usize, slot: usize) -> bool {
        level.at.iter().all(|position| {
            let node = self.explored.node(position.visit);
            level.base + node.frames.len() == depth
                && self.insn(node).is_some_and(|insn| insn.op() == Op::Call(CallKind::Local))
        }) && !self.explored.roots(slot as u32).is_empty()
    }

    /// The start of a function that is verified on its own.
    fn enter(&self, step: &Step<'_>, frames: &[[u64; 11]], base: usize) -> Result<Vec<Position>, String> {
        let here = Here { follower: self, step, frames, base, in_helper: false };
        let roots = self.explored.roots(step.slot() as u32);
        here.choose(roots, &Loose::default()).map_err(|missed| missed.to_string())
    }

    fn insn(&self, node: &Node) -> Option<&Decoded> {
        self.insns.get(node.insn_idx as usize)?.as_ref()
    }
}

/// A step of a run, seen from the function that is verified on its own.
struct Here<'a> {
    follower: &'a Follower<'a>,
    step: &'a Step<'a>,
    frames: &'a [[u64; 11]],
    base: usize,
    /// The machine is in a helper that calls back, which has its arguments already.
    in_helper: bool,
}

impl Here<'_> {
    /// Visits after a position that contain the machine. `before` is what `frames` was at the last step.
    fn follow(&self, position: &Position, before: &[[u64; 11]]) -> Result<Vec<Position>, Missed> {
        let node = self.follower.explored.node(position.visit);
        let Some(insn) = self.follower.insn(node) else { return Err(Missed::NoPath) };
        let access = self.stack_access(node, insn, before);
        let mut loose = position.loose.after(node, insn, access).map_err(Missed::Dead)?;
        let is_helper = matches!(insn.op(), Op::Call(CallKind::Helper | CallKind::Kfunc));
        if is_helper && self.frames.len() > self.base + node.frames.len() {
            // It calls back, and overwrites registers when it returns only.
            loose.keep_caller_saved(&position.loose, node.frames.len() - 1);
        }
        let returns_to_helper =
            insn.op() == Op::Exit && node.frames.last().is_some_and(|frame| frame.in_callback_fn);
        if !returns_to_helper {
            let next = self.choose(&node.next, &loose);
            if !matches!(insn.op(), Op::Alu(..)) {
                return next;
            }
            // The verifier forks in front of an operation whose result is one of two numbers, and comes to it again.
            let at_fork = Here { frames: before, ..*self };
            let forks =
                node.next.iter().filter(|&&id| self.follower.explored.node(id).insn_idx == node.insn_idx);
            let forked = forks.map(|&fork| self.follow(&at_fork.arrive(fork, &position.loose)?, before));
            return any([next].into_iter().chain(forked));
        }
        let Some(caller) = node.frames.len().checked_sub(2) else { return Err(Missed::NoPath) };
        // The verifier goes back to the call, from where the callback is called again or the program goes on. The
        // caller's registers are there what they were at the call.
        let at_call = Here { frames: &before[..before.len() - 1], in_helper: true, ..*self };
        any(node.next.iter().map(|&call| {
            let mut call = at_call.arrive(call, &loose)?;
            call.loose.loosen_caller_saved(caller);
            self.follow(&call, before)
        }))
    }

    /// Those visits that are of this instruction and call depth, and contain the machine.
    fn choose(&self, visits: &[VisitId], loose: &Loose) -> Result<Vec<Position>, Missed> {
        let here = |id: &&VisitId| {
            let node = self.follower.explored.node(**id);
            node.insn_idx as usize == self.step.slot() && self.base + node.frames.len() == self.frames.len()
        };
        any(visits.iter().filter(here).map(|&id| self.arrive(id, loose).map(|position| vec![position])))
    }

    /// The position at a visit, or at the kept state that covers it, if that contains the machine.
    fn arrive(&self, visit: VisitId, loose: &Loose) -> Result<Position, Missed> {
        let explored = self.follower.explored;
        let machine = Concrete {
            explored,
            step: self.step,
            base: self.base,
            frames: self.frames,
            in_helper: self.in_helper,
        };
        let node = explored.node(visit);
        let loose = machine.inside(&node.frames, &|at| loose.get(at)).map_err(Missed::Outside)?;
        let Some(covering) = &node.covered else { return Ok(Position { visit, loose }) };
        let kept = &explored.node(covering.kept).frames;
        let loose = machine.inside(kept, &|at| covering.excuse(at, &loose)).map_err(Missed::Outside)?;
        Ok(Position { visit: covering.kept, loose })
    }

    /// The part of a frame that an instruction loads from or stores to.
    fn stack_access(&self, node: &Node, insn: &Decoded, before: &[[u64; 11]]) -> Option<StackAccess> {
        let (pointer, size) = match insn.op() {
            Op::Ldx(size) | Op::Ldsx(size) | Op::LoadAcquire(size) => (insn.insn.src, size),
            Op::St(size) | Op::Stx(size) | Op::StoreRelease(size) => (insn.insn.dst, size),
            Op::Atomic(_, Width::W32) => (insn.insn.dst, Size::W),
            Op::Atomic(_, Width::W64) => (insn.insn.dst, Size::Dw),
            _ => return None,
        };
        let regs = before.get(self.base + node.frames.len() - 1)?;
        let addr = regs[usize::from(pointer)].wrapping_add_signed(i64::from(insn.insn.off));
        let size = size.bytes() as u64;
        (0..node.frames.len()).find_map(|frame| {
            let above = self.step.frame_pointer(self.base + frame).checked_sub(addr)?;
            (above <= MAX_BPF_STACK as u64 && size <= above).then(|| StackAccess {
                frame,
                first: ((above - size) / 8) as usize,
                last: ((above - 1) / 8) as usize,
                whole: above.is_multiple_of(8) && size == 8,
            })
        })
    }
}

/// All positions that were found; if there are none, why not.
fn any(each: impl Iterator<Item = Result<Vec<Position>, Missed>>) -> Result<Vec<Position>, Missed> {
    let mut found = Vec::new();
    let mut missed = Missed::NoPath;
    for next in each {
        match next {
            Ok(next) => found.extend(next),
            Err(why) => missed.keep(why),
        }
    }
    if found.is_empty() { Err(missed) } else { Ok(found) }
}

impl Covering {
    /// Why a run may be outside of the kept state somewhere, given what is loose in the covered one.
    fn excuse(&self, at: Location, loose: &Loose) -> Option<Why> {
        let (dead, imprecise) = match at {
            Location::Reg(frame, r) => {
                let tolerance = self.tolerance.get(frame)?;
                (tolerance.dead_regs & 1 << r != 0, tolerance.imprecise_regs & 1 << r != 0)
            }
            Location::Slot(frame, spi) => {
                let tolerance = self.tolerance.get(frame)?;
                (tolerance.dead_slots & 1 << spi != 0, tolerance.imprecise_slots & 1 << spi != 0)
            }
        };
        match loose.get(at) {
            _ if dead => Some(Why::Dead),
            // A kept state of a loop that is being explored does not know yet what is not read again.
            Some(why @ (Why::Dead | Why::KernelBug)) => Some(why),
            // Compared exactly, only what was loose before still is.
            before => (imprecise && (!self.exact || before.is_some())).then_some(Why::Imprecise),
        }
    }
}

impl Missed {
    /// Keeps the reason that says most: the fewest differences from a state of the right instruction.
    fn keep(&mut self, other: Missed) {
        let rank = |missed: &Missed| match missed {
            Missed::Outside(places) => places.len(),
            Missed::Dead(_) => 100_000,
            Missed::NoPath => usize::MAX,
        };
        if rank(&other) < rank(self) {
            *self = other;
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::NoPath => write!(f, "no path that was explored leads here"),
            Missed::Dead(ReadsDead(at)) => write!(f, "reads {at}, which counts as never read again"),
            Missed::Outside(places) => {
                for (i, Outside { at, value, why, reg }) in places.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "; " };
                    write!(f, "{separator}{at} is {value:#x}, {why}: {reg:?}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Location::Reg(frame, r) => write!(f, "r{r} of frame {frame}"),
            Location::Slot(frame, spi) => write!(f, "fp-{} of frame {frame}", (spi + 1) * 8),
        }
    }
}
