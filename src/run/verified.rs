// SPDX-License-Identifier: GPL-2.0-only
//! What a run knows of its programs: the verifier's word comes before the engine's.

use skep_program::{Object, Program};
use skep_uapi::ProgType;
use skep_verifier::Options;
use skep_vm::{Config, Machine};

use crate::load::text;
use crate::report::{Failure, Result};
use crate::verifier;
use crate::verify::verdict;

/// The release whose verifier is asked.
const RELEASE: &str = "6.18";

/// What the verifier said of the programs of an object.
pub enum Word {
    /// It accepted all of them, and they run on the inputs that it assumes.
    Accepted,
    /// It rejected one: its name, and what it said.
    Rejected(String),
    /// It was not asked, or has no answer, for this reason.
    None(String),
}

/// Asks the verifier. `flat` says that the programs run on flat memory, which no kernel gives to a program.
pub fn ask(object: &Object, flat: bool) -> Result<Word> {
    if flat {
        return Ok(Word::None("flat memory is not what a kernel would give to it".to_owned()));
    }
    let options = Options {
        profile: verifier::profile(RELEASE)?,
        cpus: verifier::cpus(),
        log_level: 1,
        ..Options::default()
    };
    for program in &object.programs {
        if program.prog_type == ProgType::UNSPEC {
            return Ok(Word::None(format!("program `{}` has no type", program.name)));
        }
        match verdict(program, &options, RELEASE) {
            Ok(verdict) if verdict.accepted => {}
            Ok(verdict) => return Ok(Word::Rejected(text(&program.name, &verdict))),
            Err(what) => return Ok(Word::None(no_answer(program, &what))),
        }
    }
    Ok(Word::Accepted)
}

fn no_answer(program: &Program, what: &str) -> String {
    format!("the verifier does not do {what} yet, which program `{}` needs", program.name)
}

/// A machine for an object. Where `elide` has the verifier's word, and it accepted, nothing is confined.
pub fn machine(object: &Object, config: Config, elide: Option<&Word>) -> Result<Machine> {
    let machine = match elide {
        // SAFETY: every program of the object was accepted, as it is and with its maps, by a verifier that answers as
        // Linux's, and `ask` was told that they run on the inputs of their types.
        #[allow(unsafe_code)]
        Some(Word::Accepted) => unsafe { Machine::new_verified(object, config) },
        Some(Word::Rejected(_) | Word::None(_)) | None => Machine::new(object, config),
    };
    machine.map_err(Failure::new)
}
