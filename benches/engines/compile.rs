// SPDX-License-Identifier: MIT OR Apache-2.0
//! What it costs to get a program ready: `prepare` makes a machine for the interpreter, `jit` one that also compiles;
//! the difference is the compiler. rbpf's side is its compiler alone.

use criterion::{BenchmarkId, Criterion, Throughput};
use skep_isa::Insn;
use skep_program::{Object, Program};
use skep_vm::{Config, Engine, Machine};

/// A program of so many instructions: arithmetic, accesses, and short jumps.
fn program(insns: usize) -> Program {
    let insn = Insn::new;
    let block = [
        insn(0x07, 0, 0, 0, 11),   // r0 += 11
        insn(0x27, 6, 0, 0, 3),    // r6 *= 3
        insn(0xaf, 6, 0, 0, 0),    // r6 ^= r0
        insn(0x25, 6, 0, 1, 1000), // if r6 > 1000 goto +1
        insn(0x07, 0, 0, 0, 7),    // r0 += 7
        insn(0x7b, 10, 6, -8, 0),  // *(u64 *)(r10 - 8) = r6
        insn(0x61, 1, 10, -8, 0),  // r1 = *(u32 *)(r10 - 8)
        insn(0x0f, 0, 1, 0, 0),    // r0 += r1
    ];
    let blocks = block.iter().copied().cycle().take(insns - 1);
    let insns = blocks.chain([insn(0x95, 0, 0, 0, 0)]).collect();
    Program { name: "main".into(), insns, ..Program::default() }
}

pub fn compile(c: &mut Criterion) {
    for insns in [8, 1_000, 10_000, 100_000, 1_000_000] {
        let object = Object::single(program(insns));
        let mut group = c.benchmark_group(format!("compile_{insns}"));
        group.throughput(Throughput::Elements(object.programs[0].insns.len() as u64)).sample_size(10);
        for (id, engine) in [("prepare", Engine::Interpreter), ("jit", Engine::Jit)] {
            group.bench_function(BenchmarkId::from_parameter(id), |b| {
                b.iter(|| {
                    Machine::new(&object, Config { engine, ..Config::default() }).expect("it compiles")
                });
            });
        }
        let bytes = object.programs[0].bytes();
        // rbpf's JIT panics on programs that do not fit a page.
        if insns <= 8 {
            group.bench_function(BenchmarkId::from_parameter("rbpf-jit"), |b| {
                b.iter(|| {
                    let mut vm = rbpf::EbpfVmNoData::new(Some(&bytes)).expect("rbpf takes it");
                    vm.jit_compile().expect("rbpf compiles it");
                    vm
                });
            });
        }
        group.finish();
    }
}
