// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.BTF` and `.BTF.ext` of an object: a `FUNC` for each function, `func_info` and `line_info` by section.

use std::collections::HashMap;

use skep_program::btf::{Btf, Kind, Linkage};
use skep_program::{Object, Program};

use super::code::{Code, Placed};

/// Bytes of the `.BTF.ext` header without the CO-RE table.
const HEADER: u32 = 24;

/// Strings of the new BTF, each searched for once.
#[derive(Default)]
struct Strings {
    known: HashMap<String, u32>,
}

impl Strings {
    fn offset(&mut self, btf: &mut Btf, text: &str) -> u32 {
        if let Some(&at) = self.known.get(text) {
            return at;
        }
        let at = btf.add_string(text);
        self.known.insert(text.to_owned(), at);
        at
    }
}

/// A line of a function: instruction in the function, offsets of file name and text, line and column.
type Line = [u32; 4];

/// Where the lines of a program come from.
struct Lines<'a> {
    program: &'a Program,
    /// The BTF that its `line_info` has its strings in.
    btf: Option<Btf>,
}

impl<'a> Lines<'a> {
    fn new(program: &'a Program) -> Self {
        Lines { program, btf: program.btf.as_deref().and_then(|b| Btf::parse(b).ok()) }
    }

    /// The lines of a function. One stands at its first instruction in any case: the kernel asks for it.
    fn of(&self, f: &Placed, strings: &mut Strings, new: &mut Btf) -> Vec<Line> {
        let inside = |insn: usize| insn.checked_sub(f.origin).filter(|&i| i < f.len).map(|i| i as u32);
        let mut lines: Vec<Line> = match &self.btf {
            Some(old) if !self.program.line_info.bytes.is_empty() => {
                let mut text = |at| strings.offset(new, old.string(at).unwrap_or(""));
                self.program
                    .line_info
                    .iter()
                    .filter_map(|r| {
                        let words = r.as_chunks::<4>().0;
                        let word = |i: usize| words.get(i).map_or(0, |w| u32::from_le_bytes(*w));
                        Some([inside(word(0) as usize)?, text(word(1)), text(word(2)), word(3)])
                    })
                    .collect()
            }
            _ => {
                let at = |l: &skep_program::SourceLine| Some([inside(l.insn)?, 0, 0, l.line << 10]);
                self.program.lines.iter().filter_map(at).collect()
            }
        };
        lines.sort_by_key(|l| l[0]);
        lines.dedup_by_key(|l| l[0]);
        match lines.first() {
            Some(first) if first[0] == 0 => {}
            _ => lines.insert(0, [0; 4]),
        }
        lines
    }
}

fn push(bytes: &mut Vec<u8>, words: &[u32]) {
    bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
}

/// Adds functions to the BTF; the raw `.BTF` and `.BTF.ext`.
pub(super) fn build(object: &Object, code: &Code, btf: &mut Btf) -> (Vec<u8>, Vec<u8>) {
    let mut strings = Strings::default();
    // Without parameters, even for programs: a context of unknown type makes the verifier complain in its log.
    let prototype = btf.find(Kind::FuncProto, "").map_or(0, |t| t.id);
    let sources: Vec<Lines<'_>> = object.programs.iter().map(Lines::new).collect();
    let (mut functions, mut lines) = (Vec::new(), Vec::new());
    push(&mut functions, &[8]);
    push(&mut lines, &[16]);
    for section in &code.sections {
        let name = strings.offset(btf, &section.name);
        push(&mut functions, &[name, section.functions.len() as u32]);
        let mut records = Vec::new();
        for f in &section.functions {
            // Subprograms have no types of parameters here, so the verifier must follow them from their callers:
            // they are static to it.
            let text = section.name == super::code::TEXT;
            let linkage = if text { Linkage::Static } else { Linkage::Global };
            let id = btf.add_type(Kind::Func, &f.name, linkage as u32, prototype, &[]);
            push(&mut functions, &[f.start as u32 * 8, id]);
            for [insn, file, line, number] in sources[f.program].of(f, &mut strings, btf) {
                push(&mut records, &[(f.start as u32 + insn) * 8, file, line, number]);
            }
        }
        push(&mut lines, &[name, records.len() as u32 / 16]);
        lines.extend(records);
    }
    let mut ext = vec![0x9f, 0xeb, 1, 0];
    let (f, l) = (functions.len() as u32, lines.len() as u32);
    push(&mut ext, &[HEADER, 0, f, f, l]);
    ext.extend(functions);
    ext.extend(lines);
    (btf.to_bytes(), ext)
}
