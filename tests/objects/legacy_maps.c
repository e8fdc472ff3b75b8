/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Maps as before BTF: records of numbers, of a size that a build chooses: 20 bytes as libbpf's, 28 as the kernel's
 * old samples, 36 as iproute2's. */
#include "bpf.h"

struct bpf_map_def {
	u32 type, key_size, value_size, max_entries, map_flags;
#if RECORD == 28
	u32 inner_map_idx, numa_node;
#elif RECORD == 36
	u32 id, pinning, inner_id, inner_idx;
#endif
};

struct bpf_map_def SEC("maps") flows = {
	.type = MAP_HASH, .key_size = 4, .value_size = 8, .max_entries = 128, .map_flags = 1,
#if RECORD == 36
	.id = 42, .inner_idx = 1,
#endif
};

#if RECORD != 20
struct bpf_map_def SEC("maps") nested = {
	.type = MAP_ARRAY_OF_MAPS, .key_size = 4, .value_size = 4, .max_entries = 2,
#if RECORD == 36
	.inner_id = 42, .pinning = 2,
#endif
};
#endif

SEC("socket1") int filter(void *ctx)
{
	u32 key = 9;
	u64 *value = bpf_map_lookup_elem(&flows, &key);

	return value ? (int)*value : 0;
}

char _license[] SEC("license") = "GPL";
u32 _version SEC("version") = 0x060c00;
