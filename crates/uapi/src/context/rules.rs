// SPDX-License-Identifier: MIT OR Apache-2.0
//! The access rules of each program type (Linux 6.18: `net/core/filter.c`, `kernel/bpf/cgroup.c`,
//! `kernel/trace/bpf_trace.c` and `kernel/bpf/syscall.c`, functions `*_is_valid_access`).

use super::access::Sizes::{Any, Exact, Narrow, NarrowFrom, NarrowOrPair, No, Port, Within, WordOrPair};
use super::access::{Rule, Sizes, Yields};
use super::layouts::{
    BPF_CGROUP_DEV_CTX, BPF_PERF_EVENT_DATA, BPF_RAW_TRACEPOINT_ARGS, BPF_SK_LOOKUP, BPF_SOCK, BPF_SOCK_ADDR,
    BPF_SOCK_OPS, BPF_SOCKOPT, BPF_SYSCTL, PT_REGS, SK_BUFF, SK_MSG_MD, SK_REUSEPORT_MD, XDP_MD,
};
use super::{Field, Layout};
use crate::AttachType;

/// `PERF_MAX_TRACE_SIZE`: bytes that the record of a tracepoint has at most.
const PERF_MAX_TRACE_SIZE: i32 = 8192;

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// A field by its name, which must exist: a mistake here does not compile.
const fn find(layout: &Layout, name: &str) -> Field {
    let mut i = 0;
    while i < layout.fields.len() {
        if same(layout.fields[i].name, name) {
            return layout.fields[i];
        }
        i += 1;
    }
    panic!("no such field")
}

/// Where a field starts.
const fn start(layout: &Layout, name: &str) -> i32 {
    find(layout, name).offset as i32
}

/// The bytes from one offset up to another; nothing is allowed yet.
const fn bytes(start: i32, end: i32) -> Rule {
    Rule { start, end, read: No, write: No, yields: Yields::Scalar, attach: &[], bpf_capable: false }
}

/// All bytes from the first to the last field (`bpf_ctx_range_till`).
const fn till(layout: &Layout, first: &str, last: &str) -> Rule {
    let last = find(layout, last);
    bytes(start(layout, first), (last.offset + last.size * last.count) as i32)
}

/// All bytes of a field (`bpf_ctx_range`).
const fn of(layout: &Layout, name: &str) -> Rule {
    till(layout, name, name)
}

/// The first byte of a field (`offsetof`).
const fn at(layout: &Layout, name: &str) -> Rule {
    let offset = start(layout, name);
    bytes(offset, offset + 1)
}

/// All bytes of a structure.
const fn all(layout: &Layout) -> Rule {
    bytes(0, layout.size as i32)
}

impl Rule {
    const fn read(mut self, sizes: Sizes) -> Rule {
        self.read = sizes;
        self
    }
    const fn write(mut self, sizes: Sizes) -> Rule {
        self.write = sizes;
        self
    }
    const fn gives(mut self, yields: Yields) -> Rule {
        self.yields = yields;
        self
    }
    const fn attached(mut self, attach: &'static [AttachType]) -> Rule {
        self.attach = attach;
        self
    }
    const fn capable(mut self) -> Rule {
        self.bpf_capable = true;
        self
    }
}

/// A field of `__sk_buff` that the program type may write, and read in parts.
const fn skb_writable(name: &str) -> Rule {
    of(&SK_BUFF, name).read(Narrow(4)).write(Exact(4))
}

/// `bpf_skb_is_valid_access`: how `__sk_buff` may be read where the program type says nothing else.
const SKB: &[Rule] = &[
    of(&SK_BUFF, "cb").read(Within),
    of(&SK_BUFF, "data").read(Exact(4)).gives(Yields::Packet),
    of(&SK_BUFF, "data_end").read(Exact(4)).gives(Yields::PacketEnd),
    of(&SK_BUFF, "data_meta").read(Exact(4)).gives(Yields::PacketMeta),
    till(&SK_BUFF, "remote_ip4", "local_ip6").read(Exact(4)),
    of(&SK_BUFF, "flow_keys"),
    of(&SK_BUFF, "tstamp").read(Exact(8)),
    of(&SK_BUFF, "hwtstamp").read(Exact(8)),
    of(&SK_BUFF, "sk").read(Exact(8)).gives(Yields::SockCommonOrNull),
    // The clock of `tstamp` is for tc alone; what follows it is padding.
    bytes(start(&SK_BUFF, "tstamp_type"), start(&SK_BUFF, "hwtstamp")),
    all(&SK_BUFF).read(Narrow(4)),
];

const SKB_CB: Rule = of(&SK_BUFF, "cb").read(Within).write(Within);
const SKB_TSTAMP: Rule = of(&SK_BUFF, "tstamp").read(Exact(8)).write(Exact(8));
const SKB_SOCKET: Rule = till(&SK_BUFF, "family", "local_port");

pub(super) const SOCKET_FILTER: &[&[Rule]] = &[
    &[
        of(&SK_BUFF, "tc_classid"),
        of(&SK_BUFF, "data"),
        of(&SK_BUFF, "data_meta"),
        of(&SK_BUFF, "data_end"),
        SKB_SOCKET,
        of(&SK_BUFF, "tstamp"),
        of(&SK_BUFF, "wire_len"),
        of(&SK_BUFF, "hwtstamp"),
        SKB_CB,
    ],
    SKB,
];

pub(super) const TC: &[&[Rule]] = &[
    &[
        skb_writable("mark"),
        skb_writable("tc_index"),
        skb_writable("priority"),
        skb_writable("tc_classid"),
        skb_writable("queue_mapping"),
        SKB_CB,
        SKB_TSTAMP,
        SKB_SOCKET,
        at(&SK_BUFF, "tstamp_type").read(Exact(1)),
    ],
    SKB,
];

pub(super) const CGROUP_SKB: &[&[Rule]] = &[
    &[
        of(&SK_BUFF, "tc_classid"),
        of(&SK_BUFF, "data_meta"),
        of(&SK_BUFF, "wire_len"),
        of(&SK_BUFF, "data").read(Exact(4)).gives(Yields::Packet).capable(),
        of(&SK_BUFF, "data"),
        of(&SK_BUFF, "data_end").read(Exact(4)).gives(Yields::PacketEnd).capable(),
        of(&SK_BUFF, "data_end"),
        skb_writable("mark"),
        skb_writable("priority"),
        SKB_CB,
        SKB_TSTAMP.capable(),
    ],
    SKB,
];

pub(super) const LWT: &[&[Rule]] = &[
    &[
        of(&SK_BUFF, "tc_classid"),
        SKB_SOCKET,
        of(&SK_BUFF, "data_meta"),
        of(&SK_BUFF, "tstamp"),
        of(&SK_BUFF, "wire_len"),
        of(&SK_BUFF, "hwtstamp"),
        skb_writable("mark"),
        skb_writable("priority"),
        SKB_CB,
    ],
    SKB,
];

pub(super) const SK_SKB: &[&[Rule]] = &[
    &[
        of(&SK_BUFF, "tc_classid"),
        of(&SK_BUFF, "data_meta"),
        of(&SK_BUFF, "tstamp"),
        of(&SK_BUFF, "wire_len"),
        of(&SK_BUFF, "hwtstamp"),
        of(&SK_BUFF, "mark"),
        skb_writable("tc_index"),
        skb_writable("priority"),
    ],
    SKB,
];

pub(super) const FLOW_DISSECTOR: &[&[Rule]] = &[&[
    of(&SK_BUFF, "data").read(Exact(4)).gives(Yields::Packet),
    of(&SK_BUFF, "data_end").read(Exact(4)).gives(Yields::PacketEnd),
    of(&SK_BUFF, "flow_keys").read(Exact(8)).gives(Yields::FlowKeys),
]];

pub(super) const XDP: &[&[Rule]] = &[&[
    of(&XDP_MD, "data").read(Exact(4)).gives(Yields::Packet),
    of(&XDP_MD, "data_end").read(Exact(4)).gives(Yields::PacketEnd),
    of(&XDP_MD, "data_meta").read(Exact(4)).gives(Yields::PacketMeta),
    of(&XDP_MD, "egress_ifindex").read(Exact(4)).attached(&[AttachType::XDP_DEVMAP]),
    of(&XDP_MD, "egress_ifindex"),
    all(&XDP_MD).read(Exact(4)),
]];

pub(super) const KPROBE: &[&[Rule]] = &[&[all(&PT_REGS).read(Within)]];

/// The first 8 bytes of the record are the kernel's own. What is before them is allowed by mistake: the kernel
/// compares the offset as an unsigned number there (`tp_prog_is_valid_access @ 6.18`).
pub(super) const TRACEPOINT: &[&[Rule]] = &[&[bytes(0, 8), bytes(i32::MIN, PERF_MAX_TRACE_SIZE).read(Any)]];

pub(super) const RAW_TRACEPOINT: &[&[Rule]] = &[&[all(&BPF_RAW_TRACEPOINT_ARGS).read(Any)]];

pub(super) const RAW_TRACEPOINT_WRITABLE: &[&[Rule]] = &[
    &[at(&BPF_RAW_TRACEPOINT_ARGS, "args").read(Exact(8)).gives(Yields::TpBuffer)],
    &[all(&BPF_RAW_TRACEPOINT_ARGS).read(Any)],
];

pub(super) const PERF_EVENT: &[&[Rule]] =
    &[&[till(&BPF_PERF_EVENT_DATA, "sample_period", "addr").read(Narrow(8)), all(&PT_REGS).read(Exact(8))]];

const SOCK_LIFE: &[AttachType] = &[AttachType::CGROUP_INET_SOCK_CREATE, AttachType::CGROUP_INET_SOCK_RELEASE];
const POST_BIND4: &[AttachType] = &[AttachType::CGROUP_INET4_POST_BIND];
const POST_BIND6: &[AttachType] = &[AttachType::CGROUP_INET6_POST_BIND];
const POST_BIND: &[AttachType] = &[AttachType::CGROUP_INET4_POST_BIND, AttachType::CGROUP_INET6_POST_BIND];

pub(super) const CGROUP_SOCK: &[&[Rule]] = &[
    &[
        of(&BPF_SOCK, "bound_dev_if").read(Exact(4)).write(Exact(4)).attached(SOCK_LIFE),
        till(&BPF_SOCK, "mark", "priority").read(Exact(4)).write(Exact(4)).attached(SOCK_LIFE),
        of(&BPF_SOCK, "src_ip4").read(Narrow(4)).attached(POST_BIND4),
        of(&BPF_SOCK, "src_ip6").read(Narrow(4)).attached(POST_BIND6),
        at(&BPF_SOCK, "src_port").read(Narrow(4)).attached(POST_BIND),
        of(&BPF_SOCK, "bound_dev_if"),
        till(&BPF_SOCK, "mark", "src_port"),
    ],
    SOCK,
];

/// `bpf_sock_is_valid_access`: what a pointer to a full socket may be read by.
pub const SOCK: &[Rule] = &[
    at(&BPF_SOCK, "state").read(Narrow(4)),
    at(&BPF_SOCK, "family").read(Narrow(4)),
    at(&BPF_SOCK, "type").read(Narrow(4)),
    at(&BPF_SOCK, "protocol").read(Narrow(4)),
    at(&BPF_SOCK, "src_port").read(Narrow(4)),
    at(&BPF_SOCK, "rx_queue_mapping").read(Narrow(4)),
    till(&BPF_SOCK, "src_ip4", "src_ip6").read(Narrow(4)),
    till(&BPF_SOCK, "dst_ip4", "dst_ip6").read(Narrow(4)),
    of(&BPF_SOCK, "dst_port").read(Port),
    // The padding after the port.
    bytes(50, start(&BPF_SOCK, "dst_ip4")),
    all(&BPF_SOCK).read(Exact(4)),
];

/// What `bpf_sock_common_is_valid_access` takes away from [`SOCK`].
pub const SOCK_COMMON: &[Rule] = &[till(&BPF_SOCK, "type", "priority")];

/// `bpf_tcp_sock_is_valid_access`: `struct bpf_tcp_sock`, whose two 8-byte counters are the only ones.
pub const TCP_SOCK: &[Rule] =
    &[bytes(80, 81).read(Exact(8)), bytes(88, 89).read(Exact(8)), bytes(0, 112).read(Exact(4))];

/// `bpf_xdp_sock_is_valid_access`: `struct bpf_xdp_sock`.
pub const XDP_SOCK: &[Rule] = &[bytes(0, 4).read(Exact(4))];

const ADDR4: &[AttachType] = &[
    AttachType::CGROUP_INET4_BIND,
    AttachType::CGROUP_INET4_CONNECT,
    AttachType::CGROUP_INET4_GETPEERNAME,
    AttachType::CGROUP_INET4_GETSOCKNAME,
    AttachType::CGROUP_UDP4_SENDMSG,
    AttachType::CGROUP_UDP4_RECVMSG,
];
const ADDR6: &[AttachType] = &[
    AttachType::CGROUP_INET6_BIND,
    AttachType::CGROUP_INET6_CONNECT,
    AttachType::CGROUP_INET6_GETPEERNAME,
    AttachType::CGROUP_INET6_GETSOCKNAME,
    AttachType::CGROUP_UDP6_SENDMSG,
    AttachType::CGROUP_UDP6_RECVMSG,
];

pub(super) const CGROUP_SOCK_ADDR: &[&[Rule]] = &[&[
    of(&BPF_SOCK_ADDR, "user_ip4").read(Narrow(4)).write(Exact(4)).attached(ADDR4),
    of(&BPF_SOCK_ADDR, "user_ip6").read(NarrowOrPair).write(WordOrPair).attached(ADDR6),
    of(&BPF_SOCK_ADDR, "msg_src_ip4")
        .read(Narrow(4))
        .write(Exact(4))
        .attached(&[AttachType::CGROUP_UDP4_SENDMSG]),
    of(&BPF_SOCK_ADDR, "msg_src_ip6")
        .read(NarrowOrPair)
        .write(WordOrPair)
        .attached(&[AttachType::CGROUP_UDP6_SENDMSG]),
    of(&BPF_SOCK_ADDR, "user_port").read(Narrow(4)).write(Exact(4)),
    of(&BPF_SOCK_ADDR, "sk").read(Exact(8)).gives(Yields::Socket),
    of(&BPF_SOCK_ADDR, "user_family").read(Exact(4)),
    till(&BPF_SOCK_ADDR, "family", "protocol").read(Exact(4)),
]];

const GETSOCKOPT: &[AttachType] = &[AttachType::CGROUP_GETSOCKOPT];
const SETSOCKOPT: &[AttachType] = &[AttachType::CGROUP_SETSOCKOPT];

pub(super) const CGROUP_SOCKOPT: &[&[Rule]] = &[&[
    of(&BPF_SOCKOPT, "sk").read(Exact(8)).gives(Yields::Socket),
    of(&BPF_SOCKOPT, "optval").read(Exact(8)).gives(Yields::Packet),
    of(&BPF_SOCKOPT, "optval_end").read(Exact(8)).gives(Yields::PacketEnd),
    till(&BPF_SOCKOPT, "level", "optname").read(Exact(4)).write(Exact(4)).attached(SETSOCKOPT),
    till(&BPF_SOCKOPT, "level", "optname").read(Exact(4)),
    of(&BPF_SOCKOPT, "optlen").read(Exact(4)).write(Exact(4)),
    of(&BPF_SOCKOPT, "retval").read(Exact(4)).write(Exact(4)).attached(GETSOCKOPT),
]];

pub(super) const CGROUP_SYSCTL: &[&[Rule]] = &[&[
    of(&BPF_SYSCTL, "write").read(Narrow(4)),
    of(&BPF_SYSCTL, "file_pos").read(Narrow(4)).write(Exact(4)),
]];

pub(super) const CGROUP_DEVICE: &[&[Rule]] = &[&[
    of(&BPF_CGROUP_DEV_CTX, "access_type").read(Narrow(4)),
    till(&BPF_CGROUP_DEV_CTX, "major", "minor").read(Exact(4)),
]];

pub(super) const SOCK_OPS: &[&[Rule]] = &[&[
    at(&BPF_SOCK_OPS, "reply").read(Exact(4)).write(Exact(4)),
    at(&BPF_SOCK_OPS, "sk_txhash").read(Exact(4)).write(Exact(4)),
    till(&BPF_SOCK_OPS, "bytes_received", "bytes_acked").read(Exact(8)),
    of(&BPF_SOCK_OPS, "sk").read(Exact(8)).gives(Yields::SocketOrNull),
    of(&BPF_SOCK_OPS, "skb_data").read(Exact(8)).gives(Yields::Packet),
    of(&BPF_SOCK_OPS, "skb_data_end").read(Exact(8)).gives(Yields::PacketEnd),
    at(&BPF_SOCK_OPS, "skb_tcp_flags").read(Narrow(4)),
    of(&BPF_SOCK_OPS, "skb_hwtstamp").read(Exact(8)),
    all(&BPF_SOCK_OPS).read(Exact(4)),
]];

pub(super) const SK_MSG: &[&[Rule]] = &[&[
    of(&SK_MSG_MD, "data").read(Exact(8)).gives(Yields::Packet),
    of(&SK_MSG_MD, "data_end").read(Exact(8)).gives(Yields::PacketEnd),
    of(&SK_MSG_MD, "sk").read(Exact(8)).gives(Yields::Socket),
    till(&SK_MSG_MD, "family", "size").read(Exact(4)),
]];

pub(super) const SK_LOOKUP: &[&[Rule]] = &[&[
    of(&BPF_SK_LOOKUP, "sk").read(Exact(8)).gives(Yields::SocketOrNull),
    of(&BPF_SK_LOOKUP, "remote_port").read(Port),
    // Padding, which programs of old read as part of the port.
    bytes(38, start(&BPF_SK_LOOKUP, "local_ip4")).read(Narrow(2)),
    till(&BPF_SK_LOOKUP, "family", "ingress_ifindex").read(Narrow(4)),
]];

pub(super) const SK_REUSEPORT: &[&[Rule]] = &[&[
    at(&SK_REUSEPORT_MD, "data").read(Exact(8)).gives(Yields::Packet),
    at(&SK_REUSEPORT_MD, "data_end").read(Exact(8)).gives(Yields::PacketEnd),
    at(&SK_REUSEPORT_MD, "hash").read(Exact(4)),
    at(&SK_REUSEPORT_MD, "sk").read(Exact(8)).gives(Yields::Socket),
    at(&SK_REUSEPORT_MD, "migrating_sk").read(Exact(8)).gives(Yields::SockCommonOrNull),
    of(&SK_REUSEPORT_MD, "eth_protocol").read(NarrowFrom { least: 2, field: 4 }),
    of(&SK_REUSEPORT_MD, "len").read(Narrow(4)),
    till(&SK_REUSEPORT_MD, "ip_protocol", "bind_inany").read(Narrow(4)),
]];

/// One sample of 4 bytes.
pub(super) const LIRC_MODE2: &[&[Rule]] = &[&[bytes(0, 1).read(Exact(4))]];

/// Whatever `BPF_PROG_TEST_RUN` is given, up to `U16_MAX` bytes.
pub(super) const SYSCALL: &[&[Rule]] = &[&[bytes(0, u16::MAX as i32).read(Any).write(Any)]];

/// `struct bpf_nf_ctx`, a structure of the kernel: two pointers.
pub(super) const NETFILTER: &[&[Rule]] = &[&[
    bytes(0, 1).read(Exact(8)).gives(Yields::BtfId("nf_hook_state")),
    bytes(8, 9).read(Exact(8)).gives(Yields::BtfId("sk_buff")),
]];
