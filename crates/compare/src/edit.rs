// SPDX-License-Identifier: MIT OR Apache-2.0
//! What two sequences have in common, and where they differ: a longest common subsequence of short ones, the common
//! start and end of long ones.

use std::ops::Range;

/// Elements of both, of which a table is made: more would take too much memory and time.
const CELLS: usize = 20 << 20;

/// A stretch of both sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// It is the same in both.
    pub equal: bool,
    /// Where it is in the first; may be empty where it differs.
    pub a: Range<usize>,
    /// Where it is in the second.
    pub b: Range<usize>,
}

/// The stretches of two sequences, in order; equal ones and others take turns.
pub(crate) fn stretches<T: PartialEq>(a: &[T], b: &[T]) -> Vec<Stretch> {
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (rest_a, rest_b) = (&a[start..], &b[start..]);
    let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (mid_a, mid_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
    let mut found = Found::default();
    found.push(true, start, start);
    if mid_a.len().saturating_mul(mid_b.len()) > CELLS {
        found.push(false, mid_a.len(), mid_b.len());
    } else {
        for one in diff::slice(mid_a, mid_b) {
            match one {
                diff::Result::Left(_) => found.push(false, 1, 0),
                diff::Result::Right(_) => found.push(false, 0, 1),
                diff::Result::Both(..) => found.push(true, 1, 1),
            }
        }
    }
    found.push(true, end, end);
    found.stretches
}

#[derive(Default)]
struct Found {
    stretches: Vec<Stretch>,
    a: usize,
    b: usize,
}

impl Found {
    fn push(&mut self, equal: bool, a: usize, b: usize) {
        if a + b == 0 {
            return;
        }
        let (from_a, from_b) = (self.a, self.b);
        (self.a, self.b) = (from_a + a, from_b + b);
        match self.stretches.last_mut() {
            Some(last) if last.equal == equal => (last.a.end, last.b.end) = (self.a, self.b),
            _ => self.stretches.push(Stretch { equal, a: from_a..self.a, b: from_b..self.b }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_take_turns_and_hold_everything_once() {
        let of = |a: &str, b: &str| {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            stretches(&a, &b).into_iter().map(|s| (s.equal, s.a, s.b)).collect::<Vec<_>>()
        };
        assert_eq!(of("abcd", "abxd"), [(true, 0..2, 0..2), (false, 2..3, 2..3), (true, 3..4, 3..4)]);
        assert_eq!(of("", "xy"), [(false, 0..0, 0..2)]);
        assert_eq!(of("same", "same"), [(true, 0..4, 0..4)]);
        assert_eq!(of("", ""), []);
        let long = vec![1; 5000];
        assert_eq!(stretches(&long, &vec![2; 5000]), [Stretch { equal: false, a: 0..5000, b: 0..5000 }]);
    }
}
