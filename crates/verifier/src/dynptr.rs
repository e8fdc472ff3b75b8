// SPDX-License-Identifier: GPL-2.0-only
//! Dynptrs: sized pointers of two slots on the stack, which helpers make and take
//! (`mark_stack_slots_dynptr`, `process_dynptr_func @ 6.18`).

use skep_uapi::helper::{
    DYNPTR_TYPE_LOCAL, DYNPTR_TYPE_RINGBUF, DYNPTR_TYPE_SKB, DYNPTR_TYPE_SKB_META, DYNPTR_TYPE_XDP,
    MEM_RDONLY, MEM_UNINIT, PTR_MAYBE_NULL, TypeFlags,
};

use crate::env::Env;
use crate::mem::Access;
use crate::reg::Reg;
use crate::reg_type::{CONST_PTR_TO_DYNPTR, PTR_TO_MEM, PTR_TO_STACK};
use crate::stack::get_spi;
use crate::state::Slot;
use crate::stop::{EFAULT, EINVAL, ERANGE, Res, Stop, verbose, verifier_bug};

/// Slots of a dynptr (`BPF_DYNPTR_NR_SLOTS`).
const NR_SLOTS: i32 = 2;

/// `enum bpf_dynptr_type`.
pub(crate) mod kind {
    pub(crate) const INVALID: u32 = 0;
    pub(crate) const LOCAL: u32 = 1;
    pub(crate) const RINGBUF: u32 = 2;
    pub(crate) const SKB: u32 = 3;
    pub(crate) const XDP: u32 = 4;
    pub(crate) const SKB_META: u32 = 5;
}

/// `arg_to_dynptr_type`.
fn kind_of(flags: TypeFlags) -> u32 {
    const MASK: TypeFlags =
        DYNPTR_TYPE_LOCAL | DYNPTR_TYPE_RINGBUF | DYNPTR_TYPE_SKB | DYNPTR_TYPE_XDP | DYNPTR_TYPE_SKB_META;
    match flags & MASK {
        DYNPTR_TYPE_LOCAL => kind::LOCAL,
        DYNPTR_TYPE_RINGBUF => kind::RINGBUF,
        DYNPTR_TYPE_SKB => kind::SKB,
        DYNPTR_TYPE_XDP => kind::XDP,
        DYNPTR_TYPE_SKB_META => kind::SKB_META,
        _ => kind::INVALID,
    }
}

/// `dynptr_type_str`.
pub(crate) fn dynptr_type_str(dynptr: u32) -> &'static str {
    match dynptr {
        kind::LOCAL => "local",
        kind::RINGBUF => "ringbuf",
        kind::SKB => "skb",
        kind::XDP => "xdp",
        kind::SKB_META => "skb_meta",
        _ => "<invalid>",
    }
}

/// `dynptr_type_refcounted`.
fn is_refcounted(dynptr: u32) -> bool {
    dynptr == kind::RINGBUF
}

/// `__mark_dynptr_reg`.
pub(crate) fn mark_dynptr_reg(reg: &mut Reg, dynptr: u32, first_slot: bool, id: u32) {
    reg.mark_known_zero();
    reg.ty = CONST_PTR_TO_DYNPTR;
    reg.id = id;
    reg.set_dynptr(dynptr, first_slot);
}

impl Env<'_> {
    /// `dynptr_get_spi`: the first slot of the dynptr that a stack pointer points to. `ERANGE` where the stack is
    /// not tracked that far.
    pub(crate) fn dynptr_get_spi(&mut self, reg: &Reg) -> Res<i32> {
        if !reg.is_const_offset() {
            verbose!(self, "dynptr has to be at a constant offset\n");
            return Err(EINVAL);
        }
        let off = reg.off.wrapping_add(reg.val.var_off.value as i32);
        let spi = get_spi(off);
        if off % 8 != 0 || spi + 1 < NR_SLOTS {
            verbose!(self, "cannot pass in dynptr at an offset={off}\n");
            return Err(EINVAL);
        }
        if spi as usize >= self.func(reg).stack.len() {
            return Err(ERANGE);
        }
        Ok(spi)
    }

    fn dynptr_slot(&self, frame: usize, spi: i32) -> &Reg {
        &self.cur.frames[frame].stack[spi as usize].spilled
    }

    /// Both slots of a dynptr become `kind`, and hold nothing if that is not a dynptr.
    fn reset_dynptr(&mut self, frame: usize, spi: i32, kind: Slot) {
        let precise = !self.bpf_capable;
        let state = &mut self.cur.frames[frame];
        for slot in &mut state.stack[spi as usize - 1..=spi as usize] {
            slot.bytes = [kind; 8];
            if kind != Slot::Dynptr {
                slot.spilled = Reg { precise, subreg_def: slot.spilled.subreg_def, ..Reg::NOT_INIT };
            }
        }
    }

    fn mark_dynptr_written(&mut self, frame: usize, spi: i32) {
        let frameno = self.cur.frames[frame].frameno;
        self.mark_stack_write(frameno, 1 << spi | 1 << (spi - 1));
    }

    /// `mark_stack_slots_dynptr`: a helper makes a dynptr.
    fn mark_stack_slots_dynptr(&mut self, reg: &Reg, flags: TypeFlags, insn_idx: u32) -> Res {
        let spi = self.dynptr_get_spi(reg)?;
        let frame = reg.frameno as usize;
        self.destroy_if_dynptr_stack_slot(frame, spi)?;
        self.destroy_if_dynptr_stack_slot(frame, spi - 1)?;
        self.reset_dynptr(frame, spi, Slot::Dynptr);
        let dynptr = kind_of(flags);
        if dynptr == kind::INVALID {
            return Err(EINVAL);
        }
        let id = self.new_id();
        let ref_obj_id = if is_refcounted(dynptr) { Some(self.acquire_reference(insn_idx)) } else { None };
        let stack = &mut self.cur.frames[frame].stack;
        for (at, first) in [(spi, true), (spi - 1, false)] {
            let slot = &mut stack[at as usize].spilled;
            mark_dynptr_reg(slot, dynptr, first, id);
            if let Some(id) = ref_obj_id {
                slot.ref_obj_id = id;
            }
        }
        self.mark_dynptr_written(frame, spi);
        Ok(())
    }

    /// `unmark_stack_slots_dynptr`: a helper releases a dynptr, and with it all that were made from it.
    pub(crate) fn unmark_stack_slots_dynptr(&mut self, reg: &Reg) -> Res {
        let spi = self.dynptr_get_spi(reg)?;
        let frame = reg.frameno as usize;
        let slot = *self.dynptr_slot(frame, spi);
        if !is_refcounted(slot.dynptr().0) {
            self.reset_dynptr(frame, spi, Slot::Invalid);
            self.mark_dynptr_written(frame, spi);
            return Ok(());
        }
        let _ = self.release_reference(slot.ref_obj_id);
        for i in 1..self.cur.frames[frame].stack.len() as i32 {
            let clone = *self.dynptr_slot(frame, i);
            if clone.ref_obj_id != slot.ref_obj_id {
                continue;
            }
            if self.cur.frames[frame].stack[i as usize].bytes[0] != Slot::Dynptr {
                return Err(verifier_bug!(self, "misconfigured ref_obj_id"));
            }
            if clone.dynptr().1 {
                self.reset_dynptr(frame, i, Slot::Invalid);
                self.mark_dynptr_written(frame, i);
            }
        }
        Ok(())
    }

    /// `destroy_if_dynptr_stack_slot`: a write to one slot of a dynptr ends it, and all slices of it.
    pub(crate) fn destroy_if_dynptr_stack_slot(&mut self, frame: usize, spi: i32) -> Res {
        let slot = &self.cur.frames[frame].stack[spi as usize];
        if slot.bytes[0] != Slot::Dynptr {
            return Ok(());
        }
        let spi = if slot.spilled.dynptr().1 { spi } else { spi + 1 };
        let first = *self.dynptr_slot(frame, spi);
        if is_refcounted(first.dynptr().0) {
            verbose!(self, "cannot overwrite referenced dynptr\n");
            return Err(EINVAL);
        }
        self.mark_stack_slot_scratched(spi as u32);
        self.mark_stack_slot_scratched(spi as u32 - 1);
        let invalidate = self.invalid_reg(self.allow_ptr_leaks);
        for slot in &mut self.cur.frames[frame].stack[spi as usize - 1..=spi as usize] {
            slot.bytes = [Slot::Invalid; 8];
        }
        self.cur.for_each_reg(|reg| {
            let slice = reg.ty == PTR_TO_MEM || reg.ty == PTR_TO_MEM | PTR_MAYBE_NULL;
            if slice && reg.dynptr_id() == first.id {
                invalidate(reg);
            }
        });
        self.reset_dynptr(frame, spi, Slot::Invalid);
        self.mark_dynptr_written(frame, spi);
        Ok(())
    }

    /// `is_dynptr_reg_valid_init`.
    fn is_dynptr_init(&mut self, reg: &Reg) -> Res<bool> {
        if reg.ty == CONST_PTR_TO_DYNPTR {
            return Ok(true);
        }
        let spi = match self.dynptr_get_spi(reg) {
            Ok(spi) => spi,
            Err(stop @ Stop::Unsupported(_)) => return Err(stop),
            Err(Stop::Errno(_)) => return Ok(false),
        };
        let stack = &self.func(reg).stack;
        let slots = &stack[spi as usize - 1..=spi as usize];
        Ok(slots[1].spilled.dynptr().1 && slots.iter().all(|slot| slot.bytes == [Slot::Dynptr; 8]))
    }

    /// The dynptr that an argument is or points to: kind, id, reference.
    pub(crate) fn dynptr_arg(&mut self, reg: &Reg) -> Res<Reg> {
        if reg.ty == CONST_PTR_TO_DYNPTR {
            return Ok(*reg);
        }
        let spi = self.dynptr_get_spi(reg)?;
        Ok(*self.dynptr_slot(reg.frameno as usize, spi))
    }

    /// `process_dynptr_func`: an argument that is a dynptr, to be made (`MEM_UNINIT`), read (`MEM_RDONLY`) or changed.
    pub(crate) fn process_dynptr_func(&mut self, regno: u32, insn_idx: u32, flags: TypeFlags) -> Res {
        let reg = *self.reg(regno);
        if reg.ty != PTR_TO_STACK && reg.ty != CONST_PTR_TO_DYNPTR {
            verbose!(self, "arg#{} expected pointer to stack or const struct bpf_dynptr\n", regno - 1);
            return Err(EINVAL);
        }
        if flags & MEM_UNINIT != 0 {
            let valid = reg.ty != CONST_PTR_TO_DYNPTR
                && matches!(self.dynptr_get_spi(&reg), Ok(_) | Err(Stop::Errno(skep_uapi::Errno::ERANGE)));
            if !valid {
                verbose!(self, "Dynptr has to be an uninitialized dynptr\n");
                return Err(EINVAL);
            }
            for i in [0, 8] {
                self.check_mem_access(insn_idx, regno, i, 8, Access::Write, None, false, false)?;
            }
            return self.mark_stack_slots_dynptr(&reg, flags, insn_idx);
        }
        if reg.ty == CONST_PTR_TO_DYNPTR && flags & MEM_RDONLY == 0 {
            verbose!(self, "cannot pass pointer to const bpf_dynptr, the helper mutates it\n");
            return Err(EINVAL);
        }
        if !self.is_dynptr_init(&reg)? {
            verbose!(self, "Expected an initialized dynptr as arg #{}\n", regno - 1);
            return Err(EINVAL);
        }
        let wanted = kind_of(flags);
        if flags & !MEM_RDONLY != 0 && self.dynptr_arg(&reg)?.dynptr().0 != wanted {
            verbose!(self, "Expected a dynptr of type {} as arg #{}\n", dynptr_type_str(wanted), regno - 1);
            return Err(EINVAL);
        }
        if reg.ty == CONST_PTR_TO_DYNPTR {
            return Ok(());
        }
        // `mark_dynptr_read`.
        let spi = self.dynptr_get_spi(&reg)?;
        for at in [spi, spi - 1] {
            self.mark_stack_read(reg.frameno, self.insn_idx, 1 << at);
            self.mark_stack_slot_scratched(at as u32);
        }
        Ok(())
    }

    /// `dynptr_get_type`.
    pub(crate) fn dynptr_get_type(&mut self, reg: &Reg) -> Res<u32> {
        if reg.ty == CONST_PTR_TO_DYNPTR {
            return Ok(reg.dynptr().0);
        }
        let spi = get_spi(reg.off);
        let slot = self.func(reg).stack.get(spi as usize);
        slot.map(|slot| slot.spilled.dynptr().0).filter(|&d| d != kind::INVALID).ok_or(EFAULT)
    }
}
