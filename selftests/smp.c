// SPDX-License-Identifier: GPL-2.0
/*
 * Two vCPUs run at once on shared memory, on one host CPU or on two; and a vCPU
 * thread that is moved from CPU to CPU keeps all of its state.
 */
#include <pthread.h>
#include <sched.h>
#include "guest.h"

#define ROUNDS 20000

static volatile uint64_t turn, counter, spinlock, locked_counter, plain[2];

/* Each takes its part of an atomic counter and a counter under a lock. */
static void both(uint64_t me)
{
	uint64_t i;

	for (i = 0; i < ROUNDS; i++) {
		asm volatile("lock incq %0" : "+m"(counter));
		while (__atomic_exchange_n(&spinlock, 1, __ATOMIC_ACQUIRE))
			cpu_relax();
		locked_counter++;
		__atomic_store_n(&spinlock, 0, __ATOMIC_RELEASE);
		plain[me]++;
	}
}

/* Neither can finish unless the other makes progress. */
static void ping_pong(uint64_t me)
{
	uint64_t i;

	for (i = 0; i < 200; i++) {
		while (turn != i * 2 + me)
			cpu_relax();
		turn++;
	}
}

struct side {
	struct vcpu *c;
	int cpu, kind;
};

static void *run_side(void *arg)
{
	struct side *s = arg;

	pin(s->cpu);
	/* no vcpu_next() here: its alarm is per process */
	do {
		s->kind = vcpu_run(s->c);
	} while (s->kind == -EINTR);
	return NULL;
}

static bool is_done(struct side *s)
{
	uint32_t at;

	if (s->kind || s->c->run->exit_reason != KVM_EXIT_IO)
		return false;
	at = *(uint32_t *)io_data(s->c);
	return *(uint32_t *)gpa_hva(s->c->vm, at) == G_DONE;
}

FIXTURE(pair) { struct side s[2]; };
FIXTURE_VARIANT(pair) { void *fn; bool apart; };
FIXTURE_SETUP(pair)
{
	struct vm *vm = vm_create();
	int i;

	for (i = 0; i < 2; i++) {
		self->s[i].c = vcpu_create(vm, i);
		self->s[i].cpu = variant->apart ? i : 0;
		vcpu_start64(self->s[i].c, variant->fn, i, 0);
	}
}
FIXTURE_TEARDOWN(pair) { }
FIXTURE_VARIANT_ADD(pair, counters_one_cpu) { both, false };
FIXTURE_VARIANT_ADD(pair, counters_two_cpus) { both, true };
FIXTURE_VARIANT_ADD(pair, ping_pong_one_cpu) { ping_pong, false };
FIXTURE_VARIANT_ADD(pair, ping_pong_two_cpus) { ping_pong, true };

TEST_F(pair, runs)
{
	struct vm *vm = self->s[0].c->vm;
	pthread_t t[2];
	int i;

	if (variant->apart && cpu_count() < 2)
		SKIP(return, "one CPU");
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, run_side, &self->s[i]));
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < 2; i++) {
		if (!is_done(&self->s[i]))
			vcpu_dump(self->s[i].c);
		ASSERT_TRUE(is_done(&self->s[i]));
	}
	if (variant->fn == both) {
		EXPECT_EQ(2 * ROUNDS, GUEST(vm, counter));
		EXPECT_EQ(2 * ROUNDS, GUEST(vm, locked_counter));
		EXPECT_EQ(ROUNDS, GUEST(vm, plain[0]));
		EXPECT_EQ(ROUNDS, GUEST(vm, plain[1]));
	} else {
		EXPECT_EQ(400, GUEST(vm, turn));
	}
}

/* ---- Migration ------------------------------------------------------------ */

#define MOVES 40

/* State of every kind, set once, must be there after each move. */
static void moved(void)
{
	uint64_t v, i, sum = 0;

	try_wrmsr(MSR_LSTAR, 0xffffffff80001234);
	try_wrmsr(MSR_KERNEL_GS_BASE, 0x7654321000);
	try_wrmsr(MSR_FS_BASE, 0x123456000);
	try_wrmsr(MSR_SYSENTER_EIP, 0xffffffff80005678);
	write_dr0(0xabcd000);
	write_cr8(5);
	asm volatile("movq %0, %%xmm7" : : "r"(0x1122334455667788ul));
	for (i = 0; i < MOVES; i++) {
		sum += i;
		GUEST_SYNC(i);
		try_rdmsr(MSR_LSTAR, &v);
		GUEST_ASSERT_EQ(v, 0xffffffff80001234);
		try_rdmsr(MSR_KERNEL_GS_BASE, &v);
		GUEST_ASSERT_EQ(v, 0x7654321000);
		try_rdmsr(MSR_FS_BASE, &v);
		GUEST_ASSERT_EQ(v, 0x123456000);
		try_rdmsr(MSR_SYSENTER_EIP, &v);
		GUEST_ASSERT_EQ(v, 0xffffffff80005678);
		GUEST_ASSERT_EQ(read_dr0(), 0xabcd000);
		GUEST_ASSERT_EQ(read_cr8(), 5);
		asm volatile("movq %%xmm7, %0" : "=r"(v));
		GUEST_ASSERT_EQ(v, 0x1122334455667788);
	}
	GUEST_ASSERT_EQ(sum, MOVES * (MOVES - 1) / 2);
}

TEST(migration_between_exits)
{
	struct vcpu *c;
	int i;

	if (cpu_count() < 2)
		SKIP(return, "one CPU");
	c = guest64(moved);
	for (i = 0; i < MOVES; i++) {
		pin(i & 1);
		ASSERT_SYNC(c, i);
	}
	ASSERT_DONE(c);
}

/*
 * A page-table entry changed on one CPU (with INVLPG there) must not be found
 * again on the other, where the vCPU ran before.
 */
static void remap(void)
{
	volatile uint64_t *p = (void *)GUEST_DATA;
	uint64_t i, page;

	for (i = 0; i < 16; i++)
		*(uint64_t *)(GUEST_DATA + 0x10000 + i * 4096) = 1000 + i;
	for (i = 0; i < MOVES; i++) {
		page = GUEST_DATA + 0x10000 + (i % 16) * 4096;
		*GUEST_PTE(GUEST_DATA) = page | PTE_P | PTE_W | PTE_U;
		invlpg(p);
		GUEST_ASSERT_EQ(*p, 1000 + i % 16);
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(*p, 1000 + i % 16);
	}
}

TEST(migration_leaves_no_stale_translation)
{
	struct vcpu *c;
	int i;

	if (cpu_count() < 2)
		SKIP(return, "one CPU");
	c = guest64(remap);
	for (i = 0; i < MOVES; i++) {
		pin(i & 1);
		ASSERT_SYNC(c, i);
	}
	ASSERT_DONE(c);
}

/* Moved from outside while it runs */
static volatile uint64_t beat;
static volatile bool halt;

static void run_on(void)
{
	while (!halt)
		beat++;
}

static void *runner(void *arg)
{
	struct side *s = arg;

	do {
		s->kind = vcpu_run(s->c);
	} while (s->kind == -EINTR);
	return NULL;
}

TEST(migration_while_running)
{
	struct side s = { .c = guest64(run_on) };
	volatile uint64_t *b = &GUEST(s.c->vm, beat);
	uint64_t from;
	pthread_t t;
	int i;

	if (cpu_count() < 2)
		SKIP(return, "one CPU");
	ASSERT_EQ(0, pthread_create(&t, NULL, runner, &s));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, pin_thread(t, i & 1));
		from = *b;
		while (*b == from)
			usleep(500);
	}
	GUEST(s.c->vm, halt) = true;
	pthread_join(t, NULL);
	ASSERT_TRUE(is_done(&s));
}

TEST_HARNESS_MAIN
