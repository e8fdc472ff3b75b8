// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the disassembler prints, in every style, assembles back to the same bytes.

mod generate;

use std::sync::Arc;

use proptest::prelude::*;
use skep_asm::disasm::{DisasmOptions, Style, Targets, disassemble, disassemble_object, print_insn};
use skep_asm::{Options, assemble};
use skep_isa::{ImmField, Insn, OffField, TABLE};
use skep_program::{BtfRef, BtfRefKind, Function, MapSpec, Object, Pinning, Program, Slot};
use skep_uapi::{AttachType, MapType, ProgType, flags};

fn ways() -> impl Iterator<Item = DisasmOptions<'static>> {
    Style::ALL.into_iter().flat_map(|style| {
        [(Targets::Labels, false), (Targets::Offsets, true)].map(|(targets, raw)| DisasmOptions {
            style,
            targets,
            raw,
            source: None,
        })
    })
}

fn again(source: &str) -> Object {
    match assemble(source, &Options::default()) {
        Ok(object) => object,
        Err(e) => panic!("{}", e.render("listing", source, false)),
    }
}

#[track_caller]
fn check(program: &Program) {
    for options in ways() {
        let source = disassemble(program, &options);
        let object = again(&source);
        let got = &object.programs[0].insns;
        if let Some(at) = (0..program.insns.len()).find(|&at| got.get(at) != program.insns.get(at)) {
            let mut text = String::new();
            print_insn(&mut text, options.style, &program.insns, at, &()).expect("a String takes all");
            panic!(
                "{options:?} slot {at}: `{text}` is {:?}, came back as {:?}",
                program.insns[at],
                got.get(at)
            );
        }
        assert_eq!(got.len(), program.insns.len(), "{options:?}\n{source}");
    }
}

fn program(insns: Vec<Insn>) -> Program {
    Program {
        name: "main".to_owned(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".to_owned(),
        insns,
        ..Program::default()
    }
}

#[test]
fn every_row_with_boundary_operands() {
    for insns in generate::boundary_instructions().chunks(2000) {
        check(&program(insns.concat()));
    }
}

/// Without names and directives: the text of one instruction is enough.
#[test]
fn every_row_alone() {
    for style in [Style::Llvm, Style::Mnemonic] {
        let (mut text, mut all) = (String::new(), Vec::new());
        for insns in generate::boundary_instructions().iter().step_by(7) {
            print_insn(&mut text, style, insns, 0, &()).expect("a String takes all");
            text.push('\n');
            all.extend_from_slice(insns);
        }
        assert_eq!(again(&text).programs[0].insns, all);
    }
}

/// A random legal instruction; jumps stay within a few slots, so that many lead to instructions of a program.
fn instruction() -> impl Strategy<Value = Vec<Insn>> {
    (
        0..TABLE.len(),
        any::<(prop::sample::Index, prop::sample::Index)>(),
        any::<(i16, i32, i32)>(),
        -12i16..12,
    )
        .prop_map(|(row, (dst, src), (off, imm, high), near)| {
            let row = &TABLE[row];
            let (dsts, srcs) = (generate::registers(row.dst), generate::registers(row.src));
            let off = match row.off {
                OffField::Zero | OffField::Is(_) => row.template().off,
                OffField::Jump => near,
                OffField::Mem | OffField::BtfFd => off,
            };
            let imm = match row.imm {
                ImmField::Zero | ImmField::Is(_) => row.template().imm,
                ImmField::Jump | ImmField::Func => near.into(),
                // Half of the numbers are those that helpers, maps and function distances have.
                _ if high % 2 == 0 => imm % 12,
                _ => imm,
            };
            let mut insns = vec![Insn::new(row.code, *dst.get(&dsts), *src.get(&srcs), off, imm)];
            if row.slots() == 2 {
                insns.push(Insn::new(0, 0, 0, 0, high));
                if !generate::is_legal(&insns) {
                    insns[1].imm = 0;
                }
            }
            insns
        })
}

/// Any slot at all.
fn any_slot() -> impl Strategy<Value = Vec<Insn>> {
    any::<[u8; 8]>().prop_map(|bytes| vec![Insn::from_bytes(bytes)])
}

proptest! {
    #[test]
    fn random_programs(insns in prop::collection::vec(instruction(), 1..40)) {
        check(&program(insns.concat()));
    }

    #[test]
    fn any_bytes(insns in prop::collection::vec(prop_oneof![instruction(), any_slot()], 1..20)) {
        check(&program(insns.concat()));
    }

    #[test]
    fn odd_names(names in prop::collection::vec(".{0,12}", 3), at in 0usize..4) {
        let mut p = program(vec![
            Insn::new(0x85, 0, 1, 0, 1),
            Insn::new(0x95, 0, 0, 0, 0),
            Insn::new(0xb7, 0, 0, 0, 5),
            Insn::new(0x95, 0, 0, 0, 0),
        ]);
        p.name.clone_from(&names[0]);
        p.functions = vec![Function { name: names[1].clone(), start: at, global: false }];
        p.maps = Arc::new(vec![MapSpec { name: names[2].clone(), map_type: MapType::HASH, ..MapSpec::default() }]);
        check(&p);
    }
}

/// Function names that mean something else to the assembler.
#[test]
fn function_names_that_are_words() {
    let words = [
        "r1",
        "w1",
        "fp",
        "pc",
        "local",
        "kfunc",
        "exit",
        "call",
        "if",
        "goto",
        "map",
        "ll",
        "L2",
        "frame_it",
        "safe",
        "func",
        "bpf_map_lookup_elem",
        "main",
        "s",
        "lock",
    ];
    for word in words {
        let mut p = program(vec![
            Insn::new(0x85, 0, 1, 0, 1),
            Insn::new(0x95, 0, 0, 0, 0),
            Insn::new(0xb7, 0, 0, 0, 5),
            Insn::new(0x05, 0, 0, -2, 0),
            Insn::new(0x95, 0, 0, 0, 0),
        ]);
        p.functions = vec![
            Function { name: "main".to_owned(), start: 0, global: true },
            Function { name: word.to_owned(), start: 2, global: false },
        ];
        check(&p);
    }
}

fn object() -> Object {
    let inner = MapSpec {
        name: "inner".to_owned(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapSpec::default()
    };
    let maps = Arc::new(vec![
        MapSpec {
            name: "counts".to_owned(),
            map_type: MapType::HASH,
            key_size: 4,
            value_size: 16,
            max_entries: 64,
            flags: flags::map_create::BPF_F_NO_PREALLOC | 1 << 30,
            entries: vec![(vec![1, 0, 0, 0], (1..=12).chain([0; 4]).collect())],
            pinning: Pinning::ByName,
            ..MapSpec::default()
        },
        MapSpec {
            name: ".rodata".to_owned(),
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: 3,
            max_entries: 1,
            flags: flags::map_create::BPF_F_RDONLY_PROG,
            entries: vec![(vec![0; 4], vec![7, 8, 9])],
            frozen: true,
            ..MapSpec::default()
        },
        MapSpec {
            name: "jumps".to_owned(),
            map_type: MapType::PROG_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 2,
            slots: vec![(1, Slot::Program("second".to_owned()))],
            ..MapSpec::default()
        },
        MapSpec {
            name: "outer".to_owned(),
            map_type: MapType::HASH_OF_MAPS,
            key_size: 4,
            value_size: 4,
            max_entries: 2,
            inner: Some(Box::new(inner)),
            slots: vec![(0, Slot::Map(0))],
            ..MapSpec::default()
        },
    ]);
    let wide = |src, low, high| [Insn::new(0x18, 1, src, 0, low), Insn::new(0, 0, 0, 0, high)];
    let mut first = program(
        [
            wide(5, 0, 0),
            wide(6, 1, 2),
            wide(5, 9, 0),
            wide(1, 3, 0),
            wide(2, 3, 4),
            wide(4, 1, 0),
            wide(3, 0, 0),
        ]
        .into_iter()
        .flatten()
        .chain([Insn::new(0x85, 0, 2, 0, 0), Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)])
        .collect(),
    );
    first.name = "first".to_owned();
    first.section = "kprobe/vfs_read".to_owned();
    first.prog_type = ProgType::KPROBE;
    first.attach_name = Some("vfs_read".to_owned());
    first.maps = Arc::clone(&maps);
    first.btf_refs = vec![
        BtfRef { insn: 12, kind: BtfRefKind::Ksym, name: "runqueues".to_owned(), weak: false },
        BtfRef { insn: 14, kind: BtfRefKind::Kfunc, name: "bpf_rcu_read_lock".to_owned(), weak: false },
    ];
    let mut second = program(vec![Insn::new(0xb7, 0, 0, 0, 1), Insn::new(0x95, 0, 0, 0, 0)]);
    second.name = "second".to_owned();
    second.prog_type = ProgType::CGROUP_SOCK_ADDR;
    second.expected_attach_type = AttachType::CGROUP_INET6_BIND;
    second.prog_flags = flags::prog_load::BPF_F_SLEEPABLE;
    second.maps = Arc::clone(&maps);
    Object { programs: vec![first, second], maps }
}

#[test]
fn maps_and_program_properties() {
    let object = object();
    for options in ways() {
        let source = disassemble_object(&object, &options);
        let other = again(&source);
        assert_eq!(other.maps, object.maps, "{source}");
        for (ours, other) in object.programs.iter().zip(&other.programs) {
            assert_eq!(other.insns, ours.insns, "{source}");
            assert_eq!(other.name, ours.name);
            assert_eq!(other.license, ours.license);
            assert_eq!(other.prog_type, ours.prog_type, "{source}");
            assert_eq!(other.expected_attach_type, ours.expected_attach_type, "{source}");
            assert_eq!(other.prog_flags, ours.prog_flags, "{source}");
        }
    }
}
