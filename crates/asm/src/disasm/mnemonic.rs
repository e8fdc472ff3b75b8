// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mnemonics of the table with operands in the order of GNU as, rbpf and ubpf: the destination first, memory in
//! square brackets. What is printed follows from the row alone: which fields are operands, and of what kind.

use std::fmt::{self, Write};

use skep_isa::{CallKind, Decoded, Imm64, Insn, Op, Source};

use super::Site;

/// A memory operand: `[r1+4]`.
struct Memory(u8, i16);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Memory(base, off) = *self;
        if off == 0 { write!(f, "[r{base}]") } else { write!(f, "[r{base}{off:+}]") }
    }
}

pub(super) fn print(site: &mut Site<'_, '_>, decoded: &Decoded) -> fmt::Result {
    let Insn { dst, src, off, imm, .. } = decoded.insn;
    let name = decoded.row.mnemonic;
    match decoded.op() {
        Op::Alu(_, _, Source::Imm) => write!(site, "{name} r{dst}, {imm}"),
        Op::Alu(_, _, Source::Reg) | Op::Movsx(..) => write!(site, "{name} r{dst}, r{src}"),
        Op::Neg(_) | Op::Endian(..) => write!(site, "{name} r{dst}"),
        Op::AddrSpaceCast => {
            let (to, from) = (imm as u32 >> 16, imm as u16);
            write!(site, "{name} r{dst}, r{src}, {to}, {from}")
        }
        Op::LdImm64(Imm64::Const) => write!(site, "{name} r{dst}, {:#x}", decoded.imm64()),
        Op::LdImm64(kind) => {
            write!(site, "{name} r{dst}, ")?;
            site.print_pseudo(kind, decoded.insn, decoded.imm_hi)
        }
        Op::LdAbs(_) => write!(site, "{name} {imm}"),
        Op::LdInd(_) => write!(site, "{name} r{src}, {imm}"),
        Op::Ldx(_) | Op::Ldsx(_) | Op::LoadAcquire(_) => write!(site, "{name} r{dst}, {}", Memory(src, off)),
        Op::St(_) => write!(site, "{name} {}, {imm}", Memory(dst, off)),
        Op::Stx(_) | Op::StoreRelease(_) | Op::Atomic(..) => {
            write!(site, "{name} {}, r{src}", Memory(dst, off))
        }
        Op::Ja | Op::MayGoto => {
            write!(site, "{name} ")?;
            site.print_target("", off.into())
        }
        Op::Ja32 => {
            write!(site, "{name} ")?;
            site.print_target("", imm.into())
        }
        Op::Jmp(_, _, source) => {
            match source {
                Source::Imm => write!(site, "{name} r{dst}, {imm}, ")?,
                Source::Reg => write!(site, "{name} r{dst}, r{src}, ")?,
            }
            site.print_target("", off.into())
        }
        // Without a sign, which would make it the distance to a function.
        Op::Call(CallKind::Helper) => write!(site, "{name} {}", imm as u32),
        Op::Call(CallKind::Local) => {
            write!(site, "{name} ")?;
            site.print_target("pc", imm.into())
        }
        Op::Call(CallKind::Kfunc) => site.print_kfunc(decoded.insn),
        Op::Exit => site.write_str(name),
    }
}
