// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a comparison found: typed, as text, and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Bytes of a value that text shows around the first difference.
const SHOWN: usize = 32;

/// Differences that text lists; all of them are in [`Report::differences`].
const LISTED: usize = 20;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// How a run ended: a result, a trap, an error number.
    Ending {
        /// Index of the input.
        input: usize,
    },
    /// `r0`, of which test runs of the kernel give 32 bits.
    R0 {
        /// Index of the input.
        input: usize,
    },
    /// The packet after a run.
    DataOut {
        /// Index of the input.
        input: usize,
    },
    /// The context after a run.
    CtxOut {
        /// Index of the input.
        input: usize,
    },
    /// An element of a map after all runs.
    MapElement {
        /// Name of the map.
        map: String,
        /// The key, in hex.
        key: String,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Ending { input } => write!(f, "input {input}: ending"),
            What::R0 { input } => write!(f, "input {input}: r0"),
            What::DataOut { input } => write!(f, "input {input}: packet afterwards"),
            What::CtxOut { input } => write!(f, "input {input}: context afterwards"),
            What::MapElement { map, key } if key.is_empty() => write!(f, "map `{map}`: head"),
            What::MapElement { map, key } => write!(f, "map `{map}`: key {key}"),
        }
    }
}

/// One side of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// A number.
    Number(u64),
    /// Bytes, in hex.
    Bytes(String),
    /// The value of each CPU, in hex, in ascending order.
    PerCpu(Vec<String>),
    /// A trap or error, in words.
    Words(String),
    /// It is not there.
    Absent,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Side::Number(n) => write!(f, "{n} ({n:#x})"),
            Side::Bytes(hex) => write!(f, "{hex} ({} bytes)", hex.len() / 2),
            Side::PerCpu(values) => write!(f, "{}", values.join(" | ")),
            Side::Words(words) => f.write_str(words),
            Side::Absent => f.write_str("absent"),
        }
    }
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    /// Here, by `skep_vm`.
    pub ours: Side,
    /// On the other backend.
    pub theirs: Side,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { what, ours, theirs } = self;
        if let (Side::Bytes(a), Side::Bytes(b)) = (ours, theirs) {
            let at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count() / 2;
            let part = |hex: &str| {
                let from = (at.saturating_sub(4) * 2).min(hex.len());
                let to = (from + 2 * SHOWN).min(hex.len());
                format!("{} ({} bytes)", &hex[from..to], hex.len() / 2)
            };
            return write!(f, "{what}, from byte {at}:\n  ours:   {}\n  theirs: {}", part(a), part(b));
        }
        write!(f, "{what}:\n  ours:   {ours}\n  theirs: {theirs}")
    }
}

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What, for instance "map `events`".
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the program.
    pub program: String,
    /// Inputs that both sides ran.
    pub runs: usize,
    /// How often each `r0` was returned here, in its low 32 bits.
    pub results: BTreeMap<u32, usize>,
    /// Inputs that both sides refused.
    pub refused: usize,
    /// Everything that differs, in order of inputs, then of maps.
    pub differences: Vec<Difference>,
    /// What could not be compared.
    pub skipped: Vec<Skipped>,
    /// Helpers called whose results depend on time, chance or the machine: differences may come from them.
    pub environment: Vec<&'static str>,
}

impl Report {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { program, runs, results: _, refused, differences, skipped, environment } = self;
        write!(f, "program `{program}`: {runs} runs")?;
        if *refused != 0 {
            write!(f, ", {refused} inputs refused by both")?;
        }
        match differences.len() {
            0 => writeln!(f, ": equal")?,
            1 => writeln!(f, ": 1 difference")?,
            n => writeln!(f, ": {n} differences")?,
        }
        for difference in differences.iter().take(LISTED) {
            writeln!(f, "{difference}")?;
        }
        if differences.len() > LISTED {
            writeln!(f, "… and {} more", differences.len() - LISTED)?;
        }
        if !differences.is_empty() && !environment.is_empty() {
            writeln!(
                f,
                "note: it calls {}, which depend on the environment; differences may come from there",
                environment.join(", ")
            )?;
        }
        for Skipped { what, reason } in skipped {
            writeln!(f, "SKIP: {what}: {reason}")?;
        }
        Ok(())
    }
}
