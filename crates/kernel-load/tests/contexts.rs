// SPDX-License-Identifier: MIT OR Apache-2.0
//! The context tables of `skep_uapi` against the running kernel: every offset and size, loaded and stored, in every
//! program type, is allowed there exactly where the table says so; and every structure is the kernel's.
//!
//! Where bpf(2) is not to be had, or the kernel is not the release of the table, the tests say so and pass.

use skep_isa::{Insn, class, opcode};
use skep_kernel_load::{Kernel, release};
use skep_program::btf::{Btf, Kind, Type};
use skep_uapi::context::{self, Layout, Request};
use skep_uapi::{AttachType, Bpf, Errno, InfoRecords, ProgLoad, ProgType};

/// The release that the tables were made for.
const RELEASE: &str = "6.18";
/// `BPF_F_SLEEPABLE`, without which syscall programs do not load.
const SLEEPABLE: u32 = 1 << 4;

fn kernel() -> Option<Kernel> {
    match Kernel::open() {
        Ok(kernel) => Some(kernel),
        Err(unavailable) => {
            println!("SKIP: {unavailable}");
            None
        }
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

/// A program that does one access of its context and returns 1, which every program type allows.
fn program(request: Option<&Request>) -> Vec<Insn> {
    let mov = |dst, imm| Insn::new(class::ALU64 | opcode::MOV, dst, 0, 0, imm);
    let mut insns = vec![mov(2, 0)];
    if let Some(&Request { off, size, write, sign_extend, .. }) = request {
        let (bits, off) = (size_bits(size), off as i16);
        insns.push(match (write, sign_extend) {
            (true, _) => Insn::new(class::STX | opcode::MEM | bits, 1, 2, off, 0),
            (false, false) => Insn::new(class::LDX | opcode::MEM | bits, 0, 1, off, 0),
            (false, true) => Insn::new(class::LDX | opcode::MEMSX | bits, 0, 1, off, 0),
        });
    }
    insns.push(mov(0, 1));
    insns.push(Insn::new(opcode::EXIT, 0, 0, 0, 0));
    insns
}

fn load(kernel: &Kernel, prog_type: ProgType, attach: AttachType, insns: &[Insn]) -> Result<(), Errno> {
    let attr = ProgLoad {
        prog_type,
        expected_attach_type: attach,
        insns,
        license: "GPL",
        prog_name: "context",
        prog_flags: if prog_type == ProgType::SYSCALL { SLEEPABLE } else { 0 },
        kern_version: 0,
        fd_array: &[],
        prog_btf: None,
        func_info: InfoRecords::default(),
        line_info: InfoRecords::default(),
        core_relos: InfoRecords::default(),
        attach_btf_id: 0,
        attach_prog: None,
        log_level: 0,
    };
    kernel.prog_load(&attr, &mut String::new()).map(drop)
}

/// Program types with rules, each with every expected attach type that makes a difference to it.
fn targets() -> Vec<(ProgType, AttachType)> {
    let by_prefix = |prefixes: &[&str]| -> Vec<AttachType> {
        let wanted = |a: &AttachType| {
            let name = a.name().unwrap_or_default();
            prefixes.iter().any(|p| name.starts_with(p))
        };
        AttachType::ALL.iter().copied().filter(wanted).collect()
    };
    let mut targets = Vec::new();
    for &prog_type in ProgType::ALL {
        if context::rules_of(prog_type).is_none() {
            continue;
        }
        let attach = match prog_type {
            ProgType::XDP => vec![AttachType::default(), AttachType::XDP_DEVMAP, AttachType::XDP_CPUMAP],
            ProgType::CGROUP_SKB => {
                vec![AttachType::CGROUP_INET_INGRESS, AttachType::CGROUP_INET_EGRESS]
            }
            ProgType::CGROUP_SOCK => vec![
                AttachType::CGROUP_INET_SOCK_CREATE,
                AttachType::CGROUP_INET_SOCK_RELEASE,
                AttachType::CGROUP_INET4_POST_BIND,
                AttachType::CGROUP_INET6_POST_BIND,
            ],
            ProgType::CGROUP_SOCK_ADDR => {
                by_prefix(&["cgroup_inet4_", "cgroup_inet6_", "cgroup_udp", "cgroup_unix"])
                    .into_iter()
                    .filter(|a| !a.name().unwrap_or_default().ends_with("post_bind"))
                    .collect()
            }
            ProgType::CGROUP_SOCKOPT => {
                vec![AttachType::CGROUP_GETSOCKOPT, AttachType::CGROUP_SETSOCKOPT]
            }
            ProgType::SK_LOOKUP => vec![AttachType::SK_LOOKUP],
            ProgType::SK_REUSEPORT => {
                vec![AttachType::SK_REUSEPORT_SELECT, AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE]
            }
            ProgType::NETFILTER => vec![AttachType::NETFILTER],
            _ => vec![AttachType::default()],
        };
        targets.extend(attach.into_iter().map(|a| (prog_type, a)));
    }
    targets
}

/// Offsets worth asking for: all in and just around a structure, those around the ends of long stretches.
fn offsets(prog_type: ProgType) -> Vec<i32> {
    let end = context::rules_of(prog_type)
        .into_iter()
        .flatten()
        .copied()
        .flatten()
        .map(|rule| rule.end)
        .max()
        .unwrap_or(0)
        .min(i32::from(i16::MAX) - 16);
    if end <= 512 {
        (-8..end + 16).collect()
    } else {
        (-8..24).chain([i32::from(i16::MIN), -4096]).chain(end - 16..end + 16).collect()
    }
}

#[test]
fn the_running_kernel_allows_what_the_tables_allow() {
    let Some(kernel) = kernel() else { return };
    if !release().starts_with(RELEASE) {
        println!("SKIP: the tables are those of Linux {RELEASE}, this is {}", release());
        return;
    }
    let (mut asked, mut differences) = (0, Vec::new());
    for (prog_type, attach) in targets() {
        if let Err(errno) = load(&kernel, prog_type, attach, &program(None)) {
            println!("SKIP: {prog_type} for {attach} does not load on this kernel: {errno}");
            continue;
        }
        for off in offsets(prog_type) {
            for size in [1, 2, 4, 8] {
                for (write, sign_extend) in [(false, false), (true, false), (false, true)] {
                    if sign_extend && size == 8 {
                        continue;
                    }
                    let request = Request { attach, off, size, write, sign_extend, bpf_capable: true };
                    let ours = context::access(prog_type, &request).is_some();
                    let theirs = load(&kernel, prog_type, attach, &program(Some(&request))).is_ok();
                    asked += 1;
                    if ours != theirs {
                        differences.push(format!("{prog_type}: {request:?}: kernel {theirs}, table {ours}"));
                    }
                }
            }
        }
    }
    println!("{asked} accesses asked for");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// Every structure that a program type is given.
fn layouts() -> Vec<&'static Layout> {
    let mut layouts = vec![&context::SK_BUFF, &context::XDP_MD, &context::BPF_FLOW_KEYS];
    for &prog_type in ProgType::ALL {
        if let Some(context::Kind::Struct(layout)) = context::kind_of(prog_type) {
            layouts.push(layout);
        }
    }
    layouts
}

/// The named members of a structure, those of anonymous unions and structures included: name, offset in bytes, type.
fn members<'a>(btf: &'a Btf, structure: Type<'a>, base: u32, out: &mut Vec<(&'a str, u32, u32)>) {
    for member in structure.members() {
        let offset = base + member.bit_offset / 8;
        match btf.skip_modifiers(member.ty) {
            Some(inner) if member.name.is_empty() && matches!(inner.kind(), Kind::Struct | Kind::Union) => {
                members(btf, inner, offset, out);
            }
            // Padding has no name.
            _ if member.name.is_empty() => {}
            _ => out.push((member.name, offset, member.ty)),
        }
    }
}

#[test]
fn the_running_kernel_has_these_structures() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("SKIP: this kernel shows no BTF (/sys/kernel/btf/vmlinux)");
        return;
    };
    let btf = Btf::parse(&bytes).unwrap();
    for layout in layouts() {
        let Some(structure) = btf.find(Kind::Struct, layout.name) else {
            println!("SKIP: this kernel's BTF has no `struct {}`", layout.name);
            continue;
        };
        let mut theirs = Vec::new();
        members(&btf, structure, 0, &mut theirs);
        if layout.name == "bpf_raw_tracepoint_args" {
            // An array without an end; the table has as many elements as a tracepoint can have.
            assert_eq!((theirs[0].0, theirs[0].1), ("args", 0));
            continue;
        }
        assert_eq!(Some(layout.size), btf.size_of(structure.id), "sizeof(struct {})", layout.name);
        for (name, offset, ty) in theirs {
            let field = layout.field(name);
            match (layout.name, name) {
                // The kernel's own structure, with shorter names and several views of a word; the uapi's has words.
                ("pt_regs", _) => {
                    let uapi =
                        [name.to_owned(), format!("r{name}"), format!("e{name}"), name.replace('_', "_r")];
                    if let Some(field) = uapi.iter().find_map(|name| layout.field(name)) {
                        assert_eq!(field.offset, offset, "pt_regs.{name}");
                    }
                    continue;
                }
                // The registers as a whole; another name for the socket.
                ("bpf_perf_event_data", "regs") | ("bpf_sk_lookup", "cookie") => continue,
                _ => {}
            }
            let field = field.unwrap_or_else(|| panic!("{}.{name} is not in the table", layout.name));
            let what = format!("{}.{name}", layout.name);
            assert_eq!((field.offset, Some(field.size * field.count)), (offset, btf.size_of(ty)), "{what}");
        }
    }
}
