// SPDX-License-Identifier: GPL-2.0-only
//! Text and objects as oracles: what is printed or written must be read back to the same program, and what is damaged must
//! end in an error with a place, never in a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skep_asm::disasm::{DisasmOptions, Style, disassemble_object};
use skep_isa::Insn;
use skep_program::{Object, Program};
use skep_smith::{Made, Random, patch};

use super::oracle::{Counts, Difference, Oracle};
use crate::report::Result;

/// Damaged copies of each.
const DAMAGED: usize = 4;

/// A difference, or a panic, as a finding.
fn finding(what: &str, check: impl FnOnce() -> Option<String>) -> Option<Difference> {
    let difference = |nature: String, text: String| Difference::new(format!("{what}: {nature}"), text);
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(None) => None,
        Ok(Some(text)) => Some(difference(text.lines().next().unwrap_or_default().to_owned(), text)),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(difference("panic".to_owned(), message.unwrap_or_default()))
        }
    }
}

/// What of a program must survive. Maps may come in another order.
fn differ(first: &Program, second: &Program) -> Option<&'static str> {
    if first.prog_type != second.prog_type || first.expected_attach_type != second.expected_attach_type {
        return Some("type");
    }
    let (first_order, second_order) = (by_name(first), by_name(second));
    let map = |program: &Program, at: &usize| {
        let map = &program.maps[*at];
        (map.name.clone(), map.map_type, map.key_size, map.value_size, map.max_entries, map.flags)
    };
    let maps =
        |program: &Program, order: &[usize]| -> Vec<_> { order.iter().map(|at| map(program, at)).collect() };
    if maps(first, &first_order) != maps(second, &second_order) {
        return Some("maps");
    }
    (insns_by_name(first, &first_order) != insns_by_name(second, &second_order)).then_some("instructions")
}

/// Indices of maps in the order of their names.
fn by_name(program: &Program) -> Vec<usize> {
    let mut order: Vec<usize> = (0..program.maps.len()).collect();
    order.sort_by_key(|&at| &program.maps[at].name);
    order
}

/// Instructions that name maps by their place in that order.
fn insns_by_name(program: &Program, order: &[usize]) -> Vec<Insn> {
    let mut insns = program.insns.clone();
    for (at, insn) in insns.iter_mut().enumerate() {
        let place = patch::named_map(program, at).and_then(|map| order.iter().position(|&at| at == map));
        if let Some(place) = place {
            insn.imm = place as i32;
        }
    }
    insns
}

/// Bytes with some of them changed, left out, or doubled.
fn damage(bytes: &[u8], random: &mut Random<'_>) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=random.below(4) {
        if damaged.is_empty() {
            break;
        }
        let at = random.below(damaged.len() as u64) as usize;
        match random.below(4) {
            0 => damaged[at] = random.below(256) as u8,
            1 => {
                damaged.remove(at);
            }
            2 => {
                let end = (at + 1 + random.below(16) as usize).min(damaged.len());
                let piece = damaged[at..end].to_vec();
                damaged.splice(at..at, piece);
            }
            _ => damaged[at] ^= 1 << random.below(8),
        }
    }
    damaged
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex_of(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// Reads damaged copies, which must not panic; `shown` is how a finding has them.
fn read_damaged(
    what: &str,
    bytes: &[u8],
    random: &mut Random<'_>,
    found: &mut dyn FnMut(Difference),
    shown: fn(&[u8]) -> String,
    read: impl Fn(&[u8]),
) {
    for _ in 0..DAMAGED {
        let damaged = damage(bytes, random);
        let difference = finding(what, || {
            read(&damaged);
            None
        });
        if let Some(Difference { nature, text, .. }) = difference {
            found(Difference::new(nature, format!("{text}\n{}", shown(&damaged))));
        }
    }
}

/// Assembler text in all styles.
#[derive(Debug)]
pub struct Text {
    random: Random<'static>,
    counts: Counts,
}

impl Text {
    /// Damage of these choices.
    pub fn new(seed: u64) -> Text {
        Text { random: Random::new(seed), counts: Counts::default() }
    }
}

fn text_of(program: &Program, style: Style) -> String {
    let options = DisasmOptions { style, ..DisasmOptions::default() };
    disassemble_object(&Object::single(program.clone()), &options)
}

fn read_text(text: &str) -> std::result::Result<Object, String> {
    skep_asm::assemble(text, &skep_asm::Options::default())
        .map_err(|errors| errors.render("listing", text, false))
}

impl Oracle for Text {
    fn name(&self) -> String {
        "programs as text: printed and assembled again in all styles, and damaged".to_owned()
    }

    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()> {
        for (at, made) in programs.iter().enumerate() {
            let program = patch::with_used_maps(&made.program);
            self.counts.compared += 1;
            for style in Style::ALL {
                let difference = finding("text", || {
                    let text = text_of(&program, style);
                    match read_text(&text) {
                        Err(errors) => {
                            Some(format!("a listing of style {style:?} does not assemble\n{errors}"))
                        }
                        Ok(again) => {
                            let what = differ(&program, again.programs.first()?)?;
                            Some(format!("other {what} in style {style:?}\n{text}"))
                        }
                    }
                });
                if let Some(difference) = difference {
                    found(at, difference);
                }
            }
            let text = text_of(&program, Style::default());
            let mut found = |difference| found(at, difference);
            read_damaged("damaged text", text.as_bytes(), &mut self.random, &mut found, lossy, |damaged| {
                let _ = read_text(&lossy(damaged));
            });
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

/// ELF objects.
#[derive(Debug)]
pub struct Objects {
    random: Random<'static>,
    counts: Counts,
}

impl Objects {
    /// Damage of these choices.
    pub fn new(seed: u64) -> Objects {
        Objects { random: Random::new(seed), counts: Counts::default() }
    }
}

/// The first program of an object.
fn loaded(bytes: &[u8]) -> std::result::Result<Program, String> {
    let object =
        skep_object::load(bytes).map_err(|error| format!("what was written does not load: {error}"))?;
    object.programs.into_iter().next().ok_or_else(|| "no program is left".to_owned())
}

impl Oracle for Objects {
    fn name(&self) -> String {
        "programs as ELF objects: written and loaded again, and damaged".to_owned()
    }

    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()> {
        for (at, made) in programs.iter().enumerate() {
            let program = patch::with_used_maps(&made.program);
            // What an object cannot hold is refused by name.
            let Ok(bytes) = skep_object::write(&Object::single(program.clone())) else {
                self.counts.unanswered += 1;
                continue;
            };
            self.counts.compared += 1;
            let difference = finding("object", || {
                let once = match loaded(&bytes) {
                    Ok(once) => once,
                    Err(why) => return Some(why),
                };
                // Functions come in the order in which they are named first, as libbpf puts them; the second time they
                // are in it.
                if !program.insns.iter().any(patch::names_function)
                    && let Some(what) = differ(&program, &once)
                {
                    return Some(format!("other {what}"));
                }
                let again = skep_object::write(&Object::single(once.clone())).map_err(|e| e.to_string());
                match again.and_then(|bytes| loaded(&bytes)) {
                    Ok(twice) => Some(format!("other {} the second time", differ(&once, &twice)?)),
                    Err(why) => Some(format!("the second time: {why}")),
                }
            });
            if let Some(difference) = difference {
                found(at, difference);
            }
            let mut found = |difference| found(at, difference);
            read_damaged("damaged object", &bytes, &mut self.random, &mut found, hex_of, |damaged| {
                let _ = skep_object::load(damaged);
            });
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
