// SPDX-License-Identifier: GPL-2.0
/* Two VMs at once, each with memory, registers and translations of its own. */
#include <pthread.h>
#include "guest.h"

static uint64_t who;
static volatile uint64_t memory[512];

static void work(void)
{
	uint64_t i, n, v;

	try_wrmsr(MSR_KERNEL_GS_BASE, who << 12);
	asm volatile("movq %0, %%xmm3" : : "r"(who * 0x0101010101010101));
	for (n = 0; n < 6; n++) {
		for (i = 0; i < 512; i++)
			memory[i] = who * 1000000 + n * 1000 + i;
		GUEST_SYNC(n);
		for (i = 0; i < 512; i++)
			GUEST_ASSERT_EQ(memory[i], who * 1000000 + n * 1000 + i);
		try_rdmsr(MSR_KERNEL_GS_BASE, &v);
		GUEST_ASSERT_EQ(v, who << 12);
		asm volatile("movq %%xmm3, %0" : "=r"(v));
		GUEST_ASSERT_EQ(v, who * 0x0101010101010101);
	}
}

static struct vcpu *vm_number(uint64_t n)
{
	who = n;
	return guest64(work);
}

TEST(by_turns)
{
	struct vcpu *a = vm_number(1), *b = vm_number(2);
	int i;

	for (i = 0; i < 6; i++) {
		ASSERT_SYNC(a, i);
		ASSERT_SYNC(b, i);
	}
	ASSERT_DONE(a);
	ASSERT_DONE(b);
}

/* More VMs than QEMU's CPU has ASIDs (16): tags are recycled all the time. */
TEST(more_vms_than_tags)
{
	struct vcpu *c[20];
	int i, k;

	for (k = 0; k < 20; k++)
		c[k] = vm_number(k + 1);
	for (i = 0; i < 6; i++)
		for (k = 0; k < 20; k++)
			ASSERT_SYNC(c[k], i);
	for (k = 0; k < 20; k++)
		ASSERT_DONE(c[k]);
}

static void *thread(void *arg)
{
	struct vcpu *c = arg;
	int r;

	for (;;) {
		r = vcpu_run(c);
		if (r == -EINTR)
			continue;
		if (r || c->run->exit_reason != KVM_EXIT_IO)
			return (void *)1l;
		memcpy(&c->event, gpa_hva(c->vm, *(uint32_t *)io_data(c)), sizeof(c->event));
		if (c->event.kind == G_DONE)
			return NULL;
		if (c->event.kind != G_SYNC)
			return (void *)2l;
	}
}

TEST(at_once)
{
	struct vcpu *c[3] = { vm_number(1), vm_number(2), vm_number(3) };
	pthread_t t[3];
	void *ret;
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, thread, c[i]));
	for (i = 0; i < 3; i++) {
		pthread_join(t[i], &ret);
		if (ret)
			vcpu_dump(c[i]);
		ASSERT_EQ(NULL, ret);
	}
}

/* One ends, with all that is its own; the other goes on. */
TEST(one_is_destroyed)
{
	struct vcpu *a = vm_number(1), *b = vm_number(2);
	struct vm *vm = a->vm;
	int i;

	ASSERT_SYNC(a, 0);
	ASSERT_SYNC(b, 0);
	vcpu_destroy(a);
	vm_destroy(vm);
	for (i = 1; i < 6; i++) {
		ASSERT_SYNC(b, i);
		a = vm_number(10 + i);
		vm = a->vm;
		ASSERT_SYNC(a, 0);
		vcpu_destroy(a);
		vm_destroy(vm);
	}
	ASSERT_DONE(b);
}

TEST_HARNESS_MAIN
