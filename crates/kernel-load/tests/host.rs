// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running kernel, where this process may use it; else each test says `SKIP` and why.

use std::fs;
use std::sync::Mutex;

use skep_isa::Insn;
use skep_kernel_load::{Kernel, LoadOptions, Request, load_object};
use skep_program::{Case, MapSpec, Object, Program, Requirement, Slot};
use skep_uapi::{Bpf, Errno, MapType, ProgType, TestRun};

/// Descriptors are counted, so tests of this file do not run at the same time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn on_host(test: impl FnOnce(&Kernel)) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match Kernel::open() {
        Ok(kernel) => {
            let before = open_descriptors();
            test(&kernel);
            assert_eq!(open_descriptors(), before, "descriptors were left open");
        }
        Err(why) => eprintln!("SKIP: {why}"),
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc").count()
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

fn ret(value: i32) -> Vec<Insn> {
    vec![insn(0xb7, 0, 0, 0, value), insn(0x95, 0, 0, 0, 0)]
}

fn program(name: &str, insns: Vec<Insn>) -> Program {
    Program {
        name: name.into(),
        prog_type: ProgType::XDP,
        license: "GPL".into(),
        insns,
        ..Program::default()
    }
}

fn object(programs: Vec<Program>, maps: Vec<MapSpec>) -> Object {
    Object { programs, maps: maps.into() }
}

fn level(log_level: u32) -> LoadOptions {
    LoadOptions { log_level, ..LoadOptions::default() }
}

fn map(name: &str, map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec { name: name.into(), map_type, key_size, value_size, max_entries, ..MapSpec::default() }
}

#[test]
fn verdicts_have_message_and_figures() {
    on_host(|kernel| {
        let object =
            object(vec![program("good", ret(2)), program("bad", vec![insn(0x95, 0, 0, 0, 0)])], vec![]);
        let loaded = load_object(kernel, &object, |_| true, level(2)).expect("no maps to fail");
        let [good, bad] = loaded.programs.as_slice() else { panic!("two programs") };
        let good = good.answer.verdict().expect("asked");
        assert!(
            good.accepted && good.stats.expect("log level 2 has figures").insn_processed == 2,
            "{good:?}"
        );
        assert!(!good.log.contains('\0'));
        let bad = bad.answer.verdict().expect("asked");
        assert_eq!((bad.errno, bad.message.as_str()), (Some(Errno::EACCES), "R0 !read_ok"), "{bad:?}");
        assert_eq!(bad.release, kernel.release());
        // Asked without a log, a refused program still tells why.
        let quiet = load_object(kernel, &object, |p| p.name == "bad", level(0)).expect("no maps to fail");
        assert_eq!(quiet.programs[0].answer.verdict().expect("asked").message, "R0 !read_ok");
    });
}

#[test]
fn test_run_gives_packet_and_result() {
    on_host(|kernel| {
        let loaded = load_object(kernel, &object(vec![program("pass", ret(2))], vec![]), |_| true, level(0));
        let loaded = loaded.expect("loads");
        let packet: Vec<u8> = (0..64).collect();
        let run = TestRun { data_in: Some(&packet), data_out_size: 1, repeat: 3, ..TestRun::default() };
        let result = kernel.prog_test_run(loaded.program("pass").expect("accepted"), &run).expect("runs");
        assert_eq!((result.retval, result.data_out), (2, packet.clone()));
        let short = TestRun { data_in: Some(&packet[..3]), ..run };
        let refused = kernel.prog_test_run(loaded.program("pass").expect("accepted"), &short);
        assert_eq!(refused, Err(Errno::EINVAL));
    });
}

#[test]
fn maps_of_each_shape() {
    on_host(|kernel| {
        let mut jumps = map("jumps", MapType::PROG_ARRAY, 4, 4, 2);
        jumps.slots = vec![(1, Slot::Program("second".into()))];
        let mut percpu = map("percpu", MapType::PERCPU_ARRAY, 4, 4, 2);
        percpu.entries = vec![(vec![1, 0, 0, 0], vec![7, 0, 0, 0])];
        let maps = vec![
            jumps,
            percpu,
            map("hash", MapType::HASH, 4, 8, 4),
            map("events", MapType::PERF_EVENT_ARRAY, 4, 4, 0),
            map("ring", MapType::RINGBUF, 0, 0, 5000),
            map("queue", MapType::QUEUE, 0, 8, 4),
        ];
        let object = object(vec![program("first", ret(1)), program("second", ret(2))], maps);
        let loaded = load_object(kernel, &object, |p| p.name == "first", level(0)).expect("loads");
        assert!(loaded.program("second").is_some(), "it sits in a slot");

        let mut values = vec![0; 8 * kernel.possible_cpus()];
        kernel.map_lookup_elem(&loaded.maps[1], &[1, 0, 0, 0], &mut values, 0).expect("there");
        assert!(values.chunks(8).all(|v| v == [7, 0, 0, 0, 0, 0, 0, 0]), "{values:?}");
        // A buffer of the wrong size never reaches the kernel.
        let short = kernel.map_lookup_elem(&loaded.maps[1], &[1, 0, 0, 0], &mut [0; 8][..4], 0);
        assert_eq!(short, Err(Errno::EINVAL));

        let (hash, mut key) = (&loaded.maps[2], [0; 4]);
        assert_eq!(kernel.map_get_next_key(hash, None, &mut key), Err(Errno::ENOENT));
        kernel.map_update_elem(hash, &[1; 4], &[2; 8], 0).expect("room");
        kernel.map_get_next_key(hash, None, &mut key).expect("one element");
        assert_eq!(key, [1; 4]);
        assert_eq!(kernel.map_update_elem(hash, &[1; 4], &[2; 8], 1), Err(Errno::EEXIST));
        kernel.map_delete_elem(hash, &key).expect("was there");
        assert_eq!(kernel.map_delete_elem(hash, &key), Err(Errno::ENOENT));

        let (queue, mut value) = (&loaded.maps[5], [0; 8]);
        kernel.map_update_elem(queue, &[], &[9; 8], 0).expect("room");
        kernel.map_lookup_elem(queue, &[], &mut value, 0).expect("peek");
        assert_eq!(value, [9; 8]);
    });
}

#[test]
fn long_logs_arrive_whole() {
    on_host(|kernel| {
        // 100,000 instructions at level 2 take more than the first buffer of 1 MiB.
        let mut insns = vec![insn(0xb7, 0, 0, 0, 0)];
        insns.extend(std::iter::repeat_n(insn(0x07, 0, 0, 0, 1), 100_000));
        insns.push(insn(0x95, 0, 0, 0, 0));
        let loaded = load_object(kernel, &object(vec![program("long", insns)], vec![]), |_| true, level(2));
        let loaded = loaded.expect("no maps to fail");
        let verdict = loaded.programs[0].answer.verdict().expect("asked");
        assert!(verdict.log.len() > 1 << 20, "{} bytes", verdict.log.len());
        assert!(verdict.log.contains("100001: (95) exit"));
        assert!(verdict.stats.is_some());
    });
}

#[test]
fn indices_past_the_maps_are_refused() {
    on_host(|kernel| {
        for (index, errno) in [(1, Errno::EBADF), (-1, Errno::EFAULT), (i32::MAX, Errno::EFAULT)] {
            let mut insns = vec![insn(0x18, 1, 5, 0, index), insn(0, 0, 0, 0, 0)];
            insns.extend(ret(0));
            let object = object(vec![program("lost", insns)], vec![map("m", MapType::ARRAY, 4, 4, 1)]);
            let loaded = load_object(kernel, &object, |_| true, level(1)).expect("the map is fine");
            assert_eq!(
                loaded.programs[0].answer.verdict().expect("asked").errno,
                Some(errno),
                "index {index}"
            );
        }
    });
}

#[test]
fn what_is_not_supported_says_so() {
    on_host(|kernel| {
        let needy = Program {
            requirements: vec![Requirement::KernelSymbol("bpf_task_acquire".into())],
            ..program("k", ret(0))
        };
        let loaded = load_object(kernel, &Object::single(needy), |_| true, level(0)).expect("no maps");
        let skep_kernel_load::Answer::Unsupported(why) = &loaded.programs[0].answer else {
            panic!("nothing may be guessed")
        };
        assert_eq!(why.to_string(), "kernel symbol `bpf_task_acquire`");

        let case = Case::parse(r#"{"id":"c","insns":"b7000000000000009500000000000000","caps":"none"}"#, 1);
        let request = Request::of_case(&case.expect("a case"), 0);
        match skep_kernel_load::observe(kernel, &request) {
            Ok(observation) => assert!(observation.verdict().is_some_and(|v| v.accepted), "{observation:?}"),
            Err(why) => {
                let why = why.to_string();
                assert!(
                    why.contains("kernel.unprivileged_bpf_disabled") || why.contains("capabilities"),
                    "{why}"
                );
            }
        }
    });
}

#[test]
fn attach_targets_are_found_in_the_kernels_btf() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !skep_kernel_load::has_vmlinux_btf() {
        eprintln!("SKIP: this kernel has no BTF");
        return;
    }
    let vmlinux = skep_kernel_load::Vmlinux::default();
    let find = |attach: skep_uapi::AttachType, name: &str| {
        vmlinux.target(&Program {
            prog_type: ProgType::TRACING,
            expected_attach_type: attach,
            attach_name: Some(name.into()),
            ..Program::default()
        })
    };
    assert!(find(skep_uapi::AttachType::TRACE_FENTRY, "vfs_read").expect("every kernel reads files") > 0);
    assert!(find(skep_uapi::AttachType::TRACE_RAW_TP, "sched_switch").expect("every kernel switches") > 0);
    let missing = find(skep_uapi::AttachType::TRACE_FENTRY, "no_such_function").expect_err("not there");
    assert_eq!(missing.to_string(), "the running kernel's BTF has no function `no_such_function`");
}

#[test]
fn symbols_of_the_kernel_get_its_ids() {
    on_host(|kernel| {
        if !skep_kernel_load::has_vmlinux_btf() {
            eprintln!("SKIP: this kernel has no BTF");
            return;
        }
        // Ids are another kernel's; the names are what counts.
        let case = |name: &str| {
            let line = format!(
                r#"{{"id":"k","prog_type":"sched_cls","insns":"85200000070000008520000009000000b7000000000000009500000000000000",
                "btf_refs":[{{"insn":0,"kind":"kfunc","name":"{name}"}},{{"insn":1,"kind":"kfunc","name":"bpf_rcu_read_unlock"}}]}}"#
            );
            Request::of_case(&Case::parse(&line, 1).expect("a case"), 2)
        };
        let answer = skep_kernel_load::observe(kernel, &case("bpf_rcu_read_lock")).expect("asked");
        let verdict = answer.verdict().expect("one");
        assert!(verdict.accepted && verdict.log.contains("call bpf_rcu_read_lock#"), "{verdict:?}");
        let unknown = skep_kernel_load::observe(kernel, &case("no_such_function")).expect_err("unknown");
        assert!(unknown.to_string().contains("kernel symbol `no_such_function`"), "{unknown}");
    });
}
