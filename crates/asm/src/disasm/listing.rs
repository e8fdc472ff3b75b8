// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole programs and objects as sources that assemble back to the same bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{self, Write};

use skep_isa::{CallKind, Decoded, Insn, Op};
use skep_program::btf::Btf;
use skep_program::{Object, Program};
use skep_uapi::HelperId;

use super::{Names, Style, directives, print_insn, print_raw};

/// How jump targets are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// By label: functions by their name, other targets as `L12`, after their slot.
    #[default]
    Labels,
    /// By distance from the next slot, with a slot number before every instruction.
    Offsets,
}

/// What [`disassemble`] prints. Nothing here changes what the output assembles to.
#[derive(Clone, Copy, Debug, Default)]
pub struct DisasmOptions<'a> {
    /// Style of the instructions.
    pub style: Style,
    /// Style of jump targets.
    pub targets: Targets,
    /// A column with the raw bytes.
    pub raw: bool,
    /// The source text that [`skep_program::SourceLine::span`] points into, to print its lines.
    pub source: Option<&'a str>,
}

/// A program with its maps as a source.
#[must_use]
pub fn disassemble(program: &Program, options: &DisasmOptions<'_>) -> String {
    disassemble_object(&Object::single(program.clone()), options)
}

/// All programs and maps of an object as one source.
#[must_use]
pub fn disassemble_object(object: &Object, options: &DisasmOptions<'_>) -> String {
    let mut out = String::new();
    // A String takes everything that is written to it.
    let _ = write_object(&mut out, object, options);
    out
}

fn write_object(out: &mut String, object: &Object, options: &DisasmOptions<'_>) -> fmt::Result {
    let known = directives::object(out, object)?;
    for (position, program) in object.programs.iter().enumerate() {
        out.push('\n');
        directives::program(out, program, known.program(position))?;
        let listing = Listing::new(program, &known, options);
        listing.write(out)?;
    }
    Ok(())
}

/// The names of one program, and the lines between its instructions.
struct Listing<'a> {
    program: &'a Program,
    options: &'a DisasmOptions<'a>,
    /// Names of maps by index, as the directives declared them.
    maps: &'a [String],
    /// Names of labels by slot.
    labels: HashMap<usize, String>,
    functions: HashMap<usize, &'a str>,
    kernel_symbols: HashMap<usize, &'a str>,
    /// Source lines by slot.
    source: BTreeMap<usize, String>,
}

impl Names for Listing<'_> {
    fn target(&self, slot: usize) -> Option<&str> {
        match self.options.targets {
            Targets::Labels => self.labels.get(&slot).map(String::as_str),
            Targets::Offsets => None,
        }
    }

    fn map(&self, index: usize) -> Option<&str> {
        self.maps.get(index).map(String::as_str)
    }

    fn kernel_symbol(&self, at: usize) -> Option<&str> {
        self.kernel_symbols.get(&at).copied()
    }

    fn spell_pseudo(&self) -> bool {
        true
    }
}

/// Whether a text can be a label, a map's name or a program's name of the assembler as it is.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
        && !is_register(text)
}

fn is_register(text: &str) -> bool {
    let number = text.strip_prefix(['r', 'w']);
    text == "fp" || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Slots that a jump, call or function address of the program leads to, if an instruction starts there.
fn targets(insns: &[Insn]) -> BTreeSet<usize> {
    let mut starts = HashSet::new();
    let mut targets = BTreeSet::new();
    let mut at = 0;
    while at < insns.len() {
        starts.insert(at);
        let Ok(decoded) = skep_isa::decode(insns, at) else {
            at += 1;
            continue;
        };
        targets.extend(target_slot(&decoded, at));
        at += decoded.slots();
    }
    targets.retain(|slot| starts.contains(slot));
    targets
}

/// The slot that an instruction at `at` leads to.
fn target_slot(decoded: &Decoded, at: usize) -> Option<usize> {
    let distance = decoded.target()?;
    usize::try_from(i64::try_from(at).ok()? + 1 + distance).ok()
}

impl<'a> Listing<'a> {
    fn new(program: &'a Program, known: &'a directives::Known, options: &'a DisasmOptions<'a>) -> Self {
        let functions: HashMap<usize, &str> =
            program.functions.iter().map(|f| (f.start, f.name.as_str())).collect();
        let mut labels: HashMap<usize, String> = HashMap::new();
        let mut taken: HashSet<&str> = HashSet::new();
        let prefix = known.label_prefix();
        for slot in targets(&program.insns) {
            let name = functions.get(&slot).copied().filter(|name| {
                is_name(name) && !name.starts_with(&prefix) && !known.declared(name) && taken.insert(name)
            });
            labels.insert(slot, name.map_or_else(|| format!("{prefix}{slot}"), str::to_owned));
        }
        let kernel_symbols =
            program.btf_refs.iter().filter(|r| is_name(&r.name)).map(|r| (r.insn, r.name.as_str())).collect();
        let source = source_lines(program, options.source);
        Listing { program, options, maps: &known.maps, labels, functions, kernel_symbols, source }
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let insns = &self.program.insns;
        let mut at = 0;
        let mut line = None;
        while at < insns.len() {
            line = self.write_heading(out, at, line)?;
            let decoded = skep_isa::decode(insns, at).ok();
            let slots = decoded.map_or(1, |d| d.slots());
            self.write_columns(out, at)?;
            match decoded {
                Some(decoded) => {
                    print_insn(out, self.options.style, insns, at, self)?;
                    self.write_note(out, &decoded)?;
                }
                None => print_raw(out, insns[at])?,
            }
            out.push('\n');
            if self.options.raw && slots == 2 {
                self.write_raw(out, at + 1)?;
                out.push('\n');
            }
            at += slots;
        }
        Ok(())
    }

    /// What stands above an instruction: the function that starts, its label, its source line. A line is not
    /// repeated where only the column changes: `last` is the one above, and returned is the one that holds now.
    fn write_heading<'l>(
        &'l self,
        out: &mut String,
        at: usize,
        mut last: Option<&'l str>,
    ) -> Result<Option<&'l str>, fmt::Error> {
        if let Some(name) = self.functions.get(&at)
            && at > 0
        {
            writeln!(out, "\n; function {}", one_line(name))?;
            last = None;
        }
        if self.options.targets == Targets::Labels
            && let Some(label) = self.labels.get(&at)
        {
            writeln!(out, "{label}:")?;
        }
        let line = self.source.get(&at).map(String::as_str);
        if let Some(text) = line
            && line != last
        {
            writeln!(out, "; {text}")?;
        }
        Ok(line.or(last))
    }

    /// The bytes of a slot, where they are asked for.
    fn write_raw(&self, out: &mut String, slot: usize) -> fmt::Result {
        if self.options.raw {
            out.push_str("/* ");
            for byte in self.program.insns[slot].to_bytes() {
                write!(out, "{byte:02x} ")?;
            }
            out.push_str("*/");
        }
        Ok(())
    }

    fn write_columns(&self, out: &mut String, at: usize) -> fmt::Result {
        self.write_raw(out, at)?;
        // The kernel's opcode in parentheses, which tells `r1 = 0x5` of 64 from one of 32 bits, only stands
        // behind a number.
        if self.options.style == Style::Kernel || self.options.targets == Targets::Offsets {
            write!(out, "{at:>5}: ")
        } else {
            out.write_str("    ")
        }
    }

    /// The name of a helper behind a call that shows its number alone.
    fn write_note(&self, out: &mut String, decoded: &Decoded) -> fmt::Result {
        if self.options.style == Style::Kernel || decoded.op() != Op::Call(CallKind::Helper) {
            return Ok(());
        }
        match u32::try_from(decoded.insn.imm).ok().and_then(|id| HelperId(id).name()) {
            Some(name) => write!(out, " ; bpf_{name}"),
            None => Ok(()),
        }
    }
}

/// Text made fit for a comment that ends with its line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Source lines by slot: from `line_info` where the program's BTF has their text, else from the source that the
/// program was assembled from.
fn source_lines(program: &Program, source: Option<&str>) -> BTreeMap<usize, String> {
    let mut lines = BTreeMap::new();
    if let Some(btf) = program.btf.as_deref().and_then(|b| Btf::parse(b).ok()) {
        for record in program.line_info.iter() {
            if let Some((slot, line)) = line_record(record, &btf) {
                lines.insert(slot, line);
            }
        }
    }
    if let Some(source) = source {
        for line in &program.lines {
            let text = line.span.and_then(|(start, end)| source.get(start..end));
            if let Some(text) = text {
                lines.entry(line.insn).or_insert_with(|| one_line(text.trim()));
            }
        }
    }
    lines
}

/// `struct bpf_line_info`: slot, file name, text, line and column.
fn line_record(record: &[u8], btf: &Btf) -> Option<(usize, String)> {
    let (words, _) = record.as_chunks::<4>();
    let [slot, _file, text, _line_col] = *words.first_chunk::<4>()?;
    let text = btf.string(u32::from_le_bytes(text))?.trim();
    let slot = usize::try_from(u32::from_le_bytes(slot)).ok()?;
    (!text.is_empty()).then(|| (slot, one_line(text)))
}
