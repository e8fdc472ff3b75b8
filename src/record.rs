// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep record`: what a kernel says of programs, kept as cases with its words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skep_compare::truth_json;
use skep_kernel_load::Request;
use skep_program::Case;

use crate::case_json::case_json;
use crate::input::{self, Format, InputArgs};
use crate::kernel::{self, BoxArgs, KERNEL_HELP};
use crate::report::{Failure, Result, Verdict, note, print};

/// Append what a real kernel says of a program to a case file
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep record filter.o -k uml:6.1 -o filter.jsonl     every program of an object, created or added to
  skep record cases.jsonl -k vm:6.12 -o cases.jsonl   the cases of a file, in place

Recorded are verdict, errno, message, the logs of levels 1 and 2, statistics, and a run on the case's input, under
the kernel's release (`truth`), with addresses and times masked. A record that is there already is never replaced by
a different one: remove it first. `skep diff --cases FILE -k recorded:6.12 -k KERNEL` compares with it.")]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    #[arg(short = 'k', long, default_value = "host", help = KERNEL_HELP)]
    kernel: String,

    #[command(flatten)]
    boxes: BoxArgs,

    /// Case file to write, or to add to; standard output where not given
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Answer in JSON, which cases are
    #[arg(short = 'j', long)]
    pub json: bool,
}

/// Levels that are recorded.
const LEVELS: [u32; 2] = [1, 2];

pub fn main(args: &Args) -> Result<Verdict> {
    let mut cases = cases(&args.input)?;
    let mut requests = Vec::new();
    for case in &cases {
        let parsed = Case::parse(&case.to_string(), 1).map_err(Failure::new)?;
        let mut request = Request::of_case(&parsed, 0);
        request.levels = LEVELS.to_vec();
        request.inputs = vec![Request::input_of_case(&parsed)];
        requests.push(request);
    }
    let mut file = match &args.output {
        Some(path) if path.exists() => read_back(path)?,
        _ => CaseFile::default(),
    };
    let mut kernel = kernel::open(&args.kernel, &args.boxes)?;
    let mut unanswered = 0;
    let mut failure = None;
    kernel::ask_in_order(&mut *kernel, requests.clone(), |index, answer| {
        let case = &mut cases[index];
        let id = case["id"].as_str().unwrap_or_default().to_owned();
        let told = match &answer {
            Ok(observation) => {
                truth_json(&requests[index], observation).ok_or_else(|| "no verdict".to_owned())
            }
            Err(why) => Err(why.to_string()),
        };
        match told {
            Ok(truth) => {
                let series = series(truth["release"].as_str().unwrap_or_default());
                case["truth"][series] = truth;
                if let Err(error) = file.add(&id, case) {
                    failure.get_or_insert(error);
                }
            }
            Err(why) => {
                note(format_args!("case `{id}` is not recorded: {why}"));
                unanswered += 1;
            }
        }
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let text = file.text();
    match &args.output {
        None => print(&text),
        Some(path) => {
            // Whole or not at all: what was recorded before is not at risk.
            let partial = path.with_extension("partial");
            std::fs::write(&partial, text)
                .and_then(|()| std::fs::rename(&partial, path))
                .map_err(|e| Failure::new(format_args!("cannot write `{}`: {e}", path.display())))?;
        }
    }
    Ok(if unanswered == 0 { Verdict::Yes } else { Verdict::Unanswered })
}

/// The programs as cases, those of a case file as they are.
fn cases(input: &InputArgs) -> Result<Vec<Value>> {
    let bytes = input::read(&input.path)?;
    if input::format_of(&bytes) == Format::Cases {
        let parse = |(line, _): (String, Case)| serde_json::from_str(&line).map_err(Failure::new);
        return input::case_lines(&input.path)?.into_iter().map(parse).collect();
    }
    let object = input.object()?;
    input.selected(&object)?.into_iter().map(|i| case_json(&object, i)).collect()
}

/// The series of a release, by which records are found: `6.12` of `6.12.117+deb12-cloud-amd64`.
fn series(release: &str) -> String {
    let number = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    release.split('.').take(2).map(number).collect::<Vec<_>>().join(".")
}

/// Cases in order, found by id.
#[derive(Default)]
struct CaseFile {
    cases: Vec<Value>,
    by_id: BTreeMap<String, usize>,
}

fn read_back(path: &Path) -> Result<CaseFile> {
    let mut file = CaseFile::default();
    for (line, case) in input::case_lines(path)? {
        file.by_id.insert(case.id, file.cases.len());
        file.cases.push(serde_json::from_str(&line).map_err(Failure::new)?);
    }
    Ok(file)
}

impl CaseFile {
    /// Adds a case, or its records to the case of the same id.
    fn add(&mut self, id: &str, case: &Value) -> Result<()> {
        let Some(&at) = self.by_id.get(id) else {
            self.by_id.insert(id.to_owned(), self.cases.len());
            self.cases.push(case.clone());
            return Ok(());
        };
        let old = &mut self.cases[at];
        let conflict = |what| {
            Failure::new(format_args!("case `{id}` is in the file already, with {what}; remove it first"))
        };
        if old["insns"] != case["insns"] {
            return Err(conflict("other instructions"));
        }
        for (release, truth) in case["truth"].as_object().into_iter().flatten() {
            match old["truth"].get(release) {
                Some(recorded) if recorded != truth => {
                    return Err(conflict("another record of this release"));
                }
                Some(_) => {}
                None => {
                    if old["truth"].is_null() {
                        old["truth"] = json!({});
                    }
                    old["truth"][release] = truth.clone();
                }
            }
        }
        Ok(())
    }

    fn text(&self) -> String {
        self.cases.iter().map(|case| case.to_string() + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_a_series() {
        for (release, name) in [
            ("6.12.117+deb12-cloud-amd64", "6.12"),
            ("6.1.0-56-cloud-amd64", "6.1"),
            ("6.18.44-fc-v669", "6.18"),
            ("7.0-rc1", "7.0"),
        ] {
            assert_eq!(series(release), name);
        }
    }

    #[test]
    fn records_are_never_replaced() {
        let case =
            |message: &str| json!({ "id": "a", "insns": "95", "truth": { "6.1": { "message": message } } });
        let mut file = CaseFile::default();
        file.add("a", &case("first")).expect("new");
        file.add("a", &case("first")).expect("the same again");
        assert!(file.add("a", &case("second")).is_err());
        file.add("a", &json!({ "id": "a", "insns": "95", "truth": { "6.12": {} } }))
            .expect("another release");
        assert!(file.add("a", &json!({ "id": "a", "insns": "96", "truth": {} })).is_err());
        assert_eq!(file.text().lines().count(), 1);
        assert_eq!(file.cases[0]["truth"].as_object().map(|t| t.len()), Some(2));
    }
}
