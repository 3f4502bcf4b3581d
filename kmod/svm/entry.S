/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and out again.
 *
 * VMRUN switches RIP, RSP, RAX, RFLAGS, CR0/2/3/4, EFER, CS/DS/ES/SS, GDTR and
 * IDTR; VMLOAD/VMSAVE the rest of what only they can reach (FS, GS, TR, LDTR,
 * KERNEL_GS_BASE, STAR…, SYSENTER…).  The other general registers are ours.
 * APM vol. 2, "VMRUN Instruction", "VMSAVE and VMLOAD Instructions".
 */
#include <linux/linkage.h>
#include <linux/version.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>

/* vcpu->regs[], numbered as instructions encode registers; 0 (RAX) and 4 (RSP)
 * travel in the VMCB. */
#define RCX 1*8
#define RDX 2*8
#define RBX 3*8
#define RBP 5*8
#define RSI 6*8
#define RDI 7*8

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define LUCID_UNTRAIN_RET UNTRAIN_RET_VM
#else
#define LUCID_UNTRAIN_RET UNTRAIN_RET
#endif

	.section .noinstr.text, "ax"

/*
 * void svm_vmrun(u64 vmcb_pa, u64 *regs, u64 host_pa)
 *		  rdi	       rsi	  rdx
 *
 * GIF is 0 and interrupts are off.  RFLAGS.IF becomes 1 only around VMRUN: it
 * is what lets a host interrupt end the guest (V_INTR_MASKING: "the physical
 * interrupt mask is the host's RFLAGS.IF at VMRUN"); with GIF = 0 nothing is
 * taken before STGI.  SPEC_CTRL stays the host's: the guest has no access to
 * it (x86/msr.c), so there is nothing to switch.
 */
SYM_FUNC_START(svm_vmrun)
	push %rbp
	mov %rsp, %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx

	push %rdi			/* vmcb_pa, */
	push %rdx			/* host_pa and */
	push %rsi			/* regs are wanted after the exit, in this order */

	/*
	 * Not right before VMRUN: the shadow of STI would show up in the guest's
	 * interrupt state when an event's injection is intercepted.
	 */
	sti

	mov %rdi, %rax
	vmload %rax

	mov RCX(%rsi), %rcx
	mov RDX(%rsi), %rdx
	mov RBX(%rsi), %rbx
	mov RBP(%rsi), %rbp
	mov RDI(%rsi), %rdi
	mov 8*8(%rsi), %r8
	mov 9*8(%rsi), %r9
	mov 10*8(%rsi), %r10
	mov 11*8(%rsi), %r11
	mov 12*8(%rsi), %r12
	mov 13*8(%rsi), %r13
	mov 14*8(%rsi), %r14
	mov 15*8(%rsi), %r15
	mov RSI(%rsi), %rsi

	VM_CLEAR_CPU_BUFFERS		/* clobbers ZF; last thing before the guest */

	vmrun %rax
	cli

	/* RAX, RSP and the flags are the host's again; all else is the guest's. */
	pop %rax			/* regs */
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

	pop %rdx			/* host_pa */
	pop %rax			/* vmcb_pa */
	vmsave %rax
	mov %rdx, %rax
	vmload %rax			/* GS is the kernel's: per-CPU data from here on */

	/* Before any RET: nothing the guest taught the predictors is to be used. */
#ifdef CONFIG_RETPOLINE
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RETPOLINE
#elif defined(CONFIG_MITIGATION_RETPOLINE)
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RETPOLINE
#endif
	LUCID_UNTRAIN_RET
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)	/* UNTRAIN_RET_VM has it */
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
#endif

	/* No value of the guest's in a register that speculation could use. */
	xor %eax, %eax
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
SYM_FUNC_END(svm_vmrun)
