// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers with arguments that no verifier would let through: whatever they are, the run ends in a result or a
//! trap that says which helper, and stays within its budget.

mod common;

use common::machine_with;
use proptest::prelude::*;
use skep_uapi::HelperId;
use skep_vm::{Config, Input, Machine, TrapKind};

/// What stands in a register.
#[derive(Clone, Copy, Debug)]
enum Value {
    Number(u64),
    /// `r10` and an offset.
    Stack(i8),
    /// What `r1` held at the start.
    Context,
    Map(&'static str),
    /// A function of the program.
    Function,
    /// The result of the call before.
    Result,
}

const MAPS: &str = "
.map array, array, key=4, value=24, max_entries=3
.map hash, hash, key=4, value=24, max_entries=3
.map cpus, percpu_array, key=4, value=8, max_entries=3
.map queue, queue, key=0, value=8, max_entries=3
.map ring, ringbuf, max_entries=4096
.map events, perf_event_array, key=4, value=4, max_entries=2
.map jumps, prog_array, max_entries=2
";
const PACKET: &[u8] = &[0x45; 80];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(&[0, 1, 2, 3, 4, 8, 14, 16, 64, 4096, 65535, 1 << 31, u64::MAX, 1 << 63][..])
            .prop_map(Value::Number),
        any::<u64>().prop_map(Value::Number),
        (0u64..0x200).prop_map(Value::Number),
        (-128i8..=0).prop_map(Value::Stack),
        Just(Value::Context),
        prop::sample::select(&["array", "hash", "cpus", "queue", "ring", "events", "jumps"][..])
            .prop_map(Value::Map),
        Just(Value::Function),
        Just(Value::Result),
    ]
}

fn text(calls: &[(u32, [Value; 5])], section: &str) -> String {
    let mut source = format!("{MAPS}.program wild, {section}\nr6 = r1\nr8 = 0\n");
    for (helper, args) in calls {
        for (i, arg) in args.iter().enumerate() {
            let reg = i + 1;
            source += &match arg {
                Value::Number(n) => format!("r{reg} = {n:#x} ll\n"),
                Value::Stack(off) => format!("r{reg} = r10\nr{reg} += {off}\n"),
                Value::Context => format!("r{reg} = r6\n"),
                Value::Map(name) => format!("r{reg} = map[{name}] ll\n"),
                Value::Function => format!("r{reg} = callback ll\n"),
                Value::Result => format!("r{reg} = r8\n"),
            };
        }
        source += &format!("call {helper}\nr8 = r0\n");
    }
    source + "exit\ncallback:\nr0 = 0\nexit\n"
}

fn machine(source: &str, checked: bool) -> Machine {
    let config = if checked { common::strictest() } else { common::config() };
    let config = Config { budget: Some(100_000), cpus: 2, memory_limit: 64 << 20, ..config };
    machine_with(source, config)
}

proptest! {
    #[test]
    fn nothing_breaks(
        calls in prop::collection::vec((0u32..215, prop::array::uniform5(value())), 1..5),
        section in prop::sample::select(&["tc", "xdp", "socket", "cgroup/sysctl"][..]),
        checked: bool,
    ) {
        let source = text(&calls, section);
        let machine = machine(&source, checked);
        let mut thread = machine.thread().unwrap();
        let input = match section {
            "cgroup/sysctl" => Input::Context(&[]),
            _ => Input::Packet { data: PACKET, ctx: None },
        };
        for input in [input, Input::Mem(PACKET)] {
            let outcome = thread.run(0, input).unwrap();
            if let Some(trap) = outcome.trap {
                let named = match trap.kind {
                    TrapKind::BadArgument { helper, .. } | TrapKind::NoContext { helper, .. } => {
                        calls.iter().any(|(id, _)| HelperId(*id) == helper)
                    }
                    _ => true,
                };
                prop_assert!(named && trap.at.is_some(), "{}", trap);
            }
            thread.run_timer();
        }
        let _ = machine.take_trace();
    }

    /// Each helper that is here, with the context first where it fits, which gets further than chance does.
    #[test]
    fn contexts_hold(
        helper in prop::sample::select(&[9u32, 10, 11, 18, 19, 26, 31, 32, 38, 39, 43, 44, 50, 54, 65, 68, 135, 163, 189, 190][..]),
        args in prop::array::uniform4(value()),
        again in prop::array::uniform4(value()),
        xdp: bool,
    ) {
        let with_context = |args: [Value; 4]| [Value::Context, args[0], args[1], args[2], args[3]];
        let calls = [(helper, with_context(args)), (26, with_context(again)), (helper, with_context(again))];
        let source = text(&calls, if xdp { "xdp" } else { "tc" });
        let machine = machine(&source, true);
        let input = Input::Packet { data: PACKET, ctx: None };
        let outcome = machine.thread().unwrap().run(0, input).unwrap();
        prop_assert!(outcome.data_out.len() <= 1 << 20);
    }
}
