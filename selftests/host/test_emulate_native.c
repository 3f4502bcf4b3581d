// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator against the CPU that this runs on: random instructions of every
 * form that needs no privilege, in 64-, 32- and 16-bit mode, with random
 * prefixes, operands and flags, done by both; registers, flags, XMM registers,
 * memory, where it goes on, and the exception if there is one are compared.
 * In the emulator memory turns into MMIO at random, so that replayed reads and
 * posted writes are in it.
 */
#include <stdint.h>
#include <string.h>

#include "emul_vm.h"
#include "native.h"
#include "tap.h"

#define CF	0x001
#define PF	0x004
#define AF	0x010
#define ZF	0x040
#define SF	0x080
#define OF	0x800
#define ARITH	(CF | PF | AF | ZF | SF | OF)
#define DF	0x400

/* Opcodes by map; what a mode does not have the decoder refuses. */
#define MAP0F	0x100
#define MAP38	0x200

struct range { u16 first, last; };

static const struct range ranges[] = {
	{ 0x00, 0x06 }, { 0x08, 0x0e }, { 0x10, 0x16 }, { 0x18, 0x1e }, { 0x20, 0x25 },
	{ 0x27, 0x2d }, { 0x2f, 0x35 }, { 0x37, 0x3d }, { 0x3f, 0x5f }, { 0x60, 0x63 },
	{ 0x68, 0x6b }, { 0x70, 0x8d }, { 0x8f, 0x99 }, { 0x9c, 0xb1 }, { 0xb2, 0xc3 },
	{ 0xc6, 0xc9 }, { 0xd0, 0xd7 }, { 0xe0, 0xe3 }, { 0xe8, 0xe9 }, { 0xeb, 0xeb },
	{ 0xf4, 0xff }, { 0x80, 0x83 }, { 0xd0, 0xd3 }, { 0xc0, 0xc1 }, { 0xf6, 0xf7 },
	{ MAP0F | 0x06, MAP0F | 0x06 }, { MAP0F | 0x08, MAP0F | 0x09 }, { MAP0F | 0x0b, MAP0F | 0x0b },
	{ MAP0F | 0x10, MAP0F | 0x13 }, { MAP0F | 0x16, MAP0F | 0x17 }, { MAP0F | 0x1f, MAP0F | 0x1f },
	{ MAP0F | 0x28, MAP0F | 0x29 }, { MAP0F | 0x2b, MAP0F | 0x2b }, { MAP0F | 0x30, MAP0F | 0x30 },
	{ MAP0F | 0x40, MAP0F | 0x4f }, { MAP0F | 0x6e, MAP0F | 0x6f }, { MAP0F | 0x7e, MAP0F | 0x9f },
	{ MAP0F | 0xa0, MAP0F | 0xa0 }, { MAP0F | 0xa3, MAP0F | 0xa5 }, { MAP0F | 0xab, MAP0F | 0xad },
	{ MAP0F | 0xaf, MAP0F | 0xb1 }, { MAP0F | 0xb3, MAP0F | 0xb3 }, { MAP0F | 0xb6, MAP0F | 0xc1 },
	{ MAP0F | 0xc3, MAP0F | 0xc3 }, { MAP0F | 0xc7, MAP0F | 0xcf }, { MAP0F | 0xd6, MAP0F | 0xd6 },
	{ MAP0F | 0xe7, MAP0F | 0xe7 }, { MAP0F | 0xf0, MAP0F | 0xf0 },
	{ MAP38 | 0x2a, MAP38 | 0x2a }, { MAP38 | 0xf0, MAP38 | 0xf1 },
};

static u16 opcodes[0x300];
static unsigned int nr_opcodes;

static u8 xmm[16][16];

static int read_xmm(struct lucid_emul_ctxt *c, unsigned int reg, void *buf)
{
	memcpy(buf, xmm[reg], 16);
	return LUCID_EMUL_OK;
}

static int write_xmm(struct lucid_emul_ctxt *c, unsigned int reg, const void *buf)
{
	memcpy(xmm[reg], buf, 16);
	return LUCID_EMUL_OK;
}

static unsigned int key(const struct lucid_insn *insn)
{
	return insn->opcode | insn->map << 8;
}

static unsigned int op_of(const struct lucid_insn *insn)
{
	return insn->modrm >> 3 & 7;
}

/* Random bytes that decode, of an opcode in the list. */
static bool random_insn(struct lucid_insn *insn, enum lucid_insn_mode mode)
{
	u16 opcode = opcodes[rnd_below(nr_opcodes)];
	unsigned int n = 0;
	u8 b[32];
	u64 r;

	if (!rnd_below(3))
		b[n++] = 0x66;
	if (!rnd_below(6))
		b[n++] = 0x67;
	if (!rnd_below(8))
		b[n++] = (const u8[]){ 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 }[rnd_below(6)];
	if (!rnd_below(4) || (opcode >= 0xa4 && opcode <= 0xaf))
		b[n++] = 0xf2 | rnd_below(2);
	if (!rnd_below(12))
		b[n++] = 0xf0;
	if (mode == LUCID_INSN_64 && rnd_below(2))
		b[n++] = 0x40 | rnd_below(16);
	if (opcode >= MAP0F)
		b[n++] = 0x0f;
	if (opcode >= MAP38)
		b[n++] = 0x38;
	b[n++] = opcode;
	while (n <= sizeof(b) - 8) {
		r = rnd();
		memcpy(b + n, &r, 8);
		n += 8;
	}
	return lucid_insn_decode(insn, b, n, mode, LUCID_INSN_AMD) > 0 && key(insn) == opcode;
}

static bool patch(struct lucid_insn *insn, unsigned int off, unsigned int size, u64 val)
{
	u8 bytes[LUCID_INSN_MAX_LEN];

	memcpy(bytes, insn->bytes, insn->len);
	memcpy(bytes + off, &val, size);
	return lucid_insn_decode(insn, bytes, insn->len, insn->mode, insn->flags) > 0;
}

static u64 mask_of(unsigned int bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << 8 * bytes) - 1;
}

static u64 seg_base(const struct lucid_emul_ctxt *c, unsigned int seg)
{
	return c->mode != LUCID_EMUL_LONG || seg >= LUCID_SEG_FS ? c->seg[seg].base : 0;
}

/* The offset in @seg of a linear address, which lies in the low 2G. */
static u64 offset_in(const struct lucid_emul_ctxt *c, unsigned int seg, u64 linear)
{
	u64 offset = linear - seg_base(c, seg);

	return c->mode == LUCID_EMUL_LONG ? offset : (u32)offset;
}

/* A register that holds an offset, with what the address size leaves out at random. */
static bool set_reg(const struct lucid_insn *insn, u64 *reg, u64 offset)
{
	if (offset & ~mask_of(insn->addrsize))
		return false;
	*reg = offset;
	if (insn->addrsize < 8)
		*reg |= rnd() << 8 * insn->addrsize;
	return true;
}

/* Registers and displacement such that the memory operand lies at @target. */
static bool aim(struct lucid_emul_ctxt *c, u64 *regs, u64 target)
{
	struct lucid_insn *insn = &c->insn;
	unsigned int seg = LUCID_SEG_DS;
	u64 want;

	if (insn->base != LUCID_NO_REG && insn->disp_size == 4 &&
	    !patch(insn, insn->disp_off, 4, (s32)rnd_below(2000) - 1000))
		return false;
	if (insn->base == 4 || insn->base == 5)
		seg = LUCID_SEG_SS;
	if (insn->seg != LUCID_SEG_NONE)
		seg = insn->seg;
	want = offset_in(c, seg, target);

	if (insn->index != LUCID_NO_REG) {
		if (insn->index == insn->base)
			return false;
		regs[insn->index] = rnd_below(2) ? rnd_below(1000) : -(u64)rnd_below(1000);
		want -= regs[insn->index] << insn->scale;
	}
	if (insn->base != LUCID_NO_REG)
		return set_reg(insn, &regs[insn->base], (want - insn->disp) & mask_of(insn->addrsize));
	if (insn->rip_rel)
		want -= c->rip + insn->len;
	want &= mask_of(insn->addrsize);
	if (insn->disp_size < insn->addrsize && (s64)want != (s32)want)
		return false;
	return patch(insn, insn->disp_off, insn->disp_size, want);
}

enum { U_STACK = 1, U_SI = 2, U_DI = 4, U_BRANCH = 8, U_COUNT = 16 };

/* What an instruction uses besides its operands. */
static unsigned int uses(const struct lucid_insn *insn)
{
	u8 o = insn->opcode;

	if (insn->map == LUCID_MAP_0F) {
		if ((o & 0xf0) == 0x80)
			return U_BRANCH;
		return (o & 0xf6) == 0xa0 ? U_STACK : 0;
	}
	if (insn->map != LUCID_MAP_ONE)
		return 0;
	switch (o) {
	case 0x06: case 0x07: case 0x0e: case 0x16: case 0x17: case 0x1e: case 0x1f:
	case 0x50 ... 0x61: case 0x68: case 0x6a: case 0x8f: case 0x9c: case 0x9d:
	case 0xc8: case 0xc9:
		return U_STACK;
	case 0x70 ... 0x7f: case 0xe0 ... 0xe3: case 0xe9: case 0xeb:
		return U_BRANCH;
	case 0xc2: case 0xc3: case 0xe8:
		return U_BRANCH | U_STACK;
	case 0xa4 ... 0xa7:
		return U_SI | U_DI | U_COUNT;
	case 0xac: case 0xad:
		return U_SI | U_COUNT;
	case 0xaa: case 0xab: case 0xae: case 0xaf:
		return U_DI | U_COUNT;
	case 0xff:
		if (op_of(insn) == 2)
			return U_STACK | U_BRANCH;
		if (op_of(insn) == 4)
			return U_BRANCH;
		return op_of(insn) == 6 ? U_STACK : 0;
	}
	return 0;
}

static bool has_memory(const struct lucid_insn *insn)
{
	return insn->has_modrm ? insn->mod != 3 : insn->disp_off;
}

/* What is not to be run here, or not compared. */
static bool unfit(const struct lucid_emul_ctxt *c)
{
	const struct lucid_insn *insn = &c->insn;
	u8 o = insn->opcode;

	if (insn->map == LUCID_MAP_ONE) {
		/* LOOPE and LOOPNE follow F2 and F3 on AMD's CPUs, and no manual */
		if ((o & 0xfe) == 0xe0 && insn->pp > 1)
			return true;
		if (o == 0x9a || (o == 0xff && (op_of(insn) == 3 || op_of(insn) == 5)))
			return true;
		if ((o & 0xfe) == 0xc6 && op_of(insn))	/* XABORT, XBEGIN */
			return true;
		/* 16-bit jumps would leave the code */
		if (uses(insn) & U_BRANCH && c->mode == LUCID_EMUL_LONG && insn->opsize == 2)
			return true;
	} else if (insn->map == LUCID_MAP_0F) {
		if (uses(insn) & U_BRANCH && c->mode == LUCID_EMUL_LONG && insn->opsize == 2)
			return true;
		if (o == 0xc7 && (op_of(insn) != 1 || insn->mod == 3))
			return true;
		if ((o & 0xf8) == 0xc8 && insn->opsize == 2)	/* BSWAP, undefined */
			return true;
		/* MMX and what is not a move */
		if ((o == 0x6e || o == 0x6f || o == 0x7e || o == 0x7f || o == 0xe7 || o == 0xd6) &&
		    (insn->pp == 0 || insn->pp == 3))
			return true;
		if (o == 0xd6 && insn->pp != 1)
			return true;
		if ((o == 0x12 || o == 0x16 || o == 0x2b) && insn->pp > 1)
			return true;
		if (o == 0x83 || o == 0x0d)
			return false;
	}
	return false;
}

/* Flags that the manual leaves undefined. */
static u64 undefined(const struct lucid_emul_ctxt *c, const u64 *in, bool *result)
{
	const struct lucid_insn *insn = &c->insn;
	unsigned int o = insn->opcode, size = o & 1 ? insn->opsize : 1, count, op = op_of(insn);

	*result = false;
	if (insn->map == LUCID_MAP_ONE) {
		if (o < 0x40 && (o & 7) < 6)
			op = o >> 3;
		else if (o == 0xa8 || o == 0xa9 || o == 0x84 || o == 0x85)
			op = 4;
		else if (o == 0xf6 || o == 0xf7)
			return op < 2 ? AF : op < 4 ? 0 : op < 6 ? SF | ZF | AF | PF : ARITH;
		else if (o == 0x69 || o == 0x6b)
			return SF | ZF | AF | PF;
		else if (o == 0x27 || o == 0x2f)
			return OF;
		else if (o == 0x37 || o == 0x3f)
			return OF | SF | ZF | PF;
		else if (o == 0xd4 || o == 0xd5)
			return OF | AF | CF;
		else if ((o & 0xfe) == 0xc0 || (o & 0xfc) == 0xd0) {
			count = insn->imm_size ? insn->imm : o & 2 ? in[1] : 1;
			count &= size == 8 ? 63 : 31;
			if (!count)
				return 0;
			if (op < 4)
				return count != 1 ? OF : 0;
			return AF | (count != 1 ? OF : 0) |
			       (op != 7 && count >= 8 * size ? CF : 0);
		} else if (o < 0x80 || o > 0x83)
			return 0;
		return op == 1 || op == 4 || op == 6 ? AF : 0;
	}
	if (insn->map != LUCID_MAP_0F)
		return 0;
	switch (o) {
	case 0xaf:
		return SF | ZF | AF | PF;
	case 0xa4: case 0xa5: case 0xac: case 0xad:
		count = (insn->imm_size ? insn->imm : in[1]) & (insn->opsize == 8 ? 63 : 31);
		*result = count > 8u * insn->opsize;
		if (*result)
			return ARITH;
		return count ? AF | (count != 1 ? OF : 0) : 0;
	case 0xa3: case 0xab: case 0xb3: case 0xbb: case 0xba:
		return OF | SF | AF | PF;
	case 0xbc: case 0xbd:
		return OF | SF | AF | PF | (insn->pp == 2 ? 0 : CF);
	}
	return 0;
}

static struct {
	unsigned int ran, faults, mmio_reads, mmio_writes, went, partial, split;
	unsigned int by_opcode[0x300], by_vector[32];
} count;

/* Small numbers and edges are worth more than evenly random ones. */
static u64 random_value(void)
{
	switch (rnd_below(5)) {
	case 0:
		return rnd_below(64);
	case 1:
		return (1ull << rnd_below(64)) - rnd_below(2);
	case 2:
		return -(u64)rnd_below(64);
	default:
		return rnd();
	}
}

/* Set up registers, flags and memory for c->insn; false if it will not do. */
static bool prepare(struct lucid_emul_ctxt *c)
{
	struct lucid_insn *insn = &c->insn;
	unsigned int used = uses(insn), i, o = insn->opcode;
	bool is_long = c->mode == LUCID_EMUL_LONG, one = insn->map == LUCID_MAP_ONE, aligned;
	u64 buf = (uintptr_t)nat->buf, target, *regs = nat->in, goal, sp, val;

	for (i = 0; i < 16; i++)
		regs[i] = random_value();
	nat->in_flags = 2 | 0x200 | (rnd() & (ARITH | (rnd_below(4) ? 0 : DF)));

	/* In the buffer, often around its middle, where pages meet; sometimes over its end. */
	target = buf + 64 + (rnd_below(2) ? 4096 - 64 - rnd_below(20) : rnd_below(NATIVE_BUF - 256));
	aligned = insn->map != LUCID_MAP_ONE &&
		  (o == 0x28 || o == 0x29 || o == 0x2a || o == 0x2b || o == 0x6f || o == 0x7f ||
		   o == 0xe7 || o == 0xc7);
	if (!is_long && !aligned && !rnd_below(16))	/* else which fault comes first? */
		target = buf + NATIVE_BUF - rnd_below(9);
	if (aligned && rnd_below(8))
		target &= ~15ull;

	/* A bit string reaches out from where it is aimed. */
	if (insn->map == LUCID_MAP_0F && (o == 0xa3 || o == 0xab || o == 0xb3 || o == 0xbb) &&
	    has_memory(insn)) {
		regs[insn->reg] = rnd_below(2) ? rnd_below(9000) : -(u64)rnd_below(9000);
		target = buf + 1500 + rnd_below(4096);
		if (insn->reg == insn->base || insn->reg == insn->index)
			return false;
		val = regs[insn->reg];
		if (!aim(c, regs, target))
			return false;
		regs[insn->reg] = val;
	} else if (has_memory(insn) && !(one && o == 0x8d)) {
		if (!aim(c, regs, target))
			return false;
	}
	if (one && o == 0xd7) {
		val = offset_in(c, insn->seg != LUCID_SEG_NONE ? insn->seg : LUCID_SEG_DS,
				target - (u8)regs[0]);
		if (!set_reg(insn, &regs[3], val))
			return false;
	}
	if (used & U_SI) {
		val = buf + 500 + rnd_below(NATIVE_BUF - 1000);
		if (!set_reg(insn, &regs[6], offset_in(c, insn->seg != LUCID_SEG_NONE ? insn->seg :
						       LUCID_SEG_DS, val)))
			return false;
	}
	if (used & U_DI) {
		val = buf + 500 + rnd_below(NATIVE_BUF - 1000);
		if (!set_reg(insn, &regs[7], offset_in(c, LUCID_SEG_ES, val)))
			return false;
		if (!rnd_below(2) && used & U_SI)	/* nearly the same: it overlaps, or compares equal */
			regs[7] += offset_in(c, LUCID_SEG_DS, 0) - offset_in(c, LUCID_SEG_DS, rnd_below(3));
	}
	if (used & U_COUNT && !set_reg(insn, &regs[1], 1 + rnd_below(20)))
		return false;

	/* The stack: SP is in the buffer in any case that uses it. */
	sp = buf + 1024 + (rnd_below(2) ? 3072 + rnd_below(40) : rnd_below(4096));
	if (used & U_STACK) {
		if (insn->base == 4 && (one && o != 0xc8 && o != 0xc9)) {
			sp = regs[4] + (is_long ? 0 : c->seg[LUCID_SEG_SS].base);
			if (c->mode == LUCID_EMUL_PROT16)
				sp = (regs[4] & 0xffff) + c->seg[LUCID_SEG_SS].base;
			if (sp < buf + 64 || sp > buf + NATIVE_BUF - 64)
				return false;
		} else {
			regs[4] = offset_in(c, LUCID_SEG_SS, sp);
		}
		if (insn->index == 4)
			return false;
		if (one && (o == 0xc8 || o == 0xc9)) {	/* ENTER, LEAVE: a frame above */
			regs[5] = offset_in(c, LUCID_SEG_SS, sp + 512 + rnd_below(200));
			if (o == 0xc8 && !patch(insn, insn->imm_off, 3, rnd_below(200) | rnd_below(8) << 16))
				return false;
		}
		if (one && o == 0x9d) {			/* POPF: no TF, NT, AC, VM */
			val = rnd() & 0x203ed7;
			val &= ~0x100ull;
			memcpy(nat->buf + (sp - buf), &val, 8);
		}
	}

	if (used & U_BRANCH) {
		goal = (is_long ? (uintptr_t)nat->code : 0) +
		       (rnd_below(2) ? NATIVE_AFTER : NATIVE_BEFORE);
		if (insn->imm_size && o != 0xc2) {
			if (!patch(insn, insn->imm_off, insn->imm_size, goal - (c->rip + insn->len)))
				return false;
		} else if (o == 0xc2 || o == 0xc3) {
			memcpy(nat->buf + (sp - buf), &goal, insn->opsize);
		} else if (insn->mod == 3) {
			regs[insn->rm] = goal;
			if (insn->rm == 4 && used & U_STACK)
				return false;
		} else {
			if (target > buf + NATIVE_BUF - 8)
				return false;
			memcpy(nat->buf + (target - buf), &goal, insn->opsize);
		}
	}

	/* Operands that make the interesting case likely. */
	if (one && (o == 0xf6 || o == 0xf7) && op_of(insn) >= 6 && rnd_below(8)) {
		regs[2] = rnd_below(2) ? rnd_below(3) : -(u64)rnd_below(2);
		if (o == 0xf6)
			regs[0] &= ~0xf000ull;
		if (has_memory(insn) && (insn->base == 2 || insn->index == 2 || !insn->base || !insn->index))
			return false;
	}
	if (one && (o == 0xf6 || o == 0xf7) && op_of(insn) == 7 && !rnd_below(4)) {
		/* the most negative quotient: good by 1, too large by -1 */
		unsigned int size = o & 1 ? insn->opsize : 1;

		val = rnd_below(4) ? 1 : ~0ull;
		if (has_memory(insn) ? !insn->base || !insn->index || insn->base == 2 ||
				       insn->index == 2 || target > buf + NATIVE_BUF - 8 :
				       insn->rm == 0 || insn->rm == 2)
			return false;
		regs[0] = size == 1 ? 0xff80 : 1ull << (8 * size - 1);
		regs[2] = ~0ull;
		if (has_memory(insn))
			memcpy(nat->buf + (target - buf), &val, size);
		else
			regs[insn->rm] = val;
	}
	if (insn->map == LUCID_MAP_0F && (o & 0xfe) == 0xb0 && rnd_below(2)) {
		if (!has_memory(insn) && insn->rm < 8)
			regs[0] = regs[insn->rm];
		else if (insn->base && insn->index && target < buf + NATIVE_BUF - 8)
			memcpy(&regs[0], nat->buf + (target - buf), 8);
	}
	if (insn->map == LUCID_MAP_0F && o == 0xc7 && rnd_below(2) && insn->base && insn->index &&
	    insn->base != 2 && insn->index != 2 && target < buf + NATIVE_BUF - 16) {
		memcpy(&regs[0], nat->buf + (target - buf), insn->w ? 8 : 4);
		memcpy(&regs[2], nat->buf + (target - buf) + (insn->w ? 8 : 4), insn->w ? 8 : 4);
	}
	if (!is_long)
		for (i = 0; i < 16; i++)
			regs[i] = i < 8 ? (u32)regs[i] : 0;
	return true;
}

static void report(const struct lucid_emul_ctxt *c, int res, u64 flags_mask, const u8 *shadow)
{
	unsigned int i, n;

	printf("# mode %d:", c->mode);
	for (i = 0; i < c->insn.len; i++)
		printf(" %02x", c->insn.bytes[i]);
	printf("  result %d vector %d, the CPU's vector %d where %d; rip %llx\n", res,
	       res == LUCID_EMUL_FAULT ? c->fault.vector : -1, nat->vector, nat->where,
	       (unsigned long long)c->rip);
	for (i = 0; i < 16; i++)
		if (c->regs[i] != nat->out[i])
			printf("#   r%u in %llx cpu %llx emulator %llx\n", i,
			       (unsigned long long)nat->in[i], (unsigned long long)nat->out[i],
			       (unsigned long long)c->regs[i]);
	if ((c->rflags ^ nat->out_flags) & flags_mask)
		printf("#   flags in %llx cpu %llx emulator %llx\n", (unsigned long long)nat->in_flags,
		       (unsigned long long)nat->out_flags, (unsigned long long)c->rflags);
	printf("#   flags in %llx\n", (unsigned long long)nat->in_flags);
	for (i = 0, n = 0; i < NATIVE_BUF && n < 4; i++)
		if (nat->buf[i] != shadow[i] && ++n)
			printf("#   memory %x cpu %02x emulator %02x\n", i, nat->buf[i], shadow[i]);
	if (memcmp(xmm, nat->out_xmm, sizeof(xmm)))
		printf("#   xmm differs\n");
}

static bool one_case(struct lucid_emul_ctxt *c, const u8 *random)
{
	static u8 shadow[NATIVE_BUF];
	bool is_long = c->mode == LUCID_EMUL_LONG, undefined_result, same;
	u64 flags_mask, mask = is_long ? ~0ull : 0xffffffff, rip, after;
	unsigned int i, reads, runs = 0;
	int res;

	c->rip = (is_long ? (uintptr_t)nat->code : 0) + NATIVE_SLOT;
	if (!random_insn(&c->insn, lucid_emul_insn_mode(c->mode)) || unfit(c))
		return true;
	memcpy(nat->buf, random, NATIVE_BUF);
	if (!prepare(c) || unfit(c))
		return true;
	flags_mask = 0x3ffdd7 & ~(u64)undefined(c, nat->in, &undefined_result);
	if (undefined_result)
		return true;
	memcpy(shadow, nat->buf, NATIVE_BUF);
	memcpy(c->regs, nat->in, sizeof(c->regs));
	memcpy(nat->in_xmm, random + rnd_below(4096), sizeof(xmm));
	memcpy(xmm, nat->in_xmm, sizeof(xmm));
	c->rflags = nat->in_flags;
	vm.mmio = rnd() >> 61;
	vm.mem = shadow;
	rip = c->rip;

	native_run(&c->insn);
	do {
		res = emulate(c, &reads);
		count.mmio_reads += reads != 0;
		count.mmio_writes += c->nr_writes != 0;
	} while (res == LUCID_EMUL_OK && c->rip == rip && ++runs < 100);
	/* A lock over two pages is not done. */
	if (res == LUCID_EMUL_UNHANDLEABLE &&
	    (c->insn.prefixes & LUCID_PFX_LOCK || (c->insn.opcode & 0xfe) == 0x86)) {
		count.split++;
		return true;
	}
	count.partial += runs != 0;
	count.ran++;
	count.by_opcode[key(&c->insn)]++;

	if (nat->vector >= 0) {
		count.faults++;
		count.by_vector[nat->vector & 31]++;
		flags_mask &= ~0x10000ull;
		same = res == LUCID_EMUL_FAULT && c->fault.vector == nat->vector && c->rip == rip;
		memcpy(nat->out_xmm, nat->in_xmm, sizeof(xmm));	/* not told by a signal */
	} else {
		after = nat->where == 0 ? rip + c->insn.len :
			(is_long ? (uintptr_t)nat->code : 0) +
			(nat->where == 1 ? NATIVE_AFTER : NATIVE_BEFORE);
		count.went += nat->where != 0;
		same = res == LUCID_EMUL_OK && c->rip == after;
	}
	for (i = 0; i < 16; i++) {
		c->regs[i] &= mask;
		nat->out[i] &= mask;
		same = same && (c->regs[i] == nat->out[i] || (!is_long && i > 7));
	}
	same = same && !((c->rflags ^ nat->out_flags) & flags_mask) &&
	       !memcmp(nat->buf, shadow, NATIVE_BUF) && !memcmp(xmm, nat->out_xmm, sizeof(xmm));
	if (!same)
		report(c, res, flags_mask, shadow);
	return same;
}

static void test_mode(enum lucid_emul_mode mode, const char *name, unsigned int cases)
{
	static u8 random[NATIVE_BUF + 4096 + 16];
	struct lucid_emul_ctxt c = {
		.ops = &ops, .mode = mode, .cpl = 3, .cr0 = 0x80050033, .cr4 = 0x6f0,
		.tzcnt = __builtin_cpu_supports("bmi"), .lzcnt = __builtin_cpu_supports("lzcnt"),
	};
	const char *why = native_mode(mode);
	unsigned int i, wrong = 0, missing = 0, present = 0;

	if (why) {
		tap_skip(name, why);
		return;
	}
	memcpy(c.seg, native_seg, sizeof(c.seg));
	for (i = 0; i < sizeof(random); i++)
		random[i] = rnd() >> (rnd_below(8) ? 56 : 62);
	vm.base = (uintptr_t)nat->buf;
	vm.size = NATIVE_BUF;
	memset(&count, 0, sizeof(count));

	while (count.ran < cases && wrong < 10)
		wrong += !one_case(&c, random);
	tap_ok(!wrong, "%u random instructions in %s mode as the CPU does them", count.ran, name);

	for (i = 0; i < nr_opcodes; i++) {
		present += !!count.by_opcode[opcodes[i]];
		if (!count.by_opcode[opcodes[i]] && !missing++)
			tap_diag("first opcode missing in %s mode: %x", name, opcodes[i]);
	}
	tap_diag("%s: %u faulted (%u #DE, %u #UD, %u #SS, %u #GP), %u jumped, %u with MMIO reads, "
		 "%u with MMIO writes, %u with more runs than one", name, count.faults,
		 count.by_vector[0], count.by_vector[6], count.by_vector[12], count.by_vector[13],
		 count.went, count.mmio_reads, count.mmio_writes, count.partial);
	tap_ok(wrong || (missing <= (mode == LUCID_EMUL_LONG ? 60u : 10u) && count.mmio_reads > cases / 20 &&
			 count.mmio_writes > cases / 20 && count.faults && count.went > cases / 50 &&
			 count.partial && count.split < cases / 100), "%u opcodes were among them, and %u not", present, missing);
}

int main(int argc, char **argv)
{
	unsigned int cases = argc > 1 ? strtoul(argv[1], NULL, 0) : 500000, i, o;
	const char *why;

	ops.read_xmm = read_xmm;
	ops.write_xmm = write_xmm;
	for (i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		for (o = ranges[i].first; o <= ranges[i].last; o++)
			opcodes[nr_opcodes++] = o;
	rnd_seed(42);
	why = native_init();
	if (why) {
		tap_skip("instructions against the CPU", why);
		return tap_done();
	}
	test_mode(LUCID_EMUL_LONG, "64-bit", cases);
	test_mode(LUCID_EMUL_PROT32, "32-bit", cases);
	test_mode(LUCID_EMUL_PROT16, "16-bit", cases);
	tap_ok(vm.locked && !vm.crossed && vm.longest == 8,
	       "no piece crossed a page or was above 8 bytes; %u were locked", vm.locked);
	return tap_done();
}
