// SPDX-License-Identifier: GPL-2.0-only
//! Kernel releases as data: what the verifier of each does differently, by name. No other file compares releases.
//!
//! Each question is answered as the last maintained kernel of a series does (6.18.44, 6.12.117, 6.1.176): those carry
//! fixes of later releases.

use skep_uapi::helper::Release;

use crate::stop::{E2BIG, EFAULT, Stop};

/// A kernel release that the verifier answers as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    release: Release,
}

impl Profile {
    /// The latest: Linux 6.18.
    pub const LATEST: Profile = Profile { release: Release(6, 18) };

    /// Names of all profiles, the latest first.
    pub const NAMES: [&str; 3] = ["6.18", "6.12", "6.1"];

    /// The profile of this name: `6.18`, `6.12`, `6.1`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Profile> {
        match name {
            "6.18" => Some(Profile::LATEST),
            "6.12" => Some(Profile { release: Release(6, 12) }),
            "6.1" => Some(Profile { release: Release(6, 1) }),
            _ => None,
        }
    }

    /// Major and minor number.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    fn since(self, major: u16, minor: u16) -> bool {
        self.release >= Release(major, minor)
    }

    /// An error on a speculative path puts a barrier in front of the instruction, instead of refusing the program
    /// (`error_recoverable_with_nospec`, 6.17).
    pub(crate) fn errors_end_speculation(self) -> bool {
        self.since(6, 17)
    }

    /// `scalar += pointer` works on a copy of the number, so that messages of sanitation name the other register.
    /// The fix is in 6.1 and 6.12, not in 6.18.
    pub(crate) fn offset_is_copied(self) -> bool {
        !self.since(6, 18)
    }

    /// What is still held where a program ends is said in one place and in the same words (`check_resource_leak`,
    /// 6.14).
    pub(crate) fn checks_resource_leaks(self) -> bool {
        self.since(6, 14)
    }

    /// Of helpers it is known whether they read or write the stack; before 6.14, they access it "indirectly".
    pub(crate) fn helpers_read_or_write(self) -> bool {
        self.since(6, 14)
    }

    /// A size of zero that a helper does not take is said with its bounds (6.8).
    pub(crate) fn shows_bounds_of_zero_sizes(self) -> bool {
        self.since(6, 8)
    }

    /// Accesses are said with the fixed offset beside the variable one (6.12).
    pub(crate) fn shows_fixed_offsets(self) -> bool {
        self.since(6, 12)
    }

    /// Known offsets are printed as numbers, not as bits (`tnum_strn`, 6.8).
    pub(crate) fn prints_known_bits_as_numbers(self) -> bool {
        self.since(6, 8)
    }

    /// Returned values lie in a range (`bpf_retval_range`, 6.8), not among bits.
    pub(crate) fn returns_ranges(self) -> bool {
        self.since(6, 8)
    }

    /// The stack of a function takes multiples of 16 bytes where there is a JIT (6.8), else of 32.
    pub(crate) fn packs_stacks(self) -> bool {
        self.since(6, 8)
    }

    /// A spilled number may be overwritten in part without `CAP_PERFMON` (6.8).
    pub(crate) fn spilled_numbers_may_be_corrupted(self) -> bool {
        self.since(6, 8)
    }

    /// A helper that exists, but not for this type of program, is said to (6.9).
    pub(crate) fn tells_foreign_helpers(self) -> bool {
        self.since(6, 9)
    }

    /// The states of an endless loop are printed (6.3).
    pub(crate) fn prints_endless_loops(self) -> bool {
        self.since(6, 3)
    }

    /// Back edges are allowed everywhere, and what comes of them is left to the walk (6.7).
    pub(crate) fn allows_every_back_edge(self) -> bool {
        self.since(6, 7)
    }

    /// Pointers that are gone are unreadable without `CAP_PERFMON` (`mark_reg_invalid`, 6.2), not just any number.
    pub(crate) fn stale_pointers_are_unreadable(self) -> bool {
        self.since(6, 2)
    }

    /// Negated numbers are known (6.17).
    pub(crate) fn tracks_negation(self) -> bool {
        self.since(6, 17)
    }

    /// Numbers whose bytes were swapped are known; a fix of 7.0 that 6.18 has.
    pub(crate) fn tracks_byte_swaps(self) -> bool {
        self.since(6, 18)
    }

    /// Parts of spilled numbers are known when they are read (6.8).
    pub(crate) fn fills_parts(self) -> bool {
        self.since(6, 8)
    }

    /// Maps, trusted pointers and memory are known not to be null (6.12).
    pub(crate) fn knows_more_non_null_pointers(self) -> bool {
        self.since(6, 12)
    }

    /// Sockets of XDP and buffers are so too, and no pointer is that may be far out; a fix that 6.12 has, and 6.18
    /// has not.
    pub(crate) fn far_pointers_may_be_null(self) -> bool {
        self.release == Release(6, 12)
    }

    /// There are trusted pointers, and memory of ring buffers is not called that of an allocation (6.2).
    pub(crate) fn has_trusted_pointers(self) -> bool {
        self.since(6, 2)
    }

    /// What is released must be the start of it whatever it is (6.3).
    pub(crate) fn released_must_have_no_offset(self) -> bool {
        self.since(6, 3)
    }

    /// Whether a number that an atomic operation fetched from the stack was wanted precise there. Linux 6.12.117 has
    /// the fix; 6.1.176 and 6.18.44 do not, and accept programs that they should not.
    pub(crate) fn backtracks_fetches(self) -> bool {
        self.release == Release(6, 12)
    }

    /// `bpf_loop` wants a number to count to; a fix that 6.12 has, and the others have not.
    pub(crate) fn loops_count_numbers(self) -> bool {
        self.release == Release(6, 12)
    }

    /// Too many paths are "too big", as anything else that is; a fix that 6.12 has, and the others have not.
    pub(crate) fn too_many_paths(self) -> Stop {
        if self.release == Release(6, 12) { E2BIG } else { EFAULT }
    }

    /// Contradictory ranges are said to be a bug of the verifier (6.16).
    pub(crate) fn contradictions_are_bugs(self) -> bool {
        self.since(6, 16)
    }

    /// Ranges are looked at for contradictions at all (6.8).
    pub(crate) fn checks_contradictions(self) -> bool {
        self.since(6, 8)
    }

    /// Constants may be stored to contexts, as registers may (6.3).
    pub(crate) fn stores_constants_to_contexts(self) -> bool {
        self.since(6, 3)
    }

    /// Structures of the kernel are said with their kind (6.3).
    pub(crate) fn quotes_structures(self) -> bool {
        self.since(6, 3)
    }

    /// A tail call in a function is also walked as one that returns to the function's caller, and one that fails changes
    /// nothing (6.18.44).
    pub(crate) fn tail_calls_return(self) -> bool {
        self.since(6, 18)
    }

    /// Pointers to the packet are void behind a tail call (6.12.117; earlier ones forget it, later ones know better).
    pub(crate) fn tail_calls_change_packets(self) -> bool {
        self.since(6, 12) && !self.tail_calls_return()
    }

    /// Programs that may sleep use fewer types of maps, and none with a lock (6.1).
    pub(crate) fn limits_sleepable_maps(self) -> bool {
        !self.since(6, 12)
    }

    /// Two arguments with a reference are called an error of the verifier's own (until 6.15).
    pub(crate) fn two_references_are_a_bug(self) -> bool {
        !self.since(6, 16)
    }

    /// Functions of programs that may nest get a stack of their own (6.13).
    pub(crate) fn has_private_stacks(self) -> bool {
        self.since(6, 13)
    }

    /// Programs of sessions of user-space probes have a range of results (6.13).
    pub(crate) fn checks_uprobe_sessions(self) -> bool {
        self.since(6, 13)
    }

    /// Which instructions there are: `bswap`, sign extensions and signed division since 6.6; `gotol` is in 6.1.176 too.
    pub(crate) fn has_cpu_v4(self) -> bool {
        self.since(6, 6)
    }

    /// `may_goto` and `addr_space_cast` since 6.9.
    pub(crate) fn has_may_goto(self) -> bool {
        self.since(6, 9)
    }

    /// `load_acquire` and `store_release` since 6.15.
    pub(crate) fn has_load_acquire(self) -> bool {
        self.since(6, 15)
    }
}
