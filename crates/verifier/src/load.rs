// SPDX-License-Identifier: GPL-2.0-only
//! What `BPF_PROG_LOAD` refuses before it verifies (`bpf_prog_load @ 6.18`).

use skep_program::Program;
use skep_uapi::flags::prog_load;
use skep_uapi::limits::{BPF_COMPLEXITY_LIMIT_INSNS, BPF_MAXINSNS};
use skep_uapi::{AttachType, ProgType};

use crate::options::Options;
use crate::stop::{E2BIG, EINVAL, EPERM, Res};

/// `BTF_MAX_TYPE`
const BTF_MAX_TYPE: u32 = 0x000f_ffff;

/// Errors of the system call itself, in its order. Programs come without `attach_prog_fd`, token, signature and
/// network device, and unprivileged users may load programs (`kernel.unprivileged_bpf_disabled` is 0).
pub(crate) fn prog_load_checks(program: &Program, options: &Options) -> Res {
    let known = prog_load::ALL.iter().fold(0, |known, &(_, flag)| known | flag);
    // A token would have to be given with its flag.
    if program.prog_flags & !known != 0 {
        return Err(EINVAL);
    }
    let caps = options.caps;
    let may = |cap: bool| cap || caps.sys_admin;
    let most = if may(caps.bpf) { BPF_COMPLEXITY_LIMIT_INSNS } else { BPF_MAXINSNS };
    if program.insns.is_empty() || program.insns.len() > most {
        return Err(E2BIG);
    }
    let prog_type = program.prog_type;
    let unprivileged = matches!(prog_type, ProgType::SOCKET_FILTER | ProgType::CGROUP_SKB);
    if !unprivileged && !may(caps.bpf)
        || is_net_admin_prog_type(prog_type) && !may(caps.net_admin)
        || is_perfmon_prog_type(prog_type) && !may(caps.perfmon)
    {
        return Err(EPERM);
    }
    if !may_attach(program) || !is_prog_type(prog_type) {
        return Err(EINVAL);
    }
    Ok(())
}

/// `bpf_prog_load_fixup_attach_type`: the attach type that the kernel assumes where none is given.
pub(crate) fn fixed_attach_type(program: &Program) -> AttachType {
    match (program.prog_type, program.expected_attach_type) {
        (ProgType::CGROUP_SOCK, AttachType(0)) => AttachType::CGROUP_INET_SOCK_CREATE,
        (ProgType::SK_REUSEPORT, AttachType(0)) => AttachType::SK_REUSEPORT_SELECT,
        (_, given) => given,
    }
}

/// `bpf_prog_load_check_attach`: an id of a target is for types that have one, in the kernel's BTF; and some types
/// ask for certain attach types.
fn may_attach(program: &Program) -> bool {
    let prog_type = program.prog_type;
    let has_target =
        matches!(prog_type, ProgType::TRACING | ProgType::LSM | ProgType::STRUCT_OPS | ProgType::EXT);
    let id = program.attach_btf_id;
    if id > BTF_MAX_TYPE || id != 0 && !has_target {
        return false;
    }
    use AttachType as A;
    let attach_type = fixed_attach_type(program);
    match prog_type {
        ProgType::CGROUP_SOCK => matches!(
            attach_type,
            A::CGROUP_INET_SOCK_CREATE
                | A::CGROUP_INET_SOCK_RELEASE
                | A::CGROUP_INET4_POST_BIND
                | A::CGROUP_INET6_POST_BIND
        ),
        ProgType::CGROUP_SOCK_ADDR => matches!(
            attach_type,
            A::CGROUP_INET4_BIND
                | A::CGROUP_INET6_BIND
                | A::CGROUP_INET4_CONNECT
                | A::CGROUP_INET6_CONNECT
                | A::CGROUP_UNIX_CONNECT
                | A::CGROUP_INET4_GETPEERNAME
                | A::CGROUP_INET6_GETPEERNAME
                | A::CGROUP_UNIX_GETPEERNAME
                | A::CGROUP_INET4_GETSOCKNAME
                | A::CGROUP_INET6_GETSOCKNAME
                | A::CGROUP_UNIX_GETSOCKNAME
                | A::CGROUP_UDP4_SENDMSG
                | A::CGROUP_UDP6_SENDMSG
                | A::CGROUP_UNIX_SENDMSG
                | A::CGROUP_UDP4_RECVMSG
                | A::CGROUP_UDP6_RECVMSG
                | A::CGROUP_UNIX_RECVMSG
        ),
        ProgType::CGROUP_SKB => matches!(attach_type, A::CGROUP_INET_INGRESS | A::CGROUP_INET_EGRESS),
        ProgType::CGROUP_SOCKOPT => matches!(attach_type, A::CGROUP_SETSOCKOPT | A::CGROUP_GETSOCKOPT),
        ProgType::SK_LOOKUP => attach_type == A::SK_LOOKUP,
        ProgType::SK_REUSEPORT => {
            matches!(attach_type, A::SK_REUSEPORT_SELECT | A::SK_REUSEPORT_SELECT_OR_MIGRATE)
        }
        ProgType::NETFILTER => attach_type == A::NETFILTER,
        ProgType::SYSCALL | ProgType::EXT => attach_type == AttachType(0),
        _ => true,
    }
}

/// `find_prog_type`, in a kernel that is configured with all types.
fn is_prog_type(prog_type: ProgType) -> bool {
    prog_type != ProgType::UNSPEC && prog_type.name().is_some()
}

/// Types that only network administrators load.
fn is_net_admin_prog_type(prog_type: ProgType) -> bool {
    use ProgType as P;
    matches!(
        prog_type,
        P::SCHED_CLS
            | P::SCHED_ACT
            | P::XDP
            | P::LWT_IN
            | P::LWT_OUT
            | P::LWT_XMIT
            | P::LWT_SEG6LOCAL
            | P::SK_SKB
            | P::SK_MSG
            | P::FLOW_DISSECTOR
            | P::CGROUP_DEVICE
            | P::CGROUP_SOCK
            | P::CGROUP_SOCK_ADDR
            | P::CGROUP_SOCKOPT
            | P::CGROUP_SYSCTL
            | P::SOCK_OPS
            | P::EXT
            | P::NETFILTER
    )
}

/// Types that see the kernel's memory.
fn is_perfmon_prog_type(prog_type: ProgType) -> bool {
    use ProgType as P;
    matches!(
        prog_type,
        P::KPROBE
            | P::TRACEPOINT
            | P::PERF_EVENT
            | P::RAW_TRACEPOINT
            | P::RAW_TRACEPOINT_WRITABLE
            | P::TRACING
            | P::LSM
            | P::STRUCT_OPS
            | P::EXT
    )
}

/// `license_is_gpl_compatible` of `linux/license.h`.
pub(crate) fn license_is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL" | "GPL v2" | "GPL and additional rights" | "Dual BSD/GPL" | "Dual MIT/GPL" | "Dual MPL/GPL"
    )
}

#[cfg(test)]
mod tests {
    use skep_isa::{Insn, opcode};

    use super::*;
    use crate::options::Caps;

    fn check(prog_type: ProgType, attach_type: AttachType, caps: Caps, len: usize) -> Res {
        let program = Program {
            prog_type,
            expected_attach_type: attach_type,
            insns: vec![Insn::new(opcode::EXIT, 0, 0, 0, 0); len],
            ..Program::default()
        };
        prog_load_checks(&program, &Options { caps, ..Options::default() })
    }

    #[test]
    fn in_the_order_of_the_kernel() {
        let none = AttachType(0);
        assert_eq!(check(ProgType::XDP, none, Caps::FULL, 1), Ok(()));
        assert_eq!(check(ProgType::XDP, none, Caps::NONE, 0), Err(E2BIG));
        assert_eq!(check(ProgType::XDP, none, Caps::NONE, 1), Err(EPERM));
        assert_eq!(check(ProgType::KPROBE, none, Caps::CAPBPF, 1), Err(EPERM));
        assert_eq!(check(ProgType::SOCKET_FILTER, none, Caps::NONE, 4096), Ok(()));
        assert_eq!(check(ProgType::SOCKET_FILTER, none, Caps::NONE, 4097), Err(E2BIG));
        assert_eq!(check(ProgType::CGROUP_SOCK, none, Caps::FULL, 1), Ok(()));
        assert_eq!(check(ProgType::SK_LOOKUP, none, Caps::FULL, 1), Err(EINVAL));
        assert_eq!(check(ProgType(99), none, Caps::FULL, 1), Err(EINVAL));
    }
}
