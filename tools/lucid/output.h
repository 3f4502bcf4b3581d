/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest sends, on its way to standard output. Lines go out whole: a
 * write for each byte costs more than the guest's exit does. What is no line
 * yet (a prompt) goes out after OUTPUT_WAIT_MS.
 *
 * The buffer is under the machine's lock; @turn is whose write() it is, and is
 * taken first.
 */
#ifndef LUCID_OUTPUT_H
#define LUCID_OUTPUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTPUT_WAIT_MS	10
#define OUTPUT_FULL	4096	/* then it goes out, line or not */
/* ... and one string instruction more, of a page at most. */
#define OUTPUT_MAX	(OUTPUT_FULL + 4096)

struct machine;

struct output {
	pthread_mutex_t turn;
	uint8_t bytes[OUTPUT_MAX];
	size_t len;
	int timer_fd;		/* readable: call output_late() */
	bool armed;
};

void output_init(struct output *out);
/* A byte, with the machine's lock held. */
void output_put(struct output *out, uint8_t byte);
/*
 * After the bytes of an exit, with the machine's lock held: must they go out
 * now, by output_flush()? Else the timer will see to it.
 */
bool output_due(struct output *out);
/* Write all, by a vCPU's thread. A kick ends the wait for a full pipe. */
void output_flush(struct machine *m);
/* The timer went off; by the main thread, which must not wait. */
void output_late(struct machine *m);

#endif
