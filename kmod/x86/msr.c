// SPDX-License-Identifier: GPL-2.0
/*
 * Model-specific registers, as one table.
 *
 * A row gives a range of MSRs a kind; a kind is a rule for reading and writing.
 * What is not in the table does not exist: #GP for the guest, and the end of the
 * list for KVM_GET_MSRS and KVM_SET_MSRS.  Where the manuals leave room, and for
 * MSRs that exist only to keep old guests happy, the behaviour is KVM's.
 *
 * Not there on purpose, until they work: SPEC_CTRL, PRED_CMD, VIRT_SPEC_CTRL
 * (the host's values stay in force), ARCH_CAPABILITIES, MSRs of
 * paravirtualization other than kvmclock's, VM_CR and VM_HSAVE_PA (no SVM in
 * guests), TSC_RATIO, IBS, SMBASE, the core performance counters.
 *
 * A guest cannot make any of this write to the log.
 */
#include <linux/kvm_para.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "../lucid.h"

#define MAX_IO_MSRS	256		/* in one KVM_GET_MSRS or KVM_SET_MSRS; as KVM */

#define PAT_RESET	0x0007040600070406ull
#define MTRR_VARIABLE	8		/* pairs of base and mask */
#define MTRR_CAP	(BIT(10) | BIT(8) | MTRR_VARIABLE)	/* WC, fixed ranges */
#define MISC_ENABLE_RESET (MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL | \
			   MSR_IA32_MISC_ENABLE_BTS_UNAVAIL)
#define UCODE_REV_RESET	0x01000065	/* what KVM tells guests on AMD */
#define HWCR_IGNORED	(BIT(3) | BIT(6) | BIT(8))	/* TlbCacheDis, FfDis, IgnneEm */
#define HWCR_MC_STATUS_WR_EN BIT(18)
#define APIC_BASE_X2APIC BIT(10)	/* EXTD */

/* Some numbers that 6.1 or 6.12 have no name for. */
#define LUCID_MSR_FSB_FREQ		0x000000cd
#define LUCID_MSR_AMD64_DC_CFG		0xc0011022
#define LUCID_MSR_AMD64_TW_CFG		0xc0011023
#define LUCID_MSR_AMD64_IC_CFG		0xc0011021

enum msr_kind {
	MSR_CONST,		/* reads row->value; read-only */
	MSR_CONST_DROP,		/* reads row->value; writes are dropped */
	MSR_CONST_SAME,		/* reads row->value; only that may be written */
	MSR_DROP,		/* cannot be read; writes are dropped */
	MSR_HOST_ZERO,		/* 0, and only for the host */
	MSR_HW,			/* in the control block */
	MSR_HW_CANONICAL,	/* the same, an address */
	MSR_HW_SYSENTER,	/* the same, 32 bits wide on AMD */
	MSR_FIELD,		/* 64 bits at row->value in struct lucid_msrs, all writable */
	MSR_TSC,
	MSR_TSC_ADJUST,
	MSR_APIC_BASE,
	MSR_UCODE_REV,
	MSR_MISC_ENABLE,
	MSR_MTRR_VARIABLE,
	MSR_MTRR_FIXED,		/* row->value: place of the first in mtrr_fixed */
	MSR_MTRR_DEF_TYPE,
	MSR_PAT,
	MSR_MCG_CAP,
	MSR_MCG_CTL,
	MSR_KIND_EFER,
	MSR_KIND_TSC_AUX,
	MSR_KIND_HWCR,
	MSR_KIND_DE_CFG,
	MSR_APIC,		/* x2APIC registers, TSC_DEADLINE: irq/deliver.c */
	MSR_SYSTEM_TIME,	/* kvmclock: clock.c */
	MSR_WALL_CLOCK,
};

struct msr_row {
	u32 first, last;
	u8 kind;		/* enum msr_kind */
	bool listed;		/* in KVM_GET_MSR_INDEX_LIST: worth saving */
	u64 value;
};

#define RANGE(first, last, kind, value)	{ first, last, kind, false, value }
#define ROW(index, kind, value)		{ index, index, kind, false, value }
#define LISTED(index, kind, value)	{ index, index, kind, true, value }
#define FIELD(name)			offsetof(struct lucid_msrs, name)

/* Sorted by number: the look-up halves it. */
static const struct msr_row rows[] = {
	RANGE(MSR_IA32_P5_MC_ADDR, MSR_IA32_P5_MC_TYPE, MSR_CONST, 0),		/* 0x0 */
	LISTED(MSR_IA32_TSC, MSR_TSC, 0),					/* 0x10 */
	ROW(MSR_KVM_WALL_CLOCK, MSR_WALL_CLOCK, 0),				/* 0x11 */
	ROW(MSR_KVM_SYSTEM_TIME, MSR_SYSTEM_TIME, 0),				/* 0x12 */
	ROW(MSR_IA32_PLATFORM_ID, MSR_CONST, 0),				/* 0x17 */
	ROW(MSR_IA32_APICBASE, MSR_APIC_BASE, 0),				/* 0x1b */
	ROW(MSR_IA32_EBL_CR_POWERON, MSR_CONST, 0),				/* 0x2a */
	ROW(MSR_EBC_FREQUENCY_ID, MSR_CONST, 1 << 24),				/* 0x2c */
	LISTED(MSR_IA32_TSC_ADJUST, MSR_TSC_ADJUST, 0),				/* 0x3b */
	ROW(MSR_IA32_UCODE_WRITE, MSR_DROP, 0),					/* 0x79 */
	LISTED(MSR_IA32_UCODE_REV, MSR_UCODE_REV, 0),				/* 0x8b */
	RANGE(MSR_P6_PERFCTR0, MSR_P6_PERFCTR1, MSR_CONST_DROP, 0),		/* 0xc1 */
	ROW(LUCID_MSR_FSB_FREQ, MSR_CONST, 3),					/* 0xcd */
	ROW(MSR_PLATFORM_INFO, MSR_CONST_SAME, 0),				/* 0xce */
	ROW(MSR_MTRRcap, MSR_CONST, MTRR_CAP),					/* 0xfe */
	ROW(MSR_IA32_BBL_CR_CTL3, MSR_CONST_DROP, 0xbe702111),			/* 0x11e */
	ROW(MSR_MISC_FEATURES_ENABLES, MSR_CONST_SAME, 0),			/* 0x140 */
	LISTED(MSR_IA32_SYSENTER_CS, MSR_HW, 0),				/* 0x174 */
	LISTED(MSR_IA32_SYSENTER_ESP, MSR_HW_SYSENTER, 0),
	LISTED(MSR_IA32_SYSENTER_EIP, MSR_HW_SYSENTER, 0),
	ROW(MSR_IA32_MCG_CAP, MSR_MCG_CAP, 0),					/* 0x179 */
	LISTED(MSR_IA32_MCG_STATUS, MSR_FIELD, FIELD(mcg_status)),
	LISTED(MSR_IA32_MCG_CTL, MSR_MCG_CTL, 0),
	RANGE(MSR_P6_EVNTSEL0, MSR_P6_EVNTSEL1, MSR_CONST_DROP, 0),		/* 0x186 */
	ROW(MSR_IA32_PERF_STATUS, MSR_CONST, 1000 | 4ull << 40),		/* 0x198 */
	ROW(MSR_IA32_PERF_CTL, MSR_CONST, 0),
	LISTED(MSR_IA32_MISC_ENABLE, MSR_MISC_ENABLE, 0),			/* 0x1a0 */
	ROW(MSR_IA32_DEBUGCTLMSR, MSR_CONST_SAME, 0),				/* 0x1d9 */
	RANGE(MSR_IA32_LASTBRANCHFROMIP, MSR_IA32_LASTINTTOIP, MSR_CONST, 0),	/* 0x1db */
	ROW(MSR_IA32_POWER_CTL, MSR_FIELD, FIELD(power_ctl)),			/* 0x1fc */
	RANGE(0x200, 0x200 + 2 * MTRR_VARIABLE - 1, MSR_MTRR_VARIABLE, 0),
	ROW(MSR_MTRRfix64K_00000, MSR_MTRR_FIXED, 0),				/* 0x250 */
	RANGE(MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000, MSR_MTRR_FIXED, 1),	/* 0x258 */
	RANGE(MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_F8000, MSR_MTRR_FIXED, 3),	/* 0x268 */
	LISTED(MSR_IA32_CR_PAT, MSR_PAT, 0),					/* 0x277 */
	ROW(MSR_MTRRdefType, MSR_MTRR_DEF_TYPE, 0),				/* 0x2ff */
	ROW(MSR_RAPL_POWER_UNIT, MSR_CONST, 0),					/* 0x606 */
	ROW(MSR_PKG_ENERGY_STATUS, MSR_CONST, 0),				/* 0x611 */
	ROW(MSR_DRAM_ENERGY_STATUS, MSR_CONST, 0),				/* 0x619 */
	ROW(MSR_PP0_ENERGY_STATUS, MSR_CONST, 0),				/* 0x639 */
	ROW(MSR_PP1_ENERGY_STATUS, MSR_CONST, 0),				/* 0x641 */
	LISTED(MSR_IA32_TSC_DEADLINE, MSR_APIC, 0),				/* 0x6e0 */
	RANGE(0x800, 0x8ff, MSR_APIC, 0),					/* x2APIC */
	ROW(MSR_IA32_XSS, MSR_HOST_ZERO, 0),					/* 0xda0 */
	LISTED(MSR_KVM_WALL_CLOCK_NEW, MSR_WALL_CLOCK, 0),			/* 0x4b564d00 */
	LISTED(MSR_KVM_SYSTEM_TIME_NEW, MSR_SYSTEM_TIME, 0),

	ROW(MSR_EFER, MSR_KIND_EFER, 0),					/* 0xc0000080 */
	LISTED(MSR_STAR, MSR_HW, 0),
	LISTED(MSR_LSTAR, MSR_HW_CANONICAL, 0),
	LISTED(MSR_CSTAR, MSR_HW_CANONICAL, 0),
	LISTED(MSR_SYSCALL_MASK, MSR_HW, 0),
	ROW(MSR_FS_BASE, MSR_HW_CANONICAL, 0),					/* 0xc0000100 */
	ROW(MSR_GS_BASE, MSR_HW_CANONICAL, 0),
	LISTED(MSR_KERNEL_GS_BASE, MSR_HW_CANONICAL, 0),
	LISTED(MSR_TSC_AUX, MSR_KIND_TSC_AUX, 0),

	RANGE(MSR_K7_EVNTSEL0, MSR_K7_EVNTSEL3, MSR_CONST_DROP, 0),		/* 0xc0010000 */
	RANGE(MSR_K7_PERFCTR0, MSR_K7_PERFCTR3, MSR_CONST_DROP, 0),
	ROW(MSR_AMD64_SYSCFG, MSR_CONST, 0),					/* 0xc0010010 */
	LISTED(MSR_K7_HWCR, MSR_KIND_HWCR, 0),					/* 0xc0010015 */
	ROW(MSR_K7_CLK_CTL, MSR_CONST_DROP, 0x20000000),			/* 0xc001001b */
	ROW(MSR_AMD64_NB_CFG, MSR_CONST_DROP, 0),				/* 0xc001001f */
	ROW(MSR_AMD64_PATCH_LOADER, MSR_DROP, 0),				/* 0xc0010020 */
	ROW(MSR_K8_INT_PENDING_MSG, MSR_CONST, 0),				/* 0xc0010055 */
	ROW(MSR_FAM10H_MMIO_CONF_BASE, MSR_CONST_SAME, 0),			/* 0xc0010058 */
	RANGE(MSR_K8_TSEG_ADDR, MSR_K8_TSEG_MASK, MSR_CONST, 0),		/* 0xc0010112 */
	ROW(LUCID_MSR_AMD64_IC_CFG, MSR_CONST, 0),				/* 0xc0011021 */
	ROW(LUCID_MSR_AMD64_DC_CFG, MSR_CONST_DROP, 0),
	ROW(LUCID_MSR_AMD64_TW_CFG, MSR_CONST_DROP, 0),
	LISTED(MSR_AMD64_DE_CFG, MSR_KIND_DE_CFG, 0),				/* 0xc0011029 */
	ROW(MSR_AMD64_BU_CFG2, MSR_CONST_DROP, 0),				/* 0xc001102a */
	ROW(MSR_F15H_EX_CFG, MSR_CONST_DROP, 0),				/* 0xc001102c */
};

/* By halves: six rounds for sixty rows. */
static const struct msr_row *find_row(u32 index)
{
	u32 low = 0, high = ARRAY_SIZE(rows), middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (index > rows[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ARRAY_SIZE(rows) && index >= rows[low].first ? &rows[low] : NULL;
}

static u64 *field(struct lucid_vcpu *vcpu, const struct msr_row *row)
{
	return (void *)&vcpu->msrs + row->value;
}

/*
 * Place of @index in its row.  The guest chooses @index: a mispredicted look-up
 * must not read beyond the @size entries of the array that it indexes.
 */
static u32 place(const struct msr_row *row, u32 index, u32 size)
{
	return array_index_nospec(index - row->first, size);
}

/* ---- rules with a name ---- */

/* APM vol. 2, SSE and long mode: an address is canonical in the vCPU's width. */
static bool is_canonical(struct lucid_vcpu *vcpu, u64 address)
{
	u32 shift = vcpu->cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(address << shift) >> shift) == address;
}

static u64 make_canonical(struct lucid_vcpu *vcpu, u64 address)
{
	u32 shift = vcpu->cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (s64)(address << shift) >> shift;
}

/* 0 UC, 1 WC, 4 WT, 5 WP, 6 WB (SDM vol. 3A, "IA32_MTRR_DEF_TYPE MSR"). */
static bool is_mtrr_type(u8 type)
{
	return type < 8 && (BIT(type) & 0x73);
}

/* The same, and 7: UC- (SDM vol. 3A, "IA32_PAT MSR"). */
static bool is_pat(u64 pat)
{
	u32 i;

	for (i = 0; i < 64; i += 8) {
		u8 type = pat >> i;

		if (!is_mtrr_type(type) && type != 7)
			return false;
	}
	return true;
}

static bool is_mtrr_fixed(u64 value)
{
	u32 i;

	for (i = 0; i < 64; i += 8)
		if (!is_mtrr_type(value >> i))
			return false;
	return true;
}

static u64 reserved_address_bits(struct lucid_vcpu *vcpu)
{
	u32 width = vcpu->cpuid.maxphyaddr;

	return width < 64 ? ~0ull << width : 0;
}

static bool is_mtrr_variable(struct lucid_vcpu *vcpu, u32 place, u64 value)
{
	u64 reserved = reserved_address_bits(vcpu);

	if (place & 1)			/* PHYSMASK: bit 11 is "valid" */
		return !(value & (reserved | 0x7ff));
	return !(value & (reserved | 0xf00)) && is_mtrr_type(value);
}

/* What AMD64_DE_CFG reads: does LFENCE serialize?  Guests cannot change it. */
static u64 de_cfg_value(void)
{
	return boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
}

/*
 * IA32_APIC_BASE (SDM vol. 3A, "Local APIC Status and Location", "x2APIC State
 * Transitions"): x2APIC mode needs the APIC on, is entered from xAPIC mode only
 * and left only to "off".  Userspace may go anywhere that is a mode.
 */
static int set_apic_base(struct lucid_vcpu *vcpu, u64 value, bool host)
{
	const u64 on = MSR_IA32_APICBASE_ENABLE;
	u64 reserved = reserved_address_bits(vcpu) | 0x2ff;
	u64 old = vcpu->apic_base;

	if (!vcpu->cpuid.has_x2apic)
		reserved |= APIC_BASE_X2APIC;
	if ((value & reserved) || ((value & APIC_BASE_X2APIC) && !(value & on)))
		return LUCID_GP;
	if (!host) {
		if ((old & APIC_BASE_X2APIC) && (value & on) && !(value & APIC_BASE_X2APIC))
			return LUCID_GP;
		if (!(old & on) && (value & APIC_BASE_X2APIC))
			return LUCID_GP;
	}
	vcpu->apic_base = value;
	lucid_lapic_set_mode(&vcpu->irq.lapic, value & on, value & APIC_BASE_X2APIC);
	WRITE_ONCE(vcpu->irq.check, true);
	if ((old ^ value) & on)
		lucid_cpuid_update(vcpu);
	return 0;
}

/* ---- time ---- */

static u64 read_tsc(struct lucid_vcpu *vcpu)
{
	return rdtsc() + vcpu->tsc_offset;
}

static void set_tsc_offset(struct lucid_vcpu *vcpu, u64 offset)
{
	vcpu->tsc_offset = offset;
	lucid_hw_set_tsc_offset(vcpu, offset);
	if (vcpu->msrs.system_time & 1)
		lucid_request(vcpu, LUCID_REQ_CLOCK);
}

/*
 * Userspace sets the TSCs of a VM's vCPUs one after the other, and means them to
 * be equal.  So 0, and what is within a second of the VM's time, set the vCPU to
 * the VM's time exactly; anything else becomes the VM's time.  KVM's rule.
 */
static void host_set_tsc(struct lucid_vcpu *vcpu, u64 value)
{
	struct lucid_vm *vm = vcpu->vm;
	u64 now = rdtsc();
	s64 second = (s64)tsc_khz * 1000;
	s64 off;

	mutex_lock(&vm->lock);
	off = value - (now - vm->tsc_base);
	if (value && (off >= second || off <= -second))
		vm->tsc_base = now - value;
	set_tsc_offset(vcpu, -vm->tsc_base);
	mutex_unlock(&vm->lock);
}

/* ---- read and write ---- */

/**
 * lucid_msr_reset() - the MSRs after power-up
 * @vcpu: the vCPU
 *
 * EFER, APIC_BASE, the TSC and what lives in the control block are reset by
 * those who own them.
 *
 * Context: vcpu->lock held, or nobody else knows the vCPU yet.
 */
void lucid_msr_reset(struct lucid_vcpu *vcpu)
{
	struct lucid_msrs *m = &vcpu->msrs;

	memset(m, 0, sizeof(*m));
	m->pat = PAT_RESET;
	m->misc_enable = MISC_ENABLE_RESET;
	m->microcode = UCODE_REV_RESET;
	m->de_cfg = de_cfg_value();
	lucid_hw_set_pat(vcpu, m->pat);
}

/**
 * lucid_msr_get() - RDMSR
 * @vcpu:  the vCPU
 * @index: the MSR
 * @value: the answer; untouched on an error
 * @host:  userspace asks, not the guest
 *
 * Context: vcpu->lock held; any, also interrupts off.
 * Return: 0 or LUCID_GP.
 */
int lucid_msr_get(struct lucid_vcpu *vcpu, u32 index, u64 *value, bool host)
{
	const struct msr_row *row = find_row(index);
	struct lucid_msrs *m = &vcpu->msrs;
	u32 i;

	if (!row)
		return LUCID_GP;

	switch (row->kind) {
	case MSR_CONST:
	case MSR_CONST_DROP:
	case MSR_CONST_SAME:
		*value = row->value;
		return 0;
	case MSR_HOST_ZERO:
		if (!host)
			return LUCID_GP;
		*value = 0;
		return 0;
	case MSR_HW:
	case MSR_HW_CANONICAL:
	case MSR_HW_SYSENTER:
		return lucid_hw_get_msr(vcpu, index, value) ? 0 : LUCID_GP;
	case MSR_FIELD:
		*value = *field(vcpu, row);
		return 0;
	case MSR_TSC:
		*value = read_tsc(vcpu);
		return 0;
	case MSR_TSC_ADJUST:
		*value = m->tsc_adjust;
		return 0;
	case MSR_KIND_EFER:
		*value = vcpu->efer;
		return 0;
	case MSR_APIC_BASE:
		*value = vcpu->apic_base;
		return 0;
	case MSR_KIND_TSC_AUX:
		*value = m->tsc_aux;
		return 0;
	case MSR_UCODE_REV:
		*value = m->microcode;
		return 0;
	case MSR_MISC_ENABLE:
		*value = m->misc_enable;
		return 0;
	case MSR_MTRR_VARIABLE:
		*value = m->mtrr_var[place(row, index, ARRAY_SIZE(m->mtrr_var))];
		return 0;
	case MSR_MTRR_FIXED:
		i = row->value + index - row->first;
		*value = m->mtrr_fixed[array_index_nospec(i, ARRAY_SIZE(m->mtrr_fixed))];
		return 0;
	case MSR_MTRR_DEF_TYPE:
		*value = m->mtrr_def_type;
		return 0;
	case MSR_PAT:
		*value = m->pat;
		return 0;
	case MSR_KIND_HWCR:
		*value = m->hwcr;
		return 0;
	case MSR_KIND_DE_CFG:
		*value = m->de_cfg;
		return 0;
	case MSR_MCG_CAP:
		*value = m->mcg_cap;
		return 0;
	case MSR_APIC:
		return lucid_irq_get_msr(vcpu, index, value);
	case MSR_SYSTEM_TIME:
		*value = m->system_time;
		return 0;
	case MSR_WALL_CLOCK:
		*value = m->wall_clock;
		return 0;
	case MSR_MCG_CTL:
		if (!(m->mcg_cap & MCG_CTL_P) && !host)
			return LUCID_GP;
		*value = m->mcg_ctl;
		return 0;
	}
	return LUCID_GP;
}

/**
 * lucid_msr_set() - WRMSR
 * @vcpu:  the vCPU
 * @index: the MSR
 * @value: what to write
 * @host:  userspace writes, not the guest: it may set what is read-only to the
 *         guest, and its write of a TSC is meant for the whole VM
 *
 * Context: vcpu->lock held; for the guest any, also interrupts off, EFER aside,
 * where lucid_set_efer()'s rules hold; for the host may sleep.
 * Return: 0, or LUCID_GP and then nothing has changed.
 */
int lucid_msr_set(struct lucid_vcpu *vcpu, u32 index, u64 value, bool host)
{
	const struct msr_row *row = find_row(index);
	struct lucid_msrs *m = &vcpu->msrs;
	u64 delta;
	u32 i;

	if (!row)
		return LUCID_GP;

	switch (row->kind) {
	case MSR_CONST_SAME:
		return value == row->value ? 0 : LUCID_GP;
	case MSR_CONST_DROP:
	case MSR_DROP:
		return 0;
	case MSR_HOST_ZERO:
		return host && !value ? 0 : LUCID_GP;
	case MSR_HW_CANONICAL:
		if (!is_canonical(vcpu, value))
			return LUCID_GP;
		break;
	case MSR_HW:
		break;
	case MSR_HW_SYSENTER:
		/*
		 * Intel raises #GP for what is not canonical, AMD ignores the upper
		 * half (APM vol. 2, "SYSENTER and SYSEXIT MSRs").  KVM never raises
		 * it, so a guest that looks like Intel has the value straightened.
		 */
		value = vcpu->cpuid.is_intel ? make_canonical(vcpu, value) : (u32)value;
		break;
	case MSR_FIELD:
		*field(vcpu, row) = value;
		return 0;
	case MSR_TSC:
		if (host) {
			host_set_tsc(vcpu, value);
			return 0;
		}
		/* SDM vol. 3B, "IA32_TSC_ADJUST MSR": a write moves both. */
		delta = value - read_tsc(vcpu);
		m->tsc_adjust += delta;
		set_tsc_offset(vcpu, vcpu->tsc_offset + delta);
		return 0;
	case MSR_TSC_ADJUST:
		if (!vcpu->cpuid.has_tsc_adjust)
			return 0;	/* KVM's answer to guests that do not look */
		/* The host restores a TSC that this is already part of. */
		if (!host)
			set_tsc_offset(vcpu, vcpu->tsc_offset + value - m->tsc_adjust);
		m->tsc_adjust = value;
		return 0;
	case MSR_KIND_EFER:
		return lucid_set_efer(vcpu, value, host);
	case MSR_APIC_BASE:
		return set_apic_base(vcpu, value, host);
	case MSR_KIND_TSC_AUX:
		if (!boot_cpu_has(X86_FEATURE_RDTSCP) && !boot_cpu_has(X86_FEATURE_RDPID))
			return LUCID_GP;
		if (!host && !vcpu->cpuid.has_rdtscp && !vcpu->cpuid.has_rdpid)
			return LUCID_GP;
		/* Reserved on Intel, ignored by AMD's CPUs. */
		if (vcpu->cpuid.is_intel && value >> 32)
			return LUCID_GP;
		m->tsc_aux = (u32)value;
		return 0;
	case MSR_UCODE_REV:
		if (host)
			m->microcode = value;
		return 0;
	case MSR_MISC_ENABLE:
		if (!host) {
			if ((m->misc_enable ^ value) & MISC_ENABLE_RESET)
				return LUCID_GP;	/* read-only */
			value &= ~MSR_IA32_MISC_ENABLE_EMON;
			value |= m->misc_enable & MSR_IA32_MISC_ENABLE_EMON;
		}
		m->misc_enable = value;
		return 0;
	case MSR_MTRR_VARIABLE:
		i = place(row, index, ARRAY_SIZE(m->mtrr_var));
		if (!is_mtrr_variable(vcpu, i, value))
			return LUCID_GP;
		m->mtrr_var[i] = value;
		return 0;
	case MSR_MTRR_FIXED:
		if (!is_mtrr_fixed(value))
			return LUCID_GP;
		i = row->value + index - row->first;
		m->mtrr_fixed[array_index_nospec(i, ARRAY_SIZE(m->mtrr_fixed))] = value;
		return 0;
	case MSR_MTRR_DEF_TYPE:
		/* Type, FE, E. */
		if ((value & ~0xcffull) || !is_mtrr_type(value))
			return LUCID_GP;
		m->mtrr_def_type = value;
		return 0;
	case MSR_PAT:
		if (!is_pat(value))
			return LUCID_GP;
		m->pat = value;
		lucid_hw_set_pat(vcpu, value);
		return 0;
	case MSR_KIND_HWCR:
		value &= ~HWCR_IGNORED;
		if (value & ~HWCR_MC_STATUS_WR_EN)
			return LUCID_GP;
		m->hwcr = value;
		return 0;
	case MSR_KIND_DE_CFG:
		/* The host may clear it: a guest moved here from another machine. */
		if ((value & ~de_cfg_value()) || (!host && value != de_cfg_value()))
			return LUCID_GP;
		m->de_cfg = value;
		return 0;
	case MSR_APIC:
		return lucid_irq_set_msr(vcpu, index, value);
	case MSR_SYSTEM_TIME:
		lucid_clock_set_msr(vcpu, false, value);
		return 0;
	case MSR_WALL_CLOCK:
		lucid_clock_set_msr(vcpu, true, value);
		return 0;
	case MSR_MCG_CTL:
		if (!(m->mcg_cap & MCG_CTL_P) && (value || !host))
			return LUCID_GP;
		if (value && value != ~0ull)
			return LUCID_GP;
		m->mcg_ctl = value;
		return 0;
	default:
		return LUCID_GP;	/* read-only */
	}
	/* Those in the control block, once checked. */
	return lucid_hw_set_msr(vcpu, index, value) ? 0 : LUCID_GP;
}

/* ---- the ioctls ---- */

static bool is_listed(const struct msr_row *row)
{
	if (row->kind == MSR_KIND_TSC_AUX && !boot_cpu_has(X86_FEATURE_RDTSCP) &&
	    !boot_cpu_has(X86_FEATURE_RDPID))
		return false;
	return row->listed;
}

/**
 * lucid_msr_index_list() - KVM_GET_MSR_INDEX_LIST
 * @arg: the caller's struct kvm_msr_list; nmsrs is always set to the full number
 *
 * Context: may sleep.
 * Return: 0, -E2BIG (room for too few) or -EFAULT.
 */
int lucid_msr_index_list(struct kvm_msr_list __user *arg)
{
	u32 list[ARRAY_SIZE(rows)];
	u32 room, nr = 0, i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (is_listed(&rows[i]))
			list[nr++] = rows[i].first;

	if (get_user(room, &arg->nmsrs) || put_user(nr, &arg->nmsrs))
		return -EFAULT;
	if (room < nr)
		return -E2BIG;
	return copy_to_user(arg->indices, list, nr * sizeof(*list)) ? -EFAULT : 0;
}

/**
 * lucid_msr_ioctl() - KVM_GET_MSRS and KVM_SET_MSRS of a vCPU
 * @vcpu: the vCPU
 * @arg:  the caller's struct kvm_msrs
 * @set:  write them; else read them
 *
 * Goes through the list until one is refused.
 *
 * Context: vcpu->lock held, not in the guest; may sleep.
 * Return: how many were done, -E2BIG (256 or more), -EFAULT or -ENOMEM.
 */
long lucid_msr_ioctl(struct lucid_vcpu *vcpu, struct kvm_msrs __user *arg, bool set)
{
	struct kvm_msr_entry *entries, *e;
	size_t size;
	u32 nr, i;
	int err;

	if (get_user(nr, &arg->nmsrs))
		return -EFAULT;
	if (nr >= MAX_IO_MSRS)
		return -E2BIG;
	size = nr * sizeof(*entries);
	entries = memdup_user(arg->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);

	for (i = 0; i < nr; i++) {
		e = &entries[i];
		err = set ? lucid_msr_set(vcpu, e->index, e->data, true) :
			    lucid_msr_get(vcpu, e->index, &e->data, true);
		if (err)
			break;
	}
	err = 0;
	if (!set && copy_to_user(arg->entries, entries, size))
		err = -EFAULT;
	kfree(entries);
	return err ?: (long)i;
}
