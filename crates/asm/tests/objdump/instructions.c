// SPDX-License-Identifier: MIT OR Apache-2.0
// Code that makes clang emit most of the instruction set. Only compiled and disassembled, never run.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;

unsigned long long load_byte(void *, unsigned long long) __asm__("llvm.bpf.load.byte");
unsigned long long load_half(void *, unsigned long long) __asm__("llvm.bpf.load.half");
unsigned long long load_word(void *, unsigned long long) __asm__("llvm.bpf.load.word");

__attribute__((section("license"), used)) char _license[] = "Dual MIT/GPL";
int counter = 3;
const volatile u64 limit = 5;
static void *(*lookup)(void *, const void *) = (void *)1;

static __attribute__((noinline)) u64 shared(volatile u64 *p, u64 v)
{
	*p ^= v;
	__sync_fetch_and_add(p, v);
	return *p + counter;
}

__attribute__((section("socket"), used)) int packet(void *skb)
{
	u64 sum = load_byte(skb, 3) + load_half(skb, 12);
	return (int)(sum + load_word(skb, sum & 15));
}

__attribute__((section("xdp"), used)) int memory(volatile u64 *p)
{
	volatile u8 b = (u8)p[1];
	volatile u16 h = (u16)p[2];
	volatile u32 w = (u32)p[3];
	volatile s8 sb = (s8)b;
	volatile s16 sh = (s16)h;
	p[4] = 0x1122334455667788ULL;
	p[5] = (u64)lookup(&counter, (void *)p);
	b = 7;
	h = 8;
	w = 9;
	p[6] = (u64)(long long)sb + (u64)(long long)sh + w;
	return (int)shared(p + 7, limit);
}

__attribute__((section("tc"), used)) u64 arithmetic(u64 a, u64 b, u32 c, u32 d, long long e)
{
	u64 r = a * b + a / (b | 1) - a % 7;
	if (a > b)
		r ^= a << (b & 31);
	if ((long long)a < e)
		r |= a >> 3;
	if ((int)c >= (int)d)
		r += (u64)(e >> 5);
	if (c & 16)
		r &= ~b;
	if (c < d && a != 99)
		r -= (c << 2) * d + (c >> 1);
	r = -r + __builtin_bswap64(a) + __builtin_bswap32(c) + __builtin_bswap16((u16)d);
	return r + (c == 5 ? d / 3 : d % 11);
}

#if defined(__BPF_CPU_VERSION__) && __BPF_CPU_VERSION__ >= 3
__attribute__((section("kprobe"), used)) u64 atomics(volatile u64 *p, volatile u32 *q, u64 v)
{
	u64 sum = __sync_fetch_and_or(p, v) + __sync_fetch_and_and(p, v) + __sync_fetch_and_xor(p, v);
	sum += __sync_lock_test_and_set(p, v) + __sync_val_compare_and_swap(p, 1, v);
	sum += __sync_fetch_and_add(q, (u32)v) + __sync_lock_test_and_set(q, (u32)v);
	sum += __sync_val_compare_and_swap(q, 1, (u32)v);
	__sync_fetch_and_add(p, v);
	__sync_fetch_and_xor(q, (u32)v);
	return sum;
}
#endif

#if defined(__BPF_CPU_VERSION__) && __BPF_CPU_VERSION__ >= 4
__attribute__((section("tracepoint"), used)) long long version4(long long a, int b, s8 *p, s16 *q, int *r)
{
	return a / (b | 1) + a % 3 + (int)a / (b | 1) + p[0] + q[1] + r[2] + (s8)a + (s16)b;
}
#endif
