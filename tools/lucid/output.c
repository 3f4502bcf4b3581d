// SPDX-License-Identifier: GPL-2.0
/* From the serial port to standard output; see output.h. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lucid.h"
#include "machine.h"
#include "output.h"

static void in_ms(struct timespec *ts, clockid_t clock, long ms)
{
	clock_gettime(clock, ts);
	ts->tv_nsec += ms * 1000000;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

static bool worth_writing(const struct output *out)
{
	return out->end || out->len >= OUTPUT_FULL ||
	       out->bytes[out->len - 1] == '\n';
}

/* Take what is due; 0: that was all. */
static size_t take(struct machine *m, uint8_t *bytes)
{
	struct output *out = &m->out;
	struct timespec until;
	size_t len;

	pthread_mutex_lock(&m->lock);
	out->idle = true;
	while (!out->len && !out->end)
		pthread_cond_wait(&out->more, &m->lock);
	out->idle = false;
	in_ms(&until, CLOCK_MONOTONIC, OUTPUT_WAIT_MS);
	while (out->len && !worth_writing(out) &&
	       pthread_cond_timedwait(&out->more, &m->lock, &until) != ETIMEDOUT)
		;
	len = out->len;
	memcpy(bytes, out->bytes, len);
	out->len = 0;
	if (len >= OUTPUT_FULL)		/* somebody may wait for room */
		pthread_cond_broadcast(&m->wake);
	pthread_mutex_unlock(&m->lock);
	return len;
}

static void *output_thread(void *arg)
{
	static uint8_t bytes[OUTPUT_MAX];
	struct machine *m = arg;
	size_t len, done;
	ssize_t n;

	while ((len = take(m, bytes))) {
		for (done = 0; done < len; done += n < 0 ? 0 : n) {
			n = write(STDOUT_FILENO, bytes + done, len - done);
			if (n < 0 && errno == EAGAIN) {
				struct pollfd fd = { STDOUT_FILENO, POLLOUT, 0 };

				poll(&fd, 1, -1);
			} else if (n < 0 && errno != EINTR) {
				machine_end(m, NULL, STATUS_ERROR,
					    "standard output: %s", strerror(errno));
				return NULL;
			}
		}
	}
	return NULL;
}

void output_start(struct machine *m)
{
	pthread_condattr_t attr;
	int err;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->out.more, &attr);
	err = pthread_create(&m->out.thread, NULL, output_thread, m);
	if (err)
		die("no thread for the output: %s", strerror(err));
}

void output_finish(struct machine *m)
{
	struct timespec until;

	pthread_mutex_lock(&m->lock);
	m->out.end = true;
	pthread_cond_signal(&m->out.more);
	pthread_mutex_unlock(&m->lock);
	/* a reader that has stopped keeps the rest from going out, not us */
	in_ms(&until, CLOCK_REALTIME, OUTPUT_LAST_MS);
	pthread_timedjoin_np(m->out.thread, NULL, &until);
}

void output_wait(struct machine *m)
{
	while (m->out.len >= OUTPUT_FULL && !m->over)
		pthread_cond_wait(&m->wake, &m->lock);
}

void output_put(struct output *out, uint8_t byte)
{
	if (out->len == sizeof(out->bytes))
		return;		/* not after output_wait(), but at the very end */
	out->bytes[out->len++] = byte;
	if (out->idle || byte == '\n' || out->len == OUTPUT_FULL) {
		out->idle = false;
		pthread_cond_signal(&out->more);
	}
}
