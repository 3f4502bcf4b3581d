/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The emulator's inside: what its files share. Nothing else includes this.
 *
 *   emulate.c		addresses, memory, completion, the plain moves, the tables
 *   emulate_alu.c	arithmetic, logic, comparison, exchange
 *   emulate_bits.c	shifts, bits, decimal
 *   emulate_string.c	MOVS to OUTS, with REP; IN and OUT
 *   emulate_flow.c	stack, jumps, calls, flags, interrupts of real mode
 *   emulate_sys.c	segments, control registers, MSRs; what needs a callback
 *   emulate_sse.c	moves of XMM registers
 *
 * A handler reads all it needs, then writes memory, then registers, when
 * nothing can fail any more. It returns enum lucid_emul_result.
 */
#ifndef LUCID_X86_EMULATE_INTERNAL_H
#define LUCID_X86_EMULATE_INTERNAL_H

#include <linux/types.h>
#include <linux/string.h>

#include "emulate.h"

#define EXC_DE		0
#define EXC_OF		4
#define EXC_BR		5
#define EXC_UD		6
#define EXC_NM		7
#define EXC_NP		11
#define EXC_SS		12
#define EXC_GP		13
#define EXC_PF		14
#define EXC_AC		17

#define FLAG_CF		(1ull << 0)
#define FLAG_PF		(1ull << 2)
#define FLAG_AF		(1ull << 4)
#define FLAG_ZF		(1ull << 6)
#define FLAG_SF		(1ull << 7)
#define FLAG_TF		(1ull << 8)
#define FLAG_IF		(1ull << 9)
#define FLAG_DF		(1ull << 10)
#define FLAG_OF		(1ull << 11)
#define FLAG_IOPL	(3ull << 12)
#define FLAG_NT		(1ull << 14)
#define FLAG_RF		(1ull << 16)
#define FLAG_VM		(1ull << 17)
#define FLAG_AC		(1ull << 18)
#define FLAG_VIF	(1ull << 19)
#define FLAG_VIP	(1ull << 20)
#define FLAG_ID		(1ull << 21)
#define FLAGS_ARITH	(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define CR0_EM		(1ull << 2)
#define CR0_TS		(1ull << 3)
#define CR4_VME		(1ull << 0)
#define CR4_PVI		(1ull << 1)
#define CR4_TSD		(1ull << 2)
#define CR4_OSFXSR	(1ull << 9)
#define CR4_UMIP	(1ull << 11)

enum { REG_AX, REG_CX, REG_DX, REG_BX, REG_SP, REG_BP, REG_SI, REG_DI };

/* What the tables say of an opcode. */
#define EMUL_ONE	1	/* fit for a stay: one place in memory at most, and @cr0, @cr4, @cpl, @tzcnt not looked at */
#define EMUL_SEGS	2	/* looks at segments other than to address memory */
#define EMUL_PRIV	4	/* for CPL 0 only, else #GP(0) */

struct lucid_emul_entry {
	int (*fn)(struct lucid_emul_ctxt *c);
	u8 flags;
};

/* Something read and written: a register, or memory whose checks have passed. */
struct lucid_emul_operand {
	u64 linear;
	u8 reg;
	u8 size;
	bool mem;
};

/* How an operand is to be used. */
#define ACCESS_READ	1
#define ACCESS_WRITE	2

static inline u64 size_mask(unsigned int bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << (8 * bytes)) - 1;
}

static inline u64 sign_bit(unsigned int bytes)
{
	return 1ull << (8 * bytes - 1);
}

static inline u64 sign_extend(u64 val, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (u64)((s64)(val << shift) >> shift);
}

static inline bool is_long(const struct lucid_emul_ctxt *c)
{
	return c->mode == LUCID_EMUL_LONG;
}

/* Real and virtual-8086 mode: a selector is an address. */
static inline bool is_real_like(const struct lucid_emul_ctxt *c)
{
	return c->mode == LUCID_EMUL_REAL || c->mode == LUCID_EMUL_VM86;
}

/* Without a REX prefix the byte registers 4..7 are AH, CH, DH, BH. */
static inline bool is_high_byte(const struct lucid_emul_ctxt *c, unsigned int reg,
				unsigned int size)
{
	return size == 1 && (reg & ~3u) == 4 && !(c->insn.prefixes & LUCID_PFX_REX);
}

static inline u64 read_reg(const struct lucid_emul_ctxt *c, unsigned int reg, unsigned int size)
{
	if (is_high_byte(c, reg, size))
		return c->regs[reg - 4] >> 8 & 0xff;
	return c->regs[reg] & size_mask(size);
}

static inline void write_reg(struct lucid_emul_ctxt *c, unsigned int reg, u64 val,
			     unsigned int size)
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

/* Opcodes that come in pairs: even is bytes, odd the operand size. */
static inline unsigned int pair_size(const struct lucid_emul_ctxt *c)
{
	return c->insn.opcode & 1 ? c->insn.opsize : 1;
}

/* ModRM.reg as an opcode: without what REX adds. */
static inline unsigned int modrm_op(const struct lucid_emul_ctxt *c)
{
	return c->insn.modrm >> 3 & 7;
}

/* The register that three bits of an opcode name. */
static inline unsigned int opcode_reg(const struct lucid_emul_ctxt *c)
{
	return (c->insn.opcode & 7) | (c->insn.rex & 1) << 3;
}

static inline bool locked(const struct lucid_emul_ctxt *c)
{
	return c->insn.prefixes & LUCID_PFX_LOCK;
}

static inline bool has_rep(const struct lucid_emul_ctxt *c)
{
	return c->insn.prefixes & (LUCID_PFX_REP | LUCID_PFX_REPNE);
}

static inline void set_flags(struct lucid_emul_ctxt *c, u64 mask, u64 val)
{
	c->rflags = (c->rflags & ~mask) | (val & mask);
}

static inline int fault_ud(struct lucid_emul_ctxt *c)
{
	return lucid_emul_exception(c, EXC_UD, false, 0);
}

static inline int fault_gp(struct lucid_emul_ctxt *c, u32 error_code)
{
	return lucid_emul_exception(c, EXC_GP, true, error_code);
}

/* emulate.c */
bool lucid_emul_canonical(const struct lucid_emul_ctxt *c, u64 linear);
int lucid_emul_probe_write(struct lucid_emul_ctxt *c, u64 linear, unsigned int len);
int lucid_emul_write_locked(struct lucid_emul_ctxt *c, u64 linear, const void *old,
			    const void *val, unsigned int len);
/* Memory at @seg:@ea, checked for @access; a read-modify-write one is probed. */
int lucid_emul_memory(struct lucid_emul_ctxt *c, unsigned int seg, u64 ea, unsigned int size,
		      unsigned int access, u64 *linear);
/* ModRM.rm: find it, read it, write it (with LOCK only if it still is @old). */
int lucid_emul_rm(struct lucid_emul_ctxt *c, unsigned int size, unsigned int access,
		  struct lucid_emul_operand *op);
int lucid_emul_get(struct lucid_emul_ctxt *c, const struct lucid_emul_operand *op, u64 *val);
int lucid_emul_rm_get(struct lucid_emul_ctxt *c, unsigned int size, unsigned int access,
		      struct lucid_emul_operand *op, u64 *val);
int lucid_emul_put(struct lucid_emul_ctxt *c, const struct lucid_emul_operand *op, u64 old,
		   u64 val, bool lock);
int lucid_emul_read_rm(struct lucid_emul_ctxt *c, u64 *val, unsigned int size);
int lucid_emul_write_rm(struct lucid_emul_ctxt *c, u64 val, unsigned int size);

/* emulate_alu.c */
u64 lucid_emul_alu_op(unsigned int op, u64 a, u64 b, unsigned int size, u64 *rflags);
u64 lucid_emul_flags_szp(u64 val, unsigned int size);
#define ALU_SUB		5
#define ALU_CMP		7
int lucid_emul_alu(struct lucid_emul_ctxt *c);
int lucid_emul_group1(struct lucid_emul_ctxt *c);
int lucid_emul_test(struct lucid_emul_ctxt *c);
int lucid_emul_incdec(struct lucid_emul_ctxt *c);
int lucid_emul_incdec_rm(struct lucid_emul_ctxt *c);
int lucid_emul_group3(struct lucid_emul_ctxt *c);
int lucid_emul_imul(struct lucid_emul_ctxt *c);
int lucid_emul_xchg(struct lucid_emul_ctxt *c);
int lucid_emul_xchg_acc(struct lucid_emul_ctxt *c);
int lucid_emul_xadd(struct lucid_emul_ctxt *c);
int lucid_emul_cmpxchg(struct lucid_emul_ctxt *c);
int lucid_emul_cmpxchg_wide(struct lucid_emul_ctxt *c);
int lucid_emul_widen(struct lucid_emul_ctxt *c);

/* emulate_bits.c */
int lucid_emul_shift(struct lucid_emul_ctxt *c);
int lucid_emul_shift_double(struct lucid_emul_ctxt *c);
int lucid_emul_bt(struct lucid_emul_ctxt *c);
int lucid_emul_scan(struct lucid_emul_ctxt *c);
int lucid_emul_popcnt(struct lucid_emul_ctxt *c);
int lucid_emul_bswap(struct lucid_emul_ctxt *c);
int lucid_emul_movbe_crc32(struct lucid_emul_ctxt *c);
int lucid_emul_decimal(struct lucid_emul_ctxt *c);

/* emulate_string.c */
int lucid_emul_string(struct lucid_emul_ctxt *c);
int lucid_emul_inout(struct lucid_emul_ctxt *c);

/* emulate_flow.c */
bool lucid_emul_condition(u64 rflags, unsigned int cc);
int lucid_emul_push_reg(struct lucid_emul_ctxt *c);
int lucid_emul_pop_reg(struct lucid_emul_ctxt *c);
int lucid_emul_push_imm(struct lucid_emul_ctxt *c);
int lucid_emul_pop_rm(struct lucid_emul_ctxt *c);
int lucid_emul_pusha(struct lucid_emul_ctxt *c);
int lucid_emul_popa(struct lucid_emul_ctxt *c);
int lucid_emul_pushf(struct lucid_emul_ctxt *c);
int lucid_emul_popf(struct lucid_emul_ctxt *c);
int lucid_emul_enter(struct lucid_emul_ctxt *c);
int lucid_emul_leave(struct lucid_emul_ctxt *c);
int lucid_emul_jcc(struct lucid_emul_ctxt *c);
int lucid_emul_loop(struct lucid_emul_ctxt *c);
int lucid_emul_jmp_call(struct lucid_emul_ctxt *c);
int lucid_emul_ret(struct lucid_emul_ctxt *c);
int lucid_emul_far(struct lucid_emul_ctxt *c);
int lucid_emul_retf(struct lucid_emul_ctxt *c);
int lucid_emul_int(struct lucid_emul_ctxt *c);
int lucid_emul_iret(struct lucid_emul_ctxt *c);
int lucid_emul_group45(struct lucid_emul_ctxt *c);
int lucid_emul_setcc(struct lucid_emul_ctxt *c);
int lucid_emul_cmov(struct lucid_emul_ctxt *c);
int lucid_emul_flag_op(struct lucid_emul_ctxt *c);
int lucid_emul_sahf_lahf(struct lucid_emul_ctxt *c);
int lucid_emul_bound(struct lucid_emul_ctxt *c);
int lucid_emul_push_value(struct lucid_emul_ctxt *c, u64 val, unsigned int size);
int lucid_emul_pop_value(struct lucid_emul_ctxt *c, u64 *sp, u64 *val, unsigned int size);
u64 lucid_emul_sp(const struct lucid_emul_ctxt *c);
void lucid_emul_set_sp(struct lucid_emul_ctxt *c, u64 sp);

/* emulate_sys.c */
int lucid_emul_mov_from_seg(struct lucid_emul_ctxt *c);
int lucid_emul_mov_to_seg(struct lucid_emul_ctxt *c);
int lucid_emul_push_seg(struct lucid_emul_ctxt *c);
int lucid_emul_pop_seg(struct lucid_emul_ctxt *c);
int lucid_emul_load_far_ptr(struct lucid_emul_ctxt *c);
int lucid_emul_arpl_movsxd(struct lucid_emul_ctxt *c);
int lucid_emul_group6(struct lucid_emul_ctxt *c);
int lucid_emul_group7(struct lucid_emul_ctxt *c);
int lucid_emul_clts(struct lucid_emul_ctxt *c);
int lucid_emul_mov_cr(struct lucid_emul_ctxt *c);
int lucid_emul_mov_dr(struct lucid_emul_ctxt *c);
int lucid_emul_msr(struct lucid_emul_ctxt *c);
int lucid_emul_cpuid(struct lucid_emul_ctxt *c);
int lucid_emul_rdtsc(struct lucid_emul_ctxt *c);
int lucid_emul_hlt(struct lucid_emul_ctxt *c);
int lucid_emul_nop(struct lucid_emul_ctxt *c);
int lucid_emul_nop_or_xchg(struct lucid_emul_ctxt *c);
int lucid_emul_ud(struct lucid_emul_ctxt *c);
int lucid_emul_group15(struct lucid_emul_ctxt *c);
void lucid_emul_real_segment(struct lucid_emul_ctxt *c, unsigned int seg, u16 selector);

/* emulate_sse.c */
int lucid_emul_sse_move(struct lucid_emul_ctxt *c);
int lucid_emul_movnti(struct lucid_emul_ctxt *c);

#endif
