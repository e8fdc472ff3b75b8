// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep run`: a program on memory, a packet, a capture or a context, in user space.

mod dump;
mod result;
mod verified;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use skep_program::{Case, Object};
use skep_uapi::context::takes_packet;
use skep_uapi::{ProgType, action_name};
use skep_vm::{Config, Environment, Input, InputError, Machine, RunError};

use crate::capture;
use crate::input::{self, InputArgs};
use crate::report::{Failure, Result, Verdict, note, print, progress};

use result::{RunResult, Summary};
use verified::Word;

/// Run a program in user space: on flat memory, a packet, a capture or a context
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep run filter.s --mem 0102030405             flat memory: address in r1, length in r2
  skep run firewall.o -p xdp_main --pcap in.pcap --out-pcap out.pcap --dump-maps
  skep run trace.o --ctx-in args.bin -j
  skep run filter.o --engine jit --repeat 1000000
  skep run --cases cases.jsonl                   one JSON object a line in, one a line out

A program is verified first, as Linux 6.18 does; one that is rejected does not run (exit code 1). With --no-verify, on
flat memory, and where the verifier has no answer yet, it runs all the same: confined to emulated memory, where a bad
access ends it with a located fault.")]
pub struct Args {
    #[command(flatten)]
    input: Option<InputArgs>,

    /// Run every case of a case file, one JSON result a line
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    cases: Option<PathBuf>,

    /// What executes the program
    #[arg(long, value_enum, default_value_t = Engine::Interp)]
    engine: Engine,

    /// Check every access against the exact object, and name it in a fault; interpreter only
    #[arg(long)]
    checked: bool,

    /// Flat memory in hex: address in r1, length in r2
    #[arg(long, value_name = "HEX", conflicts_with_all = ["data_in", "ctx_in", "pcap"])]
    mem: Option<String>,

    /// File with one packet
    #[arg(long, value_name = "FILE", conflicts_with = "pcap")]
    data_in: Option<PathBuf>,

    /// File with the context structure, as the uapi lays it out
    #[arg(long, value_name = "FILE")]
    ctx_in: Option<PathBuf>,

    /// Capture (pcap or pcapng) whose packets are run one after the other
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Capture to write: the packets that the program lets pass, as it left them
    #[arg(long, value_name = "FILE", requires = "pcap")]
    out_pcap: Option<PathBuf>,

    /// Run this often, each time on what the run before left, and print the time of one run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,

    /// Fix time, random numbers and the current task, so that every run is the same
    #[arg(long)]
    reproducible: bool,

    /// Instructions that one run may execute
    #[arg(long, value_name = "N")]
    budget: Option<u64>,

    /// Do not verify first: whatever the program does, it is confined to emulated memory
    #[arg(long)]
    no_verify: bool,

    /// Leave confinement out of the machine code of a program that the verifier accepted. A bug of the kernel's verifier
    /// is a hole then, since skep's answers alike
    #[arg(long, conflicts_with = "no_verify")]
    elide: bool,

    /// Name the machine code in /tmp/perf-PID.map, where `perf report` looks
    #[arg(long)]
    perf_map: bool,

    /// Print the contents of all maps afterwards
    #[arg(long)]
    dump_maps: bool,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// Interpreter
    Interp,
    /// x86-64 machine code
    Jit,
}

impl Engine {
    /// As the option spells it.
    fn name(self) -> &'static str {
        match self {
            Engine::Interp => "interp",
            Engine::Jit => "jit",
        }
    }
}

pub fn main(args: &Args) -> Result<Verdict> {
    if let Some(path) = &args.cases {
        return run_cases(args, path);
    }
    let Some(input) = &args.input else {
        return Err(Failure::new("no program given: name a file, or --cases FILE"));
    };
    let object = input.object()?;
    let index = input.one(&object)?;
    let object = object.reduced_to(index);
    let word = ask(args, &object, args.mem.is_some())?;
    if let Word::Rejected(text) = &word {
        print(text);
        return Ok(Verdict::No);
    }
    let machine = machine(args, &object, &word)?;
    match &args.pcap {
        Some(path) => run_capture(args, &object, &machine, path),
        None => run_once(args, &object, &machine),
    }
}

/// What the verifier says of programs; that it has no answer is told.
fn ask(args: &Args, object: &Object, flat: bool) -> Result<Word> {
    if args.no_verify {
        return Ok(Word::None("--no-verify".to_owned()));
    }
    let word = verified::ask(object, flat)?;
    if let Word::None(why) = &word
        && !flat
    {
        note(format_args!("not verified: {why}"));
    }
    Ok(word)
}

/// A machine for the first program of an object, unless it needs what skep cannot give.
fn machine(args: &Args, object: &Object, word: &Word) -> Result<Machine> {
    let program = &object.programs[0];
    if let Some(needed) = program.requirements.first() {
        return Err(Failure::unsupported(format_args!("program `{}` needs {needed}", program.name)));
    }
    let environment = if args.reproducible { Environment::reproducible() } else { Environment::default() };
    let engine = match args.engine {
        Engine::Interp => skep_vm::Engine::Interpreter,
        Engine::Jit => skep_vm::Engine::Jit,
    };
    let mut config = Config { engine, checked: args.checked, environment, ..Config::default() };
    if args.budget.is_some() {
        config.budget = args.budget;
    }
    if args.elide && (args.engine != Engine::Jit || !matches!(word, Word::Accepted)) {
        return Err(Failure::new(
            "--elide is for the JIT (--engine jit), and for programs that the verifier accepts",
        ));
    }
    let machine = verified::machine(object, config, args.elide.then_some(word))?;
    if args.perf_map {
        perf_map(object, &machine)?;
    }
    Ok(machine)
}

/// Writes a line for each program that was compiled: address, length and name, as `perf` reads them
/// (`tools/perf/Documentation/jit-interface.txt` of the kernel).
fn perf_map(object: &Object, machine: &Machine) -> Result<()> {
    let mut lines = String::new();
    for (index, program) in object.programs.iter().enumerate() {
        if let Some(code) = machine.native(index) {
            // A String takes everything that is written to it.
            let _ = writeln!(lines, "{:x} {:x} bpf_prog_{}", code.address, code.bytes.len(), program.name);
        }
    }
    if lines.is_empty() {
        return Err(Failure::new("--perf-map names machine code, which --engine jit makes"));
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    std::fs::write(&path, lines).map_err(|e| Failure::new(format_args!("{path}: {e}")))
}

/// One input, once or many times.
fn run_once(args: &Args, object: &Object, machine: &Machine) -> Result<Verdict> {
    let bytes = Inputs::read(args, object.programs[0].prog_type)?;
    let mut thread = machine.thread().map_err(Failure::new)?;
    let bar = progress(if args.repeat > 1 { args.repeat } else { 0 }, "runs");
    let mut prepared = thread.prepare(0, bytes.input()).map_err(Failure::new)?;
    let started = Instant::now();
    let mut last = prepared.run();
    for done in 1..args.repeat {
        if last.is_err() {
            break;
        }
        last = prepared.run();
        if done % 65536 == 0 {
            bar.set_position(done);
        }
    }
    let elapsed = started.elapsed();
    bar.finish_and_clear();
    let outcome = prepared.finish(last);
    let mut result = RunResult::new(object, args.engine.name(), outcome);
    if args.repeat > 1 {
        result.ns_per_run = Some(elapsed.as_nanos() as f64 / args.repeat as f64);
    }
    result.trace = result::take_trace(machine);
    if args.dump_maps || args.json {
        result.maps = dump::all(object, machine);
    }
    if args.json {
        println!("{}", result.json());
    } else {
        print(&result.text());
    }
    finish(result.trap())
}

/// A trap is the end of the run without a result.
fn finish(trap: Option<String>) -> Result<Verdict> {
    match trap {
        None => Ok(Verdict::Yes),
        Some(text) => Err(Failure::told_in_json(text)),
    }
}

/// The bytes that a run starts from.
struct Inputs {
    mem: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
    ctx: Option<Vec<u8>>,
}

impl Inputs {
    fn read(args: &Args, prog_type: ProgType) -> Result<Self> {
        let mem = match &args.mem {
            Some(text) => Some(
                hex::decode(text.replace(char::is_whitespace, ""))
                    .map_err(|e| Failure::new(format_args!("--mem: not hex: {e}")))?,
            ),
            None => None,
        };
        let data = args.data_in.as_deref().map(input::read).transpose()?;
        let ctx = args.ctx_in.as_deref().map(input::read).transpose()?;
        let mut inputs = Inputs { mem, data, ctx };
        if inputs.default_packet(prog_type) {
            note(input::EMPTY_PACKET_NOTE);
        }
        Ok(inputs)
    }

    fn of_case(case: &Case) -> Self {
        let mut inputs =
            Inputs { mem: case.mem.clone(), data: case.data_in.clone(), ctx: case.ctx_in.clone() };
        inputs.default_packet(case.program.prog_type);
        inputs
    }

    /// A packet of zeros where the program needs one and nothing is given; whether there is one now.
    fn default_packet(&mut self, prog_type: ProgType) -> bool {
        let needed = self.mem.is_none() && self.data.is_none() && takes_packet(prog_type);
        if needed {
            self.data = Some(vec![0; input::EMPTY_PACKET]);
        }
        needed
    }

    fn input(&self) -> Input<'_> {
        match self {
            Inputs { mem: Some(mem), .. } => Input::Mem(mem),
            Inputs { data: Some(data), ctx, .. } => Input::Packet { data, ctx: ctx.as_deref() },
            Inputs { ctx: Some(ctx), .. } => Input::Context(ctx),
            Inputs { .. } => Input::None,
        }
    }
}

/// Every packet of a capture, one after the other, on the same maps.
fn run_capture(args: &Args, object: &Object, machine: &Machine, path: &std::path::Path) -> Result<Verdict> {
    let packets = capture::read(path)?;
    let program = &object.programs[0];
    let ctx = args.ctx_in.as_deref().map(input::read).transpose()?;
    let mut writer = args.out_pcap.as_deref().map(capture::Writer::create).transpose()?;
    let mut thread = machine.thread().map_err(Failure::new)?;
    let mut summary = Summary::new(object, args.engine.name());
    let bar = progress(packets.len() as u64, "packets");
    for packet in &packets {
        bar.inc(1);
        let outcome = match thread.run(0, Input::Packet { data: &packet.data, ctx: ctx.as_deref() }) {
            Ok(outcome) => outcome,
            // Captures have such packets, and the kernel's test runs refuse them too.
            Err(RunError::Input(why @ InputError::ShortPacket { .. })) => {
                summary.refuse(&why);
                continue;
            }
            Err(e) => return Err(Failure::new(e)),
        };
        summary.add(&outcome);
        if let Some(writer) = writer.as_mut().filter(|_| outcome.trap.is_none())
            && lets_pass(program.prog_type, outcome.r0 as u32)
        {
            writer.write(packet.time, &outcome.data_out)?;
        }
    }
    bar.finish_and_clear();
    summary.trace = result::take_trace(machine);
    if args.dump_maps || args.json {
        summary.maps = dump::all(object, machine);
    }
    if args.json {
        println!("{}", summary.json());
    } else {
        print(&summary.text());
    }
    finish(summary.trap())
}

/// Whether a packet goes on after this return value, and so into the output capture.
fn lets_pass(prog_type: ProgType, r0: u32) -> bool {
    match action_name(prog_type, r0) {
        Some(name) => !matches!(
            name,
            "XDP_ABORTED" | "XDP_DROP" | "TC_ACT_SHOT" | "SK_DROP" | "BPF_DROP" | "deny" | "drop"
        ),
        None => prog_type != ProgType::XDP,
    }
}

/// Every case of a case file; a case that cannot be run says so in its result.
fn run_cases(args: &Args, path: &std::path::Path) -> Result<Verdict> {
    let cases = input::cases(path)?;
    let bar = progress(cases.len() as u64, "cases");
    let mut all = Verdict::Yes;
    for case in &cases {
        let json = match run_case(args, case) {
            Ok((json, ran)) => {
                if !ran {
                    all = Verdict::Unanswered;
                }
                json
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

/// The result of one case, and whether it ran to its end.
fn run_case(args: &Args, case: &Case) -> Result<(serde_json::Value, bool)> {
    let object = Object::single(case.program.clone());
    let word =
        if args.no_verify { Word::None(String::new()) } else { verified::ask(&object, case.mem.is_some())? };
    if let Word::Rejected(text) = &word {
        return Err(Failure::new(text.trim_end()));
    }
    let machine = machine(args, &object, &word)?;
    let mut thread = machine.thread().map_err(Failure::new)?;
    let outcome = thread.run(0, Inputs::of_case(case).input()).map_err(Failure::new)?;
    let ran = outcome.trap.is_none();
    let mut result = RunResult::new(&object, args.engine.name(), outcome);
    result.trace = result::take_trace(&machine);
    result.maps = dump::all(&object, &machine);
    let mut json = result.json();
    json["id"] = case.id.clone().into();
    Ok((json, ran))
}
