// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole objects and cases in front of a kernel: BTF, maps, then each program asked for, one verdict each.

use std::borrow::Cow;
use std::collections::BTreeSet;

use skep_program::load::{self, LoadError};
use skep_program::{Object, Program, Requirement, Slot};
use skep_uapi::Errno;

use crate::attach::AttachError;
use crate::caps::{Caps, LoweredCaps};
use crate::{Kernel, KernelFd, Verdict, maps, symbols};

/// Bytes of a log from which on `ENOSPC` may mean it: the kernel has other uses for that number.
const LONG_LOG: usize = 1 << 19;

/// How programs are loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Log level: 0 none, 1 the failing path, 2 every path; 4 adds statistics.
    pub log_level: u32,
    /// Capabilities.
    pub caps: Caps,
}

/// Why a program was not put before the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It needs something that skep does not give yet.
    #[error("{0}")]
    Requirement(Requirement),
    /// Its attach target was not found.
    #[error("{0}")]
    Attach(#[from] AttachError),
    /// An instruction names a symbol that this kernel does not have.
    #[error("kernel symbol `{0}`, which this kernel's BTF does not have")]
    Symbol(String),
    /// It cannot be loaded with the capabilities asked for.
    #[error("{0}")]
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
    /// The object's BTF.
    pub btf: Option<KernelFd>,
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

/// Maps and BTF that programs are loaded against.
pub(crate) struct Surroundings<'a> {
    pub kernel: &'a Kernel,
    pub maps: &'a [KernelFd],
    pub btf: Option<&'a KernelFd>,
}

/// The program with what only this kernel knows: ids of its symbols and of the attach target.
pub(crate) fn resolved<'p>(kernel: &Kernel, program: &'p Program) -> Result<Cow<'p, Program>, Unsupported> {
    let beyond_us = |requirement: &&Requirement| match requirement {
        Requirement::AttachTarget(_) => false,
        // A symbol without a type has an address, and no id.
        Requirement::KernelSymbol(name) => !program.btf_refs.iter().any(|r| r.name == *name),
        Requirement::CoreRelocations(_) | Requirement::Kconfig(_) => true,
    };
    if let Some(requirement) = program.requirements.iter().find(beyond_us) {
        return Err(Unsupported::Requirement(requirement.clone()));
    }
    let vmlinux = kernel.vmlinux();
    let mut program = Cow::Borrowed(program);
    if !program.btf_refs.is_empty() {
        program = Cow::Owned(symbols::resolve(&program, vmlinux)?);
    }
    let attach_btf_id = vmlinux.target(&program)?;
    if attach_btf_id != program.attach_btf_id {
        program.to_mut().attach_btf_id = attach_btf_id;
    }
    Ok(program)
}

impl Surroundings<'_> {
    /// Loads a [`resolved`] program. One that is refused without a log is loaded again with one, to tell why, as
    /// libbpf does.
    pub(crate) fn load(
        &self,
        program: &Program,
        options: LoadOptions,
    ) -> Result<(Verdict, Option<KernelFd>), Unsupported> {
        let mut log = String::new();
        let mut result = self.attempt(program, options, &mut log)?;
        if result.is_err() && options.log_level == 0 {
            result = self.attempt(program, LoadOptions { log_level: 1, ..options }, &mut log)?;
        }
        if matches!(result, Err(Errno::ENOSPC)) && log.len() >= LONG_LOG {
            // It may be the log that has no space: what fits is kept, the verdict asked for without one.
            result = self.attempt(program, LoadOptions { log_level: 0, ..options }, &mut String::new())?;
        }
        let (fd, result) = match result {
            Ok(fd) => (Some(fd), Ok(())),
            Err(errno) => (None, Err(errno)),
        };
        Ok((Verdict::new(result, log, self.kernel.release()), fd))
    }

    fn attempt(
        &self,
        program: &Program,
        options: LoadOptions,
        log: &mut String,
    ) -> Result<Result<KernelFd, Errno>, Unsupported> {
        let _lowered =
            LoweredCaps::new(options.caps).map_err(|e| Unsupported::Capabilities(e.to_string()))?;
        Ok(load::load_program(self.kernel, program, self.maps, self.btf, options.log_level, log))
    }

    fn load_one(&self, program: &Program, options: LoadOptions) -> LoadedProgram {
        let name = program.name.clone();
        match resolved(self.kernel, program).and_then(|program| self.load(&program, options)) {
            Ok((verdict, fd)) => LoadedProgram { name, answer: Answer::Verdict(verdict), fd },
            Err(why) => LoadedProgram { name, answer: Answer::Unsupported(why), fd: None },
        }
    }
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
    options: LoadOptions,
) -> Result<Loaded, LoadError> {
    let btf = load::load_btf(kernel, object_btf(object))?;
    let maps = maps::create_maps(kernel, &object.maps, btf.as_ref())?;
    let names = selection(object, select);
    let surroundings = Surroundings { kernel, maps: &maps, btf: btf.as_ref() };
    let programs = object
        .programs
        .iter()
        .filter(|p| names.contains(p.name.as_str()))
        .map(|p| surroundings.load_one(p, options))
        .collect();
    let loaded = Loaded { maps, btf, programs };
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
