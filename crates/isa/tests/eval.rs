// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evaluation against a second statement of the semantics, in integers too wide to overflow.

use skep_isa::eval::{alu, atomic, cond, endian, movsx, neg, sign_extend, truncate};
use skep_isa::{AluOp, AtomicOp, Cond, EndianOp, Size, Width};

const ALU: [AluOp; 14] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::Sdiv,
    AluOp::Or,
    AluOp::And,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Mod,
    AluOp::Smod,
    AluOp::Xor,
    AluOp::Mov,
    AluOp::Arsh,
];

const COND: [Cond; 11] = [
    Cond::Eq,
    Cond::Gt,
    Cond::Ge,
    Cond::Set,
    Cond::Ne,
    Cond::Sgt,
    Cond::Sge,
    Cond::Lt,
    Cond::Le,
    Cond::Slt,
    Cond::Sle,
];

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];

/// All numbers of a few bits at every place where something changes: around 0, and around every power of two.
fn values() -> Vec<u64> {
    let mut values: Vec<u64> = (0..16).flat_map(|n: u64| [n, n.wrapping_neg()]).collect();
    for bit in 4..64 {
        let power = 1u64 << bit;
        values.extend([power - 1, power, power + 1, power.wrapping_neg()]);
    }
    values.extend([
        0x0123_4567_89ab_cdef,
        0xfedc_ba98_7654_3210,
        0xaaaa_aaaa_5555_5555,
        0xffff_ffff_0000_0001,
    ]);
    values.sort_unstable();
    values.dedup();
    values
}

/// The low bits of a width, unsigned.
fn low(width: u32, value: u64) -> i128 {
    i128::from(value) & ((1 << width) - 1)
}

/// The low bits of a width, signed.
fn signed(width: u32, value: u64) -> i128 {
    let value = low(width, value);
    if value >> (width - 1) == 1 { value - (1 << width) } else { value }
}

/// Cut to a width again.
fn cut(width: u32, value: i128) -> u64 {
    (value & ((1 << width) - 1)) as u64
}

fn reference(op: AluOp, width: u32, dst: u64, src: u64) -> u64 {
    let (d, s) = (low(width, dst), low(width, src));
    let (sd, ss) = (signed(width, dst), signed(width, src));
    let amount = s % i128::from(width);
    let value = match op {
        AluOp::Add => d + s,
        AluOp::Sub => d - s,
        // Multiplying 64-bit halves, so that nothing is lost.
        AluOp::Mul => (d & 0xffff_ffff) * s + (((d >> 32) * (s & 0xffff_ffff)) << 32),
        AluOp::Div if s == 0 => 0,
        AluOp::Div => d / s,
        AluOp::Sdiv if s == 0 => 0,
        AluOp::Sdiv => sd / ss,
        AluOp::Mod if s == 0 => d,
        AluOp::Mod => d % s,
        AluOp::Smod if s == 0 => d,
        AluOp::Smod => sd - ss * (sd / ss),
        AluOp::Or => d | s,
        AluOp::And => d & s,
        AluOp::Xor => d ^ s,
        AluOp::Mov => s,
        // Shifting left by steps keeps within the width.
        AluOp::Lsh => (0..amount).fold(d, |v, _| (v * 2) & ((1 << width) - 1)),
        AluOp::Rsh => (0..amount).fold(d, |v, _| v / 2),
        AluOp::Arsh => (0..amount).fold(sd, |v, _| v.div_euclid(2)),
    };
    cut(width, value)
}

#[test]
fn arithmetic() {
    let values = values();
    for op in ALU {
        for width in WIDTHS {
            for &dst in &values {
                for &src in &values {
                    let (ours, theirs) = (alu(op, width, dst, src), reference(op, width.bits(), dst, src));
                    assert_eq!(ours, theirs, "{op:?} {width:?} {dst:#x} {src:#x}");
                }
            }
        }
    }
}

#[test]
fn comparisons() {
    let values = values();
    for op in COND {
        for width in WIDTHS {
            let bits = width.bits();
            for &dst in &values {
                for &src in &values {
                    let (d, s) = (low(bits, dst), low(bits, src));
                    let (sd, ss) = (signed(bits, dst), signed(bits, src));
                    let theirs = match op {
                        Cond::Eq => d == s,
                        Cond::Ne => d != s,
                        Cond::Set => (0..bits).any(|b| d >> b & 1 == 1 && s >> b & 1 == 1),
                        Cond::Gt => d > s,
                        Cond::Ge => d >= s,
                        Cond::Lt => d < s,
                        Cond::Le => d <= s,
                        Cond::Sgt => sd > ss,
                        Cond::Sge => sd >= ss,
                        Cond::Slt => sd < ss,
                        Cond::Sle => sd <= ss,
                    };
                    assert_eq!(cond(op, width, dst, src), theirs, "{op:?} {width:?} {dst:#x} {src:#x}");
                }
            }
        }
    }
}

#[test]
fn one_operand() {
    for value in values() {
        for width in WIDTHS {
            let bits = width.bits();
            assert_eq!(neg(width, value), cut(bits, -low(bits, value)), "{width:?} {value:#x}");
            for size in Size::ALL {
                let extended = signed(size.bits(), value);
                assert_eq!(movsx(width, size, value), cut(bits, extended), "{width:?} {size:?} {value:#x}");
            }
        }
        for size in Size::ALL {
            assert_eq!(sign_extend(size, value), cut(64, signed(size.bits(), value)));
            assert_eq!(truncate(size, value), cut(size.bits(), value.into()));
            let bytes = &value.to_le_bytes()[..size.bytes()];
            let swapped = bytes.iter().fold(0, |v, b| v << 8 | u64::from(*b));
            assert_eq!(endian(EndianOp::ToBe, size, value), swapped);
            assert_eq!(endian(EndianOp::Bswap, size, value), swapped);
            assert_eq!(endian(EndianOp::ToLe, size, value), truncate(size, value));
        }
    }
}

#[test]
fn atomics() {
    let values: Vec<u64> = values().into_iter().step_by(5).collect();
    for width in WIDTHS {
        let bits = width.bits();
        for &old in &values {
            for &src in &values {
                for r0 in [old, src, 0, old ^ (1 << 40)] {
                    let (o, s) = (low(bits, old), low(bits, src));
                    let check = |op: AtomicOp, theirs: i128| {
                        let ours = atomic(op, width, old, src, r0);
                        assert_eq!(ours, cut(bits, theirs), "{op:?} {width:?} {old:#x} {src:#x} {r0:#x}");
                    };
                    check(AtomicOp::Add, o + s);
                    check(AtomicOp::FetchAdd, o + s);
                    check(AtomicOp::Or, o | s);
                    check(AtomicOp::FetchOr, o | s);
                    check(AtomicOp::And, o & s);
                    check(AtomicOp::FetchAnd, o & s);
                    check(AtomicOp::Xor, o ^ s);
                    check(AtomicOp::FetchXor, o ^ s);
                    check(AtomicOp::Xchg, s);
                    check(AtomicOp::Cmpxchg, if o == low(bits, r0) { s } else { o });
                }
            }
        }
    }
}
