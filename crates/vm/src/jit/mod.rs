// SPDX-License-Identifier: MIT OR Apache-2.0
//! The x86-64 JIT. [`Code::new`] compiles a pre-decoded program; [`Exec`](crate::interp::Exec) enters it in place of
//! the interpreter.
//!
//! Guarantees, for programs that nobody verified:
//! * machine code reaches guest memory, the state of its run and the machine's stack, and nothing else; a bad
//!   access, a missing helper or a call too deep ends the run with the trap of the interpreter, located at the
//!   instruction, and the process goes on;
//! * results, traps and the number of instructions are those of the interpreter, which it shares nothing with
//!   but the pre-decoder: the semantics of instructions are spelled here a second time, as a witness;
//! * budget and stop flag are looked at where the interpreter looks at them;
//! * a page is never writable and executable at once, and is unmapped with its program.
//!
//! [`Target::elide`] gives the first of these up for speed; whoever sets it has a verifier's word for the program.
//!
//! What a program can see of memory that the machine took back is the one difference to the interpreter: the
//! interpreter traps on it, machine code reads zeros, since its permissions are those of the host's pages.

mod analysis;
mod code;
mod emit;
mod fault;
mod run;
mod x86;

pub(crate) use code::Code;
pub(crate) use run::{NativeHelper, Returned, State, answer, native_helper};

use std::ops::Range;

use std::sync::Arc;

use crate::interp::Program;
use crate::machine::{Machine, MachineError};
use x86::Patch;

/// What code is compiled for.
struct Target<'a> {
    /// What the program is a part of.
    machine: &'a Machine,
    /// The host's address of guest address 0, a multiple of 4 GiB.
    base: u64,
    /// Index of the program in its machine.
    index: u32,
    /// Accesses are not confined.
    elide: bool,
    /// Instructions are counted, and the budget is looked at.
    count: bool,
    /// Constants of the program are mixed with random numbers.
    blind: bool,
    /// The code will lie within two gigabytes of the host's functions.
    near: bool,
    /// The processor has shifts by any register.
    bmi2: bool,
}

/// Compiles a program of a machine, of which it will have the index. `verified` leaves confinement out.
///
/// # Errors
/// [`MachineError::Compile`].
pub(crate) fn compile(
    program: &mut Program,
    machine: &Machine,
    index: usize,
    verified: bool,
) -> Result<(), MachineError> {
    let mut target = Target {
        machine,
        base: machine.memory().base(),
        index: index as u32,
        elide: verified,
        count: !verified || machine.config().count,
        blind: machine.config().blind_constants,
        near: true,
        bmi2: is_x86_feature_detected!("bmi2"),
    };
    let fail = |errno| MachineError::Compile { program: Arc::clone(&program.name), errno };
    program.native = Some(Code::new(program, &mut target).map_err(fail)?);
    Ok(())
}

/// Machine code that is not executable yet.
struct Compiled {
    bytes: Vec<u8>,
    /// Where a run of the program starts.
    start: usize,
    /// Where a run enters any function.
    enter: usize,
    /// Calls of the host's functions, whose distance is not known yet: where it belongs, and the function.
    host_calls: Vec<(Patch, usize)>,
    /// Code of instructions, where accesses may fault.
    body: Range<usize>,
    /// Where the code of each instruction starts.
    starts: Box<[u32]>,
    /// How many instructions ran uncharged before each.
    pending: Box<[u32]>,
    /// First instruction of each function, and where it is called.
    functions: Box<[(u32, u32)]>,
}
