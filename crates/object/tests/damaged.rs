// SPDX-License-Identifier: MIT OR Apache-2.0
//! Damaged and foreign files end with an error that says where, never with a panic.

use std::sync::Arc;

use proptest::prelude::*;
use skep_isa::Insn;
use skep_object::{Problem, load, write};
use skep_program::{Function, MapSpec, Object, Program, Slot};
use skep_uapi::flags::map_create::BPF_F_RDONLY_PROG;
use skep_uapi::{MapType, ProgType};

/// An object with a bit of everything: maps with slots, data, a subprogram, BTF and line information.
fn valid() -> Vec<u8> {
    let inner = MapSpec {
        name: "inner".into(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapSpec::default()
    };
    let outer = MapSpec {
        name: "outer".into(),
        map_type: MapType::ARRAY_OF_MAPS,
        value_size: 4,
        inner: Some(Box::new(inner.clone())),
        slots: vec![(0, Slot::Map(0))],
        ..inner.clone()
    };
    let rodata = MapSpec {
        name: ".rodata".into(),
        flags: BPF_F_RDONLY_PROG,
        frozen: true,
        entries: vec![(vec![0; 4], b"constant".to_vec())],
        ..inner.clone()
    };
    let maps = Arc::new(vec![inner, outer, rodata]);
    let function = |name: &str, start| Function { name: name.into(), start, global: start == 0 };
    let program = Program {
        name: "main".into(),
        section: "xdp".into(),
        prog_type: ProgType::XDP,
        license: "GPL".into(),
        insns: vec![
            Insn::new(0x18, 1, 5, 0, 1),
            Insn::default(),
            Insn::new(0x18, 2, 6, 0, 2),
            Insn::new(0, 0, 0, 0, 4),
            Insn::new(0x85, 0, 1, 0, 1),
            Insn::new(0x95, 0, 0, 0, 0),
            Insn::new(0xb7, 0, 0, 0, 2),
            Insn::new(0x95, 0, 0, 0, 0),
        ],
        maps: Arc::clone(&maps),
        functions: vec![function("main", 0), function("sub", 6)],
        ..Program::default()
    };
    write(&Object { programs: vec![program], maps }).expect("writes")
}

fn problem(bytes: &[u8]) -> Problem {
    *load(bytes).expect_err("must be refused").problem
}

#[test]
fn every_truncation_is_refused() {
    let bytes = valid();
    // The writer puts the section table last.
    for len in 0..bytes.len() {
        assert!(load(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
}

#[test]
fn foreign_files_are_named() {
    let changed = |at: usize, byte: u8| {
        let mut bytes = valid();
        bytes[at] = byte;
        problem(&bytes)
    };
    assert_eq!(problem(b""), Problem::NotElf);
    assert_eq!(problem(b"#!/bin/sh"), Problem::NotElf);
    assert_eq!(changed(4, 1), Problem::Class32);
    assert_eq!(changed(5, 2), Problem::BigEndian);
    assert!(matches!(changed(18, 62), Problem::Machine { number: 62, .. }));
    assert!(matches!(changed(16, 2), Problem::FileType(_)));
    let mut old = valid();
    old[18] = 0; // EM_NONE, of old clang
    assert!(load(&old).is_ok());
}

/// Sections that claim to be of another kind (among them empty ones that are read as relocations) are errors at worst.
#[test]
fn no_kind_of_section_panics() {
    let bytes = valid();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize;
    let count = usize::from(u16::from_le_bytes([bytes[60], bytes[61]]));
    let headers: Vec<usize> = (0..count).map(|i| word(40) + 64 * i).collect();
    for &header in &headers {
        for kind in 0..20 {
            for size in [0, word(header + 32)] {
                let mut changed = bytes.clone();
                changed[header + 4] = kind;
                changed[header + 32..header + 40].copy_from_slice(&size.to_le_bytes());
                let _ = load(&changed);
            }
        }
    }
    // Section 0 has no contents, whatever its header says.
    let relocations: Vec<usize> = headers.iter().copied().filter(|h| bytes[h + 4] == 9).collect();
    assert!(!relocations.is_empty(), "the object has relocations");
    for header in relocations {
        let mut changed = bytes.clone();
        changed.copy_within(header..header + 64, headers[0]);
        let _ = load(&changed);
    }
}

#[test]
fn errors_say_where() {
    let mut bytes = valid();
    // The section that the program is in: an odd symbol value makes its function no whole instructions.
    let name = bytes.windows(5).position(|w| w == b"main\0").expect("symbol name");
    assert!(name > 0);
    let text = "neither a 64-bit load nor a call";
    // Turn the first 64-bit load into a move: its relocation is then against the wrong instruction.
    let load_insn = Insn::new(0x18, 1, 0, 0, 0).to_bytes();
    let at = bytes.windows(8).position(|w| w == load_insn).expect("instruction");
    bytes[at] = 0xb7;
    let error = load(&bytes).expect_err("must be refused");
    assert_eq!(error.place.section.as_ref().map(|s| s.1.as_str()), Some("xdp"));
    assert_eq!(error.place.offset, Some(0));
    assert_eq!(error.place.symbol.as_deref(), Some("outer"));
    assert!(error.to_string().contains(text), "{error}");
}

proptest! {
    /// Bytes changed anywhere.
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = valid();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = load(&bytes);
    }

    /// Whole words replaced by values that overflow, in aligned places, where lengths and offsets are.
    #[test]
    fn extreme_words_never_panic(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![0, 1, 7, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, u32::MAX])),
            1..6,
        )
    ) {
        let mut bytes = valid();
        for (index, word) in changes {
            let at = index.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let _ = load(&bytes);
    }

    /// Parts cut out or doubled.
    #[test]
    fn moved_parts_never_panic(from in any::<prop::sample::Index>(), len in 0..200_usize, double in any::<bool>()) {
        let mut bytes = valid();
        let at = from.index(bytes.len());
        let part: Vec<u8> = bytes[at..].iter().take(len).copied().collect();
        if double {
            bytes.splice(at..at, part);
        } else {
            bytes.drain(at..at + part.len());
        }
        let _ = load(&bytes);
    }
}
