// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep load`: the identical bytes before the running kernel.

use std::path::PathBuf;

use serde_json::json;
use skep_kernel_load::{Caps, Request, Verdict as KernelVerdict};

use crate::input::{self, InputArgs};
use crate::kernel::{self, BoxArgs, KERNEL_HELP};
use crate::report::{Failure, Result, Verdict, note, print};

/// Put a program before a real kernel: its verdict, errno and log
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep load filter.o             every program of an object
  skep load filter.s -l 2        with the log of every path
  skep load filter.o -k uml:6.1  by User-Mode Linux, which needs no root
  skep load --cases cases.jsonl  one JSON object a line in, one a line out

Nothing stays behind: programs and maps are gone when the command ends. Exit code 1 means that the kernel
rejected a program, 2 that it could not be asked, and why.")]
pub struct Args {
    #[command(flatten)]
    input: Option<InputArgs>,

    /// Load every case of a case file, one JSON result a line
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    cases: Option<PathBuf>,

    #[arg(short = 'k', long, default_value = "host", help = KERNEL_HELP)]
    kernel: String,

    #[command(flatten)]
    boxes: BoxArgs,

    /// Log level: 0 none, 1 the failing path, 2 every path; 4 adds statistics
    #[arg(short = 'l', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..8))]
    level: u32,

    /// Capabilities to load with: `full`, `capbpf` (CAP_BPF and CAP_NET_ADMIN) or `none`; cases name their own
    #[arg(long, default_value = "full", value_parser = parse_caps)]
    caps: Caps,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

fn parse_caps(name: &str) -> std::result::Result<Caps, String> {
    Caps::from_name(name).ok_or_else(|| "one of full, capbpf, none".to_owned())
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
    let request = |&i: &usize| Request { caps: args.caps, ..Request::new(&object, i, args.level) };
    let mut kernel = kernel::open(&args.kernel, &args.boxes)?;
    let mut all = Verdict::Yes;
    let mut unanswered = None;
    kernel::ask_in_order(&mut *kernel, chosen.iter().map(request).collect(), |index, answer| {
        let name = &object.programs[chosen[index]].name;
        match answer.as_ref().map(|o| (o, o.verdict())) {
            Ok((observation, Some(verdict))) => {
                all = all.and(Verdict::from_bool(verdict.accepted));
                if args.json {
                    println!("{}", json(name, verdict, &observation.warnings));
                } else {
                    print(&text(name, verdict));
                    for warning in &observation.warnings {
                        note(format_args!("the kernel warned: {warning}"));
                    }
                }
            }
            Ok((_, None)) => {}
            Err(why) => {
                let failure = Failure::new(format_args!("program `{name}`: {why}"));
                if args.json {
                    println!("{}", Failure::from(why).case_json(name));
                } else {
                    note(failure.message());
                }
                unanswered = Some(failure);
            }
        }
    })?;
    kernel::tell_coverage(&*kernel, &args.boxes)?;
    match unanswered {
        Some(failure) if args.json => Err(Failure::told_in_json(failure.message())),
        Some(failure) => Err(failure),
        None => Ok(all),
    }
}

/// Every case of a case file.
fn cases(args: &Args, path: &std::path::Path) -> Result<Verdict> {
    let cases = input::cases(path)?;
    let mut kernel = kernel::open(&args.kernel, &args.boxes)?;
    let requests = cases.iter().map(|case| Request::of_case(case, args.level)).collect();
    let mut all = Verdict::Yes;
    kernel::ask_in_order(&mut *kernel, requests, |index, answer| {
        let id = &cases[index].id;
        let (verdict, json) = match &answer {
            Ok(observation) => match observation.verdict() {
                Some(verdict) => {
                    (Verdict::from_bool(verdict.accepted), json(id, verdict, &observation.warnings))
                }
                None => (Verdict::Unanswered, Failure::new("no verdict").case_json(id)),
            },
            Err(why) => (Verdict::Unanswered, Failure::from(why).case_json(id)),
        };
        all = all.and(verdict);
        println!("{json}");
    })?;
    kernel::tell_coverage(&*kernel, &args.boxes)?;
    Ok(all)
}

/// A verdict for people: the log, and the outcome.
pub fn text(name: &str, verdict: &KernelVerdict) -> String {
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

/// A verdict for programs.
pub fn json(id: &str, verdict: &KernelVerdict, warnings: &[String]) -> serde_json::Value {
    let mut json = json!({
        "id": id,
        "release": verdict.release,
        "verdict": if verdict.accepted { "accept" } else { "reject" },
        "errno": verdict.errno.map_or(0, |e| e.0),
        "message": verdict.message,
        "log": verdict.log,
    });
    if !warnings.is_empty() {
        json["warnings"] = warnings.into();
    }
    if let Some(stats) = &verdict.stats {
        json["insn_processed"] = stats.insn_processed.into();
        json["states"] = stats.total_states.into();
        json["peak_states"] = stats.peak_states.into();
        json["max_states_per_insn"] = stats.max_states_per_insn.into();
    }
    json
}
