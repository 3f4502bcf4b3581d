/* SPDX-License-Identifier: GPL-2.0 */
/* Images: what they are, how they get into memory, how a CPU starts them. */
#ifndef LUCID_LOAD_H
#define LUCID_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

enum image_format {
	IMAGE_AUTO,
	IMAGE_FLAT,
	IMAGE_MULTIBOOT,
	IMAGE_PVH,
};

struct image {
	const char *path;
	enum image_format format;
	unsigned int start;	/* flat: 16, 32 or 64; else 32 */
	bool at_given;
	uint64_t at;		/* flat: where it is loaded */
	uint64_t entry;		/* where the first vCPU starts */
	uint64_t size;		/* of the file */
	int fd;
};

/*
 * Find out what @image->path is (or check that it is what @image->format and
 * @image->start ask for), before any memory is taken.  Dies in one line that
 * names the file and why.
 */
void image_open(struct image *image);
/* Read it into the VM's memory and set @image->entry. */
void image_load(struct image *image, struct vm *vm);
const char *image_format_name(const struct image *image);

/* elf.c: the two kinds of ELF */
enum image_format elf_format(const struct image *image, uint32_t *entry);
void elf_load(struct image *image, struct vm *vm);
/* load.c, for elf.c: one piece of the file into memory, with checks */
void image_read(struct image *image, struct vm *vm, uint64_t offset,
		uint64_t gpa, uint64_t file_size, uint64_t mem_size);

/*
 * boot.c: write the boot area (information for the guest, GDT, page tables)
 * and put @vcpu into the state in which its image expects to start.
 */
void boot_write(struct vm *vm, const struct image *image, const char *cmdline,
		unsigned int cpus);
void boot_vcpu(struct vcpu *vcpu, const struct image *image);

#endif
