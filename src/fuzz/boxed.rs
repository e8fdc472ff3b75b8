// SPDX-License-Identifier: GPL-2.0-only
//! A boxed kernel as an oracle: one guest for each worker, which goes on through the campaign. A guest that goes down or
//! hangs is a finding.

use std::sync::{Arc, Mutex, PoisonError};

use skep_kernel_load::{BoxKernel, BoxOptions, Boxed, Caps, Counters, NoAnswer, Observation, Request};
use skep_program::{Object, Program};
use skep_smith::{Made, Smith, patch};
use skep_uapi::Errno;
use skep_verifier::Options;

use super::oracle::{Counts, Difference, Oracle, leave_out_what_is_missing, without_numbers};
use super::ours::{LEVEL1, Ours};
use crate::report::{Failure, Result};

/// Programs asked at once: a round trip takes as long as some answers.
const BATCH: usize = 256;

/// Asks a guest.
pub struct Guest {
    name: String,
    boxed: Boxed,
    ours: Ours,
    counts: Counts,
    /// Where the lines that its kernel has reached go at the end, if it counts them.
    reached: Option<Arc<Mutex<Counters>>>,
}

impl Guest {
    /// Boots a guest. With `logs`, whole logs are compared. A kernel that counts what it reaches adds it to `reached`.
    pub fn new(
        kernel: BoxKernel,
        how: BoxOptions,
        options: &Options,
        logs: bool,
        reached: &Arc<Mutex<Counters>>,
    ) -> Result<Guest> {
        let name = kernel.name();
        let reached = how.coverage.then(|| Arc::clone(reached));
        let boxed = Boxed::start(kernel, how).map_err(Failure::new)?;
        Ok(Guest { name, boxed, ours: Ours::new(options, logs), counts: Counts::default(), reached })
    }

    /// What the kernel lacks by its configuration, or its release, taken from what is generated.
    pub fn leave_out_what_is_missing(&mut self, smith: &mut Smith<'_>) -> Result<()> {
        leave_out_what_is_missing(smith, &|_| true, &mut |programs| {
            let request =
                |program: &Program| Request::new(&Object::single(patch::with_used_maps(program)), 0, LEVEL1);
            let mut requests = programs.iter().map(request).enumerate();
            let mut answers = vec![None; programs.len()];
            let mut keep = |at: usize, answer: std::result::Result<Observation, NoAnswer>| {
                let verdict = answer.ok().and_then(|observation| observation.verdicts.into_iter().next());
                answers[at] = verdict.filter(|v| !v.accepted).map(|verdict| verdict.log);
            };
            self.boxed.ask_all(&mut || requests.next(), &mut keep).map_err(Failure::new)?;
            Ok(answers)
        })
    }

    fn request(&self, made: &Made) -> Request {
        let object = Object::single(patch::with_used_maps(&made.program));
        Request {
            caps: Caps::from_name(made.caps_name).unwrap_or_default(),
            ..Request::new(&object, 0, self.ours.level())
        }
    }

    fn compare(
        &mut self,
        made: &Made,
        answer: &std::result::Result<Observation, NoAnswer>,
    ) -> Option<Difference> {
        let observation = match answer {
            Ok(observation) => observation,
            Err(NoAnswer::Finding(finding)) => {
                self.counts.compared += 1;
                let last = finding.console.lines().rev().find(|line| !line.trim().is_empty());
                let nature = format!("{:?}: {}", finding.kind, without_numbers(last.unwrap_or_default()));
                return Some(Difference { costly: true, ..Difference::new(nature, finding.to_string()) });
            }
            Err(_) => {
                self.counts.unanswered += 1;
                return None;
            }
        };
        let Some(theirs) = observation.verdict() else {
            self.counts.unanswered += 1;
            return None;
        };
        self.counts.compared += 1;
        let said = if theirs.accepted { Ok(()) } else { Err(theirs.errno.unwrap_or(Errno::EINVAL)) };
        // What is rejected without a log was asked again with one.
        self.ours.compare(made, said, &theirs.log, || theirs.log.clone())
    }
}

impl Oracle for Guest {
    fn name(&self) -> String {
        format!("{} against {}, Linux {}", self.ours.what(), self.name, self.boxed.release())
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()> {
        let requests: Vec<Request> = programs.iter().map(|made| self.request(made)).collect();
        let mut answers = Vec::with_capacity(programs.len());
        let mut next = requests.into_iter().enumerate();
        self.boxed
            .ask_all(&mut || next.next(), &mut |at, answer| answers.push((at, answer)))
            .map_err(Failure::new)?;
        for (at, answer) in answers {
            if let Some(difference) = self.compare(&programs[at], &answer) {
                found(at, difference);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Some(reached) = &self.reached else { return Ok(()) };
        let counters = self.boxed.coverage().map_err(Failure::new)?;
        reached.lock().unwrap_or_else(PoisonError::into_inner).extend(counters);
        Ok(())
    }

    /// A question alone takes as long as many.
    fn questions(&self) -> usize {
        400
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
