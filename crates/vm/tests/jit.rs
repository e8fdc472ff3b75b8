// SPDX-License-Identifier: MIT OR Apache-2.0
//! The JIT against the interpreter: whatever a program does, both give the same result, memory, trap and number of
//! instructions.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use proptest::prelude::*;
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

/// A register that is not `r10`, a constant, or an instruction of a kind that is fused with its neighbours.
fn piece() -> impl Strategy<Value = String> {
    let reg = || 0..10_u8;
    let constant = || {
        prop_oneof![
            Just(0),
            Just(1),
            Just(-1),
            Just(i32::MAX),
            Just(i32::MIN),
            1..100_i32,
            (0..31_u32).prop_map(|bit| 1 << bit),
            any::<i32>(),
        ]
    };
    let width = || prop::sample::select(&['r', 'w'][..]);
    prop_oneof![
        (width(), reg(), constant(), prop::sample::select(&["/", "%", "s/", "s%", "*"][..]))
            .prop_map(|(w, a, imm, op)| format!("{w}{a} {op}= {imm}\n")),
        (width(), reg(), reg(), prop::sample::select(&["/", "%", "s/", "s%", "<<", ">>", "s>>"][..]))
            .prop_map(|(w, a, b, op)| format!("{w}{a} {op}= {w}{b}\n")),
        // Rotations, and what looks like one.
        (width(), reg(), reg(), 0..64_u8, prop::sample::select(&["|", "^", "+"][..]), any::<[bool; 3]>())
            .prop_map(|(w, a, b, count, op, [swap, order, exact])| {
                let bits = if w == 'r' { 64 } else { 32 };
                let up = count % bits;
                let down = if exact { (bits - up) % bits } else { 7 };
                let (x, y) = if swap { (a, b) } else { (b, a) };
                let shifts = [format!("{w}{x} <<= {up}\n"), format!("{w}{y} >>= {down}\n")];
                let [first, second] = if order { [&shifts[0], &shifts[1]] } else { [&shifts[1], &shifts[0]] };
                format!("{w}{a} = {w}{b}\n{first}{second}{w}{b} {op}= {w}{a}\n")
            }),
        (reg(), reg(), constant()).prop_map(|(a, b, imm)| format!("r{a} = r{b}\nr{a} += {imm}\n")),
        (reg(), reg(), reg()).prop_map(|(a, b, c)| format!("r{a} = r{b}\nr{a} += r{c}\n")),
        // A loop that ends by itself, its jump right behind the count.
        (1..5_i32, reg(), reg()).prop_map(|(count, a, b)| {
            let (a, b) = (a % 9, b % 9);
            format!("r9 = {count}\nagain: r{a} += r{b}\nr{b} ^= {count}\nr9 -= 1\nif r9 != 0 goto again\n")
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn fused_instructions_are_those_one_by_one(values: [u64; 10], pieces in prop::collection::vec(piece(), 1..12)) {
        let mut source = String::new();
        for (reg, value) in values.iter().enumerate() {
            source += &format!("r{reg} = {value:#x} ll\n");
        }
        for (at, piece) in pieces.iter().enumerate() {
            source += &piece.replace("again", &format!("again{at}"));
        }
        // All registers count.
        for reg in 1..10 {
            source += &format!("r0 *= 31\nr0 += r{reg}\n");
        }
        same(&(source + "exit\n"), &[]);
    }
}
