// SPDX-License-Identifier: MIT OR Apache-2.0
//! From slots to rows of the table: legality of the encoding alone, without a look at what surrounds it.

use core::fmt;

use crate::table::{BY_CODE, ORDER};
use crate::{ImmField, Insn, OffField, Op, RegField, Row, TABLE};

/// A legal instruction: its row and its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The row of the table.
    pub row: &'static Row,
    /// The raw slot; for `ld_imm64` the first of two.
    pub insn: Insn,
    /// The second slot's `imm` of `ld_imm64`, else 0.
    pub imm_hi: i32,
}

impl Decoded {
    /// What the instruction does.
    #[must_use]
    pub const fn op(&self) -> Op {
        self.row.op
    }

    /// Slots taken: 1 or 2.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.row.slots()
    }

    /// The immediate operand: both halves of `ld_imm64`, else sign-extended.
    #[must_use]
    pub const fn imm64(&self) -> i64 {
        if let Op::LdImm64(_) = self.row.op {
            ((self.imm_hi as i64) << 32) | (self.insn.imm as u32 as i64)
        } else {
            self.insn.imm as i64
        }
    }

    /// Distance of a jump, local call or function address in slots from the next instruction; `None` for
    /// anything else. (`ld_imm64` counts from its own first slot plus one, as the kernel does.)
    #[must_use]
    pub const fn target(&self) -> Option<i64> {
        match (self.row.off, self.row.imm) {
            (OffField::Jump, _) => Some(self.insn.off as i64),
            (_, ImmField::Jump | ImmField::Func) => Some(self.insn.imm as i64),
            _ => {
                if let Op::LdImm64(crate::Imm64::Func) = self.row.op {
                    Some(self.insn.imm as i64)
                } else {
                    None
                }
            }
        }
    }
}

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No instruction has this opcode.
    UnknownOpcode,
    /// The opcode exists, but no row has this combination of selecting fields.
    UnknownVariant,
    /// The destination register field must be 0.
    ReservedDst,
    /// The source register field must be 0.
    ReservedSrc,
    /// The offset field must be 0.
    ReservedOff,
    /// The immediate field must be 0.
    ReservedImm,
    /// A register number above 10.
    BadRegister,
    /// A write to `r10`, the frame pointer.
    FramePointerWrite,
    /// The second slot of `ld_imm64` is missing.
    MissingSecondSlot,
    /// The second slot of `ld_imm64` has an opcode, register or offset.
    BadSecondSlot,
    /// A 64-bit immediate that names a map, variable or function by its low half alone has a high half.
    ReservedHighImm,
    /// The position is outside of the program.
    OutOfRange,
}

/// An illegal encoding, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Slot index.
    pub at: usize,
    /// The raw slot.
    pub insn: Insn,
    /// The rule that it breaks.
    pub problem: Problem,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodeError { at, insn, problem } = self;
        write!(f, "instruction {at}: ")?;
        match problem {
            Problem::UnknownOpcode => write!(f, "unknown opcode {:02x}", insn.code),
            Problem::UnknownVariant => write!(
                f,
                "opcode {:02x} has no variant with src {}, off {}, imm {:#x}",
                insn.code, insn.src, insn.off, insn.imm
            ),
            Problem::ReservedDst => {
                write!(f, "opcode {:02x}: the destination register must be 0, not {}", insn.code, insn.dst)
            }
            Problem::ReservedSrc => {
                write!(f, "opcode {:02x}: the source register must be 0, not {}", insn.code, insn.src)
            }
            Problem::ReservedOff => {
                write!(f, "opcode {:02x}: the offset must be 0, not {}", insn.code, insn.off)
            }
            Problem::ReservedImm => {
                write!(f, "opcode {:02x}: the immediate must be 0, not {:#x}", insn.code, insn.imm)
            }
            Problem::BadRegister => {
                let reg = if insn.dst > 10 { insn.dst } else { insn.src };
                write!(f, "r{reg} does not exist, registers are r0 to r10")
            }
            Problem::FramePointerWrite => write!(f, "the frame pointer r10 is read only"),
            Problem::MissingSecondSlot => write!(f, "ld_imm64 needs a second slot"),
            Problem::BadSecondSlot => {
                write!(f, "the second slot of ld_imm64 may only have an immediate")
            }
            Problem::ReservedHighImm => {
                write!(f, "the second immediate of this ld_imm64 must be 0")
            }
            Problem::OutOfRange => write!(f, "outside of the program"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Slots that the instruction at a raw slot takes, from its opcode alone.
#[must_use]
pub const fn slots(insn: Insn) -> usize {
    if insn.is_ld_imm64() { 2 } else { 1 }
}

/// Decodes the instruction at slot `at`.
///
/// # Errors
/// The first rule of the encoding that is broken. Jump targets, helper numbers and map indices are not looked
/// at: they need the program around the instruction.
pub fn decode(insns: &[Insn], at: usize) -> Result<Decoded, DecodeError> {
    let Some(&insn) = insns.get(at) else {
        return Err(DecodeError { at, insn: Insn::default(), problem: Problem::OutOfRange });
    };
    let fail = |problem| Err(DecodeError { at, insn, problem });
    let code = usize::from(insn.code);
    let candidates = &ORDER[usize::from(BY_CODE[code])..usize::from(BY_CODE[code + 1])];
    let mut problem = Problem::UnknownOpcode;
    for &i in candidates {
        let row = &TABLE[usize::from(i)];
        if !selected(row, insn) {
            // A plain row (no selector) may still tell more than "no such variant" below.
            if problem == Problem::UnknownOpcode {
                problem = Problem::UnknownVariant;
            }
            continue;
        }
        match reserved(row, insn) {
            Ok(()) => {
                let imm_hi = match second_slot(row, insns, at) {
                    Ok(hi) => hi,
                    Err(p) => return fail(p),
                };
                return Ok(Decoded { row, insn, imm_hi });
            }
            // Another row of the same opcode may take it (mov and movsx, div and sdiv).
            Err(p) => problem = p,
        }
    }
    fail(problem)
}

fn selected(row: &Row, insn: Insn) -> bool {
    (match row.src {
        RegField::Is(n) => insn.src == n,
        _ => true,
    }) && (match row.off {
        OffField::Is(n) => insn.off == n,
        _ => true,
    }) && (match row.imm {
        ImmField::Is(n) => insn.imm == n,
        _ => true,
    })
}

fn reserved(row: &Row, insn: Insn) -> Result<(), Problem> {
    if row.off == OffField::Zero && insn.off != 0 {
        return Err(Problem::ReservedOff);
    }
    if row.imm == ImmField::Zero && insn.imm != 0 {
        return Err(Problem::ReservedImm);
    }
    if row.dst == RegField::Zero && insn.dst != 0 {
        return Err(Problem::ReservedDst);
    }
    if row.src == RegField::Zero && insn.src != 0 {
        return Err(Problem::ReservedSrc);
    }
    if insn.dst > 10 || insn.src > 10 {
        return Err(Problem::BadRegister);
    }
    let writes_dst = matches!(row.dst, RegField::Write | RegField::ReadWrite);
    let writes_src = matches!(row.src, RegField::Write | RegField::ReadWrite);
    if writes_dst && insn.dst == 10 || writes_src && insn.src == 10 {
        return Err(Problem::FramePointerWrite);
    }
    Ok(())
}

fn second_slot(row: &Row, insns: &[Insn], at: usize) -> Result<i32, Problem> {
    let Op::LdImm64(kind) = row.op else { return Ok(0) };
    let Some(second) = insns.get(at + 1) else { return Err(Problem::MissingSecondSlot) };
    if second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0 {
        return Err(Problem::BadSecondSlot);
    }
    let takes_high = matches!(kind, crate::Imm64::Const) || kind.is_map_value();
    // BPF_PSEUDO_BTF_ID keeps the descriptor of a module's BTF in the high half.
    if !takes_high && kind != crate::Imm64::BtfId && second.imm != 0 {
        return Err(Problem::ReservedHighImm);
    }
    Ok(second.imm)
}
