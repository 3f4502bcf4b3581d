/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two 8259A interrupt controllers in cascade, as in a PC (Intel 8259A data
 * sheet; ELCR: 82371SB PIIX3 data sheet, "Edge/Level Control Registers").
 *
 * Pure logic, no locks: the owner serializes (irqchip.c: vm->irq.lock).
 */
#ifndef LUCID_IRQ_PIC_H
#define LUCID_IRQ_PIC_H

#include <linux/kvm.h>
#include <linux/types.h>

struct lucid_pic_chip {
	u8 irr;			/* requests: latched edges, lines of level inputs */
	u8 isr;			/* in service */
	u8 imr;			/* masked */
	u8 lines;		/* the inputs as they stand */
	u8 elcr;		/* set: this input is level triggered */
	u8 base;		/* vector of input 0, a multiple of 8 */
	u8 lowest;		/* input of lowest priority: 7 after ICW1 */
	u8 init;		/* next of ICW2..4 that is expected, 0: none */
	bool icw4;		/* ICW1 announced one */
	bool read_isr;		/* OCW3: the command port reads ISR, not IRR */
	bool poll;		/* OCW3: the next read is a poll */
	bool special_mask;
	bool auto_eoi, rotate_auto;
	bool special_nested;
};

struct lucid_pic {
	struct lucid_pic_chip chip[2];	/* master (IRQ 0-7), slave (8-15, at IRQ 2) */
};

void lucid_pic_reset(struct lucid_pic *p);

/*
 * lucid_pic_set_line() - an input rises or falls
 * @irq: 0..15 (2 is the slave's: a client that raises it gets a spurious 15, as from KVM)
 * Return: as KVM_IRQ_LINE_STATUS: 1 delivered to IRR (or the line fell), 0
 * coalesced (it was requested already), -1 masked.
 */
int lucid_pic_set_line(struct lucid_pic *p, unsigned int irq, bool level);

/* Is INTR of the master up: has it something for the CPU? */
bool lucid_pic_output(const struct lucid_pic *p);

/*
 * lucid_pic_ack() - the CPU's INTA cycles
 * Return: the vector; input 7's (of the chip in question) if the request has
 * gone meanwhile (spurious).
 */
u8 lucid_pic_ack(struct lucid_pic *p);

/* Ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1. */

/**
 * lucid_pic_has_port - is @port one of the two chips'?
 * @port: I/O port
 *
 * Return: true: lucid_pic_read() and lucid_pic_write() serve it.
 */
static inline bool lucid_pic_has_port(u16 port)
{
	return (port & ~0x81) == 0x20 || (port & ~1) == 0x4d0;
}

u8 lucid_pic_read(struct lucid_pic *p, u16 port);
void lucid_pic_write(struct lucid_pic *p, u16 port, u8 value);

/* KVM_GET_IRQCHIP, KVM_SET_IRQCHIP: @chip 0 or 1. Any image is safe to set. */
void lucid_pic_get(const struct lucid_pic *p, unsigned int chip, struct kvm_pic_state *s);
void lucid_pic_set(struct lucid_pic *p, unsigned int chip, const struct kvm_pic_state *s);

#endif
