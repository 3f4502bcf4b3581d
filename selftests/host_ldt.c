// SPDX-License-Identifier: GPL-2.0
/*
 * A thread in the guest has the LDT that another thread of its process has set
 * meanwhile: what an exit restores must not be an older one, whose memory the
 * kernel has freed.
 */
#include <asm/ldt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "guest.h"

#define SELECTOR	7		/* LDT, entry 0, RPL 3 */
#define BEFORE		0x111
#define AFTER		0x222

static volatile uint64_t spins;

static void spin(void)
{
	for (;;)
		spins++;
}

static void set_ldt(unsigned int limit)
{
	struct user_desc d = { .limit = limit, .seg_32bit = 1, .useable = 1 };

	if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)))
		_exit(KSFT_SKIP);	/* a kernel without */
}

/* The limit that the CPU finds in the LDT that it has loaded. */
static uint32_t ldt_limit(void)
{
	uint32_t limit = 0;

	asm volatile("lsl %1, %0" : "+r"(limit) : "r"(SELECTOR) : "cc");
	return limit;
}

static pthread_t vcpu_thread;
static struct vcpu *vcpu;

static void on_signal(int sig)
{
	vcpu->run->immediate_exit = 1;
}

static void *other(void *arg)
{
	volatile uint64_t *n = &GUEST(vcpu->vm, spins);
	uint64_t from;

	pin(0);
	while (!*n)
		usleep(1000);
	set_ldt(AFTER);
	/* the guest goes on for a while, with exits for the host's interrupts */
	from = *n;
	do {
		usleep(50000);
	} while (*n == from);
	pthread_kill(vcpu_thread, SIGUSR1);
	return NULL;
}

TEST(another_thread_sets_the_ldt)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t t;
	uint32_t limit;

	if (cpu_count() < 2)
		SKIP(return, "one CPU");
	if (dev_is_kvm())
		SKIP(return, "KVM 6.1 saves LDTR once a KVM_RUN and brings the old one back");
	vcpu = guest64(spin);
	sigaction(SIGUSR1, &sa, NULL);
	pin(1);
	vcpu_thread = pthread_self();
	set_ldt(BEFORE);
	ASSERT_EQ(BEFORE, ldt_limit());
	ASSERT_EQ(0, pthread_create(&t, NULL, other, NULL));
	ASSERT_EQ(-EINTR, vcpu_run(vcpu));
	limit = ldt_limit();
	pthread_join(t, NULL);
	EXPECT_EQ(AFTER, limit);
}

TEST_HARNESS_MAIN
