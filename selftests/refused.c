// SPDX-License-Identifier: GPL-2.0
/*
 * States that the CPU refuses to enter with: KVM_RUN says so cleanly, Lucid says
 * which check it was, and the vCPU is as good as before once its state is.
 */
#include <linux/lucid.h>

#include "guest.h"

/* What VMX checks at entry (SDM vol. 3C, "Checks on the Guest State Area"). */
static void limit_without_g(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->ds.limit = 0x123456;
	s->ds.g = 0;
}

static void limit_with_g(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->es.limit = 0xffff0000;
	s->es.g = 1;
}

static void system_tr(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->tr.s = 1;
}

static void no_tr(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->tr.type = 2;		/* an LDT */
}

static void ldt_type(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->ldt.type = 3;
}

static void ldt_in_ldt(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->ldt.selector = 4;
}

static void cs_dpl(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->cs.dpl = 3;
}

static void ss_type(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->ss.type = 11;	/* code */
}

static void cs_system(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->cs.s = 0;
}

static void gs_base(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->gs.base = 1ull << 63;
}

static void gdt_base(struct kvm_sregs *s, struct kvm_regs *r)
{
	s->gdt.base = 1ull << 62;
}

static void rflags_vm(struct kvm_sregs *s, struct kvm_regs *r)
{
	r->rflags |= 1 << 17;
}

static void rflags_reserved(struct kvm_sregs *s, struct kvm_regs *r)
{
	r->rflags |= 1 << 15;
}

static const struct {
	void (*spoil)(struct kvm_sregs *s, struct kvm_regs *r);
	const char *words;	/* part of what Lucid says */
} vmx[] = {
	{ limit_without_g, "DS limit without G" },
	{ limit_with_g, "ES limit with G" },
	{ system_tr, "TR is no system segment" },
	{ no_tr, "TR type" },
	{ ldt_type, "LDTR type" },
	{ ldt_in_ldt, "LDTR selector" },
	{ cs_dpl, "CS DPL" },
	{ ss_type, "SS type" },
	{ cs_system, "CS is a system segment" },
	{ gs_base, "GS base" },
	{ gdt_base, "GDTR" },
	{ rflags_vm, "RFLAGS.VM" },
	{ rflags_reserved, "RFLAGS" },
};

static void halts(void)
{
	for (;;)
		asm volatile("hlt");
}

TEST(every_check_has_its_words)
{
	struct vcpu *c = guest64(halts);
	struct kvm_sregs good_s = vcpu_sregs(c);
	struct kvm_regs good_r = vcpu_regs(c);
	unsigned int i;

	if (host_is_amd())
		SKIP(return, "VMX's checks: SVM makes none of these");
	for (i = 0; i < sizeof(vmx) / sizeof(vmx[0]); i++) {
		struct kvm_sregs s = good_s;
		struct kvm_regs r = good_r;
		struct lucid_refusal why;

		vmx[i].spoil(&s, &r);
		ASSERT_EQ(0, eioctl(c->fd, KVM_SET_SREGS, &s));
		ASSERT_EQ(0, eioctl(c->fd, KVM_SET_REGS, &r));
		ASSERT_EXIT(c, KVM_EXIT_FAIL_ENTRY);
		EXPECT_EQ(0x80000021ull, c->run->fail_entry.hardware_entry_failure_reason);
		if (!dev_is_kvm()) {
			ASSERT_EQ(0, eioctl(c->fd, LUCID_GET_REFUSAL, &why));
			EXPECT_EQ(0x80000021ull, why.reason);
			EXPECT_TRUE(strstr(why.words, vmx[i].words)) {
				TH_LOG("\"%s\" is not about \"%s\"", why.words, vmx[i].words);
			}
			/* what was refused can still be read, and nothing of it moved */
			EXPECT_EQ(r.rip, vcpu_regs(c).rip);
			EXPECT_EQ(s.cs.dpl, vcpu_sregs(c).cs.dpl);
		}
		ASSERT_EQ(0, eioctl(c->fd, KVM_SET_SREGS, &good_s));
		ASSERT_EQ(0, eioctl(c->fd, KVM_SET_REGS, &good_r));
		ASSERT_EXIT(c, KVM_EXIT_HLT);
	}
}

/* An interrupt that cannot be delivered: VMX refuses it, SVM delivers it all the same. */
TEST(interrupt_while_if_is_0)
{
	struct vcpu *c = guest64(halts);
	struct kvm_interrupt irq = { 0x40 };
	struct lucid_refusal why;

	if (host_is_amd())
		SKIP(return, "SVM injects it");
	vcpu_set_if(c, false);
	ASSERT_EQ(0, eioctl(c->fd, KVM_INTERRUPT, &irq));
	ASSERT_EXIT(c, KVM_EXIT_FAIL_ENTRY);
	if (!dev_is_kvm()) {
		ASSERT_EQ(0, eioctl(c->fd, LUCID_GET_REFUSAL, &why));
		/* a check of the guest's state; Bochs makes it one of the controls */
		EXPECT_TRUE(strstr(why.words, "interrupt") || strstr(why.words, "control fields"));
	}
}

/* Nobody has been refused yet: nothing to say. */
TEST(no_refusal_no_words)
{
	struct vcpu *c = guest64(halts);
	struct lucid_refusal why;

	if (dev_is_kvm())
		SKIP(return, "Lucid's own ioctl");
	ASSERT_EXIT(c, KVM_EXIT_HLT);
	ASSERT_EQ(0, eioctl(c->fd, LUCID_GET_REFUSAL, &why));
	EXPECT_EQ(0, why.words[0]);
	EXPECT_EQ(1, eioctl(dev_fd(), KVM_CHECK_EXTENSION, (void *)LUCID_CAP_REFUSAL));
	EXPECT_EQ(-EFAULT, eioctl(c->fd, LUCID_GET_REFUSAL, NULL));
}

TEST_HARNESS_MAIN
