// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no verified program and no object of a compiler does: it must neither run without end, nor take the
//! host's memory, nor make the host panic.

mod common;

use std::time::Duration;

use common::{checked, machine, machine_with, run_on};
use skep_program::{MapSpec, Object, Slot};
use skep_uapi::{Errno, MapType};
use skep_vm::{Config, Input, Machine, MachineError, TrapKind};

/// Loops in loops, none of which ever jumps: 2^69 instructions.
const NESTED_LOOPS: &str = "
    .program p, socket
        r1 = 8388608
        r2 = outer ll
        r3 = 0
        r4 = 0
        call bpf_loop
        exit
    outer:
        r1 = 8388608
        r2 = middle ll
        r3 = 0
        r4 = 0
        call bpf_loop
        r0 = 0
        exit
    middle:
        r1 = 8388608
        r2 = inner ll
        r3 = 0
        r4 = 0
        call bpf_loop
        r0 = 0
        exit
    inner:
        r0 = 0
        exit";

#[test]
fn loops_of_helpers_keep_to_the_budget() {
    let config = Config { budget: Some(100_000), ..common::config() };
    let outcome = run_on(&machine_with(NESTED_LOOPS, config), Input::Mem(&[]));
    assert_eq!(outcome.trap.map(|trap| trap.kind), Some(TrapKind::Budget));
    assert!(outcome.insn_count < 100_100, "{}", outcome.insn_count);
}

#[test]
fn loops_of_helpers_can_be_stopped() {
    let machine = machine_with(NESTED_LOOPS, Config { budget: None, ..common::config() });
    let stop = machine.stop_handle();
    let outcome = std::thread::scope(|scope| {
        let run = scope.spawn(|| run_on(&machine, Input::Mem(&[])));
        std::thread::sleep(Duration::from_millis(20));
        stop.stop();
        run.join().unwrap()
    });
    assert_eq!(outcome.trap.map(|trap| trap.kind), Some(TrapKind::Stopped));
}

#[test]
fn inner_maps_are_out_of_reach() {
    // Writes to an address of the input, then looks up.
    let source = "
        .map m, hash, key=4, value=4, max_entries=4
        .program p, socket
        r6 = *(u32 *)(r1 + 0)
        *(u32 *)(r6 + 0) = -1
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        *(u32 *)(r10 - 4) = 0
        call bpf_map_lookup_elem
        exit";
    for mode in [common::config(), checked()] {
        let mut object = skep_asm::assemble(source, &skep_asm::Options::default()).unwrap();
        let inner = MapSpec {
            name: "inner".into(),
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            ..MapSpec::default()
        };
        let outer = MapSpec {
            name: "m".into(),
            map_type: MapType::HASH_OF_MAPS,
            key_size: 4,
            value_size: 4,
            max_entries: 4,
            inner: Some(Box::new(inner.clone())),
            slots: vec![(0, Slot::Map(1))],
            ..MapSpec::default()
        };
        object.maps = vec![outer, inner].into();
        let machine = Machine::new(&object, mode).unwrap();
        let found = (0x0100_0000_u32..0x0100_8000)
            .step_by(8)
            .map(|addr| run_on(&machine, Input::Mem(&addr.to_ne_bytes())));
        let found: Vec<_> =
            found.filter(|outcome| outcome.trap.is_none()).map(|outcome| outcome.r0).collect();
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "the handle of `inner` stays: {found:x?}");
    }
}

fn refusal(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Option<MachineError> {
    let inner = MapSpec {
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapSpec::default()
    };
    let inner = (map_type == MapType::ARRAY_OF_MAPS).then(|| Box::new(inner));
    let name = "m".to_owned();
    let spec = MapSpec { name, map_type, key_size, value_size, max_entries, inner, ..MapSpec::default() };
    let config = Config { memory_limit: 1 << 20, ..common::config() };
    Machine::new(&Object { maps: vec![spec].into(), ..Object::default() }, config).err()
}

#[test]
fn the_limit_holds_for_maps_outside_of_guest_memory() {
    for (map_type, key, value) in [
        (MapType::QUEUE, 0, 8),
        (MapType::STACK, 0, 8),
        (MapType::PROG_ARRAY, 4, 4),
        (MapType::PERF_EVENT_ARRAY, 4, 4),
        (MapType::ARRAY_OF_MAPS, 4, 4),
    ] {
        let expected = MachineError::MapCreate { map: "m".into(), errno: Errno::ENOMEM };
        assert_eq!(refusal(map_type, key, value, 1 << 28), Some(expected), "{map_type}");
        assert_eq!(refusal(map_type, key, value, 2), None, "{map_type}");
    }
}

#[test]
fn reading_a_map_that_programs_change_ends() {
    // Takes out and puts back a key that a reader is likely to stand on: it starts over then.
    let source = "
        .map m, hash, key=4, value=4, max_entries=64
        .program p, socket
        r6 = 0
        *(u32 *)(r10 - 8) = 0
    again:
        r6 += 1
        r6 &= 63
        *(u32 *)(r10 - 4) = r6
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        call bpf_map_delete_elem
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_map_update_elem
        goto again";
    let machine = machine(source);
    std::thread::scope(|scope| {
        scope.spawn(|| run_on(&machine, Input::Mem(&[])));
        for _ in 0..200 {
            assert!(machine.map(0).unwrap().entries().len() <= 64);
        }
        machine.stop_handle().stop();
    });
}

#[test]
fn the_limit_holds_for_prefixes() {
    let name = "m".to_owned();
    let spec = MapSpec {
        name,
        map_type: MapType::LPM_TRIE,
        key_size: 8,
        value_size: 8,
        max_entries: 100_000,
        flags: skep_uapi::flags::map_create::BPF_F_NO_PREALLOC,
        ..MapSpec::default()
    };
    let config = Config { memory_limit: 1 << 20, ..common::config() };
    let machine = Machine::new(&Object { maps: vec![spec].into(), ..Object::default() }, config).unwrap();
    let map = machine.map(0).unwrap();
    let key = |host: u32| [32_u32.to_ne_bytes(), host.to_be_bytes()].concat();
    let full =
        (0..100_000).find_map(|host| map.update(&key(host), &[0; 8], 0).err().map(|errno| (host, errno)));
    let (count, errno) = full.unwrap();
    assert_eq!(errno, Errno::ENOMEM);
    assert!((500..5000).contains(&count), "{count}");
    map.delete(&key(0)).unwrap();
    map.update(&key(count), &[0; 8], 0).unwrap();
}

#[test]
fn the_limit_holds_for_timers() {
    // A timer at every eighth byte of a large value, until that fails.
    let source = "
        .map m, array, key=4, value=500000, max_entries=1
        .program p, socket_filter
        *(u32 *)(r10 - 4) = 0
        r1 = map[m]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        r6 = r0
        r7 = 0
    more:
        r1 = r6
        r1 += r7
        r2 = map[m]
        r3 = 1
        call bpf_timer_init
        if r0 != 0 goto out
        r7 += 8
        if r7 < 499992 goto more
    out:
        exit";
    let machine = machine_with(source, Config { memory_limit: 1 << 20, ..common::config() });
    let outcome = run_on(&machine, Input::Mem(&[]));
    assert_eq!((outcome.trap, outcome.r0), (None, Errno::ENOMEM.negative() as u64));
}

#[test]
fn room_of_two_gigabytes_is_refused() {
    // A packet that says it is of segments (`gso_size`) may be of any length.
    let source = "
        .program p, classifier
        *(u32 *)(r1 + 176) = 1
        r2 = 1
        r2 <<= 31
        r3 = 0
        call bpf_skb_change_head
        exit";
    let machine = machine_with(source, Config { memory_limit: 1 << 32, ..common::config() });
    let outcome = run_on(&machine, Input::Packet { data: &[0; 64], ctx: None });
    assert_eq!((outcome.trap, outcome.r0), (None, Errno::ENOMEM.negative() as u64));
}
