// SPDX-License-Identifier: MIT OR Apache-2.0
//! How helpers take their arguments and how they end. An argument knows its number, so that a bad one gives a
//! trap that names the helper and the argument; a helper ends with its result, with an error number of the
//! kernel (which is a result, too: the program gets it, negative), or with the end of the run.

use std::sync::Arc;

use skep_isa::Size;
use skep_uapi::{Errno, HelperId};

use crate::interp::Exec;
use crate::map::Map;
use crate::memory::{AtomicFault, GuestMemory};
use crate::trap::{ArgumentProblem, BadAccess, Trap, TrapKind};

/// What a helper gives: `r0`, or why not.
pub(crate) type Answer = Result<u64, Stop>;

/// Why a helper gives no plain result.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What the kernel answers: the run goes on with the negative number.
    Errno(Errno),
    /// An argument, by its number, that a verified program could not have.
    Argument(u8, ArgumentProblem),
    /// The input lacks what the helper works on.
    Context(&'static str),
    /// A callback trapped, or the budget ran out.
    Trap(Trap),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Errno(errno)
    }
}

impl From<Trap> for Stop {
    fn from(trap: Trap) -> Self {
        Stop::Trap(trap)
    }
}

/// Calls a helper: a negative error number becomes a result, a bad argument a trap that names it.
#[inline(always)]
pub(super) fn call(
    helper: HelperId,
    body: fn(&mut Exec<'_>, [Arg; 5]) -> Answer,
    exec: &mut Exec<'_>,
    regs: [u64; 5],
) -> Result<u64, Box<Trap>> {
    let [a, b, c, d, e] = regs;
    let args = [Arg::new(1, a), Arg::new(2, b), Arg::new(3, c), Arg::new(4, d), Arg::new(5, e)];
    match body(exec, args) {
        Ok(r0) => Ok(r0),
        Err(Stop::Errno(errno)) => Ok(errno.negative() as u64),
        Err(Stop::Argument(argument, problem)) => {
            Err(Box::new(TrapKind::BadArgument { helper, argument, problem: Box::new(problem) }.into()))
        }
        Err(Stop::Context(needs)) => Err(Box::new(TrapKind::NoContext { helper, needs }.into())),
        Err(Stop::Trap(trap)) => Err(Box::new(trap)),
    }
}

/// One argument of a helper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arg {
    number: u8,
    /// What the register holds.
    pub(super) value: u64,
}

impl Arg {
    pub(super) fn new(number: u8, value: u64) -> Arg {
        Arg { number, value }
    }

    /// The low half, as a helper of the kernel that takes a `u32` sees it.
    pub(super) fn low(self) -> u32 {
        self.value as u32
    }

    /// The low half, as a helper of the kernel that takes an `int` sees it.
    pub(super) fn int(self) -> i32 {
        self.value as i32
    }

    pub(super) fn is_null(self) -> bool {
        self.value == 0
    }

    /// An argument that is out of place: `expected` says what it is not.
    pub(super) fn unexpected(self, expected: &'static str) -> Stop {
        self.problem(ArgumentProblem::Value { value: self.value, expected })
    }

    fn problem(self, problem: ArgumentProblem) -> Stop {
        Stop::Argument(self.number, problem)
    }

    fn access(self, access: BadAccess) -> Stop {
        self.problem(ArgumentProblem::Access(access))
    }

    /// The same argument, `offset` bytes further.
    pub(super) fn offset(self, offset: u64) -> Arg {
        Arg { value: self.value.wrapping_add(offset), ..self }
    }

    /// The same argument, at another address.
    pub(super) fn at(self, addr: u64) -> Arg {
        Arg { value: addr, ..self }
    }

    /// The map that the argument is.
    #[inline]
    pub(super) fn map<'m>(self, exec: &Exec<'m>) -> Result<&'m Map, Stop> {
        let map = exec.machine.map_by_handle(self.value);
        map.ok_or_else(|| self.problem(ArgumentProblem::NotAMap(self.value)))
    }

    /// The map's type is not one that the helper works on.
    pub(super) fn wrong_map(self, map: &Map) -> Stop {
        self.problem(ArgumentProblem::WrongMap { map: Arc::from(map.name()), map_type: map.map_type() })
    }

    /// The function that the argument is, to be given to [`Exec::call`].
    pub(super) fn function(self, exec: &Exec<'_>) -> Result<u64, Stop> {
        match exec.machine.function(self.value) {
            Some(_) => Ok(self.value),
            None => Err(self.problem(ArgumentProblem::NotAFunction(self.value))),
        }
    }

    /// Copies memory out.
    #[inline]
    pub(super) fn read(self, memory: &GuestMemory, out: &mut [u8]) -> Result<(), Stop> {
        memory.read_bytes(self.value, out).map_err(|access| self.access(access))
    }

    /// Copies `len` bytes of memory out. No host memory is taken for what the program may not read.
    pub(super) fn to_vec(self, exec: &Exec<'_>, len: u64) -> Result<Vec<u8>, Stop> {
        exec.memory().check(self.value, len, false).map_err(|access| self.access(access))?;
        let mut bytes = vec![0; len as usize];
        self.read(exec.memory(), &mut bytes)?;
        Ok(bytes)
    }

    /// Copies memory in.
    pub(super) fn write(self, exec: &Exec<'_>, bytes: &[u8]) -> Result<(), Stop> {
        exec.memory().write_bytes(self.value, bytes).map_err(|access| self.access(access))
    }

    /// Whether the program may write `len` bytes there.
    pub(super) fn check_writable(self, exec: &Exec<'_>, len: u64) -> Result<(), Stop> {
        exec.memory().check(self.value, len, true).map_err(|access| self.access(access))
    }

    /// Fills memory with zeros.
    pub(super) fn zero(self, exec: &Exec<'_>, len: u64) -> Result<(), Stop> {
        self.check_writable(exec, len)?;
        self.write(exec, &vec![0; len as usize])
    }

    /// Reads a scalar.
    pub(super) fn load(self, exec: &Exec<'_>, size: Size) -> Result<u64, Stop> {
        exec.memory().read(size, self.value).map_err(|access| self.access(access))
    }

    /// Writes a scalar.
    pub(super) fn store(self, exec: &Exec<'_>, size: Size, value: u64) -> Result<(), Stop> {
        exec.memory().write(size, self.value, value).map_err(|access| self.access(access))
    }

    /// The trap of an atomic operation on what the argument points to.
    pub(super) fn atomic_fault(self, fault: AtomicFault) -> Stop {
        match fault {
            AtomicFault::Access(access) => self.access(access),
            AtomicFault::Misaligned => Stop::Trap(TrapKind::MisalignedAtomic { addr: self.value }.into()),
        }
    }

    /// The string that the argument points to, without its end, of at most `max` bytes with it.
    pub(super) fn string(self, exec: &Exec<'_>, max: u64) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        let room = copy_string(exec, self.value, max, &mut bytes).map_err(|access| self.access(access))?;
        if room { Ok(bytes) } else { Err(self.unexpected("a string that ends")) }
    }
}

/// Copies a string, without its end, of which `max` bytes are looked at. Whether it ended is the result.
pub(super) fn copy_string(
    exec: &Exec<'_>,
    addr: u64,
    max: u64,
    out: &mut Vec<u8>,
) -> Result<bool, BadAccess> {
    for i in 0..max {
        match exec.memory().read(Size::B, addr.wrapping_add(i))? {
            0 => return Ok(true),
            byte => out.push(byte as u8),
        }
    }
    Ok(false)
}
