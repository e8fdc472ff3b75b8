// SPDX-License-Identifier: GPL-2.0-only
//! Bytes as the choices by which programs grow along the verifier's states: what is accepted runs the same in both engines,
//! and inside of what the verifier explored.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use skep_compare::engines_differ;
use skep_program::Object;
use skep_smith::{Random, Smith, patch};
use skep_soundness::{Effort, Failure, Given, check};
use skep_verifier::Options;

/// Programs for each input.
const PROGRAMS: usize = 12;
const EFFORT: Effort = Effort { runs: 2, steps: 400 };

/// What is allowed is found out once.
static SMITH: OnceLock<Smith<'static>> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let first = SMITH.get_or_init(|| Smith::new(Random::new(0), Options::default()));
    let mut smith = first.with_random(Random::from_bytes(bytes));
    let mut random = Random::from_bytes(bytes);
    for _ in 0..PROGRAMS {
        let made = smith.make();
        if !made.accepted() {
            continue;
        }
        let object = Object::single(patch::with_used_maps(&made.program));
        let given = Given::new(made.program.prog_type, &mut random);
        let difference = engines_differ(&object, given.as_input(), 2_000);
        assert!(difference.is_none(), "{}", difference.unwrap_or_default());
        let options = Options { caps: made.caps, ..Options::default() };
        if let Err(Failure::Violation(violation)) = check(&object, &options, EFFORT, &mut random) {
            panic!("{violation}\n{:#?}", made.program.insns);
        }
    }
});
