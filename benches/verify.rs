// SPDX-License-Identifier: GPL-2.0-only
//! Verification beside the running kernel's `BPF_PROG_LOAD`, on the same bytes: `cargo bench --bench verify`. Ids are
//! `program/skep` and `program/kernel`; maps and BTF are there before the time starts. Where bpf(2) is refused, skep is
//! measured alone, and that is said.
//!
//! The kernel's side includes the JIT and the release of the program, which a user of the system call pays for. The
//! kernel's own figure for its verifier alone (`BPF_LOG_STATS`) is printed beside skep's, per processed instruction.
//! With `SKEP_CASES`, a directory of recorded `*.jsonl`, all programs of `real.jsonl` that the kernel accepts are
//! measured too.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use skep_kernel_load::{Kernel, KernelFd};
use skep_program::load::{create_maps, load_btf, load_program};
use skep_program::{Case, Program};
use skep_verifier::{Options, Outcome, Verdict};

/// Log level of the statistics alone.
const STATS: u32 = 4;

/// Examples with their names: short programs as people write them.
const EXAMPLES: [(&str, &str); 2] = [
    ("firewall", include_str!("../examples/firewall.s")),
    ("counter", include_str!("../examples/counter.s")),
];

/// A program with what the kernel needs in front of it.
struct Prepared<'k> {
    kernel: &'k Kernel,
    maps: Vec<KernelFd>,
    btf: Option<KernelFd>,
}

impl<'k> Prepared<'k> {
    fn new(kernel: &'k Kernel, program: &Program) -> Option<Prepared<'k>> {
        let btf = load_btf(kernel, program.btf.as_deref()).ok()?;
        let maps = create_maps(kernel, &program.maps, btf.as_ref()).ok()?;
        Some(Prepared { kernel, maps, btf })
    }

    fn load(&self, program: &Program, level: u32, log: &mut String) -> bool {
        load_program(self.kernel, program, &self.maps, self.btf.as_ref(), level, log).is_ok()
    }
}

fn accepts(program: &Program) -> bool {
    matches!(
        skep_verifier::verify(program, &Options::default()),
        Outcome::Answer { verdict: Verdict::Accept, .. }
    )
}

/// The number behind a word of the log, or in front of it.
fn figure(log: &str, before: &str, after: &str) -> Option<u64> {
    let start = log.rfind(before)? + before.len();
    let rest = &log[start..];
    rest[..rest.find(after)?].trim().parse().ok()
}

/// Nanoseconds per processed instruction of both verifiers, over some programs; the least of several rounds.
fn per_insn(programs: &[(&Program, &Prepared<'_>)]) -> Option<(f64, f64)> {
    let (mut insns, mut theirs, mut ours) = (0, u64::MAX, f64::MAX);
    for _ in 0..5 {
        let mut log = String::new();
        let (mut usecs, mut count) = (0, 0);
        for (program, prepared) in programs {
            log.clear();
            prepared.load(program, STATS, &mut log);
            usecs += figure(&log, "verification time ", " usec")?;
            count += figure(&log, "processed ", " insns")?;
        }
        (insns, theirs) = (count, theirs.min(usecs));
        let start = Instant::now();
        for (program, _) in programs {
            black_box(skep_verifier::verify(program, &Options::default()));
        }
        ours = ours.min(start.elapsed().as_nanos() as f64);
    }
    Some((ours / insns as f64, theirs as f64 * 1000.0 / insns as f64))
}

fn examples(c: &mut Criterion) {
    let kernel = Kernel::open().map_err(|why| eprintln!("SKIP: the kernel's side: {why}")).ok();
    for (name, source) in EXAMPLES {
        let object = skep_asm::assemble(source, &skep_asm::Options::default()).expect("examples assemble");
        let program = &object.programs[0];
        assert!(accepts(program), "{name}: not accepted");
        let mut group = c.benchmark_group(name);
        group.bench_function(BenchmarkId::from_parameter("skep"), |b| {
            b.iter(|| skep_verifier::verify(black_box(program), &Options::default()));
        });
        if let Some(prepared) = kernel.as_ref().and_then(|kernel| Prepared::new(kernel, program)) {
            let mut log = String::new();
            assert!(prepared.load(program, 0, &mut log), "{name}: the kernel rejects it");
            group.bench_function(BenchmarkId::from_parameter("kernel"), |b| {
                b.iter(|| prepared.load(black_box(program), 0, &mut log));
            });
        }
        group.finish();
    }
}

/// The programs of `real.jsonl`.
fn real_programs(dir: &Path) -> Vec<Program> {
    let Ok(text) = std::fs::read_to_string(dir.join("real.jsonl")) else {
        eprintln!("SKIP: {} has no real.jsonl (unpack real.jsonl.xz)", dir.display());
        return Vec::new();
    };
    let cases = text.lines().filter_map(|line| Case::parse(line, 0).ok());
    cases.filter(|case| case.caps == "full").map(|case| case.program).collect()
}

fn real(c: &mut Criterion) {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
        return;
    };
    let programs = real_programs(Path::new(&dir));
    let Ok(kernel) = Kernel::open() else {
        eprintln!("SKIP: real programs are measured beside the kernel only");
        return;
    };
    let mut log = String::new();
    let prepared: Vec<(&Program, Prepared<'_>)> = programs
        .iter()
        .filter_map(|program| Some((program, Prepared::new(&kernel, program)?)))
        .filter(|(program, prepared)| prepared.load(program, 0, &mut log) && accepts(program))
        .collect();
    if prepared.is_empty() {
        return;
    }
    let pairs: Vec<_> = prepared.iter().map(|(program, prepared)| (*program, prepared)).collect();
    if let Some((ours, theirs)) = per_insn(&pairs) {
        println!("real programs: {} accepted", pairs.len());
        println!(
            "verification per processed instruction: skep {ours:.0} ns, kernel {theirs:.0} ns, ratio {:.2}",
            ours / theirs
        );
    }
    let mut group = c.benchmark_group("real");
    group.sample_size(10);
    group.bench_function(BenchmarkId::from_parameter("skep"), |b| {
        b.iter(|| {
            for (program, _) in &pairs {
                black_box(skep_verifier::verify(program, &Options::default()));
            }
        });
    });
    group.bench_function(BenchmarkId::from_parameter("kernel"), |b| {
        b.iter(|| pairs.iter().filter(|(program, prepared)| prepared.load(program, 0, &mut log)).count());
    });
    group.finish();
}

criterion_group!(benches, examples, real);
criterion_main!(benches);
