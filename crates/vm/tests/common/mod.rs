// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests of running programs share.
#![allow(dead_code)] // each test file uses a part

mod config;

pub use config::*;
use skep_asm::{Options, assemble};
use skep_vm::{Config, Engine, Input, Machine, Outcome, Trap, TrapKind};

/// A machine for a source; the source is at fault where that fails.
pub fn machine_with(source: &str, config: Config) -> Machine {
    let object = assemble(source, &Options::default()).unwrap_or_else(|e| panic!("{e:?}\n{source}"));
    Machine::new(&object, config).unwrap_or_else(|e| panic!("{e}\n{source}"))
}

/// A machine with the configuration of the suite.
pub fn machine(source: &str) -> Machine {
    machine_with(source, config())
}

/// A configuration in `checked` mode, which the interpreter has.
pub fn checked() -> Config {
    Config { checked: true, ..Config::default() }
}

/// Runs the first program of a machine.
pub fn run_on(machine: &Machine, input: Input<'_>) -> Outcome {
    machine.thread().unwrap().run(0, input).unwrap()
}

/// Runs the first program of a source on empty memory, in all modes, which have to agree.
pub fn run(source: &str) -> Outcome {
    let fast = run_on(&machine(source), Input::Mem(&[]));
    if config().engine == Engine::Jit {
        let interpreted = run_on(&machine_with(source, Config::default()), Input::Mem(&[]));
        assert_eq!(fast, interpreted, "{source}");
    }
    let checked = run_on(&machine_with(source, checked()), Input::Mem(&[]));
    assert_eq!((fast.r0, fast.insn_count), (checked.r0, checked.insn_count), "{source}");
    fast
}

/// The return value of a program that does not trap.
pub fn r0(source: &str) -> u64 {
    let outcome = run(source);
    assert_eq!(outcome.trap, None, "{source}");
    outcome.r0
}

/// The trap of a program, with the slot where it happened.
pub fn trap(source: &str) -> (TrapKind, usize) {
    let Some(Trap { kind, at }) = run(source).trap else { panic!("no trap: {source}") };
    (kind, at.expect("a location").insn)
}
