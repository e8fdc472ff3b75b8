// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logs in HTML: side by side, with equal stretches folded.

use std::borrow::Cow;
use std::fmt::Write;

use super::escape::escaped;
use super::inline::marked;
use crate::align::{Alignment, Row, WINDOW, align};
use crate::logs::LogDifference;
use crate::mask::Mask;

/// Equal lines that stay in sight next to a difference.
const CONTEXT: usize = 4;
/// The fewest lines that are worth folding.
const FOLDED: usize = 6;

/// Two logs side by side.
pub(super) fn side_by_side(mask: &Mask, level: u32, names: [&str; 2], logs: [&str; 2], out: &mut String) {
    let alignment = align(mask, logs[0], logs[1]);
    let _ = writeln!(
        out,
        "<div class=\"logs\"><div class=\"names\"><span class=\"a\">{}</span><span class=\"b\">{}</span>\
         <em>log at level {level}</em></div>",
        escaped(names[0]),
        escaped(names[1])
    );
    left_out([alignment.before, alignment.before], out);
    let mut rows = &alignment.rows[..];
    let mut is_first = true;
    while let Some(first) = rows.first() {
        let len = rows.iter().take_while(|row| row.equal == first.equal).count();
        let (stretch, rest) = rows.split_at(len);
        if first.equal {
            let before = if is_first { 0 } else { CONTEXT };
            let after = if rest.is_empty() { 0 } else { CONTEXT };
            equal_stretch(&alignment, stretch, before, after, out);
        } else {
            for (at, row) in stretch.iter().enumerate() {
                differing(&alignment, row, at == 0, out);
            }
        }
        is_first = false;
        rows = rest;
    }
    left_out(alignment.after, out);
    out.push_str("</div>\n");
}

/// Says that lines are not on the page.
fn left_out(lines: [usize; 2], out: &mut String) {
    if lines != [0, 0] {
        let _ = writeln!(
            out,
            "<div class=\"r cut\"><i></i><code>… {} lines more</code><i></i><code>… {} lines more</code></div>",
            lines[0], lines[1]
        );
    }
}

/// Lines that are the same, folded but for those next to a difference.
fn equal_stretch(alignment: &Alignment<'_>, rows: &[Row], before: usize, after: usize, out: &mut String) {
    let inner = rows.len().saturating_sub(before + after);
    if inner < FOLDED {
        rows.iter().for_each(|row| same(alignment, row, out));
        return;
    }
    let (head, rest) = rows.split_at(before);
    let (folded, tail) = rest.split_at(inner);
    head.iter().for_each(|row| same(alignment, row, out));
    let _ = writeln!(out, "<details><summary>{inner} equal lines</summary>");
    folded.iter().for_each(|row| same(alignment, row, out));
    out.push_str("</details>\n");
    tail.iter().for_each(|row| same(alignment, row, out));
}

/// A line and its number.
type Numbered<'l> = Option<(usize, &'l Cow<'l, str>)>;

/// The two lines of a row.
fn lines<'l>(alignment: &'l Alignment<'l>, row: &Row) -> (Numbered<'l>, Numbered<'l>) {
    let number = |at: usize| alignment.before + at + 1;
    (row.a.map(|at| (number(at), &alignment.a[at])), row.b.map(|at| (number(at), &alignment.b[at])))
}

fn same(alignment: &Alignment<'_>, row: &Row, out: &mut String) {
    if let (Some((a, text)), Some((b, _))) = lines(alignment, row) {
        let text = escaped(text);
        let _ = writeln!(
            out,
            "<div class=\"r\"><i>{a}</i><code>{text}</code><i>{b}</i><code>{text}</code></div>"
        );
    }
}

fn differing(alignment: &Alignment<'_>, row: &Row, is_first: bool, out: &mut String) {
    let class = if is_first { "r d c" } else { "r d" };
    let _ = match lines(alignment, row) {
        (Some((a, ours)), Some((b, theirs))) => {
            let (ours, theirs) = marked(ours, theirs);
            writeln!(
                out,
                "<div class=\"{class}\"><i>{a}</i><code>{ours}</code><i>{b}</i><code>{theirs}</code></div>"
            )
        }
        (Some((a, ours)), None) => writeln!(
            out,
            "<div class=\"{class}\"><i>{a}</i><code>{}</code><i></i><code class=\"gap\"></code></div>",
            escaped(ours)
        ),
        (None, Some((b, theirs))) => writeln!(
            out,
            "<div class=\"{class}\"><i></i><code class=\"gap\"></code><i>{b}</i><code>{}</code></div>",
            escaped(theirs)
        ),
        (None, None) => Ok(()),
    };
}

/// Where two logs part, without the rest.
pub(super) fn excerpt(names: [&str; 2], difference: &LogDifference, out: &mut String) {
    let LogDifference { level, line, before, ours, theirs, .. } = difference;
    let context = before.len();
    let side = |lines: &[String]| -> Vec<Cow<'static, str>> {
        before.iter().chain(lines).map(|line| Cow::Owned(line.clone())).collect()
    };
    let alignment =
        Alignment { a: side(ours), b: side(theirs), before: line - 1 - context, ..Alignment::default() };
    let _ = writeln!(
        out,
        "<div class=\"logs\"><div class=\"names\"><span class=\"a\">{}</span><span class=\"b\">{}</span>\
         <em>log at level {level}, first difference</em></div>",
        escaped(names[0]),
        escaped(names[1])
    );
    for at in 0..context + ours.len().max(theirs.len()) {
        let index = |lines: &[Cow<'static, str>]| (at < lines.len()).then_some(at);
        let (a, b) = (index(&alignment.a), index(&alignment.b));
        let equal = a.zip(b).is_some_and(|(a, b)| alignment.a[a] == alignment.b[b]);
        let row = Row { a, b, equal };
        match equal {
            true => same(&alignment, &row, out),
            false => differing(&alignment, &row, at == context, out),
        }
    }
    out.push_str("</div>\n");
}

/// A log that is the same on both sides, folded.
pub(super) fn equal(mask: &Mask, level: u32, log: &str, out: &mut String) {
    let count = log.trim_end().lines().count();
    let _ = write!(
        out,
        "<details class=\"equal\"><summary>log at level {level}: {count} lines, the same</summary><pre>"
    );
    for line in log.lines().take(WINDOW) {
        let _ = writeln!(out, "{}", escaped(&mask.line(line)));
    }
    if count > WINDOW {
        let _ = writeln!(out, "… {} lines more", count - WINDOW);
    }
    out.push_str("</pre></details>\n");
}
