// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf_tail_call`: a jump to the program, or on to the next instruction. From a function that has a frame to take down
//! it is a call, of which at most 33 can be open.

use skep_uapi::limits::MAX_TAIL_CALL_CNT;

use super::{BASE, Cold, Emitter, SCRATCH};
use crate::interp::Reg as BpfReg;
use crate::jit::run::State;
use crate::jit::x86::{Alu, Cc, Load, Mem, Reg, Width};
use crate::map::Slots;

impl Emitter<'_> {
    pub(super) fn tail_call(&mut self, at: usize) {
        self.settle(0);
        let known = self.known_map(at, BpfReg::R2).and_then(|(map, _)| map.as_programs());
        match known {
            Some(slots) => self.known_tail_call(at, slots),
            None => self.ask_for_tail_call(at),
        }
    }

    /// Asks the host where to go on.
    fn ask_for_tail_call(&mut self, at: usize) {
        self.buf.store_imm(Width::W, State::TRAP_INSN, at as i32);
        let call = self.buf.call();
        self.buf.patch(call, self.thunks.tail_call);
        self.buf.test(true, SCRATCH, SCRATCH);
        let none = self.buf.jcc_short(Cc::E);
        self.go_to_program();
        self.buf.land_short(none);
    }

    /// The program array is known: its slots, the count of tail calls and the programs' entries are looked at in place.
    fn known_tail_call(&mut self, at: usize, slots: &Slots) {
        if self.target.count {
            // Without fuel the host is asked, which grants some or ends the run.
            let from = self.buf.jcc(Cc::Le);
            self.cold.push(Cold::TailCall { from, at, resume: 0, function: self.function });
        }
        let cold = self.cold.len();
        self.buf.alu_imm(Alu::Cmp, false, Reg::Rdx, slots.len() as i32);
        let outside = self.buf.jcc_short(Cc::Ae);
        self.buf.mov(false, SCRATCH, Reg::Rdx);
        self.buf.mov_imm64(BASE, slots.address() as u64);
        self.buf.load(Load::U32, SCRATCH, Mem::element(BASE, SCRATCH, 2, 0));
        self.buf.test(false, SCRATCH, SCRATCH);
        let empty = self.buf.jcc_short(Cc::E);
        self.buf.alu_mem_imm(Alu::Cmp, false, State::TAIL_CALLS, MAX_TAIL_CALL_CNT as i32);
        let enough = self.buf.jcc_short(Cc::Ae);
        self.buf.alu_mem_imm(Alu::Add, false, State::TAIL_CALLS, 1);
        // Slots hold the index of a program and one.
        self.buf.mov_imm64(BASE, self.target.machine.entries().as_ptr() as u64);
        self.buf.load(Load::U64, SCRATCH, Mem::element(BASE, SCRATCH, 3, -8));
        self.restore_base();
        self.go_to_program();
        self.buf.land_short(empty);
        self.buf.land_short(enough);
        self.restore_base();
        self.buf.land_short(outside);
        let here = self.buf.position();
        if let Some(Cold::TailCall { resume, .. }) =
            self.cold[..cold].last_mut().filter(|_| self.target.count)
        {
            *resume = here;
        }
    }

    /// Leaves for the program whose entry is in the scratch register.
    fn go_to_program(&mut self) {
        if self.bare_main && self.function == 0 {
            self.epilogue();
            self.buf.jmp_reg(SCRATCH);
        } else {
            self.buf.call_reg(SCRATCH);
            self.epilogue();
            self.buf.ret();
        }
    }

    /// The cold end of [`Emitter::known_tail_call`].
    pub(super) fn tail_call_without_fuel(&mut self, at: usize, resume: usize) {
        self.ask_for_tail_call(at);
        let back = self.buf.jmp();
        self.buf.patch(back, resume);
    }
}
