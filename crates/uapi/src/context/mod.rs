// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contexts: what `r1` points to when a program starts, by program type: the structures ([`Layout`]), and which
//! loads and stores of them the kernel allows ([`access`]).

mod access;
mod layouts;
mod rules;

pub use access::{Access, Request, Rule, Sizes, Yields, access, access_by, allows_packet_loads, rules_of};
pub use layouts::{
    BPF_CGROUP_DEV_CTX, BPF_FLOW_KEYS, BPF_PERF_EVENT_DATA, BPF_RAW_TRACEPOINT_ARGS, BPF_SK_LOOKUP, BPF_SOCK,
    BPF_SOCK_ADDR, BPF_SOCK_OPS, BPF_SOCKOPT, BPF_SYSCTL, PT_REGS, SK_BUFF, SK_MSG_MD, SK_REUSEPORT_MD,
    XDP_MD,
};
pub use rules::{SOCK, SOCK_COMMON, TCP_SOCK, XDP_SOCK};

use crate::ProgType;

/// What a load of a field gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Scalar,
    /// The first byte of the packet (or of the option value of a socket option).
    Packet,
    /// The byte after the last.
    PacketEnd,
    /// The first byte of the metadata before the packet.
    PacketMeta,
    /// A pointer to a structure of this name, or null.
    Pointer(&'static str),
}

/// A field of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in the uapi.
    pub name: &'static str,
    /// Bytes from the start.
    pub offset: u32,
    /// Bytes of one element.
    pub size: u32,
    /// Elements of an array, 1 for a plain field.
    pub count: u32,
    /// What a load gives.
    pub value: Value,
}

const fn field(name: &'static str, offset: u32, size: u32, count: u32, value: Value) -> Field {
    Field { name, offset, size, count, value }
}

/// A context structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name in the uapi, without `struct`.
    pub name: &'static str,
    /// Bytes.
    pub size: u32,
    /// Fields in order of their offset.
    pub fields: &'static [Field],
}

impl Layout {
    /// A field by its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The field that the byte at `offset` belongs to.
    #[must_use]
    pub fn field_at(&self, offset: u32) -> Option<&'static Field> {
        self.fields.iter().find(|f| (f.offset..f.offset + f.size * f.count).contains(&offset))
    }
}

/// How a program type is given its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `struct __sk_buff`; `l2`: the packet starts at its link-layer header, and not at the network header.
    SkBuff {
        /// Whether the link-layer header is part of the packet.
        l2: bool,
    },
    /// `struct xdp_md`.
    Xdp,
    /// `struct __sk_buff` of which only the packet and `struct bpf_flow_keys` are to be seen.
    FlowDissector,
    /// A structure of this layout, given as bytes.
    Struct(&'static Layout),
    /// Bytes whose layout depends on where the program attaches (tracepoints).
    Opaque,
}

/// The context of a program type; `None` for types that take kernel objects (fentry, LSM, struct_ops, …).
#[must_use]
pub const fn kind_of(prog_type: ProgType) -> Option<Kind> {
    Some(match prog_type {
        ProgType::SCHED_CLS | ProgType::SCHED_ACT => Kind::SkBuff { l2: true },
        ProgType::SOCKET_FILTER
        | ProgType::CGROUP_SKB
        | ProgType::LWT_IN
        | ProgType::LWT_OUT
        | ProgType::LWT_XMIT
        | ProgType::LWT_SEG6LOCAL
        | ProgType::SK_SKB => Kind::SkBuff { l2: false },
        ProgType::XDP => Kind::Xdp,
        ProgType::FLOW_DISSECTOR => Kind::FlowDissector,
        ProgType::KPROBE => Kind::Struct(&PT_REGS),
        ProgType::PERF_EVENT => Kind::Struct(&BPF_PERF_EVENT_DATA),
        ProgType::RAW_TRACEPOINT | ProgType::RAW_TRACEPOINT_WRITABLE => {
            Kind::Struct(&BPF_RAW_TRACEPOINT_ARGS)
        }
        ProgType::CGROUP_SOCK => Kind::Struct(&BPF_SOCK),
        ProgType::CGROUP_SOCK_ADDR => Kind::Struct(&BPF_SOCK_ADDR),
        ProgType::CGROUP_SOCKOPT => Kind::Struct(&BPF_SOCKOPT),
        ProgType::CGROUP_SYSCTL => Kind::Struct(&BPF_SYSCTL),
        ProgType::CGROUP_DEVICE => Kind::Struct(&BPF_CGROUP_DEV_CTX),
        ProgType::SOCK_OPS => Kind::Struct(&BPF_SOCK_OPS),
        ProgType::SK_MSG => Kind::Struct(&SK_MSG_MD),
        ProgType::SK_LOOKUP => Kind::Struct(&BPF_SK_LOOKUP),
        ProgType::SK_REUSEPORT => Kind::Struct(&SK_REUSEPORT_MD),
        ProgType::TRACEPOINT | ProgType::SYSCALL | ProgType::UNSPEC => Kind::Opaque,
        _ => return None,
    })
}

/// Whether a program of this type runs on a packet.
#[must_use]
pub const fn takes_packet(prog_type: ProgType) -> bool {
    matches!(kind_of(prog_type), Some(Kind::SkBuff { .. } | Kind::Xdp | Kind::FlowDissector))
}

/// Fields of `__sk_buff` that `BPF_PROG_TEST_RUN` takes from the context that it is given, where any other must be
/// 0 (`convert___skb_to_skb`), and that the context has which it gives back (`convert_skb_to___skb`; `gso_size`
/// stays there from the one given).
pub const SK_BUFF_TEST_RUN: &[&str] = &[
    "mark",
    "priority",
    "ingress_ifindex",
    "ifindex",
    "cb",
    "tstamp",
    "wire_len",
    "gso_segs",
    "gso_size",
    "hwtstamp",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_order_inside_of_their_structure_and_found_by_offset() {
        for prog_type in ProgType::ALL {
            let layout = match kind_of(*prog_type) {
                Some(Kind::SkBuff { .. } | Kind::FlowDissector) => &SK_BUFF,
                Some(Kind::Xdp) => &XDP_MD,
                Some(Kind::Struct(layout)) => layout,
                Some(Kind::Opaque) | None => continue,
            };
            for f in layout.fields {
                assert!(f.offset + f.size * f.count <= layout.size, "{}.{}", layout.name, f.name);
                assert_eq!(f.offset % f.size, 0, "{}.{} is aligned", layout.name, f.name);
                assert!(layout.field_at(f.offset).is_some());
            }
            assert!(layout.fields.is_sorted_by_key(|f| f.offset), "{}", layout.name);
        }
    }

    #[test]
    fn fields_of_test_run_exist() {
        for name in SK_BUFF_TEST_RUN {
            assert!(SK_BUFF.field(name).is_some(), "{name}");
        }
    }
}
