// SPDX-License-Identifier: MIT OR Apache-2.0
//! The JIT against the interpreter: whatever a program does, both give the same result, memory, trap and number of
//! instructions.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use skep_program::Object;
use skep_vm::{Config, Engine, Input, Machine, Outcome};

fn run(object: &Object, engine: Engine, input: Input<'_>) -> Outcome {
    let config = Config { engine, budget: Some(100_000), ..Config::default() };
    let machine = Machine::new(object, config).expect("the program loads");
    let mut thread = machine.thread().expect("stacks fit");
    thread.run(0, input).expect("the input fits")
}

#[track_caller]
fn same(source: &str, memory: &[u8]) -> Outcome {
    let object = skep_asm::assemble(source, &skep_asm::Options::default()).expect("the text assembles");
    let expected = run(&object, Engine::Interpreter, Input::Mem(memory));
    let found = run(&object, Engine::Jit, Input::Mem(memory));
    assert_eq!(found, expected, "{source}");
    found
}

#[test]
fn constants_and_exit() {
    assert_eq!(same("r0 = 42\nexit", &[]).r0, 42);
    same("r0 = 0x123456789abcdef ll\nexit", &[]);
    same("r0 = -1\nw0 = w0\nexit", &[]);
}

#[test]
fn a_loop_over_memory() {
    let sum = "r0 = 0\nr3 = r1\nr3 += r2\nagain:\nif r1 >= r3 goto done\nr4 = *(u8 *)(r1 + 0)\nr0 += r4\nr1 += 1\ngoto again\ndone:\nexit";
    assert_eq!(same(sum, &[1, 2, 3, 4]).r0, 10);
}

#[test]
fn a_null_pointer_traps() {
    let outcome = same("r1 = 0\nr0 = 7\nr0 = *(u64 *)(r1 + 8)\nexit", &[]);
    assert!(outcome.trap.is_some());
    assert_eq!(outcome.insn_count, 3);
}
