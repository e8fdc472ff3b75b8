// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs and the object that they come from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skep_isa::Insn;
use skep_uapi::{AttachType, InfoRecords, ProgType};

use crate::MapSpec;

/// `func_info`, `line_info` or `core_relos` records as the kernel takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Bytes of one record.
    pub rec_size: u32,
    /// All records, back to back.
    pub bytes: Vec<u8>,
}

impl Info {
    /// The records as `BPF_PROG_LOAD` takes them.
    #[must_use]
    pub fn records(&self) -> InfoRecords<'_> {
        InfoRecords { rec_size: self.rec_size, bytes: &self.bytes }
    }

    /// The records one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.rec_size.max(1) as usize)
    }
}

/// A function of a program: where it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Name in the source.
    pub name: String,
    /// Slot of its first instruction.
    pub start: usize,
    /// Visible outside of its compilation unit (`STB_GLOBAL`), hence verified on its own.
    pub global: bool,
}

/// The line of source that an instruction comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// Slot of the first instruction of the line.
    pub insn: usize,
    /// Line number, from 1.
    pub line: u32,
    /// Byte range in the source text, where the source is at hand (assembler).
    pub span: Option<(usize, usize)>,
}

/// What an instruction that needs the kernel's BTF refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BtfRefKind {
    /// `call` of a kernel function.
    Kfunc,
    /// `ld_imm64` of a kernel variable.
    Ksym,
}

/// An instruction that names a symbol of the kernel: its id is only right for one kernel, its name for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BtfRef {
    /// Slot of the instruction.
    pub insn: usize,
    /// Kernel function or variable.
    pub kind: BtfRefKind,
    /// Name of the symbol.
    pub name: String,
    /// Weak: may be missing (`__ksym __weak`).
    pub weak: bool,
}

/// Something that a program needs and the engines here do not give yet; it is said by name, never guessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requirement {
    /// CO-RE relocations against the kernel's types: number of records.
    CoreRelocations(usize),
    /// A kernel function or variable, by name.
    KernelSymbol(String),
    /// A value of the kernel's configuration (`.kconfig`), by name.
    Kconfig(String),
    /// The kernel's BTF, to find the attach target of this name.
    AttachTarget(String),
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Requirement::CoreRelocations(n) => write!(f, "{n} CO-RE relocations against the kernel's types"),
            Requirement::KernelSymbol(name) => write!(f, "kernel symbol `{name}`"),
            Requirement::Kconfig(name) => write!(f, "kernel configuration value `{name}`"),
            Requirement::AttachTarget(name) => write!(f, "kernel BTF for the attach target `{name}`"),
        }
    }
}

/// A program with everything that a load needs. Instructions are raw: they may be illegal, which is the
/// verifier's to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Name in the source (C function, `.program` directive, case id).
    pub name: String,
    /// ELF section that it came from or goes to, for instance `xdp` or `tracepoint/syscalls/sys_enter_open`.
    pub section: String,
    /// Type.
    pub prog_type: ProgType,
    /// Attach type expected at load, 0 for none.
    pub expected_attach_type: AttachType,
    /// `BPF_F_*` of [`skep_uapi::flags::prog_load`].
    pub prog_flags: u32,
    /// License string; GPL-compatible ones may call GPL-only helpers.
    pub license: String,
    /// `kern_version`, for old kprobe programs.
    pub kern_version: u32,
    /// Instructions, maps by index.
    #[serde(with = "crate::raw::as_bytes")]
    pub insns: Vec<Insn>,
    /// Maps of the object, shared by its programs. An [`Object`] that is read back shares them again.
    #[serde(skip)]
    pub maps: Arc<Vec<MapSpec>>,
    /// Raw BTF of the object.
    pub btf: Option<Arc<[u8]>>,
    /// `struct bpf_func_info` records.
    pub func_info: Info,
    /// `struct bpf_line_info` records.
    pub line_info: Info,
    /// `struct bpf_core_relo` records, instruction offsets relative to this program, in bytes.
    pub core_relos: Info,
    /// Functions in order of their start; the first is the entry.
    pub functions: Vec<Function>,
    /// Source lines in order of their instruction.
    pub lines: Vec<SourceLine>,
    /// Symbols of the kernel that instructions refer to.
    pub btf_refs: Vec<BtfRef>,
    /// Kernel function or type that it attaches to, from the section name.
    pub attach_name: Option<String>,
    /// BTF id of that, where it is known.
    pub attach_btf_id: u32,
    /// What is missing before any engine can take it.
    pub requirements: Vec<Requirement>,
}

impl Program {
    /// SHA-256 of the instruction bytes, in hex: the same on every backend that was given the same program.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.bytes()))
    }

    /// The instruction bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        crate::insns_to_bytes(&self.insns)
    }

    /// Maps that instructions refer to, as indices in ascending order. Out-of-range references are left out.
    #[must_use]
    pub fn used_maps(&self) -> Vec<usize> {
        let mut used: Vec<usize> = (0..self.insns.len())
            .filter_map(|at| skep_isa::decode(&self.insns, at).ok())
            .filter_map(|d| match d.op() {
                skep_isa::Op::LdImm64(kind) if kind.is_map() => usize::try_from(d.insn.imm).ok(),
                _ => None,
            })
            .filter(|&i| i < self.maps.len())
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    }
}

/// The programs and maps of one source file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Parts")]
pub struct Object {
    /// Programs in order of appearance. Each shares [`Object::maps`].
    pub programs: Vec<Program>,
    /// All maps, as the programs index them.
    pub maps: Arc<Vec<MapSpec>>,
}

/// What an [`Object`] is read back from: its programs do not have the maps yet.
#[derive(Deserialize)]
struct Parts {
    programs: Vec<Program>,
    maps: Vec<MapSpec>,
}

impl From<Parts> for Object {
    fn from(Parts { mut programs, maps }: Parts) -> Self {
        let maps = Arc::new(maps);
        for program in &mut programs {
            program.maps = Arc::clone(&maps);
        }
        Object { programs, maps }
    }
}

impl Object {
    /// An object of one program.
    #[must_use]
    pub fn single(program: Program) -> Self {
        let maps = Arc::clone(&program.maps);
        Object { programs: vec![program], maps }
    }

    /// A program by its name, else by its section.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&Program> {
        let by = |f: fn(&Program) -> &str| self.programs.iter().find(|p| f(p) == name);
        by(|p| &p.name).or_else(|| by(|p| &p.section))
    }

    /// The object with the program at `index` first, and of the others only those that program arrays hold:
    /// what a run of that program can reach.
    ///
    /// # Panics
    /// If there is no program `index`.
    #[must_use]
    pub fn reduced_to(&self, index: usize) -> Object {
        let in_slots = |name: &str| {
            self.maps
                .iter()
                .flat_map(|m| &m.slots)
                .any(|(_, slot)| matches!(slot, crate::Slot::Program(p) if p == name))
        };
        let others = self.programs.iter().enumerate().filter(|(i, p)| *i != index && in_slots(&p.name));
        let programs =
            std::iter::once(&self.programs[index]).chain(others.map(|(_, p)| p)).cloned().collect();
        Object { programs, maps: Arc::clone(&self.maps) }
    }
}
