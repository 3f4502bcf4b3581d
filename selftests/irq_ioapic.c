// SPDX-License-Identifier: GPL-2.0
/*
 * The IOAPIC in the kernel, programmed by the guest; its inputs are driven by
 * KVM_IRQ_LINE, where GSI n is pin n unless other routes were set.
 */
#include "irq.h"

#define PINS	24

static volatile uint8_t came[64];
static volatile uint32_t n_came;
static volatile bool no_eoi;		/* the handler leaves it to the test */
static volatile uint32_t hits[4];

static void on_irq(struct guest_regs *r)
{
	came[n_came++ % 64] = r->vector;
	if (!no_eoi)
		apic_eoi();
}

static void start(void)
{
	int i;

	for (i = 0x40; i < 0x70; i++)
		guest_handler[i] = on_irq;
	apic_enable();
	apic_write(APIC_LVT0, LVT_MASKED);	/* nothing from the PIC */
}

/* Since the last time @n came, the last of them by @vec */
static void expect(uint32_t n, uint8_t vec)
{
	irq_window();
	GUEST_ASSERT_EQ(n_came, n);
	if (n)
		GUEST_ASSERT_EQ(came[(n - 1) % 64], vec);
	n_came = 0;
}

FIXTURE(ioapic) { struct vcpu *c; };
FIXTURE_VARIANT(ioapic) { bool x2; };
FIXTURE_VARIANT_ADD(ioapic, xapic) { false };
FIXTURE_VARIANT_ADD(ioapic, x2apic) { true };
FIXTURE_SETUP(ioapic)
{
	self->c = irq_guest(start);
	GUEST(self->c->vm, guest_x2apic) = variant->x2;
}
FIXTURE_TEARDOWN(ioapic) { }

#define IOAPIC_TEST(name, fn)						\
TEST_F(ioapic, name)							\
{									\
	vcpu_start64(self->c, fn, 0, 0);				\
	ASSERT_EQ(G_DONE, irq_serve(self->c));				\
}

static void registers(void)
{
	int i;

	GUEST_ASSERT_EQ(ioapic_read(IOAPIC_ID), 0);
	GUEST_ASSERT_EQ(ioapic_read(IOAPIC_VERSION), (PINS - 1) << 16 | 0x11);
	ioapic_write(IOAPIC_VERSION, 0);
	GUEST_ASSERT_EQ(ioapic_read(IOAPIC_VERSION), (PINS - 1) << 16 | 0x11);
	ioapic_write(IOAPIC_ID, 0xffffffff);
	GUEST_ASSERT_EQ(ioapic_read(IOAPIC_ID), 0x0f000000);
	GUEST_ASSERT_EQ(ioapic_read(IOAPIC_ARB), 0x0f000000);
	mmio_write32(IOAPIC_GPA, 0x12);
	GUEST_ASSERT_EQ(mmio_read32(IOAPIC_GPA) & 0xff, 0x12);
	for (i = 0; i < PINS; i++) {
		GUEST_ASSERT_EQ(ioapic_redir(i), REDIR_MASKED);
		ioapic_write(IOAPIC_REDIR(i), REDIR_MASKED | 0x40 | i);
		ioapic_write(IOAPIC_REDIR(i) + 1, 0x07000000);
	}
	for (i = 0; i < PINS; i++)
		GUEST_ASSERT_EQ(ioapic_redir(i), REDIR_DEST(7) | REDIR_MASKED | 0x40 | i);
	/* delivery status and remote IRR cannot be written */
	ioapic_write(IOAPIC_REDIR(3), REDIR_MASKED | REDIR_LEVEL | REDIR_IRR |
		     REDIR_PENDING | 0x43);
	GUEST_ASSERT_EQ((uint32_t)ioapic_redir(3), REDIR_MASKED | REDIR_LEVEL | 0x43);
}
IOAPIC_TEST(registers, registers)

/* ---- Edge ------------------------------------------------------------------------- */

static void edges(void)
{
	int i;

	start();
	for (i = 0; i < PINS; i++) {
		if (i == 8)
			continue;	/* RTC: irq_line() of it is a story of its own */
		ioapic_set_redir(i, 0x40 + i);
		PULSE(i);
		GUEST_ASSERT_EQ(apic_bit(APIC_IRR, 0x40 + i), 1);
		GUEST_ASSERT_EQ(apic_bit(APIC_TMR, 0x40 + i), 0);
		expect(1, 0x40 + i);
		LINE(i, UP);
		expect(1, 0x40 + i);
		LINE(i, UP);		/* it is up already */
		expect(0, 0);
		LINE(i, DOWN);
		LINE(i, UP);
		expect(1, 0x40 + i);
		LINE(i, DOWN);
		expect(0, 0);
		GUEST_ASSERT_EQ(ioapic_redir(i), 0x40 + i);
	}
}
IOAPIC_TEST(edge_triggered_once_each, edges)

static void masked(void)
{
	start();
	ioapic_set_redir(17, REDIR_MASKED | 0x41);
	PULSE(17);
	expect(0, 0);
	/* an edge that went by a mask is lost */
	ioapic_set_redir(17, 0x41);
	expect(0, 0);
	PULSE(17);
	expect(1, 0x41);
}
IOAPIC_TEST(masked_edge_is_lost, masked)

static void rtc(void)
{
	int i;

	start();
	ioapic_set_redir(8, 0x48);
	for (i = 0; i < 5; i++) {
		PULSE(8);
		expect(1, 0x48);
	}
}
IOAPIC_TEST(rtc_pin, rtc)

/* ---- Level ------------------------------------------------------------------------- */

static void levels(void)
{
	uint64_t e = REDIR_LEVEL | 0x51;
	int i;

	start();
	no_eoi = true;
	ioapic_set_redir(18, e);
	LINE(18, UP);
	GUEST_ASSERT_EQ(ioapic_redir(18), e | REDIR_IRR);
	GUEST_ASSERT_EQ(apic_bit(APIC_TMR, 0x51), 1);
	expect(1, 0x51);
	/* in service: not again, nor by another rise */
	expect(0, 0);
	LINE(18, UP);
	LINE(18, DOWN);
	LINE(18, UP);
	expect(0, 0);
	/* EOI with the line up: again, as often as it takes */
	for (i = 0; i < 5; i++) {
		apic_eoi();
		GUEST_ASSERT_EQ(ioapic_redir(18), e | REDIR_IRR);
		expect(1, 0x51);
	}
	/* line down, EOI: over */
	LINE(18, DOWN);
	GUEST_ASSERT_EQ(ioapic_redir(18), e | REDIR_IRR);
	expect(0, 0);
	apic_eoi();
	GUEST_ASSERT_EQ(ioapic_redir(18), e);
	expect(0, 0);
	/* delivered already, it comes though the line goes */
	PULSE(18);
	expect(1, 0x51);
	apic_eoi();
	expect(0, 0);
}
IOAPIC_TEST(level_redelivered_at_eoi, levels)

static void level_mask(void)
{
	uint64_t e = REDIR_LEVEL | 0x52;

	start();
	no_eoi = true;
	ioapic_set_redir(19, e | REDIR_MASKED);
	LINE(19, UP);
	expect(0, 0);
	/* unmasked with the line up: it comes */
	ioapic_set_redir(19, e);
	expect(1, 0x52);
	/* masked in service: remote IRR stays until EOI, then silence */
	ioapic_write(IOAPIC_REDIR(19), e | REDIR_MASKED);
	GUEST_ASSERT_EQ(ioapic_redir(19), e | REDIR_MASKED | REDIR_IRR);
	apic_eoi();
	GUEST_ASSERT_EQ(ioapic_redir(19), e | REDIR_MASKED);
	expect(0, 0);
	ioapic_write(IOAPIC_REDIR(19), e);
	expect(1, 0x52);
	/* gone while masked: nothing */
	ioapic_write(IOAPIC_REDIR(19), e | REDIR_MASKED);
	LINE(19, DOWN);
	apic_eoi();
	ioapic_write(IOAPIC_REDIR(19), e);
	expect(0, 0);
	/* the old way to EOI an IOAPIC: edge and back clears remote IRR */
	LINE(19, UP);
	expect(1, 0x52);
	LINE(19, DOWN);
	ioapic_write(IOAPIC_REDIR(19), REDIR_MASKED | 0x52);
	GUEST_ASSERT_EQ(ioapic_redir(19), REDIR_MASKED | 0x52);
	ioapic_write(IOAPIC_REDIR(19), e);
	GUEST_ASSERT_EQ(ioapic_redir(19), e);
	apic_eoi();
	expect(0, 0);
}
IOAPIC_TEST(level_and_mask, level_mask)

/* Two devices on one vector, both up: one EOI answers both. */
static void shared(void)
{
	start();
	no_eoi = true;
	ioapic_set_redir(20, REDIR_LEVEL | 0x53);
	ioapic_set_redir(21, REDIR_LEVEL | 0x53);
	LINE(20, UP);
	LINE(21, UP);
	expect(1, 0x53);
	LINE(20, DOWN);
	apic_eoi();
	expect(1, 0x53);		/* 21 is still up */
	LINE(21, DOWN);
	apic_eoi();
	expect(0, 0);
	GUEST_ASSERT_EQ(ioapic_redir(20) & REDIR_IRR, 0);
	GUEST_ASSERT_EQ(ioapic_redir(21) & REDIR_IRR, 0);
}
IOAPIC_TEST(two_pins_one_vector, shared)

/* An EOI of something else is none of this pin's. */
static void other_eoi(void)
{
	start();
	no_eoi = true;
	ioapic_set_redir(20, REDIR_LEVEL | 0x53);
	LINE(20, UP);
	expect(1, 0x53);
	apic_icr(0, ICR_SELF | 0x65);
	expect(1, 0x65);
	apic_eoi();			/* 0x65's */
	GUEST_ASSERT_NE(ioapic_redir(20) & REDIR_IRR, 0);
	expect(0, 0);
	LINE(20, DOWN);
	apic_eoi();
	GUEST_ASSERT_EQ(ioapic_redir(20) & REDIR_IRR, 0);
}
IOAPIC_TEST(eoi_is_by_vector, other_eoi)

/* ---- Destinations ---------------------------------------------------------------------- */

#define N_VCPUS 3

static volatile uint32_t ready, finish;

static void on_hit(struct guest_regs *r)
{
	__atomic_fetch_add(&hits[apic_id() & 3], 1, __ATOMIC_SEQ_CST);
	if (r->vector != NMI)
		apic_eoi();
}

static void join_in(uint64_t id)
{
	guest_handler[0x40] = on_hit;
	guest_handler[0x41] = on_hit;
	guest_handler[NMI] = on_hit;
	start();
	guest_handler[0x40] = on_hit;
	guest_handler[0x41] = on_hit;
	if (!guest_x2apic)
		apic_write(APIC_LDR, 1 << (24 + id));
}

static void bystander(uint64_t id)
{
	join_in(id);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	sti();
	while (!finish)
		cpu_relax();
}

static void hit(int pin, uint32_t a, uint32_t b, uint32_t c)
{
	PULSE(pin);
	irq_window();
	while (hits[0] + hits[1] + hits[2] < a + b + c)
		cpu_relax();
	GUEST_ASSERT_EQ(hits[0], a);
	GUEST_ASSERT_EQ(hits[1], b);
	GUEST_ASSERT_EQ(hits[2], c);
	hits[0] = hits[1] = hits[2] = 0;
}

static void destinations(void)
{
	uint32_t i;

	join_in(0);
	while (ready != N_VCPUS - 1)
		cpu_relax();
	ioapic_set_redir(16, REDIR_DEST(0) | 0x40);
	hit(16, 1, 0, 0);
	ioapic_set_redir(16, REDIR_DEST(1) | 0x40);
	hit(16, 0, 1, 0);
	ioapic_set_redir(16, REDIR_DEST(2) | 0x40);
	hit(16, 0, 0, 1);
	ioapic_set_redir(16, REDIR_DEST(9) | 0x40);
	hit(16, 0, 0, 0);
	ioapic_set_redir(16, REDIR_LOGICAL | REDIR_DEST(1) | 0x40);
	hit(16, 1, 0, 0);
	ioapic_set_redir(16, REDIR_LOGICAL | REDIR_DEST(6) | 0x40);
	hit(16, 0, 1, 1);
	ioapic_set_redir(16, REDIR_LOGICAL | REDIR_DEST(7) | 0x40);
	hit(16, 1, 1, 1);
	ioapic_set_redir(16, REDIR_LOGICAL | REDIR_DEST(8) | 0x40);
	hit(16, 0, 0, 0);
	/* lowest priority: one of the set, whichever */
	ioapic_set_redir(17, REDIR_LOWEST | REDIR_LOGICAL | REDIR_DEST(6) | 0x41);
	for (i = 1; i <= 10; i++) {
		PULSE(17);
		while (hits[1] + hits[2] < i)
			cpu_relax();
		irq_window();
		GUEST_ASSERT_EQ(hits[0], 0);
	}
	GUEST_ASSERT_EQ(hits[1] + hits[2], 10);
	hits[1] = hits[2] = 0;
	/* an NMI, by an edge, whatever the vector */
	ioapic_set_redir(18, REDIR_NMI | REDIR_DEST(1) | 0x77);
	hit(18, 0, 1, 0);
	finish = 1;
}

FIXTURE(smp) { struct vm *vm; };
FIXTURE_VARIANT(smp) { bool x2; };
FIXTURE_VARIANT_ADD(smp, xapic) { false };
FIXTURE_VARIANT_ADD(smp, x2apic) { true };
FIXTURE_SETUP(smp)
{
	self->vm = vm_create_irq();
	GUEST(self->vm, guest_x2apic) = variant->x2;
}
FIXTURE_TEARDOWN(smp) { }

TEST_F(smp, destinations)
{
	struct vcpu_thread t[N_VCPUS];
	struct vcpu *c[N_VCPUS];
	int i;

	for (i = 0; i < N_VCPUS; i++) {
		c[i] = vcpu_create_irq(self->vm, i);
		vcpu_start64(c[i], i ? (void *)bystander : destinations, i, 0);
		if (i)
			vcpu_spawn(&t[i], c[i]);
	}
	ASSERT_EQ(G_DONE, irq_serve(c[0]));
	for (i = 1; i < N_VCPUS; i++)
		ASSERT_JOINED(&t[i], G_DONE);
}

/* A level for another vCPU: its EOI is the one that counts. */
static void level_target(uint64_t id)
{
	join_in(id);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!finish)
		sti_hlt_cli();
}

static void level_master(void)
{
	join_in(0);
	while (!ready)
		cpu_relax();
	ioapic_set_redir(16, REDIR_LEVEL | REDIR_DEST(1) | 0x40);
	LINE(16, UP);
	while (hits[1] < 20)
		cpu_relax();
	LINE(16, DOWN);
	while (ioapic_redir(16) & REDIR_IRR)
		cpu_relax();
	GUEST_ASSERT_EQ(hits[0], 0);
	finish = 1;
	apic_icr(1, 0x41);
}

TEST_F(smp, level_to_another_vcpu)
{
	struct vcpu *c[2] = { vcpu_create_irq(self->vm, 0), vcpu_create_irq(self->vm, 1) };
	struct vcpu_thread t;

	vcpu_start64(c[0], level_master, 0, 0);
	vcpu_start64(c[1], level_target, 1, 0);
	vcpu_spawn(&t, c[1]);
	ASSERT_EQ(G_DONE, irq_serve(c[0]));
	ASSERT_JOINED(&t, G_DONE);
}

/* ---- From outside ------------------------------------------------------------------------- */

/* GET_IRQCHIP shows what the guest wrote; SET_IRQCHIP brings it back. */
static void programmed(void)
{
	start();
	ioapic_set_redir(22, REDIR_LEVEL | REDIR_DEST(0) | 0x5a);
	ioapic_write(IOAPIC_ID, 0x03000000);
	GUEST_SYNC(0);
	ioapic_set_redir(22, REDIR_MASKED);
	GUEST_SYNC(0);
	GUEST_ASSERT_EQ(ioapic_redir(22), REDIR_LEVEL | REDIR_DEST(0) | 0x5a);
	GUEST_ASSERT_EQ(ioapic_read(IOAPIC_ID), 0x03000000);
	PULSE(22);
	expect(1, 0x5a);
	GUEST_ASSERT_EQ(ioapic_redir(22) & REDIR_IRR, 0);
}

TEST_F(ioapic, saved_and_restored)
{
	struct kvm_irqchip k;

	vcpu_start64(self->c, programmed, 0, 0);
	ASSERT_SYNC(self->c, 0);
	k = irqchip_get(self->c->vm, KVM_IRQCHIP_IOAPIC);
	EXPECT_EQ(IOAPIC_GPA, k.chip.ioapic.base_address);
	EXPECT_EQ(3, k.chip.ioapic.id);
	EXPECT_EQ(REDIR_LEVEL | 0x5a, k.chip.ioapic.redirtbl[22].bits);
	EXPECT_EQ(REDIR_MASKED, k.chip.ioapic.redirtbl[23].bits);
	ASSERT_SYNC(self->c, 0);
	xioctl(self->c->vm->fd, KVM_SET_IRQCHIP, &k);
	ASSERT_EQ(G_DONE, irq_serve(self->c));
}

IRQ_HARNESS_MAIN
