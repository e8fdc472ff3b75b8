/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Counts packets by EtherType and hands IPv4 and IPv6 to programs of their own by tail call; those count by
 * protocol and drop what has no payload. */
#include "bpf.h"

enum { SLOT_IPV4, SLOT_IPV6, SLOTS };

int ipv4(struct xdp_md *ctx);
int ipv6(struct xdp_md *ctx);

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 64);
	__type(key, u16);
	__type(value, u64);
} by_ethertype SEC(".maps");

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 256);
	__type(key, u8);
	__type(value, u64);
} by_protocol SEC(".maps");

struct {
	__uint(type, MAP_PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__uint(key_size, 4);
	__array(values, int(struct xdp_md *));
} parsers SEC(".maps") = {
	.values = { [SLOT_IPV4] = ipv4, [SLOT_IPV6] = ipv6 },
};

static __noinline void count(void *map, const void *key)
{
	u64 *value = bpf_map_lookup_elem(map, key), one = 1;

	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(map, key, &one, 0);
}

SEC("xdp") int ipv4(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u8 protocol;

	if (data + 34 > end)
		return XDP_DROP;
	protocol = data[23];
	count(&by_protocol, &protocol);
	return XDP_PASS;
}

SEC("xdp") int ipv6(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u8 next;

	if (data + 54 > end)
		return XDP_DROP;
	next = data[20];
	count(&by_protocol, &next);
	return next == 59 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int entry(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u16 ethertype;

	if (data + 14 > end)
		return XDP_ABORTED;
	ethertype = data[12] << 8 | data[13];
	count(&by_ethertype, &ethertype);
	if (ethertype == 0x0800)
		bpf_tail_call(ctx, &parsers, SLOT_IPV4);
	else if (ethertype == 0x86dd)
		bpf_tail_call(ctx, &parsers, SLOT_IPV6);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
