// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole objects and cases in front of a kernel: BTF, maps, then each program asked for, one verdict each.

use std::collections::BTreeSet;

use skep_program::load::{self, LoadError};
use skep_program::{Case, Object, Program, Slot};
use skep_uapi::Errno;

use crate::attach::{AttachError, AttachTargets};
use crate::{Kernel, KernelFd, Verdict, maps};

/// Why a program was not put before the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It needs something that skep does not give yet.
    #[error("{0}")]
    Requirement(skep_program::Requirement),
    /// Its attach target was not found.
    #[error("{0}")]
    Attach(#[from] AttachError),
    /// It asks to be loaded with fewer capabilities.
    #[error("loading with the capability set `{0}`")]
    Capabilities(String),
}

/// What became of a program.
#[derive(Debug)]
pub enum Answer {
    /// The kernel was asked.
    Verdict(Verdict),
    /// It was not, for this reason.
    Unsupported(Unsupported),
}

impl Answer {
    /// The verdict, where the kernel was asked.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        match self {
            Answer::Verdict(verdict) => Some(verdict),
            Answer::Unsupported(_) => None,
        }
    }
}

/// A program that was put before the kernel.
#[derive(Debug)]
pub struct LoadedProgram {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub answer: Answer,
    /// The loaded program, where it was accepted.
    pub fd: Option<KernelFd>,
}

/// Maps and programs of an object in the running kernel, as long as this value lives.
#[derive(Debug)]
pub struct Loaded {
    /// The maps, as the object's programs index them.
    pub maps: Vec<KernelFd>,
    /// The programs asked for, in the object's order.
    pub programs: Vec<LoadedProgram>,
}

impl Loaded {
    /// An accepted program by its name.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&KernelFd> {
        self.programs.iter().find(|p| p.name == name)?.fd.as_ref()
    }
}

/// The BTF of an object: that of its first program that has some (they all share one).
fn object_btf(object: &Object) -> Option<&[u8]> {
    object.programs.iter().find_map(|p| p.btf.as_deref())
}

/// Names of the programs selected and of those that program arrays need beside them.
fn selection(object: &Object, select: impl Fn(&Program) -> bool) -> BTreeSet<&str> {
    let slots = object.maps.iter().flat_map(|m| &m.slots).filter_map(|(_, slot)| match slot {
        Slot::Program(name) => Some(name.as_str()),
        Slot::Map(_) => None,
    });
    object.programs.iter().filter(|p| select(p)).map(|p| p.name.as_str()).chain(slots).collect()
}

fn load_one(
    kernel: &Kernel,
    program: &Program,
    maps: &[KernelFd],
    btf: Option<&KernelFd>,
    targets: &mut AttachTargets,
    log_level: u32,
) -> LoadedProgram {
    let name = program.name.clone();
    let unsupported = |why| LoadedProgram { name: name.clone(), answer: Answer::Unsupported(why), fd: None };
    // An attach target is found below; the other requirements are beyond this loader.
    let needs_other =
        |r: &&skep_program::Requirement| !matches!(r, skep_program::Requirement::AttachTarget(_));
    if let Some(requirement) = program.requirements.iter().find(needs_other) {
        return unsupported(Unsupported::Requirement(requirement.clone()));
    }
    let attach_btf_id = match targets.resolve(program) {
        Ok(id) => id,
        Err(error) => return unsupported(error.into()),
    };
    let resolved;
    let program = if attach_btf_id == program.attach_btf_id {
        program
    } else {
        resolved = Program { attach_btf_id, ..program.clone() };
        &resolved
    };
    let (result, log) = load_asking_why(kernel, program, maps, btf, log_level);
    let (fd, result) = match result {
        Ok(fd) => (Some(fd), Ok(())),
        Err(errno) => (None, Err(errno)),
    };
    LoadedProgram { name, answer: Answer::Verdict(Verdict::new(result, log, kernel.release())), fd }
}

/// Loads a program; one that is refused without a log is loaded again with one, to tell why, as libbpf does.
fn load_asking_why(
    kernel: &Kernel,
    program: &Program,
    maps: &[KernelFd],
    btf: Option<&KernelFd>,
    log_level: u32,
) -> (Result<KernelFd, Errno>, String) {
    let mut log = String::new();
    let mut result = load::load_program(kernel, program, maps, btf, log_level, &mut log);
    if result.is_err() && log_level == 0 {
        result = load::load_program(kernel, program, maps, btf, 1, &mut log);
    }
    (result, log)
}

/// Creates the maps of an object and loads the programs that `select` picks, with those that sit in slots of its
/// program arrays, into the running kernel. Slots are filled with what was accepted.
///
/// # Errors
/// [`LoadError`] where a map or the BTF is refused, so that no program could be asked about.
pub fn load_object(
    kernel: &Kernel,
    object: &Object,
    select: impl Fn(&Program) -> bool,
    log_level: u32,
) -> Result<Loaded, LoadError> {
    let btf = load::load_btf(kernel, object_btf(object))?;
    let maps = maps::create_maps(kernel, &object.maps, btf.as_ref())?;
    let names = selection(object, select);
    let mut targets = AttachTargets::default();
    let programs = object
        .programs
        .iter()
        .filter(|p| names.contains(p.name.as_str()))
        .map(|p| load_one(kernel, p, &maps, btf.as_ref(), &mut targets, log_level))
        .collect();
    let loaded = Loaded { maps, programs };
    fill_slots(kernel, object, &loaded)?;
    Ok(loaded)
}

/// Fills program slots, those of refused programs left empty: their verdicts say why.
fn fill_slots(kernel: &Kernel, object: &Object, loaded: &Loaded) -> Result<(), LoadError> {
    let mut specs = object.maps.as_ref().clone();
    for spec in &mut specs {
        spec.slots.retain(|(_, slot)| match slot {
            Slot::Program(name) => {
                loaded.program(name).is_some() || object.programs.iter().all(|p| p.name != *name)
            }
            Slot::Map(_) => false,
        });
    }
    let present = Object { programs: Vec::new(), maps: specs.into() };
    load::fill_program_slots(kernel, &present, &loaded.maps, |name| loaded.program(name))
}

/// Loads the program of a case. Each call stands for itself: its maps are gone when the answer is dropped.
///
/// # Errors
/// [`LoadError`] where a map or the BTF is refused.
pub fn load_case(kernel: &Kernel, case: &Case, log_level: u32) -> Result<Loaded, LoadError> {
    if case.caps != "full" {
        let answer = Answer::Unsupported(Unsupported::Capabilities(case.caps.clone()));
        let name = case.program.name.clone();
        return Ok(Loaded { maps: Vec::new(), programs: vec![LoadedProgram { name, answer, fd: None }] });
    }
    load_object(kernel, &Object::single(case.program.clone()), |_| true, log_level)
}
