/* SPDX-License-Identifier: GPL-2.0 */
/* The emulator's callbacks into the machine: step.c's part of fetch.c's table. */
#ifndef LUCID_X86_STEP_H
#define LUCID_X86_STEP_H

#include "emulate.h"

int lucid_step_read_cr(struct lucid_emul_ctxt *c, unsigned int nr, u64 *val);
int lucid_step_write_cr(struct lucid_emul_ctxt *c, unsigned int nr, u64 val);
int lucid_step_read_dr(struct lucid_emul_ctxt *c, unsigned int nr, u64 *val);
int lucid_step_write_dr(struct lucid_emul_ctxt *c, unsigned int nr, u64 val);
int lucid_step_read_msr(struct lucid_emul_ctxt *c, u32 index, u64 *val);
int lucid_step_write_msr(struct lucid_emul_ctxt *c, u32 index, u64 val);
int lucid_step_cpuid(struct lucid_emul_ctxt *c, u32 *regs);
int lucid_step_rdtsc(struct lucid_emul_ctxt *c, u64 *val);
int lucid_step_invlpg(struct lucid_emul_ctxt *c, u64 linear);
void lucid_step_get_table(struct lucid_emul_ctxt *c, bool idt, u64 *base, u32 *limit);
void lucid_step_set_table(struct lucid_emul_ctxt *c, bool idt, u64 base, u32 limit);
int lucid_step_read_desc(struct lucid_emul_ctxt *c, u16 selector, u64 *desc);
int lucid_step_mark_accessed(struct lucid_emul_ctxt *c, u16 selector);

/* fetch.c: RAM at CPL 0, whatever the guest's (tables of the CPU's own). */
int lucid_emul_implicit(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len,
			bool write);

#endif
