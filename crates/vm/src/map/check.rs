// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `BPF_MAP_CREATE` refuses: the `map_alloc_check` of each family (Linux 6.18), in its order.

use skep_program::MapSpec;
use skep_uapi::flags::map_create::*;
use skep_uapi::{Errno, MapType};

const ACCESS: u32 = BPF_F_RDONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY | BPF_F_WRONLY_PROG;
/// `PCPU_MIN_UNIT_SIZE`: what a per-cpu value may have, in bytes.
const PCPU_MIN_UNIT_SIZE: u32 = 32 << 10;
/// `KMALLOC_MAX_SIZE` on x86-64: what one allocation of the kernel may have, in bytes.
const KMALLOC_MAX_SIZE: u64 = 4 << 20;
/// `sizeof(struct htab_elem)`.
const HTAB_ELEM: u64 = 48;
/// `sizeof(struct lpm_trie_node)`.
const LPM_TRIE_NODE: u64 = 40;
/// Least and greatest key of a trie: a 32-bit prefix length and 1 to 256 bytes.
const LPM_KEY: std::ops::RangeInclusive<u32> = 5..=260;

/// Both ways of refusing: the kernel's, or a type that is not emulated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Errno(Errno),
    Unsupported,
}

fn ensure(fine: bool, errno: Errno) -> Result<(), Refusal> {
    if fine { Ok(()) } else { Err(Refusal::Errno(errno)) }
}

/// Says what the kernel would say to these attributes.
pub(super) fn check(spec: &MapSpec) -> Result<(), Refusal> {
    // `bpf_get_file_flag`
    let closed = BPF_F_RDONLY | BPF_F_WRONLY;
    ensure(spec.flags & closed != closed, Errno::EINVAL)?;
    match spec.map_type {
        MapType::ARRAY | MapType::PERCPU_ARRAY => array(spec)?,
        MapType::PERF_EVENT_ARRAY | MapType::PROG_ARRAY | MapType::ARRAY_OF_MAPS => {
            ensure(spec.value_size == 4, Errno::EINVAL)?;
            ensure(spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) == 0, Errno::EINVAL)?;
            array(spec)?;
        }
        MapType::HASH | MapType::PERCPU_HASH | MapType::LRU_HASH | MapType::LRU_PERCPU_HASH => hash(spec)?,
        MapType::HASH_OF_MAPS => {
            ensure(spec.value_size == 4, Errno::EINVAL)?;
            hash(spec)?;
        }
        MapType::LPM_TRIE => trie(spec)?,
        MapType::QUEUE | MapType::STACK => queue(spec)?,
        MapType::RINGBUF => ringbuf(spec)?,
        _ => return Err(Refusal::Unsupported),
    }
    let of_maps = matches!(spec.map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    ensure(!of_maps || spec.inner.is_some(), Errno::EBADF)?;
    // Only bloom filters and arenas have use for it (`map_create`).
    ensure(spec.map_extra == 0, Errno::EINVAL)
}

/// `bpf_map_flags_access_ok`.
fn access_ok(flags: u32) -> bool {
    let program = flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG);
    program != BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG
}

/// `array_map_alloc_check`.
fn array(spec: &MapSpec) -> Result<(), Refusal> {
    let per_cpu = spec.map_type == MapType::PERCPU_ARRAY;
    let known = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | ACCESS | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP;
    let flags = spec.flags;
    ensure(
        spec.max_entries != 0
            && spec.key_size == 4
            && spec.value_size != 0
            && flags & !known == 0
            && access_ok(flags)
            && !(per_cpu && flags & BPF_F_NUMA_NODE != 0),
        Errno::EINVAL,
    )?;
    let plain = spec.map_type == MapType::ARRAY;
    ensure(plain || flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP) == 0, Errno::EINVAL)?;
    let perf = spec.map_type == MapType::PERF_EVENT_ARRAY;
    ensure(perf || flags & BPF_F_PRESERVE_ELEMS == 0, Errno::EINVAL)?;
    ensure(i32::try_from(spec.value_size).is_ok(), Errno::E2BIG)?;
    ensure(!per_cpu || spec.value_size.next_multiple_of(8) <= PCPU_MIN_UNIT_SIZE, Errno::E2BIG)
}

/// `htab_map_alloc_check`.
fn hash(spec: &MapSpec) -> Result<(), Refusal> {
    let per_cpu = matches!(spec.map_type, MapType::PERCPU_HASH | MapType::LRU_PERCPU_HASH);
    let lru = matches!(spec.map_type, MapType::LRU_HASH | MapType::LRU_PERCPU_HASH);
    let known = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | ACCESS | BPF_F_ZERO_SEED;
    let flags = spec.flags;
    ensure(flags & !known == 0 && access_ok(flags), Errno::EINVAL)?;
    let own_lists = flags & BPF_F_NO_COMMON_LRU != 0;
    ensure(lru || !own_lists, Errno::EINVAL)?;
    ensure(!lru || flags & BPF_F_NO_PREALLOC == 0, Errno::ENOTSUPP)?;
    ensure(!(flags & BPF_F_NUMA_NODE != 0 && (per_cpu || own_lists)), Errno::EINVAL)?;
    ensure(spec.max_entries != 0 && spec.key_size != 0 && spec.value_size != 0, Errno::EINVAL)?;
    let both = u64::from(spec.key_size) + u64::from(spec.value_size);
    ensure(both < KMALLOC_MAX_SIZE - HTAB_ELEM, Errno::E2BIG)?;
    ensure(!per_cpu || spec.value_size.next_multiple_of(8) <= PCPU_MIN_UNIT_SIZE, Errno::E2BIG)
}

/// The checks of `trie_alloc`.
fn trie(spec: &MapSpec) -> Result<(), Refusal> {
    let known = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | ACCESS;
    let largest = KMALLOC_MAX_SIZE - u64::from(*LPM_KEY.end()) - LPM_TRIE_NODE;
    ensure(
        spec.max_entries != 0
            && spec.flags & BPF_F_NO_PREALLOC != 0
            && spec.flags & !known == 0
            && access_ok(spec.flags)
            && LPM_KEY.contains(&spec.key_size)
            && spec.value_size != 0
            && u64::from(spec.value_size) <= largest,
        Errno::EINVAL,
    )
}

/// `queue_stack_map_alloc_check`.
fn queue(spec: &MapSpec) -> Result<(), Refusal> {
    ensure(
        spec.max_entries != 0
            && spec.key_size == 0
            && spec.value_size != 0
            && spec.flags & !(BPF_F_NUMA_NODE | ACCESS) == 0
            && access_ok(spec.flags),
        Errno::EINVAL,
    )?;
    ensure(u64::from(spec.value_size) <= KMALLOC_MAX_SIZE, Errno::E2BIG)?;
    ensure(spec.max_entries < u32::MAX / spec.value_size, Errno::E2BIG)
}

/// The checks of `ringbuf_map_alloc`.
fn ringbuf(spec: &MapSpec) -> Result<(), Refusal> {
    ensure(spec.flags & !BPF_F_NUMA_NODE == 0, Errno::EINVAL)?;
    ensure(
        spec.key_size == 0
            && spec.value_size == 0
            && spec.max_entries.is_power_of_two()
            && spec.max_entries.is_multiple_of(4096),
        Errno::EINVAL,
    )
}
