// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual machine: its life, and the ioctls of its file descriptor.
 *
 * It lives as long as its own fd or any vCPU's is open (or mapped).  Only the
 * process that made it may use it: its memory is that process's memory.
 */
#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/msr.h>

#include "device.h"
#include "lucid.h"

static atomic64_t lucid_vm_ids;

static void lucid_vm_destroy(struct lucid_vm *vm)
{
	unsigned int i;

	/* First what looks at the vCPUs: notifiers flush those in the guest. */
	lucid_mem_destroy(vm);
	lucid_irq_vm_destroy(vm);	/* its timer looks for vCPUs */
	for (i = 0; i < vm->nr_vcpus; i++)
		lucid_vcpu_destroy(vm->vcpus[i]);
	lucid_hw_put();
	kvfree(vm);
}

void lucid_vm_get(struct lucid_vm *vm)
{
	refcount_inc(&vm->users);
}

void lucid_vm_put(struct lucid_vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		lucid_vm_destroy(vm);
}

/**
 * lucid_vm_create - KVM_CREATE_VM
 * @type: 0, the only one there is
 *
 * Return: the new file descriptor; -EINVAL, -ENOMEM, -EBUSY (somebody else
 * holds the virtualization hardware), -EMFILE.
 */
long lucid_vm_create(unsigned long type)
{
	struct lucid_vm *vm;
	int r;

	if (type)
		return -EINVAL;
	vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return -ENOMEM;
	refcount_set(&vm->users, 1);
	mutex_init(&vm->lock);
	vm->id = atomic64_inc_return(&lucid_vm_ids);
	vm->tsc_base = rdtsc();
	lucid_irq_vm_init(vm);
	lucid_clock_vm_init(vm);

	r = lucid_hw_get();
	if (r)
		goto err_free;
	r = lucid_mem_init(vm);
	if (r)
		goto err_hw;
	r = anon_inode_getfd("kvm-vm", &lucid_vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (r < 0)
		goto err_mem;
	return r;

err_mem:
	lucid_mem_destroy(vm);
err_hw:
	lucid_hw_put();
err_free:
	kvfree(vm);
	return r;
}

/* Capabilities that are simply there, and what they answer. */
static const struct { u32 cap; int value; } lucid_caps[] = {
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_MAX_VCPUS, LUCID_MAX_VCPUS },
	{ KVM_CAP_MAX_VCPU_ID, LUCID_MAX_VCPU_ID },
	{ KVM_CAP_NR_MEMSLOTS, LUCID_MAX_SLOTS },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_IRQ_ROUTING, LUCID_MAX_ROUTES },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME |
				KVM_CLOCK_HOST_TSC },
	{ LUCID_CAP_STATS, 1 },
	{ LUCID_CAP_BENCH_FLOOR, 1 },
	{ LUCID_CAP_REFUSAL, 1 },
};

/**
 * lucid_check_extension - KVM_CHECK_EXTENSION, on the device and on a VM
 * @vm: the VM, or NULL
 * @cap: KVM_CAP_ or LUCID_CAP_
 *
 * Return: what works is above 0; everything else is 0.
 */
int lucid_check_extension(struct lucid_vm *vm, unsigned long cap)
{
	unsigned int i;

	switch (cap) {
	case KVM_CAP_NR_VCPUS:	/* recommended, not the limit */
		return min_t(unsigned int, num_online_cpus(), LUCID_MAX_VCPUS);
	case KVM_CAP_XCRS:
		return lucid_fpu_host_xcr0() ? 1 : 0;
	case KVM_CAP_XSAVE2:
		return lucid_fpu_xsave2_size();
	}
	for (i = 0; i < ARRAY_SIZE(lucid_caps); i++)
		if (lucid_caps[i].cap == cap)
			return lucid_caps[i].value;
	return 0;
}

static long lucid_vm_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct lucid_vm *vm = file->private_data;
	void __user *argp = (void __user *)arg;
	struct kvm_userspace_memory_region region;
	struct kvm_clock_data clock;

	if (vm->mem.mm != current->mm)
		return -EIO;

	switch (nr) {
	case KVM_CREATE_VCPU:
		return lucid_vcpu_create(vm, arg);
	case KVM_CHECK_EXTENSION:
		return lucid_check_extension(vm, arg);
	case KVM_SET_USER_MEMORY_REGION:
		if (copy_from_user(&region, argp, sizeof(region)))
			return -EFAULT;
		return lucid_mem_set_slot(vm, &region);
	case KVM_GET_CLOCK:
		lucid_clock_get(vm, &clock);
		return copy_to_user(argp, &clock, sizeof(clock)) ? -EFAULT : 0;
	case KVM_SET_CLOCK:
		if (copy_from_user(&clock, argp, sizeof(clock)))
			return -EFAULT;
		return lucid_clock_set(vm, &clock);
	case KVM_SET_TSS_ADDR:
		/* Memory for VMX without unrestricted guest: noted, not needed. */
		if (arg > (unsigned int)(-3 * PAGE_SIZE))
			return -EINVAL;
		vm->tss_addr = arg;
		return 0;
	case KVM_SET_IDENTITY_MAP_ADDR: {
		u64 addr;
		int r = 0;

		if (copy_from_user(&addr, argp, sizeof(addr)))
			return -EFAULT;
		mutex_lock(&vm->lock);
		if (vm->nr_vcpus)
			r = -EINVAL;
		else
			vm->identity_addr = addr;
		mutex_unlock(&vm->lock);
		return r;
	}
	}
	return lucid_irq_vm_ioctl(vm, nr, arg);
}

static int lucid_vm_release(struct inode *inode, struct file *file)
{
	lucid_vm_put(file->private_data);
	return 0;
}

const struct file_operations lucid_vm_fops = {
	.owner = THIS_MODULE,
	.release = lucid_vm_release,
	.unlocked_ioctl = lucid_vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};
