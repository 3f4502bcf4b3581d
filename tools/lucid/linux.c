// SPDX-License-Identifier: GPL-2.0
/*
 * A Linux bzImage, by the kernel's Documentation/arch/x86/boot.rst: the header
 * in its first sectors, "64-bit Boot Protocol" for how it is started.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acpi.h"
#include "boot.h"
#include "load.h"
#include "lucid.h"

#define HEADER_AT	0x1f1
#define HEADER_MAGIC	0x53726448	/* "HdrS" */
#define BOOT_FLAG	0xaa55
#define SECTOR		512
#define VERSION_XLF	0x020c		/* 2.12: the first with XLF_KERNEL_64 */
#define VERSION_RSDP	0x020e
#define ENTRY_64	0x200		/* from the loaded kernel's beginning */
#define LOADER_OTHER	0xff		/* "undefined": no number of our own */

static void read_header(struct image *image, struct setup_header *h)
{
	uint8_t jump;
	size_t end;

	memset(h, 0, sizeof(*h));
	if (image->size < HEADER_AT + sizeof(*h))
		die("%s: is no Linux bzImage: too short", image->path);
	if (pread(image->fd, h, sizeof(*h), HEADER_AT) != sizeof(*h) ||
	    pread(image->fd, &jump, 1, HEADER_AT + 0x10) != 1)
		die("%s: %s", image->path, strerror(errno));
	if (h->header != HEADER_MAGIC || h->boot_flag != BOOT_FLAG)
		die("%s: is no Linux bzImage: its header is missing",
		    image->path);
	/* the jump over the header says how long it is; the rest is not it */
	end = jump + 0x202 - HEADER_AT;
	if (end < sizeof(*h))
		memset((uint8_t *)h + end, 0, sizeof(*h) - end);
}

static uint64_t setup_size(const struct setup_header *h)
{
	return ((h->setup_sects ? h->setup_sects : 4) + 1) * SECTOR;
}

void linux_open(struct image *image)
{
	struct setup_header h;
	uint64_t kernel;

	read_header(image, &h);
	if (h.version < VERSION_XLF || !(h.xloadflags & XLF_KERNEL_64))
		die("%s: has no 64-bit entry: a kernel for 32-bit CPUs, or older than Linux 3.8",
		    image->path);
	if (!(h.loadflags & LOADED_HIGH))
		die("%s: is a zImage, not a bzImage", image->path);
	kernel = (uint64_t)h.syssize * 16;
	if (image->size < setup_size(&h) + kernel)
		die("%s: is truncated: it has %llu bytes of the %llu that its header tells of",
		    image->path, (unsigned long long)image->size,
		    (unsigned long long)(setup_size(&h) + kernel));
	if (kernel <= ENTRY_64 || h.init_size < kernel ||
	    !h.kernel_alignment ||
	    (h.kernel_alignment & (h.kernel_alignment - 1)) ||
	    h.pref_address < MIB || h.pref_address >= RAM_HOLE_START ||
	    (uint64_t)h.payload_offset + h.payload_length > kernel)
		die("%s: is a corrupt bzImage: its header contradicts itself",
		    image->path);
	image->format = IMAGE_LINUX;
	image->start = 64;
	image->cmdline_max = h.cmdline_size;
}

void linux_load(struct image *image, struct vm *vm)
{
	struct setup_header h;
	uint64_t end, kernel;
	uint8_t *to;

	read_header(image, &h);
	kernel = (uint64_t)h.syssize * 16;
	/*
	 * At the address that it was linked for, with all the room that it says
	 * it needs to unpack itself: an own address would gain nothing, for it
	 * does not stay below that one.
	 */
	end = h.pref_address + h.init_size;
	to = vm_ram(vm, h.pref_address, h.init_size);
	if (!to)
		die("%s: needs %llu MiB of memory to start, and the guest has %s (--mem)",
		    image->path, (unsigned long long)((end + MIB - 1) / MIB),
		    size_text(vm->mem_size));
	file_read(&image->file, setup_size(&h), kernel, to);
	image->entry = h.pref_address + ENTRY_64;
	initrd_load(image, vm, h.pref_address, end,
		    (uint64_t)h.initrd_addr_max + 1);
}

void linux_boot_write(struct vm *vm, struct image *image)
{
	struct boot_params *p = vm_ram_or_die(vm, BOOT_PARAMS, sizeof(*p));
	struct boot_range ranges[MAX_RANGES];
	const struct initrd *initrd = &image->initrd;
	unsigned int n = boot_memory_map(vm, ranges);

	memset(p, 0, sizeof(*p));
	read_header(image, &p->hdr);
	p->hdr.type_of_loader = LOADER_OTHER;
	p->hdr.vid_mode = 0xffff;	/* normal */
	p->hdr.cmd_line_ptr = BOOT_CMDLINE;
	p->hdr.ramdisk_image = initrd->gpa;
	p->hdr.ramdisk_size = initrd->file.size;
	if (p->hdr.version >= VERSION_RSDP)
		p->acpi_rsdp_addr = ACPI_RSDP;
	p->e820_entries = n;
	for (unsigned int i = 0; i < n; i++)
		p->e820_table[i] = (struct boot_e820_entry){
			.addr = ranges[i].start,
			.size = ranges[i].size,
			.type = ranges[i].type,
		};
}
