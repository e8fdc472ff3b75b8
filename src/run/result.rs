// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one run gave, and what many gave together, as text and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use skep_program::{Object, Program};
use skep_uapi::action_name;
use skep_vm::{InputError, Machine, Outcome, Trap};

use super::dump::MapDump;

/// A trap in words, with the line of the source that its instruction comes from where that is known.
fn trap_text(object: &Object, trap: &Trap) -> String {
    let line = trap.at.as_ref().and_then(|at| {
        let program = object.programs.iter().find(|p| *p.name == *at.program)?;
        program.lines.iter().rev().find(|l| l.insn <= at.insn)
    });
    match line {
        Some(line) => format!("{trap} (line {} of the source)", line.line),
        None => trap.to_string(),
    }
}

/// What programs printed, line by line.
fn trace_text(trace: &[String]) -> String {
    trace.iter().map(|line| format!("trace: {}\n", line.trim_end_matches('\n'))).collect()
}

/// Takes what the programs of a machine printed (`bpf_trace_printk`).
pub fn take_trace(machine: &Machine) -> Vec<String> {
    machine.take_trace().entries.iter().map(|e| String::from_utf8_lossy(e).into_owned()).collect()
}

/// One run.
pub struct RunResult<'a> {
    object: &'a Object,
    program: &'a Program,
    engine: &'static str,
    outcome: Outcome,
    /// Nanoseconds of one run, where it was repeated.
    pub ns_per_run: Option<f64>,
    /// What the program printed.
    pub trace: Vec<String>,
    /// Maps afterwards, where they are asked for.
    pub maps: Vec<MapDump<'a>>,
}

impl<'a> RunResult<'a> {
    /// The result of a run of the object's first program.
    pub fn new(object: &'a Object, engine: &'static str, outcome: Outcome) -> Self {
        let program = &object.programs[0];
        RunResult { object, program, engine, outcome, ns_per_run: None, trace: Vec::new(), maps: Vec::new() }
    }

    /// Why the run ended early, if it did.
    pub fn trap(&self) -> Option<String> {
        self.outcome.trap.as_ref().map(|trap| trap_text(self.object, trap))
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Outcome { r0, trap, insn_count, .. } = &self.outcome;
        if trap.is_none() {
            let _ = write!(text, "r0 = {r0}");
            if *r0 > 9 {
                let _ = write!(text, " ({r0:#x})");
            }
            if let Some(action) = action_name(self.program.prog_type, *r0 as u32) {
                let _ = write!(text, " {action}");
            }
            text.push('\n');
        }
        let _ = writeln!(text, "instructions: {insn_count}");
        if let Some(ns) = self.ns_per_run {
            let _ = writeln!(text, "time: {ns:.1} ns per run");
        }
        for (name, bytes) in [("data_out", &self.outcome.data_out), ("ctx_out", &self.outcome.ctx_out)] {
            if !bytes.is_empty() {
                let _ = writeln!(text, "{name}: {}", hex::encode(bytes));
            }
        }
        text += &trace_text(&self.trace);
        for map in &self.maps {
            text += &map.text();
        }
        text
    }

    /// For programs: the fields of `docs/case-files.md`.
    pub fn json(&self) -> Value {
        let Outcome { r0, trap, insn_count, .. } = &self.outcome;
        let mut json = json!({
            "id": self.program.name,
            "prog_type": self.program.prog_type.to_string(),
            "engine": self.engine,
            "r0": if trap.is_none() { json!(r0) } else { Value::Null },
            "action": trap.is_none().then(|| action_name(self.program.prog_type, *r0 as u32)).flatten(),
            "trap": self.trap(),
            "insn_count": insn_count,
            "hash": self.program.hash(),
            "redirect": self.outcome.redirect.map(|r| format!("{r:?}")),
            "trace": self.trace,
            "data_out": hex::encode(&self.outcome.data_out),
            "ctx_out": hex::encode(&self.outcome.ctx_out),
            "maps": self.maps.iter().map(MapDump::json).collect::<Vec<_>>(),
        });
        if let Some(ns) = self.ns_per_run {
            json["ns_per_run"] = ns.into();
        }
        json
    }
}

/// Many runs of one program.
pub struct Summary<'a> {
    object: &'a Object,
    program: &'a Program,
    engine: &'static str,
    packets: u64,
    insn_count: u64,
    /// Packets that no program can be given, and why the first one.
    refused: u64,
    first_refusal: Option<String>,
    /// Runs by return value.
    results: BTreeMap<u64, u64>,
    /// The first packet that ended in a trap (from 1), and why.
    first_trap: Option<(u64, String)>,
    traps: u64,
    /// What the programs printed.
    pub trace: Vec<String>,
    /// Maps afterwards, where they are asked for.
    pub maps: Vec<MapDump<'a>>,
}

impl<'a> Summary<'a> {
    /// No runs yet.
    pub fn new(object: &'a Object, engine: &'static str) -> Self {
        Summary {
            object,
            program: &object.programs[0],
            engine,
            packets: 0,
            insn_count: 0,
            refused: 0,
            first_refusal: None,
            results: BTreeMap::new(),
            first_trap: None,
            traps: 0,
            trace: Vec::new(),
            maps: Vec::new(),
        }
    }

    /// Counts a packet that was not run.
    pub fn refuse(&mut self, why: &InputError) {
        self.packets += 1;
        self.refused += 1;
        self.first_refusal.get_or_insert_with(|| format!("packet {}: {why}", self.packets));
    }

    /// Counts one run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.packets += 1;
        self.insn_count += outcome.insn_count;
        match &outcome.trap {
            None => *self.results.entry(outcome.r0).or_default() += 1,
            Some(trap) => {
                self.traps += 1;
                self.first_trap.get_or_insert_with(|| (self.packets, trap_text(self.object, trap)));
            }
        }
    }

    /// What to tell when runs ended in a trap.
    pub fn trap(&self) -> Option<String> {
        let (packet, why) = self.first_trap.as_ref()?;
        Some(format!(
            "{} of {} packets ended in a trap, first packet {packet}: {why}",
            self.traps, self.packets
        ))
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!(
            "program {} ({}): {} packets, {} instructions\n",
            self.program.name, self.program.prog_type, self.packets, self.insn_count
        );
        for (r0, count) in &self.results {
            let name = action_name(self.program.prog_type, *r0 as u32).unwrap_or_default();
            let label = if name.is_empty() { format!("r0 = {r0}") } else { name.to_owned() };
            let _ = writeln!(text, "  {label:<16} {count}");
        }
        if self.traps > 0 {
            let _ = writeln!(text, "  {:<16} {}", "trap", self.traps);
        }
        if let Some(first) = &self.first_refusal {
            let _ = writeln!(text, "  {:<16} {} (first: {first})", "not run", self.refused);
        }
        text += &trace_text(&self.trace);
        for map in &self.maps {
            text += &map.text();
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let actions: Vec<Value> = self
            .results
            .iter()
            .map(|(r0, count)| {
                json!({
                    "r0": r0,
                    "action": action_name(self.program.prog_type, *r0 as u32),
                    "count": count,
                })
            })
            .collect();
        json!({
            "id": self.program.name,
            "prog_type": self.program.prog_type.to_string(),
            "engine": self.engine,
            "hash": self.program.hash(),
            "packets": self.packets,
            "insn_count": self.insn_count,
            "actions": actions,
            "traps": self.traps,
            "not_run": self.refused,
            "first_not_run": self.first_refusal,
            "trap": self.trap(),
            "trace": self.trace,
            "maps": self.maps.iter().map(MapDump::json).collect::<Vec<_>>(),
        })
    }
}
