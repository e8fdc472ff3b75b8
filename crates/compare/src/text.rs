// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers side by side on a terminal: a table of verdicts, then what differs.

use std::fmt::Write;

use skep_kernel_load::{Ending, NoAnswer, Observation, Request, Run};

use crate::report::{Aspect, Report};
use crate::shown::{Answer, Comparison, Shown};

/// The least that is left for messages, however narrow the terminal is.
const LEAST: usize = 20;

/// One answer in words.
pub(crate) struct Cells {
    pub name: String,
    pub verdict: &'static str,
    pub errno: String,
    pub insns: String,
    pub states: String,
    pub runs: String,
    pub message: String,
}

impl Cells {
    pub(crate) fn new(request: &Request, answer: &Answer<'_>) -> Cells {
        match answer.answer {
            Ok(observation) => Cells::answered(request, answer.name, observation),
            Err(why) => Cells { message: first_line(why), ..Cells::empty(answer.name, "no answer") },
        }
    }

    fn empty(name: &str, verdict: &'static str) -> Cells {
        let none = || "-".to_owned();
        let (errno, insns, states, runs) = (none(), none(), none(), none());
        Cells { name: name.to_owned(), verdict, errno, insns, states, runs, message: String::new() }
    }

    fn answered(request: &Request, name: &str, observation: &Observation) -> Cells {
        let mut cells = Cells::empty(name, "-");
        if let Some(verdict) = observation.verdict() {
            cells.verdict = if verdict.accepted { "accept" } else { "reject" };
            if let Some(errno) = verdict.errno {
                cells.errno = errno.name().map_or_else(|| errno.0.to_string(), str::to_owned);
                cells.message.clone_from(&verdict.message);
            }
            if let Some(stats) = &verdict.stats {
                cells.insns = stats.insn_processed.to_string();
                // A record of that figure alone has no limit.
                if stats.limit != 0 {
                    cells.states = stats.total_states.to_string();
                }
            }
        }
        if !request.inputs.is_empty() {
            cells.runs = runs(observation);
        }
        cells
    }

    fn columns(&self) -> [&str; 6] {
        [&self.name, self.verdict, &self.errno, &self.insns, &self.states, &self.runs]
    }
}

fn first_line(why: &NoAnswer) -> String {
    why.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What became of the runs: of a single one its result, of several their number.
fn runs(observation: &Observation) -> String {
    match &observation.runs[..] {
        [] if observation.not_run.is_some() => "not run".to_owned(),
        [] => "-".to_owned(),
        [Run { ending: Ending::Returned(r0), .. }] => format!("r0={r0}"),
        [Run { ending: Ending::Refused(errno), .. }] => errno.name().unwrap_or("refused").to_owned(),
        [Run { ending: Ending::Trapped(_), .. }] => "trap".to_owned(),
        runs => runs.len().to_string(),
    }
}

/// The answers of all backends and what differs between them, for a terminal of so many columns: first a table,
/// then each comparison that found something, in the order verdict, errno, message, statistics, log, runs, maps.
#[must_use]
pub fn text(shown: &Shown<'_>, width: usize) -> String {
    let mut out = String::new();
    table(shown, width, &mut out);
    for answer in &shown.answers {
        for warning in answer.answer.map_or(&[][..], |o| &o.warnings) {
            let _ = writeln!(out, "{} warned: {warning}", answer.name);
        }
    }
    for comparison in &shown.comparisons {
        let Comparison { a, b, report } = comparison;
        let names = [shown.answers[*a].name, shown.answers[*b].name];
        let _ = writeln!(out, "\n{}", heading(names, report));
        for line in report.body(names).to_string().lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}

/// One line that tells what a comparison found.
pub(crate) fn heading([a, b]: [&str; 2], report: &Report) -> String {
    let mut compared = Vec::new();
    if report.runs != 0 {
        compared.push(format!("{} run{}", report.runs, if report.runs == 1 { "" } else { "s" }));
    }
    if report.refused != 0 {
        compared.push(format!("{} inputs refused by both", report.refused));
    }
    let compared = if compared.is_empty() { String::new() } else { format!(" ({})", compared.join(", ")) };
    if report.is_equal() {
        return format!("{b} equals {a}{compared}");
    }
    let aspect = |aspect: Aspect| match (aspect, report.class()) {
        (Aspect::Verdict, Some(class)) => format!("verdict ({a} is {class})"),
        _ => aspect.to_string(),
    };
    let aspects: Vec<String> = report.aspects().into_iter().map(aspect).collect();
    format!("{b} differs from {a}{compared}: {}", aspects.join(", "))
}

fn table(shown: &Shown<'_>, width: usize, out: &mut String) {
    let rows: Vec<Cells> = shown.answers.iter().map(|a| Cells::new(shown.request, a)).collect();
    let heads = ["backend", "verdict", "errno", "insns", "states", "runs"];
    let count = |text: &str| text.chars().count();
    let mut widths = heads.map(count);
    for cells in &rows {
        for (width, cell) in widths.iter_mut().zip(cells.columns()) {
            *width = (*width).max(count(cell));
        }
    }
    if shown.request.inputs.is_empty() {
        widths[5] = 0;
    }
    let room = width.saturating_sub(widths.iter().filter(|w| **w != 0).map(|w| w + 2).sum()).max(LEAST);
    let mut line = |cells: [&str; 6], message: &str| {
        let mut line = String::new();
        for (at, (cell, width)) in cells.into_iter().zip(widths).enumerate().filter(|(_, (_, w))| *w != 0) {
            // Figures stand to the right.
            let _ = match at {
                3 | 4 => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:width$}  "),
            };
        }
        line.push_str(&cut(message, room));
        let _ = writeln!(out, "{}", line.trim_end());
    };
    line(heads, "message");
    for cells in &rows {
        line(cells.columns(), &cells.message);
    }
}

/// A text of so many characters at most, with an ellipsis where some are missing.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room - 1).collect();
    short.push('…');
    short
}
