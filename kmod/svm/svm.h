/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUCID_SVM_H
#define LUCID_SVM_H

#include <asm/svm.h>		/* SVM_EXIT_ codes: part of the kernel's user ABI */

#include "../lucid.h"

/* <asm/svm.h> has a VMCB of its own; ours is the one to read. */
#define vmcb lucid_vmcb
#define vmcb_seg lucid_vmcb_seg
#define vmcb_control lucid_vmcb_control
#define vmcb_save lucid_vmcb_save
#include "vmcb.h"

/* What of the save area VMRUN and an exit touch. */
#define SVM_KEPT	offsetof(struct vmcb_save, rsvd_278)

struct lucid_hw_vcpu {
	struct vmcb *vmcb;
	u64 vmcb_pa;
	bool kept_valid;	/* no entry since svm_load() made @kept */
	u8 kept[SVM_KEPT];	/* under an emulator: see svm_entry_failed() */
	u32 injecting;		/* event_inj of the entry under way, 0: none */
	bool tsc_aux_loaded;	/* the guest's, for this stay */
	bool nmi_iret;		/* the guest is at the IRET that ends its NMI */
	u64 nmi_iret_rip;
	bool nmi_step;		/* single-stepping past that IRET */
	bool nmi_step_iret;	/* ... which was there when the step began */
	bool nmi_step_tf;	/* the guest's own TF meanwhile */
};

/* Per CPU, filled when virtualization is turned on there. */
struct svm_cpu {
	void *hsave;		/* VM_HSAVE_PA: VMRUN's own, format unknown to us */
	void *host;		/* VMSAVE/VMLOAD of host state around a stay */
	u64 host_pa;
	u64 tsc_aux;		/* the host's */
	u64 last_vm;		/* id of the VM that ran here last, 0: none */
};

DECLARE_PER_CPU(struct svm_cpu, svm_cpus);

void svm_vmrun(u64 vmcb_pa, u64 *regs, u64 host_pa);

static inline void svm_dirty(struct lucid_vcpu *vcpu, enum svm_clean what)
{
	vcpu->hw->vmcb->control.clean &= ~(1u << what);
}

static inline void svm_intercept_set(struct lucid_vcpu *vcpu, unsigned int i, bool on)
{
	u32 *word = &vcpu->hw->vmcb->control.intercepts[i / 32];
	u32 bit = 1u << (i % 32);

	if (!(*word & bit) == !on)
		return;
	*word ^= bit;
	svm_dirty(vcpu, SVM_CLEAN_INTERCEPTS);
}

#endif
