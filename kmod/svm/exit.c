// SPDX-License-Identifier: GPL-2.0
/*
 * Why the guest left, and what is done about it.
 *
 * An exit is served in the nearest place that can: lucid_hw_exit_fast() with
 * interrupts off, re-entering at once; lucid_hw_exit_atomic() with interrupts
 * on, still in the stay; lucid_hw_exit_slow() outside, where it may sleep.
 * Fast and slow share svm_exit(): with @atomic set it answers LUCID_SLOW, and
 * has changed nothing, where it would have to sleep.
 */
#include <linux/export.h>
#include <linux/kvm_para.h>
#include <linux/ptrace.h>
#include <asm/debugreg.h>
#include <asm/mce.h>

#include "../x86/decode.h"
#include "svm.h"

/* ---- names and counters ---------------------------------------------------- */

/* Codes up to here count under their own number, the few others behind. */
#define SVM_EXIT_DENSE	0xa4

/* One line a code: used for names; see also svm_exit(). */
#define SVM_EXIT_NAMES(X) \
	X(0x000, "CR0_READ") X(0x003, "CR3_READ") X(0x004, "CR4_READ") X(0x008, "CR8_READ") \
	X(0x010, "CR0_WRITE") X(0x013, "CR3_WRITE") X(0x014, "CR4_WRITE") X(0x018, "CR8_WRITE") \
	X(0x020, "DR0_READ") X(0x021, "DR1_READ") X(0x022, "DR2_READ") X(0x023, "DR3_READ") \
	X(0x024, "DR4_READ") X(0x025, "DR5_READ") X(0x026, "DR6_READ") X(0x027, "DR7_READ") \
	X(0x030, "DR0_WRITE") X(0x031, "DR1_WRITE") X(0x032, "DR2_WRITE") X(0x033, "DR3_WRITE") \
	X(0x034, "DR4_WRITE") X(0x035, "DR5_WRITE") X(0x036, "DR6_WRITE") X(0x037, "DR7_WRITE") \
	X(0x041, "EXCEPTION_DB") X(0x051, "EXCEPTION_AC") X(0x052, "EXCEPTION_MC") \
	X(0x060, "INTR") X(0x061, "NMI") X(0x062, "SMI") X(0x063, "INIT") X(0x064, "VINTR") \
	X(0x06f, "RDPMC") X(0x072, "CPUID") X(0x073, "RSM") X(0x074, "IRET") X(0x076, "INVD") \
	X(0x077, "PAUSE") X(0x078, "HLT") X(0x079, "INVLPG") X(0x07a, "INVLPGA") \
	X(0x07b, "IOIO") X(0x07c, "MSR") X(0x07d, "TASK_SWITCH") X(0x07e, "FERR_FREEZE") \
	X(0x07f, "SHUTDOWN") X(0x080, "VMRUN") X(0x081, "VMMCALL") X(0x082, "VMLOAD") \
	X(0x083, "VMSAVE") X(0x084, "STGI") X(0x085, "CLGI") X(0x086, "SKINIT") \
	X(0x087, "RDTSCP") X(0x088, "ICEBP") X(0x089, "WBINVD") X(0x08a, "MONITOR") \
	X(0x08b, "MWAIT") X(0x08c, "MWAIT_ARMED") X(0x08d, "XSETBV") X(0x08e, "RDPRU") \
	X(0x0a0, "INVLPGB") X(0x0a2, "INVPCID") X(0x0a3, "MCOMMIT") \
	X(0x400, "NPF") X(0xffffffff, "INVALID")

/* A code's place among the counters; the last one is for codes not known here. */
static u32 svm_exit_index(u64 code)
{
	if (code < SVM_EXIT_DENSE)
		return code;
	if (code == SVM_EXIT_NPF)
		return SVM_EXIT_DENSE;
	if ((s32)code == SVM_EXIT_ERR)
		return SVM_EXIT_DENSE + 1;
	return LUCID_EXIT_CODES - 1;
}

/**
 * lucid_hw_exit_name - the name of a counter
 * @index: of vcpu->stats.exit[]
 * @code: the hardware's exit code, if it has a name
 */
const char *lucid_hw_exit_name(u32 index, u32 *code)
{
#define SVM_NAME(number, name) { number, name },
	static const struct { u32 code; const char *name; } names[] = {
		SVM_EXIT_NAMES(SVM_NAME)
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (svm_exit_index(names[i].code) == index) {
			*code = names[i].code;
			return names[i].name;
		}
	}
	*code = index;
	return "other";
}

u64 lucid_hw_exit_code(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->control.exit_code;
}

/* ---- stepping over an instruction -------------------------------------------- */

/*
 * Where the instruction that was intercepted ends.  The CPU tells (NRIPS), or
 * it is fetched and decoded.  By then another vCPU may have changed it: if it
 * is not @id any more the guest is to run what stands there now.
 *
 * Return: LUCID_REENTER with *@next set; LUCID_REENTER_IRQ: run it again;
 * LUCID_SLOW: not to be had without sleeping; or an exception was queued
 * (also LUCID_REENTER_IRQ).
 */
static int svm_next_rip(struct lucid_vcpu *vcpu, enum lucid_insn_id id, bool atomic, u64 *next)
{
	struct vmcb *vmcb = vcpu->hw->vmcb;
	int r;

	if (lucid_hw_caps.insn_len && vmcb->control.next_rip) {
		*next = vmcb->control.next_rip;
		return LUCID_REENTER;
	}
	r = lucid_fetch_length(vcpu, id, atomic);
	if (likely(r > 0)) {
		*next = vmcb->save.rip + r;
		return LUCID_REENTER;
	}
	return r ? LUCID_SLOW : LUCID_REENTER_IRQ;
}

/* The instruction is done: go on behind it. */
static void svm_commit_rip(struct lucid_vcpu *vcpu, u64 next)
{
	struct vmcb *vmcb = vcpu->hw->vmcb;

	/* Outside of 64-bit mode RIP has 32 bits; bit 9 of attrib is CS.L. */
	if (!((vmcb->save.efer & EFER_LMA) && (vmcb->save.cs.attrib & BIT(9))))
		next = (u32)next;
	vmcb->save.rip = next;
	vmcb->control.int_state = 0;
	if (unlikely(vmcb->save.rflags & (X86_EFLAGS_RF | X86_EFLAGS_TF))) {
		vmcb->save.rflags &= ~(u64)X86_EFLAGS_RF;
		if (lucid_hw_get_rflags(vcpu) & X86_EFLAGS_TF) {
			lucid_hw_set_dr6(vcpu, vmcb->save.dr6 | DR_STEP);
			lucid_queue_exception(vcpu, X86_TRAP_DB, LUCID_NO_ERROR);
		}
	}
}

/**
 * lucid_hw_skip - go on behind an instruction whose end is known
 * @vcpu: the vCPU
 * @next: the RIP there
 */
void lucid_hw_skip(struct lucid_vcpu *vcpu, u64 next)
{
	svm_commit_rip(vcpu, next);
}

/* ---- handlers ---------------------------------------------------------------- */

static int svm_exception(struct lucid_vcpu *vcpu, u8 vector, s64 error)
{
	lucid_queue_exception(vcpu, vector, error);
	return LUCID_REENTER;
}

static int svm_undefined(struct lucid_vcpu *vcpu)
{
	return svm_exception(vcpu, X86_TRAP_UD, LUCID_NO_ERROR);
}

static int svm_cpuid(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 next;
	int r = svm_next_rip(vcpu, LUCID_I_CPUID, atomic, &next);

	if (likely(r == LUCID_REENTER)) {
		lucid_cpuid_exec(vcpu);
		svm_commit_rip(vcpu, next);
	}
	return r;
}

static int svm_hypercall(struct lucid_vcpu *vcpu, bool atomic)
{
	struct vmcb *vmcb = vcpu->hw->vmcb;
	bool long_mode = (vmcb->save.efer & EFER_LMA) && (vmcb->save.cs.attrib & BIT(9));
	s64 answer = -KVM_ENOSYS;
	u64 next;
	int r = svm_next_rip(vcpu, LUCID_I_VMMCALL, atomic, &next);

	if (r != LUCID_REENTER)
		return r;
	if (vmcb->save.cpl)
		answer = -KVM_EPERM;
	else if ((u32)vcpu->regs[LUCID_RAX] == KVM_HC_VAPIC_POLL_IRQ)
		answer = 0;
	vcpu->regs[LUCID_RAX] = long_mode ? (u64)answer : (u32)answer;
	svm_commit_rip(vcpu, next);
	return LUCID_REENTER;
}

static int svm_msr(struct lucid_vcpu *vcpu, bool atomic)
{
	bool write = vcpu->hw->vmcb->control.exit_info_1;
	u32 index = vcpu->regs[LUCID_RCX];
	u64 next, value;
	int r;

	/* It is loaded for the whole stay: let this one end first. */
	if (write && index == MSR_TSC_AUX && atomic)
		return LUCID_SLOW;
	r = svm_next_rip(vcpu, write ? LUCID_I_WRMSR : LUCID_I_RDMSR, atomic, &next);

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
		return svm_exception(vcpu, X86_TRAP_GP, 0);
	svm_commit_rip(vcpu, next);
	return LUCID_REENTER;
}

static int svm_ioio(struct lucid_vcpu *vcpu, bool atomic)
{
	struct vmcb_control *control = &vcpu->hw->vmcb->control;
	u64 info = control->exit_info_1;

	if (info & SVM_IOIO_STRING) {
		if (atomic)
			return LUCID_SLOW;
		return lucid_pio_string(vcpu, SVM_IOIO_PORT(info), SVM_IOIO_SIZE(info),
					info & SVM_IOIO_IN, info & SVM_IOIO_REP);
	}
	/* exit_info_2: the RIP of the next instruction (APM vol. 2, "IOIO Intercept") */
	return lucid_pio(vcpu, SVM_IOIO_PORT(info), SVM_IOIO_SIZE(info), info & SVM_IOIO_IN,
			 control->exit_info_2);
}

/* Instructions that are done by doing nothing, or by leaving for userspace. */
static int svm_skip(struct lucid_vcpu *vcpu, enum lucid_insn_id id, bool atomic)
{
	u64 next;
	int r = svm_next_rip(vcpu, id, atomic, &next);

	if (r == LUCID_REENTER)
		svm_commit_rip(vcpu, next);
	return r;
}

/*
 * Guest memory is cached memory of the host's: nothing to write back, and
 * nothing may be lost.  (QEMU's CPU gives INVD the exit code of WBINVD.)
 */
static int svm_wbinvd(struct lucid_vcpu *vcpu, bool atomic)
{
	int r = svm_skip(vcpu, LUCID_I_WBINVD, atomic);

	if (r == LUCID_REENTER_IRQ && !vcpu->events.exception.pending)
		r = svm_skip(vcpu, LUCID_I_INVD, atomic);
	return r;
}

static int svm_hlt(struct lucid_vcpu *vcpu, bool atomic)
{
	int r = svm_skip(vcpu, LUCID_I_HLT, atomic);

	return r == LUCID_REENTER ? lucid_halt(vcpu) : r;
}

static int svm_xsetbv(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 next, value = (u32)vcpu->regs[LUCID_RAX] | vcpu->regs[LUCID_RDX] << 32;
	int r = svm_next_rip(vcpu, LUCID_I_XSETBV, atomic, &next);

	if (r != LUCID_REENTER)
		return r;
	if (vcpu->hw->vmcb->save.cpl ||
	    lucid_fpu_set_xcr0(vcpu, vcpu->regs[LUCID_RCX], value))
		return svm_exception(vcpu, X86_TRAP_GP, 0);
	svm_commit_rip(vcpu, next);
	return LUCID_REENTER;
}

/* MOV CRn, CLTS, LMSW, SMSW: decoded, done outside of the stay. */
static int svm_cr(struct lucid_vcpu *vcpu, bool atomic)
{
	if (atomic)
		return LUCID_SLOW;
	return lucid_cr_access(vcpu);
}

static int svm_dr(struct lucid_vcpu *vcpu, bool atomic)
{
	if (atomic)
		return LUCID_SLOW;
	return lucid_dr_access(vcpu);
}

/*
 * The guest's #DB.  DR6 and DR7 in the VMCB are what its handler would see
 * (APM vol. 2, "#DB (Debug)" under "Exception Intercepts").
 */
static int svm_debug(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	struct vmcb_save *save = &hw->vmcb->save;

	if (hw->nmi_step) {
		bool iret = hw->nmi_step_iret;

		hw->nmi_step = false;
		vcpu->events_armed = true;	/* the NMI that was waited for */
		/* IRET has loaded the guest's TF; else it is as it was before. */
		if (!iret && !hw->nmi_step_tf)
			save->rflags &= ~(u64)X86_EFLAGS_TF;
		if (!hw->nmi_step_tf) {
			save->dr6 &= ~(u64)DR_STEP;
			svm_dirty(vcpu, SVM_CLEAN_DRX);
			if (!(save->dr6 & DR_TRAP_BITS))
				return LUCID_REENTER;
		}
	}
	return svm_exception(vcpu, X86_TRAP_DB, LUCID_NO_ERROR);
}

/* A machine check belongs to the host, whoever was running. */
static int svm_machine_check(void)
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

/* The IRET that ends an NMI is about to run; see lucid_hw_enter(). */
static int svm_iret(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;

	svm_intercept_set(vcpu, SVM_ICPT_IRET, false);
	hw->nmi_iret = true;
	hw->nmi_iret_rip = hw->vmcb->save.rip;
	if (vcpu->events.nmi.pending)
		vcpu->events_armed = true;
	return LUCID_REENTER;
}

/* A triple fault.  The VMCB is undefined now (APM vol. 2, "Shutdown Intercept"). */
static int svm_shutdown(struct lucid_vcpu *vcpu)
{
	lucid_vcpu_reset(vcpu, false);
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return LUCID_TO_USER;
}

static int svm_unexpected(struct lucid_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	run->internal.ndata = 2;
	run->internal.data[0] = vcpu->hw->vmcb->control.exit_code;
	run->internal.data[1] = vcpu->last_cpu;
	return LUCID_TO_USER;
}

static int svm_nested_fault(struct lucid_vcpu *vcpu, bool atomic)
{
	struct vmcb_control *control = &vcpu->hw->vmcb->control;
	u64 error = control->exit_info_1;
	unsigned int access = 0;
	int r;

	if (error & SVM_NPF_WRITE)
		access |= LUCID_ACCESS_WRITE;
	if (error & SVM_NPF_EXEC)
		access |= LUCID_ACCESS_EXEC;
	r = lucid_mem_fault(vcpu->vm, &vcpu->tables, control->exit_info_2, access, atomic);
	if (likely(r == LUCID_FAULT_MAPPED)) {
		vcpu->stats.nested_faults++;
		return LUCID_REENTER;
	}
	/*
	 * An event could not be delivered: the IDT, the stack or the TSS is no
	 * RAM.  The instruction at RIP has nothing to do with it.
	 */
	if (r == LUCID_FAULT_MMIO && (control->exit_int_info & SVM_EVENT_VALID))
		return atomic ? LUCID_SLOW : lucid_emulation_exit(vcpu, NULL);
	if (r == LUCID_FAULT_MMIO)
		return atomic ? LUCID_MMIO : lucid_mmio(vcpu);
	if (r == -EAGAIN)
		return atomic ? LUCID_SLOW : LUCID_REENTER;
	return r;
}

/* ---- dispatch ---------------------------------------------------------------- */

static int svm_exit(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 code = vcpu->hw->vmcb->control.exit_code;

	switch (code) {
	case SVM_EXIT_READ_CR0:
	case SVM_EXIT_READ_CR4:
	case SVM_EXIT_WRITE_CR0:
	case SVM_EXIT_WRITE_CR4:
	case SVM_EXIT_WRITE_CR8:
		return svm_cr(vcpu, atomic);
	case SVM_EXIT_READ_DR0 ... SVM_EXIT_WRITE_DR7:
		return svm_dr(vcpu, atomic);
	case SVM_EXIT_EXCP_BASE + X86_TRAP_DB:
		return svm_debug(vcpu);
	case SVM_EXIT_EXCP_BASE + X86_TRAP_AC:
		return svm_exception(vcpu, X86_TRAP_AC,
				     (u32)vcpu->hw->vmcb->control.exit_info_1);
	case SVM_EXIT_EXCP_BASE + X86_TRAP_MC:
		return svm_machine_check();
	case SVM_EXIT_INTR:
	case SVM_EXIT_NMI:	/* taken by the host at STGI */
	case SVM_EXIT_SMI:
	case SVM_EXIT_INIT:
		return LUCID_REENTER_IRQ;
	case SVM_EXIT_VINTR:
		lucid_hw_interrupt_window(vcpu, false);
		WRITE_ONCE(vcpu->irq.check, true);
		return LUCID_REENTER;
	case SVM_EXIT_CPUID:
		return svm_cpuid(vcpu, atomic);
	case SVM_EXIT_IRET:
		return svm_iret(vcpu);
	case SVM_EXIT_RDPMC:
		return svm_exception(vcpu, X86_TRAP_GP, 0);	/* no counters offered */
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
		return svm_wbinvd(vcpu, atomic);
	case SVM_EXIT_HLT:
		return svm_hlt(vcpu, atomic);
	case SVM_EXIT_IOIO:
		return svm_ioio(vcpu, atomic);
	case SVM_EXIT_MSR:
		return svm_msr(vcpu, atomic);
	case SVM_EXIT_SHUTDOWN:
		return atomic ? LUCID_SLOW : svm_shutdown(vcpu);
	case SVM_EXIT_VMMCALL:
		return svm_hypercall(vcpu, atomic);
	case SVM_EXIT_MONITOR:
		return svm_skip(vcpu, LUCID_I_MONITOR, atomic);	/* as KVM: no operation */
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT_COND:
		return svm_skip(vcpu, LUCID_I_MWAIT, atomic);
	case SVM_EXIT_XSETBV:
		return svm_xsetbv(vcpu, atomic);
	case SVM_EXIT_VMRUN:	/* the guest has no SVM */
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_RSM:
	case SVM_EXIT_RDTSCP:	/* intercepted if it has not that either */
	case SVM_EXIT_INVPCID:
	case SVM_EXIT_RDPRU:
	case 0x0a0:		/* INVLPGB */
	case 0x0a3:		/* MCOMMIT */
	case 0x0a4:		/* TLBSYNC */
		return svm_undefined(vcpu);
	case SVM_EXIT_NPF:
		return atomic ? LUCID_ATOMIC : svm_nested_fault(vcpu, false);
	}
	return svm_unexpected(vcpu);
}

/* An access to the local APIC's page: no need to look for a slot. */
static bool svm_is_apic(struct lucid_vcpu *vcpu)
{
	const struct vmcb_control *control = &vcpu->hw->vmcb->control;

	return vcpu->vm->irq.in_kernel &&
	       !((control->exit_info_2 ^ vcpu->apic_base) & PAGE_MASK) &&
	       !(control->exit_int_info & SVM_EVENT_VALID);
}

/** lucid_hw_exit_fast - serve the exit with interrupts off, or say where it must be */
int lucid_hw_exit_fast(struct lucid_vcpu *vcpu)
{
	u64 code = vcpu->hw->vmcb->control.exit_code;

	vcpu->stats.exit_index = svm_exit_index(code);
	/* What guests do most, compared directly. */
	if (code == SVM_EXIT_NPF)
		return svm_is_apic(vcpu) ? LUCID_MMIO : LUCID_ATOMIC;
	if (code == SVM_EXIT_IOIO)
		return svm_ioio(vcpu, true);
	if (code == SVM_EXIT_INTR)
		return LUCID_REENTER_IRQ;
	if (code == SVM_EXIT_CPUID)
		return svm_cpuid(vcpu, true);
	if (code == SVM_EXIT_MSR)
		return svm_msr(vcpu, true);
	return svm_exit(vcpu, true);
}

/** lucid_hw_exit_atomic - interrupts on, preemption off, in the stay */
int lucid_hw_exit_atomic(struct lucid_vcpu *vcpu)
{
	return svm_nested_fault(vcpu, true);
}

/**
 * lucid_hw_exit_mmio - after an LUCID_MMIO, with interrupts off again
 * @vcpu: the vCPU
 */
int lucid_hw_exit_mmio(struct lucid_vcpu *vcpu)
{
	const struct vmcb_control *control = &vcpu->hw->vmcb->control;

	/* Not if it was the walk of the guest's tables that met no RAM. */
	if (!(control->exit_info_1 & SVM_NPF_FINAL))
		return LUCID_SLOW;
	return lucid_mmio_tried(vcpu, control->exit_info_2);
}

/* For lucid_bench_floor(), which serves nothing else. */
bool lucid_hw_exit_was_host(struct lucid_vcpu *vcpu)
{
	u64 code = vcpu->hw->vmcb->control.exit_code;

	if (code == SVM_EXIT_EXCP_BASE + X86_TRAP_MC)
		svm_machine_check();
	return code == SVM_EXIT_EXCP_BASE + X86_TRAP_MC ||
	       (code >= SVM_EXIT_INTR && code <= SVM_EXIT_INIT);
}

/** lucid_hw_exit_slow - outside of the stay: may sleep and touch user memory */
int lucid_hw_exit_slow(struct lucid_vcpu *vcpu)
{
	return svm_exit(vcpu, false);
}
