// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator: the stack, jumps and calls, conditions, flags, and what real
 * mode does with interrupts.
 */
#include "emulate_internal.h"

/* ---- the stack ---- */

/* The size of the stack pointer. */
static unsigned int sp_size(const struct lucid_emul_ctxt *c)
{
	if (is_long(c))
		return 8;
	return c->seg[LUCID_SEG_SS].db ? 4 : 2;
}

u64 lucid_emul_sp(const struct lucid_emul_ctxt *c)
{
	return c->regs[REG_SP] & size_mask(sp_size(c));
}

void lucid_emul_set_sp(struct lucid_emul_ctxt *c, u64 sp)
{
	write_reg(c, REG_SP, sp, sp_size(c));
}

/* One value below *@sp; the register stays. */
static int push_at(struct lucid_emul_ctxt *c, u64 *sp, u64 val, unsigned int size)
{
	u64 to = (*sp - size) & size_mask(sp_size(c)), linear;
	int res = lucid_emul_linear(c, LUCID_SEG_SS, to, size, true, &linear);

	if (res == LUCID_EMUL_OK)
		res = lucid_emul_write(c, linear, &val, size);
	if (res == LUCID_EMUL_OK)
		*sp = to;
	return res;
}

/* The value at *@sp; the register stays. */
int lucid_emul_pop_value(struct lucid_emul_ctxt *c, u64 *sp, u64 *val, unsigned int size)
{
	u64 linear;
	int res = lucid_emul_linear(c, LUCID_SEG_SS, *sp, size, false, &linear);

	*val = 0;
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_read(c, linear, val, size);
	if (res == LUCID_EMUL_OK)
		*sp = (*sp + size) & size_mask(sp_size(c));
	return res;
}

int lucid_emul_push_value(struct lucid_emul_ctxt *c, u64 val, unsigned int size)
{
	u64 sp = lucid_emul_sp(c);
	int res = push_at(c, &sp, val, size);

	if (res == LUCID_EMUL_OK)
		lucid_emul_set_sp(c, sp);
	return res;
}

/* Several pushes are to fault before the first changes anything. */
static int probe_pushes(struct lucid_emul_ctxt *c, unsigned int size, unsigned int n)
{
	u64 sp = lucid_emul_sp(c), linear;
	int res = LUCID_EMUL_OK;

	while (n-- && res == LUCID_EMUL_OK) {
		sp = (sp - size) & size_mask(sp_size(c));
		res = lucid_emul_linear(c, LUCID_SEG_SS, sp, size, true, &linear);
		if (res == LUCID_EMUL_OK)
			res = lucid_emul_probe_write(c, linear, size);
	}
	return res;
}

/* 50..57. */
int lucid_emul_push_reg(struct lucid_emul_ctxt *c)
{
	return lucid_emul_push_value(c, c->regs[opcode_reg(c)], c->insn.opsize);
}

/* 58..5F. */
int lucid_emul_pop_reg(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), val;
	int res = lucid_emul_pop_value(c, &sp, &val, c->insn.opsize);

	if (res == LUCID_EMUL_OK) {
		lucid_emul_set_sp(c, sp);
		write_reg(c, opcode_reg(c), val, c->insn.opsize);
	}
	return res;
}

/* 68, 6A. */
int lucid_emul_push_imm(struct lucid_emul_ctxt *c)
{
	return lucid_emul_push_value(c, sign_extend(c->insn.imm, c->insn.imm_size), c->insn.opsize);
}

/* 8F /0: an address by rSP is that after the pop. */
int lucid_emul_pop_rm(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), old = c->regs[REG_SP], val;
	int res = lucid_emul_pop_value(c, &sp, &val, c->insn.opsize);

	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_set_sp(c, sp);
	res = lucid_emul_write_rm(c, val, c->insn.opsize);
	if (res != LUCID_EMUL_OK)
		c->regs[REG_SP] = old;
	return res;
}

int lucid_emul_pusha(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c);
	unsigned int i;
	int res = probe_pushes(c, c->insn.opsize, 8);

	for (i = 0; i < 8 && res == LUCID_EMUL_OK; i++)
		res = push_at(c, &sp, c->regs[i], c->insn.opsize);
	if (res == LUCID_EMUL_OK)
		lucid_emul_set_sp(c, sp);
	return res;
}

int lucid_emul_popa(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), val[8];
	int i, res;

	for (i = 7; i >= 0; i--) {
		res = lucid_emul_pop_value(c, &sp, &val[i], c->insn.opsize);
		if (res != LUCID_EMUL_OK)
			return res;
	}
	for (i = 0; i < 8; i++)
		if (i != REG_SP)	/* what was pushed of it is skipped */
			write_reg(c, i, val[i], c->insn.opsize);
	lucid_emul_set_sp(c, sp);
	return LUCID_EMUL_OK;
}

/* ENTER. The frame pointers are read before anything is written. */
int lucid_emul_enter(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, level = c->insn.imm2 & 31, i;
	u64 sp = lucid_emul_sp(c), bp = c->regs[REG_BP], frame, linear, display[30];
	int res;

	if (level > LUCID_EMUL_MAX_FRAGS / 2)
		return LUCID_EMUL_UNHANDLEABLE;
	for (i = 1; i < level; i++) {
		bp -= size;
		res = lucid_emul_linear(c, LUCID_SEG_SS, bp & size_mask(sp_size(c)), size, false,
					&linear);
		display[i] = 0;
		if (res == LUCID_EMUL_OK)
			res = lucid_emul_read(c, linear, &display[i], size);
		if (res != LUCID_EMUL_OK)
			return res;
	}
	res = probe_pushes(c, size, level + 1);
	if (res != LUCID_EMUL_OK)
		return res;
	/* where the stack ends up must be writable too (SDM vol. 2A, "ENTER") */
	frame = (sp - size) & size_mask(sp_size(c));
	res = lucid_emul_linear(c, LUCID_SEG_SS, (sp - size * (level + 1) - c->insn.imm) &
				size_mask(sp_size(c)), size, true, &linear);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_probe_write(c, linear, size);
	if (res == LUCID_EMUL_OK)
		res = push_at(c, &sp, c->regs[REG_BP], size);
	for (i = 1; i < level && res == LUCID_EMUL_OK; i++)
		res = push_at(c, &sp, display[i], size);
	if (level && res == LUCID_EMUL_OK)
		res = push_at(c, &sp, frame, size);
	if (res != LUCID_EMUL_OK)
		return res;
	write_reg(c, REG_BP, frame, size);
	lucid_emul_set_sp(c, sp - c->insn.imm);
	return LUCID_EMUL_OK;
}

int lucid_emul_leave(struct lucid_emul_ctxt *c)
{
	u64 sp = c->regs[REG_BP] & size_mask(sp_size(c)), val;
	int res = lucid_emul_pop_value(c, &sp, &val, c->insn.opsize);

	if (res == LUCID_EMUL_OK) {
		lucid_emul_set_sp(c, sp);
		write_reg(c, REG_BP, val, c->insn.opsize);
	}
	return res;
}

/* ---- near jumps ---- */

/* Go to @rip, as wide as the operand size, if that may be. */
static int jump(struct lucid_emul_ctxt *c, u64 rip)
{
	rip &= size_mask(c->insn.opsize);
	if (is_long(c) ? !lucid_emul_canonical(c, rip) : rip > c->seg[LUCID_SEG_CS].limit)
		return fault_gp(c, 0);
	c->next_rip = rip;
	return LUCID_EMUL_OK;
}

static int jump_relative(struct lucid_emul_ctxt *c)
{
	return jump(c, c->rip + c->insn.len + sign_extend(c->insn.imm, c->insn.imm_size));
}

/* The order of conditions: O B Z BE S P L LE, each with its opposite. */
bool lucid_emul_condition(u64 rflags, unsigned int cc)
{
	bool sf = rflags & FLAG_SF, of = rflags & FLAG_OF, res;

	switch (cc >> 1 & 7) {
	case 0:
		res = of;
		break;
	case 1:
		res = rflags & FLAG_CF;
		break;
	case 2:
		res = rflags & FLAG_ZF;
		break;
	case 3:
		res = rflags & (FLAG_CF | FLAG_ZF);
		break;
	case 4:
		res = sf;
		break;
	case 5:
		res = rflags & FLAG_PF;
		break;
	case 6:
		res = sf != of;
		break;
	default:
		res = rflags & FLAG_ZF || sf != of;
	}
	return res != (cc & 1);
}

int lucid_emul_jcc(struct lucid_emul_ctxt *c)
{
	return lucid_emul_condition(c->rflags, c->insn.opcode) ? jump_relative(c) : LUCID_EMUL_OK;
}

/* LOOPNE LOOPE LOOP JCXZ: the address size says how wide the count is. */
int lucid_emul_loop(struct lucid_emul_ctxt *c)
{
	unsigned int op = c->insn.opcode & 3, size = c->insn.addrsize;
	u64 count = read_reg(c, REG_CX, size) - (op != 3);
	bool taken = count & size_mask(size);
	int res = LUCID_EMUL_OK;

	if (op == 3)
		taken = !taken;
	else if (op < 2)
		taken = taken && !!(c->rflags & FLAG_ZF) == op;
	if (taken)
		res = jump_relative(c);
	if (res == LUCID_EMUL_OK && op != 3)
		write_reg(c, REG_CX, count, size);
	return res;
}

/* To @rip, with where this instruction ends on the stack. */
static int call(struct lucid_emul_ctxt *c, u64 rip)
{
	u64 back = c->rip + c->insn.len;
	int res = jump(c, rip);

	return res != LUCID_EMUL_OK ? res : lucid_emul_push_value(c, back, c->insn.opsize);
}

/* E8 CALL, E9 and EB JMP. */
int lucid_emul_jmp_call(struct lucid_emul_ctxt *c)
{
	if (c->insn.opcode != 0xe8)
		return jump_relative(c);
	return call(c, c->rip + c->insn.len + sign_extend(c->insn.imm, c->insn.imm_size));
}

int lucid_emul_ret(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), rip;
	int res = lucid_emul_pop_value(c, &sp, &rip, c->insn.opsize);

	if (res == LUCID_EMUL_OK)
		res = jump(c, rip);
	if (res == LUCID_EMUL_OK)
		lucid_emul_set_sp(c, sp + c->insn.imm);
	return res;
}

/* ---- far jumps and interrupts: real mode, and jumps in virtual-8086 mode ---- */

static int far_jump(struct lucid_emul_ctxt *c, u16 selector, u64 rip, bool is_call)
{
	u64 sp = lucid_emul_sp(c), back = c->rip + c->insn.len;
	unsigned int size = c->insn.opsize;
	int res = jump(c, rip);

	if (is_call && res == LUCID_EMUL_OK) {
		res = probe_pushes(c, size, 2);
		if (res == LUCID_EMUL_OK)
			res = push_at(c, &sp, c->seg[LUCID_SEG_CS].selector, size);
		if (res == LUCID_EMUL_OK)
			res = push_at(c, &sp, back, size);
		if (res == LUCID_EMUL_OK)
			lucid_emul_set_sp(c, sp);
	}
	if (res == LUCID_EMUL_OK)
		lucid_emul_real_segment(c, LUCID_SEG_CS, selector);
	return res;
}

/* 9A CALL and EA JMP with the address in the instruction; FF /3 and /5 in memory. */
int lucid_emul_far(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, seg;
	u64 linear, rip = 0, ea;
	u16 selector;
	u8 ptr[6];
	int res;

	if (!is_real_like(c))
		return LUCID_EMUL_UNHANDLEABLE;
	if (!c->insn.has_modrm)
		return far_jump(c, c->insn.imm2, c->insn.imm, c->insn.opcode == 0x9a);
	ea = lucid_emul_ea(c, &seg);
	res = lucid_emul_linear(c, seg, ea, size + 2, false, &linear);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_read(c, linear, ptr, size + 2);
	if (res != LUCID_EMUL_OK)
		return res;
	memcpy(&rip, ptr, size);
	memcpy(&selector, ptr + size, 2);
	return far_jump(c, selector, rip, modrm_op(c) == 3);
}

int lucid_emul_retf(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), rip, selector;
	int res;

	if (!is_real_like(c))
		return LUCID_EMUL_UNHANDLEABLE;
	res = lucid_emul_pop_value(c, &sp, &rip, c->insn.opsize);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_pop_value(c, &sp, &selector, c->insn.opsize);
	if (res == LUCID_EMUL_OK)
		res = jump(c, rip);
	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_real_segment(c, LUCID_SEG_CS, selector);
	lucid_emul_set_sp(c, sp + c->insn.imm);
	return LUCID_EMUL_OK;
}

/* INT3, INT, INTO: through the table at IDTR, in real mode. */
int lucid_emul_int(struct lucid_emul_ctxt *c)
{
	u8 vector = c->insn.opcode == 0xcc ? 3 : c->insn.opcode == 0xce ? EXC_OF : c->insn.imm;
	u64 base, sp = lucid_emul_sp(c);
	u16 entry[2];
	u32 limit;
	int res;

	if (c->insn.opcode == 0xce && !(c->rflags & FLAG_OF))
		return LUCID_EMUL_OK;
	if (c->mode != LUCID_EMUL_REAL || !c->ops->get_table)
		return LUCID_EMUL_UNHANDLEABLE;
	c->ops->get_table(c, true, &base, &limit);
	if (4 * vector + 3u > limit)
		return fault_gp(c, 0);
	res = lucid_emul_read(c, (u32)(base + 4 * vector), entry, sizeof(entry));
	if (res == LUCID_EMUL_OK && entry[0] > c->seg[LUCID_SEG_CS].limit)
		res = fault_gp(c, 0);
	if (res == LUCID_EMUL_OK)
		res = probe_pushes(c, 2, 3);
	if (res == LUCID_EMUL_OK)
		res = push_at(c, &sp, c->rflags, 2);
	if (res == LUCID_EMUL_OK)
		res = push_at(c, &sp, c->seg[LUCID_SEG_CS].selector, 2);
	if (res == LUCID_EMUL_OK)
		res = push_at(c, &sp, c->rip + c->insn.len, 2);
	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_set_sp(c, sp);
	lucid_emul_real_segment(c, LUCID_SEG_CS, entry[1]);
	c->next_rip = entry[0];
	c->rflags &= ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
	return LUCID_EMUL_OK;
}

/* ---- flags ---- */

/* What POPF and IRET may change; what they do not know they leave. */
static u64 popf_mask(const struct lucid_emul_ctxt *c, unsigned int size)
{
	u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

	if (size > 2)
		mask |= FLAG_AC | FLAG_ID;
	if (c->mode == LUCID_EMUL_REAL || (!c->cpl && c->mode != LUCID_EMUL_VM86))
		mask |= FLAG_IOPL | FLAG_IF;
	else if (c->cpl <= (c->rflags & FLAG_IOPL) >> 12)
		mask |= FLAG_IF;
	return mask;
}

/* In virtual-8086 mode with an IOPL below 3; CR4.VME has more to say then. */
static int vm86_denied(struct lucid_emul_ctxt *c)
{
	if (c->mode != LUCID_EMUL_VM86 || (c->rflags & FLAG_IOPL) == FLAG_IOPL)
		return LUCID_EMUL_OK;
	return c->cr4 & CR4_VME ? LUCID_EMUL_UNHANDLEABLE : fault_gp(c, 0);
}

int lucid_emul_pushf(struct lucid_emul_ctxt *c)
{
	int res = vm86_denied(c);

	return res != LUCID_EMUL_OK ? res :
	       lucid_emul_push_value(c, c->rflags & ~(FLAG_VM | FLAG_RF), c->insn.opsize);
}

int lucid_emul_popf(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), val;
	int res = vm86_denied(c);

	if (res == LUCID_EMUL_OK)
		res = lucid_emul_pop_value(c, &sp, &val, c->insn.opsize);
	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_set_sp(c, sp);
	set_flags(c, popf_mask(c, c->insn.opsize), val);
	return LUCID_EMUL_OK;
}

int lucid_emul_iret(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), rip, selector, flags;
	unsigned int size = c->insn.opsize;
	int res;

	if (c->mode != LUCID_EMUL_REAL)
		return LUCID_EMUL_UNHANDLEABLE;
	res = lucid_emul_pop_value(c, &sp, &rip, size);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_pop_value(c, &sp, &selector, size);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_pop_value(c, &sp, &flags, size);
	if (res == LUCID_EMUL_OK)
		res = jump(c, rip);
	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_set_sp(c, sp);
	lucid_emul_real_segment(c, LUCID_SEG_CS, selector);
	set_flags(c, popf_mask(c, size), flags);
	c->effects |= LUCID_EMUL_IRET;
	return LUCID_EMUL_OK;
}

/* CLI and STI. */
static int set_if(struct lucid_emul_ctxt *c, bool on)
{
	bool is_vm86 = c->mode == LUCID_EMUL_VM86;

	if (c->mode != LUCID_EMUL_REAL && (is_vm86 ? 3 : c->cpl) > (c->rflags & FLAG_IOPL) >> 12) {
		if (c->cr4 & (is_vm86 ? CR4_VME : CR4_PVI) && (is_vm86 || c->cpl == 3))
			return LUCID_EMUL_UNHANDLEABLE;
		return fault_gp(c, 0);
	}
	if (on && !(c->rflags & FLAG_IF))
		c->effects |= LUCID_EMUL_SHADOW;
	set_flags(c, FLAG_IF, on ? FLAG_IF : 0);
	return LUCID_EMUL_OK;
}

/* CMC F5, and F8..FD: CLC STC CLI STI CLD STD. */
int lucid_emul_flag_op(struct lucid_emul_ctxt *c)
{
	bool on = c->insn.opcode & 1;

	switch (c->insn.opcode) {
	case 0xf5:
		c->rflags ^= FLAG_CF;
		break;
	case 0xf8: case 0xf9:
		set_flags(c, FLAG_CF, on ? FLAG_CF : 0);
		break;
	case 0xfa: case 0xfb:
		return set_if(c, on);
	default:
		set_flags(c, FLAG_DF, on ? FLAG_DF : 0);
	}
	return LUCID_EMUL_OK;
}

int lucid_emul_sahf_lahf(struct lucid_emul_ctxt *c)
{
	u64 mask = FLAGS_ARITH & ~FLAG_OF;

	if (c->insn.opcode == 0x9e)
		set_flags(c, mask, c->regs[REG_AX] >> 8);
	else
		c->regs[REG_AX] = (c->regs[REG_AX] & ~0xff00ull) | ((c->rflags & mask) | 2) << 8;
	return LUCID_EMUL_OK;
}

/* ---- the rest ---- */

/* FE and FF: INC DEC CALL CALL-far JMP JMP-far PUSH. */
int lucid_emul_group45(struct lucid_emul_ctxt *c)
{
	unsigned int op = modrm_op(c);
	u64 val;
	int res;

	if (op < 2)
		return lucid_emul_incdec_rm(c);
	if (op == 3 || op == 5)
		return lucid_emul_far(c);
	res = lucid_emul_read_rm(c, &val, c->insn.opsize);
	if (res != LUCID_EMUL_OK)
		return res;
	switch (op) {
	case 2:
		return call(c, val);
	case 4:
		return jump(c, val);
	default:
		return lucid_emul_push_value(c, val, c->insn.opsize);
	}
}

int lucid_emul_setcc(struct lucid_emul_ctxt *c)
{
	return lucid_emul_write_rm(c, lucid_emul_condition(c->rflags, c->insn.opcode), 1);
}

/* The source is read, and a 32-bit destination cleared above, in any case. */
int lucid_emul_cmov(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize;
	u64 val;
	int res = lucid_emul_read_rm(c, &val, size);

	if (res != LUCID_EMUL_OK)
		return res;
	if (!lucid_emul_condition(c->rflags, c->insn.opcode))
		val = read_reg(c, c->insn.reg, size);
	write_reg(c, c->insn.reg, val, size);
	return LUCID_EMUL_OK;
}

int lucid_emul_bound(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, seg;
	u64 ea = lucid_emul_ea(c, &seg), linear, lo = 0, hi = 0;
	u8 bounds[8];
	s64 index;
	int res;

	res = lucid_emul_linear(c, seg, ea, 2 * size, false, &linear);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_read(c, linear, bounds, 2 * size);
	if (res != LUCID_EMUL_OK)
		return res;
	memcpy(&lo, bounds, size);
	memcpy(&hi, bounds + size, size);
	index = sign_extend(read_reg(c, c->insn.reg, size), size);
	if (index < (s64)sign_extend(lo, size) || index > (s64)sign_extend(hi, size))
		return lucid_emul_exception(c, EXC_BR, false, 0);
	return LUCID_EMUL_OK;
}
