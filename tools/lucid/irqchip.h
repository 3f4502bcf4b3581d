/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupt controllers and timer in the device: local APICs, IOAPIC, 8259s
 * and 8254.  Where they are, pic.c and pit.c have nothing to do.
 */
#ifndef LUCID_IRQCHIP_H
#define LUCID_IRQCHIP_H

#include <stdbool.h>

#include "vm.h"

enum irqchip_mode { IRQCHIP_AUTO, IRQCHIP_ON, IRQCHIP_OFF };

/* Has the device all of them? */
bool irqchip_available(const struct vm *vm);
/* Make them, before the first vCPU.  Dies in words. */
void irqchip_create(struct vm *vm);
/* A new vCPU's local APIC, as firmware leaves it. */
void irqchip_vcpu(struct vcpu *vcpu);
/* Set the level of an ISA interrupt line. */
void irqchip_set_line(struct vm *vm, unsigned int irq, bool high);

#endif
