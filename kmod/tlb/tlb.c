// SPDX-License-Identifier: GPL-2.0
/*
 * Tag allocation and the flush decision.
 *
 * Under nested paging a guest changes its own page tables, CR3 and TLB without
 * an exit.  A CPU's entries under a tag are therefore true only for the vCPU
 * that left them there, and only if that vCPU ran nowhere else since: what it
 * invalidated on CPU B is still on CPU A.  So a tag is never carried to
 * another CPU and never taken up again after an absence; it is abandoned, and
 * a tag that is clean since the last flush is taken instead.
 *
 * Each CPU hands its tags out in order.  When they are used up, one flush of
 * everything makes all of them clean again and a new generation begins.  Tags
 * are compared with their generation (u64, never reused), so a number that
 * comes round again is not mistaken for its last owner's.
 *
 * The decision, on entry of a vCPU to a CPU with interrupts off, after the
 * in-guest mark and a full barrier (see run.c for the order and its reason):
 *
 *   same CPU   same         VM epoch   owed for    | flush     cause
 *   as before  generation   as seen    the guest   |
 *   -----------------------------------------------+---------------------
 *   never ran  -            -          -           | new tag   FIRST_USE
 *   no         -            -          -           | new tag   MIGRATION
 *   yes        no           -          -           | new tag   RECYCLED
 *   yes        yes          no         -           | this tag  EPOCH
 *   yes        yes          yes        yes         | this tag  GUEST
 *   yes        yes          yes        no          | keep      WARM
 *
 * "New tag" costs no flush while clean tags are left, else a flush of all.
 * "This tag" is one flush by ASID where the CPU has it; without, the vCPU
 * moves on to a clean tag, which leaves everybody else's entries alone.
 * Where entries are kept by the nested-table root as well, whatever the tag (VMX:
 * guest-physical mappings, SDM vol. 3C, "Caching Translation Information"), a
 * new tag is not enough: all rows but GUEST and WARM flush the root, with all
 * its tags.
 * A flush of all that is owed (CPU bring-up, rollover) wins over everything
 * and stays owed until an entry has certainly happened: a VMRUN that fails its
 * consistency checks flushed nothing (lucid_tlb_commit is not called then).
 */
#include "tlb.h"

/**
 * lucid_tlb_cpu_init - bring-up of a CPU: nothing is known of its TLB
 * @tc: the CPU's table; @tc->generation survives, so that tags of before
 *      an offline/online cycle stay void
 * @nr_tags: number of tags the CPU has, tag 0 (the host's) included; >= 2
 * @flush_by_tag: the CPU can flush one tag (SVM: FlushByAsid)
 * @root_tagged: it keeps entries by nested-table root as well (VMX: EPTP)
 */
void lucid_tlb_cpu_init(struct lucid_tlb_cpu *tc, u32 nr_tags, bool flush_by_tag,
			bool root_tagged)
{
	tc->generation++;
	tc->first = 1;
	tc->last = nr_tags - 1;
	tc->next = tc->first;
	tc->flush_by_tag = flush_by_tag;
	tc->root_tagged = root_tagged;
	tc->flush_all = true;
}

/**
 * lucid_tlb_vcpu_init - a vCPU that never ran
 * @tv: its memory
 */
void lucid_tlb_vcpu_init(struct lucid_tlb_vcpu *tv)
{
	tv->generation = 0;	/* no CPU's generation is 0 once it is up */
	tv->epoch = 0;
	tv->cpu = -1;
	tv->tag = 0;
	tv->flush_guest = false;
}

static void take_new_tag(struct lucid_tlb_cpu *tc, struct lucid_tlb_vcpu *tv, int cpu)
{
	if (tc->next > tc->last) {
		tc->generation++;
		tc->next = tc->first;
		tc->flush_all = true;
	}
	tv->tag = tc->next++;
	tv->generation = tc->generation;
	tv->cpu = cpu;
}

/**
 * lucid_tlb_decide - which tag to enter with and what to flush
 * @tc: this CPU's table
 * @tv: the vCPU's memory; its tag may change
 * @cpu: this CPU's number
 * @epoch: the VM's epoch, read after the in-guest mark and a full barrier
 *
 * Context: interrupts off, on @cpu.
 * Return: what to do; pass it to lucid_tlb_commit() after an entry that took
 * place, to nobody after one that did not.
 */
struct lucid_tlb_decision lucid_tlb_decide(struct lucid_tlb_cpu *tc,
					   struct lucid_tlb_vcpu *tv,
					   int cpu, u64 epoch)
{
	struct lucid_tlb_decision d = { LUCID_TLB_KEEP, LUCID_TLB_WARM, epoch };

	if (tv->cpu != cpu || tv->generation != tc->generation) {
		d.cause = !tv->generation ? LUCID_TLB_FIRST_USE :
			  tv->cpu != cpu ? LUCID_TLB_MIGRATION : LUCID_TLB_RECYCLED;
		take_new_tag(tc, tv, cpu);
		/*
		 * A tag handed out but not entered with yet (a failed entry)
		 * is not noted as clean for the epoch: see commit.
		 */
		tv->flush_guest = false;
		tv->epoch = tc->root_tagged ? ~epoch : epoch;
	} else if (tv->epoch != epoch || tv->flush_guest) {
		d.cause = tv->epoch != epoch ? LUCID_TLB_EPOCH : LUCID_TLB_GUEST;
		if (tc->flush_by_tag || tc->root_tagged) {
			d.flush = LUCID_TLB_FLUSH_TAG;
		} else {
			take_new_tag(tc, tv, cpu);
			tv->flush_guest = false;
			tv->epoch = epoch;
		}
	}
	/* A clean tag says nothing of what the VM left here under its root. */
	if (tc->root_tagged && d.cause != LUCID_TLB_WARM && d.cause != LUCID_TLB_GUEST)
		d.flush = LUCID_TLB_FLUSH_ROOT;
	if (tc->flush_all)
		d.flush = LUCID_TLB_FLUSH_ALL;
	return d;
}

/**
 * lucid_tlb_commit - the entry decided on took place: its flush is done
 * @tc: this CPU's table
 * @tv: the vCPU's memory
 * @d: what lucid_tlb_decide() said
 *
 * Context: interrupts off, on the CPU of the decision.
 */
void lucid_tlb_commit(struct lucid_tlb_cpu *tc, struct lucid_tlb_vcpu *tv,
		      const struct lucid_tlb_decision *d)
{
	if (d->flush == LUCID_TLB_KEEP)
		return;
	if (d->flush == LUCID_TLB_FLUSH_ALL)
		tc->flush_all = false;
	tv->epoch = d->epoch;
	tv->flush_guest = false;
}
