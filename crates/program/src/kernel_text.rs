// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own text: `print_bpf_insn` of `kernel/bpf/disasm.c` @ 6.18.
//!
//! The kernel looks at opcode bits, not at whole legal instructions, and prints before it has checked reserved
//! fields. To print the same for a program that is about to be rejected, so does this module; it is the one
//! consumer of the instruction set that does not start from the table. The two agree on every legal
//! instruction: tests compare them through the assembler, and with the logs of real kernels.
//!
//! What an instruction refers to is spelled by the receiver ([`Spell`]): the verifier's log has numbers, a source
//! has names.

use std::fmt::{self, Write};

use skep_isa::{Imm64, Insn, class, opcode};
use skep_uapi::HelperId;

/// `BPF_OP` of a jump or ALU opcode.
const OP: u8 = 0xf0;
/// `BPF_MODE` of a load or store opcode.
const MODE: u8 = 0xe0;
/// `BPF_ADDR_PERCPU`: the kernel's own `mov` of a per-cpu address.
const ADDR_PERCPU: i16 = -1;
/// `BPF_LOAD_ACQ` and `BPF_STORE_REL` in the immediate of an atomic.
const LOAD_ACQ: i32 = 0x100;
const STORE_REL: i32 = 0x110;
/// `BPF_FETCH`, `BPF_XCHG`, `BPF_CMPXCHG` in the immediate of an atomic.
const FETCH: i32 = 0x01;
const XCHG: i32 = 0xe1;
const CMPXCHG: i32 = 0xf1;
/// What C's printf writes for a missing string of the kernel's tables.
const NULL: &str = "(null)";

/// Who an instruction is printed to, and how it spells what instructions refer to. As it stands, it prints the
/// numbers that the kernel's log prints.
pub trait Spell: Write {
    /// The target of a jump or local call, so many slots behind the next one; `before` comes before a distance.
    ///
    /// # Errors
    /// What writing returns.
    fn target(&mut self, before: &str, distance: i64) -> fmt::Result {
        write!(self, "{before}{distance:+}")
    }

    /// The operand of a `ld_imm64` that names something; `high` is the second slot's immediate.
    ///
    /// # Errors
    /// What writing returns.
    fn pseudo(&mut self, _kind: Imm64, insn: Insn, high: i32) -> fmt::Result {
        write!(self, "{:#x}", imm64(insn.imm, high))
    }

    /// The kernel function of a call.
    ///
    /// # Errors
    /// What writing returns.
    fn kfunc(&mut self, insn: Insn) -> fmt::Result {
        write!(self, "kernel-function#{}", insn.imm)
    }
}

/// The two halves of a 64-bit immediate.
#[must_use]
pub fn imm64(low: i32, high: i32) -> u64 {
    u64::from(high as u32) << 32 | u64::from(low as u32)
}

/// Prints an instruction, without line break; `next` is the slot after it.
///
/// # Errors
/// What writing returns.
pub fn print_kernel_text(out: &mut dyn Spell, insn: Insn, next: Insn) -> fmt::Result {
    match insn.class() {
        class::ALU | class::ALU64 => alu(out, insn),
        class::STX => stx(out, insn),
        class::ST => st(out, insn),
        class::LDX => ldx(out, insn),
        class::LD => ld(out, insn, next),
        _ => jump(out, insn),
    }
}

fn alu(out: &mut dyn Spell, insn: Insn) -> fmt::Result {
    let Insn { code, dst, src, off, imm } = insn;
    let wide = insn.class() == class::ALU64;
    let reg = if wide { 'r' } else { 'w' };
    let op = code & OP;
    if op == opcode::END {
        let name = match (wide, code & opcode::X != 0) {
            (true, _) => "bswap",
            (false, true) => "be",
            (false, false) => "le",
        };
        return write!(out, "({code:02x}) r{dst} = {name}{imm} r{dst}");
    }
    if op == opcode::NEG {
        return write!(out, "({code:02x}) {reg}{dst} = -{reg}{dst}");
    }
    if code == class::ALU64 | opcode::MOV | opcode::X {
        if off == 1 {
            let (to, from) = (imm as u32 >> 16, imm as u16);
            return write!(out, "({code:02x}) r{dst} = addr_space_cast(r{src}, {to}, {from})");
        }
        if off == ADDR_PERCPU {
            return write!(out, "({code:02x}) r{dst} = &(void __percpu *)(r{src})");
        }
    }
    let operator = alu_operator(op, off == 1);
    if code & opcode::X == 0 {
        return write!(out, "({code:02x}) {reg}{dst} {operator} {imm}");
    }
    let cast = match (op, off) {
        (opcode::MOV, 8) => "(s8)",
        (opcode::MOV, 16) => "(s16)",
        (opcode::MOV, 32) => "(s32)",
        _ => "",
    };
    write!(out, "({code:02x}) {reg}{dst} {operator} {cast}{reg}{src}")
}

fn alu_operator(op: u8, signed: bool) -> &'static str {
    match (op, signed) {
        (0x00, _) => "+=",
        (0x10, _) => "-=",
        (0x20, _) => "*=",
        (0x30, false) => "/=",
        (0x30, true) => "s/=",
        (0x40, _) => "|=",
        (0x50, _) => "&=",
        (0x60, _) => "<<=",
        (0x70, _) => ">>=",
        (0x90, false) => "%=",
        (0x90, true) => "s%=",
        (0xa0, _) => "^=",
        (0xb0, _) => "=",
        (0xc0, _) => "s>>=",
        _ => NULL,
    }
}

/// `bpf_ldst_string`.
fn unsigned(code: u8) -> &'static str {
    match code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    }
}

/// `bpf_ldsx_string`; the kernel refuses the 8-byte form before it could print it.
fn signed(code: u8) -> &'static str {
    match code & 0x18 {
        0x00 => "s32",
        0x08 => "s16",
        0x10 => "s8",
        _ => NULL,
    }
}

fn stx(out: &mut dyn Spell, insn: Insn) -> fmt::Result {
    let Insn { code, dst, src, off, imm } = insn;
    let size = unsigned(code);
    if code & MODE == opcode::MEM {
        return write!(out, "({code:02x}) *({size} *)(r{dst} {off:+}) = r{src}");
    }
    if code & MODE != opcode::ATOMIC {
        return write!(out, "BUG_{code:02x}");
    }
    let wide = code & 0x18 == 0x18;
    let bits = if wide { "64" } else { "" };
    if let Some((operator, name)) = atomic_operator(imm & !FETCH) {
        return if imm & FETCH == 0 {
            write!(out, "({code:02x}) lock *({size} *)(r{dst} {off:+}) {operator} r{src}")
        } else {
            write!(out, "({code:02x}) r{src} = atomic{bits}_fetch_{name}(({size} *)(r{dst} {off:+}), r{src})")
        };
    }
    match imm {
        CMPXCHG => {
            write!(out, "({code:02x}) r0 = atomic{bits}_cmpxchg(({size} *)(r{dst} {off:+}), r0, r{src})")
        }
        XCHG => write!(out, "({code:02x}) r{src} = atomic{bits}_xchg(({size} *)(r{dst} {off:+}), r{src})"),
        LOAD_ACQ => write!(out, "({code:02x}) r{dst} = load_acquire(({size} *)(r{src} {off:+}))"),
        STORE_REL => write!(out, "({code:02x}) store_release(({size} *)(r{dst} {off:+}), r{src})"),
        _ => write!(out, "BUG_{code:02x}"),
    }
}

fn atomic_operator(imm: i32) -> Option<(&'static str, &'static str)> {
    match imm {
        0x00 => Some(("+=", "add")),
        0x40 => Some(("|=", "or")),
        0x50 => Some(("&=", "and")),
        0xa0 => Some(("^=", "xor")),
        _ => None,
    }
}

fn st(out: &mut dyn Spell, insn: Insn) -> fmt::Result {
    let Insn { code, dst, off, imm, .. } = insn;
    match code & MODE {
        opcode::MEM => write!(out, "({code:02x}) *({} *)(r{dst} {off:+}) = {imm}", unsigned(code)),
        // BPF_NOSPEC, a barrier that only the kernel itself inserts.
        opcode::ATOMIC => write!(out, "({code:02x}) nospec"),
        _ => write!(out, "BUG_st_{code:02x}"),
    }
}

fn ldx(out: &mut dyn Spell, insn: Insn) -> fmt::Result {
    let Insn { code, dst, src, off, .. } = insn;
    let size = match code & MODE {
        opcode::MEM => unsigned(code),
        opcode::MEMSX => signed(code),
        _ => return write!(out, "BUG_ldx_{code:02x}"),
    };
    write!(out, "({code:02x}) r{dst} = *({size} *)(r{src} {off:+})")
}

fn ld(out: &mut dyn Spell, insn: Insn, next: Insn) -> fmt::Result {
    let Insn { code, dst, src, imm, .. } = insn;
    let size = unsigned(code);
    match code & MODE {
        opcode::ABS => write!(out, "({code:02x}) r0 = *({size} *)skb[{imm}]"),
        opcode::IND => write!(out, "({code:02x}) r0 = *({size} *)skb[r{src} + {imm}]"),
        opcode::IMM if insn.is_ld_imm64() => {
            write!(out, "({code:02x}) r{dst} = ")?;
            match pseudo(src) {
                Some(kind) => out.pseudo(kind, insn, next.imm),
                _ => write!(out, "{:#x}", imm64(imm, next.imm)),
            }
        }
        _ => write!(out, "BUG_ld_{code:02x}"),
    }
}

/// `BPF_PSEUDO_*` values of `ld_imm64`.
fn pseudo(src: u8) -> Option<Imm64> {
    skep_isa::TABLE.iter().find_map(|row| match row.op {
        skep_isa::Op::LdImm64(kind) if row.src == skep_isa::RegField::Is(src) => Some(kind),
        _ => None,
    })
}

fn jump(out: &mut dyn Spell, insn: Insn) -> fmt::Result {
    let Insn { code, dst, src, off, imm } = insn;
    let narrow = insn.class() == class::JMP32;
    match code {
        _ if code & OP == opcode::CALL & OP => return call(out, insn),
        opcode::JA => {
            write!(out, "({code:02x}) goto ")?;
            return out.target("pc", off.into());
        }
        opcode::JCOND if src == 0 => {
            write!(out, "({code:02x}) may_goto ")?;
            return out.target("pc", off.into());
        }
        opcode::JA32 => {
            write!(out, "({code:02x}) gotol ")?;
            return out.target("pc", imm.into());
        }
        opcode::EXIT => return write!(out, "({code:02x}) exit"),
        _ => {}
    }
    let reg = if narrow { 'w' } else { 'r' };
    let operator = jump_operator(code & OP);
    write!(out, "({code:02x}) if {reg}{dst} {operator} ")?;
    if code & opcode::X == 0 {
        write!(out, "{imm:#x}")?;
    } else {
        write!(out, "{reg}{src}")?;
    }
    out.write_str(" goto ")?;
    out.target("pc", off.into())
}

fn jump_operator(op: u8) -> &'static str {
    match op {
        0x00 => "jmp",
        0x10 => "==",
        0x20 => ">",
        0x30 => ">=",
        0x40 => "&",
        0x50 => "!=",
        0x60 => "s>",
        0x70 => "s>=",
        0x90 => "exit",
        0xa0 => "<",
        0xb0 => "<=",
        0xc0 => "s<",
        0xd0 => "s<=",
        _ => NULL,
    }
}

/// `__func_get_name` and what surrounds it.
fn call(out: &mut dyn Spell, insn: Insn) -> fmt::Result {
    let Insn { code, src, imm, .. } = insn;
    write!(out, "({code:02x}) call ")?;
    let helper = u32::try_from(imm).ok().and_then(|id| HelperId(id).name());
    match (src, helper) {
        (0, Some(name)) => write!(out, "bpf_{name}#{imm}"),
        (1, _) => out.target("pc", imm.into()),
        (2, _) => out.kfunc(insn),
        _ => write!(out, "unknown#{imm}"),
    }
}
