/* SPDX-License-Identifier: GPL-2.0 */
/* The device, a VM, its memory and its vCPUs: KVM's ABI, wrapped thinly. */
#ifndef LUCID_VM_H
#define LUCID_VM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Guest-physical layout: RAM from 0 up to the hole below 4 GiB that PCs keep
 * for devices, and the rest from 4 GiB on.
 */
#define RAM_HOLE_START	0xc0000000ull
#define RAM_HOLE_END	0x100000000ull
#define MIN_MEM		0x100000ull	/* the boot area lies below 1 MiB */

struct vm {
	const char *dev;	/* the device's path, for messages */
	int dev_fd;
	int fd;
	size_t run_size;	/* bytes of a vCPU's struct kvm_run mapping */
	uint8_t *mem;		/* the guest's RAM, low part and high part */
	uint64_t mem_size;
	struct kvm_cpuid2 *cpuid;	/* what every vCPU is given */
	bool irqchip;		/* the device has APICs, 8259s and 8254 */
	bool irq0_on_pin2;	/* the IOAPIC's, as on a PC */
	uint32_t lines;		/* levels of the ISA interrupts, if irqchip */
};

struct vcpu {
	struct vm *vm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
};

/* Open the device and check that it speaks KVM's ABI.  Dies in words. */
void vm_open(struct vm *vm, const char *dev);
/* What KVM_CHECK_EXTENSION says about @cap; 0 for "no" and for errors. */
int vm_capability(const struct vm *vm, long cap);
/*
 * The VM itself with @mem_size bytes of RAM, and interrupt controllers in the
 * device or not.  Dies in words.
 */
void vm_create(struct vm *vm, uint64_t mem_size, bool irqchip);
/* A vCPU with the VM's CPUID.  Dies in words. */
void vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned int index,
		 unsigned int cpus);

/* Its TSC's frequency; 0 if the device does not tell. */
unsigned int vcpu_tsc_khz(const struct vcpu *vcpu);
/* Bytes of RAM below the hole. */
uint64_t vm_mem_low(const struct vm *vm);
/*
 * Where the guest-physical range [@gpa, @gpa + @size) lies in this process;
 * NULL if it is not all RAM (in one piece).
 */
void *vm_ram(const struct vm *vm, uint64_t gpa, uint64_t size);
/* The same for what must be there. */
void *vm_ram_or_die(const struct vm *vm, uint64_t gpa, uint64_t size);

/* regs.c: the vCPU's registers on stderr, for humans */
void regs_print(struct vcpu *vcpu);

#endif
