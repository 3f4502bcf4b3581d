// SPDX-License-Identifier: GPL-2.0
/*
 * The tool's devices as a driver sees them, in --start 64.
 * Leaves with GOOD, or with the number of the check that failed.
 */
#include <stdbool.h>
#include <stdint.h>

#include "guest.h"

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void check(bool good, uint8_t number)
{
	if (!good)
		outb(PORT_DEBUG_EXIT, number);
}

static void uart(void)
{
	/* scratch and divisor registers keep what they are given */
	outb(COM1 + 7, 0x5a);
	check(inb(COM1 + 7) == 0x5a, 1);
	outb(COM1 + 3, 0x83);
	outb(COM1, 0x34);
	outb(COM1 + 1, 0x12);
	check(inb(COM1) == 0x34 && inb(COM1 + 1) == 0x12, 2);
	outb(COM1 + 3, 0x03);
	outb(COM1 + 1, 0xff);
	check(inb(COM1 + 1) == 0x0f, 3);	/* four bits, and not DLM */
	outb(COM1 + 1, 0);
	/* line status: idle; nothing is due; FIFOs show in IIR */
	outb(COM1 + 2, 0x00);
	check(inb(COM1 + 5) == 0x60, 4);
	check(inb(COM1 + 2) == 0x01, 5);
	outb(COM1 + 2, 0xc7);
	check(inb(COM1 + 2) == 0xc1, 6);
	/* modem status: somebody listens */
	inb(COM1 + 6);
	check(inb(COM1 + 6) == 0xb0, 7);

	/* loopback: modem outputs come back as inputs, with their deltas */
	outb(COM1 + 4, 0x10);
	check(inb(COM1 + 6) == 0x0b, 8);
	outb(COM1 + 4, 0x1f);
	check(inb(COM1 + 6) == (0xf0 | 0x0b), 9);
	check(inb(COM1 + 6) == 0xf0, 10);
	/* and bytes as bytes: 16 fit, the 17th is an overrun */
	for (int i = 0; i < 17; i++)
		outb(COM1, i);
	check(inb(COM1 + 5) == 0x63, 11);
	check(inb(COM1 + 5) == 0x61, 12);	/* reading cleared it */
	outb(COM1 + 1, 0x01);
	check(inb(COM1 + 2) == 0xc4, 13);	/* at the trigger level */
	for (int i = 0; i < 10; i++)
		check(inb(COM1) == i, 14);
	check(inb(COM1 + 2) == 0xcc, 15);	/* below it: timeout */
	for (int i = 10; i < 16; i++)
		check(inb(COM1) == i, 16);
	check(inb(COM1 + 5) == 0x60 && inb(COM1 + 2) == 0xc1, 17);
	/* the FIFO's reset bit */
	outb(COM1, 1);
	outb(COM1 + 2, 0xc3);
	check(inb(COM1 + 5) == 0x60, 18);
	/* transmitter empty: due when enabled, gone when IIR was read */
	outb(COM1 + 1, 0x02);
	check(inb(COM1 + 2) == 0xc2 && inb(COM1 + 2) == 0xc1, 19);
	outb(COM1, 1);
	check(inb(COM1 + 2) == 0xc2, 20);
	outb(COM1 + 1, 0);
	outb(COM1 + 2, 0);
	outb(COM1 + 4, 0);
}

static void pic(void)
{
	/* an initialised pair keeps its masks */
	static const struct { uint8_t port, value; } setup[] = {
		{ 0x20, 0x11 }, { 0x21, 0x30 }, { 0x21, 4 }, { 0x21, 1 },
		{ 0xa0, 0x11 }, { 0xa1, 0x38 }, { 0xa1, 2 }, { 0xa1, 1 },
		{ 0x21, 0xff }, { 0xa1, 0xaa },
	};

	for (unsigned int i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
		outb(setup[i].port, setup[i].value);
	check(inb(0x21) == 0xff && inb(0xa1) == 0xaa, 30);

	/* the UART's request shows in IRR; masked, it goes nowhere */
	outb(COM1 + 4, 0x08);
	outb(COM1 + 1, 0x02);
	outb(0x20, 0x0a);
	check(inb(0x20) & 1 << 4, 31);
	/* polled: acknowledged, in service, until its EOI */
	outb(0x21, 0xef);
	outb(0x20, 0x0c);
	check(inb(0x20) == 0x84, 32);
	outb(0x20, 0x0b);
	check(inb(0x20) == 1 << 4, 33);
	outb(0x20, 0x64);
	check(inb(0x20) == 0, 34);
	/* edge triggered: the same request does not come twice */
	outb(0x20, 0x0c);
	check(!(inb(0x20) & 0x80), 35);
	/* without OUT2 it never comes */
	inb(COM1 + 2);
	outb(COM1 + 4, 0);
	outb(COM1, '\n');
	outb(0x20, 0x0a);
	check(!(inb(0x20) & 1 << 4), 36);
	outb(COM1 + 1, 0);
	outb(0x21, 0xff);
}

static uint16_t pit_count(uint8_t channel)
{
	uint16_t low;

	outb(0x43, channel << 6);	/* latch */
	low = inb(0x40 + channel);
	return low | inb(0x40 + channel) << 8;
}

static void pit(void)
{
	uint16_t first, second;

	/* channel 2 behind its gate: stands still, then counts down to out */
	outb(0x61, 0);
	outb(0x43, 0xb0);		/* mode 0 */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	first = pit_count(2);
	second = pit_count(2);
	check(first == 0xffff && second == 0xffff, 40);
	check(!(inb(0x61) & 0x20), 41);
	outb(0x61, 1);
	for (int i = 0; i < 1000 && pit_count(2) == 0xffff; i++)
		;
	check(pit_count(2) < 0xffff, 42);
	outb(0x43, 0xb0);
	outb(0x42, 10);
	outb(0x42, 0);
	for (int i = 0; i < 100000 && !(inb(0x61) & 0x20); i++)
		;
	check(inb(0x61) & 0x20, 43);

	/* read back: mode, access and a loaded count */
	outb(0x43, 0x36);		/* channel 0, mode 3 */
	outb(0x43, 0xe2);
	check((inb(0x40) & 0x7f) == 0x76, 44);
	outb(0x40, 0);
	outb(0x40, 0);
	outb(0x43, 0xe2);
	check((inb(0x40) & 0x7f) == 0x36, 45);
	/* it ticks: its request comes up in the PIC */
	outb(0x43, 0x34);
	outb(0x40, 100);
	outb(0x40, 0);
	outb(0x20, 0x0a);
	for (int i = 0; i < 1000000 && !(inb(0x20) & 1); i++)
		;
	check(inb(0x20) & 1, 46);
	/* the debug console says that it is there */
	check(inb(PORT_DEBUG_CON) == 0xe9, 47);
}

static uint8_t cmos(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void set_cmos(uint8_t index, uint8_t value)
{
	outb(0x70, index);
	outb(0x71, value);
}

/* Wait for the clock's next second.  A busy host may make that late. */
static void next_second(void)
{
	uint8_t now = cmos(0);

	while (cmos(0) == now)
		;
}

/* The same by its update bit, as drivers do; a late look misses some. */
static void next_update(void)
{
	while (!(cmos(0x0a) & 0x80))
		;
	while (cmos(0x0a) & 0x80)
		;
}

static void rtc(void)
{
	check(cmos(0x0d) == 0x80, 70);		/* its battery is good */
	check(cmos(0x0b) == 0x02, 71);		/* BCD, 24 hours */
	check(cmos(0x32) >= 0x20, 72);		/* the century */
	check(cmos(0x15) == 0x80 && cmos(0x16) == 0x02, 73);	/* 640 KiB */
	/* an hour in all four notations, while it stands still */
	set_cmos(0x0b, 0x82);
	set_cmos(4, 0x23);
	check(cmos(4) == 0x23, 74);
	set_cmos(0x0b, 0x86);
	check(cmos(4) == 23, 75);
	set_cmos(0x0b, 0x84);
	check(cmos(4) == (0x80 | 11), 76);
	set_cmos(4, 12);			/* 12 AM is midnight */
	set_cmos(0x0b, 0x82);
	check(cmos(4) == 0, 77);
	/* a date, and the weekday that follows: 1 March 2032 is a Monday */
	set_cmos(0x32, 0x20);
	set_cmos(9, 0x32);
	set_cmos(7, 0x01);
	set_cmos(8, 0x03);
	check(cmos(9) == 0x32 && cmos(8) == 3 && cmos(7) == 1, 78);
	check(cmos(6) == 2, 79);
	/* the second before midnight, and it runs again */
	set_cmos(4, 0x23);
	set_cmos(2, 0x59);
	set_cmos(0, 0x59);
	check(!(cmos(0x0a) & 0x80), 80);	/* no update while it is set */
	set_cmos(0x0b, 0x02);
	check(cmos(0) == 0x59, 81);
	next_second();
	check(cmos(0) <= 3 && cmos(2) == 0 && cmos(4) == 0, 82);
	check(cmos(7) == 2 && cmos(6) == 3, 83);
	next_update();
	/* memory that is none of the clock's is just that */
	set_cmos(0x50, 0xa5);
	check(cmos(0x50) == 0xa5 && cmos(0x0e) == 0, 84);
}

static inline uint32_t pm_timer(void)
{
	uint32_t value;

	asm volatile("inl %w1, %0" : "=a"(value) : "d"(0x608));
	return value;
}

static void pm(void)
{
	uint32_t began = pm_timer(), spent;

	check(inb(0x604) == 0x01, 90);		/* ACPI mode, always */
	/* a second of the clock is 3.58 million ticks, of 24 bits */
	next_second();
	began = pm_timer();
	next_second();
	spent = (pm_timer() - began) & 0xffffff;
	check(spent > 1800000 && spent < 5400000, 91);
	/* sleep states that are none leave it running */
	outb(0x605, 0x20);
	check(inb(0x605) == 0, 92);
	outb(0x60c, 0);
}

static void keyboard(void)
{
	unsigned int n = 0;

	/* gets empty at last; and is free for a command at once */
	while (inb(0x64) & 1 && n++ < 1000)
		inb(0x60);
	check(n > 16 && n < 1000, 95);
	check(!(inb(0x64) & 2), 96);
	check(inb(0x92) & 2, 97);		/* A20 is open */
}

void _start(void);
void __attribute__((section(".text.start"))) _start(void)
{
	uart();
	pic();
	pit();
	rtc();
	pm();
	keyboard();
	outb(PORT_DEBUG_EXIT, GOOD);
}
