// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table and the decoder against an independent statement of RFC 9669 and `linux/bpf.h`: which opcodes exist,
//! and which fields each of them uses.

use std::collections::HashMap;

use skep_isa::{CallKind, Imm64, Insn, Op, Problem, RegField, Size, TABLE, decode, row_of};

/// Operand fields of an opcode, as the RFC's tables tell them: a letter where the field has a meaning.
/// `d`, `s`: registers; `o`: offset; `i`: immediate.
fn uses(code: u8) -> Option<&'static str> {
    let (class, source, op, size, mode) = (code & 7, code & 8, code & 0xf0, code & 0x18, code & 0xe0);
    match class {
        // LD: 64-bit immediate, and packet access up to 4 bytes.
        0 => match (mode, size) {
            (0x00, 0x18) => Some("dsi"),
            (0x20, 0x00 | 0x08 | 0x10) => Some("i"),
            (0x40, 0x00 | 0x08 | 0x10) => Some("si"),
            _ => None,
        },
        // LDX: MEM of any size, MEMSX up to 4 bytes.
        1 => match (mode, size) {
            (0x60, _) | (0x80, 0x00 | 0x08 | 0x10) => Some("dso"),
            _ => None,
        },
        // ST: MEM.
        2 => (mode == 0x60).then_some("doi"),
        // STX: MEM of any size; ATOMIC of any size since load-acquire and store-release.
        3 => match mode {
            0x60 => Some("dso"),
            0xc0 => Some("dsoi"),
            _ => None,
        },
        // ALU and ALU64.
        4 | 7 => match (op, source) {
            (0x80, 0) => Some("d"),
            (0x80, _) => None,
            // Byte order: the source bit selects it in ALU, and is reserved in ALU64.
            (0xd0, 0) => Some("di"),
            (0xd0, _) => (class == 4).then_some("di"),
            (0xe0 | 0xf0, _) => None,
            (_, 0) => Some(if matches!(op, 0x30 | 0x90) { "doi" } else { "di" }),
            // div, mod and mov select variants by the offset; the immediate names address spaces.
            (0xb0, _) if class == 7 => Some("dsoi"),
            (0x30 | 0x90 | 0xb0, _) => Some("dso"),
            _ => Some("ds"),
        },
        // JMP and JMP32.
        _ => match (op, source) {
            (0x00, 0) => Some(if class == 5 { "o" } else { "i" }),
            (0x80, 0) if class == 5 => Some("soi"),
            (0x90, 0) if class == 5 => Some(""),
            (0xe0, 0) if class == 5 => Some("so"),
            (0x00 | 0x80 | 0x90 | 0xe0 | 0xf0, _) => None,
            (_, 0) => Some("doi"),
            (_, _) => Some("dso"),
        },
    }
}

fn slots(insn: Insn) -> Vec<Insn> {
    if insn.is_ld_imm64() { vec![insn, Insn::default()] } else { vec![insn] }
}

#[test]
fn opcodes_are_those_of_the_rfc() {
    for code in 0..=u8::MAX {
        let known = TABLE.iter().any(|row| row.code == code);
        assert_eq!(known, uses(code).is_some(), "opcode {code:02x}");
    }
}

/// A field without a meaning must be 0, one with a meaning can be something else in some variant.
#[test]
fn reserved_fields_are_those_of_the_rfc() {
    for row in &TABLE {
        let template = row.template();
        let meant = uses(row.code).expect("the opcode is known");
        let changed = [
            ('d', Insn { dst: 1, ..template }),
            ('s', Insn { src: 1, ..template }),
            ('o', Insn { off: 2, ..template }),
            ('i', Insn { imm: 2, ..template }),
        ];
        for (field, insn) in changed {
            if !meant.contains(field) {
                let error = decode(&slots(insn), 0).expect_err("a reserved field is set");
                let problems =
                    [Problem::ReservedDst, Problem::ReservedSrc, Problem::ReservedOff, Problem::ReservedImm];
                // Where fields select a row, a wrong one is an unknown variant instead.
                assert!(
                    problems.contains(&error.problem) || error.problem == Problem::UnknownVariant,
                    "{insn:?}: {error}"
                );
            }
        }
    }
}

#[test]
fn every_template_decodes_to_its_row() {
    for row in &TABLE {
        let decoded = decode(&slots(row.template()), 0).unwrap_or_else(|e| panic!("{row:?}: {e}"));
        assert_eq!(decoded.row, row);
        assert_eq!(decoded.slots(), slots(row.template()).len());
        assert_eq!(row_of(row.op), Some(row));
    }
}

/// Every opcode with a choice of registers and numbers: what decodes does so to a row that agrees with
/// all fields, and no two rows could take the same.
#[test]
fn decoding_is_unambiguous() {
    let offs = [0, 1, 2, 8, 16, 32, -1, i16::MIN];
    let imms = [0, 1, 16, 32, 64, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110, -1];
    let regs = [0x00, 0x01, 0x10, 0x56, 0x3a, 0xa3, 0x0b, 0xf0, 0xff];
    for code in 0..=u8::MAX {
        for regs in regs {
            for off in offs {
                for imm in imms {
                    let insn = Insn::new(code, regs & 15, regs >> 4, off, imm);
                    assert_eq!(Insn::from_bytes(insn.to_bytes()), insn);
                    let Ok(decoded) = decode(&slots(insn), 0) else { continue };
                    let t = decoded.row.template();
                    assert_eq!(decoded.row.code, code);
                    assert!(insn.dst <= 10 && insn.src <= 10, "{insn:?}");
                    let meant = uses(code).expect("the opcode is known");
                    assert!(meant.contains('d') || insn.dst == t.dst, "{insn:?}");
                    assert!(meant.contains('s') || insn.src == t.src, "{insn:?}");
                    assert!(meant.contains('o') || insn.off == t.off, "{insn:?}");
                    assert!(meant.contains('i') || insn.imm == t.imm, "{insn:?}");
                    if matches!(decoded.row.dst, RegField::Write | RegField::ReadWrite) {
                        assert_ne!(insn.dst, 10, "{insn:?}");
                    }
                }
            }
        }
    }
}

/// The numbers of `linux/bpf.h` that select a variant, written out once more.
#[test]
fn selecting_numbers() {
    let expect = [
        (Op::LdImm64(Imm64::MapFd), 0x18, 1, 0, 0),
        (Op::LdImm64(Imm64::MapValue), 0x18, 2, 0, 0),
        (Op::LdImm64(Imm64::BtfId), 0x18, 3, 0, 0),
        (Op::LdImm64(Imm64::Func), 0x18, 4, 0, 0),
        (Op::LdImm64(Imm64::MapIdx), 0x18, 5, 0, 0),
        (Op::LdImm64(Imm64::MapIdxValue), 0x18, 6, 0, 0),
        (Op::Call(CallKind::Helper), 0x85, 0, 0, 0),
        (Op::Call(CallKind::Local), 0x85, 1, 0, 0),
        (Op::Call(CallKind::Kfunc), 0x85, 2, 0, 0),
        (Op::AddrSpaceCast, 0xbf, 0, 1, 0),
        (Op::LoadAcquire(Size::B), 0xd3, 0, 0, 0x100),
        (Op::LoadAcquire(Size::Dw), 0xdb, 0, 0, 0x100),
        (Op::StoreRelease(Size::H), 0xcb, 0, 0, 0x110),
        (Op::StoreRelease(Size::W), 0xc3, 0, 0, 0x110),
        (Op::MayGoto, 0xe5, 0, 0, 0),
        (Op::Ja32, 0x06, 0, 0, 0),
    ];
    for (op, code, src, off, imm) in expect {
        let row = row_of(op).unwrap_or_else(|| panic!("no row for {op:?}"));
        assert_eq!(row.template(), Insn::new(code, 0, src, off, imm), "{op:?}");
    }
}

/// One mnemonic is one operation: rows that share it differ in the source operand or pseudo register alone.
#[test]
fn mnemonics_tell_operations_apart() {
    let mut first: HashMap<&str, Op> = HashMap::new();
    for row in &TABLE {
        let other = *first.entry(row.mnemonic).or_insert(row.op);
        let same = match (other, row.op) {
            (Op::Alu(a, w, _), Op::Alu(b, v, _)) => a == b && w == v,
            (Op::Jmp(a, w, _), Op::Jmp(b, v, _)) => a == b && w == v,
            (Op::LdImm64(_), Op::LdImm64(_)) | (Op::Call(_), Op::Call(_)) => true,
            (a, b) => a == b,
        };
        assert!(same, "`{}` is {other:?} and {:?}", row.mnemonic, row.op);
    }
}

#[test]
fn errors_of_two_slots() {
    let first = Insn::new(0x18, 1, 0, 0, 5);
    let problem = |insns: &[Insn]| decode(insns, 0).expect_err("illegal").problem;
    assert_eq!(problem(&[first]), Problem::MissingSecondSlot);
    for second in [
        Insn::new(1, 0, 0, 0, 0),
        Insn::new(0, 1, 0, 0, 0),
        Insn::new(0, 0, 1, 0, 0),
        Insn::new(0, 0, 0, 1, 0),
    ] {
        assert_eq!(problem(&[first, second]), Problem::BadSecondSlot);
    }
    assert_eq!(problem(&[Insn { src: 5, ..first }, Insn::new(0, 0, 0, 0, 1)]), Problem::ReservedHighImm);
    assert_eq!(problem(&[Insn { src: 7, ..first }, Insn::default()]), Problem::UnknownVariant);
    assert_eq!(problem(&[]), Problem::OutOfRange);
    assert_eq!(problem(&[Insn { dst: 10, ..first }, Insn::default()]), Problem::FramePointerWrite);
    assert_eq!(problem(&[Insn { dst: 11, ..first }, Insn::default()]), Problem::BadRegister);
}
