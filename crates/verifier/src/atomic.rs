// SPDX-License-Identifier: GPL-2.0-only
//! Atomic instructions (`check_atomic @ 6.18`).

use skep_isa::Insn;

use crate::env::Env;
use crate::mem::Access;
use crate::reg_arg::RegArg;
use crate::reg_type::PTR_TO_ARENA;
use crate::stop::{EACCES, EINVAL, Res, verbose};
use crate::walk::size_to_bytes;

/// Operations in the immediate: `BPF_FETCH`, `BPF_XCHG`, `BPF_CMPXCHG`, `BPF_LOAD_ACQ`, `BPF_STORE_REL`.
const FETCH: i32 = 0x01;
const XCHG: i32 = 0xe1;
const CMPXCHG: i32 = 0xf1;
const LOAD_ACQ: i32 = 0x100;
const STORE_REL: i32 = 0x110;

impl Env<'_> {
    /// `atomic_ptr_type_ok`.
    fn atomic_ptr_type_ok(&self, regno: u32) -> bool {
        !self.is_ctx_reg(regno)
            && !self.is_pkt_reg(regno)
            && !self.is_flow_key_reg(regno)
            && !self.is_sk_reg(regno)
    }

    fn refuse_atomic(&mut self, regno: u32, what: &str) -> Res {
        if self.atomic_ptr_type_ok(regno) {
            return Ok(());
        }
        let ty = self.reg_type_str(self.reg(regno).ty);
        verbose!(self, "BPF_ATOMIC {what} R{regno} {ty} is not allowed\n");
        Err(EACCES)
    }

    /// `check_atomic`.
    pub(crate) fn check_atomic(&mut self, insn: &Insn) -> Res {
        match insn.imm & !FETCH {
            // Addition, or, and, exclusive or.
            0x00 | 0x40 | 0x50 | 0xa0 => self.check_atomic_rmw(insn),
            _ if matches!(insn.imm, XCHG | CMPXCHG) => self.check_atomic_rmw(insn),
            LOAD_ACQ if insn.imm == LOAD_ACQ && self.profile().has_load_acquire() => {
                self.check_load_mem(insn, true, false, false, "atomic_load")?;
                self.refuse_atomic(insn.src.into(), "loads from")
            }
            STORE_REL if insn.imm == STORE_REL && self.profile().has_load_acquire() => {
                self.check_store_reg(insn, true)?;
                self.refuse_atomic(insn.dst.into(), "stores into")
            }
            _ => {
                verbose!(self, "BPF_ATOMIC uses invalid atomic opcode {:02x}\n", insn.imm);
                Err(EINVAL)
            }
        }
    }

    /// `check_atomic_rmw`.
    fn check_atomic_rmw(&mut self, insn: &Insn) -> Res {
        let size = size_to_bytes(insn.code);
        if size < 4 {
            verbose!(self, "invalid atomic operand size\n");
            return Err(EINVAL);
        }
        let (dst, src, off) = (u32::from(insn.dst), u32::from(insn.src), i32::from(insn.off));
        self.check_reg_arg(src, RegArg::Src)?;
        self.check_reg_arg(dst, RegArg::Src)?;
        if insn.imm == CMPXCHG {
            self.check_reg_arg(0, RegArg::Src)?;
            if self.is_pointer_value(0) {
                verbose!(self, "R0 leaks addr into mem\n");
                return Err(EACCES);
            }
        }
        if self.is_pointer_value(src) {
            verbose!(self, "R{src} leaks addr into mem\n");
            return Err(EACCES);
        }
        if self.reg(dst).ty == PTR_TO_ARENA {
            return self.unsupported("arenas");
        }
        self.refuse_atomic(dst, "stores into")?;
        let load_reg = match insn.imm {
            CMPXCHG => Some(0),
            imm if imm & FETCH != 0 => Some(src),
            _ => None,
        };
        if let Some(reg) = load_reg {
            self.check_reg_arg(reg, RegArg::Dst)?;
        }
        let at = self.insn_idx;
        self.check_mem_access(at, dst, off, size, Access::Read, None, true, false)?;
        if load_reg.is_some() {
            self.check_mem_access(at, dst, off, size, Access::Read, load_reg, true, false)?;
        }
        self.check_mem_access(at, dst, off, size, Access::Write, None, true, false)
    }
}
