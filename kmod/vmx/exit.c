// SPDX-License-Identifier: GPL-2.0
/*
 * Why the guest left, and what is done about it.
 *
 * An exit is served in the nearest place that can: vmx_exit_fast() with
 * interrupts off, re-entering at once; vmx_exit_atomic() with interrupts on,
 * still in the stay; vmx_exit_slow() outside, where it may sleep.  Fast and
 * slow share vmx_exit(): with @atomic set it answers LUCID_SLOW, and has changed
 * nothing, where it would have to sleep.
 */
#include <linux/sched.h>
#include <asm/cpu.h>
#include <asm/debugreg.h>

#include "../x86/decode.h"
#include "../x86/intercept.h"
#include "vmx.h"

/* ---- names and counters ---------------------------------------------------- */

/* Basic exit reasons count under their own number (SDM vol. 3D, appendix C). */
#define VMX_EXIT_NAMES(X) \
	X(0, "EXCEPTION_NMI") X(1, "EXTERNAL_INTERRUPT") X(2, "TRIPLE_FAULT") X(3, "INIT") \
	X(4, "SIPI") X(5, "IO_SMI") X(6, "OTHER_SMI") X(7, "INTERRUPT_WINDOW") \
	X(8, "NMI_WINDOW") X(9, "TASK_SWITCH") X(10, "CPUID") X(11, "GETSEC") X(12, "HLT") \
	X(13, "INVD") X(14, "INVLPG") X(15, "RDPMC") X(16, "RDTSC") X(17, "RSM") \
	X(18, "VMCALL") X(19, "VMCLEAR") X(20, "VMLAUNCH") X(21, "VMPTRLD") X(22, "VMPTRST") \
	X(23, "VMREAD") X(24, "VMRESUME") X(25, "VMWRITE") X(26, "VMXOFF") X(27, "VMXON") \
	X(28, "CR_ACCESS") X(29, "DR_ACCESS") X(30, "IO") X(31, "RDMSR") X(32, "WRMSR") \
	X(33, "INVALID_STATE") X(34, "MSR_LOADING") X(36, "MWAIT") X(37, "MONITOR_TRAP") \
	X(39, "MONITOR") X(40, "PAUSE") X(41, "ENTRY_MACHINE_CHECK") X(43, "TPR_BELOW") \
	X(44, "APIC_ACCESS") X(45, "EOI") X(46, "GDTR_IDTR") X(47, "LDTR_TR") \
	X(48, "EPT_VIOLATION") X(49, "EPT_MISCONFIG") X(50, "INVEPT") X(51, "RDTSCP") \
	X(52, "PREEMPTION_TIMER") X(53, "INVVPID") X(54, "WBINVD") X(55, "XSETBV") \
	X(56, "APIC_WRITE") X(57, "RDRAND") X(58, "INVPCID") X(59, "VMFUNC") X(60, "ENCLS") \
	X(61, "RDSEED") X(62, "PML_FULL") X(63, "XSAVES") X(64, "XRSTORS") X(67, "UMWAIT") \
	X(68, "TPAUSE")

static u32 vmx_exit_index(u32 reason)
{
	return min_t(u32, reason & 0xffff, LUCID_EXIT_CODES - 1);
}

/**
 * vmx_exit_name - the name of a counter
 * @index: of vcpu->stats.exit[]
 * @code: the hardware's exit reason, if it has a name
 */
const char *vmx_exit_name(u32 index, u32 *code)
{
#define VMX_NAME(number, name)	[number] = name,
	static const char * const names[] = { VMX_EXIT_NAMES(VMX_NAME) };

	*code = index;
	return index < ARRAY_SIZE(names) && names[index] ? names[index] : "other";
}

/* As KVM tells it in KVM_EXIT_FAIL_ENTRY: an exit reason, or a VM-instruction error. */
u64 vmx_exit_code(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->failed_error ?: vcpu->hw->reason;
}

/* ---- stepping over an instruction -------------------------------------------- */

/**
 * vmx_next_rip - where the instruction that exited ends: the CPU tells
 * @vcpu: the vCPU
 * @id: LUCID_I_, what it was
 * @atomic: do not sleep
 * @next: the RIP behind it
 *
 * Return: LUCID_REENTER.
 */
int vmx_next_rip(struct lucid_vcpu *vcpu, int id, bool atomic, u64 *next)
{
	*next = vmx_get(vcpu->hw, VMX_RIP) + vmx_told(vcpu->hw, VMX_INSN_LEN);
	return LUCID_REENTER;
}

/**
 * vmx_skip - go on behind an instruction whose end is known
 * @vcpu: the vCPU
 * @next: the RIP there
 */
void vmx_skip(struct lucid_vcpu *vcpu, u64 next)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	u64 rflags = vmx_get(hw, VMX_RFLAGS);

	/* Outside of 64-bit mode RIP has 32 bits. */
	if (unlikely(next >> 32) && !vmx_in_64bit(vcpu))
		next = (u32)next;
	vmx_set(hw, VMX_RIP, next);
	if (unlikely(vmx_get(hw, VMX_SHADOW) & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)))
		vmx_set_shadow(vcpu, false);
	if (unlikely(rflags & (X86_EFLAGS_RF | X86_EFLAGS_TF))) {
		if (rflags & X86_EFLAGS_RF)
			vmx_set(hw, VMX_RFLAGS, rflags & ~(u64)X86_EFLAGS_RF);
		if (rflags & X86_EFLAGS_TF) {
			hw->dr6 |= DR_STEP;
			lucid_queue_exception(vcpu, X86_TRAP_DB, LUCID_NO_ERROR);
		}
	}
}

/* ---- handlers ---------------------------------------------------------------- */

static int vmx_undefined(struct lucid_vcpu *vcpu)
{
	return lucid_raise(vcpu, X86_TRAP_UD, LUCID_NO_ERROR);
}

/* MOV to CRn, CLTS, LMSW: the qualification has all of it. */
static int vmx_cr(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 q = vmx_told(vcpu->hw, VMX_QUALIFICATION), next;
	unsigned int nr = q & 15, reg = (q >> 8) & 15;
	u64 value = vcpu->regs[reg];

	vmx_next_rip(vcpu, 0, atomic, &next);
	if (atomic)
		return LUCID_SLOW;
	if (!vmx_in_64bit(vcpu))
		value = (u32)value;
	switch ((q >> 4) & 3) {
	case 0:
		return lucid_cr_write(vcpu, nr, value, next);
	case 1:		/* only CR8, without a TPR shadow */
		vcpu->regs[reg] = vcpu->cr8;
		vmx_skip(vcpu, next);
		return LUCID_REENTER;
	case 2:
		return lucid_cr_write(vcpu, 0, vcpu->cr0 & ~(u64)X86_CR0_TS, next);
	default:	/* LMSW: PE can be set, not cleared */
		return lucid_cr_write(vcpu, 0, (vcpu->cr0 & ~0xeull) | ((q >> 16) & 0xf), next);
	}
}

static int vmx_io(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 q = vmx_told(vcpu->hw, VMX_QUALIFICATION), next;
	u8 size = (q & 7) + 1;
	u16 port = q >> 16;
	bool in = q & 8;

	if (q & 16) {
		if (atomic)
			return LUCID_SLOW;
		return lucid_pio_string(vcpu, port, size, in, q & 32);
	}
	vmx_next_rip(vcpu, 0, atomic, &next);
	return lucid_pio(vcpu, port, size, in, next);
}

/*
 * The guest's #DB.  An exit for it leaves DR6 and DR7 alone; the qualification
 * has what goes into DR6 (SDM vol. 3C, table "Exit Qualification for Debug
 * Exceptions").
 */
static int vmx_debug(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	u64 q = vmx_told(hw, VMX_QUALIFICATION);

	/* INT1: RIP is still its own, the handler is to return behind it. */
	if ((vmx_told(hw, VMX_INTR_INFO) & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION) {
		vmx_set(hw, VMX_RIP, vmx_get(hw, VMX_RIP) + vmx_told(hw, VMX_INSN_LEN));
		vmx_set_shadow(vcpu, false);
	} else if ((vmx_get(hw, VMX_RFLAGS) & X86_EFLAGS_TF) && vmx_get_shadow(vcpu)) {
		/* Entry wants the step that waits behind MOV SS noted. */
		vmx_set(hw, VMX_PENDING_DB, vmx_get(hw, VMX_PENDING_DB) | DR_STEP);
	}
	hw->dr6 = (hw->dr6 & ~(u64)DR_TRAP_BITS) | (q & (DR_TRAP_BITS | BIT(13) | DR_STEP));
	/* Its delivery clears GD, an exit does not. */
	vmx_update(hw, VMX_DR7, hw->field[VMX_DR7] & ~BIT_ULL(13));
	return lucid_raise(vcpu, X86_TRAP_DB, LUCID_NO_ERROR);
}

/*
 * #AC: the guest's, if it has asked for alignment checks; else the host's split-lock
 * detection found a guest that knows nothing of it.
 */
static int vmx_alignment(struct lucid_vcpu *vcpu, bool atomic)
{
	if (boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) &&
	    !(vmx_get_cpl(vcpu) == 3 && (vcpu->cr0 & X86_CR0_AM) &&
	      (vmx_get(vcpu->hw, VMX_RFLAGS) & X86_EFLAGS_AC))) {
		if (atomic)
			return LUCID_SLOW;
		if (handle_guest_split_lock(vmx_get(vcpu->hw, VMX_RIP)))
			return LUCID_REENTER;
	}
	return lucid_raise(vcpu, X86_TRAP_AC, (u32)vmx_told(vcpu->hw, VMX_INTR_ERROR));
}

static int vmx_exception(struct lucid_vcpu *vcpu, bool atomic)
{
	u32 info = vmx_told(vcpu->hw, VMX_INTR_INFO);

	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR)
		return LUCID_REENTER;	/* taken right after the exit: vmx_guest() */
	switch (info & INTR_INFO_VECTOR_MASK) {
	case X86_TRAP_DB:
		return vmx_debug(vcpu);
	case X86_TRAP_AC:
		return vmx_alignment(vcpu, atomic);
	case X86_TRAP_MC:
		return lucid_machine_check();
	}
	return lucid_exit_unexpected(vcpu);
}

static int vmx_nested_fault(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 q = vmx_told(vcpu->hw, VMX_QUALIFICATION);
	unsigned int access = 0;

	if (q & EPT_VIOLATION_ACC_WRITE)
		access |= LUCID_ACCESS_WRITE;
	if (q & EPT_VIOLATION_ACC_INSTR)
		access |= LUCID_ACCESS_EXEC;
	return lucid_nested_fault(vcpu, vmx_told(vcpu->hw, VMX_GPA), access,
				  vcpu->hw->idt_info & LUCID_EVENT_VALID, atomic);
}

/* A loop of PAUSEs: what it waits for may want this CPU. */
static int vmx_pause(struct lucid_vcpu *vcpu, bool atomic)
{
	u64 next;

	vmx_next_rip(vcpu, 0, atomic, &next);
	if (atomic)
		return LUCID_SLOW;
	vmx_skip(vcpu, next);
	yield();
	return LUCID_REENTER;
}

/* ---- dispatch ---------------------------------------------------------------- */

static int vmx_exit(struct lucid_vcpu *vcpu, bool atomic)
{
	switch (vcpu->hw->reason) {
	case EXIT_REASON_EXCEPTION_NMI:
		return vmx_exception(vcpu, atomic);
	case EXIT_REASON_EXTERNAL_INTERRUPT:
	case EXIT_REASON_PREEMPTION_TIMER:	/* a stay that was long enough */
	case EXIT_REASON_INIT_SIGNAL:
	case EXIT_REASON_SIPI_SIGNAL:
		return LUCID_REENTER_IRQ;
	case EXIT_REASON_TRIPLE_FAULT:
		return lucid_exec_shutdown(vcpu, atomic);
	case EXIT_REASON_INTERRUPT_WINDOW:
		vmx_interrupt_window(vcpu, false);
		WRITE_ONCE(vcpu->irq.check, true);
		return LUCID_REENTER;
	case EXIT_REASON_NMI_WINDOW:
		vmx_control(vcpu->hw, VMX_PROC, CPU_BASED_NMI_WINDOW_EXITING, false);
		vcpu->events_armed = true;
		return LUCID_REENTER;
	case EXIT_REASON_CPUID:
		return lucid_exec_cpuid(vcpu, atomic);
	case EXIT_REASON_HLT:
		return lucid_exec_hlt(vcpu, atomic);
	case EXIT_REASON_INVD:
	case EXIT_REASON_WBINVD:	/* guest memory is cached memory of the host's */
	case EXIT_REASON_MONITOR_INSTRUCTION:
	case EXIT_REASON_MWAIT_INSTRUCTION:	/* as KVM: no operation */
		return lucid_exec_nothing(vcpu, 0, atomic);
	case EXIT_REASON_RDPMC:
		return lucid_raise(vcpu, X86_TRAP_GP, 0);	/* no counters offered */
	case EXIT_REASON_VMCALL:
		return lucid_exec_hypercall(vcpu, LUCID_I_VMCALL, atomic);
	case 11:		/* GETSEC */
	case 17:		/* RSM */
	case EXIT_REASON_VMCLEAR ... EXIT_REASON_VMON:	/* the guest has no VMX */
	case EXIT_REASON_INVEPT:
	case EXIT_REASON_INVVPID:
	case EXIT_REASON_VMFUNC:
	case EXIT_REASON_ENCLS:
		return vmx_undefined(vcpu);
	case EXIT_REASON_CR_ACCESS:
		return vmx_cr(vcpu, atomic);
	case EXIT_REASON_DR_ACCESS:
		return lucid_exec_dr(vcpu, atomic);
	case EXIT_REASON_IO_INSTRUCTION:
		return vmx_io(vcpu, atomic);
	case EXIT_REASON_MSR_READ:
	case EXIT_REASON_MSR_WRITE:
		return lucid_exec_msr(vcpu, vcpu->hw->reason == EXIT_REASON_MSR_WRITE, atomic);
	case EXIT_REASON_PAUSE_INSTRUCTION:
		return vmx_pause(vcpu, atomic);
	case EXIT_REASON_EPT_VIOLATION:
		return atomic ? LUCID_ATOMIC : vmx_nested_fault(vcpu, false);
	case EXIT_REASON_XSETBV:
		return lucid_exec_xsetbv(vcpu, atomic);
	}
	return lucid_exit_unexpected(vcpu);
}

/* An access to the local APIC's page: no need to look for a slot. */
static bool vmx_is_apic(struct lucid_vcpu *vcpu)
{
	return vcpu->vm->irq.in_kernel &&
	       !((vmx_told(vcpu->hw, VMX_GPA) ^ vcpu->apic_base) & PAGE_MASK) &&
	       !(vcpu->hw->idt_info & LUCID_EVENT_VALID);
}

/** vmx_exit_fast - serve the exit with interrupts off, or say where it must be */
int vmx_exit_fast(struct lucid_vcpu *vcpu)
{
	u32 reason = vcpu->hw->reason;
	int r;

	vcpu->stats.exit_index = vmx_exit_index(reason);
	/* What guests do most, compared directly. */
	if (reason == EXIT_REASON_EPT_VIOLATION) {
		vmx_told(vcpu->hw, VMX_QUALIFICATION);	/* while it is at hand */
		r = vmx_is_apic(vcpu) ? LUCID_MMIO : LUCID_ATOMIC;
	} else if (reason == EXIT_REASON_IO_INSTRUCTION) {
		r = vmx_io(vcpu, true);
	} else if (reason == EXIT_REASON_EXTERNAL_INTERRUPT) {
		r = LUCID_REENTER_IRQ;
	} else if (reason == EXIT_REASON_CPUID) {
		r = lucid_exec_cpuid(vcpu, true);
	} else if (reason == EXIT_REASON_MSR_WRITE || reason == EXIT_REASON_MSR_READ) {
		r = lucid_exec_msr(vcpu, reason == EXIT_REASON_MSR_WRITE, true);
	} else {
		r = vmx_exit(vcpu, true);
	}
	if (likely(r == LUCID_REENTER))
		return r;
	/* Interrupts may be on from here on; other code uses this CPU's cache. */
	vcpu->hw->at_hand = false;
	vcpu->hw->flush_l1d = true;
	return r;
}

/** vmx_exit_atomic - interrupts on, preemption off, in the stay */
int vmx_exit_atomic(struct lucid_vcpu *vcpu)
{
	return vmx_nested_fault(vcpu, true);
}

/**
 * vmx_exit_mmio - after an LUCID_MMIO, with interrupts off again
 * @vcpu: the vCPU
 */
int vmx_exit_mmio(struct lucid_vcpu *vcpu)
{
	const u64 final = EPT_VIOLATION_GVA_IS_VALID | EPT_VIOLATION_GVA_TRANSLATED;
	struct lucid_hw_vcpu *hw = vcpu->hw;
	int r;

	/* Not if it was the walk of the guest's tables that met no RAM. */
	if ((vmx_told(hw, VMX_QUALIFICATION) & final) != final)
		return LUCID_SLOW;
	hw->at_hand = hw->cpu == smp_processor_id();	/* else VMX was turned off */
	r = lucid_mmio_tried(vcpu, vmx_told(hw, VMX_GPA));
	hw->at_hand = false;
	return r;
}

/* For lucid_bench_floor(), which serves nothing else. */
bool vmx_exit_was_host(struct lucid_vcpu *vcpu)
{
	u32 info;

	if (vcpu->hw->reason == EXIT_REASON_EXTERNAL_INTERRUPT)
		return true;
	if (vcpu->hw->reason != EXIT_REASON_EXCEPTION_NMI)
		return false;
	info = vmx_told(vcpu->hw, VMX_INTR_INFO);
	if ((info & INTR_INFO_VECTOR_MASK) == X86_TRAP_MC)
		lucid_machine_check();
	return (info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR ||
	       (info & INTR_INFO_VECTOR_MASK) == X86_TRAP_MC;
}

/** vmx_exit_slow - outside of the stay: may sleep and touch user memory */
int vmx_exit_slow(struct lucid_vcpu *vcpu)
{
	return vmx_exit(vcpu, false);
}
