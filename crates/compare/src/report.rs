// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a comparison found: typed, and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::logs::LogDifference;

/// How two verdicts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The first accepts what the second rejects.
    Lax,
    /// The first rejects what the second accepts.
    Strict,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Lax => "lax",
            Class::Strict => "strict",
        })
    }
}

/// The parts of an answer that can differ, in the order in which a report has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Accepted or rejected.
    Verdict,
    /// The error number of a rejection.
    Errno,
    /// The last line of a rejection's log.
    Message,
    /// The figures of the statistics line.
    Stats,
    /// The log.
    Log,
    /// Results, packets and contexts of runs.
    Runs,
    /// Maps after the runs.
    Maps,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Aspect::Verdict => "verdict",
            Aspect::Errno => "errno",
            Aspect::Message => "message",
            Aspect::Stats => "stats",
            Aspect::Log => "log",
            Aspect::Runs => "runs",
            Aspect::Maps => "maps",
        })
    }
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The verdict.
    Verdict {
        /// Which way.
        class: Class,
    },
    /// The error number of a program that both reject.
    Errno,
    /// The message of a program that both reject.
    Message,
    /// A figure of the statistics line.
    Stats {
        /// Its name there, for instance `total_states`.
        figure: &'static str,
    },
    /// The log; [`Report::logs`] has the lines around.
    Log {
        /// The log level.
        level: u32,
        /// Number of the first line that differs, from 1.
        line: usize,
    },
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
    /// Instructions executed in a run.
    InsnCount {
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

impl What {
    /// The part of the answer that this belongs to.
    #[must_use]
    pub fn aspect(&self) -> Aspect {
        match self {
            What::Verdict { .. } => Aspect::Verdict,
            What::Errno => Aspect::Errno,
            What::Message => Aspect::Message,
            What::Stats { .. } => Aspect::Stats,
            What::Log { .. } => Aspect::Log,
            What::Ending { .. }
            | What::R0 { .. }
            | What::DataOut { .. }
            | What::CtxOut { .. }
            | What::InsnCount { .. } => Aspect::Runs,
            What::MapElement { .. } => Aspect::Maps,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Verdict { class } => write!(f, "verdict ({class})"),
            What::Errno => write!(f, "errno"),
            What::Message => write!(f, "message"),
            What::Stats { figure } => write!(f, "statistics: {figure}"),
            What::Log { level, line } => write!(f, "log at level {level}, line {line}"),
            What::Ending { input } => write!(f, "input {input}: ending"),
            What::R0 { input } => write!(f, "input {input}: r0"),
            What::DataOut { input } => write!(f, "input {input}: packet afterwards"),
            What::CtxOut { input } => write!(f, "input {input}: context afterwards"),
            What::InsnCount { input } => write!(f, "input {input}: instructions executed"),
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
    /// A verdict, message, line, trap or error, in words.
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
            Side::Words(words) if words.is_empty() => f.write_str("(nothing)"),
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
    /// Of the first backend.
    pub ours: Side,
    /// Of the second.
    pub theirs: Side,
}

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What, for instance "map `events`".
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What boxed kernels warned of meanwhile. Warnings are findings on their own, not differences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Warnings {
    /// By the first backend.
    pub ours: Vec<String>,
    /// By the second.
    pub theirs: Vec<String>,
}

impl Warnings {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ours.is_empty() && self.theirs.is_empty()
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the program.
    pub program: String,
    /// Inputs that both sides ran.
    pub runs: usize,
    /// How often each `r0` was returned by the first, in its low 32 bits.
    pub results: BTreeMap<u32, usize>,
    /// Inputs that both sides refused.
    pub refused: usize,
    /// Everything that differs, in order of [`Aspect`]s, within them of levels, inputs and maps.
    pub differences: Vec<Difference>,
    /// The lines around each [`What::Log`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogDifference>,
    /// What boxed kernels warned of.
    #[serde(skip_serializing_if = "Warnings::is_empty")]
    pub warnings: Warnings,
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

    /// Which way the verdicts differ, where they do.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.differences.iter().find_map(|d| match d.what {
            What::Verdict { class } => Some(class),
            _ => None,
        })
    }

    /// The differences of one aspect.
    pub fn of(&self, aspect: Aspect) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |d| d.what.aspect() == aspect)
    }

    /// The aspects that differ, in their order.
    #[must_use]
    pub fn aspects(&self) -> Vec<Aspect> {
        let mut aspects: Vec<Aspect> = self.differences.iter().map(|d| d.what.aspect()).collect();
        aspects.dedup();
        aspects
    }
}
