// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own sources, built by every clang that is here: they load, and what libbpf passes to bpf(2) for them is what
//! skep makes of them. Legacy maps, which libbpf has given up, are compared with what the source says.

mod common;

#[path = "common/clang.rs"]
mod clang;

use skep_program::{Object, Pinning, Slot};
use skep_uapi::MapType;

/// Sources and instruction set versions; what all of them exercise is said at the top of each source.
const SOURCES: &[&str] = &["xdp_tail_calls.c", "maps.c", "globals.c", "subprograms.c"];
const CPUS: &[&str] = &["-mcpu=v1", "-mcpu=v3"];

fn load(path: &std::path::Path) -> Object {
    let bytes = std::fs::read(path).expect("readable");
    skep_object::load(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn own_objects_equal_libbpf() {
    let compilers = clang::all();
    if compilers.is_empty() {
        return println!("SKIP: no clang");
    }
    let tool = match common::capture_tool() {
        Ok(tool) => tool,
        Err(why) => return println!("SKIP: {why}"),
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut programs = 0;
    for compiler in &compilers {
        for source in SOURCES {
            for cpu in CPUS {
                let path = dir.path().join("own.o");
                clang::compile(compiler, source, &[cpu], &path);
                let at = format!("{} {source} {cpu}", compiler.display());
                let captured = common::capture(tool, &path);
                assert_eq!(captured.refused, None, "{at}");
                let object = load(&path);
                for theirs in &captured.programs {
                    let ours =
                        object.program(&theirs.name).unwrap_or_else(|| panic!("{at}: {}", theirs.name));
                    assert_eq!(common::program_difference(ours, theirs), None, "{at}: {}", theirs.name);
                    programs += 1;
                }
                assert_eq!(captured.not_loaded, Vec::<String>::new(), "{at}");
                assert_eq!(common::map_difference(&object, &captured), None, "{at}");
                assert_eq!(common::btf_difference(&object, &captured), None, "{at}");
            }
        }
    }
    println!("{programs} programs equal, of {} compilers", compilers.len());
}

#[test]
fn slots_are_read() {
    let Some(compiler) = clang::all().pop() else { return println!("SKIP: no clang") };
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("own.o");
    clang::compile(&compiler, "maps.c", &[], &path);
    let object = load(&path);
    let map = |name: &str| object.maps.iter().position(|m| m.name == name).expect("map");
    let outer = &object.maps[map("outer")];
    assert_eq!(outer.slots, [(0, Slot::Map(map("inner_a"))), (2, Slot::Map(map("inner_b")))]);
    assert_eq!(outer.inner.as_ref().map(|i| i.map_type), Some(MapType::ARRAY));
    assert_eq!(object.maps[map("sessions")].pinning, Pinning::ByName);

    clang::compile(&compiler, "xdp_tail_calls.c", &[], &path);
    let object = load(&path);
    let parsers = object.maps.iter().find(|m| m.name == "parsers").expect("map");
    let program = |name: &str| Slot::Program(name.to_owned());
    assert_eq!(parsers.slots, [(0, program("ipv4")), (1, program("ipv6"))]);
}

#[test]
fn legacy_maps_are_read() {
    let Some(compiler) = clang::all().pop() else { return println!("SKIP: no clang") };
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("own.o");
    for record in [20, 28, 36] {
        clang::compile(&compiler, "legacy_maps.c", &[&format!("-DRECORD={record}")], &path);
        let object = load(&path);
        let flows = &object.maps[0];
        assert_eq!((flows.name.as_str(), flows.map_type), ("flows", MapType::HASH), "{record}");
        assert_eq!(
            (flows.key_size, flows.value_size, flows.max_entries, flows.flags),
            (4, 8, 128, 1),
            "{record}"
        );
        let program = &object.programs[0];
        assert_eq!(
            (program.name.as_str(), program.prog_type.0, program.kern_version),
            ("filter", 1, 0x060c00)
        );
        assert_eq!(program.used_maps(), [0]);
        if record != 20 {
            let inner = object.maps[1].inner.as_ref().expect("inner map");
            assert_eq!((inner.map_type, inner.max_entries), (MapType::HASH, 128), "{record}");
        }
        if record == 36 {
            assert_eq!(object.maps[1].slots, [(1, Slot::Map(0))]);
            assert_eq!(object.maps[1].pinning, Pinning::ByName);
        }
    }
}
