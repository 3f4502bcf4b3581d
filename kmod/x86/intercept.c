// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions that leave the guest on every CPU, done here for both backends.
 *
 * Each asks the backend where the instruction ends (lucid_hw_next_rip) before
 * it changes anything.  With @atomic set (in a stay, interrupts off) the answer
 * may be LUCID_SLOW: call again outside, where sleeping is allowed.
 */
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <asm/mce.h>

#include "../lucid.h"
#include "decode.h"
#include "intercept.h"

/**
 * lucid_raise - an intercepted instruction ends in an exception
 * @vcpu: the vCPU
 * @vector: its vector
 * @error: its error code or LUCID_NO_ERROR
 *
 * Return: LUCID_REENTER.
 */
int lucid_raise(struct lucid_vcpu *vcpu, u8 vector, s64 error)
{
	lucid_queue_exception(vcpu, vector, error);
	return LUCID_REENTER;
}

int lucid_exec_hlt(struct lucid_vcpu *vcpu, bool atomic)
{
	int r = lucid_exec_nothing(vcpu, LUCID_I_HLT, atomic);

	return r == LUCID_REENTER ? lucid_halt(vcpu) : r;
}

int lucid_exec_xsetbv(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 next, value = (u32)vcpu->regs[LUCID_RAX] | vcpu->regs[LUCID_RDX] << 32;
	int r = lucid_hw_next_rip(vcpu, LUCID_I_XSETBV, atomic, &next);

	if (r != LUCID_REENTER)
		return r;
	if (lucid_hw_get_cpl(vcpu) ||
	    lucid_fpu_set_xcr0(vcpu, vcpu->regs[LUCID_RCX], value))
		return lucid_raise(vcpu, X86_TRAP_GP, 0);
	lucid_hw_skip(vcpu, next);
	return LUCID_REENTER;
}

/* MOV DRn: decoded, done outside of the stay. */
int lucid_exec_dr(struct lucid_vcpu *vcpu, bool atomic)
{
	return atomic ? LUCID_SLOW : lucid_dr_access(vcpu);
}

/* A triple fault: the CPU is as good as reset, userspace decides. */
int lucid_exec_shutdown(struct lucid_vcpu *vcpu, bool atomic)
{
	if (atomic)
		return LUCID_SLOW;
	lucid_vcpu_reset(vcpu, false);
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return LUCID_TO_USER;
}

/**
 * lucid_nested_fault - the guest met a nested table that does not allow it
 * @vcpu: the vCPU
 * @gpa: where
 * @access: LUCID_ACCESS_
 * @delivering: it happened while an event was delivered
 * @atomic: do not sleep
 *
 * Return: enum lucid_next or a negative errno.
 */
int lucid_nested_fault(struct lucid_vcpu *vcpu, u64 gpa, unsigned int access,
		       bool delivering, bool atomic)
{
	int r = lucid_mem_fault(vcpu->vm, &vcpu->tables, gpa, access, atomic);

	if (likely(r == LUCID_FAULT_MAPPED)) {
		vcpu->stats.nested_faults++;
		return LUCID_REENTER;
	}
	/*
	 * An event could not be delivered: the IDT, the stack or the TSS is no
	 * RAM.  The instruction at RIP has nothing to do with it.
	 */
	if (r == LUCID_FAULT_MMIO && delivering)
		return atomic ? LUCID_SLOW : lucid_emulation_exit(vcpu, NULL);
	if (r == LUCID_FAULT_MMIO)
		return atomic ? LUCID_MMIO : lucid_mmio(vcpu);
	if (r == -EAGAIN)
		return atomic ? LUCID_SLOW : LUCID_REENTER;
	return r;
}

/**
 * lucid_machine_check - a machine check belongs to the host, whoever was running
 *
 * Context: interrupts off.  Return: LUCID_REENTER.
 */
int lucid_machine_check(void)
{
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = {
		.cs = 3,	/* as if from user mode: the kernel's own state is sane */
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
#endif
	return LUCID_REENTER;
}

/* An exit that no handler knows. */
int lucid_exit_unexpected(struct lucid_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	run->internal.ndata = 2;
	run->internal.data[0] = lucid_hw_exit_code(vcpu);
	run->internal.data[1] = vcpu->last_cpu;
	return LUCID_TO_USER;
}
