// SPDX-License-Identifier: GPL-2.0
/*
 * A guest that does nothing but exits served in the kernel, or nothing at all,
 * does not delay the host: timers and softirqs of its CPU are as punctual as
 * beside a program that spins (generous limits: the lab's machine is a
 * program, too), RCU moves on, and the time is accounted as guest time.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include "abi_state.h"

#define PERIOD_MS	10

static volatile uint64_t count;

static void only_cpuid(void)
{
	uint32_t r[4];

	for (;;) {
		cpuid(0, 0, r);
		count++;
	}
}

static void only_loop(void)
{
	for (;;)
		count++;
}

static void only_hypercalls(void)
{
	uint64_t a;

	for (;;) {
		asm volatile("vmmcall" : "=a"(a) : "0"(99ul) : "memory");
		count++;
	}
}

static void only_rdmsr(void)
{
	uint64_t v;

	for (;;) {
		try_rdmsr(MSR_APIC_BASE, &v);
		count++;
	}
}

/* Each access of a new page, dropped by the host all the while */
static void only_faults(void)
{
	uint64_t i;

	for (i = 0;; i++) {
		*(volatile uint64_t *)(GUEST_DATA + i % 512 * 4096) = i;
		count++;
	}
}

/* ---- What is measured -------------------------------------------------------- */

struct watch {
	int wakeups;
	long worst_us;		/* the latest wakeup */
	long timer, rcu, sched;	/* softirqs on that CPU */
	long sync_ms;		/* a membarrier, which waits for RCU */
};

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Softirqs of @name on the first CPU that is ours; one column for each CPU. */
static long softirqs(const char *name)
{
	FILE *f = fopen("/proc/softirqs", "r");
	char line[4096], *p;
	long v = 0;
	int i;

	while (f && fgets(line, sizeof(line), f)) {
		p = strchr(line, ':');
		if (!p++ || !strstr(line, name) || strstr(line, name) > p)
			continue;
		for (i = 0; i <= cpu_id(0); i++)
			v = strtol(p, &p, 10);
	}
	if (f)
		fclose(f);
	return v;
}

/* A periodic real-time task on the first CPU, for @ms */
static struct watch watch(int ms)
{
	struct watch w = {
		.timer = -softirqs("TIMER"), .rcu = -softirqs("RCU"), .sched = -softirqs("SCHED"),
	};
	struct sched_param p = { .sched_priority = 50 };
	struct timespec t;
	long late, end = now_us() + ms * 1000l, next;

	pin(0);
	sched_setscheduler(0, SCHED_FIFO, &p);
	for (next = now_us(); next < end; next += PERIOD_MS * 1000) {
		t.tv_sec = next / 1000000;
		t.tv_nsec = next % 1000000 * 1000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		late = now_us() - next;
		if (late > w.worst_us)
			w.worst_us = late;
		w.wakeups++;
		if (late > PERIOD_MS * 1000)	/* what was missed is gone */
			next += late / (PERIOD_MS * 1000) * (PERIOD_MS * 1000);
	}
	p.sched_priority = 0;
	sched_setscheduler(0, SCHED_OTHER, &p);
	w.timer += softirqs("TIMER");
	w.rcu += softirqs("RCU");
	w.sched += softirqs("SCHED");
	w.sync_ms = -now_ms();
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		w.sync_ms = 0;
	else
		w.sync_ms += now_ms();
	return w;
}

/* @fn in a process of its own, pinned on the first CPU; NULL: a program that spins */
static pid_t beside(void *fn)
{
	volatile uint64_t *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	int i;

	if (!pid) {
		struct vcpu *c = NULL;

		pin(0);
		if (fn)
			c = guest64(fn);
		*ready = 1;
		if (fn)
			vcpu_run(c);
		else
			only_loop();
		_exit(1);
	}
	for (i = 0; i < 5000 && !*ready; i++)
		usleep(1000);
	usleep(100000);
	return pid;
}

static bool still_there(pid_t pid)
{
	int st;
	bool r = waitpid(pid, &st, WNOHANG) == 0;

	kill(pid, SIGKILL);
	waitpid(pid, &st, 0);
	return r;
}

FIXTURE(beside) { };
FIXTURE_VARIANT(beside) { void *fn; };
FIXTURE_SETUP(beside) { }
FIXTURE_TEARDOWN(beside) { }
FIXTURE_VARIANT_ADD(beside, cpuid) { only_cpuid };
FIXTURE_VARIANT_ADD(beside, loop) { only_loop };
FIXTURE_VARIANT_ADD(beside, hypercalls) { only_hypercalls };
FIXTURE_VARIANT_ADD(beside, rdmsr) { only_rdmsr };
FIXTURE_VARIANT_ADD(beside, faults) { only_faults };

static bool punctual(const struct watch *with, const struct watch *alone)
{
	return with->wakeups >= alone->wakeups / 2 &&
	       with->worst_us < 4 * alone->worst_us + 150000 &&
	       with->timer >= alone->timer / 3 && with->rcu >= alone->rcu / 5 &&
	       with->sync_ms < 4 * alone->sync_ms + 2000;
}

TEST_F(beside, the_host_is_punctual)
{
	int ms = 1000 * test_seconds(1), try;
	struct watch alone, with;
	bool good = false;
	pid_t pid;

	if (variant->fn == only_hypercalls && !host_is_amd())
		SKIP(return, "VMMCALL is AMD's");
	/* the lab's machine is itself held up at times; a guest's fault is there each time */
	for (try = 0; try < 4 && !good; try++) {
		pid = beside(NULL);
		alone = watch(ms);
		ASSERT_TRUE(still_there(pid));
		pid = beside(variant->fn);
		with = watch(ms);
		ASSERT_TRUE(still_there(pid));
		TH_LOG("wakeups %d (a program: %d), worst %ld us (%ld), softirqs timer %ld (%ld) rcu %ld (%ld) sched %ld (%ld), membarrier %ld ms (%ld)",
		       with.wakeups, alone.wakeups, with.worst_us, alone.worst_us, with.timer,
		       alone.timer, with.rcu, alone.rcu, with.sched, alone.sched,
		       with.sync_ms, alone.sync_ms);
		good = punctual(&with, &alone);
	}
	EXPECT_TRUE(good);
}

/* A signal to the thread itself, by a timer, each 20 ms */
static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

TEST_F(beside, alarms_come_through)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval t = { { 0, 20000 }, { 0, 20000 } };
	struct vcpu *c;
	long from, took, worst = 0;
	int i;

	if (variant->fn == only_hypercalls && !host_is_amd())
		SKIP(return, "VMMCALL is AMD's");
	c = guest64(variant->fn);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
	for (i = 0; i < 25; i++) {
		from = now_ms();
		ASSERT_EQ(-EINTR, vcpu_run(c));
		took = now_ms() - from;
		if (took > worst)
			worst = took;
	}
	EXPECT_GT(1000, worst);
	EXPECT_LE(25, alarms);
}

/* ---- Accounting ---------------------------------------------------------------- */

/* Fields of /proc/self/stat, in ticks: utime 14, stime 15, guest_time 43 */
static long stat_field(int n)
{
	FILE *f = fopen("/proc/self/stat", "r");
	char line[1024], *p;
	int i;

	if (!f || !fgets(line, sizeof(line), f))
		return -1;
	fclose(f);
	p = strrchr(line, ')') + 2;	/* the third begins here */
	for (i = 3; i < n; i++)
		p = strchr(p, ' ') + 1;
	return atol(p);
}

FIXTURE(accounting) { };
FIXTURE_SETUP(accounting) { }
FIXTURE_TEARDOWN(accounting) { }

TEST_F(accounting, guest_time)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval t = { .it_value.tv_sec = 1 };
	struct vcpu *c = guest64(only_loop);
	long guest = -stat_field(43), user = -stat_field(14), sys = -stat_field(15);

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
	ASSERT_EQ(-EINTR, vcpu_run(c));
	guest += stat_field(43);
	user += stat_field(14);
	sys += stat_field(15);
	TH_LOG("in a second of a spinning guest: guest %ld, user %ld, system %ld ticks", guest, user, sys);
	/* 100 ticks, unless the machine itself was held up */
	EXPECT_LE(20, guest);
	EXPECT_LE(guest, user + 2);	/* guest time is user time as well */
	EXPECT_LT(sys, guest);
}

TEST_HARNESS_MAIN
