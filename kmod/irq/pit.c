// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 timer of a PC.
 *
 * Nothing here counts: a channel remembers when it was loaded, and what its
 * counter and its output are follows from the ticks since then.  Channel 0's
 * next edge is a time reckoned from the load as well, so that periods do not
 * add up rounding errors.
 *
 * The data sheet is Intel's 8254 (order number 231164).  As in KVM:
 *
 *  - BCD is accepted and reported, but counts are binary;
 *  - a new count takes effect at once, also in modes 2 and 3;
 *  - a gate that is low does not stop the counter: guests that never opened
 *    channel 2's work under KVM;
 *  - in mode 3 the counter counts down by two from the count, once each half.
 *
 * Otherwise than KVM, by the data sheet: a control word stops the counter until
 * its count comes (so its output is the mode's initial one and NULL COUNT is
 * set), modes 1 and 5 wait for their gate, and the output of modes 1, 2, 4, 5
 * is not upside down.
 */
#include <linux/string.h>

#include "pit.h"

#define NSEC_PER_SEC_ULL	1000000000ull
#define NEVER			(~0ull)		/* of loaded: no count is in the counter */

/* rw_mode, read_state, write_state and latch_state: which byte is next. */
enum { LATCH, LSB, MSB, LSB_OF_WORD, MSB_OF_WORD };

/* A channel that was never programmed (KVM's clients see it in the image). */
#define MODE_NONE		0xff

/* The products: below HZ * 10^9 < 2^51 each. */
static u64 ns_to_ticks(u64 ns)
{
	return ns / NSEC_PER_SEC_ULL * LUCID_PIT_HZ +
	       ns % NSEC_PER_SEC_ULL * LUCID_PIT_HZ / NSEC_PER_SEC_ULL;
}

/* Rounded up: when so many ticks have certainly passed. */
static u64 ticks_to_ns(u64 ticks)
{
	return ticks / LUCID_PIT_HZ * NSEC_PER_SEC_ULL +
	       (ticks % LUCID_PIT_HZ * NSEC_PER_SEC_ULL + LUCID_PIT_HZ - 1) / LUCID_PIT_HZ;
}

static u64 ticks(const struct lucid_pit_channel *c, u64 now)
{
	return now > c->loaded ? ns_to_ticks(now - c->loaded) : 0;
}

static bool waits_for_gate(const struct lucid_pit_channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

static bool is_periodic(const struct lucid_pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* What the counter shows: 0 for 65536. */
static u16 counter(const struct lucid_pit_channel *c, u64 now)
{
	u64 d = ticks(c, now);

	switch (c->mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return c->count - d;	/* goes on below 0, from 0xffff */
	case 3:
		return c->count - 2 * d % c->count;
	default:
		return c->count - d % c->count;
	}
}

/* "Mode Definitions". */
static bool output(const struct lucid_pit_channel *c, u64 now)
{
	u64 d = ticks(c, now);

	if (c->loaded == NEVER)
		return c->mode != 0;
	switch (c->mode) {
	default:
		return d >= c->count;
	case 2:
		return d % c->count != c->count - 1;
	case 3:
		return d % c->count < (c->count + 1) / 2;
	case 4:
	case 5:
		return d != c->count;
	}
}

/* A period that is too fast for the host is counted in ns, not in ticks. */
static bool is_stretched(const struct lucid_pit_channel *c)
{
	return is_periodic(c) && ticks_to_ns(c->count) < LUCID_PIT_MIN_PERIOD;
}

/* Channel 0 has just been loaded, or stopped. */
static void arm(struct lucid_pit *p)
{
	const struct lucid_pit_channel *c = &p->channel[0];

	if (p->hpet_legacy || c->loaded == NEVER || c->mode > 4)
		p->next = NEVER;
	else if (is_stretched(c))
		p->next = c->loaded + LUCID_PIT_MIN_PERIOD;
	else
		p->next = c->loaded + ticks_to_ns(c->count);
}

static void load(struct lucid_pit *p, unsigned int channel, u32 count, u64 now)
{
	struct lucid_pit_channel *c = &p->channel[channel];

	c->count = count ? count : 0x10000;
	c->loaded = waits_for_gate(c) ? NEVER : now;
	if (channel == 0)
		arm(p);
}

/**
 * lucid_pit_reset - power-up: nothing is programmed
 * @p: the timer
 * @now: ns
 */
void lucid_pit_reset(struct lucid_pit *p, u64 now)
{
	unsigned int i;

	memset(p, 0, sizeof(*p));
	for (i = 0; i < 3; i++) {
		p->channel[i].mode = MODE_NONE;
		p->channel[i].gate = i != 2;
		load(p, i, 0, now);
	}
}

/* "Counter Latch Command": a latched count stays until it is read. */
static void latch_count(struct lucid_pit_channel *c, u64 now)
{
	if (c->latch_state)
		return;
	c->latched = counter(c, now);
	c->latch_state = c->rw_mode;
}

/* "Read-Back Command", status byte. */
static void latch_status(struct lucid_pit_channel *c, u64 now)
{
	if (c->status_latched)
		return;
	c->status = output(c, now) << 7 | (c->loaded == NEVER) << 6 |
		    (c->rw_mode & 3) << 4 | (c->mode & 7) << 1 | c->bcd;
	c->status_latched = 1;
}

static void write_control(struct lucid_pit *p, u8 value, u64 now)
{
	unsigned int channel = value >> 6, i;
	struct lucid_pit_channel *c;

	if (channel == 3) {
		for (i = 0; i < 3; i++) {
			if (!(value & (2 << i)))
				continue;
			if (!(value & 0x20))
				latch_count(&p->channel[i], now);
			if (!(value & 0x10))
				latch_status(&p->channel[i], now);
		}
		return;
	}
	c = &p->channel[channel];
	if (!(value & 0x30)) {
		latch_count(c, now);
		return;
	}
	c->rw_mode = (value >> 4) & 3;
	c->read_state = c->rw_mode;
	c->write_state = c->rw_mode;
	c->mode = (value >> 1) & 7;
	if (c->mode > 5)
		c->mode -= 4;	/* "Control Word Format": X10 and X11 */
	c->bcd = value & 1;
	c->loaded = NEVER;
	if (channel == 0)
		arm(p);
}

static void write_count(struct lucid_pit *p, unsigned int channel, u8 value, u64 now)
{
	struct lucid_pit_channel *c = &p->channel[channel];

	switch (c->write_state) {
	default:
		load(p, channel, value, now);
		break;
	case MSB:
		load(p, channel, value << 8, now);
		break;
	case LSB_OF_WORD:
		c->write_latch = value;
		c->write_state = MSB_OF_WORD;
		break;
	case MSB_OF_WORD:
		c->write_state = LSB_OF_WORD;
		load(p, channel, c->write_latch | value << 8, now);
		break;
	}
}

static u8 read_count(struct lucid_pit_channel *c, u64 now)
{
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	switch (c->latch_state) {
	case 0:
		break;
	case MSB:
		c->latch_state = 0;
		return c->latched >> 8;
	case LSB_OF_WORD:
		c->latch_state = MSB;
		return c->latched;
	default:
		c->latch_state = 0;
		return c->latched;
	}
	switch (c->read_state) {
	default:
		return counter(c, now);
	case MSB:
		return counter(c, now) >> 8;
	case LSB_OF_WORD:
		c->read_state = MSB_OF_WORD;
		return counter(c, now);
	case MSB_OF_WORD:
		c->read_state = LSB_OF_WORD;
		return counter(c, now) >> 8;
	}
}

/* "Gate Operations": a rising edge starts anew, but in modes 0 and 4. */
static void set_gate(struct lucid_pit_channel *c, bool gate, u64 now)
{
	if (gate && !c->gate && (waits_for_gate(c) || (is_periodic(c) && c->loaded != NEVER)))
		c->loaded = now;
	c->gate = gate;
}

/**
 * lucid_pit_read - IN from one of the ports
 * @p: the timer
 * @port: one that lucid_pit_has_port()
 * @now: ns
 *
 * Return: the byte; the control word's port reads 0.  Bit 4 of port 0x61 is
 * the refresh clock, which toggles about each 15 us.
 */
u8 lucid_pit_read(struct lucid_pit *p, u16 port, u64 now)
{
	const struct lucid_pit_channel *c = &p->channel[2];

	if (port == 0x61)
		return c->gate | p->speaker << 1 | ((now >> 14) & 1) << 4 | output(c, now) << 5;
	switch (port & 3) {
	case 0:
		return read_count(&p->channel[0], now);
	case 1:
		return read_count(&p->channel[1], now);
	case 2:
		return read_count(&p->channel[2], now);
	}
	return 0;
}

/**
 * lucid_pit_write - OUT to one of the ports
 * @p: the timer
 * @port: one that lucid_pit_has_port()
 * @value: the byte
 * @now: ns
 */
void lucid_pit_write(struct lucid_pit *p, u16 port, u8 value, u64 now)
{
	if (port == 0x61) {
		p->speaker = value & 2;
		set_gate(&p->channel[2], value & 1, now);
	} else if ((port & 3) == 3) {
		write_control(p, value, now);
	} else {
		write_count(p, port & 3, value, now);
	}
}

/**
 * lucid_pit_advance - channel 0's time has come, or has not
 * @p: the timer
 * @now: ns
 *
 * Return: rising edges of its output since the last call: 0 or 1, or more if
 * the caller comes late.
 */
u32 lucid_pit_advance(struct lucid_pit *p, u64 now)
{
	const struct lucid_pit_channel *c = &p->channel[0];
	u64 due, last;

	if (now < p->next || p->next == NEVER)
		return 0;
	if (!is_periodic(c)) {
		p->next = NEVER;
		return 1;
	}
	if (is_stretched(c)) {
		due = (now - p->next) / LUCID_PIT_MIN_PERIOD + 1;
		p->next += due * LUCID_PIT_MIN_PERIOD;
	} else {
		last = ticks(c, now) / c->count;
		due = last - ticks(c, p->next) / c->count + 1;
		p->next = c->loaded + ticks_to_ns((last + 1) * c->count);
	}
	if (p->next <= now)		/* the clock's last period */
		p->next = NEVER;
	return due > 0xffffffff ? 0xffffffff : due;
}

/**
 * lucid_pit_get - KVM_GET_PIT2
 * @p: the timer
 * @s: KVM's image of it, filled
 * @now: ns
 */
void lucid_pit_get(const struct lucid_pit *p, struct kvm_pit_state2 *s, u64 now)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 3; i++) {
		const struct lucid_pit_channel *c = &p->channel[i];

		s->channels[i] = (struct kvm_pit_channel_state) {
			.count = c->count,
			.latched_count = c->latched,
			.count_latched = c->latch_state,
			.status_latched = c->status_latched,
			.status = c->status,
			.read_state = c->read_state,
			.write_state = c->write_state,
			.write_latch = c->write_latch,
			.rw_mode = c->rw_mode,
			.mode = c->mode,
			.bcd = c->bcd,
			.gate = c->gate,
			.count_load_time = c->loaded == NEVER ? now : c->loaded,
		};
	}
	if (p->speaker)
		s->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (p->hpet_legacy)
		s->flags |= KVM_PIT_FLAGS_HPET_LEGACY;
}

/**
 * lucid_pit_set - KVM_SET_PIT2
 * @p: the timer
 * @s: KVM's image of it; what no timer can hold is cut off.  As in KVM all
 *     channels begin to count anew: @s's times are of another clock.
 * @now: ns
 */
void lucid_pit_set(struct lucid_pit *p, const struct kvm_pit_state2 *s, u64 now)
{
	unsigned int i;

	p->speaker = s->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	p->hpet_legacy = s->flags & KVM_PIT_FLAGS_HPET_LEGACY;
	for (i = 0; i < 3; i++) {
		const struct kvm_pit_channel_state *k = &s->channels[i];
		u32 count = k->count & 0xffff;

		p->channel[i] = (struct lucid_pit_channel) {
			.count = count ? count : 0x10000,
			.loaded = now,
			.latched = k->latched_count,
			.latch_state = k->count_latched,
			.status = k->status,
			.status_latched = !!k->status_latched,
			.read_state = k->read_state,
			.write_state = k->write_state,
			.write_latch = k->write_latch,
			.rw_mode = k->rw_mode,
			.mode = k->mode,
			.bcd = k->bcd,
			.gate = k->gate,
		};
	}
	arm(p);
}
