// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs BPF programs in user space: guest memory, maps, helpers and the interpreter.
//!
//! [`Machine::new`] takes an object: it reserves guest memory ([`memory`](crate) of the crate), makes the maps and
//! pre-decodes the programs. [`Machine::thread`] gives a [`Thread`], which runs programs on an [`Input`].
//! Programs need not be verified: whatever they do ends in an [`Outcome`], at worst with a located [`Trap`].
//!
//! # How helpers and contexts plug in
//!
//! * **A context** (`context/`) says what programs run on. `Context::enter` is called before a run: it lays the
//!   input out in guest memory that it allocates (`GuestMemory::alloc` gives an `Area`, which frees itself and is
//!   read and written by offset; `Buffers` keeps areas from run to run) and gives `r1` and `r2`.
//!   `Context::packet_load` answers `LD_ABS` and `LD_IND`. `Context::leave` reads back what comes out.
//! * **A helper** (`helper/`) is a function `fn(&mut Exec, [Arg; 5]) -> Answer` with a row in the dispatch table:
//!   arguments are `r1` to `r5`, the result is `r0`. An `Arg` reads and writes guest memory as the program may and
//!   finds maps and functions; a bad one ends the run with a trap that names helper and argument. `Err` of an
//!   error number is what the program gets, negative. `exec.context` is the context, `exec.cpu` the CPU,
//!   `exec.machine.config().environment` the world. `exec.call(function, args)` calls back into the program;
//!   `exec.spend(n)` pays for loops that a helper runs itself.
//! * **Objects**: each area that a program sees is named (`ObjectKind`), which is what `checked` mode confines
//!   accesses to. Where bounds move within an area (a packet whose head is adjusted), allocate without an
//!   object and call `memory.objects().insert(start, Object { .. })` and `remove`.

mod config;
mod context;
mod environment;
mod helper;
mod interp;
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux", not(miri))), path = "jit/absent.rs")]
mod jit;
mod machine;
mod map;
mod memory;
mod native;
mod thread;
mod trap;

pub use config::{Config, Engine};
pub use context::{Input, InputError};
pub use environment::{Clock, Environment, Sysctl};
pub use helper::{Redirect, TraceOutput};
pub use interp::{Observer, PacketBounds, Place, PlaceKind, Step};
pub use machine::{InsnProblem, Machine, MachineError, StopHandle};
pub use map::{Map, PerfRecord};
pub use native::NativeCode;
pub use thread::{Outcome, Prepared, RunError, Thread};
pub use trap::{ArgumentProblem, BadAccess, Location, Trap, TrapKind};
