// SPDX-License-Identifier: GPL-2.0-only
//! ALU instructions (`check_alu_op`, `adjust_reg_min_max_vals`, `adjust_scalar_min_max_vals @ 6.18`).

use skep_isa::{Insn, class, opcode};

use crate::env::Env;
use crate::planted::{self, Planted};
use crate::reg::{BPF_ADD_CONST, BPF_ADD_CONST32, BPF_ADD_CONST64, DEF_NOT_SUBREG, Reg};
use crate::reg_arg::RegArg;
use crate::reg_type::{PTR_TO_ARENA, SCALAR_VALUE};
use crate::sanitize;
use crate::scalar::Scalar;
use crate::stop::{EACCES, EINVAL, ENOMEM, Res, verbose};

/// `BPF_OP` of an ALU opcode, and its values.
pub(crate) mod op {
    pub(crate) const MASK: u8 = 0xf0;
    pub(crate) const ADD: u8 = 0x00;
    pub(crate) const SUB: u8 = 0x10;
    pub(crate) const MUL: u8 = 0x20;
    pub(crate) const DIV: u8 = 0x30;
    pub(crate) const OR: u8 = 0x40;
    pub(crate) const AND: u8 = 0x50;
    pub(crate) const LSH: u8 = 0x60;
    pub(crate) const RSH: u8 = 0x70;
    pub(crate) const NEG: u8 = 0x80;
    pub(crate) const MOD: u8 = 0x90;
    pub(crate) const XOR: u8 = 0xa0;
    pub(crate) const MOV: u8 = 0xb0;
    pub(crate) const ARSH: u8 = 0xc0;
    pub(crate) const END: u8 = 0xd0;
}

/// `BPF_ADDR_SPACE_CAST`, in the offset of a move.
const BPF_ADDR_SPACE_CAST: i16 = 1;

/// `bpf_alu_string`: the operator of an ALU opcode in messages.
pub(crate) fn alu_string(opcode: u8) -> &'static str {
    match opcode & op::MASK {
        op::ADD => "+=",
        op::SUB => "-=",
        op::MUL => "*=",
        op::DIV => "/=",
        op::OR => "|=",
        op::AND => "&=",
        op::LSH => "<<=",
        op::RSH => ">>=",
        op::NEG => "neg",
        op::MOD => "%=",
        op::XOR => "^=",
        op::MOV => "=",
        op::ARSH => "s>>=",
        op::END => "endian",
        _ => "(null)",
    }
}

/// `zext_32_to_64`.
fn is_u32(reg: &Reg) -> bool {
    reg.val.umax >> 32 == 0
}

/// `coerce_reg_to_size`: what is left of a number in its lowest `size` bytes.
pub(crate) fn coerce_reg_to_size(reg: &mut Reg, size: i32) {
    reg.val.coerce_to_size(size as u32);
}

/// `coerce_reg_to_size_sx`: the same, sign-extended.
pub(crate) fn coerce_reg_to_size_sx(reg: &mut Reg, size: i32) {
    reg.val.coerce_to_size_sx(size as u32);
}

/// `is_safe_to_compute_dst_reg_range`: whether the result's range is worked out at all.
fn has_range(insn: &Insn, src: &Reg) -> bool {
    match insn.code & op::MASK {
        op::ADD | op::SUB | op::NEG | op::END | op::AND | op::XOR | op::OR | op::MUL => true,
        op::LSH | op::RSH | op::ARSH => {
            let val = &src.val;
            let (known, bits) = if insn.class() == class::ALU64 {
                (val.var_off.is_const() && val.smin == val.smax && val.umin == val.umax, 64)
            } else {
                let equal = val.s32_min == val.s32_max && val.u32_min == val.u32_max;
                (val.var_off.subreg_is_const() && equal, 32)
            };
            known && val.umax < bits
        }
        _ => false,
    }
}

impl Env<'_> {
    /// `assign_scalar_id_before_mov`: both sides of a copy get the same id, so that what is learnt of one holds
    /// for the other.
    pub(crate) fn assign_scalar_id_before_mov(&mut self, reg: &mut Reg) {
        if reg.ty != SCALAR_VALUE {
            return;
        }
        if reg.id & BPF_ADD_CONST != 0 {
            reg.clear_scalar_id();
        }
        if reg.id == 0 && !reg.val.var_off.is_const() {
            reg.id = self.new_id();
        }
    }

    fn assign_id(&mut self, regno: u32) -> Reg {
        let mut reg = *self.reg(regno);
        self.assign_scalar_id_before_mov(&mut reg);
        *self.reg_mut(regno) = reg;
        reg
    }

    /// `check_alu_op`.
    pub(crate) fn check_alu_op(&mut self, insn: &Insn) -> Res {
        match insn.code & op::MASK {
            op::END | op::NEG => self.check_unary(insn)?,
            op::MOV => self.check_mov(insn)?,
            opcode if opcode > op::END => {
                verbose!(self, "invalid BPF_ALU opcode {opcode:x}\n");
                return Err(EINVAL);
            }
            _ => self.check_binary(insn)?,
        }
        self.reg_bounds_sanity_check(self.cur.frames.len() - 1, insn.dst.into(), "alu")
    }

    fn check_unary(&mut self, insn: &Insn) -> Res {
        let dst = u32::from(insn.dst);
        let neg = insn.code & op::MASK == op::NEG;
        let from_reg = insn.code & opcode::X != 0;
        if neg {
            if from_reg || insn.src != 0 || insn.off != 0 || insn.imm != 0 {
                verbose!(self, "BPF_NEG uses reserved fields\n");
                return Err(EINVAL);
            }
        } else if insn.src != 0
            || insn.off != 0
            || !matches!(insn.imm, 16 | 32 | 64)
            || (insn.class() == class::ALU64 && from_reg)
        {
            verbose!(self, "BPF_END uses reserved fields\n");
            return Err(EINVAL);
        }
        self.check_reg_arg(dst, RegArg::Src)?;
        if self.is_pointer_value(dst) {
            verbose!(self, "R{dst} pointer arithmetic prohibited\n");
            return Err(EACCES);
        }
        let tracked = if neg { self.profile().tracks_negation() } else { self.profile().tracks_byte_swaps() };
        if tracked && self.reg(dst).ty == SCALAR_VALUE {
            self.check_reg_arg(dst, RegArg::DstNoMark)?;
            let src = *self.reg(dst);
            self.adjust_scalar_min_max_vals(insn, &src)
        } else {
            self.check_reg_arg(dst, RegArg::Dst)
        }
    }

    fn check_mov(&mut self, insn: &Insn) -> Res {
        let (dst, src) = (u32::from(insn.dst), u32::from(insn.src));
        let from_reg = insn.code & opcode::X != 0;
        let wide = insn.class() == class::ALU64;
        if from_reg {
            self.check_mov_fields(insn, wide)?;
            self.check_reg_arg(src, RegArg::Src)?;
        } else if insn.src != 0 || insn.off != 0 {
            verbose!(self, "BPF_MOV uses reserved fields\n");
            return Err(EINVAL);
        }
        self.check_reg_arg(dst, RegArg::DstNoMark)?;
        match (from_reg, wide) {
            (true, true) => self.mov_reg_64(insn, dst, src),
            (true, false) => self.mov_reg_32(insn, dst, src),
            (false, _) => {
                self.mark_reg_unknown(dst);
                let imm = if wide || planted::is(Planted::MovImmSign) {
                    i64::from(insn.imm) as u64
                } else {
                    u64::from(insn.imm as u32)
                };
                let reg = self.reg_mut(dst);
                reg.ty = SCALAR_VALUE;
                reg.mark_known(imm);
                Ok(())
            }
        }
    }

    /// Reserved fields of a move between registers.
    fn check_mov_fields(&mut self, insn: &Insn, wide: bool) -> Res {
        if wide && insn.off == BPF_ADDR_SPACE_CAST && self.profile().has_may_goto() {
            if insn.imm != 1 && insn.imm != 1 << 16 {
                verbose!(self, "addr_space_cast insn can only convert between address space 1 and 0\n");
                return Err(EINVAL);
            }
            if !self.has_arena() {
                verbose!(
                    self,
                    "addr_space_cast insn can only be used in a program that has an associated arena\n"
                );
                return Err(EINVAL);
            }
            return self.unsupported("arenas");
        }
        let extends = matches!(insn.off, 8 | 16) || (wide && insn.off == 32);
        let extends = insn.off == 0 || (extends && self.profile().has_cpu_v4());
        if !extends || insn.imm != 0 {
            verbose!(self, "BPF_MOV uses reserved fields\n");
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Whether a map of the program is an arena.
    pub(crate) fn has_arena(&self) -> bool {
        self.used_maps.iter().any(|&map| self.map(map).map_type == skep_uapi::MapType::ARENA)
    }

    /// `r1 = r2`, `r1 = (s8)r2` and the like.
    fn mov_reg_64(&mut self, insn: &Insn, dst: u32, src: u32) -> Res {
        if insn.off == 0 {
            let source = self.assign_id(src);
            *self.reg_mut(dst) = Reg { subreg_def: DEF_NOT_SUBREG, ..source };
            return Ok(());
        }
        if self.is_pointer_value(src) {
            verbose!(self, "R{src} sign-extension part of pointer\n");
            return Err(EACCES);
        }
        let mut reg = *self.reg(src);
        if reg.ty != SCALAR_VALUE {
            self.mark_reg_unknown(dst);
            return Ok(());
        }
        if reg.val.umax < 1 << (insn.off - 1) {
            reg = self.assign_id(src);
        } else {
            reg.clear_scalar_id();
        }
        coerce_reg_to_size_sx(&mut reg, i32::from(insn.off >> 3));
        reg.subreg_def = DEF_NOT_SUBREG;
        *self.reg_mut(dst) = reg;
        Ok(())
    }

    /// `w1 = w2`, `w1 = (s8)w2` and the like.
    fn mov_reg_32(&mut self, insn: &Insn, dst: u32, src: u32) -> Res {
        if self.is_pointer_value(src) {
            verbose!(self, "R{src} partial copy of pointer\n");
            return Err(EACCES);
        }
        let mut reg = *self.reg(src);
        if reg.ty == SCALAR_VALUE {
            let same = if insn.off == 0 { is_u32(&reg) } else { reg.val.umax < 1 << (insn.off - 1) };
            if same {
                reg = self.assign_id(src);
            } else {
                // What is learnt of the one does not hold for the other.
                reg.clear_scalar_id();
            }
            reg.subreg_def = self.insn_idx as i32 + 1;
            if insn.off != 0 {
                reg.val.coerce_subreg_to_size_sx(insn.off as u32 >> 3);
            }
            *self.reg_mut(dst) = reg;
        } else {
            self.mark_reg_unknown(dst);
        }
        let reg = self.reg_mut(dst);
        if !planted::is(Planted::Mov32Bounds) {
            reg.val.zext_32_to_64();
        }
        reg.val.sync();
        Ok(())
    }

    fn check_binary(&mut self, insn: &Insn) -> Res {
        let opcode = insn.code & op::MASK;
        let divides = matches!(opcode, op::MOD | op::DIV);
        let from_reg = insn.code & opcode::X != 0;
        let signed = insn.off == 1 && divides && self.profile().has_cpu_v4();
        let bad_off = insn.off != 0 && !signed;
        if bad_off || (from_reg && insn.imm != 0) || (!from_reg && insn.src != 0) {
            verbose!(self, "BPF_ALU uses reserved fields\n");
            return Err(EINVAL);
        }
        if from_reg {
            self.check_reg_arg(insn.src.into(), RegArg::Src)?;
        }
        self.check_reg_arg(insn.dst.into(), RegArg::Src)?;
        if divides && !from_reg && insn.imm == 0 {
            verbose!(self, "div by zero\n");
            return Err(EINVAL);
        }
        if matches!(opcode, op::LSH | op::RSH | op::ARSH) && !from_reg {
            let size = if insn.class() == class::ALU64 { 64 } else { 32 };
            if insn.imm < 0 || insn.imm >= size {
                verbose!(self, "invalid shift {}\n", insn.imm);
                return Err(EINVAL);
            }
        }
        self.check_reg_arg(insn.dst.into(), RegArg::DstNoMark)?;
        self.adjust_reg_min_max_vals(insn)
    }

    /// `adjust_reg_min_max_vals`: arithmetic on what may be pointers.
    fn adjust_reg_min_max_vals(&mut self, insn: &Insn) -> Res {
        let (dst, src) = (u32::from(insn.dst), u32::from(insn.src));
        let opcode = insn.code & op::MASK;
        let dst_reg = *self.reg(dst);
        if dst_reg.ty == PTR_TO_ARENA {
            return self.unsupported("arenas");
        }
        let dst_is_ptr = dst_reg.ty != SCALAR_VALUE;
        let src_reg = if insn.code & opcode::X != 0 {
            let given = *self.reg(src);
            if given.ty != SCALAR_VALUE {
                if dst_is_ptr {
                    // The distance of two pointers is a number, and all that may be asked of them.
                    if opcode == op::SUB && self.allow_ptr_leaks {
                        self.mark_reg_unknown(dst);
                        return Ok(());
                    }
                    verbose!(self, "R{dst} pointer {} pointer prohibited\n", alu_string(opcode));
                    return Err(EACCES);
                }
                self.mark_chain_precision(dst)?;
                let off = *self.reg(dst);
                return self.adjust_ptr_min_max_vals(insn, given, off, false);
            }
            if dst_is_ptr {
                self.mark_chain_precision(src)?;
                let off = *self.reg(src);
                return self.adjust_ptr_min_max_vals(insn, dst_reg, off, true);
            }
            if dst_reg.precise {
                self.mark_chain_precision(src)?;
            }
            *self.reg(src)
        } else {
            let mut known = Reg { ty: SCALAR_VALUE, ..Reg::ZEROED };
            known.mark_known(i64::from(insn.imm) as u64);
            if dst_is_ptr {
                return self.adjust_ptr_min_max_vals(insn, dst_reg, known, true);
            }
            known
        };
        self.adjust_scalar_min_max_vals(insn, &src_reg)?;
        self.link_after_add(insn, &dst_reg, &src_reg);
        Ok(())
    }

    /// A number stays linked to the one that it was copied from over the addition of a constant, once. A 32-bit
    /// addition keeps the link only if the number had no more bits before it.
    fn link_after_add(&mut self, insn: &Insn, before: &Reg, src: &Reg) {
        let opcode = insn.code & op::MASK;
        let alu32 = insn.class() != class::ALU64;
        let links = self.bpf_capable && matches!(opcode, op::ADD | op::SUB);
        let to_itself = insn.code & opcode::X != 0 && insn.src == insn.dst;
        let added = src.val.const_value(alu32).filter(|_| src.ty == SCALAR_VALUE && links && !to_itself);
        let fits =
            |value: u64| if alu32 { before.val.umax >> 32 == 0 } else { i32::try_from(value as i64).is_ok() };
        let off = added.filter(|&value| fits(value)).and_then(|value| {
            let value = value as i32;
            if opcode == op::SUB { value.checked_neg() } else { Some(value) }
        });
        let reg = self.reg_mut(insn.dst.into());
        if added.is_none() || reg.id == 0 {
            reg.clear_scalar_id();
            return;
        }
        match off {
            Some(off) if reg.id & BPF_ADD_CONST == 0 => {
                reg.id |= if alu32 { BPF_ADD_CONST32 } else { BPF_ADD_CONST64 };
                reg.off = off;
            }
            _ => {
                reg.clear_scalar_id();
            }
        }
    }

    /// `maybe_fork_scalars`: of a number that is 0 or -1, as a comparison leaves it, both are followed: 0 on a path of
    /// its own, from this instruction on.
    fn maybe_fork_scalars(&mut self, dst: u32, src: &Scalar) -> Res {
        let val = self.reg(dst).val;
        let wide = (val.smin, val.smax) == (-1, 0);
        let half = (val.s32_min, val.s32_max) == (-1, 0);
        if !src.var_off.is_const() || !(wide || half) {
            return Ok(());
        }
        let at = self.insn_idx;
        let Some(branch) = self.push_stack(at, at, false) else { return Err(ENOMEM) };
        let zero = &mut branch.cur_mut().regs[dst as usize];
        if wide {
            zero.mark_known(0);
            self.reg_mut(dst).mark_known(u64::MAX);
        } else {
            zero.val.know_32(0);
            self.reg_mut(dst).val.know_32(u32::MAX);
        }
        Ok(())
    }

    /// `adjust_scalar_min_max_vals`: arithmetic on numbers; `dst` is the instruction's.
    fn adjust_scalar_min_max_vals(&mut self, insn: &Insn, src: &Reg) -> Res {
        let dst = u32::from(insn.dst);
        let opcode = insn.code & op::MASK;
        let alu32 = insn.class() != class::ALU64;
        if !has_range(insn, src) {
            self.mark_reg_unknown(dst);
            return Ok(());
        }
        if sanitize::needed(opcode)
            && let Err(reason) = self.sanitize_val_alu(insn)
        {
            return Err(self.sanitize_err(insn, reason, true));
        }
        let src = &src.val;
        if matches!(opcode, op::AND | op::OR) {
            self.maybe_fork_scalars(dst, src)?;
        }
        let reg = self.reg_mut(dst);
        let val = &mut reg.val;
        match opcode {
            op::END => {
                // The machine is little-endian.
                let swap = !alu32 || insn.code & opcode::X != 0;
                val.swap_bytes(insn.imm as u32 / 8, swap);
                if swap || insn.imm != 64 {
                    reg.clear_scalar_id();
                }
            }
            op::ADD => val.add(src),
            op::SUB => val.sub(src),
            op::NEG => val.neg(),
            op::MUL => val.mul(src),
            op::AND => val.and(src),
            op::OR => val.or(src),
            op::XOR => val.xor(src),
            op::LSH if alu32 => val.lsh_32(src),
            op::LSH => val.lsh(src),
            op::RSH if alu32 => val.rsh_32(src),
            op::RSH => val.rsh(src),
            op::ARSH if alu32 => val.arsh_32(src),
            _ => val.arsh(src),
        }
        // Where the kernel marks the register as known, ids go with it.
        let bitwise = matches!(opcode, op::AND | op::OR | op::XOR);
        if opcode == op::NEG || (bitwise && src.var_off.is_const() && reg.val.var_off.is_const()) {
            let val = reg.val;
            reg.mark_known(0);
            reg.val = val;
        }
        if alu32 && opcode != op::END {
            reg.val.zext_32_to_64();
        }
        reg.val.sync();
        Ok(())
    }
}
