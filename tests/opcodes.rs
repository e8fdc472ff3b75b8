// SPDX-License-Identifier: MIT OR Apache-2.0
//! The opcodes of the instruction table are those that the running kernel knows. Skipped, and said so, without
//! bpf(2). A kernel of another release may know fewer or more; the table is that of Linux 6.18.

use std::sync::Arc;

use skep_isa::{Insn, TABLE, opcode};
use skep_kernel_load::Kernel;
use skep_program::{Program, load};
use skep_uapi::ProgType;

const RELEASE: &str = "6.18";

/// Whether the verifier knows the opcode: it looks at all opcodes before anything else of an instruction, but for
/// loads, whose unknown modes are reserved fields to it.
fn known_to_kernel(kernel: &Kernel, code: u8) -> bool {
    let mut insns = vec![Insn::new(code, 0, 0, 0, 0)];
    if code == opcode::LD_IMM64 {
        insns.push(Insn::default());
    }
    insns.push(Insn::new(opcode::EXIT, 0, 0, 0, 0));
    let program = Program {
        name: "opcode".to_owned(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".to_owned(),
        insns,
        maps: Arc::default(),
        ..Program::default()
    };
    let mut log = String::new();
    // Most are refused for something else.
    let _ = load::load_program(kernel, &program, &[], None, 1, &mut log);
    ![&format!("unknown opcode {code:02x}"), "BPF_LDX uses reserved fields"]
        .iter()
        .any(|text| log.contains(*text))
}

#[test]
fn opcodes_are_those_of_the_running_kernel() {
    let kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(why) => return eprintln!("SKIP: the running kernel: {why}"),
    };
    if !kernel.release().starts_with(RELEASE) {
        return eprintln!("SKIP: this is Linux {}, the table is that of {RELEASE}", kernel.release());
    }
    for code in 0..=u8::MAX {
        let ours = TABLE.iter().any(|row| row.code == code);
        assert_eq!(ours, known_to_kernel(&kernel, code), "opcode {code:02x}");
    }
}
