// SPDX-License-Identifier: GPL-2.0-only
//! How the five descriptions of a number sharpen one another (`reg_bounds_sync @ 6.18`).

use super::Scalar;
use crate::planted::{self, Planted};
use crate::tnum::Tnum;

/// What 32-bit bounds can say of the halves of 64-bit ones.
const HIGH: u64 = 0xffff_ffff_0000_0000;

impl Scalar {
    fn at_least_s32(&mut self, min: i32) {
        self.s32_min = self.s32_min.max(min);
    }

    fn at_most_s32(&mut self, max: i32) {
        self.s32_max = self.s32_max.min(max);
    }

    fn at_least_u32(&mut self, min: u32) {
        self.u32_min = self.u32_min.max(min);
    }

    fn at_most_u32(&mut self, max: u32) {
        self.u32_max = self.u32_max.min(max);
    }

    /// `__update_reg32_bounds`: bounds of the low half from known bits.
    pub(super) fn update_32(&mut self) {
        let low = self.var_off.subreg();
        let (value, mask) = (low.value as u32, low.mask as u32);
        self.at_least_s32((value | mask & i32::MIN as u32) as i32);
        self.at_most_s32((value | mask & i32::MAX as u32) as i32);
        self.at_least_u32(value);
        self.at_most_u32(value | mask);
    }

    /// `__update_reg64_bounds`: bounds from known bits.
    pub(super) fn update_64(&mut self) {
        let Tnum { value, mask } = self.var_off;
        self.smin = self.smin.max((value | mask & i64::MIN as u64) as i64);
        self.smax = self.smax.min((value | mask & i64::MAX as u64) as i64);
        self.umin = self.umin.max(value);
        self.umax = self.umax.min(value | mask);
        self.meet_in_one_value();
    }

    /// Where bits and unsigned range have a single number in common, that is it.
    fn meet_in_one_value(&mut self) {
        let bits = self.var_off;
        let greatest = bits.value | bits.mask;
        let next = bits.next_after(self.umin);
        if self.umin & !bits.mask == bits.value {
            if next > self.umax {
                *self = Scalar::constant(self.umin);
            }
        } else if next == greatest {
            *self = Scalar::constant(greatest);
        } else if next <= self.umax && bits.next_after(next) > self.umax {
            *self = Scalar::constant(next);
        }
    }

    /// `__update_reg_bounds`.
    pub(super) fn update(&mut self) {
        self.update_32();
        self.update_64();
    }

    /// `__reg32_deduce_bounds`: the low half from the whole, and each sign from the other.
    fn deduce_32(&mut self) {
        if planted::is(Planted::Low32FromWide) && self.umin <= u32::MAX.into() {
            self.at_least_u32(self.umin as u32);
        }
        if self.umin >> 32 == self.umax >> 32 {
            let (low_min, low_max) = (self.umin as u32, self.umax as u32);
            self.at_least_u32(low_min);
            self.at_most_u32(low_max);
            if low_min as i32 <= low_max as i32 {
                self.at_least_s32(low_min as i32);
                self.at_most_s32(low_max as i32);
            }
        }
        if self.smin >> 32 == self.smax >> 32 {
            let (low_min, low_max) = (self.smin as u32, self.smax as u32);
            if low_min <= low_max {
                self.at_least_u32(low_min);
                self.at_most_u32(low_max);
            }
            if low_min as i32 <= low_max as i32 {
                self.at_least_s32(low_min as i32);
                self.at_most_s32(low_max as i32);
            }
        }
        // The high halves are neighbours, and the low half goes from negative to positive numbers.
        for (min, max) in [(self.umin, self.umax), (self.smin as u64, self.smax as u64)] {
            let neighbours = ((min >> 32) as u32).wrapping_add(1) == (max >> 32) as u32;
            if neighbours && (min as i32) < 0 && max as i32 >= 0 {
                self.at_least_s32(min as i32);
                self.at_most_s32(max as i32);
            }
        }
        if self.u32_min as i32 <= self.u32_max as i32 {
            self.at_least_s32(self.u32_min as i32);
            self.at_most_s32(self.u32_max as i32);
        }
        if self.s32_min as u32 <= self.s32_max as u32 {
            self.at_least_u32(self.s32_min as u32);
            self.at_most_u32(self.s32_max as u32);
        } else if self.u32_max < self.s32_min as u32 {
            // As of 64 bits below: only the positive part of the signed range is possible.
            self.s32_min = self.u32_min as i32;
            self.u32_max = self.u32_max.min(self.s32_max as u32);
        } else if (self.s32_max as u32) < self.u32_min {
            self.s32_max = self.u32_max as i32;
            self.u32_min = self.u32_min.max(self.s32_min as u32);
        }
    }

    /// `__reg64_deduce_bounds`: each sign from the other.
    fn deduce_64(&mut self) {
        if self.umin as i64 <= self.umax as i64 {
            self.smin = self.smin.max(self.umin as i64);
            self.smax = self.smax.min(self.umax as i64);
        }
        if self.smin as u64 <= self.smax as u64 {
            self.umin = self.umin.max(self.smin as u64);
            self.umax = self.umax.min(self.smax as u64);
        } else if self.umax < self.smin as u64 {
            // Of the signed range, which crosses zero, only the positive part is possible.
            self.smin = self.umin as i64;
            self.umax = self.umax.min(self.smax as u64);
        } else if (self.smax as u64) < self.umin {
            // Only the negative part is.
            self.smax = self.umax as i64;
            self.umin = self.umin.max(self.smin as u64);
        }
    }

    /// `__reg_deduce_mixed_bounds`: the whole from the low half.
    fn deduce_mixed(&mut self) {
        self.umin = self.umin.max(self.umin & HIGH | u64::from(self.u32_min));
        self.umax = self.umax.min(self.umax & HIGH | u64::from(self.u32_max));
        self.smin = self.smin.max((self.smin as u64 & HIGH | u64::from(self.u32_min)) as i64);
        self.smax = self.smax.min((self.smax as u64 & HIGH | u64::from(self.u32_max)) as i64);
        // A sign-extended number whose low half is positive.
        if self.s32_min >= 0 && self.smin >= i64::from(i32::MIN) && self.smax <= i64::from(i32::MAX) {
            self.smin = self.s32_min.into();
            self.smax = self.s32_max.into();
            self.umin = self.s32_min as u64;
            self.umax = self.s32_max as u64;
            self.var_off = self.var_off.intersect(Tnum::range(self.smin as u64, self.smax as u64));
        }
    }

    /// `__reg_bound_offset`: known bits from unsigned bounds.
    fn bound_offset(&mut self) {
        let whole = self.var_off.intersect(Tnum::range(self.umin, self.umax));
        let (mut min, mut max) = (self.u32_min, self.u32_max);
        if planted::is(Planted::Bound32Cut) && self.umin as u32 <= self.umax as u32 {
            (min, max) = (self.umin as u32, self.umax as u32);
            self.unbound_32();
        }
        let low = whole.subreg().intersect(Tnum::range(min.into(), max.into()));
        self.var_off = whole.clear_subreg().or(low);
    }

    /// `reg_bounds_sync`: all that the descriptions say about one another.
    pub fn sync(&mut self) {
        if self.var_off.is_const() && *self == Scalar::constant(self.var_off.value) {
            return;
        }
        self.update();
        for _ in 0..3 {
            let before = *self;
            self.deduce_32();
            self.deduce_64();
            self.deduce_mixed();
            if *self == before {
                break;
            }
        }
        self.bound_offset();
        self.update();
    }
}
