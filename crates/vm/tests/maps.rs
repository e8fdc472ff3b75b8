// SPDX-License-Identifier: MIT OR Apache-2.0
//! What maps do that a comparison with the kernel's cannot show: eviction, records, slots, shared use.

mod common;

use common::{checked, machine, machine_with, run_on};
use skep_program::{MapSpec, Object};
use skep_uapi::{Errno, MapType};
use skep_vm::{Config, Input, Machine, MachineError};

fn one(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Machine {
    let spec =
        MapSpec { name: "m".into(), map_type, key_size, value_size, max_entries, ..MapSpec::default() };
    Machine::new(&Object { maps: vec![spec].into(), ..Object::default() }, common::config()).unwrap()
}

#[test]
fn lru_evicts_what_was_not_used() {
    // Looks up the key in the input.
    let source = "
        .map m, lru_hash, key=4, value=4, max_entries=4
        .program main, socket_filter
        r2 = r1
        r1 = map[m]
        call bpf_map_lookup_elem
        r0 = 0
        exit";
    let machine = machine(source);
    let map = machine.map_by_name("m").unwrap();
    for key in 0..4_u32 {
        map.update(&key.to_ne_bytes(), &[0; 4], 0).unwrap();
    }
    for key in [0, 2_u32] {
        run_on(&machine, Input::Mem(&key.to_ne_bytes()));
    }
    // Lookups of user space are no use of an element.
    map.lookup(&1_u32.to_ne_bytes()).unwrap();
    for key in 4..6_u32 {
        map.update(&key.to_ne_bytes(), &[0; 4], 0).unwrap();
    }
    let mut keys: Vec<u32> =
        map.entries().iter().map(|(key, _)| u32::from_ne_bytes(key[..].try_into().unwrap())).collect();
    keys.sort_unstable();
    assert_eq!(keys, [0, 2, 4, 5]);
}

#[test]
fn lru_holds_all_its_entries() {
    let machine = one(MapType::LRU_HASH, 4, 4, 100);
    let map = machine.map(0).unwrap();
    for key in 0..1000_u32 {
        map.update(&key.to_ne_bytes(), &[0; 4], 0).unwrap();
        assert_eq!(map.entries().len() as u32, (key + 1).min(100));
    }
}

#[test]
fn full_hash_still_takes_updates() {
    let machine = one(MapType::HASH, 4, 4, 2);
    let map = machine.map(0).unwrap();
    for key in 0..2_u32 {
        assert_eq!(map.update(&key.to_ne_bytes(), &[1; 4], 1), Ok(()));
    }
    assert_eq!(map.update(&9_u32.to_ne_bytes(), &[1; 4], 0), Err(Errno::E2BIG));
    for round in 0..10_u8 {
        assert_eq!(map.update(&1_u32.to_ne_bytes(), &[round; 4], 2), Ok(()));
        assert_eq!(map.lookup(&1_u32.to_ne_bytes()), Ok(vec![round; 4]));
    }
    assert_eq!(map.lookup_and_delete(&1_u32.to_ne_bytes(), 0), Ok(vec![9; 4]));
    assert_eq!(map.lookup_and_delete(&1_u32.to_ne_bytes(), 0), Err(Errno::ENOENT));
}

#[test]
fn pointers_into_a_hash_see_the_old_value_after_an_update() {
    let source = "
        .map m, hash, key=4, value=8, max_entries=4
        .program main, socket_filter
        *(u32 *)(r10 - 4) = 7
        *(u64 *)(r10 - 16) = 1
        r1 = map[m]
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call bpf_map_update_elem
        r1 = map[m]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        r6 = r0
        *(u64 *)(r10 - 16) = 2
        r1 = map[m]
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call bpf_map_update_elem
        r0 = *(u64 *)(r6 + 0)
        exit";
    assert_eq!(run_on(&machine(source), Input::Mem(&[])).r0, 1);
}

#[test]
fn longest_prefix_wins() {
    let machine = {
        let spec = MapSpec {
            name: "m".into(),
            map_type: MapType::LPM_TRIE,
            key_size: 8,
            value_size: 1,
            max_entries: 8,
            flags: 1,
            ..MapSpec::default()
        };
        Machine::new(&Object { maps: vec![spec].into(), ..Object::default() }, common::config()).unwrap()
    };
    let map = machine.map(0).unwrap();
    let key = |len: u32, address: [u8; 4]| [len.to_ne_bytes(), address].concat();
    for (len, address, value) in [(0, [0; 4], 1), (8, [10, 0, 0, 0], 2), (25, [10, 1, 2, 128], 3)] {
        map.update(&key(len, address), &[value], 0).unwrap();
    }
    for (address, value) in
        [([9, 9, 9, 9], 1), ([10, 1, 2, 3], 2), ([10, 1, 2, 200], 3), ([10, 1, 3, 200], 2)]
    {
        assert_eq!(map.lookup(&key(32, address)), Ok(vec![value]), "{address:?}");
    }
    // A shorter key is not covered by a longer prefix.
    assert_eq!(map.lookup(&key(16, [10, 1, 2, 128])), Ok(vec![2]));
}

/// Writes `len` times the byte `fill` into the ring buffer, by reserve and submit, or discard.
const RING: &str = "
    .map ring, ringbuf, max_entries=4096
    .program main, socket_filter
    r6 = *(u64 *)(r1 + 0)
    r7 = *(u8 *)(r1 + 8)
    r8 = *(u8 *)(r1 + 9)
    r1 = map[ring]
    r2 = r6
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto full
    r1 = r0
    r2 = 0
fill:
    if r2 == r6 goto done
    r3 = r1
    r3 += r2
    *(u8 *)(r3 + 0) = r7
    r2 += 1
    goto fill
done:
    r2 = 0
    if r8 != 0 goto discard
    call bpf_ringbuf_submit
    r0 = 0
    exit
discard:
    call bpf_ringbuf_discard
    r0 = 0
    exit
full:
    r0 = 1
    exit";

#[test]
fn ring_buffer_wraps_fills_and_empties() {
    for config in [common::config(), checked()] {
        let machine = machine_with(RING, config);
        let map = machine.map_by_name("ring").unwrap();
        let put = |len: u64, fill: u8, discard: bool| {
            let mut input = len.to_ne_bytes().to_vec();
            input.extend([fill, u8::from(discard)]);
            let outcome = run_on(&machine, Input::Mem(&input));
            assert_eq!(outcome.trap, None);
            outcome.r0 == 0
        };
        // Records of 1008 bytes with their header: four fit, and one byte always stays free.
        for round in 0..20_u8 {
            assert!(put(1000, round, false));
            assert!(put(100, round, true));
            assert!(put(1001, round, false));
            assert_eq!(map.take_ring_records(), [vec![round; 1000], vec![round; 1001]]);
        }
        let fits = (0..10).filter(|_| put(1000, 1, false)).count();
        assert_eq!(fits, 4);
        assert_eq!(map.take_ring_records().len(), 4);
        assert!(!put(4096, 1, false));
    }
}

#[test]
fn checked_mode_guards_records() {
    let source = RING.replace("*(u8 *)(r3 + 0) = r7", "*(u8 *)(r3 + 64) = r7");
    let outcome = run_on(&machine_with(&source, checked()), Input::Mem(&[8, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
    let trap = outcome.trap.unwrap().to_string();
    assert!(trap.ends_with("offset 64 of record of ring buffer `ring`, which has 8 bytes"), "{trap}");
}

#[test]
fn inner_maps_must_look_like_the_template() {
    let inner = |max_entries| MapSpec {
        name: format!("inner{max_entries}"),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries,
        ..MapSpec::default()
    };
    for map_type in [MapType::ARRAY_OF_MAPS, MapType::HASH_OF_MAPS] {
        let outer = MapSpec {
            name: "outer".into(),
            map_type,
            key_size: 4,
            value_size: 4,
            max_entries: 2,
            inner: Some(Box::new(inner(3))),
            ..MapSpec::default()
        };
        let maps = vec![outer, inner(3), inner(4)].into();
        let machine = Machine::new(&Object { maps, ..Object::default() }, common::config()).unwrap();
        let map = machine.map(0).unwrap();
        let put = |key: u32, target: u32| machine.update(map, &key.to_ne_bytes(), &target.to_ne_bytes(), 0);
        assert_eq!(put(1, 1), Ok(()));
        assert_eq!(put(1, 2), Err(Errno::EINVAL));
        assert_eq!(put(1, 9), Err(Errno::EBADF));
        assert_eq!(map.lookup(&1_u32.to_ne_bytes()), Ok(1_u32.to_ne_bytes().to_vec()));
        assert_eq!(map.lookup(&0_u32.to_ne_bytes()), Err(Errno::ENOENT));
        assert_eq!(map.delete(&1_u32.to_ne_bytes()), Ok(()));
        assert_eq!(map.delete(&1_u32.to_ne_bytes()), Err(Errno::ENOENT));
    }
}

#[test]
fn programs_reach_inner_maps() {
    let source = "
        .inner_map shape, array, key=4, value=8, max_entries=1
        .map first, array, key=4, value=8, max_entries=1
        .map outer, array_of_maps, max_entries=2, inner=shape
        .slot 1 = first
        .program main, socket_filter
        *(u32 *)(r10 - 4) = 1
        r1 = map[outer]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        *(u32 *)(r10 - 4) = 0
        r1 = r0
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        *(u64 *)(r0 + 0) = 42
    out:
        r0 = 0
        exit";
    let machine = machine(source);
    assert_eq!(run_on(&machine, Input::Mem(&[])).trap, None);
    assert_eq!(machine.map_by_name("first").unwrap().lookup(&[0; 4]), Ok(42_u64.to_ne_bytes().to_vec()));
}

#[test]
fn each_cpu_has_its_value() {
    let source = "
        .map m, percpu_array, key=4, value=4, max_entries=1
        .program main, socket_filter
        *(u32 *)(r10 - 4) = 0
        r1 = map[m]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        r1 = *(u32 *)(r0 + 0)
        r1 += 1
        *(u32 *)(r0 + 0) = r1
        exit";
    let machine = machine_with(source, Config { cpus: 3, ..common::config() });
    for cpu in [0, 2, 2] {
        machine.thread().unwrap().on_cpu(cpu).run(0, Input::Mem(&[])).unwrap();
    }
    let mut expected = [0_u8; 24];
    (expected[0], expected[16]) = (1, 2);
    assert_eq!(machine.map(0).unwrap().lookup(&[0; 4]), Ok(expected.to_vec()));
}

#[test]
fn memory_is_bounded() {
    let spec = |max_entries| MapSpec {
        name: "big".into(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 4096,
        max_entries,
        ..MapSpec::default()
    };
    let machine =
        Machine::new(&Object::default(), Config { memory_limit: 1 << 20, ..common::config() }).unwrap();
    assert!(machine.create_map(&spec(200), None).is_ok());
    assert_eq!(
        machine.create_map(&spec(200), None),
        Err(MachineError::MapCreate { map: "big".into(), errno: Errno::ENOMEM })
    );
}

#[test]
fn writers_and_readers_of_a_hash_take_no_harm() {
    let machine = one(MapType::HASH, 4, 8, 64);
    let map = machine.map(0).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            scope.spawn(move || {
                for round in 0..2000_u32 {
                    let key = (round * 7 + thread) % 48;
                    match round % 4 {
                        0 | 1 => drop(map.update(&key.to_ne_bytes(), &u64::from(key).to_ne_bytes(), 0)),
                        2 => drop(map.delete(&key.to_ne_bytes())),
                        _ => drop(map.lookup(&key.to_ne_bytes())),
                    }
                }
            });
        }
    });
    for (key, value) in map.entries() {
        assert_eq!(key[..4], value[..4]);
    }
    assert!(map.entries().len() <= 48);
}
