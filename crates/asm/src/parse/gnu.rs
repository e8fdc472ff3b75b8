// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directives that compilers write (`clang -S`, `gcc -S`): sections, symbol types and what debuggers need.
//!
//! A code section has libbpf's name for what its programs are, `.text` holds shared functions, and a label that
//! `.type` calls a function starts one. `license` becomes the license; debug information is skipped. Maps declared
//! in C (`.maps`) are only told by their BTF, so such a source is refused: its object can be read.

use std::collections::HashSet;

use super::{Parsed, Parser, Place, clip, data, error, expr};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{ProgramSpec, Spanned, Unit, UnitKind};
use crate::lexer::Token;

/// What a compiler said about the labels to come.
#[derive(Default)]
pub(super) struct Declared<'s> {
    /// The section that code goes to: `None` outside of a compiler's code section.
    code: Option<CodeSection>,
    functions: HashSet<&'s str>,
    globals: HashSet<&'s str>,
}

#[derive(Clone)]
enum CodeSection {
    /// `.text`.
    Functions,
    Programs(ProgramSpec),
}

/// Directives that say nothing to an assembler of programs.
const SKIPPED: &[&str] = &[
    ".file",
    ".loc",
    ".size",
    ".ident",
    ".addrsig",
    ".addrsig_sym",
    ".weak",
    ".hidden",
    ".local",
    ".cfi_sections",
    ".cfi_startproc",
    ".cfi_endproc",
    ".cfi_def_cfa",
    ".cfi_offset",
    ".uleb128",
    ".sleb128",
];

/// Directives of [`Parser::compiler_directive`].
pub(super) const KNOWN: &[&str] = &[".text", ".section", ".type", ".globl", ".global", ".p2align"];

/// Sections that hold nothing that a load needs.
fn is_debug(name: &str) -> bool {
    [".BTF", ".debug_", ".rel", ".eh_frame", ".llvm", ".note", ".comment", "version"]
        .iter()
        .any(|p| name.starts_with(p))
}

impl<'s> Parser<'s> {
    /// Takes a directive of a compiler; `false` where it is none.
    pub(super) fn compiler_directive(&mut self, name: &Spanned<&'s str>) -> Parsed<bool> {
        match name.value {
            ".text" => {
                self.place = Place::Code;
                self.declared.code = Some(CodeSection::Functions);
            }
            ".section" => self.compiler_section()?,
            ".type" => {
                let symbol = self.ident("a symbol")?;
                let start = self.span().start;
                self.skip_line();
                if self.source[start..self.last_end()].contains("function") {
                    self.declared.functions.insert(symbol.value);
                }
            }
            ".globl" | ".global" => {
                let symbol = self.ident("a symbol")?;
                self.declared.globals.insert(symbol.value);
            }
            ".p2align" => self.power_alignment(name)?,
            other if SKIPPED.contains(&other) => self.skip_line(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn skip_line(&mut self) {
        while !self.peek().ends_statement() {
            self.bump();
        }
    }

    /// `.section NAME [, "flags", @type …]`.
    fn compiler_section(&mut self) -> Parsed<()> {
        let name = self.name_or_string("the name of a section")?;
        if self.peek() == Token::Comma {
            self.skip_line();
        }
        self.declared.code = None;
        if data::kind(&name.value).is_some() {
            return self.data_section(&name.value, &name.span);
        }
        if name.value == "license" {
            self.place = Place::License;
        } else if is_debug(&name.value) {
            self.place = Place::Skipped;
        } else if name.value == ".maps" || name.value == "maps" {
            self.place = Place::Skipped;
            return error(
                Diagnostic::new(name.span, "maps that were declared in C are not in the assembler text")
                    .label("only their BTF tells what they are")
                    .help("compile with `-c` and take the object, or declare the maps with `.map`"),
            );
        } else if name.value.starts_with(".text") {
            self.place = Place::Code;
            self.declared.code = Some(CodeSection::Functions);
        } else if let Some(spec) = crate::section::find(&name.value) {
            self.place = Place::Code;
            self.declared.code = Some(CodeSection::Programs(spec));
        } else {
            self.place = Place::Skipped;
            return error(
                Diagnostic::new(name.span, format!("unknown section `{}`", clip(&name.value)))
                    .label("expected `.rodata`, `.data`, `.bss`, or one of libbpf's names for code")
                    .help("code also starts with `.program NAME, SECTION` or `.func NAME`, maps with `.map`"),
            );
        }
        Ok(())
    }

    /// Starts a function of a compiler's code section, if the label is one.
    pub(super) fn compiler_function(&mut self, name: &'s str, span: &Span) -> Parsed<bool> {
        let Some(section) = &self.declared.code else { return Ok(false) };
        if !self.declared.functions.contains(name) {
            return Ok(false);
        }
        let kind = match section {
            CodeSection::Functions => UnitKind::Function { global: self.declared.globals.contains(name) },
            CodeSection::Programs(spec) => UnitKind::Program(spec.clone()),
        };
        self.begin_unit(Unit::new(name.to_owned(), span.clone(), kind))?;
        Ok(true)
    }

    /// `.p2align 3`: code is aligned anyhow.
    fn power_alignment(&mut self, at: &Spanned<&str>) -> Parsed<()> {
        let power = self.expr("a power of two")?;
        let power = expr::fit(&power, 0..13, "an alignment")? as u32;
        // The filler and the most bytes to skip.
        self.skip_line();
        match self.place {
            Place::Data(map) => self.pad(map, 1 << power, &at.span),
            _ => Ok(()),
        }
    }

    /// A directive of this language ends the section of a compiler.
    pub(super) fn end_compiler_section(&mut self) {
        self.declared.code = None;
    }
}
