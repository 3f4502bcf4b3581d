/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of the interrupt controllers in the kernel: a VM that has them,
 * vCPUs that run in threads of their own, and the controllers' registers as
 * guest code reaches them.
 *
 *	static void guest(void)
 *	{
 *		apic_enable();
 *		guest_handler[0x40] = on_irq;	// ends with apic_eoi()
 *		sti();
 *		apic_icr(0, ICR_SELF | 0x40);
 *	}
 *
 *	TEST(example)
 *	{
 *		struct vcpu *c = irq_guest(guest);
 *
 *		ASSERT_DONE(c);
 *	}
 *
 *	IRQ_HARNESS_MAIN
 *
 * IRQ_HARNESS_MAIN skips the whole file where the device has no KVM_CAP_IRQCHIP.
 */
#ifndef SELFTESTS_LIB_IRQ_H
#define SELFTESTS_LIB_IRQ_H

#include <pthread.h>
#include <time.h>
#include "guest.h"

/* ---- The host's side ----------------------------------------------------- */

/* vm_create(), irqchip, and the APICs' pages in both long-mode tables */
struct vm *vm_create_irq(void);
/* Just the pages: what is at 3G to 4G, one to one, in long mode */
void vm_map_apics(struct vm *vm);
/*
 * vcpu_create() with its APIC id in CPUID leaf 1 and the TSC-deadline bit if
 * the device has that; runnable, whatever its id.
 */
struct vcpu *vcpu_create_irq(struct vm *vm, int id);
/* As KVM makes it: an AP waits for INIT and SIPI. */
struct vcpu *vcpu_create_ap(struct vm *vm, int id);
/* VM, vCPU 0 and start, in one */
struct vcpu *irq_guest(void *fn);
/* 0 or -errno */
int irq_line(struct vm *vm, int gsi, int level);
int irq_pulse(struct vm *vm, int gsi);

/* The host's part: what GUEST_SYNC(v) asks for. v: irq, and UP, DOWN or both */
#define UP	0x100
#define DOWN	0x200
#define LINE(irq, what) GUEST_SYNC((irq) | (what))
#define PULSE(irq)	GUEST_SYNC((irq) | UP | DOWN)
int irq_serve(struct vcpu *c);	/* run it, do what it asks for; its last event, -1: refused */
int vcpu_mp_state(struct vcpu *c);	/* or -errno */
int vcpu_set_mp_state(struct vcpu *c, int state);
/* A register of KVM_GET_LAPIC, by its offset */
uint32_t lapic_reg(struct vcpu *c, uint32_t offset);
struct kvm_irqchip irqchip_get(struct vm *vm, int chip);
uint64_t tsc_khz(struct vcpu *c);

/*
 * A vCPU in a thread: it runs until something happens (c->event, as with
 * vcpu_next()), over signals and the -EAGAIN of an AP that was woken.
 */
struct vcpu_thread {
	struct vcpu *c;
	pthread_t thread;
	volatile bool stop, running;
};

void vcpu_spawn(struct vcpu_thread *t, struct vcpu *c);
/* Wait guest_timeout seconds for its event; returns the kind, G_TIMEOUT if none. */
int vcpu_join(struct vcpu_thread *t);
/* Get it out of KVM_RUN, wherever it is. */
void vcpu_stop(struct vcpu_thread *t);

#define ASSERT_JOINED(t, want)						\
	do {								\
		int __got = vcpu_join(t);				\
									\
		if (__got != (want))					\
			vcpu_dump((t)->c);				\
		ASSERT_EQ((want), __got);				\
	} while (0)

/* Wait for a condition the guest makes true; false after guest_timeout. */
#define WAIT_FOR(cond) ({						\
	int __i;							\
	for (__i = 0; __i < guest_timeout * 1000 && !(cond); __i++)	\
		usleep(1000);						\
	(bool)(cond); })

uint64_t host_ns(void);		/* CLOCK_MONOTONIC */

/* TEST_HARNESS_MAIN, but the whole file is skipped where there is no @what. */
#define HARNESS_MAIN_IF(have, what)					\
	static void __attribute__((constructor))			\
	__constructor_order_last(void)					\
	{								\
		if (!__constructor_order)				\
			__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD; \
	}								\
	int main(int argc, char **argv)					\
	{								\
		if (!(have)) {						\
			printf("1..0 # SKIP %s has no %s\n", dev_path(), what); \
			return KSFT_SKIP;				\
		}							\
		return test_harness_run(argc, argv);			\
	}
#define IRQ_HARNESS_MAIN						\
	HARNESS_MAIN_IF(dev_cap(KVM_CAP_IRQCHIP) > 0,			\
			"interrupt controllers (KVM_CAP_IRQCHIP)")

/* ---- Local APIC, from the guest -------------------------------------------- */

#define APIC_GPA	0xfee00000ul

/* Offsets in the page; the x2APIC's MSR is 0x800 + offset / 16. */
#define APIC_ID		0x20
#define APIC_VERSION	0x30
#define APIC_TPR	0x80
#define APIC_APR	0x90
#define APIC_PPR	0xa0
#define APIC_EOI	0xb0
#define APIC_LDR	0xd0
#define APIC_DFR	0xe0
#define APIC_SPIV	0xf0
#define APIC_ISR	0x100
#define APIC_TMR	0x180
#define APIC_IRR	0x200
#define APIC_ESR	0x280
#define APIC_CMCI	0x2f0
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVTT	0x320
#define APIC_LVT_THERM	0x330
#define APIC_LVTPC	0x340
#define APIC_LVT0	0x350
#define APIC_LVT1	0x360
#define APIC_LVTERR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define APIC_SELF_IPI	0x3f0

#define X2APIC_MSR(reg)	(0x800 + (reg) / 16)

#define SPIV_ENABLE	BIT(8)
#define LVT_MASKED	BIT(16)
#define LVT_PERIODIC	BIT(17)
#define LVT_DEADLINE	BIT(18)
#define LVT_EXTINT	0x700
#define LVT_NMI		0x400
#define TDCR_1		0xb	/* divide by 1, 2, 16, 128 */
#define TDCR_2		0x0
#define TDCR_16		0x3
#define TDCR_128	0xa

#define ICR_FIXED	0x000
#define ICR_LOWEST	0x100
#define ICR_NMI		0x400
#define ICR_INIT	0x500
#define ICR_SIPI	0x600
#define ICR_LOGICAL	BIT(11)
#define ICR_ASSERT	BIT(14)
#define ICR_LEVEL	BIT(15)
#define ICR_SELF	(1ul << 18)
#define ICR_ALL		(2ul << 18)
#define ICR_OTHERS	(3ul << 18)

#define MSR_TSC_DEADLINE	0x6e0
#define APIC_BASE_BSP		BIT(8)
#define APIC_BASE_X2		BIT(10)
#define APIC_BASE_ENABLE	BIT(11)

/*
 * Set by the host (GUEST(vm, guest_x2apic)) before the guest runs: which way
 * the functions below go.
 */
extern bool guest_x2apic;

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (uint64_t)hi << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t val)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)val),
		     "d"((uint32_t)(val >> 32)) : "memory");
}

static inline uint32_t mmio_read32(uint64_t gpa)
{
	uint32_t v;

	asm volatile("movl (%1), %0" : "=r"(v) : "r"(gpa) : "memory");
	return v;
}

static inline void mmio_write32(uint64_t gpa, uint32_t v)
{
	asm volatile("movl %1, (%0)" : : "r"(gpa), "r"(v) : "memory");
}

static inline uint32_t apic_read(uint32_t reg)
{
	return guest_x2apic ? rdmsr(X2APIC_MSR(reg)) : mmio_read32(APIC_GPA + reg);
}

static inline void apic_write(uint32_t reg, uint32_t v)
{
	if (guest_x2apic)
		wrmsr(X2APIC_MSR(reg), v);
	else
		mmio_write32(APIC_GPA + reg, v);
}

/* In xAPIC mode, @dest is shifted to its place. */
static inline void apic_icr(uint32_t dest, uint32_t low)
{
	if (guest_x2apic) {
		wrmsr(X2APIC_MSR(APIC_ICR), (uint64_t)dest << 32 | low);
	} else {
		mmio_write32(APIC_GPA + APIC_ICR2, dest << 24);
		mmio_write32(APIC_GPA + APIC_ICR, low);
	}
}

static inline uint32_t apic_id(void)
{
	uint32_t v = apic_read(APIC_ID);

	return guest_x2apic ? v : v >> 24;
}

/* A bit of ISR, TMR or IRR */
static inline bool apic_bit(uint32_t reg, uint8_t vec)
{
	return apic_read(reg + vec / 32 * 16) >> vec % 32 & 1;
}

static inline void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

/* In the mode guest_x2apic says, enabled by software, spurious vector 0xff */
static inline void apic_enable(void)
{
	if (guest_x2apic)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	apic_write(APIC_SPIV, SPIV_ENABLE | 0xff);
}

static inline void sti(void)
{
	asm volatile("sti; nop" : : : "memory");
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}

/* The usual wait: sleep with interrupts open; closed again after. */
static inline void sti_hlt_cli(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

/* What is pending is taken here. */
static inline void irq_window(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

/* ---- IOAPIC ---------------------------------------------------------------- */

#define IOAPIC_GPA	0xfec00000ul
#define IOAPIC_ID	0
#define IOAPIC_VERSION	1
#define IOAPIC_ARB	2
#define IOAPIC_REDIR(n)	(0x10 + 2 * (n))

#define REDIR_LOWEST	BIT(8)
#define REDIR_NMI	(4ul << 8)
#define REDIR_EXTINT	(7ul << 8)
#define REDIR_LOGICAL	BIT(11)
#define REDIR_PENDING	BIT(12)
#define REDIR_LOW	BIT(13)		/* active low */
#define REDIR_IRR	BIT(14)
#define REDIR_LEVEL	BIT(15)
#define REDIR_MASKED	BIT(16)
#define REDIR_DEST(id)	((uint64_t)(id) << 56)

static inline uint32_t ioapic_read(uint8_t reg)
{
	mmio_write32(IOAPIC_GPA, reg);
	return mmio_read32(IOAPIC_GPA + 0x10);
}

static inline void ioapic_write(uint8_t reg, uint32_t v)
{
	mmio_write32(IOAPIC_GPA, reg);
	mmio_write32(IOAPIC_GPA + 0x10, v);
}

static inline uint64_t ioapic_redir(int pin)
{
	uint64_t hi = ioapic_read(IOAPIC_REDIR(pin) + 1);

	return hi << 32 | ioapic_read(IOAPIC_REDIR(pin));
}

/* Masked while half of it is old */
static inline void ioapic_set_redir(int pin, uint64_t e)
{
	ioapic_write(IOAPIC_REDIR(pin), REDIR_MASKED);
	ioapic_write(IOAPIC_REDIR(pin) + 1, e >> 32);
	ioapic_write(IOAPIC_REDIR(pin), e);
}

/* ---- The two 8259s ----------------------------------------------------------- */

#define PIC1		0x20
#define PIC2		0xa0
#define ELCR1		0x4d0
#define ELCR2		0x4d1
#define OCW2_EOI	0x20
#define OCW2_SEOI(n)	(0x60 | (n))
#define OCW3_IRR	0x0a
#define OCW3_ISR	0x0b
#define OCW3_POLL	0x0c

/* ICW1 to 4: edge, cascaded on 2, vectors @v1 and @v2, @icw4; all unmasked */
static inline void pic_init(uint8_t v1, uint8_t v2, uint8_t icw4)
{
	outb(PIC1, 0x11);
	outb(PIC1 + 1, v1);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, icw4);
	outb(PIC2, 0x11);
	outb(PIC2 + 1, v2);
	outb(PIC2 + 1, 2);
	outb(PIC2 + 1, icw4);
	outb(PIC1 + 1, 0);
	outb(PIC2 + 1, 0);
}

/* OCW3_IRR or OCW3_ISR of the chip at @port */
static inline uint8_t pic_read(uint16_t port, uint8_t ocw3)
{
	outb(port, ocw3);
	return inb(port);
}

static inline void pic_mask(uint16_t m)
{
	outb(PIC1 + 1, m);
	outb(PIC2 + 1, m >> 8);
}

#endif
