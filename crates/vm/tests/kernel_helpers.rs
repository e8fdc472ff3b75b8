// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on plain memory and maps against the running kernel's `BPF_PROG_TEST_RUN`: results, and everything that
//! they write. Where bpf(2) is not to be had, the tests say so and pass.

#[path = "common/kernel.rs"]
mod harness;

use harness::{Ran, kernel};
use skep_asm::{Options, assemble};
use skep_kernel_load::Kernel;
use skep_program::{Info, Object, load};
use skep_uapi::{Bpf, TestRun};
use skep_vm::{Input, Machine};

const PACKET: [u8; 64] = [0; 64];

/// What all programs start with: a place for results, at `r9`.
const HEAD: &str = "
.map out, array, key=4, value=256, max_entries=1
";
const ENTRY: &str = "
        r6 = r1
        r9 = map[out][0] ll
";

/// A program of tc whose body leaves results at `r9`, which have 256 bytes.
fn source(declarations: &str, body: &str) -> String {
    format!("{HEAD}{declarations}\n.program test, tc\n{ENTRY}{body}\nr0 = 0\nexit\n")
}

/// BTF and function records for a program with callbacks, which the kernel asks for: all functions are static, and
/// return an `int`.
fn describe_functions(object: &mut Object) {
    const INT: u32 = 1 << 24;
    const FUNC_PROTO: u32 = 13 << 24;
    const FUNC: u32 = 12 << 24;
    let mut strings = b"\0int\0".to_vec();
    // Type 1 is `int`, type 2 the prototype; the functions follow.
    let mut types = vec![1, INT, 4, 1 << 24 | 32, 0, FUNC_PROTO, 1];
    let program = &mut object.programs[0];
    let mut info = Vec::new();
    for (i, function) in program.functions.iter().enumerate() {
        types.extend([strings.len() as u32, FUNC, 2]);
        strings.extend_from_slice(format!("f{i}\0").as_bytes());
        info.extend((function.start as u32).to_ne_bytes());
        info.extend((3 + i as u32).to_ne_bytes());
    }
    let types_len = types.len() as u32 * 4;
    let header = [0x0001_eb9f, 24, 0, types_len, types_len, strings.len() as u32];
    let mut btf: Vec<u8> = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes()).collect();
    btf.extend(strings);
    program.btf = Some(btf.into());
    program.func_info = Info { rec_size: 8, bytes: info };
}

fn object(source: &str) -> Object {
    let mut object = assemble(source, &Options::default()).unwrap_or_else(|e| panic!("{e:?}\n{source}"));
    if object.programs[0].functions.len() > 1 {
        describe_functions(&mut object);
    }
    object
}

fn on_kernel(kernel: &Kernel, object: &Object, source: &str) -> Ran {
    let maps = load::create_maps(kernel, &object.maps, None).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let program = &object.programs[0];
    let btf = load::load_btf(kernel, program.btf.as_deref()).unwrap();
    let mut log = String::new();
    let program = load::load_program(kernel, program, &maps, btf.as_ref(), 1, &mut log)
        .unwrap_or_else(|errno| panic!("{errno}\n{source}\n{log}"));
    let run = TestRun { data_in: Some(&PACKET), data_out_size: 4096, ..TestRun::default() };
    let result = kernel.prog_test_run(&program, &run).unwrap_or_else(|errno| panic!("{errno}\n{source}"));
    let mut value = vec![0; 256];
    kernel.map_lookup_elem(&maps[0], &[0; 4], &mut value, 0).unwrap();
    Ran { retval: result.retval, data: result.data_out, ctx: Vec::new(), value }
}

fn on_machine(object: &Object, source: &str) -> Ran {
    let machine = Machine::new(object, harness::config::strictest()).unwrap();
    let input = Input::Packet { data: &PACKET, ctx: None };
    let outcome = machine.thread().unwrap().run(0, input).unwrap();
    assert_eq!(outcome.trap, None, "{source}");
    let value = machine.map(0).unwrap().lookup(&[0; 4]).unwrap();
    Ran { retval: outcome.r0 as u32, data: outcome.data_out, ctx: Vec::new(), value }
}

/// Runs each source on both sides.
fn agree(sources: impl IntoIterator<Item = String>) {
    let Some(kernel) = kernel() else { return };
    for source in sources {
        let object = object(&source);
        let (there, here) = (on_kernel(&kernel, &object, &source), on_machine(&object, &source));
        let mut words = here.value.chunks(8).zip(there.value.chunks(8)).enumerate();
        if let Some((i, (here, there))) = words.find(|(_, (here, there))| here != there) {
            let (here, there) = (here.escape_ascii(), there.escape_ascii());
            panic!("at {}: {here} here, {there} in the kernel: {source}", i * 8);
        }
        assert_eq!(here.retval, there.retval, "{source}");
        assert_eq!((here.data, here.value), (there.data, there.value), "{source}");
    }
}

#[test]
fn text_is_laid_out_alike() {
    let cases: &[(&str, &[&str])] = &[
        ("plain %%\\n", &[]),
        ("%d %i %u %x %X", &["-5", "7", "-5", "0xab", "0xab"]),
        ("%ld|%lu|%lx|%lld", &["-5", "-5", "255", "1 << 40"]),
        ("%5d|%-5d|%05d|%+d|% d|", &["42", "42", "-42", "42", "42"]),
        ("%-05d|%3d|%+u|% x", &["1", "12345", "7", "7"]),
        ("%08x|%-8X|%2lx", &["0xabc", "0xabc", "0xabc"]),
        ("%c|%3c|%-3c|", &["65", "66", "67"]),
        ("%s|%8s|%-8s|", &["word", "word", "word"]),
        ("%s|%s", &["0", "word"]),
        ("%pks|%pus|", &["word", "8"]),
        ("%px|%20px|%-20px|", &["0x1234", "0x1234", "0x1234"]),
        ("%pI4 %pi4", &["ip", "ip"]),
        ("%pI6 %pi6", &["ip", "ip"]),
        ("%pI6c.", &["ip"]),
        ("%pI4", &["8"]),
        ("%s", &["long"]),
        ("%d %d", &["1", "2"]),
    ];
    let sources = cases.iter().flat_map(|(format, args)| {
        [200u32, 8, 1].into_iter().map(move |size| {
            let stores: String = args
                .iter()
                .enumerate()
                .map(|(i, arg)| format!("r1 = {arg} ll\n*(u64 *)(r10 - {}) = r1\n", 96 - 8 * i))
                .collect();
            let fill: String =
                (args.len()..12).map(|i| format!("*(u64 *)(r10 - {}) = 0\n", 96 - 8 * i)).collect();
            let declarations = format!(
                ".rodata\nformat: .asciz \"{format}\"\nword: .asciz \"word\"\nip: .byte 192, 168, 0, 1, 5, 6, 7, 8
                .byte 9, 10, 11, 12, 13, 14, 15, 16\nlong: .asciz \"{}\"",
                "long ".repeat(60)
            );
            let body = format!(
                "{stores}{fill}
                r1 = r9\nr1 += 8\nr2 = {size}\nr3 = format ll\nr4 = r10\nr4 += -96\nr5 = {}
                call bpf_snprintf
                *(u64 *)(r9 + 0) = r0",
                args.len() * 8
            );
            source(&declarations, &body)
        })
    });
    agree(sources);
}

#[test]
fn formats_are_refused_alike() {
    let formats = [
        "",
        "fine",
        "%",
        "%d",
        "%d %d %d",
        "%d %d %d %d",
        "%f",
        "%#x",
        "%.3s",
        "%sa",
        "%pQ",
        "%pI5",
        "%hd",
        "%llld",
        "%p",
        "%p ",
        "%p1",
        "%pks!",
        "%pkz",
        "%99d",
        "%s%s",
        "tab\\t",
        "%+5d",
        "%c",
        "%lc",
        "%l",
        "% ",
    ];
    let sources = formats.iter().map(|format| {
        let body =
            "r1 = format ll\nr2 = SIZE\nr3 = 1\nr4 = 2\nr5 = 3\ncall bpf_trace_printk\n*(u64 *)(r9 + 0) = r0
            r1 = format ll\nr2 = SIZE - 1\nif r2 == 0 goto out\nr3 = 1\nr4 = 2\nr5 = 3
            call bpf_trace_printk\n*(u64 *)(r9 + 8) = r0
            *(u64 *)(r10 - 8) = 4\nr1 = format ll\nr2 = SIZE\nr3 = r10\nr3 += -8\nr4 = 8
            call bpf_trace_vprintk\n*(u64 *)(r9 + 16) = r0
            out:";
        let size = format.replace("\\t", "\t").len() + 1;
        source(&format!(".rodata\nformat: .asciz \"{format}\"\n.set SIZE, {size}"), body)
    });
    agree(sources);
}

#[test]
fn numbers_are_read_alike() {
    let texts = [
        "123",
        " 123",
        "-0x1f;",
        "0x",
        "0xg",
        "08",
        "0",
        "-0",
        "+1",
        "- 1",
        "\\t7",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "ffff",
        "777",
        "",
        "00000000000000000000000000000000000000000000000000000000000000000000000000000012",
    ];
    let sources = texts.iter().map(|text| {
        let mut body = String::new();
        let mut at = 0;
        for flags in [0, 8, 10, 16, 2, 32] {
            for helper in ["strtol", "strtoul"] {
                body += &format!(
                    "*(u64 *)(r10 - 8) = -1\nr1 = text ll\nr2 = SIZE\nr3 = {flags}\nr4 = r10\nr4 += -8
                    call bpf_{helper}\n*(u64 *)(r9 + {at}) = r0
                    r1 = *(u64 *)(r10 - 8)\n*(u64 *)(r9 + {}) = r1\n",
                    at + 8
                );
                at += 16;
            }
        }
        let size = text.replace("\\t", "\t").len() + 1;
        source(&format!(".rodata\ntext: .asciz \"{text}\"\n.set SIZE, {size}"), &body)
    });
    agree(sources);
}

#[test]
fn strings_are_compared_alike() {
    let pairs = [("abc", "abc"), ("abc", "abd"), ("abd", "abc"), ("abc", "ab"), ("ab", "abc"), ("", "a")];
    agree(pairs.iter().map(|(a, b)| {
        let sizes: String = (1..=a.len() + 1)
            .map(|size| {
                format!(
                    "r1 = a ll\nr2 = {size}\nr3 = b ll\ncall bpf_strncmp\n*(u64 *)(r9 + {}) = r0\n",
                    size * 8
                )
            })
            .collect();
        source(&format!(".rodata\na: .asciz \"{a}\"\nb: .asciz \"{b}\""), &sizes)
    }));
}

#[test]
fn probing_is_alike() {
    let sources = ["probe_read_kernel", "probe_read_kernel_str", "probe_read_user", "probe_read_user_str"]
        .iter()
        .flat_map(|helper| {
            let kernel = if helper.contains("kernel") { &["r3 = text ll"][..] } else { &[] };
            ["r3 = 8", "r3 = -4096 ll"].iter().chain(kernel).map(move |address| {
                let mut body = String::new();
                for (i, size) in [0u32, 1, 4, 7, 8, 20].into_iter().enumerate() {
                    let at = 40 * i;
                    body += &format!(
                        "r1 = 0x5a5a5a5a5a5a5a5a ll\n*(u64 *)(r9 + {0}) = r1\n*(u64 *)(r9 + {1}) = r1
                        *(u64 *)(r9 + {2}) = r1\nr1 = r9\nr1 += {0}\nr2 = {size}\n{address}\ncall bpf_{helper}
                        *(u64 *)(r9 + {3}) = r0\n",
                        at,
                        at + 8,
                        at + 16,
                        at + 24
                    );
                }
                source(".rodata\ntext: .asciz \"seven!!\"\n.asciz \"more text behind it\"", &body)
            })
        });
    agree(sources);
}

#[test]
fn callbacks_are_called_alike() {
    let rounds = |count: u32, flags: u32| {
        format!(
            "{HEAD}.program test, tc\n{ENTRY}
            *(u64 *)(r10 - 8) = r9
            r1 = {count}
            r2 = body ll
            r3 = r10
            r3 += -8
            r4 = {flags}
            call bpf_loop
            *(u64 *)(r9 + 0) = r0
            r0 = 0
            exit
        body:
            r3 = map[out][0] ll
            r4 = *(u64 *)(r3 + 8)
            r4 += r1
            *(u64 *)(r3 + 8) = r4
            r0 = 0
            if r1 != 20 goto done
            r0 = 1
        done:
            exit"
        )
    };
    let walk = |kind: &str| {
        format!(
            "{HEAD}.map m, {kind}, key=4, value=8, max_entries=3\n.program test, tc\n{ENTRY}
            *(u32 *)(r10 - 4) = 2
            *(u64 *)(r10 - 16) = 40
            r1 = map[m] ll
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -16
            r4 = 0
            call bpf_map_update_elem
            *(u64 *)(r9 + 0) = r0
            r1 = map[m] ll
            r2 = each ll
            r3 = 0
            r4 = 0
            call bpf_for_each_map_elem
            *(u64 *)(r9 + 8) = r0
            r1 = map[m] ll
            r2 = each ll
            r3 = 0
            r4 = 1
            call bpf_for_each_map_elem
            *(u64 *)(r9 + 16) = r0
            r0 = 0
            exit
        each:
            r1 = map[out][0] ll
            r2 = *(u32 *)(r2 + 0)
            r3 = *(u64 *)(r3 + 0)
            r2 *= r3
            r4 = *(u64 *)(r1 + 24)
            r4 += r2
            *(u64 *)(r1 + 24) = r4
            r4 = *(u64 *)(r1 + 32)
            r4 += 1
            *(u64 *)(r1 + 32) = r4
            r0 = 0
            exit"
        )
    };
    let kinds = ["array", "percpu_array", "hash", "percpu_hash", "lru_hash", "lru_percpu_hash"];
    let loops = [(0, 0), (5, 0), (50, 0), (5, 1), (8 << 20 | 1, 0)];
    agree(loops.into_iter().map(|(count, flags)| rounds(count, flags)).chain(kinds.into_iter().map(walk)));
}

#[test]
fn queues_are_alike() {
    let sources = ["queue", "stack"].map(|kind| {
        let push = |value: u32, flags: u32, at: u32| {
            format!(
                "*(u64 *)(r10 - 8) = {value}\nr1 = map[q] ll\nr2 = r10\nr2 += -8\nr3 = {flags}
                call bpf_map_push_elem\n*(u64 *)(r9 + {at}) = r0\n"
            )
        };
        let take = |helper: &str, at: u32| {
            format!(
                "*(u64 *)(r10 - 8) = -1\nr1 = map[q] ll\nr2 = r10\nr2 += -8\ncall bpf_map_{helper}_elem
                *(u64 *)(r9 + {at}) = r0\nr1 = *(u64 *)(r10 - 8)\n*(u64 *)(r9 + {}) = r1\n",
                at + 8
            )
        };
        let body = [
            take("peek", 0),
            push(1, 0, 16),
            push(2, 0, 24),
            push(3, 0, 32),
            push(4, 2, 40),
            push(5, 1, 48),
            push(6, 3, 56),
            take("peek", 64),
            take("pop", 80),
            take("pop", 96),
            take("pop", 112),
        ]
        .concat();
        source(&format!(".map q, {kind}, key=0, value=8, max_entries=2"), &body)
    });
    agree(sources);
}

#[test]
fn ring_buffers_are_alike() {
    let output = |size: u32, flags: u32, at: u32| {
        format!(
            "r1 = map[r] ll\nr2 = r9\nr3 = {size}\nr4 = {flags}\ncall bpf_ringbuf_output\n*(u64 *)(r9 + {at}) = r0\n"
        )
    };
    let reserve = |size: u32, flags: u32, end: &str, at: u32| {
        format!(
            "r1 = map[r] ll\nr2 = {size}\nr3 = {flags}\ncall bpf_ringbuf_reserve\n*(u64 *)(r9 + {at}) = 1
            if r0 == 0 goto 1f\n*(u64 *)(r9 + {at}) = 2\nr1 = r0\nr2 = 0\ncall bpf_ringbuf_{end}\n1:\n"
        )
    };
    let query = |what: u32, at: u32| {
        format!("r1 = map[r] ll\nr2 = {what}\ncall bpf_ringbuf_query\n*(u64 *)(r9 + {at}) = r0\n")
    };
    let body = [
        output(13, 0, 0),
        output(13, 4, 8),
        output(200, 3, 16),
        reserve(100, 0, "submit", 24),
        reserve(100, 1, "submit", 32),
        reserve(3000, 0, "discard", 40),
        reserve(1000, 0, "discard", 48),
        reserve(1 << 20, 0, "discard", 56),
        output(256, 0, 64),
        output(256, 0, 72),
        output(256, 0, 80),
        query(0, 88),
        query(1, 96),
        query(2, 104),
        query(3, 112),
        query(4, 120),
    ]
    .concat();
    agree([source(".map r, ringbuf, max_entries=4096", &body)]);
}

#[test]
fn perf_output_is_refused_alike() {
    let flags = ["4", "100", "1 << 52", "1 << 63", "65 << 32"];
    agree(flags.map(|flags| {
        let body = format!(
            "r1 = r6\nr2 = map[e] ll\nr3 = {flags} ll\nr4 = r9\nr5 = 8\ncall bpf_perf_event_output\n*(u64 *)(r9 + 0) = r0"
        );
        source(".map e, perf_event_array, key=4, value=4, max_entries=4", &body)
    }));
}

#[test]
fn dynptrs_are_alike() {
    let from_mem = |size: u32, flags: u32| {
        format!(
            "r1 = map[data][0] ll\nr2 = {size}\nr3 = {flags}\nr4 = r10\nr4 += -16\ncall bpf_dynptr_from_mem
            *(u64 *)(r9 + 0) = r0\n"
        )
    };
    let read = |len: u32, offset: u32, flags: u32, at: u32| {
        format!(
            "r1 = r9\nr1 += {at}\nr2 = {len}\nr3 = r10\nr3 += -16\nr4 = {offset}\nr5 = {flags}
            call bpf_dynptr_read\n*(u64 *)(r9 + {}) = r0\n",
            at + 16
        )
    };
    let write = |offset: u32, len: u32, flags: u32, at: u32| {
        format!(
            "r1 = r10\nr1 += -16\nr2 = {offset}\nr3 = r9\nr4 = {len}\nr5 = {flags}\ncall bpf_dynptr_write
            *(u64 *)(r9 + {at}) = r0\n"
        )
    };
    let data = |offset: u32, len: u32, at: u32| {
        format!(
            "r1 = r10\nr1 += -16\nr2 = {offset}\nr3 = {len}\ncall bpf_dynptr_data
            *(u64 *)(r9 + {at}) = 0\nif r0 == 0 goto 1f\nr0 = *(u8 *)(r0 + 0)\nr0 += 1\n*(u64 *)(r9 + {at}) = r0\n1:\n"
        )
    };
    let declarations =
        ".map data, array, key=4, value=32, max_entries=1\n.entry 0 = {u64 0x1122334455667788, u64 -1}";
    agree([(32, 0), (8, 0), (0, 0), (8, 1)].map(|(size, flags)| {
        let body = [
            from_mem(size, flags),
            read(8, 0, 0, 8),
            read(8, 1, 0, 32),
            read(8, 0, 1, 56),
            read(1, 31, 0, 80),
            write(4, 8, 0, 104),
            write(4, 8, 1, 112),
            write(30, 8, 0, 120),
            data(4, 4, 128),
            data(32, 1, 136),
            data(5, 4, 144),
            read(16, 0, 0, 152),
        ]
        .concat();
        source(declarations, &body)
    }));
}

#[test]
fn redirects_answer_alike() {
    let tc = [
        "r1 = 1\nr2 = 0\ncall bpf_redirect",
        "r1 = 9\nr2 = 1\ncall bpf_redirect",
        "r1 = 1\nr2 = 2\ncall bpf_redirect",
        "r1 = 1\nr2 = 0\ncall bpf_redirect_peer",
        "r1 = 1\nr2 = 1\ncall bpf_redirect_peer",
        "r1 = 1\nr2 = 0\nr3 = 0\nr4 = 0\ncall bpf_redirect_neigh",
        "r1 = 1\nr2 = 0\nr3 = 0\nr4 = 1\ncall bpf_redirect_neigh",
        "r1 = r6\nr2 = 12345678\nr3 = 0\ncall bpf_clone_redirect",
        "r1 = r6\nr2 = 1\nr3 = 4\ncall bpf_clone_redirect",
        "r1 = r6\nr2 = 1\nr3 = 0\ncall bpf_clone_redirect",
        "r1 = r6\nr2 = 1\nr3 = 1\ncall bpf_clone_redirect",
    ];
    agree(tc.map(|call| source("", &format!("{call}\n*(u64 *)(r9 + 0) = r0"))));
    let xdp = ["r1 = 1\nr2 = 0\ncall bpf_redirect", "r1 = 1\nr2 = 1\ncall bpf_redirect"];
    agree(xdp.map(|call| {
        format!("{HEAD}.program test, xdp\n{ENTRY}{call}\n*(u64 *)(r9 + 0) = r0\nr0 = 2\nexit\n")
    }));
}

#[test]
fn devices_and_routes_answer_alike() {
    let mtu = |ifindex: u32, given: u32, diff: i32, flags: u32| {
        format!(
            "*(u32 *)(r9 + 8) = {given}\nr1 = r6\nr2 = {ifindex}\nr3 = r9\nr3 += 8\nr4 = {diff}\nr5 = {flags}
            call bpf_check_mtu\n*(u64 *)(r9 + 0) = r0\n"
        )
    };
    let fib = |family: u32, size: u32, flags: u32| {
        format!(
            "*(u8 *)(r9 + 8) = {family}\nr1 = r6\nr2 = r9\nr2 += 8\nr3 = {size}\nr4 = {flags}
            call bpf_fib_lookup\n*(u64 *)(r9 + 0) = r0\n"
        )
    };
    let socket = |helper: &str, len: u32| {
        format!(
            "r1 = r6\nr2 = r9\nr2 += 8\nr3 = {len}\nr4 = -1\nr5 = 0\ncall bpf_{helper}\n*(u64 *)(r9 + 0) = 1
            if r0 == 0 goto 1f\nr1 = r0\ncall bpf_sk_release\n*(u64 *)(r9 + 0) = 2\n1:\n"
        )
    };
    let bodies = [
        mtu(0, 0, 0, 0),
        mtu(1, 0, 0, 0),
        mtu(1, 65536, 0, 0),
        mtu(1, 65536, 1, 0),
        mtu(1, 65537, -1, 0),
        mtu(12_345_678, 0, 0, 0),
        mtu(1, 0, 0, 2),
        mtu(1, 0, 1, 1),
        mtu(1, 0, 0, 1),
        mtu(1, 0, 70000, 0),
        fib(7, 64, 0),
        fib(2, 63, 0),
        fib(2, 64, 1 << 20),
        socket("sk_lookup_tcp", 12),
        socket("sk_lookup_udp", 36),
        socket("skc_lookup_tcp", 7),
        "r1 = r6\ncall bpf_get_cgroup_classid\n*(u64 *)(r9 + 0) = r0\n".to_owned(),
        "r1 = r6\ncall bpf_get_route_realm\n*(u64 *)(r9 + 0) = r0\n".to_owned(),
        "r1 = r6\ncall bpf_get_socket_uid\n*(u64 *)(r9 + 0) = r0\n".to_owned(),
    ];
    agree(bodies.map(|body| source("", &body)));
}

#[test]
fn clocks_are_those_of_the_kernel() {
    let Some(kernel) = kernel() else { return };
    let clocks = ["ktime_get_ns", "ktime_get_boot_ns", "ktime_get_tai_ns", "ktime_get_coarse_ns"];
    let calls: String = clocks
        .iter()
        .enumerate()
        .map(|(i, clock)| format!("call bpf_{clock}\n*(u64 *)(r9 + {}) = r0\n", i * 8))
        .collect();
    let source = source("", &calls);
    let object = object(&source);
    let (there, here) = (on_kernel(&kernel, &object, &source), on_machine(&object, &source));
    let read = |ran: &Ran, i: usize| u64::from_ne_bytes(ran.value[i * 8..i * 8 + 8].try_into().unwrap());
    for (i, clock) in clocks.iter().enumerate() {
        let passed = read(&here, i).checked_sub(read(&there, i));
        // The coarse clock stands still for up to 10 ms.
        let passed = passed.or_else(|| (*clock == "ktime_get_coarse_ns").then_some(0));
        assert!(passed.is_some_and(|ns| ns < 60_000_000_000), "{clock}");
    }
}
