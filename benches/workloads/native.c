/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The workloads in C: what a compiler makes of them at -O2 is the limit for engines. Each takes the packet. */
#include <stdint.h>
#include <string.h>

#define WORKLOAD(name) uint64_t name(uint8_t *data, uint8_t *end)

WORKLOAD(empty)
{
	(void)data, (void)end;
	return 0;
}

WORKLOAD(alu_mix)
{
	uint64_t sum = 0, x = 0x9e3779b97f4a7c15;
	(void)data, (void)end;
	for (uint64_t left = 2000; left; left--) {
		uint64_t y, z;
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		y = x * 31 + left;
		z = ((uint32_t)y + 12345) & 0xffff;
		y = (uint64_t)((int64_t)(y | z) >> 3);
		sum += y;
		y /= left + 3;
		sum ^= y;
		sum -= y % 1021;
	}
	return sum;
}

WORKLOAD(branches)
{
	uint64_t steps = 0;
	(void)data, (void)end;
	for (uint64_t number = 1; number < 100; number++)
		for (uint64_t n = number; n != 1; steps++)
			n = n & 1 ? 3 * n + 1 : n >> 1;
	return steps;
}

WORKLOAD(checksum)
{
	uint64_t sum = 0;
	if (data + 1500 > end)
		return 0;
	for (int i = 0; i < 750; i++) {
		uint16_t word;
		memcpy(&word, data + 2 * i, 2);
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum ^ 0xffff;
}

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

WORKLOAD(parser)
{
	uint8_t *at = data + 14;
	uint16_t type;
	if (at > end)
		return 0;
	type = be16(data + 12);
	for (int tags = 2; type == 0x8100 || type == 0x88a8; tags--) {
		if (!tags || at + 4 > end)
			return 0;
		type = be16(at + 2);
		at += 4;
	}
	if (type != 0x0800 || at + 20 > end)
		return 0;
	uint64_t length = (at[0] & 15u) << 2, protocol = at[9];
	if (at[0] >> 4 != 4 || length < 20)
		return 0;
	at += length;
	if ((protocol != 6 && protocol != 17) || at + 4 > end)
		return 0;
	return be16(at + 2);
}

WORKLOAD(sieve)
{
	uint64_t count = 0;
	if (data + 3000 > end)
		return 0;
	memset(data, 1, 3000);
	for (uint64_t n = 2; n < 55; n++)
		for (uint64_t multiple = n * n; multiple < 3000; multiple += n)
			data[multiple] = 0;
	for (int n = 2; n < 3000; n++)
		count += data[n];
	return count;
}

static __attribute__((noinline)) uint64_t rotate(uint64_t x)
{
	return x << 5 | x >> 59;
}

static __attribute__((noinline)) uint64_t mix(uint64_t x, uint64_t y)
{
	return rotate(x ^ y) + 1;
}

WORKLOAD(calls)
{
	uint64_t x = 0;
	(void)data, (void)end;
	for (uint64_t left = 500; left; left--)
		x = mix(x, left);
	return x;
}

WORKLOAD(stack)
{
	uint64_t sorted[32], digest = 0;
	(void)data, (void)end;
	for (uint64_t i = 0; i < 32; i++)
		sorted[i] = 1000 - i;
	__asm__ volatile("" : : "r"(sorted) : "memory");
	for (int last = 31; last; last--)
		for (int i = 0; i < last; i++)
			if (sorted[i] > sorted[i + 1]) {
				uint64_t x = sorted[i];
				sorted[i] = sorted[i + 1];
				sorted[i + 1] = x;
			}
	for (int i = 0; i < 32; i++)
		digest = digest * 31 + sorted[i];
	return digest;
}

static uint64_t rotl(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

WORKLOAD(siphash)
{
	uint64_t a = 0x7469686173686573, b = 0x6b617f6d656e665d, c = 0x6b7a6c7a6d6f7a63, d = 0x7c6d6c6a6f6d6b73;
	if (data + 1024 > end)
		return 0;
	for (int i = 0; i < 128; i++) {
		uint64_t word;
		memcpy(&word, data + 8 * i, 8);
		d ^= word;
		for (int round = 0; round < 2; round++) {
			a += b;
			b = rotl(b, 13) ^ a;
			a = rotl(a, 32);
			c += d;
			d = rotl(d, 16) ^ c;
			a += d;
			d = rotl(d, 21) ^ a;
			c += b;
			b = rotl(b, 17) ^ c;
			c = rotl(c, 32);
		}
		a ^= word;
	}
	return a ^ b ^ c ^ d;
}

WORKLOAD(matrix)
{
	uint32_t trace = 0, *a = (uint32_t *)data, *b = a + 256, *c = b + 256;
	if (data + 3072 > end)
		return 0;
	for (int row = 0; row < 16; row++)
		for (int column = 0; column < 16; column++) {
			uint32_t sum = 0;
			for (int i = 0; i < 16; i++)
				sum += a[16 * row + i] * b[16 * i + column];
			c[16 * row + column] = sum;
		}
	for (int i = 0; i < 16; i++)
		trace += c[17 * i];
	return trace;
}
