/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory: slots, nested page tables, faults, MMU notifiers.
 *
 * Guest memory is the process's memory: a slot says which of the caller's
 * virtual addresses (hva) stand behind which guest-physical ones (gpa).  The
 * nested page tables are a cache of the host's page tables, filled on fault
 * and dropped by MMU notifiers.  No page is pinned: a nested entry holds no
 * reference, the notifier removes it before the host takes the page away.
 *
 *   slots.c     KVM_SET_USER_MEMORY_REGION, birth and death
 *   fault.c     from a nested fault to an entry
 *   npt.c       the tables themselves: install, zap, age
 *   notifier.c  what the host's memory management tells us
 *   access.c    reading and writing guest memory from the host
 */
#ifndef LUCID_MEM_H
#define LUCID_MEM_H

#include <linux/io.h>
#include <linux/kvm.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>

#define LUCID_MAX_SLOTS		512		/* user slots a VM may have */

struct lucid_vm;

struct lucid_slot {
	u64 base_gfn;
	u64 npages;
	unsigned long hva;
	u32 flags;		/* KVM_MEM_READONLY */
	u32 id;
};

/* Immutable once published; readers hold SRCU (or mem->lock). */
struct lucid_slots {
	struct lucid_slots *retired;	/* the one replaced before this one was */
	u64 generation;		/* moves with every change */
	u32 nr;
	struct lucid_slot slot[];	/* sorted by base_gfn */
};

/* Table pages made ready before a lock is taken; per vCPU. */
struct lucid_table_cache {
	unsigned int nr;
	void *page[5];		/* one for each level a fault may need */
};

#define LUCID_TABLES_PER_FAULT	4	/* five levels, the root stands */

struct lucid_mem {
	struct mm_struct *mm;
	struct mmu_notifier notifier;
	struct srcu_struct srcu;
	const struct lucid_slot *leaving;	/* being zapped, no longer in slots; under lock */
	struct lucid_slots __rcu *slots;	/* writers: vm->lock and mem->lock */
	struct lucid_slots *retired;	/* arrays replaced, not yet freed; vm->lock */
	unsigned int nr_retired;

	/*
	 * Guards the tables, invalidate_*, and the publication of slots.  A
	 * spinlock, taken with interrupts on and preemption off or on; inside
	 * it nothing sleeps, and flushes (IPIs that wait) are sent under it, so
	 * it must never be waited for with interrupts off.
	 */
	spinlock_t lock;
	unsigned long invalidate_seq;		/* moves at range_end */
	unsigned int invalidate_in_progress;	/* range_start without its end */
	unsigned long invalidate_start, invalidate_end;	/* hull of those, hva */

	u64 *root;
	u64 root_pa;		/* what nested_cr3 / EPTP gets */
	unsigned int levels;	/* 4 or 5 */
	unsigned int root_shift;	/* gpa >> root_shift: index into the root */
	u64 epoch;		/* nested-table changes; written under lock, read by entry */
	u64 nr_tables;		/* table pages, root included; under lock */
	u64 nr_mapped_4k, nr_mapped_2m;	/* leaves; under lock */
};

/*
 * What the bits of a nested entry are called: one table a format (NPT, EPT), so that the code knows only the names.  Chosen once, at load.
 */
struct lucid_pt_format {
	u64 present;		/* any of these set: the entry is in use */
	u64 table;		/* all the bits of an entry that points to a table */
	u64 leaf;		/* all the bits of a leaf that may be read and executed */
	u64 write;		/* added to a leaf that may be written */
	u64 accessed, dirty;	/* set by the CPU; 0 where it keeps none */
	u64 large;		/* a leaf above the last level */
	u64 address;		/* where the host-physical address is */
	u64 exec;		/* in leaf: may be executed; 0 where a leaf always may */
	bool exec_4k;		/* large leaves must not be executed (iTLB multihit) */
};

extern struct lucid_pt_format lucid_pt;

/* Access bits of a fault, of walks, of emulated accesses. */
#define LUCID_ACCESS_WRITE	(1u << 0)
#define LUCID_ACCESS_EXEC	(1u << 1)

/* Answers of lucid_mem_fault() that are no errno. */
#define LUCID_FAULT_MAPPED	0	/* go on */
#define LUCID_FAULT_MMIO	1	/* no slot there, or a write to a read-only one */

int lucid_mem_module_init(void);
void lucid_mem_module_exit(void);
int lucid_mem_init(struct lucid_vm *vm);
void lucid_mem_destroy(struct lucid_vm *vm);
unsigned int lucid_mem_gpa_bits(void);
int lucid_mem_set_slot(struct lucid_vm *vm, const struct kvm_userspace_memory_region *r);

int lucid_table_cache_refill(struct lucid_table_cache *tc);
void lucid_table_cache_free(struct lucid_table_cache *tc);

/**
 * lucid_table_cache_fill - have enough table pages for one nested fault
 * @tc: the vCPU's
 *
 * Context: may sleep, unless the cache is full enough already.
 * Return: 0 or -ENOMEM.
 */
static inline int lucid_table_cache_fill(struct lucid_table_cache *tc)
{
	return likely(tc->nr >= LUCID_TABLES_PER_FAULT) ? 0 : lucid_table_cache_refill(tc);
}

int lucid_mem_fault(struct lucid_vm *vm, struct lucid_table_cache *tc, u64 gpa,
		    unsigned int access, bool atomic);
int lucid_mem_read(struct lucid_vm *vm, u64 gpa, void *buf, unsigned int len);
int lucid_mem_write(struct lucid_vm *vm, u64 gpa, const void *buf, unsigned int len);
int lucid_mem_cmpxchg(struct lucid_vm *vm, u64 gpa, const void *old, const void *new,
		      unsigned int len);

/**
 * lucid_mem_peek_ptr - where the host has the guest's byte, without any lock
 * @mem: the VM's memory
 * @gpa: guest-physical address
 *
 * Walks the nested tables as the CPU does.  The pointer is good up to the end
 * of its 4K page, for reading only, and only until interrupts are opened:
 * whoever removes an entry waits for an IPI's answer from every CPU that is
 * marked in guest before the page goes.  The guest's other vCPUs and the
 * process may be writing there: READ_ONCE.
 *
 * Context: the vCPU's thread, its seat.in_guest set, interrupts off.
 * Return: NULL if nothing is mapped there (yet).
 */
static inline const void *lucid_mem_peek_ptr(const struct lucid_mem *mem, u64 gpa)
{
	const u64 *table = mem->root;
	unsigned int shift = mem->root_shift;
	u64 entry, offset;

	if (unlikely(gpa >> shift >> 9))
		return NULL;
	for (;;) {
		entry = READ_ONCE(table[(gpa >> shift) & 511]);
		if (!(entry & lucid_pt.present))
			return NULL;
		if (shift == PAGE_SHIFT || (entry & lucid_pt.large))
			break;
		table = phys_to_virt(entry & lucid_pt.address);
		shift -= 9;
	}
	offset = (1ULL << shift) - 1;
	return phys_to_virt((entry & lucid_pt.address & ~offset) | (gpa & offset));
}

/*
 * Given by the layer above (run.c): no CPU that is in guest mode with this VM
 * goes on with what it had cached of the nested tables before the call.
 * Context: may hold mem->lock; interrupts on; waits for IPIs.
 */
void lucid_vm_flush_remote(struct lucid_vm *vm);

#endif
