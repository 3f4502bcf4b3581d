// SPDX-License-Identifier: GPL-2.0
/*
 * What the guest finds when it starts: the boot area (see boot.h) and the
 * first state of a vCPU.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "acpi.h"
#include "boot.h"
#include "load.h"
#include "lucid.h"

#define CR0_PE		(1ull << 0)
#define CR0_MP		(1ull << 1)
#define CR0_ET		(1ull << 4)
#define CR0_NE		(1ull << 5)
#define CR0_WP		(1ull << 16)
#define CR0_PG		(1ull << 31)
#define CR4_PAE		(1ull << 5)
#define CR4_OSFXSR	(1ull << 9)
#define CR4_OSXMMEXCPT	(1ull << 10)
#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)
#define APIC_BASE	0xfee00000ull
#define APIC_BASE_BSP	(1ull << 8)

#define PTE_P		(1ull << 0)
#define PTE_W		(1ull << 1)
#define PTE_U		(1ull << 2)
#define PTE_PS		(1ull << 7)

#define MULTIBOOT_BOOTED	0x2badb002u
#define MULTIBOOT_INFO_MEMORY	(1u << 0)
#define MULTIBOOT_INFO_CMDLINE	(1u << 2)
#define MULTIBOOT_INFO_MMAP	(1u << 6)
#define MULTIBOOT_INFO_NAME	(1u << 9)

#define PVH_MAGIC		0x336ec578u
#define PVH_VERSION		1

struct pvh_module {
	uint64_t address, size, cmdline, reserved;
};

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr;
	uint32_t config_table, boot_loader_name, apm_table;
};

struct multiboot_mmap {
	uint32_t size;		/* of what follows: 20 */
	uint64_t start, length;
	uint32_t type;
} __attribute__((packed));

struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp, map;
	uint32_t map_entries, reserved;
};

unsigned int boot_memory_map(const struct vm *vm, struct boot_range *r)
{
	uint64_t low = vm_mem_low(vm);
	unsigned int n = 0;

	r[n++] = (struct boot_range){ 0, 0x9fc00, BOOT_RAM, 0 };
	r[n++] = (struct boot_range){ 0x9fc00, 0x400, BOOT_RESERVED, 0 };
	r[n++] = (struct boot_range){ 0xf0000, 0x10000, BOOT_RESERVED, 0 };
	if (low > MIB)
		r[n++] = (struct boot_range){ MIB, low - MIB, BOOT_RAM, 0 };
	if (vm->mem_size > low)
		r[n++] = (struct boot_range){ RAM_HOLE_END, vm->mem_size - low,
					      BOOT_RAM, 0 };
	return n;
}

static void write_flat(struct vm *vm, const struct image *image,
		       unsigned int cpus)
{
	struct boot_block *block = vm_ram_or_die(vm, BOOT_AREA, sizeof(*block));
	struct boot_range *map = vm_ram_or_die(vm, BOOT_MAP,
					       MAX_RANGES * sizeof(*map));

	*block = (struct boot_block){
		.magic = BOOT_MAGIC,
		.version = BOOT_VERSION,
		.mem_size = vm->mem_size,
		.image = image->at,
		.image_size = image->size,
		.cmdline = BOOT_CMDLINE,
		.map = BOOT_MAP,
		.map_entries = boot_memory_map(vm, map),
		.cpus = cpus,
	};
}

static void write_multiboot(struct vm *vm)
{
	struct multiboot_info *info = vm_ram_or_die(vm, BOOT_AREA,
						    sizeof(*info));
	struct multiboot_mmap *map = vm_ram_or_die(vm, BOOT_MAP,
						   MAX_RANGES * sizeof(*map));
	struct boot_range ranges[MAX_RANGES];
	unsigned int n = boot_memory_map(vm, ranges);
	uint64_t upper = vm_mem_low(vm);

	for (unsigned int i = 0; i < n; i++)
		map[i] = (struct multiboot_mmap){
			.size = sizeof(*map) - sizeof(map->size),
			.start = ranges[i].start,
			.length = ranges[i].size,
			.type = ranges[i].type,
		};
	strcpy(vm_ram_or_die(vm, BOOT_NAME, 64), "lucid " LUCID_VERSION);
	*info = (struct multiboot_info){
		.flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_CMDLINE |
			 MULTIBOOT_INFO_MMAP | MULTIBOOT_INFO_NAME,
		.mem_lower = 0x9fc00 / KIB,
		.mem_upper = (upper - MIB) / KIB,
		.cmdline = BOOT_CMDLINE,
		.mmap_length = n * sizeof(*map),
		.mmap_addr = BOOT_MAP,
		.boot_loader_name = BOOT_NAME,
	};
}

static void write_pvh(struct vm *vm, const struct initrd *initrd)
{
	struct pvh_module *module = vm_ram_or_die(vm, BOOT_MODULES,
						  sizeof(*module));
	struct pvh_start_info *info = vm_ram_or_die(vm, BOOT_AREA,
						    sizeof(*info));
	struct boot_range *map = vm_ram_or_die(vm, BOOT_MAP,
					       MAX_RANGES * sizeof(*map));

	*module = (struct pvh_module){
		.address = initrd->gpa,
		.size = initrd->file.size,
	};
	*info = (struct pvh_start_info){
		.magic = PVH_MAGIC,
		.version = PVH_VERSION,
		.nr_modules = initrd->file.path ? 1 : 0,
		.modules = BOOT_MODULES,
		.rsdp = ACPI_RSDP,
		.cmdline = BOOT_CMDLINE,
		.map = BOOT_MAP,
		.map_entries = boot_memory_map(vm, map),
	};
}

/* Identity for the first 4 GiB in 2 MiB pages: one PML4, one PDPT, four PDs. */
static void write_page_tables(struct vm *vm)
{
	uint64_t *table = vm_ram_or_die(vm, BOOT_TABLES,
					BOOT_TABLES_END - BOOT_TABLES);
	uint64_t *pml4 = table, *pdpt = table + 512, *pd = table + 1024;
	const uint64_t flags = PTE_P | PTE_W | PTE_U;

	memset(table, 0, BOOT_TABLES_END - BOOT_TABLES);
	pml4[0] = (BOOT_TABLES + 0x1000) | flags;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (BOOT_TABLES + 0x2000 + i * 0x1000) | flags;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * 2 * MIB | flags | PTE_PS;
}

/* Each with its TSS, which a vCPU must have, and that one's upper half. */
#define TSS_DESCRIPTOR	(0x00008b0000000067 | (uint64_t)BOOT_TSS << 16), 0
static const uint64_t gdt[] = {
	0,
	0x00cf9b000000ffff,	/* code32: base 0, limit 4 GiB */
	0x00cf93000000ffff,	/* data: base 0, limit 4 GiB */
	0x00af9b000000ffff,	/* code64 */
	TSS_DESCRIPTOR,
};
static const uint64_t linux_gdt[] = {
	0,
	0,
	0x00af9b000000ffff,	/* code64 */
	0x00cf93000000ffff,	/* data */
	TSS_DESCRIPTOR,
};

static void write_cmdline(struct vm *vm, const struct image *image,
			  const char *cmdline)
{
	const bool named = image->format == IMAGE_MULTIBOOT;
	char *to = vm_ram_or_die(vm, BOOT_CMDLINE,
				 BOOT_AREA_END - BOOT_CMDLINE);
	size_t room = BOOT_AREA_END - BOOT_CMDLINE;

	if (room > image->cmdline_max && image->cmdline_max)
		room = image->cmdline_max + 1;
	/* multiboot: the image's name is the first word, as GRUB has it */
	if ((size_t)snprintf(to, room, "%s%s%s", named ? image->path : "",
			     named && *cmdline ? " " : "", cmdline) >= room)
		die("--cmdline: longer than the %zu characters that %s takes",
		    room - 1, image->path);
}

void boot_write(struct vm *vm, struct image *image, const char *cmdline,
		unsigned int cpus)
{
	write_cmdline(vm, image, cmdline);
	memcpy(vm_ram_or_die(vm, BOOT_GDT, sizeof(gdt)), gdt, sizeof(gdt));
	if (image->start == 64)
		write_page_tables(vm);
	switch (image->format) {
	case IMAGE_LINUX:
		memcpy(vm_ram_or_die(vm, BOOT_LINUX_GDT, sizeof(linux_gdt)),
		       linux_gdt, sizeof(linux_gdt));
		acpi_write(vm, cpus);
		linux_boot_write(vm, image);
		break;
	case IMAGE_MULTIBOOT:
		write_multiboot(vm);
		break;
	case IMAGE_PVH:
		acpi_write(vm, cpus);
		write_pvh(vm, &image->initrd);
		break;
	default:
		write_flat(vm, image, cpus);
		break;
	}
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};
}

static struct kvm_segment real_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.selector = selector,
		.base = (uint64_t)selector << 4,
		.limit = 0xffff,
		.type = type,
		.present = 1,
		.s = 1,
	};
}

static void start_16(struct kvm_sregs *s, struct kvm_regs *r,
		     const struct image *image)
{
	/* A boot sector wants 0000:7c00; what lies higher needs a segment. */
	uint16_t cs = image->entry > 0xffff ? image->entry >> 4 : 0;
	struct kvm_segment data = real_segment(0, 3);

	s->cs = real_segment(cs, 11);
	s->ds = s->es = s->fs = s->gs = data;
	s->ss = real_segment((BOOT_STACK - 0x10000) >> 4, 3);
	s->cr0 = CR0_ET;
	s->idt.base = 0;
	s->idt.limit = 0x3ff;
	r->rip = image->entry - ((uint64_t)cs << 4);
	r->rsp = 0xfff0;
}

static void start_protected(struct kvm_sregs *s, struct kvm_regs *r,
			    const struct image *image)
{
	struct kvm_segment data = flat_segment(BOOT_SEL_DATA, 3);

	s->cs = flat_segment(BOOT_SEL_CODE32, 11);
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->gdt.base = BOOT_GDT;
	s->gdt.limit = 6 * 8 - 1;
	/* No IDT: an early exception ends the guest, not its memory. */
	s->idt.base = 0;
	s->idt.limit = 0;
	s->tr = (struct kvm_segment){
		.selector = BOOT_SEL_TSS,
		.base = BOOT_TSS,
		.limit = 0x67,
		.type = 11,
		.present = 1,
	};
	s->cr0 = CR0_PE | CR0_ET;
	if (image->start == 64) {
		s->cs.selector = BOOT_SEL_CODE64;
		s->cs.db = 0;
		s->cs.l = 1;
		if (image->format == IMAGE_LINUX) {
			s->gdt.base = BOOT_LINUX_GDT;
			s->cs.selector = BOOT_SEL_LINUX_CODE;
			data.selector = BOOT_SEL_LINUX_DATA;
			s->ds = s->es = s->fs = s->gs = s->ss = data;
		}
		s->cr0 |= CR0_PG | CR0_MP | CR0_NE | CR0_WP;
		s->cr3 = BOOT_TABLES;
		/* SSE on: compilers use it */
		s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
		s->efer = EFER_LME | EFER_LMA;
	}
	r->rip = image->entry;
	/* the C ABI: 16-aligned before a call pushes its return address */
	r->rsp = BOOT_STACK - 8;
}

void boot_vcpu(struct vcpu *vcpu, const struct image *image)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		die("%s: KVM_GET_SREGS: %s", vcpu->vm->dev, strerror(errno));
	/* Without a local APIC: its enable bit is what CPUID follows. */
	if (!vcpu->vm->irqchip)
		sregs.apic_base = APIC_BASE | (vcpu->index ? 0 : APIC_BASE_BSP);
	if (image->start == 16)
		start_16(&sregs, &regs, image);
	else
		start_protected(&sregs, &regs, image);
	switch (image->format) {
	case IMAGE_MULTIBOOT:
		regs.rax = MULTIBOOT_BOOTED;
		regs.rbx = BOOT_AREA;
		break;
	case IMAGE_PVH:
		regs.rbx = BOOT_AREA;
		break;
	case IMAGE_LINUX:
		regs.rsi = BOOT_PARAMS;
		break;
	default:
		regs.rax = BOOT_MAGIC;
		regs.rdi = BOOT_AREA;
		regs.rsi = vcpu->index;
		break;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		die("%s: KVM_SET_SREGS: %s", vcpu->vm->dev, strerror(errno));
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		die("%s: KVM_SET_REGS: %s", vcpu->vm->dev, strerror(errno));
	/* one that waits for the first CPU's call would not start */
	if (vcpu->vm->irqchip && vcpu->index &&
	    ioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable) < 0)
		die("%s: KVM_SET_MP_STATE: %s", vcpu->vm->dev,
		    strerror(errno));
}
