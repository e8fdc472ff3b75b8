// SPDX-License-Identifier: GPL-2.0-only
//! Arithmetic on pointers (`adjust_ptr_min_max_vals @ 6.18`): a known operand goes into the fixed offset, an
//! unknown one into the variable offset, and most pointers allow neither.

use skep_isa::{Insn, class};
use skep_uapi::helper::{PTR_MAYBE_NULL, PTR_UNTRUSTED};

use crate::alu::{alu_string, op};
use crate::env::Env;
use crate::planted::{self, Planted};
use crate::reg::Reg;
use crate::reg_type::{
    CONST_PTR_TO_DYNPTR, CONST_PTR_TO_MAP, PTR_TO_BTF_ID, PTR_TO_BUF, PTR_TO_CTX, PTR_TO_FLOW_KEYS,
    PTR_TO_FUNC, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET, PTR_TO_PACKET_META,
    PTR_TO_STACK, PTR_TO_TP_BUFFER, RegType,
};
use crate::sanitize::{self, SanitizeInfo};
use crate::stop::{EACCES, EINVAL, EOPNOTSUPP, Res, verbose, verifier_bug};

/// `BPF_MAX_VAR_OFF`: no offset may be this far from its pointer.
pub(crate) const BPF_MAX_VAR_OFF: i64 = 1 << 29;

impl Env<'_> {
    /// `check_reg_sane_offset`: offsets so far out that sums of them could overflow are refused.
    fn check_reg_sane_offset(&mut self, reg: &Reg, ty: RegType) -> Res {
        let limits = -BPF_MAX_VAR_OFF + 1..BPF_MAX_VAR_OFF;
        let (value, smin) = (reg.val.var_off.value as i64, reg.val.smin);
        if reg.val.var_off.is_const() && !limits.contains(&value) {
            let ty = self.reg_type_str(ty);
            verbose!(self, "math between {ty} pointer and {value} is not allowed\n");
        } else if !limits.contains(&reg.off.into()) {
            let ty = self.reg_type_str(ty);
            verbose!(self, "{ty} pointer offset {} is not allowed\n", reg.off);
        } else if smin == i64::MIN {
            let ty = self.reg_type_str(ty);
            verbose!(
                self,
                "math between {ty} pointer and register with unbounded min value is not allowed\n"
            );
        } else if !limits.contains(&smin) {
            let ty = self.reg_type_str(ty);
            verbose!(self, "value {smin} makes {ty} pointer be out of bounds\n");
        } else {
            return Ok(());
        }
        Err(EINVAL)
    }

    /// Whether arithmetic is done on such a pointer at all.
    fn check_ptr_arithmetic_type(&mut self, dst: u32, ptr: &Reg, off: &Reg, opcode: u8) -> Res {
        let known = off.val.var_off.is_const();
        let adds_zero = known && off.val.smin == 0 && opcode == op::ADD;
        let allowed = match ptr.ty.base() {
            PTR_TO_CTX | PTR_TO_MAP_VALUE | PTR_TO_MAP_KEY | PTR_TO_STACK | PTR_TO_PACKET_META
            | PTR_TO_PACKET | PTR_TO_TP_BUFFER | PTR_TO_BTF_ID | PTR_TO_MEM | PTR_TO_BUF | PTR_TO_FUNC
            | CONST_PTR_TO_DYNPTR => true,
            PTR_TO_FLOW_KEYS => known || adds_zero,
            CONST_PTR_TO_MAP => adds_zero,
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        let ty = self.reg_type_str(ptr.ty);
        verbose!(self, "R{dst} pointer arithmetic on {ty} prohibited\n");
        Err(EACCES)
    }

    /// `adjust_ptr_min_max_vals`: the pointer and the number are copies; one of them is in the destination
    /// register, which gets the result.
    pub(crate) fn adjust_ptr_min_max_vals(
        &mut self,
        insn: &Insn,
        ptr: Reg,
        off: Reg,
        ptr_is_dst: bool,
    ) -> Res {
        let dst = u32::from(insn.dst);
        let opcode = insn.code & op::MASK;
        let val = &off.val;
        let known = val.var_off.is_const();
        if (known && (val.smin != val.smax || val.umin != val.umax))
            || val.smin > val.smax
            || val.umin > val.umax
        {
            // Bounds of a branch that is never taken.
            self.mark_reg_unknown(dst);
            return Ok(());
        }
        if insn.class() != class::ALU64 {
            if opcode == op::SUB && self.allow_ptr_leaks {
                self.mark_reg_unknown(dst);
                return Ok(());
            }
            verbose!(self, "R{dst} 32-bit pointer arithmetic prohibited\n");
            return Err(EACCES);
        }
        if ptr.ty.has(PTR_MAYBE_NULL) && !planted::is(Planted::MoveOrNull) {
            let ty = self.reg_type_str(ptr.ty);
            verbose!(self, "R{dst} pointer arithmetic on {ty} prohibited, null-check it first\n");
            return Err(EACCES);
        }
        if ptr.ty.base() == PTR_TO_MEM && ptr.ty.has(PTR_UNTRUSTED) {
            return Ok(());
        }
        self.check_ptr_arithmetic_type(dst, &ptr, &off, opcode)?;
        let reg = self.reg_mut(dst);
        reg.ty = ptr.ty;
        reg.id = ptr.id;
        self.check_reg_sane_offset(&off, ptr.ty)?;
        self.check_reg_sane_offset(&ptr, ptr.ty)?;
        self.reg_mut(dst).val.unbound_32();

        let mut info = SanitizeInfo::default();
        if sanitize::needed(opcode)
            && let Err(reason) = self.sanitize_ptr_alu(insn, &ptr, &off, ptr_is_dst, &mut info, false)
        {
            let off_is_dst = !ptr_is_dst && !self.profile().offset_is_copied();
            return Err(self.sanitize_err(insn, reason, off_is_dst));
        }
        match opcode {
            op::ADD => self.add_to_ptr(dst, &ptr, &off),
            op::SUB => {
                if !ptr_is_dst {
                    verbose!(self, "R{dst} tried to subtract pointer from scalar\n");
                    return Err(EACCES);
                }
                if ptr.ty == PTR_TO_STACK {
                    verbose!(self, "R{dst} subtraction from stack pointer prohibited\n");
                    return Err(EACCES);
                }
                self.sub_from_ptr(dst, &ptr, &off);
            }
            op::AND | op::OR | op::XOR => {
                verbose!(self, "R{dst} bitwise operator {} on pointer prohibited\n", alu_string(opcode));
                return Err(EACCES);
            }
            _ => {
                verbose!(self, "R{dst} pointer arithmetic with {} operator prohibited\n", alu_string(opcode));
                return Err(EACCES);
            }
        }
        let moved = *self.reg(dst);
        self.check_reg_sane_offset(&moved, ptr.ty)?;
        self.reg_mut(dst).val.sync();
        self.commit_sanitation(insn, &off, ptr_is_dst, &mut info)
    }

    /// The second pass of masking, with the pointer where it ended up.
    fn commit_sanitation(
        &mut self,
        insn: &Insn,
        off: &Reg,
        ptr_is_dst: bool,
        info: &mut SanitizeInfo,
    ) -> Res {
        let bounds = self.sanitize_check_bounds(insn);
        match &bounds {
            Ok(()) => {}
            Err(stop) if *stop == EOPNOTSUPP => {}
            Err(stop) => return Err(stop.clone()),
        }
        if !sanitize::needed(insn.code & op::MASK) {
            return Ok(());
        }
        let moved = *self.reg(insn.dst.into());
        let result = self.sanitize_ptr_alu(insn, &moved, off, true, info, true);
        let skipped = self.can_skip_alu_sanitation(insn) || self.cur.speculative;
        if !skipped && bounds.is_err() && result.is_ok() {
            return Err(verifier_bug!(
                self,
                "Pointer type unsupported by sanitize_check_bounds() not rejected by retrieve_ptr_limit() as required"
            ));
        }
        result.map_err(|reason| self.sanitize_err(insn, reason, !ptr_is_dst))
    }

    fn add_to_ptr(&mut self, dst: u32, ptr: &Reg, off: &Reg) {
        let fixed = i64::from(ptr.off).wrapping_add(off.val.smin);
        if off.val.var_off.is_const() && i64::from(fixed as i32) == fixed {
            return self.move_fixed(dst, ptr, fixed as i32);
        }
        let id = if ptr.is_pkt_pointer() { Some(self.new_id()) } else { None };
        let reg = self.reg_mut(dst);
        let (p, o) = (&ptr.val, &off.val);
        let signed = p.smin.checked_add(o.smin).zip(p.smax.checked_add(o.smax));
        let unsigned = p.umin.checked_add(o.umin).zip(p.umax.checked_add(o.umax));
        (reg.val.smin, reg.val.smax) = signed.unwrap_or((i64::MIN, i64::MAX));
        (reg.val.umin, reg.val.umax) = unsigned.unwrap_or((0, u64::MAX));
        reg.val.var_off = p.var_off.add(o.var_off);
        reg.off = ptr.off;
        reg.extra = ptr.extra;
        if let Some(id) = id {
            // Of the packet behind the sum nothing is known.
            reg.id = id;
            reg.extra = [0; 3];
        }
    }

    fn sub_from_ptr(&mut self, dst: u32, ptr: &Reg, off: &Reg) {
        let fixed = i64::from(ptr.off).wrapping_sub(off.val.smin);
        if off.val.var_off.is_const() && i64::from(fixed as i32) == fixed {
            self.reg_mut(dst).id = ptr.id;
            return self.move_fixed(dst, ptr, fixed as i32);
        }
        let id = if ptr.is_pkt_pointer() { Some(self.new_id()) } else { None };
        let reg = self.reg_mut(dst);
        let (p, o) = (&ptr.val, &off.val);
        let signed = p.smin.checked_sub(o.smax).zip(p.smax.checked_sub(o.smin));
        (reg.val.smin, reg.val.smax) = signed.unwrap_or((i64::MIN, i64::MAX));
        (reg.val.umin, reg.val.umax) =
            if p.umin < o.umax { (0, u64::MAX) } else { (p.umin - o.umax, p.umax.wrapping_sub(o.umin)) };
        reg.val.var_off = p.var_off.sub(o.var_off);
        reg.off = ptr.off;
        reg.extra = ptr.extra;
        if let Some(id) = id {
            reg.id = id;
            if o.smin < 0 {
                reg.extra = [0; 3];
            }
        }
    }

    /// The pointer with another fixed offset; what is known of the variable one stays.
    fn move_fixed(&mut self, dst: u32, ptr: &Reg, off: i32) {
        let reg = self.reg_mut(dst);
        (reg.val.smin, reg.val.smax) = (ptr.val.smin, ptr.val.smax);
        (reg.val.umin, reg.val.umax) = (ptr.val.umin, ptr.val.umax);
        reg.val.var_off = ptr.val.var_off;
        reg.off = off;
        reg.extra = ptr.extra;
    }
}
