// SPDX-License-Identifier: MIT OR Apache-2.0
//! What it costs to get a program ready: `prepare` makes a machine for the interpreter, `jit` one that also compiles;
//! the difference is the compiler. rbpf's side is its compiler alone.

use std::fmt::Write;

use criterion::{BenchmarkId, Criterion, Throughput};
use skep_vm::{Config, Engine, Machine};

/// A program of about so many instructions: arithmetic, accesses, and short jumps.
fn source(insns: usize) -> String {
    let mut text = String::from(".program main, socket\nr0 = 0\nr6 = 1\n*(u64 *)(r10 - 8) = 0\n");
    for i in 0..insns / 8 {
        let _ = write!(
            text,
            "r0 += {i}\nr6 *= 3\nr6 ^= r0\nif r6 > {i} goto l{i}\nr0 += 7\nl{i}: *(u64 *)(r10 - 8) = r6\n\
             r1 = *(u32 *)(r10 - 8)\nr0 += r1\n"
        );
    }
    text + "exit\n"
}

pub fn compile(c: &mut Criterion) {
    for insns in [8, 1_000, 10_000, 100_000, 999_000] {
        let object = super::assemble(&source(insns));
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
