// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that write records for user space through a ring buffer.

use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop};
use crate::interp::Exec;
use crate::map::Ringbuf;

/// `BPF_RB_NO_WAKEUP` and `BPF_RB_FORCE_WAKEUP`: nobody sleeps here, so they change nothing.
const WAKEUP_FLAGS: u64 = 3;

pub(super) fn ring<'m>(exec: &Exec<'m>, arg: Arg) -> Result<&'m Ringbuf, Stop> {
    let map = arg.map(exec)?;
    map.as_ringbuf().ok_or_else(|| arg.wrong_map(map))
}

pub(super) fn output(exec: &mut Exec<'_>, [map, data, size, flags, _]: [Arg; 5]) -> Answer {
    let ring = ring(exec, map)?;
    if flags.value & !WAKEUP_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    ring.output(&data.to_vec(exec, size.value)?)?;
    Ok(0)
}

/// The address of a new record, or 0.
pub(super) fn reserve(exec: &mut Exec<'_>, [map, size, flags, ..]: [Arg; 5]) -> Answer {
    let ring = ring(exec, map)?;
    if flags.value != 0 {
        return Ok(0);
    }
    Ok(ring.reserve(size.value).map_or(0, u64::from))
}

pub(super) fn submit(exec: &mut Exec<'_>, [record, ..]: [Arg; 5]) -> Answer {
    commit(exec, record, false)
}

pub(super) fn discard(exec: &mut Exec<'_>, [record, ..]: [Arg; 5]) -> Answer {
    commit(exec, record, true)
}

fn commit(exec: &Exec<'_>, record: Arg, discard: bool) -> Answer {
    let committed = exec.machine.ringbuf_at(record.value).map(|ring| ring.commit(record.value, discard));
    match committed {
        Some(Ok(())) => Ok(0),
        Some(Err(_)) | None => Err(record.unexpected("a reserved record of a ring buffer")),
    }
}

pub(super) fn query(exec: &mut Exec<'_>, [map, what, ..]: [Arg; 5]) -> Answer {
    Ok(ring(exec, map)?.query(what.value))
}
