/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Data sections: constants, initialized and zeroed variables, static and hidden ones, named sections. */
#include "bpf.h"

const volatile u32 limit = 7;
static volatile const u8 table[5] = { 1, 2, 3, 5, 8 };
u64 packets;
static volatile u32 bytes[3];
int weight = -3;
static volatile int offset = 11;
u32 own SEC(".data.own") = 0xdeadbeef;
__hidden u32 concealed;

SEC("xdp") int measure(struct xdp_md *ctx)
{
	u32 index = ctx->data & 3;

	packets += 1;
	if (index < 3)
		bytes[index] += ctx->data_end - ctx->data;
	concealed = own;
	weight += offset;
	return table[index] > limit ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
