/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * For kernel/gcov/gcc_base.c on User-Mode Linux, where constructors run before the kernel does: as a program's, on
 * the host's stack, where there is no current task to print a line for or to hold a lock. Nor is another to wait for.
 */
#ifndef SKEP_GCOV_H
#define SKEP_GCOV_H

#include <linux/mutex.h>
#include <linux/printk.h>

#undef pr_info
#define pr_info(...) no_printk(__VA_ARGS__)
#undef mutex_lock
#define mutex_lock(lock) ((void)(lock))
#define mutex_unlock(lock) ((void)(lock))

#endif
