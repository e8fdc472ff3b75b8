// SPDX-License-Identifier: MIT OR Apache-2.0
//! Constant expressions with C's operators and precedence, over 128-bit integers.
//!
//! Guarantees: no overflow goes unnoticed, nesting is bounded by [`MAX_DEPTH`], and a value is only cut to the
//! field it lands in where all cut bits are copies of the sign or zero.

use std::ops::Range;

use super::{Parsed, Parser, clip, error};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::Spanned;
use crate::lexer::Token;

/// Nested parentheses and signs.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Copy)]
enum Binary {
    Or,
    Xor,
    And,
    Shl,
    Shr,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// A binary operator and how tightly it binds, as in C.
fn binary(token: Token) -> Option<(Binary, u8)> {
    Some(match token {
        Token::Pipe => (Binary::Or, 1),
        Token::Caret => (Binary::Xor, 2),
        Token::Amp => (Binary::And, 3),
        Token::Shl => (Binary::Shl, 4),
        Token::Shr => (Binary::Shr, 4),
        Token::Plus => (Binary::Add, 5),
        Token::Minus => (Binary::Sub, 5),
        Token::Star => (Binary::Mul, 6),
        Token::Slash => (Binary::Div, 6),
        Token::Percent => (Binary::Rem, 6),
        _ => return None,
    })
}

fn apply(op: Binary, a: i128, b: i128) -> Option<i128> {
    match op {
        Binary::Or => Some(a | b),
        Binary::Xor => Some(a ^ b),
        Binary::And => Some(a & b),
        Binary::Shl => u32::try_from(b).ok().filter(|n| *n < 128).and_then(|n| {
            let shifted = a << n;
            (shifted >> n == a).then_some(shifted)
        }),
        Binary::Shr => u32::try_from(b).ok().map(|n| a >> n.min(127)),
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::Div => a.checked_div(b),
        Binary::Rem => a.checked_rem(b),
    }
}

impl Parser<'_> {
    /// An expression; `what` names what it is for in errors.
    pub(super) fn expr(&mut self, what: &str) -> Parsed<Spanned<i128>> {
        let start = self.span().start;
        let value = self.binary_expr(0, what, 0)?;
        Ok(Spanned { value, span: start..self.last_end() })
    }

    /// One operand of an expression, without binary operators around it.
    pub(super) fn term(&mut self, what: &str) -> Parsed<Spanned<i128>> {
        let start = self.span().start;
        let value = self.unary_expr(what, 0)?;
        Ok(Spanned { value, span: start..self.last_end() })
    }

    fn binary_expr(&mut self, least: u8, what: &str, depth: usize) -> Parsed<i128> {
        let start = self.span().start;
        let mut left = self.unary_expr(what, depth)?;
        while let Some((op, binding)) = binary(self.peek())
            && binding > least
        {
            self.bump();
            let right = self.binary_expr(binding, what, depth + 1)?;
            let span = start..self.last_end();
            left = apply(op, left, right).ok_or_else(|| {
                Box::new(
                    Diagnostic::new(span, "this expression has no value")
                        .label("a division by zero, a bad shift, or a result of more than 128 bits"),
                )
            })?;
        }
        Ok(left)
    }

    fn unary_expr(&mut self, what: &str, depth: usize) -> Parsed<i128> {
        if depth > MAX_DEPTH {
            return error(Diagnostic::new(self.span(), format!("nested deeper than {MAX_DEPTH} levels")));
        }
        match self.peek() {
            Token::Plus => {
                self.bump();
                self.unary_expr(what, depth + 1)
            }
            Token::Minus => {
                let span = self.bump();
                let value = self.unary_expr(what, depth + 1)?;
                value.checked_neg().ok_or_else(|| Box::new(Diagnostic::new(span, "the value does not fit")))
            }
            Token::Tilde => {
                self.bump();
                Ok(!self.unary_expr(what, depth + 1)?)
            }
            Token::LParen => {
                self.bump();
                let value = self.binary_expr(0, what, depth + 1)?;
                self.expect(Token::RParen, "`)`")?;
                Ok(value)
            }
            Token::Number => {
                let value = number(self.text(), self.span())?;
                self.bump();
                Ok(value)
            }
            Token::Char => {
                let value = character(self.text(), self.span())?;
                self.bump();
                Ok(value)
            }
            Token::Ident => self.constant(what),
            _ => Err(self.unexpected(what)),
        }
    }

    fn constant(&mut self, what: &str) -> Parsed<i128> {
        let name = self.text();
        if let Some(constant) = self.constants.get(name) {
            let value = constant.value;
            self.bump();
            return Ok(value);
        }
        let span = self.span();
        if super::operand::register(name).is_some() {
            return error(
                Diagnostic::new(span, format!("unexpected register `{name}`"))
                    .label(format!("expected {what}")),
            );
        }
        let unknown = Diagnostic::new(span, format!("unknown constant `{}`", clip(name)))
            .label(format!("expected {what}"));
        if self.file.symbols.contains_key(name) {
            return error(
                unknown.help(format!("its address is loaded by `r1 = {name} ll` or `lddw r1, {name}`")),
            );
        }
        if self.is_defined_below(name) {
            return error(
                unknown.help(format!("`{name}` is known from the line on that defines it, further down")),
            );
        }
        error(unknown.suggest(name, self.constants.keys().copied()))
    }

    fn is_defined_below(&self, name: &str) -> bool {
        let text = |at: usize| &self.source[self.tokens[at].1.clone()];
        (self.pos + 1..self.tokens.len()).any(|at| {
            text(at) == name
                && (self.tokens[at - 1].0 == Token::Define || matches!(text(at - 1), ".set" | ".equ"))
        })
    }

    /// An expression that fits a signed or unsigned field of so many bits.
    pub(super) fn field(&mut self, bits: u32, what: &str) -> Parsed<i128> {
        let value = self.expr(what)?;
        fit(&value, -(1 << (bits - 1))..1 << bits, what)
    }

    /// A 32-bit immediate: `-1` and `0xffffffff` are the same.
    pub(super) fn imm32(&mut self) -> Parsed<i32> {
        let value = self.expr("a 32-bit number")?;
        if i64::try_from(value.value).is_ok() || u64::try_from(value.value).is_ok() {
            return fit(&value, -(1 << 31)..1 << 32, "an immediate").map(|v| v as i32).map_err(|error| {
                Box::new(error.help("a 64-bit number takes two slots: `r1 = NUMBER ll` or `lddw r1, NUMBER`"))
            });
        }
        fit(&value, -(1 << 31)..1 << 32, "an immediate").map(|v| v as i32)
    }

    /// A number of 32 bits without a sign.
    pub(super) fn u32(&mut self, what: &str) -> Parsed<u32> {
        let value = self.expr(what)?;
        fit(&value, 0..1 << 32, what).map(|v| v as u32)
    }
}

/// The value, if it lies in the range.
pub(super) fn fit(value: &Spanned<i128>, range: Range<i128>, what: &str) -> Parsed<i128> {
    if range.contains(&value.value) {
        return Ok(value.value);
    }
    error(
        Diagnostic::new(value.span.clone(), format!("{} is out of range for {what}", value.value))
            .label(format!("expected {} to {}", range.start, range.end - 1)),
    )
}

/// A number as C and GNU as write it: `12`, `0x1f`, `0b101`, `017`; `_` may part digits.
fn number(text: &str, span: Span) -> Parsed<i128> {
    if !text.starts_with('0')
        && let Ok(plain) = text.parse::<u64>()
    {
        return Ok(plain.into());
    }
    let lower = text.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let digits = digits.trim_end_matches(['u', 'l']).replace('_', "");
    let kind = match radix {
        16 => "a hexadecimal",
        8 => "an octal",
        2 => "a binary",
        _ => "a decimal",
    };
    i128::from_str_radix(&digits, radix).or_else(|_| {
        error(
            Diagnostic::new(span, format!("`{}` is not {kind} number", clip(text)))
                .label("expected digits of one base, at most 127 bits"),
        )
    })
}

/// The value of a character such as `'a'` or `'\n'`.
fn character(text: &str, span: Span) -> Parsed<i128> {
    let inner = &text[1..text.len() - 1];
    let bytes = unescape(inner, span.start + 1)?;
    match std::str::from_utf8(&bytes).ok().map(|s| s.chars().collect::<Vec<_>>()).as_deref() {
        Some([one]) => Ok(i128::from(u32::from(*one))),
        _ if bytes.len() == 1 => Ok(i128::from(bytes[0])),
        _ => error(
            Diagnostic::new(span, "not one character").label("expected one character between the quotes"),
        ),
    }
}

/// The bytes of a string's inside, which starts at `start` of the source.
pub(super) fn unescape(inner: &str, start: usize) -> Parsed<Vec<u8>> {
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        if c != '\\' {
            out.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let Some((byte, len)) = escape(&rest[1..]) else {
            let at = start + inner.len() - rest.len();
            let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            return error(
                Diagnostic::new(at..at + len, "unknown escape")
                    .label(r#"expected \n, \t, \r, \\, \", \', \0 to \377 or \x00 to \xff"#),
            );
        };
        out.push(byte);
        rest = &rest[1 + len..];
    }
    Ok(out)
}

/// The byte that the text after a backslash stands for, and the length of that text.
fn escape(text: &str) -> Option<(u8, usize)> {
    let digits = |text: &str, radix: u32, most: usize| {
        let len = text.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        u8::from_str_radix(&text[..len], radix).ok().map(|byte| (byte, len))
    };
    match text.chars().next()? {
        'x' => digits(&text[1..], 16, 2).map(|(byte, len)| (byte, len + 1)),
        '0'..='7' => digits(text, 8, 3),
        c => SIMPLE_ESCAPES.iter().find(|(name, _)| *name == c).map(|(_, byte)| (*byte, 1)),
    }
}

const SIMPLE_ESCAPES: &[(char, u8)] = &[
    ('n', b'\n'),
    ('t', b'\t'),
    ('r', b'\r'),
    ('a', 7),
    ('b', 8),
    ('f', 12),
    ('v', 11),
    ('\\', b'\\'),
    ('"', b'"'),
    ('\'', b'\''),
];

#[cfg(test)]
mod tests {
    use crate::{Options, assemble};

    fn value(text: &str) -> Result<i64, String> {
        let source = format!("r0 = {text} ll\nexit\n");
        let object = assemble(&source, &Options::default()).map_err(|errors| errors.to_string())?;
        let insns = &object.programs[0].insns;
        Ok(i64::from(insns[1].imm) << 32 | i64::from(insns[0].imm as u32))
    }

    #[test]
    fn operators_bind_as_in_c() {
        for (text, expected) in [
            ("1 + 2 * 3", 7),
            ("(1 + 2) * 3", 9),
            ("10 - 4 - 3", 3),
            ("4 | 2 ^ 3 & 2", 4),
            ("1 << 4 + 1", 32),
            ("-7 / 2", -3),
            ("-7 % 4", -3),
            ("~0", -1),
            ("- -5", 5),
            ("1 << 63", i64::MIN),
            ("0xffffffffffffffff", -1),
            ("-8 >> 1", -4),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn numbers_have_the_bases_of_c() {
        for (text, expected) in
            [("0x1F", 31), ("0b101", 5), ("017", 15), ("0o17", 15), ("1_000", 1000), ("5ULL", 5), ("0", 0)]
        {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
        for text in ["0x", "08", "0b2", "1f", "12abc", "0xffffffffffffffffffffffffffffffffff"] {
            assert!(value(text).is_err(), "{text}");
        }
    }

    #[test]
    fn characters_are_numbers() {
        for (text, expected) in [
            ("'a'", 97),
            (r"'\n'", 10),
            (r"'\''", 39),
            (r"'\x41'", 65),
            (r"'\101'", 65),
            ("'é'", 233),
            (r"'\0'", 0),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
        for text in ["''", "'ab'", r"'\q'", r"'\x'", r"'\777'"] {
            assert!(value(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_an_error() {
        for text in
            ["1 / 0", "1 % 0", "1 << 128", "1 << -1", "1 << 64", "-(1 << 63) - 1", "unknown", "1 +", "(1"]
        {
            assert!(value(text).is_err(), "{text}");
        }
    }
}
