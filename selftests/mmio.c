// SPDX-License-Identifier: GPL-2.0
/*
 * An access to an address that no slot covers goes to userspace with its
 * address, size and bytes, and what userspace answers arrives in the register.
 */
#include "guest.h"

#define V 0x8877665544332211ul
#define M ((uint64_t)GUEST_MMIO)

static void writes(void)
{
	asm volatile("movb %%al, (%1)" : : "a"(V), "r"(M + 0x10) : "memory");
	asm volatile("movw %%ax, (%1)" : : "a"(V), "r"(M + 0x21) : "memory");
	asm volatile("movl %%eax, (%1)" : : "a"(V), "r"(M + 0x33) : "memory");
	asm volatile("movq %%rax, (%1)" : : "a"(V), "r"(M + 0x44) : "memory");
	asm volatile("movb $0x5a, (%0)" : : "r"(M + 0x50) : "memory");
	asm volatile("movw $0xa55a, (%0)" : : "r"(M + 0x60) : "memory");
	asm volatile("movl $0xdeadbeef, (%0)" : : "r"(M + 0x70) : "memory");
	asm volatile("movq $-2, (%0)" : : "r"(M + 0x80) : "memory");
	/* other registers, other ways to name the address */
	asm volatile("movb %%ah, 5(%1, %2, 8)" : : "a"(V), "r"(M), "r"(0x12ul) : "memory");
	asm volatile("movabs %%eax, 0x100000a0" : : "a"(V) : "memory");
	asm volatile("mov %%al, 0x100000a8" : : "a"(V) : "memory");
	asm volatile("mov %0, %%r12; mov %1, %%r13; movw %%r12w, -0x10(%%r13)"
		     : : "r"(V), "r"(M + 0xc0) : "r12", "r13", "memory");
	asm volatile("addr32 movb %%sil, (%%ebx)"
		     : : "S"(V), "b"(0xffffffff00000000 + M + 0xb8) : "memory");
	/* and across a page */
	asm volatile("movl %%eax, (%1)" : : "a"(V), "r"(M + 0x1ffe) : "memory");
	asm volatile("movq %%rax, (%1)" : : "a"(V), "r"(M + 0x2ffd) : "memory");
}

struct access {
	uint32_t off, len;
	uint64_t data;
};

#define ASSERT_MMIO(c, w, o, l) do {					\
	ASSERT_EXIT(c, KVM_EXIT_MMIO);					\
	if ((c)->run->mmio.phys_addr != GUEST_MMIO + (o))		\
		vcpu_dump(c);						\
	ASSERT_EQ(GUEST_MMIO + (o), (c)->run->mmio.phys_addr);		\
	ASSERT_EQ(w, (c)->run->mmio.is_write);				\
	ASSERT_EQ(l, (c)->run->mmio.len);				\
} while (0)

TEST(mmio_write)
{
	static const struct access want[] = {
		{ 0x10, 1, 0x11 }, { 0x21, 2, 0x2211 }, { 0x33, 4, 0x44332211 },
		{ 0x44, 8, V }, { 0x50, 1, 0x5a }, { 0x60, 2, 0xa55a },
		{ 0x70, 4, 0xdeadbeef }, { 0x80, 8, -2 }, { 0x95, 1, 0x22 },
		{ 0xa0, 4, 0x44332211 }, { 0xa8, 1, 0x11 }, { 0xb0, 2, 0x2211 },
		{ 0xb8, 1, 0x11 },
		{ 0x1ffe, 2, 0x2211 }, { 0x2000, 2, 0x4433 },
		{ 0x2ffd, 3, 0x332211 }, { 0x3000, 5, 0x8877665544 },
	};
	struct vcpu *c = guest64(writes);
	uint64_t got;
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(want); i++) {
		ASSERT_MMIO(c, 1, want[i].off, want[i].len);
		got = 0;
		memcpy(&got, c->run->mmio.data, want[i].len);
		ASSERT_EQ(want[i].data, got);
	}
	ASSERT_DONE(c);
}

#define READ(insn, off, want) do {					\
	uint64_t __v = 0x1111111111111111;				\
									\
	asm volatile(insn : "+a"(__v) : "r"(M + (off)) : "memory");	\
	GUEST_ASSERT_EQ(__v, want);					\
} while (0)

/* Userspace answers 0x80, 0x81, 0x82, ... */
static void reads(void)
{
	READ("movb (%1), %%al", 0x10, 0x1111111111111180);
	READ("movb (%1), %%ah", 0x11, 0x1111111111118011);
	READ("movw (%1), %%ax", 0x21, 0x1111111111118180);
	READ("movl (%1), %%eax", 0x33, 0x83828180);
	READ("movq (%1), %%rax", 0x44, 0x8786858483828180);
	READ("movzbw (%1), %%ax", 0x50, 0x1111111111110080);
	READ("movzbl (%1), %%eax", 0x51, 0x80);
	READ("movzbq (%1), %%rax", 0x52, 0x80);
	READ("movzwl (%1), %%eax", 0x54, 0x8180);
	READ("movzwq (%1), %%rax", 0x56, 0x8180);
	READ("movsbw (%1), %%ax", 0x60, 0x111111111111ff80);
	READ("movsbl (%1), %%eax", 0x61, 0xffffff80);
	READ("movsbq (%1), %%rax", 0x62, 0xffffffffffffff80);
	READ("movswl (%1), %%eax", 0x64, 0xffff8180);
	READ("movswq (%1), %%rax", 0x66, 0xffffffffffff8180);
	READ("movslq (%1), %%rax", 0x68, 0xffffffff83828180);
	READ("movabs 0x10000070, %%eax", 0, 0x83828180);
	/* across a page; the second part is answered 0x80, ... anew */
	READ("movl (%1), %%eax", 0x1fff, 0x82818080);
	READ("movq (%1), %%rax", 0x2ffa, 0x8180858483828180);
}

TEST(mmio_read)
{
	static const struct access want[] = {
		{ 0x10, 1, 0 }, { 0x11, 1, 0 }, { 0x21, 2, 0 }, { 0x33, 4, 0 }, { 0x44, 8, 0 },
		{ 0x50, 1, 0 }, { 0x51, 1, 0 }, { 0x52, 1, 0 }, { 0x54, 2, 0 }, { 0x56, 2, 0 },
		{ 0x60, 1, 0 }, { 0x61, 1, 0 }, { 0x62, 1, 0 }, { 0x64, 2, 0 }, { 0x66, 2, 0 },
		{ 0x68, 4, 0 }, { 0x70, 4, 0 },
		{ 0x1fff, 1, 0 }, { 0x2000, 3, 0 }, { 0x2ffa, 6, 0 }, { 0x3000, 2, 0 },
	};
	struct vcpu *c = guest64(reads);
	int i, k;

	for (i = 0; i < (int)ARRAY_SIZE(want); i++) {
		ASSERT_MMIO(c, 0, want[i].off, want[i].len);
		for (k = 0; k < 8; k++)
			c->run->mmio.data[k] = 0x80 + k;
	}
	ASSERT_DONE(c);
}

/* An access that begins in memory and ends outside. */
static void edge(void)
{
	uint64_t v;

	asm volatile("movq %%rax, (%1)" : : "a"(V), "r"(GUEST_MEM - 3ul) : "memory");
	asm volatile("movq (%1), %%rax" : "=a"(v) : "r"(GUEST_MEM - 3ul) : "memory");
	GUEST_ASSERT_EQ(v, 0x8483828180332211);
}

TEST(half_memory_half_mmio)
{
	struct vcpu *c = guest64(edge);
	int k;

	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	ASSERT_EQ(GUEST_MEM, c->run->mmio.phys_addr);
	ASSERT_EQ(5, c->run->mmio.len);
	ASSERT_EQ(0, memcmp(c->run->mmio.data, "\x44\x55\x66\x77\x88", 5));
	ASSERT_EQ(0, memcmp(c->vm->mem + GUEST_MEM - 3, "\x11\x22\x33", 3));
	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	ASSERT_EQ(0, c->run->mmio.is_write);
	ASSERT_EQ(5, c->run->mmio.len);
	for (k = 0; k < 8; k++)
		c->run->mmio.data[k] = 0x80 + k;
	ASSERT_DONE(c);
}

/* The same from 16-bit and 32-bit code. */
asm(".text\n.code16\n"
    "mmio16: mov $0x1000, %ax\n mov %ax, %ds\n"
    "mov $0x5aa5, %ax\n mov %ax, (0x1234)\n"
    "movl (0x1238), %eax\n out %eax, $0x12\n mmio16_end:\n"
    ".code32\n"
    "mmio32: movl $0x5aa5, %eax\n mov %ax, 0x10001234\n"
    "movl 0x10001238, %eax\n out %eax, $0x12\n mmio32_end:\n.code64\n");
extern const char mmio16[], mmio16_end[], mmio32[], mmio32_end[];

FIXTURE(modes) { };
FIXTURE_VARIANT(modes) { enum guest_mode m; const char *code, *end; uint64_t gpa; };
FIXTURE_SETUP(modes) { }
FIXTURE_TEARDOWN(modes) { }
FIXTURE_VARIANT_ADD(modes, REAL16) { REAL16, mmio16, mmio16_end, 0x11234 };
FIXTURE_VARIANT_ADD(modes, PROT32) { PROT32, mmio32, mmio32_end, 0x10001234 };
FIXTURE_VARIANT_ADD(modes, PAGED32_4K) { PAGED32_4K, mmio32, mmio32_end, 0x10001234 };
FIXTURE_VARIANT_ADD(modes, PAGED32_4M) { PAGED32_4M, mmio32, mmio32_end, 0x10001234 };
FIXTURE_VARIANT_ADD(modes, PAE_4K) { PAE_4K, mmio32, mmio32_end, 0x10001234 };
FIXTURE_VARIANT_ADD(modes, COMPAT32) { COMPAT32, mmio32, mmio32_end, 0x10001234 };

TEST_F(modes, read_and_write)
{
	struct vcpu *c = guest_asm(variant->m, variant->code, variant->end);

	if (variant->m == REAL16)	/* leave a hole at 0x11000 */
		ASSERT_EQ(0, vm_slot(c->vm, 0, 0, 0, 0, NULL) |
			  vm_slot(c->vm, 0, 0, 0, 0x11000, c->vm->mem));
	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	EXPECT_EQ(1, c->run->mmio.is_write);
	EXPECT_EQ(variant->gpa, c->run->mmio.phys_addr);
	EXPECT_EQ(2, c->run->mmio.len);
	EXPECT_EQ(0x5aa5, *(uint16_t *)c->run->mmio.data);
	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	EXPECT_EQ(0, c->run->mmio.is_write);
	EXPECT_EQ(variant->gpa + 4, c->run->mmio.phys_addr);
	EXPECT_EQ(4, c->run->mmio.len);
	*(uint32_t *)c->run->mmio.data = 0xfeedface;
	ASSERT_DONE(c);
	EXPECT_EQ(0xfeedface, c->event.a);
}

/* A write to a read-only slot is MMIO; reads and code come from memory. */
static void readonly(void)
{
	volatile uint32_t *p = (void *)0x1000000ul;	/* just above GUEST_MEM */

	GUEST_ASSERT_EQ(*p, 0x12345678);
	*p = 0xabcdef01;
	GUEST_ASSERT_EQ(*p, 0x12345678);
	asm volatile("addl $1, %0" : "+m"(*p));
	GUEST_ASSERT_EQ(*p, 0x12345678);
}

TEST(readonly_slot)
{
	struct vcpu *c = guest64(readonly);
	uint32_t *p = aligned_alloc(4096, 4096);

	if (dev_cap(KVM_CAP_READONLY_MEM) <= 0)
		SKIP(return, "KVM_CAP_READONLY_MEM is not offered");
	*p = 0x12345678;
	ASSERT_EQ(0, vm_slot(c->vm, 1, KVM_MEM_READONLY, GUEST_MEM, 4096, p));
	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	EXPECT_EQ(1, c->run->mmio.is_write);
	EXPECT_EQ(GUEST_MEM, c->run->mmio.phys_addr);
	EXPECT_EQ(4, c->run->mmio.len);
	EXPECT_EQ(0xabcdef01, *(uint32_t *)c->run->mmio.data);
	ASSERT_EXIT(c, KVM_EXIT_MMIO);		/* the read was not asked for */
	EXPECT_EQ(1, c->run->mmio.is_write);
	EXPECT_EQ(0x12345679, *(uint32_t *)c->run->mmio.data);
	ASSERT_DONE(c);
	EXPECT_EQ(0x12345678, *p);
}

TEST_HARNESS_MAIN
