// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep load`: the identical bytes before the running kernel.

use std::path::PathBuf;

use serde_json::json;
use skep_kernel_load::{Answer, Kernel, LoadedProgram, Verdict as KernelVerdict, load_case, load_object};

use crate::input::{self, InputArgs};
use crate::report::{Failure, Result, Verdict, note, print, progress};

/// Put a program before the running kernel: its verdict, errno and log
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep load filter.o             every program of an object
  skep load filter.s -l 2        with the log of every path
  skep load --cases cases.jsonl  one JSON object a line in, one a line out

Nothing stays behind: programs and maps are gone when the command ends. Exit code 1 means that the kernel
rejected a program, 2 that it could not be asked, and why.")]
pub struct Args {
    #[command(flatten)]
    input: Option<InputArgs>,

    /// Load every case of a case file, one JSON result a line
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    cases: Option<PathBuf>,

    /// Kernel to ask; `host` is the one that runs
    #[arg(short = 'k', long, default_value = "host")]
    kernel: String,

    /// Log level: 0 none, 1 the failing path, 2 every path; 4 adds statistics
    #[arg(short = 'l', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..8))]
    level: u32,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

/// Opens the kernel that `-k` names.
pub fn open(name: &str) -> Result<Kernel> {
    if name != "host" {
        return Err(Failure::unsupported(format_args!("kernel `{name}`; only `host`, the running one, is")));
    }
    Kernel::open().map_err(|e| Failure::new(format_args!("the running kernel cannot be asked: {e}")))
}

pub fn main(args: &Args) -> Result<Verdict> {
    if let Some(path) = &args.cases {
        return cases(args, path);
    }
    let Some(input) = &args.input else {
        return Err(Failure::new("no program given: name a file, or --cases FILE"));
    };
    let object = input.object()?;
    let chosen = input.selected(&object)?;
    let kernel = open(&args.kernel)?;
    let names: Vec<&str> = chosen.iter().map(|&i| object.programs[i].name.as_str()).collect();
    let loaded = load_object(&kernel, &object, |p| names.contains(&p.name.as_str()), args.level)
        .map_err(Failure::new)?;
    let mut all = Verdict::Yes;
    let mut unsupported = None;
    for program in loaded.programs.iter().filter(|p| names.contains(&p.name.as_str())) {
        match &program.answer {
            Answer::Verdict(verdict) => {
                all = all.and(Verdict::from_bool(verdict.accepted));
                if args.json {
                    println!("{}", json(&program.name, verdict));
                } else {
                    print(&text(&program.name, verdict));
                }
            }
            Answer::Unsupported(why) => {
                let failure = Failure::unsupported(format_args!("program `{}` needs {why}", program.name));
                if args.json {
                    println!("{}", failure.case_json(&program.name));
                } else {
                    note(failure.message());
                }
                unsupported = Some(failure);
            }
        }
    }
    match unsupported {
        Some(failure) => Err(failure),
        None => Ok(all),
    }
}

/// Every case of a case file.
fn cases(args: &Args, path: &std::path::Path) -> Result<Verdict> {
    let cases = input::cases(path)?;
    let kernel = open(&args.kernel)?;
    let bar = progress(cases.len() as u64, "cases");
    let mut all = Verdict::Yes;
    for case in &cases {
        let unanswered = |failure: Failure| (Verdict::Unanswered, failure.case_json(&case.id));
        let (verdict, json) = match load_case(&kernel, case, args.level) {
            Ok(loaded) => match loaded.programs.first() {
                Some(LoadedProgram { answer: Answer::Verdict(verdict), .. }) => {
                    (Verdict::from_bool(verdict.accepted), json(&case.id, verdict))
                }
                Some(LoadedProgram { answer: Answer::Unsupported(why), .. }) => {
                    unanswered(Failure::unsupported(why))
                }
                None => unanswered(Failure::new("the case has no program")),
            },
            Err(e) => unanswered(Failure::new(e)),
        };
        all = all.and(verdict);
        println!("{json}");
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(all)
}

fn text(name: &str, verdict: &KernelVerdict) -> String {
    let mut text = verdict.log.trim_end().to_owned();
    if !text.is_empty() {
        text.push('\n');
    }
    let release = &verdict.release;
    match verdict.errno {
        None => text + &format!("{name}: accepted by Linux {release}\n"),
        Some(errno) => text + &format!("{name}: rejected by Linux {release}: {errno}\n"),
    }
}

fn json(id: &str, verdict: &KernelVerdict) -> serde_json::Value {
    let mut json = json!({
        "id": id,
        "release": verdict.release,
        "verdict": if verdict.accepted { "accept" } else { "reject" },
        "errno": verdict.errno.map_or(0, |e| e.0),
        "message": verdict.message,
        "log": verdict.log,
    });
    if let Some(stats) = &verdict.stats {
        json["insn_processed"] = stats.insn_processed.into();
        json["states"] = stats.total_states.into();
        json["peak_states"] = stats.peak_states.into();
        json["max_states_per_insn"] = stats.max_states_per_insn.into();
    }
    json
}
