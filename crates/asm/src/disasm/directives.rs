// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directives (`docs/assembly.md`) that make a listing a source of its own: license, maps with contents,
//! programs with their properties.
//!
//! Every name is made one that the assembler takes and that no other name of the source equals. What no
//! directive can say (BTF types of a map, slots with a program that is not in the object) is told in a comment.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};

use skep_program::{MapSpec, Object, Pinning, Program, Slot};
use skep_uapi::flags;

use super::listing::{is_name, one_line};

/// The names that the directives declared.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By index.
    pub(super) maps: Vec<String>,
    /// By position in the object.
    programs: Vec<String>,
    all: HashSet<String>,
}

impl Known {
    fn of(object: &Object) -> Self {
        let mut known = Known::default();
        known.maps = object.maps.iter().map(|m| known.declare(&m.name, "map")).collect();
        known.programs = object.programs.iter().map(|p| known.declare(&p.name, "program")).collect();
        known
    }

    /// The name, changed until it can stand in a source and is new.
    fn declare(&mut self, wanted: &str, otherwise: &str) -> String {
        let stem: String = wanted
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_.".contains(c) { c } else { '_' })
            .collect();
        let stem = if is_name(stem.trim_start_matches('.')) { stem } else { format!("{otherwise}_{stem}") };
        let mut name = stem.clone();
        let mut number = 1;
        while !self.all.insert(name.clone()) {
            number += 1;
            name = format!("{stem}_{number}");
        }
        name
    }

    /// Whether a map or program has this name.
    pub(super) fn declared(&self, name: &str) -> bool {
        self.all.contains(name)
    }

    /// The name of the program at a position of the object.
    pub(super) fn program(&self, position: usize) -> &str {
        self.programs.get(position).map_or("main", String::as_str)
    }

    /// What generated labels start with: `L`, or something longer where a name starts so.
    pub(super) fn label_prefix(&self) -> String {
        let mut prefix = "L".to_owned();
        let generated = |name: &str, prefix: &str| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        };
        while self.all.iter().any(|name| generated(name, &prefix)) {
            prefix.push('_');
        }
        prefix
    }
}

/// License and maps.
pub(super) fn object(out: &mut String, object: &Object) -> Result<Known, fmt::Error> {
    let mut known = Known::of(object);
    if let Some(program) = object.programs.first() {
        writeln!(out, ".license {}", quoted(&program.license))?;
    }
    let positions: HashMap<&str, usize> =
        object.programs.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect();
    let names = known.maps.clone();
    for (spec, name) in object.maps.iter().zip(&names) {
        out.push('\n');
        let inner = spec.inner.as_deref().map(|inner| template(out, inner, &mut known)).transpose()?;
        map(out, ".map", name, spec, inner.as_deref())?;
        for (key, value) in &spec.entries {
            entry(out, spec, key, value)?;
        }
        for (slot, content) in &spec.slots {
            let target = match content {
                Slot::Program(name) => positions.get(name.as_str()).map(|&i| known.program(i)),
                Slot::Map(index) => known.maps.get(*index).map(String::as_str),
            };
            match (target, content) {
                (Some(target), _) => writeln!(out, ".slot {slot} = {target}")?,
                (None, Slot::Program(name)) => {
                    writeln!(out, "; slot {slot} holds the program {}", one_line(name))?;
                }
                (None, Slot::Map(index)) => writeln!(out, "; slot {slot} holds the map {index}")?,
            }
        }
    }
    Ok(known)
}

/// An inner map, inner maps of its own first; its name.
fn template(out: &mut String, spec: &MapSpec, known: &mut Known) -> Result<String, fmt::Error> {
    let inner = spec.inner.as_deref().map(|inner| template(out, inner, known)).transpose()?;
    let name = known.declare(&spec.name, "inner");
    map(out, ".inner_map", &name, spec, inner.as_deref())?;
    Ok(name)
}

fn map(out: &mut String, directive: &str, name: &str, spec: &MapSpec, inner: Option<&str>) -> fmt::Result {
    let MapSpec { map_type, key_size, value_size, max_entries, map_extra, numa_node, .. } = spec;
    write!(
        out,
        "{directive} {name}, {map_type}, key={key_size}, value={value_size}, max_entries={max_entries}"
    )?;
    if spec.flags != 0 {
        write!(out, ", flags={}", Flags(spec.flags, flags::map_create::ALL))?;
    }
    if let Some(inner) = inner {
        write!(out, ", inner={inner}")?;
    }
    if *map_extra != 0 {
        write!(out, ", map_extra={map_extra:#x}")?;
    }
    if *numa_node != 0 {
        write!(out, ", numa_node={numa_node}")?;
    }
    if spec.pinning == Pinning::ByName {
        write!(out, ", pinning=name")?;
    }
    if spec.frozen {
        write!(out, ", frozen")?;
    }
    if spec.btf_key != 0 || spec.btf_value != 0 {
        write!(out, " ; BTF types {} and {}", spec.btf_key, spec.btf_value)?;
    }
    out.push('\n');
    Ok(())
}

fn entry(out: &mut String, spec: &MapSpec, key: &[u8], value: &[u8]) -> fmt::Result {
    let fits = |bytes: &[u8], size: u32| bytes.len() == size as usize;
    if !fits(key, spec.key_size) || !fits(value, spec.value_size) {
        return writeln!(out, "; an entry of {} and {} bytes does not fit", key.len(), value.len());
    }
    writeln!(out, ".entry {} = {}", Bytes(key), Bytes(value))
}

/// A key or value: a number where it is short, else hex without the zeros at the end, which the size implies.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bytes(bytes) = *self;
        if bytes.len() <= 8 {
            let number = bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
            return write!(f, "{number}");
        }
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        f.write_str("hex \"")?;
        for byte in &bytes[..used] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("\"")
    }
}

/// Flags by name, the unknown rest as a number.
struct Flags(u32, &'static [(&'static str, u32)]);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flags(mut rest, names) = *self;
        let mut between = "";
        for (name, bit) in names {
            if rest & bit != 0 {
                write!(f, "{between}{name}")?;
                rest &= !bit;
                between = "|";
            }
        }
        if rest != 0 { write!(f, "{between}{rest:#x}") } else { Ok(()) }
    }
}

/// A string literal of the assembler.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    // A String takes everything that is written to it.
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `.program` and what belongs to it.
pub(super) fn program(out: &mut String, program: &Program, name: &str) -> fmt::Result {
    let section = crate::section::find(&program.section).filter(|spec| {
        spec.prog_type == program.prog_type
            && (spec.attach_type.0 == 0 || spec.attach_type == program.expected_attach_type)
            && spec.flags & !program.prog_flags == 0
            && (spec.attach_name.is_none() || spec.attach_name == program.attach_name)
    });
    match &section {
        Some(_) => write!(out, ".program {name}, {}", quoted(&program.section))?,
        None => write!(out, ".program {name}, {}", program.prog_type)?,
    }
    let implied = section.unwrap_or_default();
    if program.expected_attach_type != implied.attach_type {
        match program.expected_attach_type.name() {
            Some(word) => write!(out, ", attach={word}")?,
            None => write!(out, " ; attach type {}", program.expected_attach_type)?,
        }
    }
    out.push('\n');
    if program.attach_name != implied.attach_name
        && let Some(target) = &program.attach_name
    {
        writeln!(out, ".attach_to {}", quoted(target))?;
    }
    let more = program.prog_flags & !implied.flags;
    if more != 0 {
        writeln!(out, ".flags {}", Flags(more, flags::prog_load::ALL))?;
    }
    if program.kern_version != 0 {
        writeln!(out, ".kern_version {:#x}", program.kern_version)?;
    }
    Ok(())
}
