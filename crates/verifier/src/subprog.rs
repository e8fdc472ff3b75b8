// SPDX-License-Identifier: GPL-2.0-only
//! Functions of the program (`add_subprog_and_kfunc`, `check_subprogs @ 6.18`).

use skep_isa::{Insn, class, opcode};
use skep_program::btf::{Kind, Linkage};
use skep_uapi::{Errno, HelperId};

use crate::cfg::jmp_offset;
use crate::env::{Env, SubprogInfo};
use crate::log;
use crate::stop::{E2BIG, EBADF, EINVAL, EPERM, Res, Stop, verbose};

/// `BPF_MAX_SUBPROGS`
const MAX_SUBPROGS: usize = 256;
/// Bits of the operation (`BPF_OP`).
const OP: u8 = 0xf0;
/// Bits of the mode (`BPF_MODE`).
const MODE: u8 = 0xe0;

/// What the tag of a function starts with that names its exception callback.
const EXCEPTION_CALLBACK: &str = "exception_callback:";

impl Env<'_> {
    /// `bpf_find_containing_subprog`: the function that an instruction is in; the first where there is none.
    pub(crate) fn find_containing_subprog(&self, off: u32) -> u32 {
        let functions = &self.subprogs[..self.subprogs.len().min(self.subprog_cnt as usize)];
        (functions.partition_point(|subprog| subprog.start <= off) as u32).saturating_sub(1)
    }

    /// The function that starts at an instruction.
    pub(crate) fn find_subprog(&self, off: u32) -> Option<u32> {
        if off as usize >= self.insns.len() {
            return None;
        }
        let subprog = self.find_containing_subprog(off);
        self.subprogs.get(subprog as usize).filter(|found| found.start == off).map(|_| subprog)
    }

    pub(crate) fn subprog_is_global(&self, subprog: u32) -> bool {
        self.subprogs.get(subprog as usize).is_some_and(|subprog| subprog.is_global)
    }

    /// Name of a function; empty without function information.
    pub(crate) fn subprog_name(&self, subprog: u32) -> &str {
        let Some(btf) = &self.btf else { return "" };
        self.func_info(subprog).and_then(|(_, type_id)| btf.btf.get(type_id)).map_or("", |func| func.name())
    }

    fn add_subprog(&mut self, off: i32) -> Res {
        if off < 0 || off as usize >= self.insns.len() {
            verbose!(self, "call to invalid destination\n");
            return Err(EINVAL);
        }
        let start = off as u32;
        let at = self.subprogs.partition_point(|subprog| subprog.start < start);
        if self.subprogs.get(at).is_some_and(|subprog| subprog.start == start) {
            return Ok(());
        }
        if self.subprogs.len() >= MAX_SUBPROGS {
            verbose!(self, "too many subprograms\n");
            return Err(E2BIG);
        }
        self.subprogs.insert(at, SubprogInfo { start, ..SubprogInfo::default() });
        self.subprog_cnt = self.subprogs.len() as u32;
        Ok(())
    }

    /// `bpf_find_exception_callback_insn_off`. Exceptions themselves are not done here.
    fn check_exception_callback(&mut self) -> Res {
        let Some((_, main)) = self.func_info(0) else { return Ok(()) };
        let Some(btf) = self.btf.clone() else { return Ok(()) };
        if btf.btf.get(main).is_none() {
            verbose!(self, "invalid btf id for main subprog in func_info\n");
            return Err(EINVAL);
        }
        let Some(tag) = btf.find_next_decl_tag(main, -1, EXCEPTION_CALLBACK, 0) else { return Ok(()) };
        if btf.find_next_decl_tag(main, -1, EXCEPTION_CALLBACK, tag).is_some() {
            verbose!(self, "multiple exception callback tags for main subprog\n");
            return Err(Stop::Errno(Errno::EEXIST));
        }
        let name = btf.name(tag).strip_prefix(EXCEPTION_CALLBACK).unwrap_or("");
        let Some(callback) = btf.btf.find(Kind::Func, name) else {
            verbose!(self, "exception callback '{name}' could not be found in BTF\n");
            return Err(Stop::Errno(Errno::ENOENT));
        };
        if callback.linkage() != Some(Linkage::Global) {
            verbose!(self, "exception callback '{name}' must have global linkage\n");
            return Err(EINVAL);
        }
        let found = self.func_infos().filter(|&(_, type_id)| type_id == callback.id).map(|(start, _)| start);
        match found.last() {
            None => verbose!(self, "exception callback type id not found in func_info\n"),
            Some(0) => verbose!(self, "invalid exception callback insn_off in func_info: 0\n"),
            Some(_) => return self.unsupported("exceptions"),
        }
        Err(EINVAL)
    }

    /// `add_kfunc_call`: what is checked before the kernel's BTF is asked. Id 0 stands for a function that this
    /// kernel does not have, and is refused only where control gets to it.
    fn add_kfunc_call(&mut self, at: usize) -> Res {
        let insn = self.insns[at];
        if !crate::load::license_is_gpl_compatible(&self.program.license) {
            verbose!(self, "cannot call kernel function from non-GPL compatible program\n");
            return Err(EINVAL);
        }
        if insn.imm == 0 && insn.off == 0 {
            return Ok(());
        }
        let named = self.program.btf_refs.iter().any(|symbol| symbol.insn == at);
        if insn.off != 0 && !named {
            let errno = if insn.off < 0 {
                verbose!(self, "negative offset disallowed for kernel module function call\n");
                EINVAL
            } else if self.program.maps.is_empty() {
                verbose!(self, "kfunc offset > 0 without fd_array is invalid\n");
                Stop::Errno(Errno::EPROTO)
            } else {
                // What is there in the array is a map, what is not a bad descriptor.
                verbose!(self, "invalid module BTF fd specified\n");
                if (insn.off as usize) < self.program.maps.len() { EINVAL } else { EBADF }
            };
            verbose!(self, "failed to find BTF for kernel function\n");
            return Err(errno);
        }
        self.unsupported("kernel functions (kfuncs)")
    }

    pub(crate) fn add_subprog_and_kfunc(&mut self) -> Res {
        self.add_subprog(0)?;
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            let is_func = is_pseudo_func(&insn) || is_pseudo_call(&insn);
            if !is_func && !is_kfunc_call(&insn) {
                continue;
            }
            if !self.bpf_capable {
                verbose!(
                    self,
                    "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN\n"
                );
                return Err(EPERM);
            }
            if is_func {
                self.add_subprog((at as i32).wrapping_add(insn.imm).wrapping_add(1))?;
            } else {
                self.add_kfunc_call(at)?;
            }
        }
        self.check_exception_callback()?;
        self.subprogs.push(SubprogInfo { start: self.insns.len() as u32, ..SubprogInfo::default() });
        if self.log.level & log::LEVEL2 != 0 {
            for at in 0..self.subprog_cnt as usize {
                verbose!(self, "func#{at} @{}\n", self.subprogs[at].start);
            }
        }
        Ok(())
    }

    /// Jumps stay in their function, and no function runs into the next.
    pub(crate) fn check_subprogs(&mut self) -> Res {
        let mut current = 0;
        let bounds = |env: &Self, current: usize| {
            let end = env.subprogs.get(current + 1).map_or(env.insns.len() as u32, |next| next.start);
            (env.subprogs[current].start as i32, end as i32)
        };
        let (mut start, mut end) = bounds(self, 0);
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            let code = insn.code;
            let info = &mut self.subprogs[current];
            if code == opcode::CALL && insn.src == 0 && insn.imm as u32 == HelperId::TAIL_CALL.0 {
                info.has_tail_call = true;
                info.tail_call_reachable = true;
            }
            if insn.class() == class::LD && matches!(code & MODE, opcode::ABS | opcode::IND) {
                info.has_ld_abs = true;
            }
            let is_jump = matches!(insn.class(), class::JMP | class::JMP32)
                && code & OP != opcode::EXIT & OP
                && code & OP != opcode::CALL & OP;
            if is_jump {
                let to = (at as i32).wrapping_add(jmp_offset(&insn)).wrapping_add(1);
                if to < start || to >= end {
                    verbose!(self, "jump out of range from insn {at} to {to}\n");
                    return Err(EINVAL);
                }
            }
            if at as i32 == end - 1 {
                if !matches!(code, opcode::EXIT | opcode::JA | opcode::JA32) {
                    verbose!(self, "last insn is not an exit or jmp\n");
                    return Err(EINVAL);
                }
                if current + 1 < self.subprog_cnt as usize {
                    current += 1;
                    (start, end) = bounds(self, current);
                }
            }
        }
        Ok(())
    }
}

/// `bpf_pseudo_call`, `bpf_helper_call` and the like.
pub(crate) fn is_pseudo_call(insn: &Insn) -> bool {
    insn.code == opcode::CALL && insn.src == 1
}

/// `bpf_helper_call`
pub(crate) fn is_helper_call(insn: &Insn) -> bool {
    insn.code == opcode::CALL && insn.src == 0
}

/// `bpf_pseudo_kfunc_call`
pub(crate) fn is_kfunc_call(insn: &Insn) -> bool {
    insn.code == opcode::CALL && insn.src == 2
}

/// `bpf_pseudo_func`: the address of a function.
pub(crate) fn is_pseudo_func(insn: &Insn) -> bool {
    insn.is_ld_imm64() && insn.src == 4
}

/// `is_may_goto_insn`
pub(crate) fn is_may_goto(insn: &Insn) -> bool {
    insn.code == opcode::JCOND && insn.src == 0
}
