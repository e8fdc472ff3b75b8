// SPDX-License-Identifier: GPL-2.0-only
//! Putting instructions into a program and taking them out, with all that refers to places in it kept right: jumps,
//! calls, addresses of functions, function and line info.

use std::sync::Arc;

use skep_isa::{Insn, class, opcode};
use skep_program::Program;

/// Source registers of a `ld_imm64` of a map, and of a map's value.
const BPF_PSEUDO_MAP_IDX: u8 = 5;
const BPF_PSEUDO_MAP_IDX_VALUE: u8 = 6;

/// Source register of a call between functions.
const BPF_PSEUDO_CALL: u8 = 1;
/// Source register of a `ld_imm64` of a function's address.
const BPF_PSEUDO_FUNC: u8 = 4;
/// Bits of the operation (`BPF_OP`).
const OP: u8 = 0xf0;

/// Where an instruction refers to another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Off,
    Imm,
}

/// The field with which an instruction refers to another one, if it does.
fn reference(insn: &Insn) -> Option<Field> {
    if insn.is_ld_imm64() {
        return (insn.src == BPF_PSEUDO_FUNC).then_some(Field::Imm);
    }
    match (insn.class(), insn.code & OP) {
        (class::JMP, op) if op == opcode::CALL & OP => (insn.src == BPF_PSEUDO_CALL).then_some(Field::Imm),
        (class::JMP | class::JMP32, op) if op == opcode::EXIT & OP || op == opcode::CALL & OP => None,
        (class::JMP32, op) if op == opcode::JA & OP => Some(Field::Imm),
        (class::JMP | class::JMP32, _) => Some(Field::Off),
        _ => None,
    }
}

/// The slot that an instruction at `at` refers to, by a jump, a call or the address of a function.
#[must_use]
pub fn target(insns: &[Insn], at: usize) -> Option<i64> {
    let insn = &insns[at];
    let distance = match reference(insn)? {
        Field::Off => i64::from(insn.off),
        Field::Imm => i64::from(insn.imm),
    };
    Some(at as i64 + 1 + distance)
}

/// Makes the instruction at `at` refer to `to`; `None` where that is too far.
fn retarget(insns: &mut [Insn], at: usize, to: i64) -> Option<()> {
    let distance = to - at as i64 - 1;
    match reference(&insns[at])? {
        Field::Off => insns[at].off = i16::try_from(distance).ok()?,
        Field::Imm => insns[at].imm = i32::try_from(distance).ok()?,
    }
    Some(())
}

/// Whether a slot is the second one of a `ld_imm64`.
#[must_use]
pub fn is_second_slot(insns: &[Insn], at: usize) -> bool {
    // Before an even number of them, or none.
    at > 0 && insns[..at].iter().rev().take_while(|insn| insn.is_ld_imm64()).count() % 2 == 1
}

/// Replaces `removed` instructions at `at` by others, whose own jumps must stay among them. What referred to the first
/// of the removed ones, or to any of them, refers to the first of the new ones. `None` where a jump gets too far.
#[must_use]
pub fn replace(program: &Program, at: usize, removed: usize, code: &[Insn]) -> Option<Program> {
    let moved = |place: i64| {
        if place <= at as i64 {
            place
        } else if place < (at + removed) as i64 {
            at as i64
        } else {
            place + code.len() as i64 - removed as i64
        }
    };
    let old = &program.insns;
    let mut new = program.clone();
    new.insns.splice(at..at + removed, code.iter().copied());
    for from in (0..at).chain(at + removed..old.len()) {
        if is_second_slot(old, from) {
            continue;
        }
        if let Some(to) = target(old, from) {
            // A place is named by what comes before it, so that the end of the removed stays where it is.
            retarget(&mut new.insns, moved(from as i64 + 1) as usize - 1, moved(to))?;
        }
    }
    let records = |bytes: &mut Vec<u8>, rec_size: u32| {
        for record in bytes.chunks_exact_mut(rec_size.max(4) as usize) {
            let place = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
            record[..4].copy_from_slice(&(moved(place.into()) as u32).to_le_bytes());
        }
    };
    records(&mut new.func_info.bytes, program.func_info.rec_size);
    records(&mut new.line_info.bytes, program.line_info.rec_size);
    for function in &mut new.functions {
        function.start = moved(function.start as i64) as usize;
    }
    Some(new)
}

/// The map that the instruction at `at` names.
#[must_use]
pub fn named_map(program: &Program, at: usize) -> Option<usize> {
    let insn = program.insns[at];
    let is_map = matches!(insn.src, BPF_PSEUDO_MAP_IDX | BPF_PSEUDO_MAP_IDX_VALUE);
    let index = usize::try_from(insn.imm).ok().filter(|&index| index < program.maps.len());
    index.filter(|_| insn.is_ld_imm64() && is_map && !is_second_slot(&program.insns, at))
}

/// Whether an instruction names a function of the program: calls it, or takes its address.
#[must_use]
pub fn names_function(insn: &Insn) -> bool {
    insn.is_call() && insn.src == BPF_PSEUDO_CALL || insn.is_ld_imm64() && insn.src == BPF_PSEUDO_FUNC
}

/// The program with no other maps than those that it names.
#[must_use]
pub fn with_used_maps(program: &Program) -> Program {
    let mut used: Vec<usize> = (0..program.insns.len()).filter_map(|at| named_map(program, at)).collect();
    used.sort_unstable();
    used.dedup();
    let mut new = program.clone();
    for at in 0..new.insns.len() {
        if let Some(place) = named_map(program, at).and_then(|index| used.binary_search(&index).ok()) {
            new.insns[at].imm = place as i32;
        }
    }
    new.maps = Arc::new(used.iter().map(|&at| program.maps[at].clone()).collect());
    new
}

/// Appends a function, and makes the instructions at `callers` refer to it. `func_type` is its type in the program's
/// BTF, for a program that has function info.
pub(crate) fn append_function(program: &mut Program, body: &[Insn], callers: &[usize], func_type: u32) {
    let start = program.insns.len();
    program.insns.extend_from_slice(body);
    for &at in callers {
        // An immediate reaches everywhere.
        let _ = retarget(&mut program.insns, at, start as i64);
    }
    if program.func_info.rec_size != 0 {
        program.func_info.bytes.extend((start as u32).to_le_bytes());
        program.func_info.bytes.extend(func_type.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(text: &str) -> Program {
        let text = format!(".program p, xdp\n{text}");
        skep_asm::assemble(&text, &skep_asm::Options::default()).expect("it assembles").programs[0].clone()
    }

    fn nops(n: usize) -> Vec<Insn> {
        vec![Insn::new(opcode::MOV | class::ALU64, 5, 0, 0, 0); n]
    }

    const TEXT: &str = "r0 = 1 ll\nstart:\nr0 += 1\nif r0 < 9 goto start\ncall f\nif r0 == 0 goto out\nr0 = 2\nout:\nexit\n.func f\nr0 = 0\nexit";

    #[test]
    fn what_refers_to_places_follows_them() {
        let old = program(TEXT);
        for at in (0..old.insns.len()).filter(|&at| !is_second_slot(&old.insns, at)) {
            let new = replace(&old, at, 0, &nops(3)).expect("it fits");
            for from in (0..old.insns.len()).filter(|&from| !is_second_slot(&old.insns, from)) {
                let place =
                    |i: i64, stays: bool| if i < at as i64 || stays && i == at as i64 { i } else { i + 3 };
                let to = target(&old.insns, from).map(|to| place(to, true));
                assert_eq!(target(&new.insns, place(from as i64, false) as usize), to, "{at} {from}");
            }
        }
    }

    #[test]
    fn what_is_taken_out_is_put_back() {
        let old = program(TEXT);
        for at in (0..old.insns.len()).filter(|&at| !is_second_slot(&old.insns, at)) {
            let new = replace(&old, at, 0, &nops(2)).expect("it fits");
            let back = replace(&new, at, 2, &[]).expect("it fits");
            assert_eq!(back.insns, old.insns);
        }
    }
}
