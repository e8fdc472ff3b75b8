// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contexts against the running kernel's `BPF_PROG_TEST_RUN`: every readable field, packet loads, and what comes
//! back of packet and context. Where bpf(2) is not to be had, the tests say so and pass.

#[path = "common/kernel.rs"]
mod harness;

use harness::*;
use skep_isa::{Insn, class, opcode};
use skep_uapi::ProgType;
use skep_uapi::context::{self, Layout};

/// Program types whose contexts `bpf_prog_test_run_skb` and `bpf_prog_test_run_xdp` make.
const TYPES: [ProgType; 7] = [
    ProgType::XDP,
    ProgType::SCHED_CLS,
    ProgType::SCHED_ACT,
    ProgType::SOCKET_FILTER,
    ProgType::CGROUP_SKB,
    ProgType::LWT_IN,
    ProgType::LWT_OUT,
];

/// Contexts to start from, the first being none.
fn contexts(prog_type: ProgType, len: u64) -> Vec<Option<Vec<u8>>> {
    let layout = layout_of(prog_type);
    let given: &[&[(&str, u64)]] = if prog_type == ProgType::XDP {
        &[&[("data_end", len)], &[("data", 4), ("data_end", len), ("ingress_ifindex", 1)]]
    } else {
        &[
            &[],
            &[
                ("mark", 0x1234_5678),
                ("priority", 7),
                ("ingress_ifindex", 11),
                ("ifindex", 1),
                ("cb", 0x0102_0304),
                ("tstamp", 0x1122_3344_5566),
                ("wire_len", 5000),
                ("gso_segs", 8),
                ("gso_size", 1400),
                ("hwtstamp", 99),
            ],
        ]
    };
    let given = given.iter().map(|fields| Some(ctx(layout, fields)));
    // Metadata is taken off the front of the packet, of which an Ethernet header has to be left.
    let fits =
        |c: &Option<Vec<u8>>| prog_type != ProgType::XDP || len >= 18 || c.as_ref().is_none_or(|c| c[0] == 0);
    [None].into_iter().chain(given).filter(fits).collect()
}

#[test]
fn every_field_reads_as_in_a_test_run_of_the_kernel() {
    let Some(kernel) = kernel() else { return };
    let mut differences = Vec::new();
    for prog_type in TYPES {
        let (names, end) = load_everything(prog_type, 0);
        let object = object(prog_type, [&PROLOGUE[..], &end].concat(), vec![array(8 * names.len() as u32)]);
        for (what, data) in packets() {
            for ctx in contexts(prog_type, data.len() as u64) {
                let size = layout_of(prog_type).size as usize;
                let theirs = on_kernel(&kernel, &object, &data, ctx.as_deref(), size);
                let ours = on_machine(&object, &data, ctx.as_deref());
                let case = format!("{prog_type}, {what}, context {}", ctx.is_some());
                let words = theirs.value.as_chunks::<8>().0.iter().zip(ours.value.as_chunks::<8>().0);
                for (name, (theirs, ours)) in names.iter().zip(words) {
                    let (theirs, ours) = (u64::from_le_bytes(*theirs), u64::from_le_bytes(*ours));
                    if theirs != ours {
                        differences.push(format!("{case}: {name}: kernel {theirs:#x}, here {ours:#x}"));
                    }
                }
                if theirs.data != ours.data {
                    differences.push(format!("{case}: packet: {:x?} {:x?}", theirs.data, ours.data));
                }
                for field in layout_of(prog_type).fields {
                    let at = field.offset as usize..(field.offset + field.size * field.count) as usize;
                    let (theirs, ours) = (theirs.ctx.get(at.clone()), ours.ctx.get(at));
                    if theirs != ours {
                        let name = field.name;
                        differences.push(format!("{case}: {name} afterwards: {theirs:x?} {ours:x?}"));
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn packet_loads_read_as_in_a_test_run_of_the_kernel() {
    let Some(kernel) = kernel() else { return };
    const SKF_NET_OFF: i32 = -0x10_0000;
    const SKF_LL_OFF: i32 = -0x20_0000;
    let offsets = [0, 1, 12, 14, 40, 51, 53, 54, 55, 100, i32::MAX]
        .into_iter()
        .chain([0, 1, 9, 16, 37, 39, 40, 41].map(|o| SKF_NET_OFF + o))
        .chain([0, 6, 12, 14, 53, 54].map(|o| SKF_LL_OFF + o))
        .chain([-1, -4096, SKF_LL_OFF - 1, i32::MIN, SKF_NET_OFF - 1, SKF_NET_OFF - 14]);
    let (_, data) = packets().swap_remove(0);
    let mut differences = Vec::new();
    for offset in offsets {
        for prog_type in [ProgType::SOCKET_FILTER, ProgType::SCHED_CLS] {
            for size in [1, 2, 4] {
                for indirect in [false, true] {
                    let mode = if indirect { opcode::IND } else { opcode::ABS };
                    let (imm, src) = if indirect { (0, 2) } else { (offset, 0) };
                    let insns = vec![
                        Insn::new(class::ALU64 | opcode::MOV | opcode::X, 6, 1, 0, 0),
                        mov(2, offset),
                        Insn::new(class::LD | mode | size_bits(size), 0, src, 0, imm),
                        Insn::new(class::ALU64 | opcode::IMM, 0, 0, 0, 1),
                        EXIT,
                    ];
                    let object = object(prog_type, insns, Vec::new());
                    let theirs = on_kernel(&kernel, &object, &data, None, 0).retval;
                    let ours = on_machine(&object, &data, None).retval;
                    if theirs != ours {
                        differences.push(format!(
                            "{prog_type} size {size} indirect {indirect} at {offset:#x}: \
                             kernel {theirs:#x}, here {ours:#x}"
                        ));
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn flow_dissectors_fill_in_keys_as_in_a_test_run_of_the_kernel() {
    let Some(kernel) = kernel() else { return };
    let keys = &context::BPF_FLOW_KEYS;
    let field = |layout: &Layout, name: &str| layout.field(name).unwrap().offset;
    // Shows the length and the keys at the start, then writes offsets beyond the ends, addresses and ports.
    let mut insns = PROLOGUE.to_vec();
    insns.push(ldx(4, 2, 6, field(&context::SK_BUFF, "data")));
    insns.push(ldx(4, 3, 6, field(&context::SK_BUFF, "data_end")));
    insns.push(ldx(8, 4, 6, field(&context::SK_BUFF, "flow_keys")));
    insns.push(Insn::new(class::ALU64 | SUB | opcode::X, 3, 2, 0, 0));
    insns.push(Insn::new(class::STX | opcode::MEM | size_bits(8), 7, 3, 0, 0));
    for word in 0..7 {
        insns.push(ldx(8, 5, 4, 8 * word));
        insns.push(Insn::new(class::STX | opcode::MEM | size_bits(8), 7, 5, 8 + 8 * word as i16, 0));
    }
    for (name, value) in [("sport", 0x1234), ("ip_proto", 17), ("ipv4_dst", 0x0a00_0001), ("nhoff", 3)] {
        let field = keys.field(name).unwrap();
        let code = class::ST | opcode::MEM | size_bits(field.size);
        insns.push(Insn::new(code, 4, 0, field.offset as i16, value));
    }
    insns.push(Insn::new(class::ST | opcode::MEM | size_bits(2), 4, 0, field(keys, "thoff") as i16, 9000));
    insns.extend([mov(0, 0), EXIT]);
    let object = object(ProgType::FLOW_DISSECTOR, insns, vec![array(64)]);
    for (what, data) in packets() {
        for ctx in [None, Some(ctx(keys, &[("flags", 2)]))] {
            let theirs = on_kernel(&kernel, &object, &data, ctx.as_deref(), keys.size as usize);
            let ours = on_machine(&object, &data, ctx.as_deref());
            assert_eq!(theirs, ours, "{what}");
        }
    }
}

#[test]
fn contexts_of_bytes_are_as_in_a_test_run_of_the_kernel() {
    let Some(kernel) = kernel() else { return };
    let bytes: Vec<u8> = (1..=96).collect();
    // Reads words of several sizes and places of the context; writes one where the program type lets it.
    for (prog_type, writes) in [(ProgType::RAW_TRACEPOINT, false), (ProgType::SYSCALL, true)] {
        let mut insns = PROLOGUE.to_vec();
        for (at, (size, offset)) in [(8, 0), (8, 88), (4, 4), (2, 10), (1, 95)].into_iter().enumerate() {
            insns.push(ldx(size, 3, 6, offset));
            insns.push(Insn::new(class::STX | opcode::MEM | size_bits(8), 7, 3, 8 * at as i16, 0));
        }
        if writes {
            insns.push(Insn::new(class::ST | opcode::MEM | size_bits(4), 6, 0, 8, 0x0bad_cafe));
        }
        insns.extend([mov(0, 7), EXIT]);
        let mut object = object(prog_type, insns, vec![array(40)]);
        if prog_type == ProgType::SYSCALL {
            object.programs[0].prog_flags = skep_uapi::flags::prog_load::BPF_F_SLEEPABLE;
        }
        let theirs = bytes_on_kernel(&kernel, &object, &bytes);
        let ours = bytes_on_machine(&object, &bytes);
        assert_eq!((theirs.retval, &theirs.value), (ours.retval, &ours.value), "{prog_type}");
        // The kernel writes the context of a syscall program back to where it came from.
        let mut after = bytes.clone();
        if writes {
            after[8..12].copy_from_slice(&0x0bad_cafe_u32.to_le_bytes());
        }
        assert_eq!(ours.ctx, after, "{prog_type}");
    }
}
