// SPDX-License-Identifier: GPL-2.0
/* MSRs: what the guest writes it reads, what it may not write is #GP and changes nothing. */
#include "guest.h"

#define NONCANON	0x1234567890abcdeful

/*
 * One row is: value @val written to @msr gives exception @vec and afterwards
 * reads as @after (the old value where it was refused).
 */
static struct row {
	uint32_t msr;
	int vec;		/* of WRMSR */
	uint64_t val;
	int got;		/* what happened */
	uint64_t after;
	bool tcg;		/* a known fault of QEMU's SVM */
} rows[] = {
	/* held in the hardware state: any value */
	{ MSR_STAR, NONE, 0x0023001000000000 },
	{ MSR_STAR, NONE, 0x123456789abcdef0 },
	{ MSR_SFMASK, NONE, 0x47700 },
	{ MSR_SYSENTER_CS, NONE, 0x10 },
	{ MSR_SYSENTER_ESP, NONE, 0xffff880012345678 },
	{ MSR_SYSENTER_EIP, NONE, 0xffffffff81234567 },
	{ MSR_LSTAR, NONE, 0xffffffff81000010 },
	{ MSR_LSTAR, GP, NONCANON, .tcg = true },
	{ MSR_CSTAR, NONE, 0xffffffff81000020 },
	{ MSR_CSTAR, GP, NONCANON, .tcg = true },
	{ MSR_FS_BASE, NONE, 0x00007fffdeadb000 },
	{ MSR_FS_BASE, GP, NONCANON, .tcg = true },
	{ MSR_GS_BASE, NONE, 0xffff888000001000 },
	{ MSR_GS_BASE, GP, NONCANON, .tcg = true },
	{ MSR_KERNEL_GS_BASE, NONE, 0xffff800000000000 },
	{ MSR_KERNEL_GS_BASE, GP, NONCANON, .tcg = true },
	/* EFER: reserved bits; LME under paging; LMA is read-only (ignored) */
	{ MSR_EFER, NONE, EFER_LME | EFER_LMA | EFER_SCE },
	{ MSR_EFER, NONE, EFER_LME | EFER_LMA | EFER_NX },
	{ MSR_EFER, GP, EFER_LME | EFER_LMA | BIT(1) },
	{ MSR_EFER, GP, EFER_LME | EFER_LMA | BIT(9) },
	{ MSR_EFER, GP, EFER_LME | EFER_LMA | BIT(16) },
	{ MSR_EFER, GP, EFER_LME | EFER_LMA | BIT(63) },
	{ MSR_EFER, GP, EFER_LMA },
	{ MSR_EFER, GP, 0 },
	{ MSR_EFER, NONE, EFER_LME | EFER_LMA },
	/* PAT: each byte 0, 1, 4, 5, 6 or 7 */
	{ MSR_PAT, NONE, 0x0007040600070406 },
	{ MSR_PAT, NONE, 0x0001040506070001 },
	{ MSR_PAT, GP, 0x0007040600070402 },
	{ MSR_PAT, GP, 0x0307040600070406 },
	{ MSR_PAT, GP, 0x0007040800070406 },
	{ MSR_PAT, GP, 0xff07040600070406 },
	/* memory types: default type; reserved bits; a fixed and a variable range */
	{ MSR_MTRR_DEF_TYPE, NONE, 0xc06 },
	{ MSR_MTRR_DEF_TYPE, GP, 0xc02 },
	{ MSR_MTRR_DEF_TYPE, GP, 0x1c06 },
	{ 0x250, NONE, 0x0606060606060606 },
	{ 0x250, GP, 0x0606060606060602 },
	{ 0x200, NONE, 0x80000006 },
	{ 0x200, GP, 0x80000002 },
	{ 0x200, GP, BIT(62) | 6 },
	{ 0x201, NONE, 0xff0000800 },
	{ 0xfe, GP, 0 },		/* MTRRcap is read-only */
	{ MSR_APIC_BASE, GP, 0xfee00900 | BIT(0) },
	{ MSR_APIC_BASE, GP, 0xfee00900 | BIT(62) },
	{ MSR_APIC_BASE, NONE, 0xfee00900 },
};

static void table(void)
{
	uint64_t old, v;
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct row *r = &rows[i];

		GUEST_ASSERT_EQ(try_rdmsr(r->msr, &old), NONE);
		r->got = try_wrmsr(r->msr, r->val);
		GUEST_ASSERT_EQ(try_rdmsr(r->msr, &v), NONE);
		r->after = v;
		if (r->got == GP && v != old)
			r->got = -2;
		/* leave no wild base behind: C code does not use them, but still */
		if (r->msr == MSR_FS_BASE || r->msr == MSR_GS_BASE)
			try_wrmsr(r->msr, old);
	}
}

TEST(guest_writes)
{
	struct vcpu *c;
	struct row *g;
	uint32_t i, known = 0;

	c = guest64(table);
	ASSERT_DONE(c);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		g = &GUEST(c->vm, rows)[i];
		if (g->tcg && host_is_tcg()) {
			known += g->got != g->vec;
			continue;
		}
		EXPECT_EQ(rows[i].vec, g->got)
			TH_LOG("row %u: msr %#x value %#lx", i, g->msr, g->val);
		if (g->vec == NONE)
			EXPECT_EQ(rows[i].val, g->after)
				TH_LOG("row %u: msr %#x", i, g->msr);
	}
	if (known && _metadata->passed)
		SKIP(return, EMULATOR "%u passed-through MSRs take non-canonical values; the other rows passed", known);
}

/* Not there: #GP on reading and writing. */
static const uint32_t unknown[] = {
	0x2, 0x7, 0x12345678, 0x1fff, 0x2000, 0xbfffffff, 0xc0001fff, 0xc0002000,
	0xc000108f, 0xc0011fff, 0xc0012000, 0xffffffff, 0x40000200, 0x4b564dff,
};

static void no_such(void)
{
	uint64_t v;
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		guest_error = 99;
		if (try_rdmsr(unknown[i], &v) != GP || guest_error != 0)
			GUEST_ASSERT_EQ(unknown[i], 0);
		if (try_wrmsr(unknown[i], 1) != GP)
			GUEST_ASSERT_EQ(unknown[i], 1);
	}
}

TEST(unknown_is_gp)
{
	struct vcpu *c = guest64(no_such);

	ASSERT_DONE(c);
}

/* Guest and userspace see one and the same MSR. */
static const uint32_t shared[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE,
	MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};

static void share(void)
{
	uint64_t v;
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(shared); i++)
		GUEST_ASSERT_EQ(try_wrmsr(shared[i], i * 0x1000000 + 0x40506), NONE);
	GUEST_SYNC(1);
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		GUEST_ASSERT_EQ(try_rdmsr(shared[i], &v), NONE);
		GUEST_ASSERT_EQ(v, 0x106);
	}
}

TEST(guest_and_userspace_agree)
{
	struct vcpu *c = guest64(share);
	uint64_t v;
	uint32_t i;

	ASSERT_SYNC(c, 1);
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		ASSERT_EQ(1, vcpu_get_msr(c, shared[i], &v));
		EXPECT_EQ(i * 0x1000000 + 0x40506, v) TH_LOG("msr %#x", shared[i]);
		ASSERT_EQ(1, vcpu_set_msr(c, shared[i], 0x106));
	}
	ASSERT_DONE(c);
}

/* FS and GS base are also in the segment registers of userspace's view. */
static void bases(void)
{
	GUEST_ASSERT_EQ(try_wrmsr(MSR_FS_BASE, 0x123000), NONE);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_GS_BASE, 0xffff888000000000), NONE);
	GUEST_SYNC(1);
	asm volatile("swapgs");
	GUEST_SYNC(2);
}

TEST(segment_bases)
{
	struct vcpu *c = guest64(bases);
	uint64_t v;

	ASSERT_EQ(1, vcpu_set_msr(c, MSR_KERNEL_GS_BASE, 0x777000));
	ASSERT_SYNC(c, 1);
	EXPECT_EQ(0x123000, vcpu_sregs(c).fs.base);
	EXPECT_EQ(0xffff888000000000, vcpu_sregs(c).gs.base);
	ASSERT_SYNC(c, 2);
	EXPECT_EQ(0x777000, vcpu_sregs(c).gs.base);
	ASSERT_EQ(1, vcpu_get_msr(c, MSR_KERNEL_GS_BASE, &v));
	EXPECT_EQ(0xffff888000000000, v);
	ASSERT_EQ(1, vcpu_get_msr(c, MSR_GS_BASE, &v));
	EXPECT_EQ(0x777000, v);
}

/* Everything on the list can be read, and written back as it was read. */
TEST(index_list_round_trip)
{
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 1024 * 4);
	struct vcpu *c = vcpu_create(vm_create(), 0);
	static const uint32_t must[] = {
		MSR_EFER, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE,
		MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT, MSR_TSC,
	};
	uint64_t v, w;
	uint32_t i, k;

	l->nmsrs = 1;
	EXPECT_EQ(-E2BIG, eioctl(dev_fd(), KVM_GET_MSR_INDEX_LIST, l));
	EXPECT_LE(ARRAY_SIZE(must), l->nmsrs);
	l->nmsrs = 1024;
	ASSERT_EQ(0, eioctl(dev_fd(), KVM_GET_MSR_INDEX_LIST, l));
	for (i = 0; i < ARRAY_SIZE(must); i++) {
		/* EFER is not on KVM's list: it is in the sregs */
		for (k = 0; k < l->nmsrs && l->indices[k] != must[i]; k++)
			;
		if (must[i] != MSR_EFER)
			EXPECT_LT(k, l->nmsrs) TH_LOG("msr %#x is not listed", must[i]);
	}
	for (i = 0; i < l->nmsrs; i++) {
		for (k = 0; k < i; k++)
			EXPECT_NE(l->indices[i], l->indices[k]);
		EXPECT_EQ(1, vcpu_get_msr(c, l->indices[i], &v))
			TH_LOG("get msr %#x", l->indices[i]);
		/* KVM refuses its own async-PF vector without a local APIC in the kernel */
		if (l->indices[i] == 0x4b564d06 && dev_is_kvm())
			continue;
		EXPECT_EQ(1, vcpu_set_msr(c, l->indices[i], v))
			TH_LOG("set msr %#x to %#lx", l->indices[i], v);
		EXPECT_EQ(1, vcpu_get_msr(c, l->indices[i], &w));
		if (l->indices[i] != MSR_TSC && l->indices[i] != 0x40000020) /* clocks */
			EXPECT_EQ(v, w) TH_LOG("msr %#x", l->indices[i]);
	}
}

/* GET/SET_MSRS stop at the first that is refused and say how many were done. */
TEST(partial_count)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e[3]; } m = {
		.h.nmsrs = 3,
		.e = { { .index = MSR_LSTAR, .data = 0x1000 },
		       { .index = 0x12345678, .data = 1 },
		       { .index = MSR_STAR, .data = 0x2000 } },
	};
	struct vcpu *c = vcpu_create(vm_create(), 0);
	uint64_t v;

	EXPECT_EQ(1, eioctl(c->fd, KVM_SET_MSRS, &m));
	EXPECT_EQ(1, vcpu_get_msr(c, MSR_LSTAR, &v));
	EXPECT_EQ(0x1000, v);
	EXPECT_EQ(1, vcpu_get_msr(c, MSR_STAR, &v));
	EXPECT_EQ(0, v);
	EXPECT_EQ(1, eioctl(c->fd, KVM_GET_MSRS, &m));
	/* what the guest may not have, userspace may not set either */
	EXPECT_EQ(0, vcpu_set_msr(c, MSR_KERNEL_GS_BASE, NONCANON));
	EXPECT_EQ(0, vcpu_set_msr(c, MSR_PAT, 2));
	EXPECT_EQ(0, vcpu_set_msr(c, MSR_EFER, BIT(1)));
}

static void apic_base(void)
{
	uint64_t v;

	GUEST_ASSERT_EQ(try_rdmsr(MSR_APIC_BASE, &v), NONE);
	GUEST_SYNC(v);
}

/* The bootstrap processor's flag is vCPU 0's alone. */
TEST(apic_base_at_reset)
{
	struct vm *vm = vm_create();
	struct vcpu *c0 = vcpu_create(vm, 0), *c1 = vcpu_create(vm, 1);

	vcpu_start64(c0, apic_base, 0, 0);
	vcpu_start64(c1, apic_base, 0, 0);
	ASSERT_EQ(0, eioctl(c1->fd, KVM_SET_MP_STATE,
			    &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE }));
	ASSERT_SYNC(c0, 0xfee00900);
	ASSERT_SYNC(c1, 0xfee00800);
	EXPECT_EQ(0xfee00900, c0->run->apic_base);
}

TEST_HARNESS_MAIN
