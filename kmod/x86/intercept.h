/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instructions that leave the guest most often, on every CPU: inline, so that
 * each backend's dispatch has them without a call.  The rest, and the rules, are in
 * intercept.c.
 */
#ifndef LUCID_INTERCEPT_H
#define LUCID_INTERCEPT_H

#include <linux/kvm_para.h>

#include "../lucid.h"
#include "decode.h"

/* Done by doing nothing. */
static inline int lucid_exec_nothing(struct lucid_vcpu *vcpu, int id, bool atomic)
{
	u64 next;
	int r = lucid_hw_next_rip(vcpu, id, atomic, &next);

	if (r == LUCID_REENTER)
		lucid_hw_skip(vcpu, next);
	return r;
}

static inline int lucid_exec_cpuid(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 next;
	int r = lucid_hw_next_rip(vcpu, LUCID_I_CPUID, atomic, &next);

	if (likely(r == LUCID_REENTER)) {
		lucid_cpuid_exec(vcpu);
		lucid_hw_skip(vcpu, next);
	}
	return r;
}

/* VMCALL, VMMCALL: @id says which of them this CPU has. */
static inline int lucid_exec_hypercall(struct lucid_vcpu *vcpu, int id, bool atomic)
{
	s64 answer = -KVM_ENOSYS;
	u64 next;
	int r = lucid_hw_next_rip(vcpu, id, atomic, &next);

	if (r != LUCID_REENTER)
		return r;
	if (lucid_hw_get_cpl(vcpu))
		answer = -KVM_EPERM;
	else if ((u32)vcpu->regs[LUCID_RAX] == KVM_HC_VAPIC_POLL_IRQ)
		answer = 0;
	vcpu->regs[LUCID_RAX] = lucid_hw_in_64bit(vcpu) ? (u64)answer : (u32)answer;
	lucid_hw_skip(vcpu, next);
	return LUCID_REENTER;
}

static inline int lucid_exec_msr(struct lucid_vcpu *vcpu, bool write, bool atomic)
{
	u32 index = vcpu->regs[LUCID_RCX];
	u64 next, value;
	int r;

	/* It is loaded for the whole stay: let this one end first. */
	if (write && index == MSR_TSC_AUX && atomic)
		return LUCID_SLOW;
	r = lucid_hw_next_rip(vcpu, write ? LUCID_I_WRMSR : LUCID_I_RDMSR, atomic, &next);
	if (r != LUCID_REENTER)
		return r;
	if (write) {
		value = (u32)vcpu->regs[LUCID_RAX] | vcpu->regs[LUCID_RDX] << 32;
		r = lucid_msr_set(vcpu, index, value, false);
	} else {
		r = lucid_msr_get(vcpu, index, &value, false);
		if (!r) {
			vcpu->regs[LUCID_RAX] = (u32)value;
			vcpu->regs[LUCID_RDX] = value >> 32;
		}
	}
	if (r)
		return lucid_raise(vcpu, X86_TRAP_GP, 0);
	lucid_hw_skip(vcpu, next);
	return LUCID_REENTER;
}

#endif
