// SPDX-License-Identifier: GPL-2.0
/* The command line's first word, and the small helpers that all files use. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lucid.h"

static const char main_help[] =
"usage: lucid COMMAND [OPTIONS]\n"
"\n"
"Runs virtual machines on Lucid (or on anything that speaks KVM's ABI).\n"
"\n"
"commands:\n"
"  run [OPTIONS] --kernel FILE   boot a Linux bzImage\n"
"  run [OPTIONS] IMAGE   run a flat binary, a multiboot ELF or a PVH ELF\n"
"  info [--json]         what the CPU has, what the module offers, who holds\n"
"                        the virtualization hardware, and what to do about it\n"
"  help [COMMAND]        this text, or a command's\n"
"\n"
"options:\n"
"  --help, -h            this text\n"
"  --version, -V         the tool's version\n"
"\n"
"The man page, lucid(8), has the rest.\n";

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", cmd_run, run_help },
	{ "info", cmd_info, info_help },
};

static void complain(const char *fmt, va_list ap)
{
	/* One write a line: another thread's output does not split it. */
	char line[1024];

	vsnprintf(line, sizeof(line), fmt, ap);
	fprintf(stderr, "lucid: %s\n", line);
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	exit(STATUS_ERROR);
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		die("out of memory");
	return p;
}

char *xasprintf(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		die("out of memory");
	va_end(ap);
	return text;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

const char *device_path(const char *option)
{
	const char *env = getenv("LUCID_DEV");

	if (option)
		return option;
	return env && *env ? env : DEFAULT_DEVICE;
}

static bool parse_digits(const char *text, uint64_t *number, char **end)
{
	/* strtoull() takes blanks and signs as well; a size has neither */
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	/* base 16 or 10, never 8: "010" is ten to most people */
	*number = strtoull(text, end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	return !errno && *end != text;
}

bool parse_number(const char *text, uint64_t *number)
{
	char *end;

	return parse_digits(text, number, &end) && !*end;
}

bool parse_size(const char *text, uint64_t *size)
{
	unsigned int shift = 0;
	char *end;

	if (!parse_digits(text, size, &end))
		return false;
	switch (*end) {
	case 'k': case 'K':
		shift = 10;
		break;
	case 'm': case 'M':
		shift = 20;
		break;
	case 'g': case 'G':
		shift = 30;
		break;
	case 't': case 'T':
		shift = 40;
		break;
	case '\0':
		return true;
	default:
		return false;
	}
	if (end[1] || *size > UINT64_MAX >> shift)
		return false;
	*size <<= shift;
	return true;
}

const char *size_text(uint64_t size)
{
	static char text[32];
	static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB" };
	unsigned int i = 0;

	while (i + 1 < ARRAY_SIZE(unit) && size && !(size & 1023)) {
		size >>= 10;
		i++;
	}
	snprintf(text, sizeof(text), "%llu %s", (unsigned long long)size,
		 unit[i]);
	return text;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	die("no command '%s'; 'lucid --help' lists them", name);
}

int main(int argc, char **argv)
{
	const char *word = argv[1];

	if (argc < 2) {
		fputs(main_help, stderr);
		return STATUS_ERROR;
	}
	if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
		puts("lucid " LUCID_VERSION);
	} else if (!strcmp(word, "--help") || !strcmp(word, "-h") ||
		   (!strcmp(word, "help") && argc == 2)) {
		fputs(main_help, stdout);
	} else if (!strcmp(word, "help")) {
		fputs(find_command(argv[2])->help, stdout);
	} else if (word[0] == '-') {
		die("no option '%s' here; 'lucid --help' lists what there is",
		    word);
	} else {
		return find_command(word)->run(argc - 1, argv + 1);
	}
	if (fflush(stdout))
		die("standard output: %s", strerror(errno));
	return STATUS_OK;
}
