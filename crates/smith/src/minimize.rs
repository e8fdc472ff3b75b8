// SPDX-License-Identifier: GPL-2.0-only
//! Making a program small that shows something, as long as it shows it.

use skep_isa::{Insn, class, opcode};
use skep_program::{Info, Program};

use crate::patch::{is_second_slot, replace};

/// Takes out of a program what is not needed for `shows` to hold of it, which it must do at first: instructions, large
/// pieces before small ones, then flags and BTF, and makes numbers small. Asks at most `most` times.
pub fn minimize(program: &Program, most: usize, shows: &mut dyn FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    let mut left = most;
    let mut ask = |candidate: &Program, left: &mut usize| {
        *left = left.saturating_sub(1);
        *left > 0 && shows(candidate)
    };
    let without_btf =
        Program { btf: None, func_info: Info::default(), line_info: Info::default(), ..best.clone() };
    for candidate in [without_btf, Program { prog_flags: 0, ..best.clone() }] {
        if candidate != best && ask(&candidate, &mut left) {
            best = candidate;
        }
    }
    loop {
        let before = best.insns.len();
        let mut piece = best.insns.len() / 2;
        while piece >= 1 {
            let mut at = 0;
            while at < best.insns.len() {
                let len = piece.min(best.insns.len() - at);
                match without(&best, at, len) {
                    Some(candidate) if ask(&candidate, &mut left) => best = candidate,
                    _ => at += piece,
                }
            }
            piece /= 2;
        }
        if best.insns.len() == before || left == 0 {
            break;
        }
    }
    for at in 0..best.insns.len() {
        while let Some(simpler) = simpler(&best, at).into_iter().find(|candidate| ask(candidate, &mut left)) {
            best = simpler;
        }
    }
    best
}

/// The program without some slots; `None` where that would cut an instruction in two.
fn without(program: &Program, at: usize, len: usize) -> Option<Program> {
    let insns = &program.insns;
    let end = at + len;
    if is_second_slot(insns, at) || end < insns.len() && is_second_slot(insns, end) || len == insns.len() {
        return None;
    }
    replace(program, at, len, &[])
}

/// The program with one instruction made simpler, the simplest first.
fn simpler(program: &Program, at: usize) -> Vec<Program> {
    let insn = program.insns[at];
    if is_second_slot(&program.insns, at) {
        return Vec::new();
    }
    let with = |changed: Insn| {
        let mut candidate = program.clone();
        candidate.insns[at] = changed;
        candidate
    };
    let is_alu = matches!(insn.class(), class::ALU | class::ALU64);
    let mut candidates = Vec::new();
    if is_alu && insn.code & opcode::X == 0 && insn.imm != 0 {
        let smaller = [0, 1, insn.imm / 2].into_iter().filter(|&imm| imm != insn.imm);
        candidates.extend(smaller.map(|imm| with(Insn { imm, ..insn })));
    }
    if insn.class() == class::ALU {
        candidates.push(with(Insn { code: insn.code | class::ALU64, ..insn }));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_something_stays() {
        let text =
            ".program p, xdp\nr1 = 7\nr2 = 9 ll\nif r1 == 7 goto out\nr3 = 1\nr3 += 77\nout:\nr0 = 0\nexit";
        let program = skep_asm::assemble(text, &skep_asm::Options::default()).expect("it assembles").programs
            [0]
        .clone();
        let is_add = |insn: &Insn| insn.code == class::ALU64;
        let small = minimize(&program, 1000, &mut |p| p.insns.iter().any(is_add));
        assert_eq!(small.insns, [Insn::new(class::ALU64, 3, 0, 0, 0)]);
    }
}
