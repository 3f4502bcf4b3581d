// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: the host is about to change what stands behind an address.
 *
 * Between range_start and range_end no entry may be made for the range, and
 * when range_start returns none is there and no CPU uses one.  Everything is
 * done under mem->lock, which a fault holds from looking at the host's tables
 * to writing its entry; so a fault comes either before, and is zapped, or
 * after, and sees the range raised.  A fault that had to let go of the lock to
 * wait for a page sees invalidate_seq moved.
 *
 * There is no change_pte: what it would tell lies between a start and an end.
 */
#include <linux/sched/mm.h>

#include "internal.h"

static struct lucid_vm *notifier_vm(struct mmu_notifier *mn)
{
	return container_of(mn, struct lucid_vm, mem.notifier);
}

/* The guest pages of @slot behind [start, end); false if there are none. */
static bool slot_gfns(const struct lucid_slot *slot, unsigned long start, unsigned long end,
		      u64 *first, u64 *last)
{
	unsigned long slot_end = slot->hva + (slot->npages << PAGE_SHIFT);

	start = max(start, slot->hva);
	end = min(end, slot_end);
	if (start >= end)
		return false;
	*first = slot->base_gfn + ((start - slot->hva) >> PAGE_SHIFT);
	*last = slot->base_gfn + ((end - 1 - slot->hva) >> PAGE_SHIFT) + 1;
	return true;
}

/*
 * Drop what is mapped of [start, end).  The lock may be let go in between: the
 * range is raised, so nothing of it comes back, and SRCU keeps @slots.  A slot
 * that is being deleted or moved may still have entries without being in
 * @slots: mem->leaving.
 */
static void zap_hva(struct lucid_vm *vm, const struct lucid_slots *slots,
		    unsigned long start, unsigned long end, bool may_sleep)
{
	struct lucid_zap zap = LUCID_ZAP_INIT(zap);
	u64 first, last;
	u32 i;

	for (i = 0; i < slots->nr; i++)
		if (slot_gfns(&slots->slot[i], start, end, &first, &last))
			lucid_pt_zap(vm, first, last, may_sleep, &zap);
	if (vm->mem.leaving && slot_gfns(vm->mem.leaving, start, end, &first, &last))
		lucid_pt_zap(vm, first, last, false, &zap);
	lucid_pt_zap_finish(vm, &zap);
}

static int range_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct lucid_vm *vm = notifier_vm(mn);
	struct lucid_mem *mem = &vm->mem;
	int idx = srcu_read_lock(&mem->srcu);

	spin_lock(&mem->lock);
	if (!mem->invalidate_in_progress++) {
		mem->invalidate_start = range->start;
		mem->invalidate_end = range->end;
	} else {
		mem->invalidate_start = min(mem->invalidate_start, range->start);
		mem->invalidate_end = max(mem->invalidate_end, range->end);
	}
	zap_hva(vm, lucid_mem_slots(vm), range->start, range->end,
		mmu_notifier_range_blockable(range));
	spin_unlock(&mem->lock);
	srcu_read_unlock(&mem->srcu, idx);
	return 0;
}

static void range_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct lucid_mem *mem = &notifier_vm(mn)->mem;

	spin_lock(&mem->lock);
	mem->invalidate_seq++;
	WARN_ON_ONCE(!mem->invalidate_in_progress);
	mem->invalidate_in_progress--;
	spin_unlock(&mem->lock);
}

/* Called with the host's page table locked: nothing sleeps here. */
static bool age_hva(struct lucid_vm *vm, unsigned long start, unsigned long end,
		    bool clear, bool flush)
{
	struct lucid_mem *mem = &vm->mem;
	const struct lucid_slots *slots;
	bool young = false;
	u64 first, last;
	u32 i;

	spin_lock(&mem->lock);
	slots = lucid_mem_slots(vm);
	for (i = 0; i < slots->nr; i++)
		if (slot_gfns(&slots->slot[i], start, end, &first, &last))
			young |= lucid_pt_age(vm, first, last, clear);
	/*
	 * A CPU that has the entry cached does not set A again.  So that an A
	 * of 0 always means "in no TLB", clearing it moves the epoch: the next
	 * entry of each vCPU flushes.  Only a flush that was asked for waits.
	 */
	if (young && flush)
		lucid_mem_changed(vm);
	else if (young && clear)
		WRITE_ONCE(mem->epoch, mem->epoch + 1);
	spin_unlock(&mem->lock);
	return young;
}

static int clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
			     unsigned long start, unsigned long end)
{
	return age_hva(notifier_vm(mn), start, end, true, true);
}

static int clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	return age_hva(notifier_vm(mn), start, end, true, false);
}

static int test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long address)
{
	return age_hva(notifier_vm(mn), address, address + 1, false, false);
}

/*
 * The process is gone, or the VM is.  No vCPU runs: a vCPU runs only in a
 * thread of the process.  Tables are freed with the VM.
 */
static void release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct lucid_vm *vm = notifier_vm(mn);
	struct lucid_mem *mem = &vm->mem;
	int idx = srcu_read_lock(&mem->srcu);

	spin_lock(&mem->lock);
	zap_hva(vm, lucid_mem_slots(vm), 0, ULONG_MAX, true);
	spin_unlock(&mem->lock);
	srcu_read_unlock(&mem->srcu, idx);
}

const struct mmu_notifier_ops lucid_mmu_notifier_ops = {
	.release		= release,
	.clear_flush_young	= clear_flush_young,
	.clear_young		= clear_young,
	.test_young		= test_young,
	.invalidate_range_start	= range_start,
	.invalidate_range_end	= range_end,
};
