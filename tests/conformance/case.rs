// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads `*.bpf` files; `arithmetic.bpf` tells the format.

use std::path::Path;

use skep_asm::Dialect;
use skep_isa::Cpu;

/// One case: a program in both dialects, and runs of it.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// `-mcpu` generation of its newest instruction.
    pub cpu: Cpu,
    /// What the kernel's verifier says to it, where it refuses it.
    pub kernel: Option<String>,
    pub runs: Vec<Run>,
    pseudo_c: String,
    mnemonic: String,
}

/// One run of a case.
#[derive(Debug, Default)]
pub struct Run {
    /// The line as it is in the file.
    pub text: String,
    values: Vec<(String, String)>,
    pub mem: Option<Vec<u8>>,
    pub packet: Option<Vec<u8>>,
    /// `r0`; `None` where the engine must refuse or stop the program.
    pub expected: Option<u64>,
}

impl Case {
    /// The program of a run.
    pub fn source(&self, dialect: Dialect, run: &Run) -> String {
        let template = match dialect {
            Dialect::PseudoC => &self.pseudo_c,
            Dialect::Mnemonic => &self.mnemonic,
        };
        run.values
            .iter()
            .fold(template.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

/// Where the lines of a case go.
#[derive(Clone, Copy)]
enum Part {
    Head,
    PseudoC,
    Mnemonic,
}

/// All cases of a file; panics with the place of what it cannot read.
pub fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    let mut part = Part::Head;
    for (number, line) in text.lines().enumerate() {
        let fail = |why: &str| -> ! { panic!("{}:{}: {why}", path.display(), number + 1) };
        if let Some(name) = line.strip_prefix("== ") {
            if cases.iter().any(|c| c.name == name) {
                fail("this name is taken");
            }
            part = Part::Head;
            cases.push(Case {
                name: name.to_owned(),
                cpu: Cpu::V1,
                kernel: None,
                runs: Vec::new(),
                pseudo_c: String::new(),
                mnemonic: String::new(),
            });
            continue;
        }
        match line {
            "-- pseudo-c" => part = Part::PseudoC,
            "-- mnemonic" => part = Part::Mnemonic,
            _ => {
                let Some(case) = cases.last_mut() else { continue };
                match part {
                    Part::Head if line.is_empty() || line.starts_with(';') => {}
                    Part::Head => {
                        if head(case, line).is_none() {
                            fail("expected `cpu:`, `kernel:` or `run:`");
                        }
                    }
                    Part::PseudoC => case.pseudo_c = format!("{}{line}\n", case.pseudo_c),
                    Part::Mnemonic => case.mnemonic = format!("{}{line}\n", case.mnemonic),
                }
            }
        }
    }
    if let Some(case) =
        cases.iter().find(|c| c.runs.is_empty() || c.pseudo_c.is_empty() || c.mnemonic.is_empty())
    {
        panic!("{}: case `{}` lacks runs or a dialect", path.display(), case.name);
    }
    cases
}

fn head(case: &mut Case, line: &str) -> Option<()> {
    let (key, value) = line.split_once(": ")?;
    match key {
        "cpu" => {
            case.cpu = match value {
                "v1" => Cpu::V1,
                "v2" => Cpu::V2,
                "v3" => Cpu::V3,
                "v4" => Cpu::V4,
                _ => return None,
            }
        }
        "kernel" => case.kernel = Some(value.to_owned()),
        "run" => case.runs.push(run(value)?),
        _ => return None,
    }
    Some(())
}

fn run(text: &str) -> Option<Run> {
    let (given, expected) = text.split_once("-> ")?;
    let mut run = Run { text: text.to_owned(), ..Run::default() };
    for word in given.split_whitespace() {
        let (name, value) = word.split_once('=')?;
        match name {
            "mem" => run.mem = Some(hex::decode(value).ok()?),
            "packet" => run.packet = Some(hex::decode(value).ok()?),
            _ => run.values.push((name.to_owned(), value.to_owned())),
        }
    }
    run.expected = if expected == "error" { None } else { Some(number(expected)?) };
    Some(run)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse::<i128>().ok().map(|n| n as u64),
    }
}
