// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contexts against the running kernel's `BPF_PROG_TEST_RUN`: every readable field, packet loads, and what comes
//! back of packet and context. Where bpf(2) is not to be had, the tests say so and pass.

use std::sync::Arc;

use skep_isa::{Insn, class, opcode};
use skep_kernel_load::Kernel;
use skep_program::{MapSpec, Object, Program, load};
use skep_uapi::context::{self, Kind, Layout, Request, Yields};
use skep_uapi::{AttachType, Bpf, MapType, ProgType, TestRun};
use skep_vm::{Config, Input, Machine};

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

/// What a run left, on either side.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    retval: u32,
    data: Vec<u8>,
    ctx: Vec<u8>,
    /// The value of the array, where there is one.
    value: Vec<u8>,
}

fn kernel() -> Option<Kernel> {
    Kernel::open().map_err(|why| println!("SKIP: {why}")).ok()
}

fn array(value_size: u32) -> MapSpec {
    MapSpec {
        name: "out".into(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size,
        max_entries: 1,
        ..MapSpec::default()
    }
}

fn object(prog_type: ProgType, insns: Vec<Insn>, maps: Vec<MapSpec>) -> Object {
    let program = Program {
        name: "context".into(),
        prog_type,
        expected_attach_type: AttachType::default(),
        license: "GPL".into(),
        insns,
        ..Program::default()
    };
    Object { programs: vec![program], maps: Arc::from(maps) }
}

fn on_kernel(kernel: &Kernel, object: &Object, data: &[u8], ctx: Option<&[u8]>, ctx_size: usize) -> Ran {
    let maps = load::create_maps(kernel, &object.maps, None).unwrap();
    let mut log = String::new();
    let program = load::load_program(kernel, &object.programs[0], &maps, None, 1, &mut log)
        .unwrap_or_else(|errno| panic!("{errno}\n{log}"));
    let run = TestRun {
        data_in: Some(data),
        data_out_size: 4096,
        ctx_in: ctx,
        ctx_out_size: if ctx.is_some() { ctx_size } else { 0 },
        ..TestRun::default()
    };
    let result = kernel.prog_test_run(&program, &run).unwrap_or_else(|errno| panic!("test run: {errno}"));
    let mut value = vec![0; object.maps.first().map_or(0, |m| m.value_size as usize)];
    if let Some(map) = maps.first() {
        kernel.map_lookup_elem(map, &[0; 4], &mut value, 0).unwrap();
    }
    Ran { retval: result.retval, data: result.data_out, ctx: result.ctx_out, value }
}

fn on_machine(object: &Object, data: &[u8], ctx: Option<&[u8]>) -> Ran {
    let machine = Machine::new(object, Config { checked: true, ..Config::default() }).unwrap();
    let outcome = machine.thread().unwrap().run(0, Input::Packet { data, ctx }).unwrap();
    assert_eq!(outcome.trap, None);
    let value = machine.map(0).map(|map| map.lookup(&[0; 4]).unwrap()).unwrap_or_default();
    let ctx = if ctx.is_some() { outcome.ctx_out } else { Vec::new() };
    Ran { retval: outcome.r0 as u32, data: outcome.data_out, ctx, value }
}

fn layout_of(prog_type: ProgType) -> &'static Layout {
    match context::kind_of(prog_type) {
        Some(Kind::Xdp) => &context::XDP_MD,
        _ => &context::SK_BUFF,
    }
}

/// Opcode bits of an access size.
fn size_bits(size: u32) -> u8 {
    match size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    }
}

fn ldx(size: u32, dst: u8, src: u8, off: u32) -> Insn {
    Insn::new(class::LDX | opcode::MEM | size_bits(size), dst, src, off as i16, 0)
}

fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(class::ALU64 | opcode::MOV, dst, 0, 0, imm)
}

const EXIT: Insn = Insn::new(opcode::EXIT, 0, 0, 0, 0);
const SUB: u8 = 0x10;
/// `BPF_PSEUDO_MAP_IDX_VALUE`.
const MAP_IDX_VALUE: u8 = 6;

/// Every element of every field that a program of this type may load, by name; and the program that stores them
/// all into the array, 8 bytes each, packet pointers as their distance from `data`.
fn load_everything(prog_type: ProgType) -> (Vec<String>, Vec<Insn>) {
    let layout = layout_of(prog_type);
    let mut names = Vec::new();
    let mut insns = vec![
        Insn::new(class::ALU64 | opcode::MOV | opcode::X, 6, 1, 0, 0),
        Insn::new(opcode::LD_IMM64, 7, MAP_IDX_VALUE, 0, 0),
        Insn::new(0, 0, 0, 0, 0),
    ];
    for field in layout.fields {
        for index in 0..field.count {
            let off = field.offset + index * field.size;
            let request = Request {
                attach: AttachType::default(),
                off: off as i32,
                size: field.size,
                write: false,
                sign_extend: false,
                bpf_capable: true,
            };
            let Some(access) = context::access(prog_type, &request) else { continue };
            insns.push(ldx(field.size, 3, 6, off));
            match access.yields {
                Yields::Scalar => {}
                Yields::Packet | Yields::PacketEnd | Yields::PacketMeta => {
                    let data = layout.field("data").unwrap().offset;
                    insns.push(ldx(4, 4, 6, data));
                    insns.push(Insn::new(class::ALU64 | SUB | opcode::X, 3, 4, 0, 0));
                }
                _ => {
                    insns.pop();
                    continue;
                }
            }
            let at = 8 * names.len() as i16;
            insns.push(Insn::new(class::STX | opcode::MEM | size_bits(8), 7, 3, at, 0));
            names.push(format!("{}[{index}]", field.name));
        }
    }
    insns.extend([mov(0, 1), EXIT]);
    (names, insns)
}

/// Packets with all that the contexts look at.
fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let ethernet = |dst: [u8; 6], protocol: [u8; 2], rest: &[u8]| {
        [&dst[..], &[2, 0, 0, 0, 0, 1], &protocol, rest].concat()
    };
    let mut ipv4 = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    ipv4.extend((0..20).map(|i| 0xa0 + i));
    let mut ipv6 = vec![0x60, 0, 0, 0, 0, 8, 17, 64];
    ipv6.extend((0..32).map(|i| 0x20 + i));
    ipv6.extend([0x12, 0x34, 0, 53, 0, 8, 0, 0]);
    let vlan = [&[0x00, 0x2a, 0x08, 0x00][..], &ipv4].concat();
    vec![
        ("IPv4 to this host", ethernet([0; 6], [0x08, 0x00], &ipv4)),
        ("IPv4 to another host", ethernet([2, 0, 0, 0, 0, 2], [0x08, 0x00], &ipv4)),
        ("IPv6 multicast", ethernet([0x33, 0x33, 0, 0, 0, 1], [0x86, 0xdd], &ipv6)),
        ("ARP broadcast", ethernet([0xff; 6], [0x08, 0x06], &[0; 28])),
        ("VLAN", ethernet([0; 6], [0x81, 0x00], &vlan)),
        ("802.3 length", ethernet([0; 6], [0x00, 0x26], &[0x42; 38])),
        ("802.3 raw", ethernet([0; 6], [0x00, 0x26], &[0xff; 38])),
        ("an Ethernet header and a byte", ethernet([0; 6], [0x12, 0x34], &[7])),
        ("long", ethernet([0; 6], [0x12, 0x34], &(0..1500).map(|i| i as u8).collect::<Vec<_>>())),
    ]
}

/// A context with these fields set.
fn ctx(layout: &Layout, fields: &[(&str, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; layout.size as usize];
    for (name, value) in fields {
        let field = layout.field(name).unwrap();
        let (at, size) = (field.offset as usize, field.size as usize);
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    bytes
}

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
        let (names, insns) = load_everything(prog_type);
        let object = object(prog_type, insns, vec![array(8 * names.len() as u32)]);
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
