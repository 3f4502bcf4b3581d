// SPDX-License-Identifier: GPL-2.0
/*
 * Host tasks on the same CPU as a guest that sets hostile values wherever it
 * can: MSRs of system calls and segments, TSC_AUX, debug registers, XCR0, all
 * vector registers.  Each task finds its own state, for as long as it looks.
 */
#include <asm/prctl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include "abi_state.h"

#define LOOK_MS	(400 * test_seconds(1))

/* ---- The guest --------------------------------------------------------------- */

static volatile uint64_t count, use_avx, has_xsave;

static void set_everything(uint64_t i)
{
	const uint64_t v = 0xffff9000dead0000 + i * 4096;	/* canonical, nobody's */

	try_wrmsr(MSR_STAR, v);
	try_wrmsr(MSR_LSTAR, v);
	try_wrmsr(MSR_CSTAR, v);
	try_wrmsr(MSR_SFMASK, i);
	try_wrmsr(MSR_FS_BASE, v);
	try_wrmsr(MSR_GS_BASE, v);
	try_wrmsr(MSR_KERNEL_GS_BASE, v);
	try_wrmsr(MSR_SYSENTER_CS, i & 0xfff8);
	try_wrmsr(MSR_SYSENTER_ESP, v);
	try_wrmsr(MSR_SYSENTER_EIP, v);
	try_wrmsr(MSR_TSC_AUX, 0xdead0000 + i);
	try_wrmsr(MSR_DEBUGCTL, 3);
	try_wrmsr(MSR_PAT, 0);
	try_wrmsr(0x48, i & 7);
	try_wrmsr(0x49, 1);
	try_wrmsr(0xda0, -1ull);
	asm volatile("lldt %w0; mov %w0, %%gs; mov %w0, %%fs" : : "r"(0));
	asm volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15;"
		     "fninit; fld1; fldpi" : : : "memory");
	if (has_xsave)
		asm volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0; vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0;"
			     "vmovaps %%ymm0, %%ymm1; vmovaps %%ymm0, %%ymm2; vmovaps %%ymm0, %%ymm15"
			     : : : "memory");
}

static void ignore(struct guest_regs *r)
{
	r->rflags |= RFLAGS_RF;
}

static void hostile(uint64_t debug)
{
	uint32_t r[4];
	uint64_t i;

	guest_handler[DB] = ignore;
	cpuid(1, 0, r);
	if (r[2] & BIT(26)) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		has_xsave = try_xsetbv(0, 7) == NONE && r[2] & BIT(28) && use_avx;
	}
	if (debug) {
		write_dr0(0xffffffff81000000);
		write_dr1(GUEST_DATA);
		write_dr2(0x7fffffffe000);
		write_dr3(GUEST_DATA + 64);
		write_dr7(0x9d9d07aa & ~0xf000000ul);
	}
	for (i = 0;; i++) {
		set_everything(i);
		cpuid(0, 0, r);
		if (i % 64 == 0)
			outb(0x80, 0);
		count++;
	}
}

/* ---- The host ---------------------------------------------------------------- */

FIXTURE(beside) {
	pid_t guest;
	volatile uint64_t *progress;
	uint64_t began;
};
FIXTURE_VARIANT(beside) { bool debug; };

FIXTURE_SETUP(beside)
{
	int i;

	if (variant->debug && host_is_tcg())
		return;
	self->progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pin(0);
	self->guest = fork();
	if (!self->guest) {
		struct vcpu *c;

		/* QEMU does not intercept XSETBV: KVM forgets what the guest set */
		use_avx = !(host_is_tcg() && dev_is_kvm());
		c = vcpu_create(vm_create(), 0);
		vcpu_start64(c, hostile, variant->debug, 0);
		while (vcpu_next(c) == G_EXIT && c->run->exit_reason == KVM_EXIT_IO)
			++*self->progress;
		vcpu_dump(c);
		_exit(1);
	}
	for (i = 0; i < 5000 && *self->progress < 3; i++)
		usleep(1000);
	self->began = *self->progress;
	ASSERT_LE(3, self->began);
}

FIXTURE_TEARDOWN(beside)
{
	int st;

	int i;

	if (!self->guest)
		return;
	/* the guest ran all the while, on this CPU, and still does */
	for (i = 0; i < 5000 && *self->progress == self->began; i++)
		usleep(1000);
	EXPECT_LT(self->began, *self->progress);
	EXPECT_EQ(0, waitpid(self->guest, &st, WNOHANG));
	kill(self->guest, SIGKILL);
	waitpid(self->guest, &st, 0);
}

FIXTURE_VARIANT_ADD(beside, guest) { false };
FIXTURE_VARIANT_ADD(beside, guest_with_breakpoints) { true };

#define NEEDS_THE_GUEST							\
	if (!self->guest)						\
		SKIP(return, EMULATOR "VMRUN and #VMEXIT forget its own list of breakpoints, and it crashes")

/* Do it again and again, with and without giving the CPU away in between. */
#define LOOK(...) do {							\
	long __end = now_ms() + LOOK_MS;				\
	int __n = 0;							\
									\
	while (now_ms() < __end) {					\
		__VA_ARGS__;						\
		if (__n++ % 3 == 0)					\
			sched_yield();					\
		if (__n % 1000 == 0)					\
			usleep(1000);					\
	}								\
} while (0)

/* A handler, because the kernel logs who dies of it without one. */
static void on_segv(int sig)
{
	(void)sig;
	_exit(42);
}

TEST_F(beside, ports_by_ioperm)
{
	int st;
	pid_t pid;

	NEEDS_THE_GUEST;
	pid = fork();
	if (!pid) {
		signal(SIGSEGV, on_segv);
		outb(0x80, 0);		/* no permission */
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	ASSERT_TRUE(WIFEXITED(st));
	ASSERT_EQ(42, WEXITSTATUS(st));

	ASSERT_EQ(0, syscall(SYS_ioperm, 0x80, 1, 1));
	LOOK(outb(0x80, __n));
	pid = fork();
	if (!pid) {
		if (syscall(SYS_ioperm, 0x80, 1, 1))
			_exit(2);
		LOOK(outb(0x80, __n));
		signal(SIGSEGV, on_segv);
		outb(0x81, 0);		/* the neighbour is not ours */
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	ASSERT_TRUE(WIFEXITED(st));
	ASSERT_EQ(42, WEXITSTATUS(st));
}

TEST_F(beside, cpu_number_in_tsc_aux)
{
	uint32_t r[4], aux, lo, hi;
	bool rdpid;

	NEEDS_THE_GUEST;
	cpuid(0x80000001, 0, r);
	if (!(r[3] & BIT(27)))
		SKIP(return, "no RDTSCP");
	cpuid(7, 0, r);
	rdpid = r[2] & BIT(22);
	LOOK(
		asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
		ASSERT_EQ(cpu_id(0), aux);
		if (rdpid) {
			uint64_t v;

			asm volatile("rdpid %0" : "=r"(v));
			ASSERT_EQ(cpu_id(0), v);
		}
	);
}

TEST_F(beside, segment_bases)
{
	static uint64_t mine[2] = { 0x1122334455667788 };
	unsigned long base, fs;
	uint64_t v;

	NEEDS_THE_GUEST;
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_SET_GS, mine));
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	LOOK(
		asm volatile("mov %%gs:0, %0" : "=r"(v));
		ASSERT_EQ(mine[0], v);
		ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
		ASSERT_EQ((unsigned long)mine, base);
		ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
		ASSERT_EQ(fs, base);
	);
}

/* All three doors of a 64-bit process and of a 32-bit one */
TEST_F(beside, system_calls_by_int80)
{
	long want = getpid(), got;

	NEEDS_THE_GUEST;
	LOOK(
		asm volatile("int $0x80" : "=a"(got) : "0"(20) : "memory", "r8", "r9", "r10", "r11");
		ASSERT_EQ(want, got);
		ASSERT_EQ(want, syscall(SYS_getpid));
	);
}

/*
 * A static i386 program, in place: it finds the vdso's entry (AT_SYSINFO, by
 * SYSENTER or SYSCALL, whichever this CPU has) and compares getpid() through
 * it with getpid() through int 0x80, two million times or what %esi says.
 */
asm(".pushsection .rodata\n"
    ".balign 16\n"
    "elf32:\n"
    "	.byte 0x7f, 'E', 'L', 'F', 1, 1, 1, 0\n"
    "	.quad 0\n"
    "	.short 2, 3\n"				/* executable, i386 */
    "	.long 1, 0x8048000 + (elf32_code - elf32), elf32_ph - elf32, 0, 0\n"
    "	.short 52, 32, 1, 0, 0, 0\n"
    "elf32_ph:\n"
    "	.long 1, 0, 0x8048000, 0x8048000, elf32_end - elf32, elf32_end - elf32, 5, 0x1000\n"
    "elf32_code:\n"
    "	.code32\n"
    "	mov (%esp), %ecx\n"			/* argc, argv, NULL, envp, NULL, auxv */
    "	lea 8(%esp, %ecx, 4), %edi\n"
    "1:	mov (%edi), %eax\n"
    "	add $4, %edi\n"
    "	test %eax, %eax\n"
    "	jnz 1b\n"
    "2:	mov (%edi), %eax\n"
    "	add $8, %edi\n"
    "	test %eax, %eax\n"
    "	jz 8f\n"
    "	cmp $32, %eax\n"			/* AT_SYSINFO */
    "	jne 2b\n"
    "	mov -4(%edi), %edi\n"
    "	mov $20000, %esi\n"
    "3:	mov $20, %eax\n"
    "	int $0x80\n"
    "	mov %eax, %ebx\n"
    "	mov $20, %eax\n"
    "	call *%edi\n"
    "	cmp %eax, %ebx\n"
    "	jne 9f\n"
    "	test $7, %esi\n"
    "	jnz 4f\n"
    "	mov $158, %eax\n"			/* sched_yield */
    "	call *%edi\n"
    "4:	dec %esi\n"
    "	jnz 3b\n"
    "	xor %ebx, %ebx\n"
    "	jmp 7f\n"
    "8:	mov $77, %ebx\n"			/* no vdso */
    "	jmp 7f\n"
    "9:	mov $1, %ebx\n"
    "7:	mov $1, %eax\n"
    "	int $0x80\n"
    "	.code64\n"
    "elf32_end:\n"
    ".popsection\n");
extern const char elf32[], elf32_end[];

TEST_F(beside, system_calls_of_a_32_bit_program)
{
	char *const argv[] = { "elf32", NULL };
	int fd = syscall(SYS_memfd_create, "elf32", 0), st;
	pid_t pid;

	NEEDS_THE_GUEST;
	ASSERT_EQ(elf32_end - elf32, write(fd, elf32, elf32_end - elf32));
	pid = fork();
	if (!pid) {
		fexecve(fd, argv, environ);
		_exit(errno == ENOEXEC ? 78 : 79);
	}
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	if (WIFEXITED(st) && WEXITSTATUS(st) == 78)
		SKIP(return, "the kernel runs no 32-bit programs");
	if (WIFEXITED(st) && WEXITSTATUS(st) == 77)
		SKIP(return, "no 32-bit vdso");
	ASSERT_EQ(0, st);
}

TEST_F(beside, vector_registers)
{
	static const uint64_t pattern[4] __attribute__((aligned(32))) = {
		0x0123456789abcdef, 0xfedcba9876543210, 0x5555aaaa3333cccc, 0x1,
	};
	uint32_t r[4], bad, avx;

	NEEDS_THE_GUEST;
	cpuid(1, 0, r);
	avx = (r[2] & BIT(27)) && (r[2] & BIT(28)) && (xgetbv(0) & 6) == 6;
	LOOK(
		/* one asm block: libc would use the registers in between */
		if (avx)
			asm volatile("vmovdqa (%2), %%ymm0; vmovdqa %%ymm0, %%ymm1;"
				     "vmovdqa %%ymm0, %%ymm7; vmovdqa %%ymm0, %%ymm15\n"
				     "mov $24, %%eax; syscall\n"	/* sched_yield */
				     "mov $20000, %%ecx; 1: dec %%ecx; jnz 1b\n"
				     "vxorps %%ymm1, %%ymm0, %%ymm0; vxorps %%ymm15, %%ymm7, %%ymm7;"
				     "vorps %%ymm0, %%ymm7, %%ymm7; vxorps (%2), %%ymm1, %%ymm1;"
				     "vorps %%ymm1, %%ymm7, %%ymm7\n"
				     "xor %0, %0; vptest %%ymm7, %%ymm7; setnz %b0; vzeroupper"
				     : "=&b"(bad) : "0"(0), "r"(pattern)
				     : "rax", "rcx", "r11", "memory", "cc");
		else
			asm volatile("movdqa (%2), %%xmm0; movdqa %%xmm0, %%xmm1\n"
				     "mov $24, %%eax; syscall\n"
				     "mov $20000, %%ecx; 1: dec %%ecx; jnz 1b\n"
				     "pxor %%xmm1, %%xmm0; pxor (%2), %%xmm1; por %%xmm1, %%xmm0\n"
				     "movq %%xmm0, %%rax; xor %0, %0; test %%rax, %%rax; setnz %b0"
				     : "=&b"(bad) : "0"(0), "r"(pattern)
				     : "rax", "rcx", "r11", "memory", "cc");
		ASSERT_EQ(0, bad);
		ASSERT_EQ(0, avx && (xgetbv(0) & 7) != 7);
	);
}

/* ---- Hardware breakpoints ------------------------------------------------------ */

static volatile uint64_t watched;

static int watch(volatile void *p)
{
	struct perf_event_attr a = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(a),
		.bp_type = HW_BREAKPOINT_W, .bp_addr = (uintptr_t)p, .bp_len = 8,
		.exclude_kernel = 1, .exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}

TEST_F(beside, breakpoints_by_perf)
{
	int fd = watch(&watched);
	uint64_t n = 0, got = 0;

	NEEDS_THE_GUEST;
	if (fd < 0)
		SKIP(return, "no perf breakpoints: %s", strerror(errno));
	LOOK(
		watched = n++;
	);
	ASSERT_EQ(8, read(fd, &got, 8));
	EXPECT_EQ(n, got);
	close(fd);
}

TEST_F(beside, breakpoints_by_ptrace)
{
	volatile uint64_t *go = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int st, i, hits = 0;
	pid_t pid;

	NEEDS_THE_GUEST;
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (i = 0; i < 200; i++) {
			watched = i;
			sched_yield();
		}
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	ASSERT_EQ(0, ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), &watched));
	ASSERT_EQ(0, ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]),
			    (void *)0x90001ul));	/* DR0: 8 bytes, writes */
	for (;;) {
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
		ASSERT_EQ(pid, waitpid(pid, &st, 0));
		if (WIFEXITED(st))
			break;
		ASSERT_EQ(SIGTRAP, WSTOPSIG(st));
		ASSERT_EQ(1, ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg[6]), 0) & 15);
		hits++;
		*go = hits;
	}
	EXPECT_EQ(200, hits);
}

/* A breakpoint on the very thread that runs the guest */
static void few_syncs(void)
{
	uint64_t i;

	for (i = 0; i < 50; i++) {
		write_dr0(0x123000 + i);
		write_dr7(0x402);
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(read_dr0(), 0x123000 + i);
	}
	write_dr7(0x400);
}

TEST(breakpoint_on_the_vcpu_thread)
{
	struct vcpu *c = guest64(few_syncs);
	int fd = watch(&watched), i;
	uint64_t got = 0;

	if (fd < 0)
		SKIP(return, "no perf breakpoints: %s", strerror(errno));
	for (i = 0; i < 50; i++) {
		watched = i;
		ASSERT_SYNC(c, i);
		watched = i;
	}
	ASSERT_DONE(c);
	ASSERT_EQ(8, read(fd, &got, 8));
	EXPECT_EQ(100, got);
}

TEST_F(beside, performance_counters)
{
	struct perf_event_attr a = {
		.type = PERF_TYPE_HARDWARE, .size = sizeof(a),
		.config = PERF_COUNT_HW_INSTRUCTIONS, .exclude_kernel = 1,
	};
	int fd = syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
	uint64_t got = 0, before = 0, i;

	NEEDS_THE_GUEST;
	if (fd < 0)
		SKIP(return, "no hardware counters: %s", strerror(errno));
	LOOK(
		ASSERT_EQ(8, read(fd, &before, 8));
		for (i = 0; i < 10000; i++)
			asm volatile("");
		ASSERT_EQ(8, read(fd, &got, 8));
		/* this task's own instructions, not the guest's */
		ASSERT_LT(before, got);
		ASSERT_GT(1000000, got - before);
	);
}

TEST_HARNESS_MAIN
