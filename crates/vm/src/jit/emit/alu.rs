// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arithmetic.

use skep_isa::AluOp;

use super::{BASE, Emitter, SCRATCH, host};
use crate::interp::{Code, Insn};
use crate::jit::x86::{Alu, Load, Reg, Shift, Unary};

/// The second operand.
#[derive(Clone, Copy)]
pub(super) enum Operand {
    Reg(Reg),
    /// Sign-extended to 64 bits.
    Imm(i32),
}

impl Emitter<'_> {
    /// `dst = dst op operand`, moves and changes of byte order.
    pub(super) fn update(&mut self, insn: &Insn, source: bool) {
        let dst = host(insn.dst);
        if let Some((op, wide)) = insn.code.arithmetic() {
            let shifts = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
            let operand = if source {
                Operand::Reg(self.operand(insn.src))
            } else if self.target.blind && !shifts {
                self.blinded(wide, SCRATCH, insn.imm as i32);
                Operand::Reg(SCRATCH)
            } else {
                Operand::Imm(insn.imm as i32)
            };
            return self.arithmetic(op, wide, dst, operand);
        }
        match insn.code {
            Code::Neg64 => self.buf.unary(Unary::Neg, true, dst),
            Code::Neg32 => self.buf.unary(Unary::Neg, false, dst),
            Code::Movsx64 | Code::Movsx32 => {
                let src = self.operand(insn.src);
                let kind = match insn.imm {
                    56 => Load::I8,
                    48 => Load::I16,
                    _ => Load::I32,
                };
                self.buf.extend(kind, insn.code == Code::Movsx64, dst, src);
            }
            Code::Zext16 => self.buf.extend(Load::U16, false, dst, dst),
            Code::Zext32 => self.buf.mov(false, dst, dst),
            Code::Swap16 => {
                self.buf.rol16_8(dst);
                self.buf.extend(Load::U16, false, dst, dst);
            }
            Code::Swap32 => self.buf.bswap(false, dst),
            Code::Swap64 => self.buf.bswap(true, dst),
            // `Zext64` changes nothing.
            _ => {}
        }
    }

    fn arithmetic(&mut self, op: AluOp, wide: bool, dst: Reg, operand: Operand) {
        match op {
            AluOp::Mov => match operand {
                Operand::Reg(src) => self.buf.mov(wide, dst, src),
                Operand::Imm(imm) => {
                    let imm = i64::from(imm) as u64;
                    self.buf.mov_imm(dst, if wide { imm } else { imm & 0xffff_ffff });
                }
            },
            AluOp::Add => self.simple(Alu::Add, wide, dst, operand),
            AluOp::Sub => self.simple(Alu::Sub, wide, dst, operand),
            AluOp::Or => self.simple(Alu::Or, wide, dst, operand),
            AluOp::And => self.simple(Alu::And, wide, dst, operand),
            AluOp::Xor => self.simple(Alu::Xor, wide, dst, operand),
            AluOp::Mul => match operand {
                Operand::Reg(src) => self.buf.imul(wide, dst, src),
                Operand::Imm(imm) if imm > 0 && imm.count_ones() == 1 => {
                    self.shift_imm(Shift::Shl, wide, dst, imm.trailing_zeros() as u8);
                }
                Operand::Imm(imm) => self.buf.imul_imm(wide, dst, dst, imm),
            },
            AluOp::Lsh => self.shift(Shift::Shl, wide, dst, operand),
            AluOp::Rsh => self.shift(Shift::Shr, wide, dst, operand),
            AluOp::Arsh => self.shift(Shift::Sar, wide, dst, operand),
            AluOp::Div | AluOp::Mod => self.divide(op == AluOp::Mod, wide, dst, operand),
            AluOp::Sdiv | AluOp::Smod => self.signed_divide(op == AluOp::Smod, wide, dst, operand),
        }
    }

    fn simple(&mut self, op: Alu, wide: bool, dst: Reg, operand: Operand) {
        match operand {
            Operand::Reg(src) => self.buf.alu(op, wide, dst, src),
            // Changes nothing but the upper half.
            Operand::Imm(0) if op != Alu::And => {
                if !wide {
                    self.buf.mov(false, dst, dst);
                }
            }
            // 32 bits suffice where the upper half is cleared, or not there.
            Operand::Imm(imm) => self.buf.alu_imm(op, wide && !(op == Alu::And && imm >= 0), dst, imm),
        }
    }

    pub(super) fn shift_imm(&mut self, op: Shift, wide: bool, dst: Reg, count: u8) {
        match count {
            0 if wide => {}
            0 => self.buf.mov(false, dst, dst),
            _ => self.buf.shift_imm(op, wide, dst, count),
        }
    }

    fn shift(&mut self, op: Shift, wide: bool, dst: Reg, operand: Operand) {
        let src = match operand {
            Operand::Imm(imm) => {
                let bits = if wide { 63 } else { 31 };
                return self.shift_imm(op, wide, dst, imm as u8 & bits);
            }
            Operand::Reg(src) => src,
        };
        if self.target.bmi2 {
            self.buf.shift_reg(op, wide, dst, dst, src);
        } else if src == Reg::Rcx {
            self.buf.shift_cl(op, wide, dst);
        } else {
            // The count has to be in `cl`; what is there waits in the base's register.
            self.buf.mov(true, BASE, Reg::Rcx);
            self.buf.mov(false, Reg::Rcx, src);
            if dst == Reg::Rcx {
                self.buf.shift_cl(op, wide, BASE);
            } else {
                self.buf.shift_cl(op, wide, dst);
            }
            self.buf.mov(true, Reg::Rcx, BASE);
            self.restore_base();
        }
    }
}
