// SPDX-License-Identifier: GPL-2.0-only
//! What a verification gives.

use skep_uapi::Errno;

/// Accepted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The program loads.
    Accept,
    /// `BPF_PROG_LOAD` fails with this error.
    Reject(Errno),
}

/// The numbers of the line `processed N insns …`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions walked, each as often as it was walked.
    pub insn_processed: u32,
    /// Most states kept at one instruction.
    pub max_states_per_insn: u32,
    /// States kept in all.
    pub total_states: u32,
    /// Most states kept at one time.
    pub peak_states: u32,
    /// Longest chain walked to mark reads; 0 since Linux 6.18.
    pub mark_read: u32,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel's answer.
    Answer {
        /// Accepted or not.
        verdict: Verdict,
        /// The log as user space gets it, without the zero at its end.
        log: String,
        /// Bytes that the whole log needs (`log_true_size`), the zero included.
        log_true_size: u32,
        /// Statistics; zero where the kernel gave up before it walked.
        stats: Stats,
    },
    /// The program needs something that is not done here; its name.
    Unsupported(String),
}
