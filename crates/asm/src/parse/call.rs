// SPDX-License-Identifier: MIT OR Apache-2.0
//! `call` in all its forms: helpers by number or name, functions of the source, distances, kernel functions.
//!
//! | text | calls |
//! |---|---|
//! | `call 1`, `call bpf_map_lookup_elem#1`, `call unknown#500` | a helper by its number |
//! | `call name` | a function or label of the source, else a helper (with or without `bpf_`) |
//! | `call local name`, `call local +3`, `call pc+3`, `call -2` | a function of the source |
//! | `call kfunc name`, `call name#71230` | a kernel function by its name |
//! | `call kfunc#71230`, `call kernel-function#71230` | a kernel function by BTF id |
//!
//! After a kernel function `, btf N` gives the index of its module's BTF in `fd_array`.

use skep_isa::{CallKind, Op, Row};
use skep_uapi::HelperId;

use super::operand::{draft, row};
use super::{Parsed, Parser, clip, error, expr};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Distance, Draft, Link, Spanned, Target};
use crate::lexer::Token;

/// The helper of a name, with or without `bpf_`, but not by number.
pub(crate) fn helper(name: &str) -> Option<HelperId> {
    let bare = name.strip_prefix("bpf_").unwrap_or(name);
    if bare.starts_with(|c: char| c.is_ascii_digit()) || bare.eq_ignore_ascii_case("unspec") {
        return None;
    }
    HelperId::from_name(bare)
}

impl Parser<'_> {
    /// What follows `call`; `helper_row` is the row for a helper.
    pub(super) fn call(&mut self, helper_row: &Row) -> Parsed<Draft> {
        let span = self.span();
        let by_distance = |target: Spanned<Target>| -> Parsed<Draft> {
            Ok(draft(row(Op::Call(CallKind::Local), &target.span)?).jump(target, Distance::Imm))
        };
        match self.peek() {
            Token::Plus | Token::Minus => by_distance(self.target()?),
            Token::Numbered => self.numbered_call(helper_row),
            Token::Ident => match self.text() {
                "pc" if matches!(self.peek_at(1), Token::Plus | Token::Minus) => by_distance(self.target()?),
                "local" if !self.peek_at(1).ends_statement() => {
                    self.bump();
                    let target = self.target()?;
                    match target.value {
                        Target::Label(name) => Ok(draft(row(Op::Call(CallKind::Local), &span)?)
                            .link(Link::LocalCall(name), target.span)),
                        _ => by_distance(target),
                    }
                }
                "kfunc" if self.peek_at(1) == Token::Ident => {
                    self.bump();
                    let name = self.ident("the name of a kernel function")?;
                    self.kfunc(0, Some(name.value), name.span)
                }
                "kernel" if self.peek_at(1) == Token::Minus && self.text_at(2).starts_with("function#") => {
                    self.bump();
                    self.bump();
                    self.numbered_call(helper_row)
                }
                name if super::operand::register(name).is_some() => error(
                    Diagnostic::new(span, "there is no call through a register")
                        .label("expected a helper or a function")
                        .help("the kernel takes no `callx`; branch to direct calls"),
                ),
                name if self.constants.contains_key(name) => Ok(draft(helper_row).imm(self.imm32()?)),
                name => {
                    self.bump();
                    Ok(draft(helper_row).link(Link::Call(name.to_owned()), span))
                }
            },
            Token::Number => Ok(draft(helper_row).imm(self.imm32()?)),
            _ => Err(self.unexpected("a helper or a function")),
        }
    }

    /// `name#number`.
    fn numbered_call(&mut self, helper_row: &Row) -> Parsed<Draft> {
        let text = self.text();
        let span = self.bump();
        let (name, digits) = text.split_once('#').unwrap_or((text, ""));
        let Ok(number) = digits.parse::<i64>() else {
            return error(Diagnostic::new(span, format!("`{}` is no number", clip(digits))));
        };
        let value = Spanned { value: i128::from(number), span: span.clone() };
        let number = expr::fit(&value, -(1 << 31)..1 << 32, "a call")? as i32;
        match name {
            "unknown" | "bpf_unspec" => return Ok(draft(helper_row).imm(number)),
            "kfunc" | "function" => return self.kfunc(number, None, span),
            _ => {}
        }
        match helper(name) {
            None => self.kfunc(number, Some(name), span),
            Some(id) if id.0 as i32 == number => Ok(draft(helper_row).imm(number)),
            Some(id) => error(
                Diagnostic::new(span, format!("`{name}` is helper {}, not {number}", id.0))
                    .label(format!("expected `{name}#{}`", id.0)),
            ),
        }
    }

    fn kfunc(&mut self, id: i32, name: Option<&str>, span: Span) -> Parsed<Draft> {
        let mut draft = draft(row(Op::Call(CallKind::Kfunc), &span)?).imm(id);
        if let Some(name) = name {
            draft = draft.link(Link::Kfunc(name.to_owned()), span);
        }
        if self.peek() == Token::Comma && self.text_at(1) == "btf" {
            self.bump();
            self.bump();
            let index = self.expr("an index into fd_array")?;
            draft = draft.off(expr::fit(&index, -(1 << 15)..1 << 15, "an index")? as i16);
        }
        Ok(draft)
    }
}
