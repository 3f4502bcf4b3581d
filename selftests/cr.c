// SPDX-License-Identifier: GPL-2.0
/*
 * Control registers: each illegal value is #GP with the register unchanged,
 * each legal one takes effect.
 */
#include "guest.h"

#define BAD(cr, v) do {							\
	unsigned long __old = read_##cr();				\
									\
	guest_error = 99;						\
	GUEST_ASSERT_EQ(try_write_##cr(v), GP);				\
	GUEST_ASSERT_EQ(guest_error, 0);				\
	GUEST_ASSERT_EQ(read_##cr(), __old);				\
} while (0)
#define GOOD(cr, v) do {						\
	GUEST_ASSERT_EQ(try_write_##cr(v), NONE);			\
	GUEST_ASSERT_EQ(read_##cr(), v);				\
} while (0)

/*
 * KVM's instruction emulator, which serves MOV CRn where the CPU does not
 * decode it (SVM without decode assists), drops the upper half of the value.
 */
static bool upper_lost;

static void cr0_illegal(void)
{
	unsigned long cr0 = read_cr0();

	BAD(cr0, cr0 & ~CR0_PE);		/* paging without protection */
	BAD(cr0, cr0 & ~CR0_PG);		/* paging off in 64-bit code */
	BAD(cr0, (cr0 & ~CR0_CD) | CR0_NW);	/* NW without CD */
	if (!upper_lost) {
		BAD(cr0, cr0 | BIT(32));
		BAD(cr0, cr0 | BIT(63));
	}
}

static void cr0_legal(void)
{
	unsigned long cr0 = read_cr0();

	GOOD(cr0, cr0 | CR0_WP);
	GOOD(cr0, cr0 | CR0_WP | CR0_AM);
	GOOD(cr0, cr0 & ~CR0_NE);
	GOOD(cr0, cr0 | CR0_CD);
	GOOD(cr0, cr0 | CR0_CD | CR0_NW);
	GOOD(cr0, cr0 | CR0_TS);
	asm volatile("clts");
	GUEST_ASSERT_EQ(read_cr0() & CR0_TS, 0);
	GOOD(cr0, cr0);
	/* reserved bits are ignored, ET is always 1 */
	GUEST_ASSERT_EQ(try_write_cr0((cr0 & ~CR0_ET) | BIT(6) | BIT(17)), NONE);
	GUEST_ASSERT_EQ(read_cr0(), cr0 | CR0_ET);
}

static void lmsw_smsw(void)
{
	unsigned long cr0 = read_cr0(), v = 0;

	/* LMSW sets PE, MP, EM, TS; it cannot clear PE, and leaves the rest */
	asm volatile("lmsw %w0" : : "r"(CR0_TS | CR0_EM | 0xff00));
	GUEST_ASSERT_EQ(read_cr0(), (cr0 & ~0xeul) | CR0_TS | CR0_EM);
	asm volatile("smsw %0" : "=r"(v));
	GUEST_ASSERT_EQ(v & 0xffff, read_cr0() & 0xffff);
	asm volatile("lmsw %w0" : : "r"(cr0));
	GUEST_ASSERT_EQ(read_cr0(), cr0);
}

/* TS and EM do what they are for */
static void ts_em(void)
{
	unsigned long cr0 = read_cr0();

	write_cr0(cr0 | CR0_TS);
	GUEST_ASSERT_EQ(TRY("movups %%xmm0, %%xmm1", , "a"(0)), NM);
	GUEST_ASSERT_EQ(TRY("fninit", , "a"(0)), NM);
	write_cr0(cr0 & ~CR0_TS);
	GUEST_ASSERT_EQ(TRY("fninit", , "a"(0)), NONE);
	write_cr0(cr0 | CR0_EM);
	GUEST_ASSERT_EQ(TRY("movups %%xmm0, %%xmm1", , "a"(0)), UD);
	write_cr0(cr0);
	write_cr4(read_cr4() & ~CR4_OSFXSR);
	GUEST_ASSERT_EQ(TRY("movups %%xmm0, %%xmm1", , "a"(0)), UD);
}

static void wp(void)
{
	volatile uint32_t *p = (void *)GUEST_DATA;

	*GUEST_PTE(GUEST_DATA) &= ~PTE_W;
	invlpg(p);
	write_cr0(read_cr0() | CR0_WP);
	GUEST_ASSERT_EQ(TRY("movl $1, (%[p])", , [p] "r"(p)), PF);
	GUEST_ASSERT_EQ(guest_error, 3);
	GUEST_ASSERT_EQ(read_cr2(), (uintptr_t)p);
	write_cr0(read_cr0() & ~CR0_WP);
	GUEST_ASSERT_EQ(TRY("movl $1, (%[p])", , [p] "r"(p)), NONE);
	GUEST_ASSERT_EQ(*p, 1);
}

static void cr2(void)
{
	GOOD(cr2, 0xffffffff12345678);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(read_cr2(), 0xdeadbeef000);
}

static uint32_t maxphyaddr;
static bool cr3_unchecked;

static void cr3(void)
{
	GOOD(cr3, ROOT_64_2M);
	GOOD(cr3, ROOT_64_2M | 0x18);		/* PWT, PCD */
	GOOD(cr3, ROOT_64_4K);
	if (cr3_unchecked)
		return;
	if (maxphyaddr < 52)
		BAD(cr3, ROOT_64_4K | 1ul << maxphyaddr);
	BAD(cr3, ROOT_64_4K | BIT(51));
	BAD(cr3, ROOT_64_4K | BIT(63));
	BAD(cr3, ROOT_64_4K | BIT(62));
}

/* Which of CR4's bits this CPUID has; the others must be refused. */
static uint64_t cr4_has;

static void cr4(void)
{
	unsigned long cr4 = read_cr4();
	int i;

	for (i = 0; i < 64; i++) {
		if (BIT(i) & (CR4_VME | CR4_PVI | CR4_PAE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_VMXE | CR4_LA57))
			continue;		/* these have rules of their own */
		if (i >= 32 && upper_lost)
			continue;
		if (BIT(i) & cr4_has)
			GOOD(cr4, cr4 | BIT(i));
		else
			BAD(cr4, cr4 | BIT(i));
	}
	GOOD(cr4, cr4);
	BAD(cr4, cr4 & ~CR4_PAE);		/* in long mode */
	BAD(cr4, cr4 | CR4_VMXE);		/* no nested VMX is offered here */
	BAD(cr4, cr4 ^ CR4_LA57);		/* in long mode, or not there */
	if (cr4_has & CR4_PCIDE) {
		write_cr3(ROOT_64_4K | 0x8);
		BAD(cr4, cr4 | CR4_PCIDE);	/* with a PCID already in CR3 */
		write_cr3(ROOT_64_4K);
		GOOD(cr4, cr4 | CR4_PCIDE);
		GOOD(cr4, cr4);
	} else {
		BAD(cr4, cr4 | CR4_PCIDE);
	}
	if (!(cr4_has & CR4_SMEP))
		BAD(cr4, cr4 | CR4_SMEP);
	if (!(cr4_has & CR4_SMAP))
		BAD(cr4, cr4 | CR4_SMAP);
}

static void cr8(void)
{
	unsigned long i;

	for (i = 0; i < 16; i++)
		GOOD(cr8, i);
	BAD(cr8, 16ul);
	BAD(cr8, ~0ul);
}

static void no_such(void)
{
	GUEST_ASSERT_EQ(TRY("mov %[v], %%cr1", , [v] "r"(0ul)), UD);
	GUEST_ASSERT_EQ(TRY("mov %%cr5, %%rax", , "a"(0ul)), UD);
	GUEST_ASSERT_EQ(TRY("mov %[v], %%cr7", , [v] "r"(0ul)), UD);
	GUEST_ASSERT_EQ(TRY("mov %[v], %%cr15", , [v] "r"(0ul)), UD);
}

/* SMEP: a user page is not executed by the supervisor; SMAP: nor touched. */
static void smep_smap(void)
{
	volatile uint8_t *p = (void *)GUEST_DATA;
	uint64_t i;
	int v;

	p[0] = 0xc3;				/* ret */
	/* all but the data page become supervisor's */
	for (i = 0; i < GUEST_DATA; i += 4096)
		*GUEST_PTE(i) &= ~PTE_U;
	write_cr3(read_cr3());
	if (cr4_has & CR4_SMEP) {
		write_cr4(read_cr4() | CR4_SMEP);
		asm volatile("movl $-1, %%r15d\n"
			     "mov %%rsp, %%r13\n"
			     "lea 1f(%%rip), %%rax\n push %%rax\n jmp *%1\n"
			     "1: mov %%r13, %%rsp\n mov %%r15d, %0\n"
			     ".pushsection guest_ex, \"aw\"\n.quad %c2, 1b\n.popsection\n"
			     : "=r"(v) : "r"(p), "i"(GUEST_DATA)
			     : "rax", "r13", "r14", "r15", "memory");
		GUEST_ASSERT_EQ(v, PF);
		write_cr4(read_cr4() & ~CR4_SMEP);
	}
	if (cr4_has & CR4_SMAP) {
		write_cr4(read_cr4() | CR4_SMAP);
		asm volatile("clac");
		GUEST_ASSERT_EQ(TRY("movb (%[p]), %%al", , [p] "r"(p), "a"(0)), PF);
		GUEST_ASSERT_EQ(guest_error, 1);
		asm volatile("stac");
		GUEST_ASSERT_EQ(TRY("movb (%[p]), %%al", , [p] "r"(p), "a"(0)), NONE);
		asm volatile("clac");
		write_cr4(read_cr4() & ~CR4_SMAP);
	}
}

static void nx(void)
{
	volatile uint32_t *p = (void *)GUEST_DATA;
	uint64_t efer;

	try_rdmsr(MSR_EFER, &efer);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_EFER, efer & ~EFER_NX), NONE);
	*GUEST_PTE(GUEST_DATA) |= PTE_NX;
	invlpg(p);
	GUEST_ASSERT_EQ(TRY("movl (%[p]), %%eax", , [p] "r"(p), "a"(0)), PF);
	/* NX is reserved without EFER.NXE: 9, but QEMU forgets the P bit */
	GUEST_ASSERT_EQ(guest_error & 8, 8);
	GUEST_ASSERT_EQ(try_wrmsr(MSR_EFER, efer | EFER_NX), NONE);
	invlpg(p);
	GUEST_ASSERT_EQ(TRY("movl (%[p]), %%eax", , [p] "r"(p), "a"(0)), NONE);
}

#define RUN(name)							\
TEST(name##_)								\
{									\
	struct vcpu *c = guest64(name);					\
									\
	ASSERT_DONE(c);							\
}
RUN(cr0_legal)
RUN(lmsw_smsw)
RUN(ts_em)
RUN(wp)
RUN(cr8)
RUN(no_such)
RUN(nx)

TEST(cr0_illegal_)
{
	struct vcpu *c;

	upper_lost = dev_is_kvm() && host_is_tcg();
	c = guest64(cr0_illegal);
	ASSERT_DONE(c);
	if (upper_lost)
		SKIP(return, "KVM drops the upper half without decode assists; the rest passed");
}

TEST(cr2_)
{
	struct vcpu *c = guest64(cr2);
	struct kvm_sregs s;

	ASSERT_SYNC(c, 1);
	s = vcpu_sregs(c);
	EXPECT_EQ(0xffffffff12345678, s.cr2);
	s.cr2 = 0xdeadbeef000;
	vcpu_set_sregs(c, s);
	ASSERT_DONE(c);
}

static uint64_t cr4_of_cpuid(void)
{
	struct kvm_cpuid2 *c = dev_cpuid();
	struct kvm_cpuid_entry2 *f1 = cpuid_find(c, 1, 0), *f7 = cpuid_find(c, 7, 0);
	uint32_t b = f7 ? f7->ebx : 0, x = f7 ? f7->ecx : 0;

	/* those that every CPU with long mode has, and the others */
	return CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |
	       CR4_OSFXSR | CR4_OSXMMEXCPT |
	       (x & BIT(2) ? CR4_UMIP : 0) | (x & BIT(16) ? CR4_LA57 : 0) |
	       (b & BIT(0) ? CR4_FSGSBASE : 0) |
	       (f1->ecx & BIT(17) ? CR4_PCIDE : 0) |
	       (f1->ecx & BIT(26) ? CR4_OSXSAVE : 0) |
	       (b & BIT(7) ? CR4_SMEP : 0) | (b & BIT(20) ? CR4_SMAP : 0) |
	       (x & BIT(3) ? CR4_PKE : 0);
}

TEST(cr4_)
{
	struct vcpu *c;

	upper_lost = dev_is_kvm() && host_is_tcg();
	cr4_has = cr4_of_cpuid();
	c = guest64(cr4);
	ASSERT_DONE(c);
	if (upper_lost)
		SKIP(return, "KVM drops the upper half without decode assists; the rest passed");
}

TEST(smep_smap_)
{
	struct vcpu *c;

	cr4_has = cr4_of_cpuid();
	c = guest64(smep_smap);
	ASSERT_DONE(c);
	if (!(cr4_has & CR4_SMEP) || !(cr4_has & CR4_SMAP))
		SKIP(return, "SMEP %s, SMAP %s here",
		     cr4_has & CR4_SMEP ? "passed" : "is not there",
		     cr4_has & CR4_SMAP ? "passed" : "is not there");
}

TEST(cr3_)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(dev_cpuid(), 0x80000008, 0);
	struct vcpu *c;

	maxphyaddr = e ? e->eax & 0xff : 36;
	cr3_unchecked = host_is_tcg();
	c = guest64(cr3);
	ASSERT_DONE(c);
	if (cr3_unchecked)
		SKIP(return, EMULATOR "MOV CR3 takes reserved bits; the legal values passed");
}

/* 32-bit: long mode cannot be entered without PAE; the state stays. */
asm(".text\n.code32\n"
    "no_pae: mov $0xc0000080, %ecx\n xor %edx, %edx\n mov $0x100, %eax\n wrmsr\n"
    "movl $1f, guest32_resume\n"
    "mov %cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
    "mov $0x99, %edi\n"
    "1: mov %edi, %eax\n out %eax, $0x11\n"
    "mov %cr0, %eax\n out %eax, $0x11\n"
    "rdmsr\n out %eax, $0x12\n"
    "no_pae_end: .code64\n");
extern const char no_pae[], no_pae_end[];

TEST(long_mode_needs_pae)
{
	struct vcpu *c;

	if (host_is_tcg() && dev_is_kvm())	/* Lucid keeps LME from the CPU till then */
		SKIP(return, EMULATOR "an exit with LME, without PAE and PG hangs the machine");
	c = guest_asm(PROT32, no_pae, no_pae_end);
	ASSERT_SYNC(c, GP);
	ASSERT_KIND(c, G_SYNC);
	EXPECT_EQ(CR0_PE, c->event.a & (CR0_PE | CR0_PG));
	ASSERT_DONE(c);
	EXPECT_EQ(EFER_LME, c->event.a);
	EXPECT_EQ(EFER_LME, vcpu_sregs(c).efer);
}

/* Real mode: paging without protection is #GP there too (vector 13 of the IVT). */
asm(".text\n.code16\n"
    "real_pg: movw $(1f - real_pg + 0x8000), (13 * 4)\n movw $0, (13 * 4 + 2)\n"
    "mov %cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
    "mov $0x99, %al\n out %al, $0x12\n"
    "1: mov $13, %al\n out %al, $0x12\n"
    "real_pg_end: .code64\n");
extern const char real_pg[], real_pg_end[];

TEST(paging_needs_protection)
{
	struct vcpu *c = guest_asm(REAL16, real_pg, real_pg_end);

	ASSERT_DONE(c);
	EXPECT_EQ(GP, c->event.a);
	EXPECT_EQ(0, vcpu_sregs(c).cr0 & (CR0_PE | CR0_PG));
}

TEST_HARNESS_MAIN
