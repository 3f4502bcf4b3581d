/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Exception and interrupt entry of the guests: 256 stubs of 16 bytes for
 * 64-bit code and as many for 32-bit code, one error code and the vector
 * pushed by each.
 */
	.macro	stubs common
	.set	vec, 0
	.rept	256
	.balign	16
	/* vectors with an error code: DF TS NP SS GP PF AC CP VC SX */
	.if !(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21 || vec == 29 || vec == 30)
	.byte	0x6a, 0			/* push $0 */
	.endif
	.byte	0x68			/* push $vec */
	.long	vec
	jmp	\common
	.set	vec, vec + 1
	.endr
	.endm

	.text
	.code64
	.globl	guest_vectors64
	.balign	16
guest_vectors64:
	stubs	common64

common64:
	.irp	r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	push	%\r
	.endr
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	and	$-16, %rsp
	cld
	call	guest_trap
	mov	%rbp, %rsp
	.irp	r, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
	pop	%\r
	.endr
	add	$16, %rsp
	iretq

	/* Where a guest function of vcpu_start64() returns to */
	.globl	guest_return
guest_return:
	sub	$8, %rsp
	call	guest_done

	.code32
	.globl	guest_vectors32
	.balign	16
guest_vectors32:
	stubs	common32

common32:
	cmpl	$0, guest32_resume
	je	1f
	/* go on at guest32_resume, once, with the vector and error code */
	pop	%edi
	pop	%esi
	push	guest32_resume
	movl	$0, guest32_resume
	pop	(%esp)			/* replaces EIP in the iret frame */
	iret
1:	pop	%eax
	pop	%edx
	shl	$8, %edx
	or	%edx, %eax
	out	%eax, $0x13
	hlt
	jmp	1b

	.code64
	.data
	.globl	guest32_resume
guest32_resume:
	.long	0

	/* so that the table exists in a test that has no TRY() */
	.section guest_ex, "aw"
	.quad	0, 0

	.section .note.GNU-stack, "", @progbits
