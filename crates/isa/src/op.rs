// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an instruction does, as closed enums: consumers match them exhaustively, so that a new operation is a
//! compile error wherever it is not handled yet.

/// Operand width of ALU and jump operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Width {
    W32,
    W64,
}

impl Width {
    /// Bits in an operand.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Width::W32 => 32,
            Width::W64 => 64,
        }
    }
}

/// Size of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
    /// 8 bytes.
    Dw,
}

impl Size {
    /// All sizes, smallest first.
    pub const ALL: [Size; 4] = [Size::B, Size::H, Size::W, Size::Dw];

    /// Bytes accessed.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::Dw => 8,
        }
    }

    /// Bits accessed.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }

    /// The size bits of a load or store opcode (RFC 9669, table 13).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Size::W => 0x00,
            Size::H => 0x08,
            Size::B => 0x10,
            Size::Dw => 0x18,
        }
    }
}

/// Where the second operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `BPF_K`: the immediate.
    Imm,
    /// `BPF_X`: the source register.
    Reg,
}

/// Two-operand arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    /// Unsigned; division by zero gives 0.
    Div,
    /// Signed; division by zero gives 0, overflow wraps.
    Sdiv,
    Or,
    And,
    Lsh,
    Rsh,
    /// Unsigned; modulo zero leaves the destination.
    Mod,
    /// Signed; modulo zero leaves the destination, overflow gives 0.
    Smod,
    Xor,
    Mov,
    /// Arithmetic right shift.
    Arsh,
}

/// Byte-order operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndianOp {
    /// Host order to little endian (truncates on a little-endian host).
    ToLe,
    /// Host order to big endian.
    ToBe,
    /// Unconditional byte swap (cpu v4).
    Bswap,
}

/// Condition of a jump, between the destination register and the source operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Cond {
    Eq,
    Gt,
    Ge,
    /// `dst & src` is not zero.
    Set,
    Ne,
    Sgt,
    Sge,
    Lt,
    Le,
    Slt,
    Sle,
}

/// Read-modify-write operation on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AtomicOp {
    Add,
    Or,
    And,
    Xor,
    FetchAdd,
    FetchOr,
    FetchAnd,
    FetchXor,
    Xchg,
    /// Compares with `r0`, and leaves the old value there.
    Cmpxchg,
}

impl AtomicOp {
    /// Whether the old value lands in the source register.
    #[must_use]
    pub const fn fetches_to_src(self) -> bool {
        match self {
            AtomicOp::FetchAdd
            | AtomicOp::FetchOr
            | AtomicOp::FetchAnd
            | AtomicOp::FetchXor
            | AtomicOp::Xchg => true,
            AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::Cmpxchg => false,
        }
    }
}

/// What the 64-bit immediate stands for: the pseudo source register of `ld_imm64` (RFC 9669, section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// A number.
    Const,
    /// `BPF_PSEUDO_MAP_FD`: a map by file descriptor.
    MapFd,
    /// `BPF_PSEUDO_MAP_VALUE`: an address inside the value of a map by file descriptor.
    MapValue,
    /// `BPF_PSEUDO_BTF_ID`: a kernel variable.
    BtfId,
    /// `BPF_PSEUDO_FUNC`: the address of a function of the program, relative to the next instruction.
    Func,
    /// `BPF_PSEUDO_MAP_IDX`: a map by index into `fd_array`.
    MapIdx,
    /// `BPF_PSEUDO_MAP_IDX_VALUE`: an address inside the value of a map by index.
    MapIdxValue,
}

impl Imm64 {
    /// Whether the immediate names a map, by descriptor or index.
    #[must_use]
    pub const fn is_map(self) -> bool {
        matches!(self, Imm64::MapFd | Imm64::MapValue | Imm64::MapIdx | Imm64::MapIdxValue)
    }

    /// Whether the immediate is an address inside a map's value; the second slot holds the offset.
    #[must_use]
    pub const fn is_map_value(self) -> bool {
        matches!(self, Imm64::MapValue | Imm64::MapIdxValue)
    }
}

/// Whom `call` calls: its pseudo source register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A helper by its number.
    Helper,
    /// `BPF_PSEUDO_CALL`: a function of the program, relative to the next instruction.
    Local,
    /// `BPF_PSEUDO_KFUNC_CALL`: a kernel function by BTF id.
    Kfunc,
}

/// One operation of the instruction set; one row of [`crate::TABLE`] each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `dst = dst op src`.
    Alu(AluOp, Width, Source),
    /// `dst = -dst`.
    Neg(Width),
    /// `dst = (sN)src`, then truncated to the width.
    Movsx(Width, Size),
    /// Byte-order change of the low 16, 32 or 64 bits.
    Endian(EndianOp, Size),
    /// `dst = addr_space_cast(src)`: between arena and kernel addresses (Linux 6.9).
    AddrSpaceCast,
    /// `dst = imm64`.
    LdImm64(Imm64),
    /// `r0 = skb[imm]`, in host order.
    LdAbs(Size),
    /// `r0 = skb[src + imm]`, in host order.
    LdInd(Size),
    /// `dst = *(uN *)(src + off)`.
    Ldx(Size),
    /// `dst = *(sN *)(src + off)`.
    Ldsx(Size),
    /// `*(uN *)(dst + off) = imm`.
    St(Size),
    /// `*(uN *)(dst + off) = src`.
    Stx(Size),
    /// Atomic read-modify-write of `*(dst + off)`.
    Atomic(AtomicOp, Width),
    /// `dst = load_acquire((uN *)(src + off))` (Linux 6.15).
    LoadAcquire(Size),
    /// `store_release((uN *)(dst + off), src)` (Linux 6.15).
    StoreRelease(Size),
    /// `goto off`.
    Ja,
    /// `gotol imm`.
    Ja32,
    /// `if dst cond src goto off`.
    Jmp(Cond, Width, Source),
    /// `may_goto off`: jumps when the loop budget of the program is used up (Linux 6.9).
    MayGoto,
    /// `call`.
    Call(CallKind),
    /// Return from the function or program.
    Exit,
}

/// The LLVM `-mcpu` generation that first emits an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Cpu {
    V1,
    V2,
    V3,
    V4,
}

/// Conformance group (RFC 9669, section 2.4); `Linux` is what only the kernel defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Conformance {
    Base32,
    Base64,
    Divmul32,
    Divmul64,
    Atomic32,
    Atomic64,
    Packet,
    Linux,
}
