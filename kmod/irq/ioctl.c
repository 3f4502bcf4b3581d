// SPDX-License-Identifier: GPL-2.0
/* The interrupt controllers' ioctls: copy, check, call. */
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../lucid.h"

static int get_chip(struct lucid_vm *vm, struct kvm_irqchip *chip)
{
	struct lucid_irq *irq = &vm->irq;
	unsigned long flags;
	int r = 0;

	memset(&chip->chip, 0, sizeof(chip->chip));
	raw_spin_lock_irqsave(&irq->lock, flags);
	if (chip->chip_id == KVM_IRQCHIP_PIC_MASTER || chip->chip_id == KVM_IRQCHIP_PIC_SLAVE)
		lucid_pic_get(&irq->pic, chip->chip_id == KVM_IRQCHIP_PIC_SLAVE, &chip->chip.pic);
	else if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
		lucid_ioapic_get(&irq->ioapic, &chip->chip.ioapic);
	else
		r = -EINVAL;
	raw_spin_unlock_irqrestore(&irq->lock, flags);
	return r;
}

static int set_chip(struct lucid_vm *vm, const struct kvm_irqchip *chip)
{
	struct lucid_irq *irq = &vm->irq;
	unsigned long flags;
	int r = 0;

	raw_spin_lock_irqsave(&irq->lock, flags);
	if (chip->chip_id == KVM_IRQCHIP_PIC_MASTER || chip->chip_id == KVM_IRQCHIP_PIC_SLAVE)
		lucid_pic_set(&irq->pic, chip->chip_id == KVM_IRQCHIP_PIC_SLAVE, &chip->chip.pic);
	else if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
		lucid_ioapic_set(&irq->ioapic, &chip->chip.ioapic);
	else
		r = -EINVAL;
	lucid_irq_pic_changed(vm);
	raw_spin_unlock_irqrestore(&irq->lock, flags);
	return r;
}

static int chip_ioctl(struct lucid_vm *vm, struct kvm_irqchip __user *arg, bool set)
{
	struct kvm_irqchip *chip = memdup_user(arg, sizeof(*chip));
	int r;

	if (IS_ERR(chip))
		return PTR_ERR(chip);
	r = -ENXIO;
	if (vm->irq.in_kernel)
		r = set ? set_chip(vm, chip) : get_chip(vm, chip);
	if (!r && !set && copy_to_user(arg, chip, sizeof(*chip)))
		r = -EFAULT;
	kfree(chip);
	return r;
}

static int pit_ioctl(struct lucid_vm *vm, void __user *arg, bool set, size_t size)
{
	struct lucid_irq *irq = &vm->irq;
	struct kvm_pit_state2 s = {};
	unsigned long flags;

	/* The older struct is the head of the newer one. */
	if (set && copy_from_user(&s, arg, size))
		return -EFAULT;
	if (!irq->pit_in_kernel)
		return -ENXIO;
	raw_spin_lock_irqsave(&irq->lock, flags);
	if (set) {
		lucid_pit_set(&irq->pit, &s, ktime_get_ns());
		lucid_irq_pit_arm(vm);
	} else {
		lucid_pit_get(&irq->pit, &s, ktime_get_ns());
	}
	raw_spin_unlock_irqrestore(&irq->lock, flags);
	return !set && copy_to_user(arg, &s, size) ? -EFAULT : 0;
}

static int irq_line(struct lucid_vm *vm, struct kvm_irq_level __user *arg, bool status)
{
	struct kvm_irq_level line;

	if (copy_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	if (!vm->irq.in_kernel)
		return -ENXIO;
	line.status = lucid_irq_set_gsi(vm, line.irq, line.level);
	return status && copy_to_user(arg, &line, sizeof(line)) ? -EFAULT : 0;
}

static int signal_msi(struct lucid_vm *vm, struct kvm_msi __user *arg)
{
	struct lucid_irq_msg msg;
	struct kvm_msi msi;

	if (copy_from_user(&msi, arg, sizeof(msi)))
		return -EFAULT;
	if (!vm->irq.in_kernel || msi.flags)
		return -EINVAL;
	lucid_msi_to_msg(msi.address_lo, msi.data, &msg);
	return lucid_irq_deliver(vm, &msg, NULL, 0);
}

static int set_routing(struct lucid_vm *vm, struct kvm_irq_routing __user *arg)
{
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing head;
	int r;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!vm->irq.in_kernel || head.nr > LUCID_MAX_ROUTES || head.flags)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_user(arg->entries, head.nr * sizeof(*entries));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = lucid_irq_set_routes(vm, entries, head.nr);
	kvfree(entries);
	return r;
}

static int create(struct lucid_vm *vm, unsigned int nr, u32 flags)
{
	int r;

	mutex_lock(&vm->lock);
	r = nr == KVM_CREATE_IRQCHIP ? lucid_irq_create(vm) : lucid_irq_create_pit(vm, flags);
	mutex_unlock(&vm->lock);
	return r;
}

/**
 * lucid_irq_vm_ioctl - the ioctls of a VM's interrupt controllers
 * @vm: the VM
 * @nr: the ioctl
 * @arg: its argument
 *
 * Context: may sleep.
 * Return: -ENOTTY: not one of them.
 */
long lucid_irq_vm_ioctl(struct lucid_vm *vm, unsigned int nr, unsigned long arg)
{
	void __user *argp = (void __user *)arg;
	struct kvm_pit_config pit;

	switch (nr) {
	case KVM_CREATE_IRQCHIP:
		return create(vm, nr, 0);
	case KVM_CREATE_PIT:
		return create(vm, nr, KVM_PIT_SPEAKER_DUMMY);
	case KVM_CREATE_PIT2:
		if (copy_from_user(&pit, argp, sizeof(pit)))
			return -EFAULT;
		return create(vm, nr, pit.flags);
	case KVM_GET_IRQCHIP:
		return chip_ioctl(vm, argp, false);
	case KVM_SET_IRQCHIP:
		return chip_ioctl(vm, argp, true);
	case KVM_GET_PIT:
		return pit_ioctl(vm, argp, false, sizeof(struct kvm_pit_state));
	case KVM_SET_PIT:
		return pit_ioctl(vm, argp, true, sizeof(struct kvm_pit_state));
	case KVM_GET_PIT2:
		return pit_ioctl(vm, argp, false, sizeof(struct kvm_pit_state2));
	case KVM_SET_PIT2:
		return pit_ioctl(vm, argp, true, sizeof(struct kvm_pit_state2));
	case KVM_IRQ_LINE:
		return irq_line(vm, argp, false);
	case KVM_IRQ_LINE_STATUS:
		return irq_line(vm, argp, true);
	case KVM_SIGNAL_MSI:
		return signal_msi(vm, argp);
	case KVM_SET_GSI_ROUTING:
		return set_routing(vm, argp);
	case KVM_SET_BOOT_CPU_ID:
		if (arg >= LUCID_MAX_VCPU_ID)
			return -EINVAL;
		mutex_lock(&vm->lock);
		if (!vm->nr_vcpus)
			vm->irq.boot_id = arg;
		nr = vm->nr_vcpus;
		mutex_unlock(&vm->lock);
		return nr ? -EBUSY : 0;
	}
	return -ENOTTY;
}

int lucid_irq_get_lapic(struct lucid_vcpu *vcpu, void __user *arg)
{
	struct kvm_lapic_state *s;
	int r;

	if (!vcpu->vm->irq.in_kernel)
		return -EINVAL;
	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	lucid_irq_sync(vcpu);
	WRITE_ONCE(vcpu->irq.check, true);
	/* What is due is an interrupt by now, not a timer that had run out. */
	if (lucid_lapic_timer_due(&vcpu->irq.lapic, ktime_get_ns()))
		lucid_irq_arm_timer(vcpu);
	lucid_lapic_get(&vcpu->irq.lapic, s, ktime_get_ns());
	r = copy_to_user(arg, s, sizeof(*s)) ? -EFAULT : 0;
	kfree(s);
	return r;
}

int lucid_irq_set_lapic(struct lucid_vcpu *vcpu, void __user *arg)
{
	struct kvm_lapic_state *s;

	if (!vcpu->vm->irq.in_kernel)
		return -EINVAL;
	s = memdup_user(arg, sizeof(*s));
	if (IS_ERR(s))
		return PTR_ERR(s);
	lucid_irq_sync(vcpu);
	lucid_lapic_set(&vcpu->irq.lapic, s, ktime_get_ns());
	kfree(s);
	lucid_apic_tpr_changed(vcpu);
	lucid_irq_arm_timer(vcpu);
	WRITE_ONCE(vcpu->irq.check, true);
	return 0;
}
