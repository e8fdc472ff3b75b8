// SPDX-License-Identifier: GPL-2.0-only
//! A campaign: programs are made in portions, each of a seed of its own, by as many workers as asked for, and put
//! before an oracle each. What is found is told once by its nature, made small, and written down. A campaign that is
//! broken off goes on where it was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use skep_program::Program;
use skep_smith::{FEATURES, Made, Random, Smith, minimize, patch};

use super::found::Folder;
use super::oracle::{Counts, Difference, Oracle};
use crate::report::{Result, spinner};

/// Programs of one seed.
const PORTION: u64 = 1024;
/// Odd, so that portions of campaigns with other seeds are other portions.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// How long, and on what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the choices start.
    pub seed: u64,
    /// Programs, at most.
    pub programs: u64,
    /// Time, at most.
    pub time: Option<Duration>,
    /// Workers.
    pub jobs: usize,
}

/// Programs of one kind of statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Made.
    pub made: u64,
    /// Accepted by our verifier.
    pub accepted: u64,
}

impl Row {
    fn add(&mut self, accepted: bool) {
        self.made += 1;
        self.accepted += u64::from(accepted);
    }
}

/// Something found, by its nature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How often.
    pub count: u64,
    /// The difference of the program written down.
    pub text: String,
    /// Name of the files in the campaign's folder, where there is one.
    pub file: Option<String>,
    /// The smallest program that shows it, as text.
    pub program: String,
    /// Capabilities it was loaded with.
    pub caps: String,
}

/// What a campaign has come to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Portions begun, in order of their seeds.
    pub portions: u64,
    /// Programs made as they are, by what is new in them.
    pub features: BTreeMap<String, Row>,
    /// Programs with one thing changed.
    pub mutated: Row,
    /// By type of program.
    pub types: BTreeMap<String, Row>,
    /// What was found, by nature.
    pub findings: BTreeMap<String, Finding>,
}

impl State {
    /// Programs made as they are.
    pub fn plain(&self) -> Row {
        self.features.values().fold(Row::default(), |sum, row| Row {
            made: sum.made + row.made,
            accepted: sum.accepted + row.accepted,
        })
    }

    fn count(&mut self, made: &Made) {
        let accepted = made.accepted();
        if made.mutated {
            self.mutated.add(accepted);
        } else {
            let name = made.feature.map_or("start", |at| FEATURES[at].name);
            self.features.entry(name.to_owned()).or_default().add(accepted);
        }
        self.types.entry(made.program.prog_type.to_string()).or_default().add(accepted);
    }

    fn join(&mut self, other: &State) {
        let add = |row: &mut Row, more: &Row| {
            row.made += more.made;
            row.accepted += more.accepted;
        };
        for (name, row) in &other.features {
            add(self.features.entry(name.clone()).or_default(), row);
        }
        for (name, row) in &other.types {
            add(self.types.entry(name.clone()).or_default(), row);
        }
        add(&mut self.mutated, &other.mutated);
    }
}

/// A campaign under way, as its workers share it.
struct Shared<'a> {
    plan: &'a Plan,
    smith: &'a Smith<'static>,
    first: u64,
    next: AtomicU64,
    made: AtomicU64,
    start: Instant,
    state: Mutex<State>,
    folder: Option<&'a Folder>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// What was compared.
    pub name: String,
    /// The campaign's state, what it had come to before included.
    pub state: State,
    /// Programs of this session.
    pub made: u64,
    /// Time of this session.
    pub took: Duration,
    /// What the oracles did in it.
    pub counts: Counts,
}

/// Runs a campaign that has come to `state` with oracles that `open` makes, one for each worker.
pub fn run(
    plan: &Plan,
    smith: &Smith<'static>,
    state: State,
    folder: Option<&Folder>,
    open: &(dyn Fn() -> Result<Box<dyn Oracle>> + Sync),
) -> Result<Done> {
    let shared = Shared {
        plan,
        smith,
        first: state.portions,
        next: AtomicU64::new(0),
        made: AtomicU64::new(0),
        start: Instant::now(),
        state: Mutex::new(state),
        folder,
    };
    let shown = spinner();
    let worked = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..plan.jobs.max(1)).map(|_| scope.spawn(|| work(&shared, open, &shown))).collect();
        workers.into_iter().try_fold((String::new(), Counts::default()), |(_, sum), worker| {
            // A worker that panics has found something too.
            let worked = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            worked.map(|(name, counts)| (name, sum.and(counts)))
        })
    });
    shown.finish_and_clear();
    let state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = folder {
        folder.save(&state)?;
    }
    let (name, counts) = worked?;
    Ok(Done { name, state, made: shared.made.into_inner(), took: shared.start.elapsed(), counts })
}

/// One worker; what its oracle compares, and how much.
fn work(
    shared: &Shared<'_>,
    open: &(dyn Fn() -> Result<Box<dyn Oracle>> + Sync),
    shown: &indicatif::ProgressBar,
) -> Result<(String, Counts)> {
    let mut oracle = open()?;
    let plan = shared.plan;
    while let Some(portion) = next_portion(shared) {
        let seed = plan.seed.wrapping_add((shared.first + portion).wrapping_mul(STRIDE));
        let mut smith = shared.smith.with_random(Random::new(seed));
        let mut left = PORTION.min(plan.programs - portion * PORTION);
        let mut local = State::default();
        while left > 0 && !is_late(shared) {
            let count = left.min(oracle.batch() as u64);
            let programs: Vec<Made> = (0..count).map(|_| smith.make()).collect();
            left -= count;
            programs.iter().for_each(|made| local.count(made));
            let mut found = Vec::new();
            oracle.judge(&programs, &mut |at, difference| found.push((at, difference)))?;
            for (at, difference) in found {
                report(shared, oracle.as_mut(), &programs[at], &difference)?;
            }
            let made = shared.made.fetch_add(count, Ordering::Relaxed) + count;
            tell(shared, shown, made);
        }
        let mut state = lock(shared);
        state.join(&local);
        state.portions = state.portions.max(shared.first + portion + 1);
        if let Some(folder) = shared.folder {
            folder.save(&state)?;
        }
    }
    oracle.finish()?;
    Ok((oracle.name(), oracle.counts()))
}

fn lock<'s>(shared: &'s Shared<'_>) -> std::sync::MutexGuard<'s, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_late(shared: &Shared<'_>) -> bool {
    shared.plan.time.is_some_and(|time| shared.start.elapsed() >= time)
}

fn next_portion(shared: &Shared<'_>) -> Option<u64> {
    let portion = shared.next.fetch_add(1, Ordering::Relaxed);
    (!is_late(shared) && portion.saturating_mul(PORTION) < shared.plan.programs).then_some(portion)
}

/// Shows how it goes.
fn tell(shared: &Shared<'_>, shown: &indicatif::ProgressBar, made: u64) {
    if shown.is_hidden() {
        return;
    }
    let rate = made as f64 / shared.start.elapsed().as_secs_f64();
    let state = lock(shared);
    let plain = state.plain();
    let share = 100.0 * plain.accepted as f64 / plain.made.max(1) as f64;
    shown.set_message(format!(
        "{made} programs, {rate:.0} a second, {share:.0} % accepted, {} findings",
        state.findings.len()
    ));
}

/// Writes down what is new.
fn report(shared: &Shared<'_>, oracle: &mut dyn Oracle, made: &Made, difference: &Difference) -> Result<()> {
    {
        let mut state = lock(shared);
        if let Some(known) = state.findings.get_mut(&difference.nature) {
            known.count += 1;
            return Ok(());
        }
        // The others count it from now on, while it is made small.
        let finding = Finding {
            count: 1,
            text: difference.text.clone(),
            file: None,
            program: String::new(),
            caps: made.caps_name.to_owned(),
        };
        state.findings.insert(difference.nature.clone(), finding);
    }
    let (small, text) = smallest(shared.smith, oracle, made, difference);
    let small = patch::with_used_maps(&small);
    let listing = super::found::listing(&small);
    let file = match shared.folder {
        Some(folder) => Some(folder.write(&small, made.caps_name, &difference.nature, &text, &listing)?),
        None => None,
    };
    let mut state = lock(shared);
    if let Some(finding) = state.findings.get_mut(&difference.nature) {
        finding.text = text;
        finding.file = file;
        finding.program = listing;
    }
    Ok(())
}

/// The smallest program found with a difference of this nature, and the difference.
fn smallest(
    smith: &Smith<'_>,
    oracle: &mut dyn Oracle,
    made: &Made,
    difference: &Difference,
) -> (Program, String) {
    let mut text = difference.text.clone();
    if difference.costly {
        return (made.program.clone(), text);
    }
    let small = minimize(&made.program, oracle.questions(), &mut |candidate| {
        let Some(judged) = smith.judged(candidate, made.caps, made.caps_name) else { return false };
        let mut same = false;
        let asked = oracle.judge(&[judged], &mut |_, other| {
            if other.nature == difference.nature {
                same = true;
                text = other.text;
            }
        });
        asked.is_ok() && same
    });
    (small, text)
}
