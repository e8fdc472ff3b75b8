// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pseudo-C dialect: what LLVM's BPF backend and GNU as (`-mdialect=pseudoc`) read and write, and what the
//! kernel's verifier log and bpftool print.
//!
//! The two writers differ in a few places, and both are taken: a `w` register is written for 32-bit loads, stores
//! and atomics by LLVM, an `r` register by the kernel; atomics that return have different names.

use skep_isa::{AluOp, AtomicOp, CallKind, Cond, EndianOp, Op, Size, Source, Width};

use super::operand::{Memory, Register, draft, row, same_width};
use super::{Parsed, Parser, clip, error, expr};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Distance, Draft};
use crate::lexer::Token;

/// Assignment operators; `signed` is the letter `s` that touches the operator.
const ASSIGN: &[(bool, Token, AluOp)] = &[
    (false, Token::Eq, AluOp::Mov),
    (false, Token::PlusEq, AluOp::Add),
    (false, Token::MinusEq, AluOp::Sub),
    (false, Token::StarEq, AluOp::Mul),
    (false, Token::SlashEq, AluOp::Div),
    (true, Token::SlashEq, AluOp::Sdiv),
    (false, Token::PipeEq, AluOp::Or),
    (false, Token::AmpEq, AluOp::And),
    (false, Token::ShlEq, AluOp::Lsh),
    (false, Token::ShrEq, AluOp::Rsh),
    (true, Token::ShrEq, AluOp::Arsh),
    (false, Token::PercentEq, AluOp::Mod),
    (true, Token::PercentEq, AluOp::Smod),
    (false, Token::CaretEq, AluOp::Xor),
];

/// Comparison operators.
const COMPARE: &[(bool, Token, Cond)] = &[
    (false, Token::EqEq, Cond::Eq),
    (false, Token::Ne, Cond::Ne),
    (false, Token::Gt, Cond::Gt),
    (false, Token::Ge, Cond::Ge),
    (false, Token::Lt, Cond::Lt),
    (false, Token::Le, Cond::Le),
    (true, Token::Gt, Cond::Sgt),
    (true, Token::Ge, Cond::Sge),
    (true, Token::Lt, Cond::Slt),
    (true, Token::Le, Cond::Sle),
    (false, Token::Amp, Cond::Set),
];

/// Operators of `lock *(...) op reg`.
const LOCKED: &[(Token, AtomicOp)] = &[
    (Token::PlusEq, AtomicOp::Add),
    (Token::PipeEq, AtomicOp::Or),
    (Token::AmpEq, AtomicOp::And),
    (Token::CaretEq, AtomicOp::Xor),
];

/// Names of operations that return what was in memory; with `atomic_` before it, or `atomic64_` in the kernel's
/// log, where the operand has 64 bits.
const FETCH: &[(&str, AtomicOp)] = &[
    ("fetch_add", AtomicOp::FetchAdd),
    ("fetch_or", AtomicOp::FetchOr),
    ("fetch_and", AtomicOp::FetchAnd),
    ("fetch_xor", AtomicOp::FetchXor),
    ("xchg", AtomicOp::Xchg),
    ("cmpxchg", AtomicOp::Cmpxchg),
];

/// LLVM's names of exchanges, which take no type.
const EXCHANGE: &[(&str, AtomicOp, Width)] = &[
    ("xchg_64", AtomicOp::Xchg, Width::W64),
    ("xchg32_32", AtomicOp::Xchg, Width::W32),
    ("cmpxchg_64", AtomicOp::Cmpxchg, Width::W64),
    ("cmpxchg32_32", AtomicOp::Cmpxchg, Width::W32),
];

const ENDIAN: &[(&str, EndianOp)] =
    &[("le", EndianOp::ToLe), ("be", EndianOp::ToBe), ("bswap", EndianOp::Bswap)];

/// Every function-like word that may follow `reg =`.
const FUNCTIONS: &[&str] = &["load_acquire", "addr_space_cast", "atomic_fetch_add", "map", "func", "ksym"];

fn size_of_bits(bits: &str) -> Option<Size> {
    Size::ALL.into_iter().find(|size| *size != Size::B && size.bits().to_string() == bits)
}

fn endian(word: &str) -> Option<(EndianOp, Size)> {
    ENDIAN.iter().find_map(|(name, op)| Some((*op, size_of_bits(word.strip_prefix(name)?)?)))
}

/// Operation, and whether the name says 64 bits.
fn fetching(word: &str) -> Option<(AtomicOp, bool)> {
    let (rest, wide) = match word.strip_prefix("atomic64_") {
        Some(rest) => (rest, true),
        None => (word.strip_prefix("atomic_")?, false),
    };
    FETCH.iter().find(|(name, _)| *name == rest).map(|(_, op)| (*op, wide))
}

impl Parser<'_> {
    pub(super) fn pseudo_c(&mut self) -> Parsed<Draft> {
        if self.at_register() {
            return self.assignment();
        }
        match self.text() {
            "*" => self.store(),
            "lock" => self.locked(),
            "if" => self.conditional(),
            "goto" => {
                self.bump();
                let row = row(Op::Ja, &self.span())?;
                Ok(draft(row).jump(self.target()?, Distance::Off))
            }
            "gotol" => {
                self.bump();
                let row = row(Op::Ja32, &self.span())?;
                Ok(draft(row).jump(self.target()?, Distance::Imm))
            }
            "store_release" => self.store_release(),
            _ => Err(self.unexpected("an instruction")),
        }
    }

    /// The operator of a table, with its `s`.
    fn operator<T: Copy>(&mut self, table: &[(bool, Token, T)], what: &str) -> Parsed<T> {
        let signed = self.peek() == Token::Ident && self.text() == "s" && self.touches_next();
        let token = self.peek_at(usize::from(signed));
        let Some((.., op)) = table.iter().find(|(s, t, _)| *s == signed && *t == token) else {
            return Err(self.unexpected(what));
        };
        if signed {
            self.bump();
        }
        self.bump();
        Ok(*op)
    }

    fn assignment(&mut self) -> Parsed<Draft> {
        let dst = self.reg()?;
        let op = self.operator(ASSIGN, "an assignment such as `=`, `+=` or `s>>=`")?;
        if op == AluOp::Mov
            && let Some(draft) = self.assigned_value(&dst)?
        {
            return Ok(draft);
        }
        if !self.at_register() {
            let row = row(Op::Alu(op, dst.width, Source::Imm), &dst.span)?;
            return Ok(draft(row).dst(row, &dst)?.imm(self.imm32()?));
        }
        let src = self.reg()?;
        // LLVM writes `r1 = w2` for a 32-bit move whose result is used with 64 bits.
        let zero_extends = op == AluOp::Mov && src.width == Width::W32;
        let width = if zero_extends { Width::W32 } else { dst.width };
        same_width(&src, width)?;
        let row = row(Op::Alu(op, width, Source::Reg), &dst.span)?;
        draft(row).dst(row, &dst)?.src(row, &src)
    }

    /// What may follow `reg =` besides a register or a number; `None` for those.
    fn assigned_value(&mut self, dst: &Register) -> Parsed<Option<Draft>> {
        let span = self.span();
        Ok(Some(match self.peek() {
            Token::Star => {
                self.bump();
                self.load(dst)?
            }
            Token::Minus if self.register_follows() => {
                self.bump();
                let row = row(Op::Neg(dst.width), &span)?;
                self.same_reg(dst)?;
                draft(row).dst(row, dst)?
            }
            Token::LParen if self.peek_at(1) == Token::Ident && self.text_at(1).starts_with('s') => {
                self.sign_extension(dst)?
            }
            Token::Ident if !self.at_register() => {
                let word = self.text();
                if let Some((op, size)) = endian(word) {
                    self.bump();
                    if size == Size::Dw {
                        same_width(dst, Width::W64)?;
                    }
                    let row = row(Op::Endian(op, size), &span)?;
                    self.same_reg(dst)?;
                    draft(row).dst(row, dst)?
                } else if let Some((op, wide)) = fetching(word) {
                    self.bump();
                    self.fetch(dst, op, wide)?
                } else if let Some(&(_, op, width)) = EXCHANGE.iter().find(|(name, ..)| *name == word) {
                    self.bump();
                    self.exchange(dst, op, width)?
                } else if word == "load_acquire" {
                    self.bump();
                    self.load_acquire(dst)?
                } else if word == "addr_space_cast" {
                    self.bump();
                    self.addr_space_cast(dst)?
                } else {
                    match self.imm64(dst)? {
                        Some(draft) => draft,
                        None if self.peek_at(1) == Token::LParen => {
                            return error(
                                Diagnostic::new(span, format!("unknown function `{}`", clip(word)))
                                    .suggest(word, FUNCTIONS.iter().copied()),
                            );
                        }
                        None => return Ok(None),
                    }
                }
            }
            _ => return self.imm64(dst),
        }))
    }

    fn register_follows(&self) -> bool {
        super::operand::register(self.text_at(1)).is_some()
    }

    /// `(s8)r2` and so on, up to `(s32)`.
    fn sign_extension(&mut self, dst: &Register) -> Parsed<Draft> {
        self.expect(Token::LParen, "`(`")?;
        let name = self.ident("s8, s16 or s32")?;
        let size = Size::ALL.into_iter().find(|size| name.value[1..] == size.bits().to_string());
        self.expect(Token::RParen, "`)`")?;
        let Some(size) = size else {
            return error(
                Diagnostic::new(name.span, format!("unknown type `{}`", clip(name.value)))
                    .label("expected s8, s16 or s32"),
            );
        };
        let row = row(Op::Movsx(dst.width, size), &name.span)?;
        let src = self.reg_of(dst.width)?;
        draft(row).dst(row, dst)?.src(row, &src)
    }

    /// After `*`: `(u32 *)(r2 + 4)` or `(u16 *)skb[4]`.
    fn load(&mut self, dst: &Register) -> Parsed<Draft> {
        self.expect(Token::LParen, "`(` and a type such as `u32 *`")?;
        let access = self.access_type()?;
        if self.eat_word("skb") {
            return self.packet_load(dst, access.size, &access.span);
        }
        let op = if access.signed { Op::Ldsx(access.size) } else { Op::Ldx(access.size) };
        low_half(dst, access.size, access.signed)?;
        let row = row(op, &access.span)?;
        let memory = self.parenthesised_memory()?;
        Ok(draft(row).dst(row, dst)?.src(row, &memory.base)?.off(memory.off))
    }

    fn packet_load(&mut self, dst: &Register, size: Size, span: &Span) -> Parsed<Draft> {
        if dst.number != 0 {
            return error(
                Diagnostic::new(dst.span.clone(), "a packet load always writes r0").label("expected `r0`"),
            );
        }
        self.expect(Token::LBracket, "`[`")?;
        let draft = if self.at_register() {
            let row = row(Op::LdInd(size), span)?;
            let src = self.reg_of(Width::W64)?;
            let imm = if matches!(self.peek(), Token::Plus | Token::Minus) { self.imm32()? } else { 0 };
            draft(row).src(row, &src)?.imm(imm)
        } else {
            draft(row(Op::LdAbs(size), span)?).imm(self.imm32()?)
        };
        self.expect(Token::RBracket, "`]`")?;
        Ok(draft)
    }

    /// `(r1 + 4)`.
    fn parenthesised_memory(&mut self) -> Parsed<Memory> {
        self.expect(Token::LParen, "`(` and an address such as `r1 + 4`")?;
        let memory = self.memory()?;
        self.expect(Token::RParen, "`)`")?;
        Ok(memory)
    }

    /// `*(u8 *)(r1 + 0) = 5` or `= r2`.
    fn store(&mut self) -> Parsed<Draft> {
        self.expect(Token::Star, "`*`")?;
        self.expect(Token::LParen, "`(` and a type such as `u32 *`")?;
        let access = self.access_type()?;
        unsigned(&access)?;
        let memory = self.parenthesised_memory()?;
        self.expect(Token::Eq, "`=`; atomic operations start with `lock`")?;
        if self.at_register() {
            let row = row(Op::Stx(access.size), &access.span)?;
            let src = self.reg()?;
            low_half(&src, access.size, false)?;
            return Ok(draft(row).dst(row, &memory.base)?.src(row, &src)?.off(memory.off));
        }
        let row = row(Op::St(access.size), &access.span)?;
        Ok(draft(row).dst(row, &memory.base)?.off(memory.off).imm(self.imm32()?))
    }

    /// `lock *(u64 *)(r1 + 0) += r2`.
    fn locked(&mut self) -> Parsed<Draft> {
        self.bump();
        self.expect(Token::Star, "`*`")?;
        self.expect(Token::LParen, "`(` and a type such as `u32 *`")?;
        let access = self.access_type()?;
        let width = atomic_width(&access)?;
        let memory = self.parenthesised_memory()?;
        let token = self.peek();
        let Some(&(_, op)) = LOCKED.iter().find(|(known, _)| *known == token) else {
            return Err(self.unexpected("`+=`, `|=`, `&=` or `^=`"));
        };
        self.bump();
        let src = self.reg()?;
        low_half(&src, access.size, false)?;
        self.atomic(op, width, &memory, &src)
    }

    fn atomic(&mut self, op: AtomicOp, width: Width, memory: &Memory, src: &Register) -> Parsed<Draft> {
        let row = row(Op::Atomic(op, width), &src.span)?;
        Ok(draft(row).dst(row, &memory.base)?.src(row, src)?.off(memory.off))
    }

    /// After `dst = atomic_fetch_add`: `((u64 *)(r1 + 0), r2)`.
    fn fetch(&mut self, dst: &Register, op: AtomicOp, wide: bool) -> Parsed<Draft> {
        self.expect(Token::LParen, "`(`")?;
        self.expect(Token::LParen, "`(` and a type such as `u64 *`")?;
        let access = self.access_type()?;
        let width = atomic_width(&access)?;
        if wide && width == Width::W32 {
            return error(
                Diagnostic::new(access.span, "an `atomic64_` operation on 32 bits").label("expected `u64`"),
            );
        }
        let memory = self.parenthesised_memory()?;
        self.exchanged(dst, op, width, &memory)
    }

    /// After `dst = xchg_64`: `(r1 + 0, r2)`.
    fn exchange(&mut self, dst: &Register, op: AtomicOp, width: Width) -> Parsed<Draft> {
        self.expect(Token::LParen, "`(`")?;
        let memory = self.memory()?;
        self.exchanged(dst, op, width, &memory)
    }

    /// The rest of an operation that returns: `, r2)`, or `, r0, r2)` of a compare and exchange.
    fn exchanged(&mut self, dst: &Register, op: AtomicOp, width: Width, memory: &Memory) -> Parsed<Draft> {
        self.expect(Token::Comma, "`,`")?;
        let size = if width == Width::W64 { Size::Dw } else { Size::W };
        low_half(dst, size, false)?;
        if op == AtomicOp::Cmpxchg {
            if dst.number != 0 {
                return error(
                    Diagnostic::new(dst.span.clone(), "a compare and exchange returns in r0")
                        .label("expected `r0`"),
                );
            }
            self.same_reg(dst)?;
            self.expect(Token::Comma, "`,`")?;
        }
        let src = self.reg()?;
        low_half(&src, size, false)?;
        if op.fetches_to_src() && src.number != dst.number {
            return error(
                Diagnostic::new(src.span, format!("the register must be r{} here too", dst.number))
                    .label("the old value lands in the register that held the operand")
                    .related(dst.span.clone(), "as here"),
            );
        }
        self.expect(Token::RParen, "`)`")?;
        self.atomic(op, width, memory, &src)
    }

    /// After `dst = load_acquire`: `((u32 *)(r2 + 0))`.
    fn load_acquire(&mut self, dst: &Register) -> Parsed<Draft> {
        self.expect(Token::LParen, "`(`")?;
        self.expect(Token::LParen, "`(` and a type such as `u64 *`")?;
        let access = self.access_type()?;
        unsigned(&access)?;
        low_half(dst, access.size, false)?;
        let memory = self.parenthesised_memory()?;
        self.expect(Token::RParen, "`)`")?;
        let row = row(Op::LoadAcquire(access.size), &access.span)?;
        Ok(draft(row).dst(row, dst)?.src(row, &memory.base)?.off(memory.off))
    }

    /// `store_release((u8 *)(r1 - 8), r2)`.
    fn store_release(&mut self) -> Parsed<Draft> {
        self.bump();
        self.expect(Token::LParen, "`(`")?;
        self.expect(Token::LParen, "`(` and a type such as `u64 *`")?;
        let access = self.access_type()?;
        unsigned(&access)?;
        let memory = self.parenthesised_memory()?;
        self.expect(Token::Comma, "`,`")?;
        let src = self.reg()?;
        low_half(&src, access.size, false)?;
        self.expect(Token::RParen, "`)`")?;
        let row = row(Op::StoreRelease(access.size), &access.span)?;
        Ok(draft(row).dst(row, &memory.base)?.src(row, &src)?.off(memory.off))
    }

    /// After `dst = addr_space_cast`: `(r2, 0x0, 0x1)`, destination space first.
    fn addr_space_cast(&mut self, dst: &Register) -> Parsed<Draft> {
        self.expect(Token::LParen, "`(`")?;
        let row = row(Op::AddrSpaceCast, &dst.span)?;
        same_width(dst, Width::W64)?;
        let src = self.reg_of(Width::W64)?;
        self.expect(Token::Comma, "`,`")?;
        let imm = self.addr_spaces()?;
        self.expect(Token::RParen, "`)`")?;
        Ok(draft(row).dst(row, dst)?.src(row, &src)?.imm(imm))
    }

    /// `destination, source`: two address spaces of 16 bits, as the immediate holds them.
    pub(super) fn addr_spaces(&mut self) -> Parsed<i32> {
        let to = self.expr("an address space")?;
        let to = expr::fit(&to, 0..1 << 16, "an address space")?;
        self.expect(Token::Comma, "`,`")?;
        let from = self.expr("an address space")?;
        let from = expr::fit(&from, 0..1 << 16, "an address space")?;
        Ok(((to as u32) << 16 | from as u32) as i32)
    }

    /// `if r1 s< 5 goto out`.
    fn conditional(&mut self) -> Parsed<Draft> {
        self.bump();
        let dst = self.reg()?;
        let op = self.operator(COMPARE, "a comparison such as `==`, `<` or `s<`")?;
        let source = if self.at_register() { Source::Reg } else { Source::Imm };
        let row = row(Op::Jmp(op, dst.width, source), &dst.span)?;
        let draft = draft(row).dst(row, &dst)?;
        let draft = match source {
            Source::Reg => draft.src(row, &self.reg_of(dst.width)?)?,
            Source::Imm => draft.imm(self.imm32()?),
        };
        if !self.eat_word("goto") {
            return Err(self.unexpected("`goto`"));
        }
        Ok(draft.jump(self.target()?, Distance::Off))
    }

    /// Statements that are the same in both dialects: `call`, `exit`, `may_goto`.
    pub(super) fn common_instruction(&mut self) -> Parsed<Draft> {
        let word = self.text();
        let span = self.bump();
        match word {
            "exit" => Ok(draft(row(Op::Exit, &span)?)),
            "may_goto" => Ok(draft(row(Op::MayGoto, &span)?).jump(self.target()?, Distance::Off)),
            _ => self.call(row(Op::Call(CallKind::Helper), &span)?),
        }
    }
}

/// A `w` register may only stand where 32 bits or less are moved and nothing is sign-extended to 64.
fn low_half(reg: &Register, size: Size, signed: bool) -> Parsed<()> {
    if size == Size::Dw || signed { same_width(reg, Width::W64) } else { Ok(()) }
}

fn unsigned(access: &super::operand::Access) -> Parsed<()> {
    if !access.signed {
        return Ok(());
    }
    error(
        Diagnostic::new(access.span.clone(), "only a load can sign-extend")
            .label(format!("expected `u{}`", access.size.bits())),
    )
}

fn atomic_width(access: &super::operand::Access) -> Parsed<Width> {
    unsigned(access)?;
    match access.size {
        Size::W => Ok(Width::W32),
        Size::Dw => Ok(Width::W64),
        Size::B | Size::H => error(
            Diagnostic::new(access.span.clone(), "atomic operations have 32 or 64 bits")
                .label("expected `u32` or `u64`"),
        ),
    }
}
