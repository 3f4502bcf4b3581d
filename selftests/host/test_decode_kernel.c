// SPDX-License-Identifier: GPL-2.0
/*
 * The decoder against Zydis on the code of a kernel: each ELF file named on
 * the command line, every executable section. A kernel has no list of where
 * its instructions begin, so in 64-bit mode every byte is taken as a beginning
 * (which has all instructions in it); 32- and 16-bit mode take the same bytes
 * as one stream.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zydis.h"

static u64 starts;	/* instructions of the stream in 64-bit mode */

static void sweep(const u8 *text, u64 size)
{
	struct lucid_insn insn;
	u64 pos, next = 0;
	unsigned int mode;

	for (mode = LUCID_INSN_16; mode <= LUCID_INSN_64; mode++) {
		for (pos = 0; pos < size; ) {
			unsigned int avail = size - pos < 32 ? size - pos : 32;
			int len = 1;

			zydis_compare(text + pos, avail, mode, 0);
			if (mode != LUCID_INSN_64 || pos == next)
				len = lucid_insn_decode(&insn, text + pos, avail, mode, 0);
			if (len <= 0)
				len = 1;
			if (mode == LUCID_INSN_64 && pos == next) {
				starts++;
				next = pos + len;
			}
			pos += mode == LUCID_INSN_64 ? 1 : len;
		}
	}
}

/* The file's executable sections; -1 if it is not such an ELF file. */
static int sweep_file(const char *path)
{
	const Elf64_Ehdr *eh;
	const Elf64_Shdr *sh;
	struct stat st;
	const u8 *file;
	int fd, i, sections = 0;

	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return -1;

	eh = (const void *)file;
	if ((u64)st.st_size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64 ||
	    eh->e_shoff + eh->e_shnum * sizeof(*sh) > (u64)st.st_size)
		goto out;

	sh = (const void *)(file + eh->e_shoff);
	for (i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type != SHT_PROGBITS || !(sh[i].sh_flags & SHF_EXECINSTR) ||
		    sh[i].sh_offset + sh[i].sh_size > (u64)st.st_size)
			continue;
		sweep(file + sh[i].sh_offset, sh[i].sh_size);
		sections++;
	}
out:
	munmap((void *)file, st.st_size);
	return sections ? 0 : -1;
}

int main(int argc, char **argv)
{
	int i;

	zydis_init();
	if (argc < 2)
		tap_skip("a kernel's code", "no KERNEL_IMAGE");

	for (i = 1; i < argc; i++) {
		u64 differ = cmp.differ;
		int err;

		starts = 0;
		err = sweep_file(argv[i]);
		if (err) {
			tap_ok(0, "%s has no x86-64 code to read", argv[i]);
			continue;
		}
		tap_ok(cmp.differ == differ, "%s: %llu instructions as Zydis has them",
		       basename(argv[i]), (unsigned long long)starts);
	}
	zydis_report();
	return tap_done();
}
