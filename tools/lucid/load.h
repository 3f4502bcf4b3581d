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
	IMAGE_LINUX,
};

/* A file that is open and known to be a regular one. */
struct file {
	const char *path;	/* NULL: there is none */
	uint64_t size;
	int fd;
};

struct initrd {
	struct file file;
	uint64_t gpa;		/* where it was loaded */
};

struct image {
	union {			/* image->path is its file's */
		struct file file;
		struct {
			const char *path;
			uint64_t size;
			int fd;
		};
	};
	enum image_format format;
	unsigned int start;	/* flat: 16, 32 or 64; else 32 */
	bool at_given;
	uint64_t at;		/* flat: where it is loaded */
	uint64_t entry;		/* where the first vCPU starts */
	uint64_t begin, end;	/* ELF: of its lowest segment, of its highest */
	struct initrd initrd;	/* Linux, PVH: with --initrd */
	uint64_t cmdline_max;	/* Linux: characters of a command line */
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
/*
 * load.c: put @image's initrd into memory, below @max and outside the kernel's
 * own @begin to @end (both exclusive).  Behind it if there is room, as high as
 * can be: kernels grow from below.  Else below it, but above the first MiB,
 * where boot_write() puts what the guest is told.
 */
void initrd_load(struct image *image, struct vm *vm, uint64_t begin,
		 uint64_t end, uint64_t max);

/* linux.c: a bzImage; linux_open() checks all that its header says */
void linux_open(struct image *image);
void linux_load(struct image *image, struct vm *vm);
/* the zero page; the command line is at BOOT_CMDLINE */
void linux_boot_write(struct vm *vm, struct image *image);

/* load.c: dies in one line that names the file and why */
void file_open(struct file *file);
/* With progress on a terminal if it takes long. */
void file_read(const struct file *file, uint64_t offset, uint64_t size,
	       void *to);
/* For elf.c: one piece of the file into memory, with checks */
void image_read(struct image *image, struct vm *vm, uint64_t offset,
		uint64_t gpa, uint64_t file_size, uint64_t mem_size);

/*
 * boot.c: the ranges of a PC's memory; returns how many.
 */
#define MAX_RANGES	6
struct boot_range;
unsigned int boot_memory_map(const struct vm *vm, struct boot_range *ranges);

/*
 * Write the boot area (information for the guest, GDT, page tables)
 * and put @vcpu into the state in which its image expects to start.
 */
void boot_write(struct vm *vm, struct image *image, const char *cmdline,
		unsigned int cpus);
void boot_vcpu(struct vcpu *vcpu, const struct image *image);

#endif
