// SPDX-License-Identifier: GPL-2.0
/*
 * Why an entry was refused, in words.  The CPU tells no more than that it was;
 * so the checks are made again here, in the manual's order, on the state that
 * was to be loaded, and the first that fails is named.
 */
#include <linux/kernel.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "vmx.h"

/**
 * vmx_instruction_error - a VM-instruction error number in words
 * @error: the number (SDM vol. 3C, "VM Instruction Error Numbers")
 */
const char *vmx_instruction_error(u32 error)
{
	static const char * const words[] = {
		[1] = "VMCALL executed in VMX root operation",
		[2] = "VMCLEAR with invalid physical address",
		[3] = "VMCLEAR with VMXON pointer",
		[4] = "VMLAUNCH with non-clear VMCS",
		[5] = "VMRESUME with non-launched VMCS",
		[6] = "VMRESUME after VMXOFF",
		[7] = "VM entry with invalid control fields",
		[8] = "VM entry with invalid host-state fields",
		[9] = "VMPTRLD with invalid physical address",
		[10] = "VMPTRLD with VMXON pointer",
		[11] = "VMPTRLD with incorrect VMCS revision identifier",
		[12] = "VMREAD or VMWRITE from or to unsupported VMCS component",
		[13] = "VMWRITE to read-only VMCS component",
		[15] = "VMXON executed in VMX root operation",
		[26] = "VM entry with events blocked by MOV SS",
		[28] = "invalid operand to INVEPT or INVVPID",
	};

	return error < ARRAY_SIZE(words) && words[error] ? words[error] : "unknown error";
}

static const char * const seg_names[8] = { "ES", "CS", "SS", "DS", "FS", "GS", "TR", "LDTR" };

struct check {
	struct lucid_vcpu *vcpu;
	struct lucid_hw_vcpu *hw;
	bool vm86, long_mode, real;
};

static bool canonical(u64 address)
{
	return (u64)((s64)(address << 16) >> 16) == address;
}

/* "Checks on Guest Control Registers, Debug Registers, and MSRs" */
static const char *check_registers(struct check *c)
{
	u64 cr0 = vmx_get(c->hw, VMX_CR0), cr4 = vmx_get(c->hw, VMX_CR4);
	u64 efer = vmx_get(c->hw, VMX_EFER);

	if ((cr0 & ~vmx.cr0_fixed1) || (vmx.cr4_fixed0 & ~cr4) || (cr4 & ~vmx.cr4_fixed1))
		return "CR0 or CR4 has a bit that this CPU's VMX does not allow";
	if ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE))
		return "CR0.PG without CR0.PE";
	if (c->long_mode && (!(cr0 & X86_CR0_PG) || !(cr4 & X86_CR4_PAE)))
		return "long mode without CR0.PG and CR4.PAE";
	if (!c->long_mode && (cr4 & X86_CR4_PCIDE))
		return "CR4.PCIDE outside of long mode";
	if (vmx_get(c->hw, VMX_CR3) >> boot_cpu_data.x86_phys_bits)
		return "CR3 is beyond the CPU's physical addresses";
	if (!canonical(vmx_get(c->hw, VMX_SYSENTER_ESP)) ||
	    !canonical(vmx_get(c->hw, VMX_SYSENTER_EIP)))
		return "SYSENTER_ESP or SYSENTER_EIP is not canonical";
	if (!!(efer & EFER_LMA) != c->long_mode ||
	    ((cr0 & X86_CR0_PG) && !!(efer & EFER_LME) != c->long_mode))
		return "EFER.LMA and EFER.LME disagree with the mode";
	return NULL;
}

static u64 part(struct check *c, int seg, int what)
{
	return vmx_get(c->hw, vmx_seg(seg, what));
}

/* "Checks on Guest Segment Registers": NULL, or what is wrong with @seg. */
static const char *check_segment(struct check *c, int seg)
{
	u32 ar = part(c, seg, VMX_AR), limit = part(c, seg, VMX_LIMIT);
	u16 sel = part(c, seg, VMX_SEL);
	u64 base = part(c, seg, VMX_BASE);
	u32 type = ar & 15, dpl = VMX_AR_DPL(ar), ss_dpl = VMX_AR_DPL(part(c, LUCID_SEG_SS, VMX_AR));

	if (c->vm86 && seg <= LUCID_SEG_GS) {
		if (base != (u64)sel << 4)
			return "base is not selector * 16 in virtual-8086 mode";
		if (limit != 0xffff)
			return "limit is not 0xffff in virtual-8086 mode";
		return (ar & 0x1ffff) == 0xf3 ? NULL : "access rights are not 0xf3 in virtual-8086 mode";
	}
	if ((seg == LUCID_SEG_TR || (seg == LUCID_SEG_LDTR && !(ar & VMX_AR_UNUSABLE_MASK))) &&
	    (sel & 4))
		return "selector is not in the GDT";
	if ((seg == LUCID_SEG_FS || seg == LUCID_SEG_GS || seg == LUCID_SEG_TR ||
	     (seg == LUCID_SEG_LDTR && !(ar & VMX_AR_UNUSABLE_MASK))) && !canonical(base))
		return "base is not canonical";
	if ((seg == LUCID_SEG_CS || ((seg == LUCID_SEG_SS || seg == LUCID_SEG_DS ||
	      seg == LUCID_SEG_ES) && !(ar & VMX_AR_UNUSABLE_MASK))) && base >> 32)
		return "base has more than 32 bits";
	if (ar & VMX_AR_UNUSABLE_MASK)
		return seg == LUCID_SEG_CS || seg == LUCID_SEG_TR ? "is unusable" : NULL;
	if (ar & VMX_AR_RESERVD_MASK)
		return "reserved access rights are set";
	if (!(ar & VMX_AR_P_MASK))
		return "is not present";
	if ((~limit & 0xfff) && (ar & VMX_AR_G_MASK))
		return "limit with G has bits 11:0 clear";
	if ((limit >> 20) && !(ar & VMX_AR_G_MASK))
		return "limit without G is beyond 1M";
	switch (seg) {
	case LUCID_SEG_CS:
		if (type != 3 && (type & 9) != 9)
			return "type is no accessed code segment";
		if (!(ar & VMX_AR_S_MASK))
			return "is a system segment";
		if (type == 3 ? dpl != 0 : type & 4 ? dpl > ss_dpl : dpl != ss_dpl)
			return "DPL does not fit SS";
		if (c->long_mode && (ar & VMX_AR_L_MASK) && (ar & VMX_AR_DB_MASK))
			return "L and D are both set";
		break;
	case LUCID_SEG_SS:
		if (type != 3 && type != 7)
			return "type is no accessed writable data segment";
		if (!(ar & VMX_AR_S_MASK))
			return "is a system segment";
		if ((c->real || (part(c, LUCID_SEG_CS, VMX_AR) & 15) == 3) && dpl)
			return "DPL is not 0";
		break;
	case LUCID_SEG_TR:
		if (c->long_mode ? type != 11 : type != 3 && type != 11)
			return "type is no busy TSS";
		if (ar & VMX_AR_S_MASK)
			return "is no system segment";
		break;
	case LUCID_SEG_LDTR:
		if (type != 2)
			return "type is no LDT";
		if (ar & VMX_AR_S_MASK)
			return "is no system segment";
		break;
	default:
		if (!(type & 1) || (type & 10) == 8)
			return "type is no accessed readable segment";
		if (!(ar & VMX_AR_S_MASK))
			return "is a system segment";
	}
	return NULL;
}

/* "Checks on Guest RIP and RFLAGS", "... Non-Register State" */
static const char *check_rest(struct check *c)
{
	u64 rip = vmx_get(c->hw, VMX_RIP), rflags = vmx_get(c->hw, VMX_RFLAGS);
	u32 shadow = vmx_get(c->hw, VMX_SHADOW), event = c->hw->refused_event;
	bool cs_l = part(c, LUCID_SEG_CS, VMX_AR) & VMX_AR_L_MASK;

	if (!canonical(vmx_get(c->hw, VMX_GDTR_BASE)) || !canonical(vmx_get(c->hw, VMX_IDTR_BASE)))
		return "GDTR's or IDTR's base is not canonical";
	if (vmx_get(c->hw, VMX_GDTR_LIMIT) >> 16 || vmx_get(c->hw, VMX_IDTR_LIMIT) >> 16)
		return "GDTR's or IDTR's limit has more than 16 bits";
	if (!(c->long_mode && cs_l) && rip >> 32)
		return "RIP has more than 32 bits outside of 64-bit mode";
	if (c->long_mode && cs_l && !canonical(rip))
		return "RIP is not canonical";
	if ((rflags & ~0x3f7fd7ull) || !(rflags & X86_EFLAGS_FIXED))
		return "RFLAGS has a reserved bit set, or bit 1 clear";
	if ((event & LUCID_EVENT_VALID) && !(event & LUCID_EVENT_TYPE) &&
	    !(rflags & X86_EFLAGS_IF))
		return "an interrupt is injected while RFLAGS.IF is 0";
	if ((shadow & 3) == 3 || ((shadow & 1) && !(rflags & X86_EFLAGS_IF)))
		return "the interrupt shadow contradicts RFLAGS or itself";
	return NULL;
}

/**
 * vmx_refused_field - which check of the guest's state refused the entry?
 * @vcpu: the vCPU
 * @words: gets the answer
 * @size: of @words
 *
 * SDM vol. 3C, "Checking and Loading Guest State".
 * Context: outside of a stay.
 */
void vmx_refused_field(struct lucid_vcpu *vcpu, char *words, size_t size)
{
	struct lucid_hw_vcpu *hw = vcpu->hw;
	struct check c = {
		.vcpu = vcpu,
		.hw = hw,
		.vm86 = vmx_get(hw, VMX_RFLAGS) & X86_EFLAGS_VM,
		.long_mode = hw->field[VMX_ENTRY] & VM_ENTRY_IA32E_MODE,
		.real = !(vmx_get(hw, VMX_CR0) & X86_CR0_PE),
	};
	const char *why = NULL;
	int seg;

	if ((u16)hw->reason == EXIT_REASON_MCE_DURING_VMENTRY)
		why = "machine check";
	else if ((u16)hw->reason == EXIT_REASON_MSR_LOAD_FAIL)
		why = "MSR loading";
	if (!why && c.vm86 && (c.long_mode || c.real))
		why = "RFLAGS.VM in long or real mode";
	why = why ?: check_registers(&c);
	for (seg = 0; !why && seg <= LUCID_SEG_LDTR; seg++) {
		const char *wrong = check_segment(&c, seg);

		if (wrong) {
			scnprintf(words, size, "%s %s", seg_names[seg], wrong);
			return;
		}
	}
	why = why ?: check_rest(&c);
	if (!why) {
		switch (vmx_told(hw, VMX_QUALIFICATION)) {
		case 2:
			why = "PDPTEs: a reserved bit is set in a present one";
			break;
		case 3:
			why = "an NMI is injected while STI blocks it";
			break;
		case 4:
			why = "VMCS link pointer";
			break;
		default:
			why = "a check that is not known here";
		}
	}
	strscpy(words, why, size);
}
