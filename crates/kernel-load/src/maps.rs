// SPDX-License-Identifier: MIT OR Apache-2.0
//! What libbpf changes about a map before it creates it (`bpf_object__create_map`, `adjust_ringbuf_sz`,
//! `map_set_def_max_entries`), so that objects which rely on it load here too.

use skep_program::{MapSpec, load};
use skep_uapi::{Bpf, MapType};

use crate::sys::page_size;
use load::LoadError;

/// Map types for which the kernel refuses key and value types.
const WITHOUT_TYPES: [MapType; 12] = [
    MapType::PERF_EVENT_ARRAY,
    MapType::CGROUP_ARRAY,
    MapType::STACK_TRACE,
    MapType::ARRAY_OF_MAPS,
    MapType::HASH_OF_MAPS,
    MapType::DEVMAP,
    MapType::DEVMAP_HASH,
    MapType::CPUMAP,
    MapType::XSKMAP,
    MapType::SOCKMAP,
    MapType::SOCKHASH,
    MapType::ARENA,
];

/// The map as libbpf would ask for it on a machine of `cpus` possible CPUs and pages of `page` bytes.
fn adjusted(spec: &MapSpec, cpus: usize, page: u32) -> MapSpec {
    let mut spec = spec.clone();
    match spec.map_type {
        MapType::PERF_EVENT_ARRAY if spec.max_entries == 0 => {
            spec.max_entries = u32::try_from(cpus).unwrap_or(u32::MAX);
        }
        MapType::RINGBUF | MapType::USER_RINGBUF => spec.max_entries = ring_size(spec.max_entries, page),
        _ => {}
    }
    if WITHOUT_TYPES.contains(&spec.map_type) {
        untyped(&mut spec);
    }
    if let Some(inner) = &mut spec.inner {
        **inner = adjusted(inner, cpus, page);
    }
    spec
}

/// The next power of two that is also a multiple of the page size; 0 and what has no such size stay.
fn ring_size(size: u32, page: u32) -> u32 {
    if size == 0 { 0 } else { size.max(page).checked_next_power_of_two().unwrap_or(size) }
}

fn untyped(spec: &mut MapSpec) {
    spec.btf = None;
    spec.btf_key = 0;
    spec.btf_value = 0;
}

/// Creates one map as libbpf does: adjusted, and again without key and value types where they are refused.
fn create_map<B: Bpf>(bpf: &B, spec: &MapSpec, btf: Option<&B::Fd>) -> Result<B::Fd, LoadError> {
    let mut spec = adjusted(spec, bpf.possible_cpus(), page_size());
    match load::create_map(bpf, &spec, btf) {
        Err(LoadError::MapCreate { .. }) if spec.btf_key != 0 || spec.btf_value != 0 => {
            untyped(&mut spec);
            load::create_map(bpf, &spec, btf)
        }
        answer => answer,
    }
}

/// Creates and fills maps, in order.
///
/// # Errors
/// [`LoadError`] of the first step that failed.
pub fn create_maps<B: Bpf>(bpf: &B, specs: &[MapSpec], btf: Option<&B::Fd>) -> Result<Vec<B::Fd>, LoadError> {
    let maps = specs.iter().map(|spec| create_map(bpf, spec, btf)).collect::<Result<Vec<_>, _>>()?;
    for (spec, fd) in specs.iter().zip(&maps) {
        load::fill_map(bpf, spec, fd, &maps)?;
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_libbpf_makes_them() {
        assert_eq!(ring_size(1, 4096), 4096);
        assert_eq!(ring_size(4097, 4096), 8192);
        assert_eq!(ring_size(0, 4096), 0);
        assert_eq!(ring_size(u32::MAX, 4096), u32::MAX);
        let perf = MapSpec { map_type: MapType::PERF_EVENT_ARRAY, btf_key: 3, ..MapSpec::default() };
        let perf = adjusted(&perf, 4, 4096);
        assert_eq!((perf.max_entries, perf.btf_key), (4, 0));
    }
}
