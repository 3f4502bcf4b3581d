// SPDX-License-Identifier: GPL-2.0
/*
 * Every ioctl with what a careless or hostile caller may hand in: pointers to
 * nowhere, the wrong kind of file descriptor, numbers nobody knows, flags and
 * reserved fields.  Each is refused with KVM's errno and changes nothing.
 */
#include <linux/lucid.h>
#include "abi_state.h"

enum kind { SYSTEM, VM, VCPU, KINDS };
enum arg { NUMBER, IN, OUT, INOUT };

static const struct {
	unsigned long nr;
	const char *name;
	enum kind kind;
	enum arg arg;
} ioctls[] = {
#define I(nr, kind, arg) { nr, #nr, kind, arg }
	I(KVM_GET_API_VERSION, SYSTEM, NUMBER),
	I(KVM_CREATE_VM, SYSTEM, NUMBER),
	I(KVM_GET_VCPU_MMAP_SIZE, SYSTEM, NUMBER),
	I(KVM_GET_SUPPORTED_CPUID, SYSTEM, INOUT),
	I(KVM_GET_MSR_INDEX_LIST, SYSTEM, INOUT),
	I(KVM_CREATE_VCPU, VM, NUMBER),
	I(KVM_SET_USER_MEMORY_REGION, VM, IN),
	I(KVM_SET_TSS_ADDR, VM, NUMBER),
	I(KVM_SET_IDENTITY_MAP_ADDR, VM, IN),
	I(KVM_RUN, VCPU, NUMBER),
	I(KVM_GET_REGS, VCPU, OUT),
	I(KVM_SET_REGS, VCPU, IN),
	I(KVM_GET_SREGS, VCPU, OUT),
	I(KVM_SET_SREGS, VCPU, IN),
	I(KVM_GET_SREGS2, VCPU, OUT),
	I(KVM_SET_SREGS2, VCPU, IN),
	I(KVM_GET_FPU, VCPU, OUT),
	I(KVM_SET_FPU, VCPU, IN),
	I(KVM_GET_XSAVE, VCPU, OUT),
	I(KVM_SET_XSAVE, VCPU, IN),
	I(KVM_GET_XSAVE2, VCPU, OUT),
	I(KVM_GET_XCRS, VCPU, OUT),
	I(KVM_SET_XCRS, VCPU, IN),
	I(KVM_GET_DEBUGREGS, VCPU, OUT),
	I(KVM_SET_DEBUGREGS, VCPU, IN),
	I(KVM_GET_VCPU_EVENTS, VCPU, OUT),
	I(KVM_SET_VCPU_EVENTS, VCPU, IN),
	I(KVM_GET_MP_STATE, VCPU, OUT),
	I(KVM_SET_MP_STATE, VCPU, IN),
	I(KVM_SET_MSRS, VCPU, IN),
	I(KVM_SET_CPUID2, VCPU, IN),
	I(KVM_SET_CPUID, VCPU, IN),
	I(KVM_GET_CPUID2, VCPU, INOUT),
	I(KVM_INTERRUPT, VCPU, IN),
	I(KVM_NMI, VCPU, NUMBER),
	I(KVM_SET_SIGNAL_MASK, VCPU, IN),
	I(KVM_TRANSLATE, VCPU, INOUT),
#undef I
};
#define NR_IOCTLS (sizeof(ioctls) / sizeof(ioctls[0]))

FIXTURE(all) {
	struct vcpu *c;
	int fd[KINDS];
	struct vcpu_state before;
	uint8_t *page;		/* followed by one that is not there */
};

FIXTURE_SETUP(all)
{
	self->c = vcpu_create(vm_create(), 0);
	vcpu_start(self->c, LONG64_4K, GUEST_IMAGE);
	self->fd[SYSTEM] = dev_fd();
	self->fd[VM] = self->c->vm->fd;
	self->fd[VCPU] = self->c->fd;
	self->page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(self->page + 4096, 4096);
	vcpu_state_get(self->c, &self->before);
}

FIXTURE_TEARDOWN(all)
{
	struct vcpu_state after;

	vcpu_state_get(self->c, &after);
	EXPECT_STREQ("", vcpu_state_diff(&self->before, &after) ?: "");
}

/* What each kind of file says to a number it does not know */
static const int unknown[KINDS] = { -EINVAL, -ENOTTY, -EINVAL };

TEST_F(all, wrong_kind_of_fd)
{
	static uint8_t buf[1 << 16], zero[1 << 16];
	int i, k, r;

	for (i = 0; i < NR_IOCTLS; i++) {
		for (k = 0; k < KINDS; k++) {
			if (ioctls[i].kind == k)
				continue;
			r = eioctl(self->fd[k], ioctls[i].nr, buf);
			EXPECT_EQ(unknown[k], r)
				TH_LOG("%s on fd kind %d: %d", ioctls[i].name, k, r);
			if (r >= 3)
				close(r);
		}
	}
	EXPECT_EQ(0, memcmp(buf, zero, sizeof(buf)));
}

TEST_F(all, unknown_numbers)
{
	static uint8_t buf[1 << 16];
	uint64_t seed = 42;
	int i, k;

	for (i = 0; i < 2000; i++) {
		/* a size that no ioctl has; KVM's type, ours and random others */
		uint32_t type = (uint32_t[]){ KVMIO, LUCIDIO, 'U', 0xff }[i % 4];
		uint32_t nr = _IOC(rnd(&seed) & 3, type, rnd(&seed) & 0xff,
				   0x2001 + (rnd(&seed) & 0x7fe) * 2);

		for (k = 0; k < KINDS; k++) {
			int r = eioctl(self->fd[k], nr, buf);

			ASSERT_EQ(unknown[k], r)
				TH_LOG("ioctl %#x on fd kind %d: %d", nr, k, r);
		}
	}
}

TEST_F(all, pointers_to_nowhere)
{
	void *const nowhere[] = {
		(void *)1, (void *)0xfff, self->page + 4096, self->page + 4095,
		(void *)0x7fffffffeffful, (void *)0x7ffffffffffful,
		(void *)0x800000000000ul, (void *)0x8000000000000000ul,
		(void *)0xffff888000000000ul, (void *)0xffffffff81000000ul,
		(void *)-4096ul, (void *)-1ul, NULL,
	};
	int i, n, r;

	for (i = 0; i < NR_IOCTLS; i++) {
		if (ioctls[i].arg == NUMBER)
			continue;
		for (n = 0; n < sizeof(nowhere) / sizeof(nowhere[0]); n++) {
			if (ioctls[i].nr == KVM_SET_SIGNAL_MASK && !nowhere[n])
				continue;	/* that means: no mask */
			r = eioctl(self->fd[ioctls[i].kind], ioctls[i].nr, nowhere[n]);
			/* a vCPU is there: too late for this one, KVM looks first */
			if (ioctls[i].nr == KVM_SET_IDENTITY_MAP_ADDR && r == -EINVAL)
				continue;
			EXPECT_EQ(-EFAULT, r)
				TH_LOG("%s(%p): %d", ioctls[i].name, nowhere[n], r);
		}
	}
}

/* The answer's place may be read but not written. */
TEST_F(all, read_only_answers)
{
	int i, r;

	memset(self->page, 0, 4096);
	*(uint32_t *)self->page = 200;		/* nent: enough, were there room */
	mprotect(self->page, 4096, PROT_READ);
	for (i = 0; i < NR_IOCTLS; i++) {
		if (ioctls[i].arg != OUT && ioctls[i].nr != KVM_GET_MSR_INDEX_LIST &&
		    ioctls[i].nr != KVM_TRANSLATE && ioctls[i].nr != KVM_GET_SUPPORTED_CPUID)
			continue;
		r = eioctl(self->fd[ioctls[i].kind], ioctls[i].nr, self->page);
		EXPECT_EQ(-EFAULT, r) TH_LOG("%s: %d", ioctls[i].name, r);
	}
	/* and none of it begins to be written where the end is missing */
	mprotect(self->page, 4096, PROT_READ | PROT_WRITE);
	for (i = 0; i < NR_IOCTLS; i++) {
		if (ioctls[i].arg != OUT)
			continue;
		r = eioctl(self->fd[ioctls[i].kind], ioctls[i].nr, self->page + 4095);
		if (_IOC_SIZE(ioctls[i].nr) > 1)
			EXPECT_EQ(-EFAULT, r) TH_LOG("%s: %d", ioctls[i].name, r);
	}
}

TEST_F(all, numbers_that_must_be_zero)
{
	EXPECT_EQ(-EINVAL, eioctl(self->fd[SYSTEM], KVM_GET_API_VERSION, (void *)1));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[SYSTEM], KVM_GET_VCPU_MMAP_SIZE, (void *)1));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[SYSTEM], KVM_CREATE_VM, (void *)1));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[SYSTEM], KVM_CREATE_VM, (void *)-1ul));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[SYSTEM], KVM_CREATE_VM, (void *)(1ul << 32)));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_RUN, (void *)1));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_RUN, self->page));
}

TEST_F(all, capabilities_nobody_knows)
{
	static const unsigned long cap[] = {
		1000, 10000, 0x7fffffff, 0x80000000, 0xffffffff, -1ul,
	};
	int i;

	for (i = 0; i < sizeof(cap) / sizeof(cap[0]); i++) {
		EXPECT_EQ(0, eioctl(self->fd[SYSTEM], KVM_CHECK_EXTENSION, (void *)cap[i]));
		EXPECT_EQ(0, eioctl(self->fd[VM], KVM_CHECK_EXTENSION, (void *)cap[i]));
	}
}

TEST_F(all, tss_and_identity_map_addresses)
{
	uint64_t addr = 0xfeffc000;

	EXPECT_EQ(0, eioctl(self->fd[VM], KVM_SET_TSS_ADDR, (void *)0xfffbd000ul));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VM], KVM_SET_TSS_ADDR, (void *)0xfffffffful));
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VM], KVM_SET_TSS_ADDR, (void *)0x100000000ul));
	/* a vCPU is there already */
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VM], KVM_SET_IDENTITY_MAP_ADDR, &addr));
}

TEST_F(all, debugregs)
{
	struct kvm_debugregs d = self->before.debugregs;
	int fd = self->fd[VCPU];

	d.flags = 1;
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_DEBUGREGS, &d));
	d.flags = 1ull << 63;
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_DEBUGREGS, &d));
	d.flags = 0;
	d.dr6 |= 1ull << 32;
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_DEBUGREGS, &d));
	d = self->before.debugregs;
	d.dr7 |= 1ull << 63;
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_DEBUGREGS, &d));
}

TEST_F(all, events)
{
	static const uint32_t bad_flags[] = {
		0x10 /* payload: not enabled */, 0x20 /* triple fault: not enabled */,
		0x40, 0x80000000,
	};
	static const uint8_t bad_vector[] = { 2, 32, 33, 128, 255 };
	struct kvm_vcpu_events e;
	int i;

	for (i = 0; i < 4; i++) {
		e = self->before.events;
		e.flags = bad_flags[i];
		EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_VCPU_EVENTS, &e))
			TH_LOG("flags %#x", e.flags);
	}
	for (i = 0; i < sizeof(bad_vector); i++) {
		e = self->before.events;
		e.exception.injected = 1;
		e.exception.nr = bad_vector[i];
		EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_VCPU_EVENTS, &e))
			TH_LOG("vector %u", e.exception.nr);
	}
}

/* Each line: the vCPU is in long mode; one thing is wrong. */
TEST_F(all, sregs)
{
	const struct kvm_sregs good = self->before.sregs;
	struct kvm_sregs2 s2;
	struct kvm_sregs s;
	int fd = self->fd[VCPU];

#define BAD(what) do {							\
	s = good;							\
	what;								\
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_SREGS, &s)) TH_LOG(#what);	\
	memset(&s2, 0, sizeof(s2));					\
	memcpy(&s2, &s, offsetof(struct kvm_sregs, interrupt_bitmap));	\
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_SREGS2, &s2)) TH_LOG("2: " #what);	\
} while (0)
	BAD(s.efer = 0);			/* CS.L without LMA */
	BAD(s.efer &= ~EFER_LMA);
	BAD(s.cr4 &= ~CR4_PAE);
	BAD(s.cr4 |= BIT(30));
	BAD(s.cr4 |= BIT(63));
	BAD(s.cr4 |= BIT(15));
	BAD(s.cr3 |= BIT(60));
	BAD(s.cr0 &= ~CR0_PG);
	BAD(s.apic_base = -1ull);
#undef BAD
	memset(&s2, 0, sizeof(s2));
	memcpy(&s2, &good, offsetof(struct kvm_sregs, interrupt_bitmap));
	s2.flags = 1;				/* PDPTRs in long mode */
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_SREGS2, &s2));
	s2.flags = 2;
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_SREGS2, &s2));
	s2.flags = 1ull << 63;
	EXPECT_EQ(-EINVAL, eioctl(fd, KVM_SET_SREGS2, &s2));
}

TEST_F(all, xcrs)
{
	static const uint64_t bad[] = {
		0, 2, 4, 5, 6, BIT(3) | 1, BIT(5) | 3, BIT(9) | 3, BIT(62) | 3, BIT(63) | 3,
		BIT(17) | 3, BIT(20) | 3, -1ull,
	};
	struct kvm_xcrs x;
	int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		x = self->before.xcrs;
		x.nr_xcrs = 1;
		x.xcrs[0].xcr = 0;
		x.xcrs[0].value = bad[i];
		EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XCRS, &x))
			TH_LOG("%#lx", (unsigned long)bad[i]);
	}
	x = self->before.xcrs;
	x.flags = 1;
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XCRS, &x));
	x.flags = 0;
	x.nr_xcrs = KVM_MAX_XCRS + 1;
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XCRS, &x));
	x.nr_xcrs = 0xffffffff;
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XCRS, &x));
}

TEST_F(all, xsave)
{
	struct kvm_xsave x;
	uint64_t *header = (uint64_t *)&x.region[512 / 4];
	int i;

	for (i = 0; i < 64; i++) {
		if (i < 3)
			continue;
		x = self->before.xsave;
		header[0] |= BIT(i);		/* XSTATE_BV */
		if (i >= 5 && i <= 7 && dev_is_kvm())
			continue;		/* AVX-512, if the CPU has it */
		EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XSAVE, &x))
			TH_LOG("XSTATE_BV bit %d", i);
	}
	for (i = 2; i < 8; i++) {
		x = self->before.xsave;
		header[i] = 1;			/* reserved bytes */
		EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XSAVE, &x))
			TH_LOG("header word %d", i);
	}
	x = self->before.xsave;
	header[1] = BIT(63);			/* XCOMP_BV: compacted */
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XSAVE, &x));
	x = self->before.xsave;
	header[0] |= 3;
	x.region[24 / 4] = 0xffffffff;		/* MXCSR */
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_XSAVE, &x));
}

TEST_F(all, mp_state_and_interrupt)
{
	static const uint32_t bad_state[] = { 11, 99, 0x80000000, 0xffffffff };
	static const uint32_t bad_irq[] = { 256, 0x1000, 0x80000000, 0xffffffff };
	int i;

	for (i = 0; i < 4; i++) {
		struct kvm_mp_state m = { bad_state[i] };
		struct kvm_interrupt irq = { bad_irq[i] };

		EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_MP_STATE, &m));
		EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_INTERRUPT, &irq));
	}
}

TEST_F(all, msr_counts)
{
	static const uint32_t too_many[] = { 256, 257, 0x10000, 0x7fffffff, 0xffffffff };
	struct kvm_msrs *m = calloc(1, sizeof(*m) + 256 * sizeof(m->entries[0]));
	int i;

	EXPECT_EQ(0, eioctl(self->fd[VCPU], KVM_GET_MSRS, m));
	EXPECT_EQ(0, eioctl(self->fd[VCPU], KVM_SET_MSRS, m));
	for (i = 0; i < 5; i++) {
		m->nmsrs = too_many[i];
		EXPECT_EQ(-E2BIG, eioctl(self->fd[VCPU], KVM_GET_MSRS, m));
		EXPECT_EQ(-E2BIG, eioctl(self->fd[VCPU], KVM_SET_MSRS, m));
	}
	/* it stops at the first that is not there, and says how far it came */
	m->nmsrs = 3;
	m->entries[0].index = m->entries[2].index = MSR_STAR;
	m->entries[1].index = 0x12345;
	EXPECT_EQ(1, eioctl(self->fd[VCPU], KVM_GET_MSRS, m));
	EXPECT_EQ(1, eioctl(self->fd[VCPU], KVM_SET_MSRS, m));
	/* the list is longer than the memory behind it */
	m = (void *)(self->page + 4096 - 24);
	m->nmsrs = 200;
	m->entries[0].index = MSR_STAR;
	EXPECT_EQ(-EFAULT, eioctl(self->fd[VCPU], KVM_GET_MSRS, m));
	EXPECT_EQ(-EFAULT, eioctl(self->fd[VCPU], KVM_SET_MSRS, m));
}

TEST_F(all, cpuid_and_index_list_sizes)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 300 * sizeof(c->entries[0]));
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 4);
	uint32_t too_many[] = { 257, 0x10000, 0x7fffffff, 0xffffffff };
	int i;

	for (i = 0; i < 4; i++) {
		c->nent = too_many[i];
		EXPECT_EQ(-E2BIG, eioctl(self->fd[VCPU], KVM_SET_CPUID2, c));
	}
	c->nent = 0;
	EXPECT_EQ(-E2BIG, eioctl(self->fd[SYSTEM], KVM_GET_SUPPORTED_CPUID, c));
	c->nent = 1;
	EXPECT_EQ(-E2BIG, eioctl(self->fd[SYSTEM], KVM_GET_SUPPORTED_CPUID, c));
	c->nent = 1;
	EXPECT_EQ(-E2BIG, eioctl(self->fd[VCPU], KVM_GET_CPUID2, c));
	/* the whole list, but the memory ends in it */
	c = (void *)(self->page + 4096 - 48);
	c->nent = 200;
	EXPECT_EQ(-EFAULT, eioctl(self->fd[SYSTEM], KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_EQ(-EFAULT, eioctl(self->fd[VCPU], KVM_SET_CPUID2, c));
	c->nent = 200;
	EXPECT_EQ(-EFAULT, eioctl(self->fd[VCPU], KVM_GET_CPUID2, c));

	l->nmsrs = 0;
	EXPECT_EQ(-E2BIG, eioctl(self->fd[SYSTEM], KVM_GET_MSR_INDEX_LIST, l));
	EXPECT_LT(10, l->nmsrs);
	l = (void *)(self->page + 4096 - 8);
	l->nmsrs = 10000;
	EXPECT_EQ(-EFAULT, eioctl(self->fd[SYSTEM], KVM_GET_MSR_INDEX_LIST, l));
}

TEST_F(all, signal_mask_sizes)
{
	struct { struct kvm_signal_mask h; uint8_t set[64]; } m = { };
	uint32_t len;

	for (len = 0; len < 64; len++) {
		m.h.len = len;
		EXPECT_EQ(len == 8 ? 0 : -EINVAL, eioctl(self->fd[VCPU], KVM_SET_SIGNAL_MASK, &m))
			TH_LOG("%u bytes", len);
	}
	m.h.len = 0xffffffff;
	EXPECT_EQ(-EINVAL, eioctl(self->fd[VCPU], KVM_SET_SIGNAL_MASK, &m));
	EXPECT_EQ(0, eioctl(self->fd[VCPU], KVM_SET_SIGNAL_MASK, NULL));
}

/* kvm_run's own fields: bits of the sync area that do not exist */
TEST_F(all, sync_regs_bits)
{
	static const uint64_t bad[] = { 8, 16, BIT(31), BIT(32), BIT(63) };
	int i;

	/* KVM 6.12 looks at 32 of the 64 bits */
	for (i = 0; i < (dev_is_kvm() ? 3 : 5); i++) {
		self->c->run->kvm_valid_regs = bad[i];
		EXPECT_EQ(-EINVAL, vcpu_run(self->c)) TH_LOG("%#lx", (unsigned long)bad[i]);
		self->c->run->kvm_valid_regs = 0;
		self->c->run->kvm_dirty_regs = bad[i];
		EXPECT_EQ(-EINVAL, vcpu_run(self->c)) TH_LOG("%#lx", (unsigned long)bad[i]);
		self->c->run->kvm_dirty_regs = 0;
	}
}

/* Reads and writes of the descriptors themselves, and maps past the end */
TEST_F(all, files)
{
	char b[8];
	uint8_t *p;
	int k, size = eioctl(self->fd[SYSTEM], KVM_GET_VCPU_MMAP_SIZE, NULL);

	ASSERT_LE(4096, size);
	for (k = 0; k < KINDS; k++) {
		EXPECT_EQ(-1, read(self->fd[k], b, 8));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, write(self->fd[k], b, 8));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd[SYSTEM], 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd[VM], 0));
	/* a map that is too large may be made; touched, it is a bus error */
	p = mmap(NULL, size + 8192, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd[VCPU], 0);
	if (p != MAP_FAILED) {
		EXPECT_EQ(-EFAULT, eioctl(self->fd[VCPU], KVM_GET_REGS, p + size + 64));
		munmap(p, size + 8192);
	}
	/* registers read straight into kvm_run */
	EXPECT_EQ(0, eioctl(self->fd[VCPU], KVM_GET_REGS, (uint8_t *)self->c->run + 2048));
}

TEST_HARNESS_MAIN
