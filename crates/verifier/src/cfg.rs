// SPDX-License-Identifier: GPL-2.0-only
//! Control flow before the walk (`check_cfg`, `compute_postorder`, `compute_scc @ 6.18`).

use skep_isa::{Insn, class, opcode};
use skep_uapi::HelperId;
use skep_uapi::helper::MightSleep;

use crate::callback::{is_async_callback_calling_function, is_sync_callback_calling_function};
use crate::env::Env;
use crate::scc::SccInfo;
use crate::stop::{E2BIG, EINVAL, Res, verbose, verifier_bug};
use crate::subprog::{is_helper_call, is_may_goto, is_pseudo_call, is_pseudo_func};

/// Bits of the operation (`BPF_OP`).
const OP: u8 = 0xf0;

/// An instruction was reached.
const DISCOVERED: u8 = 0x10;
/// All that follows an instruction was looked at.
const EXPLORED: u8 = 0x20;

/// Ways out of an instruction, in the order in which they are taken; they add to [`DISCOVERED`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Fallthrough = 1,
    Branch = 2,
}

/// What is left to do at an instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Done,
    Continue,
}

/// Depth-first walk over all instructions.
struct Dfs {
    state: Vec<u8>,
    stack: Vec<u32>,
}

impl Env<'_> {
    fn mark_prune_point(&mut self, at: i32) {
        self.aux[at as usize].prune_point = true;
    }

    fn mark_jmp_point(&mut self, at: i32) {
        self.aux[at as usize].jmp_point = true;
    }

    /// What a function may do, its caller may do. The walk visits a function before it leaves the call.
    fn merge_callee_effects(&mut self, call: i32, target: i32) {
        let caller = self.find_containing_subprog(call as u32) as usize;
        let callee = self.find_containing_subprog(target as u32) as usize;
        let (changes, sleeps) = (self.subprogs[callee].changes_pkt_data, self.subprogs[callee].might_sleep);
        self.subprogs[caller].changes_pkt_data |= changes;
        self.subprogs[caller].might_sleep |= sleeps;
    }

    fn push_insn(&mut self, dfs: &mut Dfs, from: i32, to: i32, edge: Edge) -> Res<Visit> {
        let label = DISCOVERED | edge as u8;
        if dfs.state[from as usize] >= label {
            return Ok(Visit::Done);
        }
        if to < 0 || to as usize >= self.insns.len() {
            self.verbose_linfo(from as u32, format_args!("{from}: "));
            verbose!(self, "jump out of range from insn {from} to {to}\n");
            return Err(EINVAL);
        }
        if edge == Edge::Branch {
            self.mark_prune_point(to);
            self.mark_jmp_point(to);
        }
        match dfs.state[to as usize] {
            0 => {
                dfs.state[from as usize] = label;
                dfs.state[to as usize] = DISCOVERED;
                if dfs.stack.len() >= self.insns.len() {
                    return Err(E2BIG);
                }
                dfs.stack.push(to as u32);
                Ok(Visit::Continue)
            }
            state if state & 0xf0 == DISCOVERED => {
                let loops = self.profile().allows_every_back_edge() || self.jumps(from as usize, edge);
                if self.bpf_capable && loops {
                    return Ok(Visit::Done);
                }
                self.verbose_linfo(from as u32, format_args!("{from}: "));
                self.verbose_linfo(to as u32, format_args!("{to}: "));
                verbose!(self, "back-edge from insn {from} to {to}\n");
                Err(EINVAL)
            }
            EXPLORED => {
                dfs.state[from as usize] = label;
                Ok(Visit::Done)
            }
            _ => Err(verifier_bug!(self, "insn state internal bug")),
        }
    }

    /// Whether an edge is that of a jump, which may go back, or of a function's address.
    fn jumps(&self, at: usize, edge: Edge) -> bool {
        let insn = &self.insns[at];
        let is_jump = matches!(insn.class(), class::JMP | class::JMP32);
        let is_call = is_jump && insn.code & 0xf0 == opcode::CALL & 0xf0;
        (is_jump && !is_call) || (edge == Edge::Branch && is_pseudo_func(insn))
    }

    fn visit_func_call_insn(&mut self, dfs: &mut Dfs, at: i32, visit_callee: bool) -> Res<Visit> {
        let insn = self.insns[at as usize];
        let next = at + slots(&insn);
        if self.push_insn(dfs, at, next, Edge::Fallthrough)? == Visit::Continue {
            return Ok(Visit::Continue);
        }
        // Where the callee returns to, history is not linear.
        self.mark_prune_point(next);
        self.mark_jmp_point(next);
        if !visit_callee {
            return Ok(Visit::Done);
        }
        let target = at.wrapping_add(insn.imm).wrapping_add(1);
        self.mark_prune_point(at);
        self.merge_callee_effects(at, target);
        self.push_insn(dfs, at, target, Edge::Branch)
    }

    fn visit_call(&mut self, dfs: &mut Dfs, at: i32) -> Res<Visit> {
        let insn = self.insns[at as usize];
        if is_helper_call(&insn) {
            if is_async_callback_calling_function(insn.imm) {
                // A state is compared before the call starts another path for the callback.
                self.mark_prune_point(at);
            }
            if is_sync_callback_calling_function(insn.imm) {
                // Callbacks are walked again and again, until a state at their caller was seen before.
                let aux = &mut self.aux[at as usize];
                aux.calls_callback = true;
                aux.force_checkpoint = true;
                aux.prune_point = true;
                aux.jmp_point = true;
            }
            let sleeps =
                self.get_helper_proto(insn.imm).is_ok_and(|proto| proto.might_sleep == MightSleep::Yes);
            let changes = skep_uapi::helper::helper(HelperId(insn.imm as u32))
                .is_some_and(|helper| helper.changes_packet);
            let subprog = self.find_containing_subprog(at as u32) as usize;
            self.subprogs[subprog].might_sleep |= sleeps;
            self.subprogs[subprog].changes_pkt_data |= changes;
        }
        self.visit_func_call_insn(dfs, at, is_pseudo_call(&insn))
    }

    fn visit_insn(&mut self, dfs: &mut Dfs, at: i32) -> Res<Visit> {
        let insn = self.insns[at as usize];
        if is_pseudo_func(&insn) {
            return self.visit_func_call_insn(dfs, at, true);
        }
        if !matches!(insn.class(), class::JMP | class::JMP32) {
            return self.push_insn(dfs, at, at + slots(&insn), Edge::Fallthrough);
        }
        match insn.code & OP {
            op if op == opcode::EXIT & OP => Ok(Visit::Done),
            op if op == opcode::CALL & OP => self.visit_call(dfs, at),
            op if op == opcode::JA & OP => {
                if insn.code & opcode::X != 0 {
                    return Err(EINVAL);
                }
                let to = at.wrapping_add(jmp_offset(&insn)).wrapping_add(1);
                if self.push_insn(dfs, at, to, Edge::Fallthrough)? == Visit::Continue {
                    return Ok(Visit::Continue);
                }
                self.mark_prune_point(to);
                self.mark_jmp_point(to);
                Ok(Visit::Done)
            }
            _ => {
                self.mark_prune_point(at);
                if is_may_goto(&insn) {
                    self.aux[at as usize].force_checkpoint = true;
                }
                if self.push_insn(dfs, at, at + 1, Edge::Fallthrough)? == Visit::Continue {
                    return Ok(Visit::Continue);
                }
                self.push_insn(dfs, at, at + i32::from(insn.off) + 1, Edge::Branch)
            }
        }
    }

    /// Every instruction is reached, loops are there for those who may have some, and the places where states are
    /// kept are marked.
    pub(crate) fn check_cfg(&mut self) -> Res {
        let len = self.insns.len();
        let mut dfs = Dfs { state: vec![0; len], stack: Vec::with_capacity(len) };
        dfs.state[0] = DISCOVERED;
        dfs.stack.push(0);
        while let Some(&at) = dfs.stack.last() {
            if self.visit_insn(&mut dfs, at as i32)? == Visit::Done {
                dfs.state[at as usize] = EXPLORED;
                dfs.stack.pop();
            }
        }
        let mut at = 0;
        while at < len {
            if dfs.state[at] != EXPLORED {
                verbose!(self, "unreachable insn {at}\n");
                return Err(EINVAL);
            }
            if self.insns[at].is_ld_imm64() {
                if dfs.state.get(at + 1).is_some_and(|&state| state != 0) {
                    verbose!(self, "jump into the middle of ldimm64 insn {at}\n");
                    return Err(EINVAL);
                }
                at += 1;
            }
            at += 1;
        }
        self.changes_pkt_data = self.subprogs[0].changes_pkt_data;
        Ok(())
    }

    /// Notes where control may go from each instruction, and whether it goes back anywhere.
    pub(crate) fn compute_successors(&mut self) -> Res {
        self.successors = (0..self.insns.len() as u32).map(|at| insn_successors(&self.insns, at)).collect();
        let goes_back =
            |(at, next): (usize, &Successors)| next.as_slice().iter().any(|&to| to as usize <= at);
        self.has_back_edges = self.successors.iter().enumerate().any(goes_back);
        Ok(())
    }

    /// The instructions of each function, those that follow before those that go before (where control does not go
    /// back).
    pub(crate) fn compute_postorder(&mut self) -> Res {
        let len = self.insns.len();
        let mut state = vec![0_u8; len];
        let mut stack = Vec::new();
        let mut postorder = Vec::with_capacity(len);
        for subprog in 0..self.subprog_cnt as usize {
            self.subprogs[subprog].postorder_start = postorder.len() as u32;
            stack.push(self.subprogs[subprog].start);
            while let Some(&top) = stack.last() {
                let at = top as usize;
                state[at] |= DISCOVERED;
                if state[at] & EXPLORED != 0 {
                    postorder.push(top);
                    stack.pop();
                    continue;
                }
                for &next in self.successors[at].as_slice() {
                    if state[next as usize] == 0 {
                        stack.push(next);
                        state[next as usize] |= DISCOVERED;
                    }
                }
                state[at] |= EXPLORED;
            }
        }
        self.subprogs[self.subprog_cnt as usize].postorder_start = postorder.len() as u32;
        self.insn_postorder = postorder;
        Ok(())
    }

    /// Numbers the strongly connected components of more than one instruction, or of one that jumps to itself
    /// (Tarjan's algorithm with an explicit stack).
    pub(crate) fn compute_scc(&mut self) -> Res {
        const NOT_ON_STACK: u32 = u32::MAX;
        if !self.has_back_edges {
            self.set_scc_cnt(1);
            return Ok(());
        }
        let len = self.insns.len();
        let (mut pre, mut low) = (vec![0_u32; len], vec![0_u32; len]);
        let (mut stack, mut dfs) = (Vec::new(), Vec::new());
        let (mut next_preorder, mut next_scc) = (1, 1);
        for root in 0..len {
            if pre[root] != 0 {
                continue;
            }
            dfs.push(root);
            while let Some(&at) = dfs.last() {
                if pre[at] == 0 {
                    low[at] = next_preorder;
                    pre[at] = next_preorder;
                    next_preorder += 1;
                    stack.push(at);
                }
                let successors = self.successors[at];
                let mut unvisited = None;
                for &next in successors.as_slice() {
                    let Some(&reached) = pre.get(next as usize) else { continue };
                    if reached == 0 {
                        unvisited = Some(next as usize);
                        break;
                    }
                    low[at] = low[at].min(low[next as usize]);
                }
                if let Some(next) = unvisited {
                    dfs.push(next);
                    continue;
                }
                dfs.pop();
                if low[at] < pre[at] {
                    // A component further down reaches it.
                    continue;
                }
                let is_loop = stack.last() != Some(&at) || successors.as_slice().contains(&(at as u32));
                while let Some(member) = stack.pop() {
                    low[member] = NOT_ON_STACK;
                    if is_loop {
                        self.aux[member].scc = next_scc;
                    }
                    if member == at {
                        break;
                    }
                }
                next_scc += u32::from(is_loop);
            }
        }
        self.set_scc_cnt(next_scc);
        Ok(())
    }

    fn set_scc_cnt(&mut self, cnt: u32) {
        self.scc_info.clear();
        self.scc_info.resize_with(cnt as usize, SccInfo::default);
        self.scc_cnt = cnt;
    }
}

/// Slots that an instruction takes.
fn slots(insn: &Insn) -> i32 {
    if insn.is_ld_imm64() { 2 } else { 1 }
}

/// `bpf_jmp_offset`: how far an instruction jumps.
pub(crate) fn jmp_offset(insn: &Insn) -> i32 {
    if insn.code == opcode::JA32 { insn.imm } else { i32::from(insn.off) }
}

/// `bpf_insn_successors`: where control may go from an instruction, the next one first.
fn insn_successors(insns: &[Insn], idx: u32) -> Successors {
    let Some(insn) = insns.get(idx as usize) else { return Successors::default() };
    let (jumps, falls_through) = match (insn.class(), insn.code & OP) {
        (class::JMP | class::JMP32, op) => match op {
            _ if op == opcode::EXIT & OP => (false, false),
            _ if op == opcode::JA & OP => (true, false),
            _ if op == opcode::CALL & OP => (false, true),
            // No jump has this number.
            0xf0 => (false, true),
            _ => (true, true),
        },
        _ => (false, true),
    };
    let mut successors = Successors::default();
    if falls_through {
        successors.push(idx.wrapping_add(slots(insn) as u32));
    }
    if jumps {
        successors.push(idx.wrapping_add(jmp_offset(insn) as u32).wrapping_add(1));
    }
    successors
}

/// At most two instructions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Successors {
    cnt: u8,
    idx: [u32; 2],
}

impl Successors {
    fn push(&mut self, idx: u32) {
        self.idx[usize::from(self.cnt)] = idx;
        self.cnt += 1;
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.idx[..usize::from(self.cnt)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(insn: Insn) -> Vec<u32> {
        insn_successors(&[insn], 0).as_slice().to_vec()
    }

    #[test]
    fn successors_of_each_kind() {
        assert_eq!(next(Insn::new(opcode::LD_IMM64, 1, 0, 0, 7)), [2]);
        assert!(next(Insn::new(opcode::EXIT, 0, 0, 0, 0)).is_empty());
        assert_eq!(next(Insn::new(opcode::JA, 0, 0, 4, 9)), [5]);
        assert_eq!(next(Insn::new(opcode::JA32, 0, 0, 4, 9)), [10]);
        assert_eq!(next(Insn::new(opcode::CALL, 0, 1, 0, 9)), [1]);
        assert_eq!(next(Insn::new(0x15, 1, 0, 4, 9)), [1, 5]);
        assert_eq!(next(Insn::new(opcode::JCOND, 0, 0, 4, 0)), [1, 5]);
    }
}
