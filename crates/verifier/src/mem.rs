// SPDX-License-Identifier: GPL-2.0-only
//! Loads and stores through any pointer, by instructions and by helpers
//! (`check_mem_access`, `check_helper_mem_access @ 6.18`).

use skep_isa::Insn;
use skep_uapi::ProgType;
use skep_uapi::helper::{MEM_ALLOC, MEM_RDONLY, NON_OWN_REF, PTR_TRUSTED, PTR_UNTRUSTED};

use crate::alu::{coerce_reg_to_size, coerce_reg_to_size_sx};
use crate::env::Env;
use crate::helper_arg::CallArgMeta;
use crate::jump::mark_ptr_not_null_reg;
use crate::map::field;
use crate::planted::{self, Planted};
use crate::ptr_alu::BPF_MAX_VAR_OFF;
use crate::reg::{DEF_NOT_SUBREG, Reg};
use crate::reg_arg::RegArg;
use crate::reg_type::{
    CONST_PTR_TO_MAP, NOT_INIT, PTR_TO_ARENA, PTR_TO_BTF_ID, PTR_TO_BUF, PTR_TO_CTX, PTR_TO_FLOW_KEYS,
    PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET, PTR_TO_PACKET_END, PTR_TO_PACKET_META,
    PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_STACK, PTR_TO_TCP_SOCK, PTR_TO_TP_BUFFER, PTR_TO_XDP_SOCK,
    RegType, SCALAR_VALUE,
};
use crate::stop::{EACCES, EINVAL, Res, Stop, verbose};
use crate::tnum::Tnum;
use crate::walk::size_to_bytes;

/// `enum bpf_access_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// `enum bpf_access_src`: who accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessSrc {
    /// An instruction.
    Direct,
    /// A helper.
    Helper,
}

/// `NET_IP_ALIGN` that strict alignment reckons with.
const NET_IP_ALIGN: i32 = 2;
/// `BPF_MAX_VAR_SIZ`.
const BPF_MAX_VAR_SIZ: u64 = 1 << 29;

/// `__is_pointer_value`.
pub(crate) fn is_pointer_value(allow_ptr_leaks: bool, reg: &Reg) -> bool {
    !allow_ptr_leaks && reg.ty != SCALAR_VALUE
}

/// `is_trusted_reg`.
pub(crate) fn is_trusted_reg(reg: &Reg) -> bool {
    const TRUSTED: u32 = MEM_ALLOC | PTR_TRUSTED | NON_OWN_REF;
    let safe = reg.ty.flags() & !TRUSTED == 0;
    let always =
        matches!(reg.ty.base(), PTR_TO_SOCKET | PTR_TO_SOCK_COMMON | PTR_TO_TCP_SOCK | CONST_PTR_TO_MAP);
    reg.ref_obj_id != 0 || (always && safe) || (reg.ty.has(TRUSTED) && safe)
}

/// `reg_type_mismatch_ok`: an instruction may access such pointers and others, on different paths.
fn mismatch_ok(ty: RegType) -> bool {
    !matches!(
        ty.base(),
        PTR_TO_CTX
            | PTR_TO_SOCKET
            | PTR_TO_SOCK_COMMON
            | PTR_TO_TCP_SOCK
            | PTR_TO_XDP_SOCK
            | PTR_TO_BTF_ID
            | PTR_TO_ARENA
    )
}

/// What a pointer is called in messages about alignment; `None` for those that have none.
fn alignment_name(ty: RegType) -> &'static str {
    match ty {
        PTR_TO_FLOW_KEYS => "flow keys ",
        PTR_TO_MAP_KEY => "key ",
        PTR_TO_MAP_VALUE => "value ",
        PTR_TO_CTX => "context ",
        PTR_TO_STACK => "stack ",
        PTR_TO_SOCKET => "sock ",
        PTR_TO_SOCK_COMMON => "sock_common ",
        PTR_TO_TCP_SOCK => "tcp_sock ",
        PTR_TO_XDP_SOCK => "xdp_sock ",
        _ => "",
    }
}

impl Env<'_> {
    /// `is_pointer_value`: a pointer that the program must not show.
    pub(crate) fn is_pointer_value(&self, regno: u32) -> bool {
        is_pointer_value(self.allow_ptr_leaks, self.reg(regno))
    }

    pub(crate) fn is_ctx_reg(&self, regno: u32) -> bool {
        self.reg(regno).ty == PTR_TO_CTX
    }

    pub(crate) fn is_sk_reg(&self, regno: u32) -> bool {
        self.reg(regno).ty.is_sk_pointer()
    }

    pub(crate) fn is_pkt_reg(&self, regno: u32) -> bool {
        self.reg(regno).ty.is_pkt_pointer()
    }

    pub(crate) fn is_flow_key_reg(&self, regno: u32) -> bool {
        self.reg(regno).ty == PTR_TO_FLOW_KEYS
    }

    pub(crate) fn in_sleepable(&self) -> bool {
        self.cur.in_sleepable
    }

    /// `__check_mem_access`: `[off, off + size)` is in memory of `mem_size` bytes.
    pub(crate) fn check_access(
        &mut self,
        regno: u32,
        off: i32,
        size: i32,
        mem_size: u32,
        zero_size_allowed: bool,
    ) -> Res {
        let size_ok = size > 0 || (size == 0 && zero_size_allowed);
        let size_counted = if planted::is(Planted::MapEnd) { size.min(1) } else { size };
        if off >= 0 && size_ok && (off as u64).wrapping_add(size_counted as u64) <= mem_size.into() {
            return Ok(());
        }
        let reg = self.reg(regno);
        match reg.ty {
            PTR_TO_MAP_KEY => {
                verbose!(
                    self,
                    "invalid access to map key, key_size={} off={off} size={size}\n",
                    mem_size as i32
                );
            }
            PTR_TO_MAP_VALUE => {
                verbose!(
                    self,
                    "invalid access to map value, value_size={} off={off} size={size}\n",
                    mem_size as i32
                );
            }
            PTR_TO_PACKET | PTR_TO_PACKET_META | PTR_TO_PACKET_END => {
                let id = reg.id;
                verbose!(
                    self,
                    "invalid access to packet, off={off} size={size}, R{regno}(id={id},off={off},r={})\n",
                    mem_size as i32
                );
            }
            _ => {
                verbose!(self, "invalid access to memory, mem_size={mem_size} off={off} size={size}\n");
            }
        }
        Err(EACCES)
    }

    /// `check_mem_region_access`: the same, for every value of the variable offset.
    pub(crate) fn check_mem_region_access(
        &mut self,
        regno: u32,
        off: i32,
        size: i32,
        mem_size: u32,
        zero_size_allowed: bool,
    ) -> Res {
        let val = self.reg(regno).val;
        let min = i64::from(off).wrapping_add(val.smin);
        if val.smin < 0 && (val.smin == i64::MIN || min != i64::from(min as i32) || min < 0) {
            verbose!(
                self,
                "R{regno} min value is negative, either use unsigned index or do a if (index >=0) check.\n"
            );
            return Err(EACCES);
        }
        if let Err(stop) = self.check_access(regno, min as i32, size, mem_size, zero_size_allowed) {
            verbose!(self, "R{regno} min value is outside of the allowed memory range\n");
            return Err(stop);
        }
        if val.umax >= BPF_MAX_VAR_OFF as u64 {
            verbose!(self, "R{regno} unbounded memory access, make sure to bounds check any such access\n");
            return Err(EACCES);
        }
        let max = (val.umax as i32).wrapping_add(off);
        if let Err(stop) = self.check_access(regno, max, size, mem_size, zero_size_allowed) {
            verbose!(self, "R{regno} max value is outside of the allowed memory range\n");
            return Err(stop);
        }
        Ok(())
    }

    /// `check_ptr_off_reg`: the pointer is as the program got it.
    pub(crate) fn check_ptr_off_reg(&mut self, reg: &Reg, regno: u32) -> Res {
        self.check_ptr_off_reg_fixed(reg, regno, false)
    }

    /// `__check_ptr_off_reg`: the pointer is as the program got it, but for a fixed offset where that is fine.
    pub(crate) fn check_ptr_off_reg_fixed(&mut self, reg: &Reg, regno: u32, fixed_off_ok: bool) -> Res {
        if reg.off < 0 {
            let ty = self.reg_type_str(reg.ty);
            verbose!(self, "negative offset {ty} ptr R{regno} off={} disallowed\n", reg.off);
        } else if !fixed_off_ok && reg.off != 0 {
            let ty = self.reg_type_str(reg.ty);
            verbose!(self, "dereference of modified {ty} ptr R{regno} off={} disallowed\n", reg.off);
        } else if !reg.val.var_off.equals_const(0) {
            let ty = self.reg_type_str(reg.ty);
            verbose!(self, "variable {ty} access var_off={} disallowed\n", reg.val.var_off);
        } else {
            return Ok(());
        }
        Err(EACCES)
    }

    /// `check_ptr_alignment`.
    pub(crate) fn check_ptr_alignment(
        &mut self,
        reg: &Reg,
        off: i32,
        size: i32,
        strict_alignment_once: bool,
    ) -> Res {
        // Tracking of spilled registers relies on aligned accesses.
        let strict = self.strict_alignment || strict_alignment_once || reg.ty == PTR_TO_STACK;
        if !strict || size == 1 || reg.ty == PTR_TO_ARENA {
            return Ok(());
        }
        let packet = matches!(reg.ty, PTR_TO_PACKET | PTR_TO_PACKET_META);
        let align = if packet { NET_IP_ALIGN } else { 0 };
        let fixed = align.wrapping_add(reg.off).wrapping_add(off);
        let at = reg.val.var_off.add(Tnum::constant(i64::from(fixed) as u64));
        if at.is_aligned(size as u64) {
            return Ok(());
        }
        let var_off = self.offset_bits(reg.val.var_off);
        if packet {
            verbose!(self, "misaligned packet access off {align}+{var_off}+{}+{off} size {size}\n", reg.off);
        } else {
            let name = alignment_name(reg.ty);
            verbose!(self, "misaligned {name}access off {var_off}+{}+{off} size {size}\n", reg.off);
        }
        Err(EACCES)
    }

    /// A variable offset as messages about alignment have it.
    fn offset_bits(&self, bits: Tnum) -> String {
        if self.profile().prints_known_bits_as_numbers() {
            bits.to_string()
        } else {
            format!("({:#x}; {:#x})", bits.value, bits.mask)
        }
    }

    /// `__check_buffer_access`.
    fn check_buffer_access(&mut self, what: &str, reg: &Reg, regno: u32, off: i32, size: i32) -> Res {
        if off < 0 {
            verbose!(self, "R{regno} invalid {what} buffer access: off={off}, size={size}\n");
            return Err(EACCES);
        }
        if !reg.val.var_off.equals_const(0) {
            verbose!(
                self,
                "R{regno} invalid variable buffer offset: off={off}, var_off={}\n",
                reg.val.var_off
            );
            return Err(EACCES);
        }
        Ok(())
    }

    fn forbid_leak(&mut self, t: Access, value_regno: Option<u32>, what: &str) -> Res {
        if let Some(regno) = value_regno.filter(|&r| t == Access::Write && self.is_pointer_value(r)) {
            verbose!(self, "R{regno} leaks addr into {what}\n");
            return Err(EACCES);
        }
        Ok(())
    }

    fn forbid_write(&mut self, regno: u32, ty: RegType) -> Res {
        let ty = self.reg_type_str(ty);
        verbose!(self, "R{regno} cannot write into {ty}\n");
        Err(EACCES)
    }

    fn unknown_if(&mut self, read: bool, value_regno: Option<u32>) {
        if let Some(regno) = value_regno.filter(|_| read) {
            self.mark_reg_unknown(regno);
        }
    }

    /// `check_mem_access`: `size` bytes at `regno + off` may be read into, or written from, `value_regno`; without
    /// one something unknown is written, or what is read is of no interest.
    #[allow(clippy::too_many_arguments)] // the kernel's
    pub(crate) fn check_mem_access(
        &mut self,
        insn_idx: u32,
        regno: u32,
        off: i32,
        size: i32,
        t: Access,
        value_regno: Option<u32>,
        strict_alignment_once: bool,
        is_ldsx: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        self.check_ptr_alignment(&reg, off, size, strict_alignment_once)?;
        let off = off.wrapping_add(reg.off);
        let read = t == Access::Read;
        match reg.ty.base() {
            PTR_TO_MAP_KEY if reg.ty == PTR_TO_MAP_KEY => {
                if !read {
                    verbose!(self, "write to change key R{regno} not allowed\n");
                    return Err(EACCES);
                }
                let key_size = self.reg_map(&reg).map_or(0, |map| map.key_size);
                self.check_mem_region_access(regno, off, size, key_size, false)?;
                self.unknown_if(true, value_regno);
            }
            PTR_TO_MAP_VALUE if reg.ty == PTR_TO_MAP_VALUE => {
                self.access_map_value(regno, &reg, off, size, t, value_regno, is_ldsx)?;
            }
            PTR_TO_MEM => {
                let rdonly = reg.ty.has(MEM_RDONLY);
                if reg.ty.may_be_null() {
                    let ty = self.reg_type_str(reg.ty);
                    verbose!(self, "R{regno} invalid mem access '{ty}'\n");
                    return Err(EACCES);
                }
                if !read && rdonly {
                    return self.forbid_write(regno, reg.ty);
                }
                self.forbid_leak(t, value_regno, "mem")?;
                if !(rdonly && reg.ty.has(PTR_UNTRUSTED)) {
                    self.check_mem_region_access(regno, off, size, reg.mem_size(), false)?;
                }
                self.unknown_if(read || rdonly, value_regno);
            }
            PTR_TO_CTX if reg.ty == PTR_TO_CTX => {
                self.forbid_leak(t, value_regno, "ctx")?;
                self.check_ptr_off_reg(&reg, regno)?;
                self.access_ctx(insn_idx, off, size, t, value_regno, is_ldsx)?;
            }
            PTR_TO_STACK if reg.ty == PTR_TO_STACK => {
                self.check_stack_access_within_bounds(regno, off, size, AccessSrc::Direct, t)?;
                if read {
                    self.check_stack_read(regno, off, size, value_regno)?;
                } else {
                    self.check_stack_write(regno, off, size, value_regno, insn_idx)?;
                }
            }
            PTR_TO_PACKET | PTR_TO_PACKET_META if reg.is_pkt_pointer() => {
                if !read && !self.may_access_direct_pkt_data(None, t) {
                    verbose!(self, "cannot write into packet\n");
                    return Err(EACCES);
                }
                self.forbid_leak(t, value_regno, "packet")?;
                self.check_packet_access(regno, off, size, false)?;
                self.unknown_if(read, value_regno);
            }
            PTR_TO_FLOW_KEYS if reg.ty == PTR_TO_FLOW_KEYS => {
                self.forbid_leak(t, value_regno, "flow keys")?;
                self.check_flow_keys_access(off, size)?;
                self.unknown_if(read, value_regno);
            }
            _ if reg.ty.is_sk_pointer() => {
                if !read {
                    return self.forbid_write(regno, reg.ty);
                }
                self.check_sock_access(insn_idx, regno, off, size, t)?;
                self.unknown_if(true, value_regno);
            }
            PTR_TO_TP_BUFFER if reg.ty == PTR_TO_TP_BUFFER => {
                self.check_buffer_access("tracepoint", &reg, regno, off, size)?;
                self.max_tp_access = self.max_tp_access.max(off.wrapping_add(size) as u32);
                self.unknown_if(read, value_regno);
            }
            PTR_TO_BTF_ID if !reg.ty.may_be_null() => return self.unsupported("kernel BTF"),
            CONST_PTR_TO_MAP if reg.ty == CONST_PTR_TO_MAP => self.access_map_ptr(regno, &reg, off, t)?,
            PTR_TO_BUF => {
                let rdonly = reg.ty.has(MEM_RDONLY);
                if rdonly && !read {
                    return self.forbid_write(regno, reg.ty);
                }
                let what = if rdonly { "rdonly" } else { "rdwr" };
                self.check_buffer_access(what, &reg, regno, off, size)?;
                self.unknown_if(rdonly || read, value_regno);
            }
            PTR_TO_ARENA => return self.unsupported("arenas"),
            _ => {
                let ty = self.reg_type_str(reg.ty);
                verbose!(self, "R{regno} invalid mem access '{ty}'\n");
                return Err(EACCES);
            }
        }
        if let Some(dst) = value_regno.filter(|_| read && size < 8) {
            let reg = self.reg_mut(dst);
            if reg.ty == SCALAR_VALUE && is_ldsx {
                coerce_reg_to_size_sx(reg, size);
            } else if reg.ty == SCALAR_VALUE {
                coerce_reg_to_size(reg, size);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn access_map_value(
        &mut self,
        regno: u32,
        reg: &Reg,
        off: i32,
        size: i32,
        t: Access,
        value_regno: Option<u32>,
        is_ldsx: bool,
    ) -> Res {
        self.forbid_leak(t, value_regno, "map")?;
        self.check_map_access_type(regno, off, size, t)?;
        self.check_map_access(regno, off, size, false, AccessSrc::Direct)?;
        let Some(map) = reg.map() else { return Err(EINVAL) };
        let at = (i64::from(off) as u64).wrapping_add(reg.val.var_off.value);
        if reg.is_const_offset() {
            let record = &self.map(map).record;
            if record.find(at as u32, field::KPTR | field::UPTR).is_some() {
                return self.unsupported("kptrs (pointers to kernel objects in maps)");
            }
        }
        let Some(dst) = value_regno.filter(|_| t == Access::Read) else { return Ok(()) };
        if reg.is_const_offset() && self.map_is_rdonly(map) && self.has_direct_value(map) {
            let value = self.map_direct_read(map, at as i32, size, is_ldsx)?;
            let reg = self.reg_mut(dst);
            reg.ty = SCALAR_VALUE;
            reg.mark_known(value);
        } else {
            self.mark_reg_unknown(dst);
        }
        Ok(())
    }

    fn access_ctx(
        &mut self,
        insn_idx: u32,
        off: i32,
        size: i32,
        t: Access,
        value_regno: Option<u32>,
        is_ldsx: bool,
    ) -> Res {
        let ty = match self.check_ctx_access(insn_idx, off, size, t, is_ldsx) {
            Ok(ty) => ty,
            Err(stop) => {
                if matches!(stop, Stop::Errno(_)) {
                    self.verbose_linfo(insn_idx, format_args!("; "));
                }
                return Err(stop);
            }
        };
        let Some(dst) = value_regno.filter(|_| t == Access::Read) else { return Ok(()) };
        if ty == SCALAR_VALUE {
            self.mark_reg_unknown(dst);
            return Ok(());
        }
        let id = if ty.may_be_null() { self.new_id() } else { 0 };
        let reg = self.reg_mut(dst);
        reg.mark_known_zero();
        reg.id = id;
        reg.subreg_def = DEF_NOT_SUBREG;
        reg.ty = ty;
        Ok(())
    }

    /// `check_ptr_to_map_access`: fields of `struct bpf_map` itself.
    fn access_map_ptr(&mut self, regno: u32, _reg: &Reg, off: i32, t: Access) -> Res {
        let Some(name) =
            self.reg(regno).map().map(|m| crate::map_func::map_struct_name(self.map(m).map_type))
        else {
            return Err(EINVAL);
        };
        if !self.allow_ptr_leaks {
            let name =
                if self.profile().quotes_structures() { format!("'struct {name}'") } else { name.into() };
            verbose!(self, "{name} access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN\n");
            return Err(crate::stop::EPERM);
        }
        if off < 0 {
            verbose!(self, "R{regno} is {name} invalid negative access: off={off}\n");
            return Err(EACCES);
        }
        if t != Access::Read {
            verbose!(self, "only read from {name} is supported\n");
            return Err(EACCES);
        }
        self.unsupported("kernel BTF (fields of struct bpf_map)")
    }

    /// `check_load_mem`.
    pub(crate) fn check_load_mem(
        &mut self,
        insn: &Insn,
        strict_alignment_once: bool,
        is_ldsx: bool,
        allow_trust_mismatch: bool,
        ctx: &str,
    ) -> Res {
        let (dst, src) = (u32::from(insn.dst), u32::from(insn.src));
        self.check_reg_arg(src, RegArg::Src)?;
        self.check_reg_arg(dst, RegArg::DstNoMark)?;
        let src_type = self.reg(src).ty;
        let (off, size) = (i32::from(insn.off), size_to_bytes(insn.code));
        let at = self.insn_idx;
        self.check_mem_access(at, src, off, size, Access::Read, Some(dst), strict_alignment_once, is_ldsx)?;
        self.save_aux_ptr_type(src_type, allow_trust_mismatch)?;
        self.reg_bounds_sanity_check(self.cur.frames.len() - 1, dst, ctx)
    }

    /// `check_store_reg`.
    pub(crate) fn check_store_reg(&mut self, insn: &Insn, strict_alignment_once: bool) -> Res {
        let (dst, src) = (u32::from(insn.dst), u32::from(insn.src));
        self.check_reg_arg(src, RegArg::Src)?;
        self.check_reg_arg(dst, RegArg::Src)?;
        let dst_type = self.reg(dst).ty;
        let (off, size) = (i32::from(insn.off), size_to_bytes(insn.code));
        let at = self.insn_idx;
        self.check_mem_access(at, dst, off, size, Access::Write, Some(src), strict_alignment_once, false)?;
        self.save_aux_ptr_type(dst_type, false)
    }

    /// `save_aux_ptr_type`: the kernel rewrites accesses by the type of their pointer, which must not depend on the
    /// path.
    pub(crate) fn save_aux_ptr_type(&mut self, ty: RegType, allow_trust_mismatch: bool) -> Res {
        let prev = self.cur_aux().ptr_type;
        if prev == NOT_INIT {
            self.cur_aux().ptr_type = ty;
            return Ok(());
        }
        if ty == prev || (mismatch_ok(ty) && mismatch_ok(prev)) {
            return Ok(());
        }
        let mem_or_btf = |ty: RegType| matches!(ty.base(), PTR_TO_MEM | PTR_TO_BTF_ID);
        if !(allow_trust_mismatch && mem_or_btf(ty) && mem_or_btf(prev)) {
            verbose!(self, "same insn cannot be used with different pointers\n");
            return Err(EINVAL);
        }
        let is_mem = ty.base() == PTR_TO_MEM || prev.base() == PTR_TO_MEM;
        let kept = (ty.flags() | prev.flags()) & (PTR_UNTRUSTED | MEM_RDONLY);
        self.cur_aux().ptr_type = if is_mem { PTR_TO_MEM } else { PTR_TO_BTF_ID } | kept;
        Ok(())
    }

    /// `check_helper_mem_access`: a helper accesses `access_size` bytes at a pointer.
    pub(crate) fn check_helper_mem_access(
        &mut self,
        regno: u32,
        access_size: i32,
        access: Access,
        zero_size_allowed: bool,
        meta: Option<&mut CallArgMeta>,
    ) -> Res {
        let reg = *self.reg(regno);
        let rdonly_write = reg.ty.has(MEM_RDONLY) && access == Access::Write;
        match reg.ty.base() {
            PTR_TO_PACKET | PTR_TO_PACKET_META => {
                self.check_packet_access(regno, reg.off, access_size, zero_size_allowed)
            }
            PTR_TO_MAP_KEY => {
                if access == Access::Write {
                    return self.forbid_write(regno, reg.ty);
                }
                let key_size = self.reg_map(&reg).map_or(0, |map| map.key_size);
                self.check_mem_region_access(regno, reg.off, access_size, key_size, false)
            }
            PTR_TO_MAP_VALUE => {
                self.check_map_access_type(regno, reg.off, access_size, access)?;
                self.check_map_access(regno, reg.off, access_size, zero_size_allowed, AccessSrc::Helper)
            }
            PTR_TO_MEM | PTR_TO_BUF if rdonly_write => self.forbid_write(regno, reg.ty),
            PTR_TO_MEM => {
                self.check_mem_region_access(regno, reg.off, access_size, reg.mem_size(), zero_size_allowed)
            }
            PTR_TO_BUF => {
                let what = if reg.ty.has(MEM_RDONLY) { "rdonly" } else { "rdwr" };
                self.check_buffer_access(what, &reg, regno, reg.off, access_size)
            }
            PTR_TO_STACK => self.check_stack_range_initialized(
                regno,
                reg.off,
                access_size,
                zero_size_allowed,
                (AccessSrc::Helper, access),
                meta,
            ),
            PTR_TO_BTF_ID => self.unsupported("kernel BTF"),
            // Of these types no program is rewritten by the layout of its context.
            PTR_TO_CTX if self.has_plain_context() => {
                if access_size == 0 {
                    return if zero_size_allowed { Ok(()) } else { Err(EACCES) };
                }
                let at = self.insn_idx;
                self.check_mem_access(at, regno, access_size.wrapping_sub(1), 1, access, None, false, false)
            }
            _ => {
                if zero_size_allowed && access_size == 0 && reg.is_null() {
                    return Ok(());
                }
                let (ty, stack) = (self.reg_type_str(reg.ty), self.reg_type_str(PTR_TO_STACK));
                verbose!(self, "R{regno} type={ty} ");
                verbose!(self, "expected={stack}\n");
                Err(EACCES)
            }
        }
    }

    /// Whether the program type has no `convert_ctx_access`: programs see the context as it is.
    fn has_plain_context(&self) -> bool {
        matches!(
            self.prog_type,
            ProgType::KPROBE
                | ProgType::TRACEPOINT
                | ProgType::RAW_TRACEPOINT
                | ProgType::RAW_TRACEPOINT_WRITABLE
                | ProgType::TRACING
                | ProgType::LSM
                | ProgType::STRUCT_OPS
                | ProgType::SYSCALL
                | ProgType::LIRC_MODE2
                | ProgType::CGROUP_DEVICE
                | ProgType::NETFILTER
        )
    }

    /// `check_mem_size_reg`: the size in a register, of the memory that the register before it points to.
    pub(crate) fn check_mem_size_reg(
        &mut self,
        reg: &Reg,
        regno: u32,
        access: Access,
        zero_size_allowed: bool,
        meta: &mut CallArgMeta,
    ) -> Res {
        meta.msize_max_value = reg.val.umax;
        if reg.val.smin < 0 {
            verbose!(self, "R{regno} min value is negative, either use unsigned or 'var &= const'\n");
            return Err(EACCES);
        }
        if reg.val.umin == 0 && !self.profile().shows_bounds_of_zero_sizes() {
            self.check_helper_mem_access(regno - 1, 0, access, zero_size_allowed, Some(&mut *meta))?;
        } else if reg.val.umin == 0 && !zero_size_allowed {
            verbose!(
                self,
                "R{regno} invalid zero-sized read: u64=[{},{}]\n",
                reg.val.umin as i64,
                reg.val.umax as i64
            );
            return Err(EACCES);
        }
        if reg.val.umax >= BPF_MAX_VAR_SIZ {
            verbose!(self, "R{regno} unbounded memory access, use 'var &= const' or 'if (var < const)'\n");
            return Err(EACCES);
        }
        // A helper may fill a part only, so that with a variable size all must be initialized before.
        let meta = Some(meta).filter(|_| reg.is_const_offset());
        self.check_helper_mem_access(regno - 1, reg.val.umax as i32, access, zero_size_allowed, meta)?;
        self.mark_chain_precision(regno)
    }

    /// `check_mem_reg`: a pointer handed to a function that reads and writes so many bytes, or null.
    pub(crate) fn check_mem_reg(&mut self, regno: u32, mem_size: u32) -> Res {
        let saved = *self.reg(regno);
        if saved.is_null() {
            return Ok(());
        }
        if saved.ty.may_be_null() {
            let mut reg = saved;
            mark_ptr_not_null_reg(&self.maps, &mut reg);
            *self.reg_mut(regno) = reg;
        }
        let size = mem_size as i32;
        let result = self
            .check_helper_mem_access(regno, size, Access::Read, true, None)
            .and_then(|()| self.check_helper_mem_access(regno, size, Access::Write, true, None));
        if saved.ty.may_be_null() {
            *self.reg_mut(regno) = saved;
        }
        result
    }
}
