/* SPDX-License-Identifier: GPL-2.0 */
/*
 * lucid, the userspace tool: what all of its files share.
 *
 * The tool speaks KVM's ABI only (and Lucid's additions to it, where the
 * device says that it has them), so it runs unchanged on /dev/kvm.
 */
#ifndef LUCID_TOOL_H
#define LUCID_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUCID_VERSION	"0.1"
#define DEFAULT_DEVICE	"/dev/lucid"

/* Exit statuses of the tool's own; a guest's debug-exit gives any other. */
#define STATUS_OK	0
#define STATUS_ERROR	1	/* bad usage, bad image, no device, guest died */
#define STATUS_TIMEOUT	124	/* --timeout ran out, as timeout(1) has it */
#define STATUS_SIGNAL	128	/* + the signal's number */

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define KIB		(1ull << 10)
#define MIB		(1ull << 20)
#define GIB		(1ull << 30)

/* main.c: one line on stderr, then exit with STATUS_ERROR */
void die(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *xcalloc(size_t n, size_t size);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* The device to open: --dev, else $LUCID_DEV, else /dev/lucid. */
const char *device_path(const char *option);

/*
 * A size such as 64K, 256M, 2G or 0x1000.  Returns false if @text is not one
 * or does not fit in 64 bits.
 */
bool parse_size(const char *text, uint64_t *size);
/* The same without a suffix: a plain number, hex with 0x. */
bool parse_number(const char *text, uint64_t *number);
/* "512 MiB", "4 KiB"; the largest unit that divides @size.  Static buffer. */
const char *size_text(uint64_t size);

/* one file a subcommand; each returns the tool's exit status */
int cmd_run(int argc, char **argv);
int cmd_info(int argc, char **argv);
extern const char run_help[], info_help[];

#endif
