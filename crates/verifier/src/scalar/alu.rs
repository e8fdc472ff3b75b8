// SPDX-License-Identifier: GPL-2.0-only
//! Arithmetic on sets of numbers (`scalar_min_max_*`, `scalar32_min_max_*`, `coerce_*` @ 6.18).
//!
//! An operation on 64 bits works out both the whole and the low half; one on 32 bits is followed by
//! [`Scalar::zext_32_to_64`]. [`Scalar::sync`] comes last in any case.

use super::Scalar;
use crate::planted::{self, Planted};
use crate::tnum::Tnum;

/// Operations whose bounds of 64 and of 32 bits follow the same rules.
macro_rules! both_widths {
    ($mod:ident: $signed:ty, $unsigned:ty, $smin:ident, $smax:ident, $umin:ident, $umax:ident, $bits:expr) => {
        mod $mod {
            use super::{Scalar, Tnum};

            /// Two signed bounds, or none where either operation overflows.
            fn signed(dst: &mut Scalar, bounds: Option<($signed, $signed)>) {
                (dst.$smin, dst.$smax) = bounds.unwrap_or((<$signed>::MIN, <$signed>::MAX));
            }

            pub(super) fn add(dst: &mut Scalar, src: &Scalar) {
                signed(dst, dst.$smin.checked_add(src.$smin).zip(dst.$smax.checked_add(src.$smax)));
                let (min, min_overflows) = dst.$umin.overflowing_add(src.$umin);
                let (max, max_overflows) = dst.$umax.overflowing_add(src.$umax);
                // Where both overflow the range has moved around as a whole.
                let split = !min_overflows && max_overflows;
                let split = split && !crate::planted::is(crate::planted::Planted::AddOverflow);
                (dst.$umin, dst.$umax) = if split { (0, <$unsigned>::MAX) } else { (min, max) };
            }

            pub(super) fn sub(dst: &mut Scalar, src: &Scalar) {
                signed(dst, dst.$smin.checked_sub(src.$smax).zip(dst.$smax.checked_sub(src.$smin)));
                let (min, min_underflows) = dst.$umin.overflowing_sub(src.$umax);
                let (max, max_underflows) = dst.$umax.overflowing_sub(src.$umin);
                let split = min_underflows && !max_underflows;
                (dst.$umin, dst.$umax) = if split { (0, <$unsigned>::MAX) } else { (min, max) };
            }

            pub(super) fn mul(dst: &mut Scalar, src: &Scalar) {
                let unsigned = dst.$umin.checked_mul(src.$umin).zip(dst.$umax.checked_mul(src.$umax));
                (dst.$umin, dst.$umax) = unsigned.unwrap_or((0, <$unsigned>::MAX));
                let corners = (|| {
                    Some([
                        dst.$smin.checked_mul(src.$smin)?,
                        dst.$smin.checked_mul(src.$smax)?,
                        dst.$smax.checked_mul(src.$smin)?,
                        dst.$smax.checked_mul(src.$smax)?,
                    ])
                })();
                signed(
                    dst,
                    corners.map(|c| (c[0].min(c[1]).min(c[2]).min(c[3]), c[0].max(c[1]).max(c[2]).max(c[3]))),
                );
            }

            /// The signed bounds are the unsigned ones where those do not cross the sign.
            fn signed_as_unsigned(dst: &mut Scalar) {
                let (min, max) = (dst.$umin as $signed, dst.$umax as $signed);
                signed(dst, (min <= max).then_some((min, max)));
            }

            /// Unsigned bounds of a bitwise operation, whose bits `dst.var_off` knows already.
            pub(super) fn bitwise(dst: &mut Scalar, min: $unsigned, max: $unsigned) {
                (dst.$umin, dst.$umax) = (min, max);
                signed_as_unsigned(dst);
            }

            /// The known value of the result of a bitwise operation.
            pub(super) fn known(dst: &Scalar) -> Option<$unsigned> {
                let bits: Tnum = $bits(dst.var_off);
                bits.is_const().then_some(bits.value as $unsigned)
            }

            pub(super) fn unbounded(dst: &mut Scalar) {
                (dst.$smin, dst.$smax) = (<$signed>::MIN, <$signed>::MAX);
                (dst.$umin, dst.$umax) = (0, <$unsigned>::MAX);
            }
        }
    };
}

both_widths!(wide: i64, u64, smin, smax, umin, umax, |t: Tnum| t);
both_widths!(half: i32, u32, s32_min, s32_max, u32_min, u32_max, |t: Tnum| t.subreg());

impl Scalar {
    /// `__mark_reg32_unbounded`.
    pub(crate) fn unbound_32(&mut self) {
        half::unbounded(self);
    }

    /// `__mark_reg64_unbounded`.
    pub(crate) fn unbound_64(&mut self) {
        wide::unbounded(self);
    }

    /// `__mark_reg_unbounded`: any number, though known bits stay.
    pub(crate) fn unbound(&mut self) {
        wide::unbounded(self);
        half::unbounded(self);
    }

    /// `__mark_reg32_known`: a known low half.
    pub(crate) fn know_32(&mut self, value: u32) {
        self.var_off = self.var_off.const_subreg(value);
        (self.s32_min, self.s32_max) = (value as i32, value as i32);
        (self.u32_min, self.u32_max) = (value, value);
    }

    /// `BPF_ADD`.
    pub fn add(&mut self, src: &Scalar) {
        half::add(self, src);
        wide::add(self, src);
        self.var_off = self.var_off.add(src.var_off);
    }

    /// `BPF_SUB`.
    pub fn sub(&mut self, src: &Scalar) {
        half::sub(self, src);
        wide::sub(self, src);
        self.var_off = self.var_off.sub(src.var_off);
    }

    /// `BPF_NEG`: zero minus the number.
    pub fn neg(&mut self) {
        let number = *self;
        *self = Scalar::constant(0);
        half::sub(self, &number);
        wide::sub(self, &number);
        self.var_off = number.var_off.neg();
    }

    /// `scalar_byte_swap`: the lowest `size` bytes, in reverse order if `swap` says so, zero-extended.
    pub fn swap_bytes(&mut self, size: u32, swap: bool) {
        if swap {
            self.var_off = self.var_off.swap_bytes(size);
            self.unbound();
        }
        if size < 8 {
            self.coerce_to_size(size);
        }
    }

    /// `BPF_MUL`.
    pub fn mul(&mut self, src: &Scalar) {
        self.var_off = self.var_off.mul(src.var_off);
        half::mul(self, src);
        wide::mul(self, src);
    }

    /// The last step of a bitwise operation: what both operands know, or the bounds that `bounds` gives for the
    /// low half and for the whole.
    fn bitwise(&mut self, src: &Scalar, half_bounds: (u32, u32), wide_bounds: (u64, u64)) {
        match half::known(self) {
            Some(_) if src.var_off.subreg_is_const() && planted::is(Planted::Bitwise32Stale) => {
                self.know_32(self.u32_min);
            }
            Some(value) if src.var_off.subreg_is_const() => self.know_32(value),
            _ => half::bitwise(self, half_bounds.0, half_bounds.1),
        }
        match wide::known(self) {
            Some(value) if src.var_off.is_const() => *self = Scalar::constant(value),
            _ => {
                wide::bitwise(self, wide_bounds.0, wide_bounds.1);
                self.update();
            }
        }
    }

    /// `BPF_AND`.
    pub fn and(&mut self, src: &Scalar) {
        self.var_off = self.var_off.and(src.var_off);
        let half_bounds = (self.var_off.subreg().value as u32, self.u32_max.min(src.u32_max));
        let wide_bounds = (self.var_off.value, self.umax.min(src.umax));
        self.bitwise(src, half_bounds, wide_bounds);
    }

    /// `BPF_OR`.
    pub fn or(&mut self, src: &Scalar) {
        self.var_off = self.var_off.or(src.var_off);
        let Tnum { value, mask } = self.var_off.subreg();
        let mut half_bounds = (self.u32_min.max(src.u32_min), (value | mask) as u32);
        let wide = (self.umin.max(src.umin) as u32, (self.umax | src.umax) as u32);
        if planted::is(Planted::Or32FromWide) && wide.0 <= wide.1 {
            half_bounds = wide;
        }
        let wide_bounds = (self.umin.max(src.umin), self.var_off.value | self.var_off.mask);
        self.bitwise(src, half_bounds, wide_bounds);
    }

    /// `BPF_XOR`.
    pub fn xor(&mut self, src: &Scalar) {
        self.var_off = self.var_off.xor(src.var_off);
        let Tnum { value, mask } = self.var_off.subreg();
        let wide_bounds = (self.var_off.value, self.var_off.value | self.var_off.mask);
        self.bitwise(src, (value as u32, (value | mask) as u32), wide_bounds);
    }

    /// `__scalar32_min_max_lsh`.
    fn lsh_low(&mut self, min: u64, max: u64) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        if max > 31 || u64::from(self.u32_max) > 1 << (31 - max) {
            (self.u32_min, self.u32_max) = (0, u32::MAX);
        } else {
            self.u32_min <<= min;
            self.u32_max <<= max;
        }
    }

    /// `BPF_LSH` on 32 bits; the shift is a constant below 32.
    pub fn lsh_32(&mut self, src: &Scalar) {
        let (min, max) = (src.u32_min, src.u32_max);
        let low = self.var_off.subreg();
        self.lsh_low(min.into(), max.into());
        self.var_off = low.lshift(min as u8).subreg();
        self.unbound_64();
        self.update_32();
    }

    /// `BPF_LSH`; the shift is a constant below 64.
    pub fn lsh(&mut self, src: &Scalar) {
        let (min, max) = (src.umin, src.umax);
        // Shifting by 32 comes before shifting back, to extend the sign.
        (self.smin, self.smax) = if min == 32 && max == 32 {
            (i64::from(self.s32_min) << 32, i64::from(self.s32_max) << 32)
        } else {
            (i64::MIN, i64::MAX)
        };
        if self.umax > 1 << (63 - (max & 63)) {
            (self.umin, self.umax) = (0, u64::MAX);
        } else {
            self.umin <<= min & 63;
            self.umax <<= max & 63;
        }
        self.lsh_low(min, max);
        self.var_off = self.var_off.lshift(min as u8);
        self.update();
    }

    /// `BPF_RSH` on 32 bits; the shift is a constant below 32.
    pub fn rsh_32(&mut self, src: &Scalar) {
        let (min, max) = (src.u32_min, src.u32_max);
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        let wide = planted::is(Planted::Rsh32Wide);
        let from = if wide { self.var_off } else { self.var_off.subreg() };
        self.var_off = from.rshift(min as u8);
        if wide {
            self.unbound_32();
        } else {
            self.u32_min >>= max & 31;
            self.u32_max >>= min & 31;
        }
        self.unbound_64();
        self.update_32();
    }

    /// `BPF_RSH`; the shift is a constant below 64.
    pub fn rsh(&mut self, src: &Scalar) {
        let (min, max) = (src.umin, src.umax);
        (self.smin, self.smax) = (i64::MIN, i64::MAX);
        self.var_off = self.var_off.rshift(min as u8);
        self.umin >>= max & 63;
        self.umax >>= min & 63;
        self.unbound_32();
        self.update();
    }

    /// `BPF_ARSH` on 32 bits; the shift is a constant below 32.
    pub fn arsh_32(&mut self, src: &Scalar) {
        let by = src.u32_min & 31;
        self.s32_min >>= by;
        self.s32_max >>= by;
        self.var_off = self.var_off.subreg().arshift32(by as u8);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.unbound_64();
        self.update_32();
    }

    /// `BPF_ARSH`; the shift is a constant below 64.
    pub fn arsh(&mut self, src: &Scalar) {
        let by = src.umin & 63;
        self.smin >>= by;
        self.smax >>= by;
        self.var_off = self.var_off.arshift(by as u8);
        (self.umin, self.umax) = (0, u64::MAX);
        self.unbound_32();
        self.update();
    }

    /// `zext_32_to_64`: the high half is zero.
    pub fn zext_32_to_64(&mut self) {
        self.var_off = self.var_off.subreg();
        (self.umin, self.umax) = (self.u32_min.into(), self.u32_max.into());
        (self.smin, self.smax) = if self.s32_min >= 0 && self.s32_max >= 0 {
            (self.s32_min.into(), self.s32_max.into())
        } else {
            (0, u32::MAX.into())
        };
    }

    /// `coerce_reg_to_size`: the lowest `size` bytes, fewer than 8, zero-extended.
    pub fn coerce_to_size(&mut self, size: u32) {
        self.var_off = self.var_off.cast(size);
        let kept = (1 << (size * 8)) - 1;
        (self.umin, self.umax) = if self.umin & !kept == self.umax & !kept {
            (self.umin & kept, self.umax & kept)
        } else {
            (0, kept)
        };
        (self.smin, self.smax) = (self.umin as i64, self.umax as i64);
        if size < 4 {
            self.unbound_32();
        }
        self.sync();
    }

    /// `coerce_reg_to_size_sx`: the lowest `size` bytes, 1, 2 or 4, sign-extended to 64 bits.
    pub fn coerce_to_size_sx(&mut self, size: u32) {
        let bits = size * 8;
        let extend = |number: i64| number << (64 - bits) >> (64 - bits);
        if self.var_off.is_const() {
            *self = Scalar::constant(extend(self.var_off.value as i64) as u64);
            return;
        }
        if self.smax >> bits == self.smin >> bits {
            let (a, b) = (extend(self.smax), extend(self.smin));
            let (min, max) = (a.min(b), a.max(b));
            if planted::is(Planted::SignCrossing) {
                let (s32_min, s32_max) = (min as i32, max as i32);
                *self = Scalar { smin: min, smax: max, s32_min, s32_max, ..Scalar::UNKNOWN };
                return;
            }
            if (max >= 0) == (min >= 0) {
                (self.smin, self.smax, self.umin, self.umax) = (min, max, min as u64, max as u64);
                (self.s32_min, self.s32_max) = (min as i32, max as i32);
                (self.u32_min, self.u32_max) = (min as u32, max as u32);
                self.var_off = Tnum::range(min as u64, max as u64);
                return;
            }
        }
        let (min, max) = (-1i64 << (bits - 1), (1i64 << (bits - 1)) - 1);
        *self = Scalar { smin: min, smax: max, s32_min: min as i32, s32_max: max as i32, ..Scalar::UNKNOWN };
    }

    /// `coerce_subreg_to_size_sx`: the lowest `size` bytes, 1 or 2, sign-extended to 32 bits; the bounds of the
    /// whole are the caller's concern.
    pub fn coerce_subreg_to_size_sx(&mut self, size: u32) {
        let bits = size * 8;
        let extend = |number: i32| number << (32 - bits) >> (32 - bits);
        if self.var_off.is_const() {
            let value = extend(self.var_off.value as i32);
            self.var_off = Tnum::constant(i64::from(value) as u64);
            (self.s32_min, self.s32_max) = (value, value);
            (self.u32_min, self.u32_max) = (value as u32, value as u32);
            return;
        }
        if self.s32_max >> bits == self.s32_min >> bits {
            let (a, b) = (extend(self.s32_max), extend(self.s32_min));
            let (min, max) = (a.min(b), a.max(b));
            if (min >= 0) == (max >= 0) {
                (self.s32_min, self.s32_max) = (min, max);
                (self.u32_min, self.u32_max) = (min as u32, max as u32);
                self.var_off = Tnum::range(i64::from(min) as u64, i64::from(max) as u64).subreg();
                return;
            }
        }
        (self.s32_min, self.s32_max) = (-1 << (bits - 1), (1 << (bits - 1)) - 1);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.var_off = Tnum::UNKNOWN.subreg();
    }
}
