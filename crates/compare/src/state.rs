// SPDX-License-Identifier: MIT OR Apache-2.0
//! Register and stack states in lines of a verifier log (`print_verifier_state`), and what differs between two.

use std::ops::Range;

use serde::Serialize;

/// A register, a stack slot, or the acquired references in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'l> {
    /// `R1`, `fp-8`, `refs`.
    pub name: &'l str,
    /// Liveness as older releases mark it: `w` of `R1_w=5`.
    pub marks: &'l str,
    /// What is behind the `=`.
    pub value: &'l str,
    /// All of it in the line.
    pub span: Range<usize>,
}

/// A register or slot that two lines differ in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateDifference {
    /// `R1`, `fp-8`, `refs`.
    pub name: String,
    /// In the first line; `None` where it is not there.
    pub ours: Option<String>,
    /// In the second.
    pub theirs: Option<String>,
}

/// The name and the marks in front of a `=`.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, marks) = text.split_once('_').unwrap_or((text, ""));
    let digits = name.strip_prefix("fp-").or_else(|| name.strip_prefix('R'));
    let is_slot = digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    (is_slot || name == "refs").then_some((name, marks))
}

/// Where the word that starts at `from` ends: at the next blank outside of parentheses, which hold blanks
/// (`var_off=(0x0; 0xff)`).
fn word_end(line: &str, from: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in line.bytes().enumerate().skip(from) {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 => return at,
            _ => {}
        }
    }
    line.len()
}

/// The registers, stack slots and references in a line, in its order; empty for a line without a state.
#[must_use]
pub fn parse_state(line: &str) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    // A line of source is no state, whatever it holds.
    let mut at = if line.starts_with(';') { line.len() } else { 0 };
    while at < line.len() {
        let end = word_end(line, at);
        if let Some((before, value)) = line[at..end].split_once('=')
            && let Some((name, marks)) = name(before)
        {
            entries.push(Entry { name, marks, value, span: at..end });
        }
        at = end + 1;
    }
    entries
}

/// What differs between the states in two lines, in the order of the first; empty where one has none.
#[must_use]
pub fn state_differences(ours: &str, theirs: &str) -> Vec<StateDifference> {
    let (ours, theirs) = (parse_state(ours), parse_state(theirs));
    if ours.is_empty() || theirs.is_empty() {
        return Vec::new();
    }
    let mut differences = Vec::new();
    for a in &ours {
        let b = theirs.iter().find(|b| b.name == a.name);
        if b.is_none_or(|b| (a.value, a.marks) != (b.value, b.marks)) {
            let marked = b.is_some_and(|b| a.marks != b.marks);
            let text = |entry: &Entry<'_>| match marked {
                true if entry.marks.is_empty() => format!("{} (no marks)", entry.value),
                true => format!("{} (marks: {})", entry.value, entry.marks),
                false => entry.value.to_owned(),
            };
            differences.push(StateDifference {
                name: a.name.to_owned(),
                ours: Some(text(a)),
                theirs: b.map(text),
            });
        }
    }
    let missing = theirs.iter().filter(|b| ours.iter().all(|a| a.name != b.name));
    differences.extend(missing.map(|b| StateDifference {
        name: b.name.to_owned(),
        ours: None,
        theirs: Some(b.value.to_owned()),
    }));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(line: &str) -> Vec<(&str, &str, &str)> {
        parse_state(line).iter().map(|e| (e.name, e.marks, e.value)).collect()
    }

    #[test]
    fn states_of_all_releases_are_read() {
        assert_eq!(
            entries("12: (07) r1 += 1         ; R1_w=5 R2=scalar(umax=255,var_off=(0x0; 0xff)) refs=2,3"),
            [("R1", "w", "5"), ("R2", "", "scalar(umax=255,var_off=(0x0; 0xff))"), ("refs", "", "2,3")]
        );
        assert_eq!(
            entries(
                "from 3 to 7: frame1: R0=0 R10=fp0 fp-8=mmmmmmmm fp-16_rw=map_value(off=0,ks=4,vs=8,imm=0) cb"
            ),
            [
                ("R0", "", "0"),
                ("R10", "", "fp0"),
                ("fp-8", "", "mmmmmmmm"),
                ("fp-16", "rw", "map_value(off=0,ks=4,vs=8,imm=0)")
            ]
        );
        for line in
            ["5: safe", "; int x = R1=5", "3: (bf) r1 = r2", "R1 !read_ok", "", "x=(((", "regs=r1 stack=-8"]
        {
            assert_eq!(entries(line), [], "{line}");
        }
    }

    #[test]
    fn differing_registers_are_named() {
        let ours = "7: R0=0 R1=scalar(umax=255) R6=ctx() R10=fp0 fp-8=????mmmm";
        let theirs = "7: R0=0 R1=scalar(umax=255,smin=0) R6_w=ctx() R10=fp0 refs=2";
        let difference = |name: &str, ours: Option<&str>, theirs: Option<&str>| StateDifference {
            name: name.into(),
            ours: ours.map(Into::into),
            theirs: theirs.map(Into::into),
        };
        assert_eq!(
            state_differences(ours, theirs),
            [
                difference("R1", Some("scalar(umax=255)"), Some("scalar(umax=255,smin=0)")),
                difference("R6", Some("ctx() (no marks)"), Some("ctx() (marks: w)")),
                difference("fp-8", Some("????mmmm"), None),
                difference("refs", None, Some("2")),
            ]
        );
        assert_eq!(state_differences(ours, ours), []);
        assert_eq!(state_differences(ours, "R1 !read_ok"), []);
    }
}
