// SPDX-License-Identifier: GPL-2.0
/*
 * Guests and drivers that do their worst with the interrupt controllers: random
 * programs, floods, storms, timers without a pause.  KVM_RUN returns what api.rst
 * knows, signals still reach it, the host's timers fire, the process can be
 * killed, the log stays clean (selftests/run looks).
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include "irq.h"

#define SECONDS		2		/* for one test's loop */

static uint64_t seed;
static volatile uint64_t count, irqs;

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void on_tick(int sig)
{
	(void)sig;
}

/* Around every test: sleeps end on each CPU. */
static struct vcpu *make_vcpu(void)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm *vm = vm_create_irq();

	xioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	return vcpu_create_irq(vm, 0);
}

FIXTURE(host) { struct vm *vm; struct vcpu *c; };
FIXTURE_VARIANT(host) { void *fn; };

FIXTURE_SETUP(host)
{
	struct sigaction sa = { .sa_handler = on_tick };

	sigaction(SIGALRM, &sa, NULL);
	self->c = make_vcpu();
	self->vm = self->c->vm;
}

FIXTURE_TEARDOWN(host)
{
	struct timespec t = { 0, 5000000 };
	int cpu;
	uint64_t from;

	for (cpu = 0; cpu < cpu_count(); cpu++) {
		pin(cpu);
		from = host_ns();
		nanosleep(&t, NULL);
		EXPECT_GT(20000000000, host_ns() - from);	/* not: in time; but: at all */
	}
}

/* KVM_RUN with a signal in 20 ms: it must come back soon, with a known errno. */
static int run_ticked(struct vcpu *c)
{
	uint64_t from = host_ns();
	int r;

	ualarm(20000, 20000);
	r = vcpu_run(c);
	ualarm(0, 0);
	if (host_ns() - from > 60000000000)	/* an emulated machine may stand still for a while */
		return -ETIME;
	return r;
}

static bool known(int r)
{
	/* -EIO: the VM is dead, as after an SMI that newer KVMs cannot save */
	return r == 0 || r == -EINTR || r == -EAGAIN || (r == -EIO && dev_is_kvm());
}

/* ---- Random programs ------------------------------------------------------------------ */

static void on_any(struct guest_regs *r)
{
	irqs++;
	if (r->vector < 32)
		return;
	if (rnd(&seed) % 16)
		apic_write(APIC_EOI, 0);
	if (rnd(&seed) % 4 == 0) {
		outb(PIC1, OCW2_EOI);
		outb(PIC2, OCW2_EOI);
	}
}

static void handle_all(void)
{
	int i;

	guest_handler[NMI] = on_any;
	for (i = 32; i < 256; i++)
		guest_handler[i] = on_any;
}

static void random_ports(void)
{
	static const uint16_t port[] = {
		0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61,
	};

	handle_all();
	for (;;) {
		uint64_t v = rnd(&seed);
		uint16_t p = port[v % ARRAY_SIZE(port)];

		switch (v >> 16 & 7) {
		case 0: inb(p); break;
		case 1: outw(p, v >> 32); break;
		case 2: inl(p); break;
		case 3: sti(); break;
		case 4: cli(); break;
		default: outb(p, v >> 32);
		}
		count++;
	}
}

/* Widths and alignments of all kinds, in both pages */
static void random_mmio(void)
{
	handle_all();
	for (;;) {
		uint64_t v = rnd(&seed), off = v >> 8 & 0x3ff;
		volatile uint8_t *p = (void *)(v & 1 ? APIC_GPA : IOAPIC_GPA);

		if (v & 2)
			off &= ~0xful;
		if (v & 1 && off == APIC_ICR && (v >> 40 & 7) >= 5)
			continue;	/* INIT and SIPI: in another test */
		if (v & 0x40000 && !(v & 1))
			off &= 0x10;
		p += off;
		switch (v >> 20 & 15) {
		case 0: (void)*p; break;
		case 1: (void)*(volatile uint16_t *)p; break;
		case 2: (void)*(volatile uint64_t *)p; break;
		case 3: *p = v >> 32; break;
		case 4: *(volatile uint16_t *)p = v >> 32; break;
		case 5: *(volatile uint64_t *)p = v >> 32; break;
		case 6: (void)*(volatile uint32_t *)p; break;
		case 7: sti(); break;
		case 8: asm volatile("lock orl %1, %0" : "+m"(*p) : "r"((uint32_t)(v >> 32))); break;
		default: *(volatile uint32_t *)p = v >> 32;
		}
		count++;
	}
}

static void random_msrs(void)
{
	uint64_t x;

	handle_all();
	guest_x2apic = true;
	apic_enable();
	for (;;) {
		uint64_t v = rnd(&seed);
		uint32_t msr = 0x800 + (v & 0x3f);

		if (msr == 0x830 && (v >> 40 & 7) == 5)
			continue;
		if (v & 0x100)
			try_rdmsr(msr, &x);
		else
			try_wrmsr(msr, msr == 0x830 ? (v >> 32 & 0xcdfff) | (v & 3ul << 32) :
				       v >> 32 & (v & 0x200 ? 0xff : 0xffffffff));
		if ((v >> 12) % 64 == 0)
			try_wrmsr(MSR_TSC_DEADLINE, v >> 20);
		if (v >> 13 & 1)
			sti();
		if ((v >> 14 & 0xff) == 0)	/* else it is off most of the time */
			apic_write(APIC_SPIV, 0x1ff);
		count++;
	}
}

/* APIC_BASE by random transitions, and the page in between */
static void random_modes(void)
{
	handle_all();
	for (;;) {
		uint64_t v = rnd(&seed), base = APIC_GPA;

		if ((v >> 16) % 32 == 0)
			base = v >> 20 & 0xfffff000;
		try_wrmsr(MSR_APIC_BASE, base | (v & 0xd00));
		mmio_read32(APIC_GPA + (v >> 32 & 0x3f0));
		mmio_write32(APIC_GPA + APIC_SPIV, 0x1ff);
		if (v & 1)
			sti();
		if (v & 2)
			try_wrmsr(0x80f, 0x1ff);
		count++;
	}
}

/* IPIs of every kind to itself, INIT and SIPI too */
static void random_ipis(void)
{
	handle_all();
	guest_x2apic = seed & 1;
	apic_enable();
	sti();
	for (;;) {
		uint64_t v = rnd(&seed);

		if (guest_x2apic)
			try_wrmsr(0x830, (v & 0xcdfff) | (v >> 32 & 3) << 32);
		else
			apic_icr(v >> 32 & 3, v & 0xcdfff);
		count++;
	}
}


FIXTURE_VARIANT_ADD(host, ports) { random_ports };
FIXTURE_VARIANT_ADD(host, mmio) { random_mmio };
FIXTURE_VARIANT_ADD(host, x2apic_msrs) { random_msrs };
FIXTURE_VARIANT_ADD(host, apic_base) { random_modes };
FIXTURE_VARIANT_ADD(host, ipis) { random_ipis };

/* It stops now and then by its own doing (vector 8 from the PIC): again then. */
TEST_F(host, random_program)
{
	uint64_t end = host_ns() + SECONDS * 1000000000ull, s = 1, moved = 0;
	int r;

	while (host_ns() < end) {
		xioctl(self->c->fd, KVM_SET_MP_STATE,
		       &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
		vcpu_start64(self->c, variant->fn, 0, 0);
		GUEST(self->vm, seed) = s++ * 0x9e3779b97f4a7c15;
		do {
			r = run_ticked(self->c);
			ASSERT_TRUE(known(r)) TH_LOG("returned %d", r);
		} while (r == -EINTR && host_ns() < end);
		moved += GUEST(self->vm, count);
		GUEST(self->vm, count) = 0;
		if (r == -EIO) {
			vcpu_destroy(self->c);
			vm_destroy(self->vm);
			self->c = make_vcpu();
			self->vm = self->c->vm;
		}
		irq_line(self->vm, s % 24, s & 1);
	}
	EXPECT_LT(0, moved);
}

/* ---- Floods from other threads --------------------------------------------------------------- */

static volatile bool stop;

static void *flood(void *arg)
{
	struct vm *vm = arg;
	uint64_t s = 99, n = 0;

	while (!stop) {
		uint64_t v = rnd(&s);

		irq_line(vm, v % 26, v >> 8 & 1);
		if ((v >> 16) % 8 == 0)
			eioctl(vm->fd, KVM_SIGNAL_MSI,
			       &(struct kvm_msi){ .address_lo = 0xfee00000 | (v >> 20 & 0x3f00c),
						  .data = v >> 40 & 0xcff });
		if (++n % 64 == 0)
			sched_yield();
	}
	return (void *)n;
}

/* Routes and chips are changed all the while */
static void *rewire(void *arg)
{
	struct vm *vm = arg;
	struct kvm_irqchip k;
	uint64_t s = 77, n = 0;

	while (!stop) {
		struct { struct kvm_irq_routing h; struct kvm_irq_routing_entry e[4]; } r = {
			.h.nr = 4,
		};
		int i;

		for (i = 0; i < 4; i++)
			r.e[i] = (struct kvm_irq_routing_entry){
				.gsi = i * 4 + rnd(&s) % 4,
				.type = KVM_IRQ_ROUTING_IRQCHIP,
				.u.irqchip = { .irqchip = rnd(&s) % 3, .pin = rnd(&s) % 8 },
			};
		eioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
		k = irqchip_get(vm, n % 3);
		eioctl(vm->fd, KVM_SET_IRQCHIP, &k);
		n++;
		usleep(500);
	}
	return (void *)n;
}

static void open_to_all(void)
{
	int i;

	handle_all();
	apic_enable();
	pic_init(0x20, 0x28, 3);
	for (i = 0; i < 24; i++)
		ioapic_set_redir(i, (i & 1 ? REDIR_LEVEL : 0) | (0x30 + i));
	sti();
	for (;;)
		count++;
}

static void flooded(struct __test_metadata *_metadata, struct vcpu *c, void *(*fn)(void *))
{
	uint64_t end = host_ns() + SECONDS * 1000000000ull;
	pthread_t t[2];
	sigset_t alarm;
	void *n;
	int i, r;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	stop = false;
	pthread_create(&t[0], NULL, flood, c->vm);
	pthread_create(&t[1], NULL, fn, c->vm);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	vcpu_start64(c, open_to_all, 0, 0);
	GUEST(c->vm, seed) = 5;
	while (host_ns() < end) {
		r = run_ticked(c);
		if (!known(r)) {
			fprintf(stderr, "# KVM_RUN: %d\n", r);
			_metadata->passed = 0;
			break;
		}
		if (!r)			/* a shutdown: it lost its stack, say */
			vcpu_start64(c, open_to_all, 0, 0);
	}
	stop = true;
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], &n);
		EXPECT_LT(0, (long)n);
	}
	EXPECT_LT(0, GUEST(c->vm, irqs));
}

FIXTURE(storm) { struct vm *vm; struct vcpu *c; };
FIXTURE_SETUP(storm)
{
	struct sigaction sa = { .sa_handler = on_tick };

	sigaction(SIGALRM, &sa, NULL);
	self->c = make_vcpu();
	self->vm = self->c->vm;
}
FIXTURE_TEARDOWN(storm)
{
	struct timespec t = { 0, 5000000 };
	uint64_t from = host_ns();

	nanosleep(&t, NULL);
	EXPECT_GT(20000000000, host_ns() - from);
}

TEST_F(storm, flood_of_lines)
{
	flooded(_metadata, self->c, flood);
}

TEST_F(storm, rewired_under_load)
{
	flooded(_metadata, self->c, rewire);
}

/*
 * Storms, one after the other on a vCPU: each has a higher class than the last,
 * of which one may be in service still.
 *
 * A level that nobody lowers, answered by EOI alone, for ever
 */
static void on_level(struct guest_regs *r)
{
	irqs++;
	apic_eoi();
}

static void level_storm(void)
{
	guest_handler[0x50] = on_level;
	apic_enable();
	ioapic_set_redir(20, REDIR_LEVEL | 0x50);
	sti();
	for (;;)
		cpu_relax();
}

/* Each timer at its shortest, all at once */
static void on_deadline(struct guest_regs *r)
{
	irqs++;
	apic_eoi();
	try_wrmsr(MSR_TSC_DEADLINE, 1);
}

static void deadline_storm(void)
{
	guest_handler[0x61] = on_deadline;
	apic_enable();
	apic_write(APIC_LVTT, LVT_DEADLINE | 0x61);
	sti();
	try_wrmsr(MSR_TSC_DEADLINE, 1);
	for (;;)
		count++;
}

static void on_pit(struct guest_regs *r)
{
	irqs++;
	outb(PIC1, OCW2_EOI);
}

static void timer_storm(void)
{
	guest_handler[0x20] = on_pit;
	guest_handler[0x72] = on_level;
	pic_init(0x20, 0x28, 1);
	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, LVT_PERIODIC | 0x72);
	apic_write(APIC_TMICT, 1);
	outb(0x43, 0x34);
	outb(0x40, 1);
	outb(0x40, 0);
	sti();
	for (;;)
		count++;
}

/* An interrupt whose handler sends the next one */
static void on_self(struct guest_regs *r)
{
	irqs++;
	apic_icr(0, ICR_SELF | r->vector);
	apic_eoi();
}

static void self_storm(void)
{
	guest_handler[0x83] = on_self;
	apic_enable();
	apic_icr(0, ICR_SELF | 0x83);
	sti();
	for (;;)
		count++;
}

static void *const storms[] = { level_storm, deadline_storm, timer_storm, self_storm };

TEST_F(storm, storms_can_be_interrupted)
{
	int i, n;

	for (i = 0; i < ARRAY_SIZE(storms); i++) {
		if (storms[i] == deadline_storm && dev_cap(KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
			continue;
		GUEST(self->vm, irqs) = 0;
		vcpu_start64(self->c, storms[i], 0, 0);
		irq_line(self->vm, 20, 1);
		for (n = 0; n < 20; n++)
			ASSERT_EQ(-EINTR, run_ticked(self->c)) TH_LOG("storm %d", i);
		EXPECT_LT(0, GUEST(self->vm, irqs)) TH_LOG("storm %d", i);
		irq_line(self->vm, 20, 0);
	}
}

TEST_F(storm, processes_in_storms_are_killable)
{
	int i, st;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(storms); i++) {
		pid = fork();
		if (!pid) {
			/* a VM belongs to the process that made it */
			struct vcpu *c = make_vcpu();

			vcpu_start64(c, storms[i], 0, 0);
			irq_line(c->vm, 20, 1);
			vcpu_run(c);
			_exit(7);
		}
		usleep(200000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &st, 0));
		ASSERT_TRUE(WIFSIGNALED(st)) TH_LOG("storm %d: %#x", i, st);
	}
}

/* vCPUs that send each other all they can */
static void broadcaster(uint64_t me)
{
	guest_handler[0x54] = on_level;
	guest_handler[0x55] = on_level;
	guest_handler[NMI] = on_any;
	apic_enable();
	sti();
	for (;;) {
		apic_icr(0, ICR_OTHERS | (0x54 + me % 2));
		apic_icr((me + 1) % 3, 0x54);
		if (count++ % 8 == 0)
			apic_icr(0, ICR_OTHERS | ICR_NMI);
	}
}

TEST_F(storm, ipi_storm_ends)
{
	struct vcpu_thread t[3];
	int i;

	for (i = 0; i < 3; i++) {
		struct vcpu *c = i ? vcpu_create_irq(self->vm, i) : self->c;

		vcpu_start64(c, broadcaster, i, 0);
		vcpu_spawn(&t[i], c);
	}
	sleep(SECONDS);
	for (i = 0; i < 3; i++)
		vcpu_stop(&t[i]);
	EXPECT_LT(0, GUEST(self->vm, irqs));
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(t[i].c->event.kind == G_ERROR && t[i].c->event.a == EINTR);
}

IRQ_HARNESS_MAIN
