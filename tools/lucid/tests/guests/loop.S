/* SPDX-License-Identifier: GPL-2.0 */
/* Never leaves by itself. */
	.code16
	.globl _start
_start:	jmp	_start
