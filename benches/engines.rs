// SPDX-License-Identifier: MIT OR Apache-2.0
//! Engines side by side on the same bytes: `cargo bench --bench engines`. Ids are `workload/engine`. Every engine
//! is warmed up and must give the same `r0` before it is timed.

#![allow(unsafe_code)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skep_program::Object;
use skep_vm::{Config, Engine, Input, Machine};

/// A workload: assembler text, and the flat memory that it runs on. Engines differ in how they pass its length, so
/// workloads that need one find it in the first 8 bytes.
struct Workload {
    name: &'static str,
    source: &'static str,
    memory: Vec<u8>,
}

fn workloads() -> Vec<Workload> {
    let bytes = |n: usize| (0..n).map(|i| (i * 31 + 7) as u8).collect::<Vec<u8>>();
    let mut packet = bytes(128);
    packet[12..16].copy_from_slice(&[0x81, 0, 0, 5]);
    packet[16..18].copy_from_slice(&[8, 0]);
    packet[18] = 0x45;
    packet[27] = 17;
    macro_rules! workload {
        ($name:literal, $memory:expr) => {
            Workload {
                name: $name,
                source: include_str!(concat!("workloads/", $name, ".s")),
                memory: $memory,
            }
        };
    }
    let sized = |payload: Vec<u8>| {
        let mut memory = (payload.len() as u64).to_le_bytes().to_vec();
        memory.extend(payload);
        memory
    };
    vec![
        workload!("empty", vec![]),
        workload!("alu_mix", vec![]),
        workload!("branches", vec![]),
        workload!("checksum", sized(bytes(1500))),
        workload!("parser", sized(packet)),
        workload!("sieve", sized(vec![0; 4096])),
        workload!("calls", vec![]),
        workload!("stack", vec![]),
    ]
}

fn assemble(source: &str) -> Object {
    skep_asm::assemble(source, &skep_asm::Options::default()).expect("workloads assemble")
}

/// Instructions of one run, to give times per instruction.
fn executed(object: &Object, memory: &[u8]) -> (u64, u64) {
    let machine = Machine::new(object, Config::default()).expect("workloads load");
    let mut thread = machine.thread().expect("stacks fit");
    let outcome = thread.run(0, Input::Mem(memory)).expect("flat memory fits");
    assert!(outcome.trap.is_none(), "{:?}", outcome.trap);
    (outcome.r0, outcome.insn_count)
}

fn elided(object: &Object) -> Machine {
    // SAFETY: the workloads stay within their memory.
    unsafe { Machine::new_verified(object, Config { engine: Engine::Jit, ..Config::default() }) }
        .expect("workloads load")
}

fn engines(c: &mut Criterion) {
    for Workload { name, source, memory } in workloads() {
        let object = assemble(source);
        let (expected, insns) = executed(&object, &memory);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(insns));

        let engine =
            |engine| Machine::new(&object, Config { engine, ..Config::default() }).expect("workloads load");
        for (id, machine) in [
            ("interp", engine(Engine::Interpreter)),
            ("jit", engine(Engine::Jit)),
            ("jit-elided", elided(&object)),
        ] {
            let mut thread = machine.thread().expect("stacks fit");
            let mut prepared = thread.prepare(0, Input::Mem(&memory)).expect("flat memory fits");
            assert_eq!(prepared.run().ok(), Some(expected), "{name}: {id} disagrees");
            group.bench_function(BenchmarkId::from_parameter(id), |b| b.iter(|| prepared.run()));
        }

        let bytes = object.programs[0].bytes();
        let mut vm = rbpf::EbpfVmRaw::new(Some(&bytes)).expect("rbpf takes it");
        let mut memory = memory.clone();
        assert_eq!(vm.execute_program(&mut memory).ok(), Some(expected), "{name}: rbpf disagrees");
        group.bench_function(BenchmarkId::from_parameter("rbpf"), |b| {
            b.iter(|| vm.execute_program(black_box(&mut memory)))
        });
        vm.jit_compile().expect("rbpf compiles");
        // SAFETY: the workloads stay within their memory.
        group.bench_function(BenchmarkId::from_parameter("rbpf-jit"), |b| {
            b.iter(|| unsafe { vm.execute_program_jit(black_box(&mut memory)) })
        });
        group.finish();
    }
}

criterion_group!(benches, engines);
criterion_main!(benches);
