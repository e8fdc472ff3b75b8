// SPDX-License-Identifier: MIT OR Apache-2.0
//! Creates maps of every type with sizes and flags around those that the table allows, here and in the running
//! kernel, and compares what is said.

mod common;

use common::{Fd, Map, kernel_answers, kernel_is_6_18, map_create};
use skep_uapi::map_rules::{all, check_create};
use skep_uapi::{Errno, MapCreate, MapType};

/// Sizes of keys that some type allows, and their neighbours.
const KEYS: &[u32] = &[0, 1, 3, 4, 5, 8, 12, 16, 260, 261, 512, 513];
/// Sizes of values that some type allows, and their neighbours.
const VALUES: &[u32] = &[
    0,
    1,
    4,
    7,
    8,
    12,
    16,
    1016,
    1024,
    127 * 32,
    128 * 32,
    32 << 10,
    (32 << 10) + 1,
    65407,
    65408,
    (4 << 20) - 280,
    (4 << 20) - 279,
    (4 << 20) - 52,
    (4 << 20) + 1,
];
/// Numbers of entries; small ones, for the kernel allocates them.
const ENTRIES: &[u32] = &[0, 1, 3, 4096, 6144];

/// A value in each dimension that every rule of the type takes, so that others can be tried one at a time.
fn base(map_type: MapType) -> Map {
    let row = all().iter().find(|row| row.map_type == map_type).expect("a row for each type");
    for &key_size in KEYS {
        for &value_size in VALUES {
            for &max_entries in ENTRIES {
                for flags in [0, 1, 1 << 10] {
                    let map =
                        Map { map_type, key_size, value_size, max_entries, flags, inner: None, extra: 0 };
                    if !matches!(verdict(&map), Err(errno) if errno != Errno::EBADF) {
                        return map;
                    }
                }
            }
        }
    }
    // Types that want BTF, which these attributes do not have, are refused whatever their sizes.
    Map {
        map_type: row.map_type,
        key_size: 4,
        value_size: 4,
        max_entries: 0,
        flags: 1,
        inner: None,
        extra: 0,
    }
}

/// What the table says of the attributes.
fn verdict(map: &Map) -> Result<(), Errno> {
    check_create::<u32>(&MapCreate {
        map_type: map.map_type,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        map_flags: map.flags,
        map_name: "",
        map_extra: map.extra,
        numa_node: 0,
        inner_map: map.inner.as_ref(),
        btf: None,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
    })
}

/// The attributes to try: the base with one dimension, or two flags, changed.
fn variants(map_type: MapType, inner: u32) -> Vec<Map> {
    let base = base(map_type);
    let base =
        Map { inner: verdict(&base).is_err_and(|errno| errno == Errno::EBADF).then_some(inner), ..base };
    let mut maps = vec![base, Map { inner: None, ..base }];
    maps.extend(KEYS.iter().map(|&key_size| Map { key_size, ..base }));
    maps.extend(VALUES.iter().map(|&value_size| Map { value_size, ..base }));
    maps.extend(ENTRIES.iter().map(|&max_entries| Map { max_entries, ..base }));
    maps.extend([1, 15, 16, 4096].map(|extra| Map { extra, ..base }));
    // Bits 15 and 16 say that a descriptor follows, and 16 is no property of the map.
    let bits: Vec<u32> = (0..19).filter(|bit| !matches!(bit, 15 | 16)).map(|bit| 1 << bit).collect();
    for &one in &bits {
        maps.push(Map { flags: one, ..base });
        maps.push(Map { flags: one | base.flags, ..base });
        maps.extend(bits.iter().map(|&two| Map { flags: one | two, ..base }));
    }
    maps
}

#[test]
fn map_create_refuses_what_the_running_kernel_refuses() {
    let count = all().len() * variants(MapType::HASH, 0).len();
    if !kernel_is_6_18(count) || !kernel_answers(count) {
        return;
    }
    let inner = map_create(&Map {
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        flags: 0,
        inner: None,
        extra: 0,
    })
    .expect("an array");
    let (mut checked, mut absent, mut wrong) = (0, 0, Vec::new());
    for row in all() {
        let maps = variants(row.map_type, inner.number());
        let answers: Vec<Result<Fd, i32>> = maps.iter().map(map_create).collect();
        let ours: Vec<Result<(), Errno>> = maps.iter().map(verdict).collect();
        let never = answers.iter().all(|a| matches!(a, Err(e) if *e == Errno::EINVAL.0));
        if never && ours.iter().any(Result::is_ok) {
            println!("SKIP: {}: this kernel makes none, or wants more than these attributes", row.map_type);
            absent += maps.len();
            continue;
        }
        for ((map, answer), ours) in maps.iter().zip(&answers).zip(ours) {
            checked += 1;
            let kernel = answer.as_ref().map(|_| ()).map_err(|&errno| Errno(errno));
            // How many processors the kernel was built for is no rule of ours.
            let too_many =
                map.map_type == MapType::CPUMAP && kernel == Err(Errno::E2BIG) && map.max_entries > 64;
            if kernel != ours && kernel != Err(Errno::ENOMEM) && !too_many {
                wrong.push(format!("{map:?}: ours {ours:?}, kernel {kernel:?}"));
            }
        }
    }
    println!("map_create: {checked} checked, SKIP: {absent} of types that this kernel does not make");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
