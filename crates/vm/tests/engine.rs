// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control flow, calls, limits and memory of the interpreter.

mod common;

use std::time::{Duration, Instant};

use common::{checked, machine, machine_with, r0, run, run_on, trap};
use skep_uapi::Errno;
use skep_vm::{Config, Input, TrapKind};

#[test]
fn counts_every_instruction_once() {
    let outcome = run("r0 = 0\nr1 = 3\nagain: r0 += 2\nr1 -= 1\nif r1 != 0 goto again\nexit");
    assert_eq!((outcome.r0, outcome.insn_count), (6, 2 + 3 * 3 + 1));
    // `ld_imm64` takes two slots and is one instruction.
    let outcome = run("r0 = 0x100000001 ll\nexit");
    assert_eq!((outcome.r0, outcome.insn_count), (0x1_0000_0001, 2));
}

#[test]
fn functions_keep_their_registers_and_frames() {
    let source = "
        r6 = 1
        r7 = 2
        *(u64 *)(r10 - 8) = r7
        r1 = 40
        call inner
        r0 += r6
        r1 = *(u64 *)(r10 - 8)
        r0 += r1
        exit
    inner:
        r6 = 100
        *(u64 *)(r10 - 8) = r6
        r0 = r1
        exit";
    assert_eq!(r0(source), 43);
}

/// A program whose functions call one another `depth` deep.
fn nested(depth: usize) -> String {
    let mut source = "r1 = 0\ncall f1\nexit\n".to_owned();
    for i in 1..depth {
        let next = if i + 1 < depth { format!("call f{}\n", i + 1) } else { format!("r0 = {i}\n") };
        source += &format!("f{i}:\n{next}exit\n");
    }
    source
}

#[test]
fn eight_frames_and_no_more() {
    assert_eq!(r0(&nested(8)), 7);
    assert!(matches!(trap(&nested(9)), (TrapKind::CallDepth, _)));
    assert!(matches!(trap("f: call f\nexit"), (TrapKind::CallDepth, 0)));
}

#[test]
fn flat_memory_goes_in_and_out() {
    let source = "r0 = *(u8 *)(r1 + 2)\nr0 += r2\n*(u16 *)(r1 + 0) = 0x4242\nexit";
    for config in [common::config(), checked()] {
        let outcome = run_on(&machine_with(source, config), Input::Mem(&[1, 2, 3]));
        assert_eq!((outcome.r0, outcome.data_out.as_slice()), (6, &[0x42, 0x42, 3][..]));
    }
}

#[test]
fn wild_pointers_are_named() {
    let (kind, at) = trap("r0 = 0\nr1 = 8\nr0 = *(u64 *)(r1 + 0)\nexit");
    assert_eq!(at, 2);
    assert_eq!(kind.to_string(), "bad read of 8 bytes at 0x8: null pointer");
    let (kind, _) = trap("r1 = 0x1234567800000000 ll\n*(u8 *)(r1 + 0) = 1\nexit");
    assert_eq!(kind.to_string(), "bad write of 1 byte at 0x1234567800000000: not a pointer");
    let (kind, _) = trap("r1 = 0xffffffff\n*(u64 *)(r1 - 2) = 1\nexit");
    assert!(matches!(kind, TrapKind::BadAccess(_)));
}

#[test]
fn checked_mode_knows_the_frame() {
    // One byte over the end of the frame: the caller's frame in the fast mode, a trap in the checked one.
    let outcome = run_on(&machine_with("r1 = r10\n*(u8 *)(r1 + 0) = 1\nexit", checked()), Input::Mem(&[]));
    let trap = outcome.trap.unwrap().to_string();
    assert!(trap.contains("instruction 1: bad write of 1 byte at"), "{trap}");
    assert!(trap.ends_with("offset 512 of stack, which has 512 bytes"), "{trap}");
}

#[test]
fn checked_mode_names_the_map_value() {
    let source = "
        .map counts, array, key=4, value=8, max_entries=8
        .program main, socket_filter
        *(u32 *)(r10 - 4) = 3
        r1 = map[counts]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        r0 = *(u64 *)(r0 + 4)
        exit";
    let outcome = run_on(&machine_with(source, checked()), Input::Mem(&[]));
    let trap = outcome.trap.unwrap().to_string();
    assert!(trap.ends_with("offset 4 of map value of `counts` element 3, which has 8 bytes"), "{trap}");
    // The page is the unit of the fast mode.
    assert_eq!(run_on(&machine(source), Input::Mem(&[])).trap, None);
}

#[test]
fn budget_stops_endless_loops() {
    let config = Config { budget: Some(1000), ..common::config() };
    let outcome = run_on(&machine_with("again: r0 += 1\ngoto again\nexit", config), Input::Mem(&[]));
    assert_eq!(outcome.trap.unwrap().kind, TrapKind::Budget);
    assert_eq!(outcome.insn_count, 1000);
}

#[test]
fn another_thread_can_stop_a_run() {
    let machine = machine_with("again: goto again\nexit", Config { budget: None, ..common::config() });
    let stop = machine.stop_handle();
    let started = Instant::now();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            stop.stop();
        });
        run_on(&machine, Input::Mem(&[]))
    });
    assert_eq!(outcome.trap.unwrap().kind, TrapKind::Stopped);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn may_goto_runs_out() {
    // The loop ends when the counter of the kernel is used up, without any condition of its own.
    let source = "r0 = 0\nagain: may_goto out\nr0 += 1\ngoto again\nout: exit";
    assert_eq!(r0(source), u64::from(skep_uapi::limits::BPF_MAX_MAY_GOTO));
}

#[test]
fn falling_off_the_end_traps() {
    let (kind, at) = trap("r0 = 1\nif r0 == 1 goto out\nexit\nout: r0 = 2");
    assert_eq!((kind, at), (TrapKind::FellOff, 3));
}

#[test]
fn atomics_need_alignment() {
    let source = "r1 = 1\n*(u64 *)(r10 - 8) = 41\nlock *(u64 *)(r10 - 8) += r1\nr0 = *(u64 *)(r10 - 8)\nexit";
    assert_eq!(r0(source), 42);
    let (kind, at) = trap("r1 = 1\nlock *(u64 *)(r10 - 12) += r1\nexit");
    assert!(matches!(kind, TrapKind::MisalignedAtomic { .. }));
    assert_eq!(at, 1);
}

#[test]
fn unknown_helpers_are_named_when_called() {
    assert_eq!(r0("r0 = 1\nif r0 == 1 goto out\ncall 9999\nout: exit"), 1);
    assert_eq!(trap("call 9999\nexit"), (TrapKind::UnknownHelper(9999), 0));
}

/// A program that calls itself by tail call and counts its runs in a map.
const TAIL_CALLS: &str = "
    .map jumps, prog_array, key=4, value=4, max_entries=2
    .slot 0 = main
    .map counts, array, key=4, value=8, max_entries=1
    .program main, socket_filter
    r6 = r1
    *(u32 *)(r10 - 4) = 0
    r1 = map[counts]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    r7 = r0
    r1 = *(u64 *)(r7 + 0)
    r1 += 1
    *(u64 *)(r7 + 0) = r1
    r1 = r6
    r2 = map[jumps]
    r3 = 0
    call bpf_tail_call
    r0 = *(u64 *)(r7 + 0)
    exit";

#[test]
fn tail_calls_end_at_the_kernels_limit() {
    // The first run and 33 tail calls; the 34th falls through.
    assert_eq!(r0(TAIL_CALLS), 34);
}

#[test]
fn tail_calls_of_nothing_fall_through() {
    for index in [1, 2, u32::MAX] {
        let source = TAIL_CALLS.replace("r3 = 0\n", &format!("r3 = {index} ll\n"));
        assert_eq!(r0(&source), 1, "index {index}");
    }
}

#[test]
fn program_arrays_hold_one_type() {
    let source = "
        .map jumps, prog_array, max_entries=2
        .slot 0 = filter
        .program filter, socket_filter
        exit
        .program other, xdp
        exit";
    let machine = machine(source);
    let jumps = machine.map(0).unwrap();
    let put = |program: u32| machine.update(jumps, &[1, 0, 0, 0], &program.to_ne_bytes(), 0);
    assert_eq!((put(0), put(1), put(2)), (Ok(()), Err(Errno::EINVAL), Err(Errno::EBADF)));
}

#[test]
fn threads_share_maps() {
    let source = "
        .map counts, array, key=4, value=8, max_entries=1
        .map seen, hash, key=4, value=8, max_entries=4000
        .program main, socket_filter
        r6 = r1
        r7 = r2
        *(u32 *)(r10 - 4) = 0
        r1 = map[counts]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 + 0) += r1
        r1 = *(u32 *)(r6 + 0)
        *(u32 *)(r10 - 4) = r1
        *(u64 *)(r10 - 16) = 7
        r1 = map[seen]
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call bpf_map_update_elem
    out:
        exit";
    let machine = machine(source);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let machine = &machine;
            scope.spawn(move || {
                let mut runner = machine.thread().unwrap();
                for i in 0..1000 {
                    let id = (thread * 1000 + i).to_ne_bytes();
                    let outcome = runner.run(0, Input::Mem(&id)).unwrap();
                    assert_eq!((outcome.r0, outcome.trap), (0, None));
                }
            });
        }
    });
    assert_eq!(machine.map(0).unwrap().lookup(&[0; 4]).unwrap(), 4000_u64.to_ne_bytes());
    let seen = machine.map(1).unwrap().entries();
    assert_eq!(seen.len(), 4000);
    assert!(seen.iter().all(|(_, value)| value == &7_u64.to_ne_bytes()));
}

#[test]
fn runs_start_from_the_same_stack() {
    let source = "r0 = *(u64 *)(r10 - 8)\n*(u64 *)(r10 - 8) = 5\nexit";
    let machine = machine(source);
    let mut thread = machine.thread().unwrap();
    for _ in 0..2 {
        assert_eq!(thread.run(0, Input::Mem(&[])).unwrap().r0, 0);
    }
}

/// Ten million instructions of every kind of jump, call and access on a small stack of the host.
#[test]
fn the_stack_of_the_host_does_not_grow_with_the_run() {
    let source = "
        r6 = 1000000
        r7 = 0
    again:
        *(u64 *)(r10 - 8) = r6
        r1 = *(u32 *)(r10 - 8)
        if r1 & 1 goto odd
        call f
        goto next
    odd:
        r7 ^= r1
    next:
        r6 -= 1
        if r6 != 0 goto again
        r0 = r7
        exit
    f:
        r0 = r1
        r0 <<= 3
        exit";
    let run = || run_on(&machine(source), Input::Mem(&[]));
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(run).expect("a thread");
    assert!(thread.join().expect("the stack suffices").insn_count > 8_000_000);
}
