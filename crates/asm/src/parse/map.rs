// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.map` and `.inner_map`, and what fills a map: `.entry KEY = VALUE`, `.slot INDEX = NAME`.

use skep_program::{MapSpec, Pinning};
use skep_uapi::{MapType, flags};

use super::{Parsed, Parser, clip, error, expr};
use crate::MAX_DATA;
use crate::diagnostics::Diagnostic;
use crate::file::{Map, Spanned, Symbol};
use crate::lexer::Token;

const PROPERTIES: &[&str] =
    &["key", "value", "max_entries", "flags", "inner", "pinning", "map_extra", "numa_node", "frozen"];

const PROPERTIES_TEXT: &str =
    "key, value, max_entries, flags, inner, pinning, map_extra, numa_node or frozen";

/// Map types whose keys are indices of 4 bytes.
const INDEXED: &[MapType] = &[
    MapType::ARRAY,
    MapType::PROG_ARRAY,
    MapType::PERF_EVENT_ARRAY,
    MapType::PERCPU_ARRAY,
    MapType::CGROUP_ARRAY,
    MapType::ARRAY_OF_MAPS,
    MapType::DEVMAP,
    MapType::SOCKMAP,
    MapType::CPUMAP,
    MapType::XSKMAP,
    MapType::REUSEPORT_SOCKARRAY,
];

/// Map types whose values are descriptors or ids of 4 bytes.
const REFERRING: &[MapType] = &[
    MapType::PROG_ARRAY,
    MapType::PERF_EVENT_ARRAY,
    MapType::CGROUP_ARRAY,
    MapType::ARRAY_OF_MAPS,
    MapType::HASH_OF_MAPS,
    MapType::DEVMAP,
    MapType::DEVMAP_HASH,
    MapType::SOCKMAP,
    MapType::SOCKHASH,
    MapType::CPUMAP,
    MapType::XSKMAP,
];

/// Widths of typed numbers in `{ }`; those after the first four are big-endian.
const TYPED: &[(&str, usize, bool)] = &[
    ("u8", 1, false),
    ("u16", 2, false),
    ("u32", 4, false),
    ("u64", 8, false),
    ("s8", 1, false),
    ("s16", 2, false),
    ("s32", 4, false),
    ("s64", 8, false),
    ("be16", 2, true),
    ("be32", 4, true),
    ("be64", 8, true),
];

impl Parser<'_> {
    /// `.map NAME, TYPE, key=4, value=8, max_entries=16, …`.
    pub(super) fn map(&mut self, template: bool) -> Parsed<()> {
        let name = self.ident("the name of the map")?;
        self.expect(Token::Comma, "`,` and a map type")?;
        let map_type = self.map_type()?;
        let of = |types: &[MapType]| if types.contains(&map_type) { 4 } else { 0 };
        let mut map = Map {
            spec: MapSpec {
                name: name.value.to_owned(),
                map_type,
                key_size: of(INDEXED),
                value_size: of(REFERRING),
                ..MapSpec::default()
            },
            data: false,
            template,
            inner: None,
            slots: Vec::new(),
        };
        while self.eat(Token::Comma) {
            self.map_property(&mut map)?;
        }
        let index = self.file.maps.len();
        self.define_symbol(name.value, name.span, Symbol::Map(index))?;
        self.file.maps.push(map);
        self.last_map = Some(index);
        Ok(())
    }

    fn map_type(&mut self) -> Parsed<MapType> {
        let span = self.span();
        let text = self.text();
        if self.peek() != Token::Ident && self.peek() != Token::Number {
            return Err(self.unexpected("a map type such as `hash` or `array`"));
        }
        self.bump();
        MapType::from_name(text).ok_or_else(|| {
            Box::new(
                Diagnostic::new(span, format!("unknown map type `{}`", clip(text)))
                    .label("expected a name of `enum bpf_map_type`, for instance `hash`")
                    .suggest(text, MapType::ALL.iter().filter_map(|t| t.name())),
            )
        })
    }

    fn map_property(&mut self, map: &mut Map) -> Parsed<()> {
        let key = self.ident(PROPERTIES_TEXT)?;
        if key.value == "frozen" {
            map.spec.frozen = true;
            return Ok(());
        }
        if !PROPERTIES.contains(&key.value) {
            return error(
                Diagnostic::new(key.span, format!("unknown property `{}`", clip(key.value)))
                    .label(format!("expected {PROPERTIES_TEXT}"))
                    .suggest(key.value, PROPERTIES.iter().copied()),
            );
        }
        self.expect(Token::Eq, "`=`")?;
        match key.value {
            "key" => map.spec.key_size = self.u32("a size in bytes")?,
            "value" => map.spec.value_size = self.u32("a size in bytes")?,
            "max_entries" => map.spec.max_entries = self.u32("a number of entries")?,
            "flags" => {
                map.spec.flags =
                    self.flags_of("flags of a map", flags::map_create::from_name, flags::map_create::ALL)?;
            }
            "numa_node" => map.spec.numa_node = self.u32("a node")?,
            "map_extra" => {
                let value = self.expr("a number")?;
                map.spec.map_extra = expr::fit(&value, 0..1 << 64, "map_extra")? as u64;
            }
            "inner" => {
                let (value, span) = self.map_name()?;
                map.inner = Some(Spanned { value, span });
            }
            _ => {
                map.spec.pinning = match self.name_or_string("`name` or `none`")?.value.as_str() {
                    "name" | "by_name" => Pinning::ByName,
                    "none" => Pinning::None,
                    _ => {
                        self.pos -= 1;
                        return Err(self.unexpected("`name` or `none`"));
                    }
                };
            }
        }
        Ok(())
    }

    fn map_before(&self, at: &Spanned<&str>) -> Parsed<usize> {
        self.last_map.ok_or_else(|| {
            Box::new(
                Diagnostic::new(at.span.clone(), format!("`{}` before any map", at.value))
                    .label("expected after `.map`"),
            )
        })
    }

    /// `.entry KEY = VALUE`.
    pub(super) fn entry(&mut self, at: &Spanned<&str>) -> Parsed<()> {
        let index = self.map_before(at)?;
        let (key_size, value_size) =
            (self.file.maps[index].spec.key_size, self.file.maps[index].spec.value_size);
        let key = self.bytes(key_size as usize, "key")?;
        self.expect(Token::Eq, "`=` and a value")?;
        let value = self.bytes(value_size as usize, "value")?;
        self.file.maps[index].spec.entries.push((key, value));
        Ok(())
    }

    /// `.slot INDEX = NAME`: a program of a program array, or an inner map of a map of maps.
    pub(super) fn slot(&mut self, at: &Spanned<&str>) -> Parsed<()> {
        let index = self.map_before(at)?;
        let slot = self.u32("the index of a slot")?;
        self.expect(Token::Eq, "`=` and the name of a program or map")?;
        let name = self.ident("the name of a program or map")?;
        let name = Spanned { value: name.value.to_owned(), span: name.span };
        self.file.maps[index].slots.push((slot, name));
        Ok(())
    }

    /// A key or value of `size` bytes: one number over the whole size, or a list of parts; zeros fill up the rest.
    fn bytes(&mut self, size: usize, what: &str) -> Parsed<Vec<u8>> {
        let start = self.span().start;
        let mut bytes = Vec::new();
        if self.eat(Token::LBrace) {
            while self.peek() != Token::RBrace {
                self.part(&mut bytes)?;
                if !self.eat(Token::Comma) {
                    break;
                }
            }
            self.expect(Token::RBrace, "`,` or `}`")?;
        } else if self.at_part() {
            self.part(&mut bytes)?;
        } else {
            let value = self.expr(&format!("a {what}: a number, a string or a list in braces"))?;
            let width = size.min(8);
            if width > 0 {
                let bits = width as u32 * 8;
                expr::fit(&value, -(1 << (bits - 1))..1 << bits, &format!("a {what} of {size} bytes"))?;
            }
            // The sign fills what is wider than a number.
            bytes.extend_from_slice(&value.value.to_le_bytes()[..width]);
        }
        let span = start..self.last_end();
        if bytes.len() > size {
            return error(
                Diagnostic::new(span, format!("{} bytes for a {what} of {size}", bytes.len()))
                    .label(format!("expected at most {size} bytes")),
            );
        }
        if size > MAX_DATA {
            return error(Diagnostic::new(span, format!("a {what} of more than {MAX_DATA} bytes")));
        }
        bytes.resize(size, 0);
        Ok(bytes)
    }

    fn at_part(&self) -> bool {
        match self.peek() {
            Token::Str => true,
            Token::Ident => {
                self.text() == "hex" && self.peek_at(1) == Token::Str
                    || TYPED.iter().any(|(name, ..)| *name == self.text())
            }
            _ => false,
        }
    }

    /// `"text"`, `hex "00ff"`, `u32 5`, or a bare number of one byte.
    fn part(&mut self, out: &mut Vec<u8>) -> Parsed<()> {
        if self.peek() == Token::Str {
            out.extend(self.string_bytes()?);
        } else if self.at_part() && self.eat_word("hex") {
            let text = self.string()?;
            let digits: String = text.value.split_whitespace().collect();
            match hex_bytes(&digits) {
                Some(bytes) => out.extend(bytes),
                None => {
                    return error(
                        Diagnostic::new(text.span, "not hex").label("expected pairs of hex digits"),
                    );
                }
            }
        } else {
            let typed = TYPED.iter().find(|(name, ..)| self.peek() == Token::Ident && *name == self.text());
            if typed.is_some() {
                self.bump();
            }
            let &(name, size, big) = typed.unwrap_or(&TYPED[0]);
            let value = self.expr("a number; `u16`, `u32` and so on give its size")?;
            let bits = size as u32 * 8;
            expr::fit(&value, -(1 << (bits - 1))..1 << bits, name)?;
            let mut bytes = value.value.to_le_bytes()[..size].to_vec();
            if big {
                bytes.reverse();
            }
            out.extend(bytes);
        }
        Ok(())
    }
}

fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).ok()).collect()
}
