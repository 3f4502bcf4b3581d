// SPDX-License-Identifier: GPL-2.0
/*
 * The same code, once run by the guest's CPU and once by nothing but Lucid's
 * emulator (LUCID_SET_EMULATE), ends in the same state: registers, segments,
 * tables, memory, and all that userspace saw of ports and MMIO in between.
 *
 * This is for what a host test cannot ask of its CPU: privileged instructions
 * and real mode. The switch is a module parameter that the test turns on for
 * its time; where it cannot, or there is no Lucid, the emulated half is skipped.
 */
#include <linux/lucid.h>

#include "irq.h"

#define READ_ONLY	(GUEST_MMIO + 0x200000)		/* a page that only reads as memory */

/* What there is to compare. */
struct outcome {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_debugregs dr;
	uint64_t seen;		/* a hash of all port and MMIO accesses */
	uint64_t entries;	/* times the CPU ran the guest */
	uint32_t exits, reason;
	uint8_t device[0x2000];	/* behind GUEST_MMIO */
	uint8_t *mem;
};

static void hash(struct outcome *o, const void *p, unsigned int n)
{
	while (n--)
		o->seen = (o->seen ^ *(*(const uint8_t **)&p)++) * 0x100000001b3;
}

static void serve_io(struct vcpu *c, struct outcome *o)
{
	struct kvm_run *run = c->run;
	unsigned int n = run->io.size * run->io.count, i;
	uint8_t *data = io_data(c);

	if (run->io.direction == KVM_EXIT_IO_IN)
		for (i = 0; i < n; i++)
			data[i] = run->io.port + 7 * o->exits + i;
	hash(o, &run->io.port, 2);
	hash(o, data, n);
}

static void serve_mmio(struct vcpu *c, struct outcome *o)
{
	struct kvm_run *run = c->run;
	uint64_t offset = run->mmio.phys_addr - GUEST_MMIO;

	if (offset > sizeof(o->device) - run->mmio.len)
		memset(run->mmio.data, 0, run->mmio.is_write ? 0 : run->mmio.len);
	else if (run->mmio.is_write)
		memcpy(o->device + offset, run->mmio.data, run->mmio.len);
	else
		memcpy(run->mmio.data, o->device + offset, run->mmio.len);
	hash(o, &run->mmio.phys_addr, 8);
	hash(o, run->mmio.data, run->mmio.len);
}

/* Run until HLT; false if it ends otherwise. */
static bool run_to_hlt(struct vcpu *c, struct outcome *o)
{

	memset(o, 0, sizeof(*o));
	for (unsigned int i = 0; i < sizeof(o->device); i++)
		o->device[i] = i * 37 >> 2;
	for (o->exits = 0; o->exits < 20000; o->exits++) {
		if (vcpu_run(c))
			break;
		o->reason = c->run->exit_reason;
		if (o->reason == KVM_EXIT_IO)
			serve_io(c, o);
		else if (o->reason == KVM_EXIT_MMIO)
			serve_mmio(c, o);
		else
			break;
	}
	o->regs = vcpu_regs(c);
	o->sregs = vcpu_sregs(c);
	xioctl(c->fd, KVM_GET_FPU, &o->fpu);
	xioctl(c->fd, KVM_GET_DEBUGREGS, &o->dr);
	o->mem = c->vm->mem;
	o->entries = vcpu_stats(c).entries;
	if (o->reason != KVM_EXIT_HLT) {
		fprintf(stderr, "# ended by %u at rip %#llx after %u exits\n", o->reason,
			(unsigned long long)o->regs.rip, o->exits);
		if (o->reason == KVM_EXIT_INTERNAL_ERROR)
			fprintf(stderr, "# on %02x %02x %02x %02x\n",
				c->run->emulation_failure.insn_bytes[0],
				c->run->emulation_failure.insn_bytes[1],
				c->run->emulation_failure.insn_bytes[2],
				c->run->emulation_failure.insn_bytes[3]);
	}
	return o->reason == KVM_EXIT_HLT;
}

static bool same(const char *what, const void *a, const void *b, unsigned int n)
{
	const uint8_t *p = a, *q = b;
	unsigned int i;

	for (i = 0; i < n && p[i] == q[i]; i++)
		;
	if (i == n)
		return true;
	fprintf(stderr, "# %s differ at %#x: CPU %02x, emulator %02x\n", what, i, p[i], q[i]);
	return false;
}

/*
 * What CPUs differ in, and may: a code segment of real mode has type 3 or 11; of
 * a segment that is unusable only that counts. QEMU's leaves RF out of the flags
 * that a fault pushes.
 */
static void even_out(struct outcome *o)
{
	struct kvm_segment *s = &o->sregs.cs;
	uint32_t *stack = (uint32_t *)(o->mem + GUEST_STACKS);
	unsigned int i;

	if (!(o->sregs.cr0 & CR0_PE))
		o->sregs.cs.type = 11;
	for (i = 0; i < 6; i++)		/* cs, ds, es, fs, gs, ss */
		if (s[i].unusable)
			s[i] = (struct kvm_segment){ .selector = s[i].selector, .unusable = 1,
						     .base = s[i].base };
	for (i = 0; host_is_tcg() && i < 0x10000 / 4; i++)
		stack[i] &= ~(uint32_t)RFLAGS_RF;
}

static bool same_outcome(struct outcome *a, struct outcome *b)
{
	bool good;

	even_out(a);
	even_out(b);
	good = same("registers", &a->regs, &b->regs, sizeof(a->regs));

	good &= same("sregs", &a->sregs, &b->sregs, sizeof(a->sregs));
	good &= same("XMM registers", a->fpu.xmm, b->fpu.xmm, sizeof(a->fpu.xmm));
	good &= same("debug registers", &a->dr, &b->dr, sizeof(a->dr));
	good &= same("ports and MMIO", &a->seen, &b->seen, 8);
	good &= same("the device's contents", a->device, b->device, sizeof(a->device));
	good &= same("low memory", a->mem, b->mem, GUEST_GDT + 0x1000);
	good &= same("memory", a->mem + GUEST_FREE, b->mem + GUEST_FREE, 0xa0000 - GUEST_FREE);
	good &= same("stacks", a->mem + GUEST_STACKS, b->mem + GUEST_STACKS, 0x10000);
	good &= same("data", a->mem + GUEST_DATA, b->mem + GUEST_DATA, 0x10000);
	return good;
}

static struct vcpu *prepare(enum guest_mode mode, const char *code, const char *end, bool emulate)
{
	struct vcpu *c = guest_asm(mode, code, end);
	struct kvm_regs r = vcpu_regs(c);
	uint32_t on = 1;
	void *rom = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(rom, 0x5a, 4096);
	if (vm_slot(c->vm, 1, KVM_MEM_READONLY, READ_ONLY, 4096, rom))
		abort();
	r.rax = 0x0123456789abcdef;
	r.rbx = 0xfedcba9876543210;
	r.rcx = 0x1111111122222222;
	r.rdx = 0x3333333344444444;
	r.rsi = r.rdi = r.rbp = 0;
	if (mode != LONG64_2M && mode != LONG64_4K) {
		r.rax = (uint32_t)r.rax;
		r.rbx = (uint32_t)r.rbx;
		r.rcx = (uint32_t)r.rcx;
		r.rdx = (uint32_t)r.rdx;
	}
	vcpu_set_regs(c, r);
	if (emulate)
		xioctl(c->fd, LUCID_SET_EMULATE, &on);
	return c;
}

#define CODE(name, bits, text)						\
	asm(".text\n .code" #bits "\n" #name ":\n" text			\
	    "\nhlt\n" #name "_end: .code64\n");				\
	extern const char name[], name##_end[]

/* ---- real mode ---- */

#define AT(name, label)	#label " - " #name " + 0x8000"

/* Interrupts, far calls, returns and jumps; what they push and load. */
CODE(real_far, 16,
	"xor %ax, %ax\n mov %ax, %ds\n mov %ax, %es\n"
	"movw $(" AT(real_far, 1f) "), 0x80 * 4\n movw $0, 0x80 * 4 + 2\n"
	"movw $(" AT(real_far, 1f) "), 3 * 4\n movw $0, 3 * 4 + 2\n"
	"movw $(" AT(real_far, 1f) "), 4 * 4\n movw $0, 4 * 4 + 2\n"
	"sti\n stc\n int $0x80\n int3\n"
	"mov $0x7f, %al\n add $1, %al\n into\n"
	"cli\n jmp 2f\n"
	/* the handler: flags as pushed and as they are */
	"1: pushf\n pop %bx\n push %bp\n mov %sp, %bp\n mov 6(%bp), %cx\n pop %bp\n"
	"mov %bx, (0x5000)\n mov %cx, (0x5002)\n iret\n"
	"2: lcall $0x0800, $(3f - real_far)\n"
	"mov %cs, %ax\n mov %ax, (0x5010)\n"
	"movw $(" AT(real_far, 4f) "), (0x5020)\n movw $0, (0x5022)\n"
	"lcall *(0x5020)\n"
	"movl $(" AT(real_far, 4f) "), (0x5024)\n movw $0, (0x5028)\n"
	"lcalll *(0x5024)\n"
	"ljmp $0x0800, $(5f - real_far)\n"
	"3: mov %cs, %ax\n mov %ax, (0x5012)\n lret\n"
	"4: incw (0x5030)\n cmpw $1, (0x5030)\n je 6f\n lretl\n 6: lret\n"
	"5: pushl $0x3202\n pushl $0x0\n pushl $(" AT(real_far, 7f) ")\n iretl\n"
	"7: cmp %ax, %ax\n");

/* Segment registers, the stack, flags. */
CODE(real_stack, 16,
	"mov $0x400, %ax\n mov %ax, %ds\n mov $0x500, %ax\n mov %ax, %es\n mov %ax, %fs\n"
	"push %ds\n pop %gs\n push %cs\n push %ss\n pop %ss\n pop %dx\n"
	"mov %es, (0x100)\n mov %gs, %ebx\n"
	"movw $0x1234, (0x110)\n movw $0x480, (0x112)\n les (0x110), %si\n"
	"lfs (0x110), %di\n lgs (0x110), %bp\n"
	"mov $0x100, %bp\n"
	"pusha\n popa\n pushal\n popal\n pushf\n popf\n pushfl\n orl $0x40000, %ss:(0x7f00)\n popfl\n"
	"enter $16, $0\n leave\n enter $8, $3\n leave\n"
	"push $-2\n pushl $-3\n pop %cx\n popl %edx\n pushw (0x110)\n popw (0x120)\n"
	"lahf\n sahf\n cmc\n std\n cld\n"
	"mov $0x20, %al\n lea 0x50(%bx, %si), %di\n xlat %fs:(%bx)\n"
	"smsw %cx\n sgdt (0x200)\n sidt (0x210)\n sgdtl (0x220)\n"
	"movw $0x7fff, (0x210)\n lidt (0x210)\n sidt (0x230)\n"
	/* with 16-bit operands 24 bits of a base count */
	"movl $0x3456007f, (0x240)\n movw $0xff12, (0x244)\n lgdt (0x240)\n sgdt (0x250)\n lidtl (0x240)\n"
	"cli\n mov $3, %cx\n 1: loop 1b\n jcxz 2f\n nop\n 2: cmp %ax, %ax\n");

/* Ports, one by one and as strings. */
CODE(real_ports, 16,
	"xor %ax, %ax\n mov %ax, %ds\n mov %ax, %es\n"
	"mov $0x60, %dx\n in %dx, %al\n in $0x71, %ax\n in %dx, %eax\n"
	"out %al, $0x72\n out %ax, %dx\n out %eax, %dx\n"
	"mov $0x5000, %di\n insb\n insw\n insl\n"
	"mov $20, %cx\n rep insb\n mov $2000, %cx\n rep insw\n"
	"mov $0x5000, %si\n outsb\n outsw\n outsl\n mov $50, %cx\n rep outsb\n"
	"std\n mov $5, %cx\n rep outsw\n cld\n cmp %ax, %ax\n");

/* ---- protected mode ---- */

/* Data segments are loaded with all they hold; descriptors get their accessed bit. */
CODE(prot_segments, 32,
	"mov $0x4b, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %fs\n"
	"mov $0x28, %ax\n mov %ax, %gs\n mov $0x10, %ax\n mov %ax, %ss\n"
	"push %gs\n pop %es\n mov %es, %ebx\n mov %gs, 0x40010\n"
	"xor %eax, %eax\n mov %ax, %fs\n"
	"movl $0x9abcdef0, 0x40020\n movw $0x10, 0x40024\n"
	"lss 0x40020, %ecx\n mov $0x108000, %esp\n les 0x40020, %edx\n"
	"mov $0x13, %cx\n mov $0x10, %dx\n arpl %cx, %dx\n"
	"cmp %eax, %eax\n");

/* #GP(selector), by a gate of the test's own: IRET of protected mode is not emulated. */
CODE(prot_bad_segment, 32,
	"mov $1f, %eax\n mov %ax, 0x12000 + 13 * 8\n shr $16, %eax\n"
	"mov %ax, 0x12000 + 13 * 8 + 6\n mov $0x1001, %eax\n mov %ax, %es\n"
	"hlt\n 1: pop %esi\n pop %edi\n mov %es, %ebx\n cmp %eax, %eax\n");

CODE(prot_control, 32,
	"mov %cr0, %eax\n or $0x20, %eax\n mov %eax, %cr0\n mov %cr0, %ebx\n"
	"mov %cr4, %ecx\n or $8, %ecx\n mov %ecx, %cr4\n mov %cr4, %edx\n"
	"mov $0x12345, %eax\n mov %eax, %cr2\n mov %cr2, %esi\n"
	"smsw %edi\n or $8, %di\n and $-2, %di\n lmsw %di\n mov %cr0, %ebp\n clts\n"
	"mov $0x40000, %eax\n mov %eax, %dr0\n mov %dr0, %ecx\n mov %dr7, %edx\n"
	"invlpg 0x40000\n wbinvd\n sgdt 0x40040\n sidt 0x40050\n lgdt 0x40040\n"
	"cmp %eax, %eax\n");

/* ---- 64-bit mode ---- */

CODE(long_system, 64,
	"mov $0xc0000102, %ecx\n mov $0x1234, %eax\n mov $0x7fff, %edx\n wrmsr\n"	/* KERNEL_GS_BASE */
	"xor %eax, %eax\n xor %edx, %edx\n rdmsr\n mov %rax, %r8\n mov %rdx, %r9\n"
	"mov $0xc0000100, %ecx\n mov $0x40000, %eax\n xor %edx, %edx\n wrmsr\n"	/* FS_BASE */
	"movq $-5, %fs:0x80\n mov 0x40080, %r10\n"
	"mov $1, %eax\n xor %ecx, %ecx\n cpuid\n mov %eax, %r11d\n mov %ecx, %r12d\n"
	"mov $0, %eax\n cpuid\n"
	"mov %cr0, %r13\n mov %r13, %cr0\n mov %cr3, %r14\n mov %r14, %cr3\n mov %cr4, %r15\n"
	"mov $5, %esi\n mov %rsi, %cr8\n mov %cr8, %rdi\n"
	"mov $0x10, %eax\n mov %ax, %es\n mov %ax, %ss\n xor %eax, %eax\n mov %ax, %ds\n"
	"mov %ss, %ebp\n push %fs\n pop %fs\n"
	"sgdt 0x40040\n lidt 0x40060\n sidt 0x40070\n"
	"rdtsc\n xor %eax, %eax\n xor %edx, %edx\n cmp %eax, %eax\n");

/* Read-modify-write, strings and SSE on a device: real exits on the CPU's side. */
CODE(long_mmio, 64,
	"mov $0x10000000, %ebx\n mov $0x40000, %edx\n"
	"addl $5, (%rbx)\n orq $1, 8(%rbx)\n incb 0x11(%rbx)\n negw 0x12(%rbx)\n notl 0x14(%rbx)\n"
	"mov $0x77, %eax\n xchg %eax, 0x18(%rbx)\n lock xaddl %eax, 0x1c(%rbx)\n"
	"mov 0x20(%rbx), %eax\n lock cmpxchgl %ecx, 0x20(%rbx)\n cmpxchgb %cl, 0x25(%rbx)\n"
	"btsl $3, 0x28(%rbx)\n setc %sil\n btrl $0, 0x28(%rbx)\n adcb $0, %sil\n"
	"shll $3, 0x30(%rbx)\n rorw $1, 0x34(%rbx)\n"
	"testl $4, 0x38(%rbx)\n setz 0x3c(%rbx)\n cmpw $3, 0x3a(%rbx)\n cmovb 0x40(%rbx), %rbp\n"
	"imul $3, 0x48(%rbx), %r8d\n movzbl 0x4c(%rbx), %r9d\n movbe 0x50(%rbx), %r10\n"
	"push 0x58(%rbx)\n pop 0x60(%rbx)\n"
	"movups 0x70(%rbx), %xmm1\n movaps %xmm1, 0x100(%rbx)\n movdqu 0xff8(%rbx), %xmm2\n"
	"movntdq %xmm2, 0x120(%rbx)\n"
	"lea 0x200(%rbx), %rsi\n mov %rdx, %rdi\n mov $40, %ecx\n rep movsb\n"
	"mov %rdx, %rsi\n lea 0x400(%rbx), %rdi\n mov $33, %ecx\n rep movsl\n"
	"lea 0x600(%rbx), %rdi\n mov $0x5a, %al\n mov $50, %ecx\n rep stosb\n"
	"lea 0x600(%rbx), %rsi\n lea 0x700(%rbx), %rdi\n movsq\n movsq\n"
	"lea 0x600(%rbx), %rdi\n mov $60, %ecx\n repe scasb\n mov %rcx, %r11\n"
	"lea 0x400(%rbx), %rsi\n mov %rdx, %rdi\n mov $100, %ecx\n repe cmpsb\n mov %rcx, %r12\n"
	"lea 0x200(%rbx), %rsi\n lodsq\n mov %rax, %r13\n"
	"cmp %eax, %eax\n");

CODE(long_mmio_more, 64,
	"mov $0x10000000, %ebx\n"
	"movq 0x80(%rbx), %xmm3\n movd %xmm3, 0x130(%rbx)\n movhps 0x88(%rbx), %xmm3\n"
	"movlps 0x90(%rbx), %xmm4\n movss 0x98(%rbx), %xmm5\n movsd %xmm3, 0x140(%rbx)\n"
	"movhps %xmm3, 0x148(%rbx)\n movntdqa 0xa0(%rbx), %xmm6\n movntil %ebx, 0x150(%rbx)\n"
	"popcnt 0xa8(%rbx), %eax\n crc32l 0xac(%rbx), %ecx\n"
	"cmp %eax, %eax\n");

/*
 * LOCKed: 16 bytes, and split over two words; with flags. (Of CMPXCHG16B only
 * its own: QEMU's loses the others.)
 */
#define KEEP_FLAGS	"pushf\n"
#define KEEP_ZF		"setz 0x10(%rbp)\n push 0x10(%rbp)\n"
CODE(long_locked, 64,
	"mov $0x40000, %ebp\n mov $0x1111, %eax\n mov $0x2222, %edx\n mov $3, %ebx\n mov $4, %ecx\n"
	"mov %rax, (%rbp)\n mov %rdx, 8(%rbp)\n"
	"lock cmpxchg16b (%rbp)\n" KEEP_ZF			/* equal */
	"lock cmpxchg16b (%rbp)\n" KEEP_ZF			/* not */
	"inc %rdx\n lock cmpxchg16b (%rbp)\n" KEEP_ZF	/* one half is */
	"dec %rax\n lock cmpxchg16b (%rbp)\n" KEEP_ZF
	"mov $-1, %rbx\n lock cmpxchg16b (%rbp)\n" KEEP_ZF
	"mov (%rbp), %r8\n mov 8(%rbp), %r9\n"
	"lock addl $0x12345678, 6(%rbp)\n" KEEP_FLAGS "mov $0x1122334455667788, %r10\n"
	"lock xaddq %r10, 4(%rbp)\n" KEEP_FLAGS "xchg %r10w, 7(%rbp)\n"
	"mov 5(%rbp), %eax\n lock cmpxchgl %r10d, 5(%rbp)\n" KEEP_FLAGS
	"lock cmpxchgq %r10, 8-5(%rbp)\n" KEEP_FLAGS
	"mov 4(%rbp), %eax\n mov 8(%rbp), %edx\n lock cmpxchg8b 4(%rbp)\n" KEEP_FLAGS
	"lock btsq $41, 1(%rbp)\n" KEEP_FLAGS "lock negq 8(%rbp)\n" KEEP_FLAGS
	"lock incq 0xff4(%rbp)\n" KEEP_FLAGS);

/* #GP by a gate of the test's own, as above; nothing is written. */
CODE(long_unaligned_cmpxchg16b, 64,
	"mov $1f, %eax\n mov %ax, 0x11000 + 13 * 16\n shr $16, %eax\n"
	"mov %ax, 0x11000 + 13 * 16 + 6\n"
	"mov $0x40008, %ebp\n mov (%rbp), %rax\n mov 8(%rbp), %rdx\n lock cmpxchg16b (%rbp)\n"
	"hlt\n 1: pop %rsi\n pop %rdi\n cmp %eax, %eax\n");

/* The same where nothing is atomic: a device, and a slot that is read-only. */
#define LOCKED_AT(at)							\
	"mov " at "(%rbx), %rax\n mov 8+" at "(%rbx), %rdx\n mov $5, %ecx\n"	\
	"lock cmpxchg16b " at "(%rbx)\n" KEEP_ZF "inc %rax\n"		\
	"lock cmpxchg16b " at "(%rbx)\n" KEEP_ZF			\
	"lock xaddq %rcx, 4+" at "(%rbx)\n" KEEP_FLAGS "push " at "(%rbx)\n push 8+" at "(%rbx)\n"
CODE(long_locked_mmio, 64,
	"mov $0x40000, %ebp\n mov $0x10000000, %ebx\n" LOCKED_AT("0x40") LOCKED_AT("0x200040"));

#define BOTH(test, mode, name, raises)	BOTH_BUT(test, mode, name, raises, NULL)
#define BOTH_BUT(test, mode, name, raises, kvm_lacks)			\
TEST(test)								\
{									\
	static struct outcome cpu, emulator;				\
	const char *why = kvm_lacks;					\
									\
	if (why && dev_is_kvm())					\
		SKIP(return, "%s", why);				\
	ASSERT_TRUE(run_to_hlt(prepare(mode, name, name##_end, false), &cpu)); \
	why = emulation_on();						\
	if (why)							\
		SKIP(return, "%s", why);				\
	EXPECT_TRUE(run_to_hlt(prepare(mode, name, name##_end, true), &emulator)); \
	EXPECT_TRUE(same_outcome(&cpu, &emulator));			\
	/* exceptions alone are the CPU's to deliver */			\
	EXPECT_EQ(raises, emulator.entries != 0);			\
	EXPECT_NE(0, cpu.entries);					\
	emulation_off();						\
}

BOTH(interrupts_and_far_jumps_of_real_mode, REAL16, real_far, false)
BOTH(segments_stack_and_flags_of_real_mode, REAL16, real_stack, false)
BOTH(ports_and_port_strings, REAL16, real_ports, false)
BOTH(segments_of_protected_mode, PROT32, prot_segments, false)
BOTH(segments_with_page_tables, PAE_4K, prot_segments, false)
BOTH(a_bad_selector, PROT32, prot_bad_segment, true)
BOTH(control_registers, PROT32, prot_control, false)
BOTH(control_registers_with_page_tables, PAGED32_4K, prot_control, false)
BOTH(system_instructions_of_64_bit_mode, LONG64_4K, long_system, false)
BOTH(devices_under_all_kinds_of_instructions, LONG64_4K, long_mmio, false)
BOTH_BUT(devices_under_moves_of_xmm_registers, LONG64_4K, long_mmio_more, false,
	 "KVM's emulator does not know MOVQ and its like")
BOTH(locks_of_16_bytes_and_split_ones, LONG64_4K, long_locked, false)
BOTH(cmpxchg16b_wants_alignment, LONG64_4K, long_unaligned_cmpxchg16b, true)
BOTH_BUT(locks_on_devices, LONG64_4K, long_locked_mmio, false,
	 "KVM's emulator does not know CMPXCHG16B")

/* ---- locks against other threads ---- */

#define ROUNDS	(cpu_count() > 1 ? 2000 : 100)	/* one CPU changes hands at each tick only */

/*
 * All are counters that guest and host count up at once. Of @split the guest
 * has the eight bytes in the middle, the host those on both sides.
 */
static volatile struct {
	uint64_t pair[2];
	uint32_t split[4];
	uint64_t word;
	uint64_t round, rounds;
} shared __attribute__((aligned(64)));

static void count_pair(volatile uint64_t *p)
{
	uint64_t low, high;
	bool done;

	do {
		low = p[0];
		high = p[1];
		asm volatile("lock cmpxchg16b %1"
			     : "=@ccz"(done), "+m"(*(volatile uint64_t (*)[2])p), "+a"(low), "+d"(high)
			     : "b"(low + 1), "c"(high + 1) : "memory");
	} while (!done);
}

static void contender(void)
{
	uint64_t one;

	for (shared.round = 0; shared.round < shared.rounds; shared.round++) {
		count_pair(shared.pair);
		asm volatile("lock incq %0" : "+m"(shared.split[1]), "+m"(shared.split[2]));
		one = 1;
		asm volatile("lock xaddq %0, %1" : "+r"(one), "+m"(shared.word));
	}
}

/* Returns how often the host has counted; 0: the guest did not come to its end. */
static uint32_t contend(struct vcpu *c)
{
	volatile typeof(shared) *s = &GUEST(c->vm, shared);
	struct vcpu_thread t;
	uint32_t n, i;
	uint64_t round;

	vcpu_spawn(&t, c);
	for (n = 0; t.running; n++) {
		count_pair(s->pair);
		asm volatile("lock incl %0" : "+m"(s->split[0]));
		asm volatile("lock incl %0" : "+m"(s->split[3]));
		asm volatile("lock incq %0" : "+m"(s->word));
		/* leave the guest alone for shorter and longer times, and now and then */
		for (i = n % 64 * 64; i; i--)
			asm volatile("");
		for (round = s->round; n % 64 == 63 && t.running && s->round == round; )
			;
	}
	if (vcpu_join(&t) == G_DONE)
		return n;
	vcpu_dump(c);
	return 0;
}

TEST(locked_updates_of_other_threads_are_not_lost)
{
	const char *why = emulation_on();
	volatile typeof(shared) *s;
	uint32_t on = 1, emulated, n;
	struct vcpu *c;

	for (emulated = 0; emulated < (why ? 1 : 2); emulated++) {
		c = guest64(contender);
		if (emulated)
			xioctl(c->fd, LUCID_SET_EMULATE, &on);
		s = &GUEST(c->vm, shared);
		s->rounds = ROUNDS;
		n = contend(c);
		ASSERT_NE(0, n);
		EXPECT_EQ(n + ROUNDS, s->pair[0]);
		EXPECT_EQ(n + ROUNDS, s->pair[1]);
		EXPECT_EQ(n, s->split[0]);
		EXPECT_EQ(ROUNDS, s->split[1]);
		EXPECT_EQ(0, s->split[2]);
		EXPECT_EQ(n, s->split[3]);
		EXPECT_EQ(n + ROUNDS, s->word);
	}
	emulation_off();
	if (why)
		SKIP(return, "%s", why);
}

/* ---- the switch itself ---- */

#define NUMBERS	50
static uint32_t numbers[NUMBERS];

/* A piece of real code: sort, look up, divide, sum. */
static void program(void)
{
	uint64_t x = 12345, sum = 0;
	int i, j;

	for (i = 0; i < NUMBERS; i++) {
		x = x * 6364136223846793005ul + 1442695040888963407ul;
		numbers[i] = x >> 33;
	}
	for (i = 1; i < NUMBERS; i++)
		for (j = i; j > 0 && numbers[j - 1] > numbers[j]; j--) {
			uint32_t t = numbers[j];

			numbers[j] = numbers[j - 1];
			numbers[j - 1] = t;
		}
	for (i = 0; i < NUMBERS; i++)
		sum = sum * 31 + numbers[i] % (i + 7) + (int32_t)numbers[i] / (i - 1000);
	GUEST_SYNC(sum);
	GUEST_DONE();
}

TEST(a_program)
{
	struct vcpu *c = guest64(program);
	const char *why = emulation_on();
	uint32_t on = 1;
	uint64_t sum;

	ASSERT_KIND(c, G_SYNC);
	sum = c->event.a;
	ASSERT_DONE(c);
	if (why)
		SKIP(return, "%s", why);
	c = guest64(program);
	xioctl(c->fd, LUCID_SET_EMULATE, &on);
	ASSERT_SYNC(c, sum);
	ASSERT_DONE(c);
	emulation_off();
}

CODE(unknown, 64, "nop\n fldl 0x40000\n");

TEST(the_unknown_leaves_with_its_bytes)
{
	const char *why = emulation_on();
	struct vcpu *c;

	if (why)
		SKIP(return, "%s", why);
	c = prepare(LONG64_4K, unknown, unknown_end, true);
	ASSERT_EQ(0, vcpu_run(c));
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, c->run->exit_reason);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, c->run->emulation_failure.suberror);
	EXPECT_EQ(0xdd, c->run->emulation_failure.insn_bytes[0]);
	EXPECT_EQ((uintptr_t)unknown + 1, vcpu_regs(c).rip);
	emulation_off();
}

TEST(without_the_parameter_it_is_not_permitted)
{
	struct vcpu *c = guest64(program);
	uint32_t on = 1, bad = 2;
	const char *why;

	if (dev_is_kvm()) {
		EXPECT_EQ(-EINVAL, eioctl(c->fd, LUCID_SET_EMULATE, &on));
		return;
	}
	emulation_off();
	EXPECT_EQ(-EPERM, eioctl(c->fd, LUCID_SET_EMULATE, &on));
	why = emulation_on();
	if (why)
		SKIP(return, "%s", why);
	EXPECT_EQ(-EINVAL, eioctl(c->fd, LUCID_SET_EMULATE, &bad));
	EXPECT_EQ(-EFAULT, eioctl(c->fd, LUCID_SET_EMULATE, NULL));
	EXPECT_EQ(0, eioctl(c->fd, LUCID_SET_EMULATE, &on));
	emulation_off();
}

TEST_HARNESS_MAIN
