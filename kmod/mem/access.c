// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory read and written by the host.
 *
 * Two ways.  Through the slots and user memory: everything the guest could
 * reach, brought in if need be; may sleep.  And by peeking: only what the
 * nested tables map at this moment, without any lock, for the moments right
 * after an exit.
 */
#include <linux/uaccess.h>

#include "internal.h"

#define NO_HVA	(~0UL)

/* The address of the guest's byte at @gpa; NO_HVA where it has no such RAM. */
static unsigned long gpa_hva(const struct lucid_slots *slots, u64 gpa, bool write)
{
	const struct lucid_slot *slot = lucid_mem_find_slot(slots, gpa >> PAGE_SHIFT);

	if (!slot || (write && lucid_slot_readonly(slot)))
		return NO_HVA;
	return lucid_slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa);
}

static unsigned int left_in_page(u64 gpa, unsigned int len)
{
	return min_t(u64, len, PAGE_SIZE - offset_in_page(gpa));
}

static bool is_ram(const struct lucid_slots *slots, u64 gpa, unsigned int len, bool write)
{
	unsigned int n;

	for (; len; gpa += n, len -= n) {
		n = left_in_page(gpa, len);
		if (gpa_hva(slots, gpa, write) == NO_HVA)
			return false;
	}
	return true;
}

/* A table entry of the guest's is read whole, whoever changes it meanwhile. */
static int read_user(void *buf, void __user *p, unsigned int n)
{
	if (n == 8 && IS_ALIGNED((unsigned long)p, 8))
		return get_user(*(u64 *)buf, (u64 __user *)p);
	if (n == 4 && IS_ALIGNED((unsigned long)p, 4))
		return get_user(*(u32 *)buf, (u32 __user *)p);
	return copy_from_user(buf, p, n) ? -EFAULT : 0;
}

static int access_ram(struct lucid_vm *vm, u64 gpa, void *buf, unsigned int len, bool write)
{
	const struct lucid_slots *slots;
	unsigned int n;
	int r = 0, idx;

	might_sleep();
	if (current->mm != vm->mem.mm)
		return -EIO;
	idx = srcu_read_lock(&vm->mem.srcu);
	slots = lucid_mem_slots(vm);
	if (!is_ram(slots, gpa, len, write))
		r = LUCID_FAULT_MMIO;
	for (; !r && len; gpa += n, buf += n, len -= n) {
		void __user *p = (void __user *)gpa_hva(slots, gpa, write);

		n = left_in_page(gpa, len);
		if (write)
			r = copy_to_user(p, buf, n) ? -EFAULT : 0;
		else
			r = read_user(buf, p, n);
	}
	srcu_read_unlock(&vm->mem.srcu, idx);
	return r;
}

/**
 * lucid_mem_read - read guest-physical memory
 * @vm: the VM
 * @gpa: from where; may cross pages and slots
 * @buf: to where
 * @len: bytes
 *
 * Context: a thread of the VM's process; sleeps.
 * Return: 0; LUCID_FAULT_MMIO if any byte of it is no RAM, and then nothing
 * was read; -EFAULT if the slot's memory is not there; -EIO, a foreign process.
 */
int lucid_mem_read(struct lucid_vm *vm, u64 gpa, void *buf, unsigned int len)
{
	return access_ram(vm, gpa, buf, len, false);
}

/**
 * lucid_mem_write - write guest-physical memory
 * @vm: the VM
 * @gpa: to where; may cross pages and slots
 * @buf: from where
 * @len: bytes
 *
 * Context: a thread of the VM's process; sleeps.
 * Return: 0; LUCID_FAULT_MMIO if any byte of it is no RAM or lies in a
 * read-only slot, and then nothing was written; -EFAULT if the slot's memory
 * is not there or not writable (what comes before it is written); -EIO.
 */
int lucid_mem_write(struct lucid_vm *vm, u64 gpa, const void *buf, unsigned int len)
{
	return access_ram(vm, gpa, (void *)buf, len, true);
}

/*
 * __try_cmpxchg_user() for 16 bytes, which it does not do.  @p is aligned.
 * Return: 0, done; 1, it was something else; -EFAULT.
 */
static int try_cmpxchg16_user(void __user *p, const u64 *old, const u64 *new)
{
	u64 low = old[0], high = old[1];
	int r = -EFAULT;

	if (!user_access_begin(p, 16))
		return r;
	asm volatile("1: lock cmpxchg16b (%[p])\n"
		     "	setnz %b[r]\n"
		     "	movzbl %b[r], %[r]\n"
		     "2:\n"
		     _ASM_EXTABLE_UA(1b, 2b)
		     : [r] "+r" (r), "+a" (low), "+d" (high)
		     : [p] "r" (p), "b" (new[0]), "c" (new[1])
		     : "memory", "cc");
	user_access_end();
	return r;
}

/**
 * lucid_mem_cmpxchg - change guest memory if it is still what it was
 * @vm: the VM
 * @gpa: where; aligned to @len
 * @old: what was read there
 * @new: what is to be there
 * @len: 4, 8 or 16
 *
 * Context: a thread of the VM's process; sleeps.
 * Return: 0, done; 1, it was something else; -EFAULT, no memory that may be
 * written there; -EINVAL, also for 16 on a CPU without CMPXCHG16B; -EIO, a
 * foreign process.
 */
int lucid_mem_cmpxchg(struct lucid_vm *vm, u64 gpa, const void *old, const void *new,
		      unsigned int len)
{
	unsigned long hva;
	u64 old64;
	u32 old32;
	int r, idx;

	might_sleep();
	if ((len != 4 && len != 8 && len != 16) || !IS_ALIGNED(gpa, len) ||
	    (len == 16 && !boot_cpu_has(X86_FEATURE_CX16)))
		return -EINVAL;
	if (current->mm != vm->mem.mm)
		return -EIO;
	idx = srcu_read_lock(&vm->mem.srcu);
	hva = gpa_hva(lucid_mem_slots(vm), gpa, true);
	if (hva == NO_HVA) {
		r = -EFAULT;
	} else if (len == 16) {
		r = try_cmpxchg16_user((void __user *)hva, old, new);
	} else if (len == 8) {
		old64 = *(const u64 *)old;
		r = __try_cmpxchg_user((u64 __user *)hva, &old64, *(const u64 *)new, fault64);
	} else {
		old32 = *(const u32 *)old;
		r = __try_cmpxchg_user((u32 __user *)hva, &old32, *(const u32 *)new, fault32);
	}
	srcu_read_unlock(&vm->mem.srcu, idx);
	return r;
}
