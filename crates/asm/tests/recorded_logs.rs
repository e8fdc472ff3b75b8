// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel style against what real kernels printed: the level-2 logs in recorded case files.
//!
//! The recordings are not part of the repository. `SKEP_CASES` names the directory with `*.jsonl` or
//! `*.jsonl.xz`; without it the check is skipped, and says so. `SKEP_CASES_STEP` looks at every n-th case only
//! (default 10).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use skep_asm::disasm::{Names, Style, print_insn};
use skep_isa::Insn;

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

#[test]
fn recorded_kernel_logs() {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
        return;
    };
    let step = std::env::var("SKEP_CASES_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let (mut lines, mut wrong) = (0, Vec::new());
    for file in files(Path::new(&dir)) {
        let text = text(&file);
        for case in text.lines().step_by(step) {
            let case: Value = serde_json::from_str(case).expect("JSON");
            let Some(log) = case["truth"][RELEASE]["log2"].as_str() else { continue };
            let insns =
                skep_program::insns_from_hex(case["insns"].as_str().unwrap_or("")).expect("instructions");
            for (index, theirs) in log.lines().filter_map(instruction) {
                let Some(&insn) = insns.get(index) else { continue };
                lines += 1;
                let mut ours = String::new();
                print_insn(&mut ours, Style::Kernel, &insns, index, &Kfuncs).expect("a String takes all");
                if !same(&ours, theirs, insn) {
                    wrong
                        .push(format!("{} insn {index}: ours `{ours}`, the kernel's `{theirs}`", case["id"]));
                }
            }
        }
    }
    println!("{lines} log lines compared");
    assert!(lines > 0, "no log lines in {}", Path::new(&dir).display());
    assert!(
        wrong.is_empty(),
        "{} of {lines} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}
