// SPDX-License-Identifier: GPL-2.0
/* What a guest's CPUID says. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpuid.h"
#include "lucid.h"

#define MAX_ENTRIES		256

#define LEAF1_ECX_X2APIC	(1u << 21)
#define LEAF1_ECX_TSC_DEADLINE	(1u << 24)
#define LEAF1_ECX_HYPERVISOR	(1u << 31)
#define LEAF1_EDX_APIC		(1u << 9)
#define LEAF1_EDX_HTT		(1u << 28)

/* KVM's paravirtual features (CPUID 0x40000001 EAX) that need no APIC. */
#define KVM_CPUID_FEATURES	0x40000001u
#define PV_CLOCK		(1u << 0 | 1u << 3)	/* old and new MSRs */
#define PV_FEATURES_KEPT	(1u << 0 | 1u << 1 | 1u << 3 | 1u << 24)

static struct kvm_cpuid_entry2 *find(const struct vm *vm, uint32_t function)
{
	for (uint32_t i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == function)
			return &vm->cpuid->entries[i];
	return NULL;
}

void cpuid_read(struct vm *vm)
{
	struct kvm_cpuid_entry2 *e;

	vm->cpuid = xcalloc(1, sizeof(*vm->cpuid) +
			    MAX_ENTRIES * sizeof(vm->cpuid->entries[0]));
	vm->cpuid->nent = MAX_ENTRIES;
	if (ioctl(vm->dev_fd, KVM_GET_SUPPORTED_CPUID, vm->cpuid) < 0)
		die("%s: KVM_GET_SUPPORTED_CPUID: %s", vm->dev,
		    strerror(errno));
	e = find(vm, 1);
	if (e) {
		e->ecx |= LEAF1_ECX_HYPERVISOR;
		/* a capability tells of this one, not the supported CPUID */
		e->ecx &= ~LEAF1_ECX_TSC_DEADLINE;
		if (!vm->irqchip) {
			e->ecx &= ~LEAF1_ECX_X2APIC;
			e->edx &= ~LEAF1_EDX_APIC;
		} else if (vm_capability(vm, KVM_CAP_TSC_DEADLINE_TIMER) > 0) {
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
		}
	}
	e = find(vm, KVM_CPUID_FEATURES);
	if (e && !vm->irqchip)
		e->eax &= PV_FEATURES_KEPT;
	/* the CPU's name, which KVM leaves to its clients */
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
		e = find(vm, leaf);
		if (e && !e->eax)
			__cpuid(leaf, e->eax, e->ebx, e->ecx, e->edx);
	}
}

bool cpuid_has_kvmclock(const struct vm *vm)
{
	struct kvm_cpuid_entry2 *e = find(vm, KVM_CPUID_FEATURES);

	return e && (e->eax & PV_CLOCK);
}

uint64_t cpuid_address_space(const struct vm *vm)
{
	struct kvm_cpuid_entry2 *e = find(vm, 0x80000008);
	unsigned int bits = e ? e->eax & 0xff : 36;

	if (bits < 32 || bits > 52)
		bits = 36;
	return 1ull << bits;
}

/* Bits of an APIC id that tell @cpus apart. */
static unsigned int id_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

/* Which CPUs share a cache: EAX of leaves 4 and 0x8000001d. */
static uint32_t cache_sharing(uint32_t eax, unsigned int cpus)
{
	const unsigned int level = eax >> 5 & 7;

	if (!(eax & 31))
		return eax;	/* no more caches */
	eax &= 0x3fff;
	return level >= 3 ? eax | (cpus - 1) << 14 : eax;
}

/*
 * The topology: all CPUs are cores, without threads, of one package.  The
 * APIC id is the vCPU's index, also where there is no APIC.
 */
static void set_topology(struct kvm_cpuid_entry2 *e, unsigned int index,
			 unsigned int cpus)
{
	const unsigned int bits = id_bits(cpus), ids = 1u << bits;

	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | ids << 16 | index << 24;
		e->edx = cpus > 1 ? e->edx | LEAF1_EDX_HTT :
				    e->edx & ~LEAF1_EDX_HTT;
		break;
	case 4:
		e->eax = cache_sharing(e->eax, ids);
		if (e->eax & 31)
			e->eax |= (ids - 1) << 26;	/* ids of cores */
		break;
	case 0xb: case 0x1f:
		e->edx = index;
		if (e->index == 0) {		/* threads of a core */
			e->eax = 0;
			e->ebx = 1;
			e->ecx = 1 << 8;
		} else if (e->index == 1) {	/* cores of a package */
			e->eax = bits;
			e->ebx = cpus;
			e->ecx = 2 << 8 | 1;
		} else {
			e->eax = e->ebx = 0;
			e->ecx = e->index & 0xff;
		}
		break;
	case 0x80000001:	/* CmpLegacy: HTT means cores here */
		e->ecx = cpus > 1 ? e->ecx | 1u << 1 : e->ecx & ~(1u << 1);
		break;
	case 0x80000008:
		e->ecx = cpus > 1 ? (e->ecx & ~0xf0ffu) | bits << 12 |
				    (cpus - 1) : e->ecx & ~0xf0ffu;
		break;
	case 0x8000001d:
		e->eax = cache_sharing(e->eax, cpus);
		break;
	case 0x8000001e:
		e->eax = index;
		e->ebx = index & 0xff;	/* core; one thread in each */
		e->ecx = 0;		/* node 0, the only one */
		break;
	}
}

void cpuid_set(struct vcpu *vcpu, unsigned int cpus)
{
	struct vm *vm = vcpu->vm;

	for (uint32_t i = 0; i < vm->cpuid->nent; i++)
		set_topology(&vm->cpuid->entries[i], vcpu->index, cpus);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, vm->cpuid) < 0)
		die("%s: KVM_SET_CPUID2: %s", vm->dev, strerror(errno));
}
