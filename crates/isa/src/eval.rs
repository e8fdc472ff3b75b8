// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pure semantics of arithmetic, comparison, byte order and atomics (RFC 9669, sections 4.1 to 4.3 and 5.3).
//!
//! Shared by the interpreter and the verifier's tests. The JIT must not use it: it is an independent witness.

use crate::{AluOp, AtomicOp, Cond, EndianOp, Size, Width};

/// `dst op src` at a width. 32-bit operations take the low halves and zero the upper half of the result.
#[inline(always)]
#[must_use]
pub const fn alu(op: AluOp, width: Width, dst: u64, src: u64) -> u64 {
    match width {
        Width::W64 => alu64(op, dst, src),
        Width::W32 => alu32(op, dst as u32, src as u32) as u64,
    }
}

/// `dst op src` on 64 bits. Shifts use the low 6 bits of `src`.
#[inline(always)]
#[must_use]
pub const fn alu64(op: AluOp, dst: u64, src: u64) -> u64 {
    match op {
        AluOp::Add => dst.wrapping_add(src),
        AluOp::Sub => dst.wrapping_sub(src),
        AluOp::Mul => dst.wrapping_mul(src),
        AluOp::Div => match dst.checked_div(src) {
            Some(q) => q,
            None => 0,
        },
        AluOp::Sdiv => {
            if src == 0 {
                0
            } else {
                (dst as i64).wrapping_div(src as i64) as u64
            }
        }
        AluOp::Or => dst | src,
        AluOp::And => dst & src,
        AluOp::Lsh => dst.wrapping_shl(src as u32),
        AluOp::Rsh => dst.wrapping_shr(src as u32),
        AluOp::Mod => match dst.checked_rem(src) {
            Some(r) => r,
            None => dst,
        },
        AluOp::Smod => {
            if src == 0 {
                dst
            } else {
                (dst as i64).wrapping_rem(src as i64) as u64
            }
        }
        AluOp::Xor => dst ^ src,
        AluOp::Mov => src,
        AluOp::Arsh => (dst as i64).wrapping_shr(src as u32) as u64,
    }
}

/// `dst op src` on 32 bits. Shifts use the low 5 bits of `src`.
#[inline(always)]
#[must_use]
pub const fn alu32(op: AluOp, dst: u32, src: u32) -> u32 {
    match op {
        AluOp::Add => dst.wrapping_add(src),
        AluOp::Sub => dst.wrapping_sub(src),
        AluOp::Mul => dst.wrapping_mul(src),
        AluOp::Div => match dst.checked_div(src) {
            Some(q) => q,
            None => 0,
        },
        AluOp::Sdiv => {
            if src == 0 {
                0
            } else {
                (dst as i32).wrapping_div(src as i32) as u32
            }
        }
        AluOp::Or => dst | src,
        AluOp::And => dst & src,
        AluOp::Lsh => dst.wrapping_shl(src),
        AluOp::Rsh => dst.wrapping_shr(src),
        AluOp::Mod => match dst.checked_rem(src) {
            Some(r) => r,
            None => dst,
        },
        AluOp::Smod => {
            if src == 0 {
                dst
            } else {
                (dst as i32).wrapping_rem(src as i32) as u32
            }
        }
        AluOp::Xor => dst ^ src,
        AluOp::Mov => src,
        AluOp::Arsh => (dst as i32).wrapping_shr(src) as u32,
    }
}

/// Two's complement negation; 32 bits zero the upper half.
#[inline(always)]
#[must_use]
pub const fn neg(width: Width, dst: u64) -> u64 {
    match width {
        Width::W64 => dst.wrapping_neg(),
        Width::W32 => (dst as u32).wrapping_neg() as u64,
    }
}

/// Sign extension of the low bytes of `value` to 64 bits.
#[inline(always)]
#[must_use]
pub const fn sign_extend(size: Size, value: u64) -> u64 {
    match size {
        Size::B => value as i8 as i64 as u64,
        Size::H => value as i16 as i64 as u64,
        Size::W => value as i32 as i64 as u64,
        Size::Dw => value,
    }
}

/// `movsx`: sign extension, then truncation to the width.
#[inline(always)]
#[must_use]
pub const fn movsx(width: Width, size: Size, src: u64) -> u64 {
    let extended = sign_extend(size, src);
    match width {
        Width::W64 => extended,
        Width::W32 => extended as u32 as u64,
    }
}

/// Truncation of `value` to an access size.
#[inline(always)]
#[must_use]
pub const fn truncate(size: Size, value: u64) -> u64 {
    match size {
        Size::B => value as u8 as u64,
        Size::H => value as u16 as u64,
        Size::W => value as u32 as u64,
        Size::Dw => value,
    }
}

/// Byte-order operation on the low bytes, the rest zeroed, as on a little-endian host.
#[inline(always)]
#[must_use]
pub const fn endian(op: EndianOp, size: Size, dst: u64) -> u64 {
    match op {
        EndianOp::ToLe => truncate(size, dst),
        EndianOp::ToBe | EndianOp::Bswap => match size {
            Size::B => dst as u8 as u64,
            Size::H => (dst as u16).swap_bytes() as u64,
            Size::W => (dst as u32).swap_bytes() as u64,
            Size::Dw => dst.swap_bytes(),
        },
    }
}

/// Whether the jump is taken. 32-bit comparisons look at the low halves.
#[inline(always)]
#[must_use]
pub const fn cond(op: Cond, width: Width, dst: u64, src: u64) -> bool {
    let (d, s, ds, ss) = match width {
        Width::W64 => (dst, src, dst as i64, src as i64),
        Width::W32 => (dst as u32 as u64, src as u32 as u64, dst as i32 as i64, src as i32 as i64),
    };
    match op {
        Cond::Eq => d == s,
        Cond::Gt => d > s,
        Cond::Ge => d >= s,
        Cond::Set => d & s != 0,
        Cond::Ne => d != s,
        Cond::Sgt => ds > ss,
        Cond::Sge => ds >= ss,
        Cond::Lt => d < s,
        Cond::Le => d <= s,
        Cond::Slt => ds < ss,
        Cond::Sle => ds <= ss,
    }
}

/// The value that an atomic operation leaves in memory, from the old value, the source register and `r0`
/// (which only `Cmpxchg` reads). 32-bit operations take and give low halves.
#[inline(always)]
#[must_use]
pub const fn atomic(op: AtomicOp, width: Width, old: u64, src: u64, r0: u64) -> u64 {
    let (old, src, r0) = match width {
        Width::W64 => (old, src, r0),
        Width::W32 => (old as u32 as u64, src as u32 as u64, r0 as u32 as u64),
    };
    let new = match op {
        AtomicOp::Add | AtomicOp::FetchAdd => old.wrapping_add(src),
        AtomicOp::Or | AtomicOp::FetchOr => old | src,
        AtomicOp::And | AtomicOp::FetchAnd => old & src,
        AtomicOp::Xor | AtomicOp::FetchXor => old ^ src,
        AtomicOp::Xchg => src,
        AtomicOp::Cmpxchg => {
            if old == r0 {
                src
            } else {
                old
            }
        }
    };
    match width {
        Width::W64 => new,
        Width::W32 => new as u32 as u64,
    }
}
