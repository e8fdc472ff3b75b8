// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs inside of two lines that stand next to each other: words, and of states the registers and slots.

use std::fmt::Write;
use std::ops::Range;

use super::escape::escaped;
use crate::edit::stretches;
use crate::state::{Entry, parse_state};

/// Stretches of a line that differ: registers as a whole, and the words that differ.
#[derive(Default)]
struct Marks {
    entries: Vec<Range<usize>>,
    words: Vec<Range<usize>>,
}

/// Two lines in HTML, with what differs marked.
pub(super) fn marked(a: &str, b: &str) -> (String, String) {
    let mut marks = [Marks::default(), Marks::default()];
    let states = [parse_state(a), parse_state(b)];
    if states.iter().any(Vec::is_empty) {
        words([a, b], [0..a.len(), 0..b.len()], &mut marks);
    } else {
        of_states([a, b], &states, &mut marks);
    }
    let [of_a, of_b] = marks;
    (html(a, &of_a), html(b, &of_b))
}

/// Register by register, so that one that has more to say does not shift the others.
fn of_states(lines: [&str; 2], states: &[Vec<Entry<'_>>; 2], marks: &mut [Marks; 2]) {
    let end_of = |entries: &[Entry<'_>]| entries.last().map_or(0, |e| e.span.end);
    let start_of = |entries: &[Entry<'_>]| entries.first().map_or(0, |e| e.span.start);
    let [a, b] = states;
    words(lines, [0..start_of(a), 0..start_of(b)], marks);
    for entry in a {
        match b.iter().find(|other| other.name == entry.name) {
            Some(other) if (other.value, other.marks) == (entry.value, entry.marks) => {}
            Some(other) => {
                marks[0].entries.push(entry.span.clone());
                marks[1].entries.push(other.span.clone());
                words(lines, [entry.span.clone(), other.span.clone()], marks);
            }
            None => marks[0].words.push(entry.span.clone()),
        }
    }
    let missing = b.iter().filter(|other| a.iter().all(|entry| entry.name != other.name));
    marks[1].words.extend(missing.map(|other| other.span.clone()));
    words(lines, [end_of(a)..lines[0].len(), end_of(b)..lines[1].len()], marks);
    for marks in marks {
        marks.entries.sort_by_key(|range| range.start);
        marks.words.sort_by_key(|range| range.start);
    }
}

/// Words, and everything else character by character; `R1_w` has the mark `w`, so that `_` parts words.
fn tokens(line: &str, within: Range<usize>) -> Vec<Range<usize>> {
    let mut tokens: Vec<Range<usize>> = Vec::new();
    let is_word = char::is_alphanumeric;
    let mut in_word = false;
    for (at, c) in line[within.clone()].char_indices() {
        let range = within.start + at..within.start + at + c.len_utf8();
        match tokens.last_mut() {
            Some(last) if in_word && is_word(c) => last.end = range.end,
            _ => tokens.push(range),
        }
        in_word = is_word(c);
    }
    tokens
}

/// Marks the words that differ between a stretch of each line.
fn words(lines: [&str; 2], within: [Range<usize>; 2], marks: &mut [Marks; 2]) {
    let [a, b] = lines;
    if a[within[0].clone()] == b[within[1].clone()] {
        return;
    }
    let ranges = [tokens(a, within[0].clone()), tokens(b, within[1].clone())];
    let texts = |at: usize| ranges[at].iter().map(|r| &lines[at][r.clone()]).collect::<Vec<&str>>();
    let (old, new) = (texts(0), texts(1));
    for stretch in stretches(&old, &new).into_iter().filter(|s| !s.equal) {
        for (at, tokens) in [(0, stretch.a), (1, stretch.b)] {
            if !tokens.is_empty() {
                let (first, last) = (&ranges[at][tokens.start], &ranges[at][tokens.end - 1]);
                marks[at].words.push(first.start..last.end);
            }
        }
    }
}

/// The line in HTML: `mark` for registers, `b` for words.
fn html(line: &str, marks: &Marks) -> String {
    let mut out = String::with_capacity(line.len() + 32);
    let within = |ranges: &[Range<usize>], at: usize| ranges.iter().any(|r| r.contains(&at));
    let mut edges: Vec<usize> = marks
        .entries
        .iter()
        .chain(&marks.words)
        .flat_map(|r| [r.start, r.end])
        .chain([0, line.len()])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let mut in_entry = false;
    for pair in edges.windows(2) {
        let [from, to] = [pair[0], pair[1]];
        let entry = within(&marks.entries, from);
        if entry != in_entry {
            out.push_str(if entry { "<mark>" } else { "</mark>" });
            in_entry = entry;
        }
        let text = escaped(&line[from..to]);
        let _ = match within(&marks.words, from) {
            true => write!(out, "<b>{text}</b>"),
            false => write!(out, "{text}"),
        };
    }
    if in_entry {
        out.push_str("</mark>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_words_and_registers_are_marked() {
        let (a, b) = marked("R1 !read_ok", "R2 !read_ok");
        assert_eq!((a.as_str(), b.as_str()), ("<b>R1</b> !read_ok", "<b>R2</b> !read_ok"));
        let (a, b) =
            marked("1: R0=0 R1=scalar(umax=255) R6=<x>", "1: R0=0 R1=scalar(umax=255,smin=0) fp-8=m");
        assert_eq!(a, "1: R0=0 <mark>R1=scalar(umax=255)</mark> <b>R6=&lt;x&gt;</b>");
        assert_eq!(b, "1: R0=0 <mark>R1=scalar(umax=255<b>,smin=0</b>)</mark> <b>fp-8=m</b>");
        let (a, b) = marked("2: (bf) r1 = r2 ; R1_w=5", "2: (bf) r1 = r3 ; R1=5 cb");
        assert_eq!(a, "2: (bf) r1 = <b>r2</b> ; <mark>R1<b>_w</b>=5</mark>");
        assert_eq!(b, "2: (bf) r1 = <b>r3</b> ; <mark>R1=5</mark><b> cb</b>");
        let (a, b) = marked("é", "");
        assert_eq!((a.as_str(), b.as_str()), ("<b>é</b>", ""));
        let long = "a ".repeat(2000);
        let (a, _) = marked(&format!("{long}x"), &format!("{long}y"));
        assert!(a.ends_with(" <b>x</b>"), "{a}");
    }
}
