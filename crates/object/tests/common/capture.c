// SPDX-License-Identifier: MIT OR Apache-2.0
// Opens an object with libbpf and prints what libbpf passes to bpf(2) for it, without a kernel: libbpf reaches
// bpf(2) through syscall(), which this program defines. Map descriptors in instructions are printed as indices of
// the object's maps, in the pseudo source registers 5 and 6.
//
// Lines, fields separated by spaces, bytes in hex, "-" for nothing:
//   map NAME TYPE KEY VALUE ENTRIES FLAGS EXTRA NUMA BTF_KEY BTF_VALUE DATA
//   prog NAME TYPE ATTACH_TYPE FLAGS INSNS FUNC_INFO LINE_INFO    what libbpf would load
//   refused NAME                                                  a program that libbpf does not load
//   btf BYTES
//   open ERRNO                                                    libbpf does not open the object
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_PROGS 4096

static struct bpf_object *object;
static char *logs[MAX_PROGS]; /* a log buffer tells which program a load is for */
static int captured[MAX_PROGS];
static struct load {
	unsigned count, flags;
	struct bpf_insn *insns;
	void *func_info, *line_info;
	size_t func_size, line_size;
} loads[MAX_PROGS];
static void *values[MAX_PROGS]; /* of maps, from before libbpf maps the kernel's memory over them */
static int types[MAX_PROGS], attach_types[MAX_PROGS];

static void hex(const void *data, size_t size)
{
	const unsigned char *byte = data;

	putchar(' ');
	if (!size)
		putchar('-');
	while (size--)
		printf("%02x", *byte++);
}

static int map_index(int fd)
{
	struct bpf_map *map;
	int i = 0;

	bpf_object__for_each_map(map, object) {
		if (bpf_map__fd(map) == fd)
			return i;
		i++;
	}
	return -1;
}

static void print_insns(const struct bpf_insn *insns, unsigned count)
{
	int second = 0;

	putchar(' ');
	for (unsigned i = 0; i < count; i++) {
		struct bpf_insn insn = insns[i];
		const unsigned char *byte = (const void *)&insn;

		if (!second && insn.code == 0x18 && (insn.src_reg == 1 || insn.src_reg == 2)) {
			int index = map_index(insn.imm);

			if (index >= 0) { /* else a descriptor that the source writes as a number */
				insn.imm = index;
				insn.src_reg += 4;
			}
		}
		second = !second && insn.code == 0x18;
		for (unsigned j = 0; j < sizeof(insn); j++)
			printf("%02x", byte[j]);
	}
}

static void *copy(__u64 data, size_t size)
{
	void *new = malloc(size + 1);

	return memcpy(new, (const void *)(long)data, size);
}

/* Keeps what a program is loaded with; it is printed when the maps have their final descriptors. */
static void capture(const union bpf_attr *attr)
{
	for (int i = 0; i < MAX_PROGS; i++) {
		struct load *load = &loads[i];

		if (!logs[i] || attr->log_buf != (__u64)(long)logs[i] || load->insns)
			continue;
		load->count = attr->insn_cnt;
		load->flags = attr->prog_flags;
		load->insns = copy(attr->insns, attr->insn_cnt * sizeof(struct bpf_insn));
		load->func_size = (size_t)attr->func_info_cnt * attr->func_info_rec_size;
		load->func_info = copy(attr->func_info, load->func_size);
		load->line_size = (size_t)attr->line_info_cnt * attr->line_info_rec_size;
		load->line_info = copy(attr->line_info, load->line_size);
	}
}

/* Prints what was kept if the whole load went well, and forgets it. */
static void print_loads(int good)
{
	struct bpf_program *prog;
	int i = 0;

	bpf_object__for_each_program(prog, object) {
		struct load *load = &loads[i];

		if (i < MAX_PROGS && good && load->insns && !captured[i]) {
			captured[i] = 1;
			printf("prog %s %d %d %u", bpf_program__name(prog), types[i], attach_types[i], load->flags);
			print_insns(load->insns, load->count);
			hex(load->func_info, load->func_size);
			hex(load->line_info, load->line_size);
			putchar('\n');
		}
		i++;
	}
	memset(loads, 0, sizeof(loads));
}

static int new_fd(void)
{
	int fd = syscall(__NR_memfd_create, "fake", 1);

	if (fd >= 0 && ftruncate(fd, 1L << 32))
		perror("ftruncate");
	return fd;
}

static long fake_bpf(int cmd, const union bpf_attr *attr)
{
	switch (cmd) {
	case BPF_PROG_LOAD:
		capture(attr);
		return new_fd();
	case BPF_MAP_CREATE:
	case BPF_BTF_LOAD:
		return new_fd();
	case BPF_LINK_CREATE: /* what feature probes take for support */
		errno = EBADF;
		return -1;
	case BPF_OBJ_GET: /* nothing is pinned */
	case BPF_BTF_GET_NEXT_ID:
		errno = ENOENT;
		return -1;
	default:
		return 0;
	}
}

long syscall(long number, ...)
{
	long a[6], result;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == __NR_bpf)
		return fake_bpf(a[0], (const void *)a[1]);
	register long r10 __asm__("r10") = a[3];
	register long r8 __asm__("r8") = a[4];
	register long r9 __asm__("r9") = a[5];
	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return result;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN && getenv("CAPTURE_DEBUG") ? vfprintf(stderr, format, args) : 0;
}

/* Gives a program some attach target that the running kernel has. */
static void retarget(struct bpf_program *prog)
{
	static const char *const names[] = { "vfs_read", "file_open", "sched_switch", "task" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!bpf_program__set_attach_target(prog, 0, names[i]))
			return;
	}
}

/* Loads what is not captured yet; `only` one program, or all with -1; `elsewhere`: with another attach target. */
static int load(const char *path, int only, int elsewhere, int first)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	int i = 0, err;

	object = bpf_object__open_file(path, NULL);
	if (!object)
		return -errno;
	bpf_object__for_each_map(map, object) {
		size_t size = 0;
		const void *data = bpf_map__initial_value(map, &size);

		bpf_map__set_pin_path(map, NULL);
		if (first && data && i < MAX_PROGS)
			values[i] = copy((__u64)(long)data, size);
		i++;
	}
	i = 0;
	bpf_object__for_each_program(prog, object) {
		if (i >= MAX_PROGS)
			break;
		if (first) {
			types[i] = bpf_program__type(prog);
			attach_types[i] = bpf_program__expected_attach_type(prog);
		}
		logs[i] = logs[i] ?: malloc(4096);
		bpf_program__set_log_buf(prog, logs[i], 4096);
		bpf_program__set_log_level(prog, 1);
		bpf_program__set_autoload(prog, only < 0 || only == i);
		if (bpf_program__type(prog) == BPF_PROG_TYPE_UNSPEC)
			bpf_program__set_type(prog, BPF_PROG_TYPE_SOCKET_FILTER);
		if (elsewhere && only == i)
			retarget(prog);
		i++;
	}
	err = bpf_object__load(object);
	print_loads(!err);
	return first ? (err ? 1 : 0) : 0;
}

int main(int argc, char **argv)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	struct bpf_object *shown;
	int i, err, count = 0;

	if (argc != 2)
		return 2;
	libbpf_set_print(quiet);
	err = load(argv[1], -1, 0, 1);
	if (err < 0) {
		printf("open %d\n", -err);
		return 0;
	}
	shown = object;
	bpf_object__for_each_program(prog, shown)
		count++;
	for (i = 0; err && i < count && i < MAX_PROGS; i++) {
		for (int elsewhere = 0; elsewhere < 2 && !captured[i]; elsewhere++) {
			load(argv[1], i, elsewhere, 0);
			bpf_object__close(object);
		}
	}
	i = 0;
	bpf_object__for_each_program(prog, shown) {
		if (i < MAX_PROGS && !captured[i])
			printf("refused %s\n", bpf_program__name(prog));
		i++;
	}
	i = 0;
	bpf_object__for_each_map(map, shown) {
		void *data = i < MAX_PROGS ? values[i] : NULL;

		i++;
		printf("map %s %u %u %u %u %u %llu %u %u %u", bpf_map__name(map), bpf_map__type(map),
		       bpf_map__key_size(map), bpf_map__value_size(map), bpf_map__max_entries(map),
		       bpf_map__map_flags(map), (unsigned long long)bpf_map__map_extra(map),
		       bpf_map__numa_node(map), bpf_map__btf_key_type_id(map), bpf_map__btf_value_type_id(map));
		hex(data, data ? bpf_map__value_size(map) : 0);
		putchar('\n');
	}
	if (bpf_object__btf(shown)) {
		__u32 size;
		const void *data = btf__raw_data(bpf_object__btf(shown), &size);

		printf("btf");
		hex(data, size);
		putchar('\n');
	}
	return 0;
}
