// SPDX-License-Identifier: GPL-2.0
/*
 * CPUID: what guests may be offered, what a guest was given, and the exit.
 *
 * The offer (KVM_GET_SUPPORTED_CPUID) is a table of allowed bits, ANDed with
 * the host's CPUID and with what the host's kernel uses.  It is worked out once,
 * when the module is loaded: CPUID itself traps under a hypervisor and is slow
 * everywhere, so no exit executes it.
 *
 * A bit is in the table only if what it promises works.  Left out on purpose:
 *   MONITOR, VMX, SVM, SMX		not virtualized
 *   TSC_DEADLINE_TIMER			userspace adds it if the APIC is in the kernel
 *   SPEC_CTRL, IBPB, STIBP, SSBD	the host's SPEC_CTRL stays in force in guests,
 *					the MSRs are refused
 *   PKU, CET, XSAVES, XFD, AMX, MPX	state that is not switched
 *   performance counters, LBR, PT, PDCM, RTM, HLE, SGX, WAITPKG, OSVW
 */
#include <linux/kernel.h>
#include <linux/kvm_para.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "../lucid.h"

#define INDEXED		KVM_CPUID_FLAG_SIGNIFCANT_INDEX

#define MAX_BASIC	0x1f
#define MAX_EXTENDED	0x80000021
#define MAXPHYADDR_NONE	36	/* of a CPU without leaf 0x80000008 */
#define MAXPHYADDR_4LEVEL 48	/* what four levels of nested tables can map */

enum cpuid_reg { EAX, EBX, ECX, EDX };

/* ---- the table of what may be offered ---- */

#define B(name)		BIT(X86_FEATURE_##name & 31)
#define NO_WORD		0xff		/* the kernel has no word for it, or not on 6.1 */
/* Components that guests must be able to save for a feature to be of use. */
#define BY_XSAVE	XFEATURE_MASK_FP
#define BY_AVX		(XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM)
#define BY_AVX512	(BY_AVX | XFEATURE_MASK_AVX512)

struct cpuid_row {
	u32 function;
	u8 index;
	u8 reg;
	u8 word;		/* of boot_cpu_data.x86_capability */
	u16 needs;		/* BY_… */
	u32 allow;		/* offered if the host has it and its kernel uses it */
};

#define ROW(function, index, reg, word, needs, allow) \
	{ function, index, reg, word, needs, allow }
/* A register that is passed on as the host has it. */
#define PASS(function, reg, allow)	ROW(function, 0, reg, NO_WORD, 0, allow)
#define PASS_ALL(function) \
	PASS(function, EAX, ~0u), PASS(function, EBX, ~0u), \
	PASS(function, ECX, ~0u), PASS(function, EDX, ~0u)

static const struct cpuid_row rows[] __initconst = {
	PASS(0, EBX, ~0u), PASS(0, ECX, ~0u), PASS(0, EDX, ~0u),

	PASS(1, EAX, ~0u),
	PASS(1, EBX, 0x0000ff00),	/* CLFLUSH size; the rest is the vCPU's own */
	ROW(1, 0, ECX, CPUID_1_ECX, 0,
	    B(XMM3) | B(PCLMULQDQ) | B(SSSE3) | B(CX16) | B(PCID) | B(XMM4_1) |
	    B(XMM4_2) | B(MOVBE) | B(POPCNT) | B(AES) | B(RDRAND)),
	ROW(1, 0, ECX, CPUID_1_ECX, BY_XSAVE, B(XSAVE)),
	ROW(1, 0, ECX, CPUID_1_ECX, BY_AVX, B(AVX) | B(FMA) | B(F16C)),
	ROW(1, 0, EDX, CPUID_1_EDX, 0,
	    B(FPU) | B(VME) | B(DE) | B(PSE) | B(TSC) | B(MSR) | B(PAE) | B(MCE) |
	    B(CX8) | B(APIC) | B(SEP) | B(MTRR) | B(PGE) | B(MCA) | B(CMOV) | B(PAT) |
	    B(PSE36) | B(CLFLUSH) | B(MMX) | B(FXSR) | B(XMM) | B(XMM2) | B(SELFSNOOP)),

	PASS_ALL(2),		/* cache and TLB descriptors (Intel) */
	PASS_ALL(4),		/* caches (Intel); all subleaves */

	ROW(7, 0, EBX, CPUID_7_0_EBX, 0,
	    B(FSGSBASE) | B(BMI1) | B(SMEP) | B(BMI2) | B(ERMS) | B(INVPCID) |
	    B(FDP_EXCPTN_ONLY) | B(ZERO_FCS_FDS) | B(RDSEED) | B(ADX) | B(SMAP) |
	    B(CLFLUSHOPT) | B(CLWB) | B(SHA_NI)),
	ROW(7, 0, EBX, CPUID_7_0_EBX, BY_AVX, B(AVX2)),
	ROW(7, 0, EBX, CPUID_7_0_EBX, BY_AVX512,
	    B(AVX512F) | B(AVX512DQ) | B(AVX512IFMA) | B(AVX512CD) | B(AVX512BW) |
	    B(AVX512VL)),
	ROW(7, 0, ECX, CPUID_7_ECX, 0,
	    B(LA57) | B(RDPID) | B(UMIP) | B(GFNI) | B(CLDEMOTE) | B(MOVDIRI) |
	    B(MOVDIR64B)),
	ROW(7, 0, ECX, CPUID_7_ECX, BY_AVX, B(VAES) | B(VPCLMULQDQ)),
	ROW(7, 0, ECX, CPUID_7_ECX, BY_AVX512,
	    B(AVX512VBMI) | B(AVX512_VBMI2) | B(AVX512_VNNI) | B(AVX512_BITALG) |
	    B(AVX512_VPOPCNTDQ)),
	ROW(7, 0, EDX, CPUID_7_EDX, 0, B(FSRM) | B(MD_CLEAR) | B(SERIALIZE)),
	ROW(7, 0, EDX, CPUID_7_EDX, BY_AVX512, B(AVX512_VP2INTERSECT) | B(AVX512_FP16)),
	ROW(7, 1, EAX, CPUID_7_1_EAX, BY_AVX, B(AVX_VNNI)),
	ROW(7, 1, EAX, CPUID_7_1_EAX, BY_AVX512, B(AVX512_BF16)),

	ROW(0xd, 1, EAX, CPUID_D_1_EAX, BY_XSAVE, B(XSAVEOPT) | B(XSAVEC) | B(XGETBV1)),

	PASS(0x80000000, EBX, ~0u), PASS(0x80000000, ECX, ~0u), PASS(0x80000000, EDX, ~0u),
	PASS(0x80000001, EAX, ~0u),
	PASS(0x80000001, EBX, 0xf000ffff),
	ROW(0x80000001, 0, ECX, CPUID_8000_0001_ECX, 0,
	    B(LAHF_LM) | B(CMP_LEGACY) | B(CR8_LEGACY) | B(ABM) | B(SSE4A) |
	    B(MISALIGNSSE) | B(3DNOWPREFETCH) | B(TBM) | B(TOPOEXT)),
	ROW(0x80000001, 0, ECX, CPUID_8000_0001_ECX, BY_AVX, B(XOP) | B(FMA4)),
	ROW(0x80000001, 0, EDX, CPUID_8000_0001_EDX, 0,
	    /* AMD repeats these from leaf 1 */
	    B(FPU) | B(VME) | B(DE) | B(PSE) | B(TSC) | B(MSR) | B(PAE) | B(MCE) |
	    B(CX8) | B(APIC) | B(MTRR) | B(PGE) | B(MCA) | B(CMOV) | B(PAT) |
	    B(PSE36) | B(MMX) | B(FXSR) |
	    B(SYSCALL) | B(NX) | B(MMXEXT) | B(FXSR_OPT) | B(GBPAGES) | B(RDTSCP) |
	    B(LM) | B(3DNOWEXT) | B(3DNOW)),
	PASS_ALL(0x80000002), PASS_ALL(0x80000003), PASS_ALL(0x80000004),	/* name */
	PASS_ALL(0x80000005),	/* caches and TLBs (AMD) */
	PASS(0x80000006, EAX, ~0u), PASS(0x80000006, EBX, ~0u),
	PASS(0x80000006, ECX, ~0u), PASS(0x80000006, EDX, ~0x30000u),
	PASS(0x80000007, EDX, BIT(8)),			/* invariant TSC */
	ROW(0x80000008, 0, EBX, CPUID_8000_0008_EBX, 0,
	    B(CLZERO) | B(XSAVEERPTR) | B(WBNOINVD) | B(AMD_SSB_NO)),
	PASS(0x80000019, EAX, ~0u), PASS(0x80000019, EBX, ~0u),	/* 1G TLBs */
	PASS(0x8000001a, EAX, 0x7),			/* speed of 128 and 256 bit units */
	PASS_ALL(0x8000001d),				/* caches; all subleaves */
	PASS(0x80000021, EAX,
	     BIT(0) |		/* no nested data breakpoints */
	     BIT(2) |		/* LFENCE serializes */
	     BIT(5) |		/* VERW clears what TSA leaks */
	     BIT(6) |		/* a null selector clears the base */
	     BIT(29)),		/* SRSO_NO */
	PASS(0x80000021, ECX, BIT(1) | BIT(2)),		/* TSA_SQ_NO, TSA_L1_NO */
};

static struct {
	u32 nr;
	struct kvm_cpuid_entry2 entries[LUCID_MAX_CPUID];
	u64 cr4_reserved;	/* without regard to a guest's CPUID */
} offer __ro_after_init;

static u32 *entry_reg(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	switch (reg) {
	case EAX:
		return &e->eax;
	case EBX:
		return &e->ebx;
	case ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

/* Leaves whose answer depends on ECX. */
static bool __init is_indexed(u32 function)
{
	switch (function) {
	case 0x4:
	case 0x7:
	case 0xb:
	case 0xd:
	case 0xf:
	case 0x10:
	case 0x12:
	case 0x14:
	case 0x17:
	case 0x18:
	case 0x1d:
	case 0x1e:
	case 0x1f:
	case 0x8000001d:
		return true;
	}
	return false;
}

/*
 * One more entry of the offer: the host's leaf, masked by the rows for
 * @row_index (subleaves of the cache leaves share the rows of subleaf 0).
 */
static struct kvm_cpuid_entry2 *__init offer_add(u32 function, u32 index, u32 row_index)
{
	u64 xfeatures = lucid_fpu_guest_xcr0_mask();
	struct kvm_cpuid_entry2 host = {}, *e;
	const struct cpuid_row *row;
	u32 value;

	if (WARN_ON_ONCE(offer.nr == LUCID_MAX_CPUID))
		return NULL;

	e = &offer.entries[offer.nr++];
	e->function = function;
	e->index = index;
	e->flags = is_indexed(function) ? INDEXED : 0;

	/* Past its last leaf a CPU may answer with that of another. */
	if ((function & 0x80000000) && function > cpuid_eax(0x80000000))
		return e;
	cpuid_count(function, index, &host.eax, &host.ebx, &host.ecx, &host.edx);

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		if (row->function != function || row->index != row_index ||
		    (row->needs & ~xfeatures))
			continue;
		value = *entry_reg(&host, row->reg) & row->allow;
		if (row->word != NO_WORD)
			value &= boot_cpu_data.x86_capability[row->word];
		*entry_reg(e, row->reg) |= value;
	}
	return e;
}

/* Leaf 0xd: sizes and places of what XSAVE saves. */
static int __init offer_add_xsave(struct kvm_cpuid_entry2 *e)
{
	u64 xfeatures = lucid_fpu_guest_xcr0_mask();
	u32 i, ignored;

	if (!xfeatures)
		return 0;

	e->eax = (u32)xfeatures;
	e->edx = xfeatures >> 32;
	e->ebx = lucid_fpu_xsave_size(xfeatures);
	e->ecx = e->ebx;

	e = offer_add(0xd, 1, 1);
	if (!e)
		return -E2BIG;
	if (e->eax & B(XSAVEC))
		e->ebx = lucid_fpu_xsave_size_compacted(xfeatures);

	for (i = FIRST_EXTENDED_XFEATURE; i < 64; i++) {
		if (!(xfeatures & BIT_ULL(i)))
			continue;
		e = offer_add(0xd, i, i);
		if (!e)
			return -E2BIG;
		cpuid_count(0xd, i, &e->eax, &e->ebx, &e->ecx, &ignored);
		e->ecx &= BIT(1);	/* aligned when compacted; no XSS, no XFD */
	}
	return 0;
}

/* What no mask can say: limits, subleaves, and bits that are not the host's. */
static int __init offer_add_leaf(u32 function)
{
	struct kvm_cpuid_entry2 *e = offer_add(function, 0, 0);
	u32 width, i;

	if (!e)
		return -E2BIG;

	switch (function) {
	case 0:
		e->eax = min_t(u32, cpuid_eax(0), MAX_BASIC);
		break;
	case 1:
		/* The local APIC is ours, whatever the host's can do. */
		e->ecx |= B(HYPERVISOR) | B(X2APIC);
		break;
	case 4:
	case 0x8000001d:
		/* The list of caches ends with one of type 0. */
		for (i = 1; e->eax & 0x1f; i++) {
			e = offer_add(function, i, 0);
			if (!e)
				return -E2BIG;
		}
		break;
	case 6:
		e->eax = BIT(2);	/* ARAT: the APIC timer never stops */
		break;
	case 7:
		e->ebx |= B(TSC_ADJUST);	/* done by msr.c */
		e->eax = min_t(u32, cpuid_eax(7), 1);
		if (e->eax && !offer_add(7, 1, 1))
			return -E2BIG;
		break;
	case 0xd:
		return offer_add_xsave(e);
	case 0x80000000:
		e->eax = min_t(u32, cpuid_eax(0x80000000), MAX_EXTENDED);
		/* Leaf 0x80000021 has good news that older CPUs do not tell. */
		if (e->eax >= 0x8000001d)
			e->eax = MAX_EXTENDED;
		break;
	case 0x80000007:
		e->edx &= boot_cpu_data.x86_power;
		break;
	case 0x80000008:
		/*
		 * Nested tables have as many levels as the host's own: with four
		 * no guest-physical address beyond 48 bits could be mapped.
		 */
		width = cpuid_eax(0x80000000) >= function ? cpuid_eax(function) : 0x3024;
		e->eax = width & 0xff;
		if (!boot_cpu_has(X86_FEATURE_LA57))
			e->eax = min_t(u32, e->eax, MAXPHYADDR_4LEVEL);
		e->eax |= boot_cpu_has(X86_FEATURE_LA57) ? 57 << 8 : 48 << 8;
		if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
			e->ebx |= B(AMD_SSB_NO);
		break;
	case 0x80000021:
		if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
			e->eax |= BIT(2);
		if (!boot_cpu_has_bug(X86_BUG_NULL_SEG))
			e->eax |= BIT(6);
		e->eax |= BIT(9);	/* there is no SMM_CTL MSR */
		break;
	}
	return 0;
}

static int __init offer_add_class(u32 base)
{
	u32 function, last;
	int err;

	err = offer_add_leaf(base);
	if (err)
		return err;
	last = offer.entries[offer.nr - 1].eax;

	for (function = base + 1; function <= last; function++) {
		err = offer_add_leaf(function);
		if (err)
			return err;
	}
	return 0;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid_entry2 *entries, u32 nr,
				     u32 function, u32 index)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		if (entries[i].function == function &&
		    (!(entries[i].flags & INDEXED) || entries[i].index == index))
			return &entries[i];
	}
	return NULL;
}

/* Bits of CR4 that these entries do not give a guest, and those nobody gets. */
static u64 cr4_reserved(struct kvm_cpuid_entry2 *entries, u32 nr)
{
	struct kvm_cpuid_entry2 *e;
	u64 ok = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |
		 X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE |
		 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	e = find(entries, nr, 1, 0);
	if (e) {
		ok |= e->ecx & B(XSAVE) ? X86_CR4_OSXSAVE : 0;
		ok |= e->ecx & B(PCID) ? X86_CR4_PCIDE : 0;
	}
	e = find(entries, nr, 7, 0);
	if (e) {
		ok |= e->ebx & B(FSGSBASE) ? X86_CR4_FSGSBASE : 0;
		ok |= e->ebx & B(SMEP) ? X86_CR4_SMEP : 0;
		ok |= e->ebx & B(SMAP) ? X86_CR4_SMAP : 0;
		ok |= e->ecx & B(UMIP) ? X86_CR4_UMIP : 0;
		ok |= e->ecx & B(LA57) ? X86_CR4_LA57 : 0;
	}
	return ~ok;
}

/**
 * lucid_cpuid_module_init() - work out what guests may be offered
 *
 * Context: module load, after lucid_fpu_module_init().
 * Return: 0, or -E2BIG on a CPU with more leaves than anyone has seen.
 */
int __init lucid_cpuid_module_init(void)
{
	static const char signature[12] __initconst = KVM_SIGNATURE;
	struct kvm_cpuid_entry2 *e;
	int err;

	/* CPUs of one machine may differ in a cache leaf: ask one of them. */
	preempt_disable();
	err = offer_add_class(0) ?: offer_add_class(0x80000000);
	preempt_enable();
	if (err)
		return err;

	if (offer.nr + 2 > LUCID_MAX_CPUID)
		return -E2BIG;
	/* "I am KVM", for its ABI's sake, with the clock of its paravirtual features. */
	e = &offer.entries[offer.nr++];
	e->function = KVM_CPUID_SIGNATURE;
	e->eax = KVM_CPUID_FEATURES;
	memcpy(&e->ebx, signature, 4);
	memcpy(&e->ecx, signature + 4, 4);
	memcpy(&e->edx, signature + 8, 4);
	e = &offer.entries[offer.nr++];
	e->function = KVM_CPUID_FEATURES;
	e->eax = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) |
		 BIT(KVM_FEATURE_NOP_IO_DELAY) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);

	offer.cr4_reserved = cr4_reserved(offer.entries, offer.nr);
	return 0;
}

/**
 * lucid_cpuid_get_supported() - KVM_GET_SUPPORTED_CPUID
 * @arg: the caller's struct kvm_cpuid2
 *
 * Context: may sleep.
 * Return: 0, -E2BIG (room for too few entries; nothing is written) or -EFAULT.
 */
int lucid_cpuid_get_supported(struct kvm_cpuid2 __user *arg)
{
	u32 nr;

	if (get_user(nr, &arg->nent))
		return -EFAULT;
	if (nr < offer.nr)
		return -E2BIG;
	if (copy_to_user(arg->entries, offer.entries, offer.nr * sizeof(offer.entries[0])) ||
	    put_user(offer.nr, &arg->nent))
		return -EFAULT;
	return 0;
}

/* ---- a vCPU's CPUID ---- */

/* Class in the top two bits, low bits of the leaf: no two leaves in use collide. */
static __always_inline u32 bucket_of(u32 function)
{
	return (function >> 30) << 6 | (function & 0x3f);
}

/* The first entry for @function whose index is @index or does not matter. */
static __always_inline struct kvm_cpuid_entry2 *lookup(const struct lucid_cpuid *c,
						       u32 function, u32 index)
{
	struct kvm_cpuid_entry2 *e;
	u32 i;

	for (i = c->bucket[bucket_of(function)]; i; i = c->next[i - 1]) {
		e = &c->entries[i - 1];
		if (e->function == function && (!(e->flags & INDEXED) || e->index == index))
			return e;
	}
	return NULL;
}

static void set_bit_if(u32 *reg, u32 bit, bool on)
{
	*reg = on ? *reg | bit : *reg & ~bit;
}

/* Bits that follow the guest's registers; any of the entries may be NULL. */
static void write_runtime_bits(struct lucid_vcpu *vcpu, struct kvm_cpuid_entry2 *leaf1,
			       struct kvm_cpuid_entry2 *leaf_d0,
			       struct kvm_cpuid_entry2 *leaf_d1)
{
	if (leaf1) {
		if (lucid_fpu_guest_xcr0_mask())
			set_bit_if(&leaf1->ecx, B(OSXSAVE), vcpu->cr4 & X86_CR4_OSXSAVE);
		set_bit_if(&leaf1->edx, B(APIC), vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
	}
	if (leaf_d0)
		leaf_d0->ebx = lucid_fpu_xsave_size(vcpu->fpu.xcr0);
	if (leaf_d1 && (leaf_d1->eax & (B(XSAVEC) | B(XSAVES))))
		leaf_d1->ebx = lucid_fpu_xsave_size_compacted(vcpu->fpu.xcr0);
}

/**
 * lucid_cpuid_update() - bring the bits that follow registers up to date
 * @vcpu: the vCPU whose CR4, APIC_BASE or XCR0 has changed
 *
 * Context: vcpu->lock held; any, also interrupts off.
 */
void lucid_cpuid_update(struct lucid_vcpu *vcpu)
{
	write_runtime_bits(vcpu, vcpu->cpuid.leaf1, vcpu->cpuid.leaf_d0, vcpu->cpuid.leaf_d1);
}

static bool is_vendor(const struct kvm_cpuid_entry2 *e, const char *vendor)
{
	return !memcmp(&e->ebx, vendor, 4) && !memcmp(&e->edx, vendor + 4, 4) &&
	       !memcmp(&e->ecx, vendor + 8, 4);
}

static void build_lookup(struct lucid_cpuid *c)
{
	u16 *head;
	u32 i;

	memset(c->bucket, 0, sizeof(c->bucket));
	/* From the last on, so that the first of several is found first. */
	for (i = c->nr; i; i--) {
		head = &c->bucket[bucket_of(c->entries[i - 1].function)];
		c->next[i - 1] = *head;
		*head = i;
	}
	c->leaf1 = lookup(c, 1, 0);
	c->leaf_d0 = lookup(c, 0xd, 0);
	c->leaf_d1 = lookup(c, 0xd, 1);
}

/* Everything that other files want to know without a look-up. */
static void derive(struct lucid_cpuid *c)
{
	static const struct kvm_cpuid_entry2 none;
	const struct kvm_cpuid_entry2 *leaf0 = lookup(c, 0, 0) ?: &none;
	const struct kvm_cpuid_entry2 *leaf1 = c->leaf1 ?: &none;
	const struct kvm_cpuid_entry2 *leaf7 = lookup(c, 7, 0) ?: &none;
	const struct kvm_cpuid_entry2 *leaf_d0 = c->leaf_d0 ?: &none;
	const struct kvm_cpuid_entry2 *ext0 = lookup(c, 0x80000000, 0) ?: &none;
	const struct kvm_cpuid_entry2 *ext1 = lookup(c, 0x80000001, 0) ?: &none;
	const struct kvm_cpuid_entry2 *ext8 = lookup(c, 0x80000008, 0);

	c->is_intel = is_vendor(leaf0, "GenuineIntel");
	c->is_amd = is_vendor(leaf0, "AuthenticAMD") || is_vendor(leaf0, "AMDisbetter!") ||
		    is_vendor(leaf0, "HygonGenuine");

	c->maxphyaddr = MAXPHYADDR_NONE;
	if (ext0->eax >= 0x80000008 && ext8)
		c->maxphyaddr = min_t(u32, ext8->eax & 0xff, 52);

	c->has_x2apic = leaf1->ecx & B(X2APIC);
	c->has_tsc_deadline = leaf1->ecx & B(TSC_DEADLINE_TIMER);

	c->has_invpcid = leaf7->ebx & B(INVPCID);
	c->has_tsc_adjust = leaf7->ebx & B(TSC_ADJUST);
	c->has_rdpid = leaf7->ecx & B(RDPID);


	c->has_ffxsr = ext1->edx & B(FXSR_OPT);
	c->has_gbpages = ext1->edx & B(GBPAGES);
	c->has_long_mode = ext1->edx & B(LM);
	c->has_nx = ext1->edx & B(NX);
	c->has_rdtscp = ext1->edx & B(RDTSCP);

	c->xcr0_allowed = ((u64)leaf_d0->edx << 32 | leaf_d0->eax) & lucid_fpu_guest_xcr0_mask();
	c->cr4_reserved = offer.cr4_reserved | cr4_reserved(c->entries, c->nr);
}

/**
 * lucid_cpuid_create() - the CPUID of a vCPU that was not given any: no leaf
 * @vcpu: a new vCPU
 *
 * As with KVM, CR4 may then hold all that the module supports.
 *
 * Context: before the first reset.
 */
void lucid_cpuid_create(struct lucid_vcpu *vcpu)
{
	memset(&vcpu->cpuid, 0, sizeof(vcpu->cpuid));
	vcpu->cpuid.maxphyaddr = MAXPHYADDR_NONE;
	vcpu->cpuid.cr4_reserved = offer.cr4_reserved;
}

/**
 * lucid_cpuid_destroy() - free a vCPU's CPUID
 * @vcpu: the vCPU
 */
void lucid_cpuid_destroy(struct lucid_vcpu *vcpu)
{
	kvfree(vcpu->cpuid.entries);
	vcpu->cpuid.entries = NULL;
	vcpu->cpuid.nr = 0;
}

static bool is_same(const struct lucid_cpuid *c, const struct kvm_cpuid_entry2 *e, u32 nr)
{
	u32 i;

	if (nr != c->nr)
		return false;
	/* Up to the padding, which nobody has to clear. */
	for (i = 0; i < nr; i++)
		if (memcmp(&e[i], &c->entries[i], offsetof(struct kvm_cpuid_entry2, padding)))
			return false;
	return true;
}

/* Takes @entries over; on an error they are freed and nothing has changed. */
static int set_entries(struct lucid_vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nr)
{
	struct lucid_cpuid *c = &vcpu->cpuid;
	struct kvm_cpuid_entry2 *e;
	u32 bits;

	e = find(entries, nr, 0x80000008, 0);
	bits = e ? (e->eax >> 8) & 0xff : 0;
	if (bits != 0 && bits != 48 && bits != 57)
		goto refuse;

	write_runtime_bits(vcpu, find(entries, nr, 1, 0), find(entries, nr, 0xd, 0),
			   find(entries, nr, 0xd, 1));

	/*
	 * Much of what was done for the guest rests on its CPUID, so it stays as
	 * it is once the guest has run.  Setting the same again is allowed: QEMU
	 * does it when it plugs a vCPU a second time.
	 */
	if (vcpu->last_cpu != -1) {
		if (!is_same(c, entries, nr))
			goto refuse;
		kvfree(entries);
		return 0;
	}

	kvfree(c->entries);
	c->entries = entries;
	c->nr = nr;
	build_lookup(c);
	derive(c);
	vcpu->irq.lapic.has_deadline = vcpu->cpuid.has_tsc_deadline;
	lucid_hw_cpuid_changed(vcpu);
	return 0;

refuse:
	kvfree(entries);
	return -EINVAL;
}

/**
 * lucid_cpuid_set() - KVM_SET_CPUID2
 * @vcpu: the vCPU
 * @arg:  the caller's struct kvm_cpuid2
 *
 * Context: vcpu->lock held, not in the guest; may sleep.
 * Return: 0, -E2BIG (too many entries), -EFAULT, -ENOMEM, or -EINVAL (a linear
 * address width that is none, or another CPUID after the first KVM_RUN); on an
 * error nothing has changed.
 */
int lucid_cpuid_set(struct lucid_vcpu *vcpu, struct kvm_cpuid2 __user *arg)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	u32 nr;

	if (get_user(nr, &arg->nent))
		return -EFAULT;
	if (nr > LUCID_MAX_CPUID)
		return -E2BIG;
	if (nr) {
		entries = kvmalloc_array(nr, sizeof(*entries), GFP_KERNEL_ACCOUNT);
		if (!entries)
			return -ENOMEM;
		if (copy_from_user(entries, arg->entries, nr * sizeof(*entries))) {
			kvfree(entries);
			return -EFAULT;
		}
	}
	return set_entries(vcpu, entries, nr);
}

/**
 * lucid_cpuid_set_old() - KVM_SET_CPUID, whose entries know no index
 * @vcpu: the vCPU
 * @arg:  the caller's struct kvm_cpuid
 *
 * Context: vcpu->lock held, not in the guest; may sleep.
 * Return: as lucid_cpuid_set().
 */
int lucid_cpuid_set_old(struct lucid_vcpu *vcpu, struct kvm_cpuid __user *arg)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid_entry old;
	u32 nr, i;

	if (get_user(nr, &arg->nent))
		return -EFAULT;
	if (nr > LUCID_MAX_CPUID)
		return -E2BIG;
	if (nr) {
		entries = kvcalloc(nr, sizeof(*entries), GFP_KERNEL_ACCOUNT);
		if (!entries)
			return -ENOMEM;
	}
	for (i = 0; i < nr; i++) {
		if (copy_from_user(&old, &arg->entries[i], sizeof(old))) {
			kvfree(entries);
			return -EFAULT;
		}
		entries[i].function = old.function;
		entries[i].eax = old.eax;
		entries[i].ebx = old.ebx;
		entries[i].ecx = old.ecx;
		entries[i].edx = old.edx;
	}
	return set_entries(vcpu, entries, nr);
}

/**
 * lucid_cpuid_get() - KVM_GET_CPUID2
 * @vcpu: the vCPU
 * @arg:  the caller's struct kvm_cpuid2
 *
 * Context: vcpu->lock held; may sleep.
 * Return: 0, -E2BIG (room for too few entries; nothing is written) or -EFAULT.
 */
int lucid_cpuid_get(struct lucid_vcpu *vcpu, struct kvm_cpuid2 __user *arg)
{
	const struct lucid_cpuid *c = &vcpu->cpuid;
	u32 nr;

	if (get_user(nr, &arg->nent))
		return -EFAULT;
	if (nr < c->nr)
		return -E2BIG;
	if (copy_to_user(arg->entries, c->entries, c->nr * sizeof(*c->entries)) ||
	    put_user(c->nr, &arg->nent))
		return -EFAULT;
	return 0;
}

/* ---- the exit ---- */

/*
 * The entry that answers for a leaf out of range.  AMD answers 0.  Intel answers
 * as for the highest basic leaf (SDM vol. 2, CPUID), with the subleaf asked for.
 * A leaf is in range if it is not above the limit that its class tells; a class
 * without a first leaf does not exist.  Hypervisors' classes have 256 leaves.
 */
static struct kvm_cpuid_entry2 *out_of_range(const struct lucid_cpuid *c, u32 *function,
					     u32 index)
{
	struct kvm_cpuid_entry2 *basic = lookup(c, 0, 0);
	const struct kvm_cpuid_entry2 *class;
	u32 base;

	if (!basic || c->is_amd)
		return NULL;

	if (*function >= 0x40000000 && *function <= 0x4fffffff)
		base = *function & 0xffffff00;
	else if (*function >= 0xc0000000)
		base = 0xc0000000;
	else
		base = *function & 0x80000000;

	class = lookup(c, base, 0);
	if (class && *function <= class->eax)
		return NULL;

	*function = basic->eax;
	return lookup(c, basic->eax, index);
}

/* A leaf that was not given.  Apart, to keep the usual way short. */
static noinline void exec_missing(struct lucid_vcpu *vcpu, u32 function, u32 index)
{
	const struct lucid_cpuid *c = &vcpu->cpuid;
	const struct kvm_cpuid_entry2 *e = out_of_range(c, &function, index);
	struct kvm_cpuid_entry2 answer = {};

	/*
	 * The topology leaves exist if they have a subleaf 1; then every subleaf
	 * tells its own number and the APIC id (SDM vol. 2, CPUID, leaf 0BH).
	 */
	if (e) {
		answer = *e;
	} else if (function == 0xb || function == 0x1f) {
		e = lookup(c, function, 1);
		if (e) {
			answer.ecx = index & 0xff;
			answer.edx = e->edx;
		}
	}
	vcpu->regs[LUCID_RAX] = answer.eax;
	vcpu->regs[LUCID_RBX] = answer.ebx;
	vcpu->regs[LUCID_RCX] = answer.ecx;
	vcpu->regs[LUCID_RDX] = answer.edx;
}

/**
 * lucid_cpuid_exec() - do a CPUID instruction for the guest
 * @vcpu: the vCPU; RAX and RCX in, RAX, RBX, RCX and RDX out
 *
 * Context: vcpu->lock held; any, also interrupts off.
 */
void lucid_cpuid_exec(struct lucid_vcpu *vcpu)
{
	u32 function = vcpu->regs[LUCID_RAX], index = vcpu->regs[LUCID_RCX];
	const struct kvm_cpuid_entry2 *e = lookup(&vcpu->cpuid, function, index);

	if (unlikely(!e)) {
		exec_missing(vcpu, function, index);
		return;
	}
	vcpu->regs[LUCID_RAX] = e->eax;
	vcpu->regs[LUCID_RBX] = e->ebx;
	vcpu->regs[LUCID_RCX] = e->ecx;
	vcpu->regs[LUCID_RDX] = e->edx;
}
