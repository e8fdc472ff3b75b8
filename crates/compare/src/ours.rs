// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer of `skep_vm`: runs on inputs in a row against the same maps, so that what one packet leaves behind
//! meets the next. It gives no verdict.

use skep_kernel_load::contents::{elements, unreadable};
use skep_kernel_load::{Contents, Ending, NoAnswer, Observation, Request, Run, RunInput};
use skep_program::MapSpec;
use skep_uapi::Errno;
use skep_vm::{
    Config, Input, InputError, InsnProblem, Machine, MachineError, Outcome, RunError, Trap, TrapKind,
};

/// Runs the program of a request on its inputs in `skep_vm`, with per-cpu maps of so many CPUs. Without inputs
/// there is nothing to say, and the observation is empty.
///
/// # Errors
/// [`NoAnswer::Unsupported`] with the name of what `skep_vm` lacks for this program; [`NoAnswer::Load`] where the
/// program or its maps cannot be run for a reason of their own.
pub fn observe_ours(request: &Request, cpus: u32) -> Result<Observation, NoAnswer> {
    if request.inputs.is_empty() {
        return Ok(Observation::default());
    }
    let index = request.object.programs.iter().position(|p| p.name == request.program);
    let index = index.ok_or_else(|| NoAnswer::Load(format!("there is no program `{}`", request.program)))?;
    if let Some(requirement) = request.object.programs[index].requirements.first() {
        return Err(NoAnswer::Unsupported(requirement.to_string()));
    }
    let machine = Machine::new(&request.object, Config { cpus, ..Config::default() }).map_err(no_machine)?;
    let no_memory = |errno: Errno| NoAnswer::Load(format!("no memory for a thread: {errno}"));
    let mut thread = machine.thread().map_err(no_memory)?;
    let mut observation = Observation::default();
    for given in &request.inputs {
        let outcome = thread.run(index, input(given));
        observation.runs.push(match outcome {
            Ok(outcome) => returned(given, outcome)?,
            Err(error) => refused(error)?,
        });
    }
    let maps = request.object.maps.iter().enumerate();
    observation.maps = maps.map(|(at, spec)| contents(&machine, at, spec)).collect();
    Ok(observation)
}

fn no_machine(error: MachineError) -> NoAnswer {
    match error {
        MachineError::UnsupportedMap { map_type, .. } => {
            NoAnswer::Unsupported(format!("map type {map_type}"))
        }
        MachineError::Insn { problem: InsnProblem::KernelVariable(_), .. } => {
            NoAnswer::Unsupported("kernel variable".to_owned())
        }
        other => NoAnswer::Load(other.to_string()),
    }
}

fn input(given: &RunInput) -> Input<'_> {
    match (&given.data, &given.ctx) {
        (Some(data), ctx) => Input::Packet { data, ctx: ctx.as_deref() },
        (None, Some(ctx)) => Input::Context(ctx),
        (None, None) => Input::None,
    }
}

/// A run that began. What is missing in `skep_vm` is no behaviour of the program.
fn returned(given: &RunInput, outcome: Outcome) -> Result<Run, NoAnswer> {
    let ending = match outcome.trap {
        Some(Trap { kind: TrapKind::UnsupportedHelper(name), .. }) => {
            return Err(NoAnswer::Unsupported(format!("helper {name}")));
        }
        Some(Trap { kind: TrapKind::UnsupportedKfunc(_), .. }) => {
            return Err(NoAnswer::Unsupported("kernel function".to_owned()));
        }
        Some(trap) => Ending::Trapped(trap.to_string()),
        None => Ending::Returned(outcome.r0 as u32),
    };
    Ok(Run {
        ending,
        data_out: given.data.is_some().then_some(outcome.data_out),
        // As a kernel's test run: no context comes back where none went in.
        ctx_out: given.ctx.is_some().then_some(outcome.ctx_out).filter(|ctx| !ctx.is_empty()),
        insn_count: Some(outcome.insn_count),
    })
}

/// A run that did not begin.
fn refused(error: RunError) -> Result<Run, NoAnswer> {
    let errno = match error {
        RunError::Input(InputError::UnsupportedType(prog_type)) => {
            return Err(NoAnswer::Unsupported(format!(
                "running programs of type {prog_type}: their context is a kernel object"
            )));
        }
        RunError::Input(InputError::Memory(errno)) => errno,
        RunError::Input(_) | RunError::NoProgram(_) | RunError::NotChecked => Errno::EINVAL,
    };
    Ok(Run { ending: Ending::Refused(errno), data_out: None, ctx_out: None, insn_count: None })
}

pub(crate) fn contents(machine: &Machine, at: usize, spec: &MapSpec) -> Contents {
    if let Some(why) = unreadable(spec.map_type) {
        return Contents::Unread(why.to_owned());
    }
    let Some(map) = machine.map(at) else { return Contents::Unread("it is missing".to_owned()) };
    match elements(map.key_size() == 0, |key| map.next_key(key), |key| map.lookup(key)) {
        Ok(elements) => Contents::Elements(elements),
        Err(errno) => Contents::Unread(format!("it cannot be read: {errno}")),
    }
}
