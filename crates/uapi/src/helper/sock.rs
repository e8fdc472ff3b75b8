// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on sockets, cgroup hooks, stream and message programs, and infrared decoders.

use super::callers::*;
use super::types::*;
use super::{Cap, Helper, Release, proto, rows};
use crate::HelperId;

/// The release that let packet programs ask for the network namespace: 6.12 does not,
/// 6.18 does; which one in between has not been tried.
const LATE: Release = Release(6, 15);

rows! {
    46 get_socket_cookie, 4, 12, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by_except([SKB, CGROUP_SOCK, SOCK_OPS, CGROUP_SOCK_ADDR], [LWT]),
        proto(RET_INTEGER, [PTR_TO_BTF_ID_SOCK_COMMON.or_null()]).by([SK_REUSEPORT, TRACING, LSM, SYSCALL]),
    ];
    47 get_socket_uid, 4, 12, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TC, SOCKET_FILTER, CGROUP_SKB, SK_SKB]),
    ];
    49 setsockopt, 4, 13, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE])
            .by([SOCK_OPS, CGROUP_SOCK_ADDR]),
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE],
        )
            .by([CGROUP_SOCKOPT])
            .at(SETSOCKOPT),
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE],
        )
            .by([LSM])
            .at(LSM_CGROUP),
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE],
        )
            .by([STRUCT_OPS]),
    ];
    52 sk_redirect_map, 4, 14, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, ANYTHING, ANYTHING]).by([SK_SKB]),
    ];
    53 sock_map_update, 4, 14, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING]).pkt_access().by([SOCK_OPS]),
    ];
    57 getsockopt, 4, 15, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE])
            .by([SOCK_OPS, CGROUP_SOCK_ADDR]),
        proto(RET_INTEGER, [PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE])
            .by([CGROUP_SOCKOPT])
            .at(SETSOCKOPT),
        proto(RET_INTEGER, [PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE])
            .by([LSM])
            .at(LSM_CGROUP),
        proto(RET_INTEGER, [PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE])
            .by([STRUCT_OPS]),
    ];
    59 sock_ops_cb_flags_set, 4, 16, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([SOCK_OPS]),
    ];
    60 msg_redirect_map, 4, 17, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, ANYTHING, ANYTHING]).by([SK_MSG]),
    ];
    61 msg_apply_bytes, 4, 17, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([SK_MSG]),
    ];
    62 msg_cork_bytes, 4, 17, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([SK_MSG]),
    ];
    63 msg_pull_data, 4, 17, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING]).by([SK_MSG]),
    ];
    64 bind, 4, 17, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE])
            .by([CGROUP_SOCK_ADDR])
            .at(CONNECT_INET),
    ];
    70 sock_hash_update, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING]).pkt_access().by([SOCK_OPS]),
    ];
    71 msg_redirect_hash, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING]).by([SK_MSG]),
    ];
    72 sk_redirect_hash, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING]).by([SK_SKB]),
    ];
    77 rc_repeat, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).gpl_only().by([LIRC_MODE2]),
    ];
    78 rc_keydown, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING]).gpl_only().by([LIRC_MODE2]),
    ];
    82 sk_select_reuseport, 4, 19, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING]).by([SK_REUSEPORT]),
    ];
    84 sk_lookup_tcp, 4, 20, Cap::None => [
        proto(
            RET_PTR_TO_SOCKET_OR_NULL,
            [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING],
        )
            .pkt_access()
            .by([TC, XDP, CGROUP_SKB, SK_SKB]),
        proto(
            RET_PTR_TO_SOCKET_OR_NULL,
            [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING],
        )
            .by([CGROUP_SOCK_ADDR]),
    ];
    85 sk_lookup_udp, 4, 20, Cap::None => [
        proto(
            RET_PTR_TO_SOCKET_OR_NULL,
            [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING],
        )
            .pkt_access()
            .by([TC, XDP, CGROUP_SKB, SK_SKB]),
        proto(
            RET_PTR_TO_SOCKET_OR_NULL,
            [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING],
        )
            .by([CGROUP_SOCK_ADDR]),
    ];
    86 sk_release, 4, 20, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID_SOCK_COMMON.with(OBJ_RELEASE)])
            .by([TC, XDP, CGROUP_SKB, SK_SKB, CGROUP_SOCK_ADDR, SK_LOOKUP]),
    ];
    90 msg_push_data, 4, 20, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING]).by([SK_MSG]),
    ];
    91 msg_pop_data, 5, 0, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING]).by([SK_MSG]),
    ];
    92 rc_pointer_rel, 5, 0, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).gpl_only().by([LIRC_MODE2]),
    ];
    95 sk_fullsock, 5, 1, Cap::None => [
        proto(RET_PTR_TO_SOCKET_OR_NULL, [PTR_TO_SOCK_COMMON]).by([TC, CGROUP_SKB]),
    ];
    96 tcp_sock, 5, 1, Cap::None => [
        proto(RET_PTR_TO_TCP_SOCK_OR_NULL, [PTR_TO_SOCK_COMMON])
            .by([TC, CGROUP_SKB, SOCK_OPS, CGROUP_SOCKOPT]),
    ];
    98 get_listener_sock, 5, 1, Cap::None => [
        proto(RET_PTR_TO_SOCKET_OR_NULL, [PTR_TO_SOCK_COMMON]).by([TC, CGROUP_SKB]),
    ];
    99 skc_lookup_tcp, 5, 2, Cap::None => [
        proto(
            RET_PTR_TO_SOCK_COMMON_OR_NULL,
            [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING],
        )
            .pkt_access()
            .by([TC, XDP, CGROUP_SKB, SK_SKB]),
        proto(
            RET_PTR_TO_SOCK_COMMON_OR_NULL,
            [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING],
        )
            .by([CGROUP_SOCK_ADDR]),
    ];
    100 tcp_check_syncookie, 5, 2, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID_SOCK_COMMON, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE,
             PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE],
        )
            .gpl_only()
            .pkt_access()
            .by([TC, XDP]),
    ];
    101 sysctl_get_name, 5, 2, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_WRITE), CONST_SIZE, ANYTHING])
            .by([CGROUP_SYSCTL]),
    ];
    102 sysctl_get_current_value, 5, 2, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE]).by([CGROUP_SYSCTL]),
    ];
    103 sysctl_get_new_value, 5, 2, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE]).by([CGROUP_SYSCTL]),
    ];
    104 sysctl_set_new_value, 5, 2, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE]).by([CGROUP_SYSCTL]),
    ];
    110 tcp_gen_syncookie, 5, 3, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID_SOCK_COMMON, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE,
             PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE],
        )
            .gpl_only()
            .pkt_access()
            .by([TC, XDP]),
    ];
    116 tcp_send_ack, 5, 5, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("tcp_sock"), ANYTHING]).by([STRUCT_OPS]),
    ];
    122 get_netns_cookie, 5, 7, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX_OR_NULL])
            .by([CGROUP_SOCK, SOCK_OPS, SK_MSG, CGROUP_SOCK_ADDR, CGROUP_SOCKOPT])
            .later(LATE, [TC, SOCKET_FILTER, CGROUP_SKB]),
    ];
    124 sk_assign, 5, 7, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING]).by([TC]),
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_SOCKET_OR_NULL, ANYTHING]).by([SK_LOOKUP]),
    ];
    128 sk_cgroup_id, 5, 8, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID_SOCK_COMMON]).by([CGROUP_SKB]),
    ];
    129 sk_ancestor_cgroup_id, 5, 8, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING]).by([CGROUP_SKB]),
    ];
    136 skc_to_tcp6_sock, 5, 9, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp6_sock"), [PTR_TO_BTF_ID_SOCK_COMMON]).by([SK_BASE]),
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp6_sock"), [PTR_TO_BTF_ID_SOCK_COMMON])
            .by([TRACING, LSM, SYSCALL])
            .exempt(),
    ];
    137 skc_to_tcp_sock, 5, 9, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp_sock"), [PTR_TO_BTF_ID_SOCK_COMMON]).by([SK_BASE]),
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp_sock"), [PTR_TO_BTF_ID_SOCK_COMMON])
            .by([TRACING, LSM, SYSCALL])
            .exempt(),
    ];
    138 skc_to_tcp_timewait_sock, 5, 9, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp_timewait_sock"), [PTR_TO_BTF_ID_SOCK_COMMON]).by([SK_BASE]),
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp_timewait_sock"), [PTR_TO_BTF_ID_SOCK_COMMON])
            .by([TRACING, LSM, SYSCALL])
            .exempt(),
    ];
    139 skc_to_tcp_request_sock, 5, 9, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp_request_sock"), [PTR_TO_BTF_ID_SOCK_COMMON]).by([SK_BASE]),
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("tcp_request_sock"), [PTR_TO_BTF_ID_SOCK_COMMON])
            .by([TRACING, LSM, SYSCALL])
            .exempt(),
    ];
    140 skc_to_udp6_sock, 5, 9, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("udp6_sock"), [PTR_TO_BTF_ID_SOCK_COMMON]).by([SK_BASE]),
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("udp6_sock"), [PTR_TO_BTF_ID_SOCK_COMMON])
            .by([TRACING, LSM, SYSCALL])
            .exempt(),
    ];
    142 load_hdr_opt, 5, 10, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_WRITE), CONST_SIZE, ANYTHING]).by([SOCK_OPS]),
    ];
    143 store_hdr_opt, 5, 10, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, ANYTHING]).by([SOCK_OPS]),
    ];
    144 reserve_hdr_opt, 5, 10, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([SOCK_OPS]),
    ];
    162 sock_from_file, 5, 11, Cap::None => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("socket"), [PTR_TO_BTF_ID.of("file")]).by([TRACING, LSM, SYSCALL]),
    ];
    178 skc_to_unix_sock, 5, 16, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("unix_sock"), [PTR_TO_BTF_ID_SOCK_COMMON]).by([SK_BASE]),
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("unix_sock"), [PTR_TO_BTF_ID_SOCK_COMMON])
            .by([TRACING, LSM, SYSCALL])
            .exempt(),
    ];
    186 get_retval, 5, 18, Cap::None => [
        proto(RET_INTEGER, []).by([CGROUP_CURRENT, CGROUP_SKB, SOCK_OPS]).not_at(NO_RETVAL),
        proto(RET_INTEGER, []).by([LSM]).at(LSM_CGROUP),
    ];
    187 set_retval, 5, 18, Cap::None => [
        proto(RET_INTEGER, [ANYTHING]).by([CGROUP_CURRENT, CGROUP_SKB, SOCK_OPS]).not_at(NO_RETVAL),
        proto(RET_INTEGER, [ANYTHING]).by([LSM]).at(LSM_CGROUP),
    ];
    196 skc_to_mptcp_sock, 5, 19, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("mptcp_sock"), [PTR_TO_SOCK_COMMON]).by([SK_BASE]),
        proto(RET_PTR_TO_BTF_ID_OR_NULL.of("mptcp_sock"), [PTR_TO_SOCK_COMMON])
            .by([TRACING, LSM, SYSCALL])
            .exempt(),
    ];
    204 tcp_raw_gen_syncookie_ipv4, 6, 0, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_FIXED_SIZE_MEM.sized(20), PTR_TO_MEM, CONST_SIZE_OR_ZERO])
            .gpl_only()
            .pkt_access()
            .by([TC, XDP]),
    ];
    205 tcp_raw_gen_syncookie_ipv6, 6, 0, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_FIXED_SIZE_MEM.sized(40), PTR_TO_MEM, CONST_SIZE_OR_ZERO])
            .gpl_only()
            .pkt_access()
            .by([TC, XDP]),
    ];
    206 tcp_raw_check_syncookie_ipv4, 6, 0, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_FIXED_SIZE_MEM.sized(20), PTR_TO_FIXED_SIZE_MEM.sized(20)])
            .gpl_only()
            .pkt_access()
            .by([TC, XDP]),
    ];
    207 tcp_raw_check_syncookie_ipv6, 6, 0, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_FIXED_SIZE_MEM.sized(40), PTR_TO_FIXED_SIZE_MEM.sized(20)])
            .gpl_only()
            .pkt_access()
            .by([TC, XDP]),
    ];
}
