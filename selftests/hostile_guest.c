// SPDX-License-Identifier: GPL-2.0
/*
 * Guests that do their worst.  They stop or get their own exception; the host
 * does not notice: KVM_RUN returns what api.rst knows, signals still reach it,
 * timers are punctual after, XCR0 is the host's, the log stays clean
 * (selftests/run looks).
 */
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include "abi_state.h"

static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	(void)sig;
	ticks++;
}

static void tick(int us)
{
	struct itimerval t = { { 0, us }, { 0, us } };
	struct sigaction sa = { .sa_handler = on_tick };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

static int run_ticked(struct vcpu *c, int us)
{
	int r;

	tick(us);
	r = vcpu_run(c);
	tick(0);
	return r;
}

static bool has_osxsave(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	return r[2] & BIT(27);
}

/* Around every test: the host is what it was. */
FIXTURE(host) { uint64_t xcr0; };

FIXTURE_SETUP(host)
{
	self->xcr0 = has_osxsave() ? xgetbv(0) : 0;
}

FIXTURE_TEARDOWN(host)
{
	struct timespec t = { 0, 5000000 };
	int cpu;
	long from;

	for (cpu = 0; cpu < cpu_count(); cpu++) {
		pin(cpu);
		from = now_ms();
		nanosleep(&t, NULL);
		EXPECT_GT(20000, now_ms() - from);	/* not: in time; but: at all */
		if (self->xcr0)
			EXPECT_EQ(self->xcr0, xgetbv(0));
	}
}

/* ---- Faults without an end ------------------------------------------------------- */

static void triple_fault(void)
{
	static const struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none;

	asm volatile("lidt %0; ud2" : : "m"(none));
}

static void fault_in_the_fault_handler(void)
{
	static volatile uint64_t idt[16 * 2];
	static struct { uint16_t limit; uint64_t base; } __attribute__((packed)) t;
	uint64_t h = 0x7f00000000ull;		/* a page that is not there */
	int i;

	for (i = 0; i < 16; i++) {
		idt[i * 2] = (h & 0xffff) | SEL_CODE64 << 16 | 0x8e0000000000ull |
			     (h >> 16 & 0xffff) << 48;
		idt[i * 2 + 1] = h >> 32;
	}
	t.limit = sizeof(idt) - 1;
	t.base = (uintptr_t)idt;
	asm volatile("lidt %0" : : "m"(t));
	*(volatile uint64_t *)0x7f12345000ull = 1;
}

static void no_stack(void)
{
	asm volatile("mov $0x7f00000000, %%rsp; push %%rax; ud2" : : : "memory");
}

TEST_F(host, triple_faults)
{
	void *const fn[] = { triple_fault, fault_in_the_fault_handler, no_stack };
	int i, n;

	for (i = 0; i < 3; i++) {
		struct vcpu *c = guest64(fn[i]);

		for (n = 0; n < 20; n++) {
			ASSERT_EQ(0, run_ticked(c, 2000000)) TH_LOG("guest %d", i);
			ASSERT_EQ(KVM_EXIT_SHUTDOWN, c->run->exit_reason) TH_LOG("guest %d", i);
			vcpu_start64(c, fn[i], 0, 0);
		}
	}
}

/* The handler returns to what faults: forever, but signals get through. */
static void return_to_fault(struct guest_regs *r)
{
	(void)r;
}

static void fault_forever(void)
{
	guest_handler[PF] = return_to_fault;
	*(volatile uint64_t *)0x7f12345000ull = 1;
}

static void ud_forever(void)
{
	guest_handler[UD] = return_to_fault;
	asm volatile("ud2");
}

static void step_forever(void)
{
	guest_handler[DB] = return_to_fault;
	write_rflags(read_rflags() | RFLAGS_TF);
	for (;;)
		cpu_relax();
}

static void jump_to_self(void)
{
	asm volatile("cli; 1: jmp 1b");
}

/*
 * CVE-2015-8104: the frame of a #DB is pushed onto a watched address, so that
 * its delivery raises the next #DB, without an end and without an instruction
 * between, at which an interrupt could be taken.
 */
static void db_in_db(void)
{
	uint64_t sp;

	asm volatile("mov %%rsp, %0" : "=r"(sp));
	sp &= -16ul;
	write_dr0(sp - 8);
	write_dr1(sp - 16);
	write_dr2(sp - 24);
	write_dr3(sp - 32);
	write_dr7(0xbbbb07aa);		/* 8 bytes each, data writes, globally on */
	guest_handler[DB] = return_to_fault;
	asm volatile("mov %0, %%rsp; 1: int3; jmp 1b" : : "r"(sp) : "memory");
}

/* CVE-2015-5307: #AC whose handler's stack is misaligned, at CPL 3, 32 bit */
static void __attribute__((used)) ac_in_ac(void)
{
	asm volatile(".code32\n"
		     "ac32:\n"
		     "	mov $0x4b, %eax\n"
		     "	mov %ax, %ds\n"
		     "	mov %ax, %es\n"
		     "	pushl $0x4b\n"
		     "	pushl $0x50001\n"		/* a misaligned stack */
		     "	pushl $0x40002\n"		/* EFLAGS.AC */
		     "	pushl $0x43\n"
		     "	pushl $1f\n"
		     "	iret\n"
		     "1:	mov %eax, 0x60001\n"
		     "	jmp 1b\n"
		     ".code64\n");
}
extern const char ac32[];

static int interrupted(struct vcpu *c)
{
	long from = now_ms();
	int r = run_ticked(c, 20000);

	/* it must not take the CPU with it, but may have shut down by itself */
	if (now_ms() - from > 2000)
		return -ETIME;
	return !r && c->run->exit_reason == KVM_EXIT_SHUTDOWN ? -EINTR : r;
}

TEST_F(host, loops_can_be_interrupted)
{
	void *const fn[] = { fault_forever, ud_forever, step_forever, jump_to_self };
	int i, n;

	for (i = 0; i < 4; i++) {
		struct vcpu *c = guest64(fn[i]);

		for (n = 0; n < 5; n++)
			ASSERT_EQ(-EINTR, interrupted(c)) TH_LOG("guest %d", i);
	}
}

TEST_F(host, db_in_db_can_be_interrupted)
{
	struct vcpu *c = guest64(db_in_db);
	int n;

	if (host_is_tcg())
		SKIP(return, EMULATOR "it aborts (iothread lock) when a watched address is written by an exception's delivery");
	for (n = 0; n < 20; n++)
		ASSERT_EQ(-EINTR, interrupted(c)) TH_LOG("exit reason %u", c->run->exit_reason);
}

TEST_F(host, ac_in_ac_can_be_interrupted)
{
	struct vcpu *c = vcpu_create(vm_create(), 0);
	uint32_t *gate = gpa_hva(c->vm, GUEST_IDT32 + AC * 8);
	struct kvm_sregs s;
	int n;

	if (host_is_tcg())
		SKIP(return, EMULATOR "no #AC, and it aborts on exceptions above CPL 0 in 32-bit guests");
	vcpu_start(c, PAGED32_4K, (uintptr_t)ac32);
	/* the handler is at CPL 3 as well: no other stack */
	gate[0] = ((uintptr_t)ac32 & 0xffff) | SEL_UCODE32 << 16;
	gate[1] = ((uintptr_t)ac32 & 0xffff0000) | 0xee00;
	s = vcpu_sregs(c);
	s.cr0 |= CR0_AM;
	vcpu_set_sregs(c, s);
	for (n = 0; n < 20; n++)
		ASSERT_EQ(-EINTR, interrupted(c));
}

/* ---- Code where there is none ------------------------------------------------------- */

TEST_F(host, jumps_into_nothing)
{
	static const uint64_t where[] = {
		GUEST_MMIO, GUEST_MMIO + 0xffe, GUEST_MEM, 0x3fffffff, 0xfee00000, 0x3ffff000,
	};
	int mode, i, r;

	for (mode = 0; mode < GUEST_MODES; mode++) {
		struct vcpu *c = vcpu_create(vm_create(), 0);

		for (i = 0; i < 6; i++) {
			vcpu_start(c, mode, where[i]);
			r = run_ticked(c, 100000);
			ASSERT_TRUE(r == 0 || r == -EINTR)
				TH_LOG("%s at %#lx: %d", guest_mode_name[mode], (unsigned long)where[i], r);
			if (r == 0)
				/* or it was not mapped in this mode: the guest's own #PF */
				ASSERT_TRUE(c->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ||
					    c->run->exit_reason == KVM_EXIT_SHUTDOWN ||
					    c->run->exit_reason == KVM_EXIT_HLT ||
					    c->run->exit_reason == KVM_EXIT_IO)
					TH_LOG("%s at %#lx: exit reason %u", guest_mode_name[mode],
					       (unsigned long)where[i], c->run->exit_reason);
		}
		vcpu_destroy(c);
	}
}

/* ---- Every MSR, every port, every leaf ------------------------------------------------ */

static uint64_t guest_seed;

static void one_msr(uint32_t msr)
{
	uint64_t v, keep;
	bool there;

	there = try_rdmsr(msr, &keep) == NONE;
	/* long mode, and this CPU's own page tables and code, must go on */
	if (msr == MSR_EFER)
		return;
	try_wrmsr(msr, rnd(&guest_seed));
	try_wrmsr(msr, -1ull);
	try_wrmsr(msr, 0);
	try_wrmsr(msr, 1ull << (rnd(&guest_seed) & 63));
	try_rdmsr(msr, &v);
	if (there)
		try_wrmsr(msr, keep);
}

static void every_msr(uint64_t from, uint64_t to)
{
	uint64_t i;

	guest_seed = 0x1234567;
	for (i = from; i < to; i++)
		one_msr(i);
}

static void random_msrs(uint64_t n)
{
	guest_seed = 0x7654321;
	while (n--)
		one_msr(rnd(&guest_seed) >> 30);
}

TEST_F(host, every_msr_is_written)
{
	static const uint64_t range[][2] = {
		{ 0, 0x600 }, { 0x600, 0x1000 }, { 0xc0000000, 0xc0000200 },
		{ 0xc0010000, 0xc0010400 }, { 0xc0011000, 0xc0011100 }, { 0x4b564d00, 0x4b564d10 },
		{ 0x40000000, 0x40000120 }, { 0xc0001ff0, 0xc0002010 }, { 0xc0011ff0, 0xc0012010 },
		{ 0x1ff0, 0x2010 },
	};
	int i;

	for (i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
		struct vcpu *c = vcpu_create(vm_create(), 0);

		vcpu_start64(c, every_msr, range[i][0], range[i][1]);
		ASSERT_DONE(c);
		vcpu_destroy(c);
	}
	{
		struct vcpu *c = vcpu_create(vm_create(), 0);

		vcpu_start64(c, random_msrs, 2000, 0);
		ASSERT_DONE(c);
	}
}

static void every_port(uint64_t step)
{
	uint32_t p;

	for (p = 0; p < 0x10000; p += step) {
		outb(p, p);
		outl(p, inl(p) + inw(p));
	}
	hlt();
}

TEST_F(host, every_port_is_written)
{
	struct vcpu *c = guest64(every_port);
	uint64_t n = 0;
	int r;

	vcpu_start64(c, every_port, 3, 0);
	for (;;) {
		r = vcpu_run(c);
		ASSERT_EQ(0, r);
		if (c->run->exit_reason == KVM_EXIT_HLT)
			break;
		ASSERT_EQ(KVM_EXIT_IO, c->run->exit_reason);
		ASSERT_EQ(1, c->run->io.count);
		ASSERT_EQ(n / 4 * 3, c->run->io.port);
		n++;
	}
	EXPECT_EQ((0x10000 + 2) / 3 * 4, n);
}

static void every_leaf(void)
{
	uint32_t i, sub, r[4];

	for (i = 0; i < 0x40; i++)
		for (sub = 0; sub < 0x44; sub++) {
			cpuid(i, sub, r);
			cpuid(0x80000000 + i, sub, r);
			cpuid(0x40000000 + i, sub, r);
		}
	guest_seed = 77;
	for (i = 0; i < 5000; i++)
		cpuid(rnd(&guest_seed), rnd(&guest_seed), r);
}

TEST_F(host, every_cpuid_leaf)
{
	struct vcpu *c = guest64(every_leaf);

	ASSERT_DONE(c);
}

/* ---- Registers that hurt ------------------------------------------------------------------ */

static void svm_instructions(void)
{
	int v;

#define UD_(insn) do {							\
	v = TRY(insn, , "a"(GUEST_DATA), "c"(0ul));			\
	GUEST_ASSERT_EQ(v, UD);						\
} while (0)
	UD_("vmrun");
	UD_("vmload");
	UD_("vmsave");
	UD_("stgi");
	UD_("clgi");
	UD_("invlpga");
	UD_("rsm");
#undef UD_
	v = TRY("skinit", , "a"(GUEST_DATA));
	GUEST_ASSERT_EQ(v, UD);
}

TEST_F(host, svm_instructions_do_not_exist)
{
	struct vcpu *c = guest64(svm_instructions);

	ASSERT_DONE(c);
}

static void xsetbv_garbage(void)
{
	uint64_t i;

	write_cr4(read_cr4() | CR4_OSXSAVE);
	guest_seed = 31;
	for (i = 0; i < 64; i++) {
		try_xsetbv(0, 1ull << i);
		try_xsetbv(0, 1ull << i | 3);
		try_xsetbv(i, 7);
		try_xsetbv(0, rnd(&guest_seed));
		try_xsetbv(rnd(&guest_seed), rnd(&guest_seed));
	}
	try_xsetbv(0, 1);	/* left like this */
}

static void breakpoints_everywhere(void)
{
	guest_handler[DB] = return_to_fault;
	write_dr0((uintptr_t)breakpoints_everywhere);
	write_dr1(GUEST_DATA);
	write_dr2(0xffffffff81000000);
	write_dr3(0x7fffffffe000);
	write_dr7(0xffff07ff & ~0x2000ul & ~0xf0000ul);
	GUEST_SYNC(1);
	*(volatile uint64_t *)GUEST_DATA = 1;
	/* not left on: QEMU trips over a later guest's MOV DR7 then (SIGSEGV) */
	write_dr7(0x400);
}

static void control_register_garbage(void)
{
	uint64_t i, cr0 = read_cr0(), cr4 = read_cr4();

	guest_seed = 5;
	for (i = 0; i < 64; i++) {
		/* what keeps this code running stays: PE, PG; PAE */
		try_write_cr0(cr0 ^ (1ull << i & ~(CR0_PE | CR0_PG)));
		try_write_cr0(cr0);
		try_write_cr4(cr4 ^ (1ull << i & ~(CR4_PAE | CR4_SMEP | CR4_SMAP)));
		try_write_cr4(cr4);
		try_write_cr8(1ull << i);
		write_cr2(rnd(&guest_seed));
		TRY("mov %[v], %%dr7", , [v] "r"(1ul << i & ~0x20fful));
		TRY("mov %[v], %%dr6", , [v] "r"(1ul << i));
		TRY("mov %[v], %%dr5", , [v] "r"(1ul << i & ~0x20fful));
	}
	write_cr8(0);
	write_dr7(0x400);
}

TEST_F(host, xcr0_garbage)
{
	struct vcpu *c = guest64(xsetbv_garbage);

	ASSERT_DONE(c);
}

TEST_F(host, breakpoints)
{
	struct vcpu *c = guest64(breakpoints_everywhere);

	ASSERT_SYNC(c, 1);
	ASSERT_DONE(c);
}

TEST_F(host, control_registers)
{
	struct vcpu *c = guest64(control_register_garbage);
	int kind;

	do {
		kind = vcpu_next(c);	/* KVM tells of CR8 */
	} while (kind == G_EXIT && c->run->exit_reason == KVM_EXIT_SET_TPR);
	ASSERT_EQ(G_DONE, kind);
}

/* CR3 with reserved bits: #GP on silicon; QEMU takes it, and VMRUN refuses it. */
static void cr3_reserved(uint64_t bit)
{
	try_write_cr3(read_cr3() | 1ull << bit);
}

TEST_F(host, cr3_reserved_bits)
{
	struct vcpu *c = vcpu_create(vm_create(), 0);
	int bit, r;

	for (bit = 40; bit < 64; bit++) {
		vcpu_start64(c, cr3_reserved, bit, 0);
		r = run_ticked(c, 500000);
		ASSERT_EQ(0, r) TH_LOG("bit %d", bit);
		ASSERT_TRUE(c->run->exit_reason == KVM_EXIT_IO ||
			    c->run->exit_reason == KVM_EXIT_FAIL_ENTRY ||
			    c->run->exit_reason == KVM_EXIT_SHUTDOWN)
			TH_LOG("bit %d: exit reason %u", bit, c->run->exit_reason);
	}
}

/* ---- Random bytes as code -------------------------------------------------------------------- */

/* Beginnings that make garbage interesting */
static const struct { uint8_t n, b[4]; } openings[] = {
	{ 3, { 0x0f, 0x01, 0xd8 } },	/* vmrun … invlpga */
	{ 3, { 0x0f, 0x01, 0xd0 } },	/* xgetbv, xsetbv */
	{ 2, { 0x0f, 0x01 } }, { 2, { 0x0f, 0x00 } }, { 2, { 0x0f, 0x20 } },
	{ 2, { 0x0f, 0x21 } }, { 2, { 0x0f, 0x22 } }, { 2, { 0x0f, 0x23 } },
	{ 2, { 0x0f, 0x30 } }, { 2, { 0x0f, 0x32 } }, { 2, { 0x0f, 0xa2 } },
	{ 2, { 0x0f, 0x05 } }, { 2, { 0x0f, 0x34 } }, { 2, { 0x0f, 0xae } },
	{ 2, { 0x0f, 0xc7 } }, { 2, { 0x0f, 0x09 } }, { 2, { 0x0f, 0x33 } },
	{ 1, { 0xcd } }, { 1, { 0xcc } }, { 1, { 0xce } }, { 1, { 0xcf } }, { 1, { 0xf4 } },
	{ 1, { 0x6c } }, { 2, { 0xf3, 0x6d } }, { 2, { 0xf3, 0x6e } }, { 1, { 0x6f } },
	{ 1, { 0xec } }, { 1, { 0xef } }, { 1, { 0xe4 } }, { 1, { 0x8e } }, { 1, { 0xc5 } },
	{ 1, { 0xff } }, { 1, { 0xcb } }, { 1, { 0x9d } }, { 1, { 0xea } }, { 1, { 0x9a } },
	{ 3, { 0xf3, 0xf3, 0xf3 } }, { 3, { 0x66, 0x67, 0xf2 } }, { 3, { 0xf0, 0x0f, 0xb1 } },
	{ 2, { 0xa4, 0xa5 } }, { 2, { 0xf3, 0xa5 } }, { 1, { 0xa1 } }, { 1, { 0xa3 } },
};

static void fill_code(uint64_t *seed, uint8_t *p, size_t n)
{
	size_t i, at;

	rnd_fill(seed, p, n);
	for (at = 0; at + 8 < n; at += 1 + rnd(seed) % 12) {
		uint64_t x = rnd(seed);
		int k = (x >> 8) % (sizeof(openings) / sizeof(openings[0]));

		/* MOV to DR: see breakpoints_everywhere() */
		if (x & 1 || (openings[k].b[1] == 0x23 && host_is_tcg()))
			continue;
		for (i = 0; i < openings[k].n; i++)
			p[at + i] = openings[k].b[i];
		if (k == 0)
			p[at + 2] += x >> 32 & 7;
	}
}

TEST_F(host, random_code_in_every_mode)
{
	uint64_t seed = 0xc0ffee, reasons[64] = { 0 }, n = 0, i;
	long end = now_ms() + 1000 * test_seconds(6);

	while (now_ms() < end) {
		struct vm *vm = vm_create();
		struct vcpu *c = vcpu_create(vm, 0);
		uint64_t *gdt = gpa_hva(vm, GUEST_GDT);
		int mode = n % GUEST_MODES, tries, r;

		/*
		 * QEMU aborts on exceptions above CPL 0 in 32-bit code when TR
		 * is busy at VMRUN ("invalid tss type"), so it is not; and no
		 * user segments, to be sure.
		 */
		if (host_is_tcg())
			gdt[SEL_UCODE32 >> 3] = gdt[SEL_UDATA >> 3] = gdt[SEL_UCODE64 >> 3] = 0;
		for (i = 0; i < 40 && now_ms() < end; i++, n++) {
			uint64_t at = mode == REAL16 || mode == PROT16 ? GUEST_BLOB : GUEST_IMAGE;
			struct kvm_sregs s;
			struct kvm_regs g;

			fill_code(&seed, gpa_hva(vm, at), 4096);
			vcpu_start(c, mode, at + (rnd(&seed) & 0x7ff));
			s = vcpu_sregs(c);
			if (host_is_tcg() && !(s.efer & EFER_LMA))
				s.tr.type = 9;
			/* no way back from an exception: the next piece of code */
			if (rnd(&seed) & 1)
				s.idt.limit = 0;
			vcpu_set_sregs(c, s);
			g = vcpu_regs(c);
			rnd_fill(&seed, &g.rax, 6 * 8);
			if (rnd(&seed) & 1) {	/* addresses that exist */
				g.rax &= GUEST_MEM - 1;
				g.rbx = GUEST_DATA;
				g.rcx &= 0x3ff;
				g.rsi = GUEST_DATA + (g.rsi & 0xffff);
				g.rdi = GUEST_MMIO;
			}
			vcpu_set_regs(c, g);
			for (tries = 0; tries < 12; tries++) {
				r = run_ticked(c, 2000);
				ASSERT_TRUE(r == 0 || r == -EINTR) TH_LOG("KVM_RUN: %d", r);
				reasons[r ? KVM_EXIT_INTR : c->run->exit_reason & 63]++;
				if (r)
					break;
				ASSERT_TRUE(c->run->exit_reason == KVM_EXIT_IO ||
					    c->run->exit_reason == KVM_EXIT_MMIO ||
					    c->run->exit_reason == KVM_EXIT_HLT ||
					    c->run->exit_reason == KVM_EXIT_SET_TPR ||
					    c->run->exit_reason == KVM_EXIT_SHUTDOWN ||
					    c->run->exit_reason == KVM_EXIT_FAIL_ENTRY ||
					    c->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
					TH_LOG("exit reason %u", c->run->exit_reason);
				if (c->run->exit_reason == KVM_EXIT_SHUTDOWN ||
				    c->run->exit_reason == KVM_EXIT_FAIL_ENTRY ||
				    c->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
					break;
			}
		}
		vcpu_destroy(c);
		vm_destroy(vm);
	}
	TH_LOG("%lu pieces of code: io %lu, mmio %lu, hlt %lu, shutdown %lu, failed entry %lu, internal error %lu, looping %lu",
	       (unsigned long)n, (unsigned long)reasons[KVM_EXIT_IO],
	       (unsigned long)reasons[KVM_EXIT_MMIO], (unsigned long)reasons[KVM_EXIT_HLT],
	       (unsigned long)reasons[KVM_EXIT_SHUTDOWN], (unsigned long)reasons[KVM_EXIT_FAIL_ENTRY],
	       (unsigned long)reasons[KVM_EXIT_INTERNAL_ERROR], (unsigned long)reasons[KVM_EXIT_INTR]);
	EXPECT_LT(20, n);
}

TEST_HARNESS_MAIN
