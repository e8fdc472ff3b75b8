/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * x86-64's BPF JIT for User-Mode Linux on x86-64, which has none of its own: the tree's file as it is, with what it
 * needs of x86's kernel put in simpler terms. One processor, memory that is writable and executable at once, no
 * mitigations in generated code, no exception table entries for it.
 *
 * Taken in by an object of kernel/bpf (`-include`), where its functions replace the weak ones of kernel/bpf/core.c.
 */
#if defined(CONFIG_BPF_JIT) && !defined(SKEP_X86_JIT_H)
#define SKEP_X86_JIT_H

/* Headers of x86 that are found, but declare what is not there. */
#define _ASM_X86_SET_MEMORY_H
#define _ASM_X86_NOSPEC_BRANCH_H_
#define _ASM_X86_TEXT_PATCHING_H

#include <linux/bitmap.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_vlan.h>
#include <linux/memory.h>
#include <linux/netdevice.h>
#include <linux/sched/task_stack.h>
#include <linux/set_memory.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <asm/cpufeature.h>
#include <asm/extable.h>
#include <asm/nops.h>
#include <as-layout.h>
#include <os.h>

/* Text is patched by writing it. */
#define text_poke_bp(address, text, length, emulate) memcpy(address, text, length)
#define smp_text_poke_single(address, text, length, emulate) memcpy(address, text, length)
#define text_poke_copy(to, from, length) memcpy(to, from, length)
#define text_poke_set(to, byte, length) memset(to, byte, length)

const unsigned char * const x86_nops[ASM_NOP_MAX + 1] = {
	NULL,
	(const unsigned char []) { BYTES_NOP1 },
	(const unsigned char []) { BYTES_NOP2 },
	(const unsigned char []) { BYTES_NOP3 },
	(const unsigned char []) { BYTES_NOP4 },
	(const unsigned char []) { BYTES_NOP5 },
	(const unsigned char []) { BYTES_NOP6 },
	(const unsigned char []) { BYTES_NOP7 },
	(const unsigned char []) { BYTES_NOP8 },
};

/* Mitigations are the host's affair. What BMI2 can do is asked of the processor, by boot_cpu_has(). */
#undef cpu_feature_enabled
#define cpu_feature_enabled(bit) 0
#define cpu_wants_rethunk() 0
#define x86_return_thunk ((void *)0)
#define its_static_thunk(reg) ((void *)0)
#define clear_bhb_loop ((void *)0)
#define __x86_indirect_thunk_array skep_no_thunks
#define __x86_indirect_jump_thunk_array skep_no_thunks
static u8 skep_no_thunks[1] __maybe_unused;

static inline int skep_no_accounting(void)
{
	return 0;
}
#define x86_call_depth_emit_accounting(...) skep_no_accounting()

#if __has_include(<asm/cfi.h>)
#include <asm/cfi.h>
#endif
#undef cfi_bhi
#define cfi_bhi 0
#define cfi_mode CFI_OFF

/*
 * Where loads by pointers from the kernel's types may go (BPF_PROBE_MEM): memory as the kernel sees it. Pointers
 * that are null, errors or poison read zero. There is no way to recover from a fault elsewhere.
 */
#undef TASK_SIZE_MAX
#define TASK_SIZE_MAX uml_physmem
#undef VSYSCALL_ADDR
#define VSYSCALL_ADDR VMALLOC_END

/* The exception handler and its table are compiled, and not used. */
struct skep_pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
bool ex_handler_bpf(const struct exception_table_entry *x, struct skep_pt_regs *regs);
#define pt_regs skep_pt_regs
/* An entry has two fields here, and three on x86. */
#define data fixup

/* These need x86's unwinder, and are below instead. */
bool skep_orc_supports_exceptions(void);
void skep_orc_stack_walk(bool (*consume)(void *cookie, u64 ip, u64 sp, u64 bp), void *cookie);
#define bpf_jit_supports_exceptions skep_orc_supports_exceptions
#define arch_bpf_stack_walk skep_orc_stack_walk

/* Relative to the folder include/ of the tree. */
#include <../arch/x86/net/bpf_jit_comp.c>

#undef cfi_mode
#undef bpf_jit_supports_exceptions
#undef arch_bpf_stack_walk
#undef data
#undef pt_regs

#ifdef CONFIG_FRAME_POINTER
bool bpf_jit_supports_exceptions(void);
void arch_bpf_stack_walk(bool (*consume)(void *cookie, u64 ip, u64 sp, u64 bp), void *cookie);

bool bpf_jit_supports_exceptions(void)
{
	return true;
}

void arch_bpf_stack_walk(bool (*consume)(void *cookie, u64 ip, u64 sp, u64 bp), void *cookie)
{
	unsigned long *frame = __builtin_frame_address(0);

	for (;;) {
		unsigned long *outer = (unsigned long *)frame[0];

		if (!frame[1] || !consume(cookie, frame[1], (unsigned long)(frame + 2), (unsigned long)outer))
			break;
		if (outer <= frame || (unsigned long)outer - (unsigned long)frame > THREAD_SIZE)
			break;
		frame = outer;
	}
}
#endif

/*
 * Generated code must be near the kernel's, for its calls, and the kernel's virtual memory near it can be taken by a
 * single arena. So there is room for it in the kernel's own image, taken in pages, and other memory after that.
 */
#define SKEP_CODE_PAGES (32UL << (20 - PAGE_SHIFT))
static u8 skep_code[SKEP_CODE_PAGES][PAGE_SIZE] __aligned(PAGE_SIZE);
static DECLARE_BITMAP(skep_code_taken, SKEP_CODE_PAGES);
static DEFINE_SPINLOCK(skep_code_lock);

void *bpf_jit_alloc_exec(unsigned long size);
void bpf_jit_free_exec(void *address);

/* By first page. */
static unsigned int skep_code_lengths[SKEP_CODE_PAGES];

void *bpf_jit_alloc_exec(unsigned long size)
{
	unsigned long pages = DIV_ROUND_UP(size, PAGE_SIZE), first, flags;

	spin_lock_irqsave(&skep_code_lock, flags);
	first = bitmap_find_next_zero_area(skep_code_taken, SKEP_CODE_PAGES, 0, pages, 0);
	if (first + pages <= SKEP_CODE_PAGES) {
		bitmap_set(skep_code_taken, first, pages);
		skep_code_lengths[first] = pages;
	} else {
		first = SKEP_CODE_PAGES;
	}
	spin_unlock_irqrestore(&skep_code_lock, flags);
	if (first == SKEP_CODE_PAGES)
		return vmalloc(size);
	os_protect_memory(skep_code[first], pages << PAGE_SHIFT, 1, 1, 1);
	return skep_code[first];
}

void bpf_jit_free_exec(void *address)
{
	unsigned long first = ((u8 *)address - skep_code[0]) >> PAGE_SHIFT, flags;

	if ((u8 *)address < skep_code[0] || first >= SKEP_CODE_PAGES) {
		vfree(address);
		return;
	}
	spin_lock_irqsave(&skep_code_lock, flags);
	bitmap_clear(skep_code_taken, first, skep_code_lengths[first]);
	spin_unlock_irqrestore(&skep_code_lock, flags);
}

#if __has_include(<../arch/x86/net/bpf_timed_may_goto.S>)
/*
 * Called by generated code, which keeps r0 to r5 in registers: asks whether the loop whose counter is at rbp + r10 may
 * go on, and answers in r10.
 */
asm(".pushsection .text, \"ax\"\n"
    ".globl arch_bpf_timed_may_goto\n"
    ".type arch_bpf_timed_may_goto, @function\n"
    "arch_bpf_timed_may_goto:\n"
    "	push %rax; push %rdi; push %rsi; push %rdx; push %rcx; push %r8\n"
    "	lea (%rbp, %r10), %rdi\n"
    "	call bpf_check_timed_may_goto\n"
    "	mov %rax, %r10\n"
    "	pop %r8; pop %rcx; pop %rdx; pop %rsi; pop %rdi; pop %rax\n"
    "	ret\n"
    ".size arch_bpf_timed_may_goto, . - arch_bpf_timed_may_goto\n"
    ".popsection\n");
#endif

#endif
