// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads on shared maps: time of one element, over all threads. `mutex` is a lock around a standard hash map, on the
//! same keys.

use std::collections::HashMap;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use skep_vm::{Config, Engine, Input, Machine};

const PERCPU: &str = include_str!("../workloads/percpu.s");
const HASH: &str = include_str!("../workloads/hash_update.s");
/// Elements that one run of a workload works on.
const ELEMENTS: u64 = 1000;

/// Runs `work` on some threads, `rounds` times each, from the same moment on.
fn together(
    threads: u64,
    rounds: u64,
    work: impl Fn(u64, &mut dyn FnMut(&mut dyn FnMut())) + Sync,
) -> Duration {
    let barrier = Barrier::new(threads as usize);
    let (work, barrier) = (&work, &barrier);
    let times = std::thread::scope(|scope| {
        let spawn = |thread| {
            scope.spawn(move || {
                let mut time = Duration::ZERO;
                work(thread, &mut |round: &mut dyn FnMut()| {
                    round();
                    barrier.wait();
                    let start = Instant::now();
                    (0..rounds).for_each(|_| round());
                    time = start.elapsed();
                });
                time
            })
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles.into_iter().map(|handle| handle.join().expect("no thread panics")).max()
    });
    times.unwrap_or_default()
}

pub fn threads(c: &mut Criterion) {
    for threads in [1, 2, 8] {
        let mut group = c.benchmark_group(format!("threads_{threads}"));
        group.throughput(Throughput::Elements(threads * ELEMENTS)).sample_size(10);
        for (id, source) in [("percpu_array", PERCPU), ("hash", HASH)] {
            let object = super::assemble(source);
            let config = Config { engine: Engine::Jit, cpus: threads as u32, ..Config::default() };
            let machine = Machine::new(&object, config).expect("workloads load");
            group.bench_function(BenchmarkId::from_parameter(id), |b| {
                b.iter_custom(|rounds| {
                    together(threads, rounds, |thread, measure| {
                        let mut on = machine.thread().expect("stacks fit").on_cpu(thread as u32);
                        let input = Input::Packet { data: &[0; 64], ctx: None };
                        let mut prepared = on.prepare(0, input).expect("the packet fits");
                        measure(&mut || {
                            prepared.run().expect("workloads do not trap");
                        });
                    })
                });
            });
        }
        let map = Mutex::new(HashMap::new());
        group.bench_function(BenchmarkId::from_parameter("mutex"), |b| {
            b.iter_custom(|rounds| {
                together(threads, rounds, |_, measure| {
                    measure(&mut || {
                        for key in 0..ELEMENTS {
                            map.lock().expect("no thread panics").insert(key & 63, key);
                        }
                    });
                })
            });
        });
        group.finish();
    }
}
