// SPDX-License-Identifier: GPL-2.0
/* The guest's TSC: never backwards, its own offset, set by guest and userspace. */
#include "guest.h"

#define BIG	(1ul << 50)
#define SOON	(1ul << 38)	/* minutes: "near" for the slow emulator */

static void never_back(void)
{
	uint64_t last = rdtsc(), now;
	uint32_t r[4];
	int i;

	for (i = 0; i < 2000; i++) {
		if (i % 3 == 0)
			cpuid(0, 0, r);
		if (i % 100 == 0)
			GUEST_SYNC(1);
		now = rdtsc();
		GUEST_ASSERT_LE(last, now);
		last = now;
	}
}

TEST(monotonic)
{
	struct vcpu *c = guest64(never_back);
	int i;

	for (i = 0; i < 20; i++)
		ASSERT_SYNC(c, 1);
	ASSERT_DONE(c);
}

static void tell(void)
{
	uint64_t v;

	for (;;) {
		GUEST_ASSERT_EQ(try_rdmsr(MSR_TSC, &v), NONE);
		GUEST_ASSERT_LE(v, rdtsc());
		GUEST_SYNC(rdtsc());
	}
}

TEST(starts_near_zero)
{
	struct vcpu *c = guest64(tell);

	ASSERT_KIND(c, G_SYNC);
	EXPECT_LT(c->event.a, SOON);
}

TEST(written_by_userspace)
{
	struct vcpu *c = guest64(tell);
	uint64_t v;

	ASSERT_EQ(1, vcpu_set_msr(c, MSR_TSC, BIG));
	ASSERT_KIND(c, G_SYNC);
	EXPECT_LE(BIG, c->event.a);
	EXPECT_LT(c->event.a, BIG + SOON);
	ASSERT_EQ(1, vcpu_get_msr(c, MSR_TSC, &v));
	EXPECT_LE(c->event.a, v);
	EXPECT_LT(v, BIG + SOON);
	/* and back */
	ASSERT_EQ(1, vcpu_set_msr(c, MSR_TSC, BIG / 4));
	ASSERT_KIND(c, G_SYNC);
	EXPECT_LE(BIG / 4, c->event.a);
	EXPECT_LT(c->event.a, BIG / 4 + SOON);
}

/* A guest's write moves TSC_ADJUST by the same amount, and the other way. */
static bool has_adjust;

static void writes(void)
{
	uint64_t adj, v;

	GUEST_ASSERT_EQ(try_wrmsr(MSR_TSC, BIG), NONE);
	v = rdtsc();
	GUEST_ASSERT_LE(BIG, v);
	GUEST_ASSERT_LT(v, BIG + SOON);
	if (!has_adjust)
		return;
	GUEST_ASSERT_EQ(try_rdmsr(MSR_TSC_ADJUST, &adj), NONE);
	GUEST_ASSERT_LT(adj, BIG + 1);
	GUEST_ASSERT_LT(BIG - SOON, adj);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_TSC_ADJUST, adj + BIG), NONE);
	v = rdtsc();
	GUEST_ASSERT_LE(2 * BIG, v);
	GUEST_ASSERT_LT(v, 2 * BIG + SOON);
}

TEST(written_by_the_guest)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(dev_cpuid(), 7, 0);
	struct vcpu *c;

	has_adjust = e && (e->ebx & BIT(1));
	c = guest64(writes);
	ASSERT_DONE(c);
}

/* Two VMs have offsets of their own; the host's clock is nobody's. */
TEST(offsets_are_per_vm)
{
	struct vcpu *a = guest64(tell), *b = guest64(tell);
	uint64_t host = rdtsc();

	ASSERT_EQ(1, vcpu_set_msr(a, MSR_TSC, BIG));
	ASSERT_KIND(a, G_SYNC);
	ASSERT_KIND(b, G_SYNC);
	EXPECT_LE(BIG, a->event.a);
	EXPECT_LT(b->event.a, SOON);
	EXPECT_LT(rdtsc() - host, SOON);
}

/* RDTSCP gives TSC_AUX of the guest; the host's is untouched. */
static void aux(void)
{
	uint32_t lo, hi, cx;

	GUEST_ASSERT_EQ(try_wrmsr(MSR_TSC_AUX, 0x12345678), NONE);
	GUEST_SYNC(1);
	asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(cx));
	GUEST_ASSERT_EQ(cx, 0x12345678);
}

TEST(tsc_aux)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(dev_cpuid(), 0x80000001, 0);
	uint32_t lo, hi, before, after;
	struct vcpu *c;

	if (!e || !(e->edx & BIT(27)))
		SKIP(return, "no RDTSCP");
	asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(before));
	c = guest64(aux);
	ASSERT_SYNC(c, 1);
	asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(after));
	EXPECT_NE(0x12345678, after);
	if (cpu_count() == 1)
		EXPECT_EQ(before, after);
	ASSERT_DONE(c);
}

TEST_HARNESS_MAIN
