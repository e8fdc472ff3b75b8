// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a run goes into machine code and comes out, and what machine code asks of the host.
//!
//! Machine code has a pointer to the [`Exec`] of its run in `r9`, and reads and writes the fields that [`State`]
//! names. While it runs nothing else does: whoever entered it holds the `Exec` exclusively, and lends it to the
//! machine code, which lends it to helpers.
#![allow(unsafe_code)]

use std::mem::offset_of;

use skep_isa::Size;
use skep_uapi::HelperId;
use skep_uapi::limits::MAX_CALL_FRAMES;

use super::emit::{self, host};
use super::x86::{Mem, Reg};
use crate::interp::{Code as Op, Exec, Insn, Program, Reg as BpfReg, Shape, outside_frame};
use crate::machine::Function;
use crate::map::Map;
use crate::memory::AtomicFault;
use crate::thread::FRAME_BYTES;
use crate::trap::{ArgumentProblem, Trap, TrapKind};

/// What machine code keeps in an [`Exec`].
pub(crate) struct State {
    /// Where a trapped run leaves: the machine's stack pointer, and the code.
    stack: u64,
    unwind: u64,
    /// The host's address just above the frame that calls a helper that calls back.
    frame: u64,
    /// Where the trap is.
    trap_insn: u32,
    trap_program: u32,
    /// Offset of a fault in the code, which says where the trap is instead.
    fault: Option<usize>,
    /// Registers at the trap.
    registers: [u64; 16],
    /// The trap, where it does not follow from the instruction.
    trap: Option<Trap>,
    /// The instruction at the trap is paid for.
    charged: bool,
}

const fn field(offset: usize) -> Mem {
    Mem::new(Reg::R9, (offset_of!(Exec<'static>, native) + offset) as i32)
}

impl State {
    pub(super) const FUEL: Mem = Mem::new(Reg::R9, offset_of!(Exec<'static>, fuel) as i32);
    pub(super) const CPU: Mem = Mem::new(Reg::R9, offset_of!(Exec<'static>, cpu) as i32);
    pub(super) const TAIL_CALLS: Mem = Mem::new(Reg::R9, offset_of!(Exec<'static>, tail_calls) as i32);
    pub(super) const STACK: Mem = field(offset_of!(State, stack));
    pub(super) const UNWIND: Mem = field(offset_of!(State, unwind));
    pub(super) const FRAME: Mem = field(offset_of!(State, frame));
    pub(super) const TRAP_INSN: Mem = field(offset_of!(State, trap_insn));
    pub(super) const TRAP_PROGRAM: Mem = field(offset_of!(State, trap_program));

    /// Where the value of a register at a trap is kept.
    pub(super) const fn register(reg: Reg) -> Mem {
        field(offset_of!(State, registers) + 8 * reg as usize)
    }

    /// The state of a run that has not begun; `frame` is the host's address just above frame 0.
    pub(crate) fn new(frame: u64) -> State {
        State {
            stack: 0,
            unwind: 0,
            frame,
            trap_insn: 0,
            trap_program: 0,
            fault: None,
            registers: [0; 16],
            trap: None,
            charged: false,
        }
    }

    /// Notes a fault: where the run goes on. Async-signal-safe.
    ///
    /// # Safety
    /// `exec` points to an [`Exec`] that nothing else uses.
    pub(super) unsafe fn note_fault(
        exec: *mut u8,
        program: u32,
        offset: usize,
        registers: &[u64; 16],
    ) -> u64 {
        // SAFETY: as the caller says.
        let state = unsafe { &mut *exec.add(offset_of!(Exec<'static>, native)).cast::<State>() };
        state.trap_program = program;
        state.fault = Some(offset);
        state.registers = *registers;
        state.unwind
    }

    /// What a register of the program held at the trap.
    fn value(&self, reg: BpfReg) -> u64 {
        let value = self.registers[host(reg) as usize];
        if reg == BpfReg::R10 { value & 0xffff_ffff } else { value }
    }
}

/// What functions of the host give to machine code, in `rax` and `rdx`.
#[repr(C)]
pub(crate) struct Returned {
    /// The result.
    pub(crate) value: u64,
    /// 0, or what went wrong.
    pub(crate) status: u64,
}

/// How machine code calls a helper: `r1` to `r5` are where the System V ABI wants the first five arguments.
pub(crate) type NativeHelper = extern "sysv64" fn(u64, u64, u64, u64, u64, &mut Exec<'_>) -> Returned;

/// The [`NativeHelper`] of an expression that is a [`crate::helper::Call`] known when skep is compiled.
macro_rules! native_helper {
    ($call:expr) => {{
        extern "sysv64" fn native(
            r1: u64,
            r2: u64,
            r3: u64,
            r4: u64,
            r5: u64,
            exec: &mut crate::interp::Exec<'_>,
        ) -> crate::jit::Returned {
            let result = $call(exec, [r1, r2, r3, r4, r5]);
            crate::jit::answer(exec, result)
        }
        native
    }};
}
pub(crate) use native_helper;

/// The parameters of the code that enters a program.
pub(super) struct Entry<T> {
    pub(super) state: T,
    /// The function to call.
    pub(super) function: T,
    /// The host's address just above its frame.
    pub(super) frame: T,
    /// Address of `r1` to `r5`.
    pub(super) args: T,
}

impl Entry<Reg> {
    /// Where the System V ABI passes them.
    pub(super) const REGISTERS: Self =
        Entry { state: Reg::Rdi, function: Reg::Rsi, frame: Reg::Rdx, args: Reg::Rcx };
}

/// Enters a function: [`Entry`].
type Enter = unsafe extern "sysv64" fn(*mut Exec<'_>, *const u8, u64, *const [u64; 5]) -> Returned;

/// Starts a program: `r1`, `r2`, `r3` and `r4`, the host's address just above the frame, the run.
type Start = unsafe extern "sysv64" fn(u64, u64, u64, u64, u64, *mut Exec<'_>) -> Returned;

impl<'m> Exec<'m> {
    /// Runs a function of a compiled program, its frame below `frame`, a host's address.
    fn run_native(
        &mut self,
        program: &'m Program,
        code: &'m super::Code,
        index: usize,
        frame: u64,
        args: [u64; 5],
    ) -> Result<u64, Trap> {
        let Some(function) = code.function(index) else {
            return Err(TrapKind::BadCallback(index as u64).into());
        };
        self.program = program;
        // SAFETY: `enter` is the start of code that `emit::Emitter::enter` made, with this signature, in pages that
        // live as long as the machine; the code uses `self` by `r9` only, and upholds the guarantees of the module.
        let returned = unsafe {
            let enter: Enter = std::mem::transmute(code.enter());
            enter(std::ptr::from_mut(self), function, frame, &raw const args)
        };
        if returned.status == 0 { Ok(returned.value) } else { Err(self.native_trap()) }
    }

    /// Runs the current program from its start in machine code, where it has any.
    #[inline(always)]
    pub(crate) fn start_native(&mut self, [r1, r2]: [u64; 2]) -> Option<Result<u64, Box<Trap>>> {
        let code = self.program.native.as_ref()?;
        let frame = self.native.frame;
        // SAFETY: as for `run_native`, of the code that `emit::Emitter::start` made.
        let returned = unsafe {
            let start: Start = std::mem::transmute(code.start());
            start(r1, r2, 0, 0, frame, std::ptr::from_mut(self))
        };
        Some(if returned.status == 0 { Ok(returned.value) } else { Err(Box::new(self.native_trap())) })
    }

    /// Calls a function back, one frame below the one that called the helper.
    pub(crate) fn call_native(&mut self, function: Function, args: [u64; 5]) -> Option<Result<u64, Trap>> {
        let program = self.machine.program(function.program);
        let code = program.native.as_ref()?;
        let (frame, outer) = (self.native.frame, self.program);
        // Frames fill one page, the first at its end.
        let depth = (self.memory().base() + self.frames.pointer(0) - frame) / FRAME_BYTES;
        if depth + 1 >= MAX_CALL_FRAMES as u64 {
            return Some(Err(TrapKind::CallDepth.into()));
        }
        self.native.frame = frame - FRAME_BYTES;
        let result = self.run_native(program, code, function.index, frame - FRAME_BYTES, args);
        self.native.frame = frame;
        self.program = outer;
        Some(result)
    }

    /// The trap that machine code ended with.
    #[cold]
    #[inline(never)]
    fn native_trap(&mut self) -> Trap {
        let program = self.program_at_trap();
        let Some(code) = &program.native else { return TrapKind::FellOff.into() };
        let fault = self.native.fault.take();
        let at = fault.map_or(self.native.trap_insn as usize, |offset| code.insn_at(offset));
        let insn = &program.insns[at];
        let charged = std::mem::take(&mut self.native.charged) || program.is_charged(insn);
        // The last instruction ran, not the one after it.
        let last = if insn.code == Op::End { at.saturating_sub(1) } else { at };
        if let Some(pending) = code.pending(at).filter(|_| !charged) {
            // The end of the program is no instruction.
            self.fuel -= i64::from(pending) + i64::from(last == at);
        }
        let trap = match self.native.trap.take() {
            Some(trap) => trap,
            None => self.trap_of(insn, fault.is_some()).into(),
        };
        trap.locate(&program.name, program.slot(last))
    }

    fn program_at_trap(&self) -> &'m Program {
        self.machine.program(self.native.trap_program as usize)
    }

    /// What goes wrong at an instruction.
    fn trap_of(&self, insn: &Insn, fault: bool) -> TrapKind {
        let (mut base, write) = match insn.code.shape() {
            Shape::Load => (self.native.value(insn.src), false),
            _ => (self.native.value(insn.dst), true),
        };
        if insn.code.shape() == Shape::Atomic && insn.dst == BpfReg::R0 && emit::keeps_r0_aside(insn) && fault
        {
            base = self.native.registers[Reg::R11 as usize];
        }
        let addr = base.wrapping_add_signed(i64::from(insn.off));
        if fault && insn.code == Op::Call {
            // The key of a lookup that was made in place.
            let access = self.memory().explain(self.native.value(BpfReg::R2), Size::W, false);
            let helper = self.program_at_trap().helpers[insn.imm as usize].id;
            let problem = Box::new(ArgumentProblem::Access(access));
            return TrapKind::BadArgument { helper, argument: 2, problem };
        }
        if fault {
            return self.memory().explain(addr, emit::access_size(insn), write).into();
        }
        match insn.code {
            Op::CallLocal => TrapKind::CallDepth,
            Op::NoHelper => TrapKind::no_helper(insn.imm as u32),
            Op::Kfunc => TrapKind::UnsupportedKfunc(insn.imm as i32),
            Op::OutsideFrame => outside_frame(*insn, self.native.value(BpfReg::R10)),
            Op::End => TrapKind::FellOff,
            _ => AtomicFault::Misaligned.trap(addr),
        }
    }
}

impl Program {
    /// Machine code charges an instruction before it can trap.
    fn is_charged(&self, insn: &Insn) -> bool {
        match insn.code {
            Op::TailCall => true,
            Op::Call => self.helpers[insn.imm as usize].reenters,
            _ => false,
        }
    }
}

/// Grants fuel; whether the run is over instead.
pub(super) extern "sysv64" fn refuel(exec: &mut Exec<'_>) -> u64 {
    match exec.refuel() {
        Ok(()) => 0,
        Err(kind) => {
            exec.native.trap = Some(kind.into());
            exec.native.charged = true;
            1
        }
    }
}

/// Where `bpf_tail_call` leads, or 0.
pub(super) extern "sysv64" fn tail_call(exec: &mut Exec<'_>, array: u64, index: u64) -> Returned {
    let target = match exec.tail_call_target(array, index as u32) {
        Ok(target) => target,
        Err(kind) => {
            exec.native.trap = Some(kind.into());
            return Returned { value: 0, status: 1 };
        }
    };
    let Some(target) = target else { return Returned { value: 0, status: 0 } };
    if exec.fuel <= 0 && refuel(exec) != 0 {
        exec.native.trap_program = target as u32;
        exec.native.trap_insn = 0;
        return Returned { value: 0, status: 1 };
    }
    let program = exec.machine.program(target);
    let code = program.native.as_ref().and_then(|code| code.function(0));
    Returned { value: code.map_or(0, |code| code as u64), status: 0 }
}

/// A packet load: status 1 is a load outside of the packet, 2 a trap.
pub(super) extern "sysv64" fn packet_load(exec: &mut Exec<'_>, offset: u32, bytes: u32) -> Returned {
    match exec.packet_load(u64::from(bytes), offset.cast_signed()) {
        Ok(Some(value)) => Returned { value, status: 0 },
        Ok(None) => Returned { value: 0, status: 1 },
        Err(kind) => {
            exec.native.trap = Some(kind.into());
            Returned { value: 0, status: 2 }
        }
    }
}

/// `bpf_map_lookup_elem` in a map that was known when the program was compiled, and whose handle is `handle`.
pub(super) extern "sysv64" fn lookup(
    map: &Map,
    key: u64,
    handle: u64,
    _r4: u64,
    _r5: u64,
    exec: &mut Exec<'_>,
) -> Returned {
    if let Some(value) = map.find_at(exec.memory(), key, exec.cpu) {
        return Returned { value: u64::from(value), status: 0 };
    }
    match crate::helper::find(HelperId::MAP_LOOKUP_ELEM) {
        Some(helper) => {
            let result = (helper.call)(exec, [handle, key, 0, 0, 0]);
            answer(exec, result)
        }
        None => Returned { value: 0, status: 0 },
    }
}

/// `bpf_map_update_elem` of such a map.
pub(super) extern "sysv64" fn update(
    map: &Map,
    key: u64,
    value: u64,
    flags: u64,
    handle: u64,
    exec: &mut Exec<'_>,
) -> Returned {
    match map.update_at(exec.memory(), key, value, flags) {
        Some(Ok(())) => return Returned { value: 0, status: 0 },
        Some(Err(errno)) => return Returned { value: errno.negative() as u64, status: 0 },
        None => {}
    }
    match crate::helper::find(HelperId::MAP_UPDATE_ELEM) {
        Some(helper) => {
            let result = (helper.call)(exec, [handle, key, value, flags, 0]);
            answer(exec, result)
        }
        None => Returned { value: 0, status: 0 },
    }
}

/// Gives machine code what a helper gave.
#[inline(always)]
pub(crate) fn answer(exec: &mut Exec<'_>, result: Result<u64, Box<Trap>>) -> Returned {
    match result {
        Ok(value) => Returned { value, status: 0 },
        Err(trap) => {
            exec.native.trap = Some(*trap);
            Returned { value: 0, status: 1 }
        }
    }
}
