// SPDX-License-Identifier: GPL-2.0
/*
 * The instruction emulator: addresses, segments, memory, completion, and the
 * plain moves. Read emulate.h first: it says how MMIO completes.
 *
 * The rule that makes a run repeatable: a handler reads all it needs, writes
 * memory, and touches registers last, when nothing can fail any more.
 */
#include <linux/types.h>
#include <linux/string.h>

#include "emulate.h"

#define EXC_SS		12
#define EXC_GP		13
#define EXC_PF		14
#define EXC_AC		17

#define RFLAGS_RF	(1ull << 16)

#define PAGE_BYTES	4096u

/* Bits of a segment's type. */
#define SEG_CODE	8
#define SEG_EXPAND_DOWN	4	/* data */
#define SEG_WRITABLE	2	/* data */
#define SEG_READABLE	2	/* code */

static u64 size_mask(unsigned int bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << (8 * bytes)) - 1;
}

static u64 sign_extend(u64 val, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (u64)((s64)(val << shift) >> shift);
}

static bool is_long(const struct lucid_emul_ctxt *c)
{
	return c->mode == LUCID_EMUL_LONG;
}

enum lucid_insn_mode lucid_emul_insn_mode(enum lucid_emul_mode mode)
{
	if (mode == LUCID_EMUL_LONG)
		return LUCID_INSN_64;
	return mode == LUCID_EMUL_PROT32 ? LUCID_INSN_32 : LUCID_INSN_16;
}

/* Faults. */

int lucid_emul_exception(struct lucid_emul_ctxt *c, u8 vector, bool has_error_code,
			 u32 error_code)
{
	/* real mode pushes no error codes */
	c->fault.has_error_code = has_error_code && c->mode != LUCID_EMUL_REAL;
	c->fault.vector = vector;
	c->fault.error_code = c->fault.has_error_code ? error_code : 0;
	c->fault.cr2 = 0;
	return LUCID_EMUL_FAULT;
}

int lucid_emul_page_fault(struct lucid_emul_ctxt *c, u64 linear, u32 error_code)
{
	lucid_emul_exception(c, EXC_PF, true, error_code);
	c->fault.cr2 = linear;
	return LUCID_EMUL_FAULT;
}

static int segment_fault(struct lucid_emul_ctxt *c, unsigned int seg)
{
	return lucid_emul_exception(c, seg == LUCID_SEG_SS ? EXC_SS : EXC_GP, true, 0);
}

/* Addresses. */

u64 lucid_emul_ea(const struct lucid_emul_ctxt *c, unsigned int *seg)
{
	const struct lucid_insn *insn = &c->insn;
	u64 ea = insn->disp;

	*seg = LUCID_SEG_DS;
	if (insn->rip_rel)
		ea += c->rip + insn->len;
	if (insn->base != LUCID_NO_REG) {
		ea += c->regs[insn->base];
		if (insn->base == 4 || insn->base == 5)	/* SP and BP: the stack */
			*seg = LUCID_SEG_SS;
	}
	if (insn->index != LUCID_NO_REG)
		ea += c->regs[insn->index] << insn->scale;
	if (insn->seg != LUCID_SEG_NONE)
		*seg = insn->seg;
	return ea & size_mask(insn->addrsize);
}

static bool canonical(const struct lucid_emul_ctxt *c, u64 linear)
{
	unsigned int shift = c->la57 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

/* May @len bytes at @ea be reached through this segment, outside 64-bit mode? */
static bool segment_permits(const struct lucid_emul_ctxt *c, const struct kvm_segment *s,
			    u64 ea, unsigned int len, bool write)
{
	u64 last = ea + len - 1;

	if (c->mode != LUCID_EMUL_REAL && c->mode != LUCID_EMUL_VM86) {
		if (s->unusable)
			return false;
		if (s->type & SEG_CODE) {
			if (write || !(s->type & SEG_READABLE))
				return false;
		} else {
			if (write && !(s->type & SEG_WRITABLE))
				return false;
			if (s->type & SEG_EXPAND_DOWN)
				return ea > s->limit && last <= (s->db ? 0xffffffff : 0xffff);
		}
	}
	/* with a limit of 4G an access may wrap around (SDM: it is up to the CPU) */
	return last <= s->limit || s->limit == 0xffffffff;
}

int lucid_emul_linear(struct lucid_emul_ctxt *c, unsigned int seg, u64 ea,
		      unsigned int len, bool write, u64 *linear)
{
	const struct kvm_segment *s = &c->seg[seg];

	if (is_long(c)) {
		*linear = ea;
		if (seg == LUCID_SEG_FS || seg == LUCID_SEG_GS)
			*linear += s->base;
		if (!canonical(c, *linear) || !canonical(c, *linear + len - 1))
			return segment_fault(c, seg);
	} else {
		if (!segment_permits(c, s, ea, len, write))
			return segment_fault(c, seg);
		*linear = (u32)(s->base + ea);
	}
	if (c->align_check && len <= 8 && *linear & (len - 1))
		return lucid_emul_exception(c, EXC_AC, true, 0);
	return LUCID_EMUL_OK;
}

/* Memory. */

/* The first piece of an access: what ends before the next page, 8 bytes at most. */
static unsigned int piece(u64 linear, unsigned int len)
{
	unsigned int room = PAGE_BYTES - (linear & (PAGE_BYTES - 1));

	if (len > 8)
		len = 8;
	return len < room ? len : room;
}

static u64 advance(const struct lucid_emul_ctxt *c, u64 linear, unsigned int n)
{
	return is_long(c) ? linear + n : (u32)(linear + n);
}

static int read_piece(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int n)
{
	struct lucid_emul_frag *frag = &c->reads[c->next_read];
	int res;

	if (c->next_read == LUCID_EMUL_MAX_FRAGS)
		return LUCID_EMUL_UNHANDLEABLE;

	if (c->next_read == c->nr_reads) {	/* not read in an earlier run */
		frag->len = n;
		res = c->ops->read_mem(c, linear, frag->data, n, &frag->gpa);
		if (res != LUCID_EMUL_OK)
			return res;
		c->nr_reads++;
	} else if (frag->len != n) {
		return LUCID_EMUL_UNHANDLEABLE;	/* the caller has changed the state */
	}
	memcpy(buf, frag->data, n);
	c->next_read++;
	return LUCID_EMUL_OK;
}

/*
 * Before userspace is asked for a piece of MMIO: is the rest of the access
 * going to fault? Then it must not be asked, a device may act on being read.
 */
static int probe_read(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
{
	while (len) {
		unsigned int n = piece(linear, len);
		u64 gpa;
		u8 unused[8];
		int res = c->ops->read_mem(c, linear, unused, n, &gpa);

		if (res != LUCID_EMUL_OK && res != LUCID_EMUL_MMIO_READ)
			return res;
		linear = advance(c, linear, n);
		len -= n;
	}
	return LUCID_EMUL_MMIO_READ;
}

int lucid_emul_read(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len)
{
	while (len) {
		unsigned int n = piece(linear, len);
		int res = read_piece(c, linear, buf, n);

		if (res == LUCID_EMUL_MMIO_READ)
			return probe_read(c, advance(c, linear, n), len - n);
		if (res != LUCID_EMUL_OK)
			return res;
		linear = advance(c, linear, n);
		buf = (u8 *)buf + n;
		len -= n;
	}
	return LUCID_EMUL_OK;
}

/* Will all pieces of a write that crosses a page be taken? */
static int probe_write(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
{
	while (len) {
		unsigned int n = piece(linear, len);
		int res = c->ops->probe_write(c, linear, n);

		if (res != LUCID_EMUL_OK)
			return res;
		linear = advance(c, linear, n);
		len -= n;
	}
	return LUCID_EMUL_OK;
}

int lucid_emul_write(struct lucid_emul_ctxt *c, u64 linear, const void *buf, unsigned int len)
{
	int res;

	if (len > PAGE_BYTES - (linear & (PAGE_BYTES - 1))) {
		res = probe_write(c, linear, len);
		if (res != LUCID_EMUL_OK)
			return res;
	}

	while (len) {
		struct lucid_emul_frag *frag = &c->writes[c->nr_writes];
		unsigned int n = piece(linear, len);
		u64 gpa = 0;

		res = c->ops->write_mem(c, linear, buf, n, &gpa);
		if (res == LUCID_EMUL_MMIO_WRITE) {
			if (c->nr_writes == LUCID_EMUL_MAX_FRAGS)
				return LUCID_EMUL_UNHANDLEABLE;
			memset(frag, 0, sizeof(*frag));
			frag->gpa = gpa;
			frag->len = n;
			memcpy(frag->data, buf, n);
			c->nr_writes++;
		} else if (res != LUCID_EMUL_OK) {
			return res;
		}
		linear = advance(c, linear, n);
		buf = (const u8 *)buf + n;
		len -= n;
	}
	return LUCID_EMUL_OK;
}

/* Registers. */

/* Without a REX prefix the byte registers 4..7 are AH, CH, DH, BH. */
static bool is_high_byte(const struct lucid_emul_ctxt *c, unsigned int reg, unsigned int size)
{
	return size == 1 && (reg & ~3u) == 4 && !(c->insn.prefixes & LUCID_PFX_REX);
}

static u64 read_reg(const struct lucid_emul_ctxt *c, unsigned int reg, unsigned int size)
{
	if (is_high_byte(c, reg, size))
		return c->regs[reg - 4] >> 8 & 0xff;
	return c->regs[reg] & size_mask(size);
}

static void write_reg(struct lucid_emul_ctxt *c, unsigned int reg, u64 val, unsigned int size)
{
	unsigned int shift = 0;
	u64 mask;

	if (is_high_byte(c, reg, size)) {
		reg -= 4;
		shift = 8;
	}
	/* 32 bits clear the upper half; 8 and 16 leave the rest alone */
	mask = size == 4 ? ~0ull : size_mask(size) << shift;
	val &= size_mask(size);
	c->regs[reg] = (c->regs[reg] & ~mask) | val << shift;
}

/* Operands. */

static int read_mem_operand(struct lucid_emul_ctxt *c, u64 *val, unsigned int size)
{
	unsigned int seg;
	u64 ea = lucid_emul_ea(c, &seg), linear;
	int res = lucid_emul_linear(c, seg, ea, size, false, &linear);

	*val = 0;
	return res != LUCID_EMUL_OK ? res : lucid_emul_read(c, linear, val, size);
}

static int write_mem_operand(struct lucid_emul_ctxt *c, u64 val, unsigned int size)
{
	unsigned int seg;
	u64 ea = lucid_emul_ea(c, &seg), linear;
	int res = lucid_emul_linear(c, seg, ea, size, true, &linear);

	return res != LUCID_EMUL_OK ? res : lucid_emul_write(c, linear, &val, size);
}

/* ModRM.rm: a register or memory. */
static int read_rm(struct lucid_emul_ctxt *c, u64 *val, unsigned int size)
{
	if (c->insn.mod != 3)
		return read_mem_operand(c, val, size);
	*val = read_reg(c, c->insn.rm, size);
	return LUCID_EMUL_OK;
}

static int write_rm(struct lucid_emul_ctxt *c, u64 val, unsigned int size)
{
	if (c->insn.mod != 3)
		return write_mem_operand(c, val, size);
	write_reg(c, c->insn.rm, val, size);
	return LUCID_EMUL_OK;
}

/* Opcodes that come in pairs: even is bytes, odd the operand size. */
static unsigned int pair_size(const struct lucid_emul_ctxt *c)
{
	return c->insn.opcode & 1 ? c->insn.opsize : 1;
}

/* The moves. */

/* MOV reg, r/m; MOVZX and MOVSX and MOVSXD, where @from is smaller than @size. */
static int emul_load(struct lucid_emul_ctxt *c, unsigned int from, unsigned int size,
		     bool is_signed)
{
	u64 val;
	int res = read_rm(c, &val, from);

	if (res != LUCID_EMUL_OK)
		return res;
	if (is_signed)
		val = sign_extend(val, from);
	write_reg(c, c->insn.reg, val, size);
	return LUCID_EMUL_OK;
}

/* MOV r/m, reg. */
static int emul_store(struct lucid_emul_ctxt *c, unsigned int size)
{
	return write_rm(c, read_reg(c, c->insn.reg, size), size);
}

/* MOV r/m, imm: with 64 bits it is a sign-extended immediate of 32. */
static int emul_store_imm(struct lucid_emul_ctxt *c, unsigned int size)
{
	if ((c->insn.modrm >> 3 & 7) != 0)	/* XABORT, XBEGIN */
		return LUCID_EMUL_UNHANDLEABLE;
	return write_rm(c, sign_extend(c->insn.imm, c->insn.imm_size), size);
}

/* MOV between rAX and an address in the instruction. */
static int emul_moffs(struct lucid_emul_ctxt *c, unsigned int size, bool store)
{
	u64 val;
	int res;

	if (store)
		return write_mem_operand(c, read_reg(c, 0, size), size);
	res = read_mem_operand(c, &val, size);
	if (res == LUCID_EMUL_OK)
		write_reg(c, 0, val, size);
	return res;
}

static int emul_one_byte(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);

	switch (c->insn.opcode) {
	case 0x63:
		if (!is_long(c))		/* ARPL */
			return LUCID_EMUL_UNHANDLEABLE;
		return emul_load(c, size == 2 ? 2 : 4, size, true);
	case 0x88: case 0x89:
		return emul_store(c, size);
	case 0x8a: case 0x8b:
		return emul_load(c, size, size, false);
	case 0xa0: case 0xa1:
		return emul_moffs(c, size, false);
	case 0xa2: case 0xa3:
		return emul_moffs(c, size, true);
	case 0xc6: case 0xc7:
		return emul_store_imm(c, size);
	}
	return LUCID_EMUL_UNHANDLEABLE;
}

static int emul_0f(struct lucid_emul_ctxt *c)
{
	unsigned int from = c->insn.opcode & 1 ? 2 : 1;

	switch (c->insn.opcode) {
	case 0xb6: case 0xb7:
		return emul_load(c, from, c->insn.opsize, false);
	case 0xbe: case 0xbf:
		return emul_load(c, from, c->insn.opsize, true);
	}
	return LUCID_EMUL_UNHANDLEABLE;
}

static int dispatch(struct lucid_emul_ctxt *c)
{
	if (c->insn.encoding != LUCID_ENC_LEGACY)
		return LUCID_EMUL_UNHANDLEABLE;
	switch (c->insn.map) {
	case LUCID_MAP_ONE:
		return emul_one_byte(c);
	case LUCID_MAP_0F:
		return emul_0f(c);
	}
	return LUCID_EMUL_UNHANDLEABLE;
}

void lucid_emul_begin(struct lucid_emul_ctxt *c)
{
	c->nr_reads = 0;
	c->nr_writes = 0;
}

int lucid_emul_run(struct lucid_emul_ctxt *c)
{
	int res;

	c->next_read = 0;
	res = dispatch(c);
	if (res != LUCID_EMUL_OK) {
		c->nr_writes = 0;	/* what did not happen is not sent */
		return res;
	}
	c->rip = is_long(c) ? c->rip + c->insn.len : (u32)(c->rip + c->insn.len);
	c->rflags &= ~RFLAGS_RF;
	return LUCID_EMUL_OK;
}

void lucid_emul_mmio_answer(struct lucid_emul_ctxt *c, const void *data)
{
	struct lucid_emul_frag *frag;

	if (c->nr_reads == LUCID_EMUL_MAX_FRAGS)
		return;
	frag = &c->reads[c->nr_reads++];
	memcpy(frag->data, data, frag->len);
}
