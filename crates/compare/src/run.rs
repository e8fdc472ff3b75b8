// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same program on the same inputs, by `skep_vm` and by another backend's `BPF_PROG_TEST_RUN`.
//!
//! Inputs run in a row against the same maps on both sides, so that what one packet leaves behind meets the next.

use skep_program::load::LoadError;
use skep_program::{MapSpec, Object};
use skep_uapi::{Bpf, Errno, MapType, ProgType, TestRun, TestRunResult};
use skep_vm::{Config, Input, InputError, Machine, MachineError, Outcome, RunError, Thread, Trap, TrapKind};

use crate::contents;
use crate::environment::dependent_helpers;
use crate::report::{Difference, Report, Side, Skipped, What};

/// Room for any context that comes back.
const CTX_ROOM: usize = 512;

/// What one run is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunInput {
    /// Packet, for program types that take one.
    pub data: Option<Vec<u8>>,
    /// Context in the layout of the uapi, where something in it matters.
    pub ctx: Option<Vec<u8>>,
}

impl RunInput {
    /// A packet without a context.
    #[must_use]
    pub fn packet(data: Vec<u8>) -> Self {
        RunInput { data: Some(data), ctx: None }
    }

    fn ours(&self) -> Input<'_> {
        match (&self.data, &self.ctx) {
            (Some(data), ctx) => Input::Packet { data, ctx: ctx.as_deref() },
            (None, Some(ctx)) => Input::Context(ctx),
            (None, None) => Input::None,
        }
    }

    fn theirs(&self) -> TestRun<'_> {
        TestRun {
            data_in: self.data.as_deref(),
            data_out_size: self.data.as_ref().map_or(0, Vec::len),
            ctx_in: self.ctx.as_deref(),
            // Program types without a packet take no room for a context.
            ctx_out_size: if self.data.is_some() && self.ctx.is_some() { CTX_ROOM } else { 0 },
            repeat: u32::from(self.data.is_some()),
            flags: 0,
        }
    }
}

/// A program and its maps on another backend.
#[derive(Debug)]
pub struct Theirs<'a, B: Bpf> {
    /// The backend.
    pub bpf: &'a B,
    /// The loaded program.
    pub program: &'a B::Fd,
    /// Its maps, in the object's order.
    pub maps: &'a [B::Fd],
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The object has no such program.
    #[error("there is no program `{0}`")]
    NoProgram(String),
    /// It cannot be run here.
    #[error("here: {0}")]
    Machine(#[from] MachineError),
    /// No memory for a thread here.
    #[error("here: no memory for a thread: {0}")]
    Thread(Errno),
    /// Its maps cannot be created on the other side.
    #[error("there: {0}")]
    Load(#[from] LoadError),
    /// The other side refuses the program.
    #[error("there: program `{program}` is refused: {errno}: {message}")]
    Rejected {
        /// Name of the program.
        program: String,
        /// What `BPF_PROG_LOAD` returned.
        errno: Errno,
        /// The last line of the verifier's log.
        message: String,
    },
    /// The program was not put before the other side.
    #[error("there: program `{program}` needs what is unsupported: {why}")]
    Unsupported {
        /// Name of the program.
        program: String,
        /// What is unsupported.
        why: String,
    },
    /// Programs of this type are not run here.
    #[error("here: programs of type {0} cannot be run: their context is a kernel object")]
    TypeNotRun(ProgType),
    /// It calls something that is not implemented here.
    #[error("here: {0}")]
    NotImplemented(Trap),
    /// The other side has no test run for programs of this type.
    #[error("there: BPF_PROG_TEST_RUN does not take programs of type {0}")]
    NoTestRun(ProgType),
}

/// Runs a program of an object here and there on inputs in a row, and compares `r0`, packets, contexts, and the
/// maps afterwards.
///
/// # Errors
/// [`CompareError`] where nothing could be run.
pub fn compare_runs<B: Bpf>(
    object: &Object,
    program: &str,
    inputs: &[RunInput],
    theirs: &Theirs<'_, B>,
) -> Result<Report, CompareError> {
    let find = || object.programs.iter().position(|p| p.name == program);
    let index = find().ok_or_else(|| CompareError::NoProgram(program.to_owned()))?;
    let cpus = u32::try_from(theirs.bpf.possible_cpus()).unwrap_or(u32::MAX);
    let machine = Machine::new(object, Config { cpus, ..Config::default() })?;
    let mut thread = machine.thread().map_err(CompareError::Thread)?;
    let mut report =
        Report { program: program.to_owned(), environment: dependent_helpers(object), ..Report::default() };
    for (number, input) in inputs.iter().enumerate() {
        let there = theirs.bpf.prog_test_run(theirs.program, &input.theirs());
        if there == Err(Errno::ENOTSUPP) {
            return Err(CompareError::NoTestRun(object.programs[index].prog_type));
        }
        let here = run_here(&mut thread, index, input)?;
        compare_run(number, input, here, there, &mut report);
    }
    for (at, spec) in object.maps.iter().enumerate() {
        compare_map(&machine, at, spec, theirs, &mut report);
    }
    Ok(report)
}

/// One run here. What is missing in `skep_vm` is no difference between the two sides.
fn run_here(
    thread: &mut Thread<'_>,
    index: usize,
    input: &RunInput,
) -> Result<Result<Outcome, RunError>, CompareError> {
    let outcome = thread.run(index, input.ours());
    match &outcome {
        Ok(Outcome { trap: Some(trap), .. })
            if matches!(trap.kind, TrapKind::UnsupportedHelper(_) | TrapKind::UnsupportedKfunc(_)) =>
        {
            Err(CompareError::NotImplemented(trap.clone()))
        }
        Err(RunError::Input(InputError::UnsupportedType(prog_type))) => {
            Err(CompareError::TypeNotRun(*prog_type))
        }
        _ => Ok(outcome),
    }
}

fn compare_run(
    input: usize,
    given: &RunInput,
    here: Result<Outcome, RunError>,
    there: Result<TestRunResult, Errno>,
    report: &mut Report,
) {
    let mut differ = |what, ours, theirs| report.differences.push(Difference { what, ours, theirs });
    let in_words = |there: &Result<TestRunResult, Errno>| match there {
        Ok(result) => format!("r0 = {}", result.retval),
        Err(errno) => format!("BPF_PROG_TEST_RUN: {errno}"),
    };
    match (here, there) {
        (Err(_), Err(_)) => report.refused += 1,
        (Err(error), there) => {
            differ(What::Ending { input }, Side::Words(error.to_string()), Side::Words(in_words(&there)));
        }
        (Ok(Outcome { trap: Some(trap), .. }), there) => {
            differ(What::Ending { input }, Side::Words(trap.to_string()), Side::Words(in_words(&there)));
        }
        (Ok(ours), Err(errno)) => {
            let ours = Side::Words(format!("r0 = {}", ours.r0));
            differ(What::Ending { input }, ours, Side::Words(in_words(&Err(errno))));
        }
        (Ok(ours), Ok(theirs)) => {
            let r0 = ours.r0 as u32;
            if r0 != theirs.retval {
                let (ours, theirs) = (Side::Number(r0.into()), Side::Number(theirs.retval.into()));
                differ(What::R0 { input }, ours, theirs);
            }
            let bytes = |bytes: &[u8]| Side::Bytes(hex::encode(bytes));
            if given.data.is_some() && ours.data_out != theirs.data_out {
                differ(What::DataOut { input }, bytes(&ours.data_out), bytes(&theirs.data_out));
            }
            if !theirs.ctx_out.is_empty() && ours.ctx_out != theirs.ctx_out {
                differ(What::CtxOut { input }, bytes(&ours.ctx_out), bytes(&theirs.ctx_out));
            }
            report.runs += 1;
            *report.results.entry(r0).or_default() += 1;
        }
    }
}

fn compare_map<B: Bpf>(
    machine: &Machine,
    at: usize,
    spec: &MapSpec,
    theirs: &Theirs<'_, B>,
    report: &mut Report,
) {
    let mut skip = |reason: String| {
        report.skipped.push(Skipped { what: format!("map `{}`", spec.name), reason });
    };
    if let Some(reason) = contents::unreadable(spec.map_type) {
        return skip(reason.to_owned());
    }
    let (Some(here), Some(there)) = (machine.map(at), theirs.maps.get(at)) else {
        return skip("it is missing on one side".to_owned());
    };
    if matches!(spec.map_type, MapType::QUEUE | MapType::STACK) {
        skip("reading takes elements out, so only the head is compared".to_owned());
    }
    match (contents::ours(here), contents::theirs(theirs.bpf, spec, there)) {
        (Ok(ours), Ok(theirs)) => report.differences.extend(contents::differences(spec, &ours, &theirs)),
        (ours, theirs) => {
            let word = |r: Result<_, Errno>| r.err().map_or("readable".to_owned(), |e| e.to_string());
            skip(format!("here {}, there {}", word(ours), word(theirs)));
        }
    }
}
