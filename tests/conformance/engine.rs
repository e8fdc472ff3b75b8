// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all engines have in common.

use skep_program::Object;

use crate::case::{Case, Run};

/// What an engine made of a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It ended with this in `r0`.
    R0(u64),
    /// It ended with this in the low half of `r0`; the engine does not show more.
    R0Low(u32),
    /// The program was refused or stopped.
    Error(String),
    /// The engine cannot take it, for a reason that is no error of the program.
    Skip(String),
}

/// Something that runs programs.
pub trait Engine: Sync {
    fn name(&self) -> &'static str;

    /// Runs the only program of the object.
    fn run(&self, case: &Case, run: &Run, object: &Object) -> Answer;

    /// Why some runs of the case do not do here what the case says. A reason that no run bears out fails the
    /// suite, so that the list stays true.
    fn departs(&self, _case: &Case) -> Option<&'static str> {
        None
    }
}
