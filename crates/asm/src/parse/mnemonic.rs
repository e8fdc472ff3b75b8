// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mnemonic dialect: what rbpf, ubpf and GNU as write. Operands follow from the operation, names from the table
//! of instructions and a short list of aliases.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use skep_isa::{AtomicOp, EndianOp, Op, Row, Size, Source, TABLE, Width};

use super::operand::{Register, draft, row, same_width};
use super::{Parsed, Parser, clip, error};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Distance, Draft};
use crate::lexer::Token;

/// An operand and the field it lands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Dst,
    Src,
    /// A 32-bit number.
    Imm,
    /// The register or number that [`Source`] tells apart.
    Second,
    /// The operand of `ld_imm64`.
    Imm64,
    /// `[dst + off]`.
    DstMemory,
    /// `[src + off]`.
    SrcMemory,
    /// One number, or two address spaces.
    AddrSpaces,
    Jump(Distance),
    Callee,
}

/// The operands of an operation, in the order they are written.
fn operands(op: Op) -> &'static [Operand] {
    use Operand::*;
    match op {
        Op::Alu(..) => &[Dst, Second],
        Op::Neg(_) | Op::Endian(..) => &[Dst],
        Op::Movsx(..) => &[Dst, Src],
        Op::AddrSpaceCast => &[Dst, Src, AddrSpaces],
        Op::LdImm64(_) => &[Dst, Imm64],
        Op::LdAbs(_) => &[Imm],
        Op::LdInd(_) => &[Src, Imm],
        Op::Ldx(_) | Op::Ldsx(_) | Op::LoadAcquire(_) => &[Dst, SrcMemory],
        Op::St(_) => &[DstMemory, Imm],
        Op::Stx(_) | Op::Atomic(..) | Op::StoreRelease(_) => &[DstMemory, Src],
        Op::Jmp(..) => &[Dst, Second, Jump(Distance::Off)],
        Op::Ja | Op::MayGoto => &[Jump(Distance::Off)],
        Op::Ja32 => &[Jump(Distance::Imm)],
        Op::Call(_) => &[Callee],
        Op::Exit => &[],
    }
}

/// Width of the registers of an operation; `None` where `w` and `r` registers are both at home.
fn width(op: Op) -> Option<Width> {
    match op {
        Op::Alu(_, width, _) | Op::Neg(width) | Op::Movsx(width, _) | Op::Jmp(_, width, _) => Some(width),
        Op::Endian(_, Size::Dw) | Op::LdImm64(_) | Op::AddrSpaceCast | Op::LdInd(_) | Op::Ldsx(_) => {
            Some(Width::W64)
        }
        Op::Ldx(Size::Dw) | Op::Stx(Size::Dw) | Op::LoadAcquire(Size::Dw) | Op::StoreRelease(Size::Dw) => {
            Some(Width::W64)
        }
        Op::Atomic(_, width) => (width == Width::W64).then_some(width),
        Op::Endian(..) | Op::Ldx(_) | Op::Stx(_) | Op::LoadAcquire(_) | Op::StoreRelease(_) => None,
        Op::LdAbs(_) | Op::St(_) | Op::Ja | Op::Ja32 | Op::MayGoto | Op::Call(_) | Op::Exit => None,
    }
}

/// Names of others for rows of the table.
const ALIASES: &[(&str, &str)] = &[
    // ubpf and bpf_conformance
    ("movsx832", "movsx8_32"),
    ("movsx1632", "movsx16_32"),
    ("movsx864", "movsx8"),
    ("movsx1664", "movsx16"),
    ("movsx3264", "movsx32"),
    ("swap16", "bswap16"),
    ("swap32", "bswap32"),
    ("swap64", "bswap64"),
    ("ja32", "jal"),
    ("ja16", "ja"),
    // GNU as
    ("movs8", "movsx8"),
    ("movs16", "movsx16"),
    ("movs32_64", "movsx32"),
    ("endle16", "le16"),
    ("endle32", "le32"),
    ("endle64", "le64"),
    ("endbe16", "be16"),
    ("endbe32", "be32"),
    ("endbe64", "be64"),
    ("xaddw", "aadd32"),
    ("xadddw", "aadd"),
    // rbpf and older assemblers
    ("stxxaddw", "aadd32"),
    ("stxxadddw", "aadd"),
    ("ldsxb", "ldxsb"),
    ("ldsxh", "ldxsh"),
    ("ldsxw", "ldxsw"),
    ("jmp", "ja"),
    ("ret", "exit"),
];

/// An operation from a size.
type OfSize = fn(Size) -> Op;

/// GNU as names the size of these as a last operand: `endle r1, 16`, `movs r1, r2, 8`.
const SIZED: &[(&str, OfSize)] = &[
    ("endle", |size| Op::Endian(EndianOp::ToLe, size)),
    ("endbe", |size| Op::Endian(EndianOp::ToBe, size)),
    ("bswap", |size| Op::Endian(EndianOp::Bswap, size)),
    ("movs", |size| Op::Movsx(Width::W64, size)),
    ("movs32", |size| Op::Movsx(Width::W32, size)),
];

/// ubpf's words after `lock`, and after `lock fetch`.
const LOCKED: &[(&str, AtomicOp, AtomicOp)] = &[
    ("add", AtomicOp::Add, AtomicOp::FetchAdd),
    ("or", AtomicOp::Or, AtomicOp::FetchOr),
    ("and", AtomicOp::And, AtomicOp::FetchAnd),
    ("xor", AtomicOp::Xor, AtomicOp::FetchXor),
    ("xchg", AtomicOp::Xchg, AtomicOp::Xchg),
    ("cmpxchg", AtomicOp::Cmpxchg, AtomicOp::Cmpxchg),
];

/// The first row of each mnemonic and alias; rows that share one differ only in operands. The width of 64 bits, which
/// the table's names leave out, may be written: `add64`, `jeq64`.
static MNEMONICS: LazyLock<HashMap<Cow<'static, str>, &'static Row>> = LazyLock::new(|| {
    let mut map = HashMap::new();
    for row in &TABLE {
        map.entry(Cow::Borrowed(row.mnemonic)).or_insert(row);
        let wide = matches!(
            row.op,
            Op::Alu(_, Width::W64, _)
                | Op::Neg(Width::W64)
                | Op::Jmp(_, Width::W64, _)
                | Op::Atomic(_, Width::W64)
        );
        if wide {
            map.entry(Cow::Owned(format!("{}64", row.mnemonic))).or_insert(row);
        }
    }
    for (alias, known) in ALIASES {
        if let Some(row) = map.get(*known).copied() {
            map.entry(Cow::Borrowed(*alias)).or_insert(row);
        }
    }
    map
});

fn find(name: &str) -> Option<&'static Row> {
    MNEMONICS.get(name).copied()
}

/// Every word that can start an instruction of this dialect.
fn words() -> impl Iterator<Item = &'static str> {
    MNEMONICS.keys().map(|name| name.as_ref()).chain(SIZED.iter().map(|(word, _)| *word)).chain([
        "if",
        "goto",
        "gotol",
        "lock",
        "store_release",
    ])
}

impl Parser<'_> {
    pub(super) fn mnemonic(&mut self) -> Parsed<Draft> {
        let word = self.text();
        let span = self.bump();
        if word == "lock" {
            return self.locked_mnemonic();
        }
        if let Some(row) = find(word) {
            return self.operands_of(row, &span);
        }
        if let Some((_, op)) = SIZED.iter().find(|(name, _)| *name == word) {
            return self.sized_mnemonic(*op);
        }
        let lower = word.to_ascii_lowercase();
        if lower != word
            && let Some(row) = find(&lower)
        {
            return self.operands_of(row, &span);
        }
        let unknown = Diagnostic::new(span, format!("unknown instruction `{}`", clip(word)));
        error(match word {
            "callx" | "callr" => unknown
                .label("there is no call through a register")
                .help("the kernel takes no indirect calls; branch to direct ones"),
            "ldabsdw" | "ldinddw" | "ldxsdw" => unknown
                .label("the instruction set has no such size")
                .help("packet loads have 8, 16 or 32 bits"),
            _ => {
                let mut known: Vec<&str> = words().collect();
                known.sort_unstable();
                unknown.label("expected an instruction, a label or a directive").suggest(word, known)
            }
        })
    }

    /// `lock [fetch] add32 [r1+0], r2`.
    fn locked_mnemonic(&mut self) -> Parsed<Draft> {
        let fetch = self.eat_word("fetch");
        let word = self.text();
        let span = self.span();
        let (name, width) = match (word.strip_suffix("32"), word.strip_suffix("64")) {
            (Some(name), _) => (name, Width::W32),
            (_, name) => (name.unwrap_or(word), Width::W64),
        };
        let Some(&(_, plain, fetching)) = LOCKED.iter().find(|(known, ..)| *known == name) else {
            let known = LOCKED.iter().map(|(known, ..)| *known);
            return Err(Box::new(
                self.unexpected("`fetch`, `add`, `or`, `and`, `xor`, `xchg` or `cmpxchg`")
                    .suggest(word, known),
            ));
        };
        self.bump();
        let row = row(Op::Atomic(if fetch { fetching } else { plain }, width), &span)?;
        self.operands_of(row, &span)
    }

    fn sized_mnemonic(&mut self, op: OfSize) -> Parsed<Draft> {
        let dst = self.reg()?;
        let any = op(Size::H);
        let mut src = None;
        if let Op::Movsx(..) = any {
            self.expect(Token::Comma, "`,`")?;
            src = Some(self.reg()?);
        }
        self.expect(Token::Comma, "`,` and a number of bits")?;
        let bits = self.expr("a number of bits")?;
        let size = Size::ALL.into_iter().find(|size| i128::from(size.bits()) == bits.value);
        let known = size.and_then(|size| skep_isa::row_of(op(size)));
        let Some(row) = known else {
            return error(
                Diagnostic::new(bits.span, format!("the instruction has no form of {} bits", bits.value))
                    .label(if src.is_some() { "expected 8, 16 or 32" } else { "expected 16, 32 or 64" }),
            );
        };
        check_width(row.op, &dst)?;
        let draft = draft(row).dst(row, &dst)?;
        match src {
            Some(src) => {
                check_width(row.op, &src)?;
                draft.src(row, &src)
            }
            None => Ok(draft),
        }
    }

    fn operands_of(&mut self, row: &'static Row, span: &Span) -> Parsed<Draft> {
        let mut row = row;
        let mut result = draft(row);
        for (index, operand) in operands(row.op).iter().enumerate() {
            if index > 0 {
                self.expect(Token::Comma, "`,`")?;
            }
            result = match operand {
                Operand::Dst => {
                    let dst = self.reg()?;
                    check_width(row.op, &dst)?;
                    if let Op::LdImm64(_) = row.op {
                        self.expect(Token::Comma, "`,`")?;
                        return self.imm64_operand(&dst);
                    }
                    result.dst(row, &dst)?
                }
                Operand::Src => {
                    let src = self.reg()?;
                    check_width(row.op, &src)?;
                    result.src(row, &src)?
                }
                Operand::Second if self.at_register() => {
                    row = with_register(row, span)?;
                    let src = self.reg()?;
                    check_width(row.op, &src)?;
                    let dst = result.insn.dst;
                    result = draft(row).src(row, &src)?;
                    result.insn.dst = dst;
                    result
                }
                Operand::Imm | Operand::Second => result.imm(self.imm32()?),
                // Taken together with the register before it.
                Operand::Imm64 => result,
                Operand::DstMemory | Operand::SrcMemory => {
                    self.expect(Token::LBracket, "`[` and an address such as `[r1+4]`")?;
                    let memory = self.memory()?;
                    self.expect(Token::RBracket, "`]`")?;
                    let result = result.off(memory.off);
                    if *operand == Operand::DstMemory {
                        result.dst(row, &memory.base)?
                    } else {
                        result.src(row, &memory.base)?
                    }
                }
                Operand::AddrSpaces => {
                    let start = self.pos;
                    let one = self.imm32()?;
                    if self.peek() == Token::Comma {
                        self.pos = start;
                        result.imm(self.addr_spaces()?)
                    } else {
                        result.imm(one)
                    }
                }
                Operand::Jump(distance) => result.jump(self.target()?, *distance),
                Operand::Callee => self.call(row)?,
            };
        }
        Ok(result)
    }
}

/// The row that takes a register where `row` takes a number.
fn with_register(from: &'static Row, span: &Span) -> Parsed<&'static Row> {
    let op = match from.op {
        Op::Alu(op, width, _) => Op::Alu(op, width, Source::Reg),
        Op::Jmp(op, width, _) => Op::Jmp(op, width, Source::Reg),
        other => other,
    };
    row(op, span)
}

fn check_width(op: Op, reg: &Register) -> Parsed<()> {
    match width(op) {
        // GNU as and rbpf write `r1` in 32-bit operations too.
        Some(Width::W64) => same_width(reg, Width::W64),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_is_one_of_a_row_and_of_no_other() {
        for (alias, known) in ALIASES {
            assert!(TABLE.iter().any(|row| row.mnemonic == *known), "{known}");
            assert!(TABLE.iter().all(|row| row.mnemonic != *alias), "{alias}");
            assert_eq!(find(alias).map(|row| row.mnemonic), Some(*known));
        }
    }
}
