// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code around functions: how a run enters and leaves, and how it asks the host for what is rare.

use super::{BASE, Emitter, FRAME, FUEL, SCRATCH, STATE, Thunks};
use crate::interp;
use crate::jit::run::{self, Entry, State};
use crate::jit::x86::{Alu, Cc, Load, Mem, Reg, Width};

/// Registers that the System V ABI wants back, beside `rsp`.
const PRESERVED: [Reg; 6] = [Reg::Rbx, Reg::Rbp, Reg::R12, Reg::R13, Reg::R14, Reg::R15];
/// Registers of the program that a call of the host does not preserve.
const LOST: [Reg; 6] = [Reg::Rdi, Reg::Rsi, Reg::Rdx, Reg::Rcx, Reg::R8, STATE];

impl Emitter<'_> {
    /// Emits all of them. Gives where a run enters, and where it goes on to leave with a trap.
    pub(super) fn thunks(&mut self) -> (usize, usize) {
        let (enter, unwind) = self.enter();
        self.thunks = Thunks {
            trap: self.trap(unwind),
            refuel: self.refuel_thunk(unwind),
            tail_call: self.tail_call_thunk(unwind),
            packet_load: self.packet_load_thunk(),
        };
        (enter, unwind)
    }

    /// `extern "sysv64" fn(state, function, frame, args) -> Returned`, an [`Entry`]: all registers of the program
    /// are 0 but `r1` to `r5` and `r10`.
    fn enter(&mut self) -> (usize, usize) {
        let enter = self.buf.position();
        let Entry { state, function, frame, args } = Entry::REGISTERS;
        for reg in PRESERVED {
            self.buf.push(reg);
        }
        // Runs nest, where a helper calls back: each finds its own way out.
        self.buf.push_mem(State::at(state, State::STACK));
        self.buf.store(Width::Dw, State::at(state, State::STACK), Reg::Rsp);
        self.buf.mov(true, STATE, state);
        self.buf.mov(true, SCRATCH, function);
        self.buf.mov(true, FRAME, frame);
        self.buf.load(Load::U64, FUEL, State::FUEL);
        self.restore_base();
        let args_at = |n: i32| Mem::new(args, 8 * n);
        for (n, reg) in [Reg::Rdi, Reg::Rsi, Reg::Rdx].into_iter().enumerate() {
            self.buf.load(Load::U64, reg, args_at(n as i32));
        }
        self.buf.load(Load::U64, Reg::R8, args_at(4));
        self.buf.load(Load::U64, Reg::Rcx, args_at(3));
        for reg in [Reg::Rax, Reg::Rbx, Reg::R13, Reg::R14, Reg::R15] {
            self.buf.alu(Alu::Xor, false, reg, reg);
        }
        self.buf.call_reg(SCRATCH);
        self.buf.alu(Alu::Xor, false, Reg::Rdx, Reg::Rdx);
        let leave = self.buf.position();
        self.buf.store(Width::Dw, State::FUEL, FUEL);
        self.buf.pop_mem(State::STACK);
        for reg in PRESERVED.into_iter().rev() {
            self.buf.pop(reg);
        }
        self.buf.ret();
        let unwind = self.buf.position();
        self.buf.load(Load::U64, Reg::Rsp, State::STACK);
        self.buf.mov_imm32(Reg::Rdx, 1);
        let patch = self.buf.jmp();
        self.buf.patch(patch, leave);
        (enter, unwind)
    }

    /// Takes the number of the instruction that traps.
    fn trap(&mut self, unwind: usize) -> usize {
        let here = self.buf.position();
        self.buf.store(Width::W, State::TRAP_INSN, SCRATCH);
        self.buf.store_imm(Width::W, State::TRAP_PROGRAM, self.target.index as i32);
        for reg in interp::Reg::NAMED.map(super::host) {
            self.buf.store(Width::Dw, State::register(reg), reg);
        }
        let patch = self.buf.jmp();
        self.buf.patch(patch, unwind);
        here
    }

    /// Calls a function of the host on an aligned stack. Its arguments are there, but for the state of the run,
    /// which becomes the first.
    fn call_host(&mut self, function: usize) {
        self.buf.push(FRAME);
        self.buf.mov(true, FRAME, Reg::Rsp);
        self.buf.alu_imm(Alu::And, true, Reg::Rsp, -16);
        self.buf.mov(true, Reg::Rdi, STATE);
        self.buf.mov_imm64(Reg::Rax, function as u64);
        self.buf.call_reg(Reg::Rax);
        self.buf.mov(true, Reg::Rsp, FRAME);
        self.buf.pop(FRAME);
    }

    /// Takes the instruction that the run goes on with; preserves all registers of the program.
    fn refuel_thunk(&mut self, unwind: usize) -> usize {
        let here = self.buf.position();
        self.buf.push(Reg::Rax);
        for reg in LOST {
            self.buf.push(reg);
        }
        self.buf.store(Width::W, State::TRAP_INSN, SCRATCH);
        self.buf.store_imm(Width::W, State::TRAP_PROGRAM, self.target.index as i32);
        self.buf.store(Width::Dw, State::FUEL, FUEL);
        self.call_host(run::refuel as *const () as usize);
        self.buf.test(false, Reg::Rax, Reg::Rax);
        for reg in LOST.into_iter().rev() {
            self.buf.pop(reg);
        }
        self.buf.pop(Reg::Rax);
        self.restore_base();
        self.buf.load(Load::U64, FUEL, State::FUEL);
        let trapped = self.buf.jcc(Cc::Ne);
        self.buf.patch(trapped, unwind);
        self.buf.ret();
        here
    }

    /// Takes `r2` and `r3` as they are; preserves all registers of the program. The scratch register holds where
    /// to go on, or 0.
    fn tail_call_thunk(&mut self, unwind: usize) -> usize {
        let here = self.buf.position();
        self.buf.push(Reg::Rax);
        for reg in LOST {
            self.buf.push(reg);
        }
        self.buf.store_imm(Width::W, State::TRAP_PROGRAM, self.target.index as i32);
        self.buf.store(Width::Dw, State::FUEL, FUEL);
        self.call_host(run::tail_call as *const () as usize);
        self.buf.mov(true, SCRATCH, Reg::Rax);
        self.buf.test(false, Reg::Rdx, Reg::Rdx);
        for reg in LOST.into_iter().rev() {
            self.buf.pop(reg);
        }
        self.buf.pop(Reg::Rax);
        self.restore_base();
        self.buf.load(Load::U64, FUEL, State::FUEL);
        let trapped = self.buf.jcc(Cc::Ne);
        self.buf.patch(trapped, unwind);
        self.buf.ret();
        here
    }

    /// Takes the offset in the scratch register and the bytes in the base's; preserves all registers of the program
    /// but `r0`. The scratch register holds whether it went wrong.
    fn packet_load_thunk(&mut self) -> usize {
        let here = self.buf.position();
        for reg in LOST {
            self.buf.push(reg);
        }
        self.buf.mov(false, Reg::Rsi, SCRATCH);
        self.buf.mov(false, Reg::Rdx, BASE);
        self.call_host(run::packet_load as *const () as usize);
        self.buf.mov(false, SCRATCH, Reg::Rdx);
        for reg in LOST.into_iter().rev() {
            self.buf.pop(reg);
        }
        self.restore_base();
        self.buf.ret();
        here
    }
}
