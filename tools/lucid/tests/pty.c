// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a command on a terminal of its own and plays the user.
 *
 *   pty [STEP]... -- COMMAND [ARGS]...
 *
 * Steps, in order:
 *   +TEXT    wait until the command has printed TEXT (after the last match)
 *   =TEXT    type TEXT; \xNN is a byte
 *   %raw     the terminal must be in raw mode now
 *   %cooked  the terminal must be as it was
 *   !N       send signal N to the command
 *   @MS      wait so many milliseconds
 * Then it waits for the end.  What the command printed goes to stdout.  Exit
 * status: the command's (128 + N for a signal); 250 if a step failed, 251 if
 * the terminal was not given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define STEP_SECONDS	30

static char output[1 << 20];
static size_t output_len, matched;
static int master, slave;
static struct termios before;

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void fail(pid_t child, const char *why, const char *what)
{
	fprintf(stderr, "pty: %s: %s\n", why, what);
	fwrite(output, 1, output_len, stdout);
	kill(child, SIGKILL);
	exit(250);
}

/* Read what there is, waiting at most @ms. */
static void pump(int ms)
{
	struct pollfd fd = { master, POLLIN, 0 };
	ssize_t n;

	if (poll(&fd, 1, ms) <= 0)
		return;
	n = read(master, output + output_len, sizeof(output) - 1 - output_len);
	if (n > 0)
		output_len += n;
	output[output_len] = '\0';
}

static void wait_for(pid_t child, const char *text)
{
	long end = now_ms() + STEP_SECONDS * 1000;
	char *at;

	for (;;) {
		at = memmem(output + matched, output_len - matched, text,
			    strlen(text));
		if (at) {
			matched = at - output + strlen(text);
			return;
		}
		if (now_ms() > end)
			fail(child, "did not see", text);
		pump(100);
	}
}

static void type(const char *text)
{
	while (*text) {
		char c = *text++;

		if (c == '\\' && *text == 'x') {
			char hex[3] = { text[1], text[2], 0 };

			c = strtoul(hex, NULL, 16);
			text += 3;
		}
		if (write(master, &c, 1) != 1)
			perror("pty: write");
	}
}

static bool is_raw(void)
{
	struct termios t;

	tcgetattr(slave, &t);
	return !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static bool is_as_before(void)
{
	struct termios t;

	tcgetattr(slave, &t);
	return t.c_iflag == before.c_iflag && t.c_oflag == before.c_oflag &&
	       t.c_cflag == before.c_cflag && t.c_lflag == before.c_lflag &&
	       !memcmp(t.c_cc, before.c_cc, sizeof(t.c_cc));
}

static void wait_mode(pid_t child, bool (*test)(void), const char *step)
{
	for (long end = now_ms() + STEP_SECONDS * 1000; !test();) {
		if (now_ms() > end)
			fail(child, "the terminal's mode is wrong", step);
		pump(20);
	}
}

static void do_step(pid_t child, const char *step)
{
	long end;

	switch (step[0]) {
	case '+':
		wait_for(child, step + 1);
		break;
	case '=':
		type(step + 1);
		break;
	case '!':
		kill(child, atoi(step + 1));
		break;
	case '@':
		for (end = now_ms() + atol(step + 1); now_ms() < end;)
			pump(10);
		break;
	case '%':
		wait_mode(child, !strcmp(step, "%raw") ? is_raw : is_as_before,
			  step);
		break;
	default:
		fail(child, "no such step", step);
	}
}

int main(int argc, char **argv)
{
	int steps = 1, status;
	pid_t child;
	long end;

	while (steps < argc && strcmp(argv[steps], "--"))
		steps++;
	if (steps + 1 >= argc)
		return 250;
	master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) || unlockpt(master)) {
		perror("pty: /dev/ptmx");
		return 250;
	}
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0) {
		perror("pty: slave");
		return 250;
	}
	tcgetattr(slave, &before);
	child = fork();
	if (!child) {
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		dup2(slave, 0);
		dup2(slave, 1);
		dup2(slave, 2);
		close(master);
		execvp(argv[steps + 1], argv + steps + 1);
		perror(argv[steps + 1]);
		_exit(250);
	}
	for (int i = 1; i < steps; i++)
		do_step(child, argv[i]);
	end = now_ms() + STEP_SECONDS * 1000;
	while (waitpid(child, &status, WNOHANG) != child) {
		if (now_ms() > end)
			fail(child, "does not end", argv[steps + 1]);
		pump(20);
	}
	pump(0);
	fwrite(output, 1, output_len, stdout);
	if (!is_as_before()) {
		fprintf(stderr, "pty: the terminal was not given back\n");
		return 251;
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}
