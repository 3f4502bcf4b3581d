/* SPDX-License-Identifier: GPL-2.0 */
/* --start 64: long mode, the first 4 GiB mapped, SSE on, an aligned stack. */
#include "guest.h"
	.code64
	.globl _start
_start:
	movl	%eax, %ecx
	movb	$1, %al
	cmpl	$BOOT_MAGIC, %ecx
	jne	out
	movb	$2, %al
	cmpq	$BOOT_AREA, %rdi
	jne	out
	movb	$3, %al
	movl	%cs, %ecx
	cmpl	$BOOT_SEL_CODE64, %ecx
	jne	out
	movb	$4, %al			/* as a function finds it */
	movq	%rsp, %rcx
	andq	$15, %rcx
	cmpq	$8, %rcx
	jne	out
	movb	$5, %al			/* the top of the first 4 GiB */
	movl	$0xfffffff0, %ecx
	movl	(%rcx), %ecx
	cmpl	$0xffffffff, %ecx
	jne	out
	movb	$6, %al
	movq	$0x1122334455667788, %rcx
	movq	%rcx, %xmm0
	movq	%xmm0, %rdx
	cmpq	%rcx, %rdx
	jne	out
	/* memory above 4 GiB needs page tables of the guest's own */
	movb	$GOOD, %al
out:	outb	%al, $PORT_DEBUG_EXIT
