/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The loops the bench's guest runs. In: RSI = how many times, RDI = an address,
 * RBX = a step. Each is position-independent and is copied into guest memory.
 * Those whose exit the kernel serves end with HLT, which userspace sees; those
 * whose exit is userspace's never end, the client counts the exits.
 */
	.section .rodata

.macro guest name
	.balign	16
	.globl	guest_\name
guest_\name:
.endm

.macro end name
	.globl	guest_\name\()_end
guest_\name\()_end:
.endm

/* CPUID overwrites RBX, which this loop does not need. */
guest cpuid
1:	xor	%eax, %eax
	xor	%ecx, %ecx
	cpuid
	dec	%rsi
	jnz	1b
2:	hlt
	jmp	2b
end cpuid

/* Hypercall 1 does nothing on KVM (VAPIC_POLL_IRQ). */
guest vmcall
1:	mov	$1, %eax
	vmcall
	dec	%rsi
	jnz	1b
2:	hlt
	jmp	2b
end vmcall

guest vmmcall
1:	mov	$1, %eax
	vmmcall
	dec	%rsi
	jnz	1b
2:	hlt
	jmp	2b
end vmmcall

guest rdmsr
	mov	$0x1b, %ecx		/* IA32_APIC_BASE */
1:	rdmsr
	dec	%rsi
	jnz	1b
2:	hlt
	jmp	2b
end rdmsr

guest out
1:	out	%al, $0xf0
	jmp	1b
end out

guest in
1:	in	$0xf0, %al
	jmp	1b
end in

guest mmio_write
1:	mov	%eax, (%rdi)
	jmp	1b
end mmio_write

guest mmio_read
1:	mov	(%rdi), %eax
	jmp	1b
end mmio_read

guest mmio_write1
1:	mov	%al, (%rdi)
	jmp	1b
end mmio_write1

guest mmio_write8
1:	mov	%rax, (%rdi)
	jmp	1b
end mmio_write8

guest mmio_read8
1:	mov	(%rdi), %rax
	jmp	1b
end mmio_read8

/* Sixteen elements by one instruction, each an exit. */
guest mmio_stos
	mov	%rdi, %rbx
1:	mov	%rbx, %rdi
	mov	$16, %ecx
	rep stosl
	jmp	1b
end mmio_stos

/* Two exits each: a read and a write. */
guest mmio_or
1:	orl	$1, (%rdi)
	jmp	1b
end mmio_or

/* One: the read. */
guest mmio_add
1:	add	(%rdi), %eax
	jmp	1b
end mmio_add

/*
 * With the interrupt controllers in the kernel. HLT would sleep there, so these
 * end with a port write. RDI is the APIC's or the IOAPIC's page; the handlers
 * below count in R8.
 */
.macro	finish
2:	out	%al, $0xf0
	jmp	2b
.endm

.macro	enable_x
	movl	$0x1ff, 0xf0(%rdi)	/* SPIV */
	movl	$0xb, 0x3e0(%rdi)	/* divide by 1 */
	xor	%r8d, %r8d
.endm

.macro	wrmsr_x2 msr, value
	mov	$\msr, %ecx
	mov	$\value, %eax
	xor	%edx, %edx
	wrmsr
.endm

.macro	enable_x2
	wrmsr_x2 0x80f, 0x1ff
	wrmsr_x2 0x83e, 0xb
	xor	%r8d, %r8d
.endm

guest eoi_x
	inc	%r8d
	movl	$0, 0xb0(%rdi)
	iretq
end eoi_x

guest eoi_x2
	inc	%r8d
	wrmsr_x2 0x80b, 0
	iretq
end eoi_x2

guest tpr_x
	enable_x
1:	mov	0x80(%rdi), %eax
	dec	%rsi
	jnz	1b
	finish
end tpr_x

guest ioapic_read
1:	mov	0x10(%rdi), %eax
	dec	%rsi
	jnz	1b
	finish
end ioapic_read

guest ioapic_write
1:	mov	%eax, (%rdi)
	dec	%rsi
	jnz	1b
	finish
end ioapic_write

guest pit_read
1:	in	$0x40, %al
	dec	%rsi
	jnz	1b
	finish
end pit_read

/* Latch channel 2 */
guest pit_write
	mov	$0x80, %al
1:	out	%al, $0x43
	dec	%rsi
	jnz	1b
	finish
end pit_write

/* An interrupt to oneself: send, take, EOI, return */
guest self_x
	enable_x
	sti
1:	mov	%r8d, %r9d
	movl	$0x40040, 0x300(%rdi)
3:	cmp	%r8d, %r9d
	je	3b
	dec	%rsi
	jnz	1b
	cli
	finish
end self_x

guest self_x2
	enable_x2
	sti
1:	mov	%r8d, %r9d
	wrmsr_x2 0x83f, 0x40
3:	cmp	%r8d, %r9d
	je	3b
	dec	%rsi
	jnz	1b
	cli
	finish
end self_x2

/* The shortest one-shot, and a deadline in the past: arm, take, EOI, return */
guest timer_x
	enable_x
	movl	$0x40, 0x320(%rdi)
	sti
1:	mov	%r8d, %r9d
	movl	$1, 0x380(%rdi)
3:	cmp	%r8d, %r9d
	je	3b
	dec	%rsi
	jnz	1b
	cli
	finish
end timer_x

guest timer_x2
	enable_x2
	wrmsr_x2 0x832, 0x40
	sti
1:	mov	%r8d, %r9d
	wrmsr_x2 0x838, 1
3:	cmp	%r8d, %r9d
	je	3b
	dec	%rsi
	jnz	1b
	cli
	finish
end timer_x2

guest deadline
	enable_x2
	wrmsr_x2 0x832, 0x40040
	sti
1:	mov	%r8d, %r9d
	wrmsr_x2 0x6e0, 1
3:	cmp	%r8d, %r9d
	je	3b
	dec	%rsi
	jnz	1b
	cli
	finish
end deadline

/* Sleep 500 us, longer than KVM polls, and be woken by the timer */
guest hlt_timer
	enable_x2
	wrmsr_x2 0x832, 0x40
1:	wrmsr_x2 0x838, 500000
	sti
	hlt
	cli
	dec	%rsi
	jnz	1b
	finish
end hlt_timer

guest hlt
1:	hlt
	jmp	1b
end hlt

/* One write in every step bytes. */
guest touch
1:	movb	$1, (%rdi)
	add	%rbx, %rdi
	dec	%rsi
	jnz	1b
2:	hlt
	jmp	2b
end touch

	.section .note.GNU-stack, "", @progbits
