// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where there is no JIT: other processors and systems, and Miri.

use crate::NativeCode;
use crate::interp::{Exec, Program};
use crate::machine::{Function, Machine, MachineError};
use crate::trap::Trap;

/// Nothing is compiled here.
pub(crate) enum Code {}

impl Code {
    pub(crate) fn entry(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn view(&self) -> NativeCode<'_> {
        match *self {}
    }
}

/// What machine code would keep of a run.
pub(crate) struct State;

impl State {
    pub(crate) fn new(_frame: u64) -> State {
        State
    }
}

/// How machine code would call a helper.
pub(crate) type NativeHelper = ();

macro_rules! native_helper {
    ($body:expr) => {
        ()
    };
}
pub(crate) use native_helper;

pub(crate) fn compile(
    _program: &mut Program,
    _machine: &Machine,
    _index: usize,
    _verified: bool,
) -> Result<(), MachineError> {
    Err(MachineError::NoJit)
}

impl Exec<'_> {
    pub(crate) fn start_native(&mut self, _args: [u64; 2]) -> Option<Result<u64, Box<Trap>>> {
        None
    }

    pub(crate) fn call_native(&mut self, _function: Function, _args: [u64; 5]) -> Option<Result<u64, Trap>> {
        None
    }
}
