// SPDX-License-Identifier: GPL-2.0-only
//! Kernel releases as data: what the verifier of each does differently, by name. No other file compares releases.

use skep_uapi::helper::Release;

/// A kernel release that the verifier answers as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    release: Release,
}

impl Profile {
    /// The latest: Linux 6.18.
    pub const LATEST: Profile = Profile { release: Release(6, 18) };

    /// The profile of this name: `6.18`, `6.12`, `6.1`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Profile> {
        match name {
            "6.18" => Some(Profile::LATEST),
            _ => None,
        }
    }

    /// Major and minor number.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }
}
