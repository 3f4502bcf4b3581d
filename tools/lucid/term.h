/* SPDX-License-Identifier: GPL-2.0 */
/* The terminal in raw mode, given back on every way out. */
#ifndef LUCID_TERM_H
#define LUCID_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum term_action {
	TERM_BYTE,	/* give the byte to the guest */
	TERM_NONE,	/* it was part of an escape */
	TERM_QUIT,
	TERM_HELP,
};

/* Is stdin a terminal, and are we in its foreground? */
bool term_present(void);
/*
 * Raw mode: every key, Ctrl-C too, goes to the guest.  Given back at exit(),
 * by term_restore(), and when the tool itself crashes.
 */
void term_raw(void);
void term_restore(void);
/* What is to be done with this byte from the terminal? */
enum term_action term_input(uint8_t byte);
extern const char term_help[];

#endif
