// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf_map_lookup_elem` and `bpf_map_update_elem` where the map is known when the program is compiled: lookups in
//! arrays are a comparison and an address, all else calls the table itself.

use skep_uapi::HelperId;

use super::{BASE, Cold, Emitter, SCRATCH};
use crate::interp::{Code, Insn, Reg as BpfReg};
use crate::jit::analysis::registers;
use crate::jit::run::{self, State};
use crate::jit::x86::{Alu, Cc, Load, Mem, Reg, Shift};
use crate::map::{ArrayLayout, Map};

/// How far back the instruction is looked for that loads the map.
const FAR: usize = 16;

impl<'a> Emitter<'a> {
    /// The map in a register, and what the register holds for it, where the instructions just before a call say so.
    pub(super) fn known_map(&self, call: usize, reg: BpfReg) -> Option<(&'a Map, u64)> {
        for at in (call.saturating_sub(FAR)..call).rev() {
            let insn = &self.program.insns[at];
            if self.leaders[at + 1] {
                return None;
            }
            if registers(insn).1 & 1 << reg as u16 != 0 {
                let loads = insn.code == Code::LoadImm;
                return loads
                    .then_some(insn.imm)
                    .and_then(|imm| Some((self.target.machine.map_by_handle(imm)?, imm)));
            }
        }
        None
    }

    /// Emits a lookup or update of a known map; whether it was one.
    pub(super) fn known_map_helper(&mut self, at: usize, insn: &Insn) -> bool {
        let helper = self.program.helpers[insn.imm as usize].id;
        if helper != HelperId::MAP_LOOKUP_ELEM && helper != HelperId::MAP_UPDATE_ELEM {
            return false;
        }
        let Some((map, handle)) = self.known_map(at, BpfReg::R1) else { return false };
        if helper == HelperId::MAP_UPDATE_ELEM {
            self.buf.mov_imm(Reg::R8, handle);
            self.call_table(at, map, run::update as *const ());
        } else if let Some(layout) = map.array_layout() {
            self.array_lookup(at, layout);
        } else {
            self.buf.mov_imm(Reg::Rdx, handle);
            self.call_table(at, map, run::lookup as *const ());
        }
        true
    }

    /// Calls a function of the host on the map itself, which lives as long as the machine.
    fn call_table(&mut self, at: usize, map: &Map, function: *const ()) {
        self.buf.mov_imm64(Reg::Rdi, std::ptr::from_ref(map) as u64);
        self.call_host(function);
        self.restore_state();
        self.after_helper(at);
    }

    fn array_lookup(&mut self, at: usize, layout: ArrayLayout) {
        let ArrayLayout { addr, stride, entries, cpu_bytes } = layout;
        if self.target.elide {
            self.buf.load(Load::U32, Reg::Rax, Mem::indexed(BASE, Reg::Rsi, 0));
        } else {
            // The helper says what is wrong with a key that is no pointer.
            self.buf.mov(false, SCRATCH, Reg::Rsi);
            self.buf.alu(Alu::Cmp, true, SCRATCH, Reg::Rsi);
            let from = self.buf.jcc(Cc::Ne);
            self.buf.load(Load::U32, Reg::Rax, Mem::indexed(BASE, SCRATCH, 0));
            self.cold.push(Cold::Helper { from, at, resume: 0 });
        }
        self.buf.alu_imm(Alu::Cmp, false, Reg::Rax, entries as i32);
        let missing = self.buf.jcc_short(Cc::Ae);
        if stride.is_power_of_two() {
            self.buf.shift_imm(Shift::Shl, false, Reg::Rax, stride.trailing_zeros() as u8);
        } else {
            self.buf.imul_imm(false, Reg::Rax, Reg::Rax, stride as i32);
        }
        if cpu_bytes > 0 {
            self.buf.load(Load::U32, SCRATCH, State::CPU);
            self.buf.imul_imm(false, SCRATCH, SCRATCH, cpu_bytes as i32);
            self.buf.alu(Alu::Add, false, Reg::Rax, SCRATCH);
        }
        self.buf.alu_imm(Alu::Add, false, Reg::Rax, addr as i32);
        let found = self.buf.jmp_short();
        self.buf.land_short(missing);
        self.buf.mov_imm(Reg::Rax, 0);
        self.buf.land_short(found);
        let here = self.buf.position();
        if let Some(Cold::Helper { resume, .. }) = self.cold.last_mut().filter(|_| !self.target.elide) {
            *resume = here;
        }
        if !self.target.elide {
            self.clear_arguments(at + 1);
        }
    }
}
