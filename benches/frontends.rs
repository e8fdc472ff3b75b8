// SPDX-License-Identifier: MIT OR Apache-2.0
//! Front ends: assembling text and loading objects, against rbpf's assembler where it can read the text.
//! `cargo bench --bench frontends`.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skep_asm::{Options, assemble};

/// Lines of mnemonics that both assemblers read.
fn mnemonics(lines: usize) -> String {
    let mut text = String::new();
    for i in 0..lines / 4 {
        let (a, b) = (i % 10, (i + 3) % 10);
        let _ = write!(
            text,
            "mov64 r{a}, {i}\nadd64 r{a}, r{b}\nldxw r{b}, [r1+{off}]\njeq r{a}, {i}, +0\n",
            off = i % 64
        );
    }
    text + "exit\n"
}

fn assembling(c: &mut Criterion) {
    let mut group = c.benchmark_group("assemble");
    for lines in [100, 10_000] {
        let text = mnemonics(lines);
        let options = Options::default();
        let ours = assemble(&text, &options).expect("it assembles").programs[0].bytes();
        let theirs = rbpf::assembler::assemble(&text).expect("rbpf assembles it too");
        assert_eq!(ours, theirs, "the two assemblers agree on every byte");
        group.throughput(Throughput::Elements(lines as u64));
        group.bench_function(BenchmarkId::new("skep", lines), |b| {
            b.iter(|| assemble(black_box(&text), &options));
        });
        group.bench_function(BenchmarkId::new("rbpf", lines), |b| {
            b.iter(|| rbpf::assembler::assemble(black_box(&text)));
        });
    }
    group.finish();
}

fn loading(c: &mut Criterion) {
    let mut group = c.benchmark_group("load_elf");
    // Maps in ELF have no initial contents.
    let source: String = include_str!("../examples/firewall.s")
        .lines()
        .filter(|line| !line.starts_with(".entry"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let object = assemble(&source, &Options::default()).expect("the example assembles");
    let elf = skep_object::write(&object).expect("it can be written");
    group.throughput(Throughput::Bytes(elf.len() as u64));
    group.bench_function("firewall", |b| b.iter(|| skep_object::load(black_box(&elf))));
    group.finish();
}

criterion_group!(benches, assembling, loading);
criterion_main!(benches);
