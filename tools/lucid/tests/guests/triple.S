/* SPDX-License-Identifier: GPL-2.0 */
/* No IDT and an exception: a triple fault. */
	.code32
	.globl _start
_start:	ud2
