// SPDX-License-Identifier: GPL-2.0
/*
 * The two 8259s, programmed by the guest through their ports, their inputs
 * driven by KVM_IRQ_LINE. They reach the vCPU by its LINT0, which a BSP has open
 * after reset. Master's vectors are 0x20 to 0x27, slave's 0x28 to 0x2f.
 */
#include "irq.h"

#define AUTO_EOI	3		/* ICW4: 8086 mode, auto EOI */

static volatile uint8_t came[64];
static volatile uint32_t n_came;
static volatile bool no_eoi;		/* the handler leaves it to the test */

static void eoi(int irq)
{
	if (irq >= 8)
		outb(PIC2, OCW2_EOI);
	outb(PIC1, OCW2_EOI);
}

static void on_irq(struct guest_regs *r)
{
	came[n_came++ % 64] = r->vector - 0x20;
	if (!no_eoi)
		eoi(r->vector - 0x20);
}

static void pic_start(uint8_t icw4)
{
	int i;

	for (i = 0; i < 16; i++)
		guest_handler[0x20 + i] = on_irq;
	pic_init(0x20, 0x28, icw4);
}

/* What came since the last time: @n interrupts, the first is the top nibble. */
static void expect(int n, uint64_t which)
{
	irq_window();
	GUEST_ASSERT_EQ(n_came, n);
	while (n--)
		GUEST_ASSERT_EQ(came[n], which >> ((n_came - 1 - n) * 4) & 0xf);
	n_came = 0;
}

#define PIC_TEST(name, fn)						\
TEST(name)								\
{									\
	struct vcpu *c = irq_guest(fn);					\
									\
	ASSERT_EQ(G_DONE, irq_serve(c));					\
}

/* ---- One interrupt --------------------------------------------------------------- */

static void edges(void)
{
	int i;

	pic_start(1);
	for (i = 0; i < 16; i++) {
		if (i == 2)
			continue;	/* the cascade */
		PULSE(i);
		/* an edge that went: KVM remembers it, and so does a latch */
		expect(1, i);
		GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 0);
		GUEST_ASSERT_EQ(pic_read(PIC2, OCW3_ISR), 0);
		/* a line that stays up is one edge */
		LINE(i, UP);
		expect(1, i);
		expect(0, 0);
		LINE(i, UP);
		expect(0, 0);
		LINE(i, DOWN);
		LINE(i, UP);
		expect(1, i);
		LINE(i, DOWN);
		expect(0, 0);
	}
}
PIC_TEST(edge_triggered_once_each, edges)

static void registers(void)
{
	pic_start(1);
	PULSE(3);
	PULSE(12);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_IRR), 1 << 3 | 1 << 2);
	GUEST_ASSERT_EQ(pic_read(PIC2, OCW3_IRR), 1 << 4);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 0);
	no_eoi = true;
	expect(1, 12);			/* 2 comes before 3 */
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_IRR), 1 << 3);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 1 << 2);
	GUEST_ASSERT_EQ(pic_read(PIC2, OCW3_ISR), 1 << 4);
	GUEST_ASSERT_EQ(pic_read(PIC2, OCW3_IRR), 0);
	/* nothing below 2 gets through before its EOI */
	expect(0, 0);
	outb(PIC2, OCW2_EOI);
	expect(0, 0);
	outb(PIC1, OCW2_EOI);
	expect(1, 3);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 1 << 3);
	/* a read without another OCW3 gives the same register; the mask is its own */
	GUEST_ASSERT_EQ(inb(PIC1), 1 << 3);
	outb(PIC1 + 1, 0xa5);
	GUEST_ASSERT_EQ(inb(PIC1 + 1), 0xa5);
	/* ICW1 clears the mask and what edges left behind, and selects IRR */
	LINE(6, UP);
	LINE(6, DOWN);
	pic_init(0x20, 0x28, 1);
	GUEST_ASSERT_EQ(inb(PIC1 + 1), 0);
	GUEST_ASSERT_EQ(inb(PIC1), 0);
}
PIC_TEST(irr_isr_and_imr, registers)

/* ---- Priorities -------------------------------------------------------------------- */

static void priorities(void)
{
	pic_start(1);
	PULSE(7);
	PULSE(5);
	PULSE(14);
	PULSE(9);
	PULSE(0);
	PULSE(3);
	expect(6, 0x09e357);
	/* in service: equal and lower ones wait, higher ones do not */
	no_eoi = true;
	PULSE(4);
	expect(1, 4);
	PULSE(4);
	PULSE(6);
	expect(0, 0);
	PULSE(1);
	expect(1, 1);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 1 << 4 | 1 << 1);
	no_eoi = false;
	outb(PIC1, OCW2_EOI);		/* non-specific: the highest, 1 */
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 1 << 4);
	outb(PIC1, OCW2_EOI);
	expect(2, 0x46);
}
PIC_TEST(fixed_priorities, priorities)

static void specific(void)
{
	pic_start(1);
	no_eoi = true;
	PULSE(4);
	expect(1, 4);
	PULSE(1);
	expect(1, 1);
	outb(PIC1, OCW2_SEOI(4));
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 1 << 1);
	PULSE(4);
	expect(0, 0);
	outb(PIC1, OCW2_SEOI(1));
	expect(1, 4);
	outb(PIC1, OCW2_SEOI(0));	/* not in service: nothing */
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 1 << 4);
}
PIC_TEST(specific_eoi, specific)

static void auto_eoi(void)
{
	pic_start(AUTO_EOI);
	no_eoi = true;
	PULSE(4);
	expect(1, 4);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 0);
	PULSE(10);
	PULSE(4);
	expect(2, 0xa4);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 0);
	GUEST_ASSERT_EQ(pic_read(PIC2, OCW3_ISR), 0);
}
PIC_TEST(automatic_eoi, auto_eoi)

static void rotation(void)
{
	pic_start(1);
	/* set priority: 4 is the lowest, so 5 the highest */
	outb(PIC1, 0xc0 | 4);
	PULSE(4);
	PULSE(5);
	PULSE(0);
	PULSE(7);
	expect(4, 0x5704);
	/* rotate on non-specific EOI: what was served becomes the lowest */
	no_eoi = true;
	outb(PIC1, 0xc0 | 7);
	PULSE(3);
	expect(1, 3);
	outb(PIC1, 0xa0);
	no_eoi = false;
	PULSE(3);
	PULSE(4);
	PULSE(1);
	expect(3, 0x413);
	/* and on a specific one */
	no_eoi = true;
	outb(PIC1, 0xc0 | 7);
	PULSE(5);
	expect(1, 5);
	outb(PIC1, 0xe0 | 5);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 0);
	no_eoi = false;
	PULSE(0);
	PULSE(6);
	expect(2, 0x60);
}
PIC_TEST(rotating_priorities, rotation)

/* ---- Masks and modes ------------------------------------------------------------------ */

static void masks(void)
{
	pic_start(1);
	pic_mask(1 << 4 | 1 << 11);
	GUEST_ASSERT_EQ(inb(PIC1 + 1), 1 << 4);
	GUEST_ASSERT_EQ(inb(PIC2 + 1), 1 << 3);
	LINE(4, UP);
	LINE(11, UP);
	expect(0, 0);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_IRR), 1 << 4);
	GUEST_ASSERT_EQ(pic_read(PIC2, OCW3_IRR), 1 << 3);
	PULSE(6);
	expect(1, 6);
	/* masked ones were not lost */
	pic_mask(0);
	expect(2, 0xb4);
	LINE(4, DOWN);
	LINE(11, DOWN);
	/* the cascade masked: the slave is silent */
	pic_mask(1 << 2);
	PULSE(8);
	expect(0, 0);
	pic_mask(0);
	expect(1, 8);
}
PIC_TEST(masked_ones_wait, masks)

/*
 * Poll: a read is the acknowledge. On KVM it is the EOI as well, and bit 7, which
 * says that there was one, is not there.
 */
static void poll(void)
{
	pic_start(1);
	LINE(5, UP);
	LINE(3, UP);
	outb(PIC1, OCW3_POLL);
	GUEST_ASSERT_EQ(inb(PIC1) & 7, 3);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_IRR), 1 << 5);
	outb(PIC1, OCW2_SEOI(3));
	outb(PIC1, OCW3_POLL);
	GUEST_ASSERT_EQ(inb(PIC1) & 7, 5);
	outb(PIC1, OCW2_SEOI(5));
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 0);
	expect(0, 0);
	outb(PIC1, OCW3_POLL);
	GUEST_ASSERT_EQ(inb(PIC1), 7);
}
PIC_TEST(poll_command, poll)

/* ---- Level ----------------------------------------------------------------------------- */

static void levels(void)
{
	pic_start(1);
	/* some are edge-triggered for ever: 0, 1, 2, 8, 13 */
	outb(ELCR1, 0xff);
	outb(ELCR2, 0xff);
	GUEST_ASSERT_EQ(inb(ELCR1), 0xf8);
	GUEST_ASSERT_EQ(inb(ELCR2), 0xde);
	outb(ELCR1, 1 << 5);
	outb(ELCR2, 1 << 3);
	GUEST_ASSERT_EQ(inb(ELCR1), 1 << 5);
	GUEST_ASSERT_EQ(inb(ELCR2), 1 << 3);
	/* as long as the line is up, it comes again after each EOI */
	no_eoi = true;
	LINE(5, UP);
	expect(1, 5);
	expect(0, 0);
	outb(PIC1, OCW2_EOI);
	expect(1, 5);
	outb(PIC1, OCW2_EOI);
	LINE(5, DOWN);
	expect(0, 0);
	LINE(11, UP);
	expect(1, 11);
	eoi(11);
	expect(1, 11);
	LINE(11, DOWN);
	eoi(11);
	expect(0, 0);
	/* gone before it was taken: nothing is remembered */
	PULSE(5);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_IRR), 0);
	expect(0, 0);
}
PIC_TEST(level_triggered_by_elcr, levels)

/*
 * A level that goes between INTR and INTA is the spurious 7, whose in-service
 * bit is not set. Masking does the same and needs no race.
 */
static void on_spurious(struct guest_regs *r)
{
	came[n_came++ % 64] = r->vector - 0x20;
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR) & 0x80, 0);
}

static void spurious(void)
{
	pic_start(1);
	guest_handler[0x27] = on_spurious;
	outb(ELCR1, 1 << 5);
	LINE(5, UP);
	LINE(5, DOWN);
	irq_window();
	/* nothing, or the spurious one; never 5 */
	GUEST_ASSERT_LE(n_came, 1);
	if (n_came)
		GUEST_ASSERT_EQ(came[0], 7);
	GUEST_ASSERT_EQ(pic_read(PIC1, OCW3_ISR), 0);
}
PIC_TEST(spurious_is_seven, spurious)

/* ---- Its place in the machine ----------------------------------------------------------- */

/* LINT0 masked, or not ExtINT: the PIC is not heard. */
static void lint0(void)
{
	pic_start(1);
	apic_enable();
	PULSE(3);
	expect(1, 3);
	apic_write(APIC_LVT0, LVT_MASKED | LVT_EXTINT);
	LINE(4, UP);
	expect(0, 0);
	apic_write(APIC_LVT0, LVT_EXTINT);
	GUEST_SYNC(0);		/* KVM looks at its next event, not at once */
	expect(1, 4);
	/* with the whole APIC off, INTR is a pin of the CPU */
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~APIC_BASE_ENABLE);
	PULSE(6);
	expect(1, 6);
	/* TPR is for the APIC's own (at 15 KVM/SVM finds no window: V_TPR) */
	write_cr8(14);
	PULSE(6);
	expect(1, 6);
}
PIC_TEST(comes_by_lint0, lint0)

/*
 * Raised from another thread in just the moment in which LINT0 is unmasked: it
 * is heard, though nothing else makes the vCPU look.
 */
static volatile uint32_t round;
static volatile bool finish;

static void unmasking(void)
{
	uint32_t i;

	pic_start(1);
	apic_enable();
	for (i = 1; !finish; i++) {
		apic_write(APIC_LVT0, LVT_MASKED | LVT_EXTINT);
		round = i;
		apic_write(APIC_LVT0, LVT_EXTINT);
		sti();
		while (n_came != i)
			cpu_relax();
		cli();
	}
}

TEST(raised_while_lint0_is_unmasked)
{
	struct vcpu *c = irq_guest(unmasking);
	volatile uint32_t *r = &GUEST(c->vm, round);
	uint64_t start = host_ns(), began = start;
	struct vcpu_thread t;
	uint32_t i, n;

	if (dev_is_kvm())
		SKIP(return, "KVM looks at its next event, not at once");
	vcpu_spawn(&t, c);
	for (i = 1; began - start < 1500000000; i++) {
		began = host_ns();
		while (*r != i && host_ns() - began < guest_timeout * 1000000000ul)
			;
		ASSERT_EQ(i, *r) vcpu_stop(&t);
		GUEST(c->vm, finish) = began - start >= 1500000000;
		ASSERT_EQ(0, irq_line(c->vm, 3, 0));
		for (n = i % 1024 * 8; n; n--)	/* sooner and later */
			asm volatile("");
		ASSERT_EQ(0, irq_line(c->vm, 3, 1));
	}
	ASSERT_JOINED(&t, G_DONE);
}

/* Vectors are where ICW2 says, and may be moved. */
static void moved(void)
{
	guest_handler[0x74] = on_irq;
	guest_handler[0x9b] = on_irq;
	no_eoi = true;
	pic_init(0x70, 0x98, 1);
	PULSE(4);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 1);
	GUEST_ASSERT_EQ(came[0], 0x54);
	outb(PIC1, OCW2_EOI);
	PULSE(11);
	irq_window();
	GUEST_ASSERT_EQ(n_came, 2);
	GUEST_ASSERT_EQ(came[1], 0x7b);
}
PIC_TEST(vectors_by_icw2, moved)

IRQ_HARNESS_MAIN
