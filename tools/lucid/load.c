// SPDX-License-Identifier: GPL-2.0
/* Images: find out what a file is and read it into the guest's memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "load.h"
#include "lucid.h"

#define PROGRESS_FROM	(64 * MIB)	/* larger loads show how far they are */
#define PROGRESS_AFTER	500000000ull	/* ns; and so do slower ones */
#define CHUNK		MIB
#define PAGE		4096ull
#define BZIMAGE		"a Linux bzImage"

static const char *const format_names[] = {
	[IMAGE_AUTO] = "unknown",
	[IMAGE_FLAT] = "flat binary",
	[IMAGE_MULTIBOOT] = "multiboot",
	[IMAGE_PVH] = "PVH",
	[IMAGE_LINUX] = "Linux",
};

const char *image_format_name(const struct image *image)
{
	return format_names[image->format];
}

/* A name for what the file is, if it is something that people try. */
static const char *guess(const uint8_t *head, size_t len)
{
	if (len >= 0x206 && !memcmp(head + 0x202, "HdrS", 4))
		return BZIMAGE;
	if (len >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		return "gzip-compressed";
	if (len >= 6 && !memcmp(head, "\xfd" "7zXZ", 6))
		return "xz-compressed";
	if (len >= 4 && !memcmp(head, "\x28\xb5\x2f\xfd", 4))
		return "zstd-compressed";
	if (len >= 2 && !memcmp(head, "#!", 2))
		return "a script";
	if (len >= 4 && !memcmp(head, "QFI\xfb", 4))
		return "a qcow2 disk";
	return NULL;
}

static void open_flat(struct image *image)
{
	if (!image->at_given)
		image->at = image->start == 16 ? 0x7c00 : 0x100000;
	image->format = IMAGE_FLAT;
	image->entry = image->at;
	if (image->start == 16 && image->at >= MIB)
		die("--at 0x%llx: a 16-bit start is below 1 MiB",
		    (unsigned long long)image->at);
}

void file_open(struct file *file)
{
	struct stat st;

	/* O_NONBLOCK: a FIFO without a writer does not hang the open */
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &st) < 0)
		die("%s: %s", file->path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		die("%s: is a directory, not a file", file->path);
	if (!S_ISREG(st.st_mode))
		die("%s: is not a regular file", file->path);
	if (!st.st_size)
		die("%s: is empty", file->path);
	file->size = st.st_size;
}

static void elf_chosen(struct image *image, enum image_format is,
		       uint32_t entry)
{
	image->format = is;
	image->start = 32;
	image->entry = entry;
}

/* --kernel: a bzImage, or the vmlinux that it holds (with a PVH note) */
static void open_linux(struct image *image, const uint8_t *head, size_t len)
{
	const char *looks = guess(head, len);
	uint32_t entry;

	if (len >= 4 && !memcmp(head, "\177ELF", 4)) {
		image->format = IMAGE_AUTO;
		if (elf_format(image, &entry) != IMAGE_PVH)
			die("%s: is an ELF file without a PVH note, and not a Linux bzImage",
			    image->path);
		elf_chosen(image, IMAGE_PVH, entry);
		return;
	}
	if (len >= 0x3c && !memcmp(head + 0x38, "ARM\x64", 4))
		die("%s: is a kernel for arm64", image->path);
	if (len >= 0x3c && !memcmp(head + 0x38, "RSC\x05", 4))
		die("%s: is a kernel for RISC-V", image->path);
	if (looks && strcmp(looks, BZIMAGE))
		die("%s: is no Linux bzImage (it looks like %s)", image->path,
		    looks);
	linux_open(image);
}

void image_open(struct image *image)
{
	uint8_t head[0x210] = { 0 };
	enum image_format is;
	const char *looks;
	uint32_t entry;
	ssize_t got;

	file_open(&image->file);
	got = pread(image->fd, head, sizeof(head), 0);
	if (got < 0)
		die("%s: %s", image->path, strerror(errno));

	if (image->format == IMAGE_LINUX) {
		open_linux(image, head, got);
		return;
	}
	if (image->format == IMAGE_FLAT) {
		open_flat(image);
		return;
	}
	if (got < 4 || memcmp(head, "\177ELF", 4)) {
		if (image->format != IMAGE_AUTO)
			die("%s: is not an ELF file", image->path);
		if (image->start) {
			open_flat(image);
			return;
		}
		looks = guess(head, got);
		if (looks && !strcmp(looks, BZIMAGE))
			die("%s: is none of the formats (it looks like %s: 'lucid run --kernel' boots one)",
			    image->path, looks);
		if (looks)
			die("%s: is none of the formats (it looks like %s)",
			    image->path, looks);
		die("%s: is none of the formats; if it is a flat binary, say how it starts: --start 16, 32 or 64",
		    image->path);
	}
	if (image->start || image->at_given)
		die("%s: is an ELF file, and --start and --at are for flat binaries (--format flat makes it one)",
		    image->path);
	is = elf_format(image, &entry);
	if (is == IMAGE_AUTO)
		die("%s: is an ELF file with neither a PVH note nor a multiboot header",
		    image->path);
	if (image->format != IMAGE_AUTO && is != image->format)
		die("%s: is a %s image, not a %s one", image->path,
		    format_names[is], format_names[image->format]);
	elf_chosen(image, is, entry);
}

/* What is shown of a file's progress: nothing before it is known to be slow. */
struct progress {
	uint64_t start;		/* ns */
	int percent;		/* last shown; -1 nothing yet */
};

static void progress(struct progress *p, const struct file *file,
		     uint64_t done, uint64_t size)
{
	int percent = done * 100 / size;

	if (percent == p->percent || !isatty(STDERR_FILENO))
		return;
	if (size < PROGRESS_FROM && p->percent < 0 &&
	    (done == size || now_ns() - p->start < PROGRESS_AFTER))
		return;
	p->percent = percent;
	fprintf(stderr, "\rlucid: loading %s: %d%%%s", file->path, percent,
		done == size ? "\r\033[K" : "");
}

void file_read(const struct file *file, uint64_t offset, uint64_t size,
	       void *to)
{
	struct progress p = { .start = now_ns(), .percent = -1 };
	uint64_t done = 0;

	while (done < size) {
		uint64_t want = size - done;
		ssize_t got;

		progress(&p, file, done, size);
		if (want > CHUNK)
			want = CHUNK;
		got = pread(file->fd, (uint8_t *)to + done, want,
			    offset + done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			die("%s: %s", file->path, strerror(errno));
		if (!got)
			die("%s: became shorter while it was read",
			    file->path);
		done += got;
	}
	if (size)
		progress(&p, file, size, size);
}

static bool overlaps(uint64_t gpa, uint64_t size, uint64_t start, uint64_t end)
{
	return gpa < end && start < gpa + size;
}

void image_read(struct image *image, struct vm *vm, uint64_t offset,
		uint64_t gpa, uint64_t file_size, uint64_t mem_size)
{
	uint8_t *to;

	if (!mem_size)
		return;
	if (offset > image->size || file_size > image->size - offset)
		die("%s: is truncated: it has %llu bytes of the %llu that its header tells of",
		    image->path, (unsigned long long)image->size,
		    (unsigned long long)(offset + file_size));
	if (gpa > UINT64_MAX - mem_size)
		die("%s: wants to be loaded beyond the end of memory",
		    image->path);
	to = vm_ram(vm, gpa, mem_size);
	if (!to)
		die("%s: needs memory from 0x%llx to 0x%llx, and the guest has %s (--mem)",
		    image->path, (unsigned long long)gpa,
		    (unsigned long long)(gpa + mem_size),
		    size_text(vm->mem_size));
	if (overlaps(gpa, mem_size, BOOT_AREA, BOOT_AREA_END))
		die("%s: would lie over the boot area at 0x%x-0x%x",
		    image->path, BOOT_AREA, BOOT_AREA_END - 1);
	if (image->start == 64 &&
	    overlaps(gpa, mem_size, BOOT_TABLES, BOOT_TABLES_END))
		die("%s: would lie over the page tables at 0x%x-0x%x",
		    image->path, BOOT_TABLES, BOOT_TABLES_END - 1);
	file_read(&image->file, offset, file_size, to);
	/* the rest is zero as all fresh memory is, unless a segment was there */
	memset(to + file_size, 0, mem_size - file_size);
}

/* The highest page in @from to @to (exclusive) where @size bytes fit, or 0. */
static uint64_t highest_page(uint64_t from, uint64_t to, uint64_t size)
{
	uint64_t page;

	if (from >= to || size > to - from)
		return 0;
	page = (to - size) & ~(PAGE - 1);
	return page < from ? 0 : page;
}

void initrd_load(struct image *image, struct vm *vm, uint64_t begin,
		 uint64_t end, uint64_t max)
{
	struct initrd *initrd = &image->initrd;
	const uint64_t size = initrd->file.size;

	if (!initrd->file.path)
		return;
	if (max > vm_mem_low(vm))
		max = vm_mem_low(vm);
	initrd->gpa = highest_page(end > MIB ? end : MIB, max, size);
	if (!initrd->gpa)
		initrd->gpa = highest_page(MIB, begin < max ? begin : max, size);
	if (!initrd->gpa)
		die("%s: %llu KiB do not fit behind or below the kernel in %s of memory (--mem)",
		    initrd->file.path,
		    (unsigned long long)((size + KIB - 1) / KIB),
		    size_text(vm->mem_size));
	file_read(&initrd->file, 0, size, vm_ram_or_die(vm, initrd->gpa, size));
}

void image_load(struct image *image, struct vm *vm)
{
	switch (image->format) {
	case IMAGE_FLAT:
		image_read(image, vm, 0, image->at, image->size, image->size);
		break;
	case IMAGE_LINUX:
		linux_load(image, vm);
		break;
	default:
		elf_load(image, vm);
		initrd_load(image, vm, image->begin, image->end,
			    RAM_HOLE_START);
		break;
	}
}
