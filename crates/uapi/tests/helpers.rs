// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks the running kernel, helper by helper and program type by program type, whether the table is right: who
//! may call what, under which licence and capability, what may sleep, and what the first arguments are.

mod common;

use common::{
    Fd, Map, Prog, kernel_answers, kernel_btf, kernel_is_6_18, map_create, prog_load, with_cap_bpf,
};
use skep_uapi::helper::{Arg, ArgType, Cap, Helper, MEM_FIXED_SIZE, MEM_WRITE, MightSleep, helpers};
use skep_uapi::{AttachType, MapType, ProgType, flags};
use std::ffi::CStr;

/// A kind of program, as the kernel wants it loaded.
#[derive(Clone, Copy, Debug)]
struct Kind {
    prog_type: ProgType,
    attach_type: AttachType,
    attach_btf_id: u32,
    flags: u32,
}

impl Kind {
    fn prog<'a>(self, insns: &'a [u8], license: &'a CStr) -> Prog<'a> {
        Prog {
            prog_type: self.prog_type,
            attach_type: self.attach_type,
            insns,
            license,
            flags: self.flags,
            attach_btf_id: self.attach_btf_id,
        }
    }
}

/// Every kind that loads without a device or another program, with each attach type that the kernel tells apart.
fn kinds() -> Vec<Kind> {
    let plain = [
        ProgType::SOCKET_FILTER,
        ProgType::KPROBE,
        ProgType::SCHED_CLS,
        ProgType::SCHED_ACT,
        ProgType::TRACEPOINT,
        ProgType::XDP,
        ProgType::PERF_EVENT,
        ProgType::LWT_IN,
        ProgType::LWT_OUT,
        ProgType::LWT_XMIT,
        ProgType::SOCK_OPS,
        ProgType::SK_SKB,
        ProgType::SK_MSG,
        ProgType::RAW_TRACEPOINT,
        ProgType::LWT_SEG6LOCAL,
        ProgType::LIRC_MODE2,
        ProgType::FLOW_DISSECTOR,
        ProgType::RAW_TRACEPOINT_WRITABLE,
    ];
    let kind = |prog_type, attach_type| Kind { prog_type, attach_type, attach_btf_id: 0, flags: 0 };
    let mut kinds: Vec<Kind> = plain.map(|prog_type| kind(prog_type, AttachType(0))).into();
    kinds.extend(attached().into_iter().map(|(prog_type, attach_type)| kind(prog_type, attach_type)));
    kinds.push(Kind { flags: flags::prog_load::BPF_F_SLEEPABLE, ..kind(ProgType::SYSCALL, AttachType(0)) });
    if let Some(btf) = kernel_btf() {
        let id = |kind: u32, name: &str| btf.get(&(kind, name.to_owned())).copied();
        let (structure, typedef, func) = (4, 8, 12);
        let with_btf = [
            (ProgType::TRACING, AttachType::TRACE_RAW_TP, id(typedef, "btf_trace_sys_enter")),
            (ProgType::TRACING, AttachType::TRACE_ITER, id(func, "bpf_iter_task")),
            (ProgType::TRACING, AttachType::TRACE_FENTRY, id(func, "bpf_fentry_test1")),
            (ProgType::TRACING, AttachType::TRACE_FEXIT, id(func, "bpf_fentry_test1")),
            (ProgType::TRACING, AttachType::MODIFY_RETURN, id(func, "bpf_modify_return_test")),
            (ProgType::LSM, AttachType::LSM_MAC, id(func, "bpf_lsm_file_open")),
            (ProgType::STRUCT_OPS, AttachType(0), id(structure, "tcp_congestion_ops")),
        ];
        for (prog_type, attach_type, id) in with_btf {
            kinds.extend(id.map(|attach_btf_id| Kind { attach_btf_id, ..kind(prog_type, attach_type) }));
        }
    }
    kinds
}

/// Program types that load with an attach type, with those attach types.
fn attached() -> Vec<(ProgType, AttachType)> {
    AttachType::ALL
        .iter()
        .filter_map(|&attach_type| {
            let name = attach_type.name()?;
            let prog_type = match attach_type {
                AttachType::CGROUP_INET_INGRESS | AttachType::CGROUP_INET_EGRESS => ProgType::CGROUP_SKB,
                AttachType::CGROUP_INET_SOCK_CREATE
                | AttachType::CGROUP_INET_SOCK_RELEASE
                | AttachType::CGROUP_INET4_POST_BIND
                | AttachType::CGROUP_INET6_POST_BIND => ProgType::CGROUP_SOCK,
                AttachType::CGROUP_DEVICE => ProgType::CGROUP_DEVICE,
                AttachType::CGROUP_SYSCTL => ProgType::CGROUP_SYSCTL,
                AttachType::CGROUP_SOCK_OPS => ProgType::SOCK_OPS,
                AttachType::CGROUP_GETSOCKOPT | AttachType::CGROUP_SETSOCKOPT => ProgType::CGROUP_SOCKOPT,
                AttachType::SK_LOOKUP => ProgType::SK_LOOKUP,
                AttachType::NETFILTER => ProgType::NETFILTER,
                AttachType::SK_REUSEPORT_SELECT | AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE => {
                    ProgType::SK_REUSEPORT
                }
                AttachType::TRACE_KPROBE_MULTI
                | AttachType::TRACE_UPROBE_MULTI
                | AttachType::TRACE_KPROBE_SESSION
                | AttachType::TRACE_UPROBE_SESSION => ProgType::KPROBE,
                _ if name.starts_with("cgroup_") => ProgType::CGROUP_SOCK_ADDR,
                _ => return None,
            };
            Some((prog_type, attach_type))
        })
        .collect()
}

/// Helpers that a kernel may be built or locked down without.
const OPTIONAL: &[(&str, &str)] =
    &[("bpf_override_return", "CONFIG_BPF_KPROBE_OVERRIDE"), ("bpf_probe_write_user", "lockdown")];

/// `r2` to `r5` set to 1, `r1` the context, the call, and the way out.
fn call(helper: &Helper) -> Vec<u8> {
    let mut insns = Vec::new();
    for register in 2..=5u8 {
        insns.extend([0xb7, register, 0, 0, 1, 0, 0, 0]);
    }
    insns.extend(call_and_exit(helper));
    insns
}

/// The call, `r0 = 0`, and the way out.
fn call_and_exit(helper: &Helper) -> Vec<u8> {
    let mut insns = vec![0x85, 0, 0, 0];
    insns.extend(helper.id.0.to_le_bytes());
    insns.extend([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    insns
}

/// The kernel's log for a call of the helper; `None` where it refuses the program before it looks inside.
fn ask(kind: Kind, helper: &Helper, license: &CStr) -> Option<String> {
    let insns = call(helper);
    let (result, log) = prog_load(&kind.prog(&insns, license));
    (result.is_ok() || !log.is_empty()).then_some(log)
}

const NOT_FOR_TYPE: &str = "program of this type cannot use helper";

/// Number of kinds times helpers, for the count of what goes unchecked.
fn pairs() -> usize {
    kinds().len() * helpers().count()
}

/// Asserts that nothing differs, and shows all that does.
fn report(what: &str, checked: usize, refused: usize, wrong: &[String]) {
    println!("{what}: {checked} checked, SKIP: {refused} that this kernel does not get as far as to judge");
    assert!(wrong.is_empty(), "{what}: {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 0, "{what}: nothing was checked");
}

#[test]
fn callers_are_those_of_the_running_kernel() {
    if !kernel_is_6_18(pairs()) || !kernel_answers(pairs()) {
        return;
    }
    let (mut checked, mut refused, mut wrong) = (0, 0, Vec::new());
    for kind in kinds() {
        for helper in helpers() {
            let Some(log) = ask(kind, helper, c"GPL") else {
                refused += 1;
                continue;
            };
            checked += 1;
            let real = !log.contains(NOT_FOR_TYPE);
            let ours = helper.proto(kind.prog_type, kind.attach_type).is_some();
            let optional = OPTIONAL.iter().find(|(name, _)| *name == helper.name);
            match optional {
                Some((name, without)) if ours && !real => println!("SKIP: {name}: {without}"),
                _ if ours != real => wrong.push(format!("{} {kind:?}: kernel {real}", helper.name)),
                _ => {}
            }
        }
    }
    report("callers", checked, refused, &wrong);
}

#[test]
fn licences_and_sleep_are_those_of_the_running_kernel() {
    if !kernel_is_6_18(pairs()) || !kernel_answers(pairs()) {
        return;
    }
    let (mut checked, mut refused, mut wrong) = (0, 0, Vec::new());
    for kind in kinds() {
        for helper in helpers() {
            let Some(proto) = helper.proto(kind.prog_type, kind.attach_type) else { continue };
            let (Some(mit), Some(gpl)) = (ask(kind, helper, c"MIT"), ask(kind, helper, c"GPL")) else {
                refused += 1;
                continue;
            };
            if gpl.contains(NOT_FOR_TYPE) || mit.contains("must have a GPL compatible license") {
                continue;
            }
            checked += 1;
            let restricted = mit.contains("cannot call GPL-restricted function");
            if restricted != proto.gpl_only {
                wrong.push(format!("{} {kind:?}: kernel says gpl_only {restricted}", helper.name));
            }
            let sleepless = kind.flags & flags::prog_load::BPF_F_SLEEPABLE == 0;
            let sleeps = gpl.contains("helper call might sleep in a non-sleepable prog");
            if sleeps != (sleepless && proto.might_sleep == MightSleep::Yes) {
                wrong.push(format!("{} {kind:?}: kernel says might_sleep {sleeps}", helper.name));
            }
            let refused_here = gpl.contains("helper call is not allowed in probe");
            if refused_here && !proto.by_target {
                wrong.push(format!("{} {kind:?}: kernel asks where it is attached", helper.name));
            }
        }
    }
    report("licences and sleep", checked, refused, &wrong);
}

#[test]
fn capabilities_are_those_of_the_running_kernel() {
    if !kernel_is_6_18(pairs()) || !kernel_answers(pairs()) {
        return;
    }
    let (mut checked, mut refused, mut wrong) = (0, 0, Vec::new());
    with_cap_bpf(|| {
        for kind in kinds() {
            for helper in helpers() {
                let Some(proto) = helper.proto(kind.prog_type, kind.attach_type) else { continue };
                if OPTIONAL.iter().any(|(name, _)| *name == helper.name) {
                    continue;
                }
                let Some(log) = ask(kind, helper, c"GPL") else {
                    refused += 1;
                    continue;
                };
                checked += 1;
                let denied = log.contains(NOT_FOR_TYPE);
                if denied != (helper.cap(proto) == Cap::Perfmon) {
                    wrong.push(format!(
                        "{} {kind:?}: kernel denies it without CAP_PERFMON: {denied}",
                        helper.name
                    ));
                }
            }
        }
    });
    report("capabilities", checked, refused, &wrong);
}

/// What the verifier's message lists for an argument that a number was given for (`compatible_reg_types`).
fn expected(arg: Arg) -> Option<&'static str> {
    Some(match arg {
        Arg::ConstMapPtr => "map_ptr",
        Arg::PtrToCtx => "ctx",
        Arg::PtrToMapKey | Arg::PtrToMapValue | Arg::PtrToMem => "fp, pkt, pkt_meta, map_key, map_value, mem",
        Arg::PtrToSpinLock => "map_value, ptr_",
        Arg::PtrToSockCommon | Arg::PtrToBtfIdSockCommon => "sock_common, sock, tcp_sock, xdp_sock",
        Arg::PtrToSocket => "sock",
        Arg::PtrToBtfId => "ptr_, trusted_ptr_, rcu_ptr_",
        Arg::PtrToRingbufMem => "ringbuf_mem",
        Arg::PtrToPercpuBtfId => "percpu_ptr_",
        Arg::PtrToFunc => "func",
        Arg::PtrToStack => "fp",
        Arg::PtrToConstStr | Arg::PtrToTimer => "map_value",
        Arg::KptrXchgDest => "map_value, ptr_",
        Arg::PtrToDynptr => "fp, dynptr_ptr",
        Arg::DontCare | Arg::ConstSize | Arg::ConstSizeOrZero | Arg::ConstAllocSizeOrZero | Arg::Anything => {
            return None;
        }
    })
}

#[test]
fn arguments_are_those_of_the_running_kernel() {
    if !kernel_is_6_18(pairs()) || !kernel_answers(pairs()) {
        return;
    }
    let (mut checked, mut refused, mut wrong) = (0, 0, Vec::new());
    for kind in kinds() {
        for helper in helpers() {
            let Some(proto) = helper.proto(kind.prog_type, kind.attach_type) else { continue };
            let Some(log) = ask(kind, helper, c"GPL") else {
                refused += 1;
                continue;
            };
            // The first argument is the context, the others are numbers: the first that wants something else
            // is the one that the kernel complains of, and a fixed size of memory does not change that.
            let first = proto.args.iter().enumerate().find(|(i, arg)| match arg.base {
                Arg::PtrToCtx => *i != 0,
                Arg::ConstSize | Arg::ConstSizeOrZero | Arg::ConstAllocSizeOrZero => *i == 0,
                base => expected(base).is_some() || arg.flags & MEM_FIXED_SIZE != 0,
            });
            let complaint = log.lines().find(|line| line.contains(" expected="));
            match (first, complaint) {
                (Some((i, arg)), Some(line)) => {
                    checked += 1;
                    let list = expected(arg.base).unwrap_or("scalar");
                    let said = line.starts_with(&format!("R{} ", i + 1))
                        && line.contains(&format!("expected={list}"));
                    if !said {
                        wrong.push(format!(
                            "{} {kind:?}: ours R{} {:?}, kernel: {line}",
                            helper.name,
                            i + 1,
                            arg.base
                        ));
                    }
                }
                (None, Some(line)) => wrong.push(format!("{} {kind:?}: kernel: {line}", helper.name)),
                (_, None) => refused += 1,
            }
        }
    }
    report("arguments", checked, refused, &wrong);
}

/// Arguments that every prototype of context, numbers and memory is satisfied with, the memory being read-only:
/// a value of `map`. `None` where there is no memory among them, or something else.
fn with_readonly_memory(args: &[ArgType], map: &Fd) -> Option<Vec<u8>> {
    let mut insns = Vec::new();
    let mut memory = false;
    for (register, arg) in (1u8..).zip(args) {
        let immediate = |value: u8| [0xb7, register, 0, 0, value, 0, 0, 0];
        match arg.base {
            Arg::DontCare => break,
            Arg::PtrToCtx if register == 1 => {}
            Arg::Anything => insns.extend(immediate(0)),
            Arg::ConstSize | Arg::ConstSizeOrZero => insns.extend(immediate(8)),
            Arg::PtrToMem => {
                memory = true;
                // BPF_PSEUDO_MAP_VALUE
                insns.extend([0x18, register | 2 << 4, 0, 0]);
                insns.extend(map.number().to_le_bytes());
                insns.extend([0; 8]);
            }
            _ => return None,
        }
    }
    memory.then_some(insns)
}

#[test]
fn memory_is_written_as_by_the_running_kernel() {
    if !kernel_is_6_18(pairs()) || !kernel_answers(pairs()) {
        return;
    }
    let map = map_create(&Map {
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 512,
        max_entries: 1,
        flags: flags::map_create::BPF_F_RDONLY_PROG,
        inner: None,
        extra: 0,
    })
    .expect("an array");
    let (mut checked, mut refused, mut wrong) = (0, 0, Vec::new());
    for kind in kinds() {
        for helper in helpers() {
            let Some(proto) = helper.proto(kind.prog_type, kind.attach_type) else { continue };
            let Some(mut insns) = with_readonly_memory(&proto.args, &map) else { continue };
            insns.extend(call_and_exit(helper));
            let log = prog_load(&kind.prog(&insns, c"GPL")).1;
            let before = [NOT_FOR_TYPE, "might sleep", "not allowed in probe"];
            if log.is_empty() || before.iter().any(|message| log.contains(message)) {
                refused += 1;
                continue;
            }
            checked += 1;
            let real = log.contains("write into map forbidden");
            if real != proto.args.iter().any(|arg| arg.flags & MEM_WRITE != 0) {
                wrong.push(format!("{} {kind:?}: kernel says written: {real}", helper.name));
            }
        }
    }
    report("written memory", checked, refused, &wrong);
}
