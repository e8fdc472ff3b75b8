/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory of kernel/bpf from where all memory is mapped already, for User-Mode Linux: there, a page of vmalloc() is a
 * mapping of the host, which is made, touched and unmapped again. A program takes some of them for a moment, and one
 * more whenever the verifier rewrites an instruction: more time than it takes to verify it. What is too large to be
 * had in one piece comes from vmalloc() still. It changes no verdict.
 */
#ifndef SKEP_MEMORY_H
#define SKEP_MEMORY_H

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#undef vmalloc
#undef vzalloc
#undef __vmalloc
#define vmalloc(size) kvmalloc(size, GFP_KERNEL)
#define vzalloc(size) kvzalloc(size, GFP_KERNEL)
#define __vmalloc(size, flags) kvmalloc(size, flags)
#define vfree(memory) kvfree(memory)

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#undef vrealloc
#define vrealloc(memory, size, flags) kvrealloc(memory, size, flags)
#endif

#endif
