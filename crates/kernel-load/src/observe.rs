// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is asked of a kernel about one program, and all that it answered: plain data, which travels to a boxed kernel
//! and back, and which any two backends can be compared by.

use serde::{Deserialize, Serialize};
use skep_program::{Case, Object};
use skep_uapi::context::takes_packet;
use skep_uapi::{Bpf, Errno, TestRun};

use crate::contents::{self, Elements};
use crate::load::{Answer, LoadOptions, Surroundings, load_object, resolved};
use crate::{Caps, CpuPin, Finding, Kernel, KernelFd, Verdict};

/// Room for any context that comes back.
const CTX_ROOM: usize = 512;

/// Zero bytes that a packet program runs on where no packet is given.
pub const EMPTY_PACKET: usize = 64;

/// What one run is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// As `BPF_PROG_TEST_RUN` takes it.
    #[must_use]
    pub fn test_run(&self) -> TestRun<'_> {
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

/// A question about one program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The program with its maps, and what else program arrays need.
    pub object: Object,
    /// Name of the program in it.
    pub program: String,
    /// Capabilities to load it with.
    pub caps: Caps,
    /// Log levels to load it with, in this order: one verdict each.
    pub levels: Vec<u32>,
    /// What an accepted program then runs on, in a row against the same maps.
    pub inputs: Vec<RunInput>,
}

impl Request {
    /// A question about the program at `index` of an object: its verdict at one log level.
    ///
    /// # Panics
    /// If there is no program `index`.
    #[must_use]
    pub fn new(object: &Object, index: usize, level: u32) -> Request {
        Request {
            object: object.reduced_to(index),
            program: object.programs[index].name.clone(),
            levels: vec![level],
            ..Request::default()
        }
    }

    /// A question about the program of a case: its verdict at one log level, with the case's capabilities.
    #[must_use]
    pub fn of_case(case: &Case, level: u32) -> Request {
        let object = Object::single(case.program.clone());
        // A case is parsed with one of the known names.
        Request { caps: Caps::from_name(&case.caps).unwrap_or_default(), ..Request::new(&object, 0, level) }
    }

    /// What a case asks to be run on: its packet and context, a packet of zeroes where the type needs one.
    #[must_use]
    pub fn input_of_case(case: &Case) -> RunInput {
        let mut input = RunInput { data: case.data_in.clone(), ctx: case.ctx_in.clone() };
        if input.data.is_none() && takes_packet(case.program.prog_type) {
            input.data = Some(vec![0; EMPTY_PACKET]);
        }
        input
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// With `r0`, of which test runs of the kernel give 32 bits.
    Returned(u32),
    /// `BPF_PROG_TEST_RUN` refused it.
    Refused(Errno),
    /// An engine of user space stopped it, for this reason.
    Trapped(String),
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// How it ended.
    pub ending: Ending,
    /// The packet afterwards, where one went in.
    pub data_out: Option<Vec<u8>>,
    /// The context afterwards, where it came back.
    pub ctx_out: Option<Vec<u8>>,
    /// Instructions executed, where the engine counts them.
    pub insn_count: Option<u64>,
}

/// What a map holds after all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contents {
    /// These elements.
    Elements(Elements),
    /// Not to be compared, for this reason.
    Unread(String),
}

/// All that a backend answered about one program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The verdict at each log level asked for; none from a backend that does not verify.
    pub verdicts: Vec<Verdict>,
    /// The runs, one for each input; none where the program was rejected.
    pub runs: Vec<Run>,
    /// Why there are no runs though inputs were given.
    pub not_run: Option<String>,
    /// The maps after the runs, in the object's order; none without runs.
    pub maps: Vec<Contents>,
    /// Warnings that a boxed kernel printed at this program, or at one of the few that it answered together with it.
    pub warnings: Vec<String>,
}

impl Observation {
    /// The verdict at the last level asked for, which has the most to say.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdicts.last()
    }
}

/// Why a backend has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NoAnswer {
    /// It, or skep, lacks something that the program needs: the name of that.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// This kind of kernel answers such programs otherwise than others would, for this reason.
    #[error("not comparable: {0}")]
    NotComparable(String),
    /// A map or the BTF was refused, so that the program could not be asked about.
    #[error("{0}")]
    Load(String),
    /// The question brought a boxed kernel down, twice.
    #[error("{0}")]
    Finding(Finding),
}

/// Loads and runs one program on the running kernel. Nothing of it is left afterwards.
///
/// # Errors
/// [`NoAnswer`] where the kernel could not be asked.
pub fn observe(kernel: &Kernel, request: &Request) -> Result<Observation, NoAnswer> {
    let Some((&first, more)) = request.levels.split_first() else { return Ok(Observation::default()) };
    let options = |log_level| LoadOptions { log_level, caps: request.caps };
    let mut loaded = load_object(kernel, &request.object, |p| p.name == request.program, options(first))
        .map_err(|error| NoAnswer::Load(error.to_string()))?;
    let unsupported = |why: crate::Unsupported| NoAnswer::Unsupported(why.to_string());
    let missing = || NoAnswer::Load(format!("there is no program `{}`", request.program));
    let at = loaded.programs.iter().position(|p| p.name == request.program).ok_or_else(missing)?;
    let one = loaded.programs.swap_remove(at);
    let mut verdicts = match one.answer {
        Answer::Verdict(verdict) => vec![verdict],
        Answer::Unsupported(why) => return Err(unsupported(why)),
    };
    let surroundings = Surroundings { kernel, maps: &loaded.maps, btf: loaded.btf.as_ref() };
    if !more.is_empty() {
        let program = request.object.program(&request.program).ok_or_else(missing)?;
        let program = resolved(kernel, program).map_err(unsupported)?;
        for &level in more {
            verdicts.push(surroundings.load(&program, options(level)).map_err(unsupported)?.0);
        }
    }
    let mut observation = Observation { verdicts, ..Observation::default() };
    if let Some(fd) = one.fd
        && !request.inputs.is_empty()
    {
        // Other programs of the object that its arrays were to hold.
        match loaded.programs.iter().find(|p| p.fd.is_none()) {
            Some(refused) => {
                observation.not_run = Some(format!("`{}`, which it jumps to, is refused", refused.name));
            }
            None => run(kernel, &fd, &surroundings, request, &mut observation),
        }
    }
    Ok(observation)
}

fn run(kernel: &Kernel, fd: &KernelFd, around: &Surroundings<'_>, request: &Request, into: &mut Observation) {
    // Where the thread cannot be pinned, per-cpu values may be spread over CPUs, and the comparison shows that.
    let _pin = CpuPin::new();
    for input in &request.inputs {
        let run = match kernel.prog_test_run(fd, &input.test_run()) {
            Ok(result) => Run {
                ending: Ending::Returned(result.retval),
                data_out: input.data.is_some().then_some(result.data_out),
                ctx_out: (!result.ctx_out.is_empty()).then_some(result.ctx_out),
                insn_count: None,
            },
            Err(Errno::ENOTSUPP) => {
                let why = "BPF_PROG_TEST_RUN does not take programs of its type";
                into.not_run = Some(why.to_owned());
                return;
            }
            Err(errno) => {
                Run { ending: Ending::Refused(errno), data_out: None, ctx_out: None, insn_count: None }
            }
        };
        into.runs.push(run);
    }
    into.maps = request
        .object
        .maps
        .iter()
        .zip(around.maps)
        .map(|(spec, map)| match contents::unreadable(spec.map_type) {
            Some(why) => Contents::Unread(why.to_owned()),
            None => match contents::read(kernel, spec, map) {
                Ok(elements) => Contents::Elements(elements),
                Err(errno) => Contents::Unread(format!("it cannot be read: {errno}")),
            },
        })
        .collect();
}
