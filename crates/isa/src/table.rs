// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table: one row for each instruction, with everything that any consumer needs.

use crate::Insn;
use crate::op::*;

/// Meaning and legality of a register field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegField {
    /// Reserved, must be 0.
    Zero,
    /// Selects this row among those with the same opcode.
    Is(u8),
    /// A register that is read.
    Read,
    /// A register that is written.
    Write,
    /// A register that is read, then written.
    ReadWrite,
}

/// Meaning and legality of the offset field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffField {
    /// Reserved, must be 0.
    Zero,
    /// Selects this row among those with the same opcode.
    Is(i16),
    /// Displacement of a memory access, in bytes.
    Mem,
    /// Jump distance in slots, from the next instruction.
    Jump,
    /// Index into `fd_array` of the BTF that the called kernel function is described in; 0 is vmlinux.
    BtfFd,
}

/// Meaning and legality of the immediate field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImmField {
    /// Reserved, must be 0.
    Zero,
    /// Selects this row among those with the same opcode.
    Is(i32),
    /// A 32-bit operand, sign-extended for 64-bit operations.
    Value,
    /// Packet offset.
    Packet,
    /// Jump distance in slots, from the next instruction.
    Jump,
    /// Destination address space in the upper, source in the lower 16 bits.
    AddrSpaces,
    /// Helper number.
    Helper,
    /// Distance to a function in slots, from the next instruction.
    Func,
    /// BTF id of a kernel function.
    BtfId,
    /// Low half of a 64-bit immediate; the next slot's `imm` is the high half.
    Imm64,
}

/// One instruction of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it does.
    pub op: Op,
    /// The opcode byte.
    pub code: u8,
    /// Mnemonic in the style of the GNU assembler and rbpf, for instance `add32` or `ldxw`. Forms that differ
    /// only in their source operand share it.
    pub mnemonic: &'static str,
    /// The destination register field.
    pub dst: RegField,
    /// The source register field.
    pub src: RegField,
    /// The offset field.
    pub off: OffField,
    /// The immediate field.
    pub imm: ImmField,
    /// LLVM cpu generation that emits it.
    pub cpu: Cpu,
    /// Conformance group of RFC 9669.
    pub group: Conformance,
}

impl Row {
    /// The instruction with every selecting field set and every operand 0.
    #[must_use]
    pub const fn template(&self) -> Insn {
        let dst = if let RegField::Is(n) = self.dst { n } else { 0 };
        let src = if let RegField::Is(n) = self.src { n } else { 0 };
        let off = if let OffField::Is(n) = self.off { n } else { 0 };
        let imm = if let ImmField::Is(n) = self.imm { n } else { 0 };
        Insn::new(self.code, dst, src, off, imm)
    }

    /// Slots that the instruction takes: 2 for `ld_imm64`, else 1.
    #[must_use]
    pub const fn slots(&self) -> usize {
        if let Op::LdImm64(_) = self.op { 2 } else { 1 }
    }
}

/// The row of an operation. Every [`Op`] that can be written in the type has one, but for sizes and widths
/// that the instruction set does not define.
#[must_use]
pub fn row_of(op: Op) -> Option<&'static Row> {
    TABLE.iter().find(|r| r.op == op)
}

use AluOp::*;
use Conformance::*;
use Cpu::*;
use ImmField as I;
use OffField as O;
use RegField as R;
use Size::{B, Dw, H, W};
use Width::*;

#[allow(clippy::too_many_arguments)] // a table row, column by column
const fn row(
    op: Op,
    code: u8,
    mnemonic: &'static str,
    dst: R,
    src: R,
    off: O,
    imm: I,
    cpu: Cpu,
    group: Conformance,
) -> Row {
    Row { op, code, mnemonic, dst, src, off, imm, cpu, group }
}

/// The four forms of a two-operand ALU operation: 64 and 32 bits, immediate and register.
macro_rules! alu {
    ($($op:ident $code:literal off $off:expr, $name:literal $dst:ident $cpu:ident $g32:ident $g64:ident;)*) => {
        [$(
            row(Op::Alu($op, W64, Source::Imm), $code | 0x07, $name, R::$dst, R::Zero, $off, I::Value, $cpu, $g64),
            row(Op::Alu($op, W64, Source::Reg), $code | 0x0f, $name, R::$dst, R::Read, $off, I::Zero, $cpu, $g64),
            row(Op::Alu($op, W32, Source::Imm), $code | 0x04, concat!($name, "32"), R::$dst, R::Zero, $off, I::Value, $cpu, $g32),
            row(Op::Alu($op, W32, Source::Reg), $code | 0x0c, concat!($name, "32"), R::$dst, R::Read, $off, I::Zero, $cpu, $g32),
        )*]
    };
}

const ALU: [Row; 56] = alu! {
    Add  0x00 off O::Zero,  "add"  ReadWrite V1 Base32 Base64;
    Sub  0x10 off O::Zero,  "sub"  ReadWrite V1 Base32 Base64;
    Mul  0x20 off O::Zero,  "mul"  ReadWrite V1 Divmul32 Divmul64;
    Div  0x30 off O::Zero,  "div"  ReadWrite V1 Divmul32 Divmul64;
    Sdiv 0x30 off O::Is(1), "sdiv" ReadWrite V4 Divmul32 Divmul64;
    Or   0x40 off O::Zero,  "or"   ReadWrite V1 Base32 Base64;
    And  0x50 off O::Zero,  "and"  ReadWrite V1 Base32 Base64;
    Lsh  0x60 off O::Zero,  "lsh"  ReadWrite V1 Base32 Base64;
    Rsh  0x70 off O::Zero,  "rsh"  ReadWrite V1 Base32 Base64;
    Mod  0x90 off O::Zero,  "mod"  ReadWrite V1 Divmul32 Divmul64;
    Smod 0x90 off O::Is(1), "smod" ReadWrite V4 Divmul32 Divmul64;
    Xor  0xa0 off O::Zero,  "xor"  ReadWrite V1 Base32 Base64;
    Mov  0xb0 off O::Zero,  "mov"  Write     V1 Base32 Base64;
    Arsh 0xc0 off O::Zero,  "arsh" ReadWrite V1 Base32 Base64;
};

const ALU_OTHER: [Row; 17] = [
    row(Op::Neg(W64), 0x87, "neg", R::ReadWrite, R::Zero, O::Zero, I::Zero, V1, Base64),
    row(Op::Neg(W32), 0x84, "neg32", R::ReadWrite, R::Zero, O::Zero, I::Zero, V1, Base32),
    row(Op::Movsx(W64, B), 0xbf, "movsx8", R::Write, R::Read, O::Is(8), I::Zero, V4, Base64),
    row(Op::Movsx(W64, H), 0xbf, "movsx16", R::Write, R::Read, O::Is(16), I::Zero, V4, Base64),
    row(Op::Movsx(W64, W), 0xbf, "movsx32", R::Write, R::Read, O::Is(32), I::Zero, V4, Base64),
    row(Op::Movsx(W32, B), 0xbc, "movsx8_32", R::Write, R::Read, O::Is(8), I::Zero, V4, Base32),
    row(Op::Movsx(W32, H), 0xbc, "movsx16_32", R::Write, R::Read, O::Is(16), I::Zero, V4, Base32),
    row(Op::Endian(EndianOp::ToLe, H), 0xd4, "le16", R::ReadWrite, R::Zero, O::Zero, I::Is(16), V1, Base32),
    row(Op::Endian(EndianOp::ToLe, W), 0xd4, "le32", R::ReadWrite, R::Zero, O::Zero, I::Is(32), V1, Base32),
    row(Op::Endian(EndianOp::ToLe, Dw), 0xd4, "le64", R::ReadWrite, R::Zero, O::Zero, I::Is(64), V1, Base64),
    row(Op::Endian(EndianOp::ToBe, H), 0xdc, "be16", R::ReadWrite, R::Zero, O::Zero, I::Is(16), V1, Base32),
    row(Op::Endian(EndianOp::ToBe, W), 0xdc, "be32", R::ReadWrite, R::Zero, O::Zero, I::Is(32), V1, Base32),
    row(Op::Endian(EndianOp::ToBe, Dw), 0xdc, "be64", R::ReadWrite, R::Zero, O::Zero, I::Is(64), V1, Base64),
    row(
        Op::Endian(EndianOp::Bswap, H),
        0xd7,
        "bswap16",
        R::ReadWrite,
        R::Zero,
        O::Zero,
        I::Is(16),
        V4,
        Base32,
    ),
    row(
        Op::Endian(EndianOp::Bswap, W),
        0xd7,
        "bswap32",
        R::ReadWrite,
        R::Zero,
        O::Zero,
        I::Is(32),
        V4,
        Base32,
    ),
    row(
        Op::Endian(EndianOp::Bswap, Dw),
        0xd7,
        "bswap64",
        R::ReadWrite,
        R::Zero,
        O::Zero,
        I::Is(64),
        V4,
        Base64,
    ),
    row(Op::AddrSpaceCast, 0xbf, "addr_space_cast", R::Write, R::Read, O::Is(1), I::AddrSpaces, V1, Linux),
];

const LD: [Row; 13] = [
    row(Op::LdImm64(Imm64::Const), 0x18, "lddw", R::Write, R::Is(0), O::Zero, I::Imm64, V1, Base64),
    row(Op::LdImm64(Imm64::MapFd), 0x18, "lddw", R::Write, R::Is(1), O::Zero, I::Imm64, V1, Base64),
    row(Op::LdImm64(Imm64::MapValue), 0x18, "lddw", R::Write, R::Is(2), O::Zero, I::Imm64, V1, Base64),
    row(Op::LdImm64(Imm64::BtfId), 0x18, "lddw", R::Write, R::Is(3), O::Zero, I::Imm64, V1, Base64),
    row(Op::LdImm64(Imm64::Func), 0x18, "lddw", R::Write, R::Is(4), O::Zero, I::Imm64, V1, Base64),
    row(Op::LdImm64(Imm64::MapIdx), 0x18, "lddw", R::Write, R::Is(5), O::Zero, I::Imm64, V1, Base64),
    row(Op::LdImm64(Imm64::MapIdxValue), 0x18, "lddw", R::Write, R::Is(6), O::Zero, I::Imm64, V1, Base64),
    row(Op::LdAbs(W), 0x20, "ldabsw", R::Zero, R::Zero, O::Zero, I::Packet, V1, Packet),
    row(Op::LdAbs(H), 0x28, "ldabsh", R::Zero, R::Zero, O::Zero, I::Packet, V1, Packet),
    row(Op::LdAbs(B), 0x30, "ldabsb", R::Zero, R::Zero, O::Zero, I::Packet, V1, Packet),
    row(Op::LdInd(W), 0x40, "ldindw", R::Zero, R::Read, O::Zero, I::Packet, V1, Packet),
    row(Op::LdInd(H), 0x48, "ldindh", R::Zero, R::Read, O::Zero, I::Packet, V1, Packet),
    row(Op::LdInd(B), 0x50, "ldindb", R::Zero, R::Read, O::Zero, I::Packet, V1, Packet),
];

const MEM: [Row; 15] = [
    row(Op::Ldx(B), 0x71, "ldxb", R::Write, R::Read, O::Mem, I::Zero, V1, Base32),
    row(Op::Ldx(H), 0x69, "ldxh", R::Write, R::Read, O::Mem, I::Zero, V1, Base32),
    row(Op::Ldx(W), 0x61, "ldxw", R::Write, R::Read, O::Mem, I::Zero, V1, Base32),
    row(Op::Ldx(Dw), 0x79, "ldxdw", R::Write, R::Read, O::Mem, I::Zero, V1, Base64),
    row(Op::Ldsx(B), 0x91, "ldxsb", R::Write, R::Read, O::Mem, I::Zero, V4, Base64),
    row(Op::Ldsx(H), 0x89, "ldxsh", R::Write, R::Read, O::Mem, I::Zero, V4, Base64),
    row(Op::Ldsx(W), 0x81, "ldxsw", R::Write, R::Read, O::Mem, I::Zero, V4, Base64),
    row(Op::St(B), 0x72, "stb", R::Read, R::Zero, O::Mem, I::Value, V1, Base32),
    row(Op::St(H), 0x6a, "sth", R::Read, R::Zero, O::Mem, I::Value, V1, Base32),
    row(Op::St(W), 0x62, "stw", R::Read, R::Zero, O::Mem, I::Value, V1, Base32),
    row(Op::St(Dw), 0x7a, "stdw", R::Read, R::Zero, O::Mem, I::Value, V1, Base64),
    row(Op::Stx(B), 0x73, "stxb", R::Read, R::Read, O::Mem, I::Zero, V1, Base32),
    row(Op::Stx(H), 0x6b, "stxh", R::Read, R::Read, O::Mem, I::Zero, V1, Base32),
    row(Op::Stx(W), 0x63, "stxw", R::Read, R::Read, O::Mem, I::Zero, V1, Base32),
    row(Op::Stx(Dw), 0x7b, "stxdw", R::Read, R::Read, O::Mem, I::Zero, V1, Base64),
];

/// The two forms of an atomic operation: 64 and 32 bits.
macro_rules! atomic {
    ($($op:ident $imm:literal $name:literal $src:ident $cpu:ident;)*) => {
        [$(
            row(Op::Atomic(AtomicOp::$op, W64), 0xdb, $name, R::Read, R::$src, O::Mem, I::Is($imm), $cpu, Atomic64),
            row(Op::Atomic(AtomicOp::$op, W32), 0xc3, concat!($name, "32"), R::Read, R::$src, O::Mem, I::Is($imm), $cpu, Atomic32),
        )*]
    };
}

const ATOMIC: [Row; 20] = atomic! {
    Add      0x00 "aadd"  Read V1;
    Or       0x40 "aor"   Read V3;
    And      0x50 "aand"  Read V3;
    Xor      0xa0 "axor"  Read V3;
    FetchAdd 0x01 "afadd" ReadWrite V3;
    FetchOr  0x41 "afor"  ReadWrite V3;
    FetchAnd 0x51 "afand" ReadWrite V3;
    FetchXor 0xa1 "afxor" ReadWrite V3;
    Xchg     0xe1 "axchg" ReadWrite V3;
    Cmpxchg  0xf1 "acmp"  Read V3;
};

const ACQ_REL: [Row; 8] = [
    row(Op::LoadAcquire(B), 0xd3, "ldacqb", R::Write, R::Read, O::Mem, I::Is(0x100), V4, Linux),
    row(Op::LoadAcquire(H), 0xcb, "ldacqh", R::Write, R::Read, O::Mem, I::Is(0x100), V4, Linux),
    row(Op::LoadAcquire(W), 0xc3, "ldacqw", R::Write, R::Read, O::Mem, I::Is(0x100), V4, Linux),
    row(Op::LoadAcquire(Dw), 0xdb, "ldacqdw", R::Write, R::Read, O::Mem, I::Is(0x100), V4, Linux),
    row(Op::StoreRelease(B), 0xd3, "strelb", R::Read, R::Read, O::Mem, I::Is(0x110), V4, Linux),
    row(Op::StoreRelease(H), 0xcb, "strelh", R::Read, R::Read, O::Mem, I::Is(0x110), V4, Linux),
    row(Op::StoreRelease(W), 0xc3, "strelw", R::Read, R::Read, O::Mem, I::Is(0x110), V4, Linux),
    row(Op::StoreRelease(Dw), 0xdb, "streldw", R::Read, R::Read, O::Mem, I::Is(0x110), V4, Linux),
];

/// The four forms of a conditional jump: 64 and 32 bits, immediate and register.
macro_rules! jump {
    ($($op:ident $code:literal $name:literal $cpu:ident;)*) => {
        [$(
            row(Op::Jmp(Cond::$op, W64, Source::Imm), $code | 0x05, $name, R::Read, R::Zero, O::Jump, I::Value, $cpu, Base64),
            row(Op::Jmp(Cond::$op, W64, Source::Reg), $code | 0x0d, $name, R::Read, R::Read, O::Jump, I::Zero, $cpu, Base64),
            row(Op::Jmp(Cond::$op, W32, Source::Imm), $code | 0x06, concat!($name, "32"), R::Read, R::Zero, O::Jump, I::Value, V3, Base32),
            row(Op::Jmp(Cond::$op, W32, Source::Reg), $code | 0x0e, concat!($name, "32"), R::Read, R::Read, O::Jump, I::Zero, V3, Base32),
        )*]
    };
}

const JUMP: [Row; 44] = jump! {
    Eq  0x10 "jeq"  V1;
    Gt  0x20 "jgt"  V1;
    Ge  0x30 "jge"  V1;
    Set 0x40 "jset" V1;
    Ne  0x50 "jne"  V1;
    Sgt 0x60 "jsgt" V1;
    Sge 0x70 "jsge" V1;
    Lt  0xa0 "jlt"  V2;
    Le  0xb0 "jle"  V2;
    Slt 0xc0 "jslt" V2;
    Sle 0xd0 "jsle" V2;
};

const CONTROL: [Row; 7] = [
    row(Op::Ja, 0x05, "ja", R::Zero, R::Zero, O::Jump, I::Zero, V1, Base32),
    row(Op::Ja32, 0x06, "jal", R::Zero, R::Zero, O::Zero, I::Jump, V4, Base32),
    row(Op::MayGoto, 0xe5, "may_goto", R::Zero, R::Is(0), O::Jump, I::Zero, V1, Linux),
    row(Op::Call(CallKind::Helper), 0x85, "call", R::Zero, R::Is(0), O::Zero, I::Helper, V1, Base32),
    row(Op::Call(CallKind::Local), 0x85, "call", R::Zero, R::Is(1), O::Zero, I::Func, V1, Base32),
    row(Op::Call(CallKind::Kfunc), 0x85, "call", R::Zero, R::Is(2), O::BtfFd, I::BtfId, V1, Base32),
    row(Op::Exit, 0x95, "exit", R::Zero, R::Zero, O::Zero, I::Zero, V1, Base32),
];

const FAMILIES: [&[Row]; 8] = [&ALU, &ALU_OTHER, &LD, &MEM, &ATOMIC, &ACQ_REL, &JUMP, &CONTROL];

const ROWS: usize = {
    let (mut n, mut f) = (0, 0);
    while f < FAMILIES.len() {
        n += FAMILIES[f].len();
        f += 1;
    }
    n
};

/// Every instruction, family by family.
pub static TABLE: [Row; ROWS] = {
    let mut table = [CONTROL[6]; ROWS];
    let (mut n, mut f) = (0, 0);
    while f < FAMILIES.len() {
        let mut i = 0;
        while i < FAMILIES[f].len() {
            table[n] = FAMILIES[f][i];
            n += 1;
            i += 1;
        }
        f += 1;
    }
    table
};

/// Rows that share an opcode follow one another here; `BY_CODE[c]..BY_CODE[c + 1]` are those of opcode `c`.
pub(crate) static ORDER: [u8; ROWS] = order().0;
pub(crate) static BY_CODE: [u8; 257] = order().1;

const fn order() -> ([u8; ROWS], [u8; 257]) {
    const { assert!(ROWS <= 255) };
    let mut order = [0; ROWS];
    let mut start = [0; 257];
    let (mut code, mut n) = (0, 0);
    while code < 256 {
        start[code] = n as u8;
        let mut i = 0;
        while i < ROWS {
            if TABLE[i].code as usize == code {
                order[n] = i as u8;
                n += 1;
            }
            i += 1;
        }
        code += 1;
    }
    start[256] = n as u8;
    (order, start)
}
