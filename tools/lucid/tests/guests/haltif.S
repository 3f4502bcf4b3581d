/* SPDX-License-Identifier: GPL-2.0 */
/* Halts with interrupts on, but all of them are masked. */
	.code16
	.globl _start
_start:	sti
1:	hlt
	jmp	1b
