// SPDX-License-Identifier: GPL-2.0
/*
 * The register ioctls: GET and SET of REGS, SREGS, SREGS2, VCPU_EVENTS,
 * DEBUGREGS; and reset.  A value that the hardware would refuse at entry is
 * refused here with -EINVAL, and nothing has changed then.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../lucid.h"
#include "decode.h"

/* struct kvm_regs begins with these, in its own order. */
static const u8 kvm_order[16] = {
	LUCID_RAX, LUCID_RBX, LUCID_RCX, LUCID_RDX, LUCID_RSI, LUCID_RDI, LUCID_RSP, LUCID_RBP,
	LUCID_R8, LUCID_R9, LUCID_R10, LUCID_R11, LUCID_R12, LUCID_R13, LUCID_R14, LUCID_R15,
};

void lucid_get_regs(struct lucid_vcpu *vcpu, struct kvm_regs *r)
{
	__u64 *to = &r->rax;
	int i;

	for (i = 0; i < 16; i++)
		to[i] = vcpu->regs[kvm_order[i]];
	r->rip = lucid_hw_get_rip(vcpu);
	r->rflags = lucid_hw_get_rflags(vcpu);
}

void lucid_set_regs(struct lucid_vcpu *vcpu, const struct kvm_regs *r)
{
	const __u64 *from = &r->rax;
	int i;

	for (i = 0; i < 16; i++)
		vcpu->regs[kvm_order[i]] = from[i];
	lucid_hw_set_rip(vcpu, r->rip);
	lucid_hw_set_rflags(vcpu, r->rflags);
	vcpu->events.exception.pending = false;
}

/* ---- SREGS --------------------------------------------------------------------------- */

/* The segments of kvm_sregs and kvm_sregs2, which begin alike. */
static const struct { u8 seg; u8 offset; } sreg_segs[] = {
	{ LUCID_SEG_CS, offsetof(struct kvm_sregs, cs) },
	{ LUCID_SEG_DS, offsetof(struct kvm_sregs, ds) },
	{ LUCID_SEG_ES, offsetof(struct kvm_sregs, es) },
	{ LUCID_SEG_FS, offsetof(struct kvm_sregs, fs) },
	{ LUCID_SEG_GS, offsetof(struct kvm_sregs, gs) },
	{ LUCID_SEG_SS, offsetof(struct kvm_sregs, ss) },
	{ LUCID_SEG_TR, offsetof(struct kvm_sregs, tr) },
	{ LUCID_SEG_LDTR, offsetof(struct kvm_sregs, ldt) },
};
static_assert(offsetof(struct kvm_sregs, apic_base) == offsetof(struct kvm_sregs2, apic_base));

static void get_common(struct lucid_vcpu *vcpu, struct kvm_sregs *s)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sreg_segs); i++)
		lucid_hw_get_seg(vcpu, sreg_segs[i].seg, (void *)s + sreg_segs[i].offset);
	lucid_hw_get_dt(vcpu, false, &s->gdt);
	lucid_hw_get_dt(vcpu, true, &s->idt);
	s->cr0 = vcpu->cr0;
	s->cr2 = lucid_hw_get_cr2(vcpu);
	s->cr3 = lucid_hw_get_cr3(vcpu);
	s->cr4 = vcpu->cr4;
	s->cr8 = vcpu->cr8;
	s->efer = vcpu->efer;
	s->apic_base = vcpu->apic_base;
}

static bool sregs_valid(struct lucid_vcpu *vcpu, const struct kvm_sregs *s)
{
	u64 known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX |
		    (boot_cpu_has(X86_FEATURE_FXSR_OPT) ? EFER_FFXSR : 0);

	if (s->efer & ~known || s->cr4 & vcpu->cpuid.cr4_reserved || !lucid_cr0_valid(s->cr0))
		return false;
	if ((s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & EFER_LMA))
			return false;
		if (s->cr3 & ~((1ull << vcpu->cpuid.maxphyaddr) - 1) & ~(1ull << 63))
			return false;
		if (s->cs.l && s->cs.db)
			return false;	/* VMRUN refuses it */
	} else if ((s->efer & EFER_LMA) || s->cs.l) {
		return false;
	}
	return true;
}

static bool pae_paging(const struct lucid_vcpu *vcpu)
{
	return (vcpu->cr0 & X86_CR0_PG) && (vcpu->cr4 & X86_CR4_PAE) && !(vcpu->efer & EFER_LMA);
}

static int set_common(struct lucid_vcpu *vcpu, const struct kvm_sregs *s)
{
	unsigned int i;

	if (!sregs_valid(vcpu, s))
		return -EINVAL;
	if (lucid_msr_set(vcpu, MSR_IA32_APICBASE, s->apic_base, true))
		return -EINVAL;

	lucid_hw_set_dt(vcpu, false, &s->gdt);
	lucid_hw_set_dt(vcpu, true, &s->idt);
	lucid_hw_set_cr2(vcpu, s->cr2);
	lucid_hw_set_cr3(vcpu, s->cr3);
	vcpu->cr8 = s->cr8 & 15;
	lucid_hw_set_cr8(vcpu, vcpu->cr8);
	vcpu->efer = s->efer;
	lucid_hw_set_efer(vcpu, s->efer);
	vcpu->cr0 = s->cr0 | X86_CR0_ET;
	lucid_hw_set_cr0(vcpu, vcpu->cr0);
	vcpu->cr4 = s->cr4;
	lucid_hw_set_cr4(vcpu, s->cr4);
	for (i = 0; i < ARRAY_SIZE(sreg_segs); i++)
		lucid_hw_set_seg(vcpu, sreg_segs[i].seg, (void *)s + sreg_segs[i].offset);
	/* What is wrong with them the guest finds out, as with KVM. */
	if (pae_paging(vcpu))
		lucid_load_pdptes(vcpu);
	lucid_cpuid_update(vcpu);
	lucid_flush_guest(vcpu);
	return 0;
}

void lucid_get_sregs(struct lucid_vcpu *vcpu, struct kvm_sregs *s)
{
	get_common(vcpu, s);
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
	if (vcpu->events.interrupt.injected && !vcpu->events.interrupt.soft)
		set_bit(vcpu->events.interrupt.vector, (unsigned long *)s->interrupt_bitmap);
}

int lucid_set_sregs(struct lucid_vcpu *vcpu, const struct kvm_sregs *s)
{
	unsigned long vector;
	int r = set_common(vcpu, s);

	if (r)
		return r;
	vector = find_first_bit((const unsigned long *)s->interrupt_bitmap, KVM_NR_INTERRUPTS);
	if (vector < KVM_NR_INTERRUPTS) {
		vcpu->events.interrupt.injected = true;
		vcpu->events.interrupt.soft = false;
		vcpu->events.interrupt.vector = vector;
		vcpu->events_armed = true;
	}
	return 0;
}

void lucid_get_sregs2(struct lucid_vcpu *vcpu, struct kvm_sregs2 *s)
{
	struct kvm_sregs common = {};

	get_common(vcpu, &common);
	memset(s, 0, sizeof(*s));
	memcpy(s, &common, offsetof(struct kvm_sregs, interrupt_bitmap));
	/* The CPU keeps no copy of them under nested paging: memory is the truth. */
	if (pae_paging(vcpu) &&
	    !lucid_mem_read(vcpu->vm, common.cr3 & 0xffffffe0, s->pdptrs, sizeof(s->pdptrs)))
		s->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
}

int lucid_set_sregs2(struct lucid_vcpu *vcpu, const struct kvm_sregs2 *s)
{
	struct kvm_sregs common = {};
	int r;

	if (s->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if ((s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) &&
	    !((s->cr0 & X86_CR0_PG) && (s->cr4 & X86_CR4_PAE) && !(s->efer & EFER_LMA)))
		return -EINVAL;
	memcpy(&common, s, offsetof(struct kvm_sregs, interrupt_bitmap));
	r = set_common(vcpu, &common);
	if (!r && (s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID))
		lucid_hw_set_pdptes(vcpu, s->pdptrs);
	return r;
}

/* ---- events ------------------------------------------------------------------------------ */

void lucid_get_events(struct lucid_vcpu *vcpu, struct kvm_vcpu_events *e)
{
	const struct lucid_events *ev = &vcpu->events;

	memset(e, 0, sizeof(*e));
	/* Without KVM_CAP_EXCEPTION_PAYLOAD one raised is told as one under way. */
	e->exception.injected = ev->exception.injected || ev->exception.pending;
	e->exception.nr = ev->exception.vector;
	e->exception.has_error_code = ev->exception.has_error;
	e->exception.pending = ev->exception.pending;
	e->exception.error_code = ev->exception.error;
	e->interrupt.injected = ev->interrupt.injected && !ev->interrupt.soft;
	e->interrupt.nr = ev->interrupt.vector;
	if (lucid_hw_get_shadow(vcpu))
		e->interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI;
	e->nmi.injected = ev->nmi.injected;
	e->nmi.pending = ev->nmi.pending;
	e->nmi.masked = lucid_hw_nmi_masked(vcpu);
	e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
}

int lucid_set_events(struct lucid_vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	struct lucid_events *ev = &vcpu->events;
	const u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			  KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

	if (e->flags & ~known)
		return -EINVAL;
	/* There is no SMM here; that it is off may be said. */
	if ((e->flags & KVM_VCPUEVENT_VALID_SMM) &&
	    (e->smi.smm || e->smi.pending || e->smi.smm_inside_nmi || e->smi.latched_init))
		return -EINVAL;
	if (e->exception.injected &&
	    (e->exception.nr > 31 || e->exception.nr == X86_TRAP_NMI))
		return -EINVAL;

	ev->exception.injected = e->exception.injected;
	ev->exception.pending = false;
	ev->exception.vector = e->exception.nr;
	ev->exception.has_error = e->exception.has_error_code;
	ev->exception.error = e->exception.error_code;
	ev->interrupt.injected = e->interrupt.injected;
	ev->interrupt.vector = e->interrupt.nr;
	ev->interrupt.soft = e->interrupt.soft;
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
		lucid_hw_set_shadow(vcpu, e->interrupt.shadow);
	ev->nmi.injected = e->nmi.injected;
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		ev->nmi.pending = min_t(u8, e->nmi.pending, 2);
		atomic_set(&vcpu->nmi_queued, 0);
	}
	lucid_hw_set_nmi_masked(vcpu, e->nmi.masked);
	vcpu->events_armed = true;
	return 0;
}

/* ---- debug registers ----------------------------------------------------------------------- */

void lucid_get_debugregs(struct lucid_vcpu *vcpu, struct kvm_debugregs *d)
{
	memset(d, 0, sizeof(*d));
	memcpy(d->db, vcpu->dr, sizeof(vcpu->dr));
	d->dr6 = lucid_hw_get_dr6(vcpu);
	d->dr7 = lucid_hw_get_dr7(vcpu);
}

int lucid_set_debugregs(struct lucid_vcpu *vcpu, const struct kvm_debugregs *d)
{
	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	memcpy(vcpu->dr, d->db, sizeof(vcpu->dr));
	lucid_set_dr(vcpu, 6, d->dr6);
	lucid_set_dr(vcpu, 7, d->dr7);
	return 0;
}

/* ---- reset ------------------------------------------------------------------------------------ */

/**
 * lucid_vcpu_reset - a CPU that was just switched on, or got an INIT
 * @vcpu: the vCPU
 * @init: INIT: the FPU, XCR0, the MSRs, CR0's CD and NW and the APIC's mode stay;
 *	  not EFER, nor the bases of FS and GS
 *
 * SDM vol. 3A, "Processor State After Reset"; APM vol. 2, "Initial Processor
 * State".  Tags, counters and CPUID stay.
 * Context: vcpu->lock, or before anybody knows the vCPU.
 */
void lucid_vcpu_reset(struct lucid_vcpu *vcpu, bool init)
{
	struct kvm_segment seg = { .limit = 0xffff, .type = 3, .s = 1, .present = 1 };
	const struct kvm_dtable dt = { .limit = 0xffff };
	static const u8 data[] = { LUCID_SEG_DS, LUCID_SEG_ES, LUCID_SEG_FS,
				   LUCID_SEG_GS, LUCID_SEG_SS };
	unsigned int i;

	memset(&vcpu->events, 0, sizeof(vcpu->events));
	memset(vcpu->regs, 0, sizeof(vcpu->regs));
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	vcpu->io.complete = LUCID_COMPLETE_NONE;
	/* With the APICs in the kernel the others wait for INIT and SIPI. */
	vcpu->mp_state = vcpu->vm->irq.in_kernel && vcpu->id != vcpu->vm->irq.boot_id ?
			 KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
	if (!init) {
		vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			(vcpu->id == vcpu->vm->irq.boot_id ? MSR_IA32_APICBASE_BSP : 0);
		lucid_msr_reset(vcpu);
		lucid_fpu_reset(vcpu);
	}
	lucid_irq_vcpu_reset(vcpu, init);
	lucid_hw_vcpu_reset(vcpu, init);

	for (i = 0; i < ARRAY_SIZE(data); i++)
		lucid_hw_set_seg(vcpu, data[i], &seg);
	seg.type = 0xb;
	seg.selector = 0xf000;
	seg.base = 0xffff0000;
	lucid_hw_set_seg(vcpu, LUCID_SEG_CS, &seg);
	seg = (struct kvm_segment) { .limit = 0xffff, .type = 0xb, .present = 1 };
	lucid_hw_set_seg(vcpu, LUCID_SEG_TR, &seg);
	seg.type = 2;
	lucid_hw_set_seg(vcpu, LUCID_SEG_LDTR, &seg);
	lucid_hw_set_dt(vcpu, false, &dt);
	lucid_hw_set_dt(vcpu, true, &dt);

	vcpu->cr0 = X86_CR0_ET |
		    ((init ? vcpu->cr0 : ~0ul) & (X86_CR0_NW | X86_CR0_CD));
	vcpu->cr4 = vcpu->efer = vcpu->cr8 = 0;
	lucid_hw_set_efer(vcpu, 0);
	lucid_hw_set_cr0(vcpu, vcpu->cr0);
	lucid_hw_set_cr4(vcpu, 0);
	lucid_hw_set_cr8(vcpu, 0);
	lucid_hw_set_rip(vcpu, 0xfff0);
	lucid_hw_set_rflags(vcpu, X86_EFLAGS_FIXED);
	/* family, model, stepping; without CPUID family 6, as KVM */
	vcpu->regs[LUCID_RDX] = vcpu->cpuid.leaf1 ? vcpu->cpuid.leaf1->eax : 0x600;
	lucid_cpuid_update(vcpu);	/* CR4, APIC_BASE, XCR0 */
	lucid_flush_guest(vcpu);
}

/**
 * lucid_vcpu_start - SIPI: real mode at @vector * 4096
 * @vcpu: the vCPU, after an INIT
 * @vector: of the SIPI
 */
void lucid_vcpu_start(struct lucid_vcpu *vcpu, u8 vector)
{
	struct kvm_segment cs;

	lucid_hw_get_seg(vcpu, LUCID_SEG_CS, &cs);
	cs.selector = vector << 8;
	cs.base = (u32)vector << 12;
	lucid_hw_set_seg(vcpu, LUCID_SEG_CS, &cs);
	lucid_hw_set_rip(vcpu, 0);
}
