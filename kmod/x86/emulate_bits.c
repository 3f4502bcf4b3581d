// SPDX-License-Identifier: GPL-2.0
/* The emulator: shifts and rotates, single bits, byte order, decimal arithmetic. */
#include "emulate_internal.h"

/* ModRM.reg of C0, C1, D0..D3. */
enum { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAL, SHIFT_SAR };

/* CF from bit 0 of @carry, OF from bit 0 of @overflow, the rest as given. */
static u64 shift_flags(u64 carry, u64 overflow)
{
	return (carry & 1 ? FLAG_CF : 0) | (overflow & 1 ? FLAG_OF : 0);
}

/* Rotates change CF and OF only. OF is what a rotate by one would make it. */
static u64 rotate(unsigned int op, u64 val, unsigned int count, unsigned int size, u64 *rflags)
{
	unsigned int bits = 8 * size, n, i;
	u64 mask = size_mask(size), carry = *rflags & FLAG_CF, top;

	switch (op) {
	case SHIFT_ROL:
		n = count % bits;
		if (n)
			val = (val << n | val >> (bits - n)) & mask;
		carry = val & 1;
		break;
	case SHIFT_ROR:
		n = count % bits;
		if (n)
			val = (val >> n | val << (bits - n)) & mask;
		carry = val >> (bits - 1);
		break;
	default:	/* through CF, bit by bit */
		for (i = count % (bits + 1); i; i--) {
			if (op == SHIFT_RCL) {
				top = val >> (bits - 1) & 1;
				val = (val << 1 | carry) & mask;
			} else {
				top = val & 1;
				val = val >> 1 | carry << (bits - 1);
			}
			carry = top;
		}
	}
	top = val >> (bits - 1);
	*rflags &= ~(FLAG_CF | FLAG_OF);
	*rflags |= shift_flags(carry, top ^ (op & 1 ? val >> (bits - 2) : carry));
	return val;
}

static u64 shift(unsigned int op, u64 val, unsigned int count, unsigned int size, u64 *rflags)
{
	unsigned int bits = 8 * size;
	u64 mask = size_mask(size), top = val >> (bits - 1), carry, overflow;

	switch (op) {
	case SHIFT_SHL: case SHIFT_SAL:
		carry = count <= bits ? val >> (bits - count) : 0;
		val = count < bits ? val << count & mask : 0;
		overflow = val >> (bits - 1) ^ carry;
		break;
	case SHIFT_SHR:
		carry = count <= bits ? val >> (count - 1) : 0;
		val = count < bits ? val >> count : 0;
		overflow = top;
		break;
	default:
		val = sign_extend(val, size);
		carry = (u64)((s64)val >> (count - 1));
		val = (u64)((s64)val >> count) & mask;
		overflow = 0;
	}
	*rflags &= ~FLAGS_ARITH;
	*rflags |= shift_flags(carry, overflow) | lucid_emul_flags_szp(val, size);
	return val;
}

static unsigned int count_mask(unsigned int size)
{
	return size == 8 ? 63 : 31;
}

/* C0 C1 by an immediate, D0 D1 by one, D2 D3 by CL. */
int lucid_emul_shift(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c), op = modrm_op(c), count;
	struct lucid_emul_operand rm;
	u64 flags = c->rflags, old, new;
	int res;

	if (c->insn.imm_size)
		count = c->insn.imm;
	else
		count = c->insn.opcode & 2 ? c->regs[REG_CX] : 1;
	count &= count_mask(size);

	res = lucid_emul_rm_get(c, size, ACCESS_READ | ACCESS_WRITE, &rm, &old);
	if (res != LUCID_EMUL_OK)
		return res;
	new = old;
	if (count)
		new = op < SHIFT_SHL ? rotate(op, old, count, size, &flags) :
				       shift(op, old, count, size, &flags);
	res = lucid_emul_put(c, &rm, old, new, false);
	if (res == LUCID_EMUL_OK)
		c->rflags = flags;
	return res;
}

/* SHLD, SHRD: 0F A4 A5 AC AD. */
int lucid_emul_shift_double(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, bits = 8 * size, count;
	bool right = c->insn.opcode & 8;
	u64 mask = size_mask(size), flags = c->rflags, old, new, fill, carry;
	struct lucid_emul_operand rm;
	int res;

	count = (c->insn.imm_size ? c->insn.imm : c->regs[REG_CX]) & count_mask(size);
	res = lucid_emul_rm_get(c, size, ACCESS_READ | ACCESS_WRITE, &rm, &old);
	if (res != LUCID_EMUL_OK)
		return res;
	new = old;
	fill = read_reg(c, c->insn.reg, size);
	if (count > bits) {		/* 16 bits only; undefined: rotate on through the other one */
		new = fill;
		fill = old;
		count -= bits;
	}
	if (count) {
		u64 from = new;

		if (right) {
			carry = from >> (count - 1);
			new = count == bits ? fill : (from >> count | fill << (bits - count)) & mask;
		} else {
			carry = from >> (bits - count);
			new = count == bits ? fill : (from << count | fill >> (bits - count)) & mask;
		}
		flags &= ~(FLAGS_ARITH & ~FLAG_AF);
		flags |= shift_flags(carry, (new ^ from) >> (bits - 1)) |
			 lucid_emul_flags_szp(new, size);
	}
	res = lucid_emul_put(c, &rm, old, new, false);
	if (res == LUCID_EMUL_OK)
		c->rflags = flags;
	return res;
}

/*
 * BT, BTS, BTR, BTC: 0F A3 AB B3 BB with a register, 0F BA /4../7 with an
 * immediate. In memory, the bit in a register is signed and picks the word too.
 */
int lucid_emul_bt(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, bits = 8 * size, seg, op;
	struct lucid_emul_operand rm = { .reg = c->insn.rm, .size = size };
	u64 bit, old, new, mask, ea;
	int res;

	op = c->insn.imm_size ? modrm_op(c) & 3 : c->insn.opcode >> 3 & 3;
	bit = c->insn.imm_size ? c->insn.imm : read_reg(c, c->insn.reg, size);
	if (c->insn.mod != 3) {
		ea = lucid_emul_ea(c, &seg);
		if (!c->insn.imm_size)
			ea += (u64)((s64)sign_extend(bit, size) >> (size == 2 ? 4 : size == 4 ? 5 : 6)) *
			      size;
		rm.mem = true;
		res = lucid_emul_memory(c, seg, ea & size_mask(c->insn.addrsize), size,
					op ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ, &rm.linear);
		if (res != LUCID_EMUL_OK)
			return res;
	}
	res = lucid_emul_get(c, &rm, &old);
	if (res != LUCID_EMUL_OK)
		return res;
	mask = 1ull << (bit & (bits - 1));
	if (op) {
		new = op == 1 ? old | mask : op == 2 ? old & ~mask : old ^ mask;
		res = lucid_emul_put(c, &rm, old, new, locked(c));
		if (res != LUCID_EMUL_OK)
			return res;
	}
	set_flags(c, FLAG_CF, old & mask ? FLAG_CF : 0);
	return LUCID_EMUL_OK;
}

/* BSF, BSR, and where the CPU has them TZCNT, LZCNT. */
int lucid_emul_scan(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, bits = 8 * size, at;
	bool reverse = c->insn.opcode & 1;
	bool count = c->insn.pp == 2 && (reverse ? c->lzcnt : c->tzcnt);
	u64 val;
	int res = lucid_emul_read_rm(c, &val, size);

	if (res != LUCID_EMUL_OK)
		return res;
	if (!val && !count) {		/* the destination stays, as on all CPUs known */
		set_flags(c, FLAG_ZF, FLAG_ZF);
		return LUCID_EMUL_OK;
	}
	if (!val)
		at = bits;
	else if (!reverse)
		at = __builtin_ctzll(val);
	else
		at = 63 - __builtin_clzll(val);
	if (count && reverse && val)
		at = bits - 1 - at;
	write_reg(c, c->insn.reg, at, size);
	if (count)
		set_flags(c, FLAG_CF | FLAG_ZF, (val ? 0 : FLAG_CF) | (at ? 0 : FLAG_ZF));
	else
		set_flags(c, FLAG_ZF, 0);
	return LUCID_EMUL_OK;
}

int lucid_emul_popcnt(struct lucid_emul_ctxt *c)
{
	unsigned int n = 0;
	u64 val;
	int res = lucid_emul_read_rm(c, &val, c->insn.opsize);

	if (res != LUCID_EMUL_OK)
		return res;
	set_flags(c, FLAGS_ARITH, val ? 0 : FLAG_ZF);
	for (; val; val &= val - 1)
		n++;
	write_reg(c, c->insn.reg, n, c->insn.opsize);
	return LUCID_EMUL_OK;
}

static u64 swap_bytes(u64 val, unsigned int size)
{
	return __builtin_bswap64(val) >> (64 - 8 * size);
}

/* 0F C8..CF. With 16 bits undefined: zero, as on CPUs known. */
int lucid_emul_bswap(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, reg = opcode_reg(c);

	write_reg(c, reg, size == 2 ? 0 : swap_bytes(read_reg(c, reg, size), size), size);
	return LUCID_EMUL_OK;
}

/* CRC32 of one more operand: the polynomial 11EDC6F41, reflected. */
static u32 crc32c(u32 crc, u64 val, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < 8 * size; i++) {
		u32 bit = (crc ^ val) & 1;

		crc >>= 1;
		val >>= 1;
		if (bit)
			crc ^= 0x82f63b78;
	}
	return crc;
}

/* 0F 38 F0 F1: MOVBE, and with F2 CRC32. */
int lucid_emul_movbe_crc32(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize;
	u64 val;
	int res;

	if (c->insn.pp == 3) {
		size = pair_size(c);
		res = lucid_emul_read_rm(c, &val, size);
		if (res == LUCID_EMUL_OK)	/* the upper half is cleared, with 64 bits too */
			write_reg(c, c->insn.reg, crc32c(c->regs[c->insn.reg], val, size), 4);
		return res;
	}
	if (c->insn.opcode & 1)
		return lucid_emul_write_rm(c, swap_bytes(read_reg(c, c->insn.reg, size), size), size);
	res = lucid_emul_read_rm(c, &val, size);
	if (res == LUCID_EMUL_OK)
		write_reg(c, c->insn.reg, swap_bytes(val, size), size);
	return res;
}

/* DAA and DAS. */
static void adjust_after(struct lucid_emul_ctxt *c, bool sub)
{
	u8 al = c->regs[REG_AX], old = al;
	u64 flags = 0;

	if ((al & 15) > 9 || c->rflags & FLAG_AF) {
		if (sub ? al < 6 : al > 0xff - 6)
			flags |= FLAG_CF;
		al = sub ? al - 6 : al + 6;
		flags |= FLAG_AF;
	}
	flags |= c->rflags & FLAG_CF;
	if (old > 0x99 || c->rflags & FLAG_CF) {
		al = sub ? al - 0x60 : al + 0x60;
		flags |= FLAG_CF;
	} else if (!sub) {
		flags &= ~FLAG_CF;
	}
	write_reg(c, REG_AX, (c->regs[REG_AX] & 0xff00) | al, 2);
	set_flags(c, FLAGS_ARITH & ~FLAG_OF, flags | lucid_emul_flags_szp(al, 1));
}

/* AAA and AAS. */
static void ascii_adjust(struct lucid_emul_ctxt *c, bool sub)
{
	u16 ax = c->regs[REG_AX];
	bool adjust = (ax & 15) > 9 || c->rflags & FLAG_AF;

	if (adjust)
		ax = sub ? ax - 0x106 : ax + 0x106;
	write_reg(c, REG_AX, ax & 0xff0f, 2);
	set_flags(c, FLAG_AF | FLAG_CF, adjust ? FLAG_AF | FLAG_CF : 0);
}

/* DAA 27, DAS 2F, AAA 37, AAS 3F, AAM D4, AAD D5, SALC D6: not in 64-bit mode. */
int lucid_emul_decimal(struct lucid_emul_ctxt *c)
{
	u8 al = c->regs[REG_AX], ah = c->regs[REG_AX] >> 8, base = c->insn.imm;

	switch (c->insn.opcode) {
	case 0x27: case 0x2f:
		adjust_after(c, c->insn.opcode & 8);
		return LUCID_EMUL_OK;
	case 0x37: case 0x3f:
		ascii_adjust(c, c->insn.opcode & 8);
		return LUCID_EMUL_OK;
	case 0xd6:
		write_reg(c, REG_AX, (ah << 8) | (c->rflags & FLAG_CF ? 0xff : 0), 2);
		return LUCID_EMUL_OK;
	case 0xd4:
		if (!base)
			return lucid_emul_exception(c, EXC_DE, false, 0);
		ah = al / base;
		al %= base;
		break;
	default:
		al += ah * base;
		ah = 0;
	}
	write_reg(c, REG_AX, ah << 8 | al, 2);
	set_flags(c, FLAG_SF | FLAG_ZF | FLAG_PF, lucid_emul_flags_szp(al, 1));
	return LUCID_EMUL_OK;
}
