/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tags (ASID, VPID): who gets which, and what must be flushed on entry.
 * Pure logic: no kernel calls, compiled unchanged by selftests/host.
 */
#ifndef LUCID_TLB_H
#define LUCID_TLB_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include "shim.h"	/* selftests/host/include: u8..u64, bool */
#endif

/* Tags of one physical CPU.  Touched by that CPU only, interrupts off. */
struct lucid_tlb_cpu {
	u64 generation;		/* tags handed out before it moved are void */
	u32 next;		/* next tag to hand out */
	u32 first, last;	/* tags we may use: never 0, the host's */
	bool flush_by_tag;	/* the CPU can flush one tag alone */
	bool root_tagged;	/* entries by nested-table root too, whatever the tag (VMX) */
	bool flush_all;		/* owed since bring-up or rollover */
};

/* What a vCPU remembers of the tag it last ran with. */
struct lucid_tlb_vcpu {
	u64 generation;		/* of @cpu's table when the tag was taken; 0: none */
	u64 epoch;		/* the VM's epoch its entries are clean for */
	int cpu;		/* where the tag is valid */
	u32 tag;
	bool flush_guest;	/* owed: something was done for the guest */
};

/* What to do on this entry, from weakest to strongest. */
enum lucid_tlb_flush {
	LUCID_TLB_KEEP,		/* every entry under this tag is still true */
	LUCID_TLB_FLUSH_TAG,	/* drop this tag's entries */
	LUCID_TLB_FLUSH_ROOT,	/* drop what was cached of the VM's nested tables, all tags */
	LUCID_TLB_FLUSH_ALL,	/* drop every entry on this CPU */
};

/* Why: what the counters count. */
enum lucid_tlb_cause {
	LUCID_TLB_WARM,
	LUCID_TLB_FIRST_USE,
	LUCID_TLB_MIGRATION,
	LUCID_TLB_RECYCLED,
	LUCID_TLB_EPOCH,
	LUCID_TLB_GUEST,
	LUCID_TLB_NR_CAUSES
};

struct lucid_tlb_decision {
	enum lucid_tlb_flush flush;
	enum lucid_tlb_cause cause;
	u64 epoch;		/* to record once the flush has taken effect */
};

void lucid_tlb_cpu_init(struct lucid_tlb_cpu *tc, u32 nr_tags, bool flush_by_tag,
			bool root_tagged);
void lucid_tlb_vcpu_init(struct lucid_tlb_vcpu *tv);
struct lucid_tlb_decision lucid_tlb_decide(struct lucid_tlb_cpu *tc,
					   struct lucid_tlb_vcpu *tv,
					   int cpu, u64 epoch);
void lucid_tlb_commit(struct lucid_tlb_cpu *tc, struct lucid_tlb_vcpu *tv,
		      const struct lucid_tlb_decision *d);

/**
 * lucid_tlb_is_warm - the decision when nothing changed, inline and short
 *
 * True exactly when lucid_tlb_decide() would answer KEEP because of WARM (a
 * new tag is KEEP too, but has to be taken).
 */
static inline bool lucid_tlb_is_warm(const struct lucid_tlb_cpu *tc,
				     const struct lucid_tlb_vcpu *tv,
				     int cpu, u64 epoch)
{
	return tv->cpu == cpu && tv->generation == tc->generation &&
	       tv->epoch == epoch && !tv->flush_guest && !tc->flush_all;
}

#endif
