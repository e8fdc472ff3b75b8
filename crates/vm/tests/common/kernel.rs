// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of a program here and by `BPF_PROG_TEST_RUN` of the running kernel, and programs that show all of a context.
#![allow(dead_code)] // each test file uses a part

use std::sync::Arc;

use skep_isa::{Insn, class, opcode};
use skep_kernel_load::{Kernel, KernelFd};
use skep_program::{MapSpec, Object, Program, load};
use skep_uapi::context::{self, Kind, Layout, Request, Yields};
use skep_uapi::{AttachType, Bpf, MapType, ProgType, TestRun};
use skep_vm::{Input, Machine};

#[path = "config.rs"]
pub mod config;

/// What a run left, on either side.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub retval: u32,
    pub data: Vec<u8>,
    pub ctx: Vec<u8>,
    /// The value of the array, where there is one.
    pub value: Vec<u8>,
}

pub fn kernel() -> Option<Kernel> {
    Kernel::open().map_err(|why| println!("SKIP: {why}")).ok()
}

pub fn array(value_size: u32) -> MapSpec {
    MapSpec {
        name: "out".into(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size,
        max_entries: 1,
        ..MapSpec::default()
    }
}

pub fn object(prog_type: ProgType, insns: Vec<Insn>, maps: Vec<MapSpec>) -> Object {
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

pub fn on_kernel(kernel: &Kernel, object: &Object, data: &[u8], ctx: Option<&[u8]>, ctx_size: usize) -> Ran {
    let run = TestRun {
        data_in: Some(data),
        data_out_size: 4096,
        ctx_in: ctx,
        ctx_out_size: if ctx.is_some() { ctx_size } else { 0 },
        ..TestRun::default()
    };
    test_run(kernel, object, &run)
}

/// A run on a context of bytes, of which the kernel gives none back.
pub fn bytes_on_kernel(kernel: &Kernel, object: &Object, ctx: &[u8]) -> Ran {
    test_run(kernel, object, &TestRun { ctx_in: Some(ctx), ..TestRun::default() })
}

/// Loads, runs and forgets an object.
fn test_run(kernel: &Kernel, object: &Object, run: &TestRun<'_>) -> Ran {
    Loaded::new(kernel, object).run(run)
}

/// An object's maps and its program in the kernel, for several runs.
pub struct Loaded<'k> {
    kernel: &'k Kernel,
    maps: Vec<KernelFd>,
    program: KernelFd,
    value_size: usize,
}

impl<'k> Loaded<'k> {
    pub fn new(kernel: &'k Kernel, object: &Object) -> Loaded<'k> {
        let maps = load::create_maps(kernel, &object.maps, None).unwrap();
        let mut log = String::new();
        let program = load::load_program(kernel, &object.programs[0], &maps, None, 1, &mut log)
            .unwrap_or_else(|errno| panic!("{errno}\n{log}"));
        let value_size = object.maps.first().map_or(0, |m| m.value_size as usize);
        Loaded { kernel, maps, program, value_size }
    }

    pub fn run(&self, run: &TestRun<'_>) -> Ran {
        let result = self.kernel.prog_test_run(&self.program, run);
        let result = result.unwrap_or_else(|errno| panic!("test run: {errno}"));
        let mut value = vec![0; self.value_size];
        if let Some(map) = self.maps.first() {
            self.kernel.map_lookup_elem(map, &[0; 4], &mut value, 0).unwrap();
        }
        Ran { retval: result.retval, data: result.data_out, ctx: result.ctx_out, value }
    }
}

pub fn on_machine(object: &Object, data: &[u8], ctx: Option<&[u8]>) -> Ran {
    let ran = machine_run(object, Input::Packet { data, ctx });
    if ctx.is_some() { ran } else { Ran { ctx: Vec::new(), ..ran } }
}

/// A run on a context of bytes.
pub fn bytes_on_machine(object: &Object, ctx: &[u8]) -> Ran {
    machine_run(object, Input::Context(ctx))
}

fn machine_run(object: &Object, input: Input<'_>) -> Ran {
    let machine = Machine::new(object, config::strictest()).unwrap();
    let outcome = machine.thread().unwrap().run(0, input).unwrap();
    assert_eq!(outcome.trap, None);
    let value = machine.map(0).map(|map| map.lookup(&[0; 4]).unwrap()).unwrap_or_default();
    Ran { retval: outcome.r0 as u32, data: outcome.data_out, ctx: outcome.ctx_out, value }
}

pub fn layout_of(prog_type: ProgType) -> &'static Layout {
    match context::kind_of(prog_type) {
        Some(Kind::Xdp) => &context::XDP_MD,
        _ => &context::SK_BUFF,
    }
}

/// Opcode bits of an access size.
pub fn size_bits(size: u32) -> u8 {
    match size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    }
}

pub fn ldx(size: u32, dst: u8, src: u8, off: u32) -> Insn {
    Insn::new(class::LDX | opcode::MEM | size_bits(size), dst, src, off as i16, 0)
}

pub fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(class::ALU64 | opcode::MOV, dst, 0, 0, imm)
}

pub const EXIT: Insn = Insn::new(opcode::EXIT, 0, 0, 0, 0);
pub const SUB: u8 = 0x10;
/// `BPF_PSEUDO_MAP_IDX_VALUE`.
pub const MAP_IDX_VALUE: u8 = 6;

/// What a program starts with: the context in `r6`, the value of the array in `r7`.
pub const PROLOGUE: [Insn; 3] = [
    Insn::new(class::ALU64 | opcode::MOV | opcode::X, 6, 1, 0, 0),
    Insn::new(opcode::LD_IMM64, 7, MAP_IDX_VALUE, 0, 0),
    Insn::new(0, 0, 0, 0, 0),
];

/// Every element of every field that a program of this type may load, by name; and the end of a program that
/// stores them all from an index of the array's value on, 8 bytes each, packet pointers as their distance from
/// `data`, and returns 1.
pub fn load_everything(prog_type: ProgType, first: usize) -> (Vec<String>, Vec<Insn>) {
    let layout = layout_of(prog_type);
    let mut names = Vec::new();
    let mut insns = Vec::new();
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
            let at = 8 * (first + names.len()) as i16;
            insns.push(Insn::new(class::STX | opcode::MEM | size_bits(8), 7, 3, at, 0));
            names.push(format!("{}[{index}]", field.name));
        }
    }
    insns.extend([mov(0, 1), EXIT]);
    (names, insns)
}

/// Packets with all that the contexts look at.
pub fn packets() -> Vec<(&'static str, Vec<u8>)> {
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
pub fn ctx(layout: &Layout, fields: &[(&str, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; layout.size as usize];
    for (name, value) in fields {
        let field = layout.field(name).unwrap();
        let (at, size) = (field.offset as usize, field.size as usize);
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    bytes
}
