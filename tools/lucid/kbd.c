// SPDX-License-Identifier: GPL-2.0
/*
 * A keyboard controller without a keyboard, and with the one command that
 * everybody knows: reset.
 *
 * A driver must find out soon that nobody is there, and each of its timeouts
 * is half a second.  So the controller begins with more bytes in its buffer
 * than it can hold: Linux tries to empty it, sees that it does not get empty,
 * and leaves.  A loader that reads until there is nothing is through, too.
 * The input buffer is always free, so that nobody waits before a reset.
 */
#include "kbd.h"

#define JUNK		32	/* Linux gives up after 16 */
#define STATUS_FULL	0x01	/* a byte waits */
#define STATUS_SELFTEST	0x04	/* passed */
#define COMMAND_RESET	0xfe

void kbd_init(struct kbd *kbd)
{
	kbd->junk = JUNK;
}

uint8_t kbd_read(struct kbd *kbd, unsigned int port)
{
	if (port == KBD_STATUS)
		return STATUS_SELFTEST | (kbd->junk ? STATUS_FULL : 0);
	if (kbd->junk)
		kbd->junk--;
	return 0;
}

bool kbd_write(struct kbd *kbd, unsigned int port, uint8_t value)
{
	(void)kbd;
	return port == KBD_STATUS && value == COMMAND_RESET;
}
