// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator: string instructions and port I/O.
 *
 * With REP one run does a bounded number of iterations. What is complete is
 * committed iteration by iteration; if the run ends before the last one, for
 * whatever reason, RIP stays and the instruction is simply run again, so that
 * interrupts can come between. Only the first iteration can end a run with
 * anything but OK: what a later one meets, the next run meets first.
 */
#include "emulate_internal.h"

#define MAX_ITERATIONS	256

/* The instructions, by opcode without its lowest bit. */
enum {
	STR_INS = 0x6c, STR_OUTS = 0x6e, STR_MOVS = 0xa4, STR_CMPS = 0xa6,
	STR_STOS = 0xaa, STR_LODS = 0xac, STR_SCAS = 0xae,
};

/* A register as the address size sees it. */
static u64 addr_reg(const struct lucid_emul_ctxt *c, unsigned int reg)
{
	return c->regs[reg] & size_mask(c->insn.addrsize);
}

static void step(struct lucid_emul_ctxt *c, unsigned int reg, unsigned int size)
{
	u64 by = c->rflags & FLAG_DF ? -(u64)size : size;

	write_reg(c, reg, c->regs[reg] + by, c->insn.addrsize);
}

static int source(struct lucid_emul_ctxt *c, unsigned int size, u64 *linear)
{
	unsigned int seg = c->insn.seg != LUCID_SEG_NONE ? c->insn.seg : LUCID_SEG_DS;

	return lucid_emul_linear(c, seg, addr_reg(c, REG_SI), size, false, linear);
}

static int destination(struct lucid_emul_ctxt *c, unsigned int size, bool write, u64 *linear)
{
	return lucid_emul_linear(c, LUCID_SEG_ES, addr_reg(c, REG_DI), size, write, linear);
}

static int read_source(struct lucid_emul_ctxt *c, u64 *val, unsigned int size)
{
	u64 linear;
	int res = source(c, size, &linear);

	*val = 0;
	return res != LUCID_EMUL_OK ? res : lucid_emul_read(c, linear, val, size);
}

static int read_destination(struct lucid_emul_ctxt *c, u64 *val, unsigned int size)
{
	u64 linear;
	int res = destination(c, size, false, &linear);

	*val = 0;
	return res != LUCID_EMUL_OK ? res : lucid_emul_read(c, linear, val, size);
}

static int do_movs(struct lucid_emul_ctxt *c, unsigned int size)
{
	u64 val, linear;
	int res = read_source(c, &val, size), probe;

	if (res != LUCID_EMUL_OK && res != LUCID_EMUL_MMIO_READ)
		return res;
	probe = destination(c, size, true, &linear);
	if (probe != LUCID_EMUL_OK)
		return probe;
	if (res == LUCID_EMUL_MMIO_READ) {	/* not to be asked if the write then fails */
		probe = lucid_emul_probe_write(c, linear, size);
		return probe != LUCID_EMUL_OK ? probe : res;
	}
	res = lucid_emul_write(c, linear, &val, size);
	if (res != LUCID_EMUL_OK)
		return res;
	step(c, REG_SI, size);
	step(c, REG_DI, size);
	return LUCID_EMUL_OK;
}

static int do_stos(struct lucid_emul_ctxt *c, unsigned int size)
{
	u64 linear;
	int res = destination(c, size, true, &linear);

	if (res == LUCID_EMUL_OK)
		res = lucid_emul_write(c, linear, &c->regs[REG_AX], size);
	if (res == LUCID_EMUL_OK)
		step(c, REG_DI, size);
	return res;
}

static int do_lods(struct lucid_emul_ctxt *c, unsigned int size)
{
	u64 val;
	int res = read_source(c, &val, size);

	if (res != LUCID_EMUL_OK)
		return res;
	write_reg(c, REG_AX, val, size);
	step(c, REG_SI, size);
	return LUCID_EMUL_OK;
}

static int do_compare(struct lucid_emul_ctxt *c, bool scas, unsigned int size)
{
	u64 a = c->regs[REG_AX], b;
	int res = scas ? LUCID_EMUL_OK : read_source(c, &a, size);

	if (res == LUCID_EMUL_OK)
		res = read_destination(c, &b, size);
	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_alu_op(ALU_CMP, a, b, size, &c->rflags);
	if (!scas)
		step(c, REG_SI, size);
	step(c, REG_DI, size);
	return LUCID_EMUL_OK;
}

/*
 * Whether IN and OUT are allowed, as far as EFLAGS.IOPL tells. The bitmap of
 * the TSS is not looked at.
 */
static int port_allowed(struct lucid_emul_ctxt *c)
{
	if (c->mode == LUCID_EMUL_REAL)
		return LUCID_EMUL_OK;
	if (c->mode == LUCID_EMUL_VM86 || c->cpl > (c->rflags & FLAG_IOPL) >> 12)
		return LUCID_EMUL_UNHANDLEABLE;
	return LUCID_EMUL_OK;
}

static int do_ins(struct lucid_emul_ctxt *c, unsigned int size)
{
	u64 val = 0, linear;
	int res = destination(c, size, true, &linear);

	if (!c->ops->port_in)
		return LUCID_EMUL_UNHANDLEABLE;
	if (res == LUCID_EMUL_OK)	/* the device is asked only if the answer has a place */
		res = lucid_emul_probe_write(c, linear, size);
	if (res == LUCID_EMUL_OK)
		res = c->ops->port_in(c, c->regs[REG_DX], &val, size);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_write(c, linear, &val, size);
	if (res == LUCID_EMUL_OK)
		step(c, REG_DI, size);
	return res;
}

static int do_outs(struct lucid_emul_ctxt *c, unsigned int size)
{
	u64 val;
	int res = read_source(c, &val, size);

	if (!c->ops->port_out)
		return LUCID_EMUL_UNHANDLEABLE;
	if (res == LUCID_EMUL_OK)
		res = c->ops->port_out(c, c->regs[REG_DX], val, size);
	if (res == LUCID_EMUL_OK)
		step(c, REG_SI, size);
	return res;
}

static int string_once(struct lucid_emul_ctxt *c, unsigned int op, unsigned int size)
{
	switch (op) {
	case STR_MOVS:
		return do_movs(c, size);
	case STR_STOS:
		return do_stos(c, size);
	case STR_LODS:
		return do_lods(c, size);
	case STR_INS:
		return do_ins(c, size);
	case STR_OUTS:
		return do_outs(c, size);
	default:
		return do_compare(c, op == STR_SCAS, size);
	}
}

int lucid_emul_string(struct lucid_emul_ctxt *c)
{
	unsigned int op = c->insn.opcode & ~1, size = pair_size(c), i;
	bool compares = op == STR_CMPS || op == STR_SCAS;
	bool replayed = c->nr_reads;
	int res = LUCID_EMUL_OK;

	if (op == STR_INS || op == STR_OUTS)
		res = port_allowed(c);
	if (res != LUCID_EMUL_OK)
		return res;
	if (!has_rep(c))
		return string_once(c, op, size);
	if (!addr_reg(c, REG_CX))
		return LUCID_EMUL_OK;

	for (i = 0; ; i++) {
		unsigned int writes = c->nr_writes;

		res = string_once(c, op, size);
		if (res != LUCID_EMUL_OK) {
			if (!i)
				return res;
			c->nr_writes = writes;
			break;
		}
		write_reg(c, REG_CX, c->regs[REG_CX] - 1, c->insn.addrsize);
		if (!addr_reg(c, REG_CX))
			return LUCID_EMUL_OK;
		/* REPE goes on while equal, REPNE while not */
		if (compares && !!(c->rflags & FLAG_ZF) != !!(c->insn.prefixes & LUCID_PFX_REP))
			return LUCID_EMUL_OK;
		if (replayed || i + 1 == MAX_ITERATIONS || c->rflags & FLAG_TF ||
		    c->nr_writes > LUCID_EMUL_MAX_FRAGS - 2)
			break;
		c->nr_reads = c->next_read = 0;
	}
	c->next_rip = c->rip;
	return LUCID_EMUL_OK;
}

/* IN and OUT: E4..E7 with an immediate, EC..EF with DX. */
int lucid_emul_inout(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);
	u16 port = c->insn.imm_size ? c->insn.imm : c->regs[REG_DX];
	u64 val = 0;
	int res = port_allowed(c);

	if (res != LUCID_EMUL_OK)
		return res;
	if (c->insn.opcode & 2)
		return c->ops->port_out ?
		       c->ops->port_out(c, port, read_reg(c, REG_AX, size), size) :
		       LUCID_EMUL_UNHANDLEABLE;
	if (!c->ops->port_in)
		return LUCID_EMUL_UNHANDLEABLE;
	res = c->ops->port_in(c, port, &val, size);
	if (res == LUCID_EMUL_OK)
		write_reg(c, REG_AX, val, size);
	return res;
}
