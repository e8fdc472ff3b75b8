// SPDX-License-Identifier: GPL-2.0-only
//! Spills around helpers that keep registers (`mark_fastcall_patterns @ 6.18`).
//!
//! Compilers that know `bpf_fastcall` save, around a call, the registers that a kernel without it would lose: each
//! is stored right before the call and loaded right after, in the lowest stack slots of its function. The kernel
//! takes the pairs out again where it puts instructions in the place of the call, if nothing else uses the slots.

use skep_isa::{Insn, opcode};
use skep_uapi::HelperId;
use skep_uapi::helper::Ret;

use crate::env::Env;
use crate::live_regs::ALL_CALLER_SAVED;
use crate::state::{BPF_REG_FP, BPF_REG_SIZE, CALLER_SAVED};
use crate::stop::Res;
use crate::subprog::is_helper_call;

/// `BPF_STX | BPF_MEM | BPF_DW`
const SPILL: u8 = 0x7b;
/// `BPF_LDX | BPF_MEM | BPF_DW`
const FILL: u8 = 0x79;

/// What is known of a call before the walk (`struct call_summary`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSummary {
    pub num_params: u8,
    pub is_void: bool,
    pub fastcall: bool,
}

/// `verifier_inlines_helper_call`, on x86-64 with its compiler.
fn verifier_inlines_helper_call(func_id: i32) -> bool {
    func_id as u32 == HelperId::GET_SMP_PROCESSOR_ID.0
}

impl Env<'_> {
    /// What a call of a helper takes and gives; `None` for other calls, and for those that are refused later.
    /// (The kernel's answer for its own functions needs its BTF.)
    pub(crate) fn get_call_summary(&self, call: &Insn) -> Option<CallSummary> {
        if !is_helper_call(call) {
            return None;
        }
        let proto = self.get_helper_proto(call.imm).ok()?;
        Some(CallSummary {
            num_params: proto.arity() as u8,
            is_void: proto.ret.base == Ret::Void && proto.ret.flags == 0,
            fastcall: proto.allow_fastcall && verifier_inlines_helper_call(call.imm),
        })
    }

    fn mark_fastcall_pattern_for_call(&mut self, subprog: usize, at: usize, lowest_off: i16) {
        let Some(summary) = self.get_call_summary(&self.insns[at]) else { return };
        // `r0` is lost where there is a result, and the registers of arguments.
        let result = u16::from(!summary.is_void);
        let clobbered = ((1_u16 << (summary.num_params + 1)) - 2) | result;
        let mut expected = !clobbered & ALL_CALLER_SAVED;
        let mut off = lowest_off;
        let mut pairs = 0;
        while pairs < CALLER_SAVED.len() {
            let (before, after) = (at.wrapping_sub(pairs + 1), at + pairs + 1);
            let (Some(&stx), Some(&ldx)) = (self.insns.get(before), self.insns.get(after)) else { break };
            let is_pair = stx.code == SPILL
                && ldx.code == FILL
                && u32::from(stx.dst) == BPF_REG_FP
                && u32::from(ldx.src) == BPF_REG_FP
                && stx.src == ldx.dst;
            if !is_pair || 1 << stx.src & expected == 0 || stx.off != off || ldx.off != off {
                break;
            }
            expected &= !(1 << stx.src);
            self.aux[before].fastcall_pattern = true;
            self.aux[after].fastcall_pattern = true;
            pairs += 1;
            off = off.wrapping_add(BPF_REG_SIZE as i16);
        }
        if pairs == 0 {
            return;
        }
        let subprog = &mut self.subprogs[subprog];
        if summary.fastcall {
            self.aux[at].fastcall_spills_num = pairs as u8;
        } else {
            // A newer compiler may know more such helpers than this kernel: their slots stay in use.
            subprog.keep_fastcall_stack = true;
        }
        subprog.fastcall_stack_off = subprog.fastcall_stack_off.min(off);
    }

    pub(crate) fn mark_fastcall_patterns(&mut self) -> Res {
        for subprog in 0..self.subprog_cnt as usize {
            let range = self.subprog_range(subprog);
            let lowest_off = self.insns[range.clone()]
                .iter()
                .filter(|insn| insn.code == SPILL && u32::from(insn.dst) == BPF_REG_FP)
                .fold(0, |lowest, insn| insn.off.min(lowest));
            for at in range {
                if self.insns[at].code == opcode::CALL {
                    self.mark_fastcall_pattern_for_call(subprog, at, lowest_off);
                }
            }
        }
        Ok(())
    }

    /// What is left of the kernel's function once no instructions are rewritten: functions that need the slots no
    /// more use less stack.
    pub(crate) fn remove_fastcall_spills_fills(&mut self) {
        for subprog in 0..self.subprog_cnt as usize {
            let removed = self.aux[self.subprog_range(subprog)].iter().any(|aux| aux.fastcall_spills_num > 0);
            let info = &mut self.subprogs[subprog];
            if removed && !info.keep_fastcall_stack {
                info.stack_depth = info.fastcall_stack_off.wrapping_neg() as u16;
            }
        }
    }

    /// Something else than the spills and fills uses their slots: then they stay, in the whole function.
    pub(crate) fn check_fastcall_stack_contract(&mut self, frame: usize, insn_idx: u32, off: i32) {
        let Some(subprog) = self.cur.frames.get(frame).map(|f| f.subprogno as usize) else { return };
        let Some(info) = self.subprogs.get_mut(subprog) else { return };
        if i32::from(info.fastcall_stack_off) <= off || self.aux[insn_idx as usize].fastcall_pattern {
            return;
        }
        info.fastcall_stack_off = i16::MIN;
        let range = self.subprog_range(subprog);
        for aux in &mut self.aux[range] {
            aux.fastcall_spills_num = 0;
            aux.fastcall_pattern = false;
        }
    }

    /// Instructions of a function.
    fn subprog_range(&self, subprog: usize) -> std::ops::Range<usize> {
        self.subprogs[subprog].start as usize..self.subprogs[subprog + 1].start as usize
    }
}
