// SPDX-License-Identifier: MIT OR Apache-2.0
//! Atomic read-modify-write.

use skep_isa::{AtomicOp, Size};

use super::{BASE, Emitter, SCRATCH, host};
use crate::interp::{self, ATOMIC_OPS, Code, Insn};
use crate::jit::x86::{Alu, Cc, Mem, Reg};

/// The operation of an atomic instruction.
pub(in super::super) fn operation(insn: &Insn) -> AtomicOp {
    ATOMIC_OPS[insn.imm as usize % ATOMIC_OPS.len()]
}

/// The operation that the processor has no instruction for that also gives the old value.
pub(in super::super) fn logic(op: AtomicOp) -> Option<Alu> {
    match op {
        AtomicOp::FetchOr => Some(Alu::Or),
        AtomicOp::FetchAnd => Some(Alu::And),
        AtomicOp::FetchXor => Some(Alu::Xor),
        AtomicOp::Add
        | AtomicOp::Or
        | AtomicOp::And
        | AtomicOp::Xor
        | AtomicOp::FetchAdd
        | AtomicOp::Xchg
        | AtomicOp::Cmpxchg => None,
    }
}

impl Emitter<'_> {
    pub(super) fn atomic(&mut self, at: usize, insn: &Insn) {
        let wide = insn.code == Code::Atomic64;
        let size = if wide { Size::Dw } else { Size::W };
        let mem = self.aligned_memory(at, insn.dst, insn.off, size);
        let op = operation(insn);
        if let Some(op) = logic(op) {
            return self.fetch_logic(op, wide, insn, mem);
        }
        if insn.src == interp::Reg::R10 {
            self.with_frame_pointer(mem, |this, mem, value| this.atomic_at(op, wide, mem, value));
        } else {
            self.atomic_at(op, wide, mem, host(insn.src));
        }
    }

    fn atomic_at(&mut self, op: AtomicOp, wide: bool, mem: Mem, src: Reg) {
        match op {
            AtomicOp::Add => self.buf.lock_alu(Alu::Add, wide, mem, src),
            AtomicOp::Or | AtomicOp::FetchOr => self.buf.lock_alu(Alu::Or, wide, mem, src),
            AtomicOp::And | AtomicOp::FetchAnd => self.buf.lock_alu(Alu::And, wide, mem, src),
            AtomicOp::Xor | AtomicOp::FetchXor => self.buf.lock_alu(Alu::Xor, wide, mem, src),
            AtomicOp::FetchAdd => self.buf.lock_xadd(wide, mem, src),
            AtomicOp::Xchg => self.buf.xchg(wide, mem, src),
            AtomicOp::Cmpxchg => {
                self.buf.lock_cmpxchg(wide, mem, src);
                if !wide {
                    // Where they were equal, `rax` was not written.
                    self.buf.mov(false, Reg::Rax, Reg::Rax);
                }
            }
        }
    }

    /// A loop around a compare-and-exchange. `r0` waits in the base's register, where a trap finds it.
    fn fetch_logic(&mut self, op: Alu, wide: bool, insn: &Insn, mem: Mem) {
        let src = host(insn.src);
        let taken = [host(insn.dst), src];
        let new =
            [Reg::Rcx, Reg::Rdx, Reg::Rbx].into_iter().find(|reg| !taken.contains(reg)).unwrap_or(Reg::Rbx);
        let operand = if src == Reg::Rax { BASE } else { src };
        self.buf.mov(true, BASE, Reg::Rax);
        self.buf.push(new);
        debug_assert_eq!(mem, Mem::new(SCRATCH, 0));
        let load = if wide { crate::jit::x86::Load::U64 } else { crate::jit::x86::Load::U32 };
        self.buf.load(load, Reg::Rax, mem);
        let again = self.buf.position();
        self.buf.mov(wide, new, Reg::Rax);
        self.buf.alu(op, wide, new, operand);
        self.buf.lock_cmpxchg(wide, mem, new);
        let retry = self.buf.jcc_short(Cc::Ne);
        let near = self.buf.patch_short(retry, again);
        debug_assert!(near, "a loop of three instructions");
        self.buf.pop(new);
        self.buf.mov(wide, src, Reg::Rax);
        if src != Reg::Rax {
            self.buf.mov(true, Reg::Rax, BASE);
        }
        self.restore_base();
    }
}
