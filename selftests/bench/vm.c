// SPDX-License-Identifier: GPL-2.0
/* The bench's VM: one vCPU, long mode, a slot of memory; see bench.h for the map. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

/* Offsets in slot 0. */
#define OFF_PML4	0x1000
#define OFF_PDPT	0x2000
#define OFF_PD		0x3000
#define OFF_PD_3G	0x4000
#define OFF_CODE	0x5000
#define OFF_HANDLER	0x6000
#define OFF_STACK	0x8000
#define OFF_GDT		0x9000
#define OFF_IDT		0xa000

#define PTE_PRESENT	0x1
#define PTE_WRITE	0x2
#define PTE_ACCESSED	0x20
#define PTE_DIRTY	0x40
#define PTE_LARGE	0x80

#define CR0_PE		(1u << 0)
#define CR0_ET		(1u << 4)
#define CR0_NE		(1u << 5)
#define CR0_PG		(1u << 31)
#define CR4_PAE		(1u << 5)
#define EFER_LME	(1u << 8)
#define EFER_LMA	(1u << 10)

#define APIC_BASE_X2APIC (1u << 10)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)

#define MAX_CPUID	256

static int device = -1;
static long run_size;
static struct kvm_cpuid2 *supported;

void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Without libc's errno handling, so that what is measured is the kernel's. */
long sys_ioctl(int fd, unsigned long request, unsigned long arg)
{
	long ret;

	asm volatile("syscall" : "=a"(ret)
		     : "a"((long)SYS_ioctl), "D"((long)fd), "S"(request), "d"(arg)
		     : "rcx", "r11", "memory");
	return ret;
}

/* As sys_ioctl, but ends the program when it fails. */
static long must_ioctl(int fd, unsigned long request, const void *arg, const char *what)
{
	long ret = sys_ioctl(fd, request, (unsigned long)arg);

	if (ret < 0) {
		errno = -ret;
		die(what);
	}
	return ret;
}

void device_open(const char *path)
{
	device = open(path, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die(path);
	if (must_ioctl(device, KVM_GET_API_VERSION, NULL, "KVM_GET_API_VERSION") !=
	    KVM_API_VERSION) {
		fprintf(stderr, "bench: %s: not KVM's API version %d\n", path, KVM_API_VERSION);
		exit(1);
	}
	run_size = must_ioctl(device, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE");

	supported = calloc(1, sizeof(*supported) +
			      MAX_CPUID * sizeof(struct kvm_cpuid_entry2));
	if (!supported)
		die("memory");
	supported->nent = MAX_CPUID;
	must_ioctl(device, KVM_GET_SUPPORTED_CPUID, supported, "KVM_GET_SUPPORTED_CPUID");
	/* The ABI leaves this bit to the client. */
	for (uint32_t i = 0; i < supported->nent; i++)
		if (supported->entries[i].function == 1 &&
		    vm_cap(KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			supported->entries[i].ecx |= CPUID_1_ECX_TSC_DEADLINE;
}

long vm_cap(long capability)
{
	return sys_ioctl(device, KVM_CHECK_EXTENSION, capability);
}

void *map_memory(size_t size, bool huge)
{
	size_t align = 2UL << 20;
	uint8_t *p;

	/* One alignment more than asked for, so that 2 MiB pages can start right. */
	p = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	p = (uint8_t *)(((uintptr_t)p + align - 1) & ~(align - 1));
	if (madvise(p, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) && huge)
		die("madvise(MADV_HUGEPAGE)");
	/* Present before the guest comes, and private: not the zero page. */
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	return p;
}

void vm_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	must_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

static void build_page_tables(uint8_t *mem)
{
	uint64_t *pml4 = (uint64_t *)(mem + OFF_PML4);
	uint64_t *pdpt = (uint64_t *)(mem + OFF_PDPT);
	uint64_t *pd = (uint64_t *)(mem + OFF_PD);
	const uint64_t table = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;

	uint64_t *pd_3g = (uint64_t *)(mem + OFF_PD_3G);

	pml4[0] = (GUEST_BASE + OFF_PDPT) | table;
	pdpt[0] = (GUEST_BASE + OFF_PD) | table;
	pdpt[3] = (GUEST_BASE + OFF_PD_3G) | table;
	for (uint64_t i = 0; i < 512; i++) {
		pd[i] = i << 21 | table | PTE_DIRTY | PTE_LARGE;
		pd_3g[i] = 3UL << 30 | i << 21 | table | PTE_DIRTY | PTE_LARGE;
	}
}

/* One interrupt gate, and the descriptors that it and IRETQ load. */
static void build_gate(uint8_t *mem)
{
	uint64_t *gdt = (uint64_t *)(mem + OFF_GDT);
	uint64_t *gate = (uint64_t *)(mem + OFF_IDT) + IRQ_VECTOR * 2;
	uint64_t handler = GUEST_BASE + OFF_HANDLER;

	gdt[0] = 0;
	gdt[1] = 0x00af9b000000ffff;	/* code */
	gdt[2] = 0x00cf93000000ffff;	/* data */
	gate[0] = (handler & 0xffff) | 0x8UL << 16 | 0x8e00UL << 32 |
		  (handler >> 16 & 0xffff) << 48;
	gate[1] = handler >> 32;
}

static void set_long_mode(struct vm *vm)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 0x8, .type = 0xb,
		.present = 1, .s = 1, .l = 1, .g = 1,
	};
	const struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 0x10, .type = 0x3,
		.present = 1, .s = 1, .db = 1, .g = 1,
	};
	struct kvm_sregs sregs;

	must_ioctl(vm->vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	sregs.cr3 = GUEST_BASE + OFF_PML4;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	sregs.gdt.base = GUEST_BASE + OFF_GDT;
	sregs.gdt.limit = 3 * 8 - 1;
	sregs.idt.base = GUEST_BASE + OFF_IDT;
	sregs.idt.limit = 256 * 16 - 1;
	if (vm->x2apic)
		sregs.apic_base |= APIC_BASE_X2APIC;
	must_ioctl(vm->vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
}

void vm_create(struct vm *vm, uint8_t *mem)
{
	vm->mem = mem;
	vm->fd = must_ioctl(device, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	build_page_tables(mem);
	if (vm->irqchip) {
		struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

		build_gate(mem);
		must_ioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
		must_ioctl(vm->fd, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2");
	}
	vm_slot(vm, 0, GUEST_BASE, GUEST_SIZE, mem);
	vm->vcpu = must_ioctl(vm->fd, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	vm->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		die("mmap of the vCPU");
	must_ioctl(vm->vcpu, KVM_SET_CPUID2, supported, "KVM_SET_CPUID2");
	set_long_mode(vm);
}

void vm_destroy(struct vm *vm)
{
	if (munmap(vm->run, run_size) || close(vm->vcpu) || close(vm->fd))
		die("VM destruction");
}

void vm_load(struct vm *vm, const uint8_t *start, const uint8_t *end)
{
	memcpy(vm->mem + OFF_CODE, start, end - start);
}

void vm_load_handler(struct vm *vm, const uint8_t *start, const uint8_t *end)
{
	memcpy(vm->mem + OFF_HANDLER, start, end - start);
}

void vm_start(struct vm *vm, uint64_t count, uint64_t address, uint64_t step)
{
	struct kvm_regs regs = {
		.rip = GUEST_BASE + OFF_CODE,
		.rsp = GUEST_BASE + OFF_STACK,
		.rsi = count,
		.rdi = address,
		.rbx = step,
		.rflags = 2,
	};

	must_ioctl(vm->vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

/* Returns the exit reason. */
uint32_t vm_run(struct vm *vm)
{
	must_ioctl(vm->vcpu, KVM_RUN, NULL, "KVM_RUN");
	return vm->run->exit_reason;
}
