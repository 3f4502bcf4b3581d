// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's registers in the control block: the contract's get and set.
 * None of these sleeps; all want vcpu->lock and no stay in the guest, or to
 * be called by the vCPU's own thread during one.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>

#include "svm.h"

u64 svm_get_rip(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->save.rip;
}

u64 svm_get_linear_rip(struct lucid_vcpu *vcpu)
{
	const struct vmcb_save *save = &vcpu->hw->vmcb->save;

	if ((vcpu->efer & EFER_LMA) && (save->cs.attrib & SVM_SEG_L))
		return save->rip;
	return (u32)(save->cs.base + save->rip);
}

void svm_set_rip(struct lucid_vcpu *vcpu, u64 rip)
{
	vcpu->hw->vmcb->save.rip = rip;
}

u64 svm_get_rflags(struct lucid_vcpu *vcpu)
{
	u64 rflags = vcpu->hw->vmcb->save.rflags;

	/* While an NMI is stepped towards, TF is ours. */
	if (vcpu->hw->nmi_step && !vcpu->hw->nmi_step_tf)
		rflags &= ~(u64)X86_EFLAGS_TF;
	return rflags;
}

void svm_set_rflags(struct lucid_vcpu *vcpu, u64 rflags)
{
	vcpu->hw->nmi_step_tf = rflags & X86_EFLAGS_TF;
	if (vcpu->hw->nmi_step)
		rflags |= X86_EFLAGS_TF;
	vcpu->hw->vmcb->save.rflags = rflags | X86_EFLAGS_FIXED;
}

bool svm_get_shadow(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->control.int_state & SVM_INTERRUPT_SHADOW;
}

void svm_set_shadow(struct lucid_vcpu *vcpu, bool shadow)
{
	if (shadow)
		vcpu->hw->vmcb->control.int_state |= SVM_INTERRUPT_SHADOW;
	else
		vcpu->hw->vmcb->control.int_state &= ~(u64)SVM_INTERRUPT_SHADOW;
}

int svm_get_cpl(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->save.cpl;
}

bool svm_in_64bit(struct lucid_vcpu *vcpu)
{
	const struct vmcb_save *save = &vcpu->hw->vmcb->save;

	return (save->efer & EFER_LMA) && (save->cs.attrib & SVM_SEG_L);
}

/* ---- segments ---------------------------------------------------------- */

static struct vmcb_seg *svm_seg(struct lucid_vcpu *vcpu, int seg)
{
	struct vmcb_save *save = &vcpu->hw->vmcb->save;

	switch (seg) {
	case LUCID_SEG_ES: return &save->es;
	case LUCID_SEG_CS: return &save->cs;
	case LUCID_SEG_SS: return &save->ss;
	case LUCID_SEG_DS: return &save->ds;
	case LUCID_SEG_FS: return &save->fs;
	case LUCID_SEG_GS: return &save->gs;
	case LUCID_SEG_TR: return &save->tr;
	default:	   return &save->ldtr;
	}
}

/* attrib: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
void svm_get_seg(struct lucid_vcpu *vcpu, int seg, struct kvm_segment *s)
{
	const struct vmcb_seg *v = svm_seg(vcpu, seg);

	*s = (struct kvm_segment) {
		.base = v->base,
		.limit = v->limit,
		.selector = v->selector,
		.type = v->attrib & 0xf,
		.s = (v->attrib >> 4) & 1,
		.dpl = (v->attrib >> 5) & 3,
		.present = (v->attrib >> 7) & 1,
		.avl = (v->attrib >> 8) & 1,
		.l = !!(v->attrib & SVM_SEG_L),
		.db = (v->attrib >> 10) & 1,
		/* Some CPUs do not keep G of data segments: the limit tells. */
		.g = v->limit > 0xfffff,
	};
	s->unusable = !s->present;

	switch (seg) {
	case LUCID_SEG_TR:
		s->type |= 2;		/* a loaded TSS is busy */
		break;
	case LUCID_SEG_DS:
	case LUCID_SEG_ES:
	case LUCID_SEG_FS:
	case LUCID_SEG_GS:
		if (!s->unusable)
			s->type |= 1;	/* a loaded segment was accessed */
		break;
	case LUCID_SEG_SS:
		/* The CPL lives apart; a null SS of 64-bit mode has no attributes. */
		if (s->unusable)
			s->db = 0;
		s->dpl = vcpu->hw->vmcb->save.cpl;
		break;
	}
}

void svm_set_seg(struct lucid_vcpu *vcpu, int seg, const struct kvm_segment *s)
{
	struct vmcb_seg *v = svm_seg(vcpu, seg);

	v->base = s->base;
	v->limit = s->limit;
	v->selector = s->selector;
	v->attrib = (s->type & 0xf) | (s->s & 1) << 4 | (s->dpl & 3) << 5 |
		    ((s->present & 1) && !s->unusable) << 7 | (s->avl & 1) << 8 |
		    (s->l & 1) << 9 | (s->db & 1) << 10 | (s->g & 1) << 11;
	if (seg == LUCID_SEG_SS)
		vcpu->hw->vmcb->save.cpl = s->dpl & 3;
	svm_dirty(vcpu, SVM_CLEAN_SEG);
}

void svm_get_dt(struct lucid_vcpu *vcpu, bool idt, struct kvm_dtable *d)
{
	const struct vmcb_seg *v = idt ? &vcpu->hw->vmcb->save.idtr : &vcpu->hw->vmcb->save.gdtr;

	*d = (struct kvm_dtable) { .base = v->base, .limit = v->limit };
}

void svm_set_dt(struct lucid_vcpu *vcpu, bool idt, const struct kvm_dtable *d)
{
	struct vmcb_seg *v = idt ? &vcpu->hw->vmcb->save.idtr : &vcpu->hw->vmcb->save.gdtr;

	v->base = d->base;
	v->limit = d->limit;
	svm_dirty(vcpu, SVM_CLEAN_DT);
}

/* ---- control registers --------------------------------------------------- */

void svm_set_cr0(struct lucid_vcpu *vcpu, u64 cr0)
{
	/*
	 * Caching stays on: the memory is the host's, and CR0.CD = 0 with NW = 1
	 * would be refused at VMRUN.  The guest reads back what it wrote.
	 */
	u64 hw_cr0 = (cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;

	vcpu->hw->vmcb->save.cr0 = hw_cr0;
	svm_intercept_set(vcpu, SVM_ICPT_CR0_READ, hw_cr0 != cr0);
	svm_dirty(vcpu, SVM_CLEAN_CRX);
}

void svm_set_cr4(struct lucid_vcpu *vcpu, u64 cr4)
{
	/* Without MCE a machine check in the guest would shut the CPU down. */
	u64 hw_cr4 = cr4 | (__read_cr4() & X86_CR4_MCE);

	vcpu->hw->vmcb->save.cr4 = hw_cr4;
	svm_intercept_set(vcpu, SVM_ICPT_CR4_READ, hw_cr4 != cr4);
	svm_dirty(vcpu, SVM_CLEAN_CRX);
}

void svm_set_efer(struct lucid_vcpu *vcpu, u64 efer)
{
	/*
	 * VMRUN wants SVME (APM vol. 2, "Canonicalization and Consistency
	 * Checks").  LME has no effect before LMA; left out until then, since
	 * QEMU's CPU hangs in a VMEXIT with LME = 1, PG = 0, PAE = 0.
	 */
	if (!(efer & EFER_LMA))
		efer &= ~(u64)EFER_LME;
	vcpu->hw->vmcb->save.efer = efer | EFER_SVME;
	svm_dirty(vcpu, SVM_CLEAN_CRX);
}

u64 svm_get_cr2(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->save.cr2;
}

void svm_set_cr2(struct lucid_vcpu *vcpu, u64 cr2)
{
	vcpu->hw->vmcb->save.cr2 = cr2;
	svm_dirty(vcpu, SVM_CLEAN_CR2);
}

u64 svm_get_cr3(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->save.cr3;
}

void svm_set_cr3(struct lucid_vcpu *vcpu, u64 cr3)
{
	vcpu->hw->vmcb->save.cr3 = cr3;
	svm_dirty(vcpu, SVM_CLEAN_CRX);
}

/* Under nested paging they are read from memory on every walk. */
void svm_set_pdptes(struct lucid_vcpu *vcpu, const u64 *pdpte)
{
}

u64 svm_get_dr6(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->save.dr6;
}

void svm_set_dr6(struct lucid_vcpu *vcpu, u64 dr6)
{
	vcpu->hw->vmcb->save.dr6 = dr6;
	svm_dirty(vcpu, SVM_CLEAN_DRX);
}

u64 svm_get_dr7(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->vmcb->save.dr7;
}

void svm_set_dr7(struct lucid_vcpu *vcpu, u64 dr7)
{
	vcpu->hw->vmcb->save.dr7 = dr7;
	svm_dirty(vcpu, SVM_CLEAN_DRX);
}

void svm_set_cr8(struct lucid_vcpu *vcpu, u64 cr8)
{
	struct vmcb_control *control = &vcpu->hw->vmcb->control;

	if ((control->int_ctl & SVM_V_TPR) == cr8)
		return;
	control->int_ctl = (control->int_ctl & ~SVM_V_TPR) | cr8;
	svm_dirty(vcpu, SVM_CLEAN_INTR);
}

void svm_set_tsc_offset(struct lucid_vcpu *vcpu, u64 offset)
{
	vcpu->hw->vmcb->control.tsc_offset = offset;
	svm_dirty(vcpu, SVM_CLEAN_INTERCEPTS);
}

void svm_set_pat(struct lucid_vcpu *vcpu, u64 pat)
{
	vcpu->hw->vmcb->save.g_pat = pat;
	svm_dirty(vcpu, SVM_CLEAN_NP);
}

/* ---- MSRs in the control block --------------------------------------------- */

static u64 *msr_field(struct lucid_vcpu *vcpu, u32 index)
{
	struct vmcb_save *save = &vcpu->hw->vmcb->save;

	switch (index) {
	case MSR_FS_BASE:		return &save->fs.base;
	case MSR_GS_BASE:		return &save->gs.base;
	case MSR_KERNEL_GS_BASE:	return &save->kernel_gs_base;
	case MSR_STAR:			return &save->star;
	case MSR_LSTAR:			return &save->lstar;
	case MSR_CSTAR:			return &save->cstar;
	case MSR_SYSCALL_MASK:		return &save->sfmask;
	case MSR_IA32_SYSENTER_CS:	return &save->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:	return &save->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:	return &save->sysenter_eip;
	}
	return NULL;
}

bool svm_get_msr(struct lucid_vcpu *vcpu, u32 index, u64 *value)
{
	u64 *msr = msr_field(vcpu, index);

	if (msr)
		*value = *msr;
	return msr;
}

bool svm_set_msr(struct lucid_vcpu *vcpu, u32 index, u64 value)
{
	u64 *msr = msr_field(vcpu, index);

	if (msr)
		*msr = value;
	return msr;
}
