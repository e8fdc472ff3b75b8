// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a program on flat memory, in both modes of the interpreter: refused with a place, or run to a result or
//! a trap within its budget, never a panic. Both modes refuse the same programs. (Results may differ: frames lie
//! further apart in `checked` mode, and a wild program sees that.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_program::{Object, Program, insns_from_bytes};
use skep_vm::{Config, Environment, Input, Machine, Outcome};

/// Instructions that a run may take beyond its budget: a straight line.
const SLACK: u64 = 1 << 16;
const BUDGET: u64 = 10_000;

fn run(object: &Object, checked: bool) -> Option<Outcome> {
    let environment = Environment::reproducible();
    let config = Config { budget: Some(BUDGET), checked, environment, ..Config::default() };
    let machine = Machine::new(object, config).ok()?;
    machine.thread().ok()?.run(0, Input::Mem(&[0x5a; 64])).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let whole = &bytes[..bytes.len() / 8 * 8];
    let Ok(insns) = insns_from_bytes(whole) else { return };
    let object = Object::single(Program { name: "fuzz".to_owned(), insns, ..Program::default() });
    let (fast, checked) = (run(&object, false), run(&object, true));
    assert_eq!(fast.is_some(), checked.is_some());
    for outcome in [fast, checked].into_iter().flatten() {
        assert!(outcome.insn_count <= BUDGET + SLACK, "{} instructions", outcome.insn_count);
    }
});
