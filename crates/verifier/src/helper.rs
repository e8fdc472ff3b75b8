// SPDX-License-Identifier: GPL-2.0-only
//! Calls of helpers (`check_helper_call @ 6.18`): who may, arguments, what the call does to the state, its result.

mod format;

use skep_isa::Insn;
use skep_uapi::helper::{Arg, Cap, MightSleep, PTR_MAYBE_NULL, Proto, Ret, helper};
use skep_uapi::{Errno, HelperId, MapType, ProgType};

use crate::callback::Callback;
use crate::dynptr::kind;
use crate::env::Env;
use crate::helper_arg::{CallArgMeta, all_elements_exist};
use crate::log;
use crate::map::field;
use crate::mem::Access;
use crate::reg::DEF_NOT_SUBREG;
use crate::reg_arg::RegArg;
use crate::reg_type::{
    NOT_INIT, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_TCP_SOCK, SCALAR_VALUE,
};
use crate::state::CALLER_SAVED;
use crate::stop::{EACCES, EFAULT, EINVAL, ENOMEM, ENOTSUPP, Res, verbose, verifier_bug};

/// `MAX_ERRNO`: the greatest error number that a helper returns, negative.
const MAX_ERRNO: i64 = 4095;
/// `BPF_MAP_KEY_POISON` and `BPF_MAP_KEY_SEEN` in what is noted of a tail call's index.
const BPF_MAP_KEY_POISON: u64 = 1 << 63;
const BPF_MAP_KEY_SEEN: u64 = 1 << 62;

/// `is_acquire_function`.
fn acquires(id: HelperId, map_type: Option<MapType>) -> bool {
    matches!(
        id,
        HelperId::SK_LOOKUP_TCP
            | HelperId::SK_LOOKUP_UDP
            | HelperId::SKC_LOOKUP_TCP
            | HelperId::RINGBUF_RESERVE
            | HelperId::KPTR_XCHG
    ) || (id == HelperId::MAP_LOOKUP_ELEM && matches!(map_type, Some(MapType::SOCKMAP | MapType::SOCKHASH)))
}

/// `is_ptr_cast_function`: the result is the argument under another type.
fn casts(id: HelperId) -> bool {
    matches!(
        id,
        HelperId::TCP_SOCK
            | HelperId::SK_FULLSOCK
            | HelperId::SKC_TO_TCP_SOCK
            | HelperId::SKC_TO_TCP6_SOCK
            | HelperId::SKC_TO_UDP6_SOCK
            | HelperId::SKC_TO_MPTCP_SOCK
            | HelperId::SKC_TO_TCP_TIMEWAIT_SOCK
            | HelperId::SKC_TO_TCP_REQUEST_SOCK
    )
}

/// `is_storage_get_function`.
fn gets_storage(id: HelperId) -> bool {
    matches!(
        id,
        HelperId::SK_STORAGE_GET
            | HelperId::INODE_STORAGE_GET
            | HelperId::TASK_STORAGE_GET
            | HelperId::CGRP_STORAGE_GET
    )
}

/// `func_id_name`.
fn name(func_id: i32) -> String {
    match u32::try_from(func_id).ok().and_then(|id| HelperId(id).name()) {
        Some(name) => format!("bpf_{name}"),
        None => "unknown".to_owned(),
    }
}

impl Env<'_> {
    /// `get_helper_proto`: the prototype of a helper for this program, or the kernel's error.
    pub(crate) fn get_helper_proto(&self, func_id: i32) -> Result<&'static Proto, Errno> {
        if func_id < 0 || func_id as usize >= HelperId::ALL.len() {
            return Err(Errno::ERANGE);
        }
        let id = HelperId(func_id as u32);
        let row = helper(id).ok_or(Errno::EINVAL)?;
        if id == HelperId::OVERRIDE_RETURN && !self.options.kprobe_override {
            return Err(Errno::EINVAL);
        }
        let release = self.profile().release();
        if row.since > release {
            return Err(Errno::ERANGE);
        }
        let proto = row.proto_in(release, self.prog_type, self.expected_attach_type).ok_or(Errno::EINVAL)?;
        let allowed = match row.cap(proto) {
            Cap::None => true,
            Cap::Bpf => self.bpf_capable,
            Cap::Perfmon => self.bpf_capable && self.allow_ptr_leaks,
        };
        if allowed { Ok(proto) } else { Err(Errno::EINVAL) }
    }

    /// Whether and where this program may call a helper.
    fn check_callable(&mut self, func_id: i32) -> Res<&'static Proto> {
        let proto = match self.get_helper_proto(func_id) {
            Ok(proto) => proto,
            Err(errno) => {
                let why = if errno == Errno::ERANGE {
                    "invalid func"
                } else if self.profile().tells_foreign_helpers() {
                    "program of this type cannot use helper"
                } else {
                    "unknown func"
                };
                if self.log.needed() {
                    let name = if errno == Errno::ERANGE { "unknown".to_owned() } else { name(func_id) };
                    verbose!(self, "{why} {name}#{func_id}\n");
                }
                return Err(EINVAL);
            }
        };
        if proto.gpl_only && !crate::load::license_is_gpl_compatible(&self.program.license) {
            verbose!(self, "cannot call GPL-restricted function from non-GPL compatible program\n");
            return Err(EINVAL);
        }
        if proto.by_target {
            if matches!(self.prog_type, ProgType::TRACING | ProgType::LSM) {
                return self.unsupported("kernel BTF");
            }
            verbose!(self, "helper call is not allowed in probe\n");
            return Err(EINVAL);
        }
        let might_sleep = proto.might_sleep == MightSleep::Yes;
        if !self.in_sleepable() && might_sleep {
            verbose!(self, "helper call might sleep in a non-sleepable prog\n");
            return Err(EINVAL);
        }
        for (held, region) in [
            (self.cur.active_rcu_lock, "rcu_read_lock"),
            (self.cur.active_preempt_locks != 0, "non-preemptible"),
            (self.cur.active_irq_id != 0, "IRQ-disabled"),
        ] {
            if held && might_sleep {
                let name = name(func_id);
                verbose!(self, "sleepable helper {name}#{func_id} in {region} region\n");
                return Err(EINVAL);
            }
        }
        Ok(proto)
    }

    /// `check_helper_call`.
    pub(crate) fn check_helper_call(&mut self, insn: &Insn, insn_idx_p: &mut u32) -> Res {
        let insn_idx = *insn_idx_p;
        let proto = self.check_callable(insn.imm)?;
        let id = HelperId(insn.imm as u32);
        let mut changes_data = helper(id).is_some_and(|row| row.changes_packet);
        if gets_storage(id) {
            self.aux[insn_idx as usize].storage_get_func_atomic = true;
        }
        let mut meta = CallArgMeta { pkt_access: proto.pkt_access, func_id: id, ..CallArgMeta::default() };
        for i in 0..proto.args.len() {
            self.check_func_arg(i, &mut meta, proto, insn_idx)?;
        }
        self.record_func_map(&meta, insn_idx)?;
        self.record_func_key(&meta, insn_idx)?;
        for i in 0..meta.access_size {
            self.check_mem_access(insn_idx, meta.regno, i, 1, Access::Write, None, false, false)?;
        }
        self.release_arg(&meta, proto)?;
        self.check_helper_specifics(&mut meta, proto, insn_idx, &mut changes_data)?;
        for regno in CALLER_SAVED {
            self.mark_reg_not_init(regno);
            self.check_reg_arg(regno, RegArg::DstNoMark)?;
        }
        self.reg_mut(0).subreg_def = DEF_NOT_SUBREG;
        self.set_return_value(&meta, proto, insn_idx)?;
        self.refine_retval_range(&meta, proto)?;
        if let Some(map) = meta.map_ptr {
            self.check_map_func_compatibility(map, id)?;
        }
        if id == HelperId::GET_FUNC_IP && self.prog_type != ProgType::KPROBE {
            return self.refuse_get_func_ip();
        }
        if id == HelperId::TAIL_CALL {
            if self.profile().tail_calls_return() && self.cur.curframe() != 0 {
                return self.tail_call_in_subprog(insn_idx_p);
            }
            changes_data = self.profile().tail_calls_change_packets();
        }
        if changes_data {
            self.clear_all_pkt_pointers();
        }
        Ok(())
    }

    /// A tail call in a function: it fails, and the next instruction follows; or it does not, and what was called
    /// returns to the caller.
    fn tail_call_in_subprog(&mut self, insn_idx: &mut u32) -> Res {
        self.mark_reg_scratched(0);
        if self.push_stack(self.insn_idx + 1, self.insn_idx, false).is_none() {
            return Err(ENOMEM);
        }
        self.clear_all_pkt_pointers();
        self.mark_reg_unknown(0);
        self.prepare_func_exit(insn_idx)?;
        *insn_idx = insn_idx.wrapping_sub(1);
        // As `changes_data` asks for.
        self.clear_all_pkt_pointers();
        Ok(())
    }

    fn refuse_get_func_ip(&mut self) -> Res {
        if self.prog_type == ProgType::TRACING {
            return self.unsupported("kernel BTF");
        }
        let (id, ty) = (HelperId::GET_FUNC_IP.0, self.prog_type.0);
        verbose!(self, "func bpf_get_func_ip#{id} not supported for program type {ty}\n");
        Err(ENOTSUPP)
    }

    /// `record_func_map`: calls on different maps at one instruction cannot be inlined.
    fn record_func_map(&mut self, meta: &CallArgMeta, insn_idx: u32) -> Res {
        if !matches!(
            meta.func_id,
            HelperId::TAIL_CALL
                | HelperId::MAP_LOOKUP_ELEM
                | HelperId::MAP_UPDATE_ELEM
                | HelperId::MAP_DELETE_ELEM
                | HelperId::MAP_PUSH_ELEM
                | HelperId::MAP_POP_ELEM
                | HelperId::MAP_PEEK_ELEM
                | HelperId::FOR_EACH_MAP_ELEM
                | HelperId::REDIRECT_MAP
                | HelperId::MAP_LOOKUP_PERCPU_ELEM
        ) {
            return Ok(());
        }
        let Some(map) = meta.map_ptr else {
            return Err(verifier_bug!(self, "expected map for helper call"));
        };
        let writes = matches!(
            meta.func_id,
            HelperId::MAP_DELETE_ELEM
                | HelperId::MAP_UPDATE_ELEM
                | HelperId::MAP_PUSH_ELEM
                | HelperId::MAP_POP_ELEM
        );
        let flags = self.map(map).map_flags;
        if writes && flags & skep_uapi::flags::map_create::BPF_F_RDONLY_PROG != 0 {
            verbose!(self, "write into map forbidden\n");
            return Err(EACCES);
        }
        let unpriv = !self.bypass_spec_v1;
        let aux = &mut self.aux[insn_idx as usize];
        if aux.map_ptr != Some(map) {
            aux.map_ptr_poison = aux.map_ptr.is_some();
            aux.map_ptr = Some(map);
            aux.map_ptr_unpriv |= unpriv;
        }
        Ok(())
    }

    /// `record_func_key`: a tail call whose index is the same on all paths is patched by the kernel.
    fn record_func_key(&mut self, meta: &CallArgMeta, insn_idx: u32) -> Res {
        if meta.func_id != HelperId::TAIL_CALL {
            return Ok(());
        }
        let map = meta.map_ptr.filter(|&map| self.map(map).map_type == MapType::PROG_ARRAY);
        let Some(map) = map else {
            verbose!(self, "expected prog array map for tail call");
            return Err(EINVAL);
        };
        let max = u64::from(self.map(map).max_entries);
        let index = *self.reg(3);
        let known = index.val.const_value(false).filter(|&value| index.ty == SCALAR_VALUE && value < max);
        let store =
            |state: &mut u64, value: u64| *state = value | BPF_MAP_KEY_SEEN | *state & BPF_MAP_KEY_POISON;
        let Some(value) = known else {
            store(&mut self.aux[insn_idx as usize].map_key_state, BPF_MAP_KEY_POISON);
            return Ok(());
        };
        self.mark_chain_precision(3)?;
        let state = &mut self.aux[insn_idx as usize].map_key_state;
        if *state & BPF_MAP_KEY_SEEN == 0 {
            store(state, value);
        } else if *state & BPF_MAP_KEY_POISON == 0
            && *state & !(BPF_MAP_KEY_SEEN | BPF_MAP_KEY_POISON) != value
        {
            store(state, BPF_MAP_KEY_POISON);
        }
        Ok(())
    }

    fn release_arg(&mut self, meta: &CallArgMeta, proto: &Proto) -> Res {
        if meta.release_regno == 0 {
            return Ok(());
        }
        let reg = *self.reg(meta.release_regno);
        let released = if proto.args[meta.release_regno as usize - 1].base == Arg::PtrToDynptr {
            self.unmark_stack_slots_dynptr(&reg)
        } else if meta.ref_obj_id != 0 {
            self.release_reference(meta.ref_obj_id)
        } else if reg.is_null() {
            Ok(())
        } else {
            Err(EINVAL)
        };
        if released.is_err() {
            let id = meta.func_id.0 as i32;
            let name = name(id);
            verbose!(self, "func {name}#{id} reference has not been acquired before\n");
        }
        released
    }

    /// What only some helpers ask for.
    fn check_helper_specifics(
        &mut self,
        meta: &mut CallArgMeta,
        proto: &Proto,
        insn_idx: u32,
        changes_data: &mut bool,
    ) -> Res {
        match meta.func_id {
            HelperId::TAIL_CALL if self.profile().checks_resource_leaks() => {
                self.check_resource_leak(true, "tail_call")
            }
            HelperId::TAIL_CALL => {
                self.check_leak_before_release("tail_call", "tail_call would lead to reference leak")
            }
            HelperId::GET_LOCAL_STORAGE => {
                if !self.reg(2).is_null() {
                    verbose!(self, "get_local_storage() doesn't support non-zero flags\n");
                    return Err(EINVAL);
                }
                Ok(())
            }
            HelperId::FOR_EACH_MAP_ELEM => {
                self.push_callback_call(insn_idx, meta.subprogno, Callback::MapElem)
            }
            HelperId::TIMER_SET_CALLBACK => {
                self.push_callback_call(insn_idx, meta.subprogno, Callback::Timer)
            }
            HelperId::FIND_VMA => self.push_callback_call(insn_idx, meta.subprogno, Callback::FindVma),
            HelperId::USER_RINGBUF_DRAIN => {
                self.push_callback_call(insn_idx, meta.subprogno, Callback::UserRingbuf)
            }
            HelperId::SNPRINTF => self.check_bpf_snprintf_call(),
            HelperId::LOOP => self.check_loop(meta.subprogno, insn_idx),
            HelperId::DYNPTR_FROM_MEM => {
                let ty = self.reg(1).ty;
                if ty != PTR_TO_MAP_VALUE {
                    let ty = self.reg_type_str(ty);
                    verbose!(self, "Unsupported reg type {ty} for bpf_dynptr_from_mem data\n");
                    return Err(EACCES);
                }
                Ok(())
            }
            HelperId::DYNPTR_DATA | HelperId::DYNPTR_WRITE => {
                let at = proto.args.iter().position(|arg| arg.base == Arg::PtrToDynptr);
                let Some(regno) = at.map(|i| i as u32 + 1) else { return Err(EFAULT) };
                let reg = *self.reg(regno);
                if meta.func_id == HelperId::DYNPTR_WRITE {
                    let dynptr = self.dynptr_get_type(&reg)?;
                    *changes_data |= matches!(dynptr, kind::SKB | kind::SKB_META);
                    return Ok(());
                }
                let dynptr = self.dynptr_arg(&reg)?;
                meta.dynptr_id = dynptr.id;
                meta.ref_obj_id = dynptr.ref_obj_id;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `bpf_loop`: one more round, unless all were explored.
    fn check_loop(&mut self, subprog: u32, insn_idx: u32) -> Res {
        // `update_loop_inline_state`.
        let state = self.aux[self.insn_idx as usize].loop_inline;
        if state.is_none_or(|(fit, _)| fit) {
            let flags_are_zero = self.reg(4).is_null();
            if flags_are_zero {
                self.mark_chain_precision(4)?;
            }
            let fit = flags_are_zero && state.is_none_or(|(_, callback)| callback == subprog);
            let callback = state.map_or(subprog, |(_, callback)| callback);
            self.cur_aux().loop_inline = Some((fit, callback));
        }
        self.mark_chain_precision(1)?;
        if u64::from(self.cur_func().callback_depth) < self.reg(1).val.umax {
            return self.push_callback_call(insn_idx, subprog, Callback::Loop);
        }
        self.cur_func_mut().callback_depth = 0;
        if self.log.level & log::LEVEL2 != 0 {
            verbose!(self, "frame{} bpf_loop iteration limit reached\n", self.cur.curframe());
        }
        Ok(())
    }

    /// `check_bpf_snprintf_call`.
    fn check_bpf_snprintf_call(&mut self) -> Res {
        let (fmt, len) = (*self.reg(3), self.reg(5).val.var_off.value);
        if len % 8 != 0 {
            return Err(EINVAL);
        }
        let off = fmt.off.wrapping_add(fmt.val.var_off.value as i32);
        let Some(text) = fmt.map().and_then(|map| self.const_str(map, off)) else {
            verbose!(self, "failed to retrieve map value address\n");
            return Err(EFAULT);
        };
        if !format::is_valid(&text, (len as u32 / 8) as usize) {
            verbose!(self, "Invalid format string\n");
            return Err(EINVAL);
        }
        Ok(())
    }

    /// The type of `r0` after the call.
    fn set_return_value(&mut self, meta: &CallArgMeta, proto: &Proto, insn_idx: u32) -> Res {
        let id = meta.func_id;
        let mut flags = proto.ret.flags;
        match proto.ret.base {
            Ret::Integer => self.mark_reg_unknown(0),
            Ret::Void => self.reg_mut(0).ty = NOT_INIT,
            Ret::PtrToMapValue => {
                self.mark_reg_known_zero(0);
                let Some(map_ref) = meta.map_ptr else {
                    return Err(verifier_bug!(self, "unexpected null map_ptr"));
                };
                let map = self.map(map_ref);
                let exists = id == HelperId::MAP_LOOKUP_ELEM
                    && all_elements_exist(map.map_type)
                    && (0..i64::from(map.max_entries)).contains(&meta.const_map_key);
                if exists {
                    flags &= !PTR_MAYBE_NULL;
                }
                let has_lock = map.record.has(field::SPIN_LOCK | field::RES_SPIN_LOCK);
                let own_id = if flags & PTR_MAYBE_NULL == 0 && has_lock { Some(self.new_id()) } else { None };
                let reg = self.reg_mut(0);
                reg.set_map(map_ref);
                reg.set_map_uid(meta.map_uid);
                reg.ty = PTR_TO_MAP_VALUE | flags;
                if let Some(id) = own_id {
                    reg.id = id;
                }
            }
            base @ (Ret::PtrToSocket | Ret::PtrToSockCommon | Ret::PtrToTcpSock) => {
                let ty = match base {
                    Ret::PtrToSocket => PTR_TO_SOCKET,
                    Ret::PtrToSockCommon => PTR_TO_SOCK_COMMON,
                    _ => PTR_TO_TCP_SOCK,
                };
                self.mark_reg_known_zero(0);
                self.reg_mut(0).ty = ty | flags;
            }
            Ret::PtrToMem => {
                self.mark_reg_known_zero(0);
                let reg = self.reg_mut(0);
                reg.ty = PTR_TO_MEM | flags;
                reg.set_mem_size(meta.mem_size);
            }
            Ret::PtrToMemOrBtfId | Ret::PtrToBtfId => return self.unsupported("kernel BTF"),
        }
        if self.reg(0).ty.may_be_null() {
            self.reg_mut(0).id = self.id_gen + 1;
            self.id_gen += 1;
        }
        let map_type = meta.map_ptr.map(|map| self.map(map).map_type);
        let slices = id == HelperId::DYNPTR_DATA;
        if slices {
            self.reg_mut(0).set_dynptr_id(meta.dynptr_id);
        }
        if casts(id) || slices {
            self.reg_mut(0).ref_obj_id = meta.ref_obj_id;
        } else if acquires(id, map_type) {
            let acquired = self.acquire_reference(insn_idx);
            let reg = self.reg_mut(0);
            reg.id = acquired;
            reg.ref_obj_id = acquired;
        }
        Ok(())
    }

    /// `do_refine_retval_range`.
    fn refine_retval_range(&mut self, meta: &CallArgMeta, proto: &Proto) -> Res {
        if proto.ret.base != Ret::Integer {
            return Ok(());
        }
        let last_cpu = self.options.cpus.saturating_sub(1);
        let val = &mut self.reg_mut(0).val;
        match meta.func_id {
            HelperId::GET_STACK
            | HelperId::GET_TASK_STACK
            | HelperId::PROBE_READ_STR
            | HelperId::PROBE_READ_KERNEL_STR
            | HelperId::PROBE_READ_USER_STR => {
                val.smax = meta.msize_max_value as i64;
                val.s32_max = meta.msize_max_value as i32;
                val.smin = -MAX_ERRNO;
                val.s32_min = -MAX_ERRNO as i32;
                val.sync();
            }
            HelperId::GET_SMP_PROCESSOR_ID => {
                (val.umin, val.umax) = (0, last_cpu.into());
                (val.smin, val.smax) = (0, last_cpu.into());
                (val.u32_min, val.u32_max) = (0, last_cpu);
                (val.s32_min, val.s32_max) = (0, last_cpu as i32);
                val.sync();
            }
            _ => {}
        }
        self.reg_bounds_sanity_check(self.cur.frames.len() - 1, 0, "retval")
    }
}
