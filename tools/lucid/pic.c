// SPDX-License-Identifier: GPL-2.0
/* The two 8259A interrupt controllers of a PC, by Intel's data sheet. */
#include <string.h>

#include "pic.h"

#define CASCADE		2	/* the slave's place on the master */
#define SPURIOUS	7

#define ICW1		0x10
#define ICW1_NEED_ICW4	0x01
#define ICW4_AUTO_EOI	0x02
#define OCW3		0x08
#define OCW3_POLL	0x04

void pic_init(struct pic *pic)
{
	memset(pic, 0, sizeof(*pic));
	/* not programmed yet: nothing gets through */
	pic->chip[0].imr = 0xff;
	pic->chip[1].imr = 0xff;
}

/* The input with the highest priority in @set, or -1. */
static int highest(const struct pic_chip *c, uint8_t set)
{
	for (unsigned int i = 0; i < 8; i++)
		if (set & 1u << ((c->first + i) & 7))
			return (c->first + i) & 7;
	return -1;
}

static unsigned int rank(const struct pic_chip *c, int input)
{
	return input < 0 ? 8 : (input - c->first) & 7;
}

/* The input to serve next: above all that is in service; or -1. */
static int due(const struct pic_chip *c)
{
	int want = highest(c, c->irr & ~c->imr);
	/* special mask mode: what is masked in service does not stand above */
	int have = highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	return rank(c, want) < rank(c, have) ? want : -1;
}

static void set_input(struct pic_chip *c, unsigned int input, bool high)
{
	uint8_t bit = 1u << input;

	if (high && (c->level & bit || !(c->lines & bit)))
		c->irr |= bit;
	/* a request that goes away before INTA was none: see SPURIOUS */
	if (!high)
		c->irr &= ~bit;
	c->lines = high ? c->lines | bit : c->lines & ~bit;
}

static void cascade(struct pic *pic)
{
	set_input(&pic->chip[0], CASCADE, due(&pic->chip[1]) >= 0);
}

static void end_of_interrupt(struct pic_chip *c, int input, bool rotate)
{
	if (input < 0)
		return;
	c->isr &= ~(1u << input);
	if (rotate)
		c->first = (input + 1) & 7;
}

static int acknowledge(struct pic_chip *c)
{
	int input = due(c);

	if (input < 0)
		return SPURIOUS;
	c->isr |= 1u << input;
	if (!(c->level & 1u << input))
		c->irr &= ~(1u << input);
	if (c->auto_eoi)
		end_of_interrupt(c, input, c->rotate_auto);
	return input;
}

void pic_set_line(struct pic *pic, unsigned int irq, bool high)
{
	set_input(&pic->chip[irq >> 3], irq & 7, high);
	cascade(pic);
}

bool pic_pending(const struct pic *pic)
{
	return !pic->chip[0].init && due(&pic->chip[0]) >= 0;
}

uint8_t pic_acknowledge(struct pic *pic)
{
	int input = acknowledge(&pic->chip[0]);
	uint8_t vector = pic->chip[0].base + input;

	if (input == CASCADE) {
		vector = pic->chip[1].base + acknowledge(&pic->chip[1]);
		/* a second request of the slave's is a new edge */
		set_input(&pic->chip[0], CASCADE, false);
	}
	cascade(pic);
	return vector;
}

bool pic_enabled(const struct pic *pic, unsigned int irq)
{
	bool master = !pic->chip[0].init &&
		      !(pic->chip[0].imr &
			1u << (irq < 8 ? irq : (unsigned int)CASCADE));

	return master && (irq < 8 || !(pic->chip[1].imr & 1u << (irq & 7)));
}

void pic_set_elcr(struct pic *pic, unsigned int chip, uint8_t value)
{
	struct pic_chip *c = &pic->chip[chip];

	c->level = value & (chip ? 0xde : 0xf8);
	c->irr |= c->level & c->lines;
	cascade(pic);
}

static void write_icw1(struct pic_chip *c, uint8_t value)
{
	*c = (struct pic_chip){
		.lines = c->lines,
		.level = c->level,
		.irr = c->level & c->lines,
		.init = 2,
		.need_icw4 = value & ICW1_NEED_ICW4,
	};
}

static void write_ocw2(struct pic_chip *c, uint8_t value)
{
	unsigned int input = value & 7;
	bool rotate = value & 0x80;

	switch (value >> 5 & 3) {
	case 0:		/* rotate in automatic EOI mode: set or clear */
		c->rotate_auto = rotate;
		break;
	case 1:		/* EOI of the highest in service */
		end_of_interrupt(c, highest(c, c->isr), rotate);
		break;
	case 2:		/* set priority, or nothing */
		if (rotate)
			c->first = (input + 1) & 7;
		break;
	case 3:		/* EOI of the one named */
		end_of_interrupt(c, input, rotate);
		break;
	}
}

static void write_ocw3(struct pic_chip *c, uint8_t value)
{
	c->poll = value & OCW3_POLL;
	if (value & 0x02)
		c->read_isr = value & 0x01;
	if (value & 0x40)
		c->special_mask = value & 0x20;
}

void pic_write(struct pic *pic, unsigned int chip, bool a0, uint8_t value)
{
	struct pic_chip *c = &pic->chip[chip];

	if (!a0 && value & ICW1) {
		write_icw1(c, value);
	} else if (!a0 && value & OCW3) {
		write_ocw3(c, value);
	} else if (!a0) {
		write_ocw2(c, value);
	} else {
		switch (c->init) {
		case 2:
			c->base = value & 0xf8;
			c->init = 3;
			break;
		case 3:		/* the cascade is wired as PCs have it */
			c->init = c->need_icw4 ? 4 : 0;
			break;
		case 4:
			c->auto_eoi = value & ICW4_AUTO_EOI;
			c->init = 0;
			break;
		default:
			c->imr = value;
			break;
		}
	}
	cascade(pic);
}

uint8_t pic_read(struct pic *pic, unsigned int chip, bool a0)
{
	struct pic_chip *c = &pic->chip[chip];
	int input;

	if (c->poll) {
		/* a poll is an INTA that also says if anything was due */
		c->poll = false;
		if (due(c) < 0)
			return SPURIOUS;
		input = acknowledge(c);
		cascade(pic);
		return 0x80 | input;
	}
	if (a0)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}
