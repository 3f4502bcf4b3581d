// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/lucid (and, with alias_kvm=1, /dev/kvm): the device node and the ioctls
 * of its file descriptor, KVM's "system ioctls".
 */
#define pr_fmt(fmt) "lucid: " fmt

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "device.h"
#include "lucid.h"

static bool alias_kvm;
module_param(alias_kvm, bool, 0444);
MODULE_PARM_DESC(alias_kvm, "answer on /dev/kvm too (KVM must not be loaded)");

static long lucid_dev_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (nr) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return lucid_vm_create(arg);
	case KVM_CHECK_EXTENSION:
		return lucid_check_extension(NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : 2 * PAGE_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return lucid_cpuid_get_supported(argp);
	case KVM_GET_MSR_INDEX_LIST:
		return lucid_msr_index_list(argp);
	}
	return -EINVAL;		/* as KVM; its VM fd says -ENOTTY */
}

static const struct file_operations lucid_dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = lucid_dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/* The group (kvm, if it exists) is given by udev: tools/lucid/60-lucid.rules. */
static struct miscdevice lucid_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lucid",
	.mode = 0660,
	.fops = &lucid_dev_fops,
};

static struct miscdevice lucid_kvm_dev = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.mode = 0660,
	.fops = &lucid_dev_fops,
};

static int held_open(struct inode *inode, struct file *file)
{
	return -EBUSY;
}

static const struct file_operations held_fops = {
	.owner = THIS_MODULE,
	.open = held_open,
};

static struct miscdevice held_kvm = {
	.minor = KVM_MINOR,
	.name = "lucid-holds-kvm",
	.mode = 0400,
	.fops = &held_fops,
};

/**
 * lucid_device_hold_kvm - take KVM's minor number, so that KVM does not load
 *
 * For hardware that KVM claims when it is loaded, not when it is used.
 * Context: may sleep.
 * Return: 0; -EBUSY with a line in the log if KVM is loaded.
 */
int lucid_device_hold_kvm(void)
{
	int r = alias_kvm ? 0 : misc_register(&held_kvm);

	if (r)
		pr_err_ratelimited("KVM is loaded and holds the virtualization hardware: stop its guests and unload it (rmmod kvm_intel)\n");
	return r;
}

void lucid_device_let_kvm_go(void)
{
	if (!alias_kvm)
		misc_deregister(&held_kvm);
}

/**
 * lucid_device_register - make the nodes
 *
 * Return: 0; -EBUSY with a line in the log if /dev/kvm is asked for but taken.
 */
int lucid_device_register(void)
{
	int r = misc_register(&lucid_dev);

	if (r) {
		pr_err("cannot register /dev/lucid: error %d\n", r);
		return r;
	}
	if (!alias_kvm)
		return 0;
	r = misc_register(&lucid_kvm_dev);
	if (r) {
		pr_err("alias_kvm=1: /dev/kvm is taken (is KVM loaded? try: modprobe -r kvm_amd kvm_intel kvm)\n");
		misc_deregister(&lucid_dev);
	}
	return r;
}

void lucid_device_unregister(void)
{
	if (alias_kvm)
		misc_deregister(&lucid_kvm_dev);
	misc_deregister(&lucid_dev);
}
