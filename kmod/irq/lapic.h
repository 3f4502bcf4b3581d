/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A local APIC, as xAPIC and as x2APIC (SDM vol. 3A, "Advanced Programmable
 * Interrupt Controller"; APM vol. 2, the chapter of that name).
 *
 * Pure logic, no locks, no clock: all calls come from the vCPU's own thread
 * (what others send waits in an inbox, see irqchip.c), except
 * lucid_lapic_match(), which anybody may call and which only reads. Callers
 * give the time in nanoseconds of any monotonic clock.
 */
#ifndef LUCID_IRQ_LAPIC_H
#define LUCID_IRQ_LAPIC_H

#include <linux/kvm.h>
#include <linux/types.h>

#include "ioapic.h"

#define LUCID_APIC_BASE		0xfee00000ull
#define LUCID_NEVER		(~0ull)		/* a time that does not come */
#define LUCID_APIC_VERSION	0x50014		/* 6 LVT entries, 0x14 */

/* Offsets of registers in the page; an x2APIC's MSR is 0x800 + (offset >> 4). */
#define LUCID_APIC_ID		0x020
#define LUCID_APIC_LVR		0x030
#define LUCID_APIC_TPR		0x080
#define LUCID_APIC_APR		0x090
#define LUCID_APIC_PPR		0x0a0
#define LUCID_APIC_EOI		0x0b0
#define LUCID_APIC_RRD		0x0c0
#define LUCID_APIC_LDR		0x0d0
#define LUCID_APIC_DFR		0x0e0
#define LUCID_APIC_SPIV		0x0f0
#define LUCID_APIC_ISR		0x100
#define LUCID_APIC_TMR		0x180
#define LUCID_APIC_IRR		0x200
#define LUCID_APIC_ESR		0x280
#define LUCID_APIC_ICR		0x300
#define LUCID_APIC_ICR2		0x310
#define LUCID_APIC_LVTT		0x320
#define LUCID_APIC_LVTTHMR	0x330
#define LUCID_APIC_LVTPC	0x340
#define LUCID_APIC_LVT0		0x350
#define LUCID_APIC_LVT1		0x360
#define LUCID_APIC_LVTERR	0x370
#define LUCID_APIC_TMICT	0x380
#define LUCID_APIC_TMCCT	0x390
#define LUCID_APIC_TDCR		0x3e0
#define LUCID_APIC_SELF_IPI	0x3f0		/* x2APIC only */

#define LUCID_APIC_LVT_MASKED	(1u << 16)

/* A periodic timer faster than this is slowed down to it: the host has other things to do. */
#define LUCID_APIC_MIN_PERIOD	200000ull	/* ns */

struct lucid_lapic {
	u32 regs[64];		/* register at offset o is regs[o >> 4] */
	u32 id;			/* the vCPU's number: x2APIC id, initial xAPIC id */
	bool bsp;		/* the first CPU */
	bool has_deadline;	/* the guest was told of the TSC-deadline mode */
	bool enabled;		/* APIC_BASE.EN */
	bool x2apic;		/* APIC_BASE.EXTD */
	u32 esr_pending;	/* errors since the last write to ESR */

	/* The timer: at @deadline (ns) it fires; LUCID_NEVER: it is not armed. */
	u64 timer_deadline;
	u64 timer_period;	/* ns, 0: not periodic */
	u64 tsc_deadline;	/* the MSR, as the guest wrote it; 0: disarmed */
};

/* What a write asks the caller to do. */
#define LUCID_APIC_SEND		(1u << 0)	/* an IPI: lucid_lapic_ipi() has it */
#define LUCID_APIC_EOI_SENT	(1u << 1)	/* a level-triggered vector ended: *vector */
#define LUCID_APIC_TIMER	(1u << 2)	/* timer_deadline moved */
#define LUCID_APIC_CHECK	(1u << 3)	/* what can be delivered may have changed */
#define LUCID_APIC_GP		(1u << 4)	/* x2APIC: #GP(0), nothing changed */

/* Power-up and INIT. */
void lucid_lapic_reset(struct lucid_lapic *l, bool init);

/* APIC_BASE was written (and is legal): follow EN and EXTD. */
void lucid_lapic_set_mode(struct lucid_lapic *l, bool enabled, bool x2apic);

/* A register of 32 bits by its offset (multiple of 16). */
u32 lucid_lapic_read(struct lucid_lapic *l, u32 offset, u64 now);
u32 lucid_lapic_write(struct lucid_lapic *l, u32 offset, u32 value, u64 now, u8 *vector);

/* The same for an x2APIC's MSRs 0x800..0x8ff; LUCID_APIC_GP: no such register, or illegal value. */
u32 lucid_lapic_read_msr(struct lucid_lapic *l, u32 msr, u64 now, u64 *value);
u32 lucid_lapic_write_msr(struct lucid_lapic *l, u32 msr, u64 value, u64 now, u8 *vector);

/* After LUCID_APIC_SEND: the IPI. Return: its shorthand, 0 none 1 self 2 all 3 all others. */
unsigned int lucid_lapic_ipi(const struct lucid_lapic *l, struct lucid_irq_msg *msg);

/* Is @dest this one? Any thread. */
bool lucid_lapic_match(const struct lucid_lapic *l, const struct lucid_irq_msg *msg);

/* Fixed interrupts from the inbox. Return: false: it was requested already. */
bool lucid_lapic_accept(struct lucid_lapic *l, u8 vector, bool level);

u32 lucid_lapic_ppr(const struct lucid_lapic *l);
/* The vector that the CPU is to take now; -1: none above PPR. */
int lucid_lapic_pending(const struct lucid_lapic *l);
/* The highest vector in IRR, whatever PPR; -1: none. */
int lucid_lapic_highest_irr(const struct lucid_lapic *l);
/* The CPU takes @vector: IRR to ISR. */
void lucid_lapic_ack(struct lucid_lapic *l, u8 vector);

void lucid_lapic_set_tpr(struct lucid_lapic *l, u8 tpr);
bool lucid_lapic_takes_extint(const struct lucid_lapic *l);	/* INTR of the 8259s */

/* The timer is due at @now: accept its interrupt, move the deadline. Return: LUCID_APIC_*. */
u32 lucid_lapic_timer_due(struct lucid_lapic *l, u64 now);
bool lucid_lapic_tsc_deadline_mode(const struct lucid_lapic *l);

/* KVM_GET_LAPIC, KVM_SET_LAPIC: KVM's page. Any image is safe to set. */
void lucid_lapic_get(struct lucid_lapic *l, struct kvm_lapic_state *s, u64 now);
void lucid_lapic_set(struct lucid_lapic *l, const struct kvm_lapic_state *s, u64 now);

#endif
