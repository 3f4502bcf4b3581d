/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and out again.
 *
 * VMLAUNCH and VMRESUME switch RIP, RSP, RFLAGS, CR0/3/4, EFER, PAT, all segment
 * registers, GDTR and IDTR, and SYSENTER's MSRs; an exit loads the host's from
 * the VMCS.  The general registers are ours.  SDM vol. 3C, "VM Entries", "VM Exits".
 */
#include <linux/linkage.h>
#include <linux/version.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

/* vcpu->regs[], numbered as instructions encode registers; 4 (RSP) is in the VMCS. */
#define RAX 0*8
#define RCX 1*8
#define RDX 2*8
#define RBX 3*8
#define RBP 5*8
#define RSI 6*8
#define RDI 7*8

#define VMCS_HOST_RSP	0x6c14

	.section .noinstr.text, "ax"

/*
 * int vmx_vmenter(u64 *regs, u64 launched, u64 spec_ctrl, u64 *host_rsp)
 *		   rdi	      rsi	    rdx		   rcx
 *
 * Interrupts are off and stay so: an external interrupt ends the guest by the
 * pin-based control, is not acknowledged, and is taken when the host enables
 * interrupts.  @spec_ctrl is the host's value, written again after the exit
 * where IBRS has to be (the guest cannot change it).
 * Return: 0 after an exit, 1 if the instruction failed and there was none.
 */
SYM_FUNC_START(vmx_vmenter)
	push %rbp
	mov %rsp, %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx

	push %rdx			/* spec_ctrl, */
	push %rdi			/* regs: wanted after the exit */

	cmp %rsp, (%rcx)
	je 1f
	mov %rsp, (%rcx)
	mov $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
1:
	bt $0, %rsi			/* launched? CF keeps it: VERW leaves that alone */

	mov RAX(%rdi), %rax
	mov RCX(%rdi), %rcx
	mov RDX(%rdi), %rdx
	mov RBX(%rdi), %rbx
	mov RBP(%rdi), %rbp
	mov RSI(%rdi), %rsi
	mov 8*8(%rdi), %r8
	mov 9*8(%rdi), %r9
	mov 10*8(%rdi), %r10
	mov 11*8(%rdi), %r11
	mov 12*8(%rdi), %r12
	mov 13*8(%rdi), %r13
	mov 14*8(%rdi), %r14
	mov 15*8(%rdi), %r15
	mov RDI(%rdi), %rdi

	VM_CLEAR_CPU_BUFFERS		/* clobbers ZF; last thing before the guest */

	jnc .Llaunch
	/* The exit arrives at vmx_exited with the stack as it is here. */
	UNWIND_HINT_SAVE
	vmresume
	jmp .Lfailed
.Llaunch:
	vmlaunch
	jmp .Lfailed

SYM_INNER_LABEL_ALIGN(vmx_exited, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR

	push %rax
	mov 8(%rsp), %rax		/* regs */
	pop RAX(%rax)
	mov %rcx, RCX(%rax)
	mov %rdx, RDX(%rax)
	mov %rbx, RBX(%rax)
	mov %rbp, RBP(%rax)
	mov %rsi, RSI(%rax)
	mov %rdi, RDI(%rax)
	mov %r8, 8*8(%rax)
	mov %r9, 9*8(%rax)
	mov %r10, 10*8(%rax)
	mov %r11, 11*8(%rax)
	mov %r12, 12*8(%rax)
	mov %r13, 13*8(%rax)
	mov %r14, 14*8(%rax)
	mov %r15, 15*8(%rax)
	xor %ebx, %ebx			/* the answer */

.Lclean:
	/* Before any RET: nothing the guest taught the predictors is to be used. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

	add $8, %rsp			/* regs */
	pop %rax			/* spec_ctrl */
	ALTERNATIVE "jmp .Lno_ibrs", "", X86_FEATURE_KERNEL_IBRS
	mov %rax, %rdx
	shr $32, %rdx
	mov $MSR_IA32_SPEC_CTRL, %ecx
	wrmsr
	lfence
.Lno_ibrs:
	CLEAR_BRANCH_HISTORY_VMEXIT

	/* No value of the guest's in a register that speculation could use. */
	mov %ebx, %eax
	xor %ecx, %ecx
	xor %edx, %edx
	xor %ebx, %ebx
	xor %esi, %esi
	xor %edi, %edi
	xor %ebp, %ebp
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	xor %r12d, %r12d
	xor %r13d, %r13d
	xor %r14d, %r14d
	xor %r15d, %r15d

	pop %rbx
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	pop %rbp
	RET

.Lfailed:
	mov $1, %ebx
	jmp .Lclean
SYM_FUNC_END(vmx_vmenter)
