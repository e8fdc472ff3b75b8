// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arithmetic.

use skep_isa::AluOp;

use super::{BASE, Emitter, SCRATCH, host};
use crate::interp::{self, Code, Insn};
use crate::jit::x86::{Alu, Cc, Load, Mem, Reg, Shift, Unary};

/// The second operand.
#[derive(Clone, Copy)]
enum Operand {
    Reg(Reg),
    /// Sign-extended to 64 bits.
    Imm(i32),
}

impl Emitter<'_> {
    /// A move and an addition to its destination are one `lea`; whether they were emitted so.
    pub(super) fn fuse(&mut self, at: usize, insn: &Insn) -> bool {
        let Some(next) = self.program.insns.get(at + 1) else { return false };
        let adds = insn.code == Code::MovX64
            && matches!(next.code, Code::AddX64 | Code::AddK64)
            && next.dst == insn.dst
            && !self.leaders[at + 1]
            && insn.src != interp::Reg::R10;
        if !adds {
            return false;
        }
        let (dst, base) = (host(insn.dst), host(insn.src));
        let sum = if next.code == Code::AddK64 {
            Mem::new(base, next.imm as i32)
        } else if next.src != interp::Reg::R10 && next.src != next.dst {
            Mem::indexed(base, host(next.src), 0)
        } else {
            return false;
        };
        self.buf.lea(true, dst, sum);
        true
    }

    /// `dst = dst op operand`, moves and changes of byte order.
    pub(super) fn update(&mut self, insn: &Insn, source: bool) {
        let dst = host(insn.dst);
        if let Some((op, wide)) = insn.code.arithmetic() {
            let operand =
                if source { Operand::Reg(self.operand(insn.src)) } else { Operand::Imm(insn.imm as i32) };
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

    fn shift_imm(&mut self, op: Shift, wide: bool, dst: Reg, count: u8) {
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

    /// Unsigned: by 0 the quotient is 0, the remainder what was to be divided.
    fn divide(&mut self, modulo: bool, wide: bool, dst: Reg, operand: Operand) {
        let divisor = match operand {
            Operand::Reg(src) => src,
            Operand::Imm(imm) => {
                let value = if wide { i64::from(imm) as u64 } else { u64::from(imm as u32) };
                if value.is_power_of_two() {
                    return self.divide_by_power(modulo, wide, dst, value.trailing_zeros() as u8);
                }
                if value == 0 {
                    return self.divide_by_zero(modulo, wide, dst);
                }
                self.buf.mov_imm(SCRATCH, value);
                SCRATCH
            }
        };
        let zero = matches!(operand, Operand::Reg(_)).then(|| {
            self.buf.test(wide, divisor, divisor);
            self.buf.jcc_short(Cc::E)
        });
        self.quotient(Unary::Div, modulo, wide, dst, divisor);
        if let Some(zero) = zero {
            let done = self.buf.jmp_short();
            self.buf.land_short(zero);
            self.divide_by_zero(modulo, wide, dst);
            self.buf.land_short(done);
        }
    }

    fn divide_by_zero(&mut self, modulo: bool, wide: bool, dst: Reg) {
        if !modulo {
            self.buf.mov_imm(dst, 0);
        } else if !wide {
            self.buf.mov(false, dst, dst);
        }
    }

    fn divide_by_power(&mut self, modulo: bool, wide: bool, dst: Reg, log: u8) {
        if !modulo {
            return self.shift_imm(Shift::Shr, wide, dst, log);
        }
        let mask = (1_u64 << log) - 1;
        match i32::try_from(mask) {
            Ok(mask) => self.buf.alu_imm(Alu::And, false, dst, mask),
            Err(_) => {
                self.buf.mov_imm(SCRATCH, mask);
                self.buf.alu(Alu::And, wide, dst, SCRATCH);
            }
        }
    }

    /// Signed: by 0 as unsigned; by -1 the smallest number is its own quotient, where the processor would fault.
    fn signed_divide(&mut self, modulo: bool, wide: bool, dst: Reg, operand: Operand) {
        let divisor = match operand {
            Operand::Reg(src) => src,
            Operand::Imm(0) => return self.divide_by_zero(modulo, wide, dst),
            Operand::Imm(-1) => return self.divide_by_minus_one(modulo, wide, dst),
            Operand::Imm(imm) => {
                self.buf.mov_imm(SCRATCH, i64::from(imm) as u64);
                self.quotient(Unary::Idiv, modulo, wide, dst, SCRATCH);
                return;
            }
        };
        self.buf.test(wide, divisor, divisor);
        let zero = self.buf.jcc_short(Cc::E);
        self.buf.alu_imm(Alu::Cmp, wide, divisor, -1);
        let minus_one = self.buf.jcc_short(Cc::E);
        self.quotient(Unary::Idiv, modulo, wide, dst, divisor);
        let divided = self.buf.jmp_short();
        self.buf.land_short(minus_one);
        self.divide_by_minus_one(modulo, wide, dst);
        let negated = self.buf.jmp_short();
        self.buf.land_short(zero);
        self.divide_by_zero(modulo, wide, dst);
        self.buf.land_short(divided);
        self.buf.land_short(negated);
    }

    fn divide_by_minus_one(&mut self, modulo: bool, wide: bool, dst: Reg) {
        if modulo {
            self.buf.mov_imm(dst, 0);
        } else {
            self.buf.unary(Unary::Neg, wide, dst);
        }
    }

    /// Divides by what is neither 0 nor, signed, -1. The processor wants `rdx:rax` and gives the quotient in `rax`,
    /// the remainder in `rdx`; what they hold waits on the stack.
    fn quotient(&mut self, op: Unary, modulo: bool, wide: bool, dst: Reg, divisor: Reg) {
        if dst != Reg::Rax {
            self.buf.push(Reg::Rax);
        }
        if dst != Reg::Rdx {
            self.buf.push(Reg::Rdx);
        }
        let divisor = if matches!(divisor, Reg::Rax | Reg::Rdx) {
            self.buf.mov(true, SCRATCH, divisor);
            SCRATCH
        } else {
            divisor
        };
        if dst != Reg::Rax {
            self.buf.mov(wide, Reg::Rax, dst);
        }
        if op == Unary::Idiv {
            self.buf.sign_rdx(wide);
        } else {
            self.buf.mov_imm(Reg::Rdx, 0);
        }
        self.buf.unary(op, wide, divisor);
        self.buf.mov(wide, SCRATCH, if modulo { Reg::Rdx } else { Reg::Rax });
        if dst != Reg::Rdx {
            self.buf.pop(Reg::Rdx);
        }
        if dst != Reg::Rax {
            self.buf.pop(Reg::Rax);
        }
        self.buf.mov(wide, dst, SCRATCH);
    }
}
