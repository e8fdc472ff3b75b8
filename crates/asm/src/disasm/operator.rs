// SPDX-License-Identifier: MIT OR Apache-2.0
//! Spellings that the pseudo-C styles share.

use skep_isa::{AluOp, AtomicOp, Cond, EndianOp, Size, Width};

/// `+=` and the like.
pub(super) const fn alu(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div => "/=",
        AluOp::Sdiv => "s/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod => "%=",
        AluOp::Smod => "s%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
    }
}

/// `==` and the like.
pub(super) const fn cond(op: Cond) -> &'static str {
    match op {
        Cond::Eq => "==",
        Cond::Gt => ">",
        Cond::Ge => ">=",
        Cond::Set => "&",
        Cond::Ne => "!=",
        Cond::Sgt => "s>",
        Cond::Sge => "s>=",
        Cond::Lt => "<",
        Cond::Le => "<=",
        Cond::Slt => "s<",
        Cond::Sle => "s<=",
    }
}

/// What an atomic operation is called: the operator of the form without result, and the name of the form with.
pub(super) enum Atomic {
    /// `lock *(u64 *)(r1 +0) += r2`
    Lock(&'static str),
    /// `r2 = atomic_fetch_add(...)`
    Fetch(&'static str),
    /// Exchange.
    Xchg,
    /// Compare and exchange.
    Cmpxchg,
}

pub(super) const fn atomic(op: AtomicOp) -> Atomic {
    match op {
        AtomicOp::Add => Atomic::Lock("+="),
        AtomicOp::Or => Atomic::Lock("|="),
        AtomicOp::And => Atomic::Lock("&="),
        AtomicOp::Xor => Atomic::Lock("^="),
        AtomicOp::FetchAdd => Atomic::Fetch("add"),
        AtomicOp::FetchOr => Atomic::Fetch("or"),
        AtomicOp::FetchAnd => Atomic::Fetch("and"),
        AtomicOp::FetchXor => Atomic::Fetch("xor"),
        AtomicOp::Xchg => Atomic::Xchg,
        AtomicOp::Cmpxchg => Atomic::Cmpxchg,
    }
}

/// `le`, `be` or `bswap`.
pub(super) const fn endian(op: EndianOp) -> &'static str {
    match op {
        EndianOp::ToLe => "le",
        EndianOp::ToBe => "be",
        EndianOp::Bswap => "bswap",
    }
}

/// C type of an unsigned access.
pub(super) const fn unsigned(size: Size) -> &'static str {
    match size {
        Size::B => "u8",
        Size::H => "u16",
        Size::W => "u32",
        Size::Dw => "u64",
    }
}

/// C type of a sign-extending access.
pub(super) const fn signed(size: Size) -> &'static str {
    match size {
        Size::B => "s8",
        Size::H => "s16",
        Size::W => "s32",
        Size::Dw => "s64",
    }
}

/// Size that an operation of a width accesses.
pub(super) const fn size_of(width: Width) -> Size {
    match width {
        Width::W32 => Size::W,
        Width::W64 => Size::Dw,
    }
}

/// Letter of a register at a width.
pub(super) const fn letter(width: Width) -> char {
    match width {
        Width::W32 => 'w',
        Width::W64 => 'r',
    }
}

/// Letter of a register that a value of a size is loaded to or stored from, as LLVM writes it with 32-bit
/// registers (cpu v3): the wide one only for 8 bytes.
pub(super) const fn letter_for(size: Size) -> char {
    match size {
        Size::B | Size::H | Size::W => 'w',
        Size::Dw => 'r',
    }
}
