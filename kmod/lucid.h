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

struct lucid_hw_vcpu;			/* the backend's part: svm/svm.h */

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
 * The backend contract.  svm/ (and vmx/, later) implement these; nobody else
 * knows the hardware.  Unless said otherwise: called with vcpu->lock held,
 * outside of a stay in the guest, may sleep.
 * ---------------------------------------------------------------------------
 */
struct lucid_hw_caps {
	const char *name;	/* "SVM" */
	u32 nr_tags;		/* tag 0 included */
	bool flush_by_tag;
	bool insn_len;		/* exits tell the instruction's length */
};

extern struct lucid_hw_caps lucid_hw_caps;

/* The machine.  probe: -ENODEV no such hardware, -EOPNOTSUPP firmware locked it. */
int lucid_hw_probe(void);
int lucid_hw_setup(void);
void lucid_hw_unsetup(void);
/* This CPU, interrupts off.  enable: -EBUSY when somebody else holds it. */
int lucid_hw_cpu_enable(void);
void lucid_hw_cpu_disable(void);

int lucid_hw_vcpu_create(struct lucid_vcpu *vcpu);
void lucid_hw_vcpu_destroy(struct lucid_vcpu *vcpu);
void lucid_hw_vcpu_reset(struct lucid_vcpu *vcpu, bool init);	/* INIT keeps MSRs */

/* A stay in the guest: interrupts off, on one CPU, FPU loaded. */
void lucid_hw_load(struct lucid_vcpu *vcpu);
void lucid_hw_unload(struct lucid_vcpu *vcpu);
void lucid_hw_save_host(void);		/* host state that an exit restores has changed */
void lucid_hw_entry_failed(struct lucid_vcpu *vcpu);	/* after the stay */
void lucid_hw_set_tag(struct lucid_vcpu *vcpu, u32 tag, enum lucid_tlb_flush flush);
bool lucid_hw_enter(struct lucid_vcpu *vcpu);		/* false: the entry failed */
int lucid_hw_exit_fast(struct lucid_vcpu *vcpu);	/* enum lucid_next or -errno */
int lucid_hw_exit_atomic(struct lucid_vcpu *vcpu);	/* interrupts on, preemption off */
int lucid_hw_exit_mmio(struct lucid_vcpu *vcpu);	/* interrupts off, after LUCID_MMIO */
int lucid_hw_exit_slow(struct lucid_vcpu *vcpu);	/* may sleep */
bool lucid_hw_inject(struct lucid_vcpu *vcpu);		/* the next of @vcpu->events; more? */
void lucid_hw_interrupt_window(struct lucid_vcpu *vcpu, bool on);
bool lucid_hw_nmi_allowed(struct lucid_vcpu *vcpu);
void lucid_hw_set_nmi_masked(struct lucid_vcpu *vcpu, bool masked);

void lucid_hw_skip(struct lucid_vcpu *vcpu, u64 next);	/* an instruction is done */

u64 lucid_hw_get_rip(struct lucid_vcpu *vcpu);
u64 lucid_hw_get_linear_rip(struct lucid_vcpu *vcpu);	/* with CS's base */
void lucid_hw_set_rip(struct lucid_vcpu *vcpu, u64 rip);
u64 lucid_hw_get_rflags(struct lucid_vcpu *vcpu);
void lucid_hw_set_rflags(struct lucid_vcpu *vcpu, u64 rflags);
bool lucid_hw_get_shadow(struct lucid_vcpu *vcpu);	/* of STI, MOV SS */
void lucid_hw_set_shadow(struct lucid_vcpu *vcpu, bool shadow);
int lucid_hw_get_cpl(struct lucid_vcpu *vcpu);

/* Segments: LUCID_SEG_ES… of decode.h, and these two. */
#define LUCID_SEG_TR	6
#define LUCID_SEG_LDTR	7
void lucid_hw_get_seg(struct lucid_vcpu *vcpu, int seg, struct kvm_segment *s);
void lucid_hw_set_seg(struct lucid_vcpu *vcpu, int seg, const struct kvm_segment *s);
void lucid_hw_get_dt(struct lucid_vcpu *vcpu, bool idt, struct kvm_dtable *d);
void lucid_hw_set_dt(struct lucid_vcpu *vcpu, bool idt, const struct kvm_dtable *d);

/* Values that passed the checks of x86/: what the guest is to see. */
void lucid_hw_set_cr0(struct lucid_vcpu *vcpu, u64 cr0);
void lucid_hw_set_cr4(struct lucid_vcpu *vcpu, u64 cr4);
void lucid_hw_set_efer(struct lucid_vcpu *vcpu, u64 efer);
u64 lucid_hw_get_cr2(struct lucid_vcpu *vcpu);
void lucid_hw_set_cr2(struct lucid_vcpu *vcpu, u64 cr2);
u64 lucid_hw_get_cr3(struct lucid_vcpu *vcpu);
void lucid_hw_set_cr3(struct lucid_vcpu *vcpu, u64 cr3);
u64 lucid_hw_get_dr6(struct lucid_vcpu *vcpu);
void lucid_hw_set_dr6(struct lucid_vcpu *vcpu, u64 dr6);
u64 lucid_hw_get_dr7(struct lucid_vcpu *vcpu);
void lucid_hw_set_dr7(struct lucid_vcpu *vcpu, u64 dr7);
void lucid_hw_set_cr8(struct lucid_vcpu *vcpu, u64 cr8);
void lucid_hw_set_tsc_offset(struct lucid_vcpu *vcpu, u64 offset);
void lucid_hw_set_pat(struct lucid_vcpu *vcpu, u64 pat);
u64 lucid_hw_exit_code(struct lucid_vcpu *vcpu);	/* of the last exit */
bool lucid_hw_exit_was_host(struct lucid_vcpu *vcpu);	/* interrupt, NMI, #MC: served */
const char *lucid_hw_exit_name(u32 index, u32 *code);	/* NULL: no such index */
/* After SET_CPUID2: intercepts of instructions the guest is not to have. */
void lucid_hw_cpuid_changed(struct lucid_vcpu *vcpu);

/* MSRs that live in the control block (FS_BASE … SYSENTER_EIP); false: not one. */
bool lucid_hw_get_msr(struct lucid_vcpu *vcpu, u32 index, u64 *value);
bool lucid_hw_set_msr(struct lucid_vcpu *vcpu, u32 index, u64 value);

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
