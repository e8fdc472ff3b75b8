// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which maps cannot be made: those that the kernel refuses (`skep_uapi::map_rules`), and the types that are not
//! emulated.

use skep_program::MapSpec;
use skep_uapi::map_rules::check_create;
use skep_uapi::{Errno, MapCreate, MapType};

/// Types that are emulated.
const EMULATED: &[MapType] = &[
    MapType::HASH,
    MapType::ARRAY,
    MapType::PROG_ARRAY,
    MapType::PERF_EVENT_ARRAY,
    MapType::PERCPU_HASH,
    MapType::PERCPU_ARRAY,
    MapType::LRU_HASH,
    MapType::LRU_PERCPU_HASH,
    MapType::LPM_TRIE,
    MapType::ARRAY_OF_MAPS,
    MapType::HASH_OF_MAPS,
    MapType::QUEUE,
    MapType::STACK,
    MapType::RINGBUF,
];

/// Both ways of refusing: the kernel's, or a type that is not emulated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Errno(Errno),
    Unsupported,
}

/// Says what the kernel would say to these attributes.
pub(super) fn check(spec: &MapSpec) -> Result<(), Refusal> {
    if !EMULATED.contains(&spec.map_type) {
        return Err(Refusal::Unsupported);
    }
    check_create(&MapCreate {
        map_type: spec.map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        map_name: "",
        map_extra: spec.map_extra,
        numa_node: spec.numa_node,
        inner_map: spec.inner.as_ref().map(|_| &()),
        btf: None,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
    })
    .map_err(Refusal::Errno)
}
