// SPDX-License-Identifier: GPL-2.0-only
//! Near misses: an accepted program with one thing about it changed, so that it lies at the border of what is legal, on
//! either side.

use skep_isa::{Insn, class, opcode};
use skep_program::Program;

use crate::code::op;
use crate::patch::{is_second_slot, replace};
use crate::random::Random;

/// Bits of the operation (`BPF_OP`).
const OP: u8 = 0xf0;
/// Bits of the size (`BPF_SIZE`).
const SIZE: u8 = 0x18;

/// Jumps that differ at the border only: strict and not, of both signs.
const BORDERS: [(u8, u8); 4] =
    [(op::JGT, op::JGE), (op::JSGT, op::JSGE), (op::JLT, op::JLE), (op::JSLT, op::JSLE)];
/// Jumps and their opposites, and those of the other sign.
const OTHERS: [(u8, u8); 8] = [
    (op::JEQ, op::JNE),
    (op::JGT, op::JLE),
    (op::JGE, op::JLT),
    (op::JSGT, op::JSLE),
    (op::JSGE, op::JSLT),
    (op::JGT, op::JSGT),
    (op::JLT, op::JSLT),
    (op::JSET, op::JNE),
];

fn partner(pairs: &[(u8, u8)], op: u8, random: &mut Random<'_>) -> Option<u8> {
    let mut found = [0; 4];
    let mut count = 0;
    for &(a, b) in pairs {
        if op == a || op == b {
            found[count] = if op == a { b } else { a };
            count += 1;
        }
    }
    (count > 0).then(|| random.pick(&found[..count]))
}

/// A program with one thing changed; `None` where nothing was found to change.
pub(crate) fn mutate(program: &Program, random: &mut Random<'_>) -> Option<Program> {
    (0..8).find_map(|_| mutate_at(program, random))
}

fn mutate_at(program: &Program, random: &mut Random<'_>) -> Option<Program> {
    let insns = &program.insns;
    let at = random.below(insns.len() as u64) as usize;
    if is_second_slot(insns, at) {
        return None;
    }
    let insn = insns[at];
    let width = if insn.is_ld_imm64() { 2 } else { 1 };
    let changed = match random.below(12) {
        // A check, a mask, a release left out.
        0..=2 if insn.code != opcode::EXIT => return replace(program, at, width, &[]),
        3 if at + 1 < insns.len() && width == 1 && !insns[at + 1].is_ld_imm64() => {
            return replace(program, at, 1, &[insn, insn]).filter(|_| !is_jump(&insn));
        }
        4..=5 => near_number(insn, random)?,
        6 if is_jump(&insn) => {
            let pairs: &[(u8, u8)] = if random.one_in(2) { &BORDERS } else { &OTHERS };
            let op = partner(pairs, insn.code & OP, random)?;
            Insn { code: insn.code & !OP | op, ..insn }
        }
        7 => other_width(insn)?,
        8 if has_size(&insn) => {
            let size = random.pick(&[0x00, 0x08, 0x10, 0x18]);
            Insn { code: insn.code & !SIZE | size, ..insn }
        }
        9 => Insn { dst: random.below(11) as u8, ..insn },
        10 if uses_src(&insn) => Insn { src: random.below(11) as u8, ..insn },
        11 if matches!(insn.class(), class::ALU | class::ALU64) => {
            let ops =
                [op::ADD, op::SUB, op::MUL, op::OR, op::AND, op::LSH, op::RSH, op::XOR, op::ARSH, op::MOV];
            Insn { code: insn.code & !OP | random.pick(&ops), ..insn }
        }
        _ => return None,
    };
    if changed == insn {
        return None;
    }
    let mut mutant = program.clone();
    mutant.insns[at] = changed;
    Some(mutant)
}

fn is_jump(insn: &Insn) -> bool {
    matches!(insn.class(), class::JMP | class::JMP32)
        && !matches!(insn.code, opcode::EXIT | opcode::CALL | opcode::JA | opcode::JA32)
}

fn has_size(insn: &Insn) -> bool {
    matches!(insn.class(), class::LDX | class::ST | class::STX)
}

fn uses_src(insn: &Insn) -> bool {
    match insn.class() {
        class::LDX | class::STX => true,
        class::ALU | class::ALU64 | class::JMP | class::JMP32 => {
            insn.code & opcode::X != 0 && insn.code != opcode::CALL && insn.code != opcode::EXIT
        }
        _ => false,
    }
}

/// An offset or immediate a little off.
fn near_number(insn: Insn, random: &mut Random<'_>) -> Option<Insn> {
    let distance = random.pick(&[-8, -4, -2, -1, 1, 2, 4, 8]);
    if has_size(&insn) && !(insn.class() == class::ST && random.one_in(3)) {
        return Some(Insn { off: insn.off.wrapping_add(distance), ..insn });
    }
    let takes = matches!(insn.class(), class::ALU | class::ALU64 | class::JMP | class::JMP32 | class::ST)
        && (insn.code & opcode::X == 0 || insn.class() == class::ST)
        && !matches!(insn.code, opcode::CALL | opcode::EXIT | opcode::JA | opcode::JA32);
    let imm = if random.one_in(4) { random.edgy() as i32 } else { insn.imm.wrapping_add(distance.into()) };
    takes.then_some(Insn { imm, ..insn })
}

/// The same with 32 bits instead of 64, or the reverse.
fn other_width(insn: Insn) -> Option<Insn> {
    let class = match insn.class() {
        class::ALU => class::ALU64,
        class::ALU64 => class::ALU,
        class::JMP if is_jump(&insn) => class::JMP32,
        class::JMP32 if is_jump(&insn) => class::JMP,
        _ => return None,
    };
    Some(Insn { code: insn.code & !7 | class, ..insn })
}
