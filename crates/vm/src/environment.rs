// SPDX-License-Identifier: MIT OR Apache-2.0
//! What helpers see of the world: time, random numbers, the current task. By default that of the host; a test
//! fixes it, and its runs are reproducible.

/// Where times come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The host's clocks.
    #[default]
    Host,
    /// The first reading is `start` nanoseconds, each further one `step` later, whichever clock is read.
    Fixed {
        /// First reading, in nanoseconds.
        start: u64,
        /// Nanoseconds between two readings.
        step: u64,
    },
}

/// A kernel parameter under `/proc/sys`, and what is done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sysctl {
    /// Its path, for instance `net/ipv4/ip_forward`.
    pub name: String,
    /// Its value now, as `/proc/sys` shows it.
    pub current: String,
    /// The value that is about to be written; `None` where it is read.
    pub new: Option<String>,
}

/// What helpers see of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Where `bpf_ktime_get_ns` and its kin take the time from.
    pub clock: Clock,
    /// Timer interrupts in a second (`CONFIG_HZ`), which `bpf_jiffies64` counts in.
    pub hz: u32,
    /// Seed of `bpf_get_prandom_u32`; `None` takes one from the host.
    pub random_seed: Option<u64>,
    /// `bpf_get_numa_node_id`.
    pub numa_node: u32,
    /// `bpf_get_current_pid_tgid`: thread group in the upper, thread in the lower half.
    pub pid_tgid: u64,
    /// `bpf_get_current_uid_gid`: group in the upper, user in the lower half.
    pub uid_gid: u64,
    /// `bpf_get_current_comm`: at most 15 bytes of it are seen.
    pub comm: String,
    /// Cgroups of the current task from the root down, as `bpf_get_current_ancestor_cgroup_id` counts levels; the
    /// last is what `bpf_get_current_cgroup_id` gives.
    pub cgroups: Vec<u64>,
    /// `bpf_get_netns_cookie`.
    pub netns_cookie: u64,
    /// `bpf_get_socket_cookie`.
    pub socket_cookie: u64,
    /// `bpf_get_attach_cookie`: what the program was attached with.
    pub attach_cookie: u64,
    /// `bpf_get_func_ip`: address of the traced function.
    pub func_ip: u64,
    /// The kernel parameter that a `cgroup_sysctl` program is asked about.
    pub sysctl: Sysctl,
}

impl Default for Environment {
    fn default() -> Self {
        let pid = u64::from(std::process::id());
        Environment {
            clock: Clock::Host,
            hz: 250,
            random_seed: None,
            numa_node: 0,
            pid_tgid: pid << 32 | pid,
            uid_gid: 0,
            comm: "skep".to_owned(),
            cgroups: vec![1],
            netns_cookie: 1,
            socket_cookie: 1,
            attach_cookie: 0,
            func_ip: 0,
            sysctl: Sysctl::default(),
        }
    }
}

impl Environment {
    /// A world in which every run is the same: fixed time, random numbers and task.
    #[must_use]
    pub fn reproducible() -> Self {
        Environment {
            clock: Clock::Fixed { start: 1_000_000_000, step: 1000 },
            random_seed: Some(1),
            pid_tgid: 1 << 32 | 1,
            ..Environment::default()
        }
    }
}
