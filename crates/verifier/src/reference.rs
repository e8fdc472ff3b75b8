// SPDX-License-Identifier: GPL-2.0-only
//! What is acquired must be released: objects, and the locks held
//! (`acquire_reference`, `release_reference`, `check_reference_leak @ 6.18`).

use crate::env::Env;
use crate::reg::Reg;
use crate::reg_type::NOT_INIT;
use crate::state::{LockPtr, RefState, RefType, VerifierState};
use crate::stop::{EINVAL, Res, verbose};

impl VerifierState {
    /// `release_reference_nomark`: the reference is held no more; pointers to it stay.
    pub(crate) fn release_reference_nomark(&mut self, ref_obj_id: u32) -> Res {
        let at = self.refs.iter().position(|r| r.ty == RefType::Ptr && r.id == ref_obj_id);
        self.refs.remove(at.ok_or(EINVAL)?);
        Ok(())
    }

    /// `find_lock_state`.
    pub(crate) fn holds_lock(&self, ty: RefType, id: u32, ptr: LockPtr) -> bool {
        self.refs.iter().any(|r| r.ty == ty && r.id == id && r.ptr == Some(ptr))
    }

    /// `acquire_lock_state`.
    pub(crate) fn acquire_lock(&mut self, insn_idx: u32, ty: RefType, id: u32, ptr: LockPtr) {
        self.refs.push(RefState { ty, id, insn_idx, ptr: Some(ptr) });
        self.active_locks += 1;
        self.active_lock_id = id;
        self.active_lock_ptr = Some(ptr);
    }

    /// `release_lock_state`: the lock taken before it is the active one again.
    pub(crate) fn release_lock(&mut self, ty: RefType, id: u32, ptr: LockPtr) -> Res {
        let at =
            self.refs.iter().position(|r| r.ty == ty && r.id == id && r.ptr == Some(ptr)).ok_or(EINVAL)?;
        let before = self.refs[..at].iter().rev().find(|r| r.ty.is_lock()).copied();
        self.refs.remove(at);
        self.active_locks -= 1;
        self.active_lock_id = before.map_or(0, |r| r.id);
        self.active_lock_ptr = before.and_then(|r| r.ptr);
        Ok(())
    }
}

impl Env<'_> {
    /// `acquire_reference`: the id of something that must be released.
    pub(crate) fn acquire_reference(&mut self, insn_idx: u32) -> u32 {
        let id = self.new_id();
        self.cur.refs.push(RefState { ty: RefType::Ptr, id, insn_idx, ptr: None });
        id
    }

    /// `mark_reg_invalid`: what a pointer to something gone is, any number or nothing to be read.
    pub(crate) fn invalid_reg(&self, readable: bool) -> impl Fn(&mut Reg) + use<> {
        let precise = !self.bpf_capable;
        move |reg| {
            reg.mark_unknown_imprecise();
            reg.precise = precise;
            if !readable {
                reg.ty = NOT_INIT;
            }
        }
    }

    /// `release_reference`: the object is gone, and so are all pointers to it.
    pub(crate) fn release_reference(&mut self, ref_obj_id: u32) -> Res {
        self.cur.release_reference_nomark(ref_obj_id)?;
        let invalidate = self.invalid_reg(self.allow_ptr_leaks);
        self.cur.for_each_reg(|reg| {
            if reg.ref_obj_id == ref_obj_id {
                invalidate(reg);
            }
        });
        Ok(())
    }

    /// `check_reference_leak`.
    fn check_reference_leak(&mut self) -> Res {
        if self.cur.frames.len() > 1 {
            return Ok(());
        }
        let mut leaks = false;
        for i in 0..self.cur.refs.len() {
            let RefState { ty, id, insn_idx, .. } = self.cur.refs[i];
            if ty == RefType::Ptr {
                verbose!(self, "Unreleased reference id={id} alloc_insn={insn_idx}\n");
                leaks = true;
            }
        }
        if leaks { Err(EINVAL) } else { Ok(()) }
    }

    /// The end of the program, or of a function, before there was `check_resource_leak`.
    pub(crate) fn check_exit_leak(&mut self, outermost: bool) -> Res {
        // Before 6.3, a function could not end with a lock held either.
        if self.cur.active_locks != 0 && (outermost || !self.profile().prints_endless_loops()) {
            verbose!(self, "bpf_spin_unlock is missing\n");
            return Err(EINVAL);
        }
        if outermost && self.cur.active_rcu_lock {
            verbose!(self, "bpf_rcu_read_unlock is missing\n");
            return Err(EINVAL);
        }
        let disabled = self.cur.active_preempt_locks;
        if outermost && disabled != 0 {
            let are = if disabled == 1 { " is" } else { "(s) are" };
            verbose!(self, "{disabled} bpf_preempt_enable{are} missing\n");
            return Err(EINVAL);
        }
        self.check_reference_leak()
    }

    /// What may end the program while it runs, before there was `check_resource_leak`.
    pub(crate) fn check_leak_before_release(&mut self, prefix: &str, leaks: &str) -> Res {
        if let Err(stop) = self.check_reference_leak() {
            verbose!(self, "{leaks}\n");
            return Err(stop);
        }
        self.check_held(prefix)
    }

    /// `check_resource_leak`: nothing is held where the program may end.
    pub(crate) fn check_resource_leak(&mut self, check_lock: bool, prefix: &str) -> Res {
        if check_lock && self.cur.active_locks != 0 {
            verbose!(self, "{prefix} cannot be used inside bpf_spin_lock-ed region\n");
            return Err(EINVAL);
        }
        if let Err(stop) = self.check_reference_leak() {
            verbose!(self, "{prefix} would lead to reference leak\n");
            return Err(stop);
        }
        if check_lock { self.check_held(prefix) } else { Ok(()) }
    }

    /// Locks and the like are not held.
    fn check_held(&mut self, prefix: &str) -> Res {
        for (held, what) in [
            (self.cur.active_locks != 0, "bpf_spin_lock-ed"),
            (self.cur.active_irq_id != 0, "bpf_local_irq_save-ed"),
            (self.cur.active_rcu_lock, "bpf_rcu_read_lock-ed"),
            (self.cur.active_preempt_locks != 0, "bpf_preempt_disable-ed"),
        ] {
            if held {
                verbose!(self, "{prefix} cannot be used inside {what} region\n");
                return Err(EINVAL);
            }
        }
        Ok(())
    }
}
