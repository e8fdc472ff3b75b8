// SPDX-License-Identifier: MIT OR Apache-2.0
//! Differences between backends: verdicts, logs and runs.
//!
//! All that a backend answers about a program is an [`Observation`], plain data: [`observe_ours`] makes that of
//! `skep_vm`, `skep_kernel_load` those of kernels, [`recorded`] reads what a kernel once said. [`compare`] is a pure
//! function of two of them, and its [`Report`] has what differs; [`Shown`] holds the answers of any number of
//! backends, for a terminal ([`text`]) or a browser ([`page`]).
//!
//! Guarantees: nothing is guessed. In logs only what two boots of one kernel print differently is masked
//! ([`Mask`] has the list), in runs nothing. What cannot be compared is in [`Report::skipped`] with its reason; where
//! a program asks for the time, chance or the like, [`Report::environment`] says so.

mod align;
mod backend;
mod compare;
mod contents;
mod edit;
mod engines;
mod environment;
mod html;
mod kernel;
mod logs;
mod mask;
mod ours;
mod packets;
mod recorded;
mod render;
mod report;
mod shown;
mod state;
mod text;

pub use align::{Alignment, Row, align};
pub use backend::*;
pub use compare::compare;
pub use engines::engines_differ;
pub use environment::dependent_helpers;
pub use html::page;
pub use kernel::{CompareError, compare_with_kernel};
pub use logs::{LogDifference, first_difference};
pub use mask::Mask;
pub use ours::observe_ours;
pub use packets::Packets;
pub use recorded::{Recorded, RecordedError, recorded, truth_json};
pub use report::{Aspect, Class, Difference, Report, Side, Skipped, Warnings, What};
pub use shown::{Answer, Comparison, Shown};
pub use skep_kernel_load::{Contents, Ending, NoAnswer, Observation, Request, Run, RunInput};
pub use state::{Entry, StateDifference, parse_state, state_differences};
pub use text::text;
