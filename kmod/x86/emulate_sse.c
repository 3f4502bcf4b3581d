// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator: moves between XMM registers and memory or general registers.
 * What computes is not here. No MMX, no VEX.
 */
#include "emulate_internal.h"

/* What a move does with the parts of a register. */
enum sse_kind {
	SSE_NONE,
	SSE_LOAD,	/* xmm = r/m; from memory, what is above becomes 0; 4 and 8 bytes between registers merge */
	SSE_STORE,	/* r/m = xmm */
	SSE_LOAD_LOW,	/* the lower half from memory, or from a register's upper one */
	SSE_LOAD_HIGH,	/* the upper half from memory, or from a register's lower one */
	SSE_STORE_HIGH,	/* memory = the upper half */
	SSE_FROM_GPR,	/* MOVD, MOVQ from a general register or memory, zero-extended */
	SSE_TO_GPR,
	SSE_LOAD_ZERO,	/* xmm = r/m, 8 bytes, zero-extended from registers too */
	SSE_STORE_ZERO,	/* r/m = xmm, 8 bytes, likewise */
};

#define ALIGNED	0x80

struct sse_move {
	u8 opcode, pp, kind, size;	/* size | ALIGNED */
};

/* 0F; pp is 0 none, 1 66, 2 F3, 3 F2. */
static const struct sse_move moves[] = {
	{ 0x10, 0, SSE_LOAD, 16 }, { 0x10, 1, SSE_LOAD, 16 },		/* MOVUPS MOVUPD */
	{ 0x10, 2, SSE_LOAD, 4 }, { 0x10, 3, SSE_LOAD, 8 },		/* MOVSS MOVSD */
	{ 0x11, 0, SSE_STORE, 16 }, { 0x11, 1, SSE_STORE, 16 },
	{ 0x11, 2, SSE_STORE, 4 }, { 0x11, 3, SSE_STORE, 8 },
	{ 0x12, 0, SSE_LOAD_LOW, 8 }, { 0x12, 1, SSE_LOAD_LOW, 8 },	/* MOVLPS MOVHLPS MOVLPD */
	{ 0x13, 0, SSE_STORE, 8 }, { 0x13, 1, SSE_STORE, 8 },
	{ 0x16, 0, SSE_LOAD_HIGH, 8 }, { 0x16, 1, SSE_LOAD_HIGH, 8 },	/* MOVHPS MOVLHPS MOVHPD */
	{ 0x17, 0, SSE_STORE_HIGH, 8 }, { 0x17, 1, SSE_STORE_HIGH, 8 },
	{ 0x28, 0, SSE_LOAD, 16 | ALIGNED }, { 0x28, 1, SSE_LOAD, 16 | ALIGNED },	/* MOVAPS */
	{ 0x29, 0, SSE_STORE, 16 | ALIGNED }, { 0x29, 1, SSE_STORE, 16 | ALIGNED },
	{ 0x2b, 0, SSE_STORE, 16 | ALIGNED }, { 0x2b, 1, SSE_STORE, 16 | ALIGNED },	/* MOVNTPS */
	{ 0x6e, 1, SSE_FROM_GPR, 0 }, { 0x7e, 1, SSE_TO_GPR, 0 },	/* MOVD MOVQ */
	{ 0x6f, 1, SSE_LOAD, 16 | ALIGNED }, { 0x6f, 2, SSE_LOAD, 16 },	/* MOVDQA MOVDQU */
	{ 0x7f, 1, SSE_STORE, 16 | ALIGNED }, { 0x7f, 2, SSE_STORE, 16 },
	{ 0x7e, 2, SSE_LOAD_ZERO, 8 }, { 0xd6, 1, SSE_STORE_ZERO, 8 },	/* MOVQ */
	{ 0xe7, 1, SSE_STORE, 16 | ALIGNED },				/* MOVNTDQ */
	{ 0xf0, 3, SSE_LOAD, 16 },					/* LDDQU */
};

static const struct sse_move movntdqa = { 0x2a, 1, SSE_LOAD, 16 | ALIGNED };	/* 0F 38 */

static const struct sse_move *find_move(const struct lucid_insn *insn)
{
	unsigned int i;

	if (insn->map == LUCID_MAP_0F38)
		return insn->opcode == movntdqa.opcode && insn->pp == movntdqa.pp ? &movntdqa : NULL;
	for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
		if (moves[i].opcode == insn->opcode && moves[i].pp == insn->pp)
			return &moves[i];
	return NULL;
}

static int sse_memory(struct lucid_emul_ctxt *c, unsigned int size, bool aligned, bool write,
		      u64 *linear)
{
	unsigned int seg;
	u64 ea = lucid_emul_ea(c, &seg);
	int res = lucid_emul_linear(c, seg, ea, size, write, linear);

	if (res == LUCID_EMUL_OK && aligned && *linear & (size - 1))
		return fault_gp(c, 0);
	return res;
}

/* From a general register or memory to XMM, and back. */
static int sse_gpr(struct lucid_emul_ctxt *c, bool to_gpr)
{
	unsigned int size = c->insn.w ? 8 : 4;
	u8 xmm[16] = { 0 };
	u64 val = 0;
	int res;

	if (!to_gpr) {
		res = lucid_emul_read_rm(c, &val, size);
		memcpy(xmm, &val, 8);
		return res != LUCID_EMUL_OK ? res : c->ops->write_xmm(c, c->insn.reg, xmm);
	}
	res = c->ops->read_xmm(c, c->insn.reg, xmm);
	memcpy(&val, xmm, size);
	return res != LUCID_EMUL_OK ? res : lucid_emul_write_rm(c, val, size);
}

static int sse_store(struct lucid_emul_ctxt *c, const struct sse_move *move)
{
	unsigned int size = move->size & ~ALIGNED, from = move->kind == SSE_STORE_HIGH ? 8 : 0;
	u8 src[16], dst[16];
	u64 linear;
	int res = c->ops->read_xmm(c, c->insn.reg, src);

	if (res != LUCID_EMUL_OK)
		return res;
	if (c->insn.mod != 3) {
		res = sse_memory(c, size, move->size & ALIGNED, true, &linear);
		return res != LUCID_EMUL_OK ? res : lucid_emul_write(c, linear, src + from, size);
	}
	memset(dst, 0, sizeof(dst));
	if (move->kind == SSE_STORE)
		res = c->ops->read_xmm(c, c->insn.rm, dst);
	memcpy(dst, src, size);
	return res != LUCID_EMUL_OK ? res : c->ops->write_xmm(c, c->insn.rm, dst);
}

static int sse_load(struct lucid_emul_ctxt *c, const struct sse_move *move)
{
	unsigned int size = move->size & ~ALIGNED;
	bool memory = c->insn.mod != 3, keep;
	u8 src[16], dst[16];
	u64 linear;
	int res;

	if (memory) {
		res = sse_memory(c, size, move->size & ALIGNED, false, &linear);
		if (res == LUCID_EMUL_OK)
			res = lucid_emul_read(c, linear, src, size);
	} else {
		res = c->ops->read_xmm(c, c->insn.rm, src);
	}
	memset(dst, 0, sizeof(dst));
	keep = move->kind == SSE_LOAD_LOW || move->kind == SSE_LOAD_HIGH ||
	       (move->kind == SSE_LOAD && !memory);
	if (res == LUCID_EMUL_OK && keep)
		res = c->ops->read_xmm(c, c->insn.reg, dst);
	if (res != LUCID_EMUL_OK)
		return res;
	if (move->kind == SSE_LOAD_HIGH)
		memcpy(dst + 8, src, 8);
	else if (move->kind == SSE_LOAD_LOW && !memory)
		memcpy(dst, src + 8, 8);
	else
		memcpy(dst, src, size);
	return c->ops->write_xmm(c, c->insn.reg, dst);
}

int lucid_emul_sse_move(struct lucid_emul_ctxt *c)
{
	const struct sse_move *move = find_move(&c->insn);

	if (!move || !c->ops->read_xmm || !c->ops->write_xmm)
		return LUCID_EMUL_UNHANDLEABLE;
	if (c->cr0 & CR0_EM || !(c->cr4 & CR4_OSFXSR))
		return fault_ud(c);
	if (c->cr0 & CR0_TS)
		return lucid_emul_exception(c, EXC_NM, false, 0);

	switch (move->kind) {
	case SSE_FROM_GPR:
		return sse_gpr(c, false);
	case SSE_TO_GPR:
		return sse_gpr(c, true);
	case SSE_STORE: case SSE_STORE_HIGH: case SSE_STORE_ZERO:
		return sse_store(c, move);
	default:
		return sse_load(c, move);
	}
}

/* 0F C3: a plain store of a general register. */
int lucid_emul_movnti(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.w ? 8 : 4;

	return lucid_emul_write_rm(c, read_reg(c, c->insn.reg, size), size);
}
