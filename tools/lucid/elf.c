// SPDX-License-Identifier: GPL-2.0
/*
 * ELF images: multiboot (version 1) and PVH.
 *
 * Both are loaded at the physical addresses of their program headers and
 * started in 32-bit protected mode.  A PVH image says where, in a note
 * (Xen's "x86/HVM direct boot ABI"); a multiboot image by ELF's own entry
 * point ("Multiboot Specification version 0.6.96").
 */
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "lucid.h"

#define XEN_ELFNOTE_PHYS32_ENTRY	18

#define MULTIBOOT_MAGIC		0x1badb002u
#define MULTIBOOT_SEARCH	8192	/* the header is in the first 8 KiB */
#define MULTIBOOT_PAGE_ALIGN	(1u << 0)
#define MULTIBOOT_MEMORY_INFO	(1u << 1)
#define MULTIBOOT_MUST_KNOW	0xffffu	/* flags that a loader must know */

static Elf *elf_open(const struct image *image, size_t *phnum)
{
	GElf_Ehdr ehdr;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(image->fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &ehdr))
		die("%s: is a corrupt ELF file: its header is damaged or cut off",
		    image->path);
	if (ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (ehdr.e_machine != EM_386 && ehdr.e_machine != EM_X86_64))
		die("%s: is an ELF file for another kind of CPU", image->path);
	if (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN)
		die("%s: is an ELF file, but not an executable one",
		    image->path);
	if (elf_getphdrnum(elf, phnum) < 0 || !*phnum)
		die("%s: is an ELF file without program headers (truncated?)",
		    image->path);
	return elf;
}

static void get_phdr(const struct image *image, Elf *elf, size_t i,
		     GElf_Phdr *phdr)
{
	if (!gelf_getphdr(elf, i, phdr))
		die("%s: is a corrupt ELF file: program header %zu: %s",
		    image->path, i, elf_errmsg(-1));
}

/* The entry point in PVH's note: 4 or 8 bytes, by the ELF's class. */
static bool pvh_entry(const struct image *image, Elf *elf, size_t phnum,
		      uint32_t *entry)
{
	for (size_t i = 0; i < phnum; i++) {
		size_t pos = 0, name, desc;
		GElf_Phdr phdr;
		GElf_Nhdr note;
		Elf_Data *data;

		get_phdr(image, elf, i, &phdr);
		if (phdr.p_type != PT_NOTE)
			continue;
		if (phdr.p_offset > image->size ||
		    phdr.p_filesz > image->size - phdr.p_offset)
			die("%s: is truncated: its notes lie beyond its end",
			    image->path);
		data = elf_getdata_rawchunk(elf, phdr.p_offset, phdr.p_filesz,
					    phdr.p_align == 8 ? ELF_T_NHDR8 :
								ELF_T_NHDR);
		while (data && pos < data->d_size) {
			const char *bytes = data->d_buf;
			uint64_t value = 0;

			pos = gelf_getnote(data, pos, &note, &name, &desc);
			if (!pos)
				break;
			if (note.n_type != XEN_ELFNOTE_PHYS32_ENTRY ||
			    note.n_namesz != 4 ||
			    memcmp(bytes + name, "Xen", 4))
				continue;
			if (note.n_descsz != 4 && note.n_descsz != 8)
				die("%s: its PVH note has %u bytes, not 4 or 8",
				    image->path, note.n_descsz);
			memcpy(&value, bytes + desc, note.n_descsz);
			if (value > UINT32_MAX)
				die("%s: its PVH entry point is beyond 4 GiB",
				    image->path);
			*entry = value;
			return true;
		}
	}
	return false;
}

static bool multiboot_header(const struct image *image)
{
	static uint32_t words[MULTIBOOT_SEARCH / 4];
	ssize_t got = pread(image->fd, words, sizeof(words), 0);
	uint32_t flags;

	for (ssize_t i = 0; i + 3 <= got / 4; i++) {
		flags = words[i + 1];
		if (words[i] != MULTIBOOT_MAGIC ||
		    words[i] + flags + words[i + 2])
			continue;
		flags &= MULTIBOOT_MUST_KNOW;
		flags &= ~(MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO);
		if (flags)
			die("%s: asks for a multiboot feature that is not there (flags 0x%x)",
			    image->path, flags);
		return true;
	}
	return false;
}

/* A higher-half kernel may give its entry point as a virtual address. */
static uint32_t multiboot_entry(const struct image *image, Elf *elf,
				size_t phnum)
{
	GElf_Ehdr ehdr;
	GElf_Phdr phdr;
	uint64_t entry;

	if (!gelf_getehdr(elf, &ehdr))
		die("%s: is a corrupt ELF file", image->path);
	entry = ehdr.e_entry;
	for (size_t i = 0; i < phnum; i++) {
		get_phdr(image, elf, i, &phdr);
		if (phdr.p_type == PT_LOAD && entry >= phdr.p_vaddr &&
		    entry - phdr.p_vaddr < phdr.p_memsz) {
			entry = entry - phdr.p_vaddr + phdr.p_paddr;
			break;
		}
	}
	if (entry > UINT32_MAX)
		die("%s: its entry point is beyond 4 GiB", image->path);
	return entry;
}

enum image_format elf_format(const struct image *image, uint32_t *entry)
{
	enum image_format format = IMAGE_AUTO;
	size_t phnum;
	Elf *elf = elf_open(image, &phnum);

	if (image->format != IMAGE_MULTIBOOT &&
	    pvh_entry(image, elf, phnum, entry)) {
		format = IMAGE_PVH;
	} else if (multiboot_header(image)) {
		*entry = multiboot_entry(image, elf, phnum);
		format = IMAGE_MULTIBOOT;
	}
	elf_end(elf);
	return format;
}

void elf_load(struct image *image, struct vm *vm)
{
	bool entry_inside = false;
	size_t phnum;
	Elf *elf = elf_open(image, &phnum);

	image->begin = UINT64_MAX;
	for (size_t i = 0; i < phnum; i++) {
		GElf_Phdr phdr;

		get_phdr(image, elf, i, &phdr);
		if (phdr.p_type != PT_LOAD)
			continue;
		if (phdr.p_filesz > phdr.p_memsz)
			die("%s: is a corrupt ELF file: segment %zu is larger in the file than in memory",
			    image->path, i);
		image_read(image, vm, phdr.p_offset, phdr.p_paddr,
			   phdr.p_filesz, phdr.p_memsz);
		if (!phdr.p_memsz)
			continue;
		if (phdr.p_paddr < image->begin)
			image->begin = phdr.p_paddr;
		if (phdr.p_paddr + phdr.p_memsz > image->end)
			image->end = phdr.p_paddr + phdr.p_memsz;
		entry_inside |= image->entry >= phdr.p_paddr &&
				image->entry - phdr.p_paddr < phdr.p_memsz;
	}
	elf_end(elf);
	if (!entry_inside)
		die("%s: its entry point 0x%llx lies in none of its segments",
		    image->path, (unsigned long long)image->entry);
}
