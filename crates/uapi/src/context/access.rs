// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which loads and stores of a context the kernel allows, as data: one list of rules for each program type.
//!
//! [`access`] answers what the `is_valid_access` callback of the program type answers in Linux 6.18, by the first
//! rule that applies; a live kernel agrees with it on every offset and size (`skep-kernel-load`, test
//! `contexts`). Program types whose context is described by kernel BTF have no rules: [`rules_of`] is `None`.

use super::rules;
use crate::{AttachType, ProgType};

/// At which sizes a stretch of a context may be accessed. Any access is a multiple of its size away from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Not at all.
    No,
    /// So many bytes, and no other number.
    Exact(u32),
    /// A part of a field of so many bytes, or all of it (`bpf_ctx_narrow_access_ok`).
    Narrow(u32),
    /// As `Narrow`, with at least so many bytes.
    NarrowFrom {
        /// Least number of bytes.
        least: u32,
        /// Bytes of the field.
        field: u32,
    },
    /// A part of a port of 2 bytes, or, as programs of old do it, the port and the padding after it.
    Port,
    /// A part of one of the 4-byte elements, or two of them that are 8-byte-aligned (`bpf_ctx_wide_access_ok`).
    NarrowOrPair,
    /// One of the 4-byte elements, or two of them that are 8-byte-aligned.
    WordOrPair,
    /// Any size that does not leave the stretch.
    Within,
    /// Any size.
    Any,
}

/// What the verifier knows of the value that a load gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yields {
    /// Nothing: `SCALAR_VALUE`.
    Scalar,
    /// `PTR_TO_PACKET`.
    Packet,
    /// `PTR_TO_PACKET_META`.
    PacketMeta,
    /// `PTR_TO_PACKET_END`.
    PacketEnd,
    /// `PTR_TO_SOCKET`.
    Socket,
    /// `PTR_TO_SOCKET_OR_NULL`.
    SocketOrNull,
    /// `PTR_TO_SOCK_COMMON_OR_NULL`.
    SockCommonOrNull,
    /// `PTR_TO_FLOW_KEYS`.
    FlowKeys,
    /// `PTR_TO_TP_BUFFER`.
    TpBuffer,
    /// A trusted `PTR_TO_BTF_ID` of the kernel structure of this name.
    BtfId(&'static str),
}

impl Yields {
    /// Whether a load gives the start or end of packet data, which a sign-extending load may not do.
    const fn is_packet(self) -> bool {
        matches!(self, Yields::Packet | Yields::PacketMeta | Yields::PacketEnd)
    }
}

/// What may be done with the accesses that start in a stretch of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// First byte of the stretch.
    pub start: i32,
    /// The byte after its last.
    pub end: i32,
    /// Loads.
    pub read: Sizes,
    /// Stores.
    pub write: Sizes,
    /// What a load gives.
    pub yields: Yields,
    /// Expected attach types that the rule is for; none for all.
    pub attach: &'static [AttachType],
    /// The rule is for programs loaded with `CAP_BPF` alone.
    pub bpf_capable: bool,
}

/// A load or store by an offset from the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Expected attach type of the program.
    pub attach: AttachType,
    /// Bytes from the start of the context.
    pub off: i32,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u32,
    /// A store.
    pub write: bool,
    /// A load that extends the sign.
    pub sign_extend: bool,
    /// The program was loaded with `CAP_BPF`.
    pub bpf_capable: bool,
}

/// What an allowed access is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// What a load gives.
    pub yields: Yields,
    /// Bytes of the field that a narrow access takes a part of (`ctx_field_size`); 0 where there are none.
    pub field_size: u32,
}

impl Sizes {
    /// The size of the field for narrow accesses (0 for none), where the size is allowed.
    const fn allow(self, rule: &Rule, off: i32, size: u32) -> Option<u32> {
        let inside = off as i64 + size as i64 <= rule.end as i64;
        let pair = size == 8 && inside;
        let field = match self {
            Sizes::No => return None,
            Sizes::Exact(exact) if size == exact => 0,
            Sizes::Narrow(field) if size <= field => field,
            Sizes::NarrowFrom { least, field } if least <= size && size <= field => field,
            Sizes::Port if size == 4 && off == rule.start => 0,
            Sizes::Port if size <= 2 => 2,
            Sizes::NarrowOrPair if size <= 4 || pair => 4,
            Sizes::WordOrPair if size == 4 || pair => 0,
            Sizes::Within if inside => 0,
            Sizes::Any => 0,
            _ => return None,
        };
        Some(field)
    }
}

impl Rule {
    fn applies(&self, request: &Request) -> bool {
        (self.start..self.end).contains(&request.off)
            && (self.attach.is_empty() || self.attach.contains(&request.attach))
            && (request.bpf_capable || !self.bpf_capable)
    }
}

/// The rules of a program type, in lists of which the first is asked first; `None` where kernel BTF describes the
/// context (`TRACING`, `LSM`, `STRUCT_OPS`), or the program that it replaces does (`EXT`).
#[must_use]
pub const fn rules_of(prog_type: ProgType) -> Option<&'static [&'static [Rule]]> {
    Some(match prog_type {
        ProgType::SOCKET_FILTER => rules::SOCKET_FILTER,
        ProgType::SCHED_CLS | ProgType::SCHED_ACT => rules::TC,
        ProgType::CGROUP_SKB => rules::CGROUP_SKB,
        ProgType::LWT_IN | ProgType::LWT_OUT | ProgType::LWT_XMIT | ProgType::LWT_SEG6LOCAL => rules::LWT,
        ProgType::SK_SKB => rules::SK_SKB,
        ProgType::FLOW_DISSECTOR => rules::FLOW_DISSECTOR,
        ProgType::XDP => rules::XDP,
        ProgType::KPROBE => rules::KPROBE,
        ProgType::TRACEPOINT => rules::TRACEPOINT,
        ProgType::RAW_TRACEPOINT => rules::RAW_TRACEPOINT,
        ProgType::RAW_TRACEPOINT_WRITABLE => rules::RAW_TRACEPOINT_WRITABLE,
        ProgType::PERF_EVENT => rules::PERF_EVENT,
        ProgType::CGROUP_SOCK => rules::CGROUP_SOCK,
        ProgType::CGROUP_SOCK_ADDR => rules::CGROUP_SOCK_ADDR,
        ProgType::CGROUP_SOCKOPT => rules::CGROUP_SOCKOPT,
        ProgType::CGROUP_SYSCTL => rules::CGROUP_SYSCTL,
        ProgType::CGROUP_DEVICE => rules::CGROUP_DEVICE,
        ProgType::SOCK_OPS => rules::SOCK_OPS,
        ProgType::SK_MSG => rules::SK_MSG,
        ProgType::SK_LOOKUP => rules::SK_LOOKUP,
        ProgType::SK_REUSEPORT => rules::SK_REUSEPORT,
        ProgType::LIRC_MODE2 => rules::LIRC_MODE2,
        ProgType::SYSCALL => rules::SYSCALL,
        ProgType::NETFILTER => rules::NETFILTER,
        _ => return None,
    })
}

/// Whether the kernel lets a program of this type do an access of its context. `None` also where there are no
/// rules.
#[must_use]
pub fn access(prog_type: ProgType, request: &Request) -> Option<Access> {
    access_by(rules_of(prog_type)?, request)
}

/// Whether an access is allowed by the first rule that applies to it, in lists of which the first is asked first.
#[must_use]
pub fn access_by(rules: &[&[Rule]], request: &Request) -> Option<Access> {
    let &Request { off, size, .. } = request;
    if !matches!(size, 1 | 2 | 4 | 8) || off % size as i32 != 0 {
        return None;
    }
    let rule = rules.iter().copied().flatten().find(|rule| rule.applies(request))?;
    if request.sign_extend && rule.yields.is_packet() {
        return None;
    }
    let sizes = if request.write { rule.write } else { rule.read };
    let field_size = sizes.allow(rule, off, size)?;
    Some(Access { yields: rule.yields, field_size })
}

/// Whether programs of this type may use `LD_ABS` and `LD_IND` (`may_access_skb`).
#[must_use]
pub const fn allows_packet_loads(prog_type: ProgType) -> bool {
    matches!(prog_type, ProgType::SOCKET_FILTER | ProgType::SCHED_CLS | ProgType::SCHED_ACT)
}
