// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running kernel: its JIT, by `BPF_PROG_TEST_RUN`, which repeats a run at little cost.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId};
use skep_kernel_load::Kernel as Host;
use skep_program::Object;
use skep_program::load::{create_maps, fill_program_slots, load_program};
use skep_uapi::{Bpf, TestRun};

/// The running kernel, where it may be asked.
pub struct Kernel(Host);

impl Kernel {
    pub fn open() -> Option<Kernel> {
        Host::open().map(Kernel).map_err(|why| eprintln!("SKIP: kernel: {why}")).ok()
    }

    pub fn bench(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        object: &Object,
        packet: &[u8],
        expected: u64,
    ) {
        let Kernel(host) = self;
        let maps = create_maps(host, &object.maps, None).expect("the kernel has such maps");
        let mut log = String::new();
        let program = match load_program(host, &object.programs[0], &maps, None, 1, &mut log) {
            Ok(program) => program,
            Err(errno) => return eprintln!("SKIP: kernel: {errno}\n{log}"),
        };
        fill_program_slots(host, object, &maps, |_| Some(&program)).expect("a program in its own slot");
        let run = |repeat| {
            let run = TestRun { data_in: Some(packet), data_out_size: 4096, repeat, ..TestRun::default() };
            host.prog_test_run(&program, &run).expect("the kernel runs what it accepts")
        };
        assert_eq!(run(1).retval, expected as u32, "the kernel disagrees");
        group.bench_function(BenchmarkId::from_parameter("kernel"), |b| {
            b.iter_custom(|count| {
                // The kernel's own average, in whole nanoseconds: around the runs it waits for milliseconds, to put the
                // program where XDP programs are called from.
                let mut repeat = 1_u32 << 10;
                loop {
                    let start = Instant::now();
                    let one = run(repeat).duration_ns;
                    if start.elapsed() > Duration::from_millis(50) || repeat == 1 << 20 {
                        return Duration::from_nanos(u64::from(one.max(1)) * count);
                    }
                    repeat *= 4;
                }
            });
        });
    }
}
