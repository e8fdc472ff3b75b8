// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directives: lines that start with a dot, and `#define`. What they mean is told in `docs/assembly.md`.

use skep_isa::Insn;
use skep_uapi::{AttachType, flags};

use super::{Parsed, Parser, Place, clip, error, expr};
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Draft, ProgramSpec, Spanned, Unit, UnitKind};
use crate::lexer::Token;

type Handler = for<'p, 's> fn(&'p mut Parser<'s>, &Spanned<&'s str>) -> Parsed<()>;

/// Every directive by its names.
const DIRECTIVES: &[(&[&str], Handler)] = &[
    (&[".program"], |p, _| p.program()),
    (&[".func", ".function"], |p, _| p.function()),
    (&[".license"], |p, _| p.license()),
    (&[".attach_type"], |p, at| {
        let value = p.attach_type_name()?;
        p.program_spec(at)?.attach_type = value;
        Ok(())
    }),
    (&[".attach_to"], |p, at| {
        let name = p.name_or_string("the name of a kernel function or type")?.value;
        p.program_spec(at)?.attach_name = Some(name);
        Ok(())
    }),
    (&[".flags"], |p, at| {
        let value = p.flags_of("flags of a program", flags::prog_load::from_name, flags::prog_load::ALL)?;
        p.program_spec(at)?.flags |= value;
        Ok(())
    }),
    (&[".kern_version"], |p, at| {
        let value = p.u32("a kernel version")?;
        p.program_spec(at)?.kern_version = value;
        Ok(())
    }),
    (&[".set", ".equ"], |p, _| p.set()),
    (&[".insn"], |p, _| p.raw_insn()),
    (&[".map"], |p, _| p.map(false)),
    (&[".inner_map"], |p, _| p.map(true)),
    (&[".entry"], |p, at| p.entry(at)),
    (&[".slot"], |p, at| p.slot(at)),
    (&[".rodata", ".data", ".bss"], |p, at| p.data_section(at.value, &at.span)),
];

/// Directives that put bytes into a data section.
const CONTENTS: &[(&[&str], Handler)] = &[
    (&[".byte", ".1byte"], |p, at| p.integers(at, 1)),
    (&[".half", ".short", ".2byte"], |p, at| p.integers(at, 2)),
    (&[".word", ".long", ".int", ".4byte"], |p, at| p.integers(at, 4)),
    (&[".quad", ".dword", ".8byte"], |p, at| p.integers(at, 8)),
    (&[".ascii"], |p, at| p.strings(at, false)),
    (&[".asciz", ".string"], |p, at| p.strings(at, true)),
    (&[".zero", ".skip", ".space"], |p, at| p.zeros(at)),
    (&[".align", ".balign"], |p, at| p.align(at)),
];

impl<'s> Parser<'s> {
    pub(super) fn directive(&mut self) -> Parsed<()> {
        let name = self.ident("a directive")?;
        let word = name.value;
        if self.compiler_directive(&name)? {
            return Ok(());
        }
        let find = |table: &[(&[&str], Handler)]| {
            table.iter().find(|(names, _)| names.contains(&word)).map(|(_, handler)| *handler)
        };
        if let Some(handler) = find(DIRECTIVES) {
            return handler(self, &name);
        }
        if let Some(handler) = find(CONTENTS) {
            return self.contents(&name, handler);
        }
        if word.starts_with(".rodata.") || word.starts_with(".data.") || word.starts_with(".bss.") {
            return self.data_section(word, &name.span);
        }
        let known = DIRECTIVES
            .iter()
            .flat_map(|(names, _)| names.iter().copied())
            .chain(super::gnu::KNOWN.iter().copied());
        error(
            Diagnostic::new(name.span, format!("unknown directive `{}`", clip(word)))
                .label("expected a directive, an instruction or a label")
                .suggest(word, known),
        )
    }

    /// A directive that puts bytes into a section, which need not be one of data in a compiler's output.
    fn contents(&mut self, name: &Spanned<&'s str>, handler: Handler) -> Parsed<()> {
        match self.place {
            Place::Skipped => {
                self.skip_line();
                Ok(())
            }
            Place::License => self.license(),
            _ => handler(self, name),
        }
    }

    /// `#define NAME value`.
    pub(super) fn define(&mut self) -> Parsed<()> {
        self.bump();
        let name = self.constant_name()?;
        self.constant_value(name)
    }

    /// `.set NAME, value`.
    fn set(&mut self) -> Parsed<()> {
        let name = self.constant_name()?;
        self.expect(Token::Comma, "`,` and a value")?;
        self.constant_value(name)
    }

    fn constant_name(&mut self) -> Parsed<Spanned<&'s str>> {
        let name = self.ident("the name of a constant")?;
        if super::operand::register(name.value).is_some() {
            return error(
                Diagnostic::new(name.span, format!("`{}` is a register", name.value))
                    .label("expected another name"),
            );
        }
        Ok(name)
    }

    fn constant_value(&mut self, name: Spanned<&'s str>) -> Parsed<()> {
        let value = self.expr("a constant expression")?;
        self.constants.insert(name.value, Spanned { value: value.value, span: name.span });
        Ok(())
    }

    /// `.program NAME, SECTION-OR-TYPE [, attach=NAME] [, to=NAME] [, flags=A|B]`.
    fn program(&mut self) -> Parsed<()> {
        let name = self.ident("the name of the program")?;
        let spec = self.program_properties();
        // A program with a mistake in its properties is still the place of the code that follows.
        let kind = UnitKind::Program(spec.as_ref().cloned().unwrap_or_default());
        self.end_compiler_section();
        self.begin_unit(Unit::new(name.value.to_owned(), name.span, kind))?;
        spec.map(|_| ())
    }

    fn program_properties(&mut self) -> Parsed<ProgramSpec> {
        self.expect(Token::Comma, "`,` and a section name or program type")?;
        let mut spec = self.section_or_type()?;
        while self.eat(Token::Comma) {
            let key = self.ident("`attach`, `to` or `flags`")?;
            self.expect(Token::Eq, "`=`")?;
            match key.value {
                "attach" => spec.attach_type = self.attach_type_name()?,
                "to" => {
                    spec.attach_name =
                        Some(self.name_or_string("the name of a kernel function or type")?.value);
                }
                "flags" => {
                    spec.flags |= self.flags_of(
                        "flags of a program",
                        flags::prog_load::from_name,
                        flags::prog_load::ALL,
                    )?;
                }
                other => {
                    return error(
                        Diagnostic::new(key.span, format!("unknown property `{}`", clip(other)))
                            .label("expected `attach`, `to` or `flags`")
                            .suggest(other, ["attach", "to", "flags"]),
                    );
                }
            }
        }
        Ok(spec)
    }

    /// A libbpf section name (`xdp`, `tracepoint/syscalls/sys_enter_open`) or a program type (`sched_cls`).
    fn section_or_type(&mut self) -> Parsed<ProgramSpec> {
        let found = if self.peek() == Token::Str {
            self.string()?
        } else {
            let start = self.span().start;
            if self.peek() == Token::Comma || self.peek().ends_statement() {
                return Err(self.unexpected("a section name such as `xdp`, or a program type"));
            }
            while self.peek() != Token::Comma && !self.peek().ends_statement() {
                self.bump();
            }
            let span = start..self.last_end();
            Spanned { value: self.source[span.clone()].to_owned(), span }
        };
        match crate::section::find(&found.value) {
            Some(spec) => Ok(spec),
            None => {
                let unknown = Diagnostic::new(
                    found.span,
                    format!("`{}` is neither a section name nor a program type", clip(&found.value)),
                )
                .label("expected for instance `xdp`, `socket_filter` or `kprobe/vfs_read`");
                error(match crate::section::suggest(&found.value) {
                    Some(near) => unknown.help(format!("did you mean `{near}`?")),
                    None => unknown,
                })
            }
        }
    }

    /// `.func NAME [, global]`.
    fn function(&mut self) -> Parsed<()> {
        let name = self.ident("the name of the function")?;
        let mut global = false;
        if self.eat(Token::Comma) {
            match self.ident("`global` or `static`")?.value {
                "global" => global = true,
                "static" => {}
                _ => {
                    self.pos -= 1;
                    return Err(self.unexpected("`global` or `static`"));
                }
            }
        }
        self.end_compiler_section();
        self.begin_unit(Unit::new(name.value.to_owned(), name.span, UnitKind::Function { global }))
    }

    /// `.license "GPL"`.
    fn license(&mut self) -> Parsed<()> {
        let license = self.name_or_string("a license such as \"GPL\"")?;
        if license.value.contains('\0') {
            return error(Diagnostic::new(license.span, "a license holds no zero byte"));
        }
        self.file.license = Some(license.value);
        Ok(())
    }

    /// The program that a directive is about: the last one.
    fn program_spec(&mut self, at: &Spanned<&str>) -> Parsed<&mut ProgramSpec> {
        let name = at.value;
        match &mut self.unit(&at.span)?.kind {
            UnitKind::Program(spec) => Ok(spec),
            UnitKind::Function { .. } => error(
                Diagnostic::new(at.span.clone(), format!("`{name}` is about a program, not a function"))
                    .label("expected inside of a `.program`"),
            ),
        }
    }

    fn attach_type_name(&mut self) -> Parsed<AttachType> {
        if self.peek() == Token::Number {
            return self.u32("an attach type").map(AttachType);
        }
        let name = self.ident("an attach type")?;
        AttachType::from_name(name.value).ok_or_else(|| {
            Box::new(
                Diagnostic::new(name.span, format!("unknown attach type `{}`", clip(name.value)))
                    .label("expected a name of `enum bpf_attach_type`")
                    .suggest(name.value, AttachType::ALL.iter().filter_map(|t| t.name())),
            )
        })
    }

    /// `A|B`, by names or as numbers.
    pub(super) fn flags_of(
        &mut self,
        what: &str,
        find: fn(&str) -> Option<u32>,
        all: &'static [(&'static str, u32)],
    ) -> Parsed<u32> {
        let mut value = 0;
        loop {
            if self.peek() == Token::Ident && !self.constants.contains_key(self.text()) {
                let name = self.ident(what)?;
                let Some(bit) = find(name.value) else {
                    let short = all.iter().map(|(known, _)| known.trim_start_matches("BPF_F_"));
                    return error(
                        Diagnostic::new(name.span, format!("unknown flag `{}`", clip(name.value)))
                            .label(format!("expected {what}"))
                            .suggest(name.value, short),
                    );
                };
                value |= bit;
            } else {
                let one = self.term(what)?;
                value |= expr::fit(&one, 0..1 << 32, what)? as u32;
            }
            if !self.eat(Token::Pipe) {
                return Ok(value);
            }
        }
    }

    pub(super) fn string(&mut self) -> Parsed<Spanned<String>> {
        let span = self.span();
        let bytes = self.string_bytes()?;
        match String::from_utf8(bytes) {
            Ok(value) => Ok(Spanned { value, span }),
            Err(_) => error(Diagnostic::new(span, "not UTF-8")),
        }
    }

    pub(super) fn string_bytes(&mut self) -> Parsed<Vec<u8>> {
        let text = self.text();
        let span = self.expect(Token::Str, "a string in double quotes")?;
        expr::unescape(&text[1..text.len() - 1], span.start + 1)
    }

    pub(super) fn name_or_string(&mut self, what: &str) -> Parsed<Spanned<String>> {
        if self.peek() == Token::Str {
            return self.string();
        }
        let name = self.ident(what)?;
        Ok(Spanned { value: name.value.to_owned(), span: name.span })
    }

    /// `.insn code, dst, src, off, imm`: a raw slot, which need not be legal.
    fn raw_insn(&mut self) -> Parsed<()> {
        let start = self.tokens[self.pos - 1].1.start;
        let code = self.field(8, "an opcode")? as u8;
        let mut next = |bits, what| {
            self.expect(Token::Comma, "`,`; `.insn` takes code, dst, src, off, imm")?;
            self.field(bits, what)
        };
        let dst = next(4, "a register")? as u8;
        let src = next(4, "a register")? as u8;
        let off = next(16, "an offset")? as i16;
        let imm = next(32, "an immediate")? as i32;
        let draft = Draft { insn: Insn::new(code, dst, src, off, imm), second: None, link: None };
        let span: Span = start..self.last_end();
        self.place(span, draft)
    }

    /// The index of the data section that is open.
    pub(super) fn open_section(&self, at: &Spanned<&str>) -> Parsed<usize> {
        match self.place {
            Place::Data(map) => Ok(map),
            _ => error(
                Diagnostic::new(at.span.clone(), format!("`{}` outside of a data section", at.value))
                    .label("expected after `.rodata`, `.data` or `.bss`"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gnu;
    use super::{CONTENTS, DIRECTIVES};

    /// `docs/assembly.md` tells every directive.
    #[test]
    fn every_directive_is_documented() {
        let page = include_str!("../../../../docs/assembly.md");
        for name in DIRECTIVES.iter().chain(CONTENTS).flat_map(|(names, _)| *names).chain(gnu::KNOWN) {
            let told = page.contains(&format!("`{name}`")) || page.contains(&format!("`{name} "));
            assert!(told, "`{name}` is not in docs/assembly.md");
        }
    }
}
