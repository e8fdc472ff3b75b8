// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a machine is set up with.

use crate::Environment;

/// What executes programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The interpreter, everywhere.
    #[default]
    Interpreter,
    /// Machine code, on Linux on x86-64.
    Jit,
}

/// Limits and surroundings of a [`crate::Machine`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Keep constants of programs out of machine code, as `bpf_jit_harden` does: each is there mixed with a random number,
    /// and put together when it is used. Nobody can spell instructions in constants then. Slow.
    pub blind_constants: bool,
    /// Count instructions. Without it `insn_count` is 0 and nothing looks at the budget or at [`crate::StopHandle`]: for
    /// machine code of verified programs ([`crate::Machine::new_verified`]), which end on their own; ignored elsewhere.
    pub count: bool,
    /// Instructions that one run may take; `None` for no limit. A run stops at the first taken jump after it.
    pub budget: Option<u64>,
    /// What executes programs.
    pub engine: Engine,
    /// Confine each access to one object (stack frame, map value, packet) and name it in traps. Slow, and for the
    /// interpreter only.
    pub checked: bool,
    /// CPUs that per-cpu maps have values for; at least 1.
    pub cpus: u32,
    /// Bytes that maps, stacks and inputs may take together, in guest memory or (queues, stacks, maps of programs
    /// and of maps, perf event arrays, prefixes, timers) outside of it.
    pub memory_limit: u64,
    /// What helpers see of the world.
    pub environment: Environment,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            engine: Engine::default(),
            blind_constants: false,
            count: true,
            budget: Some(1 << 32),
            checked: false,
            cpus: 1,
            memory_limit: 1 << 30,
            environment: Environment::default(),
        }
    }
}
