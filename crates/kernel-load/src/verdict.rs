// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel says about a program, and the figures in its words.

use serde::{Deserialize, Serialize};
use skep_uapi::Errno;

/// The figures at the end of a verifier log (`print_verification_stats` of the kernel).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Instructions that the verifier looked at.
    pub insn_processed: u64,
    /// The most that it would have.
    pub limit: u64,
    /// The most states kept for one instruction.
    pub max_states_per_insn: u64,
    /// States kept in all.
    pub total_states: u64,
    /// States kept at a time, at most.
    pub peak_states: u64,
    /// Length of the longest chain of read marks; releases that do not print it leave 0.
    pub mark_read: u64,
}

impl Stats {
    /// Reads the line `processed N insns (limit N) max_states_per_insn N …`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Stats> {
        let words: Vec<&str> = line.split([' ', '(', ')']).filter(|w| !w.is_empty()).collect();
        let after = |name: &str| {
            let at = words.iter().position(|&w| w == name)?;
            words.get(at + 1)?.parse().ok()
        };
        Some(Stats {
            insn_processed: line.starts_with("processed ").then(|| after("processed")).flatten()?,
            limit: after("limit")?,
            max_states_per_insn: after("max_states_per_insn").unwrap_or(0),
            total_states: after("total_states").unwrap_or(0),
            peak_states: after("peak_states").unwrap_or(0),
            mark_read: after("mark_read").unwrap_or(0),
        })
    }
}

/// The kernel's answer to `BPF_PROG_LOAD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it took the program.
    pub accepted: bool,
    /// Why not.
    pub errno: Option<Errno>,
    /// The last line of the log before the statistics; empty without one.
    pub message: String,
    /// The whole log.
    pub log: String,
    /// Figures, where the log has them.
    pub stats: Option<Stats>,
    /// Release of the kernel that said so.
    pub release: String,
}

/// Starts of the lines that `print_verification_stats` puts at the end.
const STATS_LINES: [&str; 3] = ["processed ", "verification time ", "stack depth "];

impl Verdict {
    /// The verdict from the result of a load and its log.
    #[must_use]
    pub fn new(result: Result<(), Errno>, log: String, release: &str) -> Verdict {
        let is_stats = |line: &&str| STATS_LINES.iter().any(|start| line.starts_with(start));
        let stats = log.lines().rev().take_while(is_stats).find_map(Stats::parse);
        let last = log.lines().rev().find(|line| !line.is_empty() && !is_stats(line));
        Verdict {
            accepted: result.is_ok(),
            errno: result.err(),
            message: last.unwrap_or_default().to_owned(),
            stats,
            release: release.to_owned(),
            log,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_end_of_a_log() {
        let log = "0: R1=ctx() R10=fp0\n0: (95) exit\nR0 !read_ok\nverification time 40 usec\nstack depth 0\n\
                   processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 2 peak_states 3 mark_read 4\n";
        let verdict = Verdict::new(Err(Errno::EACCES), log.into(), "6.18.0");
        assert_eq!(verdict.message, "R0 !read_ok");
        let stats = Stats {
            insn_processed: 1,
            limit: 1_000_000,
            max_states_per_insn: 0,
            total_states: 2,
            peak_states: 3,
            mark_read: 4,
        };
        assert_eq!(verdict.stats, Some(stats));
        assert_eq!(Verdict::new(Ok(()), String::new(), "").message, "");
    }
}
