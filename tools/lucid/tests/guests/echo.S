/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sends back what it receives, driven by the UART's interrupt, asleep in
 * between.  'q' leaves with status 7.  Says "ready" first.
 */
#include "guest.h"
	.code16
	.globl _start
_start:
	cli
	movw	$handler, 4 * 0x0c	/* real mode's IRQ 4, vector 8 + 4 */
	movw	$0, 4 * 0x0c + 2
	movb	$0x11, %al
	outb	%al, $0x20
	movb	$8, %al
	outb	%al, $0x21
	movb	$4, %al
	outb	%al, $0x21
	movb	$1, %al
	outb	%al, $0x21
	movb	$0xef, %al
	outb	%al, $0x21
	movw	$COM1 + 2, %dx		/* FIFO on, trigger level 8 */
	movb	$0x87, %al
	outb	%al, %dx
	movw	$COM1 + 4, %dx		/* OUT2 */
	movb	$0x0b, %al
	outb	%al, %dx
	movw	$COM1 + 1, %dx		/* "received data available" */
	movb	$1, %al
	outb	%al, %dx
	movw	$hello, %si
	movw	$hello_end - hello, %cx
	movw	$COM1, %dx
	rep outsb
1:	sti
	hlt
	jmp	1b

handler:
	movw	$COM1 + 2, %dx		/* IIR: anything left? */
	inb	%dx, %al
	testb	$1, %al
	jnz	3f
2:	movw	$COM1, %dx
	inb	%dx, %al
	cmpb	$'q', %al
	je	4f
	outb	%al, %dx
	jmp	handler
3:	movb	$0x20, %al
	outb	%al, $0x20
	iretw
4:	movb	$7, %al
	outb	%al, $PORT_DEBUG_EXIT

hello:	.ascii	"ready\n"
hello_end:
