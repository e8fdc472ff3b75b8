/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * For kernel/trace/bpf_trace.c on User-Mode Linux: bpf_override_return() is there for programs to name, but without
 * kprobes none runs where it would have something to do.
 */
#ifndef SKEP_EVENTS_H
#define SKEP_EVENTS_H

#include <linux/error-injection.h>
#include <linux/ptrace.h>

#ifdef CONFIG_BPF_KPROBE_OVERRIDE
#define regs_set_return_value(regs, value) ((void)(value))
#define override_function_with_return(regs) ((void)(regs))
#endif

#endif
