// SPDX-License-Identifier: GPL-2.0
/*
 * The instruction emulator: addresses, segments, memory, completion, the plain
 * moves, and the tables that lead to all else. Read emulate.h first: it says
 * how MMIO completes; emulate_internal.h says what is where.
 *
 * The rule that makes a run repeatable: a handler reads all it needs, writes
 * memory, and touches registers last, when nothing can fail any more.
 */
#include "emulate_internal.h"

#define PAGE_BYTES	4096u

/* Bits of a segment's type. */
#define SEG_CODE	8
#define SEG_EXPAND_DOWN	4	/* data */
#define SEG_WRITABLE	2	/* data */
#define SEG_READABLE	2	/* code */

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

bool lucid_emul_canonical(const struct lucid_emul_ctxt *c, u64 linear)
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
		if (!lucid_emul_canonical(c, *linear) ||
		    !lucid_emul_canonical(c, *linear + len - 1))
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
int lucid_emul_probe_write(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
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
		res = lucid_emul_probe_write(c, linear, len);
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

/*
 * A LOCKed write of what was read before as @old. In RAM only if it fits where
 * the callback can do it at once; MMIO is posted like any other.
 */
int lucid_emul_write_locked(struct lucid_emul_ctxt *c, u64 linear, const void *old,
			    const void *val, unsigned int len)
{
	u64 gpa = 0;
	int res;

	if (!c->ops->cmpxchg_mem || len > PAGE_BYTES - (linear & (PAGE_BYTES - 1)))
		return LUCID_EMUL_UNHANDLEABLE;
	res = c->ops->cmpxchg_mem(c, linear, old, val, len, &gpa);
	if (res != LUCID_EMUL_MMIO_WRITE)
		return res;
	return lucid_emul_write(c, linear, val, len);
}

/* Operands. */

int lucid_emul_memory(struct lucid_emul_ctxt *c, unsigned int seg, u64 ea, unsigned int size,
		      unsigned int access, u64 *linear)
{
	int res = lucid_emul_linear(c, seg, ea, size, access & ACCESS_WRITE, linear);

	/*
	 * What is to be written afterwards must be writable before it is read:
	 * for the error code, and lest a device is read in vain. A replay has
	 * been through this.
	 */
	if (res == LUCID_EMUL_OK && access == (ACCESS_READ | ACCESS_WRITE) &&
	    c->next_read == c->nr_reads)
		res = lucid_emul_probe_write(c, *linear, size);
	return res;
}

int lucid_emul_rm(struct lucid_emul_ctxt *c, unsigned int size, unsigned int access,
		  struct lucid_emul_operand *op)
{
	unsigned int seg;
	u64 ea;

	op->size = size;
	op->reg = c->insn.rm;
	op->mem = c->insn.mod != 3;
	if (!op->mem)
		return LUCID_EMUL_OK;
	ea = lucid_emul_ea(c, &seg);
	return lucid_emul_memory(c, seg, ea, size, access, &op->linear);
}

int lucid_emul_get(struct lucid_emul_ctxt *c, const struct lucid_emul_operand *op, u64 *val)
{
	*val = 0;
	if (op->mem)
		return lucid_emul_read(c, op->linear, val, op->size);
	*val = read_reg(c, op->reg, op->size);
	return LUCID_EMUL_OK;
}

/* The operand, and what is in it: how every read-modify-write begins. */
int lucid_emul_rm_get(struct lucid_emul_ctxt *c, unsigned int size, unsigned int access,
		      struct lucid_emul_operand *op, u64 *val)
{
	int res = lucid_emul_rm(c, size, access, op);

	return res == LUCID_EMUL_OK ? lucid_emul_get(c, op, val) : res;
}

int lucid_emul_put(struct lucid_emul_ctxt *c, const struct lucid_emul_operand *op, u64 old,
		   u64 val, bool lock)
{
	if (op->mem)
		return lock ? lucid_emul_write_locked(c, op->linear, &old, &val, op->size) :
			      lucid_emul_write(c, op->linear, &val, op->size);
	write_reg(c, op->reg, val, op->size);
	return LUCID_EMUL_OK;
}

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
int lucid_emul_read_rm(struct lucid_emul_ctxt *c, u64 *val, unsigned int size)
{
	if (c->insn.mod != 3)
		return read_mem_operand(c, val, size);
	*val = read_reg(c, c->insn.rm, size);
	return LUCID_EMUL_OK;
}

int lucid_emul_write_rm(struct lucid_emul_ctxt *c, u64 val, unsigned int size)
{
	if (c->insn.mod != 3)
		return write_mem_operand(c, val, size);
	write_reg(c, c->insn.rm, val, size);
	return LUCID_EMUL_OK;
}

/* The moves. */

/* MOV reg, r/m; MOVZX and MOVSX and MOVSXD, where @from is smaller than @size. */
static int emul_load(struct lucid_emul_ctxt *c, unsigned int from, unsigned int size,
		     bool is_signed)
{
	u64 val;
	int res = lucid_emul_read_rm(c, &val, from);

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
	return lucid_emul_write_rm(c, read_reg(c, c->insn.reg, size), size);
}

/* MOV r/m, imm: with 64 bits it is a sign-extended immediate of 32. */
static int emul_store_imm(struct lucid_emul_ctxt *c, unsigned int size)
{
	if ((c->insn.modrm >> 3 & 7) != 0)	/* XABORT, XBEGIN */
		return LUCID_EMUL_UNHANDLEABLE;
	return lucid_emul_write_rm(c, sign_extend(c->insn.imm, c->insn.imm_size), size);
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

/* MOV reg, imm: B0..BF. */
static int emul_mov_reg_imm(struct lucid_emul_ctxt *c)
{
	write_reg(c, opcode_reg(c), c->insn.imm, c->insn.imm_size);
	return LUCID_EMUL_OK;
}

static int emul_lea(struct lucid_emul_ctxt *c)
{
	unsigned int seg;

	write_reg(c, c->insn.reg, lucid_emul_ea(c, &seg), c->insn.opsize);
	return LUCID_EMUL_OK;
}

static int emul_xlat(struct lucid_emul_ctxt *c)
{
	unsigned int seg = c->insn.seg != LUCID_SEG_NONE ? c->insn.seg : LUCID_SEG_DS;
	u64 ea = c->regs[REG_BX] + (u8)c->regs[REG_AX], linear, val = 0;
	int res = lucid_emul_linear(c, seg, ea & size_mask(c->insn.addrsize), 1, false, &linear);

	if (res == LUCID_EMUL_OK)
		res = lucid_emul_read(c, linear, &val, 1);
	if (res == LUCID_EMUL_OK)
		write_reg(c, REG_AX, val, 1);
	return res;
}

/*
 * The tables. The decoder has refused what is undefined, and LOCK where it is
 * not allowed. What is missing here is unhandleable.
 */
#define HF(name, flags)	{ lucid_emul_##name, flags }
#define H(name)		HF(name, 0)
#define ALU(o) \
	[(o) ... (o) + 5] = HF(alu, EMUL_ONE)

static const struct lucid_emul_entry map_one[256] = {
	ALU(0x00), ALU(0x08), ALU(0x10), ALU(0x18), ALU(0x20), ALU(0x28), ALU(0x30), ALU(0x38),
	[0x06] = HF(push_seg, EMUL_SEGS), [0x07] = HF(pop_seg, EMUL_SEGS),
	[0x0e] = HF(push_seg, EMUL_SEGS),
	[0x16] = HF(push_seg, EMUL_SEGS), [0x17] = HF(pop_seg, EMUL_SEGS),
	[0x1e] = HF(push_seg, EMUL_SEGS), [0x1f] = HF(pop_seg, EMUL_SEGS),
	[0x27] = H(decimal), [0x2f] = H(decimal), [0x37] = H(decimal), [0x3f] = H(decimal),
	[0x40 ... 0x4f] = H(incdec),
	[0x50 ... 0x57] = H(push_reg), [0x58 ... 0x5f] = H(pop_reg),
	[0x60] = H(pusha), [0x61] = H(popa), [0x62] = H(bound),
	[0x63] = H(arpl_movsxd),
	[0x68] = H(push_imm), [0x69] = HF(imul, EMUL_ONE),
	[0x6a] = H(push_imm), [0x6b] = HF(imul, EMUL_ONE),
	[0x6c ... 0x6f] = H(string),
	[0x70 ... 0x7f] = H(jcc),
	[0x80 ... 0x83] = HF(group1, EMUL_ONE),
	[0x84 ... 0x85] = HF(test, EMUL_ONE), [0x86 ... 0x87] = HF(xchg, EMUL_ONE),
	[0x8c] = HF(mov_from_seg, EMUL_SEGS), [0x8d] = { emul_lea, 0 },
	[0x8e] = HF(mov_to_seg, EMUL_SEGS), [0x8f] = H(pop_rm),
	[0x90] = H(nop_or_xchg), [0x91 ... 0x97] = H(xchg_acc),
	[0x98 ... 0x99] = H(widen), [0x9a] = H(far),
	[0x9c] = H(pushf), [0x9d] = H(popf), [0x9e ... 0x9f] = H(sahf_lahf),
	[0xa4 ... 0xa7] = H(string), [0xa8 ... 0xa9] = H(test), [0xaa ... 0xaf] = H(string),
	[0xb0 ... 0xbf] = { emul_mov_reg_imm, 0 },
	[0xc0 ... 0xc1] = HF(shift, EMUL_ONE), [0xc2 ... 0xc3] = H(ret),
	[0xc4 ... 0xc5] = HF(load_far_ptr, EMUL_SEGS),
	[0xc8] = H(enter), [0xc9] = H(leave), [0xca ... 0xcb] = H(retf),
	[0xcc ... 0xce] = H(int), [0xcf] = H(iret),
	[0xd0 ... 0xd3] = HF(shift, EMUL_ONE), [0xd4 ... 0xd6] = H(decimal), [0xd7] = { emul_xlat, 0 },
	[0xe0 ... 0xe3] = H(loop), [0xe4 ... 0xe7] = H(inout),
	[0xe8 ... 0xe9] = H(jmp_call), [0xea] = H(far), [0xeb] = H(jmp_call),
	[0xec ... 0xef] = H(inout),
	[0xf4] = HF(hlt, EMUL_PRIV), [0xf5] = H(flag_op),
	[0xf6 ... 0xf7] = HF(group3, EMUL_ONE), [0xf8 ... 0xfd] = H(flag_op),
	[0xfe ... 0xff] = H(group45),
};

static const struct lucid_emul_entry map_0f[256] = {
	[0x00] = H(group6), [0x01] = H(group7), [0x06] = HF(clts, EMUL_PRIV),
	[0x08 ... 0x09] = HF(nop, EMUL_PRIV),			/* INVD, WBINVD */
	[0x0b] = H(ud), [0x0d] = H(nop),			/* PREFETCHW */
	[0x10 ... 0x13] = H(sse_move), [0x16 ... 0x17] = H(sse_move),
	[0x18 ... 0x1f] = H(nop),				/* hints; MPX and CET are off */
	[0x20] = HF(mov_cr, EMUL_PRIV), [0x21] = HF(mov_dr, EMUL_PRIV),
	[0x22] = HF(mov_cr, EMUL_PRIV), [0x23] = HF(mov_dr, EMUL_PRIV),
	[0x28 ... 0x29] = H(sse_move), [0x2b] = H(sse_move),
	[0x30] = HF(msr, EMUL_PRIV), [0x31] = H(rdtsc), [0x32] = HF(msr, EMUL_PRIV),
	[0x40 ... 0x4f] = HF(cmov, EMUL_ONE),
	[0x6e ... 0x6f] = H(sse_move), [0x7e ... 0x7f] = H(sse_move),
	[0x80 ... 0x8f] = H(jcc), [0x90 ... 0x9f] = HF(setcc, EMUL_ONE),
	[0xa0] = HF(push_seg, EMUL_SEGS), [0xa1] = HF(pop_seg, EMUL_SEGS), [0xa2] = H(cpuid),
	[0xa3] = HF(bt, EMUL_ONE), [0xa4 ... 0xa5] = HF(shift_double, EMUL_ONE),
	[0xa8] = HF(push_seg, EMUL_SEGS), [0xa9] = HF(pop_seg, EMUL_SEGS),
	[0xab] = HF(bt, EMUL_ONE), [0xac ... 0xad] = HF(shift_double, EMUL_ONE),
	[0xae] = H(group15), [0xaf] = HF(imul, EMUL_ONE),
	[0xb0 ... 0xb1] = HF(cmpxchg, EMUL_ONE), [0xb2] = HF(load_far_ptr, EMUL_SEGS),
	[0xb3] = HF(bt, EMUL_ONE), [0xb4 ... 0xb5] = HF(load_far_ptr, EMUL_SEGS),
	[0xb8] = HF(popcnt, EMUL_ONE), [0xb9] = H(ud),
	[0xba ... 0xbb] = HF(bt, EMUL_ONE), [0xbc ... 0xbd] = H(scan),
	[0xc0 ... 0xc1] = HF(xadd, EMUL_ONE), [0xc3] = HF(movnti, EMUL_ONE),
	[0xc7] = H(cmpxchg_wide), [0xc8 ... 0xcf] = H(bswap),
	[0xd6] = H(sse_move), [0xe7] = H(sse_move),
	[0xf0] = H(sse_move), [0xff] = H(ud),
};

static const struct lucid_emul_entry entry_movntdqa = H(sse_move);
static const struct lucid_emul_entry entry_movbe_crc32 = HF(movbe_crc32, EMUL_ONE);

static const struct lucid_emul_entry *find_entry(const struct lucid_insn *insn)
{
	if (insn->encoding != LUCID_ENC_LEGACY)
		return NULL;
	switch (insn->map) {
	case LUCID_MAP_ONE:
		return &map_one[insn->opcode];
	case LUCID_MAP_0F:
		return &map_0f[insn->opcode];
	case LUCID_MAP_0F38:
		if (insn->opcode == 0x2a)
			return &entry_movntdqa;
		if ((insn->opcode & 0xfe) == 0xf0)
			return &entry_movbe_crc32;
	}
	return NULL;
}

static int by_table(struct lucid_emul_ctxt *c)
{
	const struct lucid_emul_entry *entry = find_entry(&c->insn);

	if (!entry || !entry->fn || (c->ops->one_access && !(entry->flags & EMUL_ONE)))
		return LUCID_EMUL_UNHANDLEABLE;
	if (entry->flags & EMUL_PRIV && c->cpl)
		return fault_gp(c, 0);
	if (entry->flags & EMUL_SEGS && is_long(c) && c->ops->load_segs)
		c->ops->load_segs(c);
	return entry->fn(c);
}

/* The moves, which is what devices see nearly always, come first and direct. */
static int emul_one_byte(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);

	switch (c->insn.opcode) {
	case 0x63:
		if (!is_long(c))		/* ARPL */
			break;
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
	return by_table(c);
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
	return by_table(c);
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
	return by_table(c);
}

int lucid_emul_run(struct lucid_emul_ctxt *c)
{
	int res;

	c->next_read = 0;
	c->next_rip = is_long(c) ? c->rip + c->insn.len : (u32)(c->rip + c->insn.len);
	res = dispatch(c);
	if (res != LUCID_EMUL_OK) {
		c->nr_writes = 0;	/* what did not happen is not sent */
		return res;
	}
	c->rip = c->next_rip;
	c->rflags &= ~FLAG_RF;
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
