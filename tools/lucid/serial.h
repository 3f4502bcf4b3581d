/* SPDX-License-Identifier: GPL-2.0 */
/* A 16550A UART, by the data sheet of National's PC16550D. */
#ifndef LUCID_SERIAL_H
#define LUCID_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#define SERIAL_BASE	0x3f8
#define SERIAL_IRQ	4
#define SERIAL_FIFO	16

struct serial {
	uint8_t ier, lcr, mcr, lsr, msr, scr, fcr;
	uint8_t dll, dlm;
	bool polled;		/* the guest has shown that it reads by polling */
	bool thre_pending;	/* a "transmitter empty" interrupt is due */
	uint8_t rx[SERIAL_FIFO];
	unsigned int rx_head, rx_count;
	unsigned int polls;	/* LSR was read so often, and nothing else */
	/* what goes out; called with the byte */
	void (*send)(void *arg, uint8_t byte);
	/* what was given back unread, last byte first */
	void (*unread)(void *arg, uint8_t byte);
	void *arg;
};

void serial_init(struct serial *s, void (*send)(void *arg, uint8_t byte),
		 void (*unread)(void *arg, uint8_t byte), void *arg);
/* A guest's access to register @reg (0 to 7). */
uint8_t serial_read(struct serial *s, unsigned int reg);
void serial_write(struct serial *s, unsigned int reg, uint8_t value);
/* A byte comes in from outside.  False: there is no room, keep it. */
bool serial_receive(struct serial *s, uint8_t byte);
bool serial_room(const struct serial *s);
/* The interrupt line, as it reaches the interrupt controller. */
bool serial_irq(const struct serial *s);
/* Would a byte from outside raise it? */
bool serial_irq_on_input(const struct serial *s);

#endif
