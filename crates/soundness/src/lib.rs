// SPDX-License-Identifier: GPL-2.0-only
//! Follows concrete runs of accepted programs along the states that the verifier explored: an independent check of the
//! verifier, since it shares no code with what it checks.
//!
//! Guaranteed of a program without [`Violation`]: before each instruction of each run, some state that the verifier
//! explored there, reached by the same branches and calls, contains the machine; and no access goes wrong. What
//! "contains" means is in [`contain`](crate), what a covered path still promises in [`loose`](crate).
//!
//! A path of the verifier ends where a state kept earlier covers its own. What holds from there on is less than
//! containment: numbers that the kept state does not need precise were not compared, nor were registers and slots that
//! are not read again. So a run that is outside only there goes on *loosely*: what is computed of a loose number may be
//! outside as well, but a pointer made with it must not, a branch that was not explored must not be taken because of
//! it, and what is never read again must not be read. That is how missing precision marks and wrong liveness show.
//!
//! It is a crate of its own because it links verifier and virtual machine, of which neither may know the other, is
//! under the verifier's licence, and is called by tests, by a fuzz target, and by campaigns of the command; the fuzz
//! target should not have to build the whole command.

mod contain;
mod explored;
mod follow;
mod generate;
mod inputs;
mod loose;

use skep_program::{Object, Program};
use skep_uapi::ProgType;
use skep_verifier::{Caps, Options};
use skep_vm::{Config, Environment, InputError, Machine, MachineError, RunError, TrapKind};

pub use explored::NotExplored;
pub use follow::Violation;
pub use inputs::Given;
pub use skep_smith::Random;

use explored::Explored;
use follow::{Followed, Follower};

/// Bytes that maps and inputs may take.
const MEMORY: u64 = 64 << 20;

/// How much is to be done for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Runs.
    pub runs: usize,
    /// Instructions after which a run ends at the next jump.
    pub steps: u64,
}

/// Why nothing was checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    /// There are no states to follow.
    #[error(transparent)]
    NotExplored(#[from] NotExplored),
    /// The program cannot run.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The program does not run on the input.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no input for programs of its type: it would need objects of a kernel.
    #[error("no contexts of programs of type {0} are made here")]
    NoInput(ProgType),
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Visits of instructions that the verifier made.
    pub visits: usize,
    /// Runs.
    pub runs: usize,
    /// Instructions in front of which the machine was compared.
    pub steps: u64,
}

/// Why a check gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was checked.
    #[error(transparent)]
    Skipped(#[from] Skipped),
    /// The verifier is wrong, or the machine.
    #[error("{0}")]
    Violation(Violation),
}

/// Verifies the first program of an object, and follows runs of it on random inputs and contents of maps.
///
/// # Errors
/// [`Failure`].
pub fn check(
    object: &Object,
    options: &Options,
    effort: Effort,
    random: &mut Random<'_>,
) -> Result<Checked, Failure> {
    let explored = Explored::new(&object.programs[0], options).map_err(Skipped::from)?;
    follow_runs(&explored, object, options, effort, random)
}

fn follow_runs(
    explored: &Explored,
    object: &Object,
    options: &Options,
    effort: Effort,
    random: &mut Random<'_>,
) -> Result<Checked, Failure> {
    let program = &object.programs[0];
    if !Given::exists(program.prog_type) {
        return Err(Skipped::NoInput(program.prog_type).into());
    }
    let config = Config {
        budget: Some(effort.steps),
        checked: true,
        cpus: options.cpus,
        memory_limit: MEMORY,
        environment: Environment { random_seed: Some(random.number()), ..Environment::reproducible() },
        ..Config::default()
    };
    let follower = Follower::new(program, explored);
    let machine = Machine::new(object, config).map_err(Skipped::from)?;
    let mut thread = machine.thread().map_err(|errno| Skipped::from(MachineError::Memory(errno)))?;
    let mut checked = Checked { visits: explored.len(), ..Checked::default() };
    for _ in 0..effort.runs {
        inputs::fill_maps(&machine, object, random);
        let input = Given::new(program.prog_type, random);
        let outcome = match thread.run_observed(0, input.as_input(), &follower) {
            Ok(outcome) => outcome,
            // What is too short for the headers that it happens to announce is no input.
            Err(RunError::Input(InputError::ShortPacket { .. })) => continue,
            Err(error) => return Err(Skipped::from(error).into()),
        };
        let Followed { steps, to_the_end, violation } = follower.finish();
        checked.runs += 1;
        checked.steps += steps;
        let trap = outcome.trap.filter(|trap| to_the_end && is_unsafe(&trap.kind));
        let trapped = || trap.map(|trap| Violation { insn: 0, depth: 0, steps, what: trap.to_string() });
        if let Some(violation) = violation.or_else(trapped) {
            return Err(Failure::Violation(violation));
        }
    }
    Ok(checked)
}

/// Makes a program of these choices, and checks it.
pub fn check_generated(random: &mut Random<'_>, effort: Effort) -> (Program, Result<Checked, Failure>) {
    let program = generate::generate(random);
    let caps = random.pick(&[Caps::FULL, Caps::FULL, Caps::FULL, Caps::CAPBPF]);
    let options = Options { caps, ..Options::default() };
    let result = check(&Object::single(program.clone()), &options, effort, random);
    (program, result)
}

/// Whether a program that is safe cannot end so.
fn is_unsafe(trap: &TrapKind) -> bool {
    match trap {
        TrapKind::BadAccess(_)
        | TrapKind::BadArgument { .. }
        | TrapKind::BadCallback(_)
        | TrapKind::BadMap(_)
        | TrapKind::CallDepth
        | TrapKind::FellOff => true,
        TrapKind::MisalignedAtomic { .. }
        | TrapKind::Budget
        | TrapKind::Stopped
        | TrapKind::UnknownHelper(_)
        | TrapKind::UnsupportedHelper(_)
        | TrapKind::UnsupportedKfunc(_)
        | TrapKind::UnsupportedInsn(_)
        | TrapKind::NoContext { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        let text = format!(
            ".license \"GPL\"\n.map m, array, key=4, value=16, max_entries=2\n\
             .map n, array, key=4, value=16, max_entries=2\n.program p, xdp\n{text}"
        );
        skep_asm::assemble(&text, &skep_asm::Options::default()).expect("it assembles")
    }

    /// Follows runs of one program along what was explored of another, as if the verifier were wrong about it.
    fn confuse(explored: &str, run: &str) -> Result<Checked, Failure> {
        let options = Options::default();
        let explored = Explored::new(&object(explored).programs[0], &options).expect("it is accepted");
        follow_runs(&explored, &object(run), &options, Effort { runs: 20, steps: 100 }, &mut Random::new(1))
    }

    const LOOKUP: &str = "*(u32 *)(r10 - 4) = 0\nr1 = map[m]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n";
    const PACKET: &str = "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 16\n";

    #[test]
    fn wrong_states_are_found() {
        let lookup = |rest: &str| format!("{LOOKUP}{rest}\nr0 = 0\nexit");
        let packet = |rest: &str| format!("{PACKET}{rest}\nout:\nr0 = 0\nexit");
        let pairs = [
            ("r0 = 1\nexit".to_owned(), "r0 = 2\nexit".to_owned()),
            ("r6 = r1\nr0 = 0\nexit".to_owned(), "r6 = r10\nr0 = 0\nexit".to_owned()),
            (
                "call bpf_get_prandom_u32\nr0 &= 1\nexit".to_owned(),
                "call bpf_get_prandom_u32\nr0 &= 9\nexit".to_owned(),
            ),
            (
                "r0 = 0\n*(u64 *)(r10 - 8) = 0\nexit".to_owned(),
                "r0 = 0\n*(u64 *)(r10 - 8) = 256\nexit".to_owned(),
            ),
            (
                "call bpf_get_prandom_u32\nif r0 > 9 goto out\nexit\nout:\nr0 = 0\nexit".to_owned(),
                "call bpf_get_prandom_u32\nif r0 < 9 goto out\nexit\nout:\nr0 = 0\nexit".to_owned(),
            ),
            (
                "r0 = 1\nif r0 != 1 goto out\nexit\nout:\nr0 = 0\nexit".to_owned(),
                "r0 = 1\nif r0 == 1 goto out\nexit\nout:\nr0 = 0\nexit".to_owned(),
            ),
            (lookup(""), lookup("").replace("map[m]", "map[n]")),
            (lookup("if r0 == 0 goto out\nr0 += 8\nout:"), lookup("if r0 == 0 goto out\nr0 += 4\nout:")),
            (lookup("if r0 == 0 goto out\nr6 = r0\nout:"), lookup("if r0 != 0 goto out\nr6 = r0\nout:")),
            (
                packet("if r4 > r3 goto out\nr0 = *(u8 *)(r2 + 15)"),
                packet("if r4 < r3 goto out\nr0 = *(u8 *)(r2 + 15)"),
            ),
            (packet("r5 = r3"), packet("r5 = r2")),
        ];
        for (explored, run) in pairs {
            assert!(confuse(&explored, &explored).is_ok(), "{explored}");
            let result = confuse(&explored, &run);
            assert!(matches!(result, Err(Failure::Violation(_))), "{run}\n{result:?}");
        }
    }
}
