// SPDX-License-Identifier: GPL-2.0-only
//! Registers as operands: may they be read or written, and is their low half defined alone
//! (`check_reg_arg`, `is_reg64 @ 6.18`).

use skep_isa::{Insn, class, opcode};

use crate::env::Env;
use crate::reg::{DEF_NOT_SUBREG, Reg};
use crate::reg_type::{NOT_INIT, SCALAR_VALUE};
use crate::state::{BPF_REG_FP, MAX_BPF_REG};
use crate::stop::{EACCES, EINVAL, Res, verbose};

/// `enum reg_arg_type`: what a register is to an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegArg {
    /// Read.
    Src,
    /// Written.
    Dst,
    /// Written, with what is known of it kept.
    DstNoMark,
}

/// `BPF_OP` of a jump or ALU opcode.
const OP: u8 = 0xf0;
/// `BPF_MODE` of a load or store opcode.
const MODE: u8 = 0xe0;
/// `BPF_SIZE` of an 8-byte access.
const SIZE: u8 = 0x18;
const DW: u8 = 0x18;
/// Source register field of a call between functions of the program.
const BPF_PSEUDO_CALL: u8 = 1;

/// `is_reg64`: whether the instruction takes or defines all 64 bits of the register. In doubt it does.
pub(crate) fn is_reg64(insn: &Insn, reg: Option<&Reg>, t: RegArg) -> bool {
    let op = insn.code & OP;
    match insn.class() {
        class::JMP if insn.code & OP == opcode::CALL & OP => insn.src != BPF_PSEUDO_CALL && t == RegArg::Src,
        class::ALU64 if op == opcode::END && matches!(insn.imm, 16 | 32) => false,
        class::ALU64 | class::JMP => true,
        class::ALU => op == opcode::END && insn.imm == 64,
        class::JMP32 => false,
        class::LDX => t == RegArg::Src || insn.code & SIZE == DW || insn.code & MODE == opcode::MEMSX,
        class::STX => {
            (t == RegArg::Src && reg.is_some_and(|r| r.ty != SCALAR_VALUE)) || insn.code & SIZE == DW
        }
        // `LD_ABS` and `LD_IND` give 32 bits of the packet.
        class::LD => insn.code & MODE == opcode::IMM || t == RegArg::Src,
        _ => true,
    }
}

impl Env<'_> {
    /// `mark_insn_zext`: the upper half of the register is wanted, so the instruction that defined the lower one
    /// must clear it.
    pub(crate) fn mark_insn_zext(&mut self, reg: &mut Reg) {
        if reg.subreg_def == DEF_NOT_SUBREG {
            return;
        }
        if let Some(aux) = self.aux.get_mut(reg.subreg_def as usize - 1) {
            aux.zext_dst = true;
        }
        reg.subreg_def = DEF_NOT_SUBREG;
    }

    /// `check_reg_arg`, on a register of the current frame.
    pub(crate) fn check_reg_arg(&mut self, regno: u32, t: RegArg) -> Res {
        self.check_reg_arg_in(self.cur.frames.len() - 1, regno, t)
    }

    /// `__check_reg_arg`, on a register of the frame at this position.
    pub(crate) fn check_reg_arg_in(&mut self, frame: usize, regno: u32, t: RegArg) -> Res {
        if regno as usize >= MAX_BPF_REG {
            verbose!(self, "R{regno} is invalid\n");
            return Err(EINVAL);
        }
        self.mark_reg_scratched(regno);
        let insn = self.insns[self.insn_idx as usize];
        let reg = &mut self.cur.frames[frame].regs[regno as usize];
        let wide = is_reg64(&insn, Some(reg), t);
        if t == RegArg::Src {
            if reg.ty == NOT_INIT {
                verbose!(self, "R{regno} !read_ok\n");
                return Err(EACCES);
            }
            if regno != BPF_REG_FP && wide && reg.subreg_def != DEF_NOT_SUBREG {
                let mut copy = *reg;
                self.mark_insn_zext(&mut copy);
                self.cur.frames[frame].regs[regno as usize].subreg_def = copy.subreg_def;
            }
            return Ok(());
        }
        if regno == BPF_REG_FP {
            verbose!(self, "frame pointer is read only\n");
            return Err(EACCES);
        }
        reg.subreg_def = if wide { DEF_NOT_SUBREG } else { self.insn_idx as i32 + 1 };
        if t == RegArg::Dst {
            reg.mark_unknown_imprecise();
            reg.precise = !self.bpf_capable;
        }
        Ok(())
    }
}
