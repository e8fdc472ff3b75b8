// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running kernel, by `BPF_PROG_LOAD` and `BPF_PROG_TEST_RUN`.
//!
//! A case on flat memory becomes an XDP program: a prologue makes `r1` the packet and `r2` its length, as the
//! verifier wants it proved. `BPF_PROG_TEST_RUN` only shows 32 bits of `r0`; so every `exit` of a program without
//! functions jumps to an epilogue instead, which stores all 64 bits in a map. A case on a packet is a classifier,
//! unchanged.

use std::sync::Arc;

use skep_isa::{CallKind, Imm64, Insn, Op, opcode};
use skep_kernel_load::Kernel;
use skep_program::{MapSpec, Object, Program, load};
use skep_uapi::{Bpf, MapType, ProgType, TestRun};

use crate::case::{Case, Run};
use crate::engine::{Answer, Engine};

impl Engine for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn run(&self, case: &Case, run: &Run, object: &Object) -> Answer {
        let program = &object.programs[0];
        let (program, data, result) = match &run.packet {
            Some(packet) => {
                (Program { prog_type: ProgType::SCHED_CLS, ..program.clone() }, packet.clone(), None)
            }
            None => as_xdp(program, run.mem.as_deref()),
        };
        let maps = match load::create_maps(self, &program.maps, None) {
            Ok(maps) => maps,
            Err(e) => return Answer::Error(e.to_string()),
        };
        let btf = match load::load_btf(self, program.btf.as_deref()) {
            Ok(btf) => btf,
            Err(e) => return Answer::Error(e.to_string()),
        };
        let mut log = String::new();
        let fd = match load::load_program(self, &program, &maps, btf.as_ref(), 1, &mut log) {
            Ok(fd) => fd,
            Err(errno) => return refused(case, &format!("{errno}: {log}")),
        };
        let test = TestRun { data_in: Some(&data), data_out_size: data.len() + 256, ..TestRun::default() };
        let answer = match self.prog_test_run(&fd, &test) {
            Ok(answer) => answer,
            Err(errno) => return Answer::Error(format!("BPF_PROG_TEST_RUN: {errno}")),
        };
        let Some(index) = result else { return Answer::R0Low(answer.retval) };
        let mut value = [0; 8];
        match self.map_lookup_elem(&maps[index], &[0; 4], &mut value, 0) {
            Ok(()) => Answer::R0(u64::from_le_bytes(value)),
            Err(errno) => Answer::Error(format!("BPF_MAP_LOOKUP_ELEM: {errno}")),
        }
    }
}

/// A rejection by the verifier: expected, and then listed, or not.
fn refused(case: &Case, log: &str) -> Answer {
    match &case.kernel {
        Some(text) if log.contains(text.as_str()) => Answer::Skip(format!("the verifier refuses it: {text}")),
        _ => Answer::Error(log.to_owned()),
    }
}

/// The case as an XDP program, its packet, and the index of the map that takes its `r0`.
fn as_xdp(program: &Program, mem: Option<&[u8]>) -> (Program, Vec<u8>, Option<usize>) {
    let mut insns = Vec::new();
    let data = mem.map_or_else(|| vec![0; 64], <[u8]>::to_vec);
    if let Some(mem) = mem {
        let len = i32::try_from(mem.len()).expect("memory of a case is short");
        insns.extend([
            Insn::new(0x61, 2, 1, 4, 0),   // r2 = ctx->data_end
            Insn::new(0x61, 1, 1, 0, 0),   // r1 = ctx->data
            Insn::new(0xbf, 3, 1, 0, 0),   // r3 = r1
            Insn::new(0x07, 3, 0, 0, len), // r3 += len
            Insn::new(0xbd, 3, 2, 2, 0),   // if r3 <= r2 goto +2
            Insn::new(0xb7, 0, 0, 0, 0),   // r0 = 0
            Insn::new(0x95, 0, 0, 0, 0),   // exit
            Insn::new(0xb7, 2, 0, 0, len), // r2 = len
        ]);
    }
    let start = insns.len();
    insns.extend_from_slice(&program.insns);
    let mut maps = program.maps.to_vec();
    let mut result = None;
    if !has_functions(&program.insns) {
        let end = insns.len();
        for (at, insn) in insns.iter_mut().enumerate().skip(start) {
            if insn.code == opcode::EXIT {
                let distance = i16::try_from(end - at - 1).expect("a case is short");
                *insn = Insn::new(opcode::JA, 0, 0, distance, 0);
            }
        }
        let index = maps.len();
        insns.extend([
            // r1 = the value of the map
            Insn::new(opcode::LD_IMM64, 1, 6, 0, i32::try_from(index).expect("few maps")),
            Insn::new(0, 0, 0, 0, 0),
            Insn::new(0x7b, 1, 0, 0, 0), // *(u64 *)(r1 + 0) = r0
            Insn::new(0xb7, 0, 0, 0, 0), // r0 = 0
            Insn::new(0x95, 0, 0, 0, 0), // exit
        ]);
        maps.push(MapSpec {
            name: "result".to_owned(),
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            ..MapSpec::default()
        });
        result = Some(index);
    }
    let program = Program { prog_type: ProgType::XDP, insns, maps: Arc::new(maps), ..program.clone() };
    (program, data, result)
}

/// Whether the program calls, or takes the address of, a function of its own.
fn has_functions(insns: &[Insn]) -> bool {
    (0..insns.len())
        .filter_map(|at| skep_isa::decode(insns, at).ok())
        .any(|d| matches!(d.op(), Op::Call(CallKind::Local) | Op::LdImm64(Imm64::Func)))
}
