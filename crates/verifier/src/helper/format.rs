// SPDX-License-Identifier: GPL-2.0-only
//! Format strings that the kernel's printing helpers take (`bpf_bprintf_prepare @ 6.18`).

/// C's `isspace`.
fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t'..=b'\r')
}

/// Whether a conversion may end before this character.
fn ends(c: u8) -> bool {
    c == 0 || is_space(c) || c.is_ascii_punctuation()
}

/// Whether the kernel takes a format, without the zero at its end, with so many arguments.
pub(super) fn is_valid(format: &[u8], num_args: usize) -> bool {
    let at = |i: usize| format.get(i).copied().unwrap_or(0);
    let (mut i, mut conversions) = (0, 0);
    while i < format.len() {
        if !at(i).is_ascii_graphic() && !is_space(at(i)) {
            return false;
        }
        if at(i) != b'%' {
            i += 1;
            continue;
        }
        if at(i + 1) == b'%' {
            i += 2;
            continue;
        }
        if conversions >= num_args {
            return false;
        }
        conversions += 1;
        i += 1;
        while matches!(at(i), b'0' | b'+' | b'-' | b' ') {
            i += 1;
        }
        while at(i).is_ascii_digit() {
            i += 1;
        }
        let Some(last) = conversion(&at, i) else { return false };
        i = last + 1;
    }
    true
}

/// Position of the last character of a conversion that starts at `i`, behind flags and width.
fn conversion(at: &impl Fn(usize) -> u8, i: usize) -> Option<usize> {
    match at(i) {
        b'p' => match (at(i + 1), at(i + 2)) {
            (b'k' | b'u', b's') => ends(at(i + 3)).then_some(i + 2),
            (b'K' | b'x' | b's' | b'S' | b'B', _) => Some(i + 1),
            (b'i' | b'I', b'4' | b'6') => Some(i + 2),
            (c, _) => ends(c).then_some(i),
        },
        b's' => ends(at(i + 1)).then_some(i),
        b'c' => Some(i),
        _ => {
            let longs = (0..2).take_while(|&n| at(i + n) == b'l').count();
            matches!(at(i + longs), b'i' | b'd' | b'u' | b'x' | b'X').then_some(i + longs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn conversions_need_arguments_and_known_letters() {
        assert!(is_valid(b"%d %08llx %s, %pI4 %%", 4));
        assert!(is_valid(b"plain", 0));
        for (format, args) in [("%d", 0), ("%z", 1), ("%sx", 1), ("%pM", 1), ("\u{7f}", 0)] {
            assert!(!is_valid(format.as_bytes(), args), "{format}");
        }
    }
}
