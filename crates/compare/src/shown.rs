// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of any number of backends to one request, side by side.

use skep_kernel_load::{NoAnswer, Observation, Request};

use crate::compare;
use crate::report::Report;

/// A backend and what it answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The backend, for instance `uml:6.1 6.1.176`.
    pub name: &'a str,
    /// Its answer.
    pub answer: Result<&'a Observation, &'a NoAnswer>,
}

/// Two answers compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Index of the first answer: the one that is compared with.
    pub a: usize,
    /// Index of the second.
    pub b: usize,
    /// What differs.
    pub report: Report,
}

/// The answers to one request, and what differs between them.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// Name of the case.
    pub id: &'a str,
    /// What was asked.
    pub request: &'a Request,
    /// The answers, in the caller's order.
    pub answers: Vec<Answer<'a>>,
    /// The comparisons, in the order of the answers.
    pub comparisons: Vec<Comparison>,
}

impl<'a> Shown<'a> {
    /// Compares each answer with the first. Where the first gives no verdict, as an engine that only runs programs,
    /// the others are compared with the first that does, too.
    #[must_use]
    pub fn new(id: &'a str, request: &'a Request, answers: Vec<Answer<'a>>) -> Shown<'a> {
        let with = |index: usize| answers[index].answer.ok();
        let answered: Vec<usize> = (0..answers.len()).filter(|&i| with(i).is_some()).collect();
        let has_verdicts = |&i: &usize| with(i).is_some_and(|o| !o.verdicts.is_empty());
        let mut references: Vec<usize> = answered.first().copied().into_iter().collect();
        references.extend(answered.iter().copied().find(has_verdicts).filter(|i| !references.contains(i)));
        // One that does not verify and one that does not run have nothing in common.
        let comparable = |&(a, b): &(usize, usize)| {
            let silent = |i| with(i).is_some_and(|o| o.not_run.is_some());
            (has_verdicts(&a) && has_verdicts(&b)) || !(silent(a) || silent(b))
        };
        let pairs = references.iter().flat_map(|&a| answered.iter().map(move |&b| (a, b)));
        let comparisons = pairs
            .filter(|(a, b)| a < b)
            .filter(comparable)
            .filter_map(|(a, b)| {
                let report = compare(request, with(a)?, with(b)?);
                Some(Comparison { a, b, report })
            })
            .collect();
        Shown { id, request, answers, comparisons }
    }

    /// Whether every backend answered.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answers.iter().all(|a| a.answer.is_ok())
    }

    /// Whether nothing differs between those that answered.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.comparisons.iter().all(|c| c.report.is_equal())
    }
}
