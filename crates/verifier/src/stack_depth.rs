// SPDX-License-Identifier: GPL-2.0-only
//! Stack of all chains of calls (`check_max_stack_depth @ 6.18`), with the private stacks that the x86-64 JIT gives
//! to programs that may nest.

use skep_uapi::ProgType;
use skep_uapi::limits::{MAX_BPF_STACK, MAX_CALL_FRAMES};

use crate::env::{Env, PrivStackMode};
use crate::stop::{E2BIG, EACCES, Res, verbose, verifier_bug};
use crate::subprog::{is_pseudo_call, is_pseudo_func};

/// `BPF_PRIV_STACK_MIN_SIZE`: below that a private stack is not worth it.
const BPF_PRIV_STACK_MIN_SIZE: i32 = 64;

impl Env<'_> {
    /// `round_up_stack_depth`, with a JIT.
    fn rounded(&self, depth: u16) -> i32 {
        if self.profile().packs_stacks() {
            u32::from(depth).next_multiple_of(16) as i32
        } else {
            u32::from(depth.max(1)).next_multiple_of(32) as i32
        }
    }

    /// `check_max_stack_depth`.
    pub(crate) fn check_max_stack_depth(&mut self) -> Res {
        let subprogs = &self.subprogs[..self.subprog_cnt as usize];
        let has_tail_call = subprogs.iter().any(|sub| sub.has_tail_call);
        // `bpf_enable_priv_stack`.
        let may_nest = self.profile().has_private_stacks()
            && matches!(
                self.prog_type,
                ProgType::KPROBE | ProgType::TRACEPOINT | ProgType::PERF_EVENT | ProgType::RAW_TRACEPOINT
            );
        for i in (0..self.subprog_cnt as usize).rev() {
            if i == 0 || self.subprogs[i].is_async_cb {
                self.check_stack_depth_from(i, i == 0 && may_nest && !has_tail_call)?;
            }
        }
        Ok(())
    }

    /// `check_max_stack_depth_subprog`: all chains of calls from a function.
    fn check_stack_depth_from(&mut self, start: usize, priv_stack_supported: bool) -> Res {
        let mut idx = start;
        let mut depth = 0;
        let mut callers: Vec<(u32, usize)> = Vec::new();
        let mut i = self.subprogs[idx].start;
        self.enter_stack(idx, priv_stack_supported, &mut depth, 0)?;
        loop {
            let end = self.subprogs[idx + 1].start;
            let called = (i..end).find_map(|at| {
                let insn = self.insns[at as usize];
                if !is_pseudo_call(&insn) && !is_pseudo_func(&insn) {
                    return None;
                }
                let target = at.wrapping_add_signed(insn.imm).wrapping_add(1);
                let callee = self.find_subprog(target);
                // Called later, on a stack of its own.
                let later = callee.is_some_and(|c| self.subprogs[c as usize].is_async_cb);
                if later && !is_pseudo_call(&insn) { None } else { Some((at, target, callee)) }
            });
            if let Some((at, target, callee)) = called {
                let Some(callee) = callee else {
                    return Err(verifier_bug!(self, "callee not found at insn {} (sidx < 0)", target));
                };
                callers.push((at + 1, idx));
                i = target;
                idx = callee as usize;
                if callers.len() >= MAX_CALL_FRAMES {
                    verbose!(self, "the call stack of {} frames is too deep !\n", callers.len());
                    return Err(E2BIG);
                }
                self.enter_stack(idx, priv_stack_supported, &mut depth, callers.len())?;
                continue;
            }
            let Some((back, caller)) = callers.pop() else { return Ok(()) };
            if self.subprogs[idx].priv_stack_mode != PrivStackMode::Adaptive {
                depth -= self.rounded(self.subprogs[idx].stack_depth);
            }
            (i, idx) = (back, caller);
        }
    }

    /// Adds the stack of a function that `frames` others lead to.
    fn enter_stack(&mut self, idx: usize, priv_stack_supported: bool, depth: &mut i32, frames: usize) -> Res {
        let own = self.rounded(self.subprogs[idx].stack_depth);
        let sub = &mut self.subprogs[idx];
        if !priv_stack_supported {
            sub.priv_stack_mode = PrivStackMode::No;
        }
        if idx != 0 && sub.has_tail_call && *depth >= 256 {
            verbose!(
                self,
                "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large\n"
            );
            return Err(EACCES);
        }
        if priv_stack_supported
            && sub.priv_stack_mode == PrivStackMode::Unknown
            && own >= BPF_PRIV_STACK_MIN_SIZE
        {
            sub.priv_stack_mode = PrivStackMode::Adaptive;
        }
        let limit = MAX_BPF_STACK as i32;
        if sub.priv_stack_mode == PrivStackMode::Adaptive {
            if own > limit {
                verbose!(self, "stack size of subprog {idx} is {own}. Too large\n");
                return Err(EACCES);
            }
            return Ok(());
        }
        *depth += own;
        if *depth > limit {
            verbose!(self, "combined stack size of {} calls is {depth}. Too large\n", frames + 1);
            return Err(EACCES);
        }
        Ok(())
    }
}
