// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory is the process's memory: whatever happens to the mapping on the
 * host, the guest's next access sees what the host would see there.
 */
#include <pthread.h>
#include <time.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include "guest.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PAGE	4096ul
#define W	((volatile uint64_t *)GUEST_FREE_2M)

/* Tell what is at W, and write what the host left in to_write, for ever. */
static volatile uint64_t to_write;
static volatile bool do_write;

static void tell_and_write(void)
{
	for (;;) {
		GUEST_SYNC(*W);
		if (do_write)
			*W = to_write;
	}
}

static struct vcpu *start(void)
{
	return guest64(tell_and_write);
}

static uint64_t *hva(struct vcpu *c)
{
	return gpa_hva(c->vm, (uint64_t)W);
}

/* From now on the guest writes @v there before it tells what it reads. */
static void set_write(struct vcpu *c, uint64_t v)
{
	GUEST(c->vm, to_write) = v;
	GUEST(c->vm, do_write) = true;
}

static void no_write(struct vcpu *c)
{
	GUEST(c->vm, do_write) = false;
}

TEST(untouched_memory_is_zero)
{
	struct vcpu *c = start();

	ASSERT_SYNC(c, 0);
	*hva(c) = 0x1234;		/* the host writes, the guest sees it */
	ASSERT_SYNC(c, 0x1234);
	set_write(c, 0x5678);		/* and the other way */
	ASSERT_SYNC(c, 0x5678);
	ASSERT_EQ(0x5678, *hva(c));
}

/* ---- Fault-around ----------------------------------------------------------- */

#define AROUND_GPA	0x8003000ul	/* not at the start of a window of neighbours */
#define AROUND_PAGES	40
#define BEFORE		16
#define BOUNDARY_AT	-17	/* inside the second window, in a table of its own then */
#define ABSENT		10		/* and 11: not there in the host */
#define PROTECTED	20		/* there, and read-only */
#define PAGE_GPA(n)	(AROUND_GPA + (n) * PAGE)

static volatile uint64_t at_page, value;
static volatile bool write_it;

static void touch(void)
{
	for (;;) {
		volatile uint64_t *p = (void *)PAGE_GPA(at_page);

		if (write_it)
			*p = value;
		GUEST_SYNC(*p);
	}
}

/* How much of the mapping at @m has dirty entries in the host's page tables. */
static long pte_dirty_bytes(const void *m)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[256], at[32];
	long kb, sum = 0;
	bool mine = false;

	snprintf(at, sizeof(at), "%lx-", (unsigned long)m);
	while (f && fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			mine = !strncmp(line, at, strlen(at));
		if (mine && (sscanf(line, "Shared_Dirty: %ld", &kb) == 1 ||
			     sscanf(line, "Private_Dirty: %ld", &kb) == 1))
			sum += kb * 1024;
	}
	if (f)
		fclose(f);
	return sum;
}

FIXTURE(around) { struct vcpu *c; uint8_t *m; };
FIXTURE_VARIANT(around) { long from_2m; };	/* pages from a 2M boundary of the host to page 0 */
FIXTURE_VARIANT_ADD(around, one_host_table) { BEFORE };
FIXTURE_VARIANT_ADD(around, two_host_tables) { BOUNDARY_AT };

FIXTURE_SETUP(around)
{
	const unsigned long size = 512 * PAGE;
	uint8_t *m = map_2m(2 * size);
	int i;

	madvise(m, 2 * size, MADV_NOHUGEPAGE);
	self->m = m + size + variant->from_2m * (long)PAGE;
	/* There is memory before the slot's as well, which is not the guest's. */
	for (i = -BEFORE; i < AROUND_PAGES; i++)
		if (i / 2 != ABSENT / 2)
			*(volatile uint64_t *)(self->m + i * (long)PAGE) = i;
	ASSERT_EQ(0, mprotect(self->m + PROTECTED * PAGE, PAGE, PROT_READ));
	self->c = guest64(touch);
	ASSERT_EQ(0, vm_slot(self->c->vm, 1, 0, AROUND_GPA, AROUND_PAGES * PAGE, self->m));
}
FIXTURE_TEARDOWN(around) { }

/* What is there comes with its neighbour, what is not is not made. */
TEST_F(around, few_faults_and_nothing_allocated)
{
	struct vcpu *c = self->c;
	uint8_t there[AROUND_PAGES];
	uint64_t n;

	ASSERT_SYNC(c, 0);
	n = vcpu_stats(c).nested_faults;
	for (at_page = 0; at_page < AROUND_PAGES; at_page++) {
		if (at_page / 2 == ABSENT / 2)
			continue;
		GUEST(c->vm, at_page) = at_page;
		ASSERT_SYNC(c, at_page);
	}
	ASSERT_EQ(0, mincore(self->m, AROUND_PAGES * PAGE, there));
	EXPECT_EQ(0, there[ABSENT] & 1);
	EXPECT_EQ(0, there[ABSENT + 1] & 1);
	/* Three windows, of 13, 16 and 11 pages; and one more in two of the host's tables. */
	if (!dev_is_kvm())
		EXPECT_EQ(variant->from_2m < 0 ? 3 : 2, vcpu_stats(c).nested_faults - n);
}

/* A neighbour may do what its own page may. */
TEST_F(around, each_page_keeps_its_rights)
{
	struct vcpu *c = self->c;

	GUEST(c->vm, at_page) = PROTECTED - 1;
	GUEST(c->vm, value) = 0x1111;
	GUEST(c->vm, write_it) = true;
	ASSERT_SYNC(c, 0x1111);
	GUEST(c->vm, at_page) = PROTECTED;
	ASSERT_EQ(-EFAULT, vcpu_run(c));
	EXPECT_EQ(PROTECTED, *(uint64_t *)(self->m + PROTECTED * PAGE));
	ASSERT_EQ(0, mprotect(self->m + PROTECTED * PAGE, PAGE, PROT_READ | PROT_WRITE));
	ASSERT_SYNC(c, 0x1111);
}

TEST_F(around, read_only_slot_stays_so)
{
	struct vcpu *c = self->c;

	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, 0, 0, NULL));
	ASSERT_EQ(0, vm_slot(c->vm, 1, KVM_MEM_READONLY, AROUND_GPA, AROUND_PAGES * PAGE,
			     self->m));
	GUEST(c->vm, at_page) = 4;
	ASSERT_SYNC(c, 4);
	GUEST(c->vm, at_page) = 5;
	GUEST(c->vm, write_it) = true;
	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	EXPECT_EQ(PAGE_GPA(5), c->run->mmio.phys_addr);
	EXPECT_EQ(5, *(uint64_t *)(self->m + 5 * PAGE));
}

/* A page that the guest never touched goes like any other. */
TEST_F(around, neighbours_go_with_their_pages)
{
	struct vcpu *c = self->c;

	ASSERT_SYNC(c, 0);
	ASSERT_EQ(0, madvise(self->m + PAGE, 4 * PAGE, MADV_DONTNEED));
	*(volatile uint64_t *)(self->m + 2 * PAGE) = 0x2222;
	GUEST(c->vm, at_page) = 1;
	ASSERT_SYNC(c, 0);
	GUEST(c->vm, at_page) = 2;
	ASSERT_SYNC(c, 0x2222);
}

TEST_F(around, nothing_outside_of_the_slot)
{
	static const int outside[] = { -1, AROUND_PAGES - 20 };
	struct vcpu *c = self->c;
	unsigned int i;

	/* The memory goes on where the slot ends. */
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, 0, 0, NULL));
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, AROUND_GPA, (AROUND_PAGES - 20) * PAGE, self->m));
	for (i = 0; i < AROUND_PAGES - 20; i++) {
		if (i / 2 == ABSENT / 2)
			continue;
		GUEST(c->vm, at_page) = i;
		ASSERT_SYNC(c, i);
	}
	for (i = 0; i < 2; i++) {
		GUEST(c->vm, at_page) = outside[i];
		ASSERT_EXIT(c, KVM_EXIT_MMIO);
		EXPECT_EQ(PAGE_GPA(outside[i]), c->run->mmio.phys_addr);
		ASSERT_KIND(c, G_SYNC);
	}
}

/*
 * A page of a file that is clean in the host: the guest's write is to make it
 * dirty there, or the file would lose it.
 */
TEST(clean_neighbour_becomes_dirty)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600), i;
	struct vcpu *c = guest64(touch);
	uint8_t *m;

	if (fd < 0)
		SKIP(return, "no file in /dev/shm");
	if (dev_is_kvm())
		SKIP(return, "KVM tells the host when it unmaps the page");
	ASSERT_EQ(0, ftruncate(fd, 16 * PAGE));
	m = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (i = 0; i < 16; i++)	/* there, not written */
		(void)*(volatile uint8_t *)(m + i * PAGE);
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, AROUND_GPA, 16 * PAGE, m));
	ASSERT_SYNC(c, 0);		/* page 0; its neighbours come along */
	ASSERT_EQ(0, pte_dirty_bytes(m));
	GUEST(c->vm, value) = 0x77;
	GUEST(c->vm, write_it) = true;
	for (i = 1; i < 4; i++) {
		GUEST(c->vm, at_page) = i;
		ASSERT_SYNC(c, 0x77);
		EXPECT_EQ(i * (long)PAGE, pte_dirty_bytes(m));
	}
}

/* Large pages of the host behind a slot that is not aligned as they are. */
TEST(large_pages_askew)
{
	const unsigned long size = 512 * PAGE;
	uint8_t *m = map_2m(2 * size);
	struct vcpu *c = guest64(touch);
	uint64_t n;
	int i;

	if (madvise(m, 2 * size, MADV_HUGEPAGE))
		SKIP(return, "no huge pages");
	for (i = 0; i < 1024; i++)
		*(volatile uint64_t *)(m + i * PAGE) = i;
	/* AROUND_GPA is page 3 of its 2M: this is page 7, and 40 pages cross into the second */
	m += (512 - 20) * PAGE;
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, AROUND_GPA, AROUND_PAGES * PAGE, m));
	/* First behind the boundary, then before it. */
	GUEST(c->vm, at_page) = 25;
	ASSERT_SYNC(c, 512 + 5);
	n = vcpu_stats(c).nested_faults;
	for (i = 0; i < AROUND_PAGES; i++) {
		GUEST(c->vm, at_page) = i;
		ASSERT_SYNC(c, 512 - 20 + i);
	}
	if (!dev_is_kvm())	/* the boundary is in the second of three windows */
		EXPECT_GE(3, vcpu_stats(c).nested_faults - n);
}

/* ---- The host takes pages away ------------------------------------------- */

TEST(dontneed_reads_zero)
{
	struct vcpu *c = start();

	set_write(c, 0x11);
	ASSERT_SYNC(c, 0);
	ASSERT_SYNC(c, 0x11);
	no_write(c);
	ASSERT_EQ(0, madvise(hva(c), PAGE, MADV_DONTNEED));
	ASSERT_SYNC(c, 0);
	set_write(c, 0x22);
	ASSERT_SYNC(c, 0x22);
	ASSERT_EQ(0x22, *hva(c));
}

TEST(munmap_is_efault)
{
	struct vcpu *c = start();
	void *p = hva(c);

	set_write(c, 0x11);
	ASSERT_SYNC(c, 0);
	ASSERT_SYNC(c, 0x11);
	ASSERT_EQ(0, munmap(p, PAGE));
	ASSERT_EQ(-EFAULT, vcpu_run(c));
	ASSERT_EQ(-EFAULT, vcpu_run(c));	/* as often as asked */
	ASSERT_EQ(p, mmap(p, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	no_write(c);
	*hva(c) = 0x77;
	/* it was stopped before its write or before its read */
	ASSERT_KIND(c, G_SYNC);
	ASSERT_TRUE(c->event.a == 0x77 || c->event.a == 0x11);
}

TEST(read_only_mapping)
{
	struct vcpu *c = start();

	set_write(c, 0x11);
	ASSERT_SYNC(c, 0);
	ASSERT_SYNC(c, 0x11);
	no_write(c);
	ASSERT_EQ(0, mprotect(hva(c), PAGE, PROT_READ));
	ASSERT_SYNC(c, 0x11);			/* reading goes on */
	set_write(c, 0x22);
	ASSERT_EQ(-EFAULT, vcpu_run(c));	/* writing does not */
	ASSERT_EQ(0x11, *hva(c));
	ASSERT_EQ(0, mprotect(hva(c), PAGE, PROT_READ | PROT_WRITE));
	ASSERT_SYNC(c, 0x22);
	ASSERT_EQ(0x22, *hva(c));
}

TEST(mremap_moves_it_away)
{
	struct vcpu *c = start();
	uint64_t *away;

	set_write(c, 0x11);
	ASSERT_SYNC(c, 0);
	ASSERT_SYNC(c, 0x11);
	no_write(c);
	away = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(away, mremap(hva(c), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away));
	ASSERT_EQ(hva(c), mmap(hva(c), PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(0x11, *away);
	*hva(c) = 0x33;
	ASSERT_SYNC(c, 0x33);
	set_write(c, 0x44);
	ASSERT_SYNC(c, 0x44);
	ASSERT_EQ(0x11, *away);
}

/* After fork() the page is shared, and copied when the guest writes it. */
TEST(fork_copies_on_write)
{
	struct vcpu *c = start();
	uint64_t v = 0;
	int to[2], from[2];
	pid_t pid;

	set_write(c, 0x11);
	ASSERT_SYNC(c, 0);
	ASSERT_SYNC(c, 0x11);
	ASSERT_EQ(0, pipe(to) | pipe(from));
	pid = fork();
	if (!pid) {
		/* the child keeps what it saw, and its own write is its own */
		uint64_t *p = hva(c), r;

		if (read(to[0], &r, 8) != 8)
			_exit(1);
		r = *p;
		*p = 0x99;
		_exit(write(from[1], &r, 8) != 8);
	}
	set_write(c, 0x22);
	ASSERT_SYNC(c, 0x22);
	no_write(c);
	ASSERT_EQ(8, write(to[1], &v, 8));
	ASSERT_EQ(8, read(from[0], &v, 8));
	ASSERT_EQ(0x11, v);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_SYNC(c, 0x22);
	ASSERT_EQ(0x22, *hva(c));
}

/* Only the guest wrote it since MADV_FREE: it is not the kernel's to drop. */
TEST(guest_writes_count_as_dirty)
{
	struct vcpu *c = start();
	uint64_t i;

	set_write(c, 0x11);
	ASSERT_SYNC(c, 0);
	ASSERT_SYNC(c, 0x11);
	for (i = 2; i < 12; i++) {
		if (madvise(hva(c), PAGE, MADV_FREE))
			SKIP(return, "no MADV_FREE");
		set_write(c, i);
		ASSERT_KIND(c, G_SYNC);	/* tells the old one, if it is still there */
		ASSERT_SYNC(c, i);
		no_write(c);
		if (madvise(hva(c), PAGE, MADV_PAGEOUT))
			SKIP(return, "no MADV_PAGEOUT");
		ASSERT_SYNC(c, i);
		ASSERT_EQ(i, *hva(c));
		set_write(c, i);
		ASSERT_SYNC(c, i);
	}
}

/* ---- Kinds of memory ------------------------------------------------------ */

TEST(shared_file)
{
	struct vcpu *c = start();
	int fd = syscall(SYS_memfd_create, "guest", 0);
	uint64_t *other;

	ASSERT_EQ(0, ftruncate(fd, PAGE));
	ASSERT_EQ(hva(c), mmap(hva(c), PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, fd, 0));
	other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	*other = 0x10;
	ASSERT_SYNC(c, 0x10);
	set_write(c, 0x20);
	ASSERT_SYNC(c, 0x20);
	ASSERT_EQ(0x20, *other);
	no_write(c);
	*other = 0x30;
	ASSERT_SYNC(c, 0x30);
	/* a hole punched in the file is zero for all */
	ASSERT_EQ(0, fallocate(fd, 3, 0, PAGE));
	ASSERT_SYNC(c, 0);
	/* cut off: the guest meets what the process would meet */
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(-EFAULT, vcpu_run(c));
}

TEST(private_file_is_copied)
{
	struct vcpu *c = start();
	int fd = syscall(SYS_memfd_create, "guest", 0);
	uint64_t v = 0x77;

	ASSERT_EQ(0, ftruncate(fd, PAGE));
	ASSERT_EQ(8, pwrite(fd, &v, 8, 0));
	ASSERT_EQ(hva(c), mmap(hva(c), PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_FIXED, fd, 0));
	ASSERT_SYNC(c, 0x77);
	set_write(c, 0x88);
	ASSERT_SYNC(c, 0x88);
	ASSERT_EQ(8, pread(fd, &v, 8, 0));
	ASSERT_EQ(0x77, v);
	ASSERT_EQ(0x88, *hva(c));
}

/* A 2M page, written in each of its 4K parts, then split by the host */
static void touch_2m(void)
{
	uint64_t i;

	for (i = 0; i < 512; i++)
		W[i * 512] = i + 1;
	GUEST_SYNC(1);
	for (i = 0; i < 512; i++)
		GUEST_ASSERT_EQ(W[i * 512], i == 7 ? 0 : i == 9 ? 0x99 : i + 1);
}

TEST(huge_page)
{
	struct vcpu *c = guest64(touch_2m);
	int i;

	if (madvise(hva(c), 2 << 20, MADV_HUGEPAGE))
		SKIP(return, "no transparent huge pages");
	ASSERT_SYNC(c, 1);
	for (i = 0; i < 512; i++)
		ASSERT_EQ(i + 1, hva(c)[i * 512]);
	ASSERT_EQ(0, madvise(hva(c) + 7 * 512, PAGE, MADV_DONTNEED));
	hva(c)[9 * 512] = 0x99;
	ASSERT_DONE(c);
}

/* Pages of the same contents become one (KSM), and two when the guest writes. */
static void same_pages(void)
{
	uint64_t i;

	for (i = 0; i < 512; i++)
		W[i] = W[512 + i] = 0x5a5a000000 + i;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(W[7], W[512 + 7]);
	W[7] = 1;
	GUEST_ASSERT_EQ(W[512 + 7], 0x5a5a000007);
	GUEST_ASSERT_EQ(W[7], 1);
}

static long ksm(const char *name, long set)
{
	char path[64], buf[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", name);
	fd = open(path, set < 0 ? O_RDONLY : O_WRONLY);
	if (set >= 0)
		dprintf(fd, "%ld", set);
	else if (read(fd, buf, sizeof(buf) - 1) <= 0)
		buf[0] = '0';
	close(fd);
	return atol(buf);
}

TEST(merged_by_ksm)
{
	long run, pages, sleep, i, merged = 0;
	struct vcpu *c;

	if (access("/sys/kernel/mm/ksm/run", W_OK))
		SKIP(return, "no KSM in this kernel");
	c = guest64(same_pages);
	ASSERT_SYNC(c, 1);
	ASSERT_EQ(0, madvise(hva(c), 2 * PAGE, MADV_MERGEABLE));
	run = ksm("run", -1);
	pages = ksm("pages_to_scan", -1);
	sleep = ksm("sleep_millisecs", -1);
	ksm("pages_to_scan", 1000);
	ksm("sleep_millisecs", 10);
	ksm("run", 1);
	for (i = 0; i < 100 && !merged; i++) {
		usleep(50000);
		merged = ksm("pages_sharing", -1);
	}
	ksm("run", run);
	ksm("pages_to_scan", pages);
	ksm("sleep_millisecs", sleep);
	ASSERT_DONE(c);
	EXPECT_EQ(1, hva(c)[7]);
	EXPECT_EQ(0x5a5a000007, hva(c)[512 + 7]);
	if (!merged)
		SKIP(return, "KSM merged nothing in five seconds");
}

/* ---- Slots ---------------------------------------------------------------- */

TEST(slot_deleted_and_back)
{
	struct vcpu *c = start();
	struct vm *vm = c->vm;

	set_write(c, 0x11);
	ASSERT_SYNC(c, 0);
	ASSERT_SYNC(c, 0x11);
	no_write(c);
	/* the same memory as three slots, so that the middle can go */
	ASSERT_EQ(0, vm_slot(vm, 0, 0, 0, 0, NULL));
	ASSERT_EQ(0, vm_slot(vm, 0, 0, 0, GUEST_FREE_2M, vm->mem));
	ASSERT_EQ(0, vm_slot(vm, 1, 0, GUEST_FREE_2M, 2 << 20, hva(c)));
	ASSERT_EQ(0, vm_slot(vm, 2, 0, GUEST_IMAGE, GUEST_MEM - GUEST_IMAGE,
			     vm->mem + GUEST_IMAGE));
	ASSERT_SYNC(c, 0x11);
	ASSERT_EQ(0, vm_slot(vm, 1, 0, 0, 0, NULL));
	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	ASSERT_EQ((uint64_t)W, c->run->mmio.phys_addr);
	*(uint64_t *)c->run->mmio.data = 0xabc;
	ASSERT_SYNC(c, 0xabc);
	/* back, but half a megabyte further on in the host */
	hva(c)[65536] = 0x55;
	ASSERT_EQ(0, vm_slot(vm, 1, 0, GUEST_FREE_2M, 1 << 20, hva(c) + 65536));
	ASSERT_SYNC(c, 0x55);
	/* moved in the guest: there, and no longer here */
	ASSERT_EQ(0, vm_slot(vm, 1, 0, GUEST_FREE_2M + (1 << 20), 1 << 20, hva(c) + 65536));
	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	memset(c->run->mmio.data, 0, 8);
	ASSERT_SYNC(c, 0);
}

/* One page of the host at two guest addresses */
static void alias(void)
{
	volatile uint64_t *b = (void *)GUEST_MEM;

	W[0] = 5;
	GUEST_ASSERT_EQ(b[0], 5);
	b[1] = 6;
	GUEST_ASSERT_EQ(W[1], 6);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(b[0], 0);
	GUEST_ASSERT_EQ(W[0], 0);
}

TEST(two_slots_one_page)
{
	struct vcpu *c = guest64(alias);

	ASSERT_EQ(0, vm_slot(c->vm, 5, 0, GUEST_MEM, PAGE, hva(c)));
	ASSERT_SYNC(c, 1);
	ASSERT_EQ(0, madvise(hva(c), PAGE, MADV_DONTNEED));
	ASSERT_DONE(c);
}

/* ---- The guest's own tables ------------------------------------------------ */

static void own_tables(void)
{
	volatile uint64_t *p = (void *)GUEST_DATA, *q = (void *)(GUEST_DATA + PAGE);
	uint64_t a, b;

	p[0] = 1;
	q[0] = 2;
	a = *GUEST_PTE(GUEST_DATA);
	b = *GUEST_PTE(GUEST_DATA + PAGE);
	GUEST_ASSERT_EQ(a & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* swap two pages */
	*GUEST_PTE(GUEST_DATA) = b;
	*GUEST_PTE(GUEST_DATA + PAGE) = a;
	invlpg(p);
	invlpg(q);
	GUEST_ASSERT_EQ(p[0], 2);
	GUEST_ASSERT_EQ(q[0], 1);
	/* away: #PF with the address; back: there without a flush */
	*GUEST_PTE(GUEST_DATA) = 0;
	invlpg(p);
	GUEST_ASSERT_EQ(TRY("movq (%[p]), %%rax", , [p] "r"(p), "a"(0)), PF);
	GUEST_ASSERT_EQ(guest_error, 0);
	GUEST_ASSERT_EQ(read_cr2(), (uint64_t)p);
	*GUEST_PTE(GUEST_DATA) = a;
	GUEST_ASSERT_EQ(p[0], 1);
	/* another root, and back */
	write_cr3(ROOT_64_2M);
	GUEST_ASSERT_EQ(q[0], 2);
	write_cr3(ROOT_64_4K);
	GUEST_ASSERT_EQ(q[0], 1);
	/* global pages stay over CR3, and go with CR4.PGE */
	write_cr4(read_cr4() | CR4_PGE);
	*GUEST_PTE(GUEST_DATA) = a | PTE_G;
	invlpg(p);
	GUEST_ASSERT_EQ(p[0], 1);
	*GUEST_PTE(GUEST_DATA) = b | PTE_G;
	write_cr4(read_cr4() & ~CR4_PGE);
	GUEST_ASSERT_EQ(p[0], 2);
}

TEST(guest_page_tables)
{
	struct vcpu *c = guest64(own_tables);

	ASSERT_DONE(c);
}

/* ---- Faults against invalidations ------------------------------------------ */

#define RACE_PAGES 16
static volatile bool stop;
static volatile uint64_t rounds;

static void count_up(void)
{
	uint64_t n, i;

	for (n = 1; !stop; n++) {
		for (i = 0; i < RACE_PAGES; i++) {
			volatile uint64_t *p = W + i * 512;

			GUEST_ASSERT_EQ(*p, n - 1);
			*p = n;
		}
		rounds = n;
	}
}

static void *invalidate(void *arg)
{
	struct vcpu *c = arg;
	uint64_t k, from;

	for (k = 0; k < 300; k++) {
		uint64_t *p = hva(c) + k % RACE_PAGES * 512;

		/* protection away and back; at times a fork's write protection */
		mprotect(p, PAGE, PROT_READ);
		mprotect(p, PAGE, PROT_READ | PROT_WRITE);
		if (k % 50 == 0) {
			pid_t pid = fork();

			if (!pid)
				_exit(0);
			waitpid(pid, NULL, 0);
		}
		if (k % 10 == 0)
			for (from = GUEST(c->vm, rounds); GUEST(c->vm, rounds) == from;)
				usleep(200);
	}
	GUEST(c->vm, stop) = true;
	return NULL;
}

TEST(invalidations_while_running)
{
	struct vcpu *c = guest64(count_up);
	pthread_t t;
	int r, i;

	ASSERT_EQ(0, pthread_create(&t, NULL, invalidate, c));
	do {
		/* a write in the moment of read-only is -EFAULT: go on */
		r = vcpu_next(c);
	} while (r == G_ERROR && c->event.a == EFAULT);
	if (r != G_DONE)
		vcpu_dump(c);
	ASSERT_EQ(G_DONE, r);
	pthread_join(t, NULL);
	for (i = 0; i < RACE_PAGES; i++)
		ASSERT_EQ(GUEST(c->vm, rounds), hva(c)[i * 512]);
}

/*
 * The page goes while the guest's fault is being served: what is installed must
 * not be the page of before. Two removals a random while apart; then the guest
 * writes on, and the host must see it in the page that is mapped now.
 */
static void write_on(void)
{
	uint64_t n;

	for (n = 1; !stop; n++) {
		*W = n;
		rounds = n;
	}
}

static volatile bool ended;

static void *vcpu_thread(void *arg)
{
	struct vcpu *c = arg;
	int r = vcpu_run(c);

	if (r || c->run->exit_reason != KVM_EXIT_IO) {
		c->event = (struct guest_event){ .kind = r ? G_ERROR : G_EXIT, .a = -r };
		vcpu_dump(c);
	}
	ended = true;
	return NULL;
}

TEST(removal_while_faulting)
{
	struct vcpu *c = guest64(write_on);
	volatile uint64_t *n = &GUEST(c->vm, rounds), *p = hva(c);
	uint64_t from, seen, seed = 12345;
	time_t end = time(NULL) + 6;
	pthread_t t;

	if (cpu_count() < 2)
		SKIP(return, "one CPU");
	ASSERT_EQ(0, pthread_create(&t, NULL, vcpu_thread, c));
	/* by the clock: an IPI between emulated CPUs takes from 0.1 to 30 ms */
	while (time(NULL) < end) {
		seed = seed * 6364136223846793005ul + 1442695040888963407ul;
		madvise((void *)p, PAGE, MADV_DONTNEED);
		for (from = 0; from < (seed >> 33) % 4000; from++)
			cpu_relax();
		madvise((void *)p, PAGE, MADV_DONTNEED);
		for (from = *n; *n < from + 3 && !ended;)
			cpu_relax();
		ASSERT_FALSE(ended);
		seen = *p;
		ASSERT_LE(from, seen) {
			GUEST(c->vm, stop) = true;
		}
	}
	GUEST(c->vm, stop) = true;
	pthread_join(t, NULL);
}

TEST_HARNESS_MAIN
