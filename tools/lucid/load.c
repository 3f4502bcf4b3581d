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
#define CHUNK		MIB

static const char *const format_names[] = {
	[IMAGE_AUTO] = "unknown",
	[IMAGE_FLAT] = "flat binary",
	[IMAGE_MULTIBOOT] = "multiboot",
	[IMAGE_PVH] = "PVH",
};

const char *image_format_name(const struct image *image)
{
	return format_names[image->format];
}

/* A name for what the file is, if it is something that people try. */
static const char *guess(const uint8_t *head, size_t len)
{
	if (len >= 0x206 && !memcmp(head + 0x202, "HdrS", 4))
		return "a Linux bzImage";
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

void image_open(struct image *image)
{
	uint8_t head[0x210] = { 0 };
	enum image_format is;
	const char *looks;
	struct stat st;
	uint32_t entry;
	ssize_t got;

	/* O_NONBLOCK: a FIFO without a writer does not hang the open */
	image->fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (image->fd < 0 || fstat(image->fd, &st) < 0)
		die("%s: %s", image->path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		die("%s: is a directory, not an image", image->path);
	if (!S_ISREG(st.st_mode))
		die("%s: is not a regular file", image->path);
	if (!st.st_size)
		die("%s: is empty", image->path);
	image->size = st.st_size;
	got = pread(image->fd, head, sizeof(head), 0);
	if (got < 0)
		die("%s: %s", image->path, strerror(errno));

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
	image->format = is;
	image->start = 32;
	image->entry = entry;
}

static void progress(const struct image *image, uint64_t done, uint64_t size)
{
	static int last = -1;
	int percent = done * 100 / size;

	if (size < PROGRESS_FROM || percent == last || !isatty(STDERR_FILENO))
		return;
	last = percent;
	fprintf(stderr, "\rlucid: loading %s: %d%%%s", image->path, percent,
		done == size ? "\r\033[K" : "");
}

static bool overlaps(uint64_t gpa, uint64_t size, uint64_t start, uint64_t end)
{
	return gpa < end && start < gpa + size;
}

void image_read(struct image *image, struct vm *vm, uint64_t offset,
		uint64_t gpa, uint64_t file_size, uint64_t mem_size)
{
	uint64_t done = 0;
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
	while (done < file_size) {
		uint64_t want = file_size - done;
		ssize_t got;

		progress(image, done, file_size);
		if (want > CHUNK)
			want = CHUNK;
		got = pread(image->fd, to + done, want, offset + done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			die("%s: %s", image->path, strerror(errno));
		if (!got)
			die("%s: became shorter while it was read",
			    image->path);
		done += got;
	}
	if (file_size)
		progress(image, file_size, file_size);
	/* the rest is zero as all fresh memory is, unless a segment was there */
	memset(to + file_size, 0, mem_size - file_size);
}

void image_load(struct image *image, struct vm *vm)
{
	if (image->format == IMAGE_FLAT)
		image_read(image, vm, 0, image->at, image->size, image->size);
	else
		elf_load(image, vm);
	close(image->fd);
	image->fd = -1;
}
