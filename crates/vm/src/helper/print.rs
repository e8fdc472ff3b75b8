// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that print: `bpf_trace_printk`, `bpf_trace_vprintk` and `bpf_snprintf`.

use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop, copy_string};
use super::format::{Printed, Source, print};
use crate::interp::Exec;

/// Arguments that `bpf_trace_printk` has (`MAX_TRACE_PRINTK_VARARGS`).
const MAX_PRINTK_ARGS: usize = 3;
/// Arguments that the others take at most (`MAX_BPRINTF_VARARGS`).
const MAX_ARGS: u64 = 12;
/// Bytes of a line with its final 0 (`MAX_BPRINTF_BUF`).
const MAX_LINE: usize = 1024;
/// Longest constant string that `bpf_snprintf` takes as its format here; the kernel knows no limit.
const MAX_FORMAT: u64 = 1 << 20;

struct Guest<'a, 'm>(&'a Exec<'m>);

impl Source for Guest<'_, '_> {
    fn string(&self, addr: u64, max: usize) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        copy_string(self.0, addr, max as u64, &mut text).ok()?;
        Some(text)
    }

    fn bytes(&self, addr: u64, out: &mut [u8]) -> bool {
        self.0.memory().read_bytes(addr, out).is_ok()
    }
}

/// The format of the trace helpers: its end must lie within its size.
fn sized_format(exec: &Exec<'_>, fmt: Arg, size: Arg) -> Result<Vec<u8>, Stop> {
    let mut bytes = fmt.to_vec(exec, u64::from(size.low()))?;
    let end = bytes.iter().position(|&byte| byte == 0).ok_or(Errno::EINVAL)?;
    bytes.truncate(end);
    Ok(bytes)
}

/// The array of arguments of `bpf_trace_vprintk` and `bpf_snprintf`.
fn vararg(exec: &Exec<'_>, data: Arg, len: Arg) -> Result<Vec<u64>, Stop> {
    let bytes = u64::from(len.low());
    if bytes % 8 != 0 || bytes > MAX_ARGS * 8 || (bytes != 0 && data.is_null()) {
        return Err(Errno::EINVAL.into());
    }
    let bytes = data.to_vec(exec, bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)).collect())
}

/// Keeps the line; the result is its whole length.
fn line(exec: &Exec<'_>, format: &[u8], args: &[u64]) -> Answer {
    let Printed { text, len, .. } = print(format, args, &Guest(exec), MAX_LINE)?;
    exec.machine.helper_state().print(text);
    Ok(len as u64)
}

pub(super) fn trace_printk(exec: &mut Exec<'_>, [fmt, size, a, b, c]: [Arg; 5]) -> Answer {
    let format = sized_format(exec, fmt, size)?;
    let args: [u64; MAX_PRINTK_ARGS] = [a.value, b.value, c.value];
    line(exec, &format, &args)
}

pub(super) fn trace_vprintk(exec: &mut Exec<'_>, [fmt, size, data, len, _]: [Arg; 5]) -> Answer {
    let args = vararg(exec, data, len)?;
    let format = sized_format(exec, fmt, size)?;
    line(exec, &format, &args)
}

/// The result is the length of the whole text with its end, also where it did not fit.
pub(super) fn snprintf(exec: &mut Exec<'_>, [out, size, fmt, data, len]: [Arg; 5]) -> Answer {
    let args = vararg(exec, data, len)?;
    let format = fmt.string(exec, MAX_FORMAT)?;
    let room = size.low();
    out.check_writable(exec, u64::from(room))?;
    let Printed { mut text, len, .. } = print(&format, &args, &Guest(exec), room as usize)?;
    if room > 0 {
        text.push(0);
        out.write(exec, &text)?;
    }
    Ok(len as u64 + 1)
}
