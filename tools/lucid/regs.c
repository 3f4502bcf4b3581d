// SPDX-License-Identifier: GPL-2.0
/* --regs: a vCPU's registers, for humans. */
#include <stdio.h>
#include <sys/ioctl.h>

#include "vm.h"

#define CODE_BYTES	16

typedef unsigned long long ull;

static void print_segment(const char *name, const struct kvm_segment *s)
{
	fprintf(stderr, "%-4s %04x  base %016llx  limit %08x  %s%s%s type %x dpl %u\n",
		name, s->selector, (ull)s->base, s->limit,
		s->present && !s->unusable ? "" : "(unusable) ",
		s->l ? "64-bit" : s->db ? "32-bit" : "16-bit",
		s->s ? "" : " system", s->type, s->dpl);
}

/* The bytes at the instruction pointer, if they are in RAM. */
static void print_code(struct vcpu *vcpu, uint64_t linear, bool paging)
{
	struct kvm_translation t = { .linear_address = linear };
	const uint8_t *code;
	unsigned int n;

	if (!paging)
		t.physical_address = linear;
	else if (ioctl(vcpu->fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
		return;
	/* not across a page: the next one may lie anywhere */
	n = 4096 - (t.physical_address & 4095);
	if (n > CODE_BYTES)
		n = CODE_BYTES;
	code = vm_ram(vcpu->vm, t.physical_address, n);
	if (!code)
		return;
	fprintf(stderr, "code");
	for (unsigned int i = 0; i < n; i++)
		fprintf(stderr, " %02x", code[i]);
	fprintf(stderr, "\n");
}

void regs_print(struct vcpu *vcpu)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0) {
		fprintf(stderr, "vCPU %u: its registers cannot be read\n",
			vcpu->index);
		return;
	}
	fprintf(stderr, "vCPU %u:\n", vcpu->index);
	fprintf(stderr, "rax  %016llx  rbx  %016llx  rcx  %016llx\n",
		(ull)r.rax, (ull)r.rbx, (ull)r.rcx);
	fprintf(stderr, "rdx  %016llx  rsi  %016llx  rdi  %016llx\n",
		(ull)r.rdx, (ull)r.rsi, (ull)r.rdi);
	fprintf(stderr, "rbp  %016llx  rsp  %016llx  r8   %016llx\n",
		(ull)r.rbp, (ull)r.rsp, (ull)r.r8);
	fprintf(stderr, "r9   %016llx  r10  %016llx  r11  %016llx\n",
		(ull)r.r9, (ull)r.r10, (ull)r.r11);
	fprintf(stderr, "r12  %016llx  r13  %016llx  r14  %016llx\n",
		(ull)r.r12, (ull)r.r13, (ull)r.r14);
	fprintf(stderr, "r15  %016llx  rip  %016llx  rflags %08llx\n",
		(ull)r.r15, (ull)r.rip, (ull)r.rflags);
	fprintf(stderr, "cr0  %016llx  cr2  %016llx  cr3  %016llx\n",
		(ull)s.cr0, (ull)s.cr2, (ull)s.cr3);
	fprintf(stderr, "cr4  %016llx  cr8  %016llx  efer %016llx\n",
		(ull)s.cr4, (ull)s.cr8, (ull)s.efer);
	print_segment("cs", &s.cs);
	print_segment("ss", &s.ss);
	print_segment("ds", &s.ds);
	print_segment("es", &s.es);
	print_segment("fs", &s.fs);
	print_segment("gs", &s.gs);
	print_segment("tr", &s.tr);
	print_segment("ldt", &s.ldt);
	fprintf(stderr, "gdt        base %016llx  limit %08x\n",
		(ull)s.gdt.base, s.gdt.limit);
	fprintf(stderr, "idt        base %016llx  limit %08x\n",
		(ull)s.idt.base, s.idt.limit);
	/* CS has no base in 64-bit code */
	print_code(vcpu, s.cs.l ? r.rip : (uint32_t)(s.cs.base + r.rip),
		   s.cr0 >> 31 & 1);
}
