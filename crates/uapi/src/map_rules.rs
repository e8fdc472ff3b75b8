// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each map type asks for: sizes and flags at `BPF_MAP_CREATE` with the errno of each violation, what it
//! holds, and which helpers may take it. One row for each type; `tests/maps.rs` compares with a running kernel.
//!
//! The rules are those that the kernel applies before it allocates (`map_create` and each type's
//! `map_alloc_check`, Linux 6.18 on x86-64); running out of memory is no rule.

mod rows;

use crate::flags::map_create::*;
use crate::helper::Release;
use crate::{AttachType, Errno, HelperId, MapCreate, MapType, ProgType};

/// What the values of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Bytes.
    Bytes,
    /// Programs, by descriptor.
    Progs,
    /// Maps, by descriptor.
    Maps,
    /// Perf events, by descriptor.
    PerfEvents,
    /// Control groups, by descriptor.
    Cgroups,
    /// Sockets, by descriptor.
    Sockets,
    /// Network devices, by index, with programs to run there.
    Devices,
    /// Processors, by queue length, with programs to run there.
    Cpus,
    /// Stack traces, written by `bpf_get_stackid`.
    Stacks,
    /// Records in order, without keys.
    Records,
    /// Functions of a kernel structure.
    StructOps,
    /// Pages.
    Pages,
}

/// What creating a map takes, besides the right to create maps at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateCap {
    /// Nothing.
    None,
    /// `CAP_BPF`.
    Bpf,
    /// `CAP_NET_ADMIN`.
    NetAdmin,
}

/// A condition on a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Nothing but this.
    Is(u64),
    /// One of two.
    Either(u64, u64),
    /// From and to, both included.
    In(u64, u64),
    /// A multiple of this, 0 excluded.
    MultipleOf(u64),
    /// A power of two, in whole pages of 4096 bytes.
    PowerOfTwoPages,
    /// Whole pages of 4096 bytes, or 0.
    WholePages,
}

impl Number {
    /// Whether a number meets the condition.
    #[must_use]
    pub const fn takes(self, number: u64) -> bool {
        match self {
            Number::Is(only) => number == only,
            Number::Either(one, other) => number == one || number == other,
            Number::In(least, most) => least <= number && number <= most,
            Number::MultipleOf(unit) => number != 0 && number.is_multiple_of(unit),
            Number::PowerOfTwoPages => number.is_power_of_two() && number.is_multiple_of(PAGE),
            Number::WholePages => number.is_multiple_of(PAGE),
        }
    }
}

/// A condition that the attributes of a new map must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// On `key_size`.
    Key(Number),
    /// On `value_size`.
    Value(Number),
    /// On `max_entries`.
    Entries(Number),
    /// On `map_extra`.
    Extra(Number),
    /// On `key_size` and `value_size` together.
    KeyAndValue(Number),
    /// `value_size` is of whole entries of a stack trace, no more than `sysctl_perf_event_max_stack`, at its
    /// first 127; an entry is an address, or a `struct bpf_stack_build_id` with `BPF_F_STACK_BUILD_ID`.
    StackDepth,
    /// `max_entries` values must be addressed by 32 bits.
    Addressable,
    /// No flags but these.
    Flags(u32),
    /// All of these flags.
    Needs(u32),
    /// Not all of these flags together.
    NotTogether(u32),
    /// BTF types of key and value are given.
    Btf,
    /// An inner map is given.
    Inner,
}

/// `PAGE_SIZE` of x86-64.
const PAGE: u64 = 4096;

impl Rule {
    fn met<Fd>(self, attr: &MapCreate<'_, Fd>) -> bool {
        let (key, value) = (u64::from(attr.key_size), u64::from(attr.value_size));
        match self {
            Rule::Key(number) => number.takes(key),
            Rule::Value(number) => number.takes(value),
            Rule::Entries(number) => number.takes(u64::from(attr.max_entries)),
            Rule::Extra(number) => number.takes(attr.map_extra),
            Rule::KeyAndValue(number) => number.takes(key + value),
            Rule::StackDepth => {
                let entry = if attr.map_flags & BPF_F_STACK_BUILD_ID == 0 { 8 } else { 32 };
                value.is_multiple_of(entry) && value / entry <= 127
            }
            Rule::Addressable => {
                u32::MAX.checked_div(attr.value_size).is_some_and(|most| attr.max_entries < most)
            }
            Rule::Flags(known) => attr.map_flags & !known == 0,
            Rule::Needs(flags) => attr.map_flags & flags == flags,
            Rule::NotTogether(flags) => attr.map_flags & flags != flags,
            Rule::Btf => attr.btf_key_type_id != 0 && attr.btf_value_type_id != 0,
            Rule::Inner => attr.inner_map.is_some(),
        }
    }
}

/// A map type.
#[derive(Clone, Copy, Debug)]
pub struct MapRules {
    /// The type.
    pub map_type: MapType,
    /// Release that first had it.
    pub since: Release,
    /// What its values are.
    pub holds: Holds,
    /// One value for each processor: bpf(2) moves all of them at once, each padded to 8 bytes.
    pub per_cpu: bool,
    /// What creating one takes.
    pub cap: CreateCap,
    /// The rules of creation in the kernel's order, each group with the errno of its violation.
    pub rules: &'static [(Errno, &'static [Rule])],
    /// Helpers that take such a map (`check_map_func_compatibility`); `None` for every helper that does not
    /// insist on another type.
    pub helpers: Option<&'static [HelperId]>,
}

/// The row of a map type.
#[must_use]
pub fn map_rules(map_type: MapType) -> Option<&'static MapRules> {
    rows::ROWS.iter().find(|row| row.map_type == map_type)
}

/// Every row, by number.
#[must_use]
pub fn all() -> &'static [MapRules] {
    rows::ROWS
}

/// What `BPF_MAP_CREATE` says of these attributes before it allocates, to a caller with every capability.
///
/// # Errors
/// The errno of the first violation.
pub fn check_create<Fd>(attr: &MapCreate<'_, Fd>) -> Result<(), Errno> {
    let has_extra = matches!(attr.map_type, MapType::BLOOM_FILTER | MapType::ARENA);
    let closed = BPF_F_RDONLY | BPF_F_WRONLY;
    if attr.map_extra != 0 && !has_extra || attr.map_flags & closed == closed {
        return Err(Errno::EINVAL);
    }
    let row = map_rules(attr.map_type).ok_or(Errno::EINVAL)?;
    let violated = row.rules.iter().find(|(_, rules)| !rules.iter().all(|rule| rule.met(attr)));
    violated.map_or(Ok(()), |&(errno, _)| Err(errno))
}

/// Helpers that insist on certain map types, with those types.
const INSIST: &[(&[HelperId], &[MapType])] = &[
    (&[HelperId::TAIL_CALL], &[MapType::PROG_ARRAY]),
    (
        &[
            HelperId::PERF_EVENT_READ,
            HelperId::PERF_EVENT_OUTPUT,
            HelperId::PERF_EVENT_READ_VALUE,
            HelperId::SKB_OUTPUT,
            HelperId::XDP_OUTPUT,
        ],
        &[MapType::PERF_EVENT_ARRAY],
    ),
    (
        &[
            HelperId::RINGBUF_OUTPUT,
            HelperId::RINGBUF_RESERVE,
            HelperId::RINGBUF_QUERY,
            HelperId::RINGBUF_RESERVE_DYNPTR,
            HelperId::RINGBUF_SUBMIT_DYNPTR,
            HelperId::RINGBUF_DISCARD_DYNPTR,
        ],
        &[MapType::RINGBUF],
    ),
    (&[HelperId::USER_RINGBUF_DRAIN], &[MapType::USER_RINGBUF]),
    (&[HelperId::GET_STACKID], &[MapType::STACK_TRACE]),
    (&[HelperId::CURRENT_TASK_UNDER_CGROUP, HelperId::SKB_UNDER_CGROUP], &[MapType::CGROUP_ARRAY]),
    (&[HelperId::REDIRECT_MAP], &[MapType::DEVMAP, MapType::DEVMAP_HASH, MapType::CPUMAP, MapType::XSKMAP]),
    (
        &[HelperId::SK_REDIRECT_MAP, HelperId::MSG_REDIRECT_MAP, HelperId::SOCK_MAP_UPDATE],
        &[MapType::SOCKMAP],
    ),
    (
        &[HelperId::SK_REDIRECT_HASH, HelperId::MSG_REDIRECT_HASH, HelperId::SOCK_HASH_UPDATE],
        &[MapType::SOCKHASH],
    ),
    (&[HelperId::GET_LOCAL_STORAGE], &[MapType::CGROUP_STORAGE, MapType::PERCPU_CGROUP_STORAGE]),
    (&[HelperId::SK_SELECT_REUSEPORT], &[MapType::REUSEPORT_SOCKARRAY, MapType::SOCKMAP, MapType::SOCKHASH]),
    (&[HelperId::MAP_POP_ELEM], &[MapType::QUEUE, MapType::STACK]),
    (
        &[HelperId::MAP_PEEK_ELEM, HelperId::MAP_PUSH_ELEM],
        &[MapType::QUEUE, MapType::STACK, MapType::BLOOM_FILTER],
    ),
    (
        &[HelperId::MAP_LOOKUP_PERCPU_ELEM],
        &[MapType::PERCPU_ARRAY, MapType::PERCPU_HASH, MapType::LRU_PERCPU_HASH],
    ),
    (&[HelperId::SK_STORAGE_GET, HelperId::SK_STORAGE_DELETE], &[MapType::SK_STORAGE]),
    (&[HelperId::INODE_STORAGE_GET, HelperId::INODE_STORAGE_DELETE], &[MapType::INODE_STORAGE]),
    (&[HelperId::TASK_STORAGE_GET, HelperId::TASK_STORAGE_DELETE], &[MapType::TASK_STORAGE]),
    (&[HelperId::CGRP_STORAGE_GET, HelperId::CGRP_STORAGE_DELETE], &[MapType::CGRP_STORAGE]),
];

/// Whether a helper may be given a map of this type; where not, the verifier says
/// `cannot pass map_type N into func` (`check_map_func_compatibility`). For `bpf_map_update_elem` and
/// `bpf_map_delete_elem` on maps of sockets, see [`may_update_sockmap`].
#[must_use]
pub fn helper_takes_map(helper: HelperId, map_type: MapType) -> bool {
    let map_agrees =
        map_rules(map_type).and_then(|row| row.helpers).is_none_or(|helpers| helpers.contains(&helper));
    let helper_agrees = INSIST
        .iter()
        .find(|(helpers, _)| helpers.contains(&helper))
        .is_none_or(|(_, types)| types.contains(&map_type));
    map_agrees && helper_agrees
}

/// Whether programs of this type may change a map of sockets with `bpf_map_update_elem` or
/// `bpf_map_delete_elem` (`may_update_sockmap`).
#[must_use]
pub fn may_update_sockmap(helper: HelperId, prog_type: ProgType, attach_type: AttachType) -> bool {
    if !matches!(helper, HelperId::MAP_UPDATE_ELEM | HelperId::MAP_DELETE_ELEM) {
        return false;
    }
    match prog_type {
        ProgType::TRACING => attach_type == AttachType::TRACE_ITER,
        ProgType::SOCK_OPS => helper == HelperId::MAP_DELETE_ELEM,
        ProgType::SOCKET_FILTER
        | ProgType::SCHED_CLS
        | ProgType::SCHED_ACT
        | ProgType::XDP
        | ProgType::SK_REUSEPORT
        | ProgType::FLOW_DISSECTOR
        | ProgType::SK_LOOKUP => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_map_type_has_one_row_in_order() {
        let types: Vec<MapType> = all().iter().map(|row| row.map_type).collect();
        let known: Vec<MapType> = MapType::ALL.iter().copied().filter(|t| *t != MapType::UNSPEC).collect();
        assert_eq!(types, known);
    }

    #[test]
    fn both_sides_must_agree_on_a_helper() {
        assert!(helper_takes_map(HelperId::MAP_LOOKUP_ELEM, MapType::HASH));
        assert!(helper_takes_map(HelperId::TAIL_CALL, MapType::PROG_ARRAY));
        assert!(!helper_takes_map(HelperId::MAP_LOOKUP_ELEM, MapType::PROG_ARRAY));
        assert!(!helper_takes_map(HelperId::TAIL_CALL, MapType::ARRAY));
        assert!(!helper_takes_map(HelperId::MAP_UPDATE_ELEM, MapType::SOCKMAP));
        assert!(may_update_sockmap(HelperId::MAP_UPDATE_ELEM, ProgType::SCHED_CLS, AttachType(0)));
        assert!(!may_update_sockmap(HelperId::MAP_UPDATE_ELEM, ProgType::SOCK_OPS, AttachType(0)));
    }

    #[test]
    fn helpers_that_a_map_takes_take_that_map() {
        for row in all() {
            for &helper in row.helpers.unwrap_or(&[]) {
                assert!(helper_takes_map(helper, row.map_type), "{helper} and {}", row.map_type);
            }
        }
    }
}
