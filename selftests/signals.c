// SPDX-License-Identifier: GPL-2.0
/* Signals and immediate_exit get a vCPU out of KVM_RUN, at once and always. */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include "guest.h"

static volatile uint64_t count;

static void spin(void)
{
	for (;;)
		count++;
}

/* A guest that does nothing but exits served within the kernel */
static void spin_in_exits(void)
{
	uint32_t r[4];

	for (;;) {
		cpuid(0, 0, r);
		count++;
	}
}

struct mask {
	struct kvm_signal_mask h;
	uint64_t set[2];
} __attribute__((packed));

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	(void)sig;
	caught++;
}

static void install(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(sig, &sa, NULL);
}

struct kick {
	pthread_t who;
	volatile uint64_t *progress;
	int sig, times;
};

/* Wait until the guest moves, then kick; as often as asked. */
static void *kicker(void *arg)
{
	struct kick *k = arg;
	uint64_t from;
	int i;

	for (i = 0; i < k->times; i++) {
		int before = caught;

		from = *k->progress;
		while (*k->progress == from)
			usleep(1000);
		pthread_kill(k->who, k->sig);
		/* else the next one could be merged with it */
		while (caught == before)
			usleep(1000);
	}
	return NULL;
}

FIXTURE(guests) { };
FIXTURE_VARIANT(guests) { void (*fn)(void); };
FIXTURE_SETUP(guests) { }
FIXTURE_TEARDOWN(guests) { }
FIXTURE_VARIANT_ADD(guests, loop) { spin };
FIXTURE_VARIANT_ADD(guests, cpuid) { spin_in_exits };

TEST_F(guests, kicked_by_another_thread)
{
	struct vcpu *c = guest64(variant->fn);
	struct kick k = { pthread_self(), &GUEST(c->vm, count), SIGUSR1, 10 };
	pthread_t t;
	int i;

	install(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&t, NULL, kicker, &k));
	for (i = 0; i < k.times; i++) {
		ASSERT_EQ(-EINTR, vcpu_run(c));
		ASSERT_EQ(KVM_EXIT_INTR, c->run->exit_reason);
		ASSERT_LE(i + 1, caught);
	}
	pthread_join(t, NULL);
	ASSERT_EQ(k.times, caught);
}

TEST_F(guests, killed)
{
	uint64_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	int st, i;

	if (!pid) {
		struct vcpu *c = guest64(variant->fn);

		*shared = 1;
		vcpu_run(c);
		_exit(7);
	}
	for (i = 0; i < 500 && !*(volatile uint64_t *)shared; i++)
		usleep(10000);
	usleep(50000);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	ASSERT_TRUE(WIFSIGNALED(st));
}

/* A signal that was pending before KVM_RUN: the guest does not run at all. */
TEST(pending_before_entry)
{
	struct vcpu *c = guest64(spin);
	struct mask m = { .h.len = 8 };
	sigset_t s;

	install(SIGUSR1);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &s, NULL);
	raise(SIGUSR1);
	/* nothing is blocked inside KVM_RUN */
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_SIGNAL_MASK, &m));
	ASSERT_EQ(-EINTR, vcpu_run(c));
	ASSERT_EQ(KVM_EXIT_INTR, c->run->exit_reason);
	/* the mask was only KVM_RUN's: it is still pending, not handled */
	ASSERT_EQ(0, caught);
	sigpending(&s);
	ASSERT_EQ(1, sigismember(&s, SIGUSR1));
	ASSERT_EQ(0, GUEST(c->vm, count));
	/* eaten, the guest runs again (to the next signal) */
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	ASSERT_EQ(SIGUSR1, sigtimedwait(&s, NULL, &(struct timespec){ 1, 0 }));
}

/* A signal that the mask blocks inside KVM_RUN does not end it. */
static volatile bool stop;

static void until_stopped(void)
{
	while (!stop)
		count++;
}

static void *kick_then_stop(void *arg)
{
	struct vcpu *c = arg;
	struct kick k = { .who = 0, .progress = &GUEST(c->vm, count) };
	uint64_t from;
	int i;

	for (i = 0; i < 4; i++) {
		from = *k.progress;
		while (*k.progress == from)
			usleep(1000);
		kill(getpid(), SIGUSR1);	/* this thread blocks it, too */
	}
	GUEST(c->vm, stop) = true;
	return NULL;
}

TEST(masked_inside)
{
	struct vcpu *c = guest64(until_stopped);
	struct mask m = {
		.h.len = 8, .set = { 1ul << (SIGUSR1 - 1) },
	};
	pthread_t t;
	sigset_t s;

	install(SIGUSR1);
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_SIGNAL_MASK, &m));
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &s, NULL);
	ASSERT_EQ(0, pthread_create(&t, NULL, kick_then_stop, c));
	pthread_sigmask(SIG_UNBLOCK, &s, NULL);
	/* one KVM_RUN to the end: four signals did not end it */
	ASSERT_DONE(c);
	pthread_join(t, NULL);
	/* and they were delivered when the mask was gone */
	ASSERT_LE(1, caught);
}

TEST(bad_masks_are_refused)
{
	struct vcpu *c = guest64(spin);
	struct mask m = { .h.len = 8 };

	m.h.len = 7;
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_SIGNAL_MASK, &m));
	m.h.len = 16;
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_SIGNAL_MASK, &m));
	EXPECT_EQ(0, eioctl(c->fd, KVM_SET_SIGNAL_MASK, NULL));
}

/* immediate_exit set by a signal handler closes the race before KVM_RUN. */
TEST(immediate_exit_is_sticky)
{
	struct vcpu *c = guest64(spin);
	int i;

	c->run->immediate_exit = 1;
	for (i = 0; i < 3; i++)
		ASSERT_EQ(-EINTR, vcpu_run(c));
	ASSERT_EQ(0, GUEST(c->vm, count));
}

TEST_HARNESS_MAIN
