// SPDX-License-Identifier: MIT OR Apache-2.0
//! Comparison of two observations of one program.

use skep_kernel_load::{Contents, Ending, Observation, Request, Run, Stats, Verdict};
use skep_program::MapSpec;
use skep_uapi::{Errno, MapType};

use crate::contents;
use crate::environment::dependent_helpers;
use crate::logs::{cut, first_difference};
use crate::mask::Mask;
use crate::report::{Class, Difference, Report, Side, Skipped, Warnings, What};

/// What differs between the answers of two backends to one request. Verdicts are compared where both give some,
/// runs where both ran.
#[must_use]
pub fn compare(request: &Request, a: &Observation, b: &Observation) -> Report {
    let mut report = Report {
        program: request.program.clone(),
        environment: dependent_helpers(&request.object),
        warnings: Warnings { ours: a.warnings.clone(), theirs: b.warnings.clone() },
        ..Report::default()
    };
    let mask = Mask::of_request(request);
    for (a, b) in a.verdicts.iter().zip(&b.verdicts) {
        report.verdicts(&mask, a, b);
    }
    for ((&level, a), b) in request.levels.iter().zip(&a.verdicts).zip(&b.verdicts) {
        report.log(&mask, level, a, b);
    }
    if let Some(reason) = no_runs(request, a, b) {
        report.skip("runs", reason);
    }
    for (input, (a, b)) in a.runs.iter().zip(&b.runs).enumerate() {
        report.run(input, a, b);
    }
    for (spec, (a, b)) in request.object.maps.iter().zip(a.maps.iter().zip(&b.maps)) {
        report.map(spec, a, b);
    }
    // What a further log level added to the verdict goes to its like.
    report.differences.sort_by_key(|d| d.what.aspect());
    report
}

/// Why runs cannot be compared though there are inputs.
fn no_runs(request: &Request, a: &Observation, b: &Observation) -> Option<String> {
    let expected = request.inputs.len();
    if a.runs.len() == expected && b.runs.len() == expected {
        return None;
    }
    if let Some(reason) = a.not_run.as_ref().or(b.not_run.as_ref()) {
        return Some(reason.clone());
    }
    let rejected = |o: &Observation| o.verdict().is_some_and(|v| !v.accepted);
    match (rejected(a), rejected(b)) {
        // Nothing to run.
        (true, true) => None,
        (false, false) => Some("one side has none".to_owned()),
        _ => Some("one side rejects the program".to_owned()),
    }
}

/// Figures of the statistics line by name. Those that a verdict does not have are left out: a record may have the
/// first alone (then there is no limit), and not every release prints `mark_read`.
fn figures(verdict: &Verdict) -> Vec<(&'static str, u64)> {
    let Some(stats) = verdict.stats else { return Vec::new() };
    let Stats { insn_processed, limit, max_states_per_insn, total_states, peak_states, mark_read } = stats;
    let mut figures = vec![("insn_processed", insn_processed)];
    if limit != 0 {
        figures.extend([
            ("limit", limit),
            ("max_states_per_insn", max_states_per_insn),
            ("total_states", total_states),
            ("peak_states", peak_states),
        ]);
        let line = verdict.log.lines().rev().find(|line| line.starts_with("processed "));
        if line.is_some_and(|line| line.contains("mark_read")) {
            figures.push(("mark_read", mark_read));
        }
    }
    figures
}

/// Whether a verdict comes without the log that it was taken from, as records of long logs do: a log that was asked
/// for has the statistics at least.
pub(crate) fn lacks_log(verdict: &Verdict) -> bool {
    verdict.log.is_empty() && (verdict.accepted || verdict.stats.is_some() || !verdict.message.is_empty())
}

/// Whether `ENOSPC` may mean that the log had no room, and nothing about the program.
fn had_no_room(verdict: &Verdict) -> bool {
    verdict.errno == Some(Errno::ENOSPC) && (verdict.log.is_empty() || cut(&verdict.log).is_some())
}

/// The message, unless it is just where the log ends for lack of room.
fn message(verdict: &Verdict) -> Option<&str> {
    let is_end = || verdict.log.trim_end().ends_with(verdict.message.trim_end());
    (cut(&verdict.log).is_none() || !is_end()).then_some(&verdict.message)
}

fn words(words: impl Into<String>) -> Side {
    Side::Words(words.into())
}

impl Report {
    /// Adds a difference, once: what differs at one log level mostly does so at the next.
    fn differ(&mut self, what: What, ours: Side, theirs: Side) {
        let difference = Difference { what, ours, theirs };
        // Those of verdicts are few, and only they can come twice.
        if !self.differences.iter().take(16).any(|d| *d == difference) {
            self.differences.push(difference);
        }
    }

    fn skip(&mut self, what: &str, reason: String) {
        self.skipped.push(Skipped { what: what.to_owned(), reason });
    }

    fn verdicts(&mut self, mask: &Mask, a: &Verdict, b: &Verdict) {
        if had_no_room(a) || had_no_room(b) {
            return self.skip("verdict", "one side had no room for its log, so that it has none".to_owned());
        }
        match (a.accepted, b.accepted) {
            (true, false) => {
                self.differ(What::Verdict { class: Class::Lax }, words("accept"), words("reject"));
            }
            (false, true) => {
                self.differ(What::Verdict { class: Class::Strict }, words("reject"), words("accept"));
            }
            (true, true) => {}
            (false, false) => {
                if a.errno != b.errno {
                    let side = |v: &Verdict| v.errno.map_or(Side::Absent, |errno| words(errno.to_string()));
                    self.differ(What::Errno, side(a), side(b));
                }
                if let (Some(ours), Some(theirs)) = (message(a), message(b)) {
                    let (ours, theirs) = (mask.line(ours), mask.line(theirs));
                    if ours != theirs {
                        self.differ(What::Message, words(ours), words(theirs));
                    }
                }
            }
        }
        let theirs = figures(b);
        for (figure, ours) in figures(a) {
            match theirs.iter().find(|(name, _)| *name == figure) {
                Some(&(_, theirs)) if ours != theirs => {
                    self.differ(What::Stats { figure }, Side::Number(ours), Side::Number(theirs));
                }
                _ => {}
            }
        }
    }

    fn log(&mut self, mask: &Mask, level: u32, a: &Verdict, b: &Verdict) {
        if a.log == b.log {
            return;
        }
        if lacks_log(a) || lacks_log(b) {
            return self.skip(&format!("log at level {level}"), "one side has none".to_owned());
        }
        if let Some(found) = first_difference(mask, level, &a.log, &b.log) {
            let side = |lines: &[String]| lines.first().map_or(Side::Absent, |line| words(line.clone()));
            let what = What::Log { level, line: found.line };
            self.differ(what, side(&found.ours), side(&found.theirs));
            self.logs.push(found);
        } else if let Some(lines) = [&a.log, &b.log].into_iter().filter_map(|log| cut(log)).min() {
            let reason = format!("one side has but the first {lines} lines, which are the same");
            self.skip(&format!("log at level {level}, from line {}", lines + 1), reason);
        }
    }

    fn run(&mut self, input: usize, a: &Run, b: &Run) {
        let said = |ending: &Ending| match ending {
            Ending::Returned(r0) => words(format!("r0 = {r0}")),
            Ending::Refused(errno) => words(format!("BPF_PROG_TEST_RUN: {errno}")),
            Ending::Trapped(why) => words(why.clone()),
        };
        match (&a.ending, &b.ending) {
            // Which number a refusal has depends on what is checked first.
            (Ending::Refused(_), Ending::Refused(_)) => self.refused += 1,
            (Ending::Returned(ours), Ending::Returned(theirs)) => {
                self.runs += 1;
                *self.results.entry(*ours).or_default() += 1;
                if ours != theirs {
                    let sides = (Side::Number((*ours).into()), Side::Number((*theirs).into()));
                    self.differ(What::R0 { input }, sides.0, sides.1);
                }
                self.results_of(input, a, b);
            }
            (ours, theirs) if ours != theirs => self.differ(What::Ending { input }, said(ours), said(theirs)),
            _ => {
                self.runs += 1;
                self.results_of(input, a, b);
            }
        }
    }

    /// What a run leaves behind, where both sides have it.
    fn results_of(&mut self, input: usize, a: &Run, b: &Run) {
        let bytes = |bytes: &[u8]| Side::Bytes(hex::encode(bytes));
        if let (Some(ours), Some(theirs)) = (&a.data_out, &b.data_out)
            && ours != theirs
        {
            self.differ(What::DataOut { input }, bytes(ours), bytes(theirs));
        }
        if let (Some(ours), Some(theirs)) = (&a.ctx_out, &b.ctx_out)
            && ours != theirs
        {
            self.differ(What::CtxOut { input }, bytes(ours), bytes(theirs));
        }
        if let (Some(ours), Some(theirs)) = (a.insn_count, b.insn_count)
            && ours != theirs
        {
            self.differ(What::InsnCount { input }, Side::Number(ours), Side::Number(theirs));
        }
    }

    fn map(&mut self, spec: &MapSpec, a: &Contents, b: &Contents) {
        let what = format!("map `{}`", spec.name);
        match (a, b) {
            (Contents::Elements(ours), Contents::Elements(theirs)) => {
                if matches!(spec.map_type, MapType::QUEUE | MapType::STACK) {
                    let reason = "reading takes elements out, so only the head is compared";
                    self.skip(&what, reason.to_owned());
                }
                self.differences.extend(contents::differences(spec, ours, theirs));
            }
            (Contents::Unread(reason), _) | (_, Contents::Unread(reason)) => self.skip(&what, reason.clone()),
        }
    }
}
