// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report as text, under the names of its backends.

use std::fmt;

use crate::logs::LogDifference;
use crate::report::{Difference, Report, Side, Skipped, What};

/// Bytes of a value that are shown around the first difference.
const SHOWN: usize = 32;

/// Differences that are listed; all of them are in [`Report::differences`].
const LISTED: usize = 20;

/// What the sides are called where nobody names them, as in JSON.
const SIDES: [&str; 2] = ["ours", "theirs"];

impl Report {
    /// The report as text, in which the backends have these names.
    pub fn render<'a>(&'a self, names: [&'a str; 2]) -> impl fmt::Display + 'a {
        Rendered { report: self, names }
    }

    /// The differences and what belongs to them, without the heading.
    pub(crate) fn body<'a>(&'a self, names: [&'a str; 2]) -> impl fmt::Display + 'a {
        Body { report: self, names }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(SIDES).fmt(f)
    }
}

struct Rendered<'a> {
    report: &'a Report,
    names: [&'a str; 2],
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { program, runs, refused, differences, warnings, .. } = self.report;
        write!(f, "program `{program}`: {runs} runs")?;
        if *refused != 0 {
            write!(f, ", {refused} inputs refused by both")?;
        }
        match differences.len() {
            0 => writeln!(f, ": equal")?,
            1 => writeln!(f, ": 1 difference")?,
            n => writeln!(f, ": {n} differences")?,
        }
        Body { report: self.report, names: self.names }.fmt(f)?;
        for (name, warnings) in self.names.iter().zip([&warnings.ours, &warnings.theirs]) {
            for warning in warnings {
                writeln!(f, "{name} warned: {warning}")?;
            }
        }
        Ok(())
    }
}

struct Body<'a> {
    report: &'a Report,
    names: [&'a str; 2],
}

impl fmt::Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { differences, skipped, environment, logs, .. } = self.report;
        let mut logs = logs.iter();
        for difference in differences.iter().take(LISTED) {
            match difference.what {
                // Their details are in the same order.
                What::Log { .. } => self.log(f, &difference.what, logs.next())?,
                _ => self.difference(f, difference)?,
            }
        }
        if differences.len() > LISTED {
            writeln!(f, "… and {} more", differences.len() - LISTED)?;
        }
        if !differences.is_empty() && !environment.is_empty() {
            writeln!(
                f,
                "note: it calls {}, which depend on the environment; differences may come from there",
                environment.join(", ")
            )?;
        }
        for Skipped { what, reason } in skipped {
            writeln!(f, "SKIP: {what}: {reason}")?;
        }
        Ok(())
    }
}

impl Body<'_> {
    /// The names with a colon, padded to the same width.
    fn labels(&self) -> [String; 2] {
        let width = self.names.iter().map(|n| n.chars().count()).max().unwrap_or(0) + 1;
        self.names.map(|name| format!("{:width$}", format!("{name}:")))
    }

    fn difference(&self, f: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
        let Difference { what, ours, theirs } = difference;
        let [a, b] = self.labels();
        match (ours, theirs) {
            (Side::Bytes(ours), Side::Bytes(theirs)) => {
                let at = first_byte(ours, theirs);
                writeln!(f, "{what}, from byte {at}:\n  {a} {}\n  {b} {}", part(ours, at), part(theirs, at))
            }
            // Counts, not bits.
            (Side::Number(ours), Side::Number(theirs))
                if matches!(what, What::Stats { .. } | What::InsnCount { .. }) =>
            {
                writeln!(f, "{what}:\n  {a} {ours}\n  {b} {theirs}")
            }
            _ => writeln!(f, "{what}:\n  {a} {ours}\n  {b} {theirs}"),
        }
    }

    fn log(&self, f: &mut fmt::Formatter<'_>, what: &What, log: Option<&LogDifference>) -> fmt::Result {
        writeln!(f, "{what}:")?;
        let Some(LogDifference { line, before, ours, theirs, states, .. }) = log else { return Ok(()) };
        let [a, b] = self.labels();
        let blank = " ".repeat(a.chars().count());
        let first = line - before.len();
        let width = (line + ours.len().max(theirs.len())).to_string().len();
        for (number, text) in (first..).zip(before) {
            writeln!(f, "  {blank} {number:width$} | {text}")?;
        }
        for (label, lines) in [(&a, ours), (&b, theirs)] {
            if lines.is_empty() {
                writeln!(f, "  {label} {line:width$} | (the log has ended)")?;
            }
            for (i, text) in lines.iter().enumerate() {
                let label = if i == 0 { label } else { &blank };
                writeln!(f, "  {label} {:width$} | {text}", line + i)?;
            }
        }
        for state in states {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "absent".to_owned());
            writeln!(f, "  {}: {} | {}", state.name, side(&state.ours), side(&state.theirs))?;
        }
        Ok(())
    }
}

/// The first byte that differs between two strings of hex digits.
pub(crate) fn first_byte(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count() / 2
}

/// The part of a value around a byte.
pub(crate) fn part(hex: &str, at: usize) -> String {
    let from = (at.saturating_sub(4) * 2).min(hex.len());
    let to = (from + 2 * SHOWN).min(hex.len());
    format!("{} ({} bytes)", &hex[from..to], hex.len() / 2)
}
