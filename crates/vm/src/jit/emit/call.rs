// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls: helpers, functions of the program, tail calls, packet loads; and the frames of functions.

use super::{Cold, Emitter, FRAME, SCRATCH, STATE, host};
use crate::interp::{Code, Insn};
use crate::jit::analysis::{CALLER_SAVED, registers};
use crate::jit::run::State;
use crate::jit::x86::{Alu, Cc, Load, Mem, Reg, Width};
use crate::thread::FRAME_BYTES;
use skep_uapi::limits::BPF_MAX_MAY_GOTO;

/// Callee-saved registers in the order in which they are pushed.
const SAVED: [(u16, Reg); 4] =
    [(1 << 6, Reg::Rbx), (1 << 7, Reg::R13), (1 << 8, Reg::R14), (1 << 9, Reg::R15)];

impl Emitter<'_> {
    /// Makes the frame of the function that begins.
    pub(super) fn prologue(&mut self) {
        let function = &self.functions[self.function];
        for (bit, reg) in SAVED {
            if function.saved & bit != 0 {
                self.buf.push(reg);
            }
        }
        let words = u32::from(function.state) + u32::from(function.may_goto);
        if function.slots() > words {
            self.buf.push(STATE);
        }
        if function.may_goto {
            self.buf.push_imm(BPF_MAX_MAY_GOTO as i32);
        }
        if function.state {
            self.buf.push(STATE);
        }
    }

    /// Takes the frame of the function down.
    pub(super) fn epilogue(&mut self) {
        let function = &self.functions[self.function];
        let slots = function.slots();
        if slots > 0 {
            self.buf.alu_imm(Alu::Add, true, Reg::Rsp, 8 * slots as i32);
        }
        for (bit, reg) in SAVED.into_iter().rev() {
            if function.saved & bit != 0 {
                self.buf.pop(reg);
            }
        }
    }

    pub(super) fn call_helper(&mut self, at: usize, insn: &Insn) {
        if self.known_map_helper(at, insn) {
            return;
        }
        let helper = self.program.helpers[insn.imm as usize];
        if helper.reenters {
            self.settle(0);
            self.store_fuel();
            self.buf.store(Width::Dw, State::FRAME, FRAME);
        }
        self.call_host(helper.native as *const ());
        self.restore_state();
        if helper.reenters {
            // Before the run can end: it leaves with what is in the register.
            self.load_fuel();
        }
        self.after_helper(at);
    }

    /// A trap of a helper ends the run; nobody sees what else it left.
    pub(super) fn after_helper(&mut self, at: usize) {
        self.buf.test(false, Reg::Rdx, Reg::Rdx);
        self.trap_if(Cc::Ne, at);
        if !self.target.elide {
            self.clear_arguments(at + 1);
        }
    }

    /// `r9` and `r11` are what they were before a call of the host.
    pub(super) fn restore_state(&mut self) {
        self.buf.load(Load::U64, STATE, Mem::new(Reg::Rsp, 0));
        self.restore_base();
    }

    /// What a helper left in `r1` to `r5` may be addresses of the host: nobody gets to read it.
    pub(super) fn clear_arguments(&mut self, next: usize) {
        let mut left = CALLER_SAVED;
        let mut clear = 0;
        for (at, insn) in self.program.insns.iter().enumerate().skip(next) {
            if left == 0 {
                break;
            }
            // Anything may be read elsewhere.
            if self.leaders[at] || insn.code.jumps() || insn.code == Code::CallLocal {
                clear |= left;
                break;
            }
            let (read, written) = registers(insn);
            clear |= left & read;
            left &= !(read | written);
            if insn.code.ends_line() {
                // The caller of a function sees what it returns with.
                let main = self.bare_main && self.function == 0;
                clear |= if main { 0 } else { left };
                break;
            }
        }
        for reg in crate::interp::Reg::ARGUMENTS {
            if clear & 1 << reg as u16 != 0 {
                self.buf.alu(Alu::Xor, false, host(reg), host(reg));
            }
        }
    }

    pub(super) fn call_local(&mut self, at: usize, insn: &Insn) {
        let target = insn.off as usize;
        self.buf.alu_imm(Alu::Sub, true, FRAME, FRAME_BYTES as i32);
        if !self.target.elide {
            // All frames of a thread fill one page: below the last, the address is that of a page.
            self.buf.test_imm(false, FRAME, crate::memory::PAGE as i32 - 1);
            self.trap_if(Cc::E, at);
        }
        self.settle(0);
        self.look(target, None);
        let patch = self.buf.call();
        // Every target of a call begins a function.
        let function = self.functions.partition_point(|function| function.start < target);
        self.calls.push((patch, function));
        self.buf.alu_imm(Alu::Add, true, FRAME, FRAME_BYTES as i32);
    }

    /// `LD_ABS`, `LD_IND`.
    pub(super) fn packet_load(&mut self, at: usize, insn: &Insn) {
        if insn.code == Code::LdInd {
            let src = self.operand(insn.src);
            self.buf.lea(false, SCRATCH, Mem::new(src, insn.off));
        } else {
            self.load_offset(insn.off);
        }
        self.buf.mov_imm32(super::BASE, insn.imm as u32);
        let call = self.buf.call();
        self.buf.patch(call, self.thunks.packet_load);
        self.buf.test(false, SCRATCH, SCRATCH);
        let from = self.buf.jcc(Cc::Ne);
        self.cold.push(Cold::NoPacket { from, at, pending: self.pending, function: self.function });
    }

    fn load_offset(&mut self, off: i32) {
        if self.target.blind {
            self.blinded(false, SCRATCH, off);
        } else {
            self.buf.mov_imm32(SCRATCH, off as u32);
        }
    }

    /// A packet load outside of the packet returns 0 from the function; one without a packet is a trap.
    pub(super) fn no_packet(&mut self, at: usize) {
        self.buf.alu_imm(Alu::Cmp, false, SCRATCH, 1);
        let outside = self.buf.jcc_short(Cc::E);
        self.trap_here(at);
        self.buf.land_short(outside);
        self.settle(0);
        self.buf.mov_imm(Reg::Rax, 0);
        self.epilogue();
        self.buf.ret();
    }
}
