// SPDX-License-Identifier: MIT OR Apache-2.0
//! Division and its remainder.

use super::alu::Operand;
use super::{BASE, Emitter, SCRATCH};
use crate::jit::x86::{Alu, Cc, Reg, Shift, Unary};

/// What a division by a constant multiplies by, and shifts right after it.
struct Inverse {
    factor: u64,
    shift: u8,
}

/// The inverse of a number that is no power of two: `2^64 + factor` is it, times `2^(65 + shift)`, rounded up.
fn inverse64(divisor: u64) -> Inverse {
    let log = 64 - (divisor - 1).leading_zeros();
    let excess = (1_u128 << log) - u128::from(divisor);
    let factor = (excess << 64) / u128::from(divisor) + 1;
    Inverse { factor: factor as u64, shift: log as u8 - 1 }
}

impl Emitter<'_> {
    /// Unsigned: by 0 the quotient is 0, the remainder what was to be divided.
    pub(super) fn divide(&mut self, modulo: bool, wide: bool, dst: Reg, operand: Operand) {
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
                if self.target.bmi2 && value <= i32::MAX as u64 {
                    return self.divide_by_constant(modulo, wide, dst, value);
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

    /// Multiplies by what is nearly the inverse and drops the lower half, as compilers do (Granlund and Montgomery,
    /// "Division by invariant integers using multiplication", 1994, section 4): exact for every number.
    fn divide_by_constant(&mut self, modulo: bool, wide: bool, dst: Reg, divisor: u64) {
        let inverse =
            if wide { inverse64(divisor) } else { Inverse { factor: u64::MAX / divisor + 1, shift: 0 } };
        // The processor multiplies by `rdx`.
        self.buf.mov(true, BASE, Reg::Rdx);
        if dst == Reg::Rdx {
            self.buf.mov_imm64(SCRATCH, inverse.factor);
            if !wide {
                self.buf.mov(false, Reg::Rdx, Reg::Rdx);
            }
            self.buf.mulx(SCRATCH, Reg::Rdx, SCRATCH);
        } else {
            self.buf.mov_imm64(Reg::Rdx, inverse.factor);
            if !wide {
                self.buf.mov(false, dst, dst);
            }
            self.buf.mulx(SCRATCH, Reg::Rdx, dst);
        }
        self.buf.mov(true, Reg::Rdx, BASE);
        if wide {
            // The factor has one more bit, which stands for the number itself.
            self.buf.mov(true, BASE, dst);
            self.buf.alu(Alu::Sub, true, BASE, SCRATCH);
            self.buf.shift_imm(Shift::Shr, true, BASE, 1);
            self.buf.alu(Alu::Add, true, SCRATCH, BASE);
            if inverse.shift > 0 {
                self.buf.shift_imm(Shift::Shr, true, SCRATCH, inverse.shift);
            }
        }
        self.restore_base();
        if modulo {
            self.buf.imul_imm(wide, SCRATCH, SCRATCH, divisor as i32);
            self.buf.alu(Alu::Sub, wide, dst, SCRATCH);
        } else {
            self.buf.mov(wide, dst, SCRATCH);
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
    pub(super) fn signed_divide(&mut self, modulo: bool, wide: bool, dst: Reg, operand: Operand) {
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
