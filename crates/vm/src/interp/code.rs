// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pre-decoded form of a program: one 16-byte [`Insn`] for each instruction (`ld_imm64` is one), operands
//! widened, jump targets and references to maps, functions and helpers resolved.
//!
//! Every operation of [`skep_isa::Op`] has its flat [`Code`], found by exhaustive matches; the flat codes of
//! the regular families come from one list, [`flat_codes`], which the dispatch loop shares.

use skep_isa::{AluOp, AtomicOp, Cond, EndianOp, Size, Source, Width};

/// Gives the families of operations with their flat codes to a macro: for two-operand arithmetic the forms
/// `64 bits immediate, 64 register, 32 immediate, 32 register`; the same for conditional jumps; for each access
/// size its integer types and loads and stores.
macro_rules! flat_codes {
    ($then:ident ! ( $($args:tt)* )) => {
        $then! {
            ( $($args)* )
            alu {
                Add AddK64 AddX64 AddK32 AddX32;
                Sub SubK64 SubX64 SubK32 SubX32;
                Mul MulK64 MulX64 MulK32 MulX32;
                Div DivK64 DivX64 DivK32 DivX32;
                Sdiv SdivK64 SdivX64 SdivK32 SdivX32;
                Or OrK64 OrX64 OrK32 OrX32;
                And AndK64 AndX64 AndK32 AndX32;
                Lsh LshK64 LshX64 LshK32 LshX32;
                Rsh RshK64 RshX64 RshK32 RshX32;
                Mod ModK64 ModX64 ModK32 ModX32;
                Smod SmodK64 SmodX64 SmodK32 SmodX32;
                Xor XorK64 XorX64 XorK32 XorX32;
                Mov MovK64 MovX64 MovK32 MovX32;
                Arsh ArshK64 ArshX64 ArshK32 ArshX32;
            }
            jump {
                Eq JeqK64 JeqX64 JeqK32 JeqX32;
                Gt JgtK64 JgtX64 JgtK32 JgtX32;
                Ge JgeK64 JgeX64 JgeK32 JgeX32;
                Set JsetK64 JsetX64 JsetK32 JsetX32;
                Ne JneK64 JneX64 JneK32 JneX32;
                Sgt JsgtK64 JsgtX64 JsgtK32 JsgtX32;
                Sge JsgeK64 JsgeX64 JsgeK32 JsgeX32;
                Lt JltK64 JltX64 JltK32 JltX32;
                Le JleK64 JleX64 JleK32 JleX32;
                Slt JsltK64 JsltX64 JsltK32 JsltX32;
                Sle JsleK64 JsleX64 JsleK32 JsleX32;
            }
            size {
                B u8 LdxB LdsxB StB StxB;
                H u16 LdxH LdsxH StH StxH;
                W u32 LdxW LdsxW StW StxW;
                Dw u64 LdxDw LdsxDw StDw StxDw;
            }
        }
    };
}
pub(super) use flat_codes;

macro_rules! define {
    (
        ($($single:ident)*)
        alu { $($alu:ident $ak64:ident $ax64:ident $ak32:ident $ax32:ident;)* }
        jump { $($jump:ident $jk64:ident $jx64:ident $jk32:ident $jx32:ident;)* }
        size { $($size:ident $int:ident $ldx:ident $ldsx:ident $st:ident $stx:ident;)* }
    ) => {
        /// What to do, one code for each form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Code {
            $($ak64, $ax64, $ak32, $ax32,)*
            $($jk64, $jx64, $jk32, $jx32,)*
            $($ldx, $ldsx, $st, $stx,)*
            $($single,)*
        }

        impl Code {
            /// Two-operand arithmetic.
            pub(super) fn alu(op: AluOp, width: Width, source: Source) -> Code {
                let forms = match op {
                    $(AluOp::$alu => [Code::$ak64, Code::$ax64, Code::$ak32, Code::$ax32],)*
                };
                forms[form(width, source)]
            }

            /// A conditional jump.
            pub(super) fn jump(cond: Cond, width: Width, source: Source) -> Code {
                let forms = match cond {
                    $(Cond::$jump => [Code::$jk64, Code::$jx64, Code::$jk32, Code::$jx32],)*
                };
                forms[form(width, source)]
            }

            /// What kind of operands there are.
            #[inline]
            pub(crate) const fn shape(self) -> Shape {
                match self {
                    $(Code::$ak64 | Code::$ak32 => Shape::Update { source: false },)*
                    $(Code::$ax64 | Code::$ax32 => Shape::Update { source: true },)*
                    $(Code::$jk64 | Code::$jk32 => Shape::Jump { source: false },)*
                    $(Code::$jx64 | Code::$jx32 => Shape::Jump { source: true },)*
                    $(Code::$ldx | Code::$ldsx => Shape::Load,)*
                    $(Code::$st => Shape::StoreImm,)*
                    $(Code::$stx => Shape::Store,)*
                    Code::Neg64
                    | Code::Neg32
                    | Code::Zext16
                    | Code::Zext32
                    | Code::Zext64
                    | Code::Swap16
                    | Code::Swap32
                    | Code::Swap64 => Shape::Update { source: false },
                    Code::Movsx64 | Code::Movsx32 => Shape::Update { source: true },
                    Code::LoadImm => Shape::Set,
                    Code::LoadAcquire => Shape::Load,
                    Code::StoreRelease => Shape::Store,
                    Code::Atomic64 | Code::Atomic32 => Shape::Atomic,
                    Code::LdAbs | Code::LdInd => Shape::PacketLoad,
                    Code::Call => Shape::Call,
                    Code::TailCall => Shape::TailCall,
                    Code::Ja
                    | Code::MayGoto
                    | Code::NoHelper
                    | Code::CallLocal
                    | Code::Kfunc
                    | Code::Exit
                    | Code::OutsideFrame
                    | Code::End => Shape::Other,
                }
            }

            /// The condition of a conditional jump, and whether it compares 64 bits.
            pub(crate) fn condition(self) -> Option<(Cond, bool)> {
                match self {
                    $(Code::$jk64 | Code::$jx64 => Some((Cond::$jump, true)),)*
                    $(Code::$jk32 | Code::$jx32 => Some((Cond::$jump, false)),)*
                    _ => None,
                }
            }

            /// The operation of two-operand arithmetic, and whether it has 64 bits.
            pub(crate) fn arithmetic(self) -> Option<(AluOp, bool)> {
                match self {
                    $(Code::$ak64 | Code::$ax64 => Some((AluOp::$alu, true)),)*
                    $(Code::$ak32 | Code::$ax32 => Some((AluOp::$alu, false)),)*
                    _ => None,
                }
            }

            /// How much a plain load or store moves, or an atomic one of a fixed size.
            pub(crate) fn access(self) -> Option<Size> {
                match self {
                    $(Code::$ldx | Code::$ldsx | Code::$st | Code::$stx => Some(Size::$size),)*
                    Code::Atomic32 => Some(Size::W),
                    Code::Atomic64 => Some(Size::Dw),
                    _ => None,
                }
            }

            /// Sign-extends what it loads.
            pub(crate) fn sign_extends(self) -> bool {
                matches!(self, $(Code::$ldsx)|*)
            }

            /// `ldx`.
            pub(super) fn ldx(size: Size) -> Code {
                match size { $(Size::$size => Code::$ldx,)* }
            }

            /// Sign-extending `ldx`.
            pub(super) fn ldsx(size: Size) -> Code {
                match size { $(Size::$size => Code::$ldsx,)* }
            }

            /// `st`.
            pub(super) fn st(size: Size) -> Code {
                match size { $(Size::$size => Code::$st,)* }
            }

            /// `stx`.
            pub(super) fn stx(size: Size) -> Code {
                match size { $(Size::$size => Code::$stx,)* }
            }
        }
    };
}

flat_codes!(define!(
    Neg64 Neg32
    // `imm` is the number of bits to shift up and back down.
    Movsx64 Movsx32
    Zext16 Zext32 Zext64 Swap16 Swap32 Swap64
    // `dst = imm`; also what maps and functions resolve to.
    LoadImm
    // `imm` is the size of the packet load, `off` its constant offset.
    LdAbs LdInd
    // `imm` is an index into `ATOMIC_OPS`.
    Atomic64 Atomic32
    // `imm` is the size.
    LoadAcquire StoreRelease
    Ja MayGoto
    // `imm` is an index into `Program::helpers`.
    Call
    TailCall
    // `imm` is the number of a helper that is not there.
    NoHelper
    CallLocal
    Kfunc
    Exit
    // An access at a constant offset from `r10` outside of the frame: `off` the offset, `imm` the bytes, or their
    // complement for a write.
    OutsideFrame
    // After the last instruction.
    End
));

fn form(width: Width, source: Source) -> usize {
    match (width, source) {
        (Width::W64, Source::Imm) => 0,
        (Width::W64, Source::Reg) => 1,
        (Width::W32, Source::Imm) => 2,
        (Width::W32, Source::Reg) => 3,
    }
}

impl Code {
    /// Leads, or may lead, to the instruction that `off` names.
    pub(crate) fn jumps(self) -> bool {
        matches!(self, Code::Ja | Code::MayGoto) || self.condition().is_some()
    }

    /// Control never goes on to the next instruction.
    pub(crate) fn ends_line(self) -> bool {
        matches!(self, Code::Ja | Code::Exit | Code::NoHelper | Code::Kfunc | Code::OutsideFrame | Code::End)
    }

    /// The old value of `dst` does not matter.
    pub(crate) fn is_move(self) -> bool {
        matches!(self, Code::Movsx64 | Code::Movsx32) || matches!(self.arithmetic(), Some((AluOp::Mov, _)))
    }

    /// A change of byte order on a little-endian machine.
    pub(super) fn endian(op: EndianOp, size: Size) -> Code {
        match (op, size) {
            // No instruction has size 8: a byte has no order.
            (EndianOp::ToLe, Size::B | Size::Dw) | (_, Size::B) => Code::Zext64,
            (EndianOp::ToLe, Size::H) => Code::Zext16,
            (EndianOp::ToLe, Size::W) => Code::Zext32,
            (EndianOp::ToBe | EndianOp::Bswap, Size::H) => Code::Swap16,
            (EndianOp::ToBe | EndianOp::Bswap, Size::W) => Code::Swap32,
            (EndianOp::ToBe | EndianOp::Bswap, Size::Dw) => Code::Swap64,
        }
    }
}

/// What kind of operands an instruction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `dst = dst op operand`, or a move.
    Update { source: bool },
    /// `dst = imm`.
    Set,
    /// `dst = [src + off]`.
    Load,
    /// `[dst + off] = src`.
    Store,
    /// `[dst + off] = imm`.
    StoreImm,
    /// Conditional: compares `dst`.
    Jump { source: bool },
    /// Read-modify-write of `[dst + off]`.
    Atomic,
    /// `r0` = bytes of the packet.
    PacketLoad,
    /// A helper.
    Call,
    /// To another program, or on to the next instruction.
    TailCall,
    /// No operands in registers.
    Other,
}

/// Atomic operations as [`Insn::imm`] numbers them.
pub(crate) const ATOMIC_OPS: [AtomicOp; 10] = [
    AtomicOp::Add,
    AtomicOp::Or,
    AtomicOp::And,
    AtomicOp::Xor,
    AtomicOp::FetchAdd,
    AtomicOp::FetchOr,
    AtomicOp::FetchAnd,
    AtomicOp::FetchXor,
    AtomicOp::Xchg,
    AtomicOp::Cmpxchg,
];

/// A register number. That there are 16, of which instructions name 11, lets the dispatch loop index its
/// registers without a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[rustfmt::skip]
pub(crate) enum Reg { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15 }

impl Reg {
    /// The registers that instructions name.
    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
    #[rustfmt::skip]
    pub(crate) const NAMED: [Reg; 11] = [
        Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R6, Reg::R7, Reg::R8, Reg::R9, Reg::R10,
    ];
    /// Arguments of calls.
    pub(crate) const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

    /// The register of a number, of which the low 4 bits count.
    pub(super) fn new(number: u8) -> Reg {
        use Reg::*;
        const ALL: [Reg; 16] = [R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15];
        ALL[usize::from(number & 15)]
    }
}

/// One pre-decoded instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insn {
    pub(crate) code: Code,
    pub(crate) dst: Reg,
    pub(crate) src: Reg,
    /// Displacement of an access, or the index of a jump's target.
    pub(crate) off: i32,
    /// Operand, sign-extended to 64 bits.
    pub(crate) imm: u64,
}

const _: () = assert!(size_of::<Insn>() == 16);
