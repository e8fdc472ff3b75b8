// SPDX-License-Identifier: GPL-2.0-only
//! Comparisons of sets of numbers: the outcome where it is certain, and what each outcome says of both sides
//! (`is_scalar_branch_taken`, `regs_refine_cond_op @ 6.18`).

use super::Scalar;
use crate::tnum::Tnum;

/// `BPF_OP` of conditional jumps.
pub(crate) mod cond {
    pub(crate) const JEQ: u8 = 0x10;
    pub(crate) const JGT: u8 = 0x20;
    pub(crate) const JGE: u8 = 0x30;
    pub(crate) const JSET: u8 = 0x40;
    pub(crate) const JNE: u8 = 0x50;
    pub(crate) const JSGT: u8 = 0x60;
    pub(crate) const JSGE: u8 = 0x70;
    pub(crate) const JLT: u8 = 0xa0;
    pub(crate) const JLE: u8 = 0xb0;
    pub(crate) const JSLT: u8 = 0xc0;
    pub(crate) const JSLE: u8 = 0xd0;
    /// The opposite of `JSET`, which no instruction has.
    pub(crate) const JNSET: u8 = JSET | 0x08;
}

/// `flip_opcode`: the condition with its sides exchanged.
pub(crate) fn flip(opcode: u8) -> u8 {
    match opcode {
        cond::JGE => cond::JLE,
        cond::JGT => cond::JLT,
        cond::JLE => cond::JGE,
        cond::JLT => cond::JGT,
        cond::JSGE => cond::JSLE,
        cond::JSGT => cond::JSLT,
        cond::JSLE => cond::JSGE,
        cond::JSLT => cond::JSGT,
        same => same,
    }
}

/// `rev_opcode`: the condition that holds where this one does not.
pub(crate) fn invert(opcode: u8) -> u8 {
    match opcode {
        cond::JEQ => cond::JNE,
        cond::JNE => cond::JEQ,
        cond::JSET => cond::JNSET,
        cond::JNSET => cond::JSET,
        cond::JGE => cond::JLT,
        cond::JGT => cond::JLE,
        cond::JLE => cond::JGT,
        cond::JLT => cond::JGE,
        cond::JSGE => cond::JSLT,
        cond::JSGT => cond::JSLE,
        cond::JSLE => cond::JSGT,
        cond::JSLT => cond::JSGE,
        _ => 0,
    }
}

/// One side of a comparison, of 64 bits or of the low 32.
#[derive(Clone, Copy)]
struct Side {
    bits: Tnum,
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
}

impl Side {
    fn of(val: &Scalar, is_jmp32: bool) -> Side {
        if is_jmp32 {
            Side {
                bits: val.var_off.subreg(),
                umin: val.u32_min.into(),
                umax: val.u32_max.into(),
                smin: val.s32_min.into(),
                smax: val.s32_max.into(),
            }
        } else {
            Side { bits: val.var_off, umin: val.umin, umax: val.umax, smin: val.smin, smax: val.smax }
        }
    }
}

/// Whether two numbers are equal, where that is certain.
fn equal(val1: &Scalar, val2: &Scalar, a: Side, b: Side, is_jmp32: bool) -> Option<bool> {
    if a.bits.is_const() && b.bits.is_const() {
        return Some(a.bits.value == b.bits.value);
    }
    let apart = !a.bits.overlaps(b.bits)
        || (a.umin > b.umax || a.umax < b.umin)
        || (a.smin > b.smax || a.smax < b.smin)
        || (!is_jmp32
            && ((val1.u32_min > val2.u32_max || val1.u32_max < val2.u32_min)
                || (val1.s32_min > val2.s32_max || val1.s32_max < val2.s32_min)));
    apart.then_some(false)
}

/// `true` where the first holds, `false` where the second does, and neither is certain otherwise.
fn either(yes: bool, no: bool) -> Option<bool> {
    if yes { Some(true) } else { no.then_some(false) }
}

/// `is_scalar_branch_taken`: whether `val1 <opcode> val2` holds for all their numbers, or for none.
pub(crate) fn branch_taken(val1: &Scalar, val2: &Scalar, opcode: u8, is_jmp32: bool) -> Option<bool> {
    let (a, b) = (Side::of(val1, is_jmp32), Side::of(val2, is_jmp32));
    match opcode {
        cond::JEQ => equal(val1, val2, a, b, is_jmp32),
        cond::JNE => equal(val1, val2, a, b, is_jmp32).map(|eq| !eq),
        cond::JSET => {
            let (bits, mask) = if b.bits.is_const() { (a.bits, b.bits) } else { (b.bits, a.bits) };
            if !mask.is_const() {
                return None;
            }
            either(!bits.mask & bits.value & mask.value != 0, (bits.mask | bits.value) & mask.value == 0)
        }
        cond::JGT => either(a.umin > b.umax, a.umax <= b.umin),
        cond::JSGT => either(a.smin > b.smax, a.smax <= b.smin),
        cond::JLT => either(a.umax < b.umin, a.umin >= b.umax),
        cond::JSLT => either(a.smax < b.smin, a.smin >= b.smax),
        cond::JGE => either(a.umin >= b.umax, a.umax < b.umin),
        cond::JSGE => either(a.smin >= b.smax, a.smax < b.smin),
        cond::JLE => either(a.umax <= b.umin, a.umin > b.umax),
        cond::JSLE => either(a.smax <= b.smin, a.smin > b.smax),
        _ => None,
    }
}

/// The two sides of a comparison. Both may be the same register, and then are one number here as well.
pub(crate) struct Sides {
    vals: [Scalar; 2],
    second: usize,
}

impl Sides {
    pub(crate) fn new(first: Scalar, second: Scalar, same: bool) -> Sides {
        Sides { vals: [first, second], second: usize::from(!same) }
    }

    pub(crate) fn first(&self) -> &Scalar {
        &self.vals[0]
    }

    pub(crate) fn second(&self) -> &Scalar {
        &self.vals[self.second]
    }

    /// What the sides are if `first <opcode> second` holds, with all that follows from it.
    pub(crate) fn refine(&mut self, opcode: u8, is_jmp32: bool) {
        refine(&mut self.vals, 0, self.second, opcode, is_jmp32);
        self.vals[0].sync();
        self.vals[self.second].sync();
    }
}

/// Lowers the maximum of one number to that of another, less `less`, and raises the other's minimum to that of the
/// first, and `less` more.
macro_rules! order {
    ($vals:ident, $a:ident, $b:ident, $less:expr, $min:ident, $max:ident) => {{
        $vals[$a].$max = $vals[$a].$max.min($vals[$b].$max.wrapping_sub($less));
        $vals[$b].$min = $vals[$b].$min.max($vals[$a].$min.wrapping_add($less));
    }};
}

/// Both numbers lie in both ranges.
macro_rules! meet {
    ($vals:ident, $a:ident, $b:ident, $min:ident, $max:ident) => {{
        $vals[$a].$min = $vals[$a].$min.max($vals[$b].$min);
        $vals[$a].$max = $vals[$a].$max.min($vals[$b].$max);
        $vals[$b].$min = $vals[$a].$min;
        $vals[$b].$max = $vals[$a].$max;
    }};
}

/// The bound goes inwards where it is the value that the number does not have.
macro_rules! exclude {
    ($val:expr, $value:expr, $min:ident, $max:ident) => {{
        if $val.$min == $value {
            $val.$min = $val.$min.wrapping_add(1);
        }
        if $val.$max == $value {
            $val.$max = $val.$max.wrapping_sub(1);
        }
    }};
}

/// `regs_refine_cond_op`: what `vals[a] <opcode> vals[b]` says of both. The descriptions of each are not made
/// consistent.
pub(crate) fn refine(vals: &mut [Scalar; 2], mut a: usize, mut b: usize, mut opcode: u8, is_jmp32: bool) {
    if matches!(opcode, cond::JGE | cond::JGT | cond::JSGE | cond::JSGT) {
        opcode = flip(opcode);
        std::mem::swap(&mut a, &mut b);
    }
    // Conditions that only say something beside a constant.
    if matches!(opcode, cond::JNE | cond::JSET | cond::JNSET) {
        if vals[b].const_value(is_jmp32).is_none() {
            std::mem::swap(&mut a, &mut b);
        }
        if let Some(value) = vals[b].const_value(is_jmp32) {
            refine_by_const(&mut vals[a], value, opcode, is_jmp32);
        }
        return;
    }
    match opcode {
        cond::JEQ if is_jmp32 => {
            meet!(vals, a, b, u32_min, u32_max);
            meet!(vals, a, b, s32_min, s32_max);
            let low = vals[a].var_off.subreg().intersect(vals[b].var_off.subreg());
            vals[a].var_off = vals[a].var_off.with_subreg(low);
            vals[b].var_off = vals[b].var_off.with_subreg(low);
        }
        cond::JEQ => {
            meet!(vals, a, b, umin, umax);
            meet!(vals, a, b, smin, smax);
            vals[a].var_off = vals[a].var_off.intersect(vals[b].var_off);
            vals[b].var_off = vals[a].var_off;
        }
        cond::JLE if is_jmp32 => order!(vals, a, b, 0, u32_min, u32_max),
        cond::JLE => order!(vals, a, b, 0, umin, umax),
        cond::JLT if is_jmp32 => order!(vals, a, b, 1, u32_min, u32_max),
        cond::JLT => order!(vals, a, b, 1, umin, umax),
        cond::JSLE if is_jmp32 => order!(vals, a, b, 0, s32_min, s32_max),
        cond::JSLE => order!(vals, a, b, 0, smin, smax),
        cond::JSLT if is_jmp32 => order!(vals, a, b, 1, s32_min, s32_max),
        cond::JSLT => order!(vals, a, b, 1, smin, smax),
        _ => {}
    }
}

fn refine_by_const(val: &mut Scalar, value: u64, opcode: u8, is_jmp32: bool) {
    match opcode {
        cond::JNE if is_jmp32 => {
            exclude!(val, value as u32, u32_min, u32_max);
            exclude!(val, value as i32, s32_min, s32_max);
        }
        cond::JNE => {
            exclude!(val, value, umin, umax);
            exclude!(val, value as i64, smin, smax);
        }
        // That one of several bits is set says of none of them that it is.
        cond::JSET if value.is_power_of_two() => {
            let known = Tnum::constant(value);
            val.var_off = if is_jmp32 {
                val.var_off.with_subreg(val.var_off.subreg().or(known))
            } else {
                val.var_off.or(known)
            };
        }
        cond::JNSET => {
            // On a branch that is never taken the ranges would contradict the bits.
            val.unbound();
            let cleared = Tnum::constant(!value);
            val.var_off = if is_jmp32 {
                val.var_off.with_subreg(val.var_off.subreg().and(cleared))
            } else {
                val.var_off.and(cleared)
            };
        }
        _ => {}
    }
}
