/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bench client's parts share: a small VM, and the code its guest runs.
 *
 * The guest is in long mode with four levels of its own page tables and starts
 * with interrupts off. Rows that ask for it (vm.irqchip) have the interrupt
 * controllers in the kernel, with the vector IRQ_VECTOR. Every address below
 * 1 GiB, and those from 3 to 4 GiB, are mapped 1:1 with 2 MiB pages.
 * Guest-physical memory:
 *
 *   GUEST_BASE   slot 0: page tables, GDT, stack and code; always present
 *   FAULT4K_GPA  slot 1: for nested faults, host memory of 4 KiB pages
 *   FAULT2M_GPA  slot 2: for nested faults, host memory of 2 MiB pages
 *   SPARE_GPA    slot 3: added and deleted by the slot bench
 *   MMIO_GPA     nothing: accesses leave to userspace
 *
 * The TCG plugin tells guest code from host user code by GUEST_BASE, so the
 * client is linked at a fixed address below it.
 */
#ifndef LUCID_BENCH_H
#define LUCID_BENCH_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __has_include(<linux/lucid.h>)
#include <linux/lucid.h>
#endif

#define GUEST_BASE	0x10000000UL
#define GUEST_SIZE	0x10000UL
#define FAULT4K_GPA	0x20000000UL
#define FAULT4K_SIZE	0x4000000UL
#define FAULT2M_GPA	0x28000000UL
#define FAULT2M_SIZE	0x2000000UL
#define SPARE_GPA	0x30000000UL
#define SPARE_SIZE	0x10000UL
#define MMIO_GPA	0x3f000000UL
#define PIO_PORT	0xf0
#define APIC_GPA	0xfee00000UL
#define IOAPIC_GPA	0xfec00000UL
#define IRQ_VECTOR	0x40		/* guest.S knows it, too */

struct vm {
	int fd;
	int vcpu;
	struct kvm_run *run;
	uint8_t *mem;		/* slot 0, as the client sees it */
	bool irqchip;		/* set before vm_create() */
	bool x2apic;
};

/* A piece of guest code: position-independent, copied into slot 0. */
struct guest_code {
	const uint8_t *start;
	const uint8_t *end;
};

#define GUEST_CODE(name) \
	extern const uint8_t guest_##name[], guest_##name##_end[]
GUEST_CODE(cpuid);
GUEST_CODE(vmcall);
GUEST_CODE(vmmcall);
GUEST_CODE(rdmsr);
GUEST_CODE(out);
GUEST_CODE(in);
GUEST_CODE(mmio_write);
GUEST_CODE(mmio_read);
GUEST_CODE(mmio_write1);
GUEST_CODE(mmio_write8);
GUEST_CODE(mmio_read8);
GUEST_CODE(mmio_stos);
GUEST_CODE(mmio_or);
GUEST_CODE(mmio_add);
GUEST_CODE(eoi_x);
GUEST_CODE(eoi_x2);
GUEST_CODE(tpr_x);
GUEST_CODE(ioapic_read);
GUEST_CODE(ioapic_write);
GUEST_CODE(pit_read);
GUEST_CODE(pit_write);
GUEST_CODE(self_x);
GUEST_CODE(self_x2);
GUEST_CODE(timer_x);
GUEST_CODE(timer_x2);
GUEST_CODE(deadline);
GUEST_CODE(hlt_timer);
GUEST_CODE(hlt);
GUEST_CODE(touch);
#undef GUEST_CODE

/* vm.c: all of these end the program with a message when the device refuses. */
void die(const char *what) __attribute__((noreturn));
void device_open(const char *path);
long vm_cap(long capability);
void vm_create(struct vm *vm, uint8_t *mem);
void vm_destroy(struct vm *vm);
void vm_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, void *hva);
void vm_load(struct vm *vm, const uint8_t *start, const uint8_t *end);
/* What IRQ_VECTOR runs, for a VM with an irqchip */
void vm_load_handler(struct vm *vm, const uint8_t *start, const uint8_t *end);
void vm_start(struct vm *vm, uint64_t count, uint64_t address, uint64_t step);
uint32_t vm_run(struct vm *vm);
void *map_memory(size_t size, bool huge);
long sys_ioctl(int fd, unsigned long request, unsigned long arg);

#endif
