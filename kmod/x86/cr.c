// SPDX-License-Identifier: GPL-2.0
/*
 * Control and debug registers: what may be written, and what follows from it.
 *
 * SDM vol. 3A, "Control Registers", "Enabling and Disabling ... IA-32e Mode
 * Operation"; APM vol. 2, "Control Registers", "Enabling/Activating Long Mode".
 * Functions that answer LUCID_GP have changed nothing then.
 *
 * What is done here for the guest is what the CPU would have done to its TLB:
 * lucid_flush_guest() where the manual says that entries are dropped.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../lucid.h"
#include "decode.h"

static bool in_64bit_mode(struct lucid_vcpu *vcpu)
{
	struct kvm_segment cs;

	lucid_hw_get_seg(vcpu, LUCID_SEG_CS, &cs);
	return (vcpu->efer & EFER_LMA) && cs.l;
}

/*
 * Turning on PAE paging loads the four PDPTEs; reserved bits in a present one
 * raise #GP.  (Under AMD's nested paging the CPU reads them from memory again on
 * every walk; Intel's has registers for them.)
 */
static bool load_pdptes(struct lucid_vcpu *vcpu)
{
	u64 reserved = ~((1ull << vcpu->cpuid.maxphyaddr) - 1) | 0x186;
	u64 pdpte[4];
	int i;

	/* Memory that is not there is found out by the walk. */
	if (lucid_mem_read(vcpu->vm, lucid_hw_get_cr3(vcpu) & 0xffffffe0, pdpte, sizeof(pdpte)))
		return false;
	for (i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return false;
	lucid_hw_set_pdptes(vcpu, pdpte);
	return true;
}

/**
 * lucid_load_pdptes - PAE paging is on and CR3 has been set, not by the guest
 * @vcpu: the vCPU
 *
 * Context: outside of a stay; may sleep.
 * Return: 0 or LUCID_GP, and then nothing was loaded.
 */
int lucid_load_pdptes(struct lucid_vcpu *vcpu)
{
	return load_pdptes(vcpu) ? 0 : LUCID_GP;
}

/**
 * lucid_cr0_valid - may these bits stand in CR0 together?
 * @cr0: the value
 */
bool lucid_cr0_valid(u64 cr0)
{
	return !(cr0 >> 32) && !((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD)) &&
	       !((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE));
}

/* Bits 28:19, 17, 15:6 are ignored, ET is always 1. */
#define CR0_KNOWN	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)

/**
 * lucid_set_cr0 - MOV to CR0 and its likes
 * @vcpu: the vCPU
 * @value: what the guest writes
 *
 * Context: outside of a stay; may sleep (PDPTEs).
 * Return: 0 or LUCID_GP.
 */
int lucid_set_cr0(struct lucid_vcpu *vcpu, u64 value)
{
	u64 old = vcpu->cr0;

	if (!lucid_cr0_valid(value))
		return LUCID_GP;
	value = (value & CR0_KNOWN) | X86_CR0_ET;

	if ((value & X86_CR0_PG) && !(old & X86_CR0_PG)) {
		if (vcpu->efer & EFER_LME) {
			struct kvm_segment cs;

			lucid_hw_get_seg(vcpu, LUCID_SEG_CS, &cs);
			if (!(vcpu->cr4 & X86_CR4_PAE) || cs.l)
				return LUCID_GP;
		} else if ((vcpu->cr4 & X86_CR4_PAE) && !load_pdptes(vcpu)) {
			return LUCID_GP;
		}
	}
	if (!(value & X86_CR0_PG) && (old & X86_CR0_PG) &&
	    (in_64bit_mode(vcpu) || (vcpu->cr4 & X86_CR4_PCIDE)))
		return LUCID_GP;

	if ((value ^ old) & X86_CR0_PG) {
		u64 efer = vcpu->efer & ~(u64)EFER_LMA;

		if ((value & X86_CR0_PG) && (efer & EFER_LME))
			efer |= EFER_LMA;
		vcpu->efer = efer;
		lucid_hw_set_efer(vcpu, efer);
		lucid_flush_guest(vcpu);
	}
	vcpu->cr0 = value;
	lucid_hw_set_cr0(vcpu, value);
	return 0;
}

/**
 * lucid_set_cr4 - MOV to CR4
 * @vcpu: the vCPU
 * @value: what the guest writes
 *
 * Context: outside of a stay; may sleep.
 * Return: 0 or LUCID_GP.
 */
int lucid_set_cr4(struct lucid_vcpu *vcpu, u64 value)
{
	u64 old = vcpu->cr4, changed = value ^ old;
	const u64 paging = X86_CR4_PGE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_SMEP | X86_CR4_SMAP |
			   X86_CR4_PCIDE | X86_CR4_LA57;

	if (value & vcpu->cpuid.cr4_reserved)
		return LUCID_GP;
	if (vcpu->efer & EFER_LMA) {
		if (!(value & X86_CR4_PAE) || (changed & X86_CR4_LA57))
			return LUCID_GP;
	} else if ((vcpu->cr0 & X86_CR0_PG) && (value & X86_CR4_PAE) &&
		   (changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)) &&
		   !load_pdptes(vcpu)) {
		return LUCID_GP;
	}
	if ((value & X86_CR4_PCIDE) && !(old & X86_CR4_PCIDE) &&
	    (!(vcpu->efer & EFER_LMA) || (lucid_hw_get_cr3(vcpu) & 0xfff)))
		return LUCID_GP;

	vcpu->cr4 = value;
	lucid_hw_set_cr4(vcpu, value);
	if (changed & paging)
		lucid_flush_guest(vcpu);
	if (changed & X86_CR4_OSXSAVE)
		lucid_cpuid_update(vcpu);
	return 0;
}

/**
 * lucid_set_cr8 - the task priority
 * @vcpu: the vCPU
 * @value: 0..15
 *
 * Return: 0 or LUCID_GP.
 */
int lucid_set_cr8(struct lucid_vcpu *vcpu, u64 value)
{
	if (value > 15)
		return LUCID_GP;
	if (value != vcpu->cr8) {
		vcpu->cr8 = value;
		lucid_hw_set_cr8(vcpu, value);
		/* CR8 and TPR are one (SDM vol. 3A, "Interaction of Task Priorities"). */
		lucid_lapic_set_tpr(&vcpu->irq.lapic, value << 4);
		WRITE_ONCE(vcpu->irq.check, true);
	}
	return 0;
}

/* The other way: the local APIC's TPR has been written. */
void lucid_apic_tpr_changed(struct lucid_vcpu *vcpu)
{
	vcpu->cr8 = vcpu->irq.lapic.regs[LUCID_APIC_TPR >> 4] >> 4 & 15;
	lucid_hw_set_cr8(vcpu, vcpu->cr8);
}

/* Bits that exist; the host must have NX for its own sake. */
#define EFER_KNOWN	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX | EFER_FFXSR)

/**
 * lucid_set_efer - WRMSR to EFER
 * @vcpu: the vCPU
 * @value: what is written; LMA is not the writer's
 * @host: by KVM_SET_MSRS: the guest's CPUID is not asked
 *
 * Return: 0 or LUCID_GP.
 */
int lucid_set_efer(struct lucid_vcpu *vcpu, u64 value, bool host)
{
	const struct lucid_cpuid *c = &vcpu->cpuid;
	u64 old = vcpu->efer;

	if (value & ~(u64)EFER_KNOWN)
		return LUCID_GP;
	if (!boot_cpu_has(X86_FEATURE_FXSR_OPT) && (value & EFER_FFXSR))
		return LUCID_GP;
	if (!host) {
		if (((value & (EFER_LME | EFER_LMA)) && !c->has_long_mode) ||
		    ((value & EFER_NX) && !c->has_nx) ||
		    ((value & EFER_FFXSR) && !c->has_ffxsr))
			return LUCID_GP;
		if ((vcpu->cr0 & X86_CR0_PG) && ((value ^ old) & EFER_LME))
			return LUCID_GP;
	}
	value = (value & ~(u64)EFER_LMA) | (old & EFER_LMA);
	vcpu->efer = value;
	lucid_hw_set_efer(vcpu, value);
	if ((value ^ old) & (EFER_NX | EFER_LME))
		lucid_flush_guest(vcpu);
	return 0;
}

/* ---- debug registers ------------------------------------------------------------- */

#define DR6_WRITABLE	0xe00full	/* BT, BS, BD, B3..B0 */
#define DR6_ONES	0xffff0ff0ull
#define DR7_WRITABLE	0xffff2bffull
#define DR7_ONES	0x400ull
#define DR7_GD		(1ull << 13)	/* general detect: MOV DR raises #DB, */
#define DR6_BD		(1ull << 13)	/* and this says so */

/* DR4 and DR5 are DR6 and DR7; the caller has looked at CR4.DE. */
static void get_dr(struct lucid_vcpu *vcpu, int nr, u64 *value)
{
	if (nr < 4)
		*value = vcpu->dr[nr];
	else
		*value = nr & 1 ? lucid_hw_get_dr7(vcpu) : lucid_hw_get_dr6(vcpu);
}

/**
 * lucid_set_dr - write a debug register
 * @vcpu: the vCPU
 * @nr: 0..7
 * @value: the value
 *
 * Return: 0, or LUCID_GP for a set bit in the upper half of DR6 or DR7.
 */
int lucid_set_dr(struct lucid_vcpu *vcpu, int nr, u64 value)
{
	if (nr < 4) {
		vcpu->dr[nr] = value;
		return 0;
	}
	if (value >> 32)
		return LUCID_GP;
	if (nr & 1)
		lucid_hw_set_dr7(vcpu, (value & DR7_WRITABLE) | DR7_ONES);
	else
		lucid_hw_set_dr6(vcpu, (value & DR6_WRITABLE) | DR6_ONES);
	return 0;
}

/* ---- the instructions -------------------------------------------------------------- */

static u64 get_cr(struct lucid_vcpu *vcpu, unsigned int nr)
{
	switch (nr) {
	case 0: return vcpu->cr0;
	case 2: return lucid_hw_get_cr2(vcpu);
	case 3: return lucid_hw_get_cr3(vcpu);
	case 4: return vcpu->cr4;
	default: return vcpu->cr8;
	}
}

/* MOV to CRn.  Only these three are intercepted. */
static int set_cr(struct lucid_vcpu *vcpu, unsigned int nr, u64 value)
{
	switch (nr) {
	case 0: return lucid_set_cr0(vcpu, value);
	case 4: return lucid_set_cr4(vcpu, value);
	case 8: return lucid_set_cr8(vcpu, value);
	}
	return LUCID_GP;
}

/* The access is done, or was refused with LUCID_GP. */
static int cr_done(struct lucid_vcpu *vcpu, int r, u64 next, u64 old_cr8)
{
	if (r)
		return lucid_raise(vcpu, X86_TRAP_GP, 0);
	lucid_hw_skip(vcpu, next);
	/* A lower priority may let an interrupt through that userspace holds. */
	if (vcpu->cr8 < old_cr8 && !vcpu->vm->irq.in_kernel) {
		vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
		return LUCID_TO_USER;
	}
	return LUCID_REENTER;
}

/**
 * lucid_cr_write - MOV to CRn, CLTS or LMSW, decoded by the CPU
 * @vcpu: the vCPU, at the instruction; privilege has been checked
 * @nr: 0, 4, 8
 * @value: what the register is to become
 * @next: the RIP behind it
 *
 * Context: outside of a stay; may sleep.
 * Return: enum lucid_next.
 */
int lucid_cr_write(struct lucid_vcpu *vcpu, unsigned int nr, u64 value, u64 next)
{
	u64 old_cr8 = vcpu->cr8;

	return cr_done(vcpu, set_cr(vcpu, nr, value), next, old_cr8);
}

/* LMSW and SMSW may have a memory operand of 16 bits. */
static int msw_access(struct lucid_vcpu *vcpu, bool store, u16 *value)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	unsigned int seg;
	u64 linear;
	int r;

	r = lucid_emul_linear(c, seg, lucid_emul_ea(c, &seg), 2, store, &linear);
	if (r == LUCID_EMUL_OK)
		r = lucid_linear_copy(vcpu, linear, value, 2, store);
	return r;
}

/**
 * lucid_cr_access - MOV to and from CRn, CLTS, LMSW, SMSW
 * @vcpu: the vCPU, at the instruction; privilege has been checked by the CPU
 *
 * Context: outside of a stay; may sleep.
 * Return: enum lucid_next or a negative errno.
 */
int lucid_cr_access(struct lucid_vcpu *vcpu)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	const struct lucid_insn *insn = &c->insn;
	u64 value, old_cr8 = vcpu->cr8;
	bool is64 = in_64bit_mode(vcpu);
	u16 msw;
	int r;

	r = lucid_emul_start(vcpu, false);
	if (r != LUCID_REENTER)
		return r == -EFAULT ? lucid_emulation_failed(vcpu) : r;

	if (lucid_insn_is(insn, LUCID_I_MOV_FROM_CR)) {
		value = get_cr(vcpu, lucid_insn_cr(insn));
		vcpu->regs[insn->rm] = is64 ? value : (u32)value;
		r = 0;
	} else if (lucid_insn_is(insn, LUCID_I_MOV_TO_CR)) {
		value = vcpu->regs[insn->rm];
		r = set_cr(vcpu, lucid_insn_cr(insn), is64 ? value : (u32)value);
	} else if (lucid_insn_is(insn, LUCID_I_CLTS)) {
		r = lucid_set_cr0(vcpu, vcpu->cr0 & ~(u64)X86_CR0_TS);
	} else if (lucid_insn_is(insn, LUCID_I_LMSW)) {
		msw = vcpu->regs[insn->rm & 15];
		if (insn->mod != 3) {
			r = msw_access(vcpu, false, &msw);
			if (r != LUCID_EMUL_OK)
				return lucid_emul_fault(vcpu, r);
		}
		/* PE can be set, not cleared (SDM vol. 2A, "LMSW"). */
		value = (vcpu->cr0 & ~0xeull) | (msw & 0xf);
		r = lucid_set_cr0(vcpu, value);
	} else if (lucid_insn_is(insn, LUCID_I_SMSW)) {
		msw = vcpu->cr0;
		if (insn->mod != 3) {
			r = msw_access(vcpu, true, &msw);
			if (r != LUCID_EMUL_OK)
				return lucid_emul_fault(vcpu, r);
		} else if (insn->opsize == 2) {
			memcpy(&vcpu->regs[insn->rm], &msw, 2);
		} else {
			vcpu->regs[insn->rm] = vcpu->cr0;
		}
		r = 0;
	} else {
		return LUCID_REENTER;	/* changed by another vCPU: run what is there now */
	}
	return cr_done(vcpu, r, c->rip + insn->len, old_cr8);
}

/**
 * lucid_dr_access - MOV to and from DRn
 * @vcpu: the vCPU, at the instruction
 *
 * Context: outside of a stay; may sleep.
 * Return: enum lucid_next or a negative errno.
 */
int lucid_dr_access(struct lucid_vcpu *vcpu)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	const struct lucid_insn *insn = &c->insn;
	bool is64 = in_64bit_mode(vcpu), to;
	u64 value, dr7;
	int r;

	r = lucid_emul_start(vcpu, false);
	if (r != LUCID_REENTER)
		return r == -EFAULT ? lucid_emulation_failed(vcpu) : r;
	to = lucid_insn_is(insn, LUCID_I_MOV_TO_DR);
	if (!to && !lucid_insn_is(insn, LUCID_I_MOV_FROM_DR))
		return LUCID_REENTER;

	/* The CPU should have looked (SDM vol. 3C, "Relative Priority of Faults and VM Exits"). */
	if (lucid_hw_get_cpl(vcpu))
		return lucid_raise(vcpu, X86_TRAP_GP, 0);
	/* DR8 and up do not exist; DR4 and DR5 neither with CR4.DE. */
	if (insn->reg > 7 || ((insn->reg & 6) == 4 && (vcpu->cr4 & X86_CR4_DE))) {
		lucid_queue_exception(vcpu, X86_TRAP_UD, LUCID_NO_ERROR);
		return LUCID_REENTER;
	}
	dr7 = lucid_hw_get_dr7(vcpu);
	if (dr7 & DR7_GD) {
		lucid_hw_set_dr7(vcpu, dr7 & ~DR7_GD);
		lucid_hw_set_dr6(vcpu, (lucid_hw_get_dr6(vcpu) & ~0xfull) | DR6_BD);
		lucid_queue_exception(vcpu, X86_TRAP_DB, LUCID_NO_ERROR);
		return LUCID_REENTER;
	}
	if (to) {
		value = vcpu->regs[insn->rm];
		r = lucid_set_dr(vcpu, insn->reg, is64 ? value : (u32)value);
		if (r) {
			lucid_queue_exception(vcpu, X86_TRAP_GP, 0);
			return LUCID_REENTER;
		}
	} else {
		get_dr(vcpu, insn->reg, &value);
		vcpu->regs[insn->rm] = is64 ? value : (u32)value;
	}
	lucid_hw_skip(vcpu, c->rip + insn->len);
	return LUCID_REENTER;
}
