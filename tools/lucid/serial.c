// SPDX-License-Identifier: GPL-2.0
/*
 * A 16550A UART on an infinitely fast line: a byte is sent when it is
 * written, and a receive FIFO below its trigger level times out at once.
 */
#include <string.h>

#include "serial.h"

#define REG_DATA	0	/* RBR, THR; DLL with DLAB */
#define REG_IER		1	/* DLM with DLAB */
#define REG_IIR		2	/* FCR when written */
#define REG_LCR		3
#define REG_MCR		4
#define REG_LSR		5
#define REG_MSR		6
#define REG_SCR		7

#define IER_RDA		0x01
#define IER_THRE	0x02
#define IER_LINE	0x04
#define IER_MODEM	0x08
#define IIR_NONE	0x01
#define IIR_MODEM	0x00
#define IIR_THRE	0x02
#define IIR_RDA		0x04
#define IIR_LINE	0x06
#define IIR_TIMEOUT	0x0c
#define IIR_FIFO	0xc0
#define FCR_ENABLE	0x01
#define FCR_CLEAR_RX	0x02
#define FCR_TRIGGER	6	/* shift of the trigger level */
#define LCR_DLAB	0x80
#define MCR_DTR		0x01
#define MCR_RTS		0x02
#define MCR_OUT1	0x04
#define MCR_OUT2	0x08	/* on a PC: lets the interrupt out */
#define MCR_LOOP	0x10
#define LSR_DR		0x01
#define LSR_OE		0x02
#define LSR_ERRORS	0x1e
#define LSR_THRE	0x20
#define LSR_TEMT	0x40
#define MSR_DELTA	0x0f
#define MSR_CTS		0x10
#define MSR_DSR		0x20
#define MSR_RI		0x40
#define MSR_DCD		0x80

/* Reads of LSR in a row that tell a guest which waits for input. */
#define POLLS_LISTENING	8

void serial_init(struct serial *s, void (*send)(void *arg, uint8_t byte),
		 void (*unread)(void *arg, uint8_t byte), void *arg)
{
	memset(s, 0, sizeof(*s));
	s->lsr = LSR_THRE | LSR_TEMT;
	s->msr = MSR_CTS | MSR_DSR | MSR_DCD;	/* somebody listens */
	s->dll = 12;				/* 9600 baud */
	s->send = send;
	s->unread = unread;
	s->arg = arg;
}

static unsigned int rx_size(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

static bool rx_at_trigger(const struct serial *s)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };

	return s->rx_count >= (s->fcr & FCR_ENABLE ?
			       level[s->fcr >> FCR_TRIGGER] : 1);
}

/* The interrupt with the highest priority, as IIR shows it. */
static uint8_t iir(const struct serial *s)
{
	if ((s->ier & IER_LINE) && (s->lsr & LSR_ERRORS))
		return IIR_LINE;
	if ((s->ier & IER_RDA) && s->rx_count)
		return rx_at_trigger(s) ? IIR_RDA : IIR_TIMEOUT;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MODEM) && (s->msr & MSR_DELTA))
		return IIR_MODEM;
	return IIR_NONE;
}

bool serial_irq(const struct serial *s)
{
	return (s->mcr & MCR_OUT2) && iir(s) != IIR_NONE;
}

bool serial_irq_on_input(const struct serial *s)
{
	return (s->mcr & MCR_OUT2) && (s->ier & IER_RDA);
}

static bool listens(const struct serial *s)
{
	return s->polled || (s->ier & IER_RDA);
}

/* What the guest does not want to read now is there when it does. */
static void give_back(struct serial *s)
{
	while (s->rx_count && !(s->mcr & MCR_LOOP))
		s->unread(s->arg, s->rx[(s->rx_head + --s->rx_count) %
					SERIAL_FIFO]);
	s->rx_count = 0;
	s->lsr &= ~LSR_DR;
}

bool serial_room(const struct serial *s)
{
	/*
	 * In loopback the input pin is cut off, and what comes waits.  So it
	 * does until the guest listens: a driver that starts reads and drops
	 * what it finds, and what was typed (or piped in) before that would be
	 * lost.
	 */
	return listens(s) && !(s->mcr & MCR_LOOP) && s->rx_count < rx_size(s);
}

static void rx_put(struct serial *s, uint8_t byte)
{
	if (s->rx_count == rx_size(s)) {
		s->lsr |= LSR_OE;
		/* FIFO: the new byte is lost; without one, the old byte is */
		if (s->fcr & FCR_ENABLE)
			return;
		s->rx_count = 0;
	}
	s->rx[(s->rx_head + s->rx_count++) % SERIAL_FIFO] = byte;
	s->lsr |= LSR_DR;
}

static uint8_t rx_get(struct serial *s)
{
	uint8_t byte = s->rx[s->rx_head];

	if (!s->rx_count)
		return byte;	/* the register keeps its last byte */
	/* the last byte stays at the head, to be read again */
	if (--s->rx_count)
		s->rx_head = (s->rx_head + 1) % SERIAL_FIFO;
	else
		s->lsr &= ~LSR_DR;
	return byte;
}

bool serial_receive(struct serial *s, uint8_t byte)
{
	if (!serial_room(s))
		return false;
	rx_put(s, byte);
	return true;
}

/* In loopback the modem outputs are wired to the modem inputs. */
static uint8_t modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (s->mcr & MCR_RTS ? MSR_CTS : 0) |
	       (s->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (s->mcr & MCR_OUT1 ? MSR_RI : 0) |
	       (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct serial *s, uint8_t value)
{
	uint8_t old = s->msr & ~MSR_DELTA, new, changed;

	s->mcr = value & 0x1f;
	new = modem_lines(s);
	changed = old ^ new;
	/* RI counts when it goes away only (its "trailing edge") */
	if (new & MSR_RI)
		changed &= ~MSR_RI;
	s->msr = new | (s->msr & MSR_DELTA) | changed >> 4;
}

static void write_fcr(struct serial *s, uint8_t value)
{
	/* switching the FIFOs on or off empties them */
	if ((s->fcr ^ value) & FCR_ENABLE)
		value |= FCR_CLEAR_RX;
	/* that is to drop the line's noise, of which there is none */
	if (value & FCR_CLEAR_RX)
		give_back(s);
	/* without the enable bit the others are not even programmed */
	s->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
}

static void transmit(struct serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP)
		rx_put(s, byte);
	else
		s->send(s->arg, byte);
	s->thre_pending = true;
}

uint8_t serial_read(struct serial *s, unsigned int reg)
{
	uint8_t value;

	s->polls = reg == REG_LSR ? s->polls + 1 : 0;
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB)
			return s->dll;
		return rx_get(s);
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case REG_IIR:
		value = iir(s);
		if (value == IIR_THRE)
			s->thre_pending = false;
		return value | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		value = s->lsr;
		/* who only sends looks once before each byte */
		if (s->polls >= POLLS_LISTENING)
			s->polled = true;
		s->lsr &= ~LSR_ERRORS;
		return value;
	case REG_MSR:
		value = s->msr;
		s->msr &= ~MSR_DELTA;
		return value;
	default:
		return s->scr;
	}
}

void serial_write(struct serial *s, unsigned int reg, uint8_t value)
{
	s->polls = 0;
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB)
			s->dll = value;
		else
			transmit(s, value);
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB) {
			s->dlm = value;
			break;
		}
		/* switched on while the transmitter is empty: due at once */
		if (~s->ier & value & IER_THRE)
			s->thre_pending = true;
		s->ier = value & 0x0f;
		if (!listens(s))
			give_back(s);
		break;
	case REG_IIR:
		write_fcr(s, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		write_mcr(s, value);
		break;
	case REG_SCR:
		s->scr = value;
		break;
	default:	/* LSR, MSR: factory tests only */
		break;
	}
}
