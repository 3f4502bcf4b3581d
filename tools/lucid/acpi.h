/* SPDX-License-Identifier: GPL-2.0 */
/* ACPI: the tables that tell a guest of its machine. */
#ifndef LUCID_ACPI_H
#define LUCID_ACPI_H

#include <stdbool.h>

#include "vm.h"

/* Tables lie where PCs have their BIOS; guests look for the RSDP there. */
#define ACPI_TABLES	0xf0000ull
#define ACPI_TABLES_END	0x100000ull
#define ACPI_RSDP	ACPI_TABLES

/*
 * Write all tables for a VM with @cpus vCPUs.  Interrupt controllers are told
 * of (the MADT) if the VM has them in the device.
 */
void acpi_write(struct vm *vm, unsigned int cpus);

#endif
