// SPDX-License-Identifier: MIT OR Apache-2.0
//! Strings: `bpf_strtol`, `bpf_strtoul`, `bpf_strncmp`.

use skep_isa::Size;
use skep_uapi::Errno;

use super::arg::{Answer, Arg};
use crate::interp::Exec;

/// `BPF_STRTOX_BASE_MASK`: the bits of the flags that hold the base.
const BASE_MASK: u64 = 0x1f;
/// Characters after space and sign that `__bpf_strtoull` looks at.
const MAX_DIGITS: usize = 63;

/// The kernel's `isspace`, whose table has the no-break space of Latin-1, too.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// A number in text.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    magnitude: u64,
    negative: bool,
    /// Bytes that were read.
    consumed: usize,
}

/// `__bpf_strtoull`.
fn parse(text: &[u8], flags: u64) -> Result<Parsed, Errno> {
    let base = flags & BASE_MASK;
    if text.is_empty() || flags & !BASE_MASK != 0 || !matches!(base, 0 | 8 | 10 | 16) {
        return Err(Errno::EINVAL);
    }
    let mut at = text.iter().take_while(|&&byte| is_space(byte)).count();
    let negative = text.get(at) == Some(&b'-');
    at += usize::from(negative);
    let rest = &text[at..];
    let rest = &rest[..rest.len().min(MAX_DIGITS)];
    let prefixed = rest.len() > 1 && rest[0] == b'0' && rest[1] | 0x20 == b'x';
    // `_parse_integer_fixup_radix`: a base of 0 goes by the prefix.
    let radix = match base {
        0 if prefixed && rest.get(2).is_some_and(u8::is_ascii_hexdigit) => 16,
        0 if rest.first() == Some(&b'0') => 8,
        0 => 10,
        base => base as u32,
    };
    let skip = if radix == 16 && prefixed { 2 } else { 0 };
    let digits = rest[skip..].iter().map_while(|&byte| char::from(byte).to_digit(radix));
    let (mut value, mut count, mut overflow) = (0u64, 0, false);
    for digit in digits {
        let next = value.checked_mul(u64::from(radix)).and_then(|v| v.checked_add(u64::from(digit)));
        overflow |= next.is_none();
        value = next.unwrap_or(0);
        count += 1;
    }
    match (overflow, count) {
        (true, _) => Err(Errno::ERANGE),
        (false, 0) => Err(Errno::EINVAL),
        (false, _) => Ok(Parsed { magnitude: value, negative, consumed: at + skip + count }),
    }
}

/// `__bpf_strtoll`.
fn signed(parsed: &Parsed) -> Result<i64, Errno> {
    let value = if parsed.negative {
        parsed.magnitude.wrapping_neg().cast_signed()
    } else {
        parsed.magnitude.cast_signed()
    };
    let fits = if parsed.negative { value <= 0 } else { value >= 0 };
    if fits { Ok(value) } else { Err(Errno::ERANGE) }
}

pub(super) fn strtol(exec: &mut Exec<'_>, [buf, len, flags, res, _]: [Arg; 5]) -> Answer {
    res.store(exec, Size::Dw, 0)?;
    let parsed = parse(&buf.to_vec(exec, len.value)?, flags.value)?;
    res.store(exec, Size::Dw, signed(&parsed)?.cast_unsigned())?;
    Ok(parsed.consumed as u64)
}

pub(super) fn strtoul(exec: &mut Exec<'_>, [buf, len, flags, res, _]: [Arg; 5]) -> Answer {
    res.store(exec, Size::Dw, 0)?;
    let parsed = parse(&buf.to_vec(exec, len.value)?, flags.value)?;
    if parsed.negative {
        return Err(Errno::EINVAL.into());
    }
    res.store(exec, Size::Dw, parsed.magnitude)?;
    Ok(parsed.consumed as u64)
}

/// The kernel's `strncmp` gives -1, 0 or 1.
pub(super) fn strncmp(exec: &mut Exec<'_>, [s1, size, s2, ..]: [Arg; 5]) -> Answer {
    for i in 0..u64::from(size.low()) {
        let a = s1.offset(i).load(exec, Size::B)?;
        let b = s2.offset(i).load(exec, Size::B)?;
        if a != b {
            return Ok(if a < b { -1i64 as u64 } else { 1 });
        }
        if a == 0 {
            break;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, flags: u64) -> Result<(u64, usize), Errno> {
        parse(text.as_bytes(), flags).map(|p| (p.magnitude, p.consumed))
    }

    #[test]
    fn numbers_are_read_as_the_kernel_does() {
        assert_eq!(number("123", 0), Ok((123, 3)));
        assert_eq!(number(" \t123abc", 10), Ok((123, 5)));
        assert_eq!(number("0x1F ", 0), Ok((31, 4)));
        assert_eq!(number("0x1F", 16), Ok((31, 4)));
        assert_eq!(number("017", 0), Ok((15, 3)));
        assert_eq!(number("0x", 0), Ok((0, 1)), "octal 0, then text");
        assert_eq!(number("0x", 16), Err(Errno::EINVAL), "the prefix is skipped, no digit is left");
        assert_eq!(number("018", 8), Ok((1, 2)));
        assert_eq!(number("", 0), Err(Errno::EINVAL));
        assert_eq!(number("-", 0), Err(Errno::EINVAL));
        assert_eq!(number("+1", 0), Err(Errno::EINVAL));
        assert_eq!(number("1", 2), Err(Errno::EINVAL));
        assert_eq!(number("1", 1 << 6), Err(Errno::EINVAL));
        assert_eq!(number("18446744073709551615", 10), Ok((u64::MAX, 20)));
        assert_eq!(number("18446744073709551616", 10), Err(Errno::ERANGE));
    }

    #[test]
    fn signed_range_is_that_of_i64() {
        let value = |text: &str| signed(&parse(text.as_bytes(), 10).unwrap());
        assert_eq!(value("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(value("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(value("9223372036854775808"), Err(Errno::ERANGE));
        assert_eq!(value("-9223372036854775809"), Err(Errno::ERANGE));
    }
}
