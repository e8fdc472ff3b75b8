// SPDX-License-Identifier: MIT OR Apache-2.0
//! BTF-defined maps: a variable of `.maps` is a structure whose members are attributes, numbers being encoded as
//! the length of an array behind a pointer (libbpf's `parse_btf_map_def`, `bpf_object__init_user_btf_map`).

use skep_program::btf::{Array, Btf, Kind, Linkage, Member, Type, VarSecinfo};
use skep_program::{MapSpec, Pinning};
use skep_uapi::MapType;

/// Bytes of a page, for ring buffers.
const PAGE: u32 = 4096;

/// Most members of a definition: far more than there are attributes.
const MAX_ATTRIBUTES: usize = 64;

/// A number: `int (*name)[N]`.
fn number(btf: &Btf, m: &Member<'_>) -> Result<u32, String> {
    let pointer = btf.skip_modifiers(m.ty).filter(|t| t.kind() == Kind::Ptr);
    pointer
        .and_then(|p| btf.get(p.size_or_type()))
        .and_then(|t| t.array())
        .map(|a| a.nelems)
        .ok_or_else(|| format!("`{}` is no number; write it with __uint()", m.name))
}

/// A number of up to 64 bits: as [`number`], or an enumeration of one value (`__ulong`).
fn long(btf: &Btf, m: &Member<'_>) -> Result<u64, String> {
    let Some(t) = btf.skip_modifiers(m.ty).filter(|t| matches!(t.kind(), Kind::Enum | Kind::Enum64)) else {
        return number(btf, m).map(u64::from);
    };
    match (t.enum_values().next(), t.vlen()) {
        // libbpf takes the 32-bit value of a plain enumeration as signed, whatever its type says.
        (Some(e), 1) if t.kind() == Kind::Enum => Ok(i64::from(e.value as i32) as u64),
        (Some(e), 1) => Ok(e.value),
        _ => Err(format!("`{}` is no number; write it with __ulong()", m.name)),
    }
}

/// A type behind a pointer with its size: `type *name`.
fn sized_type(btf: &Btf, m: &Member<'_>) -> Result<(u32, u32), String> {
    let id = btf
        .get(m.ty)
        .filter(|t| t.kind() == Kind::Ptr)
        .map(|t| t.size_or_type())
        .ok_or_else(|| format!("`{}` is no type; write it with __type()", m.name))?;
    let size = btf.size_of(id).ok_or_else(|| format!("the type of `{}` has no size", m.name))?;
    Ok((id, size))
}

/// Sets a size that may have been set before, but then to the same.
fn agree(size: &mut u32, new: u32, what: &str) -> Result<(), String> {
    if *size != 0 && *size != new {
        return Err(format!("{what} size is {size} by one attribute and {new} by another"));
    }
    *size = new;
    Ok(())
}

/// Bytes of a ring buffer as libbpf rounds them: a page times a power of two (`adjust_ringbuf_sz`).
fn ring_size(size: u32) -> u32 {
    if size == 0 || (size.is_multiple_of(PAGE) && (size / PAGE).is_power_of_two()) {
        return size;
    }
    std::iter::successors(Some(PAGE), |n| n.checked_mul(2)).find(|&n| n > size).unwrap_or(size)
}

/// Reads the attributes of a definition. `outer` is false for the definition of an inner map.
fn attributes(btf: &Btf, def: &Type<'_>, name: &str, outer: bool) -> Result<MapSpec, String> {
    let mut spec = MapSpec { name: name.to_owned(), ..MapSpec::default() };
    let count = def.vlen();
    if count > MAX_ATTRIBUTES {
        return Err(format!("has {count} attributes"));
    }
    for (i, m) in def.members().enumerate() {
        match m.name {
            "type" => spec.map_type = MapType(number(btf, &m)?),
            "max_entries" => spec.max_entries = number(btf, &m)?,
            "map_flags" => spec.flags = number(btf, &m)?,
            "numa_node" => spec.numa_node = number(btf, &m)?,
            "map_extra" => spec.map_extra = long(btf, &m)?,
            "key_size" => agree(&mut spec.key_size, number(btf, &m)?, "key")?,
            "value_size" => agree(&mut spec.value_size, number(btf, &m)?, "value")?,
            "key" => {
                let (id, size) = sized_type(btf, &m)?;
                agree(&mut spec.key_size, size, "key")?;
                spec.btf_key = id;
            }
            "value" => {
                let (id, size) = sized_type(btf, &m)?;
                agree(&mut spec.value_size, size, "value")?;
                spec.btf_value = id;
            }
            "pinning" if outer => {
                spec.pinning = match number(btf, &m)? {
                    0 => Pinning::None,
                    1 => Pinning::ByName,
                    n => {
                        return Err(format!(
                            "pinning {n} is unknown; LIBBPF_PIN_NONE and LIBBPF_PIN_BY_NAME are known"
                        ));
                    }
                }
            }
            "pinning" => return Err("an inner map cannot be pinned".to_owned()),
            "values" if !outer => return Err("maps of maps of maps do not exist".to_owned()),
            "values" if i + 1 != count => return Err("`values` must be the last attribute".to_owned()),
            "values" => values(btf, &m, &mut spec)?,
            other => return Err(format!("unknown attribute `{other}`")),
        }
    }
    if spec.map_type == MapType::UNSPEC {
        return Err("has no `type`".to_owned());
    }
    if matches!(spec.map_type, MapType::RINGBUF | MapType::USER_RINGBUF) {
        spec.max_entries = ring_size(spec.max_entries);
    }
    if keeps_no_types(spec.map_type) {
        (spec.btf_key, spec.btf_value) = (0, 0);
    }
    Ok(spec)
}

/// `values`: what the slots of a map of maps or program array hold.
fn values(btf: &Btf, m: &Member<'_>, spec: &mut MapSpec) -> Result<(), String> {
    let of_maps = matches!(spec.map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    if !of_maps && spec.map_type != MapType::PROG_ARRAY {
        return Err(format!("`values` is for maps of maps and program arrays, not for {}", spec.map_type));
    }
    agree(&mut spec.value_size, 4, "value")?;
    let element = match btf.get(m.ty).and_then(|t| t.array()) {
        Some(Array { elem, nelems: 0, .. }) => elem,
        _ => return Err("`values` is no array of length 0; write it with __array()".to_owned()),
    };
    let target = btf
        .skip_modifiers(element)
        .filter(|t| t.kind() == Kind::Ptr)
        .and_then(|t| btf.skip_modifiers(t.size_or_type()));
    match target {
        Some(t) if of_maps && t.kind() == Kind::Struct => {
            spec.inner = Some(Box::new(attributes(btf, &t, &format!("{}.inner", spec.name), false)?));
            Ok(())
        }
        Some(t) if !of_maps && t.kind() == Kind::FuncProto => Ok(()),
        _ if of_maps => Err("`values` of a map of maps are no map definitions".to_owned()),
        _ => Err("`values` of a program array are no functions".to_owned()),
    }
}

/// Map types for which libbpf passes no key and value types (`bpf_object__create_map`).
fn keeps_no_types(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::PERF_EVENT_ARRAY
            | MapType::CGROUP_ARRAY
            | MapType::STACK_TRACE
            | MapType::ARRAY_OF_MAPS
            | MapType::HASH_OF_MAPS
            | MapType::DEVMAP
            | MapType::DEVMAP_HASH
            | MapType::CPUMAP
            | MapType::XSKMAP
            | MapType::SOCKMAP
            | MapType::SOCKHASH
            | MapType::QUEUE
            | MapType::STACK
            | MapType::ARENA
    )
}

/// A variable of `.maps` as a map: its specification, and where its `values` start, in bytes from its own start.
///
/// `max_entries` of a perf event array may be 0, which loaders replace by the number of CPUs.
pub(crate) fn parse(btf: &Btf, v: &VarSecinfo, section_size: u64) -> Result<(MapSpec, Option<u32>), String> {
    let var = btf.get(v.ty).filter(|t| t.kind() == Kind::Var).ok_or("is no variable in BTF")?;
    if var.name().is_empty() {
        return Err("has no name".to_owned());
    }
    if u64::from(v.offset) + u64::from(v.size) > section_size {
        return Err(format!("{} bytes at {:#x} lie outside of the section", v.size, v.offset));
    }
    if var.linkage() != Some(Linkage::Global) {
        return Err("is static or extern; maps must be global variables of this object".to_owned());
    }
    let def = btf
        .skip_modifiers(var.size_or_type())
        .filter(|t| t.kind() == Kind::Struct)
        .ok_or("is no structure")?;
    if def.size_or_type() > v.size {
        return Err(format!("is a structure of {} bytes in a variable of {}", def.size_or_type(), v.size));
    }
    let spec = attributes(btf, &def, var.name(), true)?;
    let values = def.members().next_back().filter(|m| m.name == "values").map(|m| m.bit_offset / 8);
    Ok((spec, values))
}

#[cfg(test)]
mod tests {
    use super::ring_size;

    #[test]
    fn ring_buffers_are_rounded_as_libbpf_does() {
        for (wanted, given) in
            [(0, 0), (1, 4096), (4096, 4096), (4097, 8192), (12288, 16384), (u32::MAX, u32::MAX)]
        {
            assert_eq!(ring_size(wanted), given, "{wanted}");
        }
    }
}
