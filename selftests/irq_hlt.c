// SPDX-License-Identifier: GPL-2.0
/*
 * With the controllers in the kernel HLT does not come to userspace: the vCPU
 * sleeps in KVM_RUN until something wakes it, and no wakeup is lost.
 */
#include <linux/lucid.h>
#include <signal.h>
#include <sys/wait.h>
#include "irq.h"

#define VEC	0x40
#define PIN	20		/* of the IOAPIC, edge, VEC */

volatile uint32_t hits;
static volatile uint32_t nmis, asleep, awake;

static void on_irq(struct guest_regs *r)
{
	hits++;
	apic_eoi();
}

static void on_nmi(struct guest_regs *r)
{
	nmis++;
}

static void start(void)
{
	guest_handler[VEC] = on_irq;
	guest_handler[NMI] = on_nmi;
	apic_enable();
	apic_write(APIC_LVT0, LVT_MASKED);
	apic_write(APIC_TDCR, TDCR_1);
	ioapic_set_redir(PIN, VEC);
}

/* Sleeps once. */
static void sleeper(void)
{
	start();
	asleep = 1;
	sti_hlt_cli();
	awake = 1;
	GUEST_ASSERT_EQ(hits + nmis, 1);
}

/* Sleeps for ever, unless an NMI comes. */
static void deaf(void)
{
	start();
	cli();
	asleep = 1;
	hlt();
	awake = 1;
	GUEST_ASSERT_EQ(nmis, 1);
	GUEST_ASSERT_EQ(hits, 0);
	irq_window();
	GUEST_SYNC(hits);
}

static bool fell_asleep(struct vcpu *c)
{
	bool r = WAIT_FOR(GUEST(c->vm, asleep));

	usleep(30000);
	return r && !GUEST(c->vm, awake);
}

/* ---- What wakes ------------------------------------------------------------------- */

static int by_irq_line(struct vcpu *c)
{
	return irq_pulse(c->vm, PIN);
}

static int by_msi(struct vcpu *c)
{
	struct kvm_msi m = { .address_lo = 0xfee00000, .data = VEC };

	return eioctl(c->vm->fd, KVM_SIGNAL_MSI, &m) == 1 ? 0 : -1;
}

static int by_nmi(struct vcpu *c)
{
	/* waits for the vCPU's lock: it must be out of KVM_RUN */
	return eioctl(c->fd, KVM_NMI, NULL);
}

FIXTURE(wakes) { };
FIXTURE_VARIANT(wakes) { int (*how)(struct vcpu *); };
FIXTURE_SETUP(wakes) { }
FIXTURE_TEARDOWN(wakes) { }
FIXTURE_VARIANT_ADD(wakes, irq_line) { by_irq_line };
FIXTURE_VARIANT_ADD(wakes, msi) { by_msi };

TEST_F(wakes, from_another_thread)
{
	struct vcpu *c = irq_guest(sleeper);
	struct vcpu_thread t;

	vcpu_spawn(&t, c);
	ASSERT_TRUE(fell_asleep(c));
	ASSERT_TRUE(t.running);
	ASSERT_EQ(0, variant->how(c));
	ASSERT_JOINED(&t, G_DONE);
}

/* It does sleep: the thread uses no CPU. */
TEST(sleeps_and_does_not_spin)
{
	struct vcpu *c = irq_guest(sleeper);
	struct timespec a, b;
	struct vcpu_thread t;
	clockid_t clock;

	vcpu_spawn(&t, c);
	ASSERT_TRUE(fell_asleep(c));
	ASSERT_EQ(0, pthread_getcpuclockid(t.thread, &clock));
	clock_gettime(clock, &a);
	usleep(500000);
	clock_gettime(clock, &b);
	EXPECT_GT(100000000, (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec);
	ASSERT_EQ(0, by_irq_line(c));
	ASSERT_JOINED(&t, G_DONE);
}

/* What was there before the HLT: it does not sleep at all, a thousand times. */
static void pending(void)
{
	uint32_t i;

	start();
	for (i = 1; i <= 1000; i++) {
		apic_icr(0, ICR_SELF | VEC);
		sti_hlt_cli();
		GUEST_ASSERT_EQ(hits, i);
	}
}

TEST(pending_interrupt_prevents_sleep)
{
	struct vcpu *c = irq_guest(pending);

	ASSERT_DONE(c);
}

static void by_timer(void)
{
	uint32_t i;

	start();
	for (i = 1; i <= 20; i++) {
		apic_write(APIC_LVTT, VEC);
		apic_write(APIC_TMICT, 1000000 * (i % 3) + 1);
		sti_hlt_cli();
		GUEST_ASSERT_EQ(hits, i);
	}
}

TEST(timer_wakes)
{
	struct vcpu *c = irq_guest(by_timer);

	ASSERT_DONE(c);
}

/* Timer, then HLT by @how */
static void by_timer_and(void (*how)(uint64_t), uint64_t arg, uint32_t rounds)
{
	uint32_t i;

	start();
	for (i = 1; i <= rounds; i++) {
		GUEST_SYNC(i);
		apic_write(APIC_LVTT, VEC);
		apic_write(APIC_TMICT, 5000000);
		how(arg);
		GUEST_ASSERT_EQ(hits, i);
	}
}

/*
 * A HLT that Lucid must look for outside of the stay: executed out of the TLB,
 * while the page tables say already that it stands in a page of the same
 * contents that the nested tables do not have. (CPUs that tell where the next
 * instruction is do not need to look.)
 */
#define COPY	GUEST_MEM		/* its own slot */
asm(".text\n .balign 4096\n"
    "hlt_from_tlb: mov %rsi, (%rdi)\n sti\n hlt\n cli\n ret\n"
    ".balign 4096\n");
extern const char hlt_from_tlb[];
void hlt_from_tlb_call(uint64_t *pte, uint64_t entry) asm("hlt_from_tlb");

static void moved_hlt(uint64_t pte)
{
	*(volatile uint64_t *)pte = (uintptr_t)hlt_from_tlb | PTE_P | PTE_W | PTE_U;
	invlpg((void *)hlt_from_tlb);
	hlt_from_tlb_call((void *)pte, COPY | PTE_P | PTE_W | PTE_U);
}

static void moved(void)
{
	by_timer_and(moved_hlt, (uintptr_t)GUEST_PTE((uintptr_t)hlt_from_tlb), 10);
}

TEST(hlt_whose_code_is_looked_for_outside)
{
	struct vcpu *c = irq_guest(moved);
	void *copy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	memcpy(copy, hlt_from_tlb, 4096);
	ASSERT_EQ(0, vm_slot(c->vm, 1, 0, COPY, 4096, copy));
	for (i = 1; i <= 10; i++) {
		ASSERT_SYNC(c, i);
		/* the nested tables lose it */
		ASSERT_EQ(0, mprotect(copy, 4096, PROT_NONE));
		ASSERT_EQ(0, mprotect(copy, 4096, PROT_READ | PROT_WRITE));
	}
	ASSERT_DONE(c);
}

/*
 * HLT done by the emulator sleeps like any other. The handler does not return:
 * the emulator does not know IRET.
 */
asm(".text\n"
    "wakes_emulated: mov 24(%rsp), %rsp\n incl hits(%rip)\n jmp after_hlt\n"
    "hlt_emulated: sti\n hlt\n after_hlt: cli\n ret\n");
extern const char wakes_emulated[];
void hlt_emulated(uint64_t unused);

static void hlt_and_eoi(uint64_t unused)
{
	hlt_emulated(0);
	apic_eoi();
}

static void emulated(void)
{
	volatile uint16_t *gate = (void *)(GUEST_IDT64 + VEC * 16ul);

	gate[0] = (uintptr_t)wakes_emulated;
	gate[3] = (uintptr_t)wakes_emulated >> 16;
	by_timer_and(hlt_and_eoi, 0, 10);
}

TEST(emulated_hlt_sleeps)
{
	const char *why = emulation_on();
	struct vcpu *c = irq_guest(emulated);
	uint32_t on = 1;
	int i;

	if (why)
		SKIP(return, "%s", why);
	for (i = 1; i <= 10; i++) {
		ASSERT_SYNC(c, i);
		xioctl(c->fd, LUCID_SET_EMULATE, &on);
	}
	ASSERT_DONE(c);
	emulation_off();
}

/* Two vCPUs that wake each other: a lost wakeup stops them. */
static volatile uint32_t turn;

static void on_ipi(struct guest_regs *r)
{
	apic_eoi();
}

static void players(uint64_t me)
{
	uint32_t i;

	start();
	guest_handler[VEC] = on_ipi;
	for (i = 0; i < 300; i++) {
		while (turn % 2 != me)
			sti_hlt_cli();
		turn++;
		apic_icr(1 - me, VEC);
	}
}

TEST(vcpus_wake_each_other)
{
	struct vm *vm = vm_create_irq();
	struct vcpu_thread t[2];
	int i;

	for (i = 0; i < 2; i++) {
		struct vcpu *c = vcpu_create_irq(vm, i);

		vcpu_start64(c, players, i, 0);
		vcpu_spawn(&t[i], c);
	}
	for (i = 0; i < 2; i++)
		ASSERT_JOINED(&t[i], G_DONE);
	EXPECT_EQ(600, GUEST(vm, turn));
}

/* The same from the host, with no time between */
static void counts(void)
{
	start();
	while (hits < 500)
		sti_hlt_cli();
}

TEST(no_wakeup_is_lost)
{
	struct vcpu *c = irq_guest(counts);
	volatile uint32_t *h = &GUEST(c->vm, hits);
	struct vcpu_thread t;
	uint32_t i;

	vcpu_spawn(&t, c);
	/* the redirection entry is there when it says so: wait for the first */
	for (i = 0; !*h && i < 1000; i++) {
		irq_pulse(c->vm, PIN);
		usleep(1000);
	}
	while (t.running) {
		i = *h;
		ASSERT_EQ(0, irq_pulse(c->vm, PIN));
		ASSERT_TRUE(WAIT_FOR(*h != i || !t.running)) vcpu_stop(&t);
	}
	ASSERT_JOINED(&t, G_DONE);
}

/* ---- What does not ------------------------------------------------------------------ */

TEST(interrupts_off_only_nmi_wakes)
{
	struct vcpu *c = irq_guest(deaf);
	struct vcpu_thread t;

	vcpu_spawn(&t, c);
	ASSERT_TRUE(fell_asleep(c));
	ASSERT_EQ(0, by_irq_line(c));
	usleep(50000);
	EXPECT_EQ(0, GUEST(c->vm, awake));
	ASSERT_TRUE(t.running);
	vcpu_stop(&t);
	EXPECT_EQ(KVM_MP_STATE_HALTED, vcpu_mp_state(c));
	ASSERT_EQ(0, by_nmi(c));
	ASSERT_SYNC(c, 1);	/* the interrupt is taken when the guest lets it */
	ASSERT_DONE(c);
}

static void low_priority(void)
{
	start();
	write_cr8(VEC >> 4);
	asleep = 1;
	sti_hlt_cli();
	awake = 1;
	GUEST_ASSERT_EQ(nmis, 1);
	GUEST_ASSERT_EQ(hits, 0);
}

TEST(held_back_by_tpr_does_not_wake)
{
	struct vcpu *c = irq_guest(low_priority);
	struct vcpu_thread t;

	vcpu_spawn(&t, c);
	ASSERT_TRUE(fell_asleep(c));
	ASSERT_EQ(0, by_irq_line(c));
	usleep(50000);
	EXPECT_EQ(0, GUEST(c->vm, awake));
	vcpu_stop(&t);
	ASSERT_EQ(0, by_nmi(c));
	ASSERT_DONE(c);
}

/* ---- Signals and MP_STATE ---------------------------------------------------------------- */

static void nothing(int sig)
{
	(void)sig;
}

/* A signal ends KVM_RUN, not the HLT. */
TEST(signal_is_eintr_and_still_halted)
{
	struct vcpu *c = irq_guest(sleeper);
	struct sigaction sa = { .sa_handler = nothing };
	uint64_t rip = 0;
	int i;

	sigaction(SIGALRM, &sa, NULL);
	for (i = 0; i < 3; i++) {
		do {
			ualarm(20000, 0);
			ASSERT_EQ(-EINTR, vcpu_run(c));
		} while (!GUEST(c->vm, asleep));	/* a slow machine */
		EXPECT_EQ(KVM_EXIT_INTR, c->run->exit_reason);
		if (i == 0) {
			/* perhaps between the mark and the HLT */
			ualarm(50000, 0);
			ASSERT_EQ(-EINTR, vcpu_run(c));
			rip = vcpu_regs(c).rip;
		}
		EXPECT_EQ(KVM_MP_STATE_HALTED, vcpu_mp_state(c));
		EXPECT_EQ(rip, vcpu_regs(c).rip);
		EXPECT_EQ(0, GUEST(c->vm, awake));
	}
	c->run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, vcpu_run(c));
	c->run->immediate_exit = 0;
	EXPECT_EQ(KVM_MP_STATE_HALTED, vcpu_mp_state(c));
	ASSERT_EQ(0, by_irq_line(c));
	ASSERT_DONE(c);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(c));
}

/*
 * Whoever is kicked all the time without being woken hears a signal all the
 * same, soon.
 */
static void *kicker(void *arg)
{
	struct vcpu_thread *t = arg;

	while (t->running)
		by_msi(t->c);
	return NULL;
}

TEST(signal_in_a_storm_of_kicks)
{
	struct vcpu *c = irq_guest(deaf);
	pthread_t kickers[2];
	struct vcpu_thread t;
	uint64_t began;
	int i;

	vcpu_spawn(&t, c);
	ASSERT_TRUE(fell_asleep(c));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&kickers[i], NULL, kicker, &t));
	usleep(100000);
	ASSERT_TRUE(t.running);
	began = host_ns();
	vcpu_stop(&t);
	EXPECT_LT(host_ns() - began, 10000000000);	/* slow emulators */
	for (i = 0; i < 2; i++)
		pthread_join(kickers[i], NULL);
	EXPECT_EQ(KVM_MP_STATE_HALTED, vcpu_mp_state(c));
	EXPECT_EQ(0, GUEST(c->vm, awake));
}

/* Woken by decree: HLT is over, and no interrupt came. */
static void woken(void)
{
	start();
	asleep = 1;
	sti_hlt_cli();
	GUEST_ASSERT_EQ(hits + nmis, 0);
}

TEST(set_runnable_ends_hlt)
{
	struct vcpu *c = irq_guest(woken);
	struct vcpu_thread t;

	vcpu_spawn(&t, c);
	ASSERT_TRUE(fell_asleep(c));
	vcpu_stop(&t);
	ASSERT_EQ(KVM_MP_STATE_HALTED, vcpu_mp_state(c));
	ASSERT_EQ(0, vcpu_set_mp_state(c, KVM_MP_STATE_RUNNABLE));
	ASSERT_DONE(c);
}

/* And put to sleep by decree, between two instructions */
static void put_to_sleep(void)
{
	start();
	sti();
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(hits, 1);
}

TEST(set_halted_sleeps)
{
	struct vcpu *c = irq_guest(put_to_sleep);
	struct vcpu_thread t;

	ASSERT_SYNC(c, 1);
	ASSERT_EQ(0, vcpu_set_mp_state(c, KVM_MP_STATE_HALTED));
	vcpu_spawn(&t, c);
	usleep(100000);
	ASSERT_TRUE(t.running);
	ASSERT_EQ(0, by_irq_line(c));
	ASSERT_JOINED(&t, G_DONE);
}

/* A process that sleeps in HLT, or waits for SIPI, can be killed. */
TEST(sleeping_process_is_killable)
{
	uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ap, st;
	pid_t pid;

	for (ap = 0; ap < 2; ap++) {
		*shared = 0;
		pid = fork();
		if (!pid) {
			struct vm *vm = vm_create_irq();
			struct vcpu *c = ap ? vcpu_create_ap(vm, 1) : vcpu_create_irq(vm, 0);

			vcpu_start64(c, deaf, 0, 0);
			*shared = 1;
			vcpu_run(c);
			_exit(7);
		}
		ASSERT_TRUE(WAIT_FOR(*(volatile uint32_t *)shared));
		usleep(50000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &st, 0));
		ASSERT_TRUE(WIFSIGNALED(st));
	}
}

IRQ_HARNESS_MAIN
