// SPDX-License-Identifier: GPL-2.0-only
//! Stack slots that are read later (`kernel/bpf/liveness.c @ 6.18`).
//!
//! While paths are walked, reads and writes of slots are gathered for each instruction of each chain of calls. When
//! a path ends, a data-flow analysis turns them into the slots live before each instruction: those that may be
//! read there or later, before they are certainly written. A kept state forgets the others.

use std::collections::BTreeMap;
use std::fmt;

use skep_uapi::limits::MAX_CALL_FRAMES;

use crate::env::Env;
use crate::log;
use crate::print::fmt_stack_mask;
use crate::state::VerifierState;
use crate::stop::{Res, verbose};

/// The call instructions that lead to a function, and its start (`struct callchain`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Callchain {
    callsites: [u32; MAX_CALL_FRAMES],
    /// Where the function of each frame starts.
    sp_starts: [u32; MAX_CALL_FRAMES],
    curframe: usize,
}

impl Callchain {
    fn key(&self) -> ([u32; MAX_CALL_FRAMES], usize) {
        (self.callsites, self.curframe)
    }

    fn subprog_start(&self) -> u32 {
        self.sp_starts[self.curframe]
    }

    /// The chain of the caller.
    fn outer(&self) -> Callchain {
        let mut outer = *self;
        outer.callsites[outer.curframe] = 0;
        outer.sp_starts[outer.curframe] = 0;
        outer.curframe -= 1;
        outer.callsites[outer.curframe] = outer.sp_starts[outer.curframe];
        outer
    }
}

/// `fmt_callchain`.
impl fmt::Display for Callchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, site) in self.callsites[..=self.curframe].iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", *site as i32)?;
        }
        f.write_str(")")
    }
}

/// Slots of a frame at an instruction, a bit each (`struct per_frame_masks`).
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    may_read: u64,
    must_write: u64,
    must_write_acc: u64,
    live_before: u64,
}

/// A function as called by one chain (`struct func_instance`).
#[derive(Debug)]
struct Instance {
    callchain: Callchain,
    insn_cnt: usize,
    updated: bool,
    must_write_dropped: bool,
    frames: [Option<Vec<Masks>>; MAX_CALL_FRAMES],
    must_write_set: Vec<bool>,
}

impl Instance {
    fn relative(&self, insn_idx: u32) -> usize {
        insn_idx.wrapping_sub(self.callchain.subprog_start()) as usize
    }

    fn masks(&self, frame: usize, insn_idx: u32) -> Option<Masks> {
        self.frames[frame].as_ref()?.get(self.relative(insn_idx)).copied()
    }

    /// `alloc_frame_masks`.
    fn masks_mut(&mut self, frame: usize, insn_idx: u32) -> Option<&mut Masks> {
        let (at, cnt) = (self.relative(insn_idx), self.insn_cnt);
        self.frames[frame].get_or_insert_with(|| vec![Masks::default(); cnt]).get_mut(at)
    }

    /// `mark_stack_read`.
    fn mark_read(&mut self, frame: usize, insn_idx: u32, mask: u64) {
        let Some(masks) = self.masks_mut(frame, insn_idx) else { return };
        let may_read = masks.may_read | mask;
        let news = may_read != masks.may_read && may_read | masks.live_before != masks.live_before;
        masks.may_read = may_read;
        self.updated |= news;
    }

    fn is_live_before(&self, insn_idx: u32, frame: usize, spi: u32) -> bool {
        self.masks(frame, insn_idx).is_some_and(|masks| masks.live_before & 1 << spi != 0)
    }
}

/// `struct bpf_liveness`.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    instances: Vec<Instance>,
    by_callchain: BTreeMap<([u32; MAX_CALL_FRAMES], usize), usize>,
    /// By number of callers, the instance asked for last.
    recent: [usize; MAX_CALL_FRAMES],
    /// The instance of the current state.
    cur: Option<usize>,
    /// The instances of the frames of the state that is asked about, and where it is.
    query: Vec<usize>,
    query_insn_idx: u32,
    /// Slots written by the current instruction.
    write_masks: [u64; MAX_CALL_FRAMES],
    write_insn_idx: u32,
}

impl Liveness {
    /// `reset_stack_write_marks`.
    fn reset_writes(&mut self, instance: usize, insn_idx: u32) {
        self.write_insn_idx = insn_idx;
        let frames = self.instances[instance].callchain.curframe;
        self.write_masks[..=frames].fill(0);
    }

    /// `commit_stack_write_marks`: what the instruction wrote now and at every earlier time.
    fn commit_writes(&mut self, instance: usize) {
        let insn_idx = self.write_insn_idx;
        let instance = &mut self.instances[instance];
        let at = instance.relative(insn_idx);
        let Some(&seen) = instance.must_write_set.get(at) else { return };
        for frame in 0..=instance.callchain.curframe {
            let mut mask = self.write_masks[frame];
            if mask == 0 && !seen {
                continue;
            }
            let Some(masks) = instance.masks_mut(frame, insn_idx) else { continue };
            // The kernel holds it in 32 bits, and so forgets that slots below `fp-256` were written every time before.
            let old = u64::from(masks.must_write as u32);
            if seen {
                mask &= old;
            }
            if old != mask {
                masks.must_write = mask;
                instance.updated = true;
            }
            instance.must_write_dropped |= old & !mask != 0;
        }
        instance.must_write_set[at] = true;
        self.write_insn_idx = 0;
    }
}

impl Env<'_> {
    /// `compute_callchain`.
    fn callchain(&self, st: &VerifierState, frameno: usize) -> Callchain {
        let mut callchain = Callchain { curframe: frameno, ..Callchain::default() };
        for i in 0..=frameno {
            callchain.sp_starts[i] = self.subprogs[st.frames[i].subprogno as usize].start;
            if let Some(callee) = st.frames.get(i + 1) {
                callchain.callsites[i] = callee.callsite as u32;
            }
        }
        callchain.callsites[frameno] = callchain.sp_starts[frameno];
        callchain
    }

    /// `__lookup_instance`.
    fn instance(&mut self, callchain: &Callchain) -> usize {
        let recent = self.liveness.recent[callchain.curframe];
        if self.liveness.instances.get(recent).is_some_and(|found| found.callchain == *callchain) {
            return recent;
        }
        if let Some(&at) = self.liveness.by_callchain.get(&callchain.key()) {
            self.liveness.recent[callchain.curframe] = at;
            return at;
        }
        let subprog = self.find_containing_subprog(callchain.subprog_start()) as usize;
        let insn_cnt = (self.subprogs[subprog + 1].start - self.subprogs[subprog].start) as usize;
        let live = &mut self.liveness;
        let at = live.instances.len();
        live.instances.push(Instance {
            callchain: *callchain,
            insn_cnt,
            updated: false,
            must_write_dropped: false,
            frames: Default::default(),
            must_write_set: vec![false; insn_cnt],
        });
        live.by_callchain.insert(callchain.key(), at);
        live.recent[callchain.curframe] = at;
        at
    }

    /// `ensure_cur_instance`.
    fn cur_instance(&mut self) -> usize {
        if let Some(at) = self.liveness.cur {
            return at;
        }
        let callchain = self.callchain(&self.cur, self.cur.frames.len() - 1);
        let at = self.instance(&callchain);
        self.liveness.cur = Some(at);
        at
    }

    /// `bpf_stack_liveness_init`.
    pub(crate) fn stack_liveness_init(&mut self) {
        self.liveness = Liveness::default();
    }

    /// `bpf_mark_stack_read`: an instruction may read these slots of a frame.
    pub(crate) fn mark_stack_read(&mut self, frameno: u32, insn_idx: u32, mask: u64) {
        let at = self.cur_instance();
        self.liveness.instances[at].mark_read(frameno as usize, insn_idx, mask);
    }

    /// `bpf_mark_stack_write`: the current instruction writes these slots of a frame.
    pub(crate) fn mark_stack_write(&mut self, frameno: u32, mask: u64) {
        self.liveness.write_masks[frameno as usize] |= mask;
    }

    /// `bpf_reset_stack_write_marks`.
    pub(crate) fn reset_stack_write_marks(&mut self, insn_idx: u32) {
        let at = self.cur_instance();
        self.liveness.reset_writes(at, insn_idx);
    }

    /// `bpf_commit_stack_write_marks`.
    pub(crate) fn commit_stack_write_marks(&mut self) {
        if let Some(at) = self.liveness.cur {
            self.liveness.commit_writes(at);
        }
    }

    /// `bpf_reset_live_stack_callchain`: the current state is about to be in another function.
    pub(crate) fn reset_live_stack_callchain(&mut self) {
        self.liveness.cur = None;
    }

    /// `bpf_update_live_stack`: the current path is at its end, or returns to a caller.
    pub(crate) fn update_live_stack(&mut self) -> Res {
        self.reset_live_stack_callchain();
        for frame in (0..self.cur.frames.len()).rev() {
            let callchain = self.callchain(&self.cur, frame);
            let at = self.instance(&callchain);
            if self.liveness.instances[at].updated {
                self.update_instance(at);
                let instance = &mut self.liveness.instances[at];
                instance.updated = false;
                instance.must_write_dropped = false;
            }
        }
        Ok(())
    }

    /// `update_instance`: the data-flow equations, until nothing changes.
    fn update_instance(&mut self, at: usize) {
        let instance = &mut self.liveness.instances[at];
        let callchain = instance.callchain;
        if instance.must_write_dropped {
            // The intersections start again from nothing, since sets became smaller.
            for masks in instance.frames.iter_mut().flatten().flatten() {
                masks.must_write_acc = 0;
            }
        }
        let subprog = self.find_containing_subprog(callchain.subprog_start()) as usize;
        let (start, end) =
            (self.subprogs[subprog].postorder_start, self.subprogs[subprog + 1].postorder_start);
        // Another round would but show, in the log, that nothing changes.
        let settles_at_once = !self.has_back_edges && self.log.level & log::LEVEL2 == 0;
        let mut rounds = 0;
        loop {
            rounds += 1;
            let mut changed = false;
            for frame in 0..=callchain.curframe {
                if self.liveness.instances[at].frames[frame].is_some() {
                    for i in start..end {
                        changed |= self.update_insn(at, frame, self.insn_postorder[i as usize]);
                    }
                }
            }
            if !changed || settles_at_once {
                break;
            }
        }
        if self.log.level & log::LEVEL2 != 0 {
            verbose!(self, "{callchain} live stack update done in {rounds} iterations\n");
        }
        if callchain.curframe > 0 {
            self.propagate_to_outer_instance(at);
        }
    }

    /// `update_insn`.
    fn update_insn(&mut self, at: usize, frame: usize, insn_idx: u32) -> bool {
        let successors = self.successors[insn_idx as usize].as_slice();
        let instance = &mut self.liveness.instances[at];
        let start = instance.callchain.subprog_start();
        let Some(all) = &mut instance.frames[frame] else { return false };
        let index = |idx: u32| idx.wrapping_sub(start) as usize;
        let (mut after, mut written) = (0, u64::MAX);
        if successors.is_empty() {
            return false;
        }
        for &next in successors {
            let Some(next) = all.get(index(next)) else { continue };
            after |= next.live_before;
            written &= next.must_write_acc;
        }
        let Some(masks) = all.get_mut(index(insn_idx)) else { return false };
        written |= masks.must_write;
        let old = *masks;
        masks.live_before = (after & !masks.must_write) | masks.may_read;
        masks.must_write_acc = written;
        let new = *masks;
        let callchain = instance.callchain;
        if self.log.level & log::LEVEL2 != 0
            && (new.may_read != 0
                || new.must_write != 0
                || insn_idx == start
                || self.aux[insn_idx as usize].prune_point)
        {
            self.log_mask_change(&callchain, "live", frame, insn_idx, old.live_before, new.live_before);
            self.log_mask_change(
                &callchain,
                "written",
                frame,
                insn_idx,
                old.must_write_acc,
                new.must_write_acc,
            );
        }
        old.live_before != new.live_before || old.must_write_acc != new.must_write_acc
    }

    fn log_mask_change(
        &mut self,
        callchain: &Callchain,
        what: &str,
        frame: usize,
        insn_idx: u32,
        old: u64,
        new: u64,
    ) {
        let changed = old ^ new;
        if changed == 0 {
            return;
        }
        verbose!(self, "{callchain} frame {frame} insn {insn_idx} ");
        if new & changed != 0 {
            verbose!(self, "+{what} {} ", fmt_stack_mask(new & changed));
        }
        if !new & changed != 0 {
            verbose!(self, "-{what} {}", fmt_stack_mask(!new & changed));
        }
        verbose!(self, "\n");
    }

    /// `propagate_to_outer_instance`: what the function does to its callers' frames, its call does.
    fn propagate_to_outer_instance(&mut self, at: usize) {
        let callchain = self.liveness.instances[at].callchain;
        let outer = self.instance(&callchain.outer());
        let callsite = callchain.callsites[callchain.curframe - 1];
        self.liveness.reset_writes(outer, callsite);
        for frame in 0..callchain.curframe {
            let Some(masks) = self.liveness.instances[at].masks(frame, callchain.subprog_start()) else {
                continue;
            };
            self.liveness.write_masks[frame] |= masks.must_write_acc;
            self.liveness.instances[outer].mark_read(frame, callsite, masks.live_before);
        }
        self.liveness.commit_writes(outer);
    }

    /// `bpf_live_stack_query_init`: the state whose slots [`Env::stack_slot_alive`] is asked about.
    pub(crate) fn live_stack_query_init(&mut self, st: &VerifierState) {
        let mut query = std::mem::take(&mut self.liveness.query);
        query.clear();
        for frame in 0..st.frames.len() {
            let callchain = self.callchain(st, frame);
            query.push(self.instance(&callchain));
        }
        self.liveness.query = query;
        self.liveness.query_insn_idx = st.insn_idx;
    }

    /// `bpf_stack_slot_alive`: the slot may be read at the state's instruction or later, in its function or in the
    /// callers' behind the calls.
    pub(crate) fn stack_slot_alive(&self, frameno: u32, spi: u32) -> bool {
        let live = &self.liveness;
        let frame = frameno as usize;
        let Some((&last, outer)) = live.query.split_last() else { return true };
        let cur = &live.instances[last];
        if cur.is_live_before(live.query_insn_idx, frame, spi) {
            return true;
        }
        outer.iter().enumerate().skip(frame).any(|(i, &instance)| {
            let callsite = cur.callchain.callsites[i];
            let calls_back = self.aux.get(callsite as usize).is_some_and(|aux| aux.calls_callback);
            let at = if calls_back { callsite } else { callsite + 1 };
            live.instances[instance].is_live_before(at, frame, spi)
        })
    }
}
