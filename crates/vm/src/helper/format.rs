// SPDX-License-Identifier: MIT OR Apache-2.0
//! `printf` as BPF programs have it: `bpf_bprintf_prepare` and `bstr_printf` of the kernel in one pass. Which
//! formats are refused, with which error, how long strings may be and how everything is laid out are the
//! kernel's. Apart from it stand pointers: the kernel hides them (`%p`) or finds symbols for them (`%ps`); a
//! guest address is printed as it is.

use skep_uapi::Errno;

use super::string::is_space;

/// Bytes that all arguments of one call may take, strings included (`MAX_BPRINTF_BIN_ARGS`).
const MAX_BIN_ARGS: usize = 512;
/// Greatest field width (`FIELD_WIDTH_MAX`).
const MAX_WIDTH: usize = (1 << 23) - 1;
/// Characters of a pointer where no width is given.
const POINTER_WIDTH: usize = 16;

/// What strings and IP addresses are read from.
pub(super) trait Source {
    /// The string at an address without its end, cut to `max` bytes; `None` where it cannot be read.
    fn string(&self, addr: u64, max: usize) -> Option<Vec<u8>>;
    /// Fills `out` from an address; whether that was possible.
    fn bytes(&self, addr: u64, out: &mut [u8]) -> bool;
}

/// What was printed: as much as there is room for, and how long it would have been.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Printed {
    /// The text, cut to the limit.
    pub(super) text: Vec<u8>,
    /// Bytes of the whole text.
    pub(super) len: usize,
    size: usize,
}

impl Printed {
    /// Bytes that there is still room for.
    fn room(&self) -> usize {
        self.size.saturating_sub(1) - self.text.len()
    }

    fn fill(&mut self, byte: u8, count: usize) {
        let kept = count.min(self.room());
        self.text.resize(self.text.len() + kept, byte);
        self.len += count;
    }

    fn put(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(self.room());
        self.text.extend_from_slice(&bytes[..kept]);
        self.len += bytes.len();
    }

    /// Text that was laid out before: behind the end of the buffer it does not even count.
    fn put_prepared(&mut self, bytes: &[u8]) {
        if self.len < self.size {
            self.put(bytes);
        }
    }
}

/// The kernel's `ispunct`, Latin-1 included.
fn is_punct(byte: u8) -> bool {
    byte.is_ascii_punctuation() || matches!(byte, 0xa1..=0xbf | 0xd7 | 0xf7)
}

/// The kernel's `isalnum`, Latin-1 included.
fn is_alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || (byte >= 0xc0 && !is_punct(byte))
}

/// Flags and width of a conversion.
#[derive(Clone, Copy, Default)]
struct Field {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
}

impl Field {
    /// `number`: sign and digits, padded.
    fn number(self, sign: Option<u8>, digits: &[u8], out: &mut Printed) {
        let len = digits.len() + usize::from(sign.is_some());
        let padding = self.width.unwrap_or(0).saturating_sub(len);
        let zero = self.zero && !self.left;
        if !zero && !self.left {
            out.fill(b' ', padding);
        }
        out.put(sign.as_slice());
        if zero {
            out.fill(b'0', padding);
        }
        out.put(digits);
        if self.left {
            out.fill(b' ', padding);
        }
    }

    fn signed(self, value: i64, out: &mut Printed) {
        let sign = match (value < 0, self.plus, self.space) {
            (true, ..) => Some(b'-'),
            (_, true, _) => Some(b'+'),
            (_, _, true) => Some(b' '),
            _ => None,
        };
        self.number(sign, value.unsigned_abs().to_string().as_bytes(), out);
    }

    fn text(self, text: &[u8], out: &mut Printed) {
        let padding = self.width.unwrap_or(0).saturating_sub(text.len());
        out.fill(b' ', if self.left { 0 } else { padding });
        out.put(text);
        out.fill(b' ', if self.left { padding } else { 0 });
    }

    fn pointer(mut self, value: u64, out: &mut Printed) {
        if self.width.is_none() {
            self.width = Some(POINTER_WIDTH);
            self.zero = true;
        }
        self.number(None, format!("{value:x}").as_bytes(), out);
    }
}

/// A format on its way, and what its arguments took of the kernel's buffer.
struct Printer<'a> {
    format: &'a [u8],
    at: usize,
    args: std::slice::Iter<'a, u64>,
    used: usize,
    source: &'a dyn Source,
    out: Printed,
}

/// Prints `format`, which has no 0 in it, into a buffer of `size` bytes, the last of which is for the end.
///
/// # Errors
/// `EINVAL` for a format that the kernel refuses, `ENOSPC` for arguments that need more than its buffer.
pub(super) fn print(format: &[u8], args: &[u64], source: &dyn Source, size: usize) -> Result<Printed, Errno> {
    let out = Printed { text: Vec::new(), len: 0, size };
    let mut printer = Printer { format, at: 0, args: args.iter(), used: 0, source, out };
    while printer.at < format.len() {
        printer.step()?;
    }
    Ok(printer.out)
}

impl Printer<'_> {
    /// The byte `ahead` of the current one; 0 at the end.
    fn peek(&self, ahead: usize) -> u8 {
        self.format.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// One byte of text or one conversion.
    fn step(&mut self) -> Result<(), Errno> {
        let byte = self.peek(0);
        if byte.is_ascii() && !matches!(byte, b' '..=b'~') && !is_space(byte) {
            return Err(Errno::EINVAL);
        }
        if byte != b'%' || self.peek(1) == b'%' {
            self.at += if byte == b'%' { 2 } else { 1 };
            self.out.put(&[byte]);
            return Ok(());
        }
        let &arg = self.args.next().ok_or(Errno::EINVAL)?;
        self.at += 1;
        let field = self.field();
        match self.peek(0) {
            b'p' => self.pointer(field, arg),
            b's' => {
                let text = self.string(0, arg)?;
                field.text(&text, &mut self.out);
                self.at += 1;
                Ok(())
            }
            b'c' => {
                self.take(1, 1)?;
                field.text(&[arg as u8], &mut self.out);
                self.at += 1;
                Ok(())
            }
            _ => self.integer(field, arg),
        }
    }

    fn field(&mut self) -> Field {
        let mut field = Field::default();
        loop {
            match self.peek(0) {
                b'0' => field.zero = true,
                b'+' => field.plus = true,
                b'-' => field.left = true,
                b' ' => field.space = true,
                _ => break,
            }
            self.at += 1;
        }
        while let digit @ b'0'..=b'9' = self.peek(0) {
            let width = field.width.unwrap_or(0) * 10 + usize::from(digit - b'0');
            field.width = Some(width.min(MAX_WIDTH));
            self.at += 1;
        }
        field
    }

    /// Takes bytes of the kernel's argument buffer.
    fn take(&mut self, bytes: usize, align: usize) -> Result<(), Errno> {
        self.used = self.used.next_multiple_of(align) + bytes;
        if self.used > MAX_BIN_ARGS { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// The string of an argument, as much of it as the buffer has room for. The conversion's last character is
    /// `last` bytes ahead.
    fn string(&mut self, last: usize, addr: u64) -> Result<Vec<u8>, Errno> {
        let next = self.peek(last + 1);
        if next != 0 && !is_space(next) && !is_punct(next) {
            return Err(Errno::EINVAL);
        }
        let room = MAX_BIN_ARGS.saturating_sub(self.used);
        if room == 0 {
            return Err(Errno::ENOSPC);
        }
        let text = self.source.string(addr, room - 1).unwrap_or_default();
        self.take(text.len() + 1, 1)?;
        Ok(text)
    }

    fn integer(&mut self, field: Field, arg: u64) -> Result<(), Errno> {
        let longs = (0..2).take_while(|&ahead| self.peek(ahead) == b'l').count();
        self.at += longs;
        let conversion = self.peek(0);
        if !matches!(conversion, b'i' | b'd' | b'u' | b'x' | b'X') {
            return Err(Errno::EINVAL);
        }
        self.take(if longs > 0 { 8 } else { 4 }, 4)?;
        self.at += 1;
        let unsigned = if longs > 0 { arg } else { u64::from(arg as u32) };
        match conversion {
            b'u' => field.number(None, unsigned.to_string().as_bytes(), &mut self.out),
            b'x' => field.number(None, format!("{unsigned:x}").as_bytes(), &mut self.out),
            b'X' => field.number(None, format!("{unsigned:X}").as_bytes(), &mut self.out),
            _ => {
                let value = if longs > 0 { arg.cast_signed() } else { i64::from(arg as i32) };
                field.signed(value, &mut self.out);
            }
        }
        Ok(())
    }

    /// `%p` and its kin; the letters after it that name none are dropped, as `bstr_printf` does.
    fn pointer(&mut self, field: Field, arg: u64) -> Result<(), Errno> {
        match (self.peek(1), self.peek(2)) {
            (b'k' | b'u', b's') => {
                let text = self.string(2, arg)?;
                self.out.put_prepared(&text);
            }
            (b's' | b'S', _) => {
                self.take(8, 4)?;
                field.text(format!("{arg:#x}").as_bytes(), &mut self.out);
            }
            (b'B', _) => self.prepared(format!("{arg:#x}").as_bytes())?,
            (kind @ (b'i' | b'I'), b'4') => {
                let mut ip = [0; 4];
                self.read_ip(arg, &mut ip)?;
                let parts = ip.map(|b| if kind == b'i' { format!("{b:03}") } else { b.to_string() });
                self.prepared(parts.join(".").as_bytes())?;
            }
            (kind @ (b'i' | b'I'), b'6') => {
                let mut ip = [0; 16];
                self.read_ip(arg, &mut ip)?;
                let groups: Vec<String> =
                    ip.chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect();
                self.prepared(groups.join(if kind == b'i' { "" } else { ":" }).as_bytes())?;
            }
            (b'K' | b'x', _) => {
                self.take(8, 4)?;
                field.pointer(arg, &mut self.out);
            }
            (next, _) if next == 0 || is_space(next) || is_punct(next) => {
                self.take(8, 4)?;
                field.pointer(arg, &mut self.out);
            }
            _ => return Err(Errno::EINVAL),
        }
        self.at += 1;
        while is_alnum(self.peek(0)) {
            self.at += 1;
        }
        Ok(())
    }

    fn read_ip(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
        if MAX_BIN_ARGS.saturating_sub(self.used) < out.len() {
            return Err(Errno::ENOSPC);
        }
        if !self.source.bytes(addr, out) {
            out.fill(0);
        }
        Ok(())
    }

    /// Text that the kernel lays out before it prints: no width applies.
    fn prepared(&mut self, text: &[u8]) -> Result<(), Errno> {
        self.take(text.len() + 1, 1)?;
        self.out.put_prepared(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every address below 100 is that string; address 100 is an IP address.
    struct Fake;

    impl Source for Fake {
        fn string(&self, addr: u64, max: usize) -> Option<Vec<u8>> {
            let text = match addr {
                1 => "one".to_owned(),
                2 => "a".repeat(600),
                _ => return None,
            };
            Some(text.into_bytes()[..].iter().copied().take(max).collect())
        }

        fn bytes(&self, addr: u64, out: &mut [u8]) -> bool {
            let ip = [192, 168, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab];
            out.copy_from_slice(&ip[..out.len()]);
            addr == 100
        }
    }

    fn text(format: &str, args: &[u64]) -> Result<String, Errno> {
        print(format.as_bytes(), args, &Fake, 1024).map(|p| String::from_utf8(p.text).unwrap())
    }

    #[test]
    fn conversions_are_laid_out_as_the_kernel_does() {
        let minus = -5i64 as u64;
        let cases: &[(&str, &[u64], &str)] = &[
            ("plain %% text\n", &[], "plain % text\n"),
            ("%d %i %u %x %X", &[minus, 7, minus, 0xab, 0xab], "-5 7 4294967291 ab AB"),
            ("%ld|%llu|%lx", &[minus, minus, 255], "-5|18446744073709551611|ff"),
            ("%5d|%-5d|%05d|%+d|% d", &[42, 42, minus, 42, 42], "   42|42   |-0005|+42| 42"),
            ("%-05d|%3d", &[1, 12345], "1    |12345"),
            ("%c|%3c|%-3c|", &[65, 66, 67], "A|  B|C  |"),
            ("%s|%5s|%-5s|", &[1, 1, 1], "one|  one|one  |"),
            ("%s|", &[0], "|"),
            ("%p|%px", &[0x1234, 0], "0000000000001234|0000000000000000"),
            ("%20px|%-6px|", &[0x12, 0x34], "                  12|34    |"),
            ("%pks|%pus", &[1, 1], "one|one"),
            ("%ps|%pS|%pB", &[16, 17, 18], "0x10|0x11|0x12"),
            ("%pI4 %pi4", &[100, 100], "192.168.0.1 192.168.000.001"),
            ("%pI6", &[100], "c0a8:0001:0000:0000:0000:0000:0000:00ab"),
            ("%pi6c!", &[100], "c0a800010000000000000000000000ab!"),
            ("%pI4", &[0], "0.0.0.0"),
            ("é %d", &[3], "é 3"),
        ];
        for (format, args, expected) in cases {
            assert_eq!(text(format, args).as_deref(), Ok(*expected), "{format:?}");
        }
    }

    #[test]
    fn formats_are_refused_as_the_kernel_does() {
        for format in ["%", "%d %d", "%f", "%#x", "%.3s", "%sa", "%pQ", "%pI5", "%hd", "%llld", "\u{1}", "%é"]
        {
            assert_eq!(text(format, &[1]), Err(Errno::EINVAL), "{format:?}");
        }
    }

    #[test]
    fn long_strings_are_cut_and_fill_the_buffer() {
        let printed = print(b"%s", &[2], &Fake, 1024).unwrap();
        assert_eq!((printed.text.len(), printed.len), (511, 511));
        assert_eq!(text("%s %d", &[2, 1]), Err(Errno::ENOSPC));
        assert_eq!(text("%s %s", &[2, 1]), Err(Errno::ENOSPC));
    }

    #[test]
    fn what_is_cut_off_counts() {
        let printed = print(b"%20d", &[1], &Fake, 5).unwrap();
        assert_eq!((printed.text.as_slice(), printed.len), (&b"    "[..], 20));
        let printed = print(b"%99999999999d", &[1], &Fake, 5).unwrap();
        assert_eq!(printed.len, MAX_WIDTH);
    }
}
