/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a guest finds when it starts: the boot area in low memory.
 *
 * The demo guest includes this file as well, so the numbers above the last
 * #ifndef are plain ones.  lucid(8) documents them for everybody else.
 */
#ifndef LUCID_BOOT_H
#define LUCID_BOOT_H

#define BOOT_AREA	0x500	/* first byte: the boot block (or its like) */
#define BOOT_MAP	0x600	/* the memory map */
#define BOOT_GDT	0x700	/* null, code32 08, data 10, code64 18, TSS 20 */
#define BOOT_TSS	0x780
#define BOOT_NAME	0x800	/* the loader's name, for multiboot */
#define BOOT_MODULES	0x800	/* the initial RAM disk, for PVH */
#define BOOT_CMDLINE	0x1000	/* NUL-terminated, up to 4095 characters */
#define BOOT_AREA_END	0x2000
#define BOOT_TABLES	0x90000	/* --start 64: page tables, 6 pages */
#define BOOT_TABLES_END	0x96000
#define BOOT_PARAMS	0x3000	/* Linux: its "zero page" */
#define BOOT_LINUX_GDT	0x4000	/* null, null, code64 10, data 18, TSS 20 */
#define BOOT_STACK	0x90000	/* the stack's top in all flat modes */

#define BOOT_MAGIC	0x4c554344	/* in EAX and in the boot block */
#define BOOT_VERSION	1

#define BOOT_SEL_CODE32	0x08
#define BOOT_SEL_DATA	0x10
#define BOOT_SEL_CODE64	0x18
#define BOOT_SEL_TSS	0x20
#define BOOT_SEL_LINUX_CODE	0x10	/* as its boot protocol wants */
#define BOOT_SEL_LINUX_DATA	0x18

#define PORT_DEBUG_EXIT	0xf4
#define PORT_DEBUG_CON	0xe9

#ifndef __ASSEMBLER__
#include <stdint.h>

/* For flat binaries, at BOOT_AREA; its address is in EDI, too. */
struct boot_block {
	uint32_t magic;		/* BOOT_MAGIC */
	uint32_t version;	/* BOOT_VERSION */
	uint64_t mem_size;	/* bytes of RAM in all */
	uint64_t image;		/* where the image was loaded */
	uint64_t image_size;
	uint32_t cmdline;	/* address of the command line */
	uint32_t map;		/* address of struct boot_range[] */
	uint32_t map_entries;
	uint32_t cpus;
};

/* The memory map, as a PC's e820 and PVH have it. */
struct boot_range {
	uint64_t start;
	uint64_t size;
	uint32_t type;		/* 1 RAM, 2 reserved */
	uint32_t reserved;
};

#define BOOT_RAM	1
#define BOOT_RESERVED	2
#endif

#endif
