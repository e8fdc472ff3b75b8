// SPDX-License-Identifier: MIT OR Apache-2.0
//! What llvm-objdump prints of real clang output assembles to the bytes that it prints beside it, and what `clang -S`
//! writes assembles to the code of `clang -c`. Every clang and llvm-objdump that is installed is tried; without any the
//! tests say so and pass.

use std::process::Command;

use skep_asm::{Options, assemble};
use skep_isa::Insn;
use skep_program::insns_from_bytes;

const VERSIONS: &[u32] = &[14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The instruction lines of each section of a listing, with the name of the section.
fn sections(listing: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in listing.lines() {
        if let Some(name) = line.strip_prefix("Disassembly of section ") {
            sections.push((name.trim_end_matches(':').to_owned(), String::new()));
        } else if let Some((_, section)) = sections.last_mut()
            && line.split_once(':').is_some_and(|(number, _)| number.trim().parse::<u32>().is_ok())
        {
            section.push_str(line);
            section.push('\n');
        }
    }
    sections
}

/// The bytes that a line of the listing shows.
fn shown_bytes(section: &str) -> Vec<u8> {
    let hex = |word: &str| if word.len() == 2 { u8::from_str_radix(word, 16).ok() } else { None };
    section
        .lines()
        .flat_map(|line| line.split_whitespace().skip(1).map_while(hex).collect::<Vec<_>>())
        .collect()
}

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/objdump/instructions.c");

/// Calls `check` for each installed clang and cpu generation, with the options to compile for it and the path of an
/// object; says how much was checked, or that nothing could be.
fn for_each_clang(name: &str, mut check: impl FnMut(u32, &str, &str) -> usize) {
    let folder = std::env::temp_dir().join(format!("skep-asm-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let object = folder.join("instructions.o").to_string_lossy().into_owned();
    let mut checked = 0;
    for clang in VERSIONS {
        for cpu in ["-mcpu=v1", "-mcpu=v3", "-mcpu=v4"] {
            let args = ["-target", "bpf", "-O2", cpu, "-c", SOURCE, "-o", &object];
            if run(&format!("clang-{clang}"), &args).is_some() {
                checked += check(*clang, cpu, &object);
            }
        }
    }
    std::fs::remove_dir_all(&folder).expect("the temporary folder");
    match checked {
        0 => eprintln!("SKIP: no clang with a BPF backend and llvm-objdump of the same or a later version"),
        _ => eprintln!("{checked} checked"),
    }
}

/// What the installed llvm-objdumps that know clang's output print.
fn listings(clang: u32, object: &str) -> Vec<(u32, String)> {
    let known = VERSIONS.iter().filter(|objdump| **objdump >= clang);
    known
        .filter_map(|objdump| {
            let cpu = if *objdump >= 17 { "--mcpu=v4" } else { "--mcpu=v3" };
            Some((*objdump, run(&format!("llvm-objdump-{objdump}"), &["-d", cpu, object])?))
        })
        .collect()
}

#[test]
fn listings_of_clang_code_assemble_to_the_same_bytes() {
    for_each_clang("listings", |clang, cpu, object| {
        let mut checked = 0;
        for (objdump, listing) in listings(clang, object) {
            for (_, section) in sections(&listing) {
                check(&section, &format!("clang-{clang} {cpu}, llvm-objdump-{objdump}"));
                checked += 1;
            }
        }
        checked
    });
}

/// The slot without what a relocation changes.
fn unrelocated(insn: Insn) -> Insn {
    if insn.is_call() || insn.is_ld_imm64() { Insn { src: 0, imm: 0, ..insn } } else { insn }
}

#[test]
fn assembler_text_of_clang_assembles_to_its_code() {
    for_each_clang("text", |clang, cpu, object| {
        let what = format!("clang-{clang} {cpu}");
        let args = ["-target", "bpf", "-O2", "-g", cpu, "-S", SOURCE, "-o", "-"];
        let text =
            run(&format!("clang-{clang}"), &args).expect("what compiles to an object compiles to text");
        let assembled = assemble(&text, &Options::default())
            .unwrap_or_else(|errors| panic!("{what}:\n{}", errors.render("instructions.s", &text, false)));
        let Some((_, listing)) = listings(clang, object).pop() else { return 0 };
        let sections = sections(&listing);
        assert_eq!(assembled.programs.len() + 1, sections.len(), "{what}: a program a section, and .text");
        assert_eq!(assembled.programs[0].license, "Dual MIT/GPL");
        for program in &assembled.programs {
            let (_, section) =
                sections.iter().find(|(name, _)| *name == program.section).expect("its section");
            let expected = insns_from_bytes(&shown_bytes(section)).expect("whole slots");
            let own = program.functions.get(1).map_or(program.insns.len(), |function| function.start);
            let mut second_slot = false;
            for (slot, (found, expected)) in program.insns[..own].iter().zip(&expected).enumerate() {
                if !second_slot {
                    assert_eq!(
                        unrelocated(*found),
                        unrelocated(*expected),
                        "{what}: {} slot {slot}",
                        program.name
                    );
                }
                second_slot = found.is_ld_imm64();
            }
            assert_eq!(own, expected.len(), "{what}: {}", program.name);
        }
        assembled.programs.len()
    });
}

fn check(section: &str, what: &str) {
    let object = assemble(section, &Options::default())
        .unwrap_or_else(|errors| panic!("{what}:\n{}", errors.render("listing", section, false)));
    let found = object.programs[0].bytes();
    let expected = shown_bytes(section);
    if found != expected {
        let differ = found.chunks(8).zip(expected.chunks(8)).position(|(a, b)| a != b);
        panic!("{what}: slot {differ:?} differs of\n{section}");
    }
}
