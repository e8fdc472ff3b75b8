// SPDX-License-Identifier: GPL-2.0-only
//! `skep fuzz`: campaigns of generated programs, put before two who should agree.

mod boxed;
mod campaign;
mod engines;
mod forms;
mod found;
mod host;
mod oracle;
mod ours;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use skep_kernel_load::{BoxKernel, BoxOptions, Counters};
use skep_smith::{Random, Smith};
use skep_verifier::{Options, Profile};

use crate::kernel::{self, BoxArgs, HOST};
use crate::report::{Failure, Result, Verdict, print};
use crate::verifier::{cpus, profile};
use campaign::{Done, Plan, State};
use found::Folder;
use oracle::Oracle;

/// What a campaign compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Runs of accepted programs: the interpreter against the JIT
    Exec,
    /// Runs of accepted programs: inside of what the verifier knows, at every instruction
    States,
    /// Verdict and errno: skep's verifier against a kernel
    Verdict,
    /// Verdict, errno and whole log of level 2: skep's verifier against a kernel
    Log,
    /// Printed and assembled again, in all styles; damaged text
    Text,
    /// Written as an ELF object and loaded again; damaged objects
    Object,
}

/// Generate programs and look for disagreement: verifiers, logs, engines, text and objects
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep fuzz verdict --time 600 --out found         ten minutes against the running kernel
  skep fuzz log --programs 100000 --seed 7

A finding is told once by its nature, made small, and written to the folder as a case and as text; `skep diff --cases
found/finding-001.jsonl --ours 6.18` replays it. A campaign with a folder goes on where it was. Exit code 0: nothing
found; 1: something; 2: could not ask.")]
pub struct Args {
    /// What is compared
    #[arg(value_enum)]
    mode: Mode,

    /// Programs to make at most
    #[arg(long, value_name = "N")]
    programs: Option<u64>,

    /// Seconds to go on at most (10 where neither is given)
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,

    /// Where the choices start: the same seed makes the same programs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Folder for findings and for the campaign's state, with which it goes on
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Workers side by side; as many as there are processors where not given
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,

    /// Kernel to ask: `host`, the one that runs, or a boxed one as `uml:6.1` or `vm:6.12` (`skep kernels`)
    #[arg(short = 'k', long = "kernel", value_name = "KERNEL", default_value = HOST)]
    kernel: String,

    #[command(flatten)]
    boxes: BoxArgs,

    /// Release whose verifier skep answers as: 6.18, 6.12 or 6.1; that of the kernel where not given
    #[arg(long, value_name = "PROFILE")]
    ours: Option<String>,

    /// Show how many programs of each kind were accepted
    #[arg(long)]
    table: bool,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

/// Seconds of a campaign that has no other end.
const USUAL_TIME: u64 = 10;

pub fn main(args: &Args) -> Result<Verdict> {
    let asks_kernel = matches!(args.mode, Mode::Verdict | Mode::Log);
    let guest = if asks_kernel && args.kernel != HOST {
        Some(kernel::boxed(&args.kernel, &args.boxes)?)
    } else {
        None
    };
    // User-Mode Linux has one processor.
    let cpus_there = if matches!(guest, Some((BoxKernel::Uml(_), _))) { 1 } else { cpus() };
    let options = Options {
        profile: profile(&release(args, guest.as_ref())?)?,
        cpus: cpus_there,
        ..Options::default()
    };
    let mut smith = Smith::new(Random::new(args.seed), options.clone());
    if options.profile != Profile::LATEST {
        smith.leave_out_loops();
    }
    let reached = Arc::new(Mutex::new(Counters::new()));
    match &guest {
        Some((kernel, how)) => {
            boxed::Guest::new(kernel.clone(), how.clone(), &options, false, &reached)?
                .leave_out_what_is_missing(&mut smith)?;
        }
        None if asks_kernel => {
            host::Host::new(smith.maps(), &options, false)?.leave_out_what_is_missing(&mut smith)?;
        }
        None => {}
    }
    let time = match (args.time, args.programs) {
        (None, None) => Some(USUAL_TIME),
        (time, _) => time,
    };
    let plan = Plan {
        seed: args.seed,
        programs: args.programs.unwrap_or(u64::MAX),
        time: time.map(Duration::from_secs),
        jobs: args.jobs.map_or_else(|| cpus() as usize, NonZero::get),
    };
    let folder = args.out.as_deref().map(Folder::open).transpose()?;
    let state = match &folder {
        Some(folder) => folder.load()?.unwrap_or_default(),
        None => State::default(),
    };
    let open = || -> Result<Box<dyn Oracle>> {
        Ok(match args.mode {
            Mode::Exec => Box::new(engines::Engines::default()),
            Mode::States => Box::new(engines::States::new(&options)),
            Mode::Text => Box::new(forms::Text::new(args.seed)),
            Mode::Object => Box::new(forms::Objects::new(args.seed)),
            Mode::Verdict | Mode::Log => {
                let logs = args.mode == Mode::Log;
                match guest.clone() {
                    Some((kernel, how)) => {
                        Box::new(boxed::Guest::new(kernel, how, &options, logs, &reached)?)
                    }
                    None => Box::new(host::Host::new(smith.maps(), &options, logs)?),
                }
            }
        })
    };
    let done = campaign::run(&plan, &smith, state, folder.as_ref(), &open)?;
    if let (Some(path), Some((kernel, _))) = (&args.boxes.coverage, &guest)
        && let Some(coverage) = kernel.reached(&reached.lock().unwrap_or_else(PoisonError::into_inner))
    {
        kernel::write_coverage(&coverage.map_err(Failure::new)?, path)?;
    }
    if args.json {
        tell_json(&done)?;
    } else {
        tell(args, &done);
    }
    Ok(Verdict::from_bool(done.state.findings.is_empty()))
}

/// The release that skep answers as.
fn release(args: &Args, guest: Option<&(BoxKernel, BoxOptions)>) -> Result<String> {
    if let Some(name) = &args.ours {
        return Ok(name.clone());
    }
    let Some((kernel, _)) = guest else { return Ok(Profile::NAMES[0].to_owned()) };
    let found = Profile::NAMES.into_iter().find(|name| kernel.is_of_series(name));
    found.map(str::to_owned).ok_or_else(|| {
        Failure::new(format_args!(
            "skep has no verifier of `{}`; name one that it has with --ours",
            kernel.name()
        ))
    })
}

fn per_cent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn tell_json(done: &Done) -> Result<()> {
    let plain = done.state.plain();
    let answer = json!({
        "compared": done.name,
        "programs": done.made,
        "answered": done.counts.compared,
        "unanswered": done.counts.unanswered,
        "seconds": done.took.as_secs_f64(),
        "accepted_per_cent": per_cent(plain.accepted, plain.made),
        "state": serde_json::to_value(&done.state).map_err(Failure::new)?,
    });
    print(&format!("{answer}\n"));
    Ok(())
}

fn tell(args: &Args, done: &Done) {
    let mut text = String::new();
    let mut line = |words: String| {
        text += &words;
        text.push('\n');
    };
    line(done.name.clone());
    let rate = done.made as f64 / done.took.as_secs_f64();
    line(format!("{} programs in {:.1} s, {rate:.0} a second", done.made, done.took.as_secs_f64()));
    line(format!("compared: {}; without an answer: {}", done.counts.compared, done.counts.unanswered));
    let (plain, mutated) = (done.state.plain(), done.state.mutated);
    line(format!(
        "accepted: {:.1} % of {} as they were made, {:.1} % of {} near misses",
        per_cent(plain.accepted, plain.made),
        plain.made,
        per_cent(mutated.accepted, mutated.made),
        mutated.made
    ));
    if args.table {
        for (title, rows) in [("statement", &done.state.features), ("type", &done.state.types)] {
            line(format!("\n{title:<30} {:>9} {:>9}", "made", "accepted"));
            for (name, row) in rows {
                line(format!("{name:<30} {:>9} {:>8.1}%", row.made, per_cent(row.accepted, row.made)));
            }
        }
    }
    for (nature, finding) in &done.state.findings {
        let file = finding.file.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
        line(format!("\nfound {} times{file}: {nature}", finding.count));
        line(finding.text.trim_end().to_owned());
        line(format!("capabilities: {}", finding.caps));
        line(finding.program.trim_end().to_owned());
    }
    line(format!("\nfindings: {}", done.state.findings.len()));
    print(&text);
}
