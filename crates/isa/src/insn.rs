// SPDX-License-Identifier: MIT OR Apache-2.0
//! The raw 8-byte instruction (`struct bpf_insn`) and the opcode bits it is made of.

use core::fmt;

/// A register number. Legal programs use 0 to 10; 11 to 15 can be encoded but are never valid.
pub type Reg = u8;

/// One raw instruction slot, as `struct bpf_insn` of `linux/bpf.h` (RFC 9669, section 3.1), little-endian.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Insn {
    /// Opcode byte: class, source or mode, operation or size.
    pub code: u8,
    /// Destination register, 4 bits.
    pub dst: Reg,
    /// Source register, 4 bits; also carries the pseudo values of `ld_imm64` and `call`.
    pub src: Reg,
    /// Signed 16-bit offset.
    pub off: i16,
    /// Signed 32-bit immediate.
    pub imm: i32,
}

impl Insn {
    /// Bytes of one slot.
    pub const SIZE: usize = 8;

    /// An instruction from its fields; register numbers are cut to 4 bits.
    #[must_use]
    pub const fn new(code: u8, dst: Reg, src: Reg, off: i16, imm: i32) -> Self {
        Insn { code, dst: dst & 15, src: src & 15, off, imm }
    }

    /// Reads the little-endian wire form.
    #[must_use]
    pub const fn from_bytes(b: [u8; 8]) -> Self {
        Insn {
            code: b[0],
            dst: b[1] & 15,
            src: b[1] >> 4,
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// Writes the little-endian wire form.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let off = self.off.to_le_bytes();
        let imm = self.imm.to_le_bytes();
        [self.code, (self.dst & 15) | (self.src << 4), off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
    }

    /// The class bits of the opcode ([`class`]).
    #[must_use]
    pub const fn class(self) -> u8 {
        self.code & 7
    }

    /// Whether this is the first slot of the two-slot `ld_imm64`.
    #[must_use]
    pub const fn is_ld_imm64(self) -> bool {
        self.code == opcode::LD_IMM64
    }

    /// Whether this is `call` of any kind.
    #[must_use]
    pub const fn is_call(self) -> bool {
        self.code == opcode::CALL
    }
}

impl fmt::Debug for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Insn { code, dst, src, off, imm } = self;
        write!(f, "({code:02x}) dst={dst} src={src} off={off} imm={imm:#x}")
    }
}

/// Instruction classes (RFC 9669, table 4): the low three bits of the opcode.
pub mod class {
    #![allow(missing_docs)]
    pub const LD: u8 = 0;
    pub const LDX: u8 = 1;
    pub const ST: u8 = 2;
    pub const STX: u8 = 3;
    pub const ALU: u8 = 4;
    pub const JMP: u8 = 5;
    pub const JMP32: u8 = 6;
    pub const ALU64: u8 = 7;
}

/// Opcode bits and whole opcodes, named as in `linux/bpf.h` and `linux/bpf_common.h`.
pub mod opcode {
    /// `BPF_X`: the second operand is a register.
    pub const X: u8 = 0x08;
    /// `BPF_IMM` mode: 64-bit immediate.
    pub const IMM: u8 = 0x00;
    /// `BPF_ABS` mode: packet access at a constant offset.
    pub const ABS: u8 = 0x20;
    /// `BPF_IND` mode: packet access at a register plus constant.
    pub const IND: u8 = 0x40;
    /// `BPF_MEM` mode: plain load or store.
    pub const MEM: u8 = 0x60;
    /// `BPF_MEMSX` mode: sign-extending load.
    pub const MEMSX: u8 = 0x80;
    /// `BPF_ATOMIC` mode.
    pub const ATOMIC: u8 = 0xc0;
    /// `BPF_NEG` operation.
    pub const NEG: u8 = 0x80;
    /// `BPF_MOV` operation.
    pub const MOV: u8 = 0xb0;
    /// `BPF_END` operation: byte swaps.
    pub const END: u8 = 0xd0;
    /// `BPF_LD | BPF_IMM | BPF_DW`: the two-slot 64-bit immediate load.
    pub const LD_IMM64: u8 = 0x18;
    /// `BPF_JMP | BPF_JA`.
    pub const JA: u8 = 0x05;
    /// `BPF_JMP32 | BPF_JA`: `gotol`, a jump with a 32-bit offset in `imm`.
    pub const JA32: u8 = 0x06;
    /// `BPF_JMP | BPF_CALL`.
    pub const CALL: u8 = 0x85;
    /// `BPF_JMP | BPF_EXIT`.
    pub const EXIT: u8 = 0x95;
    /// `BPF_JMP | BPF_JCOND`: `may_goto`.
    pub const JCOND: u8 = 0xe5;
}
