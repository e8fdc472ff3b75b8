// SPDX-License-Identifier: GPL-2.0-only
//! The stack: writes, reads, spills and fills (`check_stack_write`, `check_stack_read`,
//! `check_stack_range_initialized @ 6.18`).
//!
//! A slot of eight bytes remembers the register that was spilled into it, and of each byte whether it holds a part
//! of that, something, zero, or nothing.

use skep_isa::{Insn, class, opcode};
use skep_uapi::limits::MAX_BPF_STACK;

use crate::backtrack::insn_stack_access_flags;
use crate::env::Env;
use crate::helper_arg::CallArgMeta;
use crate::mem::{Access, AccessSrc, is_pointer_value};
use crate::planted::{self, Planted};
use crate::ptr_alu::BPF_MAX_VAR_OFF;
use crate::reg::Reg;
use crate::reg_type::{
    CONST_PTR_TO_MAP, NOT_INIT, PTR_TO_ARENA, PTR_TO_BTF_ID, PTR_TO_BUF, PTR_TO_CTX, PTR_TO_FLOW_KEYS,
    PTR_TO_FUNC, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET, PTR_TO_PACKET_END,
    PTR_TO_PACKET_META, PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_STACK, PTR_TO_TCP_SOCK, PTR_TO_XDP_SOCK,
    RegType, SCALAR_VALUE,
};
use crate::state::{BPF_REG_SIZE, Slot, StackSlot};
use crate::stop::{EACCES, EFAULT, EINVAL, Res, Stop, verbose};

/// `__get_spi`: the slot that holds the byte at an offset from the frame pointer.
pub(crate) fn get_spi(off: i32) -> i32 {
    off.wrapping_neg().wrapping_sub(1) / BPF_REG_SIZE
}

/// Position of the byte at an offset in its slot.
fn byte_at(off: i32) -> usize {
    (off.wrapping_neg().wrapping_sub(1) % BPF_REG_SIZE) as usize & 7
}

/// `is_spillable_regtype`.
fn is_spillable(ty: RegType) -> bool {
    matches!(
        ty.base(),
        PTR_TO_MAP_VALUE
            | PTR_TO_STACK
            | PTR_TO_CTX
            | PTR_TO_PACKET
            | PTR_TO_PACKET_META
            | PTR_TO_PACKET_END
            | PTR_TO_FLOW_KEYS
            | CONST_PTR_TO_MAP
            | PTR_TO_SOCKET
            | PTR_TO_SOCK_COMMON
            | PTR_TO_TCP_SOCK
            | PTR_TO_XDP_SOCK
            | PTR_TO_BTF_ID
            | PTR_TO_BUF
            | PTR_TO_MEM
            | PTR_TO_FUNC
            | PTR_TO_MAP_KEY
            | PTR_TO_ARENA
    )
}

/// `is_stack_slot_special`.
fn is_special(slot: &StackSlot) -> bool {
    matches!(slot.bytes[7], Slot::Spill | Slot::Dynptr | Slot::Iter | Slot::IrqFlag)
}

/// `mark_stack_slot_misc`: something, where it is not known to be zero or nothing.
pub(crate) fn mark_stack_slot_misc(byte: &mut Slot) {
    if !matches!(byte, Slot::Zero | Slot::Invalid) {
        *byte = Slot::Misc;
    }
}

/// `scrub_spilled_slot`.
pub(crate) fn scrub_spilled_slot(byte: &mut Slot) {
    if *byte != Slot::Invalid {
        *byte = Slot::Misc;
    }
}

/// `scrub_special_slot`: what was spilled is no more, and its bytes are some.
fn scrub_special_slot(slot: &mut StackSlot) {
    slot.spilled.ty = NOT_INIT;
    if is_special(slot) {
        slot.bytes.iter_mut().for_each(scrub_spilled_slot);
    }
}

/// `is_bpf_st_mem`: a store of a constant.
fn is_st_mem(insn: &Insn) -> bool {
    insn.class() == class::ST && insn.code & 0xe0 == opcode::MEM
}

/// `get_reg_width`: bits that the greatest value of a register takes.
fn width(reg: &Reg) -> i32 {
    64 - reg.val.umax.leading_zeros() as i32
}

/// `save_register_state`: the register in the lowest `size` bytes of the slot.
fn save_register(slot: &mut StackSlot, reg: &Reg, size: i32) {
    slot.spilled = *reg;
    let rest = (BPF_REG_SIZE - size) as usize;
    slot.bytes[rest..].fill(Slot::Spill);
    slot.bytes[..rest].iter_mut().for_each(mark_stack_slot_misc);
}

impl Env<'_> {
    /// `grow_stack_state`: tracks at least so many bytes of a frame's stack.
    pub(crate) fn grow_stack_state(&mut self, frame: usize, size: i32) {
        let slots = ((size + BPF_REG_SIZE - 1) / BPF_REG_SIZE) as usize;
        let state = &mut self.cur.frames[frame];
        if state.stack.len() >= slots {
            return;
        }
        state.stack.resize(slots, StackSlot::EMPTY);
        let depth = &mut self.subprogs[state.subprogno as usize].stack_depth;
        *depth = (*depth).max(slots as u16 * BPF_REG_SIZE as u16);
    }

    fn slot(&self, frame: usize, spi: i32) -> &StackSlot {
        &self.cur.frames[frame].stack[spi as usize]
    }

    fn slot_mut(&mut self, frame: usize, spi: i32) -> &mut StackSlot {
        &mut self.cur.frames[frame].stack[spi as usize]
    }

    /// `check_stack_write`: `value_regno` is stored, or something unknown. `off` includes the fixed offset of the
    /// pointer.
    pub(crate) fn check_stack_write(
        &mut self,
        ptr_regno: u32,
        off: i32,
        size: i32,
        value_regno: Option<u32>,
        insn_idx: u32,
    ) -> Res {
        let ptr = *self.reg(ptr_regno);
        let frame = ptr.frameno as usize;
        if ptr.is_const_offset() {
            let off = off.wrapping_add(ptr.val.var_off.value as i32);
            self.check_stack_write_fixed_off(frame, off, size, value_regno, insn_idx)
        } else {
            self.check_stack_write_var_off(frame, &ptr, off, size, value_regno, insn_idx)
        }
    }

    fn check_stack_write_fixed_off(
        &mut self,
        frame: usize,
        off: i32,
        size: i32,
        value_regno: Option<u32>,
        insn_idx: u32,
    ) -> Res {
        let spi = get_spi(off);
        let frameno = self.cur.frames[frame].frameno;
        let insn = self.insns[insn_idx as usize];
        let slot = self.slot(frame, spi);
        let keeps = if self.profile().spilled_numbers_may_be_corrupted() {
            slot.is_spilled() && !slot.is_spilled_scalar()
        } else {
            slot.bytes[0] == Slot::Spill
        };
        if !self.allow_ptr_leaks && keeps && size != BPF_REG_SIZE {
            verbose!(self, "attempt to corrupt spilled pointer on stack\n");
            return Err(EACCES);
        }
        let mut reg = value_regno.map(|regno| *self.reg(regno));
        if !self.bypass_spec_v4 {
            let overwrites =
                (0..size).any(|i| !matches!(slot.bytes[byte_at(off + i)], Slot::Misc | Slot::Zero));
            if overwrites || reg.is_some_and(|r| is_spillable(r.ty)) {
                self.aux[insn_idx as usize].nospec_result = true;
            }
        }
        self.destroy_if_dynptr_stack_slot(frame, spi)?;
        let aligned = off % BPF_REG_SIZE == 0;
        if aligned && size == BPF_REG_SIZE {
            self.mark_stack_write(frameno, 1 << spi);
        }
        self.check_fastcall_stack_contract(frame, insn_idx, off);
        self.mark_stack_slot_scratched(spi as u32);
        let bpf_capable = self.bpf_capable;
        match &mut reg {
            Some(reg) if aligned && reg.ty == SCALAR_VALUE && bpf_capable => {
                let fits = width(reg) <= 8 * size;
                if fits {
                    self.assign_scalar_id_before_mov(reg);
                    if let Some(regno) = value_regno {
                        *self.reg_mut(regno) = *reg;
                    }
                }
                let slot = self.slot_mut(frame, spi);
                save_register(slot, reg, size);
                if !fits {
                    // What is learnt of a part does not hold for the whole.
                    slot.spilled.id = 0;
                }
            }
            None if aligned && is_st_mem(&insn) && bpf_capable => {
                let mut known = Reg { ty: SCALAR_VALUE, ..Reg::ZEROED };
                known.mark_known(i64::from(insn.imm) as u64);
                save_register(self.slot_mut(frame, spi), &known, size);
            }
            Some(reg) if is_spillable(reg.ty) => {
                if size != BPF_REG_SIZE {
                    self.verbose_linfo(insn_idx, format_args!("; "));
                    verbose!(self, "invalid size of register spill\n");
                    return Err(EACCES);
                }
                if frame != self.cur.frames.len() - 1 && reg.ty == PTR_TO_STACK {
                    verbose!(self, "cannot spill pointers to stack into stack frame of the caller\n");
                    return Err(EINVAL);
                }
                save_register(self.slot_mut(frame, spi), reg, size);
            }
            _ => {
                let writes_zero = match &reg {
                    Some(reg) => reg.is_null(),
                    None => is_st_mem(&insn) && insn.imm == 0,
                };
                let slot = self.slot_mut(frame, spi);
                scrub_special_slot(slot);
                if let Some(regno) = value_regno.filter(|_| writes_zero) {
                    self.mark_chain_precision(regno)?;
                }
                let kind = if writes_zero { Slot::Zero } else { Slot::Misc };
                let slot = self.slot_mut(frame, spi);
                for i in 0..size {
                    slot.bytes[byte_at(off + i)] = kind;
                }
                // Nothing was spilled that backtracking could follow.
                return Ok(());
            }
        }
        self.push_jmp_history(insn_stack_access_flags(frameno, spi as u32), 0)
    }

    /// A write somewhere between two offsets: all slots there may hold it, and none is known to.
    fn check_stack_write_var_off(
        &mut self,
        frame: usize,
        ptr: &Reg,
        off: i32,
        size: i32,
        value_regno: Option<u32>,
        insn_idx: u32,
    ) -> Res {
        let insn = self.insns[insn_idx as usize];
        let min_off = (ptr.val.smin as i32).wrapping_add(off);
        let max_off = (ptr.val.smax as i32).wrapping_add(off).wrapping_add(size);
        let writing_zero = match value_regno {
            Some(regno) => self.reg(regno).is_null(),
            None => is_st_mem(&insn) && insn.imm == 0,
        };
        let mut zero_used = false;
        for i in min_off..max_off {
            self.destroy_if_dynptr_stack_slot(frame, get_spi(i))?;
        }
        self.check_fastcall_stack_contract(frame, insn_idx, min_off);
        for i in min_off..max_off {
            let spi = get_spi(i);
            self.mark_stack_slot_scratched(spi as u32);
            let (allow_ptr_leaks, allow_uninit_stack) = (self.allow_ptr_leaks, self.allow_uninit_stack);
            let slot = self.slot_mut(frame, spi);
            let was = slot.bytes[byte_at(i)];
            if !allow_ptr_leaks && !matches!(was, Slot::Misc | Slot::Zero) {
                // The write may miss the slot, so what was there could be read as a number afterwards.
                verbose!(
                    self,
                    "spilled ptr in range of var-offset stack write; insn {insn_idx}, ptr off: {i}"
                );
                return Err(EINVAL);
            }
            if writing_zero
                && was == Slot::Spill
                && slot.is_spilled_scalar()
                && slot.spilled.val.var_off.equals_const(0)
            {
                zero_used = true;
                continue;
            }
            if planted::is(Planted::VarStoreKeeps) && was == Slot::Spill {
                continue;
            }
            scrub_special_slot(slot);
            let stays_zero = writing_zero && was == Slot::Zero;
            zero_used |= stays_zero;
            if was == Slot::Invalid && !allow_uninit_stack {
                verbose!(
                    self,
                    "uninit stack in range of var-offset write prohibited for !root; insn {insn_idx}, off: {i}"
                );
                return Err(EINVAL);
            }
            slot.bytes[byte_at(i)] = if stays_zero { Slot::Zero } else { Slot::Misc };
        }
        if let Some(regno) = value_regno.filter(|_| zero_used) {
            self.mark_chain_precision(regno)?;
        }
        Ok(())
    }

    /// `mark_reg_stack_read`: zero where all bytes read are, else any number.
    fn mark_reg_stack_read(&mut self, frame: usize, min_off: i32, max_off: i32, dst_regno: u32) {
        let mut zeros = 0;
        for i in min_off..max_off {
            let spi = get_spi(i);
            self.mark_stack_slot_scratched(spi as u32);
            let zero = self.cur.frames[frame]
                .stack
                .get(spi as usize)
                .is_some_and(|slot| slot.bytes[byte_at(i)] == Slot::Zero);
            if !zero {
                break;
            }
            zeros += 1;
        }
        if zeros == max_off.wrapping_sub(min_off) {
            let precise = !self.bpf_capable;
            self.reg_mut(dst_regno).mark_const_zero(precise);
        } else {
            self.mark_reg_unknown(dst_regno);
        }
    }

    /// `check_stack_read`: into a register, or only to see whether it may be read. `off` includes the fixed offset
    /// of the pointer.
    pub(crate) fn check_stack_read(
        &mut self,
        ptr_regno: u32,
        off: i32,
        size: i32,
        dst_regno: Option<u32>,
    ) -> Res {
        let ptr = *self.reg(ptr_regno);
        let frame = ptr.frameno as usize;
        if ptr.is_const_offset() {
            let off = off.wrapping_add(ptr.val.var_off.value as i32);
            return self.check_stack_read_fixed_off(frame, off, size, dst_regno);
        }
        let Some(dst_regno) = dst_regno else {
            verbose!(
                self,
                "variable offset stack pointer cannot be passed into helper function; var_off={} off={off} size={size}\n",
                ptr.val.var_off
            );
            return Err(EACCES);
        };
        let access = (AccessSrc::Direct, Access::Read);
        self.check_stack_range_initialized(ptr_regno, off, size, false, access, None)?;
        // The registers may have been the same one.
        let reg = *self.reg(ptr_regno);
        let min_off = (reg.val.smin as i32).wrapping_add(off);
        let max_off = (reg.val.smax as i32).wrapping_add(off).wrapping_add(size);
        self.mark_reg_stack_read(frame, min_off, max_off, dst_regno);
        self.check_fastcall_stack_contract(frame, self.insn_idx, min_off);
        Ok(())
    }

    fn check_stack_read_fixed_off(
        &mut self,
        frame: usize,
        off: i32,
        size: i32,
        dst_regno: Option<u32>,
    ) -> Res {
        let spi = get_spi(off);
        let frameno = self.cur.frames[frame].frameno;
        self.mark_stack_slot_scratched(spi as u32);
        self.check_fastcall_stack_contract(self.cur.frames.len() - 1, self.insn_idx, off);
        self.mark_stack_read(frameno, self.insn_idx, 1 << spi);
        let slot = *self.slot(frame, spi);
        let filled = if slot.is_spilled() {
            self.fill(&slot, off, size, dst_regno)?
        } else {
            self.check_bytes_readable(&slot, off, size)?;
            if let Some(dst) = dst_regno {
                self.mark_reg_stack_read(frame, off, off + size, dst);
            }
            false
        };
        if filled {
            return self.push_jmp_history(insn_stack_access_flags(frameno, spi as u32), 0);
        }
        Ok(())
    }

    /// Bytes of which none is a part of a register.
    fn check_bytes_readable(&mut self, slot: &StackSlot, off: i32, size: i32) -> Res {
        for i in 0..size {
            match slot.bytes[byte_at(off + i)] {
                Slot::Misc | Slot::Zero => {}
                Slot::Invalid if self.allow_uninit_stack => {}
                _ => {
                    verbose!(self, "invalid read from stack off {off}+{i} size {size}\n");
                    return Err(EACCES);
                }
            }
        }
        Ok(())
    }

    /// A read of a slot that a register was spilled to. Gives whether the register was filled from it.
    fn fill(&mut self, slot: &StackSlot, off: i32, size: i32, dst_regno: Option<u32>) -> Res<bool> {
        let reg = &slot.spilled;
        let spill_size = slot.bytes.iter().rev().take_while(|&&b| b == Slot::Spill).count() as i32;
        let whole = size == BPF_REG_SIZE && spill_size == BPF_REG_SIZE;
        let wrong = planted::is(Planted::FillWhole) && reg.ty == SCALAR_VALUE;
        if whole || wrong {
            match dst_regno {
                Some(dst) => *self.reg_mut(dst) = *reg,
                None if is_pointer_value(self.allow_ptr_leaks, reg) => {
                    verbose!(self, "leaking pointer from stack off {off}\n");
                    return Err(EACCES);
                }
                None => {}
            }
            return Ok(true);
        }
        if reg.ty != SCALAR_VALUE {
            self.verbose_linfo(self.insn_idx, format_args!("; "));
            verbose!(self, "invalid size of register fill\n");
            return Err(EACCES);
        }
        // The kernel returns here without a word about the access in the history.
        let Some(dst) = dst_regno else { return Ok(false) };
        let fits = size == spill_size || (size < spill_size && self.profile().fills_parts());
        if fits && off % BPF_REG_SIZE == 0 {
            let to = self.reg_mut(dst);
            *to = Reg { subreg_def: to.subreg_def, ..*reg };
            if width(reg) > size * 8 {
                to.clear_scalar_id();
            }
            return Ok(true);
        }
        let (mut spilled, mut zeros) = (0, 0);
        for i in 0..size {
            match slot.bytes[byte_at(off + i)] {
                Slot::Spill => spilled += 1,
                Slot::Zero => zeros += 1,
                Slot::Misc => {}
                Slot::Invalid if self.allow_uninit_stack => {}
                _ => {
                    verbose!(self, "invalid read from stack off {off}+{i} size {size}\n");
                    return Err(EACCES);
                }
            }
        }
        let precise = !self.bpf_capable;
        if spilled == size && reg.val.var_off.equals_const(0) {
            self.reg_mut(dst).mark_const_zero(precise);
            return Ok(true);
        }
        if zeros == size {
            self.reg_mut(dst).mark_const_zero(precise);
        } else {
            self.mark_reg_unknown(dst);
        }
        Ok(false)
    }

    /// `check_stack_access_within_bounds`: the access stays in the stack, which is tracked that far from now on.
    pub(crate) fn check_stack_access_within_bounds(
        &mut self,
        regno: u32,
        off: i32,
        access_size: i32,
        src: AccessSrc,
        t: Access,
    ) -> Res {
        let reg = *self.reg(regno);
        let frame = reg.frameno as usize;
        let what = if self.is_indirect(src) {
            " indirect access to"
        } else if t == Access::Read {
            " read from"
        } else {
            " write to"
        };
        let (min_off, max_off) = if reg.is_const_offset() {
            let min = (reg.val.var_off.value as i64).wrapping_add(off.into());
            (min, min.wrapping_add(access_size.into()))
        } else {
            if reg.val.smax >= BPF_MAX_VAR_OFF || reg.val.smin <= -BPF_MAX_VAR_OFF {
                verbose!(self, "invalid unbounded variable-offset{what} stack R{regno}\n");
                return Err(EACCES);
            }
            let off = i64::from(off);
            (reg.val.smin + off, reg.val.smax + off + i64::from(access_size))
        };
        let depth = if t == Access::Write || self.allow_uninit_stack {
            MAX_BPF_STACK as i64
        } else {
            self.cur.frames[frame].allocated_stack().into()
        };
        let error: Option<Stop> = if min_off < -depth || min_off > -1 {
            Some(EACCES)
        } else if max_off > 0 {
            Some(EINVAL)
        } else if access_size < 0 {
            Some(EFAULT)
        } else {
            None
        };
        if let Some(error) = error {
            if reg.is_const_offset() {
                verbose!(self, "invalid{what} stack R{regno} off={off} size={access_size}\n");
            } else if !self.profile().shows_fixed_offsets() {
                verbose!(
                    self,
                    "invalid variable-offset{what} stack R{regno} var_off={} size={access_size}\n",
                    reg.val.var_off
                );
            } else {
                verbose!(
                    self,
                    "invalid variable-offset{what} stack R{regno} var_off={} off={off} size={access_size}\n",
                    reg.val.var_off
                );
            }
            return Err(error);
        }
        self.grow_stack_state(frame, -min_off as i32);
        Ok(())
    }

    /// Whether an access is said to be "indirect", whatever it does.
    fn is_indirect(&self, src: AccessSrc) -> bool {
        src == AccessSrc::Helper && !self.profile().helpers_read_or_write()
    }

    /// `check_stack_range_initialized`: a helper reads or writes the stack. Where it only writes, `meta` remembers
    /// how much.
    pub(crate) fn check_stack_range_initialized(
        &mut self,
        regno: u32,
        off: i32,
        access_size: i32,
        zero_size_allowed: bool,
        (src, t): (AccessSrc, Access),
        meta: Option<&mut CallArgMeta>,
    ) -> Res {
        let reg = *self.reg(regno);
        let frame = reg.frameno as usize;
        let indirect = self.is_indirect(src);
        // Where it is not known whether a helper writes, it does.
        let t = if indirect { Access::Write } else { t };
        if access_size == 0 && !zero_size_allowed {
            verbose!(self, "invalid zero-sized read\n");
            return Err(EACCES);
        }
        self.check_stack_access_within_bounds(regno, off, access_size, src, t)?;
        let extra = if indirect { " indirect" } else { "" };
        let const_off = reg.is_const_offset();
        let (min_off, max_off) = if const_off {
            let at = (reg.val.var_off.value as i32).wrapping_add(off);
            (at, at)
        } else {
            if !self.bypass_spec_v1 {
                verbose!(
                    self,
                    "R{regno}{extra} variable offset stack access prohibited for !root, var_off={}\n",
                    reg.val.var_off
                );
                return Err(EACCES);
            }
            ((reg.val.smin as i32).wrapping_add(off), (reg.val.smax as i32).wrapping_add(off))
        };
        let end = max_off.wrapping_add(access_size);
        if let Some(meta) = meta.filter(|meta| meta.raw_mode && const_off) {
            return self.check_raw_range(regno, frame, min_off, end, access_size, meta);
        }
        for i in min_off..end {
            let spi = get_spi(i);
            let Some(slot) = self.cur.frames[frame].stack.get(spi as usize) else {
                verbose!(self, "allocated_stack too small\n");
                return Err(EFAULT);
            };
            let byte = slot.bytes[byte_at(i)];
            let clobber = t == Access::Write;
            if byte == Slot::Zero || (byte == Slot::Invalid && self.allow_uninit_stack) {
                if clobber {
                    self.slot_mut(frame, spi).bytes[byte_at(i)] = Slot::Misc;
                }
            } else if byte != Slot::Misc {
                let readable = slot.is_spilled() && (slot.spilled.ty == SCALAR_VALUE || self.allow_ptr_leaks);
                if !readable {
                    self.verbose_invalid_stack(extra, regno, &reg, min_off, i - min_off, access_size);
                    return Err(EACCES);
                }
                if clobber {
                    let precise = !self.bpf_capable;
                    let slot = self.slot_mut(frame, spi);
                    slot.spilled.mark_unknown_imprecise();
                    slot.spilled.precise = precise;
                    slot.bytes.iter_mut().for_each(scrub_spilled_slot);
                }
            }
            self.mark_stack_read(reg.frameno, self.insn_idx, 1 << spi);
        }
        Ok(())
    }

    fn verbose_invalid_stack(
        &mut self,
        extra: &str,
        regno: u32,
        reg: &Reg,
        min_off: i32,
        at: i32,
        size: i32,
    ) {
        if reg.is_const_offset() {
            verbose!(self, "invalid{extra} read from stack R{regno} off {min_off}+{at} size {size}\n");
        } else {
            let var_off = reg.val.var_off;
            verbose!(self, "invalid{extra} read from stack R{regno} var_off {var_off}+{at} size {size}\n");
        }
    }

    /// Memory that a helper fills: it need hold nothing, but must not hold a dynptr.
    fn check_raw_range(
        &mut self,
        regno: u32,
        frame: usize,
        start: i32,
        end: i32,
        access_size: i32,
        meta: &mut CallArgMeta,
    ) -> Res {
        for i in start..end {
            let slot = self.cur.frames[frame].stack.get(get_spi(i) as usize);
            if slot.is_some_and(|slot| slot.bytes[byte_at(i)] == Slot::Dynptr) {
                verbose!(self, "potential write to dynptr at off={i} disallowed\n");
                return Err(EACCES);
            }
        }
        meta.access_size = access_size;
        meta.regno = regno;
        Ok(())
    }
}
