/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The demo guest's way up: real mode -> protected mode -> long mode.
 *
 * lucid starts it at 0000:7c00 with BOOT_MAGIC in EAX and the address of the
 * boot block in EDI (see boot.h and lucid(8)).
 */
#include "boot.h"

#define COM1		0x3f8
#define LSR_THRE	0x20

#define CR0_PE		1
#define CR0_PG		0x80000000
#define CR4_PAE		0x20
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

#define PML4		0x20000		/* our own tables, in free low memory */
#define PDPT		0x21000
#define PD		0x22000		/* the first GiB, in 2 MiB pages */
#define PTE_PW		0x3
#define PTE_PS		0x80

	.section .text.start, "ax"

	.code16
	.globl start
start:
	xorw	%bx, %bx
	movw	%bx, %ds
	movw	%bx, %es
	cld
	movl	%edi, boot_block_at
	cmpl	$BOOT_MAGIC, %eax
	movb	$10, %al		/* status: not started by lucid */
	jne	fail16

	/* the serial port: 115200 8n1, FIFO on, no interrupts yet */
	movw	$serial_setup, %si
1:	lodsw
	testw	%ax, %ax
	jz	2f
	movw	%ax, %dx
	lodsb
	outb	%al, %dx
	jmp	1b
2:
	movw	$hello, %si
	call	puts16

	/* a descriptor table and one bit: protected mode */
	cli
	lgdtl	gdt_pointer
	movl	%cr0, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$BOOT_SEL_CODE32, $protected

fail16:
	outb	%al, $PORT_DEBUG_EXIT

puts16:
	lodsb
	testb	%al, %al
	jz	2f
	movb	%al, %ah
	movw	$COM1 + 5, %dx
1:	inb	%dx, %al
	testb	$LSR_THRE, %al
	jz	1b
	movb	%ah, %al
	movw	$COM1, %dx
	outb	%al, %dx
	jmp	puts16
2:	ret

	.code32
protected:
	movl	$BOOT_SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	$BOOT_STACK, %esp

	/* real mode had 64 KiB segments: a write above 1 MiB shows the way up */
	movl	$0x12345678, 0x100000
	cmpl	$0x12345678, 0x100000
	movb	$11, %al
	jne	fail32
	movl	$said_protected, %esi
	call	puts32

	/* C wants its .bss zero */
	movl	$bss_start, %edi
	movl	$bss_end, %ecx
	subl	%edi, %ecx
	xorl	%eax, %eax
	rep stosb

	/* page tables: one PML4 entry, one PDPT entry, 512 pages of 2 MiB */
	movl	$PML4, %edi
	movl	$3 * 4096 / 4, %ecx
	rep stosl
	movl	$PDPT + PTE_PW, PML4
	movl	$PD + PTE_PW, PDPT
	movl	$PD, %edi
	movl	$PTE_PS + PTE_PW, %eax
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x200000, %eax
	cmpl	$0x40000000, %eax
	jb	1b

	/* PAE, the tables, long mode enabled, paging on: long mode active */
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG, %eax
	movl	%eax, %cr0
	ljmpl	$BOOT_SEL_CODE64, $long_mode

fail32:
	outb	%al, $PORT_DEBUG_EXIT

puts32:
	lodsb
	testb	%al, %al
	jz	2f
	movb	%al, %ah
	movl	$COM1 + 5, %edx
1:	inb	%dx, %al
	testb	$LSR_THRE, %al
	jz	1b
	movb	%ah, %al
	movl	$COM1, %edx
	outb	%al, %dx
	jmp	puts32
2:	ret

	.code64
long_mode:
	movl	$BOOT_STACK, %esp
	xorl	%ebp, %ebp
	movl	boot_block_at, %edi
	call	demo_main
	/* main() gives the status of the whole */
	outb	%al, $PORT_DEBUG_EXIT
1:	hlt
	jmp	1b

	.section .data, "aw"
boot_block_at:
	.long	0

	/* port, value (a byte): ends with port 0 */
serial_setup:
	.word	COM1 + 3
	.byte	0x80			/* DLAB */
	.word	COM1 + 0
	.byte	1			/* divisor 1: 115200 */
	.word	COM1 + 1
	.byte	0
	.word	COM1 + 3
	.byte	0x03			/* 8n1 */
	.word	COM1 + 2
	.byte	0x07			/* FIFO on and empty */
	.word	COM1 + 4
	.byte	0x0b			/* DTR, RTS, OUT2 */
	.word	0

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 08: 32-bit code */
	.quad	0x00cf93000000ffff	/* 10: data */
	.quad	0x00af9b000000ffff	/* 18: 64-bit code */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

hello:
	.ascii	"\r\nHello, I am a guest of Lucid.\r\n\r\n"
	.asciz	"  real mode       started with 64 KiB segments and no protection\r\n"
said_protected:
	.asciz	"  protected mode  4 GiB segments: memory above 1 MiB is there\r\n"
