// SPDX-License-Identifier: GPL-2.0
/*
 * After an instruction that the hypervisor executes for the guest, RIP is at
 * the next one: with every prefix, at a page's end and across it, in 16, 32 and
 * 64-bit code, whether the CPU saves the next RIP or the hypervisor decodes.
 *
 * Each instruction is put into a page that is otherwise full of HLT; the guest
 * must stop at the HLT right behind it.
 */
#include "guest.h"

#define M16 1
#define M32 2
#define M64 4
#define ALL (M16 | M32 | M64)

enum {
	CR0_VALUE = 1, CR4_VALUE, CR8_VALUE, DR7_VALUE,	/* what RAX must hold */
	XCR0_VALUE,
};

static const struct insn {
	const char *name, *bytes;
	int len, modes, io, rax;
} insns[] = {
	{ "cpuid", "\x0f\xa2", 2, ALL },
	{ "rdmsr", "\x0f\x32", 2, ALL },
	{ "wrmsr", "\x0f\x30", 2, ALL },
	{ "hlt", "\xf4", 1, ALL },
	{ "vmmcall", "\x0f\x01\xd9", 3, ALL },
	{ "wbinvd", "\x0f\x09", 2, ALL },
	{ "invd", "\x0f\x08", 2, ALL },
	{ "clts", "\x0f\x06", 2, ALL },
	{ "in imm8, al", "\xe4\x60", 2, ALL, 1 },
	{ "in imm8, eax", "\xe5\x60", 2, ALL, 1 },
	{ "in dx, al", "\xec", 1, ALL, 1 },
	{ "in dx, eax", "\xed", 1, ALL, 1 },
	{ "out imm8, al", "\xe6\x60", 2, ALL, 1 },
	{ "out imm8, eax", "\xe7\x60", 2, ALL, 1 },
	{ "out dx, al", "\xee", 1, ALL, 1 },
	{ "out dx, eax", "\xef", 1, ALL, 1 },
	{ "mov cr0, eax", "\x0f\x20\xc0", 3, ALL },
	{ "mov eax, cr0", "\x0f\x22\xc0", 3, ALL, 0, CR0_VALUE },
	{ "mov eax, cr4", "\x0f\x22\xe0", 3, ALL, 0, CR4_VALUE },
	{ "mov eax, cr0 (mod 0)", "\x0f\x22\x00", 3, ALL, 0, CR0_VALUE },
	{ "mov eax, cr0 (mod 2)", "\x0f\x22\x80", 3, ALL, 0, CR0_VALUE },
	{ "mov cr8, eax", "\x44\x0f\x20\xc0", 4, M64, -1 },
	{ "mov eax, cr8", "\x44\x0f\x22\xc0", 4, M64, -1, CR8_VALUE },
	{ "mov dr0, eax", "\x0f\x21\xc0", 3, ALL },
	{ "mov dr7, eax", "\x0f\x21\xf8", 3, ALL },
	{ "mov eax, dr7", "\x0f\x23\xf8", 3, ALL, 0, DR7_VALUE },
	{ "lmsw ax", "\x0f\x01\xf0", 3, ALL, 0, CR0_VALUE },
	{ "smsw eax", "\x0f\x01\xe0", 3, ALL },
	{ "xgetbv", "\x0f\x01\xd0", 3, M32 | M64, 0, XCR0_VALUE },
	{ "xsetbv", "\x0f\x01\xd1", 3, M32 | M64, 0, XCR0_VALUE },
	{ "rdtsc", "\x0f\x31", 2, ALL },
	{ "pause", "\xf3\x90", 2, ALL },
	{ "invlpg (bx)", "\x0f\x01\x3f", 3, M64 | M32 },
};

/* 66 and 67 do not change these lengths: no immediate depends on them. */
static const struct { const char *bytes; int modes; bool sse; } prefixes[] = {
	{ "", ALL },
	{ "\x66", ALL, true }, { "\x67", ALL }, { "\xf2", ALL, true }, { "\xf3", ALL, true },
	{ "\x2e", ALL }, { "\x36", ALL }, { "\x3e", ALL },
	{ "\x26", ALL }, { "\x64", ALL }, { "\x65", ALL },
	{ "\x66\x67", ALL, true }, { "\x2e\x2e\x2e\x2e\x2e\x2e", ALL },
	{ "\x48", M64 }, { "\x40", M64 }, { "\x67\x48", M64 },
	{ "\x64\x67\x40", M64 },
	{ "\x2e\x36\x3e\x26\x64\x65\x67\x67\x67\x67", ALL },
};

#define STUCK (-1000)

static struct vcpu *c;
static struct kvm_regs clean;
static struct kvm_sregs clean_s;
static uint8_t *code;
static uint64_t code_gpa;

static void put(const uint8_t *insn, int len, int at)
{
	/* HLT all over: a RIP off by one stops at the wrong one */
	memset(code, 0xf4, 3 * 4096);
	memcpy(code + at, insn, len);
}

/* Run one; returns how far behind its start the HLT was that stopped it. */
static int run_one(const struct insn *in, const uint8_t *bytes, int len, int at, int mode)
{
	struct kvm_regs r = clean;
	int k;

	put(bytes, len, at);
	r.rip = code_gpa + at;
	r.rbx = code_gpa;
	r.rcx = 0x250;			/* a fixed-range MTRR: any memory type does */
	r.rax = r.rdx = 0x06060606;
	switch (in->rax) {
	case CR0_VALUE:	r.rax = clean_s.cr0; break;
	case CR4_VALUE:	r.rax = clean_s.cr4; break;
	case CR8_VALUE:	r.rax = 0; break;
	case DR7_VALUE:	r.rax = 0x400; break;
	case XCR0_VALUE: r.rax = 1; r.rdx = r.rcx = 0; break;
	}
	vcpu_set_regs(c, r);
	vcpu_set_sregs(c, clean_s);
	for (k = 0; k < 3; k++) {
		if (vcpu_next(c) != G_EXIT || c->run->exit_reason != KVM_EXIT_IO)
			break;
	}
	if (c->event.kind != G_EXIT || c->run->exit_reason != KVM_EXIT_HLT) {
		vcpu_dump(c);
		return c->event.kind == G_TIMEOUT ? STUCK : -1;
	}
	return (int)(vcpu_regs(c).rip - 1 - r.rip);
}

FIXTURE(mode) { };
FIXTURE_VARIANT(mode) { enum guest_mode m; int bit; };
FIXTURE_SETUP(mode)
{
	bool small = variant->m == REAL16 || variant->m == PROT16;

	guest_timeout = 2;
	c = vcpu_create(vm_create(), 0);
	vcpu_start(c, variant->m, 0);
	clean = vcpu_regs(c);
	clean_s = vcpu_sregs(c);
	if (!small)
		clean_s.cr4 |= cpuid_find(dev_cpuid(), 1, 0)->ecx & BIT(26) ? CR4_OSXSAVE : 0;
	code_gpa = small ? 0x8000 : GUEST_FREE_2M;
	code = gpa_hva(c->vm, code_gpa);
}
FIXTURE_TEARDOWN(mode) { }
FIXTURE_VARIANT_ADD(mode, REAL16) { REAL16, M16 };
FIXTURE_VARIANT_ADD(mode, PROT16) { PROT16, M16 };
FIXTURE_VARIANT_ADD(mode, PROT32) { PROT32, M32 };
FIXTURE_VARIANT_ADD(mode, PAGED32_4K) { PAGED32_4K, M32 };
FIXTURE_VARIANT_ADD(mode, PAE_2M) { PAE_2M, M32 };
FIXTURE_VARIANT_ADD(mode, LONG64_4K) { LONG64_4K, M64 };
FIXTURE_VARIANT_ADD(mode, COMPAT32) { COMPAT32, M32 };

/* Where 66, F2, F3 are a part of the opcode, or not defined with it */
static bool opcode_prefix(const struct insn *in)
{
	return !strcmp(in->name, "vmmcall") || !strcmp(in->name, "wbinvd") ||
	       !strcmp(in->name, "xgetbv") || !strcmp(in->name, "xsetbv") ||
	       !strcmp(in->name, "pause") || !strncmp(in->name, "in ", 3) ||
	       !strncmp(in->name, "out ", 4);
}

TEST_F_TIMEOUT(mode, every_prefix_every_place, 60)
{
	bool amd = host_is_amd();
	unsigned int i, p, n = 0, bad = 0;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		const struct insn *in = &insns[i];

		if (!(in->modes & variant->bit))
			continue;
		if (in->rax == XCR0_VALUE && !(clean_s.cr4 & CR4_OSXSAVE))
			continue;
		for (p = 0; p < ARRAY_SIZE(prefixes); p++) {
			int pl = strlen(prefixes[p].bytes), len = pl + in->len, k;
			uint8_t b[16];

			if (!(prefixes[p].modes & variant->bit) || len > 15)
				continue;
			/* a REX is one only right before the opcode */
			if (in->io == -1 && strpbrk(prefixes[p].bytes, "\x40\x48"))
				continue;
			if (prefixes[p].sse && opcode_prefix(in))
				continue;
			if (!amd && !strcmp(in->name, "vmmcall"))
				continue;
			memcpy(b, prefixes[p].bytes, pl);
			memcpy(b + pl, in->bytes, in->len);
			{
				/* in the page; ending with it; across its end */
				const int at[] = { 16, 4096 - len, 4096 - (len + 1) / 2 };

				for (k = 0; k < 3; k++) {
					int want = in->bytes[0] == (char)0xf4 ? pl : len;
					int got = run_one(in, b, len, at[k], variant->bit);

					n++;
					if (got != want && bad++ < 12)
						TH_LOG("%s with prefixes %d (%02x %02x) at %#x: %d instead of %d",
						       in->name, pl, b[0], b[1], at[k], got, want);
					ASSERT_NE(STUCK, got);
				}
			}
		}
	}
	EXPECT_EQ(0, bad) TH_LOG("of %u", n);
	ASSERT_LT(100, n);
}

TEST_HARNESS_MAIN
