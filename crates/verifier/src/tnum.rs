// SPDX-License-Identifier: GPL-2.0-only
//! Tristate numbers (`kernel/bpf/tnum.c` @ 6.18): which bits of a 64-bit number are known.
//!
//! Every operation gives a tnum that holds each result of the concrete operation on numbers of its operands;
//! the tests exhaust that on small numbers. Precision is the kernel's, bit by bit.

use std::fmt;

#[cfg(test)]
mod tests;

/// A number of which the bits in `mask` are unknown; those are 0 in `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tnum {
    /// The known bits.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

impl Tnum {
    /// Any number.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// `tnum_const`: this number.
    #[must_use]
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// `tnum_range`: the least tnum that holds all of `min..=max`.
    #[must_use]
    pub const fn range(min: u64, max: u64) -> Tnum {
        let bits = 64 - (min ^ max).leading_zeros();
        if bits > 63 {
            return Tnum::UNKNOWN;
        }
        let delta = (1 << bits) - 1;
        Tnum { value: min & !delta, mask: delta }
    }

    /// `tnum_is_const`.
    #[must_use]
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// `tnum_equals_const`.
    #[must_use]
    pub const fn equals_const(self, value: u64) -> bool {
        self.mask == 0 && self.value == value
    }

    /// `tnum_is_unknown`: nothing is known.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// `tnum_in(self, other)`: every number of `other` is one of these.
    #[must_use]
    pub const fn contains(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && self.value == other.value & !self.mask
    }

    /// `tnum_is_aligned`: every number is a multiple of `size`, a power of two.
    #[must_use]
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || (self.value | self.mask) & (size - 1) == 0
    }

    /// `tnum_overlap`: some number may be in both.
    #[must_use]
    pub const fn overlaps(self, other: Tnum) -> bool {
        let known = !self.mask & !other.mask;
        self.value & known == other.value & known
    }

    /// `tnum_lshift`.
    #[must_use]
    pub const fn lshift(self, shift: u8) -> Tnum {
        Tnum { value: self.value.wrapping_shl(shift as u32), mask: self.mask.wrapping_shl(shift as u32) }
    }

    /// `tnum_rshift`.
    #[must_use]
    pub const fn rshift(self, shift: u8) -> Tnum {
        Tnum { value: self.value.wrapping_shr(shift as u32), mask: self.mask.wrapping_shr(shift as u32) }
    }

    /// `tnum_arshift` of a 64-bit number.
    #[must_use]
    pub const fn arshift(self, shift: u8) -> Tnum {
        let by = shift as u32;
        Tnum {
            value: (self.value as i64).wrapping_shr(by) as u64,
            mask: (self.mask as i64).wrapping_shr(by) as u64,
        }
    }

    /// `tnum_arshift` of a 32-bit number.
    #[must_use]
    pub const fn arshift32(self, shift: u8) -> Tnum {
        let by = shift as u32;
        Tnum {
            value: (self.value as i32).wrapping_shr(by) as u32 as u64,
            mask: (self.mask as i32).wrapping_shr(by) as u32 as u64,
        }
    }

    /// `tnum_add`.
    #[must_use]
    pub const fn add(self, other: Tnum) -> Tnum {
        let values = self.value.wrapping_add(other.value);
        let highest = values.wrapping_add(self.mask.wrapping_add(other.mask));
        let mask = highest ^ values | self.mask | other.mask;
        Tnum { value: values & !mask, mask }
    }

    /// `tnum_sub`.
    #[must_use]
    pub const fn sub(self, other: Tnum) -> Tnum {
        let values = self.value.wrapping_sub(other.value);
        let carried = values.wrapping_add(self.mask) ^ values.wrapping_sub(other.mask);
        let mask = carried | self.mask | other.mask;
        Tnum { value: values & !mask, mask }
    }

    /// `tnum_neg`.
    #[must_use]
    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    /// `tnum_and`.
    #[must_use]
    pub const fn and(self, other: Tnum) -> Tnum {
        let value = self.value & other.value;
        Tnum { value, mask: (self.value | self.mask) & (other.value | other.mask) & !value }
    }

    /// `tnum_or`.
    #[must_use]
    pub const fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    /// `tnum_xor`.
    #[must_use]
    pub const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum { value: (self.value ^ other.value) & !mask, mask }
    }

    /// `tnum_mul`: long multiplication; where a bit of `self` is unknown, the sum with and without it.
    #[must_use]
    pub const fn mul(self, other: Tnum) -> Tnum {
        let (mut a, mut b, mut sum) = (self, other, Tnum::constant(0));
        while a.value != 0 || a.mask != 0 {
            if a.value & 1 != 0 {
                sum = sum.add(b);
            } else if a.mask & 1 != 0 {
                sum = sum.union(sum.add(b));
            }
            a = a.rshift(1);
            b = b.lshift(1);
        }
        sum
    }

    /// `tnum_intersect`. Where the two contradict each other, the bit is a known 1.
    #[must_use]
    pub const fn intersect(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum { value: (self.value | other.value) & !mask, mask }
    }

    /// `tnum_union`: the least tnum that holds both.
    #[must_use]
    pub const fn union(self, other: Tnum) -> Tnum {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Tnum { value: self.value & other.value & !mask, mask }
    }

    /// `tnum_cast`: the lowest `size` bytes, zero-extended.
    #[must_use]
    pub const fn cast(self, size: u32) -> Tnum {
        if size >= 8 {
            return self;
        }
        let kept = (1 << (size * 8)) - 1;
        Tnum { value: self.value & kept, mask: self.mask & kept }
    }

    /// `tnum_subreg`: the low half.
    #[must_use]
    pub const fn subreg(self) -> Tnum {
        self.cast(4)
    }

    /// `tnum_clear_subreg`: the high half in its place.
    #[must_use]
    pub const fn clear_subreg(self) -> Tnum {
        self.rshift(32).lshift(32)
    }

    /// `tnum_with_subreg`: the high half of `self` and the low half of `low`.
    #[must_use]
    pub const fn with_subreg(self, low: Tnum) -> Tnum {
        self.clear_subreg().or(low.subreg())
    }

    /// `tnum_const_subreg`: a known low half.
    #[must_use]
    pub const fn const_subreg(self, value: u32) -> Tnum {
        self.with_subreg(Tnum::constant(value as u64))
    }

    /// `tnum_subreg_is_const`.
    #[must_use]
    pub const fn subreg_is_const(self) -> bool {
        self.subreg().mask == 0
    }
}

impl Tnum {
    /// `tnum_bswap16`, `tnum_bswap32`, `tnum_bswap64`: the lowest `size` bytes in reverse order, zero-extended.
    #[must_use]
    pub const fn swap_bytes(self, size: u32) -> Tnum {
        let low = self.cast(size);
        let shift = 64 - size * 8;
        Tnum { value: low.value.swap_bytes() >> shift, mask: low.mask.swap_bytes() >> shift }
    }

    /// `tnum_step`: the least number of these that is greater than `after`, or the greatest of all.
    #[must_use]
    pub const fn next_after(self, after: u64) -> u64 {
        let greatest = self.value | self.mask;
        if after >= greatest {
            return greatest;
        }
        if after < self.value {
            return self.value;
        }
        // As `after` where bits are unknown.
        let near = self.value | after & self.mask;
        if near > after {
            // Above the highest bit that is known to be 1 and is 0 in `after`, nothing changes.
            let bits = 64 - (!after & self.value & !self.mask).leading_zeros();
            let high = u64::MAX.checked_shl(bits);
            let high = if let Some(high) = high { high } else { 0 };
            return high & after | !high & self.value;
        }
        // Carry over the known bits above the highest that is known to be 0 and is 1 in `after`.
        let bits = 64 - (after & !self.value & !self.mask).leading_zeros();
        let high = u64::MAX.checked_shl(bits);
        let high = if let Some(high) = high { high } else { 0 };
        let one = if let Some(one) = 1u64.checked_shl(bits) { one } else { 0 };
        let carried = (high & self.mask & after | high & !self.mask).wrapping_add(one);
        carried & self.mask | self.value
    }
}

/// `tnum_strn`: a known number, decimal where it is small; else `(value; mask)`.
impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mask, self.value) {
            (0, value) if value <= u64::from(u16::MAX) => write!(f, "{value}"),
            (0, value) => write!(f, "{value:#x}"),
            (mask, value) => write!(f, "({value:#x}; {mask:#x})"),
        }
    }
}
