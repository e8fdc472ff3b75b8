// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operands that both dialects share (registers, memory, jump targets), and drafts of instructions from the rows of
//! the table: which field takes what, and which registers may stand there, is the row's to say.

use std::collections::HashMap;
use std::sync::LazyLock;

use skep_isa::{Op, RegField, Row, Size, TABLE, Width};

use super::{Parsed, Parser, clip, error, expr};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Distance, Draft, Link, Spanned, Target};
use crate::lexer::Token;

/// A register as written: `r1` is 64 bits wide, `w1` its low half.
#[derive(Clone, Debug)]
pub(super) struct Register {
    pub number: u8,
    pub width: Width,
    pub span: Span,
}

/// `register + offset`.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub base: Register,
    pub off: i16,
}

/// Width and number of a register name; the number may be above 10.
pub(super) fn register(name: &str) -> Option<(Width, u32)> {
    if name == "fp" {
        return Some((Width::W64, 10));
    }
    let (width, digits) = match name.as_bytes().first()? {
        b'r' => (Width::W64, &name[1..]),
        b'w' => (Width::W32, &name[1..]),
        _ => return None,
    };
    let plain = digits == "0" || !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if plain && digits.len() <= 3 { digits.parse().ok().map(|number| (width, number)) } else { None }
}

/// The row of an operation that the dialect can express, whether or not the instruction set has it.
pub(super) fn row(op: Op, span: &Span) -> Parsed<&'static Row> {
    static ROWS: LazyLock<HashMap<Op, &'static Row>> =
        LazyLock::new(|| TABLE.iter().map(|row| (row.op, row)).collect());
    ROWS.get(&op).copied().ok_or_else(|| {
        Box::new(Diagnostic::new(span.clone(), "the instruction set has no such operation or size"))
    })
}

/// An instruction with its selecting fields set and its operands 0.
pub(super) fn draft(row: &Row) -> Draft {
    Draft { insn: row.template(), second: (row.slots() == 2).then_some(0), link: None }
}

fn check(field: RegField, reg: &Register) -> Parsed<u8> {
    if reg.number == 10 && matches!(field, RegField::Write | RegField::ReadWrite) {
        return error(
            Diagnostic::new(reg.span.clone(), "the frame pointer r10 is read only")
                .label("this register is written")
                .help("copy it first, for instance `r2 = r10` and `r2 += -8`"),
        );
    }
    Ok(reg.number)
}

impl Draft {
    pub(super) fn dst(mut self, row: &Row, reg: &Register) -> Parsed<Self> {
        self.insn.dst = check(row.dst, reg)?;
        Ok(self)
    }

    pub(super) fn src(mut self, row: &Row, reg: &Register) -> Parsed<Self> {
        self.insn.src = check(row.src, reg)?;
        Ok(self)
    }

    pub(super) fn off(mut self, off: i16) -> Self {
        self.insn.off = off;
        self
    }

    pub(super) fn imm(mut self, imm: i32) -> Self {
        self.insn.imm = imm;
        self
    }

    pub(super) fn jump(self, target: Spanned<Target>, distance: Distance) -> Self {
        self.link(Link::Jump(target.value, distance), target.span)
    }

    pub(super) fn link(mut self, link: Link, span: Span) -> Self {
        self.link = Some(Spanned { value: link, span });
        self
    }
}

impl Parser<'_> {
    /// Whether a register starts here.
    pub(super) fn at_register(&self) -> bool {
        match self.peek() {
            Token::Ident => register(self.text()).is_some(),
            Token::Percented => true,
            _ => false,
        }
    }

    pub(super) fn reg(&mut self) -> Parsed<Register> {
        let text = self.text();
        let name = text.strip_prefix('%').unwrap_or(text);
        let found =
            if matches!(self.peek(), Token::Ident | Token::Percented) { register(name) } else { None };
        let Some((width, number)) = found else { return Err(self.unexpected("a register, r0 to r10")) };
        let span = self.span();
        if number > 10 {
            return error(
                Diagnostic::new(span, format!("register `{text}` does not exist"))
                    .label("registers are r0 to r10"),
            );
        }
        self.bump();
        Ok(Register { number: number as u8, width, span })
    }

    /// A register of the given width.
    pub(super) fn reg_of(&mut self, width: Width) -> Parsed<Register> {
        let reg = self.reg()?;
        same_width(&reg, width)?;
        Ok(reg)
    }

    /// A register that must be `wanted`, because the instruction has one field for both.
    pub(super) fn same_reg(&mut self, wanted: &Register) -> Parsed<()> {
        let reg = self.reg()?;
        if reg.number != wanted.number {
            return error(
                Diagnostic::new(reg.span, format!("the register must be r{} here too", wanted.number))
                    .label("the instruction has one register for both")
                    .related(wanted.span.clone(), "as here"),
            );
        }
        Ok(())
    }

    /// `register`, `register + offset` or `register - offset`, up to a closing bracket.
    pub(super) fn memory(&mut self) -> Parsed<Memory> {
        let base = self.reg()?;
        same_width(&base, Width::W64)?;
        let off = if matches!(self.peek(), Token::Plus | Token::Minus) {
            let value = self.expr("an offset")?;
            expr::fit(&value, -(1 << 15)..1 << 15, "an offset")? as i16
        } else {
            0
        };
        Ok(Memory { base, off })
    }

    /// `*)` after the type of an access was taken: the type of `(u32 *)`.
    pub(super) fn access_type(&mut self) -> Parsed<Access> {
        let name = self.ident(ACCESS_TYPES)?;
        let Some(&(_, signed, size)) = ACCESSES.iter().find(|(known, ..)| *known == name.value) else {
            return error(
                Diagnostic::new(name.span, format!("unknown type `{}`", clip(name.value)))
                    .label(format!("expected {ACCESS_TYPES}"))
                    .suggest(name.value, ACCESSES.iter().map(|(known, ..)| *known)),
            );
        };
        self.expect(Token::Star, "`*`")?;
        self.expect(Token::RParen, "`)`")?;
        Ok(Access { signed, size, span: name.span })
    }

    /// Where a jump goes: a label, `1f`, `1b`, `+3`, `-2`, `pc+3`.
    pub(super) fn target(&mut self) -> Parsed<Spanned<Target>> {
        let span = self.span();
        let text = self.text();
        let value = match self.peek() {
            Token::Ident if text == "pc" && matches!(self.peek_at(1), Token::Plus | Token::Minus) => {
                self.bump();
                self.offset()?
            }
            Token::Ident if !self.constants.contains_key(text) => {
                if register(text).is_some() {
                    return Err(self.unexpected("a label or a distance such as `+3`"));
                }
                self.bump();
                return Ok(Spanned { value: Target::Label(text.to_owned()), span });
            }
            Token::Number if local_label(text).is_some() => {
                self.bump();
                let (number, forward) = local_label(text).unwrap_or_default();
                let value = if forward { Target::Forward(number) } else { Target::Backward(number) };
                return Ok(Spanned { value, span });
            }
            _ => self.offset()?,
        };
        let span = span.start..self.last_end();
        self.objdump_note()?;
        Ok(Spanned { value, span })
    }

    fn offset(&mut self) -> Parsed<Target> {
        let value = self.expr("a label or a distance such as `+3`")?;
        let distance = expr::fit(&value, -(1 << 31)..1 << 31, "a jump")?;
        Ok(Target::Offset(distance as i64))
    }

    /// Skips what llvm-objdump adds to a jump: `<main+0x60>`.
    fn objdump_note(&mut self) -> Parsed<()> {
        if self.eat(Token::Lt) {
            while !self.peek().ends_statement() && self.peek() != Token::Gt {
                self.bump();
            }
            self.expect(Token::Gt, "`>`")?;
        }
        Ok(())
    }
}

/// Number and direction of `1f` or `1b`.
fn local_label(text: &str) -> Option<(u32, bool)> {
    let digits = text.strip_suffix(['f', 'b'])?;
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    Some((number, text.ends_with('f')))
}

/// Type of a memory access.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub signed: bool,
    pub size: Size,
    pub span: Span,
}

const ACCESS_TYPES: &str = "u8, u16, u32, u64, s8, s16 or s32";

const ACCESSES: &[(&str, bool, Size)] = &[
    ("u8", false, Size::B),
    ("u16", false, Size::H),
    ("u32", false, Size::W),
    ("u64", false, Size::Dw),
    ("s8", true, Size::B),
    ("s16", true, Size::H),
    ("s32", true, Size::W),
];

/// An error unless the register has the width.
pub(super) fn same_width(reg: &Register, width: Width) -> Parsed<()> {
    if reg.width == width {
        return Ok(());
    }
    let letter = if width == Width::W64 { 'r' } else { 'w' };
    error(
        Diagnostic::new(reg.span.clone(), format!("a {}-bit register is needed here", width.bits()))
            .label(format!("expected `{letter}{}`", reg.number)),
    )
}
