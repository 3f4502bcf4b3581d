/* SPDX-License-Identifier: GPL-2.0 */
/* --start 16: real mode, all that lucid(8) promises about the registers. */
#include "guest.h"
	.code16
	.globl _start
_start:
	movl	%eax, %ecx
	movb	$1, %al			/* EAX: the magic number */
	cmpl	$BOOT_MAGIC, %ecx
	jne	out
	movb	$2, %al			/* EDI: the boot block */
	cmpl	$BOOT_AREA, %edi
	jne	out
	movb	$3, %al			/* ESI: the vCPU's number */
	testl	%esi, %esi
	jnz	out
	movb	$4, %al			/* CR0: real mode */
	movl	%cr0, %ecx
	testl	$0x80000001, %ecx
	jnz	out
	movb	$5, %al			/* interrupts off */
	pushfl
	popl	%ecx
	testl	$0x200, %ecx
	jnz	out
	movb	$6, %al			/* DS, ES, SS */
	movw	%ds, %cx
	testw	%cx, %cx
	jnz	out
	movw	%es, %cx
	testw	%cx, %cx
	jnz	out
	movw	%ss, %cx
	cmpw	$0x8000, %cx
	jne	out
	movb	$7, %al			/* the boot block's own magic number */
	cmpl	$BOOT_MAGIC, BOOT_AREA
	jne	out
	movb	$8, %al			/* CS:IP is the image's address */
	call	1f
1:	popw	%bx
	subw	$1b - _start, %bx
	movzwl	%bx, %ebx
	movw	%cs, %cx
	movzwl	%cx, %ecx
	shll	$4, %ecx
	addl	%ebx, %ecx
	cmpl	BOOT_AREA + 16, %ecx
	jne	out
	movb	$GOOD, %al
out:	outb	%al, $PORT_DEBUG_EXIT
