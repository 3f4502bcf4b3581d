// SPDX-License-Identifier: GPL-2.0
/*
 * Memory slots and vCPUs at their limits: what is unaligned, overlapping, too
 * large, too many or not there is refused with KVM's errno, and what was there
 * before still is.
 */
#include "abi_state.h"

#define PAGE	4096ul
#define G	(1ul << 30)

FIXTURE(slots) {
	struct vm *vm;
	uint8_t *p;		/* 1M of memory */
};

FIXTURE_SETUP(slots)
{
	self->vm = vm_create_bare();
	self->p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, vm_slot(self->vm, 1, 0, 0x100000, 0x10000, self->p));
}

FIXTURE_TEARDOWN(slots)
{
	/* slot 1 is what it was: unchanged is accepted, resized is not */
	EXPECT_EQ(0, vm_slot(self->vm, 1, 0, 0x100000, 0x10000, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 1, 0, 0x100000, 0x8000, self->p));
	EXPECT_EQ(-EEXIST, vm_slot(self->vm, 9, 0, 0x10f000, PAGE, self->p));
	vm_destroy(self->vm);
}

TEST_F(slots, unaligned)
{
	int i;

	for (i = 1; i < 4096; i = i * 2 + 1) {
		EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, i, PAGE, self->p));
		EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, PAGE + i, self->p));
		EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, i, self->p));
		EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, PAGE, self->p + i));
	}
}

TEST_F(slots, unknown_flags)
{
	int i;

	for (i = 2; i < 32; i++)
		EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 1u << i, 0, PAGE, self->p))
			TH_LOG("flag bit %d", i);
}

TEST_F(slots, overlapping)
{
	static const struct { uint64_t gpa, size; } bad[] = {
		{ 0x100000, 0x10000 }, { 0xff000, 0x2000 }, { 0x10f000, 0x2000 },
		{ 0x108000, 0x1000 }, { 0x80000, 0x100000 },
	};
	int i;

	for (i = 0; i < 5; i++)
		EXPECT_EQ(-EEXIST, vm_slot(self->vm, 2, 0, bad[i].gpa, bad[i].size, self->p));
	/* side by side is no overlap; the same host memory twice neither */
	EXPECT_EQ(0, vm_slot(self->vm, 2, 0, 0xff000, 0x1000, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, 3, 0, 0x110000, 0x1000, self->p));
	/* moved onto another */
	EXPECT_EQ(-EEXIST, vm_slot(self->vm, 3, 0, 0x10f000, 0x1000, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, 3, 0, 0x120000, 0x1000, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, 2, 0, 0, 0, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, 3, 0, 0, 0, self->p));
}

TEST_F(slots, wrapping_and_huge)
{
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, -PAGE, 2 * PAGE, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, -PAGE, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, 1ul << 63, self->p));
	/* more pages than an int counts; an address that userspace cannot have */
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 1ul << 44, 1ul << 43, NULL));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 1ul << 44, 1ul << 47, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, PAGE, (void *)-PAGE));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, 2 * PAGE, (void *)-PAGE));
}

TEST_F(slots, over_kernel_addresses)
{
	static const uint64_t hva[] = {
		0xffff888000000000, 0xffffffff81000000, 0xfffffffffffff000,
		0x8000000000000000, 0x800000000000, 0x7ffffffff000,
	};
	int i;

	for (i = 0; i < 6; i++)
		EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, 2 * PAGE, (void *)hva[i]))
			TH_LOG("%#lx", (unsigned long)hva[i]);
	/* from user addresses into the kernel's */
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, G, (void *)(0x7ffffffff000ul - G / 2)));
}

TEST_F(slots, ids_and_deletion)
{
	int max = dev_cap(KVM_CAP_NR_MEMSLOTS);

	ASSERT_LE(32, max);
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0, 0, self->p));	/* not there */
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, max, 0, 0, PAGE, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, max, 0, 0, 0, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 0xffff, 0, 0, PAGE, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 0x7fffffff, 0, 0, PAGE, self->p));
	if (dev_cap(KVM_CAP_MULTI_ADDRESS_SPACE) < 2)	/* KVM's is SMM's */
		EXPECT_EQ(-EINVAL, vm_slot(self->vm, 0x10000, 0, 0, PAGE, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 0xffffffff, 0, 0, PAGE, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, max - 1, 0, 0, PAGE, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, max - 1, 0, 0, 0, self->p));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, max - 1, 0, 0, 0, self->p));
}

TEST_F(slots, what_may_change)
{
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, 0x200000, 0x10000, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, 2, 0, 0x300000, 0x10000, self->p));	/* moved */
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0x300000, 0x20000, self->p));	/* resized */
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, 0, 0x300000, 0x10000, self->p + PAGE));
	EXPECT_EQ(-EINVAL, vm_slot(self->vm, 2, KVM_MEM_READONLY, 0x300000, 0x10000, self->p));
	EXPECT_EQ(0, vm_slot(self->vm, 2, 0, 0x300000, 0x10000, self->p));	/* as it is */
	EXPECT_EQ(0, vm_slot(self->vm, 2, 0, 0, 0, self->p));
}

/* All slots in use, in a wild order; then all gone again. */
TEST(every_slot)
{
	struct vm *vm = vm_create_bare();
	int i, max = dev_cap(KVM_CAP_NR_MEMSLOTS), n = max < 509 ? max : 509;
	uint8_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (i = 0; i < n; i++)
		ASSERT_EQ(0, vm_slot(vm, i, 0, (i * 73ul % 509) * 2 * PAGE, PAGE, p));
	for (i = 0; i < n; i++)
		ASSERT_EQ(-EEXIST, vm_slot(vm, i, 0, ((i + 1) % n * 73ul % 509) * 2 * PAGE, PAGE, p));
	for (i = n - 1; i >= 0; i--)
		ASSERT_EQ(0, vm_slot(vm, i, 0, 0, 0, p));
	ASSERT_EQ(0, vm_slot(vm, 0, 0, 0, n * 2 * PAGE & -PAGE, mmap(NULL, n * 2 * PAGE,
		  PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	vm_destroy(vm);
}

/* A slot over memory that is not mapped: made, but touched it is -EFAULT. */
static void touch(void)
{
	*(volatile uint32_t *)(GUEST_MMIO + 64) = 1;
}

TEST(slot_over_nothing)
{
	struct vcpu *c = guest64(touch);
	void *p = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p, PAGE);
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, GUEST_MMIO, PAGE, p));
	ASSERT_EQ(-EFAULT, vcpu_run(c));
	ASSERT_EQ(-EFAULT, vcpu_run(c));
	/* then it is there, and the guest goes on */
	ASSERT_EQ(p, mmap(p, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_DONE(c);
	ASSERT_EQ(1, ((uint32_t *)p)[16]);
}

/* Memory that the process itself may not touch, or not write */
TEST(slot_over_forbidden_memory)
{
	struct vcpu *c = guest64(touch);
	uint32_t *p = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, GUEST_MMIO, PAGE, p));
	ASSERT_EQ(-EFAULT, vcpu_run(c));
	mprotect(p, PAGE, PROT_READ);
	ASSERT_EQ(-EFAULT, vcpu_run(c));
	mprotect(p, PAGE, PROT_READ | PROT_WRITE);
	ASSERT_DONE(c);
	ASSERT_EQ(1, p[16]);
}

/* kvm_run, the vdso and a hole in a file as guest memory */
TEST(slot_over_odd_memory)
{
	struct vcpu *c = guest64(touch);
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long vdso = 0, vvar = 0, a;
	char line[256];
	int r;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx", &a) != 1)
			continue;
		if (strstr(line, "[vdso]"))
			vdso = a;
		if (strstr(line, "[vvar]"))
			vvar = a;
	}
	fclose(f);
	/* no write reaches what the process may not write itself */
	ASSERT_NE(0, vdso);
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, GUEST_MMIO, PAGE, (void *)vdso));
	r = vcpu_run(c);
	/* KVM breaks the vdso's private mapping (COW), or says EFAULT */
	EXPECT_TRUE(r == -EFAULT || (r == 0 && c->run->exit_reason == KVM_EXIT_IO));
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, 0, 0, NULL));
	if (vvar) {
		vcpu_start64(c, touch, 0, 0);
		ASSERT_EQ(0, vm_slot(c->vm, 1, 0, GUEST_MMIO, PAGE, (void *)vvar));
		EXPECT_EQ(-EFAULT, vcpu_run(c));
		ASSERT_EQ(0, vm_slot(c->vm, 1, 0, 0, 0, NULL));
	}
	/* the page that the kernel itself reads and writes in KVM_RUN */
	vcpu_start64(c, touch, 0, 0);
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, GUEST_MMIO, PAGE, c->run));
	r = vcpu_run(c);
	EXPECT_TRUE(r == 0 || r == -EFAULT);
}

/* ---- vCPUs ------------------------------------------------------------------- */

TEST(vcpu_ids)
{
	struct vm *vm = vm_create_bare();
	long max = dev_cap(KVM_CAP_MAX_VCPU_ID);
	int fd[3];

	ASSERT_LE(1, max);
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)max));
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)0x7ffffffful));
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)-1ul));
	fd[0] = eioctl(vm->fd, KVM_CREATE_VCPU, (void *)5);
	ASSERT_LE(0, fd[0]);
	EXPECT_EQ(-EEXIST, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)5));
	fd[1] = eioctl(vm->fd, KVM_CREATE_VCPU, (void *)0);
	ASSERT_LE(0, fd[1]);
	EXPECT_EQ(-EEXIST, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)0));
	/* the number stays taken after the descriptor is closed */
	close(fd[0]);
	EXPECT_EQ(-EEXIST, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)5));
	fd[2] = eioctl(vm->fd, KVM_CREATE_VCPU, (void *)(max - 1));
	EXPECT_LE(0, fd[2]);
	close(fd[1]);
	close(fd[2]);
	vm_destroy(vm);
}

TEST(too_many_vcpus)
{
	struct vm *vm = vm_create_bare();
	int i, max = dev_cap(KVM_CAP_MAX_VCPUS);
	long ids = dev_cap(KVM_CAP_MAX_VCPU_ID);
	static int fd[4096];

	if (ids <= max || max > 4096 - 1)
		SKIP(return, "as many numbers as vCPUs");
	/* KVM's thousand of them take a while in an emulator: they are few on Lucid */
	if (max > 200)
		SKIP(return, "%d vCPUs at most: too slow in the lab", max);
	for (i = 0; i < max; i++) {
		fd[i] = eioctl(vm->fd, KVM_CREATE_VCPU, (void *)(long)i);
		ASSERT_LE(0, fd[i]);
	}
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)(long)max));
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)(long)max));
	for (i = 0; i < max; i++)
		close(fd[i]);
	vm_destroy(vm);
}

/* No descriptor left: -EMFILE, and the vCPU or VM was not half made. */
TEST(no_descriptor_left)
{
	struct vm *vm = vm_create_bare();
	int i, n = 0, fd[64], last;

	struct { unsigned long cur, max; } lim = { 40, 40 };
	ASSERT_EQ(0, syscall(160 /* setrlimit */, 7 /* RLIMIT_NOFILE */, &lim));
	while (n < 64 && (fd[n] = dup(1)) >= 0)
		n++;
	ASSERT_EQ(EMFILE, errno);
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(-EMFILE, eioctl(vm->fd, KVM_CREATE_VCPU, (void *)0));
		ASSERT_EQ(-EMFILE, eioctl(dev_fd(), KVM_CREATE_VM, NULL));
	}
	close(fd[--n]);
	last = eioctl(vm->fd, KVM_CREATE_VCPU, (void *)0);
	EXPECT_LE(0, last);
}

/*
 * A vCPU that runs before there is memory: out of reset, or set up to run at 0.
 * KVM 6.1 has no table pages for a VM without slots (-ENOSPC); with a slot
 * elsewhere, it cannot fetch the instruction, which is an emulation failure.
 */
TEST(run_before_memory)
{
	struct vm *vm = vm_create_bare();
	struct vcpu *c = vcpu_create(vm, 0);
	uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_regs g;
	int i, r;

	for (i = 0; i < 4; i++) {
		if (i == 1) {
			struct kvm_sregs s = vcpu_sregs(c);

			s.cs.base = s.cs.selector = 0;
			vcpu_set_sregs(c, s);
		}
		if (i == 2)
			ASSERT_EQ(0, vm_slot(vm, 0, 0, G, PAGE, p));
		r = vcpu_run(c);
		if (i < 2 && r == -ENOSPC && dev_is_kvm())
			continue;
		EXPECT_EQ(0, r);
		EXPECT_EQ(KVM_EXIT_INTERNAL_ERROR, c->run->exit_reason)
			TH_LOG("%d: exit reason %u", i, c->run->exit_reason);
		/* then there is no IDT for the #UD that comes of it, either */
		EXPECT_TRUE(c->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ||
			    (i && c->run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV))
			TH_LOG("%d: suberror %u", i, c->run->internal.suberror);
	}
	/* memory comes later: it goes on as if nothing had been */
	vcpu_set_events(c, (struct kvm_vcpu_events){ 0 });
	p[PAGE + 0x100] = 0xf4;	/* hlt */
	ASSERT_EQ(0, vm_slot(vm, 1, 0, 0, PAGE, p + PAGE));
	g = vcpu_regs(c);
	g.rip = 0x100;
	vcpu_set_regs(c, g);
	EXPECT_EQ(0, vcpu_run(c));
	EXPECT_EQ(KVM_EXIT_HLT, c->run->exit_reason);
	vcpu_destroy(c);
	vm_destroy(vm);
}

/* Slots made and deleted under a running guest: it sees memory or MMIO. */
TEST(slot_deleted_between_runs)
{
	struct vcpu *c = guest64(touch);
	uint32_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	for (i = 0; i < 50; i++) {
		vcpu_start64(c, touch, 0, 0);
		*p = p[16] = 0;
		if (i & 1) {
			ASSERT_EQ(0, vm_slot(c->vm, 1, 0, GUEST_MMIO, PAGE, p));
			ASSERT_DONE(c);
			ASSERT_EQ(1, p[16]);
			ASSERT_EQ(0, vm_slot(c->vm, 1, 0, 0, 0, p));
		} else {
			ASSERT_EXIT(c, KVM_EXIT_MMIO);
			ASSERT_EQ(GUEST_MMIO + 64, c->run->mmio.phys_addr);
			ASSERT_DONE(c);
			ASSERT_EQ(0, p[16]);
		}
	}
}

TEST_HARNESS_MAIN
