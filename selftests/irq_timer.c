// SPDX-License-Identifier: GPL-2.0
/*
 * The timers of a guest: the local APIC's in its three modes, and the 8254.
 * They never fire before their time; how late is the machine's affair, so
 * nothing here has an upper limit but guest_timeout.
 */
#include <signal.h>
#include "irq.h"

#define VEC	0x40
#define MS	1000000u		/* the APIC timer counts nanoseconds */

static volatile uint32_t ticks;
static volatile uint64_t last;
static uint64_t khz;			/* of the TSC; set by the host */

static void on_timer(struct guest_regs *r)
{
	last = rdtsc();
	ticks++;
	apic_eoi();
}

static uint64_t to_ns(uint64_t tsc)
{
	return tsc * 1000000 / khz;
}

/* Clocks of an emulated machine are calibrated against each other: some slack. */
#define NOT_EARLY(since, ns)	GUEST_ASSERT_LE((ns) / 100 * 95, to_ns((since)))

/*
 * Arm a timer for 100 ms and then do something that must be in time: again if
 * the machine stood still for so long in between.
 */
#define IN_TIME(arm, disarm) do {					\
	uint64_t __t;							\
									\
	do {								\
		irq_window();						\
		ticks = 0;						\
		__t = rdtsc();						\
		arm;							\
		disarm;							\
	} while (to_ns(rdtsc() - __t) > 80 * MS);			\
} while (0)

/* Interrupts open for this long */
static void wait_ns(uint64_t ns)
{
	uint64_t t = rdtsc();

	sti();
	while (to_ns(rdtsc() - t) < ns)
		cpu_relax();
	cli();
}

static void wait_ticks(uint32_t n)
{
	while (ticks < n)
		sti_hlt_cli();
}

FIXTURE(apic) { struct vcpu *c; };
FIXTURE_VARIANT(apic) { bool x2; };
FIXTURE_VARIANT_ADD(apic, xapic) { false };
FIXTURE_VARIANT_ADD(apic, x2apic) { true };

static struct vcpu *timer_guest(void)
{
	struct vm *vm = vm_create_irq();
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vcpu *c;

	xioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	c = vcpu_create_irq(vm, 0);
	GUEST(vm, khz) = tsc_khz(c);
	GUEST(vm, guest_handler)[VEC] = on_timer;
	return c;
}

FIXTURE_SETUP(apic)
{
	self->c = timer_guest();
	GUEST(self->c->vm, guest_x2apic) = variant->x2;
}
FIXTURE_TEARDOWN(apic) { }

#define APIC_TEST(name, fn)						\
TEST_F(apic, name)							\
{									\
	vcpu_start64(self->c, fn, 0, 0);				\
	ASSERT_DONE(self->c);						\
}

/* ---- One-shot and periodic ----------------------------------------------------- */

static void one_shot(void)
{
	uint64_t t;

	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, VEC);
	t = rdtsc();
	apic_write(APIC_TMICT, 5 * MS);
	wait_ticks(1);
	NOT_EARLY(last - t, 5 * MS);
	GUEST_ASSERT_EQ(apic_read(APIC_TMCCT), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_TMICT), 5 * MS);
	wait_ns(20 * MS);
	GUEST_ASSERT_EQ(ticks, 1);
	/* armed anew, twice: the first is forgotten */
	IN_TIME(apic_write(APIC_TMICT, 100 * MS),
		t = rdtsc(); apic_write(APIC_TMICT, 150 * MS));
	wait_ticks(1);
	NOT_EARLY(last - t, 150 * MS);
	wait_ns(5 * MS);
	GUEST_ASSERT_EQ(ticks, 1);
}
APIC_TEST(one_shot_fires_once_and_not_early, one_shot)

static void periodic(void)
{
	uint32_t n;
	uint64_t t;

	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, LVT_PERIODIC | VEC);
	t = rdtsc();
	apic_write(APIC_TMICT, 4 * MS);
	wait_ticks(20);
	/* a late one does not put off those that follow: one period of grace */
	NOT_EARLY(last - t, 19 * 4 * MS);
	/* zero stops it */
	apic_write(APIC_TMICT, 0);
	irq_window();
	n = ticks;
	wait_ns(20 * MS);
	GUEST_ASSERT_EQ(ticks, n);
	GUEST_ASSERT_EQ(apic_read(APIC_TMCCT), 0);
}
APIC_TEST(periodic_fires_until_stopped, periodic)

/* Masked it counts, but says nothing. (KVM keeps one for when it is unmasked.) */
static void masked(void)
{
	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, LVT_MASKED | VEC);
	apic_write(APIC_TMICT, 2 * MS);
	wait_ns(20 * MS);
	GUEST_ASSERT_EQ(apic_read(APIC_TMCCT), 0);
	apic_write(APIC_LVTT, VEC);
	GUEST_ASSERT_EQ(ticks, 0);
	wait_ns(10 * MS);
	GUEST_ASSERT_LE(ticks, 1);
	ticks = 0;
	apic_write(APIC_TMICT, 2 * MS);
	wait_ticks(1);
}
APIC_TEST(masked_is_silent, masked)

static void zero(void)
{
	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, VEC);
	apic_write(APIC_TMICT, 0);
	wait_ns(20 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
	IN_TIME(apic_write(APIC_TMICT, 100 * MS), apic_write(APIC_TMICT, 0));
	wait_ns(130 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
	apic_write(APIC_LVTT, LVT_PERIODIC | VEC);
	wait_ns(20 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
}
APIC_TEST(zero_is_never, zero)

static void counts(void)
{
	uint32_t v, prev = 1000 * MS;
	int i;

	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, LVT_MASKED | VEC);
	apic_write(APIC_TMICT, 1000 * MS);
	for (i = 0; i < 100; i++) {
		v = apic_read(APIC_TMCCT);
		if (!v)
			break;		/* a machine that slow */
		GUEST_ASSERT_LE(v, prev);
		prev = v;
	}
	GUEST_ASSERT_LT(prev, 1000 * MS);
	/* written afresh it starts from there */
	apic_write(APIC_TMICT, 4000 * MS);
	GUEST_ASSERT_LT(1000 * MS, apic_read(APIC_TMCCT));
}
APIC_TEST(current_count_falls, counts)

/* The count falls by one every DIVIDE nanoseconds. */
static void divides(void)
{
	static const uint8_t conf[8] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
	uint64_t t0, t1, t2, t3, ns;
	uint32_t c0, c1, i;

	apic_enable();
	apic_write(APIC_LVTT, LVT_MASKED | VEC);
	for (i = 0; i < 8; i++) {
		apic_write(APIC_TDCR, conf[i]);
		GUEST_ASSERT_EQ(apic_read(APIC_TDCR), conf[i]);
		apic_write(APIC_TMICT, 0xfffffff0);
		t0 = rdtsc();
		c0 = apic_read(APIC_TMCCT);
		t1 = rdtsc();
		while (to_ns(rdtsc() - t1) < 5 * MS)
			cpu_relax();
		t2 = rdtsc();
		c1 = apic_read(APIC_TMCCT);
		t3 = rdtsc();
		GUEST_ASSERT_LT(c1, c0);
		ns = (uint64_t)(c0 - c1) << i;
		GUEST_ASSERT_LE(to_ns(t2 - t1) * 9 / 10, ns);
		GUEST_ASSERT_LE(ns, to_ns(t3 - t0) * 11 / 10);
	}
}
APIC_TEST(divide_configuration, divides)

/* A change of the divider while it runs does not make it early. */
static void divide_change(void)
{
	uint64_t t;

	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, VEC);
	t = rdtsc();
	apic_write(APIC_TMICT, 10 * MS);
	apic_write(APIC_TDCR, TDCR_2);	/* slower: what is left takes twice as long */
	wait_ticks(1);
	NOT_EARLY(last - t, 10 * MS);
	GUEST_ASSERT_EQ(ticks, 1);
}
APIC_TEST(divider_changed_while_armed, divide_change)

static void disabled(void)
{
	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, LVT_PERIODIC | VEC);
	apic_write(APIC_TMICT, 2 * MS);
	apic_write(APIC_SPIV, 0xff);
	irq_window();
	ticks = 0;
	wait_ns(20 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
	/* the LVT was masked by it */
	apic_write(APIC_SPIV, SPIV_ENABLE | 0xff);
	irq_window();		/* one that had come before it was disabled */
	ticks = 0;
	wait_ns(20 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
}
APIC_TEST(software_disable_silences, disabled)

/* Periods of nanoseconds: the guest and the host go on, signals get through. */
static void tiny(void)
{
	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_LVTT, LVT_PERIODIC | VEC);
	apic_write(APIC_TMICT, 1);
	wait_ticks(50);
	GUEST_SYNC(1);
	sti();
	for (;;)
		cpu_relax();
}

static void nothing(int sig)
{
	(void)sig;
}

TEST_F(apic, tiny_periods_leave_the_host_alive)
{
	struct sigaction sa = { .sa_handler = nothing };
	int i;

	vcpu_start64(self->c, tiny, 0, 0);
	ASSERT_SYNC(self->c, 1);
	sigaction(SIGALRM, &sa, NULL);
	for (i = 0; i < 10; i++) {
		ualarm(20000, 0);
		ASSERT_EQ(-EINTR, vcpu_run(self->c));
	}
}

/* ---- TSC deadline ----------------------------------------------------------------- */

static void deadline(void)
{
	uint64_t t;
	uint32_t i, n = 0;

	apic_enable();
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	for (i = 0; i < 10; i++) {
		t = rdtsc() + khz * (i % 4);	/* 0 to 3 ms */
		wrmsr(MSR_TSC_DEADLINE, t);
		wait_ticks(++n);
		GUEST_ASSERT_LE(t - khz / 50, last);	/* 20 us: calibration, again */
		GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	}
	/* the past is now */
	wrmsr(MSR_TSC_DEADLINE, 1);
	wait_ticks(++n);
	/* the count registers are of no use in this mode */
	apic_write(APIC_TMICT, 1000);
	GUEST_ASSERT_EQ(apic_read(APIC_TMCCT), 0);
	wait_ns(10 * MS);
	GUEST_ASSERT_EQ(ticks, n);
	/* zero disarms; a second write replaces the first */
	IN_TIME(wrmsr(MSR_TSC_DEADLINE, rdtsc() + khz * 100), wrmsr(MSR_TSC_DEADLINE, 0));
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	wait_ns(130 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
	IN_TIME(wrmsr(MSR_TSC_DEADLINE, rdtsc() + khz * 100),
		t = rdtsc() + khz * 150; wrmsr(MSR_TSC_DEADLINE, t);
		GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), t));
	wait_ticks(1);
	GUEST_ASSERT_LE(t - khz / 50, last);
	/* one of years does not overflow */
	wrmsr(MSR_TSC_DEADLINE, ~0ul);
	wait_ns(10 * MS);
	GUEST_ASSERT_EQ(ticks, 1);
	wrmsr(MSR_TSC_DEADLINE, 0);
}

static void switches(void)
{
	uint64_t t;

	apic_enable();
	apic_write(APIC_TDCR, TDCR_1);
	/* one-shot to deadline and back: each disarms what was armed */
	apic_write(APIC_LVTT, VEC);
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1);	/* not in this mode */
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	IN_TIME(apic_write(APIC_LVTT, VEC); apic_write(APIC_TMICT, 100 * MS),
		apic_write(APIC_LVTT, LVT_DEADLINE | VEC));
	wait_ns(130 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
	IN_TIME(apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + khz * 100),
		apic_write(APIC_LVTT, LVT_PERIODIC | VEC));
	wait_ns(130 * MS);
	GUEST_ASSERT_EQ(ticks, 0);
	GUEST_ASSERT_EQ(apic_read(APIC_TMCCT), 0);
	/* one-shot to periodic goes on */
	t = rdtsc();
	apic_write(APIC_LVTT, VEC);
	apic_write(APIC_TMICT, 5 * MS);
	apic_write(APIC_LVTT, LVT_PERIODIC | VEC);
	wait_ticks(3);
	NOT_EARLY(last - t, 10 * MS);
}

#define DEADLINE_TEST(name, fn)						\
TEST_F(apic, name)							\
{									\
	if (dev_cap(KVM_CAP_TSC_DEADLINE_TIMER) <= 0)			\
		SKIP(return, "no KVM_CAP_TSC_DEADLINE_TIMER");		\
	vcpu_start64(self->c, fn, 0, 0);				\
	ASSERT_DONE(self->c);						\
}
DEADLINE_TEST(tsc_deadline, deadline)
DEADLINE_TEST(mode_switch_disarms, switches)

/* A guest that was not told of it has no such MSR value, and no such mode. */
static void no_deadline(void)
{
	apic_enable();
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
	GUEST_ASSERT_EQ(apic_read(APIC_LVTT), VEC);
}

TEST_F(apic, deadline_mode_needs_its_cpuid_bit)
{
	struct kvm_cpuid2 *cpuid = dev_cpuid();

	cpuid_find(cpuid, 1, 0)->ecx &= ~BIT(24);
	xioctl(self->c->fd, KVM_SET_CPUID2, cpuid);
	vcpu_start64(self->c, no_deadline, 0, 0);
	ASSERT_DONE(self->c);
}

/* ---- The 8254 ---------------------------------------------------------------------- */

#define PIT_CMD		0x43
#define PIT_HZ		1193182ull
#define PIT_NS(count)	((count) * 1000000000ull / PIT_HZ)

static void on_pit(struct guest_regs *r)
{
	last = rdtsc();
	ticks++;
	outb(PIC1, OCW2_EOI);
}

static void pit_set(int ch, int mode, uint16_t count)
{
	outb(PIT_CMD, ch << 6 | 0x30 | mode << 1);
	outb(0x40 + ch, count);
	outb(0x40 + ch, count >> 8);
}

static uint16_t pit_latched(int ch)
{
	uint8_t lo;

	outb(PIT_CMD, ch << 6);
	lo = inb(0x40 + ch);
	return lo | inb(0x40 + ch) << 8;
}

static void pit_pic(void)
{
	guest_handler[0x20] = on_pit;
	pic_init(0x20, 0x28, 1);
	pic_mask(0xfffe);
}

FIXTURE(pit) { struct vcpu *c; };
FIXTURE_SETUP(pit)
{
	self->c = timer_guest();
}
FIXTURE_TEARDOWN(pit) { }

#define PIT_TEST(name, fn)						\
TEST_F(pit, name)							\
{									\
	vcpu_start64(self->c, fn, 0, 0);				\
	ASSERT_DONE(self->c);						\
}

/* Modes 2 and 3 tick again and again, at their rate in the long run. */
static void pit_periodic(void)
{
	uint64_t t;
	int mode;

	pit_pic();
	for (mode = 2; mode <= 3; mode++) {
		t = rdtsc();
		ticks = 0;
		pit_set(0, mode, 11932);		/* 10 ms */
		wait_ticks(20);
		NOT_EARLY(last - t, 19 * PIT_NS(11932));
	}
}
PIT_TEST(rate_generators_tick, pit_periodic)

/* Mode 0 ticks once for each count written. */
static void pit_once(void)
{
	uint64_t t;
	uint32_t n;

	pit_pic();
	for (n = 1; n <= 3; n++) {
		t = rdtsc();
		pit_set(0, 0, 6000);			/* 5 ms */
		wait_ticks(n);
		NOT_EARLY(last - t, PIT_NS(6000));
		wait_ns(20 * MS);
		GUEST_ASSERT_EQ(ticks, n);
	}
	/* the new count takes the old one's place (if it is in time, see IN_TIME) */
	do {
		irq_window();
		ticks = 0;
		t = rdtsc();
		pit_set(0, 0, 40000);
		pit_set(0, 0, 60000);
	} while (to_ns(rdtsc() - t) > 25 * MS);
	wait_ticks(1);
	NOT_EARLY(last - t, PIT_NS(60000));
}
PIT_TEST(interrupt_on_terminal_count, pit_once)

static void pit_reads(void)
{
	uint16_t a, b;
	uint8_t status, lo;
	uint64_t t;
	int i;

	/* a free-running counter falls, and never exceeds what it starts from */
	pit_set(0, 2, 50000);
	for (i = 0; i < 50; i++)
		GUEST_ASSERT_LE(pit_latched(0), 50000);
	/* latched: the same until both halves are read */
	pit_set(2, 0, 60000);
	outb(0x61, inb(0x61) | 1);		/* its gate */
	a = pit_latched(2);
	GUEST_ASSERT_LE(a, 60000);
	outb(PIT_CMD, 2 << 6);
	t = rdtsc();
	while (to_ns(rdtsc() - t) < 1 * MS)
		cpu_relax();
	lo = inb(0x42);
	b = lo | inb(0x42) << 8;
	GUEST_ASSERT_LE(b, a);
	/* a latch again, while latched, changes nothing */
	outb(PIT_CMD, 2 << 6);
	t = rdtsc();
	while (to_ns(rdtsc() - t) < 2 * MS)
		cpu_relax();
	outb(PIT_CMD, 2 << 6);
	lo = inb(0x42);
	a = lo | inb(0x42) << 8;
	GUEST_ASSERT_LE(a, b);
	b = pit_latched(2);
	/* 2 ms are 2386 counts */
	GUEST_ASSERT_LE(b, a);
	GUEST_ASSERT_LE(1500, (uint16_t)(a - b));
	/* read-back: status and count of channel 2, status comes first */
	outb(PIT_CMD, 0xc0 | 1 << 3);
	status = inb(0x42);
	GUEST_ASSERT_EQ(status & 0x3f, 0x30);	/* both bytes, mode 0, binary */
	lo = inb(0x42);
	a = lo | inb(0x42) << 8;
	GUEST_ASSERT_LE(a, b);
	/* read-back of the count of two channels at once */
	outb(PIT_CMD, 0xc0 | 0x20 | 1 << 1);
	GUEST_ASSERT_EQ(inb(0x40) & 0x3f, 0x30 | 2 << 1);	/* status, mode 2 */
}

/* One byte at a time */
static void pit_bytes(void)
{
	uint8_t v;

	outb(0x61, inb(0x61) | 1);
	outb(PIT_CMD, 2 << 6 | 0x20);		/* high byte alone, mode 0 */
	outb(0x42, 0xf0);
	v = inb(0x42);
	GUEST_ASSERT_LE(v, 0xf0);
	GUEST_ASSERT_LE(0x80, v);
	outb(PIT_CMD, 0xc0 | 0x20 | 1 << 3);
	GUEST_ASSERT_EQ(inb(0x42) & 0x3f, 0x20);
	outb(PIT_CMD, 2 << 6 | 0x10);
	outb(0x42, 0);
	outb(PIT_CMD, 0xc0 | 0x20 | 1 << 3);
	GUEST_ASSERT_EQ(inb(0x42) & 0x3f, 0x10);
}
PIT_TEST(latch_and_read_back, pit_reads)
PIT_TEST(one_byte_access, pit_bytes)

/* Channel 2's output is bit 5 of port 0x61: low, and high after its time. */
static void pit_speaker(void)
{
	uint64_t t, ns;
	int i;

	outb(0x61, 1);
	GUEST_ASSERT_EQ(inb(0x61) & 3, 1);
	outb(0x61, 3);
	GUEST_ASSERT_EQ(inb(0x61) & 3, 3);
	outb(0x61, 1);
	for (i = 0; i < 3; i++) {
		t = rdtsc();
		pit_set(2, 0, 20000);		/* 16.8 ms */
		ns = 0;
		while (!(inb(0x61) & 0x20))
			ns = to_ns(rdtsc() - t);
		NOT_EARLY(rdtsc() - t, PIT_NS(20000));
		GUEST_ASSERT_NE(ns, 0);		/* it was low before */
		GUEST_ASSERT_EQ(inb(0x61) & 0x20, 0x20);
	}
	/* (of mode 1, whose output KVM gives the wrong way round, nothing) */
}
PIT_TEST(channel_2_by_port_61, pit_speaker)

/* The smallest counts: the host stays alive, signals get through. */
static void pit_tiny(uint64_t count)
{
	pit_pic();
	pit_set(0, 2, count);
	wait_ticks(50);
	GUEST_SYNC(1);
	sti();
	for (;;)
		cpu_relax();
}

TEST_F(pit, tiny_periods_leave_the_host_alive)
{
	struct sigaction sa = { .sa_handler = nothing };
	int i, count;

	if (dev_is_kvm())
		SKIP(return, "XFAIL, KVM's ticks come from a kernel thread, which starves on one CPU");
	for (count = 1; count <= 3; count++) {
		struct vcpu *c = timer_guest();

		vcpu_start64(c, pit_tiny, count, 0);
		ASSERT_SYNC(c, 1);
		sigaction(SIGALRM, &sa, NULL);
		for (i = 0; i < 5; i++) {
			ualarm(20000, 0);
			ASSERT_EQ(-EINTR, vcpu_run(c));
		}
		vcpu_destroy(c);
	}
}

IRQ_HARNESS_MAIN
