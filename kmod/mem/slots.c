// SPDX-License-Identifier: GPL-2.0
/*
 * Memory slots, and the birth and death of a VM's memory.
 *
 * The slots are an array sorted by gfn that never changes once it is published;
 * a change makes a new one.  Readers that may sleep hold SRCU; whoever holds
 * mem->lock needs nothing more, because arrays are published under it.
 *
 * A deletion waits for the readers, it has to.  A creation does not: the array
 * it replaces is only put aside, and freed when somebody has waited.  (With
 * call_srcu() instead, the deletion that comes next would wait for that grace
 * period first, which is not an expedited one: milliseconds.)
 */
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

/* KVM's limit (KVM_MEM_MAX_NR_PAGES): page counts fit an int. */
#define SLOT_MAX_PAGES	((1ULL << 31) - 1)

static struct lucid_slots *alloc_slots(u32 nr)
{
	struct lucid_slots *slots;

	slots = kvmalloc(struct_size(slots, slot, nr), GFP_KERNEL_ACCOUNT);
	if (slots)
		slots->nr = nr;
	return slots;
}

/* Arrays put aside before somebody must wait: they are charged to the owner. */
#define MAX_RETIRED	32

static void free_retired(struct lucid_mem *mem)
{
	struct lucid_slots *slots;

	while ((slots = mem->retired)) {
		mem->retired = slots->retired;
		kvfree(slots);
	}
	mem->nr_retired = 0;
}

/**
 * lucid_mem_find_slot - the slot that holds a guest page
 * @slots: the published array
 * @gfn: guest page number, any value
 *
 * Context: SRCU or mem->lock held.
 * Return: NULL if there is none.
 */
const struct lucid_slot *lucid_mem_find_slot(const struct lucid_slots *slots, u64 gfn)
{
	u32 low = 0, high = slots->nr;

	/* The first slot above gfn is at high; the one before it may hold it. */
	while (low < high) {
		u32 middle = (low + high) / 2;

		if (slots->slot[middle].base_gfn > gfn)
			high = middle;
		else
			low = middle + 1;
	}
	if (!high)
		return NULL;
	high = array_index_nospec(high - 1, slots->nr);
	if (gfn - slots->slot[high].base_gfn >= slots->slot[high].npages)
		return NULL;
	return &slots->slot[high];
}

static const struct lucid_slot *find_slot_by_id(const struct lucid_slots *slots, u32 id)
{
	u32 i;

	for (i = 0; i < slots->nr; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

static bool overlaps(const struct lucid_slots *slots, const struct lucid_slot *new)
{
	u32 i;

	for (i = 0; i < slots->nr; i++) {
		const struct lucid_slot *s = &slots->slot[i];

		if (s->id != new->id && s->base_gfn < new->base_gfn + new->npages &&
		    new->base_gfn < s->base_gfn + s->npages)
			return true;
	}
	return false;
}

/* What can be told of a request by itself; KVM's checks in KVM's order. */
static int check_region(const struct kvm_userspace_memory_region *r)
{
	if (r->flags & ~KVM_MEM_READONLY)
		return -EINVAL;
	if (!PAGE_ALIGNED(r->memory_size) || !PAGE_ALIGNED(r->guest_phys_addr) ||
	    !PAGE_ALIGNED(r->userspace_addr))
		return -EINVAL;
	if (r->userspace_addr != untagged_addr(r->userspace_addr) ||
	    !access_ok((void __user *)(unsigned long)r->userspace_addr, r->memory_size))
		return -EINVAL;
	if (r->slot >= LUCID_MAX_SLOTS)
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr)
		return -EINVAL;
	if (r->memory_size >> PAGE_SHIFT > SLOT_MAX_PAGES)
		return -EINVAL;
	return 0;
}

/*
 * Replace the slots by @new's.  @old, if not NULL, is the slot whose guest
 * addresses are no longer what they were.
 */
static void publish(struct lucid_vm *vm, struct lucid_slots *new, const struct lucid_slot *old)
{
	struct lucid_mem *mem = &vm->mem;
	struct lucid_slots *gone = rcu_dereference_protected(mem->slots,
							     lockdep_is_held(&vm->lock));
	struct lucid_zap zap = LUCID_ZAP_INIT(zap);

	new->generation = gone->generation + 1;
	spin_lock(&mem->lock);
	rcu_assign_pointer(mem->slots, new);
	if (old) {
		/* The lock may be let go on the way: the notifiers still look at it. */
		mem->leaving = old;
		lucid_pt_zap(vm, old->base_gfn, old->base_gfn + old->npages, true, &zap);
		lucid_pt_zap_finish(vm, &zap);
		mem->leaving = NULL;
	}
	spin_unlock(&mem->lock);

	gone->retired = mem->retired;
	mem->retired = gone;
	if (old || ++mem->nr_retired > MAX_RETIRED) {
		/* Nobody goes on with the old address after the ioctl. */
		synchronize_srcu_expedited(&mem->srcu);
		free_retired(mem);
	}
}

static int set_slot_locked(struct lucid_vm *vm, const struct kvm_userspace_memory_region *r)
{
	const struct lucid_slots *slots = lucid_mem_slots(vm);
	const struct lucid_slot *old = find_slot_by_id(slots, r->slot);
	struct lucid_slot want = {
		.base_gfn = r->guest_phys_addr >> PAGE_SHIFT,
		.npages = r->memory_size >> PAGE_SHIFT,
		.hva = r->userspace_addr,
		.flags = r->flags,
		.id = r->slot,
	};
	struct lucid_slots *new;
	u32 i, n = 0;
	bool placed;

	if (!want.npages) {
		if (!old)
			return -EINVAL;
	} else {
		if (old) {
			if (want.hva != old->hva || want.npages != old->npages ||
			    want.flags != old->flags)
				return -EINVAL;
			if (want.base_gfn == old->base_gfn)
				return 0;
		}
		if (overlaps(slots, &want))
			return -EEXIST;
		if ((r->guest_phys_addr + r->memory_size - 1) >> lucid_mem_gpa_bits())
			return -EINVAL;
	}

	new = alloc_slots(slots->nr - !!old + !!want.npages);
	if (!new)
		return -ENOMEM;
	placed = !want.npages;
	for (i = 0; i < slots->nr; i++) {
		const struct lucid_slot *s = &slots->slot[i];

		if (s == old)
			continue;
		if (!placed && s->base_gfn > want.base_gfn) {
			new->slot[n++] = want;
			placed = true;
		}
		new->slot[n++] = *s;
	}
	if (!placed)
		new->slot[n++] = want;
	publish(vm, new, old);
	return 0;
}

/**
 * lucid_mem_set_slot - KVM_SET_USER_MEMORY_REGION
 * @vm: the VM
 * @r: the request, in kernel memory
 *
 * When it returns after a deletion or a move nothing reaches the memory
 * through the slot's old address any more.
 *
 * Context: takes vm->lock; sleeps; current->mm is the VM's.
 * Return: 0, or KVM's errors (Documentation/virt/kvm/api.rst, 4.35):
 * -EINVAL for what is out of bounds or unaligned, flags not known, a change of
 * anything but the guest address, the deletion of a slot that is not there;
 * -EEXIST for an overlap; -ENOMEM.
 */
int lucid_mem_set_slot(struct lucid_vm *vm, const struct kvm_userspace_memory_region *r)
{
	int ret = check_region(r);

	if (ret)
		return ret;
	mutex_lock(&vm->lock);
	ret = set_slot_locked(vm, r);
	mutex_unlock(&vm->lock);
	return ret;
}

/**
 * lucid_mem_init - give a new VM its memory: no slots, an empty root
 * @vm: zeroed, vm->lock initialized; not yet reachable by anybody else
 *
 * From here on the MMU notifiers of current->mm call lucid_vm_flush_remote().
 *
 * Context: the process that creates the VM; sleeps; takes mmap_lock.
 * Return: 0, -ENOMEM or -EINTR, with nothing left behind.
 */
int lucid_mem_init(struct lucid_vm *vm)
{
	struct lucid_mem *mem = &vm->mem;
	struct lucid_slots *slots;
	int r;

	spin_lock_init(&mem->lock);
	r = init_srcu_struct(&mem->srcu);
	if (r)
		return r;
	slots = alloc_slots(0);
	r = -ENOMEM;
	if (!slots)
		goto err_srcu;
	slots->generation = 0;
	rcu_assign_pointer(mem->slots, slots);
	r = lucid_pt_create(mem);
	if (r)
		goto err_slots;

	mem->mm = current->mm;
	mmgrab(mem->mm);
	mem->notifier.ops = &lucid_mmu_notifier_ops;
	r = mmu_notifier_register(&mem->notifier, mem->mm);
	if (r)
		goto err_mm;
	return 0;

err_mm:
	mmdrop(mem->mm);
	lucid_pt_destroy(mem);
err_slots:
	kvfree(slots);
err_srcu:
	cleanup_srcu_struct(&mem->srcu);
	return r;
}

/**
 * lucid_mem_destroy - the end of a VM's memory
 * @vm: no vCPU is left, and no other user of its memory
 *
 * Context: any process; sleeps.
 */
void lucid_mem_destroy(struct lucid_vm *vm)
{
	struct lucid_mem *mem = &vm->mem;

	/* Calls our release unless the process has died before. */
	mmu_notifier_unregister(&mem->notifier, mem->mm);
	lucid_pt_destroy(mem);
	free_retired(mem);
	kvfree(rcu_dereference_protected(mem->slots, true));
	cleanup_srcu_struct(&mem->srcu);
	mmdrop(mem->mm);
}
