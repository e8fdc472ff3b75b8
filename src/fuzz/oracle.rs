// SPDX-License-Identifier: GPL-2.0-only
//! Who is asked about generated programs, and what a disagreement is.

use skep_isa::{Insn, opcode};
use skep_program::Program;
use skep_smith::{Made, Smith};
use skep_uapi::HelperId;

use crate::report::Result;

/// Two answers about a program differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What the difference is by its nature: the same for programs that show the same.
    pub nature: String,
    /// In full.
    pub text: String,
    /// Each look at it takes so long that it is not made smaller.
    pub costly: bool,
}

impl Difference {
    /// A difference that shows at once.
    pub fn new(nature: String, text: String) -> Difference {
        Difference { nature, text, costly: false }
    }
}

/// Someone who judges programs.
pub trait Oracle {
    /// What it compares, for the summary.
    fn name(&self) -> String;

    /// How many programs are best asked at once.
    fn batch(&self) -> usize {
        64
    }

    /// How many questions making a finding small may take.
    fn questions(&self) -> usize {
        3000
    }

    /// Judges programs: tells each that it finds something wrong with, by its index.
    ///
    /// # Errors
    /// Where it cannot be asked any more.
    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()>;

    /// The campaign is over for it.
    ///
    /// # Errors
    /// Where what it has to say at last cannot be had.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// How many programs were really compared so far, and how many it had no answer for.
    fn counts(&self) -> Counts;
}

/// What an oracle has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Programs compared.
    pub compared: u64,
    /// Programs that it could not be asked about.
    pub unanswered: u64,
}

impl Counts {
    /// Both sums.
    pub fn and(self, other: Counts) -> Counts {
        Counts { compared: self.compared + other.compared, unanswered: self.unanswered + other.unanswered }
    }
}

/// What kernels say of a helper that they do not have for a type of programs.
const NO_HELPER: [&str; 3] = ["cannot use helper", "unknown func ", "kernel subsystem misconfigured func "];

/// Takes out of what is generated whatever a kernel lacks by its configuration: types of programs, and helpers of which
/// `doubtful` holds. `ask` loads programs, and gives the message of each that is refused.
pub fn leave_out_what_is_missing(
    smith: &mut Smith<'_>,
    doubtful: &dyn Fn(HelperId) -> bool,
    ask: &mut dyn FnMut(Vec<Program>) -> Result<Vec<Option<String>>>,
) -> Result<()> {
    // A type that the kernel does not have is refused before there is a log.
    let mut lacks =
        ask(smith.shortest())?.into_iter().map(|answer| answer.is_some_and(|message| message.is_empty()));
    smith.retain_types(|_| !lacks.next().unwrap_or(false));
    let mut calls = Vec::new();
    smith.retain_helpers(|program, helper| {
        if doubtful(helper) {
            // In front of what the program returns.
            let mut with_call = program.clone();
            let at = with_call.insns.len() - 2;
            with_call.insns.insert(at, Insn::new(opcode::CALL, 0, 0, 0, helper.0 as i32));
            calls.push(with_call);
        }
        true
    });
    let is_missing = |message: String| NO_HELPER.iter().any(|words| message.contains(words));
    let mut lacks = ask(calls)?.into_iter().map(|answer| answer.is_some_and(is_missing));
    smith.retain_helpers(|_, helper| !doubtful(helper) || !lacks.next().unwrap_or(false));
    Ok(())
}

/// Numbers taken out of a text, so that what is said of other registers and offsets is the same.
pub fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_ascii_digit() {
            out.push(c);
            continue;
        }
        let hex = c == '0' && chars.peek() == Some(&'x');
        if hex {
            chars.next();
        }
        while chars
            .peek()
            .is_some_and(|next| if hex { next.is_ascii_hexdigit() } else { next.is_ascii_digit() })
        {
            chars.next();
        }
        out.push('N');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_kinds_are_one() {
        assert_eq!(without_numbers("R12 off=-8 var_off=(0x0; 0xff)"), "RN off=-N var_off=(N; N)");
    }
}
