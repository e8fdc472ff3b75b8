// SPDX-License-Identifier: GPL-2.0-only
//! Programs that are there anyway are followed: the examples, and those that kernels were recorded to accept.
//!
//! `SKEP_CASES` names a directory with more records, `*.jsonl` or `*.jsonl.xz`, of which `SKEP_CASES_STEP` takes every
//! n-th case (default 10).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use skep_program::{Case, Object};
use skep_soundness::{Checked, Effort, Failure, NotExplored, Random, Skipped, check};
use skep_verifier::{Caps, Options};

/// For one program.
const EFFORT: Effort = Effort { runs: 10, steps: 2_000 };

/// What the checks come to.
#[derive(Default)]
struct Tally {
    programs: usize,
    runs: usize,
    steps: u64,
    skipped: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, id: &str, result: Result<Checked, Failure>) {
        match result {
            Ok(Checked { runs, steps, .. }) => {
                self.programs += 1;
                self.runs += runs;
                self.steps += steps;
            }
            Err(Failure::Skipped(why)) => {
                let why = match why {
                    Skipped::NotExplored(NotExplored::Rejected(_)) => "rejected".to_owned(),
                    other => other.to_string(),
                };
                *self.skipped.entry(why).or_default() += 1;
            }
            Err(Failure::Violation(violation)) => self.wrong.push(format!("{id}: {violation}")),
        }
    }

    /// Fails where anything was wrong, or nothing was checked.
    fn end(self, what: &str) {
        for (why, count) in &self.skipped {
            println!("SKIP: {what}: {count}: {why}");
        }
        println!("{what}: {} programs, {} runs, {} steps", self.programs, self.runs, self.steps);
        assert!(self.wrong.is_empty(), "{} violations:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert!(self.steps > 0, "nothing was checked");
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(dir: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let fits = |p: &PathBuf| ends.iter().any(|end| p.to_string_lossy().ends_with(end));
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(fits).collect();
    files.sort();
    files
}

fn text(file: &Path) -> String {
    let bytes = if file.extension().is_some_and(|e| e == "xz") {
        let output = Command::new("xz").arg("-dc").arg(file).output().expect("xz runs");
        assert!(output.status.success(), "xz cannot read {}", file.display());
        output.stdout
    } else {
        std::fs::read(file).expect("readable")
    };
    String::from_utf8(bytes).expect("UTF-8")
}

fn check_cases(file: &Path, step: usize, tally: &mut Tally) {
    for case in Case::parse_all(&text(file)).expect("a case file").into_iter().step_by(step) {
        let caps = Caps::from_name(&case.caps).expect("one of the known sets");
        let options = Options { caps, ..Options::default() };
        let object = Object::single(case.program);
        tally.add(&case.id, check(&object, &options, EFFORT, &mut Random::new(1)));
    }
}

#[test]
fn examples() {
    let mut tally = Tally::default();
    for file in files(&repository().join("examples"), &[".s"]) {
        let Ok(object) = skep_asm::assemble(&text(&file), &skep_asm::Options::default()) else { continue };
        for index in 0..object.programs.len() {
            let object = object.reduced_to(index);
            let id = format!("{} {}", file.display(), object.programs[0].name);
            tally.add(
                &id,
                check(&object, &Options::default(), Effort { runs: 100, ..EFFORT }, &mut Random::new(1)),
            );
        }
    }
    tally.end("examples");
}

#[test]
fn recorded() {
    let mut tally = Tally::default();
    for file in files(&repository().join("tests/recorded/6.18"), &[".jsonl"]) {
        check_cases(&file, 1, &mut tally);
    }
    tally.end("recorded");
}

#[test]
fn more_recorded() {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        println!("SKIP: SKEP_CASES is not set");
        return;
    };
    let step = std::env::var("SKEP_CASES_STEP").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut tally = Tally::default();
    for file in files(Path::new(&dir), &[".jsonl", ".jsonl.xz"]) {
        check_cases(&file, step, &mut tally);
    }
    tally.end("more recorded");
}
