// SPDX-License-Identifier: GPL-2.0
/*
 * VMX: the machine, the CPU, a vCPU's VMCS, and a stay in the guest.
 *
 * What an exit gives back, and who does the rest (SDM vol. 3C, "Loading Host
 * State"):
 *
 *   state                                      restored by
 *   -----------------------------------------  ------------------------------------
 *   CR0/3/4, EFER, PAT, CS/SS/TR, RIP, RSP,    the exit, from the VMCS; CR3, CR4 and
 *     RFLAGS, bases of FS, GS, TR, GDTR, IDTR,   FS's base are compared with the
 *     SYSENTER_*                                 VMCS's copy: vmx_save_host()
 *   GDTR and TSS limits                        the exit makes them 0xffff and 0x67:
 *                                                vmx_unload(); IDTR's stays 0xffff,
 *                                                the table has all 256 vectors
 *   LDTR, DS, ES, FS, GS selectors             vmx_unload(), where they are not null
 *   KERNEL_GS_BASE                             vmx_load/unload(): exchanged, as guests
 *                                                change it by SWAPGS
 *   STAR, LSTAR, SFMASK (CSTAR: Intel's CPUs   the same, for guests with EFER.SCE;
 *     do not use it)                             guests' writes are intercepted
 *   TSC_AUX                                    vmx_unload()
 *   general registers                          entry.S
 *   DR7                                        the exit: all off;
 *                                                hw_breakpoint_restore() if in use
 *   DR0-3                                      the same; loaded only while the guest
 *                                                has a breakpoint on
 *   DR6                                        nobody: #DB is intercepted, and an exit
 *                                                for it changes no DR6
 *   DEBUGCTL                                   the exit clears it: vmx_enter()
 *   CR2                                        nobody: the host reads it only right
 *                                                after its own #PF
 *   XCR0                                       vmx_enter(), around the entry
 *   XSS                                        XSAVES and XRSTORS are #UD in the guest
 *   SPEC_CTRL, PRED_CMD, perf MSRs             intercepted: never the guest's
 *   PERF_GLOBAL_CTRL, PEBS                     vmx_enter(), as perf says
 *   PKRU                                       not offered: CR4.PKE stays 0 in the guest
 *   FPU, SSE, AVX                              x86/fpu.c, at both ends of the stay
 *   NMI                                        an NMI that ended the guest is taken by
 *                                                INT 2 before anything unblocks them
 *
 * Loaded and current.  A VMCS is loaded on at most one CPU, which may keep parts
 * of it to itself until VMCLEAR; it is current while it is the one that VMREAD
 * works on there.  hw->cpu says where it is loaded; that CPU alone, interrupts
 * off, loads and clears it (others ask by IPI).  When it is cleared all its
 * fields are saved: nobody who holds vcpu->lock has to wait for a CPU
 * with VMX to read or write a register.
 */
#define pr_fmt(fmt) "lucid: " fmt

#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/hw_breakpoint.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/cpu_entry_area.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/xcr.h>
#include <asm/fsgsbase.h>
#include <asm/mmu_context.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>
#include <asm/processor.h>
#include <asm/reboot.h>
#include <asm/tlbflush.h>
#include <asm/tsc.h>

#include "vmx.h"

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpus);
struct vmx_settings vmx __ro_after_init;
static unsigned long vmx_msr_bitmap;

static bool unsafe;
module_param(unsafe, bool, 0444);
MODULE_PARM_DESC(unsafe, "run on a CPU with L1TF and no way to flush its L1D (guests can read host memory)");

static unsigned int ple_gap = 128, ple_window = 4096;
module_param(ple_gap, uint, 0444);
MODULE_PARM_DESC(ple_gap, "VMX: PAUSEs closer than this many cycles are one loop (0: never exit for them)");
module_param(ple_window, uint, 0444);
MODULE_PARM_DESC(ple_window, "VMX: a loop of PAUSEs exits after this many cycles");

/*
 * No stay in the guest is longer than this, whatever the host's interrupts do:
 * the VMX-preemption timer counts from the same value at every entry, which
 * costs nothing.  A host with a tick never sees it fire.
 */
#define VMX_LONGEST_STAY_MS	10

/* ---- instructions -------------------------------------------------------- */

static bool vmx_on(u64 pa)
{
	asm goto("1: vmxon %[pa]\n\t"
		 "jbe %l[fail]\n\t"
		 _ASM_EXTABLE(1b, %l[fail])
		 : : [pa] "m" (pa) : "memory", "cc" : fail);
	return true;
fail:
	return false;
}

static void vmx_off(void)
{
	asm volatile("vmxoff" : : : "memory", "cc");
}

static void vmx_clear(u64 pa)
{
	asm volatile("vmclear %0" : : "m" (pa) : "memory", "cc");
}

static void vmx_ptrld(u64 pa)
{
	asm volatile("vmptrld %0" : : "m" (pa) : "memory", "cc");
}

static void vmx_invept(u64 type, u64 eptp)
{
	struct { u64 eptp, zero; } d = { eptp, 0 };

	asm volatile("invept %0, %1" : : "m" (d), "r" (type) : "memory", "cc");
}

static void vmx_invvpid(u64 type, u16 vpid)
{
	struct { u64 vpid, linear; } d = { vpid, 0 };

	asm volatile("invvpid %0, %1" : : "m" (d), "r" (type) : "memory", "cc");
}

/* ---- the machine ------------------------------------------------------- */

/* Controls: what we cannot do without, by name, and what is used if it is there. */
enum { VMX_CTL_PIN, VMX_CTL_PROC, VMX_CTL_PROC2, VMX_CTL_EXIT, VMX_CTL_ENTRY, VMX_CTL_NR };

static const struct {
	u8 ctl;
	u32 bit;
	const char *name;
} vmx_required[] = {
	{ VMX_CTL_PIN, PIN_BASED_EXT_INTR_MASK, "external-interrupt exiting" },
	{ VMX_CTL_PIN, PIN_BASED_NMI_EXITING, "NMI exiting" },
	{ VMX_CTL_PIN, PIN_BASED_VIRTUAL_NMIS, "virtual NMIs" },
	{ VMX_CTL_PROC, CPU_BASED_INTR_WINDOW_EXITING, "interrupt-window exiting" },
	{ VMX_CTL_PROC, CPU_BASED_NMI_WINDOW_EXITING, "NMI-window exiting" },
	{ VMX_CTL_PROC, CPU_BASED_USE_TSC_OFFSETTING, "TSC offsetting" },
	{ VMX_CTL_PROC, CPU_BASED_HLT_EXITING, "HLT exiting" },
	{ VMX_CTL_PROC, CPU_BASED_MWAIT_EXITING, "MWAIT exiting" },
	{ VMX_CTL_PROC, CPU_BASED_MONITOR_EXITING, "MONITOR exiting" },
	{ VMX_CTL_PROC, CPU_BASED_RDPMC_EXITING, "RDPMC exiting" },
	{ VMX_CTL_PROC, CPU_BASED_CR8_LOAD_EXITING, "CR8-load exiting" },
	{ VMX_CTL_PROC, CPU_BASED_MOV_DR_EXITING, "MOV-DR exiting" },
	{ VMX_CTL_PROC, CPU_BASED_UNCOND_IO_EXITING, "unconditional I/O exiting" },
	{ VMX_CTL_PROC, CPU_BASED_USE_MSR_BITMAPS, "MSR bitmaps" },
	{ VMX_CTL_PROC, CPU_BASED_ACTIVATE_SECONDARY_CONTROLS, "secondary controls" },
	{ VMX_CTL_PROC2, SECONDARY_EXEC_ENABLE_EPT, "EPT" },
	{ VMX_CTL_PROC2, SECONDARY_EXEC_UNRESTRICTED_GUEST, "unrestricted guest" },
	{ VMX_CTL_PROC2, SECONDARY_EXEC_ENABLE_VPID, "VPID" },
	{ VMX_CTL_EXIT, VM_EXIT_HOST_ADDR_SPACE_SIZE, "64-bit host" },
	{ VMX_CTL_EXIT, VM_EXIT_LOAD_IA32_EFER, "load IA32_EFER at exit" },
	{ VMX_CTL_EXIT, VM_EXIT_LOAD_IA32_PAT, "load IA32_PAT at exit" },
	{ VMX_CTL_ENTRY, VM_ENTRY_LOAD_DEBUG_CONTROLS, "load debug controls at entry" },
	{ VMX_CTL_ENTRY, VM_ENTRY_IA32E_MODE, "64-bit guests" },
	{ VMX_CTL_ENTRY, VM_ENTRY_LOAD_IA32_EFER, "load IA32_EFER at entry" },
	{ VMX_CTL_ENTRY, VM_ENTRY_LOAD_IA32_PAT, "load IA32_PAT at entry" },
};

static const u32 vmx_wanted[VMX_CTL_NR] = {
	[VMX_CTL_PIN] = PIN_BASED_VMX_PREEMPTION_TIMER,
	[VMX_CTL_PROC] = CPU_BASED_TPR_SHADOW,
	[VMX_CTL_PROC2] = SECONDARY_EXEC_WBINVD_EXITING | SECONDARY_EXEC_PAUSE_LOOP_EXITING |
		      SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID,
	[VMX_CTL_EXIT] = VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL,
	[VMX_CTL_ENTRY] = VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL,
};

static const char * const vmx_ctl_names[VMX_CTL_NR] = {
	"pin-based controls", "processor-based controls", "secondary controls",
	"VM-exit controls", "VM-entry controls",
};

/* SDM vol. 3D, appendix A.3 to A.5: bits 31:0 must be 1, bits 63:32 may be. */
static int vmx_read_controls(u32 *ctl)
{
	static const u32 msr[VMX_CTL_NR] = {
		MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_PROCBASED_CTLS,
		MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_ENTRY_CTLS,
	};
	static const u32 true_msr[VMX_CTL_NR] = {
		MSR_IA32_VMX_TRUE_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
		MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_TRUE_EXIT_CTLS,
		MSR_IA32_VMX_TRUE_ENTRY_CTLS,
	};
	u64 basic, cap[VMX_CTL_NR];
	unsigned int i, missing = 0;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	for (i = 0; i < VMX_CTL_NR; i++) {
		cap[i] = 0;
		rdmsrl_safe(basic & BIT_ULL(55) ? true_msr[i] : msr[i], &cap[i]);
		ctl[i] = vmx_wanted[i];
	}
	for (i = 0; i < ARRAY_SIZE(vmx_required); i++) {
		ctl[vmx_required[i].ctl] |= vmx_required[i].bit;
		if (vmx_required[i].bit & (u32)(cap[vmx_required[i].ctl] >> 32))
			continue;
		pr_err("this CPU's VMX has no %s (%s may set %08x)\n", vmx_required[i].name,
		       vmx_ctl_names[vmx_required[i].ctl], (u32)(cap[vmx_required[i].ctl] >> 32));
		missing++;
	}
	for (i = 0; i < VMX_CTL_NR; i++)
		ctl[i] = (ctl[i] & (u32)(cap[i] >> 32)) | (u32)cap[i];
	/* With EPT these need no exit (and may be off, whatever the old MSR says). */
	ctl[VMX_CTL_PROC] &= ~(CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |
			   CPU_BASED_INVLPG_EXITING | CPU_BASED_INTR_WINDOW_EXITING |
			   CPU_BASED_NMI_WINDOW_EXITING);
	ctl[VMX_CTL_ENTRY] &= ~VM_ENTRY_IA32E_MODE;
	return missing ? -EOPNOTSUPP : 0;
}

/* L1TF: what lies in the L1D can be read by a guest, unless it is flushed first. */
static int vmx_check_l1tf(void)
{
	if (!boot_cpu_has_bug(X86_BUG_L1TF) || boot_cpu_has(X86_FEATURE_FLUSH_L1D) ||
	    cpu_mitigations_off() || unsafe)
		return 0;
	pr_err("this CPU has L1TF and no way to flush its L1D cache (microcode?): guests could read all memory; unsafe=1 allows that\n");
	return -EOPNOTSUPP;
}

/* What perf wants switched: its global control by the VMCS, if that can, the rest by hand. */
static void vmx_probe_perf(void)
{
	struct perf_guest_switch_msr *msr;
	bool listed = false;
	int nr = 0, i;

	msr = perf_guest_get_msrs(&nr, NULL);
	for (i = 0; i < nr; i++)
		listed |= msr[i].msr == MSR_CORE_PERF_GLOBAL_CTRL;
	vmx.perf = nr;
	vmx.perf_global_ctrl = listed && (vmx.exit & VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL) &&
			       (vmx.entry & VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL);
	if (!vmx.perf_global_ctrl) {
		vmx.exit &= ~VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL;
		vmx.entry &= ~VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL;
	}
}

/**
 * vmx_probe - is there VMX, and is it good enough?
 *
 * Return: 0; -ENODEV without VMX, -EOPNOTSUPP when firmware switched it off
 * (IA32_FEATURE_CONTROL) or it lacks something; the log says what.
 */
int vmx_probe(void)
{
	const u64 enabled = FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;
	u32 ctl[VMX_CTL_NR];
	u64 basic, misc, feat;
	int r;

	if (!(cpuid_ecx(1) & BIT(5))) {
		pr_err("this CPU has neither SVM nor VMX (in a virtual machine: is nesting enabled?)\n");
		return -ENODEV;
	}
	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &feat) || (feat & enabled) != enabled) {
		pr_err("VMX is switched off by firmware (IA32_FEATURE_CONTROL): enable VT-x in its setup\n");
		return -EOPNOTSUPP;
	}
#ifdef X86_FEATURE_FRED
	if (cpu_feature_enabled(X86_FEATURE_FRED)) {
		pr_err("the kernel uses FRED, which this version cannot switch: boot with fred=off\n");
		return -EOPNOTSUPP;
	}
#endif
	r = vmx_read_controls(ctl);
	if (r)
		return r;
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	rdmsrl(MSR_IA32_VMX_MISC, misc);
	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, vmx.ept_vpid);
	if (!(vmx.ept_vpid & VMX_EPT_PAGE_WALK_4_BIT) || !(vmx.ept_vpid & VMX_EPTP_WB_BIT) ||
	    !(vmx.ept_vpid & VMX_EPT_INVEPT_BIT) || !(vmx.ept_vpid & VMX_EPT_EXTENT_GLOBAL_BIT) ||
	    !(vmx.ept_vpid & VMX_EPT_2MB_PAGE_BIT) ||
	    !((vmx.ept_vpid >> 32) & VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT)) {
		pr_err("this CPU's EPT lacks 4 levels, write-back tables, 2M pages, INVEPT or INVVPID (it has %016llx)\n",
		       vmx.ept_vpid);
		return -EOPNOTSUPP;
	}
	r = vmx_check_l1tf();
	if (r)
		return r;

	vmx.revision = basic & 0x7fffffff;
	vmx.pin = ctl[VMX_CTL_PIN];
	vmx.proc = ctl[VMX_CTL_PROC];
	vmx.proc2 = ctl[VMX_CTL_PROC2];
	vmx.exit = ctl[VMX_CTL_EXIT];
	vmx.entry = ctl[VMX_CTL_ENTRY];
	if (!ple_gap)
		vmx.proc2 &= ~SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	vmx.proc2_optional = vmx.proc2 &
			     (SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID);
	vmx.proc2 &= ~vmx.proc2_optional;
	vmx.tpr_shadow = vmx.proc & CPU_BASED_TPR_SHADOW;
	if (!vmx.tpr_shadow)
		vmx.proc |= CPU_BASED_CR8_STORE_EXITING;
	vmx_probe_perf();
	/*
	 * A CPU with five levels may take wider addresses in the MSR, which guests
	 * write, than WRGSBASE does while the host uses four.
	 */
	vmx.gs_by_instruction = boot_cpu_has(X86_FEATURE_FSGSBASE) &&
				(!(cpuid_ecx(7) & BIT(16)) || pgtable_l5_enabled());
	vmx.zero_len_event = misc & VMX_MISC_ZERO_LEN_INS;
	vmx.longest_stay = min_t(u64, (u64)tsc_khz * VMX_LONGEST_STAY_MS >>
				      (misc & 0x1f), U32_MAX);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED1, vmx.cr0_fixed1);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, vmx.cr4_fixed0);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, vmx.cr4_fixed1);
	/* Tables are WB memory, four levels; A and D are kept where the CPU can. */
	vmx.eptp_bits = 6 | 3 << 3 | (vmx.ept_vpid & VMX_EPT_AD_BIT ? BIT(6) : 0);

	lucid_hw_caps = (struct lucid_hw_caps) {
		.name = "VMX",
		.nr_tags = VMX_NR_VPIDS,
		.flush_by_tag = true,
		.root_tagged = true,
		.kvm_excluded = true,
		.insn_len = true,
		.accessed_dirty = vmx.ept_vpid & VMX_EPT_AD_BIT,
		/* A guest could make the CPU's caches disagree: erratum, CVE-2018-12207. */
		.exec_4k = boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off(),
	};
	return 0;
}

/* MSRs whose guest value is in the VMCS or in the CPU: no exit. */
static const u32 vmx_direct_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* SDM vol. 3C, "MSR-Bitmap Address": reads of low, of high MSRs, writes of them. */
static void msr_bitmap_allow(u32 msr)
{
	unsigned long *map = (unsigned long *)vmx_msr_bitmap;
	u32 bit = (msr & 0x1fff) + (msr >= 0xc0000000 ? 1024 * 8 : 0);

	__clear_bit(bit, map);
	__clear_bit(bit + 2048 * 8, map);
}

int vmx_setup(void)
{
	unsigned int i;
	int cpu;

	vmx_msr_bitmap = get_zeroed_page(GFP_KERNEL);
	if (!vmx_msr_bitmap)
		goto err;
	memset((void *)vmx_msr_bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(vmx_direct_msrs); i++)
		msr_bitmap_allow(vmx_direct_msrs[i]);
	for_each_possible_cpu(cpu) {
		struct vmx_cpu *vc = per_cpu_ptr(&vmx_cpus, cpu);

		INIT_LIST_HEAD(&vc->loaded);
		vc->vmxon = (void *)get_zeroed_page(GFP_KERNEL);
		if (!vc->vmxon)
			goto err;
		vc->vmxon->revision = vmx.revision;
	}
	return 0;
err:
	vmx_unsetup();
	return -ENOMEM;
}

void vmx_unsetup(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *vc = per_cpu_ptr(&vmx_cpus, cpu);

		free_page((unsigned long)vc->vmxon);
		vc->vmxon = NULL;
	}
	free_page(vmx_msr_bitmap);
	vmx_msr_bitmap = 0;
}

/* ---- loaded and current --------------------------------------------------- */

#define VMX_GUEST_MASK	(~0ull >> (64 - VMX_NR_GUEST))
#define VMX_ALL_EXIT	((1u << VMX_NR_EXIT) - 1)

/* Context: interrupts off. */
static void vmx_make_current(struct lucid_hw_vcpu *hw)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);

	if (vc->current_vmcs == hw)
		return;
	if (hw->cpu < 0) {
		/* In the list first: a crash in between is to clear it too. */
		list_add(&hw->link, &vc->loaded);
		hw->launched = false;
		hw->host_valid = false;
		/* A new one is made ready by this (SDM vol. 3C, "Initializing a VMCS"). */
		vmx_clear(hw->vmcs_pa);
		WRITE_ONCE(hw->cpu, smp_processor_id());
	}
	vmx_ptrld(hw->vmcs_pa);
	vc->current_vmcs = hw;
}

/* Copy all of it and clear it.  Context: interrupts off, on the CPU that has it. */
static void vmx_evict_here(struct lucid_hw_vcpu *hw)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);
	struct lucid_hw_vcpu *before = vc->current_vmcs;
	unsigned int i;

	vmx_make_current(hw);
	for (i = 0; i < VMX_NR_FIELDS; i++)
		hw->saved[i] = vmread(vmx_encoding[i]);
	for (i = 0; i < VMX_NR_EXIT; i++)
		hw->saved_exit[i] = vmread(vmx_exit_encoding[i]);
	vmx_clear(hw->vmcs_pa);
	list_del(&hw->link);
	vc->current_vmcs = NULL;
	if (before && before != hw)
		vmx_make_current(before);
	/* From here on it may be loaded elsewhere. */
	smp_store_release(&hw->cpu, -1);
}

/* By IPI: it may have been evicted meanwhile. */
static void vmx_evict_ipi(void *arg)
{
	struct lucid_hw_vcpu *hw = arg;

	if (hw->cpu == smp_processor_id())
		vmx_evict_here(hw);
}

/*
 * Off every CPU but this one.  Context: vcpu->lock; preemption off, interrupts
 * on (it waits for an IPI).
 */
static void vmx_evict_elsewhere(struct lucid_hw_vcpu *hw)
{
	int cpu = smp_load_acquire(&hw->cpu);

	if (cpu >= 0 && cpu != smp_processor_id())
		smp_call_function_single(cpu, vmx_evict_ipi, hw, 1);
}

/*
 * Make it current here, and interrupts off.  False: there is no VMX on this CPU
 * (it is going down); then all fields have been saved.  Inside a stay it is always
 * current, and outside interrupts are on.
 */
static bool vmx_borrow(struct lucid_hw_vcpu *hw, unsigned long *flags)
{
	for (;;) {
		int cpu;

		local_irq_save(*flags);
		cpu = smp_load_acquire(&hw->cpu);
		if (cpu == smp_processor_id() ||
		    (cpu < 0 && this_cpu_read(lucid_cpu_enabled))) {
			vmx_make_current(hw);
			return true;
		}
		if (cpu < 0)
			return false;
		local_irq_restore(*flags);
		smp_call_function_single(cpu, vmx_evict_ipi, hw, 1);
	}
}

/**
 * vmx_fetch - a field that has no good copy
 * @hw: the vCPU's
 * @f: the field
 *
 * Context: vcpu->lock; in a stay, or with interrupts on.
 */
u64 vmx_fetch(struct lucid_hw_vcpu *hw, enum vmx_field f)
{
	unsigned long flags;

	hw->field[f] = vmx_borrow(hw, &flags) ? vmread(vmx_encoding[f]) : hw->saved[f];
	hw->have |= BIT_ULL(f);
	local_irq_restore(flags);
	return hw->field[f];
}

u64 vmx_fetch_exit(struct lucid_hw_vcpu *hw, enum vmx_exit_field f)
{
	unsigned long flags;

	hw->exit[f] = vmx_borrow(hw, &flags) ? vmread(vmx_exit_encoding[f]) : hw->saved_exit[f];
	hw->exit_have |= BIT(f);
	local_irq_restore(flags);
	return hw->exit[f];
}

/* ---- a CPU ------------------------------------------------------------------ */

/*
 * The kernel crashes, or stops its CPUs by NMI: leave VMX, or INIT would not
 * reach them and a crash kernel would find their caches in its way.
 */
static void vmx_emergency(void)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);
	struct lucid_hw_vcpu *hw;

	if (!vc->on)
		return;
	vc->on = false;
	list_for_each_entry(hw, &vc->loaded, link)
		vmx_clear(hw->vmcs_pa);
	vmx_off();
	cr4_clear_bits(X86_CR4_VMXE);
}

/* There is one slot for it, which KVM takes when it is loaded: main.c sees to that. */
void vmx_acquire(void)
{
	cpu_emergency_register_virt_callback(vmx_emergency);
}

void vmx_release(void)
{
	cpu_emergency_unregister_virt_callback(vmx_emergency);
}

/**
 * vmx_cpu_enable - turn VMX on, on this CPU
 *
 * Context: interrupts off.
 * Return: 0; -EBUSY if CR4.VMXE is set already: someone else's; -EIO.
 */
int vmx_cpu_enable(void)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);

	if (__read_cr4() & X86_CR4_VMXE) {
		pr_err_ratelimited("CPU %d: CR4.VMXE is set: another hypervisor holds VMX (usually kvm_intel, VirtualBox or VMware); stop its guests or unload it: 'lucid info' says which\n",
				   smp_processor_id());
		return -EBUSY;
	}
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	if (!vmx_on(__pa(vc->vmxon))) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		pr_err_ratelimited("CPU %d refuses VMXON\n", smp_processor_id());
		return -EIO;
	}
	vc->tsc_aux = 0;
	if (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID))
		rdmsrl(MSR_TSC_AUX, vc->tsc_aux);
	rdmsrl(MSR_STAR, vc->syscall[VMX_STAR]);
	rdmsrl(MSR_LSTAR, vc->syscall[VMX_LSTAR]);
	rdmsrl(MSR_SYSCALL_MASK, vc->syscall[VMX_SFMASK]);
	memcpy(vc->syscall_now, vc->syscall, sizeof(vc->syscall));
	rdmsrl(MSR_IA32_SYSENTER_ESP, vc->sysenter_esp);
	vc->last_vm = 0;
	vc->current_vmcs = NULL;
	vc->on = true;
	return 0;
}

/* Context: interrupts off. */
void vmx_cpu_disable(void)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);
	struct lucid_hw_vcpu *hw, *next;

	list_for_each_entry_safe(hw, next, &vc->loaded, link) {
		vc->current_vmcs = NULL;
		vmx_evict_here(hw);
	}
	vc->on = false;
	vmx_off();
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}

/* ---- a vCPU -------------------------------------------------------------- */

int vmx_vcpu_create(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = kzalloc(sizeof(*hw), GFP_KERNEL_ACCOUNT);

	if (!hw)
		return -ENOMEM;
	hw->cpu = -1;
	hw->vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (vmx.tpr_shadow)
		hw->virtual_apic = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!hw->vmcs || (vmx.tpr_shadow && !hw->virtual_apic)) {
		free_page((unsigned long)hw->vmcs);
		free_page((unsigned long)hw->virtual_apic);
		kfree(hw);
		return -ENOMEM;
	}
	hw->vmcs->revision = vmx.revision;
	hw->vmcs_pa = __pa(hw->vmcs);
	hw->exit_have = VMX_ALL_EXIT;
	vcpu->hw = hw;
	return 0;
}

void vmx_vcpu_destroy(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	int cpu;

	if (!hw)
		return;
	cpu = smp_load_acquire(&hw->cpu);
	if (cpu >= 0)
		smp_call_function_single(cpu, vmx_evict_ipi, hw, 1);
	free_page((unsigned long)hw->vmcs);
	free_page((unsigned long)hw->virtual_apic);
	kfree(hw);
	vcpu->hw = NULL;
}

/**
 * vmx_vcpu_reset - the VMCS of a CPU that was just reset
 * @vcpu: the vCPU
 * @init: INIT, which keeps the MSRs
 *
 * What x86/state.c sets through the contract (segments, CRs) comes after.
 */
void vmx_vcpu_reset(struct lucid_vcpu *vcpu, bool init)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	unsigned int i;

	for (i = 0; i < VMX_NR_FIELDS; i++) {
		if (init && i >= VMX_SYSENTER_CS && i <= VMX_SYSENTER_EIP)
			continue;
		vmx_set(hw, i, 0);
	}
	if (!init) {
		memset(hw->msr, 0, sizeof(hw->msr));
		hw->cstar = hw->kernel_gs_base = 0;
	}
	hw->injecting = hw->idt_info = 0;
	hw->dr6 = DR6_RESERVED;
	hw->cr2 = 0;
	vmx_set(hw, VMX_DR7, 0x400);
	vmx_set(hw, VMX_PROC, vmx.proc);
	vmx_set(hw, VMX_PROC2, vmx.proc2);
	vmx_set(hw, VMX_ENTRY, vmx.entry);
	vmx_set(hw, VMX_TSC_OFFSET, vcpu->tsc_offset);
	vmx_set(hw, VMX_PAT, vcpu->msrs.pat);
	vmx_set(hw, VMX_TAG, vcpu->tlb.tag ?: 1);	/* 0 is refused */
	vmx_set(hw, VMX_RFLAGS, X86_EFLAGS_FIXED);
	vmx_cpuid_changed(vcpu);
}

void vmx_cpuid_changed(struct lucid_vcpu *vcpu)
{
	/* Off: #UD. */
	vmx_control(vcpu->hw, VMX_PROC2, SECONDARY_EXEC_ENABLE_RDTSCP & vmx.proc2_optional,
		    vcpu->cpuid.has_rdtscp || vcpu->cpuid.has_rdpid);
	vmx_control(vcpu->hw, VMX_PROC2, SECONDARY_EXEC_ENABLE_INVPCID & vmx.proc2_optional,
		    vcpu->cpuid.has_invpcid);
}

static u64 vmx_eptp(const struct lucid_vcpu *vcpu)
{
	return vcpu->vm->mem.root_pa | vmx.eptp_bits;
}

/*
 * What a VMCS that arrives at a CPU is to have of it; fields that never change
 * come along, once a migration is not the place to save.
 */
static void vmx_write_constants(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	int cpu = smp_processor_id();
	struct desc_ptr idt;
	u64 value;

	/* Guest and control. */
	vmwrite(PIN_BASED_VM_EXEC_CONTROL, vmx.pin);
	vmwrite(VM_EXIT_CONTROLS, vmx.exit);
	/* #AC and #DB: their delivery can be made to raise them for ever. */
	vmwrite(EXCEPTION_BITMAP, BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_MC));
	vmwrite(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmwrite(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmwrite(CR3_TARGET_COUNT, 0);
	vmwrite(VM_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(MSR_BITMAP, __pa(vmx_msr_bitmap));
	vmwrite(EPT_POINTER, vmx_eptp(vcpu));
	vmwrite(VMCS_LINK_POINTER, ~0ull);
	vmwrite(GUEST_IA32_DEBUGCTL, 0);
	vmwrite(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmwrite(CR0_GUEST_HOST_MASK, ~0ull);
	vmwrite(CR4_GUEST_HOST_MASK, ~0ull);
	if (vmx.tpr_shadow) {
		vmwrite(VIRTUAL_APIC_PAGE_ADDR, __pa(hw->virtual_apic));
		vmwrite(TPR_THRESHOLD, 0);
	}
	if (vmx.proc2 & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		vmwrite(PLE_GAP, ple_gap);
		vmwrite(PLE_WINDOW, ple_window);
	}
	if (vmx.pin & PIN_BASED_VMX_PREEMPTION_TIMER)
		vmwrite(VMX_PREEMPTION_TIMER_VALUE, vmx.longest_stay);
	if (vmx.perf_global_ctrl)
		vmwrite(GUEST_IA32_PERF_GLOBAL_CTRL, 0);

	/* Host. */
	vmwrite(HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmwrite(HOST_CS_SELECTOR, __KERNEL_CS);
	vmwrite(HOST_SS_SELECTOR, __KERNEL_DS);
	vmwrite(HOST_DS_SELECTOR, 0);
	vmwrite(HOST_ES_SELECTOR, 0);
	vmwrite(HOST_GS_SELECTOR, 0);
	vmwrite(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmwrite(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmwrite(HOST_GDTR_BASE, (unsigned long)get_current_gdt_ro());
	store_idt(&idt);
	vmwrite(HOST_IDTR_BASE, idt.address);
	vmwrite(HOST_GS_BASE, cpu_kernelmode_gs_base(cpu));
	vmwrite(HOST_RIP, (unsigned long)vmx_exited);
	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmwrite(HOST_IA32_SYSENTER_CS, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmwrite(HOST_IA32_SYSENTER_EIP, value);
	vmwrite(HOST_IA32_SYSENTER_ESP, this_cpu_read(vmx_cpus.sysenter_esp));
	rdmsrl(MSR_IA32_CR_PAT, value);
	vmwrite(HOST_IA32_PAT, value);
	rdmsrl(MSR_EFER, value);
	vmwrite(HOST_IA32_EFER, value);
	vmwrite(HOST_FS_SELECTOR, 0);

	hw->host.cr3 = hw->host.cr4 = hw->host_rsp = 0;	/* no value of theirs */
	hw->host.fs_in_vmcs = 0;
	hw->host.fs_base = 0;
	vmwrite(HOST_FS_BASE, 0);
	hw->rsp = vcpu->regs[LUCID_RSP];
	vmwrite(GUEST_RSP, hw->rsp);
	hw->host_valid = true;
}

/* ---- a stay in the guest ------------------------------------------------- */

/**
 * vmx_arrive - take the vCPU's VMCS away from the CPU it ran on before
 * @vcpu: the vCPU
 *
 * Context: preemption off, interrupts on: it waits for an IPI.
 */
void vmx_arrive(struct lucid_vcpu *vcpu)
{
	vmx_evict_elsewhere(vcpu->hw);
}

/**
 * vmx_save_host - what may have changed of what the VMCS restores
 * @vcpu: the vCPU
 *
 * Interrupts were on: this CPU may have been given another CR4 or LDTR by IPI.
 * Context: interrupts off, in a stay.
 */
void vmx_save_host(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	u64 cr3 = __get_current_cr3_fast(), cr4 = cr4_read_shadow();
	u16 ldt;

	if (unlikely(cr3 != hw->host.cr3)) {
		hw->host.cr3 = cr3;
		vmwrite(HOST_CR3, cr3);
	}
	if (unlikely(cr4 != hw->host.cr4)) {
		hw->host.cr4 = cr4;
		vmwrite(HOST_CR4, cr4);
	}
	/* An exit leaves none: only what was loaded since is seen here. */
	store_ldt(ldt);
	if (unlikely(ldt))
		hw->host.ldt = ldt;
	hw->host.debugctl = get_debugctlmsr();
}

/*
 * The user's GS base, which waits in KERNEL_GS_BASE, for another one.  With
 * FSGSBASE no MSR access is needed.  Not to be probed in between.
 */
static noinstr u64 vmx_swap_kernel_gs(u64 new)
{
	u64 old;

	if (vmx.gs_by_instruction) {
		asm volatile("swapgs\n\t"
			     "rdgsbase %0\n\t"
			     "wrgsbase %1\n\t"
			     "swapgs"
			     : "=&r" (old) : "r" (new) : "memory");
		return old;
	}
	old = __rdmsr(MSR_KERNEL_GS_BASE);
	native_wrmsrl(MSR_KERNEL_GS_BASE, new);
	return old;
}

/* Nobody else writes these: what the CPU has is known, and compared with. */
static void vmx_write_syscall_msrs(struct vmx_cpu *vc, const u64 *values)
{
	static const u32 index[VMX_NR_SYSCALL] = { MSR_STAR, MSR_LSTAR, MSR_SYSCALL_MASK };
	unsigned int i;

	for (i = 0; i < VMX_NR_SYSCALL; i++) {
		if (vc->syscall_now[i] == values[i])
			continue;
		if (!wrmsrl_safe(index[i], values[i]))
			vc->syscall_now[i] = values[i];
	}
}

static void vmx_load_syscall_msrs(struct lucid_vcpu *vcpu)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);
	struct lucid_hw_vcpu *hw = vcpu->hw;

	hw->syscall_stale = false;
	hw->syscall_loaded |= vcpu->efer & EFER_SCE;
	if (unlikely(hw->syscall_loaded))
		vmx_write_syscall_msrs(vc, vcpu->efer & EFER_SCE ? hw->msr : vc->syscall);
}

/**
 * vmx_load - the CPU is this vCPU's until vmx_unload()
 * @vcpu: the vCPU, its VMCS loaded here or nowhere (vmx_arrive())
 *
 * Context: interrupts off.
 */
void vmx_load(struct lucid_vcpu *vcpu)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);
	struct lucid_hw_vcpu *hw = vcpu->hw;
	u64 fs_base;
	u16 fs;

	vmx_make_current(hw);
	if (unlikely(!hw->host_valid))
		vmx_write_constants(vcpu);
	vcpu->last_cpu = smp_processor_id();

	hw->host.ldt = 0;
	vmx_save_host(vcpu);
	savesegment(ds, hw->host.ds);
	savesegment(es, hw->host.es);
	savesegment(fs, hw->host.fs);
	savesegment(gs, hw->host.gs);
	/* An exit loads a selector only with RPL 0 and out of the GDT. */
	fs = hw->host.fs & 7 ? 0 : hw->host.fs;
	if (unlikely(fs != hw->host.fs_in_vmcs)) {
		hw->host.fs_in_vmcs = fs;
		vmwrite(HOST_FS_SELECTOR, fs);
	}
	fs_base = x86_fsbase_read_cpu();
	if (unlikely(fs_base != hw->host.fs_base)) {
		hw->host.fs_base = fs_base;
		vmwrite(HOST_FS_BASE, fs_base);
	}
	hw->host.gs_base = vmx_swap_kernel_gs(hw->kernel_gs_base);
	hw->kernel_gs_loaded = true;
	vmx_load_syscall_msrs(vcpu);

	if (vc->last_vm != vcpu->vm->id) {
		/* What another VM taught the branch predictors stays with it. */
		if (vc->last_vm)
			indirect_branch_prediction_barrier();
		vc->last_vm = vcpu->vm->id;
	}
	hw->tsc_aux_loaded = (vcpu->cpuid.has_rdtscp || vcpu->cpuid.has_rdpid) &&
			     vcpu->msrs.tsc_aux != vc->tsc_aux;
	if (unlikely(hw->tsc_aux_loaded))
		wrmsrl(MSR_TSC_AUX, vcpu->msrs.tsc_aux);
	hw->flush_l1d = true;
}

/* Context: interrupts off, on the CPU of vmx_load(). */
void vmx_unload(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;

	hw->at_hand = false;
	if (unlikely(hw->tsc_aux_loaded))
		wrmsrl(MSR_TSC_AUX, this_cpu_read(vmx_cpus.tsc_aux));
	hw->tsc_aux_loaded = false;
	if (unlikely(hw->syscall_loaded)) {
		struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpus);

		vmx_write_syscall_msrs(vc, vc->syscall);
		hw->syscall_loaded = false;
	}
	hw->kernel_gs_base = vmx_swap_kernel_gs(hw->host.gs_base);
	hw->kernel_gs_loaded = false;

	if (unlikely(hw->host.ldt))
		asm volatile("lldt %0" : : "m" (hw->host.ldt));
	if (unlikely(hw->host.ds | hw->host.es)) {
		loadsegment(ds, hw->host.ds);
		loadsegment(es, hw->host.es);
	}
	/* Loading these changes the bases too: they are written again after. */
	if (unlikely(hw->host.fs != hw->host.fs_in_vmcs)) {
		loadsegment(fs, hw->host.fs);
		wrmsrl(MSR_FS_BASE, hw->host.fs_base);
	}
	if (unlikely(hw->host.gs)) {
		load_gs_index(hw->host.gs);
		wrmsrl(MSR_KERNEL_GS_BASE, hw->host.gs_base);
	}
	load_fixmap_gdt(smp_processor_id());
	invalidate_tss_limit();
}

/**
 * vmx_set_tag - enter with this VPID, and flush
 * @vcpu: the vCPU
 * @tag: the VPID
 * @flush: what must not survive
 *
 * INVVPID drops linear and combined entries, INVEPT guest-physical and combined
 * ones (SDM vol. 3C, "Operations that Invalidate Cached Mappings").
 * Context: interrupts off, in a stay.
 */
void vmx_set_tag(struct lucid_vcpu *vcpu, u32 tag, enum lucid_tlb_flush flush)
{
	vmx_update(vcpu->hw, VMX_TAG, tag);
	switch (flush) {
	case LUCID_TLB_KEEP:
		break;
	case LUCID_TLB_FLUSH_TAG:
		if ((vmx.ept_vpid >> 32) & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT)
			vmx_invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, tag);
		else
			vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0);
		break;
	case LUCID_TLB_FLUSH_ROOT:
		if (vmx.ept_vpid & VMX_EPT_EXTENT_CONTEXT_BIT)
			vmx_invept(VMX_EPT_EXTENT_CONTEXT, vmx_eptp(vcpu));
		else
			vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
		break;
	case LUCID_TLB_FLUSH_ALL:
		vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
		vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0);
		break;
	}
}

#define DR7_ENABLED	0xffull		/* L0, G0 … L3, G3 */

/* XCR0 holds the guest's value only while no host code runs. */
static __always_inline bool vmx_xcr0_differs(struct lucid_vcpu *vcpu)
{
	return (vcpu->cr4 & X86_CR4_OSXSAVE) && vcpu->fpu.xcr0 != lucid_fpu_host_xcr0();
}

static __always_inline bool vmx_is_nmi(u32 reason)
{
	const u32 type = INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK;

	return reason == EXIT_REASON_EXCEPTION_NMI &&
	       (vmread(VM_EXIT_INTR_INFO) & type) == (INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR);
}

static noinstr bool vmx_guest(struct lucid_vcpu *vcpu, u64 spec_ctrl)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	bool failed;

	lucid_guest_state_enter(&vcpu->rested);
	if (hw->cr2 != native_read_cr2())
		native_write_cr2(hw->cr2);
	failed = vmx_vmenter(vcpu->regs, hw->launched, spec_ctrl, &hw->host_rsp);
	hw->cr2 = native_read_cr2();
	if (likely(!failed)) {
		hw->reason = vmread(VM_EXIT_REASON);
		/* NMIs are blocked until an IRET: the handler of this one ends with it. */
		if (unlikely(vmx_is_nmi(hw->reason)))
			asm volatile("int $2" ::: "memory");
	}
	lucid_guest_state_exit();
	return failed;
}

/* Counters that are to count the host alone, and the one that samples by PEBS. */
static void vmx_perf_switch(struct lucid_hw_vcpu *hw)
{
	struct perf_guest_switch_msr *msr;
	int nr, i;

	msr = perf_guest_get_msrs(&nr, NULL);
	for (i = 0; i < nr; i++) {
		if (msr[i].msr == MSR_CORE_PERF_GLOBAL_CTRL && vmx.perf_global_ctrl) {
			vmwrite(GUEST_IA32_PERF_GLOBAL_CTRL, msr[i].guest);
			vmwrite(HOST_IA32_PERF_GLOBAL_CTRL, msr[i].host);
		} else if (msr[i].host != msr[i].guest) {
			wrmsrl(msr[i].msr, msr[i].guest);
		}
	}
}

static void vmx_perf_restore(void)
{
	struct perf_guest_switch_msr *msr;
	int nr, i;

	msr = perf_guest_get_msrs(&nr, NULL);
	for (i = 0; i < nr; i++)
		if (msr[i].host != msr[i].guest &&
		    !(msr[i].msr == MSR_CORE_PERF_GLOBAL_CTRL && vmx.perf_global_ctrl))
			wrmsrl(msr[i].msr, msr[i].host);
}

static void vmx_write_dirty(struct lucid_hw_vcpu *hw)
{
	u64 dirty = hw->dirty;

	/*
	 * Stepping in the shadow of STI or MOV SS: the trap that waits must be
	 * noted (SDM vol. 3C, "Checks on Guest Non-Register State").
	 */
	if (unlikely(dirty & (BIT_ULL(VMX_SHADOW) | BIT_ULL(VMX_RFLAGS))) &&
	    (vmx_get(hw, VMX_RFLAGS) & X86_EFLAGS_TF) &&
	    (vmx_get(hw, VMX_SHADOW) & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS))) {
		vmx_set(hw, VMX_PENDING_DB, vmx_get(hw, VMX_PENDING_DB) | DR_STEP);
		dirty = hw->dirty;
	}
	while (dirty) {
		unsigned int i = __ffs64(dirty);

		vmwrite(vmx_encoding[i], hw->field[i]);
		dirty &= dirty - 1;
	}
	hw->dirty = 0;
}

static bool vmx_refused(struct lucid_vcpu *vcpu, bool failed)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;

	hw->at_hand = false;
	hw->failed_error = failed ? vmread(VM_INSTRUCTION_ERROR) : 0;
	if (!failed && (u16)hw->reason == EXIT_REASON_MCE_DURING_VMENTRY)
		lucid_machine_check();
	hw->exit_have = 0;
	hw->idt_info = 0;
	hw->refused_event = hw->field[VMX_EVENT];
	vmx_set(hw, VMX_EVENT, 0);
	hw->injecting = 0;
	vcpu->events_armed = true;
	return false;
}

/* An IRET that faults has unblocked NMIs already; it will run again. */
static void vmx_block_nmi_again(struct lucid_hw_vcpu *hw)
{
	u32 basic = hw->reason;

	if (hw->idt_info & LUCID_EVENT_VALID)
		return;
	if ((basic == EXIT_REASON_EPT_VIOLATION &&
	     (vmx_told(hw, VMX_QUALIFICATION) & INTR_INFO_UNBLOCK_NMI)) ||
	    (basic == EXIT_REASON_EXCEPTION_NMI &&
	     (vmx_told(hw, VMX_INTR_INFO) & INTR_INFO_UNBLOCK_NMI)))
		vmx_set(hw, VMX_SHADOW, vmx_get(hw, VMX_SHADOW) | GUEST_INTR_STATE_NMI);
}

/**
 * vmx_enter - VMLAUNCH or VMRESUME, once
 * @vcpu: the vCPU
 *
 * Context: interrupts off, between vmx_load() and _unload().
 * Return: false if the CPU refused the VMCS: nothing injected, no guest
 * instruction has run.
 */
bool vmx_enter(struct lucid_vcpu *vcpu)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	bool xcr0 = vmx_xcr0_differs(vcpu);
	bool dr = hw->field[VMX_DR7] & DR7_ENABLED;
	u64 spec_ctrl = 0;
	bool failed;
	u32 info;

	if (unlikely(hw->syscall_stale))
		vmx_load_syscall_msrs(vcpu);
	if (vcpu->regs[LUCID_RSP] != hw->rsp) {
		hw->rsp = vcpu->regs[LUCID_RSP];
		vmwrite(GUEST_RSP, hw->rsp);
	}
	if (likely(hw->dirty == BIT_ULL(VMX_RIP))) {	/* an instruction was done */
		vmwrite(GUEST_RIP, hw->field[VMX_RIP]);
		hw->dirty = 0;
	} else if (hw->dirty) {
		vmx_write_dirty(hw);
	}
	if (unlikely(dr)) {
		set_debugreg(0, 7);
		set_debugreg(vcpu->dr[0], 0);
		set_debugreg(vcpu->dr[1], 1);
		set_debugreg(vcpu->dr[2], 2);
		set_debugreg(vcpu->dr[3], 3);
	}
	if (vmx.perf)
		vmx_perf_switch(hw);
	if (static_cpu_has_bug(X86_BUG_L1TF) && static_cpu_has(X86_FEATURE_FLUSH_L1D) &&
	    hw->flush_l1d && !cpu_mitigations_off()) {
		hw->flush_l1d = false;
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	}
	if (cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS))
		spec_ctrl = spec_ctrl_current();
	if (unlikely(xcr0))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->fpu.xcr0);

	failed = vmx_guest(vcpu, spec_ctrl);

	if (unlikely(xcr0))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, lucid_fpu_host_xcr0());
	if (unlikely(hw->host.debugctl))
		update_debugctlmsr(hw->host.debugctl);
	if (vmx.perf)
		vmx_perf_restore();
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	if (unlikely(failed || (hw->reason & VMX_EXIT_REASONS_FAILED_VMENTRY)))
		return vmx_refused(vcpu, failed);

	hw->launched = hw->at_hand = true;
	hw->have &= ~VMX_GUEST_MASK;
	hw->exit_have = 0;
	hw->rsp = vcpu->regs[LUCID_RSP] = vmread(GUEST_RSP);

	info = hw->injecting;
	if (unlikely(info)) {
		lucid_event_delivered(vcpu, info);
		hw->field[VMX_EVENT] = 0;	/* as the CPU did in the VMCS */
	}
	hw->idt_info = vmread(IDT_VECTORING_INFO_FIELD);
	if (unlikely(hw->idt_info & LUCID_EVENT_VALID)) {
		lucid_event_cut_short(vcpu, hw->idt_info, vmread(IDT_VECTORING_ERROR_CODE),
				      hw->injecting);
		/* NMIs are blocked only once it has gone in. */
		if ((hw->idt_info & LUCID_EVENT_TYPE) == LUCID_EVENT_NMI)
			vmx_set(hw, VMX_SHADOW,
				vmx_get(hw, VMX_SHADOW) & ~(u64)GUEST_INTR_STATE_NMI);
	}
	hw->injecting = 0;
	if (hw->reason == EXIT_REASON_EPT_VIOLATION || hw->reason == EXIT_REASON_EXCEPTION_NMI)
		vmx_block_nmi_again(hw);
	return true;
}

/**
 * vmx_entry_failed - after a stay that ended with a refused entry: say why
 * @vcpu: the vCPU
 * @words: gets the answer
 * @size: of @words
 *
 * The guest's state is as it was (SDM vol. 3C, "VM-Entry Failures During or
 * After Loading Guest State").
 */
void vmx_entry_failed(struct lucid_vcpu *vcpu, char *words, size_t size)
{
	if (vcpu->hw->failed_error)
		strscpy(words, vmx_instruction_error(vcpu->hw->failed_error), size);
	else
		vmx_refused_field(vcpu, words, size);
}

/* ---- events ---------------------------------------------------------------- */

/**
 * vmx_interrupt_window - exit as soon as the guest can take an interrupt
 * @vcpu: the vCPU
 * @on: ask for it, or no longer
 *
 * Context: any; vcpu->lock.
 */
void vmx_interrupt_window(struct lucid_vcpu *vcpu, bool on)
{
	vmx_control(vcpu->hw, VMX_PROC, CPU_BASED_INTR_WINDOW_EXITING, on);
}

u32 vmx_injecting(struct lucid_vcpu *vcpu)
{
	return vcpu->hw->injecting;
}

/**
 * vmx_put_event - inject it with the next entry
 * @vcpu: the vCPU
 * @info: LUCID_EVENT_
 * @error: the error code, if it has one
 */
void vmx_put_event(struct lucid_vcpu *vcpu, u32 info, u32 error)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;

	hw->injecting = info | LUCID_EVENT_VALID;
	vmx_set(hw, VMX_EVENT, hw->injecting);
	vmx_update(hw, VMX_EVENT_ERROR, error);
	/* INT n pushes the RIP behind it; RIP is there already, if we may say so. */
	if ((info & LUCID_EVENT_TYPE) == LUCID_EVENT_SOFT)
		vmx_update(hw, VMX_EVENT_LEN, vmx.zero_len_event ? 0 : 1);
}

/**
 * vmx_nmi_window - after the choice of the next event: does an NMI wait?
 * @vcpu: the vCPU
 *
 * Context: interrupts off.
 */
void vmx_nmi_window(struct lucid_vcpu *vcpu)
{
	vmx_control(vcpu->hw, VMX_PROC, CPU_BASED_NMI_WINDOW_EXITING,
		    vcpu->events.nmi.pending);
}

/** vmx_nmi_allowed - could the guest take an NMI at this very instruction? */
bool vmx_nmi_allowed(struct lucid_vcpu *vcpu)
{
	return !(vmx_get(vcpu->hw, VMX_SHADOW) &
		 (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS | GUEST_INTR_STATE_NMI));
}

bool vmx_nmi_masked(struct lucid_vcpu *vcpu)
{
	return vmx_get(vcpu->hw, VMX_SHADOW) & GUEST_INTR_STATE_NMI;
}

/** vmx_set_nmi_masked - between NMI and IRET, or not (KVM_SET_VCPU_EVENTS) */
void vmx_set_nmi_masked(struct lucid_vcpu *vcpu, bool masked)
{
	u64 shadow = vmx_get(vcpu->hw, VMX_SHADOW) & ~(u64)GUEST_INTR_STATE_NMI;

	vmx_set(vcpu->hw, VMX_SHADOW, shadow | (masked ? GUEST_INTR_STATE_NMI : 0));
}
