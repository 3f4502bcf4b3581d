// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors, mappings, processes and threads that end in any order, while
 * guests run: clean errors, nothing that hangs, nothing that is left behind.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include "abi_state.h"

static volatile uint64_t count;

static void spin(void)
{
	for (;;)
		count++;
}

/* Exits of every kind, and memory all over the place */
static void busy(uint64_t me)
{
	volatile uint64_t *p = (void *)(GUEST_DATA + me * 0x100000);
	uint32_t r[4];
	uint64_t i;

	for (i = 0;; i++) {
		p[i * 512 % 0x20000] = i;
		cpuid(i & 1, 0, r);
		if (i % 16 == 0)
			outb(0x80, i);
		if (i % 32 == 0)
			*(volatile uint32_t *)GUEST_MMIO = i;
		count++;
	}
}

static void on_signal(int sig)
{
	(void)sig;
}

static void install(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(sig, &sa, NULL);
}

/* Wait until *p moves on from what it is; false if it does not. */
static bool moves(volatile uint64_t *p)
{
	uint64_t from = *p;
	int i;

	for (i = 0; i < 5000 && *p == from; i++)
		usleep(1000);
	return *p != from;
}

struct runner {
	struct vcpu *c;
	volatile int result;
	volatile uint64_t tid, runs;
	volatile bool once, stop;
};

static void *run_thread(void *arg)
{
	struct runner *t = arg;

	t->tid = syscall(SYS_gettid);
	do {
		t->result = vcpu_run(t->c);
		t->runs++;
	} while (!t->stop && !t->once);
	return NULL;
}

/* A signal may come just before KVM_RUN and be lost on it: again, until it ends. */
static void stop_thread(pthread_t th)
{
	while (pthread_tryjoin_np(th, NULL) == EBUSY) {
		pthread_kill(th, SIGUSR1);
		usleep(10000);
	}
}

/* ---- Processes ---------------------------------------------------------------- */

/* What another process gets of this VM: nothing. Exit status: where it failed. */
static int stranger(struct vcpu *c)
{
	static uint8_t buf[16384];
	struct kvm_userspace_memory_region r = { .slot = 5 };

	if (eioctl(c->fd, KVM_RUN, NULL) != -EIO)
		return 1;
	if (eioctl(c->fd, KVM_GET_REGS, buf) != -EIO)
		return 2;
	if (eioctl(c->fd, KVM_SET_REGS, buf) != -EIO)
		return 3;
	if (eioctl(c->vm->fd, KVM_SET_USER_MEMORY_REGION, &r) != -EIO)
		return 4;
	if (eioctl(c->vm->fd, KVM_CREATE_VCPU, (void *)7) != -EIO)
		return 5;
	if (eioctl(c->vm->fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_HLT) != -EIO)
		return 6;
	/* the device is not one process's */
	if (eioctl(dev_fd(), KVM_GET_API_VERSION, NULL) != KVM_API_VERSION)
		return 7;
	return 0;
}

TEST(another_process)
{
	struct vcpu *c = guest64(spin);
	struct vcpu_state a, b;
	int st;
	pid_t pid;

	vcpu_state_get(c, &a);
	pid = fork();
	if (!pid)
		_exit(stranger(c));
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	ASSERT_EQ(0, st);
	vcpu_state_get(c, &b);
	ASSERT_STREQ("", vcpu_state_diff(&a, &b) ?: "");
}

/* The maker is gone; who inherited the descriptors gets -EIO and may close them. */
TEST(the_maker_dies_first)
{
	int to[2], i, st;
	pid_t maker;
	char ok;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, to));
	maker = fork();
	if (!maker) {
		struct vcpu *c = guest64(spin);
		char space[CMSG_SPACE(3 * sizeof(int))] = { 0 };
		struct iovec io = { "x", 1 };
		struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = space,
				    .msg_controllen = sizeof(space) };
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		int fd[3] = { c->vm->fd, c->fd, dev_fd() };

		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(h), fd, sizeof(fd));
		c->run->immediate_exit = 1;
		vcpu_run(c);
		_exit(sendmsg(to[1], &m, 0) != 1);
	} else {
		char space[CMSG_SPACE(3 * sizeof(int))];
		struct iovec io = { &ok, 1 };
		struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = space,
				    .msg_controllen = sizeof(space) };
		struct vcpu c = { 0 };
		struct vm vm = { 0 };
		int fd[3];

		ASSERT_EQ(1, recvmsg(to[0], &m, 0));
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
		ASSERT_EQ(maker, waitpid(maker, &st, 0));
		ASSERT_EQ(0, st);
		c.vm = &vm;
		vm.fd = fd[0];
		c.fd = fd[1];
		ASSERT_EQ(0, stranger(&c));
		c.run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0);
		ASSERT_NE(MAP_FAILED, c.run);
		EXPECT_EQ(1, c.run->immediate_exit);
		close(vm.fd);
		close(c.fd);
		/* the mapping alone keeps it */
		c.run->immediate_exit = 0;
		EXPECT_EQ(0, c.run->immediate_exit);
		munmap(c.run, 4096);
		for (i = 0; i < 3; i++)
			close(fd[i]);
	}
}

/* Children share the guest's memory copy-on-write, at any time: nobody notices. */
TEST(fork_while_running)
{
	struct vcpu *c = guest64(spin);
	struct runner t = { .c = c };
	volatile uint64_t *n = &GUEST(c->vm, count);
	pthread_t th;
	int i, st;

	install(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&th, NULL, run_thread, &t));
	for (i = 0; i < 10; i++) {
		int go[2];
		char b;
		pid_t pid;

		ASSERT_TRUE(moves(n));
		ASSERT_EQ(0, pipe(go));
		pid = fork();
		if (!pid) {
			uint64_t mine = *n;

			close(go[1]);
			if (read(go[0], &b, 1) < 0)
				_exit(3);
			_exit(*n == mine ? 0 : 1);	/* the guest writes the parent's page */
		}
		close(go[0]);
		ASSERT_TRUE(moves(n));
		ASSERT_TRUE(moves(n));
		close(go[1]);
		ASSERT_EQ(pid, waitpid(pid, &st, 0));
		ASSERT_EQ(0, st);
	}
	t.stop = true;
	stop_thread(th);
	ASSERT_EQ(-EINTR, t.result);
}

/* Killed at any point of its life, with two vCPUs running. */
TEST(killed_at_random)
{
	uint64_t seed = time(NULL) | 1;
	long end = now_ms() + 1000 * test_seconds(3), began;
	int n = 0, st;

	keep_a_vm();
	while (now_ms() < end) {
		pid_t pid = fork();

		if (!pid) {
			struct vm *vm = vm_create();
			struct runner t[2] = { { 0 } };
			pthread_t th;
			int i;

			for (i = 0; i < 2; i++) {
				t[i].c = vcpu_create(vm, i);
				vcpu_start64(t[i].c, busy, i, 0);
			}
			pthread_create(&th, NULL, run_thread, &t[1]);
			run_thread(&t[0]);
			_exit(1);
		}
		usleep(rnd(&seed) % 120000);
		began = now_ms();
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &st, 0));
		ASSERT_TRUE(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL) TH_LOG("status %#x", st);
		ASSERT_GT(10000, now_ms() - began);
		n++;
	}
	TH_LOG("%d processes killed", n);
}

/* ---- Descriptors ---------------------------------------------------------------- */

static void three_syncs(void)
{
	GUEST_SYNC(1);
	GUEST_SYNC(2);
	GUEST_SYNC(3);
}

TEST(closed_in_any_order)
{
	struct vcpu *c = guest64(three_syncs);
	uint8_t *mem = c->vm->mem;
	int i;

	/* neither the device nor the VM's descriptor is needed to run */
	close(dev_fd());
	ASSERT_SYNC(c, 1);
	close(c->vm->fd);
	ASSERT_SYNC(c, 2);
	for (i = 0; i < 4096; i++)	/* its memory is still there and its own */
		mem[GUEST_DATA + i] = i;
	ASSERT_SYNC(c, 3);
	/* the vCPU's descriptor goes, its page stays */
	close(c->fd);
	ASSERT_EQ(KVM_EXIT_IO, c->run->exit_reason);
	c->run->exit_reason = 0;
	munmap(c->run, 4096);
}

/* Closed by one thread while the other is in KVM_RUN on it. */
TEST(closed_while_running)
{
	struct vcpu *c = guest64(spin);
	struct runner t = { .c = c, .once = true };
	pthread_t th;

	install(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&th, NULL, run_thread, &t));
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	close(c->fd);
	close(c->vm->fd);
	munmap(c->run, 4096);
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	stop_thread(th);
	ASSERT_EQ(-EINTR, t.result);
}

TEST(kvm_run_unmapped_while_running)
{
	struct vcpu *c = guest64((void *)busy);
	struct runner t = { .c = c };
	pthread_t th;

	install(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&th, NULL, run_thread, &t));
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	munmap(c->run, 8192);
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	t.stop = true;
	stop_thread(th);
}

/* ---- Threads ------------------------------------------------------------------------ */

struct asker {
	struct vcpu *c;
	unsigned long nr;
	struct kvm_regs regs;
	volatile int done, result;
};

static void *ask(void *arg)
{
	struct asker *a = arg;

	a->result = eioctl(a->c->fd, a->nr, a->nr == KVM_RUN ? NULL : &a->regs);
	a->done = 1;
	return NULL;
}

/* Who asks for the registers of a running vCPU waits until it has stopped. */
TEST(registers_of_a_running_vcpu)
{
	struct vcpu *c = guest64(spin);
	struct runner t = { .c = c, .once = true };
	struct asker a = { .c = c, .nr = KVM_GET_REGS };
	pthread_t run, wait;

	install(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&run, NULL, run_thread, &t));
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	ASSERT_EQ(0, pthread_create(&wait, NULL, ask, &a));
	usleep(200000);
	EXPECT_EQ(0, a.done);
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	stop_thread(run);
	pthread_join(wait, NULL);
	EXPECT_EQ(0, a.result);
	EXPECT_LE((uintptr_t)spin, a.regs.rip);
	EXPECT_GT((uintptr_t)spin + 64, a.regs.rip);
}

/* A second KVM_RUN waits for the first, and then it is its turn. */
TEST(two_threads_run_one_vcpu)
{
	struct vcpu *c = guest64(spin);
	struct runner t = { .c = c, .once = true };
	struct runner u = { .c = c, .once = true };
	pthread_t one, two;

	install(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&one, NULL, run_thread, &t));
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	ASSERT_EQ(0, pthread_create(&two, NULL, run_thread, &u));
	usleep(100000);
	EXPECT_EQ(0, t.runs + u.runs);
	stop_thread(one);
	EXPECT_EQ(-EINTR, t.result);
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	stop_thread(two);
	EXPECT_EQ(-EINTR, u.result);
}

/* The one who waits can be killed. */
TEST(killed_while_waiting)
{
	long began;
	pid_t pid = fork();
	int st;

	if (!pid) {
		struct vcpu *c = guest64(spin);
		struct runner t = { .c = c };
		struct asker a = { .c = c, .nr = KVM_GET_REGS };
		struct asker b = { .c = c, .nr = KVM_RUN };
		pthread_t th[3];

		pthread_create(&th[0], NULL, run_thread, &t);
		moves(&GUEST(c->vm, count));
		pthread_create(&th[1], NULL, ask, &a);
		pthread_create(&th[2], NULL, ask, &b);
		pthread_join(th[1], NULL);
		_exit(a.done);
	}
	usleep(500000);
	began = now_ms();
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	EXPECT_TRUE(WIFSIGNALED(st)) TH_LOG("status %#x", st);
	EXPECT_GT(5000, now_ms() - began);
}

/* ---- Memory ------------------------------------------------------------------------- */

TEST(memory_unmapped_while_running)
{
	struct vcpu *c = guest64(spin);
	struct runner t = { .c = c, .once = true };
	uint8_t *page = gpa_hva(c->vm, (uintptr_t)&count & -4096ul), *save;
	pthread_t th;
	int i;

	save = malloc(4096);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pthread_create(&th, NULL, run_thread, &t));
		ASSERT_TRUE(moves(&GUEST(c->vm, count)));
		memcpy(save, page, 4096);
		munmap(page, 4096);
		pthread_join(th, NULL);
		ASSERT_EQ(-EFAULT, t.result);
		ASSERT_EQ(-EFAULT, vcpu_run(c));
		/* another page, and it goes on */
		ASSERT_EQ(page, mmap(page, 4096, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		memcpy(page, save, 4096);
	}
}

/* All of it, its page tables and code included */
TEST(all_memory_unmapped_while_running)
{
	struct vcpu *c = guest64((void *)busy);
	struct runner t = { .c = c };
	pthread_t th;
	int i;

	ASSERT_EQ(0, pthread_create(&th, NULL, run_thread, &t));
	ASSERT_TRUE(moves(&GUEST(c->vm, count)));
	munmap(c->vm->mem, GUEST_MEM);
	for (i = 0; i < 5000 && t.result != -EFAULT; i++)
		usleep(1000);
	EXPECT_EQ(-EFAULT, t.result);
	t.stop = true;
	pthread_join(th, NULL);
}

/* Shaken by all that moves pages, while two vCPUs check what they wrote. */
static void checker(uint64_t me)
{
	volatile uint64_t *p = (void *)(GUEST_DATA + me * 0x100000);
	uint64_t i, round;

	for (round = 1;; round++) {
		for (i = 0; i < 64; i++)
			p[i * 512] = round << 8 | i;
		for (i = 0; i < 64; i++)
			GUEST_ASSERT_EQ(p[i * 512], round << 8 | i);
		count++;
	}
}

TEST(mapping_shaken_while_running)
{
	struct vm *vm = vm_create();
	struct runner t[2] = { { 0 } };
	pthread_t th[2];
	uint64_t seed = 7;
	long end = now_ms() + 1000 * test_seconds(2);
	uint8_t *data = vm->mem + GUEST_DATA;
	int i, n = 0, st;

	install(SIGUSR1);
	for (i = 0; i < 2; i++) {
		t[i].c = vcpu_create(vm, i);
		t[i].once = true;
		vcpu_start64(t[i].c, checker, i, 0);
		ASSERT_EQ(0, pthread_create(&th[i], NULL, run_thread, &t[i]));
	}
	for (; now_ms() < end; n++) {
		uint8_t *p = data + (rnd(&seed) % 64) * 4096;
		size_t len = (1 + rnd(&seed) % 32) * 4096;
		pid_t pid;

		switch (rnd(&seed) % 6) {
		case 0:
			mprotect(p, len, PROT_READ);
			mprotect(p, len, PROT_READ | PROT_WRITE);
			break;
		case 1:
			madvise(data, 4 << 20, MADV_HUGEPAGE);
			break;
		case 2:
			madvise(data, 4 << 20, MADV_NOHUGEPAGE);
			break;
		case 3:
			madvise(p, len, 21 /* MADV_PAGEOUT */);
			break;
		case 4:
			pid = fork();
			if (!pid)
				_exit(0);
			waitpid(pid, &st, 0);
			break;
		case 5:
			madvise(p, len, 20 /* MADV_COLD */);
			break;
		}
		/* mprotect(READ) for a moment may make the guest's write fail: run again */
		for (i = 0; i < 2; i++) {
			if (!t[i].runs)
				continue;
			pthread_join(th[i], NULL);
			ASSERT_EQ(-EFAULT, t[i].result)
				TH_LOG("vCPU %d: exit reason %u", i, t[i].c->run->exit_reason);
			t[i].runs = 0;
			ASSERT_EQ(0, pthread_create(&th[i], NULL, run_thread, &t[i]));
		}
	}
	for (i = 0; i < 2; i++) {
		stop_thread(th[i]);
		if (t[i].result != -EFAULT)
			EXPECT_EQ(-EINTR, t[i].result);
	}
	EXPECT_LT(1, GUEST(vm, count));
	TH_LOG("shaken %d times, %llu rounds of the guests", n,
	       (unsigned long long)GUEST(vm, count));
}

/* ---- Nothing is left ------------------------------------------------------------------ */

static long module_users(void)
{
	long v = proc_value("/sys/module/lucid/refcnt", "");

	return v >= 0 ? v : proc_value("/sys/module/kvm_amd/refcnt", "");
}

static void a_life(void)
{
	struct vm *vm = vm_create();
	struct vcpu *c[2] = { vcpu_create(vm, 0), vcpu_create(vm, 1) };

	vcpu_start64(c[0], three_syncs, 0, 0);
	if (vcpu_next(c[0]) != G_SYNC)
		abort();
	vcpu_destroy(c[0]);
	vcpu_destroy(c[1]);
	vm_destroy(vm);
}

/* As many lives as go into @ms; how much more memory the kernel holds after. */
static long lives(int ms, long *kernel, long *percpu)
{
	long n = 0, end = now_ms() + ms;

	*kernel = -kernel_memory();
	*percpu = -proc_value("/proc/meminfo", "Percpu:");
	for (; now_ms() < end; n++)
		a_life();
	usleep(500000);			/* RCU callbacks */
	*kernel += kernel_memory();
	*percpu += proc_value("/proc/meminfo", "Percpu:");
	return n;
}

TEST(no_leak)
{
	long kernel, percpu, files, users = module_users(), n, i;
	bool grew = true;

	lives(2000, &kernel, &percpu);	/* fills caches */
	EXPECT_EQ(users + 1, module_users());	/* dev_fd() */
	files = proc_value("/proc/sys/fs/file-nr", "");
	/* others take memory, too, but a leak is there each time */
	for (i = 0; i < 4 && grew; i++) {
		n = lives(1000 * test_seconds(2), &kernel, &percpu);
		TH_LOG("%ld lives: kernel memory %+ld kB, percpu %+ld kB", n, kernel, percpu);
		/* one page a life would be 4 * n */
		grew = kernel > n * 2 + 100 || percpu > n / 2 + 100;
	}
	if (n < 60)
		SKIP(return, "only %ld lives: too few to tell", n);
	EXPECT_FALSE(grew);
	EXPECT_EQ(users + 1, module_users());
	EXPECT_GT(600, proc_value("/proc/sys/fs/file-nr", "") - files);
}

TEST_HARNESS_MAIN
