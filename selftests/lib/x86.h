/* SPDX-License-Identifier: GPL-2.0 */
/*
 * x86 as the tests need it: register bits, and what guest code (64-bit C,
 * ring 0) uses to execute one instruction and see what came of it.
 *
 * Everything here that executes an instruction is for guest code, except
 * cpuid() and the constants, which serve both sides.
 */
#ifndef SELFTESTS_LIB_X86_H
#define SELFTESTS_LIB_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT(n)		(1ul << (n))

#define CR0_PE		BIT(0)
#define CR0_MP		BIT(1)
#define CR0_EM		BIT(2)
#define CR0_TS		BIT(3)
#define CR0_ET		BIT(4)
#define CR0_NE		BIT(5)
#define CR0_WP		BIT(16)
#define CR0_AM		BIT(18)
#define CR0_NW		BIT(29)
#define CR0_CD		BIT(30)
#define CR0_PG		BIT(31)

#define CR4_VME		BIT(0)
#define CR4_PVI		BIT(1)
#define CR4_TSD		BIT(2)
#define CR4_DE		BIT(3)
#define CR4_PSE		BIT(4)
#define CR4_PAE		BIT(5)
#define CR4_MCE		BIT(6)
#define CR4_PGE		BIT(7)
#define CR4_PCE		BIT(8)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_UMIP	BIT(11)
#define CR4_LA57	BIT(12)
#define CR4_VMXE	BIT(13)
#define CR4_FSGSBASE	BIT(16)
#define CR4_PCIDE	BIT(17)
#define CR4_OSXSAVE	BIT(18)
#define CR4_SMEP	BIT(20)
#define CR4_SMAP	BIT(21)
#define CR4_PKE		BIT(22)

#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NX		BIT(11)
#define EFER_SVME	BIT(12)
#define EFER_LMSLE	BIT(13)
#define EFER_FFXSR	BIT(14)

#define RFLAGS_1	BIT(1)
#define RFLAGS_CF	BIT(0)
#define RFLAGS_ZF	BIT(6)
#define RFLAGS_TF	BIT(8)
#define RFLAGS_IF	BIT(9)
#define RFLAGS_DF	BIT(10)
#define RFLAGS_RF	BIT(16)

#define PTE_P		BIT(0)
#define PTE_W		BIT(1)
#define PTE_U		BIT(2)
#define PTE_A		BIT(5)
#define PTE_D		BIT(6)
#define PTE_PS		BIT(7)
#define PTE_G		BIT(8)
#define PTE_NX		BIT(63)

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_TSC_ADJUST		0x3b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_DEBUGCTL		0x1d9
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_PAT			0x277
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103

enum {
	DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7,
	DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14, MF = 16,
	AC = 17, MC = 18, XM = 19,
	NONE = -1,		/* what TRY() and try_*() say: no exception */
};

/* What the exception stubs in vectors.S put on the stack. */
struct guest_regs {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/*
 * TRY("insn", outputs, inputs): execute one instruction and return the vector
 * of the exception it raised, or NONE. Uses r15 (vector) and r14 (error code):
 * do not name those registers in the operands. Operands go by name, %[x], for
 * %0 and %1 are taken; outputs are wrapped in TRY_COMMA(...).
 */
#define TRY_ASM(insn)							\
	"movl $-1, %%r15d\n"						\
	"771:\t" insn "\n"						\
	"772:\n"							\
	".pushsection guest_ex, \"aw\"\n"				\
	".quad 771b, 772b\n"						\
	".popsection\n"

#define TRY(insn, outs, ...) ({						\
	register unsigned long __v asm("r15");				\
	register unsigned long __e asm("r14") = 0;			\
	asm volatile(TRY_ASM(insn)					\
		     : "=&r"(__v), "+r"(__e) outs			\
		     : __VA_ARGS__ : "memory", "cc");			\
	guest_error = __e;						\
	(int)__v; })

/* Error code of the last exception a TRY() met. One per VM, not per vCPU. */
extern uint64_t guest_error;

static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "0"(leaf), "2"(sub));
}

#define TRY_COMMA(...)	, __VA_ARGS__

static inline int try_rdmsr(uint32_t msr, uint64_t *val)
{
	uint32_t lo = 0, hi = 0;
	int v = TRY("rdmsr", TRY_COMMA("+a"(lo), "+d"(hi)), "c"(msr));

	*val = lo | (uint64_t)hi << 32;
	return v;
}

static inline int try_wrmsr(uint32_t msr, uint64_t val)
{
	return TRY("wrmsr", , "c"(msr), "a"((uint32_t)val),
		   "d"((uint32_t)(val >> 32)));
}

#define GUEST_CR(cr)							\
static inline unsigned long read_##cr(void)				\
{									\
	unsigned long v;						\
									\
	asm volatile("mov %%" #cr ", %0" : "=r"(v) : : "memory");	\
	return v;							\
}									\
static inline void write_##cr(unsigned long v)				\
{									\
	asm volatile("mov %0, %%" #cr : : "r"(v) : "memory");		\
}									\
static inline int try_write_##cr(unsigned long v)			\
{									\
	return TRY("mov %[v], %%" #cr, , [v] "r"(v));			\
}

GUEST_CR(cr0)
GUEST_CR(cr2)
GUEST_CR(cr3)
GUEST_CR(cr4)
GUEST_CR(cr8)
GUEST_CR(dr0)
GUEST_CR(dr1)
GUEST_CR(dr2)
GUEST_CR(dr3)
GUEST_CR(dr6)
GUEST_CR(dr7)

static inline int try_xsetbv(uint32_t xcr, uint64_t val)
{
	return TRY("xsetbv", , "c"(xcr), "a"((uint32_t)val),
		   "d"((uint32_t)(val >> 32)));
}

static inline uint64_t xgetbv(uint32_t xcr)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(xcr));
	return lo | (uint64_t)hi << 32;
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

static inline unsigned long read_rflags(void)
{
	unsigned long f;

	asm volatile("pushf; pop %0" : "=r"(f) : : "memory");
	return f;
}

static inline void write_rflags(unsigned long f)
{
	asm volatile("push %0; popf" : : "r"(f) : "memory", "cc");
}

#define GUEST_PORT(sfx, type)						\
static inline void out##sfx(uint16_t port, type v)			\
{									\
	asm volatile("out" #sfx " %0, %1" : : "a"(v), "Nd"(port) : "memory"); \
}									\
static inline type in##sfx(uint16_t port)				\
{									\
	type v;								\
									\
	asm volatile("in" #sfx " %1, %0" : "=a"(v) : "Nd"(port) : "memory"); \
	return v;							\
}

GUEST_PORT(b, uint8_t)
GUEST_PORT(w, uint16_t)
GUEST_PORT(l, uint32_t)

static inline void hlt(void)
{
	asm volatile("hlt" : : : "memory");
}

static inline void cpu_relax(void)
{
	asm volatile("pause" : : : "memory");
}

static inline void invlpg(const volatile void *p)
{
	asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

#endif
