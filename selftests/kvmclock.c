// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclock (Documentation/virt/kvm/x86/{msr,cpuid}.rst): a page that tells the
 * guest the time, by its TSC. Where the device does not offer it in CPUID the
 * file is skipped.
 */
#include <time.h>
#include "irq.h"

#define MSR_WALL_OLD	0x11
#define MSR_SYSTEM_OLD	0x12
#define MSR_WALL	0x4b564d00
#define MSR_SYSTEM	0x4b564d01

#define FEATURE_OLD	BIT(0)
#define FEATURE		BIT(3)
#define FEATURE_STABLE	BIT(24)

#define SECOND		1000000000ull

struct system_time {
	uint32_t version, pad0;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

struct wall_clock {
	uint32_t version, sec, nsec;
};

static volatile struct system_time *const st = (void *)GUEST_DATA;
static volatile struct wall_clock *const wc = (void *)(GUEST_DATA + 0x1000);

static uint32_t features(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(dev_cpuid(), 0x40000001, 0);

	return e ? e->eax : 0;
}

FIXTURE(clock) { struct vcpu *c; };
FIXTURE_VARIANT(clock) { uint32_t system, wall, feature; };
FIXTURE_VARIANT_ADD(clock, new) { MSR_SYSTEM, MSR_WALL, FEATURE };
FIXTURE_VARIANT_ADD(clock, old) { MSR_SYSTEM_OLD, MSR_WALL_OLD, FEATURE_OLD };

FIXTURE_SETUP(clock)
{
	self->c = vcpu_create(vm_create(), 0);
}
FIXTURE_TEARDOWN(clock) { }

/* Start @fn(system's MSR, wall clock's MSR) */
#define START(fn) do {							\
	if (!(features() & variant->feature))				\
		SKIP(return, "not offered");				\
	vcpu_start64(self->c, fn, variant->system, variant->wall);	\
} while (0)

/* As a guest reads it: again if it was being changed, or is about to be. */
static uint64_t now(volatile struct system_time *p)
{
	uint64_t delta, ns;
	uint32_t version;

	do {
		version = __atomic_load_n(&p->version, __ATOMIC_ACQUIRE);
		delta = rdtsc() - p->tsc;
		delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
		ns = p->ns + (uint64_t)((unsigned __int128)delta * p->mul >> 32);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (version & 1 || version != p->version);
	return ns;
}

static uint64_t get_clock(struct vcpu *c)
{
	struct kvm_clock_data d;

	xioctl(c->vm->fd, KVM_GET_CLOCK, &d);
	return d.clock;
}

TEST(cpuid_says_what_there_is)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(dev_cpuid(), 0x40000000, 0);

	ASSERT_NE(NULL, e);
	EXPECT_EQ(0, memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12));
	EXPECT_LE(0x40000001, e->eax);
	/* who has one pair of MSRs has both, and GET_CLOCK */
	EXPECT_EQ(FEATURE | FEATURE_OLD, features() & (FEATURE | FEATURE_OLD));
	EXPECT_LT(0, dev_cap(KVM_CAP_ADJUST_CLOCK));
}

/* ---- The page ------------------------------------------------------------------- */

static void first(uint64_t msr)
{
	uint64_t v;

	GUEST_ASSERT_EQ(rdmsr(msr), 0);
	GUEST_ASSERT_EQ(try_wrmsr(msr, (uint64_t)st | 1), NONE);
	GUEST_ASSERT_EQ(try_rdmsr(msr, &v), NONE);
	GUEST_ASSERT_EQ(v, (uint64_t)st | 1);
	GUEST_ASSERT_NE(st->version, 0);
	GUEST_ASSERT_EQ(st->version & 1, 0);
	GUEST_ASSERT_NE(st->mul, 0);
	GUEST_ASSERT_LE(st->tsc, rdtsc());
	GUEST_ASSERT_EQ(st->flags & ~3, 0);
	GUEST_ASSERT_EQ(*(uint64_t *)(GUEST_DATA + sizeof(*st)), 0x5555555555555555);
}

TEST_F(clock, page_is_filled)
{
	uint64_t v;

	memset(gpa_hva(self->c->vm, GUEST_DATA), 0, 32);
	memset(gpa_hva(self->c->vm, GUEST_DATA + 32), 0x55, 32);
	START(first);
	ASSERT_DONE(self->c);
	ASSERT_EQ(1, vcpu_get_msr(self->c, variant->system, &v));
	EXPECT_EQ(GUEST_DATA | 1, v);
}

static void advance(uint64_t msr)
{
	uint64_t last = 0, t;
	uint32_t r[4];
	int i;

	wrmsr(msr, (uint64_t)st | 1);
	for (i = 0; i < 2000; i++) {
		if (i % 7 == 0)
			cpuid(0, 0, r);
		if (i % 200 == 0)
			GUEST_SYNC(1);
		t = now(st);
		GUEST_ASSERT_LE(last, t);
		last = t;
	}
}

TEST_F(clock, never_backwards)
{
	int i;

	START(advance);
	for (i = 0; i < 10; i++) {
		ASSERT_SYNC(self->c, 1);
		usleep(i * 1000);
	}
	ASSERT_DONE(self->c);
}

static void tell(uint64_t msr)
{
	wrmsr(msr, (uint64_t)st | 1);
	for (;;)
		GUEST_SYNC(now(st));
}

/* The clock of a new VM starts at about zero, and is what GET_CLOCK says. */
TEST_F(clock, agrees_with_get_clock)
{
	uint64_t before, after;
	int i;

	START(tell);
	for (i = 0; i < 10; i++) {
		before = get_clock(self->c);
		ASSERT_KIND(self->c, G_SYNC);
		after = get_clock(self->c);
		/* between, give or take a millisecond of interpolation */
		EXPECT_LE(before, self->c->event.a + SECOND / 1000);
		EXPECT_LE(self->c->event.a, after + SECOND / 1000);
		usleep(20000);
	}
	EXPECT_LT(after, 300 * SECOND);
}

/* Two seconds are two seconds, within one percent. */
TEST_F(clock, rate_is_the_hosts)
{
	uint64_t host[2][2], guest[2];
	int i;

	START(tell);
	ASSERT_KIND(self->c, G_SYNC);
	for (i = 0; i < 2; i++) {
		host[i][0] = host_ns();
		ASSERT_KIND(self->c, G_SYNC);
		guest[i] = self->c->event.a;
		host[i][1] = host_ns();
		if (!i)
			usleep(2000000);
	}
	guest[1] -= guest[0];
	EXPECT_LE((host[1][0] - host[0][1]) / 100 * 99, guest[1]);
	EXPECT_LE(guest[1], (host[1][1] - host[0][0]) / 100 * 101);
}

TEST_F(clock, set_clock_moves_it)
{
	struct kvm_clock_data d = { .clock = 1000000 * SECOND };
	int i;

	START(tell);
	ASSERT_KIND(self->c, G_SYNC);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, eioctl(self->c->vm->fd, KVM_SET_CLOCK, &d));
		ASSERT_KIND(self->c, G_SYNC);	/* forth and back */
		EXPECT_LE(d.clock, self->c->event.a + SECOND / 1000);
		EXPECT_LT(self->c->event.a, d.clock + 60 * SECOND);
		EXPECT_LE(d.clock, get_clock(self->c));
		EXPECT_LT(get_clock(self->c), d.clock + 60 * SECOND);
		d.clock = 5 * SECOND;
	}
}

/* Bit 0 clear: the page is the guest's own again. */
static void stop(uint64_t msr)
{
	wrmsr(msr, (uint64_t)st | 1);
	GUEST_SYNC(1);
	wrmsr(msr, 0);
	GUEST_ASSERT_EQ(rdmsr(msr), 0);
	st->version = 0x1234;
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(st->version, 0x1234);
	wrmsr(msr, (uint64_t)st | 1);
	GUEST_ASSERT_EQ(st->version & 1, 0);
	GUEST_ASSERT_NE(st->version, 0x1234);
}

TEST_F(clock, cleared_bit_stops_updates)
{
	struct kvm_clock_data d = { .clock = 77 * SECOND };

	START(stop);
	ASSERT_SYNC(self->c, 1);
	ASSERT_SYNC(self->c, 2);
	ASSERT_EQ(0, eioctl(self->c->vm->fd, KVM_SET_CLOCK, &d));
	ASSERT_DONE(self->c);
}

/* Addresses where there is nothing, or that are odd: no fault, no harm. */
static void bad_places(uint64_t msr, uint64_t wall)
{
	static const uint64_t where[] = {
		GUEST_MEM, GUEST_MMIO, 0xfee00000, GUEST_MEM - 4, 1ul << 45, ~0ul << 1,
		1ul << 63, GUEST_DATA + 0xff0, GUEST_DATA + 0xffc, GUEST_DATA + 6,
	};
	uint32_t i, r[4];

	for (i = 0; i < ARRAY_SIZE(where); i++) {
		GUEST_ASSERT_EQ(try_wrmsr(msr, where[i] | 1), NONE);
		cpuid(0, 0, r);
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(try_wrmsr(wall, where[i]), NONE);
		cpuid(0, 0, r);
	}
	/* and a good one works after all of these */
	wrmsr(msr, (uint64_t)st | 1);
	GUEST_ASSERT_EQ(st->version & 1, 0);
	GUEST_ASSERT_NE(st->mul, 0);
}

TEST_F(clock, bad_addresses_are_harmless)
{
	struct kvm_clock_data d = { .clock = 5 * SECOND };
	int i;

	START(bad_places);
	for (i = 0; i < 10; i++) {
		ASSERT_SYNC(self->c, i);
		ASSERT_EQ(0, eioctl(self->c->vm->fd, KVM_SET_CLOCK, &d));
	}
	ASSERT_DONE(self->c);
}

/* The page is removed while it is in use. */
static void lose_slot(uint64_t msr)
{
	st->version = 0;
	wrmsr(msr, 0x8000000 | 1);
	GUEST_SYNC(*(volatile uint32_t *)0x8000000);
	GUEST_SYNC(2);
	GUEST_SYNC(3);
	GUEST_ASSERT_EQ(((volatile struct system_time *)0x8000000)->version & 1, 0);
}

TEST_F(clock, slot_goes_away)
{
	void *p = mmap(NULL, 0x200000, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_clock_data d = { .clock = 5 * SECOND };

	ASSERT_EQ(0, vm_slot(self->c->vm, 1, 0, 0x8000000, 0x200000, p));
	START(lose_slot);
	ASSERT_KIND(self->c, G_SYNC);
	EXPECT_NE(0, self->c->event.a);
	ASSERT_EQ(0, vm_slot(self->c->vm, 1, 0, 0x8000000, 0, p));
	ASSERT_EQ(0, eioctl(self->c->vm->fd, KVM_SET_CLOCK, &d));
	ASSERT_SYNC(self->c, 2);
	munmap(p, 0x200000);
	ASSERT_SYNC(self->c, 3);
	p = mmap(NULL, 0x200000, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, vm_slot(self->c->vm, 1, 0, 0x8000000, 0x200000, p));
	ASSERT_DONE(self->c);
}

/* ---- Wall clock ------------------------------------------------------------------- */

static void wall(uint64_t system, uint64_t msr)
{
	uint64_t ns;

	wrmsr(system, (uint64_t)st | 1);
	GUEST_ASSERT_EQ(try_wrmsr(msr, (uint64_t)wc), NONE);
	GUEST_ASSERT_EQ(wc->version & 1, 0);
	GUEST_ASSERT_NE(wc->version, 0);
	GUEST_ASSERT_LT(wc->nsec, SECOND);
	ns = wc->sec * SECOND + wc->nsec + now(st);
	GUEST_SYNC(ns);
}

TEST_F(clock, wall_clock_is_the_hosts)
{
	int64_t diff;

	START(wall);
	ASSERT_KIND(self->c, G_SYNC);
	diff = self->c->event.a / SECOND - time(NULL);
	EXPECT_LE(-2, diff);
	EXPECT_LE(diff, 2);
	ASSERT_DONE(self->c);
}

/* ---- Two vCPUs, a stop ------------------------------------------------------------- */

static void tell_second(uint64_t msr)
{
	volatile struct system_time *p = (void *)(GUEST_DATA + 0x2000);

	wrmsr(msr, (uint64_t)p | 1);
	for (;;)
		GUEST_SYNC(now(p));
}

TEST_F(clock, vcpus_agree)
{
	struct vcpu *d = vcpu_create(self->c->vm, 1);
	uint64_t last;
	int i;

	START(tell);
	vcpu_start64(d, tell_second, variant->system, 0);
	for (i = 0; i < 20; i++) {
		ASSERT_KIND(self->c, G_SYNC);
		last = self->c->event.a;
		ASSERT_KIND(d, G_SYNC);
		/* one after the other, each by its own page */
		EXPECT_LE(last, d->event.a + SECOND / 1000);
		EXPECT_LT(d->event.a, last + 10 * SECOND);
	}
}

static void stopped(uint64_t msr)
{
	wrmsr(msr, (uint64_t)st | 1);
	GUEST_ASSERT_EQ(st->flags & 2, 0);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(st->flags & 2, 2);
	st->flags &= ~2;
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(st->flags & 2, 0);
}

TEST_F(clock, kvmclock_ctrl_tells_of_a_stop)
{
	if (dev_cap(KVM_CAP_KVMCLOCK_CTRL) <= 0)
		SKIP(return, "no KVM_CAP_KVMCLOCK_CTRL");
	EXPECT_EQ(-EINVAL, eioctl(self->c->fd, KVM_KVMCLOCK_CTRL, NULL));
	START(stopped);
	ASSERT_SYNC(self->c, 1);
	ASSERT_EQ(0, eioctl(self->c->fd, KVM_KVMCLOCK_CTRL, NULL));
	ASSERT_SYNC(self->c, 2);
	ASSERT_DONE(self->c);
}

HARNESS_MAIN_IF(features() & (FEATURE | FEATURE_OLD), "kvmclock (CPUID 0x40000001)")
