// SPDX-License-Identifier: MIT OR Apache-2.0
//! gcc's counter files (`.gcda`, gcc's `gcov-io.h`), as far as summing them needs: a header, then records of a tag, a
//! length and words. A kernel counts with `-fprofile-arcs`, so that all counters are sums.

use std::fmt;
use std::ops::Range;

/// `gcda` as a number in the file's byte order.
const MAGIC: [u8; 4] = *b"adcg";
/// Magic, version, stamp; since gcc 12 a checksum too, and lengths in bytes.
const STAMP: Range<usize> = 8..12;
const SINCE_BYTES: u32 = 12;
/// The record of arcs' counters: pairs of words, the low one first.
const ARCS: u32 = 0x01a1_0000;

/// What is wrong with a counter file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It does not start as one.
    Magic,
    /// It ends within a record.
    Short,
    /// Its records are not those of the file that it is summed with.
    Different,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::Magic => "they do not start as gcov's of this machine",
            Damage::Short => "they end too early",
            Damage::Different => "they do not have the layout of the others",
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Damage> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).ok_or(Damage::Short)?;
    Ok(u32::from_le_bytes(word))
}

/// The build's stamp, which notes and counters share.
pub(super) fn stamp(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(STAMP)
}

/// The compiler's major version, in the letters and digits of `B22*` (12.2).
fn major(version: u32) -> u32 {
    let [first, second, ..] = version.to_be_bytes();
    if first < b'A' {
        // Before gcc 10: `402*`, `900*`.
        return u32::from(first.wrapping_sub(b'0'));
    }
    u32::from(first - b'A') * 10 + u32::from(second.wrapping_sub(b'0'))
}

/// Where the arcs' counters are.
fn arcs(bytes: &[u8]) -> Result<Vec<Range<usize>>, Damage> {
    if bytes.get(..4) != Some(&MAGIC) {
        return Err(Damage::Magic);
    }
    let in_bytes = major(word(bytes, 4)?) >= SINCE_BYTES;
    let (mut at, unit) = if in_bytes { (16, 1) } else { (12, 4) };
    let mut arcs = Vec::new();
    while at < bytes.len() {
        let tag = word(bytes, at)?;
        if tag == 0 {
            // The end, which programs write and the kernel does not.
            break;
        }
        let length = word(bytes, at + 4)?;
        at += 8;
        // A negative length stands for that many counters, all zero, which are left out.
        let length = usize::try_from(length.cast_signed()).unwrap_or(0) * unit;
        let end = at.checked_add(length).filter(|&end| end <= bytes.len()).ok_or(Damage::Short)?;
        if tag == ARCS && length != 0 {
            arcs.push(at..end);
        }
        at = end;
    }
    Ok(arcs)
}

/// Checks that a file can be summed with others.
pub(super) fn check(bytes: &[u8]) -> Result<(), Damage> {
    arcs(bytes).map(drop)
}

/// Adds the counters of a file to those of another of the same object.
pub(super) fn add(sum: &mut [u8], bytes: &[u8]) -> Result<(), Damage> {
    let places = arcs(bytes)?;
    if sum.len() != bytes.len() || arcs(sum)? != places || stamp(sum) != stamp(bytes) {
        return Err(Damage::Different);
    }
    for place in places {
        let (sums, values) = (sum[place.clone()].chunks_exact_mut(8), bytes[place].chunks_exact(8));
        for (sum, value) in sums.zip(values) {
            let total = counter(sum).saturating_add(counter(value));
            sum.copy_from_slice(&total.to_le_bytes());
        }
    }
    Ok(())
}

fn counter(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: &[u8; 4], counters: &[u64]) -> Vec<u8> {
        let unit = if version == b"*22B" { 4 } else { 1 };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(version);
        bytes.extend(7u32.to_le_bytes());
        if unit == 4 {
            bytes.extend(9u32.to_le_bytes());
        }
        for (tag, words) in [(0x0100_0000u32, vec![1u32, 2, 3]), (ARCS, Vec::new())] {
            bytes.extend(tag.to_le_bytes());
            let count = if tag == ARCS { counters.len() * 2 } else { words.len() };
            bytes.extend((u32::try_from(count).unwrap() * unit).to_le_bytes());
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        bytes.extend(counters.iter().flat_map(|counter| counter.to_le_bytes()));
        bytes
    }

    #[test]
    fn sums_counters() {
        for version in [b"*22B", b"*41A"] {
            let mut sum = file(version, &[1, 0, 1 << 33]);
            add(&mut sum, &file(version, &[2, 5, 1 << 33])).unwrap();
            assert_eq!(sum, file(version, &[3, 5, 1 << 34]));
        }
    }

    #[test]
    fn leaves_out_counters_that_are_all_zero() {
        let mut bytes = file(b"*22B", &[]);
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&(-24i32).to_le_bytes());
        assert_eq!(arcs(&bytes), Ok(Vec::new()));
    }

    #[test]
    fn says_what_is_wrong() {
        let good = file(b"*22B", &[1, 2]);
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check(b"ELF"), Err(Damage::Magic));
        assert_eq!(check(&good[..good.len() - 1]), Err(Damage::Short));
        assert_eq!(check(&good[..6]), Err(Damage::Short));
        assert_eq!(add(&mut good.clone(), &file(b"*22B", &[1])), Err(Damage::Different));
    }

    #[test]
    fn reads_versions() {
        for (text, expected) in [(b"B22*", 12), (b"A94*", 9), (b"B01*", 10), (b"408*", 4), (b"C10*", 21)] {
            assert_eq!(major(u32::from_be_bytes(*text)), expected);
        }
    }
}
