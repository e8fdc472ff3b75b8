// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects that skep writes: they load again to the same, libbpf takes them as skep does, and so does the running
//! kernel, where that may be asked.

mod common;

#[path = "common/clang.rs"]
mod clang;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use skep_isa::Insn;
use skep_object::{load, write};
use skep_program::{Function, MapSpec, Object, Pinning, Program, Requirement, Slot, SourceLine};
use skep_uapi::flags::map_create::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG};
use skep_uapi::{MapType, ProgType};

fn map(name: &str, map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec { name: name.to_owned(), map_type, key_size, value_size, max_entries, ..MapSpec::default() }
}

fn data(name: &str, bytes: &[u8], flags: u32) -> MapSpec {
    MapSpec {
        flags,
        frozen: name.starts_with(".rodata"),
        entries: vec![(vec![0; 4], bytes.to_vec())],
        ..map(name, MapType::ARRAY, 4, bytes.len() as u32, 1)
    }
}

fn maps() -> Vec<MapSpec> {
    let inner = map("inner", MapType::ARRAY, 4, 8, 4);
    vec![
        MapSpec { pinning: Pinning::ByName, flags: 1, ..map("table", MapType::HASH, 4, 8, 100) },
        inner.clone(),
        MapSpec {
            inner: Some(Box::new(MapSpec { name: "outer.inner".into(), ..inner })),
            slots: vec![(1, Slot::Map(1))],
            ..map("outer", MapType::ARRAY_OF_MAPS, 4, 4, 2)
        },
        MapSpec {
            slots: vec![(2, Slot::Program("main".into()))],
            ..map("jumps", MapType::PROG_ARRAY, 4, 4, 3)
        },
        map("ring", MapType::RINGBUF, 0, 0, 8192),
        data(".rodata", b"constant", BPF_F_RDONLY_PROG),
        data(".data.mine", &[1, 2, 3, 4, 5, 6, 7, 8], BPF_F_MMAPABLE),
        MapSpec { entries: Vec::new(), ..data(".bss", &[0; 16], 0) },
    ]
}

fn ld_imm64(dst: u8, src: u8, imm: i32, next: i32) -> [Insn; 2] {
    [Insn::new(0x18, dst, src, 0, imm), Insn::new(0, 0, 0, 0, next)]
}

/// A program that calls one function twice, takes the address of another, and names every kind of map.
fn main_program(maps: &Arc<Vec<MapSpec>>) -> Program {
    let mov = |dst, imm| Insn::new(0xb7, dst, 0, 0, imm);
    let exit = Insn::new(0x95, 0, 0, 0, 0);
    let mut insns = vec![Insn::new(0x85, 0, 1, 0, 15), Insn::new(0x85, 0, 1, 0, 14)]; // call sub, call sub
    insns.push(mov(1, 1));
    insns.extend(ld_imm64(2, 4, 14, 0)); // address of callback
    insns.extend([mov(3, 0), mov(4, 0), Insn::new(0x85, 0, 0, 0, 181)]); // bpf_loop
    insns.extend(ld_imm64(1, 5, 0, 0)); // table
    insns.extend(ld_imm64(1, 6, 5, 3)); // .rodata + 3
    insns.extend(ld_imm64(3, 6, 6, 4)); // .data.mine + 4
    insns.extend([mov(0, 2), exit]);
    insns.extend([mov(0, 7), exit]); // sub
    insns.extend([mov(0, 0), exit]); // callback
    let function = |name: &str, start| Function { name: name.into(), start, global: start == 0 };
    Program {
        name: "main".into(),
        section: "xdp".into(),
        prog_type: ProgType::XDP,
        license: "GPL".into(),
        insns,
        maps: Arc::clone(maps),
        functions: vec![function("main", 0), function("sub", 16), function("callback", 18)],
        lines: vec![
            SourceLine { insn: 0, line: 3, span: None },
            SourceLine { insn: 16, line: 9, span: None },
        ],
        ..Program::default()
    }
}

fn sample() -> Object {
    let maps = Arc::new(maps());
    let main = main_program(&maps);
    let small = Program {
        name: "small".into(),
        section: "tc".into(),
        prog_type: ProgType::SCHED_CLS,
        license: "GPL".into(),
        insns: vec![Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)],
        maps: Arc::clone(&maps),
        functions: vec![Function { name: "small".into(), start: 0, global: true }],
        ..Program::default()
    };
    Object { programs: vec![main, small], maps }
}

/// Names of programs, their sections and instructions.
fn code(object: &Object) -> Vec<(&str, &str, ProgType, &[Insn])> {
    object.programs.iter().map(|p| (p.name.as_str(), p.section.as_str(), p.prog_type, &p.insns[..])).collect()
}

/// Maps without what BTF adds.
fn plain(object: &Object) -> Vec<MapSpec> {
    object.maps.iter().map(|m| MapSpec { btf_key: 0, btf_value: 0, ..m.clone() }).collect()
}

#[test]
fn loads_again_to_the_same() {
    let object = sample();
    let read = load(&write(&object).expect("writes")).expect("loads");
    assert_eq!(code(&read), code(&object));
    assert_eq!(plain(&read), *object.maps);
    let main = &read.programs[0];
    assert_eq!(main.functions.iter().map(|f| f.start).collect::<Vec<_>>(), [0, 16, 18]);
    assert_eq!(main.license, "GPL");
    assert_eq!((main.lines[0].line, main.lines[1].line), (3, 9));
    assert_eq!(main.func_info.records().count(), 3);
}

#[test]
fn libbpf_takes_what_is_written() {
    let tool = match common::capture_tool() {
        Ok(tool) => tool,
        Err(why) => return println!("SKIP: {why}"),
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("written.o");
    std::fs::write(&path, write(&sample()).expect("writes")).expect("written");
    compare(tool, &path);
}

fn compare(tool: &Path, path: &Path) {
    let captured = common::capture(tool, path);
    assert_eq!(captured.refused, None);
    assert_eq!(captured.not_loaded, Vec::<String>::new());
    let object = load(&std::fs::read(path).expect("readable")).expect("loads");
    assert_eq!(captured.programs.len(), object.programs.len());
    for theirs in &captured.programs {
        let ours = object.program(&theirs.name).expect("the same programs");
        assert_eq!(common::program_difference(ours, theirs), None, "{}", theirs.name);
    }
    assert_eq!(common::map_difference(&object, &captured), None);
    assert_eq!(common::btf_difference(&object, &captured), None);
}

/// `bpftool prog load` on an object without pinned maps: the verifier must take it.
#[test]
fn the_kernel_takes_what_is_written() {
    let pin = format!("/sys/fs/bpf/skep_test_{}", std::process::id());
    let mut object = sample();
    object.maps =
        Arc::new(object.maps.iter().map(|m| MapSpec { pinning: Pinning::None, ..m.clone() }).collect());
    object.programs.iter_mut().for_each(|p| p.maps = Arc::clone(&object.maps));
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("written.o");
    std::fs::write(&path, write(&object).expect("writes")).expect("written");
    let run = Command::new("bpftool").args(["prog", "loadall"]).arg(&path).arg(&pin).output();
    let _ = std::fs::remove_dir_all(&pin);
    match run {
        Err(e) => println!("SKIP: bpftool: {e}"),
        Ok(out) if out.status.success() => {}
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            let denied = ["Operation not permitted", "Permission denied", "bpf file system", "mount"];
            assert!(denied.iter().any(|d| text.contains(d)), "{text}");
            println!("SKIP: not allowed to load programs here");
        }
    }
}

#[test]
fn compiled_objects_survive() {
    let Some(compiler) = clang::all().pop() else { return println!("SKIP: no clang") };
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("own.o");
    for source in ["xdp_tail_calls.c", "maps.c", "globals.c", "subprograms.c"] {
        clang::compile(&compiler, source, &[], &path);
        let object = load(&std::fs::read(&path).expect("readable")).expect("loads");
        let again = load(&write(&object).expect("writes")).unwrap_or_else(|e| panic!("{source}: {e}"));
        assert_eq!(code(&again), code(&object), "{source}");
        let lines = |o: &Object| o.programs.iter().map(|p| p.lines.clone()).collect::<Vec<_>>();
        assert_eq!(lines(&again), lines(&object), "{source}");
        assert_eq!(again.maps.len(), object.maps.len(), "{source}");
        for (a, b) in again.maps.iter().zip(object.maps.iter()) {
            assert_eq!(
                (a.map_type, a.key_size, a.value_size),
                (b.map_type, b.key_size, b.value_size),
                "{source}"
            );
            assert_eq!(
                (a.max_entries, a.flags, a.map_extra),
                (b.max_entries, b.flags, b.map_extra),
                "{source}"
            );
            assert_eq!((&a.entries, &a.slots, a.pinning), (&b.entries, &b.slots, b.pinning), "{source}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let error = |change: fn(&mut Program)| {
        let mut object = sample();
        change(&mut object.programs[0]);
        write(&object).expect_err("must be refused").to_string()
    };
    let open = error(|p| p.requirements.push(Requirement::KernelSymbol("bpf_rdonly_cast".into())));
    assert!(open.contains("bpf_rdonly_cast"), "{open}");
    let section = error(|p| p.section = "license".into());
    assert!(section.contains("`license`"), "{section}");
    let mut object = sample();
    let mut maps = (*object.maps).clone();
    maps[0].entries.push((vec![0; 4], vec![0; 8]));
    object.maps = Arc::new(maps);
    let contents = write(&object).expect_err("must be refused").to_string();
    assert!(contents.contains("`table`"), "{contents}");
}
