// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on plain memory: maps, callbacks, printing, strings, probing, the world.

mod common;

use common::{machine, machine_with, r0, run_on, trap};
use skep_uapi::Errno;
use skep_vm::{Clock, Config, Environment, Input, Sysctl, TrapKind};

fn negative(errno: Errno) -> u64 {
    errno.negative() as u64
}

/// Puts a string with its end on the stack, ending at `r10 - 8`, the start of it at `r10 - 8 - len`.
fn on_stack(text: &str) -> (String, usize) {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let start = bytes.len() + 8;
    let stores: String = bytes
        .chunks(8)
        .enumerate()
        .map(|(i, chunk)| {
            let word = u64::from_le_bytes(chunk.try_into().unwrap());
            format!("r1 = {word:#x} ll\n*(u64 *)(r10 - {}) = r1\n", start - i * 8)
        })
        .collect();
    (stores, start)
}

#[test]
fn traps_name_helper_and_argument() {
    let map = ".map m, array, key=4, value=8, max_entries=4\n";
    let (kind, at) =
        trap(&format!("{map}.program p, socket\nr1 = map[m] ll\nr2 = 8\ncall bpf_map_lookup_elem\nexit"));
    assert_eq!(at, 3);
    assert_eq!(kind.to_string(), "bpf_map_lookup_elem, argument 2: bad read of 4 bytes at 0x8: null pointer");
    let (kind, _) = trap("r1 = 7\nr2 = r10\ncall bpf_map_lookup_elem\nexit");
    assert_eq!(kind.to_string(), "bpf_map_lookup_elem, argument 1: 0x7 is not a map");
    let (kind, _) = trap("r1 = 1\nr2 = r10\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit");
    assert!(kind.to_string().starts_with("bpf_loop, argument 2: "), "{kind}");
    let (kind, _) = trap("call bpf_get_stackid\nexit");
    assert_eq!(kind.to_string(), "helper bpf_get_stackid is not implemented");
    let (kind, _) = trap("call 9999\nexit");
    assert_eq!(kind.to_string(), "no helper has the number 9999");
}

#[test]
fn queues_push_pop_and_peek() {
    let source = ".map q, queue, key=0, value=8, max_entries=2
        .program p, socket
        *(u64 *)(r10 - 8) = 5
        r1 = map[q] ll
        r2 = r10
        r2 += -8
        r3 = 0
        call bpf_map_push_elem
        r6 = r0
        *(u64 *)(r10 - 8) = 0
        r1 = map[q] ll
        r2 = r10
        r2 += -8
        call bpf_map_peek_elem
        r6 += r0
        r7 = *(u64 *)(r10 - 8)
        r1 = map[q] ll
        r2 = r10
        r2 += -8
        call bpf_map_pop_elem
        r6 += r0
        r8 = *(u64 *)(r10 - 8)
        r1 = map[q] ll
        r2 = r10
        r2 += -8
        call bpf_map_pop_elem
        r0 = -r0
        r0 <<= 32
        r9 = *(u64 *)(r10 - 8)
        r0 += r6
        r0 += r7
        r0 += r8
        r0 += r9
        exit";
    // The last pop is ENOENT and leaves a zero.
    assert_eq!(r0(source), (2 << 32) + 5 + 5);
}

#[test]
fn loop_counts_rounds_and_stops_early() {
    let source = |rounds: u32, flags: u32| {
        format!(
            "*(u64 *)(r10 - 8) = 0
            r1 = {rounds}
            r2 = body ll
            r3 = r10
            r3 += -8
            r4 = {flags}
            call bpf_loop
            exit
        body:
            r3 = *(u64 *)(r2 + 0)
            r3 += 1
            *(u64 *)(r2 + 0) = r3
            r0 = 0
            if r1 < 9 goto out
            r0 = 1
        out:
            exit"
        )
    };
    assert_eq!(r0(&source(5, 0)), 5);
    assert_eq!(r0(&source(0, 0)), 0);
    assert_eq!(r0(&source(50, 0)), 10);
    assert_eq!(r0(&source(5, 1)), negative(Errno::EINVAL));
    assert_eq!(r0(&source((8 << 20) + 1, 0)), u64::from(Errno::E2BIG.negative() as u32));
}

#[test]
fn every_element_is_visited() {
    for kind in ["array", "hash"] {
        let source = format!(
            ".map m, {kind}, key=4, value=8, max_entries=4
            .program p, socket
            *(u32 *)(r10 - 4) = 1
            *(u64 *)(r10 - 16) = 40
            r1 = map[m] ll
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -16
            r4 = 0
            call bpf_map_update_elem
            *(u64 *)(r10 - 24) = 0
            r1 = map[m] ll
            r2 = each ll
            r3 = r10
            r3 += -24
            r4 = 0
            call bpf_for_each_map_elem
            r0 *= 1000
            r1 = *(u64 *)(r10 - 24)
            r0 += r1
            exit
        each:
            r5 = *(u32 *)(r2 + 0)
            r3 = *(u64 *)(r3 + 0)
            r5 *= r3
            r3 = *(u64 *)(r4 + 0)
            r3 += r5
            *(u64 *)(r4 + 0) = r3
            r0 = 0
            exit"
        );
        let visited = if kind == "array" { 4 } else { 1 };
        assert_eq!(r0(&source), visited * 1000 + 40, "{kind}");
    }
}

#[test]
fn per_cpu_values_of_other_cpus() {
    let source = ".map m, percpu_array, key=4, value=8, max_entries=1
        .program p, socket
        *(u32 *)(r10 - 4) = 0
        r6 = 0
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        r3 = 1
        call bpf_map_lookup_percpu_elem
        if r0 == 0 goto fail
        r7 = r0
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto fail
        if r0 == r7 goto fail
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        r3 = 2
        call bpf_map_lookup_percpu_elem
        exit
    fail:
        r0 = 77
        exit";
    let machine = machine_with(source, Config { cpus: 2, ..common::config() });
    assert_eq!(run_on(&machine, Input::Mem(&[])).r0, 0);
}

#[test]
fn world_is_what_the_test_says() {
    let environment = Environment {
        clock: Clock::Fixed { start: 4_000_000_000, step: 7 },
        pid_tgid: 10 << 32 | 11,
        uid_gid: 20 << 32 | 21,
        comm: "a-rather-long-name".to_owned(),
        numa_node: 3,
        cgroups: vec![1, 30, 31],
        ..Environment::reproducible()
    };
    let run = |source: &str| {
        let config = Config { environment: environment.clone(), cpus: 4, ..common::config() };
        let machine = machine_with(source, config);
        let outcome = machine.thread().unwrap().on_cpu(2).run(0, Input::Mem(&[])).unwrap();
        assert_eq!(outcome.trap, None, "{source}");
        outcome.r0
    };
    let call = |name: &str| run(&format!("call bpf_{name}\nexit"));
    assert_eq!(call("ktime_get_ns"), 4_000_000_000);
    assert_eq!(run("call bpf_ktime_get_ns\ncall bpf_ktime_get_boot_ns\nexit"), 4_000_000_007);
    assert_eq!(call("jiffies64"), u64::from(0u32.wrapping_sub(300 * 250)) + 4 * 250);
    assert_eq!(call("get_smp_processor_id"), 2);
    assert_eq!(call("get_numa_node_id"), 3);
    assert_eq!(call("get_current_pid_tgid"), 10 << 32 | 11);
    assert_eq!(call("get_current_uid_gid"), 20 << 32 | 21);
    assert_eq!(call("get_current_cgroup_id"), 31);
    assert_eq!(run("r1 = 1\ncall bpf_get_current_ancestor_cgroup_id\nexit"), 30);
    assert_eq!(run("r1 = 3\ncall bpf_get_current_ancestor_cgroup_id\nexit"), 0);
    assert_eq!(call("get_prandom_u32"), call("get_prandom_u32"), "seeded");
    assert!(u32::try_from(call("get_prandom_u32")).is_ok());
    let comm = "r1 = r10\nr1 += -16\nr2 = 16\ncall bpf_get_current_comm\nr0 = *(u64 *)(r10 - 8)\nexit";
    assert_eq!(run(comm).to_le_bytes(), *b"-long-n\0");
    let cut = "r1 = r10\nr1 += -8\nr2 = 4\ncall bpf_get_current_comm\nr0 = *(u32 *)(r10 - 8)\nexit";
    assert_eq!((run(cut) as u32).to_le_bytes(), *b"a-r\0");
}

#[test]
fn host_clocks_go_forward() {
    let source = "call bpf_ktime_get_ns\nr6 = r0\ncall bpf_ktime_get_ns\nr0 -= r6\nexit";
    let outcome = run_on(&machine(source), Input::Mem(&[]));
    assert!(outcome.trap.is_none() && outcome.r0 < 60_000_000_000);
}

#[test]
fn printed_text_is_kept() {
    let (stores, start) = on_stack("n=%d s=%s %px\n");
    let source = format!(
        "r6 = 0x6968 ll
        *(u64 *)(r10 - 8) = r6
        {stores}
        r1 = r10
        r1 += -{start}
        r2 = 16
        r3 = -3
        r4 = r10
        r4 += -8
        r5 = 4096
        call bpf_trace_printk
        exit"
    );
    let machine = machine(&source);
    let outcome = run_on(&machine, Input::Mem(&[]));
    let text = "n=-3 s=hi 0000000000001000\n";
    assert_eq!((outcome.trap, outcome.r0), (None, text.len() as u64));
    let trace = machine.take_trace();
    assert_eq!((trace.entries, trace.lost), (vec![text.as_bytes().to_vec()], 0));
    assert!(machine.take_trace().entries.is_empty(), "taken");
}

#[test]
fn old_text_gives_way_to_new() {
    let (stores, start) = on_stack("%1000d");
    let source = format!(
        "{stores}r6 = 1200\nagain:\nr1 = r10\nr1 += -{start}\nr2 = 8\nr3 = 1\ncall bpf_trace_printk
        r6 -= 1\nif r6 != 0 goto again\nexit"
    );
    let machine = machine(&source);
    assert_eq!(run_on(&machine, Input::Mem(&[])).r0, 1000);
    let trace = machine.take_trace();
    assert_eq!((trace.entries.len(), trace.lost), ((1 << 20) / 1000, 1200 - (1 << 20) / 1000));
}

#[test]
fn snprintf_tells_the_whole_length() {
    let (stores, start) = on_stack("%d-%llx");
    let source = |size: u32, data_len: u32| {
        format!(
            "{stores}
            *(u64 *)(r10 - 40) = 12345
            *(u64 *)(r10 - 32) = 255
            *(u64 *)(r10 - 48) = -1
            r1 = r10
            r1 += -48
            r2 = {size}
            r3 = r10
            r3 += -{start}
            r4 = r10
            r4 += -40
            r5 = {data_len}
            call bpf_snprintf
            if r0 s< 0 goto out
            r0 <<= 32
            r1 = *(u32 *)(r10 - 48)
            r0 += r1
        out:
            exit"
        )
    };
    let word = |text: &[u8; 4]| u64::from(u32::from_le_bytes(*text));
    assert_eq!(r0(&source(8, 16)), (9 << 32) + word(b"1234"));
    assert_eq!(r0(&source(3, 16)), (9 << 32) + word(b"12\0\xff"));
    assert_eq!(r0(&source(0, 16)), (9 << 32) + word(b"\xff\xff\xff\xff"));
    assert_eq!(r0(&source(8, 8)), negative(Errno::EINVAL), "fewer arguments than conversions");
    assert_eq!(r0(&source(8, 12)), negative(Errno::EINVAL));
    assert_eq!(r0(&source(8, 104)), negative(Errno::EINVAL));
}

#[test]
fn numbers_are_parsed() {
    let (stores, start) = on_stack(" -0x1f;");
    let source = |helper: &str| {
        format!(
            "{stores}
            *(u64 *)(r10 - 32) = 9
            r1 = r10
            r1 += -{start}
            r2 = 8
            r3 = 0
            r4 = r10
            r4 += -32
            call bpf_{helper}
            r1 = *(u64 *)(r10 - 32)
            r0 *= 1000
            r0 += r1
            exit"
        )
    };
    assert_eq!(r0(&source("strtol")) as i64, 6 * 1000 - 31);
    assert_eq!(r0(&source("strtoul")) as i64, -22 * 1000);
}

#[test]
fn strings_are_compared() {
    let source = |a: &str, b: &str, size: u32| {
        let word = |text: &str| {
            let mut bytes = [0; 8];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            u64::from_le_bytes(bytes)
        };
        format!(
            "r1 = {:#x} ll\n*(u64 *)(r10 - 16) = r1\nr1 = {:#x} ll\n*(u64 *)(r10 - 8) = r1
            r1 = r10\nr1 += -16\nr2 = {size}\nr3 = r10\nr3 += -8\ncall bpf_strncmp\nexit",
            word(a),
            word(b)
        )
    };
    assert_eq!(r0(&source("abc", "abc", 8)), 0);
    assert_eq!(r0(&source("abcx", "abcy", 3)), 0);
    assert_eq!(r0(&source("abc", "abd", 8)), u64::MAX);
    assert_eq!(r0(&source("abc", "ab", 8)), 1);
}

#[test]
fn probing_survives_bad_addresses() {
    for helper in ["probe_read", "probe_read_kernel", "probe_read_user", "copy_from_user"] {
        let source = |src: &str| {
            format!(
                "*(u64 *)(r10 - 8) = 0x11223344\n*(u64 *)(r10 - 16) = -1\nr1 = r10\nr1 += -16\nr2 = 8\n{src}
                call bpf_{helper}\nr1 = *(u64 *)(r10 - 16)\nif r0 == 0 goto out\nr1 += r0\nout:\nr0 = r1\nexit"
            )
        };
        assert_eq!(r0(&source("r3 = r10\nr3 += -8")), 0x1122_3344, "{helper}");
        let errno = if helper == "probe_read_kernel" { Errno::ERANGE } else { Errno::EFAULT };
        assert_eq!(r0(&source("r3 = 16")), negative(errno), "{helper}: zeros");
        assert_eq!(r0(&source("r3 = -4096")), negative(Errno::EFAULT), "{helper}: zeros");
    }
    let (kind, _) = trap("r1 = 0\nr2 = 8\nr3 = r10\nr3 += -8\ncall bpf_probe_read_kernel\nexit");
    let TrapKind::BadArgument { argument: 1, .. } = kind else { panic!("{kind}") };
}

#[test]
fn probed_strings_always_end() {
    for helper in ["probe_read_str", "probe_read_kernel_str", "probe_read_user_str"] {
        let source = |size: u32| {
            format!(
                "r1 = 0x6f6c6c6568 ll\n*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 16) = -1\nr1 = r10\nr1 += -16
                r2 = {size}\nr3 = r10\nr3 += -8\ncall bpf_{helper}
                r1 = *(u64 *)(r10 - 16)\nr1 <<= 8\nr0 += r1\nexit"
            )
        };
        let expect = |bytes: &[u8; 7], len: u64| {
            let mut word = [0; 8];
            word[1..].copy_from_slice(bytes);
            u64::from_le_bytes(word) + len
        };
        assert_eq!(r0(&source(8)), expect(b"hello\0\xff", 6), "{helper}");
        assert_eq!(r0(&source(3)), expect(b"he\0\xff\xff\xff\xff", 3), "{helper}");
        assert_eq!(r0(&source(0)), expect(&[0xff; 7], 0), "{helper}");
    }
}

#[test]
fn ring_buffers_take_records() {
    let source = ".map r, ringbuf, max_entries=4096
        .program p, socket
        *(u64 *)(r10 - 8) = 42
        r1 = map[r] ll
        r2 = r10
        r2 += -8
        r3 = 8
        r4 = 0
        call bpf_ringbuf_output
        if r0 != 0 goto out
        r1 = map[r] ll
        r2 = 16
        r3 = 0
        call bpf_ringbuf_reserve
        if r0 == 0 goto out
        r1 = 7
        *(u64 *)(r0 + 0) = r1
        *(u64 *)(r0 + 8) = r1
        r1 = r0
        r2 = 0
        call bpf_ringbuf_submit
        r1 = map[r] ll
        r2 = 8
        r3 = 0
        call bpf_ringbuf_reserve
        if r0 == 0 goto out
        r1 = r0
        r2 = 0
        call bpf_ringbuf_discard
        r1 = map[r] ll
        r2 = 0
        call bpf_ringbuf_query
    out:
        exit";
    assert_eq!(r0(source), 16 + 24 + 16);
    let (kind, _) = trap("r1 = r10\nr1 += -8\nr2 = 0\ncall bpf_ringbuf_submit\nexit");
    assert!(kind.to_string().ends_with("is not a reserved record of a ring buffer"), "{kind}");
}

#[test]
fn perf_records_come_out() {
    let source = |flags: &str| {
        format!(
            ".map e, perf_event_array, key=4, value=4, max_entries=4
            .program p, socket
            *(u64 *)(r10 - 8) = 42
            r2 = map[e] ll
            r3 = {flags} ll
            r4 = r10
            r4 += -8
            r5 = 8
            call bpf_perf_event_output
            exit"
        )
    };
    assert_eq!(r0(&source("0xffffffff")), 0);
    assert_eq!(r0(&source("0")), 0);
    assert_eq!(r0(&source("1")), negative(Errno::ENOENT));
    assert_eq!(r0(&source("4")), negative(Errno::E2BIG));
    assert_eq!(r0(&source("0x100000000")), negative(Errno::EINVAL));
}

#[test]
fn locks_are_taken_once() {
    let lock = "r1 = r10\nr1 += -4\ncall bpf_spin_lock\n";
    let unlock = "r1 = r10\nr1 += -4\ncall bpf_spin_unlock\n";
    let start = "*(u32 *)(r10 - 4) = 0\n";
    assert_eq!(r0(&format!("{start}{lock}{unlock}{lock}r0 = *(u32 *)(r10 - 4)\nexit")), 1);
    let config = Config { budget: Some(1000), ..common::config() };
    let twice = machine_with(&format!("{start}{lock}{lock}exit"), config);
    let trap = run_on(&twice, Input::Mem(&[])).trap.expect("a trap");
    assert_eq!(trap.kind, TrapKind::Budget);
}

#[test]
fn dynptrs_stay_inside() {
    let source = |helper: &str| {
        format!(
            "*(u64 *)(r10 - 8) = 0x2211
            r1 = r10
            r1 += -8
            r2 = 8
            r3 = 0
            r4 = r10
            r4 += -24
            call bpf_dynptr_from_mem
            if r0 != 0 goto out
            *(u64 *)(r10 - 32) = 0
            {helper}
        out:
            exit"
        )
    };
    let read = |len: u32, offset: u32, flags: u32| {
        source(&format!(
            "r1 = r10\nr1 += -32\nr2 = {len}\nr3 = r10\nr3 += -24\nr4 = {offset}\nr5 = {flags}
            call bpf_dynptr_read\nif r0 != 0 goto out\nr0 = *(u64 *)(r10 - 32)"
        ))
    };
    assert_eq!(r0(&read(7, 1, 0)), 0x22);
    assert_eq!(r0(&read(8, 1, 0)), negative(Errno::E2BIG));
    assert_eq!(r0(&read(8, 0, 1)), negative(Errno::EINVAL));
    let write = "r1 = r10\nr1 += -24\nr2 = 1\nr3 = r10\nr3 += -32\nr4 = 7\nr5 = 0
        call bpf_dynptr_write\nif r0 != 0 goto out\nr0 = *(u64 *)(r10 - 8)";
    assert_eq!(r0(&source(write)), 0x11);
    let data = |offset: u32| {
        source(&format!(
            "r1 = r10\nr1 += -24\nr2 = {offset}\nr3 = 1\ncall bpf_dynptr_data\nif r0 == 0 goto out\nr0 = *(u8 *)(r0 + 0)"
        ))
    };
    assert_eq!((r0(&data(1)), r0(&data(8))), (0x22, 0));
}

#[test]
fn dynptrs_hold_records() {
    let source = ".map r, ringbuf, max_entries=4096
        .program p, socket
        r1 = map[r] ll
        r2 = 8
        r3 = 0
        r4 = r10
        r4 += -16
        call bpf_ringbuf_reserve_dynptr
        if r0 != 0 goto out
        r1 = r10
        r1 += -16
        r2 = 0
        call bpf_ringbuf_submit_dynptr
        r6 = *(u64 *)(r10 - 16)
        r1 = map[r] ll
        r2 = 5000
        r3 = 0
        r4 = r10
        r4 += -16
        call bpf_ringbuf_reserve_dynptr
        r7 = r0
        r1 = r10
        r1 += -16
        r2 = 0
        call bpf_ringbuf_discard_dynptr
        r0 += r6
        r0 += r7
    out:
        exit";
    assert_eq!(r0(source), negative(Errno::EINVAL), "no room, and a null dynptr is no mistake");
}

#[test]
fn pointers_are_swapped() {
    let source = "*(u64 *)(r10 - 8) = 5\nr1 = r10\nr1 += -8\nr2 = 7\ncall bpf_kptr_xchg
        r1 = *(u64 *)(r10 - 8)\nr0 *= 10\nr0 += r1\nexit";
    assert_eq!(r0(source), 57);
}

#[test]
fn timers_fire_when_told_to() {
    let source = ".map m, hash, key=4, value=24, max_entries=4
        .program p, socket
        *(u32 *)(r10 - 4) = 7
        *(u64 *)(r10 - 32) = 0
        *(u64 *)(r10 - 24) = 0
        *(u64 *)(r10 - 16) = 0
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -32
        r4 = 0
        call bpf_map_update_elem
        r1 = map[m] ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r6 = r0
        r1 = r6
        r2 = 1000
        r3 = 0
        call bpf_timer_start
        r7 = r0
        r1 = r6
        r2 = map[m] ll
        r3 = 1
        call bpf_timer_init
        r7 *= 100
        r7 += r0
        r1 = r6
        r2 = map[m] ll
        r3 = 1
        call bpf_timer_init
        r7 *= 100
        r7 += r0
        r1 = r6
        r2 = fired ll
        call bpf_timer_set_callback
        r1 = r6
        r2 = 1000
        r3 = 0
        call bpf_timer_start
        r7 *= 100
        r7 += r0
        r0 = r7
    out:
        exit
    fired:
        r6 = r3
        r2 = *(u32 *)(r2 + 0)
        *(u64 *)(r6 + 16) = r2
        r1 = r6
        call bpf_timer_cancel
        r7 = r0
        r1 = r6
        r2 = 5
        r3 = 1
        call bpf_timer_start
        r0 = r7
        exit";
    let machine = machine(source);
    let mut thread = machine.thread().unwrap();
    assert_eq!(thread.run_timer(), None, "none is set");
    let outcome = thread.run(0, Input::Mem(&[])).unwrap();
    assert_eq!(outcome.trap, None);
    let (einval, ebusy) = (-22i64, -16i64);
    assert_eq!(outcome.r0 as i64, ((einval * 100) * 100 + ebusy) * 100);
    for _ in 0..2 {
        let fired = thread.run_timer().expect("set, and set again by the callback");
        assert_eq!((fired.trap, fired.r0), (None, negative(Errno::EDEADLK)));
    }
    let map = machine.map(0).unwrap();
    assert_eq!(map.lookup(&7u32.to_ne_bytes()).unwrap()[16], 7, "the key");
    map.delete(&7u32.to_ne_bytes()).unwrap();
    assert_eq!(thread.run_timer(), None, "gone with its element");
}

#[test]
fn kernel_parameters_are_those_of_the_environment() {
    let run = |new: Option<&str>, call: &str| {
        let sysctl = Sysctl {
            name: "net/ipv4/ip_forward".to_owned(),
            current: "0\n".to_owned(),
            new: new.map(str::to_owned),
        };
        let environment = Environment { sysctl, ..Environment::reproducible() };
        let source = format!(
            "*(u64 *)(r10 - 8) = -1\nr2 = r10\nr2 += -8\n{call}\nif r0 s< 0 goto out\nr0 <<= 56
            r1 = *(u64 *)(r10 - 8)\nr1 <<= 8\nr1 >>= 8\nr0 |= r1\nout:\nexit"
        );
        let machine = machine_with(&source, Config { environment, ..common::config() });
        let outcome = run_on(&machine, Input::Mem(&[]));
        assert_eq!(outcome.trap, None, "{call}");
        (outcome.r0, machine.take_new_sysctl())
    };
    let get = |len: u64, text: &[u8; 7]| {
        (len << 56 | u64::from_le_bytes([&text[..], b"\0"].concat().try_into().unwrap()), None)
    };
    let name = |size: u32, flags: u32| format!("r3 = {size}\nr4 = {flags}\ncall bpf_sysctl_get_name");
    assert_eq!(run(None, &name(8, 0)), (negative(Errno::E2BIG), None));
    assert_eq!(run(None, &name(8, 1)), (negative(Errno::E2BIG), None));
    assert_eq!(run(None, "r3 = 8\ncall bpf_sysctl_get_current_value"), get(2, b"0\n\0\0\0\0\0"));
    assert_eq!(run(None, "r3 = 2\ncall bpf_sysctl_get_current_value"), (negative(Errno::E2BIG), None));
    assert_eq!(run(None, "r3 = 8\ncall bpf_sysctl_get_new_value"), (negative(Errno::EINVAL), None));
    assert_eq!(run(Some("1"), "r3 = 4\ncall bpf_sysctl_get_new_value"), get(1, b"1\0\0\0\xff\xff\xff"));
    let set = "*(u16 *)(r10 - 8) = 0x3231\nr3 = 2\ncall bpf_sysctl_set_new_value";
    assert_eq!(run(None, set).0, negative(Errno::EINVAL));
    assert_eq!(run(Some("1"), set).1.as_deref(), Some(&b"12"[..]));
}
