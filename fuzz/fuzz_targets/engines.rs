// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a program with maps of some kinds on flat memory: the JIT gives what the interpreter gives, and the
//! process goes on.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use skep_compare::engines_differ;
use skep_program::{MapSpec, Object, Program, Slot, insns_from_bytes};
use skep_uapi::MapType;
use skep_vm::Input;

fn maps() -> Vec<MapSpec> {
    let kinds = [
        (MapType::ARRAY, 4, 8, 0),
        (MapType::HASH, 8, 16, 0),
        (MapType::LRU_HASH, 4, 8, 0),
        (MapType::PERCPU_ARRAY, 4, 8, 0),
        (MapType::PROG_ARRAY, 4, 4, 0),
        (MapType::QUEUE, 0, 8, 0),
        (MapType::RINGBUF, 0, 0, 4096),
    ];
    let spec = |(map_type, key_size, value_size, entries)| MapSpec {
        name: "m".to_owned(),
        map_type,
        key_size,
        value_size,
        max_entries: if entries == 0 { 4 } else { entries },
        slots: if map_type == MapType::PROG_ARRAY { vec![(1, Slot::Program("fuzz".to_owned()))] } else { Vec::new() },
        ..MapSpec::default()
    };
    kinds.into_iter().map(spec).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let whole = &bytes[..bytes.len() / 8 * 8];
    let Ok(insns) = insns_from_bytes(whole) else { return };
    let maps = Arc::new(maps());
    let object = Object::single(Program { name: "fuzz".to_owned(), insns, maps, ..Program::default() });
    let difference = engines_differ(&object, Input::Mem(&[0x5a; 64]), 10_000);
    assert!(difference.is_none(), "{}", difference.unwrap_or_default());
});
