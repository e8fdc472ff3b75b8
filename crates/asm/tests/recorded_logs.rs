// SPDX-License-Identifier: MIT OR Apache-2.0
//! The disassembler on recorded case files: the kernel style against the level-2 logs of real kernels, and every
//! style assembled back.
//!
//! The recordings are not part of the repository. `SKEP_CASES` names the directory with `*.jsonl` or
//! `*.jsonl.xz`; without it the checks are skipped, and say so. `SKEP_CASES_STEP` looks at every n-th case only
//! (default 10).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use skep_asm::disasm::{DisasmOptions, Names, Style, disassemble, print_insn};
use skep_asm::{Options, assemble};
use skep_isa::Insn;
use skep_program::{Case, MapSpec};

const RELEASE: &str = "6.18";

/// The kernel resolves names of kernel functions; a log has them.
struct Kfuncs;

impl Names for Kfuncs {
    fn kernel_symbol(&self, _at: usize) -> Option<&str> {
        Some("?")
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.to_string_lossy().ends_with(".jsonl") || p.to_string_lossy().ends_with(".jsonl.xz"))
        .collect();
    files.sort();
    files
}

fn text(file: &Path) -> String {
    let bytes = if file.extension().is_some_and(|e| e == "xz") {
        Command::new("xz").arg("-dc").arg(file).output().expect("xz runs").stdout
    } else {
        std::fs::read(file).expect("readable")
    };
    String::from_utf8(bytes).expect("UTF-8")
}

/// `(index, text)` of a log line that shows an instruction; the text ends before the state.
fn instruction(line: &str) -> Option<(usize, &str)> {
    let (number, rest) = line.trim_start().split_once(": ")?;
    let index = number.rsplit(' ').next()?.parse().ok()?;
    // `12: 01........ (db) r1 = ...`, in the list of live registers.
    let rest = match rest.split_once(' ') {
        Some((live, rest)) if live.len() == 10 && live.bytes().all(|b| b == b'.' || b.is_ascii_digit()) => {
            rest
        }
        _ => rest,
    };
    let opcode = rest.strip_prefix('(')?.get(..3)?;
    (opcode.ends_with(')') && opcode[..2].bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| (index, rest.split(';').next().unwrap_or(rest).trim_end()))
}

/// Whether the log's text shows what a load replaced: an address, or the id and name of a kernel function.
fn same(ours: &str, theirs: &str, insn: Insn) -> bool {
    if insn.is_ld_imm64() && insn.src != 0 && insn.src != 4 {
        let head = |text: &str| text.split(" = ").next().map(str::to_owned);
        return head(ours) == head(theirs) && theirs.contains(" = 0x");
    }
    if insn.is_call() && insn.src == 2 {
        return theirs.starts_with("(85) call ") && theirs.contains('#');
    }
    ours == theirs
}

/// The lines of all files, every n-th; `None` without recordings.
fn recorded() -> Option<Vec<String>> {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
        return None;
    };
    let step = std::env::var("SKEP_CASES_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let of = |file: PathBuf| text(&file).lines().step_by(step).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<String> = files(Path::new(&dir)).into_iter().flat_map(of).collect();
    assert!(!lines.is_empty(), "no cases in {}", Path::new(&dir).display());
    Some(lines)
}

#[test]
fn recorded_programs_assemble_back() {
    for (number, line) in recorded().into_iter().flatten().enumerate() {
        let Case { program, id, .. } = Case::parse(&line, number + 1).expect("a case");
        for style in Style::ALL {
            let source =
                disassemble(&program, &DisasmOptions { style, raw: true, ..DisasmOptions::default() });
            let object = match assemble(&source, &Options::default()) {
                Ok(object) => object,
                Err(e) => panic!("{id}, {style:?}:\n{}", e.render("listing", &source, false)),
            };
            let again = &object.programs[0];
            assert!(again.insns == program.insns, "{id}, {style:?}: the bytes differ");
            assert_eq!(again.prog_type, program.prog_type, "{id}");
            for (ours, theirs) in object.maps.iter().zip(program.maps.iter()) {
                let entries = |map: &MapSpec| map.entries.clone();
                assert_eq!(entries(ours), entries(theirs), "{id}, {style:?}: contents of `{}`", theirs.name);
                assert_eq!(ours.map_type, theirs.map_type, "{id}");
            }
        }
    }
}

#[test]
fn recorded_kernel_logs() {
    let Some(cases) = recorded() else { return };
    let (mut lines, mut wrong) = (0, Vec::new());
    for case in &cases {
        let case: Value = serde_json::from_str(case).expect("JSON");
        let Some(log) = case["truth"][RELEASE]["log2"].as_str() else { continue };
        let insns = skep_program::insns_from_hex(case["insns"].as_str().unwrap_or("")).expect("instructions");
        for (index, theirs) in log.lines().filter_map(instruction) {
            let Some(&insn) = insns.get(index) else { continue };
            lines += 1;
            let mut ours = String::new();
            print_insn(&mut ours, Style::Kernel, &insns, index, &Kfuncs).expect("a String takes all");
            if !same(&ours, theirs, insn) {
                wrong.push(format!("{} insn {index}: ours `{ours}`, the kernel's `{theirs}`", case["id"]));
            }
        }
    }
    println!("{lines} log lines compared");
    assert!(lines > 0, "no log lines");
    assert!(
        wrong.is_empty(),
        "{} of {lines} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}
