// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that are filled in only when the guest asks for them (userfaultfd): the
 * vCPU waits; the page, a fatal signal or (since 6.2) any signal ends the wait.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/utsname.h>
#include <linux/userfaultfd.h>

#include "guest.h"

#define GPA	(64ULL << 20)
#define PAGES	16

static void guest(void)
{
	int i;

	for (i = 0; i < PAGES; i++)
		GUEST_ASSERT_EQ(*(volatile uint64_t *)(GPA + i * 4096), 100 + i);
	GUEST_DONE();
}

static int uffd_on(void *m)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register r = {
		.range = { (uintptr_t)m, PAGES * 4096 },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &r))
		return -1;
	return fd;
}

static void *memory(void)
{
	return mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Answers PAGES faults, each after a while. */
static void *filler(void *arg)
{
	int fd = *(int *)arg, i;
	static uint64_t page[512] __attribute__((aligned(4096)));

	for (i = 0; i < PAGES; i++) {
		struct uffd_msg msg;
		struct uffdio_copy c;

		if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
			break;
		usleep(20000);
		page[0] = 100 + i;
		c = (struct uffdio_copy) {
			.dst = msg.arg.pagefault.address & ~4095ULL,
			.src = (uintptr_t)page,
			.len = 4096,
		};
		if (ioctl(fd, UFFDIO_COPY, &c))
			break;
	}
	return NULL;
}

TEST(filled_on_demand)
{
	void *m = memory();
	struct vm *vm = vm_create();
	struct vcpu *c = vcpu_create(vm, 0);
	pthread_t t;
	int fd = uffd_on(m);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vm_slot(vm, 1, 0, GPA, PAGES * 4096, m));
	vcpu_start64(c, guest, 0, 0);
	pthread_create(&t, NULL, filler, &fd);
	ASSERT_DONE(c);
	pthread_join(t, NULL);
	/* and again from absence */
	madvise(m, PAGES * 4096, MADV_DONTNEED);
	vcpu_start64(c, guest, 0, 0);
	pthread_create(&t, NULL, filler, &fd);
	ASSERT_DONE(c);
	pthread_join(t, NULL);
}

TEST(killed_while_waiting)
{
	void *m = memory();
	int pid, status, p[2];
	char x;

	ASSERT_EQ(0, pipe(p));
	pid = fork();
	if (!pid) {
		struct vm *vm = vm_create();
		struct vcpu *c = vcpu_create(vm, 0);

		if (uffd_on(m) < 0 || vm_slot(vm, 1, 0, GPA, PAGES * 4096, m))
			_exit(1);
		vcpu_start64(c, guest, 0, 0);
		if (write(p[1], "x", 1) == 1)
			vcpu_run(c);
		_exit(2);
	}
	ASSERT_EQ(1, read(p[0], &x, 1));
	usleep(500000);
	ASSERT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
}

static void none(int sig)
{
}

TEST(signal_while_waiting)
{
	void *m = memory();
	struct vm *vm = vm_create();
	struct vcpu *c = vcpu_create(vm, 0);
	struct sigaction sa = { .sa_handler = none };
	struct utsname u;
	int r;

	uname(&u);
	if (!strncmp(u.release, "6.1.", 4))
		SKIP(return, "only fatal signals end the wait in 6.1");
	sigaction(SIGALRM, &sa, NULL);
	ASSERT_LE(0, uffd_on(m));
	ASSERT_EQ(0, vm_slot(vm, 1, 0, GPA, PAGES * 4096, m));
	vcpu_start64(c, guest, 0, 0);
	alarm(1);
	r = vcpu_run(c);
	ASSERT_EQ(-EINTR, r);
}

TEST_HARNESS_MAIN
