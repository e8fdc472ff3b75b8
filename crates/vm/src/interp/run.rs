// SPDX-License-Identifier: MIT OR Apache-2.0
//! How instructions run one after the other.
//!
//! Each operation is a function ([`super::ops`]). In optimised builds it ends in a call of the next instruction's, which
//! the compiler makes a jump: the processor predicts each of them by itself, and what they share stays in registers.
//! Nothing depends on that: control comes back to the driver whenever fuel runs out, every [`SLICE`](super::SLICE)
//! instructions, and programs whose straight lines could be longer go step by step, so the stack of the machine is bounded
//! even where calls stay calls. Step by step is also how `checked` and observed runs go, and builds that are not optimised.
//!
//! Instructions are counted by where control is: `Cpu::bias` less the index of an instruction is the fuel before it.

use skep_isa::{AtomicOp, Size, Width};
use skep_uapi::limits::{BPF_MAX_MAY_GOTO, MAX_BPF_STACK, MAX_CALL_FRAMES, MAX_TAIL_CALL_CNT};

use super::code::{ATOMIC_OPS, Code, Insn};
use super::ops::{Ops, atomic_trap, place};
use super::{Exec, Frame, SLICE};
use crate::memory::GuestMemory;
use crate::trap::{BadAccess, Trap, TrapKind};

/// Registers; the last five are never named.
pub(super) type Regs = [u64; 16];

/// What the functions of instructions share, beside the run.
pub(super) struct Cpu<'m> {
    pub(super) regs: Regs,
    /// Instructions of the current program.
    pub(super) insns: &'m [Insn],
    /// Fuel before an instruction, plus its index.
    pub(super) bias: i64,
    /// What is left of the budget of `may_goto`.
    pub(super) may_goto: u32,
    /// Where the driver goes on, or where a trap is.
    pub(super) pc: usize,
    /// Callers that are none of this run's business.
    bottom: usize,
    trap: Option<Trap>,
}

/// How the function of an instruction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Flow {
    /// The driver goes on at [`Cpu::pc`].
    Next,
    /// The same, once there is fuel.
    Refuel,
    /// The function that the run began with has returned; [`Cpu::pc`] is behind its last instruction.
    Return,
    /// [`Cpu::pc`] trapped.
    Trap,
}

/// The function of an instruction: the instruction, and all that follow in the program.
pub(super) type Op = for<'m> fn(&mut Exec<'m>, &mut Cpu<'m>, &'m Insn, &'m [Insn], &'m GuestMemory) -> Flow;

impl<'m> Cpu<'m> {
    /// Index of the instruction in front of the rest of a program.
    #[inline(always)]
    pub(super) fn after(&self, rest: &[Insn]) -> usize {
        self.insns.len() - rest.len()
    }

    /// Ends the run with a trap at the instruction in front of the rest.
    #[cold]
    #[inline(never)]
    pub(super) fn trap(&mut self, rest: &[Insn], trap: Trap) -> Flow {
        self.pc = self.after(rest) - 1;
        self.trap = Some(trap);
        Flow::Trap
    }
}

impl<'m> Exec<'m> {
    /// Runs the current program from an instruction until the function that it is in returns.
    pub(super) fn run<const CHECKED: bool, const OBSERVED: bool>(
        &mut self,
        entry: usize,
        args: [u64; 5],
    ) -> Result<u64, Box<Trap>> {
        let short = self.program.insns.len() <= SLICE as usize;
        if CHECKED || OBSERVED || cfg!(debug_assertions) || !short {
            self.drive::<CHECKED, OBSERVED, false>(entry, args)
        } else {
            self.drive::<false, false, true>(entry, args)
        }
    }

    fn drive<const CHECKED: bool, const OBSERVED: bool, const CHAIN: bool>(
        &mut self,
        entry: usize,
        args: [u64; 5],
    ) -> Result<u64, Box<Trap>> {
        let memory: &'m GuestMemory = self.memory();
        let bottom = self.callers.len();
        let mut cpu = Cpu {
            regs: [0; 16],
            insns: &self.program.insns,
            bias: self.fuel + entry as i64,
            may_goto: BPF_MAX_MAY_GOTO,
            pc: entry,
            bottom,
            trap: None,
        };
        cpu.regs[1..6].copy_from_slice(&args);
        cpu.regs[10] = self.frames.pointer(bottom);
        loop {
            if OBSERVED {
                self.observe(cpu.pc, &cpu.regs);
            }
            // Every index is one that the pre-decoder checked; the last instruction, `End`, leads nowhere.
            let Some((insn, rest)) = cpu.insns.get(cpu.pc..).and_then(<[Insn]>::split_first) else {
                return Err(Box::new(TrapKind::FellOff.into()));
            };
            let op = Ops::<CHECKED, CHAIN>::TABLE[insn.code as usize];
            match op(self, &mut cpu, insn, rest, memory) {
                Flow::Next => {}
                Flow::Refuel => {
                    self.fuel = cpu.bias - cpu.pc as i64;
                    if let Err(kind) = self.refuel() {
                        let slot = self.program.slot(cpu.pc);
                        return Err(Box::new(Trap::from(kind).locate(&self.program.name, slot)));
                    }
                    cpu.bias = self.fuel + cpu.pc as i64;
                }
                Flow::Return => {
                    self.fuel = cpu.bias - cpu.pc as i64;
                    return Ok(cpu.regs[0]);
                }
                Flow::Trap => {
                    self.fuel = cpu.bias - (cpu.pc as i64 + 1);
                    let trap = cpu.trap.take().unwrap_or_else(|| TrapKind::FellOff.into());
                    return Err(Box::new(trap.locate(&self.program.name, self.program.slot(cpu.pc))));
                }
            }
        }
    }

    /// Calls a helper; whether the run goes on.
    #[inline(never)]
    pub(super) fn call_helper(&mut self, cpu: &mut Cpu<'m>, insn: &Insn, rest: &[Insn]) -> bool {
        let helper = self.program.helpers[insn.imm as usize];
        let next = cpu.after(rest) as i64;
        // A helper that calls back into the program takes off the same fuel.
        if helper.reenters {
            self.fuel = cpu.bias - next;
        }
        let [_, r1, r2, r3, r4, r5, ..] = cpu.regs;
        let result = (helper.call)(self, [r1, r2, r3, r4, r5]);
        if helper.reenters {
            cpu.bias = self.fuel + next;
        }
        match result {
            Ok(r0) => {
                cpu.regs[0] = r0;
                // Nothing is left in them, as machine code, too, lets nobody see what a helper left.
                cpu.regs[1..6].fill(0);
                true
            }
            Err(trap) => {
                cpu.trap(rest, *trap);
                false
            }
        }
    }

    /// Goes into a function of the program: makes its frame; whether there is room for one.
    #[inline(always)]
    pub(super) fn call_local(&mut self, cpu: &mut Cpu<'m>, rest: &[Insn]) -> bool {
        if self.callers.len() + 1 >= MAX_CALL_FRAMES {
            cpu.trap(rest, TrapKind::CallDepth.into());
            return false;
        }
        let [.., r6, r7, r8, r9, _, _, _, _, _, _] = cpu.regs;
        let pc = cpu.after(rest);
        self.callers.push(Frame {
            program: self.program,
            pc,
            saved: [r6, r7, r8, r9],
            may_goto: cpu.may_goto,
        });
        cpu.regs[10] = self.frames.pointer(self.callers.len());
        cpu.may_goto = BPF_MAX_MAY_GOTO;
        true
    }

    /// `LD_ABS`, `LD_IND`: [`Flow::Return`] outside of the packet.
    #[inline(never)]
    pub(super) fn load_from_packet(&mut self, cpu: &mut Cpu<'m>, insn: &Insn, rest: &[Insn]) -> Flow {
        let base = if insn.code == Code::LdInd { cpu.regs[insn.src as usize] as u32 } else { 0 };
        match self.packet_load(insn.imm, (base as i32).wrapping_add(insn.off)) {
            Ok(Some(value)) => {
                cpu.regs[0] = value;
                Flow::Next
            }
            Ok(None) => {
                cpu.regs[0] = 0;
                Flow::Return
            }
            Err(kind) => cpu.trap(rest, kind.into()),
        }
    }

    /// Returns from a function: to its caller, where the run goes on, or from the run.
    #[inline(always)]
    pub(super) fn exit(&mut self, cpu: &mut Cpu<'m>, rest: &[Insn]) -> Flow {
        cpu.pc = cpu.after(rest);
        if self.callers.len() == cpu.bottom {
            return Flow::Return;
        }
        let fuel = cpu.bias - cpu.pc as i64;
        let Some(frame) = self.callers.pop() else { return Flow::Return };
        cpu.regs[6..10].copy_from_slice(&frame.saved);
        cpu.regs[10] = self.frames.pointer(self.callers.len());
        cpu.may_goto = frame.may_goto;
        self.program = frame.program;
        cpu.insns = &frame.program.insns;
        cpu.pc = frame.pc;
        cpu.bias = fuel + frame.pc as i64;
        Flow::Next
    }

    /// `bpf_tail_call`: [`Flow::Refuel`] where there is a program, at whose start the run goes on then, with a look at the
    /// budget; [`Flow::Next`] where there is none.
    #[inline(never)]
    pub(super) fn tail_call(&mut self, cpu: &mut Cpu<'m>, rest: &[Insn]) -> Flow {
        let target = match self.tail_call_target(cpu.regs[2], cpu.regs[3] as u32) {
            Ok(Some(target)) => target,
            Ok(None) => return Flow::Next,
            Err(kind) => return cpu.trap(rest, kind.into()),
        };
        self.program = self.machine.program(target);
        cpu.bias -= cpu.after(rest) as i64;
        cpu.insns = &self.program.insns;
        cpu.may_goto = BPF_MAX_MAY_GOTO;
        cpu.pc = 0;
        Flow::Refuel
    }

    /// Where `bpf_tail_call` leads, counted.
    pub(crate) fn tail_call_target(&mut self, array: u64, index: u32) -> Result<Option<usize>, TrapKind> {
        let map = self.machine.map_by_handle(array).ok_or(TrapKind::BadMap(array))?;
        let programs = map.as_programs().ok_or(TrapKind::BadMap(array))?;
        let Some(target) = programs.get(index) else { return Ok(None) };
        if self.tail_calls >= MAX_TAIL_CALL_CNT {
            return Ok(None);
        }
        self.tail_calls += 1;
        Ok(Some(target))
    }

    pub(crate) fn packet_load(&mut self, bytes: u64, offset: i32) -> Result<Option<u64>, TrapKind> {
        let size = match bytes {
            1 => Size::B,
            2 => Size::H,
            _ => Size::W,
        };
        self.context.packet_load(self.machine.memory(), size, offset)
    }
}

/// The trap of [`Code::OutsideFrame`].
#[cold]
pub(crate) fn outside_frame(insn: Insn, frame_pointer: u64) -> TrapKind {
    let write = insn.imm.cast_signed() < 0;
    TrapKind::from(BadAccess {
        addr: frame_pointer.wrapping_add_signed(i64::from(insn.off)),
        size: if write { !insn.imm } else { insn.imm },
        write,
        object: Some(format!(
            "offset {} from r10, below which the frame has {MAX_BPF_STACK} bytes",
            insn.off
        )),
    })
}

/// An atomic read-modify-write; whether the run goes on.
#[inline(never)]
pub(super) fn atomic(memory: &GuestMemory, insn: &Insn, rest: &[Insn], cpu: &mut Cpu<'_>) -> bool {
    let width = if insn.code == Code::Atomic64 { Width::W64 } else { Width::W32 };
    let op = ATOMIC_OPS[insn.imm as usize % ATOMIC_OPS.len()];
    let (dst, src) = (insn.dst as usize, insn.src as usize);
    let size = if width == Width::W64 { Size::Dw } else { Size::W };
    match memory.atomic(op, width, place(cpu.regs[dst], insn.off), cpu.regs[src], cpu.regs[0]) {
        Ok(old) if op == AtomicOp::Cmpxchg => cpu.regs[0] = old,
        Ok(old) if op.fetches_to_src() => cpu.regs[src] = old,
        Ok(_) => {}
        Err(fault) => {
            cpu.trap(rest, atomic_trap(fault, memory, cpu.regs[dst], insn, size, true).into());
            return false;
        }
    }
    true
}
