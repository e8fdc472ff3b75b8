// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rows of [`super::MapRules`], and the limits of the kernel that they name.

use super::Number::{Either, In, Is, MultipleOf, PowerOfTwoPages, WholePages};
use super::Rule::{
    Addressable, Btf, Entries, Extra, Flags, Inner, Key, KeyAndValue, Needs, NotTogether, StackDepth, Value,
};
use super::{CreateCap, Holds, MapRules, Rule};
use crate::flags::map_create::*;
use crate::helper::Release;
use crate::{Errno, HelperId, MapType};

const EINVAL: Errno = Errno::EINVAL;
const E2BIG: Errno = Errno::E2BIG;

/// `KMALLOC_MAX_SIZE`: what one allocation of the kernel may have, in bytes.
const KMALLOC_MAX: u64 = 4 << 20;
/// `PCPU_MIN_UNIT_SIZE`: what a per-cpu value may have, in bytes.
const PCPU_MAX: u64 = 32 << 10;
/// `BPF_LOCAL_STORAGE_MAX_VALUE_SIZE`: 16 bits less `struct bpf_local_storage_elem`.
const STORAGE_MAX: u64 = 0xffff - 128;
/// `sizeof(struct htab_elem)`.
const HTAB_ELEM: u64 = 48;
/// Greatest value of a trie: one allocation less the longest key's bytes and `struct lpm_trie_node`.
const LPM_VALUE_MAX: u64 = KMALLOC_MAX - 256 - 24;

const MOST: u64 = u32::MAX as u64;
const SOME: super::Number = In(1, MOST);
const NONE: super::Number = Is(0);

const ACCESS: u32 = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const RW: u32 = BPF_F_RDONLY | BPF_F_WRONLY;
/// `bpf_map_flags_access_ok`.
const ACCESS_OK: Rule = NotTogether(BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG);
const NO_NUMA: Rule = NotTogether(BPF_F_NUMA_NODE);
/// What only some arrays take is left out of the flags of the others.
const ARRAY_FLAGS: u32 = BPF_F_NUMA_NODE | ACCESS;
const HTAB_FLAGS: u32 = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | ACCESS | BPF_F_ZERO_SEED;

type Rules = &'static [(Errno, &'static [Rule])];

const ARRAY: Rules = &[
    (
        EINVAL,
        &[
            Entries(SOME),
            Key(Is(4)),
            Value(SOME),
            Flags(ARRAY_FLAGS | BPF_F_MMAPABLE | BPF_F_INNER_MAP),
            ACCESS_OK,
        ],
    ),
    (E2BIG, &[Value(In(1, i32::MAX as u64))]),
];
const PERCPU_ARRAY: Rules = &[
    (EINVAL, &[Entries(SOME), Key(Is(4)), Value(SOME), Flags(ARRAY_FLAGS), ACCESS_OK, NO_NUMA]),
    (E2BIG, &[Value(In(1, PCPU_MAX))]),
];
const FD_ARRAY: Rules = &[(EINVAL, &[Entries(SOME), Key(Is(4)), Value(Is(4)), Flags(BPF_F_NUMA_NODE | RW)])];
const PERF_EVENT_ARRAY: Rules = &[(
    EINVAL,
    &[Entries(SOME), Key(Is(4)), Value(Is(4)), Flags(BPF_F_NUMA_NODE | RW | BPF_F_PRESERVE_ELEMS)],
)];
const ARRAY_OF_MAPS: Rules = &[
    (EINVAL, &[Entries(SOME), Key(Is(4)), Value(Is(4)), Flags(BPF_F_NUMA_NODE | RW)]),
    (Errno::EBADF, &[Inner]),
];
const HASH: Rules = &[
    (EINVAL, &[Flags(HTAB_FLAGS), ACCESS_OK, Entries(SOME), Key(SOME), Value(SOME)]),
    (E2BIG, &[KeyAndValue(In(2, KMALLOC_MAX - HTAB_ELEM - 1)), Entries(In(1, 1 << 31))]),
];
const PERCPU_HASH: Rules = &[
    (EINVAL, &[Flags(HTAB_FLAGS), ACCESS_OK, NO_NUMA, Entries(SOME), Key(SOME), Value(SOME)]),
    (
        E2BIG,
        &[KeyAndValue(In(2, KMALLOC_MAX - HTAB_ELEM - 1)), Value(In(1, PCPU_MAX)), Entries(In(1, 1 << 31))],
    ),
];
const LRU_HASH: Rules = &[
    (EINVAL, &[Flags(HTAB_FLAGS | BPF_F_NO_COMMON_LRU), ACCESS_OK]),
    (Errno::ENOTSUPP, &[NotTogether(BPF_F_NO_PREALLOC)]),
    (EINVAL, &[NotTogether(BPF_F_NUMA_NODE | BPF_F_NO_COMMON_LRU), Entries(SOME), Key(SOME), Value(SOME)]),
    (E2BIG, &[KeyAndValue(In(2, KMALLOC_MAX - HTAB_ELEM - 1)), Entries(In(1, 1 << 31))]),
];
const LRU_PERCPU_HASH: Rules = &[
    (EINVAL, &[Flags(HTAB_FLAGS | BPF_F_NO_COMMON_LRU), ACCESS_OK]),
    (Errno::ENOTSUPP, &[NotTogether(BPF_F_NO_PREALLOC)]),
    (EINVAL, &[NO_NUMA, Entries(SOME), Key(SOME), Value(SOME)]),
    (
        E2BIG,
        &[KeyAndValue(In(2, KMALLOC_MAX - HTAB_ELEM - 1)), Value(In(1, PCPU_MAX)), Entries(In(1, 1 << 31))],
    ),
];
const HASH_OF_MAPS: Rules = &[
    (EINVAL, &[Value(Is(4)), Flags(HTAB_FLAGS), ACCESS_OK, Entries(SOME), Key(SOME)]),
    (E2BIG, &[KeyAndValue(In(2, KMALLOC_MAX - HTAB_ELEM - 1))]),
    (Errno::EBADF, &[Inner]),
    (E2BIG, &[Entries(In(1, 1 << 31))]),
];
const STACK_TRACE: Rules = &[
    (
        EINVAL,
        &[
            Flags(BPF_F_NUMA_NODE | RW | BPF_F_STACK_BUILD_ID),
            Entries(SOME),
            Key(Is(4)),
            Value(MultipleOf(8)),
            StackDepth,
        ],
    ),
    (E2BIG, &[Entries(In(1, 1 << 31))]),
];
const LPM_TRIE: Rules = &[(
    EINVAL,
    &[
        Entries(SOME),
        Needs(BPF_F_NO_PREALLOC),
        Flags(BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | ACCESS),
        ACCESS_OK,
        Key(In(5, 260)),
        Value(In(1, LPM_VALUE_MAX)),
    ],
)];
const QUEUE: Rules = &[
    (EINVAL, &[Entries(SOME), Key(NONE), Value(SOME), Flags(BPF_F_NUMA_NODE | ACCESS), ACCESS_OK]),
    (E2BIG, &[Value(In(1, KMALLOC_MAX)), Addressable]),
];
const BLOOM_FILTER: Rules = &[
    (E2BIG, &[Value(In(0, KMALLOC_MAX))]),
    (
        EINVAL,
        &[
            Key(NONE),
            Value(SOME),
            Entries(SOME),
            Flags(BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | ACCESS),
            ACCESS_OK,
            Extra(In(0, 15)),
        ],
    ),
];
const RINGBUF: Rules =
    &[(EINVAL, &[Flags(BPF_F_NUMA_NODE), Key(NONE), Value(NONE), Entries(PowerOfTwoPages)])];
const DEVMAP: Rules =
    &[(EINVAL, &[Entries(SOME), Key(Is(4)), Value(Either(4, 8)), Flags(BPF_F_NUMA_NODE | RW)])];
const DEVMAP_HASH: Rules =
    &[(EINVAL, &[Entries(In(1, 1 << 31)), Key(Is(4)), Value(Either(4, 8)), Flags(BPF_F_NUMA_NODE | RW)])];
/// How many processors the kernel was built for bounds `max_entries` too (`E2BIG`).
const CPUMAP: Rules = &[(EINVAL, &[Entries(SOME), Key(Is(4)), Value(Either(4, 8)), Flags(BPF_F_NUMA_NODE)])];
const XSKMAP: Rules = &[(EINVAL, &[Entries(SOME), Key(Is(4)), Value(Is(4)), Flags(BPF_F_NUMA_NODE | RW)])];
const SOCKMAP: Rules = &[(
    EINVAL,
    &[Entries(In(1, i32::MAX as u64)), Key(Is(4)), Value(Either(4, 8)), Flags(BPF_F_NUMA_NODE | RW)],
)];
const SOCKHASH: Rules = &[
    (EINVAL, &[Entries(SOME), Key(SOME), Value(Either(4, 8)), Flags(BPF_F_NUMA_NODE | RW)]),
    (E2BIG, &[Key(In(1, 512))]),
];
const REUSEPORT_SOCKARRAY: Rules =
    &[(EINVAL, &[Value(Either(4, 8)), Entries(SOME), Key(Is(4)), Flags(ARRAY_FLAGS), ACCESS_OK])];
const CGROUP_STORAGE: Rules = &[
    (EINVAL, &[Key(Either(8, 16)), Value(SOME)]),
    (E2BIG, &[Value(In(1, STORAGE_MAX))]),
    (EINVAL, &[Flags(BPF_F_NUMA_NODE | ACCESS), ACCESS_OK, Entries(NONE)]),
];
const PERCPU_CGROUP_STORAGE: Rules = &[
    (EINVAL, &[Key(Either(8, 16)), Value(SOME)]),
    (E2BIG, &[Value(In(1, PCPU_MAX))]),
    (EINVAL, &[Flags(BPF_F_NUMA_NODE | ACCESS), ACCESS_OK, Entries(NONE)]),
];
const LOCAL_STORAGE: Rules = &[
    (
        EINVAL,
        &[
            Flags(BPF_F_NO_PREALLOC | BPF_F_CLONE),
            Needs(BPF_F_NO_PREALLOC),
            Entries(NONE),
            Key(Is(4)),
            Value(SOME),
            Btf,
        ],
    ),
    (E2BIG, &[Value(In(1, STORAGE_MAX))]),
];
/// The kernel wants the BTF id of its structure besides.
const STRUCT_OPS: Rules =
    &[(EINVAL, &[Key(Is(4)), Entries(Is(1)), Flags(BPF_F_LINK | BPF_F_VTYPE_BTF_OBJ_FD)])];
const ARENA: Rules = &[
    (
        EINVAL,
        &[
            Key(NONE),
            Value(NONE),
            Entries(SOME),
            Needs(BPF_F_MMAPABLE),
            Flags(BPF_F_SEGV_ON_FAULT | BPF_F_MMAPABLE | BPF_F_NO_USER_CONV),
            Extra(WholePages),
        ],
    ),
    (E2BIG, &[Entries(In(1, 1 << 20))]),
];

/// A row for a type that any helper may take.
const fn row(map_type: MapType, since: Release, holds: Holds, rules: Rules) -> MapRules {
    MapRules { map_type, since, holds, per_cpu: false, cap: CreateCap::None, rules, helpers: None }
}

impl MapRules {
    const fn per_cpu(self) -> MapRules {
        MapRules { per_cpu: true, ..self }
    }

    const fn cap_bpf(self) -> MapRules {
        MapRules { cap: CreateCap::Bpf, ..self }
    }

    const fn net_admin(self) -> MapRules {
        MapRules { cap: CreateCap::NetAdmin, ..self }
    }

    const fn only(self, helpers: &'static [HelperId]) -> MapRules {
        MapRules { helpers: Some(helpers), ..self }
    }
}

use HelperId as H;

/// Every map type, by number.
pub(super) static ROWS: &[MapRules] = &[
    row(MapType::HASH, Release(3, 19), Holds::Bytes, HASH),
    row(MapType::ARRAY, Release(3, 19), Holds::Bytes, ARRAY),
    row(MapType::PROG_ARRAY, Release(4, 2), Holds::Progs, FD_ARRAY).only(&[H::TAIL_CALL]),
    row(MapType::PERF_EVENT_ARRAY, Release(4, 3), Holds::PerfEvents, PERF_EVENT_ARRAY).only(&[
        H::PERF_EVENT_READ,
        H::PERF_EVENT_OUTPUT,
        H::SKB_OUTPUT,
        H::PERF_EVENT_READ_VALUE,
        H::XDP_OUTPUT,
    ]),
    row(MapType::PERCPU_HASH, Release(4, 6), Holds::Bytes, PERCPU_HASH).per_cpu(),
    row(MapType::PERCPU_ARRAY, Release(4, 6), Holds::Bytes, PERCPU_ARRAY).per_cpu(),
    row(MapType::STACK_TRACE, Release(4, 6), Holds::Stacks, STACK_TRACE).cap_bpf().only(&[H::GET_STACKID]),
    row(MapType::CGROUP_ARRAY, Release(4, 8), Holds::Cgroups, FD_ARRAY)
        .only(&[H::SKB_UNDER_CGROUP, H::CURRENT_TASK_UNDER_CGROUP]),
    row(MapType::LRU_HASH, Release(4, 10), Holds::Bytes, LRU_HASH).cap_bpf(),
    row(MapType::LRU_PERCPU_HASH, Release(4, 10), Holds::Bytes, LRU_PERCPU_HASH).cap_bpf().per_cpu(),
    row(MapType::LPM_TRIE, Release(4, 11), Holds::Bytes, LPM_TRIE).cap_bpf(),
    row(MapType::ARRAY_OF_MAPS, Release(4, 12), Holds::Maps, ARRAY_OF_MAPS).only(&[H::MAP_LOOKUP_ELEM]),
    row(MapType::HASH_OF_MAPS, Release(4, 12), Holds::Maps, HASH_OF_MAPS).only(&[H::MAP_LOOKUP_ELEM]),
    row(MapType::DEVMAP, Release(4, 14), Holds::Devices, DEVMAP)
        .net_admin()
        .only(&[H::REDIRECT_MAP, H::MAP_LOOKUP_ELEM]),
    row(MapType::SOCKMAP, Release(4, 14), Holds::Sockets, SOCKMAP).net_admin().only(&[
        H::SK_REDIRECT_MAP,
        H::SOCK_MAP_UPDATE,
        H::MSG_REDIRECT_MAP,
        H::SK_SELECT_REUSEPORT,
        H::MAP_LOOKUP_ELEM,
    ]),
    row(MapType::CPUMAP, Release(4, 15), Holds::Cpus, CPUMAP).cap_bpf().only(&[H::REDIRECT_MAP]),
    row(MapType::XSKMAP, Release(4, 18), Holds::Sockets, XSKMAP)
        .net_admin()
        .only(&[H::REDIRECT_MAP, H::MAP_LOOKUP_ELEM]),
    row(MapType::SOCKHASH, Release(4, 18), Holds::Sockets, SOCKHASH).net_admin().only(&[
        H::SK_REDIRECT_HASH,
        H::SOCK_HASH_UPDATE,
        H::MSG_REDIRECT_HASH,
        H::SK_SELECT_REUSEPORT,
        H::MAP_LOOKUP_ELEM,
    ]),
    row(MapType::CGROUP_STORAGE, Release(4, 19), Holds::Bytes, CGROUP_STORAGE).only(&[H::GET_LOCAL_STORAGE]),
    row(MapType::REUSEPORT_SOCKARRAY, Release(4, 19), Holds::Sockets, REUSEPORT_SOCKARRAY)
        .cap_bpf()
        .only(&[H::SK_SELECT_REUSEPORT]),
    row(MapType::PERCPU_CGROUP_STORAGE, Release(4, 20), Holds::Bytes, PERCPU_CGROUP_STORAGE)
        .per_cpu()
        .only(&[H::GET_LOCAL_STORAGE]),
    row(MapType::QUEUE, Release(4, 20), Holds::Records, QUEUE).cap_bpf().only(&[
        H::MAP_PEEK_ELEM,
        H::MAP_POP_ELEM,
        H::MAP_PUSH_ELEM,
    ]),
    row(MapType::STACK, Release(4, 20), Holds::Records, QUEUE).cap_bpf().only(&[
        H::MAP_PEEK_ELEM,
        H::MAP_POP_ELEM,
        H::MAP_PUSH_ELEM,
    ]),
    row(MapType::SK_STORAGE, Release(5, 2), Holds::Bytes, LOCAL_STORAGE).cap_bpf().only(&[
        H::SK_STORAGE_GET,
        H::SK_STORAGE_DELETE,
        H::KPTR_XCHG,
    ]),
    row(MapType::DEVMAP_HASH, Release(5, 4), Holds::Devices, DEVMAP_HASH)
        .net_admin()
        .only(&[H::REDIRECT_MAP, H::MAP_LOOKUP_ELEM]),
    row(MapType::STRUCT_OPS, Release(5, 6), Holds::StructOps, STRUCT_OPS).cap_bpf(),
    row(MapType::RINGBUF, Release(5, 8), Holds::Records, RINGBUF).only(&[
        H::RINGBUF_OUTPUT,
        H::RINGBUF_RESERVE,
        H::RINGBUF_QUERY,
        H::RINGBUF_RESERVE_DYNPTR,
        H::RINGBUF_SUBMIT_DYNPTR,
        H::RINGBUF_DISCARD_DYNPTR,
    ]),
    row(MapType::INODE_STORAGE, Release(5, 10), Holds::Bytes, LOCAL_STORAGE).cap_bpf().only(&[
        H::INODE_STORAGE_GET,
        H::INODE_STORAGE_DELETE,
        H::KPTR_XCHG,
    ]),
    row(MapType::TASK_STORAGE, Release(5, 11), Holds::Bytes, LOCAL_STORAGE).cap_bpf().only(&[
        H::TASK_STORAGE_GET,
        H::TASK_STORAGE_DELETE,
        H::KPTR_XCHG,
    ]),
    row(MapType::BLOOM_FILTER, Release(5, 16), Holds::Records, BLOOM_FILTER)
        .cap_bpf()
        .only(&[H::MAP_PEEK_ELEM, H::MAP_PUSH_ELEM]),
    row(MapType::USER_RINGBUF, Release(6, 1), Holds::Records, RINGBUF).only(&[H::USER_RINGBUF_DRAIN]),
    row(MapType::CGRP_STORAGE, Release(6, 2), Holds::Bytes, LOCAL_STORAGE).cap_bpf().only(&[
        H::CGRP_STORAGE_GET,
        H::CGRP_STORAGE_DELETE,
        H::KPTR_XCHG,
    ]),
    row(MapType::ARENA, Release(6, 9), Holds::Pages, ARENA).cap_bpf(),
];
