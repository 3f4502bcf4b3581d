// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator: arithmetic, logic, comparison, exchange.
 *
 * Flags that the manual leaves undefined are left as they were.
 */
#include "emulate_internal.h"

/* Group 1's numbers, which are also bits 3..5 of the old opcodes. */
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, /* ALU_SUB */ ALU_XOR = 6 };

/* SF, ZF and PF of a result. */
u64 lucid_emul_flags_szp(u64 val, unsigned int size)
{
	u64 flags = 0;
	u8 fold = val ^ (u8)val >> 4;

	if (!(val & size_mask(size)))
		flags |= FLAG_ZF;
	if (val & sign_bit(size))
		flags |= FLAG_SF;
	if (0x9669 >> (fold & 15) & 1)		/* an even number of ones */
		flags |= FLAG_PF;
	return flags;
}

u64 lucid_emul_alu_op(unsigned int op, u64 a, u64 b, unsigned int size, u64 *rflags)
{
	u64 mask = size_mask(size), carry = 0, flags = 0, overflow, r;

	a &= mask;
	b &= mask;
	if (op == ALU_ADC || op == ALU_SBB)
		carry = *rflags & FLAG_CF;

	switch (op) {
	case ALU_OR:
		r = a | b;
		break;
	case ALU_AND:
		r = a & b;
		break;
	case ALU_XOR:
		r = a ^ b;
		break;
	case ALU_ADD: case ALU_ADC:
		r = (a + b + carry) & mask;
		overflow = ~(a ^ b) & (a ^ r);
		if (r < a || (carry && r == a))
			flags |= FLAG_CF;
		goto arithmetic;
	default:
		r = (a - b - carry) & mask;
		overflow = (a ^ b) & (a ^ r);
		if (a < b || (carry && a == b))
			flags |= FLAG_CF;
arithmetic:
		if (overflow & sign_bit(size))
			flags |= FLAG_OF;
		flags |= (a ^ b ^ r) & FLAG_AF;
	}
	flags |= lucid_emul_flags_szp(r, size);
	*rflags = (*rflags & ~FLAGS_ARITH) | flags;
	return r;
}

/* r/m = r/m op @val; CMP writes nothing. */
static int alu_rm(struct lucid_emul_ctxt *c, unsigned int op, u64 val, unsigned int size)
{
	struct lucid_emul_operand rm;
	u64 flags = c->rflags, old, new;
	int res;

	res = lucid_emul_rm_get(c, size, op == ALU_CMP ? ACCESS_READ : ACCESS_READ | ACCESS_WRITE, &rm, &old);
	if (res != LUCID_EMUL_OK)
		return res;
	new = lucid_emul_alu_op(op, old, val, size, &flags);
	if (op != ALU_CMP)
		res = lucid_emul_put(c, &rm, old, new, locked(c));
	if (res == LUCID_EMUL_OK)
		c->rflags = flags;
	return res;
}

/* 00..3D: six forms of each operation. */
int lucid_emul_alu(struct lucid_emul_ctxt *c)
{
	unsigned int op = c->insn.opcode >> 3 & 7, size = pair_size(c), reg = c->insn.reg;
	u64 flags = c->rflags, val;
	int res;

	switch (c->insn.opcode & 7) {
	case 0: case 1:
		return alu_rm(c, op, read_reg(c, reg, size), size);
	case 2: case 3:
		res = lucid_emul_read_rm(c, &val, size);
		if (res != LUCID_EMUL_OK)
			return res;
		break;
	default:
		reg = REG_AX;
		val = sign_extend(c->insn.imm, c->insn.imm_size);
	}
	val = lucid_emul_alu_op(op, read_reg(c, reg, size), val, size, &flags);
	if (op != ALU_CMP)
		write_reg(c, reg, val, size);
	c->rflags = flags;
	return LUCID_EMUL_OK;
}

/* 80..83. */
int lucid_emul_group1(struct lucid_emul_ctxt *c)
{
	return alu_rm(c, modrm_op(c), sign_extend(c->insn.imm, c->insn.imm_size), pair_size(c));
}

static int test_rm(struct lucid_emul_ctxt *c, u64 with, unsigned int size)
{
	u64 val;
	int res = lucid_emul_read_rm(c, &val, size);

	if (res == LUCID_EMUL_OK)
		lucid_emul_alu_op(ALU_AND, val, with, size, &c->rflags);
	return res;
}

/* 84 85 A8 A9. */
int lucid_emul_test(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);

	if (c->insn.has_modrm)
		return test_rm(c, read_reg(c, c->insn.reg, size), size);
	lucid_emul_alu_op(ALU_AND, read_reg(c, REG_AX, size),
			  sign_extend(c->insn.imm, c->insn.imm_size), size, &c->rflags);
	return LUCID_EMUL_OK;
}

/* INC and DEC leave CF alone. */
static u64 step_by_one(u64 val, bool dec, unsigned int size, u64 *rflags)
{
	u64 carry = *rflags & FLAG_CF;

	val = lucid_emul_alu_op(dec ? ALU_SUB : ALU_ADD, val, 1, size, rflags);
	*rflags = (*rflags & ~FLAG_CF) | carry;
	return val;
}

/* 40..4F, outside 64-bit mode. */
int lucid_emul_incdec(struct lucid_emul_ctxt *c)
{
	unsigned int reg = c->insn.opcode & 7, size = c->insn.opsize;

	write_reg(c, reg, step_by_one(read_reg(c, reg, size), c->insn.opcode & 8, size, &c->rflags),
		  size);
	return LUCID_EMUL_OK;
}

/* FE and FF /0 /1. */
int lucid_emul_incdec_rm(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);
	struct lucid_emul_operand rm;
	u64 flags = c->rflags, old, new;
	int res = lucid_emul_rm_get(c, size, ACCESS_READ | ACCESS_WRITE, &rm, &old);

	if (res != LUCID_EMUL_OK)
		return res;
	new = step_by_one(old, modrm_op(c) & 1, size, &flags);
	res = lucid_emul_put(c, &rm, old, new, locked(c));
	if (res == LUCID_EMUL_OK)
		c->rflags = flags;
	return res;
}

/* ---- multiplication and division ---- */

static void set_product_flags(struct lucid_emul_ctxt *c, bool overflow)
{
	set_flags(c, FLAG_CF | FLAG_OF, overflow ? FLAG_CF | FLAG_OF : 0);
}

/* The upper and lower halves of a product, each of @size bytes. */
static void multiply(u64 a, u64 b, bool is_signed, unsigned int size, u64 *hi, u64 *lo)
{
	unsigned __int128 p;

	if (is_signed)
		p = (unsigned __int128)((__int128)(s64)sign_extend(a, size) *
					(s64)sign_extend(b, size));
	else
		p = (unsigned __int128)(a & size_mask(size)) * (b & size_mask(size));
	*lo = (u64)p & size_mask(size);
	*hi = (u64)(p >> (8 * size)) & size_mask(size);
}

/* MUL and IMUL of the accumulator. */
static int mul_acc(struct lucid_emul_ctxt *c, u64 val, bool is_signed, unsigned int size)
{
	u64 hi, lo;

	multiply(c->regs[REG_AX], val, is_signed, size, &hi, &lo);
	if (size == 1) {
		write_reg(c, REG_AX, hi << 8 | lo, 2);
	} else {
		write_reg(c, REG_AX, lo, size);
		write_reg(c, REG_DX, hi, size);
	}
	if (is_signed)
		set_product_flags(c, hi != (lo & sign_bit(size) ? size_mask(size) : 0));
	else
		set_product_flags(c, hi);
	return LUCID_EMUL_OK;
}

/*
 * @hi:@lo, 128 bits, by @divisor, where the quotient fits into 64. The CPU's
 * own instruction: the kernel has no 128-bit division.
 */
static u64 divide_wide(u64 hi, u64 lo, u64 divisor, u64 *remainder)
{
	u64 quotient;

	asm("divq %4" : "=a" (quotient), "=d" (*remainder) : "0" (lo), "1" (hi), "rm" (divisor) : "cc");
	return quotient;
}

/* DIV and IDIV: of twice the size, by magnitude, then with the sign. */
static int div_acc(struct lucid_emul_ctxt *c, u64 divisor, bool is_signed, unsigned int size)
{
	u64 mask = size_mask(size), hi, lo, quotient, remainder, limit = mask;
	bool negative = false, negative_divisor = false;

	if (size == 1) {
		hi = c->regs[REG_AX] >> 8 & 0xff;
		lo = c->regs[REG_AX] & 0xff;
	} else {
		hi = c->regs[REG_DX] & mask;
		lo = c->regs[REG_AX] & mask;
	}
	divisor &= mask;
	if (is_signed) {
		negative = hi & sign_bit(size);
		negative_divisor = divisor & sign_bit(size);
		if (negative) {
			lo = -lo & mask;
			hi = (~hi + !lo) & mask;
		}
		if (negative_divisor)
			divisor = -divisor & mask;
		limit = sign_bit(size) - (negative == negative_divisor);
	}
	if (hi >= divisor)			/* too large, or divided by 0 */
		return lucid_emul_exception(c, EXC_DE, false, 0);
	if (size == 8) {
		quotient = divide_wide(hi, lo, divisor, &remainder);
	} else {
		u64 dividend = hi << (8 * size) | lo;

		quotient = dividend / divisor;
		remainder = dividend % divisor;
	}
	if (quotient > limit)
		return lucid_emul_exception(c, EXC_DE, false, 0);
	if (negative != negative_divisor)
		quotient = -quotient;
	if (negative)
		remainder = -remainder;
	if (size == 1) {
		write_reg(c, REG_AX, (remainder & 0xff) << 8 | (quotient & 0xff), 2);
	} else {
		write_reg(c, REG_AX, quotient, size);
		write_reg(c, REG_DX, remainder, size);
	}
	return LUCID_EMUL_OK;
}

/* F6, F7. */
int lucid_emul_group3(struct lucid_emul_ctxt *c)
{
	unsigned int op = modrm_op(c), size = pair_size(c);
	struct lucid_emul_operand rm;
	u64 flags = c->rflags, val, new;
	int res;

	if (op < 2)
		return test_rm(c, sign_extend(c->insn.imm, c->insn.imm_size), size);
	res = lucid_emul_rm(c, size, op < 4 ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ, &rm);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_get(c, &rm, &val);
	if (res != LUCID_EMUL_OK)
		return res;
	switch (op) {
	case 4: case 5:
		return mul_acc(c, val, op & 1, size);
	case 6: case 7:
		return div_acc(c, val, op & 1, size);
	}
	new = op == 2 ? ~val : lucid_emul_alu_op(ALU_SUB, 0, val, size, &flags);
	res = lucid_emul_put(c, &rm, val, new, locked(c));
	if (res == LUCID_EMUL_OK)
		c->rflags = flags;
	return res;
}

/* IMUL with two or three operands: 69, 6B, 0F AF. */
int lucid_emul_imul(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize;
	u64 val, other, hi, lo;
	int res = lucid_emul_read_rm(c, &val, size);

	if (res != LUCID_EMUL_OK)
		return res;
	other = c->insn.imm_size ? sign_extend(c->insn.imm, c->insn.imm_size) :
				   read_reg(c, c->insn.reg, size);
	multiply(val, other, true, size, &hi, &lo);
	write_reg(c, c->insn.reg, lo, size);
	set_product_flags(c, hi != (lo & sign_bit(size) ? size_mask(size) : 0));
	return LUCID_EMUL_OK;
}

/* ---- exchange ---- */

/* 86, 87: locked with memory, whether it says so or not. */
int lucid_emul_xchg(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);
	struct lucid_emul_operand rm;
	u64 val, reg = read_reg(c, c->insn.reg, size);
	int res = lucid_emul_rm(c, size, ACCESS_READ | ACCESS_WRITE, &rm);

	if (res == LUCID_EMUL_OK)
		res = lucid_emul_get(c, &rm, &val);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_put(c, &rm, val, reg, true);
	if (res == LUCID_EMUL_OK)
		write_reg(c, c->insn.reg, val, size);
	return res;
}

/* 90..97 with a register that is not rAX itself. */
int lucid_emul_xchg_acc(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, reg = opcode_reg(c);
	u64 acc = read_reg(c, REG_AX, size);

	write_reg(c, REG_AX, read_reg(c, reg, size), size);
	write_reg(c, reg, acc, size);
	return LUCID_EMUL_OK;
}

int lucid_emul_xadd(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);
	struct lucid_emul_operand rm;
	u64 flags = c->rflags, old, sum;
	int res = lucid_emul_rm_get(c, size, ACCESS_READ | ACCESS_WRITE, &rm, &old);

	if (res != LUCID_EMUL_OK)
		return res;
	sum = lucid_emul_alu_op(ALU_ADD, old, read_reg(c, c->insn.reg, size), size, &flags);
	if (rm.mem) {
		res = lucid_emul_put(c, &rm, old, sum, locked(c));
		if (res != LUCID_EMUL_OK)
			return res;
		write_reg(c, c->insn.reg, old, size);
	} else {			/* the sum wins if both are the same */
		write_reg(c, c->insn.reg, old, size);
		write_reg(c, rm.reg, sum, size);
	}
	c->rflags = flags;
	return LUCID_EMUL_OK;
}

/* The destination is written in any case, if need be with what it was. */
int lucid_emul_cmpxchg(struct lucid_emul_ctxt *c)
{
	unsigned int size = pair_size(c);
	struct lucid_emul_operand rm;
	u64 flags = c->rflags, old, acc = read_reg(c, REG_AX, size);
	int res = lucid_emul_rm_get(c, size, ACCESS_READ | ACCESS_WRITE, &rm, &old);

	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_alu_op(ALU_CMP, acc, old, size, &flags);
	if (acc == old) {
		res = lucid_emul_put(c, &rm, old, read_reg(c, c->insn.reg, size), locked(c));
	} else {
		if (rm.mem)
			res = lucid_emul_put(c, &rm, old, old, locked(c));
		if (res == LUCID_EMUL_OK)
			write_reg(c, REG_AX, old, size);
	}
	if (res == LUCID_EMUL_OK)
		c->rflags = flags;
	return res;
}

/* CMPXCHG8B, and with REX.W CMPXCHG16B, which wants alignment. */
int lucid_emul_cmpxchg_wide(struct lucid_emul_ctxt *c)
{
	unsigned int half = c->insn.w ? 8 : 4, size = 2 * half, seg;
	u64 ea = lucid_emul_ea(c, &seg), linear, old_lo, old_hi, lo, hi;
	u8 old[16], new[16];
	bool equal;
	int res;

	if (modrm_op(c) != 1 || c->insn.mod == 3)
		return LUCID_EMUL_UNHANDLEABLE;
	res = lucid_emul_memory(c, seg, ea, size, ACCESS_READ | ACCESS_WRITE, &linear);
	if (res != LUCID_EMUL_OK)
		return res;
	if (size == 16 && linear & 15)
		return fault_gp(c, 0);
	res = lucid_emul_read(c, linear, old, size);
	if (res != LUCID_EMUL_OK)
		return res;
	old_lo = old_hi = 0;
	memcpy(&old_lo, old, half);
	memcpy(&old_hi, old + half, half);
	equal = old_lo == read_reg(c, REG_AX, half) && old_hi == read_reg(c, REG_DX, half);
	lo = equal ? read_reg(c, REG_BX, half) : old_lo;
	hi = equal ? read_reg(c, REG_CX, half) : old_hi;
	memcpy(new, &lo, half);
	memcpy(new + half, &hi, half);
	res = locked(c) ? lucid_emul_write_locked(c, linear, old, new, size) :
			  lucid_emul_write(c, linear, new, size);
	if (res != LUCID_EMUL_OK)
		return res;
	if (!equal) {
		write_reg(c, REG_AX, old_lo, half);
		write_reg(c, REG_DX, old_hi, half);
	}
	set_flags(c, FLAG_ZF, equal ? FLAG_ZF : 0);
	return LUCID_EMUL_OK;
}

/* CBW and CWD families: 98, 99. */
int lucid_emul_widen(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize;
	u64 val = read_reg(c, REG_AX, size);

	if (c->insn.opcode & 1)
		write_reg(c, REG_DX, val & sign_bit(size) ? ~0ull : 0, size);
	else
		write_reg(c, REG_AX, sign_extend(c->regs[REG_AX], size / 2), size);
	return LUCID_EMUL_OK;
}
