// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contents of maps, read the same way from every backend.

use std::collections::BTreeMap;

use skep_program::MapSpec;
use skep_program::load::is_per_cpu;
use skep_uapi::{Bpf, Errno, MapType};

/// The elements of a map by key; the values of a per-cpu map one after another, each padded to 8 bytes.
pub type Elements = BTreeMap<Vec<u8>, Vec<u8>>;

/// Why user space cannot read maps of some types, or cannot compare what it reads.
const UNREADABLE: &[(MapType, &str)] = &[
    (MapType::RINGBUF, "records of a ring buffer are read through its memory mapping"),
    (MapType::USER_RINGBUF, "records of a ring buffer are read through its memory mapping"),
    (MapType::PERF_EVENT_ARRAY, "perf events are read through their memory mapping"),
    (MapType::PROG_ARRAY, "program arrays give program ids, which differ by nature"),
    (MapType::ARRAY_OF_MAPS, "maps of maps give map ids, which differ by nature"),
    (MapType::HASH_OF_MAPS, "maps of maps give map ids, which differ by nature"),
    (MapType::STACK_TRACE, "stack traces hold addresses of the kernel"),
    (MapType::ARENA, "arenas are read through their memory mapping"),
    (MapType::BLOOM_FILTER, "bloom filters cannot be listed"),
    (MapType::CGROUP_ARRAY, "cgroup arrays cannot be read"),
];

/// Why maps of this type are not compared.
#[must_use]
pub fn unreadable(map_type: MapType) -> Option<&'static str> {
    UNREADABLE.iter().find(|(t, _)| *t == map_type).map(|(_, why)| *why)
}

/// Reads all elements with `next_key` and `lookup`; queues and stacks show their head, under the empty key.
///
/// # Errors
/// The errno of the call that failed, other than the end of the keys.
pub fn elements(
    keyless: bool,
    next_key: impl Fn(Option<&[u8]>) -> Result<Vec<u8>, Errno>,
    lookup: impl Fn(&[u8]) -> Result<Vec<u8>, Errno>,
) -> Result<Elements, Errno> {
    let mut elements = Elements::new();
    if keyless {
        match lookup(&[]) {
            Ok(value) => drop(elements.insert(Vec::new(), value)),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        return Ok(elements);
    }
    let mut key = next_key(None);
    loop {
        match key {
            Ok(at) => {
                match lookup(&at) {
                    Ok(value) => {
                        // A key seen twice: the listing has started over.
                        if elements.insert(at.clone(), value).is_some() {
                            return Ok(elements);
                        }
                    }
                    Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(errno),
                }
                key = next_key(Some(&at));
            }
            Err(Errno::ENOENT) => return Ok(elements),
            Err(errno) => return Err(errno),
        }
    }
}

/// Elements of a map behind a [`Bpf`].
///
/// # Errors
/// The errno of the call that failed.
pub fn read<B: Bpf>(bpf: &B, spec: &MapSpec, map: &B::Fd) -> Result<Elements, Errno> {
    let value_size = spec.value_size as usize;
    let value_size = match is_per_cpu(spec.map_type) {
        true => value_size.next_multiple_of(8) * bpf.possible_cpus(),
        false => value_size,
    };
    let next_key = |key: Option<&[u8]>| {
        let mut next = vec![0; spec.key_size as usize];
        bpf.map_get_next_key(map, key, &mut next).map(|()| next)
    };
    let lookup = |key: &[u8]| {
        let mut value = vec![0; value_size];
        bpf.map_lookup_elem(map, key, &mut value, 0).map(|()| value)
    };
    elements(spec.key_size == 0, next_key, lookup)
}
