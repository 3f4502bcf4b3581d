// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator: segment registers, descriptor tables, control and debug
 * registers, MSRs, and what else belongs to the machine. What the emulator
 * does not hold itself is reached by callbacks; without one, unhandleable.
 */
#include "emulate_internal.h"

/* ---- segment registers ---- */

/* Real and virtual-8086 mode: the base follows the selector, all else stays. */
void lucid_emul_real_segment(struct lucid_emul_ctxt *c, unsigned int seg, u16 selector)
{
	c->seg[seg].selector = selector;
	c->seg[seg].base = (u32)selector << 4;
	c->effects |= 1u << seg;
}

/* A descriptor as the CPU keeps it (SDM vol. 3A, "Segment Descriptors"). */
static void unpack_descriptor(struct kvm_segment *s, u16 selector, u64 desc)
{
	memset(s, 0, sizeof(*s));
	s->selector = selector;
	s->base = (desc >> 16 & 0xffffff) | (desc >> 56) << 24;
	s->limit = (desc & 0xffff) | (desc >> 48 & 0xf) << 16;
	s->type = desc >> 40 & 15;
	s->s = desc >> 44 & 1;
	s->dpl = desc >> 45 & 3;
	s->present = desc >> 47 & 1;
	s->avl = desc >> 52 & 1;
	s->l = desc >> 53 & 1;
	s->db = desc >> 54 & 1;
	s->g = desc >> 55 & 1;
	if (s->g)
		s->limit = s->limit << 12 | 0xfff;
}

#define TYPE_ACCESSED	1
#define TYPE_RW		2
#define TYPE_CONFORMING	4
#define TYPE_CODE	8

static int load_null(struct lucid_emul_ctxt *c, unsigned int seg, u16 selector,
		     struct kvm_segment *s)
{
	if (seg == LUCID_SEG_SS &&
	    !(is_long(c) && c->cpl < 3 && (selector & 3) == c->cpl))
		return fault_gp(c, 0);
	memset(s, 0, sizeof(*s));
	s->selector = selector;
	s->dpl = seg == LUCID_SEG_SS ? c->cpl : 0;
	s->unusable = 1;
	return LUCID_EMUL_OK;
}

/*
 * What a data segment register is to hold after @selector, with all checks
 * (SDM vol. 2, "MOV", Operation). In @s; the register is set by the caller.
 */
static int load_segment(struct lucid_emul_ctxt *c, unsigned int seg, u16 selector,
			struct kvm_segment *s)
{
	u16 error = selector & ~3, rpl = selector & 3;
	bool code, good;
	u64 desc;
	int res;

	if (is_real_like(c)) {
		*s = c->seg[seg];
		s->selector = selector;
		s->base = (u32)selector << 4;
		return LUCID_EMUL_OK;
	}
	if (!error)
		return load_null(c, seg, selector, s);
	if (!c->ops->read_desc || !c->ops->mark_accessed)
		return LUCID_EMUL_UNHANDLEABLE;
	res = c->ops->read_desc(c, selector, &desc);
	if (res != LUCID_EMUL_OK)
		return res;
	unpack_descriptor(s, selector, desc);
	code = s->type & TYPE_CODE;
	if (seg == LUCID_SEG_SS) {
		good = s->s && !code && s->type & TYPE_RW && rpl == c->cpl && s->dpl == c->cpl;
	} else {
		good = s->s && (!code || s->type & TYPE_RW);
		if (!code || !(s->type & TYPE_CONFORMING))
			good = good && rpl <= s->dpl && c->cpl <= s->dpl;
	}
	if (!good)
		return fault_gp(c, error);
	if (!s->present)
		return lucid_emul_exception(c, seg == LUCID_SEG_SS ? EXC_SS : EXC_NP, true, error);
	if (s->type & TYPE_ACCESSED)
		return LUCID_EMUL_OK;
	s->type |= TYPE_ACCESSED;
	return c->ops->mark_accessed(c, selector);
}

static void set_segment(struct lucid_emul_ctxt *c, unsigned int seg, const struct kvm_segment *s)
{
	c->seg[seg] = *s;
	c->effects |= 1u << seg;
	if (seg == LUCID_SEG_SS)
		c->effects |= LUCID_EMUL_SHADOW;
}

/* 8C: to memory always 16 bits; to a register zero-extended to the operand size. */
int lucid_emul_mov_from_seg(struct lucid_emul_ctxt *c)
{
	return lucid_emul_write_rm(c, c->seg[modrm_op(c)].selector,
				   c->insn.mod == 3 ? c->insn.opsize : 2);
}

/* 8E. The decoder has refused CS. */
int lucid_emul_mov_to_seg(struct lucid_emul_ctxt *c)
{
	struct kvm_segment s;
	u64 selector;
	int res = lucid_emul_read_rm(c, &selector, 2);

	if (res == LUCID_EMUL_OK)
		res = load_segment(c, modrm_op(c), selector, &s);
	if (res != LUCID_EMUL_OK)
		return res;
	set_segment(c, modrm_op(c), &s);
	return LUCID_EMUL_OK;
}

/* 06 0E 16 1E, 0F A0 A8: the register is in bits 3..5. */
static unsigned int stack_seg(const struct lucid_emul_ctxt *c)
{
	return c->insn.opcode >> 3 & 7;
}

/*
 * With an operand of 32 or 64 bits: some CPUs write only the selector. Written
 * here zero-extended.
 */
int lucid_emul_push_seg(struct lucid_emul_ctxt *c)
{
	return lucid_emul_push_value(c, c->seg[stack_seg(c)].selector, c->insn.opsize);
}

int lucid_emul_pop_seg(struct lucid_emul_ctxt *c)
{
	u64 sp = lucid_emul_sp(c), selector;
	struct kvm_segment s;
	int res = lucid_emul_pop_value(c, &sp, &selector, c->insn.opsize);

	if (res == LUCID_EMUL_OK)
		res = load_segment(c, stack_seg(c), selector, &s);
	if (res != LUCID_EMUL_OK)
		return res;
	lucid_emul_set_sp(c, sp);
	set_segment(c, stack_seg(c), &s);
	return LUCID_EMUL_OK;
}

/* LES C4, LDS C5, LSS 0F B2, LFS 0F B4, LGS 0F B5. */
int lucid_emul_load_far_ptr(struct lucid_emul_ctxt *c)
{
	unsigned int size = c->insn.opsize, to, seg;
	u64 ea = lucid_emul_ea(c, &seg), linear, offset = 0;
	struct kvm_segment s;
	u8 ptr[10];
	u16 selector;
	int res;

	switch (c->insn.opcode) {
	case 0xc4:
		to = LUCID_SEG_ES;
		break;
	case 0xc5:
		to = LUCID_SEG_DS;
		break;
	default:
		to = c->insn.opcode & 7;	/* B2 SS, B4 FS, B5 GS */
	}
	res = lucid_emul_linear(c, seg, ea, size + 2, false, &linear);
	if (res == LUCID_EMUL_OK)
		res = lucid_emul_read(c, linear, ptr, size + 2);
	if (res != LUCID_EMUL_OK)
		return res;
	memcpy(&offset, ptr, size);
	memcpy(&selector, ptr + size, 2);
	res = load_segment(c, to, selector, &s);
	if (res != LUCID_EMUL_OK)
		return res;
	set_segment(c, to, &s);
	c->effects &= ~LUCID_EMUL_SHADOW;	/* only MOV SS and POP SS put off interrupts */
	write_reg(c, c->insn.reg, offset, size);
	return LUCID_EMUL_OK;
}

/* 63: ARPL outside 64-bit mode (the move is in emulate.c). */
int lucid_emul_arpl_movsxd(struct lucid_emul_ctxt *c)
{
	struct lucid_emul_operand rm;
	u64 old, rpl = c->regs[c->insn.reg & 7] & 3;
	int res;

	if (is_real_like(c))
		return fault_ud(c);
	res = lucid_emul_rm_get(c, 2, ACCESS_READ | ACCESS_WRITE, &rm, &old);
	if (res != LUCID_EMUL_OK)
		return res;
	if ((old & 3) >= rpl) {
		set_flags(c, FLAG_ZF, 0);
		return LUCID_EMUL_OK;
	}
	res = lucid_emul_put(c, &rm, old, (old & ~3ull) | rpl, false);
	if (res == LUCID_EMUL_OK)
		set_flags(c, FLAG_ZF, FLAG_ZF);
	return res;
}

/* ---- descriptor tables ---- */

/* SLDT STR LLDT LTR VERR VERW do not exist in real mode; else not known here. */
int lucid_emul_group6(struct lucid_emul_ctxt *c)
{
	return is_real_like(c) ? fault_ud(c) : LUCID_EMUL_UNHANDLEABLE;
}

static bool umip_denied(const struct lucid_emul_ctxt *c)
{
	return c->cr4 & CR4_UMIP && c->cpl;
}

/* SGDT SIDT LGDT LIDT. */
static int table_register(struct lucid_emul_ctxt *c, bool idt, bool load)
{
	unsigned int size = is_long(c) ? 10 : 6, seg;
	u64 ea = lucid_emul_ea(c, &seg), linear, base = 0;
	u32 limit = 0;
	u8 buf[10];
	int res;

	if (load ? !c->ops->set_table : !c->ops->get_table)
		return LUCID_EMUL_UNHANDLEABLE;
	if (load ? c->cpl : umip_denied(c))
		return fault_gp(c, 0);
	res = lucid_emul_linear(c, seg, ea, size, !load, &linear);
	if (res != LUCID_EMUL_OK)
		return res;
	if (!load) {
		c->ops->get_table(c, idt, &base, &limit);
		memcpy(buf, &limit, 2);
		memcpy(buf + 2, &base, size - 2);
		return lucid_emul_write(c, linear, buf, size);
	}
	res = lucid_emul_read(c, linear, buf, size);
	if (res != LUCID_EMUL_OK)
		return res;
	memcpy(&limit, buf, 2);
	memcpy(&base, buf + 2, size - 2);
	/* With 16-bit operands only 24 bits of the base count. */
	if (!is_long(c) && (c->insn.mode == LUCID_INSN_16) == !(c->insn.prefixes & LUCID_PFX_OPSIZE))
		base &= 0xffffff;
	if (!lucid_emul_canonical(c, base))
		return fault_gp(c, 0);
	c->ops->set_table(c, idt, base, limit);
	return LUCID_EMUL_OK;
}

/* ---- control and debug registers ---- */

static int smsw(struct lucid_emul_ctxt *c)
{
	if (umip_denied(c))
		return fault_gp(c, 0);
	return lucid_emul_write_rm(c, c->cr0, c->insn.mod == 3 ? c->insn.opsize : 2);
}

static int lmsw(struct lucid_emul_ctxt *c)
{
	u64 val;
	int res;

	if (!c->ops->write_cr)
		return LUCID_EMUL_UNHANDLEABLE;
	if (c->cpl)
		return fault_gp(c, 0);
	res = lucid_emul_read_rm(c, &val, 2);
	if (res != LUCID_EMUL_OK)
		return res;
	/* PE can be set, not cleared (SDM vol. 2A, "LMSW") */
	return c->ops->write_cr(c, 0, (c->cr0 & ~0xeull) | (val & 0xf));
}

static int invlpg(struct lucid_emul_ctxt *c)
{
	unsigned int seg;
	u64 ea = lucid_emul_ea(c, &seg);

	if (!c->ops->invlpg)
		return LUCID_EMUL_UNHANDLEABLE;
	if (c->cpl)
		return fault_gp(c, 0);
	/* no check of limits; an address that is not canonical does nothing */
	if (!is_long(c))
		ea = (u32)(c->seg[seg].base + ea);
	else if (seg == LUCID_SEG_FS || seg == LUCID_SEG_GS)
		ea += c->seg[seg].base;
	return c->ops->invlpg(c, ea);
}

int lucid_emul_group7(struct lucid_emul_ctxt *c)
{
	unsigned int op = modrm_op(c);

	if (op == 4)
		return smsw(c);
	if (op == 6)
		return lmsw(c);
	if (c->insn.mod == 3 || c->insn.pp == 2)
		return LUCID_EMUL_UNHANDLEABLE;
	switch (op) {
	case 0: case 1: case 2: case 3:
		return table_register(c, op & 1, op & 2);
	case 7:
		return invlpg(c);
	}
	return LUCID_EMUL_UNHANDLEABLE;
}

int lucid_emul_clts(struct lucid_emul_ctxt *c)
{
	return c->ops->write_cr ? c->ops->write_cr(c, 0, c->cr0 & ~CR0_TS) : LUCID_EMUL_UNHANDLEABLE;
}

/* 0F 20, 22: the whole register, whatever the prefixes. */
int lucid_emul_mov_cr(struct lucid_emul_ctxt *c)
{
	unsigned int cr = lucid_insn_cr(&c->insn), size = is_long(c) ? 8 : 4;
	u64 val;
	int res;

	if (c->insn.opcode & 2)
		return c->ops->write_cr ? c->ops->write_cr(c, cr, read_reg(c, c->insn.rm, size)) :
					  LUCID_EMUL_UNHANDLEABLE;
	if (!c->ops->read_cr)
		return LUCID_EMUL_UNHANDLEABLE;
	res = c->ops->read_cr(c, cr, &val);
	if (res == LUCID_EMUL_OK)
		write_reg(c, c->insn.rm, val, size);
	return res;
}

int lucid_emul_mov_dr(struct lucid_emul_ctxt *c)
{
	unsigned int size = is_long(c) ? 8 : 4;
	u64 val;
	int res;

	if (c->insn.opcode & 2)
		return c->ops->write_dr ?
		       c->ops->write_dr(c, c->insn.reg, read_reg(c, c->insn.rm, size)) :
		       LUCID_EMUL_UNHANDLEABLE;
	if (!c->ops->read_dr)
		return LUCID_EMUL_UNHANDLEABLE;
	res = c->ops->read_dr(c, c->insn.reg, &val);
	if (res == LUCID_EMUL_OK)
		write_reg(c, c->insn.rm, val, size);
	return res;
}

/* ---- MSRs, CPUID, time, rest ---- */

/* 0F 30, 32. */
int lucid_emul_msr(struct lucid_emul_ctxt *c)
{
	u32 index = c->regs[REG_CX];
	u64 val;
	int res;

	if (!(c->insn.opcode & 2))
		return c->ops->write_msr ?
		       c->ops->write_msr(c, index, (u32)c->regs[REG_AX] | c->regs[REG_DX] << 32) :
		       LUCID_EMUL_UNHANDLEABLE;
	if (!c->ops->read_msr)
		return LUCID_EMUL_UNHANDLEABLE;
	res = c->ops->read_msr(c, index, &val);
	if (res == LUCID_EMUL_OK) {
		write_reg(c, REG_AX, val, 4);
		write_reg(c, REG_DX, val >> 32, 4);
	}
	return res;
}

int lucid_emul_cpuid(struct lucid_emul_ctxt *c)
{
	u32 regs[4] = { c->regs[REG_AX], c->regs[REG_CX] };
	int res;

	if (!c->ops->cpuid)
		return LUCID_EMUL_UNHANDLEABLE;
	res = c->ops->cpuid(c, regs);
	if (res == LUCID_EMUL_OK) {
		write_reg(c, REG_AX, regs[0], 4);
		write_reg(c, REG_BX, regs[1], 4);
		write_reg(c, REG_CX, regs[2], 4);
		write_reg(c, REG_DX, regs[3], 4);
	}
	return res;
}

int lucid_emul_rdtsc(struct lucid_emul_ctxt *c)
{
	u64 val;
	int res;

	if (!c->ops->rdtsc)
		return LUCID_EMUL_UNHANDLEABLE;
	if (c->cr4 & CR4_TSD && c->cpl)
		return fault_gp(c, 0);
	res = c->ops->rdtsc(c, &val);
	if (res == LUCID_EMUL_OK) {
		write_reg(c, REG_AX, val, 4);
		write_reg(c, REG_DX, val >> 32, 4);
	}
	return res;
}

int lucid_emul_hlt(struct lucid_emul_ctxt *c)
{
	return c->ops->hlt ? c->ops->hlt(c) : LUCID_EMUL_UNHANDLEABLE;
}

/* NOP, hints, and with CPL 0 INVD and WBINVD. */
int lucid_emul_nop(struct lucid_emul_ctxt *c)
{
	return LUCID_EMUL_OK;
}

/* 90: XCHG with R8 if REX says so. */
int lucid_emul_nop_or_xchg(struct lucid_emul_ctxt *c)
{
	return c->insn.rex & 1 ? lucid_emul_xchg_acc(c) : LUCID_EMUL_OK;
}

int lucid_emul_ud(struct lucid_emul_ctxt *c)
{
	return fault_ud(c);
}

/* 0F AE: the fences, which are E8, F0, F8 and more with any last bits. */
int lucid_emul_group15(struct lucid_emul_ctxt *c)
{
	return c->insn.mod == 3 && !c->insn.pp && modrm_op(c) >= 5 ? LUCID_EMUL_OK :
								   LUCID_EMUL_UNHANDLEABLE;
}
