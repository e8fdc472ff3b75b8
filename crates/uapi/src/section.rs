// SPDX-License-Identifier: MIT OR Apache-2.0
//! Section names and what libbpf makes of them (`section_defs`, libbpf 1.6), and the words that users and tools
//! have for program types.

use crate::flags::prog_load::{BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS};
use crate::{AttachType, ProgType, suggest};

/// How a pattern takes a section name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The name itself.
    Exact,
    /// The name itself, or the name, a slash and what to attach to.
    WithTarget,
}

/// One name of libbpf's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name of the section, without a target behind it.
    pub name: &'static str,
    form: Form,
    /// Type of the programs in it.
    pub prog_type: ProgType,
    /// Attach type that a load expects, 0 for none.
    pub attach_type: AttachType,
    flags: u8,
}

const NONE: u8 = 0;
const SLEEPABLE: u8 = 1;
const XDP_FRAGS: u8 = 2;
const ATTACH_BTF: u8 = 4;

impl Section {
    /// Flags of `BPF_PROG_LOAD` that the name asks for.
    #[must_use]
    pub const fn prog_flags(&self) -> u32 {
        (if self.flags & SLEEPABLE != 0 { BPF_F_SLEEPABLE } else { 0 })
            | (if self.flags & XDP_FRAGS != 0 { BPF_F_XDP_HAS_FRAGS } else { 0 })
    }

    /// Whether a load needs the BTF id of what is behind the slash (`fentry/NAME`, `lsm/NAME`, `iter/NAME`).
    #[must_use]
    pub const fn needs_attach_btf(&self) -> bool {
        self.flags & ATTACH_BTF != 0
    }

    /// What is behind the slash of a section of this kind, if anything.
    #[must_use]
    pub fn target<'a>(&self, section: &'a str) -> Option<&'a str> {
        match self.form {
            Form::Exact => None,
            Form::WithTarget => section.strip_prefix(self.name)?.strip_prefix('/').filter(|t| !t.is_empty()),
        }
    }

    fn takes(&self, section: &str) -> bool {
        match self.form {
            Form::Exact => section == self.name,
            Form::WithTarget => {
                section.strip_prefix(self.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

/// A row; a pattern with `+` at its end may have a target behind a slash, as in libbpf's own table.
const fn row(pattern: &'static str, prog_type: ProgType, attach_type: AttachType, flags: u8) -> Section {
    let (name, form) = match pattern.as_bytes() {
        [head @ .., b'+'] => match pattern.split_at_checked(head.len()) {
            Some((name, _)) => (name, Form::WithTarget),
            None => (pattern, Form::Exact),
        },
        _ => (pattern, Form::Exact),
    };
    Section { name, form, prog_type, attach_type, flags }
}

/// Every name, in libbpf's order: the first that takes a section wins.
pub static SECTIONS: &[Section] = &[
    row("socket", ProgType::SOCKET_FILTER, AttachType(0), NONE),
    row("sk_reuseport/migrate", ProgType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE, NONE),
    row("sk_reuseport", ProgType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT, NONE),
    row("kprobe+", ProgType::KPROBE, AttachType(0), NONE),
    row("uprobe+", ProgType::KPROBE, AttachType(0), NONE),
    row("uprobe.s+", ProgType::KPROBE, AttachType(0), SLEEPABLE),
    row("kretprobe+", ProgType::KPROBE, AttachType(0), NONE),
    row("uretprobe+", ProgType::KPROBE, AttachType(0), NONE),
    row("uretprobe.s+", ProgType::KPROBE, AttachType(0), SLEEPABLE),
    row("kprobe.multi+", ProgType::KPROBE, AttachType::TRACE_KPROBE_MULTI, NONE),
    row("kretprobe.multi+", ProgType::KPROBE, AttachType::TRACE_KPROBE_MULTI, NONE),
    row("kprobe.session+", ProgType::KPROBE, AttachType::TRACE_KPROBE_SESSION, NONE),
    row("uprobe.session+", ProgType::KPROBE, AttachType::TRACE_UPROBE_SESSION, NONE),
    row("uprobe.session.s+", ProgType::KPROBE, AttachType::TRACE_UPROBE_SESSION, SLEEPABLE),
    row("uprobe.multi+", ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, NONE),
    row("uretprobe.multi+", ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, NONE),
    row("uprobe.multi.s+", ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("uretprobe.multi.s+", ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("ksyscall+", ProgType::KPROBE, AttachType(0), NONE),
    row("kretsyscall+", ProgType::KPROBE, AttachType(0), NONE),
    row("usdt+", ProgType::KPROBE, AttachType(0), NONE),
    row("usdt.s+", ProgType::KPROBE, AttachType(0), SLEEPABLE),
    row("tc/ingress", ProgType::SCHED_CLS, AttachType::TCX_INGRESS, NONE),
    row("tc/egress", ProgType::SCHED_CLS, AttachType::TCX_EGRESS, NONE),
    row("tcx/ingress", ProgType::SCHED_CLS, AttachType::TCX_INGRESS, NONE),
    row("tcx/egress", ProgType::SCHED_CLS, AttachType::TCX_EGRESS, NONE),
    row("tc", ProgType::SCHED_CLS, AttachType(0), NONE),
    row("classifier", ProgType::SCHED_CLS, AttachType(0), NONE),
    row("action", ProgType::SCHED_ACT, AttachType(0), NONE),
    row("netkit/primary", ProgType::SCHED_CLS, AttachType::NETKIT_PRIMARY, NONE),
    row("netkit/peer", ProgType::SCHED_CLS, AttachType::NETKIT_PEER, NONE),
    row("tracepoint+", ProgType::TRACEPOINT, AttachType(0), NONE),
    row("tp+", ProgType::TRACEPOINT, AttachType(0), NONE),
    row("raw_tracepoint+", ProgType::RAW_TRACEPOINT, AttachType(0), NONE),
    row("raw_tp+", ProgType::RAW_TRACEPOINT, AttachType(0), NONE),
    row("raw_tracepoint.w+", ProgType::RAW_TRACEPOINT_WRITABLE, AttachType(0), NONE),
    row("raw_tp.w+", ProgType::RAW_TRACEPOINT_WRITABLE, AttachType(0), NONE),
    row("tp_btf+", ProgType::TRACING, AttachType::TRACE_RAW_TP, ATTACH_BTF),
    row("fentry+", ProgType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF),
    row("fmod_ret+", ProgType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF),
    row("fexit+", ProgType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF),
    row("fentry.s+", ProgType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF | SLEEPABLE),
    row("fmod_ret.s+", ProgType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF | SLEEPABLE),
    row("fexit.s+", ProgType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF | SLEEPABLE),
    row("freplace+", ProgType::EXT, AttachType(0), ATTACH_BTF),
    row("lsm+", ProgType::LSM, AttachType::LSM_MAC, ATTACH_BTF),
    row("lsm.s+", ProgType::LSM, AttachType::LSM_MAC, ATTACH_BTF | SLEEPABLE),
    row("lsm_cgroup+", ProgType::LSM, AttachType::LSM_CGROUP, ATTACH_BTF),
    row("iter+", ProgType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF),
    row("iter.s+", ProgType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF | SLEEPABLE),
    row("syscall", ProgType::SYSCALL, AttachType(0), SLEEPABLE),
    row("xdp.frags/devmap", ProgType::XDP, AttachType::XDP_DEVMAP, XDP_FRAGS),
    row("xdp/devmap", ProgType::XDP, AttachType::XDP_DEVMAP, NONE),
    row("xdp.frags/cpumap", ProgType::XDP, AttachType::XDP_CPUMAP, XDP_FRAGS),
    row("xdp/cpumap", ProgType::XDP, AttachType::XDP_CPUMAP, NONE),
    row("xdp.frags", ProgType::XDP, AttachType::XDP, XDP_FRAGS),
    row("xdp", ProgType::XDP, AttachType::XDP, NONE),
    row("perf_event", ProgType::PERF_EVENT, AttachType(0), NONE),
    row("lwt_in", ProgType::LWT_IN, AttachType(0), NONE),
    row("lwt_out", ProgType::LWT_OUT, AttachType(0), NONE),
    row("lwt_xmit", ProgType::LWT_XMIT, AttachType(0), NONE),
    row("lwt_seg6local", ProgType::LWT_SEG6LOCAL, AttachType(0), NONE),
    row("sockops", ProgType::SOCK_OPS, AttachType::CGROUP_SOCK_OPS, NONE),
    row("sk_skb/stream_parser", ProgType::SK_SKB, AttachType::SK_SKB_STREAM_PARSER, NONE),
    row("sk_skb/stream_verdict", ProgType::SK_SKB, AttachType::SK_SKB_STREAM_VERDICT, NONE),
    row("sk_skb/verdict", ProgType::SK_SKB, AttachType::SK_SKB_VERDICT, NONE),
    row("sk_skb", ProgType::SK_SKB, AttachType(0), NONE),
    row("sk_msg", ProgType::SK_MSG, AttachType::SK_MSG_VERDICT, NONE),
    row("lirc_mode2", ProgType::LIRC_MODE2, AttachType::LIRC_MODE2, NONE),
    row("flow_dissector", ProgType::FLOW_DISSECTOR, AttachType::FLOW_DISSECTOR, NONE),
    row("cgroup_skb/ingress", ProgType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS, NONE),
    row("cgroup_skb/egress", ProgType::CGROUP_SKB, AttachType::CGROUP_INET_EGRESS, NONE),
    row("cgroup/skb", ProgType::CGROUP_SKB, AttachType(0), NONE),
    row("cgroup/sock_create", ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, NONE),
    row("cgroup/sock_release", ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_RELEASE, NONE),
    row("cgroup/sock", ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, NONE),
    row("cgroup/post_bind4", ProgType::CGROUP_SOCK, AttachType::CGROUP_INET4_POST_BIND, NONE),
    row("cgroup/post_bind6", ProgType::CGROUP_SOCK, AttachType::CGROUP_INET6_POST_BIND, NONE),
    row("cgroup/bind4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND, NONE),
    row("cgroup/bind6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_BIND, NONE),
    row("cgroup/connect4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT, NONE),
    row("cgroup/connect6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_CONNECT, NONE),
    row("cgroup/connect_unix", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_CONNECT, NONE),
    row("cgroup/sendmsg4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_SENDMSG, NONE),
    row("cgroup/sendmsg6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_SENDMSG, NONE),
    row("cgroup/sendmsg_unix", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_SENDMSG, NONE),
    row("cgroup/recvmsg4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_RECVMSG, NONE),
    row("cgroup/recvmsg6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_RECVMSG, NONE),
    row("cgroup/recvmsg_unix", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_RECVMSG, NONE),
    row("cgroup/getpeername4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETPEERNAME, NONE),
    row("cgroup/getpeername6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETPEERNAME, NONE),
    row("cgroup/getpeername_unix", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETPEERNAME, NONE),
    row("cgroup/getsockname4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETSOCKNAME, NONE),
    row("cgroup/getsockname6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETSOCKNAME, NONE),
    row("cgroup/getsockname_unix", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETSOCKNAME, NONE),
    row("cgroup/sysctl", ProgType::CGROUP_SYSCTL, AttachType::CGROUP_SYSCTL, NONE),
    row("cgroup/getsockopt", ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT, NONE),
    row("cgroup/setsockopt", ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_SETSOCKOPT, NONE),
    row("cgroup/dev", ProgType::CGROUP_DEVICE, AttachType::CGROUP_DEVICE, NONE),
    row("struct_ops+", ProgType::STRUCT_OPS, AttachType(0), NONE),
    row("struct_ops.s+", ProgType::STRUCT_OPS, AttachType(0), SLEEPABLE),
    row("sk_lookup", ProgType::SK_LOOKUP, AttachType::SK_LOOKUP, NONE),
    row("netfilter", ProgType::NETFILTER, AttachType::NETFILTER, NONE),
];

/// The row for a section name as libbpf 1.x reads it: strictly. A leading `?` (not loaded by default) is
/// skipped.
#[must_use]
pub fn find(section: &str) -> Option<&'static Section> {
    let section = section.strip_prefix('?').unwrap_or(section);
    SECTIONS.iter().find(|row| row.takes(section))
}

/// Names of libbpf before 1.0 that 1.x does not know, each with the name that took its place.
const RENAMED: &[(&str, &str)] = &[("xdp_devmap", "xdp/devmap"), ("xdp_cpumap", "xdp/cpumap")];

/// The row for a section name as libbpf before 1.0 and iproute2 read it: the longest name that the section
/// starts with, so that `socket1`, `xdp_prog` and `classifier_in` mean what their authors meant. libbpf 1.x
/// refuses such a section (`No such process`); [`find`] says which it takes.
#[must_use]
pub fn find_legacy(section: &str) -> Option<&'static Section> {
    let starts = |name: &str| section.starts_with(name);
    find(section)
        .or_else(|| RENAMED.iter().find(|(old, _)| starts(old)).and_then(|(_, new)| find(new)))
        .or_else(|| SECTIONS.iter().filter(|row| starts(row.name)).max_by_key(|row| row.name.len()))
}

/// The section name to write for a program of this type that came without one.
#[must_use]
pub fn name_for(prog_type: ProgType, attach_type: AttachType) -> Option<&'static str> {
    let of_type = || SECTIONS.iter().filter(move |row| row.prog_type == prog_type);
    of_type()
        .find(|row| row.attach_type == attach_type && row.flags == NONE)
        .or_else(|| of_type().find(|row| row.attach_type == attach_type))
        .or_else(|| of_type().find(|row| row.flags == NONE))
        .map(|row| row.name)
}

/// Words of bpftool (`bpftool prog help`) that are neither section names nor names of types.
const WORDS: &[(&str, ProgType, AttachType)] = &[
    ("cgroup/device", ProgType::CGROUP_DEVICE, AttachType::CGROUP_DEVICE),
    ("raw_tracepoint_writable", ProgType::RAW_TRACEPOINT_WRITABLE, AttachType(0)),
    ("tracing", ProgType::TRACING, AttachType::TRACE_FENTRY),
    ("mem", ProgType::UNSPEC, AttachType(0)),
];

/// The program and attach type that a user's word stands for: a section name of libbpf's with or without target
/// (`xdp`, `kprobe/do_sys_open`, `cgroup/connect4`), a word of bpftool's, or a name or number of
/// `enum bpf_prog_type`. `mem` is skep's own: a program on flat memory, of no type of the kernel's.
#[must_use]
pub fn parse_type(word: &str) -> Option<(ProgType, AttachType)> {
    if let Some(&(_, prog_type, attach_type)) = WORDS.iter().find(|(w, ..)| *w == word) {
        return Some((prog_type, attach_type));
    }
    if let Some(row) = find(word) {
        return Some((row.prog_type, row.attach_type));
    }
    ProgType::from_name(word).map(|prog_type| (prog_type, AttachType(0)))
}

/// The known word for a program type that is most like an unknown one.
#[must_use]
pub fn suggest_type(word: &str) -> Option<&'static str> {
    let words = WORDS.iter().map(|(w, ..)| *w);
    let sections = SECTIONS.iter().map(|row| row.name);
    let types = ProgType::ALL.iter().filter_map(|t| t.name());
    suggest(word, words.chain(sections).chain(types))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(section: &str) -> Option<(ProgType, AttachType)> {
        find(section).map(|row| (row.prog_type, row.attach_type))
    }

    #[test]
    fn strict_names_are_libbpf_1s() {
        assert_eq!(found("xdp"), Some((ProgType::XDP, AttachType::XDP)));
        assert_eq!(found("?xdp"), found("xdp"));
        assert_eq!(found("xdp_prog"), None);
        assert_eq!(found("kprobe"), Some((ProgType::KPROBE, AttachType(0))));
        assert_eq!(found("kprobe/do_unlinkat"), found("kprobe"));
        assert_eq!(found("kprobex"), None);
        assert_eq!(found("tc/ingress"), Some((ProgType::SCHED_CLS, AttachType::TCX_INGRESS)));
        assert_eq!(found("tc/other"), None);
    }

    #[test]
    fn old_names_are_found_by_their_start() {
        let legacy = |name| find_legacy(name).map(|row| row.prog_type);
        assert_eq!(legacy("socket1"), Some(ProgType::SOCKET_FILTER));
        assert_eq!(legacy("xdp_mark"), Some(ProgType::XDP));
        assert_eq!(legacy("cgroup/skb1"), Some(ProgType::CGROUP_SKB));
        assert_eq!(legacy("maps"), None);
        let devmap = find_legacy("xdp_devmap/map_prog").map(|row| row.attach_type);
        assert_eq!(devmap, Some(AttachType::XDP_DEVMAP));
    }

    #[test]
    fn flags_and_targets_come_from_the_name() {
        let row = find("fentry.s/do_unlinkat").expect("fentry.s is in the table");
        assert_eq!(row.target("fentry.s/do_unlinkat"), Some("do_unlinkat"));
        assert!(row.needs_attach_btf());
        assert_eq!(row.prog_flags(), BPF_F_SLEEPABLE);
        assert_eq!(find("xdp.frags").map(Section::prog_flags), Some(BPF_F_XDP_HAS_FRAGS));
    }

    #[test]
    fn a_written_name_is_read_back_as_the_same_type() {
        for row in SECTIONS {
            let name = name_for(row.prog_type, row.attach_type).expect("the type has a row");
            let back = find(name).expect("a name of the table");
            assert_eq!((back.prog_type, back.attach_type), (row.prog_type, row.attach_type), "{name}");
        }
    }

    #[test]
    fn users_words_are_understood_and_near_ones_suggested() {
        assert_eq!(parse_type("sched_cls"), Some((ProgType::SCHED_CLS, AttachType(0))));
        assert_eq!(parse_type("BPF_PROG_TYPE_XDP"), Some((ProgType::XDP, AttachType(0))));
        assert_eq!(parse_type("no such"), None);
        assert_eq!(suggest_type("kprob"), Some("kprobe"));
    }
}
