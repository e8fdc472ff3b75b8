// SPDX-License-Identifier: MIT OR Apache-2.0
//! The JIT against the interpreter: whatever a program does, both give the same result, memory, trap and number of
//! instructions.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use proptest::prelude::*;
use skep_program::Object;
use skep_vm::{Config, Engine, Input, Machine, Outcome};

fn config() -> Config {
    Config { budget: Some(100_000), ..Config::default() }
}

fn run(object: &Object, engine: Engine, input: Input<'_>) -> Outcome {
    run_with(object, Config { engine, ..config() }, input)
}

fn run_with(object: &Object, config: Config, input: Input<'_>) -> Outcome {
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
    let blind = Config { engine: Engine::Jit, blind_constants: true, ..config() };
    assert_eq!(run_with(&object, blind, Input::Mem(memory)), expected, "blinded: {source}");
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

#[test]
fn blinded_constants_are_not_in_the_code() {
    let source = "r0 = 0x5bc30f05\nr1 = 0x5bc30f05 ll\nr0 ^= 0x5bc30f05\n*(u32 *)(r10 - 4) = 0x5bc30f05\n\
                  if r0 == 0x5bc30f05 goto +0\nexit";
    let object = skep_asm::assemble(source, &skep_asm::Options::default()).expect("the text assembles");
    for blind_constants in [false, true] {
        let config = Config { engine: Engine::Jit, blind_constants, ..Config::default() };
        let machine = Machine::new(&object, config).expect("it loads");
        let code = machine.native(0).expect("it is compiled");
        let there = code.bytes.windows(4).filter(|bytes| *bytes == 0x5bc3_0f05_u32.to_le_bytes()).count();
        assert_eq!(there, if blind_constants { 0 } else { 5 });
    }
}

/// Addresses at both ends of guest memory and around it, whatever is above their low half.
#[test]
fn wild_pointers_end_in_the_same_fault() {
    let addresses = [
        0,
        1,
        0xffff,
        0x1_0000,
        0x00ff_fff8,
        0x7fff_ffff,
        0xffff_fff8,
        0xffff_fffc,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0100_0000,
        0x7fff_ffff_ffff_fff8,
        u64::MAX,
        u64::MAX - 7,
    ];
    let accesses = [
        "r0 = *(u8 *)(r3 + OFF)",
        "r0 = *(s16 *)(r3 + OFF)",
        "r0 = *(u64 *)(r3 + OFF)",
        "*(u8 *)(r3 + OFF) = 1",
        "*(u64 *)(r3 + OFF) = r10",
        "*(u32 *)(r3 + OFF) = r5",
        "lock *(u64 *)(r3 + OFF) += r5",
        "r5 = atomic_fetch_xor((u64 *)(r3 + OFF), r5)",
        "r0 = load_acquire((u32 *)(r3 + OFF))",
    ];
    for addr in addresses {
        for off in [0, 8, -8, 32760, -32768] {
            for access in accesses {
                let access =
                    access.replace("+ OFF", &format!("{off:+}").replace('+', "+ ").replace('-', "- "));
                let outcome = same(&format!("r5 = 7\nr3 = {addr:#x} ll\n{access}\nr0 = 1\nexit\n"), &[1; 64]);
                assert!(outcome.trap.is_some() || outcome.r0 == 1);
            }
        }
    }
}

#[test]
fn frames_keep_their_shape_whatever_jumps_where() {
    // Into another function, out of one, through the end of one, and main as a callee.
    let sources = [
        "call f\nexit\nf: r6 = 1\ninside: r0 = 2\nexit\ng: goto inside",
        "r6 = 5\ncall f\nr0 += r6\nexit\nf: r6 = 7\nr0 = 1\ng: r7 = 3\nif r1 == 9 goto +0\nexit",
        "main: r6 += 1\nif r6 > 3 goto out\ncall main\nout: r0 = r6\nexit",
        "r6 = 1\nr7 = 2\nr8 = 3\nr9 = 4\ncall f\nr0 += r6\nr0 += r7\nr0 += r8\nr0 += r9\nexit\nf: r6 = 0\nr7 = 0\nr8 = 0\nr9 = 0\nr0 = 10\nexit",
        "r1 = r10\ncall f\nr0 = *(u64 *)(r10 - 8)\nexit\nf: *(u64 *)(r1 - 8) = 77\n*(u64 *)(r10 - 8) = 1\nexit",
        "call f\nexit\nf: call f\nexit",
    ];
    for source in sources {
        same(source, &[]);
    }
}

#[test]
fn traps_in_callbacks_and_callees_leave_no_frame_behind() {
    let source = "
        .program p, socket
        r1 = 10
        r2 = callback ll
        r3 = 0
        r4 = 0
        call bpf_loop
        r0 = 1
        exit
    callback:
        r6 = r1
        call deeper
        r0 = 0
        exit
    deeper:
        if r6 < 3 goto fine
        r1 = *(u64 *)(r6 + 0)
    fine:
        exit";
    for _ in 0..1000 {
        assert!(same(source, &[]).trap.is_some());
    }
}

#[test]
fn threads_trap_on_their_own() {
    let source = "r0 = *(u32 *)(r1 + 0)\nif r0 == 0 goto bad\nexit\nbad: r1 = 0\nr0 = *(u64 *)(r1 + 0)\nexit";
    let object = skep_asm::assemble(source, &skep_asm::Options::default()).expect("the text assembles");
    let machine =
        Machine::new(&object, Config { engine: Engine::Jit, ..Config::default() }).expect("it loads");
    std::thread::scope(|scope| {
        for value in 0..4_u8 {
            let machine = &machine;
            scope.spawn(move || {
                let mut thread = machine.thread().expect("stacks fit");
                for _ in 0..2000 {
                    let outcome = thread.run(0, Input::Mem(&[value % 2, 0, 0, 0])).expect("it fits");
                    assert_eq!((outcome.r0, outcome.trap.is_some()), (u64::from(value % 2), value % 2 == 0));
                }
            });
        }
    });
}

#[test]
fn programs_of_any_length_compile() {
    // Jumps over more than 32,767 instructions, and code over many pages.
    for (count, jump) in [(1000, "goto"), (40_000, "gotol")] {
        let mut source = format!("r0 = 0\nr2 = 3\nagain: if r2 == 0 goto +1\n{jump} middle\nexit\nmiddle:\n");
        for i in 0..count {
            source += &format!("r0 += {}\n", i % 7);
        }
        source += &format!("r2 -= 1\n{jump} again\n");
        same(&source, &[]);
    }
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
