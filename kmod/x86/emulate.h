/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instruction emulator, for instructions that touch memory which is not
 * there (MMIO). Pure logic: guest memory is reached through callbacks.
 *
 * Now: the plain moves (MOV in all its memory forms, MOVZX, MOVSX, MOVSXD).
 * It grows by one file per group of instructions, each with a table of
 * handlers; emulate.c keeps addresses, segments, memory and completion.
 *
 * How MMIO completes (reads are replayed, writes are posted):
 *
 *  - Registers change only when the instruction is complete, so running it
 *    again from the start is always right.
 *  - A read of MMIO ends the run with LUCID_EMUL_MMIO_READ and the piece
 *    wanted in @reads[@nr_reads]. The caller asks userspace, hands the answer
 *    to lucid_emul_mmio_answer() and calls lucid_emul_run() again. All that has
 *    been read before (RAM too) is served from @reads, so the second run sees
 *    what the first one saw, without a callback.
 *  - A write of MMIO is put in @writes and the run goes on. After LUCID_EMUL_OK
 *    the caller gives @writes[0..@nr_writes) to userspace, in order, before
 *    the guest runs again. If the instruction faults instead, none is sent.
 *
 * So a plain MMIO store costs one run, a load two, and the second is cheap.
 */
#ifndef LUCID_X86_EMULATE_H
#define LUCID_X86_EMULATE_H

#include <linux/types.h>
#include <linux/kvm.h>		/* struct kvm_segment */
#include "decode.h"

enum lucid_emul_result {
	LUCID_EMUL_OK,		/* done: @regs, @rip, @rflags are the new ones; mind @nr_writes */
	LUCID_EMUL_FAULT,	/* @fault is to be injected; nothing has changed */
	LUCID_EMUL_MMIO_READ,	/* @reads[@nr_reads] is wanted from userspace */
	LUCID_EMUL_MMIO_WRITE,	/* of a write callback only: it is MMIO, post it */
	LUCID_EMUL_RETRY,	/* let the guest try again; nothing has changed */
	LUCID_EMUL_UNHANDLEABLE,/* not known here: KVM_EXIT_INTERNAL_ERROR, emulation */
};

enum lucid_emul_mode {
	LUCID_EMUL_REAL,
	LUCID_EMUL_VM86,
	LUCID_EMUL_PROT16,	/* CS.D = 0, also of compatibility mode */
	LUCID_EMUL_PROT32,	/* CS.D = 1, likewise */
	LUCID_EMUL_LONG,	/* 64-bit mode: CS.L = 1 */
};

/* A piece of memory of up to 8 bytes that does not cross a page. */
struct lucid_emul_frag {
	u64 gpa;		/* valid for MMIO */
	u8 len;
	u8 data[8];
};

#define LUCID_EMUL_MAX_FRAGS	16

struct lucid_emul_fault {
	u8 vector;
	bool has_error_code;
	u32 error_code;
	u64 cr2;		/* for #PF */
};

struct lucid_emul_ctxt;

/*
 * Access to the guest's linear memory, with the rights of the vCPU's CPL. A
 * call is for 1..8 bytes and never crosses a page. They return:
 *   LUCID_EMUL_OK		done
 *   LUCID_EMUL_FAULT		@c->fault is set (lucid_emul_page_fault() helps)
 *   LUCID_EMUL_MMIO_READ/_WRITE  it is MMIO; @gpa is set, nothing was done
 *   LUCID_EMUL_RETRY, LUCID_EMUL_UNHANDLEABLE  the run ends with that
 */
struct lucid_emul_ops {
	/* Must do nothing where it is MMIO: it is also called to see whether it would fault. */
	int (*read_mem)(struct lucid_emul_ctxt *c, u64 linear, void *buf,
			unsigned int len, u64 *gpa);
	int (*write_mem)(struct lucid_emul_ctxt *c, u64 linear, const void *buf,
			 unsigned int len, u64 *gpa);
	/*
	 * Would a write succeed? Called for both pages before a write that
	 * crosses from one to the next, so that it faults before it changes any.
	 */
	int (*probe_write)(struct lucid_emul_ctxt *c, u64 linear, unsigned int len);
};

/**
 * struct lucid_emul_ctxt - one instruction being emulated
 * @insn:	the instruction, decoded (lucid_emul_insn_mode() gives the size)
 * @ops:	memory
 * @ctx:	for @ops, not looked at (the vCPU)
 * @mode:	the mode
 * @la57:	57-bit linear addresses (CR4.LA57), in 64-bit mode
 * @align_check: CR0.AM, EFLAGS.AC and CPL 3: misaligned data raises #AC
 * @regs:	general registers, numbered as in decode.h (not as in struct kvm_regs)
 * @rip:	of the instruction; after LUCID_EMUL_OK of the next one
 * @rflags:	RF is cleared by LUCID_EMUL_OK. The shadow of STI and MOV SS,
 *		and a #DB for TF, are the caller's to do
 * @seg:	segments, by enum lucid_seg; limits in bytes
 * @fault:	after LUCID_EMUL_FAULT
 * @reads:	the pieces read so far; @nr_reads of them are answered
 * @next_read:	how many of those this run has used
 * @writes:	the MMIO pieces to send, @nr_writes of them
 */
struct lucid_emul_ctxt {
	struct lucid_insn insn;
	const struct lucid_emul_ops *ops;
	void *ctx;
	enum lucid_emul_mode mode;
	bool la57;
	bool align_check;

	u64 regs[16];
	u64 rip;
	u64 rflags;
	struct kvm_segment seg[LUCID_SEG_NR];

	struct lucid_emul_fault fault;

	u8 nr_reads;
	u8 next_read;
	u8 nr_writes;
	struct lucid_emul_frag reads[LUCID_EMUL_MAX_FRAGS];
	struct lucid_emul_frag writes[LUCID_EMUL_MAX_FRAGS];
};

/**
 * lucid_emul_begin() - forget what an earlier instruction read and wrote
 *
 * Call it once per instruction, after the state and @insn have been filled in
 * and before the first lucid_emul_run().
 */
void lucid_emul_begin(struct lucid_emul_ctxt *c);

/**
 * lucid_emul_run() - run the instruction, or run it again after an answer
 *
 * Context: that of the callbacks. Return: enum lucid_emul_result, never
 * LUCID_EMUL_MMIO_WRITE.
 */
int lucid_emul_run(struct lucid_emul_ctxt *c);

/**
 * lucid_emul_mmio_answer() - userspace has read what was wanted
 * @data:	@c->reads[@c->nr_reads].len bytes
 */
void lucid_emul_mmio_answer(struct lucid_emul_ctxt *c, const void *data);

/* The size of code that goes with a mode, for lucid_insn_decode(). */
enum lucid_insn_mode lucid_emul_insn_mode(enum lucid_emul_mode mode);

/**
 * lucid_emul_ea() - the effective address of the ModRM memory operand
 * @seg:	set to its segment, override considered
 *
 * @c->rip must be that of the instruction (for RIP-relative ones).
 */
u64 lucid_emul_ea(const struct lucid_emul_ctxt *c, unsigned int *seg);

/**
 * lucid_emul_linear() - segment and offset to a linear address, with all checks
 * @seg:	enum lucid_seg
 * @ea:		offset in it
 * @len:	bytes to be accessed
 * @write:	whether for writing
 * @linear:	the result
 *
 * Checks the segment's type and limit, or in 64-bit mode that all bytes are
 * canonical, and @align_check. LUCID_EMUL_OK, or LUCID_EMUL_FAULT with #GP(0),
 * #SS(0) or #AC(0) in @c->fault.
 */
int lucid_emul_linear(struct lucid_emul_ctxt *c, unsigned int seg, u64 ea,
		      unsigned int len, bool write, u64 *linear);

/* Memory by linear address, with splitting at pages and replay as said above. */
int lucid_emul_read(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len);
int lucid_emul_write(struct lucid_emul_ctxt *c, u64 linear, const void *buf, unsigned int len);

/* Fill in @c->fault; both return LUCID_EMUL_FAULT. */
int lucid_emul_exception(struct lucid_emul_ctxt *c, u8 vector, bool has_error_code, u32 error_code);
int lucid_emul_page_fault(struct lucid_emul_ctxt *c, u64 linear, u32 error_code);

#endif /* LUCID_X86_EMULATE_H */
