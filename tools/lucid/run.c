// SPDX-License-Identifier: GPL-2.0
/* lucid run: the command line, the main thread, the end. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cpuid.h"
#include "irqchip.h"
#include "load.h"
#include "lucid.h"
#include "machine.h"
#include "term.h"

#define DEFAULT_MEM	(64 * MIB)
#define LINUX_MEM	(512 * MIB)
#define LINUX_CMDLINE	"console=ttyS0"
/*
 * Comes before what --cmdline says: a panic ends the guest, and leaves a mark
 * by which machine.c tells it from a reset that was wanted.
 */
#define LINUX_PANIC	"panic=-1 reboot=panic_warm"
/*
 * ... and this, where no paravirtual clock tells it: measured against a timer
 * whose reads are exits, the TSC's frequency comes out wrong or not at all.
 */
#define LINUX_TSC	" tsc_early_khz=%u"
/* ... and this behind, where all interrupts come by the tool's own 8259s. */
#define LINUX_NO_APIC	"noapic nolapic"
#define MAX_CPUS	64
#define MAX_TIMEOUT	(365 * 24 * 3600ull)
#define JOIN_RETRY_MS	20

const char run_help[] =
"usage: lucid run [OPTIONS] --kernel FILE\n"
"       lucid run [OPTIONS] IMAGE\n"
"\n"
"Runs a guest in a virtual machine with a serial port on this terminal: a Linux\n"
"kernel (a bzImage, such as /boot/vmlinuz-*), or IMAGE: a flat binary (say how\n"
"it starts: --start), an ELF with a PVH note or an ELF with a multiboot header.\n"
"\n"
"Linux:\n"
"  --kernel FILE       the bzImage, or a vmlinux (an ELF with a PVH note)\n"
"  --initrd FILE       its initial RAM disk\n"
"  --cmdline TEXT      its command line (default " LINUX_CMDLINE ")\n"
"\n"
"image:\n"
"  --start 16|32|64    a flat binary's first mode: real, protected, long\n"
"  --at ADDRESS        where a flat binary is loaded and started\n"
"                      (default 0x7c00 for --start 16, else 0x100000)\n"
"  --format FORMAT     auto (default), flat, multiboot or pvh\n"
"  --cmdline TEXT      what the guest finds as its command line\n"
"\n"
"machine:\n"
"  --mem SIZE          RAM, with K, M or G (default 512M for Linux, else 64M)\n"
"  --cpus N            vCPUs (default 1)\n"
"  --irqchip on|off|auto  interrupt controllers and timer in the device, not in\n"
"                      the tool (default auto: on for Linux if the device has\n"
"                      them)\n"
"  --dev PATH          the device (default $LUCID_DEV, else " DEFAULT_DEVICE ")\n"
"  --no-stdin          nothing from standard input goes to the serial port\n"
"\n"
"what to show:\n"
"  --stats[=FILE]      at the end, exits by reason with counts and mean cost\n"
"                      (to standard error if there is no FILE)\n"
"  --json              those as JSON (implies --stats)\n"
"  --regs              the registers when the guest cannot go on\n"
"  --trace-io          each access to a port or address where nothing is\n"
"  --timeout SECONDS   end it after that long\n"
"  --help, -h          this text\n"
"\n"
"On a terminal: Ctrl-A x quits, Ctrl-A h helps, Ctrl-A Ctrl-A sends Ctrl-A.\n"
"\n"
"Exit status: what the guest writes to port 0xf4; 0 after Ctrl-A x, when it\n"
"switches itself off, and when it resets itself (which is not done: it ends);\n"
"1 for all errors, also when the guest dies; 124 after --timeout;\n"
"128 + N after signal N.\n";

struct options {
	struct image image;
	const char *kernel, *dev, *cmdline, *stats_file;
	uint64_t mem, cpus, timeout;
	enum irqchip_mode irqchip;
	bool no_stdin, stats, json, regs, trace_io;
};

enum {
	OPT_START = 256, OPT_AT, OPT_FORMAT, OPT_CMDLINE, OPT_MEM, OPT_CPUS,
	OPT_DEV, OPT_NO_STDIN, OPT_STATS, OPT_JSON, OPT_REGS, OPT_TRACE_IO,
	OPT_TIMEOUT, OPT_KERNEL, OPT_INITRD, OPT_IRQCHIP,
};

static const struct option long_options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "irqchip", required_argument, NULL, OPT_IRQCHIP },
	{ "start", required_argument, NULL, OPT_START },
	{ "at", required_argument, NULL, OPT_AT },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "cmdline", required_argument, NULL, OPT_CMDLINE },
	{ "mem", required_argument, NULL, OPT_MEM },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "dev", required_argument, NULL, OPT_DEV },
	{ "no-stdin", no_argument, NULL, OPT_NO_STDIN },
	{ "stats", optional_argument, NULL, OPT_STATS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "regs", no_argument, NULL, OPT_REGS },
	{ "trace-io", no_argument, NULL, OPT_TRACE_IO },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void parse_format(struct options *o, const char *text)
{
	if (!strcmp(text, "auto"))
		o->image.format = IMAGE_AUTO;
	else if (!strcmp(text, "flat"))
		o->image.format = IMAGE_FLAT;
	else if (!strcmp(text, "multiboot"))
		o->image.format = IMAGE_MULTIBOOT;
	else if (!strcmp(text, "pvh"))
		o->image.format = IMAGE_PVH;
	else
		die("--format '%s': there are auto, flat, multiboot and pvh",
		    text);
}

static void parse_irqchip(struct options *o, const char *text)
{
	if (!strcmp(text, "auto"))
		o->irqchip = IRQCHIP_AUTO;
	else if (!strcmp(text, "on"))
		o->irqchip = IRQCHIP_ON;
	else if (!strcmp(text, "off"))
		o->irqchip = IRQCHIP_OFF;
	else
		die("--irqchip '%s': there are on, off and auto", text);
}

static void parse_option(struct options *o, int option, const char *arg)
{
	switch (option) {
	case OPT_KERNEL:
		o->kernel = arg;
		break;
	case OPT_INITRD:
		o->image.initrd.file.path = arg;
		break;
	case OPT_IRQCHIP:
		parse_irqchip(o, arg);
		break;
	case OPT_START:
		o->image.start = atoi(arg);
		if (strcmp(arg, "16") && strcmp(arg, "32") && strcmp(arg, "64"))
			die("--start '%s': there are 16, 32 and 64", arg);
		break;
	case OPT_AT:
		if (!parse_size(arg, &o->image.at))
			die("--at '%s': not an address", arg);
		o->image.at_given = true;
		break;
	case OPT_FORMAT:
		parse_format(o, arg);
		break;
	case OPT_CMDLINE:
		o->cmdline = arg;
		break;
	case OPT_MEM:
		if (!parse_size(arg, &o->mem))
			die("--mem '%s': not a size (such as 64M)", arg);
		if (o->mem < MIN_MEM)
			die("--mem %s: too little: a guest has at least 1M",
			    arg);
		if (o->mem & 4095)
			die("--mem %s: not a multiple of 4K", arg);
		break;
	case OPT_CPUS:
		if (!parse_number(arg, &o->cpus) || !o->cpus ||
		    o->cpus > MAX_CPUS)
			die("--cpus '%s': not a number from 1 to %d", arg,
			    MAX_CPUS);
		break;
	case OPT_DEV:
		o->dev = arg;
		break;
	case OPT_NO_STDIN:
		o->no_stdin = true;
		break;
	case OPT_STATS:
		o->stats = true;
		o->stats_file = arg;
		break;
	case OPT_JSON:
		o->stats = o->json = true;
		break;
	case OPT_REGS:
		o->regs = true;
		break;
	case OPT_TRACE_IO:
		o->trace_io = true;
		break;
	case OPT_TIMEOUT:
		if (!parse_number(arg, &o->timeout) || !o->timeout ||
		    o->timeout > MAX_TIMEOUT)
			die("--timeout '%s': not a number of seconds", arg);
		break;
	}
}

/* Which file is to run?  And do the options go together? */
static void choose_image(struct options *o, const char *image)
{
	if (!o->kernel && !image)
		die("no IMAGE given, and no --kernel; 'lucid run --help' tells how");
	if (o->kernel && image)
		die("--kernel or an IMAGE, not both, and there is '%s' beside --kernel %s",
		    image, o->kernel);
	if (o->kernel && (o->image.start || o->image.at_given ||
			  o->image.format != IMAGE_AUTO))
		die("--kernel: --start, --at and --format are for an IMAGE, not for Linux");
	if (!o->kernel && o->image.initrd.file.path)
		die("--initrd: needs --kernel");
	if (o->image.format == IMAGE_FLAT && !o->image.start)
		die("--format flat: needs --start 16, 32 or 64");
	o->image.path = o->kernel ? o->kernel : image;
	if (o->kernel)
		o->image.format = IMAGE_LINUX;
	if (!o->mem)
		o->mem = o->kernel ? LINUX_MEM : DEFAULT_MEM;
}

/* False: it was --help, and has been served. */
static bool parse_command_line(struct options *o, int argc, char **argv)
{
	int c;

	opterr = 0;
	/* ":" tells a missing argument from an unknown option */
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		/* for a short option, argv[optind - 1] may be another one */
		if (c == '?' && optopt && optopt < 256)
			die("no option '-%c'; 'lucid run --help' lists them",
			    optopt);
		if (c == '?' && optopt)
			die("option '%s' takes no argument", argv[optind - 1]);
		if (c == '?')
			die("no option '%s'; 'lucid run --help' lists them",
			    argv[optind - 1]);
		if (c == ':')
			die("option '%s' needs an argument", argv[optind - 1]);
		if (c == 'h') {
			fputs(run_help, stdout);
			return false;
		}
		parse_option(o, c, optarg);
	}
	if (optind + 1 < argc)
		die("one IMAGE only, and '%s' is a second one",
		    argv[optind + 1]);
	choose_image(o, argv[optind]);
	return true;
}

static bool want_irqchip(const struct options *o, const struct vm *vm)
{
	bool available = irqchip_available(vm), on;

	if (o->irqchip == IRQCHIP_ON && !available)
		die("--irqchip on: %s has no interrupt controllers (KVM_CAP_IRQCHIP, KVM_CAP_PIT2)",
		    vm->dev);
	on = o->irqchip == IRQCHIP_ON || (o->irqchip == IRQCHIP_AUTO &&
					  o->kernel && available);
	if (o->cpus > 1 && o->image.format != IMAGE_FLAT && !on)
		die("--cpus %llu: a %s image starts other CPUs by their local APIC, and there is none (--irqchip)",
		    (unsigned long long)o->cpus,
		    image_format_name(&o->image));
	return on;
}

/* What the guest finds as its command line. */
static char *make_cmdline(const struct options *o, const struct machine *m)
{
	const char *own = o->cmdline ? o->cmdline : "";
	char tsc[64] = "";
	unsigned int khz;

	if (!o->kernel)
		return xasprintf("%s", own);
	if (!o->cmdline)
		own = LINUX_CMDLINE;
	khz = vcpu_tsc_khz(&m->cpus[0].vcpu);
	if (khz && !cpuid_has_kvmclock(&m->vm))
		snprintf(tsc, sizeof(tsc), LINUX_TSC, khz);
	return xasprintf("%s%s %s%s", LINUX_PANIC, tsc, own,
			 m->vm.irqchip ? "" : " " LINUX_NO_APIC);
}

static void block_signals(sigset_t *set)
{
	/* all that would kill us, so that we come by our own way out */
	static const int ends[] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
		SIGVTALRM, SIGPROF, SIGXCPU, SIGIO, SIGPWR,
	};

	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		sigaddset(set, ends[i]);
	/* stopping gives the terminal back meanwhile */
	sigaddset(set, SIGTSTP);
	sigaddset(set, SIGCONT);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static void nothing(int sig)
{
	(void)sig;
}

static void create_cpus(struct machine *m, const struct options *o)
{
	m->nr_cpus = o->cpus;
	m->cpus = xcalloc(o->cpus, sizeof(*m->cpus));
	for (unsigned int i = 0; i < m->nr_cpus; i++) {
		struct cpu *cpu = &m->cpus[i];

		cpu->machine = m;
		vcpu_create(&cpu->vcpu, &m->vm, i, m->nr_cpus);
		/* where there are local APICs, the first CPU starts the others */
		if (!i || !m->vm.irqchip || o->image.format == IMAGE_FLAT)
			boot_vcpu(&cpu->vcpu, &o->image);
		if (o->stats)
			stats_start(&cpu->vcpu);
	}
}

static void start_cpus(struct machine *m)
{
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(SIGRTMIN, &sa, NULL);
	/* the threads wait for the lock until all of them exist */
	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->nr_cpus; i++) {
		struct cpu *cpu = &m->cpus[i];
		int err = pthread_create(&cpu->thread, NULL, cpu_thread, cpu);

		if (err)
			die("no thread for vCPU %u: %s", i, strerror(err));
	}
	pthread_mutex_unlock(&m->lock);
}

static void stop_cpus(struct machine *m)
{
	struct timespec until;

	for (unsigned int i = 0; i < m->nr_cpus; i++) {
		/* again and again: a thread may just be about to sleep */
		do {
			pthread_mutex_lock(&m->lock);
			pthread_cond_broadcast(&m->wake);
			pthread_mutex_unlock(&m->lock);
			cpu_kick(&m->cpus[i]);
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += JOIN_RETRY_MS * 1000000;
			if (until.tv_nsec >= 1000000000) {
				until.tv_nsec -= 1000000000;
				until.tv_sec++;
			}
		} while (pthread_timedjoin_np(m->cpus[i].thread, NULL, &until));
	}
}

static void read_input(struct machine *m, bool terminal)
{
	uint8_t buf[INPUT_MAX];
	ssize_t n;

	n = read(STDIN_FILENO, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	pthread_mutex_lock(&m->lock);
	if (n <= 0) {
		m->input_open = false;
		/* a guest that halted for input will not wake any more */
		pthread_cond_broadcast(&m->wake);
	}
	for (ssize_t i = 0; i < n; i++) {
		switch (terminal ? term_input(buf[i]) : TERM_BYTE) {
		case TERM_BYTE:
			machine_input(m, buf[i]);
			break;
		case TERM_QUIT:
			machine_end(m, NULL, STATUS_OK, "quit");
			break;
		case TERM_HELP:
			fputs(term_help, stderr);
			break;
		case TERM_NONE:
			break;
		}
	}
	machine_update_irqs(m);
	pthread_mutex_unlock(&m->lock);
}

static void on_signal(struct machine *m, int signal_fd, bool terminal)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTSTP:
		term_restore();
		raise(SIGSTOP);
		break;
	case SIGCONT:
		if (terminal && term_present())
			term_raw();
		break;
	default:
		machine_end(m, NULL, STATUS_SIGNAL + info.ssi_signo,
			    "ended by signal %u (%s)", info.ssi_signo,
			    strsignal(info.ssi_signo));
		break;
	}
}

/* Milliseconds until @end, at most a day; -1 if there is no end. */
static int time_left(uint64_t end)
{
	uint64_t now = now_ns(), ms;

	if (!end)
		return -1;
	if (now >= end)
		return 0;
	ms = (end - now) / 1000000 + 1;
	return ms > 86400000 ? 86400000 : ms;
}

static void main_loop(struct machine *m, const struct options *o,
		      int signal_fd, bool terminal)
{
	const uint64_t end = o->timeout ?
			     now_ns() + o->timeout * 1000000000 : 0;
	enum { SIGNAL, EVENT, TIMER, INPUT };
	struct pollfd fds[] = {
		[SIGNAL] = { signal_fd, POLLIN, 0 },
		[EVENT] = { m->event_fd, POLLIN, 0 },
		[TIMER] = { m->timer_fd, POLLIN, 0 },
		[INPUT] = { -1, POLLIN, 0 },
	};
	uint64_t count;

	while (!m->over) {
		/*
		 * What a pipe holds is read when the guest is ready for it; a
		 * terminal always, for Ctrl-A x must reach us.  poll() skips
		 * what is negative.
		 */
		pthread_mutex_lock(&m->lock);
		fds[INPUT].fd = m->input_open && (terminal || !m->input_count) ?
				STDIN_FILENO : -1;
		pthread_mutex_unlock(&m->lock);
		if (poll(fds, ARRAY_SIZE(fds), time_left(end)) < 0)
			continue;
		if (end && now_ns() >= end)
			machine_end(m, &m->cpus[0], STATUS_TIMEOUT,
				    "guest stopped: its %llu s are over (--timeout)",
				    (unsigned long long)o->timeout);
		if (fds[SIGNAL].revents)
			on_signal(m, signal_fd, terminal);
		if (fds[EVENT].revents)
			eventfd_read(m->event_fd, &count);
		if (fds[TIMER].revents &&
		    read(m->timer_fd, &count, sizeof(count)) == sizeof(count)) {
			pthread_mutex_lock(&m->lock);
			machine_timer_tick(m);
			pthread_mutex_unlock(&m->lock);
		}
		if (fds[INPUT].fd >= 0 && fds[INPUT].revents)
			read_input(m, terminal);
	}
}

/* The file is opened before the guest runs: a bad name costs no run. */
static FILE *open_stats(const struct options *o)
{
	FILE *f;

	if (!o->stats || !o->stats_file)
		return stderr;
	f = fopen(o->stats_file, "we");
	if (!f)
		die("%s: %s", o->stats_file, strerror(errno));
	return f;
}

int cmd_run(int argc, char **argv)
{
	struct options o = { .cpus = 1 };
	struct machine *m = xcalloc(1, sizeof(*m));
	sigset_t signals;
	bool terminal;
	int signal_fd;
	FILE *stats;

	if (!parse_command_line(&o, argc, argv))
		return STATUS_OK;
	image_open(&o.image);
	if (o.image.initrd.file.path)
		file_open(&o.image.initrd.file);
	stats = open_stats(&o);

	vm_open(&m->vm, device_path(o.dev));
	vm_create(&m->vm, o.mem, want_irqchip(&o, &m->vm));
	machine_init(m);
	image_load(&o.image, &m->vm);
	create_cpus(m, &o);
	boot_write(&m->vm, &o.image, make_cmdline(&o, m), o.cpus);
	m->timed = o.stats;
	m->trace_io = o.trace_io;
	m->panic_marked = o.kernel && !(o.cmdline &&
					strstr(o.cmdline, "reboot="));
	m->input_open = !o.no_stdin;

	block_signals(&signals);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		die("no signal descriptor: %s", strerror(errno));
	terminal = m->input_open && term_present();
	if (m->input_open && !terminal && isatty(STDIN_FILENO))
		m->input_open = false;	/* in the background */
	output_start(m);
	start_cpus(m);
	if (terminal)
		term_raw();
	main_loop(m, &o, signal_fd, terminal);
	stop_cpus(m);
	output_finish(m);
	term_restore();

	if (m->why[0])
		warn("%s", m->why);
	if (o.regs && m->stopped)
		regs_print(&m->stopped->vcpu);
	if (o.stats)
		stats_print(m, stats, o.json);
	if (fflush(stats))
		die("%s: %s", o.stats_file, strerror(errno));
	return m->status;
}
