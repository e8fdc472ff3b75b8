// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two logs line by line, side by side: the same lines next to each other, and lines about the same instruction.
//!
//! Bounded whatever the logs are: of long ones a window around the first difference is aligned.

use std::borrow::Cow;
use std::ops::Range;

use crate::edit::stretches;
use crate::mask::Mask;
use crate::state::parse_state;

/// Lines of each log from the first difference on that are aligned.
pub(crate) const WINDOW: usize = 4000;
/// Lines before the first difference that are kept, where the logs are longer than the window.
const BEFORE: usize = 200;

/// Lines next to each other. One side at least is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index of the line in [`Alignment::a`].
    pub a: Option<usize>,
    /// Index of the line in [`Alignment::b`].
    pub b: Option<usize>,
    /// Both are there and the same.
    pub equal: bool,
}

/// Two logs, or the window of them around the first difference.
#[derive(Clone, Debug, Default)]
pub struct Alignment<'l> {
    /// Lines of the first log, masked.
    pub a: Vec<Cow<'l, str>>,
    /// Lines of the second log, masked.
    pub b: Vec<Cow<'l, str>>,
    /// The rows, which hold each line once, in order.
    pub rows: Vec<Row>,
    /// Lines in front of the window, the same in both.
    pub before: usize,
    /// Lines behind the window, of each log.
    pub after: [usize; 2],
}

/// Aligns two logs about one program.
#[must_use]
pub fn align<'l>(mask: &Mask, a: &'l str, b: &'l str) -> Alignment<'l> {
    let (a, b) = (a.trim_end(), b.trim_end());
    let counts = [a.lines().count(), b.lines().count()];
    let same = |(a, b): &(&str, &str)| a == b || mask.line(a) == mask.line(b);
    let common = a.lines().zip(b.lines()).take_while(same).count();
    let before = if counts.iter().all(|&n| n <= WINDOW) { 0 } else { common.saturating_sub(BEFORE) };
    let take = common - before + WINDOW;
    let window = |log: &'l str| log.lines().skip(before).take(take).map(|l| mask.line(l)).collect();
    let (a, b): (Vec<_>, Vec<_>) = (window(a), window(b));
    let rows = rows(&a, &b, common - before);
    Alignment { after: [counts[0] - before - a.len(), counts[1] - before - b.len()], a, b, rows, before }
}

fn rows(a: &[Cow<'_, str>], b: &[Cow<'_, str>], common: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = equal(0..common, 0..common).collect();
    for stretch in stretches(&a[common..], &b[common..]) {
        let old = stretch.a.start + common..stretch.a.end + common;
        let new = stretch.b.start + common..stretch.b.end + common;
        if stretch.equal {
            rows.extend(equal(old, new));
        } else {
            changed(a, b, old, new, &mut rows);
        }
    }
    rows
}

fn equal(a: Range<usize>, b: Range<usize>) -> impl Iterator<Item = Row> {
    a.zip(b).map(|(a, b)| Row { a: Some(a), b: Some(b), equal: true })
}

/// Lines that differ, in order.
fn pair(a: Range<usize>, b: Range<usize>, rows: &mut Vec<Row>) {
    let (mut a, mut b) = (a, b);
    loop {
        let row = Row { a: a.next(), b: b.next(), equal: false };
        if row.a.is_none() && row.b.is_none() {
            return;
        }
        rows.push(row);
    }
}

/// A stretch that differs: lines about the same instruction or branch stand next to each other.
fn changed(
    a: &[Cow<'_, str>],
    b: &[Cow<'_, str>],
    old: Range<usize>,
    new: Range<usize>,
    rows: &mut Vec<Row>,
) {
    let keys = |lines: &[Cow<'_, str>]| lines.iter().map(|l| key(l).to_owned()).collect::<Vec<String>>();
    let (keys_a, keys_b) = (keys(&a[old.clone()]), keys(&b[new.clone()]));
    for stretch in stretches(&keys_a, &keys_b) {
        let (o, n) = (stretch.a, stretch.b);
        pair(old.start + o.start..old.start + o.end, new.start + n.start..new.start + n.end, rows);
    }
}

/// What a line is about: all but the state in it.
fn key(line: &str) -> &str {
    let end = parse_state(line).first().map_or(line.len(), |entry| entry.span.start);
    line[..end].trim_end_matches([' ', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(alignment: &Alignment<'_>) -> Vec<(Option<usize>, Option<usize>, bool)> {
        alignment.rows.iter().map(|r| (r.a, r.b, r.equal)).collect()
    }

    #[test]
    fn lines_about_the_same_instruction_meet() {
        let a = "0: R1=ctx()\n0: (b7) r0 = 0  ; R0_w=0\n; source\n1: (b7) r2 = 1  ; R2_w=1\n2: (95) exit\n";
        let b = "0: R1=ctx()\n0: (b7) r0 = 0  ; R0=0\n1: (b7) r2 = 1  ; R2=1\n2: (95) exit\nmore\n";
        let aligned = align(&Mask::unknown(), a, b);
        assert_eq!(
            pairs(&aligned),
            [
                (Some(0), Some(0), true),
                (Some(1), Some(1), false),
                (Some(2), None, false),
                (Some(3), Some(2), false),
                (Some(4), Some(3), true),
                (None, Some(4), false),
            ]
        );
        assert_eq!((aligned.before, aligned.after), (0, [0, 0]));
    }

    #[test]
    fn of_long_logs_a_window_is_aligned() {
        let line = |n: usize| format!("{n}: (b7) r0 = 0\n");
        let a: String = (0..3 * WINDOW).map(line).collect();
        let b: String =
            (0..2 * WINDOW).map(|n| if n == WINDOW { "x\n".to_owned() } else { line(n) }).collect();
        let aligned = align(&Mask::unknown(), &a, &b);
        assert_eq!(aligned.before, WINDOW - BEFORE);
        assert_eq!(aligned.a.len(), BEFORE + WINDOW);
        assert_eq!(aligned.after, [WINDOW, 0]);
        assert_eq!(aligned.rows[BEFORE], Row { a: Some(BEFORE), b: Some(BEFORE), equal: false });
        assert!(aligned.rows[..BEFORE].iter().chain(&aligned.rows[BEFORE + 1..]).all(|r| r.equal));
        let nothing = align(&Mask::unknown(), &a, "");
        assert_eq!((nothing.rows.len(), nothing.after), (WINDOW, [2 * WINDOW, 0]));
    }
}
