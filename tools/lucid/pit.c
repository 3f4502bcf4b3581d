// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 timer.  Nothing ticks: a count is computed from the clock when it
 * is asked for.  BCD counting is not there (nobody uses it).
 */
#include <string.h>

#include "pit.h"

#define NS	1000000000ull

void pit_init(struct pit *pit)
{
	memset(pit, 0, sizeof(*pit));
	for (int i = 0; i < 3; i++) {
		pit->channel[i].access = 3;
		pit->channel[i].reload = 65536;
		pit->channel[i].gate = i < 2;	/* tied high on a PC */
	}
}

static uint64_t elapsed(const struct pit_channel *c, uint64_t now)
{
	return c->gate ? now - c->start : c->frozen;
}

/* 128 bits: a guest may run for more than the hours that 64 would give */
static uint64_t ticks(const struct pit_channel *c, uint64_t now)
{
	return (unsigned __int128)elapsed(c, now) * PIT_HZ / NS;
}

static bool periodic(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static uint16_t count(const struct pit_channel *c, uint64_t now)
{
	uint64_t t;

	if (!c->loaded)
		return 0;
	t = ticks(c, now);
	switch (c->mode) {
	case 2:
		return c->reload - t % c->reload;
	case 3:		/* counts by twos, twice a period */
		return c->reload - 2 * t % c->reload;
	default:	/* goes on below zero */
		return c->reload - t;
	}
}

static bool output(const struct pit_channel *c, uint64_t now)
{
	uint64_t t;

	if (!c->loaded)
		return c->mode != 0;
	t = ticks(c, now);
	switch (c->mode) {
	case 2:		/* low for the last tick of a period */
		return t % c->reload != c->reload - 1;
	case 3:
		return t % c->reload < (c->reload + 1) / 2;
	case 4: case 5:	/* low for the one tick after the count is over */
		return t != c->reload;
	default:
		return t >= c->reload;
	}
}

bool pit_output(const struct pit *pit, unsigned int channel, uint64_t now)
{
	return output(&pit->channel[channel], now);
}

uint64_t pit_next_rise(const struct pit *pit, uint64_t now)
{
	const struct pit_channel *c = &pit->channel[0];
	uint64_t at = c->reload;

	if (!c->loaded)
		return 0;
	if (periodic(c))
		at = (ticks(c, now) / c->reload + 1) * c->reload;
	else if (ticks(c, now) >= at)
		return 0;
	/* rounded up: at that time the tick has certainly been counted */
	return c->start +
	       (uint64_t)(((unsigned __int128)at * NS + PIT_HZ - 1) / PIT_HZ);
}

static void load(struct pit_channel *c, uint16_t value, uint64_t now)
{
	c->reload = value ? value : 65536;
	c->start = now;
	c->frozen = 0;
	c->loaded = true;
}

static void latch_count(struct pit_channel *c, uint64_t now)
{
	if (c->latched)
		return;		/* the first one stays until it is read */
	c->latch = count(c, now);
	c->latched = true;
}

static void write_control(struct pit *pit, uint8_t value, uint64_t now)
{
	unsigned int select = value >> 6;
	struct pit_channel *c;

	if (select == 3) {	/* read back: several channels at once */
		for (int i = 0; i < 3; i++) {
			c = &pit->channel[i];
			if (!(value & 2u << i))
				continue;
			if (!(value & 0x20))
				latch_count(c, now);
			if (!(value & 0x10) && !c->status_latched) {
				c->status = output(c, now) << 7 |
					    !c->loaded << 6 | c->access << 4 |
					    c->mode << 1;
				c->status_latched = true;
			}
		}
		return;
	}
	c = &pit->channel[select];
	if (!(value & 0x30)) {
		latch_count(c, now);
		return;
	}
	c->access = value >> 4 & 3;
	c->mode = value >> 1 & 7;
	if (c->mode > 5)
		c->mode -= 4;	/* 6 and 7 are 2 and 3 again */
	c->loaded = false;
	c->latched = false;
	c->status_latched = false;
	c->write_high = false;
	c->read_high = false;
}

void pit_write(struct pit *pit, unsigned int port, uint8_t value, uint64_t now)
{
	struct pit_channel *c = &pit->channel[port & 3];

	if ((port & 3) == 3) {
		write_control(pit, value, now);
	} else if (c->access == 1) {
		load(c, value, now);
	} else if (c->access == 2) {
		load(c, value << 8, now);
	} else if (!c->write_high) {
		c->low = value;
		c->write_high = true;
		if (c->mode == 0)
			c->loaded = false;	/* half a count stops it */
	} else {
		c->write_high = false;
		load(c, value << 8 | c->low, now);
	}
}

uint8_t pit_read(struct pit *pit, unsigned int port, uint64_t now)
{
	struct pit_channel *c = &pit->channel[port & 3];
	uint16_t value;
	bool high;

	if ((port & 3) == 3)
		return 0xff;	/* the control word cannot be read */
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	value = c->latched ? c->latch : count(c, now);
	high = c->access == 2 || (c->access == 3 && c->read_high);
	if (c->access == 3)
		c->read_high = !c->read_high;
	if (c->access != 3 || high)
		c->latched = false;
	return high ? value >> 8 : value;
}

/* Port 0x61: bit 0 channel 2's gate, 1 the speaker, 5 channel 2's output. */
uint8_t pit_read_61(struct pit *pit, uint64_t now)
{
	const struct pit_channel *c = &pit->channel[2];

	/* bit 4 toggles with each memory refresh, every 15 us */
	return c->gate | pit->speaker << 1 | (now / 15085 & 1) << 4 |
	       output(c, now) << 5;
}

void pit_write_61(struct pit *pit, uint8_t value, uint64_t now)
{
	struct pit_channel *c = &pit->channel[2];
	bool gate = value & 1;

	pit->speaker = value & 2;
	if (c->gate && !gate)
		c->frozen = now - c->start;
	/* modes 0 and 4 go on where they stood, the others begin again */
	if (!c->gate && gate)
		c->start = c->mode & 3 ? now : now - c->frozen;
	c->gate = gate;
}
