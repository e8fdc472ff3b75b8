// SPDX-License-Identifier: GPL-2.0-only
//! Locks and timers in map values (`process_spin_lock`, `process_timer_func @ 6.18`).

use crate::env::Env;
use crate::helper_arg::CallArgMeta;
use crate::map::field;
use crate::reg_type::PTR_TO_MAP_VALUE;
use crate::state::{LockPtr, RefType};
use crate::stop::{EINVAL, Res, verbose, verifier_bug};

impl Env<'_> {
    /// `process_spin_lock`, of a `bpf_spin_lock`.
    pub(crate) fn process_spin_lock(&mut self, regno: u32, is_lock: bool) -> Res {
        let reg = *self.reg(regno);
        if !reg.is_const_offset() {
            verbose!(
                self,
                "R{regno} doesn't have constant offset. bpf_spin_lock has to be at the constant offset\n"
            );
            return Err(EINVAL);
        }
        let Some(map_ref) = reg.map().filter(|_| reg.ty == PTR_TO_MAP_VALUE) else {
            return self.unsupported("kernel functions (allocated objects)");
        };
        let map = self.map(map_ref);
        let (name, has_btf, lock_off) =
            (map.name.clone(), map.has_btf, map.record.offset_of(field::SPIN_LOCK));
        if !has_btf {
            verbose!(self, "map '{name}' has to have BTF in order to use bpf_spin_lock\n");
            return Err(EINVAL);
        }
        let Some(lock_off) = lock_off else {
            verbose!(self, "map '{name}' has no valid bpf_spin_lock\n");
            return Err(EINVAL);
        };
        let at = reg.val.var_off.value.wrapping_add(i64::from(reg.off) as u64);
        if u64::from(lock_off) != at {
            verbose!(
                self,
                "off {} doesn't point to 'struct bpf_spin_lock' that is at {lock_off}\n",
                at as i64
            );
            return Err(EINVAL);
        }
        let ptr = LockPtr::Map(map_ref);
        if is_lock {
            self.cur.acquire_lock(self.insn_idx, RefType::Lock, reg.id, ptr);
            return Ok(());
        }
        if self.cur.active_locks == 0 {
            verbose!(self, "bpf_spin_unlock without taking a lock\n");
            return Err(EINVAL);
        }
        if !self.cur.holds_lock(RefType::Lock, reg.id, ptr) {
            verbose!(self, "bpf_spin_unlock of different lock\n");
            return Err(EINVAL);
        }
        if reg.id != self.cur.active_lock_id || self.cur.active_lock_ptr != Some(ptr) {
            verbose!(self, "bpf_spin_unlock cannot be out of order\n");
            return Err(EINVAL);
        }
        self.cur.release_lock(RefType::Lock, reg.id, ptr)
    }

    /// `process_timer_func`, with `check_map_field_pointer`.
    pub(crate) fn process_timer_func(&mut self, regno: u32, meta: &mut CallArgMeta) -> Res {
        let reg = *self.reg(regno);
        if !reg.is_const_offset() {
            verbose!(
                self,
                "R{regno} doesn't have constant offset. bpf_timer has to be at the constant offset\n"
            );
            return Err(EINVAL);
        }
        let Some(map_ref) = reg.map() else { return Err(EINVAL) };
        let map = self.map(map_ref);
        let (name, has_btf, off) = (map.name.clone(), map.has_btf, map.record.offset_of(field::TIMER));
        if !has_btf {
            verbose!(self, "map '{name}' has to have BTF in order to use bpf_timer\n");
            return Err(EINVAL);
        }
        let Some(off) = off else {
            verbose!(self, "map '{name}' has no valid bpf_timer\n");
            return Err(EINVAL);
        };
        let at = reg.val.var_off.value.wrapping_add(i64::from(reg.off) as u64);
        if u64::from(off) != at {
            verbose!(self, "off {} doesn't point to 'struct bpf_timer' that is at {off}\n", at as i64);
            return Err(EINVAL);
        }
        if meta.map_ptr.is_some() {
            return Err(verifier_bug!(self, "Two map pointers in a timer helper"));
        }
        meta.map_uid = reg.map_uid();
        meta.map_ptr = Some(map_ref);
        Ok(())
    }
}
