// SPDX-License-Identifier: MIT OR Apache-2.0
//! What llvm-objdump prints of real clang output assembles to the bytes that it prints beside it. Every clang and
//! llvm-objdump that is installed is tried; without any the test says so and passes.

use std::path::Path;
use std::process::Command;

use skep_asm::{Options, assemble};

const VERSIONS: &[u32] = &[14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The instruction lines of each section of a listing.
fn sections(listing: &str) -> Vec<String> {
    let mut sections = Vec::new();
    for line in listing.lines() {
        if line.starts_with("Disassembly of section") {
            sections.push(String::new());
        } else if let Some(section) = sections.last_mut()
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
    section.lines().flat_map(|line| line.split_whitespace().skip(1).map_while(hex).collect::<Vec<_>>()).collect()
}

#[test]
fn listings_of_clang_code_assemble_to_the_same_bytes() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objdump/instructions.c");
    let folder = std::env::temp_dir().join(format!("skep-asm-objdump-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let object = folder.join("instructions.o");
    let (source, object) = (source.to_string_lossy(), object.to_string_lossy());
    let mut checked = 0;
    for clang in VERSIONS {
        for cpu in ["v1", "v2", "v3", "v4"] {
            let cpu_flag = format!("-mcpu={cpu}");
            let args = ["-target", "bpf", "-O2", &cpu_flag, "-c", &source, "-o", &object];
            if run(&format!("clang-{clang}"), &args).is_none() {
                continue;
            }
            for objdump in VERSIONS.iter().filter(|objdump| *objdump >= clang) {
                let known = if *objdump >= 17 { "--mcpu=v4" } else { "--mcpu=v3" };
                let Some(listing) = run(&format!("llvm-objdump-{objdump}"), &["-d", known, &object]) else { continue };
                for section in sections(&listing) {
                    check(&section, &format!("clang-{clang} {cpu_flag}, llvm-objdump-{objdump}"));
                    checked += 1;
                }
            }
        }
    }
    std::fs::remove_dir_all(&folder).expect("the temporary folder");
    eprintln!("{checked} sections checked");
    if checked == 0 {
        eprintln!("SKIP: no clang with a BPF backend and llvm-objdump of the same or a later version");
    }
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
