// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may call a helper: sets of program types, and the groups that the kernel's `*_func_proto` functions form
//! when they fall back on one another.

use crate::{AttachType, ProgType};

/// A set of program types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgTypes(u64);

impl ProgTypes {
    /// Whether the set has this type.
    #[must_use]
    pub const fn contains(self, prog_type: ProgType) -> bool {
        prog_type.0 < 64 && self.0 & (1 << prog_type.0) != 0
    }

    const fn one(prog_type: ProgType) -> ProgTypes {
        ProgTypes(1 << prog_type.0)
    }

    pub(super) const fn union<const N: usize>(sets: [ProgTypes; N]) -> ProgTypes {
        let mut bits = 0;
        let mut i = 0;
        while i < N {
            bits |= sets[i].0;
            i += 1;
        }
        ProgTypes(bits)
    }

    pub(super) const fn minus(self, other: ProgTypes) -> ProgTypes {
        ProgTypes(self.0 & !other.0)
    }
}

/// Declares the set of one type for each name.
macro_rules! single {
    ($($name:ident)*) => { $(pub(super) const $name: ProgTypes = ProgTypes::one(ProgType::$name);)* };
}

single! {
    SOCKET_FILTER KPROBE SCHED_CLS SCHED_ACT TRACEPOINT XDP PERF_EVENT CGROUP_SKB CGROUP_SOCK LWT_IN LWT_OUT
    LWT_XMIT SOCK_OPS SK_SKB CGROUP_DEVICE SK_MSG RAW_TRACEPOINT CGROUP_SOCK_ADDR LWT_SEG6LOCAL LIRC_MODE2
    SK_REUSEPORT FLOW_DISSECTOR CGROUP_SYSCTL RAW_TRACEPOINT_WRITABLE CGROUP_SOCKOPT TRACING STRUCT_OPS LSM
    SK_LOOKUP SYSCALL NETFILTER
}

/// `SCHED_CLS` and `SCHED_ACT`.
pub(super) const TC: ProgTypes = ProgTypes::union([SCHED_CLS, SCHED_ACT]);
/// All lightweight tunnel types.
pub(super) const LWT: ProgTypes = ProgTypes::union([LWT_IN, LWT_OUT, LWT_XMIT, LWT_SEG6LOCAL]);
/// Types whose context is a packet with a socket buffer.
pub(super) const SKB: ProgTypes = ProgTypes::union([SOCKET_FILTER, TC, CGROUP_SKB, LWT, SK_SKB]);
/// Raw tracepoints.
pub(super) const RAW_TP: ProgTypes = ProgTypes::union([RAW_TRACEPOINT, RAW_TRACEPOINT_WRITABLE]);
/// Types that fall back on `bpf_sk_base_func_proto`.
pub(super) const SK_BASE: ProgTypes =
    ProgTypes::union([SKB, XDP, SOCK_OPS, SK_MSG, CGROUP_SOCK_ADDR, FLOW_DISSECTOR, SK_LOOKUP]);
/// Types that fall back on `bpf_tracing_func_proto`.
pub(super) const TRACE: ProgTypes =
    ProgTypes::union([KPROBE, TRACEPOINT, PERF_EVENT, RAW_TP, TRACING, LSM, SYSCALL]);
/// Types that ask `cgroup_current_func_proto`.
pub(super) const CGROUP_CURRENT: ProgTypes =
    ProgTypes::union([CGROUP_SOCK, CGROUP_DEVICE, CGROUP_SOCK_ADDR, CGROUP_SYSCTL, CGROUP_SOCKOPT]);
/// Types that fall back on `bpf_base_func_proto`: all but infrared decoders, and extensions, which call what
/// the program that they extend may call.
pub(super) const ALL: ProgTypes =
    ProgTypes::union([SK_BASE, TRACE, CGROUP_CURRENT, SK_REUSEPORT, STRUCT_OPS, NETFILTER]);

/// Where a program must, or must not, attach to call a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// No matter where.
    Any,
    /// At one of these.
    At(&'static [AttachType]),
    /// At none of these.
    NotAt(&'static [AttachType]),
}

impl Attach {
    /// Whether this attach type will do.
    #[must_use]
    pub fn allows(self, attach_type: AttachType) -> bool {
        match self {
            Attach::Any => true,
            Attach::At(list) => list.contains(&attach_type),
            Attach::NotAt(list) => !list.contains(&attach_type),
        }
    }
}

/// Hooks that start a connection over IP.
pub(super) const CONNECT_INET: &[AttachType] =
    &[AttachType::CGROUP_INET4_CONNECT, AttachType::CGROUP_INET6_CONNECT];
/// The hook that sees an option being set.
pub(super) const SETSOCKOPT: &[AttachType] = &[AttachType::CGROUP_SETSOCKOPT];
/// Security hooks by cgroup.
pub(super) const LSM_CGROUP: &[AttachType] = &[AttachType::LSM_CGROUP];
/// Probes on many functions at once, and those that frame a call.
pub(super) const MULTI: &[AttachType] = &[
    AttachType::TRACE_KPROBE_MULTI,
    AttachType::TRACE_KPROBE_SESSION,
    AttachType::TRACE_UPROBE_MULTI,
    AttachType::TRACE_UPROBE_SESSION,
];
/// Iterators.
pub(super) const ITER: &[AttachType] = &[AttachType::TRACE_ITER];
/// Programs that run from a trampoline (`bpf_prog_has_trampoline`).
pub(super) const TRAMPOLINE: &[AttachType] = &[
    AttachType::TRACE_FENTRY,
    AttachType::TRACE_FEXIT,
    AttachType::MODIFY_RETURN,
    AttachType::LSM_MAC,
    AttachType::LSM_CGROUP,
];
/// Cgroup hooks whose return value is no error number (`cgroup_common_func_proto`).
pub(super) const NO_RETVAL: &[AttachType] = &[
    AttachType::CGROUP_INET_INGRESS,
    AttachType::CGROUP_INET_EGRESS,
    AttachType::CGROUP_SOCK_OPS,
    AttachType::CGROUP_UDP4_RECVMSG,
    AttachType::CGROUP_UDP6_RECVMSG,
    AttachType::CGROUP_UNIX_RECVMSG,
    AttachType::CGROUP_INET4_GETPEERNAME,
    AttachType::CGROUP_INET6_GETPEERNAME,
    AttachType::CGROUP_UNIX_GETPEERNAME,
    AttachType::CGROUP_INET4_GETSOCKNAME,
    AttachType::CGROUP_INET6_GETSOCKNAME,
    AttachType::CGROUP_UNIX_GETSOCKNAME,
];
