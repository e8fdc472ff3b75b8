// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jumps.

use skep_isa::{AluOp, Cond};

use super::{BASE, Cold, Emitter, Forward, SCRATCH};
use crate::interp::{self, Code, Insn, Shape};
use crate::jit::x86::{Alu, Cc};

impl Emitter<'_> {
    /// `ja`.
    pub(super) fn jump(&mut self, at: usize, insn: &Insn) {
        let target = insn.off as usize;
        self.settle_for(target);
        if target <= at {
            self.look(target, Some(self.starts[target] as usize));
        }
        self.jump_to(None, at, target);
    }

    /// A conditional jump, or `may_goto`.
    pub(super) fn conditional(&mut self, at: usize, insn: &Insn) {
        let target = insn.off as usize;
        let deferred = self.deferred.take();
        if let Some(count) = self.settles_late(at, target) {
            let cc = self.compare(insn, deferred);
            let from = self.buf.jcc(cc);
            self.cold.push(Cold::Settle { from, target, count });
            return self.spend_may_goto(insn);
        }
        self.settle_for(target);
        let low = (target <= at && self.target.count).then(|| self.buf.jcc(Cc::Le));
        let cc = self.compare(insn, deferred);
        self.jump_to(Some(cc), at, target);
        if let Some(from) = low {
            self.cold.push(Cold::BackEdge { from, at, deferred, next: self.buf.position() });
        }
        self.spend_may_goto(insn);
    }

    fn spend_may_goto(&mut self, insn: &Insn) {
        if insn.code == Code::MayGoto {
            let slot = self.may_goto_slot();
            self.buf.alu_mem_imm(Alu::Sub, false, slot, 1);
        }
    }

    fn jump_to(&mut self, cc: Option<Cc>, at: usize, target: usize) {
        if target <= at {
            let to = self.starts[target] as usize;
            let near = self.buf.position() - to < 120;
            match (cc, near) {
                (None, true) => {
                    let patch = self.buf.jmp_short();
                    let _ = self.buf.patch_short(patch, to);
                }
                (Some(cc), true) => {
                    let patch = self.buf.jcc_short(cc);
                    let _ = self.buf.patch_short(patch, to);
                }
                (None, false) => {
                    let patch = self.buf.jmp();
                    self.buf.patch(patch, to);
                }
                (Some(cc), false) => {
                    let patch = self.buf.jcc(cc);
                    self.buf.patch(patch, to);
                }
            }
            return;
        }
        let short = self.is_near(at, target);
        let patch = match (cc, short) {
            (None, true) => self.buf.jmp_short(),
            (None, false) => self.buf.jmp(),
            (Some(cc), true) => self.buf.jcc_short(cc),
            (Some(cc), false) => self.buf.jcc(cc),
        };
        self.jumps.push(Forward { patch, target, short });
    }

    /// Whether an instruction leaves the flags that the next one, a jump that compares its result with 0, is about.
    pub(super) fn sets_flags_for_next(&self, at: usize) -> bool {
        let insn = &self.program.insns[at];
        let Some(next) = self.program.insns.get(at + 1) else { return false };
        let compares = matches!(next.code, Code::JeqK64 | Code::JneK64) && next.imm == 0;
        if !compares || next.dst != insn.dst || self.leaders[at + 1] {
            return false;
        }
        // Of constants, 0 leaves the register alone, and so the flags.
        let changes = insn.code.shape() == (Shape::Update { source: true }) || insn.imm != 0;
        let op = insn.code.arithmetic().map(|(op, _)| op);
        changes && matches!(op, Some(AluOp::Add | AluOp::Sub | AluOp::And | AluOp::Or | AluOp::Xor))
    }

    /// Compares the operands of a jump: the condition on which it is taken. `deferred` is an instruction that does so.
    pub(super) fn compare(&mut self, insn: &Insn, deferred: Option<usize>) -> Cc {
        if let Some(at) = deferred {
            let before = self.program.insns[at];
            let source = before.code.shape() == (Shape::Update { source: true });
            self.update(&before, source);
            return if insn.code == Code::JeqK64 { Cc::E } else { Cc::Ne };
        }
        let Some((cond, wide)) = insn.code.condition() else {
            // `may_goto` is taken once its budget is used up.
            let slot = self.may_goto_slot();
            self.buf.alu_mem_imm(Alu::Cmp, false, slot, 0);
            return Cc::E;
        };
        let dst = self.operand(insn.dst);
        if insn.code.shape() == (Shape::Jump { source: true }) {
            let src =
                if insn.src == interp::Reg::R10 { self.operand(insn.src) } else { super::host(insn.src) };
            match cond {
                Cond::Set => self.buf.test(wide, dst, src),
                _ => self.buf.alu(Alu::Cmp, wide, dst, src),
            }
        } else if self.target.blind {
            self.blinded(wide, BASE, insn.imm as i32);
            match cond {
                Cond::Set => self.buf.test(wide, dst, BASE),
                _ => self.buf.alu(Alu::Cmp, wide, dst, BASE),
            }
            // Moves leave the flags alone.
            self.restore_base();
        } else {
            let imm = insn.imm as i32;
            match cond {
                // Where no high bit is tested, the low half suffices.
                Cond::Set => self.buf.test_imm(wide && imm < 0, dst, imm),
                _ if imm == 0 => self.buf.test(wide, dst, dst),
                _ => self.buf.alu_imm(Alu::Cmp, wide, dst, imm),
            }
        }
        debug_assert!(dst != SCRATCH || insn.dst == interp::Reg::R10);
        match cond {
            Cond::Eq => Cc::E,
            Cond::Ne | Cond::Set => Cc::Ne,
            Cond::Gt => Cc::A,
            Cond::Ge => Cc::Ae,
            Cond::Lt => Cc::B,
            Cond::Le => Cc::Be,
            Cond::Sgt => Cc::G,
            Cond::Sge => Cc::Ge,
            Cond::Slt => Cc::L,
            Cond::Sle => Cc::Le,
        }
    }
}
