// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's user mode gets no further than on a machine of its own, and the
 * guest's kernel gets no virtualization that was not offered.
 */
#include "guest.h"

#define USER_STACK	(GUEST_DATA + 0x10000)

uint64_t saved_rsp;			/* named in the asm */
extern const char user_back[], user_exit[];

asm(".text\nuser_exit: int $0x80\n");

/* INT 0x80 ends run_user(). */
static void on_exit_call(struct guest_regs *r)
{
	r->rip = (uintptr_t)user_back;
	r->cs = SEL_CODE64;
	r->ss = SEL_DATA;
	r->rsp = saved_rsp;
}

/* Call @fn with CPL 3 and these extra flags. */
static __attribute__((noinline)) void run_user(void (*fn)(void), uint64_t flags)
{
	guest_handler[0x80] = on_exit_call;
	*(uint64_t *)(USER_STACK - 8) = (uintptr_t)user_exit;
	flags |= RFLAGS_1;
	asm volatile("push %%rbp\n push %%rbx\n"
		     "mov %%rsp, saved_rsp\n"
		     "pushq %[ss]\n pushq %[sp]\n pushq %[fl]\n pushq %[cs]\n pushq %[fn]\n"
		     "iretq\n"
		     "user_back: pop %%rbx\n pop %%rbp\n"
		     : [fl] "+a"(flags), [fn] "+d"(fn)
		     : [ss] "i"(SEL_UDATA), [sp] "i"(USER_STACK - 8), [cs] "i"(SEL_UCODE64)
		     : "rcx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
		       "r13", "r14", "r15", "memory", "cc");
}

static volatile int seen[32];
static volatile uint64_t reached;

static void privileged(void)
{
	int n = 0;

	seen[n++] = TRY("hlt", , "a"(0));
	seen[n++] = TRY("rdmsr", , "c"(MSR_APIC_BASE));
	seen[n++] = TRY("wrmsr", , "c"(MSR_APIC_BASE), "a"(0), "d"(0));
	seen[n++] = TRY("mov %%cr0, %%rax", , "a"(0));
	seen[n++] = TRY("mov %%rax, %%cr0", , "a"(0));
	seen[n++] = TRY("mov %%rax, %%cr4", , "a"(0));
	seen[n++] = TRY("mov %%rax, %%cr8", , "a"(0));
	seen[n++] = TRY("mov %%db7, %%rax", , "a"(0));
	seen[n++] = TRY("clts", , "a"(0));
	seen[n++] = TRY("lmsw %%ax", , "a"(0));
	seen[n++] = TRY("wbinvd", , "a"(0));
	seen[n++] = TRY("invd", , "a"(0));
	seen[n++] = TRY("invlpg (%[p])", , [p] "r"(USER_STACK));
	seen[n++] = TRY("in $0x60, %%al", , "a"(0));
	seen[n++] = TRY("out %%al, $0x60", , "a"(0));
	seen[n++] = TRY("rep insb", , "c"(1), "d"(0x60), "D"(USER_STACK - 0x100));
	seen[n++] = TRY("cli", , "a"(0));
	seen[n++] = TRY("xsetbv", , "c"(0), "a"(1), "d"(0));
	seen[n++] = TRY("int $0x0d", , "a"(0));		/* its gate is the kernel's */
	reached = n;
}

static void user_is_refused(void)
{
	uint64_t i;

	write_cr4(read_cr4() | CR4_OSXSAVE);
	run_user(privileged, 0);
	GUEST_ASSERT_EQ(reached, 19);
	for (i = 0; i < reached; i++)
		if (seen[i] != GP)
			GUEST_SYNC(i);		/* which one */
}

TEST(privileged_instructions)
{
	struct vcpu *c = guest64(user_is_refused);

	if (!(cpuid_find(dev_cpuid(), 1, 0)->ecx & BIT(26)))
		SKIP(return, "no XSAVE");
	ASSERT_DONE(c);
}

/* CPUID, RDTSC and XGETBV are everyone's, as long as CR4.TSD allows. */
static void allowed(void)
{
	uint32_t r[4];

	cpuid(0, 0, r);
	seen[0] = TRY("rdtsc", , "a"(0), "d"(0));
	reached = 1;
}

static void user_is_allowed(void)
{
	run_user(allowed, 0);
	GUEST_ASSERT_EQ(reached, 1);
	GUEST_ASSERT_EQ(seen[0], NONE);
	write_cr4(read_cr4() | CR4_TSD);
	run_user(allowed, 0);
	GUEST_ASSERT_EQ(seen[0], GP);
	GUEST_ASSERT_EQ(TRY("rdtsc", , "a"(0), "d"(0)), NONE);
}

TEST(cpuid_and_rdtsc)
{
	struct vcpu *c = guest64(user_is_allowed);

	ASSERT_DONE(c);
}

/* Ports: by IOPL, or by the bitmap in the TSS. */
static void one_out(void)
{
	seen[0] = TRY("out %%al, $0x60", , "a"(0x5a));
	seen[1] = TRY("out %%al, $0x61", , "a"(0x5b));
}

static void ports(void)
{
	uint8_t *tss = (uint8_t *)GUEST_TSS64;

	run_user(one_out, 3 << 12);		/* IOPL 3: both */
	GUEST_ASSERT_EQ(seen[0], NONE);
	GUEST_ASSERT_EQ(seen[1], NONE);
	/* IOPL 0, bitmap at 0x68: port 0x60 is allowed, 0x61 not */
	*(uint16_t *)(tss + 0x66) = 0x68;
	memset(tss + 0x68, 0xff, 0x18);
	tss[0x68 + 0x60 / 8] = 0xfe;
	run_user(one_out, 0);
	GUEST_SYNC(seen[0] & 0xff);
	GUEST_ASSERT_EQ(seen[0], NONE);
	GUEST_ASSERT_EQ(seen[1], GP);
}

TEST(iopl_and_bitmap)
{
	struct vcpu *c = vcpu_create(vm_create(), 0);
	struct kvm_sregs s;
	int i;

	vcpu_start64(c, ports, 0, 0);
	s = vcpu_sregs(c);
	s.tr.limit = 0x7f;
	vcpu_set_sregs(c, s);
	for (i = 0; i < 2; i++) {
		ASSERT_EXIT(c, KVM_EXIT_IO);
		EXPECT_EQ(0x60 + i, c->run->io.port);
	}
	i = vcpu_next(c);
	if (host_is_tcg() && i == G_SYNC && c->event.a == GP)
		SKIP(return, EMULATOR "no I/O bitmap in a TSS that is busy; IOPL passed");
	ASSERT_EQ(G_EXIT, i);
	ASSERT_EQ(KVM_EXIT_IO, c->run->exit_reason);
	EXPECT_EQ(0x60, c->run->io.port);
	ASSERT_SYNC(c, 0xff);
	ASSERT_DONE(c);
}

/* MMIO from user mode obeys the guest's page tables. */
static void touch_mmio(void)
{
	seen[0] = TRY("movl %%eax, (%[p])", , [p] "r"((uint64_t)GUEST_MMIO), "a"(7));
	seen[1] = TRY("movl (%[p]), %%eax", , [p] "r"((uint64_t)GUEST_DATA), "a"(0));
}

static void mmio(void)
{
	run_user(touch_mmio, 0);
	GUEST_ASSERT_EQ(seen[0], NONE);
	GUEST_ASSERT_EQ(seen[1], NONE);
	/* the same gigabyte's table, for the kernel alone */
	*(volatile uint64_t *)(0x23000 + (GUEST_MMIO >> 21) * 8) &= ~PTE_U;
	*GUEST_PTE(GUEST_DATA) &= ~PTE_U;
	write_cr3(read_cr3());
	run_user(touch_mmio, 0);
	GUEST_ASSERT_EQ(seen[0], PF);
	GUEST_ASSERT_EQ(seen[1], PF);
	GUEST_ASSERT_EQ(guest_error, 5);
}

TEST(mmio_from_user_mode)
{
	struct vcpu *c = guest64(mmio);

	ASSERT_EXIT(c, KVM_EXIT_MMIO);
	ASSERT_DONE(c);
}

/* No SVM and no VMX inside: the instructions do not exist; nor RSM out of SMM. */
static void virtualization(void)
{
	GUEST_ASSERT_EQ(TRY("vmrun", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("vmload", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("vmsave", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("clgi", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("stgi", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("invlpga", , "a"(0), "c"(0)), UD);
	GUEST_ASSERT_EQ(TRY("vmxoff", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("vmptrst (%[p])", , [p] "r"(USER_STACK)), UD);
	GUEST_ASSERT_EQ(TRY("rsm", , "a"(0)), UD);
	GUEST_ASSERT_EQ(TRY("rdpmc", , "c"(0x12345)), GP);
}

TEST(no_virtualization_inside)
{
	struct vcpu *c = guest64(virtualization);

	ASSERT_DONE(c);
}

/* A hypercall from user mode is refused, in RAX; both spellings are known. */
static volatile long ret;

static void call(void)
{
	long r;

	if (host_is_amd())
		asm volatile("vmmcall" : "=a"(r) : "0"(1) : "memory");
	else
		asm volatile("vmcall" : "=a"(r) : "0"(1) : "memory");
	ret = r;
}

static void hypercalls(void)
{
	run_user(call, 0);
	GUEST_ASSERT_EQ(ret, -1);		/* -KVM_EPERM */
}

TEST(hypercall_from_user_mode)
{
	struct vcpu *c = guest64(hypercalls);

	ASSERT_DONE(c);
}

TEST_HARNESS_MAIN
