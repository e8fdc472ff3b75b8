// SPDX-License-Identifier: MIT OR Apache-2.0
//! Engines side by side on the same bytes: `cargo bench --bench engines`. Ids are `workload/engine`. Every engine is
//! warmed up and must give the same `r0` before it is timed.
//!
//! Workloads are XDP programs, which the running kernel verifies and runs too, by `BPF_PROG_TEST_RUN`. rbpf knows no
//! maps; it gets the packet below 4 GiB, where the fields of `struct xdp_md` are pointers as they are. `native` is the
//! workload in C at -O2, where there is a C compiler. What cannot be asked here is said. At the end come tables of
//! medians and ratios.
#![allow(unsafe_code)]

#[path = "engines/compile.rs"]
mod compile;
#[path = "engines/kernel.rs"]
mod kernel;
#[path = "engines/native.rs"]
mod native;
#[path = "engines/peer.rs"]
mod peer;
#[path = "engines/report.rs"]
mod report;
#[path = "engines/threads.rs"]
mod threads;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skep_program::Object;
use skep_vm::{Config, Engine, Input, Machine};

/// A workload: assembler text, and whether it needs nothing but the packet, so that engines without maps can run it.
struct Workload {
    name: &'static str,
    source: &'static str,
    plain: bool,
}

macro_rules! workloads {
    ($($name:ident $plain:literal)*) => {
        [$(Workload {
            name: stringify!($name),
            source: include_str!(concat!("workloads/", stringify!($name), ".s")),
            plain: $plain,
        }),*]
    };
}

const WORKLOADS: [Workload; 15] = workloads! {
    empty true
    alu_mix true
    branches true
    checksum true
    parser true
    sieve true
    calls true
    stack true
    siphash true
    matrix true
    helpers true
    array false
    hash_lookup false
    hash_update false
    tail_calls false
};

/// A packet with two VLAN tags in front of IPv4 and UDP, and bytes behind them.
fn packet() -> Vec<u8> {
    let mut packet: Vec<u8> = (0..3200).map(|i| (i * 31 + 7) as u8).collect();
    packet[12..16].copy_from_slice(&[0x81, 0, 0, 5]);
    packet[16..18].copy_from_slice(&[8, 0]);
    packet[18] = 0x45;
    packet[27] = 17;
    packet
}

fn assemble(source: &str) -> Object {
    skep_asm::assemble(source, &skep_asm::Options::default()).expect("workloads assemble")
}

/// The engines of skep, by name.
fn ours(object: &Object) -> [(&'static str, Machine); 3] {
    let engine =
        |engine| Machine::new(object, Config { engine, ..Config::default() }).expect("workloads load");
    // The others do not count either.
    let jit = Config { engine: Engine::Jit, count: false, ..Config::default() };
    // SAFETY: the verifier of the running kernel accepts the workloads, and so does skep's.
    let elided = unsafe { Machine::new_verified(object, jit) }.expect("workloads load");
    [("interp", engine(Engine::Interpreter)), ("jit", engine(Engine::Jit)), ("jit-elided", elided)]
}

fn engines(c: &mut Criterion) {
    let packet = packet();
    let input = Input::Packet { data: &packet, ctx: None };
    let native = native::Library::build();
    let kernel = kernel::Kernel::open();
    for Workload { name, source, plain } in &WORKLOADS {
        let object = assemble(source);
        let mut group = c.benchmark_group(*name);
        let mut expected = None;
        for (id, machine) in ours(&object) {
            let mut thread = machine.thread().expect("stacks fit");
            let mut prepared = thread.prepare(0, input).expect("the packet fits");
            let r0 = prepared.run().expect("workloads do not trap");
            assert_eq!(*expected.get_or_insert(r0), r0, "{name}: {id} disagrees");
            if prepared.insn_count() > 0 {
                group.throughput(Throughput::Elements(prepared.insn_count()));
            }
            group.bench_function(BenchmarkId::from_parameter(id), |b| b.iter(|| prepared.run()));
        }
        let expected = expected.unwrap_or_default();
        if *plain {
            peer::bench(&mut group, &object, &packet, expected);
            native.bench(&mut group, name, &packet, expected);
        }
        if let Some(kernel) = &kernel {
            kernel.bench(&mut group, &object, &packet, expected);
        }
        group.finish();
    }
}

criterion_group!(benches, engines, compile::compile, threads::threads, report::report);
criterion_main!(benches);
