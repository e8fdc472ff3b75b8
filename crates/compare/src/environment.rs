// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers whose results depend on where and when a program runs: differences of a program that calls one of them
//! may come from there, and are labelled so. Nothing is masked.

use skep_isa::{CallKind, Op};
use skep_program::Object;
use skep_uapi::HelperId;

/// Helpers that read time, chance, the CPU, the current task, addresses of the kernel, or its network
/// devices, routes and sockets.
const DEPENDENT: &[HelperId] = &[
    HelperId::KTIME_GET_NS,
    HelperId::KTIME_GET_BOOT_NS,
    HelperId::KTIME_GET_COARSE_NS,
    HelperId::KTIME_GET_TAI_NS,
    HelperId::JIFFIES64,
    HelperId::GET_PRANDOM_U32,
    HelperId::GET_SMP_PROCESSOR_ID,
    HelperId::GET_NUMA_NODE_ID,
    HelperId::GET_CURRENT_PID_TGID,
    HelperId::GET_NS_CURRENT_PID_TGID,
    HelperId::GET_CURRENT_UID_GID,
    HelperId::GET_CURRENT_COMM,
    HelperId::GET_CURRENT_TASK,
    HelperId::GET_CURRENT_TASK_BTF,
    HelperId::GET_CURRENT_CGROUP_ID,
    HelperId::GET_CURRENT_ANCESTOR_CGROUP_ID,
    HelperId::GET_CGROUP_CLASSID,
    HelperId::SKB_CGROUP_CLASSID,
    HelperId::SKB_CGROUP_ID,
    HelperId::SKB_ANCESTOR_CGROUP_ID,
    HelperId::GET_ROUTE_REALM,
    HelperId::GET_HASH_RECALC,
    HelperId::GET_SOCKET_COOKIE,
    HelperId::GET_SOCKET_UID,
    HelperId::GET_NETNS_COOKIE,
    HelperId::GET_STACKID,
    HelperId::GET_STACK,
    HelperId::GET_TASK_STACK,
    HelperId::GET_FUNC_IP,
    HelperId::PERF_EVENT_READ,
    HelperId::PERF_EVENT_READ_VALUE,
    HelperId::PERF_PROG_READ_VALUE,
    HelperId::PROBE_READ,
    HelperId::PROBE_READ_STR,
    HelperId::PROBE_READ_USER,
    HelperId::PROBE_READ_USER_STR,
    HelperId::PROBE_READ_KERNEL,
    HelperId::PROBE_READ_KERNEL_STR,
    HelperId::FIB_LOOKUP,
    HelperId::CHECK_MTU,
    HelperId::CLONE_REDIRECT,
    HelperId::SK_LOOKUP_TCP,
    HelperId::SK_LOOKUP_UDP,
    HelperId::SKC_LOOKUP_TCP,
    HelperId::TCP_GEN_SYNCOOKIE,
    HelperId::TCP_CHECK_SYNCOOKIE,
    HelperId::TCP_RAW_GEN_SYNCOOKIE_IPV4,
    HelperId::TCP_RAW_GEN_SYNCOOKIE_IPV6,
    HelperId::KALLSYMS_LOOKUP_NAME,
];

/// Names of the environment-dependent helpers that programs of an object call, in order of their numbers.
#[must_use]
pub fn dependent_helpers(object: &Object) -> Vec<&'static str> {
    let mut called: Vec<HelperId> = object
        .programs
        .iter()
        .flat_map(|p| (0..p.insns.len()).filter_map(|at| skep_isa::decode(&p.insns, at).ok()))
        .filter(|d| d.op() == Op::Call(CallKind::Helper))
        .map(|d| HelperId(d.insn.imm.cast_unsigned()))
        .filter(|id| DEPENDENT.contains(id))
        .collect();
    called.sort_unstable();
    called.dedup();
    called.into_iter().filter_map(HelperId::name).collect()
}
