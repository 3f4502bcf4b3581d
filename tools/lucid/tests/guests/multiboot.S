/* SPDX-License-Identifier: GPL-2.0 */
/* Multiboot: EAX, EBX, the information structure; prints the command line. */
#include "guest.h"
	.code32
	.text
	.balign	4
	.long	0x1badb002, 3, -(0x1badb002 + 3)
	.globl _start
_start:
	movl	$0x80000, %esp
	movl	%eax, %ecx
	movb	$1, %al
	cmpl	$0x2badb002, %ecx
	jne	out
	movb	$2, %al			/* memory, command line, map */
	movl	(%ebx), %ecx
	andl	$0x45, %ecx
	cmpl	$0x45, %ecx
	jne	out
	movb	$3, %al			/* 64 MiB less the first */
	cmpl	$63 * 1024, 8(%ebx)
	jne	out
	movb	$4, %al			/* the map begins with RAM at 0 */
	movl	48(%ebx), %ebp
	cmpl	$20, (%ebp)
	jne	out
	cmpl	$0, 4(%ebp)
	jne	out
	cmpl	$1, 20(%ebp)
	jne	out
	movb	$5, %al			/* .bss is zero, .data is not */
	cmpl	$0, zero
	jne	out
	cmpl	$0x12345678, data
	jne	out
	movl	16(%ebx), %esi
	call	puts
	movb	$GOOD, %al
out:	outb	%al, $PORT_DEBUG_EXIT
#include "puts.h"
	.data
data:	.long	0x12345678
	.bss
zero:	.skip	65536
