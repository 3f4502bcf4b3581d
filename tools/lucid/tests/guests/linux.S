/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A bzImage of the smallest kind. It checks what the 64-bit boot protocol
 * promises, prints its command line and its initial RAM disk on the debug
 * console, and leaves with GOOD; or with the number of the check that failed.
 */
#include "guest.h"

#define SETUP_SECTS	1
#define PREF_ADDRESS	0x200000
#define INIT_SIZE	0x200000

	.code64
	.globl _start
_start:
	.org	0x1f1
	.byte	SETUP_SECTS
	.word	0
	.long	(kernel_end - kernel) / 16	/* syssize */
	.word	0, 0, 0, 0xaa55
	.byte	0xeb, header_end - 1f		/* a jump over the header */
1:	.ascii	"HdrS"
	.word	0x020f
	.long	0
	.word	0, 0
	.byte	0				/* type_of_loader */
	.byte	1				/* LOADED_HIGH */
	.word	0
	.long	PREF_ADDRESS
	.long	0, 0, 0
	.word	0
	.byte	0, 0
	.long	0				/* cmd_line_ptr */
	.long	0x7fffffff			/* initrd_addr_max */
	.long	0x200000			/* kernel_alignment */
	.byte	1, 21				/* relocatable; 2 MiB */
	.word	1				/* XLF_KERNEL_64 */
	.long	255				/* cmdline_size */
	.long	0
	.quad	0
	.long	0, 0				/* payload */
	.quad	0
	.quad	PREF_ADDRESS
	.long	INIT_SIZE
	.long	0, 0
header_end:
	.org	(SETUP_SECTS + 1) * 512

kernel:	.org	kernel - _start + 0x200

	.macro	check number
	mov	$\number, %al
	jne	fail
	.endm

	mov	%cs, %eax
	cmp	$0x10, %eax
	check	1
	mov	%ds, %eax
	cmp	$0x18, %eax
	check	2
	mov	%ss, %eax
	cmp	$0x18, %eax
	check	3
	pushf
	pop	%rax
	test	$0x200, %eax			/* interrupts are off */
	check	4
	lea	_start(%rip), %rax		/* loaded where it wants to be */
	cmp	$PREF_ADDRESS - (kernel - _start), %rax
	check	5
	cmpl	$0x53726448, 0x202(%rsi)	/* boot_params has the header */
	check	6
	cmpb	$0xff, 0x210(%rsi)
	check	7
	cmpl	$INIT_SIZE, 0x260(%rsi)
	check	8
	cmpl	$0, 0x268(%rsi)			/* and nothing behind it */
	check	9
	cmpb	$4, 0x1e8(%rsi)			/* e820: to 1 MiB, and above */
	mov	$10, %al
	jb	fail
	cmpq	$0, 0x2d0(%rsi)
	check	11
	cmpl	$1, 0x2d0 + 16(%rsi)
	check	12
	mov	0x70(%rsi), %rbx		/* ACPI's RSDP, and its sums */
	movabs	$0x2052545020445352, %rax	/* "RSD PTR " */
	cmp	%rax, (%rbx)
	check	13
	mov	$20, %ecx
	call	sum
	check	14
	mov	$36, %ecx
	call	sum
	check	15
	mov	24(%rbx), %rbx			/* the XSDT's */
	cmpl	$0x54445358, (%rbx)
	check	16
	mov	4(%rbx), %ecx
	call	sum
	check	17
	mov	36(%rbx), %rbx			/* its first one's: the FADT */
	cmpl	$0x50434146, (%rbx)
	check	18
	mov	4(%rbx), %ecx
	call	sum
	check	19
	mov	140(%rbx), %rbx			/* the DSDT's */
	cmpl	$0x54445344, (%rbx)
	check	20
	mov	4(%rbx), %ecx
	call	sum
	check	21

	mov	0x228(%rsi), %ebx		/* cmd_line_ptr */
	mov	$PORT_DEBUG_CON, %edx
1:	mov	(%rbx), %al
	inc	%rbx
	test	%al, %al
	je	2f
	out	%al, %dx
	jmp	1b
2:	mov	$'\n', %al
	out	%al, %dx
	mov	0x218(%rsi), %ebx		/* ramdisk_image, _size */
	mov	0x21c(%rsi), %ecx
	jecxz	4f
3:	mov	(%rbx), %al
	inc	%rbx
	out	%al, %dx
	dec	%ecx
	jne	3b
4:	mov	$GOOD, %al
fail:	out	%al, $PORT_DEBUG_EXIT
	hlt

/* ZF: the %ecx bytes at %rbx sum up to zero. */
sum:	xor	%eax, %eax
	xor	%edx, %edx
1:	add	-1(%rbx, %rcx), %al
	dec	%ecx
	jne	1b
	test	%al, %al
	ret

	.balign	16
kernel_end:
