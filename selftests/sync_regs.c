// SPDX-License-Identifier: GPL-2.0
/* KVM_CAP_SYNC_REGS: registers come and go in kvm_run, without an ioctl each. */
#include "guest.h"

#define ALL (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

static void count_rbx(void)
{
	asm volatile("1: mov $1, %eax\n out %eax, $0x11\n add $1, %rbx\n jmp 1b");
}

static struct vcpu *start(void)
{
	return guest64(count_rbx);
}

#define NEED_CAP() do {							\
	if (dev_cap(KVM_CAP_SYNC_REGS) <= 0)				\
		SKIP(return, "KVM_CAP_SYNC_REGS is not offered");	\
} while (0)

TEST(capability_names_the_sets)
{
	NEED_CAP();
	ASSERT_EQ(ALL, dev_cap(KVM_CAP_SYNC_REGS) & ALL);
	ASSERT_EQ(0, dev_cap(KVM_CAP_SYNC_REGS) & ~ALL);
}

TEST(unknown_bits_are_refused)
{
	struct vcpu *c = start();

	NEED_CAP();
	c->run->kvm_valid_regs = 1u << 30;
	EXPECT_EQ(-EINVAL, vcpu_run(c));
	c->run->kvm_valid_regs = ALL | 8;
	EXPECT_EQ(-EINVAL, vcpu_run(c));
	c->run->kvm_valid_regs = 0;
	c->run->kvm_dirty_regs = 1u << 30;
	EXPECT_EQ(-EINVAL, vcpu_run(c));
	c->run->kvm_dirty_regs = 0;
	ASSERT_SYNC(c, 1);
}

TEST(values_come_out)
{
	struct vcpu *c = start();
	struct kvm_sync_regs *s = &c->run->s.regs;
	struct kvm_regs r;
	struct kvm_sregs sr;
	struct kvm_vcpu_events e;

	NEED_CAP();
	c->run->kvm_valid_regs = ALL;
	ASSERT_SYNC(c, 1);
	r = vcpu_regs(c);
	sr = vcpu_sregs(c);
	e = vcpu_events(c);
	EXPECT_EQ(0, memcmp(&r, &s->regs, sizeof(r)));
	EXPECT_EQ(0, memcmp(&sr, &s->sregs, sizeof(sr)));
	EXPECT_EQ(0, memcmp(&e, &s->events, sizeof(e)));
	/* what is not asked for is not written */
	c->run->kvm_valid_regs = 0;
	s->regs.rbx = 0xbad;
	ASSERT_SYNC(c, 1);
	EXPECT_EQ(0xbad, s->regs.rbx);
	c->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	memset(&s->sregs, 0x5a, sizeof(s->sregs));
	ASSERT_SYNC(c, 1);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, s->sregs.cr3);
	EXPECT_NE(0xbad, s->regs.rbx);
}

TEST(values_go_in)
{
	struct vcpu *c = start();
	struct kvm_sync_regs *s = &c->run->s.regs;

	NEED_CAP();
	c->run->kvm_valid_regs = ALL;
	ASSERT_SYNC(c, 1);
	s->regs.rbx = 0x1000;
	s->sregs.cr8 = 6;
	c->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	c->run->cr8 = 6;	/* kvm_run.cr8 is taken at every entry */
	ASSERT_SYNC(c, 1);
	EXPECT_EQ(0, c->run->kvm_dirty_regs);
	EXPECT_EQ(0x1001, s->regs.rbx);
	EXPECT_EQ(6, vcpu_sregs(c).cr8);
	/* not marked dirty: ignored */
	s->regs.rbx = 0x9999;
	ASSERT_SYNC(c, 1);
	EXPECT_EQ(0x1002, s->regs.rbx);
}

/* A bad set in kvm_run is refused as by the ioctl. */
TEST(bad_sregs_are_refused)
{
	struct vcpu *c = start();
	struct kvm_sync_regs *s = &c->run->s.regs;

	NEED_CAP();
	c->run->kvm_valid_regs = ALL;
	ASSERT_SYNC(c, 1);
	s->sregs.cr4 &= ~CR4_PAE;	/* long mode without PAE */
	c->run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	EXPECT_EQ(-EINVAL, vcpu_run(c));
}

TEST_HARNESS_MAIN
