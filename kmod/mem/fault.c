// SPDX-License-Identifier: GPL-2.0
/*
 * Nested page faults.
 *
 * The quick way, with nothing but mem->lock: find the slot, look at what the
 * host's page tables have behind the address, write the entry.  No reference
 * to the page is taken.  It cannot go while the lock is held, since whoever
 * takes it from the process must first get through range_start; and when he
 * does he removes the entry.
 *
 * Guest writes do not mark the host's PTE dirty (DESIGN, SAFETY: "Dirty").  So
 * the quick way maps a page writable only if the host's PTE is writable *and*
 * dirty: no matter what the guest does then, the host already holds the page
 * for modified, and who cleans that PTE goes through range_start as well
 * (writeback, MADV_FREE), after which the next write faults again.
 *
 * Whatever the quick way cannot take (nothing there, a page of zeroes to be
 * written, a clean page, a page of an unusual kind) is left to the kernel's
 * get_user_pages(), which may sleep: it brings the page in as if the process
 * had touched it.  Then the quick way is tried again, and where it still does
 * not like the page, the page that get_user_pages() answered with is mapped,
 * 4K of it, after marking it dirty if it is to be written.
 *
 * With a 4K page come its neighbours, if the host has pages there already
 * (fault-around): the next accesses then need no exit.  Nothing is allocated
 * for them, the same conditions hold, and they are born not accessed, so that
 * reclaim sees what the guest has really used.
 */
#include <linux/mm.h>
#include <linux/memremap.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "internal.h"

/* A fault on its way through the attempts. */
struct fault {
	u64 gfn;
	bool write, exec;
	bool readonly;		/* the slot's */
	unsigned long hva;
	unsigned long seq;	/* mem->invalidate_seq when the lock was let go */
	u64 generation;		/* of the slots, at the same moment */
	struct page *page;	/* what get_user_pages() found, referenced */
};

/*
 * May a page be mapped without a reference?  Yes for anonymous memory and for
 * pages of files.  No for device memory, for pages that a driver has inserted
 * by hand, and for memory that has no place in the kernel's direct map (where
 * lucid_mem_peek_ptr() reads): secretmem sets its mapping unevictable.
 */
static __always_inline bool page_is_plain(u64 pfn)
{
	struct page *page = pfn_to_page(pfn);
	struct address_space *mapping;

	if (is_zone_device_page(page))
		return false;
	/* Stable: mapped by a PTE that cannot go while we hold mem->lock. */
	mapping = READ_ONCE(page_folio(page)->mapping);
	if ((unsigned long)mapping & PAGE_MAPPING_ANON)
		return true;
	if (!mapping || (unsigned long)mapping & PAGE_MAPPING_FLAGS)
		return false;
	return !mapping_unevictable(mapping);
}

static bool invalidating(const struct lucid_mem *mem, unsigned long hva)
{
	return unlikely(mem->invalidate_in_progress) &&
	       hva >= mem->invalidate_start && hva < mem->invalidate_end;
}

static __always_inline bool host_pte(pte_t pte, struct lucid_host_page *host)
{
	if (!pte_access_permitted(pte, false))
		return false;
	host->pfn = pte_pfn(pte);
	host->level = LUCID_LEVEL_4K;
	if (unlikely(pte_special(pte))) {
		host->writable = false;
		return is_zero_pfn(host->pfn);
	}
	host->writable = pte_access_permitted(pte, true) && pte_dirty(pte);
	return page_is_plain(host->pfn);
}

/*
 * Read the host's page tables as the CPU does.  Interrupts off: a table is
 * freed only after every CPU has answered an IPI or passed an RCU grace period.
 * Every entry is read once: it may turn from a table into a page as we look.
 * @where: the PTE, where the page is a 4K one; good as long as interrupts are off.
 */
static bool host_walk(struct mm_struct *mm, unsigned long hva, struct lucid_host_page *host,
		      const pte_t **where)
{
	pgd_t pgd = READ_ONCE(*pgd_offset(mm, hva));
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	*where = NULL;
	if (!pgd_present(pgd))
		return false;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (!p4d_present(p4d))
		return false;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (!pud_present(pud))
		return false;
	if (pud_leaf(pud)) {
		if (!pud_access_permitted(pud, false) || pud_flags(pud) & _PAGE_SPECIAL)
			return false;
		host->pfn = pud_pfn(pud) + ((hva & ~PUD_MASK) >> PAGE_SHIFT);
		host->writable = pud_access_permitted(pud, true) && pud_dirty(pud);
		host->level = LUCID_LEVEL_2M;
		return pfn_valid(host->pfn) && page_is_plain(host->pfn);
	}

	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_leaf(pmd)) {
		if (!pmd_access_permitted(pmd, false) || pmd_flags(pmd) & _PAGE_SPECIAL)
			return false;
		host->pfn = pmd_pfn(pmd) + ((hva & ~PMD_MASK) >> PAGE_SHIFT);
		host->writable = pmd_access_permitted(pmd, true) && pmd_dirty(pmd);
		host->level = LUCID_LEVEL_2M;
		return pfn_valid(host->pfn) && page_is_plain(host->pfn);
	}
	if (!(pmd_flags(pmd) & _PAGE_PRESENT))
		return false;

	*where = pte_offset_kernel(&pmd, hva);
	return host_pte(READ_ONCE(**where), host);
}

/* May the 2M around @gfn be mapped as one? */
static bool fits_2m(const struct lucid_slot *slot, u64 gfn)
{
	u64 first = gfn & ~(LUCID_GFNS_2M - 1);

	return !((slot->base_gfn ^ (slot->hva >> PAGE_SHIFT)) & (LUCID_GFNS_2M - 1)) &&
	       first >= slot->base_gfn &&
	       first + LUCID_GFNS_2M <= slot->base_gfn + slot->npages;
}

/*
 * Map the neighbours of @f's page, which is mapped now: what is not mapped yet
 * of an aligned window, inside the slot, and behind one table (or one large
 * page) of the host's.
 */
static void map_around(struct lucid_mem *mem, const struct lucid_slot *slot,
		       const struct fault *f)
{
	u64 *entry = lucid_pt_window(mem, f->gfn);
	long me = f->gfn & (LUCID_AROUND - 1), at = (f->hva & ~PMD_MASK) >> PAGE_SHIFT;
	/* In pages from @f's own: */
	long from = max3(-me, -at, -(long)(f->gfn - slot->base_gfn));
	long to = min3(LUCID_AROUND - me, PTRS_PER_PTE - at,
		       (long)(slot->base_gfn + slot->npages - f->gfn));
	struct lucid_host_page here, page;
	const pte_t *pte;
	long i;

	if (!entry || mem->invalidate_in_progress)
		return;
	local_irq_disable();
	if (host_walk(mem->mm, f->hva, &here, &pte)) {
		for (i = from; i < to; i++) {
			if (entry[me + i] & lucid_pt.present)
				continue;
			if (!pte) {
				page = here;
				page.pfn += i;
			} else if (!host_pte(READ_ONCE(pte[i]), &page)) {
				continue;
			}
			lucid_pt_fill(mem, &entry[me + i], &page, f->readonly);
		}
	}
	local_irq_enable();
}

/*
 * One attempt under the lock.  -EAGAIN: not with what is there now; @f says
 * where to look, and since when.
 */
static int try_map(struct lucid_vm *vm, struct lucid_table_cache *tc, struct fault *f)
{
	struct lucid_mem *mem = &vm->mem;
	const struct lucid_slots *slots;
	const struct lucid_slot *slot;
	struct lucid_host_page host;
	unsigned long seq = f->seq;
	u64 generation = f->generation;
	int r = LUCID_FAULT_MMIO;
	const pte_t *where;
	bool found;

	spin_lock(&mem->lock);
	slots = lucid_mem_slots(vm);
	slot = lucid_mem_find_slot(slots, f->gfn);
	if (!slot)
		goto out;
	f->readonly = lucid_slot_readonly(slot);
	if (f->write && f->readonly)
		goto out;
	f->hva = lucid_slot_hva(slot, f->gfn);
	f->seq = mem->invalidate_seq;
	f->generation = slots->generation;

	r = -EAGAIN;
	if (invalidating(mem, f->hva))
		goto out;
	local_irq_disable();
	found = host_walk(mem->mm, f->hva, &host, &where);
	local_irq_enable();
	if (!found || (f->write && !host.writable)) {
		if (!f->page || seq != f->seq || generation != f->generation)
			goto out;
		host.pfn = page_to_pfn(f->page);
		host.level = LUCID_LEVEL_4K;
		host.writable = f->write;
	}
	if (f->readonly)
		host.writable = false;
	if (host.level == LUCID_LEVEL_2M &&
	    ((lucid_pt.exec_4k && f->exec) || !fits_2m(slot, f->gfn)))
		host.level = LUCID_LEVEL_4K;
	r = lucid_pt_install(vm, tc, f->gfn, &host, host.level,
			     (f->write ? LUCID_ACCESS_WRITE : 0) |
			     (f->exec ? LUCID_ACCESS_EXEC : 0));
	if (!r && host.level == LUCID_LEVEL_4K)
		map_around(mem, slot, f);
out:
	spin_unlock(&mem->lock);
	return r;
}

/* Bring the page in, sleeping as long as it takes, and try again. */
static int fault_slow(struct lucid_vm *vm, struct lucid_table_cache *tc, struct fault *f)
{
	long n;
	int r;

	r = lucid_table_cache_fill(tc);
	if (r)
		return r;
	n = get_user_pages_unlocked(f->hva, 1, &f->page,
				    FOLL_HWPOISON | LUCID_FOLL_INTERRUPTIBLE |
				    (f->write ? FOLL_WRITE : 0));
	if (n != 1) {
		f->page = NULL;
		switch (n) {
		case -EHWPOISON:
			/* As if the process had touched it; it may repair that. */
			send_sig_mceerr(BUS_MCEERR_AR, (void __user *)f->hva, PAGE_SHIFT,
					current);
			return LUCID_FAULT_MAPPED;
		case -EINTR:	/* what is not fatal KVM_RUN answers, on the way round */
		case -EAGAIN:
			return fatal_signal_pending(current) ? -EINTR : LUCID_FAULT_MAPPED;
		case -ENOMEM:
			return -ENOMEM;
		default:
			return -EFAULT;
		}
	}
	if (f->write)
		set_page_dirty_lock(f->page);
	r = try_map(vm, tc, f);
	put_page(f->page);
	/* Overtaken by an invalidation: the guest will ask again. */
	return r == -EAGAIN ? LUCID_FAULT_MAPPED : r;
}

/**
 * lucid_mem_fault - serve a nested page fault
 * @vm: the VM
 * @tc: the vCPU's table pages, filled (lucid_table_cache_fill())
 * @gpa: what the guest accessed, any value
 * @access: LUCID_ACCESS_WRITE, LUCID_ACCESS_EXEC
 * @atomic: do not sleep and do not touch user memory
 *
 * A read maps the page writable as well where that costs nothing.
 *
 * Context: a thread of the VM's process, interrupts on.  @atomic: preemption
 * may be off, also inside kernel_fpu_begin/end.  Else it sleeps: swap,
 * userfaultfd, a full cgroup.  Takes mem->lock.
 * Return: LUCID_FAULT_MAPPED, the guest may go on (and may fault again);
 * LUCID_FAULT_MMIO, there is no RAM there, or a write hit a read-only slot;
 * -EAGAIN, only if @atomic: call again without; -EFAULT, the slot's memory is
 * not mapped in the process, or not so that it may be written (KVM_RUN's
 * answer as well); -EINTR, a fatal signal; -ENOMEM; -EIO, a foreign process.
 */
int lucid_mem_fault(struct lucid_vm *vm, struct lucid_table_cache *tc, u64 gpa,
		    unsigned int access, bool atomic)
{
	struct fault f = {
		.gfn = gpa >> PAGE_SHIFT,
		.write = access & LUCID_ACCESS_WRITE,
		.exec = access & LUCID_ACCESS_EXEC,
	};
	int r, idx;

	r = try_map(vm, tc, &f);
	/* What the instruction reads there before it writes is in user memory. */
	if (unlikely(r == LUCID_FAULT_MMIO) && f.readonly && atomic)
		r = -EAGAIN;
	if (likely(r != -EAGAIN) || atomic)
		return r;

	might_sleep();
	if (current->mm != vm->mem.mm)
		return -EIO;
	idx = srcu_read_lock(&vm->mem.srcu);
	r = fault_slow(vm, tc, &f);
	srcu_read_unlock(&vm->mem.srcu, idx);
	return r;
}
