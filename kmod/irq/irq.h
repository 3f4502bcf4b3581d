/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupt controllers in the kernel (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2).
 *
 *   pic.c ioapic.c lapic.c pit.c   the chips: pure logic, no locks, no clock
 *   irqchip.c                      the VM's part: lines, routes, ports, PIT timer
 *   deliver.c                      from a message to a vCPU: inbox, timer, kick
 *   ioctl.c                        what userspace asks
 *
 * Who may touch what: the VM's chips belong to irq.lock (interrupts off; taken
 * from timers and in a stay; nothing is called under it that waits).  A local
 * APIC belongs to its vCPU's thread.  Whoever has an interrupt for a vCPU puts
 * it into the vCPU's inbox, sets @check and kicks; the thread looks at @check
 * before every entry and in its sleep, empties the inbox into IRR, and sees
 * what can be delivered.  The order is that of nested-table changes (run.c):
 * inbox, check, full barrier, seat.in_guest | in_guest, full barrier, check.
 */
#ifndef LUCID_IRQ_H
#define LUCID_IRQ_H

#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/rcuwait.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "ioapic.h"
#include "lapic.h"
#include "pic.h"
#include "pit.h"

#define LUCID_MAX_GSI		4096
#define LUCID_MAX_ROUTES	4096

struct lucid_vm;
struct lucid_vcpu;

struct lucid_routes;		/* irqchip.c */

/* A VM's. */
struct lucid_irq {
	bool in_kernel;		/* KVM_CREATE_IRQCHIP was called; never taken back */
	bool pit_in_kernel;
	raw_spinlock_t lock;	/* interrupts off */
	struct lucid_pic pic;
	struct lucid_ioapic ioapic;
	struct lucid_pit pit;
	struct hrtimer pit_timer;
	u32 pit_flags;		/* KVM_PIT_SPEAKER_DUMMY */
	struct lucid_routes *routes;
	u32 next_lowest;	/* who is asked first for a lowest-priority interrupt */
	u32 boot_id;		/* the vCPU that runs first */
};

/* A vCPU's. */
struct lucid_irq_vcpu {
	bool check;		/* look before the next entry; set by anyone */
	bool timer_fired;	/* by the timer's interrupt */
	unsigned long inbox[256 / BITS_PER_LONG];	/* vectors, atomic */
	unsigned long level[256 / BITS_PER_LONG];	/* which of them are level-triggered */
	unsigned long init;	/* bit 0: INIT, bit 1: SIPI; atomic */
	u8 sipi_vector;
	struct lucid_lapic lapic;
	u64 armed;		/* ns: what the timer is set to */
	struct hrtimer timer;
	struct rcuwait wait;	/* the vCPU's thread, asleep; woken under raw locks too */
};

#define LUCID_INIT_BIT	0
#define LUCID_SIPI_BIT	1

/* ---- irqchip.c ---- */
void lucid_irq_vm_init(struct lucid_vm *vm);
void lucid_irq_vm_destroy(struct lucid_vm *vm);
int lucid_irq_create(struct lucid_vm *vm);
int lucid_irq_create_pit(struct lucid_vm *vm, u32 flags);
int lucid_irq_set_gsi(struct lucid_vm *vm, u32 gsi, bool level);
int lucid_irq_set_routes(struct lucid_vm *vm, const struct kvm_irq_routing_entry *e, u32 nr);
void lucid_irq_eoi(struct lucid_vm *vm, u8 vector);
void lucid_irq_pit_arm(struct lucid_vm *vm);		/* irq.lock held */
void lucid_irq_pic_changed(struct lucid_vm *vm);	/* irq.lock held */
bool lucid_irq_port(struct lucid_vcpu *vcpu, u16 port, bool in, u32 *data);
bool lucid_irq_mmio(struct lucid_vcpu *vcpu, u64 gpa, void *data, unsigned int len, bool write);

/* ---- deliver.c ---- */
void lucid_irq_vcpu_init(struct lucid_vcpu *vcpu);
void lucid_irq_vcpu_destroy(struct lucid_vcpu *vcpu);
void lucid_irq_vcpu_reset(struct lucid_vcpu *vcpu, bool init);
void lucid_kick(struct lucid_vcpu *vcpu);
int lucid_irq_deliver(struct lucid_vm *vm, const struct lucid_irq_msg *msg,
		      struct lucid_vcpu *from, unsigned int shorthand);
void lucid_irq_sync(struct lucid_vcpu *vcpu);
void lucid_irq_before_entry(struct lucid_vcpu *vcpu);
bool lucid_irq_has_pending(struct lucid_vcpu *vcpu);
void lucid_irq_arm_timer(struct lucid_vcpu *vcpu);
void lucid_irq_lapic_done(struct lucid_vcpu *vcpu, u32 what, u8 vector);
int lucid_irq_get_msr(struct lucid_vcpu *vcpu, u32 index, u64 *value);
int lucid_irq_set_msr(struct lucid_vcpu *vcpu, u32 index, u64 value);

/* ---- ioctl.c ---- */
long lucid_irq_vm_ioctl(struct lucid_vm *vm, unsigned int nr, unsigned long arg);
int lucid_irq_get_lapic(struct lucid_vcpu *vcpu, void __user *arg);
int lucid_irq_set_lapic(struct lucid_vcpu *vcpu, void __user *arg);

#endif
