// SPDX-License-Identifier: GPL-2.0-only
//! Bugs that verifiers had, planted in ours one at a time: a campaign of generated programs, whose runs are followed along
//! the verifier's states, must find each. `cargo test --release -p skep-soundness --features planted --test planted`
//! prints how soon it did; `SKEP_SECONDS` says how long it may look for one (600).
#![cfg(feature = "planted")]

use std::time::{Duration, Instant};

use skep_program::Object;
use skep_smith::{Random, Smith, patch};
use skep_soundness::{Effort, Failure, check};
use skep_verifier::{Options, Planted, plant};

const EFFORT: Effort = Effort { runs: 3, steps: 600 };

/// Whether a run leaves what the verifier, with this bug, says of an object.
fn leaves(bug: Option<Planted>, object: &Object, options: &Options, seed: u64) -> bool {
    plant(bug);
    let result = check(object, options, EFFORT, &mut Random::new(seed));
    plant(None);
    matches!(result, Err(Failure::Violation(_)))
}

/// How long it takes to find a bug, in how many programs. What is found without it as well does not count.
fn find(bug: Planted, limit: Duration) -> Option<(Duration, u64)> {
    let start = Instant::now();
    let mut smith = Smith::new(Random::new(1), Options::default());
    for programs in 1.. {
        if start.elapsed() > limit {
            break;
        }
        plant(Some(bug));
        let made = smith.make();
        plant(None);
        if !made.accepted() {
            continue;
        }
        let object = Object::single(patch::with_used_maps(&made.program));
        let options = Options { caps: made.caps, ..Options::default() };
        if leaves(Some(bug), &object, &options, programs) && !leaves(None, &object, &options, programs) {
            return Some((start.elapsed(), programs));
        }
    }
    None
}

#[test]
fn every_bug_is_found() {
    let seconds = std::env::var("SKEP_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        if std::env::var("SKEP_BUG").is_ok_and(|name| !name.split(',').any(|n| n == format!("{bug:?}"))) {
            continue;
        }
        match find(bug, Duration::from_secs(seconds)) {
            Some((took, programs)) => {
                println!("{bug:?}: found in {:.2} s, {programs} programs", took.as_secs_f64());
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found in {seconds} s each: {missed:?}");
}
