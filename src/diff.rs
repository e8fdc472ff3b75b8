// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep diff`: what any number of backends say of the same programs, side by side.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use skep_compare::{Answers, Ours, Recorded, RecordedBackend, Shown, page, recorded, side_by_side, text};
use skep_kernel_load::{Backend, Request, RunInput};
use skep_program::Program;
use skep_uapi::context::takes_packet;

use crate::capture;
use crate::input::{self, InputArgs};
use crate::kernel::{self, BoxArgs};
use crate::report::{Failure, Result, Verdict, note, print, progress};
use crate::verifier::VerifierBackend;

/// Put a program before several backends and compare: verdict, errno, message, log, runs, maps
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep diff firewall.s -p firewall --pcap in.pcap      runs here and in the running kernel
  skep diff filter.o -k uml:6.1 -k vm:6.12             verdicts, logs and runs of two kernels, and runs here
  skep diff filter.o -k host -k uml:6.1 --html out.html
  skep diff --cases cases.jsonl -k uml:6.1             one JSON object a line in, one a line out
  skep diff --cases cases.jsonl -k recorded:6.12 -k vm:6.12
  skep diff filter.o --ours 6.18                       skep's verifier beside the running kernel

The kernels get the identical bytes. Every backend is compared with the first that answers, and skep's own engine
takes part with its runs where it can. Exit code 0: equal; 1: different; 2: something could not be asked, and why.")]
pub struct Args {
    #[command(flatten)]
    input: Option<InputArgs>,

    /// Compare on every case of a case file, one JSON result a line
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    cases: Option<PathBuf>,

    /// Kernel to ask, any number of times: as for `skep load`, or `recorded:RELEASE`, what a case file says of one
    #[arg(short = 'k', long = "kernel", value_name = "KERNEL", default_value = "host")]
    kernels: Vec<String>,

    #[command(flatten)]
    boxes: BoxArgs,

    /// Kernels only: leave skep's own engine out
    #[arg(long)]
    kernels_only: bool,

    /// Release whose verifier skep answers as, to be compared too: 6.18, 6.12 or 6.1; any number of times
    #[arg(long, value_name = "PROFILE")]
    ours: Vec<String>,

    /// Log level at which logs are compared: 0 none, 1 the failing path, 2 every path
    #[arg(short = 'l', long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..8))]
    level: u32,

    /// File with one packet
    #[arg(long, value_name = "FILE", conflicts_with = "pcap")]
    data_in: Option<PathBuf>,

    /// File with the context structure, as the uapi lays it out
    #[arg(long, value_name = "FILE")]
    ctx_in: Option<PathBuf>,

    /// Capture (pcap or pcapng) whose packets are run one after the other
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Compare verdicts and logs, and run nothing
    #[arg(long, conflicts_with_all = ["data_in", "ctx_in", "pcap"])]
    no_run: bool,

    /// Write a page that shows the logs side by side
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

/// What the name of a recorded kernel starts with.
const RECORDED: &str = "recorded:";

/// Width of a table where the terminal does not say.
const WIDTH: usize = 120;

/// A question and what it is called; for a case also its line.
struct Asked {
    id: String,
    request: Request,
    line: String,
}

pub fn main(args: &Args) -> Result<Verdict> {
    let mut asked = match (&args.cases, &args.input) {
        (Some(path), _) => of_cases(args, path)?,
        (None, Some(input)) => of_object(args, input)?,
        (None, None) => return Err(Failure::new("no program given: name a file, or --cases FILE")),
    };
    let mut backends: Vec<Box<dyn Backend + Send>> = Vec::new();
    if !args.kernels_only && asked.iter().any(|a| !a.request.inputs.is_empty()) {
        let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        backends.push(Box::new(Ours { cpus }));
    }
    let releases: Vec<&str> = args.kernels.iter().filter_map(|name| name.strip_prefix(RECORDED)).collect();
    let mut records =
        if releases.is_empty() { Vec::new() } else { records(&mut asked, &releases)? }.into_iter();
    for name in &args.kernels {
        match name.strip_prefix(RECORDED) {
            Some(_) => backends.extend(records.next().map(|r| Box::new(r) as Box<dyn Backend + Send>)),
            None => backends.push(kernel::open(name, &args.boxes)?),
        }
    }
    for release in &args.ours {
        backends.push(Box::new(VerifierBackend::new(release)?));
    }
    compare(args, &asked, &mut backends)
}

/// The questions about an object's programs.
fn of_object(args: &Args, input: &InputArgs) -> Result<Vec<Asked>> {
    let object = input.object()?;
    let mut asked = Vec::new();
    for index in input.selected(&object)? {
        let mut request = Request::new(&object, index, args.level);
        if !args.no_run {
            request.inputs = inputs(args, &object.programs[index])?;
        }
        asked.push(Asked { id: request.program.clone(), request, line: String::new() });
    }
    Ok(asked)
}

/// The questions of a case file.
fn of_cases(args: &Args, path: &Path) -> Result<Vec<Asked>> {
    let ask = |(line, case)| {
        let mut request = Request::of_case(&case, args.level);
        if !args.no_run {
            request.inputs = vec![Request::input_of_case(&case)];
        }
        Asked { id: case.id, request, line }
    };
    Ok(input::case_lines(path)?.into_iter().map(ask).collect())
}

/// What a program is to be run on.
fn inputs(args: &Args, program: &Program) -> Result<Vec<RunInput>> {
    let ctx = args.ctx_in.as_deref().map(input::read).transpose()?;
    if let Some(path) = &args.pcap {
        let with_ctx = |data| RunInput { data: Some(data), ctx: ctx.clone() };
        return Ok(capture::read(path)?.into_iter().map(|p| with_ctx(p.data)).collect());
    }
    let mut data = args.data_in.as_deref().map(input::read).transpose()?;
    if data.is_none() && takes_packet(program.prog_type) {
        note(format_args!("{}", input::EMPTY_PACKET_NOTE));
        data = Some(vec![0; input::EMPTY_PACKET]);
    }
    Ok(vec![RunInput { data, ctx }])
}

/// What the cases say of recorded kernels; the others are then asked the same as the first of them was, and nothing
/// about cases that lack a record.
fn records(asked: &mut Vec<Asked>, releases: &[&str]) -> Result<Vec<RecordedBackend>> {
    let mut backends: Vec<RecordedBackend> =
        releases.iter().map(|r| RecordedBackend { release: (*r).to_owned(), answers: Vec::new() }).collect();
    let total = asked.len();
    let mut kept = Vec::new();
    for mut one in std::mem::take(asked) {
        if one.line.is_empty() {
            return Err(Failure::new("`recorded:` kernels are those of a case file: use --cases"));
        }
        let read = |release: &&str| {
            recorded(&one.line, release)
                .map_err(|e| Failure::new(format_args!("case `{}`: record of Linux {release}: {e}", one.id)))
        };
        let Some(found) = releases.iter().map(read).collect::<Result<Option<Vec<Recorded>>>>()? else {
            continue;
        };
        if let Some(first) = found.first() {
            if !first.levels.is_empty() {
                one.request.levels.clone_from(&first.levels);
            }
            one.request.inputs.clone_from(&first.inputs);
        }
        for (backend, record) in backends.iter_mut().zip(found) {
            backend.answers.push(Some(record.observation));
        }
        kept.push(one);
    }
    if kept.is_empty() {
        return Err(Failure::new(format_args!("no case has a record of Linux {}", releases.join(" and "))));
    }
    if kept.len() < total {
        note(format_args!(
            "{} of {total} cases have no record of Linux {}",
            total - kept.len(),
            releases.join(" and ")
        ));
    }
    *asked = kept;
    Ok(backends)
}

/// How many cases ended how.
#[derive(Default)]
struct Tally {
    equal: usize,
    different: usize,
    unanswered: usize,
    aspects: std::collections::BTreeMap<String, usize>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { equal, different, unanswered, aspects } = self;
        write!(f, "{} cases: {equal} equal, {different} different", equal + different + unanswered)?;
        if !aspects.is_empty() {
            let each: Vec<String> = aspects.iter().map(|(aspect, n)| format!("{aspect} {n}")).collect();
            write!(f, " ({})", each.join(", "))?;
        }
        write!(f, ", {unanswered} not answered by all")
    }
}

/// Asks, compares, and tells.
fn compare(args: &Args, asked: &[Asked], backends: &mut [Box<dyn Backend + Send>]) -> Result<Verdict> {
    let names: Vec<String> = backends.iter().map(|b| b.name()).collect();
    let requests: Vec<Request> = asked.iter().map(|a| a.request.clone()).collect();
    let bar = progress(asked.len() as u64, "programs");
    let mut all = Verdict::Yes;
    let mut tally = Tally::default();
    let mut kept: Vec<(usize, Answers)> = Vec::new();
    side_by_side(backends, &requests, |index, answers| {
        let Asked { id, request, .. } = &asked[index];
        let shown = shown(id, request, &names, &answers);
        let verdict = verdict(&shown);
        all = all.and(verdict);
        match verdict {
            Verdict::Yes => tally.equal += 1,
            Verdict::No => tally.different += 1,
            Verdict::Unanswered => tally.unanswered += 1,
        }
        for aspect in shown.comparisons.iter().flat_map(|c| c.report.aspects()) {
            *tally.aspects.entry(aspect.to_string()).or_default() += 1;
        }
        bar.suspend(|| {
            if args.json || args.cases.is_some() {
                println!("{}", json(&shown, verdict));
            } else {
                print(&text(&shown, width()));
            }
        });
        bar.inc(1);
        if args.html.is_some() && (args.cases.is_none() || verdict == Verdict::No) {
            kept.push((index, answers));
        }
    })
    .map_err(Failure::new)?;
    bar.finish_and_clear();
    for backend in &*backends {
        kernel::tell_coverage(&**backend, &args.boxes)?;
    }
    if let Some(path) = &args.html {
        let title = format!("skep diff: {}", names.join(", "));
        let shown: Vec<Shown<'_>> = kept
            .iter()
            .map(|(i, answers)| shown(&asked[*i].id, &asked[*i].request, &names, answers))
            .collect();
        fs::write(path, page(&title, &shown))
            .map_err(|e| Failure::new(format_args!("cannot write `{}`: {e}", path.display())))?;
    }
    if args.cases.is_some() {
        note(tally);
    }
    Ok(all)
}

fn shown<'a>(id: &'a str, request: &'a Request, names: &'a [String], answers: &'a Answers) -> Shown<'a> {
    let answer = |(name, answer): (&'a String, &'a std::result::Result<_, _>)| skep_compare::Answer {
        name,
        answer: answer.as_ref(),
    };
    Shown::new(id, request, names.iter().zip(answers).map(answer).collect())
}

/// How the comparison of one program ends. skep's own engine need not answer where others can be compared.
fn verdict(shown: &Shown<'_>) -> Verdict {
    let ours = usize::from(shown.answers.first().is_some_and(|a| a.name == "skep"));
    let has_verdict = |at: usize| shown.answers[at].answer.is_ok_and(|o| o.verdict().is_some());
    let told = shown.comparisons.iter().any(|c| {
        let runs = c.report.runs + c.report.refused + c.report.differences.len();
        runs != 0 || (has_verdict(c.a) && has_verdict(c.b))
    });
    let kernels_answered = shown.answers.iter().skip(ours).all(|a| a.answer.is_ok());
    if told && !shown.is_equal() {
        Verdict::No
    } else if told && kernels_answered {
        Verdict::Yes
    } else {
        Verdict::Unanswered
    }
}

fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|n| n.parse().ok()).unwrap_or(WIDTH)
}

fn json(shown: &Shown<'_>, verdict: Verdict) -> serde_json::Value {
    let backends: Vec<serde_json::Value> = shown
        .answers
        .iter()
        .map(|a| match a.answer {
            Ok(observation) => {
                let mut json = json!({ "name": a.name });
                if let Some(v) = observation.verdict() {
                    json["release"] = v.release.as_str().into();
                    json["verdict"] = if v.accepted { "accept" } else { "reject" }.into();
                    json["errno"] = v.errno.map_or(0, |e| e.0).into();
                    json["message"] = v.message.as_str().into();
                }
                if let Some(why) = &observation.not_run {
                    json["not_run"] = why.as_str().into();
                }
                json
            }
            Err(why) => {
                let mut json = Failure::from(why).case_json(a.name);
                json["name"] = json["id"].take();
                json
            }
        })
        .collect();
    let comparisons: Vec<serde_json::Value> = shown
        .comparisons
        .iter()
        .map(|c| {
            let mut json = json!(c.report);
            json["between"] = json!([shown.answers[c.a].name, shown.answers[c.b].name]);
            json["equal"] = c.report.is_equal().into();
            json["differs_in"] = json!(c.report.aspects());
            json
        })
        .collect();
    let equal = match verdict {
        Verdict::Yes => json!(true),
        Verdict::No => json!(false),
        Verdict::Unanswered => json!(null),
    };
    json!({ "id": shown.id, "equal": equal, "backends": backends, "comparisons": comparisons })
}
