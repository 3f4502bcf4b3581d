// SPDX-License-Identifier: GPL-2.0
/*
 * Two vCPUs work on memory of their own while the host's memory management is
 * kept busy with it: forks (copy on write), MADV_DONTNEED, page-out, huge pages
 * made and split, protection taken away and given back, a second slot for the
 * same memory that comes and goes.  Whatever a vCPU has written, its process
 * and it must see; a stale nested entry or TLB entry shows as a lost write.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <sys/wait.h>

#include "guest.h"

#define VCPUS		2
#define PAGES		32		/* of each vCPU, in a 2M of its own */
#define AREA		(64ULL << 20)	/* gpa of the memory */
#define ALIAS		(1ULL << 32)	/* gpa of the slot that comes and goes */
#define SIZE_2M		(2ULL << 20)
#define ROUND		200		/* guest operations between two checks */
#define SECONDS		8

/* The guest's own: what each page holds. */
static volatile uint64_t expected[VCPUS][PAGES];

static uint64_t page_gpa(unsigned int id, unsigned int page)
{
	return AREA + id * SIZE_2M + page * 16 * 4096ULL;
}

static void guest(uint64_t id, uint64_t seed)
{
	uint64_t x = seed * 2 + 1;
	unsigned int i;

	for (;;) {
		for (i = 0; i < ROUND; i++) {
			unsigned int page;
			volatile uint64_t *p;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			page = (x >> 8) % PAGES;
			p = (volatile uint64_t *)page_gpa(id, page);
			GUEST_ASSERT_EQ(*p, expected[id][page]);
			if (x & (1 << 20)) {
				*p = x;
				expected[id][page] = x;
			}
		}
		GUEST_SYNC(id);
	}
}

static uint8_t *area;
static struct vm *vm;
static volatile bool stop;
static unsigned long rounds[VCPUS], lost[VCPUS], odd[VCPUS];

static unsigned int rnd(unsigned int *s)
{
	return rand_r(s);
}

static void *vcpu_thread(void *arg)
{
	long id = (long)arg;
	struct vcpu *c = vcpu_create(vm, id);
	unsigned int i, s = id + 1;

	vcpu_start64(c, guest, id, id + 7);
	while (!stop) {
		int kind = vcpu_next(c);

		if (kind != G_SYNC) {
			vcpu_dump(c);
			odd[id]++;
			break;
		}
		for (i = 0; i < PAGES; i++) {
			volatile uint64_t *want = &((volatile uint64_t *)&GUEST(vm, expected[id]))[i];
			volatile uint64_t *p = (void *)(area + page_gpa(id, i) - AREA);

			if (*p != *want && lost[id]++ < 3)
				fprintf(stderr, "# vcpu %ld page %u: %lx, expected %lx\n",
					id, i, *p, *want);
			switch (rnd(&s) % 16) {
			case 0:
				madvise((void *)p, 4096, MADV_DONTNEED);
				*want = 0;
				break;
			case 1:
				*p = *want = rnd(&s);
				break;
			case 2:
				mprotect((void *)p, 4096, PROT_READ);
				mprotect((void *)p, 4096, PROT_READ | PROT_WRITE);
				break;
			}
		}
		rounds[id]++;
	}
	return c;
}

static void *forker(void *unused)
{
	while (!stop) {
		int pid = fork();

		if (!pid) {
			/* Copies: some of the pages may be read-only just now. */
			for (size_t i = 4096; i < VCPUS * SIZE_2M; i += 65536)
				area[i] = 1;
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		usleep(3000);
	}
	return NULL;
}

static void *pager(void *unused)
{
	unsigned int s = 5;

	while (!stop) {
		uint8_t *p = area + rnd(&s) % VCPUS * SIZE_2M;

		madvise(p, SIZE_2M, rnd(&s) & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		madvise(p, SIZE_2M, 25 /* MADV_COLLAPSE */);
		madvise(p, SIZE_2M, rnd(&s) & 1 ? 20 /* MADV_COLD */ : 21 /* MADV_PAGEOUT */);
		usleep(2000);
	}
	return NULL;
}

static void *slotter(void *failed)
{
	while (!stop) {
		if (vm_slot(vm, 5, 0, ALIAS, VCPUS * SIZE_2M, area) ||
		    vm_slot(vm, 5, 0, ALIAS + SIZE_2M, VCPUS * SIZE_2M, area) ||
		    vm_slot(vm, 5, 0, 0, 0, NULL))
			++*(int *)failed;
		usleep(500);
	}
	return NULL;
}

TEST(mm_busy)
{
	pthread_t t[VCPUS + 3];
	int failed = 0;
	long i;

	area = map_2m(VCPUS * SIZE_2M);
	vm = vm_create();
	ASSERT_EQ(0, vm_slot(vm, 1, 0, AREA, VCPUS * SIZE_2M, area));
	for (i = 0; i < VCPUS; i++)
		pthread_create(&t[i], NULL, vcpu_thread, (void *)i);
	pthread_create(&t[i++], NULL, forker, NULL);
	pthread_create(&t[i++], NULL, pager, NULL);
	pthread_create(&t[i++], NULL, slotter, &failed);
	sleep(SECONDS);
	stop = true;
	for (i = 0; i < VCPUS + 3; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < VCPUS; i++) {
		fprintf(stderr, "# vcpu %ld: %lu rounds\n", i, rounds[i]);
		EXPECT_EQ(0, lost[i]);
		EXPECT_EQ(0, odd[i]);
		EXPECT_GT(rounds[i], 0);
	}
	EXPECT_EQ(0, failed);
}

/* ---- a page dropped under a guest that writes it all the time ---- */

#define MAGIC	0xb

static volatile uint64_t progress;

static void writer(uint64_t gpa)
{
	for (;;) {
		*(volatile uint64_t *)gpa = 0x1000 + progress;
		progress++;
	}
}

static void *writer_thread(void *arg)
{
	struct vcpu *c = arg;

	while (!stop) {
		c->run->immediate_exit = 0;
		vcpu_run(c);
	}
	return NULL;
}

static void none(int sig)
{
}

/*
 * The window is between the notifier's zap and the end of the host's work on
 * its own tables: 512 pages are dropped at once and the last one is watched.
 */
TEST(page_dropped_while_written)
{
	size_t pages = 512;
	uint8_t *m = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint64_t *h = (void *)(m + (pages - 1) * 4096), *seen;
	uint64_t before, stale = 0, rounds = 0, i;
	struct timespec t0, t;
	struct vcpu *c;
	pthread_t thread;

	signal(SIGUSR1, none);
	stop = false;
	madvise(m, pages * 4096, MADV_NOHUGEPAGE);
	vm = vm_create();
	ASSERT_EQ(0, vm_slot(vm, 1, 0, AREA, pages * 4096, m));
	c = vcpu_create(vm, 0);
	vcpu_start64(c, writer, AREA + (pages - 1) * 4096, 0);
	seen = &GUEST(vm, progress);
	pthread_create(&thread, NULL, writer_thread, c);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		for (i = 0; i < pages; i++)
			m[i * 4096 + 8] = 1;
		madvise(m, pages * 4096, MADV_DONTNEED);
		*h = MAGIC;
		/* Two more writes, begun after that one: it cannot stand there any more. */
		before = *seen;
		while (*seen < before + 3)
			sched_yield();
		if (*h == MAGIC)
			stale++;
		rounds++;
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (t.tv_sec - t0.tv_sec < 5);
	stop = true;
	c->run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	fprintf(stderr, "# %lu rounds\n", rounds);
	EXPECT_EQ(0, stale);
	EXPECT_GT(rounds, 5);
}

TEST_HARNESS_MAIN
