// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on maps, ring buffers, dynptrs, timers, locks and storage, and those that steer a program (tail calls,
//! loops).

use super::callers::*;
use super::types::*;
use super::{Cap, Helper, Release, proto, rows};
use crate::HelperId;

/// The release that let programs of every type call most helpers of tracing programs: 6.12 does
/// not, 6.18 does; which one in between has not been tried.
const LATE: Release = Release(6, 16);

rows! {
    1 map_lookup_elem, 3, 19, Cap::None => [
        proto(RET_PTR_TO_MAP_VALUE_OR_NULL, [CONST_MAP_PTR, PTR_TO_MAP_KEY])
            .pkt_access()
            .by([ALL, LIRC_MODE2]),
    ];
    2 map_update_elem, 3, 19, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, ANYTHING])
            .pkt_access()
            .by([ALL, LIRC_MODE2]),
    ];
    3 map_delete_elem, 3, 19, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_MAP_KEY]).pkt_access().by([ALL, LIRC_MODE2]),
    ];
    12 tail_call, 4, 2, Cap::None, changes_packet => [
        proto(RET_VOID, [PTR_TO_CTX, CONST_MAP_PTR, ANYTHING]).by([ALL, LIRC_MODE2]),
    ];
    81 get_local_storage, 4, 19, Cap::None => [
        proto(RET_PTR_TO_MAP_VALUE, [CONST_MAP_PTR, ANYTHING]).by([CGROUP_CURRENT, CGROUP_SKB, SOCK_OPS]),
        proto(RET_PTR_TO_MAP_VALUE, [CONST_MAP_PTR, ANYTHING]).by([LSM]).at(LSM_CGROUP),
    ];
    87 map_push_elem, 4, 20, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_MAP_VALUE, ANYTHING]).pkt_access().by([ALL, LIRC_MODE2]),
    ];
    88 map_pop_elem, 4, 20, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_MAP_VALUE.with(MEM_UNINIT | MEM_WRITE)])
            .by([ALL, LIRC_MODE2]),
    ];
    89 map_peek_elem, 4, 20, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_MAP_VALUE.with(MEM_UNINIT | MEM_WRITE)])
            .by([ALL, LIRC_MODE2]),
    ];
    93 spin_lock, 5, 1, Cap::Bpf => [
        proto(RET_VOID, [PTR_TO_SPIN_LOCK]).by([ALL]),
    ];
    94 spin_unlock, 5, 1, Cap::Bpf => [
        proto(RET_VOID, [PTR_TO_SPIN_LOCK]).by([ALL]),
    ];
    107 sk_storage_get, 5, 2, Cap::None => [
        proto(
            RET_PTR_TO_MAP_VALUE_OR_NULL,
            [CONST_MAP_PTR, PTR_TO_BTF_ID_SOCK_COMMON, PTR_TO_MAP_VALUE_OR_NULL, ANYTHING],
        )
            .by([TC, CGROUP_SKB, SOCK_OPS, SK_MSG, CGROUP_SOCK_ADDR, CGROUP_SOCKOPT, STRUCT_OPS, LSM]),
        proto(RET_PTR_TO_MAP_VALUE_OR_NULL, [CONST_MAP_PTR, PTR_TO_CTX, PTR_TO_MAP_VALUE_OR_NULL, ANYTHING])
            .by([CGROUP_SOCK]),
        proto(
            RET_PTR_TO_MAP_VALUE_OR_NULL,
            [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("sock_common"), PTR_TO_MAP_VALUE_OR_NULL, ANYTHING],
        )
            .by_target()
            .by([TRACING, SYSCALL]),
    ];
    108 sk_storage_delete, 5, 2, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_BTF_ID_SOCK_COMMON])
            .by([TC, CGROUP_SKB, SOCK_OPS, SK_MSG, CGROUP_SOCK_ADDR, CGROUP_SOCKOPT, STRUCT_OPS, LSM]),
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("sock_common")])
            .by_target()
            .by([TRACING, SYSCALL]),
    ];
    130 ringbuf_output, 5, 8, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING])
            .by([ALL]),
    ];
    131 ringbuf_reserve, 5, 8, Cap::None => [
        proto(RET_PTR_TO_RINGBUF_MEM_OR_NULL, [CONST_MAP_PTR, CONST_ALLOC_SIZE_OR_ZERO, ANYTHING]).by([ALL]),
    ];
    132 ringbuf_submit, 5, 8, Cap::None => [
        proto(RET_VOID, [PTR_TO_RINGBUF_MEM.with(OBJ_RELEASE), ANYTHING]).by([ALL]),
    ];
    133 ringbuf_discard, 5, 8, Cap::None => [
        proto(RET_VOID, [PTR_TO_RINGBUF_MEM.with(OBJ_RELEASE), ANYTHING]).by([ALL]),
    ];
    134 ringbuf_query, 5, 8, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, ANYTHING]).by([ALL]),
    ];
    145 inode_storage_get, 5, 10, Cap::None => [
        proto(
            RET_PTR_TO_MAP_VALUE_OR_NULL,
            [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("inode"), PTR_TO_MAP_VALUE_OR_NULL, ANYTHING],
        )
            .by([LSM]),
    ];
    146 inode_storage_delete, 5, 10, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("inode")]).by([LSM]),
    ];
    153 per_cpu_ptr, 5, 10, Cap::Bpf => [
        proto(RET_PTR_TO_MEM_OR_BTF_ID.or_null().with(MEM_RDONLY), [PTR_TO_PERCPU_BTF_ID, ANYTHING])
            .by([ALL]),
    ];
    154 this_cpu_ptr, 5, 10, Cap::Bpf => [
        proto(RET_PTR_TO_MEM_OR_BTF_ID.with(MEM_RDONLY), [PTR_TO_PERCPU_BTF_ID]).by([ALL]),
    ];
    156 task_storage_get, 5, 11, Cap::Bpf => [
        proto(
            RET_PTR_TO_MAP_VALUE_OR_NULL,
            [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("task_struct"), PTR_TO_MAP_VALUE_OR_NULL, ANYTHING],
        )
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    157 task_storage_delete, 5, 11, Cap::Bpf => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("task_struct")])
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    164 for_each_map_elem, 5, 13, Cap::Bpf => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING]).by([ALL]),
    ];
    169 timer_init, 5, 15, Cap::Bpf => [
        proto(RET_INTEGER, [PTR_TO_TIMER, CONST_MAP_PTR, ANYTHING]).gpl_only().by([ALL]),
    ];
    170 timer_set_callback, 5, 15, Cap::Bpf => [
        proto(RET_INTEGER, [PTR_TO_TIMER, PTR_TO_FUNC]).gpl_only().by([ALL]),
    ];
    171 timer_start, 5, 15, Cap::Bpf => [
        proto(RET_INTEGER, [PTR_TO_TIMER, ANYTHING, ANYTHING]).gpl_only().by([ALL]),
    ];
    172 timer_cancel, 5, 15, Cap::Bpf => [
        proto(RET_INTEGER, [PTR_TO_TIMER]).gpl_only().by([ALL]),
    ];
    181 loop, 5, 17, Cap::Bpf => [
        proto(RET_INTEGER, [ANYTHING, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING]).by([ALL]),
    ];
    194 kptr_xchg, 5, 19, Cap::Bpf => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL, [KPTR_XCHG_DEST, PTR_TO_BTF_ID_OR_NULL.with(OBJ_RELEASE)]).by([ALL]),
    ];
    195 map_lookup_percpu_elem, 5, 19, Cap::None => [
        proto(RET_PTR_TO_MAP_VALUE_OR_NULL, [CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING]).pkt_access().by([ALL]),
    ];
    197 dynptr_from_mem, 5, 19, Cap::Bpf => [
        proto(
            RET_INTEGER,
            [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING,
             PTR_TO_DYNPTR.with(DYNPTR_TYPE_LOCAL | MEM_UNINIT | MEM_WRITE)],
        )
            .by([ALL]),
    ];
    198 ringbuf_reserve_dynptr, 5, 19, Cap::Bpf => [
        proto(
            RET_INTEGER,
            [CONST_MAP_PTR, ANYTHING, ANYTHING,
             PTR_TO_DYNPTR.with(DYNPTR_TYPE_RINGBUF | MEM_UNINIT | MEM_WRITE)],
        )
            .by([ALL]),
    ];
    199 ringbuf_submit_dynptr, 5, 19, Cap::Bpf => [
        proto(RET_VOID, [PTR_TO_DYNPTR.with(DYNPTR_TYPE_RINGBUF | OBJ_RELEASE), ANYTHING]).by([ALL]),
    ];
    200 ringbuf_discard_dynptr, 5, 19, Cap::Bpf => [
        proto(RET_VOID, [PTR_TO_DYNPTR.with(DYNPTR_TYPE_RINGBUF | OBJ_RELEASE), ANYTHING]).by([ALL]),
    ];
    201 dynptr_read, 5, 19, Cap::Bpf => [
        proto(
            RET_INTEGER,
            [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, PTR_TO_DYNPTR.with(MEM_RDONLY), ANYTHING, ANYTHING],
        )
            .by([ALL]),
    ];
    202 dynptr_write, 5, 19, Cap::Bpf => [
        proto(
            RET_INTEGER,
            [PTR_TO_DYNPTR.with(MEM_RDONLY), ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO,
             ANYTHING],
        )
            .by([ALL]),
    ];
    203 dynptr_data, 5, 19, Cap::Bpf => [
        proto(
            RET_PTR_TO_DYNPTR_MEM_OR_NULL,
            [PTR_TO_DYNPTR.with(MEM_RDONLY), ANYTHING, CONST_ALLOC_SIZE_OR_ZERO],
        )
            .by([ALL]),
    ];
    209 user_ringbuf_drain, 6, 1, Cap::Bpf => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING]).by([ALL]),
    ];
    210 cgrp_storage_get, 6, 2, Cap::Bpf => [
        proto(
            RET_PTR_TO_MAP_VALUE_OR_NULL,
            [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("cgroup"), PTR_TO_MAP_VALUE_OR_NULL, ANYTHING],
        )
            .by([ALL]),
    ];
    211 cgrp_storage_delete, 6, 2, Cap::Bpf => [
        proto(RET_INTEGER, [CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL.of("cgroup")]).by([ALL]),
    ];
}
