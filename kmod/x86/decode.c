// SPDX-License-Identifier: GPL-2.0
/*
 * The instruction decoder. Read decode.h first, then decode_tables.h.
 *
 * The bytes are taken from left to right, each exactly once:
 *
 *   prefixes | opcode, or VEX/XOP/EVEX and opcode | ModRM SIB displacement | immediate
 *
 * Every byte comes through fetch(), so that running out of bytes, or past the
 * 15th, ends the decoding wherever it happens.
 */
#include <linux/types.h>
#include <linux/string.h>

#include "decode.h"
#include "decode_tables.h"

/* What is still to be read. */
struct cursor {
	const u8 *bytes;
	unsigned int pos;
	unsigned int avail;
};

/* The next @n bytes as a little-endian number; 0 or an error. */
static int fetch(struct cursor *c, unsigned int n, u64 *val)
{
	unsigned int i;

	if (c->pos + n > LUCID_INSN_MAX_LEN)
		return -LUCID_INSN_TOO_LONG;
	if (c->pos + n > c->avail)
		return -LUCID_INSN_MORE;

	*val = 0;
	for (i = 0; i < n; i++)
		*val |= (u64)c->bytes[c->pos++] << (8 * i);
	return 0;
}

static int fetch_byte(struct cursor *c, u8 *byte)
{
	u64 val;
	int err = fetch(c, 1, &val);

	if (!err)
		*byte = val;
	return err;
}

/* The next byte without taking it. */
static int peek_byte(const struct cursor *c, u8 *byte)
{
	struct cursor copy = *c;

	return fetch_byte(&copy, byte);
}

static s64 sign_extend(u64 val, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (s64)(val << shift) >> shift;
}

/*
 * Prefixes, up to and without the first byte that is none; that one is taken
 * too and returned in @opcode.
 */
static int decode_prefixes(struct lucid_insn *insn, struct cursor *c, u8 *opcode)
{
	bool long_mode = insn->mode == LUCID_INSN_64;

	for (;;) {
		int err = fetch_byte(c, opcode);

		if (err)
			return err;

		switch (*opcode) {
		case 0x66:
			insn->prefixes |= LUCID_PFX_OPSIZE;
			break;
		case 0x67:
			insn->prefixes |= LUCID_PFX_ADDRSIZE;
			break;
		case 0xf0:
			insn->prefixes |= LUCID_PFX_LOCK;
			break;
		case 0xf2:	/* the last of F2 and F3 wins */
			insn->prefixes &= ~LUCID_PFX_REP;
			insn->prefixes |= LUCID_PFX_REPNE;
			break;
		case 0xf3:
			insn->prefixes &= ~LUCID_PFX_REPNE;
			insn->prefixes |= LUCID_PFX_REP;
			break;
		case 0x26: case 0x2e: case 0x36: case 0x3e:
			/* ES, CS, SS, DS: ignored in 64-bit mode, FS or GS before them stay */
			if (!long_mode)
				insn->seg = (*opcode >> 3) & 3;
			break;
		case 0x64: case 0x65:
			insn->seg = LUCID_SEG_FS + (*opcode & 1);
			break;
		case 0x40 ... 0x4f:
			if (!long_mode)
				return 0;
			/* counts only if the opcode follows */
			insn->rex = *opcode;
			continue;
		default:
			return 0;
		}
		insn->rex = 0;
	}
}

/* The numbers that W, the mode and the prefixes make of a cell's attributes. */
static void set_sizes(struct lucid_insn *insn, u32 attr)
{
	bool pfx66 = insn->prefixes & LUCID_PFX_OPSIZE;
	bool pfx67 = insn->prefixes & LUCID_PFX_ADDRSIZE;

	switch (insn->mode) {
	case LUCID_INSN_64:
		insn->addrsize = pfx67 ? 4 : 8;
		if (insn->w || attr & SYS)
			insn->opsize = attr & W32 ? 4 : 8;
		else if (attr & F64)
			insn->opsize = pfx66 && insn->flags & LUCID_INSN_AMD ? 2 : 8;
		else if (pfx66)
			insn->opsize = 2;
		else
			insn->opsize = attr & D64 ? 8 : 4;
		return;
	case LUCID_INSN_32:
		insn->addrsize = pfx67 ? 2 : 4;
		insn->opsize = pfx66 ? 2 : 4;
		break;
	default:
		insn->addrsize = pfx67 ? 4 : 2;
		insn->opsize = pfx66 ? 4 : 2;
	}
	if (attr & SYS)
		insn->opsize = 4;
}

/* Bits that REX and its successors add to register numbers: 0 or 8 (16 in EVEX). */
struct reg_bits {
	u8 r, x, b;
	u8 rm_reg;	/* for a register in ModRM.rm only (EVEX.X) */
};

/* Base, index and displacement size of 16-bit addressing, by ModRM.rm. */
static const u8 base16[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };
static const u8 index16[8] = {
	6, 7, 6, 7, LUCID_NO_REG, LUCID_NO_REG, LUCID_NO_REG, LUCID_NO_REG
};

/* SIB and displacement of a memory operand. */
static int decode_memory(struct lucid_insn *insn, struct cursor *c,
			 const struct reg_bits *ext)
{
	u8 rm = insn->modrm & 7;
	u64 disp;
	int err;

	insn->disp_size = insn->mod == 1 ? 1 : insn->mod == 2 ? 4 : 0;

	if (insn->addrsize == 2) {
		insn->base = base16[rm];
		insn->index = index16[rm];
		if (insn->mod == 2)
			insn->disp_size = 2;
		if (insn->mod == 0 && rm == 6) {
			insn->base = LUCID_NO_REG;
			insn->disp_size = 2;
		}
	} else if (rm == 4) {
		u8 sib;

		err = fetch_byte(c, &sib);
		if (err)
			return err;
		insn->has_sib = true;
		insn->scale = sib >> 6;
		insn->index = ((sib >> 3) & 7) | ext->x;
		if (insn->index == 4)
			insn->index = LUCID_NO_REG;
		insn->base = (sib & 7) | ext->b;
		if (insn->mod == 0 && (sib & 7) == 5) {
			insn->base = LUCID_NO_REG;
			insn->disp_size = 4;
		}
	} else if (insn->mod == 0 && rm == 5) {
		insn->rip_rel = insn->mode == LUCID_INSN_64;
		insn->disp_size = 4;
	} else {
		insn->base = rm | ext->b;
	}

	if (!insn->disp_size)
		return 0;
	insn->disp_off = c->pos;
	err = fetch(c, insn->disp_size, &disp);
	if (!err)
		insn->disp = sign_extend(disp, insn->disp_size);
	return err;
}

/* ModRM alone; the memory operand comes when the opcode is known to have one. */
static int decode_modrm(struct lucid_insn *insn, struct cursor *c,
			const struct reg_bits *ext)
{
	int err;

	insn->modrm_off = c->pos;
	err = fetch_byte(c, &insn->modrm);
	if (err)
		return err;
	insn->has_modrm = true;
	insn->mod = insn->modrm >> 6;
	insn->reg = ((insn->modrm >> 3) & 7) | ext->r;
	insn->rm = (insn->modrm & 7) | ext->b | ext->rm_reg;
	return 0;
}

static int decode_imm(struct lucid_insn *insn, struct cursor *c, u32 attr)
{
	unsigned int z = insn->opsize == 2 ? 2 : 4;
	u64 val;
	int err;

	switch (attr & IMM_MASK) {
	case 0:
		return 0;
	case IB:
		insn->imm_size = 1;
		break;
	case IW:
		insn->imm_size = 2;
		break;
	case ID:
		insn->imm_size = 4;
		break;
	case IZ:
		insn->imm_size = z;
		break;
	case IV:
		insn->imm_size = insn->opsize;
		break;
	case IWB:
		insn->imm_size = 2;
		insn->imm2_size = 1;
		break;
	case IAP:
		insn->imm_size = z;
		insn->imm2_size = 2;
		break;
	case IBB:
		insn->imm_size = 1;
		insn->imm2_size = 1;
		break;
	case IMOFFS:
		insn->disp_size = insn->addrsize;
		insn->disp_off = c->pos;
		err = fetch(c, insn->disp_size, &val);
		if (!err)
			insn->disp = val;
		return err;
	}

	insn->imm_off = c->pos;
	err = fetch(c, insn->imm_size, &insn->imm);
	if (err || !insn->imm2_size)
		return err;
	err = fetch(c, insn->imm2_size, &val);
	if (!err)
		insn->imm2 = val;
	return err;
}

/* The cell of an opcode whose ModRM byte says more, or 0. */
static u32 group_cell(const struct lucid_insn *insn, u32 attr)
{
	unsigned int group = attr >> GROUP_SHIFT;
	unsigned int reg = (insn->modrm >> 3) & 7;
	u32 cell = groups[group][reg];

	switch (group) {
	case G7:
		if (insn->mod == 3) {
			cell = grp7_reg[insn->modrm & 0x3f];
			cell = (cell & ~ANY) | FORM_REG(cell & ANY);
		}
		break;
	case G11_B:
	case G11:	/* XABORT, XBEGIN */
		if (insn->modrm == 0xf8)
			cell = EA;
		break;
	case G_LOCK6:
	case G_LOCK7:
	case G_HRESET:	/* ModRM is a part of the opcode */
		if (insn->modrm & 7)
			cell = 0;
		break;
	case G_CR:
	case G_DR:	/* REX.R counts: CR8 is one, the others above 7 are not */
		if (insn->reg > 8 || (insn->reg == 8 && group == G_DR))
			cell = 0;
		else if (insn->reg == 8)
			cell = EA;
		break;
	case G_FPU:
		reg |= (insn->opcode & 7) << 3;
		if (insn->mod != 3)
			cell = fpu_mem[reg >> 3] >> (reg & 7) & 1 ? EA : 0;
		else
			cell = fpu_reg[reg >> 3] >> (insn->modrm & 0x3f) & 1 ? EA : 0;
		break;
	case G_EXTRQ:	/* SSE4a has two bytes behind it, VMREAD none */
		if (insn->pp & 1)
			cell |= IBB;
		break;
	}
	return cell ? cell | attr : 0;
}

static bool is_3dnow(u8 opcode)
{
	unsigned int i;

	for (i = 0; i < sizeof(amd_3dnow); i++)
		if (amd_3dnow[i] == opcode)
			return true;
	return false;
}

/*
 * MOV to and from CR or DR have registers whatever ModRM.mod says. (AMD lets
 * LOCK stand for the bit that 32-bit code lacks to reach CR8.)
 */
static bool is_mov_crdr(const struct lucid_insn *insn)
{
	return insn->encoding == LUCID_ENC_LEGACY && insn->map == LUCID_MAP_0F &&
	       (insn->opcode & 0xfc) == 0x20;
}

static bool lock_allowed(const struct lucid_insn *insn, u32 attr)
{
	if (!(insn->prefixes & LUCID_PFX_LOCK))
		return true;
	if (is_mov_crdr(insn) && !(insn->opcode & 1))
		return insn->flags & LUCID_INSN_AMD && insn->reg == 0;
	return attr & LK && insn->mod != 3;
}

/* An instruction without VEX, XOP or EVEX: @attr is the cell of its opcode. */
static int decode_legacy(struct lucid_insn *insn, struct cursor *c, u32 attr)
{
	struct reg_bits ext = {
		.r = insn->rex & 4 ? 8 : 0,
		.x = insn->rex & 2 ? 8 : 0,
		.b = insn->rex & 1 ? 8 : 0,
	};
	u32 forms;
	int err;

	if (insn->prefixes & LUCID_PFX_REPNE)
		insn->pp = 3;
	else if (insn->prefixes & LUCID_PFX_REP)
		insn->pp = 2;
	else if (insn->prefixes & LUCID_PFX_OPSIZE)
		insn->pp = 1;
	insn->w = insn->rex >> 3 & 1;

	if (!attr)
		return -LUCID_INSN_INVALID;
	if (attr & MODRM) {
		err = decode_modrm(insn, c, &ext);
		if (err)
			return err;
		if (attr >> GROUP_SHIFT)
			attr = group_cell(insn, attr);
		if (is_mov_crdr(insn))
			insn->mod = 3;
	}

	forms = attr;
	if (attr & MODRM && insn->mod == 3) {
		forms >>= 4;
		if (insn->mode != LUCID_INSN_64)
			forms &= ~(attr >> ONLY64_SHIFT);
	}
	if (!(forms >> insn->pp & 1))
		return -LUCID_INSN_INVALID;
	if (attr & NO64 && insn->mode == LUCID_INSN_64)
		return -LUCID_INSN_INVALID;
	if (!lock_allowed(insn, attr))
		return -LUCID_INSN_INVALID;

	set_sizes(insn, attr);
	if (attr & MODRM && insn->mod != 3) {
		err = decode_memory(insn, c, &ext);
		if (err)
			return err;
	}
	err = decode_imm(insn, c, attr);
	if (err)
		return err;

	if (insn->map == LUCID_MAP_0F && insn->opcode == 0x0f) {
		insn->map = LUCID_MAP_3DNOW;
		insn->opcode = insn->imm;
		insn->opcode_off = insn->imm_off;
		insn->imm = insn->imm_size = insn->imm_off = 0;
		if (!is_3dnow(insn->opcode))
			return -LUCID_INSN_INVALID;
	}
	return 0;
}

static const u8 *extended_map(const struct lucid_insn *insn)
{
	static const u8 *const vex[] = { NULL, vex_map1, vex_map2, vex_map3 };
	static const u8 *const xop[] = { xop_map8, xop_map9, xop_mapa };
	static const u8 *const evex[] = {
		NULL, evex_map1, evex_map2, evex_map3, NULL, evex_map5, evex_map6
	};

	switch (insn->encoding) {
	case LUCID_ENC_VEX:
		return insn->map <= 3 ? vex[insn->map] : NULL;
	case LUCID_ENC_XOP:
		return insn->map >= 8 && insn->map <= 10 ? xop[insn->map - 8] : NULL;
	default:
		return insn->map <= 6 ? evex[insn->map] : NULL;
	}
}

/*
 * VEX (C4, C5), XOP (8F) and EVEX (62). Their payload holds what prefixes and
 * escape bytes say elsewhere; all register bits in it are inverted:
 *
 *   C5    R vvvv L pp
 *   C4/8F RXB m-mmmm   W vvvv L pp
 *   62    RXBR' 0mmm   W vvvv 1 pp   z L'L b V' aaa
 */
static int decode_extended(struct lucid_insn *insn, struct cursor *c, u8 first)
{
	struct reg_bits ext = { 0 };
	const u8 *map;
	u8 cell, p0 = 0, p1, p2;
	u32 attr = MODRM;
	int err;

	/* No prefix that the payload holds may stand before it, nor LOCK. */
	if (insn->rex || insn->prefixes & (LUCID_PFX_OPSIZE | LUCID_PFX_LOCK |
					   LUCID_PFX_REP | LUCID_PFX_REPNE))
		return -LUCID_INSN_INVALID;

	if (first != 0xc5) {
		err = fetch_byte(c, &p0);
		if (err)
			return err;
	}
	err = fetch_byte(c, &p1);
	if (err)
		return err;

	if (first == 0xc5) {
		p0 = (p1 & 0x80) | 0x61;	/* as C4 would: X = B = 0, map 1 */
		p1 &= 0x7f;
	}

	if (first == 0x62) {
		insn->encoding = LUCID_ENC_EVEX;
		if (p0 & 0x08 || !(p1 & 0x04))
			return -LUCID_INSN_INVALID;
		insn->map = p0 & 7;
		err = fetch_byte(c, &p2);
		if (err)
			return err;
		insn->evex = p2;
		insn->vl = p2 >> 5 & 3;
	} else {
		insn->encoding = first == 0x8f ? LUCID_ENC_XOP : LUCID_ENC_VEX;
		insn->map = p0 & 0x1f;
		insn->vl = p1 >> 2 & 1;
	}
	insn->w = p1 >> 7;
	insn->pp = p1 & 3;
	insn->vvvv = ~p1 >> 3 & 0xf;

	if (insn->mode == LUCID_INSN_64) {
		ext.r = p0 & 0x80 ? 0 : 8;
		ext.x = p0 & 0x40 ? 0 : 8;
		ext.b = p0 & 0x20 ? 0 : 8;
		if (insn->encoding == LUCID_ENC_EVEX) {
			ext.r |= p0 & 0x10 ? 0 : 16;
			ext.rm_reg = ext.x << 1;
			insn->vvvv |= p2 & 0x08 ? 0 : 16;
		}
	} else {
		insn->vvvv &= 7;	/* the top bit is ignored outside 64-bit mode */
	}

	insn->opcode_off = c->pos;
	err = fetch_byte(c, &insn->opcode);
	if (err)
		return err;

	map = extended_map(insn);
	cell = map ? map[insn->opcode] : 0;
	if (!(cell >> insn->pp & 1) || (cell & V_64 && insn->mode != LUCID_INSN_64))
		return -LUCID_INSN_INVALID;
	if (cell & V_ALONE)
		attr = 0;
	if (cell & V_IB || insn->map == 3 || insn->map == 8)
		attr |= IB;
	if (cell & V_ID)
		attr |= ID;

	set_sizes(insn, attr);
	if (attr & MODRM) {
		err = decode_modrm(insn, c, &ext);
		if (!err && insn->mod != 3)
			err = decode_memory(insn, c, &ext);
		if (err)
			return err;
	}
	return decode_imm(insn, c, attr);
}

/*
 * Does @first begin VEX, XOP or EVEX? The byte after it decides: outside 64-bit
 * mode C4, C5 and 62 are LES, LDS and BOUND, which have no register form, and
 * 8F is POP where ModRM.reg is 0, which keeps XOP's map below 8.
 * 1 or 0, or an error.
 */
static int is_extended(const struct lucid_insn *insn, const struct cursor *c, u8 first)
{
	u8 next;
	int err;

	if (first != 0xc4 && first != 0xc5 && first != 0x62 && first != 0x8f)
		return 0;
	if (insn->mode == LUCID_INSN_64 && first != 0x8f)
		return 1;

	err = peek_byte(c, &next);
	if (err)
		return err;
	return first == 0x8f ? (next & 0x1f) >= 8 : next >= 0xc0;
}

/* All after the prefixes. */
static int decode_opcode(struct lucid_insn *insn, struct cursor *c, u8 first)
{
	int err = is_extended(insn, c, first);
	u32 attr;

	if (err < 0)
		return err;
	if (err)
		return decode_extended(insn, c, first);

	insn->opcode = first;
	attr = map_one[first];
	if (first == 0x0f) {
		err = fetch_byte(c, &insn->opcode);
		if (err)
			return err;
		insn->map = LUCID_MAP_0F;
		attr = map_0f[insn->opcode];
		if (insn->opcode == 0x38 || insn->opcode == 0x3a) {
			insn->map = insn->opcode == 0x38 ? LUCID_MAP_0F38 : LUCID_MAP_0F3A;
			err = fetch_byte(c, &insn->opcode);
			if (err)
				return err;
			if (insn->map == LUCID_MAP_0F38)
				attr = map_0f38[insn->opcode];
			else if (map_0f3a[insn->opcode])
				attr = map_0f3a[insn->opcode] | IB;
			else
				attr = 0;
		}
	}
	insn->opcode_off = c->pos - 1;
	return decode_legacy(insn, c, attr);
}

int lucid_insn_decode(struct lucid_insn *insn, const u8 *bytes, unsigned int avail,
		      enum lucid_insn_mode mode, unsigned int flags)
{
	struct cursor c = { .bytes = bytes, .avail = avail };
	u8 first;
	int err;

	memset(insn, 0, sizeof(*insn));
	insn->mode = mode;
	insn->flags = flags;
	insn->seg = LUCID_SEG_NONE;
	insn->base = LUCID_NO_REG;
	insn->index = LUCID_NO_REG;

	err = decode_prefixes(insn, &c, &first);
	if (err)
		return err;
	if (insn->seg != LUCID_SEG_NONE)
		insn->prefixes |= LUCID_PFX_SEG;
	if (insn->rex)
		insn->prefixes |= LUCID_PFX_REX;

	err = decode_opcode(insn, &c, first);
	if (err)
		return err;

	insn->len = c.pos;
	memcpy(insn->bytes, bytes, insn->len);
	return insn->len;
}

#define WANT_MEM	1
#define WANT_REG	2

static const struct {
	u8 map, opcode, pps, mask, value, want;
} named[LUCID_I_NR] = {
#define PPS_ANY		ANY
#define PPS_66		P66
#define PPS_F3		P3
#define WANT_M		WANT_MEM
#define WANT_R		WANT_REG
#define WANT_E		0
#define NAMED(name, map, op, pps, mask, value, want) \
	[LUCID_I_##name] = { LUCID_MAP_##map, op, PPS_##pps, mask, value, WANT_##want },
	LUCID_NAMED_INSNS(NAMED)
};

bool lucid_insn_is(const struct lucid_insn *insn, enum lucid_insn_id id)
{
	if (id >= LUCID_I_NR || insn->encoding != LUCID_ENC_LEGACY)
		return false;
	if (insn->map != named[id].map || insn->opcode != named[id].opcode ||
	    !(named[id].pps >> insn->pp & 1))
		return false;
	if ((insn->modrm & named[id].mask) != named[id].value)
		return false;
	if (named[id].want && (insn->mod == 3) != (named[id].want == WANT_REG))
		return false;
	/* with REX.B it is XCHG R8, RAX */
	return id != LUCID_I_PAUSE || !(insn->rex & 1);
}

unsigned int lucid_insn_cr(const struct lucid_insn *insn)
{
	return insn->prefixes & LUCID_PFX_LOCK ? 8 : insn->reg;
}
