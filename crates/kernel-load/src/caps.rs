// SPDX-License-Identifier: MIT OR Apache-2.0
//! Capability sets that a program is loaded with: the effective capabilities of the calling thread are lowered for
//! the call and raised again after it, as the kernel's own tests do. The permitted ones stay.

use std::fs;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use serde::{Deserialize, Serialize};

/// `0` where processes without capabilities may call bpf(2).
const UNPRIVILEGED: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";

/// With which capabilities a program is loaded. Its maps and BTF are always created with all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caps {
    /// All that the process has.
    #[default]
    Full,
    /// `CAP_BPF` and `CAP_NET_ADMIN`, without `CAP_PERFMON`: pointers are no numbers, speculation is sanitized.
    CapBpf,
    /// None: an unprivileged user, where sysctl `kernel.unprivileged_bpf_disabled` is 0.
    None,
}

impl Caps {
    /// All sets, by the names that case files use.
    pub const ALL: [(Caps, &'static str); 3] =
        [(Caps::Full, "full"), (Caps::CapBpf, "capbpf"), (Caps::None, "none")];

    /// The set of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Caps> {
        Caps::ALL.iter().find(|(_, n)| *n == name).map(|(caps, _)| *caps)
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Caps::ALL.iter().find(|(caps, _)| *caps == self).map_or("", |(_, name)| name)
    }
}

impl std::fmt::Display for Caps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Why a program cannot be loaded with fewer capabilities here.
#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    /// The kernel refuses all unprivileged programs.
    #[error(
        "this kernel refuses bpf(2) to unprivileged users (sysctl kernel.unprivileged_bpf_disabled is {0}): ask a \
         boxed kernel, for instance `-k uml:6.1`"
    )]
    UnprivilegedDisabled(String),
    /// The capability to keep is not there.
    #[error("this process lacks capabilities of the set `{0}`: run as root, or ask a boxed kernel")]
    Missing(Caps),
    /// capset(2) failed.
    #[error("capset: {0}")]
    Capset(#[from] rustix::io::Errno),
}

/// Effective capabilities lowered on this thread; dropped, they are as before.
#[derive(Debug)]
pub struct LoweredCaps {
    before: Option<CapabilitySets>,
    /// Capabilities belong to a thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl LoweredCaps {
    /// Lowers the effective capabilities of the calling thread to a set.
    ///
    /// # Errors
    /// [`CapsError`] where the kernel or the process does not allow the set.
    pub fn new(caps: Caps) -> Result<LoweredCaps, CapsError> {
        let lowered = |before| LoweredCaps { before, _not_send: std::marker::PhantomData };
        let keep = match caps {
            Caps::Full => return Ok(lowered(None)),
            Caps::CapBpf => CapabilitySet::BPF | CapabilitySet::NET_ADMIN,
            Caps::None => {
                let switch = fs::read_to_string(UNPRIVILEGED).unwrap_or_default();
                let switch = switch.trim();
                if !matches!(switch, "0" | "") {
                    return Err(CapsError::UnprivilegedDisabled(switch.to_owned()));
                }
                CapabilitySet::empty()
            }
        };
        let before = capabilities(None)?;
        if !before.permitted.contains(keep) {
            return Err(CapsError::Missing(caps));
        }
        set_capabilities(None, CapabilitySets { effective: keep, ..before })?;
        Ok(lowered(Some(before)))
    }
}

impl Drop for LoweredCaps {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // What was effective before is still permitted, so this cannot be refused.
            let _ = set_capabilities(None, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowered_capabilities_come_back() {
        let before = capabilities(None).expect("capget");
        match LoweredCaps::new(Caps::CapBpf) {
            Ok(lowered) => {
                let now = capabilities(None).expect("capget");
                assert_eq!(now.effective, CapabilitySet::BPF | CapabilitySet::NET_ADMIN);
                drop(lowered);
            }
            Err(error) => {
                assert!(!before.permitted.contains(CapabilitySet::BPF | CapabilitySet::NET_ADMIN), "{error}");
            }
        }
        assert_eq!(capabilities(None).expect("capget"), before);
        assert!(
            Caps::ALL.iter().all(|(caps, name)| Caps::from_name(name) == Some(*caps) && caps.name() == *name)
        );
    }
}
