// SPDX-License-Identifier: GPL-2.0
/* From the serial port to standard output; see output.h. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lucid.h"
#include "machine.h"
#include "output.h"

/* A pipe or terminal that has room at all takes so much without waiting. */
#define LATE_MAX	256

void output_init(struct output *out)
{
	pthread_mutex_init(&out->turn, NULL);
	out->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				       TFD_CLOEXEC | TFD_NONBLOCK);
	if (out->timer_fd < 0)
		die("no timer descriptor: %s", strerror(errno));
}

void output_put(struct output *out, uint8_t byte)
{
	if (out->len < sizeof(out->bytes))
		out->bytes[out->len++] = byte;
}

static void arm(struct output *out)
{
	const struct itimerspec spec = {
		.it_value.tv_nsec = OUTPUT_WAIT_MS * 1000000,
	};

	timerfd_settime(out->timer_fd, 0, &spec, NULL);
	out->armed = true;
}

bool output_due(struct output *out)
{
	if (!out->len)
		return false;
	if (out->bytes[out->len - 1] == '\n' || out->len >= OUTPUT_FULL)
		return true;
	if (!out->armed)
		arm(out);
	return false;
}

/* Take up to @max bytes out of the buffer. */
static size_t take(struct machine *m, uint8_t *bytes, size_t max)
{
	struct output *out = &m->out;
	size_t n;

	pthread_mutex_lock(&m->lock);
	n = out->len < max ? out->len : max;
	memcpy(bytes, out->bytes, n);
	out->len -= n;
	memmove(out->bytes, out->bytes + n, out->len);
	pthread_mutex_unlock(&m->lock);
	return n;
}

static void failed(struct machine *m)
{
	machine_end(m, NULL, STATUS_ERROR, "standard output: %s",
		    strerror(errno));
}

void output_flush(struct machine *m)
{
	uint8_t bytes[OUTPUT_MAX];
	size_t done = 0, len;
	ssize_t n;

	pthread_mutex_lock(&m->out.turn);
	len = take(m, bytes, sizeof(bytes));
	while (done < len) {
		n = write(STDOUT_FILENO, bytes + done, len - done);
		if (n >= 0) {
			done += n;
		} else if (errno == EAGAIN) {
			struct pollfd fd = { STDOUT_FILENO, POLLOUT, 0 };

			poll(&fd, 1, 100);
		} else if (errno != EINTR) {
			failed(m);
			break;
		}
		/* over because of this output's last byte: still write it all */
		if (m->over && n < 0)
			break;
	}
	pthread_mutex_unlock(&m->out.turn);
}

void output_late(struct machine *m)
{
	struct pollfd fd = { STDOUT_FILENO, POLLOUT, 0 };
	struct output *out = &m->out;
	uint8_t bytes[LATE_MAX];
	size_t done, len;
	ssize_t n;

	/* else a vCPU writes, and what comes after it waits once more */
	if (!pthread_mutex_trylock(&out->turn)) {
		if (poll(&fd, 1, 0) > 0) {
			len = take(m, bytes, sizeof(bytes));
			for (done = 0; done < len; done += n) {
				n = write(STDOUT_FILENO, bytes + done, len - done);
				if (n < 0 && errno != EINTR && errno != EAGAIN) {
					failed(m);
					break;
				}
				n = n < 0 ? 0 : n;
			}
		}
		pthread_mutex_unlock(&out->turn);
	}
	pthread_mutex_lock(&m->lock);
	out->armed = false;
	if (out->len)
		arm(out);
	pthread_mutex_unlock(&m->lock);
}
