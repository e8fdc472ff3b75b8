// SPDX-License-Identifier: MIT OR Apache-2.0
//! The watcher: a process that outlives its host by a moment, to end the guest and remove its directory when the
//! host is killed and cannot. User-Mode Linux needs one: its process is traced and tracing others, and those stay.
//!
//! It reads lines from standard input: a number is a process group to end, a path a directory to remove, `done` the
//! end of its watch. At the end of the file the host is gone.

use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// Set in the environment of a watcher.
const WATCH: &str = "SKEP_WATCH";

/// Becomes the watcher where the environment says so, and does not return then.
pub(super) fn take_over_if_asked() {
    if std::env::var_os(WATCH).is_some() {
        // Whoever ends the host by name ends this one, too; it follows on its own.
        crate::sys::ignore_termination();
        watch(io::stdin().lock());
        std::process::exit(0);
    }
}

fn watch(input: impl BufRead) {
    let mut group = None;
    let mut folder = None;
    for line in input.lines().map_while(Result::ok) {
        if line == "done" {
            return;
        } else if let Ok(number) = line.parse() {
            group = Pid::from_raw(number);
        } else {
            folder = Some(line);
        }
    }
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if let Some(folder) = folder {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A running watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    child: Child,
    input: Option<ChildStdin>,
}

impl Watcher {
    /// Starts one from an executable that calls [`super::guest::take_over_if_asked`].
    pub fn start(executable: &Path, folder: &Path) -> io::Result<Watcher> {
        let mut child = Command::new(executable)
            .env(WATCH, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Signals of the terminal are for the host.
            .process_group(0)
            .spawn()?;
        let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{}", folder.display())?;
        Ok(Watcher { child, input: Some(input) })
    }

    /// Tells it the process group of the guest.
    pub fn group(&mut self, group: u32) -> io::Result<()> {
        match &mut self.input {
            Some(input) => writeln!(input, "{group}"),
            None => Ok(()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(mut input) = self.input.take() {
            let _ = input.write_all(b"done\n");
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_what_it_watches_when_the_host_is_gone() {
        let folder = tempfile::tempdir().expect("a directory").keep();
        let mut sleeper = Command::new("sleep").arg("1000").process_group(0).spawn().expect("sleep runs");
        let pid = sleeper.id();
        watch(format!("{}\n{pid}\ndone\n", folder.display()).as_bytes());
        assert!(folder.exists() && sleeper.try_wait().expect("wait").is_none(), "done means done");
        watch(format!("{}\n{pid}\n", folder.display()).as_bytes());
        assert!(!folder.exists());
        assert!(!sleeper.wait().expect("wait").success());
    }
}
