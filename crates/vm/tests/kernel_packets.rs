// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on packets against the running kernel's `BPF_PROG_TEST_RUN`: results, what they write, every field of the
//! context afterwards, and the packet that comes back. Where bpf(2) is not to be had, the tests say so and pass.

#[path = "common/kernel.rs"]
mod harness;

use harness::*;
use skep_isa::{Insn, class, opcode};
use skep_uapi::{HelperId, ProgType, TestRun};

/// An argument of a helper.
#[derive(Clone, Copy, Debug)]
enum A {
    /// The context.
    Ctx,
    /// A number.
    N(i64),
    /// A pointer to bytes, and after it their number as the next argument.
    Bytes(&'static [u8]),
    /// A pointer to so many bytes to be written, and after it their number as the next argument.
    Room(u8),
    /// The result of the call before.
    Result,
}
use A::{Bytes, Ctx, N, Room};

/// Calls in a row, of one helper each.
type Calls<'a> = &'a [(HelperId, &'a [A])];

/// Bytes of the stack that helpers read from or write to.
const SCRATCH: usize = 64;

fn store_imm(off: i16, imm: i32) -> Insn {
    Insn::new(class::ST | opcode::MEM, 10, 0, off, imm)
}

fn load_imm64(dst: u8, value: i64) -> [Insn; 2] {
    [Insn::new(opcode::LD_IMM64, dst, 0, 0, value as i32), Insn::new(0, 0, 0, 0, (value >> 32) as i32)]
}

/// A program that does the calls, then shows their results, the scratch memory and the whole context.
fn program(prog_type: ProgType, calls: Calls<'_>) -> (Vec<String>, Vec<Insn>) {
    let scratch = -(SCRATCH as i16);
    let mut names = Vec::new();
    let mut insns = PROLOGUE.to_vec();
    for word in 0..SCRATCH as i16 / 4 {
        insns.push(store_imm(scratch + 4 * word, 0x5a5a_5a5a));
    }
    for (helper, args) in calls {
        // The result of the call before is in r8.
        let mut reg = 1;
        for arg in *args {
            match *arg {
                Ctx => insns.push(Insn::new(class::ALU64 | opcode::MOV | opcode::X, reg, 6, 0, 0)),
                N(value) => insns.extend(load_imm64(reg, value)),
                A::Result => insns.push(Insn::new(class::ALU64 | opcode::MOV | opcode::X, reg, 8, 0, 0)),
                Bytes(bytes) => {
                    for (i, word) in bytes.chunks(4).enumerate() {
                        let mut value = [0; 4];
                        value[..word.len()].copy_from_slice(word);
                        insns.push(store_imm(scratch + 4 * i as i16, i32::from_le_bytes(value)));
                    }
                    insns.extend(pointer(reg, scratch, bytes.len() as i32));
                    reg += 1;
                }
                Room(len) => {
                    insns.extend(pointer(reg, scratch, i32::from(len)));
                    reg += 1;
                }
            }
            reg += 1;
        }
        insns.push(Insn::new(opcode::CALL, 0, 0, 0, helper.0 as i32));
        insns.push(Insn::new(class::ALU64 | opcode::MOV | opcode::X, 8, 0, 0, 0));
        let at = 8 * names.len() as i16;
        insns.push(Insn::new(class::STX | opcode::MEM | size_bits(8), 7, 0, at, 0));
        names.push(format!("result of {helper}"));
    }
    for word in 0..SCRATCH as i16 / 8 {
        let at = 8 * names.len() as i16;
        insns.push(ldx(8, 3, 10, u32::from((scratch + 8 * word) as u16)));
        insns.push(Insn::new(class::STX | opcode::MEM | size_bits(8), 7, 3, at, 0));
        names.push(format!("scratch memory at {}", 8 * word));
    }
    let (fields, end) = load_everything(prog_type, names.len());
    names.extend(fields);
    insns.extend(end);
    (names, insns)
}

/// A pointer to the scratch memory, and a length.
fn pointer(reg: u8, scratch: i16, len: i32) -> [Insn; 3] {
    [
        Insn::new(class::ALU64 | opcode::MOV | opcode::X, reg, 10, 0, 0),
        Insn::new(class::ALU64, reg, 0, 0, i32::from(scratch)),
        mov(reg + 1, len),
    ]
}

/// Runs the calls on both sides on each of the packets; gives what differs.
fn compare(prog_types: &[ProgType], cases: &[Calls<'_>]) {
    let Some(kernel) = kernel() else { return };
    let mut differences = Vec::new();
    let mut runs = 0;
    for &prog_type in prog_types {
        for calls in cases {
            let (names, insns) = program(prog_type, calls);
            let object = object(prog_type, insns, vec![array(8 * names.len() as u32)]);
            let loaded = Loaded::new(&kernel, &object);
            for (what, data) in packets() {
                runs += 1;
                let run = TestRun { data_in: Some(&data), data_out_size: 1 << 15, ..TestRun::default() };
                let theirs = loaded.run(&run);
                let ours = on_machine(&object, &data, None);
                let case = format!("{prog_type}, {what}, {calls:?}");
                let words = theirs.value.as_chunks::<8>().0.iter().zip(ours.value.as_chunks::<8>().0);
                for (name, (theirs, ours)) in names.iter().zip(words) {
                    let (theirs, ours) = (i64::from_le_bytes(*theirs), i64::from_le_bytes(*ours));
                    if theirs != ours {
                        differences.push(format!(
                            "{case}: {name}: kernel {theirs} {theirs:#x}, here {ours} {ours:#x}"
                        ));
                    }
                }
                if theirs.data != ours.data {
                    differences.push(format!("{case}: packet:\n  {:x?}\n  {:x?}", theirs.data, ours.data));
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

const TC: &[ProgType] = &[ProgType::SCHED_CLS];
const XDP: &[ProgType] = &[ProgType::XDP];

#[test]
fn copies() {
    use HelperId as H;
    let offsets = [0, 1, 13, 14, 30, 50, 54, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];
    let mut cases: Vec<Vec<(HelperId, Vec<A>)>> = Vec::new();
    for offset in offsets {
        cases.push(vec![(H::SKB_LOAD_BYTES, vec![Ctx, N(offset), Room(9)])]);
        for header in [0, 1, 2] {
            cases.push(vec![(H::SKB_LOAD_BYTES_RELATIVE, vec![Ctx, N(offset), Room(8), N(header)])]);
        }
        for flags in [0, 1, 2, 4] {
            cases.push(vec![(H::SKB_STORE_BYTES, vec![Ctx, N(offset), Bytes(&[1, 2, 3, 4, 5]), N(flags)])]);
        }
        cases.push(vec![(H::SKB_PULL_DATA, vec![Ctx, N(offset)])]);
    }
    run(TC, &cases);
    let offsets = [0, 13, 14, 50, 54, 0xffff, 0x1_0000, 0x7fff_ffff];
    let of_header = |header| {
        offsets.map(|offset| vec![(H::SKB_LOAD_BYTES_RELATIVE, vec![Ctx, N(offset), Room(8), N(header)])])
    };
    run(&[ProgType::SOCKET_FILTER, ProgType::CGROUP_SKB], &[of_header(0), of_header(1)].concat());
    run(&[ProgType::LWT_IN], &offsets.map(|offset| vec![(H::SKB_LOAD_BYTES, vec![Ctx, N(offset), Room(9)])]));
}

/// [`compare`] of cases that were put together at run time.
fn run(prog_types: &[ProgType], cases: &[Vec<(HelperId, Vec<A>)>]) {
    let borrowed: Vec<Vec<(HelperId, &[A])>> =
        cases.iter().map(|calls| calls.iter().map(|(helper, args)| (*helper, &args[..])).collect()).collect();
    compare(prog_types, &borrowed.iter().map(|calls| &calls[..]).collect::<Vec<_>>());
}

#[test]
fn checksums() {
    use HelperId as H;
    let mut cases = Vec::new();
    for offset in [24, 25, 52, 0x1_0000] {
        for (from, to, flags) in [
            (0, 0x1234, 0),
            (0x0100, 0x0200, 2),
            (0x0102_0304, 0x0a0b_0c0d, 4),
            (1, 2, 0),
            (1, 2, 3),
            (0xffff, 0, 2),
            (0, 0xffff_ffff, 4),
        ] {
            for more in [0, 0x20, 0xf0, 0x100] {
                cases.push(vec![(H::L4_CSUM_REPLACE, vec![Ctx, N(offset), N(from), N(to), N(flags | more)])]);
            }
            cases.push(vec![(H::L3_CSUM_REPLACE, vec![Ctx, N(offset), N(from), N(to), N(flags)])]);
        }
    }
    cases.push(vec![(H::L3_CSUM_REPLACE, vec![Ctx, N(24), N(0), N(0), N(0x12)])]);
    const SUMMED: &[u8] = &[0xff, 0xfe, 3, 4, 0xff, 0xff, 0xff, 0xff, 9, 10, 11, 12];
    for seed in [0, 1, 0xffff, 0x1234_5678, 0xffff_ffff] {
        cases.push(vec![(H::CSUM_DIFF, vec![N(0), N(0), Bytes(SUMMED), N(seed)])]);
        cases.push(vec![(H::CSUM_DIFF, vec![Bytes(SUMMED), N(0), N(0), N(seed)])]);
        cases.push(vec![(H::CSUM_DIFF, vec![Bytes(SUMMED), Bytes(SUMMED), N(seed)])]);
        cases.push(vec![(H::CSUM_DIFF, vec![Bytes(SUMMED), Bytes(&[7, 0, 0, 1]), N(seed)])]);
        cases.push(vec![(H::CSUM_DIFF, vec![N(0), N(0), N(0), N(0), N(seed)])]);
        cases.push(vec![(H::CSUM_DIFF, vec![N(0), N(0), Bytes(&[1, 2, 3]), N(seed)])]);
        // What it is for: the difference goes into a checksum of the packet.
        cases.push(vec![
            (H::CSUM_DIFF, vec![Bytes(SUMMED), Bytes(&[7, 0, 0, 1]), N(seed)]),
            (H::L3_CSUM_REPLACE, vec![Ctx, N(24), N(0), A::Result, N(0)]),
        ]);
    }
    cases.push(vec![(H::CSUM_UPDATE, vec![Ctx, N(0x1234)])]);
    let level = |op| (H::CSUM_LEVEL, vec![Ctx, N(op)]);
    cases.push(vec![
        level(0),
        level(1),
        level(0),
        level(1),
        level(0),
        level(3),
        level(0),
        level(2),
        level(4),
    ]);
    cases.push(
        (0..4).flat_map(|_| [level(1), level(0)]).chain((0..6).flat_map(|_| [level(2), level(0)])).collect(),
    );
    run(TC, &cases);
}

#[test]
fn shapes() {
    use HelperId as H;
    let mut cases = Vec::new();
    for len in [0, 13, 14, 15, 54, 60, 200, 2000, 16064, 16065] {
        cases.push(vec![(H::SKB_CHANGE_TAIL, vec![Ctx, N(len), N(0)])]);
    }
    cases.push(vec![(H::SKB_CHANGE_TAIL, vec![Ctx, N(40), N(1)])]);
    for room in [0, 1, 14, 64, 65, 300, 15000, 16064, 0xffff_ffff] {
        cases.push(vec![(H::SKB_CHANGE_HEAD, vec![Ctx, N(room), N(0)])]);
    }
    cases.push(vec![(H::SKB_CHANGE_HEAD, vec![Ctx, N(14), N(1)])]);
    cases.push(vec![
        (H::SKB_CHANGE_HEAD, vec![Ctx, N(14), N(0)]),
        (H::SKB_LOAD_BYTES_RELATIVE, vec![Ctx, N(0), Room(8), N(0)]),
        (H::SKB_LOAD_BYTES_RELATIVE, vec![Ctx, N(0), Room(8), N(1)]),
        (H::SKB_CHANGE_TAIL, vec![Ctx, N(20), N(0)]),
    ]);
    let proto = |p: u16| N(i64::from(p.swap_bytes()));
    for to in [0x0800, 0x86dd, 0x8100] {
        cases.push(vec![(H::SKB_CHANGE_PROTO, vec![Ctx, proto(to), N(0)])]);
        cases.push(vec![(H::SKB_CHANGE_PROTO, vec![Ctx, proto(to), N(1)])]);
    }
    cases.push(vec![
        (H::SKB_CHANGE_PROTO, vec![Ctx, proto(0x86dd), N(0)]),
        (H::SKB_CHANGE_PROTO, vec![Ctx, proto(0x0800), N(0)]),
    ]);
    for pkt_type in [0, 1, 3, 4, -1] {
        cases.push(vec![(H::SKB_CHANGE_TYPE, vec![Ctx, N(pkt_type)])]);
    }
    cases.push(vec![(H::SET_HASH, vec![Ctx, N(0x1234)]), (H::GET_HASH_RECALC, vec![Ctx])]);
    cases.push(vec![(H::SET_HASH, vec![Ctx, N(0x1234)]), (H::SET_HASH_INVALID, vec![Ctx])]);
    for clock in 0..4 {
        for time in [0, 12345] {
            cases.push(vec![(H::SKB_SET_TSTAMP, vec![Ctx, N(time), N(clock)])]);
        }
    }
    const TRAFFIC_CLASSES: [&[u8]; 6] =
        [&[0x45, 0], &[0x45, 1], &[0x45, 2], &[0x45, 3], &[0x60, 0x10], &[0x60, 0x30]];
    for class in TRAFFIC_CLASSES {
        cases.push(vec![
            (H::SKB_STORE_BYTES, vec![Ctx, N(14), Bytes(class), N(0)]),
            (H::SKB_ECN_SET_CE, vec![Ctx]),
        ]);
    }
    cases.push(vec![(H::SKB_GET_TUNNEL_KEY, vec![Ctx, Room(44), N(0)])]);
    run(TC, &cases);
}

#[test]
fn room() {
    use HelperId as H;
    let mut cases = Vec::new();
    for mode in [0, 1, 2] {
        for diff in [0, 1, 40, 0xfff, 0x1000, -1, -20, -40, -4095, -4096] {
            for flags in [0, 1, 0x20] {
                cases.push(vec![(H::SKB_ADJUST_ROOM, vec![Ctx, N(diff), N(mode), N(flags)])]);
            }
        }
        let l2 = |n: i64| n << 56;
        for flags in
            [2, 4, 6, 2 | 8, 4 | 16, 2 | 8 | 16, 2 | 0x40, 2 | 0x40 | l2(14), 2 | l2(4), 2 | l2(60), 0x200]
        {
            let grow = (H::SKB_ADJUST_ROOM, vec![Ctx, N(50), N(mode), N(flags)]);
            cases.push(vec![grow.clone()]);
            cases.push(vec![grow.clone(), grow, (H::SKB_CHANGE_TAIL, vec![Ctx, N(100), N(0)])]);
        }
        for flags in [0x80, 0x100, 0x180, 2, 0x82] {
            for diff in [-20, -4, 4] {
                cases.push(vec![(H::SKB_ADJUST_ROOM, vec![Ctx, N(diff), N(mode), N(flags)])]);
            }
        }
    }
    run(TC, &cases);
}

#[test]
fn vlan_tags() {
    use HelperId as H;
    let push = |proto: u16, tci| (H::SKB_VLAN_PUSH, vec![Ctx, N(i64::from(proto.swap_bytes())), N(tci)]);
    let pop = || (H::SKB_VLAN_POP, vec![Ctx]);
    run(
        TC,
        &[
            vec![push(0x8100, 5)],
            vec![push(0x88a8, 0xffff)],
            vec![push(0x1234, 0x1_0007)],
            vec![push(0x8100, 5), push(0x88a8, 6)],
            vec![push(0x8100, 5), push(0x88a8, 6), push(0x8100, 7)],
            vec![push(0x8100, 5), push(0x88a8, 6), pop()],
            vec![push(0x8100, 5), push(0x88a8, 6), pop(), pop()],
            vec![pop()],
            vec![pop(), pop()],
            vec![push(0x8100, 0), pop()],
        ],
    );
}

#[test]
fn xdp() {
    use HelperId as H;
    let mut cases = Vec::new();
    for delta in [0, 1, -1, 14, 15, 40, -216, -217, -256, 100, i64::from(i32::MAX), i64::from(i32::MIN)] {
        cases.push(vec![(H::XDP_ADJUST_HEAD, vec![Ctx, N(delta)])]);
        cases.push(vec![(H::XDP_ADJUST_TAIL, vec![Ctx, N(delta)])]);
    }
    for delta in [3000, 3400, 3450, 3451, 3456, 3466, 3467, -40, -41] {
        cases.push(vec![(H::XDP_ADJUST_TAIL, vec![Ctx, N(delta)]), (H::XDP_GET_BUFF_LEN, vec![Ctx])]);
    }
    for delta in [0, -4, -3, -8, -32, -36, -216, -220, -252, 4, 1] {
        cases.push(vec![(H::XDP_ADJUST_META, vec![Ctx, N(delta)])]);
        cases.push(vec![
            (H::XDP_ADJUST_META, vec![Ctx, N(-8)]),
            (H::XDP_ADJUST_META, vec![Ctx, N(delta)]),
            (H::XDP_ADJUST_HEAD, vec![Ctx, N(delta)]),
            (H::XDP_ADJUST_HEAD, vec![Ctx, N(-200)]),
        ]);
    }
    for offset in [0, 10, 50, 54, 0xffff, 0x1_0000, 0xffff_ffff] {
        cases.push(vec![(H::XDP_LOAD_BYTES, vec![Ctx, N(offset), Room(8)])]);
        cases.push(vec![(H::XDP_STORE_BYTES, vec![Ctx, N(offset), Bytes(&[9, 8, 7, 6])])]);
    }
    run(XDP, &cases);
}
