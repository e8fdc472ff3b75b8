// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interpreter: [`Program`] is the pre-decoded form, [`Exec`] the state of one run.
//!
//! Guarantees: no program, however illegal, makes it panic or touch the host's memory; the number of
//! instructions is exact; the budget and the stop flag are looked at on every taken jump, call, exit and callback,
//! so that a run overshoots its budget by at most one straight line of instructions.

mod code;
mod decode;
mod observe;
mod ops;
mod run;

use arrayvec::ArrayVec;
use skep_uapi::limits::MAX_CALL_FRAMES;

pub(crate) use code::{ATOMIC_OPS, Code, Insn, Reg, Shape};
pub(crate) use decode::Program;
pub use observe::{Observer, PacketBounds, Place, PlaceKind, Step};
pub(crate) use run::outside_frame;

use crate::context::Context;
use crate::helper::Redirect;
use crate::jit;
use crate::machine::{Function, Machine};
use crate::memory::GuestMemory;
use crate::thread::Frames;
use crate::trap::{Trap, TrapKind};

/// Instructions between two looks at the stop flag.
const SLICE: i64 = 1 << 13;

/// A caller that waits for its callee.
#[derive(Clone, Copy)]
struct Frame<'m> {
    program: &'m Program,
    /// Instruction to go on with.
    pc: usize,
    /// `r6` to `r9`.
    saved: [u64; 4],
    /// What is left of the budget of `may_goto`.
    may_goto: u32,
}

/// What a run needs of the host's memory; a thread keeps it from run to run.
#[derive(Default)]
pub(crate) struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// One run: what the interpreter, helpers and contexts share.
pub(crate) struct Exec<'m> {
    /// Maps, programs and configuration.
    pub(crate) machine: &'m Machine,
    /// What the program runs on.
    pub(crate) context: Context,
    /// CPU that the run takes place on.
    pub(crate) cpu: u32,
    /// Program that runs now; a tail call changes it.
    pub(crate) program: &'m Program,
    /// Room for keys and values on their way between guest and map.
    pub(crate) key: Vec<u8>,
    /// As `key`.
    pub(crate) value: Vec<u8>,
    /// Where the last redirect helper asked the packet to go.
    pub(crate) redirect: Option<Redirect>,
    /// What machine code keeps of the run.
    pub(crate) native: jit::State,
    /// Who sees each instruction.
    pub(crate) observer: Option<&'m dyn Observer>,
    pub(crate) frames: Frames,
    callers: ArrayVec<Frame<'m>, MAX_CALL_FRAMES>,
    pub(crate) tail_calls: u32,
    /// Instructions that may run before the next look at budget and stop flag. Negative when overdrawn.
    pub(crate) fuel: i64,
    /// All fuel given so far.
    granted: u64,
}

impl<'m> Exec<'m> {
    pub(crate) fn new(
        machine: &'m Machine,
        program: &'m Program,
        context: Context,
        frames: Frames,
        cpu: u32,
        scratch: Scratch,
    ) -> Self {
        let Scratch { key, value } = scratch;
        Exec {
            machine,
            context,
            cpu,
            program,
            key,
            value,
            redirect: None,
            native: jit::State::new(machine.memory().base() + frames.pointer(0)),
            observer: None,
            frames,
            callers: ArrayVec::new(),
            tail_calls: 0,
            fuel: 0,
            granted: 0,
        }
    }

    /// Makes ready for another run, on what the last one left.
    #[inline]
    pub(crate) fn restart(&mut self) {
        self.callers.clear();
        self.redirect = None;
        (self.tail_calls, self.fuel, self.granted) = (0, 0, 0);
    }

    /// Ends the run: gives back what it ran on, and what it had of the host's memory.
    pub(crate) fn finish(self) -> (Context, Scratch) {
        (self.context, Scratch { key: self.key, value: self.value })
    }

    /// Guest memory.
    pub(crate) fn memory(&self) -> &'m GuestMemory {
        self.machine.memory()
    }

    /// Instructions that ran so far.
    pub(crate) fn insn_count(&self) -> u64 {
        self.granted.wrapping_sub_signed(self.fuel)
    }

    /// Runs the program from its first instruction with `r1` and `r2` as given.
    #[inline]
    pub(crate) fn start(&mut self, args: [u64; 2]) -> Result<u64, Box<Trap>> {
        match self.start_native(args) {
            Some(result) => result,
            None => self.enter(0, [args[0], args[1], 0, 0, 0]),
        }
    }

    /// Calls a function of a program on behalf of a helper: `function` is what `ld_imm64` of a function gave.
    ///
    /// # Errors
    /// The trap of the function, or [`TrapKind::BadCallback`] or [`TrapKind::CallDepth`].
    pub(crate) fn call(&mut self, function: u64, args: [u64; 5]) -> Result<u64, Trap> {
        // Functions that never jump do not look at the budget, and loops of helpers nest.
        if self.fuel <= 0 {
            self.refuel()?;
        }
        let function = self.machine.function(function).ok_or(TrapKind::BadCallback(function))?;
        if let Some(result) = self.call_native(function, args) {
            return result;
        }
        let Function { program, index } = function;
        if self.callers.len() + 1 >= MAX_CALL_FRAMES {
            return Err(TrapKind::CallDepth.into());
        }
        let outer = self.program;
        self.callers.push(Frame { program: outer, pc: 0, saved: [0; 4], may_goto: 0 });
        self.program = self.machine.program(program);
        let result = self.enter(index, args).map_err(|trap| *trap);
        self.callers.pop();
        self.program = outer;
        result
    }

    fn enter(&mut self, index: usize, args: [u64; 5]) -> Result<u64, Box<Trap>> {
        match (self.observer, self.machine.config().checked) {
            // Only machines in `checked` mode are observed, so that three copies of the loop are enough.
            (Some(_), _) => self.run::<true, true>(index, args),
            (None, true) => self.run::<true, false>(index, args),
            (None, false) => self.run::<false, false>(index, args),
        }
    }

    /// Grants more fuel, unless the budget is used up or the run was stopped.
    #[cold]
    pub(crate) fn refuel(&mut self) -> Result<(), TrapKind> {
        if self.machine.stopped() {
            return Err(TrapKind::Stopped);
        }
        let left = match self.machine.config().budget {
            Some(budget) => budget.saturating_sub(self.insn_count()),
            None => u64::MAX,
        };
        if left == 0 {
            return Err(TrapKind::Budget);
        }
        let slice = i64::try_from(left).unwrap_or(SLICE).min(SLICE) - self.fuel.min(0);
        self.granted += slice as u64;
        self.fuel += slice;
        Ok(())
    }

    /// Takes `n` instructions off the budget on behalf of a helper that loops on its own.
    ///
    /// # Errors
    /// [`TrapKind::Budget`] or [`TrapKind::Stopped`].
    pub(crate) fn spend(&mut self, n: i64) -> Result<(), Trap> {
        self.fuel -= n;
        if self.fuel <= 0 { Ok(self.refuel()?) } else { Ok(()) }
    }
}
