/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the tests of bad input: all that can be read of a vCPU, to compare
 * before and after ("a refused call changes nothing"), and random numbers.
 */
#ifndef SELFTESTS_ABI_STATE_H
#define SELFTESTS_ABI_STATE_H

#include <time.h>
#include "guest.h"

/* How long a test that has no end of its own runs, in seconds */
static inline int test_seconds(int usual)
{
	const char *s = getenv("LUCID_TEST_SECONDS");

	return s && atoi(s) > 0 ? atoi(s) : usual;
}

static inline long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The number after @key in a file of /proc or /sys, -1 if it is not there */
static inline long proc_value(const char *file, const char *key)
{
	FILE *f = fopen(file, "r");
	char line[256];
	long v = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			v = atol(line + strlen(key));
	if (f)
		fclose(f);
	return v;
}

/* Free pages that wait on the CPUs' own lists: MemFree does not count them. */
static inline long free_on_cpus(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	long pages = 0, n;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	if (f)
		fclose(f);
	return pages * 4;
}

/*
 * Kilobytes that the kernel holds for itself: slab, per-CPU memory, and pages
 * that nothing in /proc/meminfo accounts for (get_free_pages, vmalloc).
 */
static inline long kernel_memory(void)
{
	static const char *const others[] = {
		"MemFree:", "Buffers:", "Cached:", "AnonPages:", "PageTables:",
		"KernelStack:", "SReclaimable:",
	};
	long v = proc_value("/proc/meminfo", "MemTotal:") - free_on_cpus();
	int i;

	for (i = 0; i < 7; i++)
		v -= proc_value("/proc/meminfo", others[i]);
	return v;
}

/* xorshift64*: good enough, and the same numbers on each run of the same seed */
static inline uint64_t rnd(uint64_t *seed)
{
	uint64_t x = *seed;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*seed = x;
	return x * 0x2545f4914f6cdd1dull;
}

static inline void rnd_fill(uint64_t *seed, void *p, size_t n)
{
	uint8_t *b = p;

	for (; n; n--)
		*b++ = rnd(seed) >> 33;
}

/*
 * KVM patches the scheduler's code when its first VM comes and its last one
 * goes, and QEMU now and then executes the breakpoint that is there meanwhile
 * when it is already gone ("Oops: int3").  Tests that make many VMs keep one.
 */
static inline void keep_a_vm(void)
{
	if (dev_is_kvm() && host_is_tcg())
		xioctl(dev_fd(), KVM_CREATE_VM, 0);
}

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	uint64_t msr[8];
};

static inline void vcpu_state_get(struct vcpu *c, struct vcpu_state *s)
{
	static const uint32_t msr[8] = {
		MSR_EFER, MSR_STAR, MSR_LSTAR, MSR_SFMASK, MSR_PAT,
		MSR_KERNEL_GS_BASE, MSR_SYSENTER_EIP, MSR_APIC_BASE,
	};
	int i;

	memset(s, 0, sizeof(*s));
	xioctl(c->fd, KVM_GET_REGS, &s->regs);
	xioctl(c->fd, KVM_GET_SREGS, &s->sregs);
	xioctl(c->fd, KVM_GET_FPU, &s->fpu);
	xioctl(c->fd, KVM_GET_XSAVE, &s->xsave);
	/* XSTATE_BV may change by itself: what is in its initial state or not */
	memset(&s->xsave.region[512 / 4], 0, 8);
	xioctl(c->fd, KVM_GET_XCRS, &s->xcrs);
	xioctl(c->fd, KVM_GET_DEBUGREGS, &s->debugregs);
	xioctl(c->fd, KVM_GET_VCPU_EVENTS, &s->events);
	xioctl(c->fd, KVM_GET_MP_STATE, &s->mp_state);
	for (i = 0; i < 8; i++)
		vcpu_get_msr(c, msr[i], &s->msr[i]);
}

/* The name of the first part that differs, or NULL */
static inline const char *vcpu_state_diff(const struct vcpu_state *a,
					  const struct vcpu_state *b)
{
#define PART(x) if (memcmp(&a->x, &b->x, sizeof(a->x))) return #x
	PART(regs);
	PART(sregs);
	PART(fpu);
	PART(xsave);
	PART(xcrs);
	PART(debugregs);
	PART(events);
	PART(mp_state);
	PART(msr);
#undef PART
	return NULL;
}

#endif
