// SPDX-License-Identifier: MIT OR Apache-2.0
//! From an [`Object`] to maps and programs of any [`Bpf`]: what libbpf's `bpf_object__load` does, in its order.

use skep_uapi::{Bpf, Errno, MapCreate, MapType, ProgLoad, limits};

use crate::{MapSpec, Object, Program, Slot};

/// What could not be created, and what the backend said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The map could not be created.
    #[error("map `{name}`: BPF_MAP_CREATE: {errno}")]
    MapCreate {
        /// Name of the map.
        name: String,
        /// What the call returned.
        errno: Errno,
    },
    /// An initial element could not be written.
    #[error("map `{name}`: initial contents: BPF_MAP_UPDATE_ELEM: {errno}")]
    MapInit {
        /// Name of the map.
        name: String,
        /// What the call returned.
        errno: Errno,
    },
    /// BTF was refused.
    #[error("BPF_BTF_LOAD: {errno}{log}")]
    Btf {
        /// What the call returned.
        errno: Errno,
        /// The kernel's log, after a line break.
        log: String,
    },
    /// A slot names a program or map that is not there.
    #[error("map `{name}`: slot {slot} refers to `{target}`, which was not loaded")]
    Slot {
        /// Name of the map.
        name: String,
        /// Index of the slot.
        slot: u32,
        /// What it refers to.
        target: String,
    },
}

/// The part of a name that the kernel takes: 15 bytes, letters, digits, `_` and `.`, as libbpf cuts it.
#[must_use]
pub fn kernel_name(name: &str) -> String {
    name.chars()
        .take(limits::BPF_OBJ_NAME_LEN - 1)
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' })
        .collect()
}

/// Loads BTF where there is some.
///
/// # Errors
/// [`LoadError::Btf`].
pub fn load_btf<B: Bpf>(bpf: &B, btf: Option<&[u8]>) -> Result<Option<B::Fd>, LoadError> {
    let Some(btf) = btf else { return Ok(None) };
    let mut log = String::new();
    match bpf.btf_load(btf, &mut log) {
        Ok(fd) => Ok(Some(fd)),
        Err(errno) => {
            let log = if log.is_empty() { log } else { format!("\n{}", log.trim_end()) };
            Err(LoadError::Btf { errno, log })
        }
    }
}

/// Creates one map, its inner map first, without contents. `btf` is the object's.
///
/// # Errors
/// [`LoadError`] of the first step that failed.
pub fn create_map<B: Bpf>(bpf: &B, spec: &MapSpec, btf: Option<&B::Fd>) -> Result<B::Fd, LoadError> {
    let inner = spec.inner.as_deref().map(|s| create_map(bpf, s, btf)).transpose()?;
    let own_btf = load_btf(bpf, spec.btf.as_deref())?;
    let typed = spec.btf_key != 0 || spec.btf_value != 0;
    bpf.map_create(&MapCreate {
        map_type: spec.map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        map_name: &kernel_name(&spec.name),
        map_extra: spec.map_extra,
        numa_node: spec.numa_node,
        inner_map: inner.as_ref(),
        btf: if typed { own_btf.as_ref().or(btf) } else { None },
        btf_key_type_id: if typed { spec.btf_key } else { 0 },
        btf_value_type_id: if typed { spec.btf_value } else { 0 },
    })
    .map_err(|errno| LoadError::MapCreate { name: spec.name.clone(), errno })
}

/// Whether values of this map type are one value for each possible CPU.
#[must_use]
pub fn is_per_cpu(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::PERCPU_HASH
            | MapType::PERCPU_ARRAY
            | MapType::LRU_PERCPU_HASH
            | MapType::PERCPU_CGROUP_STORAGE
    )
}

/// Writes the initial contents of a map, its map slots, and freezes it where asked. Program slots wait for
/// [`fill_program_slots`].
///
/// # Errors
/// [`LoadError`] of the first step that failed.
pub fn fill_map<B: Bpf>(bpf: &B, spec: &MapSpec, fd: &B::Fd, maps: &[B::Fd]) -> Result<(), LoadError> {
    let fail = |errno| LoadError::MapInit { name: spec.name.clone(), errno };
    for (key, value) in &spec.entries {
        if is_per_cpu(spec.map_type) {
            let mut one = value.clone();
            one.resize(value.len().next_multiple_of(8), 0);
            bpf.map_update_elem(fd, key, &one.repeat(bpf.possible_cpus()), 0).map_err(fail)?;
        } else {
            bpf.map_update_elem(fd, key, value, 0).map_err(fail)?;
        }
    }
    for (slot, content) in &spec.slots {
        if let Slot::Map(index) = content {
            let inner = maps.get(*index).ok_or_else(|| LoadError::Slot {
                name: spec.name.clone(),
                slot: *slot,
                target: format!("map {index}"),
            })?;
            let value = bpf.raw_fd(inner).to_le_bytes();
            bpf.map_update_elem(fd, &slot_key(spec, *slot), &value, 0).map_err(fail)?;
        }
    }
    if spec.frozen {
        bpf.map_freeze(fd).map_err(fail)?;
    }
    Ok(())
}

fn slot_key(spec: &MapSpec, slot: u32) -> Vec<u8> {
    let mut key = slot.to_le_bytes().to_vec();
    key.resize(spec.key_size as usize, 0);
    key
}

/// Creates and fills all maps of an object, in order.
///
/// # Errors
/// [`LoadError`] of the first step that failed.
pub fn create_maps<B: Bpf>(bpf: &B, specs: &[MapSpec], btf: Option<&B::Fd>) -> Result<Vec<B::Fd>, LoadError> {
    let maps = specs.iter().map(|s| create_map(bpf, s, btf)).collect::<Result<Vec<_>, _>>()?;
    for (spec, fd) in specs.iter().zip(&maps) {
        fill_map(bpf, spec, fd, &maps)?;
    }
    Ok(maps)
}

/// Loads one program against maps that exist. The log lands in `log`, whatever the answer.
///
/// # Errors
/// The errno of `BPF_PROG_LOAD`.
pub fn load_program<B: Bpf>(
    bpf: &B,
    program: &Program,
    maps: &[B::Fd],
    btf: Option<&B::Fd>,
    log_level: u32,
    log: &mut String,
) -> Result<B::Fd, Errno> {
    let fd_array: Vec<&B::Fd> = maps.iter().collect();
    bpf.prog_load(
        &ProgLoad {
            prog_type: program.prog_type,
            expected_attach_type: program.expected_attach_type,
            insns: &program.insns,
            license: &program.license,
            prog_name: &kernel_name(&program.name),
            prog_flags: program.prog_flags,
            kern_version: program.kern_version,
            fd_array: &fd_array,
            prog_btf: btf,
            func_info: program.func_info.records(),
            line_info: program.line_info.records(),
            core_relos: program.core_relos.records(),
            attach_btf_id: program.attach_btf_id,
            attach_prog: None,
            log_level,
        },
        log,
    )
}

/// Puts loaded programs into the slots of program arrays that the object asks for.
///
/// # Errors
/// [`LoadError`] of the first slot that failed.
pub fn fill_program_slots<'a, B: Bpf>(
    bpf: &B,
    object: &Object,
    maps: &[B::Fd],
    find: impl Fn(&str) -> Option<&'a B::Fd>,
) -> Result<(), LoadError>
where
    B::Fd: 'a,
{
    for (spec, fd) in object.maps.iter().zip(maps) {
        for (slot, content) in &spec.slots {
            let Slot::Program(name) = content else { continue };
            let prog = find(name).ok_or_else(|| LoadError::Slot {
                name: spec.name.clone(),
                slot: *slot,
                target: name.clone(),
            })?;
            let value = bpf.raw_fd(prog).to_le_bytes();
            bpf.map_update_elem(fd, &slot_key(spec, *slot), &value, 0)
                .map_err(|errno| LoadError::MapInit { name: spec.name.clone(), errno })?;
        }
    }
    Ok(())
}
