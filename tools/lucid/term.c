// SPDX-License-Identifier: GPL-2.0
/* The terminal in raw mode, given back on every way out. */
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "lucid.h"
#include "term.h"

#define CTRL_A	0x01

const char term_help[] =
"\nlucid: Ctrl-A x       quit\n"
"lucid: Ctrl-A h       this help\n"
"lucid: Ctrl-A Ctrl-A  send Ctrl-A to the guest\n";

static struct termios saved;
static volatile sig_atomic_t raw;

bool term_present(void)
{
	struct termios t;

	/* in the background, touching the terminal would stop us */
	return !tcgetattr(STDIN_FILENO, &t) &&
	       tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* Async-signal-safe, as the crash handler needs it. */
void term_restore(void)
{
	if (!raw)
		return;
	raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void crash(int sig)
{
	/* SA_RESETHAND: the fault happens again, and now it kills */
	term_restore();
	raise(sig);
}

void term_raw(void)
{
	static const int fatal[] = {
		SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS,
	};
	static bool registered;
	struct sigaction sa = { .sa_handler = crash, .sa_flags = SA_RESETHAND };
	struct termios t;

	if (raw || tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	if (!registered) {
		atexit(term_restore);
		for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
			sigaction(fatal[i], &sa, NULL);
		registered = true;
	}
	t = saved;
	cfmakeraw(&t);
	/* Output stays as it was: "\n" from a guest begins a new line. */
	t.c_oflag = saved.c_oflag;
	raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

enum term_action term_input(uint8_t byte)
{
	static bool escape;

	if (!escape) {
		escape = byte == CTRL_A;
		return escape ? TERM_NONE : TERM_BYTE;
	}
	escape = false;
	switch (byte) {
	case CTRL_A:
		return TERM_BYTE;
	case 'x': case 'X':
		return TERM_QUIT;
	case 'h': case 'H': case '?':
		return TERM_HELP;
	default:
		return TERM_NONE;
	}
}
