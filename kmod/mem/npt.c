// SPDX-License-Identifier: GPL-2.0
/*
 * Nested page tables: install, zap, age.
 *
 * Tables are changed under mem->lock.  They are read without it: by the CPU
 * and by lucid_mem_peek_ptr().  So an entry is written whole, a table is
 * complete before it is linked, and a table that is unlinked lives on, empty,
 * until no one can be in it: the CPUs' paging-structure caches until the
 * flush, readers until their interrupts or RCU sections end.
 *
 * What needs a flush: a leaf removed, write permission removed, a table
 * unlinked.  What needs none: an entry where there was none, more permission
 * for the same page (AMD APM vol. 2, "TLB Management"; SDM vol. 3C,
 * "Invalidating Cached Translation Information"): the worst is one more fault,
 * which finds the entry standing.
 */
#include <linux/mem_encrypt.h>
#include <linux/slab.h>

#include "internal.h"

/*
 * Written at load only.  The host page's accessed state is ours to keep from
 * the first access on, so the leaf of a fault is born accessed, and dirty if
 * that was a write; its neighbours' are neither.
 */
struct lucid_pt_format lucid_pt __ro_after_init;

int __init lucid_mem_module_init(void)
{
	/*
	 * NPT: the format of the host's own tables, walked as a user access:
	 * U/S is set everywhere (APM vol. 2, "Nested Page Faults and
	 * Intercepts").  NX stays 0: everything may be executed.
	 */
	static const struct lucid_pt_format npt = {
		.present	= _PAGE_PRESENT,
		.table		= _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED,
		.leaf		= _PAGE_PRESENT | _PAGE_USER | _PAGE_ACCESSED,
		.write		= _PAGE_RW,
		.accessed	= _PAGE_ACCESSED,
		.dirty		= _PAGE_DIRTY,
		.large		= _PAGE_PSE,
		.address	= GENMASK_ULL(51, 12),
	};
	/*
	 * EPT: R, W, X; RAM is write-back whatever the guest's PAT says (type 6,
	 * ignore PAT); A and D are bits 8 and 9, if EPTP turns them on (SDM
	 * vol. 3C, "EPT Translation Mechanism").
	 */
	static const struct lucid_pt_format ept = {
		.present	= 7,
		.table		= 7,
		.leaf		= 1 | 4 | 6 << 3 | BIT(6) | BIT(8),
		.write		= 2,
		.exec		= 4,
		.accessed	= BIT(8),
		.dirty		= BIT(9),
		.large		= BIT(7),
		.address	= GENMASK_ULL(51, 12),
	};

	lucid_pt = static_branch_likely(&lucid_is_svm) ? npt : ept;
	lucid_pt.table |= sme_me_mask;
	lucid_pt.leaf |= sme_me_mask;
	lucid_pt.address &= ~sme_me_mask;
	if (!lucid_hw_caps.accessed_dirty) {
		lucid_pt.leaf &= ~lucid_pt.accessed;
		lucid_pt.accessed = lucid_pt.dirty = 0;
	}
	lucid_pt.exec_4k = lucid_hw_caps.exec_4k;
	return 0;
}

void lucid_mem_module_exit(void)
{
	rcu_barrier();		/* free_table_rcu */
}

/* NPT has as many levels as the host's own tables; of EPT we use four. */
static unsigned int pt_levels(void)
{
	return static_branch_likely(&lucid_is_svm) && pgtable_l5_enabled() ? 5 : 4;
}

/**
 * lucid_mem_gpa_bits - how wide a guest-physical address may be
 *
 * What the host's CPU has, and no more than the nested tables reach: NPT is
 * walked in the host's own paging mode (APM vol. 2, "Nested Paging"), EPT with
 * four levels.
 * Context: any.
 */
unsigned int lucid_mem_gpa_bits(void)
{
	return min_t(unsigned int, boot_cpu_data.x86_phys_bits,
		     pt_levels() == 5 ? 52 : 48);
}

static u64 *entry_table(u64 entry)
{
	return phys_to_virt(entry & lucid_pt.address);
}

static unsigned int table_index(u64 gfn, unsigned int level)
{
	return (gfn >> (9 * (level - 1))) & 511;
}

/* Pages under one entry of a table of @level. */
static u64 entry_gfns(unsigned int level)
{
	return 1ULL << (9 * (level - 1));
}

static bool is_leaf(u64 entry, unsigned int level)
{
	return level == LUCID_LEVEL_4K || (entry & lucid_pt.large);
}

static void count_leaf(struct lucid_mem *mem, unsigned int level, int n)
{
	if (level == LUCID_LEVEL_4K)
		mem->nr_mapped_4k += n;
	else
		mem->nr_mapped_2m += n;
}

int lucid_table_cache_refill(struct lucid_table_cache *tc)
{
	while (tc->nr < ARRAY_SIZE(tc->page)) {
		void *page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

		if (!page)
			return tc->nr >= LUCID_TABLES_PER_FAULT ? 0 : -ENOMEM;
		tc->page[tc->nr++] = page;
	}
	return 0;
}

/**
 * lucid_table_cache_free - give back what a vCPU's cache holds
 * @tc: the vCPU's; empty afterwards
 */
void lucid_table_cache_free(struct lucid_table_cache *tc)
{
	while (tc->nr)
		free_page((unsigned long)tc->page[--tc->nr]);
}

int lucid_pt_create(struct lucid_mem *mem)
{
	mem->root = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!mem->root)
		return -ENOMEM;
	mem->root_pa = __sme_pa(mem->root);
	mem->levels = pt_levels();
	mem->root_shift = PAGE_SHIFT + 9 * (mem->levels - 1);
	mem->nr_tables = 1;
	return 0;
}

static void destroy_table(struct lucid_mem *mem, u64 *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; level > LUCID_LEVEL_4K && i < PTRS_PER_PTE; i++) {
		if (!(table[i] & lucid_pt.present) || is_leaf(table[i], level))
			continue;
		destroy_table(mem, entry_table(table[i]), level - 1);
		cond_resched();
	}
	free_page((unsigned long)table);
	mem->nr_tables--;
}

/* Nobody can be in the tables any more; leaves are gone. */
void lucid_pt_destroy(struct lucid_mem *mem)
{
	if (mem->root)
		destroy_table(mem, mem->root, mem->levels);
	mem->root = NULL;
	WARN_ON_ONCE(mem->nr_tables || mem->nr_mapped_4k || mem->nr_mapped_2m);
}

/* Put an empty table behind @entry. */
static u64 *link_table(struct lucid_mem *mem, struct lucid_table_cache *tc, u64 *entry)
{
	u64 *table;

	if (unlikely(!tc->nr))
		return NULL;
	table = tc->page[--tc->nr];
	mem->nr_tables++;
	/* Whoever sees the entry sees the table empty. */
	smp_store_release(entry, __pa(table) | lucid_pt.table);
	return table;
}

/**
 * lucid_pt_install - make a guest page accessible
 * @vm: the VM
 * @tc: where new tables come from
 * @gfn: the guest page
 * @page: what the host has behind it
 * @level: the largest level the mapping may have, at most @page's
 * @access: LUCID_ACCESS_ of the fault; @page is writable for a write
 *
 * A table of 4K entries that stands where a 2M entry could be is kept.
 *
 * Context: mem->lock held, and @page known to be current under it.
 * Return: 0, also when a sufficient entry stood there already; -EAGAIN if
 * @tc has run short (what was linked so far stays, empty).
 */
int lucid_pt_install(struct lucid_vm *vm, struct lucid_table_cache *tc, u64 gfn,
		     const struct lucid_host_page *page, unsigned int level,
		     unsigned int access)
{
	struct lucid_mem *mem = &vm->mem;
	u64 *table = mem->root, *entry;
	bool write = access & LUCID_ACCESS_WRITE;
	/* What an entry must have to be enough. */
	u64 needs = (write ? lucid_pt.write : 0) |
		    (access & LUCID_ACCESS_EXEC && lucid_pt.exec_4k ? lucid_pt.exec : 0);
	unsigned int l = mem->levels;
	u64 old, new;

	lockdep_assert_held(&mem->lock);
	for (;; l--) {
		entry = &table[table_index(gfn, l)];
		old = *entry;
		if (l == LUCID_LEVEL_4K)
			break;
		if (!(old & lucid_pt.present)) {
			if (l == level)
				break;
		} else if (!is_leaf(old, l)) {
			table = entry_table(old);
			continue;
		} else if (l == level || (old & needs) == needs) {
			break;
		} else {
			/* Too weak a large page, and no large one may replace it. */
			WRITE_ONCE(*entry, 0);
			count_leaf(mem, l, -1);
			lucid_mem_changed(vm);
		}
		table = link_table(mem, tc, entry);
		if (!table)
			return -EAGAIN;
	}

	new = lucid_pt.leaf;
	if (page->writable)
		new |= lucid_pt.write;
	if (write)
		new |= lucid_pt.dirty;
	if (l == LUCID_LEVEL_4K)
		new |= page->pfn << PAGE_SHIFT;
	else
		new |= (page->pfn & ~(LUCID_GFNS_2M - 1)) << PAGE_SHIFT | lucid_pt.large;
	if (unlikely(lucid_pt.exec_4k) && l != LUCID_LEVEL_4K)
		new &= ~lucid_pt.exec;

	if (unlikely(old & lucid_pt.present)) {
		if (l > level || !((old ^ new) & lucid_pt.address)) {
			/* The same page: more permission, or nothing to do. */
			if (write && !(old & lucid_pt.write))
				WRITE_ONCE(*entry, new);
			return 0;
		}
		/* Another page: never from one to the other without a flush. */
		WRITE_ONCE(*entry, 0);
		count_leaf(mem, l, -1);
		lucid_mem_changed(vm);
	}
	WRITE_ONCE(*entry, new);
	count_leaf(mem, l, 1);
	return 0;
}

/**
 * lucid_pt_window - the entries of a guest page and its neighbours
 * @mem: the VM's memory
 * @gfn: the guest page
 *
 * Context: mem->lock held.
 * Return: the first of LUCID_AROUND entries, aligned; NULL if no table of 4K
 * pages stands there.
 */
u64 *lucid_pt_window(const struct lucid_mem *mem, u64 gfn)
{
	u64 *table = mem->root;
	unsigned int l;

	for (l = mem->levels; l > LUCID_LEVEL_4K; l--) {
		u64 entry = table[table_index(gfn, l)];

		if (!(entry & lucid_pt.present) || is_leaf(entry, l))
			return NULL;
		table = entry_table(entry);
	}
	return &table[table_index(gfn, l) & ~(LUCID_AROUND - 1)];
}

/*
 * Empty a table's part of [start, end).  @base is the first gfn under it.
 * Tables below that lie in the range with all they cover are unlinked.
 */
static void zap_table(struct lucid_mem *mem, u64 *table, unsigned int level, u64 base,
		      u64 start, u64 end, struct lucid_zap *zap)
{
	u64 gfns = entry_gfns(level);
	u64 last = min(end, base + PTRS_PER_PTE * gfns);
	u64 gfn = max(start, base) & ~(gfns - 1);

	for (; gfn < last; gfn += gfns) {
		u64 *entry = &table[table_index(gfn, level)];
		u64 old = *entry;

		if (!(old & lucid_pt.present))
			continue;
		if (is_leaf(old, level)) {
			/* A and D that the CPU sets meanwhile are lost with no harm:
			 * a writable page was noted dirty when it was mapped. */
			WRITE_ONCE(*entry, 0);
			count_leaf(mem, level, -1);
			zap->changed = true;
			continue;
		}
		zap_table(mem, entry_table(old), level - 1, gfn, start, end, zap);
		if (start <= gfn && gfn + gfns <= end) {
			WRITE_ONCE(*entry, 0);
			mem->nr_tables--;
			list_add(&virt_to_page(entry_table(old))->lru, &zap->tables);
			zap->changed = true;
		}
	}
}

/**
 * lucid_pt_zap - remove what is mapped in a range of guest pages
 * @vm: the VM
 * @start: first gfn
 * @end: last gfn + 1
 * @may_sleep: the lock may be dropped for a moment between two parts
 * @zap: collects what is owed: pass it to lucid_pt_zap_finish()
 *
 * A large page that lies only partly in the range goes whole.
 *
 * Context: mem->lock held.  With @may_sleep the caller makes sure that nothing
 * is mapped anew in the range meanwhile, or that it does not matter.
 */
void lucid_pt_zap(struct lucid_vm *vm, u64 start, u64 end, bool may_sleep,
		  struct lucid_zap *zap)
{
	const u64 part = entry_gfns(3);		/* 1G: all below it in one go */
	struct lucid_mem *mem = &vm->mem;
	u64 next;

	for (; start < end; start = next) {
		next = min(end, (start & ~(part - 1)) + part);
		zap_table(mem, mem->root, mem->levels, 0, start, next, zap);
		/*
		 * Never let go of the lock with a flush owed: another notifier
		 * would find nothing mapped, not flush, and free the pages.
		 */
		if (may_sleep && next < end && (need_resched() || spin_is_contended(&mem->lock))) {
			lucid_pt_zap_finish(vm, zap);
			cond_resched_lock(&mem->lock);
		}
	}
}

static void free_table_rcu(struct rcu_head *rcu)
{
	__free_page(container_of(rcu, struct page, rcu_head));
}

/**
 * lucid_pt_zap_finish - flush and free what a removal owes
 * @vm: the VM
 * @zap: what lucid_pt_zap() collected
 *
 * Context: mem->lock held since the last lucid_pt_zap().
 */
void lucid_pt_zap_finish(struct lucid_vm *vm, struct lucid_zap *zap)
{
	struct page *page, *tmp;

	if (!zap->changed)
		return;
	lucid_mem_changed(vm);
	list_for_each_entry_safe(page, tmp, &zap->tables, lru) {
		list_del(&page->lru);
		call_rcu(&page->rcu_head, free_table_rcu);
	}
	zap->changed = false;
}

/* *removed: a leaf went, where the CPU keeps no A bit to clear. */
static bool age_table(struct lucid_mem *mem, u64 *table, unsigned int level, u64 base, u64 start,
		      u64 end, bool clear, bool *removed)
{
	u64 gfns = entry_gfns(level);
	u64 last = min(end, base + PTRS_PER_PTE * gfns);
	u64 gfn = max(start, base) & ~(gfns - 1);
	bool young = false;

	for (; gfn < last; gfn += gfns) {
		u64 *entry = &table[table_index(gfn, level)];
		u64 old = READ_ONCE(*entry);

		if (!(old & lucid_pt.present))
			continue;
		if (!is_leaf(old, level)) {
			young |= age_table(mem, entry_table(old), level - 1, gfn, start, end,
					   clear, removed);
		} else if (unlikely(!lucid_pt.accessed)) {
			young = true;
			if (clear) {
				WRITE_ONCE(*entry, 0);
				count_leaf(mem, level, -1);
				*removed = true;
			}
		} else if (old & lucid_pt.accessed) {
			young = true;
			/* The CPU may be setting D in the same entry. */
			if (clear)
				clear_bit(__ffs64(lucid_pt.accessed), (unsigned long *)entry);
		}
	}
	return young;
}

/**
 * lucid_pt_age - has the guest touched these pages?
 * @vm: the VM
 * @start: first gfn
 * @end: last gfn + 1
 * @clear: and start anew; the caller moves the epoch, see SAFETY.md
 *
 * A CPU whose EPT keeps no A bits cannot tell: what is mapped counts as touched,
 * and is unmapped (and flushed at once) to see whether it is asked for again.
 *
 * Context: mem->lock held.
 */
bool lucid_pt_age(struct lucid_vm *vm, u64 start, u64 end, bool clear)
{
	struct lucid_mem *mem = &vm->mem;
	bool removed = false;
	bool young = age_table(mem, mem->root, mem->levels, 0, start, end, clear, &removed);

	if (removed)
		lucid_mem_changed(vm);
	return young;
}
