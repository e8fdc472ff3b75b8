// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loads and stores.

use skep_isa::Size;

use super::{BASE, Emitter, FRAME, SCRATCH, host};
use crate::interp::{self, Code, Insn, Shape};
use crate::jit::x86::{Cc, Load, Mem, Reg, Width};

pub(super) fn width(size: Size) -> Width {
    match size {
        Size::B => Width::B,
        Size::H => Width::H,
        Size::W => Width::W,
        Size::Dw => Width::Dw,
    }
}

/// How much an instruction accesses.
pub(in super::super) fn size(insn: &Insn) -> Size {
    // Acquiring and releasing accesses have their size in the operand.
    insn.code.access().unwrap_or(Size::ALL[insn.imm as usize & 3])
}

impl Emitter<'_> {
    /// The memory at a register and a displacement, confined. Takes the scratch register where that is needed.
    pub(super) fn memory(&mut self, reg: interp::Reg, off: i32) -> Mem {
        if reg == interp::Reg::R10 {
            return Mem::new(FRAME, off);
        }
        if self.target.elide {
            return Mem::indexed(BASE, host(reg), off);
        }
        self.buf.mov(false, SCRATCH, host(reg));
        Mem::indexed(BASE, SCRATCH, off)
    }

    /// The same, its address in the scratch register, which has to be a multiple of the size.
    pub(super) fn aligned_memory(&mut self, at: usize, reg: interp::Reg, off: i32, size: Size) -> Mem {
        let mem = self.memory(reg, off);
        self.buf.lea(true, SCRATCH, mem);
        if !self.target.elide && size != Size::B {
            self.buf.test_imm(false, SCRATCH, size.bytes() as i32 - 1);
            self.trap_if(Cc::Ne, at);
        }
        Mem::new(SCRATCH, 0)
    }

    pub(super) fn load(&mut self, at: usize, insn: &Insn) {
        let size = size(insn);
        let mem = if insn.code == Code::LoadAcquire {
            self.aligned_memory(at, insn.src, insn.off, size)
        } else {
            self.memory(insn.src, insn.off)
        };
        let kind = match (size, insn.code.sign_extends()) {
            (Size::B, false) => Load::U8,
            (Size::H, false) => Load::U16,
            (Size::W, false) => Load::U32,
            (Size::Dw, _) => Load::U64,
            (Size::B, true) => Load::I8,
            (Size::H, true) => Load::I16,
            (Size::W, true) => Load::I32,
        };
        self.buf.load(kind, host(insn.dst), mem);
    }

    pub(super) fn store(&mut self, at: usize, insn: &Insn) {
        let size = size(insn);
        let mem = if insn.code == Code::StoreRelease {
            self.aligned_memory(at, insn.dst, insn.off, size)
        } else {
            self.memory(insn.dst, insn.off)
        };
        if insn.code.shape() == Shape::StoreImm && self.target.blind {
            return self.store_blinded(width(size), mem, insn.imm as i32);
        }
        if insn.code.shape() == Shape::StoreImm {
            return self.buf.store_imm(width(size), mem, insn.imm as i32);
        }
        if insn.src == interp::Reg::R10 && size == Size::Dw {
            // Not `rbp` itself, whose upper half the program must not see.
            self.with_frame_pointer(mem, |this, mem, value| this.buf.store(Width::Dw, mem, value));
        } else {
            self.buf.store(width(size), mem, host(insn.src));
        }
    }

    /// Gives what the program sees in `r10` to an access: the base's register holds it, so the address has to be
    /// in one register.
    pub(super) fn with_frame_pointer(&mut self, mem: Mem, access: impl FnOnce(&mut Self, Mem, Reg)) {
        self.buf.lea(true, SCRATCH, mem);
        self.buf.mov(false, BASE, FRAME);
        access(self, Mem::new(SCRATCH, 0), BASE);
        self.restore_base();
    }
}
