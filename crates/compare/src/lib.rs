// SPDX-License-Identifier: MIT OR Apache-2.0
//! Differences between two backends. [`compare_runs`] gives the same program the same inputs in `skep_vm` and in any
//! [`skep_uapi::Bpf`], and [`compare_with_kernel`] in the running kernel; the [`Report`] has what differs in `r0`,
//! packets, contexts and maps.
//!
//! Guarantees: nothing is masked or guessed. What cannot be compared is in [`Report::skipped`] with its reason;
//! where a program asks for the time, chance or the like, [`Report::environment`] says so.

mod contents;
mod environment;
mod kernel;
mod packets;
mod report;
mod run;

pub use environment::dependent_helpers;
pub use kernel::compare_with_kernel;
pub use packets::Packets;
pub use report::{Difference, Report, Side, Skipped, What};
pub use run::{CompareError, RunInput, Theirs, compare_runs};
