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
