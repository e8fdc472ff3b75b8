// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel does with a program that was walked, as far as it can still refuse it
//! (`optimize_bpf_loop`, `do_misc_fixups @ 6.18`).

use skep_isa::opcode;
use skep_uapi::HelperId;

use crate::env::Env;
use crate::state::BPF_REG_SIZE;
use crate::stop::{EINVAL, Res, verbose};

impl Env<'_> {
    /// `optimize_bpf_loop`: inlined loops keep three registers on the stack of their function.
    pub(crate) fn optimize_bpf_loop(&mut self) {
        let mut extra = vec![0; self.subprog_cnt as usize];
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            let is_loop = insn.code == opcode::CALL && insn.src == 0 && insn.imm as u32 == HelperId::LOOP.0;
            if is_loop && self.aux[at].loop_inline.is_some_and(|(fit, _)| fit) {
                let subprog = self.find_containing_subprog(at as u32) as usize;
                let depth = self.subprogs[subprog].stack_depth;
                extra[subprog] = BPF_REG_SIZE as u16 * 3 + (depth.next_multiple_of(8) - depth);
            }
        }
        for (subprog, extra) in self.subprogs.iter_mut().zip(extra) {
            subprog.stack_depth += extra;
        }
    }

    /// `do_misc_fixups`: a tail call whose map differs between paths cannot be guarded against speculation.
    pub(crate) fn do_misc_fixups(&mut self) -> Res {
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            let aux = &self.aux[at];
            let is_tail_call =
                insn.code == opcode::CALL && insn.src == 0 && insn.imm as u32 == HelperId::TAIL_CALL.0;
            if is_tail_call && aux.seen != 0 && aux.map_ptr_unpriv && aux.map_ptr_poison {
                verbose!(self, "tail_call abusing map_ptr\n");
                return Err(EINVAL);
            }
        }
        Ok(())
    }
}
