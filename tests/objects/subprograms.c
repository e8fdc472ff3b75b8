/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Subprograms in every relation: static and global, hidden, weak, shared between programs, called from each other
 * out of order, and as callbacks by address. */
#include "bpf.h"

struct {
	__uint(type, MAP_ARRAY);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

static u64 total;

static __noinline long add(void *map, u32 *key, u64 *value, void *ctx)
{
	total += *value;
	return 0;
}

static __noinline int last(int x)
{
	return x * 3 + (int)bpf_ktime_get_ns();
}

__noinline int middle(int x)
{
	return last(x) + (int)bpf_get_smp_processor_id();
}

__hidden __noinline int concealed(int x)
{
	return middle(x) ^ last(x + 1);
}

__weak __noinline int perhaps(int x)
{
	return x - 1;
}

static __noinline int sum(void)
{
	bpf_for_each_map_elem(&counters, add, 0, 0);
	return (int)total;
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	return concealed(ctx->rx_queue_index) & 1 ? XDP_DROP : XDP_PASS;
}

SEC("?tc") int second(void *ctx)
{
	return perhaps(sum()) + last(5);
}

SEC("xdp") int third(struct xdp_md *ctx)
{
	return last(1) + concealed(2) > sum() ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
