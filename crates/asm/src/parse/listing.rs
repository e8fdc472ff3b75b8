// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines pasted from a verifier log, from bpftool or from llvm-objdump: `12: (b7) r1 = 5 ; R1_w=5`,
//! `3: bf 16 00 00 00 00 00 00 r6 = r1`.
//!
//! The verifier logs an instruction each time it walks over it, so a number below that of the next instruction is a
//! repetition, which must say the same as the first time. Gaps are errors: code that the verifier never walked is
//! not in its log.

use skep_isa::{Insn, opcode};

use super::{Parsed, Parser, error};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::Draft;
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

/// How lines of a verifier log start that say something else than an instruction.
const CHATTER: &[&str] = &[
    "func#",
    "from ",
    "processed ",
    "verification time ",
    "stack depth ",
    "mark_precise:",
    "last_idx ",
    "regs=",
    "parent ",
    "propagating ",
    "caller:",
    "callee:",
    "returning from callee:",
    "to caller at ",
    "frame",
    "safe",
    "Live regs before insn:",
    "Validating ",
    "Func#",
    "arg#",
    "mark_btf_ld_reg",
];

impl Parser<'_> {
    /// Whether any line is an instruction as the kernel lists it.
    pub(super) fn has_listed_line(&self) -> bool {
        use Token::{Colon, LParen, Number, RParen};
        self.tokens
            .windows(5)
            .any(|w| w[0].0 == Number && w[1].0 == Colon && w[2].0 == LParen && w[4].0 == RParen)
    }

    /// Skips a line of a verifier log that holds no instruction: state (`12: R1=ctx()`), or, in a source that has
    /// listed instructions, commentary.
    pub(super) fn skip_log_chatter(&mut self) -> bool {
        let state = self.peek() == Token::Number
            && self.peek_at(1) == Token::Colon
            && self.peek_at(2) == Token::Ident
            && self
                .text_at(2)
                .strip_prefix('R')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && self.peek_at(3) == Token::Eq;
        let chatter = state || self.in_listing && self.at_chatter();
        if chatter {
            while !self.peek().ends_statement() {
                self.bump();
            }
        }
        chatter
    }

    fn at_chatter(&self) -> bool {
        let label = self.peek() == Token::Ident
            && self.peek_at(1) == Token::Colon
            && self.peek_at(2).ends_statement();
        if label && !crate::disasm::LOG_HEADINGS.contains(&self.text()) {
            return false;
        }
        let rest = &self.source[self.span().start..];
        CHATTER.iter().any(|start| rest.starts_with(start))
    }

    /// Takes the number, opcode or bytes before a listed instruction; `None` where the line has none.
    pub(super) fn listing_prefix(&mut self) -> Parsed<Option<Listed>> {
        if self.peek() != Token::Number || self.peek_at(1) != Token::Colon {
            return Ok(None);
        }
        let span = self.span();
        let opcode = u8::from_str_radix(self.text_at(3), 16).ok().filter(|_| self.text_at(3).len() == 2);
        if self.peek_at(2) == Token::LParen
            && self.peek_at(4) == Token::RParen
            && let Some(opcode) = opcode
        {
            let Ok(index) = self.text().parse() else {
                return error(Diagnostic::new(span, "not the number of an instruction"));
            };
            for _ in 0..5 {
                self.bump();
            }
            return Ok(Some(Listed { from: From::Kernel(index, opcode), span }));
        }
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
            let text = self.text_at(ahead + i);
            *byte = u8::from_str_radix(text, 16).ok().filter(|_| text.len() == 2)?;
        }
        Some(Insn::from_bytes(bytes))
    }

    /// The instruction of a listed line; `None` for a repetition.
    pub(super) fn listed_instruction(&mut self, listed: &Listed) -> Parsed<Option<Draft>> {
        let (index, code) = match listed.from {
            From::Kernel(index, code) => (index, code),
            From::Objdump(insn) => {
                let draft = self.instruction()?;
                same_opcode(listed, insn.code, &draft)?;
                // Whom a call calls and the offset of an indirect packet load are not in llvm-objdump's text.
                let silent = insn.is_call() || matches!(insn.code & 0xe7, opcode::IND);
                return Ok(Some(if silent { Draft { insn, second: None, link: None } } else { draft }));
            }
        };
        self.listed_wide = code == opcode::LD_IMM64;
        let draft = self.instruction();
        self.listed_wide = false;
        let draft = draft?;
        same_opcode(listed, code, &draft)?;
        let unit = self.unit(&listed.span)?;
        if index == unit.slots {
            return Ok(Some(draft));
        }
        if index > unit.slots {
            let missing = unit.slots;
            return error(
                Diagnostic::new(listed.span.clone(), format!("instruction {missing} is missing before this one"))
                    .label(format!("expected instruction {missing}"))
                    .help("a verifier log only holds what the verifier walked over; `bpftool prog dump xlated` holds all"),
            );
        }
        let first = unit.code.binary_search_by_key(&index, |placed| placed.slot).ok().map(|i| &unit.code[i]);
        match first {
            Some(first) if first.draft.insn == draft.insn => Ok(None),
            first => {
                let at = first.map_or_else(|| listed.span.clone(), |first| first.span.clone());
                error(
                    Diagnostic::new(
                        listed.span.clone(),
                        format!("instruction {index} was something else before"),
                    )
                    .related(at, "listed here first"),
                )
            }
        }
    }
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
