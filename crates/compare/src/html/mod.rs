// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers side by side in a browser: one page that needs nothing else, for one program or for thousands of cases.
//!
//! Guarantees: every text of a program, log or case is escaped; the page stays of a size that a browser takes,
//! whatever the logs are: of long ones the window around the first difference is there, and when the page is full,
//! the first differing lines alone.

mod escape;
mod inline;
mod log;

use std::fmt::Write;

use skep_kernel_load::{Observation, Verdict};

use crate::mask::Mask;
use crate::render::{first_byte, part};
use crate::report::{Class, Difference, Report, Side, What};
use crate::shown::{Answer, Comparison, Shown};
use crate::text::{Cells, heading};
use escape::escaped;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Bytes from which on a page gets no further logs side by side.
const FULL: usize = 24 << 20;

/// Differences other than logs that are listed for one comparison.
const LISTED: usize = 200;

/// Lines of a log without anything to compare it with.
const LINES: usize = 4000;

/// A page with the answers to any number of requests.
#[must_use]
pub fn page(title: &str, cases: &[Shown<'_>]) -> String {
    let mut out = String::new();
    let title = escaped(title);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n\
         <body>\n<header><h1>{title}</h1>{}<nav><button id=\"prev\" title=\"previous difference (p)\">&#9650;</button>\
         <span id=\"at\"></span><button id=\"next\" title=\"next difference (n)\">&#9660;</button></nav></header>\n<main>\n",
        summary(cases),
    );
    if cases.len() > 1 {
        index(cases, &mut out);
    }
    for (number, shown) in cases.iter().enumerate() {
        case(number, shown, cases.len() == 1, &mut out);
    }
    let _ = write!(out, "</main>\n<script>\n{SCRIPT}</script>\n</body></html>\n");
    out
}

/// How many cases are equal, differ, or have answers missing.
fn summary(cases: &[Shown<'_>]) -> String {
    let count = |is: fn(&&Shown<'_>) -> bool| cases.iter().filter(is).count();
    let different = count(|c| !c.is_equal());
    let unanswered = count(|c| !c.is_answered());
    let mut out = match (cases.len(), different) {
        (1, 0) => "<span class=\"same\">equal</span>".to_owned(),
        (1, _) => "<span class=\"differs\">different</span>".to_owned(),
        (n, 0) => format!("<span class=\"same\">{n} cases, all equal</span>"),
        (n, d) => format!("<span>{n} cases</span> <span class=\"differs\">{d} different</span>"),
    };
    if unanswered != 0 {
        let _ = write!(out, " <span class=\"none\">{unanswered} with answers missing</span>");
    }
    out
}

/// The cases at a glance.
fn index(cases: &[Shown<'_>], out: &mut String) {
    let mut names: Vec<&str> = cases.iter().flat_map(|c| c.answers.iter().map(|a| a.name)).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    out.push_str("<table class=\"index\"><thead><tr><th>case</th>");
    for name in &names {
        let _ = write!(out, "<th>{}</th>", escaped(name));
    }
    out.push_str("<th>differs in</th></tr></thead><tbody>\n");
    for (number, shown) in cases.iter().enumerate() {
        let _ = write!(out, "<tr><td><a href=\"#c{number}\">{}</a></td>", escaped(shown.id));
        for name in &names {
            match shown.answers.iter().find(|a| a.name == *name) {
                Some(answer) => verdict_cell(shown, answer, out),
                None => out.push_str("<td></td>"),
            }
        }
        let mut aspects: Vec<_> = shown.comparisons.iter().flat_map(|c| c.report.aspects()).collect();
        aspects.sort_unstable();
        aspects.dedup();
        let aspects: Vec<String> = aspects.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "<td class=\"differs\">{}</td></tr>", aspects.join(", "));
    }
    out.push_str("</tbody></table>\n");
}

fn verdict_cell(shown: &Shown<'_>, answer: &Answer<'_>, out: &mut String) {
    let cells = Cells::new(shown.request, answer);
    let class = match cells.verdict {
        "accept" => "accept",
        "reject" => "reject",
        _ => "none",
    };
    let errno = if cells.errno == "-" { String::new() } else { format!(" {}", escaped(&cells.errno)) };
    let _ = write!(out, "<td class=\"{class}\">{}{errno}</td>", cells.verdict);
}

fn case(number: usize, shown: &Shown<'_>, alone: bool, out: &mut String) {
    let request = shown.request;
    let _ = write!(out, "<section id=\"c{number}\"><h2>{}</h2>", escaped(shown.id));
    if let Some(program) = request.object.program(&request.program) {
        let _ = write!(
            out,
            "<p class=\"about\">program <code>{}</code>, type {}, {} instructions, capabilities {}</p>",
            escaped(&program.name),
            escaped(&program.prog_type.to_string()),
            program.insns.len(),
            request.caps
        );
    }
    table(shown, out);
    for answer in &shown.answers {
        for warning in answer.answer.map_or(&[][..], |o| &o.warnings) {
            let _ = writeln!(
                out,
                "<p class=\"warning\">{} warned: {}</p>",
                escaped(answer.name),
                escaped(warning)
            );
        }
        if let Err(why) = answer.answer {
            let text = why.to_string();
            if text.lines().count() > 1 {
                let _ = writeln!(
                    out,
                    "<pre class=\"warning\">{}: {}</pre>",
                    escaped(answer.name),
                    escaped(&text)
                );
            }
        }
    }
    for comparison in &shown.comparisons {
        compared(shown, comparison, alone, out);
    }
    if let ([], [one]) = (&shown.comparisons[..], &shown.answers[..])
        && let Some(verdict) = one.answer.ok().and_then(Observation::verdict)
    {
        single(one.name, verdict, out);
    }
    out.push_str("</section>\n");
}

/// The table of verdicts. What differs from the first is marked.
fn table(shown: &Shown<'_>, out: &mut String) {
    let runs = !shown.request.inputs.is_empty();
    out.push_str(
        "<table class=\"verdicts\"><thead><tr><th>backend</th><th>verdict</th><th>errno</th><th>insns</th><th>states</th>",
    );
    out.push_str(if runs {
        "<th>runs</th><th>message</th></tr></thead><tbody>\n"
    } else {
        "<th>message</th></tr></thead><tbody>\n"
    });
    for answer in &shown.answers {
        let cells = Cells::new(shown.request, answer);
        let _ = write!(out, "<tr><th>{}</th>", escaped(&cells.name));
        let class = match cells.verdict {
            "accept" => "accept",
            "reject" => "reject",
            _ => "none",
        };
        let _ = write!(
            out,
            "<td class=\"{class}\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
            cells.verdict,
            escaped(&cells.errno),
            cells.insns,
            cells.states
        );
        if runs {
            let _ = write!(out, "<td>{}</td>", escaped(&cells.runs));
        }
        let _ = writeln!(out, "<td class=\"m\">{}</td></tr>", escaped(&cells.message));
    }
    out.push_str("</tbody></table>\n");
}

fn compared(shown: &Shown<'_>, comparison: &Comparison, alone: bool, out: &mut String) {
    let Comparison { a, b, report } = comparison;
    let (a, b) = (&shown.answers[*a], &shown.answers[*b]);
    let names = [a.name, b.name];
    let class = if report.is_equal() { "same" } else { "differs" };
    let _ = writeln!(out, "<h3 class=\"{class}\">{}</h3>", escaped(&heading(names, report)));
    differences(names, report, out);
    if !report.is_equal() && !report.environment.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"note\">It calls {}, which depend on the environment; differences may come from there.</p>",
            report.environment.join(", ")
        );
    }
    for skipped in &report.skipped {
        let (what, reason) = (escaped(&skipped.what), escaped(&skipped.reason));
        let _ = writeln!(out, "<p class=\"note\">SKIP: {what}: {reason}</p>");
    }
    let (Ok(a), Ok(b)) = (a.answer, b.answer) else { return };
    let mask = Mask::of_request(shown.request);
    let full = out.len() > FULL;
    // The highest level that differs has the most to say, and comes first.
    let fullest = report.logs.last().map(|log| log.level);
    let mut levels: Vec<_> = shown.request.levels.iter().zip(a.verdicts.iter().zip(&b.verdicts)).collect();
    levels.sort_by_key(|(level, _)| Some(**level) != fullest);
    for (&level, (a, b)) in levels {
        match report.logs.iter().find(|log| log.level == level) {
            Some(_) if !full && Some(level) == fullest => {
                log::side_by_side(&mask, level, names, [&a.log, &b.log], out);
            }
            Some(difference) => log::excerpt(names, difference, out),
            None if alone && !a.log.is_empty() && !b.log.is_empty() => log::equal(&mask, level, &a.log, out),
            None => {}
        }
    }
}

/// What differs, but for logs.
fn differences(names: [&str; 2], report: &Report, out: &mut String) {
    let listed: Vec<&Difference> =
        report.differences.iter().filter(|d| !matches!(d.what, What::Log { .. })).collect();
    if listed.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<table class=\"differences\"><thead><tr><th></th><th class=\"a\">{}</th><th class=\"b\">{}</th></tr></thead><tbody>",
        escaped(names[0]),
        escaped(names[1])
    );
    for difference in listed.iter().take(LISTED) {
        let Difference { what, ours, theirs } = difference;
        let _ = write!(out, "<tr class=\"c\"><th>{}", escaped(&what.to_string()));
        let (ours, theirs) = match (ours, theirs) {
            (Side::Bytes(ours), Side::Bytes(theirs)) => {
                let at = first_byte(ours, theirs);
                let _ = write!(out, ", from byte {at}");
                (part(ours, at), part(theirs, at))
            }
            (Side::Number(ours), Side::Number(theirs)) if matches!(what, What::Stats { .. }) => {
                (ours.to_string(), theirs.to_string())
            }
            _ => (ours.to_string(), theirs.to_string()),
        };
        let _ = match what {
            What::Verdict { class } => {
                let classes = if *class == Class::Lax { ["accept", "reject"] } else { ["reject", "accept"] };
                writeln!(
                    out,
                    "</th><td class=\"{}\">{ours}</td><td class=\"{}\">{theirs}</td></tr>",
                    classes[0], classes[1]
                )
            }
            _ => {
                let (a, b) = inline::marked(&ours, &theirs);
                writeln!(out, "</th><td class=\"a\">{a}</td><td class=\"b\">{b}</td></tr>")
            }
        };
    }
    out.push_str("</tbody></table>\n");
    if listed.len() > LISTED {
        let _ = writeln!(out, "<p class=\"note\">… and {} more</p>", listed.len() - LISTED);
    }
}

/// The log of the only backend.
fn single(name: &str, verdict: &Verdict, out: &mut String) {
    let _ = write!(out, "<h3>Log of {}</h3><pre class=\"log\">", escaped(name));
    for line in verdict.log.lines().take(LINES) {
        let _ = writeln!(out, "{}", escaped(line));
    }
    let more = verdict.log.lines().skip(LINES).count();
    if more != 0 {
        let _ = writeln!(out, "… and {more} lines more");
    }
    out.push_str("</pre>\n");
}
