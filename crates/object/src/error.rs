// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors of this crate: what is wrong ([`Problem`]) and where in the file ([`Place`]).

use std::fmt;

use skep_program::btf::BtfError;

/// Where in an object something is wrong. Parts that do not apply are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index and name of the section.
    pub section: Option<(usize, String)>,
    /// Offset in that section, in bytes.
    pub offset: Option<u64>,
    /// Symbol, function, map or variable.
    pub symbol: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        if let Some((index, name)) = &self.section {
            write!(f, "section {index} `{name}`")?;
            gap = " ";
        }
        if let Some(offset) = self.offset {
            write!(f, "{gap}+{offset:#x}")?;
            gap = " ";
        }
        if let Some(symbol) = &self.symbol {
            write!(f, "{gap}`{symbol}`")?;
            gap = " ";
        }
        f.write_str(if gap.is_empty() { "" } else { ": " })
    }
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No ELF magic.
    #[error("not an ELF file")]
    NotElf,
    /// ELF of 32 bits.
    #[error("32-bit ELF; BPF objects are 64-bit: compile with `clang -target bpf`")]
    Class32,
    /// Big-endian ELF.
    #[error("big-endian ELF; this host loads little-endian BPF: compile with `clang -target bpfel`")]
    BigEndian,
    /// ELF of another machine.
    #[error("ELF for machine {name} ({number}), not BPF: compile with `clang -target bpf`")]
    Machine {
        /// `e_machine`.
        number: u16,
        /// Its name.
        name: &'static str,
    },
    /// Not a relocatable object.
    #[error("ELF of type {0} is not a relocatable object: compile with `-c`, do not link with `ld`")]
    FileType(&'static str),
    /// Cut short: something lies outside of the file.
    #[error("{what} lies outside of the file of {file_size} bytes; the file is truncated or damaged")]
    OutOfFile {
        /// What lies outside.
        what: &'static str,
        /// Size of the file in bytes.
        file_size: usize,
    },
    /// A header or table that cannot be read.
    #[error("{what}: {why}; the file is damaged")]
    Damaged {
        /// What cannot be read.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// Larger than anything that a kernel takes.
    #[error("{what} is {size}; the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// No symbol table.
    #[error("no symbol table; the object was stripped: keep its symbols (`llvm-strip -g` only drops DWARF)")]
    NoSymbols,
    /// A function that is not whole instructions in its section.
    #[error("function of {size} bytes at {start:#x} is not whole instructions inside of its section")]
    FunctionBounds {
        /// Offset of the function in its section, in bytes.
        start: u64,
        /// Bytes of the function.
        size: u64,
    },
    /// Two functions share instructions.
    #[error("functions overlap; each instruction belongs to one function")]
    FunctionOverlap,
    /// A static function outside of `.text`.
    #[error(
        "static function in a program section; make it global, or drop its SEC() so that it goes to .text"
    )]
    StaticProgram,
    /// No BTF, though it is needed.
    #[error("needs BTF, which is missing: compile with `-g`")]
    BtfMissing,
    /// BTF that cannot be read.
    #[error("BTF: {0}")]
    Btf(#[from] BtfError),
    /// A map definition that is wrong.
    #[error("map definition: {0}")]
    MapDefinition(String),
    /// A legacy map record that is wrong.
    #[error("legacy map definition: {0}")]
    LegacyMap(String),
    /// An extern that nothing declares.
    #[error("undefined; {0}")]
    Extern(String),
    /// A relocation that cannot be applied.
    #[error("relocation: {0}")]
    Relocation(String),
    /// A call that leads to no function.
    #[error("call leads to no function of .text; was it inlined away or is the object damaged?")]
    CallTarget,
    /// Instructions of a program after stitching.
    #[error("function and line information: {0}")]
    ExtInfo(String),
}

/// An object that cannot be loaded: what is wrong and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectError {
    /// Where.
    pub place: Place,
    /// What. Boxed: errors are rare, results are not.
    pub problem: Box<Problem>,
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.problem)
    }
}

impl std::error::Error for ObjectError {}

impl From<Problem> for ObjectError {
    fn from(problem: Problem) -> Self {
        ObjectError { place: Place::default(), problem: Box::new(problem) }
    }
}

impl ObjectError {
    /// The same with the section, unless one is known already.
    #[must_use]
    pub(crate) fn in_section(mut self, index: usize, name: &str) -> Self {
        self.place.section.get_or_insert_with(|| (index, name.to_owned()));
        self
    }

    /// The same with an offset in the section.
    #[must_use]
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.place.offset.get_or_insert(offset);
        self
    }

    /// The same with the name of a symbol.
    #[must_use]
    pub(crate) fn symbol(mut self, name: &str) -> Self {
        self.place.symbol.get_or_insert_with(|| name.to_owned());
        self
    }
}

/// An object that cannot be written as ELF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A map cannot be expressed in a BTF-defined `.maps` section.
    #[error("map `{map}`: {why}")]
    Map {
        /// Name of the map.
        map: String,
        /// What cannot be expressed.
        why: String,
    },
    /// A program cannot be expressed.
    #[error("program `{program}`: {why}")]
    Program {
        /// Name of the program.
        program: String,
        /// What cannot be expressed.
        why: String,
    },
    /// The ELF writer failed.
    #[error("writing ELF: {0}")]
    Elf(String),
}
