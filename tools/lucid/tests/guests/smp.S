/* SPDX-License-Identifier: GPL-2.0 */
/* --cpus N: all start, each with its number; the last to arrive ends it. */
#include "guest.h"
	.code32
	.globl _start
_start:
	lock btsl %esi, seen
	movl	$1, %eax
	lock xaddl %eax, count
	incl	%eax
	cmpl	BOOT_AREA + 44, %eax	/* boot block: cpus */
	jne	1f
	movl	seen, %eax		/* all the numbers below N */
	incl	%eax
	movl	BOOT_AREA + 44, %ecx
	btrl	%ecx, %eax
	testl	%eax, %eax
	movb	$1, %al
	jnz	out
	movb	$GOOD, %al
out:	outb	%al, $PORT_DEBUG_EXIT
1:	hlt
	jmp	1b
	.balign	64
seen:	.long	0
count:	.long	0
