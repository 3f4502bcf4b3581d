// SPDX-License-Identifier: GPL-2.0
/*
 * Why the guest left, and what is done about it.
 *
 * An exit is served in the nearest place that can: svm_exit_fast() with
 * interrupts off, re-entering at once; svm_exit_atomic() with interrupts
 * on, still in the stay; svm_exit_slow() outside, where it may sleep.
 * Fast and slow share svm_exit(): with @atomic set it answers LUCID_SLOW, and
 * has changed nothing, where it would have to sleep.
 */
#include <linux/export.h>
#include <linux/kvm_para.h>
#include <linux/ptrace.h>
#include <asm/debugreg.h>
#include <asm/mce.h>

#include "../x86/decode.h"
#include "../x86/intercept.h"
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
 * svm_exit_name - the name of a counter
 * @index: of vcpu->stats.exit[]
 * @code: the hardware's exit code, if it has a name
 */
const char *svm_exit_name(u32 index, u32 *code)
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

u64 svm_exit_code(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->control.exit_code;
}

/* ---- stepping over an instruction -------------------------------------------- */

/**
 * svm_next_rip - where the instruction that was intercepted ends
 * @vcpu: the vCPU
 * @id: LUCID_I_, what it was
 * @atomic: do not sleep
 * @next: the RIP behind it
 *
 * The CPU tells (NRIPS), or it is fetched and decoded.  By then another vCPU may
 * have changed it: if it is not @id any more the guest is to run what stands
 * there now.
 *
 * Return: LUCID_REENTER with *@next set; LUCID_REENTER_IRQ: run it again;
 * LUCID_SLOW: not to be had without sleeping; or an exception was queued
 * (also LUCID_REENTER_IRQ).
 */
int svm_next_rip(struct lucid_vcpu *vcpu, int id, bool atomic, u64 *next)
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

/**
 * svm_skip - go on behind an instruction whose end is known
 * @vcpu: the vCPU
 * @next: the RIP there
 */
void svm_skip(struct lucid_vcpu *vcpu, u64 next)
{
	struct vmcb *vmcb = vcpu->hw->vmcb;

	/* Outside of 64-bit mode RIP has 32 bits. */
	if (!svm_in_64bit(vcpu))
		next = (u32)next;
	vmcb->save.rip = next;
	vmcb->control.int_state = 0;
	if (unlikely(vmcb->save.rflags & (X86_EFLAGS_RF | X86_EFLAGS_TF))) {
		vmcb->save.rflags &= ~(u64)X86_EFLAGS_RF;
		if (svm_get_rflags(vcpu) & X86_EFLAGS_TF) {
			svm_set_dr6(vcpu, vmcb->save.dr6 | DR_STEP);
			lucid_queue_exception(vcpu, X86_TRAP_DB, LUCID_NO_ERROR);
		}
	}
}

/* ---- handlers ---------------------------------------------------------------- */

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

/*
 * Guest memory is cached memory of the host's: nothing to write back, and
 * nothing may be lost.  (QEMU's CPU gives INVD the exit code of WBINVD.)
 */
static int svm_wbinvd(struct lucid_vcpu *vcpu, bool atomic)
{
	int r = lucid_exec_nothing(vcpu, LUCID_I_WBINVD, atomic);

	if (r == LUCID_REENTER_IRQ && !vcpu->events.exception.pending)
		r = lucid_exec_nothing(vcpu, LUCID_I_INVD, atomic);
	return r;
}

/* MOV CRn, CLTS, LMSW, SMSW: decoded, done outside of the stay. */
static int svm_cr(struct lucid_vcpu *vcpu, bool atomic)
{
	if (atomic)
		return LUCID_SLOW;
	return lucid_cr_access(vcpu);
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
	return lucid_raise(vcpu, X86_TRAP_DB, LUCID_NO_ERROR);
}

/* The IRET that ends an NMI is about to run; see svm_enter(). */
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

static int svm_nested_fault(struct lucid_vcpu *vcpu, bool atomic)
{
	struct vmcb_control *control = &vcpu->hw->vmcb->control;
	u64 error = control->exit_info_1;
	unsigned int access = 0;

	if (error & SVM_NPF_WRITE)
		access |= LUCID_ACCESS_WRITE;
	if (error & SVM_NPF_EXEC)
		access |= LUCID_ACCESS_EXEC;
	return lucid_nested_fault(vcpu, control->exit_info_2, access,
				  control->exit_int_info & SVM_EVENT_VALID, atomic);
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
		return lucid_exec_dr(vcpu, atomic);
	case SVM_EXIT_EXCP_BASE + X86_TRAP_DB:
		return svm_debug(vcpu);
	case SVM_EXIT_EXCP_BASE + X86_TRAP_AC:
		return lucid_raise(vcpu, X86_TRAP_AC,
				     (u32)vcpu->hw->vmcb->control.exit_info_1);
	case SVM_EXIT_EXCP_BASE + X86_TRAP_MC:
		return lucid_machine_check();
	case SVM_EXIT_INTR:
	case SVM_EXIT_NMI:	/* taken by the host at STGI */
	case SVM_EXIT_SMI:
	case SVM_EXIT_INIT:
		return LUCID_REENTER_IRQ;
	case SVM_EXIT_VINTR:
		svm_interrupt_window(vcpu, false);
		WRITE_ONCE(vcpu->irq.check, true);
		return LUCID_REENTER;
	case SVM_EXIT_CPUID:
		return lucid_exec_cpuid(vcpu, atomic);
	case SVM_EXIT_IRET:
		return svm_iret(vcpu);
	case SVM_EXIT_RDPMC:
		return lucid_raise(vcpu, X86_TRAP_GP, 0);	/* no counters offered */
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
		return svm_wbinvd(vcpu, atomic);
	case SVM_EXIT_HLT:
		return lucid_exec_hlt(vcpu, atomic);
	case SVM_EXIT_IOIO:
		return svm_ioio(vcpu, atomic);
	case SVM_EXIT_MSR:
		return lucid_exec_msr(vcpu, vcpu->hw->vmcb->control.exit_info_1, atomic);
	case SVM_EXIT_SHUTDOWN:
		/* The VMCB is undefined now (APM vol. 2, "Shutdown Intercept"). */
		return lucid_exec_shutdown(vcpu, atomic);
	case SVM_EXIT_VMMCALL:
		return lucid_exec_hypercall(vcpu, LUCID_I_VMMCALL, atomic);
	case SVM_EXIT_MONITOR:
		return lucid_exec_nothing(vcpu, LUCID_I_MONITOR, atomic);	/* as KVM: no operation */
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT_COND:
		return lucid_exec_nothing(vcpu, LUCID_I_MWAIT, atomic);
	case SVM_EXIT_XSETBV:
		return lucid_exec_xsetbv(vcpu, atomic);
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
		return lucid_raise(vcpu, X86_TRAP_UD, LUCID_NO_ERROR);
	case SVM_EXIT_NPF:
		return atomic ? LUCID_ATOMIC : svm_nested_fault(vcpu, false);
	}
	return lucid_exit_unexpected(vcpu);
}

/* An access to the local APIC's page: no need to look for a slot. */
static bool svm_is_apic(struct lucid_vcpu *vcpu)
{
	const struct vmcb_control *control = &vcpu->hw->vmcb->control;

	return vcpu->vm->irq.in_kernel &&
	       !((control->exit_info_2 ^ vcpu->apic_base) & PAGE_MASK) &&
	       !(control->exit_int_info & SVM_EVENT_VALID);
}

/** svm_exit_fast - serve the exit with interrupts off, or say where it must be */
int svm_exit_fast(struct lucid_vcpu *vcpu)
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
		return lucid_exec_cpuid(vcpu, true);
	if (code == SVM_EXIT_MSR)
		return lucid_exec_msr(vcpu, vcpu->hw->vmcb->control.exit_info_1, true);
	return svm_exit(vcpu, true);
}

/** svm_exit_atomic - interrupts on, preemption off, in the stay */
int svm_exit_atomic(struct lucid_vcpu *vcpu)
{
	return svm_nested_fault(vcpu, true);
}

/**
 * svm_exit_mmio - after an LUCID_MMIO, with interrupts off again
 * @vcpu: the vCPU
 */
int svm_exit_mmio(struct lucid_vcpu *vcpu)
{
	const struct vmcb_control *control = &vcpu->hw->vmcb->control;

	/* Not if it was the walk of the guest's tables that met no RAM. */
	if (!(control->exit_info_1 & SVM_NPF_FINAL))
		return LUCID_SLOW;
	return lucid_mmio_tried(vcpu, control->exit_info_2);
}

/* For lucid_bench_floor(), which serves nothing else. */
bool svm_exit_was_host(struct lucid_vcpu *vcpu)
{
	u64 code = vcpu->hw->vmcb->control.exit_code;

	if (code == SVM_EXIT_EXCP_BASE + X86_TRAP_MC)
		lucid_machine_check();
	return code == SVM_EXIT_EXCP_BASE + X86_TRAP_MC ||
	       (code >= SVM_EXIT_INTR && code <= SVM_EXIT_INIT);
}

/** svm_exit_slow - outside of the stay: may sleep and touch user memory */
int svm_exit_slow(struct lucid_vcpu *vcpu)
{
	return svm_exit(vcpu, false);
}
