// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs as cases: what `Case::parse` reads back.

use serde_json::{Value, json};
use skep_program::{BtfRef, BtfRefKind, MapSpec, Object, Slot};

use crate::report::{Failure, Result};

/// A program as one line of a case file.
pub fn case_json(object: &Object, index: usize) -> Result<Value> {
    let program = &object.programs[index];
    let maps = object.maps.iter().map(map_json).collect::<Result<Vec<_>>>()?;
    let mut case = json!({
        "id": program.name,
        "prog_type": program.prog_type.to_string(),
        "expected_attach_type": program.expected_attach_type.0,
        "prog_flags": program.prog_flags,
        "license": program.license,
        "insns": hex::encode(program.bytes()),
        "maps": maps,
    });
    let mut put = |field: &str, bytes: &[u8]| {
        if !bytes.is_empty() {
            case[field] = hex::encode(bytes).into();
        }
    };
    put("btf", program.btf.as_deref().unwrap_or_default());
    put("func_info", &program.func_info.bytes);
    put("line_info", &program.line_info.bytes);
    put("core_relos", &program.core_relos.bytes);
    if program.attach_btf_id != 0 {
        case["attach_btf_id"] = program.attach_btf_id.into();
    }
    if let Some(name) = &program.attach_name {
        case["attach_name"] = name.as_str().into();
    }
    if !program.btf_refs.is_empty() {
        let reference = |r: &BtfRef| {
            let kind = match r.kind {
                BtfRefKind::Kfunc => "kfunc",
                BtfRefKind::Ksym => "ksym",
            };
            json!({ "insn": r.insn, "kind": kind, "name": r.name })
        };
        case["btf_refs"] = program.btf_refs.iter().map(reference).collect();
    }
    Ok(case)
}

fn map_json(map: &MapSpec) -> Result<Value> {
    let mut json = json!({
        "name": map.name,
        "type": map.map_type.to_string(),
        "key_size": map.key_size,
        "value_size": map.value_size,
        "max_entries": map.max_entries,
        "flags": map.flags,
    });
    if map.map_extra != 0 {
        json["map_extra"] = map.map_extra.into();
    }
    if let Some(inner) = &map.inner {
        json["inner"] = map_json(inner)?;
    }
    if !map.entries.is_empty() {
        let entry = |(key, value): &(Vec<u8>, Vec<u8>)| json!({ "key": hex::encode(key), "value": hex::encode(value) });
        json["entries"] = map.entries.iter().map(entry).collect::<Vec<_>>().into();
    }
    if map.frozen {
        json["frozen"] = true.into();
    }
    if let Some(btf) = &map.btf {
        json["btf"] = hex::encode(btf).into();
    }
    if map.btf_key != 0 || map.btf_value != 0 {
        json["btf_key"] = map.btf_key.into();
        json["btf_value"] = map.btf_value.into();
    }
    let mut slots = Vec::new();
    for (slot, content) in &map.slots {
        match content {
            Slot::Map(index) => slots.push(json!({ "slot": slot, "map": index })),
            Slot::Program(name) => {
                let why =
                    format_args!("a case of one program whose map `{}` holds program `{name}`", map.name);
                return Err(Failure::unsupported(why));
            }
        }
    }
    if !slots.is_empty() {
        json["slots"] = slots.into();
    }
    Ok(json)
}
