// SPDX-License-Identifier: MIT OR Apache-2.0
//! skep's engines against each other: whatever a program does, the interpreter and machine code give the same result,
//! memory, maps, trap and number of instructions.

use skep_kernel_load::Contents;
use skep_program::Object;
use skep_vm::{Config, Engine, Environment, Input, Machine, MachineError, Outcome};

use crate::ours::contents;

/// What a run left, and the maps after it.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    outcome: Result<Outcome, String>,
    maps: Vec<Contents>,
}

/// Runs the first program of an object on an input, with at most so many instructions; `None` where no engine takes it.
fn run(engine: Engine, object: &Object, input: Input<'_>, budget: u64) -> Result<Left, MachineError> {
    let environment = Environment::reproducible();
    let config = Config { engine, budget: Some(budget), environment, ..Config::default() };
    let machine = Machine::new(object, config)?;
    let outcome = match machine.thread() {
        Ok(mut thread) => thread.run(0, input).map_err(|error| error.to_string()),
        Err(errno) => Err(errno.to_string()),
    };
    let maps = object.maps.iter().enumerate().map(|(at, spec)| contents(&machine, at, spec)).collect();
    Ok(Left { outcome, maps })
}

/// How the engines differ on the first program of an object, which need not be verified; `None` where they do not, or
/// there is no JIT here. Time, chance and the task are fixed.
#[must_use]
pub fn engines_differ(object: &Object, input: Input<'_>, budget: u64) -> Option<String> {
    let interpreted = run(Engine::Interpreter, object, input, budget);
    let compiled = run(Engine::Jit, object, input, budget);
    if matches!(compiled, Err(MachineError::NoJit)) || interpreted == compiled {
        return None;
    }
    Some(format!("interpreter: {interpreted:?}\nJIT: {compiled:?}"))
}
