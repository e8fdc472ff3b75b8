// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs between the contents of two maps.

use skep_kernel_load::contents::Elements;
use skep_program::MapSpec;
use skep_program::load::is_per_cpu;

use crate::report::{Difference, Side, What};

/// A value as it is compared: those of a per-cpu map without order, since a program may run on any CPU.
fn side(spec: &MapSpec, value: Option<&Vec<u8>>) -> Side {
    let Some(value) = value else { return Side::Absent };
    if !is_per_cpu(spec.map_type) {
        return Side::Bytes(hex::encode(value));
    }
    let size = spec.value_size as usize;
    let each = value.chunks(size.next_multiple_of(8).max(8));
    let mut values: Vec<String> = each.map(|v| hex::encode(&v[..size.min(v.len())])).collect();
    values.sort_unstable();
    Side::PerCpu(values)
}

/// Whether two values are the same. Where the sides have different numbers of CPUs, each value of the smaller must
/// be found on the larger: what the other CPUs hold there says nothing.
fn same(a: &Side, b: &Side) -> bool {
    let (Side::PerCpu(a), Side::PerCpu(b)) = (a, b) else { return a == b };
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut many = many.iter();
    // Both are in ascending order.
    few.iter().all(|value| many.any(|other| other == value))
}

/// What differs between the elements of two maps, in order of keys.
pub(crate) fn differences(spec: &MapSpec, ours: &Elements, theirs: &Elements) -> Vec<Difference> {
    let mut keys: Vec<&Vec<u8>> = ours.keys().chain(theirs.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| {
            let (ours, theirs) = (side(spec, ours.get(key)), side(spec, theirs.get(key)));
            let what = What::MapElement { map: spec.name.clone(), key: hex::encode(key) };
            (!same(&ours, &theirs)).then_some(Difference { what, ours, theirs })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use skep_uapi::MapType;

    use super::*;

    #[test]
    fn values_of_cpus_have_no_order() {
        let spec = MapSpec { map_type: MapType::PERCPU_ARRAY, value_size: 4, ..MapSpec::default() };
        let elements = |values: &[u8]| {
            let value = values.iter().flat_map(|&v| [v, 0, 0, 0, 0xee, 0, 0, 0]).collect();
            Elements::from([(vec![0], value)])
        };
        let differ = |a: &[u8], b: &[u8]| !differences(&spec, &elements(a), &elements(b)).is_empty();
        assert!(!differ(&[5, 0], &[0, 5]));
        assert!(differ(&[5, 0], &[5, 5]));
        // One CPU against two, two against three.
        assert!(!differ(&[5], &[0, 5]) && !differ(&[7, 5, 5], &[5, 7]));
        assert!(differ(&[5], &[4, 6]) && differ(&[5, 5], &[0, 0, 5]));
    }
}
