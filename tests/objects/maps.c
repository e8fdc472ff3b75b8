/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Map attributes of every kind: pinning, flags, map_extra, sizes to round, inner maps with initial slots. */
#include "bpf.h"

struct inner {
	__uint(type, MAP_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	__uint(type, MAP_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &inner_a, [2] = &inner_b } };

struct {
	__uint(type, MAP_HASH_OF_MAPS);
	__uint(max_entries, 5);
	__type(key, u32);
	__array(values, struct {
		__uint(type, MAP_HASH);
		__uint(max_entries, 8);
		__type(key, u32);
		__type(value, u32);
	});
} by_id SEC(".maps");

struct {
	__uint(type, MAP_RINGBUF);
	__uint(max_entries, 5000);
} events SEC(".maps");

struct {
	__uint(type, MAP_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 1000);
	__uint(map_flags, 1);
	__uint(pinning, 1);
	__type(key, struct { u32 address; u16 port; });
	__type(value, u64[2]);
} sessions SEC(".maps");

struct {
	__uint(type, MAP_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(value_size, 8);
	__uint(map_extra, 3);
} seen SEC(".maps");

SEC("xdp") int look(struct xdp_md *ctx)
{
	u32 zero = 0;
	void *map = bpf_map_lookup_elem(&outer, &zero);
	u64 *value;

	if (!map)
		map = bpf_map_lookup_elem(&by_id, &zero);
	if (!map)
		return XDP_PASS;
	value = bpf_map_lookup_elem(&inner_b, &zero);
	return value && *value ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
