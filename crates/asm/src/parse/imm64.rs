// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operand of `ld_imm64`, in every form that LLVM, the kernel and bpftool write:
//!
//! | text | pseudo source register |
//! |---|---|
//! | `0x1122334455667788` | none, a number |
//! | `name`, `name + 8` | as the name says: a map, data, a function |
//! | `map[name]`, `map[idx:0]` | `BPF_PSEUDO_MAP_IDX` |
//! | `map[name][0]+8`, `map[idx:0][0]+8` | `BPF_PSEUDO_MAP_IDX_VALUE` |
//! | `map[fd:3]`, `map[fd:3][0]+8` | `BPF_PSEUDO_MAP_FD`, `BPF_PSEUDO_MAP_VALUE` |
//! | `func name`, `subprog[+4]` | `BPF_PSEUDO_FUNC` |
//! | `ksym name`, `btf[id:7]`, `btf[id:7][fd:3]` | `BPF_PSEUDO_BTF_ID` |

use skep_isa::{Imm64, Op, Width};

use super::operand::{Register, draft, row, same_width};
use super::{Parsed, Parser, clip, error, expr};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Distance, Draft, Link};
use crate::lexer::Token;

impl Parser<'_> {
    /// In pseudo-C, after `dst =`: the operand if it is one of 64 bits, which `ll` at its end or its first word
    /// tells; `None` for anything else.
    pub(super) fn imm64(&mut self, dst: &Register) -> Parsed<Option<Draft>> {
        if self.at_imm64_word() || self.listed_wide {
            let draft = self.imm64_operand(dst)?;
            self.eat_word("ll");
            return Ok(Some(draft));
        }
        if !self.statement_ends_with_ll() {
            return Ok(None);
        }
        let draft = self.imm64_operand(dst)?;
        if !self.eat_word("ll") {
            return Err(self.unexpected("`ll`"));
        }
        Ok(Some(draft))
    }

    fn at_imm64_word(&self) -> bool {
        self.peek() == Token::Ident
            && match self.text() {
                "map" | "subprog" | "btf" => self.peek_at(1) == Token::LBracket,
                "func" | "ksym" => self.peek_at(1) == Token::Ident && self.text_at(1) != "ll",
                _ => false,
            }
    }

    fn statement_ends_with_ll(&self) -> bool {
        let mut ahead = 0;
        while !self.peek_at(ahead).ends_statement() {
            ahead += 1;
        }
        ahead > 0 && self.peek_at(ahead - 1) == Token::Ident && self.text_at(ahead - 1) == "ll"
    }

    /// The operand itself.
    pub(super) fn imm64_operand(&mut self, dst: &Register) -> Parsed<Draft> {
        same_width(dst, Width::W64)?;
        let start = self.span();
        let load = |kind: Imm64| {
            let row = row(Op::LdImm64(kind), &start)?;
            draft(row).dst(row, dst)
        };
        if self.at_imm64_word() {
            let word = self.text();
            self.bump();
            return match word {
                "map" => self.map_reference(&load),
                "btf" => self.btf_reference(&load),
                "subprog" => {
                    self.expect(Token::LBracket, "`[`")?;
                    let target = self.target()?;
                    self.expect(Token::RBracket, "`]`")?;
                    Ok(load(Imm64::Func)?.jump(target, Distance::Imm))
                }
                "func" => {
                    let name = self.ident("the name of a function")?;
                    Ok(load(Imm64::Func)?.link(Link::Function(name.value.to_owned()), name.span))
                }
                _ => {
                    let name = self.ident("the name of a kernel variable")?;
                    Ok(load(Imm64::BtfId)?.link(Link::Ksym(name.value.to_owned()), name.span))
                }
            };
        }
        if self.peek() == Token::Ident && !self.constants.contains_key(self.text()) && !self.at_register() {
            let name = self.text().to_owned();
            let span = self.bump();
            let addend = if matches!(self.peek(), Token::Plus | Token::Minus) {
                let value = self.expr("an offset")?;
                expr::fit(&value, -(1 << 31)..1 << 32, "an offset")? as i64
            } else {
                0
            };
            return Ok(load(Imm64::Const)?.link(Link::Symbol { name, addend }, span));
        }
        let value = self.expr("a 64-bit number or a symbol")?;
        let value = expr::fit(&value, -(1 << 63)..1 << 64, "a 64-bit immediate")?;
        Ok(load(Imm64::Const)?.wide(value as u64))
    }

    /// After `map`: `[name]` or `[idx:0]`, then perhaps `[0]+8`.
    fn map_reference(&mut self, load: &dyn Fn(Imm64) -> Parsed<Draft>) -> Parsed<Draft> {
        self.expect(Token::LBracket, "`[`")?;
        let name = self.text();
        let span = self.span();
        let number = if self.peek_at(1) == Token::Colon && self.peek() == Token::Ident {
            self.bump();
            self.bump();
            Some(
                self.expr("a number")
                    .and_then(|v| expr::fit(&v, -(1 << 31)..1 << 32, "a map"))
                    .map(|v| v as i32)?,
            )
        } else {
            self.map_name()?;
            None
        };
        self.expect(Token::RBracket, "`]`")?;
        let offset = self.value_offset()?;
        match (number, name) {
            (None, _) => Ok(match offset {
                None => load(Imm64::MapIdx)?.link(Link::Map(name.to_owned()), span),
                Some(offset) => {
                    load(Imm64::MapIdxValue)?.link(Link::MapValue { name: name.to_owned(), offset }, span)
                }
            }),
            (Some(number), "idx") => match offset {
                None => Ok(load(Imm64::MapIdx)?.imm(number)),
                Some(offset) => Ok(load(Imm64::MapIdxValue)?.halves(number, offset)),
            },
            (Some(number), "fd") => match offset {
                None => Ok(load(Imm64::MapFd)?.imm(number)),
                Some(offset) => Ok(load(Imm64::MapValue)?.halves(number, offset)),
            },
            (Some(_), "id") => error(
                Diagnostic::new(span, "a map id means nothing outside of the kernel that gave it")
                    .label("expected `idx`, `fd` or the name of a map")
                    .help("declare the map with `.map` and write `map[NAME]`"),
            ),
            _ => error(
                Diagnostic::new(span, format!("unknown kind of map reference `{}`", clip(name)))
                    .label("expected `idx`, `fd` or the name of a map"),
            ),
        }
    }

    /// The name of a map, which may be a data section's: `.rodata`.
    pub(super) fn map_name(&mut self) -> Parsed<(String, Span)> {
        let name = self.ident("the name of a map")?;
        Ok((name.value.to_owned(), name.span))
    }

    /// `[0]+8`, `[0]` or `+8` after a map.
    fn value_offset(&mut self) -> Parsed<Option<u32>> {
        let element = self.peek() == Token::LBracket;
        if element {
            self.bump();
            let index = self.expr("`0`")?;
            if index.value != 0 {
                return error(
                    Diagnostic::new(index.span, "only element 0 of a map has an address")
                        .label("expected `0`")
                        .help("add the offset of the element: `map[NAME][0]+OFFSET`"),
                );
            }
            self.expect(Token::RBracket, "`]`")?;
        }
        if self.eat(Token::Plus) {
            return self.u32("an offset").map(Some);
        }
        Ok(element.then_some(0))
    }

    /// After `btf`: `[id:7]`, then perhaps `[fd:3]`.
    fn btf_reference(&mut self, load: &dyn Fn(Imm64) -> Parsed<Draft>) -> Parsed<Draft> {
        let id = self.bracketed_number("id")?;
        let fd = if self.peek() == Token::LBracket { self.bracketed_number("fd")? } else { 0 };
        Ok(load(Imm64::BtfId)?.halves(id, fd as u32))
    }

    /// `[word:number]`.
    fn bracketed_number(&mut self, word: &str) -> Parsed<i32> {
        self.expect(Token::LBracket, "`[`")?;
        if !self.eat_word(word) {
            return Err(self.unexpected(&format!("`{word}`")));
        }
        self.expect(Token::Colon, "`:`")?;
        let number = self.imm32()?;
        self.expect(Token::RBracket, "`]`")?;
        Ok(number)
    }
}

impl Draft {
    fn wide(self, value: u64) -> Self {
        self.halves(value as i32, (value >> 32) as u32)
    }

    fn halves(mut self, low: i32, high: u32) -> Self {
        self.insn.imm = low;
        self.second = Some(high as i32);
        self
    }
}
