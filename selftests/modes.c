// SPDX-License-Identifier: GPL-2.0
/*
 * A guest starts in each mode and computes there; and one guest goes from real
 * mode through all of them to 64-bit mode and back, and the host sees each.
 */
#include "guest.h"

/* 1 + 2 + ... + 100 through a call, the stack and memory */
#define SUM(name, code, bx, cx, mem)					\
	asm(".text\n" code "\n"						\
	    #name ": call 2f\n"						\
	    "mov " bx ", " mem "\n"					\
	    "mov " mem ", %eax\n"					\
	    "out %eax, $0x12\n"						\
	    "2: xor " bx ", " bx "\n mov $100, " cx "\n"		\
	    "3: push " cx "\n add " cx ", " bx "\n"			\
	    "pop " cx "\n loop 3b\n"					\
	    "ret\n"							\
	    #name "_end: .code64\n");					\
	extern const char name[], name##_end[]

SUM(sum16, ".code16", "%ebx", "%ecx", "0x6000");
SUM(sum32, ".code32", "%ebx", "%ecx", "0x40000");
SUM(sum64, ".code64", "%rbx", "%rcx", "0x40000");

static void mode_code(enum guest_mode m, const char **code, const char **end)
{
	bool small = m == REAL16 || m == PROT16;
	bool large = m == LONG64_4K || m == LONG64_2M;

	*code = small ? sum16 : large ? sum64 : sum32;
	*end = small ? sum16_end : large ? sum64_end : sum32_end;
}

FIXTURE(start) { };
FIXTURE_VARIANT(start) { enum guest_mode mode; };
FIXTURE_SETUP(start) { }
FIXTURE_TEARDOWN(start) { }
#define START(m) FIXTURE_VARIANT_ADD(start, m) { .mode = m }
START(REAL16);
START(PROT16);
START(PROT32);
START(PAGED32_4K);
START(PAGED32_4M);
START(PAE_4K);
START(PAE_2M);
START(LONG64_4K);
START(LONG64_2M);
START(COMPAT32);

TEST_F(start, computes)
{
	const char *code, *end;
	struct vcpu *c;

	mode_code(variant->mode, &code, &end);
	c = guest_asm(variant->mode, code, end);
	ASSERT_DONE(c);
	ASSERT_EQ(5050, c->event.a);
}

/* Each stop counts memory up, so that each mode is seen to read and write it. */
asm(".macro	stop mem\n"
    "incl	\\mem\n"
    "mov	\\mem, %eax\n"
    "out	%eax, $0x11\n"
    ".endm\n"
    ".macro	segs sel\n"
    "mov	$\\sel, %ax\n"
    "mov	%ax, %ds\n mov %ax, %es\n mov %ax, %ss\n"
    ".endm\n"
    ".text\n"
    ".code16\n"
    "tour:	stop	0x6000\n"
    "lgdtl	tour_gdt - tour + 0x8000\n"
    "mov	%cr0, %eax\n or $1, %eax\n mov %eax, %cr0\n"
    "ljmp	$0x20, $(1f - tour + 0x8000)\n"
    "1: segs	0x28\n"
    "stop	0x6000\n"
    "ljmpl	$0x08, $tour32\n"
    "tour16:	segs 0x28\n"
    "mov	$0x7ff0, %sp\n"
    "stop	0x6000\n"
    "mov	%cr0, %eax\n and $~1, %eax\n mov %eax, %cr0\n"
    "ljmp	$0, $(1f - tour + 0x8000)\n"
    "1: segs	0\n"
    "stop	0x6000\n"
    "out	%eax, $0x12\n"
    "tour_gdt:	.word 0x7f\n .long 0x10000\n"
    "tour_end:\n"
    ".code32\n"
    "tour32:	segs 0x10\n"
    "mov	$0x90000, %esp\n"
    "stop	0x6000\n"
    "mov	$0x10, %eax\n mov %eax, %cr4\n"		/* PSE */
    "mov	$0x31000, %eax\n mov %eax, %cr3\n"
    "mov	%cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
    "stop	0x6000\n"
    "mov	$0x32000, %eax\n mov %eax, %cr3\n"		/* 4K tables */
    "stop	0x6000\n"
    "mov	%cr0, %eax\n and $0x7fffffff, %eax\n mov %eax, %cr0\n"
    "mov	$0x30000, %eax\n mov %eax, %cr3\n"
    "mov	$0x20, %eax\n mov %eax, %cr4\n"		/* PAE */
    "mov	%cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
    "stop	0x6000\n"
    "mov	%cr0, %eax\n and $0x7fffffff, %eax\n mov %eax, %cr0\n"
    "mov	$0x20000, %eax\n mov %eax, %cr3\n"
    "mov	$0xc0000080, %ecx\n rdmsr\n or $0x100, %eax\n wrmsr\n"
    "mov	%cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
    "stop	0x6000\n"
    "ljmp	$0x18, $tour64\n"
    ".code64\n"
    "tour64:	mov $1, %rbx\n shl $40, %rbx\n shr $40, %rbx\n"
    "add	%rbx, (0x6000)\n"
    "mov	0x6000, %eax\n"
    "out	%eax, $0x11\n"
    "pushq	$0x08\n pushq $tourback\n lretq\n"
    ".code32\n"
    "tourback:	segs 0x10\n"
    "mov	%cr0, %eax\n and $0x7fffffff, %eax\n mov %eax, %cr0\n"
    "mov	$0xc0000080, %ecx\n rdmsr\n and $~0x100, %eax\n wrmsr\n"
    "xor	%eax, %eax\n mov %eax, %cr4\n"
    "stop	0x6000\n"
    "ljmp	$0x20, $(tour16 - tour + 0x8000)\n"
    ".code64\n");
extern const char tour[], tour_end[];

TEST(real_to_long_and_back)
{
	static const struct {
		uint64_t cr0, cr4, efer;
		uint8_t l, db;
	} want[] = {
		{ 0, 0, 0, 0, 0 },				/* real */
		{ CR0_PE, 0, 0, 0, 0 },				/* prot16 */
		{ CR0_PE, 0, 0, 0, 1 },				/* prot32 */
		{ CR0_PE | CR0_PG, CR4_PSE, 0, 0, 1 },
		{ CR0_PE | CR0_PG, CR4_PSE, 0, 0, 1 },
		{ CR0_PE | CR0_PG, CR4_PAE, 0, 0, 1 },
		{ CR0_PE | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, 0, 1 },
		{ CR0_PE | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, 1, 0 },
		{ CR0_PE, 0, 0, 0, 1 },
		{ CR0_PE, 0, 0, 0, 0 },
		{ 0, 0, 0, 0, 0 },
	};
	struct vcpu *c = guest_asm(REAL16, tour, tour_end);
	struct kvm_sregs s;
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(want); i++) {
		ASSERT_SYNC(c, i + 1);
		s = vcpu_sregs(c);
		EXPECT_EQ(want[i].cr0, s.cr0 & (CR0_PE | CR0_PG));
		EXPECT_EQ(want[i].cr4, s.cr4);
		EXPECT_EQ(want[i].efer, s.efer);
		EXPECT_EQ(want[i].l, s.cs.l);
		EXPECT_EQ(want[i].db, s.cs.db);
	}
	ASSERT_DONE(c);
}

TEST_HARNESS_MAIN
