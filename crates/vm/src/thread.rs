// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread of execution: its own stacks and input buffers, over the maps and programs of the machine.

use std::fmt;
use std::sync::Arc;

use skep_uapi::Errno;
use skep_uapi::limits::{MAX_BPF_STACK, MAX_CALL_FRAMES};

use crate::Machine;
use crate::context::{Buffers, Context, Input, InputError, Output};
use crate::helper::Redirect;
use crate::interp::{Exec, Observer, Scratch};
use crate::memory::{Area, GuestMemory, Object, ObjectKind, Perm};
use crate::trap::Trap;

/// Bytes of a frame.
pub(crate) const FRAME_BYTES: u64 = MAX_BPF_STACK as u64;

/// Where the frames of a thread are: frame 0 at the top, each callee below its caller.
#[derive(Clone, Copy)]
pub(crate) struct Frames {
    /// Guest address just above frame 0.
    top: u64,
    /// Bytes from frame to frame: more than a frame in `checked` mode, so that no two frames touch.
    stride: u64,
}

impl Frames {
    /// `r10` at a call depth: the address just above the frame.
    #[inline]
    pub(crate) fn pointer(self, depth: usize) -> u64 {
        self.top - depth as u64 * self.stride
    }
}

/// The frames of one thread.
struct Stack {
    area: Area,
    frames: Frames,
}

impl Stack {
    fn new(memory: &Arc<GuestMemory>, checked: bool) -> Result<Stack, Errno> {
        let frame = MAX_BPF_STACK as u32;
        let stride = if checked { 2 * frame } else { frame };
        let area = memory.alloc(stride * MAX_CALL_FRAMES as u32, Perm::ReadWrite, None)?;
        let top = u64::from(area.addr() + area.len());
        let frames = Frames { top, stride: u64::from(stride) };
        for depth in 0..MAX_CALL_FRAMES {
            let object = Object { len: frame, writable: true, kind: ObjectKind::Stack(depth) };
            memory.objects().insert(frames.pointer(depth) as u32 - frame, object);
        }
        Ok(Stack { area, frames })
    }

    /// Every run starts with the same contents.
    fn clear(&self) {
        self.area.zero(0, self.area.len());
    }

    /// As [`Stack::clear`], where only so many bytes below the top were written.
    fn clear_top(&self, bytes: u32) {
        let bytes = bytes.min(self.area.len());
        self.area.zero(self.area.len() - bytes, bytes);
    }
}

/// What a run gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The return value; 0 after a trap.
    pub r0: u64,
    /// Why the run ended before `exit`.
    pub trap: Option<Trap>,
    /// Instructions that ran, the trapping one included.
    pub insn_count: u64,
    /// Flat memory or packet afterwards; empty where the input had none.
    pub data_out: Vec<u8>,
    /// Context afterwards; empty where the input had none.
    pub ctx_out: Vec<u8>,
    /// Where the last redirect helper asked the packet to go, whatever the program returned.
    pub redirect: Option<Redirect>,
}

/// Why nothing ran.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Only machines in `checked` mode can be observed, since only they know all objects.
    #[error("only a machine in checked mode can be observed")]
    NotChecked,
    /// The machine has fewer programs.
    #[error("there is no program {0}")]
    NoProgram(usize),
    /// The input does not fit the program or the memory limit.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// One thread of a [`Machine`]; several may run at the same time.
pub struct Thread<'m> {
    machine: &'m Machine,
    stack: Stack,
    cpu: u32,
    buffers: Buffers,
    scratch: Scratch,
}

impl fmt::Debug for Thread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

impl<'m> Thread<'m> {
    pub(crate) fn new(machine: &'m Machine) -> Result<Self, Errno> {
        let stack = Stack::new(machine.shared_memory(), machine.config().checked)?;
        Ok(Thread { machine, stack, cpu: 0, buffers: Buffers::default(), scratch: Scratch::default() })
    }

    /// Chooses the CPU that programs see: per-cpu maps and `bpf_get_smp_processor_id`. It wraps around at
    /// [`crate::Config::cpus`].
    #[must_use]
    pub fn on_cpu(mut self, cpu: u32) -> Self {
        self.cpu = cpu % self.machine.config().cpus.max(1);
        self
    }

    /// Runs a program of the object, by its index, to its end.
    ///
    /// # Errors
    /// [`RunError`] where nothing ran. A program that goes wrong is no error: [`Outcome::trap`].
    pub fn run(&mut self, program: usize, input: Input<'_>) -> Result<Outcome, RunError> {
        let mut prepared = self.prepare(program, input)?;
        let result = prepared.run();
        Ok(prepared.finish(result))
    }

    /// As [`Thread::run`], and shows `observer` each instruction before it runs.
    ///
    /// # Errors
    /// As [`Thread::run`], and [`RunError::NotChecked`].
    pub fn run_observed(
        &mut self,
        program: usize,
        input: Input<'_>,
        observer: &'m dyn Observer,
    ) -> Result<Outcome, RunError> {
        if !self.machine.config().checked {
            return Err(RunError::NotChecked);
        }
        let mut prepared = self.prepare(program, input)?;
        prepared.exec.observer = Some(observer);
        let result = prepared.run();
        Ok(prepared.finish(result))
    }

    /// Lays the input out for a program of the object, by its index, which can then run any number of times at no
    /// other cost than its own.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn prepare(&mut self, program: usize, input: Input<'_>) -> Result<Prepared<'_, 'm>, RunError> {
        let code = self.machine.find_program(program).ok_or(RunError::NoProgram(program))?;
        let memory = self.machine.shared_memory();
        let (context, args) = Context::enter(&mut self.buffers, memory, code, input)?;
        let scratch = std::mem::take(&mut self.scratch);
        let exec = Exec::new(self.machine, code, context, self.stack.frames, self.cpu, scratch);
        // What runs on other programs of the machine leaves on the stack is none of this one's business.
        self.stack.clear();
        Ok(Prepared {
            stack: &self.stack,
            dirty: 0,
            buffers: &mut self.buffers,
            scratch: &mut self.scratch,
            exec,
            args,
        })
    }

    /// Makes the timer that expires first fire (`bpf_timer_start`), whatever time it is: its callback runs. `None`
    /// where no timer is set.
    pub fn run_timer(&mut self) -> Option<Outcome> {
        let code = self.machine.find_program(0)?;
        self.stack.clear();
        let scratch = std::mem::take(&mut self.scratch);
        let mut exec = Exec::new(self.machine, code, Context::None, self.stack.frames, self.cpu, scratch);
        let result = crate::helper::fire_timer(&mut exec);
        let insn_count = exec.insn_count();
        self.scratch = exec.finish().1;
        let (r0, trap) = match result? {
            Ok(r0) => (r0, None),
            Err(trap) => (0, Some(trap)),
        };
        Some(Outcome { r0, trap, insn_count, ..Outcome::default() })
    }
}

/// A program with its input laid out: [`Thread::prepare`].
///
/// Each run finds the stack zeroed and registers as the first did; the input and maps are as the run before left
/// them.
pub struct Prepared<'t, 'm> {
    stack: &'t Stack,
    /// Bytes below the top of the stack that a run may have written.
    dirty: u32,
    buffers: &'t mut Buffers,
    scratch: &'t mut Scratch,
    exec: Exec<'m>,
    args: [u64; 2],
}

impl fmt::Debug for Prepared<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("program", &self.exec.program.name).finish_non_exhaustive()
    }
}

impl Prepared<'_, '_> {
    /// Runs the program to its end: `r0`.
    ///
    /// # Errors
    /// [`Trap`]: why it ended before `exit`.
    #[inline]
    pub fn run(&mut self) -> Result<u64, Box<Trap>> {
        if self.dirty > 0 {
            self.stack.clear_top(self.dirty);
        }
        self.exec.restart();
        self.dirty = self.exec.program.stack_bytes;
        self.exec.start(self.args)
    }

    /// Instructions that the last run took, the trapping one included.
    #[must_use]
    pub fn insn_count(&self) -> u64 {
        self.exec.insn_count()
    }

    /// Reads back what the last run left; `result` is what it gave.
    #[must_use]
    pub fn finish(self, result: Result<u64, Box<Trap>>) -> Outcome {
        let (r0, trap) = match result {
            Ok(r0) => (r0, None),
            Err(trap) => (0, Some(*trap)),
        };
        let (insn_count, redirect) = (self.exec.insn_count(), self.exec.redirect);
        let (context, scratch) = self.exec.finish();
        *self.scratch = scratch;
        let Output { data_out, ctx_out } = context.leave(self.buffers, r0);
        Outcome { r0, trap, insn_count, data_out, ctx_out, redirect }
    }
}
