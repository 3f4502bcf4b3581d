/* SPDX-License-Identifier: GPL-2.0 */
/* What a guest's CPUID says. */
#ifndef LUCID_CPUID_H
#define LUCID_CPUID_H

#include "vm.h"

/* What the device supports, less what this VM has not: vm->cpuid. */
void cpuid_read(struct vm *vm);
/* Give it to @vcpu, one of @cpus, each a core of one package. */
void cpuid_set(struct vcpu *vcpu, unsigned int cpus);
/* Does it offer KVM's paravirtual clock? */
bool cpuid_has_kvmclock(const struct vm *vm);
/* Bytes of guest-physical address space. */
uint64_t cpuid_address_space(const struct vm *vm);

#endif
