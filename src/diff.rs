// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep diff`: runs here and in the running kernel, side by side.

use std::path::PathBuf;

use serde_json::json;
use skep_compare::{Report, RunInput, compare_with_kernel};
use skep_kernel_load::Kernel;
use skep_program::{Object, Program};
use skep_uapi::context::takes_packet;

use crate::input::{self, InputArgs};
use crate::report::{Failure, Result, Verdict, note, print, progress};
use crate::{capture, load};

/// Run a program here and in the running kernel, and compare results, packets and maps
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep diff firewall.s -p firewall --pcap in.pcap
  skep diff filter.o --data-in packet.bin -j
  skep diff --cases cases.jsonl                  one JSON object a line in, one a line out

The kernel runs the identical bytes by BPF_PROG_TEST_RUN. Exit code 0: equal; 1: different; 2: it could not be
asked, and why.")]
pub struct Args {
    #[command(flatten)]
    input: Option<InputArgs>,

    /// Compare on every case of a case file, one JSON result a line
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    cases: Option<PathBuf>,

    /// Kernel to compare with; `host` is the one that runs
    #[arg(short = 'k', long, default_value = "host")]
    kernel: String,

    /// File with one packet
    #[arg(long, value_name = "FILE", conflicts_with = "pcap")]
    data_in: Option<PathBuf>,

    /// File with the context structure, as the uapi lays it out
    #[arg(long, value_name = "FILE")]
    ctx_in: Option<PathBuf>,

    /// Capture (pcap or pcapng) whose packets are run one after the other
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

pub fn main(args: &Args) -> Result<Verdict> {
    if let Some(path) = &args.cases {
        return cases(args, path);
    }
    let Some(input) = &args.input else {
        return Err(Failure::new("no program given: name a file, or --cases FILE"));
    };
    let object = input.object()?;
    let program = &object.programs[input.one(&object)?];
    let inputs = inputs(args, program)?;
    let kernel = load::open(&args.kernel)?;
    let report = compare(&kernel, &object, program, &inputs)?;
    if args.json {
        println!("{}", json(&program.name, &report));
    } else {
        print(&format!("{report}\n"));
    }
    Ok(Verdict::from_bool(report.is_equal()))
}

/// What the program is to be run on.
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

fn compare(kernel: &Kernel, object: &Object, program: &Program, inputs: &[RunInput]) -> Result<Report> {
    if let Some(needed) = program.requirements.first() {
        return Err(Failure::unsupported(format_args!("program `{}` needs {needed}", program.name)));
    }
    compare_with_kernel(kernel, object, &program.name, inputs).map_err(Failure::new)
}

/// Every case of a case file.
fn cases(args: &Args, path: &std::path::Path) -> Result<Verdict> {
    let cases = input::cases(path)?;
    let kernel = load::open(&args.kernel)?;
    let bar = progress(cases.len() as u64, "cases");
    let mut all = Verdict::Yes;
    for case in &cases {
        let object = Object::single(case.program.clone());
        let mut input = RunInput { data: case.data_in.clone(), ctx: case.ctx_in.clone() };
        if input.data.is_none() && takes_packet(case.program.prog_type) {
            input.data = Some(vec![0; input::EMPTY_PACKET]);
        }
        let json = match compare(&kernel, &object, &object.programs[0], &[input]) {
            Ok(report) => {
                all = all.and(Verdict::from_bool(report.is_equal()));
                json(&case.id, &report)
            }
            Err(failure) => {
                all = Verdict::Unanswered;
                failure.case_json(&case.id)
            }
        };
        println!("{json}");
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(all)
}

fn json(id: &str, report: &Report) -> serde_json::Value {
    let mut json = json!(report);
    json["id"] = id.into();
    json["equal"] = report.is_equal().into();
    json
}
