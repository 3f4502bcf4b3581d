// SPDX-License-Identifier: GPL-2.0
/*
 * FPU, SSE and AVX registers belong to whom they belong: the host, each guest;
 * and userspace reads and writes a guest's by FPU, XSAVE and XCRS.
 */
#include "guest.h"

struct image {
	uint8_t r[16][32];
} __attribute__((aligned(32)));

/* All sixteen registers, 256 bits if @avx, else 128 */
static void load(const struct image *m, bool avx)
{
#define L(n)								\
	if (avx)							\
		asm volatile("vmovdqa %0, %%ymm" #n : : "m"(m->r[n]));	\
	else								\
		asm volatile("movdqa %0, %%xmm" #n : : "m"(m->r[n]))
	L(0); L(1); L(2); L(3); L(4); L(5); L(6); L(7);
	L(8); L(9); L(10); L(11); L(12); L(13); L(14); L(15);
}

static void store(struct image *m, bool avx)
{
#define S(n)								\
	if (avx)							\
		asm volatile("vmovdqa %%ymm" #n ", %0" : "=m"(m->r[n]));	\
	else								\
		asm volatile("movdqa %%xmm" #n ", %0" : "=m"(m->r[n]))
	S(0); S(1); S(2); S(3); S(4); S(5); S(6); S(7);
	S(8); S(9); S(10); S(11); S(12); S(13); S(14); S(15);
}

static void fill(struct image *m, uint8_t seed)
{
	for (unsigned int i = 0; i < sizeof(*m); i++)
		((uint8_t *)m)[i] = seed + i * 3 + (i >> 5);
}

static bool same(const struct image *a, const struct image *b, bool avx)
{
	int i, k, len = avx ? 32 : 16;

	for (i = 0; i < 16; i++)
		for (k = 0; k < len; k++)
			if (a->r[i][k] != b->r[i][k])
				return false;
	return true;
}

static bool guest_avx;
static uint8_t guest_seed;
static struct image want, got;

/* XCR0 comes from userspace (SET_XCRS): QEMU does not intercept XSETBV. */
static void keep(void)
{
	uint32_t r[4];
	int i;

	if (guest_avx)
		write_cr4(read_cr4() | CR4_OSXSAVE);
	for (i = 0; i < 20; i++) {
		fill(&want, guest_seed + i);
		load(&want, guest_avx);
		if (i & 1)
			cpuid(0, 0, r);		/* an exit within the kernel */
		else
			GUEST_SYNC(i);		/* and one to userspace */
		store(&got, guest_avx);
		GUEST_ASSERT(same(&want, &got, guest_avx));
	}
}

static bool has_avx(void)
{
	struct kvm_cpuid2 *c = dev_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, 0);

	return (cpuid_find(c, 1, 0)->ecx & BIT(28)) && e && (e->eax & 4) &&
	       dev_cap(KVM_CAP_XCRS) > 0;
}

static struct vcpu *keeper(uint8_t seed, bool avx)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct vcpu *c;

	guest_seed = seed;
	guest_avx = avx;
	c = guest64(keep);
	if (avx)
		xioctl(c->fd, KVM_SET_XCRS, &x);
	return c;
}

FIXTURE(regs) { };
FIXTURE_VARIANT(regs) { bool avx; };
FIXTURE_SETUP(regs) { }
FIXTURE_TEARDOWN(regs) { }
FIXTURE_VARIANT_ADD(regs, sse) { false };
FIXTURE_VARIANT_ADD(regs, avx) { true };

TEST_F(regs, host_and_guest_apart)
{
	static struct image mine, now;
	struct vcpu *c;
	int i, kind;

	if (variant->avx && !has_avx())
		SKIP(return, "no AVX offered");
	c = keeper(0x11, variant->avx);
	for (i = 0; i < 20; i += 2) {
		fill(&mine, 0x80 + i);
		load(&mine, variant->avx);
		/* the ioctl alone between load and store: libc uses SSE itself */
		kind = ioctl(c->fd, KVM_RUN, 0);
		store(&now, variant->avx);
		ASSERT_EQ(0, kind);
		ASSERT_TRUE(same(&mine, &now, variant->avx));
		ASSERT_EQ(KVM_EXIT_IO, c->run->exit_reason);
		ASSERT_EQ(G_SYNC, *(uint32_t *)gpa_hva(c->vm, *(uint32_t *)io_data(c)));
	}
	ASSERT_DONE(c);
}

TEST_F(regs, two_guests_apart)
{
	struct vcpu *a, *b;
	int i;

	if (variant->avx && !has_avx())
		SKIP(return, "no AVX offered");
	a = keeper(0x11, variant->avx);
	b = keeper(0x99, variant->avx);
	for (i = 0; i < 20; i += 2) {
		ASSERT_SYNC(a, i);
		ASSERT_SYNC(b, i);
	}
	ASSERT_DONE(a);
	ASSERT_DONE(b);
}

/* Beside another process that changes the same registers all the while */
TEST_F(regs, another_process)
{
	static struct image m, n;
	struct vcpu *c;
	pid_t pid;
	int i, st;

	if (variant->avx && !has_avx())
		SKIP(return, "no AVX offered");
	pid = fork();
	if (!pid) {
		fill(&m, 0x42);
		for (i = 0; i < 300; i++) {
			load(&m, variant->avx);
			syscall(24);			/* sched_yield */
			store(&n, variant->avx);
			if (!same(&m, &n, variant->avx))
				_exit(1);
		}
		_exit(0);
	}
	c = keeper(0x33, variant->avx);
	for (i = 0; i < 20; i += 2)
		ASSERT_SYNC(c, i);
	ASSERT_DONE(c);
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	ASSERT_EQ(0, st);
}

/* ---- Userspace's view ---------------------------------------------------- */

static uint32_t mxcsr;
static uint16_t fcw;
static bool any_mxcsr;

static void show(void)
{
	load(&want, false);
	mxcsr = 0x1f00;
	fcw = 0x27f;
	asm volatile("ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(fcw));
	GUEST_SYNC(1);
	store(&got, false);
	asm volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(fcw));
	GUEST_ASSERT(mxcsr == 0x1fa0 || (any_mxcsr && mxcsr == 0x1f00));
	GUEST_ASSERT_EQ(fcw, 0x37f);
	GUEST_ASSERT_EQ(got.r[3][5], 0xa5);
	GUEST_ASSERT_EQ(got.r[15][15], 0x5a);
}

TEST(get_and_set_fpu)
{
	struct vcpu *c;
	struct kvm_fpu f;
	int i;

	fill(&want, 0x21);
	c = guest64(show);
	ASSERT_SYNC(c, 1);
	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_FPU, &f));
	for (i = 0; i < 16; i++)
		EXPECT_EQ(0, memcmp(f.xmm[i], want.r[i], 16));
	/* KVM leaves MXCSR out of KVM_GET_FPU and KVM_SET_FPU: either will do */
	EXPECT_TRUE(f.mxcsr == 0x1f00 || f.mxcsr == 0);
	EXPECT_EQ(0x27f, f.fcw);
	GUEST(c->vm, any_mxcsr) = true;
	f.xmm[3][5] = 0xa5;
	f.xmm[15][15] = 0x5a;
	f.mxcsr = 0x1fa0;
	f.fcw = 0x37f;
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_FPU, &f));
	ASSERT_DONE(c);
}

TEST(get_and_set_xsave)
{
	static struct kvm_xsave x;
	struct vcpu *c;
	uint64_t bv;
	int i;

	if (dev_cap(KVM_CAP_XSAVE) <= 0)
		SKIP(return, "KVM_CAP_XSAVE is not offered");
	fill(&want, 0x21);
	c = guest64(show);
	ASSERT_SYNC(c, 1);
	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_XSAVE, &x));
	for (i = 0; i < 16; i++)
		EXPECT_EQ(0, memcmp((uint8_t *)x.region + 160 + 16 * i, want.r[i], 16));
	EXPECT_EQ(0x1f00, x.region[6]);
	EXPECT_EQ(0x27f, x.region[0] & 0xffff);
	bv = *(uint64_t *)&x.region[128];
	EXPECT_EQ(2, bv & 2);
	((uint8_t *)x.region)[160 + 3 * 16 + 5] = 0xa5;
	((uint8_t *)x.region)[160 + 15 * 16 + 15] = 0x5a;
	x.region[6] = 0x1fa0;
	x.region[0] = 0x37f;
	*(uint64_t *)&x.region[128] = bv | 3;
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_XSAVE, &x));
	ASSERT_DONE(c);
}

/* What XRSTOR would fault on is refused. */
TEST(bad_xsave_is_refused)
{
	static struct kvm_xsave x, y;
	struct vcpu *c = guest64(show);

	if (dev_cap(KVM_CAP_XSAVE) <= 0)
		SKIP(return, "KVM_CAP_XSAVE is not offered");
	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_XSAVE, &x));
	y = x;
	y.region[128] |= 3;				/* x87 and SSE are in it */
	y.region[6] |= 1u << 31;			/* MXCSR */
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_XSAVE, &y));
	y = x;
	y.region[128] |= 1u << 20;			/* XSTATE_BV: no such state */
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_XSAVE, &y));
	y = x;
	y.region[131] = 1u << 31;			/* XCOMP_BV: compacted */
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_XSAVE, &y));
	y = x;
	y.region[140] = 1;				/* reserved bytes of the header */
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_XSAVE, &y));
	EXPECT_EQ(0, eioctl(c->fd, KVM_SET_XSAVE, &x));
}

/* ---- XCR0 ---------------------------------------------------------------- */

static void xcr0(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	GUEST_SYNC(xgetbv(0));
	GUEST_SYNC(xgetbv(0));
}

TEST(xcrs)
{
	struct kvm_xcrs x = { .nr_xcrs = 1 }, y;
	struct vcpu *c;
	static const uint64_t bad[] = { 0, 2, 5, BIT(63) | 3, BIT(40) | 3 };
	unsigned int i;

	if (dev_cap(KVM_CAP_XCRS) <= 0)
		SKIP(return, "KVM_CAP_XCRS is not offered");
	c = guest64(xcr0);
	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_XCRS, &y));
	EXPECT_EQ(1, y.nr_xcrs);
	EXPECT_EQ(0, y.xcrs[0].xcr);
	EXPECT_EQ(1, y.xcrs[0].value);		/* as after reset */
	ASSERT_SYNC(c, 1);
	x.xcrs[0].value = 3;
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_XCRS, &x));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		x.xcrs[0].value = bad[i];
		EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_XCRS, &x)) TH_LOG("%#lx", bad[i]);
	}
	ASSERT_SYNC(c, 3);
	ASSERT_DONE(c);
}

static void xsetbv_rules(void)
{
	GUEST_ASSERT_EQ(try_xsetbv(0, 1), UD);		/* without OSXSAVE */
	write_cr4(read_cr4() | CR4_OSXSAVE);
	GUEST_ASSERT_EQ(try_xsetbv(0, 3), NONE);
	GUEST_ASSERT_EQ(xgetbv(0), 3);
	GUEST_ASSERT_EQ(try_xsetbv(0, 0), GP);
	GUEST_ASSERT_EQ(try_xsetbv(0, 5), GP);
	GUEST_ASSERT_EQ(try_xsetbv(0, BIT(63) | 3), GP);
	GUEST_ASSERT_EQ(try_xsetbv(1, 1), GP);
	GUEST_ASSERT_EQ(xgetbv(0), 3);
	GUEST_ASSERT_EQ(try_xsetbv(0, 1), NONE);
}

TEST(xsetbv)
{
	struct vcpu *c;
	uint64_t host = 0;

	if (dev_cap(KVM_CAP_XCRS) <= 0)
		SKIP(return, "KVM_CAP_XCRS is not offered");
	host = xgetbv(0);
	c = guest64(xsetbv_rules);
	ASSERT_DONE(c);
	EXPECT_EQ(host, xgetbv(0));
}

/*
 * The guest lowers XCR0 from the host's own value: the host must not notice,
 * whatever it believes the guest's to be.
 */
static void lower_xcr0(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	try_xsetbv(0, 1);
}

TEST(host_xcr0_survives)
{
	struct kvm_xcrs x = { .nr_xcrs = 1 };
	uint64_t host = xgetbv(0);
	struct vcpu *c;

	if (dev_cap(KVM_CAP_XCRS) <= 0)
		SKIP(return, "KVM_CAP_XCRS is not offered");
	if (dev_is_kvm() && host_is_tcg())
		SKIP(return, EMULATOR "XSETBV is not intercepted, and KVM trusts that it is");
	c = guest64(lower_xcr0);
	x.xcrs[0].value = host & 7;
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_XCRS, &x));
	ASSERT_DONE(c);
	EXPECT_EQ(host, xgetbv(0));
}

TEST_HARNESS_MAIN
