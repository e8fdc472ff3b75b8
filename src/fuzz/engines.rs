// SPDX-License-Identifier: GPL-2.0-only
//! Runs as oracles: interpreter and machine code must do the same, and what runs must stay inside of what the verifier
//! explored.

use skep_compare::engines_differ;
use skep_program::Object;
use skep_smith::{Made, Random, patch};
use skep_soundness::{Effort, Failure as Unsound, Given, check};
use skep_verifier::Options;

use super::oracle::{Counts, Difference, Oracle, without_numbers};
use crate::report::Result;

/// Instructions that a run may take.
const BUDGET: u64 = 4_000;
/// Runs that are followed, for each program.
const EFFORT: Effort = Effort { runs: 3, steps: 600 };
/// Letters of a difference's nature.
const NATURE: usize = 120;

/// Choices of inputs that follow from the program, so that they are the same again.
fn choices(made: &Made) -> Random<'static> {
    let mix = |sum: u64, insn: &skep_isa::Insn| {
        (sum.rotate_left(9) ^ u64::from_le_bytes(insn.to_bytes())).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    Random::new(made.program.insns.iter().fold(0, mix))
}

/// Interpreter and JIT on every accepted program.
#[derive(Debug, Default)]
pub struct Engines {
    counts: Counts,
}

impl Oracle for Engines {
    fn name(&self) -> String {
        "runs of accepted programs: interpreter against JIT".to_owned()
    }

    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()> {
        for (at, made) in programs.iter().enumerate().filter(|(_, made)| made.accepted()) {
            let program = patch::with_used_maps(&made.program);
            let given = Given::new(program.prog_type, &mut choices(made));
            self.counts.compared += 1;
            if let Some(text) = engines_differ(&Object::single(program), given.as_input(), BUDGET) {
                let first: String = without_numbers(&text).chars().take(NATURE).collect();
                found(at, Difference::new(format!("engines: {first}"), text));
            }
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

/// Runs of accepted programs, followed along the states that the verifier explored.
#[derive(Debug)]
pub struct States {
    options: Options,
    counts: Counts,
}

impl States {
    /// With these options of the verifier.
    pub fn new(options: &Options) -> States {
        States { options: options.clone(), counts: Counts::default() }
    }
}

impl Oracle for States {
    fn name(&self) -> String {
        "runs of accepted programs: inside of the verifier's states at every instruction".to_owned()
    }

    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()> {
        for (at, made) in programs.iter().enumerate().filter(|(_, made)| made.accepted()) {
            let object = Object::single(patch::with_used_maps(&made.program));
            let options = Options { caps: made.caps, ..self.options.clone() };
            match check(&object, &options, EFFORT, &mut choices(made)) {
                Ok(_) => self.counts.compared += 1,
                Err(Unsound::Skipped(_)) => self.counts.unanswered += 1,
                Err(Unsound::Violation(violation)) => {
                    self.counts.compared += 1;
                    let nature: String = without_numbers(&violation.what).chars().take(NATURE).collect();
                    found(at, Difference::new(format!("states: {nature}"), violation.to_string()));
                }
            }
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
