// SPDX-License-Identifier: GPL-2.0
/* A local APIC: see lapic.h.  Pure logic. */
#include <linux/string.h>
#include <linux/types.h>

#include "lapic.h"

#define ESR_SEND_ILLEGAL	(1u << 5)
#define ESR_RECEIVE_ILLEGAL	(1u << 6)

#define SPIV_ENABLED		(1u << 8)
#define LVT_VECTOR		0xffu
#define LVT_MODE_SHIFT		8
#define LVT_TIMER_MODE		(3u << 17)
#define LVT_TIMER_PERIODIC	(1u << 17)
#define LVT_TIMER_DEADLINE	(2u << 17)

#define ICR_BUSY		(1u << 12)
#define ICR_LOGICAL		(1u << 11)
#define ICR_ASSERT		(1u << 14)
#define ICR_LEVEL		(1u << 15)

static u32 reg(const struct lucid_lapic *l, u32 offset)
{
	return l->regs[(offset >> 4) & 63];
}

static void set_reg(struct lucid_lapic *l, u32 offset, u32 value)
{
	l->regs[(offset >> 4) & 63] = value;
}

/* ---- 256 bits in eight registers ---------------------------------------------- */

static bool test_vector(const struct lucid_lapic *l, u32 base, u8 vector)
{
	return reg(l, base + (vector >> 5) * 16) >> (vector & 31) & 1;
}

static void put_vector(struct lucid_lapic *l, u32 base, u8 vector, bool on)
{
	u32 *r = &l->regs[((base >> 4) + (vector >> 5)) & 63];

	if (on)
		*r |= 1u << (vector & 31);
	else
		*r &= ~(1u << (vector & 31));
}

static int highest_vector(const struct lucid_lapic *l, u32 base)
{
	int i;

	for (i = 7; i >= 0; i--) {
		u32 r = reg(l, base + i * 16);

		if (r)
			return i * 32 + 31 - __builtin_clz(r);
	}
	return -1;
}

/* ---- the timer ------------------------------------------------------------------ */

bool lucid_lapic_tsc_deadline_mode(const struct lucid_lapic *l)
{
	return (reg(l, LUCID_APIC_LVTT) & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE;
}

static bool timer_periodic(const struct lucid_lapic *l)
{
	return (reg(l, LUCID_APIC_LVTT) & LVT_TIMER_MODE) == LVT_TIMER_PERIODIC;
}

/* The bus clock is 1 GHz, as KVM's: a tick is @divisor ns (SDM, "Divide Configuration Register"). */
static u32 timer_shift(const struct lucid_lapic *l)
{
	u32 tdcr = reg(l, LUCID_APIC_TDCR);

	return (((tdcr & 3) | (tdcr >> 1 & 4)) + 1) & 7;
}

static void timer_start(struct lucid_lapic *l, u64 now)
{
	u64 span = (u64)reg(l, LUCID_APIC_TMICT) << timer_shift(l);

	l->timer_deadline = LUCID_NEVER;
	l->timer_period = 0;
	if (!span || lucid_lapic_tsc_deadline_mode(l))
		return;
	if (timer_periodic(l)) {
		if (span < LUCID_APIC_MIN_PERIOD)
			span = LUCID_APIC_MIN_PERIOD;
		l->timer_period = span;
	}
	l->timer_deadline = now + span;
}

static u32 timer_current(const struct lucid_lapic *l, u64 now)
{
	u64 left;

	if (l->timer_deadline == LUCID_NEVER || lucid_lapic_tsc_deadline_mode(l) ||
	    l->timer_deadline <= now)
		return 0;
	/* Rounded up: an armed timer never reads 0; nor more than what was armed. */
	left = (l->timer_deadline - now + (1u << timer_shift(l)) - 1) >> timer_shift(l);
	return left < reg(l, LUCID_APIC_TMICT) ? left : reg(l, LUCID_APIC_TMICT);
}

/* LVT entry @offset raises its interrupt, if it is not masked. */
static u32 raise_lvt(struct lucid_lapic *l, u32 offset)
{
	u32 lvt = reg(l, offset);

	if (!l->enabled || (lvt & LUCID_APIC_LVT_MASKED))
		return 0;
	if ((lvt & LVT_VECTOR) < 16) {
		l->esr_pending |= ESR_RECEIVE_ILLEGAL;
		return 0;
	}
	lucid_lapic_accept(l, lvt & LVT_VECTOR, false);
	return LUCID_APIC_CHECK;
}

u32 lucid_lapic_timer_due(struct lucid_lapic *l, u64 now)
{
	if (l->timer_deadline > now)
		return LUCID_APIC_TIMER;	/* too early: arm it again */
	if (l->timer_period) {
		/* Periods missed meanwhile are one interrupt: IRR holds no more. */
		l->timer_deadline += ((now - l->timer_deadline) / l->timer_period + 1) *
				     l->timer_period;
	} else {
		l->timer_deadline = LUCID_NEVER;
		l->tsc_deadline = 0;
	}
	return LUCID_APIC_TIMER | raise_lvt(l, LUCID_APIC_LVTT);
}

static u32 raise_error(struct lucid_lapic *l, u32 error)
{
	l->esr_pending |= error;
	return raise_lvt(l, LUCID_APIC_LVTERR);
}

/* ---- interrupts in and out ------------------------------------------------------- */

bool lucid_lapic_accept(struct lucid_lapic *l, u8 vector, bool level)
{
	bool fresh = !test_vector(l, LUCID_APIC_IRR, vector);

	put_vector(l, LUCID_APIC_TMR, vector, level);
	put_vector(l, LUCID_APIC_IRR, vector, true);
	return fresh;
}

int lucid_lapic_highest_irr(const struct lucid_lapic *l)
{
	return highest_vector(l, LUCID_APIC_IRR);
}

/* SDM vol. 3A, "Task and Processor Priorities". */
u32 lucid_lapic_ppr(const struct lucid_lapic *l)
{
	u32 tpr = reg(l, LUCID_APIC_TPR) & 0xff;
	int isr = highest_vector(l, LUCID_APIC_ISR);

	if (isr >= 0 && (tpr & 0xf0) < ((u32)isr & 0xf0))
		return isr & 0xf0;
	return tpr;
}

int lucid_lapic_pending(const struct lucid_lapic *l)
{
	int irr;

	/* Switched off by software it holds what it has, and delivers nothing. */
	if (!l->enabled || !(reg(l, LUCID_APIC_SPIV) & SPIV_ENABLED))
		return -1;
	irr = lucid_lapic_highest_irr(l);
	if (irr < 0 || ((u32)irr & 0xf0) <= (lucid_lapic_ppr(l) & 0xf0))
		return -1;
	return irr;
}

void lucid_lapic_ack(struct lucid_lapic *l, u8 vector)
{
	put_vector(l, LUCID_APIC_IRR, vector, false);
	put_vector(l, LUCID_APIC_ISR, vector, true);
}

static u32 end_of_interrupt(struct lucid_lapic *l, u8 *vector)
{
	int isr = highest_vector(l, LUCID_APIC_ISR);

	if (isr < 0)
		return 0;
	put_vector(l, LUCID_APIC_ISR, isr, false);
	*vector = isr;
	return LUCID_APIC_CHECK |
	       (test_vector(l, LUCID_APIC_TMR, isr) ? LUCID_APIC_EOI_SENT : 0);
}

void lucid_lapic_set_tpr(struct lucid_lapic *l, u8 tpr)
{
	set_reg(l, LUCID_APIC_TPR, tpr);
}

bool lucid_lapic_takes_extint(const struct lucid_lapic *l)
{
	u32 lvt0 = reg(l, LUCID_APIC_LVT0);

	return !l->enabled ||
	       (!(lvt0 & LUCID_APIC_LVT_MASKED) && (lvt0 >> LVT_MODE_SHIFT & 7) == LUCID_IRQ_EXTINT);
}

static bool match_logical(const struct lucid_lapic *l, const struct lucid_irq_msg *msg)
{
	u32 ldr = reg(l, LUCID_APIC_LDR), dest = msg->dest;

	if (l->x2apic) {
		/* SDM vol. 3A, "Logical Destination Mode in x2APIC Mode": cluster, bit. */
		return dest == 0xffffffff ||
		       ((ldr >> 16) == (dest >> 16) && (ldr & dest & 0xffff));
	}
	ldr >>= 24;
	dest &= 0xff;
	if (dest == 0xff)
		return true;
	if (reg(l, LUCID_APIC_DFR) >> 28 == 0xf)
		return ldr & dest;
	if (reg(l, LUCID_APIC_DFR) >> 28)
		return false;	/* no such model */
	return (ldr >> 4) == (dest >> 4) && (ldr & dest & 0xf);
}

bool lucid_lapic_match(const struct lucid_lapic *l, const struct lucid_irq_msg *msg)
{
	if (!l->enabled)
		return false;
	if (msg->dest == (msg->x2apic ? 0xffffffffu : 0xffu))
		return true;
	if (msg->logical)
		return match_logical(l, msg);
	return msg->dest == (l->x2apic ? l->id : reg(l, LUCID_APIC_ID) >> 24);
}

unsigned int lucid_lapic_ipi(const struct lucid_lapic *l, struct lucid_irq_msg *msg)
{
	u32 icr = reg(l, LUCID_APIC_ICR), icr2 = reg(l, LUCID_APIC_ICR2);

	msg->dest = l->x2apic ? icr2 : icr2 >> 24;
	msg->x2apic = l->x2apic;
	msg->logical = icr & ICR_LOGICAL;
	msg->level = icr & ICR_LEVEL;
	msg->assert = icr & ICR_ASSERT;
	msg->mode = icr >> LVT_MODE_SHIFT & 7;
	msg->vector = icr;
	return icr >> 18 & 3;
}

static u32 send_ipi(struct lucid_lapic *l)
{
	u32 icr = reg(l, LUCID_APIC_ICR), mode = icr >> LVT_MODE_SHIFT & 7;

	if ((mode == LUCID_IRQ_FIXED || mode == LUCID_IRQ_LOWEST) && (icr & 0xff) < 16)
		return raise_error(l, ESR_SEND_ILLEGAL);
	return LUCID_APIC_SEND;
}

/* ---- registers -------------------------------------------------------------------- */

/* Bits of an LVT entry that software may set. */
static u32 lvt_bits(const struct lucid_lapic *l, u32 offset)
{
	switch (offset) {
	case LUCID_APIC_LVTT:
		return LVT_VECTOR | LUCID_APIC_LVT_MASKED |
		       (l->has_deadline ? LVT_TIMER_MODE : LVT_TIMER_PERIODIC);
	case LUCID_APIC_LVTTHMR:
	case LUCID_APIC_LVTPC:
		return LVT_VECTOR | LUCID_APIC_LVT_MASKED | 0x700;
	case LUCID_APIC_LVT0:
	case LUCID_APIC_LVT1:
		return LVT_VECTOR | LUCID_APIC_LVT_MASKED | 0x700 | 0xa000;
	case LUCID_APIC_LVTERR:
		return LVT_VECTOR | LUCID_APIC_LVT_MASKED;
	}
	return 0;
}

static u32 write_lvt(struct lucid_lapic *l, u32 offset, u32 value)
{
	u32 mode = reg(l, LUCID_APIC_LVTT) & LVT_TIMER_MODE;

	value &= lvt_bits(l, offset);
	/* SDM vol. 3A, "Local Vector Table": masked while the APIC is off. */
	if (!(reg(l, LUCID_APIC_SPIV) & SPIV_ENABLED))
		value |= LUCID_APIC_LVT_MASKED;
	set_reg(l, offset, value);
	if (offset != LUCID_APIC_LVTT)
		return LUCID_APIC_CHECK;	/* LINT0 may let the 8259s through */
	/* Another mode disarms it, to or from the deadline at any rate. */
	if (mode != (value & LVT_TIMER_MODE)) {
		if ((mode | value) & LVT_TIMER_DEADLINE) {
			set_reg(l, LUCID_APIC_TMICT, 0);
			l->tsc_deadline = 0;
			l->timer_deadline = LUCID_NEVER;
			l->timer_period = 0;
			return LUCID_APIC_TIMER;
		}
		l->timer_period = 0;
		if (timer_periodic(l)) {
			l->timer_period = (u64)reg(l, LUCID_APIC_TMICT) << timer_shift(l);
			if (l->timer_period && l->timer_period < LUCID_APIC_MIN_PERIOD)
				l->timer_period = LUCID_APIC_MIN_PERIOD;
		}
	}
	return 0;
}

static void write_spiv(struct lucid_lapic *l, u32 value)
{
	u32 offset;

	set_reg(l, LUCID_APIC_SPIV, value & 0x3ff);
	if (value & SPIV_ENABLED)
		return;
	for (offset = LUCID_APIC_LVTT; offset <= LUCID_APIC_LVTERR; offset += 16)
		set_reg(l, offset, reg(l, offset) | LUCID_APIC_LVT_MASKED);
}

u32 lucid_lapic_read(struct lucid_lapic *l, u32 offset, u64 now)
{
	switch (offset) {
	case LUCID_APIC_TMCCT:
		return timer_current(l, now);
	case LUCID_APIC_PPR:
		return lucid_lapic_ppr(l);
	case LUCID_APIC_ID:
		return l->x2apic ? l->id : reg(l, offset);
	case LUCID_APIC_APR:
	case LUCID_APIC_EOI:
	case LUCID_APIC_RRD:
	case LUCID_APIC_SELF_IPI:
		return 0;
	}
	return reg(l, offset);
}

u32 lucid_lapic_write(struct lucid_lapic *l, u32 offset, u32 value, u64 now, u8 *vector)
{
	u64 left;

	switch (offset) {
	case LUCID_APIC_ID:
		if (!l->x2apic)
			set_reg(l, offset, value & 0xff000000);
		return 0;
	case LUCID_APIC_TPR:
		set_reg(l, offset, value & 0xff);
		return LUCID_APIC_CHECK;
	case LUCID_APIC_EOI:
		return end_of_interrupt(l, vector);
	case LUCID_APIC_LDR:
		if (!l->x2apic)
			set_reg(l, offset, value & 0xff000000);
		return 0;
	case LUCID_APIC_DFR:
		if (!l->x2apic)
			set_reg(l, offset, value | 0x0fffffff);
		return 0;
	case LUCID_APIC_SPIV:
		write_spiv(l, value);
		return LUCID_APIC_CHECK;
	case LUCID_APIC_ESR:
		/* Written first, read then: what has come since the last write. */
		set_reg(l, offset, l->esr_pending);
		l->esr_pending = 0;
		return 0;
	case LUCID_APIC_ICR:
		set_reg(l, offset, value & ~ICR_BUSY & 0xcdfff);
		return send_ipi(l);
	case LUCID_APIC_ICR2:
		set_reg(l, offset, l->x2apic ? value : value & 0xff000000);
		return 0;
	case LUCID_APIC_LVTT:
	case LUCID_APIC_LVTTHMR:
	case LUCID_APIC_LVTPC:
	case LUCID_APIC_LVT0:
	case LUCID_APIC_LVT1:
	case LUCID_APIC_LVTERR:
		return write_lvt(l, offset, value);
	case LUCID_APIC_TMICT:
		if (lucid_lapic_tsc_deadline_mode(l))
			return 0;
		set_reg(l, offset, value);
		timer_start(l, now);
		return LUCID_APIC_TIMER;
	case LUCID_APIC_TDCR:
		left = timer_current(l, now);
		set_reg(l, offset, value & 0xb);
		if (l->timer_deadline == LUCID_NEVER || lucid_lapic_tsc_deadline_mode(l))
			return 0;
		/* What is left counts on at the new rate. */
		l->timer_deadline = now + (left << timer_shift(l));
		if (l->timer_period) {
			l->timer_period = (u64)reg(l, LUCID_APIC_TMICT) << timer_shift(l);
			if (l->timer_period < LUCID_APIC_MIN_PERIOD)
				l->timer_period = LUCID_APIC_MIN_PERIOD;
		}
		return LUCID_APIC_TIMER;
	}
	return 0;
}

/* Which registers an x2APIC has (SDM vol. 3A, "x2APIC Register Address Space"). */
static bool x2apic_readable(u32 offset)
{
	switch (offset) {
	case LUCID_APIC_ID:
	case LUCID_APIC_LVR:
	case LUCID_APIC_TPR:
	case LUCID_APIC_PPR:
	case LUCID_APIC_LDR:
	case LUCID_APIC_SPIV:
	case LUCID_APIC_ISR ... LUCID_APIC_ESR:
	case LUCID_APIC_ICR:
	case LUCID_APIC_LVTT ... LUCID_APIC_LVTERR:
	case LUCID_APIC_TMICT:
	case LUCID_APIC_TMCCT:
	case LUCID_APIC_TDCR:
		return true;
	}
	return false;
}

/* Bits that may be written; 0: it is read-only, or there is none. */
static u64 x2apic_writable(const struct lucid_lapic *l, u32 offset)
{
	switch (offset) {
	case LUCID_APIC_TPR:
	case LUCID_APIC_SELF_IPI:
		return 0xff;
	case LUCID_APIC_SPIV:
		return 0x3ff;
	case LUCID_APIC_ICR:
		return 0xffffffff000cdfffull;
	case LUCID_APIC_LVTT ... LUCID_APIC_LVTERR:
		/*
		 * A mode that is not there is dropped, not refused, as KVM does; so
		 * are the read-only bits, delivery status and the LINTs' remote IRR
		 * (Linux sets that when it switches off).
		 */
		return lvt_bits(l, offset) | 0x1000 |
		       (offset == LUCID_APIC_LVTT ? LVT_TIMER_MODE : 0) |
		       (offset == LUCID_APIC_LVT0 || offset == LUCID_APIC_LVT1 ? 0x4000 : 0);
	case LUCID_APIC_TMICT:
		return 0xffffffff;
	case LUCID_APIC_TDCR:
		return 0xb;
	}
	return 0;
}

u32 lucid_lapic_read_msr(struct lucid_lapic *l, u32 msr, u64 now, u64 *value)
{
	u32 offset = (msr & 0xff) << 4;

	if (!l->enabled || !l->x2apic || offset > LUCID_APIC_SELF_IPI || !x2apic_readable(offset))
		return LUCID_APIC_GP;
	*value = lucid_lapic_read(l, offset, now);
	if (offset == LUCID_APIC_ICR)
		*value |= (u64)reg(l, LUCID_APIC_ICR2) << 32;
	return 0;
}

u32 lucid_lapic_write_msr(struct lucid_lapic *l, u32 msr, u64 value, u64 now, u8 *vector)
{
	u32 offset = (msr & 0xff) << 4;

	if (!l->enabled || !l->x2apic || offset > LUCID_APIC_SELF_IPI)
		return LUCID_APIC_GP;
	/* EOI and ESR take zero only. */
	if (offset == LUCID_APIC_EOI || offset == LUCID_APIC_ESR) {
		if (value)
			return LUCID_APIC_GP;
	} else if (!x2apic_writable(l, offset) || (value & ~x2apic_writable(l, offset))) {
		return LUCID_APIC_GP;
	}
	if (offset == LUCID_APIC_SELF_IPI) {
		/* As an ICR of fixed mode, edge, to self. */
		if ((value & 0xff) < 16)
			return raise_error(l, ESR_SEND_ILLEGAL);
		lucid_lapic_accept(l, value & 0xff, false);
		return LUCID_APIC_CHECK;
	}
	if (offset == LUCID_APIC_ICR)
		set_reg(l, LUCID_APIC_ICR2, value >> 32);
	return lucid_lapic_write(l, offset, value, now, vector);
}

/* ---- birth, modes, images ------------------------------------------------------------ */

static u32 x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

void lucid_lapic_reset(struct lucid_lapic *l, bool init)
{
	u32 offset, i;

	/*
	 * INIT keeps the ID (SDM vol. 3A, "Local APIC State After It Receives an
	 * INIT"), at every moment: a SIPI close behind asks for it already.
	 */
	for (i = 0; i < 64; i++)
		if (i != LUCID_APIC_ID >> 4)
			l->regs[i] = 0;
	if (!init) {
		l->enabled = true;
		l->x2apic = false;
		set_reg(l, LUCID_APIC_ID, l->id << 24);
	}
	set_reg(l, LUCID_APIC_LVR, LUCID_APIC_VERSION);
	set_reg(l, LUCID_APIC_DFR, 0xffffffff);
	set_reg(l, LUCID_APIC_SPIV, 0xff);
	for (offset = LUCID_APIC_LVTT; offset <= LUCID_APIC_LVTERR; offset += 16)
		set_reg(l, offset, LUCID_APIC_LVT_MASKED);
	/* The BSP's LINT0 lets the 8259s through, as firmware leaves it and KVM does. */
	if (l->bsp)
		set_reg(l, LUCID_APIC_LVT0, LUCID_IRQ_EXTINT << LVT_MODE_SHIFT);
	if (l->x2apic)
		set_reg(l, LUCID_APIC_LDR, x2apic_ldr(l->id));
	l->esr_pending = 0;
	l->timer_deadline = LUCID_NEVER;
	l->timer_period = 0;
	l->tsc_deadline = 0;
}

void lucid_lapic_set_mode(struct lucid_lapic *l, bool enabled, bool x2apic)
{
	bool was_x2apic = l->x2apic, was = l->enabled;

	l->enabled = enabled;
	l->x2apic = enabled && x2apic;
	if (l->x2apic && !was_x2apic)
		set_reg(l, LUCID_APIC_LDR, x2apic_ldr(l->id));
	if (was && !enabled) {
		/* Off: as after power-up when it comes back. */
		lucid_lapic_reset(l, true);
		set_reg(l, LUCID_APIC_ID, l->id << 24);
		set_reg(l, LUCID_APIC_LDR, 0);
	}
}

void lucid_lapic_get(struct lucid_lapic *l, struct kvm_lapic_state *s, u64 now)
{
	u32 i, value;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 64; i++) {
		value = lucid_lapic_read(l, i << 4, now);
		memcpy(s->regs + i * 16, &value, 4);
	}
	/* KVM's image has the ID in its xAPIC place, unless KVM_CAP_X2APIC_API says so. */
	value = l->x2apic ? l->id << 24 : reg(l, LUCID_APIC_ID);
	memcpy(s->regs + LUCID_APIC_ID, &value, 4);
}

void lucid_lapic_set(struct lucid_lapic *l, const struct kvm_lapic_state *s, u64 now)
{
	u32 i, value, current_count;

	for (i = 0; i < 64; i++) {
		memcpy(&value, s->regs + i * 16, 4);
		l->regs[i] = value;
	}
	/* Vectors below 16 cannot be requested or served. */
	l->regs[LUCID_APIC_ISR >> 4] &= 0xffff0000;
	l->regs[LUCID_APIC_IRR >> 4] &= 0xffff0000;
	set_reg(l, LUCID_APIC_TPR, reg(l, LUCID_APIC_TPR) & 0xff);
	set_reg(l, LUCID_APIC_LVR, LUCID_APIC_VERSION);
	set_reg(l, LUCID_APIC_SPIV, reg(l, LUCID_APIC_SPIV) & 0x3ff);
	set_reg(l, LUCID_APIC_TDCR, reg(l, LUCID_APIC_TDCR) & 0xb);
	for (i = LUCID_APIC_LVTT; i <= LUCID_APIC_LVTERR; i += 16)
		set_reg(l, i, reg(l, i) & lvt_bits(l, i));
	set_reg(l, LUCID_APIC_ID, reg(l, LUCID_APIC_ID) & 0xff000000);
	if (l->x2apic)
		set_reg(l, LUCID_APIC_LDR, x2apic_ldr(l->id));
	else
		set_reg(l, LUCID_APIC_LDR, reg(l, LUCID_APIC_LDR) & 0xff000000);
	l->esr_pending = 0;

	/* The timer goes on where the image says that it was. */
	current_count = reg(l, LUCID_APIC_TMCCT);
	if (lucid_lapic_tsc_deadline_mode(l)) {
		/* Userspace sets the MSR after this. */
		l->timer_deadline = LUCID_NEVER;
		l->timer_period = 0;
		l->tsc_deadline = 0;
		return;
	}
	timer_start(l, now);
	if (l->timer_deadline != LUCID_NEVER && current_count && current_count <= reg(l, LUCID_APIC_TMICT))
		l->timer_deadline = now + ((u64)current_count << timer_shift(l));
	else if (!current_count && !l->timer_period)
		l->timer_deadline = LUCID_NEVER;
}
