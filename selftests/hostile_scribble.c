// SPDX-License-Identifier: GPL-2.0
/*
 * A second thread writes random bytes over kvm_run, the page of port data and
 * the guest's memory, all the while the guest does I/O of every kind.  The
 * kernel trusts none of it: KVM_RUN returns what api.rst knows, the host lives
 * and its log stays clean (selftests/run looks).
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include "abi_state.h"

/* Guest code: every kind of exit that has data in kvm_run or in memory */
static volatile uint64_t count;

static void io(void)
{
	volatile uint32_t *mmio = (void *)(GUEST_MMIO + 8);
	void *buf = (void *)GUEST_DATA;
	uint32_t r[4];
	uint64_t v, n, p;

	for (;;) {
		outb(0x70, count);
		outl(0x74, count);
		v = inb(0x71);
		v += inw(0x72);
		n = 1 + (count & 0x3ff);
		p = (uint64_t)buf + (count * 8 & 0xff8);
		asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(0x75) : "memory");
		n = 1 + (count & 0x1ff);
		p = (uint64_t)buf + 0x2000 + (count * 8 & 0xff8);
		asm volatile("rep insl" : "+D"(p), "+c"(n) : "d"(0x76) : "memory");
		p = (uint64_t)buf + 0xffc;
		asm volatile("outsl" : "+S"(p) : "d"(0x77) : "memory");
		mmio[count & 7] = v;
		v += mmio[1];
		*(volatile uint8_t *)(GUEST_MMIO + 0xfff) = v;
		*(volatile uint64_t *)(GUEST_MMIO + 0xffc) = v;	/* across pages */
		p = *(volatile uint64_t *)(GUEST_MMIO + 0xffd);
		cpuid(v & 0xf, p, r);
		try_rdmsr(0x10 + (v & 0xff), &v);
		try_wrmsr(MSR_STAR, p);
		if ((count & 31) == 0)
			write_cr8(0);
		count++;
	}
}

struct scribbler {
	struct vcpu *c;
	uint64_t seed;
	bool all_memory;
	uint64_t dirty;		/* parts of the sync area to be taken over */
	volatile bool stop;
	volatile uint64_t writes;
};

/*
 * Registers handed in through the sync area would be SET_SREGS with random
 * values, and some of those end QEMU's machine (see abi_garbage.c).
 */
static bool off_limits(size_t at)
{
	size_t s = offsetof(struct kvm_run, s.regs.sregs);

	/* which parts are taken is case 7's business */
	if (at >= offsetof(struct kvm_run, kvm_dirty_regs) &&
	    at < offsetof(struct kvm_run, kvm_dirty_regs) + 8)
		return true;
	return host_is_tcg() && at >= s && at < s + sizeof(struct kvm_sregs);
}

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	volatile uint8_t *run = (uint8_t *)s->c->run;
	struct kvm_run *r = s->c->run;
	size_t i, at;

	while (!s->stop) {
		uint64_t x = rnd(&s->seed);

		switch (x & 7) {
		case 0:		/* a burst somewhere in kvm_run */
			at = rnd(&s->seed) % 2352;
			for (i = 0; i < 32 && at + i < 4096; i++)
				if (!off_limits(at + i))
					run[at + i] = rnd(&s->seed) >> 24;
			break;
		case 1:		/* what an exit leaves there for its completion */
			at = offsetof(struct kvm_run, io) + (x >> 8) % 64;
			run[at] = x >> 32;
			break;
		case 2:
			*(volatile uint8_t *)&r->io.size = x >> 8;
			*(volatile uint32_t *)&r->io.count = x >> 16;
			*(volatile uint64_t *)&r->io.data_offset = rnd(&s->seed);
			break;
		case 3:
			*(volatile uint32_t *)&r->mmio.len = x >> 8;
			*(volatile uint64_t *)&r->mmio.phys_addr = rnd(&s->seed);
			break;
		case 4:		/* the page of port data */
			at = 4096 + (x >> 8) % 4096;
			run[at] = x >> 32;
			break;
		case 5:		/* what the guest's string instructions move */
			rnd_fill(&s->seed, gpa_hva(s->c->vm, GUEST_DATA + (x >> 8) % 0x4000), 8);
			break;
		case 6:
			if (!s->all_memory)
				break;
			/* tables, descriptors, code, stack: whatever the CPU or we walk */
			at = x >> 60 & 1 ? GUEST_GDT + (x >> 8) % 0x30000 : (x >> 8) % GUEST_DATA;
			if (x >> 61 & 1)
				at = ((uintptr_t)io & -64ul) + (x >> 8) % 1024;
			rnd_fill(&s->seed, gpa_hva(s->c->vm, at), 1 + (x >> 40) % 8);
			break;
		case 7:
			r->request_interrupt_window = x >> 8;
			r->cr8 = x >> 16 & 0x1f;
			r->kvm_valid_regs = x >> 24 & 7;
			r->kvm_dirty_regs = s->dirty & x >> 32;
			if ((x >> 48) % 8 == 0)	/* bits that do not exist */
				r->kvm_dirty_regs = rnd(&s->seed) & ~(7ull & ~s->dirty);
			break;
		}
		s->writes++;
		if ((x >> 56) == 0)
			usleep(1);
	}
	return NULL;
}

static void on_tick(int sig)
{
	(void)sig;
}

static void tick(int us)
{
	struct itimerval t = { { 0, us }, { 0, us } };
	struct sigaction sa = { .sa_handler = on_tick };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

FIXTURE(scribbled) { };
FIXTURE_VARIANT(scribbled) { bool all_memory; };
FIXTURE_SETUP(scribbled) { }
FIXTURE_TEARDOWN(scribbled) { }
FIXTURE_VARIANT_ADD(scribbled, kvm_run) { false };
FIXTURE_VARIANT_ADD(scribbled, kvm_run_and_all_memory) { true };

TEST_F(scribbled, survives)
{
	long end = now_ms() + 1000 * test_seconds(4), part;
	uint64_t runs = 0, writes = 0, loops = 0, errs = 0, seed = 99;
	struct kvm_sregs fresh;
	int n;

	for (n = 0; now_ms() < end; n++) {
		struct vcpu *c = vcpu_create(vm_create(), 0);
		struct vm *vm = c->vm;
		struct scribbler s = {
			.c = c, .seed = rnd(&seed) | 1, .all_memory = variant->all_memory,
		};
		pthread_t th;

		s.dirty = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
		if (host_is_tcg())
			s.dirty &= ~KVM_SYNC_X86_SREGS;	/* see off_limits() */
		/* KVM 6.1 checks the events where they can still change, and warns */
		if (dev_is_kvm())
			s.dirty &= ~KVM_SYNC_X86_EVENTS;
		vcpu_start64(c, io, 0, 0);
		fresh = vcpu_sregs(c);
		ASSERT_EQ(0, pthread_create(&th, NULL, scribble, &s));
		part = now_ms() + (variant->all_memory ? 150 : 1000);
		tick(3000);
		while (now_ms() < part) {
			struct kvm_regs g;
			int r, i;

			c->run->immediate_exit = 0;
			for (i = 0; i < 50; i++) {
				r = vcpu_run(c);
				runs++;
				if (r) {
					errs++;
					ASSERT_TRUE(r == -EINTR || r == -EINVAL || r == -EFAULT ||
						    r == -EAGAIN) TH_LOG("KVM_RUN: %d", r);
					c->run->kvm_valid_regs = c->run->kvm_dirty_regs = 0;
				}
			}
			/* where it got stuck it starts again */
			if (eioctl(c->fd, KVM_GET_REGS, &g) || (runs & 0xff) == 0) {
				vcpu_set_sregs(c, fresh);
				vcpu_start64(c, io, 0, 0);
			}
		}
		tick(0);
		s.stop = true;
		pthread_join(th, NULL);
		writes += s.writes;
		loops += GUEST(vm, count);
		vcpu_destroy(c);
		vm_destroy(vm);
	}
	TH_LOG("%lu runs, %lu refused or interrupted, %lu writes", (unsigned long)runs,
	       (unsigned long)errs, (unsigned long)writes);
	ASSERT_LT(100, runs);
	if (!variant->all_memory)
		EXPECT_LT(0, loops);
}

/*
 * Memory behind the slots comes and goes, too, and the slots themselves: what
 * the guest's I/O reads and writes is there or is not.
 */
static void *shake(void *arg)
{
	struct scribbler *s = arg;
	uint8_t *p = gpa_hva(s->c->vm, GUEST_DATA);

	while (!s->stop) {
		uint64_t x = rnd(&s->seed);
		size_t at = (x >> 8) % 8 * 4096;

		switch (x & 3) {
		case 0:
			mprotect(p + at, 8192, PROT_NONE);
			usleep(x >> 32 & 0xff);
			mprotect(p + at, 8192, PROT_READ | PROT_WRITE);
			break;
		case 1:
			madvise(p + at, 8192, MADV_DONTNEED);
			break;
		case 2:
			vm_slot(s->c->vm, 1, x & BIT(20) ? KVM_MEM_READONLY : 0, GUEST_MMIO,
				4096, p + at);
			usleep(x >> 32 & 0xff);
			vm_slot(s->c->vm, 1, 0, 0, 0, NULL);
			break;
		case 3:
			usleep(x >> 32 & 0x3ff);
			break;
		}
		s->writes++;
	}
	return NULL;
}

TEST(memory_and_slots_shaken)
{
	struct vcpu *c = guest64(io);
	struct scribbler s = { .c = c, .seed = 5 };
	long end = now_ms() + 1000 * test_seconds(3);
	uint64_t runs = 0, faults = 0;
	pthread_t th;
	int r;

	ASSERT_EQ(0, pthread_create(&th, NULL, shake, &s));
	tick(10000);
	while (now_ms() < end) {
		r = vcpu_run(c);
		runs++;
		faults += r == -EFAULT;
		if (r) {
			ASSERT_TRUE(r == -EINTR || r == -EFAULT) TH_LOG("KVM_RUN: %d", r);
		} else {
			ASSERT_TRUE(c->run->exit_reason == KVM_EXIT_IO ||
				    c->run->exit_reason == KVM_EXIT_MMIO ||
				    c->run->exit_reason == KVM_EXIT_SET_TPR ||
				    /* an emulated instruction's memory is gone just then */
				    c->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
				TH_LOG("exit reason %u", c->run->exit_reason);
		}
	}
	tick(0);
	s.stop = true;
	pthread_join(th, NULL);
	TH_LOG("%lu runs, %lu without memory, shaken %lu times, %lu rounds", (unsigned long)runs,
	       (unsigned long)faults, (unsigned long)s.writes, (unsigned long)GUEST(c->vm, count));
	EXPECT_LT(10, GUEST(c->vm, count));
}

TEST_HARNESS_MAIN
