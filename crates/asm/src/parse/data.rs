// SPDX-License-Identifier: MIT OR Apache-2.0
//! Data sections: each becomes one map, as libbpf makes of the sections of an object.

use skep_program::MapSpec;
use skep_uapi::MapType;
use skep_uapi::flags::map_create::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG};

use super::{Parsed, Parser, Place, clip, error, expr};
use crate::MAX_DATA;
use crate::diagnostics::{Diagnostic, Span};
use crate::file::{Map, Spanned, Symbol};
use crate::lexer::Token;

/// What a data section may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ReadOnly,
    Writable,
    /// Zero at the start.
    Zero,
}

/// The kind of a section by its name; suffixes such as `.data.counters` make sections of their own.
pub(super) fn kind(name: &str) -> Option<Kind> {
    [(".rodata", Kind::ReadOnly), (".data", Kind::Writable), (".bss", Kind::Zero)]
        .into_iter()
        .find(|(stem, _)| {
            name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .map(|(_, kind)| kind)
}

impl Parser<'_> {
    /// Opens a data section, or opens it again.
    pub(super) fn data_section(&mut self, name: &str, span: &Span) -> Parsed<()> {
        self.end_compiler_section();
        if let Some(known) = self.file.symbols.get(name)
            && let Symbol::Map(index) = known.value
        {
            self.place = Place::Data(index);
            return Ok(());
        }
        let read_only = kind(name) == Some(Kind::ReadOnly);
        let index = self.file.maps.len();
        self.define_symbol(name, span.clone(), Symbol::Map(index))?;
        self.file.maps.push(Map {
            spec: MapSpec {
                name: name.to_owned(),
                map_type: MapType::ARRAY,
                key_size: 4,
                max_entries: 1,
                flags: BPF_F_MMAPABLE | if read_only { BPF_F_RDONLY_PROG } else { 0 },
                entries: vec![(vec![0; 4], Vec::new())],
                frozen: read_only,
                ..MapSpec::default()
            },
            data: true,
            template: false,
            inner: None,
            slots: Vec::new(),
        });
        self.place = Place::Data(index);
        Ok(())
    }

    /// Bytes in a section so far.
    pub(super) fn data_len(&self, map: usize) -> u32 {
        self.file.maps[map].spec.value_size
    }

    fn append(&mut self, map: usize, bytes: &[u8], span: &Span) -> Parsed<()> {
        let map = &mut self.file.maps[map];
        if map.spec.value_size as usize + bytes.len() > MAX_DATA {
            return error(Diagnostic::new(span.clone(), format!("a section of more than {MAX_DATA} bytes")));
        }
        if kind(&map.spec.name) == Some(Kind::Zero) && bytes.iter().any(|&b| b != 0) {
            return error(
                Diagnostic::new(span.clone(), format!("`{}` only holds zeros", map.spec.name))
                    .label("this is not zero")
                    .help("put it into `.data`"),
            );
        }
        map.spec.value_size += bytes.len() as u32;
        map.spec.entries[0].1.extend_from_slice(bytes);
        Ok(())
    }

    /// `.byte 1, 2`, `.quad 3` and so on, little-endian.
    pub(super) fn integers(&mut self, at: &Spanned<&str>, size: usize) -> Parsed<()> {
        let map = self.open_section(at)?;
        loop {
            if self.peek() == Token::Ident && self.file.symbols.contains_key(self.text()) {
                return error(
                    Diagnostic::new(self.span(), format!("the address of `{}` in data", clip(self.text())))
                        .label("expected a number")
                        .help("neither the kernel nor libbpf relocates data; load the address with `r1 = NAME ll`"),
                );
            }
            let value = self.expr("a number")?;
            let bits = size as u32 * 8;
            expr::fit(&value, -(1 << (bits - 1))..1 << bits, at.value)?;
            self.append(map, &value.value.to_le_bytes()[..size], &value.span)?;
            if !self.eat(Token::Comma) {
                return Ok(());
            }
        }
    }

    pub(super) fn strings(&mut self, at: &Spanned<&str>, terminated: bool) -> Parsed<()> {
        let map = self.open_section(at)?;
        loop {
            let span = self.span();
            let mut bytes = self.string_bytes()?;
            if terminated {
                bytes.push(0);
            }
            self.append(map, &bytes, &span)?;
            if !self.eat(Token::Comma) {
                return Ok(());
            }
        }
    }

    pub(super) fn zeros(&mut self, at: &Spanned<&str>) -> Parsed<()> {
        let map = self.open_section(at)?;
        let count = self.expr("a number of bytes")?;
        let bytes = expr::fit(&count, 0..MAX_DATA as i128 + 1, "a number of bytes")? as usize;
        self.append(map, &vec![0; bytes], &count.span)
    }

    pub(super) fn align(&mut self, at: &Spanned<&str>) -> Parsed<()> {
        let map = self.open_section(at)?;
        let value = self.expr("an alignment in bytes")?;
        let to = expr::fit(&value, 1..4097, "an alignment")? as usize;
        if !to.is_power_of_two() {
            return error(Diagnostic::new(value.span, "an alignment is a power of two"));
        }
        self.pad(map, to, &value.span)
    }

    /// Zeros up to a multiple.
    pub(super) fn pad(&mut self, map: usize, to: usize, span: &Span) -> Parsed<()> {
        let len = self.data_len(map) as usize;
        self.append(map, &vec![0; len.next_multiple_of(to) - len], span)
    }
}
