/* SPDX-License-Identifier: GPL-2.0 */
/* --start 32: flat protected mode; memory everywhere; a stack. */
#include "guest.h"
	.code32
	.globl _start
_start:
	movl	%eax, %ecx
	movb	$1, %al
	cmpl	$BOOT_MAGIC, %ecx
	jne	out
	movb	$2, %al
	cmpl	$BOOT_AREA, %edi
	jne	out
	movb	$3, %al
	movl	%cr0, %ecx
	andl	$0x80000001, %ecx
	cmpl	$1, %ecx
	jne	out
	movb	$4, %al
	movl	%cs, %ecx
	cmpl	$BOOT_SEL_CODE32, %ecx
	jne	out
	movb	$5, %al			/* segments can be loaded anew */
	movl	$BOOT_SEL_DATA, %ecx
	movl	%ecx, %ds
	movl	%ecx, %ss
	pushl	%ecx
	popl	%edx
	cmpl	%ecx, %edx
	jne	out
	movb	$6, %al			/* the last bytes of memory */
	movl	BOOT_AREA + 8, %ebx
	movl	$0xfeedface, -4(%ebx)
	cmpl	$0xfeedface, -4(%ebx)
	jne	out
	movb	$7, %al			/* nothing behind them: all ones */
	movl	(%ebx), %ecx
	cmpl	$0xffffffff, %ecx
	jne	out
	movl	$0, (%ebx)
	movl	(%ebx), %ecx
	cmpl	$0xffffffff, %ecx
	jne	out
	movb	$8, %al			/* nor at an unclaimed port */
	movl	%eax, %ecx
	movw	$0x1234, %dx
	inl	%dx, %eax
	cmpl	$0xffffffff, %eax
	movl	%ecx, %eax
	jne	out
	movb	$GOOD, %al
out:	outb	%al, $PORT_DEBUG_EXIT
