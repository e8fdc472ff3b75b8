// SPDX-License-Identifier: MIT OR Apache-2.0
//! BPF assembler and disassembler.
//!
//! [`assemble`] turns text into an [`Object`]: programs, maps with their contents, functions, data. The language is
//! told in `docs/assembly.md`; instructions are written in two dialects, line by line as one likes:
//! the pseudo-C of LLVM and of the kernel's log, or the mnemonics of rbpf, ubpf and GNU as.
//!
//! Guarantees:
//! * every text ends in an object or in [`Diagnostics`]: no panic, no endless loop, memory linear in the source;
//! * all errors are found at once, each with its place;
//! * every instruction of [`skep_isa::TABLE`] can be written in both dialects, and what is assembled decodes, but
//!   for `.insn`, which writes any slot, and for distances and numbers that are the verifier's to judge.

mod diagnostics;
pub mod disasm;
mod file;
mod func_info;
mod lexer;
mod link;
mod parse;
mod section;

pub use diagnostics::{Diagnostic, Diagnostics, Span};

use skep_program::Object;
use skep_uapi::{AttachType, ProgType};

/// Bytes of a source.
pub const MAX_SOURCE: usize = 64 << 20;
/// Slots of all units of a source together: as many as the kernel takes in one program.
pub const MAX_INSNS: usize = skep_uapi::limits::BPF_COMPLEXITY_LIMIT_INSNS;
/// Slots of all programs of a source together, functions counted in each program that has them.
pub const MAX_LINKED_INSNS: usize = 8 * MAX_INSNS;
/// Bytes of one data section, and of one key or value.
pub const MAX_DATA: usize = 16 << 20;

/// How instructions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `r1 = *(u32 *)(r2 + 4)`, as LLVM and the kernel write.
    PseudoC,
    /// `ldxw r1, [r2+4]`, as rbpf, ubpf and GNU as write.
    Mnemonic,
}

/// What the text itself does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The only dialect to take; `None` finds it for each line.
    pub dialect: Option<Dialect>,
    /// Name of the program of a source without `.program`.
    pub name: String,
    /// Its type.
    pub prog_type: ProgType,
    /// Its attach type, 0 for none.
    pub attach_type: AttachType,
    /// Its section, as libbpf names them.
    pub section: String,
}

impl Default for Options {
    /// A socket filter with the name `main`, either dialect.
    fn default() -> Self {
        Options {
            dialect: None,
            name: "main".to_owned(),
            prog_type: ProgType::SOCKET_FILTER,
            attach_type: AttachType(0),
            section: "socket".to_owned(),
        }
    }
}

/// Assembles a source.
///
/// # Errors
/// All errors of the source, with their places. A source without any program, map or data is an error too.
pub fn assemble(source: &str, options: &Options) -> Result<Object, Diagnostics> {
    if source.len() > MAX_SOURCE {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(
            Diagnostic::new(0..0, format!("the source has {} bytes", source.len()))
                .label(format!("expected at most {MAX_SOURCE}")),
        );
        return Err(diagnostics);
    }
    let (file, mut diagnostics) = parse::parse(source, options);
    if diagnostics.is_empty() && file.has_nothing_to_load() {
        let nothing = Diagnostic::new(source.len()..source.len(), "there is no program in this source");
        diagnostics.push(match file.units.first() {
            Some(function) => nothing
                .related(function.span.clone(), "this is only a function")
                .help("`.program NAME, SECTION` starts a program, for instance `.program main, xdp`"),
            None => nothing.label("expected an instruction, for instance `exit`"),
        });
    }
    let object = link::link(&file, source, &mut diagnostics);
    if diagnostics.is_empty() {
        return Ok(object);
    }
    diagnostics.sort();
    Err(diagnostics)
}
