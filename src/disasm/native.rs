// SPDX-License-Identifier: GPL-2.0-only
//! The machine code of a program beside the instructions that it was made from.

use std::fmt::Write;

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use skep_asm::disasm::{Style, print_insn};
use skep_program::Object;
use skep_vm::{Config, Engine, Machine, NativeCode};

use super::ProgramNames;
use crate::report::{Failure, Result};

/// One instruction of the processor: offset in the code, bytes, text.
pub struct Line {
    pub offset: usize,
    pub bytes: Vec<u8>,
    pub text: String,
}

/// The code of an instruction of the program, or of what is around them.
pub struct Part {
    /// Slot of the instruction, and its text.
    pub insn: Option<(usize, String)>,
    pub lines: Vec<Line>,
}

/// Compiles a program, confined, and takes its machine code apart.
pub fn parts(object: &Object, index: usize, style: Style) -> Result<Vec<Part>> {
    let object = object.reduced_to(index);
    let config = Config { engine: Engine::Jit, ..Config::default() };
    let machine = Machine::new(&object, config).map_err(Failure::new)?;
    let code = machine.native(0).ok_or_else(|| Failure::new("the program was not compiled"))?;
    let program = &object.programs[0];
    let first = code.insns.first().map_or(code.end, |&(start, _)| start);
    let mut parts = vec![Part { insn: None, lines: lines(&code, 0, first) }];
    for (at, &(start, slot)) in code.insns.iter().enumerate() {
        let end = code.insns.get(at + 1).map_or(code.end, |&(start, _)| start);
        let mut text = String::new();
        if at + 1 < code.insns.len() {
            // A String takes everything that is written to it.
            let _ = print_insn(&mut text, style, &program.insns, slot, &ProgramNames(program));
        } else {
            text += "(end of the program)";
        }
        parts.push(Part { insn: Some((slot, text)), lines: lines(&code, start, end) });
    }
    parts.push(Part { insn: None, lines: lines(&code, code.end, code.bytes.len()) });
    Ok(parts)
}

/// The code from one offset to another.
fn lines(code: &NativeCode<'_>, start: usize, end: usize) -> Vec<Line> {
    let mut decoder = Decoder::with_ip(64, &code.bytes[start..end], start as u64, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    let mut instruction = Instruction::default();
    let mut out = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let offset = instruction.ip() as usize;
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        out.push(Line { offset, bytes: code.bytes[offset..offset + instruction.len()].to_vec(), text });
    }
    out
}

/// The parts as text.
pub fn text(parts: &[Part], raw: bool) -> String {
    let mut text = String::new();
    for part in parts.iter().filter(|part| !part.lines.is_empty() || part.insn.is_some()) {
        // A String takes everything that is written to it.
        let _ = match &part.insn {
            Some((slot, insn)) => writeln!(text, "{slot}: {insn}"),
            None => writeln!(text, "(shared code)"),
        };
        for line in &part.lines {
            let bytes = if raw { format!("{:30} ", hex::encode(&line.bytes)) } else { String::new() };
            let _ = writeln!(text, "  {:6x}: {bytes}{}", line.offset, line.text);
        }
    }
    text
}
