// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep verify`: what a kernel's verifier says, without the kernel.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use serde_json::json;
use skep_kernel_load::Verdict as KernelVerdict;
use skep_program::Program;
use skep_verifier::{Caps, Options, Outcome, Verdict as Said};

use crate::input::{self, InputArgs};
use crate::load::{json, text};
use crate::report::{Failure, Result, Verdict, note, print};
use crate::verifier;

/// Verify a program as a kernel does: its verdict, errno and log
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep verify filter.o              every program of an object
  skep verify filter.s -l 2         with the state at every instruction of every path
  skep verify filter.o --caps none  as an unprivileged user
  skep verify --cases cases.jsonl   one JSON object a line in, one a line out

No kernel is asked, and no privilege is needed. Exit code 1 means that a program is rejected, 2 that it needs
something that skep does not verify yet, and what.")]
pub struct Args {
    #[command(flatten)]
    input: Option<InputArgs>,

    /// Verify every case of a case file, one JSON result a line
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    cases: Option<PathBuf>,

    /// Release of Linux whose verifier answers
    #[arg(short = 'k', long, default_value = "6.18", value_name = "RELEASE")]
    kernel: String,

    /// Log level: 0 none, 1 the failing path, 2 every path; 4 adds statistics, 8 keeps the start of a log that is
    /// too long for its buffer
    #[arg(short = 'l', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..16))]
    level: u32,

    /// Bytes of the log buffer; without it any log fits
    #[arg(long, value_name = "BYTES")]
    log_size: Option<u32>,

    /// Capabilities to load with: `full`, `capbpf` (CAP_BPF and CAP_NET_ADMIN) or `none`; cases name their own
    #[arg(long, default_value = "full", value_parser = parse_caps)]
    caps: Caps,

    /// As a kernel built with `CONFIG_BPF_KPROBE_OVERRIDE`, which has `bpf_override_return`
    #[arg(long)]
    kprobe_override: bool,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

fn parse_caps(name: &str) -> std::result::Result<Caps, String> {
    Caps::from_name(name).ok_or_else(|| "one of full, capbpf, none".to_owned())
}

impl Args {
    fn options(&self) -> Result<Options> {
        let (profile, cpus) = (verifier::profile(&self.kernel)?, verifier::cpus());
        Ok(Options {
            profile,
            caps: self.caps,
            log_level: self.level,
            log_size: self.log_size,
            cpus,
            kprobe_override: self.kprobe_override,
        })
    }
}

pub fn main(args: &Args) -> Result<Verdict> {
    let options = args.options()?;
    if let Some(path) = &args.cases {
        return cases(path, &options, &args.kernel);
    }
    let Some(input) = &args.input else {
        return Err(Failure::new("no program given: name a file, or --cases FILE"));
    };
    let object = input.object()?;
    let mut all = Verdict::Yes;
    let mut unanswered = None;
    for index in input.selected(&object)? {
        let program = &object.programs[index];
        match verdict(program, &options, &args.kernel) {
            Ok(verdict) => {
                all = all.and(Verdict::from_bool(verdict.accepted));
                if args.json {
                    println!("{}", json(&program.name, &verdict, &[]));
                } else {
                    print(&text(&program.name, &verdict));
                }
            }
            Err(what) => {
                let failure = Failure::unsupported(format_args!("program `{}`: {what}", program.name));
                if args.json {
                    println!("{}", unsupported(&program.name, &what));
                }
                // The last one is told at the end.
                if let Some(before) = unanswered.replace(failure)
                    && !args.json
                {
                    note(before.message());
                }
            }
        }
    }
    match unanswered {
        Some(failure) if args.json => Err(Failure::told_in_json(failure.message())),
        Some(failure) => Err(failure),
        None => Ok(all),
    }
}

/// The verifier's answer in the form of a kernel's, or what it does not do.
pub fn verdict(
    program: &Program,
    options: &Options,
    release: &str,
) -> std::result::Result<KernelVerdict, String> {
    match skep_verifier::verify(program, options) {
        Outcome::Answer { verdict, log, .. } => {
            let result = match verdict {
                Said::Accept => Ok(()),
                Said::Reject(errno) => Err(errno),
            };
            Ok(KernelVerdict::new(result, log, release))
        }
        Outcome::Unsupported(what) => Err(what),
    }
}

fn unsupported(id: &str, what: &str) -> serde_json::Value {
    json!({ "id": id, "unsupported": what })
}

/// Every case of a case file, on all processors; answers come in the order of the cases.
fn cases(path: &Path, options: &Options, release: &str) -> Result<Verdict> {
    let cases = input::cases(path)?;
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(cases.len().max(1));
    let mut all = Verdict::Yes;
    let (sender, answers) = channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, next, cases) = (sender.clone(), &next, &cases);
            scope.spawn(move || {
                while let Some((index, case)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, cases.get(i)?)))
                {
                    // Parsed cases have one of the known sets.
                    let caps = Caps::from_name(&case.caps).unwrap_or(options.caps);
                    let options = Options { caps, ..options.clone() };
                    let answer = catch_unwind(AssertUnwindSafe(|| verdict(&case.program, &options, release)));
                    let answer = answer.unwrap_or_else(|_| Err("internal error, please report".to_owned()));
                    let line = match &answer {
                        Ok(verdict) => json(&case.id, verdict, &[]),
                        Err(what) => unsupported(&case.id, what),
                    };
                    let accepted = answer.ok().map(|verdict| verdict.accepted);
                    if sender.send((index, line.to_string(), accepted)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (index, line, accepted) in answers {
            all = all.and(accepted.map_or(Verdict::Unanswered, Verdict::from_bool));
            waiting.insert(index, line);
            while let Some(line) = waiting.remove(&turn) {
                println!("{line}");
                turn += 1;
            }
        }
    });
    Ok(all)
}
