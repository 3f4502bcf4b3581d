/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instruction emulator, for instructions that touch memory which is not
 * there (MMIO). Pure logic: guest memory, and what of the machine is not in
 * struct lucid_emul_ctxt, is reached through callbacks.
 *
 * It knows the integer instructions of all modes, the moves of XMM registers,
 * and the system instructions for which there is a callback. Not known, and
 * so LUCID_EMUL_UNHANDLEABLE: x87, MMX, SSE that computes, VEX and EVEX; in
 * protected mode far jumps, INT and IRET. Whether the guest's CPUID has an
 * instruction is not asked: the CPU has decoded it before it came here.
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
 *
 * Read-modify-write: the read is replayed, the write posted. Where a LOCKed one
 * is RAM, cmpxchg_mem decides; if memory has changed meanwhile the run ends with
 * LUCID_EMUL_RETRY. (With MMIO nothing is atomic.)
 *
 * REP: a run does a bounded number of iterations. LUCID_EMUL_OK with @rip
 * where it was means that what was done is complete and the rest is still to
 * do: commit, send the writes, let the guest come again (interrupts may come
 * between). What is read for one iteration is forgotten after it.
 *
 * System callbacks that change something (write_cr, port_out, hlt ..) are the
 * last thing a run does, or fail without a change; they happen once.
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

#define LUCID_EMUL_SHADOW	(1u << 8)	/* interrupts wait for one more instruction */
#define LUCID_EMUL_IRET		(1u << 9)	/* it was an IRET: NMIs are open again */

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
	/*
	 * Only instructions that touch one place in memory at most, and need
	 * neither @cr0, @cr4, @cpl, @tzcnt, @lzcnt nor a callback beyond the
	 * first three: for the moment when only the access that has just
	 * faulted can be done.
	 */
	bool one_access;

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

	/*
	 * All below may be NULL: what needs them is unhandleable. Those that
	 * return int answer LUCID_EMUL_OK, LUCID_EMUL_FAULT with @c->fault set,
	 * LUCID_EMUL_UNHANDLEABLE; cmpxchg_mem also as write_mem.
	 */

	/* Replace @old by @val at once; LUCID_EMUL_RETRY if it is not @old. @len may be 16. */
	int (*cmpxchg_mem)(struct lucid_emul_ctxt *c, u64 linear, const void *old,
			   const void *val, unsigned int len, u64 *gpa);
	/* Fill in all of @c->seg. NULL: they are, in 64-bit mode too. */
	void (*load_segs)(struct lucid_emul_ctxt *c);
	/* 16 bytes of an XMM register. Writing one cannot fail after reading one did not. */
	int (*read_xmm)(struct lucid_emul_ctxt *c, unsigned int reg, void *buf);
	int (*write_xmm)(struct lucid_emul_ctxt *c, unsigned int reg, const void *buf);
	/* A descriptor of the GDT or LDT: #GP(selector) if there is none, or #PF. */
	int (*read_desc)(struct lucid_emul_ctxt *c, u16 selector, u64 *desc);
	int (*mark_accessed)(struct lucid_emul_ctxt *c, u16 selector);
	/* GDTR, or IDTR */
	void (*get_table)(struct lucid_emul_ctxt *c, bool idt, u64 *base, u32 *limit);
	void (*set_table)(struct lucid_emul_ctxt *c, bool idt, u64 base, u32 limit);
	/* CPL is 0, or the mode real, when these are called. */
	int (*read_cr)(struct lucid_emul_ctxt *c, unsigned int nr, u64 *val);
	int (*write_cr)(struct lucid_emul_ctxt *c, unsigned int nr, u64 val);
	int (*read_dr)(struct lucid_emul_ctxt *c, unsigned int nr, u64 *val);
	int (*write_dr)(struct lucid_emul_ctxt *c, unsigned int nr, u64 val);
	int (*read_msr)(struct lucid_emul_ctxt *c, u32 index, u64 *val);
	int (*write_msr)(struct lucid_emul_ctxt *c, u32 index, u64 val);
	int (*invlpg)(struct lucid_emul_ctxt *c, u64 linear);
	int (*hlt)(struct lucid_emul_ctxt *c);
	/* At any CPL. @regs: EAX and ECX in [0] and [1]; out EAX EBX ECX EDX */
	int (*cpuid)(struct lucid_emul_ctxt *c, u32 *regs);
	int (*rdtsc)(struct lucid_emul_ctxt *c, u64 *val);
	/* IOPL has been checked; where it does not allow it, unhandleable. */
	int (*port_in)(struct lucid_emul_ctxt *c, u16 port, u64 *val, unsigned int size);
	int (*port_out)(struct lucid_emul_ctxt *c, u16 port, u64 val, unsigned int size);
};

/**
 * struct lucid_emul_ctxt - one instruction being emulated
 * @insn:	the instruction, decoded (lucid_emul_insn_mode() gives the size)
 * @ops:	memory
 * @ctx:	for @ops, not looked at (the vCPU)
 * @mode:	the mode
 * @la57:	57-bit linear addresses (CR4.LA57), in 64-bit mode
 * @align_check: CR0.AM, EFLAGS.AC and CPL 3: misaligned data raises #AC
 * @tzcnt, @lzcnt: F3 BSF, F3 BSR are TZCNT, LZCNT on this CPU
 * @cpl:	the privilege level; 0 in real, 3 in virtual-8086 mode
 * @cr0, @cr4:	as the guest sees them
 * @regs:	general registers, numbered as in decode.h (not as in struct kvm_regs)
 * @rip:	of the instruction; after LUCID_EMUL_OK of the next one
 * @rflags:	RF is cleared by LUCID_EMUL_OK. A #DB for TF is the caller's to do
 * @seg:	segments, by enum lucid_seg; limits in bytes. In 64-bit mode only
 *		FS and GS if there is a load_segs callback
 * @next_rip:	inside of a run: what @rip will be
 * @effects:	after LUCID_EMUL_OK: what else is to be committed: 1 << n, @seg[n]
 *		was loaded; LUCID_EMUL_SHADOW; LUCID_EMUL_IRET
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
	bool tzcnt, lzcnt;
	u8 cpl;

	u16 effects;

	u64 cr0, cr4;
	u64 regs[16];
	u64 rip;
	u64 next_rip;
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
static inline void lucid_emul_begin(struct lucid_emul_ctxt *c)
{
	c->nr_reads = 0;
	c->nr_writes = 0;
	c->effects = 0;
}

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
