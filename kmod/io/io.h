/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Port and memory-mapped I/O: what leaves the guest for userspace, and how
 * KVM_RUN goes on when userspace has answered.
 */
#ifndef LUCID_IO_H
#define LUCID_IO_H

#include <linux/types.h>
#include "../x86/emulate.h"

struct lucid_vcpu;

enum lucid_complete {
	LUCID_COMPLETE_NONE,
	LUCID_COMPLETE_PIO_OUT,		/* OUT: done when KVM_RUN is called again */
	LUCID_COMPLETE_PIO_IN,		/* IN: the answer goes to RAX */
	LUCID_COMPLETE_STRING_IN,	/* INS: the answers go to memory */
	LUCID_COMPLETE_MMIO_READ,	/* the instruction runs again with the answer */
	LUCID_COMPLETE_MMIO_WRITE,	/* the next fragment, if there is one */
};

struct lucid_io {
	enum lucid_complete complete;
	u8 size;		/* of a unit: 1, 2, 4 */
	u64 rip, next_rip;	/* of the instruction, of the next one */
	u32 count;		/* units in the data page */
	u64 linear;		/* of INS: where the answers go */
	bool rep;		/* of INS */
	u64 ahead_linear, ahead_gpa;	/* a page that the instruction may write to: x86/fetch.c */
	u64 fault_gpa;		/* of the access that brought us to lucid_mmio_tried() */
	u8 next_write;		/* fragment of emul.writes[] to send */
	struct lucid_emul_ctxt emul;
};

/* All answer enum lucid_next or a negative errno. */
int lucid_pio(struct lucid_vcpu *vcpu, u16 port, u8 size, bool in, u64 next_rip);
int lucid_pio_string(struct lucid_vcpu *vcpu, u16 port, u8 size, bool in, bool rep);
int lucid_mmio(struct lucid_vcpu *vcpu);
int lucid_mmio_run(struct lucid_vcpu *vcpu);
int lucid_mmio_tried(struct lucid_vcpu *vcpu, u64 gpa);
int lucid_pio_complete(struct lucid_vcpu *vcpu, enum lucid_complete complete);
int lucid_io_complete(struct lucid_vcpu *vcpu);
int lucid_emulation_exit(struct lucid_vcpu *vcpu, const struct lucid_insn *insn);
int lucid_emulation_failed(struct lucid_vcpu *vcpu);

#endif
