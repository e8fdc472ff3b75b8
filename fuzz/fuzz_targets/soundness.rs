// SPDX-License-Identifier: GPL-2.0-only
//! Bytes as the choices that make a program and its inputs: where the verifier accepts it, every run stays inside of the
//! states that the verifier explored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_soundness::{Effort, Failure, Random, check_generated};

/// For each program.
const EFFORT: Effort = Effort { runs: 4, steps: 400 };

fuzz_target!(|bytes: &[u8]| {
    if let (program, Err(Failure::Violation(violation))) =
        check_generated(&mut Random::from_bytes(bytes), EFFORT)
    {
        panic!("{violation}\n{:#?}", program.insns);
    }
});
