// SPDX-License-Identifier: GPL-2.0
/* Interrupt controllers and timer in the device. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "irqchip.h"
#include "lucid.h"

#define IOAPIC_PINS	24
#define PIC_PINS	8

/* Registers of the local APIC, as KVM_GET_LAPIC lays them out. */
#define APIC_LVT0		0x350
#define APIC_LVT1		0x360
#define APIC_MODE_MASK		0x10700u	/* delivery mode, and masked */
#define APIC_MODE_NMI		0x00400u
#define APIC_MODE_EXTINT	0x00700u

bool irqchip_available(const struct vm *vm)
{
	return vm_capability(vm, KVM_CAP_IRQCHIP) > 0 &&
	       vm_capability(vm, KVM_CAP_PIT2) > 0;
}

static void add_route(struct kvm_irq_routing *r, unsigned int gsi,
		      unsigned int chip, unsigned int pin)
{
	r->entries[r->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/*
 * As a PC is wired: the timer, interrupt 0 of the 8259s, is on the IOAPIC's
 * pin 2, where the 8259s' cascade would be.  (By default the device has it on
 * pin 0.)  The ACPI tables say so if it worked.
 */
static void wire(struct vm *vm)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry room[2 * PIC_PINS + IOAPIC_PINS];
	} routes = { 0 };
	struct kvm_irq_routing *r = &routes.head;

	if (vm_capability(vm, KVM_CAP_IRQ_ROUTING) <= 0)
		return;
	for (unsigned int i = 0; i < PIC_PINS; i++) {
		if (i != 2)
			add_route(r, i, KVM_IRQCHIP_PIC_MASTER, i);
		add_route(r, PIC_PINS + i, KVM_IRQCHIP_PIC_SLAVE, i);
	}
	for (unsigned int i = 0; i < IOAPIC_PINS; i++)
		if (i != 2)
			add_route(r, i, KVM_IRQCHIP_IOAPIC, i ? i : 2);
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, r) < 0)
		die("%s: KVM_SET_GSI_ROUTING: %s", vm->dev, strerror(errno));
	vm->irq0_on_pin2 = true;
}

void irqchip_create(struct vm *vm)
{
	/* port 0x61 belongs to the timer: its gate, its output */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		die("%s: KVM_CREATE_IRQCHIP: %s", vm->dev, strerror(errno));
	wire(vm);
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
		die("%s: KVM_CREATE_PIT2: %s", vm->dev, strerror(errno));
}

static void set_mode(struct kvm_lapic_state *lapic, unsigned int reg,
		     uint32_t mode)
{
	uint32_t value;

	memcpy(&value, lapic->regs + reg, sizeof(value));
	value = (value & ~APIC_MODE_MASK) | mode;
	memcpy(lapic->regs + reg, &value, sizeof(value));
}

void irqchip_vcpu(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	/* "virtual wire": the 8259s on LINT0 of the first CPU, NMI on LINT1 */
	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		die("%s: KVM_GET_LAPIC: %s", vcpu->vm->dev, strerror(errno));
	if (!vcpu->index)
		set_mode(&lapic, APIC_LVT0, APIC_MODE_EXTINT);
	set_mode(&lapic, APIC_LVT1, APIC_MODE_NMI);
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0)
		die("%s: KVM_SET_LAPIC: %s", vcpu->vm->dev, strerror(errno));
}

void irqchip_set_line(struct vm *vm, unsigned int irq, bool high)
{
	struct kvm_irq_level level = { .irq = irq, .level = high };
	const uint32_t bit = 1u << irq;

	/* edges only: the device keeps the level */
	if (!(vm->lines & bit) == !high)
		return;
	vm->lines ^= bit;
	if (ioctl(vm->fd, KVM_IRQ_LINE, &level) < 0)
		warn("%s: KVM_IRQ_LINE(%u): %s", vm->dev, irq,
		     strerror(errno));
}
