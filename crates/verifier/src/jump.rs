// SPDX-License-Identifier: GPL-2.0-only
//! Conditional jumps: which way the program may go, and what each way says of the registers compared
//! (`check_cond_jmp_op`, `is_branch_taken`, `reg_set_min_max @ 6.18`).

use skep_isa::{Insn, class, opcode};
use skep_uapi::MapType;
use skep_uapi::helper::{MEM_ALLOC, NON_OWN_REF, PTR_MAYBE_NULL, PTR_UNTRUSTED};

use crate::alu::op;
use crate::backtrack::{INSN_F_DST_REG_STACK, INSN_F_SRC_REG_STACK};
use crate::env::{Env, InsnAux};
use crate::linked_regs::{LinkedReg, LinkedRegs};
use crate::log;
use crate::map::{Map, field};
use crate::mem::{is_pointer_value, is_trusted_reg};
use crate::planted::{self, Planted};
use crate::profile::Profile;
use crate::ptr_alu::BPF_MAX_VAR_OFF;
use crate::reg::{BPF_ADD_CONST, BPF_ADD_CONST32, Reg};
use crate::reg_arg::RegArg;
use crate::reg_type::{
    CONST_PTR_TO_MAP, PTR_TO_BTF_ID, PTR_TO_BUF, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET,
    PTR_TO_PACKET_END, PTR_TO_PACKET_META, PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_STACK, PTR_TO_TCP_SOCK,
    PTR_TO_XDP_SOCK, RegType, SCALAR_VALUE,
};
use crate::scalar::{Scalar, Sides, branch_taken, cond, flip, invert};
use crate::state::{BPF_REG_FP, VerifierState};
use crate::stop::{EACCES, EFAULT, EINVAL, ENOMEM, Res, verbose};

/// `MAX_PACKET_OFF`: no packet pointer is known to reach further.
pub(crate) const MAX_PACKET_OFF: u64 = 0xffff;
/// `AT_PKT_END`: range of a packet pointer at or behind the end of the packet.
const AT_PKT_END: i32 = -1;
/// `BEYOND_PKT_END`: range of a packet pointer behind the end of the packet.
const BEYOND_PKT_END: i32 = -2;

/// `reg_not_null`: a pointer that is certainly valid.
fn reg_not_null(profile: Profile, reg: &Reg) -> bool {
    let far = reg.val.smin <= -BPF_MAX_VAR_OFF || reg.val.smax >= BPF_MAX_VAR_OFF;
    if reg.ty.may_be_null() || (far && profile.far_pointers_may_be_null()) {
        return false;
    }
    let more = profile.knows_more_non_null_pointers();
    match reg.ty.base() {
        PTR_TO_SOCKET | PTR_TO_TCP_SOCK | PTR_TO_MAP_VALUE | PTR_TO_MAP_KEY | PTR_TO_SOCK_COMMON => true,
        PTR_TO_XDP_SOCK | PTR_TO_BUF => profile.far_pointers_may_be_null(),
        CONST_PTR_TO_MAP => more,
        PTR_TO_BTF_ID => more && is_trusted_reg(reg),
        PTR_TO_MEM => more && !reg.ty.has(PTR_UNTRUSTED),
        _ => false,
    }
}

/// `reg_is_pkt_pointer_any`.
fn is_pkt_pointer_any(reg: &Reg) -> bool {
    reg.is_pkt_pointer() || reg.ty == PTR_TO_PACKET_END
}

/// `reg_is_init_pkt_pointer`: a packet pointer that nothing was added to.
fn is_init_pkt_pointer(reg: &Reg, ty: RegType) -> bool {
    reg.ty == ty && reg.id == 0 && reg.off == 0 && reg.val.var_off.equals_const(0)
}

/// `reg_const_value` of a number.
fn const_scalar(reg: &Reg, is_jmp32: bool) -> Option<u64> {
    reg.val.const_value(is_jmp32).filter(|_| reg.ty == SCALAR_VALUE)
}

/// `is_pkt_ptr_branch_taken`: comparisons with the end of the packet whose outcome an earlier one decided.
fn pkt_branch_taken(dst: &Reg, src: &Reg, opcode: u8) -> Option<bool> {
    let (pkt, opcode) = if src.ty == PTR_TO_PACKET_END {
        (dst, opcode)
    } else if dst.ty == PTR_TO_PACKET_END {
        (src, flip(opcode))
    } else {
        return None;
    };
    match (opcode, pkt.range()) {
        (cond::JLE | cond::JGT, BEYOND_PKT_END) => Some(opcode == cond::JGT),
        (cond::JLT | cond::JGE, BEYOND_PKT_END | AT_PKT_END) => Some(opcode == cond::JGE),
        _ => None,
    }
}

/// `is_branch_taken`: whether `reg1 <opcode> reg2` holds, where that is certain.
fn is_branch_taken(profile: Profile, reg1: &Reg, reg2: &Reg, opcode: u8, is_jmp32: bool) -> Option<bool> {
    if is_pkt_pointer_any(reg1) && is_pkt_pointer_any(reg2) && !is_jmp32 {
        return pkt_branch_taken(reg1, reg2, opcode);
    }
    if is_pointer_value(false, reg1) || is_pointer_value(false, reg2) {
        let (ptr, value, opcode) = match const_scalar(reg2, is_jmp32) {
            Some(value) => (reg1, value, opcode),
            None => (reg2, const_scalar(reg1, is_jmp32)?, flip(opcode)),
        };
        if !reg_not_null(profile, ptr) || value != 0 {
            return None;
        }
        return match opcode {
            cond::JEQ => Some(false),
            cond::JNE => Some(true),
            _ => None,
        };
    }
    branch_taken(&reg1.val, &reg2.val, opcode, is_jmp32)
}

/// `mark_ptr_not_null_reg`: what a pointer is once it is known to be one.
pub(crate) fn mark_ptr_not_null_reg(maps: &[Map<'_>], reg: &mut Reg) {
    let map = reg.map().filter(|_| reg.ty.base() == PTR_TO_MAP_VALUE).map(|m| &maps[m.index()]);
    let Some(map) = map else {
        reg.ty = reg.ty.without(PTR_MAYBE_NULL);
        return;
    };
    if let Some(inner) = map.inner {
        reg.ty = CONST_PTR_TO_MAP;
        reg.set_map(inner);
        if maps[inner.index()].record.has(field::TIMER | field::WORKQUEUE | field::TASK_WORK) {
            // Two lookups may give two different maps.
            reg.set_map_uid(reg.id);
        }
        return;
    }
    reg.ty = match map.map_type {
        MapType::XSKMAP => PTR_TO_XDP_SOCK,
        MapType::SOCKMAP | MapType::SOCKHASH => PTR_TO_SOCKET,
        _ => PTR_TO_MAP_VALUE,
    };
}

/// `reg_may_point_to_spin_lock`.
pub(crate) fn may_point_to_spin_lock(maps: &[Map<'_>], reg: &Reg) -> bool {
    reg.ty == PTR_TO_MAP_VALUE
        && reg.map().is_some_and(|m| maps[m.index()].record.has(field::SPIN_LOCK | field::RES_SPIN_LOCK))
}

/// `mark_ptr_or_null_reg`.
fn mark_ptr_or_null_reg(maps: &[Map<'_>], reg: &mut Reg, id: u32, is_null: bool) {
    if !reg.ty.may_be_null() || reg.id != id || reg.id == 0 {
        return;
    }
    if reg.val.smin != 0 || reg.val.smax != 0 || !reg.val.var_off.equals_const(0) {
        return;
    }
    if planted::is(Planted::MoveOrNull) {
        reg.off = 0;
    }
    if reg.off != 0 && !reg.ty.has(MEM_ALLOC | NON_OWN_REF) {
        return;
    }
    if is_null {
        reg.ty = SCALAR_VALUE;
        reg.id = 0;
        reg.ref_obj_id = 0;
        return;
    }
    mark_ptr_not_null_reg(maps, reg);
    if !may_point_to_spin_lock(maps, reg) {
        reg.id = 0;
    }
}

/// `mark_ptr_or_null_regs`: all copies of a pointer that was compared with null.
fn mark_ptr_or_null_regs(maps: &[Map<'_>], st: &mut VerifierState, regno: u32, is_null: bool) {
    let reg = st.cur().regs[regno as usize];
    if reg.ref_obj_id != 0 && reg.ref_obj_id == reg.id && is_null {
        // A reference to nothing need not be released.
        let _ = st.release_reference_nomark(reg.id);
    }
    st.for_each_reg(|r| mark_ptr_or_null_reg(maps, r, reg.id, is_null));
}

/// `find_good_pkt_pointers`: pointers of the same origin may be read up to what was compared with the end.
fn find_good_pkt_pointers(st: &mut VerifierState, dst: &Reg, range_right_open: bool) {
    if dst.off < 0 || (dst.off == 0 && range_right_open) {
        return;
    }
    if dst.val.umax > MAX_PACKET_OFF || dst.val.umax + dst.off as u64 > MAX_PACKET_OFF {
        return;
    }
    let new_range = dst.off + i32::from(range_right_open) + i32::from(planted::is(Planted::PacketOneMore));
    st.for_each_reg(|reg| {
        if reg.ty == dst.ty && reg.id == dst.id {
            reg.set_range(reg.range().max(new_range));
        }
    });
}

/// `mark_pkt_end`.
fn mark_pkt_end(st: &mut VerifierState, regno: u32, range_open: bool) {
    let reg = &mut st.cur_mut().regs[regno as usize];
    if reg.ty == PTR_TO_PACKET {
        reg.set_range(if range_open { BEYOND_PKT_END } else { AT_PKT_END });
    }
}

/// `try_match_pkt_pointers`: a packet pointer compared with the end, or metadata with the start of the packet.
fn try_match_pkt_pointers(
    insn: &Insn,
    dst: &Reg,
    src: &Reg,
    this: &mut VerifierState,
    other: &mut VerifierState,
) -> bool {
    if insn.code & opcode::X == 0 || insn.class() == class::JMP32 {
        return false;
    }
    let is_pair = |a: &Reg, b: &Reg| {
        (a.ty == PTR_TO_PACKET && b.ty == PTR_TO_PACKET_END)
            || (a.ty == PTR_TO_PACKET_META && is_init_pkt_pointer(b, PTR_TO_PACKET))
    };
    let opcode = insn.code & op::MASK;
    let (ptr, regno, opcode) = if is_pair(dst, src) {
        (dst, insn.dst, opcode)
    } else if is_pair(src, dst) {
        (src, insn.src, flip(opcode))
    } else {
        return false;
    };
    // Where the pointer is good, whether it may reach one byte further, and where it is at the end.
    let (good, open, end) = match opcode {
        cond::JGT => (this, false, other),
        cond::JLT => (other, true, this),
        cond::JGE => (this, true, other),
        cond::JLE => (other, false, this),
        _ => return false,
    };
    find_good_pkt_pointers(good, ptr, open);
    mark_pkt_end(end, regno.into(), !open);
    true
}

/// `collect_linked_regs`: all that have the same id; those that there is no room for lose it.
fn collect_linked_regs(aux: &[InsnAux], st: &mut VerifierState, id: u32, linked: &mut LinkedRegs) {
    let id = id & !BPF_ADD_CONST;
    let mut collect = |reg: &mut Reg, frameno: usize, regno_or_spi: usize, is_reg: bool| {
        if reg.ty != SCALAR_VALUE || reg.id & !BPF_ADD_CONST != id {
            return;
        }
        let entry = LinkedReg { frameno: frameno as u32, is_reg, regno_or_spi: regno_or_spi as u32 };
        if !linked.push(entry) {
            reg.clear_scalar_id();
        }
    };
    for i in (0..st.frames.len()).rev() {
        let live = aux[st.frame_insn_idx(i as u32) as usize].live_regs_before;
        let frame = &mut st.frames[i];
        for (j, reg) in frame.regs[..BPF_REG_FP as usize].iter_mut().enumerate() {
            if live & 1 << j != 0 {
                collect(reg, i, j, true);
            }
        }
        for (j, slot) in frame.stack.iter_mut().enumerate() {
            if slot.is_spilled() {
                collect(&mut slot.spilled, i, j, false);
            }
        }
    }
}

/// `sync_linked_regs`: what was learnt of a register of the current frame holds for those linked to it.
fn sync_linked_regs(st: &mut VerifierState, regno: u32, linked: &LinkedRegs) {
    let curframe = st.curframe();
    let known = st.cur().regs[regno as usize];
    for entry in linked.as_slice() {
        let frame = &mut st.frames[entry.frameno as usize];
        let at = entry.regno_or_spi as usize;
        if entry.is_reg && entry.frameno == curframe && entry.regno_or_spi == regno {
            continue;
        }
        let reg = if entry.is_reg { &mut frame.regs[at] } else { &mut frame.stack[at].spilled };
        if reg.ty != SCALAR_VALUE || reg.id & !BPF_ADD_CONST != known.id & !BPF_ADD_CONST {
            continue;
        }
        // A distance in 32 bits is none in 64.
        if (reg.id ^ known.id) & BPF_ADD_CONST == BPF_ADD_CONST {
            continue;
        }
        if (reg.id & BPF_ADD_CONST == 0 && known.id & BPF_ADD_CONST == 0) || reg.off == known.off {
            *reg = Reg { subreg_def: reg.subreg_def, ..known };
        } else {
            let delta = i64::from(reg.off) - i64::from(known.off);
            *reg = Reg { off: reg.off, id: reg.id, subreg_def: reg.subreg_def, ..known };
            reg.val.add(&Scalar::constant(delta as u64));
            if (reg.id | known.id) & BPF_ADD_CONST32 != 0 {
                reg.val.zext_32_to_64();
            }
            reg.val.sync();
        }
    }
}

impl Env<'_> {
    /// `check_cond_jmp_op`.
    pub(crate) fn check_cond_jmp_op(&mut self, insn: &Insn, insn_idx: &mut u32) -> Res {
        let opcode = insn.code & op::MASK;
        if opcode == opcode::JA & op::MASK || opcode > opcode::JCOND & op::MASK {
            verbose!(self, "invalid BPF_JMP/JMP32 opcode {opcode:x}\n");
            return Err(EINVAL);
        }
        if opcode == opcode::JCOND & op::MASK {
            return self.check_may_goto(insn, insn_idx);
        }
        let (dst, src) = (u32::from(insn.dst), u32::from(insn.src));
        let from_reg = insn.code & opcode::X != 0;
        let is_jmp32 = insn.class() == class::JMP32;
        let src_reg = self.check_jump_operands(insn)?;
        let dst_reg = *self.reg(dst);

        let pred = is_branch_taken(self.profile(), &dst_reg, &src_reg, opcode, is_jmp32);
        if pred.is_some() {
            if !is_pointer_value(false, &dst_reg) {
                self.mark_chain_precision(dst)?;
            }
            if from_reg && !is_pointer_value(false, &src_reg) {
                self.mark_chain_precision(src)?;
            }
        }
        if let Some(taken) = pred {
            return self.follow_one(insn, insn_idx, taken);
        }

        let mut linked = LinkedRegs::default();
        if from_reg && src_reg.ty == SCALAR_VALUE && src_reg.id != 0 {
            collect_linked_regs(&self.aux, &mut self.cur, src_reg.id, &mut linked);
        }
        let dst_reg = *self.reg(dst);
        if dst_reg.ty == SCALAR_VALUE && dst_reg.id != 0 {
            collect_linked_regs(&self.aux, &mut self.cur, dst_reg.id, &mut linked);
        }
        if linked.as_slice().len() > 1 {
            self.push_jmp_history(0, linked.pack())?;
        }
        let target = insn_idx.wrapping_add_signed(insn.off.into()).wrapping_add(1);
        if self.push_stack(target, *insn_idx, false).is_none() {
            return Err(self.profile().too_many_paths());
        }
        let fake = if from_reg { None } else { Some(src_reg) };
        self.reg_set_min_max(dst, src, fake, opcode, is_jmp32)?;
        if from_reg {
            self.sync_branches(src, &linked);
        }
        self.sync_branches(dst, &linked);
        self.learn_of_pointers(insn, opcode, is_jmp32)?;
        self.log_branch();
        Ok(())
    }

    fn log_branch(&mut self) {
        if self.log.level & (log::LEVEL1 | log::LEVEL2) != 0 {
            self.print_insn_state(self.cur.curframe());
        }
    }

    /// Operands and reserved fields. Gives the second side, which is made up where it is a constant.
    fn check_jump_operands(&mut self, insn: &Insn) -> Res<Reg> {
        let (dst, src) = (u32::from(insn.dst), u32::from(insn.src));
        self.check_reg_arg(dst, RegArg::Src)?;
        let mut flags = 0;
        let src_reg;
        if insn.code & opcode::X != 0 {
            if insn.imm != 0 {
                verbose!(self, "BPF_JMP/JMP32 uses reserved fields\n");
                return Err(EINVAL);
            }
            self.check_reg_arg(src, RegArg::Src)?;
            src_reg = *self.reg(src);
            let packets = is_pkt_pointer_any(self.reg(dst)) && is_pkt_pointer_any(&src_reg);
            if !packets && self.is_pointer_value(src) {
                verbose!(self, "R{src} pointer comparison prohibited\n");
                return Err(EACCES);
            }
            if src_reg.ty == PTR_TO_STACK {
                flags |= INSN_F_SRC_REG_STACK;
            }
        } else {
            if insn.src != 0 {
                verbose!(self, "BPF_JMP/JMP32 uses reserved fields\n");
                return Err(EINVAL);
            }
            let mut known = Reg { ty: SCALAR_VALUE, ..Reg::ZEROED };
            known.mark_known(i64::from(insn.imm) as u64);
            src_reg = known;
        }
        if self.reg(dst).ty == PTR_TO_STACK {
            flags |= INSN_F_DST_REG_STACK;
        }
        if flags != 0 {
            self.push_jmp_history(flags, 0)?;
        }
        Ok(src_reg)
    }

    /// `may_goto`: on with the loop, or out of it; the kernel counts.
    fn check_may_goto(&mut self, insn: &Insn, insn_idx: &mut u32) -> Res {
        let idx = *insn_idx;
        if insn.code != opcode::JCOND || insn.src != 0 || insn.dst != 0 || insn.imm != 0 {
            verbose!(self, "invalid may_goto imm {}\n", insn.imm);
            return Err(EINVAL);
        }
        let prev = self.cur.parent.and_then(|parent| self.find_prev_entry(parent, idx));
        if self.push_stack(idx + 1, idx, false).is_none() {
            return Err(ENOMEM);
        }
        if let Some(mut elem) = self.stack.pop() {
            elem.st.may_goto_depth += 1;
            if let Some(prev) = prev {
                self.widen_imprecise_scalars(prev, &mut elem.st);
            }
            self.stack.push(elem);
        }
        *insn_idx = insn_idx.wrapping_add_signed(insn.off.into());
        Ok(())
    }

    /// The one way that the program goes; the processor may guess the other.
    fn follow_one(&mut self, insn: &Insn, insn_idx: &mut u32, taken: bool) -> Res {
        let target = insn_idx.wrapping_add_signed(insn.off.into());
        if !self.bypass_spec_v1 {
            let guessed = if taken { *insn_idx } else { target };
            if !self.sanitize_speculative_path(Some(insn), guessed.wrapping_add(1), *insn_idx) {
                return Err(EFAULT);
            }
        }
        self.log_branch();
        if taken {
            *insn_idx = target;
        }
        Ok(())
    }

    /// `reg_set_min_max`: what the condition says of both sides on both branches. A constant side is in no
    /// register, and is given.
    fn reg_set_min_max(&mut self, dst: u32, src: u32, fake: Option<Reg>, opcode: u8, is_jmp32: bool) -> Res {
        let dst_reg = *self.reg(dst);
        let src_reg = fake.unwrap_or(*self.reg(src));
        if dst_reg.ty != SCALAR_VALUE || src_reg.ty != SCALAR_VALUE {
            return Ok(());
        }
        let same = fake.is_none() && dst == src;
        let mut not_taken = Sides::new(dst_reg.val, src_reg.val, same);
        not_taken.refine(invert(opcode), is_jmp32);
        let learnt = if planted::is(Planted::FakeReg) { *not_taken.second() } else { src_reg.val };
        let mut taken = Sides::new(dst_reg.val, learnt, same);
        taken.refine(opcode, is_jmp32);
        let store =
            |st: &mut VerifierState, regno: u32, val: Scalar| st.cur_mut().regs[regno as usize].val = val;
        let mut result = Ok(());
        for (is_taken, sides) in [(true, &taken), (false, &not_taken)] {
            let mut first = *sides.first();
            for is_first in [true, false] {
                let ctx = match (is_taken, is_first) {
                    (true, true) => "true_reg1",
                    (true, false) => "true_reg2",
                    (false, true) => "false_reg1",
                    (false, false) => "false_reg2",
                };
                // Of one register on both sides, what was forgotten with the first is forgotten.
                let mut val = if is_first || same { first } else { *sides.second() };
                if result.is_ok() {
                    match self.scalar_sanity_check(&val, ctx) {
                        Ok(replaced) => val = replaced.unwrap_or(val),
                        Err(stop) => result = Err(stop),
                    }
                }
                if is_first {
                    first = val;
                }
                let regno = match (is_first, fake.is_some()) {
                    (true, _) => dst,
                    (false, false) => src,
                    (false, true) => continue,
                };
                if is_taken {
                    if let Some(elem) = self.stack.last_mut() {
                        store(&mut elem.st, regno, val);
                    }
                } else {
                    store(&mut self.cur, regno, val);
                }
            }
        }
        result
    }

    /// What was learnt of a register goes to those linked to it, on both branches.
    fn sync_branches(&mut self, regno: u32, linked: &LinkedRegs) {
        let reg = *self.reg(regno);
        let Some(elem) = self.stack.last_mut() else { return };
        if reg.ty == SCALAR_VALUE && reg.id != 0 && reg.id == elem.st.cur().regs[regno as usize].id {
            sync_linked_regs(&mut self.cur, regno, linked);
            sync_linked_regs(&mut elem.st, regno, linked);
        }
    }

    /// Comparisons of pointers: with one another, with null, with the end of the packet.
    fn learn_of_pointers(&mut self, insn: &Insn, opcode: u8, is_jmp32: bool) -> Res {
        let (dst, src) = (u32::from(insn.dst), u32::from(insn.src));
        let from_reg = insn.code & opcode::X != 0;
        let (dst_reg, src_reg) = (*self.reg(dst), *self.reg(src.min(BPF_REG_FP)));
        let maps = &self.maps;
        let Some(elem) = self.stack.last_mut() else { return Err(EFAULT) };
        let other = &mut elem.st;
        if !is_jmp32
            && from_reg
            && is_pointer_value(false, &src_reg)
            && is_pointer_value(false, &dst_reg)
            && src_reg.ty.may_be_null() != dst_reg.ty.may_be_null()
            && src_reg.ty.base() != PTR_TO_BTF_ID
            && dst_reg.ty.base() != PTR_TO_BTF_ID
        {
            let equal = match opcode {
                cond::JEQ => Some(&mut *other),
                cond::JNE => Some(&mut self.cur),
                _ => None,
            };
            if let Some(st) = equal {
                let regno = if src_reg.ty.may_be_null() { src } else { dst };
                mark_ptr_not_null_reg(maps, &mut st.cur_mut().regs[regno as usize]);
            }
        }
        let (dst_reg, src_reg) = (*self.cur.cur().regs.get(dst as usize).unwrap_or(&dst_reg), {
            *self.cur.cur().regs.get(src as usize).unwrap_or(&src_reg)
        });
        let null_check = !is_jmp32 && !from_reg && insn.imm == 0 && matches!(opcode, cond::JEQ | cond::JNE);
        if null_check && dst_reg.ty.may_be_null() {
            mark_ptr_or_null_regs(maps, &mut self.cur, dst, opcode == cond::JNE);
            mark_ptr_or_null_regs(maps, other, dst, opcode == cond::JEQ);
        } else if !try_match_pkt_pointers(insn, &dst_reg, &src_reg, &mut self.cur, other)
            && self.is_pointer_value(dst)
        {
            verbose!(self, "R{dst} pointer comparison prohibited\n");
            return Err(EACCES);
        }
        Ok(())
    }
}
