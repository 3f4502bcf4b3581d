// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's registers in the VMCS: the contract's get and set.
 * All want vcpu->lock; they wait for an IPI if the VMCS is loaded on another CPU
 * (vmx.c), so interrupts are on, or it is a stay, where it never is.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>

#include "vmx.h"

u64 vmx_get_rip(struct lucid_vcpu *vcpu)
{
	return vmx_get(vcpu->hw, VMX_RIP);
}

u64 vmx_get_linear_rip(struct lucid_vcpu *vcpu)
{
	u64 rip = vmx_get(vcpu->hw, VMX_RIP);

	if (vmx_in_64bit(vcpu))
		return rip;
	return (u32)(vmx_get(vcpu->hw, VMX_CS_BASE) + rip);
}

void vmx_set_rip(struct lucid_vcpu *vcpu, u64 rip)
{
	vmx_set(vcpu->hw, VMX_RIP, rip);
}

u64 vmx_get_rflags(struct lucid_vcpu *vcpu)
{
	return vmx_get(vcpu->hw, VMX_RFLAGS);
}

void vmx_set_rflags(struct lucid_vcpu *vcpu, u64 rflags)
{
	vmx_set(vcpu->hw, VMX_RFLAGS, rflags | X86_EFLAGS_FIXED);
}

#define VMX_SHADOWS	((u64)GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)

bool vmx_get_shadow(struct lucid_vcpu *vcpu)
{
	return vmx_get(vcpu->hw, VMX_SHADOW) & VMX_SHADOWS;
}

/* STI's is refused at entry while RFLAGS.IF is 0; MOV SS's does the same work. */
void vmx_set_shadow(struct lucid_vcpu *vcpu, bool shadow)
{
	u64 old = vmx_get(vcpu->hw, VMX_SHADOW);

	if (shadow != !!(old & VMX_SHADOWS))
		vmx_set(vcpu->hw, VMX_SHADOW, (old & ~VMX_SHADOWS) |
			(shadow ? GUEST_INTR_STATE_MOV_SS : 0));
}

/* SS.DPL is the CPL in every mode (SDM vol. 3C, "Guest Register State"). */
int vmx_get_cpl(struct lucid_vcpu *vcpu)
{
	return VMX_AR_DPL(vmx_get(vcpu->hw, VMX_SS_AR));
}

bool vmx_in_64bit(struct lucid_vcpu *vcpu)
{
	return (vcpu->efer & EFER_LMA) && (vmx_get(vcpu->hw, VMX_CS_AR) & VMX_AR_L_MASK);
}

/* ---- segments ---------------------------------------------------------- */

/* Access rights: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16 */
void vmx_get_seg(struct lucid_vcpu *vcpu, int seg, struct kvm_segment *s)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	u32 ar = vmx_get(hw, vmx_seg(seg, VMX_AR));

	*s = (struct kvm_segment) {
		.base = vmx_get(hw, vmx_seg(seg, VMX_BASE)),
		.limit = vmx_get(hw, vmx_seg(seg, VMX_LIMIT)),
		.selector = vmx_get(hw, vmx_seg(seg, VMX_SEL)),
		.type = ar & VMX_AR_TYPE_MASK,
		.s = !!(ar & VMX_AR_S_MASK),
		.dpl = VMX_AR_DPL(ar),
		.avl = (ar >> 12) & 1,
		.l = !!(ar & VMX_AR_L_MASK),
		.db = !!(ar & VMX_AR_DB_MASK),
		.g = !!(ar & VMX_AR_G_MASK),
		.unusable = !!(ar & VMX_AR_UNUSABLE_MASK),
	};
	/* An unusable segment may have kept P. */
	s->present = !s->unusable;
}

void vmx_set_seg(struct lucid_vcpu *vcpu, int seg, const struct kvm_segment *s)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	u32 ar = (s->type & 0xf) | (s->s & 1) << 4 | (s->dpl & 3) << 5 | (s->present & 1) << 7 |
		 (s->avl & 1) << 12 | (s->l & 1) << 13 | (s->db & 1) << 14 | (s->g & 1) << 15;

	/*
	 * An entry wants a loaded segment accessed and a loaded TSS busy; on AMD's
	 * CPUs, and in KVM, who sets it need not think of that.
	 */
	if (seg != LUCID_SEG_LDTR)
		ar |= VMX_AR_TYPE_ACCESSES_MASK;
	if (seg == LUCID_SEG_TR)
		ar |= 2;
	/* TR is never unusable: without a TSS it is refused, as it should be. */
	if (seg != LUCID_SEG_TR && (s->unusable || !s->present))
		ar |= VMX_AR_UNUSABLE_MASK;
	vmx_set(hw, vmx_seg(seg, VMX_BASE), s->base);
	vmx_set(hw, vmx_seg(seg, VMX_LIMIT), s->limit);
	vmx_set(hw, vmx_seg(seg, VMX_SEL), s->selector);
	vmx_set(hw, vmx_seg(seg, VMX_AR), ar);
}

void vmx_get_dt(struct lucid_vcpu *vcpu, bool idt, struct kvm_dtable *d)
{
	*d = (struct kvm_dtable) {
		.base = vmx_get(vcpu->hw, idt ? VMX_IDTR_BASE : VMX_GDTR_BASE),
		.limit = vmx_get(vcpu->hw, idt ? VMX_IDTR_LIMIT : VMX_GDTR_LIMIT),
	};
}

void vmx_set_dt(struct lucid_vcpu *vcpu, bool idt, const struct kvm_dtable *d)
{
	vmx_set(vcpu->hw, idt ? VMX_IDTR_BASE : VMX_GDTR_BASE, d->base);
	vmx_set(vcpu->hw, idt ? VMX_IDTR_LIMIT : VMX_GDTR_LIMIT, d->limit);
}

/* ---- control registers --------------------------------------------------- */

/*
 * All bits are the host's: what would change one exits, reads give the shadow.
 * Caching stays on, the memory is the host's; NE and ET must be 1, PE and PG are
 * free for an unrestricted guest (SDM vol. 3C, "Restrictions on VMX Operation").
 */
void vmx_set_cr0(struct lucid_vcpu *vcpu, u64 cr0)
{
	u64 hw_cr0 = (cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET | X86_CR0_NE;

	vmx_set(vcpu->hw, VMX_CR0, hw_cr0);
	vmx_set(vcpu->hw, VMX_CR0_SHADOW, cr0);
}

void vmx_set_cr4(struct lucid_vcpu *vcpu, u64 cr4)
{
	u64 hw_cr4 = cr4 | vmx.cr4_fixed0;	/* VMXE */

	/* Without MCE a machine check in the guest would shut the CPU down. */
	hw_cr4 |= __read_cr4() & X86_CR4_MCE;
	vmx_set(vcpu->hw, VMX_CR4, hw_cr4);
	vmx_set(vcpu->hw, VMX_CR4_SHADOW, cr4);
}

void vmx_set_efer(struct lucid_vcpu *vcpu, u64 efer)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;

	/* LMA is the entry control's, and LME must not differ while paging is on. */
	vmx_set(hw, VMX_EFER, efer);
	vmx_control(hw, VMX_ENTRY, VM_ENTRY_IA32E_MODE, efer & EFER_LMA);
	hw->syscall_stale = true;
}

u64 vmx_get_cr2(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->cr2;
}

void vmx_set_cr2(struct lucid_vcpu *vcpu, u64 cr2)
{
	vcpu->hw->cr2 = cr2;
}

u64 vmx_get_cr3(struct lucid_vcpu *vcpu)
{
	return vmx_get(vcpu->hw, VMX_CR3);
}

void vmx_set_cr3(struct lucid_vcpu *vcpu, u64 cr3)
{
	/* Bit 63 is a hint of MOV to CR3, not a bit of CR3. */
	vmx_set(vcpu->hw, VMX_CR3, cr3 & ~BIT_ULL(63));
}

/* PAE paging uses these, not memory (SDM vol. 3C, "Page-Directory-Pointer-Table Entries"). */
void vmx_set_pdptes(struct lucid_vcpu *vcpu, const u64 *pdpte)
{
	int i;

	for (i = 0; i < 4; i++)
		vmx_set(vcpu->hw, VMX_PDPTE0 + i, pdpte[i]);
}

u64 vmx_get_dr6(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->dr6;
}

void vmx_set_dr6(struct lucid_vcpu *vcpu, u64 dr6)
{
	vcpu->hw->dr6 = dr6;
}

u64 vmx_get_dr7(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->field[VMX_DR7];
}

void vmx_set_dr7(struct lucid_vcpu *vcpu, u64 dr7)
{
	vmx_set(vcpu->hw, VMX_DR7, dr7);
}

/* VTPR: what reads of CR8 give without an exit. */
void vmx_set_cr8(struct lucid_vcpu *vcpu, u64 cr8)
{
	if (vcpu->hw->virtual_apic)
		WRITE_ONCE(*(u32 *)(vcpu->hw->virtual_apic + LUCID_APIC_TPR), cr8 << 4);
}

void vmx_set_tsc_offset(struct lucid_vcpu *vcpu, u64 offset)
{
	vmx_set(vcpu->hw, VMX_TSC_OFFSET, offset);
}

void vmx_set_pat(struct lucid_vcpu *vcpu, u64 pat)
{
	vmx_set(vcpu->hw, VMX_PAT, pat);
}

/* ---- MSRs in the VMCS or in the CPU ------------------------------------------ */

static int msr_field(u32 index)
{
	switch (index) {
	case MSR_FS_BASE:		return VMX_FS_BASE;
	case MSR_GS_BASE:		return VMX_GS_BASE;
	case MSR_IA32_SYSENTER_CS:	return VMX_SYSENTER_CS;
	case MSR_IA32_SYSENTER_ESP:	return VMX_SYSENTER_ESP;
	case MSR_IA32_SYSENTER_EIP:	return VMX_SYSENTER_EIP;
	}
	return -1;
}

static u64 *msr_copy(struct lucid_hw_vcpu *hw, u32 index)
{
	switch (index) {
	case MSR_STAR:			return &hw->msr[VMX_STAR];
	case MSR_LSTAR:			return &hw->msr[VMX_LSTAR];
	case MSR_SYSCALL_MASK:		return &hw->msr[VMX_SFMASK];
	case MSR_CSTAR:			return &hw->cstar;
	case MSR_KERNEL_GS_BASE:	return &hw->kernel_gs_base;
	}
	return NULL;
}

bool vmx_get_msr(struct lucid_vcpu *vcpu, u32 index, u64 *value)
{
	u64 *copy = msr_copy(vcpu->hw, index);
	int f = msr_field(index);

	if (copy)
		*value = *copy;
	else if (f >= 0)
		*value = vmx_get(vcpu->hw, f);
	return copy || f >= 0;
}

bool vmx_set_msr(struct lucid_vcpu *vcpu, u32 index, u64 value)
{
	u64 *copy = msr_copy(vcpu->hw, index);
	int f = msr_field(index);

	if (copy) {
		/* The upper half is reserved here, ignored on AMD's CPUs. */
		*copy = index == MSR_SYSCALL_MASK ? (u32)value : value;
		vcpu->hw->syscall_stale = true;
	} else if (f >= 0) {
		vmx_set(vcpu->hw, f, value);
	}
	return copy || f >= 0;
}
