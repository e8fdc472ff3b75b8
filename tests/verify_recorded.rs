// SPDX-License-Identifier: GPL-2.0-only
//! What kernels were recorded to say, held against skep's verifier: verdict, errno, message, and of the latest release
//! statistics and logs too (`docs/parity.md` says why not of the others). Addresses are masked. What is unsupported is
//! counted by name, and any difference fails.
//!
//! The records of `tests/recorded` are always there. `SKEP_CASES` names a directory with more, `*.jsonl` or
//! `*.jsonl.xz`, of which `SKEP_CASES_STEP` takes every n-th case (default 10).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use skep_compare::{Aspect, Observation, Request, compare, recorded};
use skep_kernel_load::Verdict as KernelVerdict;
use skep_program::Case;
use skep_verifier::{Caps, Options, Outcome, Profile, Verdict};

const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");

/// Marks of liveness in a state, which Linux 6.18 has no longer.
const MARKS: &str = "the last line of its log is a state with marks of liveness";

/// The recorder knew what it attaches to.
const TARGET: &str = "its attach target is not in the case file";

/// Programs that a release says something else of, for a reason (`docs/parity.md`); checked both ways.
const EXPLAINED: &[(&str, &str, &str)] = &[
    ("6.12", "endless_loop", MARKS),
    ("6.18", "progs612/c25723648081ff04/full/6.18", TARGET),
    (
        "6.18",
        "progs612/85f987219715fdd5/capbpf/6.18",
        "mitigations of the recorder's machine make it too large",
    ),
];

/// Case files of a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let is_cases = |p: &PathBuf| [".jsonl", ".jsonl.xz"].iter().any(|end| p.to_string_lossy().ends_with(end));
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_cases).collect();
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

/// The verifier's answer in the form of a kernel's, or the name of what it does not do.
fn ours(case: &Case, profile: Profile, log_level: u32) -> Result<KernelVerdict, String> {
    let caps = Caps::from_name(&case.caps).expect("a parsed case has one of the known sets");
    match skep_verifier::verify(&case.program, &Options { profile, caps, log_level, ..Options::default() }) {
        Outcome::Answer { verdict, log, .. } => {
            let result = match verdict {
                Verdict::Accept => Ok(()),
                Verdict::Reject(errno) => Err(errno),
            };
            Ok(KernelVerdict::new(result, log, ""))
        }
        Outcome::Unsupported(what) => Err(what),
    }
}

/// What the comparisons come to.
#[derive(Default)]
struct Tally {
    equal: usize,
    skipped: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn skip(&mut self, why: String) {
        *self.skipped.entry(why).or_default() += 1;
    }

    /// Compares with the record of a release in a line of a case file, if there is one.
    fn compare(&mut self, line: &str, release: &str) {
        let Some(recorded) = recorded(line, release).expect("a record") else { return };
        let profile = Profile::from_name(release).expect("a release with records has a profile");
        let latest = profile == Profile::LATEST;
        let mut case = Case::parse(line, 0).expect("a case");
        // Some records were made with maps that had no names.
        let logs = || recorded.observation.verdicts.iter().map(|verdict| &verdict.log);
        if logs().all(|log| !log.contains("(map=") && !log.contains(",map=")) {
            Arc::make_mut(&mut case.program.maps).iter_mut().for_each(|map| map.name.clear());
        }
        // Records of other releases differ in their logs, which one level tells as well as two.
        let levels = if latest { &recorded.levels[..] } else { &recorded.levels[..1] };
        let answers = levels.iter().map(|&level| ours(&case, profile, level)).collect::<Result<Vec<_>, _>>();
        let verdicts = match answers {
            Ok(verdicts) => verdicts,
            Err(what) => return self.skip(format!("unsupported: {what}")),
        };
        let no_target = "Tracing programs must provide btf_id";
        if verdicts[0].message == no_target && recorded.observation.verdicts[0].message != no_target {
            return self.skip(TARGET.to_owned());
        }
        let request = Request { levels: levels.to_vec(), ..Request::of_case(&case, 0) };
        let ours = Observation { verdicts, ..Observation::default() };
        let theirs = Observation { runs: Vec::new(), maps: Vec::new(), ..recorded.observation };
        let report = compare(&request, &ours, &theirs);
        let counts = |aspect: Aspect| latest || aspect <= Aspect::Message;
        let mut differences = String::new();
        for difference in report.differences.iter().filter(|d| counts(d.what.aspect())) {
            write!(differences, "\n  {difference:?}").expect("a string takes anything");
        }
        let explained = EXPLAINED.iter().find(|(of, id, _)| *of == release && *id == case.id);
        if let Some((_, _, why)) = explained {
            if differences.is_empty() {
                self.wrong.push(format!("{}: explained, and equal", case.id));
            }
            self.skip((*why).to_owned());
        } else if !differences.is_empty() {
            self.wrong.push(format!("{} ({}): {differences}", case.id, case.program.name));
        } else if let Some(skipped) = report.skipped.iter().find(|s| s.what == "verdict") {
            self.skip(skipped.reason.clone());
        } else {
            self.equal += 1;
        }
    }

    fn finish(self, what: &str) {
        println!("{} {what} are equal", self.equal);
        for (why, count) in &self.skipped {
            println!("SKIP: {count} {what}: {why}");
        }
        assert!(self.wrong.is_empty(), "{} {what} differ:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert!(self.equal > 0, "no {what} were compared");
    }
}

fn compare_records(release: &str) {
    let mut tally = Tally::default();
    for file in files(&Path::new(RECORDS).join(release)) {
        text(&file).lines().for_each(|line| tally.compare(line, release));
    }
    tally.finish(&format!("records of Linux {release}"));
}

#[test]
fn records_of_6_18_are_what_the_verifier_says() {
    compare_records("6.18");
}

#[test]
fn records_of_6_12_are_what_the_verifier_says() {
    compare_records("6.12");
}

#[test]
fn records_of_6_1_are_what_the_verifier_says() {
    compare_records("6.1");
}

#[test]
fn case_files_hold_what_the_verifier_says() {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
        return;
    };
    let step = std::env::var("SKEP_CASES_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let release = "6.18";
    let mut tally = Tally::default();
    for file in files(Path::new(&dir)) {
        text(&file).lines().step_by(step).for_each(|line| tally.compare(line, release));
    }
    tally.finish(&format!("cases of Linux {release}"));
}
