/* SPDX-License-Identifier: GPL-2.0 */
/* TAP (Test Anything Protocol) for the host tests, and their random numbers. */
#ifndef LUCID_HOST_TAP_H
#define LUCID_HOST_TAP_H

#include <linux/types.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3), unused))
static void tap_result(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("%s %d - ", what, ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

#define tap_ok(cond, ...) do {						\
	if (cond) {							\
		tap_result("ok", __VA_ARGS__);				\
	} else {							\
		tap_failed++;						\
		tap_result("not ok", __VA_ARGS__);			\
	}								\
} while (0)

#define tap_diag(fmt, ...)	printf("# " fmt "\n", ##__VA_ARGS__)

/* A test that cannot run here, and why: counted, never silent. */
#define tap_skip(name, why)	tap_result("ok", "%s # SKIP %s", name, why)

/* Print the plan; the exit status of main(). */
__attribute__((unused))
static int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

/* xorshift64*: the same numbers everywhere for a seed. */
static u64 rnd_state = 1;

__attribute__((unused))
static u64 rnd(void)
{
	rnd_state ^= rnd_state >> 12;
	rnd_state ^= rnd_state << 25;
	rnd_state ^= rnd_state >> 27;
	return rnd_state * 0x2545f4914f6cdd1dull;
}

/* A number below @n. */
__attribute__((unused))
static u32 rnd_below(u32 n)
{
	return (rnd() >> 32) % n;
}

/* Seed from the test's default, or from $SEED; printed, so that a run can be repeated. */
__attribute__((unused))
static void rnd_seed(u64 seed)
{
	const char *env = getenv("SEED");

	if (env)
		seed = strtoull(env, NULL, 0);
	tap_diag("seed %llu (set SEED to change it)", (unsigned long long)seed);
	rnd_state = seed ? seed : 1;
}

#endif
