// SPDX-License-Identifier: GPL-2.0-only
//! Registers that are read later (`compute_live_registers @ 6.18`).

use skep_isa::{Insn, class, opcode};

use crate::env::Env;
use crate::log;
use crate::planted::{self, Planted};
use crate::state::CALLER_SAVED;
use crate::stop::{Res, verbose};

/// Bits of the operation (`BPF_OP`).
const OP: u8 = 0xf0;
/// Bits of the mode (`BPF_MODE`).
const MODE: u8 = 0xe0;
/// `BPF_CMPXCHG`
const CMPXCHG: i32 = 0xf1;
/// `BPF_LOAD_ACQ`
const LOAD_ACQ: i32 = 0x100;
/// `BPF_STORE_REL`
const STORE_REL: i32 = 0x110;
/// `BPF_FETCH`
const FETCH: i32 = 1;

/// All of `r0` to `r5`.
pub(crate) const ALL_CALLER_SAVED: u16 = (1 << CALLER_SAVED.end) - 1;

/// Registers as bits (`struct insn_live_regs`; what is live after an instruction is not kept, since it follows).
#[derive(Clone, Copy)]
struct LiveRegs {
    /// Read by the instruction.
    reads: u16,
    /// Written by it.
    writes: u16,
    /// Perhaps read later, seen from before it.
    before: u16,
}

impl Env<'_> {
    /// `compute_insn_live_regs`. What is not known reads everything.
    fn insn_live_regs(&self, insn: &Insn) -> LiveRegs {
        let (src, dst, r0) = (1_u16 << insn.src, 1_u16 << insn.dst, 1_u16);
        let operand = if insn.code & opcode::X == 0 { 0 } else { src };
        let (reads, writes) = match (insn.class(), insn.code & MODE) {
            (class::LD, opcode::IMM) if insn.is_ld_imm64() => (0, dst),
            (class::LDX, opcode::MEM | opcode::MEMSX) => (src, dst),
            (class::ST, opcode::MEM) => (dst, 0),
            (class::STX, opcode::MEM) if planted::is(Planted::StoreNotLive) => (dst, 0),
            (class::STX, opcode::MEM) => (dst | src, 0),
            (class::STX, opcode::ATOMIC) => match insn.imm {
                CMPXCHG => (r0 | dst | src, r0),
                LOAD_ACQ => (src, dst),
                STORE_REL => (dst | src, 0),
                imm => (dst | src, if imm & FETCH == 0 { 0 } else { src }),
            },
            (class::ALU | class::ALU64, _) => match insn.code & OP {
                opcode::END => (dst, dst),
                opcode::MOV => (operand, dst),
                _ => (dst | operand, dst),
            },
            (class::JMP | class::JMP32, _) => match insn.code & OP {
                op if op == opcode::JA & OP || op == opcode::JCOND & OP => (0, 0),
                op if op == opcode::EXIT & OP => (r0, 0),
                op if op == opcode::CALL & OP => {
                    let arguments = self
                        .get_call_summary(insn)
                        .map_or(ALL_CALLER_SAVED, |call| (1 << (call.num_params + 1)) - 1);
                    (arguments & !r0, ALL_CALLER_SAVED)
                }
                _ => (dst | operand, 0),
            },
            _ => (u16::MAX, 0),
        };
        LiveRegs { reads, writes, before: 0 }
    }

    /// Finds for each instruction the registers whose values may still be read.
    pub(crate) fn compute_live_registers(&mut self) -> Res {
        let mut live: Vec<LiveRegs> = self.insns.iter().map(|insn| self.insn_live_regs(insn)).collect();
        let mut changed = true;
        while changed {
            changed = false;
            for &at in &self.insn_postorder {
                let after = self.successors[at as usize]
                    .as_slice()
                    .iter()
                    .fold(0, |after, &next| after | live.get(next as usize).map_or(0, |next| next.before));
                let insn = &mut live[at as usize];
                let before = after & !insn.writes | insn.reads;
                changed |= self.has_back_edges && before != insn.before;
                insn.before = before;
            }
        }
        for (aux, live) in self.aux.iter_mut().zip(&live) {
            aux.live_regs_before = live.before;
        }
        if self.log.level & log::LEVEL2 != 0 {
            self.log_live_registers();
        }
        Ok(())
    }

    fn log_live_registers(&mut self) {
        verbose!(self, "Live regs before insn:\n");
        let mut at = 0;
        while at < self.insns.len() {
            let (scc, live) = (self.aux[at].scc, self.aux[at].live_regs_before);
            if scc == 0 {
                verbose!(self, "    ");
            } else {
                verbose!(self, "{scc:3} ");
            }
            verbose!(self, "{at:3}: ");
            for reg in 0..10_u8 {
                if live & 1 << reg == 0 {
                    verbose!(self, ".");
                } else {
                    verbose!(self, "{reg}");
                }
            }
            verbose!(self, " ");
            self.verbose_insn(at as u32);
            at += if self.insns[at].is_ld_imm64() { 2 } else { 1 };
        }
    }
}
