// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first difference of two logs, in its context. One pass over both; nothing is copied but what is shown.

use std::str::Lines;

use serde::Serialize;

use crate::mask::Mask;
use crate::state::{StateDifference, state_differences};

/// Lines shown in front of a difference, and from it on.
const CONTEXT: usize = 3;

/// Where two logs part. All lines are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogDifference {
    /// The log level.
    pub level: u32,
    /// Number of the first line that differs, from 1. The lines before are the same.
    pub line: usize,
    /// The last lines that are the same.
    pub before: Vec<String>,
    /// From the first difference on, in the first log; empty where it ends.
    pub ours: Vec<String>,
    /// In the second.
    pub theirs: Vec<String>,
    /// Registers and stack slots that the first differing lines differ in, where both hold a state.
    pub states: Vec<StateDifference>,
}

/// How many lines of a log are complete, where its end is missing: a log that had no room ends within a line.
pub(crate) fn cut(log: &str) -> Option<usize> {
    (!log.is_empty() && !log.ends_with('\n')).then(|| log.bytes().filter(|b| *b == b'\n').count())
}

/// The first difference of two logs about one program, once they are masked. Blank lines at the end are not
/// significant; a log whose end is missing is compared as far as it goes.
#[must_use]
pub fn first_difference(mask: &Mask, level: u32, ours: &str, theirs: &str) -> Option<LogDifference> {
    let complete = [ours, theirs].into_iter().filter_map(cut).min();
    let (ours, theirs) = (ours.trim_end(), theirs.trim_end());
    let (mut ours_left, mut theirs_left) = (ours.lines(), theirs.lines());
    let mut number = 0usize;
    loop {
        let (ours_from, theirs_from) = (ours_left.clone(), theirs_left.clone());
        if Some(number) == complete {
            return None;
        }
        number += 1;
        match (ours_left.next(), theirs_left.next()) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b || mask.line(a) == mask.line(b) => {}
            (a, b) => {
                let masked =
                    |lines: Lines<'_>| lines.take(CONTEXT).map(|l| mask.line(l).into_owned()).collect();
                let states = match (a, b) {
                    (Some(a), Some(b)) => state_differences(&mask.line(a), &mask.line(b)),
                    _ => Vec::new(),
                };
                let before = number - 1;
                let skipped = before.saturating_sub(CONTEXT);
                let context = ours.lines().take(before).skip(skipped);
                return Some(LogDifference {
                    level,
                    line: number,
                    before: context.map(|l| mask.line(l).into_owned()).collect(),
                    ours: masked(ours_from),
                    theirs: masked(theirs_from),
                    states,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "0: R1=ctx() R10=fp0\n0: (b7) r0 = 0     ; R0=0\n1: (07) r0 += 1    ; R0=1\n2: (95) exit\n\
                       processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";

    #[test]
    fn equal_logs_have_none() {
        let mask = Mask::unknown();
        assert_eq!(first_difference(&mask, 2, LOG, LOG), None);
        let blanks = LOG.replace('\n', " \n") + "\n";
        assert_eq!(first_difference(&mask, 2, LOG, &blanks), None);
        assert_eq!(first_difference(&mask, 2, "", "\n"), None);
        let (a, b) = ("verification time 1 usec\n", "verification time 22 usec\n");
        assert_eq!(first_difference(&mask, 5, a, b), None);
    }

    #[test]
    fn the_first_difference_comes_in_its_context() {
        let other = LOG.replace("; R0=1\n", "; R0=2 R1=ctx()\n").replace("exit", "goto");
        let found = first_difference(&Mask::unknown(), 2, LOG, &other).expect("different");
        assert_eq!((found.level, found.line), (2, 3));
        assert_eq!(found.before, ["0: R1=ctx() R10=fp0", "0: (b7) r0 = 0     ; R0=0"]);
        assert_eq!(found.ours[..2], ["1: (07) r0 += 1    ; R0=1", "2: (95) exit"]);
        assert_eq!(found.theirs[..2], ["1: (07) r0 += 1    ; R0=2 R1=ctx()", "2: (95) goto"]);
        let names: Vec<&str> = found.states.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["R0", "R1"]);
    }

    #[test]
    fn a_log_that_ends_early_differs_there() {
        // Without an end it is compared as far as it goes.
        assert_eq!(first_difference(&Mask::unknown(), 2, &LOG[..LOG.len() - 9], LOG), None);
        let other = LOG.replace("exit", "goto");
        assert!(first_difference(&Mask::unknown(), 2, &other[..other.len() - 9], LOG).is_some());
        let short = LOG.rsplit_once("processed").expect("statistics").0;
        let found = first_difference(&Mask::unknown(), 1, short, LOG).expect("different");
        assert_eq!((found.line, found.before.len()), (5, 3));
        assert!(found.ours.is_empty() && found.theirs.len() == 1 && found.states.is_empty());
    }
}
