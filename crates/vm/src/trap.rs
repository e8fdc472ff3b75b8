// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traps: how a run ends that does not reach `exit`. A trap is a result, not an error of skep: programs are
//! run that no verifier has seen.

use std::fmt;
use std::sync::Arc;

use skep_uapi::{HelperId, MapType};

use crate::memory::AtomicFault;

/// An access that the program may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAccess {
    /// Guest address; one of more than 32 bits is never valid.
    pub addr: u64,
    /// Bytes.
    pub size: u64,
    /// Written, else read.
    pub write: bool,
    /// Where the address lies, for instance "offset 8 of map value of `counts` element 3, which has 8 bytes";
    /// `None` where nothing is near.
    pub object: Option<String>,
}

impl fmt::Display for BadAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadAccess { addr, size, write, object } = self;
        let what = if *write { "write" } else { "read" };
        let s = if *size == 1 { "" } else { "s" };
        write!(f, "bad {what} of {size} byte{s} at {addr:#x}")?;
        match object {
            Some(object) => write!(f, ": {object}"),
            None if *addr < 0x1_0000 => write!(f, ": null pointer"),
            None if *addr > u64::from(u32::MAX) => write!(f, ": not a pointer"),
            None => write!(f, ": nothing is there"),
        }
    }
}

/// What is wrong with an argument of a helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentProblem {
    /// Memory that the program may not access.
    Access(BadAccess),
    /// No map.
    NotAMap(u64),
    /// A map of a type that the helper does not work on.
    WrongMap {
        /// Name of the map.
        map: Arc<str>,
        /// Its type.
        map_type: MapType,
    },
    /// No function of the program.
    NotAFunction(u64),
    /// A value that is out of place.
    Value {
        /// The value.
        value: u64,
        /// What it is not, for instance "a string that ends".
        expected: &'static str,
    },
}

impl fmt::Display for ArgumentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgumentProblem::Access(access) => access.fmt(f),
            ArgumentProblem::NotAMap(value) => write!(f, "{value:#x} is not a map"),
            ArgumentProblem::WrongMap { map, map_type } => {
                write!(f, "map `{map}` of type {map_type} is not a map that the helper takes")
            }
            ArgumentProblem::NotAFunction(value) => {
                write!(f, "{value:#x} is not a function of the program")
            }
            ArgumentProblem::Value { value, expected } => write!(f, "{value:#x} is not {expected}"),
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// A memory access outside of what the program was given.
    BadAccess(Box<BadAccess>),
    /// An atomic operation on an address that is not a multiple of its size.
    MisalignedAtomic {
        /// Guest address.
        addr: u64,
    },
    /// The instruction budget of [`crate::Config::budget`] is used up.
    Budget,
    /// [`crate::StopHandle::stop`] was called.
    Stopped,
    /// More nested calls than the kernel's 8 frames.
    CallDepth,
    /// No helper has this number.
    UnknownHelper(u32),
    /// A helper that exists and is not implemented, by name.
    UnsupportedHelper(&'static str),
    /// A call of a kernel function, by BTF id.
    UnsupportedKfunc(i32),
    /// An instruction that this program's input cannot answer, by name (packet loads without a packet).
    UnsupportedInsn(&'static str),
    /// Something is no function of the program.
    BadCallback(u64),
    /// Something is no map, or not a map of the type that is needed.
    BadMap(u64),
    /// A helper was given an argument that a verified program could not have.
    BadArgument {
        /// The helper.
        helper: HelperId,
        /// Which argument, 1 (in `r1`) to 5.
        argument: u8,
        /// What is wrong.
        problem: Box<ArgumentProblem>,
    },
    /// A helper was called on an input that it cannot work on.
    NoContext {
        /// The helper.
        helper: HelperId,
        /// What it needs, for instance "a packet".
        needs: &'static str,
    },
    /// Execution ran past the last instruction.
    FellOff,
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrapKind::BadAccess(access) => access.fmt(f),
            TrapKind::MisalignedAtomic { addr } => write!(f, "misaligned atomic operation at {addr:#x}"),
            TrapKind::Budget => write!(f, "the instruction budget is used up"),
            TrapKind::Stopped => write!(f, "stopped"),
            TrapKind::CallDepth => write!(f, "more than 8 nested calls"),
            TrapKind::UnknownHelper(id) => write!(f, "no helper has the number {id}"),
            TrapKind::UnsupportedHelper(name) => write!(f, "helper bpf_{name} is not implemented"),
            TrapKind::UnsupportedKfunc(id) => write!(f, "kernel function with BTF id {id} is not supported"),
            TrapKind::UnsupportedInsn(name) => {
                write!(f, "{name} needs a packet that the input does not have")
            }
            TrapKind::BadCallback(value) => write!(f, "{value:#x} is not a function of the program"),
            TrapKind::BadMap(value) => write!(f, "{value:#x} is not a map that the helper takes"),
            TrapKind::BadArgument { helper, argument, problem } => {
                write!(f, "bpf_{helper}, argument {argument}: {problem}")
            }
            TrapKind::NoContext { helper, needs } => {
                write!(f, "bpf_{helper} needs {needs}, which the input does not have")
            }
            TrapKind::FellOff => write!(f, "ran past the last instruction"),
        }
    }
}

impl TrapKind {
    /// The trap of a call to a helper that is not there.
    pub(crate) fn no_helper(id: u32) -> TrapKind {
        match HelperId(id).name() {
            Some(name) if id != 0 => TrapKind::UnsupportedHelper(name),
            _ => TrapKind::UnknownHelper(id),
        }
    }
}

impl From<BadAccess> for TrapKind {
    fn from(access: BadAccess) -> Self {
        TrapKind::BadAccess(Box::new(access))
    }
}

/// Where a trap happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Name of the program.
    pub program: Arc<str>,
    /// Slot of the instruction.
    pub insn: usize,
}

/// The end of a run that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What went wrong.
    pub kind: TrapKind,
    /// Where; always there on what [`crate::Thread::run`] gives back.
    pub at: Option<Location>,
}

impl Trap {
    /// Says where, unless a nested call already did.
    pub(crate) fn locate(mut self, program: &Arc<str>, insn: usize) -> Trap {
        self.at.get_or_insert_with(|| Location { program: Arc::clone(program), insn });
        self
    }
}

impl From<TrapKind> for Trap {
    fn from(kind: TrapKind) -> Self {
        Trap { kind, at: None }
    }
}

impl From<BadAccess> for Trap {
    fn from(access: BadAccess) -> Self {
        TrapKind::from(access).into()
    }
}

impl AtomicFault {
    /// The trap of an atomic operation at `addr`.
    pub(crate) fn trap(self, addr: u64) -> TrapKind {
        match self {
            AtomicFault::Access(access) => access.into(),
            AtomicFault::Misaligned => TrapKind::MisalignedAtomic { addr },
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Location { program, insn }) = &self.at {
            write!(f, "program `{program}`, instruction {insn}: ")?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for Trap {}
