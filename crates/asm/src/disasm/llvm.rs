// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of llvm-objdump 19 and later for `-mcpu=v4`, which clang's assembler reads too: hexadecimal operands
//! with a sign, 32-bit registers where 32 bits or less are loaded or stored.
//!
//! It departs where llvm-objdump drops operands: packet loads keep the immediate behind their register, calls
//! of functions and kernel functions do not look like calls of helpers, and `ld_imm64` of anything but a
//! constant is spelled out instead of printed as `ld_pseudo`.

use std::fmt::{self, Write};

use skep_isa::{AtomicOp, CallKind, Decoded, Imm64, Insn, Op, Size, Source, Width};

use super::{Site, operator};

/// A number as LLVM's `formatImm` prints it: `0x5`, `-0x1`.
struct Hex(i64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// A displacement behind a register: ` + 0x4`, ` - 0x8`.
struct Displacement(i32);

impl fmt::Display for Displacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, " {sign} {:#x}", self.0.unsigned_abs())
    }
}

/// A memory operand with its type: `*(u32 *)(r1 + 0x4)` without the star.
struct Access(&'static str, u8, i16);

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access(name, base, off) = *self;
        write!(f, "({name} *)(r{base}{})", Displacement(off.into()))
    }
}

pub(super) fn print(site: &mut Site<'_, '_>, decoded: &Decoded) -> fmt::Result {
    let Insn { dst, src, off, imm, .. } = decoded.insn;
    let value = Hex(imm.into());
    match decoded.op() {
        Op::Alu(op, width, source) => {
            let (reg, op) = (operator::letter(width), operator::alu(op));
            match source {
                Source::Imm => write!(site, "{reg}{dst} {op} {value}"),
                Source::Reg => write!(site, "{reg}{dst} {op} {reg}{src}"),
            }
        }
        Op::Neg(width) => {
            let reg = operator::letter(width);
            write!(site, "{reg}{dst} = -{reg}{dst}")
        }
        Op::Movsx(width, size) => {
            let reg = operator::letter(width);
            write!(site, "{reg}{dst} = ({}){reg}{src}", operator::signed(size))
        }
        Op::Endian(op, size) => {
            write!(site, "r{dst} = {}{} r{dst}", operator::endian(op), size.bits())
        }
        Op::AddrSpaceCast => {
            let (to, from) = (imm as u32 >> 16, imm as u16);
            write!(site, "r{dst} = addr_space_cast(r{src}, {to:#x}, {from:#x})")
        }
        Op::LdImm64(Imm64::Const) => write!(site, "r{dst} = {} ll", Hex(decoded.imm64())),
        Op::LdImm64(kind) => {
            write!(site, "r{dst} = ")?;
            site.print_pseudo(kind, decoded.insn, decoded.imm_hi)
        }
        Op::LdAbs(size) => write!(site, "r0 = *({} *)skb[{value}]", operator::unsigned(size)),
        Op::LdInd(size) if imm == 0 => write!(site, "r0 = *({} *)skb[r{src}]", operator::unsigned(size)),
        Op::LdInd(size) => {
            write!(site, "r0 = *({} *)skb[r{src}{}]", operator::unsigned(size), Displacement(imm))
        }
        Op::Ldx(size) => {
            let (reg, access) = (operator::letter_for(size), Access(operator::unsigned(size), src, off));
            write!(site, "{reg}{dst} = *{access}")
        }
        Op::Ldsx(size) => write!(site, "r{dst} = *{}", Access(operator::signed(size), src, off)),
        Op::St(size) => write!(site, "*{} = {value}", Access(operator::unsigned(size), dst, off)),
        Op::Stx(size) => {
            let (reg, access) = (operator::letter_for(size), Access(operator::unsigned(size), dst, off));
            write!(site, "*{access} = {reg}{src}")
        }
        Op::Atomic(op, width) => atomic(site, op, width, decoded.insn),
        Op::LoadAcquire(size) => {
            let (reg, access) = (operator::letter_for(size), Access(operator::unsigned(size), src, off));
            write!(site, "{reg}{dst} = load_acquire({access})")
        }
        Op::StoreRelease(size) => {
            let (reg, access) = (operator::letter_for(size), Access(operator::unsigned(size), dst, off));
            write!(site, "store_release({access}, {reg}{src})")
        }
        Op::Ja => jump(site, "goto", off.into()),
        Op::Ja32 => jump(site, "gotol", imm.into()),
        Op::MayGoto => jump(site, "may_goto", off.into()),
        Op::Jmp(op, width, source) => {
            let (reg, op) = (operator::letter(width), operator::cond(op));
            match source {
                Source::Imm => write!(site, "if {reg}{dst} {op} {value} ")?,
                Source::Reg => write!(site, "if {reg}{dst} {op} {reg}{src} ")?,
            }
            jump(site, "goto", off.into())
        }
        // Without a sign, which would make it the distance to a function.
        Op::Call(CallKind::Helper) => write!(site, "call {imm:#x}"),
        Op::Call(CallKind::Local) => {
            site.write_str("call ")?;
            site.print_target("pc", imm.into())
        }
        Op::Call(CallKind::Kfunc) => site.print_kfunc(decoded.insn),
        Op::Exit => site.write_str("exit"),
    }
}

/// A jump; llvm-objdump writes the distance in hexadecimal.
fn jump(site: &mut Site<'_, '_>, word: &str, distance: i64) -> fmt::Result {
    write!(site, "{word} ")?;
    if site.target_name(distance).is_some() {
        return site.print_target("", distance);
    }
    let sign = if distance < 0 { '-' } else { '+' };
    write!(site, "{sign}{:#x}", distance.unsigned_abs())
}

fn atomic(site: &mut Site<'_, '_>, op: AtomicOp, width: Width, insn: Insn) -> fmt::Result {
    let Insn { dst, src, off, .. } = insn;
    let size: Size = operator::size_of(width);
    let reg = operator::letter(width);
    let access = Access(operator::unsigned(size), dst, off);
    let at = Displacement(off.into());
    let suffix = match width {
        Width::W32 => "32_32",
        Width::W64 => "_64",
    };
    match operator::atomic(op) {
        operator::Atomic::Lock(sign) => write!(site, "lock *{access} {sign} {reg}{src}"),
        operator::Atomic::Fetch(name) => {
            write!(site, "{reg}{src} = atomic_fetch_{name}({access}, {reg}{src})")
        }
        operator::Atomic::Xchg => write!(site, "{reg}{src} = xchg{suffix}(r{dst}{at}, {reg}{src})"),
        operator::Atomic::Cmpxchg => {
            write!(site, "{reg}0 = cmpxchg{suffix}(r{dst}{at}, {reg}0, {reg}{src})")
        }
    }
}
