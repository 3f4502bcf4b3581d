// SPDX-License-Identifier: GPL-2.0
/*
 * SVM: the machine, the CPU, a vCPU's control block, and a stay in the guest.
 *
 * What an exit gives back, and who does the rest:
 *
 *   state                                      restored by
 *   -----------------------------------------  ------------------------------------
 *   CR0/3/4, EFER, CS/DS/ES/SS, GDTR and IDTR  VMRUN itself, from VM_HSAVE_PA
 *     with their limits, RIP, RSP, RAX, RFLAGS
 *   FS, GS, TR and LDTR with hidden parts,     VMLOAD of the host area (entry.S); the
 *     KERNEL_GS_BASE, STAR, LSTAR, CSTAR,        TSS limit comes back with TR, so no
 *     SFMASK, SYSENTER_*                         invalidate_tss_limit() is due
 *   other general registers                    entry.S
 *   DR7                                        the exit clears it (all off);
 *                                                hw_breakpoint_restore() if in use
 *   DR0-3                                      the same; loaded only while the guest
 *                                                has a breakpoint on
 *   DR6                                        svm_unload()
 *   CR2                                        nobody: the host reads it only right
 *                                                after its own #PF
 *   XCR0, XSS                                  svm_enter(), around VMRUN
 *   TSC_AUX                                    svm_unload(), before anyone can
 *                                                reach user mode
 *   SPEC_CTRL, PRED_CMD, DEBUGCTL, perf MSRs   intercepted: never the guest's
 *   perf counters                              "host only" counting: amd_pmu_enable_virt
 *   PKRU                                       not offered: CR4.PKE stays 0 in the guest
 *   FPU, SSE, AVX                              x86/fpu.c, at both ends of the stay
 */
#define pr_fmt(fmt) "lucid: " fmt

#include <linux/gfp.h>
#include <linux/hw_breakpoint.h>
#include <linux/mem_encrypt.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>

#include "svm.h"

DEFINE_PER_CPU(struct svm_cpu, svm_cpus);

/* One set for all guests: every port and all but a few MSRs are intercepted. */
#define IOPM_ORDER	2		/* 12 KiB, APM vol. 2, "I/O Permissions Map" */
#define MSRPM_ORDER	1		/* 8 KiB, "MSR Permissions Map" */
static unsigned long svm_iopm, svm_msrpm;

static bool nrips = true;
module_param(nrips, bool, 0444);
MODULE_PARM_DESC(nrips, "take instruction lengths from the CPU where it tells them (0: always decode)");

/*
 * Under an emulator that does not intercept XSETBV (QEMU's TCG) the guest sets
 * the CPU's XCR0 itself: look after each exit.  On silicon nobody need.
 */
static bool svm_emulated;

/* ---- the machine ------------------------------------------------------- */

/**
 * svm_probe - is there SVM, and is it good enough?
 *
 * Return: 0; -ENODEV without SVM or nested paging, -EOPNOTSUPP when firmware
 * switched it off (VM_CR.SVMDIS); one line in the log says which.
 */
int svm_probe(void)
{
	u64 vm_cr;
	u32 edx;

	/* X86_FEATURE_SVM is cleared by the kernel when firmware locks it. */
	if (!(cpuid_ecx(0x80000001) & BIT(2))) {
		pr_err("this CPU has no SVM (in a virtual machine: is nesting enabled?)\n");
		return -ENODEV;
	}
	if (rdmsrl_safe(MSR_VM_CR, &vm_cr) || (vm_cr & SVM_VM_CR_SVM_DIS_MASK)) {
		pr_err("SVM is switched off by firmware (VM_CR.SVMDIS): enable SVM or AMD-V in its setup\n");
		return -EOPNOTSUPP;
	}
	edx = cpuid_edx(SVM_CPUID_FUNC);
	if (!(edx & BIT(0))) {
		pr_err("this CPU has SVM but no nested paging (NPT)\n");
		return -ENODEV;
	}
	lucid_hw_caps = (struct lucid_hw_caps) {
		.name = "SVM",
		.nr_tags = cpuid_ebx(SVM_CPUID_FUNC),
		.flush_by_tag = edx & BIT(6),
		.insn_len = nrips && (edx & BIT(3)),
		.accessed_dirty = true,
	};
	svm_emulated = boot_cpu_has(X86_FEATURE_HYPERVISOR);
	if (lucid_hw_caps.nr_tags < 2) {
		pr_err("this CPU has no ASID to spare\n");
		return -ENODEV;
	}
	return 0;
}

/* Let the guest reach an MSR without an exit. */
static void msrpm_allow(u32 msr, bool read, bool write)
{
	/* Three ranges of 8192 MSRs, two bits each: read, write. */
	static const u32 range[] = { 0, 0xc0000000, 0xc0010000 };
	unsigned long *map = (unsigned long *)svm_msrpm;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(range); i++) {
		if (msr < range[i] || msr >= range[i] + 0x2000)
			continue;
		if (read)
			__clear_bit(i * 0x4000 + 2 * (msr - range[i]), map);
		if (write)
			__clear_bit(i * 0x4000 + 2 * (msr - range[i]) + 1, map);
		return;
	}
}

/* MSRs whose guest value lives in the VMCB: no exit, nothing to switch. */
static const u32 svm_direct_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

int svm_setup(void)
{
	unsigned int i;
	int cpu;

	svm_iopm = __get_free_pages(GFP_KERNEL, IOPM_ORDER);
	svm_msrpm = __get_free_pages(GFP_KERNEL, MSRPM_ORDER);
	if (!svm_iopm || !svm_msrpm)
		goto err;
	memset((void *)svm_iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
	memset((void *)svm_msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (i = 0; i < ARRAY_SIZE(svm_direct_msrs); i++)
		msrpm_allow(svm_direct_msrs[i], true, true);

	for_each_possible_cpu(cpu) {
		struct svm_cpu *sc = per_cpu_ptr(&svm_cpus, cpu);

		sc->hsave = (void *)get_zeroed_page(GFP_KERNEL);
		sc->host = (void *)get_zeroed_page(GFP_KERNEL);
		if (!sc->hsave || !sc->host)
			goto err;
		sc->host_pa = __sme_pa(sc->host);
	}
	return 0;
err:
	svm_unsetup();
	return -ENOMEM;
}

void svm_unsetup(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *sc = per_cpu_ptr(&svm_cpus, cpu);

		free_page((unsigned long)sc->hsave);
		free_page((unsigned long)sc->host);
		sc->hsave = sc->host = NULL;
	}
	free_pages(svm_iopm, IOPM_ORDER);
	free_pages(svm_msrpm, MSRPM_ORDER);
	svm_iopm = svm_msrpm = 0;
}

/**
 * svm_cpu_enable - turn SVM on, on this CPU
 *
 * Context: interrupts off.
 * Return: 0; -EBUSY if EFER.SVME is set already: someone else's.
 */
int svm_cpu_enable(void)
{
	struct svm_cpu *sc = this_cpu_ptr(&svm_cpus);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME) {
		pr_err_ratelimited("CPU %d: EFER.SVME is set: another hypervisor holds SVM (usually kvm_amd, VirtualBox or VMware); stop its guests or unload it: 'lucid info' says which\n",
				   smp_processor_id());
		return -EBUSY;
	}
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, __sme_pa(sc->hsave));
	sc->tsc_aux = 0;
	if (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID))
		rdmsrl(MSR_TSC_AUX, sc->tsc_aux);
	sc->last_vm = 0;
	amd_pmu_enable_virt();
	return 0;
}

/* Context: interrupts off. */
void svm_cpu_disable(void)
{
	u64 efer;

	amd_pmu_disable_virt();
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}

/* The kernel needs to know nothing of SVM in use: see main.c, "crash". */
void svm_acquire(void)
{
}

void svm_release(void)
{
}

/* ---- a vCPU -------------------------------------------------------------- */

int svm_vcpu_create(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = kzalloc(sizeof(*hw), GFP_KERNEL_ACCOUNT);

	if (!hw)
		return -ENOMEM;
	hw->vmcb = (struct vmcb *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!hw->vmcb) {
		kfree(hw);
		return -ENOMEM;
	}
	hw->vmcb_pa = __sme_pa(hw->vmcb);
	vcpu->hw = hw;
	return 0;
}

void svm_vcpu_destroy(struct lucid_vcpu *vcpu)
{
	if (!vcpu->hw)
		return;
	free_page((unsigned long)vcpu->hw->vmcb);
	kfree(vcpu->hw);
	vcpu->hw = NULL;
}

/*
 * Always intercepted.  #AC and #DB: their delivery can be made to raise them
 * again for ever, without the CPU looking at interrupts (CVE-2015-5307,
 * CVE-2015-8104).  #MC must reach the host.  The TASK_SWITCH intercept is not
 * needed: with nested paging the CPU does all of it itself.
 */
static const u8 svm_intercepts[] = {
	SVM_ICPT_CR0_WRITE, SVM_ICPT_CR4_WRITE, SVM_ICPT_CR8_WRITE,
	SVM_ICPT_EXCEPTION + X86_TRAP_DB,
	SVM_ICPT_EXCEPTION + X86_TRAP_AC,
	SVM_ICPT_EXCEPTION + X86_TRAP_MC,
	SVM_ICPT_INTR, SVM_ICPT_NMI, SVM_ICPT_SMI, SVM_ICPT_INIT,
	SVM_ICPT_RDPMC, SVM_ICPT_CPUID, SVM_ICPT_RSM, SVM_ICPT_INVD, SVM_ICPT_HLT,
	SVM_ICPT_INVLPGA, SVM_ICPT_IOIO, SVM_ICPT_MSR,
	SVM_ICPT_SHUTDOWN, SVM_ICPT_VMRUN, SVM_ICPT_VMMCALL, SVM_ICPT_VMLOAD,
	SVM_ICPT_VMSAVE, SVM_ICPT_STGI, SVM_ICPT_CLGI, SVM_ICPT_SKINIT,
	SVM_ICPT_WBINVD, SVM_ICPT_MONITOR, SVM_ICPT_MWAIT, SVM_ICPT_XSETBV,
	SVM_ICPT_RDPRU, SVM_ICPT_MCOMMIT, SVM_ICPT_INVLPGB, SVM_ICPT_TLBSYNC,
};

/**
 * svm_vcpu_reset - the control block of a CPU that was just reset
 * @vcpu: the vCPU
 * @init: INIT, which keeps the MSRs
 *
 * What x86/state.c sets through the contract (segments, CRs) comes after.
 */
void svm_vcpu_reset(struct lucid_vcpu *vcpu, bool init)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	struct vmcb *vmcb = hw->vmcb;
	typeof(vmcb->save.msrs) msrs = vmcb->save.msrs;
	unsigned int i;

	memset(vmcb, 0, sizeof(*vmcb));
	if (init)
		vmcb->save.msrs = msrs;
	hw->injecting = 0;
	hw->nmi_iret = hw->nmi_step = false;

	for (i = 0; i < ARRAY_SIZE(svm_intercepts); i++)
		svm_intercept_set(vcpu, svm_intercepts[i], true);
	vmcb->control.intercepts[SVM_ICPT_DR_ALL / 32] = ~0u;
	vmcb->control.iopm_pa = __sme_set(virt_to_phys((void *)svm_iopm));
	vmcb->control.msrpm_pa = __sme_set(virt_to_phys((void *)svm_msrpm));
	vmcb->control.int_ctl = SVM_V_INTR_MASKING;
	vmcb->control.nested_ctl = SVM_NESTED_PAGING;
	vmcb->control.nested_cr3 = vcpu->vm->mem.root_pa;
	vmcb->control.tsc_offset = vcpu->tsc_offset;
	vmcb->save.g_pat = vcpu->msrs.pat;
	vmcb->save.dr6 = DR6_RESERVED;
	vmcb->save.dr7 = 0x400;
	vmcb->save.rflags = X86_EFLAGS_FIXED;
	svm_cpuid_changed(vcpu);
}

void svm_cpuid_changed(struct lucid_vcpu *vcpu)
{
	bool has_rdtscp = boot_cpu_has(X86_FEATURE_RDTSCP);
	bool has_invpcid = boot_cpu_has(X86_FEATURE_INVPCID);

	/* What the CPU has and the guest has not must raise #UD. */
	svm_intercept_set(vcpu, SVM_ICPT_RDTSCP, has_rdtscp && !vcpu->cpuid.has_rdtscp);
	svm_intercept_set(vcpu, SVM_ICPT_INVPCID, has_invpcid && !vcpu->cpuid.has_invpcid);
}

/* ---- a stay in the guest ------------------------------------------------- */

/**
 * svm_save_host - what VMLOAD is to restore after each exit
 * @vcpu: the vCPU
 *
 * Context: interrupts off, in a stay.
 */
void svm_save_host(struct lucid_vcpu *vcpu)
{
	asm volatile("vmsave %0" : : "a" (this_cpu_read(svm_cpus.host_pa)) : "memory");
}

/* A VMCB is memory: nothing has to be fetched from the CPU of before. */
void svm_arrive(struct lucid_vcpu *vcpu)
{
}

/**
 * svm_load - the CPU is this vCPU's until svm_unload()
 * @vcpu: the vCPU
 *
 * Context: interrupts off.
 */
void svm_load(struct lucid_vcpu *vcpu)
{
	struct svm_cpu *sc = this_cpu_ptr(&svm_cpus);
	int cpu = smp_processor_id();

	svm_save_host(vcpu);
	/* With nothing new, neither state nor event, no entry is refused. */
	if (svm_emulated && (vcpu->events_armed ||
			     vcpu->hw->vmcb->control.clean != SVM_CLEAN_ALL)) {
		memcpy(vcpu->hw->kept, &vcpu->hw->vmcb->save, SVM_KEPT);
		vcpu->hw->kept_valid = true;
	}
	if (vcpu->last_cpu != cpu) {
		/* The other CPU's cached copy is not this one's. */
		vcpu->hw->vmcb->control.clean = 0;
		vcpu->last_cpu = cpu;
	}
	if (sc->last_vm != vcpu->vm->id) {
		/* What another VM taught the branch predictors stays with it. */
		if (sc->last_vm)
			indirect_branch_prediction_barrier();
		sc->last_vm = vcpu->vm->id;
	}
	/* RDPID cannot be intercepted: with it the guest sees what is loaded. */
	vcpu->hw->tsc_aux_loaded = (vcpu->cpuid.has_rdtscp || boot_cpu_has(X86_FEATURE_RDPID)) &&
				    vcpu->msrs.tsc_aux != sc->tsc_aux;
	if (unlikely(vcpu->hw->tsc_aux_loaded))
		wrmsrl(MSR_TSC_AUX, vcpu->msrs.tsc_aux);
}

/* Context: interrupts off, on the CPU of svm_load(). */
void svm_unload(struct lucid_vcpu *vcpu)
{
	const struct vmcb_save *save = &vcpu->hw->vmcb->save;

	/* A task switch sets TS, without an exit. */
	vcpu->cr0 = (vcpu->cr0 & ~(u64)X86_CR0_TS) | (save->cr0 & X86_CR0_TS);
	/* No CPU clears DR6: the host's next #DB would find the guest's bits in it. */
	if (unlikely(save->dr6 != DR6_RESERVED))
		set_debugreg(DR6_RESERVED, 6);
	if (unlikely(vcpu->hw->tsc_aux_loaded))
		wrmsrl(MSR_TSC_AUX, this_cpu_read(svm_cpus.tsc_aux));
	vcpu->hw->tsc_aux_loaded = false;
}

void svm_set_tag(struct lucid_vcpu *vcpu, u32 tag, enum lucid_tlb_flush flush)
{
	struct vmcb *vmcb = vcpu->hw->vmcb;

	if (vmcb->control.asid != tag) {
		vmcb->control.asid = tag;
		svm_dirty(vcpu, SVM_CLEAN_ASID);
	}
	vmcb->control.tlb_ctl = flush == LUCID_TLB_KEEP ? SVM_TLB_NOTHING :
				flush == LUCID_TLB_FLUSH_TAG ? SVM_TLB_FLUSH_ASID :
							       SVM_TLB_FLUSH_ALL;
}

#define DR7_ENABLED	0xffull		/* L0, G0 … L3, G3 */

/* XCR0 and XSS hold the guest's values only while no host code runs. */
static __always_inline bool svm_xcr0_differs(struct lucid_vcpu *vcpu)
{
	return (vcpu->cr4 & X86_CR4_OSXSAVE) && vcpu->fpu.xcr0 != lucid_fpu_host_xcr0();
}

static noinstr void svm_guest(struct lucid_vcpu *vcpu, u64 host_pa)
{
	lucid_guest_state_enter(&vcpu->rested);
	svm_vmrun(vcpu->hw->vmcb_pa, vcpu->regs, host_pa);
	lucid_guest_state_exit();
}

/**
 * svm_enter - VMRUN, once
 * @vcpu: the vCPU
 *
 * Context: interrupts off, between svm_load() and _unload().
 * Return: false if the CPU refused the control block: nothing was flushed,
 * nothing injected, no guest instruction has run.
 */
bool svm_enter(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	struct vmcb *vmcb = hw->vmcb;
	bool xcr0 = svm_xcr0_differs(vcpu);
	bool xss = lucid_fpu_host_xss() && (vcpu->cr4 & X86_CR4_OSXSAVE);
	bool dr = vmcb->save.dr7 & DR7_ENABLED;
	u32 int_ctl = vmcb->control.int_ctl, info;
	u64 int_state = vmcb->control.int_state;

	vmcb->save.rax = vcpu->regs[LUCID_RAX];
	vmcb->save.rsp = vcpu->regs[LUCID_RSP];

	asm volatile("clgi" ::: "memory");
	if (unlikely(dr)) {
		set_debugreg(0, 7);
		set_debugreg(vcpu->dr[0], 0);
		set_debugreg(vcpu->dr[1], 1);
		set_debugreg(vcpu->dr[2], 2);
		set_debugreg(vcpu->dr[3], 3);
		/* QEMU's VMRUN loads DR7 without arming what it says; this does. */
		if (svm_emulated)
			set_debugreg(vmcb->save.dr7, 7);
	}
	if (unlikely(xcr0))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->fpu.xcr0);
	if (unlikely(xss))
		wrmsrl(MSR_IA32_XSS, 0);

	svm_guest(vcpu, this_cpu_read(svm_cpus.host_pa));

	if (unlikely(xss))
		wrmsrl(MSR_IA32_XSS, lucid_fpu_host_xss());
	if (unlikely(svm_emulated) && (vcpu->cr4 & X86_CR4_OSXSAVE)) {
		u64 now = xgetbv(XCR_XFEATURE_ENABLED_MASK);

		if (unlikely(now != vcpu->fpu.xcr0)) {
			vcpu->fpu.xcr0 = now;
			vcpu->fpu.xcr0_moved = true;
		}
		xcr0 = now != lucid_fpu_host_xcr0();
	}
	if (unlikely(xcr0))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, lucid_fpu_host_xcr0());
	if (unlikely(dr) && svm_emulated)
		set_debugreg(0, 7);
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	asm volatile("stgi" ::: "memory");

	if (unlikely(vmcb->control.exit_code == (u64)SVM_EXIT_ERR ||
		     (s32)vmcb->control.exit_code == SVM_EXIT_ERR)) {
		/* Now, before anybody looks at it: see svm_entry_failed(). */
		if (hw->kept_valid)
			memcpy(&vmcb->save, hw->kept, SVM_KEPT);
		/*
		 * QEMU writes these as well.  Without V_INTR_MASKING a guest with
		 * IF clear would keep the host's interrupts out.
		 */
		vmcb->control.int_ctl = int_ctl;
		vmcb->control.int_state = int_state;
		vmcb->control.clean = 0;
		vmcb->control.event_inj = 0;
		hw->injecting = 0;
		vcpu->events_armed = true;
		return false;
	}
	hw->kept_valid = false;
	if (unlikely(vcpu->fpu.xcr0_moved)) {
		vcpu->fpu.xcr0_moved = false;
		lucid_cpuid_update(vcpu);
	}
	vcpu->regs[LUCID_RAX] = vmcb->save.rax;
	vcpu->regs[LUCID_RSP] = vmcb->save.rsp;
	vmcb->control.clean = SVM_CLEAN_ALL;

	info = hw->injecting;
	if (unlikely(info)) {
		lucid_event_delivered(vcpu, info);
		vmcb->control.event_inj = 0;
	}
	info = vmcb->control.exit_int_info;
	if (unlikely(info & SVM_EVENT_VALID))
		lucid_event_cut_short(vcpu, info, vmcb->control.exit_int_error,
				      hw->injecting);
	hw->injecting = 0;

	/* The IRET that ends an NMI has been executed once RIP moves. */
	if (unlikely(hw->nmi_iret) && vmcb->save.rip != hw->nmi_iret_rip) {
		hw->nmi_iret = false;
		vcpu->events.nmi.masked = false;
		if (vcpu->events.nmi.pending)
			vcpu->events_armed = true;
	}
	return true;
}

/* APM vol. 2, "Canonicalization and Consistency Checks", in its order. */
static const char *svm_refused_check(const struct vmcb *vmcb)
{
	const struct vmcb_save *save = &vmcb->save;
	bool long_mode = (save->efer & EFER_LME) && (save->cr0 & X86_CR0_PG);

	if (!(save->efer & EFER_SVME))
		return "EFER.SVME is 0";
	if ((save->cr0 & X86_CR0_NW) && !(save->cr0 & X86_CR0_CD))
		return "CR0.NW without CR0.CD";
	if (save->cr0 >> 32)
		return "CR0 has more than 32 bits";
	if (save->dr6 >> 32 || save->dr7 >> 32)
		return "DR6 or DR7 has more than 32 bits";
	if (long_mode && save->cr3 >> boot_cpu_data.x86_phys_bits)
		return "CR3 is beyond the CPU's physical addresses";
	if (long_mode && !(save->cr4 & X86_CR4_PAE))
		return "long mode without CR4.PAE";
	if (long_mode && !(save->cr0 & X86_CR0_PE))
		return "long mode without CR0.PE";
	if (long_mode && (save->cs.attrib & SVM_SEG_L) && (save->cs.attrib & BIT(10)))
		return "CS has L and D both set";
	if (!vmcb->control.asid)
		return "ASID 0";
	return "a reserved bit of CR4 or EFER, or an event that cannot be injected";
}

/**
 * svm_entry_failed - after a stay that ended with a refused entry: say why
 * @vcpu: the vCPU
 * @words: gets the answer
 * @size: of @words
 *
 * Real CPUs leave the guest's state as it was.  QEMU's writes the host's
 * registers into it: nobody is to see those.
 */
void svm_entry_failed(struct lucid_vcpu *vcpu, char *words, size_t size)
{
	strscpy(words, svm_refused_check(vcpu->hw->vmcb), size);
	/* Not kept: it was refused in the middle of a stay, for what the guest did. */
	if (svm_emulated && !vcpu->hw->kept_valid)
		lucid_vcpu_reset(vcpu, false);
}

/* ---- events ---------------------------------------------------------------- */

static void svm_window(struct lucid_vcpu *vcpu, bool on)
{
	struct vmcb *vmcb = vcpu->hw->vmcb;

	/* A virtual interrupt that is never delivered: the intercept comes first. */
	if (on)
		vmcb->control.int_ctl |= SVM_V_IRQ | SVM_V_INTR_PRIO(0xf) | SVM_V_IGN_TPR;
	else
		vmcb->control.int_ctl &= ~(SVM_V_IRQ | SVM_V_INTR_PRIO_MASK | SVM_V_IGN_TPR);
	svm_intercept_set(vcpu, SVM_ICPT_VINTR, on);
	svm_dirty(vcpu, SVM_CLEAN_INTR);
}

/**
 * svm_interrupt_window - exit as soon as the guest can take an interrupt
 * @vcpu: the vCPU
 * @on: ask for it, or no longer
 *
 * Context: any; vcpu->lock.
 */
void svm_interrupt_window(struct lucid_vcpu *vcpu, bool on)
{
	if (on != !!(vcpu->hw->vmcb->control.int_ctl & SVM_V_IRQ))
		svm_window(vcpu, on);
}

u32 svm_injecting(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->injecting;
}

/**
 * svm_put_event - inject it with the next entry
 * @vcpu: the vCPU
 * @info: LUCID_EVENT_
 * @error: the error code, if it has one
 */
void svm_put_event(struct lucid_vcpu *vcpu, u32 info, u32 error)
{
	vcpu->hw->vmcb->control.event_inj = info | SVM_EVENT_VALID;
	vcpu->hw->vmcb->control.event_inj_error = error;
	vcpu->hw->injecting = info | SVM_EVENT_VALID;
	if ((info & SVM_EVENT_TYPE) == SVM_EVENT_NMI && !vcpu->events.nmi.masked) {
		vcpu->events.nmi.masked = true;
		svm_intercept_set(vcpu, SVM_ICPT_IRET, true);
	}
}

/* An NMI waits for the guest's IRET, or for the end of a shadow. */
static void svm_step_to_nmi(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;

	if (vcpu->events.nmi.masked && !hw->nmi_iret)
		return;		/* the IRET intercept is on */
	if (hw->nmi_step)
		return;
	/* One step, past the IRET or out of the shadow; #DB is intercepted. */
	hw->nmi_step = true;
	hw->nmi_step_iret = hw->nmi_iret;
	hw->nmi_step_tf = hw->vmcb->save.rflags & X86_EFLAGS_TF;
	hw->vmcb->save.rflags |= X86_EFLAGS_TF | X86_EFLAGS_RF;
}

static void svm_cancel_step(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;

	if (likely(!hw->nmi_step))
		return;
	hw->nmi_step = false;
	if (!hw->nmi_step_tf)
		hw->vmcb->save.rflags &= ~(u64)X86_EFLAGS_TF;
}

/**
 * svm_nmi_window - after the choice of the next event: what do NMIs wait for?
 * @vcpu: the vCPU
 *
 * Context: interrupts off.
 */
void svm_nmi_window(struct lucid_vcpu *vcpu)
{
	bool waiting = vcpu->events.nmi.pending;

	if (waiting && !vcpu->hw->injecting) {
		svm_step_to_nmi(vcpu);
	} else if (unlikely(vcpu->hw->injecting)) {
		/* The TF of our step must not reach the guest's stack. */
		svm_cancel_step(vcpu);
		/* The NMI is next: an interrupt of the host's ends the guest right there. */
		if (waiting)
			smp_send_reschedule(smp_processor_id());
	}
}

bool svm_nmi_masked(struct lucid_vcpu *vcpu)
{
	return vcpu->events.nmi.masked;
}

/** svm_nmi_allowed - could the guest take an NMI at this very instruction? */
bool svm_nmi_allowed(struct lucid_vcpu *vcpu)
{
	return !vcpu->events.nmi.masked && !svm_get_shadow(vcpu);
}

/** svm_set_nmi_masked - between NMI and IRET, or not (KVM_SET_VCPU_EVENTS) */
void svm_set_nmi_masked(struct lucid_vcpu *vcpu, bool masked)
{
	vcpu->events.nmi.masked = masked;
	vcpu->hw->nmi_iret = false;
	svm_intercept_set(vcpu, SVM_ICPT_IRET, masked);
}
