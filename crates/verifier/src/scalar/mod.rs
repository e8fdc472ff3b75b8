// SPDX-License-Identifier: GPL-2.0-only
//! What is known of a 64-bit number: its bits, and its range as signed and unsigned number of 64 and of 32 bits.
//!
//! Pure values: nothing here knows of programs or states. The rules by which the five descriptions sharpen one
//! another are the kernel's (`reg_bounds_sync @ 6.18`), in its order, since logs show the outcome.

mod alu;
mod branch;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use branch::{Sides, branch_taken, cond, flip, invert};

use crate::tnum::Tnum;

/// The five descriptions; a number is in the set if it satisfies each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Known bits.
    pub var_off: Tnum,
    /// Least value, signed.
    pub smin: i64,
    /// Greatest value, signed.
    pub smax: i64,
    /// Least value, unsigned.
    pub umin: u64,
    /// Greatest value, unsigned.
    pub umax: u64,
    /// Least value of the low half, signed.
    pub s32_min: i32,
    /// Greatest value of the low half, signed.
    pub s32_max: i32,
    /// Least value of the low half, unsigned.
    pub u32_min: u32,
    /// Greatest value of the low half, unsigned.
    pub u32_max: u32,
}

impl Scalar {
    /// Any number (`__mark_reg_unbounded`).
    pub const UNKNOWN: Scalar = Scalar {
        var_off: Tnum::UNKNOWN,
        smin: i64::MIN,
        smax: i64::MAX,
        umin: 0,
        umax: u64::MAX,
        s32_min: i32::MIN,
        s32_max: i32::MAX,
        u32_min: 0,
        u32_max: u32::MAX,
    };

    /// All bytes zero.
    pub(crate) const ZEROED: Scalar = Scalar::constant(0);

    /// This number (`___mark_reg_known`).
    #[must_use]
    pub const fn constant(value: u64) -> Scalar {
        Scalar {
            var_off: Tnum::constant(value),
            smin: value as i64,
            smax: value as i64,
            umin: value,
            umax: value,
            s32_min: value as i32,
            s32_max: value as i32,
            u32_min: value as u32,
            u32_max: value as u32,
        }
    }

    /// The number, or its low half, where it is known (`is_reg_const`, `reg_const_value`).
    #[must_use]
    pub const fn const_value(&self, subreg32: bool) -> Option<u64> {
        let bits = if subreg32 { self.var_off.subreg() } else { self.var_off };
        if bits.is_const() { Some(bits.value) } else { None }
    }
}
