/* SPDX-License-Identifier: GPL-2.0 */
/* As much of a PC's keyboard controller as resets the machine. */
#ifndef LUCID_KBD_H
#define LUCID_KBD_H

#include <stdbool.h>
#include <stdint.h>

#define KBD_DATA	0x60
#define KBD_STATUS	0x64	/* written: commands */

struct kbd {
	unsigned int junk;	/* bytes that still wait to be read */
};

void kbd_init(struct kbd *kbd);
uint8_t kbd_read(struct kbd *kbd, unsigned int port);
/* True: the command was "pulse the reset line". */
bool kbd_write(struct kbd *kbd, unsigned int port, uint8_t value);

#endif
