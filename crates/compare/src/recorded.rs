// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel once said, as case files keep it: `truth`, by release. Writing and reading are each other's inverse,
//! but for what differs from boot to boot: addresses and times are masked, warnings left out.
//!
//! | field | meaning |
//! |---|---|
//! | `release` | the kernel's, in full |
//! | `verdict`, `errno` | `accept` or `reject`, 0 or the error number |
//! | `message` | of a rejection, the last line of the log before the statistics |
//! | `log1`, `log2` | log at this level; with the lines of level 4 where `verification time` is one of them |
//! | `insn_processed` | that figure, where there is no log to have it |
//! | `runs` | list of `{data_in, ctx_in, got}` in hex; `got` is `{errno, retval, data_out, ctx_out}`, or `null` where it was not run; a packet that is not named is 64 zero bytes |
//! | `not_run` | why inputs were not run |
//! | `maps` | after the runs, in the object's order: an object of values by key in hex, or why it was not read |

use serde::Deserialize;
use serde_json::{Map, Value, json};
use skep_kernel_load::contents::Elements;
use skep_kernel_load::{Contents, EMPTY_PACKET, Ending, Observation, Request, Run, RunInput, Stats, Verdict};
use skep_program::{Case, CaseError};
use skep_uapi::Errno;
use skep_uapi::context::takes_packet;

use crate::compare::lacks_log;
use crate::mask::{Mask, VERIFICATION_TIME};

/// Bit of the log level that adds statistics (`BPF_LOG_STATS`).
const STATS: u32 = 4;

/// A recorded answer, and the question that it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// What the kernel said.
    pub observation: Observation,
    /// The log levels of its verdicts.
    pub levels: Vec<u32>,
    /// What it was run on.
    pub inputs: Vec<RunInput>,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// The line is no case.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The record has another shape.
    #[error("truth of {release}: {error}")]
    Json {
        /// The release.
        release: String,
        /// What serde says.
        error: serde_json::Error,
    },
}

/// The part of a case that this is about.
#[derive(Deserialize)]
struct Truths {
    #[serde(default)]
    truth: Map<String, Value>,
}

#[derive(Deserialize)]
struct Truth {
    #[serde(default)]
    release: String,
    verdict: Word,
    #[serde(default)]
    errno: i32,
    #[serde(default)]
    message: String,
    log0: Option<String>,
    log1: Option<String>,
    log2: Option<String>,
    log3: Option<String>,
    insn_processed: Option<u64>,
    #[serde(default)]
    runs: Vec<TruthRun>,
    not_run: Option<String>,
    #[serde(default)]
    maps: Vec<TruthMap>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Accept,
    Reject,
}

#[derive(Deserialize)]
struct TruthRun {
    /// `None` where it is not named, `Some(None)` where there is none.
    #[serde(default, deserialize_with = "named")]
    data_in: Option<Option<Hex>>,
    ctx_in: Option<Hex>,
    got: Option<Got>,
}

#[derive(Deserialize)]
struct Got {
    #[serde(default)]
    errno: i32,
    #[serde(default)]
    retval: u32,
    trap: Option<String>,
    data_out: Option<Hex>,
    ctx_out: Option<Hex>,
    insn_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TruthMap {
    Elements(std::collections::BTreeMap<Hex, Hex>),
    Unread(String),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Hex, D::Error> {
        let text = String::deserialize(from)?;
        hex::decode(text).map(Hex).map_err(serde::de::Error::custom)
    }
}

fn named<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<Hex>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// What the line of a case file has recorded of a release; `None` where it has nothing.
///
/// # Errors
/// [`RecordedError`] where the line is no case, or its record has another shape.
pub fn recorded(case_json: &str, release: &str) -> Result<Option<Recorded>, RecordedError> {
    let json = |error| RecordedError::Json { release: release.to_owned(), error };
    let mut truths: Truths = serde_json::from_str(case_json).map_err(json)?;
    let Some(truth) = truths.truth.remove(release) else { return Ok(None) };
    let truth: Truth = serde_json::from_value(truth).map_err(json)?;
    let prog_type = Case::parse(case_json, 0)?.program.prog_type;
    let default_data = takes_packet(prog_type).then(|| vec![0; EMPTY_PACKET]);
    let (levels, verdicts) = truth.verdicts().into_iter().unzip();
    let mut recorded = Recorded {
        observation: Observation { verdicts, ..Observation::default() },
        levels,
        inputs: Vec::new(),
    };
    recorded.take_runs(truth.runs, truth.not_run, default_data.as_ref());
    let contents = |map| match map {
        TruthMap::Elements(map) => {
            let elements: Elements = map.into_iter().map(|(key, value)| (key.0, value.0)).collect();
            Contents::Elements(elements)
        }
        TruthMap::Unread(why) => Contents::Unread(why),
    };
    recorded.observation.maps = truth.maps.into_iter().map(contents).collect();
    Ok(Some(recorded))
}

impl Truth {
    /// The verdicts with their log levels; one at level 1 where there is no log.
    fn verdicts(&self) -> Vec<(u32, Verdict)> {
        let logs = [(0, &self.log0), (1, &self.log1), (2, &self.log2), (3, &self.log3)];
        let with_log = logs.iter().filter_map(|(level, log)| {
            let log = log.as_ref()?;
            let stats = log.lines().rev().take(8).any(|line| line.starts_with(VERIFICATION_TIME));
            Some((level | if stats { STATS } else { 0 }, self.verdict(log)))
        });
        let mut verdicts: Vec<(u32, Verdict)> = with_log.collect();
        if verdicts.is_empty() {
            verdicts.push((1, self.verdict("")));
        }
        verdicts
    }

    fn verdict(&self, log: &str) -> Verdict {
        let result = match self.verdict {
            Word::Accept => Ok(()),
            Word::Reject => Err(Errno(self.errno)),
        };
        let mut verdict = Verdict::new(result, log.to_owned(), &self.release);
        // That of an accepted program is no message, but the last line of one of its logs.
        if !verdict.accepted && !self.message.is_empty() {
            verdict.message.clone_from(&self.message);
        }
        if verdict.stats.is_none() {
            let alone = |insn_processed| Stats { insn_processed, ..Stats::default() };
            verdict.stats = self.insn_processed.map(alone);
        }
        verdict
    }
}

impl Recorded {
    fn take_runs(&mut self, runs: Vec<TruthRun>, not_run: Option<String>, default_data: Option<&Vec<u8>>) {
        let bytes = |hex: Option<Hex>| hex.map(|hex| hex.0);
        self.observation.not_run = not_run;
        for run in runs {
            let data = match run.data_in {
                Some(named) => bytes(named),
                None => default_data.cloned(),
            };
            let input = RunInput { data, ctx: bytes(run.ctx_in) };
            match run.got {
                Some(got) if Errno(got.errno) == Errno::ENOTSUPP => {
                    let why = "BPF_PROG_TEST_RUN does not take programs of its type";
                    self.observation.not_run.get_or_insert_with(|| why.to_owned());
                }
                Some(got) => self.observation.runs.push(Run {
                    ending: match (got.trap, got.errno) {
                        (Some(why), _) => Ending::Trapped(why),
                        (None, 0) => Ending::Returned(got.retval),
                        (None, errno) => Ending::Refused(Errno(errno)),
                    },
                    data_out: bytes(got.data_out),
                    ctx_out: bytes(got.ctx_out),
                    insn_count: got.insn_count,
                }),
                // Something that the recorder had in mind and did not do.
                None if self.observation.not_run.is_none() => continue,
                None => {}
            }
            self.inputs.push(input);
        }
    }
}

/// The record of an observation, to be kept under its release; `None` without a verdict.
#[must_use]
pub fn truth_json(request: &Request, observation: &Observation) -> Option<Value> {
    let verdict = observation.verdict()?;
    let mask = Mask::of_request(request);
    let mut truth = Map::new();
    truth.insert("release".into(), json!(verdict.release));
    truth.insert("verdict".into(), json!(if verdict.accepted { "accept" } else { "reject" }));
    truth.insert("errno".into(), json!(verdict.errno.map_or(0, |errno| errno.0)));
    let message = if verdict.accepted { String::new() } else { mask.recorded(&verdict.message) };
    truth.insert("message".into(), json!(message));
    for (level, verdict) in request.levels.iter().zip(&observation.verdicts) {
        if !lacks_log(verdict) {
            truth.insert(format!("log{}", level & 3), json!(mask.recorded(&verdict.log)));
        } else if let Some(stats) = &verdict.stats {
            truth.insert("insn_processed".into(), json!(stats.insn_processed));
        }
    }
    if !observation.runs.is_empty() || observation.not_run.is_some() {
        let runs = request.inputs.iter().enumerate().map(|(i, input)| run(input, observation.runs.get(i)));
        truth.insert("runs".into(), runs.collect());
    }
    if let Some(why) = &observation.not_run {
        truth.insert("not_run".into(), json!(why));
    }
    if !observation.maps.is_empty() {
        truth.insert("maps".into(), observation.maps.iter().map(map).collect());
    }
    Some(Value::Object(truth))
}

fn run(input: &RunInput, run: Option<&Run>) -> Value {
    let mut line = Map::new();
    line.insert("data_in".into(), json!(input.data.as_ref().map(hex::encode)));
    if let Some(ctx) = &input.ctx {
        line.insert("ctx_in".into(), json!(hex::encode(ctx)));
    }
    line.insert("got".into(), run.map_or(Value::Null, got));
    Value::Object(line)
}

fn got(run: &Run) -> Value {
    let mut got = Map::new();
    match &run.ending {
        Ending::Returned(retval) => {
            got.insert("errno".into(), json!(0));
            got.insert("retval".into(), json!(retval));
        }
        Ending::Refused(errno) => drop(got.insert("errno".into(), json!(errno.0))),
        Ending::Trapped(why) => drop(got.insert("trap".into(), json!(why))),
    }
    for (name, bytes) in [("data_out", &run.data_out), ("ctx_out", &run.ctx_out)] {
        if let Some(bytes) = bytes {
            got.insert(name.into(), json!(hex::encode(bytes)));
        }
    }
    if let Some(count) = run.insn_count {
        got.insert("insn_count".into(), json!(count));
    }
    Value::Object(got)
}

fn map(contents: &Contents) -> Value {
    match contents {
        Contents::Elements(elements) => {
            let pairs = elements.iter().map(|(key, value)| (hex::encode(key), json!(hex::encode(value))));
            Value::Object(pairs.collect())
        }
        Contents::Unread(why) => json!(why),
    }
}
