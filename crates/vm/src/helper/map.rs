// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that work on maps.

use skep_uapi::Errno;

use crate::interp::Exec;
use crate::trap::Trap;

/// What a helper that gives 0 or an error number returns.
fn status(result: Result<(), Errno>) -> u64 {
    match result {
        Ok(()) => 0,
        Err(errno) => errno.negative() as u64,
    }
}

/// `bpf_map_lookup_elem`: the address of the value, or 0.
pub(super) fn lookup_elem(exec: &mut Exec<'_>, [map, key, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = exec.map(map)?;
    exec.key.resize(map.key_size() as usize, 0);
    exec.memory().read_bytes(key, &mut exec.key)?;
    Ok(map.find(&exec.key, exec.cpu).map_or(0, u64::from))
}

/// `bpf_map_update_elem`.
pub(super) fn update_elem(exec: &mut Exec<'_>, [map, key, value, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let map = exec.map(map)?;
    exec.key.resize(map.key_size() as usize, 0);
    exec.memory().read_bytes(key, &mut exec.key)?;
    exec.value.resize(map.value_size() as usize, 0);
    exec.memory().read_bytes(value, &mut exec.value)?;
    Ok(status(map.program_update(&exec.key, &exec.value, flags, exec.cpu)))
}

/// `bpf_map_delete_elem`.
pub(super) fn delete_elem(exec: &mut Exec<'_>, [map, key, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = exec.map(map)?;
    exec.key.resize(map.key_size() as usize, 0);
    exec.memory().read_bytes(key, &mut exec.key)?;
    Ok(status(map.program_delete(&exec.key)))
}
