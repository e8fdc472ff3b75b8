// SPDX-License-Identifier: MIT OR Apache-2.0
//! The dispatch loop.
//!
//! Instructions are counted by straight lines: whenever control leaves one, its length is taken off the fuel.
//! `CHECKED` adds the exact bounds of objects to each access, `OBSERVED` a call of the observer before each
//! instruction.

use skep_isa::{AluOp, Cond, Size, Width, eval};
use skep_uapi::limits::{BPF_MAX_MAY_GOTO, MAX_BPF_STACK, MAX_CALL_FRAMES, MAX_TAIL_CALL_CNT};

use super::code::{ATOMIC_OPS, Code, Insn, flat_codes};
use super::{Exec, Frame};
use crate::memory::{AtomicFault, GuestMemory, Scalar};
use crate::trap::{BadAccess, Trap, TrapKind};

/// Registers; the last five are never named.
type Regs = [u64; 16];

/// The address of an access: the low half of a register, and a displacement.
#[inline(always)]
fn place(register: u64, off: i32) -> u64 {
    u64::from(register as u32).wrapping_add_signed(i64::from(off))
}

/// The trap of an access that was refused, which shows the whole address.
#[cold]
fn bad(memory: &GuestMemory, register: u64, insn: &Insn, size: Size, write: bool) -> BadAccess {
    memory.explain(register.wrapping_add_signed(i64::from(insn.off)), size, write)
}

/// The trap of an atomic access that was not done.
#[cold]
fn atomic_trap(
    fault: AtomicFault,
    memory: &GuestMemory,
    register: u64,
    insn: &Insn,
    size: Size,
    write: bool,
) -> TrapKind {
    match fault {
        AtomicFault::Access(_) => bad(memory, register, insn, size, write).into(),
        AtomicFault::Misaligned => fault.trap(register.wrapping_add_signed(i64::from(insn.off))),
    }
}

#[inline(always)]
fn load<T: Scalar, const CHECKED: bool>(memory: &GuestMemory, addr: u64) -> Option<T> {
    if CHECKED && !memory.objects().allows(addr, T::SIZE, false) {
        return None;
    }
    memory.load(addr)
}

#[inline(always)]
fn store<T: Scalar, const CHECKED: bool>(memory: &GuestMemory, addr: u64, value: T) -> Option<()> {
    if CHECKED && !memory.objects().allows(addr, T::SIZE, true) {
        return None;
    }
    memory.store(addr, value)
}

impl<'m> Exec<'m> {
    /// Runs the current program from an instruction until the function that it is in returns.
    pub(super) fn run<const CHECKED: bool, const OBSERVED: bool>(
        &mut self,
        entry: usize,
        args: [u64; 5],
    ) -> Result<u64, Trap> {
        let mut pc = entry;
        match self.dispatch::<CHECKED, OBSERVED>(&mut pc, args) {
            Ok(r0) => Ok(r0),
            Err(trap) => Err(trap.locate(&self.program.name, self.program.slot(pc))),
        }
    }

    /// `pc` is left at the instruction that trapped.
    fn dispatch<const CHECKED: bool, const OBSERVED: bool>(
        &mut self,
        at: &mut usize,
        args: [u64; 5],
    ) -> Result<u64, Trap> {
        let memory: &'m GuestMemory = self.memory();
        let bottom = self.callers.len();
        let mut regs: Regs = [0; 16];
        regs[1..6].copy_from_slice(&args);
        regs[10] = self.frames.pointer(bottom);
        let mut may_goto = BPF_MAX_MAY_GOTO;
        let mut insns: &'m [Insn] = &self.program.insns;
        let mut pc = *at;
        let mut line = pc;

        /// Ends the run with a trap at the current instruction.
        macro_rules! trap {
            ($kind:expr) => {{
                self.fuel -= (pc + 1 - line) as i64;
                *at = pc;
                return Err(Trap::from($kind));
            }};
        }
        /// Leaves the straight line for another, without a look at the budget.
        macro_rules! leave {
            ($target:expr) => {{
                self.fuel -= (pc + 1 - line) as i64;
                pc = $target;
                line = pc;
                continue;
            }};
        }
        /// Leaves the straight line for the start of a function or program: looks at the budget.
        macro_rules! enter {
            ($target:expr) => {{
                self.fuel -= (pc + 1 - line) as i64;
                pc = $target;
                line = pc;
                if self.fuel <= 0 {
                    if let Err(kind) = self.refuel() {
                        *at = pc;
                        return Err(kind.into());
                    }
                }
                continue;
            }};
        }
        /// Jumps: looks at the budget on the way back.
        macro_rules! jump {
            ($target:expr) => {{
                self.fuel -= (pc + 1 - line) as i64;
                let from = pc;
                pc = $target;
                line = pc;
                if self.fuel <= 0 && pc <= from {
                    if let Err(kind) = self.refuel() {
                        *at = pc;
                        return Err(kind.into());
                    }
                }
                continue;
            }};
        }
        macro_rules! main_loop {
            (
                ($insn:ident $dst:ident $src:ident $singles:tt)
                alu { $($alu:ident $ak64:ident $ax64:ident $ak32:ident $ax32:ident;)* }
                jump { $($jump:ident $jk64:ident $jx64:ident $jk32:ident $jx32:ident;)* }
                size { $($size:ident $int:ident $ldx:ident $ldsx:ident $st:ident $stx:ident;)* }
            ) => {
                loop {
                    if OBSERVED {
                        self.observe(pc, &regs);
                    }
                    let $insn: &'m Insn = &insns[pc];
                    let $dst = $insn.dst as usize;
                    let $src = $insn.src as usize;
                    match $insn.code {
                        $(
                            Code::$ak64 => regs[$dst] = eval::alu64(AluOp::$alu, regs[$dst], $insn.imm),
                            Code::$ax64 => regs[$dst] = eval::alu64(AluOp::$alu, regs[$dst], regs[$src]),
                            Code::$ak32 => {
                                regs[$dst] = eval::alu(AluOp::$alu, Width::W32, regs[$dst], $insn.imm);
                            }
                            Code::$ax32 => {
                                regs[$dst] = eval::alu(AluOp::$alu, Width::W32, regs[$dst], regs[$src]);
                            }
                        )*
                        $(
                            Code::$jk64 => {
                                if eval::cond(Cond::$jump, Width::W64, regs[$dst], $insn.imm) {
                                    jump!($insn.off as usize);
                                }
                            }
                            Code::$jx64 => {
                                if eval::cond(Cond::$jump, Width::W64, regs[$dst], regs[$src]) {
                                    jump!($insn.off as usize);
                                }
                            }
                            Code::$jk32 => {
                                if eval::cond(Cond::$jump, Width::W32, regs[$dst], $insn.imm) {
                                    jump!($insn.off as usize);
                                }
                            }
                            Code::$jx32 => {
                                if eval::cond(Cond::$jump, Width::W32, regs[$dst], regs[$src]) {
                                    jump!($insn.off as usize);
                                }
                            }
                        )*
                        $(
                            Code::$ldx => {
                                let addr = place(regs[$src], $insn.off);
                                match load::<$int, CHECKED>(memory, addr) {
                                    Some(value) => regs[$dst] = value.widen(),
                                    None => trap!(bad(memory, regs[$src], $insn, Size::$size, false)),
                                }
                            }
                            Code::$ldsx => {
                                let addr = place(regs[$src], $insn.off);
                                match load::<$int, CHECKED>(memory, addr) {
                                    Some(value) => {
                                        regs[$dst] = eval::sign_extend(Size::$size, value.widen());
                                    }
                                    None => trap!(bad(memory, regs[$src], $insn, Size::$size, false)),
                                }
                            }
                            Code::$st => {
                                let addr = place(regs[$dst], $insn.off);
                                if store::<$int, CHECKED>(memory, addr, $int::narrow($insn.imm)).is_none() {
                                    trap!(bad(memory, regs[$dst], $insn, Size::$size, true));
                                }
                            }
                            Code::$stx => {
                                let addr = place(regs[$dst], $insn.off);
                                if store::<$int, CHECKED>(memory, addr, $int::narrow(regs[$src])).is_none() {
                                    trap!(bad(memory, regs[$dst], $insn, Size::$size, true));
                                }
                            }
                        )*
                        Code::Neg64 => regs[$dst] = eval::neg(Width::W64, regs[$dst]),
                        Code::Neg32 => regs[$dst] = eval::neg(Width::W32, regs[$dst]),
                        Code::Movsx64 => {
                            regs[$dst] = ((regs[$src] << ($insn.imm & 63)) as i64 >> ($insn.imm & 63)) as u64;
                        }
                        Code::Movsx32 => {
                            let extended = (regs[$src] << ($insn.imm & 63)) as i64 >> ($insn.imm & 63);
                            regs[$dst] = u64::from(extended as u32);
                        }
                        Code::Zext16 => regs[$dst] = u64::from(regs[$dst] as u16),
                        Code::Zext32 => regs[$dst] = u64::from(regs[$dst] as u32),
                        Code::Zext64 => {}
                        Code::Swap16 => regs[$dst] = u64::from((regs[$dst] as u16).swap_bytes()),
                        Code::Swap32 => regs[$dst] = u64::from((regs[$dst] as u32).swap_bytes()),
                        Code::Swap64 => regs[$dst] = regs[$dst].swap_bytes(),
                        Code::LoadImm => regs[$dst] = $insn.imm,
                        Code::Ja => jump!($insn.off as usize),
                        Code::MayGoto => {
                            if may_goto == 0 {
                                jump!($insn.off as usize);
                            }
                            may_goto -= 1;
                        }
                        Code::Atomic64 | Code::Atomic32 => {
                            if let Err(kind) = atomic(memory, $insn, &mut regs) {
                                trap!(kind);
                            }
                        }
                        Code::LoadAcquire => {
                            let addr = place(regs[$src], $insn.off);
                            let size = Size::ALL[$insn.imm as usize & 3];
                            match memory.load_acquire(size, addr) {
                                Ok(value) => regs[$dst] = value,
                                Err(fault) => {
                                    trap!(atomic_trap(fault, memory, regs[$src], $insn, size, false));
                                }
                            }
                        }
                        Code::StoreRelease => {
                            let addr = place(regs[$dst], $insn.off);
                            let size = Size::ALL[$insn.imm as usize & 3];
                            if let Err(fault) = memory.store_release(size, addr, regs[$src]) {
                                trap!(atomic_trap(fault, memory, regs[$dst], $insn, size, true));
                            }
                        }
                        Code::Call => {
                            let helper = self.program.helpers[$insn.imm as usize].call;
                            // A helper may call back into the program, which takes off the same fuel.
                            self.fuel -= (pc + 1 - line) as i64;
                            line = pc + 1;
                            *at = pc;
                            regs[0] = helper(self, [regs[1], regs[2], regs[3], regs[4], regs[5]])?;
                            // Nothing is left in them, as machine code, too, lets nobody see what a helper left.
                            regs[1..6].fill(0);
                        }
                        Code::LdAbs | Code::LdInd => {
                            let base = if $insn.code == Code::LdInd { regs[$src] as u32 } else { 0 };
                            let offset = (base as i32).wrapping_add($insn.off);
                            match self.packet_load($insn.imm, offset) {
                                Ok(Some(value)) => regs[0] = value,
                                // The kernel turns a load outside of the packet into `return 0`.
                                Ok(None) => {
                                    regs[0] = 0;
                                    if self.callers.len() == bottom {
                                        self.fuel -= (pc + 1 - line) as i64;
                                        return Ok(0);
                                    }
                                    let target = self.return_to(&mut regs, &mut may_goto);
                                    insns = &self.program.insns;
                                    leave!(target);
                                }
                                Err(kind) => trap!(kind),
                            }
                        }
                        Code::CallLocal => {
                            if self.callers.len() + 1 >= MAX_CALL_FRAMES {
                                trap!(TrapKind::CallDepth);
                            }
                            let saved = [regs[6], regs[7], regs[8], regs[9]];
                            self.callers.push(Frame { program: self.program, pc: pc + 1, saved, may_goto });
                            regs[10] = self.frames.pointer(self.callers.len());
                            may_goto = BPF_MAX_MAY_GOTO;
                            enter!($insn.off as usize);
                        }
                        Code::Exit => {
                            if self.callers.len() == bottom {
                                self.fuel -= (pc + 1 - line) as i64;
                                return Ok(regs[0]);
                            }
                            let target = self.return_to(&mut regs, &mut may_goto);
                            insns = &self.program.insns;
                            leave!(target);
                        }
                        Code::TailCall => match self.tail_call(regs[2], regs[3] as u32) {
                            Ok(true) => {
                                insns = &self.program.insns;
                                may_goto = BPF_MAX_MAY_GOTO;
                                enter!(0);
                            }
                            Ok(false) => {}
                            Err(kind) => trap!(kind),
                        },
                        Code::NoHelper => trap!(TrapKind::no_helper($insn.imm as u32)),
                        Code::Kfunc => trap!(TrapKind::UnsupportedKfunc($insn.imm as i32)),
                        Code::OutsideFrame => trap!(outside_frame(*$insn, regs[10])),
                        Code::End => {
                            pc -= 1;
                            trap!(TrapKind::FellOff);
                        }
                    }
                    pc += 1;
                }
            };
        }
        flat_codes!(main_loop!(insn dst src ()))
    }

    /// Goes back to the caller: its program, registers and budget. Gives the instruction to go on with.
    fn return_to(&mut self, regs: &mut Regs, may_goto: &mut u32) -> usize {
        let Some(frame) = self.callers.pop() else { return 0 };
        regs[6..10].copy_from_slice(&frame.saved);
        regs[10] = self.frames.pointer(self.callers.len());
        *may_goto = frame.may_goto;
        self.program = frame.program;
        frame.pc
    }

    /// `bpf_tail_call`: whether there is a program to go on with.
    fn tail_call(&mut self, array: u64, index: u32) -> Result<bool, TrapKind> {
        let Some(target) = self.tail_call_target(array, index)? else { return Ok(false) };
        self.program = self.machine.program(target);
        Ok(true)
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

#[inline(never)]
fn atomic(memory: &GuestMemory, insn: &Insn, regs: &mut Regs) -> Result<(), TrapKind> {
    let width = if insn.code == Code::Atomic64 { Width::W64 } else { Width::W32 };
    let op = ATOMIC_OPS[insn.imm as usize % ATOMIC_OPS.len()];
    let (dst, src) = (insn.dst as usize, insn.src as usize);
    let addr = place(regs[dst], insn.off);
    let size = if width == Width::W64 { Size::Dw } else { Size::W };
    let old = memory
        .atomic(op, width, addr, regs[src], regs[0])
        .map_err(|fault| atomic_trap(fault, memory, regs[dst], insn, size, true))?;
    if op == skep_isa::AtomicOp::Cmpxchg {
        regs[0] = old;
    } else if op.fetches_to_src() {
        regs[src] = old;
    }
    Ok(())
}
