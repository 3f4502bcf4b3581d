// SPDX-License-Identifier: GPL-2.0
/*
 * The decoder against Zydis: every opcode with every ModRM byte under every
 * prefix that selects an instruction, then random instructions in all modes;
 * and what it says of instructions that are cut short.
 */
#include "zydis.h"

#define BUF	32

/* Every opcode of the four old maps x prefixes x REX x ModRM. */
static void test_all_opcodes(void)
{
	static const char *const prefixes[] = { "", "\x66", "\xf3", "\xf2", "\xf0", "\x66\xf3" };
	static const u8 rexes[] = { 0, 0x48, 0x41, 0x44 };
	unsigned int map, op, pfx, rex, mode, modrm, n;
	u64 before = cmp.differ;

	for (map = 0; map < 4; map++)
	for (op = 0; op < 256; op++)
	for (pfx = 0; pfx < sizeof(prefixes) / sizeof(*prefixes); pfx++)
	for (mode = 0; mode < 3; mode++)
	for (rex = 0; rex < (mode == LUCID_INSN_64 ? sizeof(rexes) : 1); rex++)
	for (modrm = 0; modrm < 256; modrm++) {
		u8 b[BUF] = { 0 };

		n = strlen(prefixes[pfx]);
		memcpy(b, prefixes[pfx], n);
		if (rexes[rex])
			b[n++] = rexes[rex];
		if (map)
			b[n++] = 0x0f;
		if (map > 1)
			b[n++] = map == 2 ? 0x38 : 0x3a;
		b[n++] = op;
		b[n++] = modrm;
		b[n] = 0x25;	/* as a SIB byte: a displacement follows */
		zydis_compare(b, BUF, mode, 0);
	}
	tap_ok(cmp.differ == before, "every legacy opcode and ModRM byte as Zydis has it");
}

/* Every opcode of VEX, XOP and EVEX maps (the map that does not exist as well). */
static void test_all_extended(void)
{
	static const u8 first[] = { 0xc4, 0x8f, 0x62 };
	static const u8 modrms[] = { 0x05, 0x48, 0x94, 0xc1, 0xf9, 0xd0, 0xe8, 0x20 };
	unsigned int f, map, op, bits, mode, i;
	u64 before = cmp.differ;

	for (f = 0; f < sizeof(first); f++)
	for (map = 0; map < 16; map++)
	for (op = 0; op < 256; op++)
	for (bits = 0; bits < 16; bits++)
	for (mode = 0; mode < 3; mode++)
	for (i = 0; i < sizeof(modrms); i++) {
		u8 b[BUF] = { 0 };
		unsigned int n = 0;

		b[n++] = first[f];
		b[n++] = 0xe0 | (f == 2 ? 0x10 | (map & 7) : map);
		b[n++] = 0x78 | (bits & 8) << 4 | (f == 2 ? 4 : bits & 4) | (bits & 3);
		if (f == 2)
			b[n++] = 0x08 | (bits & 4) << 3;
		b[n++] = op;
		b[n++] = modrms[i];
		b[n] = 0x24;
		zydis_compare(b, BUF, mode, 0);
	}
	tap_ok(cmp.differ == before, "every VEX, XOP and EVEX opcode as Zydis has it");
}

/* A random instruction: legal beginnings much more often than chance has them. */
static void random_insn(u8 *b)
{
	static const u8 prefixes[] = {
		0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
	};
	unsigned int n = 0, count, i;

	for (i = 0; i < BUF; i += 8) {
		u64 r = rnd();

		memcpy(b + i, &r, 8);
	}

	count = rnd_below(3) ? rnd_below(3) : rnd_below(200) ? rnd_below(5) : rnd_below(17);
	while (n < count)
		b[n++] = prefixes[rnd_below(sizeof(prefixes))];
	if (!rnd_below(3))
		b[n++] = 0x40 + rnd_below(16);

	switch (rnd_below(8)) {
	case 0: case 1:
		b[n] = 0x0f;
		break;
	case 2:
		b[n++] = 0x0f;
		b[n] = rnd_below(2) ? 0x38 : 0x3a;
		break;
	case 3:
		switch (rnd_below(5)) {
		case 0:
			b[n++] = 0xc5;
			break;
		case 1:
			b[n++] = 0xc4;
			b[n] = (b[n] & 0xe0) | rnd_below(4);
			break;
		case 2:
			b[n++] = 0x8f;
			b[n] = (b[n] & 0xe0) | (8 + rnd_below(3));
			break;
		case 3:
			b[n++] = 0x62;
			b[n] &= 0xf7;
			b[n + 1] |= 0x04;
			break;
		default:
			b[n++] = 0x0f;
			b[n] = 0x0f;
		}
		break;
	default:	/* as it is */
		break;
	}
}

static void test_random(unsigned int count)
{
	u64 before = cmp.differ;
	u8 b[BUF];
	unsigned int i, mode;

	cmp_operands = true;
	for (i = 0; i < count; i++) {
		if (i % 4)
			random_insn(b);
		else
			for (mode = 0; mode < BUF; mode++)
				b[mode] = rnd() >> 56;
		for (mode = 0; mode < 3; mode++)
			zydis_compare(b, BUF, mode, i & 1 ? LUCID_INSN_AMD : 0);
	}
	cmp_operands = false;
	tap_ok(cmp.differ == before, "%u random instructions in three modes as Zydis has them", count);
}

/* What is cut short is never taken for something else. */
static void test_truncated(unsigned int count)
{
	unsigned int i, mode, cut, wrong = 0, unread = 0;
	struct lucid_insn insn;

	for (i = 0; i < count; i++) {
		u8 b[BUF];

		random_insn(b);
		for (mode = 0; mode < 3; mode++) {
			int len = lucid_insn_decode(&insn, b, BUF, mode, 0);
			struct lucid_insn other;

			if (len > 0) {
				for (cut = 0; cut < (unsigned int)len; cut++)
					if (lucid_insn_decode(&other, b, cut, mode, 0) !=
					    -LUCID_INSN_MORE)
						wrong++;
				/* nothing behind its end matters */
				if (lucid_insn_decode(&other, b, len, mode, 0) != len ||
				    memcmp(&insn, &other, sizeof(insn)))
					unread++;
			} else {
				/* an error may be seen early, but not turn into a length */
				for (cut = 0; cut < BUF; cut++)
					if (lucid_insn_decode(&other, b, cut, mode, 0) > 0)
						wrong++;
			}
		}
	}
	tap_ok(!wrong, "every beginning of %u instructions wants more bytes", count);
	tap_ok(!unread, "no byte behind the end of an instruction matters");
}

/* Bytes, the instruction that an exit would name, and its length. */
static void test_named(void)
{
	static const struct {
		const char *bytes;
		enum lucid_insn_id id;
		int len;
	} known[] = {
#define K(b, id) { b, LUCID_I_##id, sizeof(b) - 1 }
		K("\x0f\xa2", CPUID), K("\x66\x0f\xa2", CPUID), K("\xf3\x48\x0f\xa2", CPUID),
		K("\x0f\x32", RDMSR), K("\x0f\x30", WRMSR), K("\x0f\x33", RDPMC),
		K("\x0f\x31", RDTSC), K("\x0f\x01\xf9", RDTSCP), K("\x0f\x01\xfd", RDPRU),
		K("\xf4", HLT), K("\xf3\x90", PAUSE), K("\x0f\x01\xc1", VMCALL),
		K("\x0f\x01\xd9", VMMCALL), K("\x0f\x01\xd8", VMRUN), K("\x0f\x01\xda", VMLOAD),
		K("\x0f\x01\xdb", VMSAVE), K("\x0f\x01\xdc", STGI), K("\x0f\x01\xdd", CLGI),
		K("\x0f\x01\xde", SKINIT), K("\x0f\x01\xdf", INVLPGA),
		K("\x0f\x01\x38", INVLPG), K("\x67\x0f\x01\x7c\x24\x08", INVLPG),
		K("\x66\x0f\x38\x82\x08", INVPCID), K("\x0f\x08", INVD), K("\x0f\x09", WBINVD),
		K("\xf3\x0f\x09", WBINVD), K("\x0f\x01\xd0", XGETBV), K("\x0f\x01\xd1", XSETBV),
		K("\x0f\x01\xc8", MONITOR), K("\x0f\x01\xc9", MWAIT), K("\x0f\x01\xfa", MONITORX),
		K("\x0f\x01\xfb", MWAITX), K("\x0f\x06", CLTS), K("\x0f\x01\xf0", LMSW),
		K("\x0f\x01\x30", LMSW), K("\x0f\x01\xe0", SMSW), K("\x0f\x01\x20", SMSW),
		K("\x0f\x01\x00", SGDT), K("\x0f\x01\x08", SIDT), K("\x0f\x01\x10", LGDT),
		K("\x0f\x01\x18", LIDT), K("\x0f\x00\xc0", SLDT), K("\x0f\x00\xc8", STR),
		K("\x0f\x00\xd0", LLDT), K("\x0f\x00\xd8", LTR), K("\x0f\x20\xc0", MOV_FROM_CR),
		K("\x0f\x22\xd8", MOV_TO_CR), K("\x0f\x22\x18", MOV_TO_CR),
		K("\x44\x0f\x22\xc1", MOV_TO_CR), K("\x0f\x21\xf8", MOV_FROM_DR),
		K("\x0f\x23\xf8", MOV_TO_DR), K("\xcf", IRET), K("\x48\xcf", IRET),
		K("\x0f\xaa", RSM), K("\xf1", ICEBP), K("\xcc", INT3), K("\xcd\x80", INTN),
		K("\x9c", PUSHF), K("\x9d", POPF), K("\xf3\x6c", INS8), K("\x6d", INS),
		K("\x6e", OUTS8), K("\xf3\x66\x6f", OUTS),
#undef K
	};
	struct lucid_insn insn;
	unsigned int i, id, wrong = 0;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
		int len = lucid_insn_decode(&insn, (const u8 *)known[i].bytes, known[i].len,
					    LUCID_INSN_64, 0);

		if (len != known[i].len) {
			tap_diag("named %u: length %d, not %d", i, len, known[i].len);
			wrong++;
			continue;
		}
		/* it is that one and no other */
		for (id = 0; id < LUCID_I_NR; id++) {
			if (lucid_insn_is(&insn, id) != (id == known[i].id)) {
				tap_diag("named %u: instruction %u", i, id);
				wrong++;
			}
		}
	}
	tap_ok(!wrong, "instructions that an exit names are recognised, and as nothing else");

	wrong = 0;
	lucid_insn_decode(&insn, (const u8 *)"\xf3\x41\x90", 3, LUCID_INSN_64, 0);
	wrong += lucid_insn_is(&insn, LUCID_I_PAUSE);
	lucid_insn_decode(&insn, (const u8 *)"\xce", 1, LUCID_INSN_32, 0);
	wrong += !lucid_insn_is(&insn, LUCID_I_INTO);
	lucid_insn_decode(&insn, (const u8 *)"\x44\x0f\x22\xc1", 4, LUCID_INSN_64, 0);
	wrong += lucid_insn_cr(&insn) != 8 || insn.rm != 1 || insn.opsize != 8;
	lucid_insn_decode(&insn, (const u8 *)"\x66\x0f\x22\x01", 4, LUCID_INSN_16, 0);
	wrong += lucid_insn_cr(&insn) != 0 || insn.rm != 1 || insn.mod != 3 || insn.opsize != 4;
	/* AMD: LOCK MOV CR0 is CR8; elsewhere it is nothing */
	wrong += lucid_insn_decode(&insn, (const u8 *)"\xf0\x0f\x20\xc3", 4, LUCID_INSN_32,
				   LUCID_INSN_AMD) != 4;
	wrong += lucid_insn_cr(&insn) != 8 || insn.rm != 3;
	wrong += lucid_insn_decode(&insn, (const u8 *)"\xf0\x0f\x20\xc3", 4, LUCID_INSN_32, 0) !=
		 -LUCID_INSN_INVALID;
	tap_ok(!wrong, "PAUSE, INTO, CR8 in both ways of writing it");
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? strtoul(argv[1], NULL, 0) : 2000000;

	zydis_init();
	rnd_seed(20261123);
	test_named();
	test_all_opcodes();
	test_all_extended();
	test_random(count);
	test_truncated(count / 10);
	zydis_report();
	return tap_done();
}
