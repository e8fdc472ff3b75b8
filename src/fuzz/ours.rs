// SPDX-License-Identifier: GPL-2.0-only
//! Our verifier's side of a comparison with any kernel: verdicts, and where asked for whole logs.

use skep_compare::{Mask, first_difference};
use skep_kernel_load::Verdict as KernelVerdict;
use skep_smith::Made;
use skep_uapi::Errno;
use skep_verifier::{Options, Outcome, Verdict, verify};

use super::oracle::{Difference, without_numbers};

/// `BPF_LOG_LEVEL1` and `BPF_LOG_LEVEL2`.
pub const LEVEL1: u32 = 1;
const LEVEL2: u32 = 2;

/// What a load returned.
pub type Loaded = Result<(), Errno>;

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Ours {
    options: Options,
    logs: bool,
}

impl Ours {
    /// The verifier with these options; with `logs`, whole logs are compared.
    pub fn new(options: &Options, logs: bool) -> Ours {
        Ours { options: options.clone(), logs }
    }

    /// What is compared, in words.
    pub fn what(&self) -> &'static str {
        if self.logs { "verdicts and logs" } else { "verdicts" }
    }

    /// The log level at which the kernel is asked.
    pub fn level(&self) -> u32 {
        if self.logs { LEVEL2 } else { 0 }
    }

    fn log(&self, made: &Made, log_level: u32) -> String {
        let options = Options { caps: made.caps, log_level, ..self.options.clone() };
        match verify(&made.program, &options) {
            Outcome::Answer { log, .. } => log,
            Outcome::Unsupported(what) => what,
        }
    }

    /// Compares with what a kernel said, in a log of [`Ours::level`] if it has one. Where the verdicts differ,
    /// `explained` gives the kernel's log of level 1.
    pub fn compare(
        &self,
        made: &Made,
        theirs: Loaded,
        their_log: &str,
        explained: impl FnOnce() -> String,
    ) -> Option<Difference> {
        let Outcome::Answer { verdict, .. } = &made.outcome else { return None };
        let ours = match verdict {
            Verdict::Accept => Ok(()),
            Verdict::Reject(errno) => Err(*errno),
        };
        if ours != theirs {
            let (ours, theirs) = (in_words(ours, self.log(made, LEVEL1)), in_words(theirs, explained()));
            return Some(Difference::new(
                format!("{} for {}", without_numbers(&ours), without_numbers(&theirs)),
                format!("skep:   {ours}\nkernel: {theirs}\n"),
            ));
        }
        if !self.logs {
            return None;
        }
        let our_log = self.log(made, LEVEL2);
        let difference = first_difference(&Mask::of(&made.program), LEVEL2, &our_log, their_log)?;
        let first = |lines: &[String]| lines.first().cloned().unwrap_or_default();
        let (a, b) = (first(&difference.ours), first(&difference.theirs));
        Some(Difference::new(
            format!("log: `{}` for `{}`", without_numbers(&a), without_numbers(&b)),
            format!("line {}\nskep:   {a}\nkernel: {b}\n", difference.line),
        ))
    }
}

/// A verdict with its message.
fn in_words(verdict: Loaded, log: String) -> String {
    let Err(errno) = verdict else { return "accepted".to_owned() };
    let said = KernelVerdict::new(verdict, log, "");
    let message = if said.message.is_empty() { "(no message)" } else { &said.message };
    format!("{errno}: {message}")
}
