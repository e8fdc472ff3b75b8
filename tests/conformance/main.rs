// SPDX-License-Identifier: MIT OR Apache-2.0
//! The conformance suite: one corpus of cases (`*.bpf` beside this file), one suite for each engine, every skip
//! counted with its reason.

mod case;
mod engine;
mod interpreter;
mod kernel;
mod rbpf;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use skep_asm::{Dialect, Options, assemble};
use skep_isa::{Cpu, TABLE};
use skep_kernel_load::Kernel;
use skep_program::Object;
use skep_uapi::ProgType;

use case::{Case, Run};
use engine::{Answer, Engine};
use interpreter::Interpreter;
use rbpf::Rbpf;

/// Runs and skips of an engine.
#[derive(Default)]
struct Tally {
    runs: usize,
    skips: BTreeMap<String, usize>,
}

type Tallies = Arc<Mutex<BTreeMap<&'static str, Tally>>>;

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "bpf"))
        .collect();
    files.sort();
    files
}

/// The program of a run in a dialect.
fn object(case: &Case, run: &Run, dialect: Dialect) -> Result<Object, String> {
    let source = case.source(dialect, run);
    let mut options = Options { dialect: Some(dialect), ..Options::default() };
    if run.packet.is_some() {
        options.prog_type = ProgType::SCHED_CLS;
        "tc".clone_into(&mut options.section);
    }
    assemble(&source, &options)
        .map_err(|e| format!("{}, {dialect:?}:\n{}", case.name, e.render("case", &source, false)))
}

/// Both dialects give the same bytes, and the case names the right cpu generation.
fn same_bytes(cases: &[Case]) -> Result<(), Failed> {
    let mut wrong = String::new();
    for case in cases {
        for run in &case.runs {
            match (object(case, run, Dialect::PseudoC), object(case, run, Dialect::Mnemonic)) {
                (Ok(pseudo_c), Ok(mnemonic)) => {
                    let (a, b) = (&pseudo_c.programs[0], &mnemonic.programs[0]);
                    if a.insns != b.insns || pseudo_c.maps != mnemonic.maps {
                        writeln!(wrong, "{}: {}: the dialects differ", case.name, run.text)?;
                    }
                    let newest = (0..a.insns.len())
                        .filter_map(|at| skep_isa::decode(&a.insns, at).ok())
                        .map(|d| d.row.cpu)
                        .max();
                    if newest.unwrap_or(Cpu::V1) != case.cpu {
                        writeln!(wrong, "{}: the newest instruction is of {newest:?}", case.name)?;
                    }
                }
                (a, b) => wrong.extend([a, b].into_iter().filter_map(Result::err)),
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}

/// Every row of the table is in a case of each dialect.
fn every_row(files: &[Arc<Vec<Case>>]) -> Result<(), Failed> {
    for dialect in [Dialect::PseudoC, Dialect::Mnemonic] {
        let mut seen = BTreeSet::new();
        for case in files.iter().flat_map(|cases| cases.iter()) {
            for run in &case.runs {
                let Ok(object) = object(case, run, dialect) else { continue };
                let insns = &object.programs[0].insns;
                for decoded in (0..insns.len()).filter_map(|at| skep_isa::decode(insns, at).ok()) {
                    seen.extend(TABLE.iter().position(|row| row == decoded.row));
                }
            }
        }
        let missing: Vec<String> =
            (0..TABLE.len()).filter(|i| !seen.contains(i)).map(|i| format!("{:?}", TABLE[i].op)).collect();
        if !missing.is_empty() {
            return Err(format!("no case in {dialect:?} has {}", missing.join(", ")).into());
        }
    }
    Ok(())
}

/// Runs the cases of a file on an engine.
fn run_cases(engine: &dyn Engine, cases: &[Case], tallies: &Tallies) -> Result<(), Failed> {
    let mut wrong = String::new();
    let mut tally = Tally::default();
    for case in cases {
        let mut departed = 0;
        for run in &case.runs {
            let object = object(case, run, Dialect::PseudoC)?;
            tally.runs += 1;
            let answer = engine.run(case, run, &object);
            let fine = match (&answer, run.expected) {
                (Answer::Skip(reason), _) => {
                    *tally.skips.entry(reason.clone()).or_default() += 1;
                    true
                }
                (Answer::R0(r0), Some(expected)) => *r0 == expected,
                (Answer::R0Low(r0), Some(expected)) => *r0 == expected as u32,
                (Answer::Error(_), None) => true,
                (Answer::Error(_), Some(_)) | (Answer::R0(_) | Answer::R0Low(_), None) => false,
            };
            match engine.departs(case) {
                _ if fine => {}
                Some(reason) => {
                    departed += 1;
                    *tally.skips.entry(reason.to_owned()).or_default() += 1;
                }
                None => writeln!(
                    wrong,
                    "{}: run: {}\n    {} gives {answer:x?}",
                    case.name,
                    run.text,
                    engine.name()
                )?,
            }
        }
        if let Some(reason) = engine.departs(case)
            && departed == 0
        {
            writeln!(wrong, "{}: no run departs, though the list says: {reason}", case.name)?;
        }
    }
    let mut tallies = tallies.lock().map_err(|_| "another suite panicked")?;
    let total = tallies.entry(engine.name()).or_default();
    total.runs += tally.runs;
    for (reason, count) in tally.skips {
        *total.skips.entry(reason).or_default() += count;
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}

fn main() {
    let arguments = Arguments::from_args();
    rbpf::silence_panics();
    let mut engines: Vec<Arc<dyn Engine + Send>> = vec![
        Arc::new(Interpreter { checked: false }),
        Arc::new(Interpreter { checked: true }),
        Arc::new(Rbpf),
    ];
    let kernel = Kernel::open();
    match kernel {
        Ok(kernel) => engines.push(Arc::new(kernel)),
        Err(why) => eprintln!("SKIP: the running kernel: {why}"),
    }
    let tallies = Tallies::default();
    let mut trials = Vec::new();
    let mut all = Vec::new();
    for path in files() {
        let stem = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let cases = Arc::new(case::read(&path));
        all.push(Arc::clone(&cases));
        let both = Arc::clone(&cases);
        trials.push(Trial::test(format!("dialects::{stem}"), move || same_bytes(&both)));
        for engine in &engines {
            let (engine, cases, tallies) = (Arc::clone(engine), Arc::clone(&cases), Arc::clone(&tallies));
            let name = format!("{}::{stem}", engine.name());
            trials.push(Trial::test(name, move || run_cases(&*engine, &cases, &tallies)));
        }
    }
    trials.push(Trial::test("every_row_of_the_table", move || every_row(&all)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (engine, tally) in tallies.lock().iter().flat_map(|t| t.iter()) {
        let skipped: usize = tally.skips.values().sum();
        println!("{engine}: {} runs, {skipped} of them skipped", tally.runs);
        for (reason, count) in &tally.skips {
            println!("SKIP: {engine}: {count} runs: {reason}");
        }
    }
    conclusion.exit();
}
