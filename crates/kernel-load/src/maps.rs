// SPDX-License-Identifier: MIT OR Apache-2.0
//! Creates maps as libbpf does (`bpf_object__create_map`), so that objects which rely on it load here too.

use skep_program::{MapSpec, load};
use skep_uapi::Bpf;

use crate::sys::page_size;
use load::LoadError;

/// Creates one map as libbpf does: adjusted, and again without key and value types where they are refused.
fn create_map<B: Bpf>(bpf: &B, spec: &MapSpec, btf: Option<&B::Fd>) -> Result<B::Fd, LoadError> {
    let mut spec = spec.adjusted(bpf.possible_cpus(), page_size());
    match load::create_map(bpf, &spec, btf) {
        Err(LoadError::MapCreate { .. }) if spec.btf_key != 0 || spec.btf_value != 0 => {
            spec.remove_types();
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
