// SPDX-License-Identifier: GPL-2.0-only
//! What a verification is asked for: which kernel answers, with which capabilities, how much log.

use crate::profile::Profile;

/// Capabilities of the loader that the kernel asks about. `CAP_SYS_ADMIN` implies the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// `CAP_BPF`.
    pub bpf: bool,
    /// `CAP_PERFMON`.
    pub perfmon: bool,
    /// `CAP_NET_ADMIN`.
    pub net_admin: bool,
    /// `CAP_SYS_ADMIN`.
    pub sys_admin: bool,
}

impl Caps {
    /// All: root.
    pub const FULL: Caps = Caps { bpf: true, perfmon: true, net_admin: true, sys_admin: true };
    /// `CAP_BPF` and `CAP_NET_ADMIN`.
    pub const CAPBPF: Caps = Caps { bpf: true, perfmon: false, net_admin: true, sys_admin: false };
    /// None: an unprivileged user, where `kernel.unprivileged_bpf_disabled` is 0.
    pub const NONE: Caps = Caps { bpf: false, perfmon: false, net_admin: false, sys_admin: false };

    /// The set of this name: `full`, `capbpf`, `none`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Caps> {
        match name {
            "full" => Some(Caps::FULL),
            "capbpf" => Some(Caps::CAPBPF),
            "none" => Some(Caps::NONE),
            _ => None,
        }
    }
}

/// Options of [`crate::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The kernel whose verifier answers.
    pub profile: Profile,
    /// What the loader may do.
    pub caps: Caps,
    /// `log_level` of `BPF_PROG_LOAD`: `BPF_LOG_LEVEL1` (1), `BPF_LOG_LEVEL2` (2), `BPF_LOG_STATS` (4),
    /// `BPF_LOG_FIXED` (8).
    pub log_level: u32,
    /// Bytes of the log buffer; `None` for one that holds any log.
    pub log_size: Option<u32>,
    /// Processors of the machine (`nr_cpu_ids`), which bound what `bpf_get_smp_processor_id` returns.
    pub cpus: u32,
    /// Whether the kernel was built with `CONFIG_BPF_KPROBE_OVERRIDE`, without which there is no
    /// `bpf_override_return`. It is off where nobody asks for it.
    pub kprobe_override: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            profile: Profile::LATEST,
            caps: Caps::FULL,
            log_level: 0,
            log_size: None,
            cpus: 2,
            kprobe_override: false,
        }
    }
}
