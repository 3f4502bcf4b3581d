/* SPDX-License-Identifier: GPL-2.0 */
/* Entry points for 32 exceptions and 16 interrupts; all meet in trap(). */

#define VECTORS	48

	.text
	.code64

/* Those that push an error code: 8, 10-14, 17, 21, 29, 30. */
#define ERROR_CODES ((1 << 8) | (0x1f << 10) | (1 << 17) | (1 << 21) | (3 << 29))

	.set	vector, 0
	.rept	VECTORS
	.balign	16
	.if	vector == 0
	.globl	trap_entries
trap_entries:
	.endif
	.if	vector >= 32
	pushq	$0
	.else
	.if	((ERROR_CODES >> vector) & 1) == 0
	pushq	$0
	.endif
	.endif
	pushq	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

/* The registers that C may change; the layout is struct frame's. */
trap_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	cld
	/*
	 * The CPU aligned the stack before it pushed five words; two and nine
	 * more are an even number of words: it is aligned again.
	 */
	movq	%rsp, %rdi
	call	trap
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq
