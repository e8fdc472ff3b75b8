// SPDX-License-Identifier: MIT OR Apache-2.0
//! What keeps this process from using bpf(2), found out and said by name with its remedy.
//!
//! Capabilities are read from `/proc/thread-self/status`, switches from `/proc/sys` and `/sys/kernel/security`:
//! nothing is tried that could change the system.

use std::fs;
use std::path::PathBuf;

use skep_uapi::{Errno, ProgType};

/// A capability that BPF asks for (`linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    bit: u32,
    name: &'static str,
}

impl Capability {
    /// Maps of most types, programs beyond the unprivileged ones.
    pub const BPF: Capability = Capability { bit: 39, name: "CAP_BPF" };
    /// Tracing programs, pointers as numbers, verifier logs with addresses.
    pub const PERFMON: Capability = Capability { bit: 38, name: "CAP_PERFMON" };
    /// Programs of the network.
    pub const NET_ADMIN: Capability = Capability { bit: 12, name: "CAP_NET_ADMIN" };
    /// Stands for all of the others.
    pub const SYS_ADMIN: Capability = Capability { bit: 21, name: "CAP_SYS_ADMIN" };

    /// The kernel's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    const fn mask(self) -> u64 {
        1 << self.bit
    }
}

/// Why the running kernel cannot be used here, each with what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The kernel has no bpf(2), or a filter hides it.
    #[error(
        "bpf(2) is not implemented (ENOSYS): this kernel was built without CONFIG_BPF_SYSCALL, or a seccomp \
         filter hides it; run on a kernel that has it, outside of the sandbox"
    )]
    NoSyscall,
    /// Capabilities are missing.
    #[error(
        "{} {} missing{}; run as root, or grant the capabilities with \
         `setcap cap_bpf,cap_perfmon,cap_net_admin+ep` on the executable",
        .missing.join(" and "), if .missing.len() == 1 { "is" } else { "are" }, sysctl_text(.sysctl)
    )]
    MissingCapability {
        /// Names of those that are missing.
        missing: Vec<&'static str>,
        /// `kernel.unprivileged_bpf_disabled`, where it can be read.
        sysctl: Option<u8>,
    },
    /// Capabilities of another user namespace than the first do not count for bpf(2).
    #[error(
        "this is a user namespace: its capabilities do not reach bpf(2) (EPERM); run in the initial user \
         namespace, as root there"
    )]
    UserNamespace,
    /// A seccomp filter is active and bpf(2) is refused.
    #[error(
        "bpf(2) is refused (EPERM) though the capabilities are there, and a seccomp filter is active; start the \
         container with a profile that allows it, for instance `--security-opt seccomp=unconfined`"
    )]
    Seccomp,
    /// The kernel is locked down.
    #[error(
        "bpf(2) is refused (EPERM): the kernel is locked down ({mode}); boot with `lockdown=none` or without \
         Secure Boot"
    )]
    Lockdown {
        /// `integrity` or `confidentiality`.
        mode: String,
    },
    /// `RLIMIT_MEMLOCK` is in the way, on kernels before 5.11.
    #[error(
        "Linux {release} charges BPF to RLIMIT_MEMLOCK, and the limit of {limit} is too small ({errno}); \
         raise it with `ulimit -l unlimited`"
    )]
    Memlock {
        /// Release of the running kernel.
        release: String,
        /// The limit as `/proc/self/limits` shows it.
        limit: String,
        /// What the call returned.
        errno: Errno,
    },
    /// A file of the kernel's cannot be read.
    #[error("{}: {why}; mount /proc and /sys", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// None of the known causes.
    #[error(
        "bpf(2) is refused: {errno}; no cause was found among capabilities, seccomp, lockdown and limits"
    )]
    Refused {
        /// What the call returned.
        errno: Errno,
    },
}

fn sysctl_text(sysctl: &Option<u8>) -> String {
    match sysctl {
        Some(0) | None => String::new(),
        Some(value) => format!(" and sysctl kernel.unprivileged_bpf_disabled is {value}"),
    }
}

/// What decides about bpf(2), as read from the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Surroundings {
    /// Effective capabilities as bits.
    effective: u64,
    /// `Seccomp:` of the status file: 2 is a filter.
    seccomp: u8,
    /// Not in the initial user namespace.
    user_namespace: bool,
    /// `kernel.unprivileged_bpf_disabled`.
    sysctl: Option<u8>,
    /// Lockdown mode other than none.
    lockdown: Option<String>,
    /// Soft limit of locked memory.
    memlock: String,
    /// `uname -r`.
    release: String,
}

/// Release of the running kernel, as `uname -r` prints it.
#[must_use]
pub fn release() -> String {
    read("/proc/sys/kernel/osrelease").trim().to_owned()
}

/// Whether the kernel offers its types at `/sys/kernel/btf/vmlinux`.
#[must_use]
pub fn has_vmlinux_btf() -> bool {
    fs::metadata(crate::attach::VMLINUX_BTF).is_ok()
}

/// Capabilities that loading a program of this type asks for and that this process lacks
/// (`is_net_admin_prog_type` and `is_perfmon_prog_type` of the kernel, 6.12).
#[must_use]
pub fn missing_capabilities(prog_type: ProgType) -> Vec<Capability> {
    missing(Surroundings::read().effective, prog_type)
}

fn missing(effective: u64, prog_type: ProgType) -> Vec<Capability> {
    let has = |capability: Capability| effective & capability.mask() != 0;
    if has(Capability::SYS_ADMIN) {
        return Vec::new();
    }
    let wanted = wanted_besides(prog_type).iter();
    [Capability::BPF].iter().chain(wanted).copied().filter(|&c| !has(c)).collect()
}

/// The capabilities that a program type asks for besides `CAP_BPF`.
const fn wanted_besides(prog_type: ProgType) -> &'static [Capability] {
    match prog_type {
        ProgType::EXT => &[Capability::NET_ADMIN, Capability::PERFMON],
        ProgType::SCHED_CLS
        | ProgType::SCHED_ACT
        | ProgType::XDP
        | ProgType::LWT_IN
        | ProgType::LWT_OUT
        | ProgType::LWT_XMIT
        | ProgType::LWT_SEG6LOCAL
        | ProgType::SK_SKB
        | ProgType::SK_MSG
        | ProgType::FLOW_DISSECTOR
        | ProgType::CGROUP_DEVICE
        | ProgType::CGROUP_SOCK
        | ProgType::CGROUP_SOCK_ADDR
        | ProgType::CGROUP_SOCKOPT
        | ProgType::CGROUP_SYSCTL
        | ProgType::SOCK_OPS
        | ProgType::NETFILTER => &[Capability::NET_ADMIN],
        ProgType::KPROBE
        | ProgType::TRACEPOINT
        | ProgType::PERF_EVENT
        | ProgType::RAW_TRACEPOINT
        | ProgType::RAW_TRACEPOINT_WRITABLE
        | ProgType::TRACING
        | ProgType::LSM
        | ProgType::STRUCT_OPS => &[Capability::PERFMON],
        _ => &[],
    }
}

/// Finds the cause of a refused call that any privileged process may make.
pub(crate) fn diagnose(errno: Errno) -> Unavailable {
    Surroundings::read().diagnose(errno)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of a `Name:\tvalue` line of a status file.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The mode in brackets of `/sys/kernel/security/lockdown`, unless it is `none`.
fn lockdown_mode(text: &str) -> Option<String> {
    let mode = text.split_once('[')?.1.split_once(']')?.0;
    (mode != "none").then(|| mode.to_owned())
}

impl Surroundings {
    fn read() -> Self {
        let status = read("/proc/thread-self/status");
        let limits = read("/proc/self/limits");
        Surroundings {
            effective: field(&status, "CapEff").and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0),
            seccomp: field(&status, "Seccomp").and_then(|v| v.parse().ok()).unwrap_or(0),
            // The initial namespace maps all ids to themselves.
            user_namespace: !read("/proc/self/uid_map").split_whitespace().eq(["0", "0", "4294967295"]),
            sysctl: read("/proc/sys/kernel/unprivileged_bpf_disabled").trim().parse().ok(),
            lockdown: lockdown_mode(&read("/sys/kernel/security/lockdown")),
            memlock: limits
                .lines()
                .find_map(|line| line.strip_prefix("Max locked memory"))
                .and_then(|rest| rest.split_whitespace().next())
                .unwrap_or("unknown")
                .to_owned(),
            release: release(),
        }
    }

    /// Whether BPF memory counts against `RLIMIT_MEMLOCK`: until Linux 5.11.
    fn memlock_counts(&self) -> bool {
        let mut numbers = self.release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        version != (0, 0) && version < (5, 11)
    }

    fn diagnose(&self, errno: Errno) -> Unavailable {
        if errno == Errno::ENOSYS {
            return Unavailable::NoSyscall;
        }
        if errno != Errno::EPERM && errno != Errno::EACCES && errno != Errno::ENOMEM {
            return Unavailable::Refused { errno };
        }
        let missing = missing(self.effective, ProgType::UNSPEC);
        if !missing.is_empty() {
            let missing = missing.into_iter().map(Capability::name).collect();
            return Unavailable::MissingCapability { missing, sysctl: self.sysctl };
        }
        if self.memlock_counts() && self.memlock != "unlimited" {
            return Unavailable::Memlock {
                release: self.release.clone(),
                limit: self.memlock.clone(),
                errno,
            };
        }
        if self.user_namespace {
            return Unavailable::UserNamespace;
        }
        if self.seccomp == 2 {
            return Unavailable::Seccomp;
        }
        match &self.lockdown {
            Some(mode) => Unavailable::Lockdown { mode: mode.clone() },
            None => Unavailable::Refused { errno },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Surroundings {
        Surroundings {
            effective: u64::MAX,
            memlock: "65536".into(),
            release: "6.18.0".into(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn each_cause_has_its_name() {
        let plain = Surroundings { effective: 0, sysctl: Some(2), ..root() };
        let text = plain.diagnose(Errno::EPERM).to_string();
        assert!(
            text.starts_with("CAP_BPF is missing and sysctl kernel.unprivileged_bpf_disabled is 2;"),
            "{text}"
        );
        assert_eq!(root().diagnose(Errno::ENOSYS), Unavailable::NoSyscall);
        assert_eq!(root().diagnose(Errno::EPERM), Unavailable::Refused { errno: Errno::EPERM });
        let boxed = Surroundings { seccomp: 2, ..root() };
        assert_eq!(boxed.diagnose(Errno::EPERM), Unavailable::Seccomp);
        let inner = Surroundings { user_namespace: true, ..boxed };
        assert_eq!(inner.diagnose(Errno::EPERM), Unavailable::UserNamespace);
        let locked = Surroundings { lockdown: lockdown_mode("none [integrity] confidentiality"), ..root() };
        assert_eq!(locked.diagnose(Errno::EPERM), Unavailable::Lockdown { mode: "integrity".into() });
        let old = Surroundings { release: "4.19.0-27-amd64".into(), ..root() };
        assert!(matches!(old.diagnose(Errno::EPERM), Unavailable::Memlock { .. }));
    }

    #[test]
    fn program_types_want_their_capability() {
        let bpf = Capability::BPF.mask();
        assert_eq!(missing(bpf, ProgType::SOCKET_FILTER), []);
        assert_eq!(missing(bpf, ProgType::XDP), [Capability::NET_ADMIN]);
        assert_eq!(missing(bpf, ProgType::KPROBE), [Capability::PERFMON]);
        assert_eq!(missing(0, ProgType::XDP), [Capability::BPF, Capability::NET_ADMIN]);
        assert_eq!(missing(Capability::SYS_ADMIN.mask(), ProgType::LSM), []);
    }

    #[test]
    fn lockdown_none_is_no_lockdown() {
        assert_eq!(lockdown_mode("[none] integrity confidentiality\n"), None);
        assert_eq!(lockdown_mode(""), None);
    }
}
