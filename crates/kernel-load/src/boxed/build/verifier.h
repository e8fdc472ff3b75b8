/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What kernel/bpf/verifier.c needs to be quick and right on User-Mode Linux. It changes no verdict. */
#ifndef SKEP_VERIFIER_H
#define SKEP_VERIFIER_H

#include <linux/bpf_verifier.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "memory.h"

/*
 * Each page of virtual memory is a mapping of the host here. A buffer that grows by an entry at a time, as the history
 * of instructions does since 6.12, would be mapped anew for each page: for minutes, and up to the host's last mapping.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline void *skep_grow(const void *buffer, size_t size, gfp_t flags)
{
	return kvrealloc(buffer, size > PAGE_SIZE ? roundup_pow_of_two(size) : size, flags);
}
#undef kvrealloc
#define kvrealloc(buffer, size, flags) skep_grow(buffer, size, flags)
#endif

#ifdef CONFIG_BPF_JIT
/*
 * With the JIT of x86-64, bpf_get_smp_processor_id() counts as inlined, which spares registers their saving. Not on
 * User-Mode Linux does the verifier inline it, though what it would put there suits one processor anywhere.
 */
#undef CONFIG_UML
#endif

#endif
