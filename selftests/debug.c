// SPDX-License-Identifier: GPL-2.0
/* Debug registers, breakpoints and single steps belong to the guest alone. */
#include "guest.h"

static volatile uint64_t traps, trap_rip, trap_dr6, watched;

static void on_db(struct guest_regs *r)
{
	traps++;
	trap_rip = r->rip;
	trap_dr6 = read_dr6();
	write_dr6(0xffff0ff0);
	r->rflags &= ~RFLAGS_TF;
	r->rflags |= RFLAGS_RF;
}

/* ---- The registers ------------------------------------------------------- */

static void registers(void)
{
	write_dr0(0x1111);
	write_dr1(0x2222);
	write_dr2(0x3333);
	write_dr3(0xffffffff80000000);
	write_dr7(0x400);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(read_dr0(), 0x1111);
	GUEST_ASSERT_EQ(read_dr1(), 0x2222);
	GUEST_ASSERT_EQ(read_dr2(), 0x3333);
	GUEST_ASSERT_EQ(read_dr3(), 0xffffffff80000000);
	GUEST_ASSERT_EQ(read_dr7(), 0x400);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(read_dr0(), 0x4444);
	GUEST_ASSERT_EQ(read_dr3(), 0x5555);
	GUEST_ASSERT_EQ(read_dr6() & 0xe00f, 0x4002);
	GUEST_ASSERT_EQ(try_write_dr7(BIT(32) | 0x400), GP);
	GUEST_ASSERT_EQ(try_write_dr6(BIT(32)), GP);
	GUEST_ASSERT_EQ(read_dr7(), 0x400);
	/* DR4 and DR5 are DR6 and DR7, unless CR4.DE */
	GUEST_ASSERT_EQ(TRY("mov %%db4, %%rax", , "a"(0)), NONE);
	write_cr4(read_cr4() | CR4_DE);
	GUEST_ASSERT_EQ(TRY("mov %%db4, %%rax", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("mov %%rax, %%db5", , "a"(0x400)), UD);
}

TEST(registers_)
{
	struct vcpu *c = guest64(registers);
	struct kvm_debugregs d;

	ASSERT_SYNC(c, 1);
	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_DEBUGREGS, &d));
	EXPECT_EQ(0x1111, d.db[0]);
	EXPECT_EQ(0x2222, d.db[1]);
	EXPECT_EQ(0x3333, d.db[2]);
	EXPECT_EQ(0xffffffff80000000, d.db[3]);
	EXPECT_EQ(0x400, d.dr7);
	ASSERT_SYNC(c, 2);
	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_DEBUGREGS, &d));
	d.db[0] = 0x4444;
	d.db[3] = 0x5555;
	d.dr6 = 0xffff4ff2;
	ASSERT_EQ(0, eioctl(c->fd, KVM_SET_DEBUGREGS, &d));
	ASSERT_DONE(c);
}

TEST(bad_debugregs_are_refused)
{
	struct vcpu *c = guest64(registers);
	struct kvm_debugregs d, e;

	ASSERT_EQ(0, eioctl(c->fd, KVM_GET_DEBUGREGS, &d));
	e = d;
	e.dr7 |= BIT(32);
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_DEBUGREGS, &e));
	e = d;
	e.dr6 |= BIT(32);
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_DEBUGREGS, &e));
	e = d;
	e.flags = 1;
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_DEBUGREGS, &e));
	EXPECT_EQ(0, eioctl(c->fd, KVM_SET_DEBUGREGS, &d));
}

/* ---- Breakpoints --------------------------------------------------------- */

#define HERE(label) ({ uint64_t __r; asm("lea " #label "(%%rip), %0" : "=r"(__r)); __r; })

/* A breakpoint armed before an exit still fires after it. */
static void breakpoints(void)
{
	guest_handler[DB] = on_db;
	write_dr0(HERE(bp_code));
	write_dr1((uintptr_t)&watched);
	/* DR0: execution; DR1: 8-byte write */
	write_dr7(0x400 | 1 | 4 | 0x9ul << 20);
	GUEST_SYNC(1);
	asm volatile("bp_code: nop");
	GUEST_ASSERT_EQ(traps, 1);
	GUEST_ASSERT_EQ(trap_rip, HERE(bp_code));
	GUEST_ASSERT_EQ(trap_dr6 & 0xf, 1);
	watched = 5;
	GUEST_ASSERT_EQ(traps, 2);
	GUEST_ASSERT_EQ(trap_dr6 & 0xf, 2);
	write_dr7(0x400);
	watched = 6;
	asm volatile("nop");
	GUEST_ASSERT_EQ(traps, 2);
}

TEST(breakpoints_)
{
	struct vcpu *c = guest64(breakpoints);

	ASSERT_SYNC(c, 1);
	ASSERT_DONE(c);
}

/* TF traps after the next instruction. */
static void single_step(void)
{
	guest_handler[DB] = on_db;
	asm volatile("pushf; orl $0x100, (%%rsp); popf\n"
		     "nop\n step_here: nop" : : : "memory", "cc");
	GUEST_ASSERT_EQ(traps, 1);
	GUEST_ASSERT_EQ(trap_rip, HERE(step_here));
	GUEST_ASSERT_EQ(trap_dr6 & 0x4000, 0x4000);
}

TEST(single_step_)
{
	struct vcpu *c = guest64(single_step);

	ASSERT_DONE(c);
}

/* And after an instruction that the hypervisor executes for the guest */
static void step_exit(void)
{
	guest_handler[DB] = on_db;
	asm volatile("pushf; orl $0x100, (%%rsp); popf\n"
		     "cpuid\n step_cpuid: nop" : : "a"(0), "c"(0) : "rbx", "rdx", "memory");
	GUEST_ASSERT_EQ(traps, 1);
	GUEST_ASSERT_EQ(trap_rip, HERE(step_cpuid));
	asm volatile("pushf; orl $0x100, (%%rsp); popf\n"
		     "out %%al, $0x60\n step_out: nop" : : "a"(0) : "memory");
	GUEST_ASSERT_EQ(traps, 2);
	GUEST_ASSERT_EQ(trap_rip, HERE(step_out));
}

TEST(single_step_over_exits)
{
	struct vcpu *c = guest64(step_exit);

	ASSERT_EXIT(c, KVM_EXIT_IO);
	ASSERT_DONE(c);
}

/* DR7.GD: the next access to a debug register is #DB, with BD in DR6. */
static void general_detect(void)
{
	guest_handler[DB] = on_db;
	write_dr7(0x400 | BIT(13));
	asm volatile("gd_here: mov %%db0, %%rax" : : : "rax");
	GUEST_SYNC(traps);
	GUEST_ASSERT_EQ(traps, 1);
	GUEST_ASSERT_EQ(trap_rip, HERE(gd_here));
	GUEST_ASSERT_EQ(trap_dr6 & BIT(13), BIT(13));
	GUEST_ASSERT_EQ(read_dr7() & BIT(13), 0);
}

TEST(general_detect_)
{
	struct vcpu *c = guest64(general_detect);

	ASSERT_KIND(c, G_SYNC);
	if (host_is_tcg() && c->event.a == 0)
		SKIP(return, EMULATOR "it has no DR7.GD");
	ASSERT_DONE(c);
}

/* ---- Two guests do not see each other's ----------------------------------- */

static uint64_t mine;

static void hold(void)
{
	int i;

	write_dr0(mine);
	write_dr1(mine + 8);
	write_dr7(0x400 | 5);
	for (i = 0; i < 4; i++) {
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(read_dr0(), mine);
		GUEST_ASSERT_EQ(read_dr1(), mine + 8);
		GUEST_ASSERT_EQ(read_dr7(), 0x405);
	}
}

TEST(two_guests_apart)
{
	struct vcpu *a, *b;
	int i;

	mine = 0x10000;
	a = guest64(hold);
	mine = 0x20000;
	b = guest64(hold);
	for (i = 0; i < 4; i++) {
		ASSERT_SYNC(a, i);
		ASSERT_SYNC(b, i);
	}
	ASSERT_DONE(a);
	ASSERT_DONE(b);
}

TEST_HARNESS_MAIN
