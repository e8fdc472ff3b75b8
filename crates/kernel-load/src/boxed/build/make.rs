// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the kernel's make, and reads what it prints: how far it is, and the last lines for when it fails.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// How much of the output an error quotes.
const TAIL: usize = 20;

/// What a line of make's output tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// An object of the kernel is being compiled.
    Object(&'a str),
    /// The kernel is being linked.
    Link,
    /// Its types are being made.
    Types,
}

/// Reads a line such as `  CC      kernel/bpf/verifier.o`.
pub(super) fn step(line: &str) -> Option<Step<'_>> {
    let mut words = line.strip_prefix("  ")?.split_whitespace();
    let (action, file) = (words.next()?, words.next()?);
    match action {
        "CC" | "AS" if words.next().is_none() => Some(Step::Object(file)),
        "LD" | "LINK"
            if file.starts_with("vmlinux") || file == "linux" || file.starts_with(".tmp_vmlinux") =>
        {
            Some(Step::Link)
        }
        "BTF" | "BTFIDS" => Some(Step::Types),
        _ => None,
    }
}

/// Why make failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be run, or its output not be read.
    Io(io::Error),
    /// It ended with an error.
    Ended {
        /// The last lines of its output.
        tail: String,
        /// There was no more room for a file.
        no_space: bool,
        /// A compiler was killed.
        killed: bool,
        /// The linker missed symbols, so compiling was not the problem.
        undefined: bool,
    },
}

/// A build directory of a tree.
#[derive(Debug)]
pub(super) struct Make<'a> {
    pub(super) tree: &'a Path,
    pub(super) output: &'a Path,
    pub(super) jobs: usize,
    /// `NAME=value`, stronger than what the tree's makefiles say.
    pub(super) variables: Vec<OsString>,
}

impl Make<'_> {
    /// Makes targets, telling of each line of the output.
    pub(super) fn run(&self, targets: &[&str], line: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let (reader, writer) = io::pipe().map_err(Failure::Io)?;
        let mut command = Command::new("make");
        // Of the caller's environment nothing may reach the makefiles, which take CFLAGS, ARCH, MAKEFLAGS and more
        // from there.
        command.env_clear().envs(kept_environment());
        command
            .env("LC_ALL", "C")
            .env("KBUILD_BUILD_USER", "skep")
            .env("KBUILD_BUILD_HOST", "skep")
            .env("KBUILD_BUILD_VERSION", "1")
            .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970");
        command
            .arg("-C")
            .arg(self.tree)
            .arg(assignment("O", self.output))
            .arg(format!("-j{}", self.jobs.max(1)));
        // LOCALVERSION, even if empty, keeps a `+` off the release of a tree under git.
        command.args(["ARCH=um", "LOCALVERSION="]).args(&self.variables).args(targets);
        command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(Failure::Io)?).stderr(writer);
        let child = command.spawn();
        // It holds the writing end, and reading ends when nobody does.
        drop(command);
        let mut child = child.map_err(Failure::Io)?;
        let mut tail = VecDeque::new();
        let (mut no_space, mut killed, mut undefined) = (false, false, false);
        let read = each_line(BufReader::new(reader), &mut |text| {
            no_space |= text.contains("No space left on device");
            killed |= text.contains("Killed signal terminated program");
            undefined |= text.contains("undefined reference");
            line(text);
            if !text.trim().is_empty() {
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(text.to_owned());
            }
        });
        if let Err(error) = read {
            // Without a reader it ends by itself.
            drop(child.wait());
            return Err(Failure::Io(error));
        }
        if child.wait().map_err(Failure::Io)?.success() {
            return Ok(());
        }
        let tail: Vec<String> = tail.into();
        Err(Failure::Ended { tail: tail.join("\n"), no_space, killed, undefined })
    }
}

/// Reads lines of any bytes, each without its end.
fn each_line(mut reader: impl BufRead, line: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? != 0 {
        line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    Ok(())
}

/// `NAME=value`.
pub(super) fn assignment(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

/// What commands need to be found and to keep their files (ccache's too).
fn kept_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    ["PATH", "HOME", "TMPDIR", "CCACHE_DIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_makes_output() {
        assert_eq!(step("  CC      kernel/bpf/verifier.o"), Some(Step::Object("kernel/bpf/verifier.o")));
        assert_eq!(
            step("  AS      arch/x86/um/checksum_64.o"),
            Some(Step::Object("arch/x86/um/checksum_64.o"))
        );
        assert_eq!(step("  LD      vmlinux.o"), Some(Step::Link));
        assert_eq!(step("  LD      .tmp_vmlinux1"), Some(Step::Link));
        assert_eq!(step("  BTF     .tmp_vmlinux.btf.o"), Some(Step::Types));
        assert_eq!(step("  BTFIDS  vmlinux"), Some(Step::Types));
        assert_eq!(step("  LD      vmlinux"), Some(Step::Link));
        assert_eq!(step("  LINK linux"), Some(Step::Link));
        for other in
            ["  HOSTCC  scripts/basic/fixdep", "  AR      kernel/bpf/built-in.a", "  LD      arch/um/x.o"]
        {
            assert_eq!(step(other), None, "{other}");
        }
        for other in ["", "  ", "  CC", "CC kernel/a.o", "kernel/a.c:1: warning: CC b.o", "  CC      a.o b.o"]
        {
            assert_eq!(step(other), None, "{other}");
        }
    }

    #[test]
    fn reads_lines_of_any_bytes() {
        let mut lines = Vec::new();
        each_line(&b"one\r\n\xff\n\nlast"[..], &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "\u{fffd}", "", "last"]);
    }

    #[test]
    fn quotes_the_end_of_what_failed() {
        let nowhere = Path::new("/nonexistent");
        let make = Make { tree: nowhere, output: nowhere, jobs: 1, variables: Vec::new() };
        match make.run(&["linux"], &mut |_| ()) {
            Err(Failure::Ended { tail, no_space: false, killed: false, undefined: false }) => {
                assert!(tail.contains("/nonexistent"), "{tail}");
            }
            // Where make is missing.
            Err(Failure::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
            other => panic!("{other:?}"),
        }
    }
}
