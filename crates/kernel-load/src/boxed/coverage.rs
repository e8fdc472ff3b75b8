// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which lines and functions of `kernel/bpf` guests have run: counters of a kernel that was built for coverage, read
//! there below `/sys/kernel/debug/gcov`, put to the notes of that build by gcov.
//!
//! Guarantees: counters of several guests are summed before they are evaluated; what no guest gave counters for
//! counts as not reached; counters of another build are refused.

mod counters;
mod json;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::build::{NOTES, files};
use super::qemu::find;

/// What was reached of `kernel/bpf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Its files, by name.
    pub files: Vec<FileCoverage>,
}

/// What was reached of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCoverage {
    /// Its path in the tree: `kernel/bpf/verifier.c`.
    pub file: String,
    /// How many lines have code.
    pub lines: usize,
    /// Numbers of the lines that were reached, ascending.
    pub reached: Vec<u32>,
    /// Its functions, in the order of the file.
    pub functions: Vec<FunctionCoverage>,
}

/// What was reached of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCoverage {
    /// Its name.
    pub name: String,
    /// The line that it starts at.
    pub start_line: u32,
    /// How many of its lines have code.
    pub lines: usize,
    /// How many of them were reached.
    pub reached: usize,
    /// How often it was called, where it was not inlined.
    pub calls: u64,
}

impl Coverage {
    /// Lines with code in all files, and how many of them were reached.
    #[must_use]
    pub fn total(&self) -> (usize, usize) {
        self.files.iter().fold((0, 0), |(lines, reached), f| (lines + f.lines, reached + f.reached.len()))
    }
}

/// Why coverage cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    /// The kernel was not built for it.
    #[error(
        "`{}` has no notes for coverage (kernel/bpf/*.gcno); build the kernel with `skep kernels build TREE --coverage`",
        .0.display()
    )]
    NoNotes(PathBuf),
    /// The command is missing.
    #[error("coverage needs gcov, of the gcc that built the kernel; install it with `apt-get install gcc`")]
    NoGcov,
    /// Counters are damaged.
    #[error("the counters `{path}` are damaged: {what}; let the guest give them again")]
    Counters {
        /// Their path.
        path: String,
        /// What is wrong.
        what: counters::Damage,
    },
    /// Counters and notes are not of the same build.
    #[error("the counters `{path}` are of another build than the notes in `{}`; boot the kernel of that folder", .notes.display())]
    OtherBuild {
        /// The path of the counters.
        path: String,
        /// The folder of the notes.
        notes: PathBuf,
    },
    /// gcov fails.
    #[error("gcov cannot evaluate `{file}`: {message}; it must be of the gcc that built the kernel")]
    Gcov {
        /// The file.
        file: String,
        /// What it said.
        message: String,
    },
    /// The system refused something.
    #[error("cannot {what} `{}`: {error}; check that it is there and that this user may do so", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Evaluates counters: the files below `/sys/kernel/debug/gcov` of guests that ran the kernel of a folder, by path.
/// The same path may come several times, from several guests. What is not of `kernel/bpf` is left out.
///
/// # Errors
/// [`CoverageError`] says what is in the way, and what helps.
pub fn evaluate(kernel_dir: &Path, gcda: &[(String, Vec<u8>)]) -> Result<Coverage, CoverageError> {
    let notes = kernel_dir.join(NOTES);
    let names = files(&notes, "gcno").unwrap_or_default();
    if names.is_empty() {
        return Err(CoverageError::NoNotes(kernel_dir.to_owned()));
    }
    let gcov = find("gcov").ok_or(CoverageError::NoGcov)?;
    let sums = sum(gcda)?;
    let folder =
        tempfile::tempdir().map_err(|error| io_error("make a folder in", &std::env::temp_dir(), error))?;
    let mut merged = BTreeMap::new();
    for name in names {
        let from = notes.join(&name);
        let bytes = fs::read(&from).map_err(|error| io_error("read", &from, error))?;
        let stem = name.trim_end_matches(".gcno");
        if let Some((path, sum)) = sums.get(stem) {
            if counters::stamp(&bytes) != counters::stamp(sum) {
                return Err(CoverageError::OtherBuild { path: path.clone(), notes });
            }
            write(&folder.path().join(format!("{stem}.gcda")), sum)?;
        }
        write(&folder.path().join(&name), &bytes)?;
        let text = run(&gcov, folder.path(), &name)?;
        let report = json::read(&text).map_err(|error| CoverageError::Gcov {
            file: name,
            message: format!("its output is not as expected: {error}"),
        })?;
        json::merge(&mut merged, report);
    }
    Ok(json::finish(merged))
}

/// Sums of counters by the stem of their file, each with a path that they came by.
fn sum(gcda: &[(String, Vec<u8>)]) -> Result<BTreeMap<&str, (String, Vec<u8>)>, CoverageError> {
    let mut sums: BTreeMap<&str, (String, Vec<u8>)> = BTreeMap::new();
    for (path, bytes) in gcda {
        let Some(stem) = stem(path) else { continue };
        let sum = match sums.get_mut(stem) {
            Some((_, sum)) => counters::add(sum, bytes),
            None => counters::check(bytes).map(|()| {
                sums.insert(stem, (path.clone(), bytes.clone()));
            }),
        };
        sum.map_err(|what| CoverageError::Counters { path: path.clone(), what })?;
    }
    Ok(sums)
}

/// `verifier` of `tmp/build/kernel/bpf/verifier.gcda`.
fn stem(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    if folder != NOTES && !folder.ends_with("/kernel/bpf") {
        return None;
    }
    name.strip_suffix(".gcda")
}

/// Runs gcov on the notes of one object and, where they are there, its counters.
fn run(gcov: &Path, folder: &Path, name: &str) -> Result<Vec<u8>, CoverageError> {
    let output = Command::new(gcov)
        .args(["--json-format", "--stdout", name])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io_error("run", gcov, error))?;
    if !output.status.success() || output.stdout.is_empty() {
        let message = String::from_utf8_lossy(&output.stderr);
        let message = message.lines().next().unwrap_or("no message").to_owned();
        return Err(CoverageError::Gcov { file: name.to_owned(), message });
    }
    Ok(output.stdout)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CoverageError> {
    fs::write(path, bytes).map_err(|error| io_error("write", path, error))
}

fn io_error(what: &'static str, path: &Path, error: io::Error) -> CoverageError {
    CoverageError::Io { what, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_objects_of_kernel_bpf() {
        assert_eq!(stem("root/cache/.building-7/build/kernel/bpf/verifier.gcda"), Some("verifier"));
        assert_eq!(stem("kernel/bpf/tnum.gcda"), Some("tnum"));
        for other in
            ["kernel/bpf/preload/x.gcda", "kernel/sched/core.gcda", "kernel/bpf/tnum.gcno", "tnum.gcda"]
        {
            assert_eq!(stem(other), None, "{other}");
        }
        assert_eq!(stem("mykernel/bpf/tnum.gcda"), None);
    }

    #[test]
    fn says_what_is_no_kernel_for_coverage() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(evaluate(folder.path(), &[]), Err(CoverageError::NoNotes(_))));
    }

    /// A program's counters, by the gcc that is here.
    #[test]
    fn evaluates_and_sums_counters() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join(NOTES);
        fs::create_dir_all(&source).unwrap();
        let text = "int f(int x)\n{\n\tif (x > 3)\n\t\treturn 1;\n\treturn 0;\n}\n\nint main(int n, char **v)\n{\n\treturn f(n) == 2;\n}\n";
        fs::write(source.join("m.c"), text).unwrap();
        let compiled = Command::new("gcc")
            .args(["--coverage", "-O0", "-c", "kernel/bpf/m.c", "-o", "kernel/bpf/m.o"])
            .current_dir(folder.path())
            .status();
        if !compiled.is_ok_and(|status| status.success()) {
            println!("SKIP: no gcc here");
            return;
        }
        let linked = Command::new("gcc")
            .args(["--coverage", "kernel/bpf/m.o", "-o", "m"])
            .current_dir(folder.path())
            .status();
        assert!(linked.unwrap().success());
        let gcda = source.join("m.gcda");
        let guest = |arguments: &[&str]| {
            drop(fs::remove_file(&gcda));
            let run =
                Command::new(folder.path().join("m")).args(arguments).current_dir(folder.path()).status();
            assert!(run.unwrap().success());
            ("x/kernel/bpf/m.gcda".to_owned(), fs::read(&gcda).unwrap())
        };
        let one = evaluate(folder.path(), &[guest(&[])]).unwrap();
        assert_eq!(one.files[0].reached, [1, 3, 5, 8, 10]);
        assert_eq!(one.total(), (6, 5));
        let both = evaluate(folder.path(), &[guest(&[]), guest(&["a", "b", "c"])]).unwrap();
        assert_eq!(both.files.len(), 1);
        assert_eq!(both.files[0].file, "kernel/bpf/m.c");
        assert_eq!(both.files[0].reached, [1, 3, 4, 5, 8, 10]);
        let f = &both.files[0].functions[0];
        assert_eq!((f.name.as_str(), f.start_line, f.lines, f.reached, f.calls), ("f", 1, 4, 4, 2));
        let none = evaluate(folder.path(), &[]).unwrap();
        assert_eq!(none.total(), (6, 0));

        let mut other = guest(&[]);
        other.1[8] ^= 1;
        assert!(matches!(evaluate(folder.path(), &[other]), Err(CoverageError::OtherBuild { .. })));
        let mut cut = guest(&[]);
        cut.1.pop();
        assert!(matches!(evaluate(folder.path(), &[cut]), Err(CoverageError::Counters { .. })));
    }
}
