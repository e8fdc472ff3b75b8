// SPDX-License-Identifier: GPL-2.0-only
//! Functions that helpers call back (`push_callback_call`, `set_*_callback_state @ 6.18`).
//!
//! A callback that runs during the call is explored as a path of its own, which returns to the call; one that runs
//! later starts on an empty stack.

use skep_isa::Insn;
use skep_uapi::{HelperId, MapType};

use crate::dynptr::{kind, mark_dynptr_reg};
use crate::env::Env;
use crate::reg::Reg;
use crate::reg_type::{CONST_PTR_TO_MAP, NOT_INIT, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, SCALAR_VALUE};
use crate::state::{FuncState, MAX_BPF_REG, RetvalRange};
use crate::stop::{EFAULT, ENOMEM, ENOTSUPP, Res, Stop, verbose};
use crate::subprog::is_helper_call;

/// What calls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    /// `bpf_for_each_map_elem`.
    MapElem,
    /// `bpf_timer_set_callback`.
    Timer,
    /// `bpf_find_vma`.
    FindVma,
    /// `bpf_loop`.
    Loop,
    /// `bpf_user_ringbuf_drain`.
    UserRingbuf,
}

/// `is_sync_callback_calling_function`.
pub(crate) fn is_sync_callback_calling_function(func_id: i32) -> bool {
    matches!(
        HelperId(func_id as u32),
        HelperId::FOR_EACH_MAP_ELEM | HelperId::FIND_VMA | HelperId::LOOP | HelperId::USER_RINGBUF_DRAIN
    )
}

/// `is_async_callback_calling_function`.
pub(crate) fn is_async_callback_calling_function(func_id: i32) -> bool {
    HelperId(func_id as u32) == HelperId::TIMER_SET_CALLBACK
}

/// `is_sync_callback_calling_insn`.
pub(crate) fn is_sync_callback_calling_insn(insn: &Insn) -> bool {
    is_helper_call(insn) && is_sync_callback_calling_function(insn.imm)
}

impl Env<'_> {
    /// `set_*_callback_state`: the arguments of a callback from those of the call.
    pub(crate) fn set_callback_state(
        &mut self,
        callback: Callback,
        caller: &[Reg; MAX_BPF_REG],
        callee: &mut FuncState,
        insn_idx: u32,
    ) -> Res {
        let precise = !self.bpf_capable;
        let none = |regs: &mut [Reg]| {
            for reg in regs {
                reg.mark_unknown_imprecise();
                reg.precise = precise;
                reg.ty = NOT_INIT;
            }
        };
        let of_map = |reg: &mut Reg, ty, map: Option<_>| {
            reg.ty = ty;
            reg.mark_known_zero();
            if let Some(map) = map {
                reg.set_map(map);
            }
        };
        callee.callback_ret_range = RetvalRange::new(0, 1);
        match callback {
            Callback::MapElem => {
                let map = self.aux[insn_idx as usize].map_ptr;
                let iterates = map.is_some_and(|map| {
                    matches!(
                        self.map(map).map_type,
                        MapType::ARRAY
                            | MapType::PERCPU_ARRAY
                            | MapType::HASH
                            | MapType::LRU_HASH
                            | MapType::PERCPU_HASH
                            | MapType::LRU_PERCPU_HASH
                    )
                });
                if !iterates {
                    verbose!(self, "callback function not allowed for map\n");
                    return Err(ENOTSUPP);
                }
                callee.regs[1] = caller[1];
                of_map(&mut callee.regs[2], PTR_TO_MAP_KEY, caller[1].map());
                of_map(&mut callee.regs[3], PTR_TO_MAP_VALUE, caller[1].map());
                callee.regs[4] = caller[3];
                none(&mut callee.regs[5..6]);
            }
            Callback::Loop => {
                callee.regs[1].ty = SCALAR_VALUE;
                callee.regs[2] = caller[3];
                none(&mut callee.regs[3..6]);
            }
            Callback::Timer => {
                let map = caller[1].map();
                of_map(&mut callee.regs[1], CONST_PTR_TO_MAP, map);
                of_map(&mut callee.regs[2], PTR_TO_MAP_KEY, map);
                of_map(&mut callee.regs[3], PTR_TO_MAP_VALUE, map);
                none(&mut callee.regs[4..6]);
                callee.in_async_callback_fn = true;
                callee.callback_ret_range = RetvalRange::new(0, 0);
                return Ok(());
            }
            Callback::FindVma => return self.unsupported("kernel BTF (struct vm_area_struct)"),
            Callback::UserRingbuf => {
                none(&mut callee.regs[0..1]);
                let id = self.new_id();
                mark_dynptr_reg(&mut callee.regs[1], kind::LOCAL, true, id);
                callee.regs[2] = caller[3];
                none(&mut callee.regs[3..6]);
            }
        }
        callee.in_callback_fn = true;
        Ok(())
    }

    /// `push_callback_call`.
    pub(crate) fn push_callback_call(&mut self, insn_idx: u32, subprog: u32, callback: Callback) -> Res {
        match self.btf_check_subprog_call(subprog) {
            Err(stop) if stop == EFAULT || matches!(stop, Stop::Unsupported(_)) => return Err(stop),
            _ => {}
        }
        self.subprogs[subprog as usize].is_cb = true;
        let start = self.subprogs[subprog as usize].start;
        let caller = self.cur_func().regs;
        if callback == Callback::Timer {
            self.subprogs[subprog as usize].is_async_cb = true;
            let entries = self.cur_func().async_entry_cnt + 1;
            // A timer's callback never sleeps.
            if self.push_async_cb(start, insn_idx, subprog, false).is_none() {
                return Err(EFAULT);
            }
            let Some(mut elem) = self.stack.pop() else { return Err(EFAULT) };
            elem.st.frames[0].async_entry_cnt = entries;
            let result = self.set_callback_state(callback, &caller, &mut elem.st.frames[0], insn_idx);
            self.stack.push(elem);
            return result;
        }
        if self.push_stack(start, insn_idx, false).is_none() {
            return Err(ENOMEM);
        }
        let Some(mut elem) = self.stack.pop() else { return Err(EFAULT) };
        let result = self.setup_func_entry(&mut elem.st, subprog, insn_idx, Some(callback));
        if result.is_ok() {
            elem.st.callback_unroll_depth += 1;
            let caller = elem.st.frames.len() - 2;
            elem.st.frames[caller].callback_depth += 1;
        }
        self.stack.push(elem);
        result?;
        self.cur_func_mut().callback_depth = 0;
        Ok(())
    }
}
