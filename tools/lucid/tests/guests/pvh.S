/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PVH: EBX is hvm_start_info; prints the command line and the initial RAM disk
 * up to its first zero.
 */
#include "guest.h"
	.section .note.Xen, "a", @note
	.long	4, 4, 18
	.asciz	"Xen"
	.long	pvh_start

	.code32
	.text
	.globl _start
_start:	ud2				/* ELF's own entry: not the one */
pvh_start:
	movl	$0x80000, %esp
	movb	$1, %al
	cmpl	$0x336ec578, (%ebx)
	jne	out
	movb	$2, %al
	cmpl	$1, 4(%ebx)
	jb	out
	movb	$3, %al			/* the map: entries, the first is RAM */
	cmpl	$3, 48(%ebx)
	jb	out
	movl	40(%ebx), %ebp
	cmpl	$0, (%ebp)
	jne	out
	cmpl	$1, 16(%ebp)
	jne	out
	movb	$4, %al			/* paging off, protected mode on */
	movl	%cr0, %ecx
	andl	$0x80000001, %ecx
	cmpl	$1, %ecx
	jne	out
	movb	$5, %al			/* a busy TSS of the right size */
	strw	%cx
	cmpw	$0, %cx
	je	out
	movl	24(%ebx), %esi
	call	puts
	cmpl	$0, 12(%ebx)		/* modules: how many, where they are listed */
	je	1f
	movl	16(%ebx), %esi
	movl	(%esi), %esi
	call	puts
1:	movb	$GOOD, %al
out:	outb	%al, $PORT_DEBUG_EXIT
#include "puts.h"
