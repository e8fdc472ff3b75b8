// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code around functions: how a run enters and leaves, and how it asks the host for what is rare.

use super::{BASE, Emitter, FRAME, FUEL, SCRATCH, STATE, Thunks};
use crate::interp;
use crate::jit::run::{self, Entry, State};
use crate::jit::x86::{Alu, Cc, Load, Mem, Patch, Reg, Width};

/// Registers that the System V ABI wants back, beside `rsp`.
const PRESERVED: [Reg; 6] = [Reg::Rbx, Reg::Rbp, Reg::R12, Reg::R13, Reg::R14, Reg::R15];
/// Registers of the program that a call of the host does not preserve.
const LOST: [Reg; 6] = [Reg::Rdi, Reg::Rsi, Reg::Rdx, Reg::Rcx, Reg::R8, STATE];

impl Emitter<'_> {
    /// Emits what all functions share. Gives where a run enters any of them.
    pub(super) fn thunks(&mut self) -> usize {
        let enter = self.enter();
        self.thunks = Thunks {
            trap: self.trap(),
            refuel: self.refuel_thunk(),
            tail_call: self.tail_call_thunk(),
            packet_load: self.packet_load_thunk(),
        };
        enter
    }

    /// A `run::Start` of the program: `r1` and `r2` are there, all other registers of the program are 0 but `r10`.
    /// It keeps what the program uses of the registers that the caller wants back. Gives where it is, and the call
    /// of the main function.
    pub(super) fn start(&mut self) -> (usize, Patch) {
        let start = self.buf.position();
        let preserved = self.preserved;
        let uses = |bit: u16| preserved & 1 << bit != 0;
        let mut kept = if self.target.count { vec![FUEL] } else { Vec::new() };
        let used = [(6, Reg::Rbx), (7, Reg::R13), (8, Reg::R14), (9, Reg::R15), (10, FRAME)];
        kept.extend(used.into_iter().filter(|&(bit, _)| uses(bit)).map(|(_, reg)| reg));
        if kept.len() % 2 == 0 {
            // Aligns the stack.
            kept.push(Reg::R15);
        }
        for &reg in &kept {
            self.buf.push(reg);
        }
        let unwind = self.traps.then(|| self.set_unwind());
        if uses(10) {
            self.buf.mov(true, FRAME, Reg::R8);
        }
        self.load_fuel();
        self.restore_base();
        for reg in [Reg::Rax, Reg::R8] {
            self.buf.alu(Alu::Xor, false, reg, reg);
        }
        for (_, reg) in used.into_iter().take(4).filter(|&(bit, _)| uses(bit)) {
            self.buf.alu(Alu::Xor, false, reg, reg);
        }
        let main = self.buf.call();
        self.leave(unwind, |this| {
            for &reg in kept.iter().rev() {
                this.buf.pop(reg);
            }
        });
        (start, main)
    }

    /// Where the run leaves with a trap: the machine's stack is as it is here, and the code is that of
    /// [`Emitter::leave`].
    fn set_unwind(&mut self) -> Patch {
        self.buf.store(Width::Dw, State::STACK, Reg::Rsp);
        let unwind = self.buf.lea_code(SCRATCH);
        self.buf.store(Width::Dw, State::UNWIND, SCRATCH);
        unwind
    }

    /// Leaves with the result of the function that was called, or, through `unwind`, with a trap.
    fn leave(&mut self, unwind: Option<Patch>, restore: impl FnOnce(&mut Self)) {
        self.buf.alu(Alu::Xor, false, Reg::Rdx, Reg::Rdx);
        let leave = self.buf.position();
        self.store_fuel();
        restore(self);
        self.buf.ret();
        if let Some(unwind) = unwind {
            self.buf.patch(unwind, self.buf.position());
            self.buf.load(Load::U64, Reg::Rsp, State::STACK);
            self.buf.mov_imm32(Reg::Rdx, 1);
            let patch = self.buf.jmp();
            self.buf.patch(patch, leave);
        }
    }

    /// A `run::Enter`: all registers of the program are 0 but `r1` to `r5` and `r10`.
    fn enter(&mut self) -> usize {
        let enter = self.buf.position();
        let Entry { state, function, frame, args } = Entry::REGISTERS;
        for reg in PRESERVED {
            self.buf.push(reg);
        }
        self.buf.mov(true, STATE, state);
        // Runs nest, where a helper calls back: each finds its own way out.
        let outer = [State::STACK, State::UNWIND];
        for field in outer {
            self.buf.push_mem(field);
        }
        // Aligns the stack.
        self.buf.push(STATE);
        let unwind = self.set_unwind();
        self.buf.mov(true, SCRATCH, function);
        self.buf.mov(true, FRAME, frame);
        self.load_fuel();
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
        self.leave(Some(unwind), |this| {
            this.buf.pop(SCRATCH);
            for field in outer.into_iter().rev() {
                this.buf.pop_mem(field);
            }
            for reg in PRESERVED.into_iter().rev() {
                this.buf.pop(reg);
            }
        });
        enter
    }

    /// Leaves with a trap.
    fn unwind(&mut self) {
        self.buf.jmp_mem(State::UNWIND);
    }

    /// Takes the number of the instruction that traps.
    fn trap(&mut self) -> usize {
        let here = self.buf.position();
        self.buf.store(Width::W, State::TRAP_INSN, SCRATCH);
        self.buf.store_imm(Width::W, State::TRAP_PROGRAM, self.target.index as i32);
        for reg in interp::Reg::NAMED.map(super::host) {
            self.buf.store(Width::Dw, State::register(reg), reg);
        }
        self.unwind();
        here
    }

    /// Calls a function of the host on an aligned stack. Its arguments are there, but for the state of the run,
    /// which becomes the first.
    fn call_aligned(&mut self, function: *const ()) {
        self.buf.push(FRAME);
        self.buf.mov(true, FRAME, Reg::Rsp);
        self.buf.alu_imm(Alu::And, true, Reg::Rsp, -16);
        self.buf.mov(true, Reg::Rdi, STATE);
        self.call_host(function);
        self.buf.mov(true, Reg::Rsp, FRAME);
        self.buf.pop(FRAME);
    }

    /// Takes the instruction that the run goes on with; preserves all registers of the program.
    fn refuel_thunk(&mut self) -> usize {
        let here = self.buf.position();
        self.buf.push(Reg::Rax);
        for reg in LOST {
            self.buf.push(reg);
        }
        self.buf.store(Width::W, State::TRAP_INSN, SCRATCH);
        self.buf.store_imm(Width::W, State::TRAP_PROGRAM, self.target.index as i32);
        self.store_fuel();
        self.call_aligned(run::refuel as *const ());
        self.buf.test(false, Reg::Rax, Reg::Rax);
        for reg in LOST.into_iter().rev() {
            self.buf.pop(reg);
        }
        self.buf.pop(Reg::Rax);
        self.restore_base();
        self.load_fuel();
        let fine = self.buf.jcc_short(Cc::E);
        self.unwind();
        self.buf.land_short(fine);
        self.buf.ret();
        here
    }

    /// Takes `r2` and `r3` as they are; preserves all registers of the program. The scratch register holds where
    /// to go on, or 0.
    fn tail_call_thunk(&mut self) -> usize {
        let here = self.buf.position();
        self.buf.push(Reg::Rax);
        for reg in LOST {
            self.buf.push(reg);
        }
        self.buf.store_imm(Width::W, State::TRAP_PROGRAM, self.target.index as i32);
        self.store_fuel();
        self.call_aligned(run::tail_call as *const ());
        self.buf.mov(true, SCRATCH, Reg::Rax);
        self.buf.test(false, Reg::Rdx, Reg::Rdx);
        for reg in LOST.into_iter().rev() {
            self.buf.pop(reg);
        }
        self.buf.pop(Reg::Rax);
        self.restore_base();
        self.load_fuel();
        let fine = self.buf.jcc_short(Cc::E);
        self.unwind();
        self.buf.land_short(fine);
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
        self.call_aligned(run::packet_load as *const ());
        self.buf.mov(false, SCRATCH, Reg::Rdx);
        for reg in LOST.into_iter().rev() {
            self.buf.pop(reg);
        }
        self.restore_base();
        self.buf.ret();
        here
    }
}
