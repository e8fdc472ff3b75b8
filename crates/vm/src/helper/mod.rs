// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helper functions: which there are, and what they do. One row of [`HELPERS`] for each, one file for each
//! family; `docs/helpers.md` is made from the table.
//!
//! What a helper gives is what the kernel gives (Linux 6.18), error numbers included. What a verified program
//! could not do, such as a bad pointer, ends the run with a trap that names the helper and the argument. Which
//! program types may call a helper is the verifier's to say, not asked here.

mod arg;
mod csum;
#[cfg(test)]
mod docs;
mod dynptr;
mod format;
mod iterate;
mod lock;
mod map;
mod perf;
mod print;
mod probe;
mod redirect;
mod ringbuf;
mod skb;
mod skb_room;
mod socket;
mod state;
mod string;
mod sysctl;
mod timer;
mod world;
mod xdp;

use skep_uapi::HelperId;

pub use redirect::Redirect;
pub(crate) use state::State;
pub use state::TraceOutput;
pub(crate) use timer::fire as fire_timer;

use crate::interp::Exec;
use crate::jit::{NativeHelper, native_helper};
use crate::trap::Trap;

/// What a helper does: takes `r1` to `r5`, gives `r0`.
pub(crate) type Call = fn(&mut Exec<'_>, [u64; 5]) -> Result<u64, Box<Trap>>;

/// What there is to know of a helper.
pub(crate) struct Helper {
    pub(crate) id: HelperId,
    pub(crate) call: Call,
    /// The same for machine code.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there is a JIT for x86-64 alone"))]
    pub(crate) native: NativeHelper,
    /// It calls back into the program, or looks at the budget.
    pub(crate) reenters: bool,
    /// The result comes from [`crate::Environment`].
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is made from it"))]
    environment: bool,
    /// How it differs from the kernel's; empty where it does not.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is made from it"))]
    note: &'static str,
}

impl Helper {
    const fn environment(self) -> Helper {
        Helper { environment: true, ..self }
    }

    const fn note(self, note: &'static str) -> Helper {
        Helper { note, ..self }
    }

    const fn reenters(self) -> Helper {
        Helper { reenters: true, ..self }
    }
}

/// The row of a helper: its name in [`HelperId`] and its function.
macro_rules! row {
    ($name:ident, $body:path) => {
        Helper {
            id: HelperId::$name,
            call: |exec, regs| arg::call(HelperId::$name, $body, exec, regs),
            native: native_helper!(|exec: &mut Exec<'_>, regs| arg::call(HelperId::$name, $body, exec, regs)),
            reenters: false,
            environment: false,
            note: "",
        }
    };
}

/// The dispatch table, by number. `bpf_tail_call` is not here: engines do it themselves.
static HELPERS: &[Helper] = &[
    row!(MAP_LOOKUP_ELEM, map::lookup_elem),
    row!(MAP_UPDATE_ELEM, map::update_elem),
    row!(MAP_DELETE_ELEM, map::delete_elem),
    row!(PROBE_READ, probe::probe_read).note("reads guest memory only"),
    row!(KTIME_GET_NS, world::ktime_get_ns).environment(),
    row!(TRACE_PRINTK, print::trace_printk)
        .note("`Machine::take_trace` has the text; pointers are printed as they are"),
    row!(GET_PRANDOM_U32, world::get_prandom_u32).environment(),
    row!(GET_SMP_PROCESSOR_ID, world::get_smp_processor_id).note("`Thread::on_cpu`"),
    row!(SKB_STORE_BYTES, skb::store_bytes),
    row!(L3_CSUM_REPLACE, csum::l3_replace),
    row!(L4_CSUM_REPLACE, csum::l4_replace),
    row!(CLONE_REDIRECT, redirect::clone_redirect)
        .note("only to the loopback device, which takes everything"),
    row!(GET_CURRENT_PID_TGID, world::get_current_pid_tgid).environment(),
    row!(GET_CURRENT_UID_GID, world::get_current_uid_gid).environment(),
    row!(GET_CURRENT_COMM, world::get_current_comm).environment(),
    row!(GET_CGROUP_CLASSID, socket::no_class).note("0"),
    row!(SKB_VLAN_PUSH, skb_room::vlan_push),
    row!(SKB_VLAN_POP, skb_room::vlan_pop),
    row!(SKB_GET_TUNNEL_KEY, skb::get_tunnel).note("no packet comes through a tunnel"),
    row!(REDIRECT, redirect::redirect).note("`Outcome::redirect` has the target"),
    row!(GET_ROUTE_REALM, socket::no_class).note("0"),
    row!(PERF_EVENT_OUTPUT, perf::event_output),
    row!(SKB_LOAD_BYTES, skb::load_bytes),
    row!(CSUM_DIFF, csum::diff),
    row!(SKB_GET_TUNNEL_OPT, skb::get_tunnel).note("no packet comes through a tunnel"),
    row!(SKB_CHANGE_PROTO, skb_room::change_proto),
    row!(SKB_CHANGE_TYPE, skb::change_type),
    row!(GET_HASH_RECALC, skb::get_hash_recalc).note("the kernel's hash depends on a secret"),
    row!(GET_CURRENT_TASK, world::get_current_task).note("a null pointer: there is no task structure"),
    row!(SKB_CHANGE_TAIL, skb_room::change_tail),
    row!(SKB_PULL_DATA, skb::pull_data),
    row!(CSUM_UPDATE, csum::update_hardware),
    row!(SET_HASH_INVALID, skb::set_hash_invalid),
    row!(GET_NUMA_NODE_ID, world::get_numa_node_id).environment(),
    row!(SKB_CHANGE_HEAD, skb_room::change_head),
    row!(XDP_ADJUST_HEAD, xdp::adjust_head),
    row!(PROBE_READ_STR, probe::probe_read_str).note("reads guest memory only"),
    row!(GET_SOCKET_COOKIE, world::get_socket_cookie).environment(),
    row!(GET_SOCKET_UID, socket::uid).note("0: root"),
    row!(SET_HASH, skb::set_hash),
    row!(SETSOCKOPT, socket::option).note("sockets have no options: `EINVAL`"),
    row!(SKB_ADJUST_ROOM, skb_room::adjust_room),
    row!(XDP_ADJUST_META, xdp::adjust_meta),
    row!(GETSOCKOPT, socket::option).note("sockets have no options: `EINVAL`"),
    row!(XDP_ADJUST_TAIL, xdp::adjust_tail),
    row!(SKB_LOAD_BYTES_RELATIVE, skb::load_bytes_relative),
    row!(FIB_LOOKUP, socket::fib_lookup).note("there are no routes: `BPF_FIB_LKUP_RET_NOT_FWDED`"),
    row!(SKB_CGROUP_ID, world::cgroup_id).environment(),
    row!(GET_CURRENT_CGROUP_ID, world::cgroup_id).environment(),
    row!(SKB_ANCESTOR_CGROUP_ID, world::skb_ancestor_cgroup_id).environment(),
    row!(SK_LOOKUP_TCP, socket::lookup).note("finds none"),
    row!(SK_LOOKUP_UDP, socket::lookup).note("finds none"),
    row!(SK_RELEASE, socket::release).note("there is no socket to release"),
    row!(MAP_PUSH_ELEM, map::push_elem),
    row!(MAP_POP_ELEM, map::pop_elem),
    row!(MAP_PEEK_ELEM, map::peek_elem),
    row!(SPIN_LOCK, lock::spin_lock).reenters(),
    row!(SPIN_UNLOCK, lock::spin_unlock),
    row!(SKB_ECN_SET_CE, skb::ecn_set_ce),
    row!(SKC_LOOKUP_TCP, socket::lookup).note("finds none"),
    row!(SYSCTL_GET_NAME, sysctl::get_name).environment(),
    row!(SYSCTL_GET_CURRENT_VALUE, sysctl::get_current_value).environment(),
    row!(SYSCTL_GET_NEW_VALUE, sysctl::get_new_value).environment(),
    row!(SYSCTL_SET_NEW_VALUE, sysctl::set_new_value).note("`Machine::take_new_sysctl` has the value"),
    row!(STRTOL, string::strtol),
    row!(STRTOUL, string::strtoul),
    row!(PROBE_READ_USER, probe::probe_read_user).note("reads guest memory only"),
    row!(PROBE_READ_KERNEL, probe::probe_read_kernel).note("reads guest memory only"),
    row!(PROBE_READ_USER_STR, probe::probe_read_user_str).note("reads guest memory only"),
    row!(PROBE_READ_KERNEL_STR, probe::probe_read_kernel_str).note("reads guest memory only"),
    row!(JIFFIES64, world::jiffies64).environment(),
    row!(GET_NETNS_COOKIE, world::get_netns_cookie).environment(),
    row!(GET_CURRENT_ANCESTOR_CGROUP_ID, world::get_current_ancestor_cgroup_id).environment(),
    row!(KTIME_GET_BOOT_NS, world::ktime_get_boot_ns).environment(),
    row!(RINGBUF_OUTPUT, ringbuf::output),
    row!(RINGBUF_RESERVE, ringbuf::reserve),
    row!(RINGBUF_SUBMIT, ringbuf::submit),
    row!(RINGBUF_DISCARD, ringbuf::discard),
    row!(RINGBUF_QUERY, ringbuf::query),
    row!(CSUM_LEVEL, csum::level),
    row!(COPY_FROM_USER, probe::probe_read_user).note("reads guest memory only"),
    row!(SKB_CGROUP_CLASSID, socket::no_class).note("0"),
    row!(REDIRECT_NEIGH, redirect::redirect_neigh).note("`Outcome::redirect` has the target"),
    row!(REDIRECT_PEER, redirect::redirect_peer).note("`Outcome::redirect` has the target"),
    row!(KTIME_GET_COARSE_NS, world::ktime_get_coarse_ns).environment(),
    row!(CHECK_MTU, socket::check_mtu).note("of the loopback device, the only one"),
    row!(FOR_EACH_MAP_ELEM, iterate::for_each_map_elem).reenters(),
    row!(SNPRINTF, print::snprintf).note("pointers are printed as they are"),
    row!(TIMER_INIT, timer::init).note("`Thread::run_timer` makes timers fire"),
    row!(TIMER_SET_CALLBACK, timer::set_callback),
    row!(TIMER_START, timer::start),
    row!(TIMER_CANCEL, timer::cancel),
    row!(GET_FUNC_IP, world::get_func_ip).environment(),
    row!(GET_ATTACH_COOKIE, world::get_attach_cookie).environment(),
    row!(TRACE_VPRINTK, print::trace_vprintk).note("as `bpf_trace_printk`"),
    row!(LOOP, iterate::bpf_loop).reenters(),
    row!(STRNCMP, string::strncmp),
    row!(XDP_GET_BUFF_LEN, xdp::get_buff_len),
    row!(XDP_LOAD_BYTES, xdp::load_bytes),
    row!(XDP_STORE_BYTES, xdp::store_bytes),
    row!(SKB_SET_TSTAMP, skb::set_tstamp),
    row!(KPTR_XCHG, lock::kptr_xchg),
    row!(MAP_LOOKUP_PERCPU_ELEM, map::lookup_percpu_elem),
    row!(DYNPTR_FROM_MEM, dynptr::from_mem),
    row!(RINGBUF_RESERVE_DYNPTR, dynptr::ringbuf_reserve),
    row!(RINGBUF_SUBMIT_DYNPTR, dynptr::ringbuf_submit),
    row!(RINGBUF_DISCARD_DYNPTR, dynptr::ringbuf_discard),
    row!(DYNPTR_READ, dynptr::read),
    row!(DYNPTR_WRITE, dynptr::write),
    row!(DYNPTR_DATA, dynptr::data),
    row!(KTIME_GET_TAI_NS, world::ktime_get_tai_ns).environment(),
];

/// The helper of a number.
pub(crate) fn find(id: HelperId) -> Option<&'static Helper> {
    HELPERS.binary_search_by_key(&id, |row| row.id).ok().map(|at| &HELPERS[at])
}
