// SPDX-License-Identifier: MIT OR Apache-2.0
//! The LLVM style against LLVM's own disassembler, over every row of the table. Skipped, and said so, where there
//! is no `llvm-mc` with a BPF target.

mod generate;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use skep_asm::disasm::{Style, print_insn};
use skep_isa::{CallKind, Imm64, Insn, Op};

/// Release and name of the newest `llvm-mc` at hand.
fn llvm_mc() -> Option<(u32, String)> {
    let versioned = (19..40).rev().map(|n| format!("llvm-mc-{n}"));
    versioned.chain(["llvm-mc".to_owned()]).find_map(|name| {
        let text = String::from_utf8(Command::new(&name).arg("--version").output().ok()?.stdout).ok()?;
        let version = text.split("LLVM version ").nth(1)?.split('.').next()?.parse().ok()?;
        (text.contains("bpfel") && version >= 19).then_some((version, name))
    })
}

/// Whether LLVM's text holds all operands and it knows the instruction.
fn comparable(insns: &[Insn], release: u32) -> bool {
    let Ok(decoded) = skep_isa::decode(insns, 0) else { return false };
    match decoded.op() {
        Op::LdInd(_) => insns[0].imm == 0,
        Op::LdImm64(kind) => kind == Imm64::Const,
        Op::Call(kind) => kind == CallKind::Helper && insns[0].imm >= 0,
        Op::LoadAcquire(_) | Op::StoreRelease(_) => release >= 20,
        _ => true,
    }
}

#[test]
fn same_as_llvm() {
    let Some((release, program)) = llvm_mc() else {
        eprintln!("SKIP: no llvm-mc of LLVM 19 or later with a BPF target");
        return;
    };
    let all: Vec<Vec<Insn>> =
        generate::boundary_instructions().into_iter().filter(|i| comparable(i, release)).collect();
    let mut bytes = String::new();
    for insns in &all {
        for byte in insns.iter().flat_map(|i| i.to_bytes()) {
            write!(bytes, "{byte:#04x} ").expect("a String takes all");
        }
        bytes.push('\n');
    }
    let mut child = Command::new(&program)
        .args(["--triple=bpfel", "--disassemble", "--mcpu=v4", "--print-imm-hex"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("llvm-mc runs");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(bytes.as_bytes()));
    let output = child.wait_with_output().expect("llvm-mc ends");
    writer.join().expect("the writer ends").expect("llvm-mc reads");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let theirs: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty() && *l != ".text").collect();
    assert_eq!(theirs.len(), all.len(), "{program} printed another number of instructions");
    let mut wrong = Vec::new();
    for (insns, theirs) in all.iter().zip(theirs) {
        let mut ours = String::new();
        print_insn(&mut ours, Style::Llvm, insns, 0, &()).expect("a String takes all");
        if ours != theirs.replace('\t', " ") {
            wrong.push(format!("{:?}: ours `{ours}`, LLVM's `{theirs}`", insns[0]));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
