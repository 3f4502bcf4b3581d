// SPDX-License-Identifier: GPL-2.0
/*
 * Two 8259A interrupt controllers in cascade.
 *
 * A chip is four registers (IRR, ISR, IMR, and here the state of its inputs)
 * and one question: which input, if any, may interrupt the CPU now?  That is
 * the requested and unmasked one of highest priority, if nothing of the same
 * or a higher priority is in service (wanted()).  All the rest moves bits.
 *
 * The data sheet is Intel's 8259A (order number 231468); the ELCR's is the
 * 82371SB's (PIIX3).  What KVM does otherwise than the sheet and its clients
 * can see is done as KVM does it, and said so:
 *
 *  - an edge stays requested when its line falls before the acknowledge (the
 *    chip would answer with input 7): clients pulse their lines;
 *  - ICW1 forgets that an edge-triggered line is up, so that a client that
 *    reports it up once more is heard;
 *  - ICW3 is always expected (SNGL has no meaning in a PC), and LTIM is
 *    ignored: ELCR says which inputs are level triggered.
 */
#include <linux/string.h>

#include "pic.h"

#define MASTER		0
#define SLAVE		1
#define CASCADE		2	/* the master's input that the slave drives */

/* IRQ 0, 1, 2, 8 and 13 are edge triggered whatever is written. */
static const u8 elcr_mask[2] = { 0xf8, 0xde };

/* The highest priority is that of the input after the lowest. */
static int highest(const struct lucid_pic_chip *c, u8 inputs)
{
	unsigned int i;

	for (i = 1; i <= 8; i++)
		if (inputs & (1 << ((c->lowest + i) & 7)))
			return (c->lowest + i) & 7;
	return -1;
}

/* How far behind the highest priority is @input: 0..7. */
static unsigned int rank(const struct lucid_pic_chip *c, int input)
{
	return (input - c->lowest - 1) & 7;
}

/*
 * The input that may interrupt now, -1: none.
 *
 * "Special Mask Mode": what is in service and masked holds nobody back.
 * "The Special Fully Nested Mode": the slave in service does not hold back
 * a further request of the slave's, but those below it.
 */
static int wanted(const struct lucid_pic *p, unsigned int chip)
{
	const struct lucid_pic_chip *c = &p->chip[chip];
	int input = highest(c, c->irr & ~c->imr);
	int serving = highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	if (input < 0 || serving < 0 || rank(c, input) < rank(c, serving))
		return input;
	if (chip == MASTER && c->special_nested && input == CASCADE && serving == CASCADE)
		return input;
	return -1;
}

/* The slave's INT is the master's input 2: an edge for each time it wants something. */
static void cascade(struct lucid_pic *p)
{
	if (wanted(p, SLAVE) >= 0)
		p->chip[MASTER].irr |= 1 << CASCADE;
}

/* "Interrupt Sequence", first INTA: into service, and out of it with automatic EOI. */
static void acknowledge(struct lucid_pic_chip *c, int input)
{
	u8 bit = 1 << input;

	/* A level-triggered input requests as long as its line is up. */
	c->irr &= ~(bit & ~c->elcr);
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_auto)
		c->lowest = input;
}

/**
 * lucid_pic_reset - power-up
 * @p: both chips; no line is up, nothing is masked, no ICW is expected
 */
void lucid_pic_reset(struct lucid_pic *p)
{
	memset(p, 0, sizeof(*p));
	p->chip[MASTER].lowest = 7;
	p->chip[SLAVE].lowest = 7;
}

/**
 * lucid_pic_set_line - an input rises or falls, or is said to be as it was
 * @p: both chips
 * @irq: 0..15
 * @level: up
 *
 * Return: 1: requested (or the line fell), 0: it was requested already,
 * -1: masked (and requested all the same).
 */
int lucid_pic_set_line(struct lucid_pic *p, unsigned int irq, bool level)
{
	struct lucid_pic_chip *c = &p->chip[(irq >> 3) & 1];
	u8 bit = 1 << (irq & 7);
	int ret = 1;

	if (!level) {
		c->lines &= ~bit;
		c->irr &= ~(bit & c->elcr);
	} else {
		if ((c->elcr & bit) || !(c->lines & bit)) {
			ret = !(c->irr & bit);
			c->irr |= bit;
		}
		c->lines |= bit;
	}
	cascade(p);
	return (c->imr & bit) ? -1 : ret;
}

/**
 * lucid_pic_output - is the master's INT up?
 * @p: both chips
 *
 * Return: true: the CPU has something to acknowledge.
 */
bool lucid_pic_output(const struct lucid_pic *p)
{
	return wanted(p, MASTER) >= 0;
}

/**
 * lucid_pic_ack - the CPU's two INTA cycles
 * @p: both chips
 *
 * Return: the vector.  If nothing is requested any more, that of input 7, and
 * nothing is in service by it ("Edge and Level Triggered Modes").
 */
u8 lucid_pic_ack(struct lucid_pic *p)
{
	int input = wanted(p, MASTER);
	struct lucid_pic_chip *c = &p->chip[MASTER];

	if (input >= 0)
		acknowledge(c, input);
	if (input == CASCADE) {
		c = &p->chip[SLAVE];
		input = wanted(p, SLAVE);
		if (input >= 0)
			acknowledge(c, input);
	}
	cascade(p);
	return c->base + (input >= 0 ? input : 7);
}

/*
 * "Poll Command": the read is an acknowledge; bit 7 says whether there was
 * something to acknowledge.
 */
static u8 poll(struct lucid_pic *p, unsigned int chip)
{
	int input = wanted(p, chip);

	p->chip[chip].poll = false;
	if (input < 0)
		return 7;
	acknowledge(&p->chip[chip], input);
	if (chip == SLAVE)
		p->chip[MASTER].irr &= ~(1 << CASCADE);	/* its INT fell */
	cascade(p);
	return 0x80 | input;
}

/**
 * lucid_pic_read - IN from one of the ports
 * @p: both chips
 * @port: one that lucid_pic_has_port()
 *
 * Return: the byte.
 */
u8 lucid_pic_read(struct lucid_pic *p, u16 port)
{
	const struct lucid_pic_chip *c;
	unsigned int chip;

	if ((port & ~1) == 0x4d0)
		return p->chip[port & 1].elcr;

	chip = (port >> 7) & 1;
	c = &p->chip[chip];
	if (c->poll)
		return poll(p, chip);
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

/*
 * "Initialization Command Word 1": the edge sense circuit is reset, IMR is
 * cleared, input 7 gets the lowest priority, special mask mode is cleared, IRR
 * is what is read; without an ICW4 to come all that one would set is cleared.
 * Of what is in service KVM ends the inputs whose pending edge is dropped.
 */
static void write_icw1(struct lucid_pic_chip *c, u8 value)
{
	c->isr &= ~(c->irr & ~c->elcr);
	c->irr &= c->elcr;
	c->lines &= c->elcr;
	c->imr = 0;
	c->lowest = 7;
	c->special_mask = false;
	c->read_isr = false;
	c->icw4 = value & 1;
	if (!c->icw4) {
		c->auto_eoi = false;
		c->special_nested = false;
	}
	c->init = 2;
}

/* "Initialization Command Words 2, 3, 4", or "Operation Control Word 1". */
static void write_data(struct lucid_pic_chip *c, u8 value)
{
	switch (c->init) {
	case 2:
		c->base = value & 0xf8;
		c->init = 3;
		break;
	case 3:
		/* Where the slave is, a PC's wires say. */
		c->init = c->icw4 ? 4 : 0;
		break;
	case 4:
		c->special_nested = value & 0x10;
		c->auto_eoi = value & 0x02;
		c->init = 0;
		break;
	default:
		c->imr = value;
		break;
	}
}

/*
 * "Operation Control Word 2": bit 7 rotates priorities, bit 6 says that bits
 * 2:0 name the input (else it is the highest in service), bit 5 ends it.
 */
static void write_ocw2(struct lucid_pic_chip *c, u8 value)
{
	bool rotate = value & 0x80, named = value & 0x40, eoi = value & 0x20;
	int input = value & 7;

	if (!named && !eoi) {
		c->rotate_auto = rotate;
		return;
	}
	/*
	 * "Special Mask Mode": what is in service and masked is not ended by
	 * an EOI that does not name it.
	 */
	if (!named)
		input = highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);
	if (input < 0)
		return;
	if (eoi)
		c->isr &= ~(1 << input);
	if (rotate)
		c->lowest = input;
}

/* "Operation Control Word 3". */
static void write_ocw3(struct lucid_pic_chip *c, u8 value)
{
	if (value & 0x04)
		c->poll = true;
	if (value & 0x02)
		c->read_isr = value & 0x01;
	if (value & 0x40)
		c->special_mask = value & 0x20;
}

/* PIIX3, "Edge/Level Control Registers": a level input requests what its line says. */
static void write_elcr(struct lucid_pic *p, unsigned int chip, u8 value)
{
	struct lucid_pic_chip *c = &p->chip[chip];

	c->elcr = value & elcr_mask[chip];
	c->irr = (c->irr & ~c->elcr) | (c->lines & c->elcr);
}

/**
 * lucid_pic_write - OUT to one of the ports
 * @p: both chips
 * @port: one that lucid_pic_has_port()
 * @value: the byte
 */
void lucid_pic_write(struct lucid_pic *p, u16 port, u8 value)
{
	struct lucid_pic_chip *c = &p->chip[(port >> 7) & 1];

	if ((port & ~1) == 0x4d0)
		write_elcr(p, port & 1, value);
	else if (port & 1)
		write_data(c, value);
	else if (value & 0x10)
		write_icw1(c, value);
	else if (value & 0x08)
		write_ocw3(c, value);
	else
		write_ocw2(c, value);
	cascade(p);
}

/**
 * lucid_pic_get - KVM_GET_IRQCHIP
 * @p: both chips
 * @chip: 0 master, 1 slave
 * @s: KVM's image of it, filled
 */
void lucid_pic_get(const struct lucid_pic *p, unsigned int chip, struct kvm_pic_state *s)
{
	const struct lucid_pic_chip *c = &p->chip[chip & 1];

	*s = (struct kvm_pic_state) {
		.last_irr = c->lines,
		.irr = c->irr,
		.imr = c->imr,
		.isr = c->isr,
		.priority_add = (c->lowest + 1) & 7,
		.irq_base = c->base,
		.read_reg_select = c->read_isr,
		.poll = c->poll,
		.special_mask = c->special_mask,
		.init_state = c->init ? c->init - 1 : 0,
		.auto_eoi = c->auto_eoi,
		.rotate_on_auto_eoi = c->rotate_auto,
		.special_fully_nested_mode = c->special_nested,
		.init4 = c->icw4,
		.elcr = c->elcr,
		.elcr_mask = elcr_mask[chip & 1],
	};
}

/**
 * lucid_pic_set - KVM_SET_IRQCHIP
 * @p: both chips
 * @chip: 0 master, 1 slave
 * @s: KVM's image of it; what no chip can hold is cut off
 */
void lucid_pic_set(struct lucid_pic *p, unsigned int chip, const struct kvm_pic_state *s)
{
	p->chip[chip & 1] = (struct lucid_pic_chip) {
		.lines = s->last_irr,
		.irr = s->irr,
		.imr = s->imr,
		.isr = s->isr,
		.lowest = (s->priority_add - 1) & 7,
		.base = s->irq_base & 0xf8,
		.read_isr = s->read_reg_select,
		.poll = s->poll,
		.special_mask = s->special_mask,
		.init = s->init_state >= 1 && s->init_state <= 3 ? s->init_state + 1 : 0,
		.auto_eoi = s->auto_eoi,
		.rotate_auto = s->rotate_on_auto_eoi,
		.special_nested = s->special_fully_nested_mode,
		.icw4 = s->init4,
		.elcr = s->elcr & elcr_mask[chip & 1],
	};
	cascade(p);
}
