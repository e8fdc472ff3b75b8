// SPDX-License-Identifier: GPL-2.0-only
//! The program without what no path reached (`opt_hard_wire_dead_code_branches`, `opt_remove_dead_code`,
//! `opt_remove_nops`, `bpf_adj_branches @ 6.18`), as far as it decides which functions are still found: one whose address
//! is taken, and which is gone, is a bug that the kernel runs into.

use skep_isa::{Insn, class, opcode};

use crate::env::Env;
use crate::stop::{Res, verifier_bug};
use crate::subprog::{is_may_goto, is_pseudo_call, is_pseudo_func};

/// Bits of the operation (`BPF_OP`).
const OP: u8 = 0xf0;

/// What is rewritten.
struct Image {
    insns: Vec<Insn>,
    seen: Vec<bool>,
    /// Starts of the functions; the last one is the end of the program.
    starts: Vec<usize>,
}

fn is_jump(insn: &Insn) -> bool {
    matches!(insn.class(), class::JMP | class::JMP32)
}

/// `insn_is_cond_jump`.
fn is_conditional(insn: &Insn) -> bool {
    is_jump(insn) && ![opcode::JA & OP, opcode::EXIT & OP, opcode::CALL & OP].contains(&(insn.code & OP))
}

impl Image {
    /// `opt_hard_wire_dead_code_branches`.
    fn hard_wire(&mut self) {
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            if !is_conditional(&insn) {
                continue;
            }
            let seen = |to: i64| usize::try_from(to).ok().and_then(|to| self.seen.get(to)) == Some(&true);
            let off = if !seen(at as i64 + 1) {
                insn.off
            } else if !seen(at as i64 + 1 + i64::from(insn.off)) {
                0
            } else {
                continue;
            };
            self.insns[at] = Insn::new(opcode::JA, 0, 0, off, 0);
        }
    }

    /// `opt_remove_dead_code`.
    fn remove_dead(&mut self) {
        let mut at = 0;
        while at < self.insns.len() {
            let dead = self.seen[at..].iter().take_while(|&&seen| !seen).count();
            if dead > 0 {
                self.remove(at, dead);
            }
            at += 1;
        }
    }

    /// `opt_remove_nops`.
    fn remove_nops(&mut self) {
        let mut at = 0;
        while at < self.insns.len() {
            let insn = self.insns[at];
            let may_goto_0 = is_may_goto(&insn) && insn.off == 0;
            let nop = insn == Insn::new(opcode::JA, 0, 0, 0, 0);
            if !nop && !may_goto_0 {
                at += 1;
                continue;
            }
            self.remove(at, 1);
            // What is in front of it may be such a jump by now.
            if may_goto_0 && at > 0 {
                at -= 1;
            }
        }
    }

    /// `verifier_remove_insns`.
    fn remove(&mut self, off: usize, cnt: usize) {
        self.adjust_starts(off, cnt);
        self.insns.drain(off..off + cnt);
        self.seen.drain(off..off + cnt);
        let end = (off + cnt) as i64;
        let adjusted = |at: usize, distance: i64| {
            let target = at as i64 + distance + 1;
            if at < off && target >= end {
                distance - cnt as i64
            } else if at >= off && target < off as i64 {
                distance + cnt as i64
            } else {
                distance
            }
        };
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            let calls = insn.code & OP == opcode::CALL & OP && is_jump(&insn);
            if is_pseudo_func(&insn) || is_pseudo_call(&insn) || insn.code == opcode::JA32 {
                self.insns[at].imm = adjusted(at, insn.imm.into()) as i32;
            } else if is_jump(&insn) && !calls && insn.code & OP != opcode::EXIT & OP {
                self.insns[at].off = adjusted(at, insn.off.into()) as i16;
            }
        }
    }

    /// `adjust_subprog_starts_after_remove`.
    fn adjust_starts(&mut self, off: usize, cnt: usize) {
        let functions = self.starts.len() - 1;
        let first = |from: usize, place: usize| {
            (from..functions).find(|&i| self.starts[i] >= place).unwrap_or(functions)
        };
        let mut i = first(0, off);
        let mut j = first(i, off + cnt);
        // Not all of the one in front goes.
        if self.starts[j] != off + cnt {
            j = j.saturating_sub(1);
        }
        if j > i {
            self.starts.drain(i..j);
        } else if self.starts[i] == off {
            i += 1;
        }
        for start in self.starts.iter_mut().skip(i) {
            *start -= cnt;
        }
    }
}

impl Env<'_> {
    /// The part of `jit_subprogs` that looks for the functions that are named (`fixup_call_args`). The number in the
    /// message is that of the program as it is here; the kernel has rewritten some instructions into several.
    pub(crate) fn fixup_call_args(&mut self) -> Res {
        if !self.bpf_capable || !self.insns.iter().any(is_pseudo_func) {
            return Ok(());
        }
        let mut image = Image {
            insns: self.insns.clone(),
            seen: self.aux.iter().map(|aux| aux.seen != 0).collect(),
            starts: self.subprogs.iter().map(|sub| sub.start as usize).collect(),
        };
        image.hard_wire();
        image.remove_dead();
        image.remove_nops();
        let functions = &image.starts[..image.starts.len() - 1];
        if functions.len() <= 1 {
            return Ok(());
        }
        for (at, insn) in image.insns.iter().enumerate() {
            if !is_pseudo_func(insn) && !is_pseudo_call(insn) {
                continue;
            }
            let target = at as i64 + i64::from(insn.imm) + 1;
            if !functions.iter().any(|&start| start as i64 == target) {
                return Err(verifier_bug!(self, "No program to jit at insn {} (subprog < 0)", target));
            }
        }
        Ok(())
    }
}
