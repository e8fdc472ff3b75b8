// SPDX-License-Identifier: GPL-2.0-only
//! Who is asked about generated programs, and what a disagreement is.

use skep_smith::Made;

use crate::report::Result;

/// Two answers about a program differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What the difference is by its nature: the same for programs that show the same.
    pub nature: String,
    /// In full.
    pub text: String,
}

/// Someone who judges programs.
pub trait Oracle {
    /// What it compares, for the summary.
    fn name(&self) -> String;

    /// How many programs are best asked at once.
    fn batch(&self) -> usize {
        64
    }

    /// Judges programs: tells each that it finds something wrong with, by its index.
    ///
    /// # Errors
    /// Where it cannot be asked any more.
    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()>;

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
