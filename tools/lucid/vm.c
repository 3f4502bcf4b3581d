// SPDX-License-Identifier: GPL-2.0
/* The device, a VM, its memory and its vCPUs. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpuid.h"
#include "irqchip.h"
#include "lucid.h"
#include "vm.h"

/*
 * Where Intel CPUs without unrestricted guest keep a TSS and a page table for
 * real mode; KVM wants to be told.  In the hole, so no guest sees them.
 */
#define TSS_ADDR		0xfffbd000ul
#define IDENTITY_MAP_ADDR	0xfffbc000ull

void vm_open(struct vm *vm, const char *dev)
{
	int version, size;

	vm->dev = dev;
	vm->fd = -1;
	vm->dev_fd = open(dev, O_RDWR | O_CLOEXEC);
	if (vm->dev_fd < 0) {
		switch (errno) {
		case ENOENT:
		case ENODEV:
		case ENXIO:
			die("%s: %s: is the module loaded? ('lucid info' tells)",
			    dev, strerror(errno));
		case EACCES:
		case EPERM:
			die("%s: %s: be root or a member of the device's group",
			    dev, strerror(errno));
		default:
			die("%s: %s", dev, strerror(errno));
		}
	}
	version = ioctl(vm->dev_fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		die("%s: not a device that speaks KVM's ABI", dev);
	if (version != KVM_API_VERSION)
		die("%s: speaks version %d of KVM's ABI, not %d", dev, version,
		    KVM_API_VERSION);
	if (vm_capability(vm, KVM_CAP_USER_MEMORY) <= 0)
		die("%s: has no KVM_CAP_USER_MEMORY", dev);
	if (vm_capability(vm, KVM_CAP_IMMEDIATE_EXIT) <= 0)
		die("%s: has no KVM_CAP_IMMEDIATE_EXIT", dev);
	size = ioctl(vm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		die("%s: struct kvm_run of %d bytes is too small", dev, size);
	vm->run_size = size;
}

int vm_capability(const struct vm *vm, long cap)
{
	int r = ioctl(vm->dev_fd, KVM_CHECK_EXTENSION, cap);

	return r < 0 ? 0 : r;
}

static uint64_t max_guest_memory(struct vm *vm)
{
	return cpuid_address_space(vm) - (RAM_HOLE_END - RAM_HOLE_START);
}

static void add_slot(struct vm *vm, unsigned int slot, uint64_t gpa,
		     uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		die("%s: KVM_SET_USER_MEMORY_REGION: %s", vm->dev,
		    strerror(errno));
}

void vm_create(struct vm *vm, uint64_t mem_size, bool irqchip)
{
	uint64_t identity = IDENTITY_MAP_ADDR;
	uint64_t low;

	vm->irqchip = irqchip;
	cpuid_read(vm);
	if (mem_size > max_guest_memory(vm))
		die("--mem: this CPU can give a guest %llu GiB at most",
		    (unsigned long long)(max_guest_memory(vm) / GIB));
	vm->mem = mmap(NULL, mem_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->mem == MAP_FAILED)
		die("--mem: this machine does not give %s to a guest: %s",
		    size_text(mem_size), strerror(errno));
	vm->mem_size = mem_size;

	vm->fd = ioctl(vm->dev_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0 && errno == EBUSY)
		die("%s: the virtualization hardware is in use by someone else ('lucid info' tells by whom)",
		    vm->dev);
	if (vm->fd < 0)
		die("%s: cannot create a VM: %s", vm->dev, strerror(errno));
	/* Before the first vCPU.  SVM has no use for them and may say so. */
	if (vm_capability(vm, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0)
		ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (vm_capability(vm, KVM_CAP_SET_TSS_ADDR) > 0)
		ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR);
	if (irqchip)
		irqchip_create(vm);
	low = vm_mem_low(vm);
	add_slot(vm, 0, 0, low, vm->mem);
	if (mem_size > low)
		add_slot(vm, 1, RAM_HOLE_END, mem_size - low, vm->mem + low);
}

void vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned int index,
		 unsigned int cpus)
{
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		die("%s: cannot create vCPU %u: %s", vm->dev, index,
		    strerror(errno));
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("%s: cannot map vCPU %u: %s", vm->dev, index,
		    strerror(errno));
	cpuid_set(vcpu, cpus);
	if (vm->irqchip)
		irqchip_vcpu(vcpu);
}

unsigned int vcpu_tsc_khz(const struct vcpu *vcpu)
{
	int khz = 0;

	if (vm_capability(vcpu->vm, KVM_CAP_GET_TSC_KHZ) > 0)
		khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	return khz > 0 ? khz : 0;
}

uint64_t vm_mem_low(const struct vm *vm)
{
	return vm->mem_size < RAM_HOLE_START ? vm->mem_size : RAM_HOLE_START;
}

void *vm_ram(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	uint64_t low = vm_mem_low(vm);

	if (gpa < low)
		return size <= low - gpa ? vm->mem + gpa : NULL;
	if (gpa < RAM_HOLE_END)
		return NULL;
	gpa -= RAM_HOLE_END;
	if (gpa >= vm->mem_size - low || size > vm->mem_size - low - gpa)
		return NULL;
	return vm->mem + low + gpa;
}

void *vm_ram_or_die(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	void *p = vm_ram(vm, gpa, size);

	if (!p)
		die("guest memory at 0x%llx: not there",
		    (unsigned long long)gpa);
	return p;
}
