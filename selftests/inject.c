// SPDX-License-Identifier: GPL-2.0
/*
 * Events arrive once, in order, when the guest can take them, and are not lost
 * when their delivery itself meets a fault.
 */
#include "guest.h"

#define VEC	0x40

static volatile uint64_t hits, last_rip, last_error, state, seen;

static void on_event(struct guest_regs *r)
{
	hits++;
	last_rip = r->rip;
	last_error = r->error;
	seen = state;
}

static int interrupt(struct vcpu *c, uint32_t vec)
{
	return eioctl(c->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ vec });
}

/* ---- KVM_INTERRUPT ------------------------------------------------------ */

static void open_window(void)
{
	guest_handler[VEC] = on_event;
	asm volatile("sti");
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(hits, 1);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(hits, 2);
}

TEST(interrupt_when_open)
{
	struct vcpu *c = guest64(open_window);

	ASSERT_SYNC(c, 1);
	ASSERT_EQ(1, c->run->ready_for_interrupt_injection);
	ASSERT_EQ(0, interrupt(c, VEC));
	ASSERT_SYNC(c, 2);
	ASSERT_EQ(0, interrupt(c, VEC));
	ASSERT_DONE(c);
}

/* Closed: the window opens exactly one instruction after STI. */
static void sti_shadow(void)
{
	guest_handler[VEC] = on_event;
	state = 1;
	GUEST_SYNC(1);
	asm volatile("sti\n movq $2, %0\n movq $3, %0\n movq $4, %0\n cli"
		     : "=m"(state));
	GUEST_ASSERT_EQ(hits, 1);
	GUEST_ASSERT_EQ(seen, 2);
}

TEST(window_after_sti_shadow)
{
	uint64_t at = 0;
	struct vcpu *c;
	int try;

	/* QEMU's VMRUN loses the shadow if a host interrupt comes in it: again then */
	for (try = 0; try < 10 && at != 2; try++) {
		c = guest64(sti_shadow);
		ASSERT_SYNC(c, 1);
		ASSERT_EQ(0, c->run->ready_for_interrupt_injection);
		c->run->request_interrupt_window = 1;
		ASSERT_EXIT(c, KVM_EXIT_IRQ_WINDOW_OPEN);
		at = GUEST(c->vm, state);
	}
	EXPECT_EQ(2, at);
	c->run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(c, VEC));
	ASSERT_DONE(c);
}

/* POPF casts no such shadow. */
static void popf_opens(void)
{
	guest_handler[VEC] = on_event;
	GUEST_SYNC(1);
	asm volatile("push %1\n popf\n movq $2, %0\n cli"
		     : "=m"(state) : "r"(RFLAGS_IF | RFLAGS_1) : "memory");
	GUEST_ASSERT_EQ(hits, 1);
	GUEST_ASSERT_EQ(seen, 0);
}

TEST(window_after_popf)
{
	struct vcpu *c = guest64(popf_opens);

	ASSERT_SYNC(c, 1);
	c->run->request_interrupt_window = 1;
	ASSERT_EXIT(c, KVM_EXIT_IRQ_WINDOW_OPEN);
	c->run->request_interrupt_window = 0;
	EXPECT_EQ(0, GUEST(c->vm, state));
	ASSERT_EQ(0, interrupt(c, VEC));
	ASSERT_DONE(c);
}

/* The shadow can be set from outside, and is over after one instruction. */
static void shadow_code(void)
{
	asm volatile(".globl shadow_start\nshadow_start:\n"
		     "movq $2, %0\n movq $3, %0\n movq $4, %0" : "=m"(state));
	GUEST_ASSERT_EQ(hits, 1);
	GUEST_ASSERT_EQ(seen, 2);
}
extern const char shadow_start[];

TEST(shadow_by_vcpu_events)
{
	struct vcpu *c = guest64(shadow_code);
	struct kvm_vcpu_events e = vcpu_events(c);
	struct kvm_regs r = vcpu_regs(c);

	GUEST(c->vm, guest_handler)[VEC] = on_event;
	r.rip = (uintptr_t)shadow_start;
	r.rsp -= 64;
	r.rflags |= RFLAGS_IF;
	vcpu_set_regs(c, r);
	e.flags |= KVM_VCPUEVENT_VALID_SHADOW;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	vcpu_set_events(c, e);
	EXPECT_NE(0, vcpu_events(c).interrupt.shadow);
	c->run->request_interrupt_window = 1;
	ASSERT_EXIT(c, KVM_EXIT_IRQ_WINDOW_OPEN);
	if (host_is_tcg() && GUEST(c->vm, state) == 0)
		SKIP(return, EMULATOR "VMRUN does not take the interrupt shadow");
	EXPECT_EQ(2, GUEST(c->vm, state));
	EXPECT_EQ(0, vcpu_events(c).interrupt.shadow);
}

static void wait_for_irq(void)
{
	guest_handler[VEC] = on_event;
	asm volatile("sti; hlt");
	GUEST_ASSERT_EQ(hits, 1);
}

TEST(interrupt_ends_hlt)
{
	struct vcpu *c = guest64(wait_for_irq);

	ASSERT_EXIT(c, KVM_EXIT_HLT);
	EXPECT_EQ(1, c->run->if_flag);
	ASSERT_EQ(1, c->run->ready_for_interrupt_injection);
	ASSERT_EQ(0, interrupt(c, VEC));
	ASSERT_DONE(c);
}

/* ---- NMI ---------------------------------------------------------------- */

static void on_nmi(struct guest_regs *r)
{
	uint64_t depth = ++state;

	hits++;
	GUEST_ASSERT_EQ(depth, 1);	/* never inside another */
	if (hits == 1)
		GUEST_SYNC(100);
	state--;
}

static void take_nmis(void)
{
	guest_handler[NMI] = on_nmi;
	GUEST_SYNC(1);
	GUEST_SYNC(2);
}

TEST(nmi_blocked_until_iret)
{
	struct vcpu *c = guest64(take_nmis);

	ASSERT_SYNC(c, 1);
	EXPECT_EQ(0, vcpu_events(c).nmi.masked);
	ASSERT_EQ(0, eioctl(c->fd, KVM_NMI, NULL));
	ASSERT_SYNC(c, 100);
	EXPECT_EQ(1, vcpu_events(c).nmi.masked);
	/* two more while it is blocked: one is remembered, the other merges */
	ASSERT_EQ(0, eioctl(c->fd, KVM_NMI, NULL));
	ASSERT_EQ(0, eioctl(c->fd, KVM_NMI, NULL));
	ASSERT_SYNC(c, 2);
	EXPECT_EQ(2, GUEST(c->vm, hits));
	EXPECT_EQ(0, vcpu_events(c).nmi.masked);
	EXPECT_EQ(0, vcpu_events(c).nmi.pending);
	ASSERT_DONE(c);
	EXPECT_EQ(2, GUEST(c->vm, hits));
}

/* ---- SET_VCPU_EVENTS ---------------------------------------------------- */

static void idle(void)
{
	GUEST_SYNC(1);
	GUEST_SYNC(2);
}

FIXTURE(events) { };
FIXTURE_VARIANT(events) { int vec; uint32_t error; };
FIXTURE_SETUP(events) { }
FIXTURE_TEARDOWN(events) { }
FIXTURE_VARIANT_ADD(events, gp) { GP, 0x18 };
FIXTURE_VARIANT_ADD(events, ss) { SS, 0x10 };
FIXTURE_VARIANT_ADD(events, ud) { UD, 0 };
FIXTURE_VARIANT_ADD(events, de) { DE, 0 };
FIXTURE_VARIANT_ADD(events, pf) { PF, 2 };

TEST_F(events, exception)
{
	struct vcpu *c = guest64(idle);
	struct kvm_vcpu_events e;
	uint64_t rip;

	ASSERT_SYNC(c, 1);
	GUEST(c->vm, guest_handler)[variant->vec] = on_event;
	/* complete the OUT first: the event must not replace it */
	c->run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, vcpu_run(c));
	c->run->immediate_exit = 0;
	rip = vcpu_regs(c).rip;
	e = vcpu_events(c);
	e.exception.injected = 1;
	e.exception.nr = variant->vec;
	e.exception.has_error_code = variant->vec >= 10;
	e.exception.error_code = variant->error;
	vcpu_set_events(c, e);
	EXPECT_EQ(1, vcpu_events(c).exception.injected);
	ASSERT_SYNC(c, 2);
	EXPECT_EQ(1, GUEST(c->vm, hits));
	EXPECT_EQ(rip, GUEST(c->vm, last_rip));
	EXPECT_EQ(variant->error, GUEST(c->vm, last_error));
	EXPECT_EQ(0, vcpu_events(c).exception.injected);
	ASSERT_DONE(c);
}

TEST(interrupt_by_events)
{
	struct vcpu *c = guest64(open_window);
	struct kvm_vcpu_events e;
	int i;

	for (i = 1; i <= 2; i++) {
		ASSERT_SYNC(c, i);
		e = vcpu_events(c);
		e.interrupt.injected = 1;
		e.interrupt.nr = VEC;
		vcpu_set_events(c, e);
	}
	ASSERT_DONE(c);
}

/* The oldest way: the bitmap in struct kvm_sregs */
TEST(interrupt_by_sregs)
{
	struct vcpu *c = guest64(open_window);
	struct kvm_sregs s;
	int i;

	for (i = 1; i <= 2; i++) {
		ASSERT_SYNC(c, i);
		s = vcpu_sregs(c);
		s.interrupt_bitmap[VEC / 64] |= 1ul << VEC % 64;
		vcpu_set_sregs(c, s);
		s = vcpu_sregs(c);
		EXPECT_EQ(1ul << VEC % 64, s.interrupt_bitmap[VEC / 64]);
	}
	ASSERT_DONE(c);
}

/* ---- Faults of the host while an event is being delivered ---------------- */

/* Vector VEC on a stack of its own (IST1), so that its page can be missing. */
static void use_ist(int vec)
{
	*(volatile uint8_t *)(uintptr_t)(GUEST_IDT64 + vec * 16 + 4) = 1;
}

static void soft(void)
{
	int i;

	guest_handler[0x81] = on_event;
	use_ist(0x81);
	for (i = 1; i <= 4; i++) {
		GUEST_SYNC(i);
		asm volatile("int $0x81\n.globl after_int\nafter_int:");
		GUEST_ASSERT_EQ(hits, i);
		GUEST_ASSERT_EQ(last_rip, ({ uint64_t __r;
			asm("lea after_int(%%rip), %0" : "=r"(__r)); __r; }));
	}
}

static void ext(void)
{
	int i;

	guest_handler[VEC] = on_event;
	use_ist(VEC);
	asm volatile("sti");
	for (i = 1; i <= 4; i++) {
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(hits, i);
	}
}

static void fault(void)
{
	int i;

	guest_handler[BP] = on_event;
	use_ist(UD);
	use_ist(GP);
	use_ist(BP);
	for (i = 1; i <= 4; i++) {
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(TRY("ud2", , "a"(0)), UD);
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(TRY("mov %%eax, %%ds", , "a"(0x7ffc)), GP);
		GUEST_ASSERT_EQ(guest_error, 0x7ffc);
		GUEST_SYNC(i);
		asm volatile("int3");
		GUEST_ASSERT_EQ(hits, i);
	}
}

static void nmis(void)
{
	int i;

	guest_handler[NMI] = on_event;
	use_ist(NMI);
	for (i = 1; i <= 4; i++) {
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(hits, i);
	}
}

static const uint64_t delivery_pages[] = {
	GUEST_IDT64, GUEST_TSS64, GUEST_STACKS + 0x10000 - 0xc000 - 8, GUEST_GDT,
};

#define FAULTING(name, fn, syncs, prepare)				\
TEST(name)								\
{									\
	struct vcpu *c = guest64(fn);					\
	int i, k, p;							\
									\
	for (i = 1; i <= 4; i++) {					\
		for (k = 0; k < syncs; k++) {				\
			ASSERT_SYNC(c, i);				\
			prepare;					\
			/* round 4: all of them at once */		\
			for (p = 0; p < 4; p++)				\
				if (p == i - 1 || i == 4)		\
					zap(c->vm, delivery_pages[p]);	\
		}							\
	}								\
	ASSERT_DONE(c);							\
}

FAULTING(soft_interrupt_meets_host_fault, soft, 1, (void)0)
FAULTING(interrupt_meets_host_fault, ext, 1, ASSERT_EQ(0, interrupt(c, VEC)))
FAULTING(exception_meets_host_fault, fault, 3, (void)0)
FAULTING(nmi_meets_host_fault, nmis, 1, ASSERT_EQ(0, eioctl(c->fd, KVM_NMI, NULL)))

/* ---- Faults of the guest while an event is being delivered --------------- */

static void on_df(struct guest_regs *r)
{
	GUEST_SYNC(r->error);
	GUEST_DONE();
}

/* An exception on a stack that is not mapped: #PF inside, then double fault. */
static void bad_stack(uint64_t with_ist)
{
	guest_handler[DF] = on_df;
	if (with_ist)
		use_ist(DF);
	asm volatile("mov %0, %%rsp; ud2" : : "r"(0x7f0000000000));
}

TEST(fault_in_delivery_is_double_fault)
{
	struct vcpu *c = guest64(bad_stack);

	vcpu_start64(c, bad_stack, 1, 0);
	ASSERT_SYNC(c, 0);
	ASSERT_DONE(c);
}

TEST(fault_in_double_fault_is_shutdown)
{
	struct vcpu *c = guest64(bad_stack);

	ASSERT_EXIT(c, KVM_EXIT_SHUTDOWN);
}

/* ---- INT n in the other modes -------------------------------------------- */

asm(".text\n.code16\n"
    "int16: movw $(1f - int16 + 0x8000), (0x40 * 4)\n movw $0, (0x40 * 4 + 2)\n"
    "xor %bx, %bx\n int $0x40\n add $2, %bx\n mov %bx, %ax\n out %ax, $0x12\n"
    "1: mov $0x700, %bx\n iret\n"
    "int16_end:\n"
    ".code32\n"
    "int32: movl $1f, guest32_resume\n int $0x40\n"
    "1: mov %edi, %eax\n out %eax, $0x12\n int32_end: .code64\n");
extern const char int16[], int16_end[], int32[], int32_end[];

TEST(int_n_real_mode)
{
	struct vcpu *c = guest_asm(REAL16, int16, int16_end);

	ASSERT_DONE(c);
	ASSERT_EQ(0x702, c->event.a);
}

TEST(int_n_protected_mode)
{
	struct vcpu *c = guest_asm(PAGED32_4K, int32, int32_end);

	ASSERT_DONE(c);
	ASSERT_EQ(0x40, c->event.a);
}

/* KVM_INTERRUPT in real mode goes by the IVT. */
asm(".text\n.code16\n"
    "ext16: movw $(1f - ext16 + 0x8000), (0x40 * 4)\n movw $0, (0x40 * 4 + 2)\n"
    "xor %bx, %bx\n sti\n mov $1, %al\n out %al, $0x11\n add $2, %bx\n"
    "mov %bx, %ax\n out %ax, $0x12\n"
    "1: mov $0x700, %bx\n iret\n"
    "ext16_end: .code64\n");
extern const char ext16[], ext16_end[];

TEST(interrupt_real_mode)
{
	struct vcpu *c = guest_asm(REAL16, ext16, ext16_end);

	ASSERT_SYNC(c, 1);
	ASSERT_EQ(0, interrupt(c, VEC));
	ASSERT_DONE(c);
	ASSERT_EQ(0x702, c->event.a);
}

TEST_HARNESS_MAIN
