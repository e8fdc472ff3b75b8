// SPDX-License-Identifier: GPL-2.0-only
//! Which helpers go with which maps (`check_map_func_compatibility @ 6.18`), as two tables: what a map allows, and
//! what a helper asks for.

use skep_uapi::{AttachType, HelperId as H, MapType as M, ProgType};

use crate::env::Env;
use crate::reg::MapRef;
use crate::stop::{EINVAL, Res, verbose};

/// The helpers that maps of a type may be passed to; `None` for any.
fn helpers_of(map_type: M) -> Option<&'static [H]> {
    Some(match map_type {
        M::PROG_ARRAY => &[H::TAIL_CALL],
        M::PERF_EVENT_ARRAY => &[
            H::PERF_EVENT_READ,
            H::PERF_EVENT_OUTPUT,
            H::SKB_OUTPUT,
            H::PERF_EVENT_READ_VALUE,
            H::XDP_OUTPUT,
        ],
        M::RINGBUF => &[
            H::RINGBUF_OUTPUT,
            H::RINGBUF_RESERVE,
            H::RINGBUF_QUERY,
            H::RINGBUF_RESERVE_DYNPTR,
            H::RINGBUF_SUBMIT_DYNPTR,
            H::RINGBUF_DISCARD_DYNPTR,
        ],
        M::USER_RINGBUF => &[H::USER_RINGBUF_DRAIN],
        M::STACK_TRACE => &[H::GET_STACKID],
        M::CGROUP_ARRAY => &[H::SKB_UNDER_CGROUP, H::CURRENT_TASK_UNDER_CGROUP],
        M::CGROUP_STORAGE | M::PERCPU_CGROUP_STORAGE => &[H::GET_LOCAL_STORAGE],
        M::DEVMAP | M::DEVMAP_HASH | M::XSKMAP => &[H::REDIRECT_MAP, H::MAP_LOOKUP_ELEM],
        M::CPUMAP => &[H::REDIRECT_MAP],
        M::ARRAY_OF_MAPS | M::HASH_OF_MAPS => &[H::MAP_LOOKUP_ELEM],
        M::SOCKMAP => &[
            H::SK_REDIRECT_MAP,
            H::SOCK_MAP_UPDATE,
            H::MSG_REDIRECT_MAP,
            H::SK_SELECT_REUSEPORT,
            H::MAP_LOOKUP_ELEM,
        ],
        M::SOCKHASH => &[
            H::SK_REDIRECT_HASH,
            H::SOCK_HASH_UPDATE,
            H::MSG_REDIRECT_HASH,
            H::SK_SELECT_REUSEPORT,
            H::MAP_LOOKUP_ELEM,
        ],
        M::REUSEPORT_SOCKARRAY => &[H::SK_SELECT_REUSEPORT],
        M::QUEUE | M::STACK => &[H::MAP_PEEK_ELEM, H::MAP_POP_ELEM, H::MAP_PUSH_ELEM],
        M::SK_STORAGE => &[H::SK_STORAGE_GET, H::SK_STORAGE_DELETE, H::KPTR_XCHG],
        M::INODE_STORAGE => &[H::INODE_STORAGE_GET, H::INODE_STORAGE_DELETE, H::KPTR_XCHG],
        M::TASK_STORAGE => &[H::TASK_STORAGE_GET, H::TASK_STORAGE_DELETE, H::KPTR_XCHG],
        M::CGRP_STORAGE => &[H::CGRP_STORAGE_GET, H::CGRP_STORAGE_DELETE, H::KPTR_XCHG],
        M::BLOOM_FILTER => &[H::MAP_PEEK_ELEM, H::MAP_PUSH_ELEM],
        _ => return None,
    })
}

/// The types of maps that may be passed to a helper; `None` for any.
fn maps_of(helper: H) -> Option<&'static [M]> {
    Some(match helper {
        H::TAIL_CALL => &[M::PROG_ARRAY],
        H::PERF_EVENT_READ
        | H::PERF_EVENT_OUTPUT
        | H::PERF_EVENT_READ_VALUE
        | H::SKB_OUTPUT
        | H::XDP_OUTPUT => &[M::PERF_EVENT_ARRAY],
        H::RINGBUF_OUTPUT
        | H::RINGBUF_RESERVE
        | H::RINGBUF_QUERY
        | H::RINGBUF_RESERVE_DYNPTR
        | H::RINGBUF_SUBMIT_DYNPTR
        | H::RINGBUF_DISCARD_DYNPTR => &[M::RINGBUF],
        H::USER_RINGBUF_DRAIN => &[M::USER_RINGBUF],
        H::GET_STACKID => &[M::STACK_TRACE],
        H::CURRENT_TASK_UNDER_CGROUP | H::SKB_UNDER_CGROUP => &[M::CGROUP_ARRAY],
        H::REDIRECT_MAP => &[M::DEVMAP, M::DEVMAP_HASH, M::CPUMAP, M::XSKMAP],
        H::SK_REDIRECT_MAP | H::MSG_REDIRECT_MAP | H::SOCK_MAP_UPDATE => &[M::SOCKMAP],
        H::SK_REDIRECT_HASH | H::MSG_REDIRECT_HASH | H::SOCK_HASH_UPDATE => &[M::SOCKHASH],
        H::GET_LOCAL_STORAGE => &[M::CGROUP_STORAGE, M::PERCPU_CGROUP_STORAGE],
        H::SK_SELECT_REUSEPORT => &[M::REUSEPORT_SOCKARRAY, M::SOCKMAP, M::SOCKHASH],
        H::MAP_POP_ELEM => &[M::QUEUE, M::STACK],
        H::MAP_PEEK_ELEM | H::MAP_PUSH_ELEM => &[M::QUEUE, M::STACK, M::BLOOM_FILTER],
        H::MAP_LOOKUP_PERCPU_ELEM => &[M::PERCPU_ARRAY, M::PERCPU_HASH, M::LRU_PERCPU_HASH],
        H::SK_STORAGE_GET | H::SK_STORAGE_DELETE => &[M::SK_STORAGE],
        H::INODE_STORAGE_GET | H::INODE_STORAGE_DELETE => &[M::INODE_STORAGE],
        H::TASK_STORAGE_GET | H::TASK_STORAGE_DELETE => &[M::TASK_STORAGE],
        H::CGRP_STORAGE_GET | H::CGRP_STORAGE_DELETE => &[M::CGRP_STORAGE],
        _ => return None,
    })
}

/// The kernel structure that a pointer to a map of a type points to (`map_btf_id`).
pub(crate) fn map_struct_name(map_type: M) -> &'static str {
    match map_type {
        M::ARRAY
        | M::PERCPU_ARRAY
        | M::PROG_ARRAY
        | M::PERF_EVENT_ARRAY
        | M::CGROUP_ARRAY
        | M::ARRAY_OF_MAPS => "bpf_array",
        M::HASH | M::PERCPU_HASH | M::LRU_HASH | M::LRU_PERCPU_HASH | M::HASH_OF_MAPS => "bpf_htab",
        M::STACK_TRACE => "bpf_stack_map",
        M::LPM_TRIE => "lpm_trie",
        M::DEVMAP | M::DEVMAP_HASH => "bpf_dtab",
        M::CPUMAP => "bpf_cpu_map",
        M::XSKMAP => "xsk_map",
        M::SOCKMAP => "bpf_stab",
        M::SOCKHASH => "bpf_shtab",
        M::CGROUP_STORAGE | M::PERCPU_CGROUP_STORAGE => "bpf_cgroup_storage_map",
        M::REUSEPORT_SOCKARRAY => "reuseport_array",
        M::QUEUE | M::STACK => "bpf_queue_stack",
        M::SK_STORAGE | M::INODE_STORAGE | M::TASK_STORAGE | M::CGRP_STORAGE => "bpf_local_storage_map",
        M::STRUCT_OPS => "bpf_struct_ops_map",
        M::RINGBUF | M::USER_RINGBUF => "bpf_ringbuf_map",
        M::BLOOM_FILTER => "bpf_bloom_filter",
        M::ARENA => "bpf_arena",
        _ => "bpf_map",
    }
}

impl Env<'_> {
    /// `may_update_sockmap`.
    fn may_update_sockmap(&mut self, helper: H) -> bool {
        if !matches!(helper, H::MAP_UPDATE_ELEM | H::MAP_DELETE_ELEM) {
            return false;
        }
        let allowed = match self.prog_type {
            ProgType::TRACING => self.expected_attach_type == AttachType::TRACE_ITER,
            ProgType::SOCK_OPS => helper == H::MAP_DELETE_ELEM,
            ProgType::SOCKET_FILTER
            | ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::XDP
            | ProgType::SK_REUSEPORT
            | ProgType::FLOW_DISSECTOR
            | ProgType::SK_LOOKUP => true,
            _ => false,
        };
        if !allowed {
            verbose!(self, "cannot update sockmap in this context\n");
        }
        allowed
    }

    /// `check_map_func_compatibility`.
    pub(crate) fn check_map_func_compatibility(&mut self, map: MapRef, helper: H) -> Res {
        let map_type = self.map(map).map_type;
        let sockmap = matches!(map_type, M::SOCKMAP | M::SOCKHASH);
        let allowed = helpers_of(map_type).is_none_or(|helpers| helpers.contains(&helper))
            || (sockmap && self.may_update_sockmap(helper));
        if allowed && maps_of(helper).is_none_or(|maps| maps.contains(&map_type)) {
            return Ok(());
        }
        let name = helper.name().unwrap_or_default();
        verbose!(self, "cannot pass map_type {} into func bpf_{name}#{}\n", map_type.0, helper.0);
        Err(EINVAL)
    }
}
