/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An I/O APIC with 24 inputs (Intel 82093AA data sheet).
 *
 * Pure logic, no locks: the owner serializes (irqchip.c: vm->irq.lock).
 */
#ifndef LUCID_IRQ_IOAPIC_H
#define LUCID_IRQ_IOAPIC_H

#include <linux/kvm.h>
#include <linux/types.h>

#define LUCID_IOAPIC_BASE	0xfec00000ull
#define LUCID_IOAPIC_SIZE	0x100
#define LUCID_IOAPIC_PINS	24

/* Delivery modes, as in ICR, LVT, MSI and redirection entries. */
enum lucid_irq_mode {
	LUCID_IRQ_FIXED, LUCID_IRQ_LOWEST, LUCID_IRQ_SMI, LUCID_IRQ_REMOTE_READ,
	LUCID_IRQ_NMI, LUCID_IRQ_INIT, LUCID_IRQ_STARTUP, LUCID_IRQ_EXTINT,
};

/* An interrupt on its way to local APICs. */
struct lucid_irq_msg {
	u32 dest;		/* 8 bits; 32 from an x2APIC's ICR */
	bool logical;		/* how @dest is to be read */
	bool x2apic;		/* @dest has 32 bits */
	bool level;		/* trigger mode: EOI is broadcast */
	bool assert;		/* of INIT: false is the level de-assert */
	u8 mode;		/* enum lucid_irq_mode */
	u8 vector;
};

struct lucid_ioapic {
	u64 redir[LUCID_IOAPIC_PINS];
	u32 lines;		/* the inputs as they stand */
	u32 irr;		/* lines that are up, but for edges that were sent (or lost) */
	u8 id;			/* bits 27:24 of register 0, as a number */
	u8 select;		/* IOREGSEL */
};

/*
 * Given by the owner: send @msg to the local APICs.
 * Return: as KVM_IRQ_LINE_STATUS: above 0 delivered, 0 coalesced, -1 nobody
 * there.
 */
int lucid_ioapic_send(struct lucid_ioapic *io, const struct lucid_irq_msg *msg);

void lucid_ioapic_reset(struct lucid_ioapic *io);

/*
 * lucid_ioapic_set_line() - an input (0..23) rises or falls
 * Edge: sent at a rising edge. Level: sent while up, unless remote IRR says
 * that it was sent and no EOI has come.
 * Return: as lucid_ioapic_send(); -1 masked, or a level that waits for its EOI;
 * 0 an edge that was up already.
 */
int lucid_ioapic_set_line(struct lucid_ioapic *io, unsigned int pin, bool level);

/* A local APIC has ended a level-triggered @vector: clear remote IRR, send again what is up. */
void lucid_ioapic_eoi(struct lucid_ioapic *io, u8 vector);

/* Does any level entry, masked or not, use @vector?  (Then its EOI must come here.) */
bool lucid_ioapic_wants_eoi(const struct lucid_ioapic *io, u8 vector);

/*
 * @offset from LUCID_IOAPIC_BASE: 0 IOREGSEL, 0x10 IOWIN, 0x40 EOI is not of
 * this chip (version 0x11). Reads of others are 0, writes are lost. What a
 * register number in IOREGSEL that means nothing reads is ~0. Accesses
 * of 1, 2, 8 bytes: as KVM does it (see its ioapic.c for what guests may rely
 * on), the value is that of 4.
 */
u32 lucid_ioapic_read(struct lucid_ioapic *io, u32 offset);
void lucid_ioapic_write(struct lucid_ioapic *io, u32 offset, u32 value);

/*
 * A message-signalled interrupt (SDM vol. 3A, "Message Signalled Interrupts").
 * Without KVM_X2APIC_API_USE_32BIT_IDS the caller clears @address's upper half;
 * with it @msg->x2apic is set only if the destination needs more than 8 bits.
 */
void lucid_msi_to_msg(u64 address, u32 data, struct lucid_irq_msg *msg);

void lucid_ioapic_get(const struct lucid_ioapic *io, struct kvm_ioapic_state *s);
void lucid_ioapic_set(struct lucid_ioapic *io, const struct kvm_ioapic_state *s);

#endif
