// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines pasted from a verifier log, from bpftool or from llvm-objdump: `12: (b7) r1 = 5 ; R1_w=5`,
//! `12: .1..5..... (b7) r1 = 5`, `3: bf 16 00 00 00 00 00 00 r6 = r1`.
//!
//! The verifier logs an instruction each time it walks over it, in the order it walks. So the numbers tell the order
//! here; an instruction that is listed again must be the same as the first time; and a number that nothing stands
//! for is an error, because code that the verifier never walked is not in its log.
//!
//! A source with lines that only a verifier log has is read as a log: what is neither an instruction with its number
//! nor a directive is the verifier's commentary there.

use skep_isa::{Insn, opcode};

use super::{Parsed, Parser, error};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Draft, Placed};
use crate::lexer::Token;

/// Who wrote a listing.
#[derive(Clone, Copy)]
enum From {
    /// The kernel: number of the slot, and the opcode.
    Kernel(usize, u8),
    /// llvm-objdump: the first slot.
    Objdump(Insn),
}

/// What stands before the instruction.
pub(super) struct Listed {
    from: From,
    span: Span,
}

impl Parser<'_> {
    /// Whether the source is a verifier log: it says something that no assembler text says.
    pub(super) fn is_log(&self) -> bool {
        self.source.lines().any(|line| only_in_log(line.trim_start()))
    }

    /// Skips a line of a log that is neither an instruction with its number nor a directive.
    pub(super) fn skip_commentary(&mut self) -> bool {
        let directive = self.peek() == Token::Ident && self.text().starts_with('.');
        let commentary = self.in_log && !directive && !self.at_kernel_line(self.loop_number());
        if commentary {
            self.skip_line();
        }
        commentary
    }

    /// 1 where the number of the loop that an instruction is in stands before its own, in `Live regs before insn`.
    fn loop_number(&self) -> usize {
        usize::from(self.in_log && self.peek() == Token::Number && self.peek_at(1) == Token::Number)
    }

    /// Tokens of the live registers between a number and an opcode: ten digits or dots.
    fn live_registers(&self, from: usize) -> usize {
        for count in 1..=2 {
            let text = &self.source[self.span_at(from).start..self.span_at(from + count - 1).end];
            if text.len() == 10 && text.bytes().all(|b| b == b'.' || b.is_ascii_digit()) {
                return count;
            }
        }
        0
    }

    /// Whether `12: (b7)` starts here, perhaps with live registers.
    fn at_kernel_line(&self, from: usize) -> bool {
        if self.peek_at(from) != Token::Number || self.peek_at(from + 1) != Token::Colon {
            return false;
        }
        let at = from + 2 + self.live_registers(from + 2);
        self.peek_at(at) == Token::LParen
            && self.peek_at(at + 2) == Token::RParen
            && byte(self.text_at(at + 1)).is_some()
    }

    /// Takes the number, opcode or bytes before a listed instruction; `None` where the line has none.
    pub(super) fn listing_prefix(&mut self) -> Parsed<Option<Listed>> {
        let from = self.loop_number();
        if self.at_kernel_line(from) {
            let span = self.span_at(from);
            let number = self.text_at(from).parse();
            let at = from + 2 + self.live_registers(from + 2);
            let opcode = byte(self.text_at(at + 1)).unwrap_or_default();
            for _ in 0..at + 3 {
                self.bump();
            }
            let Ok(index) = number else {
                return error(Diagnostic::new(span, "not the number of an instruction"));
            };
            return Ok(Some(Listed { from: From::Kernel(index, opcode), span }));
        }
        if self.peek() != Token::Number || self.peek_at(1) != Token::Colon {
            return Ok(None);
        }
        let span = self.span();
        let Some(first) = self.listed_slot(2) else { return Ok(None) };
        let taken = if self.listed_slot(10).is_some() { 18 } else { 10 };
        for _ in 0..taken {
            self.bump();
        }
        Ok(Some(Listed { from: From::Objdump(first), span }))
    }

    /// Eight bytes in hex.
    fn listed_slot(&self, ahead: usize) -> Option<Insn> {
        let mut bytes = [0; Insn::SIZE];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = self::byte(self.text_at(ahead + i))?;
        }
        Some(Insn::from_bytes(bytes))
    }

    /// Takes the instruction of a listed line to its place.
    pub(super) fn listed_instruction(&mut self, listed: &Listed) -> Parsed<()> {
        let start = self.span().start;
        match listed.from {
            From::Objdump(insn) => {
                let draft = self.instruction()?;
                same_opcode(listed, insn.code, &draft)?;
                // Whom a call calls and the offset of an indirect packet load are not in llvm-objdump's text.
                let silent = insn.is_call() || insn.code & 0xe7 == opcode::IND;
                let draft = if silent { Draft { insn, second: None, link: None } } else { draft };
                self.place(start..self.last_end(), draft)
            }
            From::Kernel(index, code) => {
                self.listed_wide = code == opcode::LD_IMM64;
                let draft = self.instruction();
                self.listed_wide = false;
                let draft = draft?;
                same_opcode(listed, code, &draft)?;
                self.numbered(index, start..self.last_end(), draft)
            }
        }
    }

    /// Puts an instruction where its number says, now or once those before it are there.
    fn numbered(&mut self, index: usize, span: Span, draft: Draft) -> Parsed<()> {
        let unit = self.unit(&span)?;
        let next = unit.slots;
        let known = if index < next {
            unit.code.binary_search_by_key(&index, |placed| placed.slot).ok().map(|i| unit.code[i].clone())
        } else {
            self.waiting.get(&index).cloned()
        };
        match known {
            Some(first) if first.draft.insn == draft.insn => Ok(()),
            None if index == next => {
                self.place(span, draft)?;
                self.place_waiting()
            }
            None if index > next && index < crate::MAX_INSNS => {
                self.waiting.insert(index, Placed { slot: index, span, draft });
                Ok(())
            }
            Some(first) => error(
                Diagnostic::new(span, format!("instruction {index} was something else before"))
                    .related(first.span, "listed here first"),
            ),
            None => error(Diagnostic::new(span, format!("there can be no instruction {index}"))),
        }
    }

    fn place_waiting(&mut self) -> Parsed<()> {
        while let Some(unit) = self.file.units.last()
            && let Some(placed) = self.waiting.remove(&unit.slots)
        {
            self.place(placed.span, placed.draft)?;
        }
        Ok(())
    }

    /// At the end of a unit: every number must have come up.
    pub(super) fn end_listing(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let (Some(first), Some(unit)) = (waiting.into_values().next(), self.file.units.last()) else {
            return;
        };
        self.diagnostics.push(
            Diagnostic::new(first.span, format!("instruction {} is missing from the listing", unit.slots))
                .label("this comes after it")
                .help(
                    "before Linux 6.16 a verifier log only holds what the verifier walked over; \
                     `bpftool prog dump xlated` holds all",
                ),
        );
    }
}

/// Lines of a verifier log that can be nothing else.
fn only_in_log(line: &str) -> bool {
    let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    match line.as_bytes().first() {
        Some(b'f') => line.strip_prefix("func#").is_some_and(|rest| numbered(rest) && rest.contains(" @")),
        Some(b'p') => line
            .strip_prefix("processed ")
            .is_some_and(|rest| numbered(rest) && rest.contains(" insns (limit ")),
        Some(b'L') => line.starts_with("Live regs before insn:"),
        Some(b'0'..=b'9') => line.split_once(": R").is_some_and(|(number, state)| {
            number.parse::<u32>().is_ok() && numbered(state) && state.contains('=')
        }),
        _ => false,
    }
}

/// Two hex digits.
fn byte(text: &str) -> Option<u8> {
    u8::from_str_radix(text, 16).ok().filter(|_| text.len() == 2)
}

fn same_opcode(listed: &Listed, opcode: u8, draft: &Draft) -> Parsed<()> {
    let found = draft.insn.code;
    if found == opcode {
        return Ok(());
    }
    error(
        Diagnostic::new(
            listed.span.clone(),
            format!("the listing says opcode {opcode:02x}, but this instruction has {found:02x}"),
        )
        .label("of this line"),
    )
}
