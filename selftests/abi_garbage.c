// SPDX-License-Identifier: GPL-2.0
/*
 * Register ioctls fed with garbage, thousands of times, and KVM_RUN after what
 * was accepted.  Nothing may fault in the host, whatever the values: the log
 * must stay clean (selftests/run looks), a refused call changes nothing, and
 * KVM_RUN returns what api.rst knows.  $LUCID_TEST_SECONDS scales it.
 */
#include <signal.h>
#include <sys/time.h>
#include "abi_state.h"

static uint64_t seed = 0x1d872b41;

/* A value of the kind that hurts */
static uint64_t nasty(void)
{
	static const uint64_t v[] = {
		0, 1, -1ull, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x7fffffffffff, 0x800000000000, 0xffff800000000000,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffff81000000,
		0xffff888000000000, 0x1000, 0xfee00000, GUEST_IMAGE, GUEST_MMIO,
	};
	uint64_t r = rnd(&seed);

	switch (r & 3) {
	case 0: return v[(r >> 8) % (sizeof(v) / sizeof(v[0]))];
	case 1: return 1ull << (r >> 8 & 63);
	case 2: return rnd(&seed) & rnd(&seed);
	default: return rnd(&seed);
	}
}

/* Some 64-bit words of @p, from none to all, become something else. */
static void spoil(void *p, size_t size)
{
	uint64_t how = rnd(&seed);
	size_t i;

	if ((how & 15) == 0) {
		rnd_fill(&seed, p, size);
		return;
	}
	for (i = 1 + (how >> 8 & 3); i; i--) {
		uint64_t v = nasty();
		size_t at = rnd(&seed) % size;

		if (how & 16)		/* one bit or byte, else a word */
			((uint8_t *)p)[at] ^= how & 32 ? 1 << (v & 7) : v;
		else if (size >= 8)
			memcpy((uint8_t *)p + at % (size / 8) * 8, &v, 8);
	}
}

/*
 * Two faults of QEMU's CPU end the whole machine, under any hypervisor: it
 * hangs in a #VMEXIT with EFER.LME = 1 and CR0.PG = 0 (Lucid hides LME from
 * it), and it aborts ("invalid tss") on an exception above CPL 0 if TR is not
 * what LTR would have loaded.
 */
static bool kills_the_emulator(const struct kvm_sregs *s)
{
	if (!host_is_tcg())
		return false;
	if (dev_is_kvm() && (s->efer & EFER_LME) && !(s->cr0 & CR0_PG))
		return true;
	return s->ss.dpl & 3;
}

static void on_tick(int sig)
{
	(void)sig;
}

/* Guests that loop must come back: a tick each two milliseconds. */
static void tick(bool on)
{
	struct itimerval t = { { 0, on ? 2000 : 0 }, { 0, on ? 2000 : 0 } };
	struct sigaction sa = { .sa_handler = on_tick };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

static int run_ticked(struct vcpu *c)
{
	int r;

	tick(true);
	r = vcpu_run(c);
	tick(false);
	return r;
}

static bool documented(struct vcpu *c, int r)
{
	switch (r) {
	case -EINTR:
	case -EINVAL:
	case -EFAULT:
	case -EAGAIN:
		return true;
	case -EIO:		/* KVM 6.12: something it had not thought of */
		return dev_is_kvm();
	case 0:
		break;
	default:
		return false;
	}
	switch (c->run->exit_reason) {
	case KVM_EXIT_IO:
	case KVM_EXIT_MMIO:
	case KVM_EXIT_HLT:
	case KVM_EXIT_SHUTDOWN:
	case KVM_EXIT_FAIL_ENTRY:
	case KVM_EXIT_INTERNAL_ERROR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_DEBUG:
	case KVM_EXIT_SYSTEM_EVENT:
		return true;
	}
	return false;
}

/* A guest with something to lose: FPU, MSRs, CPUID, ports, memory */
static volatile uint64_t count;

static void busy(void)
{
	uint32_t r[4];
	uint64_t v;

	for (;;) {
		cpuid(1, 0, r);
		try_rdmsr(MSR_EFER, &v);
		asm volatile("movups (%0), %%xmm0; fld1; fstp %%st(0)"
			     : : "r"(&count) : "memory");
		count++;
		outb(0x80, count);
		*(volatile uint32_t *)GUEST_MMIO = count;
	}
}

enum what { REGS, SREGS, SREGS2, EVENTS, DEBUGREGS, XSAVE, XCRS, FPU, MSRS, MP_STATE, WHATS };

union any {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_sregs2 sregs2;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_fpu fpu;
	struct { struct kvm_msrs h; struct kvm_msr_entry e[4]; } msrs;
	struct kvm_mp_state mp_state;
	uint8_t room[16384];	/* KVM_GET_XSAVE2 of large CPUs */
};

static const struct { const char *name; unsigned long get, set; size_t size; } what[WHATS] = {
#define W(x, type) [x] = { #x, KVM_GET_##x, KVM_SET_##x, sizeof(struct type) }
	W(REGS, kvm_regs), W(SREGS, kvm_sregs), W(SREGS2, kvm_sregs2), W(XSAVE, kvm_xsave),
	W(XCRS, kvm_xcrs), W(FPU, kvm_fpu), W(DEBUGREGS, kvm_debugregs),
	W(MSRS, kvm_msrs), W(MP_STATE, kvm_mp_state),
#undef W
	[EVENTS] = { "EVENTS", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
		     sizeof(struct kvm_vcpu_events) },
};

static void garbage_msrs(union any *u)
{
	static const uint32_t known[] = {
		MSR_TSC, MSR_APIC_BASE, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_DEBUGCTL,
		MSR_PAT, MSR_EFER, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_FS_BASE,
		MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_TSC_AUX, MSR_MTRR_DEF_TYPE, 0x1a0, 0x17a,
		0x179, 0x400, 0x401, 0x402, 0xc0010015, 0xc0010117, 0xc0010114, 0x48, 0x49,
		0x10a, 0xda0, 0x200, 0x201, 0x250, 0xc001001f, 0xc0011029, 0x4b564d00, 0x11,
	};
	int i;

	memset(u, 0, sizeof(u->msrs));
	u->msrs.h.nmsrs = 1 + (rnd(&seed) & 3);
	for (i = 0; i < 4; i++) {
		u->msrs.e[i].index = rnd(&seed) & 7 ?
			known[rnd(&seed) % (sizeof(known) / 4)] : nasty();
		u->msrs.e[i].data = nasty();
		/* the same hang of QEMU's as in kills_the_emulator() */
		if (u->msrs.e[i].index == MSR_EFER && host_is_tcg() && dev_is_kvm())
			u->msrs.e[i].index = MSR_STAR;
	}
}

static struct vcpu *another(struct vcpu *c)
{
	struct vm *vm = c ? c->vm : NULL;

	if (c) {
		vcpu_destroy(c);
		vm_destroy(vm);
	} else {
		keep_a_vm();
	}
	return vcpu_create(vm_create(), 0);
}

static long end_of(int seconds)
{
	return now_ms() + 1000 * test_seconds(seconds);
}

/* One kind of garbage at a time: a refused call changes nothing. */
FIXTURE(one) { };
FIXTURE_VARIANT(one) { enum what what; };
FIXTURE_SETUP(one) { }
FIXTURE_TEARDOWN(one) { }
FIXTURE_VARIANT_ADD(one, regs) { REGS };
FIXTURE_VARIANT_ADD(one, sregs) { SREGS };
FIXTURE_VARIANT_ADD(one, sregs2) { SREGS2 };
FIXTURE_VARIANT_ADD(one, events) { EVENTS };
FIXTURE_VARIANT_ADD(one, debugregs) { DEBUGREGS };
FIXTURE_VARIANT_ADD(one, xsave) { XSAVE };
FIXTURE_VARIANT_ADD(one, xcrs) { XCRS };
FIXTURE_VARIANT_ADD(one, fpu) { FPU };
FIXTURE_VARIANT_ADD(one, msrs) { MSRS };
FIXTURE_VARIANT_ADD(one, mp_state) { MP_STATE };

TEST_F(one, refused_or_taken_and_then_run)
{
	struct vcpu *c = another(NULL);
	enum what w = variant->what;
	struct vcpu_state before, after;
	union any good, u;
	long end = end_of(1);
	int n, refused = 0, ran = 0, r;

	memset(&good, 0, sizeof(good));
	vcpu_start64(c, busy, 0, 0);
	if (w != MSRS)
		xioctl(c->fd, what[w].get, &good);
	for (n = 0; now_ms() < end; n++) {
		/* afresh now and then, so that one wrong thing meets all right ones */
		if (n % 64 == 0)
			c = another(c);
		vcpu_start64(c, busy, 0, 0);
		u = good;
		if (w == MSRS)
			garbage_msrs(&u);
		else
			spoil(&u, what[w].size);
		if ((w == SREGS || w == SREGS2) && kills_the_emulator(&u.sregs))
			continue;
		vcpu_state_get(c, &before);
		r = eioctl(c->fd, what[w].set, &u);
		if (r < 0 && w != MSRS) {
			ASSERT_TRUE(r == -EINVAL || r == -EFAULT) TH_LOG("%d", r);
			vcpu_state_get(c, &after);
			if (vcpu_state_diff(&before, &after) &&
			    !(dev_is_kvm() && (w == SREGS || w == SREGS2)))
				ASSERT_STREQ("", vcpu_state_diff(&before, &after));
			refused++;
			continue;
		}
		vcpu_state_get(c, &before);
		r = run_ticked(c);
		ASSERT_TRUE(documented(c, r)) TH_LOG("KVM_RUN: %d, exit reason %u", r, c->run->exit_reason);
		if (r == -EIO) {	/* that was the end of KVM's VM */
			c = another(c);
			continue;
		}
		vcpu_state_get(c, &after);	/* can be read, whatever it is */
		/*
		 * A failed entry leaves the registers alone. (QEMU's CPU puts
		 * the host's into the VMCB then, and KVM hands them out.)
		 */
		if (!r && c->run->exit_reason == KVM_EXIT_FAIL_ENTRY &&
		    !(dev_is_kvm() && host_is_tcg())) {
			ASSERT_EQ(before.regs.rip, after.regs.rip);
			ASSERT_EQ(before.regs.rsp, after.regs.rsp);
			ASSERT_EQ(before.sregs.cr3, after.sregs.cr3);
			ASSERT_EQ(before.sregs.gdt.base, after.sregs.gdt.base);
		}
		ran++;
	}
	TH_LOG("%s: %d tries, %d refused, %d run", what[w].name, n, refused, ran);
	ASSERT_LT(0, n);
}

/* All kinds, one on top of the other, without a fresh start */
TEST(all_together)
{
	struct vcpu *c = another(NULL);
	struct kvm_translation tr;
	struct vcpu_state s;
	union any u;
	long end = end_of(3);
	int n, r, taken = 0;

	for (n = 0; now_ms() < end; n++) {
		enum what w = rnd(&seed) % WHATS;

		if (n % 200 == 0)
			c = another(c);
		if (n % 20 == 0 && rnd(&seed) & 1)
			vcpu_start(c, rnd(&seed) % GUEST_MODES, GUEST_IMAGE + (rnd(&seed) & 0xffff));
		memset(&u, 0, sizeof(u));
		if (w == MSRS)
			garbage_msrs(&u);
		else {
			xioctl(c->fd, what[w].get, &u);
			spoil(&u, what[w].size);
		}
		if ((w == SREGS || w == SREGS2) && kills_the_emulator(&u.sregs))
			continue;
		r = eioctl(c->fd, what[w].set, &u);
		taken += r >= 0;
		if (n & 1) {
			r = run_ticked(c);
			ASSERT_TRUE(documented(c, r))
				TH_LOG("KVM_RUN: %d, exit reason %u", r, c->run->exit_reason);
			if (r == -EIO) {
				c = another(c);
				continue;
			}
		}
		if (rnd(&seed) % 16 == 0) {
			struct kvm_interrupt irq = { nasty() & 0x1ff };

			eioctl(c->fd, KVM_INTERRUPT, &irq);
			eioctl(c->fd, KVM_NMI, NULL);
			c->run->request_interrupt_window = rnd(&seed);
			c->run->cr8 = nasty();
			memset(&tr, 0, sizeof(tr));
			tr.linear_address = nasty();
			eioctl(c->fd, KVM_TRANSLATE, &tr);
			if (rnd(&seed) & 1)
				c->run->cr8 = c->run->request_interrupt_window = 0;
		}
		vcpu_state_get(c, &s);
	}
	TH_LOG("%d tries, %d taken", n, taken);
}

/* CPUID that no CPU ever had: taken or refused, then run with it */
TEST(cpuid_of_another_planet)
{
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[256]; } *p = malloc(sizeof(*p));
	struct kvm_cpuid2 *good = dev_cpuid();
	long end = end_of(1);
	int n, r;

	keep_a_vm();
	for (n = 0; now_ms() < end; n++) {
		struct vm *vm = vm_create();
		struct vcpu *c = vcpu_create_bare(vm, 0);

		memset(p, 0, sizeof(*p));
		memcpy(p, good, sizeof(*good) + good->nent * sizeof(good->entries[0]));
		if (n & 1) {
			int i, k = 1 + rnd(&seed) % 20;

			for (i = 0; i < k; i++)
				spoil(&p->e[rnd(&seed) % good->nent], sizeof(p->e[0]));
		} else {
			p->h.nent = rnd(&seed) % 257;
			rnd_fill(&seed, p->e, sizeof(p->e));
		}
		r = eioctl(c->fd, KVM_SET_CPUID2, p);
		ASSERT_TRUE(r == 0 || r == -EINVAL) TH_LOG("%d", r);
		/* the guest asks in its loop */
		r = -EINVAL;
		{
			struct kvm_sregs s = vcpu_sregs(c);
			struct kvm_regs g = { .rip = (uintptr_t)busy, .rsp = GUEST_STACKS + 0x8000,
					      .rflags = RFLAGS_1 };

			s.cr3 = ROOT_64_4K;
			s.cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
			s.cr4 = CR4_PAE | CR4_OSFXSR;
			s.efer = EFER_LME | EFER_LMA;
			s.cs.l = 1;
			s.cs.db = 0;
			if (!eioctl(c->fd, KVM_SET_SREGS, &s)) {
				vcpu_set_regs(c, g);
				r = run_ticked(c);
			}
		}
		ASSERT_TRUE(documented(c, r))
			TH_LOG("KVM_RUN: %d, exit reason %u", r, c->run->exit_reason);
		vcpu_destroy(c);
		vm_destroy(vm);
	}
	TH_LOG("%d tries", n);
}

TEST_HARNESS_MAIN
