/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The opcode maps, for decode.c alone.
 *
 * A cell says which forms of an opcode exist, and what follows it. The prefix
 * of an instruction picks one of four columns: none (NP), 66, F3 or F2 (F2 and
 * F3 beat 66); most old instructions do not care and have all four. A cell has
 * one bit per column for the form with a memory operand and one for that with
 * a register. So the cell of 0F 12, where MOVLPS and MOVHLPS, MOVSLDUP and
 * MOVDDUP take both, but MOVLPD (66) memory only, is  E(NP|P3|P2) | M(P66).
 * A cell without any such bit is an undefined opcode; missing cells are 0.
 *
 * (SDM vol. 2, "Opcode Map"; APM vol. 3, "Opcode and Operand Encodings".)
 */
#ifndef LUCID_X86_DECODE_TABLES_H
#define LUCID_X86_DECODE_TABLES_H

/* Prefix columns, as bits 1 << pp. */
#define NP	0x1
#define P66	0x2
#define P3	0x4
#define P2	0x8
#define ANY	0xf

/* Bits 0..7: forms that exist. */
#define FORM_MEM(p)	(p)
#define FORM_REG(p)	((p) << 4)

/* Bits 8..11: the immediate. */
#define IMM_SHIFT	8
#define IMM_MASK	(0xfu << IMM_SHIFT)
#define IMM(n)		((u32)(n) << IMM_SHIFT)
#define IB		IMM(1)	/* one byte */
#define IW		IMM(2)	/* two bytes */
#define ID		IMM(3)	/* four bytes */
#define IZ		IMM(4)	/* two or four: the operand size, but never eight */
#define IV		IMM(5)	/* two, four or eight: the operand size */
#define IWB		IMM(6)	/* ENTER: two, then one */
#define IAP		IMM(7)	/* far pointer: offset by operand size, then two of selector */
#define IMOFFS		IMM(8)	/* an address, by address size */
#define IBB		IMM(9)	/* one, then one (SSE4a) */

/* Bits 12..18: properties. */
#define MODRM	(1u << 12)
#define NO64	(1u << 13)	/* undefined in 64-bit mode */
#define D64	(1u << 14)	/* 64-bit mode: operand size is 8, or 2 with 66 */
#define F64	(1u << 15)	/* 64-bit mode: 8 even with 66 (Intel); AMD: like D64 */
#define SYS	(1u << 16)	/* 8 in 64-bit mode, else 4, whatever the prefixes */
#define LK	(1u << 17)	/* LOCK is allowed on the memory form */
#define W32	(1u << 18)	/* REX.W means four bytes: a port has no more */

/* Bits 20..23: register forms that only 64-bit mode has. */
#define ONLY64_SHIFT	20
#define ONLY64(p)	((u32)(p) << ONLY64_SHIFT)

/* Bits 24..31: ModRM.reg selects a cell of this group, which adds to this one. */
#define GROUP_SHIFT	24
#define GRP(g)	(MODRM | (u32)(g) << GROUP_SHIFT)

/* Cells: an opcode alone; with ModRM of either form; memory only; register only. */
#define OP	FORM_MEM(ANY)
#define OPP(p)	FORM_MEM(p)
#define E(p)	(MODRM | FORM_MEM(p) | FORM_REG(p))
#define M(p)	(MODRM | FORM_MEM(p))
#define R(p)	(MODRM | FORM_REG(p))
#define EA	E(ANY)

enum {
	G_NONE,
	G1, G1A, G3_B, G3, G4, G5, G6, G7, G8, G9, G11_B, G11, G12, G14, G15,
	G_SREG_ST, G_SREG_LD, G_CR, G_DR, G_FPU, G_EXTRQ, G_KL,
	G_LOCK6, G_LOCK7, G_HRESET, G_NR
};

/* One-byte opcodes. An ALU operation has six of its own, then two old ones. */
#define ALU(o, lock) \
	[(o) + 0] = EA | (lock), [(o) + 1] = EA | (lock), \
	[(o) + 2 ... (o) + 3] = EA, [(o) + 4] = OP | IB, [(o) + 5] = OP | IZ

static const u32 map_one[256] = {
	ALU(0x00, LK), [0x06 ... 0x07] = OP | NO64,		/* ADD; PUSH/POP ES */
	ALU(0x08, LK), [0x0e] = OP | NO64,			/* OR; PUSH CS */
	ALU(0x10, LK), [0x16 ... 0x17] = OP | NO64,		/* ADC; PUSH/POP SS */
	ALU(0x18, LK), [0x1e ... 0x1f] = OP | NO64,		/* SBB; PUSH/POP DS */
	ALU(0x20, LK), [0x27] = OP | NO64,			/* AND; DAA */
	ALU(0x28, LK), [0x2f] = OP | NO64,			/* SUB; DAS */
	ALU(0x30, LK), [0x37] = OP | NO64,			/* XOR; AAA */
	ALU(0x38, 0),  [0x3f] = OP | NO64,			/* CMP; AAS */
	[0x40 ... 0x4f] = OP | NO64,				/* INC, DEC (64: REX) */
	[0x50 ... 0x5f] = OP | D64,				/* PUSH, POP */
	[0x60 ... 0x61] = OP | NO64,				/* PUSHA, POPA */
	[0x62] = M(ANY) | NO64,					/* BOUND (or EVEX) */
	[0x63] = EA,						/* ARPL, MOVSXD */
	[0x68] = OP | IZ | D64, [0x6a] = OP | IB | D64,		/* PUSH imm */
	[0x69] = EA | IZ, [0x6b] = EA | IB,			/* IMUL */
	[0x6c ... 0x6f] = OP | W32,				/* INS, OUTS */
	[0x70 ... 0x7f] = OP | IB | F64,			/* Jcc */
	[0x80] = GRP(G1) | IB, [0x81] = GRP(G1) | IZ,
	[0x82] = GRP(G1) | IB | NO64, [0x83] = GRP(G1) | IB,
	[0x84 ... 0x85] = EA,					/* TEST */
	[0x86 ... 0x87] = EA | LK,				/* XCHG */
	[0x88 ... 0x8b] = EA,					/* MOV */
	[0x8c] = GRP(G_SREG_ST), [0x8e] = GRP(G_SREG_LD),
	[0x8d] = M(ANY),					/* LEA */
	[0x8f] = GRP(G1A) | D64,				/* POP (or XOP) */
	[0x90 ... 0x99] = OP,					/* XCHG, CBW, CWD */
	[0x9a] = OP | IAP | NO64,				/* CALL far */
	[0x9b] = OP,						/* FWAIT */
	[0x9c ... 0x9d] = OP | D64,				/* PUSHF, POPF */
	[0x9e ... 0x9f] = OP,					/* SAHF, LAHF */
	[0xa0 ... 0xa3] = OP | IMOFFS,				/* MOV */
	[0xa4 ... 0xa7] = OP,					/* MOVS, CMPS */
	[0xa8] = OP | IB, [0xa9] = OP | IZ,			/* TEST */
	[0xaa ... 0xaf] = OP,					/* STOS, LODS, SCAS */
	[0xb0 ... 0xb7] = OP | IB, [0xb8 ... 0xbf] = OP | IV,	/* MOV */
	[0xc0 ... 0xc1] = EA | IB,				/* shifts */
	[0xc2] = OP | IW | F64, [0xc3] = OP | F64,		/* RET */
	[0xc4 ... 0xc5] = M(ANY) | NO64,			/* LES, LDS (or VEX) */
	[0xc6] = GRP(G11_B) | IB, [0xc7] = GRP(G11) | IZ,
	[0xc8] = OP | IWB | D64, [0xc9] = OP | D64,		/* ENTER, LEAVE */
	[0xca] = OP | IW, [0xcb] = OP,				/* RET far */
	[0xcc] = OP, [0xcd] = OP | IB, [0xce] = OP | NO64,	/* INT3, INT, INTO */
	[0xcf] = OP,						/* IRET */
	[0xd0 ... 0xd3] = EA,					/* shifts */
	[0xd4 ... 0xd5] = OP | IB | NO64,			/* AAM, AAD */
	[0xd6] = OP | NO64,					/* SALC */
	[0xd7] = OP,						/* XLAT */
	[0xd8 ... 0xdf] = GRP(G_FPU),
	[0xe0 ... 0xe3] = OP | IB | F64,			/* LOOP, JCXZ */
	[0xe4 ... 0xe7] = OP | IB | W32,				/* IN, OUT imm */
	[0xe8 ... 0xe9] = OP | IZ | F64,			/* CALL, JMP */
	[0xea] = OP | IAP | NO64,				/* JMP far */
	[0xeb] = OP | IB | F64,					/* JMP short */
	[0xec ... 0xef] = OP | W32,				/* IN, OUT DX */
	[0xf1] = OP,						/* ICEBP */
	[0xf4 ... 0xf5] = OP,					/* HLT, CMC */
	[0xf6] = GRP(G3_B), [0xf7] = GRP(G3),
	[0xf8 ... 0xfd] = OP,					/* CLC .. STD */
	[0xfe] = GRP(G4), [0xff] = GRP(G5),
};

static const u32 map_0f[256] = {
	[0x00] = GRP(G6), [0x01] = GRP(G7),
	[0x02 ... 0x03] = EA,					/* LAR, LSL */
	[0x05 ... 0x09] = OP,					/* SYSCALL, CLTS, SYSRET, INVD, WBINVD */
	[0x0b] = OP,						/* UD2 */
	[0x0d] = EA,						/* PREFETCHW and NOPs */
	[0x0e] = OP,						/* FEMMS */
	[0x0f] = EA | IB,					/* 3DNow!: the byte is the opcode */
	[0x10 ... 0x11] = E(ANY),				/* MOVUPS .. */
	[0x12] = E(NP | P3 | P2) | M(P66),			/* MOVLPS .. */
	[0x13] = M(NP | P66),
	[0x14 ... 0x15] = E(NP | P66),				/* UNPCK */
	[0x16] = E(NP | P3) | M(P66),				/* MOVHPS .. */
	[0x17] = M(NP | P66),
	[0x18 ... 0x1f] = EA,					/* hints: PREFETCH, MPX, CET, NOP */
	[0x20] = GRP(G_CR) | SYS, [0x22] = GRP(G_CR) | SYS,	/* MOV CR */
	[0x21] = GRP(G_DR) | SYS, [0x23] = GRP(G_DR) | SYS,	/* MOV DR */
	[0x28 ... 0x29] = E(NP | P66),				/* MOVAPS */
	[0x2a] = E(ANY), [0x2b] = M(ANY),			/* CVTPI2PS, MOVNTPS .. */
	[0x2c ... 0x2d] = E(ANY),				/* CVTTPS2PI .. */
	[0x2e ... 0x2f] = E(NP | P66),				/* UCOMISS, COMISS */
	[0x30 ... 0x35] = OP,					/* WRMSR .. SYSEXIT */
	[0x37] = OPP(NP),					/* GETSEC */
	[0x40 ... 0x4f] = EA,					/* CMOVcc */
	[0x50] = R(NP | P66),					/* MOVMSKPS */
	[0x51] = E(ANY),
	[0x52 ... 0x53] = E(NP | P3),				/* RSQRT, RCP */
	[0x54 ... 0x57] = E(NP | P66),
	[0x58 ... 0x5a] = E(ANY),
	[0x5b] = E(NP | P66 | P3),
	[0x5c ... 0x5f] = E(ANY),
	[0x60 ... 0x6b] = E(NP | P66),				/* MMX and SSE2 integer */
	[0x6c ... 0x6d] = E(P66),
	[0x6e] = E(NP | P66), [0x6f] = E(NP | P66 | P3),
	[0x70] = E(ANY) | IB,					/* PSHUF */
	[0x71 ... 0x72] = GRP(G12) | IB, [0x73] = GRP(G14) | IB,
	[0x74 ... 0x76] = E(NP | P66),
	[0x77] = OPP(NP),					/* EMMS */
	[0x78] = GRP(G_EXTRQ),					/* VMREAD, or SSE4a */
	[0x79] = E(NP) | R(P66 | P2) | SYS,			/* VMWRITE, or SSE4a */
	[0x7c ... 0x7d] = E(P66 | P2),				/* HADD */
	[0x7e ... 0x7f] = E(NP | P66 | P3),
	[0x80 ... 0x8f] = OP | IZ | F64,			/* Jcc */
	[0x90 ... 0x9f] = EA,					/* SETcc */
	[0xa0 ... 0xa1] = OP | D64,				/* PUSH/POP FS */
	[0xa2] = OP,						/* CPUID */
	[0xa3] = EA,						/* BT */
	[0xa4] = EA | IB, [0xa5] = EA,				/* SHLD */
	[0xa8 ... 0xa9] = OP | D64,				/* PUSH/POP GS */
	[0xaa] = OP,						/* RSM */
	[0xab] = EA | LK,					/* BTS */
	[0xa6] = GRP(G_LOCK6), [0xa7] = GRP(G_LOCK7),		/* VIA PadLock */
	[0xac] = EA | IB, [0xad] = EA,				/* SHRD */
	[0xae] = GRP(G15),
	[0xaf] = EA,						/* IMUL */
	[0xb0 ... 0xb1] = EA | LK,				/* CMPXCHG */
	[0xb2] = M(ANY),					/* LSS */
	[0xb3] = EA | LK,					/* BTR */
	[0xb4 ... 0xb5] = M(ANY),				/* LFS, LGS */
	[0xb6 ... 0xb7] = EA,					/* MOVZX */
	[0xb8] = E(P3),						/* POPCNT */
	[0xb9] = EA,						/* UD1 */
	[0xba] = GRP(G8) | IB,
	[0xbb] = EA | LK,					/* BTC */
	[0xbc ... 0xbf] = EA,					/* BSF, BSR, MOVSX */
	[0xc0 ... 0xc1] = EA | LK,				/* XADD */
	[0xc2] = E(ANY) | IB,					/* CMPPS */
	[0xc3] = M(NP),						/* MOVNTI */
	[0xc4] = E(NP | P66) | IB,				/* PINSRW */
	[0xc5] = R(NP | P66) | IB,				/* PEXTRW */
	[0xc6] = E(NP | P66) | IB,				/* SHUFPS */
	[0xc7] = GRP(G9),
	[0xc8 ... 0xcf] = OP,					/* BSWAP */
	[0xd0] = E(P66 | P2),					/* ADDSUB */
	[0xd1 ... 0xd5] = E(NP | P66),
	[0xd6] = E(P66) | R(P3 | P2),				/* MOVQ .. */
	[0xd7] = R(NP | P66),					/* PMOVMSKB */
	[0xd8 ... 0xe5] = E(NP | P66),
	[0xe6] = E(P66 | P3 | P2),
	[0xe7] = M(NP | P66),					/* MOVNTQ */
	[0xe8 ... 0xef] = E(NP | P66),
	[0xf0] = M(P2),						/* LDDQU */
	[0xf1 ... 0xf6] = E(NP | P66),
	[0xf7] = R(NP | P66),					/* MASKMOVQ */
	[0xf8 ... 0xfe] = E(NP | P66),
	[0xff] = EA,						/* UD0 */
};

static const u32 map_0f38[256] = {
	[0x00 ... 0x0b] = E(NP | P66),
	[0x10] = E(P66), [0x14 ... 0x15] = E(P66), [0x17] = E(P66),
	[0x1c ... 0x1e] = E(NP | P66),
	[0x20 ... 0x25] = E(P66),
	[0x28 ... 0x29] = E(P66), [0x2a] = M(P66), [0x2b] = E(P66),
	[0x30 ... 0x35] = E(P66), [0x37 ... 0x41] = E(P66),
	[0x80 ... 0x82] = M(P66) | SYS,				/* INVEPT, INVVPID, INVPCID */
	[0xc8 ... 0xcd] = E(NP), [0xcf] = E(P66),		/* SHA, GFNI */
	[0xd8] = GRP(G_KL),					/* Key Locker */
	[0xdb] = E(P66), [0xdc] = E(P66 | P3), [0xdd ... 0xdf] = E(P66) | M(P3),
	[0xf0 ... 0xf1] = M(NP | P66) | E(P2),			/* MOVBE, CRC32 */
	[0xf5] = M(P66), [0xf6] = M(NP) | E(P66 | P3),		/* WRUSS, WRSS, ADCX, ADOX */
	[0xf8] = M(P66 | P3 | P2), [0xf9] = M(NP),		/* MOVDIR64B, ENQCMD, MOVDIRI */
	[0xfa ... 0xfb] = R(P3),				/* ENCODEKEY */
};

/* All have an immediate byte; decode.c adds it. */
static const u32 map_0f3a[256] = {
	[0x08 ... 0x0e] = E(P66), [0x0f] = E(NP | P66),
	[0x14 ... 0x17] = E(P66), [0x20 ... 0x22] = E(P66),
	[0x40 ... 0x42] = E(P66), [0x44] = E(P66),
	[0x60 ... 0x63] = E(P66),
	[0xcc] = E(NP), [0xce ... 0xcf] = E(P66), [0xdf] = E(P66),
	[0xf0] = GRP(G_HRESET),
};

static const u32 groups[G_NR][8] = {
	[G1] = { [0 ... 6] = EA | LK, [7] = EA },
	[G1A] = { [0] = EA },
	[G3_B] = { [0 ... 1] = EA | IB, [2 ... 3] = EA | LK, [4 ... 7] = EA },
	[G3] = { [0 ... 1] = EA | IZ, [2 ... 3] = EA | LK, [4 ... 7] = EA },
	[G4] = { [0 ... 1] = EA | LK },
	[G5] = { [0 ... 1] = EA | LK, [2] = EA | F64, [3] = M(ANY),
		 [4] = EA | F64, [5] = M(ANY), [6] = EA | D64 },
	[G6] = { [0 ... 5] = EA },
	/* Register forms of group 7 are in grp7_reg. */
	[G7] = { [0 ... 3] = M(ANY) | SYS, [4] = EA, [5] = M(P3), [6] = EA, [7] = M(ANY) },
	[G8] = { [4] = EA, [5 ... 7] = EA | LK },
	[G9] = { [1] = M(ANY) | LK, [3 ... 5] = M(NP), [6] = M(NP | P66 | P3) | R(NP | P66 | P3) | ONLY64(P3),
		 [7] = M(NP) | R(NP | P66 | P3) },
	[G11_B] = { [0] = EA }, [G11] = { [0] = EA },		/* and XABORT, XBEGIN: F8 */
	[G12] = { [2] = R(NP | P66), [4] = R(NP | P66), [6] = R(NP | P66) },
	[G14] = { [2] = R(NP | P66), [3] = R(P66), [6] = R(NP | P66), [7] = R(P66) },
	[G15] = { [0 ... 3] = M(NP) | R(P3) | ONLY64(P3), [4] = M(NP | P3) | R(P3),
		  [5] = M(NP) | R(NP | P3), [6] = M(NP | P66 | P3) | R(ANY),
		  [7] = M(NP | P66) | R(NP) },
	[G_SREG_ST] = { [0 ... 5] = EA },
	[G_SREG_LD] = { [0] = EA, [2 ... 5] = EA },		/* CS cannot be loaded */
	[G_CR] = { [0] = EA, [2 ... 4] = EA },			/* and CR8, with REX.R */
	[G_DR] = { [0 ... 7] = EA },
	[G_FPU] = { [0 ... 7] = EA },				/* see fpu_mem, fpu_reg */
	[G_EXTRQ] = { [0] = E(NP) | R(P66 | P2) | SYS, [1 ... 7] = E(NP) | R(P2) | SYS },
	/* Only with ModRM.rm 0. */
	[G_LOCK6] = { [0 ... 2] = R(P3) }, [G_LOCK7] = { [0] = R(NP | P66 | P3), [1 ... 5] = R(P3) },
	[G_HRESET] = { [0] = R(P3) },
	[G_KL] = { [0 ... 3] = M(P3) },
};

/* 0F 01 with a register form: one cell per ModRM byte C0..FF. */
static const u32 grp7_reg[64] = {
	[0x00 ... 0x05] = OPP(NP),		/* ENCLV VMCALL VMLAUNCH VMRESUME VMXOFF PCONFIG */
	[0x08 ... 0x0b] = OPP(NP),		/* MONITOR MWAIT CLAC STAC */
	[0x0c] = OPP(P66),			/* TDCALL */
	[0x0d ... 0x0e] = OPP(P66) | ONLY64(P66), /* SEAMRET SEAMOPS */
	[0x0f] = OPP(NP | P66) | ONLY64(P66),	/* ENCLS SEAMCALL */
	[0x10 ... 0x11] = OPP(NP),		/* XGETBV XSETBV */
	[0x14 ... 0x17] = OPP(NP),		/* VMFUNC XEND XTEST ENCLU */
	[0x18 ... 0x1f] = OP,			/* SVM; F2 and F3 VMMCALL: VMGEXIT */
	[0x20 ... 0x27] = OP,			/* SMSW */
	[0x28] = OPP(NP | P3 | P2),		/* SERIALIZE SETSSBSY XSUSLDTRK */
	[0x29] = OPP(P2),			/* XRESLDTRK */
	[0x2a] = OPP(P3),			/* SAVEPREVSSP */
	[0x2c ... 0x2d] = OPP(P3) | ONLY64(P3),	/* UIRET TESTUI */
	[0x2e ... 0x2f] = OPP(NP | P3) | ONLY64(P3), /* RDPKRU WRPKRU, CLUI STUI */
	[0x30 ... 0x37] = OP,			/* LMSW */
	[0x38] = OP | ONLY64(ANY),		/* SWAPGS */
	[0x39] = OP,				/* RDTSCP */
	[0x3a] = OPP(NP | P3),			/* MONITORX, MCOMMIT */
	[0x3b] = OPP(NP),			/* MWAITX */
	[0x3c ... 0x3d] = OP,			/* CLZERO RDPRU */
	[0x3e] = OPP(NP | P3 | P2) | ONLY64(P3 | P2), /* INVLPGB RMPADJUST RMPUPDATE */
	[0x3f] = OPP(NP | P3 | P2) | ONLY64(P3), /* TLBSYNC PSMASH PVALIDATE */
};

/* D8..DF: which of /0../7 exist in memory, and which of C0..FF as registers. */
static const u8 fpu_mem[8] = { 0xff, 0xfd, 0xff, 0xaf, 0xff, 0xdf, 0xff, 0xff };
static const u64 fpu_reg[8] = {
	[0] = ~0ull,
	[1] = 0xffff7f33ff01ffffull,	/* not D1..D7 E2 E3 E6 E7 EF */
	[2] = 0x00000200ffffffffull,	/* above DF only E9 (FUCOMPP) */
	[3] = 0x00ffff1fffffffffull,	/* not E5..E7 F8..FF */
	[4] = ~0ull,
	[5] = 0x0000ffffffffffffull,	/* not F0..FF */
	[6] = 0xffffffff02ffffffull,	/* of D8..DF only D9 (FCOMPP) */
	[7] = 0x00ffff01ffffffffull,	/* not E1..E7 F8..FF */
};

/* Opcodes of 3DNow!, by value. */
static const u8 amd_3dnow[] = {
	0x0c, 0x0d, 0x1c, 0x1d, 0x8a, 0x8e, 0x90, 0x94, 0x96, 0x97,
	0x9a, 0x9e, 0xa0, 0xa4, 0xa6, 0xa7, 0xaa, 0xae, 0xb0, 0xb4, 0xb6, 0xb7,
	0xbb, 0xbf,
};

/*
 * VEX, XOP and EVEX: a cell has the prefix columns that exist (bits 0..3), all
 * have ModRM unless V_ALONE; map 3 and XOP map 8 always have a byte of immediate.
 */
#define V_IB	0x10
#define V_ID	0x20
#define V_ALONE	0x40
#define V_64	0x80	/* in 64-bit mode only */

static const u8 vex_map1[256] = {
	[0x10 ... 0x12] = ANY, [0x13 ... 0x15] = NP | P66, [0x16] = NP | P66 | P3,
	[0x17] = NP | P66, [0x28 ... 0x29] = NP | P66, [0x2a] = P3 | P2,
	[0x2b] = NP | P66, [0x2c ... 0x2d] = P3 | P2, [0x2e ... 0x2f] = NP | P66,
	[0x41 ... 0x42] = NP | P66, [0x44 ... 0x47] = NP | P66,	/* mask registers */
	[0x4a ... 0x4b] = NP | P66,
	[0x50] = NP | P66, [0x51] = ANY, [0x52 ... 0x53] = NP | P3,
	[0x54 ... 0x57] = NP | P66, [0x58 ... 0x5a] = ANY, [0x5b] = NP | P66 | P3,
	[0x5c ... 0x5f] = ANY, [0x60 ... 0x6e] = P66, [0x6f] = P66 | P3,
	[0x70] = P66 | P3 | P2 | V_IB, [0x71 ... 0x73] = P66 | V_IB,
	[0x74 ... 0x76] = P66, [0x77] = NP | V_ALONE,		/* VZEROUPPER */
	[0x7c ... 0x7d] = P66 | P2, [0x7e ... 0x7f] = P66 | P3,
	[0x90 ... 0x91] = NP | P66, [0x92 ... 0x93] = NP | P66 | P2,
	[0x98 ... 0x99] = NP | P66, [0xae] = NP,
	[0xc2] = ANY | V_IB, [0xc4 ... 0xc5] = P66 | V_IB, [0xc6] = NP | P66 | V_IB,
	[0xd0] = P66 | P2, [0xd1 ... 0xe5] = P66, [0xe6] = P66 | P3 | P2,
	[0xe7 ... 0xef] = P66, [0xf0] = P2, [0xf1 ... 0xfe] = P66,
};

static const u8 vex_map2[256] = {
	[0x00 ... 0x0f] = P66, [0x13] = P66, [0x16 ... 0x1a] = P66, [0x1c ... 0x1e] = P66,
	[0x20 ... 0x25] = P66, [0x28 ... 0x41] = P66, [0x45 ... 0x47] = P66,
	[0x49] = NP | P66 | P2 | V_64, [0x4b] = P66 | P3 | P2 | V_64, /* AMX */
	[0x50 ... 0x53] = P66, [0x58 ... 0x5a] = P66,
	[0x5c] = P3 | V_64, [0x5e] = ANY | V_64,		/* AMX */
	[0x78 ... 0x79] = P66, [0x8c] = P66, [0x8e] = P66, [0x90 ... 0x93] = P66,
	[0x96 ... 0x9f] = P66, [0xa6 ... 0xaf] = P66, [0xb6 ... 0xbf] = P66,
	[0xcf] = P66, [0xdb ... 0xdf] = P66,
	[0xf2 ... 0xf3] = NP, [0xf5] = NP | P3 | P2, [0xf6] = P2, [0xf7] = ANY,
};

static const u8 vex_map3[256] = {
	[0x00 ... 0x02] = P66, [0x04 ... 0x06] = P66, [0x08 ... 0x0f] = P66,
	[0x14 ... 0x19] = P66, [0x1d] = P66, [0x20 ... 0x22] = P66,
	[0x30 ... 0x33] = P66, [0x38 ... 0x39] = P66, [0x40 ... 0x42] = P66,
	[0x44] = P66, [0x46] = P66, [0x48 ... 0x4c] = P66,
	[0x5c ... 0x63] = P66, [0x68 ... 0x6f] = P66, [0x78 ... 0x7f] = P66,
	[0xce ... 0xcf] = P66, [0xdf] = P66, [0xf0] = P2,
};

static const u8 xop_map8[256] = {
	[0x85 ... 0x87] = NP, [0x8e ... 0x8f] = NP, [0x95 ... 0x97] = NP,
	[0x9e ... 0x9f] = NP, [0xa2 ... 0xa3] = NP, [0xa6] = NP, [0xb6] = NP,
	[0xc0 ... 0xc3] = NP, [0xcc ... 0xcf] = NP, [0xec ... 0xef] = NP,
};

static const u8 xop_map9[256] = {
	[0x01 ... 0x02] = NP, [0x12] = NP, [0x80 ... 0x83] = NP, [0x90 ... 0x9b] = NP,
	[0xc1 ... 0xc3] = NP, [0xc6 ... 0xc7] = NP, [0xcb] = NP, [0xd1 ... 0xd3] = NP,
	[0xd6 ... 0xd7] = NP, [0xdb] = NP, [0xe1 ... 0xe3] = NP,
};

static const u8 xop_mapa[256] = {
	[0x10] = NP | V_ID, [0x12] = NP | V_ID,
};

static const u8 evex_map1[256] = {
	[0x10 ... 0x12] = ANY, [0x13 ... 0x15] = NP | P66, [0x16] = NP | P66 | P3,
	[0x17] = NP | P66, [0x28 ... 0x29] = NP | P66, [0x2a] = P3 | P2,
	[0x2b] = NP | P66, [0x2c ... 0x2d] = P3 | P2, [0x2e ... 0x2f] = NP | P66,
	[0x51] = ANY, [0x54 ... 0x57] = NP | P66, [0x58 ... 0x5a] = ANY,
	[0x5b] = NP | P66 | P3, [0x5c ... 0x5f] = ANY,
	[0x60 ... 0x6e] = P66, [0x6f] = P66 | P3 | P2,
	[0x70] = P66 | P3 | P2 | V_IB, [0x71 ... 0x73] = P66 | V_IB,
	[0x74 ... 0x76] = P66, [0x78 ... 0x79] = ANY, [0x7a ... 0x7b] = P66 | P3 | P2,
	[0x7e] = P66 | P3, [0x7f] = P66 | P3 | P2,
	[0xc2] = ANY | V_IB, [0xc4 ... 0xc5] = P66 | V_IB, [0xc6] = NP | P66 | V_IB,
	[0xd1 ... 0xd6] = P66, [0xd8 ... 0xe5] = P66, [0xe6] = P66 | P3 | P2,
	[0xe7 ... 0xef] = P66, [0xf1 ... 0xf6] = P66, [0xf8 ... 0xfe] = P66,
};

static const u8 evex_map2[256] = {
	[0x00] = P66, [0x04] = P66, [0x0b ... 0x0d] = P66,
	[0x10 ... 0x15] = P66 | P3, [0x16] = P66, [0x18 ... 0x1f] = P66,
	[0x20 ... 0x2a] = P66 | P3, [0x2b ... 0x2d] = P66,
	[0x30 ... 0x35] = P66 | P3, [0x36 ... 0x37] = P66, [0x38 ... 0x3a] = P66 | P3,
	[0x3b ... 0x40] = P66, [0x42 ... 0x47] = P66, [0x4c ... 0x51] = P66,
	[0x52] = P66 | P3 | P2, [0x53] = P66 | P2, [0x54 ... 0x55] = P66,
	[0x58 ... 0x5b] = P66, [0x62 ... 0x66] = P66, [0x68] = P2,
	[0x70 ... 0x71] = P66, [0x72] = P66 | P3 | P2, [0x73] = P66,
	[0x75 ... 0x7f] = P66, [0x83] = P66, [0x88 ... 0x8b] = P66, [0x8d] = P66,
	[0x8f ... 0x93] = P66, [0x96 ... 0x99] = P66, [0x9a ... 0x9b] = P66 | P2,
	[0x9c ... 0x9f] = P66, [0xa0 ... 0xa3] = P66, [0xa6 ... 0xa9] = P66,
	[0xaa ... 0xab] = P66 | P2, [0xac ... 0xaf] = P66, [0xb4 ... 0xbf] = P66,
	[0xc4] = P66, [0xc6 ... 0xc8] = P66, [0xca ... 0xcd] = P66, [0xcf] = P66,
	[0xdc ... 0xdf] = P66,
};

static const u8 evex_map3[256] = {
	[0x00 ... 0x01] = P66, [0x03 ... 0x05] = P66, [0x08] = NP | P66, [0x09] = P66,
	[0x0a] = NP | P66, [0x0b] = P66, [0x0f] = P66, [0x14 ... 0x1b] = P66,
	[0x1d ... 0x1f] = P66, [0x20 ... 0x23] = P66, [0x25] = P66,
	[0x26 ... 0x27] = NP | P66, [0x38 ... 0x3b] = P66, [0x3e ... 0x3f] = P66,
	[0x42 ... 0x44] = P66, [0x50 ... 0x51] = P66, [0x54 ... 0x55] = P66,
	[0x56 ... 0x57] = NP | P66, [0x66 ... 0x67] = NP | P66,
	[0x70 ... 0x73] = P66, [0xc2] = NP | P3, [0xce ... 0xcf] = P66,
};

static const u8 evex_map5[256] = {
	[0x10 ... 0x11] = P3, [0x1d] = NP | P66, [0x2a] = P3, [0x2c ... 0x2d] = P3,
	[0x2e ... 0x2f] = NP, [0x51] = NP | P3, [0x58 ... 0x59] = NP | P3,
	[0x5a] = ANY, [0x5b] = NP | P66 | P3, [0x5c ... 0x5f] = NP | P3,
	[0x6e] = P66, [0x78 ... 0x79] = NP | P66 | P3, [0x7a] = P66 | P2,
	[0x7b] = P66 | P3, [0x7c] = NP | P66, [0x7d] = ANY, [0x7e] = P66,
};

static const u8 evex_map6[256] = {
	[0x13] = NP | P66, [0x2c ... 0x2d] = P66, [0x42 ... 0x43] = P66,
	[0x4c ... 0x4f] = P66, [0x56 ... 0x57] = P3 | P2,
	[0x96 ... 0x9f] = P66, [0xa6 ... 0xaf] = P66, [0xb6 ... 0xbf] = P66,
	[0xd6 ... 0xd7] = P3 | P2,
};

#endif /* LUCID_X86_DECODE_TABLES_H */
