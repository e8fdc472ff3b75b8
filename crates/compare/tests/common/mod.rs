// SPDX-License-Identifier: MIT OR Apache-2.0
//! Case files and answers for tests.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::Command;

use skep_asm::{Options, assemble};
use skep_compare::{Ending, Observation, Request, Run, RunInput};
use skep_kernel_load::Verdict;
use skep_uapi::Errno;

/// The case files of a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.to_string_lossy().ends_with(".jsonl") || p.to_string_lossy().ends_with(".jsonl.xz"))
        .collect();
    files.sort();
    files
}

/// The lines of a case file.
pub fn text(file: &Path) -> String {
    let bytes = if file.extension().is_some_and(|e| e == "xz") {
        Command::new("xz").arg("-dc").arg(file).output().expect("xz runs").stdout
    } else {
        std::fs::read(file).expect("readable")
    };
    String::from_utf8(bytes).expect("UTF-8")
}

/// A request about the only program of a source.
pub fn request(source: &str, levels: &[u32], inputs: &[RunInput]) -> Request {
    let object = assemble(source, &Options::default()).unwrap_or_else(|error| panic!("{error:?}"));
    Request { levels: levels.to_vec(), inputs: inputs.to_vec(), ..Request::new(&object, 0, 0) }
}

/// A verdict of Linux 6.18.
pub fn verdict(result: Result<(), Errno>, log: &str) -> Verdict {
    Verdict::new(result, log.to_owned(), "6.18.44")
}

/// An answer of verdicts alone.
pub fn verdicts(verdicts: &[Verdict]) -> Observation {
    Observation { verdicts: verdicts.to_vec(), ..Observation::default() }
}

/// A run with a result.
pub fn returned(r0: u32, data_out: &[u8]) -> Run {
    Run { ending: Ending::Returned(r0), data_out: Some(data_out.to_vec()), ctx_out: None, insn_count: None }
}
