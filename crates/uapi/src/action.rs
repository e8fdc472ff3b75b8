// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program's return value asks the kernel to do, by program type (`enum xdp_action`, `TC_ACT_*` of
//! `linux/pkt_cls.h`, `enum sk_action`, `enum bpf_ret_code`).

use crate::ProgType;

const XDP: &[(i32, &str)] =
    &[(0, "XDP_ABORTED"), (1, "XDP_DROP"), (2, "XDP_PASS"), (3, "XDP_TX"), (4, "XDP_REDIRECT")];

const TC: &[(i32, &str)] = &[
    (-1, "TC_ACT_UNSPEC"),
    (0, "TC_ACT_OK"),
    (1, "TC_ACT_RECLASSIFY"),
    (2, "TC_ACT_SHOT"),
    (3, "TC_ACT_PIPE"),
    (4, "TC_ACT_STOLEN"),
    (5, "TC_ACT_QUEUED"),
    (6, "TC_ACT_REPEAT"),
    (7, "TC_ACT_REDIRECT"),
    (8, "TC_ACT_TRAP"),
];

const SK: &[(i32, &str)] = &[(0, "SK_DROP"), (1, "SK_PASS")];

const LWT: &[(i32, &str)] = &[
    (0, "BPF_OK"),
    (2, "BPF_DROP"),
    (7, "BPF_REDIRECT"),
    (128, "BPF_LWT_REROUTE"),
    (129, "BPF_FLOW_DISSECTOR_CONTINUE"),
];

/// Cgroup hooks let the operation go on, or answer it with `EPERM`.
const ALLOW: &[(i32, &str)] = &[(0, "deny"), (1, "allow")];

/// A socket filter returns how many bytes of the packet to keep.
const FILTER: &[(i32, &str)] = &[(0, "drop")];

const ACTIONS: &[(ProgType, &[(i32, &str)])] = &[
    (ProgType::XDP, XDP),
    (ProgType::SCHED_CLS, TC),
    (ProgType::SCHED_ACT, TC),
    (ProgType::SK_SKB, SK),
    (ProgType::SK_MSG, SK),
    (ProgType::SK_LOOKUP, SK),
    (ProgType::SK_REUSEPORT, SK),
    (ProgType::LWT_IN, LWT),
    (ProgType::LWT_OUT, LWT),
    (ProgType::LWT_XMIT, LWT),
    (ProgType::FLOW_DISSECTOR, LWT),
    (ProgType::CGROUP_SKB, ALLOW),
    (ProgType::CGROUP_SOCK, ALLOW),
    (ProgType::CGROUP_DEVICE, ALLOW),
    (ProgType::CGROUP_SOCK_ADDR, ALLOW),
    (ProgType::CGROUP_SYSCTL, ALLOW),
    (ProgType::CGROUP_SOCKOPT, ALLOW),
    (ProgType::SOCKET_FILTER, FILTER),
];

/// The name of a return value, where the program type gives its values a meaning.
#[must_use]
pub fn action_name(prog_type: ProgType, r0: u32) -> Option<&'static str> {
    let (_, names) = ACTIONS.iter().find(|(t, _)| *t == prog_type)?;
    names.iter().find(|(value, _)| *value == r0.cast_signed()).map(|(_, name)| *name)
}
