// SPDX-License-Identifier: MIT OR Apache-2.0
//! Dynptrs: `struct bpf_dynptr` in guest memory holds an address, a length and an offset, laid out as
//! `struct bpf_dynptr_kern`. A program that forges one reaches what it could reach anyway: each access is
//! checked as one of the program's own.

use skep_isa::Size;
use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop};
use super::ringbuf::ring;
use crate::interp::Exec;

/// `DYNPTR_MAX_SIZE`: the length has 24 bits.
const MAX_SIZE: u64 = (1 << 24) - 1;
/// `DYNPTR_RDONLY_BIT` of the word that holds the length.
const READ_ONLY: u64 = 1 << 31;
/// `DYNPTR_TYPE_SHIFT`: where the type starts in that word.
const TYPE_SHIFT: u32 = 28;
/// `BPF_DYNPTR_TYPE_LOCAL` and `BPF_DYNPTR_TYPE_RINGBUF`.
const LOCAL: u64 = 1;
const RINGBUF: u64 = 2;
/// Bytes of `struct bpf_dynptr`.
const DYNPTR: u64 = 16;

/// A dynptr that points to something.
struct Dynptr {
    data: u64,
    len: u64,
    read_only: bool,
}

impl Dynptr {
    /// The dynptr that an argument points to; `None` for a null one.
    fn load(exec: &Exec<'_>, arg: Arg) -> Result<Option<Dynptr>, Stop> {
        let data = arg.load(exec, Size::Dw)?;
        let size = arg.offset(8).load(exec, Size::W)?;
        let offset = arg.offset(12).load(exec, Size::W)?;
        Ok((data != 0).then(|| Dynptr {
            data: data.wrapping_add(offset),
            len: size & MAX_SIZE,
            read_only: size & READ_ONLY != 0,
        }))
    }

    /// The address of a part of what it points to.
    fn part(&self, offset: u64, len: u64) -> Result<u64, Errno> {
        match self.len.checked_sub(len) {
            Some(last) if offset <= last => Ok(self.data.wrapping_add(offset)),
            _ => Err(Errno::E2BIG),
        }
    }
}

/// Writes a dynptr (`bpf_dynptr_init`), or a null one.
fn init(exec: &Exec<'_>, arg: Arg, to: Option<(u64, u64, u64)>) -> Result<(), Stop> {
    arg.zero(exec, DYNPTR)?;
    if let Some((kind, data, len)) = to {
        arg.store(exec, Size::Dw, data)?;
        arg.offset(8).store(exec, Size::W, len | kind << TYPE_SHIFT)?;
    }
    Ok(())
}

pub(super) fn from_mem(exec: &mut Exec<'_>, [data, size, flags, to, _]: [Arg; 5]) -> Answer {
    let size = u64::from(size.low());
    let refusal = match () {
        () if size > MAX_SIZE => Some(Errno::E2BIG),
        () if flags.value != 0 => Some(Errno::EINVAL),
        () => None,
    };
    if let Some(errno) = refusal {
        init(exec, to, None)?;
        return Err(errno.into());
    }
    data.check_writable(exec, size)?;
    init(exec, to, Some((LOCAL, data.value, size)))?;
    Ok(0)
}

pub(super) fn ringbuf_reserve(exec: &mut Exec<'_>, [map, size, flags, to, _]: [Arg; 5]) -> Answer {
    let ring = ring(exec, map)?;
    let size = u64::from(size.low());
    init(exec, to, None)?;
    if flags.value != 0 {
        return Err(Errno::EINVAL.into());
    }
    if size > MAX_SIZE {
        return Err(Errno::E2BIG.into());
    }
    let record = ring.reserve(size).ok_or(Errno::EINVAL)?;
    init(exec, to, Some((RINGBUF, u64::from(record), size)))?;
    Ok(0)
}

pub(super) fn ringbuf_submit(exec: &mut Exec<'_>, [dynptr, ..]: [Arg; 5]) -> Answer {
    commit(exec, dynptr, false)
}

pub(super) fn ringbuf_discard(exec: &mut Exec<'_>, [dynptr, ..]: [Arg; 5]) -> Answer {
    commit(exec, dynptr, true)
}

/// A null dynptr, which a failed reservation leaves, is fine.
fn commit(exec: &Exec<'_>, arg: Arg, discard: bool) -> Answer {
    if let Some(dynptr) = Dynptr::load(exec, arg)? {
        let ring = exec.machine.ringbuf_at(dynptr.data);
        if ring.is_none_or(|ring| ring.commit(dynptr.data, discard).is_err()) {
            return Err(arg.unexpected("a dynptr to a reserved record"));
        }
        init(exec, arg, None)?;
    }
    Ok(0)
}

pub(super) fn read(exec: &mut Exec<'_>, [dst, len, src, offset, flags]: [Arg; 5]) -> Answer {
    let len = u64::from(len.low());
    dst.check_writable(exec, len)?;
    let dynptr = Dynptr::load(exec, src)?.filter(|_| flags.value == 0).ok_or(Errno::EINVAL)?;
    let from = dynptr.part(u64::from(offset.low()), len)?;
    let bytes = src.at(from).to_vec(exec, len)?;
    dst.write(exec, &bytes)?;
    Ok(0)
}

pub(super) fn write(exec: &mut Exec<'_>, [dst, offset, src, len, flags]: [Arg; 5]) -> Answer {
    let len = u64::from(len.low());
    let bytes = src.to_vec(exec, len)?;
    let dynptr = Dynptr::load(exec, dst)?.filter(|dynptr| !dynptr.read_only).ok_or(Errno::EINVAL)?;
    let to = dynptr.part(u64::from(offset.low()), len)?;
    if flags.value != 0 {
        return Err(Errno::EINVAL.into());
    }
    dst.at(to).write(exec, &bytes)?;
    Ok(0)
}

/// The address of a part, or 0.
pub(super) fn data(exec: &mut Exec<'_>, [arg, offset, len, ..]: [Arg; 5]) -> Answer {
    let Some(dynptr) = Dynptr::load(exec, arg)?.filter(|dynptr| !dynptr.read_only) else { return Ok(0) };
    Ok(dynptr.part(u64::from(offset.low()), u64::from(len.low())).unwrap_or(0))
}
