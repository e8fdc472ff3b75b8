// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that look at the machine and its tasks: time, processor, memory of kernel and user, perf events,
//! strings, and the functions that a tracing program is attached to.

use super::callers::*;
use super::types::*;
use super::{Cap, Helper, Release, proto, rows};
use crate::HelperId;

/// The release that let programs of every type call most helpers of tracing programs: 6.12 does
/// not, 6.18 does; which one in between has not been tried.
const LATE: Release = Release(6, 16);

rows! {
    4 probe_read, 4, 1, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING]).gpl_only().by([TRACE]),
    ];
    5 ktime_get_ns, 4, 1, Cap::None => [
        proto(RET_INTEGER, []).by([ALL, LIRC_MODE2]),
    ];
    6 trace_printk, 4, 1, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE]).gpl_only().by([ALL, LIRC_MODE2]),
    ];
    7 get_prandom_u32, 4, 1, Cap::None => [
        proto(RET_INTEGER, []).by([ALL, LIRC_MODE2]),
    ];
    8 get_smp_processor_id, 4, 1, Cap::None => [
        proto(RET_INTEGER, []).by_except([ALL], [TRACE, LWT, TC, XDP]),
        proto(RET_INTEGER, []).fastcall().by([TRACE, LWT, TC, XDP]),
    ];
    14 get_current_pid_tgid, 4, 2, Cap::None => [
        proto(RET_INTEGER, []).by([ALL]),
    ];
    15 get_current_uid_gid, 4, 2, Cap::None => [
        proto(RET_INTEGER, [])
            .by([TRACE, CGROUP_CURRENT, SK_MSG])
            .later_except(LATE, [ALL], [TRACE, CGROUP_CURRENT, SK_MSG]),
    ];
    16 get_current_comm, 4, 2, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE])
            .by([TRACE, CGROUP_CURRENT])
            .later_except(LATE, [ALL], [TRACE, CGROUP_CURRENT]),
    ];
    22 perf_event_read, 4, 3, Cap::Perfmon => [
        proto(RET_INTEGER, [CONST_MAP_PTR, ANYTHING])
            .gpl_only()
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    25 perf_event_output, 4, 4, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_CTX, CONST_MAP_PTR, ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO],
        )
            .gpl_only()
            .by_except([ALL], [SK_REUSEPORT, FLOW_DISSECTOR, STRUCT_OPS, NETFILTER]),
    ];
    27 get_stackid, 4, 6, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, ANYTHING]).gpl_only().by_except([TRACE], [PERF_EVENT]),
        proto(RET_INTEGER, [PTR_TO_CTX, CONST_MAP_PTR, ANYTHING]).by([PERF_EVENT]),
    ];
    35 get_current_task, 4, 8, Cap::Perfmon => [
        proto(RET_INTEGER, []).gpl_only().by([ALL]),
    ];
    36 probe_write_user, 4, 8, Cap::None => [
        proto(RET_INTEGER, [ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE]).gpl_only().by([TRACE]),
    ];
    37 current_task_under_cgroup, 4, 9, Cap::Bpf => [
        proto(RET_INTEGER, [CONST_MAP_PTR, ANYTHING])
            .by([TRACE, CGROUP_CURRENT])
            .later_except(LATE, [ALL], [TRACE, CGROUP_CURRENT]),
    ];
    42 get_numa_node_id, 4, 10, Cap::None => [
        proto(RET_INTEGER, []).by([ALL]),
    ];
    45 probe_read_str, 4, 11, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING]).gpl_only().by([TRACE]),
    ];
    55 perf_event_read_value, 4, 15, Cap::Perfmon => [
        proto(RET_INTEGER, [CONST_MAP_PTR, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE])
            .gpl_only()
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    56 perf_prog_read_value, 4, 15, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE]).gpl_only().by([PERF_EVENT]),
    ];
    58 override_return, 4, 16, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, ANYTHING]).gpl_only().by([KPROBE]),
    ];
    67 get_stack, 4, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING])
            .gpl_only()
            .might_sleep_where_allowed()
            .by([KPROBE, TRACEPOINT, PERF_EVENT]),
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING])
            .gpl_only()
            .by([RAW_TP, TRACING, LSM, SYSCALL]),
    ];
    80 get_current_cgroup_id, 4, 18, Cap::Bpf => [
        proto(RET_INTEGER, []).by([ALL]),
    ];
    105 strtol, 5, 2, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, ANYTHING,
             PTR_TO_FIXED_SIZE_MEM.with(MEM_UNINIT | MEM_WRITE | MEM_ALIGNED).sized(8)],
        )
            .by([ALL]),
    ];
    106 strtoul, 5, 2, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, ANYTHING,
             PTR_TO_FIXED_SIZE_MEM.with(MEM_UNINIT | MEM_WRITE | MEM_ALIGNED).sized(8)],
        )
            .by([ALL]),
    ];
    109 send_signal, 5, 3, Cap::Perfmon => [
        proto(RET_INTEGER, [ANYTHING]).by([TRACE]).later_except(LATE, [ALL], [TRACE]),
    ];
    112 probe_read_user, 5, 5, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING]).gpl_only().by([ALL]),
    ];
    113 probe_read_kernel, 5, 5, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING]).gpl_only().by([ALL]),
    ];
    114 probe_read_user_str, 5, 5, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING]).gpl_only().by([ALL]),
    ];
    115 probe_read_kernel_str, 5, 5, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING]).gpl_only().by([ALL]),
    ];
    117 send_signal_thread, 5, 5, Cap::Perfmon => [
        proto(RET_INTEGER, [ANYTHING]).by([TRACE]).later_except(LATE, [ALL], [TRACE]),
    ];
    118 jiffies64, 5, 5, Cap::Bpf => [
        proto(RET_INTEGER, []).by([ALL]),
    ];
    119 read_branch_records, 5, 6, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX, PTR_TO_MEM_OR_NULL.with(MEM_WRITE), CONST_SIZE_OR_ZERO, ANYTHING])
            .gpl_only()
            .by([PERF_EVENT]),
    ];
    120 get_ns_current_pid_tgid, 5, 7, Cap::None => [
        proto(RET_INTEGER, [ANYTHING, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE]).by([ALL]),
    ];
    123 get_current_ancestor_cgroup_id, 5, 7, Cap::Bpf => [
        proto(RET_INTEGER, [ANYTHING]).by([ALL]),
    ];
    125 ktime_get_boot_ns, 5, 8, Cap::None => [
        proto(RET_INTEGER, []).by([ALL, LIRC_MODE2]),
    ];
    126 seq_printf, 5, 8, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID.of("seq_file"), PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE,
             PTR_TO_MEM.or_null().with(MEM_RDONLY), CONST_SIZE_OR_ZERO],
        )
            .gpl_only()
            .by([TRACING])
            .at(ITER),
    ];
    127 seq_write, 5, 8, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("seq_file"), PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO])
            .gpl_only()
            .by([TRACING])
            .at(ITER),
    ];
    141 get_task_stack, 5, 9, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("task_struct"), PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING])
            .might_sleep_where_allowed()
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    147 d_path, 5, 10, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("path"), PTR_TO_MEM, CONST_SIZE_OR_ZERO])
            .by_target()
            .by([TRACING, LSM, SYSCALL]),
    ];
    148 copy_from_user, 5, 10, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING])
            .might_sleep()
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    149 snprintf_btf, 5, 10, Cap::Perfmon => [
        proto(
            RET_INTEGER,
            [PTR_TO_MEM.with(MEM_WRITE), CONST_SIZE, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, ANYTHING],
        )
            .by([ALL]),
    ];
    150 seq_printf_btf, 5, 10, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID.of("seq_file"), PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE_OR_ZERO, ANYTHING],
        )
            .gpl_only()
            .by([TRACING])
            .at(ITER),
    ];
    158 get_current_task_btf, 5, 11, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID_TRUSTED.of("task_struct"), []).gpl_only().by([ALL]),
    ];
    159 bprm_opts_set, 5, 11, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("linux_binprm"), ANYTHING]).by([LSM]),
    ];
    160 ktime_get_coarse_ns, 5, 11, Cap::None => [
        proto(RET_INTEGER, []).by([SK_BASE, CGROUP_SOCK, SK_REUSEPORT, CGROUP_SYSCTL, STRUCT_OPS]),
    ];
    161 ima_inode_hash, 5, 11, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("inode"), PTR_TO_UNINIT_MEM, CONST_SIZE])
            .might_sleep()
            .by_target()
            .by([LSM]),
    ];
    165 snprintf, 5, 13, Cap::Perfmon => [
        proto(
            RET_INTEGER,
            [PTR_TO_MEM_OR_NULL.with(MEM_WRITE), CONST_SIZE_OR_ZERO, PTR_TO_CONST_STR,
             PTR_TO_MEM.or_null().with(MEM_RDONLY), CONST_SIZE_OR_ZERO],
        )
            .gpl_only()
            .by([ALL]),
    ];
    166 sys_bpf, 5, 14, Cap::Perfmon => [
        proto(RET_INTEGER, [ANYTHING, PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE]).might_sleep().by([SYSCALL]),
    ];
    167 btf_find_by_name_kind, 5, 14, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, ANYTHING, ANYTHING])
            .might_sleep()
            .by([SYSCALL]),
    ];
    168 sys_close, 5, 14, Cap::None => [
        proto(RET_INTEGER, [ANYTHING]).might_sleep().by([SYSCALL]),
    ];
    173 get_func_ip, 5, 15, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([KPROBE]).at(MULTI),
        proto(RET_INTEGER, [PTR_TO_CTX]).gpl_only().by([TRACE]),
    ];
    174 get_attach_cookie, 5, 15, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([RAW_TP, KPROBE, TRACEPOINT, PERF_EVENT, LSM]),
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TRACING]).not_at(ITER),
    ];
    175 task_pt_regs, 5, 15, Cap::Perfmon => [
        proto(RET_PTR_TO_BTF_ID.of("pt_regs"), [PTR_TO_BTF_ID.of("task_struct")]).gpl_only().by([ALL]),
    ];
    176 get_branch_snapshot, 5, 16, Cap::Perfmon => [
        proto(RET_INTEGER, [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO])
            .gpl_only()
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    177 trace_vprintk, 5, 16, Cap::Perfmon => [
        proto(
            RET_INTEGER,
            [PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, PTR_TO_MEM.or_null().with(MEM_RDONLY),
             CONST_SIZE_OR_ZERO],
        )
            .gpl_only()
            .by([ALL]),
    ];
    179 kallsyms_lookup_name, 5, 16, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_MEM, CONST_SIZE_OR_ZERO, ANYTHING,
             PTR_TO_FIXED_SIZE_MEM.with(MEM_UNINIT | MEM_WRITE | MEM_ALIGNED).sized(8)],
        )
            .by([SYSCALL]),
    ];
    180 find_vma, 5, 17, Cap::Perfmon => [
        proto(
            RET_INTEGER,
            [PTR_TO_BTF_ID.of("task_struct"), ANYTHING, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING],
        )
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    182 strncmp, 5, 17, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_MEM.with(MEM_RDONLY), CONST_SIZE, PTR_TO_CONST_STR]).by([ALL]),
    ];
    183 get_func_arg, 5, 17, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_CTX, ANYTHING,
             PTR_TO_FIXED_SIZE_MEM.with(MEM_UNINIT | MEM_WRITE | MEM_ALIGNED).sized(8)],
        )
            .by([TRACING, LSM])
            .at(TRAMPOLINE),
    ];
    184 get_func_ret, 5, 17, Cap::None => [
        proto(
            RET_INTEGER,
            [PTR_TO_CTX, PTR_TO_FIXED_SIZE_MEM.with(MEM_UNINIT | MEM_WRITE | MEM_ALIGNED).sized(8)],
        )
            .by([TRACING, LSM])
            .at(TRAMPOLINE),
    ];
    185 get_func_arg_cnt, 5, 17, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_CTX]).by([TRACING, LSM]).at(TRAMPOLINE),
    ];
    191 copy_from_user_task, 5, 18, Cap::Perfmon => [
        proto(
            RET_INTEGER,
            [PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING, PTR_TO_BTF_ID.of("task_struct"), ANYTHING],
        )
            .gpl_only()
            .might_sleep()
            .by([TRACE])
            .later_except(LATE, [ALL], [TRACE]),
    ];
    193 ima_file_hash, 5, 18, Cap::None => [
        proto(RET_INTEGER, [PTR_TO_BTF_ID.of("file"), PTR_TO_UNINIT_MEM, CONST_SIZE])
            .might_sleep()
            .by_target()
            .by([LSM]),
    ];
    208 ktime_get_tai_ns, 6, 1, Cap::None => [
        proto(RET_INTEGER, []).by([ALL]),
    ];
}
