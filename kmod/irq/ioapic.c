// SPDX-License-Identifier: GPL-2.0
/*
 * An I/O APIC: 24 inputs, each with a redirection entry that says what message
 * its interrupt is.
 *
 * Edge: a rising input is sent once; if the entry is masked then, it is lost.
 * Level: sent while the input is up, and not again before the EOI ("remote
 * IRR").  One event sends at most one message for each input, whatever the
 * guest does: what its EOI sets free is sent in lucid_ioapic_eoi(), once, and
 * waits for the next EOI.
 *
 * The data sheet is Intel's 82093AA (order number 290566); entries read back
 * what was written into reserved bits, as KVM's do.
 */
#include <linux/nospec.h>
#include <linux/string.h>

#include "ioapic.h"

/* "I/O Redirection Table Registers". */
#define REDIR_VECTOR		0xffull
#define REDIR_MODE_SHIFT	8
#define REDIR_LOGICAL		(1ull << 11)
#define REDIR_STATUS		(1ull << 12)	/* read only */
#define REDIR_REMOTE_IRR	(1ull << 14)	/* read only */
#define REDIR_LEVEL		(1ull << 15)
#define REDIR_MASKED		(1ull << 16)
#define REDIR_DEST_SHIFT	56

#define REG_ID		0
#define REG_VERSION	1
#define REG_ARBITRATION	2
#define REG_REDIR	0x10

#define VERSION		(0x11 | (LUCID_IOAPIC_PINS - 1) << 16)

static unsigned int redir_mode(u64 entry)
{
	return (entry >> REDIR_MODE_SHIFT) & 7;
}

/*
 * Level triggered, and ended by an EOI.  SMI, NMI, INIT and ExtINT are edges
 * even if programmed as level ("I/O Redirection Table Registers", DELMOD).
 */
static bool is_level(u64 entry)
{
	return (entry & REDIR_LEVEL) && redir_mode(entry) <= LUCID_IRQ_LOWEST;
}

/* Return: as lucid_ioapic_set_line(). */
static int service(struct lucid_ioapic *io, unsigned int pin)
{
	u64 entry = io->redir[pin];
	struct lucid_irq_msg msg = {
		.dest = entry >> REDIR_DEST_SHIFT,
		.logical = entry & REDIR_LOGICAL,
		.level = is_level(entry),
		.assert = true,
		.mode = redir_mode(entry),
		.vector = entry & REDIR_VECTOR,
	};
	int ret;

	if (entry & REDIR_MASKED)
		return -1;
	if (!msg.level) {
		io->irr &= ~(1u << pin);
		return lucid_ioapic_send(io, &msg);
	}
	if (entry & REDIR_REMOTE_IRR)
		return -1;
	/*
	 * "Remote IRR: set when local APICs accept the interrupt."  One that
	 * has requested this vector already ends it with an EOI, which comes
	 * here, and then this input's turn is.
	 */
	ret = lucid_ioapic_send(io, &msg);
	if (ret > 0)
		io->redir[pin] |= REDIR_REMOTE_IRR;
	return ret;
}

/**
 * lucid_ioapic_reset - power-up: all masked
 * @io: the I/O APIC
 */
void lucid_ioapic_reset(struct lucid_ioapic *io)
{
	unsigned int pin;

	memset(io, 0, sizeof(*io));
	for (pin = 0; pin < LUCID_IOAPIC_PINS; pin++)
		io->redir[pin] = REDIR_MASKED;
}

/**
 * lucid_ioapic_set_line - an input rises or falls, or is said to be as it was
 * @io: the I/O APIC
 * @pin: 0..23
 * @level: up
 *
 * Return: above 0: delivered (or the line fell); 0: coalesced, or an edge that
 * was up already; -1: masked, or a level that waits for its EOI, or nobody is
 * there.
 */
int lucid_ioapic_set_line(struct lucid_ioapic *io, unsigned int pin, bool level)
{
	bool was_up;
	u32 bit;

	if (pin >= LUCID_IOAPIC_PINS)
		return -1;
	bit = 1u << pin;
	if (!level) {
		io->lines &= ~bit;
		io->irr &= ~bit;
		return 1;
	}
	was_up = io->lines & bit;
	if (was_up && !is_level(io->redir[pin]))
		return 0;
	io->lines |= bit;
	io->irr |= bit;
	return service(io, pin);
}

/**
 * lucid_ioapic_eoi - a local APIC has ended a level-triggered vector
 * @io: the I/O APIC
 * @vector: which
 *
 * Masked entries take part: an EOI that is missed would leave remote IRR set
 * for ever.
 */
void lucid_ioapic_eoi(struct lucid_ioapic *io, u8 vector)
{
	unsigned int pin;

	for (pin = 0; pin < LUCID_IOAPIC_PINS; pin++) {
		u64 *entry = &io->redir[pin];

		if (!is_level(*entry) || (*entry & REDIR_VECTOR) != vector)
			continue;
		*entry &= ~REDIR_REMOTE_IRR;
		if (io->lines & (1u << pin))
			service(io, pin);
	}
}

/**
 * lucid_ioapic_wants_eoi - has a level-triggered entry, masked or not, @vector?
 * @io: the I/O APIC
 * @vector: of a local APIC's EOI
 *
 * Return: true: lucid_ioapic_eoi() has something to do.
 */
bool lucid_ioapic_wants_eoi(const struct lucid_ioapic *io, u8 vector)
{
	unsigned int pin;

	for (pin = 0; pin < LUCID_IOAPIC_PINS; pin++)
		if (is_level(io->redir[pin]) && (io->redir[pin] & REDIR_VECTOR) == vector)
			return true;
	return false;
}

/* The entry that IOREGSEL, a byte of the guest's, names; NULL: none. */
static u64 *selected(struct lucid_ioapic *io)
{
	unsigned int pin = (io->select - REG_REDIR) >> 1;

	if (io->select < REG_REDIR || pin >= LUCID_IOAPIC_PINS)
		return NULL;
	return &io->redir[array_index_nospec(pin, LUCID_IOAPIC_PINS)];
}

/**
 * lucid_ioapic_read - a read of 32 bits from the page
 * @io: the I/O APIC
 * @offset: from LUCID_IOAPIC_BASE
 *
 * Return: the value; of registers that IOREGSEL names and that do not exist,
 * all ones (as KVM has it); elsewhere in the page 0.
 */
u32 lucid_ioapic_read(struct lucid_ioapic *io, u32 offset)
{
	u64 *entry;

	if (offset == 0)
		return io->select;
	if (offset != 0x10)
		return 0;
	switch (io->select) {
	case REG_ID:
	case REG_ARBITRATION:
		return (u32)io->id << 24;
	case REG_VERSION:
		return VERSION;
	}
	entry = selected(io);
	if (!entry)
		return ~0u;
	return io->select & 1 ? *entry >> 32 : *entry;
}

static void write_redir(struct lucid_ioapic *io, unsigned int pin, bool high, u32 value)
{
	const u64 read_only = REDIR_STATUS | REDIR_REMOTE_IRR;
	u64 old = io->redir[pin], entry;
	u32 bit = 1u << pin;

	if (high)
		entry = (u64)value << 32 | (u32)old;
	else
		entry = (old & ~0xffffffffull) | value;
	entry = (entry & ~read_only) | (old & read_only);
	/*
	 * The chip without an EOI register: systems switch an entry to edge
	 * and back to end its interrupt.
	 */
	if (!is_level(entry))
		entry &= ~REDIR_REMOTE_IRR;
	io->redir[pin] = entry;

	if (!(io->lines & bit))
		return;
	if (is_level(entry)) {
		io->irr |= bit;
		service(io, pin);
	} else if (!(entry & REDIR_MASKED)) {
		io->irr &= ~bit;	/* it came in the mask: lost */
	}
}

/**
 * lucid_ioapic_write - a write of 32 bits to the page
 * @io: the I/O APIC
 * @offset: from LUCID_IOAPIC_BASE
 * @value: what is written
 */
void lucid_ioapic_write(struct lucid_ioapic *io, u32 offset, u32 value)
{
	u64 *entry;

	if (offset == 0) {
		io->select = value;
	} else if (offset == 0x10) {
		entry = selected(io);
		if (entry)
			write_redir(io, entry - io->redir, io->select & 1, value);
		else if (io->select == REG_ID)
			io->id = (value >> 24) & 0xf;
	}
}

/**
 * lucid_msi_to_msg - what an address and data pair of MSI means
 * @address: bits 63:40 hold bits 31:8 of the destination where the VM has
 *           KVM_X2APIC_API_USE_32BIT_IDS; else the caller passes 0 there
 * @data: the data
 * @msg: filled; @msg->x2apic says that the destination has more than 8 bits
 */
void lucid_msi_to_msg(u64 address, u32 data, struct lucid_irq_msg *msg)
{
	u32 high = (address >> 32) & 0xffffff00;

	*msg = (struct lucid_irq_msg) {
		.dest = high | ((address >> 12) & 0xff),
		.logical = address & (1 << 2),
		.x2apic = high,
		.assert = true,
		.mode = (data >> 8) & 7,
		.vector = data & 0xff,
	};
	msg->level = (data & (1 << 15)) && msg->mode <= LUCID_IRQ_LOWEST;
	/* "Redirection hint": to one of those that are meant. */
	if ((address & (1 << 3)) && msg->mode == LUCID_IRQ_FIXED)
		msg->mode = LUCID_IRQ_LOWEST;
}

/**
 * lucid_ioapic_get - KVM_GET_IRQCHIP
 * @io: the I/O APIC
 * @s: KVM's image of it, filled.  Edges that were sent are not in its IRR,
 *     though their line is up: lucid_ioapic_set() would send them again.
 */
void lucid_ioapic_get(const struct lucid_ioapic *io, struct kvm_ioapic_state *s)
{
	unsigned int pin;

	memset(s, 0, sizeof(*s));
	s->base_address = LUCID_IOAPIC_BASE;
	s->ioregsel = io->select;
	s->id = io->id;
	s->irr = io->irr;
	for (pin = 0; pin < LUCID_IOAPIC_PINS; pin++)
		s->redirtbl[pin].bits = io->redir[pin];
}

/**
 * lucid_ioapic_set - KVM_SET_IRQCHIP
 * @io: the I/O APIC
 * @s: KVM's image of it; the lines in its IRR rise, and are sent if they can be
 */
void lucid_ioapic_set(struct lucid_ioapic *io, const struct kvm_ioapic_state *s)
{
	unsigned int pin;

	lucid_ioapic_reset(io);
	io->select = s->ioregsel;
	io->id = s->id & 0xf;
	for (pin = 0; pin < LUCID_IOAPIC_PINS; pin++) {
		u64 entry = s->redirtbl[pin].bits;

		io->redir[pin] = is_level(entry) ? entry : entry & ~REDIR_REMOTE_IRR;
	}
	for (pin = 0; pin < LUCID_IOAPIC_PINS; pin++)
		if (s->irr & (1u << pin))
			lucid_ioapic_set_line(io, pin, true);
}
