// SPDX-License-Identifier: GPL-2.0-only
//! Unprivileged pointer arithmetic: the processor may execute it speculatively with any operand, so the kernel
//! masks the operand with a limit that all paths must agree on (`sanitize_ptr_alu @ 6.18`).

use skep_isa::{Insn, opcode};
use skep_uapi::limits::MAX_BPF_STACK;

use crate::alu::op;
use crate::env::{Env, InsnAux};
use crate::mem::AccessSrc;
use crate::reg::Reg;
use crate::reg_type::{PTR_TO_MAP_VALUE, PTR_TO_STACK};
use crate::stop::{EACCES, ENOMEM, EOPNOTSUPP, Res, Stop, verbose};

/// `BPF_ALU_*`, states of an instruction's masking.
const BPF_ALU_SANITIZE_SRC: u8 = 1 << 0;
const BPF_ALU_SANITIZE_DST: u8 = 1 << 1;
const BPF_ALU_NEG_VALUE: u8 = 1 << 2;
const BPF_ALU_NON_POINTER: u8 = 1 << 3;
const BPF_ALU_IMMEDIATE: u8 = 1 << 4;

/// Why the arithmetic cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// `REASON_BOUNDS`: the operand may be of either sign.
    Bounds,
    /// `REASON_TYPE`: no limit is known for such a pointer.
    Type,
    /// `REASON_PATHS`: paths differ.
    Paths,
    /// `REASON_LIMIT`: out of bounds.
    Limit,
    /// `REASON_STACK`: too many paths.
    Stack,
}

/// What the first pass over an instruction hands to the second (`struct bpf_sanitize_info`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SanitizeInfo {
    alu_state: u8,
    alu_limit: u32,
    mask_to_left: bool,
}

/// `sanitize_needed`.
pub(crate) fn needed(opcode: u8) -> bool {
    matches!(opcode, op::ADD | op::SUB)
}

/// `update_alu_sanitation_state`.
fn update_state(state: &mut u8, limit: &mut u32, new: (u8, u32)) -> Result<(), Reason> {
    if *state != 0 && (*state, *limit) != new {
        return Err(Reason::Paths);
    }
    (*state, *limit) = new;
    Ok(())
}

impl Env<'_> {
    /// `sanitize_mark_insn_seen`. What only speculation reaches is dead code.
    pub(crate) fn sanitize_mark_insn_seen(&mut self) {
        if !self.cur.speculative {
            let pass = self.pass_cnt;
            if let Some(aux) = self.aux.get_mut(self.insn_idx as usize) {
                aux.seen = pass;
            }
        }
    }

    /// `can_skip_alu_sanitation`.
    pub(crate) fn can_skip_alu_sanitation(&self, insn: &Insn) -> bool {
        self.bypass_spec_v1
            || insn.code & opcode::X == 0
            || self.aux.get(self.insn_idx as usize).is_some_and(|aux: &InsnAux| aux.nospec)
    }

    /// `sanitize_val_alu`: the instruction adds numbers on this path, so it must on all.
    pub(crate) fn sanitize_val_alu(&mut self, insn: &Insn) -> Result<(), Reason> {
        if self.can_skip_alu_sanitation(insn) {
            return Ok(());
        }
        let aux = self.cur_aux();
        update_state(&mut aux.alu_state, &mut aux.alu_limit, (BPF_ALU_NON_POINTER, 0))
    }

    /// `retrieve_ptr_limit`: how far the pointer may move.
    fn retrieve_ptr_limit(&self, ptr: &Reg, mask_to_left: bool) -> Result<u32, Reason> {
        let (max, limit) = match ptr.ty {
            PTR_TO_STACK => {
                let at = ptr.val.var_off.value.wrapping_add(i64::from(ptr.off) as u64);
                (MAX_BPF_STACK as u32 + u32::from(mask_to_left), at.wrapping_neg() as u32)
            }
            PTR_TO_MAP_VALUE => {
                let at = if mask_to_left { ptr.val.smin as u64 } else { ptr.val.umax };
                let max = self.reg_map(ptr).map_or(0, |map| map.value_size);
                (max, at.wrapping_add(i64::from(ptr.off) as u64) as u32)
            }
            _ => return Err(Reason::Type),
        };
        if limit >= max { Err(Reason::Limit) } else { Ok(limit) }
    }

    /// `sanitize_speculative_path`: the path on which the processor guessed wrong; after `insn` its operands are
    /// anything. `false` where there are too many paths.
    pub(crate) fn sanitize_speculative_path(
        &mut self,
        insn: Option<&Insn>,
        next_idx: u32,
        curr_idx: u32,
    ) -> bool {
        let precise = !self.bpf_capable;
        let Some(branch) = self.push_stack(next_idx, curr_idx, true) else { return false };
        if let Some(insn) = insn {
            let regs = &mut branch.cur_mut().regs;
            let mut unknown = |regno: u8| {
                let reg = &mut regs[usize::from(regno)];
                reg.mark_unknown_imprecise();
                reg.precise = precise;
            };
            unknown(insn.dst);
            if insn.code & opcode::X != 0 {
                unknown(insn.src);
            }
        }
        true
    }

    /// `sanitize_ptr_alu`, before the arithmetic is done (`commit` false) and after it.
    pub(crate) fn sanitize_ptr_alu(
        &mut self,
        insn: &Insn,
        ptr: &Reg,
        off: &Reg,
        ptr_is_dst: bool,
        info: &mut SanitizeInfo,
        commit: bool,
    ) -> Result<(), Reason> {
        if self.can_skip_alu_sanitation(insn) {
            return Ok(());
        }
        let off_is_imm = off.val.var_off.is_const();
        if !self.cur.speculative {
            let off_is_neg = off.val.smin < 0;
            let adds = insn.code & op::MASK == op::ADD;
            if !commit {
                if !off_is_imm && (off.val.smin < 0) != (off.val.smax < 0) {
                    return Err(Reason::Bounds);
                }
                info.mask_to_left = adds == off_is_neg;
            }
            let limit = self.retrieve_ptr_limit(ptr, info.mask_to_left)?;
            if commit {
                // The window is as wide as the pointer was seen to move.
                let moved = (info.alu_limit.wrapping_sub(limit) as i32).unsigned_abs();
                let new = (info.alu_state, moved);
                let aux = self.cur_aux();
                update_state(&mut aux.alu_state, &mut aux.alu_limit, new)?;
            } else {
                let mut state = if ptr_is_dst { BPF_ALU_SANITIZE_SRC } else { BPF_ALU_SANITIZE_DST };
                if off_is_neg {
                    state |= BPF_ALU_NEG_VALUE;
                }
                if off_is_imm {
                    state |= BPF_ALU_IMMEDIATE;
                } else {
                    // Paths that differ in masking must not be pruned.
                    self.explore_alu_limits = true;
                }
                update_state(&mut info.alu_state, &mut info.alu_limit, (state, limit))?;
            }
        }
        if commit || off_is_imm {
            return Ok(());
        }
        // Masking may turn the operand into zero: look at what follows then.
        let dst = u32::from(insn.dst);
        let kept = *self.reg(dst);
        if !ptr_is_dst {
            *self.reg_mut(dst) = *ptr;
        }
        let pushed = self.sanitize_speculative_path(None, self.insn_idx + 1, self.insn_idx);
        if pushed {
            *self.reg_mut(dst) = kept;
        }
        if pushed { Ok(()) } else { Err(Reason::Stack) }
    }

    /// `sanitize_err`: the message of a reason. `off_is_dst` where the operand is in the destination register.
    pub(crate) fn sanitize_err(&mut self, insn: &Insn, reason: Reason, off_is_dst: bool) -> Stop {
        let err = "pointer arithmetic with it prohibited for !root";
        let op = if insn.code & op::MASK == op::ADD { "add" } else { "sub" };
        let (dst, src) = (insn.dst, insn.src);
        match reason {
            Reason::Bounds => {
                let reg = if off_is_dst { dst } else { src };
                verbose!(self, "R{reg} has unknown scalar with mixed signed bounds, {err}\n");
            }
            Reason::Type => {
                let reg = if off_is_dst { src } else { dst };
                verbose!(self, "R{reg} has pointer with unsupported alu operation, {err}\n");
            }
            Reason::Paths => {
                verbose!(self, "R{dst} tried to {op} from different maps, paths or scalars, {err}\n");
            }
            Reason::Limit => {
                verbose!(self, "R{dst} tried to {op} beyond pointer bounds, {err}\n");
            }
            Reason::Stack => {
                verbose!(self, "R{dst} could not be pushed for speculative verification, {err}\n");
                return ENOMEM;
            }
        }
        EACCES
    }

    /// `check_stack_access_for_ptr_arithmetic`.
    fn check_stack_arithmetic(&mut self, regno: u32, reg: &Reg, off: i32) -> Res {
        if !reg.val.var_off.is_const() {
            verbose!(
                self,
                "R{regno} variable stack access prohibited for !root, var_off={} off={off}\n",
                reg.val.var_off
            );
            return Err(EACCES);
        }
        if off >= 0 || off < -(MAX_BPF_STACK as i32) {
            verbose!(
                self,
                "R{regno} stack pointer arithmetic goes out of range, prohibited for !root; off={off}\n"
            );
            return Err(EACCES);
        }
        Ok(())
    }

    /// `sanitize_check_bounds`: where a masked pointer ends up must be in bounds. `EOPNOTSUPP` where there is no
    /// saying.
    pub(crate) fn sanitize_check_bounds(&mut self, insn: &Insn) -> Res {
        if self.bypass_spec_v1 {
            return Ok(());
        }
        let dst = u32::from(insn.dst);
        let reg = *self.reg(dst);
        match reg.ty {
            PTR_TO_STACK => {
                let off = reg.off.wrapping_add(reg.val.var_off.value as i32);
                self.check_stack_arithmetic(dst, &reg, off).map_err(|_| EACCES)
            }
            PTR_TO_MAP_VALUE => {
                let access = self.check_map_access(dst, reg.off, 1, false, AccessSrc::Helper);
                if let Err(stop) = access {
                    if let Stop::Unsupported(_) = stop {
                        return Err(stop);
                    }
                    verbose!(
                        self,
                        "R{dst} pointer arithmetic of map value goes out of range, prohibited for !root\n"
                    );
                    return Err(EACCES);
                }
                Ok(())
            }
            _ => Err(EOPNOTSUPP),
        }
    }
}
