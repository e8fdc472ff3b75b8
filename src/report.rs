// SPDX-License-Identifier: MIT OR Apache-2.0
//! How subcommands answer: verdicts as exit codes, failures in words or JSON, progress on a terminal.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use skep_kernel_load::NoAnswer;

/// How the answers end as a whole. The order is that of weight: of many cases the gravest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Accepted, or equal.
    Yes,
    /// Rejected, or different.
    No,
    /// Some case of a case file has no answer; its own result says why.
    Unanswered,
}

impl Verdict {
    /// [`Verdict::Yes`] where the condition holds.
    pub fn from_bool(yes: bool) -> Self {
        if yes { Verdict::Yes } else { Verdict::No }
    }

    /// The graver of the two.
    pub fn and(self, other: Verdict) -> Self {
        self.max(other)
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Yes => ExitCode::SUCCESS,
            Verdict::No => ExitCode::from(1),
            Verdict::Unanswered => ExitCode::from(2),
        }
    }
}

/// Why there is no answer: usage, unreadable input, or not available here. Exit code 2.
#[derive(Debug)]
pub struct Failure {
    /// One sentence, or a rendered diagnostic.
    message: String,
    /// The message is already rendered with its own heading.
    rendered: bool,
    /// The answer in JSON has the message already.
    in_json: bool,
}

impl Failure {
    /// A failure in one sentence.
    pub fn new(message: impl fmt::Display) -> Self {
        Failure { message: message.to_string(), rendered: false, in_json: false }
    }

    /// A failure that comes as a finished diagnostic with source lines.
    pub fn rendered(message: String) -> Self {
        Failure { message, rendered: true, in_json: false }
    }

    /// A failure that the answer in JSON has told already.
    pub fn told_in_json(message: impl fmt::Display) -> Self {
        Failure { in_json: true, ..Failure::new(message) }
    }

    /// Something that skep does not do, by name.
    pub fn unsupported(name: impl fmt::Display) -> Self {
        Failure::new(format_args!("unsupported: {name}"))
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// As the result of one case of a case file.
    pub fn case_json(&self, id: &str) -> serde_json::Value {
        match self.message.strip_prefix("unsupported: ") {
            Some(name) => serde_json::json!({ "id": id, "unsupported": name }),
            None => serde_json::json!({ "id": id, "error": self.message }),
        }
    }

    /// Prints it to standard error, or as JSON to standard output.
    pub fn print(&self, json: bool) {
        if json && self.in_json {
            // The answer was the message.
        } else if json {
            println!("{}", serde_json::json!({ "error": self.message }));
        } else if self.rendered {
            anstream::eprintln!("{}", self.message.trim_end());
        } else {
            anstream::eprintln!("\u{1b}[1;31merror\u{1b}[0m: {}", self.message);
        }
    }
}

impl From<&NoAnswer> for Failure {
    fn from(why: &NoAnswer) -> Self {
        Failure::new(why)
    }
}

/// A result of a subcommand.
pub type Result<T> = std::result::Result<T, Failure>;

/// Tells something beside the answer, on standard error.
pub fn note(text: impl fmt::Display) {
    anstream::eprintln!("\u{1b}[1mnote\u{1b}[0m: {text}");
}

/// Writes to standard output; a reader that went away is no failure.
pub fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// A progress bar on the terminal for `total` things; hidden where standard error is no terminal.
pub fn progress(total: u64, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!(
        "{{bar:40}} {{pos}}/{{len}} {unit} ({{per_sec}}, {{eta}} left)"
    ))
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A message on the terminal that changes while something of unknown length goes on; hidden where standard error is
/// no terminal.
pub fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Whether diagnostics on standard error may use colours.
pub fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
