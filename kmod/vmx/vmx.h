/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUCID_VMX_H
#define LUCID_VMX_H

#include <asm/vmx.h>		/* VMCS encodings and control bits; EXIT_REASON_ */

#include "../lucid.h"

/*
 * The guest's state in the VMCS, as a cache in front of it.
 *
 * VMREAD and VMWRITE work only on the CPU that has the VMCS loaded, and cost
 * more than memory; ioctls and slow handlers run anywhere.  So each field has a
 * copy: @have says that it is good, @dirty that the VMCS does not have it yet.
 * An exit makes the copies of what the guest may have changed bad; a VMCS that
 * is loaded nowhere has been copied whole (@saved; vmx.c, "loaded and current").
 */
#define VMX_SEGMENT(X, name)							\
	X(name##_SEL, GUEST_##name##_SELECTOR) X(name##_LIMIT, GUEST_##name##_LIMIT)	\
	X(name##_AR, GUEST_##name##_AR_BYTES) X(name##_BASE, GUEST_##name##_BASE)

/* What the guest changes without an exit; in the order of LUCID_SEG_. */
#define VMX_GUEST_FIELDS(X)							\
	VMX_SEGMENT(X, ES) VMX_SEGMENT(X, CS) VMX_SEGMENT(X, SS) VMX_SEGMENT(X, DS)	\
	VMX_SEGMENT(X, FS) VMX_SEGMENT(X, GS) VMX_SEGMENT(X, TR) VMX_SEGMENT(X, LDTR)	\
	X(GDTR_BASE, GUEST_GDTR_BASE) X(GDTR_LIMIT, GUEST_GDTR_LIMIT)		\
	X(IDTR_BASE, GUEST_IDTR_BASE) X(IDTR_LIMIT, GUEST_IDTR_LIMIT)		\
	X(RIP, GUEST_RIP) X(RFLAGS, GUEST_RFLAGS) X(CR0, GUEST_CR0) X(CR3, GUEST_CR3)	\
	X(SHADOW, GUEST_INTERRUPTIBILITY_INFO) X(PENDING_DB, GUEST_PENDING_DBG_EXCEPTIONS) \
	X(SYSENTER_CS, GUEST_SYSENTER_CS) X(SYSENTER_ESP, GUEST_SYSENTER_ESP)	\
	X(SYSENTER_EIP, GUEST_SYSENTER_EIP)					\
	X(PDPTE0, GUEST_PDPTR0) X(PDPTE1, GUEST_PDPTR1)				\
	X(PDPTE2, GUEST_PDPTR2) X(PDPTE3, GUEST_PDPTR3)

/* What only we change. */
#define VMX_OUR_FIELDS(X)							\
	X(CR4, GUEST_CR4) X(DR7, GUEST_DR7) X(EFER, GUEST_IA32_EFER) X(PAT, GUEST_IA32_PAT) \
	X(CR0_SHADOW, CR0_READ_SHADOW) X(CR4_SHADOW, CR4_READ_SHADOW)		\
	X(PROC, CPU_BASED_VM_EXEC_CONTROL) X(PROC2, SECONDARY_VM_EXEC_CONTROL)	\
	X(ENTRY, VM_ENTRY_CONTROLS) X(TSC_OFFSET, TSC_OFFSET)			\
	X(TAG, VIRTUAL_PROCESSOR_ID) X(EVENT, VM_ENTRY_INTR_INFO_FIELD)		\
	X(EVENT_ERROR, VM_ENTRY_EXCEPTION_ERROR_CODE)				\
	X(EVENT_LEN, VM_ENTRY_INSTRUCTION_LEN)

#define VMX_ENUM(name, encoding)	VMX_##name,
enum vmx_field {
	VMX_GUEST_FIELDS(VMX_ENUM)
	VMX_NR_GUEST,
	VMX_BEFORE_OURS = VMX_NR_GUEST - 1,
	VMX_OUR_FIELDS(VMX_ENUM)
	VMX_NR_FIELDS
};
static_assert(VMX_NR_FIELDS <= 64);

/* The parts of a segment, from VMX_ES_SEL + 4 * LUCID_SEG_… on. */
enum { VMX_SEL, VMX_LIMIT, VMX_AR, VMX_BASE };

/* What an exit tells; read-only, good until the next one. */
#define VMX_EXIT_FIELDS(X)							\
	X(QUALIFICATION, EXIT_QUALIFICATION) X(INSN_LEN, VM_EXIT_INSTRUCTION_LEN) \
	X(GPA, GUEST_PHYSICAL_ADDRESS) X(INTR_INFO, VM_EXIT_INTR_INFO)		\
	X(INTR_ERROR, VM_EXIT_INTR_ERROR_CODE)

enum vmx_exit_field {
	VMX_EXIT_FIELDS(VMX_ENUM)
	VMX_NR_EXIT
};

/* In the header, so that an encoding is a constant where the field is one. */
#define VMX_ENCODING(name, encoding)	encoding,
static const u16 vmx_encoding[VMX_NR_FIELDS] = {
	VMX_GUEST_FIELDS(VMX_ENCODING) VMX_OUR_FIELDS(VMX_ENCODING)
};
static const u16 vmx_exit_encoding[VMX_NR_EXIT] = { VMX_EXIT_FIELDS(VMX_ENCODING) };

/* MSRs of SYSCALL: no field in the VMCS, switched by hand for guests that use it. */
enum { VMX_STAR, VMX_LSTAR, VMX_SFMASK, VMX_NR_SYSCALL };

struct vmx_region {
	u32 revision;
	u32 abort;
	u8 data[PAGE_SIZE - 8];
};

struct lucid_hw_vcpu {
	u64 field[VMX_NR_FIELDS];
	u64 have, dirty;		/* bit I: of field[I] */
	bool at_hand;			/* current here, interrupts off: right after an exit */
	u64 exit[VMX_NR_EXIT];
	u32 exit_have;
	/* All of them as of its clearing: the other CPU's to write, ours to read after. */
	u64 saved[VMX_NR_FIELDS], saved_exit[VMX_NR_EXIT];
	u32 reason;			/* of the last exit; bit 31: a failed entry */
	u32 idt_info;			/* the delivery that it cut short */
	u32 injecting;			/* LUCID_EVENT_ of the entry under way */

	struct vmx_region *vmcs;
	u64 vmcs_pa;
	struct list_head link;		/* of the CPU's list of loaded ones; its own lock */
	int cpu;			/* where it is loaded, -1: nowhere */
	bool launched;
	u64 host_rsp;			/* what the VMCS has */
	u64 rsp;			/* the same, of the guest */
	u64 cr2, dr6;
	u64 virtual_apic_pa;
	void *virtual_apic;		/* with a TPR shadow: CR8 is in it */

	u64 msr[VMX_NR_SYSCALL];
	u64 cstar;			/* Intel's CPUs do not use it */
	u64 kernel_gs_base;		/* good while not loaded */
	bool kernel_gs_loaded;
	bool syscall_loaded, syscall_stale;
	bool tsc_aux_loaded;
	bool flush_l1d;

	/* The host's, for this stay. */
	struct {
		u64 cr3, cr4, fs_base, gs_base;	/* what the VMCS has */
		u16 fs_in_vmcs;
		u16 fs, gs, ds, es, ldt;
		u64 debugctl;
	} host;
	bool host_valid;		/* the constant fields are this CPU's */
	u32 refused_event;		/* what a refused entry was to inject */
	u32 failed_error;		/* VM-instruction error, when an entry gave no exit */
};

struct vmx_cpu {
	struct vmx_region *vmxon;
	struct lucid_hw_vcpu *current_vmcs;
	struct list_head loaded;
	u64 tsc_aux;			/* the host's */
	u64 syscall[VMX_NR_SYSCALL];	/* the host's, */
	u64 syscall_now[VMX_NR_SYSCALL];	/* and what the CPU has */
	u64 sysenter_esp;
	u64 last_vm;
	bool on;			/* in VMX operation, by us */
};

DECLARE_PER_CPU(struct vmx_cpu, vmx_cpus);

/* Worked out of the capability MSRs once, at load. */
struct vmx_settings {
	u32 revision;
	u32 pin, proc, proc2, exit, entry;	/* controls that every VMCS starts with */
	u32 proc2_optional;		/* RDTSCP, INVPCID: as the guest has them */
	u64 ept_vpid;			/* IA32_VMX_EPT_VPID_CAP */
	u64 cr0_fixed1, cr4_fixed0, cr4_fixed1;
	u64 eptp_bits;
	u32 longest_stay;		/* in ticks of the VMX-preemption timer */
	bool zero_len_event;
	bool tpr_shadow;
	bool perf_global_ctrl;
	bool gs_by_instruction;		/* KERNEL_GS_BASE without MSR accesses */
	bool perf;			/* perf has counters to switch */
};

extern struct vmx_settings vmx;

u64 vmx_fetch(struct lucid_hw_vcpu *hw, enum vmx_field f);
u64 vmx_fetch_exit(struct lucid_hw_vcpu *hw, enum vmx_exit_field f);
const char *vmx_instruction_error(u32 error);
void vmx_refused_field(struct lucid_vcpu *vcpu, char *words, size_t size);
int vmx_vmenter(u64 *regs, u64 launched, u64 spec_ctrl, u64 *host_rsp);
extern char vmx_exited[];		/* entry.S: where an exit arrives */

/* Unchecked, for who knows that the VMCS is the current one. */
static __always_inline u64 vmread(unsigned long encoding)
{
	u64 value;

	asm volatile("vmread %1, %0" : "=rm" (value) : "r" (encoding) : "cc");
	return value;
}

static __always_inline void vmwrite(unsigned long encoding, u64 value)
{
	asm volatile("vmwrite %1, %0" : : "r" (encoding), "rm" (value) : "cc");
}

static __always_inline u64 vmx_get(struct lucid_hw_vcpu *hw, enum vmx_field f)
{
	if (hw->have & BIT_ULL(f))
		return hw->field[f];
	if (unlikely(!hw->at_hand))
		return vmx_fetch(hw, f);
	hw->have |= BIT_ULL(f);
	return hw->field[f] = vmread(vmx_encoding[f]);
}

static __always_inline void vmx_set(struct lucid_hw_vcpu *hw, enum vmx_field f, u64 value)
{
	hw->field[f] = value;
	hw->have |= BIT_ULL(f);
	hw->dirty |= BIT_ULL(f);
}

/* For fields of which we always have the copy. */
static __always_inline void vmx_update(struct lucid_hw_vcpu *hw, enum vmx_field f, u64 value)
{
	if (hw->field[f] != value)
		vmx_set(hw, f, value);
}

static __always_inline void vmx_control(struct lucid_hw_vcpu *hw, enum vmx_field f,
					u32 bit, bool on)
{
	vmx_update(hw, f, on ? hw->field[f] | bit : hw->field[f] & ~(u64)bit);
}

static __always_inline u64 vmx_told(struct lucid_hw_vcpu *hw, enum vmx_exit_field f)
{
	if (hw->exit_have & BIT(f))
		return hw->exit[f];
	if (unlikely(!hw->at_hand))
		return vmx_fetch_exit(hw, f);
	hw->exit_have |= BIT(f);
	return hw->exit[f] = vmread(vmx_exit_encoding[f]);
}

static inline enum vmx_field vmx_seg(int seg, int part)
{
	return VMX_ES_SEL + 4 * seg + part;
}

#endif
