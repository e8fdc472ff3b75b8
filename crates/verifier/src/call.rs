// SPDX-License-Identifier: GPL-2.0-only
//! Calls between functions of the program: into static functions, over global ones, and back
//! (`check_func_call`, `btf_check_subprog_call`, `prepare_func_exit @ 6.18`).

use skep_isa::Insn;
use skep_uapi::helper::{MEM_RDONLY, PTR_MAYBE_NULL};
use skep_uapi::limits::MAX_CALL_FRAMES;

use crate::callback::Callback;
use crate::env::{Env, SubprogArg};
use crate::log;
use crate::reg::DEF_NOT_SUBREG;
use crate::reg_arg::RegArg;
use crate::reg_type::{PTR_TO_ARENA, PTR_TO_CTX, PTR_TO_STACK, SCALAR_VALUE};
use crate::state::{CALLER_SAVED, FuncState, VerifierState};
use crate::stop::{E2BIG, EACCES, EFAULT, EINVAL, Res, Stop, verbose, verifier_bug};

impl Env<'_> {
    /// `setup_func_entry`: a frame for a function, with the caller's arguments or those of a callback.
    pub(crate) fn setup_func_entry(
        &mut self,
        st: &mut VerifierState,
        subprog: u32,
        callsite: u32,
        callback: Option<Callback>,
    ) -> Res {
        if st.frames.len() >= MAX_CALL_FRAMES {
            verbose!(self, "the call stack of {} frames is too deep\n", st.frames.len() + 1);
            return Err(E2BIG);
        }
        let frameno = st.frames.len() as u32;
        let mut callee = FuncState::new(callsite as i32, frameno, subprog, !self.bpf_capable);
        self.mark_verifier_state_scratched();
        let caller = st.cur().regs;
        match callback {
            Some(callback) => self.set_callback_state(callback, &caller, &mut callee, callsite)?,
            None => callee.regs[1..=5].copy_from_slice(&caller[1..=5]),
        }
        st.frames.push(callee);
        Ok(())
    }

    /// `clear_caller_saved_regs`: after a call nothing is known of `r0` to `r5`.
    fn clear_caller_saved_regs(&mut self, frame: usize) -> Res {
        let precise = !self.bpf_capable;
        for regno in CALLER_SAVED {
            let reg = &mut self.cur.frames[frame].regs[regno as usize];
            reg.mark_unknown_imprecise();
            reg.precise = precise;
            reg.ty = crate::reg_type::NOT_INIT;
            self.check_reg_arg_in(frame, regno, RegArg::DstNoMark)?;
        }
        Ok(())
    }

    /// `btf_check_func_arg_match`: the arguments are of the types that the function's BTF says.
    fn btf_check_func_arg_match(&mut self, subprog: u32) -> Res {
        self.btf_prepare_func_args(subprog)?;
        let args = self.subprogs[subprog as usize].args.clone().unwrap_or_default();
        for (i, arg) in args.into_iter().enumerate() {
            let regno = i as u32 + 1;
            let reg = *self.reg(regno);
            match arg {
                SubprogArg::Anything => {
                    if reg.ty != SCALAR_VALUE {
                        verbose!(self, "R{regno} is not a scalar\n");
                        return Err(EINVAL);
                    }
                }
                SubprogArg::Mem { untrusted: true, .. } => {}
                SubprogArg::Ctx => {
                    self.check_func_arg_reg_off(&reg, regno, None)?;
                    if reg.ty != PTR_TO_CTX {
                        verbose!(self, "arg#{i} expects pointer to ctx\n");
                        return Err(EINVAL);
                    }
                }
                SubprogArg::Mem { size, may_be_null, .. } => {
                    self.check_func_arg_reg_off(&reg, regno, None)?;
                    self.check_mem_reg(regno, size).map_err(|stop| match stop {
                        Stop::Errno(_) => EINVAL,
                        unsupported => unsupported,
                    })?;
                    if !may_be_null && reg.ty.has(PTR_MAYBE_NULL) {
                        verbose!(self, "arg#{i} is expected to be non-NULL\n");
                        return Err(EINVAL);
                    }
                }
                SubprogArg::Arena => {
                    if reg.ty != PTR_TO_ARENA && reg.ty != SCALAR_VALUE {
                        verbose!(self, "R{regno} is not a pointer to arena or scalar.\n");
                        return Err(EINVAL);
                    }
                }
                SubprogArg::Dynptr => {
                    self.check_func_arg_reg_off(&reg, regno, None)?;
                    self.process_dynptr_func(regno, u32::MAX, MEM_RDONLY)?;
                }
            }
        }
        Ok(())
    }

    /// `btf_check_subprog_call`: the same, where there is BTF; a function that it does not fit is unreliable from
    /// then on.
    pub(crate) fn btf_check_subprog_call(&mut self, subprog: u32) -> Res {
        if !self.has_func_info() {
            return Err(EINVAL);
        }
        let sub = &self.subprogs[subprog as usize];
        if sub.func_type_id == 0 {
            return Err(EFAULT);
        }
        if sub.unreliable {
            return Err(EINVAL);
        }
        let result = self.btf_check_func_arg_match(subprog);
        if result.is_err() {
            self.subprogs[subprog as usize].unreliable = true;
        }
        result
    }

    /// `check_func_call`.
    pub(crate) fn check_func_call(&mut self, insn: &Insn, insn_idx: &mut u32) -> Res {
        let target = insn_idx.wrapping_add_signed(insn.imm).wrapping_add(1);
        let Some(subprog) = self.find_subprog(target) else {
            return Err(verifier_bug!(
                self,
                "target of func call at insn {} is not a program (subprog < 0)",
                target
            ));
        };
        let fits = self.btf_check_subprog_call(subprog);
        match &fits {
            Err(stop) if *stop == EFAULT || matches!(stop, Stop::Unsupported(_)) => return fits,
            _ => {}
        }
        if self.subprog_is_global(subprog) {
            return self.check_global_call(subprog, fits);
        }
        let mut cur = std::mem::take(&mut self.cur);
        let entered = self.setup_func_entry(&mut cur, subprog, *insn_idx, None);
        self.cur = cur;
        entered?;
        let caller = self.cur.frames.len() - 2;
        self.clear_caller_saved_regs(caller)?;
        *insn_idx = self.subprogs[subprog as usize].start.wrapping_sub(1);
        self.reset_live_stack_callchain();
        if self.log.level & (log::LEVEL1 | log::LEVEL2) != 0 {
            verbose!(self, "caller:\n");
            self.print_cur_state(caller as u32, true);
            verbose!(self, "callee:\n");
            self.print_cur_state(caller as u32 + 1, true);
        }
        Ok(())
    }

    /// A call of a global function, which is verified on its own: only its arguments count.
    fn check_global_call(&mut self, subprog: u32, fits: Res) -> Res {
        let name = self.subprog_name(subprog).to_owned();
        let sub = &self.subprogs[subprog as usize];
        let (might_sleep, changes_pkt_data) = (sub.might_sleep, sub.changes_pkt_data);
        if self.cur.active_locks != 0 {
            verbose!(
                self,
                "global function calls are not allowed while holding a lock,\nuse static function instead\n"
            );
            return Err(EINVAL);
        }
        let atomic = self.cur.active_rcu_lock
            || self.cur.active_preempt_locks != 0
            || self.cur.active_irq_id != 0
            || !self.in_sleepable();
        if might_sleep && atomic {
            verbose!(
                self,
                "global functions that may sleep are not allowed in non-sleepable context,\n\
                 i.e., in a RCU/IRQ/preempt-disabled section, or in\n\
                 a non-sleepable BPF program context\n"
            );
            return Err(EINVAL);
        }
        if let Err(stop) = fits {
            verbose!(self, "Caller passes invalid args into func#{subprog} ('{name}')\n");
            return Err(stop);
        }
        verbose!(self, "Func#{subprog} ('{name}') is global and assumed valid.\n");
        if changes_pkt_data {
            self.clear_all_pkt_pointers();
        }
        self.subprogs[subprog as usize].called = true;
        self.clear_caller_saved_regs(self.cur.frames.len() - 1)?;
        self.mark_reg_unknown(0);
        self.reg_mut(0).subreg_def = DEF_NOT_SUBREG;
        Ok(())
    }

    /// `clear_all_pkt_pointers`: the packet may have moved.
    pub(crate) fn clear_all_pkt_pointers(&mut self) {
        let readable = self.allow_ptr_leaks || !self.profile().stale_pointers_are_unreadable();
        let invalidate = self.invalid_reg(readable);
        self.cur.for_each_reg(|reg| {
            use skep_uapi::helper::{DYNPTR_TYPE_SKB, DYNPTR_TYPE_SKB_META, DYNPTR_TYPE_XDP};
            let end = reg.ty == crate::reg_type::PTR_TO_PACKET_END;
            let slice = reg.ty.base() == crate::reg_type::PTR_TO_MEM
                && reg.ty.has(DYNPTR_TYPE_SKB | DYNPTR_TYPE_XDP | DYNPTR_TYPE_SKB_META);
            if reg.is_pkt_pointer() || end || slice {
                invalidate(reg);
            }
        });
    }

    /// `prepare_func_exit`: back to the caller, or from a callback to the call that made it.
    pub(crate) fn prepare_func_exit(&mut self, insn_idx: &mut u32) -> Res {
        self.update_live_stack()?;
        let callee = self.cur.frames.len() - 1;
        let frame = &self.cur.frames[callee];
        let (callsite, in_callback, range) =
            (frame.callsite as u32, frame.in_callback_fn, frame.callback_ret_range);
        let r0 = frame.regs[0];
        if r0.ty == PTR_TO_STACK {
            verbose!(self, "cannot return stack pointer to the caller\n");
            return Err(EINVAL);
        }
        if in_callback {
            if r0.ty != SCALAR_VALUE {
                verbose!(self, "R0 not a scalar value\n");
                return Err(EACCES);
            }
            self.mark_chain_precision(0)?;
            if !range.covers(&r0.val, false) {
                self.verbose_invalid_scalar(&r0, range, "At callback return", "R0");
                return Err(EINVAL);
            }
            if !self.aux[callsite as usize].calls_callback {
                return Err(verifier_bug!(
                    self,
                    "in callback at {}, callsite {} !calls_callback",
                    *insn_idx,
                    callsite
                ));
            }
            *insn_idx = callsite;
        } else {
            self.cur.frames[callee - 1].regs[0] = r0;
            *insn_idx = callsite + 1;
        }
        if self.log.level & (log::LEVEL1 | log::LEVEL2) != 0 {
            verbose!(self, "returning from callee:\n");
            self.print_cur_state(callee as u32, true);
            verbose!(self, "to caller at {}:\n", *insn_idx);
            self.print_cur_state(callee as u32 - 1, true);
        }
        self.cur.frames.pop();
        if in_callback {
            // Numbers that callbacks change would keep the rounds apart.
            if let Some(prev) = self.find_prev_entry_of_cur(*insn_idx) {
                let mut cur = std::mem::take(&mut self.cur);
                self.widen_imprecise_scalars(prev, &mut cur);
                self.cur = cur;
            }
        }
        Ok(())
    }
}
