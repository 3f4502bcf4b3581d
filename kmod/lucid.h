/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lucid: every core struct and the backend contract.  Read this first.
 *
 * Lock order, outermost first:
 *
 *   vcpu->lock      mutex   one ioctl at a time on a vCPU; held all through KVM_RUN
 *   vm->lock        mutex   slots, creation of vCPUs
 *   mm->mmap_lock           taken by the kernel inside get_user_pages, notifiers
 *   mem.srcu                readers of slots, in handlers that may sleep or fault
 *   clock.lock      spin    a VM's clock; nothing is taken inside
 *   mem.lock        spin    nested tables; IPIs that wait are sent under it, so it
 *                           is never waited for with interrupts off
 *   irq.lock        raw     a VM's interrupt controllers; interrupts off, nothing but
 *                           wake-ups inside
 *   lucid_hw_lock   mutex   (main.c) turning virtualization on and off; innermost of
 *                           the mutexes, taken with none of a VM's locks held
 *
 * A vCPU's state belongs to whoever holds vcpu->lock.  Other threads reach a
 * vCPU only through `requests`, `in_guest` and `cpu`.
 */
#ifndef LUCID_H
#define LUCID_H

#include <linux/kvm.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/lucid.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/types.h>

#include <asm/trapnr.h>

#include "compat.h"
#include "io/io.h"
#include "irq/irq.h"
#include "mem/mem.h"
#include "tlb/tlb.h"
#include "x86/x86.h"

#define LUCID_MAX_VCPUS		64
#define LUCID_MAX_VCPU_ID	1024
#define LUCID_EXIT_CODES	176	/* counters; see lucid_hw_exit_name() */

struct lucid_hw_vcpu;			/* the backend's part: svm/svm.h, vmx/vmx.h */

/* A virtual machine: what the VM fd stands for. */
struct lucid_vm {
	refcount_t users;		/* the VM's fd, and one for each vCPU's */
	u64 id;				/* never used twice */
	struct mutex lock;
	struct lucid_mem mem;
	u32 nr_vcpus;
	struct lucid_vcpu *vcpus[LUCID_MAX_VCPUS];	/* [i] set once, then stable */
	u64 tsc_base;			/* host TSC when the VM was made: guest's 0 */
	struct lucid_irq irq;
	struct {
		spinlock_t lock;
		u64 tsc, boot;		/* a host TSC value, and boot-time ns then */
		u64 offset;		/* guest ns - boot-time ns */
	} clock;
	unsigned long tss_addr, identity_addr;	/* accepted for VMX, unused on SVM */
};

/* Events on their way into the guest. */
struct lucid_events {
	struct {
		bool pending;		/* raised, not yet delivered */
		bool injected;		/* its delivery was cut short: inject again */
		bool has_error;
		u8 vector;
		u32 error;
	} exception;
	struct {
		bool injected;		/* to be injected on the next entry */
		bool again;		/* its delivery was cut short */
		bool overtaken;		/* by an exception: now it waits for IF */
		bool soft;
		u8 vector;
	} interrupt;
	struct {
		bool injected;
		bool masked;		/* between an NMI and its IRET */
		u8 pending;		/* at most 2 */
	} nmi;
};


/* requests: set by anyone, served by the vCPU's thread before an entry */
#define LUCID_REQ_NMI		0	/* nmi_queued moved */
#define LUCID_REQ_TRIPLE_FAULT	1
#define LUCID_REQ_INIT		2	/* irq.init: INIT, SIPI */
#define LUCID_REQ_CLOCK		3	/* write the guest's system time */
#define LUCID_REQ_WALL_CLOCK	4

/* A virtual CPU: what its fd stands for. */
struct lucid_vcpu {
	struct lucid_vm *vm;
	u32 id;				/* the caller's number (APIC id) */
	u32 index;			/* place in vm->vcpus */

	/* Written by the vCPU's thread around its stay in the guest, read by
	 * lucid_vm_flush_remote(); a cache line of its own. */
	struct {
		u32 in_guest;
		int cpu;
	} ____cacheline_aligned seat;

	struct mutex lock ____cacheline_aligned;
	struct kvm_run *run;		/* shared with userspace: read once, trust nothing */
	void *pio_data;			/* the page after it */
	unsigned long requests;
	atomic_t nmi_queued;

	/* The guest's CPU.  RAX, RSP, RIP, RFLAGS and the segments live in the
	 * backend's control block; regs[] has the former two as well. */
	u64 regs[16];			/* KVM's and the manuals' order: rax rcx rdx rbx rsp … */
	u64 cr0, cr4, efer, cr8;	/* as the guest sees them */
	u64 dr[4];
	u64 apic_base;
	struct lucid_events events;
	bool rested;			/* this stay: RCU has been told, no interrupt since */
	bool events_armed;		/* something in @events is to be injected */
	bool emulate;			/* LUCID_SET_EMULATE */
	u32 mp_state;
	struct lucid_irq_vcpu irq;

	struct lucid_cpuid cpuid;
	struct lucid_msrs msrs;
	struct lucid_fpu fpu;
	struct lucid_io io;		/* an access that userspace is to answer */
	u64 tsc_offset;

	struct lucid_tlb_vcpu tlb;
	struct lucid_table_cache tables;
	struct lucid_hw_vcpu *hw;
	int last_cpu;			/* where it ran last, -1: nowhere */
	struct lucid_refusal refusal;	/* of the last entry that was refused */

	sigset_t sigset;		/* KVM_SET_SIGNAL_MASK */
	bool sigset_active;

	/* Counters: always on; cycles only when timed. */
	struct {
		bool timed;
		u64 exit_tsc;		/* of the exit being served; 0: none */
		u32 exit_index;
		u64 entries, userspace_exits, nested_faults;
		u64 tag[LUCID_TLB_NR_CAUSES];
		struct { u64 count, cycles; } exit[LUCID_EXIT_CODES];
	} stats;
};

/*
 * What became of an exit.  From the cheapest on: each is served in the nearest
 * place that can, and only what must goes further out.
 */
enum lucid_next {
	LUCID_REENTER,		/* served; interrupts stayed off */
	LUCID_REENTER_IRQ,	/* a host interrupt is pending: open interrupts, go on */
	LUCID_ATOMIC,		/* lucid_hw_exit_atomic(): interrupts on, no sleep */
	LUCID_MMIO,		/* lucid_hw_exit_mmio(): interrupts off */
	LUCID_SLOW,		/* lucid_hw_exit_slow(): outside, may sleep, touch user memory */
	LUCID_HALTED,		/* HLT: sleep until there is something to do */
	LUCID_TO_USER,		/* kvm_run is filled in: KVM_RUN returns 0 */
	LUCID_ENTRY_FAILED,	/* the CPU refused the control block */
	LUCID_NOT_HERE,		/* virtualization is off on this CPU: it is going down */
};					/* or a negative errno: KVM_RUN returns it */

/*
 * ---------------------------------------------------------------------------
 * The backend contract: svm/ and vmx/ implement these and nobody else knows the
 * hardware.  Each hook NAME is svm_NAME() and vmx_NAME(), called as
 * lucid_hw_NAME(): a static branch decides, patched once at load, so there is no
 * indirect call.  Unless said otherwise: called with vcpu->lock held, outside
 * of a stay in the guest, may sleep.
 * ---------------------------------------------------------------------------
 */
struct lucid_hw_caps {
	const char *name;	/* "SVM", "VMX" */
	u32 nr_tags;		/* tag 0 included */
	bool flush_by_tag;
	bool root_tagged;	/* entries by nested-table root as well (VMX: EPTP) */
	bool kvm_excluded;	/* not while KVM is loaded, used or not */
	bool insn_len;		/* exits tell the instruction's length */
	bool accessed_dirty;	/* nested tables have A and D bits */
	bool exec_4k;		/* code in large leaves hangs this CPU (iTLB multihit) */
};

extern struct lucid_hw_caps lucid_hw_caps;

#define V	struct lucid_vcpu *vcpu
#define LUCID_HW_CONTRACT(HOOK)									\
/* The machine.  probe: -ENODEV no such hardware, -EOPNOTSUPP switched off or too little.	\
 * acquire, release: before the first VM, after the last.  cpu_: this CPU, interrupts off;	\
 * cpu_enable: -EBUSY when somebody else holds it. */						\
HOOK(int,  probe,	 (void), ())								\
HOOK(int,  setup,	 (void), ())								\
HOOK(void, unsetup,	 (void), ())								\
HOOK(void, acquire,	 (void), ())								\
HOOK(void, release,	 (void), ())								\
HOOK(int,  cpu_enable,	 (void), ())								\
HOOK(void, cpu_disable,	 (void), ())								\
HOOK(const char *, exit_name, (u32 index, u32 *code), (index, code))	/* of a counter */	\
/* A vCPU's life; reset by INIT keeps MSRs; cpuid_changed: after SET_CPUID2. */			\
HOOK(int,  vcpu_create,	 (V), (vcpu))								\
HOOK(void, vcpu_destroy, (V), (vcpu))								\
HOOK(void, vcpu_reset,	 (V, bool init), (vcpu, init))						\
HOOK(void, cpuid_changed, (V), (vcpu))								\
/* A stay in the guest: interrupts off, on one CPU, FPU loaded.  enter: false, it was		\
 * refused; then entry_failed after the stay.  save_host: what an exit restores has changed.	\
 * exit_: answer enum lucid_next or -errno; atomic: interrupts on, preemption off; mmio:	\
 * interrupts off, after LUCID_MMIO; slow: outside, may sleep. */				\
HOOK(void, arrive,	 (V), (vcpu))		/* before: preemption off, interrupts on */	\
HOOK(void, load,	 (V), (vcpu))								\
HOOK(void, unload,	 (V), (vcpu))								\
HOOK(void, save_host,	 (V), (vcpu))								\
HOOK(void, set_tag,	 (V, u32 tag, enum lucid_tlb_flush flush), (vcpu, tag, flush))		\
HOOK(bool, enter,	 (V), (vcpu))								\
HOOK(void, entry_failed, (V, char *words, size_t size), (vcpu, words, size))	/* says why */	\
HOOK(int,  exit_fast,	 (V), (vcpu))								\
HOOK(int,  exit_atomic,	 (V), (vcpu))								\
HOOK(int,  exit_mmio,	 (V), (vcpu))								\
HOOK(int,  exit_slow,	 (V), (vcpu))								\
HOOK(u64,  exit_code,	 (V), (vcpu))			/* of the last exit */			\
HOOK(bool, exit_was_host, (V), (vcpu))			/* interrupt, NMI, #MC: served */	\
/* Events: @info and @error as both vendors encode them (LUCID_EVENT_). */			\
HOOK(u32,  injecting,	 (V), (vcpu))			/* what the next entry injects */	\
HOOK(void, put_event,	 (V, u32 info, u32 error), (vcpu, info, error))				\
HOOK(void, nmi_window,	 (V), (vcpu))			/* tell when a pending NMI can go in */	\
HOOK(void, interrupt_window, (V, bool on), (vcpu, on))	/* tell when an interrupt can */	\
HOOK(bool, nmi_allowed,	 (V), (vcpu))								\
HOOK(bool, nmi_masked,	 (V), (vcpu))								\
HOOK(void, set_nmi_masked, (V, bool masked), (vcpu, masked))					\
/* Instructions.  next_rip: see x86/intercept.c; skip: one is done, RIP becomes @next. */	\
HOOK(int,  next_rip,	 (V, int id, bool atomic, u64 *next), (vcpu, id, atomic, next))		\
HOOK(void, skip,	 (V, u64 next), (vcpu, next))						\
/* Registers: values that passed the checks of x86/, as the guest is to see them. */		\
HOOK(u64,  get_rip,	 (V), (vcpu))								\
HOOK(u64,  get_linear_rip, (V), (vcpu))			/* with CS's base */			\
HOOK(void, set_rip,	 (V, u64 rip), (vcpu, rip))						\
HOOK(u64,  get_rflags,	 (V), (vcpu))								\
HOOK(void, set_rflags,	 (V, u64 rflags), (vcpu, rflags))					\
HOOK(bool, get_shadow,	 (V), (vcpu))			/* of STI, MOV SS */			\
HOOK(void, set_shadow,	 (V, bool shadow), (vcpu, shadow))					\
HOOK(int,  get_cpl,	 (V), (vcpu))								\
HOOK(bool, in_64bit,	 (V), (vcpu))			/* 64-bit code segment */		\
HOOK(void, get_seg,	 (V, int seg, struct kvm_segment *s), (vcpu, seg, s))			\
HOOK(void, set_seg,	 (V, int seg, const struct kvm_segment *s), (vcpu, seg, s))		\
HOOK(void, get_dt,	 (V, bool idt, struct kvm_dtable *d), (vcpu, idt, d))			\
HOOK(void, set_dt,	 (V, bool idt, const struct kvm_dtable *d), (vcpu, idt, d))		\
HOOK(void, set_cr0,	 (V, u64 cr0), (vcpu, cr0))						\
HOOK(u64,  get_cr2,	 (V), (vcpu))								\
HOOK(void, set_cr2,	 (V, u64 cr2), (vcpu, cr2))						\
HOOK(u64,  get_cr3,	 (V), (vcpu))								\
HOOK(void, set_cr3,	 (V, u64 cr3), (vcpu, cr3))						\
HOOK(void, set_cr4,	 (V, u64 cr4), (vcpu, cr4))						\
HOOK(void, set_cr8,	 (V, u64 cr8), (vcpu, cr8))						\
HOOK(void, set_pdptes,	 (V, const u64 *pdpte), (vcpu, pdpte))	/* where they are registers */	\
HOOK(void, set_efer,	 (V, u64 efer), (vcpu, efer))						\
HOOK(u64,  get_dr6,	 (V), (vcpu))								\
HOOK(void, set_dr6,	 (V, u64 dr6), (vcpu, dr6))						\
HOOK(u64,  get_dr7,	 (V), (vcpu))								\
HOOK(void, set_dr7,	 (V, u64 dr7), (vcpu, dr7))						\
HOOK(void, set_tsc_offset, (V, u64 offset), (vcpu, offset))					\
HOOK(void, set_pat,	 (V, u64 pat), (vcpu, pat))						\
/* MSRs that live in the control block (FS_BASE … SYSENTER_EIP); false: not one. */		\
HOOK(bool, get_msr,	 (V, u32 index, u64 *value), (vcpu, index, value))			\
HOOK(bool, set_msr,	 (V, u32 index, u64 value), (vcpu, index, value))

DECLARE_STATIC_KEY_TRUE(lucid_is_svm);	/* main.c */

#define LUCID_HW_DECLARE(ret, name, params, args)						\
	ret svm_##name params;									\
	ret vmx_##name params;									\
	static __always_inline ret lucid_hw_##name params					\
	{											\
		return static_branch_likely(&lucid_is_svm) ? svm_##name args : vmx_##name args;	\
	}
LUCID_HW_CONTRACT(LUCID_HW_DECLARE)
#undef LUCID_HW_DECLARE
#undef V

/* Segments: LUCID_SEG_ES… of decode.h, and these two. */
#define LUCID_SEG_TR	6
#define LUCID_SEG_LDTR	7

/*
 * An event as EVENTINJ and EXITINTINFO (APM vol. 2, "Event Injection") and as
 * the VM-entry interruption and IDT-vectoring information fields (SDM vol. 3C,
 * "VM-Entry Controls for Event Injection") encode it alike.
 */
#define LUCID_EVENT_VECTOR	0x000000ffu
#define LUCID_EVENT_TYPE	0x00000700u
#define LUCID_EVENT_INTR	0x00000000u
#define LUCID_EVENT_NMI		0x00000200u
#define LUCID_EVENT_EXCEPTION	0x00000300u
#define LUCID_EVENT_SOFT	0x00000400u	/* INT n */
#define LUCID_EVENT_HAS_ERROR	0x00000800u
#define LUCID_EVENT_VALID	0x80000000u

/* ---- main.c ---- */
int lucid_hw_get(void);		/* one more VM: virtualization on, everywhere */
void lucid_hw_put(void);
DECLARE_PER_CPU(bool, lucid_cpu_enabled);

/* ---- vm.c, vcpu.c, run.c ---- */
long lucid_vm_create(unsigned long type);
void lucid_vm_get(struct lucid_vm *vm);
void lucid_vm_put(struct lucid_vm *vm);
int lucid_check_extension(struct lucid_vm *vm, unsigned long cap);
long lucid_vcpu_create(struct lucid_vm *vm, unsigned long id);
void lucid_vcpu_destroy(struct lucid_vcpu *vcpu);
int lucid_vcpu_run(struct lucid_vcpu *vcpu);
void lucid_vcpu_take_init(struct lucid_vcpu *vcpu);
int lucid_bench_floor(struct lucid_vcpu *vcpu, struct lucid_bench_floor *b);
DECLARE_PER_CPU(struct lucid_tlb_cpu, lucid_tlb_cpus);

static inline void lucid_request(struct lucid_vcpu *vcpu, int request)
{
	set_bit(request, &vcpu->requests);
}

/* A HLT is done: this thread sleeps, or userspace if the APIC is there. */
static inline int lucid_halt(struct lucid_vcpu *vcpu)
{
	if (vcpu->vm->irq.in_kernel)
		return LUCID_HALTED;
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return LUCID_TO_USER;
}

/* What was done for the guest invalidates what the CPU cached for it. */
static inline void lucid_flush_guest(struct lucid_vcpu *vcpu)
{
	vcpu->tlb.flush_guest = true;
}

#endif
