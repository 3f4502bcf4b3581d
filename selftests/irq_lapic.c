// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC in the kernel, as the guest sees it: registers in their page
 * and as x2APIC MSRs, priorities, IPIs of every kind, and what is refused.
 * Tests of the fixture `apic' run in both modes.
 */
#include "irq.h"

/* Vectors in the order in which they came */
static volatile uint8_t came[64];
static volatile uint32_t n_came;
static volatile uint32_t hits[4];	/* by vCPU */
static volatile uint64_t seen;

static void on_irq(struct guest_regs *r)
{
	uint32_t n = __atomic_fetch_add(&n_came, 1, __ATOMIC_SEQ_CST);

	came[n % 64] = r->vector;
	apic_eoi();
}

static void handle(guest_handler_t fn, const uint8_t *vecs, int n)
{
	while (n--)
		guest_handler[vecs[n]] = fn;
}
#define HANDLE(fn, ...) \
	handle(fn, (const uint8_t []){ __VA_ARGS__ }, sizeof((uint8_t []){ __VA_ARGS__ }))

static void self_ipi(uint8_t vec)
{
	apic_icr(0, ICR_SELF | vec);
}

FIXTURE(apic) { struct vm *vm; struct vcpu *c; };
FIXTURE_VARIANT(apic) { bool x2; };
FIXTURE_VARIANT_ADD(apic, xapic) { false };
FIXTURE_VARIANT_ADD(apic, x2apic) { true };

FIXTURE_SETUP(apic)
{
	self->vm = vm_create_irq();
	self->c = vcpu_create_irq(self->vm, 0);
	GUEST(self->vm, guest_x2apic) = variant->x2;
}
FIXTURE_TEARDOWN(apic) { }

#define ONE_VCPU(name, fn)						\
TEST_F(apic, name)							\
{									\
	vcpu_start64(self->c, fn, 0, 0);				\
	ASSERT_DONE(self->c);						\
}

/* ---- Registers ------------------------------------------------------------- */

static void after_reset(void)
{
	uint32_t v, lvts, i;

	if (guest_x2apic)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	GUEST_ASSERT_EQ(apic_id(), 0);
	v = apic_read(APIC_VERSION);
	lvts = (v >> 16 & 0xff) + 1;
	GUEST_ASSERT_EQ(v & 0xf0, 0x10);	/* not an 82489DX */
	GUEST_ASSERT_LE(4, lvts);
	GUEST_ASSERT_LE(lvts, 7);
	GUEST_ASSERT_EQ(apic_read(APIC_TPR), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_PPR), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_SPIV), 0xff);
	for (i = 0; i < 8; i++) {
		GUEST_ASSERT_EQ(apic_read(APIC_ISR + i * 16), 0);
		GUEST_ASSERT_EQ(apic_read(APIC_TMR + i * 16), 0);
		GUEST_ASSERT_EQ(apic_read(APIC_IRR + i * 16), 0);
	}
	GUEST_ASSERT_EQ(apic_read(APIC_ESR), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_LVTT), LVT_MASKED);
	GUEST_ASSERT_EQ(apic_read(APIC_LVT_THERM), LVT_MASKED);
	GUEST_ASSERT_EQ(apic_read(APIC_LVTPC), LVT_MASKED);
	/* KVM's quirk, which its clients rely on: the BSP's LINT0 takes the PIC */
	GUEST_ASSERT_EQ(apic_read(APIC_LVT0), LVT_EXTINT);
	GUEST_ASSERT_EQ(apic_read(APIC_LVT1), LVT_MASKED);
	GUEST_ASSERT_EQ(apic_read(APIC_LVTERR), LVT_MASKED);
	GUEST_ASSERT_EQ(apic_read(APIC_TMICT), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_TMCCT), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_TDCR), 0);
	if (guest_x2apic) {
		GUEST_ASSERT_EQ(rdmsr(X2APIC_MSR(APIC_ICR)), 0);
		GUEST_ASSERT_EQ(apic_read(APIC_LDR), 1);	/* from the id */
	} else {
		GUEST_ASSERT_EQ(apic_read(APIC_ICR), 0);
		GUEST_ASSERT_EQ(apic_read(APIC_ICR2), 0);
		GUEST_ASSERT_EQ(apic_read(APIC_LDR), 0);
		GUEST_ASSERT_EQ(apic_read(APIC_DFR), 0xffffffff);
	}
}
ONE_VCPU(registers_after_reset, after_reset)

/* Reserved bits of LVT entries read as zero; the others hold what is written. */
static void lvt_bits(void)
{
	static const struct { uint32_t reg, sticks; } lvt[] = {
		{ APIC_LVTT, 0x100ff | LVT_PERIODIC }, { APIC_LVT_THERM, 0x104ff },
		{ APIC_LVTPC, 0x104ff }, { APIC_LVT0, 0x127ff & ~0x300 },
		{ APIC_LVT1, 0x127ff & ~0x300 }, { APIC_LVTERR, 0x100ff },
	};
	uint32_t i;

	apic_enable();
	for (i = 0; i < ARRAY_SIZE(lvt); i++) {
		apic_write(lvt[i].reg, lvt[i].sticks);
		GUEST_ASSERT_EQ(apic_read(lvt[i].reg), lvt[i].sticks);
		apic_write(lvt[i].reg, LVT_MASKED);
		GUEST_ASSERT_EQ(apic_read(lvt[i].reg), LVT_MASKED);
		if (guest_x2apic)
			continue;	/* #GP there on a CPU; KVM drops the bits */
		apic_write(lvt[i].reg, 0xfff80000 | LVT_MASKED | 0x77);
		GUEST_ASSERT_EQ(apic_read(lvt[i].reg), LVT_MASKED | 0x77);
	}
}
ONE_VCPU(lvt_entries_hold_their_bits, lvt_bits)

/* Disabled by software: the LVT is masked, and stays so when enabled again. */
static void sw_disable(void)
{
	static const uint32_t lvt[] = {
		APIC_LVTT, APIC_LVT_THERM, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR,
	};
	uint32_t i;

	HANDLE(on_irq, 0x50, 0x51);
	apic_enable();
	for (i = 0; i < ARRAY_SIZE(lvt); i++)
		apic_write(lvt[i], 0x60);
	apic_write(APIC_SPIV, 0xff);
	for (i = 0; i < ARRAY_SIZE(lvt); i++) {
		GUEST_ASSERT_EQ(apic_read(lvt[i]), LVT_MASKED | 0x60);
		apic_write(lvt[i], 0x61);
		GUEST_ASSERT_EQ(apic_read(lvt[i]), LVT_MASKED | 0x61);
	}
	/* and no fixed interrupt is accepted */
	self_ipi(0x50);
	GUEST_ASSERT_EQ(apic_bit(APIC_IRR, 0x50), 0);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 0);
	apic_write(APIC_SPIV, SPIV_ENABLE | 0xff);
	for (i = 0; i < ARRAY_SIZE(lvt); i++)
		GUEST_ASSERT_EQ(apic_read(lvt[i]), LVT_MASKED | 0x61);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 0);
	self_ipi(0x51);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 1);
	GUEST_ASSERT_EQ(came[0], 0x51);
}
ONE_VCPU(software_disable_masks, sw_disable)

/* An APIC disabled in IA32_APIC_BASE has no registers: its page reads as ones. */
static void hw_disable(void)
{
	uint32_t r[4];

	apic_enable();
	GUEST_ASSERT_EQ(apic_read(APIC_SPIV), 0x1ff);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(APIC_BASE_ENABLE | APIC_BASE_X2));
	cpuid(1, 0, r);
	GUEST_ASSERT_EQ(r[3] & BIT(9), 0);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_SPIV), 0xffffffff);
	mmio_write32(APIC_GPA + APIC_TPR, 0x20);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE);
	cpuid(1, 0, r);
	GUEST_ASSERT_NE(r[3] & BIT(9), 0);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_TPR), 0);
}
ONE_VCPU(disabled_in_apic_base, hw_disable)

/* SDM vol. 3A, x2APIC State Transitions: what a guest may not write */
static void transitions(void)
{
	uint64_t x = APIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE;

	GUEST_ASSERT_EQ(rdmsr(MSR_APIC_BASE), x);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x | 1), GP);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x | BIT(9)), GP);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x | BIT(62)), GP);
	/* EXTD without EN does not exist */
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, (x | APIC_BASE_X2) & ~APIC_BASE_ENABLE), GP);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x | APIC_BASE_X2), NONE);
	/* out of x2APIC only through disabled */
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x), GP);
	GUEST_ASSERT_EQ(rdmsr(MSR_APIC_BASE), x | APIC_BASE_X2);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x & ~APIC_BASE_ENABLE), NONE);
	/* and into it only from xAPIC */
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x | APIC_BASE_X2), GP);
	GUEST_ASSERT_EQ(rdmsr(MSR_APIC_BASE), x & ~APIC_BASE_ENABLE);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_APIC_BASE, x), NONE);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_SPIV), 0xff);
}

TEST(illegal_mode_transitions_fault)
{
	struct vcpu *c = irq_guest(transitions);

	ASSERT_DONE(c);
	EXPECT_EQ(vcpu_sregs(c).apic_base, c->run->apic_base);
}

/* In xAPIC mode the MSRs do not exist; in x2APIC mode only some do. */
static void illegal_msrs(void)
{
	static const uint16_t no_read[] = {
		0x800, 0x801, 0x804, 0x805, 0x806, 0x807, 0x809, 0x80b, 0x80c, 0x80e,
		0x829, 0x82e, 0x831, 0x83a, 0x83d, 0x83f, 0x840, 0x8ff,
	};
	static const uint16_t no_write[] = {
		0x800, 0x802, 0x803, 0x809, 0x80a, 0x80c, 0x80d, 0x80e, 0x810, 0x817,
		0x818, 0x81f, 0x820, 0x827, 0x831, 0x839, 0x83a, 0x840, 0x8ff,
	};
	uint64_t v;
	uint32_t i;

	for (i = 0x800; i < 0x840; i++)
		GUEST_ASSERT_EQ(try_rdmsr(i, &v), GP);
	GUEST_ASSERT_EQ(try_wrmsr(0x808, 0), GP);
	guest_x2apic = true;
	apic_enable();
	for (i = 0; i < ARRAY_SIZE(no_read); i++)
		if (try_rdmsr(no_read[i], &v) != GP)
			GUEST_ASSERT_EQ(no_read[i], 0);
	for (i = 0; i < ARRAY_SIZE(no_write); i++)
		if (try_wrmsr(no_write[i], 0) != GP)
			GUEST_ASSERT_EQ(no_write[i], 0);
	/* EOI and ESR take zero alone; the upper half is reserved but in ICR */
	GUEST_ASSERT_EQ(try_wrmsr(0x828, 1), GP);
	GUEST_ASSERT_EQ(try_wrmsr(0x808, 1ul << 32), GP);
	GUEST_ASSERT_EQ(try_wrmsr(0x80f, 1ul << 40 | 0x1ff), GP);
	GUEST_ASSERT_EQ(try_wrmsr(0x83f, 0x100), GP);	/* SELF IPI: a vector */
	GUEST_ASSERT_EQ(try_wrmsr(0x830, BIT(20)), GP);	/* ICR's reserved bits */
	GUEST_ASSERT_EQ(try_wrmsr(0x830, BIT(31)), GP);
	GUEST_ASSERT_EQ(try_wrmsr(0x808, 0x50), NONE);
	GUEST_ASSERT_EQ(try_rdmsr(0x808, &v), NONE);
	GUEST_ASSERT_EQ(v, 0x50);
}

TEST(illegal_x2apic_msrs_fault)
{
	struct vcpu *c = irq_guest(illegal_msrs);

	ASSERT_DONE(c);
}

/* The page is not there for a vCPU in x2APIC mode. */
static void page_in_x2(void)
{
	guest_x2apic = true;
	apic_enable();
	apic_write(APIC_TPR, 0x30);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_TPR), 0xffffffff);
	mmio_write32(APIC_GPA + APIC_TPR, 0x50);
	GUEST_ASSERT_EQ(apic_read(APIC_TPR), 0x30);
}

TEST(page_is_dead_in_x2apic_mode)
{
	struct vcpu *c = irq_guest(page_in_x2);

	ASSERT_DONE(c);
}

/* A read across a register's 16 bytes: what is not of it is 0, never what the host had there. */
static void straddle(void)
{
	uint32_t at, i;
	uint64_t v;

	apic_enable();
	for (i = 0; i < 200; i++) {
		cpu_relax();
		for (at = 0x29; at <= 0x2f; at++) {	/* from the middle of the ID's */
			v = *(volatile uint64_t *)(APIC_GPA + at);
			GUEST_ASSERT_EQ(v, 0);
		}
	}
}

TEST(reads_across_registers_show_nothing_of_the_host)
{
	struct vcpu *c;

	if (dev_is_kvm())
		SKIP(return, "KVM answers such a read with what it likes");
	c = irq_guest(straddle);
	ASSERT_DONE(c);
}

/* xAPIC: the id can be changed, LDR and DFR hold their upper bits. */
static void xapic_only(void)
{
	apic_enable();
	mmio_write32(APIC_GPA + APIC_LDR, 0x5affffff);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_LDR), 0x5a000000);
	mmio_write32(APIC_GPA + APIC_DFR, 0);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_DFR), 0x0fffffff);
	mmio_write32(APIC_GPA + APIC_ICR2, 0x12345678);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_ICR2), 0x12000000);
	/* read-only ones */
	mmio_write32(APIC_GPA + APIC_VERSION, 0);
	GUEST_ASSERT_NE(mmio_read32(APIC_GPA + APIC_VERSION), 0);
	mmio_write32(APIC_GPA + APIC_PPR, 0x70);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_PPR), 0);
	mmio_write32(APIC_GPA + APIC_IRR + 0x20, 0x10000);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_IRR + 0x20), 0);
	mmio_write32(APIC_GPA + APIC_ISR + 0x20, 0x10000);
	GUEST_ASSERT_EQ(mmio_read32(APIC_GPA + APIC_ISR + 0x20), 0);
}

TEST(xapic_registers)
{
	struct vcpu *c = irq_guest(xapic_only);

	ASSERT_DONE(c);
}

/* ---- Self-IPI, priorities, EOI ------------------------------------------------ */

static void on_self(struct guest_regs *r)
{
	GUEST_ASSERT_EQ(apic_bit(APIC_ISR, r->vector), 1);
	GUEST_ASSERT_EQ(apic_bit(APIC_IRR, r->vector), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_PPR), r->vector & 0xf0);
	n_came++;
	apic_eoi();
	GUEST_ASSERT_EQ(apic_bit(APIC_ISR, r->vector), 0);
	GUEST_ASSERT_EQ(apic_read(APIC_PPR), 0);
}

static void self_ipis(void)
{
	uint32_t vec, n = 0;

	apic_enable();
	for (vec = 0x20; vec < 0xff; vec += 13) {
		guest_handler[vec] = on_self;
		self_ipi(vec);
		GUEST_ASSERT_EQ(apic_bit(APIC_IRR, vec), 1);
		GUEST_ASSERT_EQ(apic_bit(APIC_TMR, vec), 0);
		GUEST_ASSERT_EQ(n_came, n);
		self_ipi(vec);		/* merges with the first */
		irq_window();
		GUEST_ASSERT_EQ(n_came, ++n);
		GUEST_ASSERT_EQ(apic_bit(APIC_IRR, vec), 0);
		/* by its own id, and open already */
		sti();
		apic_icr(apic_id(), vec);
		GUEST_ASSERT_EQ(n_came, ++n);
		if (guest_x2apic) {
			wrmsr(X2APIC_MSR(APIC_SELF_IPI), vec);
			GUEST_ASSERT_EQ(n_came, ++n);
		}
		cli();
	}
	/* ICR can be read back, delivery status is idle */
	self_ipi(0x20);
	GUEST_ASSERT_EQ(apic_read(APIC_ICR), ICR_SELF | 0x20);
}
ONE_VCPU(self_ipi, self_ipis)

/* All pending at once: they come from the highest to the lowest. */
static void priority(void)
{
	static const uint8_t vecs[] = { 0x41, 0xe3, 0x42, 0x9f, 0x20, 0x90 };
	static const uint8_t order[] = { 0xe3, 0x9f, 0x90, 0x42, 0x41, 0x20 };
	uint32_t i;

	apic_enable();
	handle(on_irq, vecs, sizeof(vecs));
	for (i = 0; i < sizeof(vecs); i++)
		self_ipi(vecs[i]);
	sti();
	for (i = 0; i < 1000 && n_came < sizeof(vecs); i++)
		asm volatile("nop");
	GUEST_ASSERT_EQ(n_came, sizeof(vecs));
	for (i = 0; i < sizeof(vecs); i++)
		GUEST_ASSERT_EQ(came[i], order[i]);
}
ONE_VCPU(highest_vector_first, priority)

/* A handler that opens interrupts is interrupted by higher classes only. */
static void on_nested(struct guest_regs *r)
{
	came[n_came++] = r->vector;
	if (r->vector == 0x51) {
		self_ipi(0x52);		/* the same class waits */
		self_ipi(0x31);
		self_ipi(0x61);		/* a higher one does not */
		irq_window();
		GUEST_ASSERT_EQ(n_came, 2);
		GUEST_ASSERT_EQ(apic_read(APIC_PPR), 0x50);
	}
	if (r->vector == 0x61) {
		GUEST_ASSERT_EQ(apic_read(APIC_PPR), 0x60);
		GUEST_ASSERT_EQ(apic_bit(APIC_ISR, 0x51), 1);
		GUEST_ASSERT_EQ(apic_bit(APIC_ISR, 0x61), 1);
		apic_eoi();		/* ends the highest in service */
		GUEST_ASSERT_EQ(apic_bit(APIC_ISR, 0x51), 1);
		GUEST_ASSERT_EQ(apic_bit(APIC_ISR, 0x61), 0);
		return;
	}
	came[n_came++] = r->vector | 1;
	apic_eoi();
}

static void nested(void)
{
	static const uint8_t order[] = { 0x51, 0x61, 0x51, 0x52, 0x53, 0x31, 0x31 };
	uint32_t i;

	HANDLE(on_nested, 0x31, 0x51, 0x52, 0x61);
	apic_enable();
	self_ipi(0x51);
	sti();
	for (i = 0; i < 1000 && n_came < sizeof(order); i++)
		asm volatile("nop");
	GUEST_ASSERT_EQ(n_came, sizeof(order));
	for (i = 0; i < sizeof(order); i++)
		GUEST_ASSERT_EQ(came[i], order[i]);
}
ONE_VCPU(nesting_and_eoi_order, nested)

/* EOI with nothing in service does nothing. */
static void eoi_idle(void)
{
	HANDLE(on_irq, 0x50);
	apic_enable();
	apic_eoi();
	self_ipi(0x50);
	apic_eoi();
	GUEST_ASSERT_EQ(apic_bit(APIC_IRR, 0x50), 1);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 1);
}
ONE_VCPU(eoi_without_interrupt, eoi_idle)

static void tpr(void)
{
	HANDLE(on_irq, 0x5f, 0x60, 0x6f, 0x70);
	apic_enable();
	apic_write(APIC_TPR, 0x63);
	/* KVM/SVM: the lower half goes lost in V_TPR */
	GUEST_ASSERT_EQ(apic_read(APIC_TPR) & 0xf0, 0x60);
	GUEST_ASSERT_EQ(apic_read(APIC_PPR) & 0xf0, 0x60);
	self_ipi(0x5f);
	self_ipi(0x60);
	self_ipi(0x6f);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 0);
	self_ipi(0x70);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 1);
	GUEST_ASSERT_EQ(came[0], 0x70);
	sti();
	apic_write(APIC_TPR, 0x5f);
	GUEST_ASSERT_EQ(n_came, 3);
	GUEST_ASSERT_EQ(came[1], 0x6f);
	GUEST_ASSERT_EQ(came[2], 0x60);
	apic_write(APIC_TPR, 0x40);
	GUEST_ASSERT_EQ(n_came, 4);
	cli();
	/* the highest class stops all */
	apic_write(APIC_TPR, 0xff);
	self_ipi(0x70);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 4);
}
ONE_VCPU(tpr_holds_back, tpr)

/* CR8 is TPR's upper half, both ways; userspace hears nothing of it. */
static void cr8(void)
{
	HANDLE(on_irq, 0x60, 0x70);
	apic_enable();
	write_cr8(6);
	GUEST_ASSERT_EQ(apic_read(APIC_TPR), 0x60);
	GUEST_ASSERT_EQ(apic_read(APIC_PPR), 0x60);
	apic_write(APIC_TPR, 0x93);
	GUEST_ASSERT_EQ(read_cr8(), 9);
	self_ipi(0x70);
	self_ipi(0x60);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 0);
	sti();
	write_cr8(6);
	asm volatile("nop");
	GUEST_ASSERT_EQ(n_came, 1);
	GUEST_ASSERT_EQ(came[0], 0x70);
	write_cr8(5);
	asm volatile("nop");
	GUEST_ASSERT_EQ(n_came, 2);
	cli();
	GUEST_ASSERT_EQ(apic_read(APIC_TPR), 0x50);
	GUEST_SYNC(read_cr8());
	GUEST_ASSERT_EQ(read_cr8(), 5);
}

TEST_F(apic, cr8_is_tpr)
{
	vcpu_start64(self->c, cr8, 0, 0);
	ASSERT_SYNC(self->c, 5);
	EXPECT_EQ(5, vcpu_sregs(self->c).cr8);
	EXPECT_EQ(0x50, lapic_reg(self->c, APIC_TPR));
	/* kvm_run.cr8 is for a userspace APIC: nothing is taken from it */
	self->c->run->cr8 = 11;
	ASSERT_DONE(self->c);
}

/* Vectors below 16 are an error to send; nothing is ever delivered by them. */
static void illegal_vector(void)
{
	uint32_t vec;

	for (vec = 0; vec < 16; vec++)
		guest_handler[vec] = on_irq;
	apic_enable();
	for (vec = 0; vec < 16; vec++)
		self_ipi(vec);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 0);
	apic_write(APIC_ESR, 0);
	vec = apic_read(APIC_ESR);
	/* send and receive illegal vector; KVM tells neither */
	GUEST_ASSERT_EQ(vec & ~0x60, 0);
	apic_write(APIC_ESR, 0);
	GUEST_ASSERT_EQ(apic_read(APIC_ESR), 0);
}
ONE_VCPU(illegal_vectors_do_not_arrive, illegal_vector)

/* ---- Several vCPUs ------------------------------------------------------------- */

#define N_VCPUS 3

static volatile uint32_t ready, ids[4], finish;

static uint32_t me(void)
{
	return apic_id() & 3;
}

static void on_ipi(struct guest_regs *r)
{
	__atomic_fetch_add(&hits[me()], 1, __ATOMIC_SEQ_CST);
	if (r->vector != NMI)
		apic_eoi();
}

/* What the others do: take interrupts, in HLT half of the time. */
static void target(uint64_t ldr)
{
	apic_enable();
	if (!guest_x2apic) {
		apic_write(APIC_DFR, ldr >> 32 | 0x0fffffff);
		apic_write(APIC_LDR, (uint32_t)ldr << 24);
	}
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	sti();
	while (!finish)
		cpu_relax();
	cli();
}

static void target_sleeps(uint64_t ldr)
{
	apic_enable();
	if (!guest_x2apic) {
		apic_write(APIC_DFR, ldr >> 32 | 0x0fffffff);
		apic_write(APIC_LDR, (uint32_t)ldr << 24);
	}
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!finish)
		sti_hlt_cli();
}

static void wait_until(volatile uint32_t *p, uint32_t want)
{
	while (*p != want)
		cpu_relax();
}

/* After the IPIs: one more, of another vector, to all, to finish. */
static void end_all(void)
{
	finish = 1;
	apic_icr(0, ICR_OTHERS | 0xef);
}

static void on_nothing(struct guest_regs *r)
{
	apic_eoi();
}

FIXTURE(smp) {
	struct vm *vm;
	struct vcpu *c[N_VCPUS];
	struct vcpu_thread t[N_VCPUS];
};
FIXTURE_VARIANT(smp) { bool x2, sleeps; };
FIXTURE_VARIANT_ADD(smp, xapic) { false, false };
FIXTURE_VARIANT_ADD(smp, x2apic) { true, false };
FIXTURE_VARIANT_ADD(smp, xapic_hlt) { false, true };
FIXTURE_VARIANT_ADD(smp, x2apic_hlt) { true, true };

FIXTURE_SETUP(smp)
{
	int i;

	self->vm = vm_create_irq();
	GUEST(self->vm, guest_x2apic) = variant->x2;
	GUEST(self->vm, guest_handler)[0x40] = on_ipi;
	GUEST(self->vm, guest_handler)[NMI] = on_ipi;
	GUEST(self->vm, guest_handler)[0xef] = on_nothing;
	for (i = 0; i < N_VCPUS; i++)
		self->c[i] = vcpu_create_irq(self->vm, i);
}
FIXTURE_TEARDOWN(smp) { }

/* vCPU 0 runs @fn, the others are its targets with logical ids 1 << i. */
static void start_all(struct vcpu **c, struct vcpu_thread *t, void *fn, bool sleeps,
		      uint64_t dfr)
{
	int i;

	vcpu_start64(c[0], fn, 0, 0);
	for (i = 1; i < N_VCPUS; i++)
		vcpu_start64(c[i], sleeps ? target_sleeps : target, dfr | 1 << i, 0);
	for (i = 0; i < N_VCPUS; i++)
		vcpu_spawn(&t[i], c[i]);
}

#define SMP(name, fn, dfr)						\
TEST_F(smp, name)							\
{									\
	int i, bad = 0;							\
									\
	start_all(self->c, self->t, fn, variant->sleeps, dfr);		\
	for (i = 0; i < N_VCPUS; i++) {					\
		if (vcpu_join(&self->t[i]) != G_DONE) {			\
			vcpu_dump(self->c[i]);				\
			bad++;						\
		}							\
	}								\
	ASSERT_EQ(0, bad);						\
}

/* Each IPI is awaited, so none merges. */
static void physical(void)
{
	uint32_t round, i;

	apic_enable();
	wait_until(&ready, N_VCPUS - 1);
	for (round = 1; round <= 50; round++) {
		for (i = 1; i < N_VCPUS; i++) {
			apic_icr(i, 0x40);
			wait_until(&hits[i], round);
		}
	}
	/* nobody there, and oneself */
	apic_icr(100, 0x40);
	apic_icr(0, 0x40);
	irq_window();
	GUEST_ASSERT_EQ(hits[0], 1);
	end_all();
	GUEST_ASSERT_EQ(hits[1] + hits[2], 100);
}
SMP(physical, physical, 0xffffffffull << 32)

static void shorthands(void)
{
	uint32_t round;

	apic_enable();
	wait_until(&ready, N_VCPUS - 1);
	for (round = 1; round <= 20; round++) {
		apic_icr(0, ICR_OTHERS | 0x40);
		wait_until(&hits[1], round * 2 - 1);
		wait_until(&hits[2], round * 2 - 1);
		GUEST_ASSERT_EQ(hits[0], round - 1);
		apic_icr(0, ICR_ALL | 0x40);
		irq_window();
		GUEST_ASSERT_EQ(hits[0], round);
		wait_until(&hits[1], round * 2);
		wait_until(&hits[2], round * 2);
	}
	/* physical broadcast is for all, too */
	apic_icr(guest_x2apic ? 0xffffffff : 0xff, 0x40);
	irq_window();
	GUEST_ASSERT_EQ(hits[0], 21);
	wait_until(&hits[1], 41);
	wait_until(&hits[2], 41);
	end_all();
}
SMP(shorthands_and_broadcast, shorthands, 0xffffffffull << 32)

/* Flat and x2APIC's cluster 0 have the same ids: one bit each. */
static void logical(void)
{
	uint32_t n;

	apic_enable();
	if (!guest_x2apic)
		apic_write(APIC_LDR, 1 << 24);
	wait_until(&ready, N_VCPUS - 1);
	for (n = 1; n <= 20; n++) {
		apic_icr(2, ICR_LOGICAL | 0x40);
		wait_until(&hits[1], n * 2 - 1);
		apic_icr(6, ICR_LOGICAL | 0x40);
		wait_until(&hits[1], n * 2);
		wait_until(&hits[2], n);
	}
	/* cluster 1, or nobody */
	apic_icr(guest_x2apic ? 0x10006 : 8, ICR_LOGICAL | 0x40);
	apic_icr(5, ICR_LOGICAL | 0x40);
	wait_until(&hits[2], 21);
	irq_window();
	GUEST_ASSERT_EQ(hits[0], 1);
	GUEST_ASSERT_EQ(hits[1], 40);
	/* lowest priority goes to one of the set */
	for (n = 1; n <= 20; n++) {
		apic_icr(6, ICR_LOGICAL | ICR_LOWEST | 0x40);
		while (hits[1] + hits[2] < 61 + n)
			cpu_relax();
	}
	end_all();
	GUEST_ASSERT_EQ(hits[0], 1);
	GUEST_ASSERT_EQ(hits[1] + hits[2], 81);
}
SMP(logical_and_lowest_priority, logical, 0xffffffffull << 32)

static void nmi(void)
{
	uint32_t n;

	apic_enable();
	wait_until(&ready, N_VCPUS - 1);
	for (n = 1; n <= 10; n++) {
		apic_icr(1, ICR_NMI | 0x77);	/* the vector is not looked at */
		wait_until(&hits[1], n * 2 - 1);
		apic_icr(0, ICR_OTHERS | ICR_NMI);
		wait_until(&hits[1], n * 2);
		wait_until(&hits[2], n);
	}
	end_all();
	GUEST_ASSERT_EQ(hits[0], 0);
}
SMP(nmi, nmi, 0xffffffffull << 32)

/* ---- Cluster model of the xAPIC ----------------------------------------------------- */

static void clusters(void)
{
	apic_enable();
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, 0x11 << 24);	/* cluster 1, member 0 */
	wait_until(&ready, N_VCPUS - 1);
	apic_icr(0x11, ICR_LOGICAL | 0x40);	/* me alone */
	irq_window();
	GUEST_ASSERT_EQ(hits[0], 1);
	apic_icr(0x13, ICR_LOGICAL | 0x40);	/* vCPU 0 and 1 */
	irq_window();
	GUEST_ASSERT_EQ(hits[0], 2);
	wait_until(&hits[1], 1);
	apic_icr(0x21, ICR_LOGICAL | 0x40);	/* vCPU 2 */
	wait_until(&hits[2], 1);
	apic_icr(0x14, ICR_LOGICAL | 0x40);	/* nobody */
	apic_icr(0x31, ICR_LOGICAL | 0x40);
	end_all();
	GUEST_ASSERT_EQ(hits[0], 2);
	GUEST_ASSERT_EQ(hits[1], 1);
	GUEST_ASSERT_EQ(hits[2], 1);
}

TEST(xapic_logical_clusters)
{
	static const uint8_t ldr[N_VCPUS] = { 0x11, 0x12, 0x21 };
	struct vm *vm = vm_create_irq();
	struct vcpu *c[N_VCPUS];
	struct vcpu_thread t[N_VCPUS];
	int i;

	GUEST(vm, guest_handler)[0x40] = on_ipi;
	GUEST(vm, guest_handler)[0xef] = on_nothing;
	for (i = 0; i < N_VCPUS; i++) {
		c[i] = vcpu_create_irq(vm, i);
		vcpu_start64(c[i], i ? (void *)target : clusters, ldr[i], 0);
	}
	for (i = 0; i < N_VCPUS; i++)
		vcpu_spawn(&t[i], c[i]);
	for (i = 0; i < N_VCPUS; i++)
		ASSERT_JOINED(&t[i], G_DONE);
}

/* ---- INIT and SIPI -------------------------------------------------------------------- */

/* Starts at vector 8, address 0x8000: CS 0x800, IP 0; then protected by nothing. */
asm(".text\n.code16\n"
    "ap16: call 1f\n"
    "1: pop %ax\n sub $(1b - ap16), %ax\n mov %ax, %bx\n"
    "mov %cs, %ax\n shl $16, %eax\n mov %bx, %ax\n out %eax, $0x11\n"
    "2: hlt\n jmp 2b\n"
    "ap16_end: .code64\n");
extern const char ap16[], ap16_end[];

static volatile uint32_t phase;

/* The host says when by phase, so that each step can be looked at. */
static void starter(void)
{
	apic_enable();
	wait_until(&phase, 1);
	apic_icr(1, ICR_SIPI | 8);	/* no INIT before: not heard */
	apic_icr(1, ICR_INIT | ICR_LEVEL);	/* de-assert: nothing */
	GUEST_SYNC(1);
	apic_icr(1, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	GUEST_SYNC(2);
	apic_icr(1, ICR_SIPI | 8);
	GUEST_SYNC(3);
	apic_icr(1, ICR_SIPI | 9);	/* runs already: not heard */
	GUEST_SYNC(4);
	apic_icr(1, ICR_INIT | ICR_ASSERT);	/* from the midst of it */
	apic_icr(1, ICR_SIPI | 0x0b);
}

FIXTURE(ap) { struct vm *vm; struct vcpu *bsp, *ap; };
FIXTURE_VARIANT(ap) { bool x2; };
FIXTURE_VARIANT_ADD(ap, xapic) { false };
FIXTURE_VARIANT_ADD(ap, x2apic) { true };
FIXTURE_SETUP(ap)
{
	self->vm = vm_create_irq();
	GUEST(self->vm, guest_x2apic) = variant->x2;
	GUEST(self->vm, phase) = 1;
	guest_blob(self->vm, ap16, ap16_end);
	memcpy(gpa_hva(self->vm, 0xb000), ap16, ap16_end - ap16);
	self->bsp = vcpu_create_irq(self->vm, 0);
	self->ap = vcpu_create_ap(self->vm, 1);
	vcpu_start64(self->bsp, starter, 0, 0);
}
FIXTURE_TEARDOWN(ap) { }

TEST_F(ap, starts_by_init_and_sipi)
{
	struct vcpu_thread t;
	struct kvm_sregs s;

	ASSERT_EQ(KVM_MP_STATE_UNINITIALIZED, vcpu_mp_state(self->ap));
	ASSERT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(self->bsp));
	vcpu_spawn(&t, self->ap);
	ASSERT_SYNC(self->bsp, 1);
	usleep(50000);
	ASSERT_TRUE(t.running);
	ASSERT_SYNC(self->bsp, 2);
	usleep(50000);
	ASSERT_TRUE(t.running);
	ASSERT_SYNC(self->bsp, 3);
	ASSERT_JOINED(&t, G_SYNC);
	EXPECT_EQ(0x08000000, self->ap->event.a);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(self->ap));
	s = vcpu_sregs(self->ap);
	EXPECT_EQ(0x800, s.cs.selector);
	EXPECT_EQ(0x8000, s.cs.base);
	EXPECT_EQ(0, s.cr0 & (CR0_PE | CR0_PG));
	ASSERT_SYNC(self->bsp, 4);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(self->ap));
	EXPECT_EQ(0x800, vcpu_sregs(self->ap).cs.selector);
	/* a running AP is reset, and started somewhere else */
	vcpu_spawn(&t, self->ap);
	ASSERT_DONE(self->bsp);
	ASSERT_JOINED(&t, G_SYNC);
	EXPECT_EQ(0x0b000000, self->ap->event.a);
}

/* Not in KVM_RUN when they come: nothing is lost, GET_MP_STATE tells. */
TEST_F(ap, init_and_sipi_are_kept)
{
	ASSERT_SYNC(self->bsp, 1);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, vcpu_mp_state(self->ap));
	ASSERT_SYNC(self->bsp, 2);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, vcpu_mp_state(self->ap));
	ASSERT_SYNC(self->bsp, 3);
	while (vcpu_next(self->ap) == G_ERROR && self->ap->event.a == EAGAIN)
		;
	ASSERT_EQ(G_SYNC, (int)self->ap->event.kind);
	EXPECT_EQ(0x08000000, self->ap->event.a);
}

/* An AP's registers after INIT are those of reset, but for what INIT keeps. */
TEST_F(ap, init_resets)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	int i;

	ASSERT_EQ(0, vcpu_set_mp_state(self->ap, KVM_MP_STATE_RUNNABLE));
	vcpu_start64(self->ap, starter, 0, 0);
	for (i = 1; i <= 3; i++) {
		ASSERT_SYNC(self->bsp, i);
		vcpu_mp_state(self->ap);	/* takes what is pending, as KVM_RUN does */
	}
	s = vcpu_sregs(self->ap);
	r = vcpu_regs(self->ap);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(self->ap));
	EXPECT_EQ(0, s.cr0 & (CR0_PE | CR0_PG));
	EXPECT_EQ(0, s.efer);
	EXPECT_EQ(0, s.cr4);
	EXPECT_EQ(0, s.cr3);
	EXPECT_EQ(0x800, s.cs.selector);
	EXPECT_EQ(0, r.rip);
	EXPECT_EQ(2, r.rflags);
	EXPECT_EQ(0, r.rsp);
	EXPECT_EQ(0, r.rdx >> 32);
	EXPECT_EQ(0xffff, s.idt.limit);
	/* the mode of the APIC outlives INIT */
	EXPECT_EQ(APIC_GPA | APIC_BASE_ENABLE, s.apic_base);
}

/* What INIT keeps: MSRs, FPU, XCR0, CR0.CD and NW. It can be seen in real mode, too. */
static const struct { uint32_t msr; uint64_t value; } kept[] = {
	{ MSR_STAR, 0x23001000000000 }, { MSR_LSTAR, 0xffffffff81000082 },
	{ MSR_CSTAR, 0xffffffff81000083 }, { MSR_SFMASK, 0x47700 },
	{ MSR_KERNEL_GS_BASE, 0xffff888000001000 }, { MSR_SYSENTER_CS, 0x10 },
	{ MSR_SYSENTER_ESP, 0x2000 }, { MSR_SYSENTER_EIP, 0x81000176 },
	{ MSR_PAT, 0x0007010600070106 }, { MSR_MTRR_DEF_TYPE, 0xc06 }, { MSR_TSC_AUX, 5 },
};

asm(".text\n.code16\n"
    "ap16_kept: mov $0xc0000082, %ecx\n rdmsr\n out %eax, $0x11\n"
    "mov $1, %eax\n cpuid\n mov %ecx, %eax\n out %eax, $0x11\n"
    "ap16_kept_end: .code64\n");
extern const char ap16_kept[], ap16_kept_end[];

static void keeper(void)
{
	uint32_t r[4], i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		GUEST_ASSERT_EQ(try_wrmsr(kept[i].msr, kept[i].value), NONE);
	wrmsr(MSR_FS_BASE, 0x1000);
	wrmsr(MSR_GS_BASE, 0x2000);
	cpuid(1, 0, r);
	if (r[2] & BIT(26))
		write_cr4(read_cr4() | CR4_OSXSAVE);
	write_cr0((read_cr0() & ~CR0_NW) | CR0_CD);
	asm volatile("movq %0, %%xmm7" : : "r"(0x1122334455667788ul));
	ready = 1;
	for (;;)
		cpu_relax();
}

static void keeper_starter(void)
{
	apic_enable();
	wait_until(&ready, 1);
	apic_icr(1, ICR_INIT | ICR_ASSERT);
	GUEST_SYNC(1);
	apic_icr(1, ICR_SIPI | 8);
}

TEST_F(ap, init_keeps_msrs_and_fpu)
{
	struct kvm_cpuid2 *cpuid = dev_cpuid();
	struct kvm_cpuid_entry2 *leaf1 = cpuid_find(cpuid, 1, 0);
	struct vcpu_thread t;
	struct kvm_sregs s;
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = 3 };
	struct kvm_fpu f;
	uint64_t v;
	int i;

	if (leaf1->ecx & BIT(26))	/* the guest's own XSETBV escapes KVM in QEMU */
		xioctl(self->ap->fd, KVM_SET_XCRS, &x);
	guest_blob(self->vm, ap16_kept, ap16_kept_end);
	ASSERT_EQ(0, vcpu_set_mp_state(self->ap, KVM_MP_STATE_RUNNABLE));
	vcpu_start64(self->ap, keeper, 0, 0);
	vcpu_start64(self->bsp, keeper_starter, 0, 0);
	vcpu_spawn(&t, self->ap);
	ASSERT_SYNC(self->bsp, 1);
	vcpu_stop(&t);
	ASSERT_EQ(KVM_MP_STATE_INIT_RECEIVED, vcpu_mp_state(self->ap));
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		ASSERT_EQ(1, vcpu_get_msr(self->ap, kept[i].msr, &v));
		EXPECT_EQ(kept[i].value, v) TH_LOG("MSR %#x", kept[i].msr);
	}
	xioctl(self->ap->fd, KVM_GET_FPU, &f);
	memcpy(&v, f.xmm[7], 8);
	EXPECT_EQ(0x1122334455667788, v);
	if (leaf1->ecx & BIT(26)) {
		xioctl(self->ap->fd, KVM_GET_XCRS, &x);
		EXPECT_EQ(3, x.xcrs[0].value);
	}
	s = vcpu_sregs(self->ap);
	EXPECT_EQ(CR0_CD | CR0_ET, s.cr0);
	/* these are of the segments */
	EXPECT_EQ(0, s.fs.base);
	EXPECT_EQ(0, s.gs.base);
	EXPECT_EQ(leaf1->eax, vcpu_regs(self->ap).rdx);

	ASSERT_DONE(self->bsp);
	while (vcpu_next(self->ap) == G_ERROR && self->ap->event.a == EAGAIN)
		;
	EXPECT_EQ(G_SYNC, (int)self->ap->event.kind);
	EXPECT_EQ(0x81000082, self->ap->event.a);
	ASSERT_KIND(self->ap, G_SYNC);
	EXPECT_EQ(0, self->ap->event.a & BIT(27));	/* OSXSAVE went with CR4 */
	free(cpuid);
}

/*
 * SIPI at once after INIT, again and again, whatever the AP is doing just then:
 * the last pair starts it. It says so by copying the round's number.
 */
#define ROUND	((volatile uint32_t *)0x6000)
#define ACK	((volatile uint32_t *)0x6004)

asm(".text\n.code16\n"
    "ap16_ack: xor %ax, %ax\n mov %ax, %ds\n mov (0x6000), %eax\n mov %eax, (0x6004)\n"
    "test $1, %al\n jz 2f\n"
    "1: pause\n jmp 1b\n 2: hlt\n jmp 2b\n"
    "ap16_ack_end: .code64\n");
extern const char ap16_ack[], ap16_ack_end[];

static void hasty(void)
{
	uint32_t i, n, pause;

	apic_enable();
	for (i = 1; !finish; i++) {
		*ROUND = i;
		for (n = i % 4; n < 4; n++) {
			apic_icr(1, ICR_INIT | ICR_ASSERT);
			/* at once, or when the AP is at it */
			for (pause = i % 2 * (i % 512) * 32; pause; pause--)
				asm volatile("");
			apic_icr(1, ICR_SIPI | 8);
		}
		wait_until(ACK, i);
	}
}

TEST_F(ap, sipi_close_behind_init)
{
	struct vcpu_thread t[2];

	guest_blob(self->vm, ap16_ack, ap16_ack_end);
	vcpu_start64(self->bsp, hasty, 0, 0);
	vcpu_spawn(&t[1], self->ap);
	vcpu_spawn(&t[0], self->bsp);
	usleep(1500000);
	GUEST(self->vm, finish) = true;
	ASSERT_JOINED(&t[0], G_DONE);
	vcpu_stop(&t[1]);
}

IRQ_HARNESS_MAIN
