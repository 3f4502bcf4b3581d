/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One instruction run by the CPU itself, in 64-bit mode or, through segments
 * of the LDT, in 32- and 16-bit protected mode: registers, flags and memory in
 * and out, and the exception if it raised one.
 */
#ifndef LUCID_HOST_NATIVE_H
#define LUCID_HOST_NATIVE_H

#include "emulate.h"

#define NATIVE_BUF	(2 * 4096)

/* Where in the code page the instruction stands, and where it may jump to. */
#define NATIVE_SLOT	2048
#define NATIVE_AFTER	(NATIVE_SLOT + 64)	/* ends with where == 1 */
#define NATIVE_BEFORE	(NATIVE_SLOT - 64)	/* ends with where == 2 */

/* Below 2G, where an instruction can name it by a plain 32-bit address. */
struct native {
	u64 in[16];
	u64 out[16];
	u64 in_flags, out_flags;
	u8 in_xmm[16][16], out_xmm[16][16];
	u64 host_rsp;
	struct { u32 offset; u16 selector; } __attribute__((packed)) entry;
	u16 ss, host_ss;
	u8 where;		/* 0 the next instruction, 1, 2: see above */
	s16 vector;		/* -1: no exception; then out[] is as at the fault */
	u8 code[4096] __attribute__((aligned(4096)));
	u8 guard[4096];
	u8 buf[NATIVE_BUF];
	u8 guard2[4096];
};

extern struct native *nat;
/* As the CPU has them in this mode; of 64-bit mode only FS and GS matter. */
extern struct kvm_segment native_seg[LUCID_SEG_NR];

/* NULL, or why it cannot be done here. */
const char *native_init(void);
const char *native_mode(enum lucid_emul_mode mode);
void native_run(const struct lucid_insn *insn);

#endif
