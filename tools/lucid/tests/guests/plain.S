/* SPDX-License-Identifier: GPL-2.0 */
/* An ELF that is neither multiboot nor PVH. */
	.globl _start
_start:	hlt
