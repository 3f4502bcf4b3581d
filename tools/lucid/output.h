/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest sends, on its way to standard output, by a thread of its own:
 * a reader that stops can hold up nobody else.  Lines go out whole: a write for
 * each byte costs more than the guest's exit does.  What is no line yet (a
 * prompt) goes out after OUTPUT_WAIT_MS.
 *
 * All is called with the machine's lock held, but output_start() and
 * output_finish().
 */
#ifndef LUCID_OUTPUT_H
#define LUCID_OUTPUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTPUT_WAIT_MS	10
#define OUTPUT_FULL	4096	/* then a vCPU waits before it sends more ... */
#define OUTPUT_MAX	(OUTPUT_FULL + 4096)	/* ... than one string instruction */
#define OUTPUT_LAST_MS	1000	/* for a slow reader, when the machine is over */

struct machine;

struct output {
	pthread_t thread;
	pthread_cond_t more;	/* for the thread: there is something, or the end */
	uint8_t bytes[OUTPUT_MAX];
	size_t len;
	bool idle;		/* the thread waits for the first byte */
	bool end;		/* nothing will come any more */
};

/* Before and after the vCPUs run. */
void output_start(struct machine *m);
void output_finish(struct machine *m);
/* Wait until there is room for what one exit can send, or all is over. */
void output_wait(struct machine *m);
void output_put(struct output *out, uint8_t byte);

#endif
