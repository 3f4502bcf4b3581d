/* SPDX-License-Identifier: GPL-2.0 */
/* The two 8259A interrupt controllers of a PC, by Intel's data sheet. */
#ifndef LUCID_PIC_H
#define LUCID_PIC_H

#include <stdbool.h>
#include <stdint.h>

struct pic_chip {
	uint8_t irr;		/* requested */
	uint8_t isr;		/* in service */
	uint8_t imr;		/* masked */
	uint8_t lines;		/* the input pins */
	uint8_t level;		/* ELCR: level triggered, not edge */
	uint8_t base;		/* vector of input 0 */
	uint8_t first;		/* input with the highest priority */
	uint8_t init;		/* the next ICW expected; 0: operating */
	bool need_icw4, auto_eoi, rotate_auto, read_isr, special_mask, poll;
};

struct pic {
	struct pic_chip chip[2];	/* master, and slave on its input 2 */
};

void pic_init(struct pic *pic);
/* @a0: the odd port of the pair */
uint8_t pic_read(struct pic *pic, unsigned int chip, bool a0);
void pic_write(struct pic *pic, unsigned int chip, bool a0, uint8_t value);
/* Inputs 0, 1, 2 (and 8, 13) are always edge triggered. */
void pic_set_elcr(struct pic *pic, unsigned int chip, uint8_t value);

void pic_set_line(struct pic *pic, unsigned int irq, bool high);
/* INTR to the CPU */
bool pic_pending(const struct pic *pic);
/* The CPU's INTA: returns the vector; one is delivered even if none is due. */
uint8_t pic_acknowledge(struct pic *pic);
/* Would this input reach the CPU? */
bool pic_enabled(const struct pic *pic, unsigned int irq);

#endif
