/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a guest sees of a CPU: CPUID, MSRs, control registers, FPU, and the
 * instructions that are done for it.  Nothing here is vendor-specific; what
 * the hardware holds is reached through the backend contract of lucid.h.
 */
#ifndef LUCID_X86_H
#define LUCID_X86_H

#include <linux/kvm.h>
#include <linux/types.h>

struct lucid_vcpu;

/* Numbers of vcpu->regs[], as instructions encode them. */
enum {
	LUCID_RAX, LUCID_RCX, LUCID_RDX, LUCID_RBX,
	LUCID_RSP, LUCID_RBP, LUCID_RSI, LUCID_RDI,
	LUCID_R8, LUCID_R9, LUCID_R10, LUCID_R11,
	LUCID_R12, LUCID_R13, LUCID_R14, LUCID_R15,
};

/*
 * "GP" below: a function that does something for the guest answers 0, or
 * LUCID_GP when the manual wants #GP(0); the caller injects it (an intercepted
 * instruction) or answers -EINVAL (an ioctl).  Nothing has changed then.
 */
#define LUCID_GP	1

/* ---- cpuid.c ---- */

#define LUCID_MAX_CPUID	256

/* Buckets of the look-up by leaf: its class (top two bits) and its low six bits. */
#define LUCID_CPUID_BUCKETS	256

struct lucid_cpuid {
	u32 nr;
	struct kvm_cpuid_entry2 *entries;	/* kvmalloc'ed, as the caller set them */

	/* Look-up without a search: places in @entries plus 1, 0 ends a chain. */
	u16 bucket[LUCID_CPUID_BUCKETS];
	u16 next[LUCID_MAX_CPUID];
	/* Entries that follow the guest's registers; NULL: it has none such. */
	struct kvm_cpuid_entry2 *leaf1, *leaf_d0, *leaf_d1;

	/* Worked out of them by lucid_cpuid_set(), for quick use. */
	u8 maxphyaddr;
	bool is_intel, is_amd;		/* by vendor string; Hygon counts as AMD */
	bool has_long_mode, has_nx, has_ffxsr, has_gbpages;
	bool has_rdtscp, has_rdpid, has_invpcid, has_tsc_adjust, has_x2apic;
	bool has_tsc_deadline;
	u64 cr4_reserved;	/* bits of CR4 that raise #GP for this guest */
	u64 xcr0_allowed;	/* bits that XSETBV may set; 0 without XSAVE */
};

int lucid_cpuid_module_init(void);
int lucid_cpuid_get_supported(struct kvm_cpuid2 __user *arg);
int lucid_cpuid_set(struct lucid_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
int lucid_cpuid_set_old(struct lucid_vcpu *vcpu, struct kvm_cpuid __user *arg);
int lucid_cpuid_get(struct lucid_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
void lucid_cpuid_update(struct lucid_vcpu *vcpu);
void lucid_cpuid_exec(struct lucid_vcpu *vcpu);
void lucid_cpuid_create(struct lucid_vcpu *vcpu);	/* before the first reset */
void lucid_cpuid_destroy(struct lucid_vcpu *vcpu);

/* ---- msr.c ---- */


struct lucid_msrs {
	u64 pat, tsc_aux, misc_enable, microcode, mcg_cap, mcg_status, mcg_ctl;
	u64 mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
	s64 tsc_adjust;
	u64 hwcr, de_cfg, power_ctl;
	u64 system_time, wall_clock;	/* kvmclock: clock.c */
};

void lucid_msr_reset(struct lucid_vcpu *vcpu);
int lucid_msr_get(struct lucid_vcpu *vcpu, u32 index, u64 *value, bool host);
int lucid_msr_set(struct lucid_vcpu *vcpu, u32 index, u64 value, bool host);
int lucid_msr_index_list(struct kvm_msr_list __user *arg);
long lucid_msr_ioctl(struct lucid_vcpu *vcpu, struct kvm_msrs __user *arg, bool set);

/* ---- fpu.c ---- */

struct lucid_fpu {
	void *state;		/* struct xregs_state, 64-byte aligned */
	u64 xcr0;		/* the guest's */
	bool xcr0_moved;	/* without our doing: see svm.c */
	bool loaded;		/* between lucid_fpu_enter() and _leave() */
};

int lucid_fpu_module_init(void);
int lucid_fpu_create(struct lucid_vcpu *vcpu);
void lucid_fpu_destroy(struct lucid_vcpu *vcpu);
void lucid_fpu_reset(struct lucid_vcpu *vcpu);
void lucid_fpu_enter(struct lucid_vcpu *vcpu);
void lucid_fpu_leave(struct lucid_vcpu *vcpu);
u64 lucid_fpu_host_xcr0(void);
u64 lucid_fpu_guest_xcr0_mask(void);
u64 lucid_fpu_host_xss(void);
u32 lucid_fpu_xsave_size(u64 xcr0);
u32 lucid_fpu_xsave_size_compacted(u64 xcr0);
u32 lucid_fpu_xsave2_size(void);
int lucid_fpu_set_xcr0(struct lucid_vcpu *vcpu, u32 index, u64 value);
void lucid_fpu_get_fpu(struct lucid_vcpu *vcpu, struct kvm_fpu *f);
int lucid_fpu_set_fpu(struct lucid_vcpu *vcpu, const struct kvm_fpu *f);
void lucid_fpu_get_xsave(struct lucid_vcpu *vcpu, void *buf, u32 size);
int lucid_fpu_set_xsave(struct lucid_vcpu *vcpu, const void *buf, u32 size);
void lucid_fpu_get_xmm(struct lucid_vcpu *vcpu, unsigned int reg, void *buf);
void lucid_fpu_set_xmm(struct lucid_vcpu *vcpu, unsigned int reg, const void *buf);
void lucid_fpu_get_xcrs(struct lucid_vcpu *vcpu, struct kvm_xcrs *x);
int lucid_fpu_set_xcrs(struct lucid_vcpu *vcpu, const struct kvm_xcrs *x);

/* ---- cr.c ---- */

bool lucid_cr0_valid(u64 cr0);
int lucid_set_cr0(struct lucid_vcpu *vcpu, u64 value);
int lucid_set_cr4(struct lucid_vcpu *vcpu, u64 value);
int lucid_set_cr8(struct lucid_vcpu *vcpu, u64 value);
void lucid_apic_tpr_changed(struct lucid_vcpu *vcpu);
int lucid_set_efer(struct lucid_vcpu *vcpu, u64 value, bool host);
int lucid_set_dr(struct lucid_vcpu *vcpu, int nr, u64 value);
int lucid_cr_write(struct lucid_vcpu *vcpu, unsigned int nr, u64 value, u64 next);
int lucid_load_pdptes(struct lucid_vcpu *vcpu);
int lucid_cr_access(struct lucid_vcpu *vcpu);
int lucid_dr_access(struct lucid_vcpu *vcpu);

/* ---- state.c: the register ioctls ---- */

void lucid_get_regs(struct lucid_vcpu *vcpu, struct kvm_regs *r);
void lucid_set_regs(struct lucid_vcpu *vcpu, const struct kvm_regs *r);
void lucid_get_sregs(struct lucid_vcpu *vcpu, struct kvm_sregs *s);
int lucid_set_sregs(struct lucid_vcpu *vcpu, const struct kvm_sregs *s);
void lucid_get_sregs2(struct lucid_vcpu *vcpu, struct kvm_sregs2 *s);
int lucid_set_sregs2(struct lucid_vcpu *vcpu, const struct kvm_sregs2 *s);
void lucid_get_events(struct lucid_vcpu *vcpu, struct kvm_vcpu_events *e);
int lucid_set_events(struct lucid_vcpu *vcpu, const struct kvm_vcpu_events *e);
void lucid_get_debugregs(struct lucid_vcpu *vcpu, struct kvm_debugregs *d);
int lucid_set_debugregs(struct lucid_vcpu *vcpu, const struct kvm_debugregs *d);
int lucid_translate(struct lucid_vcpu *vcpu, struct kvm_translation *t);
void lucid_vcpu_reset(struct lucid_vcpu *vcpu, bool init);
void lucid_vcpu_start(struct lucid_vcpu *vcpu, u8 vector);

/* ---- clock.c ---- */

struct lucid_vm;

void lucid_clock_vm_init(struct lucid_vm *vm);
void lucid_clock_serve(struct lucid_vcpu *vcpu, bool wall);
void lucid_clock_set_msr(struct lucid_vcpu *vcpu, bool wall, u64 value);
void lucid_clock_get(struct lucid_vm *vm, struct kvm_clock_data *d);
int lucid_clock_set(struct lucid_vm *vm, const struct kvm_clock_data *d);

/* ---- event.c ---- */

#define LUCID_NO_ERROR	(-1)

void lucid_queue_exception(struct lucid_vcpu *vcpu, u8 vector, s64 error);
void lucid_queue_page_fault(struct lucid_vcpu *vcpu, u64 cr2, u32 error);
bool lucid_interrupt_ready(struct lucid_vcpu *vcpu);

bool lucid_inject(struct lucid_vcpu *vcpu);
void lucid_event_delivered(struct lucid_vcpu *vcpu, u32 info);
void lucid_event_cut_short(struct lucid_vcpu *vcpu, u32 info, u32 error, u32 injecting);

/* ---- intercept.c, and intercept.h: instructions that exit on both vendors' CPUs ---- */

int lucid_raise(struct lucid_vcpu *vcpu, u8 vector, s64 error);
int lucid_exec_hlt(struct lucid_vcpu *vcpu, bool atomic);
int lucid_exec_xsetbv(struct lucid_vcpu *vcpu, bool atomic);
int lucid_exec_dr(struct lucid_vcpu *vcpu, bool atomic);
int lucid_exec_shutdown(struct lucid_vcpu *vcpu, bool atomic);
int lucid_nested_fault(struct lucid_vcpu *vcpu, u64 gpa, unsigned int access,
		       bool delivering, bool atomic);
int lucid_machine_check(void);
int lucid_exit_unexpected(struct lucid_vcpu *vcpu);

/* ---- fetch.c: guest memory by linear address ---- */

struct lucid_insn;
struct lucid_emul_ctxt;

int lucid_fetch_insn(struct lucid_vcpu *vcpu, struct lucid_insn *insn, bool atomic);
int lucid_fetch_length(struct lucid_vcpu *vcpu, int id, bool atomic);
int lucid_emul_start(struct lucid_vcpu *vcpu, bool atomic);

void lucid_emul_outside(struct lucid_vcpu *vcpu);
void lucid_emul_commit(struct lucid_vcpu *vcpu);
int lucid_linear_copy(struct lucid_vcpu *vcpu, u64 linear, void *buf, u32 len, bool write);
int lucid_emul_fault(struct lucid_vcpu *vcpu, int result);

/* ---- step.c: a vCPU run by the emulator alone, for tests ---- */

int lucid_set_emulate(struct lucid_vcpu *vcpu, u32 on);
int lucid_emulate_step(struct lucid_vcpu *vcpu);

#endif
