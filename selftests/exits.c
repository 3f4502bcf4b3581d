// SPDX-License-Identifier: GPL-2.0
/* Each reason for which KVM_RUN comes back says what the guest did, exactly. */
#include <signal.h>
#include <sys/time.h>
#include "guest.h"

/* ---- Ports ------------------------------------------------------------- */

static void ports(void)
{
	unsigned long rax;

	outb(0x60, 0x5a);
	outw(0x1234, 0xbeef);
	outl(0xfffc, 0xdeadbeef);
	/* the upper part of RAX: kept by IN of 1 and 2 bytes, cleared by 4 */
	asm volatile("inb $0x61, %%al" : "=a"(rax) : "0"(~0ul));
	GUEST_ASSERT_EQ(rax, 0xffffffffffffff81);
	asm volatile("inw %%dx, %%ax" : "=a"(rax) : "0"(~0ul), "d"(0x1234));
	GUEST_ASSERT_EQ(rax, 0xffffffffffff8001);
	asm volatile("inl %%dx, %%eax" : "=a"(rax) : "0"(~0ul), "d"(0xfffc));
	GUEST_ASSERT_EQ(rax, 0x80000001);
}

#define ASSERT_IO(c, dir, pt, sz) do {					\
	ASSERT_EXIT(c, KVM_EXIT_IO);					\
	ASSERT_EQ(dir, (c)->run->io.direction);				\
	ASSERT_EQ(pt, (c)->run->io.port);				\
	ASSERT_EQ(sz, (c)->run->io.size);				\
	ASSERT_EQ(1, (c)->run->io.count);				\
} while (0)

TEST(port_io)
{
	struct vcpu *c = guest64(ports);

	ASSERT_IO(c, KVM_EXIT_IO_OUT, 0x60, 1);
	EXPECT_EQ(0x5a, *(uint8_t *)io_data(c));
	ASSERT_IO(c, KVM_EXIT_IO_OUT, 0x1234, 2);
	EXPECT_EQ(0xbeef, *(uint16_t *)io_data(c));
	ASSERT_IO(c, KVM_EXIT_IO_OUT, 0xfffc, 4);
	EXPECT_EQ(0xdeadbeef, *(uint32_t *)io_data(c));
	ASSERT_IO(c, KVM_EXIT_IO_IN, 0x61, 1);
	*(uint8_t *)io_data(c) = 0x81;
	ASSERT_IO(c, KVM_EXIT_IO_IN, 0x1234, 2);
	*(uint16_t *)io_data(c) = 0x8001;
	ASSERT_IO(c, KVM_EXIT_IO_IN, 0xfffc, 4);
	*(uint32_t *)io_data(c) = 0x80000001;
	ASSERT_DONE(c);
}

static void halts(void)
{
	hlt();
	hlt();
}

static void one_in(void)
{
	GUEST_ASSERT_EQ(inb(0x61), 0x77);
	hlt();
}

/* API: re-entry with a pending signal or immediate_exit completes the access. */
TEST(io_completes_before_immediate_exit)
{
	struct vcpu *c = guest64(one_in);
	uint64_t rip;

	ASSERT_IO(c, KVM_EXIT_IO_IN, 0x61, 1);
	rip = vcpu_regs(c).rip;
	*(uint8_t *)io_data(c) = 0x77;
	c->run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, vcpu_run(c));
	c->run->immediate_exit = 0;
	EXPECT_EQ(0x77, vcpu_regs(c).rax & 0xff);
	EXPECT_LE(rip, vcpu_regs(c).rip);
	ASSERT_EXIT(c, KVM_EXIT_HLT);
}

#define STR_LEN 5000
static uint8_t str_buf[STR_LEN + 64];

/* REP OUTS and INS of 1, 2, 4 bytes: count, direction flag, page crossing */
#define STRING_IO(insn, reg, size, port, n, down) do {			\
	unsigned long __p = (unsigned long)str_buf + 8 +		\
			    ((down) ? ((n) - 1) * (size) : 0);		\
	unsigned long __c = (n), __q = __p;				\
									\
	if (down)							\
		asm volatile("std; rep " insn "; cld" : "+" reg(__q), "+c"(__c) \
			     : "d"(port) : "memory", "cc");		\
	else								\
		asm volatile("rep " insn : "+" reg(__q), "+c"(__c)	\
			     : "d"(port) : "memory");			\
	GUEST_ASSERT_EQ(__c, 0);					\
	GUEST_ASSERT_EQ(__q, __p + ((down) ? -(n) * (size) : (n) * (size))); \
} while (0)

static void strings(void)
{
	int i;

	for (i = 0; i < STR_LEN; i++)
		str_buf[8 + i] = i * 7;
	STRING_IO("outsb", "S", 1, 0x70, 1, 0);
	STRING_IO("outsb", "S", 1, 0x70, 37, 0);
	STRING_IO("outsb", "S", 1, 0x70, STR_LEN, 0);
	STRING_IO("outsw", "S", 2, 0x70, 300, 0);
	STRING_IO("outsl", "S", 4, 0x70, 1200, 0);
	STRING_IO("outsb", "S", 1, 0x70, 0, 0);
	STRING_IO("outsl", "S", 4, 0x70, 9, 1);
	GUEST_SYNC(1);
	for (i = 0; i < STR_LEN; i++)
		str_buf[8 + i] = 0;
	STRING_IO("insb", "D", 1, 0x71, STR_LEN, 0);
	for (i = 0; i < STR_LEN; i++)
		GUEST_ASSERT_EQ(str_buf[8 + i], (uint8_t)(i * 13));
	GUEST_ASSERT_EQ(str_buf[8 + STR_LEN], 0);
	GUEST_SYNC(2);
	STRING_IO("insl", "D", 4, 0x71, 1100, 0);
	for (i = 0; i < 4400; i++)
		GUEST_ASSERT_EQ(str_buf[8 + i], (uint8_t)(i * 13));
	GUEST_SYNC(3);
	STRING_IO("insw", "D", 2, 0x71, 50, 1);
	for (i = 0; i < 50; i++) {
		GUEST_ASSERT_EQ(str_buf[8 + 98 - i * 2], (uint8_t)(i * 26));
		GUEST_ASSERT_EQ(str_buf[8 + 99 - i * 2], (uint8_t)(i * 26 + 13));
	}
}

/* How KVM cuts a long string is its own affair; the bytes in order are not. */
static long take_string(struct vcpu *c, uint16_t port, uint8_t *out, long max)
{
	long n = 0;

	while (vcpu_next(c) == G_EXIT && c->run->exit_reason == KVM_EXIT_IO &&
	       c->run->io.port == port) {
		long len = c->run->io.size * c->run->io.count;

		if (c->run->io.count == 0 || n + len > max)
			return -1;
		if (c->run->io.direction == KVM_EXIT_IO_OUT)
			memcpy(out + n, io_data(c), len);
		else
			memcpy(io_data(c), out + n, len);
		n += len;
	}
	return n;
}

TEST(string_io)
{
	static const int seq[] = { 1, 37, STR_LEN, 600, 4800 };
	static uint8_t buf[20000];
	struct vcpu *c = guest64(strings);
	long total = 0, i, k;

	for (i = 0; i < (int)ARRAY_SIZE(seq); i++)
		total += seq[i];
	ASSERT_EQ(total + 36, take_string(c, 0x70, buf, sizeof(buf)));
	ASSERT_EQ(G_SYNC, (int)c->event.kind);
	for (total = i = 0; i < (int)ARRAY_SIZE(seq); total += seq[i++])
		for (k = 0; k < seq[i]; k++)
			ASSERT_EQ((uint8_t)(k * 7), buf[total + k]);
	for (k = 0; k < 36; k++)	/* nine longs, the last first */
		ASSERT_EQ((uint8_t)((32 - k / 4 * 4 + k % 4) * 7), buf[total + k]);

	for (i = 0; i < (int)sizeof(buf); i++)
		buf[i] = i * 13;
	ASSERT_EQ(STR_LEN, take_string(c, 0x71, buf, sizeof(buf)));
	ASSERT_EQ(G_SYNC, (int)c->event.kind);
	ASSERT_EQ(4400, take_string(c, 0x71, buf, sizeof(buf)));
	ASSERT_EQ(G_SYNC, (int)c->event.kind);
	ASSERT_EQ(100, take_string(c, 0x71, buf, sizeof(buf)));
	if (c->event.kind != G_DONE)
		vcpu_dump(c);
	ASSERT_EQ(G_DONE, (int)c->event.kind);
}

/* 16-bit addresses, segments and an override; SI and DI wrap by themselves. */
asm(".text\n.code16\n"
    "str16: mov $0x1000, %ax\n mov %ax, %fs\n mov $0x2000, %ax\n mov %ax, %es\n"
    "mov $0x70, %dx\n mov $6, %cx\n mov $0x20, %si\n rep outsb %fs:(%si), %dx\n"
    "mov %si, %ax\n out %ax, $0x11\n"
    "mov $0x71, %dx\n mov $3, %cx\n mov $0x30, %di\n rep insw\n"
    "mov %di, %ax\n out %ax, $0x12\n"
    "str16_end: .code64\n");
extern const char str16[], str16_end[];

TEST(string_io_real_mode)
{
	struct vcpu *c = guest_asm(REAL16, str16, str16_end);
	uint8_t out[16], in[6] = "abcdef";

	memcpy(c->vm->mem + 0x10020, "string", 6);
	ASSERT_EQ(6, take_string(c, 0x70, out, sizeof(out)));
	EXPECT_EQ(0, memcmp(out, "string", 6));
	EXPECT_EQ(0x26, c->event.a);
	ASSERT_EQ(6, take_string(c, 0x71, in, sizeof(in)));
	ASSERT_EQ(G_DONE, (int)c->event.kind);
	EXPECT_EQ(0x36, c->event.a);
	EXPECT_EQ(0, memcmp(c->vm->mem + 0x20030, "abcdef", 6));
}

/* A page fault in the middle: what was before it has been done, RCX says so. */
static void string_fault(void)
{
	uint64_t si = GUEST_DATA + 4096 - 10, cx = 30;
	int v;

	*GUEST_PTE(GUEST_DATA + 4096) = 0;
	invlpg((void *)(GUEST_DATA + 4096));
	v = TRY("rep outsb", TRY_COMMA("+S"(si), "+c"(cx)), "d"(0x70));
	GUEST_ASSERT_EQ(v, PF);
	GUEST_ASSERT_EQ(cx, 20);
	GUEST_ASSERT_EQ(si, GUEST_DATA + 4096);
	GUEST_ASSERT_EQ(read_cr2(), GUEST_DATA + 4096);
}

TEST(string_io_meets_page_fault)
{
	struct vcpu *c = guest64(string_fault);
	uint8_t out[64];

	memcpy(c->vm->mem + GUEST_DATA + 4096 - 10, "0123456789", 10);
	ASSERT_EQ(10, take_string(c, 0x70, out, sizeof(out)));
	EXPECT_EQ(0, memcmp(out, "0123456789", 10));
	if (c->event.kind != G_DONE)
		vcpu_dump(c);
	ASSERT_EQ(G_DONE, (int)c->event.kind);
}

/* ---- Registers ---------------------------------------------------------- */

/*
 * All of them, new values before each exit, to the kernel alone (RDMSR) and to
 * userspace: loaded from gpr[], and stored in gpr_after[] behind the exit.
 */
uint64_t gpr[16], gpr_after[16];	/* global: named in the asm */

#define EACH(op)							\
	op(rbx, 3) op(rsi, 6) op(rdi, 7) op(rbp, 5) op(r8, 8) op(r9, 9)	\
	op(r10, 10) op(r11, 11) op(r12, 12) op(r13, 13) op(r14, 14) op(r15, 15)
#define LOAD(r, n)	"mov gpr + 8 * " #n ", %%" #r "\n"
#define STORE(r, n)	"mov %%" #r ", gpr_after + 8 * " #n "\n"
#define ROUND(exit)							\
	asm volatile("push %%rbp; push %%rbx\n" EACH(LOAD) exit "\n" EACH(STORE) \
		     "pop %%rbx; pop %%rbp"				\
		     : : "a"(0), "c"(0x250), "d"(0x60)			\
		     : "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",	\
		       "r14", "r15", "memory", "cc")

static void set_gprs(uint64_t round)
{
	for (int i = 0; i < 16; i++)
		gpr[i] = gpr_after[i] = round << 32 | 0x1111 * i;
}

static void check_gprs(void)
{
	static const int nr[] = { 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (unsigned int i = 0; i < ARRAY_SIZE(nr); i++)
		GUEST_ASSERT_EQ(gpr_after[nr[i]], gpr[nr[i]]);
}

static void all_registers(void)
{
	uint64_t round;

	for (round = 1; round < 10; round++) {
		set_gprs(round * 3);
		ROUND("rdmsr");
		check_gprs();
		set_gprs(round * 3 + 1);
		ROUND("outb %%al, $0x60");
		check_gprs();
		set_gprs(round * 3 + 2);
		ROUND("hlt");
		check_gprs();
	}
	/* what userspace changed arrives */
	set_gprs(100);
	ROUND("hlt");
	for (round = 0; round < 16; round++)
		gpr[round] = ~gpr[round];
	check_gprs();
}

TEST(registers_survive_exits)
{
	struct vcpu *c = guest64(all_registers);
	struct kvm_regs r;
	int i;

	for (i = 1; i < 10; i++) {
		ASSERT_IO(c, KVM_EXIT_IO_OUT, 0x60, 1);
		r = vcpu_regs(c);
		EXPECT_EQ((uint64_t)(i * 3 + 1) << 32 | 0x3333, r.rbx);
		EXPECT_EQ((uint64_t)(i * 3 + 1) << 32 | 0x1111 * 15, r.r15);
		ASSERT_EXIT(c, KVM_EXIT_HLT);
	}
	ASSERT_EXIT(c, KVM_EXIT_HLT);
	r = vcpu_regs(c);
	r.rbx = ~r.rbx; r.rbp = ~r.rbp; r.rsi = ~r.rsi; r.rdi = ~r.rdi;
	r.r8 = ~r.r8; r.r9 = ~r.r9; r.r10 = ~r.r10; r.r11 = ~r.r11;
	r.r12 = ~r.r12; r.r13 = ~r.r13; r.r14 = ~r.r14; r.r15 = ~r.r15;
	vcpu_set_regs(c, r);
	ASSERT_DONE(c);
}

/* ---- Stops ------------------------------------------------------------- */

TEST(hlt_exits)
{
	struct vcpu *c = guest64(halts);
	uint64_t rip;

	ASSERT_EXIT(c, KVM_EXIT_HLT);
	rip = vcpu_regs(c).rip;
	ASSERT_EXIT(c, KVM_EXIT_HLT);
	EXPECT_EQ(rip + 1, vcpu_regs(c).rip);
	ASSERT_DONE(c);
}

static void triple(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(none));
}

TEST(triple_fault_is_shutdown)
{
	struct vcpu *c = guest64(triple);

	ASSERT_EXIT(c, KVM_EXIT_SHUTDOWN);
}

/* EFER.LMA with CS.L and CS.D both set is no state a CPU can enter. */
TEST(illegal_state_fails_entry)
{
	struct vcpu *c = guest64(halts);
	struct kvm_sregs s = vcpu_sregs(c);
	int r;

	if (!host_is_amd())
		SKIP(return, "this illegal state is AMD's");
	s.cs.db = 1;
	r = eioctl(c->fd, KVM_SET_SREGS, &s);
	if (r) {		/* refused earlier is as good */
		EXPECT_EQ(-EINVAL, r);
		return;
	}
	ASSERT_EXIT(c, KVM_EXIT_FAIL_ENTRY);
	EXPECT_EQ(~0u, (uint32_t)c->run->fail_entry.hardware_entry_failure_reason);
	/*
	 * The vCPU is good again when its state is. All of the state: QEMU's SVM
	 * writes registers back at a failed entry, which no CPU does.
	 */
	vcpu_start64(c, halts, 0, 0);
	ASSERT_EXIT(c, KVM_EXIT_HLT);
}

static void count_up(void)
{
	uint64_t i;

	for (i = 1;; i++)
		GUEST_SYNC(i);
}

/* A vCPU that has run, and an event that QEMU's VMRUN does not take. */
TEST(refused_event_leaves_the_state)
{
	struct vcpu *c = guest64(count_up);
	struct kvm_vcpu_events none, e;
	struct kvm_regs r, r2;
	struct kvm_sregs s, s2;

	if (!host_is_tcg())
		SKIP(return, "for QEMU's idea of what is illegal");
	if (dev_is_kvm())
		SKIP(return, "KVM shows what QEMU has left in the control block");
	ASSERT_SYNC(c, 1);
	none = e = vcpu_events(c);
	r = vcpu_regs(c);
	s = vcpu_sregs(c);
	e.exception.injected = 1;
	e.exception.nr = 31;
	vcpu_set_events(c, e);
	ASSERT_EXIT(c, KVM_EXIT_FAIL_ENTRY);
	r2 = vcpu_regs(c);
	s2 = vcpu_sregs(c);
	/* KVM_RUN has completed the port write of the guest's message. */
	EXPECT_LE(r.rip, r2.rip);
	r.rip = r2.rip;
	EXPECT_EQ(0, memcmp(&r, &r2, sizeof(r)));
	EXPECT_EQ(0, memcmp(&s, &s2, sizeof(s)));
	vcpu_set_events(c, none);
	ASSERT_SYNC(c, 2);
}

TEST(code_outside_memory_is_an_internal_error)
{
	struct vcpu *c = guest64(halts);
	struct kvm_regs r = vcpu_regs(c);

	r.rip = GUEST_MMIO;
	vcpu_set_regs(c, r);
	ASSERT_EXIT(c, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, c->run->internal.suberror);
	EXPECT_EQ(GUEST_MMIO, vcpu_regs(c).rip);
}

/* ---- Interrupt window -------------------------------------------------- */

static void window(void)
{
	GUEST_SYNC(1);
	asm volatile("sti; nop; nop");
	GUEST_SYNC(2);
	asm volatile("cli");
	GUEST_SYNC(3);
}

TEST(irq_window_open)
{
	struct vcpu *c = guest64(window);

	vcpu_set_if(c, false);
	ASSERT_SYNC(c, 1);
	EXPECT_EQ(0, c->run->if_flag);
	EXPECT_EQ(0, c->run->ready_for_interrupt_injection);
	c->run->request_interrupt_window = 1;
	ASSERT_EXIT(c, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(1, c->run->if_flag);
	EXPECT_EQ(1, c->run->ready_for_interrupt_injection);
	/* open already: comes back at once, with the guest where it was */
	ASSERT_EXIT(c, KVM_EXIT_IRQ_WINDOW_OPEN);
	c->run->request_interrupt_window = 0;
	ASSERT_SYNC(c, 2);
	EXPECT_EQ(1, c->run->if_flag);
	ASSERT_SYNC(c, 3);
	EXPECT_EQ(0, c->run->if_flag);
	ASSERT_DONE(c);
}

/* ---- CR8 --------------------------------------------------------------- */

static void tpr(void)
{
	write_cr8(9);
	GUEST_SYNC(read_cr8());
	write_cr8(3);
	GUEST_ASSERT_EQ(read_cr8(), 3);
	write_cr8(3);		/* not lower: nothing for userspace to do */
	GUEST_ASSERT_EQ(read_cr8(), 5);
}

TEST(cr8_lowered_is_set_tpr)
{
	struct vcpu *c = guest64(tpr);

	ASSERT_SYNC(c, 9);
	EXPECT_EQ(9, c->run->cr8);
	EXPECT_EQ(9, vcpu_sregs(c).cr8);
	ASSERT_EXIT(c, KVM_EXIT_SET_TPR);
	EXPECT_EQ(3, c->run->cr8);
	c->run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, vcpu_run(c));
	c->run->immediate_exit = 0;
	c->run->cr8 = 3;
	ASSERT_EQ(G_FAIL, vcpu_next(c));	/* "== 5" is not so: CR8 is 3 */
	EXPECT_EQ(3, c->event.a);
	/* kvm_run.cr8 goes into the guest at entry */
	c->run->cr8 = 7;
	ASSERT_DONE(c);
	EXPECT_EQ(7, vcpu_sregs(c).cr8);
}

/* ---- Signals (more in signals.c) --------------------------------------- */

static void spin(void)
{
	for (;;)
		cpu_relax();
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(signal_is_eintr)
{
	struct vcpu *c = guest64(spin);
	struct itimerval tv = { .it_value.tv_usec = 20000 };
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &tv, NULL);
	ASSERT_EQ(-EINTR, vcpu_run(c));
	ASSERT_EQ(KVM_EXIT_INTR, c->run->exit_reason);
}

TEST(immediate_exit_enters_nothing)
{
	struct vcpu *c = guest64(spin);

	c->run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, vcpu_run(c));
	ASSERT_EQ((uintptr_t)spin, vcpu_regs(c).rip);
}

/* ---- Hypercalls -------------------------------------------------------- */

static void hypercall(void)
{
	long ret;

	if (host_is_amd())
		asm volatile("vmmcall" : "=a"(ret) : "0"(0x4c554349) : "memory");
	else
		asm volatile("vmcall" : "=a"(ret) : "0"(0x4c554349) : "memory");
	GUEST_ASSERT_EQ(ret, -1000);	/* -KVM_ENOSYS */
}

TEST(unknown_hypercall_is_enosys)
{
	struct vcpu *c = guest64(hypercall);

	ASSERT_DONE(c);
}

TEST_HARNESS_MAIN
