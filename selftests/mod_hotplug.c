// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that go and come back, and the machine asleep, while guests run: the
 * vCPU threads move, their state is intact, new VMs work afterwards.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include "abi_state.h"

static volatile uint64_t count[2], stop;

/* State of every kind, looked at all the while */
static void checker(uint64_t me)
{
	const uint64_t mark = 0x1111111111111111 * (me + 1);
	uint64_t v, n = 0;
	uint32_t r[4];

	try_wrmsr(MSR_LSTAR, mark & 0x7fffffffffff);
	try_wrmsr(MSR_KERNEL_GS_BASE, mark & 0x7fffffffffff);
	try_wrmsr(MSR_SYSENTER_EIP, mark & 0x7fffffff);
	write_cr8(me + 3);
	asm volatile("movq %0, %%xmm5" : : "r"(mark));
	while (!stop) {
		try_rdmsr(MSR_LSTAR, &v);
		GUEST_ASSERT_EQ(v, mark & 0x7fffffffffff);
		try_rdmsr(MSR_KERNEL_GS_BASE, &v);
		GUEST_ASSERT_EQ(v, mark & 0x7fffffffffff);
		try_rdmsr(MSR_SYSENTER_EIP, &v);
		GUEST_ASSERT_EQ(v, mark & 0x7fffffff);
		GUEST_ASSERT_EQ(read_cr8(), me + 3);
		asm volatile("movq %%xmm5, %0" : "=r"(v));
		GUEST_ASSERT_EQ(v, mark);
		cpuid(0, 0, r);
		GUEST_ASSERT_EQ(count[me], n);
		count[me] = ++n;
	}
}

struct side {
	struct vcpu *c;
	pthread_t thread;
	int result;
};

static void *run_thread(void *arg)
{
	struct side *s = arg;

	do {
		s->result = vcpu_run(s->c);
	} while (s->result == -EINTR ||
		 (!s->result && s->c->run->exit_reason == KVM_EXIT_SET_TPR));
	return NULL;
}

/*
 * Pin the thread, and see that it stays pinned: after a CPU has come back the
 * cpuset follows in its own time, and Linux 6.1 then forgets what was pinned.
 */
static bool pinned(struct side *s, int n)
{
	int i, good = 0;
	cpu_set_t set;

	for (i = 0; i < 1000 && good < 4; i++) {
		CPU_ZERO(&set);
		if (!pthread_getaffinity_np(s->thread, sizeof(set), &set) &&
		    CPU_COUNT(&set) == 1 && CPU_ISSET(cpu_id(n), &set)) {
			good++;
		} else {
			good = 0;
			pin_thread(s->thread, n);
		}
		usleep(2000);
	}
	return good == 4;
}

static bool moves(volatile uint64_t *p)
{
	uint64_t from = *p;
	int i;

	for (i = 0; i < 8000 && *p == from; i++)
		usleep(1000);
	return *p != from;
}

/* 0 or -errno */
static int put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* The CPU that goes, which is the second of ours: its switch. */
static const char *cpu_switch(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu_id(1));
	return path;
}

FIXTURE(running) { struct vm *vm; struct side s[2]; };

FIXTURE_SETUP(running)
{
	int i;

	self->vm = vm_create();
	for (i = 0; i < 2; i++) {
		self->s[i].c = vcpu_create(self->vm, i);
		vcpu_start64(self->s[i].c, checker, i, 0);
		ASSERT_EQ(0, pthread_create(&self->s[i].thread, NULL, run_thread, &self->s[i]));
	}
	for (i = 0; i < 2; i++)
		ASSERT_TRUE(moves(&GUEST(self->vm, count)[i]));
}

FIXTURE_TEARDOWN(running)
{
	int i;

	for (i = 0; i < 2; i++)
		EXPECT_TRUE(moves(&GUEST(self->vm, count)[i]));
	GUEST(self->vm, stop) = 1;
	for (i = 0; i < 2; i++) {
		uint32_t at;

		pthread_join(self->s[i].thread, NULL);
		EXPECT_EQ(0, self->s[i].result);
		ASSERT_EQ(KVM_EXIT_IO, self->s[i].c->run->exit_reason);
		at = *(uint32_t *)io_data(self->s[i].c);
		EXPECT_EQ(G_DONE, ((struct guest_event *)gpa_hva(self->vm, at))->kind)
			TH_LOG("vCPU %d: line %u", i,
			       ((struct guest_event *)gpa_hva(self->vm, at))->line);
	}
}

TEST_F(running, cpu_goes_and_comes)
{
	int i, k, r;

	if (cpu_count() < 2 || access(cpu_switch(), W_OK))
		SKIP(return, "no second CPU that can go");
	for (i = 0; i < 10; i++) {
		/* one vCPU is on the CPU that goes, also where it may run nowhere else */
		ASSERT_TRUE(pinned(&self->s[0], i & 1));
		ASSERT_TRUE(pinned(&self->s[1], 1));
		for (k = 0; k < 2; k++)
			ASSERT_TRUE(moves(&GUEST(self->vm, count)[k]));
		r = put(cpu_switch(), "0");
		ASSERT_EQ(0, r);
		for (k = 0; k < 2; k++)
			ASSERT_TRUE(moves(&GUEST(self->vm, count)[k])) TH_LOG("round %d, vCPU %d stands", i, k);
		/* a VM made while it is away */
		if (i % 3 == 0) {
			struct vcpu *c = guest64(checker);

			c->run->immediate_exit = 1;
			ASSERT_EQ(-EINTR, vcpu_run(c));
			vcpu_destroy(c);
		}
		ASSERT_EQ(0, put(cpu_switch(), "1"));
		ASSERT_TRUE(pinned(&self->s[1], 1));
		ASSERT_TRUE(moves(&GUEST(self->vm, count)[1]));
	}
}

TEST_F(running, machine_sleeps)
{
	char line[128] = "";
	int fd = open("/sys/power/pm_test", O_RDWR), i, r;
	const char *how;

	if (fd < 0)
		SKIP(return, "no /sys/power/pm_test: the kernel has no PM_DEBUG");
	if (read(fd, line, sizeof(line) - 1) < 0 || !strstr(line, "core"))
		SKIP(return, "no pm_test core: %s", line);
	close(fd);
	fd = open("/sys/power/state", O_RDONLY);
	memset(line, 0, sizeof(line));
	if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
		SKIP(return, "this machine cannot sleep");
	close(fd);
	how = strstr(line, "mem") ? "mem" : "freeze";
	/* five seconds each: the kernel's own delay (suspend.pm_test_delay) */
	put("/sys/module/suspend/parameters/pm_test_delay", "1");
	ASSERT_EQ(0, put("/sys/power/pm_test", strcmp(how, "mem") ? "devices" : "core"));
	r = put("/sys/power/state", how);
	put("/sys/power/pm_test", "none");
	if (r)
		SKIP(return, "the machine does not fall asleep: %s", strerror(-r));
	for (i = 0; i < 2; i++)
		ASSERT_TRUE(moves(&GUEST(self->vm, count)[i]));
}

TEST_HARNESS_MAIN
