// SPDX-License-Identifier: GPL-2.0-only
//! The walk over all paths: instruction after instruction, until each path ends or is covered by a kept state
//! (`do_check`, `do_check_insn`, `do_check_common @ 6.18`).

use skep_isa::{Insn, class, opcode};
use skep_uapi::helper::{MEM_RDONLY, PTR_MAYBE_NULL, PTR_UNTRUSTED};
use skep_uapi::limits::BPF_COMPLEXITY_LIMIT_INSNS;
use skep_uapi::{Errno, HelperId, ProgType};

use crate::env::{Env, SubprogArg};
use crate::log;
use crate::mem::Access;
use crate::reg_arg::RegArg;
use crate::reg_type::{
    CONST_PTR_TO_DYNPTR, CONST_PTR_TO_MAP, PTR_TO_CTX, PTR_TO_FUNC, PTR_TO_MAP_VALUE, PTR_TO_MEM,
    SCALAR_VALUE,
};
use crate::state::{BPF_MAIN_FUNC, CALLER_SAVED, FuncState, VerifierState};
use crate::stop::{E2BIG, EACCES, EFAULT, EINVAL, ENOMEM, Res, Stop, verbose, verifier_bug};

/// `BPF_OP` of a jump or ALU opcode.
const OP: u8 = 0xf0;
/// `BPF_MODE` of a load or store opcode.
const MODE: u8 = 0xe0;
/// `BPF_SIZE` of a load or store opcode, and the value for 8 bytes.
const SIZE: u8 = 0x18;
const DW: u8 = 0x18;
/// Source register fields of calls and of `ld_imm64`.
const BPF_PSEUDO_CALL: u8 = 1;
const BPF_PSEUDO_KFUNC_CALL: u8 = 2;
const BPF_PSEUDO_MAP_FD: u8 = 1;
const BPF_PSEUDO_MAP_VALUE: u8 = 2;
const BPF_PSEUDO_BTF_ID: u8 = 3;
const BPF_PSEUDO_FUNC: u8 = 4;
const BPF_PSEUDO_MAP_IDX: u8 = 5;
const BPF_PSEUDO_MAP_IDX_VALUE: u8 = 6;
/// The register that `LD_ABS` and `LD_IND` take the context from.
const BPF_REG_6: u32 = 6;
/// `BPF_DYNPTR_TYPE_LOCAL`.
const BPF_DYNPTR_TYPE_LOCAL: u32 = 1;

/// `bpf_size_to_bytes`: bytes of a load or store.
pub(crate) fn size_to_bytes(code: u8) -> i32 {
    match code & SIZE {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// What follows an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next instruction, in `insn_idx`.
    Next,
    /// The path is at its end (`PROCESS_BPF_EXIT`).
    Exit,
}

/// `error_recoverable_with_nospec`: on a path that only speculation takes, a barrier mends such an error.
fn recoverable_with_nospec(stop: &Stop) -> bool {
    matches!(stop, Stop::Errno(Errno::EPERM | Errno::EACCES | Errno::EINVAL))
}

impl Env<'_> {
    /// `do_check_main`.
    pub(crate) fn do_check_main(&mut self) -> Res {
        self.insn_idx = 0;
        self.do_check_common(0)
    }

    /// `do_check_subprogs`: global functions that are called, each on its own, until no new ones turn up.
    pub(crate) fn do_check_subprogs(&mut self) -> Res {
        if !self.has_func_info() {
            return Ok(());
        }
        loop {
            let mut found = false;
            for i in 1..self.subprog_cnt {
                let sub = &self.subprogs[i as usize];
                if !self.subprog_is_global(i) || !sub.called || sub.verified {
                    continue;
                }
                self.insn_idx = sub.start;
                self.do_check_common(i)?;
                if self.log.level & (log::LEVEL1 | log::LEVEL2) != 0 {
                    let name = self.subprog_name(i).to_owned();
                    verbose!(self, "Func#{i} ('{name}') is safe for any args that match its prototype\n");
                }
                self.subprogs[i as usize].verified = true;
                found = true;
            }
            if !found {
                return Ok(());
            }
        }
    }

    /// `do_check_common`: all paths from the start of a function.
    fn do_check_common(&mut self, subprog: u32) -> Res {
        self.prev_linfo = None;
        self.pass_cnt += 1;
        let precise = !self.bpf_capable;
        self.cur = VerifierState {
            frames: vec![FuncState::new(BPF_MAIN_FUNC, 0, subprog, precise)],
            branches: 1,
            in_sleepable: self.sleepable,
            first_insn_idx: self.subprogs[subprog as usize].start,
            last_insn_idx: u32::MAX,
            ..VerifierState::default()
        };
        self.mark_verifier_state_scratched();
        let result = self.enter_function(subprog).and_then(|()| self.do_check());
        if result.is_ok() && self.log.level & log::LEVEL2 == 0 {
            self.log.reset(0);
        }
        self.free_states();
        result
    }

    /// What is known of the arguments when a function starts.
    fn enter_function(&mut self, subprog: u32) -> Res {
        if subprog == 0 && self.program.prog_type != ProgType::EXT {
            if self.has_func_info() {
                let fits = self.btf_prepare_func_args(0);
                if let Err(stop @ Stop::Unsupported(_)) = fits {
                    return Err(stop);
                }
                let args = self.subprogs[0].args.as_deref();
                if fits.is_err() || args != Some(&[SubprogArg::Ctx]) {
                    self.subprogs[0].unreliable = true;
                }
            }
            let ctx = self.reg_mut(1);
            ctx.ty = PTR_TO_CTX;
            ctx.mark_known_zero();
            return Ok(());
        }
        let name = self.subprog_name(subprog).to_owned();
        verbose!(self, "Validating {name}() func#{subprog}...\n");
        self.btf_prepare_func_args(subprog)?;
        let args = self.subprogs[subprog as usize].args.clone().unwrap_or_default();
        for (regno, arg) in (1..).zip(args) {
            match arg {
                SubprogArg::Ctx => {
                    let reg = self.reg_mut(regno);
                    reg.ty = PTR_TO_CTX;
                    reg.mark_known_zero();
                }
                SubprogArg::Anything => {
                    self.mark_reg_unknown(regno);
                    self.reg_mut(regno).ty = SCALAR_VALUE;
                }
                SubprogArg::Dynptr => {
                    let id = self.new_id();
                    let reg = self.reg_mut(regno);
                    reg.mark_known_zero();
                    reg.ty = CONST_PTR_TO_DYNPTR;
                    reg.id = id;
                    reg.set_dynptr(BPF_DYNPTR_TYPE_LOCAL, true);
                }
                SubprogArg::Mem { size, may_be_null, rdonly, untrusted } => {
                    let id = if may_be_null { self.new_id() } else { 0 };
                    let reg = self.reg_mut(regno);
                    reg.mark_known_zero();
                    reg.ty = PTR_TO_MEM;
                    for (flag, set) in
                        [(PTR_MAYBE_NULL, may_be_null), (MEM_RDONLY, rdonly), (PTR_UNTRUSTED, untrusted)]
                    {
                        if set {
                            reg.ty = reg.ty | flag;
                        }
                    }
                    reg.set_mem_size(size);
                    reg.id = id;
                }
                // Callers may pass an arena pointer or any number.
                SubprogArg::Arena => self.mark_reg_unknown(regno),
            }
        }
        Ok(())
    }

    /// `do_check`.
    fn do_check(&mut self) -> Res {
        let pop_log = self.log.level & log::LEVEL2 == 0;
        let mut do_print_state = false;
        let mut prev_insn_idx = u32::MAX;
        loop {
            self.cur_hist_ent = None;
            self.prev_insn_idx = prev_insn_idx;
            let insn_cnt = self.insns.len();
            let Some(&insn) = self.insns.get(self.insn_idx as usize) else {
                verbose!(self, "invalid insn idx {} insn_cnt {insn_cnt}\n", self.insn_idx as i32);
                return Err(EFAULT);
            };
            self.insn_processed += 1;
            if self.insn_processed as usize > BPF_COMPLEXITY_LIMIT_INSNS {
                verbose!(self, "BPF program is too large. Processed {} insn\n", self.insn_processed);
                return Err(E2BIG);
            }
            self.cur.last_insn_idx = self.prev_insn_idx;
            self.cur.insn_idx = self.insn_idx;
            let at = self.insn_idx as usize;

            let pruned = self.aux[at].prune_point && self.is_state_visited(self.insn_idx)?;
            let mut ended = pruned;
            if pruned {
                self.log_pruned(do_print_state);
            } else {
                if self.aux[at].jmp_point {
                    self.push_jmp_history(0, 0)?;
                }
                if self.log.needed() {
                    self.log_insn(&mut do_print_state);
                }
                self.observe(None)?;
                self.sanitize_mark_insn_seen();
                prev_insn_idx = self.insn_idx;
                ended = if self.cur.speculative && self.aux[at].nospec {
                    // What follows a barrier is not executed speculatively.
                    true
                } else {
                    self.check_insn(&insn, at, &mut do_print_state)?
                };
            }
            if !ended {
                continue;
            }
            self.mark_verifier_state_scratched();
            self.update_branch_counts()?;
            self.update_live_stack()?;
            let Some((insn_idx, prev)) = self.pop_stack(pop_log) else { return Ok(()) };
            self.insn_idx = insn_idx;
            prev_insn_idx = prev;
            do_print_state = true;
        }
    }

    /// Checks an instruction with what surrounds it: marks of stack writes, and errors that on a speculative path
    /// only mean that the instruction must not be reached. Gives whether the path ends.
    fn check_insn(&mut self, insn: &Insn, at: usize, do_print_state: &mut bool) -> Res<bool> {
        self.reset_stack_write_marks(self.insn_idx);
        let result = self.do_check_insn(insn, do_print_state);
        if result.as_ref().err().is_none_or(recoverable_with_nospec) {
            self.commit_stack_write_marks();
        }
        match result {
            Err(stop)
                if self.cur.speculative
                    && recoverable_with_nospec(&stop)
                    && self.profile().errors_end_speculation() =>
            {
                let aux = &mut self.aux[at];
                aux.nospec = true;
                aux.alu_state = 0;
                Ok(true)
            }
            Err(stop) => Err(stop),
            Ok(Step::Exit) => Ok(true),
            Ok(Step::Next) => {
                let stop_here = self.cur.speculative
                    && self.aux[at].nospec_result
                    && self.profile().errors_end_speculation();
                let is_jump = matches!(insn.class(), class::JMP | class::JMP32);
                if stop_here && is_jump && insn.code & OP != opcode::CALL & OP {
                    return Err(verifier_bug!(
                        self,
                        "speculation barrier after jump instruction may not have the desired effect"
                    ));
                }
                Ok(stop_here)
            }
        }
    }

    fn log_pruned(&mut self, do_print_state: bool) {
        if self.log.level & (log::LEVEL1 | log::LEVEL2) == 0 {
            return;
        }
        if do_print_state {
            let how = self.speculative_text();
            verbose!(self, "\nfrom {} to {}{how}: safe\n", self.prev_insn_idx as i32, self.insn_idx);
        } else {
            verbose!(self, "{}: safe\n", self.insn_idx);
        }
    }

    fn speculative_text(&self) -> &'static str {
        if self.cur.speculative { " (speculative execution)" } else { "" }
    }

    /// The state where it is new, the source line, the instruction.
    fn log_insn(&mut self, do_print_state: &mut bool) {
        if self.log.level & log::LEVEL2 != 0 && *do_print_state {
            let how = self.speculative_text();
            verbose!(self, "\nfrom {} to {}{how}:", self.prev_insn_idx as i32, self.insn_idx);
            self.print_cur_state(self.cur.curframe(), true);
            *do_print_state = false;
        }
        if self.log.level & (log::LEVEL1 | log::LEVEL2) != 0 {
            if self.scratched_regs != 0 || self.scratched_stack_slots != 0 {
                self.print_insn_state(self.cur.curframe());
            }
            self.verbose_linfo(self.insn_idx, format_args!("; "));
            self.prev_log_pos = self.log.end_pos();
            verbose!(self, "{}: ", self.insn_idx);
            self.verbose_insn(self.insn_idx);
            self.prev_insn_print_pos = self.log.end_pos() - self.prev_log_pos;
            self.prev_log_pos = self.log.end_pos();
        }
    }

    /// `do_check_insn`.
    fn do_check_insn(&mut self, insn: &Insn, do_print_state: &mut bool) -> Res<Step> {
        match insn.class() {
            class::ALU | class::ALU64 => self.check_alu_op(insn)?,
            class::LDX => {
                let is_ldsx = insn.code & MODE == opcode::MEMSX;
                self.check_load_mem(insn, false, is_ldsx, true, "ldx")?;
            }
            class::STX => {
                if insn.code & MODE == opcode::ATOMIC {
                    self.check_atomic(insn)?;
                } else {
                    if insn.code & MODE != opcode::MEM || insn.imm != 0 {
                        verbose!(self, "BPF_STX uses reserved fields\n");
                        return Err(EINVAL);
                    }
                    self.check_store_reg(insn, false)?;
                }
            }
            class::ST => self.check_st(insn)?,
            class::JMP | class::JMP32 => {
                if let Some(step) = self.check_jmp(insn, do_print_state)? {
                    return Ok(step);
                }
            }
            _ => self.check_ld(insn)?,
        }
        self.insn_idx = self.insn_idx.wrapping_add(1);
        Ok(Step::Next)
    }

    fn check_st(&mut self, insn: &Insn) -> Res {
        if insn.code & MODE != opcode::MEM || insn.src != 0 {
            verbose!(self, "BPF_ST uses reserved fields\n");
            return Err(EINVAL);
        }
        let dst = u32::from(insn.dst);
        self.check_reg_arg(dst, RegArg::Src)?;
        let dst_type = self.reg(dst).ty;
        if dst_type == PTR_TO_CTX && !self.profile().stores_constants_to_contexts() {
            let ty = self.reg_type_str(dst_type);
            verbose!(self, "BPF_ST stores into R{dst} {ty} is not allowed\n");
            return Err(EACCES);
        }
        let (off, size) = (i32::from(insn.off), size_to_bytes(insn.code));
        self.check_mem_access(self.insn_idx, dst, off, size, Access::Write, None, false, false)?;
        self.save_aux_ptr_type(dst_type, false)
    }

    /// Jumps, calls and exits. `None` for those after which the next instruction follows.
    fn check_jmp(&mut self, insn: &Insn, do_print_state: &mut bool) -> Res<Option<Step>> {
        let is_jmp32 = insn.class() == class::JMP32;
        self.jmps_processed += 1;
        match insn.code & OP {
            op if op == opcode::CALL & OP => {
                self.check_call(insn, is_jmp32)?;
                Ok(None)
            }
            op if op == opcode::JA & OP => {
                if insn.code & opcode::X != 0
                    || insn.src != 0
                    || insn.dst != 0
                    || (!is_jmp32 && insn.imm != 0)
                    || (is_jmp32 && insn.off != 0)
                {
                    verbose!(self, "BPF_JA uses reserved fields\n");
                    return Err(EINVAL);
                }
                let distance = if is_jmp32 { insn.imm } else { i32::from(insn.off) };
                self.insn_idx = self.insn_idx.wrapping_add_signed(distance).wrapping_add(1);
                Ok(Some(Step::Next))
            }
            op if op == opcode::EXIT & OP => {
                if insn.code & opcode::X != 0 || insn.imm != 0 || insn.src != 0 || insn.dst != 0 || is_jmp32 {
                    verbose!(self, "BPF_EXIT uses reserved fields\n");
                    return Err(EINVAL);
                }
                self.process_bpf_exit_full(do_print_state).map(Some)
            }
            _ => {
                let mut at = self.insn_idx;
                let result = self.check_cond_jmp_op(insn, &mut at);
                self.insn_idx = at;
                result.map(|()| None)
            }
        }
    }

    fn check_call(&mut self, insn: &Insn, is_jmp32: bool) -> Res {
        let kfunc = insn.src == BPF_PSEUDO_KFUNC_CALL;
        if insn.code & opcode::X != 0
            || (!kfunc && insn.off != 0)
            || !matches!(insn.src, 0 | BPF_PSEUDO_CALL | BPF_PSEUDO_KFUNC_CALL)
            || insn.dst != 0
            || is_jmp32
        {
            verbose!(self, "BPF_CALL uses reserved fields\n");
            return Err(EINVAL);
        }
        if kfunc {
            return self.unsupported("kernel functions (kfuncs)");
        }
        let locks = self.cur.active_locks != 0;
        if locks && insn.src == 0 && insn.imm as u32 != HelperId::SPIN_UNLOCK.0 {
            verbose!(self, "function calls are not allowed while holding a lock\n");
            return Err(EINVAL);
        }
        let mut at = self.insn_idx;
        let result = if insn.src == BPF_PSEUDO_CALL {
            self.check_func_call(insn, &mut at)
        } else {
            self.check_helper_call(insn, &mut at)
        };
        self.insn_idx = at;
        result?;
        self.mark_reg_scratched(0);
        Ok(())
    }

    /// `process_bpf_exit_full`: back to the caller, or the end of the path.
    fn process_bpf_exit_full(&mut self, do_print_state: &mut bool) -> Res<Step> {
        let outermost = self.cur.curframe() == 0;
        if self.profile().checks_resource_leaks() {
            self.check_resource_leak(outermost, "BPF_EXIT instruction in main prog")?;
        } else {
            self.check_exit_leak(outermost)?;
        }
        if !outermost {
            let mut at = self.insn_idx;
            let result = self.prepare_func_exit(&mut at);
            self.insn_idx = at;
            result?;
            *do_print_state = true;
            return Ok(Step::Next);
        }
        self.check_return_code(0, "R0")?;
        Ok(Step::Exit)
    }

    fn check_ld(&mut self, insn: &Insn) -> Res {
        match insn.code & MODE {
            opcode::ABS | opcode::IND => self.check_ld_abs(insn),
            opcode::IMM => {
                self.check_ld_imm(insn)?;
                self.insn_idx += 1;
                self.sanitize_mark_insn_seen();
                Ok(())
            }
            _ => {
                verbose!(self, "invalid BPF_LD mode\n");
                Err(EINVAL)
            }
        }
    }

    /// `check_ld_imm`: a constant, a map, the value of a map, a function.
    fn check_ld_imm(&mut self, insn: &Insn) -> Res {
        if insn.code & SIZE != DW {
            verbose!(self, "invalid BPF_LD_IMM insn\n");
            return Err(EINVAL);
        }
        if insn.off != 0 {
            verbose!(self, "BPF_LD_IMM64 uses reserved fields\n");
            return Err(EINVAL);
        }
        let dst = u32::from(insn.dst);
        self.check_reg_arg(dst, RegArg::Dst)?;
        if insn.src == 0 {
            let high = self.insns.get(self.insn_idx as usize + 1).map_or(0, |next| next.imm);
            let imm = u64::from(high as u32) << 32 | u64::from(insn.imm as u32);
            let reg = self.reg_mut(dst);
            reg.ty = SCALAR_VALUE;
            reg.mark_known(imm);
            return Ok(());
        }
        self.mark_reg_known_zero(dst);
        match insn.src {
            BPF_PSEUDO_BTF_ID => self.unsupported("kernel variables (ksyms)"),
            BPF_PSEUDO_FUNC => self.check_ld_func(insn, dst),
            BPF_PSEUDO_MAP_FD | BPF_PSEUDO_MAP_IDX | BPF_PSEUDO_MAP_VALUE | BPF_PSEUDO_MAP_IDX_VALUE => {
                let aux = &self.aux[self.insn_idx as usize];
                let (map, off) = (self.used_maps[aux.map_index], aux.map_off);
                let is_value = matches!(insn.src, BPF_PSEUDO_MAP_VALUE | BPF_PSEUDO_MAP_IDX_VALUE);
                if self.map(map).map_type == skep_uapi::MapType::ARENA {
                    return self.unsupported("arenas");
                }
                let reg = self.reg_mut(dst);
                reg.set_map(map);
                if is_value {
                    reg.ty = PTR_TO_MAP_VALUE;
                    reg.off = off as i32;
                } else {
                    reg.ty = CONST_PTR_TO_MAP;
                }
                Ok(())
            }
            _ => Err(verifier_bug!(self, "unexpected src reg value for ldimm64")),
        }
    }

    fn check_ld_func(&mut self, insn: &Insn, dst: u32) -> Res {
        let target = self.insn_idx.wrapping_add_signed(insn.imm).wrapping_add(1);
        let subprog = self.find_subprog(target);
        if self.program.func_info.bytes.is_empty() {
            verbose!(self, "missing btf func_info\n");
            return Err(EINVAL);
        }
        let Some(subprog) = subprog else { return Err(EFAULT) };
        if self.subprogs[subprog as usize].is_global {
            verbose!(self, "callback function not static\n");
            return Err(EINVAL);
        }
        let reg = self.reg_mut(dst);
        reg.ty = PTR_TO_FUNC;
        reg.set_subprogno(subprog);
        Ok(())
    }

    /// `check_ld_abs`: the packet read by calls that the kernel puts in the place of `LD_ABS` and `LD_IND`.
    fn check_ld_abs(&mut self, insn: &Insn) -> Res {
        let mode = insn.code & MODE;
        if !skep_uapi::context::allows_packet_loads(self.prog_type) {
            verbose!(self, "BPF_LD_[ABS|IND] instructions not allowed for this program type\n");
            return Err(EINVAL);
        }
        if insn.dst != 0 || insn.off != 0 || insn.code & SIZE == DW || (mode == opcode::ABS && insn.src != 0)
        {
            verbose!(self, "BPF_LD_[ABS|IND] uses reserved fields\n");
            return Err(EINVAL);
        }
        self.check_reg_arg(BPF_REG_6, RegArg::Src)?;
        // The calls may end the program, and then nothing would be released.
        if self.profile().checks_resource_leaks() {
            self.check_resource_leak(true, "BPF_LD_[ABS|IND]")?;
        } else {
            self.check_leak_before_release(
                "BPF_LD_[ABS|IND]",
                "BPF_LD_[ABS|IND] cannot be mixed with socket references",
            )?;
        }
        if self.reg(BPF_REG_6).ty != PTR_TO_CTX {
            verbose!(self, "at the time of BPF_LD_ABS|IND R6 != pointer to skb\n");
            return Err(EINVAL);
        }
        if mode == opcode::IND {
            self.check_reg_arg(insn.src.into(), RegArg::Src)?;
        }
        let ctx = *self.reg(BPF_REG_6);
        self.check_ptr_off_reg(&ctx, BPF_REG_6)?;
        for regno in CALLER_SAVED {
            self.mark_reg_not_init(regno);
            self.check_reg_arg(regno, RegArg::DstNoMark)?;
        }
        self.mark_reg_unknown(0);
        self.reg_mut(0).subreg_def = self.insn_idx as i32 + 1;
        if self.cur.curframe() != 0 {
            self.fail_ld_abs_in_subprog()?;
        }
        Ok(())
    }

    /// Where the packet is too short, the function ends, and gives 0.
    fn fail_ld_abs_in_subprog(&mut self) -> Res {
        self.mark_reg_scratched(0);
        if self.push_stack(self.insn_idx + 1, self.insn_idx, false).is_none() {
            return Err(ENOMEM);
        }
        self.reg_mut(0).mark_known_zero();
        let mut at = self.insn_idx;
        let result = self.prepare_func_exit(&mut at);
        self.insn_idx = at.wrapping_sub(1);
        result
    }
}
