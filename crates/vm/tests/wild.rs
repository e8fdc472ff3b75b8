// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that no verifier would pass: every one ends in `exit` or a trap, in both modes, and the host is none
//! the worse. Also arithmetic against its pure definition, instruction by instruction.

use std::sync::Arc;

use proptest::prelude::*;
use skep_isa::{ImmField, Insn, OffField, Op, RegField, Source, TABLE, eval};
use skep_program::{MapSpec, Object, Program};
use skep_uapi::{HelperId, MapType};
use skep_vm::{Config, Engine, Environment, Input, Machine, TrapKind};

fn object(insns: Vec<Insn>, maps: Vec<MapSpec>) -> Object {
    let maps = Arc::new(maps);
    Object::single(Program { name: "wild".into(), insns, maps, ..Program::default() })
}

fn maps() -> Vec<MapSpec> {
    let spec = |map_type, key_size, value_size, max_entries, flags| MapSpec {
        name: "m".into(),
        map_type,
        key_size,
        value_size,
        max_entries,
        flags,
        ..MapSpec::default()
    };
    vec![
        spec(MapType::ARRAY, 4, 8, 1, 0),
        spec(MapType::HASH, 8, 16, 4, 0),
        spec(MapType::LRU_HASH, 8, 16, 4, 0),
        spec(MapType::LPM_TRIE, 8, 8, 4, 1),
        spec(MapType::QUEUE, 0, 8, 4, 0),
        spec(MapType::RINGBUF, 0, 0, 4096, 0),
        spec(MapType::PERF_EVENT_ARRAY, 4, 4, 2, 0),
        spec(MapType::PROG_ARRAY, 4, 4, 2, 0),
        spec(MapType::PERCPU_ARRAY, 4, 8, 2, 0),
    ]
}

/// Engines that any program is safe in.
const MODES: &[(Engine, bool)] = &[
    (Engine::Interpreter, false),
    (Engine::Interpreter, true),
    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
    (Engine::Jit, false),
];

/// A legal encoding of a random row. Slot numbers come out right later.
fn insn() -> impl Strategy<Value = Vec<Insn>> {
    let value = prop_oneof![
        4 => -600_i32..600,
        2 => prop::sample::select(vec![0, 1, -1, i32::MIN, i32::MAX, 0x0100_0000, 0x0100_2000]),
        1 => any::<i32>(),
    ];
    (0..TABLE.len(), 0..11_u8, 0..11_u8, -20_i16..20, value, 0..220_u32).prop_map(
        |(row, dst, src, off, imm, helper)| {
            let row = &TABLE[row];
            let mut insn = row.template();
            match row.dst {
                RegField::Read => insn.dst = dst,
                RegField::Write | RegField::ReadWrite => insn.dst = dst % 10,
                RegField::Zero | RegField::Is(_) => {}
            }
            match row.src {
                RegField::Read => insn.src = src,
                RegField::Write | RegField::ReadWrite => insn.src = src % 10,
                RegField::Zero | RegField::Is(_) => {}
            }
            if matches!(row.off, OffField::Mem | OffField::Jump | OffField::BtfFd) {
                insn.off = off;
            }
            match row.imm {
                ImmField::Zero | ImmField::Is(_) => {}
                ImmField::Helper => insn.imm = helper as i32,
                ImmField::Jump | ImmField::Func => insn.imm = i32::from(off),
                _ => insn.imm = imm,
            }
            match row.op {
                Op::LdImm64(kind) => {
                    let mut second = Insn::default();
                    if kind.is_map() {
                        insn.imm = imm.rem_euclid(9);
                    } else if kind == skep_isa::Imm64::Func {
                        insn.imm = i32::from(off);
                    } else {
                        second.imm = imm % 2;
                    }
                    vec![insn, second]
                }
                _ => vec![insn],
            }
        },
    )
}

/// A helper call with arguments that it may take for real: a map, the stack, the memory, small numbers.
fn call() -> impl Strategy<Value = Vec<Insn>> {
    let argument = || (0..5_u8, -8_i32..72);
    (0..9_i32, 0..220_i32, prop::array::uniform5(argument())).prop_map(|(map, helper, arguments)| {
        let mut insns = Vec::new();
        for (reg, (kind, number)) in (1..).zip(arguments) {
            match kind {
                0 => insns.extend([Insn::new(0x18, reg, 5, 0, map), Insn::default()]),
                1 => insns.extend([Insn::new(0xbf, reg, 10, 0, 0), Insn::new(0x07, reg, 0, 0, -64)]),
                2 => insns.push(Insn::new(0xbf, reg, 6, 0, 0)),
                // What the last helper returned.
                3 => insns.push(Insn::new(0xbf, reg, 0, 0, 0)),
                _ => insns.push(Insn::new(0xb7, reg, 0, 0, number)),
            }
        }
        insns.push(Insn::new(0x85, 0, 0, 0, helper));
        insns
    })
}

/// Sends every jump to an instruction of the program.
fn land(parts: Vec<Vec<Insn>>) -> Vec<Insn> {
    let mut starts = Vec::new();
    let mut insns: Vec<Insn> = Vec::new();
    for part in parts {
        starts.push(insns.len());
        let mut at = 0;
        while at < part.len() {
            at += skep_isa::slots(part[at]);
            starts.extend((at < part.len()).then_some(insns.len() + at));
        }
        insns.extend(part);
    }
    for &at in &starts {
        let Ok(decoded) = skep_isa::decode(&insns, at) else { continue };
        let Some(distance) = decoded.target() else { continue };
        let target = starts[(at as i64 + distance).rem_euclid(starts.len() as i64) as usize];
        let distance = target as i64 - at as i64 - 1;
        match decoded.row.off {
            OffField::Jump => insns[at].off = distance as i16,
            _ => insns[at].imm = distance as i32,
        }
    }
    insns
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn any_legal_program_ends(parts in prop::collection::vec(prop_oneof![4 => insn().boxed(), 1 => call().boxed()], 1..40), memory in prop::collection::vec(any::<u8>(), 0..64)) {
        let keep_memory = vec![Insn::new(0xbf, 6, 1, 0, 0)];
        let object = object(land([vec![keep_memory], parts].concat()), maps());
        let mut interpreted = None;
        for (engine, checked) in MODES.iter().copied() {
            let environment = Environment::reproducible();
            let config = Config { engine, budget: Some(20_000), checked, environment, ..Config::default() };
            // What refers to maps or the kernel in a way that has no meaning here is refused.
            let Ok(machine) = Machine::new(&object, config) else { return Ok(()) };
            let outcome = machine.thread().unwrap().run(0, Input::Mem(&memory)).unwrap();
            if !checked {
                let expected = interpreted.get_or_insert_with(|| outcome.clone());
                prop_assert_eq!(&outcome, &*expected);
            }
            prop_assert!(outcome.insn_count <= 20_000 + object.programs[0].insns.len() as u64);
            prop_assert_eq!(outcome.data_out.len(), memory.len());
            if let Some(trap) = outcome.trap {
                let at = trap.at.expect("a location").insn;
                prop_assert!(at < object.programs[0].insns.len());
            }
        }
    }

    #[test]
    fn any_slots_are_run_or_refused(bytes in prop::collection::vec(any::<[u8; 8]>(), 0..12)) {
        let insns = bytes.into_iter().map(Insn::from_bytes).collect();
        let config = Config { budget: Some(1000), ..Config::default() };
        match Machine::new(&object(insns, maps()), config) {
            Ok(machine) => {
                machine.thread().unwrap().run(0, Input::Mem(&[])).unwrap();
            }
            Err(error) => prop_assert!(error.to_string().contains("wild"), "{}", error),
        }
    }

    #[test]
    fn arithmetic_is_that_of_the_isa(row in 0..TABLE.len(), dst: u64, src: u64, imm: i32, jump_taken: bool) {
        let row = &TABLE[row];
        let mut insn = row.template();
        (insn.dst, insn.imm) = (1, if row.imm == ImmField::Value { imm } else { insn.imm });
        if row.src == RegField::Read {
            insn.src = 2;
        }
        let operand = |source| if source == Source::Imm { i64::from(imm) as u64 } else { src };
        let expected = match row.op {
            Op::Alu(op, width, source) => eval::alu(op, width, dst, operand(source)),
            Op::Neg(width) => eval::neg(width, dst),
            Op::Movsx(width, size) => eval::movsx(width, size, src),
            Op::Endian(op, size) => eval::endian(op, size, dst),
            Op::Jmp(cond, width, source) => {
                insn.off = 1;
                u64::from(eval::cond(cond, width, dst, operand(source)))
            }
            _ => return Ok(()),
        };
        // Equal operands take other branches.
        let dst = if jump_taken && matches!(row.op, Op::Jmp(..)) { src } else { dst };
        let expected = match row.op {
            Op::Jmp(cond, width, source) => u64::from(eval::cond(cond, width, dst, operand(source))),
            _ => expected,
        };
        let constant = |reg, value: u64| {
            [Insn::new(0x18, reg, 0, 0, value as i32), Insn { imm: (value >> 32) as i32, ..Insn::default() }]
        };
        let mut insns = [constant(1, dst), constant(2, src)].concat();
        if matches!(row.op, Op::Jmp(..)) {
            // r0 = 1; if .. skip; r0 = 0
            insns.extend([Insn::new(0xb7, 0, 0, 0, 1), insn, Insn::new(0xb7, 0, 0, 0, 0)]);
        } else {
            insns.extend([insn, Insn::new(0xbf, 0, 1, 0, 0)]);
        }
        insns.push(Insn::new(0x95, 0, 0, 0, 0));
        let object = object(insns, Vec::new());
        for (engine, checked) in MODES.iter().copied() {
            let machine = Machine::new(&object, Config { engine, checked, ..Config::default() }).unwrap();
            let outcome = machine.thread().unwrap().run(0, Input::Mem(&[])).unwrap();
            prop_assert_eq!(outcome.trap, None);
            prop_assert_eq!(outcome.r0, expected, "{} {:?}", row.mnemonic, engine);
        }
    }
}

#[test]
fn illegal_programs_are_refused_with_their_place() {
    let exit = Insn::new(0x95, 0, 0, 0, 0);
    let cases = [
        (vec![], "program `wild`, the program is empty"),
        (vec![Insn::new(0xff, 0, 0, 0, 0)], "program `wild`, instruction 0: unknown opcode ff"),
        (vec![exit, Insn::new(0xb7, 11, 0, 0, 0)], "program `wild`, instruction 1: r11 does not exist"),
        (vec![Insn::new(0x05, 0, 0, 7, 0), exit], "program `wild`, instruction 0: jump to slot 8"),
        (vec![Insn::new(0x05, 0, 0, -3, 0), exit], "program `wild`, instruction 0: jump to slot -2"),
        (
            vec![Insn::new(0x05, 0, 0, 1, 0), Insn::new(0x18, 1, 0, 0, 0), Insn::default(), exit],
            "program `wild`, instruction 0: jump to slot 2, where no instruction starts",
        ),
        (
            vec![Insn::new(0x18, 1, 5, 0, 9), Insn::default(), exit],
            "program `wild`, instruction 0: map index 9 is out of range: the object has 9 maps",
        ),
        (
            vec![Insn::new(0x18, 1, 6, 0, 0), Insn { imm: 8, ..Insn::default() }, exit],
            "program `wild`, instruction 0: no address at offset 8 in the value of map `m`",
        ),
    ];
    for (insns, message) in cases {
        let error = Machine::new(&object(insns, maps()), Config::default()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn maps_that_cannot_be_are_named() {
    let spec = |map_type, max_entries| MapSpec {
        name: "m".into(),
        map_type,
        key_size: 4,
        value_size: 8,
        max_entries,
        ..MapSpec::default()
    };
    let error = |spec| Machine::new(&object(vec![], vec![spec]), Config::default()).unwrap_err().to_string();
    assert_eq!(error(spec(MapType::SOCKMAP, 1)), "map `m`: unsupported map type sockmap");
    assert_eq!(error(spec(MapType(99), 1)), "map `m`: unsupported map type 99");
    assert!(error(spec(MapType::ARRAY, 0)).starts_with("map `m`: cannot be created: EINVAL"));
    assert!(error(spec(MapType::ARRAY, 1 << 28)).starts_with("map `m`: cannot be created: ENOMEM"));
}

#[test]
fn helpers_that_are_missing_have_names() {
    let insns = vec![Insn::new(0x85, 0, 0, 0, HelperId::SK_ASSIGN.0 as i32), Insn::new(0x95, 0, 0, 0, 0)];
    let machine = Machine::new(&object(insns, vec![]), Config::default()).unwrap();
    let outcome = machine.thread().unwrap().run(0, Input::Mem(&[])).unwrap();
    assert_eq!(outcome.trap.unwrap().kind, TrapKind::UnsupportedHelper("sk_assign"));
}
