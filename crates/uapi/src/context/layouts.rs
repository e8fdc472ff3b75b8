// SPDX-License-Identifier: MIT OR Apache-2.0
//! The context structures of `linux/bpf.h`, field by field (Linux 6.18).

use super::Value::{Packet, PacketEnd, PacketMeta, Pointer, Scalar};
use super::{Field, Layout, field};

/// `struct __sk_buff`.
pub static SK_BUFF: Layout = Layout {
    name: "__sk_buff",
    size: 192,
    fields: &[
        field("len", 0, 4, 1, Scalar),
        field("pkt_type", 4, 4, 1, Scalar),
        field("mark", 8, 4, 1, Scalar),
        field("queue_mapping", 12, 4, 1, Scalar),
        field("protocol", 16, 4, 1, Scalar),
        field("vlan_present", 20, 4, 1, Scalar),
        field("vlan_tci", 24, 4, 1, Scalar),
        field("vlan_proto", 28, 4, 1, Scalar),
        field("priority", 32, 4, 1, Scalar),
        field("ingress_ifindex", 36, 4, 1, Scalar),
        field("ifindex", 40, 4, 1, Scalar),
        field("tc_index", 44, 4, 1, Scalar),
        field("cb", 48, 4, 5, Scalar),
        field("hash", 68, 4, 1, Scalar),
        field("tc_classid", 72, 4, 1, Scalar),
        field("data", 76, 4, 1, Packet),
        field("data_end", 80, 4, 1, PacketEnd),
        field("napi_id", 84, 4, 1, Scalar),
        field("family", 88, 4, 1, Scalar),
        field("remote_ip4", 92, 4, 1, Scalar),
        field("local_ip4", 96, 4, 1, Scalar),
        field("remote_ip6", 100, 4, 4, Scalar),
        field("local_ip6", 116, 4, 4, Scalar),
        field("remote_port", 132, 4, 1, Scalar),
        field("local_port", 136, 4, 1, Scalar),
        field("data_meta", 140, 4, 1, PacketMeta),
        field("flow_keys", 144, 8, 1, Pointer("bpf_flow_keys")),
        field("tstamp", 152, 8, 1, Scalar),
        field("wire_len", 160, 4, 1, Scalar),
        field("gso_segs", 164, 4, 1, Scalar),
        field("sk", 168, 8, 1, Pointer("bpf_sock")),
        field("gso_size", 176, 4, 1, Scalar),
        field("tstamp_type", 180, 1, 1, Scalar),
        field("hwtstamp", 184, 8, 1, Scalar),
    ],
};

/// `struct xdp_md`.
pub static XDP_MD: Layout = Layout {
    name: "xdp_md",
    size: 24,
    fields: &[
        field("data", 0, 4, 1, Packet),
        field("data_end", 4, 4, 1, PacketEnd),
        field("data_meta", 8, 4, 1, PacketMeta),
        field("ingress_ifindex", 12, 4, 1, Scalar),
        field("rx_queue_index", 16, 4, 1, Scalar),
        field("egress_ifindex", 20, 4, 1, Scalar),
    ],
};

/// `struct bpf_sock`.
pub static BPF_SOCK: Layout = Layout {
    name: "bpf_sock",
    size: 80,
    fields: &[
        field("bound_dev_if", 0, 4, 1, Scalar),
        field("family", 4, 4, 1, Scalar),
        field("type", 8, 4, 1, Scalar),
        field("protocol", 12, 4, 1, Scalar),
        field("mark", 16, 4, 1, Scalar),
        field("priority", 20, 4, 1, Scalar),
        field("src_ip4", 24, 4, 1, Scalar),
        field("src_ip6", 28, 4, 4, Scalar),
        field("src_port", 44, 4, 1, Scalar),
        field("dst_port", 48, 2, 1, Scalar),
        field("dst_ip4", 52, 4, 1, Scalar),
        field("dst_ip6", 56, 4, 4, Scalar),
        field("state", 72, 4, 1, Scalar),
        field("rx_queue_mapping", 76, 4, 1, Scalar),
    ],
};

/// `struct bpf_sock_addr`.
pub static BPF_SOCK_ADDR: Layout = Layout {
    name: "bpf_sock_addr",
    size: 72,
    fields: &[
        field("user_family", 0, 4, 1, Scalar),
        field("user_ip4", 4, 4, 1, Scalar),
        field("user_ip6", 8, 4, 4, Scalar),
        field("user_port", 24, 4, 1, Scalar),
        field("family", 28, 4, 1, Scalar),
        field("type", 32, 4, 1, Scalar),
        field("protocol", 36, 4, 1, Scalar),
        field("msg_src_ip4", 40, 4, 1, Scalar),
        field("msg_src_ip6", 44, 4, 4, Scalar),
        field("sk", 64, 8, 1, Pointer("bpf_sock")),
    ],
};

/// `struct bpf_sock_ops`.
pub static BPF_SOCK_OPS: Layout = Layout {
    name: "bpf_sock_ops",
    size: 224,
    fields: &[
        field("op", 0, 4, 1, Scalar),
        field("args", 4, 4, 4, Scalar),
        field("reply", 4, 4, 1, Scalar),
        field("replylong", 4, 4, 4, Scalar),
        field("family", 20, 4, 1, Scalar),
        field("remote_ip4", 24, 4, 1, Scalar),
        field("local_ip4", 28, 4, 1, Scalar),
        field("remote_ip6", 32, 4, 4, Scalar),
        field("local_ip6", 48, 4, 4, Scalar),
        field("remote_port", 64, 4, 1, Scalar),
        field("local_port", 68, 4, 1, Scalar),
        field("is_fullsock", 72, 4, 1, Scalar),
        field("snd_cwnd", 76, 4, 1, Scalar),
        field("srtt_us", 80, 4, 1, Scalar),
        field("bpf_sock_ops_cb_flags", 84, 4, 1, Scalar),
        field("state", 88, 4, 1, Scalar),
        field("rtt_min", 92, 4, 1, Scalar),
        field("snd_ssthresh", 96, 4, 1, Scalar),
        field("rcv_nxt", 100, 4, 1, Scalar),
        field("snd_nxt", 104, 4, 1, Scalar),
        field("snd_una", 108, 4, 1, Scalar),
        field("mss_cache", 112, 4, 1, Scalar),
        field("ecn_flags", 116, 4, 1, Scalar),
        field("rate_delivered", 120, 4, 1, Scalar),
        field("rate_interval_us", 124, 4, 1, Scalar),
        field("packets_out", 128, 4, 1, Scalar),
        field("retrans_out", 132, 4, 1, Scalar),
        field("total_retrans", 136, 4, 1, Scalar),
        field("segs_in", 140, 4, 1, Scalar),
        field("data_segs_in", 144, 4, 1, Scalar),
        field("segs_out", 148, 4, 1, Scalar),
        field("data_segs_out", 152, 4, 1, Scalar),
        field("lost_out", 156, 4, 1, Scalar),
        field("sacked_out", 160, 4, 1, Scalar),
        field("sk_txhash", 164, 4, 1, Scalar),
        field("bytes_received", 168, 8, 1, Scalar),
        field("bytes_acked", 176, 8, 1, Scalar),
        field("sk", 184, 8, 1, Pointer("bpf_sock")),
        field("skb_data", 192, 8, 1, Packet),
        field("skb_data_end", 200, 8, 1, PacketEnd),
        field("skb_len", 208, 4, 1, Scalar),
        field("skb_tcp_flags", 212, 4, 1, Scalar),
        field("skb_hwtstamp", 216, 8, 1, Scalar),
    ],
};

/// `struct bpf_flow_keys`, which a flow dissector fills in; the IPv4 addresses share the place of the IPv6 ones.
pub static BPF_FLOW_KEYS: Layout = Layout {
    name: "bpf_flow_keys",
    size: 56,
    fields: &[
        field("nhoff", 0, 2, 1, Scalar),
        field("thoff", 2, 2, 1, Scalar),
        field("addr_proto", 4, 2, 1, Scalar),
        field("is_frag", 6, 1, 1, Scalar),
        field("is_first_frag", 7, 1, 1, Scalar),
        field("is_encap", 8, 1, 1, Scalar),
        field("ip_proto", 9, 1, 1, Scalar),
        field("n_proto", 10, 2, 1, Scalar),
        field("sport", 12, 2, 1, Scalar),
        field("dport", 14, 2, 1, Scalar),
        field("ipv4_src", 16, 4, 1, Scalar),
        field("ipv6_src", 16, 4, 4, Scalar),
        field("ipv4_dst", 20, 4, 1, Scalar),
        field("ipv6_dst", 32, 4, 4, Scalar),
        field("flags", 48, 4, 1, Scalar),
        field("flow_label", 52, 4, 1, Scalar),
    ],
};

/// `struct sk_msg_md`.
pub static SK_MSG_MD: Layout = Layout {
    name: "sk_msg_md",
    size: 80,
    fields: &[
        field("data", 0, 8, 1, Packet),
        field("data_end", 8, 8, 1, PacketEnd),
        field("family", 16, 4, 1, Scalar),
        field("remote_ip4", 20, 4, 1, Scalar),
        field("local_ip4", 24, 4, 1, Scalar),
        field("remote_ip6", 28, 4, 4, Scalar),
        field("local_ip6", 44, 4, 4, Scalar),
        field("remote_port", 60, 4, 1, Scalar),
        field("local_port", 64, 4, 1, Scalar),
        field("size", 68, 4, 1, Scalar),
        field("sk", 72, 8, 1, Pointer("bpf_sock")),
    ],
};

/// `struct bpf_cgroup_dev_ctx`.
pub static BPF_CGROUP_DEV_CTX: Layout = Layout {
    name: "bpf_cgroup_dev_ctx",
    size: 12,
    fields: &[
        field("access_type", 0, 4, 1, Scalar),
        field("major", 4, 4, 1, Scalar),
        field("minor", 8, 4, 1, Scalar),
    ],
};

/// `struct bpf_sysctl`.
pub static BPF_SYSCTL: Layout = Layout {
    name: "bpf_sysctl",
    size: 8,
    fields: &[field("write", 0, 4, 1, Scalar), field("file_pos", 4, 4, 1, Scalar)],
};

/// `struct bpf_sockopt`.
pub static BPF_SOCKOPT: Layout = Layout {
    name: "bpf_sockopt",
    size: 40,
    fields: &[
        field("sk", 0, 8, 1, Pointer("bpf_sock")),
        field("optval", 8, 8, 1, Packet),
        field("optval_end", 16, 8, 1, PacketEnd),
        field("level", 24, 4, 1, Scalar),
        field("optname", 28, 4, 1, Scalar),
        field("optlen", 32, 4, 1, Scalar),
        field("retval", 36, 4, 1, Scalar),
    ],
};

/// `struct sk_reuseport_md`.
pub static SK_REUSEPORT_MD: Layout = Layout {
    name: "sk_reuseport_md",
    size: 56,
    fields: &[
        field("data", 0, 8, 1, Packet),
        field("data_end", 8, 8, 1, PacketEnd),
        field("len", 16, 4, 1, Scalar),
        field("eth_protocol", 20, 4, 1, Scalar),
        field("ip_protocol", 24, 4, 1, Scalar),
        field("bind_inany", 28, 4, 1, Scalar),
        field("hash", 32, 4, 1, Scalar),
        field("sk", 40, 8, 1, Pointer("bpf_sock")),
        field("migrating_sk", 48, 8, 1, Pointer("bpf_sock")),
    ],
};

/// `struct bpf_sk_lookup`.
pub static BPF_SK_LOOKUP: Layout = Layout {
    name: "bpf_sk_lookup",
    size: 72,
    fields: &[
        field("sk", 0, 8, 1, Pointer("bpf_sock")),
        field("family", 8, 4, 1, Scalar),
        field("protocol", 12, 4, 1, Scalar),
        field("remote_ip4", 16, 4, 1, Scalar),
        field("remote_ip6", 20, 4, 4, Scalar),
        field("remote_port", 36, 2, 1, Scalar),
        field("local_ip4", 40, 4, 1, Scalar),
        field("local_ip6", 44, 4, 4, Scalar),
        field("local_port", 60, 4, 1, Scalar),
        field("ingress_ifindex", 64, 4, 1, Scalar),
    ],
};

/// Registers of `struct pt_regs`.
const REGISTERS: usize = 21;

/// Fields of `struct bpf_perf_event_data`, which starts with a `struct pt_regs`.
const PERF_EVENT_FIELDS: &[Field] = &[
    field("r15", 0, 8, 1, Scalar),
    field("r14", 8, 8, 1, Scalar),
    field("r13", 16, 8, 1, Scalar),
    field("r12", 24, 8, 1, Scalar),
    field("rbp", 32, 8, 1, Scalar),
    field("rbx", 40, 8, 1, Scalar),
    field("r11", 48, 8, 1, Scalar),
    field("r10", 56, 8, 1, Scalar),
    field("r9", 64, 8, 1, Scalar),
    field("r8", 72, 8, 1, Scalar),
    field("rax", 80, 8, 1, Scalar),
    field("rcx", 88, 8, 1, Scalar),
    field("rdx", 96, 8, 1, Scalar),
    field("rsi", 104, 8, 1, Scalar),
    field("rdi", 112, 8, 1, Scalar),
    field("orig_rax", 120, 8, 1, Scalar),
    field("rip", 128, 8, 1, Scalar),
    field("cs", 136, 8, 1, Scalar),
    field("eflags", 144, 8, 1, Scalar),
    field("rsp", 152, 8, 1, Scalar),
    field("ss", 160, 8, 1, Scalar),
    field("sample_period", 168, 8, 1, Scalar),
    field("addr", 176, 8, 1, Scalar),
];

/// `struct pt_regs` of x86-64 (`asm/ptrace.h`).
pub static PT_REGS: Layout =
    Layout { name: "pt_regs", size: 168, fields: PERF_EVENT_FIELDS.split_at(REGISTERS).0 };

/// `struct bpf_perf_event_data` of x86-64: the registers, then the sample.
pub static BPF_PERF_EVENT_DATA: Layout =
    Layout { name: "bpf_perf_event_data", size: 184, fields: PERF_EVENT_FIELDS };

/// `struct bpf_raw_tracepoint_args`: as many arguments as the tracepoint has, here the most that there are.
pub static BPF_RAW_TRACEPOINT_ARGS: Layout =
    Layout { name: "bpf_raw_tracepoint_args", size: 96, fields: &[field("args", 0, 8, 12, Scalar)] };
