// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC (kmod/irq/lapic.c): what the manuals say, then random programs
 * against a model of three sets of vectors, and a timer against arithmetic.
 */
#include <string.h>

#include "lapic.h"
#include "tap.h"

#define SVR_ENABLED	0x100
#define NO_TIME		(~0ull)
#define PERIODIC	(1u << 17)
#define DEADLINE	(2u << 17)
#define NELEM(a)	(sizeof(a) / sizeof((a)[0]))

static struct lucid_lapic apic;
static u8 ended;

static u32 wr(u32 offset, u32 value)
{
	return lucid_lapic_write(&apic, offset, value, 0, &ended);
}

static u32 rd(u32 offset)
{
	return lucid_lapic_read(&apic, offset, 0);
}

static u32 wrmsr(u32 msr, u64 value)
{
	return lucid_lapic_write_msr(&apic, msr, value, 0, &ended);
}

/* A CPU as firmware hands it over: enabled, nothing masked by priority. */
static void fresh(u32 id, bool x2apic)
{
	memset(&apic, 0, sizeof(apic));
	apic.id = id;
	apic.has_deadline = true;
	lucid_lapic_reset(&apic, false);
	if (x2apic)
		lucid_lapic_set_mode(&apic, true, true);
	wr(LUCID_APIC_SPIV, SVR_ENABLED | 0xff);
}

static void test_reset(void)
{
	u32 o, lvt = 0;

	memset(apic.regs, 0x5a, sizeof(apic.regs));
	apic.id = 3;
	apic.bsp = false;
	apic.has_deadline = false;
	apic.enabled = false;
	apic.x2apic = false;
	lucid_lapic_reset(&apic, false);
	for (o = LUCID_APIC_LVTT; o <= LUCID_APIC_LVTERR; o += 16)
		lvt += rd(o) == LUCID_APIC_LVT_MASKED;
	tap_ok(rd(LUCID_APIC_ID) == 3u << 24 && rd(LUCID_APIC_LVR) == 0x50014 && rd(LUCID_APIC_SPIV) == 0xff &&
	       rd(LUCID_APIC_DFR) == ~0u && !rd(LUCID_APIC_LDR) && !rd(LUCID_APIC_TPR) && lvt == 6 &&
	       !rd(LUCID_APIC_TMICT) && !rd(LUCID_APIC_TDCR) && apic.enabled && !apic.x2apic,
	       "power-up: what the manual's list says");
	tap_ok(apic.timer_deadline == NO_TIME && lucid_lapic_highest_irr(&apic) < 0 &&
	       !lucid_lapic_takes_extint(&apic), "power-up: nothing runs, nothing is requested");
	apic.bsp = true;
	lucid_lapic_reset(&apic, false);
	tap_ok(rd(LUCID_APIC_LVT0) == 0x700 && lucid_lapic_takes_extint(&apic),
	       "the first CPU listens to the 8259s");
	wr(LUCID_APIC_ID, 0x55000000);
	wr(LUCID_APIC_SPIV, 0x1ff);
	lucid_lapic_accept(&apic, 0x40, true);
	lucid_lapic_reset(&apic, true);
	tap_ok(rd(LUCID_APIC_ID) == 0x55000000 && rd(LUCID_APIC_SPIV) == 0xff &&
	       lucid_lapic_highest_irr(&apic) < 0, "INIT: the same, but the ID stays");
	fresh(0x12345, true);
	lucid_lapic_reset(&apic, true);
	tap_ok(apic.x2apic && rd(LUCID_APIC_ID) == 0x12345 && rd(LUCID_APIC_LDR) == (0x1234 << 16 | 1 << 5),
	       "x2APIC: ID and logical ID, also after INIT");
	lucid_lapic_set_mode(&apic, false, false);
	tap_ok(lucid_lapic_takes_extint(&apic) && lucid_lapic_pending(&apic) < 0, "off: INTR goes straight in");
}

static void test_registers(void)
{
	fresh(0, false);
	wr(LUCID_APIC_TPR, ~0u);
	wr(LUCID_APIC_LDR, ~0u);
	wr(LUCID_APIC_DFR, 0);
	tap_ok(rd(LUCID_APIC_TPR) == 0xff && rd(LUCID_APIC_LDR) == 0xff000000 && rd(LUCID_APIC_DFR) == 0x0fffffff,
	       "TPR, LDR and DFR hold the bits that they have");
	wr(LUCID_APIC_LVR, ~0u);
	wr(LUCID_APIC_ISR, ~0u);
	wr(LUCID_APIC_IRR, ~0u);
	wr(LUCID_APIC_PPR, ~0u);
	wr(LUCID_APIC_TMCCT, ~0u);
	tap_ok(rd(LUCID_APIC_LVR) == 0x50014 && !rd(LUCID_APIC_ISR) && !rd(LUCID_APIC_IRR) && !rd(LUCID_APIC_TMCCT),
	       "read-only registers");
	wr(LUCID_APIC_LVT1, 0x400);
	wr(LUCID_APIC_SPIV, 0xff);
	tap_ok(rd(LUCID_APIC_LVT1) == (0x400 | LUCID_APIC_LVT_MASKED), "switched off by software: LVT is masked");
	wr(LUCID_APIC_LVT1, 0x400);
	tap_ok(rd(LUCID_APIC_LVT1) & LUCID_APIC_LVT_MASKED, "and stays masked");
	lucid_lapic_accept(&apic, 0x40, false);
	tap_ok(lucid_lapic_pending(&apic) < 0 && lucid_lapic_highest_irr(&apic) == 0x40,
	       "what is requested is kept, and not delivered");

	fresh(0, false);
	wr(LUCID_APIC_LVTERR, 0x45);
	tap_ok(!(wr(LUCID_APIC_ICR, 0x4005) & LUCID_APIC_SEND) && lucid_lapic_pending(&apic) == 0x45,
	       "an IPI of vector 5: not sent, an error");
	tap_ok(!rd(LUCID_APIC_ESR), "ESR: not before it is written");
	wr(LUCID_APIC_ESR, 0);
	tap_ok(rd(LUCID_APIC_ESR) == 0x20, "then it says illegal vector sent");
	wr(LUCID_APIC_ESR, 0);
	tap_ok(!rd(LUCID_APIC_ESR), "and is empty again");
	wr(LUCID_APIC_LVTERR, 0x05);
	wr(LUCID_APIC_ICR, 0x4005);
	tap_ok(lucid_lapic_pending(&apic) == 0x45, "an error entry with an illegal vector ends there");
}

static void test_ipi(void)
{
	struct lucid_irq_msg m;
	u32 i, wrong = 0;

	fresh(0, false);
	for (i = 0; i < 100000; i++) {
		u32 icr = rnd(), icr2 = rnd(), mode = icr >> 8 & 7;
		unsigned int shorthand;

		wr(LUCID_APIC_ICR2, icr2);
		if (!(wr(LUCID_APIC_ICR, icr) & LUCID_APIC_SEND)) {
			wrong += mode > 1 || (icr & 0xff) >= 16;
			continue;
		}
		wrong += mode <= 1 && (icr & 0xff) < 16;
		shorthand = lucid_lapic_ipi(&apic, &m);
		wrong += shorthand != (icr >> 18 & 3) || m.dest != icr2 >> 24 || m.mode != mode || m.x2apic ||
			 m.vector != (icr & 0xff) || m.logical != (icr >> 11 & 1) ||
			 m.assert != (icr >> 14 & 1) || m.level != (icr >> 15 & 1);
		wrong += rd(LUCID_APIC_ICR) & 0x1000;
	}
	tap_ok(!wrong, "ICR: each field in its place; delivery status is always idle");

	fresh(0, true);
	tap_ok(wrmsr(0x830, 0x1234567800004041ull) == LUCID_APIC_SEND && !lucid_lapic_ipi(&apic, &m) &&
	       m.dest == 0x12345678 && m.x2apic && m.vector == 0x41, "x2APIC: ICR in one write");
	tap_ok(wrmsr(0x83f, 0x77) == LUCID_APIC_CHECK && lucid_lapic_pending(&apic) == 0x77, "x2APIC: self IPI");
}

/* Destinations, by SDM vol. 3A, "Determining IPI Destination". */
static bool meant(u32 id, u32 ldr, u32 dfr, bool x2apic, const struct lucid_irq_msg *m)
{
	if (m->dest == (m->x2apic ? ~0u : 0xff))
		return true;
	if (!m->logical)
		return m->dest == id;
	if (x2apic)
		return ldr >> 16 == m->dest >> 16 && (ldr & m->dest & 0xffff);
	if (m->dest > 0xff)
		return false;
	if (dfr >> 28 == 0xf)
		return ldr >> 24 & m->dest;
	return ldr >> 28 == m->dest >> 4 && (ldr >> 24 & m->dest & 0xf);
}

static void test_match(void)
{
	u32 i, wrong = 0, hits = 0;

	for (i = 0; i < 1000000; i++) {
		bool x2apic = rnd() & 1;
		u32 id = rnd_below(x2apic ? 1000 : 255), ldr, dfr = rnd() & 1 ? 0xffffffff : 0x0fffffff;
		struct lucid_irq_msg m = { .logical = rnd() & 1, .x2apic = x2apic };

		if (!(i % 64) || x2apic != apic.x2apic)
			fresh(id, x2apic);
		id = apic.id;
		wr(LUCID_APIC_LDR, rnd());
		wr(LUCID_APIC_DFR, dfr);
		ldr = rd(LUCID_APIC_LDR);
		m.dest = x2apic ? (rnd() & 1 ? ldr ^ (rnd() & rnd() & rnd() & 0xfffff) : rnd_below(1000)) : rnd() & 0xff;
		if (!rnd_below(16))
			m.dest = rnd() & 1 ? id : x2apic ? ~0u : 0xff;
		/* A device's message has eight bits, whoever listens. */
		if (!rnd_below(4)) {
			m.x2apic = false;
			m.dest &= 0xff;
		}
		hits += meant(id, ldr, rd(LUCID_APIC_DFR), x2apic, &m);
		wrong += lucid_lapic_match(&apic, &m) != meant(id, ldr, rd(LUCID_APIC_DFR), x2apic, &m);
	}
	tap_ok(!wrong && hits > 10000, "a million destinations, %u here (%u wrong)", hits, wrong);
	fresh(1, false);
	lucid_lapic_set_mode(&apic, false, false);
	tap_ok(!lucid_lapic_match(&apic, &(struct lucid_irq_msg){ .dest = 1 }) &&
	       !lucid_lapic_match(&apic, &(struct lucid_irq_msg){ .dest = 0xff }), "off: nothing is meant for it");
}

/* ---- x2APIC: which MSRs there are, and their bits ---------------------------- */

enum { R = 1, W = 2 };

static const struct {
	u32 first, last, access;
	u64 legal, unclear;	/* bits that may be set; bits that parts differ in */
} msrs[] = {
	{ 0x802, 0x803, R, 0, 0 },
	{ 0x808, 0x808, R | W, 0xff, 0 },
	{ 0x80a, 0x80a, R, 0, 0 },
	{ 0x80b, 0x80b, W, 0, 0 },
	{ 0x80d, 0x80d, R, 0, 0 },
	{ 0x80f, 0x80f, R | W, 0x1ff, 0x200 },
	{ 0x810, 0x827, R, 0, 0 },
	{ 0x828, 0x828, R | W, 0, 0 },
	{ 0x830, 0x830, R | W, 0xffffffff000ccfffull, 0x1000 },
	{ 0x832, 0x832, R | W, 0x700ff, 0x1000 },
	{ 0x833, 0x834, R | W, 0x107ff, 0x1000 },
	{ 0x835, 0x836, R | W, 0x1a7ff, 0x5000 },
	{ 0x837, 0x837, R | W, 0x100ff, 0x1000 },
	{ 0x838, 0x838, R | W, 0xffffffff, 0 },
	{ 0x839, 0x839, R, 0, 0 },
	{ 0x83e, 0x83e, R | W, 0xb, 0 },
	{ 0x83f, 0x83f, W, 0xff, 0 },
};

static void test_x2apic(void)
{
	u32 msr, bit, i, wrong = 0, changed = 0;
	struct lucid_lapic was;
	u64 value;

	for (msr = 0x800; msr < 0x900; msr++) {
		u32 access = 0;
		u64 legal = 0, unclear = 0;

		for (i = 0; i < NELEM(msrs); i++) {
			if (msr >= msrs[i].first && msr <= msrs[i].last) {
				access = msrs[i].access;
				legal = msrs[i].legal;
				unclear = msrs[i].unclear;
			}
		}
		fresh(5, true);
		if (lucid_lapic_read_msr(&apic, msr, 0, &value) != (access & R ? 0 : LUCID_APIC_GP)) {
			tap_diag("MSR %x: read", msr);
			wrong++;
		}
		was = apic;
		if (!(wrmsr(msr, 0) & LUCID_APIC_GP) != !!(access & W)) {
			tap_diag("MSR %x: write", msr);
			wrong++;
		}
		if (!(access & W))
			changed += memcmp(&was, &apic, sizeof(was)) != 0;
		for (bit = 0; bit < 64; bit++) {
			if (unclear >> bit & 1)
				continue;
			fresh(5, true);
			was = apic;
			value = 1ull << bit;
			if (!(wrmsr(msr, value) & LUCID_APIC_GP) != ((access & W) && (legal & value))) {
				tap_diag("MSR %x: bit %u", msr, bit);
				wrong++;
			}
			if (!(access & W) || !(legal & value))
				changed += memcmp(&was, &apic, sizeof(was)) != 0;
		}
	}
	tap_ok(!wrong, "x2APIC: the registers that there are, #GP for reserved bits");
	tap_ok(!changed, "x2APIC: a #GP changes nothing");
	fresh(5, false);
	tap_ok(wrmsr(0x808, 0) == LUCID_APIC_GP && lucid_lapic_read_msr(&apic, 0x808, 0, &value) == LUCID_APIC_GP,
	       "an xAPIC has none of the MSRs");
	/* What Linux writes when it switches off. */
	fresh(5, true);
	tap_ok(!(wrmsr(0x835, 0x5700) & LUCID_APIC_GP) && rd(LUCID_APIC_LVT0) == 0x700,
	       "x2APIC: LVT0 drops its read-only bits");
}

/* ---- vectors ------------------------------------------------------------------- */

static u64 violations, steps, taken, ends, restores, fired;
static bool irr[256], isr[256], tmr[256];

static void violation(const char *what)
{
	if (violations++ < 5)
		tap_diag("step %llu: %s", (unsigned long long)steps, what);
}

static int top(const bool *set)
{
	int i;

	for (i = 255; i >= 0 && !set[i]; i--)
		;
	return i;
}

static u32 expected_ppr(u32 tpr)
{
	int serving = top(isr);

	if (serving >= 0 && serving / 16 > (int)tpr / 16)
		return serving / 16 * 16;
	return tpr;
}

static void compare_sets(void)
{
	int i;

	for (i = 0; i < 256; i++) {
		u32 at = i / 32 * 16, bit = 1u << (i % 32);

		if (!!(rd(LUCID_APIC_IRR + at) & bit) != irr[i])
			violation("IRR");
		if (!!(rd(LUCID_APIC_ISR + at) & bit) != isr[i])
			violation("ISR");
		if (irr[i] && !!(rd(LUCID_APIC_TMR + at) & bit) != tmr[i])
			violation("TMR");
	}
}

/* A client's save and restore, in place: the model goes on with what comes back. */
static void restore(void)
{
	struct kvm_lapic_state s, again;
	struct lucid_lapic was = apic;

	lucid_lapic_get(&apic, &s, 0);
	apic = (struct lucid_lapic) {
		.id = was.id, .bsp = was.bsp, .has_deadline = was.has_deadline,
		.enabled = was.enabled, .x2apic = was.x2apic,
	};
	memset(apic.regs, 0xff, sizeof(apic.regs));
	lucid_lapic_set(&apic, &s, 0);
	lucid_lapic_get(&apic, &again, 0);
	if (memcmp(&s, &again, sizeof(s)))
		violation("the image of what an image made");
	restores++;
}

static void random_vectors(u64 n, bool x2apic)
{
	bool on = true;
	u32 tpr = 0, r;
	int v, best;

	fresh(7, x2apic);
	memset(irr, 0, sizeof(irr));
	memset(isr, 0, sizeof(isr));
	memset(tmr, 0, sizeof(tmr));
	for (steps = 0; steps < n; steps++) {
		u32 dice = rnd_below(1000);
		bool level = rnd() & 1;

		if (dice < 350) {
			v = 16 + rnd_below(240);
			if (lucid_lapic_accept(&apic, v, level) == irr[v])
				violation("accept: was it requested already?");
			irr[v] = true;
			tmr[v] = level;
		} else if (dice < 600) {
			best = top(irr);
			if (!on || best / 16 <= (int)expected_ppr(tpr) / 16)
				best = -1;
			v = lucid_lapic_pending(&apic);
			if (v != best)
				violation("not the highest that is above PPR");
			if (v < 0)
				continue;
			lucid_lapic_ack(&apic, v);
			irr[v] = false;
			isr[v] = true;
			taken++;
		} else if (dice < 850) {
			best = top(isr);
			ended = 0;
			r = x2apic ? wrmsr(0x80b, 0) : wr(LUCID_APIC_EOI, rnd());
			if (best >= 0) {
				if (!!(r & LUCID_APIC_EOI_SENT) != tmr[best])
					violation("EOI: is it broadcast?");
				if ((r & LUCID_APIC_EOI_SENT) && ended != best)
					violation("EOI: not the highest in service");
				isr[best] = false;
				ends++;
			} else if (r & LUCID_APIC_EOI_SENT) {
				violation("EOI: of nothing");
			}
		} else if (dice < 950) {
			tpr = rnd() & rnd() & 0xff;
			if (x2apic)
				wrmsr(0x808, tpr);
			else if (rnd() & 1)
				wr(LUCID_APIC_TPR, tpr);
			else
				lucid_lapic_set_tpr(&apic, tpr);
		} else if (dice < 960) {
			on = rnd_below(4);
			wr(LUCID_APIC_SPIV, on ? 0x1ff : 0xff);
		} else if (dice < 980) {
			restore();
		} else {
			compare_sets();
		}
		if (lucid_lapic_ppr(&apic) != expected_ppr(tpr) || lucid_lapic_highest_irr(&apic) != top(irr))
			violation("PPR, or the highest in IRR");
	}
	compare_sets();
	tap_ok(!violations && taken > n / 100 && ends > n / 100,
	       "%s: %llu random steps: %llu taken, %llu ended, %llu restores: highest first, PPR, EOI, TMR",
	       x2apic ? "x2APIC" : "xAPIC", (unsigned long long)n, (unsigned long long)taken,
	       (unsigned long long)ends, (unsigned long long)restores);
}

/* ---- the timer ----------------------------------------------------------------- */

static u32 divisor(u32 tdcr)
{
	static const u8 by[] = { 2, 4, 8, 16, 32, 64, 128, 1 };

	return by[(tdcr & 3) | (tdcr & 8) >> 1];
}

static u32 wr_at(u32 offset, u32 value, u64 now)
{
	return lucid_lapic_write(&apic, offset, value, now, &ended);
}

/* Called when it is due, as irqchip.c does; did its interrupt come? */
static bool due(u64 now)
{
	lucid_lapic_timer_due(&apic, now);
	if (lucid_lapic_highest_irr(&apic) != 0x80)
		return false;
	lucid_lapic_ack(&apic, 0x80);
	wr(LUCID_APIC_EOI, 0);
	return true;
}

static void start(u32 mode, u32 tdcr, u32 count, u64 now)
{
	fresh(0, false);
	wr_at(LUCID_APIC_LVTT, mode | 0x80, now);
	wr_at(LUCID_APIC_TDCR, tdcr, now);
	wr_at(LUCID_APIC_TMICT, count, now);
}

static void random_timer(u64 n)
{
	static const u8 tdcrs[] = { 0, 1, 2, 3, 8, 9, 10, 11 };
	u64 t, now, span, period, total;
	u64 above = 0, out_of_step = 0, stopped = 0, moved = 0;
	struct kvm_lapic_state s;
	unsigned int i;

	for (steps = 0; steps < n; steps++) {
		u32 tdcr = tdcrs[rnd_below(8)], count = (u32)rnd() >> rnd_below(32);
		bool periodic = rnd() & 1;

		t = rnd() >> 8;
		start(periodic ? PERIODIC : 0, tdcr, count, t);
		span = (u64)count * divisor(tdcr);
		period = span < LUCID_APIC_MIN_PERIOD ? LUCID_APIC_MIN_PERIOD : span;
		if (!count) {
			if (apic.timer_deadline != NO_TIME)
				violation("a count of 0 starts nothing");
			continue;
		}
		if (apic.timer_deadline != t + (periodic ? period : span))
			violation("the deadline");
		if (lucid_lapic_read(&apic, LUCID_APIC_TMCCT, t) != count ||
		    lucid_lapic_read(&apic, LUCID_APIC_TMCCT, t + span / 2) > count)
			above++;
		for (now = t, total = 0, i = 0; i < 8; i++) {
			u64 next = apic.timer_deadline;

			if (next == NO_TIME)
				break;
			if (due(next - 1))
				violation("too early");
			if (!due(next))
				violation("due, and no interrupt");
			total++;
			now = next;
			if (apic.timer_deadline <= now)
				violation("the next deadline is not in the future");
		}
		fired += total;
		if (total != (periodic ? 8 : 1))
			violation(periodic ? "periodic: stopped" : "one-shot: not once");
		if (periodic && now != t + 8 * period)
			violation("periodic: it drifts");
		/* Late by many periods: one interrupt, and it goes on in step. */
		if (periodic) {
			now += 5 * period + period / 3;
			if (!due(now) || due(now))
				violation("late: one interrupt");
			if (apic.timer_deadline <= now || apic.timer_deadline > now + period)
				violation("late: the next one is within a period");
			else if ((apic.timer_deadline - t) % period)
				out_of_step++;
		}

		/* Saved at any time and put back, it fires then, within a tick. */
		start(periodic ? PERIODIC : 0, tdcr, count, t);
		span = apic.timer_deadline;
		now = rnd_below(4) ? t + rnd() % (span - t) : span - 1;
		lucid_lapic_get(&apic, &s, now);
		lucid_lapic_set(&apic, &s, now);
		if (apic.timer_deadline == NO_TIME)
			stopped++;
		else if (period != (u64)count * divisor(tdcr) && periodic)
			moved += apic.timer_deadline <= now || apic.timer_deadline > now + period;
		else if (apic.timer_deadline + divisor(tdcr) < span ||
			 apic.timer_deadline > span + divisor(tdcr))
			moved++;
	}
	tap_ok(!violations, "%llu random timers: %llu interrupts, none early, lost or twice",
	       (unsigned long long)n, (unsigned long long)fired);
	tap_ok(!above, "the current count starts at the initial one and is never above (%llu times)",
	       (unsigned long long)above);
	tap_ok(!out_of_step, "a periodic timer whose thread came late stays in step (%llu times)",
	       (unsigned long long)out_of_step);
	tap_ok(!stopped, "a restore does not stop a timer, be it in its last tick (%llu times)",
	       (unsigned long long)stopped);
	tap_ok(!moved, "nor does it move the deadline by more than a tick, or a slowed-down period (%llu times)",
	       (unsigned long long)moved);
}

static void test_timer(void)
{
	u64 t = 1000000000ull;

	start(0, 0xb, 1000, t);
	wr_at(LUCID_APIC_TMICT, 0, t);
	tap_ok(apic.timer_deadline == NO_TIME && !due(t + 1000), "a count of 0 stops it");
	start(0, 0xb, 1000, t);
	wr_at(LUCID_APIC_LVTT, LUCID_APIC_LVT_MASKED | 0x80, t);
	tap_ok(!due(t + 1000) && apic.timer_deadline == NO_TIME, "masked: it runs out, no interrupt");
	start(PERIODIC, 0xb, 1000000, t);
	wr_at(LUCID_APIC_LVTT, 0x80, t);
	tap_ok(due(t + 1000000) && apic.timer_deadline == NO_TIME, "periodic to one-shot: once more");
	start(0, 0xb, 1000000, t);
	wr_at(LUCID_APIC_LVTT, PERIODIC | 0x80, t);
	tap_ok(due(t + 1000000) && due(t + 2000000), "one-shot to periodic: again and again");
	start(0, 0xb, 1000000, t);
	wr_at(LUCID_APIC_LVTT, DEADLINE | 0x80, t);
	tap_ok(apic.timer_deadline == NO_TIME && !rd(LUCID_APIC_TMICT) && lucid_lapic_tsc_deadline_mode(&apic),
	       "to TSC deadline mode: disarmed");
	wr_at(LUCID_APIC_TMICT, 1000, t);
	tap_ok(apic.timer_deadline == NO_TIME && !lucid_lapic_read(&apic, LUCID_APIC_TMCCT, t),
	       "there the counter does not count");
	apic.tsc_deadline = 4711;
	apic.timer_deadline = t + 5;
	tap_ok(due(t + 5) && !apic.tsc_deadline && apic.timer_deadline == NO_TIME, "the deadline comes once");
	apic.tsc_deadline = 4711;
	apic.timer_deadline = t + 5;
	wr_at(LUCID_APIC_LVTT, 0x80, t);
	tap_ok(!apic.tsc_deadline && apic.timer_deadline == NO_TIME, "another mode disarms it");
	apic.has_deadline = false;
	wr_at(LUCID_APIC_LVTT, DEADLINE | 0x80, t);
	tap_ok(!lucid_lapic_tsc_deadline_mode(&apic), "no such mode for a guest that was told of none");
	start(PERIODIC, 0xb, 10, t);
	tap_ok(apic.timer_deadline == t + LUCID_APIC_MIN_PERIOD, "a fast period is slowed down");
	start(0, 0xb, 1000, t);
	wr_at(LUCID_APIC_TDCR, 0, t + 400);
	tap_ok(apic.timer_deadline == t + 400 + 2 * 600, "another divisor: what is left, at the new rate");
}

static void test_images(void)
{
	struct kvm_lapic_state s;
	u32 i, k, wrong = 0;
	u64 value;

	for (i = 0; i < 100000; i++) {
		bool x2apic = rnd() & 1;

		for (k = 0; k < sizeof(s.regs); k++)
			s.regs[k] = rnd();
		fresh(rnd_below(300), x2apic);
		lucid_lapic_set(&apic, &s, rnd());
		wrong += (rd(LUCID_APIC_IRR) | rd(LUCID_APIC_ISR)) & 0xffff;
		for (k = 0; k < 16; k++) {
			int v = lucid_lapic_pending(&apic);

			if (v >= 0) {
				wrong += v < 16;
				lucid_lapic_ack(&apic, v);
			}
			if (x2apic)
				wrmsr(0x800 + rnd_below(0x100), rnd() >> rnd_below(64));
			else
				lucid_lapic_write(&apic, rnd_below(64) * 16, rnd(), rnd(), &ended);
			lucid_lapic_read(&apic, rnd_below(64) * 16, rnd());
			lucid_lapic_read_msr(&apic, 0x800 + rnd_below(0x100), rnd(), &value);
			lucid_lapic_timer_due(&apic, rnd());
			wrong += lucid_lapic_ppr(&apic) > 0xff;
		}
		if (x2apic)
			wrong += rd(LUCID_APIC_LDR) != (apic.id >> 4 << 16 | 1u << (apic.id & 15)) ||
				 rd(LUCID_APIC_ID) != apic.id;
	}
	tap_ok(!wrong, "any image is safe; no vector below 16, and an x2APIC keeps its identity");
}

int main(void)
{
	rnd_seed(6);
	test_reset();
	test_registers();
	test_ipi();
	test_match();
	test_x2apic();
	test_timer();
	random_vectors(1000000, false);
	random_vectors(1000000, true);
	random_timer(200000);
	test_images();
	return tap_done();
}
