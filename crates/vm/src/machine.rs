// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine: guest memory, maps and pre-decoded programs, shared by its threads.
//!
//! Maps and programs are only ever added, so that references to them need no lock and stay good for as long as
//! the machine lives.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use skep_isa::DecodeError;
use skep_program::{MapSpec, Object, Slot};
use skep_uapi::{Errno, MapType};

use crate::NativeCode;
use crate::helper;
use crate::interp::Program;
use crate::jit;
use crate::map::{Map, MapContext, Ringbuf};
use crate::memory::{GuestMemory, HANDLES, HEAP, PAGE};
use crate::thread::Thread;
use crate::{Config, Engine};

/// Addresses of maps: `MAPS + STEP * index`. Nothing is mapped there.
const MAPS: u32 = HANDLES + 0xf_0000;
/// Addresses of functions, likewise.
const FUNCTIONS: u32 = MAPS + STEP * MAX_MAPS;
const STEP: u32 = 16;
/// Maps that one machine can have.
const MAX_MAPS: u32 = 0x1_0000;
const MAX_FUNCTIONS: u32 = (HEAP - FUNCTIONS) / STEP;

/// What is wrong with an instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsnProblem {
    /// The program has no instructions.
    #[error("the program is empty")]
    Empty,
    /// No such instruction.
    #[error(transparent)]
    Encoding(DecodeError),
    /// A jump or call to a slot where no instruction starts.
    #[error("jump to slot {0}, where no instruction starts")]
    Target(i64),
    /// A map index beyond the object's maps.
    #[error("map index {index} is out of range: the object has {maps} maps")]
    MapIndex {
        /// Index that the instruction holds.
        index: i32,
        /// Maps of the object.
        maps: usize,
    },
    /// A map by file descriptor, which means nothing here.
    #[error("map by file descriptor {0}; maps are referred to by index here")]
    MapDescriptor(i32),
    /// The address of a value in a map that has none for this.
    #[error("no address at offset {offset} in the value of map `{map}`")]
    MapValue {
        /// Name of the map.
        map: Arc<str>,
        /// Offset in the value.
        offset: u32,
    },
    /// A kernel variable.
    #[error("kernel variable with BTF id {0} is not supported")]
    KernelVariable(i32),
    /// More functions have their address taken than a machine can name.
    #[error("too many functions")]
    TooManyFunctions,
}

/// Why an object cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// An instruction that no engine could run.
    #[error("program `{program}`, {at}{problem}", at = at(.problem, *.insn))]
    Insn {
        /// Name of the program.
        program: Arc<str>,
        /// Slot of the instruction.
        insn: usize,
        /// What is wrong.
        problem: InsnProblem,
    },
    /// A map type that is not emulated.
    #[error("map `{map}`: unsupported map type {map_type}")]
    UnsupportedMap {
        /// Name of the map.
        map: String,
        /// Its type.
        map_type: MapType,
    },
    /// The kernel would refuse to create the map.
    #[error("map `{map}`: cannot be created: {errno}")]
    MapCreate {
        /// Name of the map.
        map: String,
        /// What the kernel would say.
        errno: Errno,
    },
    /// The kernel would refuse the initial contents.
    #[error("map `{map}`: initial contents: {errno}")]
    MapInit {
        /// Name of the map.
        map: String,
        /// What the kernel would say.
        errno: Errno,
    },
    /// A slot refers to something that the object does not have.
    #[error("map `{map}`: slot {slot} refers to `{target}`, which the object does not have")]
    MapSlot {
        /// Name of the map.
        map: String,
        /// Index of the slot.
        slot: u32,
        /// What it refers to.
        target: String,
    },
    /// There is no JIT for this processor and operating system.
    #[error("no JIT here: it compiles for Linux on x86-64")]
    NoJit,
    /// The JIT has no mode that names objects.
    #[error("the JIT confines accesses to guest memory, not to objects: `checked` is for the interpreter")]
    CheckedJit,
    /// A program could not be compiled.
    #[error("program `{program}` cannot be compiled: {errno}")]
    Compile {
        /// Name of the program.
        program: Arc<str>,
        /// `E2BIG` where its code would be too long, `ENOMEM` where the host has no memory for it.
        errno: Errno,
    },
    /// The host has no address space for the guest.
    #[error("no memory for the guest: {0}")]
    Memory(Errno),
}

/// The location in front of a problem, unless the problem says it itself.
fn at(problem: &InsnProblem, insn: usize) -> String {
    match problem {
        InsnProblem::Empty | InsnProblem::Encoding(_) => String::new(),
        _ => format!("instruction {insn}: "),
    }
}

/// A function whose address was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Index of the program that it is a part of.
    pub(crate) program: usize,
    /// Index of its first pre-decoded instruction.
    pub(crate) index: usize,
}

/// What pre-decoding needs to know of the machine.
pub(crate) trait Resolver {
    /// What a register holds that refers to a map.
    fn map(&self, index: i32) -> Result<u64, InsnProblem>;
    /// The address inside a map's value.
    fn map_value(&self, index: i32, offset: u32) -> Result<u64, InsnProblem>;
    /// What a register holds that refers to a function of the program.
    fn function(&mut self, index: usize) -> Result<u64, InsnProblem>;
}

/// Asks all threads of a machine to stop.
#[derive(Clone, Debug)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Every run ends with a trap soon; so do all later runs.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Guest memory, maps and programs. Threads ([`Machine::thread`]) run them, also at the same time.
pub struct Machine {
    config: Config,
    memory: Arc<GuestMemory>,
    maps: boxcar::Vec<Map>,
    programs: boxcar::Vec<Program>,
    /// Where tail calls enter the machine code of each program; 0 where there is none.
    entries: Box<[AtomicU64]>,
    functions: boxcar::Vec<Function>,
    helpers: helper::State,
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("maps", &self.maps.count())
            .field("programs", &self.programs.count())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Makes the maps of an object with their contents, and prepares its programs for the engine of `config`.
    ///
    /// # Errors
    /// [`MachineError`], which names the map, or the program and the instruction.
    pub fn new(object: &Object, config: Config) -> Result<Machine, MachineError> {
        Self::build(object, config, false)
    }

    /// As [`Machine::new`]; machine code does not confine the accesses of programs.
    ///
    /// # Safety
    /// Every program of the object was accepted, as it is and with these maps, by a verifier that proves what
    /// Linux's does, and runs only on inputs of its program type ([`crate::Input::Packet`] and
    /// [`crate::Input::Context`]): then its accesses are in bounds. Of any other program, an access may reach any
    /// memory of the process.
    #[allow(unsafe_code)]
    pub unsafe fn new_verified(object: &Object, config: Config) -> Result<Machine, MachineError> {
        Self::build(object, config, true)
    }

    fn build(object: &Object, config: Config, verified: bool) -> Result<Machine, MachineError> {
        if config.engine == Engine::Jit && config.checked {
            return Err(MachineError::CheckedJit);
        }
        // What a verifier passed writes nothing that it must not.
        let protect = config.engine == Engine::Jit && !verified;
        let memory =
            GuestMemory::new(config.memory_limit, config.checked, protect).map_err(MachineError::Memory)?;
        let machine = Machine {
            helpers: helper::State::new(&config.environment),
            config,
            memory,
            maps: boxcar::Vec::new(),
            programs: boxcar::Vec::new(),
            entries: object.programs.iter().map(|_| AtomicU64::new(0)).collect(),
            functions: boxcar::Vec::new(),
            stop: Arc::default(),
        };
        let btf = object.programs.iter().find_map(|program| program.btf.as_deref());
        let cpus = machine.config.cpus.max(1) as usize;
        for spec in object.maps.iter() {
            machine.create_map(&spec.adjusted(cpus, PAGE), btf)?;
        }
        for program in &object.programs {
            machine.add_program(program, object.maps.len(), verified)?;
        }
        machine.fill(object)?;
        Ok(machine)
    }

    /// Makes one more map, without contents; gives its index. `btf` describes its value where the map does not
    /// bring its own.
    ///
    /// # Errors
    /// [`MachineError::UnsupportedMap`] and [`MachineError::MapCreate`].
    pub fn create_map(&self, spec: &MapSpec, btf: Option<&[u8]>) -> Result<usize, MachineError> {
        let fail = |errno| MachineError::MapCreate { map: spec.name.clone(), errno };
        if self.maps.count() >= MAX_MAPS as usize {
            return Err(fail(Errno::ENOMEM));
        }
        let btf = spec.btf.as_deref().or(btf);
        let map = Map::new(spec, &MapContext { memory: &self.memory, cpus: self.config.cpus.max(1), btf })?;
        Ok(self.maps.push(map))
    }

    fn add_program(
        &self,
        program: &skep_program::Program,
        maps: usize,
        verified: bool,
    ) -> Result<(), MachineError> {
        let mut resolver = Linker { machine: self, maps, program: self.programs.count() };
        let mut program = Program::new(program, &mut resolver)?;
        if self.config.engine == Engine::Jit {
            let index = self.programs.count();
            jit::compile(&mut program, self, index, verified)?;
            let entry = program.native.as_ref().map_or(0, jit::Code::entry);
            self.entries[index].store(entry, Ordering::Release);
        }
        self.programs.push(program);
        Ok(())
    }

    /// Initial contents of maps, then their slots, as libbpf writes them.
    fn fill(&self, object: &Object) -> Result<(), MachineError> {
        let programs: HashMap<&str, usize> =
            object.programs.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect();
        for (spec, (_, map)) in object.maps.iter().zip(&self.maps) {
            let fail = |errno| MachineError::MapInit { map: spec.name.clone(), errno };
            for (key, value) in &spec.entries {
                map.initialize(key, value).map_err(fail)?;
            }
            for (slot, content) in &spec.slots {
                let missing =
                    |target: String| MachineError::MapSlot { map: spec.name.clone(), slot: *slot, target };
                let target = match content {
                    Slot::Program(name) => {
                        programs.get(name.as_str()).copied().ok_or_else(|| missing(name.clone()))?
                    }
                    Slot::Map(index) if *index < object.maps.len() => *index,
                    Slot::Map(index) => return Err(missing(format!("map {index}"))),
                };
                let mut key = slot.to_le_bytes().to_vec();
                key.resize(spec.key_size as usize, 0);
                self.update(map, &key, &(target as u32).to_ne_bytes(), 0).map_err(fail)?;
            }
            if spec.frozen {
                map.freeze().map_err(fail)?;
            }
        }
        Ok(())
    }

    /// `BPF_MAP_UPDATE_ELEM` of any map. Values of program arrays and maps of maps are the index of a program
    /// or map of this machine in 4 bytes, where the kernel takes a file descriptor.
    ///
    /// # Errors
    /// What the kernel would say; `EBADF` where the index is none.
    pub fn update(&self, map: &Map, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        map.user_update(Some(self), key, value, flags)
    }

    /// The ring buffer that a guest address lies in.
    pub(crate) fn ringbuf_at(&self, addr: u64) -> Option<&Ringbuf> {
        self.maps().filter_map(Map::as_ringbuf).find(|ringbuf| ringbuf.contains(addr))
    }

    /// A map by its index in the object.
    #[must_use]
    pub fn map(&self, index: usize) -> Option<&Map> {
        self.maps.get(index)
    }

    /// A map by its name.
    #[must_use]
    pub fn map_by_name(&self, name: &str) -> Option<&Map> {
        self.maps().find(|map| map.name() == name)
    }

    /// All maps in order.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.iter().map(|(_, map)| map)
    }

    /// A new thread, on CPU 0.
    ///
    /// # Errors
    /// `ENOMEM` where no guest memory is left for its stacks.
    pub fn thread(&self) -> Result<Thread<'_>, Errno> {
        Thread::new(self)
    }

    /// The machine code of a program, by its index, where it was compiled.
    #[must_use]
    pub fn native(&self, program: usize) -> Option<NativeCode<'_>> {
        self.programs.get(program)?.native.as_ref().map(jit::Code::view)
    }

    /// Where tail calls enter the machine code of each program.
    pub(crate) fn entries(&self) -> &[AtomicU64] {
        &self.entries
    }

    /// What stops all threads, now and later.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(Arc::clone(&self.stop))
    }

    /// What the machine was set up with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What helpers keep from call to call.
    pub(crate) fn helper_state(&self) -> &helper::State {
        &self.helpers
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    pub(crate) fn shared_memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// A program that is known to exist, since programs stay.
    pub(crate) fn program(&self, index: usize) -> &Program {
        &self.programs[index]
    }

    pub(crate) fn find_program(&self, index: usize) -> Option<&Program> {
        self.programs.get(index)
    }

    /// The map that a register's value refers to.
    #[inline]
    pub(crate) fn map_by_handle(&self, handle: u64) -> Option<&Map> {
        let offset = handle.wrapping_sub(u64::from(MAPS));
        if !offset.is_multiple_of(u64::from(STEP)) || offset >= u64::from(MAX_MAPS * STEP) {
            return None;
        }
        self.maps.get((offset / u64::from(STEP)) as usize)
    }

    /// The function that a register's value refers to.
    pub(crate) fn function(&self, handle: u64) -> Option<Function> {
        let offset = handle.wrapping_sub(u64::from(FUNCTIONS));
        if !offset.is_multiple_of(u64::from(STEP)) || offset >= u64::from(MAX_FUNCTIONS * STEP) {
            return None;
        }
        self.functions.get((offset / u64::from(STEP)) as usize).copied()
    }
}

/// What a register holds that refers to the map of an index; no handle for what no machine has.
pub(crate) fn map_handle(index: u32) -> u32 {
    MAPS.saturating_add(STEP.saturating_mul(index))
}

struct Linker<'a> {
    machine: &'a Machine,
    /// Maps that the program may name.
    maps: usize,
    /// Index that the program gets.
    program: usize,
}

impl Linker<'_> {
    fn find(&self, index: i32) -> Result<(u32, &Map), InsnProblem> {
        u32::try_from(index)
            .ok()
            .filter(|&i| (i as usize) < self.maps)
            .and_then(|i| Some((i, self.machine.map(i as usize)?)))
            .ok_or(InsnProblem::MapIndex { index, maps: self.maps })
    }
}

impl Resolver for Linker<'_> {
    fn map(&self, index: i32) -> Result<u64, InsnProblem> {
        self.find(index).map(|(index, _)| u64::from(map_handle(index)))
    }

    fn map_value(&self, index: i32, offset: u32) -> Result<u64, InsnProblem> {
        let (_, map) = self.find(index)?;
        map.direct_value(offset)
            .map(u64::from)
            .ok_or_else(|| InsnProblem::MapValue { map: Arc::from(map.name()), offset })
    }

    fn function(&mut self, index: usize) -> Result<u64, InsnProblem> {
        if self.machine.functions.count() >= MAX_FUNCTIONS as usize {
            return Err(InsnProblem::TooManyFunctions);
        }
        let number = self.machine.functions.push(Function { program: self.program, index });
        Ok(u64::from(FUNCTIONS) + u64::from(STEP) * number as u64)
    }
}
