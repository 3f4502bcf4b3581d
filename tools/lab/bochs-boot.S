/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The boot sector of the disk that bochs-image makes. It reads, by the disk's
 * ports, what the table at its end names, and enters the kernel by the 64-bit
 * boot protocol (Documentation/arch/x86/boot.rst): long mode, memory mapped as
 * it is, interrupts off, CS 0x10, data segments 0x18, RSI = boot_params.
 * boot_params and page tables are on the disk; the memory map comes from the
 * BIOS. Nothing is unpacked, which takes 85 s in a machine whose every
 * instruction is emulated. A machine that boots a second time is switched off.
 */

#define BOOT_PARAMS	0x10000		/* then the command line, then PML4 */
#define PML4		0x12000
#define E820		0x8000		/* the BIOS's memory map, for a while */
#define BEEN_HERE	0x600		/* a word that BIOS and kernel leave alone */
#define DISK		0x1f0		/* ATA ports of the first disk */
#define PM1_CNT		0xb004		/* ACPI, as Bochs' BIOS sets it up */

	.globl	start
	.code16
start:
	cli
	cld
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp

	mov	$0x4c44, %ax
	xchg	%ax, BEEN_HERE
	cmp	%ax, BEEN_HERE
	jne	1f
	mov	$PM1_CNT, %dx
	mov	$0x2000, %ax		/* SLP_EN, and 0 for S5 */
	out	%ax, %dx
1:
	/* int 0x15, function 0xe820: 20 bytes each time, until EBX is 0 again. */
	mov	$E820, %di
	xor	%ebx, %ebx
1:	mov	$0xe820, %eax
	mov	$0x534d4150, %edx
	mov	$20, %ecx
	int	$0x15
	jc	2f
	add	$20, %di
	test	%ebx, %ebx
	jnz	1b
2:	cli
	movzwl	%di, %ebp		/* where the map ends */

	in	$0x92, %al		/* A20 */
	or	$2, %al
	out	%al, $0x92
	lgdt	gdt_pointer
	mov	$1, %eax		/* PE */
	mov	%eax, %cr0
	ljmpl	$0x20, $protected

	.code32
protected:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs

	mov	$table, %esi
next:	mov	(%esi), %ebx		/* first sector, */
	mov	4(%esi), %ecx		/* how many, */
	mov	8(%esi), %edi		/* where to */
	add	$12, %esi
	jecxz	loaded
command:
	/* READ SECTORS, up to 256 of them */
	mov	$DISK + 2, %edx
	mov	$256, %eax
	cmp	%eax, %ecx
	cmovb	%ecx, %eax
	push	%eax
	out	%al, %dx
	mov	%ebx, %eax
	inc	%edx
	out	%al, %dx
	shr	$8, %eax
	inc	%edx
	out	%al, %dx
	shr	$8, %eax
	inc	%edx
	out	%al, %dx
	shr	$8, %eax
	or	$0xe0, %al		/* sectors are counted from 0 (LBA) */
	inc	%edx
	out	%al, %dx
	mov	$0x20, %al
	inc	%edx
	out	%al, %dx
	pop	%eax
	add	%eax, %ebx
	sub	%eax, %ecx
	push	%ecx
1:	push	%eax
2:	mov	$DISK + 7, %edx
	in	%dx, %al
	and	$0x88, %al		/* BSY, DRQ */
	cmp	$0x08, %al
	jne	2b
	mov	$DISK, %edx
	mov	$128, %ecx
	rep insl
	pop	%eax
	dec	%eax
	jnz	1b
	pop	%ecx
	jecxz	next
	jmp	command

loaded:
	/* The map goes to boot_params.e820_table, its length to e820_entries. */
	mov	$E820, %esi
	mov	$BOOT_PARAMS + 0x2d0, %edi
	mov	%ebp, %ecx
	sub	%esi, %ecx
	mov	%ecx, %eax
	rep movsb
	mov	$20, %cl
	div	%cl
	mov	%al, BOOT_PARAMS + 0x1e8

	mov	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	$PML4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	$0x80000001, %eax	/* PG, PE */
	mov	%eax, %cr0
	ljmp	$0x10, $long_mode

	.code64
long_mode:
	mov	$BOOT_PARAMS, %esi
	mov	entry, %eax
	jmp	*%rax

	.balign	8
gdt:
	.quad	0, 0
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
	.quad	0x00cf9b000000ffff	/* 0x20: 32-bit code */
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.long	gdt

	/* bochs-image fills in the rest. */
	.org	0x1c0
entry:	.long	0
table:	.fill	4 * 3, 4, 0		/* ends with a count of 0 */
	.org	0x1fe
	.word	0xaa55
