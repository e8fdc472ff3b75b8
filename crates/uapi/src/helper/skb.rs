// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on packets: socket buffers, XDP, checksums, redirection, tunnels.

use super::callers::*;
use super::types::*;
use super::{Cap, Helper, Release, proto, rows};
use crate::HelperId;

/// The release that let programs of every type call most helpers of tracing programs: 6.12 does
/// not, 6.18 does; which one in between has not been tried.
const LATE: Release = Release(6, 16);

rows! {
    9 skb_store_bytes, 4, 1, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, ANYTHING])
            .by([TC, LWT_XMIT, SK_SKB]),
    ];
    10 l3_csum_replace, 4, 1, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING, ANYTHING]).by([TC, LWT_XMIT]),
    ];
    11 l4_csum_replace, 4, 1, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING, ANYTHING]).by([TC, LWT_XMIT]),
    ];
    13 clone_redirect, 4, 2, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([TC, LWT_XMIT]),
    ];
    17 get_cgroup_classid, 4, 3, Cap::Bpf => [
        proto(RET_INTEGER, [])
            .by([CGROUP_CURRENT, SK_MSG])
            .later_except(LATE, [ALL], [CGROUP_CURRENT, LWT, TC, SK_MSG]),
        proto(RET_INTEGER, [PTR_TO_CTX]).by([LWT, TC]),
    ];
    18 skb_vlan_push, 4, 3, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([TC]),
    ];
    19 skb_vlan_pop, 4, 3, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TC]),
    ];
    20 skb_get_tunnel_key, 4, 3, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE, ANYTHING]).by([TC, LWT_XMIT]),
    ];
    21 skb_set_tunnel_key, 4, 3, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, ANYTHING])
            .by([TC, LWT_XMIT]),
    ];
    23 redirect, 4, 4, Cap::None => [
        proto(RET_INTEGER, [ANYTHING, ANYTHING]).by([TC, XDP, LWT_XMIT]),
    ];
    24 get_route_realm, 4, 4, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([LWT, TC]),
    ];
    26 skb_load_bytes, 4, 5, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE])
            .by([SKB, SK_REUSEPORT, FLOW_DISSECTOR]),
    ];
    28 csum_diff, 4, 6, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_MEM.or_null().with(MEM_RDONLY), CONST_SIZE_OR_ZERO,
             PTR_TO_MEM.or_null().with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING],
        )
            .pkt_access()
            .by([LWT, TC, XDP]),
    ];
    29 skb_get_tunnel_opt, 4, 6, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE]).by([TC, LWT_XMIT]),
    ];
    30 skb_set_tunnel_opt, 4, 6, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE]).by([TC, LWT_XMIT]),
    ];
    31 skb_change_proto, 4, 8, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([TC]),
    ];
    32 skb_change_type, 4, 8, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([TC]),
    ];
    33 skb_under_cgroup, 4, 8, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, ANYTHING]).by([LWT, TC]),
    ];
    34 get_hash_recalc, 4, 8, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([LWT, TC]),
    ];
    38 skb_change_tail, 4, 9, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([TC, LWT_XMIT, SK_SKB]),
    ];
    39 skb_pull_data, 4, 9, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([LWT, TC, SK_SKB]),
    ];
    40 csum_update, 4, 9, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([TC, LWT_XMIT]),
    ];
    41 set_hash_invalid, 4, 9, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TC, LWT_XMIT]),
    ];
    43 skb_change_head, 4, 10, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([TC, LWT_XMIT, SK_SKB]),
    ];
    44 xdp_adjust_head, 4, 10, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([XDP]),
    ];
    48 set_hash, 4, 13, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([TC]),
    ];
    50 skb_adjust_room, 4, 13, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING]).by([TC, SK_SKB]),
    ];
    51 redirect_map, 4, 14, Cap::None => [
        proto(RET_INTEGER, [CONST_MAP_PTR, ANYTHING, ANYTHING]).by([XDP]),
    ];
    54 xdp_adjust_meta, 4, 15, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([XDP]),
    ];
    65 xdp_adjust_tail, 4, 18, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([XDP]),
    ];
    66 skb_get_xfrm_state, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE, ANYTHING]).by([TC]),
    ];
    68 skb_load_bytes_relative, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE, ANYTHING])
            .by([TC, SOCKET_FILTER, CGROUP_SKB, SK_REUSEPORT]),
    ];
    69 fib_lookup, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM.with(MEM_WRITE), CONST_SIZE, ANYTHING])
            .gpl_only()
            .by([TC, XDP]),
    ];
    73 lwt_push_encap, 4, 18, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE])
            .by([LWT_IN, LWT_XMIT]),
    ];
    74 lwt_seg6_store_bytes, 4, 18, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE])
            .by([LWT_SEG6LOCAL]),
    ];
    75 lwt_seg6_adjust_srh, 4, 18, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([LWT_SEG6LOCAL]),
    ];
    76 lwt_seg6_action, 4, 18, Cap::None, changes_packet => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE])
            .by([LWT_SEG6LOCAL]),
    ];
    79 skb_cgroup_id, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TC, CGROUP_SKB]),
    ];
    83 skb_ancestor_cgroup_id, 4, 19, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([TC, CGROUP_SKB]),
    ];
    97 skb_ecn_set_ce, 5, 1, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TC, CGROUP_SKB]),
    ];
    111 skb_output, 5, 5, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID.of("sk_buff"), CONST_MAP_PTR, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY),
             CONST_SIZE_OR_ZERO],
        )
            .gpl_only()
            .by([TRACING, LSM, SYSCALL]),
    ];
    121 xdp_output, 5, 6, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID.of("xdp_buff"), CONST_MAP_PTR, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY),
             CONST_SIZE_OR_ZERO],
        )
            .gpl_only()
            .by([TRACING, LSM, SYSCALL]),
    ];
    135 csum_level, 5, 8, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).by([TC, LWT_XMIT]),
    ];
    151 skb_cgroup_classid, 5, 10, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TC]),
    ];
    152 redirect_neigh, 5, 10, Cap::None => [
        proto(RET_INTEGER, [ANYTHING, PTR_TO_MEM.or_null().with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING])
            .by([TC]),
    ];
    155 redirect_peer, 5, 10, Cap::None => [
        proto(RET_INTEGER, [ANYTHING, ANYTHING]).by([TC]),
    ];
    163 check_mtu, 5, 12, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_CTX, ANYTHING, PTR_TO_FIXED_SIZE_MEM.with(MEM_WRITE | MEM_ALIGNED).sized(4), ANYTHING,
             ANYTHING],
        )
            .gpl_only()
            .by([TC, XDP]),
    ];
    188 xdp_get_buff_len, 5, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([XDP]),
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("xdp_buff")]).by([TRACING, LSM, SYSCALL]),
    ];
    189 xdp_load_bytes, 5, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE]).by([XDP]),
    ];
    190 xdp_store_bytes, 5, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE]).by([XDP]),
    ];
    192 skb_set_tstamp, 5, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING, ANYTHING]).by([TC]),
    ];
}
