// SPDX-License-Identifier: GPL-2.0-only
//! Arguments of helpers (`check_func_arg`, `check_reg_type @ 6.18`).

use skep_uapi::helper::{
    Arg, ArgType, DYNPTR_TYPE_LOCAL, DYNPTR_TYPE_RINGBUF, DYNPTR_TYPE_SKB, DYNPTR_TYPE_SKB_META,
    DYNPTR_TYPE_XDP, MEM_ALIGNED, MEM_ALLOC, MEM_FIXED_SIZE, MEM_PERCPU, MEM_RCU, MEM_RDONLY, MEM_RINGBUF,
    MEM_UNINIT, MEM_WRITE, NON_OWN_REF, OBJ_RELEASE, PTR_MAYBE_NULL, PTR_TRUSTED, Proto,
};
use skep_uapi::{HelperId, MapType};

use crate::env::Env;
use crate::map::field;
use crate::mem::{Access, AccessSrc};
use crate::reg::{MapRef, Reg};
use crate::reg_arg::RegArg;
use crate::reg_type::{
    CONST_PTR_TO_DYNPTR, CONST_PTR_TO_MAP, PTR_TO_ARENA, PTR_TO_BTF_ID, PTR_TO_BUF, PTR_TO_CTX, PTR_TO_FUNC,
    PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_SOCK_COMMON,
    PTR_TO_SOCKET, PTR_TO_STACK, PTR_TO_TCP_SOCK, PTR_TO_XDP_SOCK, RegType, SCALAR_VALUE,
};
use crate::stack::get_spi;
use crate::state::Slot;
use crate::stop::{EACCES, EFAULT, EINVAL, Res, verbose, verifier_bug};

/// What the arguments of a call say of the call (`struct bpf_call_arg_meta`).
#[derive(Clone, Debug, Default)]
pub(crate) struct CallArgMeta {
    pub map_ptr: Option<MapRef>,
    pub map_uid: u32,
    pub raw_mode: bool,
    pub pkt_access: bool,
    /// Register of what is released; 0 for none.
    pub release_regno: u32,
    /// Register of the memory that the helper fills, and how much.
    pub regno: u32,
    pub access_size: i32,
    pub mem_size: u32,
    pub msize_max_value: u64,
    pub ref_obj_id: u32,
    pub dynptr_id: u32,
    pub func_id: HelperId,
    pub subprogno: u32,
    /// Key of a lookup where it is known, else negative.
    pub const_map_key: i64,
}

const SOCK: &[RegType] = &[PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_TCP_SOCK, PTR_TO_XDP_SOCK];
const BTF_ID_SOCK_COMMON: &[RegType] = &[
    PTR_TO_SOCK_COMMON,
    PTR_TO_SOCKET,
    PTR_TO_TCP_SOCK,
    PTR_TO_XDP_SOCK,
    PTR_TO_BTF_ID,
    PTR_TO_BTF_ID.with(PTR_TRUSTED),
];
const MEM: &[RegType] = &[
    PTR_TO_STACK,
    PTR_TO_PACKET,
    PTR_TO_PACKET_META,
    PTR_TO_MAP_KEY,
    PTR_TO_MAP_VALUE,
    PTR_TO_MEM,
    PTR_TO_MEM.with(MEM_RINGBUF),
    PTR_TO_BUF,
    PTR_TO_BTF_ID.with(PTR_TRUSTED),
];
const RINGBUF_MEM: &[RegType] = &[PTR_TO_MEM.with(MEM_RINGBUF)];
const VALUE_OR_ALLOC: &[RegType] = &[PTR_TO_MAP_VALUE, PTR_TO_BTF_ID.with(MEM_ALLOC)];
const BTF_PTR: &[RegType] = &[PTR_TO_BTF_ID, PTR_TO_BTF_ID.with(PTR_TRUSTED), PTR_TO_BTF_ID.with(MEM_RCU)];
const PERCPU_BTF_PTR: &[RegType] = &[
    PTR_TO_BTF_ID.with(MEM_PERCPU),
    PTR_TO_BTF_ID.with(MEM_PERCPU | MEM_RCU),
    PTR_TO_BTF_ID.with(MEM_PERCPU | PTR_TRUSTED),
];

/// `compatible_reg_types`: the types of registers that do for an argument.
fn compatible(arg: Arg) -> &'static [RegType] {
    match arg {
        Arg::PtrToMapKey | Arg::PtrToMapValue | Arg::PtrToMem => MEM,
        Arg::ConstSize | Arg::ConstSizeOrZero | Arg::ConstAllocSizeOrZero => &[SCALAR_VALUE],
        Arg::ConstMapPtr => &[CONST_PTR_TO_MAP],
        Arg::PtrToCtx => &[PTR_TO_CTX],
        Arg::PtrToSockCommon => SOCK,
        Arg::PtrToBtfIdSockCommon => BTF_ID_SOCK_COMMON,
        Arg::PtrToSocket => &[PTR_TO_SOCKET],
        Arg::PtrToBtfId => BTF_PTR,
        Arg::PtrToSpinLock | Arg::KptrXchgDest => VALUE_OR_ALLOC,
        Arg::PtrToRingbufMem => RINGBUF_MEM,
        Arg::PtrToPercpuBtfId => PERCPU_BTF_PTR,
        Arg::PtrToFunc => &[PTR_TO_FUNC],
        Arg::PtrToStack => &[PTR_TO_STACK],
        Arg::PtrToConstStr | Arg::PtrToTimer => &[PTR_TO_MAP_VALUE],
        Arg::PtrToDynptr => &[PTR_TO_STACK, CONST_PTR_TO_DYNPTR],
        Arg::DontCare | Arg::Anything => &[],
    }
}

/// `DYNPTR_TYPE_FLAG_MASK`.
const DYNPTR_FLAGS: u32 =
    DYNPTR_TYPE_LOCAL | DYNPTR_TYPE_RINGBUF | DYNPTR_TYPE_SKB | DYNPTR_TYPE_XDP | DYNPTR_TYPE_SKB_META;

/// `can_elide_value_nullness`: maps whose elements all exist.
pub(crate) fn all_elements_exist(map_type: MapType) -> bool {
    matches!(map_type, MapType::ARRAY | MapType::PERCPU_ARRAY)
}

impl Env<'_> {
    /// `resolve_map_arg_type`: a value that is a socket in maps of sockets.
    fn resolve_map_arg_type(&mut self, meta: &CallArgMeta, arg: &mut ArgType) -> Res {
        let Some(map) = meta.map_ptr else {
            return Err(verifier_bug!(self, "invalid map_ptr to access map->type"));
        };
        match self.map(map).map_type {
            MapType::SOCKMAP | MapType::SOCKHASH => {
                if arg.flags != 0 {
                    verbose!(self, "invalid arg_type for sockmap/sockhash\n");
                    return Err(EINVAL);
                }
                arg.base = Arg::PtrToBtfIdSockCommon;
            }
            // A bloom filter is asked about a value, which it does not write.
            MapType::BLOOM_FILTER if meta.func_id == HelperId::MAP_PEEK_ELEM => arg.flags = 0,
            _ => {}
        }
        Ok(())
    }

    /// `check_reg_type`.
    fn check_reg_type(&mut self, regno: u32, arg: &ArgType, meta: &CallArgMeta) -> Res {
        let reg = *self.reg(regno);
        let expected = compatible(arg.base);
        let mut ty = reg.ty;
        if arg.flags & MEM_RDONLY != 0 {
            ty = ty.without(MEM_RDONLY);
        }
        if arg.flags & PTR_MAYBE_NULL != 0 {
            ty = ty.without(PTR_MAYBE_NULL);
        }
        if arg.base == Arg::PtrToMem {
            ty = ty.without(DYNPTR_FLAGS);
        }
        if meta.func_id == HelperId::KPTR_XCHG && ty.has(MEM_ALLOC) && regno == 2 {
            ty = ty.without(MEM_ALLOC | MEM_PERCPU);
        }
        let trusted = self.profile().has_trusted_pointers();
        let expected: Vec<RegType> =
            expected.iter().copied().filter(|ty| trusted || !ty.has(PTR_TRUSTED)).collect();
        if !expected.contains(&ty) {
            if self.log.needed() {
                let shown = self.reg_type_str(reg.ty);
                verbose!(self, "R{regno} type={shown} expected=");
                for (i, &ty) in expected.iter().enumerate() {
                    let end = if i + 1 < expected.len() { ", " } else { "\n" };
                    let shown = self.reg_type_str(ty);
                    verbose!(self, "{shown}{end}");
                }
            }
            return Err(EACCES);
        }
        if reg.ty.base() == PTR_TO_BTF_ID { self.unsupported("kernel BTF") } else { Ok(()) }
    }

    /// `check_func_arg_reg_off`: which pointers may have an offset when they are passed on. Without an argument
    /// type it is a function of the program that they are passed to.
    pub(crate) fn check_func_arg_reg_off(&mut self, reg: &Reg, regno: u32, arg: Option<&ArgType>) -> Res {
        if let Some(arg) = arg.filter(|arg| arg.flags & OBJ_RELEASE != 0) {
            if arg.base == Arg::PtrToDynptr && reg.ty == PTR_TO_STACK {
                return Ok(());
            }
            if reg.off != 0 && !self.profile().released_must_have_no_offset() {
                let ty = self.reg_type_str(reg.ty);
                verbose!(self, "dereference of modified {ty} ptr R{regno} off={} disallowed\n", reg.off);
                return Err(EACCES);
            }
            if reg.off != 0 {
                verbose!(
                    self,
                    "R{regno} must have zero offset when passed to release func or trusted arg to kfunc\n"
                );
                return Err(EINVAL);
            }
            return self.check_ptr_off_reg(reg, regno);
        }
        const ALLOWED: &[RegType] = &[
            PTR_TO_STACK,
            PTR_TO_PACKET,
            PTR_TO_PACKET_META,
            PTR_TO_MAP_KEY,
            PTR_TO_MAP_VALUE,
            PTR_TO_MEM,
            PTR_TO_MEM.with(MEM_RDONLY),
            PTR_TO_MEM.with(MEM_RINGBUF),
            PTR_TO_BUF,
            PTR_TO_BUF.with(MEM_RDONLY),
            PTR_TO_ARENA,
            SCALAR_VALUE,
        ];
        const FIXED: &[RegType] = &[
            PTR_TO_BTF_ID,
            PTR_TO_BTF_ID.with(MEM_ALLOC),
            PTR_TO_BTF_ID.with(PTR_TRUSTED),
            PTR_TO_BTF_ID.with(MEM_RCU),
            PTR_TO_BTF_ID.with(MEM_ALLOC | NON_OWN_REF),
            PTR_TO_BTF_ID.with(MEM_ALLOC | NON_OWN_REF | MEM_RCU),
        ];
        if ALLOWED.contains(&reg.ty) {
            return Ok(());
        }
        self.check_ptr_off_reg_fixed(reg, regno, FIXED.contains(&reg.ty))
    }

    /// `check_reg_const_str`: a string in a map that cannot change.
    fn check_reg_const_str(&mut self, reg: &Reg, regno: u32) -> Res {
        let Some(map) = reg.map().filter(|_| reg.ty == PTR_TO_MAP_VALUE) else { return Err(EINVAL) };
        if !self.map_is_rdonly(map) {
            verbose!(self, "R{regno} does not point to a readonly map'\n");
            return Err(EACCES);
        }
        if !reg.is_const_offset() {
            verbose!(self, "R{regno} is not a constant address'\n");
            return Err(EACCES);
        }
        if !self.has_direct_value(map) {
            verbose!(self, "no direct value access support for this map type\n");
            return Err(EACCES);
        }
        let value_size = self.map(map).value_size as i32;
        self.check_map_access(regno, reg.off, value_size.wrapping_sub(reg.off), false, AccessSrc::Helper)?;
        let off = reg.off.wrapping_add(reg.val.var_off.value as i32);
        if self.map_direct_read(map, off, 1, false).is_err() {
            verbose!(self, "direct value access on string failed\n");
            return Err(EINVAL);
        }
        if self.const_str(map, off).is_none() {
            verbose!(self, "string is not zero-terminated\n");
            return Err(EINVAL);
        }
        Ok(())
    }

    /// The string at an offset in the value of a map that cannot change, without the zero at its end.
    pub(crate) fn const_str(&self, map: MapRef, off: i32) -> Option<Vec<u8>> {
        let end = self.map(map).value_size as i32;
        let mut text = Vec::new();
        for at in off..end {
            match self.map_direct_read(map, at, 1, false) {
                Ok(0) => return Some(text),
                Ok(byte) => text.push(byte as u8),
                Err(_) => return None,
            }
        }
        None
    }

    /// `get_constant_map_key`: the key on the stack, where it is known.
    fn constant_map_key(&mut self, key: &Reg, key_size: u32) -> Res<Option<i64>> {
        if !self.bpf_capable || key.ty != PTR_TO_STACK || !key.is_const_offset() {
            return Ok(None);
        }
        let off = key.off.wrapping_add(key.val.var_off.value as i32);
        let spi = get_spi(off);
        let at = (off.wrapping_neg().wrapping_sub(1) % 8) as usize & 7;
        let Some(slot) = self.func(key).stack.get(spi as usize).copied() else { return Ok(None) };
        let run = |kind| slot.bytes[..=at].iter().rev().take_while(|&&b| b == kind).count() as u32;
        if run(Slot::Zero) >= key_size {
            return Ok(Some(0));
        }
        if !slot.is_spilled_scalar() || run(Slot::Spill) != key_size {
            return Ok(None);
        }
        let Some(value) = slot.spilled.val.const_value(false) else { return Ok(None) };
        self.bt.set_frame_slot(key.frameno, spi as u32);
        let mut cur = std::mem::take(&mut self.cur);
        let marked = self.mark_chain_precision_from(&mut cur, None, None);
        self.cur = cur;
        marked?;
        Ok(Some(value as i64))
    }

    /// `check_func_arg`.
    pub(crate) fn check_func_arg(
        &mut self,
        index: usize,
        meta: &mut CallArgMeta,
        proto: &Proto,
        insn_idx: u32,
    ) -> Res {
        let regno = index as u32 + 1;
        let mut arg = proto.args[index];
        if arg.base == Arg::DontCare {
            return Ok(());
        }
        self.check_reg_arg(regno, RegArg::Src)?;
        let reg = *self.reg(regno);
        let counts = meta.func_id == HelperId::LOOP && index == 0 && self.profile().loops_count_numbers();
        if counts && reg.ty != SCALAR_VALUE {
            let ty = self.reg_type_str(reg.ty);
            verbose!(self, "R{regno} type={ty} expected=scalar\n");
            return Err(EACCES);
        }
        if arg.base == Arg::Anything {
            if self.is_pointer_value(regno) {
                verbose!(self, "R{regno} leaks addr into helper function\n");
                return Err(EACCES);
            }
            return Ok(());
        }
        let packet = reg.ty.is_pkt_pointer();
        if packet && !self.may_access_direct_pkt_data(Some(meta.pkt_access), Access::Read) {
            verbose!(self, "helper access to the packet is not allowed\n");
            return Err(EACCES);
        }
        if arg.base == Arg::PtrToMapValue {
            self.resolve_map_arg_type(meta, &mut arg)?;
        }
        if !(reg.is_null() && arg.may_be_null()) {
            self.check_reg_type(regno, &arg, meta)?;
            self.check_func_arg_reg_off(&reg, regno, Some(&arg))?;
        }
        if arg.flags & OBJ_RELEASE != 0 {
            self.check_release_arg(&reg, regno, &arg, meta)?;
        }
        if reg.ref_obj_id != 0 && arg.base != Arg::KptrXchgDest {
            if meta.ref_obj_id != 0 && self.profile().two_references_are_a_bug() {
                let (first, second) = (reg.ref_obj_id, meta.ref_obj_id);
                verbose!(
                    self,
                    "verifier internal error: more than one arg with ref_obj_id R{regno} {first} {second}\n"
                );
                return Err(EFAULT);
            }
            if meta.ref_obj_id != 0 {
                verbose!(
                    self,
                    "more than one arg with ref_obj_id R{regno} {} {}",
                    reg.ref_obj_id,
                    meta.ref_obj_id
                );
                return Err(EACCES);
            }
            meta.ref_obj_id = reg.ref_obj_id;
        }
        let access = |flags: u32| if flags & MEM_WRITE != 0 { Access::Write } else { Access::Read };
        match arg.base {
            Arg::ConstMapPtr => self.check_map_arg(&reg, meta),
            Arg::PtrToMapKey => self.check_key_arg(&reg, regno, meta),
            Arg::PtrToMapValue => {
                if arg.may_be_null() && reg.is_null() {
                    return Ok(());
                }
                let Some(map) = meta.map_ptr else {
                    return Err(verifier_bug!(self, "invalid map_ptr to access map->value"));
                };
                meta.raw_mode = arg.flags & MEM_UNINIT != 0;
                let size = self.map(map).value_size as i32;
                self.check_helper_mem_access(regno, size, access(arg.flags), false, Some(meta))
            }
            Arg::PtrToPercpuBtfId | Arg::PtrToBtfId => Ok(()),
            Arg::PtrToSpinLock => self.process_spin_lock(regno, meta.func_id == HelperId::SPIN_LOCK),
            Arg::PtrToTimer => self.process_timer_func(regno, meta),
            Arg::PtrToFunc => {
                meta.subprogno = reg.subprogno();
                Ok(())
            }
            Arg::PtrToMem => {
                meta.raw_mode = arg.flags & MEM_UNINIT != 0;
                if arg.flags & MEM_FIXED_SIZE == 0 {
                    return Ok(());
                }
                let size = arg.size as i32;
                self.check_helper_mem_access(regno, size, access(arg.flags), false, Some(meta))?;
                if arg.flags & MEM_ALIGNED != 0 {
                    self.check_ptr_alignment(&reg, 0, size, true)?;
                }
                Ok(())
            }
            Arg::ConstSize | Arg::ConstSizeOrZero => {
                let memory = proto.args[index.saturating_sub(1)].flags;
                let zero_ok = arg.base == Arg::ConstSizeOrZero;
                self.check_mem_size_reg(&reg, regno, access(memory), zero_ok, meta)
            }
            Arg::PtrToDynptr => self.process_dynptr_func(regno, insn_idx, arg.flags),
            Arg::ConstAllocSizeOrZero => {
                if !reg.is_const_offset() {
                    verbose!(self, "R{regno} is not a known constant'\n");
                    return Err(EACCES);
                }
                meta.mem_size = reg.val.var_off.value as u32;
                self.mark_chain_precision(regno)
            }
            Arg::PtrToConstStr => self.check_reg_const_str(&reg, regno),
            Arg::KptrXchgDest => self.check_kptr_arg(&reg, regno, meta),
            Arg::PtrToCtx
            | Arg::PtrToSockCommon
            | Arg::PtrToSocket
            | Arg::PtrToBtfIdSockCommon
            | Arg::PtrToRingbufMem
            | Arg::PtrToStack
            | Arg::DontCare
            | Arg::Anything => Ok(()),
        }
    }

    fn check_release_arg(&mut self, reg: &Reg, regno: u32, arg: &ArgType, meta: &mut CallArgMeta) -> Res {
        if arg.base == Arg::PtrToDynptr {
            if reg.ty != PTR_TO_STACK {
                verbose!(self, "cannot release unowned const bpf_dynptr\n");
                return Err(EINVAL);
            }
            let held = self
                .dynptr_get_spi(reg)
                .is_ok_and(|spi| self.func(reg).stack[spi as usize].spilled.ref_obj_id != 0);
            if !held {
                verbose!(self, "arg {regno} is an unacquired reference\n");
                return Err(EINVAL);
            }
        } else if reg.ref_obj_id == 0 && !reg.is_null() {
            verbose!(self, "R{regno} must be referenced when passed to release function\n");
            return Err(EINVAL);
        }
        if meta.release_regno != 0 {
            return Err(verifier_bug!(self, "more than one release argument"));
        }
        meta.release_regno = regno;
        Ok(())
    }

    fn check_map_arg(&mut self, reg: &Reg, meta: &mut CallArgMeta) -> Res {
        if meta.map_ptr.is_some() && (meta.map_ptr != reg.map() || meta.map_uid != reg.map_uid()) {
            verbose!(
                self,
                "timer pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}\n",
                meta.map_uid as i32,
                reg.map_uid() as i32
            );
            return Err(EINVAL);
        }
        meta.map_ptr = reg.map();
        meta.map_uid = reg.map_uid();
        Ok(())
    }

    fn check_key_arg(&mut self, reg: &Reg, regno: u32, meta: &mut CallArgMeta) -> Res {
        let Some(map) = meta.map_ptr else {
            return Err(verifier_bug!(self, "invalid map_ptr to access map->key"));
        };
        let (map_type, key_size) = (self.map(map).map_type, self.map(map).key_size);
        self.check_helper_mem_access(regno, key_size as i32, Access::Read, false, None)?;
        if all_elements_exist(map_type) {
            meta.const_map_key = self.constant_map_key(reg, key_size)?.unwrap_or(-1);
        }
        Ok(())
    }

    /// `process_kptr_func`, up to where the kernel's types are asked for.
    fn check_kptr_arg(&mut self, reg: &Reg, regno: u32, meta: &mut CallArgMeta) -> Res {
        let Some(map_ref) = reg.map() else { return Err(EINVAL) };
        let map = self.map(map_ref);
        let off = reg.off.wrapping_add(reg.val.var_off.value as i32);
        let (name, has_btf, has_kptr, found) = (
            map.name.clone(),
            map.has_btf,
            map.record.has(field::KPTR),
            map.record.find(off as u32, field::KPTR),
        );
        if !has_btf {
            verbose!(self, "map '{name}' has to have BTF in order to use bpf_kptr_xchg\n");
            return Err(EINVAL);
        }
        meta.map_ptr = Some(map_ref);
        if !reg.is_const_offset() {
            verbose!(self, "R{regno} doesn't have constant offset. kptr has to be at the constant offset\n");
            return Err(EINVAL);
        }
        if !has_kptr {
            verbose!(self, "R{regno} has no valid kptr\n");
            return Err(EINVAL);
        }
        match found {
            None => verbose!(self, "off={off} doesn't point to kptr\n"),
            Some(f) if f.ty == field::KPTR_UNREF => {
                verbose!(self, "off={off} kptr isn't referenced kptr\n");
            }
            Some(_) => return self.unsupported("kptrs (pointers to kernel objects in maps)"),
        }
        Err(EACCES)
    }
}
