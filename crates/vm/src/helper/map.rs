// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that work on elements of maps.

use skep_uapi::Errno;

use super::arg::{Answer, Arg, Stop};
use crate::interp::Exec;
use crate::map::Map;

/// Reads the key of a map's element into `exec.key`.
#[inline]
fn read_key(exec: &mut Exec<'_>, map: &Map, key: Arg) -> Result<(), Stop> {
    exec.key.resize(map.key_size() as usize, 0);
    key.read(exec.memory(), &mut exec.key)
}

/// Reads a value of a map into `exec.value`.
fn read_value(exec: &mut Exec<'_>, map: &Map, value: Arg) -> Result<(), Stop> {
    exec.value.resize(map.value_size() as usize, 0);
    value.read(exec.memory(), &mut exec.value)
}

/// The address of the value, or 0; of a map of maps, the inner map.
pub(super) fn lookup_elem(exec: &mut Exec<'_>, [map, key, ..]: [Arg; 5]) -> Answer {
    let map = map.map(exec)?;
    read_key(exec, map, key)?;
    Ok(map.find(&exec.key, exec.cpu).map_or(0, u64::from))
}

/// The same for the value of another CPU.
pub(super) fn lookup_percpu_elem(exec: &mut Exec<'_>, [arg, key, cpu, ..]: [Arg; 5]) -> Answer {
    let map = arg.map(exec)?;
    if !map.is_per_cpu() {
        return Err(arg.wrong_map(map));
    }
    read_key(exec, map, key)?;
    if cpu.low() >= exec.machine.config().cpus.max(1) {
        return Ok(0);
    }
    Ok(map.find(&exec.key, cpu.low()).map_or(0, u64::from))
}

pub(super) fn update_elem(exec: &mut Exec<'_>, [map, key, value, flags, _]: [Arg; 5]) -> Answer {
    let map = map.map(exec)?;
    read_key(exec, map, key)?;
    read_value(exec, map, value)?;
    map.program_update(&exec.key, &exec.value, flags.value, exec.cpu)?;
    Ok(0)
}

pub(super) fn delete_elem(exec: &mut Exec<'_>, [map, key, ..]: [Arg; 5]) -> Answer {
    let map = map.map(exec)?;
    read_key(exec, map, key)?;
    map.program_delete(&exec.key)?;
    Ok(0)
}

pub(super) fn push_elem(exec: &mut Exec<'_>, [arg, value, flags, ..]: [Arg; 5]) -> Answer {
    let map = arg.map(exec)?;
    let queue = map.as_queue().ok_or_else(|| arg.wrong_map(map))?;
    read_value(exec, map, value)?;
    queue.push(&exec.value, flags.value)?;
    Ok(0)
}

pub(super) fn pop_elem(exec: &mut Exec<'_>, [arg, value, ..]: [Arg; 5]) -> Answer {
    let map = arg.map(exec)?;
    let queue = map.as_queue().ok_or_else(|| arg.wrong_map(map))?;
    value.check_writable(exec, u64::from(map.value_size()))?;
    take(exec, map, value, queue.pop())
}

pub(super) fn peek_elem(exec: &mut Exec<'_>, [arg, value, ..]: [Arg; 5]) -> Answer {
    let map = arg.map(exec)?;
    let queue = map.as_queue().ok_or_else(|| arg.wrong_map(map))?;
    take(exec, map, value, queue.peek())
}

/// Hands a value over; there being none, zeros (`__queue_map_get`).
fn take(exec: &Exec<'_>, map: &Map, to: Arg, value: Result<Vec<u8>, Errno>) -> Answer {
    match value {
        Ok(value) => {
            to.write(exec, &value)?;
            Ok(0)
        }
        Err(errno) => {
            to.zero(exec, u64::from(map.value_size()))?;
            Err(errno.into())
        }
    }
}
