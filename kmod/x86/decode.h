/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instruction decoder: from bytes to fields and a length.
 *
 * Pure logic: no kernel calls, no allocation, no state; it compiles unchanged
 * in userspace (selftests/host). It knows the shape of every instruction of
 * both vendors (legacy, 3DNow!, VEX, XOP, EVEX), and nothing of what they do.
 *
 * Two users: the SVM backend, where the CPU does not give the length of an
 * intercepted instruction (no NRIPS), and the emulator (emulate.h).
 *
 * An encoding that is undefined on every CPU is refused; one that is defined
 * on some CPUs only is accepted. What is not checked: the fields of VEX, XOP
 * and EVEX instructions that do not change the length (W, L, vvvv, masks).
 */
#ifndef LUCID_X86_DECODE_H
#define LUCID_X86_DECODE_H

#include <linux/types.h>

#define LUCID_INSN_MAX_LEN	15

/* The size of code, from CS: its D bit, or L in long mode. */
enum lucid_insn_mode {
	LUCID_INSN_16,		/* also real mode and virtual-8086 mode */
	LUCID_INSN_32,
	LUCID_INSN_64,
};

/* Flags of lucid_insn_decode(). */
#define LUCID_INSN_AMD		(1u << 0)	/* near branches obey 66 in 64-bit mode; LOCK MOV CR0 is CR8 */

/* Errors of lucid_insn_decode(); all negative. */
#define LUCID_INSN_MORE		1	/* -MORE: a valid start, @avail is too little to tell the rest */
#define LUCID_INSN_INVALID	2	/* -INVALID: undefined, the CPU raises #UD */
#define LUCID_INSN_TOO_LONG	3	/* -TOO_LONG: above 15 bytes, the CPU raises #GP(0) */

/* Where the opcode byte was found. VEX, XOP and EVEX maps 1..6, 8..10 keep their own number. */
enum lucid_insn_map {
	LUCID_MAP_ONE	= 0,	/* one-byte opcodes */
	LUCID_MAP_0F	= 1,	/* 0F xx, also VEX/EVEX map 1 */
	LUCID_MAP_0F38	= 2,	/* 0F 38 xx, also VEX/EVEX map 2 */
	LUCID_MAP_0F3A	= 3,	/* 0F 3A xx, also VEX/EVEX map 3 */
	LUCID_MAP_5	= 5,	/* EVEX only (AVX512-FP16) */
	LUCID_MAP_6	= 6,	/* EVEX only (AVX512-FP16) */
	LUCID_MAP_XOP8	= 8,
	LUCID_MAP_XOP9	= 9,
	LUCID_MAP_XOPA	= 10,
	LUCID_MAP_3DNOW	= 15,	/* 0F 0F modrm .. xx: the opcode is the last byte */
};

enum lucid_insn_encoding {
	LUCID_ENC_LEGACY,
	LUCID_ENC_VEX,
	LUCID_ENC_XOP,
	LUCID_ENC_EVEX,
};

/* lucid_insn.prefixes: legacy prefixes that were seen. */
#define LUCID_PFX_OPSIZE	(1u << 0)	/* 66 */
#define LUCID_PFX_ADDRSIZE	(1u << 1)	/* 67 */
#define LUCID_PFX_LOCK		(1u << 2)	/* F0 */
#define LUCID_PFX_REPNE		(1u << 3)	/* F2; of F2 and F3 only the last one counts */
#define LUCID_PFX_REP		(1u << 4)	/* F3 */
#define LUCID_PFX_SEG		(1u << 5)	/* a segment override that takes effect */
#define LUCID_PFX_REX		(1u << 6)	/* a REX byte right before the opcode */

/* Segment registers in the order in which instructions encode them. */
enum lucid_seg {
	LUCID_SEG_ES, LUCID_SEG_CS, LUCID_SEG_SS,
	LUCID_SEG_DS, LUCID_SEG_FS, LUCID_SEG_GS,
	LUCID_SEG_NR,
	LUCID_SEG_NONE = 0xff,
};

#define LUCID_NO_REG		0xff

/**
 * struct lucid_insn - a decoded instruction
 * @bytes:	the instruction itself, @len bytes
 * @len:	its length, 1..15
 * @mode:	enum lucid_insn_mode it was decoded for
 * @flags:	flags given to lucid_insn_decode()
 * @encoding:	enum lucid_insn_encoding
 * @map:	enum lucid_insn_map
 * @opcode:	the opcode byte
 * @opcode_off:	its offset in @bytes
 * @prefixes:	LUCID_PFX_*
 * @seg:	the override (enum lucid_seg), or LUCID_SEG_NONE
 * @pp:		the prefix as VEX writes it: 0 none, 1 66, 2 F3, 3 F2
 * @w:		REX.W, or W of VEX, XOP, EVEX
 * @opsize:	effective operand size in bytes: 2, 4, 8; 1 where the opcode says
 *		byte is not told (look at the opcode)
 * @addrsize:	effective address size in bytes: 2, 4, 8
 * @vl:		L of VEX and XOP, L'L of EVEX: 0 128 bits, 1 256, 2 512
 * @vvvv:	second source register of VEX, XOP, EVEX, as a number 0..31
 * @evex:	the third payload byte of EVEX (z, L'L, b, V', aaa) as it stands
 * @has_modrm:	there is a ModRM byte, @modrm at @modrm_off
 * @mod, @reg, @rm: its fields; @reg and @rm are register numbers with the bits
 *		of REX and its successors added. With a memory operand (@mod < 3)
 *		@rm is not a register.
 * @has_sib:	there is a SIB byte
 * @base:	base register of the memory operand, LUCID_NO_REG where none
 * @index:	index register, LUCID_NO_REG where none
 * @scale:	shift of the index, 0..3
 * @rip_rel:	the displacement is relative to the next instruction
 * @disp:	displacement, sign-extended; with EVEX an 8-bit one is not scaled.
 *		For moffs forms (A0..A3) the address, zero-extended
 * @disp_size, @disp_off: its size (0 where none) and its offset in @bytes
 * @imm:	immediate, zero-extended from @imm_size bytes
 * @imm2:	second immediate: level of ENTER, selector of far pointers,
 *		second byte of EXTRQ and INSERTQ
 * @imm_size, @imm_off, @imm2_size: likewise
 *
 * Registers are numbered as instructions do: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15.
 */
struct lucid_insn {
	u8 bytes[LUCID_INSN_MAX_LEN];
	u8 len;
	u8 mode;
	u8 flags;
	u8 encoding;
	u8 map;
	u8 opcode;
	u8 opcode_off;
	u8 prefixes;
	u8 seg;
	u8 pp;
	u8 rex;			/* the REX byte, 0 where none */
	u8 w;
	u8 opsize;
	u8 addrsize;
	u8 vl;
	u8 vvvv;
	u8 evex;

	bool has_modrm;
	bool has_sib;
	bool rip_rel;
	u8 modrm;
	u8 modrm_off;
	u8 mod;
	u8 reg;
	u8 rm;
	u8 base;
	u8 index;
	u8 scale;

	u8 disp_size;
	u8 disp_off;
	u8 imm_size;
	u8 imm_off;
	u8 imm2_size;
	u16 imm2;
	s64 disp;
	u64 imm;
};

/**
 * lucid_insn_decode() - decode one instruction
 * @insn:	where to put it; undefined after an error
 * @bytes:	the code
 * @avail:	how many bytes of it there are (more than 15 are not looked at)
 * @mode:	size of the code
 * @flags:	0 or LUCID_INSN_AMD
 *
 * Any context. Return: the length 1..15, or -LUCID_INSN_MORE,
 * -LUCID_INSN_INVALID, -LUCID_INSN_TOO_LONG.
 */
int lucid_insn_decode(struct lucid_insn *insn, const u8 *bytes, unsigned int avail,
		      enum lucid_insn_mode mode, unsigned int flags);

/*
 * Instructions that an exit can name. Columns: name, map, opcode, the prefix
 * that selects it (pp, or ANY), mask and value of its ModRM byte (0, 0: there
 * is none, or it does not matter), memory operand (M), register (R) or either (E).
 */
#define LUCID_NAMED_INSNS(X) \
	X(CPUID,	0F,	0xa2, ANY,  0,    0,	E) \
	X(RDMSR,	0F,	0x32, ANY,  0,    0,	E) \
	X(WRMSR,	0F,	0x30, ANY,  0,    0,	E) \
	X(RDPMC,	0F,	0x33, ANY,  0,    0,	E) \
	X(RDTSC,	0F,	0x31, ANY,  0,    0,	E) \
	X(RDTSCP,	0F,	0x01, ANY,  0xff, 0xf9,	R) \
	X(RDPRU,	0F,	0x01, ANY,  0xff, 0xfd,	R) \
	X(HLT,		ONE,	0xf4, ANY,  0,    0,	E) \
	X(PAUSE,	ONE,	0x90, F3,   0,    0,	E) \
	X(VMCALL,	0F,	0x01, ANY,  0xff, 0xc1,	R) \
	X(VMMCALL,	0F,	0x01, ANY,  0xff, 0xd9,	R) \
	X(VMRUN,	0F,	0x01, ANY,  0xff, 0xd8,	R) \
	X(VMLOAD,	0F,	0x01, ANY,  0xff, 0xda,	R) \
	X(VMSAVE,	0F,	0x01, ANY,  0xff, 0xdb,	R) \
	X(STGI,		0F,	0x01, ANY,  0xff, 0xdc,	R) \
	X(CLGI,		0F,	0x01, ANY,  0xff, 0xdd,	R) \
	X(SKINIT,	0F,	0x01, ANY,  0xff, 0xde,	R) \
	X(INVLPGA,	0F,	0x01, ANY,  0xff, 0xdf,	R) \
	X(INVLPG,	0F,	0x01, ANY,  0x38, 0x38,	M) \
	X(INVPCID,	0F38,	0x82, 66,   0,    0,	M) \
	X(INVD,		0F,	0x08, ANY,  0,    0,	E) \
	X(WBINVD,	0F,	0x09, ANY,  0,    0,	E) /* and WBNOINVD, which is F3 */ \
	X(XGETBV,	0F,	0x01, ANY,  0xff, 0xd0,	R) \
	X(XSETBV,	0F,	0x01, ANY,  0xff, 0xd1,	R) \
	X(MONITOR,	0F,	0x01, ANY,  0xff, 0xc8,	R) \
	X(MWAIT,	0F,	0x01, ANY,  0xff, 0xc9,	R) \
	X(MONITORX,	0F,	0x01, ANY,  0xff, 0xfa,	R) \
	X(MWAITX,	0F,	0x01, ANY,  0xff, 0xfb,	R) \
	X(CLTS,		0F,	0x06, ANY,  0,    0,	E) \
	X(LMSW,		0F,	0x01, ANY,  0x38, 0x30,	E) \
	X(SMSW,		0F,	0x01, ANY,  0x38, 0x20,	E) \
	X(SGDT,		0F,	0x01, ANY,  0x38, 0x00,	M) \
	X(SIDT,		0F,	0x01, ANY,  0x38, 0x08,	M) \
	X(LGDT,		0F,	0x01, ANY,  0x38, 0x10,	M) \
	X(LIDT,		0F,	0x01, ANY,  0x38, 0x18,	M) \
	X(SLDT,		0F,	0x00, ANY,  0x38, 0x00,	E) \
	X(STR,		0F,	0x00, ANY,  0x38, 0x08,	E) \
	X(LLDT,		0F,	0x00, ANY,  0x38, 0x10,	E) \
	X(LTR,		0F,	0x00, ANY,  0x38, 0x18,	E) \
	X(MOV_FROM_CR,	0F,	0x20, ANY,  0,    0,	E) /* see lucid_insn_cr() */ \
	X(MOV_FROM_DR,	0F,	0x21, ANY,  0,    0,	E) /* @reg is the DR, @rm the GPR */ \
	X(MOV_TO_CR,	0F,	0x22, ANY,  0,    0,	E) \
	X(MOV_TO_DR,	0F,	0x23, ANY,  0,    0,	E) \
	X(IRET,		ONE,	0xcf, ANY,  0,    0,	E) \
	X(RSM,		0F,	0xaa, ANY,  0,    0,	E) \
	X(ICEBP,	ONE,	0xf1, ANY,  0,    0,	E) \
	X(INT3,		ONE,	0xcc, ANY,  0,    0,	E) \
	X(INTN,		ONE,	0xcd, ANY,  0,    0,	E) /* @imm is the vector */ \
	X(INTO,		ONE,	0xce, ANY,  0,    0,	E) \
	X(PUSHF,	ONE,	0x9c, ANY,  0,    0,	E) \
	X(POPF,		ONE,	0x9d, ANY,  0,    0,	E) \
	X(INS8,		ONE,	0x6c, ANY,  0,    0,	E) \
	X(INS,		ONE,	0x6d, ANY,  0,    0,	E) \
	X(OUTS8,	ONE,	0x6e, ANY,  0,    0,	E) \
	X(OUTS,		ONE,	0x6f, ANY,  0,    0,	E)

#define LUCID_NAMED_INSN_ID(name, ...) LUCID_I_##name,
enum lucid_insn_id {
	LUCID_NAMED_INSNS(LUCID_NAMED_INSN_ID)
	LUCID_I_NR,
};

/**
 * lucid_insn_is() - is it this instruction?
 * @insn:	a decoded instruction
 * @id:		the instruction that the exit says it is
 */
bool lucid_insn_is(const struct lucid_insn *insn, enum lucid_insn_id id);

/**
 * lucid_insn_cr() - the control register of a MOV to or from one
 * @insn:	an instruction for which lucid_insn_is() says MOV_TO_CR or MOV_FROM_CR
 *
 * AMD's LOCK MOV CR0 counts as CR8. The general register is
 * @insn->rm: the CPU takes ModRM.mod as 3 whatever it is.
 */
unsigned int lucid_insn_cr(const struct lucid_insn *insn);

#endif /* LUCID_X86_DECODE_H */
