// SPDX-License-Identifier: GPL-2.0-only
//! Random programs that the verifier accepts stay inside of the states that it explored.
//!
//! The programs are the same every time. `SKEP_SOUNDNESS` is the first seed and how many follow, `FIRST,COUNT`, for more
//! of them or for one alone, which is printed.

use skep_soundness::{Effort, Failure, Random, check_generated};

/// Programs made.
const PROGRAMS: u64 = 1_000;
/// For each that is accepted.
const EFFORT: Effort = Effort { runs: 8, steps: 400 };

#[test]
fn random_programs() {
    let asked = std::env::var("SKEP_SOUNDNESS").ok();
    let (first, count) = asked.as_deref().map_or((0, PROGRAMS), |text| {
        let numbers = text.split_once(',').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        numbers.expect("SKEP_SOUNDNESS is FIRST,COUNT")
    });
    let (mut accepted, mut visits, mut runs, mut steps) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for seed in first..first + count {
        let (program, result) = check_generated(&mut Random::new(seed), EFFORT);
        if count == 1 {
            println!("{:#?}", program.insns);
        }
        match result {
            Ok(checked) => {
                accepted += 1;
                visits += checked.visits;
                runs += checked.runs;
                steps += checked.steps;
            }
            Err(Failure::Skipped(_)) => {}
            Err(Failure::Violation(violation)) => wrong.push(format!("seed {seed}: {violation}")),
        }
    }
    println!("{count} programs, {accepted} accepted, {visits} visits, {runs} runs, {steps} steps");
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked.is_some() || accepted > count / 3, "too few programs are accepted: {accepted}");
}
