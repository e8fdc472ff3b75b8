// SPDX-License-Identifier: GPL-2.0-only
//! The maps that generated programs may use: one of every type that needs no kernel object, the same for all programs,
//! so that a kernel has to make them once.

use std::sync::Arc;

use skep_program::MapSpec;
use skep_program::btf::{Btf, Kind};
use skep_uapi::MapType;
use skep_uapi::flags::map_create::{BPF_F_NO_PREALLOC, BPF_F_RDONLY_PROG};

/// Names of the maps that are data sections in objects.
pub(crate) const DATA: &str = ".data";
pub(crate) const RODATA: &str = ".rodata";
/// Names of the maps whose values hold a lock, and a timer.
pub(crate) const LOCKED: &str = "locked";
pub(crate) const TIMERS: &str = "timers";
/// Bytes of a `bpf_spin_lock`.
const SPIN_LOCK: u32 = 4;
/// Bytes of a `bpf_timer`.
const TIMER: u32 = 16;

/// Strings for helpers that take formats and constant strings, and numbers behind them.
const CONSTANTS: &[u8] =
    b"%d %x\0\0%s\0\0\0\0\0\0a\0bcdef\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x80\x7f\xff\xff\xff\0\0\0\0skep\0\0\0\0";

/// A map, and what of its values programs must leave alone.
#[derive(Clone, Debug)]
pub(crate) struct PoolMap {
    pub spec: MapSpec,
    /// Bytes at the start of a value that hold a lock or timer.
    pub special: u32,
}

impl PoolMap {
    /// Whether programs may write its values.
    pub fn is_writable(&self) -> bool {
        self.spec.flags & BPF_F_RDONLY_PROG == 0
    }
}

fn map(name: &str, map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec { name: name.to_owned(), map_type, key_size, value_size, max_entries, ..MapSpec::default() }
}

/// Gives the values of a map a type: a structure that starts with the member named, numbers behind it.
fn typed(mut spec: MapSpec, member: Option<(&str, u32)>) -> MapSpec {
    let mut btf = Btf::default();
    let u32_type = btf.add_type(Kind::Int, "u32", 0, 4, &[32]);
    let u64_type = btf.add_type(Kind::Int, "u64", 0, 8, &[64]);
    let value = match member {
        None => u64_type,
        Some((name, size)) => {
            let (unit, count) = if size == SPIN_LOCK { (u32_type, 1) } else { (u64_type, size / 8) };
            let names = [btf.add_string("a"), btf.add_string("b")];
            let inner: Vec<u32> =
                (0..count).flat_map(|i| [names[i as usize % 2], unit, i * size / count * 8]).collect();
            let special = btf.add_type(Kind::Struct, name, count, size, &inner);
            let mut members = vec![btf.add_string("special"), special, 0];
            let first = size.div_ceil(8);
            for at in first..spec.value_size / 8 {
                members.extend([btf.add_string(&format!("n{at}")), u64_type, at * 64]);
            }
            let count = members.len() as u32 / 3;
            btf.add_type(Kind::Struct, "value", count, spec.value_size, &members)
        }
    };
    spec.btf = Some(Arc::from(btf.to_bytes()));
    spec.btf_key = u32_type;
    spec.btf_value = value;
    spec
}

/// All maps.
pub(crate) fn pool() -> Vec<PoolMap> {
    use MapType as M;
    let plain = |spec| PoolMap { spec, special: 0 };
    let inner = map("inner", M::ARRAY, 4, 16, 2);
    let of_maps = |spec| MapSpec { inner: Some(Box::new(inner.clone())), ..spec };
    let storage = |name, map_type| {
        plain(typed(MapSpec { flags: BPF_F_NO_PREALLOC, ..map(name, map_type, 4, 8, 0) }, None))
    };
    vec![
        plain(map("array", M::ARRAY, 4, 48, 4)),
        plain(map("hash", M::HASH, 8, 16, 8)),
        plain(map(DATA, M::ARRAY, 4, 256, 1)),
        plain(MapSpec {
            flags: BPF_F_RDONLY_PROG,
            entries: vec![(vec![0; 4], CONSTANTS.to_vec())],
            frozen: true,
            ..map(RODATA, M::ARRAY, 4, CONSTANTS.len() as u32, 1)
        }),
        PoolMap {
            spec: typed(map(LOCKED, M::ARRAY, 4, 32, 2), Some(("bpf_spin_lock", SPIN_LOCK))),
            special: SPIN_LOCK,
        },
        PoolMap { spec: typed(map(TIMERS, M::ARRAY, 4, 32, 2), Some(("bpf_timer", TIMER))), special: TIMER },
        plain(map("percpu_array", M::PERCPU_ARRAY, 4, 24, 2)),
        plain(map("percpu_hash", M::PERCPU_HASH, 4, 8, 4)),
        plain(map("lru", M::LRU_HASH, 4, 12, 16)),
        plain(map("percpu_lru", M::LRU_PERCPU_HASH, 4, 8, 16)),
        plain(MapSpec { flags: BPF_F_NO_PREALLOC, ..map("trie", M::LPM_TRIE, 8, 16, 4) }),
        plain(map("queue", M::QUEUE, 0, 8, 4)),
        plain(map("stack", M::STACK, 0, 16, 4)),
        plain(map("bloom", M::BLOOM_FILTER, 0, 8, 16)),
        plain(map("programs", M::PROG_ARRAY, 4, 4, 4)),
        plain(map("events", M::PERF_EVENT_ARRAY, 4, 4, 2)),
        plain(map("ring", M::RINGBUF, 0, 0, 4096)),
        plain(map("user_ring", M::USER_RINGBUF, 0, 0, 4096)),
        plain(map("stacks", M::STACK_TRACE, 4, 80, 16)),
        plain(map("cgroups", M::CGROUP_ARRAY, 4, 4, 1)),
        plain(of_maps(map("array_of_maps", M::ARRAY_OF_MAPS, 4, 4, 2))),
        plain(of_maps(map("hash_of_maps", M::HASH_OF_MAPS, 4, 4, 2))),
        plain(map("devices", M::DEVMAP, 4, 4, 2)),
        plain(map("device_hash", M::DEVMAP_HASH, 4, 8, 2)),
        plain(map("cpus", M::CPUMAP, 4, 4, 1)),
        plain(map("xsks", M::XSKMAP, 4, 4, 2)),
        plain(map("socks", M::SOCKMAP, 4, 4, 2)),
        plain(map("sock_hash", M::SOCKHASH, 4, 4, 2)),
        plain(map("reuseport", M::REUSEPORT_SOCKARRAY, 4, 4, 2)),
        plain(map("cgroup_storage", M::CGROUP_STORAGE, 16, 8, 0)),
        plain(map("percpu_storage", M::PERCPU_CGROUP_STORAGE, 16, 8, 0)),
        storage("sk_storage", M::SK_STORAGE),
        storage("task_storage", M::TASK_STORAGE),
        storage("cgrp_storage", M::CGRP_STORAGE),
    ]
}
