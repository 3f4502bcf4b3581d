// SPDX-License-Identifier: GPL-2.0
/*
 * Load and unload; virtualization on and off, on every CPU.
 *
 * Virtualization is on while there are VMs and off otherwise, so that a loaded
 * but idle lucid.ko is in nobody's way.  Five things can change a CPU's state:
 *
 *   first VM, last VM    lucid_hw_get/put: all online CPUs, by IPI
 *   CPU comes, goes      the hotplug callbacks, on that CPU
 *   suspend, resume      syscore, on the last CPU (the others went by hotplug)
 *   reboot, kexec        the reboot notifier: all CPUs
 *   crash                6.1: the kernel clears EFER.SVME itself.  6.12: it does not,
 *                        and its one slot for a callback is not taken: KVM, loaded
 *                        beside us, would WARN instead of failing with -EBUSY.  SVM
 *                        left on does not hold back INIT or the crash kernel (GIF is
 *                        1 outside of entry.S); VMX would, and needs the slot.
 *
 * Each is one check-and-set of the per-CPU flag with interrupts off.  Entry
 * checks the same flag with interrupts off, so a CPU whose virtualization was
 * taken away never executes VMRUN: the vCPU thread, which hotplug may still
 * find on the CPU, moves on.
 */
#define pr_fmt(fmt) "lucid: " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <asm/tsc.h>

#include "device.h"
#include "lucid.h"

struct lucid_hw_caps lucid_hw_caps;
DEFINE_STATIC_KEY_TRUE(lucid_is_svm);
DEFINE_PER_CPU(bool, lucid_cpu_enabled);
DEFINE_PER_CPU(struct lucid_tlb_cpu, lucid_tlb_cpus);

static DEFINE_MUTEX(lucid_hw_lock);
static unsigned int lucid_hw_users;	/* VMs; under lucid_hw_lock */
static bool lucid_hw_on;		/* CPUs that come up are to be enabled */
static bool lucid_rebooting;
static enum cpuhp_state lucid_cpuhp;

/* Context: interrupts off, on the CPU. */
static int cpu_enable(void)
{
	int r;

	if (this_cpu_read(lucid_cpu_enabled))
		return 0;
	r = lucid_hw_cpu_enable();
	if (r)
		return r;
	/* Another hypervisor may have been here: nothing is known of the TLB. */
	lucid_tlb_cpu_init(this_cpu_ptr(&lucid_tlb_cpus), lucid_hw_caps.nr_tags,
			   lucid_hw_caps.flush_by_tag, lucid_hw_caps.root_tagged);
	this_cpu_write(lucid_cpu_enabled, true);
	return 0;
}

static void cpu_disable(void)
{
	if (!this_cpu_read(lucid_cpu_enabled))
		return;
	this_cpu_write(lucid_cpu_enabled, false);
	lucid_hw_cpu_disable();
}

static void cpu_enable_ipi(void *failed)
{
	int r = cpu_enable();

	if (r)
		atomic_cmpxchg((atomic_t *)failed, 0, r);
}

static void cpu_disable_ipi(void *unused)
{
	cpu_disable();
}

static void hw_release(void)
{
	lucid_hw_release();
	if (lucid_hw_caps.kvm_excluded)
		lucid_device_let_kvm_go();
}

/**
 * lucid_hw_get - one more VM: virtualization on everywhere
 *
 * Context: may sleep; no VM's lock is held.
 * Return: 0; -EBUSY if another hypervisor holds a CPU's virtualization (one
 * line in the log says which CPU and what to do), nothing is changed then.
 */
int lucid_hw_get(void)
{
	atomic_t failed = ATOMIC_INIT(0);
	int r = 0;

	mutex_lock(&lucid_hw_lock);
	if (lucid_rebooting) {
		r = -EBUSY;
	} else if (!lucid_hw_users) {
		r = lucid_hw_caps.kvm_excluded ? lucid_device_hold_kvm() : 0;
		if (r)
			goto out;
		lucid_hw_acquire();
		cpus_read_lock();
		on_each_cpu(cpu_enable_ipi, &failed, 1);
		r = atomic_read(&failed);
		if (r)
			on_each_cpu(cpu_disable_ipi, NULL, 1);
		else
			lucid_hw_on = true;
		cpus_read_unlock();
		if (r)
			hw_release();
	}
out:
	if (!r)
		lucid_hw_users++;
	mutex_unlock(&lucid_hw_lock);
	return r;
}

/** lucid_hw_put - one VM less: the last one turns virtualization off */
void lucid_hw_put(void)
{
	mutex_lock(&lucid_hw_lock);
	if (!--lucid_hw_users) {
		cpus_read_lock();
		lucid_hw_on = false;
		on_each_cpu(cpu_disable_ipi, NULL, 1);
		cpus_read_unlock();
		hw_release();
	}
	mutex_unlock(&lucid_hw_lock);
}

/* Both run on the CPU in its hotplug thread; cpus_write_lock is held. */
static int lucid_cpu_online(unsigned int cpu)
{
	unsigned long flags;
	int r = 0;

	local_irq_save(flags);
	if (lucid_hw_on)
		r = cpu_enable();
	local_irq_restore(flags);
	return r;	/* an error keeps the CPU offline: guests could run there */
}

static int lucid_cpu_offline(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	cpu_disable();
	local_irq_restore(flags);
	return 0;
}

/* Suspend: interrupts off, one CPU left, processes frozen. */
static int lucid_suspend(void)
{
	cpu_disable();
	return 0;
}

static void lucid_resume(void)
{
	if (lucid_hw_on && cpu_enable())
		pr_err("virtualization could not be turned on again after suspend\n");
}

LUCID_SYSCORE(lucid_syscore, lucid_suspend, lucid_resume);

static int lucid_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	/* Guests that still run see the flag and leave; no VM is made any more. */
	mutex_lock(&lucid_hw_lock);
	lucid_rebooting = true;
	lucid_hw_on = false;
	on_each_cpu(cpu_disable_ipi, NULL, 1);
	mutex_unlock(&lucid_hw_lock);
	return NOTIFY_OK;
}

static struct notifier_block lucid_reboot_nb = { .notifier_call = lucid_reboot };

static int __init lucid_init(void)
{
	int r;

	/* Guests' timers and clocks divide by it. */
	if (!tsc_khz) {
		pr_err("the kernel does not know the TSC's frequency: no guest could keep time\n");
		return -ENODEV;
	}
	/* Hygon's CPUs are AMD's design, Centaur's and Zhaoxin's have VMX. */
	if (boot_cpu_data.x86_vendor != X86_VENDOR_AMD &&
	    boot_cpu_data.x86_vendor != X86_VENDOR_HYGON)
		static_branch_disable(&lucid_is_svm);
	r = lucid_hw_probe();
	if (r)
		return r;
	r = lucid_hw_setup();
	if (r)
		return r;
	r = lucid_fpu_module_init();
	if (r)
		goto err_hw;
	r = lucid_cpuid_module_init();
	if (r)
		goto err_hw;
	r = lucid_mem_module_init();
	if (r)
		goto err_hw;
	r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "lucid:online",
			      lucid_cpu_online, lucid_cpu_offline);
	if (r < 0)
		goto err_mem;
	lucid_cpuhp = r;
	lucid_register_syscore(&lucid_syscore);
	register_reboot_notifier(&lucid_reboot_nb);

	r = lucid_device_register();
	if (r)
		goto err_notifiers;
	pr_info("%s, %u tags%s%s\n", lucid_hw_caps.name, lucid_hw_caps.nr_tags,
		lucid_hw_caps.flush_by_tag ? ", flush by tag" : "",
		lucid_hw_caps.insn_len ? ", instruction lengths" : "");
	return 0;

err_notifiers:
	unregister_reboot_notifier(&lucid_reboot_nb);
	lucid_unregister_syscore(&lucid_syscore);
	cpuhp_remove_state(lucid_cpuhp);
err_mem:
	lucid_mem_module_exit();
err_hw:
	lucid_hw_unsetup();
	return r;
}

static void __exit lucid_exit(void)
{
	lucid_device_unregister();
	unregister_reboot_notifier(&lucid_reboot_nb);
	lucid_unregister_syscore(&lucid_syscore);
	cpuhp_remove_state(lucid_cpuhp);
	lucid_mem_module_exit();
	lucid_hw_unsetup();
}

module_init(lucid_init);
module_exit(lucid_exit);

MODULE_DESCRIPTION("Lucid: a hypervisor to read, load and hack");
MODULE_LICENSE("GPL");
