// SPDX-License-Identifier: MIT OR Apache-2.0
//! Legal instructions from the table: every row with boundary operands.

use skep_isa::{Decoded, ImmField, Insn, OffField, Op, RegField, Row, TABLE};

/// Offsets at the edges of what the field, and what lies around it in a program, can hold.
const OFFSETS: [i16; 8] = [0, 1, -1, 8, -8, 127, i16::MIN, i16::MAX];

/// Immediates at the edges of widths and of spellings in decimal and hexadecimal.
const IMMEDIATES: [i32; 10] = [0, 1, -1, 9, 10, 0x7f, 0x1_0000, -0x1_0000, i32::MIN, i32::MAX];

/// Registers that a field can name.
pub fn registers(field: RegField) -> Vec<u8> {
    match field {
        RegField::Zero => vec![0],
        RegField::Is(n) => vec![n],
        RegField::Read => (0..=10).collect(),
        RegField::Write | RegField::ReadWrite => (0..=9).collect(),
    }
}

fn offsets(field: OffField) -> Vec<i16> {
    match field {
        OffField::Zero => vec![0],
        OffField::Is(n) => vec![n],
        OffField::Mem | OffField::Jump | OffField::BtfFd => OFFSETS.to_vec(),
    }
}

fn immediates(field: ImmField) -> Vec<i32> {
    match field {
        ImmField::Zero => vec![0],
        ImmField::Is(n) => vec![n],
        ImmField::Value
        | ImmField::Packet
        | ImmField::Jump
        | ImmField::AddrSpaces
        | ImmField::Helper
        | ImmField::Func
        | ImmField::BtfId
        | ImmField::Imm64 => IMMEDIATES.to_vec(),
    }
}

/// The second slots that a row can have; one empty list for a row of one slot.
fn second_slots(row: &Row) -> Vec<Vec<Insn>> {
    let Op::LdImm64(_) = row.op else { return vec![vec![]] };
    let slots = IMMEDIATES.iter().map(|&imm| vec![Insn::new(0, 0, 0, 0, imm)]);
    slots.filter(|second| is_legal(&[row.template(), second[0]])).collect()
}

/// Whether the slots are one legal instruction.
pub fn is_legal(insns: &[Insn]) -> bool {
    skep_isa::decode(insns, 0).is_ok_and(|d: Decoded| d.slots() == insns.len())
}

/// Every row with every register, and with every combination of boundary numbers.
pub fn boundary_instructions() -> Vec<Vec<Insn>> {
    let mut all = Vec::new();
    for row in &TABLE {
        let (dsts, srcs) = (registers(row.dst), registers(row.src));
        let (offs, imms) = (offsets(row.off), immediates(row.imm));
        let mut push = |dst: u8, src: u8, off: i16, imm: i32, second: &[Insn]| {
            let mut insns = vec![Insn::new(row.code, dst, src, off, imm)];
            insns.extend_from_slice(second);
            assert!(is_legal(&insns), "{row:?} {insns:?}");
            all.push(insns);
        };
        let seconds = second_slots(row);
        for &dst in &dsts {
            for &src in &srcs {
                push(dst, src, offs[0], imms[0], &seconds[0]);
            }
        }
        for &off in &offs {
            for &imm in &imms {
                for second in &seconds {
                    push(dsts[dsts.len() / 2], srcs[srcs.len() / 2], off, imm, second);
                }
            }
        }
    }
    all
}
