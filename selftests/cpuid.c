// SPDX-License-Identifier: GPL-2.0
/* A guest sees the CPUID that userspace gave it, and the bits that follow its state. */
#include "guest.h"

#define XSAVE_BIT	BIT(26)
#define OSXSAVE_BIT	BIT(27)
#define APIC_BIT	BIT(9)

/* What the device offers: the host's bits or less, but for what is emulated. */
TEST(supported_is_sane)
{
	struct kvm_cpuid2 *c = dev_cpuid();
	struct kvm_cpuid_entry2 *e;
	uint32_t h[4], i, k;

	ASSERT_NE(NULL, cpuid_find(c, 0, 0));
	ASSERT_NE(NULL, cpuid_find(c, 1, 0));
	ASSERT_NE(NULL, cpuid_find(c, 0x80000000, 0));
	for (i = 0; i < c->nent; i++)		/* no entry twice */
		for (k = 0; k < i; k++)
			EXPECT_FALSE(c->entries[i].function == c->entries[k].function &&
				     c->entries[i].index == c->entries[k].index);

	cpuid(0, 0, h);
	e = cpuid_find(c, 0, 0);
	EXPECT_LE(e->eax, h[0] > 0x24 ? h[0] : 0x24);
	EXPECT_EQ(h[1], e->ebx);
	EXPECT_EQ(h[2], e->ecx);
	EXPECT_EQ(h[3], e->edx);

	cpuid(1, 0, h);
	e = cpuid_find(c, 1, 0);
	EXPECT_EQ(h[0], e->eax);
	/* x2APIC, TSC deadline, hypervisor and MOVBE may be emulated; not more */
	EXPECT_EQ(0, e->ecx & ~h[2] & ~(BIT(21) | BIT(24) | BIT(31) | BIT(22)));
	EXPECT_EQ(0, e->edx & ~h[3]);
	EXPECT_EQ(0, e->ecx & (BIT(3) | BIT(7)));	/* MONITOR; EST */

	e = cpuid_find(c, 7, 0);
	if (e) {
		cpuid(7, 0, h);
		/* TSC_ADJUST and ERMS may come from the device; UMIP too */
		EXPECT_EQ(0, e->ebx & ~h[1] & ~BIT(1));
		EXPECT_EQ(0, e->ecx & ~h[2] & ~(BIT(2) | BIT(22)));
	}

	cpuid(0x80000001, 0, h);
	e = cpuid_find(c, 0x80000001, 0);
	ASSERT_NE(NULL, e);
	EXPECT_EQ(0, e->ecx & ~h[2]);
	EXPECT_EQ(0, e->edx & ~h[3]);
	EXPECT_NE(0, e->edx & BIT(29));			/* long mode */

	e = cpuid_find(c, 0xd, 0);
	if (e) {
		cpuid(0xd, 0, h);
		EXPECT_EQ(0, e->eax & ~h[0]);
		EXPECT_EQ(3, e->eax & 3);
		EXPECT_LE(576, e->ebx);
	}
}

/* E2BIG and the count when there is no room; nothing written past it */
TEST(supported_too_small)
{
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[2]; } c = { .h.nent = 1 };
	int r;

	memset(c.e, 0x5a, sizeof(c.e));
	r = eioctl(dev_fd(), KVM_GET_SUPPORTED_CPUID, &c);
	EXPECT_EQ(-E2BIG, r);
	EXPECT_EQ(0x5a5a5a5a, c.e[1].function);
}

struct leaf {
	uint32_t fn, ix, r[4];
};

static struct leaf leaves[32];
static uint32_t nr_leaves;

static void ask(void)
{
	for (uint32_t i = 0; i < nr_leaves; i++)
		cpuid(leaves[i].fn, leaves[i].ix, leaves[i].r);
}

static struct kvm_cpuid2 *custom_cpuid(void)
{
	static const struct kvm_cpuid_entry2 e[] = {
		{ .function = 0, .eax = 0xd, .ebx = 0x6c637561, .ecx = 0x21646974, .edx = 0x75645563 },
		{ .function = 1, .eax = 0x800f12, .ebx = 0x12340800, .ecx = 0x80002001, .edx = 0x078bfbff },
		{ .function = 4, .index = 0, .flags = 1, .eax = 0x44, .ebx = 0x40 },
		{ .function = 4, .index = 1, .flags = 1, .eax = 0x45, .ebx = 0x41 },
		{ .function = 5, .eax = 0x55, .ebx = 0x66, .ecx = 0x77, .edx = 0x88 },
		{ .function = 0xd, .index = 0, .flags = 1, .eax = 3, .ebx = 576, .ecx = 832 },
		{ .function = 0x40000000, .eax = 0x40000001, .ebx = 1, .ecx = 2, .edx = 3 },
		{ .function = 0x40000001, .eax = 0, .edx = 0 },
		{ .function = 0x80000000, .eax = 0x80000008, .ebx = 9, .ecx = 8, .edx = 7 },
		{ .function = 0x80000001, .edx = 0x20100800, .ecx = 1 },
		{ .function = 0x80000002, .eax = 0x6475614c, .ebx = 0x20 },
		{ .function = 0x80000008, .eax = 0x3028 },
	};
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + sizeof(e));

	c->nent = ARRAY_SIZE(e);
	memcpy(c->entries, e, sizeof(e));
	return c;
}

TEST(guest_sees_what_was_set)
{
	struct kvm_cpuid2 *set = custom_cpuid(), *got;
	struct vcpu *c = guest64(ask);
	struct kvm_cpuid_entry2 *e;
	struct leaf *l = GUEST(c->vm, leaves);
	uint32_t i;

	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_CPUID2, set));
	for (i = 0; i < set->nent; i++) {
		l[i].fn = set->entries[i].function;
		l[i].ix = set->entries[i].index;
	}
	GUEST(c->vm, nr_leaves) = i;
	ASSERT_DONE(c);
	for (i = 0; i < set->nent; i++) {
		e = &set->entries[i];
		EXPECT_EQ(e->eax, l[i].r[0]) TH_LOG("leaf %#x", e->function);
		/* 0xd EBX is the size for the XCR0 of now: x87 only, the same */
		EXPECT_EQ(e->ebx, l[i].r[1]) TH_LOG("leaf %#x", e->function);
		EXPECT_EQ(e->ecx, l[i].r[2]) TH_LOG("leaf %#x", e->function);
		/* APIC: follows the APIC base, which is enabled at reset */
		EXPECT_EQ(e->edx, l[i].r[3]) TH_LOG("leaf %#x", e->function);
	}

	/* and userspace reads back the same */
	got = calloc(1, sizeof(*got) + 256 * sizeof(*e));
	got->nent = 256;
	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_CPUID2, got));
	if (got->nent != 256)		/* 6.1's KVM forgets to say how many */
		ASSERT_EQ(set->nent, got->nent);
	EXPECT_EQ(0, memcmp(set->entries, got->entries, set->nent * sizeof(*e)));
	got->nent = 3;
	EXPECT_EQ(-E2BIG, eioctl(c->fd, KVM_GET_CPUID2, got));
}

/*
 * A leaf that is not there: zeroes on AMD; above the range Intel answers as
 * the highest basic leaf does. A subleaf that is not there: zeroes, but the
 * topology leaves keep ECX's low byte.
 */
TEST(absent_leaves)
{
	static const struct leaf want[] = {
		{ .fn = 2 },				/* inside the range, not set */
		{ .fn = 4, .ix = 9 },
		{ .fn = 0xd, .ix = 5 },
		{ .fn = 0x20 }, { .fn = 0x7fffffff },	/* above the basic range */
		{ .fn = 0x80000009 }, { .fn = 0x8fffffff },
		{ .fn = 0x40000010 }, { .fn = 0x50000000 }, { .fn = 0xffffffff },
	};
	struct kvm_cpuid2 *set = custom_cpuid();
	struct vcpu *c = guest64(ask);
	struct leaf *l = GUEST(c->vm, leaves);
	uint32_t i, k;

	/* the name decides which rule: be AMD */
	set->entries[0].ebx = 0x68747541;
	set->entries[0].edx = 0x69746e65;
	set->entries[0].ecx = 0x444d4163;
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_CPUID2, set));
	memcpy(l, want, sizeof(want));
	for (i = 0; i < ARRAY_SIZE(want); i++)
		memset(l[i].r, 0x5a, sizeof(l[i].r));
	GUEST(c->vm, nr_leaves) = i;
	ASSERT_DONE(c);
	for (i = 0; i < ARRAY_SIZE(want); i++)
		for (k = 0; k < 4; k++)
			EXPECT_EQ(0, l[i].r[k])
				TH_LOG("leaf %#x.%u register %u", l[i].fn, l[i].ix, k);
}

/* Intel: above the basic range the data of the highest basic leaf. */
TEST(absent_leaves_intel)
{
	struct kvm_cpuid2 *set = custom_cpuid();
	struct vcpu *c = guest64(ask);
	struct leaf *l = GUEST(c->vm, leaves);

	memcpy(&set->entries[0].ebx, "Genu", 4);
	memcpy(&set->entries[0].edx, "ineI", 4);
	memcpy(&set->entries[0].ecx, "ntel", 4);
	set->entries[0].eax = 5;
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_CPUID2, set));
	l[0].fn = 0x20;
	l[1].fn = 2;		/* inside the range: zeroes */
	memset(l[1].r, 0x5a, sizeof(l[1].r));
	GUEST(c->vm, nr_leaves) = 2;
	ASSERT_DONE(c);
	EXPECT_EQ(0x55, l[0].r[0]);
	EXPECT_EQ(0x66, l[0].r[1]);
	EXPECT_EQ(0x77, l[0].r[2]);
	EXPECT_EQ(0x88, l[0].r[3]);
	EXPECT_EQ(0, l[1].r[0] | l[1].r[1] | l[1].r[2] | l[1].r[3]);
}

/* OSXSAVE follows CR4, the XSAVE size follows XCR0. */
static bool tcg;

static void dynamic(void)
{
	uint32_t r[4], size;

	cpuid(1, 0, r);
	GUEST_ASSERT_EQ(r[2] & OSXSAVE_BIT, 0);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	cpuid(1, 0, r);
	GUEST_ASSERT_NE(r[2] & OSXSAVE_BIT, 0);
	cpuid(0xd, 0, r);
	size = r[1];
	GUEST_ASSERT_EQ(size, 576);
	if (r[0] & 4 && !tcg) {
		GUEST_ASSERT_EQ(try_xsetbv(0, 7), NONE);
		cpuid(0xd, 0, r);
		GUEST_ASSERT_EQ(r[1], 832);
	}
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	cpuid(1, 0, r);
	GUEST_ASSERT_EQ(r[2] & OSXSAVE_BIT, 0);
}

TEST(follows_cr4_and_xcr0)
{
	struct kvm_cpuid2 *sup = dev_cpuid();
	struct vcpu *c;

	if (!(cpuid_find(sup, 1, 0)->ecx & XSAVE_BIT))
		SKIP(return, "no XSAVE");
	tcg = host_is_tcg() && dev_is_kvm();	/* Lucid looks itself */
	c = guest64(dynamic);
	ASSERT_DONE(c);
	if (tcg)
		SKIP(return, EMULATOR "XSETBV is not intercepted: only CR4 was tested");
}

/* APIC follows the enable bit of the APIC base. */
static void apic_bit(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	GUEST_SYNC(!!(r[3] & APIC_BIT));
	cpuid(1, 0, r);
	GUEST_SYNC(!!(r[3] & APIC_BIT));
}

TEST(apic_bit_follows_apic_base)
{
	struct vcpu *c = guest64(apic_bit);
	struct kvm_sregs s;

	ASSERT_SYNC(c, 1);
	s = vcpu_sregs(c);
	s.apic_base &= ~BIT(11);
	vcpu_set_sregs(c, s);
	ASSERT_SYNC(c, 0);
}

/* The guest's registers: upper halves are cleared, nothing else is touched. */
static void upper(void)
{
	uint64_t a = 0xffffffff00000000, b = ~0ul, c = 0xffffffff00000000, d = ~0ul;

	asm volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	GUEST_ASSERT_EQ((a | b | c | d) >> 32, 0);
}

TEST(upper_halves_cleared)
{
	struct vcpu *c = guest64(upper);

	ASSERT_DONE(c);
}

TEST_HARNESS_MAIN
