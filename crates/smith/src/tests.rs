// SPDX-License-Identifier: GPL-2.0-only

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn smith(seed: u64) -> Smith<'static> {
    Smith::new(Random::new(seed), Options::default())
}

#[test]
fn a_seed_gives_the_same_programs() {
    let (mut a, mut b) = (smith(7), smith(7));
    for _ in 0..300 {
        assert_eq!(a.make().program, b.make().program);
    }
}

/// The goal: of programs that were not mutated, 60 per cent are accepted.
#[test]
fn most_programs_are_accepted() {
    let mut smith = smith(1);
    let mut by_feature: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut types = BTreeSet::new();
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    let (mut made, mut accepted, mut len) = (0, 0, 0);
    for _ in 0..8_000 {
        let one = smith.make();
        if one.mutated {
            continue;
        }
        made += 1;
        len += one.program.insns.len();
        accepted += u32::from(one.accepted());
        types.insert(one.program.prog_type);
        let name = one.feature.map_or("start", |at| FEATURES[at].name);
        let row = by_feature.entry(name).or_default();
        row.0 += 1;
        row.1 += u32::from(one.accepted());
        if !one.accepted() && std::env::var_os("SKEP_SHOW").is_some() {
            let options = Options { caps: one.caps, log_level: 1, ..Options::default() };
            if let Outcome::Answer { log, .. } = skep_verifier::verify(&one.program, &options) {
                let line = log.lines().rev().find(|line| !line.starts_with("processed"));
                let line: String = line.unwrap_or("").chars().filter(|c| !c.is_ascii_digit()).collect();
                *reasons.entry(format!("{name}: {line}")).or_default() += 1;
            }
        }
    }
    for (name, (made, accepted)) in &by_feature {
        println!("{name:30} {made:6} {:5.1} %", 100.0 * f64::from(*accepted) / f64::from(*made));
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons.iter().take(60) {
        println!("{count:6} {reason}");
    }
    println!("{accepted} of {made} accepted, {} slots, {} types", len / made as usize, types.len());
    assert!(f64::from(accepted) / f64::from(made) > 0.6);
    assert!(types.len() >= 20);
    for feature in FEATURES {
        assert!(by_feature.get(feature.name).is_some_and(|row| row.1 > 0), "{}", feature.name);
    }
}
