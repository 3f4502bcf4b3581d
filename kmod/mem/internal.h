/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of this folder share, and nobody else includes.
 */
#ifndef LUCID_MEM_INTERNAL_H
#define LUCID_MEM_INTERNAL_H

#include <linux/mm.h>
#include <linux/nospec.h>

#include "../lucid.h"

/* Levels as the manuals count them: 1 is the table of 4K pages. */
#define LUCID_LEVEL_4K		1
#define LUCID_LEVEL_2M		2
#define LUCID_GFNS_2M		512ULL

/* What stands behind an address in the host's own page tables. */
struct lucid_host_page {
	u64 pfn;		/* of the 4K page asked for */
	unsigned int level;	/* how large the host maps it: 4K or 2M */
	bool writable;
};

/* Fault-around: an aligned window of so many 4K pages, in one table. */
#define LUCID_AROUND		16

/* A removal in progress: its flush is still owed. */
struct lucid_zap {
	bool changed;
	struct list_head tables;	/* unlinked, to be freed after the flush */
};

#define LUCID_ZAP_INIT(name)	{ .tables = LIST_HEAD_INIT((name).tables) }

/* npt.c; all but the first two under mem->lock */
int lucid_pt_create(struct lucid_mem *mem);
void lucid_pt_destroy(struct lucid_mem *mem);
int lucid_pt_install(struct lucid_vm *vm, struct lucid_table_cache *tc, u64 gfn,
		     const struct lucid_host_page *page, unsigned int level,
		     unsigned int access);
u64 *lucid_pt_window(const struct lucid_mem *mem, u64 gfn);
void lucid_pt_zap(struct lucid_vm *vm, u64 start, u64 end, bool may_sleep,
		  struct lucid_zap *zap);
void lucid_pt_zap_finish(struct lucid_vm *vm, struct lucid_zap *zap);
bool lucid_pt_age(struct lucid_vm *vm, u64 start, u64 end, bool clear);

/*
 * Fill the empty 4K entry @entry (lucid_pt_window()) for a page that the guest
 * has not asked for: A and D are 0 until it does.
 */
static inline void lucid_pt_fill(struct lucid_mem *mem, u64 *entry,
				 const struct lucid_host_page *page, bool readonly)
{
	u64 new = (lucid_pt.leaf & ~lucid_pt.accessed) | page->pfn << PAGE_SHIFT;

	if (page->writable && !readonly)
		new |= lucid_pt.write;
	WRITE_ONCE(*entry, new);
	mem->nr_mapped_4k++;
}

/* notifier.c */
extern const struct mmu_notifier_ops lucid_mmu_notifier_ops;

/* slots.c */
const struct lucid_slot *lucid_mem_find_slot(const struct lucid_slots *slots, u64 gfn);

/* The slots, for who holds SRCU or mem->lock (or vm->lock: the writers'). */
static inline const struct lucid_slots *lucid_mem_slots(struct lucid_vm *vm)
{
	return srcu_dereference_check(vm->mem.slots, &vm->mem.srcu,
				      lockdep_is_held(&vm->mem.lock) ||
				      lockdep_is_held(&vm->lock));
}

/*
 * The address behind a guest page.  @gfn is the guest's choice and lies in the
 * slot by a compare that the CPU may have guessed wrong.
 */
static inline unsigned long lucid_slot_hva(const struct lucid_slot *slot, u64 gfn)
{
	return slot->hva +
	       (array_index_nospec(gfn - slot->base_gfn, slot->npages) << PAGE_SHIFT);
}

static inline bool lucid_slot_readonly(const struct lucid_slot *slot)
{
	return slot->flags & KVM_MEM_READONLY;
}

/*
 * Entries were removed or weakened: whoever enters from now on flushes, and
 * whoever is in the guest is fetched out of it and waited for.
 */
static inline void lucid_mem_changed(struct lucid_vm *vm)
{
	lockdep_assert_held(&vm->mem.lock);
	WRITE_ONCE(vm->mem.epoch, vm->mem.epoch + 1);
	lucid_vm_flush_remote(vm);
}

#endif
