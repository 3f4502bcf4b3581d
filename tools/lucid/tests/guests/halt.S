/* SPDX-License-Identifier: GPL-2.0 */
/* Halts for good. */
	.code16
	.globl _start
_start:	cli
1:	hlt
	jmp	1b
