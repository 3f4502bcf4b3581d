// SPDX-License-Identifier: GPL-2.0
/*
 * The bench client: times what a hypervisor with KVM's ABI does, on the device
 * that --dev names.
 *
 * Every row is an operation that is done n times in a batch; batches come in two
 * sizes and are repeated. A row runs in a process of its own, so that one that
 * fails leaves the others. For each batch, a line
 *
 *   batch SEQ ROW N TICKS
 *
 * says how many TSC ticks it took. The driver (bench) takes the cheapest batch of
 * each size and divides the difference by the difference of sizes, so that what a
 * batch costs once (the first entry, the last exit, the system call) is not in the
 * figure. Each batch runs between two marker instructions that the TCG plugin
 * (plugin.c) knows; SEQ, the order in which batches ended, is the link between them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* No-ops with a magic displacement; plugin.c has the same numbers. */
#define MARK(magic) asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00\n\t.long " magic ::: "memory")
#define MARK_BEGIN() MARK("0x4c756301")
#define MARK_END() MARK("0x4c756302")

#define SPARE_SLOT	3
#define MAX_REPEAT	100
#define ROW_SECONDS	20		/* the most that a row may take, by the machine's clock */

struct row {
	const char *name;
	unsigned int n[2];		/* the two batch sizes */
	/* Once for the row; false (and a printed line) when the row cannot run. */
	bool (*open)(const struct row *row);
	/* Before each batch, not measured. */
	void (*prepare)(const struct row *row, unsigned int n);
	/* The batch. */
	void (*run)(const struct row *row, unsigned int n);
	void (*close)(void);
	const uint8_t *code, *code_end;
	uint64_t address;		/* RDI, for rows with an irqchip */
	unsigned long step;		/* bytes from one touch to the next, for nested faults */
	bool x2apic;
	long cap;			/* needed besides KVM_CAP_IRQCHIP, or 0 */
	uint32_t exit_reason;		/* that each operation, or the batch, ends with */
};

struct batch {
	unsigned int seq;
	uint64_t ticks;
};

static struct vm vm;
static unsigned int *ended;		/* batches so far, shared by all rows' processes */
static uint8_t *slot0, *fault4k, *fault2m, *spare;

static uint64_t ticks(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
	return (uint64_t)hi << 32 | lo;
}

static void expect_exit(const struct row *row, uint32_t reason)
{
	if (reason == row->exit_reason)
		return;
	fprintf(stderr, "bench: %s: exit reason %u instead of %u", row->name, reason,
		row->exit_reason);
	if (reason == KVM_EXIT_FAIL_ENTRY)
		fprintf(stderr, ", hardware reason 0x%llx",
			vm.run->fail_entry.hardware_entry_failure_reason);
	if (reason == KVM_EXIT_INTERNAL_ERROR)
		fprintf(stderr, ", suberror %u", vm.run->internal.suberror);
	fputc('\n', stderr);
	exit(1);
}

/* ---- rows that have a guest ---- */

static bool open_vm(const struct row *row)
{
	vm_create(&vm, slot0);
	vm_load(&vm, row->code, row->code_end);
	return true;
}

static void close_vm(void)
{
	vm_destroy(&vm);
}

static void prepare_mmio(const struct row *row, unsigned int n)
{
	(void)row;
	vm_start(&vm, n, MMIO_GPA, 0);
}

/* The kernel serves the exits; the guest counts them and halts. */
static void run_inside(const struct row *row, unsigned int n)
{
	(void)n;
	expect_exit(row, vm_run(&vm));
}

/* ---- rows with the interrupt controllers in the kernel ---- */

static bool open_irq(const struct row *row)
{
	if (vm_cap(KVM_CAP_IRQCHIP) <= 0 || vm_cap(KVM_CAP_PIT2) <= 0) {
		printf("skip %s no KVM_CAP_IRQCHIP and KVM_CAP_PIT2\n", row->name);
		return false;
	}
	if (row->cap && vm_cap(row->cap) <= 0) {
		printf("skip %s no KVM_CAP %ld\n", row->name, row->cap);
		return false;
	}
	vm.irqchip = true;
	vm.x2apic = row->x2apic;
	open_vm(row);
	if (row->x2apic)
		vm_load_handler(&vm, guest_eoi_x2, guest_eoi_x2_end);
	else
		vm_load_handler(&vm, guest_eoi_x, guest_eoi_x_end);
	return true;
}

static void prepare_irq(const struct row *row, unsigned int n)
{
	vm_start(&vm, n, row->address, 0);
}

/* Userspace serves the exits and counts them. */
static void run_outside(const struct row *row, unsigned int n)
{
	while (n--) {
		uint32_t reason = vm_run(&vm);

		if (__builtin_expect(reason != row->exit_reason, 0))
			expect_exit(row, reason);
	}
}

/* An intercepted hypercall is VMMCALL on AMD and Hygon, VMCALL elsewhere. */
static bool open_hypercall(const struct row *row)
{
	uint32_t a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	vm_create(&vm, slot0);
	(void)row;
	if (b == 0x68747541 /* Auth */ || b == 0x6f677948 /* Hygo */)
		vm_load(&vm, guest_vmmcall, guest_vmmcall_end);
	else
		vm_load(&vm, guest_vmcall, guest_vmcall_end);
	return true;
}

/* ---- nested faults: the slot is made anew, so that nothing of it is mapped ---- */

static bool open_fault4k(const struct row *row)
{
	if (!fault4k)
		fault4k = map_memory(FAULT4K_SIZE, false);
	open_vm(row);
	vm_slot(&vm, 1, FAULT4K_GPA, FAULT4K_SIZE, fault4k);
	return true;
}

static void prepare_fault4k(const struct row *row, unsigned int n)
{
	vm_slot(&vm, 1, FAULT4K_GPA, 0, NULL);
	vm_slot(&vm, 1, FAULT4K_GPA, FAULT4K_SIZE, fault4k);
	vm_start(&vm, n, FAULT4K_GPA, row->step);
}

static bool open_fault2m(const struct row *row)
{
	if (!fault2m)
		fault2m = map_memory(FAULT2M_SIZE, true);
	open_vm(row);
	vm_slot(&vm, 2, FAULT2M_GPA, FAULT2M_SIZE, fault2m);
	return true;
}

static void prepare_fault2m(const struct row *row, unsigned int n)
{
	(void)row;
	vm_slot(&vm, 2, FAULT2M_GPA, 0, NULL);
	vm_slot(&vm, 2, FAULT2M_GPA, FAULT2M_SIZE, fault2m);
	vm_start(&vm, n, FAULT2M_GPA, 2UL << 20);
}

/* ---- rows without a guest that runs for long ---- */

static bool open_nothing(const struct row *row)
{
	(void)row;
	return true;
}

/* One VM: created, run until its first HLT, destroyed. */
static void run_lifetime(const struct row *row, unsigned int n)
{
	while (n--) {
		vm_create(&vm, slot0);
		vm_load(&vm, row->code, row->code_end);
		vm_start(&vm, 0, 0, 0);
		expect_exit(row, vm_run(&vm));
		vm_destroy(&vm);
	}
}

static bool open_slot(const struct row *row)
{
	if (!spare)
		spare = map_memory(SPARE_SIZE, false);
	return open_vm(row);
}

static void prepare_none(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
}

static void run_slot(const struct row *row, unsigned int n)
{
	(void)row;
	while (n--) {
		vm_slot(&vm, SPARE_SLOT, SPARE_GPA, SPARE_SIZE, spare);
		vm_slot(&vm, SPARE_SLOT, SPARE_GPA, 0, NULL);
	}
}

/* ---- the floor: Lucid's own ioctl, so KVM has no such row ---- */

static bool open_floor(const struct row *row)
{
#ifdef LUCID_BENCH_FLOOR
	if (vm_cap(LUCID_CAP_BENCH_FLOOR) > 0) {
		open_vm(row);
		vm_start(&vm, 0, 0, 0);
		return true;
	}
	printf("skip %s not offered by the device\n", row->name);
#else
	printf("skip %s not in this build's <linux/lucid.h>\n", row->name);
#endif
	return false;
}

static void run_floor(const struct row *row, unsigned int n)
{
#ifdef LUCID_BENCH_FLOOR
	struct lucid_bench_floor floor = { .iterations = n };
	long ret = sys_ioctl(vm.vcpu, LUCID_BENCH_FLOOR, (unsigned long)&floor);

	if (ret) {
		errno = -ret;
		die(row->name);
	}
#else
	(void)row;
	(void)n;
#endif
}

static void prepare_guest(const struct row *row, unsigned int n)
{
	(void)row;
	vm_start(&vm, n, 0, 0);
}

#define CODE(name) .code = guest_##name, .code_end = guest_##name##_end
#define INSIDE .open = open_vm, .prepare = prepare_guest, .run = run_inside, \
	.close = close_vm, .exit_reason = KVM_EXIT_HLT, .n = { 100, 500 }
#define IRQCHIP .open = open_irq, .prepare = prepare_irq, .run = run_inside, \
	.close = close_vm, .exit_reason = KVM_EXIT_IO, .n = { 100, 500 }
#define OUTSIDE .open = open_vm, .prepare = prepare_mmio, .run = run_outside, \
	.close = close_vm, .n = { 100, 400 }

static const struct row rows[] = {
	{ "cpuid", INSIDE, CODE(cpuid) },
	{ "hypercall", .open = open_hypercall, .prepare = prepare_guest, .run = run_inside,
	  .close = close_vm, .exit_reason = KVM_EXIT_HLT, .n = { 100, 500 } },
	{ "rdmsr", INSIDE, CODE(rdmsr) },
	{ "pio-write", OUTSIDE, CODE(out), .exit_reason = KVM_EXIT_IO },
	{ "pio-read", OUTSIDE, CODE(in), .exit_reason = KVM_EXIT_IO },
	{ "mmio-write", OUTSIDE, CODE(mmio_write), .exit_reason = KVM_EXIT_MMIO },
	{ "mmio-read", OUTSIDE, CODE(mmio_read), .exit_reason = KVM_EXIT_MMIO },
	{ "mmio-write1", OUTSIDE, CODE(mmio_write1), .exit_reason = KVM_EXIT_MMIO },
	{ "mmio-write8", OUTSIDE, CODE(mmio_write8), .exit_reason = KVM_EXIT_MMIO },
	{ "mmio-read8", OUTSIDE, CODE(mmio_read8), .exit_reason = KVM_EXIT_MMIO },
	{ "mmio-stos", OUTSIDE, CODE(mmio_stos), .exit_reason = KVM_EXIT_MMIO },
	{ "mmio-or", OUTSIDE, CODE(mmio_or), .exit_reason = KVM_EXIT_MMIO },
	{ "mmio-add", OUTSIDE, CODE(mmio_add), .exit_reason = KVM_EXIT_MMIO },
	{ "apic-read", IRQCHIP, CODE(tpr_x), .address = APIC_GPA },
	{ "ioapic-read", IRQCHIP, CODE(ioapic_read), .address = IOAPIC_GPA },
	{ "ioapic-write", IRQCHIP, CODE(ioapic_write), .address = IOAPIC_GPA },
	{ "pit-read", IRQCHIP, CODE(pit_read) },
	{ "pit-write", IRQCHIP, CODE(pit_write) },
	{ "self-ipi-x", IRQCHIP, CODE(self_x), .address = APIC_GPA },
	{ "self-ipi-x2", IRQCHIP, CODE(self_x2), .x2apic = true },
	{ "timer-x", IRQCHIP, CODE(timer_x), .address = APIC_GPA },
	{ "timer-x2", IRQCHIP, CODE(timer_x2), .x2apic = true },
	{ "deadline", IRQCHIP, CODE(deadline), .x2apic = true,
	  .cap = KVM_CAP_TSC_DEADLINE_TIMER },
	{ "hlt-timer", .open = open_irq, .prepare = prepare_irq, .run = run_inside,
	  .close = close_vm, .exit_reason = KVM_EXIT_IO, .n = { 10, 50 }, CODE(hlt_timer),
	  .x2apic = true },
	{ "hlt", OUTSIDE, CODE(hlt), .exit_reason = KVM_EXIT_HLT },
	{ "fault-4k", .open = open_fault4k, .prepare = prepare_fault4k, .run = run_inside,
	  .close = close_vm, .exit_reason = KVM_EXIT_HLT, .n = { 128, 640 }, CODE(touch),
	  .step = 4096 },
	/* apart: what is mapped besides the page asked for is of no use */
	{ "fault-4k-apart", .open = open_fault4k, .prepare = prepare_fault4k,
	  .run = run_inside, .close = close_vm, .exit_reason = KVM_EXIT_HLT,
	  .n = { 128, 640 }, CODE(touch), .step = 64 << 10 },
	{ "fault-2m", .open = open_fault2m, .prepare = prepare_fault2m, .run = run_inside,
	  .close = close_vm, .exit_reason = KVM_EXIT_HLT, .n = { 4, 16 }, CODE(touch) },
	{ "vm-lifetime", .open = open_nothing, .prepare = prepare_none, .run = run_lifetime,
	  .exit_reason = KVM_EXIT_HLT, .n = { 2, 10 }, CODE(hlt) },
	{ "slot", .open = open_slot, .prepare = prepare_none, .run = run_slot,
	  .close = close_vm, .n = { 5, 20 }, CODE(hlt) },
	{ "floor", .open = open_floor, .prepare = prepare_none, .run = run_floor,
	  .close = close_vm, .n = { 100, 500 }, CODE(hlt) },
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void measure(const struct row *row, unsigned int repeat)
{
	static struct batch batches[MAX_REPEAT][2];

	if (!row->open(row))
		return;
	/* The first batches are the dearest (allocators, lazy setup): never the cheapest. */
	for (unsigned int i = 0; i < repeat; i++) {
		for (int size = 0; size < 2; size++) {
			struct batch *batch = &batches[i][size];
			uint64_t start;

			row->prepare(row, row->n[size]);
			batch->seq = *ended;
			MARK_BEGIN();
			start = ticks();
			row->run(row, row->n[size]);
			batch->ticks = ticks() - start;
			MARK_END();
			++*ended;
		}
	}
	if (row->close)
		row->close();
	/* Printing is slow and wakes others up, so none of it between the batches. */
	for (unsigned int i = 0; i < repeat; i++)
		for (int size = 0; size < 2; size++)
			printf("batch %u %s %u %llu\n", batches[i][size].seq, row->name,
			       row->n[size], (unsigned long long)batches[i][size].ticks);
}

/* Returns whether the row's process ended well. */
static bool measure_apart(const struct row *row, unsigned int repeat)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		alarm(ROW_SECONDS);
		measure(row, repeat);
		exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (!status)
		return true;
	if (WIFSIGNALED(status))
		printf("fail %s killed by signal %d%s\n", row->name, WTERMSIG(status),
		       WTERMSIG(status) == SIGALRM ? " (time ran out)" : "");
	else
		printf("fail %s\n", row->name);
	return false;
}

/*
 * A command as a row of one batch of one: a whole guest's life, say. Its output
 * goes to stderr, so that the lines of ours stay apart.
 */
static bool measure_command(const char *name, char **argv)
{
	uint64_t start, took;
	pid_t child;
	int status;

	fflush(stdout);
	MARK_BEGIN();
	start = ticks();
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[0], argv);
		die(argv[0]);
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	took = ticks() - start;
	MARK_END();
	if (status) {
		printf("fail %s status %d of %s\n", name, status, argv[0]);
		return false;
	}
	printf("batch 0 %s 1 %llu\n", name, (unsigned long long)took);
	return true;
}

/* What the driver prints about the machine. */
static void print_machine(void)
{
	static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
	struct dirent **names;
	struct utsname uts;
	char line[256];
	int n;
	FILE *f;

	if (!uname(&uts))
		printf("info kernel %s\n", uts.release);
	f = fopen("/proc/cpuinfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "model name", 10)) {
			printf("info cpu%s", strchr(line, ':') + 1);
			break;
		}
	}
	if (f)
		fclose(f);
	n = scandir(dir, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char path[sizeof(dir) + sizeof(names[i]->d_name)];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		f = names[i]->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (f && fgets(line, sizeof(line), f))
			printf("vuln %s %s", names[i]->d_name, line);
		if (f)
			fclose(f);
	}
}

static void usage(FILE *to)
{
	fputs("usage: bench-client [--dev PATH] [--row NAME]... [--repeat N] [--list]\n"
	      "       bench-client --time NAME COMMAND [ARGS...]\n"
	      "  --dev PATH   the device (default: $LUCID_DEV, else /dev/lucid)\n"
	      "  --row NAME   only this row; repeatable\n"
	      "  --repeat N   batches of each size (default 12)\n"
	      "  --list       print the rows' names and exit\n"
	      "  --time NAME  time COMMAND, as a row of that name\n", to);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "row", required_argument, NULL, 'r' },
		{ "repeat", required_argument, NULL, 'n' },
		{ "time", required_argument, NULL, 't' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const char *dev = getenv("LUCID_DEV"), *command = NULL;
	bool wanted[N_ROWS] = { }, any = false, failed = false;
	unsigned int repeat = 12;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		size_t i;

		switch (option) {
		case 'd':
			dev = optarg;
			break;
		case 'r':
			for (i = 0; i < N_ROWS && strcmp(rows[i].name, optarg); i++)
				;
			if (i == N_ROWS) {
				fprintf(stderr, "bench: no row %s; --list names them\n", optarg);
				return 1;
			}
			wanted[i] = any = true;
			break;
		case 'n':
			repeat = atoi(optarg);
			if (repeat < 2 || repeat > MAX_REPEAT) {
				fprintf(stderr, "bench: --repeat is 2 to %d\n", MAX_REPEAT);
				return 1;
			}
			break;
		case 't':
			command = optarg;
			break;
		case 'l':
			for (i = 0; i < N_ROWS; i++)
				puts(rows[i].name);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 1;
		}
	}
	if (command && optind < argc) {
		print_machine();
		failed = !measure_command(command, argv + optind);
		puts("done");
		return failed;
	}
	device_open(dev ? dev : "/dev/lucid");
	print_machine();
	slot0 = map_memory(GUEST_SIZE, false);
	ended = mmap(NULL, sizeof(*ended), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ended == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < N_ROWS; i++)
		if ((!any || wanted[i]) && !measure_apart(&rows[i], repeat))
			failed = true;
	puts("done");
	return failed;
}
