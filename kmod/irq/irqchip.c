// SPDX-License-Identifier: GPL-2.0
/*
 * The VM's interrupt controllers: which line goes where, ports and registers
 * of the chips, and the PIT's timer.
 */
#include <linux/ktime.h>
#include <linux/slab.h>

#include "../lucid.h"

struct lucid_routes {
	u32 nr;
	struct kvm_irq_routing_entry entry[];
};

/* ---- lines ---------------------------------------------------------------------- */

int lucid_ioapic_send(struct lucid_ioapic *io, const struct lucid_irq_msg *msg)
{
	return lucid_irq_deliver(container_of(io, struct lucid_vm, irq.ioapic), msg, NULL, 0);
}

/**
 * lucid_irq_pic_changed - INTR of the 8259s may have risen: tell who listens to it
 * @vm: the VM
 *
 * Context: irq.lock held.
 */
void lucid_irq_pic_changed(struct lucid_vm *vm)
{
	unsigned int n = smp_load_acquire(&vm->nr_vcpus), i;

	if (!lucid_pic_output(&vm->irq.pic))
		return;
	smp_mb();	/* the 8259's IRR before LVT0; pairs with lucid_irq_sync() */
	for (i = 0; i < n; i++) {
		struct lucid_vcpu *vcpu = vm->vcpus[i];

		if (lucid_lapic_takes_extint(&vcpu->irq.lapic)) {
			WRITE_ONCE(vcpu->irq.check, true);
			lucid_kick(vcpu);
		}
	}
}

static int set_route(struct lucid_vm *vm, const struct kvm_irq_routing_entry *e, bool level)
{
	struct lucid_irq_msg msg;
	int r = -1;

	if (e->type == KVM_IRQ_ROUTING_MSI) {
		if (!level)
			return -1;
		/* The upper half means something with KVM_CAP_X2APIC_API only. */
		lucid_msi_to_msg(e->u.msi.address_lo, e->u.msi.data, &msg);
		return lucid_irq_deliver(vm, &msg, NULL, 0);
	}
	if (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC)
		return lucid_ioapic_set_line(&vm->irq.ioapic, e->u.irqchip.pin, level);
	r = lucid_pic_set_line(&vm->irq.pic, e->u.irqchip.pin +
			       (e->u.irqchip.irqchip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0), level);
	lucid_irq_pic_changed(vm);
	return r;
}

static int set_gsi_locked(struct lucid_vm *vm, u32 gsi, bool level)
{
	const struct lucid_routes *routes = vm->irq.routes;
	int r = -1;
	u32 i;

	for (i = 0; routes && i < routes->nr; i++) {
		int one;

		if (routes->entry[i].gsi != gsi)
			continue;
		one = set_route(vm, &routes->entry[i], level);
		if (one >= 0)
			r = max(r, 0) + one;
	}
	return r;
}

/**
 * lucid_irq_set_gsi - an interrupt line rises or falls, or an MSI is sent
 * @vm: the VM, its irqchip in the kernel
 * @gsi: the line
 * @level: up or down
 *
 * Context: any.
 * Return: as KVM_IRQ_LINE_STATUS: above 0 delivered, 0 coalesced, -1 ignored.
 */
int lucid_irq_set_gsi(struct lucid_vm *vm, u32 gsi, bool level)
{
	unsigned long flags;
	int r;

	raw_spin_lock_irqsave(&vm->irq.lock, flags);
	r = set_gsi_locked(vm, gsi, level);
	raw_spin_unlock_irqrestore(&vm->irq.lock, flags);
	return r;
}

/* A level-triggered @vector has been ended by a local APIC. */
void lucid_irq_eoi(struct lucid_vm *vm, u8 vector)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&vm->irq.lock, flags);
	lucid_ioapic_eoi(&vm->irq.ioapic, vector);
	raw_spin_unlock_irqrestore(&vm->irq.lock, flags);
}

/* ---- routes ---------------------------------------------------------------------- */

static bool route_valid(const struct kvm_irq_routing_entry *e)
{
	if (e->gsi >= LUCID_MAX_GSI || e->flags)
		return false;
	if (e->type == KVM_IRQ_ROUTING_MSI)
		return true;
	if (e->type != KVM_IRQ_ROUTING_IRQCHIP)
		return false;
	switch (e->u.irqchip.irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		return e->u.irqchip.pin < 8;
	case KVM_IRQCHIP_IOAPIC:
		return e->u.irqchip.pin < LUCID_IOAPIC_PINS;
	}
	return false;
}

/**
 * lucid_irq_set_routes - which line goes where: KVM_SET_GSI_ROUTING
 * @vm: the VM
 * @e: all the entries, copied from userspace
 * @nr: their number
 *
 * Context: may sleep.
 * Return: 0, -EINVAL (then nothing has changed), -ENOMEM.
 */
int lucid_irq_set_routes(struct lucid_vm *vm, const struct kvm_irq_routing_entry *e, u32 nr)
{
	struct lucid_routes *routes, *old;
	unsigned long flags;
	u32 i, k;

	for (i = 0; i < nr; i++) {
		if (!route_valid(&e[i]))
			return -EINVAL;
		/* A line may go to each chip once, and a message stands alone. */
		for (k = 0; k < i; k++)
			if (e[k].gsi == e[i].gsi &&
			    (e[k].type != KVM_IRQ_ROUTING_IRQCHIP ||
			     e[i].type != KVM_IRQ_ROUTING_IRQCHIP ||
			     e[k].u.irqchip.irqchip == e[i].u.irqchip.irqchip))
				return -EINVAL;
	}
	routes = kvzalloc(struct_size(routes, entry, nr), GFP_KERNEL_ACCOUNT);
	if (!routes)
		return -ENOMEM;
	routes->nr = nr;
	memcpy(routes->entry, e, nr * sizeof(*e));
	raw_spin_lock_irqsave(&vm->irq.lock, flags);
	old = vm->irq.routes;
	vm->irq.routes = routes;
	raw_spin_unlock_irqrestore(&vm->irq.lock, flags);
	kvfree(old);
	return 0;
}

/* KVM's: 16 lines to both chips, each to the pin of its number, the rest to the IOAPIC. */
static int default_routes(struct lucid_vm *vm)
{
	struct kvm_irq_routing_entry *e;
	u32 n = 0, gsi;
	int r;

	e = kcalloc(16 + LUCID_IOAPIC_PINS, sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	for (gsi = 0; gsi < LUCID_IOAPIC_PINS; gsi++) {
		e[n].gsi = gsi;
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e[n++].u.irqchip.pin = gsi;
		if (gsi >= 16)
			continue;
		e[n].gsi = gsi;
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		e[n++].u.irqchip.pin = gsi & 7;
	}
	r = lucid_irq_set_routes(vm, e, n);
	kfree(e);
	return r;
}

/* ---- the PIT's timer --------------------------------------------------------------- */

/* Context: irq.lock held. */
void lucid_irq_pit_arm(struct lucid_vm *vm)
{
	u64 next = lucid_pit_next(&vm->irq.pit);

	if (next == LUCID_NEVER)
		hrtimer_try_to_cancel(&vm->irq.pit_timer);
	else
		hrtimer_start(&vm->irq.pit_timer, ns_to_ktime(min_t(u64, next, KTIME_MAX)),
			      HRTIMER_MODE_ABS_HARD);
}

static enum hrtimer_restart pit_fires(struct hrtimer *timer)
{
	struct lucid_vm *vm = container_of(timer, struct lucid_vm, irq.pit_timer);
	unsigned long flags;

	raw_spin_lock_irqsave(&vm->irq.lock, flags);
	/* Edges missed meanwhile are one: the line holds no more. */
	if (lucid_pit_advance(&vm->irq.pit, ktime_get_ns())) {
		set_gsi_locked(vm, 0, true);
		set_gsi_locked(vm, 0, false);
	}
	lucid_irq_pit_arm(vm);
	raw_spin_unlock_irqrestore(&vm->irq.lock, flags);
	return HRTIMER_NORESTART;
}

/* ---- ports and registers -------------------------------------------------------------- */

/**
 * lucid_irq_port - an access to a port, if it is one of the chips'
 * @vcpu: the vCPU
 * @port: the port
 * @in: IN
 * @data: from or to: the chips have eight wires, wider reads find the rest pulled up
 *
 * Context: any; interrupts off too.
 * Return: false: not ours.
 */
bool lucid_irq_port(struct lucid_vcpu *vcpu, u16 port, bool in, u32 *data)
{
	struct lucid_vm *vm = vcpu->vm;
	struct lucid_irq *irq = &vm->irq;
	unsigned long flags;
	u64 next;
	u8 value;

	if (!irq->in_kernel)
		return false;
	if (lucid_pic_has_port(port)) {
		raw_spin_lock_irqsave(&irq->lock, flags);
		if (in) {
			value = lucid_pic_read(&irq->pic, port);
		} else {
			lucid_pic_write(&irq->pic, port, *data);
			lucid_irq_pic_changed(vm);
		}
		raw_spin_unlock_irqrestore(&irq->lock, flags);
	} else if (irq->pit_in_kernel && lucid_pit_has_port(port) &&
		   (port != 0x61 || (irq->pit_flags & KVM_PIT_SPEAKER_DUMMY))) {
		raw_spin_lock_irqsave(&irq->lock, flags);
		if (in) {
			value = lucid_pit_read(&irq->pit, port, ktime_get_ns());
		} else {
			next = lucid_pit_next(&irq->pit);
			lucid_pit_write(&irq->pit, port, *data, ktime_get_ns());
			if (lucid_pit_next(&irq->pit) != next)
				lucid_irq_pit_arm(vm);
		}
		raw_spin_unlock_irqrestore(&irq->lock, flags);
	} else {
		return false;
	}
	if (in)
		*data = ~0xffu | value;
	return true;
}

static bool is_lapic(struct lucid_vcpu *vcpu, u64 gpa)
{
	return (gpa & PAGE_MASK) == (vcpu->apic_base & PAGE_MASK);
}

static void lapic_mmio(struct lucid_vcpu *vcpu, u32 offset, void *data, unsigned int len,
		       bool write)
{
	struct lucid_lapic *l = &vcpu->irq.lapic;
	u8 bytes[16] = {}, vector = 0;
	u32 value, what;

	/* Off, or an x2APIC: there are no registers here; KVM's clients know it so. */
	if (!l->enabled || l->x2apic) {
		if (!write)
			memset(data, 0xff, len);
		return;
	}
	if (write) {
		/* Aligned, and of 32 bits: else it is lost (SDM: "undefined"). */
		if ((offset & 15) || len < 4 || offset >= 0x400)
			return;
		memcpy(&value, data, 4);
		what = lucid_lapic_write(l, offset, value, ktime_get_ns(), &vector);
		if (offset == LUCID_APIC_TPR)
			lucid_apic_tpr_changed(vcpu);
		lucid_irq_lapic_done(vcpu, what, vector);
		return;
	}
	lucid_irq_sync(vcpu);
	WRITE_ONCE(vcpu->irq.check, true);
	if (offset < 0x400) {
		value = lucid_lapic_read(l, offset & ~15u, ktime_get_ns());
		memcpy(bytes, &value, 4);
	}
	/* Across a register's end nothing follows: zeros, not what was there. */
	memset(data, 0, len);
	memcpy(data, bytes + (offset & 15), min(len, 16 - (offset & 15)));
}

/**
 * lucid_irq_mmio - an access to guest-physical memory, if a chip is there
 * @vcpu: the vCPU
 * @gpa: where; @len bytes that do not cross a page
 * @data: from or to
 * @len: 1..8
 * @write: from @data
 *
 * Context: the vCPU's thread; interrupts off too.
 * Return: false: nobody is there.
 */
bool lucid_irq_mmio(struct lucid_vcpu *vcpu, u64 gpa, void *data, unsigned int len, bool write)
{
	struct lucid_irq *irq = &vcpu->vm->irq;
	unsigned long flags;
	u32 value = 0;

	if (!irq->in_kernel)
		return false;
	if (is_lapic(vcpu, gpa)) {
		lapic_mmio(vcpu, offset_in_page(gpa), data, len, write);
		return true;
	}
	if (gpa < LUCID_IOAPIC_BASE || gpa >= LUCID_IOAPIC_BASE + LUCID_IOAPIC_SIZE)
		return false;
	if (write)
		memcpy(&value, data, min(len, 4u));
	raw_spin_lock_irqsave(&irq->lock, flags);
	if (write)
		lucid_ioapic_write(&irq->ioapic, gpa - LUCID_IOAPIC_BASE, value);
	else
		value = lucid_ioapic_read(&irq->ioapic, gpa - LUCID_IOAPIC_BASE);
	raw_spin_unlock_irqrestore(&irq->lock, flags);
	if (!write) {
		memset(data, 0, len);
		memcpy(data, &value, min(len, 4u));
	}
	return true;
}

/* ---- birth and death ---------------------------------------------------------------------- */

void lucid_irq_vm_init(struct lucid_vm *vm)
{
	raw_spin_lock_init(&vm->irq.lock);
	hrtimer_init(&vm->irq.pit_timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	vm->irq.pit_timer.function = pit_fires;
}

void lucid_irq_vm_destroy(struct lucid_vm *vm)
{
	hrtimer_cancel(&vm->irq.pit_timer);
	kvfree(vm->irq.routes);
}

/**
 * lucid_irq_create - KVM_CREATE_IRQCHIP
 * @vm: the VM; vm->lock held
 *
 * Return: 0; -EEXIST; -EINVAL: there is a vCPU already; -ENOMEM.
 */
int lucid_irq_create(struct lucid_vm *vm)
{
	int r;

	if (vm->irq.in_kernel)
		return -EEXIST;
	if (vm->nr_vcpus)
		return -EINVAL;
	lucid_pic_reset(&vm->irq.pic);
	lucid_ioapic_reset(&vm->irq.ioapic);
	r = default_routes(vm);
	if (!r)
		vm->irq.in_kernel = true;
	return r;
}

/**
 * lucid_irq_create_pit - KVM_CREATE_PIT2
 * @vm: the VM; vm->lock held
 * @flags: KVM_PIT_SPEAKER_DUMMY
 *
 * Return: 0; -EEXIST; -ENOENT: no irqchip; -EINVAL.
 */
int lucid_irq_create_pit(struct lucid_vm *vm, u32 flags)
{
	if (flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	if (vm->irq.pit_in_kernel)
		return -EEXIST;
	if (!vm->irq.in_kernel)
		return -ENOENT;
	lucid_pit_reset(&vm->irq.pit, ktime_get_ns());
	vm->irq.pit_flags = flags;
	smp_store_release(&vm->irq.pit_in_kernel, true);
	return 0;
}
