/* SPDX-License-Identifier: GPL-2.0 */
/* Sends for ever, many bytes at a time. */
#include "guest.h"
	.code16
	.globl _start
_start:	cld
1:	xorw	%si, %si
	movw	$1024, %cx
	movw	$COM1, %dx
	rep outsb
	jmp	1b
